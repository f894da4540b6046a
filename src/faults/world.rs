//! One run: a venue, the duties of a live engine, and time that passes only here.

use super::armed::Watch;
use super::lane::MemoryLane;
use super::verdict::{Verdict, compare};
use crate::{
    engine::{Engine, EngineConfig, Limits, NoProbe, ReconcileConfig, StopConfig},
    net::{MemoryDialer, WsLimits, WsUrl},
    ring::{Flag, Producer, spsc},
    runtime::{
        Clock, ClockOffset, CoreDuty, CoreReport, Dial, Duty, DutyReport, GatewayConfig, GatewayDuty, LinkConfig,
        LiveFeedConfig, LiveFeedDuty, ReconcileDuty, ReconcilerConfig, StatusReader, clock_offset,
    },
    sim::{Account, AccountId},
    simex::{AccountConfig, FeedConfig as Market, SimexConfig, SimexHub, fault::FaultScript},
    strategy::{MarketMaker, MarketMakerConfig},
    types::{Control, Event, InstrumentId, InstrumentTable, Meta, Money, Nanos, Product, Rate, Record, VenueId},
    venue::{
        FeedConfig, MarketFeed,
        bybit::{
            Secret, Signer,
            encode::{market_topics, subscribe, unsubscribe},
        },
    },
};
use std::sync::Arc;

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// The seed of the market.
    pub seed: u64,
    /// What goes wrong.
    pub script: FaultScript,
    /// Virtual time from the start of trading to the end; trading stops [`STOP_BEFORE_NS`] earlier.
    pub duration_ns: u64,
    /// With a capital: breakers and limits are tight, the venue's own books are held against it after every step, and at the
    /// end all positions are closed.
    pub capital: Option<Money>,
    /// The stop order that protects each position at the venue, if one is to.
    pub stops: Option<StopConfig>,
}

/// Plays one run to its end and judges it.
///
/// # Panics
/// If the built-in configuration were refused: a bug, and the same for every seed.
pub fn run(options: &WorldOptions) -> Verdict {
    World::new(options).play(options)
}

struct World {
    hub: SimexHub,
    now: Nanos,
    time: crate::runtime::VirtualTime,
    feed: Box<dyn Duty>,
    core: Box<dyn Duty>,
    gateway: Box<dyn Duty>,
    reconcile: Box<dyn Duty>,
    control: Producer<Record>,
    status: StatusReader,
    ready: Flag,
    instruments: usize,
    watch: Option<Watch>,
}

