//! Weighted means in hundredths of a percent.

use crate::types::{Side, Ticks};

/// A mean under way, each value by its weight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BpsSum {
    /// Values.
    pub count: u64,
    /// Their weights, added up.
    pub weight: f64,
    weighted: f64,
}

impl BpsSum {
    /// Takes a value.
    pub fn add(&mut self, bps: f64, weight: f64) {
        self.count += 1;
        self.weight += weight;
        self.weighted += bps * weight;
    }

    /// Takes what `other` took.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.weight += other.weight;
        self.weighted += other.weighted;
    }

    /// Returns the mean; `None` if nothing with a weight was taken.
    pub fn mean(&self) -> Option<f64> {
        super::stats::ratio(self.weighted, self.weight)
    }
}

/// Returns how far the mid lies from `px` in the direction of `side`, in hundredths of a percent of `px`; `mid_e2` is twice the mid in
/// ticks. `None` if the price is not above zero.
pub fn bps_of_mid(side: Side, px: Ticks, mid_e2: i64) -> Option<f64> {
    let px_e2 = 2.0 * px.get() as f64;
    (px_e2 > 0.0).then(|| (mid_e2 as f64 - px_e2) * side.sign() as f64 / px_e2 * 1e4)
}

/// Returns what trading at `px` cost against a mid, in hundredths of the mid's percent: above zero where it was worse than the mid.
/// `None` if the mid is not above zero.
pub fn slippage_bps(side: Side, px: Ticks, mid_e2: i64) -> Option<f64> {
    let mid_e2 = mid_e2 as f64;
    (mid_e2 > 0.0).then(|| (2.0 * px.get() as f64 - mid_e2) * side.sign() as f64 / mid_e2 * 1e4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_above_zero_and_weights_count() {
        // Bought at 10,010 where the mid was 10,000: ten hundredths of a percent too dear.
        assert_eq!(slippage_bps(Side::Bid, Ticks::new(10_010), 20_000), Some(10.0));
        assert_eq!(slippage_bps(Side::Ask, Ticks::new(10_010), 20_000), Some(-10.0));
        assert_eq!(bps_of_mid(Side::Ask, Ticks::new(10_000), 19_980), Some(10.0));
        assert_eq!(slippage_bps(Side::Bid, Ticks::new(1), 0), None);
        assert_eq!(bps_of_mid(Side::Bid, Ticks::new(0), 5), None);
        let mut sum = BpsSum::default();
        assert_eq!(sum.mean(), None);
        sum.add(10.0, 1.0);
        sum.add(-2.0, 3.0);
        assert_eq!((sum.count, sum.mean()), (2, Some(1.0)));
    }
}
