//! Which of the wishes that would open or grow a position may be tried: worth it, how large, and when.
//!
//! ```text
//! strategy ─▶ wishes ─▶ ENTRY: pace · leverage · size · edge ─▶ quoter ─▶ risk
//! fills ─────────────▶ ENTRY: what was expected, what came of it ─▶ doubt, win rate
//! ```
//!
//! Thread: core. Allocates: at construction. Blocks: never. Integers only; a strategy's forecast arrives as one. What shrinks a
//! position passes untouched. Everything is off by default and then costs one comparison. None of it replaces a check of
//! [`crate::risk`]: what is let through here is checked there.

mod edge;
mod kelly;
mod leverage;
mod pace;
#[cfg(test)]
mod tests;
mod trade;
mod trip;

pub use edge::{Doubt, EdgeConfig, Estimate, Opening};
pub use kelly::{KellyConfig, WinLoss};
pub use leverage::LeverageConfig;
pub use pace::{Pace, PaceConfig};
pub use trade::{Exit, Promise, TradeRecord};
pub use trip::{After, Ended, Trip};

use std::collections::VecDeque;

use trade::Trade;

use crate::book::Touch;
use crate::strategy::{View, Wish, Wishes};
use crate::types::{Fill, InstrumentId, InstrumentSpec, Lots, Money, Nanos, Rate, Side, Ticks};

/// Trades that are remembered: doubt, win rate and payoff are of these.
pub const TRADES_MAX: usize = 256;

/// What is asked of an entry. The default asks nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryConfig {
    /// What a trade must be expected to earn, and how it is protected.
    pub edge: EdgeConfig,
    /// Size from win rate and payoff.
    pub kelly: Option<KellyConfig>,
    /// Size from the least profit.
    pub leverage: Option<LeverageConfig>,
    /// Trades of a day.
    pub pace: PaceConfig,
}

impl EntryConfig {
    /// Whether anything is asked.
    pub const fn is_on(&self) -> bool {
        let edge = &self.edge;
        edge.bar.is_some()
            || edge.loss_max.is_some()
            || edge.hold_max_ns.is_some()
            || edge.break_even_from.is_some()
            || self.kelly.is_some()
            || self.leverage.is_some()
            || self.pace.trades_per_day.is_some()
            || self.pace.pause_ns > 0
    }
}

