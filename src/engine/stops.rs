//! The stop order that protects a position at the venue, so that its loss has a bound when this process is gone.
//!
//! At most one for each instrument: placed once a position opens, changed with it, cancelled when it is closed. It is an order in the
//! table like any other, but only ever shrinks a position: nothing is reserved for it, it is no order to be met by ours, and it goes
//! with its position instead of with trading. What the venue refuses is tried again a few times; where the price has passed the
//! trigger already, the position is closed the way in which breakers close it.

use super::instrument::Instrument;
use super::{Engine, Mode, Probe};
use crate::order::{Change, News, Order, OrderState};
use crate::risk::{Refusal, Spend};
use crate::strategy::{StopWish, Strategy};
use crate::types::{
    ClientOrderId, Command, CommandKind, CommandSink, InstrumentId, Lots, Nanos, Op, Rate, Side, Ticks, TimeInForce,
    TriggerBy, is_triggered,
};

/// Where the stop order of a position is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopConfig {
    /// Distance of the trigger from the average entry price, as a share of it; `None`: the trail alone.
    pub loss: Option<Rate>,
    /// Distance at which it follows the best price since the position was opened, as a share of that; `None`: it does not.
    pub trail: Option<Rate>,
    /// Least change of the trigger that is worth an amendment, as a share of it; a change of quantity always is.
    pub step: Rate,
    /// Which price triggers.
    pub by: TriggerBy,
}

impl StopConfig {
    /// The step where none is configured: two hundredths of a percent.
    pub const STEP: Rate = Rate::new(20_000);
}

/// What became of stop orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StopCounts {
    /// Asked for.
    pub placed: u64,
    /// Amendments asked for.
    pub amended: u64,
    /// Cancellations asked for.
    pub cancelled: u64,
    /// Went to the market.
    pub triggered: u64,
    /// Requests that the venue refused, and orders that it ended without being asked or that never arrived.
    pub refused: u64,
    /// Times that it was not tried any more for a minute, since too many requests in a row had been refused.
    pub given_up: u64,
    /// Positions that were closed by the engine because the trigger was passed with no stop order there, or with one in doubt.
    pub passed: u64,
}

/// Stop orders, for people and for the summary.
#[derive(Clone, Debug)]
pub struct StopReport {
    /// What became of them.
    pub counts: StopCounts,
    /// Those that wait at the venue and protect a position.
    pub left: Vec<Order>,
    /// Instruments that hold a position for which one is wanted, and of which none that is large enough is known to wait.
    pub missing: Vec<InstrumentId>,
}

/// Requests in a row that may be refused before there is a pause.
const TRIES_MAX: u32 = 6;

/// Wait after the first refusal; it doubles with each further one.
const RETRY_NS: u64 = 250_000_000;

/// Wait once [`TRIES_MAX`] were refused.
const PAUSE_NS: u64 = 60_000_000_000;

/// So long an order must have waited at the venue for its request to end a row of failures: what is taken and ended at once, again and
/// again, is no success.
const SUCCESS_NS: u64 = 1_000_000_000;

/// The stop order of an instrument, and what it is measured by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Guard {
    /// The order, until the table does not hold it any more: what has ended may still lack executions.
    order: Option<ClientOrderId>,
    /// The order of which we have asked for the end: that it comes is no refusal.
    ending: Option<ClientOrderId>,
    /// It went to the market and not all that it did is booked: what the position will be is not known, so that nothing is quoted.
    pub is_at_market: bool,
    /// The trigger was passed with no order there: the position is being closed.
    pub is_passed: bool,
    /// A strategy has spoken of stop orders.
    is_asked: bool,
    wished: Option<(Ticks, TriggerBy)>,
    /// Direction of the position when it was looked at last.
    sign: i64,
    /// Best price since it was opened, at the timers.
    best: Option<Ticks>,
    /// Requests in a row that came to nothing. It and the wait outlast the position: the venue refuses an instrument, not a direction.
    failures: u32,
    retry_at: Nanos,
    /// Since when the last request is known to have succeeded; `None` after a failure.
    taken_at: Option<Nanos>,
    /// The request for which the rate budget had nothing when it was wanted last.
    waits_for: Option<Spend>,
}

/// How many stop orders wait for the rate budget: what trades leaves it to them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    creates: u32,
    amends: u32,
}

