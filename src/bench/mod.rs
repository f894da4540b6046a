//! Measures tick to order: load generator, floors, engine and rival in turns, and the report about them.
//!
//! ```text
//! case (load, transport, topology): round 1: echo, floor, engine, rival · round 2: echo, floor, engine, rival · …
//! ```
//!
//! All sides of a case answer the same ticks on the same schedule from the same core; `echo` is bytes on one bare socket,
//! `floor` an engine that thinks nothing, `rival` another program with the same job.
//!
//! Thread: the shell's; generator, floor and engine run on threads of their own. The figure is wire to wire: from the moment
//! at which a tick was due to the arrival of the order that it caused, seen from outside the engine. What the engine
//! stamps inside comes with it, stage by stage. All of it is shell code: only what it drives is the engine.

mod echo;
mod engine;
mod floor;
mod generator;
pub mod hgrm;
pub mod hot_path;
mod in_memory;
pub mod kill_chain;
mod machine;
mod report;
mod rival;
mod strategy;
mod throughput;
mod traffic;

pub use engine::{EngineSide, engine_config};
pub use generator::{GeneratorConfig, GeneratorReport, LATE_NS, SlowTick};
pub use in_memory::play_in_memory;
pub use machine::{Distance, Machine, TcpCounters, cores, load_average};
pub use report::{Levels, Report, ReportContext, Spread};
pub use rival::Rival;
pub use strategy::OrderPerTick;
pub use throughput::{Limit, Limits, SEARCHED_RATES, search};
pub use traffic::{Expected, FRAME_BYTES, Tick, Traffic, TrafficError};

use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use hdrhistogram::Histogram;
use rustls::{ClientConfig, ServerConfig};
use serde::Serialize;

use crate::net::WsUrl;
use crate::net::tls::{self, Roots, TlsError};
use crate::ring::Flag;
use crate::runtime::{Clock, Idle, LatencyStages, ThreadPlan, Topology, start};
use generator::{Generator, Orders};

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
        /// Which side.
        side: &'static str,
        /// Ticks that asked for one.
        asked: u64,
        /// What the engine says about it.
        hint: String,
    },
    /// The engine could not start or end.
    #[error(transparent)]
    Live(#[from] crate::runtime::LiveError),
    /// No certificate could be made for this run.
    #[error("certificate for this run: {0}")]
    Tls(#[from] TlsError),
    /// The rival's program could not be started or failed.
    #[error("rival {0}")]
    Rival(String),
    /// A thread panicked: a bug.
    #[error("thread `{0}` panicked")]
    Panicked(&'static str),
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// TCP.
    Plain,
    /// TLS over TCP, with a certificate made for this run.
    Tls,
}

impl Carrier {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
        }
    }
}

/// Who answers the ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// Bytes in, bytes out on one bare socket of the same carrier.
    Echo,
    /// An engine that thinks nothing, over the same three connections. In memory: the stamps alone.
    Floor,
    /// The engine.
    Engine,
    /// The other program, as its users run it.
    Rival,
    /// The same, spinning instead of sleeping.
    RivalSpin,
}

impl Contender {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Floor => "floor",
            Self::Engine => "engine",
            Self::Rival => "rival",
            Self::RivalSpin => "rival-spin",
        }
    }
}

/// One load over one carrier to one topology.
#[derive(Clone)]
pub struct Case {
    /// What is played.
    pub traffic: Traffic,
    /// What carries it.
    pub carrier: Carrier,
    /// Threads of the engine.
    pub topology: Topology,
    /// Core of the generator, then of each thread of the engine; empty pins nothing.
    pub cpus: Vec<usize>,
    /// What all threads do without work.
    pub idle: Idle,
}

impl Case {
    fn generator_cpu(&self) -> Option<usize> {
        self.cpus.first().copied()
    }

    /// Cores of the engine's threads.
    pub fn engine_cpus(&self) -> &[usize] {
        self.cpus.get(1..).unwrap_or_default()
    }

    fn ends(&self) -> [Option<usize>; 2] {
        [self.generator_cpu(), self.engine_cpus().first().copied()]
    }
}

