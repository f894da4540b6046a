//! Turns a series of equities at equal distances into the ratios that people compare strategies by.
//!
//! Floating point throughout: these figures are for people and decide nothing. Each has one definition, which
//! `docs/analytics.md` repeats; what a definition does not cover (fewer than two returns, no variance, an equity that is not
//! above zero) is `None`, never NaN or infinity.

use serde::Serialize;

/// Nanoseconds of a year of 365 days: crypto trades on all of them.
pub const YEAR_NS: f64 = 365.0 * 86_400.0 * 1e9;

/// A deviation below this share of the greatest return is what rounding leaves of none.
const NO_DEVIATION: f64 = 1e-12;

/// What the returns of one series say. Annualised to 365 days by the number of sampling intervals in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Performance {
    /// Returns that it is made from.
    pub returns: usize,
    /// Standard deviation of the returns (over n − 1), times the root of the intervals in a year.
    pub volatility: Option<f64>,
    /// Mean return over its standard deviation (n − 1), times the root of the intervals in a year; no risk-free rate.
    pub sharpe: Option<f64>,
    /// Mean return over the root of the mean square of the negative returns (over n), times the same root.
    pub sortino: Option<f64>,
}

/// Ordinary least squares of one series of returns on another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Regression {
    /// Pairs of returns.
    pub pairs: usize,
    /// Intercept, times the intervals in a year (added up, not compounded).
    pub alpha: Option<f64>,
    /// Slope.
    pub beta: Option<f64>,
    /// Share of the variance that the line explains.
    pub r_squared: Option<f64>,
}

/// Returns `value` if it is a number that can be told.
pub fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// Returns the simple returns of a series, `None` if one of its values but the last is not above zero.
pub fn returns(equity: &[f64]) -> Option<Vec<f64>> {
    let step = |pair: &[f64]| (pair[0] > 0.0).then(|| pair[1] / pair[0] - 1.0).and_then(finite);
    equity.windows(2).map(step).collect()
}

/// Returns the yearly return that compounds to `end / start` over `span_ns`; `None` where it is not a number that can be told.
pub fn annual_return(start: f64, end: f64, span_ns: u64) -> Option<f64> {
    if start <= 0.0 || end < 0.0 || span_ns == 0 {
        return None;
    }
    finite((end / start).powf(YEAR_NS / span_ns as f64) - 1.0)
}

/// Returns `numerator / denominator`, `None` if there is nothing to divide by.
pub fn ratio(numerator: f64, denominator: f64) -> Option<f64> {
    if denominator == 0.0 { None } else { finite(numerator / denominator) }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn greatest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most: f64, value| most.max(value.abs()))
}

impl Performance {
    /// Makes the ratios of `returns`, taken every `interval_ns`.
    pub fn of(returns: &[f64], interval_ns: u64) -> Self {
        let count = returns.len();
        let mut found = Self { returns: count, ..Self::default() };
        if count < 2 || interval_ns == 0 {
            return found;
        }
        let root = (YEAR_NS / interval_ns as f64).sqrt();
        let mean = mean(returns);
        let floor = NO_DEVIATION * greatest(returns);
        let squares: f64 = returns.iter().map(|r| (r - mean) * (r - mean)).sum();
        let deviation = (squares / (count - 1) as f64).sqrt();
        found.volatility = finite(deviation * root);
        if deviation > floor {
            found.sharpe = finite(mean / deviation * root);
        }
        let falls: f64 = returns.iter().map(|r| r.min(0.0) * r.min(0.0)).sum();
        let downside = (falls / count as f64).sqrt();
        if downside > floor {
            found.sortino = finite(mean / downside * root);
        }
        found
    }
}

