//! The ghost of a live run: a paper session beside it, fed with the very events that the live core consumes.
//!
//! ```text
//! live CORE ──MarketTap──▶ SIM VENUE ──ring──▶ ghost's CORE      ghost's core ──ring──▶ sim venue: commands
//!      ▲                       └─▶ TripWatch ─▶ Permit
//!      └───────── signal board, slot `ghost_permit` ◀──┘
//! ```
//!
//! Thread: the analysts'. It is a replay whose capture is being made: fills, latencies and their order are those of
//! [`super::replay()`], and its virtual time is the market's. It trades whether or not the live engine may, so that its record does not
//! depend on its own permission. A market event that finds the tap's ring full is lost, and the ghost is blind from then on: its
//! books cannot be trusted again without snapshots, which nobody asks for, so its permission ends with the loss.

use std::any::Any;

use super::COMMAND_RING_SLOTS;
use super::MARKET_RING_SLOTS;
use super::board::BoardWriter;
use super::core::{CoreDuty, CoreReport};
use super::duty::{Duty, DutyReport};
use super::live::market_ring_slots;
use super::sim_venue::{Observer, SimLatency, SimVenueDuty};
use crate::engine::{Engine, EngineConfig, NoProbe};
use crate::ghost::{GHOST_WORDS, GhostStatus, Health, Measures, Permit, PermitTerms, TripWatch};
use crate::ring::{Flag, Gauge, Producer, SeqlockReader, SeqlockWriter, seqlock, spsc};
use crate::sim::{Market, QueueModel, QueuePosition, Venue, VenueLimits};
use crate::strategy::Strategy;
use crate::types::{Command, Event, InstrumentTable, Money, Nanos, Record};

/// Slots of the ring from the live core at least: a second of the busiest captured feed, for a thread that is not hot.
const TAP_RING_SLOTS: usize = 65_536;

/// Time between two looks at the record.
const JUDGE_EVERY_NS: u64 = 100_000_000;

/// Time between two repetitions of what is permitted.
const BEAT_EVERY_NS: u64 = 500_000_000;

/// Age of the market that the ghost has yet to take at which what it says is old.
const BEHIND_NS: u64 = 1_000_000_000;

/// What a ghost is made from, beside instruments and strategy.
#[derive(Clone, Debug)]
pub struct GhostConfig {
    /// When it permits live trading.
    pub terms: PermitTerms,
    /// Its engine; it must need no permission.
    pub engine: EngineConfig,
    /// How long messages travel; market data comes to it as it comes to the live engine.
    pub latency: SimLatency,
    /// How cancellations are shared out around its orders.
    pub queue: QueuePosition,
    /// Balance of its account.
    pub balance: Money,
    /// Leverage of its account, in hundredths.
    pub leverage_e2: u32,
}

/// The live core's end: gives the ghost every market event. Never waits, never allocates.
pub struct MarketTap {
    ring: Producer<Record>,
    is_blind: Flag,
    has_lost: bool,
}

impl MarketTap {
    /// Gives the ghost an event of the market; others do not concern it. After the first that did not fit it is given none.
    #[inline]
    pub fn offer(&mut self, event: &Event<'_>) {
        let is_market =
            matches!(event, Event::Book(_) | Event::Top(_) | Event::Trade(_) | Event::Ticker(_) | Event::BookStatus(_));
        if is_market && !self.has_lost && !event.publish(&mut self.ring) {
            self.has_lost = true;
            self.is_blind.set();
        }
    }
}

/// Reads the ghost's newest status.
#[derive(Clone)]
pub struct GhostReader(SeqlockReader<GHOST_WORDS>);

impl GhostReader {
    /// The newest status, or `None` in the moment in which it is replaced.
    pub fn read(&self) -> Option<GhostStatus> {
        GhostStatus::from_words(self.0.read()?.1)
    }
}

/// What the ghost leaves behind.
#[derive(Debug)]
pub struct GhostReport {
    /// Its record and its permission.
    pub status: GhostStatus,
    /// The terms of that.
    pub terms: PermitTerms,
    /// Everything its engine knows.
    pub core: CoreReport,
}

impl Observer for TripWatch {
    fn on_event(&mut self, event: &Event<'_>) {
        TripWatch::on_event(self, event);
    }

    fn on_command(&mut self, _command: &Command) {}
}

/// See the module's documentation.
pub struct GhostDuty<S> {
    sim: SimVenueDuty,
    core: CoreDuty<S, NoProbe>,
    tap: Gauge<Record>,
    is_blind: Flag,
    terms: PermitTerms,
    permit: Permit,
    board: BoardWriter,
    status: SeqlockWriter<GHOST_WORDS>,
    measures: Option<Measures>,
    judge_due: Nanos,
    beat_due: Nanos,
}

