//! The command line: a thin shell over `runtime`.

/// Printing here never panics, unlike the standard library's macros of these names: whoever reads may have gone (`| head`), and a
/// run that trades must still cancel its orders, a capture must still be completed.
macro_rules! println {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($arg)*);
    }};
}
/// See `println`.
macro_rules! print {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout(), $($arg)*);
    }};
}
/// See `println`.
macro_rules! eprintln {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($arg)*);
    }};
}
/// See `println`.
macro_rules! eprint {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stderr(), $($arg)*);
    }};
}

mod access;
mod backtest;
mod bench;
mod calibrate;
mod capture;
mod captures;
mod check_venue;
mod doctor;
mod entry_report;
mod explain;
mod faults;
mod generate;
mod ghost;
mod guard;
mod guard_desk;
mod guarded;
mod hot_path;
mod inspect;
mod journal;
mod kill_chain;
mod latency;
mod memory;
mod opening;
mod paper;
mod profile;
mod protect;
mod replay;
mod report;
mod run;
mod run_id;
mod scan;
mod scan_report;
mod session;
mod session_report;
mod signals;
mod simex;
mod slow_risk;
mod soak;
mod status;
mod summary;
mod survey;
mod universe;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::backtest::BacktestError;
use crate::config::{Config, StrategyName};
use crate::runtime::Topology;

/// Exit codes, the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything as it should be.
    Good = 0,
    /// It could not start, or broke off.
    Failed = 1,
    /// The command line or the configuration is not what is allowed.
    Usage = 2,
    /// It ended, but orders or positions that were to go are left, or engine and venue disagree, or a replay and its journal.
    NotReconciled = 3,
    /// The guard acted.
    Acted = 4,
}

/// What a command says when it cannot go on.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    fn usage(text: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Usage, text: text.to_string() }
    }

    fn of_backtest(error: BacktestError) -> Self {
        match error {
            BacktestError::Usage(text) => Self { exit: Exit::Usage, text },
            BacktestError::Failed(text) => Self { exit: Exit::Failed, text },
        }
    }
}

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { exit: Exit::Failed, text: error.to_string() }
    }
}

type Outcome = Result<Exit, Failure>;

/// A low-latency trading engine.
///
/// Without a configuration file it trades on an embedded simulated venue and needs nothing: no account, no network.
#[derive(Parser)]
#[command(name = "tercel", version, about, long_about, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  tercel run --for 20s                              trade on the embedded simulated venue
  tercel run --feed CAPTURE.jsonl.gz                the same, its market a captured feed
  tercel scan --environment mainnet --top 30        the best instruments of Bybit, by public data
  tercel backtest CAPTURE.jsonl.gz --report DIR     what a strategy would have earned, with plots
  tercel validate CAPTURE.jsonl.gz --min-sharpe 1   fails if it would not have reached that
  tercel report --journal DIR --report DIR          the same report of a run
  tercel paper --config FILE.toml --for 1h           the live market, fills simulated, nothing sent
  tercel replay CAPTURE.jsonl.gz --strategy watch   rebuild and check the books of a capture
  tercel run --for 20s --journal DIR                keep everything that the engine consumed and wanted
  tercel replay --journal DIR                       prove that the same engine wants the same again
  tercel explain --slowest 3 --journal DIR          the slowest orders; then `tercel explain ORDER --journal DIR`
  tercel soak --duration 5m                         the whole system, judged: trades, errors, capital, memory, clock
  tercel doctor --config my.toml                    what of this host costs latency, and how to change it
  tercel inspect CAPTURE.jsonl.gz                   write the sidecar of a foreign capture

Exit codes: 0 good, 1 failed, 2 usage or configuration, 3 orders (or positions that were to be closed)
left open, or engine and venue (or journal) disagree, 4 the guard acted.";

