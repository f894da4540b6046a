//! The newest best bid and offer, whichever stream told it: the depth stream or the venue's own top of book.

use super::Touch;
use crate::types::{Nanos, Top};

/// The newest touch known. Both streams number their states in one series, so the greater number is the newer state.
#[derive(Clone, Copy, Debug, Default)]
pub struct FusedTop {
    touch: Touch,
    seq: u64,
    at: Nanos,
}

impl FusedTop {
    /// Takes the touch of the depth book after an update numbered `seq`; returns whether it changed the touch.
    #[inline]
    pub fn on_book(&mut self, touch: Touch, seq: u64, at: Nanos) -> bool {
        self.offer(touch, seq, at)
    }

    /// Takes the venue's own top of book; returns whether it changed the touch.
    #[inline]
    pub fn on_top(&mut self, top: &Top) -> bool {
        self.offer(Touch { bid: top.bid, ask: top.ask }, top.meta.seq, top.meta.recv)
    }

    /// Forgets everything: the book is no longer trusted.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The newest touch.
    #[inline]
    pub fn touch(&self) -> &Touch {
        &self.touch
    }

    /// Engine time at which the touch was last confirmed or changed.
    #[inline]
    pub fn confirmed_at(&self) -> Nanos {
        self.at
    }

    #[inline]
    fn offer(&mut self, touch: Touch, seq: u64, at: Nanos) -> bool {
        if seq < self.seq {
            return false;
        }
        self.seq = seq;
        self.at = at;
        let changed = self.touch != touch;
        self.touch = touch;
        changed
    }
}
