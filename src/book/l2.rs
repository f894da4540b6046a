//! An order book by price level.

use super::ladder::Ladder;
use crate::types::{Book, BookKind, Level, Lots, Side, Ticks};

/// Best bid and best ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Touch {
    /// Best bid; `None` if nobody buys.
    pub bid: Option<Level>,
    /// Best ask; `None` if nobody sells.
    pub ask: Option<Level>,
}

impl Touch {
    /// The level of a side.
    #[inline]
    pub const fn side(&self, side: Side) -> Option<Level> {
        match side {
            Side::Bid => self.bid,
            Side::Ask => self.ask,
        }
    }

    /// Whether the best bid is at or above the best ask, which no venue shows for long.
    #[inline]
    pub fn is_crossed(&self) -> bool {
        matches!((self.bid, self.ask), (Some(bid), Some(ask)) if bid.px >= ask.px)
    }

    /// Ask less bid in ticks; `None` unless both are there.
    #[inline]
    pub fn spread(&self) -> Option<i64> {
        Some(self.ask?.px.saturating_diff(self.bid?.px))
    }
}

/// What taking a quantity from one side would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impact {
    /// What the side holds of the wanted quantity within the limit.
    pub qty: Lots,
    /// Worst price touched; `None` if nothing can be taken.
    pub worst_px: Option<Ticks>,
    /// Sum of price times quantity in ticks times lots.
    pub px_qty: i128,
}

/// An order book by price level: absolute quantities, no limit on the range of prices.
///
/// # Cost
/// A change near the touch costs a few nanoseconds; see the benches and the module `ladder` for which input is slow.
/// Memory is fixed at construction, see [`Self::memory_bytes`]: 790 kB for a book of the default size, of which far levels
/// are only touched when used, so 500 of them stay below 400 MB; a scan's books are fitted into `scan.books-mib-max`.
pub struct L2Book {
    bids: Ladder,
    asks: Ladder,
    updates: u64,
}

impl L2Book {
    /// Makes an empty book.
    ///
    /// # Panics
    /// If `window_ticks` is not a power of two of at least 128 or `far_levels_max` is 0.
    pub fn new(window_ticks: usize, far_levels_max: usize) -> Self {
        Self {
            bids: Ladder::new(Side::Bid, window_ticks, far_levels_max),
            asks: Ladder::new(Side::Ask, window_ticks, far_levels_max),
            updates: 0,
        }
    }

    /// Memory of a book in bytes: for each side a quantity and a bit for each tick of the window, and a price with its
    /// quantity for each far level.
    pub const fn memory_bytes(window_ticks: usize, far_levels_max: usize) -> usize {
        2 * (window_ticks * 8 + window_ticks / 8 + far_levels_max * 16)
    }

    /// Applies a snapshot or a delta, all of it.
    #[inline]
    pub fn apply(&mut self, event: &Book<'_>) {
        if event.kind == BookKind::Snapshot {
            self.clear();
        }
        for level in event.bids {
            self.bids.set(level.px, level.qty);
        }
        for level in event.asks {
            self.asks.set(level.px, level.qty);
        }
        self.updates += 1;
    }

    /// Sets the quantity at a price; zero removes the level, also one that is not there.
    #[inline]
    pub fn set_level(&mut self, side: Side, level: Level) {
        match side {
            Side::Bid => self.bids.set(level.px, level.qty),
            Side::Ask => self.asks.set(level.px, level.qty),
        }
    }

    /// Removes every level.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Best bid and ask.
    #[inline]
    pub fn touch(&self) -> Touch {
        let level = |best: Option<(Ticks, Lots)>| best.map(|(px, qty)| Level { px, qty });
        Touch { bid: level(self.bids.best()), ask: level(self.asks.best()) }
    }

    /// The quantity at a price, zero if there is no level.
    pub fn qty_at(&self, side: Side, px: Ticks) -> Lots {
        self.side(side).qty_at(px)
    }

    /// How many levels a side has.
    pub fn levels(&self, side: Side) -> usize {
        self.side(side).len()
    }

    /// How many book events were applied.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// How many levels were dropped, the worst first, because the far list was full: above zero the deep book is not
    /// complete.
    pub fn levels_dropped(&self) -> u64 {
        self.bids.dropped() + self.asks.dropped()
    }

    /// Levels of a side from the best to the worst.
    pub fn iter(&self, side: Side) -> impl Iterator<Item = Level> + '_ {
        self.side(side).iter().map(|(px, qty)| Level { px, qty })
    }

    /// Writes the best levels of a side into `out`, the best first, and returns how many there were.
    pub fn depth(&self, side: Side, out: &mut [Level]) -> usize {
        let mut count = 0;
        for (place, level) in out.iter_mut().zip(self.iter(side)) {
            *place = level;
            count += 1;
        }
        count
    }

    /// The quantity that stands at `limit` or better; saturates.
    ///
    /// # Cost
    /// A few nanoseconds for each level up to there.
    pub fn cumulative_qty(&self, side: Side, limit: Ticks) -> Lots {
        let is_within = |level: &Level| match side {
            Side::Bid => level.px >= limit,
            Side::Ask => level.px <= limit,
        };
        self.iter(side).take_while(is_within).fold(Lots::ZERO, |sum, level| sum.saturating_add(level.qty))
    }

    /// What taking up to `qty` from `side` costs, no worse than `limit`.
    pub fn impact(&self, side: Side, qty: Lots, limit: Option<Ticks>) -> Impact {
        let mut impact = Impact { qty: Lots::ZERO, worst_px: None, px_qty: 0 };
        for level in self.iter(side) {
            let is_beyond = limit.is_some_and(|limit| match side {
                Side::Bid => level.px < limit,
                Side::Ask => level.px > limit,
            });
            let rest = qty.saturating_sub(impact.qty);
            if is_beyond || rest.get() <= 0 {
                break;
            }
            let take = rest.min(level.qty);
            impact.qty = impact.qty.saturating_add(take);
            impact.worst_px = Some(level.px);
            impact.px_qty += i128::from(level.px.get()) * i128::from(take.get());
        }
        impact
    }

    fn side(&self, side: Side) -> &Ladder {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        self.bids.assert_invariants();
        self.asks.assert_invariants();
    }
}
