//! Whether live trading is permitted, by the ghost's record.

use super::window::Measures;
use crate::types::{Money, Nanos};

/// When permission is given, and when it is withdrawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PermitTerms {
    /// Trips that the record holds at most: the newest.
    pub window: usize,
    /// Fewest trips for a permission, at most `window`.
    pub trips_min: usize,
    /// One-sided confidence of the bound, from a half to below one.
    pub confidence: f64,
    /// Permission is given while the lower bound of the mean result is above this.
    pub bar: Money,
    /// Permission is withdrawn when the mean result is at or below this; no more than `bar`.
    pub bar_off: Money,
    /// Least time from a withdrawal to the next permission, in nanoseconds.
    pub pause_ns: u64,
}

impl Default for PermitTerms {
    fn default() -> Self {
        Self {
            window: 200,
            trips_min: 30,
            confidence: 0.95,
            bar: Money::ZERO,
            bar_off: Money::ZERO,
            pause_ns: 60_000_000_000,
        }
    }
}

/// Whether the ghost saw the market as the live engine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Good,
    /// It has yet to take what happened a while ago: what it says is old.
    Behind,
    /// It lost events: its books are wrong, and its record is not continued.
    Blind,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $variant:ident,)+) => {
        /// Why permission is given or not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Reason { $($(#[doc = $doc])* $variant,)+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
        }
    };
}

reasons! {
    /// No: fewer trips than are needed.
    FewTrips,
    /// No: the lower bound is not above the bar, or the trips tell none.
    Bound,
    /// No: the record would do, but permission was withdrawn a moment ago.
    Pause,
    /// No: permission was there, and the mean fell to the lower bar.
    Mean,
    /// No: the ghost has not caught up with the market.
    Behind,
    /// No, for the rest of the run: the ghost lost market events.
    Blind,
    /// Yes: the lower bound is above the bar.
    Proven,
    /// Yes, still: the lower bound has come down to the bar, but the mean is above the lower bar.
    Kept,
}

impl Reason {
    /// Whether it is one for trading.
    pub const fn is_permission(self) -> bool {
        matches!(self, Self::Proven | Self::Kept)
    }
}

/// The permission: two bars and a pause keep it from flapping.
///
/// What withdraws it does so at once; what gives it waits for the pause.
#[derive(Clone, Copy, Debug)]
pub struct Permit {
    terms: PermitTerms,
    reason: Reason,
    withdrawn_at: Option<Nanos>,
    switches: u64,
}

impl Permit {
    /// Begins without permission.
    pub fn new(terms: PermitTerms) -> Self {
        Self { terms, reason: Reason::FewTrips, withdrawn_at: None, switches: 0 }
    }

    /// Judges the record anew; returns whether permission was given or withdrawn by that.
    pub fn judge(&mut self, measures: Option<&Measures>, health: Health, now: Nanos) -> bool {
        let was = self.is_given();
        self.reason = self.reason_of(measures, health, now);
        let has_switched = was != self.is_given();
        if has_switched {
            self.switches += 1;
            if was {
                self.withdrawn_at = Some(now);
            }
        }
        has_switched
    }

    fn reason_of(&self, measures: Option<&Measures>, health: Health, now: Nanos) -> Reason {
        let terms = &self.terms;
        match health {
            Health::Good => {}
            Health::Behind => return Reason::Behind,
            Health::Blind => return Reason::Blind,
        }
        let Some(measures) = measures.filter(|measures| measures.trips >= terms.trips_min) else {
            return Reason::FewTrips;
        };
        let is_proven = measures.lower.is_some_and(|lower| lower > terms.bar.to_f64_lossy());
        // Not "at or below": what is no number is no permission either.
        let is_above = measures.mean > terms.bar_off.to_f64_lossy();
        let is_paused = self.withdrawn_at.is_some_and(|at| now.saturating_since(at) < terms.pause_ns);
        match (self.is_given(), is_proven, is_above) {
            (true, true, true) => Reason::Proven,
            (true, false, true) => Reason::Kept,
            (true, _, false) => Reason::Mean,
            (false, true, true) if is_paused => Reason::Pause,
            (false, true, true) => Reason::Proven,
            (false, _, _) => Reason::Bound,
        }
    }

