//! Breakers: losses and errors that shrink, hold and end trading by degrees.
//!
//! Every layer measures something against its limit; each [`BreakerLevel`] is reached at a share of that limit. A level goes
//! up at once, over several steps if need be. It comes down when the measure has been below it for
//! [`BreakerConfig::cool_down_ns`], to what the measure then justifies; a measure that flickers around a threshold starts
//! the wait anew each time. [`BreakerLevel::Halt`] does not come down: a person re-arms it.
//!
//! | layer | measures | against |
//! | --- | --- | --- |
//! | position | loss of one instrument since the start of the run or the day | [`BreakerConfig::position_loss_max`] |
//! | heat | open losses of all positions that lose, together | [`BreakerConfig::heat_max`] |
//! | day | loss since the start of the day, or the fall from the peak: whichever is the greater share | [`RiskLimits::day_loss_max`], [`RiskLimits::drawdown_max`] |
//! | system | rejected orders, orders in doubt, holds: of the last minute | [`BreakerConfig::errors_max`] |
//!
//! [`RiskLimits::day_loss_max`]: super::RiskLimits::day_loss_max
//! [`RiskLimits::drawdown_max`]: super::RiskLimits::drawdown_max

use crate::types::{Lots, Money, Nanos, Rate, byte_enum};

byte_enum! {
    /// What a breaker watches.
    Layer {
        /// One instrument.
        Position = 0,
        /// All positions that lose.
        Heat = 1,
        /// The day, and the fall from the peak.
        Day = 2,
        /// The machinery: refusals, doubts, lost connections.
        System = 3,
    }
}

byte_enum! {
    /// How far a breaker has gone.
    BreakerLevel {
        /// Nothing is restricted.
        Normal = 0,
        /// Orders are smaller.
        Shrink = 1,
        /// Only orders that shrink a position pass.
        ReduceOnly = 2,
        /// Orders are cancelled and positions closed.
        Flatten = 3,
        /// The same, and nothing is traded any more until a person re-arms it.
        Halt = 4,
    }
}

impl Layer {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Position => "position",
            Self::Heat => "heat",
            Self::Day => "day",
            Self::System => "system",
        }
    }
}

impl BreakerLevel {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Shrink => "shrink",
            Self::ReduceOnly => "reduce-only",
            Self::Flatten => "flatten",
            Self::Halt => "halt",
        }
    }
}

/// Limits and degrees of the breakers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Loss of one instrument at which its layer stands at its limit.
    pub position_loss_max: Money,
    /// Sum of open losses at which the heat stands at its limit.
    pub heat_max: Money,
    /// Errors of a minute at which the system's layer stands at its limit.
    pub errors_max: u32,
    /// Shares of the limit at which sizes shrink, only reducing passes, positions are closed, and trading ends; rising.
    pub at: [Rate; 4],
    /// Share of an order's quantity that is left at [`BreakerLevel::Shrink`]; rounded down to whole lots.
    pub shrink_to: Rate,
    /// Time below a level before it comes down, in nanoseconds.
    pub cool_down_ns: u64,
    /// Farthest distance of a closing order's price from the touch, as a share of it.
    pub slippage: Rate,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        let whole = |units: i128| Money::new(units * Money::ONE.get());
        let share = |percent: i64| Rate::new(Rate::ONE.get() / 100 * percent);
        Self {
            position_loss_max: whole(100),
            heat_max: whole(150),
            errors_max: 60,
            at: [share(50), share(100), share(150), share(200)],
            shrink_to: share(50),
            cool_down_ns: 60_000_000_000,
            slippage: Rate::new(500_000),
        }
    }
}

impl BreakerConfig {
    /// The level that `measure` justifies against `limit`. A limit of zero or less is reached by any loss.
    pub fn level(&self, measure: i128, limit: i128) -> BreakerLevel {
        if measure <= 0 {
            return BreakerLevel::Normal;
        }
        let scaled = measure.saturating_mul(i128::from(Rate::ONE.get()));
        let reached = self.at.iter().take_while(|at| scaled >= limit.saturating_mul(i128::from(at.get()))).count();
        BreakerLevel::ALL[reached.min(4)]
    }

    /// What is left of a quantity at a level.
    #[inline]
    pub fn shrunk(&self, level: BreakerLevel, qty: Lots) -> Lots {
        if level < BreakerLevel::Shrink {
            return qty;
        }
        let left = i128::from(qty.get()) * i128::from(self.shrink_to.get()) / i128::from(Rate::ONE.get());
        // A share of at most one leaves no more than there was.
        i64::try_from(left).map_or(qty, Lots::new)
    }
}

/// One breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    level: BreakerLevel,
    /// Since when the measure justifies less.
    below_since: Option<Nanos>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { level: BreakerLevel::Normal, below_since: None }
    }
}

impl Breaker {
    /// How far it has gone.
    #[inline]
    pub fn level(&self) -> BreakerLevel {
        self.level
    }

    /// Stands at a level, of an earlier run.
    pub fn resume(&mut self, level: BreakerLevel) {
        self.level = self.level.max(level);
    }

