//! Orders beyond those that the engine places: conditional ones, take-profit and stop-loss, batches. Bodies as texts, for REST and
//! for order entry over WebSocket alike.
//!
//! Thread: shell. Allocates: yes. The orders of the tick path are rendered by [`OrderEncoder`](super::OrderEncoder).
//! Members stand in the order in which the fields of the structures do, so that a body has one form.

use std::fmt::{self, Write};

use serde_json::Value;

use crate::types::{Product, Side, Step, TimeInForce};

/// A positive decimal as the venue writes it. Exact: never a binary fraction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    /// Longest text: more digits than any price has.
    pub const LEN_MAX: usize = 40;

    /// Takes digits with at most one point between them; zero is allowed, since it removes a take-profit. `None` for anything
    /// else.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_good = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        (text.len() <= Self::LEN_MAX && is_good(whole) && is_good(fraction)).then(|| Self(text.to_owned()))
    }

    /// So many steps; `None` if that is negative.
    pub fn steps(count: i64, step: Step) -> Option<Self> {
        (count >= 0).then(|| Self(step.text(count)))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The price that a trigger watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerBy {
    /// Last trade.
    LastPrice,
    /// Index.
    IndexPrice,
    /// Mark.
    MarkPrice,
}

impl TriggerBy {
    /// The venue's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LastPrice => "LastPrice",
            Self::IndexPrice => "IndexPrice",
            Self::MarkPrice => "MarkPrice",
        }
    }
}

/// What makes an order a conditional one: it waits until the price gets there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Where it fires.
    pub px: Number,
    /// Whether it fires when the price rises to it; otherwise when it falls to it. Spot does not say.
    pub on_rise: bool,
    /// Which price. Spot watches the last trade and does not say.
    pub by: TriggerBy,
}

/// Which kind of orders a request of spot means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderFilter {
    /// Ordinary ones.
    Order,
    /// Conditional ones, whose assets are locked when they trigger.
    StopOrder,
    /// Take-profit and stop-loss, whose assets are locked at once.
    TpslOrder,
}

impl OrderFilter {
    /// The venue's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "Order",
            Self::StopOrder => "StopOrder",
            Self::TpslOrder => "tpslOrder",
        }
    }
}

/// One way out of a position: where, by which price, and whether as a limit order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Where it fires; zero removes it from an order or a position.
    pub px: Number,
    /// Which price; none: the last trade.
    pub by: Option<TriggerBy>,
    /// Price of a limit order; none: a market order. Needs [`Protection::is_partial`].
    pub limit_px: Option<Number>,
}

impl Exit {
    /// A market order when the last trade gets there.
    pub fn at(px: Number) -> Self {
        Self { px, by: None, limit_px: None }
    }
}

/// Take-profit and stop-loss.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// Where a gain is taken.
    pub take_profit: Option<Exit>,
    /// Where a loss is ended.
    pub stop_loss: Option<Exit>,
    /// Whether it closes a part of the position; otherwise the whole one, by market orders only.
    pub is_partial: bool,
}

impl Protection {
    fn write(&self, body: &mut Body) {
        for (exit, [px, by, kind, limit]) in [
            (&self.take_profit, ["takeProfit", "tpTriggerBy", "tpOrderType", "tpLimitPrice"]),
            (&self.stop_loss, ["stopLoss", "slTriggerBy", "slOrderType", "slLimitPrice"]),
        ] {
            let Some(exit) = exit else { continue };
            body.text(px, &exit.px);
            if let Some(price) = exit.by {
                body.text(by, price.name());
            }
            if let Some(limit_px) = &exit.limit_px {
                body.text(kind, "Limit").text(limit, limit_px);
            }
        }
        if self.take_profit.is_some() || self.stop_loss.is_some() {
            body.text("tpslMode", if self.is_partial { "Partial" } else { "Full" });
        }
    }
}