impl World {
    fn new(options: &WorldOptions) -> Self {
        let config = venue_config(options);
        let now = Nanos::from_millis(START_MS);
        let account = config.accounts.first().cloned().unwrap_or_default();
        let specs = config.listings.iter().map(|listing| listing.spec).collect();
        let table = InstrumentTable::new(specs).expect("two instruments fit into a table");
        let mut hub = SimexHub::new(config, now);
        let dialer = hub.dialer(PIPE_BYTES);
        let (clock, time) = Clock::virtual_at(now);
        let (ready, signer) = (Flag::new(), Arc::new(Signer::new(&Secret::new(account.api_secret.clone()))));
        let run_id = options.seed as u32;

        let (from_feed, to_core_market) = spsc(RING_SLOTS);
        let (gateway_events, to_core_orders) = spsc(RING_SLOTS);
        let (core_commands, to_gateway) = spsc(crate::runtime::COMMAND_RING_SLOTS);
        let (control, to_core_control) = spsc(256);
        let (answers, to_core_answers) = spsc(RING_SLOTS);
        let (questions, to_reconciler) = spsc(crate::runtime::COMMAND_RING_SLOTS);
        let (offset_writer, offset_reader) = clock_offset();

        let config = engine_config(options);
        let watch = options.capital.map(|_| Watch::new(ACCOUNT, config.risk));
        let engine = Engine::with_probe(&table, config, strategy(table.len()), NoProbe);
        let inputs = vec![to_core_control, to_core_orders, to_core_answers, to_core_market];
        let (core, status) = CoreDuty::new(engine, inputs, core_commands, None, true, Flag::new());
        let core = core.ask_through(questions);
        let feed_config = FeedConfig { book_depth: Some(DEPTH), assume_empty: false };
        let market_feed = MarketFeed::new(VenueId::BYBIT, &table, feed_config).expect("there is a decoder for bybit");
        let feed = LiveFeedDuty::new(live_feed(&table, &dialer), market_feed, &table, from_feed, clock.clone());
        let gateway = GatewayConfig {
            trade: Some(link("/v5/trade", &dialer)),
            private: link("/v5/private", &dialer),
            api_key: account.api_key.clone(),
            signer: Arc::clone(&signer),
            run_id,
            recv_window_ms: RECV_WINDOW_MS,
            clock_offset: offset_reader,
            send_within_ns: 1_000_000_000,
            warm_every_ns: 0,
            fast_executions: true,
            settle_coin: "USDT".to_owned(),
        };
        let gateway = GatewayDuty::new(gateway, &table, to_gateway, gateway_events, clock.clone(), ready.clone());
        let lane = MemoryLane::new(dialer, signer, &account.api_key, RECV_WINDOW_MS);
        let reconciler = ReconcilerConfig { ban_pause_ns: BAN_PAUSE_NS, ..ReconcilerConfig::new(run_id, "USDT") };
        let offset = (ClockOffset::default(), offset_writer);
        let reconcile = ReconcileDuty::new(reconciler, &table, lane, to_reconciler, answers, clock, offset, START_MS);
        Self {
            hub,
            now,
            time,
            feed: Box::new(feed),
            core: Box::new(core),
            gateway: Box::new(gateway),
            reconcile: Box::new(reconcile),
            control,
            status,
            ready,
            instruments: table.len(),
            watch,
        }
    }

    /// Lets one step of time pass: first at the venue, then at the client, whose clock may be wrong and which may be stopped.
    fn step(&mut self) {
        self.now = self.now.saturating_add(STEP_NS);
        self.hub.poll(self.now);
        let simex = self.hub.simex();
        if let Some(watch) = &mut self.watch {
            watch.look(simex.venue());
        }
        if simex.is_client_frozen(self.now) {
            return;
        }
        let here = Nanos::new(self.now.get().saturating_add_signed(simex.client_clock_ahead_ns(self.now)));
        self.time.set(here);
        self.feed.poll(here);
        self.core.poll(here);
        self.gateway.poll(here);
        // News that the gateway has read, and what follows from it, in the same step: the client is faster than a step.
        self.core.poll(here);
        self.gateway.poll(here);
        self.reconcile.poll(here);
    }

    /// Steps until `is_done` or `until`; returns whether it was done.
    fn step_until(&mut self, until: Nanos, is_done: impl Fn(&Self) -> bool) -> bool {
        while self.now < until {
            if is_done(self) {
                return true;
            }
            self.step();
        }
        is_done(self)
    }

    fn tell(&mut self, event: &Event<'_>) {
        let taken = event.publish(&mut self.control);
        debug_assert!(taken, "the shell says a few words, and the core takes them in each step");
    }

    fn meta(&self) -> Meta {
        Meta { recv: self.time.now(), ..Meta::default() }
    }

    fn is_ready(&self) -> bool {
        let status = self.status.read().unwrap_or_default();
        self.ready.is_set() && status.is_synced && status.books_live == self.instruments as u64
    }

    fn open_at_venue(&self) -> usize {
        let venue = self.hub.simex().venue();
        (0..self.instruments).map(|idx| venue.open_orders(ACCOUNT, InstrumentId(idx as u16)).count()).sum()
    }

    fn is_flat(&self) -> bool {
        let venue = self.hub.simex().venue();
        let holds = |owner: &Account| owner.holdings().iter().any(|held| !held.qty.is_zero());
        if self.watch.is_some() && venue.account(ACCOUNT).is_some_and(holds) {
            return false;
        }
        let is_flat_here = self.status.read().is_some_and(|status| status.is_stopping && status.open_orders == 0);
        is_flat_here && self.open_at_venue() == 0
    }

