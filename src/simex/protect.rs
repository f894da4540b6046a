//! Requests about orders that wait for a price, and what happens when it is seen.

use super::{
    error::ApiError,
    exchange::{Exchange, flag, parse_px, text},
    stops::{Direction, Ending, Leg, Protection, Stop, StopKind, StopState, Trail, TriggerBy, closing},
};
use crate::{
    sim::{AccountId, Execution, LinkId, OrderKind, OrderNo, PlaceRequest},
    types::{InstrumentId, InstrumentSpec, Lots, Nanos, Product, Side, Ticks, TimeInForce},
};
use serde_json::Value;

/// A trigger, as asked for.
pub(super) struct Trigger {
    pub px: Ticks,
    pub direction: Direction,
    pub by: TriggerBy,
    pub kind: StopKind,
}

impl Exchange {
    /// Reads the trigger of a new order, if it has one.
    pub(super) fn trigger(
        &self,
        instrument: InstrumentId,
        spec: &InstrumentSpec,
        body: &Value,
    ) -> Result<Option<Trigger>, ApiError> {
        let filter = text(body, "orderFilter").filter(|filter| !filter.is_empty()).unwrap_or("Order");
        let is_spot = spec.product == Product::Spot;
        let kind = match filter {
            "Order" | "StopOrder" => StopKind::Conditional,
            "tpslOrder" if is_spot => StopKind::Tpsl,
            _ => return Err(ApiError::param("orderFilter")),
        };
        let Some(px) = price(spec, body, "triggerPrice")? else {
            // On spot the filter alone says that a price is to be waited for.
            return if is_spot && filter != "Order" { Err(ApiError::param("triggerPrice")) } else { Ok(None) };
        };
        let by = trigger_by(body, "triggerBy")?;
        let current = self.price_by(instrument, by);
        if is_spot {
            if filter == "Order" {
                return Err(ApiError::param("orderFilter"));
            }
            let direction = if current.is_some_and(|current| px < current) { Direction::Fall } else { Direction::Rise };
            return Ok(Some(Trigger { px, direction, by, kind }));
        }
        let direction = match body.get("triggerDirection").and_then(Value::as_u64) {
            Some(1) => Direction::Rise,
            Some(2) => Direction::Fall,
            _ => return Err(ApiError::param("triggerDirection")),
        };
        if let Some(current) = current.filter(|current| direction.is_met(px, *current)) {
            let (code, way) = if direction == Direction::Rise { (110_092, "Rising") } else { (110_093, "Falling") };
            let [px, current] = [px, current].map(|px| spec.tick.text(px.get()));
            return Err(ApiError::new(
                code,
                format!("expect {way}, but trigger_price[{px}] against current[{current}]"),
            ));
        }
        Ok(Some(Trigger { px, direction, by, kind }))
    }

    /// Reads take-profit and stop-loss of an order of `side` whose price is to be about `base`.
    pub(super) fn protection(
        &self,
        spec: &InstrumentSpec,
        side: Side,
        base: Option<Ticks>,
        body: &Value,
    ) -> Result<Protection, ApiError> {
        let is_partial = match text(body, "tpslMode") {
            None | Some("" | "Full") => spec.product == Product::Spot,
            Some("Partial") => true,
            Some(_) => return Err(ApiError::param("tpslMode")),
        };
        let leg = |name: &str, by: &str, kind: &str, limit: &str| -> Result<Option<Leg>, ApiError> {
            let Some(px) = price(spec, body, name)? else { return Ok(None) };
            let limit_px = price(spec, body, limit)?;
            let limit = match text(body, kind) {
                None | Some("" | "Market") => None,
                // A limit needs its price, and a part that it is for.
                Some("Limit") if is_partial => Some(limit_px.ok_or_else(|| ApiError::param(limit))?),
                Some(_) => return Err(ApiError::param(kind)),
            };
            Ok(Some(Leg { px, by: trigger_by(body, by)?, limit }))
        };
        let take_profit = leg("takeProfit", "tpTriggerBy", "tpOrderType", "tpLimitPrice")?;
        let stop_loss = leg("stopLoss", "slTriggerBy", "slOrderType", "slLimitPrice")?;
        let protection = Protection { take_profit, stop_loss, is_partial };
        check_sides(spec, side, base, &protection)?;
        Ok(protection)
    }

