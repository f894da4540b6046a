//! Holds nothing: its benches (`cargo bench -p rivals`) are what it is for.
