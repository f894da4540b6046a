//! The clock: the invariant time-stamp counter, calibrated against the system's; or virtual time, which its owner sets.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::ring::Word;
use crate::types::Nanos;

/// Reads wall-clock nanoseconds from the time-stamp counter: anchored once to the system's clock at construction, then
/// monotonic. Copies agree with each other, and all clocks of a process run at the same rate.
///
/// The rate is measured once, between two readings of counter and system clock 30 ms apart; of many attempts at a reading the one
/// counts that took the least time, so that a thread that loses its core meanwhile does not spoil it. It is off by a few parts in a million at
/// most, some tens of milliseconds a day.
///
/// # Cost
/// About 10 to 20 ns a reading; [`Clock::measure_cost_ns`] tells on this machine.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Counter { counter: quanta::Clock, nanos_per_tick_e32: u64, anchor: u64, anchor_unix_ns: u64 },
    Virtual(Word),
}

/// Time between the two readings that the rate is measured by.
const CALIBRATION: Duration = Duration::from_millis(30);

/// Attempts at reading counter and system clock at the same moment: some ten microseconds.
const ATTEMPTS: usize = 200;

/// The counter, and what `read` said at that moment.
fn together<T>(counter: &quanta::Clock, read: impl Fn() -> T) -> (u64, T) {
    let attempt = || {
        let before = counter.raw();
        let read = read();
        (counter.raw().saturating_sub(before), before, read)
    };
    let (mut took, mut before, mut found) = attempt();
    for _ in 1..ATTEMPTS {
        let again = attempt();
        if again.0 < took {
            (took, before, found) = again;
        }
    }
    (before + took / 2, found)
}

/// Nanoseconds to a tick of the counter, times 2^32.
fn nanos_per_tick_e32(counter: &quanta::Clock) -> u64 {
    static MEASURED: OnceLock<u64> = OnceLock::new();
    *MEASURED.get_or_init(|| {
        let (first_ticks, first) = together(counter, Instant::now);
        std::thread::sleep(CALIBRATION);
        let (ticks, at) = together(counter, Instant::now);
        let ticks = u128::from(ticks.saturating_sub(first_ticks).max(1));
        u64::try_from((at.duration_since(first).as_nanos() << 32) / ticks).unwrap_or(1 << 32)
    })
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
    /// Calibrates (some tens of milliseconds, the first time in a process) and anchors.
    pub fn new() -> Self {
        let counter = quanta::Clock::new();
        let nanos_per_tick_e32 = nanos_per_tick_e32(&counter);
        let (anchor, unix) = together(&counter, SystemTime::now);
        let anchor_unix_ns = u64::try_from(unix.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos());
        let anchor_unix_ns = anchor_unix_ns.unwrap_or(u64::MAX);
        Self { source: Source::Counter { counter, nanos_per_tick_e32, anchor, anchor_unix_ns } }
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
            Source::Counter { counter, nanos_per_tick_e32, anchor, anchor_unix_ns } => {
                let ticks = counter.raw().saturating_sub(*anchor);
                let since = (u128::from(ticks) * u128::from(*nanos_per_tick_e32)) >> 32;
                Nanos::new(anchor_unix_ns.saturating_add(since as u64))
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
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        assert!(unix.abs_diff(clock.now().get()) < 1_000_000_000);
    }

    #[test]
    fn the_rate_is_the_systems() {
        let Source::Counter { counter, .. } = Clock::new().source else { panic!("no counter") };
        let clock = Clock::new();
        let read = || together(&counter, || (clock.now(), Instant::now())).1;
        let (first, system_first) = read();
        std::thread::sleep(Duration::from_millis(50));
        let (last, system_last) = read();
        let (ours, systems) =
            (last.saturating_since(first), system_last.duration_since(system_first).as_nanos() as u64);
        assert!(ours.abs_diff(systems) < systems / 10_000, "{ours} ns by ours, {systems} by the system's");
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
