//! Assembles a live run: feed → core → gateway, on any topology, and a way to talk to the core from the shell.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::board::Analysts;
use super::clock::{Clock, ClockProbe};
use super::clock_offset::{ClockOffset, OffsetEstimate, OffsetReader, OffsetWriter};
use super::core::{CoreDuty, CoreReport, StatusReader};
use super::duty::{Duty, DutyReport};
use super::gateway::{GatewayConfig, GatewayDuty, GatewayReport};
use super::ghost::{GhostReport, MarketTap};
use super::live_feed::{LiveFeedConfig, LiveFeedDuty};
use super::reconcile::{ReconcileDuty, ReconcileReport, ReconcilerConfig};
use super::recorder::{JournalBounds, RecorderDuty, RecorderReport};
use super::replay_feed::FeedReport;
use super::rest_orders::{RestOrdersConfig, RestOrdersDuty, RestOrdersReport};
use super::thread::{Idle, RunningThread, ThreadPlan, start};
use super::topology::{DutyKind, Topology};
use super::witness::{WitnessDuty, WitnessPlan, Witnessed};
use super::{COMMAND_RING_SLOTS, JOURNAL_RING_SLOTS, MARKET_RING_SLOTS};
use crate::engine::{Engine, EngineConfig};
use crate::guard::{CorePulse, GatewayPulse, Heartbeat, PulseTerms};
use crate::journal::JournalHeader;
use crate::ring::{Flag, Gauge, Producer, spsc};
use crate::slow_risk::SlowRiskReport;
use crate::strategy::Strategy;
use crate::types::{Event, InstrumentTable, Record};
use crate::venue::MarketFeed;
use crate::venue::bybit::BlockingLane;
use crate::venue::bybit::rest::RestClient;

/// Slots of the ring from the shell to the core: a few words of a person.
const CONTROL_RING_SLOTS: usize = 256;

/// What a live run needs beside engine and strategy.
pub struct LiveOptions {
    /// Instruments.
    pub table: InstrumentTable,
    /// Decoder of the public stream.
    pub market_feed: MarketFeed,
    /// The public stream.
    pub feed: LiveFeedConfig,
    /// Further connections for instruments that one connection may not carry, each with a decoder of its own. They share
    /// the feed's thread; each instrument belongs to one of them.
    pub more_feeds: Vec<(MarketFeed, LiveFeedConfig)>,
    /// Order entry and private stream.
    pub gateway: GatewayConfig,
    /// Threads.
    pub topology: Topology,
    /// Core of each thread; threads beyond the list are not pinned.
    pub cpus: Vec<usize>,
    /// What threads do without work.
    pub idle: Idle,
    /// Real-time priority of each thread; `None` and threads beyond the list are left with the ordinary scheduler.
    pub real_time: Vec<Option<u8>>,
    /// The journal.
    pub journal: Option<LiveJournal>,
    /// Who answers the engine's questions; none: the engine's configuration must ask none.
    pub reconcile: Option<LiveReconcile>,
    /// Sends orders over REST; needed where the gateway has no trade link, and not used elsewhere.
    pub rest_orders: Option<RestClient>,
    /// Where core and gateway beat for a guard, and on what terms they trade.
    pub guard: Option<(Arc<Heartbeat>, PulseTerms)>,
    /// Slow brains beside the hot threads, and the board through which they speak to the core.
    pub analysts: Analysts,
    /// Gives a ghost among the analysts what the core consumes of the market.
    pub tap: Option<MarketTap>,
    /// Watches the hot threads; the process must then exit, since they cannot be ended.
    pub witness: Option<WitnessPlan>,
}

/// The journal of a live run.
pub struct LiveJournal {
    /// Its file, which must not exist.
    pub path: PathBuf,
    /// What an equal engine is made from. The topology and the moment of the start are filled in.
    pub header: JournalHeader,
    /// How large it may become.
    pub bounds: JournalBounds,
}