impl Waiting {
    fn of(&mut self, spend: Spend) -> &mut u32 {
        if spend == Spend::Create { &mut self.creates } else { &mut self.amends }
    }

    /// Whether one waits for a request of that kind, [`Spend::Create`] or [`Spend::Amend`].
    #[inline]
    const fn is_any(self, spend: Spend) -> bool {
        (if matches!(spend, Spend::Create) { self.creates } else { self.amends }) > 0
    }
}

impl Guard {
    /// Takes a strategy's wish; returns whether it is another.
    pub fn note_wish(&mut self, wish: StopWish) -> bool {
        let wished = match wish {
            StopWish::Same => return false,
            StopWish::Nothing => None,
            StopWish::At { trigger, by } => Some((trigger, by)),
        };
        self.is_asked = true;
        std::mem::replace(&mut self.wished, wished) != wished
    }

    /// Notes a request that came to nothing; returns whether it was the last one for a while.
    fn note_failure(&mut self, now: Nanos) -> bool {
        if self.taken_at.take().is_some_and(|since| now.saturating_since(since) >= SUCCESS_NS) {
            self.failures = 0;
        }
        self.failures += 1;
        let has_given_up = self.failures >= TRIES_MAX;
        let wait = if has_given_up { PAUSE_NS } else { RETRY_NS << (self.failures - 1) };
        if has_given_up {
            self.failures = 0;
        }
        self.retry_at = now.saturating_add(wait);
        has_given_up
    }
}

/// The nearer to the market of two triggers.
fn nearer(side: Side, a: (Ticks, TriggerBy), b: Option<(Ticks, TriggerBy)>) -> (Ticks, TriggerBy) {
    let is_nearer = |b: Ticks| if side == Side::Ask { b > a.0 } else { b < a.0 };
    b.filter(|b| is_nearer(b.0)).unwrap_or(a)
}

impl Instrument {
    /// The average entry price of its position.
    fn entry_px(&self) -> Option<Ticks> {
        let unit = self.spec.notional(Ticks::new(1), self.holding.position).get();
        let cost = self.holding.cost.get();
        // An inverse contract is worth one unit at a price of one, and less at a higher one.
        let px = if self.spec.is_inverse() { unit.checked_div(cost) } else { cost.checked_div(unit) };
        px.and_then(|px| i64::try_from(px).ok()).map(Ticks::new).filter(|px| *px > Ticks::ZERO)
    }

    /// The newest price that triggers, in whole ticks.
    fn reference(&self, by: TriggerBy) -> Option<Ticks> {
        match by {
            TriggerBy::Last => self.last_px,
            TriggerBy::Mark => {
                let mark = self.ticker.as_ref().map(|ticker| ticker.mark_px.get()).filter(|px| *px > 0)?;
                i64::try_from(mark / self.spec.tick.pico()).ok().map(Ticks::new)
            }
        }
    }

    /// Whether the newest price has reached a trigger.
    fn has_passed(&self, side: Side, (trigger, by): (Ticks, TriggerBy)) -> bool {
        let trigger = i128::from(trigger.get());
        match by {
            TriggerBy::Last => self.last_px.is_some_and(|px| is_triggered(side, trigger, px.get().into())),
            // It need not lie on a tick.
            TriggerBy::Mark => self.ticker.as_ref().is_some_and(|ticker| {
                let mark = ticker.mark_px.get();
                mark > 0 && is_triggered(side, trigger.saturating_mul(self.spec.tick.pico()), mark)
            }),
        }
    }

    /// Where the stop of its position is to be, on `side`.
    fn wanted_stop(&mut self, side: Side, config: Option<&StopConfig>) -> Option<(Ticks, TriggerBy)> {
        // Against a long position it lies below.
        let away = |px: Ticks, share: Rate| {
            let distance = px.share(share).max(1);
            let px = px.saturating_add(if side == Side::Ask { -distance } else { distance });
            (px > Ticks::ZERO).then_some(px)
        };
        let mut wanted = self.guard.wished;
        let Some(config) = config else { return wanted };
        if let Some(trail) = config.trail
            && let Some(px) = self.reference(config.by)
        {
            let is_better = |best: Ticks| if side == Side::Ask { px > best } else { px < best };
            if self.guard.best.is_none_or(is_better) {
                self.guard.best = Some(px);
            }
            if let Some(trigger) = self.guard.best.and_then(|best| away(best, trail)) {
                wanted = Some(nearer(side, (trigger, config.by), wanted));
            }
        }
        if let Some(trigger) = config.loss.and_then(|loss| away(self.entry_px()?, loss)) {
            wanted = Some(nearer(side, (trigger, config.by), wanted));
        }
        wanted
    }
}