/// A new order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder<'a> {
    /// Its kind of instrument.
    pub product: Product,
    /// Its instrument.
    pub symbol: &'a str,
    /// Its direction.
    pub side: Side,
    /// Its limit; none: a market order.
    pub px: Option<Number>,
    /// How much. Zero with `reduce_only` and `close_on_trigger` closes the whole position.
    pub qty: Number,
    /// How long it lives; market orders are immediate-or-cancel always.
    pub tif: TimeInForce,
    /// Our id: up to 36 letters, digits, `-` and `_`; empty: none.
    pub link_id: &'a str,
    /// Only ever shrinks a position. Contracts only.
    pub reduce_only: bool,
    /// Others of its side make room for it when it triggers. Contracts only.
    pub close_on_trigger: bool,
    /// What it waits for.
    pub trigger: Option<Trigger>,
    /// Spot: which kind it is; none: ordinary.
    pub filter: Option<OrderFilter>,
    /// What protects the position that it opens. Not with `reduce_only`.
    pub protection: Protection,
}

impl<'a> NewOrder<'a> {
    /// A limit order that rests or is cancelled.
    pub fn post_only(product: Product, symbol: &'a str, side: Side, px: Number, qty: Number, link_id: &'a str) -> Self {
        Self { px: Some(px), tif: TimeInForce::PostOnly, ..Self::market(product, symbol, side, qty, link_id) }
    }

    /// A market order; on spot its quantity is in the base currency.
    pub fn market(product: Product, symbol: &'a str, side: Side, qty: Number, link_id: &'a str) -> Self {
        Self {
            product,
            symbol,
            side,
            px: None,
            qty,
            tif: TimeInForce::ImmediateOrCancel,
            link_id,
            reduce_only: false,
            close_on_trigger: false,
            trigger: None,
            filter: None,
            protection: Protection::default(),
        }
    }

    /// Closes the whole position that `side` shrinks, by a market order.
    pub fn close(product: Product, symbol: &'a str, side: Side, link_id: &'a str) -> Self {
        let order = Self::market(product, symbol, side, Number("0".to_owned()), link_id);
        Self { reduce_only: true, close_on_trigger: true, ..order }
    }

    fn write(&self, body: &mut Body) {
        let is_spot = self.product == Product::Spot;
        body.text("symbol", self.symbol).text("side", if self.side == Side::Bid { "Buy" } else { "Sell" });
        match &self.px {
            Some(px) => body.text("orderType", "Limit").text("qty", &self.qty).text("price", px),
            None => body.text("orderType", "Market").text("qty", &self.qty),
        };
        if is_spot && self.px.is_none() {
            body.text("marketUnit", "baseCoin");
        }
        let tif = match (self.tif, &self.px) {
            (_, None) | (TimeInForce::ImmediateOrCancel, _) => "IOC",
            (TimeInForce::GoodTillCancel, _) => "GTC",
            (TimeInForce::PostOnly, _) => "PostOnly",
            (TimeInForce::FillOrKill, _) => "FOK",
        };
        body.text("timeInForce", tif);
        if let Some(filter) = self.filter {
            body.text("orderFilter", filter.name());
        }
        if let Some(trigger) = &self.trigger {
            body.text("triggerPrice", &trigger.px);
            if !is_spot {
                body.raw("triggerDirection", if trigger.on_rise { "1" } else { "2" });
                body.text("triggerBy", trigger.by.name());
            }
        }
        self.protection.write(body);
        if !self.link_id.is_empty() {
            body.text("orderLinkId", self.link_id);
        }
        if !is_spot {
            body.raw("positionIdx", "0");
            if self.reduce_only {
                body.raw("reduceOnly", "true");
            }
            if self.close_on_trigger {
                body.raw("closeOnTrigger", "true");
            }
        }
    }
}

