//! Every check of an order with what was measured: the long form of [`Risk::verdict`], for people.
//!
//! The two are tested to agree: the first check here that refuses is the verdict.

use super::capital::money_of_e8;
use super::{BreakerLevel, Refusal, Request, Risk, abs};
use crate::types::{Lots, Money, Rate, Side, Ticks};

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
    /// This or more.
    AtLeast(Measure),
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
        let others = r.others();
        let shrinks = exposure.shrinks(r.side, others.qty, r.qty);
        let is_new = r.is_new();

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

        let may = self.is_trading || (r.is_closing && shrinks);
        add(Refusal::KillSwitch, Some(may), true, Some(Measure::Is(may)), Bound::Is(true));
        let loss = self.equity_day_start.map_or(Money::ZERO, |start| start.saturating_sub(self.equity));
        let most = limits.day_loss_max;
        add(Refusal::DayLoss, Some(loss < most), !shrinks, money(loss), Bound::Below(Measure::Money(most)));
        let (fall, most) = (self.equity_peak.saturating_sub(self.equity), limits.drawdown_max);
        add(Refusal::Drawdown, Some(fall < most), !shrinks, money(fall), Bound::Below(Measure::Money(most)));
        let may_grow = r.level < BreakerLevel::ReduceOnly;
        add(Refusal::Breaker, Some(may_grow), !shrinks, Some(Measure::Is(may_grow)), Bound::Is(true));
        let (is_needed, is_given) = (limits.permit_fresh_ns.is_some(), self.is_permitted(r.now));
        add(Refusal::Ghost, Some(is_given), is_needed && !shrinks, Some(Measure::Is(is_given)), Bound::Is(true));

        let both = r.touch.bid.zip(r.touch.ask);
        let is_live = r.is_book_live && both.is_some();
        add(Refusal::BookNotLive, Some(is_live), true, Some(Measure::Is(is_live)), Bound::Is(true));
        let spread = both.map(|(bid, ask)| ask.px.saturating_diff(bid.px));
        let measured = spread.map(|spread| Measure::Px(Ticks::new(spread)));
        let is_good = spread.map(|spread| spread > 0);
        add(Refusal::CrossedBook, is_good, true, measured, Bound::AtLeast(Measure::Px(Ticks::new(1))));
        let (age, most) = (r.now.saturating_since(r.confirmed_at), limits.stale_after_ns);
        let bound = Bound::AtMost(Measure::Nanos(most));
        add(Refusal::StaleBook, Some(age <= most), true, Some(Measure::Nanos(age)), bound);
        add(Refusal::Currency, Some(limits.is_given), true, Some(Measure::Is(limits.is_given)), Bound::Is(true));

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
        let measure = |distance: i64| Measure::Px(Ticks::new(distance.saturating_abs()));
        let most = both.map_or(0, |(bid, _)| bid.px.share(limits.spread_max));
        let is_good = spread.map(|spread| spread <= most);
        add(Refusal::Spread, is_good, !shrinks, spread.map(measure), Bound::AtMost(Measure::Px(Ticks::new(most))));
        let reference = both.map(|(bid, ask)| if r.side == Side::Bid { ask.px } else { bid.px });
        let distance = reference.map(|reference| r.px.saturating_diff(reference).saturating_abs());
        let farthest = reference.map_or(0, |px| px.share(limits.collar));
        let is_good = distance.map(|distance| r.px.get() > 0 && distance <= farthest);
        let bound = Bound::AtMost(Measure::Px(Ticks::new(farthest)));
        add(Refusal::Collar, is_good, true, distance.map(measure), bound);
        let distance = r.last_px.map(|last| r.px.saturating_diff(last).saturating_abs());
        let farthest = r.last_px.map_or(0, |px| px.share(limits.trade_collar));
        let bound = Bound::AtMost(Measure::Px(Ticks::new(farthest)));
        // Unknown refuses, unless the order only shrinks a position.
        let is_on = limits.trade_collar < Rate::ONE;
        let (is_good, applies) = (distance.is_some_and(|d| d <= farthest), is_on && (distance.is_some() || !shrinks));
        add(Refusal::TradeCollar, Some(is_good), applies, distance.map(measure), bound);

        add(Refusal::ReduceOnly, Some(shrinks), r.reduce_only, Some(Measure::Is(shrinks)), Bound::Is(true));
        let (open, most) = (exposure.open_orders, limits.open_orders_max);
        let bound = Bound::Below(Measure::Count(u64::from(most)));
        add(Refusal::OpenOrders, Some(open < most), is_new, Some(Measure::Count(u64::from(open))), bound);

        let after = others.qty.saturating_add(r.qty);
        let other = r.side.opposite();
        // Where it is worth most.
        let px = both.map(|(bid, ask)| if r.spec.is_inverse() { bid.px.min(r.px) } else { ask.px.max(r.px) });
        let reached = px.map(|px| r.spec.notional(px, exposure.reached(r.side, after)));
        let beside = px.map(|px| r.spec.notional(px, exposure.reached(other, exposure.open[other as usize].qty)));
        let worst = reached.zip(beside).map(|(reached, beside)| abs(reached).max(abs(beside)));
        let gross = worst.map(|worst| self.sums.gross.saturating_sub(exposure.counted.gross).saturating_add(worst));
        let net = reached.map(|reached| abs(self.net_with(r, reached)));
        let mut at_most = |check, found: Option<Money>, most: Money| {
            let measured = found.map(Measure::Money);
            // Slow risk that is switched off has no limit to show.
            let applies = !shrinks && (check != Refusal::SlowRisk || limits.slow.is_some());
            add(check, found.map(|found| found <= most), applies, measured, Bound::AtMost(Measure::Money(most)));
        };
        at_most(Refusal::Position, worst, limits.position_value_max);
        at_most(Refusal::GrossExposure, gross, limits.gross_value_max);
        let allowed = limits.slow.map_or(limits.gross_value_max, |_| self.slow.gross_max(r.now, limits));
        at_most(Refusal::SlowRisk, gross, allowed);
        at_most(Refusal::NetExposure, net, limits.net_value_max);
        let committed = if r.spec.is_inverse() {
            self.committed_with::<true>(r, others, value)
        } else {
            self.committed_with::<false>(r, others, value)
        };
        at_most(Refusal::Capital, both.map(|_| money_of_e8(committed)), self.capital);
        // Exposure against what carries it, both times a hundred, so that the leverage stays whole.
        let carried = self.equity.saturating_mul(i64::from(limits.leverage_e2));
        let most = Money::new(carried.get().div_euclid(100));
        let is_good = gross.map(|gross| gross.saturating_mul(100) <= carried);
        add(Refusal::Leverage, is_good, !shrinks, gross.map(Measure::Money), Bound::AtMost(Measure::Money(most)));

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
        let px = reference.unwrap_or(r.px);
        let broken = r.flow.verdict(r.side, r.takes, px, &limits.fair);
        // The first rule that is broken is told; those behind it are not looked at.
        for rule in [Refusal::OrderToTrade, Refusal::QuoteStuffing, Refusal::Layering, Refusal::MomentumIgnition] {
            let is_kept = broken != Some(rule);
            add(rule, Some(is_kept), !shrinks, Some(Measure::Is(is_kept)), Bound::Is(true));
        }
        out
    }
}
