//! Value at risk and expected shortfall from moments: the normal distribution, and its correction by skew and kurtosis.

/// A confidence level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Confidence {
    /// One loss in twenty is greater.
    P95 = 0,
    /// One loss in a hundred is greater.
    P99 = 1,
}

/// Both, in the order in which figures stand.
pub const CONFIDENCES: [Confidence; 2] = [Confidence::P95, Confidence::P99];

impl Confidence {
    /// Returns it in percent.
    pub const fn percent(self) -> usize {
        match self {
            Self::P95 => 95,
            Self::P99 => 99,
        }
    }

    /// Returns the probability of a loss that is no greater.
    pub const fn p(self) -> f64 {
        self.percent() as f64 / 100.0
    }

    /// Returns the probability of a greater loss.
    pub const fn tail(self) -> f64 {
        (100 - self.percent()) as f64 / 100.0
    }

    /// Returns the quantile of the standard normal distribution.
    pub const fn z(self) -> f64 {
        match self {
            Self::P95 => 1.644_853_626_951_472_2,
            Self::P99 => 2.326_347_874_040_840_8,
        }
    }

    /// Returns the mean of the standard normal distribution beyond its quantile: φ(z) / (1 − p).
    pub const fn shortfall(self) -> f64 {
        match self {
            Self::P95 => 2.062_712_807_507_426,
            Self::P99 => 2.665_214_220_345_808,
        }
    }
}

/// Value at risk of a normal distribution of mean zero: z·σ (RiskMetrics 1996).
pub fn normal_var(sigma: f64, confidence: Confidence) -> f64 {
    confidence.z() * sigma
}

/// Expected shortfall of a normal distribution of mean zero: σ·φ(z)/(1−p).
pub fn normal_es(sigma: f64, confidence: Confidence) -> f64 {
    confidence.shortfall() * sigma
}

