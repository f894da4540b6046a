//! An exchange as pure arithmetic: orders in, reports out. Replay and the simulated venue share it.
//!
//! Thread: any. Time and randomness are arguments. Fails: per request, with a [`Refusal`]. Money is exact: every account satisfies
//! `balance = start + realised − fees − funding` after every step, and says so when asked.
//! Wire formats, sockets and latency are left to `simex` and replay.
//!
//! ```text
//!   requests ──▶ Venue ──▶ Matching     (a crowd of simulated traders is the counterparty)
//!                  │   └─▶ QueueModel   (a captured feed is the counterparty)
//!                  ▼
//!        orders, executions, accounts ──▶ VenueEvent
//! ```

mod account;
mod funding;
mod latency;
mod market;
mod matching;
mod open;
mod order;
mod population;
mod position;
mod queue;
mod record;
mod records;
mod rng;
mod thin;
mod venue;

pub use account::{Account, FillEffect, Holding};
pub use funding::FundingClock;
pub use latency::{Latency, Way};
pub use market::Market;
pub use matching::Matching;
pub use order::{CancelReason, Fill, Incoming, LinkId, OrderNo, OwnerId, RejectReason, Report, SelfTrade};
pub use population::{CrowdMarket, Population};
pub use position::{Exponent, QueuePosition};
pub use queue::QueueModel;
pub use record::{
    AccountId, AmendRequest, Execution, ExecutionKind, OrderKind, OrderRecord, PlaceRequest, Refusal, VenueEvent,
    VenueLimits,
};
pub use rng::Rng;
pub use thin::{ThinMarket, ThinStyle};
pub use venue::Venue;
