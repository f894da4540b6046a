//! Tercel, a low-latency trading engine.

pub mod types;
pub mod venue;
