//! How likely a Sharpe ratio is to be luck: the probabilistic and the deflated Sharpe ratio.
//!
//! Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier" (2012) and "The Deflated Sharpe Ratio: Correcting for Selection
//! Bias, Backtest Overfitting and Non-Normality" (Journal of Portfolio Management, 2014). All ratios are per sample, not of a year.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

use crate::moments::Moments;

/// Euler and Mascheroni's constant.
const EULER_MASCHERONI: f64 = 0.577_215_664_901_532_9;

/// From which probability on a result is said to be distinguishable from luck.
pub const CONFIDENT: f64 = 0.95;

/// A Sharpe ratio and the shape of the returns that it is from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Observed {
    /// Mean over standard deviation of the returns, per sample.
    pub sharpe: f64,
    /// Returns.
    pub samples: u64,
    /// Their third standardised moment.
    pub skewness: f64,
    /// Their fourth; 3 for a normal distribution.
    pub kurtosis: f64,
}

/// A ratio held against the best that luck alone would have brought.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Deflated {
    /// Sets that were tried.
    pub trials: u64,
    /// Variance of their ratios, per sample.
    pub variance: f64,
    /// What the best of them is expected to have if none of them is any good.
    pub expected_max: f64,
    /// Probability that the true ratio is above that.
    pub deflated: f64,
}

fn normal() -> Normal {
    Normal::standard()
}

impl Observed {
    /// What the moments say; `None` where there is no ratio.
    pub fn of(moments: &Moments) -> Option<Self> {
        let (sharpe, samples) = (moments.sharpe()?, moments.n);
        Some(Self { sharpe, samples, skewness: moments.skewness()?, kurtosis: moments.kurtosis()? })
    }

    /// Probability that the true ratio is above `benchmark`; `None` where the estimate has no variance that can be told.
    pub fn probabilistic(&self, benchmark: f64) -> Option<f64> {
        let Self { sharpe, skewness, kurtosis, .. } = *self;
        let variance = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe;
        if self.samples < 2 || variance <= 0.0 {
            return None;
        }
        let root = ((self.samples - 1) as f64).sqrt();
        Some(normal().cdf((sharpe - benchmark) * root / variance.sqrt())).filter(|p| p.is_finite())
    }

    /// Against the best of `trials` sets whose ratios vary by `variance`.
    pub fn deflated(&self, trials: u64, variance: f64) -> Option<Deflated> {
        let expected_max = expected_max(trials, variance);
        Some(Deflated { trials, variance, expected_max, deflated: self.probabilistic(expected_max)? })
    }
}

/// Expected greatest ratio of `trials` independent sets whose true ratio is 0 and whose estimates vary by `variance`. One set was not
/// chosen: 0.
pub fn expected_max(trials: u64, variance: f64) -> f64 {
    if trials < 2 {
        return 0.0;
    }
    let n = trials as f64;
    let quantile = |tail: f64| normal().inverse_cdf(1.0 - tail);
    let (one, other) = (quantile(1.0 / n), quantile(1.0 / (n * std::f64::consts::E)));
    variance.max(0.0).sqrt() * ((1.0 - EULER_MASCHERONI) * one + EULER_MASCHERONI * other)
}

/// Variance over n − 1; `None` of fewer than two.
pub fn variance(values: &[f64]) -> Option<f64> {
    let moments = Moments::of(values);
    (moments.n >= 2).then(|| moments.m2 / (moments.n - 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, want: f64, within: f64) {
        assert!((found - want).abs() <= within, "{found} should be {want}");
    }

    #[test]
    fn the_papers_example() {
        // Section "A numerical example": daily returns over five years, 250 days each, the best of 100 trials has an annual ratio of
        // 2.5, the trials' annual ratios a variance of 0.5, the returns a skewness of −3 and a kurtosis of 10.
        let year = 250f64;
        let observed = Observed { sharpe: 2.5 / year.sqrt(), samples: 1250, skewness: -3.0, kurtosis: 10.0 };
        let found = observed.deflated(100, 0.5 / year).unwrap();
        near(found.expected_max, 0.1132, 5e-5);
        near(found.deflated, 0.9004, 5e-5);
        // "Had the strategist made this discovery after running only N = 46, the investor may have allocated": 0.9505.
        near(observed.deflated(46, 0.5 / year).unwrap().deflated, 0.9505, 5e-5);
        // "If the strategy had exhibited normal returns, DSR = 0.9505 after N = 88 independent trials."
        let normal = Observed { skewness: 0.0, kurtosis: 3.0, ..observed };
        near(normal.deflated(88, 0.5 / year).unwrap().deflated, 0.9505, 5e-5);
    }

    #[test]
    fn the_probabilistic_ratio_by_hand() {
        // Normal returns, ratio 0.1, 101 samples: 0.1·10 / √(1 + 0.005) = 0.997509…, whose probability is 0.840741.
        let observed = Observed { sharpe: 0.1, samples: 101, skewness: 0.0, kurtosis: 3.0 };
        near(observed.probabilistic(0.0).unwrap(), 0.840_741, 5e-6);
        near(observed.probabilistic(0.1).unwrap(), 0.5, 1e-12);
        // One set was not chosen: deflated by nothing.
        assert_eq!(observed.deflated(1, 9.0).unwrap().deflated, observed.probabilistic(0.0).unwrap());
        assert_eq!(Observed { samples: 1, ..observed }.probabilistic(0.0), None);
        // 1 − 50·0.1 + … is below zero: no variance.
        assert_eq!(Observed { skewness: 50.0, ..observed }.probabilistic(0.0), None);
    }

    #[test]
    fn more_trials_make_luck_better() {
        let mut last = 0.0;
        for trials in [1, 2, 3, 10, 100, 10_000] {
            let found = expected_max(trials, 1.0);
            assert!(found > last || trials == 1, "{trials}: {found}");
            last = found;
        }
        // Two standard normals: E[max] = 1/√π = 0.5642; the paper's formula is an approximation for many.
        near(expected_max(2, 1.0), 0.52, 0.01);
        near(expected_max(100, 1.0), 2.53, 0.01);
        assert_eq!(variance(&[1.0]), None);
        assert_eq!(variance(&[1.0, 3.0]), Some(2.0));
    }
}
