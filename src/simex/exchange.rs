//! Users, their keys and limits, and the order requests that WebSocket and REST have in common.

use super::{
    auth,
    config::ListingStatus,
    error::ApiError,
    json,
    limits::{Budget, Kind, RateLimiter},
};
use crate::{
    sim::{AccountId, AmendRequest, LinkId, OrderKind, OrderNo, PlaceRequest, SelfTrade, Venue},
    types::{InstrumentId, InstrumentSpec, Nanos, Product, Side, Ticks, TimeInForce},
};
use serde_json::Value;

pub(super) struct Exchange {
    pub venue: Venue,
    pub users: Vec<User>,
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
    pub fn kind(self) -> Kind {
        match self {
            Self::Create => Kind::Create,
            Self::Amend => Kind::Amend,
            Self::Cancel => Kind::Cancel,
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

    pub fn spend(&mut self, account: AccountId, kind: Kind, units: u32, now: Nanos) -> (u32, Budget) {
        match self.users.get_mut(account.0 as usize) {
            Some(user) => user.limiter.spend(kind, units, now),
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
        for unsupported in ["triggerPrice", "takeProfit", "stopLoss"] {
            if text(body, unsupported).is_some_and(|value| !value.is_empty() && value != "0") {
                return Err(ApiError::param(unsupported));
            }
        }
        if spec.product == Product::Spot
            && (kind, side) == (OrderKind::Market, Side::Bid)
            && text(body, "marketUnit") != Some("baseCoin")
        {
            return Err(ApiError::param("marketUnit"));
        }
        let reduce_only = flag(body, "reduceOnly")?;
        let mut qty = spec
            .lot
            .parse_lots(text(body, "qty").ok_or_else(|| ApiError::param("qty"))?.as_bytes())
            .map_err(|_| ApiError::param("qty"))?;
        if qty.is_zero() && reduce_only && flag(body, "closeOnTrigger")? {
            // The documented way to close a whole position.
            qty =
                self.venue.account(account).map(|owner| owner.holding(instrument).qty.saturating_abs()).unwrap_or(qty);
        }
        let request = PlaceRequest { instrument, side, kind, px, qty, tif, reduce_only, self_trade, link };
        let placed = self.venue.place(account, &request, now);
        let no = placed.map_err(|refusal| ApiError::of(refusal, spec.product))?;
        Ok(Acked { order_id: json::order_id(no), link: link.as_str().to_owned() })
    }

    fn amend(&mut self, account: AccountId, body: &Value, now: Nanos) -> Result<Acked, ApiError> {
        let (instrument, spec) = self.instrument(body)?;
        let (no, link) = self.identify(account, instrument, &spec, body)?;
        let changed = |name| text(body, name).filter(|text| !text.is_empty());
        let request = AmendRequest {
            px: changed("price").map(|text| parse_px(&spec, text)).transpose()?,
            qty: changed("qty")
                .map(|text| spec.lot.parse_lots(text.as_bytes()).map_err(|_| ApiError::param("qty")))
                .transpose()?,
        };
        self.venue.amend(account, no, request, now).map_err(|refusal| ApiError::of(refusal, spec.product))?;
        Ok(Acked { order_id: json::order_id(no), link })
    }

    fn cancel(&mut self, account: AccountId, body: &Value, now: Nanos) -> Result<Acked, ApiError> {
        let (instrument, spec) = self.instrument(body)?;
        let (no, link) = self.identify(account, instrument, &spec, body)?;
        self.venue.cancel(account, no, now).map_err(|refusal| ApiError::of(refusal, spec.product))?;
        Ok(Acked { order_id: json::order_id(no), link })
    }

    /// The order that the body of an amendment or a cancellation is about.
    pub fn find(&self, account: AccountId, body: &Value) -> Option<(InstrumentId, OrderNo)> {
        let (instrument, spec) = self.instrument(body).ok()?;
        Some((instrument, self.identify(account, instrument, &spec, body).ok()?.0))
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
    ) -> Result<(OrderNo, String), ApiError> {
        let given = |name| text(body, name).filter(|text| !text.is_empty());
        let found = match (given("orderId"), given("orderLinkId")) {
            (Some(id), _) => json::parse_order_id(id).and_then(|no| self.venue.find_order(account, no)),
            (None, Some(link)) => LinkId::new(link).and_then(|link| self.venue.find_link(account, link)),
            (None, None) => return Err(ApiError::param("orderId")),
        };
        match found.filter(|record| record.instrument == instrument) {
            Some(record) => Ok((record.no, record.link.as_str().to_owned())),
            None => Err(ApiError::of(crate::sim::Refusal::UnknownOrder, spec.product)),
        }
    }
}

/// A text field; numbers where the venue wants texts do not count.
pub(super) fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name)?.as_str()
}

fn flag(body: &Value, name: &str) -> Result<bool, ApiError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| ApiError::param(name)),
    }
}

fn parse_px(spec: &InstrumentSpec, text: &str) -> Result<Ticks, ApiError> {
    spec.tick.parse_ticks(text.as_bytes()).map_err(|_| ApiError::param("price"))
}
