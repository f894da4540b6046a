//! `tercel bench`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};

use super::inspect::sidecar_or_inference;
use super::signals::StopSignals;
use super::{Exit, Failure, Outcome};
use crate::bench::{
    self, BenchError, BenchOptions, BenchTls, Carrier, Case, FRAME_BYTES, Limits, Machine, Measured, Report,
    ReportContext, Rival, Traffic, cores, load_average,
};
use crate::journal::load;
use crate::ring::Flag;
use crate::runtime::{Clock, Idle, Topology};

/// Seed of the generated ticks: the same ones in every report.
pub(super) const SEED: u64 = 20_240_808;

/// Time played before each measurement.
const WARM_UP_NS: u64 = 1_000_000_000;

/// Arguments of `tercel bench`.
#[derive(Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// From a tick on the wire to its order on the wire, stage by stage, beside floors and a rival of the same run.
    ///
    /// A load generator plays ticks on a schedule over loopback sockets, in turns, to a bare echo, to an engine that thinks
    /// nothing (the floor), to the real feed, core and gateway, and to a rival program. Latency counts from the moment at which
    /// a tick was due. Every load is measured over every carrier and on every topology that is asked for.
    #[command(after_help = AFTER_HELP)]
    TickToOrder(Box<TickToOrderArgs>),
    /// How long orders stay at the venue after their engine ends, dies, hangs or is cut off, with and without a guard.
    KillChain(super::kill_chain::KillChainArgs),
    /// Proof that hot threads neither allocate nor free, call nothing but their sockets, and neither fault nor sleep.
    ///
    /// After warm-up a filter in the kernel forbids every system call but reads and writes of sockets to every hot thread, and
    /// the kernel's own counts of page faults and context switches are read before and after. Idle strategy `spin`; over TLS
    /// allocations are counted and bounded. Linux only. Exit code 0: all of it holds; 1: not, and what; 97: a forbidden call.
    HotPath(super::hot_path::HotPathArgs),
}

const AFTER_HELP: &str = "\
Examples:
  tercel bench tick-to-order --for 10s --rounds 5 --report latency-reports/
  tercel bench tick-to-order --transport both --rate 1000,5000,20000 --tick-bytes 296,1433 --for 2s
  tercel bench tick-to-order --rate 5000 --topology all --throughput
  tercel bench tick-to-order --capture CAPTURE.jsonl.gz --pace 1,2,10
  tercel bench tick-to-order --in-memory --tick-bytes 296,1433

The rival is `tercel-rival` (cargo build --release -p rival), if it lies beside this program or --rival names it.

A report directory holds report.md, report.json and one .hgrm (HdrHistogram percentiles, in µs) for each side and stage,
in a folder for each case if there are several. `cargo run --release -p report-plot -- DIR` draws an SVG for each.";

/// One topology, or every one.
#[derive(Clone, Debug)]
enum Topologies {
    All,
    One(Topology),
}

impl std::str::FromStr for Topologies {
    type Err = crate::runtime::TopologyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" { Ok(Self::All) } else { text.parse().map(Self::One) }
    }
}

