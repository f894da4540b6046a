//! Turns intents into allowed orders, or reasons.
//!
//! Thread: core. Allocates: never. Blocks: never. Integers only. Whatever is not known fails closed: no fresh quote, no
//! fresh order. Each check is one line of [`Refusal`], in the order in which they are made; orders that only shrink a
//! position skip the limits that would keep it from shrinking.

mod explain;
mod rate;

pub use explain::{Answer, Bound, Check, Measure};
pub use rate::{RateBudget, RateLimits, Spend, TokenBucket};

use crate::book::Touch;
use crate::types::{InstrumentSpec, Lots, Money, Nanos, Product, Rate, Side, Ticks};

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// Why an order was not let through, in the order of the checks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Refusal { $($(#[$doc])* $variant,)+ }

        impl Refusal {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name used in reports and summaries.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

refusals! {
    /// The engine is stopping, killed, or not armed yet.
    KillSwitch = "kill_switch",
    /// The loss of the day has reached its limit: only shrinking orders pass.
    DayLoss = "day_loss",
    /// Equity has fallen too far from its peak: only shrinking orders pass.
    Drawdown = "drawdown",
    /// The book is not live, or crossed, or a side is empty.
    BookNotLive = "book_not_live",
    /// The touch was not confirmed for too long.
    StaleBook = "stale_book",
    /// An inverse contract: its money is not exact here yet.
    Product = "product",
    /// Below the instrument's smallest or above its largest quantity, or not positive.
    Quantity = "quantity",
    /// Below the instrument's smallest or above our largest value.
    Notional = "notional",
    /// Too far from the touch.
    Collar = "collar",
    /// A reduce-only order that would not reduce.
    ReduceOnly = "reduce_only",
    /// The position could pass its limit, were everything open filled.
    Position = "position",
    /// Too many open orders of the instrument.
    OpenOrders = "open_orders",
    /// The sum of all positions could pass its limit, were everything open filled.
    GrossExposure = "gross_exposure",
    /// The margin that everything open could need exceeds the capital.
    Capital = "capital",
    /// Exposure over equity exceeds the leverage.
    Leverage = "leverage",
    /// It would trade with an order of our own.
    SelfTrade = "self_trade",
    /// The same order was sent a moment ago, and no order has ended since.
    Duplicate = "duplicate",
    /// More orders than the rate allows.
    OrderRate = "order_rate",
    /// The order table is full.
    OrderTable = "order_table",
    /// The ring to the gateway is full.
    Gateway = "gateway",
}

/// The limits. Money is in the settlement currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RiskLimits {
    /// Largest value of one order.
    pub order_value_max: Money,
    /// Largest value of one instrument's position, everything open counted as filled.
    pub position_value_max: Money,
    /// Largest sum over all instruments, everything open counted as filled.
    pub gross_value_max: Money,
    /// Most open orders of one instrument.
    pub open_orders_max: u32,
    /// Most margin that everything open may need.
    pub capital: Money,
    /// Leverage at which margin is counted, and greatest exposure over equity; in hundredths.
    pub leverage_e2: u32,
    /// Farthest distance of a price from the opposite touch, as a share of it.
    pub collar: Rate,
    /// Age at which an unconfirmed touch is stale, in nanoseconds.
    pub stale_after_ns: u64,
    /// Time within which the same order counts as a duplicate, in nanoseconds.
    pub duplicate_within_ns: u64,
    /// Loss since the start of the day at which only shrinking orders pass.
    pub day_loss_max: Money,
    /// Fall of equity from its peak at which only shrinking orders pass.
    pub drawdown_max: Money,
}

impl Default for RiskLimits {
    fn default() -> Self {
        let whole = |units: i128| Money::new(units * Money::ONE.get());
        Self {
            order_value_max: whole(1_000),
            position_value_max: whole(5_000),
            gross_value_max: whole(20_000),
            open_orders_max: 8,
            capital: whole(5_000),
            leverage_e2: 500,
            collar: Rate::new(2_000_000),
            stale_after_ns: 5_000_000_000,
            duplicate_within_ns: 50_000_000,
            day_loss_max: whole(200),
            drawdown_max: whole(200),
        }
    }
}

