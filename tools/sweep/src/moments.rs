//! The moments of a series of returns, in a form that can be put together: those of two folds give those of both, without the returns.

use serde::{Deserialize, Serialize};
use tercel::analytics::stats::{YEAR_NS, finite};

/// A deviation below this share of the greatest return is what rounding leaves of none, as in [`tercel::analytics::stats`].
const NO_DEVIATION: f64 = 1e-12;

/// Count, mean, and sums of powers of the distances from the mean; see Pébay, "Formulas for robust, one-pass parallel computation of
/// covariances and arbitrary-order statistical moments" (Sandia 2008).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Returns.
    pub n: u64,
    /// Their mean.
    pub mean: f64,
    /// Sum of squared distances from the mean.
    pub m2: f64,
    /// Sum of cubes.
    pub m3: f64,
    /// Sum of fourth powers.
    pub m4: f64,
    /// Sum of squared negative returns.
    pub falls: f64,
    /// The greatest return, whatever its sign.
    pub greatest: f64,
}

impl Moments {
    /// Those of some returns.
    pub fn of(returns: &[f64]) -> Self {
        let n = returns.len() as f64;
        if returns.is_empty() {
            return Self::default();
        }
        let mean = returns.iter().sum::<f64>() / n;
        let power = |k: i32| returns.iter().map(|r| (r - mean).powi(k)).sum::<f64>();
        Self {
            n: returns.len() as u64,
            mean,
            m2: power(2),
            m3: power(3),
            m4: power(4),
            falls: returns.iter().map(|r| r.min(0.0) * r.min(0.0)).sum(),
            greatest: returns.iter().fold(0.0, |most: f64, r| most.max(r.abs())),
        }
    }

    /// Those of both series.
    pub fn with(&self, other: &Self) -> Self {
        if self.n == 0 || other.n == 0 {
            return if self.n == 0 { *other } else { *self };
        }
        let (na, nb) = (self.n as f64, other.n as f64);
        let n = na + nb;
        let d = other.mean - self.mean;
        Self {
            n: self.n + other.n,
            mean: self.mean + d * nb / n,
            m2: self.m2 + other.m2 + d * d * na * nb / n,
            m3: self.m3
                + other.m3
                + d.powi(3) * na * nb * (na - nb) / (n * n)
                + 3.0 * d * (na * other.m2 - nb * self.m2) / n,
            m4: self.m4
                + other.m4
                + d.powi(4) * na * nb * (na * na - na * nb + nb * nb) / (n * n * n)
                + 6.0 * d * d * (na * na * other.m2 + nb * nb * self.m2) / (n * n)
                + 4.0 * d * (na * other.m3 - nb * self.m3) / n,
            falls: self.falls + other.falls,
            greatest: self.greatest.max(other.greatest),
        }
    }

    fn deviation(&self) -> Option<f64> {
        if self.n < 2 {
            return None;
        }
        let deviation = (self.m2 / (self.n - 1) as f64).sqrt();
        (deviation > NO_DEVIATION * self.greatest).then_some(deviation)
    }

    /// Mean over standard deviation (n − 1), per sample; `None` with fewer than two returns or no deviation.
    pub fn sharpe(&self) -> Option<f64> {
        finite(self.mean / self.deviation()?)
    }

    /// The same for a year, as [`tercel::analytics::stats::Performance`] has it.
    pub fn sharpe_annual(&self, interval_ns: u64) -> Option<f64> {
        finite(self.sharpe()? * (YEAR_NS / interval_ns as f64).sqrt())
    }

    /// Third standardised moment; 0 for a normal distribution.
    pub fn skewness(&self) -> Option<f64> {
        self.deviation()?;
        finite((self.n as f64).sqrt() * self.m3 / self.m2.powf(1.5))
    }

    /// Fourth standardised moment; 3 for a normal distribution.
    pub fn kurtosis(&self) -> Option<f64> {
        self.deviation()?;
        finite(self.n as f64 * self.m4 / (self.m2 * self.m2))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tercel::analytics::stats::Performance;

    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-12)
    }

    #[test]
    fn moments_of_a_series_computed_by_hand() {
        // Mean 2.5; distances −1.5, −0.5, −0.5, 2.5: squares 2.25, 0.25, 0.25, 6.25; cubes −3.375, −0.125, −0.125, 15.625; fourth
        // powers 5.0625, 0.0625, 0.0625, 39.0625.
        let found = Moments::of(&[1.0, 2.0, 2.0, 5.0]);
        assert_eq!((found.n, found.mean, found.m2, found.m3, found.m4), (4, 2.5, 9.0, 12.0, 44.25));
        assert_eq!(found.sharpe(), Some(2.5 / 3f64.sqrt()));
        assert!(near(found.skewness().unwrap(), 2.0 * 12.0 / 27.0));
        assert!(near(found.kurtosis().unwrap(), 4.0 * 44.25 / 81.0));
        assert_eq!(Moments::of(&[-0.5, 0.25, -1.0]).falls, 1.25);
    }

    #[test]
    fn what_does_not_move_has_no_ratio() {
        for returns in [&[][..], &[0.1], &[0.0; 9], &[0.1; 9]] {
            let found = Moments::of(returns);
            assert_eq!((found.sharpe(), found.skewness(), found.kurtosis()), (None, None, None), "{returns:?}");
        }
    }

    proptest! {
        /// Two halves put together are the whole, and the ratio of a year is the report's.
        #[test]
        fn parts_make_the_whole(returns in proptest::collection::vec(-0.1f64..0.1, 2..60), cut in 0usize..60) {
            let (a, b) = returns.split_at(cut.min(returns.len()));
            let (whole, both) = (Moments::of(&returns), Moments::of(a).with(&Moments::of(b)));
            prop_assert_eq!(whole.n, both.n);
            for (one, two) in [(whole.m2, both.m2), (whole.m4, both.m4), (whole.falls, both.falls)] {
                prop_assert!(near(one, two), "{} {}", one, two);
            }
            prop_assert!((whole.mean - both.mean).abs() < 1e-12 && (whole.m3 - both.m3).abs() < 1e-9);
            let performance = Performance::of(&returns, 1_000_000_000);
            match (performance.sharpe, both.sharpe_annual(1_000_000_000)) {
                (Some(one), Some(two)) => prop_assert!((one - two).abs() <= 1e-7 * one.abs().max(1.0), "{} {}", one, two),
                (one, two) => prop_assert_eq!(one, two),
            }
        }
    }
}
