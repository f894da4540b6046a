//! The book as one would write it first: two `BTreeMap`s. The oracle of [`L2Book`](super::L2Book)'s tests and its rival
//! in the benches.

use std::collections::BTreeMap;

use super::Touch;
use crate::types::{Book, BookKind, Level, Lots, Side, Ticks};

/// Two ordered maps from price to quantity.
#[derive(Clone, Debug, Default)]
pub struct NaiveBook {
    bids: BTreeMap<Ticks, Lots>,
    asks: BTreeMap<Ticks, Lots>,
}

impl NaiveBook {
    /// Applies a snapshot or a delta.
    pub fn apply(&mut self, event: &Book<'_>) {
        if event.kind == BookKind::Snapshot {
            self.clear();
        }
        for &level in event.bids {
            self.set_level(Side::Bid, level);
        }
        for &level in event.asks {
            self.set_level(Side::Ask, level);
        }
    }

    /// Sets the quantity at a price; zero removes the level.
    pub fn set_level(&mut self, side: Side, level: Level) {
        let map = match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        };
        if level.qty.is_zero() {
            map.remove(&level.px);
        } else {
            map.insert(level.px, level.qty);
        }
    }

    /// Removes every level.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Best bid and ask.
    pub fn touch(&self) -> Touch {
        let level = |(&px, &qty): (&Ticks, &Lots)| Level { px, qty };
        Touch { bid: self.bids.last_key_value().map(level), ask: self.asks.first_key_value().map(level) }
    }

    /// The quantity at a price, zero where there is none.
    pub fn qty_at(&self, side: Side, px: Ticks) -> Lots {
        let map = match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        };
        map.get(&px).copied().unwrap_or(Lots::ZERO)
    }

    /// How many levels a side has.
    pub fn levels(&self, side: Side) -> usize {
        match side {
            Side::Bid => self.bids.len(),
            Side::Ask => self.asks.len(),
        }
    }

    /// Levels of a side from the best to the worst.
    pub fn iter(&self, side: Side) -> Box<dyn Iterator<Item = Level> + '_> {
        let level = |(&px, &qty): (&Ticks, &Lots)| Level { px, qty };
        match side {
            Side::Bid => Box::new(self.bids.iter().rev().map(level)),
            Side::Ask => Box::new(self.asks.iter().map(level)),
        }
    }
}