/// How a request names an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderKey<'a> {
    /// By the venue's id.
    Venue(&'a str),
    /// By ours.
    Link(&'a str),
}

impl OrderKey<'_> {
    fn write(self, body: &mut Body) {
        match self {
            Self::Venue(id) => body.text("orderId", id),
            Self::Link(id) => body.text("orderLinkId", id),
        };
    }
}

/// A change of an order; what is `None` stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmendOrder<'a> {
    /// Its kind of instrument.
    pub product: Product,
    /// Its instrument.
    pub symbol: &'a str,
    /// Which order.
    pub key: OrderKey<'a>,
    /// New price.
    pub px: Option<Number>,
    /// New whole quantity.
    pub qty: Option<Number>,
    /// New trigger price.
    pub trigger_px: Option<Number>,
    /// New take-profit and stop-loss; a price of zero removes one.
    pub protection: Protection,
}

impl<'a> AmendOrder<'a> {
    /// A change of nothing yet.
    pub fn of(product: Product, symbol: &'a str, key: OrderKey<'a>) -> Self {
        Self { product, symbol, key, px: None, qty: None, trigger_px: None, protection: Protection::default() }
    }

    fn write(&self, body: &mut Body) {
        body.text("symbol", self.symbol);
        self.key.write(body);
        for (name, number) in [("price", &self.px), ("qty", &self.qty), ("triggerPrice", &self.trigger_px)] {
            if let Some(number) = number {
                body.text(name, number);
            }
        }
        self.protection.write(body);
    }
}

/// The end of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelOrder<'a> {
    /// Its kind of instrument.
    pub product: Product,
    /// Its instrument.
    pub symbol: &'a str,
    /// Which order.
    pub key: OrderKey<'a>,
    /// Spot: of which kind; none: ordinary.
    pub filter: Option<OrderFilter>,
}

impl CancelOrder<'_> {
    fn write(&self, body: &mut Body) {
        body.text("symbol", self.symbol);
        self.key.write(body);
        if let Some(filter) = self.filter {
            body.text("orderFilter", filter.name());
        }
    }
}

/// One order request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderRequest<'a> {
    /// Place.
    New(NewOrder<'a>),
    /// Change.
    Amend(AmendOrder<'a>),
    /// Cancel.
    Cancel(CancelOrder<'a>),
}

impl OrderRequest<'_> {
    fn product(&self) -> Product {
        match self {
            Self::New(order) => order.product,
            Self::Amend(order) => order.product,
            Self::Cancel(order) => order.product,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::New(_) => "create",
            Self::Amend(_) => "amend",
            Self::Cancel(_) => "cancel",
        }
    }

    /// Path of the REST request.
    pub fn path(&self) -> &'static str {
        match self {
            Self::New(_) => "/v5/order/create",
            Self::Amend(_) => "/v5/order/amend",
            Self::Cancel(_) => "/v5/order/cancel",
        }
    }

    fn write(&self, body: &mut Body) {
        match self {
            Self::New(order) => order.write(body),
            Self::Amend(order) => order.write(body),
            Self::Cancel(order) => order.write(body),
        }
    }

    /// The body, of the REST request and of the WebSocket's `args` alike.
    pub fn body(&self) -> String {
        let mut body = Body::new();
        body.text("category", self.product().name());
        self.write(&mut body);
        body.done()
    }

    /// The WebSocket request; `req_id` has up to 36 bytes and is unique, `time_ms` is the venue's time.
    pub fn message(&self, req_id: &str, time_ms: u64, recv_window_ms: u32) -> String {
        message(&format!("order.{}", self.word()), req_id, time_ms, recv_window_ms, &self.body())
    }
}

/// Several requests of one kind for one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    items: Vec<OrderRequest<'a>>,
}

impl<'a> Batch<'a> {
    /// Most requests of a batch: 20, on spot 10.
    pub const fn len_max(product: Product) -> usize {
        if matches!(product, Product::Spot) { 10 } else { 20 }
    }