    /// Takes an order that waits.
    pub(super) fn add_stop(
        &mut self,
        account: AccountId,
        order: PlaceRequest,
        close_on_trigger: bool,
        trigger: &Trigger,
        protection: Protection,
        now: Nanos,
    ) -> Result<OrderNo, ApiError> {
        let instrument = order.instrument;
        let spec = *self.venue.spec(instrument).ok_or_else(|| ApiError::param("symbol"))?;
        let is_spot = spec.product == Product::Spot;
        let most = if is_spot { SPOT_STOPS_MAX } else { STOPS_MAX };
        let of_kind = self.stops.waiting(account, instrument).filter(|stop| stop.kind == trigger.kind);
        if of_kind.count() >= most {
            return Err(ApiError::new(
                if is_spot { 170_810 } else { 110_009 },
                "The number of stop orders exceeds the maximum allowable limit.",
            ));
        }
        let no = self.venue.next_order_no();
        self.stops.protect(no, protection);
        self.stops.add(Stop {
            no,
            account,
            kind: trigger.kind,
            state: StopState::Untriggered,
            order,
            close_on_trigger,
            trigger_px: trigger.px,
            direction: trigger.direction,
            by: trigger.by,
            trail: None,
            pair: None,
            created: now,
            updated: now,
        });
        Ok(no)
    }

    /// Changes an order that waits.
    pub(super) fn amend_stop(
        &mut self,
        no: OrderNo,
        spec: &InstrumentSpec,
        body: &Value,
        now: Nanos,
    ) -> Result<(), ApiError> {
        let stop = *self.stops.get(no).ok_or_else(|| ApiError::param("orderId"))?;
        let px = price(spec, body, "price")?.unwrap_or(stop.order.px);
        let trigger_px = price(spec, body, "triggerPrice")?.unwrap_or(stop.trigger_px);
        let by = if text(body, "triggerBy").is_some() { trigger_by(body, "triggerBy")? } else { stop.by };
        let qty = match text(body, "qty").filter(|qty| !qty.is_empty()) {
            None => stop.order.qty,
            Some(text) => checked_qty(spec, text)?,
        };
        if (px, trigger_px, by, qty) == (stop.order.px, stop.trigger_px, stop.by, stop.order.qty) {
            return Err(ApiError::param("order not modified"));
        }
        self.stops.change(no, now, |stop| {
            (stop.order.px, stop.trigger_px, stop.by, stop.order.qty) = (px, trigger_px, by, qty);
        });
        Ok(())
    }

    /// Cancels an order that waits.
    pub(super) fn end_stop(&mut self, no: OrderNo, ending: Ending, now: Nanos) {
        self.stops.change(no, now, |stop| stop.state = StopState::Deactivated(ending));
    }

    /// Sends a triggered order to the market.
    pub(super) fn fire(&mut self, no: OrderNo, now: Nanos) {
        let Some(stop) = self.stops.get(no).copied().filter(Stop::is_open) else { return };
        let Stop { account, kind, mut order, .. } = stop;
        let position = self.venue.account(account).map(|owner| owner.holding(order.instrument).qty).unwrap_or_default();
        let closable = Lots::new(position.get().saturating_mul(-order.side.sign()).max(0));
        if kind.is_of_position() || (stop.close_on_trigger && order.qty.is_zero()) {
            if closable.is_zero() {
                return self.end_stop(no, Ending::PositionGone, now);
            }
            order.qty = if order.qty.is_zero() { closable } else { order.qty.min(closable) };
        }
        if let Some(other) = stop.pair.filter(|other| self.stops.get(*other).is_some_and(Stop::is_open)) {
            let is_profit = self.stops.get(other).is_some_and(|other| other.kind == StopKind::PartialTakeProfit);
            self.end_stop(other, Ending::Pair { is_profit: !is_profit }, now);
        }
        self.stops.change(no, now, |stop| (stop.state, stop.order.qty) = (StopState::Triggered, order.qty));
        if stop.close_on_trigger || kind.is_whole() {
            // It must close, so other promises to close the same make way.
            let open = self.venue.open_orders(account, order.instrument);
            let others = open.filter(|other| other.reduce_only && other.side == order.side).map(|other| other.no);
            for other in others.collect::<Vec<_>>() {
                let _ = self.venue.cancel(account, other, now); // it is open: it was just listed
            }
        }
        match self.venue.place_as(account, &order, Some(no), now) {
            Ok(_) => self.stops.placed(no),
            Err(_) => self.stops.change(no, now, |stop| stop.state = StopState::Rejected),
        }
    }

