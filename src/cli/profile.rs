//! `tercel replay --profile`.

use std::path::Path;
use std::time::Instant;

use perf_event::events::Hardware;
use perf_event::{Builder, Counter};
use serde_json::json;

use super::captures::Captures;
use super::journal::write_json;
use super::{Exit, Outcome};
use crate::config::Config;
use crate::engine::Engine;
use crate::journal::{Capture, Merge};
use crate::runtime::profile::{PassFeeds, pass_books, pass_decode, pass_engine, watching};
use crate::venue::FeedConfig;

/// What one pass took.
#[derive(Clone, Copy, Default)]
struct Taken {
    ns: f64,
    /// Cycles, instructions, cache misses, branch misses, where the machine counts them.
    counts: Option<[u64; 4]>,
}

const COUNT_NAMES: [&str; 4] = ["cycles", "instructions", "cache_misses", "branch_misses"];

/// The processor's counters for this thread, in user mode.
struct Counters([Counter; 4]);

impl Counters {
    fn open() -> std::io::Result<Self> {
        let counter = |event: Hardware| Builder::new(event).build();
        Ok(Self([
            counter(Hardware::CPU_CYCLES)?,
            counter(Hardware::INSTRUCTIONS)?,
            counter(Hardware::CACHE_MISSES)?,
            counter(Hardware::BRANCH_MISSES)?,
        ]))
    }

    fn start(&mut self) -> std::io::Result<()> {
        self.0.iter_mut().try_for_each(|counter| counter.reset().and_then(|()| counter.enable()))
    }

    fn stop(&mut self) -> std::io::Result<[u64; 4]> {
        let mut counts = [0; 4];
        for (counter, count) in self.0.iter_mut().zip(&mut counts) {
            counter.disable()?;
            *count = counter.read()?;
        }
        Ok(counts)
    }
}

fn measure<T>(counters: &mut Option<Counters>, pass: impl FnOnce() -> T) -> std::io::Result<(T, Taken)> {
    if let Some(counters) = counters {
        counters.start()?;
    }
    let started = Instant::now();
    let answer = pass();
    let ns = started.elapsed().as_nanos() as f64;
    let counts = counters.as_mut().map(Counters::stop).transpose()?;
    Ok((answer, Taken { ns, counts }))
}

/// The passes, in the order in which they are made.
const PASSES: [&str; 3] = ["decode", "decode, books, signals", "all of the engine"];

/// Runs the passes `loops` times, in turns, and prints medians.
pub fn run(captures: &Captures, feed: FeedConfig, loops: u32, config: &Config, json_file: Option<&Path>) -> Outcome {
    let mut capture = Capture::default();
    Merge::open(&captures.files)?.fill(&mut capture, usize::MAX)?;
    let (table, venues) = (&captures.table, &captures.venues);
    let feeds = || PassFeeds::new(venues, table, feed).ok_or("there is no decoder for this venue");
    let (mut counters, no_counters) = match Counters::open() {
        Ok(counters) => (Some(counters), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let mut taken: [Vec<Taken>; 3] = Default::default();
    let (mut events, mut commands) = (0, 0);
    for _ in 0..loops.max(1) {
        let mut decoders = feeds()?;
        let (count, first) = measure(&mut counters, || pass_decode(&capture, &mut decoders))?;
        let (mut decoders, mut engine) = (feeds()?, watching(table, config.engine_without_analyst()));
        let (_, second) = measure(&mut counters, || pass_books(&capture, &mut decoders, &mut engine))?;
        let (mut decoders, mut engine) =
            (feeds()?, Engine::new(table, config.engine_without_analyst(), config.strategy(table.len())));
        let ((_, given), third) = measure(&mut counters, || pass_engine(&capture, &mut decoders, &mut engine))?;
        for (pass, one) in taken.iter_mut().zip([first, second, third]) {
            pass.push(one);
        }
        (events, commands) = (count, given);
    }
    let messages = capture.len().max(1) as f64;
    println!(
        "{} messages, {} bytes, {events} events, {commands} commands; one thread, median of {} loops in turns",
        capture.len(),
        capture.message_bytes(),
        taken[0].len()
    );
    let mut passes = Vec::new();
    for (name, rounds) in PASSES.iter().zip(&mut taken) {
        rounds.sort_by(|a, b| a.ns.total_cmp(&b.ns));
        let median = rounds[rounds.len() / 2];
        let per_message = |total: f64| total / messages;
        println!(
            "  {name:<24} {:>8.0} ns a message ({:.0} – {:.0}), {:.2} M messages/s{}",
            per_message(median.ns),
            per_message(rounds[0].ns),
            per_message(rounds[rounds.len() - 1].ns),
            messages / median.ns * 1e3,
            median.counts.map(|counts| counts_text(counts, messages)).unwrap_or_default(),
        );
        let counts = median.counts.map(|counts| {
            let pairs = COUNT_NAMES.iter().zip(counts);
            pairs
                .map(|(name, count)| ((*name).to_owned(), json!(count as f64 / messages)))
                .collect::<serde_json::Map<_, _>>()
        });
        passes.push(json!({
            "name": name, "ns_per_message": per_message(median.ns), "ns_per_message_min": per_message(rounds[0].ns),
            "ns_per_message_max": per_message(rounds[rounds.len() - 1].ns), "per_message": counts,
        }));
    }
    if let Some(reason) = &no_counters {
        println!("  cycles and instructions: this machine does not count them here ({reason})");
    }
    println!("for a profiler: `perf record -g` this command; the passes are pass_decode, pass_books and pass_engine");
    if let Some(file) = json_file {
        let value = json!({
            "messages": capture.len(), "bytes": capture.message_bytes(), "events": events, "commands": commands,
            "loops": taken[0].len(), "passes": passes, "counters_unavailable": no_counters,
        });
        write_json(file, &value)?;
    }
    Ok(Exit::Good)
}

fn counts_text([cycles, instructions, cache, branch]: [u64; 4], messages: f64) -> String {
    let per = |count: u64| count as f64 / messages;
    format!(
        "; a message: {:.0} cycles, {:.0} instructions, {:.2} cache misses, {:.2} branch misses",
        per(cycles),
        per(instructions),
        per(cache),
        per(branch)
    )
}
