//! `tercel doctor`: what this host costs an engine, and how to change it.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failure, Outcome};
use crate::config::Config;
use crate::doctor::{CpuList, Examination, Finding, Host, Intent, Measured, Rating, Remedy, priorities};
use crate::runtime::{Idle, LockMemory};

/// Arguments of `tercel doctor`.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct DoctorArgs {
    /// Cores of the hot threads, like 2,3 or 2-4; otherwise those of [threads] cpus in the configuration.
    #[arg(long, value_name = "LIST")]
    cpus: Option<CpuList>,
    /// Configuration file (TOML): its topology, cores and idle strategy are what the host is examined for.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Interface to the venue; otherwise that of the default route.
    #[arg(long, value_name = "NAME")]
    iface: Option<String>,
    /// Print all findings, figures and the fingerprint as JSON.
    #[arg(long, conflicts_with = "apply")]
    json: bool,
    /// Print what would make this host better, ready to paste: commands, a kernel command line, a systemd unit. Runs nothing.
    #[arg(long)]
    apply: bool,
}

const AFTER_HELP: &str = "\
It changes nothing and needs no root; it measures for about a second. Ratings:
  green    as it should be                yellow   costs microseconds, or milliseconds seldom
  RED      an engine would stall for milliseconds or not run as told: `tercel run --live` refuses to arm
  unknown  cannot be read here, with why  n/a      means nothing on this host

Examples:
  tercel doctor --config my.toml            the host, for the threads of this configuration
  tercel doctor --cpus 2,3 --iface eth1     cores and card that are not in a configuration yet
  tercel doctor --cpus 2,3 --apply          what to paste

Exit codes: 0 nothing is red, 1 something is, 2 usage or configuration.";

/// Runs the command.
pub fn run(args: &DoctorArgs) -> Outcome {
    let config = match &args.config {
        Some(file) => Config::load(file).map_err(Failure::usage)?,
        None => Config::default(),
    };
    let mut intent = intent(&config);
    intent.iface.clone_from(&args.iface);
    if let Some(cpus) = &args.cpus {
        intent.cpus = cpus.iter().collect();
    }
    let host = Host::this();
    let found = examine(&host, &intent);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else if args.apply {
        let program = std::env::current_exe()?;
        let file = args.config.clone().unwrap_or_else(|| PathBuf::from("/etc/tercel/tercel.toml"));
        let file = std::path::absolute(file)?;
        print!("{}", Remedy::of(&host, &intent, &found, &program.to_string_lossy(), &file.to_string_lossy()));
    } else {
        print!("{}", text(&found));
    }
    Ok(if found.red().next().is_none() { Exit::Good } else { Exit::Failed })
}

/// How the engine of a configuration is to run.
fn intent(config: &Config) -> Intent {
    let threads = config.threads.topology.threads().len();
    Intent {
        cpus: config.threads.cpus.iter().copied().take(threads).collect(),
        threads,
        spins: config.threads.idle == Idle::Spin,
        must_lock: config.threads.lock_memory == LockMemory::Yes,
        iface: None,
    }
}

fn examine(host: &Host, intent: &Intent) -> Examination {
    // Only on cores that are there: elsewhere a thread would not be pinned, and its figures be another core's.
    let allowed = host.allowed().unwrap_or_default();
    let cpus: Vec<usize> = intent.cpus.iter().copied().filter(|&cpu| allowed.contains(cpu)).collect();
    Examination::of(host, intent, Some(Measured::take(&cpus)))
}

/// The priority of each hot thread, by the configuration and by what this host allows.
///
/// # Errors
/// A priority is demanded that cannot be had.
pub(super) fn real_time(config: &Config) -> Result<Vec<Option<u8>>, Failure> {
    let taken = priorities(&Host::this(), config.threads.real_time, &intent(config)).map_err(Failure::usage)?;
    if let Some(priority) = taken.iter().copied().flatten().next() {
        let count = taken.iter().flatten().count();
        eprintln!("threads: {count} of {} take real-time priority {priority}", taken.len());
    }
    Ok(taken)
}

/// Refuses a host with red findings, for a run on a real venue, unless they are accepted.
///
/// # Errors
/// The red findings.
pub(super) fn check_host(config: &Config, is_accepted: bool) -> Result<(), Failure> {
    judge(&examine(&Host::this(), &intent(config)), is_accepted)
}

fn judge(found: &Examination, is_accepted: bool) -> Result<(), Failure> {
    let red: Vec<String> =
        found.red().map(|finding| format!("\n  {}: {}; {}", finding.name, finding.found, finding.cost)).collect();
    if red.is_empty() {
        return Ok(());
    }
    if is_accepted {
        eprintln!("warning: --accept-host, on a host with red findings:{}", red.concat());
        return Ok(());
    }
    Err(Failure::from(format!(
        "this host is not fit to trade (`tercel doctor` says how to change it; --accept-host trades all the same):{}",
        red.concat()
    )))
}

fn text(found: &Examination) -> String {
    let mut out = format!("host {}\n\n", found.fingerprint.hash);
    for finding in &found.findings {
        out.push_str(&lines(finding));
    }
    let count = |rating| found.count(rating);
    out.push_str(&format!(
        "\n{} green, {} yellow, {} red, {} unknown, {} not applicable\n",
        count(Rating::Green),
        count(Rating::Yellow),
        count(Rating::Red),
        count(Rating::Unknown),
        count(Rating::NotApplicable)
    ));
    out
}

/// A finding for people; only one that is not good is explained.
fn lines(finding: &Finding) -> String {
    let mut out = format!("{:<8} {:<24} {}\n", finding.rating.name(), finding.name, finding.found);
    if matches!(finding.rating, Rating::Yellow | Rating::Red | Rating::Unknown) {
        if !finding.cost.is_empty() {
            out.push_str(&format!("{:<8}   costs: {} ({})\n", "", finding.cost, finding.source));
        }
        if !finding.change.is_empty() {
            out.push_str(&format!("{:<8}   change: {}\n", "", finding.change));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_red_finding_refuses_and_is_named_unless_it_is_accepted() {
        // No tree at all: nothing can be read, and nothing that is unknown refuses.
        let mut found = Examination::of(&Host::at("/nonexistent", None), &Intent::default(), None);
        assert!(judge(&found, false).is_ok());
        found.findings[0].rating = Rating::Red;
        let failure = judge(&found, false).unwrap_err();
        assert_eq!(failure.exit, Exit::Failed);
        assert!(
            failure.text.contains(found.findings[0].name) && failure.text.contains("--accept-host"),
            "{}",
            failure.text
        );
        assert!(judge(&found, true).is_ok());
        let text = text(&found);
        assert!(text.contains("RED") && text.contains("1 red"), "{text}");
    }
}
