//! Tercel, a low-latency trading engine.

pub mod book;
pub mod ring;
pub mod signal;
pub mod strategy;
pub mod types;
