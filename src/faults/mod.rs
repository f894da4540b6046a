//! Whole runs under fault scripts: the live engine against the simulated venue, on virtual time, over bytes in memory.
//!
//! Everything between strategy and matching engine is what a live run has: codecs, WebSocket framing, gateway, feed and core
//! duties, rings, engine. Only sockets, threads and the clock are replaced. A seed gives one run, the same on any machine.
//!
//! ```text
//!   LiveFeedDuty ─▶ CoreDuty ─▶ GatewayDuty     one thread, stepped in this order after the venue
//!        ▲             │ ▲          │ ▲
//!        │         ReconcileDuty    │ │
//!        │             │ ▲          │ │
//!        └──── pipes in memory ─────┘ │
//!   SimexHub: population, matching, wire formats, FaultScript
//! ```
//!
//! At the end, what the engine believes is held against what the venue knows ([`Verdict`]).

mod armed;
mod lane;
mod verdict;
mod world;

pub use verdict::{Difference, Verdict};
pub use world::{STOP_BEFORE_NS, WorldOptions, run};

#[cfg(test)]
mod tests;
