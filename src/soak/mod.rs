//! Judges a run: facts and samples in, findings out. No I/O, no clock; `tercel soak` runs the system and asks here.
//!
//! `docs/soak.md` defines every condition. One that cannot be judged is missed: a soak that saw nothing proves nothing.

mod facts;
mod samples;
#[cfg(test)]
mod tests;
mod trend;

use std::time::Duration;

use serde::Serialize;

pub use facts::{Apart, Errors, Facts};
pub use samples::{QUEUES_MAX, Queue, SAMPLES_MAX, Sample, Samples};
pub use trend::{POINTS_MIN, Trend};

use crate::types::Money;

/// What is asked of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Time to trade.
    pub duration: Duration,
    /// Fewest instruments with market data and orders.
    pub assets_min: u64,
    /// Fewest completed round trips.
    pub trades_min: u64,
    /// Greatest share of errors, 0 to 1; of messages and of orders, each for itself.
    pub error_rate_max: f64,
    /// Most that engine and venue may be apart at the end, in the settlement currency.
    pub capital_apart_max: Money,
    /// Most that memory may grow from the end of the warm-up to the end of the run, in bytes.
    pub memory_growth_max: u64,
    /// Greatest share of a ring that may ever be in use, 0 to 1.
    pub queue_fill_max: f64,
    /// Most slots that a ring's use may grow by from the end of the warm-up on.
    pub queue_growth_max: u64,
    /// Most that the clocks may move against each other, beyond what the comparisons may be off, in nanoseconds.
    pub clock_drift_max_ns: u64,
    /// Time at the start in which memory and queues may grow.
    pub warm_up: Duration,
}

/// What came of one condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which condition.
    pub condition: &'static str,
    /// What was asked for.
    pub wanted: String,
    /// What was found.
    pub found: String,
    /// Why it is missed; `None` if it is met.
    pub reason: Option<String>,
}

impl Finding {
    fn new(condition: &'static str, wanted: String, found: String) -> Self {
        Self { condition, wanted, found, reason: None }
    }

    /// Misses it for this reason unless `is_met`.
    #[must_use]
    fn unless(mut self, is_met: bool, reason: impl FnOnce() -> String) -> Self {
        if !is_met && self.reason.is_none() {
            self.reason = Some(reason());
        }
        self
    }

    /// Whether the condition is met.
    pub fn is_met(&self) -> bool {
        self.reason.is_none()
    }
}

/// Judges a run, condition by condition.
pub fn judge(terms: &Terms, facts: &Facts, samples: &Samples) -> Vec<Finding> {
    vec![
        duration(terms, facts),
        at_least("assets", terms.assets_min, facts.assets, || {
            format!("of {} instruments, {} had market data and an order", facts.instruments, facts.assets)
        }),
        at_least("trades", terms.trades_min, facts.trades, || format!("{} round trips were completed", facts.trades)),
        error_rate("errors of messages", "messages", terms, &facts.messages, None),
        error_rate("errors of orders", "orders", terms, &facts.orders, facts.refused_text()),
        capital(terms, facts),
        left_open(facts),
        memory(terms, samples),
        queue_fill(terms, facts, samples),
        queue_growth(terms, samples),
        clock(terms, samples),
    ]
}

fn duration(terms: &Terms, facts: &Facts) -> Finding {
    let found = facts.traded_for.as_secs_f64();
    let finding = Finding::new("duration", format!("{} s", terms.duration.as_secs_f64()), format!("{found:.1} s"));
    if let Some(why) = &facts.ended_early {
        return finding.unless(false, || format!("{why} after {found:.1} s"));
    }
    finding.unless(facts.traded_for >= terms.duration, || format!("ended after {found:.1} s"))
}

fn at_least(condition: &'static str, wanted: u64, found: u64, reason: impl FnOnce() -> String) -> Finding {
    Finding::new(condition, format!("{wanted} or more"), found.to_string())
        .unless(found >= wanted, || format!("{}, wanted are {wanted}", reason()))
}

fn error_rate(
    condition: &'static str,
    of: &str,
    terms: &Terms,
    errors: &Errors,
    refused_by: Option<String>,
) -> Finding {
    let Errors { refused, unknown, mismatched, of: all } = *errors;
    let found = format!("{:.6} ({} of {all})", errors.rate(), errors.count());
    Finding::new(condition, format!("{} or less", terms.error_rate_max), found).unless(
        errors.rate() <= terms.error_rate_max,
        || {
            let by = refused_by.map_or(String::new(), |by| format!(" ({by})"));
            format!("of {all} {of}, {refused} were refused{by}, {unknown} unknown, {mismatched} mismatched")
        },
    )
}

fn capital(terms: &Terms, facts: &Facts) -> Finding {
    let wanted = format!("{} or less", terms.capital_apart_max);
    match &facts.apart {
        Apart::By(apart) => Finding::new("capital", wanted, apart.to_string())
            .unless(*apart <= terms.capital_apart_max, || format!("engine and venue are {apart} apart")),
        Apart::Untold(why) => Finding::new("capital", wanted, "-".to_owned()).unless(false, || why.clone()),
    }
}

fn left_open(facts: &Facts) -> Finding {
    let (ours, theirs, unsettled) = facts.left_open;
    let text = theirs.map_or("not told".to_owned(), |open| open.to_string());
    Finding::new("orders left", "0".to_owned(), ours.max(theirs.unwrap_or(0)).max(unsettled).to_string())
        .unless(ours == 0 && theirs == Some(0) && unsettled == 0, || {
            format!("open by the engine's books {ours}, by the venue's {text}, not settled {unsettled}")
        })
}

