//! Requests that change how an account trades, and that end what it has open.
//!
//! Thread: shell. Blocks: up to the time-out of each request.

use serde_json::Value;

pub use super::orders::OrderFilter;
use super::orders::{Batch, BatchItem, Body, Exit, Number, OrderRequest, batch_items};
use super::request::RestRequest;
use super::rest::{RestClient, RestError, escape};
use crate::types::{Money, Product, Symbol};

/// Which orders a cancel-all means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelScope<'a> {
    /// Of which kind of instrument.
    pub product: Product,
    /// Of one instrument alone.
    pub symbol: Option<&'a str>,
    /// Contracts: all that settle in this currency. The venue wants this, or the instrument.
    pub settle_coin: Option<&'a str>,
    /// Of which kind; none: on contracts all, on spot ordinary ones alone.
    pub filter: Option<OrderFilter>,
    /// Of the conditional ones, those that the venue calls so (`Stop`, `TakeProfit`, …).
    pub stop_order_type: Option<&'a str>,
}

impl<'a> CancelScope<'a> {
    /// All of a product (spot: all ordinary ones).
    pub fn everything(product: Product, settle_coin: &'a str) -> Self {
        let settle_coin = (product != Product::Spot).then_some(settle_coin);
        Self { product, symbol: None, settle_coin, filter: None, stop_order_type: None }
    }

    /// The body of the request.
    pub fn body(&self) -> String {
        let mut body = Body::new();
        body.text("category", self.product.name());
        let filter = self.filter.map(OrderFilter::name);
        for (name, value) in [
            ("symbol", self.symbol),
            ("settleCoin", self.settle_coin),
            ("orderFilter", filter),
            ("stopOrderType", self.stop_order_type),
        ] {
            if let Some(value) = value {
                body.text(name, value);
            }
        }
        body.done()
    }
}

/// Take-profit, stop-loss and trailing stop of a position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TradingStop {
    /// Where a gain is taken; zero removes it.
    pub take_profit: Option<Exit>,
    /// Where a loss is ended; zero removes it.
    pub stop_loss: Option<Exit>,
    /// Distance of a trailing stop; zero removes it.
    pub trailing: Option<Number>,
    /// Where the trailing stop becomes active; none: at once.
    pub trailing_from: Option<Number>,
    /// How much of the position each one closes; none: all of it.
    pub partial: Option<Number>,
}

impl TradingStop {
    /// The body of the request for a one-way position.
    pub fn body(&self, product: Product, symbol: &str) -> String {
        let mut body = Body::new();
        body.text("category", product.name()).text("symbol", symbol);
        body.text("tpslMode", if self.partial.is_some() { "Partial" } else { "Full" }).raw("positionIdx", "0");
        for (exit, [px, by, size, kind, limit]) in [
            (&self.take_profit, ["takeProfit", "tpTriggerBy", "tpSize", "tpOrderType", "tpLimitPrice"]),
            (&self.stop_loss, ["stopLoss", "slTriggerBy", "slSize", "slOrderType", "slLimitPrice"]),
        ] {
            let Some(exit) = exit else { continue };
            body.text(px, &exit.px);
            if let Some(price) = exit.by {
                body.text(by, price.name());
            }
            if let Some(partial) = &self.partial {
                body.text(size, partial);
            }
            if let Some(limit_px) = &exit.limit_px {
                body.text(kind, "Limit").text(limit, limit_px);
            }
        }
        for (name, number) in [("trailingStop", &self.trailing), ("activePrice", &self.trailing_from)] {
            if let Some(number) = number {
                body.text(name, number);
            }
        }
        body.done()
    }
}

/// Whether positions of both directions can be held at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionMode {
    /// One position: what the engine trades.
    OneWay,
    /// A long and a short one side by side.
    Hedge,
}

/// Products as the venue's disconnect protection names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DcpProduct {
    /// Contracts.
    Derivatives,
    /// Spot.
    Spot,
    /// Options.
    Options,
}

impl DcpProduct {
    const fn name(self) -> &'static str {
        match self {
            Self::Derivatives => "DERIVATIVES",
            Self::Spot => "SPOT",
            Self::Options => "OPTIONS",
        }
    }
}

