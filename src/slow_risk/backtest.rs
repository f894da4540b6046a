//! How often losses went beyond their forecast, and whether that is what the forecast promised.
//!
//! Kupiec (1995) asks whether there were as many exceptions as there should be; Christoffersen (1998) whether one makes the next
//! likelier, and both together. Statistics are likelihood ratios, whose p-values are those of χ² in the limit: with a handful of expected
//! exceptions they are rough.

use super::Confidence;

/// Exceptions of one-step forecasts, and how they follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backtest {
    /// Forecasts whose outcome is known.
    pub forecasts: u64,
    /// Outcomes that lost more than forecast.
    pub exceptions: u64,
    /// Pairs of neighbours by whether the first and the second were exceptions.
    pairs: [[u64; 2]; 2],
    last: Option<bool>,
}

/// A statistic and the probability of one that is no smaller if the forecasts are right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TestResult {
    /// The likelihood ratio.
    pub statistic: f64,
    /// Its p-value.
    pub p_value: f64,
}

impl Backtest {
    /// Takes the outcome of the forecast that follows the last one.
    pub fn note(&mut self, is_exception: bool) {
        self.forecasts += 1;
        self.exceptions += u64::from(is_exception);
        if let Some(last) = self.last.replace(is_exception) {
            self.pairs[usize::from(last)][usize::from(is_exception)] += 1;
        }
    }

    /// There was no forecast for the next moment: what comes after it is no neighbour of what was before.
    pub fn gap(&mut self) {
        self.last = None;
    }

    /// Kupiec's test of the proportion of failures, one degree of freedom. `None` without a forecast.
    pub fn kupiec(&self, confidence: Confidence) -> Option<TestResult> {
        let (n, x) = (self.forecasts, self.exceptions);
        if n == 0 {
            return None;
        }
        let share = x as f64 / n as f64;
        let statistic = 2.0 * (likelihood(n - x, x, share) - likelihood(n - x, x, confidence.tail()));
        Some(TestResult::of(statistic, chi2_sf_1))
    }

    /// Christoffersen's test of independence, one degree of freedom. `None` unless both an exception and none had a successor:
    /// otherwise one of the probabilities that are compared is not known.
    pub fn independence(&self) -> Option<TestResult> {
        let [[n00, n01], [n10, n11]] = self.pairs;
        if n00 + n01 == 0 || n10 + n11 == 0 {
            return None;
        }
        let share = |hits: u64, misses: u64| hits as f64 / (hits + misses) as f64;
        let apart = likelihood(n00, n01, share(n01, n00)) + likelihood(n10, n11, share(n11, n10));
        let together = likelihood(n00 + n10, n01 + n11, share(n01 + n11, n00 + n10));
        Some(TestResult::of(2.0 * (apart - together), chi2_sf_1))
    }

    /// Christoffersen's test of conditional coverage: both statistics added up, two degrees of freedom. `None` where one of
    /// them is.
    pub fn conditional_coverage(&self, confidence: Confidence) -> Option<TestResult> {
        let statistic = self.kupiec(confidence)?.statistic + self.independence()?.statistic;
        Some(TestResult::of(statistic, chi2_sf_2))
    }
}

impl TestResult {
    fn of(statistic: f64, survival: fn(f64) -> f64) -> Self {
        // Below zero by rounding alone.
        let statistic = statistic.max(0.0);
        Self { statistic, p_value: survival(statistic) }
    }
}

/// Logarithm of the likelihood of so many misses and hits; what never happened has no part in it.
fn likelihood(misses: u64, hits: u64, share: f64) -> f64 {
    let part = |count: u64, p: f64| if count == 0 { 0.0 } else { count as f64 * p.ln() };
    part(misses, 1.0 - share) + part(hits, share)
}

/// Probability that χ² with one degree of freedom exceeds `x`: erfc(√(x/2)).
pub fn chi2_sf_1(x: f64) -> f64 {
    if x <= 0.0 { 1.0 } else { erfc((x / 2.0).sqrt()) }
}

/// Probability that χ² with two degrees of freedom exceeds `x`: exp(−x/2).
pub fn chi2_sf_2(x: f64) -> f64 {
    (-x.max(0.0) / 2.0).exp()
}

