//! What can be measured in a second: a stamp, a system call, a cache line between cores, and who else uses the cores.

use std::time::Duration;

use serde::Serialize;

use super::{Finding, MEASURED, Rating};
use crate::bench::Distance;
use crate::runtime::Clock;

/// How long gaps are looked for.
const GAPS_FOR_NS: u64 = 500_000_000;

/// A gap from which on it counts: far longer than a turn of the loop.
const GAP_NS_MIN: u64 = 5_000;

/// A gap that costs orders.
const GAP_NS_RED: u64 = 20_000_000;

/// A gap that is felt.
const GAP_NS_YELLOW: u64 = 100_000;

/// When a thread that only reads the clock was not let to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gaps {
    /// The core, if it was pinned to one.
    pub cpu: Option<usize>,
    /// Gaps of 5 µs and more.
    pub count: u64,
    /// The longest, in nanoseconds.
    pub worst_ns: u64,
    /// All of them together, in nanoseconds.
    pub sum_ns: u64,
    /// How long was watched, in nanoseconds.
    pub over_ns: u64,
}

/// Figures of this host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// One stamp.
    pub stamp_ns: f64,
    /// One system call that does nothing much.
    pub syscall_ns: f64,
    /// A cache line one way between the first two cores, half the median round trip; none with a single core.
    pub line_one_way_ns: Option<u64>,
    /// A spinning loop on each core, one after the other.
    pub gaps: Vec<Gaps>,
}

impl Measured {
    /// Measures on these cores, or unpinned; about half a second for all cores together, and a little more.
    pub fn take(cpus: &[usize]) -> Self {
        let clock = Clock::new();
        let pair = match *cpus {
            [first, second, ..] => Some([Some(first), Some(second)]),
            _ => core_affinity::get_core_ids().and_then(|ids| match ids.as_slice() {
                [first, second, ..] => Some([Some(first.id), Some(second.id)]),
                _ => None,
            }),
        };
        let cores: Vec<Option<usize>> =
            if cpus.is_empty() { vec![None] } else { cpus.iter().copied().map(Some).collect() };
        let share_ns = GAPS_FOR_NS / cores.len() as u64;
        Self {
            stamp_ns: clock.measure_cost_ns(),
            syscall_ns: syscall_ns(&clock),
            line_one_way_ns: pair.map(|pair| Distance::probe(pair, &clock).line_one_way_ns),
            gaps: cores.into_iter().map(|cpu| gaps(cpu, clock.clone(), Duration::from_nanos(share_ns))).collect(),
        }
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut all = vec![
            Finding::new("system call", Rating::Green, format!("{:.0} ns", self.syscall_ns))
                .costs("an order makes one, to its socket", MEASURED),
        ];
        if let Some(ns) = self.line_one_way_ns {
            all.push(
                Finding::new(
                    "cores apart",
                    if ns > 150 { Rating::Yellow } else { Rating::Green },
                    format!("{ns} ns for a cache line, one way"),
                )
                .costs(
                    format!("about {} ns at each ring between threads", 2 * ns),
                    "measured here; a ring moves about two lines",
                )
                .change("choose cores that share a last-level cache (lscpu -e), or join duties in [threads] topology"),
            );
        }
        if let Some(worst) = self.gaps.iter().max_by_key(|gaps| gaps.worst_ns) {
            let rating = match worst.worst_ns {
                GAP_NS_RED.. => Rating::Red,
                GAP_NS_YELLOW.. => Rating::Yellow,
                _ => Rating::Green,
            };
            let on = worst.cpu.map_or("no core in particular".to_owned(), |cpu| format!("core {cpu}"));
            let us = |ns: u64| ns as f64 / 1e3;
            let lost = 100.0 * worst.sum_ns as f64 / worst.over_ns.max(1) as f64;
            all.push(
                Finding::new(
                    "gaps of a spinning loop",
                    rating,
                    format!(
                        "longest {:.0} µs on {on}; {} of 5 µs and more in {:.0} ms, {lost:.1} % of the time",
                        us(worst.worst_ns),
                        worst.count,
                        us(worst.over_ns) / 1e3
                    ),
                )
                .costs(format!("a tick that comes in one waits up to {:.0} µs", us(worst.worst_ns)), MEASURED)
                .change("end what else runs here, isolate the cores, or take a machine of your own"),
            );
        }
        all
    }
}

fn syscall_ns(clock: &Clock) -> f64 {
    const BATCH: u32 = 200;
    let mut costs: Vec<u64> = (0..31)
        .map(|_| {
            let start = clock.now();
            for _ in 0..BATCH {
                std::hint::black_box(rustix::process::getppid());
            }
            clock.now().saturating_since(start)
        })
        .collect();
    costs.sort_unstable();
    costs[costs.len() / 2] as f64 / f64::from(BATCH)
}

fn gaps(cpu: Option<usize>, clock: Clock, watch_for: Duration) -> Gaps {
    let watch = move || {
        if let Some(id) = cpu {
            core_affinity::set_for_current(core_affinity::CoreId { id });
        }
        let mut found = Gaps { cpu, ..Gaps::default() };
        let start = clock.now();
        let mut last = start;
        loop {
            let now = clock.now();
            let gap = now.saturating_since(last);
            if gap >= GAP_NS_MIN {
                found.count += 1;
                found.sum_ns += gap;
                found.worst_ns = found.worst_ns.max(gap);
            }
            last = now;
            found.over_ns = now.saturating_since(start);
            if found.over_ns >= watch_for.as_nanos() as u64 {
                return found;
            }
        }
    };
    // It cannot panic; gaps that were not watched are none.
    std::thread::spawn(watch).join().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_rated_by_the_longest_gap() {
        let rating = |worst_ns: u64| {
            let gaps = vec![Gaps { worst_ns, over_ns: 1, ..Gaps::default() }, Gaps::default()];
            let measured = Measured { stamp_ns: 1.0, syscall_ns: 1.0, line_one_way_ns: None, gaps };
            measured.findings().last().unwrap().rating
        };
        assert_eq!(rating(50_000), Rating::Green);
        assert_eq!(rating(100_000), Rating::Yellow);
        assert_eq!(rating(20_000_000), Rating::Red);
    }

    #[test]
    fn this_host_can_be_measured() {
        let measured = Measured::take(&[]);
        assert!(measured.stamp_ns > 0.0 && measured.syscall_ns > 0.0);
        assert!(measured.gaps.iter().all(|gaps| gaps.over_ns > 0 && gaps.worst_ns <= gaps.sum_ns));
    }
}