/// What the reconciler of a live run needs.
pub struct LiveReconcile {
    /// Who we are.
    pub config: ReconcilerConfig,
    /// The way to the venue.
    pub rest: RestClient,
    /// The first estimate of the venue's clock, and where later ones are published for the gateway.
    pub offset: (ClockOffset, OffsetWriter),
    /// Venue time at which this session's executions begin, in milliseconds.
    pub executions_since_ms: u64,
}

/// A running engine.
pub struct Live {
    control: Producer<Record>,
    status: StatusReader,
    threads: Vec<RunningThread>,
    recorder: Option<RunningThread>,
    reconciler: Option<RunningThread>,
    rest_orders: Option<RunningThread>,
    analysts: Option<RunningThread>,
    stop: Flag,
    recorder_stop: Flag,
    gateway_ready: Flag,
    journal_lost: Flag,
    clock: Clock,
    started: Instant,
    witnessed: Vec<Witnessed>,
    rings: Vec<(&'static str, Gauge<Record>)>,
    clock_offset: OffsetReader,
}

/// How full a ring of a live run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingFill {
    /// From where to where, like `core to gateway`; market data connections have a ring each, all of the same name.
    pub name: &'static str,
    /// Slots that are published and not freed.
    pub fill: usize,
    /// Slots in all.
    pub capacity: usize,
}

/// What a live run leaves behind.
#[derive(Debug)]
pub struct LiveOutcome {
    /// The feed's side.
    pub feed: FeedReport,
    /// The engine's side.
    pub core: CoreReport,
    /// The gateway's side.
    pub gateway: GatewayReport,
    /// The journal, if there was one.
    pub recorder: Option<RecorderReport>,
    /// The questions, if any were asked.
    pub reconcile: Option<ReconcileReport>,
    /// The orders over REST, if that is how they went.
    pub rest_orders: Option<RestOrdersReport>,
    /// The ghost, if there was one and it did not panic.
    pub ghost: Option<GhostReport>,
    /// What slow risk measured, if it did and lived.
    pub slow_risk: Option<SlowRiskReport>,
    /// Whether the thread of the analysts panicked: a bug, which does not end the run.
    pub has_lost_analysts: bool,
    /// Wall-clock seconds.
    pub elapsed_s: f64,
    /// Allocations on hot duties after warm-up; `None` if they were not counted.
    pub hot_allocations: Option<u64>,
}