    /// Whether live trading is permitted.
    pub fn is_given(&self) -> bool {
        self.reason.is_permission()
    }

    /// Why it is, or is not.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Times that it was given or withdrawn.
    pub fn switches(&self) -> u64 {
        self.switches
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn record(trips: usize, mean: f64, lower: f64) -> Measures {
        Measures { trips, wins: trips / 2, mean, deviation: 1.0, effective: trips as f64, lower: Some(lower) }
    }

    fn terms() -> PermitTerms {
        PermitTerms { bar: Money::ONE, trips_min: 10, ..PermitTerms::default() }
    }

    #[test]
    fn permission_follows_the_record() {
        let mut permit = Permit::new(terms());
        let mut at = |s: u64, measures: Measures| {
            permit.judge(Some(&measures), Health::Good, Nanos::new(s * SECOND));
            permit.reason()
        };
        assert_eq!(at(1, record(9, 5.0, 4.0)), Reason::FewTrips);
        assert_eq!(at(2, record(10, 5.0, 1.0)), Reason::Bound);
        assert_eq!(at(3, Measures { lower: None, ..record(10, 5.0, 4.0) }), Reason::Bound);
        assert_eq!(at(4, record(10, 5.0, 1.1)), Reason::Proven);
        assert_eq!(at(5, record(11, 2.0, -3.0)), Reason::Kept);
        assert_eq!(at(6, record(12, 0.1, -5.0)), Reason::Kept);
        assert_eq!(at(7, record(13, 0.0, -5.0)), Reason::Mean);
        assert_eq!(at(8, record(14, 0.1, -5.0)), Reason::Bound);
        assert_eq!(at(9, record(15, 3.0, 2.0)), Reason::Pause);
        assert_eq!(at(66, record(15, 3.0, 2.0)), Reason::Pause);
        assert_eq!(at(67, record(15, 3.0, 2.0)), Reason::Proven);
        assert_eq!(permit.switches(), 3);
    }

    #[test]
    fn a_ghost_that_does_not_see_the_market_permits_nothing() {
        let mut permit = Permit::new(terms());
        let good = record(20, 5.0, 4.0);
        for health in [Health::Behind, Health::Blind] {
            assert!(!permit.judge(Some(&good), health, Nanos::new(SECOND)));
        }
        assert!(permit.judge(Some(&good), Health::Good, Nanos::new(2 * SECOND)));
        assert!(permit.judge(Some(&good), Health::Behind, Nanos::new(3 * SECOND)) && !permit.is_given());
        assert!(permit.judge(Some(&good), Health::Good, Nanos::new(63 * SECOND)) && permit.is_given());
        assert!(permit.judge(Some(&good), Health::Blind, Nanos::new(64 * SECOND)) && !permit.is_given());
    }

    proptest! {
        /// Whatever the record does: none without enough trips, none at a mean at or below the lower bar, none begun without a
        /// bound above the bar or within the pause.
        #[test]
        fn no_permission_without_its_conditions(
            steps in proptest::collection::vec((0usize..40, -3.0f64..3.0, 0.0f64..2.0, 0u64..40, 0u8..12), 1..200)
        ) {
            let terms = terms();
            let mut permit = Permit::new(terms);
            let (mut now, mut withdrawn) = (0, None);
            for (trips, mean, width, passed, what) in steps {
                now += passed * SECOND;
                let health = match what { 0 => Health::Behind, _ => Health::Good };
                let found = record(trips, mean, mean - width);
                let was = permit.is_given();
                let switched = permit.judge(Some(&found), health, Nanos::new(now));
                let is = permit.is_given();
                prop_assert_eq!(switched, was != is);
                if is {
                    prop_assert!(trips >= terms.trips_min && mean > 0.0 && health == Health::Good);
                }
                if is && !was {
                    prop_assert!(mean - width > 1.0);
                    prop_assert!(withdrawn.is_none_or(|at| now - at >= terms.pause_ns));
                }
                if was && !is {
                    withdrawn = Some(now);
                }
                if was && trips >= terms.trips_min && mean > 0.0 && health == Health::Good {
                    prop_assert!(is, "nothing withdraws it in between");
                }
            }
        }
    }
}
