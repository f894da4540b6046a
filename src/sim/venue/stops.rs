//! Stop orders: reduce-only market orders that wait for a price.
//!
//! A trigger is met by the first trade (or mark price) of the feed that reaches it, and not before: one that is met when the order
//! comes, or when it is changed, is refused. The event that meets it fills what rests first; then the orders that it triggers go
//! to the market, oldest first, under the numbers that they had all along, and find what is left of the book. What waits ties up no
//! margin, promises to close nothing, and stays when its position is gone; triggered without a position it is cancelled.

use super::{
    AccountId, CancelReason, Lots, Money, Nanos, OrderKind, OrderNo, OrderRecord, OrderStatus, PlaceRequest, Refusal,
    SelfTrade, Side, Ticks, TimeInForce, TriggerBy, Venue, VenueEvent,
};
use crate::sim::LinkId;
use crate::types::{Command, InstrumentId, is_triggered};

/// An order that waits, its trigger as its price.
struct Stop {
    record: OrderRecord,
    by: TriggerBy,
}

/// Every order that waits, oldest first.
#[derive(Default)]
pub(super) struct Stops {
    waiting: Vec<Stop>,
}

impl Stops {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn of(&self, account: AccountId, instrument: InstrumentId) -> impl Iterator<Item = &Stop> {
        let is_meant = move |stop: &&Stop| stop.record.account == account && stop.record.instrument == instrument;
        self.waiting.iter().filter(is_meant)
    }

    fn find(&self, account: AccountId, link: LinkId) -> Option<usize> {
        let is_meant = |stop: &Stop| stop.record.account == account && stop.record.link == link;
        self.waiting.iter().position(is_meant)
    }
}

impl Venue {
    /// Takes a stop order: `request.px` is the trigger, and a reduce-only market order what it becomes.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing was changed.
    pub fn place_stop(
        &mut self,
        account: AccountId,
        request: &PlaceRequest,
        by: TriggerBy,
        now: Nanos,
    ) -> Result<OrderNo, Refusal> {
        let instrument = request.instrument;
        if instrument.idx() >= self.listings.len() || account.0 as usize >= self.accounts.len() {
            return Err(Refusal::Unknown);
        }
        self.check_stop(instrument, request.side, by, request.px, request.qty)?;
        if !request.link.is_none() && self.by_link.contains_key(&(account, request.link)) {
            return Err(Refusal::DuplicateLink);
        }
        if self.stops.of(account, instrument).count() >= self.limits.stops_max {
            return Err(Refusal::TooManyOrders { max: self.limits.stops_max });
        }
        let no = self.next_order_no();
        let record = OrderRecord {
            no,
            account,
            link: request.link,
            instrument,
            side: request.side,
            kind: OrderKind::Market,
            px: request.px,
            qty: request.qty,
            tif: TimeInForce::ImmediateOrCancel,
            reduce_only: true,
            // What must close is not stopped by a quote of its owner that is in the way.
            self_trade: SelfTrade::CancelMaker,
            status: OrderStatus::Untriggered,
            cancelled: None,
            filled: Lots::ZERO,
            filled_value: Money::ZERO,
            fees: Money::ZERO,
            created: now,
            updated: now,
        };
        if !request.link.is_none() {
            self.by_link.insert((account, request.link), no);
        }
        self.stops.waiting.push(Stop { record, by });
        self.events.push(VenueEvent::Order(record));
        Ok(no)
    }

    fn check_stop(
        &self,
        instrument: InstrumentId,
        side: Side,
        by: TriggerBy,
        trigger: Ticks,
        qty: Lots,
    ) -> Result<(), Refusal> {
        let spec = &self.listings[instrument.idx()].spec;
        if trigger <= Ticks::ZERO {
            return Err(Refusal::BadPrice);
        }
        if qty < spec.min_qty || qty > spec.max_qty || qty <= Lots::ZERO {
            return Err(Refusal::BadQty { qty, min: spec.min_qty, max: spec.max_qty });
        }
        if self.is_met(instrument, side, by, trigger) { Err(Refusal::TriggerPassed { trigger }) } else { Ok(()) }
    }

    /// Whether the newest price of that kind has reached a trigger.
    fn is_met(&self, instrument: InstrumentId, side: Side, by: TriggerBy, trigger: Ticks) -> bool {
        let Some(listing) = self.listings.get(instrument.idx()) else { return false };
        let trigger = i128::from(trigger.get());
        match by {
            TriggerBy::Last => listing.last_px.is_some_and(|px| is_triggered(side, trigger, px.get().into())),
            // It need not lie on a tick.
            TriggerBy::Mark => listing
                .mark_px
                .is_some_and(|px| is_triggered(side, trigger.saturating_mul(listing.spec.tick.pico()), px.get())),
        }
    }

