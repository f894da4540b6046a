//! Users, their keys and limits, and the order requests that WebSocket and REST have in common.

use super::{
    auth,
    config::ListingStatus,
    error::ApiError,
    json,
    limits::{Budget, Kind, RateLimiter},
    protect::closing_flags,
    stops::{Ending, Stop, Stops, TriggerBy},
};
use crate::{
    sim::{AccountId, AmendRequest, LinkId, OrderKind, OrderNo, PlaceRequest, Refusal, SelfTrade, Venue},
    types::{InstrumentId, InstrumentSpec, Lots, Money, Nanos, Product, Side, Ticks, TimeInForce},
};
use serde_json::Value;

pub(super) struct Exchange {
    pub venue: Venue,
    pub users: Vec<User>,
    /// Orders that wait for a price.
    pub stops: Stops,
    /// When the venue last restarted: orders that closed before are only in the history.
    pub restarted: Nanos,
    /// What can be traded, by instrument.
    pub statuses: Vec<ListingStatus>,
    /// How far the price of the next limit order is moved away from the market.
    pub reprice_ticks: Option<u32>,
}

/// A user; its place in the list is its account.
pub(super) struct User {
    pub uid: u64,
    pub api_key: String,
    pub api_secret: String,
    pub limiter: RateLimiter,
}

/// What an amendment or a cancellation is about.
enum Target {
    /// At the market.
    Order(OrderNo),
    /// Waiting for a price.
    Stop(OrderNo),
}

/// What an accepted order request answers.
pub(super) struct Acked {
    pub order_id: String,
    pub link: String,
}

/// The three order requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderOp {
    Create,
    Amend,
    Cancel,
}

impl OrderOp {
    /// Batches have budgets of their own.
    pub fn kind(self, is_batch: bool) -> Kind {
        match (self, is_batch) {
            (Self::Create, false) => Kind::Create,
            (Self::Amend, false) => Kind::Amend,
            (Self::Cancel, false) => Kind::Cancel,
            (Self::Create, true) => Kind::CreateBatch,
            (Self::Amend, true) => Kind::AmendBatch,
            (Self::Cancel, true) => Kind::CancelBatch,
        }
    }
}

impl Exchange {
    /// Finds the user of a key and checks the signature of `text`.
    pub fn authenticate(&self, api_key: &str, text: &str, signature: &str) -> Result<AccountId, ApiError> {
        let Some(at) = self.users.iter().position(|user| user.api_key == api_key) else {
            return Err(ApiError::new(10003, "API key is invalid."));
        };
        if !auth::verify(&self.users[at].api_secret, text, signature) {
            return Err(ApiError::new(10004, "error sign! please check your signature generation algorithm."));
        }
        Ok(AccountId(at as u32))
    }

    /// Pays for requests about what `params` names a category of.
    pub fn spend(&mut self, account: AccountId, kind: Kind, params: &Value, units: u32, now: Nanos) -> (u32, Budget) {
        let is_spot = text(params, "category") == Some("spot");
        match self.users.get_mut(account.0 as usize) {
            Some(user) => user.limiter.spend(kind, is_spot, units, now),
            None => (0, Budget { limit: 0, left: 0, reset_ms: now.as_millis() }),
        }
    }

    /// Carries out one order request, its rate already paid for.
    pub fn order(&mut self, op: OrderOp, account: AccountId, body: &Value, now: Nanos) -> Result<Acked, ApiError> {
        match op {
            OrderOp::Create => self.create(account, body, now),
            OrderOp::Amend => self.amend(account, body, now),
            OrderOp::Cancel => self.cancel(account, body, now),
        }
    }

