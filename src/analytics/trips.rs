//! Counts round trips as [`Trip`] tells them: from flat to flat.

pub use crate::entry::After;
use crate::entry::Trip;
use crate::types::{Lots, Money, Nanos};

/// Trips of one instrument or of all, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TripCounts {
    /// Trips that ended.
    pub closed: u64,
    /// Those that earned.
    pub wins: u64,
    /// Those that lost; one that did neither counts as neither.
    pub losses: u64,
    /// What the winning ones earned.
    pub won: Money,
    /// What the losing ones lost, as an amount above zero.
    pub lost: Money,
    /// The best result.
    pub best: Money,
    /// The worst result.
    pub worst: Money,
    /// Time from the opening to the closing fill, all trips together.
    pub held_ns: u128,
}

impl TripCounts {
    fn note(&mut self, result: Money, held_ns: u64) {
        self.closed += 1;
        self.held_ns += u128::from(held_ns);
        if result > Money::ZERO {
            self.wins += 1;
            self.won = self.won.saturating_add(result);
        } else if result < Money::ZERO {
            self.losses += 1;
            self.lost = self.lost.saturating_sub(result);
        }
        (self.best, self.worst) = match self.closed {
            1 => (result, result),
            _ => (self.best.max(result), self.worst.min(result)),
        };
    }

    /// Adds what `other` counts.
    pub fn add(&mut self, other: &Self) {
        if other.closed == 0 {
            return;
        }
        (self.best, self.worst) = match self.closed {
            0 => (other.best, other.worst),
            _ => (self.best.max(other.best), self.worst.min(other.worst)),
        };
        self.closed += other.closed;
        self.wins += other.wins;
        self.losses += other.losses;
        self.won = self.won.saturating_add(other.won);
        self.lost = self.lost.saturating_add(other.lost);
        self.held_ns += other.held_ns;
    }

    /// What all trips that ended did to the wallet.
    pub fn net(&self) -> Money {
        self.won.saturating_sub(self.lost)
    }
}

/// Follows one instrument.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trips {
    trip: Trip,
    counts: TripCounts,
}

impl Trips {
    /// Begins with a position that was there before: its trip began now.
    pub fn begin(&mut self, position: Lots, at: Nanos) {
        self.trip.begin(position, at);
    }

    /// An execution of `qty` for `fee` led to `after`; returns the result of the trip that it ended, if it did.
    pub fn on_fill(&mut self, qty: Lots, fee: Money, after: After, at: Nanos) -> Option<Money> {
        if let Some(ended) = self.trip.on_fill(qty, fee, after, at) {
            self.counts.note(ended.result, at.saturating_since(ended.opened_at));
            return Some(ended.result);
        }
        None
    }

    /// The trips that ended.
    pub fn counts(&self) -> &TripCounts {
        &self.counts
    }

    /// Whether a trip is under way.
    pub fn is_open(&self) -> bool {
        self.trip.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives (signed quantity, fee, realised so far before fees).
    fn follow(fills: &[(i64, i128, i128)]) -> (Trips, Money) {
        let (mut trips, mut position, mut fees) = (Trips::default(), 0, 0);
        let mut wallet = Money::ZERO;
        for (at, &(qty, fee, realised)) in fills.iter().enumerate() {
            position += qty;
            fees += fee;
            wallet = Money::new(realised - fees);
            let after = After { position: Lots::new(position), wallet };
            trips.on_fill(Lots::new(qty.abs()), Money::new(fee), after, Nanos::new(at as u64 * 10));
        }
        (trips, wallet)
    }

    #[test]
    fn a_trip_is_from_flat_to_flat_with_all_its_fees() {
        let (trips, wallet) = follow(&[(5, 2, 0), (5, 2, 0), (-4, 1, 40), (-6, 3, 100), (-1, 1, 100), (1, 1, 99)]);
        let counts = trips.counts();
        assert_eq!((counts.closed, counts.wins, counts.losses), (2, 1, 1));
        assert_eq!((counts.won, counts.lost), (Money::new(92), Money::new(3)));
        assert_eq!((counts.best, counts.worst), (Money::new(92), Money::new(-3)));
        assert_eq!(counts.held_ns, 30 + 10);
        assert_eq!(counts.net(), wallet);
        assert!(!trips.is_open());
    }

    #[test]
    fn a_turn_ends_one_trip_and_begins_the_next_with_its_part_of_the_fee() {
        // Ten sold at a fee of ten: four close, six open.
        let (trips, wallet) = follow(&[(4, 1, 0), (-10, 10, 50), (6, 2, 30)]);
        let counts = trips.counts();
        assert_eq!((counts.best, counts.worst), (Money::new(50 - 1 - 4), Money::new(-20 - 6 - 2)));
        assert_eq!(counts.net(), wallet);
    }

    #[test]
    fn what_is_open_is_in_no_trip() {
        let (trips, wallet) = follow(&[(4, 1, 0), (-2, 1, 7)]);
        assert!(trips.is_open());
        assert_eq!((trips.counts().closed, wallet), (0, Money::new(5)));
    }
}
