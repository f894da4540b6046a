//! Turns what is wanted into requests: at most one working order per side, at most one request under way for each, and
//! never more than the rate budget. What cannot leave now waits as the newest wish and is looked at again with the next
//! event of the instrument or the next timer.

use super::instrument::Instrument;
use super::{Engine, Probe};
use crate::order::{News, Order, OrderState};
use crate::risk::{Refusal, Request, Risk, Spend};
use crate::strategy::{Strategy, Take};
use crate::types::{
    BookState, ClientOrderId, Command, CommandKind, CommandSink, InstrumentId, Lots, Money, SettleId, Side, Ticks,
    TimeInForce,
};

/// What a side needs.
enum Need {
    Nothing,
    New(Ticks, Lots),
    Amend(ClientOrderId, Ticks, Lots),
    Cancel(ClientOrderId),
}

impl<S: Strategy, P: Probe> Engine<S, P> {
    /// Brings both quotes of an instrument closer to what is wanted.
    pub(super) fn work_quotes(&mut self, id: InstrumentId, out: &mut impl CommandSink) {
        let Some(instrument) = self.instruments.get(id.idx()) else { return };
        if !instrument.has_work() {
            return;
        }
        // The side that moves away from the other goes first, so that our own quotes do not meet.
        let rises = match (instrument.quotes[0].wanted, self.quote_px(id, Side::Bid)) {
            (Some((wanted, _)), Some(working)) => wanted > working,
            _ => false,
        };
        let sides = if rises { [Side::Ask, Side::Bid] } else { [Side::Bid, Side::Ask] };
        for side in sides {
            self.work_quote(id, side, out);
        }
    }

    fn work_quote(&mut self, id: InstrumentId, side: Side, out: &mut impl CommandSink) {
        let is_done = match self.need(id, side) {
            None => false,
            Some(Need::Nothing) => true,
            Some(Need::Cancel(order)) => self.cancel(order, out),
            Some(Need::New(px, _) | Need::Amend(_, px, _)) if self.must_let_pass(id, side, px) => false,
            Some(Need::New(px, qty)) => self.place_quote(id, side, px, qty, out),
            Some(Need::Amend(order, px, qty)) => self.amend_quote(id, side, order, px, qty, out),
        };
        if is_done && let Some(instrument) = self.instruments.get_mut(id.idx()) {
            instrument.quotes[side as usize].is_dirty = false;
        }
    }

    /// What the side needs now; `None` if an answer must come first.
    fn need(&self, id: InstrumentId, side: Side) -> Option<Need> {
        let quote = self.instruments.get(id.idx())?.quotes[side as usize];
        if !quote.is_dirty {
            return Some(Need::Nothing);
        }
        let order = quote.order.and_then(|order| self.orders.get(order));
        let Some(order) = order else {
            return Some(quote.wanted.map_or(Need::Nothing, |(px, qty)| Need::New(px, qty)));
        };
        if order.state != OrderState::Live {
            return None;
        }
        Some(match quote.wanted {
            _ if quote.is_outdated => Need::Cancel(order.id),
            None => Need::Cancel(order.id),
            Some((px, qty)) => {
                // `qty` is what should still be filled; the venue takes whole quantities.
                let whole = qty.saturating_add(order.filled);
                if (px, whole) == (order.px, order.qty) { Need::Nothing } else { Need::Amend(order.id, px, whole) }
            }
        })
    }

    /// Whether a quote at `px` would meet our own on the other side where that one is now, and not where it is going to be: then it is
    /// a wish that waits, not an order that is refused.
    fn must_let_pass(&self, id: InstrumentId, side: Side, px: Ticks) -> bool {
        let Some(instrument) = self.instruments.get(id.idx()) else { return false };
        let other = &instrument.quotes[side.opposite() as usize];
        let Some(order) = other.order.and_then(|order| self.orders.get(order)) else { return false };
        let is_apart = |other: Ticks| if side == Side::Bid { px < other } else { px > other };
        let is_leaving = other.is_dirty || order.state != OrderState::Live;
        is_leaving
            && other.wanted.is_none_or(|(wanted, _)| is_apart(wanted))
            && !(is_apart(order.px) && order.asked.is_none_or(|(asked, _)| is_apart(asked)))
    }