    fn create(&mut self, account: AccountId, body: &Value, now: Nanos) -> Result<Acked, ApiError> {
        let (instrument, spec) = self.instrument(body)?;
        match self.statuses.get(instrument.idx()).copied().unwrap_or_default() {
            ListingStatus::Trading => {}
            ListingStatus::PreLaunch => return Err(ApiError::new(110_074, "This contract is not live")),
            ListingStatus::Delivering | ListingStatus::Closed => {
                return Err(ApiError::new(110_066, "Trading is currently not allowed."));
            }
        }
        let side = match text(body, "side") {
            Some("Buy") => Side::Bid,
            Some("Sell") => Side::Ask,
            _ => return Err(ApiError::param("side")),
        };
        let kind = match text(body, "orderType") {
            Some("Limit") => OrderKind::Limit,
            Some("Market") => OrderKind::Market,
            _ => return Err(ApiError::param("orderType")),
        };
        let tif = match text(body, "timeInForce") {
            None | Some("" | "GTC") => TimeInForce::GoodTillCancel,
            Some("IOC") => TimeInForce::ImmediateOrCancel,
            Some("FOK") => TimeInForce::FillOrKill,
            Some("PostOnly") => TimeInForce::PostOnly,
            Some(_) => return Err(ApiError::param("timeInForce")),
        };
        let px = match (kind, text(body, "price")) {
            (OrderKind::Market, _) => Ticks::ZERO,
            (OrderKind::Limit, Some(text)) => {
                let away = self.reprice_ticks.take().map_or(0, i64::from) * side.sign();
                Ticks::new(parse_px(&spec, text)?.get().saturating_sub(away))
            }
            (OrderKind::Limit, None) => return Err(ApiError::param("price")),
        };
        let self_trade = match text(body, "smpType") {
            None | Some("" | "None") => SelfTrade::None,
            Some("CancelMaker") => SelfTrade::CancelMaker,
            Some("CancelTaker") => SelfTrade::CancelTaker,
            Some("CancelBoth") => SelfTrade::CancelBoth,
            Some(_) => return Err(ApiError::param("smpType")),
        };
        let link = match text(body, "orderLinkId") {
            None => LinkId::NONE,
            Some(name) => LinkId::new(name).ok_or_else(|| ApiError::param("orderLinkId"))?,
        };
        match body.get("positionIdx") {
            None | Some(Value::Null) => {}
            Some(idx) if idx.as_u64() == Some(0) => {}
            Some(_) => return Err(ApiError::new(10001, "position idx not match position mode")),
        }
        let (reduce_only, close_on_trigger) = closing_flags(body)?;
        let base = Some(px).filter(|px| *px > Ticks::ZERO).or_else(|| self.price_by(instrument, TriggerBy::Last));
        let protection = self.protection(&spec, side, base, body)?;
        if reduce_only && !protection.is_empty() {
            return Err(ApiError::param("reduceOnly"));
        }
        let mut qty = self.quantity(instrument, &spec, kind, side, body)?;
        let trigger = self.trigger(instrument, &spec, body)?;
        if !link.is_none() && self.stops.find_link(account, link).is_some() {
            return Err(ApiError::of(Refusal::DuplicateLink, spec.product));
        }
        let is_close = qty.is_zero() && reduce_only && close_on_trigger;
        let request = |qty| PlaceRequest {
            instrument,
            side,
            kind,
            px,
            qty,
            tif,
            reduce_only: reduce_only || close_on_trigger,
            self_trade,
            link,
        };
        let acked = |no| Acked { order_id: json::order_id(no), link: link.as_str().to_owned() };
        if let Some(trigger) = trigger {
            if !is_close && !(spec.min_qty..=spec.max_qty).contains(&qty) {
                return Err(ApiError::param("qty"));
            }
            if !link.is_none() && self.venue.find_link(account, link).is_some() {
                return Err(ApiError::of(Refusal::DuplicateLink, spec.product));
            }
            return self.add_stop(account, request(qty), close_on_trigger, &trigger, protection, now).map(acked);
        }
        if is_close {
            // The documented way to close a whole position.
            qty =
                self.venue.account(account).map(|owner| owner.holding(instrument).qty.saturating_abs()).unwrap_or(qty);
        }
        let placed = self.venue.place(account, &request(qty), now);
        let no = placed.map_err(|refusal| ApiError::of(refusal, spec.product))?;
        if !protection.is_empty() {
            self.stops.protect(no, protection);
        }
        Ok(acked(no))
    }