/// What an order would do, and the state of the instrument it is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The instrument.
    pub spec: &'a InstrumentSpec,
    /// Direction.
    pub side: Side,
    /// Limit price.
    pub px: Ticks,
    /// Quantity still to be filled.
    pub qty: Lots,
    /// Only shrinks a position.
    pub reduce_only: bool,
    /// Open quantity of the order that this one replaces (an amendment), else zero.
    pub replaces: Lots,
    /// Engine time.
    pub now: Nanos,
    /// Whether the book is proven whole.
    pub is_book_live: bool,
    /// Newest touch.
    pub touch: &'a Touch,
    /// When the touch was last confirmed.
    pub confirmed_at: Nanos,
    /// Exposure of the instrument.
    pub exposure: &'a Exposure,
    /// Best own working price of the other side.
    pub own_opposite_px: Option<Ticks>,
}

/// Position and open quantity of one instrument, and what they could be worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Exposure {
    /// Position, signed.
    pub position: Lots,
    /// Open quantity per side (bid, ask), at worst.
    pub open: [Lots; 2],
    /// Open orders.
    pub open_orders: u32,
    /// The worst value that was counted into the gross sum.
    counted: Money,
    last_new: Option<(Side, Ticks, Lots, Nanos)>,
}

impl Exposure {
    /// The greatest size that the position can reach if what is open on one side is filled.
    #[inline]
    pub fn worst_qty(&self) -> Lots {
        let long = self.position.saturating_add(self.open[0]);
        let short = self.position.saturating_sub(self.open[1]);
        long.saturating_abs().max(short.saturating_abs())
    }

    /// Whether an order of that side and size only shrinks the position, what is open on that side included.
    #[inline]
    pub fn shrinks(&self, side: Side, qty: Lots) -> bool {
        let after = self.open[side as usize].saturating_add(qty);
        self.position.get().signum() == -side.sign() && after <= self.position.saturating_abs()
    }
}

/// The state that limits are checked against, beyond the single instrument.
#[derive(Debug)]
pub struct Risk {
    limits: RiskLimits,
    gross: Money,
    equity: Money,
    equity_day_start: Option<Money>,
    equity_peak: Money,
    is_trading: bool,
    refused: [u64; Refusal::ALL.len()],
}

