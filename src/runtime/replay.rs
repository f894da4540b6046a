//! Assembles a replay: capture → feed → simulated venue → core, on any topology.

use std::io::Write;
use std::time::Instant;

use super::clock::Clock;
use super::core::CoreDuty;
use super::duty::{Duty, DutyReport};
use super::replay_feed::{FeedReport, ReplayFeedDuty};
use super::sim_venue::{Observer, SimLatency, SimVenueDuty, SimVenueReport};
use super::thread::{Idle, ThreadPlan, start};
use super::topology::{DutyKind, Topology};
use super::{COMMAND_RING_SLOTS, CoreReport, MARKET_RING_SLOTS};
use crate::engine::{Engine, EngineConfig};
use crate::journal::{LoadError, Tape};
use crate::ring::{Flag, Producer, spsc};
use crate::sim::{Market, QueueModel, QueuePosition, Venue, VenueLimits};
use crate::strategy::Strategy;
use crate::types::{InstrumentTable, Money, Rate, Record, SettleId, VenueId};
use crate::venue::{FeedConfig, MarketFeed};

/// What a replay needs beside capture, engine and strategy.
pub struct ReplayOptions {
    /// Whose messages the captures hold, by [`Frame::feed`](crate::journal::Frame::feed).
    pub venues: Vec<VenueId>,
    /// Its instruments.
    pub table: InstrumentTable,
    /// How the feed is to treat them.
    pub feed: FeedConfig,
    /// Threads.
    pub topology: Topology,
    /// Core of each thread; threads beyond the list are not pinned.
    pub cpus: Vec<usize>,
    /// What threads do without work.
    pub idle: Idle,
    /// How long messages travel.
    pub latency: SimLatency,
    /// How cancellations are shared out between what is ahead of our orders and what is behind.
    pub queue: QueuePosition,
    /// Balances of the simulated account by settlement currency, in the order of [`InstrumentTable::currencies`].
    pub balances: Vec<Money>,
    /// Leverage of the simulated account, in hundredths.
    pub leverage_e2: u32,
    /// Share of the value of its positions below which its equity may not fall, or they are liquidated; `None`: they never are.
    pub maintenance: Option<Rate>,
    /// Takes every command as venue-neutral bytes.
    pub command_log: Option<Box<dyn Write + Send>>,
    /// Sees what happens; comes back in the venue's report.
    pub observer: Option<Box<dyn Observer>>,
    /// Ends the replay early when set.
    pub stop: Flag,
}

impl ReplayOptions {
    /// The usual: one thread, a millisecond each way, 10,000 of each settlement currency at five times leverage.
    pub fn new(venue: VenueId, table: InstrumentTable) -> Self {
        Self {
            balances: vec![Money::new(10_000 * Money::ONE.get()); table.currencies().len()],
            venues: vec![venue],
            table,
            feed: FeedConfig::default(),
            topology: Topology::single(),
            cpus: Vec::new(),
            idle: Idle::default(),
            latency: SimLatency::default(),
            queue: QueuePosition::default(),
            leverage_e2: 500,
            maintenance: Some(Rate::new(500_000)),
            command_log: None,
            observer: None,
            stop: Flag::new(),
        }
    }
}

/// What a replay leaves behind.
#[derive(Debug)]
pub struct ReplayOutcome {
    /// The feed's side.
    pub feed: FeedReport,
    /// The engine's side.
    pub core: CoreReport,
    /// The venue's side.
    pub sim: SimVenueReport,
    /// Wall-clock seconds, reading included where the tape is one of files.
    pub elapsed_s: f64,
    /// Allocations on hot duties after warm-up; `None` if they were not counted.
    pub hot_allocations: Option<u64>,
}

