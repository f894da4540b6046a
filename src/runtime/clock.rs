//! The clock: the invariant time-stamp counter, calibrated against the system's.

use crate::types::Nanos;

/// Reads wall-clock nanoseconds from the time-stamp counter: anchored once to the system's clock at construction, then
/// monotonic. Copies agree with each other.
///
/// # Cost
/// About 10 to 20 ns a reading; [`Clock::measure_cost_ns`] tells on this machine.
#[derive(Clone, Debug)]
pub struct Clock {
    clock: quanta::Clock,
    anchor: quanta::Instant,
    anchor_unix_ns: u64,
}

impl Clock {
    /// Calibrates (some ten milliseconds) and anchors.
    pub fn new() -> Self {
        let clock = quanta::Clock::new();
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let anchor = clock.now();
        Self { clock, anchor, anchor_unix_ns: u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX) }
    }

    /// The moment.
    #[inline]
    pub fn now(&self) -> Nanos {
        let since = self.clock.now().duration_since(self.anchor).as_nanos() as u64;
        Nanos::new(self.anchor_unix_ns.saturating_add(since))
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
}
