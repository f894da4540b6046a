//! Looks for the rate at which a queue starts to grow.
//!
//! The rate is doubled until a side falls behind, then the gap is halved a few times. A side keeps up if every order came,
//! the median latency of the second half of the measurement is not far above that of the first, and no queue stands. The
//! median decides and not p99: who takes the core of a virtual machine decides the latter.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::{BenchError, BenchOptions, BenchTls, Carrier, Case, Contender, GeneratorReport, Side, run_side};
use crate::runtime::Clock;

/// First rate that is tried, and one that ends the search if it is kept, in ticks a second.
pub const SEARCHED_RATES: RangeInclusive<u32> = 5_000..=640_000;

/// How often the gap between a rate that was kept and one that was not is halved, geometrically: to within some 9 %.
const HALVINGS: usize = 3;

/// Warm-up and measurement of one trial, in nanoseconds.
const TRIAL_NS: [u64; 2] = [200_000_000, 500_000_000];

/// A median above this is a standing queue, whether it grows or not.
const STANDING_NS: u64 = 1_000_000;

/// Medians that differ by less than this do not grow.
const GROWTH_NS: u64 = 20_000;

/// The highest rate that one side keeps.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Limit {
    /// Whose.
    pub contender: Contender,
    /// Highest rate tried that it kept, in ticks a second; 0 if it kept none.
    pub kept_per_s: u32,
    /// Lowest rate tried at which its queue grew; `None` if it kept every rate tried.
    pub grew_per_s: Option<u32>,
    /// Median latency at the rate that it kept.
    pub latency_ns_p50: u64,
    /// Whether the generator itself was late by more than 20 µs at the median of the lowest rate that was not kept:
    /// then the limit may be the generator's.
    pub is_generator_late: bool,
}

/// The limits of all sides of one kind of load.
#[derive(Clone, Debug, Serialize)]
pub struct Limits {
    /// What carried it.
    pub carrier: Carrier,
    /// Threads of the engine.
    pub topology: String,
    /// Bytes of a tick's frame on average.
    pub tick_frame_bytes: u64,
    /// One for each side.
    pub sides: Vec<Limit>,
}

/// Searches `rates` for the limit of every side with the ticks of `case`, whose own rate does not matter; `say` hears how
/// far it is.
///
/// # Errors
/// [`BenchError`], but for a side that falls behind: that is an answer.
pub fn search(
    case: &Case,
    options: &BenchOptions,
    tls: &BenchTls,
    rates: RangeInclusive<u32>,
    mut say: impl FnMut(&str),
) -> Result<Limits, BenchError> {
    let clock = Clock::new();
    let [warm_up_ns, measure_ns] = TRIAL_NS;
    let options = BenchOptions { warm_up_ns, measure_ns, worst: 0, ..options.clone() };
    let mut limits =
        Limits { carrier: case.carrier, topology: case.topology.to_string(), tick_frame_bytes: 0, sides: Vec::new() };
    for contender in options.contenders() {
        let mut limit =
            Limit { contender, kept_per_s: 0, grew_per_s: None, latency_ns_p50: 0, is_generator_late: false };
        let mut rate = *rates.start();
        let mut halvings = 0;
        loop {
            let case = Case { traffic: case.traffic.with_rate(rate), ..case.clone() };
            // Twice, because a core that is taken for a moment looks like a queue.
            let mut outcome = trial(contender, &case, &options, tls, &clock)?;
            if !outcome.is_kept {
                outcome = trial(contender, &case, &options, tls, &clock)?;
            }
            limits.tick_frame_bytes = limits.tick_frame_bytes.max(outcome.tick_frame_bytes);
            if outcome.is_kept {
                (limit.kept_per_s, limit.latency_ns_p50) = (rate, outcome.latency_ns_p50);
            } else {
                (limit.grew_per_s, limit.is_generator_late) = (Some(rate), outcome.is_generator_late);
            }
            rate = match limit.grew_per_s {
                None if rate >= *rates.end() => break,
                None => rate * 2,
                Some(_) if halvings == HALVINGS => break,
                Some(grew) => {
                    halvings += 1;
                    let kept = limit.kept_per_s.max(rates.start() / 8);
                    (f64::from(kept) * f64::from(grew)).sqrt() as u32
                }
            };
        }
        say(&format!("{}: keeps {} ticks a second", contender.name(), limit.kept_per_s));
        limits.sides.push(limit);
    }
    Ok(limits)
}

struct Outcome {
    is_kept: bool,
    latency_ns_p50: u64,
    is_generator_late: bool,
    tick_frame_bytes: u64,
}

fn trial(
    contender: Contender,
    case: &Case,
    options: &BenchOptions,
    tls: &BenchTls,
    clock: &Clock,
) -> Result<Outcome, BenchError> {
    match run_side(contender, case, options, tls, clock) {
        Ok((Side { generator: Some(report), .. }, _)) => Ok(Outcome {
            is_kept: keeps_up(&report),
            latency_ns_p50: report.wire_to_wire.value_at_quantile(0.5),
            is_generator_late: report.lateness.value_at_quantile(0.5) > GROWTH_NS,
            tick_frame_bytes: report.tick_bytes / report.played.max(1),
        }),
        // Not one order came, or a connection broke under the load.
        Ok(_) | Err(BenchError::NoOrders { .. } | BenchError::LinkLost) => {
            Ok(Outcome { is_kept: false, latency_ns_p50: 0, is_generator_late: false, tick_frame_bytes: 0 })
        }
        Err(error) => Err(error),
    }
}

fn keeps_up(report: &GeneratorReport) -> bool {
    let [first, second] = report.halves.each_ref().map(|half| half.value_at_quantile(0.5));
    report.answered == report.asked && second <= STANDING_NS && second <= first + first / 2 + GROWTH_NS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(halves: [u64; 2]) -> GeneratorReport {
        let mut report = GeneratorReport::new(0);
        for (half, ns) in report.halves.iter_mut().zip(halves) {
            half.record(ns).unwrap();
        }
        (report.asked, report.answered) = (2, 2);
        report
    }

    #[test]
    fn a_queue_that_grows_or_stands_or_loses_is_not_kept() {
        assert!(keeps_up(&report([10_000, 12_000])));
        assert!(keeps_up(&report([10_000, 34_000])), "noise");
        assert!(!keeps_up(&report([10_000, 100_000])), "it grows");
        assert!(!keeps_up(&report([1_900_000, 2_000_000])), "it stands");
        let mut lost = report([10_000, 10_000]);
        lost.answered = 1;
        assert!(!keeps_up(&lost));
    }
}
