//! The newest round trips, and what is measured of them.

use std::collections::VecDeque;

use super::student::t_quantile;
use crate::types::Money;

/// Most trips that a window may hold.
pub const WINDOW_MAX: usize = 10_000;

/// Fewest effective trips of which anything is said: below, no spread can be estimated.
const EFFECTIVE_MIN: f64 = 2.0;

/// What was measured of the trips in a window. Amounts in whole units of the settlement currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measures {
    /// Trips in the window.
    pub trips: usize,
    /// Those that earned.
    pub wins: usize,
    /// Mean result of a trip, what is lost in open positions taken off.
    pub mean: f64,
    /// Standard deviation of the results, corrected for what trips share with their neighbours.
    pub deviation: f64,
    /// Number of independent trips that would tell as much: at most `trips`.
    pub effective: f64,
    /// One-sided lower confidence bound of the mean; `None` if the trips tell none.
    pub lower: Option<f64>,
}

/// The results of the newest trips, oldest first.
#[derive(Clone, Debug)]
pub struct TripWindow {
    results: VecDeque<Money>,
    size: usize,
    all: u64,
}

impl TripWindow {
    /// Makes a window of `size` trips.
    ///
    /// # Panics
    /// If `size` is not 2 to [`WINDOW_MAX`].
    pub fn new(size: usize) -> Self {
        assert!((2..=WINDOW_MAX).contains(&size), "a window holds 2 to {WINDOW_MAX} trips, not {size}");
        Self { results: VecDeque::with_capacity(size), size, all: 0 }
    }

    /// A trip has ended with this result, after fees and funding; the oldest one leaves a full window.
    pub fn push(&mut self, result: Money) {
        if self.results.len() == self.size {
            self.results.pop_front();
        }
        self.results.push_back(result);
        self.all += 1;
    }

    /// Trips that ended in all.
    pub fn all(&self) -> u64 {
        self.all
    }

    /// Trips in the window.
    pub fn len(&self) -> usize {
        self.results.len()
    }

