//! One trade: what was expected when it was opened, when it must be left, and what came of it.

use super::edge::{EdgeConfig, Estimate};
use super::trip::{After, Trip};
use crate::book::Touch;
use crate::types::{Fill, InstrumentId, InstrumentSpec, Lots, Money, Nanos, Rate, Side, Ticks};

/// Why a trade was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The strategy wanted to, or a breaker, or a stop.
    Asked,
    /// Its loss reached the bound.
    LossBound,
    /// It had covered its costs, and the profit was gone again.
    BreakEven,
    /// Its time was up.
    TimeStop,
}

impl Exit {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::LossBound => "loss_bound",
            Self::BreakEven => "break_even",
            Self::TimeStop => "time_stop",
        }
    }
}

/// A trade that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeRecord {
    /// The instrument.
    pub instrument: InstrumentId,
    /// Direction of its opening.
    pub side: Side,
    /// When it was opened and when it ended.
    pub at: [Nanos; 2],
    /// Value of everything that opened or grew it.
    pub value: Money,
    /// What it was expected to earn, net; `None`: part of it was opened without a forecast.
    pub expected: Option<Money>,
    /// What it earned, fees and funding included.
    pub realised: Money,
    /// Why it was left.
    pub exit: Exit,
}

impl TradeRecord {
    /// A result as a share of the trade's value, in 10⁻⁸.
    pub(super) fn share_e8(&self, result: Money) -> i128 {
        result.get().saturating_mul(i128::from(Rate::ONE.get())) / self.value.get().max(1)
    }
}

/// What the newest order that was let through on a side was expected to earn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// The expectation; `None`: the strategy said nothing.
    pub estimate: Option<Estimate>,
    /// Of what quantity.
    pub qty: Lots,
}

/// The trade of one instrument, under way or to come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trade {
    trip: Trip,
    value: Money,
    expected: Money,
    is_unforecast: bool,
    /// The most that it would have earned, had it been left.
    best: Option<Money>,
    leaving: Option<Exit>,
    pub(super) promises: [Promise; 2],
    /// By side: the touch that the newest order that takes was meant for.
    aimed_at: [Ticks; 2],
}

impl Trade {
    /// Begins with a position that was there before.
    pub fn begin(&mut self, position: Lots, value: Money, at: Nanos) {
        let before = std::mem::take(self);
        self.trip = before.trip;
        self.trip.begin(position, at);
        (self.value, self.is_unforecast) = (value, !position.is_zero());
    }

    /// An order that takes was sent at this touch.
    #[inline]
    pub fn on_take(&mut self, side: Side, touch: &Touch) {
        self.aimed_at[side as usize] = touch.side(side.opposite()).map_or(Ticks::ZERO, |level| level.px);
    }

    /// How much worse than the touch that it was meant for a fill was, as a share; `None` if it did not take.
    pub(super) fn slippage(&self, fill: &Fill) -> Option<Rate> {
        let aimed_at = self.aimed_at[fill.side as usize].get();
        if fill.is_maker || aimed_at <= 0 {
            return None;
        }
        let worse = i128::from(fill.px.get().saturating_sub(aimed_at).saturating_mul(fill.side.sign()).max(0));
        let share = worse.saturating_mul(Rate::ONE.get().into()) / i128::from(aimed_at);
        Some(Rate::new(share.clamp(0, Rate::ONE.get().into()) as i64))
    }

    /// An execution led from `before` to `after`; gives the trade that it ended, and whether it opened one.
    pub(super) fn on_fill(
        &mut self,
        spec: &InstrumentSpec,
        fill: &Fill,
        before: Lots,
        after: After,
        now: Nanos,
    ) -> (Option<TradeRecord>, bool) {
        let ended = self.trip.on_fill(fill.qty, fill.fee, after, now);
        let record = ended.map(|ended| TradeRecord {
            instrument: fill.meta.instrument,
            side: fill.side.opposite(),
            at: [ended.opened_at, now],
            value: self.value,
            expected: (!self.is_unforecast).then_some(self.expected),
            realised: ended.result,
            exit: self.leaving.unwrap_or(Exit::Asked),
        });
        if record.is_some() {
            (self.value, self.expected, self.is_unforecast) = (Money::ZERO, Money::ZERO, false);
            (self.best, self.leaving) = (None, None);
        }
        let has_turned = before.get().signum() != after.position.get().signum();
        let opened = match fill.side.sign() * after.position.get().signum() {
            1 if has_turned => after.position.saturating_abs(),
            1 => fill.qty,
            _ => Lots::ZERO,
        };
        if !opened.is_zero() {
            self.value = self.value.saturating_add(spec.notional(fill.px, opened));
            let promise = self.promises[fill.side as usize];
            match promise.estimate {
                Some(it) => self.expected = self.expected.saturating_add(it.net().pro_rata(opened, promise.qty)),
                None => self.is_unforecast = true,
            }
        }
        (record, has_turned && !opened.is_zero())
    }

    /// Whether it is being left.
    #[inline]
    pub const fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Looks at an open trade, which would have earned `net` if it were left now; returns whether that is to be done from now on.
    #[inline]
    pub(super) fn watch(&mut self, config: &EdgeConfig, net: Money, now: Nanos) -> bool {
        if self.is_leaving() || !self.trip.is_open() {
            return false;
        }
        let best = self.best.map_or(net, |best| best.max(net));
        self.best = Some(best);
        let is_lost = config.loss_max.is_some_and(|most| net <= most.saturating_neg());
        let is_given_back = config.break_even_from.is_some_and(|from| best >= from && net <= Money::ZERO);
        let is_late = config.hold_max_ns.is_some_and(|most| now.saturating_since(self.trip.opened_at()) >= most);
        self.leaving = if is_lost {
            Some(Exit::LossBound)
        } else if is_given_back {
            Some(Exit::BreakEven)
        } else if is_late {
            Some(Exit::TimeStop)
        } else {
            None
        };
        self.is_leaving()
    }

    /// What it would have earned, left at the touch by an order that takes: `wallet` is what the wallet changed by so far, `position` is
    /// held for `cost`. `None` without a price to leave at.
    #[inline]
    pub(super) fn left_at(
        &self,
        spec: &InstrumentSpec,
        touch: &Touch,
        slippage: Rate,
        wallet: Money,
        (position, cost): (Lots, Money),
    ) -> Option<Money> {
        let level = if position > Lots::ZERO { touch.bid } else { touch.ask }?;
        let worth = spec.notional(level.px, position);
        let costs = Rate::new(spec.taker_fee.get().saturating_add(slippage.get()));
        let fee = spec.notional(level.px, position.saturating_abs()).share_rounded_up(costs);
        Some(self.trip.so_far(wallet).saturating_add(spec.profit(worth, cost)).saturating_sub(fee))
    }
}
