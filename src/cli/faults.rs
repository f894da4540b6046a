//! `tercel faults`: seeded runs of the live engine on virtual time while things go wrong.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::mpsc;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::simex::fault_script;
use super::{Exit, Failure, Outcome};
use crate::faults::{Verdict, WorldOptions, run as run_world};
use crate::simex::fault::FaultScript;
use crate::types::Money;

/// Failed runs of which everything is printed; of the others the seed alone.
const FAILURES_SHOWN: usize = 5;

/// Arguments of `tercel faults`.
#[derive(Args)]
pub struct FaultsArgs {
    /// Seeds to run, the first included and the last not, like 0..1000; or one seed.
    #[arg(long, value_name = "RANGE", default_value = "0..100", conflicts_with_all = ["script", "print"])]
    seeds: Seeds,
    /// Play this script, with the market of its seed.
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    script: Option<PathBuf>,
    /// Print the script of this seed and run nothing.
    #[arg(long, value_name = "SEED")]
    print: Option<u64>,
    /// Virtual time of one run, of which the last 15 s are spent on stopping.
    #[arg(long = "for", value_name = "TIME", default_value = "120s")]
    duration: crate::config::Duration,
    /// Trade with this capital under tight limits and breakers; hold the venue's own books against it after every step, and close
    /// all positions at the end.
    #[arg(long, value_name = "AMOUNT")]
    capital: Option<crate::config::MoneyText>,
    /// Runs at the same time; by default one for each processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Write totals and failures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A range of seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seeds {
    first: u64,
    end: u64,
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("found `{text}`, allowed is a range like 0..1000 that is not empty, or one seed");
        let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
        let (first, end) = match text.split_once("..") {
            Some((first, end)) => (number(first)?, number(end)?),
            None => {
                let seed = number(text)?;
                (seed, seed.checked_add(1).ok_or_else(bad)?)
            }
        };
        if first < end { Ok(Self { first, end }) } else { Err(bad()) }
    }
}

/// What all runs came to.
#[derive(Debug, Default, Serialize)]
struct Totals {
    runs: u64,
    good: u64,
    orders: u64,
    fills: u64,
    messages: u64,
    virtual_s: u64,
    elapsed_s: f64,
    seeds_per_s: f64,
    /// By kind: runs whose script has it, and times that it acted.
    faults: BTreeMap<String, KindCount>,
    /// With a capital: runs in which a limit was exceeded at the venue, the most that was at stake, runs by how far their
    /// furthest breaker had gone, and the virtual time until nothing was open or held, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    armed: Option<ArmedTotals>,
    failures: Vec<FailedRun>,
}

#[derive(Debug, Default, Serialize)]
struct KindCount {
    scripted: u64,
    fired: u64,
}

#[derive(Debug, Default, Serialize)]
struct ArmedTotals {
    breached: u64,
    stake_max: String,
    levels: BTreeMap<&'static str, u64>,
    flat_after_ns: FlatAfter,
    #[serde(skip)]
    stake: Money,
    #[serde(skip)]
    all_flat_after: Vec<u64>,
}

#[derive(Debug, Default, Serialize)]
struct FlatAfter {
    p50: u64,
    p99: u64,
    max: u64,
}

impl ArmedTotals {
    fn add(&mut self, verdict: &Verdict) {
        self.breached += u64::from(!verdict.breaches.is_empty());
        self.stake = self.stake.max(verdict.stake_max);
        self.stake_max = self.stake.to_string();
        let furthest = verdict.levels.iter().max().map_or("", |level| level.name());
        *self.levels.entry(furthest).or_default() += 1;
        let all = &mut self.all_flat_after;
        let at = all.partition_point(|ns| *ns <= verdict.flat_after_ns);
        all.insert(at, verdict.flat_after_ns);
        let share = |percent: usize| all.get((all.len() * percent / 100).min(all.len() - 1)).copied().unwrap_or(0);
        self.flat_after_ns = FlatAfter { p50: share(50), p99: share(99), max: share(100) };
    }
}

#[derive(Debug, Serialize)]
struct FailedRun {
    seed: u64,
    is_finished: bool,
    differences: Vec<String>,
    script: String,
}

impl Totals {
    fn add(&mut self, verdict: &Verdict) {
        self.runs += 1;
        self.good += u64::from(verdict.is_good());
        self.orders += verdict.orders;
        self.fills += verdict.fills;
        self.messages += verdict.messages;
        self.virtual_s += verdict.elapsed_ns / 1_000_000_000;
        if let Some(armed) = &mut self.armed {
            armed.add(verdict);
        }
        for fault in &verdict.script.faults {
            self.faults.entry(fault.act.name()).or_default().scripted += 1;
        }
        for (name, count) in &verdict.fired {
            self.faults.entry(name.clone()).or_default().fired += count;
        }
        if !verdict.is_good() {
            self.failures.push(FailedRun {
                seed: verdict.seed,
                is_finished: verdict.is_finished,
                differences: verdict
                    .differences
                    .iter()
                    .map(ToString::to_string)
                    .chain(verdict.breaches.iter().cloned())
                    .collect(),
                script: verdict.script.to_string(),
            });
        }
    }
}

