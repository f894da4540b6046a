//! Turns intents into allowed orders, or reasons.
//!
//! Thread: core. Allocates: never. Blocks: never. Integers only. Whatever is not known fails closed: no fresh quote, no
//! fresh order. Each check is one line of [`Refusal`], in the order in which they are made; orders that only shrink a
//! position skip the limits that would keep it from shrinking.

mod breakers;
mod capital;
mod explain;
mod fair;
mod hedge;
mod rate;
mod slow;
mod state;

pub use breakers::{Breaker, BreakerConfig, BreakerLevel, ErrorWindow, Layer};
pub use capital::{Compounding, OpenSide};
pub use explain::{Answer, Bound, Check, Measure};
pub use fair::{FairLimits, Flow};
pub use hedge::{HEDGES_MAX, HedgeConfig, HedgeCounts, Hedger, Slope};
pub use rate::{RateBudget, RateLimits, Spend, TokenBucket};
pub use slow::SlowLimits;
pub use state::{RiskState, day_of};

use self::capital::Reserve;
use self::slow::SlowScale;
use crate::book::Touch;
use crate::types::{CarriedKey, InstrumentSpec, Lots, Money, Nanos, Rate, Side, Ticks, clamped_product};

macro_rules! refusals {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)+) => {
        /// Why an order was not let through, in the order of the checks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Refusal { $($(#[doc = $doc])* $variant,)+ }

        impl Refusal {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name used in reports and summaries.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*).trim_start(),)+ }
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
    /// A breaker stands at reduce-only or beyond: only shrinking orders pass.
    Breaker = "breaker",
    /// The ghost's record does not permit trading, or was not heard of for too long: only shrinking orders pass.
    Ghost = "ghost",
    /// The book is not proven whole (nothing received, a gap, being resynchronised), or a side is empty.
    BookNotLive = "book_not_live",
    /// The best bid is not below the best ask.
    CrossedBook = "crossed_book",
    /// The touch was not confirmed for too long.
    StaleBook = "stale_book",
    /// No limits are configured in the currency in which the instrument is settled.
    Currency = "currency",
    /// Below the instrument's smallest or above its largest quantity, or not positive.
    Quantity = "quantity",
    /// Below the instrument's smallest or above our largest value.
    Notional = "notional",
    /// The spread is too wide to enter.
    Spread = "spread",
    /// Too far from the touch.
    Collar = "collar",
    /// Too far from the last trade, or none is known.
    TradeCollar = "trade_collar",
    /// A reduce-only order that would not reduce.
    ReduceOnly = "reduce_only",
    /// Too many open orders of the instrument.
    OpenOrders = "open_orders",
    /// The position could pass its limit, were everything open filled.
    Position = "position",
    /// The sum of all positions could pass its limit, were everything open filled.
    GrossExposure = "gross_exposure",
    /// The sum of all positions could pass what slow risk allows; without word from it only shrinking orders pass.
    SlowRisk = "slow_risk",
    /// The sum of all positions, shorts against longs, could pass its limit, were everything open of one side filled.
    NetExposure = "net_exposure",
    /// What is committed at worst exceeds the capital: margin, fees, funding, losses.
    Capital = "capital",
    /// Exposure over equity exceeds the leverage.
    Leverage = "leverage",
    /// It would trade with an order of our own.
    SelfTrade = "self_trade",
    /// The same order was sent a moment ago, and no order has ended since.
    Duplicate = "duplicate",
    /// Too many requests for what is executed.
    OrderToTrade = "order_to_trade",
    /// Too many requests in one second.
    QuoteStuffing = "quote_stuffing",
    /// Greater orders of this side were withdrawn when the other side was filled.
    Layering = "layering",
    /// Orders of ours that take have carried the market along in this direction.
    MomentumIgnition = "momentum_ignition",
    /// More orders than the rate allows.
    OrderRate = "order_rate",
    /// More cancellations than the rate allows: it waits, and leaves as soon as it may.
    CancelRate = "cancel_rate",
    /// The order table is full.
    OrderTable = "order_table",
    /// The ring to the gateway is full.
    Gateway = "gateway",
    /// The venue refused a stop order, or its amendment: it is tried again a few times, later each time, and the engine watches the
    /// trigger itself meanwhile.
    StopOrder = "stop_order",
}