    /// Does what an execution means for protections.
    pub(super) fn after_fill(&mut self, execution: &Execution, now: Nanos) {
        let (account, instrument) = (execution.account, execution.instrument);
        let position = self.venue.account(account).map(|owner| owner.holding(instrument).qty).unwrap_or_default();
        let Some(order) = execution.order else { return };
        let protection = self.stops.protection(order.no).copied();
        let waiting = || self.stops.waiting(account, instrument);
        // What closes a position on the other side, or one that is gone, has nothing left to protect.
        let orphans = waiting()
            .filter(|stop| stop.kind.is_of_position() && position.get().saturating_mul(-stop.order.side.sign()) <= 0);
        for no in orphans.map(|stop| stop.no).collect::<Vec<_>>() {
            self.end_stop(no, Ending::PositionGone, now);
        }
        let Some(protection) = protection else { return };
        let spec = self.venue.spec(instrument).map(|spec| spec.product);
        let opened = execution.qty.saturating_sub(execution.closed);
        if opened <= Lots::ZERO {
            return;
        }
        let side = execution.side;
        match (protection.is_partial, spec) {
            (true, Some(Product::Spot)) => {
                self.protect_part(account, instrument, side, opened, &protection, true, now);
            }
            (true, _) => self.protect_part(account, instrument, side, opened, &protection, false, now),
            (false, _) => {
                for (kind, leg) in
                    [(StopKind::TakeProfit, protection.take_profit), (StopKind::StopLoss, protection.stop_loss)]
                {
                    if let Some(leg) = leg {
                        self.protect_whole(account, instrument, side, kind, leg, now);
                    }
                }
            }
        }
    }

    /// Sets take-profit or stop-loss of a whole position of `side`; false if it was so already.
    fn protect_whole(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        side: Side,
        kind: StopKind,
        leg: Leg,
        now: Nanos,
    ) -> bool {
        if let Some(stop) = self.stops.position_stop(account, instrument, kind).copied() {
            if (stop.trigger_px, stop.by) == (leg.px, leg.by) {
                return false;
            }
            self.stops.change(stop.no, now, |stop| (stop.trigger_px, stop.by) = (leg.px, leg.by));
            return true;
        }
        let order = closing(instrument, side.opposite(), Lots::ZERO);
        self.add_position_stop(account, order, kind, leg, side, now);
        true
    }

    fn add_position_stop(
        &mut self,
        account: AccountId,
        order: PlaceRequest,
        kind: StopKind,
        leg: Leg,
        side: Side,
        now: Nanos,
    ) -> OrderNo {
        let profit = Direction::of_profit(side);
        let is_profit = matches!(kind, StopKind::TakeProfit | StopKind::PartialTakeProfit);
        let no = self.venue.next_order_no();
        self.stops.add(Stop {
            no,
            account,
            kind,
            state: StopState::Untriggered,
            order,
            close_on_trigger: true,
            trigger_px: leg.px,
            direction: if is_profit { profit } else { profit.opposite() },
            by: leg.by,
            trail: None,
            pair: None,
            created: now,
            updated: now,
        });
        no
    }

    /// Adds take-profit and stop-loss of a part of a position of `side`; one ends the other.
    #[allow(clippy::too_many_arguments)] // two callers, and every part differs
    fn protect_part(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        side: Side,
        qty: Lots,
        protection: &Protection,
        is_spot: bool,
        now: Nanos,
    ) {
        let waiting =
            self.stops.waiting(account, instrument).filter(|stop| !matches!(stop.kind, StopKind::Conditional));
        if waiting.count() >= PARTS_MAX {
            return;
        }
        let mut pair = Vec::new();
        for (kind, leg) in
            [(StopKind::PartialTakeProfit, protection.take_profit), (StopKind::PartialStopLoss, protection.stop_loss)]
        {
            let Some(leg) = leg else { continue };
            let mut order = closing(instrument, side.opposite(), qty);
            if let Some(limit) = leg.limit {
                (order.kind, order.px, order.tif) = (OrderKind::Limit, limit, TimeInForce::GoodTillCancel);
            }
            order.reduce_only = !is_spot;
            let no = self.add_position_stop(account, order, kind, leg, side, now);
            if is_spot {
                self.stops.change(no, now, |stop| (stop.kind, stop.close_on_trigger) = (StopKind::Tpsl, false));
            }
            pair.push(no);
        }
        if let [first, second] = pair[..] {
            self.stops.pair(first, second);
        }
    }

