//! What a session keeps of one instrument: its market, and what executions made of it.

use std::collections::VecDeque;

use super::trips::{After, Trips};
use crate::book::{FusedTop, L2Book, Touch};
use crate::engine::{Holding, Ledger, Limits};
use crate::types::{Book, BookState, BookStatus, Fill, InstrumentSpec, Lots, Money, Nanos, Top};

/// How far back mids are remembered, so that a decision's mid is known when its command reaches the venue.
const HISTORY_NS: u64 = 5_000_000_000;

/// Mids remembered at most; the busiest captured feed changes its mid 2,000 times a second.
const HISTORY_MAX: usize = 65_536;

/// One instrument.
pub struct Watched {
    /// Its constants.
    pub spec: InstrumentSpec,
    book: L2Book,
    /// The market as the engine sees it: nothing while the book is not trusted.
    fused: FusedTop,
    /// The newest market with two sides: what a position is worth while the book is not trusted.
    valued_at: Touch,
    /// Changes of the mid: since when, and twice the mid in ticks.
    history: VecDeque<(Nanos, i64)>,
    /// What executions made of it, by the engine's rules.
    pub holding: Holding,
    ledger: Ledger,
    /// Its round trips.
    pub trips: Trips,
    /// Position as the venue last told it.
    pub told_position: Option<Lots>,
}

impl Watched {
    /// Begins.
    pub fn new(spec: &InstrumentSpec, limits: &Limits) -> Self {
        Self {
            spec: *spec,
            book: L2Book::new(limits.window_ticks, limits.far_levels_max),
            fused: FusedTop::default(),
            valued_at: Touch::default(),
            history: VecDeque::new(),
            holding: Holding::default(),
            ledger: Ledger::new(),
            trips: Trips::default(),
            told_position: None,
        }
    }

    /// Takes a change of the book; returns whether the mid may have moved.
    pub fn on_book(&mut self, book: &Book<'_>, now: Nanos) -> bool {
        self.book.apply(book);
        self.fused.on_book(self.book.touch(), book.cross_seq, now) && self.revalue(now)
    }

    /// Takes the venue's own top; returns whether the mid may have moved.
    pub fn on_top(&mut self, top: &Top, now: Nanos) -> bool {
        self.fused.on_top(top) && self.revalue(now)
    }

    /// Takes what the venue's rules say of the book.
    pub fn on_status(&mut self, status: &BookStatus) {
        if status.state != BookState::Live {
            self.fused.clear();
        }
    }

    fn revalue(&mut self, now: Nanos) -> bool {
        let touch = *self.fused.touch();
        let Some(mid_e2) = mid_e2(&touch) else { return false };
        self.valued_at = touch;
        if self.history.back().is_some_and(|&(_, last)| last == mid_e2) {
            return false;
        }
        self.history.push_back((now, mid_e2));
        // The oldest one that is kept is the mid at the edge of what is remembered.
        while self.history.len() > HISTORY_MAX
            || self.history.get(1).is_some_and(|&(since, _)| now.saturating_since(since) > HISTORY_NS)
        {
            self.history.pop_front();
        }
        true
    }

    /// Twice the newest mid in ticks, also while the book is not trusted; `None` before there was one.
    pub fn mid_e2(&self) -> Option<i64> {
        mid_e2(&self.valued_at)
    }

    /// Twice the mid in ticks while the book is trusted.
    pub fn trusted_mid_e2(&self) -> Option<i64> {
        mid_e2(self.fused.touch())
    }

    /// Twice the mid in ticks after everything until `at`; `None` if that is forgotten, or there was none yet.
    pub fn mid_e2_at(&self, at: Nanos) -> Option<i64> {
        let later = self.history.partition_point(|&(since, _)| since <= at);
        self.history.get(later.checked_sub(1)?).map(|&(_, mid_e2)| mid_e2)
    }

    /// Takes over a position that was there before.
    pub fn adopt(&mut self, qty: Lots, entry_px: Money, now: Nanos) {
        self.holding.adopt(&self.spec, qty, entry_px);
        self.ledger.begin(&self.holding);
        self.trips.begin(qty, now);
    }

    /// Books an execution that was not told before.
    pub fn on_fill(&mut self, fill: &Fill, now: Nanos) {
        self.ledger.book(&mut self.holding, &self.spec, fill, self.fused.touch());
        let after = After { position: self.holding.position, wallet: self.holding.wallet_change() };
        self.trips.on_fill(fill.qty, fill.fee, after, now);
    }

    /// Books a funding payment; negative: received.
    pub fn on_funding(&mut self, paid: Money) {
        self.ledger.pay_funding(&mut self.holding, paid);
    }

    /// The venue told a fee that had been estimated: `difference` is what it is more.
    pub fn correct_fee(&mut self, difference: Money) {
        self.ledger.correct_fee(&mut self.holding, difference);
    }

    /// Profit after fees and funding, the position valued at the newest mid.
    pub fn profit(&self) -> Money {
        self.holding.profit(&self.spec, &self.valued_at)
    }

    /// Profit by where it came from, likewise.
    pub fn split(&self) -> crate::engine::PnlSplit {
        self.holding.split(&self.spec, &self.valued_at)
    }

    /// Value of the position at the newest mid, above zero for long and short; its cost before there was a mid.
    pub fn gross(&self) -> Money {
        let value = match self.mid_e2() {
            Some(mid_e2) => self.spec.value_at_e2(i128::from(mid_e2), self.holding.position),
            None => self.holding.cost,
        };
        Money::new(value.get().saturating_abs())
    }
}

fn mid_e2(touch: &Touch) -> Option<i64> {
    Some(touch.bid?.px.get().saturating_add(touch.ask?.px.get()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Level, Meta, Product, Step, Symbol, Ticks, TopCheck, VenueId};

    #[test]
    fn the_mid_of_a_decision_is_remembered() {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let symbol = Symbol::new(b"X").unwrap();
        let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
        let mut watched = Watched::new(&spec, &Limits::default());
        let level = |px| Some(Level { px: Ticks::new(px), qty: Lots::new(1) });
        let top = |seq, bid, ask| Top {
            meta: Meta { seq, ..Meta::default() },
            check: TopCheck::None,
            bid: level(bid),
            ask: level(ask),
        };
        let ms = Nanos::from_millis;
        assert!(watched.on_top(&top(1, 99, 101), ms(1_000)));
        assert!(!watched.on_top(&top(2, 98, 102), ms(1_500)), "the mid is the same");
        assert!(watched.on_top(&top(3, 100, 101), ms(2_000)));
        assert!(watched.on_top(&top(4, 100, 103), ms(2_000)));
        let at = |watched: &Watched, at| watched.mid_e2_at(ms(at));
        assert_eq!(
            [999, 1_000, 1_999, 2_000, 9_000].map(|t| at(&watched, t)),
            [None, Some(200), Some(200), Some(203), Some(203)]
        );
        assert!(watched.on_top(&top(5, 104, 106), ms(7_001)));
        assert_eq!(
            [1_999, 2_000, 7_001].map(|t| at(&watched, t)),
            [None, Some(203), Some(210)],
            "five seconds are kept"
        );
        watched.on_status(&BookStatus { meta: Meta::default(), state: BookState::Stale });
        assert_eq!((watched.mid_e2(), watched.trusted_mid_e2()), (Some(210), None));
    }
}
