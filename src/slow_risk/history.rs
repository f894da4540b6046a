//! Joint samples become joint returns of a bounded history.

use crate::types::{Lots, Money, Nanos};

/// One instrument in a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Twice the mid in ticks; zero where the book cannot be trusted or has no two sides.
    pub mid_e2: i64,
    /// Position, signed.
    pub position: Lots,
}

/// What was sampled at one moment: every instrument, in the order of their numbers, and the account.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a> {
    /// Engine time.
    pub at: Nanos,
    /// Equity; `None` before the venue told a balance.
    pub equity: Option<Money>,
    /// The instruments.
    pub instruments: &'a [Observation],
}

/// The returns of the last `capacity` steps, of all instruments at each.
///
/// An instrument without a price keeps its last one, so that its return is zero and the move is counted when the price is back. How
/// many true returns each one has is kept beside: what stands still for want of a price is no evidence of calm.
#[derive(Clone, Debug)]
pub struct ReturnHistory {
    len: usize,
    capacity: usize,
    rows: Vec<f64>,
    is_known: Vec<bool>,
    known: Vec<usize>,
    /// Row that is written next.
    at: usize,
    filled: usize,
    prices: Vec<f64>,
    newest: Vec<f64>,
    has_prices: bool,
}

impl ReturnHistory {
    /// Makes an empty one for `len` instruments and `capacity` steps.
    pub fn new(len: usize, capacity: usize) -> Self {
        Self {
            len,
            capacity,
            rows: vec![0.0; len * capacity],
            is_known: vec![false; len * capacity],
            known: vec![0; len],
            at: 0,
            filled: 0,
            prices: vec![0.0; len],
            newest: vec![0.0; len],
            has_prices: false,
        }
    }

    /// Takes the prices of a round; returns the step's returns, none for the first round.
    pub fn push(&mut self, instruments: &[Observation]) -> Option<&[f64]> {
        let range = self.at * self.len..(self.at + 1) * self.len;
        let flags = &mut self.is_known[range.clone()];
        for (idx, (seen, price)) in instruments.iter().zip(&mut self.prices).enumerate() {
            let new = seen.mid_e2 as f64;
            let is_known = new > 0.0 && *price > 0.0;
            self.newest[idx] = if is_known { new / *price - 1.0 } else { 0.0 };
            if new > 0.0 {
                *price = new;
            }
            if self.has_prices {
                let was_known = self.filled == self.capacity && flags[idx];
                self.known[idx] = self.known[idx] + usize::from(is_known) - usize::from(was_known);
                flags[idx] = is_known;
            }
        }
        if !std::mem::replace(&mut self.has_prices, true) {
            return None;
        }
        self.rows[range].copy_from_slice(&self.newest);
        self.at = (self.at + 1) % self.capacity;
        self.filled = (self.filled + 1).min(self.capacity);
        Some(&self.newest)
    }

    /// Steps that are held.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// True returns of an instrument among them.
    pub fn known(&self, idx: usize) -> usize {
        self.known[idx]
    }

    /// What `values` of the instruments would have gained at each step that is held, in no order that means anything.
    pub fn gains<'a>(&'a self, values: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let rows = self.rows.chunks_exact(self.len.max(1)).take(self.filled);
        rows.map(move |row| row.iter().zip(values).map(|(r, v)| r * v).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(history: &mut ReturnHistory, mids: &[i64]) -> Option<Vec<f64>> {
        let seen: Vec<Observation> = mids.iter().map(|&mid_e2| Observation { mid_e2, position: Lots::ZERO }).collect();
        history.push(&seen).map(<[f64]>::to_vec)
    }

    #[test]
    fn returns_are_relative_and_the_oldest_is_forgotten() {
        let mut history = ReturnHistory::new(2, 2);
        assert_eq!(push(&mut history, &[100, 200]), None);
        assert_eq!(push(&mut history, &[150, 100]), Some(vec![0.5, -0.5]));
        assert_eq!(push(&mut history, &[75, 100]), Some(vec![-0.5, 0.0]));
        assert_eq!(push(&mut history, &[150, 125]), Some(vec![1.0, 0.25]));
        assert_eq!(history.filled(), 2);
        let mut gains: Vec<f64> = history.gains(&[10.0, -4.0]).collect();
        gains.sort_by(f64::total_cmp);
        assert_eq!(gains, [-5.0, 9.0], "the first step is gone");
    }

    #[test]
    fn a_price_that_is_missing_is_no_return_and_its_move_is_not_lost() {
        let mut history = ReturnHistory::new(1, 3);
        push(&mut history, &[0]);
        assert_eq!(push(&mut history, &[100]), Some(vec![0.0]));
        assert_eq!(push(&mut history, &[0]), Some(vec![0.0]));
        assert_eq!(history.known(0), 0);
        assert_eq!(push(&mut history, &[50]), Some(vec![-0.5]));
        assert_eq!(history.known(0), 1);
        for _ in 0..3 {
            push(&mut history, &[0]);
        }
        assert_eq!((history.known(0), history.filled()), (0, 3), "it has left the history");
        for _ in 0..5 {
            push(&mut history, &[50]);
        }
        assert_eq!(history.known(0), 3);
    }
}