/// What `--topology all` means.
const TOPOLOGIES: [&str; 4] =
    ["feed+core+gateway", "feed+core | gateway", "feed | core+gateway", "feed | core | gateway"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Transport {
    Plain,
    Tls,
    Both,
}

#[derive(Args)]
struct TickToOrderArgs {
    /// Ticks a second, one case for each. Without --capture 1000 if nothing is said.
    #[arg(long, value_delimiter = ',', value_name = "N,N,…", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Vec<u32>,
    /// Bytes of a generated tick's frame on average, one case for each.
    #[arg(long, value_delimiter = ',', default_value = "296", value_name = "N,N,…",
          value_parser = clap::value_parser!(u32).range(FRAME_BYTES.0 as i64..=FRAME_BYTES.1 as i64))]
    tick_bytes: Vec<u32>,
    /// Time that each side of each round measures, after a second of warm-up (less if this is less).
    #[arg(long = "for", default_value = "10s", value_name = "TIME")]
    measure: crate::config::Duration,
    /// Rounds; each measures every side once.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Play a captured Bybit feed, as far as --for goes; generated ticks beside it only with --rate.
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// How many times as fast as recorded the capture is played, one case for each.
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "1,2,10", requires = "capture",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pace: Vec<u32>,
    /// What carries the bytes.
    #[arg(long, value_enum, default_value = "plain")]
    transport: Transport,
    /// The same as --transport tls.
    #[arg(long, conflicts_with = "transport")]
    tls: bool,
    /// Duties by thread, like `feed+core | gateway`; may be given several times. `all`: every one that there are cores for.
    #[arg(long, default_value = "feed+core+gateway", value_name = "TOPOLOGY|all")]
    topology: Vec<Topologies>,
    /// Core of the generator, then of each thread of the engine; by default 0, 1, 2, …
    #[arg(long, value_delimiter = ',', value_name = "N,N,…")]
    cpus: Vec<usize>,
    /// What threads do without work: spin, spin-yield, backoff. By default spin, and spin-yield where threads share cores.
    #[arg(long, value_name = "IDLE")]
    idle: Option<Idle>,
    /// Run although the machine has fewer cores than there are threads; the figures then say little.
    #[arg(long)]
    oversubscribe: bool,
    /// Without sockets: from frame bytes to order bytes on one thread, as fast as it goes.
    #[arg(long, conflicts_with_all = ["capture", "transport", "tls", "throughput", "rival"])]
    in_memory: bool,
    /// Search for the rate at which each side's queue starts to grow, too.
    #[arg(long)]
    throughput: bool,
    /// The rival's program; by default `tercel-rival` beside this one, if it is there.
    #[arg(long, value_name = "FILE")]
    rival: Option<PathBuf>,
    /// Measure without the rival, although it is there.
    #[arg(long, conflicts_with = "rival")]
    no_rival: bool,
    /// How many of the slowest ticks of each case are shown whole.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=64))]
    worst: u16,
    /// Write the report into a folder of its own in this one, in place of one of the same name.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// What the report's folder is called after the date.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &BenchArgs) -> Outcome {
    match &args.what {
        What::TickToOrder(args) => tick_to_order(args),
        What::KillChain(args) => super::kill_chain::run(args),
        What::HotPath(args) => super::hot_path::run(args),
    }
}

/// Which threads on which cores, and how they idle.
#[derive(Debug, PartialEq)]
struct Placement {
    topology: Topology,
    cpus: Vec<usize>,
    idle: Idle,
}

/// Every topology that is asked for and that there are cores for; for the others of `all`, a note each.
fn placements(args: &TickToOrderArgs, cores: usize) -> Result<(Vec<Placement>, Vec<String>), Failure> {
    let mut found: Vec<Placement> = Vec::new();
    let mut notes = Vec::new();
    if args.in_memory {
        let cpus = if args.cpus.is_empty() { vec![0, 0] } else { args.cpus.clone() };
        return Ok((vec![Placement { topology: Topology::single(), cpus, idle: Idle::Spin }], notes));
    }
    for asked in &args.topology {
        let (topologies, is_every) = match asked {
            Topologies::One(one) => (vec![one.clone()], false),
            Topologies::All => (TOPOLOGIES.iter().filter_map(|text| text.parse().ok()).collect(), true),
        };
        for topology in topologies {
            let threads = topology.threads().len() + 1;
            if is_every && threads > cores && !args.oversubscribe {
                notes.push(format!(
                    "topology `{topology}`, which needs {threads} cores with the generator; this machine has {cores}"
                ));
                continue;
            }
            let (cpus, idle) = placement(args, &topology, cores, args.topology.len() > 1 || is_every)?;
            if !found.iter().any(|placement| placement.topology == topology) {
                found.push(Placement { topology, cpus, idle });
            }
        }
    }
    if found.is_empty() {
        return Err(Failure::usage(format!(
            "no topology fits: {}; --oversubscribe runs all the same",
            notes.join("; ")
        )));
    }
    Ok((found, notes))
}

