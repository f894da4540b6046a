//! Holds nothing: its benches (`cargo bench -p bench-parts`) are what it is for.
