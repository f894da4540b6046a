//! Tercel.

pub mod net;