impl<S: Strategy, P: Probe> Engine<S, P> {
    /// Brings the stop order of an instrument closer to what is wanted: after executions, news of the order, and with each timer.
    #[inline]
    pub(super) fn work_stop(&mut self, id: InstrumentId, out: &mut impl CommandSink) {
        let Some(instrument) = self.instruments.get(id.idx()) else { return };
        if self.config.stops.is_some() || instrument.guard.is_asked {
            self.work_guard(id, out);
        }
    }

    #[cold]
    fn work_guard(&mut self, id: InstrumentId, out: &mut impl CommandSink) {
        let config = self.config.stops;
        let Some(instrument) = self.instruments.get_mut(id.idx()) else { return };
        if let Some(spend) = instrument.guard.waits_for.take() {
            // If it is still wanted, it waits again.
            let waiting = self.stops_waiting.of(spend);
            *waiting = waiting.saturating_sub(1);
        }
        let position = instrument.holding.position;
        let sign = if instrument.is_hedge { 0 } else { position.get().signum() };
        if sign != instrument.guard.sign {
            // What was wanted before it opened is of the new position.
            let guard = &mut instrument.guard;
            guard.wished = guard.wished.filter(|_| guard.sign == 0);
            guard.sign = sign;
            guard.best = None;
            if std::mem::take(&mut guard.is_passed) {
                instrument.is_leaving = self.entry.is_on() && self.entry.is_leaving(id);
            }
        }
        let side = if sign > 0 { Side::Ask } else { Side::Bid };
        let wanted = if sign == 0 { None } else { instrument.wanted_stop(side, config.as_ref()) };
        let qty = position.saturating_abs().min(instrument.spec.max_qty);
        let may_try = self.now >= instrument.guard.retry_at;
        let has_passed = wanted.is_some_and(|wanted| instrument.has_passed(side, wanted));
        let is_placeable = qty >= instrument.spec.min_qty;
        let order = instrument.guard.order.and_then(|order| self.orders.get(order)).copied();
        instrument.guard.is_at_market = order.is_some_and(|order| order.is_triggered);
        match (order, wanted) {
            (None, None) => {}
            (None, Some(_)) if has_passed => self.close_passed(id, out),
            (None, Some((trigger, by))) => {
                if may_try && is_placeable {
                    self.place_stop(id, side, trigger, qty, by, out);
                }
            }
            // The price is past the trigger, and whether an order waits for that, or goes the right way, is in doubt. A create that is
            // overdue is `Unknown` by the timer. Whatever of the two comes second finds nothing left.
            (Some(order), _) if has_passed && (order.state == OrderState::Unknown || order.side != side) => {
                self.close_passed(id, out);
                if order.state == OrderState::Live && !order.is_triggered {
                    self.cancel_stop(order.id, out);
                }
            }
            // Something is under way, or at the market, or executions are: they will be told.
            (Some(order), _) if order.state != OrderState::Live || order.is_triggered => {}
            (Some(order), None) => self.cancel_stop(order.id, out),
            (Some(order), Some((_, by))) if order.side != side || order.stop != Some(by) => {
                self.cancel_stop(order.id, out);
            }
            (Some(order), Some((trigger, _))) => {
                let whole = qty.saturating_add(order.filled);
                let step = order.px.share(config.map_or(StopConfig::STEP, |config| config.step)).max(1);
                if whole == order.qty && trigger.saturating_diff(order.px).abs() < step {
                    return;
                }
                if has_passed {
                    self.close_passed(id, out);
                } else if may_try && is_placeable {
                    self.amend_stop(&order, trigger, whole, out);
                }
            }
        }
    }

    /// The price has passed where the stop should be: no order at the venue can wait for it any more.
    fn close_passed(&mut self, id: InstrumentId, out: &mut impl CommandSink) {
        let Some(instrument) = self.instruments.get_mut(id.idx()) else { return };
        if self.mode != Mode::Trading || std::mem::replace(&mut instrument.guard.is_passed, true) {
            return;
        }
        self.stop_counts.passed += 1;
        self.leave(id, out);
    }