    /// `position/trading-stop`
    pub(super) fn trading_stop(&mut self, account: AccountId, body: &Value, now: Nanos) -> Result<(), ApiError> {
        let (instrument, spec) = self.instrument(body)?;
        if spec.product == Product::Spot {
            return Err(ApiError::param("category"));
        }
        if body.get("positionIdx").and_then(Value::as_u64).is_some_and(|idx| idx != 0) {
            return Err(ApiError::new(10001, "position idx not match position mode"));
        }
        let position = self.venue.account(account).map(|owner| owner.holding(instrument).qty).unwrap_or_default();
        if position.is_zero() {
            return Err(ApiError::new(10001, "can not set tp/sl/ts for zero position"));
        }
        let side = if position > Lots::ZERO { Side::Bid } else { Side::Ask };
        let base = self.price_by(instrument, TriggerBy::Last);
        let protection = self.protection(&spec, side, base, body)?;
        if protection.is_partial {
            let size = |name: &str| match text(body, name).filter(|text| !text.is_empty()) {
                Some(text) => checked_qty(&spec, text).map(Some),
                None => Ok(None),
            };
            let (take, stop) = (size("tpSize")?, size("slSize")?);
            // A pair is for one part, so both halves have its size.
            let qty = match (take, stop) {
                (Some(take), Some(stop)) if take != stop => return Err(ApiError::param("slSize")),
                (take, stop) => take.or(stop).ok_or_else(|| ApiError::param("tpSize"))?,
            };
            if protection.is_empty() {
                return Err(ApiError::param("takeProfit"));
            }
            self.protect_part(account, instrument, side, qty, &protection, false, now);
            return Ok(());
        }
        let mut is_changed = false;
        for (name, kind, leg) in [
            ("takeProfit", StopKind::TakeProfit, protection.take_profit),
            ("stopLoss", StopKind::StopLoss, protection.stop_loss),
        ] {
            is_changed |= match leg {
                Some(leg) => self.protect_whole(account, instrument, side, kind, leg, now),
                None => is_removal(body, name) && self.remove(account, instrument, kind, now),
            };
        }
        is_changed |= match price(&spec, body, "trailingStop")? {
            Some(distance) => {
                let active_px = price(&spec, body, "activePrice")?;
                self.trail(account, instrument, side, Trail { distance, active_px, best: None }, now)
            }
            None => is_removal(body, "trailingStop") && self.remove(account, instrument, StopKind::TrailingStop, now),
        };
        if is_changed { Ok(()) } else { Err(ApiError::new(34_040, "not modified")) }
    }

    fn trail(&mut self, account: AccountId, instrument: InstrumentId, side: Side, trail: Trail, now: Nanos) -> bool {
        let set = |stop: &Trail| (stop.distance, stop.active_px);
        if let Some(stop) = self.stops.position_stop(account, instrument, StopKind::TrailingStop).copied() {
            if stop.trail.as_ref().map(set) == Some(set(&trail)) {
                return false;
            }
            self.end_stop(stop.no, Ending::ByUser, now);
        }
        let mut trail = trail;
        let last = self.price_by(instrument, TriggerBy::Last);
        trail.best = last.filter(|_| trail.active_px.is_none());
        let behind = -side.sign().saturating_mul(trail.distance.get());
        let trigger_px = trail.active_px.or(last).unwrap_or_default().saturating_add(behind);
        let leg = Leg { px: trigger_px, by: TriggerBy::Last, limit: None };
        let order = closing(instrument, side.opposite(), Lots::ZERO);
        let no = self.add_position_stop(account, order, StopKind::TrailingStop, leg, side, now);
        self.stops.trail(no, trail);
        true
    }

