//! Tercel, a low-latency trading engine.

pub mod ring;
pub mod types;
