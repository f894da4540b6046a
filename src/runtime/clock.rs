//! The clock: the invariant time-stamp counter, calibrated against the system's; or virtual time, which its owner sets.

use crate::ring::Word;
use crate::types::Nanos;

/// Reads wall-clock nanoseconds from the time-stamp counter: anchored once to the system's clock at construction, then
/// monotonic. Copies agree with each other.
///
/// # Cost
/// About 10 to 20 ns a reading; [`Clock::measure_cost_ns`] tells on this machine.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Counter { clock: quanta::Clock, anchor: quanta::Instant, anchor_unix_ns: u64 },
    Virtual(Word),
}

/// Sets what the virtual clocks read that [`Clock::virtual_at`] made with it. It may be set back, as a wall clock may.
#[derive(Clone, Debug)]
pub struct VirtualTime(Word);

impl VirtualTime {
    /// Lets the clocks read `now`.
    pub fn set(&self, now: Nanos) {
        self.0.set(now.get());
    }

    /// What the clocks read.
    pub fn now(&self) -> Nanos {
        Nanos::new(self.0.get())
    }
}

impl Clock {
    /// Calibrates (some ten milliseconds) and anchors.
    pub fn new() -> Self {
        let clock = quanta::Clock::new();
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let anchor = clock.now();
        let anchor_unix_ns = u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX);
        Self { source: Source::Counter { clock, anchor, anchor_unix_ns } }
    }

    /// Makes a clock that reads `now` until the [`VirtualTime`] beside it says otherwise.
    pub fn virtual_at(now: Nanos) -> (Self, VirtualTime) {
        let word = Word::new(now.get());
        (Self { source: Source::Virtual(word.clone()) }, VirtualTime(word))
    }

    /// The moment.
    #[inline]
    pub fn now(&self) -> Nanos {
        match &self.source {
            Source::Counter { clock, anchor, anchor_unix_ns } => {
                let since = clock.now().duration_since(*anchor).as_nanos() as u64;
                Nanos::new(anchor_unix_ns.saturating_add(since))
            }
            Source::Virtual(word) => Nanos::new(word.get()),
        }
    }

    /// What one reading costs here: the median over batches.
    pub fn measure_cost_ns(&self) -> f64 {
        const BATCH: u32 = 1000;
        let mut costs: Vec<u64> = (0..31)
            .map(|_| {
                let start = self.now();
                for _ in 0..BATCH {
                    std::hint::black_box(self.now());
                }
                self.now().saturating_since(start)
            })
            .collect();
        costs.sort_unstable();
        costs[costs.len() / 2] as f64 / f64::from(BATCH)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Nanoseconds from `from` to `to` as a stamp, clamped to what a stamp holds (4.29 s).
#[inline]
pub fn stamp_between(from: Nanos, to: Nanos) -> u32 {
    u32::try_from(to.saturating_since(from)).unwrap_or(u32::MAX)
}

/// A [`Probe`](crate::engine::Probe) that reads the clock.
#[derive(Clone, Debug)]
pub struct ClockProbe(pub Clock);

impl crate::engine::Probe for ClockProbe {
    #[inline]
    fn since(&mut self, recv: Nanos) -> u32 {
        // Never zero: zero means that no stamp was taken.
        stamp_between(recv, self.0.now()).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_follows_the_system_clock_and_never_goes_back() {
        let clock = Clock::new();
        let mut last = clock.now();
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        assert!(unix.abs_diff(clock.now().get()) < 1_000_000_000);
    }

    #[test]
    fn virtual_time_moves_only_when_it_is_set() {
        let (clock, time) = Clock::virtual_at(Nanos::new(7));
        let copy = clock.clone();
        assert_eq!((clock.now(), copy.now()), (Nanos::new(7), Nanos::new(7)));
        time.set(Nanos::new(91));
        assert_eq!((clock.now(), copy.now(), time.now()), (Nanos::new(91), Nanos::new(91), Nanos::new(91)));
        time.set(Nanos::new(81));
        assert_eq!(copy.now(), Nanos::new(81));
    }
}
