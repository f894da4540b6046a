//! One side of a book: a dense window of prices near the best, and an ordered list of those far from it.
//!
//! Why this layout, by the traffic. How far from the best price of its side a change lies, as a share of all changes:
//!
//! ```text
//! ticks from the best                          16    64   256  1,024  8,192  16,384
//! Bybit BTCUSDT, 200 levels                    5 %  19 %  84 %  100 %  100 %   100 %
//! Bybit DOGEUSDT, 200 levels                  44 %  83 % 100 %  100 %  100 %   100 %
//! Binance USD-M BTCUSDT, all levels            5 %  12 %  40 %   80 %   92 %    95 %
//! ```
//!
//! So a window of some thousand prices takes nearly all of them, and there a level is one array cell and one bit. A tree pays for
//! order at every level on every change; here only the far list is ordered. The slow input is a feed that moves many far
//! levels: each costs a binary search and a move of the levels between it and the window; they are a twentieth of the widest
//! feed, which is the benches' second one.
//!
//! ```text
//! keys (better ──▶)
//!   far: sorted, worst first │ window: quantity per key, one bit each │ nothing is better than the window
//!   ────────────────────────┤lo ········ best ····················· ├ lo + window
//! ```
//!
//! A key is the price for bids and its negative for asks, so that "better" is "greater" and both sides share the code.

use crate::types::{Lots, Side, Ticks};

const WORD_BITS: i64 = 64;

/// Greatest price in ticks, either way; far below the range of `i64`, so that no sum of a key and a window overflows.
const KEY_MAX: u64 = 1 << 60;

pub(super) struct Ladder {
    side: Side,
    /// Quantity of key `k` at `k & mask`; meaningful where the bit of `k` is set.
    window: Box<[i64]>,
    /// Bit of key `k` at `k & mask`; set where there is a level.
    occupied: Box<[u64]>,
    mask: i64,
    /// Least key of the window, a multiple of 64.
    lo: i64,
    /// Greatest key with a level; `None` if the side is empty. It always lies in the window.
    best: Option<i64>,
    near_count: usize,
    /// Levels below the window by ascending key: the one nearest to the window is last.
    far: Vec<(i64, i64)>,
    far_max: usize,
    dropped: u64,
}

impl Ladder {
    /// Makes an empty side with a window of `window_ticks` prices (a power of two, at least 128) and room for `far_max`
    /// levels outside of it.
    pub(super) fn new(side: Side, window_ticks: usize, far_max: usize) -> Self {
        assert!(window_ticks.is_power_of_two() && window_ticks >= 128, "window of {window_ticks} ticks");
        assert!(far_max >= 1, "far list of {far_max} levels");
        Self {
            side,
            window: vec![0; window_ticks].into_boxed_slice(),
            occupied: vec![0; window_ticks / 64].into_boxed_slice(),
            mask: window_ticks as i64 - 1,
            lo: 0,
            best: None,
            near_count: 0,
            far: Vec::with_capacity(far_max),
            far_max,
            dropped: 0,
        }
    }

    #[inline]
    fn key(&self, px: Ticks) -> i64 {
        match self.side {
            Side::Bid => px.get(),
            Side::Ask => px.get().wrapping_neg(),
        }
    }

    #[inline]
    fn px(&self, key: i64) -> Ticks {
        match self.side {
            Side::Bid => Ticks::new(key),
            Side::Ask => Ticks::new(key.wrapping_neg()),
        }
    }

    #[inline]
    fn width(&self) -> i64 {
        self.mask + 1
    }

    #[inline]
    fn is_near(&self, key: i64) -> bool {
        (key.wrapping_sub(self.lo) as u64) < self.width() as u64
    }

    #[inline]
    fn word_and_bit(&self, key: i64) -> (usize, u64) {
        let cell = (key & self.mask) as usize;
        (cell / 64, 1 << (cell % 64))
    }

    pub(super) fn clear(&mut self) {
        self.occupied.fill(0);
        self.near_count = 0;
        self.far.clear();
        self.best = None;
    }

    pub(super) fn len(&self) -> usize {
        self.near_count + self.far.len()
    }

    /// Levels that were dropped because the far list was full.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    #[inline]
    pub(super) fn best(&self) -> Option<(Ticks, Lots)> {
        let key = self.best?;
        Some((self.px(key), Lots::new(self.window[(key & self.mask) as usize])))
    }

    /// Sets the quantity at a price; zero removes the level.
    #[inline]
    pub(super) fn set(&mut self, px: Ticks, qty: Lots) {
        let key = self.key(px);
        if key.unsigned_abs() > KEY_MAX {
            // No market has such a price; a level there is dropped like one that a full list cannot hold.
            self.dropped += u64::from(qty.get() != 0);
            return;
        }
        if self.best.is_none() {
            if qty.get() == 0 {
                return;
            }
            self.lo = Self::window_start(key, self.width());
        }
        if self.is_near(key) {
            self.set_near(key, qty.get());
        } else if key < self.lo {
            self.set_far(key, qty.get());
        } else if qty.get() != 0 {
            // Better than the window: follow it.
            self.slide_to(key);
            self.set_near(key, qty.get());
        }
    }

    #[inline]
    fn set_near(&mut self, key: i64, qty: i64) {
        let (word, bit) = self.word_and_bit(key);
        let was = self.occupied[word] & bit != 0;
        if qty != 0 {
            self.window[(key & self.mask) as usize] = qty;
            self.occupied[word] |= bit;
            self.near_count += usize::from(!was);
            if self.best.is_none_or(|best| key > best) {
                self.best = Some(key);
            }
        } else if was {
            self.occupied[word] &= !bit;
            self.near_count -= 1;
            if self.best == Some(key) {
                self.find_best_below(key);
            }
        }
    }