/// Which cores, and how to idle on them. One of several topologies takes as many of `--cpus` as it needs.
fn placement(
    args: &TickToOrderArgs,
    topology: &Topology,
    cores: usize,
    is_one_of_several: bool,
) -> Result<(Vec<usize>, Idle), Failure> {
    let threads = topology.threads().len() + 1;
    if threads > cores && !args.oversubscribe {
        return Err(Failure::usage(format!(
            "topology `{topology}` and the generator need {threads} cores, this machine has {cores}; take a topology with \
             fewer threads, or --oversubscribe to run all the same"
        )));
    }
    if let Some(cpu) = args.cpus.iter().find(|&&cpu| cpu >= cores) {
        return Err(Failure::usage(format!("--cpus: found {cpu}, this machine has 0 to {}", cores - 1)));
    }
    let has_wrong_number = args.cpus.len() < threads || (args.cpus.len() > threads && !is_one_of_several);
    if !args.cpus.is_empty() && has_wrong_number {
        return Err(Failure::usage(format!(
            "--cpus: found {} cores, needed are {threads}: the generator's, then one for each thread of `{topology}`",
            args.cpus.len(),
        )));
    }
    let is_shared = threads > cores;
    let cpus = match (args.cpus.is_empty(), is_shared) {
        (true, true) => Vec::new(),
        (true, false) => (0..threads).collect(),
        (false, _) => args.cpus[..threads].to_vec(),
    };
    let mut distinct = cpus.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let must_yield = is_shared || distinct.len() < cpus.len();
    Ok((cpus, args.idle.unwrap_or(if must_yield { Idle::SpinYield } else { Idle::Spin })))
}

/// Every load that is asked for.
fn loads(args: &TickToOrderArgs) -> Result<Vec<Traffic>, Failure> {
    let mut loads = Vec::new();
    let rates = match (args.rate.as_slice(), &args.capture) {
        ([], None) => &[1_000],
        (rates, _) => rates,
    };
    for &bytes in &args.tick_bytes {
        loads.extend(rates.iter().map(|&rate| Traffic::generated(rate, bytes as usize, SEED)));
    }
    if let Some(file) = &args.capture {
        loads.extend(captured_loads(file, &args.pace)?);
    }
    Ok(loads)
}

/// A captured feed at every pace.
pub(super) fn captured_loads(file: &PathBuf, paces: &[u32]) -> Result<Vec<Traffic>, Failure> {
    let found = sidecar_or_inference(file)?;
    let venue = found.meta.venue().map_err(Failure::usage)?;
    let table = found.meta.table().map_err(Failure::usage)?;
    let capture = Arc::new(load(std::slice::from_ref(file), found.meta.clock)?);
    paces
        .iter()
        .map(|&pace| {
            Traffic::captured(capture.clone(), venue, table.clone(), pace)
                .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
        })
        .collect()
}

/// The rival's program, or why there is none.
fn rival(args: &TickToOrderArgs) -> Result<Result<Rival, String>, Failure> {
    if args.no_rival {
        return Ok(Err("the rival: --no-rival".to_owned()));
    }
    if let Some(path) = &args.rival {
        let is_there = path.is_file();
        return if is_there {
            Ok(Ok(Rival { path: path.clone() }))
        } else {
            Err(Failure::usage(format!("--rival: {} is no file", path.display())))
        };
    }
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name(RIVAL_NAME));
    Ok(match beside.filter(|path| path.is_file()) {
        Some(path) => Ok(Rival { path }),
        None => Err(format!("the rival: no `{RIVAL_NAME}` beside this program, and no --rival")),
    })
}

/// What the rival's program is called.
const RIVAL_NAME: &str = "tercel-rival";