    /// The quantity of a new order in lots. Spot market orders may tell it in the quote coin, and buys do unless they say
    /// otherwise; then it is what the best price makes of it.
    fn quantity(
        &self,
        instrument: InstrumentId,
        spec: &InstrumentSpec,
        kind: OrderKind,
        side: Side,
        body: &Value,
    ) -> Result<Lots, ApiError> {
        let told = text(body, "qty").ok_or_else(|| ApiError::param("qty"))?.as_bytes();
        let is_quote = match (spec.product, kind, text(body, "marketUnit").filter(|unit| !unit.is_empty())) {
            (Product::Spot, OrderKind::Market, None) => side == Side::Bid,
            (Product::Spot, OrderKind::Market, Some("quoteCoin")) => true,
            (Product::Spot, OrderKind::Market, Some("baseCoin")) => false,
            (Product::Spot, OrderKind::Market, Some(_)) => return Err(ApiError::param("marketUnit")),
            _ => false,
        };
        if !is_quote {
            return spec.lot.parse_lots(told).map_err(|_| ApiError::param("qty"));
        }
        let amount = Money::parse(told).map_err(|_| ApiError::param("qty"))?;
        let best = self.venue.market(instrument).and_then(|market| market.best(side.opposite()));
        let best = best.ok_or_else(|| ApiError::of(Refusal::NoMarket, spec.product))?;
        let lot_value = spec.notional(best.px, Lots::new(1)).get().max(1);
        i64::try_from(amount.get() / lot_value).map(Lots::new).map_err(|_| ApiError::param("qty"))
    }

    fn amend(&mut self, account: AccountId, body: &Value, now: Nanos) -> Result<Acked, ApiError> {
        let (instrument, spec) = self.instrument(body)?;
        let (target, link) = self.identify(account, instrument, &spec, body)?;
        let no = match target {
            Target::Stop(no) => {
                self.amend_stop(no, &spec, body, now)?;
                return Ok(Acked { order_id: json::order_id(no), link });
            }
            Target::Order(no) => no,
        };
        let changed = |name| text(body, name).filter(|text| !text.is_empty());
        let request = AmendRequest {
            px: changed("price").map(|text| parse_px(&spec, text)).transpose()?,
            qty: changed("qty")
                .map(|text| spec.lot.parse_lots(text.as_bytes()).map_err(|_| ApiError::param("qty")))
                .transpose()?,
        };
        let told = ["takeProfit", "stopLoss"].iter().any(|name| changed(name).is_some());
        if told {
            self.amend_protection(account, no, &spec, body)?;
        }
        // A change of the protection alone is one too.
        if !told || request != AmendRequest::default() {
            self.venue.amend(account, no, request, now).map_err(|refusal| ApiError::of(refusal, spec.product))?;
        }
        Ok(Acked { order_id: json::order_id(no), link })
    }

    fn amend_protection(
        &mut self,
        account: AccountId,
        no: OrderNo,
        spec: &InstrumentSpec,
        body: &Value,
    ) -> Result<(), ApiError> {
        let unknown = || ApiError::of(Refusal::UnknownOrder, spec.product);
        let record = self.venue.find_order(account, no).filter(|order| order.is_open()).ok_or_else(unknown)?;
        let (side, base) = (record.side, Some(record.px));
        let asked = self.protection(spec, side, base, body)?;
        let mut protection = self.stops.protection(no).copied().unwrap_or(asked);
        // What is told changes, "0" removes, the rest stays.
        for (name, to, from) in [
            ("takeProfit", &mut protection.take_profit, asked.take_profit),
            ("stopLoss", &mut protection.stop_loss, asked.stop_loss),
        ] {
            if text(body, name).is_some_and(|text| !text.is_empty()) {
                *to = from;
            }
        }
        self.stops.protect(no, protection);
        self.stops.tell(account, no);
        Ok(())
    }

