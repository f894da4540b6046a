//! The share of the gross exposure that slow risk allows, and how it shrinks when nobody renews it.
//!
//! ```text
//! share  scale ────────────╮
//!                           ╲
//!        0                   ╲━━━━━━━━  from here on only orders that shrink a position
//!               fresh-for     dead-after     age
//! ```
//!
//! Integers on engine time: the same journal gives the same limit at the same event.

use super::RiskLimits;
use crate::types::{Money, Nanos, Rate};

/// For how long a share holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowLimits {
    /// Age up to which it is whole, in nanoseconds.
    pub fresh_for_ns: u64,
    /// Age at which nothing is left of it, in nanoseconds; no less than `fresh_for_ns`.
    pub dead_after_ns: u64,
}

/// The newest share, as a limit of money.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlowScale {
    /// What is allowed up to `fresh_until`.
    gross_max: Money,
    /// Until then the limit is whole; with slow risk switched off, forever.
    fresh_until: Nanos,
    /// When the newest share came; `None`: none did.
    at: Option<Nanos>,
}

impl SlowScale {
    pub fn new(limits: &RiskLimits) -> Self {
        match limits.slow {
            // Before the first word nothing may grow.
            Some(_) => Self { gross_max: Money::MIN, fresh_until: Nanos::ZERO, at: None },
            None => Self { gross_max: Money::MAX, fresh_until: Nanos::MAX, at: None },
        }
    }

    /// Takes a share, rounded down; one that is not between 0 and 1 counts as 0.
    pub fn on_scale(&mut self, scale: f64, now: Nanos, limits: &RiskLimits) {
        let Some(slow) = limits.slow else { return };
        let whole = Rate::ONE.get();
        // Also false for what is not a number.
        let scale = if (0.0..=1.0).contains(&scale) { (scale * whole as f64) as i64 } else { 0 };
        self.gross_max = part(limits.gross_value_max, scale.min(whole) as u64, whole as u64);
        self.fresh_until = now.saturating_add(slow.fresh_for_ns);
        self.at = Some(now);
    }

    /// The greatest gross exposure that is allowed now; less than any where only shrinking orders pass.
    ///
    /// # Cost
    /// One comparison while the share is fresh.
    #[inline]
    pub fn gross_max(&self, now: Nanos, limits: &RiskLimits) -> Money {
        if now <= self.fresh_until {
            return self.gross_max;
        }
        self.aged(now, limits)
    }

    #[cold]
    fn aged(&self, now: Nanos, limits: &RiskLimits) -> Money {
        let (Some(slow), Some(at)) = (limits.slow, self.at) else { return Money::MIN };
        let left = slow.dead_after_ns.saturating_sub(now.saturating_since(at));
        if left == 0 {
            return Money::MIN;
        }
        // The age is past `fresh_for_ns`, so less is left than the whole way.
        part(self.gross_max, left, slow.dead_after_ns.saturating_sub(slow.fresh_for_ns).max(left))
    }
}

/// The share `part` of `whole` of an amount, rounded down.
fn part(amount: Money, part: u64, whole: u64) -> Money {
    let amount = amount.get().max(0);
    let (part, whole) = (i128::from(part), i128::from(whole.max(1)));
    // In two steps, since the product of the whole amount may not fit.
    Money::new((amount / whole).saturating_mul(part).saturating_add((amount % whole).saturating_mul(part) / whole))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn limits(gross: i128) -> RiskLimits {
        let slow = SlowLimits { fresh_for_ns: 2 * SECOND, dead_after_ns: 10 * SECOND };
        RiskLimits { gross_value_max: Money::new(gross), slow: Some(slow), ..RiskLimits::default() }
    }

    fn after(scale: f64, age_ns: u64, limits: &RiskLimits) -> Money {
        let at = Nanos::new(50 * SECOND);
        let mut slow = SlowScale::new(limits);
        slow.on_scale(scale, at, limits);
        slow.gross_max(at.saturating_add(age_ns), limits)
    }

    #[test]
    fn a_share_is_whole_then_shrinks_with_its_age_and_then_nothing_grows() {
        let limits = limits(1_000);
        for (age_ns, want) in [
            (0, 500),
            (2 * SECOND, 500),
            (2 * SECOND + 1, 499),
            (4 * SECOND, 375),
            (6 * SECOND, 250),
            (10 * SECOND - 1, 0),
        ] {
            assert_eq!(after(0.5, age_ns, &limits), Money::new(want), "{age_ns}");
        }
        for age_ns in [10 * SECOND, 11 * SECOND, u64::MAX] {
            assert_eq!(after(0.5, age_ns, &limits), Money::MIN, "{age_ns}");
        }
    }

    #[test]
    fn before_the_first_word_nothing_grows_and_switched_off_everything_may() {
        let on = limits(1_000);
        for at in [Nanos::ZERO, Nanos::new(1), Nanos::MAX] {
            assert_eq!(SlowScale::new(&on).gross_max(at, &on), Money::MIN);
            let off = RiskLimits { slow: None, ..on };
            let mut slow = SlowScale::new(&off);
            slow.on_scale(0.0, at, &off);
            assert_eq!(slow.gross_max(at, &off), Money::MAX);
        }
    }

    #[test]
    fn what_is_no_share_counts_as_none_and_a_share_is_rounded_down() {
        let limits = limits(1_000_000_000);
        for scale in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1, 1.000_001, 1e300] {
            assert_eq!(after(scale, 0, &limits), Money::ZERO, "{scale}");
        }
        assert_eq!(after(1.0, 0, &limits), Money::new(1_000_000_000));
        assert_eq!(after(0.123_456_789, 0, &limits), Money::new(123_456_780));
        assert_eq!(after(-0.0, 0, &limits), Money::ZERO);
    }

    proptest! {
        /// It never rises with age, and never passes the share of the whole, however large the amounts are.
        #[test]
        fn it_only_falls_with_age(
            scale in 0.0..=1.0f64, gross in prop_oneof![0..i128::from(i64::MAX), Just(i128::MAX)],
            ages in proptest::collection::vec(0..12 * SECOND, 2..20),
        ) {
            let limits = limits(gross);
            let mut ages = ages;
            ages.sort_unstable();
            let found: Vec<Money> = ages.iter().map(|&age| after(scale, age, &limits)).collect();
            prop_assert!(found.windows(2).all(|two| two[1] <= two[0]));
            prop_assert!(found[0].get() <= (gross as f64 * scale * (1.0 + 1e-9)) as i128);
        }
    }
}