/// How to measure each case.
#[derive(Clone)]
pub struct BenchOptions {
    /// Time played before each measurement, in nanoseconds.
    pub warm_up_ns: u64,
    /// Time measured for each side of each round, in nanoseconds.
    pub measure_ns: u64,
    /// Rounds; each measures every side once.
    pub rounds: usize,
    /// How many of the slowest ticks of a case are kept whole.
    pub worst: usize,
    /// The program to be compared with, if there is one.
    pub rival: Option<Rival>,
    /// Ends the bench early.
    pub stop: Flag,
}

impl BenchOptions {
    fn contenders(&self) -> Vec<Contender> {
        let mut all = vec![Contender::Echo, Contender::Floor, Contender::Engine];
        if self.rival.is_some() {
            all.extend([Contender::Rival, Contender::RivalSpin]);
        }
        all
    }
}

/// Certificates of one run: both ends of its encrypted connections.
#[derive(Clone)]
pub struct BenchTls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    /// The authority, for programs that are not this one.
    ca_pem: String,
}

impl BenchTls {
    /// Makes an authority and a certificate for the loopback address.
    ///
    /// # Errors
    /// [`BenchError::Tls`].
    pub fn generate() -> Result<Self, BenchError> {
        let certs = tls::generate(&["127.0.0.1"])?;
        Ok(Self {
            server: tls::server_config(&certs.cert_pem, &certs.key_pem)?,
            client: tls::client_config(Roots::CaPem(&certs.ca_pem))?,
            ca_pem: certs.ca_pem,
        })
    }
}