/// The venue's disconnect protection of one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DcpInfo {
    /// The venue's word for the product.
    pub product: String,
    /// Whether it is on.
    pub is_on: bool,
    /// How long all connections must be gone, in seconds.
    pub window_s: u64,
}

/// A position as the venue lists it, whatever its instrument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedPosition {
    /// Its instrument.
    pub symbol: Symbol,
    /// Signed size: base coin of a linear contract.
    pub size: Money,
    /// 0 in one-way mode; 1 and 2 are the long and the short side of a hedged pair.
    pub position_idx: u64,
}

/// How an account trades.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    /// The venue's word: `REGULAR_MARGIN` (cross), `ISOLATED_MARGIN`, `PORTFOLIO_MARGIN`.
    pub margin_mode: String,
    /// 1 classic, 3 and 4 unified 1.0, 5 and 6 unified 2.0.
    pub unified_status: u64,
}

impl AccountInfo {
    /// Whether it is a unified trading account: the only kind that is traded here.
    pub fn is_unified(&self) -> bool {
        self.unified_status >= 3
    }
}

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Whether it may only ask.
    pub is_read_only: bool,
    /// What it may do, as `ContractTrade.Order`.
    pub permissions: Vec<String>,
}

/// The body of a change of leverage of both directions.
pub fn leverage_body(product: Product, symbol: &str, leverage: &str) -> String {
    let mut body = Body::new();
    body.text("category", product.name()).text("symbol", symbol);
    body.text("buyLeverage", leverage).text("sellLeverage", leverage);
    body.done()
}

/// The body of a change of the position mode of one instrument.
pub fn mode_body(symbol: &str, mode: PositionMode) -> String {
    let mut body = Body::new();
    body.text("category", "linear").text("symbol", symbol);
    body.raw("mode", if mode == PositionMode::OneWay { "0" } else { "3" });
    body.done()
}

/// The body of the disconnect protection; `window_s` is 3 to 300 seconds.
pub fn dcp_body(product: DcpProduct, window_s: u16) -> String {
    let mut body = Body::new();
    body.text("product", product.name()).raw("timeWindow", &window_s.to_string());
    body.done()
}

/// What is no error: the account was as wanted before.
fn unless_unmodified(outcome: Result<Value, RestError>, unmodified: i64) -> Result<(), RestError> {
    match outcome {
        Err(RestError::Venue { code, .. }) if code == unmodified => Ok(()),
        other => other.map(|_| ()),
    }
}

impl RestClient {
    /// Sends one order request: for what the engine's own encoder does not know.
    ///
    /// # Errors
    /// [`RestError`]; after [`RestError::Transport`] the outcome is unknown.
    pub fn place(&self, request: &OrderRequest<'_>, now_ms: u64) -> Result<Value, RestError> {
        self.post(request.path(), &request.body(), now_ms)
    }

    /// Sends several order requests at once; each has an outcome of its own, in their order.
    ///
    /// # Errors
    /// [`RestError`]; after [`RestError::Transport`] all outcomes are unknown.
    pub fn place_batch(&self, batch: &Batch<'_>, now_ms: u64) -> Result<Vec<BatchItem>, RestError> {
        let path = batch.path();
        let answer = self.post_whole(path, &batch.body(), now_ms)?;
        batch_items(&answer)
            .filter(|items| items.len() == batch.len())
            .ok_or(RestError::BadAnswer { path, field: "retExtInfo.list" })
    }

    /// Cancels the orders of a scope and returns how many the venue says it cancelled.
    ///
    /// # Errors
    /// [`RestError`]; after [`RestError::Transport`] the outcome is unknown.
    pub fn cancel_scope(&self, scope: &CancelScope<'_>, now_ms: u64) -> Result<usize, RestError> {
        let result = self.post("/v5/order/cancel-all", &scope.body(), now_ms)?;
        Ok(result["list"].as_array().map_or(0, Vec::len))
    }