    /// Also while the engine stops: what is filled until then stays, and is to be protected.
    fn may_ask_for_stops(&self) -> bool {
        matches!(self.mode, Mode::Trading | Mode::Stopping) && self.account.has_order_entry()
    }

    /// A request of what trades: nothing while a stop order waits for one of that kind, on any instrument.
    #[inline]
    pub(super) fn try_take_after_stops(&mut self, spend: Spend) -> bool {
        !self.stops_waiting.is_any(spend) && self.budget.try_take(spend, self.now)
    }

    /// A request for a stop order; where there is none, what trades waits from here on until it has got one or is not wanted any more.
    fn try_take_for_stop(&mut self, id: InstrumentId, spend: Spend) -> bool {
        if self.budget.try_take(spend, self.now) {
            return true;
        }
        if let Some(instrument) = self.instruments.get_mut(id.idx())
            && instrument.guard.waits_for.replace(spend).is_none()
        {
            *self.stops_waiting.of(spend) += 1;
        }
        false
    }

    fn place_stop(
        &mut self,
        id: InstrumentId,
        side: Side,
        trigger: Ticks,
        qty: Lots,
        by: TriggerBy,
        out: &mut impl CommandSink,
    ) {
        if !self.may_ask_for_stops() || !self.account.is_synced || !self.try_take_for_stop(id, Spend::Create) {
            return;
        }
        let tif = TimeInForce::ImmediateOrCancel;
        let rules = self.config.reconcile.rules;
        let order = Order::new((id, side), (trigger, qty), tif, true, self.now, &rules);
        let Ok(client_id) = self.orders.insert(Order { stop: Some(by), ..order }) else {
            self.budget.give_back(Spend::Create);
            self.risk.refuse(Refusal::OrderTable);
            return;
        };
        let command = self.command(CommandKind::NewStop, id, side, client_id, trigger, qty);
        if !self.send(Command { tif, reduce_only: true, trigger: Some(by), ..command }, out) {
            self.orders.withdraw(client_id);
            self.budget.give_back(Spend::Create);
            self.risk.refuse(Refusal::Gateway);
            return;
        }
        self.stop_counts.placed += 1;
        if let Some(instrument) = self.instruments.get_mut(id.idx()) {
            instrument.guard.order = Some(client_id);
        }
    }

    fn amend_stop(&mut self, order: &Order, trigger: Ticks, qty: Lots, out: &mut impl CommandSink) {
        if !self.may_ask_for_stops() || !self.try_take_for_stop(order.instrument, Spend::Amend) {
            return;
        }
        let command = self.command(CommandKind::Amend, order.instrument, order.side, order.id, trigger, qty);
        let request = order.request.wrapping_add(1);
        if !self.send(Command { request, reduce_only: true, trigger: order.stop, ..command }, out) {
            self.budget.give_back(Spend::Amend);
            self.risk.refuse(Refusal::Gateway);
            return;
        }
        self.stop_counts.amended += 1;
        self.orders.apply(order.id, &News::AskAmend(trigger, qty), self.now, &self.config.reconcile.rules);
    }

    fn cancel_stop(&mut self, id: ClientOrderId, out: &mut impl CommandSink) {
        if !self.cancel(id, out) {
            return;
        }
        self.stop_counts.cancelled += 1;
        let instrument = self.orders.get(id).map(|order| order.instrument);
        if let Some(instrument) = instrument.and_then(|instrument| self.instruments.get_mut(instrument.idx())) {
            instrument.guard.ending = Some(id);
        }
    }

