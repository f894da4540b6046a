//! The same simulation by Tercel and by hftbacktest: what its bench times and its test compares.
//!
//! The strategy decides by the market alone, never by its own fills: every 100 ms it cancels what is left of the last grid and places five
//! bids and five asks around the touch, post-only. So each order lives for itself, and one that ends differently changes no other.

pub mod ours;
pub mod tape;
pub mod theirs;

use tercel::types::{Lots, Side, Ticks};

/// Time between two grids, in nanoseconds.
pub const STEP_NS: u64 = 100_000_000;

/// From a decision to the venue; odd, so that no order meets a message in the same nanosecond.
pub const ENTRY_NS: u64 = 1_000_001;

/// From the venue to the strategy.
pub const ACK_NS: u64 = 1_000_000;

/// Orders a side.
pub const ORDERS: i64 = 5;

/// Ticks between them.
pub const GRID_TICKS: i64 = 3;

/// Quantity of each.
pub const QTY: Lots = Lots::new(20);

/// The grid around a touch: side and price, in the order in which they are placed.
pub fn grid(best_bid: Ticks, best_ask: Ticks) -> impl Iterator<Item = (Side, Ticks)> {
    (0..ORDERS).flat_map(move |n| {
        let off = n * GRID_TICKS;
        [(Side::Bid, Ticks::new(best_bid.get() - off)), (Side::Ask, Ticks::new(best_ask.get() + off))]
    })
}

/// What became of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Lots filled.
    pub filled: i64,
    /// When it was filled whole at the venue, if it was.
    pub filled_at: Option<u64>,
}
