//! What the engine keeps of one instrument.

use super::EngineConfig;
use super::ledger::Ledger;
use super::portfolio::Holding;
use super::stops::Guard;
use crate::book::{Certificate, FusedTop, L2Book};
use crate::risk::{Breaker, BreakerConfig, BreakerLevel, Exposure, Flow};
use crate::signal::Signals;
use crate::strategy::{View, Wish, Wishes, shrinking};
use crate::types::{
    BookState, ClientOrderId, InstrumentId, InstrumentSpec, Lots, Money, Nanos, SettleId, Side, Ticker, Ticks,
};

/// One side of our quote: what is wanted, and the order that works for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quote {
    /// What the strategy wanted last; `None`: no order.
    pub wanted: Option<(Ticks, Lots)>,
    /// The order for it, until it is final.
    pub order: Option<ClientOrderId>,
    /// What is wanted may differ from what works.
    pub is_dirty: bool,
    /// Its order must go, whatever is wanted: that passed risk with another position in view.
    pub is_outdated: bool,
}

pub(super) struct Instrument {
    pub spec: InstrumentSpec,
    /// What it is settled in.
    pub settle: SettleId,
    pub state: BookState,
    pub book: L2Book,
    pub fused: FusedTop,
    pub certificate: Certificate,
    pub signals: Signals,
    pub ticker: Option<Ticker>,
    pub trades: u64,
    /// Price of the newest trade.
    pub last_px: Option<Ticks>,
    pub exposure: Exposure,
    pub holding: Holding,
    pub ledger: Ledger,
    pub quotes: [Quote; 2],
    pub venue_position: Option<Lots>,
    /// The last answer to a question for the position, and when the question left.
    pub venue_answer: Option<(Lots, Nanos)>,
    /// When the last execution was booked.
    pub filled_at: Nanos,
    /// Open orders that take: they are no orders to be met.
    pub open_takes: u32,
    /// Our own requests and fills.
    pub flow: Flow,
    /// Its own breaker, and the furthest of all that concern it.
    pub breaker: Breaker,
    pub level: BreakerLevel,
    /// Profit at the start of the day, or of the run.
    pub profit_day_start: Money,
    /// Its trade is being left ([`crate::entry`]): closed as by a breaker, until it is flat.
    pub is_leaving: bool,
    /// It is kept for hedging: no strategy looks at it.
    pub is_hedge: bool,
    /// Nothing is placed here: it was told so.
    pub is_withdrawn: bool,
    /// The stop order that protects its position at the venue.
    pub guard: Guard,
}

impl Instrument {
    pub fn new(spec: &InstrumentSpec, settle: SettleId, config: &EngineConfig, is_hedge: bool) -> Self {
        Self {
            spec: *spec,
            settle,
            state: BookState::Empty,
            book: L2Book::new(config.limits.window_ticks, config.limits.far_levels_max),
            fused: FusedTop::default(),
            certificate: Certificate::new(),
            signals: Signals::new(&config.signals),
            ticker: None,
            trades: 0,
            last_px: None,
            exposure: Exposure::default(),
            holding: Holding::default(),
            ledger: Ledger::new(),
            quotes: [Quote::default(); 2],
            venue_position: None,
            venue_answer: None,
            filled_at: Nanos::ZERO,
            open_takes: 0,
            flow: Flow::default(),
            breaker: Breaker::default(),
            level: BreakerLevel::Normal,
            profit_day_start: Money::ZERO,
            is_leaving: false,
            is_hedge,
            is_withdrawn: false,
            guard: Guard::default(),
        }
    }