/// The complementary error function for `x` from 0 on, to about ten significant digits.
fn erfc(x: f64) -> f64 {
    let square = x * x;
    if x < 2.5 {
        // erf(x) = 2/√π·e^(−x²)·Σ 2ⁿx^(2n+1)/(2n+1)!!: all terms positive, so nothing cancels but in the last step.
        let (mut term, mut sum) = (x, x);
        let mut odd = 1.0;
        while term > sum * 1e-17 {
            odd += 2.0;
            term *= 2.0 * square / odd;
            sum += term;
        }
        return 1.0 - std::f64::consts::FRAC_2_SQRT_PI * (-square).exp() * sum;
    }
    // The continued fraction x + (1/2)/(x + 1/(x + (3/2)/(x + …))), from its far end.
    let fraction = (1..=60).rev().fold(x, |tail, n| x + f64::from(n) / 2.0 / tail);
    (-square).exp() / (fraction * std::f64::consts::PI.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, want: f64) -> bool {
        (found - want).abs() <= 1e-9 * want.abs()
    }

    #[test]
    fn the_error_function_has_its_known_values() {
        // Of the C library.
        for (x, want) in [
            (0.0, 1.0),
            (0.1, 0.887_537_083_981_715_2),
            (0.5, 0.479_500_122_186_953_5),
            (1.0, 0.157_299_207_050_285_13),
            (2.0, 0.004_677_734_981_047_265),
            (2.4, 0.000_688_513_896_645_079),
            (2.5, 0.000_406_952_017_444_958_9),
            (3.0, 2.209_049_699_858_543_8e-5),
            (5.0, 1.537_459_794_428_035_1e-12),
            (10.0, 2.088_487_583_762_545e-45),
        ] {
            assert!(close(erfc(x), want), "erfc({x}) is {} and should be {want}", erfc(x));
        }
    }

    #[test]
    fn the_quantiles_of_chi_square_are_those_of_the_tables() {
        for (x, p) in [(0.454_936_42, 0.5), (2.705_543_45, 0.1), (3.841_458_82, 0.05), (6.634_896_60, 0.01)] {
            assert!((chi2_sf_1(x) - p).abs() < 1e-8);
        }
        for (x, p) in [(1.386_294_361, 0.5), (5.991_464_547, 0.05), (9.210_340_372, 0.01)] {
            assert!((chi2_sf_2(x) - p).abs() < 1e-9);
        }
        assert_eq!((chi2_sf_1(0.0), chi2_sf_1(-1.0), chi2_sf_2(-1.0)), (1.0, 1.0, 1.0));
    }

    #[test]
    fn kupiec_of_a_year_of_days() {
        // Figures computed apart from this code. The Basel zones of 250 days: 4 is green, 10 is red.
        for (n, x, statistic, p_value) in [
            (250, 4, 0.769_138_364_385_845_8, 0.380_483_738_238_954),
            (250, 10, 12.955_491_062_356_018, 0.000_318_984_508_213_383_5),
            (250, 0, 5.025_167_926_750_726, 0.024_981_503_053_449_71),
            (255, 7, 5.316_341_340_978_191, 0.021_126_323_789_771_08),
        ] {
            let found =
                Backtest { forecasts: n, exceptions: x, ..Backtest::default() }.kupiec(Confidence::P99).unwrap();
            assert!(close(found.statistic, statistic) && close(found.p_value, p_value), "{found:?}");
        }
        let exact = Backtest { forecasts: 1000, exceptions: 50, ..Backtest::default() };
        assert!(exact.kupiec(Confidence::P95).unwrap().p_value > 0.999_999);
        let all = Backtest { forecasts: 10, exceptions: 10, ..Backtest::default() }.kupiec(Confidence::P95).unwrap();
        assert!(close(all.statistic, 59.914_645_471_079_815));
        assert_eq!(Backtest::default().kupiec(Confidence::P99), None);
    }

    #[test]
    fn christoffersen_sees_exceptions_that_come_together() {
        for (pairs, statistic, p_value) in [
            ([[235, 7], [6, 1]], 1.608_801_648_706_430_5, 0.204_660_335_189_823_43),
            ([[200, 10], [10, 10]], 27.769_626_616_534_275, 1.366_547_822_280_026_7e-7),
            ([[245, 2], [2, 0]], 0.032_389_017_899_152_606, 0.857_176_519_295_555_8),
        ] {
            let found = Backtest { pairs, ..Backtest::default() }.independence().unwrap();
            assert!(close(found.statistic, statistic) && close(found.p_value, p_value), "{found:?}");
        }
        // Runs of ten exceptions: their number is right, their order is not.
        let mut backtest = Backtest::default();
        (0..2000).for_each(|at| backtest.note(at % 200 < 10));
        assert!(backtest.kupiec(Confidence::P95).unwrap().p_value > 0.99);
        assert!(backtest.independence().unwrap().p_value < 1e-6);
        let both = backtest.conditional_coverage(Confidence::P95).unwrap();
        assert!(both.p_value < 1e-6);
        let sum = backtest.kupiec(Confidence::P95).unwrap().statistic + backtest.independence().unwrap().statistic;
        assert!(close(both.statistic, sum));
    }

    #[test]
    fn what_has_no_pairs_is_not_tested_for_independence() {
        let mut backtest = Backtest::default();
        (0..100).for_each(|_| backtest.note(false));
        assert_eq!((backtest.independence(), backtest.conditional_coverage(Confidence::P99)), (None, None));
        backtest.note(true);
        assert_eq!(backtest.independence(), None, "the exception has no successor");
        let mut apart = backtest;
        apart.gap();
        apart.note(true);
        assert_eq!(apart.independence(), None, "nor has it one across a gap");
        backtest.note(false);
        assert!(backtest.independence().is_some());
    }
}
