//! Every check of an order with what was measured: the long form of [`Risk::verdict`], for people.
//!
//! The two are tested to agree: the first check here that refuses is the verdict.

use super::{Exposure, Refusal, Request, Risk, with_open};
use crate::types::{Lots, Money, Product, Rate, Side, Ticks};

/// Something measured, or a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// Money of the settlement currency.
    Money(Money),
    /// A quantity.
    Qty(Lots),
    /// A price.
    Px(Ticks),
    /// A number of things.
    Count(u64),
    /// A span in nanoseconds.
    Nanos(u64),
    /// A yes or no.
    Is(bool),
}

/// What a measure must be to pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Exactly this.
    Is(bool),
    /// Less than this.
    Below(Measure),
    /// This or less.
    AtMost(Measure),
    /// From the one to the other, both included.
    Within(Measure, Measure),
    /// Less than this, for a buy; see [`Bound::Above`].
    BelowPx(Ticks),
    /// More than this, for a sell.
    Above(Ticks),
    /// There is nothing that it could break.
    Free,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It let the order pass.
    Passed,
    /// It did not.
    Refused,
    /// It does not apply: the order only shrinks a position, or replaces another.
    Waived,
    /// What it measures is not known: the book has no two sides.
    Unknown,
}

/// One check of one order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Check {
    /// Which.
    pub check: Refusal,
    /// How it ended.
    pub answer: Answer,
    /// What was measured; `None` if there was nothing to measure.
    pub measured: Option<Measure>,
    /// What was allowed.
    pub bound: Bound,
}