    /// What a strategy sees of it.
    #[inline(always)]
    pub fn view(&self, instrument: InstrumentId, now: Nanos) -> View<'_> {
        View {
            instrument,
            spec: &self.spec,
            now,
            touch: self.fused.touch(),
            book: &self.book,
            signals: &self.signals,
            ticker: self.ticker.as_ref(),
            position: self.exposure.position,
            working: self.exposure.open.map(|side| side.qty),
        }
    }

    /// What was booked changes what is held.
    pub fn note_holding(&mut self) {
        self.exposure.position = self.holding.position;
        self.exposure.cost = self.holding.cost;
    }

    /// Whether a strategy may look: there is a market, and nobody said no.
    #[inline]
    pub fn is_quotable(&self) -> bool {
        !self.is_hedge && !self.must_close() && !self.guard.is_at_market && self.is_quotable_market()
    }

    /// Whether there is a market: the book is proven whole and both sides are there, not crossed, and it was not withdrawn.
    #[inline]
    pub fn is_quotable_market(&self) -> bool {
        let touch = self.fused.touch();
        self.state == BookState::Live
            && !self.is_withdrawn
            && touch.bid.is_some()
            && touch.ask.is_some()
            && !touch.is_crossed()
    }

    /// Whether its position is to be closed, whatever a strategy wants.
    #[inline]
    pub fn must_close(&self) -> bool {
        self.is_leaving || self.level >= BreakerLevel::Flatten
    }

    /// Price at which exposure is counted: the ask, which is the greater one; of an inverse contract the bid, at which it is worth more.
    #[inline]
    pub fn mark_px(&self) -> Option<Ticks> {
        if self.spec.is_inverse() {
            return self.fused.touch().bid.map(|level| level.px);
        }
        self.fused.touch().ask.map(|level| level.px)
    }

    /// Takes what the strategy wants; returns how many wishes were replaced before they could be carried out.
    #[inline]
    pub fn note_wishes(&mut self, wishes: &Wishes) -> u64 {
        let mut conflated = 0;
        for (quote, wish) in self.quotes.iter_mut().zip(wishes.quotes) {
            let wanted = match wish {
                Wish::Same => continue,
                Wish::Nothing => None,
                Wish::Quote { px, qty } => Some((px, qty)),
            };
            if wanted != quote.wanted {
                conflated += u64::from(quote.is_dirty);
                quote.wanted = wanted;
                quote.is_dirty = true;
            }
        }
        conflated
    }

    /// Whether a quote may need an order changed.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.quotes.iter().any(|quote| quote.is_dirty)
    }

    /// What is wanted becomes smaller.
    pub fn shrink_wishes(&mut self, config: &BreakerConfig) {
        for quote in &mut self.quotes {
            if let Some((_, qty)) = &mut quote.wanted {
                *qty = config.shrunk(BreakerLevel::Shrink, *qty);
                quote.is_dirty = true;
            }
        }
    }

    /// What is still wanted from before is cut down to what shrinks the position, as that is by now.
    pub fn keep_what_shrinks(&mut self) {
        for (quote, side) in self.quotes.iter_mut().zip([Side::Bid, Side::Ask]) {
            let Some((px, qty)) = quote.wanted else { continue };
            let kept = shrinking(side, qty, self.exposure.position, self.spec.min_qty);
            if kept != Some(qty) {
                quote.wanted = kept.map(|qty| (px, qty));
                quote.is_dirty = true;
            }
        }
    }

    /// Nothing is wanted any more.
    pub fn withdraw_wishes(&mut self) {
        for quote in &mut self.quotes {
            quote.wanted = None;
            quote.is_dirty = true;
        }
    }

    /// Nothing is wanted any more, and what works goes even if it is wanted again.
    pub fn renew_quotes(&mut self) {
        self.withdraw_wishes();
        for quote in &mut self.quotes {
            quote.is_outdated = quote.order.is_some();
        }
    }

    /// Looks again at the quote that the order works for.
    pub fn mark_quote(&mut self, id: ClientOrderId) {
        for quote in &mut self.quotes {
            quote.is_dirty |= quote.order == Some(id);
        }
    }

    /// The order has ended: the quote needs another one, if it is still wanted.
    pub fn forget_quote(&mut self, id: ClientOrderId) {
        for quote in &mut self.quotes {
            if quote.order == Some(id) {
                quote.order = None;
                quote.is_outdated = false;
                quote.is_dirty = true;
            }
        }
    }
}
