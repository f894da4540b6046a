//! Turns fills and the mids after them into markouts: what the market did once we had traded.
//!
//! The markout of a fill at a horizon is the mid then, less its price, in the direction of the fill, in hundredths of a percent of
//! its price: above zero, the fill had earned by then; below, whoever traded with us knew better. Fills count by their value,
//! makers apart from takers. A fill whose horizon lies beyond the end of the session does not count for that horizon.

use std::collections::VecDeque;

use super::sum::{BpsSum, bps_of_mid};
use crate::types::{InstrumentId, Nanos, Side, Ticks};

/// How long after a fill the mid is looked at; 0 is the mid at which the fill was told.
pub const HORIZONS_NS: [u64; 7] =
    [0, 100_000_000, 1_000_000_000, 5_000_000_000, 10_000_000_000, 30_000_000_000, 60_000_000_000];

/// A fill that waits for its horizon.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// The instrument.
    pub instrument: InstrumentId,
    /// Direction.
    pub side: Side,
    /// Price.
    pub px: Ticks,
    /// Value, as a weight.
    pub value: f64,
    /// Whether we rested.
    pub is_maker: bool,
}

/// Markouts at every horizon.
#[derive(Clone, Debug, Default)]
pub struct Markouts {
    /// By horizon, the oldest first: horizons are fixed, so what comes first is due first.
    waiting: [VecDeque<(Nanos, Mark)>; HORIZONS_NS.len()],
    /// By horizon: taker and maker.
    sums: [[BpsSum; 2]; HORIZONS_NS.len()],
}

impl Markouts {
    /// A fill was told at `at`.
    pub fn on_fill(&mut self, mark: Mark, at: Nanos) {
        for (waiting, horizon_ns) in self.waiting.iter_mut().zip(HORIZONS_NS) {
            waiting.push_back((at.saturating_add(horizon_ns), mark));
        }
    }

    /// Something happens at `now`: marks the fills whose horizon lies before it. `mid_e2` tells twice the mid in ticks.
    ///
    /// # Cost
    /// A comparison for each horizon, where nothing is due.
    #[inline]
    pub fn catch_up(&mut self, now: Nanos, mid_e2: impl Fn(InstrumentId) -> Option<i64>) {
        for (waiting, sums) in self.waiting.iter_mut().zip(&mut self.sums) {
            while let Some((due, mark)) = waiting.front()
                && *due < now
            {
                if let Some(bps) = mid_e2(mark.instrument).and_then(|mid_e2| bps_of_mid(mark.side, mark.px, mid_e2)) {
                    sums[usize::from(mark.is_maker)].add(bps, mark.value);
                }
                waiting.pop_front();
            }
        }
    }

    /// Sums by horizon, for takers and makers.
    pub fn sums(&self) -> impl Iterator<Item = (u64, &[BpsSum; 2])> {
        HORIZONS_NS.into_iter().zip(&self.sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_is_marked_with_the_mid_at_its_horizon_and_not_before() {
        let mut markouts = Markouts::default();
        let second = |s: u64| Nanos::new(s * 1_000_000_000);
        let mark =
            |side, is_maker, value| Mark { instrument: InstrumentId(0), side, px: Ticks::new(10_000), value, is_maker };
        markouts.on_fill(mark(Side::Bid, true, 3.0), second(100));
        markouts.on_fill(mark(Side::Ask, true, 1.0), second(100));
        markouts.on_fill(mark(Side::Ask, false, 5.0), second(100));
        // The mid is 10,000.5 until 101 s inclusive, then 10,002, and unknown from 120 s on.
        markouts.catch_up(second(101), |_| Some(20_001));
        assert_eq!(markouts.sums[2], [BpsSum::default(); 2], "what happens at the horizon itself counts too");
        markouts.catch_up(Nanos::new(101_000_000_001), |_| Some(20_001));
        markouts.catch_up(second(120), |_| Some(20_004));
        markouts.catch_up(second(200), |_| None);
        let at = |idx: usize| markouts.sums[idx].map(|sum| (sum.count, sum.mean()));
        // Half a tick of 10,000 is half a hundredth of a percent; bought 3, sold 1: (3 · 0.5 − 1 · 0.5) / 4.
        for idx in [0, 1, 2] {
            assert_eq!(at(idx), [(1, Some(-0.5)), (2, Some(0.25))]);
        }
        assert_eq!(at(3), [(1, Some(-2.0)), (2, Some(1.0))]);
        assert_eq!(at(5), [(0, None), (0, None)], "a mid that is not known marks nothing");
    }
}