    /// Whether no trip has ended.
    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// Measures the window at a one-sided confidence between a half and one. Of `open`, what positions that are still open would
    /// bring if they were closed at the mid, a loss is taken off the trips' sum and a profit is not counted. `None` without a
    /// trip.
    ///
    /// The bound is Student's: mean − t·s/√nₑ with nₑ − 1 degrees of freedom. Neighbouring trips are rarely independent, so
    /// their number n is replaced by nₑ = n·(1 − r)/(1 + r), where r is the correlation of each result with the next one (Bayley and
    /// Hammersley, 1946, for a series whose dependence fades by r with each step); r below zero counts as zero. A sample whose
    /// members hang together also varies less than what it is drawn from: s² = Σ(x − mean)²/(n·(1 − 1/nₑ)).
    ///
    /// # Cost
    /// Three passes over the window and one quantile.
    pub fn measures(&self, confidence: f64, open: Money) -> Option<Measures> {
        let origin = *self.results.front()?;
        let count = self.results.len();
        let n = count as f64;
        // Counted from one of them, so that results which are all the same differ by exactly nothing.
        let results = || self.results.iter().map(|result| result.saturating_sub(origin).to_f64_lossy());
        let middle = results().sum::<f64>() / n;
        let around = |x: f64| x - middle;
        let squares: f64 = results().map(|x| around(x) * around(x)).sum();
        let products: f64 = results().zip(results().skip(1)).map(|(x, next)| around(x) * around(next)).sum();
        let r = if squares > 0.0 { (products / squares).clamp(0.0, 1.0) } else { 0.0 };
        let effective = n * (1.0 - r) / (1.0 + r);
        let mean = origin.to_f64_lossy() + middle + open.min(Money::ZERO).to_f64_lossy() / n;
        let is_told = effective >= EFFECTIVE_MIN;
        let deviation = if is_told { (squares / (n * (1.0 - 1.0 / effective))).sqrt() } else { f64::NAN };
        let bound = |t: f64| mean - t * deviation / effective.sqrt();
        let lower = t_quantile(confidence, effective - 1.0).filter(|_| is_told).map(bound).filter(|b| b.is_finite());
        let wins = self.results.iter().filter(|&&result| result > Money::ZERO).count();
        Some(Measures { trips: count, wins, mean, deviation, effective, lower })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn micros(n: i64) -> Money {
        Money::new(i128::from(n) * (Money::ONE.get() / 1_000_000))
    }

    fn window(results: impl IntoIterator<Item = i64>) -> TripWindow {
        let mut window = TripWindow::new(WINDOW_MAX);
        results.into_iter().for_each(|result| window.push(micros(result)));
        window
    }

    #[test]
    fn the_bound_is_students() {
        // Mean 3, squares 10, no neighbour resembles the next (r < 0): s = √2.5, t(0.95, 4) = 2.131847.
        let found =
            window([3_000_000, 5_000_000, 1_000_000, 4_000_000, 2_000_000]).measures(0.95, Money::ZERO).unwrap();
        assert_eq!((found.trips, found.wins, found.mean, found.effective), (5, 5, 3.0, 5.0));
        assert!((found.deviation - 2.5f64.sqrt()).abs() < 1e-12);
        assert!((found.lower.unwrap() - (3.0 - 2.131_846_8 * (2.5f64 / 5.0).sqrt())).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn trips_that_follow_each_other_count_for_fewer() {
        // In runs of five: r is high.
        let runs = (0..40).map(|idx| if idx / 5 % 2 == 0 { 1_000_000 } else { -500_000 });
        let mixed = (0..40).map(|idx| if idx % 2 == 0 { 1_000_000 } else { -500_000 });
        let [runs, mixed] = [window(runs), window(mixed)].map(|w| w.measures(0.95, Money::ZERO).unwrap());
        assert_eq!((runs.mean, mixed.mean, mixed.effective), (0.25, 0.25, 40.0));
        // r = (32 − 7)·0.75²/(40·0.75²) = 25/40... less one pair that has no next: (32 − 7)/40.
        let r = 25.0 / 40.0;
        assert!((runs.effective - 40.0 * (1.0 - r) / (1.0 + r)).abs() < 1e-9, "{runs:?}");
        assert!(runs.lower < mixed.lower);
        // A trend is all dependence: nothing can be said of its mean.
        let trend = window((0..100).map(|n| 1_000_000 + n)).measures(0.95, Money::ZERO).unwrap();
        assert!(trend.effective < 3.0, "{trend:?}");
    }

    #[test]
    fn open_losses_are_taken_off_and_open_profits_are_not_counted() {
        let window = window([2_000_000, 1_000_000, 3_000_000, 2_000_000]);
        let [flat, up, down] = [0, 8_000_000, -8_000_000].map(|open| window.measures(0.95, micros(open)).unwrap());
        assert_eq!(flat, up);
        assert!((flat.mean - down.mean - 2.0).abs() < 1e-12);
        assert!((flat.lower.unwrap() - down.lower.unwrap() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn results_that_are_all_the_same_are_their_own_bound() {
        for count in 2..60 {
            let found = window((0..count).map(|_| -108_700)).measures(0.95, Money::ZERO).unwrap();
            assert_eq!((found.deviation, found.effective), (0.0, count as f64), "{found:?}");
            assert_eq!(found.lower, Some(found.mean));
        }
    }

    #[test]
    fn one_trip_bounds_nothing_and_none_is_no_measure() {
        assert_eq!(window([]).measures(0.95, Money::ZERO), None);
        assert_eq!(window([5_000_000]).measures(0.95, Money::ZERO).unwrap().lower, None);
    }

    /// Numbers from 0 to 1 (SplitMix64).
    fn uniform(state: &mut u64) -> f64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    #[test]
    fn the_bound_lies_below_the_true_mean_as_often_as_it_says() {
        // 4,000 records of 40 trips each around a mean of 100, independent and each half of the last one.
        let mut state = 1;
        for (memory, most) in [(0.0, 0.065), (0.5, 0.085)] {
            let mut above = 0;
            for _ in 0..4_000 {
                let mut shock = 0.0;
                let mut next = || {
                    let noise: f64 = (0..12).map(|_| uniform(&mut state)).sum::<f64>() - 6.0;
                    shock = memory * shock + noise;
                    100_000_000 + (shock * 50_000_000.0) as i64
                };
                (0..20).for_each(|_| _ = next());
                let record = window((0..40).map(|_| next()).collect::<Vec<_>>());
                above += u32::from(record.measures(0.95, Money::ZERO).unwrap().lower.unwrap_or(f64::MIN) > 100.0);
            }
            let share = f64::from(above) / 4_000.0;
            println!("memory {memory}: above the true mean in {share} of all records");
            assert!((0.03..most).contains(&share), "memory {memory}: {share}");
        }
    }

    proptest! {
        #[test]
        fn a_full_window_measures_the_newest_alone(results in proptest::collection::vec(-1_000_000i64..1_000_000, 1..120), size in 2usize..50) {
            let mut bounded = TripWindow::new(size);
            results.iter().for_each(|&result| bounded.push(micros(result)));
            let newest = window(results.iter().copied().skip(results.len().saturating_sub(size)));
            prop_assert_eq!((bounded.len(), bounded.all()), (results.len().min(size), results.len() as u64));
            let measured = |w: &TripWindow| format!("{:?}", w.measures(0.95, micros(-7)));
            prop_assert_eq!(measured(&bounded), measured(&newest));
        }

        #[test]
        fn bounds_are_below_the_mean_fall_with_confidence_and_move_with_the_results(
            results in proptest::collection::vec(-1_000_000i64..1_000_000, 4..80), shift in -500_000i64..500_000,
        ) {
            let at = |confidence, shift| {
                window(results.iter().map(|result| result + shift)).measures(confidence, Money::ZERO).unwrap()
            };
            let (found, surer, moved) = (at(0.95, 0), at(0.99, 0), at(0.95, shift));
            prop_assert!(found.effective <= results.len() as f64);
            if let (Some(lower), Some(surer), Some(moved)) = (found.lower, surer.lower, moved.lower) {
                prop_assert!(surer <= lower && lower <= found.mean);
                prop_assert!((moved - lower - shift as f64 / 1e6).abs() < 1e-6);
            }
        }
    }
}
