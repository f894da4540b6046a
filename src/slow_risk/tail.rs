//! Quantile and tail mean of an empirical distribution of losses.

use super::Confidence;

/// Losses in ascending order; a loss is positive, a gain negative.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tail {
    losses: Vec<f64>,
}

impl Tail {
    /// Makes room for `capacity` losses.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { losses: Vec::with_capacity(capacity) }
    }

    /// Takes other losses, in any order.
    pub fn fill(&mut self, losses: impl Iterator<Item = f64>) {
        self.losses.clear();
        self.losses.extend(losses);
        self.losses.sort_unstable_by(f64::total_cmp);
    }

    /// Returns the historical value at risk: the loss of rank ⌈n·p⌉ of n, counted from the least (the inverse of the empirical
    /// distribution, type 1 of Hyndman and Fan 1996), never below zero. `None` with fewer than 1/(1−p) losses, of which not
    /// one is expected beyond it, and where a loss is not finite.
    pub fn var(&self, confidence: Confidence) -> Option<f64> {
        Some(self.losses[self.rank(confidence)?].max(0.0))
    }

    /// Returns the expected shortfall: the mean of the worst n·(1−p) losses, of which the one at the quantile counts by the part
    /// of it that lies beyond (Acerbi and Tasche 2002), never below zero. `None` as for [`Self::var`].
    pub fn es(&self, confidence: Confidence) -> Option<f64> {
        let at = self.rank(confidence)?;
        let n = self.losses.len() as f64;
        let beyond: f64 = self.losses[at + 1..].iter().sum();
        let part = (at + 1) as f64 - n * confidence.p();
        Some(((beyond + part * self.losses[at]) / (n * confidence.tail())).max(0.0))
    }

    /// Index of the quantile.
    fn rank(&self, confidence: Confidence) -> Option<usize> {
        let n = self.losses.len();
        // In whole percents, so that 0.95 · 20 is 19 and not a little more.
        let percent = confidence.percent();
        if n * (100 - percent) < 100 || !self.losses.iter().all(|loss| loss.is_finite()) {
            return None;
        }
        Some((n * percent).div_ceil(100) - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tail(losses: &[f64]) -> Tail {
        let mut tail = Tail::default();
        tail.fill(losses.iter().copied());
        tail
    }

    #[test]
    fn the_quantile_is_the_loss_of_its_rank_and_the_shortfall_the_mean_beyond() {
        // 1 to 20: rank 19 of 20 at 95 %, and one loss beyond it.
        let found = tail(&(1..=20).rev().map(f64::from).collect::<Vec<_>>());
        assert_eq!((found.var(Confidence::P95), found.es(Confidence::P95)), (Some(19.0), Some(20.0)));
        assert_eq!((found.var(Confidence::P99), found.es(Confidence::P99)), (None, None), "20 have no worst hundredth");
        // 1 to 150 at 99 %: rank ⌈148.5⌉ = 149; beyond it 1.5 losses, 150 and half of 149.
        let found = tail(&(1..=150).map(f64::from).collect::<Vec<_>>());
        assert_eq!(found.var(Confidence::P99), Some(149.0));
        assert!((found.es(Confidence::P99).unwrap() - (150.0 + 74.5) / 1.5).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_lose_has_no_risk_and_what_is_not_known_no_figure() {
        assert_eq!(tail(&[-1.0; 200]).var(Confidence::P99), Some(0.0));
        assert_eq!(tail(&[-1.0; 200]).es(Confidence::P99), Some(0.0));
        assert_eq!(tail(&[0.0; 19]).var(Confidence::P95), None);
        assert_eq!(tail(&[f64::NAN; 200]).var(Confidence::P95), None);
        assert_eq!(Tail::default().es(Confidence::P95), None);
    }

    proptest! {
        #[test]
        fn the_tail_is_ordered_and_scales(losses in proptest::collection::vec(-1e6..1e6f64, 100..400), by in 0.01..100f64) {
            let found = tail(&losses);
            let all = [Confidence::P95, Confidence::P99].map(|c| (found.var(c).unwrap(), found.es(c).unwrap()));
            prop_assert!(all[1].0 >= all[0].0, "the quantile rises");
            for (var, es) in all {
                prop_assert!(es >= var * (1.0 - 1e-12), "the mean beyond a quantile is no less: {} {}", es, var);
            }
            let scaled = tail(&losses.iter().map(|loss| loss * by).collect::<Vec<_>>());
            for (confidence, (var, es)) in [Confidence::P95, Confidence::P99].into_iter().zip(all) {
                prop_assert!((scaled.var(confidence).unwrap() - var * by).abs() <= 1e-9 * var * by);
                prop_assert!((scaled.es(confidence).unwrap() - es * by).abs() <= 1e-9 * es * by);
            }
        }
    }
}