/// Why a replay could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no decoder for the venue.
    #[error("there is no decoder for venue `{0}`")]
    NoDecoder(&'static str),
    /// The system refused a thread.
    #[error("could not start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// A capture is damaged, or none.
    #[error(transparent)]
    Capture(#[from] LoadError),
    /// A thread panicked: a bug.
    #[error("thread `{0}` panicked")]
    Panicked(String),
    /// A duty left no report: a bug.
    #[error("duty `{0}` left no report")]
    NoReport(&'static str),
}

/// Replays captures with fills simulated.
///
/// The same capture, configuration and strategy give the same commands on every topology.
///
/// # Errors
/// [`ReplayError`].
pub fn replay<S: Strategy + Send + 'static>(
    tape: Tape,
    options: ReplayOptions,
    config: EngineConfig,
    strategy: S,
) -> Result<ReplayOutcome, ReplayError> {
    let (table, feed) = (options.table.clone(), options.feed);
    let decoder = |venue: VenueId| {
        MarketFeed::new(venue, &table, feed).map(|feed| (venue, feed)).ok_or(ReplayError::NoDecoder(venue.name()))
    };
    let feeds = options.venues.iter().copied().map(decoder).collect::<Result<Vec<_>, _>>()?;
    let make_feed = |to_sim| Box::new(ReplayFeedDuty::new(tape, feeds, table.clone(), to_sim)) as Box<dyn Duty>;
    assemble(make_feed, options, config, strategy)
}

/// Joins a feed, whoever its market comes from, with the simulated venue and the core, and runs them to their end.
pub(super) fn assemble<S: Strategy + Send + 'static>(
    make_feed: impl FnOnce(Producer<Record>) -> Box<dyn Duty>,
    options: ReplayOptions,
    config: EngineConfig,
    strategy: S,
) -> Result<ReplayOutcome, ReplayError> {
    let ReplayOptions {
        venues: _,
        table,
        feed: _,
        topology,
        cpus,
        idle,
        latency,
        queue,
        balances,
        leverage_e2,
        maintenance,
        command_log,
        observer,
        stop,
    } = options;
    let (to_sim, from_feed) = spsc(MARKET_RING_SLOTS);
    let (to_core, from_sim) = spsc(MARKET_RING_SLOTS);
    let (to_venue, from_core) = spsc(COMMAND_RING_SLOTS);

    let listings = table.iter().map(|(_, spec)| (*spec, Market::Queue(QueueModel::with_position(queue)))).collect();
    let mut exchange = Venue::new(listings, VenueLimits { maintenance, ..VenueLimits::simulation() });
    let balance = |settle: SettleId| balances.get(settle.idx()).copied().unwrap_or(Money::ZERO);
    let account = exchange.open_account_with(balance, leverage_e2);

    let has_ended = Flag::new();
    let engine = Engine::new(&table, config, strategy);
    let (core, _status) = CoreDuty::new(engine, vec![from_sim], to_venue, None, false, has_ended.clone());
    let mut parts: Vec<(DutyKind, Box<dyn Duty>)> = vec![
        (DutyKind::Feed, make_feed(to_sim)),
        (
            DutyKind::Gateway,
            Box::new(SimVenueDuty::new(
                from_feed,
                to_core,
                from_core,
                exchange,
                account,
                latency,
                command_log,
                observer,
                has_ended,
            )),
        ),
        (DutyKind::Core, Box::new(core)),
    ];
    let clock = Clock::new();
    let started = Instant::now();
    let mut threads = Vec::new();
    for (idx, kinds) in topology.threads().iter().enumerate() {
        let mut duties = Vec::new();
        for part in std::mem::take(&mut parts) {
            if kinds.contains(&part.0) { duties.push(part.1) } else { parts.push(part) }
        }
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        let plan = ThreadPlan { name: names.join("+"), cpu: cpus.get(idx).copied(), real_time: None, idle, duties };
        threads.push(start(plan, clock.clone(), stop.clone())?);
    }
    let (mut feed, mut core, mut sim) = (None, None, None);
    let mut hot_allocations = None;
    for thread in threads {
        let end = thread.join().map_err(ReplayError::Panicked)?;
        if let Some(count) = end.hot_allocations {
            hot_allocations = Some(hot_allocations.unwrap_or(0) + count);
        }
        for report in end.reports {
            match report {
                DutyReport::Feed(report) => feed = Some(*report),
                DutyReport::Core(report) => core = Some(*report),
                DutyReport::SimVenue(report) => sim = Some(*report),
                _ => {}
            }
        }
    }
    let mut feed = feed.ok_or(ReplayError::NoReport("feed"))?;
    if let Some(error) = feed.broke_off.take() {
        return Err(error.into());
    }
    Ok(ReplayOutcome {
        feed,
        core: core.ok_or(ReplayError::NoReport("core"))?,
        sim: sim.ok_or(ReplayError::NoReport("sim-venue"))?,
        elapsed_s: started.elapsed().as_secs_f64(),
        hot_allocations,
    })
}