/// Why a live run could not start or end as it should.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The journal cannot be written.
    #[error("journal {}: {source}", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused a thread.
    #[error("could not start a thread: {0}")]
    Thread(#[from] io::Error),
    /// A thread panicked: a bug.
    #[error("thread `{0}` panicked")]
    Panicked(String),
    /// A duty left no report: a bug.
    #[error("duty `{0}` left no report")]
    NoReport(&'static str),
}

/// Slots of a ring from a feed with so many instruments: when all are subscribed at once, all snapshots come at once. One of
/// 50 levels a side is 34 records, and a second stream beside it brings one more.
pub(super) fn market_ring_slots(instruments: usize) -> usize {
    (instruments * 64).next_power_of_two().clamp(MARKET_RING_SLOTS, 8 * MARKET_RING_SLOTS)
}

impl Live {
    /// Starts the threads. The engine watches until it is armed.
    ///
    /// # Errors
    /// [`LiveError`]: a journal that cannot be created, or no thread.
    pub fn start<S: Strategy + Send + 'static>(
        options: LiveOptions,
        config: EngineConfig,
        strategy: S,
    ) -> Result<Self, LiveError> {
        let LiveOptions {
            table,
            market_feed,
            feed,
            more_feeds,
            gateway,
            topology,
            cpus,
            idle,
            real_time,
            journal,
            reconcile,
            rest_orders,
            guard,
            analysts,
            tap,
            witness,
        } = options;
        let clock = Clock::new();
        let mut rings: Vec<(&'static str, Gauge<Record>)> = Vec::new();
        let clock_offset = gateway.clock_offset.clone();
        let mut market_rings = Vec::new();
        let mut feeds = Vec::new();
        for (decoder, config) in std::iter::once((market_feed, feed)).chain(more_feeds) {
            let (from_feed, to_core) = spsc(market_ring_slots(table.len()));
            rings.push(("feed to core", from_feed.gauge()));
            market_rings.push(to_core);
            feeds.push(LiveFeedDuty::new(config, decoder, &table, from_feed, clock.clone()));
        }
        let (gateway_events, to_core_orders) = spsc(MARKET_RING_SLOTS);
        let (core_commands, to_gateway) = spsc(COMMAND_RING_SLOTS);
        let (control, to_core_control) = spsc(CONTROL_RING_SLOTS);
        rings.push(("gateway to core", gateway_events.gauge()));
        rings.push(("core to gateway", core_commands.gauge()));
        rings.push(("shell to core", control.gauge()));
        let (stop, recorder_stop, gateway_ready) = (Flag::new(), Flag::new(), Flag::new());
        let journal_lost = Flag::new();

        let (journal_ring, recorder) = match journal {
            Some(LiveJournal { path, mut header, bounds }) => {
                let (producer, consumer) = spsc(JOURNAL_RING_SLOTS);
                rings.push(("core to recorder", producer.gauge()));
                header.started = clock.now().get();
                header.topology = topology.to_string();
                let duty = RecorderDuty::create(consumer, path.clone(), &header, bounds, journal_lost.clone())
                    .map_err(|source| LiveError::Journal { path, source })?;
                (Some(producer), Some(duty))
            }
            None => (None, None),
        };
        let engine = Engine::with_probe(&table, config, strategy, ClockProbe(clock.clone()));
        // Order news before market data: what we own comes before what we want.
        let (answers, to_core_answers) = spsc(MARKET_RING_SLOTS);
        let (order_answers, to_core_order_answers) = spsc(COMMAND_RING_SLOTS);
        let mut inputs = vec![to_core_control, to_core_orders, to_core_order_answers, to_core_answers];
        inputs.append(&mut market_rings);
        let (core, status) = CoreDuty::new(engine, inputs, core_commands, journal_ring, true, Flag::new());
        let mut core = core.watch(analysts.board);
        if let Some(tap) = tap {
            core.set_tap(tap);
        }
        if let Some(samples) = analysts.samples {
            core.sample_for(samples);
        }
        let reconciler = match reconcile {
            Some(LiveReconcile { config, rest, offset, executions_since_ms }) => {
                let (questions, to_reconciler) = spsc(COMMAND_RING_SLOTS);
                rings.push(("core to reconciler", questions.gauge()));
                rings.push(("reconciler to core", answers.gauge()));
                core = core.ask_through(questions);
                let lane = BlockingLane::new(rest);
                let clock = clock.clone();
                Some(ReconcileDuty::new(
                    config,
                    &table,
                    lane,
                    to_reconciler,
                    answers,
                    clock,
                    offset,
                    executions_since_ms,
                ))
            }
            None => None,
        };
        let mut rest_orders = match (rest_orders, &gateway.trade) {
            (Some(rest), None) => {
                let config = RestOrdersConfig {
                    rest,
                    run_id: gateway.run_id,
                    recv_window_ms: gateway.recv_window_ms,
                    clock_offset: gateway.clock_offset.clone(),
                    send_within_ns: gateway.send_within_ns,
                };
                let (handed_on, to_rest) = spsc(COMMAND_RING_SLOTS);
                rings.push(("gateway to REST orders", handed_on.gauge()));
                rings.push(("REST orders to core", order_answers.gauge()));
                Some((RestOrdersDuty::new(config, &table, to_rest, order_answers, clock.clone()), handed_on))
            }
            _ => None,
        };
        let mut gateway =
            GatewayDuty::new(gateway, &table, to_gateway, gateway_events, clock.clone(), gateway_ready.clone());
        if recorder.is_some() {
            gateway.tell_sent();
        }
        if let Some((beat, terms)) = guard {
            core.set_pulse(CorePulse::new(beat.clone(), terms));
            if let Some((duty, _)) = &mut rest_orders {
                duty.set_pulse(GatewayPulse::new(beat.clone(), terms));
            }
            gateway.set_pulse(GatewayPulse::new(beat, terms));
        }
        let rest_orders = rest_orders.map(|(duty, handed_on)| {
            gateway.hand_on(handed_on);
            duty
        });
        let mut parts: Vec<(DutyKind, Box<dyn Duty>)> = Vec::new();
        for feed in feeds {
            parts.push((DutyKind::Feed, Box::new(feed)));
        }
        parts.push((DutyKind::Core, Box::new(core)));
        parts.push((DutyKind::Gateway, Box::new(gateway)));
        let (mut threads, mut witnessed) = (Vec::new(), Vec::new());
        for (idx, kinds) in topology.threads().iter().enumerate() {
            let mut duties: Vec<Box<dyn Duty>> = Vec::new();
            if let Some(plan) = &witness {
                let (duty, thread) = WitnessDuty::new(plan.clone(), kinds);
                duties.push(Box::new(duty));
                witnessed.push(thread);
            }
            for kind in kinds {
                while let Some(at) = parts.iter().position(|part| part.0 == *kind) {
                    duties.push(parts.remove(at).1);
                }
            }
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            let plan = ThreadPlan {
                name: names.join("+"),
                cpu: cpus.get(idx).copied(),
                real_time: real_time.get(idx).copied().flatten(),
                idle,
                duties,
            };
            threads.push(start(plan, clock.clone(), stop.clone())?);
        }
        let recorder = match recorder {
            Some(duty) => {
                let duties: Vec<Box<dyn Duty>> = vec![Box::new(duty)];
                let plan =
                    ThreadPlan { name: "recorder".to_owned(), cpu: None, real_time: None, idle: Idle::Backoff, duties };
                Some(start(plan, clock.clone(), recorder_stop.clone())?)
            }
            None => None,
        };
        let reconciler = match reconciler {
            Some(duty) => {
                let duties: Vec<Box<dyn Duty>> = vec![Box::new(duty)];
                let plan = ThreadPlan {
                    name: "reconcile".to_owned(),
                    cpu: None,
                    real_time: None,
                    idle: Idle::Backoff,
                    duties,
                };
                Some(start(plan, clock.clone(), stop.clone())?)
            }
            None => None,
        };
        let rest_orders = match rest_orders {
            Some(duty) => {
                let duties: Vec<Box<dyn Duty>> = vec![Box::new(duty)];
                let plan = ThreadPlan {
                    name: "rest-orders".to_owned(),
                    cpu: None,
                    real_time: None,
                    idle: Idle::Backoff,
                    duties,
                };
                Some(start(plan, clock.clone(), stop.clone())?)
            }
            None => None,
        };
        let analysts = if analysts.duties.is_empty() {
            None
        } else {
            let plan = ThreadPlan {
                name: "analyst".to_owned(),
                cpu: None,
                real_time: None,
                idle: Idle::Backoff,
                duties: analysts.duties,
            };
            Some(start(plan, clock.clone(), stop.clone())?)
        };
        let started = Instant::now();
        Ok(Self {
            control,
            status,
            threads,
            recorder,
            reconciler,
            rest_orders,
            analysts,
            stop,
            recorder_stop,
            gateway_ready,
            journal_lost,
            clock,
            started,
            witnessed,
            rings,
            clock_offset,
        })
    }

    /// Tells the core something; returns whether it was taken.
    pub fn tell(&mut self, event: &Event<'_>) -> bool {
        event.publish(&mut self.control)
    }

    /// The run's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Reads the core's figures.
    pub fn status(&self) -> &StatusReader {
        &self.status
    }

    /// How full its rings are at about this moment.
    pub fn rings(&self) -> impl Iterator<Item = RingFill> {
        self.rings.iter().map(|(name, gauge)| RingFill { name, fill: gauge.fill(), capacity: gauge.capacity() })
    }

    /// The venue's clock less ours, as it was compared last; `None` in the moment in which that is replaced.
    pub fn clock_offset(&self) -> Option<OffsetEstimate> {
        self.clock_offset.estimate()
    }

    /// Whether order entry and private stream are logged in.
    pub fn is_gateway_ready(&self) -> bool {
        self.gateway_ready.is_set()
    }

    /// Whether a thread has ended by itself, which it should not. Analysts do not count: what they said last loses its weight
    /// with its age, and a run can go on without them.
    pub fn has_broken(&self) -> bool {
        self.threads.iter().chain(&self.rest_orders).any(RunningThread::is_finished)
    }

    /// Whether the journal cannot be written any more.
    pub fn is_journal_lost(&self) -> bool {
        self.journal_lost.is_set()
    }

    /// The hot threads that are watched.
    pub fn witnessed(&self) -> &[Witnessed] {
        &self.witnessed
    }

    /// Ends the threads and collects what they leave behind. The journal is closed last and whole.
    ///
    /// # Errors
    /// [`LiveError`]: a thread that panicked.
    pub fn finish(self) -> Result<LiveOutcome, LiveError> {
        self.stop.set();
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let mut feed: Option<FeedReport> = None;
        let (mut core, mut gateway, mut recorder, mut reconcile) = (None, None, None, None);
        let (mut rest_orders, mut ghost, mut slow_risk) = (None, None, None);
        let mut hot_allocations: Option<u64> = None;
        let mut take = |thread: RunningThread| -> Result<(), LiveError> {
            let end = thread.join().map_err(LiveError::Panicked)?;
            if let Some(count) = end.hot_allocations {
                hot_allocations = Some(hot_allocations.unwrap_or(0) + count);
            }
            for report in end.reports {
                match report {
                    DutyReport::Feed(report) => match &mut feed {
                        Some(feed) => feed.merge(*report),
                        None => feed = Some(*report),
                    },
                    DutyReport::Core(report) => core = Some(*report),
                    DutyReport::Gateway(report) => gateway = Some(*report),
                    DutyReport::Recorder(report) => recorder = Some(*report),
                    DutyReport::Reconcile(report) => reconcile = Some(*report),
                    DutyReport::RestOrders(report) => rest_orders = Some(*report),
                    DutyReport::Ghost(report) => ghost = Some(*report),
                    DutyReport::SlowRisk(report) => slow_risk = Some(*report),
                    DutyReport::SimVenue(_) | DutyReport::None => {}
                }
            }
            Ok(())
        };
        for thread in self.threads.into_iter().chain(self.reconciler).chain(self.rest_orders) {
            take(thread)?;
        }
        let mut has_lost_analysts = false;
        if let Some(thread) = self.analysts {
            match take(thread) {
                // Its figures are lost, not the run's.
                Err(LiveError::Panicked(_)) => has_lost_analysts = true,
                end => end?,
            }
        }
        self.recorder_stop.set();
        if let Some(thread) = self.recorder {
            take(thread)?;
        }
        Ok(LiveOutcome {
            feed: feed.ok_or(LiveError::NoReport("feed"))?,
            core: core.ok_or(LiveError::NoReport("core"))?,
            gateway: gateway.ok_or(LiveError::NoReport("gateway"))?,
            recorder,
            reconcile,
            rest_orders,
            ghost,
            slow_risk,
            has_lost_analysts,
            elapsed_s,
            hot_allocations,
        })
    }
}