/// Runs the command.
pub fn run(args: &FaultsArgs) -> Outcome {
    let duration_ns = args.duration.0;
    if let Some(seed) = args.print {
        print!("{}", FaultScript::generate(seed, duration_ns));
        return Ok(Exit::Good);
    }
    let (seeds, script) = match &args.script {
        Some(file) => {
            let script = fault_script(file)?;
            let seed = script.seed.unwrap_or(0);
            (Seeds { first: seed, end: seed.saturating_add(1) }, Some(script))
        }
        None => (args.seeds, None),
    };
    let threads = match args.threads {
        Some(threads) => u64::from(threads),
        None => std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
    };
    let options = |seed| WorldOptions {
        seed,
        script: script.clone().unwrap_or_else(|| FaultScript::generate(seed, duration_ns)),
        duration_ns,
        capital: args.capital.map(|capital| capital.0),
        stops: None,
    };
    let armed = args.capital.map(|_| ArmedTotals::default());
    let totals = run_all(seeds, threads, armed, &options)?;
    report(&totals);
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&totals)? + "\n";
        std::fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(if totals.good == totals.runs { Exit::Good } else { Exit::NotReconciled })
}

/// Runs every seed, on so many threads; failures are printed as they come.
fn run_all(
    seeds: Seeds,
    threads: u64,
    armed: Option<ArmedTotals>,
    options: &(dyn Fn(u64) -> WorldOptions + Sync),
) -> Result<Totals, Failure> {
    let started = Instant::now();
    let count = seeds.end - seeds.first;
    let mut totals = Totals { armed, ..Totals::default() };
    std::thread::scope(|scope| {
        let (results, verdicts) = mpsc::channel();
        for offset in 0..threads.min(count) {
            let results = results.clone();
            scope.spawn(move || {
                // Every thread takes each n-th seed: they are alike enough to end together.
                let mut seed = seeds.first.saturating_add(offset);
                while seed < seeds.end {
                    if results.send(run_world(&options(seed))).is_err() {
                        return;
                    }
                    seed = seed.saturating_add(threads);
                }
            });
        }
        drop(results);
        let mut progress = Progress::new(count);
        for verdict in verdicts {
            totals.add(&verdict);
            if !verdict.is_good() {
                progress.clear();
                if totals.failures.len() <= FAILURES_SHOWN {
                    println!("{verdict}");
                }
            }
            progress.show(&totals, started.elapsed().as_secs_f64());
        }
        progress.clear();
    });
    totals.elapsed_s = started.elapsed().as_secs_f64();
    totals.seeds_per_s = totals.runs as f64 / totals.elapsed_s.max(1e-9);
    totals.failures.sort_by_key(|failure| failure.seed);
    if totals.runs != count {
        return Err(Failure::from("a run panicked: a bug"));
    }
    Ok(totals)
}

fn report(totals: &Totals) {
    println!(
        "{} of {} runs good: {} orders, {} fills, {} messages in {} s of virtual time; {:.1} s, {:.2} seeds/s",
        totals.good,
        totals.runs,
        totals.orders,
        totals.fills,
        totals.messages,
        totals.virtual_s,
        totals.elapsed_s,
        totals.seeds_per_s
    );
    println!("{:<32} {:>9} {:>9}", "fault", "scripted", "fired");
    for (name, KindCount { scripted, fired }) in &totals.faults {
        let note = if *fired == 0 { "  never" } else { "" };
        println!("{name:<32} {scripted:>9} {fired:>9}{note}");
    }
    if totals.failures.len() > FAILURES_SHOWN {
        let seeds: Vec<String> = totals.failures.iter().map(|failure| failure.seed.to_string()).collect();
        println!("failed seeds: {}", seeds.join(" "));
    }
    if let Some(armed) = &totals.armed {
        let levels: Vec<String> = armed.levels.iter().map(|(level, runs)| format!("{level} {runs}")).collect();
        let ms = |ns: u64| ns as f64 / 1e6;
        println!(
            "limits exceeded in {} runs; at most {} at stake; furthest breaker of a run: {}; nothing open or held after {:.0} ms (p50), {:.0} ms (p99), {:.0} ms at most",
            armed.breached,
            armed.stake_max,
            levels.join(", "),
            ms(armed.flat_after_ns.p50),
            ms(armed.flat_after_ns.p99),
            ms(armed.flat_after_ns.max),
        );
    }
}

/// One line of progress: rewritten on a terminal, absent elsewhere.
struct Progress {
    is_terminal: bool,
    count: u64,
}

impl Progress {
    fn new(count: u64) -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), count }
    }

    fn show(&mut self, totals: &Totals, elapsed_s: f64) {
        if self.is_terminal {
            let rate = totals.runs as f64 / elapsed_s.max(1e-9);
            let failed = totals.runs - totals.good;
            let line = format!("{} of {} runs, {failed} failed, {rate:.2} seeds/s", totals.runs, self.count);
            let mut out = std::io::stderr();
            // Nobody is helped by an error about a progress line.
            let _ = write!(out, "\r\x1b[K{line}");
            let _ = out.flush();
        }
    }

    fn clear(&mut self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_seeds_read_as_they_are_meant() {
        assert_eq!("0..1000".parse(), Ok(Seeds { first: 0, end: 1000 }));
        assert_eq!("7".parse(), Ok(Seeds { first: 7, end: 8 }));
        for bad in ["", "..", "5..5", "9..2", "a..b", "1..", "18446744073709551615"] {
            assert!(bad.parse::<Seeds>().is_err(), "{bad}");
        }
    }
}