    /// Takes what the measure justifies now; returns the level before if it has changed.
    pub fn on_measure(&mut self, justified: BreakerLevel, now: Nanos, cool_down_ns: u64) -> Option<BreakerLevel> {
        let before = self.level;
        if justified >= before {
            self.below_since = None;
            self.level = justified;
        } else if before != BreakerLevel::Halt {
            let since = *self.below_since.get_or_insert(now);
            if now.saturating_since(since) >= cool_down_ns {
                self.below_since = None;
                self.level = justified;
            }
        }
        (self.level != before).then_some(before)
    }
}

/// Seconds of the window in which errors are counted.
const WINDOW_S: usize = 60;

/// Errors by second of the last minute.
#[derive(Clone, Debug)]
pub struct ErrorWindow {
    counts: [u32; WINDOW_S],
    second: u64,
    total: u64,
}

impl Default for ErrorWindow {
    fn default() -> Self {
        Self { counts: [0; WINDOW_S], second: 0, total: 0 }
    }
}

impl ErrorWindow {
    /// Counts `errors` at `now`, and forgets those of more than a minute ago; returns what is left.
    pub fn note(&mut self, errors: u64, now: Nanos) -> u64 {
        let second = now.get() / 1_000_000_000;
        let passed = second.saturating_sub(self.second).min(WINDOW_S as u64);
        self.second = self.second.max(second);
        for back in 0..passed {
            let slot = &mut self.counts[((self.second - back) % WINDOW_S as u64) as usize];
            self.total -= u64::from(std::mem::take(slot));
        }
        let errors = u32::try_from(errors).unwrap_or(u32::MAX);
        let slot = &mut self.counts[(self.second % WINDOW_S as u64) as usize];
        let added = errors.min(u32::MAX - *slot);
        *slot += added;
        self.total += u64::from(added);
        self.total
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(s: u64) -> Nanos {
        Nanos::new(1_000 * SECOND + s * SECOND)
    }

    #[test]
    fn each_level_is_reached_at_its_share_of_the_limit() {
        let config = BreakerConfig::default();
        let level = |measure| config.level(measure, 100);
        assert_eq!([-5, 0, 49].map(level), [BreakerLevel::Normal; 3]);
        assert_eq!([50, 99].map(level), [BreakerLevel::Shrink; 2]);
        assert_eq!([100, 149].map(level), [BreakerLevel::ReduceOnly; 2]);
        assert_eq!([150, 199].map(level), [BreakerLevel::Flatten; 2]);
        assert_eq!([200, i128::MAX].map(level), [BreakerLevel::Halt; 2]);
        assert_eq!(config.level(1, 0), BreakerLevel::Halt);
    }

    #[test]
    fn a_level_rises_at_once_and_comes_down_after_its_cool_down_alone() {
        let mut breaker = Breaker::default();
        let mut step = |level, s| {
            breaker.on_measure(level, at(s), 60 * SECOND);
            breaker.level()
        };
        assert_eq!(step(BreakerLevel::Flatten, 0), BreakerLevel::Flatten);
        assert_eq!(step(BreakerLevel::Normal, 1), BreakerLevel::Flatten);
        assert_eq!(step(BreakerLevel::Normal, 60), BreakerLevel::Flatten);
        // It flickers: the wait begins anew.
        assert_eq!(step(BreakerLevel::Flatten, 60), BreakerLevel::Flatten);
        assert_eq!(step(BreakerLevel::Shrink, 61), BreakerLevel::Flatten);
        assert_eq!(step(BreakerLevel::Shrink, 120), BreakerLevel::Flatten);
        assert_eq!(step(BreakerLevel::Shrink, 121), BreakerLevel::Shrink);
        assert_eq!(step(BreakerLevel::Halt, 122), BreakerLevel::Halt);
        assert_eq!(step(BreakerLevel::Normal, 1_000_000), BreakerLevel::Halt);
    }

    #[test]
    fn a_shrunk_quantity_is_whole_and_smaller() {
        let config = BreakerConfig::default();
        assert_eq!(config.shrunk(BreakerLevel::Normal, Lots::new(11)), Lots::new(11));
        assert_eq!(config.shrunk(BreakerLevel::Shrink, Lots::new(11)), Lots::new(5));
        assert_eq!(config.shrunk(BreakerLevel::Shrink, Lots::new(1)), Lots::ZERO);
        assert_eq!(config.shrunk(BreakerLevel::Flatten, Lots::new(i64::MAX)), Lots::new(i64::MAX / 2));
    }

    proptest! {
        /// The window against a list of every error with its second.
        #[test]
        fn the_window_holds_the_last_minute(steps in proptest::collection::vec((0u64..50, 0u64..5), 1..100)) {
            let mut window = ErrorWindow::default();
            let (mut now, mut all) = (1_000u64, Vec::new());
            for (pause, errors) in steps {
                now += pause;
                all.push((now, errors));
                let expected: u64 = all.iter().filter(|(s, _)| s + 60 > now).map(|(_, errors)| errors).sum();
                prop_assert_eq!(window.note(errors, Nanos::new(now * SECOND)), expected);
            }
        }
    }
}