    /// Sets the leverage of both directions, a decimal such as `10`. Unchanged leverage is no error.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn set_leverage(&self, product: Product, symbol: &str, leverage: &str, now_ms: u64) -> Result<(), RestError> {
        let outcome = self.post("/v5/position/set-leverage", &leverage_body(product, symbol, leverage), now_ms);
        unless_unmodified(outcome, 110_043)
    }

    /// Sets the position mode of one instrument. An unchanged mode is no error.
    ///
    /// # Errors
    /// [`RestError`]: with positions or open orders the mode cannot be changed.
    pub fn switch_mode(&self, symbol: &str, mode: PositionMode, now_ms: u64) -> Result<(), RestError> {
        unless_unmodified(self.post("/v5/position/switch-mode", &mode_body(symbol, mode), now_ms), 110_025)
    }

    /// Sets take-profit, stop-loss and trailing stop of a position. Unchanged ones are no error.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn trading_stop(
        &self,
        product: Product,
        symbol: &str,
        stop: &TradingStop,
        now_ms: u64,
    ) -> Result<(), RestError> {
        unless_unmodified(self.post("/v5/position/trading-stop", &stop.body(product, symbol), now_ms), 34_040)
    }

    /// Arms the venue's disconnect protection, which only some accounts have: all connections that subscribed to its topic
    /// gone for `window_s` seconds, 3 to 300, cancels the product's orders.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn set_dcp(&self, product: DcpProduct, window_s: u16, now_ms: u64) -> Result<(), RestError> {
        self.post("/v5/order/disconnected-cancel-all", &dcp_body(product, window_s), now_ms).map(|_| ())
    }

    /// What is armed of it.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn dcp(&self, now_ms: u64) -> Result<Vec<DcpInfo>, RestError> {
        let path = "/v5/account/query-dcp-info";
        let result = self.get(path, "", Some(now_ms))?;
        let list = result["dcpInfos"].as_array().ok_or(RestError::BadAnswer { path, field: "dcpInfos" })?;
        let info = |item: &Value| {
            let window = &item["timeWindow"];
            Some(DcpInfo {
                product: item["product"].as_str()?.to_owned(),
                is_on: item["dcpStatus"].as_str()? == "ON",
                window_s: window.as_u64().or_else(|| window.as_str()?.parse().ok())?,
            })
        };
        list.iter().map(info).collect::<Option<_>>().ok_or(RestError::BadAnswer { path, field: "dcpInfos" })
    }

    /// The key that signs, as the venue knows it.
    ///
    /// # Errors
    /// [`RestError`]; some environments do not tell.
    pub fn key_info(&self, now_ms: u64) -> Result<KeyInfo, RestError> {
        let path = "/v5/user/query-api";
        let result = self.get(path, "", Some(now_ms))?;
        let read_only = &result["readOnly"];
        let is_read_only = read_only.as_u64().map(|flag| flag != 0).or_else(|| read_only.as_bool());
        let is_read_only = is_read_only.ok_or(RestError::BadAnswer { path, field: "readOnly" })?;
        let groups = result["permissions"].as_object().ok_or(RestError::BadAnswer { path, field: "permissions" })?;
        let words = |(group, words): (&String, &Value)| -> Vec<String> {
            let words = words.as_array().into_iter().flatten().filter_map(Value::as_str);
            words.map(|word| format!("{group}.{word}")).collect()
        };
        Ok(KeyInfo { is_read_only, permissions: groups.iter().flat_map(words).collect() })
    }

    /// The raw items of a private list: its first page, for people and checks.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn signed_list(&self, path: &'static str, query: &str, now_ms: u64) -> Result<Vec<Value>, RestError> {
        let mut result = self.get(path, query, Some(now_ms))?;
        match result["list"].take() {
            Value::Array(items) => Ok(items),
            _ => Err(RestError::BadAnswer { path, field: "list" }),
        }
    }

    /// Every position of a settlement currency that is not flat, of whatever instrument, exact.
    ///
    /// # Errors
    /// [`RestError`]; also if one item cannot be read, since a position that is not seen is not closed.
    pub fn listed_positions(
        &self,
        product: Product,
        settle_coin: &str,
        now_ms: u64,
    ) -> Result<Vec<ListedPosition>, RestError> {
        let RestRequest { path, query, .. } = RestRequest::positions(product, settle_coin);
        let mut out = Vec::new();
        self.pages(path, &query, Some(now_ms), |item| {
            let bad = |field| RestError::BadAnswer { path, field };
            let text = |field| item[field].as_str().ok_or(bad(field));
            let size = Money::parse(text("size")?.as_bytes()).map_err(|_| bad("size"))?;
            if size == Money::ZERO {
                return Ok(());
            }
            let size = match text("side")? {
                "Buy" => size,
                "Sell" => size.saturating_neg(),
                _ => return Err(bad("side")),
            };
            let symbol = Symbol::new(text("symbol")?.as_bytes()).ok_or(bad("symbol"))?;
            let position_idx = item["positionIdx"].as_u64().ok_or(bad("positionIdx"))?;
            out.push(ListedPosition { symbol, size, position_idx });
            Ok(())
        })?;
        Ok(out)
    }

    /// The book of one instrument as it is told over REST: `b` and `a` with prices and quantities as texts.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn order_book(&self, product: Product, symbol: &str, depth: u16) -> Result<Value, RestError> {
        let path = "/v5/market/orderbook";
        let query = format!("category={}&symbol={}&limit={depth}", product.name(), escape(symbol));
        let result = self.get(path, &query, None)?;
        for field in ["b", "a"] {
            if !result[field].is_array() {
                return Err(RestError::BadAnswer { path, field });
            }
        }
        Ok(result)
    }

    /// How the account trades.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn account_info(&self, now_ms: u64) -> Result<AccountInfo, RestError> {
        let path = "/v5/account/info";
        let result = self.get(path, "", Some(now_ms))?;
        let margin_mode = result["marginMode"].as_str().ok_or(RestError::BadAnswer { path, field: "marginMode" })?;
        let status = result["unifiedMarginStatus"].as_u64();
        let unified_status = status.ok_or(RestError::BadAnswer { path, field: "unifiedMarginStatus" })?;
        Ok(AccountInfo { margin_mode: margin_mode.to_owned(), unified_status })
    }

    /// The position of one instrument as the venue lists it, flat ones too: one object in one-way mode, two in hedge mode.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn position_items(&self, product: Product, symbol: &str, now_ms: u64) -> Result<Vec<Value>, RestError> {
        let path = "/v5/position/list";
        let query = format!("category={}&symbol={}", product.name(), escape(symbol));
        self.signed_list(path, &query, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rest::tests::{client, result, serve};
    use super::*;

    #[test]
    fn positions_of_every_instrument_are_listed_page_by_page_or_not_at_all() {
        let first = r#"{"list":[{"symbol":"BTCUSDT","side":"Buy","size":"0.010","positionIdx":0},
            {"symbol":"FLATUSDT","side":"","size":"0","positionIdx":0}],"nextPageCursor":"a"}"#;
        let second = r#"{"list":[{"symbol":"ODDUSDT","side":"Sell","size":"3","positionIdx":2}],"nextPageCursor":""}"#;
        let (url, handle) = serve(vec![result(first), result(second)]);
        let found = client(&url).listed_positions(Product::Linear, "USDT", 1).unwrap();
        let told: Vec<_> = found.iter().map(|it| (it.symbol.as_str(), it.size.to_string(), it.position_idx)).collect();
        assert_eq!(told, [("BTCUSDT", "0.01".to_owned(), 0), ("ODDUSDT", "-3".to_owned(), 2)]);
        let asked = handle.join().unwrap();
        assert!(
            asked[0].starts_with("GET /v5/position/list?category=linear&settleCoin=USDT&limit=200 "),
            "{}",
            asked[0]
        );
        for (from, to, field) in
            [("Buy", "Up", "side"), ("0.010", "-", "size"), ("\"positionIdx\":0", "\"x\":0", "positionIdx")]
        {
            let (url, handle) = serve(vec![result(&first.replace(from, to))]);
            let error = client(&url).listed_positions(Product::Linear, "USDT", 1).unwrap_err().to_string();
            handle.join().unwrap();
            assert!(error.contains(field), "{error}");
        }
    }
}
