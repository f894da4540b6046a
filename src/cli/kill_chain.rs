//! `tercel bench kill-chain`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use super::bench::command_line;
use super::signals::StopSignals;
use super::{Exit, Failure, Outcome};
use crate::bench::kill_chain::{KillChainOptions, KillChainReport, run_kill_chain};
use crate::bench::{Machine, load_average};
use crate::config::Config;
use crate::ring::Flag;
use crate::runtime::Clock;
use crate::types::date;

#[derive(Args)]
pub struct KillChainArgs {
    /// Rounds of each kind.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// How long the venue is watched where nobody cancels.
    #[arg(long, default_value = "5s", value_name = "TIME")]
    observe: crate::config::Duration,
    /// Staleness at which the guard acts.
    #[arg(long, default_value = "300ms", value_name = "TIME")]
    stale_after: crate::config::Duration,
    /// Write the report into a folder of its own in this one.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &KillChainArgs) -> Outcome {
    let signals = StopSignals::install()?;
    let dir = std::env::temp_dir().join(format!("tercel-kill-chain-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let stop = Flag::new();
    let options = KillChainOptions {
        program: std::env::current_exe()?,
        dir: dir.clone(),
        rounds: usize::from(args.rounds),
        observe: Duration::from_nanos(args.observe.0),
        stale_after_ms: args.stale_after.0 / 1_000_000,
        stop: stop.clone(),
    };
    let machine = Machine::observe(&Clock::new());
    let before = load_average();
    let measured = run_kill_chain(&options, |round| {
        let zero = round.zero_after_ms.map_or_else(|| "orders stay".to_owned(), |ms| format!("none after {ms:.1} ms"));
        eprintln!("{:<12} {:<10} {zero}", round.damage.text(), if round.guarded { "guarded" } else { "alone" });
        if signals.is_set() {
            stop.set();
        }
    });
    // Only files of this run are in it.
    let _ = std::fs::remove_dir_all(&dir);
    let report = KillChainReport {
        date: date(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()),
        command: command_line(),
        machine,
        load_average: [before, load_average()],
        stale_after_ms: options.stale_after_ms,
        lease_ms: Config::default().guard.lease.0 / 1_000_000,
        rounds: measured?,
    };
    print!("{}", report.markdown());
    if let Some(parent) = &args.report {
        let dir = parent.join(format!("{}-kill-chain", report.date));
        report.write(&dir).map_err(|e| Failure::from(format!("{}: {e}", dir.display())))?;
        eprintln!("report written to {}", dir.display());
    }
    Ok(Exit::Good)
}
