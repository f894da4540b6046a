//! Tercel, a low-latency trading engine.

pub mod net;
pub mod ring;
pub mod sim;
pub mod types;