    /// Looks for the best level after the one at `key` has gone.
    #[inline]
    fn find_best_below(&mut self, key: i64) {
        self.best = self.next_near_below(key);
        match self.best {
            // The touch has come close to the worse end: take levels in from the far list before it gets there.
            Some(best) if best - self.lo < self.width() / 8 && !self.far.is_empty() => self.slide_to(best),
            Some(_) => {}
            None => {
                if let Some(&(nearest, _)) = self.far.last() {
                    self.slide_to(nearest);
                    self.best = Some(nearest);
                }
            }
        }
    }

    /// The greatest key with a level in the window that is below `key`.
    #[inline]
    fn next_near_below(&self, key: i64) -> Option<i64> {
        if self.near_count == 0 || key <= self.lo {
            return None;
        }
        let mut at = key - 1;
        let (word, bit) = self.word_and_bit(at);
        let mut bits = self.occupied[word] & (bit | (bit - 1));
        loop {
            if bits != 0 {
                let top = i64::from(63 - bits.leading_zeros());
                return Some((at & !(WORD_BITS - 1)) + top);
            }
            // `lo` is a multiple of 64, so whole words remain.
            at = (at & !(WORD_BITS - 1)) - 1;
            if at < self.lo {
                return None;
            }
            bits = self.occupied[self.word_and_bit(at).0];
        }
    }

    /// Where a window begins that holds `key` with about an eighth of its width above it; a multiple of 64.
    #[inline]
    fn window_start(key: i64, width: i64) -> i64 {
        ((key + width / 8 - width) | (WORD_BITS - 1)) + 1
    }

    /// Moves the window so that `key` lies in its better part; levels that fall out go to the far list, levels of the
    /// far list that it now covers come in.
    #[cold]
    fn slide_to(&mut self, key: i64) {
        let lo_new = Self::window_start(key, self.width());
        if lo_new > self.lo {
            // Everything below the new window leaves, worst first, which keeps the far list sorted.
            let end = lo_new.min(self.lo.saturating_add(self.width()));
            let mut word_key = self.lo;
            while word_key < end && self.near_count > 0 {
                let word = self.word_and_bit(word_key).0;
                let mut bits = std::mem::take(&mut self.occupied[word]);
                while bits != 0 {
                    let gone = word_key + i64::from(bits.trailing_zeros());
                    bits &= bits - 1;
                    self.near_count -= 1;
                    let qty = self.window[(gone & self.mask) as usize];
                    self.push_far_nearest(gone, qty);
                }
                word_key += WORD_BITS;
            }
        }
        self.lo = lo_new;
        while let Some(&(nearest, qty)) = self.far.last() {
            if !self.is_near(nearest) {
                break;
            }
            self.far.pop();
            let (word, bit) = self.word_and_bit(nearest);
            self.window[(nearest & self.mask) as usize] = qty;
            self.occupied[word] |= bit;
            self.near_count += 1;
        }
    }

    fn push_far_nearest(&mut self, key: i64, qty: i64) {
        if self.far.len() == self.far_max {
            self.far.remove(0);
            self.dropped += 1;
        }
        self.far.push((key, qty));
    }

    fn set_far(&mut self, key: i64, qty: i64) {
        match self.far.binary_search_by_key(&key, |&(k, _)| k) {
            Ok(idx) if qty == 0 => {
                self.far.remove(idx);
            }
            Ok(idx) => self.far[idx].1 = qty,
            Err(_) if qty == 0 => {}
            Err(idx) if self.far.len() < self.far_max => self.far.insert(idx, (key, qty)),
            // Full: the worst level of all is the one that goes, be it the new one.
            Err(0) => self.dropped += 1,
            Err(idx) => {
                self.dropped += 1;
                self.far.remove(0);
                self.far.insert(idx - 1, (key, qty));
            }
        }
    }

    pub(super) fn qty_at(&self, px: Ticks) -> Lots {
        let key = self.key(px);
        if self.is_near(key) {
            let (word, bit) = self.word_and_bit(key);
            let is_there = self.occupied[word] & bit != 0;
            return if is_there { Lots::new(self.window[(key & self.mask) as usize]) } else { Lots::ZERO };
        }
        match self.far.binary_search_by_key(&key, |&(k, _)| k) {
            Ok(idx) => Lots::new(self.far[idx].1),
            Err(_) => Lots::ZERO,
        }
    }

    /// Levels from the best to the worst.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Ticks, Lots)> + '_ {
        let near = std::iter::successors(self.best, |&key| self.next_near_below(key))
            .map(|key| (self.px(key), Lots::new(self.window[(key & self.mask) as usize])));
        near.chain(self.far.iter().rev().map(|&(key, qty)| (self.px(key), Lots::new(qty))))
    }

    /// Checks what must hold between the parts.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        let bits: u32 = self.occupied.iter().map(|w| w.count_ones()).sum();
        assert_eq!(bits as usize, self.near_count, "one bit per near level");
        assert!(self.far.windows(2).all(|w| w[0].0 < w[1].0), "the far list is sorted");
        assert!(self.far.last().is_none_or(|&(key, _)| key < self.lo), "far levels lie below the window");
        assert_eq!(self.lo & (WORD_BITS - 1), 0, "the window starts on a word");
        assert!(self.best.is_some() || self.len() == 0, "a side with levels has a best one");
        if let Some(best) = self.best {
            assert!(self.is_near(best), "the best level lies in the window");
        }
        assert_eq!(self.iter().count(), self.len(), "every level is reached from the best one");
    }
}