    /// Takes the requests; `None` if there are none, too many, or not all of one kind and product.
    pub fn new(items: Vec<OrderRequest<'a>>) -> Option<Self> {
        let first = items.first()?;
        let is_same = |item: &OrderRequest<'_>| item.product() == first.product() && item.word() == first.word();
        (items.iter().all(is_same) && items.len() <= Self::len_max(first.product())).then_some(Self { items })
    }

    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none; there always are.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Path of the REST request.
    pub fn path(&self) -> &'static str {
        match self.items.first() {
            Some(OrderRequest::Amend(_)) => "/v5/order/amend-batch",
            Some(OrderRequest::Cancel(_)) => "/v5/order/cancel-batch",
            _ => "/v5/order/create-batch",
        }
    }

    /// The body, of the REST request and of the WebSocket's `args` alike.
    pub fn body(&self) -> String {
        let mut list = String::from("[");
        for (idx, item) in self.items.iter().enumerate() {
            let mut body = Body::new();
            item.write(&mut body);
            list.push_str(if idx == 0 { "" } else { "," });
            list.push_str(&body.done());
        }
        list.push(']');
        let mut body = Body::new();
        body.text("category", self.items.first().map_or("linear", |item| item.product().name()));
        body.raw("request", &list);
        body.done()
    }

    /// The WebSocket request; see [`OrderRequest::message`].
    pub fn message(&self, req_id: &str, time_ms: u64, recv_window_ms: u32) -> String {
        let word = self.items.first().map_or("create", OrderRequest::word);
        message(&format!("order.{word}-batch"), req_id, time_ms, recv_window_ms, &self.body())
    }
}

/// What became of one request of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchItem {
    /// The venue's id; empty if it was refused.
    pub order_id: String,
    /// Our id.
    pub link_id: String,
    /// The venue's code, 0 if it was taken.
    pub code: i64,
    /// Its words.
    pub message: String,
}

/// Reads the items of a batch's answer, REST (`result`) or WebSocket (`data`): its outer code is 0 even if all of them failed.
/// `None` if ids and codes are not as many.
pub fn batch_items(answer: &Value) -> Option<Vec<BatchItem>> {
    let list = answer.get("result").or_else(|| answer.get("data"))?["list"].as_array()?;
    let codes = answer["retExtInfo"]["list"].as_array()?;
    if list.len() != codes.len() {
        return None;
    }
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let item = |(item, code): (&Value, &Value)| {
        Some(BatchItem {
            order_id: text(&item["orderId"]),
            link_id: text(&item["orderLinkId"]),
            code: code["code"].as_i64()?,
            message: text(&code["msg"]),
        })
    };
    list.iter().zip(codes).map(item).collect()
}

fn message(op: &str, req_id: &str, time_ms: u64, recv_window_ms: u32, body: &str) -> String {
    let mut header = Body::new();
    header.text("X-BAPI-TIMESTAMP", time_ms).text("X-BAPI-RECV-WINDOW", recv_window_ms);
    let mut out = Body::new();
    out.text("reqId", req_id).raw("header", &header.done()).text("op", op).raw("args", &format!("[{body}]"));
    out.done()
}

/// Writes one JSON object.
pub(super) struct Body(String);

impl Body {
    pub(super) fn new() -> Self {
        Self(String::from("{"))
    }

    fn name(&mut self, name: &str) {
        self.0.push_str(if self.0.len() > 1 { ",\"" } else { "\"" });
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    /// A text; what has a meaning in JSON is escaped.
    pub(super) fn text(&mut self, name: &str, value: impl fmt::Display) -> &mut Self {
        self.name(name);
        self.0.push_str(&Value::String(value.to_string()).to_string());
        self
    }

    /// A value that is JSON already.
    pub(super) fn raw(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        // Writing to a text does not fail.
        let _ = self.0.write_str(value);
        self
    }

    pub(super) fn done(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
#[path = "orders_tests.rs"]
mod tests;
