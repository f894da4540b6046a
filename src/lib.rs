//! Tercel, a low-latency trading engine: pinned threads joined by single-producer single-consumer rings.
//!
//! ```text
//!  venue ──TCP/TLS/WS──▶ FEED ──ring──▶ CORE ──ring──▶ GATEWAY ──WS──▶ venue
//!                         read           book           encode           │
//!                         frame          signal         send             │
//!                         decode         strategy                        │
//!                         sequence       risk             ▲              │
//!                                        orders ◀──ring── acks, fills ◀──┘
//!                                          │
//!                               RECORDER ◀─┘ ring
//! ```
//!
//! The modules below stand in reading order. `types` depends on nothing here; `engine` is a pure state machine that knows no
//! venue, socket, file or clock; only `runtime`, and `cli` above it, know everyone.

pub mod types;

pub mod ring;

pub mod net;

pub mod venue;

pub mod book;

pub mod signal;

pub mod strategy;

pub mod entry;

pub mod risk;

pub mod order;

pub mod engine;

pub mod sim;

pub mod simex;

pub mod journal;

pub mod analytics;

pub mod ghost;
pub mod slow_risk;

pub mod guard;
pub mod scan;

pub mod runtime;

pub mod backtest;

pub mod calibrate;

pub mod faults;

pub mod soak;

pub mod config;

pub mod doctor;

pub mod bench;

pub mod cli;