/// Value at risk of gains, the quantile corrected for their skew and excess kurtosis (Cornish and Fisher 1938; Favre and
/// Galeano 2002), never below zero.
///
/// `None` outside the domain of validity: where the corrected quantile is no longer monotonous in the uncorrected one it orders
/// losses wrongly (Maillard 2012). That is the case unless K/8 − S²/6 ≥ 0 and S²/9 ≤ 4·(K/8 − S²/6)·(1 − K/8 + 5S²/36), which no skew beyond
/// about 2.49 and no excess kurtosis beyond 8 at zero skew meets. `None` as well for fewer than two gains and where nothing moves.
pub fn cornish_fisher_var(gains: &[f64], confidence: Confidence) -> Option<f64> {
    let moments = Moments::of(gains)?;
    let z = corrected(-confidence.z(), &moments)?;
    Some((-(moments.mean + moments.sigma * z)).max(0.0))
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Moments {
    mean: f64,
    sigma: f64,
    skew: f64,
    /// Kurtosis beyond that of the normal distribution, which is 3.
    excess: f64,
}

impl Moments {
    /// Moments of the sample as it is (divided by n).
    fn of(gains: &[f64]) -> Option<Self> {
        if gains.len() < 2 {
            return None;
        }
        let n = gains.len() as f64;
        let mean = gains.iter().sum::<f64>() / n;
        let (mut m2, mut m3, mut m4) = (0.0, 0.0, 0.0);
        for gain in gains {
            let d = gain - mean;
            let square = d * d;
            m2 += square;
            m3 += square * d;
            m4 += square * square;
        }
        let (variance, third, fourth) = (m2 / n, m3 / n, m4 / n);
        let (skew, excess) = (third / variance.powf(1.5), fourth / (variance * variance) - 3.0);
        let found = Self { mean, sigma: variance.sqrt(), skew, excess };
        (variance > 0.0 && skew.is_finite() && excess.is_finite()).then_some(found)
    }
}

/// The corrected quantile of a standardised variable.
fn corrected(z: f64, moments: &Moments) -> Option<f64> {
    let (s, k) = (moments.skew, moments.excess);
    // The derivative by z is a·z² + b·z + c; the expansion orders quantiles where it is nowhere negative.
    let (a, b, c) = (k / 8.0 - s * s / 6.0, s / 3.0, 1.0 - k / 8.0 + 5.0 * s * s / 36.0);
    if a < 0.0 || c < 0.0 || b * b > 4.0 * a * c {
        return None;
    }
    let square = z * z;
    Some(z + (square - 1.0) * s / 6.0 + (square * z - 3.0 * z) * k / 24.0 - (2.0 * square * z - 5.0 * z) * s * s / 36.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::chi2_sf_1;
    use super::*;

    #[test]
    fn the_constants_are_those_of_the_normal_distribution() {
        for confidence in CONFIDENCES {
            // P(|Z| > z) is that of χ² with one degree beyond z².
            let z = confidence.z();
            assert!((chi2_sf_1(z * z) / 2.0 - confidence.tail()).abs() < 1e-12);
            let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            assert!((density / confidence.tail() - confidence.shortfall()).abs() < 1e-9);
            assert!(normal_es(1.0, confidence) > normal_var(1.0, confidence));
        }
    }

    #[test]
    fn the_correction_is_that_of_the_paper() {
        // The figure was computed apart from this code.
        let moments = Moments { mean: 0.0, sigma: 1.0, skew: -0.5, excess: 2.0 };
        let z = -2.326_347_874_040_840_8f64;
        let want = z + (z * z - 1.0) * -0.5 / 6.0 + (z.powi(3) - 3.0 * z) * 2.0 / 24.0
            - (2.0 * z.powi(3) - 5.0 * z) * 0.25 / 36.0;
        assert!((corrected(z, &moments).unwrap() - want).abs() < 1e-12);
        assert!((want - -3.067_496_764).abs() < 1e-6, "{want}");
        // Without skew and excess kurtosis nothing is corrected.
        let normal = Moments { skew: 0.0, excess: 0.0, ..moments };
        assert_eq!(corrected(z, &normal), Some(z));
    }

    #[test]
    fn outside_its_domain_the_expansion_says_nothing() {
        let of = |skew, excess| corrected(-2.0, &Moments { mean: 0.0, sigma: 1.0, skew, excess });
        assert!(of(0.0, 8.0).is_some());
        assert_eq!(of(0.0, 8.1), None);
        assert_eq!(of(0.0, -0.1), None);
        assert_eq!(of(3.0, 12.0), None);
        assert_eq!(cornish_fisher_var(&[1.0; 50], Confidence::P99), None, "nothing moves");
        assert_eq!(cornish_fisher_var(&[1.0], Confidence::P99), None);
        assert_eq!(cornish_fisher_var(&[0.0, f64::INFINITY], Confidence::P99), None);
    }

    #[test]
    fn a_sample_of_known_moments() {
        // ±1 each 45 times and ±3 each 5 times: σ² = 1.8, skew 0, kurtosis 9/1.8² = 2.7̄.
        let mut gains = vec![1.0; 45];
        gains.extend([-1.0; 45]);
        gains.extend([3.0; 5]);
        gains.extend([-3.0; 5]);
        let found = Moments::of(&gains).unwrap();
        assert!((found.sigma * found.sigma - 1.8).abs() < 1e-12 && found.skew.abs() < 1e-12);
        assert!((found.excess - (9.0 / 3.24 - 3.0)).abs() < 1e-12);
    }

    proptest! {
        /// Inside the domain a greater confidence is a greater loss.
        #[test]
        fn quantiles_are_ordered_inside_the_domain(skew in -3.0..3.0f64, excess in -2.0..12.0f64) {
            let moments = Moments { mean: 0.0, sigma: 1.0, skew, excess };
            let all: Vec<Option<f64>> = (-40..=40).map(|z| corrected(f64::from(z) / 10.0, &moments)).collect();
            if all[0].is_some() {
                prop_assert!(all.windows(2).all(|two| two[0].unwrap() <= two[1].unwrap() + 1e-12));
            } else {
                prop_assert!(all.iter().all(Option::is_none));
            }
        }
    }
}
