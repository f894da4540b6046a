//! The strategy of the bench: answers each book update with one order.

use crate::strategy::{Strategy, Take, View, Wishes};
use crate::types::{Lots, Side, Ticks};

/// Orders that can be told apart at the same time; more than any stall that is worth measuring leaves unanswered.
pub(super) const CODES: u64 = 8192;

/// Smallest quantity in lots; with [`CODES`] on top every quantity has the same number of digits.
pub(super) const CODE_BASE: i64 = 1000;
const _: () = assert!(CODE_BASE + (CODES as i64) < 10_000, "every order has the same length");

/// The quantity that names the update with this number.
#[inline]
pub fn order_code(updates: u64) -> Lots {
    Lots::new(CODE_BASE + (updates % CODES) as i64)
}

/// Direction of the order that answers this update: buys and sells in turn.
#[inline]
pub fn order_side(updates: u64) -> Side {
    if updates.is_multiple_of(2) { Side::Bid } else { Side::Ask }
}

/// Price of the order that answers this update when best bid and ask are `touch`: the opposite one.
#[inline]
pub fn order_px(updates: u64, touch: [Ticks; 2]) -> Ticks {
    touch[order_side(updates).opposite() as usize]
}

/// Sends one immediate-or-cancel order at the touch for each book update. Its quantity says which update.
pub struct OrderPerTick {
    /// Updates of each instrument's book that are answered.
    answered: Box<[u64]>,
}

impl OrderPerTick {
    /// Makes the strategy for `instruments` instruments.
    pub fn new(instruments: usize) -> Self {
        Self { answered: vec![0; instruments].into_boxed_slice() }
    }
}

impl Strategy for OrderPerTick {
    #[inline]
    fn on_market(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        let updates = view.book.updates();
        // The venue's own best bid and offer also calls here; only updates of the book are answered.
        let Some(answered) = self.answered.get_mut(view.instrument.idx()) else { return };
        if *answered == updates {
            return;
        }
        *answered = updates;
        let side = order_side(updates);
        let Some(level) = view.touch.side(side.opposite()) else { return };
        wishes.take = Some(Take { side, px: level.px, qty: order_code(updates), reduce_only: false });
    }
}
