//! Which thread owns what: the only module that knows everyone.
//!
//! ```text
//! live     FEED ──ring──▶ CORE ──ring──▶ GATEWAY ──▶ venue        core ◀──ring── gateway: acks, fills
//! replay   FEED ──ring──▶ SIM VENUE ──ring──▶ CORE                core ──ring──▶ sim venue: commands
//!                            core ──ring──▶ RECORDER              the journal, never waited for
//! live     ANALYSTS ──signal board──▶ core                         the newest value of each, never waited for
//! paper    LIVE FEED ──ring──▶ SIM VENUE ──ring──▶ CORE          core ──ring──▶ sim venue: commands
//! rerun    journal ──▶ equal engine ──▶ commands, compared with the journaled ones
//! ```

pub mod alloc;
mod board;
mod clock;
mod clock_offset;
mod core;
mod duty;
mod gateway;
mod ghost;
mod latency;
mod link;
mod live;
mod live_feed;
mod memory_lock;
mod outlet;
mod paper;
pub mod profile;
mod real_time;
mod reconcile;
mod recorder;
mod replay;
mod replay_feed;
mod rerun;
mod rest_orders;
mod sim_venue;
mod slow_risk;
mod tally;
mod thread;
mod topology;
mod warm;
mod witness;

pub use board::{Analysts, Board, BoardReader, BoardWriter};
pub use clock::{Clock, ClockProbe, VirtualTime, stamp_between};
pub use clock_offset::{ClockOffset, OffsetEstimate, OffsetReader, OffsetWriter, clock_offset};
pub use core::{CoreDuty, CoreReport, StatusReader, TIMER_NS};
pub use duty::{Duty, DutyReport};
pub use gateway::{GatewayConfig, GatewayDuty, GatewayReport, WARM_EVERY_NS};
pub use ghost::{GhostConfig, GhostDuty, GhostReader, GhostReport, MarketTap};
pub use latency::{
    GatewayStamps, LatencyStages, LatencySummary, Percentiles, StampedOrder, WORST_ORDERS_KEPT, Worst, histogram,
};
pub use link::{BAN_PAUSE_NS, Dial, LinkConfig, LinkNews, WsLink};
pub use live::{Live, LiveError, LiveJournal, LiveOptions, LiveOutcome, LiveReconcile, RingFill};
pub use live_feed::{LiveFeedConfig, LiveFeedDuty, MARKET_CONNECTIONS_MAX};
pub use memory_lock::{LockError, LockMemory, lock_memory};
pub use paper::paper;
pub use real_time::{RealTime, take_real_time};
pub use reconcile::{ReconcileDuty, ReconcileReport, ReconcilerConfig};
pub use recorder::{JournalBounds, RecorderDuty, RecorderReport};
pub use replay::{ReplayError, ReplayOptions, ReplayOutcome, replay};
pub use replay_feed::{FeedReport, ReplayFeedDuty};
pub use rerun::{Difference, Rerun, rerun};
pub use rest_orders::{RestOrdersConfig, RestOrdersDuty, RestOrdersReport};
pub use sim_venue::{Observer, SimLatency, SimVenueDuty, SimVenueReport};
pub use slow_risk::{Sample, SampleSender, SlowRiskDuty, slow_risk};
pub use tally::InstrumentTally;
pub use thread::{Idle, RunningThread, ThreadPlan, start};
pub use topology::{DutyKind, Topology, TopologyError};
pub use witness::{FORBIDDEN_CALL_EXIT, Provocation, Testimony, WitnessPlan, Witnessed};

/// Slots of a ring that carries books: at least two of the largest snapshots.
pub const MARKET_RING_SLOTS: usize = 8192;
const _: () =
    assert!(MARKET_RING_SLOTS >= 2 * crate::types::EVENT_RECORDS_MAX, "a ring holds two of the largest events");

/// Slots of the ring of commands: a second's worth of the fastest rate limit, many times over.
pub const COMMAND_RING_SLOTS: usize = 1024;

/// Slots of the ring to the recorder: a second of the busiest captured feed.
pub const JOURNAL_RING_SLOTS: usize = 65_536;