    fn play(mut self, options: &WorldOptions) -> Verdict {
        let began = self.now;
        let mut is_finished = self.step_until(began.saturating_add(READY_WITHIN_NS), Self::is_ready);
        let start = self.now;
        self.hub.set_faults(&options.script, start);
        let meta = self.meta();
        self.tell(&Event::Control(meta, Control::Arm));

        let end = start.saturating_add(options.duration_ns);
        let stop = Nanos::new(end.get().saturating_sub(STOP_BEFORE_NS)).max(start);
        self.step_until(stop, |_| false);
        let meta = self.meta();
        let control = if options.capital.is_some() { Control::Flatten } else { Control::Stop };
        self.tell(&Event::Control(meta, control));
        let asked = self.now;
        // Status is published every tenth of a second: what it says may be older than the order to stop.
        self.step_until(self.now.saturating_add(SETTLE_NS), |_| false);
        is_finished &= self.step_until(end.saturating_add(OVERTIME_NS), Self::is_flat);
        let flat_after_ns = self.now.saturating_since(asked);
        // The last news: fills of orders that are gone, and what a reconciliation still asks.
        self.step_until(self.now.saturating_add(SETTLE_NS), |_| false);
        self.judge(options, is_finished, began, flat_after_ns)
    }

    fn judge(self, options: &WorldOptions, is_finished: bool, began: Nanos, flat_after_ns: u64) -> Verdict {
        let simex = self.hub.simex();
        let mut first_errors = Vec::new();
        let mut core: Option<Box<CoreReport>> = None;
        for duty in [self.feed, self.core, self.gateway, self.reconcile] {
            match duty.finish() {
                DutyReport::Core(report) => core = Some(report),
                DutyReport::Feed(report) => first_errors.extend(report.first_errors),
                DutyReport::Gateway(report) => first_errors.extend(report.first_errors),
                DutyReport::Reconcile(report) => first_errors.extend(report.first_errors),
                _ => {}
            }
        }
        simex.venue().assert_invariants();
        let engine = core.expect("the core leaves a report").engine;
        let report = simex.report();
        let (breaches, stake_max) = self.watch.map(Watch::end).unwrap_or_default();
        Verdict {
            seed: options.seed,
            script: options.script.clone(),
            differences: compare(&engine, simex, ACCOUNT),
            breaches,
            stake_max,
            levels: engine.risk.levels,
            flat_after_ns,
            is_finished,
            orders: engine.orders.sent,
            stops: engine.stops.as_ref().map(|stops| stops.counts).unwrap_or_default(),
            fills: report.accounts.first().map_or(0, |account| account.fills),
            fired: simex.faults_fired(),
            elapsed_ns: self.now.saturating_since(began),
            messages: report.messages_out,
            fingerprint: format!("{report:?} {:?} {:?}", engine.orders, engine.counts),
            first_errors,
        }
    }
}

/// The venue of every run: two instruments, one account, a lively crowd.
fn venue_config(options: &WorldOptions) -> SimexConfig {
    let mut config = SimexConfig {
        feed: Market::Population { seed: options.seed },
        accounts: vec![AccountConfig::default()],
        // Half of a millisecond each way, rounded up to a step: answers and news interleave.
        uplink_ns: 500_000,
        downlink_ns: 500_000,
        // Often and much, so that a payment that is lost or booked twice shows in every wallet.
        funding_interval_ns: if options.capital.is_some() { 60_000_000_000 } else { 20_000_000_000 },
        funding_rate: Rate::new(500_000),
        ..SimexConfig::default()
    };
    for listing in &mut config.listings {
        listing.ticks_per_second = 20;
    }
    config
}

/// Quotes at the touch, small and often: what matters is that there are many orders, changes and fills.
fn strategy(instruments: usize) -> MarketMaker {
    let whole = |units: i128| Money::new(units * Money::ONE.get());
    let config = MarketMakerConfig {
        quote_value: whole(300),
        position_value_max: whole(1_500),
        risk_aversion: 0.01,
        fill_decay: 5.0,
        cover_fees: false,
        tolerance_ticks: 0,
        ..MarketMakerConfig::default()
    };
    MarketMaker::new(config, instruments)
}

