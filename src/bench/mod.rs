//! Measures tick to order: load generator, floor and engine in turns, and the report about them.
//!
//! ```text
//! round 1: floor, engine · round 2: floor, engine · …        the same generator, ticks and schedule for both
//! ```
//!
//! Thread: the shell's; generator, floor and engine run on threads of their own. The figure is wire to wire: from the moment
//! at which a tick was due to the arrival of the order that it caused, seen from outside the engine. What the engine
//! stamps inside comes with it, stage by stage. All of it is shell code: only what it drives is the engine.

mod engine;
mod floor;
mod generator;
pub mod hgrm;
mod in_memory;
pub mod kill_chain;
mod machine;
mod report;
mod strategy;
mod traffic;

pub use engine::{EngineSide, engine_config};
pub use generator::{GeneratorConfig, GeneratorReport, LATE_NS};
pub use machine::{Machine, cores, date, load_average};
pub use report::{Levels, Report, ReportContext, Spread};
pub use strategy::OrderPerTick;
pub use traffic::{Expected, Tick, Traffic, TrafficError};

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::ring::Flag;
use crate::runtime::{Clock, Idle, LatencyStages, ThreadPlan, Topology, start};
use generator::Generator;

/// Why a bench could not be made or is worth nothing.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The system's word.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It was asked to stop.
    #[error("asked to stop")]
    Stopped,
    /// The side to be measured did not introduce itself in time.
    #[error("not all connections came in time: public {public}, private {private}, order entry {trade}")]
    NotReady {
        /// Whether market data was subscribed.
        public: bool,
        /// Whether the private stream was subscribed.
        private: bool,
        /// Whether order entry was logged in.
        trade: bool,
    },
    /// A connection asked for something that the generator does not have.
    #[error("a connection asked for `{0}`")]
    UnknownPath(String),
    /// A connection ended in the middle.
    #[error("a connection was lost in the middle of a measurement")]
    LinkLost,
    /// There is nothing to trade.
    #[error("the traffic has no instrument that an order can be rendered for")]
    NoInstrument,
    /// Not one order came.
    #[error("{side}: no order came for {asked} ticks{hint}")]
    NoOrders {
        /// Floor or engine.
        side: &'static str,
        /// Ticks that asked for one.
        asked: u64,
        /// What the engine says about it.
        hint: String,
    },
    /// The engine could not start or end.
    #[error(transparent)]
    Live(#[from] crate::runtime::LiveError),
    /// A thread panicked: a bug.
    #[error("thread `{0}` panicked")]
    Panicked(&'static str),
}

/// What to measure.
#[derive(Clone)]
pub struct BenchOptions {
    /// What is played.
    pub traffic: Traffic,
    /// Time played before each measurement, in nanoseconds.
    pub warm_up_ns: u64,
    /// Time measured for each side of each round, in nanoseconds.
    pub measure_ns: u64,
    /// Rounds; each measures floor and engine once.
    pub rounds: usize,
    /// Threads of the engine.
    pub topology: Topology,
    /// Core of the generator, then of each thread of the engine; empty pins nothing.
    pub cpus: Vec<usize>,
    /// What all threads do without work.
    pub idle: Idle,
    /// Ends the bench early.
    pub stop: Flag,
}

impl BenchOptions {
    fn generator_cpu(&self) -> Option<usize> {
        self.cpus.first().copied()
    }

    /// Cores of the engine's threads.
    pub fn engine_cpus(&self) -> &[usize] {
        self.cpus.get(1..).unwrap_or_default()
    }
}

/// What one round showed.
#[derive(Clone, Debug)]
pub struct Round {
    /// The floor: generator to null engine and back.
    pub floor: Side,
    /// The same with the engine.
    pub engine: Side,
    /// The engine's own stamps.
    pub stages: LatencyStages,
    /// Allocations on the engine's hot duties after warm-up; `None` if they were not counted.
    pub hot_allocations: Option<u64>,
    /// Way between generator and engine through a ring, before this round.
    pub ring_one_way_ns: u64,
}

/// One side of a round.
#[derive(Clone, Debug)]
pub struct Side {
    /// Latency of every order.
    pub latency: Histogram<u64>,
    /// The generator's report; `None` in memory, where there is none.
    pub generator: Option<GeneratorReport>,
    /// How often the system took a core away from one of its threads.
    pub preemptions: u64,
}

impl Side {
    fn over_sockets(report: GeneratorReport, preemptions: u64) -> Self {
        Self { latency: report.wire_to_wire.clone(), generator: Some(report), preemptions }
    }

    /// Whether other work took a core so often that the round says more about it than about this side.
    fn is_disturbed(&self, options: &BenchOptions) -> bool {
        let allowed_ns = u128::from(options.warm_up_ns + options.measure_ns) * u128::from(PREEMPTIONS_PER_S_MAX);
        u128::from(self.preemptions) * 1_000_000_000 > allowed_ns
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The rounds that count.
    pub rounds: Vec<Round>,
    /// Rounds that were repeated, because other work took a core during them.
    pub repeated: usize,
    /// Rounds that count although other work took a core during them: repeating them any more was not worth it.
    pub disturbed: usize,
}

/// A side from which a core is taken more often than this in a second is measured again. In the quietest seconds of a
/// virtual machine with two cores it was 60 to 95; by what is not known, so that staying below proves no quiet.
pub const PREEMPTIONS_PER_S_MAX: u64 = 120;

/// Rounds that are repeated at most, for each one that is wanted.
const REPEATS_PER_ROUND: usize = 2;

/// Pins the calling thread, or says that it could not.
pub(crate) fn pin(cpu: Option<usize>) {
    if let Some(id) = cpu
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        eprintln!("warning: could not pin a thread to cpu {id}; it runs where the system puts it");
    }
}

/// Time between two looks at whether a side is done. Seldom, because this thread wakes up on a core that measures.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Measures over sockets, floor and engine in turns; `say` hears how far it is.
///
/// # Errors
/// [`BenchError`]; what was measured before is lost with it.
pub fn run(options: &BenchOptions, mut say: impl FnMut(&str)) -> Result<Measured, BenchError> {
    let clock = Clock::new();
    let mut measured = Measured { rounds: Vec::with_capacity(options.rounds), repeated: 0, disturbed: 0 };
    while measured.rounds.len() < options.rounds {
        let ends = [options.generator_cpu(), options.engine_cpus().first().copied()];
        let ring_one_way_ns = machine::ring_one_way_ns(ends, &clock);
        let floor = run_floor(options, &clock)?;
        let (engine, inside) = run_engine(options, &clock)?;
        let is_disturbed = floor.is_disturbed(options) || engine.is_disturbed(options);
        let is_repeated = is_disturbed && measured.repeated < options.rounds * REPEATS_PER_ROUND;
        let verdict = if is_repeated { "; other work took a core, again" } else { "" };
        let number = measured.rounds.len() + 1;
        say(&format!(
            "round {number} of {}: p50 / p99 / p99.9: floor {}; engine {}{verdict}",
            options.rounds,
            in_words(&floor),
            in_words(&engine)
        ));
        if is_repeated {
            measured.repeated += 1;
            continue;
        }
        measured.disturbed += usize::from(is_disturbed);
        measured.rounds.push(Round {
            floor,
            engine,
            stages: inside.stages,
            hot_allocations: inside.hot_allocations,
            ring_one_way_ns,
        });
    }
    Ok(measured)
}

fn in_words(side: &Side) -> String {
    let us = |quantile| side.latency.value_at_quantile(quantile) as f64 / 1000.0;
    let answered = side.generator.as_ref().map_or(String::new(), |g| format!("{} of {}", g.answered, g.asked));
    format!("{:.1} / {:.1} / {:.1} µs, {answered}, preempted {}", us(0.5), us(0.99), us(0.999), side.preemptions)
}

/// Measures the way from bytes to bytes without sockets; see [`BenchOptions`] for what of it applies: traffic and rounds.
///
/// # Errors
/// [`BenchError::Stopped`].
pub fn run_in_memory(options: &BenchOptions, ticks: u64, mut say: impl FnMut(&str)) -> Result<Measured, BenchError> {
    let clock = Clock::new();
    pin(options.engine_cpus().first().copied());
    let mut rounds = Vec::with_capacity(options.rounds);
    for number in 1..=options.rounds {
        if options.stop.is_set() {
            return Err(BenchError::Stopped);
        }
        let round = in_memory::round(&options.traffic, ticks, &clock)?;
        say(&format!(
            "round {number} of {}: {} orders, tick to order p50 {} ns, stamps alone {} ns",
            options.rounds,
            round.engine.latency.len(),
            round.engine.latency.value_at_quantile(0.5),
            round.floor.latency.value_at_quantile(0.5)
        ));
        rounds.push(round);
    }
    Ok(Measured { rounds, repeated: 0, disturbed: 0 })
}

fn start_generator(options: &BenchOptions, checks_px: bool, clock: &Clock) -> Result<Generator, BenchError> {
    let config = GeneratorConfig {
        cpu: options.generator_cpu(),
        idle: options.idle,
        warm_up_ns: options.warm_up_ns,
        measure_ns: options.measure_ns,
        checks_px,
    };
    Ok(Generator::start(options.traffic.clone(), config, clock.clone(), options.stop.clone())?)
}

fn run_floor(options: &BenchOptions, clock: &Clock) -> Result<Side, BenchError> {
    let preempted_before = machine::preemptions();
    let generator = start_generator(options, false, clock)?;
    let (out, outcome) = mpsc::channel();
    let traffic = &options.traffic;
    let has_snapshot = !traffic.snapshot().is_empty();
    let duty =
        floor::FloorDuty::new(&generator.addr().to_string(), traffic.table(), traffic.topics(), has_snapshot, out)?;
    let plan = ThreadPlan {
        name: "floor".to_owned(),
        cpu: options.engine_cpus().first().copied(),
        idle: options.idle,
        duties: vec![Box::new(duty)],
    };
    let stop = Flag::new();
    let thread = start(plan, clock.clone(), stop.clone())?;
    while !generator.is_finished() {
        std::thread::sleep(LOOK_EVERY);
    }
    let preemptions = machine::preemptions().saturating_sub(preempted_before);
    stop.set();
    thread.join().map_err(|_| BenchError::Panicked("floor"))?;
    let report = generator.join()?;
    // Sent before the thread ended, unless it never got that far.
    if let Ok(outcome) = outcome.try_recv() {
        outcome?;
    }
    Ok(Side::over_sockets(check(report, "floor", String::new())?, preemptions))
}

fn run_engine(options: &BenchOptions, clock: &Clock) -> Result<(Side, EngineSide), BenchError> {
    let preempted_before = machine::preemptions();
    let generator = start_generator(options, true, clock)?;
    let mut live = engine::start(&generator.addr().to_string(), options)?;
    let is_armed = engine::arm(&mut live, || generator.is_finished() || options.stop.is_set());
    while !generator.is_finished() {
        std::thread::sleep(LOOK_EVERY);
    }
    let preemptions = machine::preemptions().saturating_sub(preempted_before);
    let side = engine::finish(live)?;
    let report = generator.join()?;
    let hint = format!("; armed: {is_armed}; {}", side.hint);
    Ok((Side::over_sockets(check(report, "engine", hint)?, preemptions), side))
}

fn check(report: GeneratorReport, side: &'static str, hint: String) -> Result<GeneratorReport, BenchError> {
    if report.answered == 0 {
        return Err(BenchError::NoOrders { side, asked: report.asked, hint });
    }
    Ok(report)
}