/// One check: unless it holds, it is the answer.
macro_rules! check {
    ($self:ident, $check:ident, $holds:expr) => {
        if !$holds && !$self.is_taken_out(Refusal::$check) {
            return Some(Refusal::$check);
        }
    };
}

/// The limits in one settlement currency, in which all money is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RiskLimits {
    /// Whether they were given; if not, nothing is traded in the currency.
    pub is_given: bool,
    /// Largest value of one order.
    pub order_value_max: Money,
    /// Largest value of one instrument's position, everything open counted as filled.
    pub position_value_max: Money,
    /// Largest sum over all instruments, everything open counted as filled.
    pub gross_value_max: Money,
    /// Most open orders of one instrument.
    pub open_orders_max: u32,
    /// Largest sum over all instruments, shorts against longs, everything open of one side counted as filled.
    pub net_value_max: Money,
    /// Most that may be committed at any instant, whatever of what is open or in doubt is filled: margin, fees, the next
    /// funding payments, and what was lost since the start.
    pub capital: Money,
    /// How profits and losses change the capital.
    pub compounding: Compounding,
    /// Leverage at which margin is counted, and greatest exposure over equity; in hundredths. The account's own must be no
    /// less.
    pub leverage_e2: u32,
    /// Greatest fee of a taker; reserved for opening and for closing.
    pub taker_fee: Rate,
    /// Reserved of a position's value beside fees: what a liquidation costs, for one.
    pub extra_fee: Rate,
    /// Greatest rate of a funding payment; reserved for the next one.
    pub funding_cap: Rate,
    /// Farthest distance of a price from the opposite touch, as a share of it.
    pub collar: Rate,
    /// Farthest distance of a price from the last trade, as a share of it; from [`Rate::ONE`] on nothing is looked at.
    pub trade_collar: Rate,
    /// Widest spread at which a position may grow, as a share of the bid.
    pub spread_max: Rate,
    /// Age at which an unconfirmed touch is stale, in nanoseconds.
    pub stale_after_ns: u64,
    /// Time within which the same order counts as a duplicate, in nanoseconds.
    pub duplicate_within_ns: u64,
    /// Loss since the start of the day at which only shrinking orders pass.
    pub day_loss_max: Money,
    /// Fall of equity from its peak at which only shrinking orders pass.
    pub drawdown_max: Money,
    /// Age at which the ghost's permission has lapsed, in nanoseconds; `None`: none is needed.
    pub permit_fresh_ns: Option<u64>,
    /// Patterns in our own flow.
    pub fair: FairLimits,
    /// How the share that slow risk allows of `gross_value_max` is obeyed; `None`: nobody measures it.
    pub slow: Option<SlowLimits>,
}