fn tick_to_order(args: &TickToOrderArgs) -> Outcome {
    let (placements, mut notes) = placements(args, cores())?;
    let signals = StopSignals::install()?;
    let stop = Flag::new();
    let mut rival_program = None;
    if !args.in_memory {
        match rival(args)? {
            Ok(found) => rival_program = Some(found),
            Err(why) => notes.push(why),
        }
    }
    let carriers: &[Carrier] = match args.transport {
        _ if args.in_memory => &[Carrier::Plain],
        Transport::Plain if !args.tls => &[Carrier::Plain],
        Transport::Plain | Transport::Tls => &[Carrier::Tls],
        Transport::Both => &[Carrier::Plain, Carrier::Tls],
    };
    let loads = loads(args)?;
    let mut cases = Vec::new();
    for Placement { topology, cpus, idle } in placements {
        for &carrier in carriers {
            cases.extend(loads.iter().map(|traffic| Case {
                traffic: traffic.clone(),
                carrier,
                topology: topology.clone(),
                cpus: cpus.clone(),
                idle,
            }));
        }
    }
    let options = BenchOptions {
        warm_up_ns: WARM_UP_NS.min(args.measure.0),
        measure_ns: args.measure.0,
        rounds: usize::from(args.rounds),
        worst: usize::from(args.worst),
        rival: rival_program,
        stop: stop.clone(),
    };
    let machine = Machine::observe(&Clock::new());
    let load_before = load_average();
    eprintln!("{} · {} cores · load {load_before} · {} cases", machine.cpu, machine.cores, cases.len());
    for note in &notes {
        eprintln!("not measured: {note}");
    }
    if machine.profile != "release" {
        eprintln!("warning: this is a debug build; its figures mean nothing");
    }
    let (measured, throughput) = measure(args, &cases, &options, &signals)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let default_name = if args.in_memory { "tick-to-order-in-memory" } else { "tick-to-order" };
    let context = ReportContext {
        name: args.name.clone().unwrap_or_else(|| default_name.to_owned()),
        date: crate::types::date(now),
        command: command_line(),
        commit: option_env!("TERCEL_COMMIT").map(str::to_owned),
        machine,
        in_memory: args.in_memory,
        measured_s: options.measure_ns as f64 / 1e9,
        warm_up_s: options.warm_up_ns as f64 / 1e9,
        load_average: [load_before, load_average()],
        notes,
    };
    let dir_name = format!("{}-{}", context.date, context.name);
    let measured: Vec<(Case, Measured)> = cases.into_iter().zip(measured).collect();
    let report = Report::new(context, &measured, throughput, options.worst).ok_or("no round was measured")?;
    print!("{}", report.markdown());
    if let Some(file) = &args.json {
        report.write_json(file).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    if let Some(dir) = &args.report {
        let dir = dir.join(dir_name);
        report.write(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        eprintln!("report written to {}", dir.display());
    }
    Ok(Exit::Good)
}

/// Measures on a thread of its own, so that this one can wait for a signal and for the end.
fn measure(
    args: &TickToOrderArgs,
    cases: &[Case],
    options: &BenchOptions,
    signals: &StopSignals,
) -> Result<(Vec<Measured>, Vec<Limits>), Failure> {
    let rate = args.rate.first().copied().unwrap_or(1_000);
    let ticks = u64::from(rate).saturating_mul(options.measure_ns) / 1_000_000_000;
    let (is_in_memory, has_throughput) = (args.in_memory, args.throughput);
    let worker = {
        let (options, cases) = (options.clone(), cases.to_vec());
        std::thread::spawn(move || -> Result<_, BenchError> {
            let tls = BenchTls::generate()?;
            let mut measured = Vec::with_capacity(cases.len());
            for (idx, case) in cases.iter().enumerate() {
                let (carrier, topology, load) = (case.carrier.name(), &case.topology, case.traffic.load());
                eprintln!("case {} of {}: {carrier} · {topology} · {load}", idx + 1, cases.len());
                let say = |text: &str| eprintln!("  {text}");
                measured.push(if is_in_memory {
                    bench::run_in_memory(case, &options, ticks.max(10_000), say)?
                } else {
                    bench::run(case, &options, &tls, say)?
                });
            }
            let mut limits = Vec::new();
            let mut searched: Vec<&Case> = Vec::new();
            for case in cases.iter().filter(|case| has_throughput && case.traffic.is_generated()) {
                // The rate is what is searched for.
                let is_same = |other: &&Case| {
                    (other.carrier, &other.topology) == (case.carrier, &case.topology)
                        && other.traffic.frame_bytes() == case.traffic.frame_bytes()
                };
                if searched.iter().any(is_same) {
                    continue;
                }
                searched.push(case);
                eprintln!("where a queue starts to grow: {} · {}", case.carrier.name(), case.topology);
                limits.push(bench::search(case, &options, &tls, bench::SEARCHED_RATES, |text| eprintln!("  {text}"))?);
            }
            Ok((measured, limits))
        })
    };
    while !worker.is_finished() {
        if signals.is_set() {
            options.stop.set();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    match worker.join() {
        Ok(Ok(measured)) => Ok(measured),
        Ok(Err(BenchError::Stopped)) => Err(Failure::from("asked to stop; nothing is written")),
        Ok(Err(error)) => Err(Failure::from(error)),
        Err(_) => Err(Failure::from("the bench panicked: a bug")),
    }
}

/// This process's command line, for the report: the program's name without its folder.
pub(super) fn command_line() -> String {
    let mut words: Vec<String> = std::env::args().collect();
    if let Some(program) = words.first_mut() {
        *program = "tercel".to_owned();
    }
    let quoted = words.into_iter().map(|word| if word.contains([' ', '|']) { format!("'{word}'") } else { word });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: TickToOrderArgs,
    }

    fn args(words: &[&str]) -> TickToOrderArgs {
        Line::try_parse_from([&["bench"], words].concat()).unwrap_or_else(|error| panic!("{error}")).args
    }

    fn cpus_and_idle(args: &TickToOrderArgs, cores: usize) -> Result<(Vec<usize>, Idle), Failure> {
        let (mut placements, _) = placements(args, cores)?;
        assert_eq!(placements.len(), 1);
        Ok(placements.pop().map(|placement| (placement.cpus, placement.idle)).unwrap())
    }

    #[test]
    fn a_topology_that_needs_more_cores_than_there_are_is_refused() {
        let three = args(&["--topology", "feed | core | gateway"]);
        let failure = placements(&three, 2).unwrap_err();
        assert!(failure.text.contains("need 4 cores, this machine has 2"), "{}", failure.text);
        assert_eq!(cpus_and_idle(&three, 4).unwrap(), (vec![0, 1, 2, 3], Idle::Spin));
        let all_the_same = args(&["--topology", "feed | core | gateway", "--oversubscribe"]);
        assert_eq!(cpus_and_idle(&all_the_same, 2).unwrap(), (vec![], Idle::SpinYield));
    }

    #[test]
    fn of_all_topologies_those_that_fit_are_measured_and_the_others_named() {
        let all = args(&["--topology", "all"]);
        let (two, notes) = placements(&all, 2).unwrap();
        assert_eq!((two.len(), notes.len()), (1, 3), "{notes:?}");
        assert!(notes[2].contains("`feed | core | gateway`, which needs 4 cores"), "{notes:?}");
        let (four, notes) = placements(&all, 4).unwrap();
        assert_eq!((four.len(), notes.len()), (4, 0));
        assert_eq!(four[3].cpus, [0, 1, 2, 3]);
        assert!(placements(&all, 1).is_err());
        let twice = args(&["--topology", "feed+core | gateway", "--topology", "all", "--cpus", "3,2,1,0"]);
        let (found, _) = placements(&twice, 4).unwrap();
        assert_eq!((found.len(), &found[0].cpus), (4, &vec![3, 2, 1]));
    }

    #[test]
    fn cores_are_checked() {
        assert_eq!(cpus_and_idle(&args(&[]), 2).unwrap(), (vec![0, 1], Idle::Spin));
        assert_eq!(cpus_and_idle(&args(&["--cpus", "1,0"]), 2).unwrap(), (vec![1, 0], Idle::Spin));
        assert_eq!(cpus_and_idle(&args(&["--cpus", "1,1"]), 2).unwrap(), (vec![1, 1], Idle::SpinYield));
        assert!(placements(&args(&["--cpus", "0,2"]), 2).is_err());
        assert!(placements(&args(&["--cpus", "0"]), 2).is_err());
        assert!(placements(&args(&["--cpus", "0,1,2"]), 4).is_err());
    }

    #[test]
    fn every_rate_goes_with_every_size() {
        let loads = |words: &[&str]| -> Vec<String> {
            loads(&args(words)).unwrap_or_else(|e| panic!("{}", e.text)).iter().map(Traffic::load).collect()
        };
        assert_eq!(loads(&[]), ["1000/s 296B"]);
        let four = loads(&["--rate", "1000,5000", "--tick-bytes", "296,1433"]);
        assert_eq!(four, ["1000/s 296B", "5000/s 296B", "1000/s 1433B", "5000/s 1433B"]);
    }
}
