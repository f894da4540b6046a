//! How many trades a day, and how far apart: `seconds left / trades left`.

use crate::risk::day_of;
use crate::types::Nanos;

/// How trades are spread over the day (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceConfig {
    /// Trades that are aimed at in a day; `None`: as many as come.
    pub trades_per_day: Option<u32>,
    /// How much faster than evenly missed trades may be caught up with, in percent; at least 100.
    pub catch_up_percent: u32,
    /// Least time between the openings of two trades, in nanoseconds.
    pub pause_ns: u64,
}

impl Default for PaceConfig {
    fn default() -> Self {
        Self { trades_per_day: None, catch_up_percent: 200, pause_ns: 0 }
    }
}

/// Nanoseconds of a day.
const DAY_NS: u64 = 86_400_000_000_000;

/// What was traded today. It only holds trades back: nothing that was refused is let through because the day runs out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    day: u64,
    done: u32,
    opened_at: Option<Nanos>,
}

impl Pace {
    /// A day that began before this run: so many trades were opened in it.
    pub(super) fn resume(&mut self, day: u64, done: u32) {
        (self.day, self.done) = (day, done);
    }

    /// A trade was opened.
    pub(super) fn on_opened(&mut self, now: Nanos) {
        self.done = self.done_on(day_of(now)).saturating_add(1);
        self.day = day_of(now);
        self.opened_at = Some(now);
    }

    fn done_on(&self, day: u64) -> u32 {
        if day == self.day { self.done } else { 0 }
    }

    /// The day, and trades opened in it.
    pub const fn done(&self) -> (u64, u32) {
        (self.day, self.done)
    }

    /// When the next trade may be opened; `None`: not today. `opening` more are under way and may become trades.
    pub fn next(&self, config: &PaceConfig, opening: u32, now: Nanos) -> Option<Nanos> {
        let day = day_of(now);
        let Some(target) = config.trades_per_day else {
            return Some(self.opened_at.map_or(now, |at| at.saturating_add(config.pause_ns)));
        };
        let done = self.done_on(day).saturating_add(opening);
        let left = u64::from(target.checked_sub(done).filter(|left| *left > 0)?);
        let even_ns = DAY_NS / u64::from(target.max(1));
        let fastest_ns = even_ns.saturating_mul(100) / u64::from(config.catch_up_percent.max(100));
        let Some(at) = self.opened_at else { return Some(now) };
        // What was left of the day at the last opening, shared out among what was left then: that one, and those still to come.
        // A stamp from outside may name the last day that there is.
        let left_ns = (day + 1).saturating_mul(DAY_NS).saturating_sub(at.get().max(day * DAY_NS));
        Some(at.saturating_add((left_ns / (left + 1)).max(fastest_ns).max(config.pause_ns)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600_000_000_000;

    fn paced(trades: u32) -> PaceConfig {
        PaceConfig { trades_per_day: Some(trades), ..PaceConfig::default() }
    }

    #[test]
    fn trades_are_spread_over_what_is_left_of_the_day() {
        let config = paced(24);
        let mut pace = Pace::default();
        let start = 10 * DAY_NS;
        assert_eq!(pace.next(&config, 0, Nanos::new(start)), Some(Nanos::new(start)), "the first may come at once");
        pace.on_opened(Nanos::new(start));
        assert_eq!(pace.next(&config, 0, Nanos::new(start)), Some(Nanos::new(start + HOUR)));
        // Twelve hours late: 23 for 12 hours are one every 31 minutes; twice as fast as evenly would be 30.
        let mut late = Pace::default();
        late.resume(10, 1);
        late.on_opened(Nanos::new(start + 12 * HOUR));
        assert_eq!(
            late.next(&config, 0, Nanos::new(start + 13 * HOUR)).unwrap().get(),
            start + 12 * HOUR + 12 * HOUR / 23
        );
        let mut later = Pace::default();
        later.on_opened(Nanos::new(start + 20 * HOUR));
        let next = later.next(&config, 0, Nanos::new(start + 20 * HOUR)).unwrap();
        assert_eq!(next.get(), start + 20 * HOUR + HOUR / 2, "catching up is bounded");
    }

    #[test]
    fn a_day_has_no_more_than_its_trades_and_the_next_day_has_its_own() {
        let config = paced(2);
        let mut pace = Pace::default();
        let start = 10 * DAY_NS;
        pace.on_opened(Nanos::new(start));
        assert_eq!(pace.next(&config, 1, Nanos::new(start + HOUR)), None, "the one under way counts");
        pace.on_opened(Nanos::new(start + HOUR));
        assert_eq!(pace.next(&config, 0, Nanos::new(start + 23 * HOUR)), None);
        assert!(pace.next(&config, 0, Nanos::new(start + 25 * HOUR)).is_some());
        assert_eq!(pace.done(), (10, 2));
        // A restart in the day remembers them.
        let mut again = Pace::default();
        again.resume(10, 2);
        assert_eq!(again.next(&config, 0, Nanos::new(start + 5 * HOUR)), None);
        assert!(again.next(&config, 0, Nanos::new(start + 24 * HOUR)).is_some());
    }

    #[test]
    fn no_moment_is_too_late() {
        let mut pace = Pace::default();
        pace.on_opened(Nanos::MAX);
        assert_eq!(pace.next(&paced(2), 0, Nanos::MAX), Some(Nanos::MAX));
    }

    proptest! {
        /// Whoever trades whenever it is allowed has exactly the trades of the day, none closer than the bound.
        #[test]
        fn all_of_a_day_and_not_one_more(target in 1u32..200, begins in 0u64..24, catch_up in 100u32..500) {
            let config = PaceConfig { catch_up_percent: catch_up, ..paced(target) };
            let (mut pace, mut now) = (Pace::default(), 10 * DAY_NS + begins * HOUR);
            let (mut opened, mut last) = (0u32, None);
            while let Some(next) = pace.next(&config, 0, Nanos::new(now)) {
                now = next.get().max(now);
                if day_of(Nanos::new(now)) != 10 {
                    break;
                }
                if let Some(last) = last {
                    prop_assert!(now - last >= DAY_NS / u64::from(target) * 100 / u64::from(catch_up));
                }
                last = Some(now);
                pace.on_opened(Nanos::new(now));
                opened += 1;
            }
            prop_assert!(opened <= target);
            if begins == 0 {
                prop_assert_eq!(opened, target);
            }
        }
    }
}