impl Regression {
    /// Fits `y = alpha + beta · x`; `pairs` are (x, y), taken every `interval_ns`.
    pub fn of(pairs: &[(f64, f64)], interval_ns: u64) -> Self {
        let count = pairs.len();
        let mut found = Self { pairs: count, ..Self::default() };
        if count < 2 || interval_ns == 0 {
            return found;
        }
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        let (mean_x, mean_y) = (mean(&x), mean(&y));
        let sum = |f: fn(f64, f64) -> f64| pairs.iter().map(|(x, y)| f(x - mean_x, y - mean_y)).sum::<f64>();
        let (xx, xy, yy) = (sum(|x, _| x * x), sum(|x, y| x * y), sum(|_, y| y * y));
        let floor = |values: &[f64]| (NO_DEVIATION * greatest(values)).powi(2) * count as f64;
        if xx > floor(&x) {
            let beta = xy / xx;
            found.beta = finite(beta);
            found.alpha = finite((mean_y - beta * mean_x) * YEAR_NS / interval_ns as f64);
            if yy > floor(&y) {
                found.r_squared = finite(xy * xy / (xx * yy));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A year has four intervals of that length.
    const QUARTER_NS: u64 = (YEAR_NS / 4.0) as u64;

    fn assert_near(found: Option<f64>, want: f64) {
        let found = found.unwrap();
        assert!((found - want).abs() <= 1e-12 * want.abs().max(1.0), "{found} should be {want}");
    }

    #[test]
    fn ratios_are_those_of_a_hand_computed_series() {
        let returns = returns(&[100.0, 110.0, 99.0, 99.0, 108.9]).unwrap();
        for (found, want) in returns.iter().zip([0.1, -0.1, 0.0, 0.1]) {
            assert_near(Some(*found), want);
        }
        let found = Performance::of(&returns, QUARTER_NS);
        // Mean 0.025; squared deviations 0.075², 0.125², 0.025², 0.075² = 0.0275; over 3.
        let deviation = (0.0275f64 / 3.0).sqrt();
        assert_near(found.volatility, 2.0 * deviation);
        assert_near(found.sharpe, 2.0 * 0.025 / deviation);
        // One fall of 0.1 in four: √(0.01 / 4) = 0.05.
        assert_near(found.sortino, 1.0);
        assert_eq!(found.returns, 4);
        assert_near(annual_return(100.0, 108.9, 2 * QUARTER_NS), 1.089f64.powi(2) - 1.0);
    }

    #[test]
    fn what_is_not_defined_is_none() {
        for few in [&[][..], &[0.1]] {
            assert_eq!(Performance::of(few, QUARTER_NS), Performance { returns: few.len(), ..Performance::default() });
            let pairs: Vec<(f64, f64)> = few.iter().map(|r| (*r, *r)).collect();
            assert_eq!(Regression::of(&pairs, QUARTER_NS).beta, None);
        }
        // Growth without variance, whose deviation is not zero in floating point.
        let steady = returns(&[100.0, 101.0, 102.01, 103.0301, 104.060_401]).unwrap();
        let found = Performance::of(&steady, QUARTER_NS);
        assert_eq!((found.sharpe, found.sortino), (None, None));
        assert_eq!(Performance::of(&[0.0; 5], QUARTER_NS).sharpe, None);
        assert_eq!(Performance::of(&[0.0; 5], QUARTER_NS).volatility, Some(0.0));
        assert_eq!(returns(&[100.0, 0.0, 5.0]), None, "nothing can be earned on nothing");
        assert_eq!(returns(&[100.0, 0.0]), Some(vec![-1.0]));
        assert_eq!(annual_return(0.0, 5.0, 1), None);
        assert_eq!(annual_return(1.0, 2.0, 1), None, "beyond what a number holds");
        assert_eq!(annual_return(1.0, 2.0, 0), None);
        let flat = [(0.0, 0.1), (0.0, 0.2), (0.0, 0.3)];
        assert_eq!(Regression::of(&flat, QUARTER_NS), Regression { pairs: 3, ..Regression::default() });
    }

    #[test]
    fn a_line_is_found_and_its_scatter_told() {
        let pairs = [(0.01, 0.021), (0.02, 0.041), (-0.01, -0.019)];
        let found = Regression::of(&pairs, QUARTER_NS);
        assert_near(found.beta, 2.0);
        assert_near(found.alpha, 0.004);
        assert_near(found.r_squared, 1.0);
        // x: -1, 0, 1; y: 0, 1, -1 (in percent): slope -0.5, explained 0.25.
        let found = Regression::of(&[(-0.01, 0.0), (0.0, 0.01), (0.01, -0.01)], QUARTER_NS);
        assert_near(found.beta, -0.5);
        assert_near(found.r_squared, 0.25);
    }
}