impl Risk {
    /// Makes risk with nothing open, not trading yet.
    pub fn new(limits: RiskLimits) -> Self {
        Self {
            limits,
            gross: Money::ZERO,
            equity: Money::ZERO,
            equity_day_start: None,
            equity_peak: Money::ZERO,
            is_trading: false,
            refused: [0; Refusal::ALL.len()],
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> &RiskLimits {
        &self.limits
    }

    /// Lets orders through, or none at all.
    pub fn set_trading(&mut self, is_trading: bool) {
        self.is_trading = is_trading;
    }

    /// Whether orders are let through at all.
    #[inline]
    pub fn is_trading(&self) -> bool {
        self.is_trading
    }

    /// Takes the account's equity: wallet and unrealised profit. The first is the day's start.
    #[inline]
    pub fn on_equity(&mut self, equity: Money) {
        self.equity = equity;
        if self.equity_day_start.is_none() {
            self.equity_day_start = Some(equity);
            self.equity_peak = equity;
        }
        self.equity_peak = self.equity_peak.max(equity);
    }

    /// Sum over all instruments of the worst value of position and open orders, as of each one's last change.
    pub fn gross(&self) -> Money {
        self.gross
    }

    /// Recounts an instrument into the gross sum after its position, open orders or price changed.
    #[inline]
    pub fn recount(&mut self, exposure: &mut Exposure, spec: &InstrumentSpec, px: Ticks) {
        let worst = spec.notional(px, exposure.worst_qty());
        self.gross = self.gross.saturating_sub(exposure.counted).saturating_add(worst);
        exposure.counted = worst;
    }

    /// Counts a refusal and returns it.
    #[cold]
    pub fn refuse(&mut self, refusal: Refusal) -> Refusal {
        self.refused[refusal as usize] += 1;
        refusal
    }

    /// How often each reason was given.
    pub fn refused(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.iter().copied().zip(self.refused)
    }

    /// Remembers an order that was let through, for the duplicate check.
    #[inline]
    pub fn note_sent(exposure: &mut Exposure, side: Side, px: Ticks, qty: Lots, now: Nanos) {
        exposure.last_new = Some((side, px, qty, now));
    }

    /// An order of the instrument has ended: to place the same one again is no repetition.
    #[inline]
    pub fn note_ended(exposure: &mut Exposure) {
        exposure.last_new = None;
    }

    /// Checks an order.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies, counted.
    ///
    /// # Cost
    /// Some twenty comparisons and four 128-bit products; no division.
    #[inline]
    pub fn check(&mut self, request: &Request<'_>) -> Result<(), Refusal> {
        self.verdict(request).map_or(Ok(()), |refusal| Err(self.refuse(refusal)))
    }

    /// The first refusal that applies, not counted: [`Self::check`] for callers that hold on to the request.
    #[inline]
    pub fn verdict(&self, r: &Request<'_>) -> Option<Refusal> {
        let limits = &self.limits;
        let exposure = r.exposure;
        let open_others = exposure.open[r.side as usize].saturating_sub(r.replaces);
        let others = Exposure { open: with_open(exposure.open, r.side, open_others), ..*exposure };
        let shrinks = others.shrinks(r.side, r.qty);

        if !self.is_trading {
            return Some(Refusal::KillSwitch);
        }
        if !shrinks {
            let loss = self.equity_day_start.map_or(Money::ZERO, |start| start.saturating_sub(self.equity));
            if loss >= limits.day_loss_max {
                return Some(Refusal::DayLoss);
            }
            if self.equity_peak.saturating_sub(self.equity) >= limits.drawdown_max {
                return Some(Refusal::Drawdown);
            }
        }
        let (Some(bid), Some(ask)) = (r.touch.bid, r.touch.ask) else { return Some(Refusal::BookNotLive) };
        if !r.is_book_live || bid.px >= ask.px {
            return Some(Refusal::BookNotLive);
        }
        if r.now.saturating_since(r.confirmed_at) > limits.stale_after_ns {
            return Some(Refusal::StaleBook);
        }
        if r.spec.product == Product::Inverse {
            return Some(Refusal::Product);
        }
        if r.qty < r.spec.min_qty || r.qty > r.spec.max_qty || r.qty.get() <= 0 {
            return Some(Refusal::Quantity);
        }
        let value = r.spec.notional(r.px, r.qty);
        if value > limits.order_value_max || (value < r.spec.min_notional && !r.reduce_only) {
            return Some(Refusal::Notional);
        }
        let reference = match r.side {
            Side::Bid => ask.px,
            Side::Ask => bid.px,
        };
        let distance = i128::from(r.px.saturating_diff(reference).unsigned_abs());
        let collar = i128::from(reference.get()) * i128::from(limits.collar.get());
        if r.px.get() <= 0 || distance * i128::from(Rate::ONE.get()) > collar {
            return Some(Refusal::Collar);
        }
        if r.reduce_only && !shrinks {
            return Some(Refusal::ReduceOnly);
        }
        if r.replaces.is_zero() && exposure.open_orders >= limits.open_orders_max {
            return Some(Refusal::OpenOrders);
        }
        if !shrinks {
            let after =
                Exposure { open: with_open(exposure.open, r.side, open_others.saturating_add(r.qty)), ..*exposure };
            let worst = r.spec.notional(ask.px.max(r.px), after.worst_qty());
            if worst > limits.position_value_max {
                return Some(Refusal::Position);
            }
            let gross = self.gross.saturating_sub(exposure.counted).saturating_add(worst);
            if gross > limits.gross_value_max {
                return Some(Refusal::GrossExposure);
            }
            // gross / leverage > capital, without the division.
            let leverage = i64::from(limits.leverage_e2);
            if gross.saturating_mul(100) > limits.capital.saturating_mul(leverage) {
                return Some(Refusal::Capital);
            }
            if gross.saturating_mul(100) > self.equity.saturating_mul(leverage) {
                return Some(Refusal::Leverage);
            }
        }
        let trades_with_own = r.own_opposite_px.is_some_and(|own| match r.side {
            Side::Bid => r.px >= own,
            Side::Ask => r.px <= own,
        });
        if trades_with_own {
            return Some(Refusal::SelfTrade);
        }
        let is_duplicate = r.replaces.is_zero()
            && exposure.last_new.is_some_and(|(side, px, qty, at)| {
                (side, px, qty) == (r.side, r.px, r.qty) && r.now.saturating_since(at) < limits.duplicate_within_ns
            });
        is_duplicate.then_some(Refusal::Duplicate)
    }
}

#[inline]
fn with_open(mut open: [Lots; 2], side: Side, qty: Lots) -> [Lots; 2] {
    open[side as usize] = qty.max(Lots::ZERO);
    open
}

#[cfg(test)]
mod tests;
