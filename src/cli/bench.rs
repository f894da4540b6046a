//! `tercel bench`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};

use super::inspect::sidecar_or_inference;
use super::signals::StopSignals;
use super::{Exit, Failure, Outcome};
use crate::bench::{
    self, BenchError, BenchOptions, Machine, Measured, Report, ReportContext, Traffic, cores, load_average,
};
use crate::journal::load;
use crate::ring::Flag;
use crate::runtime::{Clock, Idle, Topology};

/// Seed of the generated ticks: the same ones in every report.
const SEED: u64 = 20_240_808;

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
    /// From a tick on the wire to its order on the wire, stage by stage, beside the floor of the same run.
    ///
    /// A load generator plays ticks on a schedule to the real feed, core and gateway over loopback sockets, and to a null
    /// engine (the floor) in turns. Latency counts from the moment at which a tick was due.
    #[command(after_help = AFTER_HELP)]
    TickToOrder(Box<TickToOrderArgs>),
    /// How long orders stay at the venue after their engine ends, dies, hangs or is cut off, with and without a guard.
    KillChain(super::kill_chain::KillChainArgs),
}

const AFTER_HELP: &str = "\
Examples:
  tercel bench tick-to-order --for 10s --rounds 5 --report latency-reports/
  tercel bench tick-to-order --rate 20000 --topology 'feed+core | gateway' --cpus 0,1,2
  tercel bench tick-to-order --capture CAPTURE.jsonl.gz --pace 10
  tercel bench tick-to-order --in-memory

A report directory holds report.md, report.json and one .hgrm (HdrHistogram percentiles, in µs) for each stage;
tools/report-plot draws them.";

#[derive(Args)]
struct TickToOrderArgs {
    /// Ticks a second.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000),
          conflicts_with = "capture")]
    rate: u32,
    /// Time that each side of each round measures, after a second of warm-up (less if this is less).
    #[arg(long = "for", default_value = "10s", value_name = "TIME")]
    measure: crate::config::Duration,
    /// Rounds; each measures the floor and then the engine.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Play a captured Bybit feed instead of generated ticks, as far as --for goes.
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// How many times as fast as recorded the capture is played.
    #[arg(long, default_value_t = 1, value_name = "1|2|10", requires = "capture",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pace: u32,
    /// Duties by thread, like `feed+core | gateway`.
    #[arg(long, default_value = "feed+core+gateway", value_name = "TOPOLOGY")]
    topology: Topology,
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
    #[arg(long, conflicts_with = "capture")]
    in_memory: bool,
    /// Write the report into a folder of its own in this one.
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
    }
}

/// Which cores, and how to idle on them.
fn placement(args: &TickToOrderArgs, cores: usize) -> Result<(Vec<usize>, Idle), Failure> {
    if args.in_memory {
        return Ok((if args.cpus.is_empty() { vec![0, 0] } else { args.cpus.clone() }, Idle::Spin));
    }
    let threads = args.topology.threads().len() + 1;
    if threads > cores && !args.oversubscribe {
        return Err(Failure::usage(format!(
            "topology `{}` and the generator need {threads} cores, this machine has {cores}; take a topology with fewer \
             threads, or --oversubscribe to run all the same",
            args.topology
        )));
    }
    if let Some(cpu) = args.cpus.iter().find(|&&cpu| cpu >= cores) {
        return Err(Failure::usage(format!("--cpus: found {cpu}, this machine has 0 to {}", cores - 1)));
    }
    if !args.cpus.is_empty() && args.cpus.len() != threads {
        return Err(Failure::usage(format!(
            "--cpus: found {} cores, needed are {threads}: the generator's, then one for each thread of `{}`",
            args.cpus.len(),
            args.topology
        )));
    }
    let is_shared = threads > cores;
    let cpus = match (args.cpus.is_empty(), is_shared) {
        (true, true) => Vec::new(),
        (true, false) => (0..threads).collect(),
        (false, _) => args.cpus.clone(),
    };
    let mut distinct = cpus.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let must_yield = is_shared || distinct.len() < cpus.len();
    Ok((cpus, args.idle.unwrap_or(if must_yield { Idle::SpinYield } else { Idle::Spin })))
}

