//! Tercel.