fn engine_config(options: &WorldOptions) -> EngineConfig {
    let reconcile = ReconcileConfig { every_ns: 10_000_000_000, ..ReconcileConfig::default() };
    let mut config = EngineConfig {
        reconcile,
        stops: options.stops,
        limits: Limits { window_ticks: 4_096, far_levels_max: 1_024, orders_max: 256, exec_ids_max: 8_192 },
        ..EngineConfig::default()
    };
    if let Some(capital) = options.capital {
        let share = |percent: i128| Money::new(capital.get() / 100 * percent);
        config.risk.capital = capital;
        config.risk.day_loss_max = share(20);
        config.risk.drawdown_max = share(25);
        config.breakers.position_loss_max = share(10);
        config.breakers.heat_max = share(15);
        config.breakers.errors_max = 40;
        config.breakers.cool_down_ns = 5_000_000_000;
        return config;
    }
    // A day of fees must not end the trading that is to be tested.
    config.risk.day_loss_max = Money::new(50_000 * Money::ONE.get());
    config.risk.drawdown_max = Money::new(50_000 * Money::ONE.get());
    config
}

fn link(path: &str, dialer: &MemoryDialer) -> LinkConfig {
    let url = WsUrl { tls: false, host: "simulated".to_owned(), port: 80, target: path.to_owned() };
    let limits = WsLimits { recv_bytes: 1 << 17, send_bytes: 1 << 15, message_bytes_max: 1 << 16 };
    LinkConfig { url, tls: None, limits, dial: Dial::Memory(dialer.clone()), ban_pause_ns: BAN_PAUSE_NS }
}

fn live_feed(table: &InstrumentTable, dialer: &MemoryDialer) -> LiveFeedConfig {
    let bytes = |messages: Option<Vec<String>>| messages.into_iter().flatten().map(String::into_bytes);
    let mut topics = Vec::new();
    let mut resubscribe = Vec::new();
    for (_, spec) in table.iter() {
        topics.extend(market_topics(spec.symbol.as_str(), DEPTH, Product::Linear));
        let book = [format!("orderbook.{DEPTH}.{}", spec.symbol)];
        let ends = bytes(unsubscribe(&book, Product::Linear));
        resubscribe.push(ends.chain(bytes(subscribe(&book, Product::Linear))).collect());
    }
    let subscribe = bytes(subscribe(&topics, Product::Linear)).collect();
    // Two connections that race, renewed while they live: more of what can go wrong.
    LiveFeedConfig {
        connections: 2,
        renew_every_ns: 40_000_000_000,
        ..LiveFeedConfig::new(link("/v5/public/linear", dialer), subscribe, resubscribe)
    }
}

/// The account that trades.
const ACCOUNT: AccountId = AccountId(0);

/// How old a request may be when the venue gets it.
const RECV_WINDOW_MS: u32 = 5_000;

/// Questions rest so long after a ban: the simulated venue's bans are shorter than the real one's ten minutes.
const BAN_PAUSE_NS: u64 = 5_000_000_000;

/// When every run begins.
const START_MS: u64 = 1_711_001_595_207;

/// Time passes in steps of this: finer than any interval of the venue.
const STEP_NS: u64 = 1_000_000;

/// Levels of the books.
const DEPTH: u16 = 50;

/// What a pipe holds each way.
const PIPE_BYTES: usize = 1 << 16;

/// Slots of rings with books of [`DEPTH`] levels a side.
const RING_SLOTS: usize = crate::runtime::MARKET_RING_SLOTS;

/// Longest time until all connections and books stand; nothing is wrong yet.
const READY_WITHIN_NS: u64 = 5_000_000_000;

/// Trading stops so long before the end.
pub const STOP_BEFORE_NS: u64 = 15_000_000_000;

/// Longest time that orders may stay open after the end.
const OVERTIME_NS: u64 = 45_000_000_000;

/// Time for news under way.
const SETTLE_NS: u64 = 500_000_000;