fn traffic(args: &TickToOrderArgs) -> Result<Traffic, Failure> {
    let Some(file) = &args.capture else { return Ok(Traffic::generated(args.rate, SEED)) };
    let found = sidecar_or_inference(file)?;
    let venue = found.meta.venue().map_err(Failure::usage)?;
    let table = found.meta.table().map_err(Failure::usage)?;
    let capture = load(std::slice::from_ref(file), found.meta.clock)?;
    Traffic::captured(capture.into(), venue, table, args.pace)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}

fn tick_to_order(args: &TickToOrderArgs) -> Outcome {
    let (cpus, idle) = placement(args, cores())?;
    let signals = StopSignals::install()?;
    let stop = Flag::new();
    let options = BenchOptions {
        traffic: traffic(args)?,
        warm_up_ns: WARM_UP_NS.min(args.measure.0),
        measure_ns: args.measure.0,
        rounds: usize::from(args.rounds),
        topology: args.topology.clone(),
        cpus,
        idle,
        stop: stop.clone(),
    };
    let machine = Machine::observe(&Clock::new());
    let load_before = load_average();
    eprintln!("{} · {} cores · load {load_before} · {}", machine.cpu, machine.cores, options.traffic.description());
    if machine.profile != "release" {
        eprintln!("warning: this is a debug build; its figures mean nothing");
    }
    let measured = measure(args, &options, &signals, &stop)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let default_name = if args.in_memory { "tick-to-order-in-memory" } else { "tick-to-order" };
    let context = ReportContext {
        name: args.name.clone().unwrap_or_else(|| default_name.to_owned()),
        date: bench::date(now),
        command: command_line(),
        commit: option_env!("TERCEL_COMMIT").map(str::to_owned),
        machine,
        in_memory: args.in_memory,
        topology: options.topology.to_string(),
        cpus: options.cpus.clone(),
        idle: idle.name(),
        traffic: options.traffic.description(),
        measured_s: options.measure_ns as f64 / 1e9,
        warm_up_s: options.warm_up_ns as f64 / 1e9,
        load_average: [load_before, load_average()],
    };
    let dir_name = format!("{}-{}", context.date, context.name);
    let report = Report::new(context, &measured).ok_or("no round was measured")?;
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
    options: &BenchOptions,
    signals: &StopSignals,
    stop: &Flag,
) -> Result<Measured, Failure> {
    let ticks = u64::from(args.rate).saturating_mul(options.measure_ns) / 1_000_000_000;
    let is_in_memory = args.in_memory;
    let worker = {
        let options = options.clone();
        std::thread::spawn(move || {
            let say = |text: &str| eprintln!("{text}");
            if is_in_memory {
                bench::run_in_memory(&options, ticks.max(10_000), say)
            } else {
                bench::run(&options, say)
            }
        })
    };
    while !worker.is_finished() {
        if signals.is_set() {
            stop.set();
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

    #[test]
    fn a_topology_that_needs_more_cores_than_there_are_is_refused() {
        let three = args(&["--topology", "feed | core | gateway"]);
        let failure = placement(&three, 2).unwrap_err();
        assert!(failure.text.contains("need 4 cores, this machine has 2"), "{}", failure.text);
        assert_eq!(placement(&three, 4).unwrap(), (vec![0, 1, 2, 3], Idle::Spin));
        let all_the_same = args(&["--topology", "feed | core | gateway", "--oversubscribe"]);
        assert_eq!(placement(&all_the_same, 2).unwrap(), (vec![], Idle::SpinYield));
    }

    #[test]
    fn cores_are_checked() {
        assert_eq!(placement(&args(&[]), 2).unwrap(), (vec![0, 1], Idle::Spin));
        assert_eq!(placement(&args(&["--cpus", "1,0"]), 2).unwrap(), (vec![1, 0], Idle::Spin));
        assert_eq!(placement(&args(&["--cpus", "1,1"]), 2).unwrap(), (vec![1, 1], Idle::SpinYield));
        assert!(placement(&args(&["--cpus", "0,2"]), 2).is_err());
        assert!(placement(&args(&["--cpus", "0"]), 2).is_err());
    }
}