impl<S: Strategy + Send> GhostDuty<S> {
    /// Makes a ghost that permits through `board`, the tap for the live core, and a reader of its status.
    ///
    /// # Panics
    /// If a capacity of `config` is not what its documentation asks for.
    pub fn new(
        config: GhostConfig,
        table: &InstrumentTable,
        strategy: S,
        board: BoardWriter,
    ) -> (Self, MarketTap, GhostReader) {
        let GhostConfig { terms, engine, latency, queue, balance, leverage_e2 } = config;
        // When everything is subscribed at once, all snapshots come at once.
        let (ring, market) = spsc(TAP_RING_SLOTS.max(2 * market_ring_slots(table.len())));
        let (to_core, from_sim) = spsc(MARKET_RING_SLOTS);
        let (to_venue, from_core) = spsc(COMMAND_RING_SLOTS);
        let (status, status_reader) = seqlock();
        let listings = table.iter().map(|(_, spec)| (*spec, Market::Queue(QueueModel::with_position(queue)))).collect();
        let mut venue = Venue::new(listings, VenueLimits::simulation());
        let account = venue.open_account(balance, leverage_e2);
        let is_blind = Flag::new();
        let tap = ring.gauge();
        let engine = Engine::new(table, engine, strategy);
        let (core, _) = CoreDuty::new(engine, vec![from_sim], to_venue, None, false, Flag::new());
        let watch = Box::new(TripWatch::new(table, terms.window));
        let sim =
            SimVenueDuty::new(market, to_core, from_core, venue, account, latency, None, Some(watch), Flag::new());
        let duty = Self {
            sim,
            core,
            tap,
            is_blind: is_blind.clone(),
            terms,
            permit: Permit::new(terms),
            board,
            status,
            measures: None,
            judge_due: Nanos::ZERO,
            beat_due: Nanos::ZERO,
        };
        (duty, MarketTap { ring, is_blind, has_lost: false }, GhostReader(status_reader))
    }

    fn watch(&self) -> Option<&TripWatch> {
        (self.sim.observer()? as &dyn Any).downcast_ref()
    }

    fn health(&self, now: Nanos) -> Health {
        if self.is_blind.is_set() {
            Health::Blind
        } else if self.tap.fill() > 0 && now.saturating_since(self.sim.virtual_now()) > BEHIND_NS {
            Health::Behind
        } else {
            Health::Good
        }
    }

    fn status_now(&self) -> Option<GhostStatus> {
        let core = self.core.quick_status();
        Some(GhostStatus::new(&self.permit, self.watch()?, self.measures, core.commands, core.pnl_micros))
    }

    /// Looks at the record, and tells what is permitted: at once where that has changed, and again and again, since a permission
    /// that is not repeated lapses.
    fn judge(&mut self, now: Nanos) {
        let Some(watch) = self.watch() else { return };
        // Open trips count with what they have paid and realised so far, and with the losses at the mid.
        let open = watch.under_way().saturating_add(self.core.open_losses());
        self.measures = watch.window().measures(self.terms.confidence, open);
        let measures = self.measures;
        let has_switched = self.permit.judge(measures.as_ref(), self.health(now), now);
        if has_switched || now >= self.beat_due {
            self.beat_due = now.saturating_add(BEAT_EVERY_NS);
            self.board.write(if self.permit.is_given() { 1.0 } else { 0.0 });
        }
        if let Some(status) = self.status_now() {
            self.status.write(status.to_words());
        }
    }
}

impl<S: Strategy + Send> Duty for GhostDuty<S> {
    fn name(&self) -> &'static str {
        "ghost"
    }

    fn poll(&mut self, now: Nanos) -> usize {
        // What a blind ghost would do means nothing.
        let work = if self.is_blind.is_set() { 0 } else { self.sim.poll(now) + self.core.poll(now) };
        if now >= self.judge_due {
            self.judge_due = now.saturating_add(JUDGE_EVERY_NS);
            self.judge(now);
        }
        work
    }

    fn finish(self: Box<Self>) -> DutyReport {
        let Some(status) = self.status_now() else { return DutyReport::None };
        match Box::new(self.core).finish() {
            DutyReport::Core(core) => {
                DutyReport::Ghost(Box::new(GhostReport { status, terms: self.terms, core: *core }))
            }
            _ => DutyReport::None,
        }
    }
}
