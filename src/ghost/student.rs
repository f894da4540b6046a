//! Student's t distribution, for real degrees of freedom: an effective number of trips is no whole number.
//!
//! The incomplete beta function by Lentz's continued fraction and the gamma function by Lanczos' series, as in Press et al.,
//! "Numerical Recipes", sections 6.1 and 6.4. The quantile is found by bisection, which needs no start and cannot run away; it is
//! asked for once a round trip.

/// Steps of the continued fraction; it converges in about the square root of its parameters.
const FRACTION_STEPS: u32 = 10_000;

/// Steps of the bisection: more than a double has bits.
const BISECTIONS: u32 = 200;

/// ln Γ(x) for x > 0 (Lanczos, g = 7, nine terms: fifteen digits).
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let series =
        TERMS.iter().zip(1u8..).fold(0.999_999_999_999_809_9, |sum, (term, k)| sum + term / (x + f64::from(k)));
    let t = x + 7.5;
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * t.ln() - t + series.ln()
}

/// The continued fraction of the incomplete beta function.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let tiny = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / tiny(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..FRACTION_STEPS {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        for numerator in [even, odd] {
            d = 1.0 / tiny(1.0 + numerator * d);
            c = tiny(1.0 + numerator / c);
            h *= d * c;
        }
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    h
}

/// The regularised incomplete beta function.
fn beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    }
}

/// Probability that a variable of Student's t distribution with `df` degrees of freedom (above zero) is at most `t`.
pub fn t_cdf(t: f64, df: f64) -> f64 {
    let tail = 0.5 * beta(df / 2.0, 0.5, df / (df + t * t));
    if t < 0.0 { tail } else { 1.0 - tail }
}

/// The value that such a variable does not exceed with probability `p`; `None` unless `p` lies from a half to below one and `df`
/// is above zero and finite.
pub fn t_quantile(p: f64, df: f64) -> Option<f64> {
    if !(0.5..1.0).contains(&p) || !df.is_finite() || df <= 0.0 {
        return None;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while t_cdf(high, df) < p {
        high *= 2.0;
        if high > 1e300 {
            return None;
        }
    }
    for _ in 0..BISECTIONS {
        let mid = 0.5 * (low + high);
        if mid <= low || mid >= high {
            break;
        }
        if t_cdf(mid, df) < p { low = mid } else { high = mid }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // (p, degrees of freedom, quantile): any table of Student's t, and the normal distribution at the end.
        for (p, df, want) in [
            (0.95, 1.0, 6.313_752),
            (0.95, 2.0, 2.919_986),
            (0.90, 4.0, 1.533_206),
            (0.99, 5.0, 3.364_930),
            (0.95, 10.0, 1.812_461),
            (0.975, 20.0, 2.085_963),
            (0.95, 29.0, 1.699_127),
            (0.99, 60.0, 2.390_119),
            (0.95, 120.0, 1.657_651),
            (0.975, 1e6, 1.959_966),
        ] {
            let found = t_quantile(p, df).unwrap();
            assert!((found - want).abs() < 2e-6, "t({p}, {df}) = {found}, tables say {want}");
        }
        assert_eq!(t_quantile(0.5, 3.0).map(|t| t.abs() < 1e-9), Some(true));
        for (p, df) in [(0.4, 5.0), (1.0, 5.0), (0.95, 0.0), (0.95, f64::NAN), (f64::NAN, 5.0)] {
            assert_eq!(t_quantile(p, df), None);
        }
    }

    proptest! {
        #[test]
        fn the_quantile_inverts_the_distribution(p in 0.5f64..0.999, df in 0.5f64..5_000.0) {
            let t = t_quantile(p, df).unwrap();
            prop_assert!((t_cdf(t, df) - p).abs() < 1e-9);
            prop_assert!((t_cdf(-t, df) - (1.0 - p)).abs() < 1e-9);
            // Fewer degrees of freedom are never more certain.
            prop_assert!(t_quantile(p, df * 0.9).unwrap() >= t - 1e-9);
        }
    }
}