    fn remove(&mut self, account: AccountId, instrument: InstrumentId, kind: StopKind, now: Nanos) -> bool {
        let found = self.stops.position_stop(account, instrument, kind).map(|stop| stop.no);
        found.inspect(|no| self.end_stop(*no, Ending::ByUser, now)).is_some()
    }

    /// The price that a trigger looks at.
    pub(super) fn price_by(&self, instrument: InstrumentId, by: TriggerBy) -> Option<Ticks> {
        let mark = self.venue.mark(instrument);
        if by == TriggerBy::Last { self.venue.last_px(instrument).or(mark) } else { mark }
    }

    /// Cancels what waits in an instrument; `is_meant` chooses.
    pub(super) fn end_stops(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        is_meant: impl Fn(&Stop) -> bool,
        now: Nanos,
    ) -> Vec<(OrderNo, LinkId)> {
        let waiting = self.stops.waiting(account, instrument).filter(|stop| is_meant(stop));
        let all: Vec<_> = waiting.map(|stop| (stop.no, stop.order.link)).collect();
        for (no, _) in &all {
            self.end_stop(*no, Ending::ByUser, now);
        }
        all
    }
}

/// Take-profit must lie on the winning side of the price that there is, stop-loss on the losing one.
fn check_sides(
    spec: &InstrumentSpec,
    side: Side,
    base: Option<Ticks>,
    protection: &Protection,
) -> Result<(), ApiError> {
    let Some(base) = base else { return Ok(()) };
    let profit = Direction::of_profit(side);
    let bad = |name: &str, leg: Leg, way: &str| {
        let [px, base] = [leg.px, base].map(|px| spec.tick.text(px.get()));
        ApiError::new(10001, format!("{name}:{px} set for the position should be {way} than base_price:{base}"))
    };
    let words = |direction: Direction| if direction == Direction::Rise { "higher" } else { "lower" };
    if let Some(leg) = protection.take_profit.filter(|leg| leg.px == base || profit.is_met(leg.px, base)) {
        return Err(bad("TakeProfit", leg, words(profit)));
    }
    if let Some(leg) = protection.stop_loss.filter(|leg| leg.px == base || profit.opposite().is_met(leg.px, base)) {
        return Err(bad("StopLoss", leg, words(profit.opposite())));
    }
    Ok(())
}

/// A price that is given and is not the "0" that stands for none.
pub(super) fn price(spec: &InstrumentSpec, body: &Value, name: &str) -> Result<Option<Ticks>, ApiError> {
    match text(body, name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => {
            let px = parse_px(spec, text).map_err(|_| ApiError::param(name))?;
            if px < Ticks::ZERO { Err(ApiError::param(name)) } else { Ok(Some(px).filter(|px| *px > Ticks::ZERO)) }
        }
    }
}

pub(super) fn checked_qty(spec: &InstrumentSpec, text: &str) -> Result<Lots, ApiError> {
    let qty = spec.lot.parse_lots(text.as_bytes()).map_err(|_| ApiError::param("qty"))?;
    if (spec.min_qty..=spec.max_qty).contains(&qty) { Ok(qty) } else { Err(ApiError::param("qty")) }
}

fn is_removal(body: &Value, name: &str) -> bool {
    let is_zero = |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    text(body, name).is_some_and(is_zero)
}

fn trigger_by(body: &Value, name: &str) -> Result<TriggerBy, ApiError> {
    match text(body, name) {
        None | Some("" | "LastPrice") => Ok(TriggerBy::Last),
        Some("MarkPrice") => Ok(TriggerBy::Mark),
        Some("IndexPrice") => Ok(TriggerBy::Index),
        Some(_) => Err(ApiError::param(name)),
    }
}

/// `reduceOnly` and `closeOnTrigger` of a new order.
pub(super) fn closing_flags(body: &Value) -> Result<(bool, bool), ApiError> {
    Ok((flag(body, "reduceOnly")?, flag(body, "closeOnTrigger")?))
}

/// Conditional orders per account and instrument.
const STOPS_MAX: usize = 10;
const SPOT_STOPS_MAX: usize = 30;

/// Protections of parts per position; the venue allows some twenty.
const PARTS_MAX: usize = 40;
