//! The trend of a series, as noise and a few steps leave it: the median of all slopes (Theil and Sen).

/// Fewer points than these say nothing.
pub const POINTS_MIN: usize = 8;

/// One-sided 99 % quantile of the normal distribution.
const Z_99: f64 = 2.326;

/// How a series moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Median of the slopes between all pairs of points, per unit of time.
    pub slope: f64,
    /// A slope that the true one exceeds with 99 % confidence, if the points are independent (Sen's limit, by Mann and Kendall's
    /// variance). What grows in steps makes it too sure, so it decides nothing without a bound on the growth itself.
    pub slope_low: f64,
    /// Time from the first point to the last.
    pub span: f64,
}

impl Trend {
    /// Of points of time and value, in the order of time; `None` for fewer than [`POINTS_MIN`].
    ///
    /// # Cost
    /// All pairs: two million for 2,000 points.
    pub fn of(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len();
        if count < POINTS_MIN {
            return None;
        }
        let mut slopes = Vec::with_capacity(count * (count - 1) / 2);
        for (idx, (at, value)) in points.iter().enumerate() {
            for (later, then) in &points[idx + 1..] {
                if later > at {
                    slopes.push((then - value) / (later - at));
                }
            }
        }
        slopes.sort_unstable_by(f64::total_cmp);
        let pairs = slopes.len();
        let middle = slopes.get(pairs / 2)?;
        let n = count as f64;
        let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
        let low = ((pairs as f64 - Z_99 * deviation) / 2.0).max(0.0) as usize;
        let span = points[count - 1].0 - points[0].0;
        Some(Self { slope: *middle, slope_low: slopes[low.min(pairs - 1)], span })
    }

    /// How much the value grew over the span by the slope; 0 if it fell, or if it may as well have stayed.
    pub fn growth(&self) -> f64 {
        if self.slope_low > 0.0 { self.slope * self.span } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Rng;

    fn noisy(rng: &mut Rng, slope: f64, noise: i64) -> Vec<(f64, f64)> {
        (0..150).map(|at| (f64::from(at), slope * f64::from(at) + rng.between(-noise, noise) as f64)).collect()
    }

    #[test]
    fn a_slope_is_found_under_noise_and_outliers() {
        let mut points = noisy(&mut Rng::new(1), 2.0, 40);
        for idx in (0..150).step_by(10) {
            points[idx].1 += 10_000.0;
        }
        let trend = Trend::of(&points).unwrap();
        assert!((trend.slope - 2.0).abs() < 0.3 && trend.slope_low > 1.0, "{trend:?}");
        assert!((trend.growth() - 298.0).abs() < 45.0, "{trend:?}");
    }

    #[test]
    fn noise_alone_and_a_single_step_do_not_grow() {
        let grows = |seed: &u64| Trend::of(&noisy(&mut Rng::new(*seed), 0.0, 40)).unwrap().growth() > 0.0;
        let sure = (0..200).filter(grows).count();
        assert!(sure <= 6, "99 % sure in {sure} of 200 cases of nothing but noise");
        let step: Vec<_> = (0..150).map(|at| (f64::from(at), if at < 20 { 0.0 } else { 1000.0 })).collect();
        assert_eq!(Trend::of(&step).unwrap().growth(), 0.0);
        let falling: Vec<_> = (0..150).map(|at| (f64::from(at), -f64::from(at))).collect();
        assert_eq!(Trend::of(&falling).unwrap().growth(), 0.0);
    }

    #[test]
    fn few_points_say_nothing() {
        assert_eq!(Trend::of(&[(0.0, 1.0); POINTS_MIN - 1]), None);
        assert_eq!(Trend::of(&[(0.0, 1.0); POINTS_MIN]), None, "nor do points of one moment");
    }
}