    /// Changes trigger and quantity of a stop order that waits.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing was changed. One that was triggered is [`Refusal::UnknownOrder`].
    pub(super) fn amend_stop(&mut self, account: AccountId, command: &Command, now: Nanos) -> Result<(), Refusal> {
        let link = LinkId::from_client_id(command.client_id);
        let at = self.stops.find(account, link).ok_or(Refusal::UnknownOrder)?;
        let Stop { record, by } = &self.stops.waiting[at];
        let (by, px, qty) = (*by, command.px, command.qty);
        if (px, qty) == (record.px, record.qty) {
            return Err(Refusal::NothingToAmend);
        }
        self.check_stop(record.instrument, record.side, by, px, qty)?;
        let record = &mut self.stops.waiting[at].record;
        (record.px, record.qty, record.updated) = (px, qty, now);
        self.events.push(VenueEvent::Order(*record));
        Ok(())
    }

    /// Whether an order of that name waits for its trigger.
    #[inline]
    pub(super) fn is_waiting(&self, account: AccountId, link: LinkId) -> bool {
        !self.stops.is_empty() && self.stops.find(account, link).is_some()
    }

    pub(super) fn cancel_stop(&mut self, account: AccountId, link: LinkId, now: Nanos) -> Result<(), Refusal> {
        let at = self.stops.find(account, link).ok_or(Refusal::UnknownOrder)?;
        let record = self.take_stop(at);
        self.end_stop(&record, CancelReason::ByUser, now);
        Ok(())
    }

    /// Cancels every stop order of an account in an instrument, and returns their numbers.
    pub(super) fn cancel_stops(&mut self, account: AccountId, instrument: InstrumentId, now: Nanos) -> Vec<OrderNo> {
        let links: Vec<LinkId> = self.stops.of(account, instrument).map(|stop| stop.record.link).collect();
        let mut cancelled = Vec::new();
        for link in links {
            if let Some(at) = self.stops.find(account, link) {
                let record = self.take_stop(at);
                cancelled.push(record.no);
                self.end_stop(&record, CancelReason::ByUser, now);
            }
        }
        cancelled
    }

    /// Returns the stop orders of an account that wait in an instrument, oldest first, their triggers as their prices.
    pub fn waiting_stops(&self, account: AccountId, instrument: InstrumentId) -> impl Iterator<Item = &OrderRecord> {
        self.stops.of(account, instrument).map(|stop| &stop.record)
    }

    fn take_stop(&mut self, at: usize) -> OrderRecord {
        let record = self.stops.waiting.remove(at).record;
        self.by_link.remove(&(record.account, record.link));
        record
    }

    fn end_stop(&mut self, record: &OrderRecord, reason: CancelReason, now: Nanos) {
        let ended = OrderRecord { status: OrderStatus::Cancelled, cancelled: Some(reason), updated: now, ..*record };
        self.events.push(VenueEvent::Order(ended));
    }

    /// Sends to the market whatever the newest price of that kind triggers.
    pub(super) fn work_stops(&mut self, instrument: InstrumentId, by: TriggerBy, now: Nanos) {
        // A triggered order may move the price and trigger the next; each round has one less.
        while let Some(at) = self.stops.waiting.iter().position(|stop| {
            let record = &stop.record;
            record.instrument == instrument && stop.by == by && self.is_met(instrument, record.side, by, record.px)
        }) {
            let record = self.take_stop(at);
            let request = PlaceRequest {
                instrument,
                side: record.side,
                kind: OrderKind::Market,
                px: Ticks::ZERO,
                qty: record.qty,
                tif: TimeInForce::ImmediateOrCancel,
                reduce_only: true,
                self_trade: record.self_trade,
                link: record.link,
            };
            if let Err(refusal) = self.place_as(record.account, &request, Some(record.no), now) {
                let is_gone = refusal == Refusal::ReduceOnly;
                let reason = if is_gone { CancelReason::ReduceOnly } else { CancelReason::NoLiquidity };
                self.end_stop(&record, reason, now);
            }
        }
    }

    pub(super) fn assert_stops(&self) {
        for Stop { record, by } in &self.stops.waiting {
            assert_eq!(record.status, OrderStatus::Untriggered, "what waits is not at the market");
            assert!(!self.orders.contains(record.no), "an order waits or is at the market");
            assert!(
                !self.is_met(record.instrument, record.side, *by, record.px),
                "a trigger that is met is not waited for"
            );
            let count = self.stops.of(record.account, record.instrument).count();
            assert!(count <= self.limits.stops_max, "no more wait than may");
        }
    }
}