macro_rules! withheld {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)+) => {
        /// Why a wish was not tried.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Withheld { $($(#[doc = $doc])* $variant,)+ }

        impl Withheld {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

withheld! {
    /// Today's trades are done, or the next one is not due yet.
    Pace = "pace",
    /// The strategy said nothing of what it expects.
    NoForecast = "no_forecast",
    /// Nothing is earned, or the least profit is out of reach.
    Leverage = "leverage",
    /// What win rate and payoff give is nothing, or less than the smallest order.
    Size = "size",
    /// It is expected to earn less than the bar.
    Edge = "edge",
}

/// What became of the wishes that would open or grow a position, each time that one was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryCounts {
    /// Looked at.
    pub wished: u64,
    /// Let through, whole or smaller.
    pub admitted: u64,
    /// Not tried, by [`Withheld`].
    pub withheld: [u64; Withheld::ALL.len()],
    /// Trades that ended.
    pub trades: u64,
    /// Of those with a forecast: how many, what was expected of them, and what they earned.
    pub forecast: u64,
    /// See [`Self::forecast`].
    pub expected: Money,
    /// See [`Self::forecast`].
    pub realised: Money,
    /// Greatest loss of one trade, as an amount above zero.
    pub worst_loss: Money,
}

/// What the engine says of entries at the end.
#[derive(Clone, Debug)]
pub struct EntryReport {
    /// What is asked.
    pub config: EntryConfig,
    /// Wishes and trades.
    pub counts: EntryCounts,
    /// The newest trades, oldest first.
    pub trades: Vec<TradeRecord>,
    /// What doubt was measured.
    pub doubt: Doubt,
    /// Wins and losses of the newest trades.
    pub record: WinLoss,
    /// The best expectation that was not good enough.
    pub best_withheld: Option<Estimate>,
    /// Trades opened today.
    pub today: u32,
}

/// What the account allows, beside the instrument.
#[derive(Clone, Copy, Debug)]
pub struct Means {
    /// Capital.
    pub capital: Money,
    /// Greatest leverage, in hundredths.
    pub leverage_e2: u32,
    /// Other instruments in which a trade may be opened by what is under way.
    pub opening: u32,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Entry {
    config: EntryConfig,
    is_on: bool,
    pace: Pace,
    doubt: Doubt,
    record: WinLoss,
    /// Trades under way, by instrument.
    open: Box<[Trade]>,
    trades: VecDeque<TradeRecord>,
    counts: EntryCounts,
    best_withheld: Option<Estimate>,
}

impl Entry {
    /// With nothing known, for so many instruments.
    pub fn new(config: EntryConfig, instruments: usize) -> Self {
        Self {
            config,
            open: vec![Trade::default(); instruments].into_boxed_slice(),
            is_on: config.is_on(),
            pace: Pace::default(),
            doubt: Doubt { slippage: config.edge.slippage, shortfall: Rate::ZERO },
            record: WinLoss::default(),
            trades: VecDeque::with_capacity(TRADES_MAX),
            counts: EntryCounts::default(),
            best_withheld: None,
        }
    }

    /// Whether anything is asked.
    #[inline]
    pub const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Whether it matters how many other trades may be opened ([`Means::opening`]).
    pub const fn counts_openings(&self) -> bool {
        self.config.pace.trades_per_day.is_some()
    }

    /// So many trades were opened on that day before this run.
    pub fn resume(&mut self, day: u64, done: u32) {
        self.pace.resume(day, done);
    }

    /// The newest day on which a trade was opened, and how many were.
    pub const fn today(&self) -> (u64, u32) {
        self.pace.done()
    }

    /// Takes out of `wishes` what may not be tried and gives the rest its size.
    pub fn shape(&mut self, view: &View<'_>, means: &Means, wishes: &mut Wishes) {
        for side in [Side::Bid, Side::Ask] {
            if let Wish::Quote { px, qty } = wishes.quotes[side as usize] {
                let qty = self.shaped(view, means, wishes, (side, px, qty, false));
                let is_enough = qty >= view.spec.min_qty && !qty.is_zero();
                wishes.quotes[side as usize] = if is_enough { Wish::Quote { px, qty } } else { Wish::Nothing };
            }
        }
        if let Some(take) = wishes.take
            && !take.reduce_only
        {
            let qty = self.shaped(view, means, wishes, (take.side, take.px, take.qty, true));
            let is_enough = qty >= view.spec.min_qty && !qty.is_zero();
            wishes.take = is_enough.then_some(crate::strategy::Take { qty, ..take });
        }
    }

    /// How much of a wished order may be tried: all that shrinks the position, and what is admitted of the rest.
    fn shaped(
        &mut self,
        view: &View<'_>,
        means: &Means,
        wishes: &Wishes,
        (side, px, qty, takes): (Side, Ticks, Lots, bool),
    ) -> Lots {
        let shrinks = view.position.get().signum() == -side.sign();
        let shrinking = if shrinks { qty.min(view.position.saturating_abs()) } else { Lots::ZERO };
        let growing = qty.saturating_sub(shrinking);
        if growing <= Lots::ZERO {
            return shrinking;
        }
        self.counts.wished += 1;
        let is_new = view.position.is_zero() || shrinks;
        let opening = wishes.forecast.map(|forecast| Opening {
            spec: view.spec,
            touch: view.touch,
            ticker: view.ticker,
            now: view.now,
            side,
            px,
            qty: growing,
            takes,
            forecast,
        });
        match self.admit(view, opening.as_ref(), means, (px, growing), is_new) {
            Ok((qty, estimate)) => {
                self.counts.admitted += 1;
                if let Some(trade) = self.open.get_mut(view.instrument.idx()) {
                    trade.promises[side as usize] = Promise { estimate, qty };
                }
                shrinking.saturating_add(qty)
            }
            Err(reason) => {
                self.counts.withheld[reason as usize] += 1;
                shrinking
            }
        }
    }

    /// How much may be tried, and what it is expected to earn.
    fn admit(
        &mut self,
        view: &View<'_>,
        opening: Option<&Opening<'_>>,
        means: &Means,
        (px, wished): (Ticks, Lots),
        is_new: bool,
    ) -> Result<(Lots, Option<Estimate>), Withheld> {
        let config = self.config;
        if is_new && self.pace.next(&config.pace, means.opening, view.now).is_none_or(|at| at > view.now) {
            return Err(Withheld::Pace);
        }
        let expect = |qty| opening.map(|it| config.edge.estimate(&Opening { qty, ..*it }, &self.doubt));
        let mut qty = wished;
        if let Some(leverage) = &config.leverage {
            let (Some(opening), Some(estimate)) = (opening, expect(qty)) else { return Err(Withheld::NoForecast) };
            let bound = means.leverage_e2.min(view.spec.max_leverage_e2);
            let moves = expected_move(view, opening.forecast.hold_ns());
            let times = leverage.leverage_e2(estimate.net(), moves, bound).ok_or(Withheld::Leverage)?;
            qty = Lots::new(part(qty.get(), i128::from(times), 100));
        }
        if let Some(kelly) = &config.kelly {
            let value = view.spec.notional(px, qty);
            let most = kelly.value_max(&self.record, means.capital, value);
            qty = Lots::new(part(qty.get(), most.get(), value.get()));
            if qty < view.spec.min_qty {
                return Err(Withheld::Size);
            }
        }
        let estimate = expect(qty);
        if let Some(bar) = config.edge.bar {
            let estimate = estimate.ok_or(Withheld::NoForecast)?;
            if estimate.net() < bar {
                if self.best_withheld.is_none_or(|best| estimate.net() > best.net()) {
                    self.best_withheld = Some(estimate);
                }
                return Err(Withheld::Edge);
            }
        }
        Ok((qty, estimate))
    }

    /// An execution was booked: `before` was held before it, and `after` is what it led to.
    pub fn on_fill(&mut self, spec: &InstrumentSpec, fill: &Fill, before: Lots, after: After, now: Nanos) {
        let Some(trade) = self.open.get_mut(fill.meta.instrument.idx()) else { return };
        if let Some(slippage) = trade.slippage(fill) {
            // An eighth of each new one, rounded up.
            let old = self.doubt.slippage.get();
            self.doubt.slippage = Rate::new(old + (slippage.get() - old + 7).div_euclid(8));
        }
        let (ended, has_opened) = trade.on_fill(spec, fill, before, after, now);
        if let Some(ended) = ended {
            self.on_ended(ended);
        }
        if has_opened {
            self.pace.on_opened(now);
        }
    }

    fn on_ended(&mut self, ended: TradeRecord) {
        let counts = &mut self.counts;
        counts.trades += 1;
        counts.worst_loss = counts.worst_loss.max(ended.realised.saturating_neg());
        if let Some(expected) = ended.expected {
            counts.forecast += 1;
            counts.expected = counts.expected.saturating_add(expected);
            counts.realised = counts.realised.saturating_add(ended.realised);
        }
        if self.trades.len() == TRADES_MAX {
            self.trades.pop_front();
        }
        self.trades.push_back(ended);
        self.record = WinLoss::default();
        for trade in &self.trades {
            self.record.note(trade.share_e8(trade.realised));
        }
        self.doubt.shortfall = self.shortfall();
    }

    /// By how much the newest trades fell short of what was expected of them, as a share of their value: the mean, and as many of its
    /// standard errors as are asked for. Nothing below zero: a trade that did better makes no later one look better.
    fn shortfall(&self) -> Rate {
        let edge = &self.config.edge;
        let short = |trade: &TradeRecord| {
            trade.expected.map(|expected| trade.share_e8(expected.saturating_sub(trade.realised)))
        };
        let count = self.trades.iter().filter_map(short).count() as i128;
        if count < i128::from(edge.tighten_from.max(2)) {
            return Rate::ZERO;
        }
        let sum = self.trades.iter().filter_map(short).fold(0i128, i128::saturating_add);
        let mean = sum / count;
        let squares = self.trades.iter().filter_map(short).fold(0i128, |squares, it| {
            let from_mean = it.saturating_sub(mean);
            squares.saturating_add(from_mean.saturating_mul(from_mean))
        });
        let error = (squares / (count - 1) / count).max(0).isqrt();
        let short = mean.saturating_add(error.saturating_mul(edge.confidence_e2.into()) / 100);
        Rate::new(short.clamp(0, Rate::ONE.get().into()) as i64)
    }

    /// A position was there before the session: it is a trade that was opened now, of which nothing was expected.
    pub fn begin(&mut self, id: InstrumentId, position: Lots, cost: Money, now: Nanos) {
        if let Some(trade) = self.open.get_mut(id.idx()) {
            trade.begin(position, cost, now);
        }
    }

    /// An order that takes was sent at this touch.
    #[inline]
    pub fn on_take(&mut self, id: InstrumentId, side: Side, touch: &Touch) {
        if let Some(trade) = self.open.get_mut(id.idx()) {
            trade.on_take(side, touch);
        }
    }

    /// Looks at the trade of an instrument, of which `position` is held for `cost` and by which the wallet has changed by `wallet`;
    /// returns whether it is to be left from now on.
    #[inline]
    pub fn watch(&mut self, view: &View<'_>, cost: Money, wallet: Money) -> bool {
        let Some(trade) = self.open.get_mut(view.instrument.idx()) else { return false };
        let net = trade.left_at(view.spec, view.touch, self.doubt.slippage, wallet, (view.position, cost));
        net.is_some_and(|net| trade.watch(&self.config.edge, net, view.now))
    }

    /// What the newest order that was let through on a side was expected to earn.
    pub fn promise(&self, id: InstrumentId, side: Side) -> Option<Promise> {
        self.open.get(id.idx()).map(|trade| trade.promises[side as usize])
    }

    /// Whether the trade of an instrument is being left.
    pub fn is_leaving(&self, id: InstrumentId) -> bool {
        self.open.get(id.idx()).is_some_and(Trade::is_leaving)
    }

    /// Collects the report; `None` if nothing is asked.
    pub fn report(&self) -> Option<EntryReport> {
        self.is_on.then(|| EntryReport {
            config: self.config,
            counts: self.counts,
            trades: self.trades.iter().copied().collect(),
            doubt: self.doubt,
            record: self.record,
            best_withheld: self.best_withheld,
            today: self.pace.done().1,
        })
    }
}

/// One standard deviation of what the price does in `hold_ns`, as a share of it; all of it where that cannot be told.
fn expected_move(view: &View<'_>, hold_ns: u64) -> Rate {
    // Ticks² in 10⁻⁶: the root is thousandths of a tick.
    let variance = view.signals.variance_per_s(view.now) * (hold_ns as f64 / 1e9) * 1e6;
    let Some(bid) = view.touch.bid else { return Rate::ONE };
    if !(0.0..1e30).contains(&variance) {
        return Rate::ONE;
    }
    let one = i128::from(Rate::ONE.get());
    let share = (variance as i128).isqrt().saturating_mul(one) / (i128::from(bid.px.get().max(1)) * 1000);
    Rate::new(share.min(one) as i64)
}

/// `whole · of / among`, rounded down, at least nothing.
fn part(whole: i64, of: i128, among: i128) -> i64 {
    let part = i128::from(whole).saturating_mul(of.max(0)) / among.max(1);
    i64::try_from(part).unwrap_or(i64::MAX)
}