/// Where the sides connect to.
pub(crate) struct Peer {
    addr: std::net::SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Peer {
    fn new(addr: std::net::SocketAddr, case: &Case, tls: &BenchTls) -> Self {
        Self { addr, tls: (case.carrier == Carrier::Tls).then(|| tls.client.clone()) }
    }

    fn url(&self, path: &str) -> io::Result<WsUrl> {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        WsUrl::parse(&format!("{scheme}://{}{path}", self.addr)).map_err(io::Error::other)
    }
}

/// What one round showed.
#[derive(Clone, Debug)]
pub struct Round {
    /// Every contender's side, in the order in which they were measured.
    pub sides: Vec<Side>,
    /// The engine's own stamps.
    pub stages: LatencyStages,
    /// Allocations on the engine's hot duties after warm-up; `None` if they were not counted.
    pub hot_allocations: Option<u64>,
    /// How far generator and engine were apart before this round.
    pub distance: Distance,
}

impl Round {
    /// The side of a contender.
    pub fn side(&self, contender: Contender) -> Option<&Side> {
        self.sides.iter().find(|side| side.contender == contender)
    }
}

/// One side of a round.
#[derive(Clone, Debug)]
pub struct Side {
    /// Whose.
    pub contender: Contender,
    /// Latency of every order.
    pub latency: Histogram<u64>,
    /// The generator's report; `None` in memory, where there is none.
    pub generator: Option<GeneratorReport>,
    /// How often the system took a core away from one of the threads of this process.
    pub preemptions: u64,
    /// How long these threads were ready and had no core, in nanoseconds.
    pub waited_ns: u64,
    /// What TCP sent meanwhile.
    pub tcp: TcpCounters,
}

impl Side {
    /// Whether other work took a core so often that the round says more about it than about this side.
    fn is_disturbed(&self, options: &BenchOptions) -> bool {
        let allowed_ns = u128::from(options.warm_up_ns + options.measure_ns) * u128::from(PREEMPTIONS_PER_S_MAX);
        let has_waited = u128::from(self.waited_ns) * 100
            > u128::from(options.warm_up_ns + options.measure_ns) * u128::from(WAITED_PERCENT_MAX);
        u128::from(self.preemptions) * 1_000_000_000 > allowed_ns || has_waited
    }
}

/// What was measured of one case.
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

/// So is one whose threads were ready without a core for more than this share of the time, in percent.
pub const WAITED_PERCENT_MAX: u64 = 3;

/// Rounds that are repeated at most, for each one that is wanted.
const REPEATS_PER_ROUND: usize = 1;

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

/// Measures a case over sockets, all sides in turns; `say` hears how far it is.
///
/// # Errors
/// [`BenchError`]; what was measured before is lost with it.
pub fn run(
    case: &Case,
    options: &BenchOptions,
    tls: &BenchTls,
    mut say: impl FnMut(&str),
) -> Result<Measured, BenchError> {
    let clock = Clock::new();
    let mut measured = Measured { rounds: Vec::with_capacity(options.rounds), repeated: 0, disturbed: 0 };
    while measured.rounds.len() < options.rounds {
        let distance = Distance::probe(case.ends(), &clock);
        let mut sides = Vec::new();
        let mut inside = None;
        for contender in options.contenders() {
            let (side, engine) = run_side(contender, case, options, tls, &clock)?;
            sides.push(side);
            inside = inside.or(engine);
        }
        let Some(inside) = inside else { return Err(BenchError::NoInstrument) };
        // The rival's threads are not ours to be counted, and it sleeps as its users let it.
        let is_disturbed = sides.iter().any(|side| side.is_disturbed(options));
        let is_repeated = is_disturbed && measured.repeated < options.rounds * REPEATS_PER_ROUND;
        let verdict = if is_repeated { "; other work took a core, again" } else { "" };
        let number = measured.rounds.len() + 1;
        let words: Vec<String> = sides.iter().map(in_words).collect();
        say(&format!("round {number} of {}: p50/p99 µs: {}{verdict}", options.rounds, words.join(", ")));
        if is_repeated {
            measured.repeated += 1;
            continue;
        }
        measured.disturbed += usize::from(is_disturbed);
        let EngineSide { stages, hot_allocations, .. } = inside;
        measured.rounds.push(Round { sides, stages, hot_allocations, distance });
    }
    Ok(measured)
}

fn in_words(side: &Side) -> String {
    let us = |quantile| side.latency.value_at_quantile(quantile) as f64 / 1000.0;
    let missing = side.generator.as_ref().map_or(0, |g| g.asked - g.answered);
    let missing = if missing > 0 { format!(" ({missing} unanswered)") } else { String::new() };
    format!("{} {:.1}/{:.1}{missing}", side.contender.name(), us(0.5), us(0.99))
}

/// Measures the way from bytes to bytes without sockets, `ticks` ticks in each round; `say` hears how far it is.
///
/// # Errors
/// [`BenchError::Stopped`].
pub fn run_in_memory(
    case: &Case,
    options: &BenchOptions,
    ticks: u64,
    mut say: impl FnMut(&str),
) -> Result<Measured, BenchError> {
    let clock = Clock::new();
    pin(case.engine_cpus().first().copied());
    let mut rounds = Vec::with_capacity(options.rounds);
    for number in 1..=options.rounds {
        if options.stop.is_set() {
            return Err(BenchError::Stopped);
        }
        let round = in_memory::round(&case.traffic, ticks, &clock)?;
        let words: Vec<String> = round
            .sides
            .iter()
            .map(|side| format!("{} p50 {} ns", side.contender.name(), side.latency.value_at_quantile(0.5)))
            .collect();
        say(&format!("round {number} of {}: {ticks} ticks, {}", options.rounds, words.join(", ")));
        rounds.push(round);
    }
    Ok(Measured { rounds, repeated: 0, disturbed: 0 })
}

/// Measures one side once. What the engine leaves behind comes with its own.
fn run_side(
    contender: Contender,
    case: &Case,
    options: &BenchOptions,
    tls: &BenchTls,
    clock: &Clock,
) -> Result<(Side, Option<EngineSide>), BenchError> {
    if options.stop.is_set() {
        return Err(BenchError::Stopped);
    }
    let tcp_before = TcpCounters::read();
    let (preempted_before, waited_before) = (machine::preemptions(), machine::waited_ns());
    // Both are read when the generator is done and before threads end and take their counts with them.
    let counts = || {
        let preemptions = machine::preemptions().saturating_sub(preempted_before);
        let waited_ns = machine::waited_ns().saturating_sub(waited_before);
        (preemptions, waited_ns, TcpCounters::read().since(tcp_before))
    };
    let (report, (preemptions, waited_ns, tcp), inside) = match contender {
        Contender::Echo => {
            let (report, counts) = echo::run(case, options, tls, clock, counts)?;
            (report, counts, None)
        }
        Contender::Floor => {
            let (report, counts) = run_floor(case, options, tls, clock, counts)?;
            (report, counts, None)
        }
        Contender::Engine => {
            let (report, counts, inside) = run_engine(case, options, tls, clock, counts)?;
            (report, counts, Some(inside))
        }
        Contender::Rival | Contender::RivalSpin => {
            let rival = options.rival.as_ref().ok_or_else(|| BenchError::Rival("is absent".to_owned()))?;
            let generator = start_generator(case, options, Orders::NameTheirTick, tls, clock)?;
            let mut running = rival.start(generator.addr(), case, tls, contender == Contender::RivalSpin)?;
            let failed = wait_for(&generator, || running.has_ended());
            let counts = counts();
            let outcome = generator.join();
            let complaint = running.finish();
            let report = match outcome {
                Err(error) if failed => return Err(BenchError::Rival(format!("ended early ({error}): {complaint}"))),
                outcome => outcome?,
            };
            (check(report, contender.name(), format!("; it says: {complaint}"))?, counts, None)
        }
    };
    let latency = report.wire_to_wire.clone();
    Ok((Side { contender, latency, generator: Some(report), preemptions, waited_ns, tcp }, inside))
}

fn start_generator(
    case: &Case,
    options: &BenchOptions,
    orders: Orders,
    tls: &BenchTls,
    clock: &Clock,
) -> Result<Generator, BenchError> {
    let config = GeneratorConfig {
        cpu: case.generator_cpu(),
        idle: case.idle,
        warm_up_ns: options.warm_up_ns,
        measure_ns: options.measure_ns,
        orders,
        tls: (case.carrier == Carrier::Tls).then(|| tls.server.clone()),
        worst: options.worst,
    };
    Ok(Generator::start(case.traffic.clone(), config, clock.clone(), options.stop.clone())?)
}

/// Waits until the generator is done, or the other side has ended without that; returns whether it was the latter.
fn wait_for(generator: &Generator, mut has_ended: impl FnMut() -> bool) -> bool {
    while !generator.is_finished() {
        if has_ended() {
            return true;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    false
}

type Counts = (u64, u64, TcpCounters);

fn run_floor(
    case: &Case,
    options: &BenchOptions,
    tls: &BenchTls,
    clock: &Clock,
    counts: impl FnOnce() -> Counts,
) -> Result<(GeneratorReport, Counts), BenchError> {
    let generator = start_generator(case, options, Orders::InTurn, tls, clock)?;
    let (out, outcome) = mpsc::channel();
    let duty = floor::FloorDuty::new(&Peer::new(generator.addr(), case, tls), &case.traffic, out)?;
    let plan = ThreadPlan {
        name: "floor".to_owned(),
        cpu: case.engine_cpus().first().copied(),
        real_time: None,
        idle: case.idle,
        duties: vec![Box::new(duty)],
    };
    let stop = Flag::new();
    let thread = start(plan, clock.clone(), stop.clone())?;
    wait_for(&generator, || false);
    let counts = counts();
    stop.set();
    thread.join().map_err(|_| BenchError::Panicked("floor"))?;
    let report = generator.join()?;
    // Sent before the thread ended, unless it never got that far.
    if let Ok(outcome) = outcome.try_recv() {
        outcome?;
    }
    Ok((check(report, "floor", String::new())?, counts))
}

fn run_engine(
    case: &Case,
    options: &BenchOptions,
    tls: &BenchTls,
    clock: &Clock,
    counts: impl FnOnce() -> Counts,
) -> Result<(GeneratorReport, Counts, EngineSide), BenchError> {
    let generator = start_generator(case, options, Orders::NameTheirTick, tls, clock)?;
    let mut live = engine::start(&Peer::new(generator.addr(), case, tls), case)?;
    let is_armed = engine::arm(&mut live, || generator.is_finished() || options.stop.is_set());
    wait_for(&generator, || false);
    let counts = counts();
    let side = engine::finish(live)?;
    let report = generator.join()?;
    let hint = format!("; armed: {is_armed}; {}", side.hint);
    Ok((check(report, "engine", hint)?, counts, side))
}

fn check(report: GeneratorReport, side: &'static str, hint: String) -> Result<GeneratorReport, BenchError> {
    if report.answered == 0 {
        return Err(BenchError::NoOrders { side, asked: report.asked, hint });
    }
    Ok(report)
}