impl Risk {
    /// All checks of an order, in the order in which they are made, also those behind the first refusal.
    pub fn checks(&self, r: &Request<'_>) -> Vec<Check> {
        let limits = &self.limits;
        let exposure = r.exposure;
        let open_others = exposure.open[r.side as usize].saturating_sub(r.replaces);
        let others = Exposure { open: with_open(exposure.open, r.side, open_others), ..*exposure };
        let shrinks = others.shrinks(r.side, r.qty);
        let is_new = r.replaces.is_zero();

        let mut out = Vec::with_capacity(Refusal::ALL.len());
        let mut add = |check, is_good: Option<bool>, applies: bool, measured: Option<Measure>, bound| {
            let answer = match is_good {
                _ if !applies => Answer::Waived,
                Some(true) => Answer::Passed,
                Some(false) => Answer::Refused,
                None => Answer::Unknown,
            };
            out.push(Check { check, answer, measured, bound });
        };
        let money = |m: Money| Some(Measure::Money(m));

        add(Refusal::KillSwitch, Some(self.is_trading), true, Some(Measure::Is(self.is_trading)), Bound::Is(true));
        let loss = self.equity_day_start.map_or(Money::ZERO, |start| start.saturating_sub(self.equity));
        let most = limits.day_loss_max;
        add(Refusal::DayLoss, Some(loss < most), !shrinks, money(loss), Bound::Below(Measure::Money(most)));
        let (fall, most) = (self.equity_peak.saturating_sub(self.equity), limits.drawdown_max);
        add(Refusal::Drawdown, Some(fall < most), !shrinks, money(fall), Bound::Below(Measure::Money(most)));

        let both = r.touch.bid.zip(r.touch.ask);
        let is_live = r.is_book_live && both.is_some_and(|(bid, ask)| bid.px < ask.px);
        add(Refusal::BookNotLive, Some(is_live), true, Some(Measure::Is(is_live)), Bound::Is(true));
        let (age, most) = (r.now.saturating_since(r.confirmed_at), limits.stale_after_ns);
        let bound = Bound::AtMost(Measure::Nanos(most));
        add(Refusal::StaleBook, Some(age <= most), true, Some(Measure::Nanos(age)), bound);
        let is_exact = r.spec.product != Product::Inverse;
        add(Refusal::Product, Some(is_exact), true, Some(Measure::Is(is_exact)), Bound::Is(true));

        let least = r.spec.min_qty.max(Lots::new(1));
        let is_good = r.qty >= least && r.qty <= r.spec.max_qty;
        let bound = Bound::Within(Measure::Qty(least), Measure::Qty(r.spec.max_qty));
        add(Refusal::Quantity, Some(is_good), true, Some(Measure::Qty(r.qty)), bound);
        let value = r.spec.notional(r.px, r.qty);
        let least = if r.reduce_only { Money::MIN } else { r.spec.min_notional };
        let is_good = value <= limits.order_value_max && value >= least;
        let bound = if r.reduce_only {
            Bound::AtMost(Measure::Money(limits.order_value_max))
        } else {
            Bound::Within(Measure::Money(least), Measure::Money(limits.order_value_max))
        };
        add(Refusal::Notional, Some(is_good), true, money(value), bound);

        // The farthest distance is the last whole tick within the share.
        let reference = both.map(|(bid, ask)| if r.side == Side::Bid { ask.px } else { bid.px });
        let distance = reference.map(|reference| r.px.saturating_diff(reference).unsigned_abs());
        let farthest = reference.map_or(0, |px| {
            let share = i128::from(px.get()) * i128::from(limits.collar.get());
            i64::try_from(share.div_euclid(i128::from(Rate::ONE.get()))).unwrap_or(i64::MAX)
        });
        let is_good = distance.map(|distance| r.px.get() > 0 && i128::from(distance) <= i128::from(farthest));
        let measured = distance.map(|distance| Measure::Px(Ticks::new(i64::try_from(distance).unwrap_or(i64::MAX))));
        add(Refusal::Collar, is_good, true, measured, Bound::AtMost(Measure::Px(Ticks::new(farthest))));

        add(Refusal::ReduceOnly, Some(shrinks), r.reduce_only, Some(Measure::Is(shrinks)), Bound::Is(true));
        let (open, most) = (exposure.open_orders, limits.open_orders_max);
        let bound = Bound::Below(Measure::Count(u64::from(most)));
        add(Refusal::OpenOrders, Some(open < most), is_new, Some(Measure::Count(u64::from(open))), bound);

        let after = Exposure { open: with_open(exposure.open, r.side, open_others.saturating_add(r.qty)), ..*exposure };
        let worst = both.map(|(_, ask)| r.spec.notional(ask.px.max(r.px), after.worst_qty()));
        let gross = worst.map(|worst| self.gross.saturating_sub(exposure.counted).saturating_add(worst));
        let mut at_most = |check, found: Option<Money>, most: Money| {
            let measured = found.map(Measure::Money);
            add(check, found.map(|found| found <= most), !shrinks, measured, Bound::AtMost(Measure::Money(most)));
        };
        at_most(Refusal::Position, worst, limits.position_value_max);
        at_most(Refusal::GrossExposure, gross, limits.gross_value_max);
        // Exposure against what may carry it, both times a hundred, so that the leverage stays whole.
        let leverage = i64::from(limits.leverage_e2);
        let hundredfold = gross.map(|gross| gross.saturating_mul(100));
        let carried = |by: Money| by.saturating_mul(leverage);
        for (check, by) in [(Refusal::Capital, limits.capital), (Refusal::Leverage, self.equity)] {
            let most = Money::new(carried(by).get().div_euclid(100));
            let is_good = hundredfold.map(|found| found <= carried(by));
            add(check, is_good, !shrinks, gross.map(Measure::Money), Bound::AtMost(Measure::Money(most)));
        }

        let (is_good, bound) = match (r.own_opposite_px, r.side) {
            (None, _) => (true, Bound::Free),
            (Some(own), Side::Bid) => (r.px < own, Bound::BelowPx(own)),
            (Some(own), Side::Ask) => (r.px > own, Bound::Above(own)),
        };
        add(Refusal::SelfTrade, Some(is_good), true, Some(Measure::Px(r.px)), bound);
        let repeats = exposure.last_new.is_some_and(|(side, px, qty, at)| {
            (side, px, qty) == (r.side, r.px, r.qty) && r.now.saturating_since(at) < limits.duplicate_within_ns
        });
        add(Refusal::Duplicate, Some(!repeats), is_new, Some(Measure::Is(repeats)), Bound::Is(false));
        out
    }
}
