//! Turns signals into wishes: where to quote, what to take.
//!
//! Thread: core. Allocates: never. Blocks: never. A strategy sees the market and its own position and says what it
//! would like to have; risk, rate limits and the life of orders are not its business. Dispatch is static: the engine is
//! compiled for its strategy.

mod imbalance_taker;
mod market_maker;

pub use imbalance_taker::{ImbalanceTaker, ImbalanceTakerConfig};
pub use market_maker::{MarketMaker, MarketMakerConfig};

use crate::book::{L2Book, Touch};
use crate::signal::Signals;
use crate::types::{Fill, InstrumentId, InstrumentSpec, Lots, Nanos, Side, Ticker, Ticks, Trade, TriggerBy};

/// What a strategy sees of one instrument.
pub struct View<'a> {
    /// Which instrument.
    pub instrument: InstrumentId,
    /// Its constants.
    pub spec: &'a InstrumentSpec,
    /// Engine time.
    pub now: Nanos,
    /// Newest best bid and offer.
    pub touch: &'a Touch,
    /// The depth book.
    pub book: &'a L2Book,
    /// Its signals.
    pub signals: &'a Signals,
    /// Reference prices and funding, as far as the venue told them.
    pub ticker: Option<&'a Ticker>,
    /// Own position, signed.
    pub position: Lots,
    /// Own resting and unconfirmed quantity per side (bid, ask).
    pub working: [Lots; 2],
}

/// What a strategy wants of one side of its quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Wish {
    /// What it wanted last.
    #[default]
    Same,
    /// No order there.
    Nothing,
    /// A resting (post-only) order of this price and quantity.
    Quote {
        /// Limit price.
        px: Ticks,
        /// Quantity still to be filled.
        qty: Lots,
    },
}

/// An order that should fill at once or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Take {
    /// Direction.
    pub side: Side,
    /// Worst price.
    pub px: Ticks,
    /// Quantity.
    pub qty: Lots,
    /// Only to shrink the position.
    pub reduce_only: bool,
}

/// What a strategy wants of the stop order that protects its position at the venue; its quantity is always that of the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum StopWish {
    /// What it wanted last. A position's end ends the wish.
    #[default]
    Same,
    /// None.
    Nothing,
    /// One that is triggered at a price. Where the configuration asks for one too, the nearer one counts. It is amended once it is a step
    /// off ([`StopConfig::step`](crate::engine::StopConfig::step)); a trigger that the price has passed already closes the position.
    At {
        /// A long position is sold on a fall to it, a short one bought back on a rise.
        trigger: Ticks,
        /// Which price is looked at.
        by: TriggerBy,
    },
}

/// What a strategy expects of an entry: the price at which the market will stand when it is left, and when that will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    exit_px_e3: i64,
    hold_ns: u64,
}

impl Forecast {
    /// A mid of `exit_px` ticks after `hold_ns` nanoseconds; `None` if that is no price.
    #[inline]
    pub fn new(exit_px: f64, hold_ns: u64) -> Option<Self> {
        let e3 = exit_px * 1000.0;
        (0.0..9e15).contains(&e3).then_some(Self { exit_px_e3: e3 as i64, hold_ns })
    }

    /// The price, in thousandths of a tick.
    #[inline]
    pub const fn exit_px_e3(&self) -> i64 {
        self.exit_px_e3
    }

    /// The time until then, in nanoseconds.
    #[inline]
    pub const fn hold_ns(&self) -> u64 {
        self.hold_ns
    }
}

/// What a strategy wants of one instrument after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Wishes {
    /// Its bid and its ask.
    pub quotes: [Wish; 2],
    /// Something to take now.
    pub take: Option<Take>,
    /// What protects its position at the venue.
    pub stop: StopWish,
    /// What it expects of what would open a position. Without a word nothing is entered where [`crate::entry`] asks for one.
    pub forecast: Option<Forecast>,
}

impl Wishes {
    /// Wants one side quoted.
    #[inline]
    pub fn quote(&mut self, side: Side, px: Ticks, qty: Lots) {
        self.quotes[side as usize] = Wish::Quote { px, qty };
    }

    /// Changes every quantity that is wanted.
    #[inline]
    pub fn shrink(&mut self, shrunk: impl Fn(Lots) -> Lots) {
        for wish in &mut self.quotes {
            if let Wish::Quote { qty, .. } = wish {
                *qty = shrunk(*qty);
            }
        }
        // What closes a position is not made smaller.
        if let Some(take) = self.take.as_mut().filter(|take| !take.reduce_only) {
            take.qty = shrunk(take.qty);
        }
    }

    /// Wants nothing that would grow a position: what shrinks it is cut down to it, the rest is not wanted.
    pub fn only_shrink(&mut self, position: Lots, least: Lots) {
        for (wish, side) in self.quotes.iter_mut().zip([Side::Bid, Side::Ask]) {
            if let Wish::Quote { px, qty } = *wish {
                let shrinking = shrinking(side, qty, position, least);
                *wish = shrinking.map_or(Wish::Nothing, |qty| Wish::Quote { px, qty });
            }
        }
        self.take = self.take.and_then(|take| {
            let qty = shrinking(take.side, take.qty, position, least)?;
            Some(Take { qty, ..take })
        });
    }

    /// Wants one side empty.
    #[inline]
    pub fn no_quote(&mut self, side: Side) {
        self.quotes[side as usize] = Wish::Nothing;
    }
}

/// The part of `qty` that shrinks a position, if an order of it may be as small as that.
pub(crate) fn shrinking(side: Side, qty: Lots, position: Lots, least: Lots) -> Option<Lots> {
    let is_opposite = position.get().signum() == -side.sign();
    Some(qty.min(position.saturating_abs())).filter(|&qty| is_opposite && qty >= least)
}

/// Decides. Every method has the market as it is now and may leave `wishes` as they are.
///
/// It is only called while the instrument's book can be trusted and has both sides; when that ends, the engine withdraws
/// the quotes by itself.
pub trait Strategy {
    /// The touch or the book changed.
    fn on_market(&mut self, view: &View<'_>, wishes: &mut Wishes);

    /// A public trade.
    fn on_trade(&mut self, _view: &View<'_>, _trade: &Trade, _wishes: &mut Wishes) {}

    /// One of the own orders was filled; `view.position` includes it.
    fn on_fill(&mut self, _view: &View<'_>, _fill: &Fill, _wishes: &mut Wishes) {}

    /// Time passed (about every 50 ms of engine time).
    fn on_timer(&mut self, _view: &View<'_>, _wishes: &mut Wishes) {}
}

/// The strategies that ship with the program, chosen by configuration.
pub enum BuiltIn {
    /// Watches and never trades.
    Watch,
    /// [`MarketMaker`].
    MarketMaker(MarketMaker),
    /// [`ImbalanceTaker`].
    ImbalanceTaker(ImbalanceTaker),
}

impl Strategy for BuiltIn {
    #[inline]
    fn on_market(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        match self {
            Self::Watch => {}
            Self::MarketMaker(s) => s.on_market(view, wishes),
            Self::ImbalanceTaker(s) => s.on_market(view, wishes),
        }
    }

    fn on_timer(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        match self {
            Self::Watch => {}
            Self::MarketMaker(s) => s.on_timer(view, wishes),
            Self::ImbalanceTaker(s) => s.on_timer(view, wishes),
        }
    }
}