/// Points of one figure after the warm-up, time in seconds.
fn points(terms: &Terms, samples: &Samples, value: impl Fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    let settled = |sample: &&Sample| u128::from(sample.at_ns) >= terms.warm_up.as_nanos();
    samples.taken().iter().filter(settled).map(|sample| (sample.at_ns as f64 / 1e9, value(sample))).collect()
}

fn too_few(count: usize) -> String {
    format!("{count} samples after the warm-up are too few to judge by: run longer")
}

fn memory(terms: &Terms, samples: &Samples) -> Finding {
    let wanted = format!("grows {} kB or less", terms.memory_growth_max / 1000);
    let points = points(terms, samples, |sample| sample.rss_bytes as f64);
    if points.iter().any(|&(_, bytes)| bytes == 0.0) {
        let reason = || "the system does not tell what is resident".to_owned();
        return Finding::new("memory", wanted, "-".to_owned()).unless(false, reason);
    }
    let Some(trend) = Trend::of(&points) else {
        return Finding::new("memory", wanted, "-".to_owned()).unless(false, || too_few(points.len()));
    };
    let growth = trend.growth();
    let found = format!("{:.0} kB in {:.0} s", growth / 1e3, trend.span);
    Finding::new("memory", wanted, found).unless(growth <= terms.memory_growth_max as f64, || {
        let (first, last) = (points[0].1 / 1e6, points[points.len() - 1].1 / 1e6);
        format!("resident memory grows {:.1} kB a second, from {first:.1} MB to {last:.1} MB", trend.slope / 1e3)
    })
}

fn queue_fill(terms: &Terms, facts: &Facts, samples: &Samples) -> Finding {
    let share = |idx: usize, queue: &Queue| {
        let most = samples.taken().iter().map(|sample| sample.fills[idx]).max().unwrap_or(0);
        (f64::from(most) / queue.capacity.max(1) as f64, most)
    };
    let shares = samples.queues().iter().enumerate().map(|(idx, queue)| (share(idx, queue), queue));
    let wanted = format!("{} % or less, none lost", terms.queue_fill_max * 100.0);
    let Some(((fullest, most), queue)) = shares.max_by(|(one, _), (other, _)| one.0.total_cmp(&other.0)) else {
        return Finding::new("queues filled", wanted, "-".to_owned()).unless(false, || "no queue was seen".to_owned());
    };
    let lost = facts.lost_in_queues;
    let found = format!("{:.2} %, {lost} lost", fullest * 100.0);
    Finding::new("queues filled", wanted, found)
        .unless(lost == 0, || format!("{lost} events or requests met a full ring"))
        .unless(fullest <= terms.queue_fill_max, || format!("{} held {most} of {} slots", queue.name, queue.capacity))
}

fn queue_growth(terms: &Terms, samples: &Samples) -> Finding {
    let wanted = format!("grow {} slots or less", terms.queue_growth_max);
    let mut most: Option<(f64, Trend, &Queue)> = None;
    for (idx, queue) in samples.queues().iter().enumerate() {
        let points = points(terms, samples, |sample| f64::from(sample.fills[idx]));
        let Some(trend) = Trend::of(&points) else {
            return Finding::new("queues growing", wanted, "-".to_owned()).unless(false, || too_few(points.len()));
        };
        if most.is_none_or(|(growth, ..)| trend.growth() > growth) {
            most = Some((trend.growth(), trend, queue));
        }
    }
    let Some((growth, trend, queue)) = most else {
        return Finding::new("queues growing", wanted, "-".to_owned()).unless(false, || "no queue was seen".to_owned());
    };
    Finding::new("queues growing", wanted, format!("{growth:.0} slots in {:.0} s", trend.span))
        .unless(growth <= terms.queue_growth_max as f64, || {
            format!("{} holds {:.2} slots more each second", queue.name, trend.slope)
        })
}

fn clock(terms: &Terms, samples: &Samples) -> Finding {
    let ms = |ns: f64| ns / 1e6;
    let wanted = format!("moves {} ms or less", ms(terms.clock_drift_max_ns as f64));
    let estimates: Vec<_> = samples.taken().iter().filter_map(|sample| sample.clock).collect();
    let compared = match (estimates.first(), estimates.last()) {
        (Some(first), Some(last)) if last.published > first.published => Some((*first, last.published)),
        _ => None,
    };
    let Some((first, times)) = compared else {
        return Finding::new("clock offset", wanted, "-".to_owned())
            .unless(false, || "the clocks were compared once or never: run longer".to_owned());
    };
    // What the comparisons themselves may be off is no drift.
    let certain = |found: &crate::runtime::OffsetEstimate| {
        let moved = found.offset_ns.abs_diff(first.offset_ns);
        moved.saturating_sub(found.uncertainty_ns.saturating_add(first.uncertainty_ns))
    };
    let drift_ns = estimates.iter().map(certain).max().unwrap_or(0);
    let moved = estimates.iter().max_by_key(|found| certain(found)).unwrap_or(&first);
    Finding::new("clock offset", wanted, format!("{:.3} ms, compared {times} times", ms(drift_ns as f64))).unless(
        drift_ns <= terms.clock_drift_max_ns,
        || {
            format!(
                "the venue's clock was {:.3} ms ahead of ours, and then {:.3} ms (give or take {:.3} ms)",
                ms(first.offset_ns as f64),
                ms(moved.offset_ns as f64),
                ms(moved.uncertainty_ns.saturating_add(first.uncertainty_ns) as f64)
            )
        },
    )
}
