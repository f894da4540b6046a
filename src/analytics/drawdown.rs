//! Turns every change of the equity into the deepest fall from a peak, with its dates.

use crate::types::{Money, Nanos};

/// A fall of the equity below its peak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawdown {
    /// The equity before it, the greatest so far.
    pub peak: Money,
    /// The last moment at which the equity was there.
    pub peak_at: Nanos,
    /// The least equity of the fall.
    pub bottom: Money,
    /// When it was reached.
    pub bottom_at: Nanos,
    /// When the equity was at the peak again; `None`: never.
    pub recovered_at: Option<Nanos>,
}

impl Drawdown {
    /// What was lost from the peak to the bottom.
    pub fn amount(&self) -> Money {
        self.peak.saturating_sub(self.bottom)
    }

    /// The same as a share of the peak; above 1 if more was lost than there was.
    pub fn share(&self) -> f64 {
        self.amount().to_f64_lossy() / self.peak.to_f64_lossy()
    }
}

/// Follows the equity.
#[derive(Clone, Copy, Debug, Default)]
pub struct DrawdownTracker {
    peak: Option<(Money, Nanos)>,
    worst: Option<Drawdown>,
}

impl DrawdownTracker {
    /// Takes the equity at `at`. Of falls that are equal shares of their peaks the first counts. A fall from a peak that is not above
    /// zero has no share and does not count.
    #[inline]
    pub fn on_equity(&mut self, equity: Money, at: Nanos) {
        let (peak, peak_at) = match self.peak {
            Some((peak, since)) if equity < peak => (peak, since),
            _ => {
                if let Some(worst) = &mut self.worst
                    && worst.recovered_at.is_none()
                {
                    // The worst fall is the one under way exactly while it has not recovered: a later one starts at a peak
                    // that is at least as high.
                    worst.recovered_at = Some(at);
                }
                self.peak = Some((equity, at));
                return;
            }
        };
        if peak <= Money::ZERO {
            return;
        }
        let fall = Drawdown { peak, peak_at, bottom: equity, bottom_at: at, recovered_at: None };
        if self.worst.is_none_or(|worst| fall.share() > worst.share()) {
            self.worst = Some(fall);
        }
    }

    /// The deepest fall; `None` if the equity never fell.
    pub fn worst(&self) -> Option<&Drawdown> {
        self.worst.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(equities: &[i128]) -> Option<Drawdown> {
        let mut tracker = DrawdownTracker::default();
        for (at, &equity) in equities.iter().enumerate() {
            tracker.on_equity(Money::new(equity), Nanos::new(at as u64));
        }
        tracker.worst().copied()
    }

    #[test]
    fn the_deepest_fall_has_its_dates() {
        //                     0    1    2   3    4    5   6    7    8
        let found = follow(&[100, 120, 120, 90, 130, 111, 118, 130, 140]).unwrap();
        assert_eq!((found.peak, found.peak_at), (Money::new(120), Nanos::new(2)));
        assert_eq!((found.bottom, found.bottom_at), (Money::new(90), Nanos::new(3)));
        assert_eq!(found.recovered_at, Some(Nanos::new(4)));
        assert_eq!((found.amount(), found.share()), (Money::new(30), 0.25));
        let found = follow(&[100, 70, 200, 150]).unwrap();
        assert_eq!(found.peak, Money::new(100), "the greater share counts, not the greater amount");
    }

    #[test]
    fn a_fall_that_goes_on_has_not_recovered() {
        let found = follow(&[100, 90, 95, 60, 99]).unwrap();
        assert_eq!((found.bottom_at, found.recovered_at), (Nanos::new(3), None));
        assert_eq!(found.amount(), Money::new(40));
    }

    #[test]
    fn what_never_fell_has_no_drawdown_and_more_can_be_lost_than_there_was() {
        assert_eq!(follow(&[]), None);
        assert_eq!(follow(&[5, 5, 6]), None);
        assert_eq!(follow(&[0, -5]), None, "a share of nothing");
        assert_eq!(follow(&[10, -5]).unwrap().share(), 1.5);
    }
}
