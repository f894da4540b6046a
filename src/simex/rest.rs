//! REST: the requests that a client needs to start, and to trade where it has no order-entry socket.

use super::{
    Simex, auth,
    error::ApiError,
    exchange::{OrderOp, text},
    json::{self, Obj},
    limits::{Budget, Kind},
    market,
};
use crate::{
    net::{HttpCodec, Request, SendError},
    sim::AccountId,
    types::{Nanos, Product},
};
use serde_json::{Map, Value};

/// A request, out of its connection's buffer.
pub(super) struct HttpRequest {
    method: String,
    path: String,
    query: String,
    body: Vec<u8>,
    api_key: Option<String>,
    timestamp: Option<String>,
    recv_window: Option<String>,
    signature: Option<String>,
}

impl HttpRequest {
    pub fn new(request: &Request<'_>) -> Self {
        let header = |name| request.header(name).map(|value| value.trim().to_owned());
        Self {
            method: request.method.to_owned(),
            path: request.path().to_owned(),
            query: request.query().to_owned(),
            body: request.body.to_vec(),
            api_key: header("x-bapi-api-key"),
            timestamp: header("x-bapi-timestamp"),
            recv_window: header("x-bapi-recv-window"),
            signature: header("x-bapi-sign"),
        }
    }
}

/// An answer, on its way into a connection's buffer.
#[derive(Clone)]
pub(super) struct HttpResponse {
    status: u16,
    budget: Option<Budget>,
    body: String,
}

impl HttpResponse {
    /// What stands in front of the venue answers: no JSON.
    pub fn status_only(status: u16) -> Self {
        let body = if status == 403 { "access too frequent" } else { "" };
        Self { status, budget: None, body: body.to_owned() }
    }

    /// The venue refuses.
    pub fn refusal(error: &ApiError, now: Nanos) -> Self {
        Self { status: 200, budget: None, body: envelope(error.code, &error.msg, "{}", "{}", now) }
    }

    pub fn map_body(self, change: impl FnOnce(String) -> String) -> Self {
        Self { body: change(self.body), ..self }
    }

    pub fn send(&self, http: &mut HttpCodec) -> Result<(), SendError> {
        let content = ("Content-Type", "application/json; charset=utf-8");
        let Some(budget) = self.budget else { return http.respond(self.status, &[content], self.body.as_bytes()) };
        let [limit, left, reset] = [budget.limit.to_string(), budget.left.to_string(), budget.reset_ms.to_string()];
        let headers = [
            content,
            ("X-Bapi-Limit", limit.as_str()),
            ("X-Bapi-Limit-Status", left.as_str()),
            ("X-Bapi-Limit-Reset-Timestamp", reset.as_str()),
        ];
        http.respond(self.status, &headers, self.body.as_bytes())
    }
}

/// What a handler answers: `result`, and `retExtInfo` where it is not empty.
pub(super) struct Answer {
    pub result: String,
    pub ext: Option<String>,
}

impl From<String> for Answer {
    fn from(result: String) -> Self {
        Self { result, ext: None }
    }
}

pub(super) type Outcome = Result<Answer, ApiError>;

/// A request of a known user, its parameters parsed.
type Handler = fn(&mut Simex, AccountId, &Value, Nanos) -> Outcome;

impl Simex {
    pub(super) fn on_request(&mut self, request: &HttpRequest, now: Nanos) -> HttpResponse {
        // Too much from one address, or a query with a body.
        if !self.address.admit_http(now) || (request.method == "GET" && !request.body.is_empty()) {
            return HttpResponse::status_only(403);
        }
        let mut budget = None;
        let Some(outcome) = self.route(request, &mut budget, now) else {
            return HttpResponse {
                status: 404,
                budget: None,
                body: envelope(10017, "Route not found.", "{}", "{}", now),
            };
        };
        let (status, body) = match outcome {
            Ok(answer) => (200, envelope(0, "OK", &answer.result, answer.ext.as_deref().unwrap_or("{}"), now)),
            Err(error) => {
                let is_stranger = error.code == UNKNOWN_KEY || error.msg == NO_AUTH;
                (if is_stranger { 401 } else { 200 }, envelope(error.code, &error.msg, "{}", "{}", now))
            }
        };
        HttpResponse { status, budget, body }
    }

