//! The integrity certificate: the depth book's top against the venue's own, while both run.
//!
//! Three venues' habits, three rules (see [`TopCheck`]): equal numbers mean equal state; the newest top at or before an
//! update is its state; or only the price at arrival can be compared. Where the two streams are not ordered against
//! each other, a check waits until the top that decides it can no longer come.

use super::Touch;
use crate::types::{BookKind, Top, TopCheck};

/// Most book states that wait for the venue's top. Binance's two streams were seen about 40 apart; a thousand leaves
/// room for a stalled stream before the oldest are given up (and counted).
const PENDING_MAX: usize = 1024;

/// How many checks were made, how many held, and how many could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CertificateCounts {
    /// Comparisons made.
    pub checked: u64,
    /// Comparisons in which both tops were the same.
    pub equal: u64,
    /// Book states given up because the venue's top did not come in time.
    pub given_up: u64,
}

#[derive(Clone, Copy, Default)]
struct Numbered {
    seq: u64,
    touch: Touch,
    is_snapshot: bool,
}

/// A fixed ring of numbered touches in ascending order of their numbers.
struct Pending {
    items: Box<[Numbered]>,
    start: usize,
    len: usize,
}

impl Pending {
    fn new() -> Self {
        Self { items: vec![Numbered::default(); PENDING_MAX].into_boxed_slice(), start: 0, len: 0 }
    }

    /// Appends; returns whether the oldest had to go.
    fn push(&mut self, item: Numbered) -> bool {
        let is_full = self.len == PENDING_MAX;
        if is_full {
            self.pop();
        }
        let end = (self.start + self.len) % PENDING_MAX;
        self.items[end] = item;
        self.len += 1;
        is_full
    }

    fn front(&self) -> Option<Numbered> {
        (self.len > 0).then(|| self.items[self.start])
    }

    fn second(&self) -> Option<Numbered> {
        (self.len > 1).then(|| self.items[(self.start + 1) % PENDING_MAX])
    }

    fn pop(&mut self) {
        self.start = (self.start + 1) % PENDING_MAX;
        self.len -= 1;
    }

    fn clear(&mut self) {
        self.len = 0;
    }
}

/// Compares one instrument's depth book with the venue's own top of book.
pub struct Certificate {
    counts: CertificateCounts,
    /// Book states whose check is not decided yet.
    books: Pending,
    /// Tops that a coming book state may have to equal: the two streams run ahead of each other in turn.
    tops: Pending,
    /// Number of the newest top seen.
    newest_top: u64,
    mode: TopCheck,
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificate {
    /// Makes a certificate without checks; which rule holds is learnt from the first top.
    pub fn new() -> Self {
        Self {
            counts: CertificateCounts::default(),
            books: Pending::new(),
            tops: Pending::new(),
            newest_top: 0,
            mode: TopCheck::None,
        }
    }

    /// Takes the touch of the book after an update numbered `seq`. A snapshot is not compared by [`TopCheck::AtOrBefore`]:
    /// it comes by another way and its number may lie between two states of the top.
    #[inline]
    pub fn on_book(&mut self, touch: Touch, seq: u64, kind: BookKind) {
        let is_snapshot = kind == BookKind::Snapshot;
        match self.mode {
            TopCheck::AtOrBefore => {
                self.counts.given_up += u64::from(self.books.push(Numbered { seq, touch, is_snapshot }));
                self.decide(self.newest_top);
            }
            TopCheck::SameSeq => {
                while let Some(top) = self.tops.front().filter(|top| top.seq <= seq) {
                    self.tops.pop();
                    if top.seq == seq {
                        self.count(top.touch == touch);
                    }
                }
                self.books.push(Numbered { seq, touch, is_snapshot });
            }
            // Which rule holds is not known yet; the first top will tell.
            TopCheck::None => {
                self.books.push(Numbered { seq, touch, is_snapshot });
            }
            TopCheck::PriceAtArrival => {}
        }
    }

    /// Takes the venue's own top of book; `book` is the depth book's top as it stands.
    #[inline]
    pub fn on_top(&mut self, top: &Top, book: &Touch) {
        let numbered = Numbered { seq: top.meta.seq, touch: Touch { bid: top.bid, ask: top.ask }, is_snapshot: false };
        if top.check != TopCheck::None && (self.mode == TopCheck::None || top.check < self.mode) {
            // A venue may send two streams that can be compared; the stricter rule has the smaller number.
            self.mode = top.check;
        }
        if top.check != self.mode {
            return;
        }
        match self.mode {
            TopCheck::AtOrBefore => {
                self.newest_top = numbered.seq;
                self.tops.push(numbered);
                self.decide(self.newest_top);
            }
            TopCheck::SameSeq => {
                while let Some(state) = self.books.front().filter(|state| state.seq <= numbered.seq) {
                    self.books.pop();
                    if state.seq == numbered.seq {
                        self.count(state.touch == numbered.touch);
                        return;
                    }
                }
                self.tops.push(numbered);
            }
            TopCheck::PriceAtArrival => {
                let px = |touch: &Touch| (touch.bid.map(|l| l.px), touch.ask.map(|l| l.px));
                if book.bid.is_some() && book.ask.is_some() {
                    self.count(px(&numbered.touch) == px(book));
                }
            }
            TopCheck::None => {}
        }
    }

    /// The input has ended: no further top can come, so the waiting checks are made with the last one.
    pub fn finish(&mut self) {
        if self.mode == TopCheck::AtOrBefore {
            self.decide(u64::MAX);
        }
    }

    /// The book is no longer trusted: what was waiting is forgotten.
    pub fn reset(&mut self) {
        self.books.clear();
    }

    /// What was found so far.
    pub fn counts(&self) -> CertificateCounts {
        self.counts
    }

    /// Makes the waiting checks of book states numbered below `limit`: no top that comes later can concern them.
    fn decide(&mut self, limit: u64) {
        while let Some(state) = self.books.front().filter(|state| state.seq < limit) {
            self.books.pop();
            // The newest top that is not newer than the state; those before it concern no later state either.
            while self.tops.second().is_some_and(|next| next.seq <= state.seq) {
                self.tops.pop();
            }
            if let Some(top) = self.tops.front().filter(|top| top.seq <= state.seq && !state.is_snapshot) {
                self.count(top.touch == state.touch);
            }
        }
    }

    fn count(&mut self, is_equal: bool) {
        self.counts.checked += 1;
        self.counts.equal += u64::from(is_equal);
    }
}