    fn cancel(&mut self, account: AccountId, body: &Value, now: Nanos) -> Result<Acked, ApiError> {
        let (instrument, spec) = self.instrument(body)?;
        let (target, link) = self.identify(account, instrument, &spec, body)?;
        let no = match target {
            Target::Stop(no) => {
                self.end_stop(no, Ending::ByUser, now);
                no
            }
            Target::Order(no) => {
                self.venue.cancel(account, no, now).map_err(|refusal| ApiError::of(refusal, spec.product))?;
                no
            }
        };
        Ok(Acked { order_id: json::order_id(no), link })
    }

    /// The order that the body of an amendment or a cancellation is about.
    pub fn find(&self, account: AccountId, body: &Value) -> Option<(InstrumentId, OrderNo)> {
        let (instrument, spec) = self.instrument(body).ok()?;
        match self.identify(account, instrument, &spec, body).ok()?.0 {
            Target::Order(no) => Some((instrument, no)),
            Target::Stop(_) => None,
        }
    }

    /// The instrument that a body names, in the category that it names.
    pub fn instrument(&self, body: &Value) -> Result<(InstrumentId, InstrumentSpec), ApiError> {
        let category = text(body, "category").ok_or_else(|| ApiError::param("category"))?;
        let product = Product::from_name(category).ok_or_else(|| ApiError::param("category"))?;
        let symbol = text(body, "symbol").ok_or_else(|| ApiError::param("symbol"))?;
        let id = self.venue.find(product, symbol).ok_or_else(|| ApiError::param("symbol"))?;
        let spec = self.venue.spec(id);
        spec.map(|spec| (id, *spec)).ok_or_else(|| ApiError::param("symbol"))
    }

    /// The order that a body names; `orderId` wins over `orderLinkId`.
    fn identify(
        &self,
        account: AccountId,
        instrument: InstrumentId,
        spec: &InstrumentSpec,
        body: &Value,
    ) -> Result<(Target, String), ApiError> {
        let given = |name| text(body, name).filter(|text| !text.is_empty());
        let stop = match (given("orderId"), given("orderLinkId")) {
            (Some(id), _) => json::parse_order_id(id).and_then(|no| self.stops.get(no)),
            (None, Some(link)) => LinkId::new(link).and_then(|link| self.stops.find_link(account, link)),
            (None, None) => None,
        };
        let is_meant = |stop: &&Stop| stop.is_open() && stop.account == account && stop.order.instrument == instrument;
        if let Some(stop) = stop.filter(is_meant) {
            return Ok((Target::Stop(stop.no), stop.order.link.as_str().to_owned()));
        }
        let found = match (given("orderId"), given("orderLinkId")) {
            (Some(id), _) => json::parse_order_id(id).and_then(|no| self.venue.find_order(account, no)),
            (None, Some(link)) => LinkId::new(link).and_then(|link| self.venue.find_link(account, link)),
            (None, None) => return Err(ApiError::param("orderId")),
        };
        match found.filter(|record| record.instrument == instrument) {
            Some(record) => Ok((Target::Order(record.no), record.link.as_str().to_owned())),
            None => Err(ApiError::of(Refusal::UnknownOrder, spec.product)),
        }
    }
}

/// A text field; numbers where the venue wants texts do not count.
pub(super) fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name)?.as_str()
}

pub(super) fn flag(body: &Value, name: &str) -> Result<bool, ApiError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| ApiError::param(name)),
    }
}

pub(super) fn parse_px(spec: &InstrumentSpec, text: &str) -> Result<Ticks, ApiError> {
    spec.tick.parse_ticks(text.as_bytes()).map_err(|_| ApiError::param("price"))
}