    /// What follows from news of a stop order.
    #[cold]
    pub(super) fn on_stop_news(&mut self, change: &Change, news: &News, out: &mut impl CommandSink) {
        let Change { before, after, .. } = change;
        let is_refused = match news {
            News::Reject(Op::Create, ..) => after.state == OrderState::Rejected && !before.state.is_final(),
            News::Reject(Op::Amend, ..) => before.state == OrderState::PendingAmend && after.state == OrderState::Live,
            // The venue ended it or never had it, and nobody had asked.
            _ if before.state.is_final() => false,
            _ => match after.state {
                OrderState::Rejected => true,
                // The rest of what went to the market is cancelled by rule.
                OrderState::Cancelled => !after.is_triggered && !self.has_asked_for_end(after),
                _ => false,
            },
        };
        // What was outdated by the news goes before anything else is asked for.
        self.work_quotes(after.instrument, out);
        let is_told = matches!(news, News::Told(_)) && after.state == OrderState::Live && !after.is_triggered;
        let is_first = before.state != OrderState::Live || !before.is_heard;
        if is_told
            && is_first
            && let Some(instrument) = self.instruments.get_mut(after.instrument.idx())
        {
            instrument.guard.taken_at = Some(self.now);
        }
        if is_refused && let Some(instrument) = self.instruments.get_mut(after.instrument.idx()) {
            self.stop_counts.refused += 1;
            self.stop_counts.given_up += u64::from(instrument.guard.note_failure(self.now));
            self.risk.refuse(Refusal::StopOrder);
        }
        self.work_stop(after.instrument, out);
    }

    fn has_asked_for_end(&self, order: &Order) -> bool {
        self.instruments.get(order.instrument.idx()).is_some_and(|it| it.guard.ending == Some(order.id))
    }

    /// The part of [`Engine::after_change`] that a stop order has.
    #[cold]
    pub(super) fn after_stop_change(&mut self, before: &Order, after: &Order) {
        let is_triggered = after.is_triggered && !before.is_triggered;
        self.stop_counts.triggered += u64::from(is_triggered);
        if (is_triggered || after.filled != before.filled)
            && let Some(instrument) = self.instruments.get_mut(after.instrument.idx())
        {
            // What only shrank the position may open one by now: it passes risk anew, or goes.
            instrument.guard.is_at_market |= instrument.guard.order == Some(after.id);
            instrument.renew_quotes();
        }
    }

    /// Whether an order of that side and size, besides what is open, only shrinks a position that a stop order shrinks, too: whichever
    /// comes second is to find nothing left.
    pub(super) fn must_only_reduce(&self, id: InstrumentId, side: Side, qty: Lots) -> bool {
        let Some(instrument) = self.instruments.get(id.idx()) else { return false };
        let exposure = &instrument.exposure;
        instrument.guard.order.is_some_and(|order| self.orders.get(order).is_some())
            && exposure.position.get().signum() == -side.sign()
            && exposure.open[side as usize].qty.saturating_add(qty) <= exposure.position.saturating_abs()
    }

    /// Whether an order is a stop order that waits at the venue and protects a position.
    pub(super) fn is_left(&self, order: &Order) -> bool {
        let is_held = |instrument: &Instrument| !instrument.holding.position.is_zero();
        order.stop.is_some()
            && order.state == OrderState::Live
            && !order.is_triggered
            && self.instruments.get(order.instrument.idx()).is_some_and(is_held)
    }

    pub(super) fn stops_left(&self) -> impl Iterator<Item = &Order> {
        self.orders.iter().filter(|order| self.is_left(order))
    }

    /// Whether a position of which a stop order is wanted has none of at least its quantity, as far as one order may have that.
    fn lacks_stop(&self, id: InstrumentId) -> bool {
        let Some(instrument) = self.instruments.get(id.idx()) else { return false };
        let position = instrument.holding.position;
        let is_wanted = self.config.stops.is_some() || instrument.guard.wished.is_some();
        if position.is_zero() || instrument.is_hedge || !is_wanted {
            return false;
        }
        let side = if position > Lots::ZERO { Side::Ask } else { Side::Bid };
        let qty = position.saturating_abs().min(instrument.spec.max_qty);
        let protects = |order: &Order| order.side == side && order.qty.saturating_sub(order.filled) >= qty;
        !self.stops_left().any(|order| order.instrument == id && protects(order))
    }

    pub(super) fn stop_report(&self) -> Option<StopReport> {
        let is_one = self.config.stops.is_some() || self.instruments.iter().any(|it| it.guard.is_asked);
        is_one.then(|| StopReport {
            counts: self.stop_counts,
            left: self.stops_left().copied().collect(),
            missing: (0..self.instruments.len())
                .map(|idx| InstrumentId(idx as u16))
                .filter(|id| self.lacks_stop(*id))
                .collect(),
        })
    }
}