#[derive(Subcommand)]
enum Command {
    /// Trade: on the simulated venue inside this process, or on the venue that the configuration names.
    Run(run::RunArgs),
    /// Stop a run through its stop file (`[stop] file`): cancel all orders, with --flatten close all positions as well.
    ///
    /// Waits until the run has ended and says how long it took. Exit code 0: it has ended; 1: no run has within the time.
    Kill(protect::KillArgs),
    /// Take back breakers that have halted trading (`[breakers] state-file`), after a person has looked for the cause.
    Rearm(protect::RearmArgs),
    /// Replay a captured feed through the engine, with fills simulated; or a run's journal, compared command by command.
    Replay(replay::ReplayArgs),
    /// Play a captured feed through the engine, with fills simulated, and report: returns, drawdown, costs, markouts, plots.
    Backtest(Box<backtest::BacktestArgs>),
    /// Trade on paper: live market data of the configured venue, fills simulated here, no key and no order; then the report of `backtest`.
    Paper(Box<paper::PaperArgs>),
    /// Fail, with reasons, if a backtest misses its targets: drawdown, Sharpe, win rate and others.
    Validate(Box<validate::ValidateArgs>),
    /// Report on a run from its journal, as `backtest` reports on a capture.
    Report(session_report::JournalReportArgs),
    /// Say why an order was sent, from a run's journal: the tick, the book, every risk check, every stage's time, its end.
    Explain(explain::ExplainArgs),
    /// Tell the latency of a run's orders, stage by stage, from its journal.
    Latency(latency::LatencyArgs),
    /// Compare a run's orders with what the simulator makes of them, fit its queue model, and say whether it is to be believed.
    Calibrate(calibrate::CalibrateArgs),
    /// Measure latency on this machine, beside its floor.
    Bench(bench::BenchArgs),
    /// Record a venue's public stream as it comes.
    Capture(capture::CaptureArgs),
    /// Make a capture from a seed, of any length, with its sidecar: for trying things out where no feed is.
    Generate(generate::GenerateArgs),
    /// Rank the venue's instruments: liquidity, spread, volatility, funding, fees. Public data, no key.
    Scan(Box<scan::ScanArgs>),
    /// Run the simulated venue alone: Bybit's wire protocols on one port.
    Simex(simex::SimexArgs),
    /// Run the whole system for a while and fail, with reasons, if it misses a condition: assets, trades, errors, capital, memory, queues, clock.
    Soak(Box<soak::SoakArgs>),
    /// Run the engine through seeded scripts of faults on virtual time, and compare it with the venue after each.
    Faults(faults::FaultsArgs),
    /// Watch a run from a process of its own, and cancel everything when it dies, hangs or loses its network; with --flatten
    /// close positions as well.
    Guard(guard::GuardArgs),
    /// Look at a capture or a journal; write the sidecar of a capture that has none.
    Inspect(inspect::InspectArgs),
    /// Try everything that a run needs of a venue, step by step: clock, streams, key, and the life of an order.
    CheckVenue(check_venue::CheckVenueArgs),
    /// Look at this host: what of it costs latency, how much, and how to change it.
    Doctor(doctor::DoctorArgs),
    /// Check a configuration file and print what it means, defaults filled in.
    CheckConfig {
        /// The file.
        file: PathBuf,
    },
}

/// Options that shape the engine, for every command that runs it.
#[derive(Args)]
struct EngineArgs {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Strategy, over the one in the configuration.
    #[arg(long, value_enum)]
    strategy: Option<StrategyName>,
    /// Edge that the imbalance taker demands, in hundredths of a percent; 0 takes every signal.
    #[arg(long, value_name = "BPS")]
    edge_bar: Option<crate::config::Bps>,
    /// Duties by thread, like `feed+core | gateway`.
    #[arg(long, value_name = "TOPOLOGY")]
    topology: Option<Topology>,
    /// Write the whole summary as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl EngineArgs {
    /// The configuration, with what the command line says over it.
    fn config(&self) -> Result<Config, Failure> {
        let mut config = match &self.config {
            Some(file) => Config::load(file).map_err(Failure::usage)?,
            None => Config::default(),
        };
        if let Some(name) = self.strategy {
            config.strategy.name = name;
        }
        if let Some(bar) = self.edge_bar {
            config.imbalance_taker.edge_bar_bps = bar;
        }
        if let Some(topology) = &self.topology {
            config.threads.topology = topology.clone();
        }
        Ok(config)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Kill(args) => protect::kill(&args),
        Command::Rearm(args) => protect::rearm(&args),
        Command::Replay(args) => replay::run(args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Paper(args) => paper::run(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Report(args) => session_report::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Latency(args) => latency::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Capture(args) => capture::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Scan(args) => scan::run(&args),
        Command::Simex(args) => simex::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Guard(args) => guard::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::CheckVenue(args) => check_venue::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::CheckConfig { file } => check_config(&file),
    };
    let exit = outcome.unwrap_or_else(|failure| {
        eprintln!("error: {}", failure.text);
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn check_config(file: &std::path::Path) -> Outcome {
    let config = Config::load(file).map_err(Failure::usage)?;
    println!("# {}: good", file.display());
    print!("{config}");
    Ok(Exit::Good)
}