    /// What an instrument is settled in.
    #[inline]
    fn settle(&self, id: InstrumentId) -> SettleId {
        self.instruments.get(id.idx()).map_or(SettleId::default(), |it| it.settle)
    }

    fn request<'a>(
        &'a self,
        id: InstrumentId,
        side: Side,
        px: Ticks,
        qty: Lots,
        replaces: (Lots, Money),
    ) -> Option<Request<'a>> {
        let instrument = self.instruments.get(id.idx())?;
        Some(Request {
            spec: &instrument.spec,
            side,
            px,
            qty,
            reduce_only: false,
            is_closing: false,
            level: instrument.level,
            replaces,
            px_floor: Ticks::ZERO,
            now: self.now,
            is_book_live: instrument.state == BookState::Live,
            touch: instrument.fused.touch(),
            confirmed_at: instrument.fused.confirmed_at(),
            last_px: instrument.last_px,
            exposure: &instrument.exposure,
            takes: false,
            flow: &instrument.flow,
            own_opposite_px: self.own_px(id, side.opposite()),
        })
    }

    /// Places a resting order for a quote; returns whether nothing is left to do (a refusal is final until the wish
    /// changes, an empty budget is not).
    fn place_quote(&mut self, id: InstrumentId, side: Side, px: Ticks, qty: Lots, out: &mut impl CommandSink) -> bool {
        if !self.risk.is_trading() {
            return true;
        }
        if !self.try_take_after_stops(Spend::Create) {
            return false;
        }
        match self.place(id, side, px, qty, TimeInForce::PostOnly, false, out) {
            Ok(order) => {
                if let Some(instrument) = self.instruments.get_mut(id.idx()) {
                    instrument.quotes[side as usize].order = Some(order);
                }
                true
            }
            Err(refusal) => {
                self.budget.give_back(Spend::Create);
                // These pass by themselves; the others need another wish.
                !matches!(refusal, Refusal::SelfTrade | Refusal::Duplicate | Refusal::Gateway | Refusal::OrderTable)
            }
        }
    }

    /// Takes the touch with an order that fills at once or not at all.
    pub(super) fn take(&mut self, id: InstrumentId, take: &Take, out: &mut impl CommandSink) {
        // One that only shrinks a position protects, too.
        let has_token = match take.reduce_only {
            true => self.budget.try_take(Spend::Create, self.now),
            false => self.try_take_after_stops(Spend::Create),
        };
        if !has_token {
            self.risk.refuse(Refusal::OrderRate);
            return;
        }
        let tif = TimeInForce::ImmediateOrCancel;
        let reduce_only = take.reduce_only || self.must_only_reduce(id, take.side, take.qty);
        if self.place(id, take.side, take.px, take.qty, tif, reduce_only, out).is_err() {
            self.budget.give_back(Spend::Create);
        }
    }

    #[allow(clippy::too_many_arguments)] // One order, spelt out; a struct would be built and taken apart on the spot.
    pub(super) fn place(
        &mut self,
        id: InstrumentId,
        side: Side,
        px: Ticks,
        qty: Lots,
        tif: TimeInForce,
        reduce_only: bool,
        out: &mut impl CommandSink,
    ) -> Result<ClientOrderId, Refusal> {
        self.refresh(id);
        let none = (Lots::ZERO, Money::ZERO);
        let Some(request) = self.request(id, side, px, qty, none) else { return Err(Refusal::BookNotLive) };
        // A sale that takes is filled at the bid, which may have risen by then.
        let takes = tif != TimeInForce::PostOnly;
        let settle = self.settle(id);
        let risk = self.risk.of(settle);
        let px_floor = match side {
            // Of an inverse contract it is the purchase, which is filled at the ask, that may be worth more.
            _ if request.spec.is_inverse() => {
                if takes && side == Side::Bid {
                    risk.lowest_ask(request.touch)
                } else {
                    Ticks::ZERO
                }
            }
            Side::Ask if takes => risk.highest_bid(request.touch),
            _ => Ticks::ZERO,
        };
        let is_closing = reduce_only && self.is_to_be_closed(id);
        let request = Request { reduce_only, is_closing, px_floor, takes, ..request };
        let verdict = risk.verdict(&request);
        self.probe.checked(risk, &self.budget, &request, verdict);
        if let Some(refusal) = verdict {
            return Err(self.risk.of_mut(settle).refuse(refusal));
        }
        let rules = self.config.reconcile.rules;
        let order = Order::new((id, side), (px, qty), tif, reduce_only, self.now, &rules);
        let order = Order { px_floor, ..order };
        let Ok(client_id) = self.orders.insert(order) else { return Err(self.risk.refuse(Refusal::OrderTable)) };
        let command = self.command(CommandKind::New, id, side, client_id, px, qty);
        if !self.send(Command { tif, reduce_only, ..command }, out) {
            self.orders.withdraw(client_id);
            return Err(self.risk.refuse(Refusal::Gateway));
        }
        if let Some(instrument) = self.instruments.get_mut(id.idx()) {
            let value = order.value_max(&instrument.spec);
            let exposure = &mut instrument.exposure;
            exposure.open[side as usize] =
                exposure.open[side as usize].with(qty, value, order.dearness(&instrument.spec));
            exposure.open_orders += 1;
            Risk::note_sent(exposure, side, px, qty, self.now);
            instrument.open_takes += u32::from(tif == TimeInForce::ImmediateOrCancel);
            if takes {
                instrument.flow.on_take(side, px, self.now);
                self.entry.on_take(id, side, instrument.fused.touch());
            }
        }
        self.recount(id);
        Ok(client_id)
    }

    fn amend_quote(
        &mut self,
        id: InstrumentId,
        side: Side,
        client_id: ClientOrderId,
        px: Ticks,
        qty: Lots,
        out: &mut impl CommandSink,
    ) -> bool {
        let Some(&order) = self.orders.get(client_id) else { return true };
        if !self.risk.is_trading() {
            return true;
        }
        if !self.try_take_after_stops(Spend::Amend) {
            return false;
        }
        self.refresh(id);
        let leaves = qty.saturating_sub(order.filled);
        let Some(instrument) = self.instruments.get(id.idx()) else { return true };
        let replaces = (order.leaves_max(), order.value_max(&instrument.spec));
        let Some(request) = self.request(id, side, px, leaves, replaces) else { return true };
        let risk = self.risk.of(self.settle(id));
        let verdict = risk.verdict(&request);
        self.probe.checked(risk, &self.budget, &request, verdict);
        if let Some(refusal) = verdict {
            self.budget.give_back(Spend::Amend);
            self.risk.refuse(refusal);
            if matches!(refusal, Refusal::SelfTrade) {
                return false;
            }
            // A quote that may not move may not stay where nobody wants it either.
            return self.cancel(client_id, out);
        }
        let command = self.command(CommandKind::Amend, id, side, client_id, px, qty);
        if !self.send(Command { request: order.request.wrapping_add(1), ..command }, out) {
            self.budget.give_back(Spend::Amend);
            self.risk.refuse(Refusal::Gateway);
            return false;
        }
        let rules = self.config.reconcile.rules;
        if let Some(change) = self.orders.apply(client_id, &News::AskAmend(px, qty), self.now, &rules) {
            self.after_change(&change.before, &change.after);
        }
        // The answer will mark the quote again if the wish has changed by then.
        true
    }

    /// Asks for the end of an order; returns whether the request has left.
    pub(super) fn cancel(&mut self, client_id: ClientOrderId, out: &mut impl CommandSink) -> bool {
        let Some(&order) = self.orders.get(client_id) else { return true };
        // What must go because trading stops or is held may spend the reserve.
        let spend = if self.risk.is_trading() { Spend::Cancel } else { Spend::UrgentCancel };
        if !self.account.has_order_entry() {
            return false;
        }
        if !self.budget.try_take(spend, self.now) {
            if self.orders.note_held_cancel(client_id) {
                self.risk.refuse(Refusal::CancelRate);
            }
            return false;
        }
        let (instrument, side) = (order.instrument, order.side);
        let command = if order.is_adopted {
            let foreign = Command::cancel_foreign(instrument, side, order.venue_order_id, self.cause.recv);
            Command { client_id, stamps: self.cause.stamps, ..foreign }
        } else {
            let command = self.command(CommandKind::Cancel, instrument, side, client_id, order.px, order.qty);
            Command { trigger: order.stop, ..command }
        };
        if !self.send(Command { request: order.request.wrapping_add(1), ..command }, out) {
            self.budget.give_back(spend);
            return false;
        }
        // What the strategy withdraws may be a pattern; what is cancelled because trading stops is none.
        if spend == Spend::Cancel
            && order.stop.is_none()
            && let Some(instrument) = self.instruments.get_mut(order.instrument.idx())
        {
            instrument.flow.on_withdrawal(order.side, order.leaves_max(), self.now, &self.config.risk.fair);
        }
        let rules = self.config.reconcile.rules;
        self.orders.apply(client_id, &News::AskCancel, self.now, &rules);
        true
    }

    /// Asks for the end of every order for which that is not under way. Called again by the timer until none is left.
    pub(super) fn cancel_everything(&mut self, out: &mut impl CommandSink) {
        self.cancel_where(|_| true, out);
    }

    /// The same for instruments that are withdrawn.
    pub(super) fn cancel_withdrawn(&mut self, out: &mut impl CommandSink) {
        self.cancel_where(|instrument| instrument.is_withdrawn, out);
    }

    pub(super) fn cancel_where(&mut self, is_meant: impl Fn(&Instrument) -> bool, out: &mut impl CommandSink) {
        let patience = self.config.answer_within_ns;
        loop {
            let now = self.now;
            let instruments = &self.instruments;
            let next = self.orders.iter().find(|order| match order.state {
                _ if !instruments.get(order.instrument.idx()).is_none_or(&is_meant) => false,
                // It goes with its position, not with trading.
                _ if order.stop.is_some() => false,
                OrderState::Live | OrderState::PendingAmend => true,
                // In doubt: ask again now and then; a cancel is harmless.
                OrderState::Unknown => now.saturating_since(order.asked_at) >= patience,
                _ => false,
            });
            let Some(client_id) = next.map(|order| order.id) else { return };
            if !self.cancel(client_id, out) {
                return;
            }
        }
    }

    pub(super) fn command(
        &self,
        kind: CommandKind,
        instrument: InstrumentId,
        side: Side,
        client_id: ClientOrderId,
        px: Ticks,
        qty: Lots,
    ) -> Command {
        Command {
            kind,
            side,
            tif: TimeInForce::GoodTillCancel,
            reduce_only: false,
            trigger: None,
            instrument,
            client_id,
            request: 1,
            px,
            qty,
            at: self.cause.recv,
            stamps: self.cause.stamps,
        }
    }

    pub(super) fn send(&mut self, mut command: Command, out: &mut impl CommandSink) -> bool {
        command.stamps.decided_ns = self.probe.since(self.cause.recv);
        let has_left = out.push(command);
        self.counts.commands += u64::from(has_left);
        if has_left && let Some(instrument) = self.instruments.get_mut(command.instrument.idx()) {
            instrument.flow.on_request(self.now);
        }
        has_left
    }
}