impl Default for RiskLimits {
    fn default() -> Self {
        let whole = |units: i128| Money::new(units * Money::ONE.get());
        Self {
            is_given: true,
            order_value_max: whole(1_000),
            position_value_max: whole(5_000),
            gross_value_max: whole(20_000),
            open_orders_max: 8,
            net_value_max: whole(20_000),
            capital: whole(5_000),
            compounding: Compounding { reinvest: Rate::ZERO, floor: Money::ZERO },
            leverage_e2: 500,
            taker_fee: Rate::new(100_000),
            extra_fee: Rate::ZERO,
            funding_cap: Rate::new(750_000),
            collar: Rate::new(2_000_000),
            trade_collar: Rate::new(5_000_000),
            spread_max: Rate::new(1_000_000),
            stale_after_ns: 5_000_000_000,
            duplicate_within_ns: 50_000_000,
            day_loss_max: whole(200),
            drawdown_max: whole(200),
            permit_fresh_ns: None,
            fair: FairLimits::default(),
            slow: None,
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
    /// It closes what must be closed: it passes although nothing else may trade.
    pub is_closing: bool,
    /// How far the breakers of the instrument have gone.
    pub level: BreakerLevel,
    /// Open quantity of the order that this one replaces (an amendment), and its value at its dearest price; else zero.
    pub replaces: (Lots, Money),
    /// A sale that takes may fill above its limit: the price at which it is counted at least. Of an inverse contract, which is worth
    /// more at a lower price, a purchase that takes: the price at which it is counted at most. Zero for others.
    pub px_floor: Ticks,
    /// Engine time.
    pub now: Nanos,
    /// Whether the book is proven whole.
    pub is_book_live: bool,
    /// Newest touch.
    pub touch: &'a Touch,
    /// When the touch was last confirmed.
    pub confirmed_at: Nanos,
    /// Price of the newest trade, if one is known.
    pub last_px: Option<Ticks>,
    /// Exposure of the instrument.
    pub exposure: &'a Exposure,
    /// Whether it takes.
    pub takes: bool,
    /// Our own flow in the instrument, as of now.
    pub flow: &'a Flow,
    /// Best own working price of the other side.
    pub own_opposite_px: Option<Ticks>,
}

/// Position and open quantity of one instrument, and what they could be worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Exposure {
    /// Position, signed.
    pub position: Lots,
    /// What the position cost, signed.
    pub cost: Money,
    /// What is open per side (bid, ask), at worst.
    pub open: [OpenSide; 2],
    /// Open orders.
    pub open_orders: u32,
    /// What was counted into the sums.
    counted: Counted,
    last_new: Option<(Side, Ticks, Lots, Nanos)>,
}

/// What one instrument adds to the sums over all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Counted {
    gross: Money,
    /// Signed value of the position if everything open on the bid or on the ask is filled.
    net: [Money; 2],
    committed_e8: i128,
}

impl Exposure {
    /// The position if everything that is open on one side is filled.
    #[inline]
    fn reached(&self, side: Side, open: Lots) -> Lots {
        match side {
            Side::Bid => self.position.saturating_add(open),
            Side::Ask => self.position.saturating_sub(open),
        }
    }

    /// The greatest size that the position can reach if what is open on one side is filled.
    #[inline]
    pub fn worst_qty(&self) -> Lots {
        let [bid, ask] = [Side::Bid, Side::Ask].map(|side| self.reached(side, self.open[side as usize].qty));
        bid.saturating_abs().max(ask.saturating_abs())
    }

    /// Whether an order of that side and size only shrinks the position, were `open` of that side filled before.
    #[inline]
    fn shrinks(&self, side: Side, open: Lots, qty: Lots) -> bool {
        let after = open.saturating_add(qty);
        self.position.get().signum() == -side.sign() && after <= self.position.saturating_abs()
    }
}

/// The state that limits are checked against, beyond the single instrument; of one settlement currency.
#[derive(Debug)]
pub struct Risk {
    limits: RiskLimits,
    sums: Counted,
    slow: SlowScale,
    reserves: [Reserve; 2],
    /// What may be committed, after profits and losses; and the same in 10⁻⁸ of its unit.
    capital: Money,
    capital_e8: i128,
    equity: Money,
    equity_day_start: Option<Money>,
    equity_peak: Money,
    day: u64,
    /// Closed profit since the capital was granted: of this run, and before it.
    net: [Money; 2],
    is_same_day: bool,
    is_trading: bool,
    /// When the ghost permitted trading last, unless it has taken that back.
    permitted_at: Option<Nanos>,
    refused: [u64; Refusal::ALL.len()],
    #[cfg(test)]
    taken_out: Option<Refusal>,
}