    fn route(&mut self, request: &HttpRequest, budget: &mut Option<Budget>, now: Nanos) -> Option<Outcome> {
        let query = parse_query(&request.query);
        let public = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v5/market/time") => Some(Ok(market::time(now))),
            ("GET", "/v5/market/instruments-info") => Some(self.instruments(&query)),
            ("GET", "/v5/market/tickers") => Some(self.tickers(&query, now)),
            ("GET", "/v5/market/orderbook") => Some(self.orderbook(&query, now)),
            ("GET", "/v5/market/kline") => Some(self.kline(&query, now)),
            ("GET", "/v5/market/recent-trade") => Some(self.recent_trades(&query)),
            ("GET", "/v5/market/funding/history") => Some(self.funding_history(&query, now)),
            _ => None,
        };
        if public.is_some() {
            return public;
        }
        let (kind, act): (Kind, Handler) = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v5/order/realtime") => (Kind::Realtime, Self::orders_realtime),
            ("GET", "/v5/order/history") => (Kind::History, Self::orders_history),
            ("GET", "/v5/execution/list") => (Kind::Executions, Self::executions),
            ("GET", "/v5/position/list") => (Kind::Positions, Self::positions),
            ("GET", "/v5/account/wallet-balance") => (Kind::Wallet, Self::wallet_balance),
            ("GET", "/v5/account/info") => (Kind::AccountInfo, Self::account_info),
            ("GET", "/v5/account/fee-rate") => (Kind::FeeRate, Self::fee_rate),
            ("GET", "/v5/position/closed-pnl") => (Kind::ClosedPnl, Self::closed_pnl),
            ("POST", "/v5/position/set-leverage") => (Kind::Leverage, Self::set_leverage),
            ("POST", "/v5/position/switch-mode") => (Kind::PositionMode, Self::switch_mode),
            ("POST", "/v5/position/trading-stop") => (Kind::TradingStop, Self::trading_stop),
            ("POST", "/v5/order/cancel-all") => (Kind::CancelAll, Self::cancel_all),
            (method, path) => return self.order_route(method, path, request, budget, now),
        };
        let outcome = self.admit(request, now).and_then(|(account, body)| {
            let params = if request.method == "GET" { query } else { body };
            let (granted, left) = self.exchange.spend(account, kind, &params, 1, now);
            *budget = Some(left);
            if granted == 0 {
                return Err(ApiError::new(10006, "Too many visits!"));
            }
            act(self, account, &params, now)
        });
        Some(outcome)
    }

    /// Order requests pay for themselves, one unit an order.
    fn order_route(
        &mut self,
        method: &str,
        path: &str,
        request: &HttpRequest,
        budget: &mut Option<Budget>,
        now: Nanos,
    ) -> Option<Outcome> {
        let (op, is_batch) = match (method, path) {
            ("POST", "/v5/order/create") => (OrderOp::Create, false),
            ("POST", "/v5/order/amend") => (OrderOp::Amend, false),
            ("POST", "/v5/order/cancel") => (OrderOp::Cancel, false),
            ("POST", "/v5/order/create-batch") => (OrderOp::Create, true),
            ("POST", "/v5/order/amend-batch") => (OrderOp::Amend, true),
            ("POST", "/v5/order/cancel-batch") => (OrderOp::Cancel, true),
            _ => return None,
        };
        let outcome = self.admit(request, now).and_then(|(account, body)| {
            let done =
                if is_batch { self.batch(op, account, &body, now) } else { self.single(op, account, &body, now) }?;
            *budget = done.budget;
            match done.error {
                Some(error) => Err(error),
                None => Ok(Answer { result: done.data, ext: Some(done.ext) }),
            }
        });
        Some(outcome)
    }

    /// Checks time and signature over exactly the bytes sent, and parses the body.
    fn admit(&self, request: &HttpRequest, now: Nanos) -> Result<(AccountId, Value), ApiError> {
        let (Some(key), Some(timestamp), Some(signature)) = (&request.api_key, &request.timestamp, &request.signature)
        else {
            return Err(ApiError::new(10001, NO_AUTH));
        };
        auth::check_time(timestamp, request.recv_window.as_deref(), now)?;
        let is_get = request.method == "GET";
        let body = if is_get { "" } else { std::str::from_utf8(&request.body).map_err(|_| ApiError::param("body"))? };
        let payload = if is_get { &request.query } else { body };
        let window = request.recv_window.as_deref().unwrap_or_default();
        let account = self.exchange.authenticate(key, &format!("{timestamp}{key}{window}{payload}"), signature)?;
        if is_get {
            return Ok((account, Value::Null));
        }
        let parsed: Value = serde_json::from_str(body).map_err(|_| ApiError::param("body"))?;
        if parsed.is_object() { Ok((account, parsed)) } else { Err(ApiError::param("body")) }
    }
}

pub(super) fn product(query: &Value) -> Result<Product, ApiError> {
    text(query, "category").and_then(Product::from_name).ok_or_else(|| ApiError::param("category"))
}

pub(super) fn limit(query: &Value, default: usize, max: usize) -> Result<usize, ApiError> {
    match text(query, "limit").filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => {
            text.parse().ok().filter(|limit| (1..=max).contains(limit)).ok_or_else(|| ApiError::param("limit"))
        }
    }
}

/// A moment in milliseconds, if it is given.
pub(super) fn millis(query: &Value, name: &str) -> Result<Option<u64>, ApiError> {
    match text(query, name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| ApiError::param(name)),
    }
}

/// One page of a list, and the cursor of the next, empty at the end.
pub(super) fn page(
    items: impl Iterator<Item = String>,
    query: &Value,
    size: usize,
) -> Result<(String, String), ApiError> {
    let from: usize = match text(query, "cursor").filter(|text| !text.is_empty()) {
        None => 0,
        Some(cursor) => {
            let digits = cursor.strip_prefix("page").ok_or_else(|| ApiError::param("cursor"))?;
            digits.parse().map_err(|_| ApiError::param("cursor"))?
        }
    };
    let mut items = items.skip(from);
    let list = json::array(items.by_ref().take(size));
    let cursor = if items.next().is_some() { format!("page{}", from.saturating_add(size)) } else { String::new() };
    Ok((list, cursor))
}

/// A query as an object of texts, percent-decoded. The signature covers the query as sent, not this.
fn parse_query(query: &str) -> Value {
    let mut object = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        object.insert(percent_decode(key), Value::String(percent_decode(value)));
    }
    Value::Object(object)
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', ..) => {
                bytes.push(b' ');
                rest = after;
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn envelope(code: i32, msg: &str, result: &str, ext: &str, now: Nanos) -> String {
    Obj::new()
        .raw("retCode", code)
        .text("retMsg", msg)
        .raw("result", result)
        .raw("retExtInfo", ext)
        .raw("time", now.as_millis())
        .done()
}

/// Who does not say who he is, or is not known, is turned away by HTTP's status too.
const NO_AUTH: &str = "empty value: apiTimestamp[] apiKey[] apiSignature[]";
const UNKNOWN_KEY: i32 = 10_003;
