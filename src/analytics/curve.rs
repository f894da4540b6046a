//! Turns a state that changes at any time into samples at equal distances, of which there are never more than a cap.
//!
//! The sample of a grid point is the state after everything that happened until then, that point included. When the cap is
//! reached every second sample is dropped and the distance doubles: what is left lies on the new grid exactly, so a long
//! session is told more coarsely and never differently.

use crate::types::Nanos;

/// Samples at equal distances.
#[derive(Clone, Debug)]
pub struct Curve<T> {
    start: Nanos,
    interval_ns: u64,
    points_max: usize,
    points: Vec<T>,
}

impl<T> Curve<T> {
    /// Makes a curve whose first sample is due at `start`.
    ///
    /// # Panics
    /// If `interval_ns` is 0 or `points_max` below 2.
    pub fn new(start: Nanos, interval_ns: u64, points_max: usize) -> Self {
        assert!(interval_ns > 0, "the interval should be above 0");
        assert!(points_max >= 2, "a curve should hold two points at least");
        Self { start, interval_ns, points_max, points: Vec::new() }
    }

    fn next_at(&self) -> Nanos {
        self.start.saturating_add(self.interval_ns.saturating_mul(self.points.len() as u64))
    }

    /// Something happens at `now`: samples what was until then. `state` is called once for each grid point before `now`.
    ///
    /// # Cost
    /// One comparison where none is due. After a long silence, at most twice the cap.
    #[inline]
    pub fn catch_up(&mut self, now: Nanos, mut state: impl FnMut() -> T) {
        while self.next_at() < now {
            let missing = now.saturating_since(self.next_at()) / self.interval_ns;
            if self.points.len() as u64 + missing >= self.points_max as u64 {
                self.halve();
            } else {
                self.points.push(state());
            }
        }
    }

    fn halve(&mut self) {
        let mut idx = 0;
        self.points.retain(|_| {
            idx += 1;
            idx % 2 == 1
        });
        self.interval_ns = self.interval_ns.saturating_mul(2);
    }

    /// Moment of the first sample.
    pub fn start(&self) -> Nanos {
        self.start
    }

    /// Distance of two samples now.
    pub fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// The samples so far.
    pub fn points(&self) -> &[T] {
        &self.points
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sample_is_the_state_after_everything_until_then() {
        let mut curve = Curve::new(Nanos::new(100), 10, 100);
        let mut state = 1;
        for (now, next) in [(100, 2), (105, 3), (110, 4), (110, 5), (131, 6)] {
            curve.catch_up(Nanos::new(now), || state);
            state = next;
        }
        // At 100 all that happened at 100; at 110 both changes of 110; at 120 and 130 nothing new.
        assert_eq!(curve.points(), [2, 5, 5, 5]);
    }

    proptest! {
        /// Whatever the cap, each sample is what a curve without a cap holds at the same moment.
        #[test]
        fn a_cap_makes_a_curve_coarser_and_not_different(
            steps in proptest::collection::vec((0u64..400, any::<u8>()), 1..300), points_max in 2usize..40
        ) {
            let (mut fine, mut coarse) = (Curve::new(Nanos::ZERO, 7, 1 << 20), Curve::new(Nanos::ZERO, 7, points_max));
            let (mut now, mut state) = (0, 0);
            for (wait, next) in steps {
                now += wait;
                fine.catch_up(Nanos::new(now), || state);
                coarse.catch_up(Nanos::new(now), || state);
                state = next;
                prop_assert!(coarse.points().len() <= points_max);
            }
            let every = (coarse.interval_ns() / fine.interval_ns()) as usize;
            let expected: Vec<u8> = fine.points().iter().copied().step_by(every).collect();
            prop_assert_eq!(coarse.points(), &expected[..]);
        }
    }
}