impl Risk {
    /// Makes risk with nothing open, not trading yet.
    pub fn new(limits: RiskLimits) -> Self {
        let mut risk = Self {
            reserves: Reserve::by_product(&limits),
            slow: SlowScale::new(&limits),
            capital: Money::ZERO,
            capital_e8: 0,
            limits,
            sums: Counted::default(),
            equity: Money::ZERO,
            equity_day_start: None,
            equity_peak: Money::ZERO,
            day: 0,
            net: [Money::ZERO; 2],
            is_same_day: false,
            is_trading: false,
            permitted_at: None,
            refused: [0; Refusal::ALL.len()],
            #[cfg(test)]
            taken_out: None,
        };
        risk.on_net(Money::ZERO);
        risk
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

    /// The ghost permits trading, or does not.
    pub fn on_permit(&mut self, is_given: bool, now: Nanos) {
        self.permitted_at = is_given.then_some(now);
    }

    /// Whether the ghost permits trading; always, where no permission is needed.
    #[inline]
    pub fn is_permitted(&self, now: Nanos) -> bool {
        self.limits
            .permit_fresh_ns
            .is_none_or(|fresh_ns| self.permitted_at.is_some_and(|at| now.saturating_since(at) <= fresh_ns))
    }

    /// Takes the account's equity: wallet and unrealised profit. The first of a day (UTC) is the day's start.
    #[inline]
    pub fn on_equity(&mut self, equity: Money, now: Nanos) {
        self.equity = equity;
        let day = day_of(now);
        if self.equity_day_start.is_none() {
            self.equity_peak = self.equity_peak.max(equity);
        }
        if self.equity_day_start.is_none() || day > self.day {
            self.equity_day_start = Some(equity);
            self.day = day;
        }
        self.equity_peak = self.equity_peak.max(equity);
    }

    /// Takes what was won or lost in this run: closed profit less fees and funding, of all instruments.
    #[inline]
    pub fn on_net(&mut self, net: Money) {
        self.net[0] = net;
        let net = net.saturating_add(self.net[1]);
        self.capital = self.limits.compounding.capital(self.limits.capital, net);
        self.capital_e8 = e8(self.capital);
    }

    /// Takes a value of an earlier run. The start of another day is none of today's.
    pub fn on_carried(&mut self, key: CarriedKey, value: Money, now: Nanos) {
        match key {
            CarriedKey::Day if value.get() == i128::from(day_of(now)) => {
                self.day = day_of(now);
                self.is_same_day = true;
            }
            CarriedKey::DayEquity if self.is_same_day => self.equity_day_start = Some(value),
            CarriedKey::PeakEquity => self.equity_peak = self.equity_peak.max(value),
            CarriedKey::Net => {
                self.net[1] = value;
                self.on_net(self.net[0]);
            }
            CarriedKey::Day | CarriedKey::DayEquity | CarriedKey::Levels | CarriedKey::Trades => {}
        }
    }

    /// What the next run must know. Levels and the day's trades are the engine's.
    pub fn state(&self, levels: [BreakerLevel; 4], trades: u32) -> RiskState {
        RiskState {
            day: self.day,
            day_equity: self.equity_day_start.unwrap_or(self.equity),
            peak_equity: self.equity_peak,
            net: self.net[0].saturating_add(self.net[1]),
            trades,
            levels,
        }
    }

    /// The day (UTC) of the newest equity.
    pub fn day(&self) -> u64 {
        self.day
    }

    /// How far the layer of the day has gone by its measures: the loss of the day, and the fall from the peak.
    pub fn day_level(&self, config: &BreakerConfig) -> BreakerLevel {
        let loss = self.equity_day_start.map_or(Money::ZERO, |start| start.saturating_sub(self.equity));
        let fall = self.equity_peak.saturating_sub(self.equity);
        let by_loss = config.level(loss.get(), self.limits.day_loss_max.get());
        by_loss.max(config.level(fall.get(), self.limits.drawdown_max.get()))
    }

    /// What may be committed now: the configured capital, less losses, with the reinvested share of profits.
    pub fn capital(&self) -> Money {
        self.capital
    }

    /// What is committed at worst, losses aside; see [`RiskLimits::capital`].
    pub fn committed(&self) -> Money {
        capital::money_of_e8(self.sums.committed_e8)
    }

    /// Whether more is committed than may be: funding was paid, and the next payment has to be reserved again.
    pub fn is_over_committed(&self) -> bool {
        self.sums.committed_e8 > self.capital_e8
    }

    /// Sum over all instruments of the worst value of position and open orders, as of each one's last change.
    pub fn gross(&self) -> Money {
        self.sums.gross
    }

    /// The account's equity as it was told last.
    pub fn equity(&self) -> Money {
        self.equity
    }

    /// Takes the share of the gross exposure that slow risk allows.
    pub fn on_slow_scale(&mut self, scale: f64, now: Nanos) {
        self.slow.on_scale(scale, now, &self.limits);
    }

    /// Whether more is held and open than slow risk allows at this moment.
    #[inline]
    pub fn is_over_slow(&self, now: Nanos) -> bool {
        self.sums.gross > self.slow.gross_max(now, &self.limits)
    }

    /// Recounts an instrument into the sums after its position, open orders or price changed.
    #[inline]
    pub fn recount(&mut self, exposure: &mut Exposure, spec: &InstrumentSpec, px: Ticks) {
        self.recount_at(exposure, spec, px);
        let reserve = Reserve::of(&self.reserves, &self.limits, spec);
        let new = exposure.committed_e8(spec, &exposure.open[0], &exposure.open[1], &reserve);
        let old = std::mem::replace(&mut exposure.counted.committed_e8, new);
        self.sums.committed_e8 = self.sums.committed_e8.saturating_sub(old).saturating_add(new);
    }

    /// The same when nothing but the price may have changed, by which nothing is committed.
    #[inline]
    pub fn recount_at(&mut self, exposure: &mut Exposure, spec: &InstrumentSpec, px: Ticks) {
        let [long, short] = [Side::Bid, Side::Ask].map(|side| exposure.reached(side, exposure.open[side as usize].qty));
        let net = [long, short].map(|qty| spec.notional(px, qty));
        let counted = &mut exposure.counted;
        let gross = abs(net[0]).max(abs(net[1]));
        let old = std::mem::replace(&mut counted.gross, gross);
        self.sums.gross = self.sums.gross.saturating_sub(old).saturating_add(gross);
        for ((sum, old), new) in self.sums.net.iter_mut().zip(&mut counted.net).zip(net) {
            *sum = sum.saturating_sub(*old).saturating_add(new);
            *old = new;
        }
    }

    /// The highest bid that a sale may meet that is decided at this touch: the collar bounds how far the market may move until
    /// then.
    pub fn highest_bid(&self, touch: &Touch) -> Ticks {
        touch.bid.map_or(Ticks::ZERO, |level| level.px.saturating_add(level.px.share(self.limits.collar)))
    }

    /// The lowest ask that a purchase may meet that is decided at this touch: at it an inverse contract is worth most.
    #[cold]
    pub fn lowest_ask(&self, touch: &Touch) -> Ticks {
        let away = |px: Ticks| px.saturating_add(-px.share(self.limits.collar)).max(Ticks::new(1));
        touch.ask.map_or(Ticks::ZERO, |level| away(level.px))
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
    /// Some thirty comparisons and twelve 128-bit products; no division.
    #[inline]
    pub fn check(&mut self, request: &Request<'_>) -> Result<(), Refusal> {
        self.verdict(request).map_or(Ok(()), |refusal| Err(self.refuse(refusal)))
    }

    /// The first refusal that applies, not counted: [`Self::check`] for callers that hold on to the request.
    #[inline]
    pub fn verdict(&self, r: &Request<'_>) -> Option<Refusal> {
        if r.spec.is_inverse() {
            return self.inverse_verdict(r);
        }
        self.verdict_of::<false>(r)
    }

    /// Apart, so that what most orders are checked by stays as it is: inverse contracts are divided for.
    #[cold]
    #[inline(never)]
    fn inverse_verdict(&self, r: &Request<'_>) -> Option<Refusal> {
        self.verdict_of::<true>(r)
    }

    #[inline(always)]
    fn verdict_of<const INVERSE: bool>(&self, r: &Request<'_>) -> Option<Refusal> {
        let limits = &self.limits;
        let exposure = r.exposure;
        let others = r.others();
        let shrinks = exposure.shrinks(r.side, others.qty, r.qty);

        check!(self, KillSwitch, self.is_trading || (r.is_closing && shrinks));
        if !shrinks {
            let loss = self.equity_day_start.map_or(Money::ZERO, |start| start.saturating_sub(self.equity));
            check!(self, DayLoss, loss < limits.day_loss_max);
            check!(self, Drawdown, self.equity_peak.saturating_sub(self.equity) < limits.drawdown_max);
            check!(self, Breaker, r.level < BreakerLevel::ReduceOnly);
            check!(self, Ghost, self.is_permitted(r.now));
        }
        let (Some(bid), Some(ask)) = (r.touch.bid, r.touch.ask) else { return Some(Refusal::BookNotLive) };
        check!(self, BookNotLive, r.is_book_live);
        check!(self, CrossedBook, bid.px < ask.px);
        check!(self, StaleBook, r.now.saturating_since(r.confirmed_at) <= limits.stale_after_ns);
        check!(self, Currency, limits.is_given);
        check!(self, Quantity, r.qty >= r.spec.min_qty && r.qty <= r.spec.max_qty && r.qty > Lots::ZERO);
        let value = value_of::<INVERSE>(r.spec, r.px, r.qty);
        check!(self, Notional, value <= limits.order_value_max && (value >= r.spec.min_notional || r.reduce_only));
        if !shrinks {
            check!(self, Spread, is_within(ask.px.saturating_diff(bid.px), bid.px, limits.spread_max));
        }
        let reference = match r.side {
            Side::Bid => ask.px,
            Side::Ask => bid.px,
        };
        check!(self, Collar, r.px.get() > 0 && is_within(r.px.saturating_diff(reference), reference, limits.collar));
        // What is not known refuses what would grow; a position may always be left.
        let is_near = |last| is_within(r.px.saturating_diff(last), last, limits.trade_collar);
        check!(self, TradeCollar, limits.trade_collar >= Rate::ONE || r.last_px.map_or(shrinks, is_near));
        check!(self, ReduceOnly, shrinks || !r.reduce_only);
        check!(self, OpenOrders, exposure.open_orders < limits.open_orders_max || !r.is_new());
        if !shrinks {
            let after = others.qty.saturating_add(r.qty);
            let px = if INVERSE { bid.px.min(r.px) } else { ask.px.max(r.px) };
            let reached = value_of::<INVERSE>(r.spec, px, exposure.reached(r.side, after));
            let other = r.side.opposite();
            let beside = value_of::<INVERSE>(r.spec, px, exposure.reached(other, exposure.open[other as usize].qty));
            let worst = abs(reached).max(abs(beside));
            check!(self, Position, worst <= limits.position_value_max);
            let gross = self.sums.gross.saturating_sub(exposure.counted.gross).saturating_add(worst);
            check!(self, GrossExposure, gross <= limits.gross_value_max);
            check!(self, SlowRisk, gross <= self.slow.gross_max(r.now, limits));
            check!(self, NetExposure, abs(self.net_with(r, reached)) <= limits.net_value_max);
            check!(self, Capital, self.committed_with::<INVERSE>(r, others, value) <= self.capital_e8);
            // gross / leverage <= equity, without the division.
            let carried = self.equity.saturating_mul(i64::from(limits.leverage_e2));
            check!(self, Leverage, gross.saturating_mul(100) <= carried);
        }
        let is_apart = |own| match r.side {
            Side::Bid => r.px < own,
            Side::Ask => r.px > own,
        };
        check!(self, SelfTrade, r.own_opposite_px.is_none_or(is_apart));
        let repeats = |(side, px, qty, at)| {
            (side, px, qty) == (r.side, r.px, r.qty) && r.now.saturating_since(at) < limits.duplicate_within_ns
        };
        check!(self, Duplicate, !(r.is_new() && exposure.last_new.is_some_and(repeats)));
        if !shrinks && let Some(rule) = r.flow.verdict(r.side, r.takes, reference, &limits.fair) {
            return (!self.is_taken_out(rule)).then_some(rule);
        }
        None
    }

    /// Tests take one check out, to show that they would notice.
    #[inline(always)]
    fn is_taken_out(&self, _check: Refusal) -> bool {
        #[cfg(test)]
        return self.taken_out == Some(_check);
        #[cfg(not(test))]
        false
    }
}

impl Risk {
    /// The sum of all positions, shorts against longs, if everything of the order's side is filled and this instrument's
    /// position is then worth `reached`. The least favourable is meant only in the order's direction: the other one does not
    /// change.
    #[inline]
    fn net_with(&self, r: &Request<'_>, reached: Money) -> Money {
        let side = r.side as usize;
        let net = self.sums.net[side].saturating_sub(r.exposure.counted.net[side]).saturating_add(reached);
        match r.side {
            Side::Bid => net.max(Money::ZERO),
            Side::Ask => net.min(Money::ZERO),
        }
    }

    /// What is committed at worst with the order, in 10⁻⁸ of the unit; `value` is that of the order at its limit.
    #[inline]
    fn committed_with<const INVERSE: bool>(&self, r: &Request<'_>, others: OpenSide, value: Money) -> i128 {
        let px = if INVERSE { r.spec.dearer(r.px, r.px_floor) } else { r.px.max(r.px_floor) };
        let dearness = if INVERSE { r.spec.dearness(px) } else { px };
        let value = if px == r.px { value } else { value_of::<INVERSE>(r.spec, px, r.qty) };
        let changed = others.with(r.qty, value, dearness);
        let [bid, ask] = &r.exposure.open;
        let (bid, ask) = if r.side == Side::Bid { (&changed, ask) } else { (bid, &changed) };
        let committed = r.exposure.committed_e8(r.spec, bid, ask, &Reserve::of(&self.reserves, &self.limits, r.spec));
        self.sums.committed_e8.saturating_sub(r.exposure.counted.committed_e8).saturating_add(committed)
    }
}

impl Request<'_> {
    /// Whether it is an order of its own and no amendment.
    #[inline]
    fn is_new(&self) -> bool {
        self.replaces.0.is_zero()
    }

    /// What is open on its side beside it and what it replaces.
    #[inline]
    fn others(&self) -> OpenSide {
        let open = &self.exposure.open[self.side as usize];
        OpenSide {
            qty: open.qty.saturating_sub(self.replaces.0).max(Lots::ZERO),
            value: open.value.saturating_sub(self.replaces.1).max(Money::ZERO),
            px_max: open.px_max,
        }
    }
}

/// [`InstrumentSpec::notional`] of what is known to be an inverse contract, or to be none.
#[inline(always)]
const fn value_of<const INVERSE: bool>(spec: &InstrumentSpec, px: Ticks, qty: Lots) -> Money {
    if INVERSE { spec.inverse_value(px, qty) } else { spec.linear_value(px, qty) }
}

/// Whether a distance is at most the share `rate` of `reference`, without a division.
#[inline]
fn is_within(distance: i64, reference: Ticks, rate: Rate) -> bool {
    let most = i128::from(reference.get()) * i128::from(rate.get());
    i128::from(distance.unsigned_abs()) * i128::from(Rate::ONE.get()) <= most
}

#[inline]
fn abs(money: Money) -> Money {
    Money::new(money.get().saturating_abs())
}

#[inline]
fn e8(money: Money) -> i128 {
    clamped_product(money.get(), Rate::ONE.get().into())
}

#[cfg(test)]
mod tests;
