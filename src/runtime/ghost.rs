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

    /// A number that changes with each status.
    pub fn version(&self) -> u64 {
        self.0.version()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Limits;
    use crate::ghost::Reason;
    use crate::runtime::{Board, BoardReader};
    use crate::strategy::{Take, View, Wishes};
    use crate::types::{
        Book, BookKind, BookState, BookStatus, Control, InstrumentSpec, Level, Lots, Meta, Product, Rate, Side, Step,
        Symbol, Ticker, Ticks, VenueId,
    };

    /// In and out again, as often as it may.
    struct Flip;

    impl Strategy for Flip {
        fn on_market(&mut self, view: &View<'_>, wishes: &mut Wishes) {
            let (Some(bid), Some(ask)) = (view.touch.bid, view.touch.ask) else { return };
            if view.working.iter().any(|qty| !qty.is_zero()) {
                return;
            }
            let qty = Lots::new(10);
            wishes.take = Some(if view.position.is_zero() {
                Take { side: Side::Bid, px: ask.px, qty, reduce_only: false }
            } else {
                Take { side: Side::Ask, px: bid.px, qty, reduce_only: true }
            });
        }
    }

    struct Rig {
        ghost: GhostDuty<Flip>,
        tap: MarketTap,
        status: GhostReader,
        board: BoardReader,
        permitted: Option<f64>,
        now: u64,
    }

    impl Rig {
        /// A ghost that may trade live after two trips, whatever they lose, unless it does not see the market.
        fn new() -> Self {
            let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
            let symbol = Symbol::new(b"BTCUSDT").unwrap();
            let spec =
                InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
            let table = InstrumentTable::new(vec![spec]).unwrap();
            let mut board = Board::new();
            let writer = board.writer(crate::types::BoardSlot::GhostPermit).unwrap();
            let least = Money::new(-1_000 * Money::ONE.get());
            let limits = Limits { window_ticks: 128, far_levels_max: 64, orders_max: 16, exec_ids_max: 64 };
            let config = GhostConfig {
                terms: PermitTerms { trips_min: 2, bar: least, bar_off: least, pause_ns: 0, ..PermitTerms::default() },
                engine: EngineConfig { limits, ..EngineConfig::default() },
                latency: SimLatency::default(),
                queue: QueuePosition::default(),
                balance: Money::new(10_000 * Money::ONE.get()),
                leverage_e2: 500,
            };
            let (ghost, tap, status) = GhostDuty::new(config, &table, Flip, writer);
            let board = board.into_reader();
            let mut rig = Self { ghost, tap, status, board, permitted: None, now: 1_000_000_000 };
            let meta = rig.meta();
            rig.tap.offer(&Event::Ticker(Ticker {
                meta,
                mark_px: Money::ZERO,
                index_px: Money::ZERO,
                last_px: Ticks::new(600_000),
                funding_rate: Rate::ZERO,
                next_funding: Nanos::ZERO,
            }));
            let meta = rig.meta();
            rig.tap.offer(&Event::BookStatus(BookStatus { meta, state: BookState::Live }));
            rig
        }

        fn meta(&mut self) -> Meta {
            self.now += 20_000_000;
            Meta { recv: Nanos::new(self.now), seq: self.now, ..Meta::default() }
        }

        fn book(&mut self) {
            let meta = self.meta();
            let level = |px| [Level { px: Ticks::new(px), qty: Lots::new(100) }];
            let (bids, asks, kind) = (level(600_000), level(600_001), BookKind::Snapshot);
            self.tap.offer(&Event::Book(Book { meta, kind, cross_seq: meta.seq, bids: &bids, asks: &asks }));
        }

        fn poll(&mut self) -> usize {
            let work = self.ghost.poll(Nanos::new(self.now));
            self.permitted = self.board.change(0).map(|(_, value)| value).or(self.permitted);
            work
        }

        /// The market moves for two seconds, and the ghost with it.
        fn play(&mut self) {
            for _ in 0..100 {
                self.book();
                while self.poll() > 0 {}
            }
        }

        fn status(&self) -> GhostStatus {
            self.status.read().unwrap()
        }
    }

    #[test]
    fn it_trades_on_paper_before_it_permits_and_says_what_it_permits() {
        let mut rig = Rig::new();
        rig.poll();
        assert_eq!((rig.permitted, rig.status().reason), (Some(0.0), Reason::FewTrips));
        rig.play();
        let status = rig.status();
        assert_eq!((rig.permitted, status.reason, status.switches), (Some(1.0), Reason::Proven, 1));
        assert!(status.trips > 2 && status.fills >= 2 * status.trips && status.pnl_micros < 0, "{status:?}");
        assert!(status.measures.unwrap().mean < 0.0);
        let DutyReport::Ghost(report) = Box::new(rig.ghost).finish() else { panic!("it should leave a report") };
        assert_eq!(report.core.engine.counts.fills, status.fills);
        assert_eq!(report.status.trips, status.trips);
    }

    #[test]
    fn it_repeats_what_it_permits_though_nothing_happens() {
        let mut rig = Rig::new();
        rig.play();
        rig.board.change(0);
        for _ in 0..3 {
            rig.now += BEAT_EVERY_NS;
            rig.ghost.poll(Nanos::new(rig.now));
            assert_eq!(rig.board.change(0).map(|(_, value)| value), Some(1.0));
        }
    }

    #[test]
    fn behind_the_market_it_permits_nothing_until_it_has_caught_up() {
        let mut rig = Rig::new();
        rig.play();
        (0..2_000).for_each(|_| rig.book());
        rig.poll();
        assert_eq!((rig.permitted, rig.status().reason), (Some(0.0), Reason::Behind));
        while rig.poll() > 0 {}
        rig.play();
        assert_eq!((rig.permitted, rig.status().reason), (Some(1.0), Reason::Proven));
    }

    #[test]
    fn an_event_that_was_lost_ends_its_permission_for_good() {
        let mut rig = Rig::new();
        rig.play();
        let mut offered = 0;
        while !rig.ghost.is_blind.is_set() {
            assert!(rig.tap.ring.gauge().fill() <= TAP_RING_SLOTS);
            rig.book();
            offered += 1;
        }
        assert!(offered > TAP_RING_SLOTS / 2, "a book here takes two slots");
        rig.poll();
        assert_eq!((rig.permitted, rig.status().reason), (Some(0.0), Reason::Blind));
        let (fill, trips) = (rig.tap.ring.gauge().fill(), rig.status().trips);
        rig.play();
        rig.play();
        assert_eq!((rig.permitted, rig.status().reason, rig.status().trips), (Some(0.0), Reason::Blind, trips));
        assert_eq!(rig.tap.ring.gauge().fill(), fill, "it is given nothing more");
    }

    #[test]
    fn what_is_not_the_market_is_not_its_business() {
        let mut rig = Rig::new();
        let before = rig.tap.ring.gauge().fill();
        let meta = rig.meta();
        // A word to stop would end the paper session, a timer would be told twice.
        rig.tap.offer(&Event::Control(meta, Control::Stop));
        rig.tap.offer(&Event::Timer(meta));
        assert_eq!(rig.tap.ring.gauge().fill(), before);
    }
}
