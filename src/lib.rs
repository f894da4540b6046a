//! Tercel, a low-latency trading engine.

pub mod bench;
pub mod book;
pub mod cli;
pub mod config;
pub mod engine;
pub mod journal;
pub mod net;
pub mod order;
pub mod ring;
pub mod risk;
pub mod runtime;
pub mod signal;
pub mod sim;
pub mod simex;
pub mod strategy;
pub mod types;
pub mod venue;
