//! REST: the requests that a client needs to start, and to trade where it has no order-entry socket.

use super::{
    Simex, auth,
    candles::Interval,
    config::ListingStatus,
    error::ApiError,
    exchange::{OrderOp, text},
    json::{self, Obj},
    limits::{Budget, Kind},
    objects, public,
};
use crate::{
    net::{HttpCodec, Request, SendError},
    sim::{AccountId, ExecutionKind, LinkId, OrderRecord},
    types::{InstrumentId, Nanos, Product},
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
struct Answer {
    result: String,
    ext: Option<String>,
}

impl From<String> for Answer {
    fn from(result: String) -> Self {
        Self { result, ext: None }
    }
}

type Outcome = Result<Answer, ApiError>;

/// A request of a known user, its parameters parsed.
type Handler = fn(&mut Simex, AccountId, &Value, Nanos) -> Outcome;

impl Simex {
    pub(super) fn on_request(&mut self, request: &HttpRequest, now: Nanos) -> HttpResponse {
        let mut budget = None;
        let Some(outcome) = self.route(request, &mut budget, now) else {
            return HttpResponse {
                status: 404,
                budget: None,
                body: envelope(10017, "Route not found.", "{}", "{}", now),
            };
        };
        let body = match outcome {
            Ok(answer) => envelope(0, "OK", &answer.result, answer.ext.as_deref().unwrap_or("{}"), now),
            Err(error) => envelope(error.code, &error.msg, "{}", "{}", now),
        };
        HttpResponse { status: 200, budget, body }
    }

    fn route(&mut self, request: &HttpRequest, budget: &mut Option<Budget>, now: Nanos) -> Option<Outcome> {
        let query = parse_query(&request.query);
        let public = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v5/market/time") => Some(Ok(time(now))),
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
            ("GET", "/v5/order/realtime") => (Kind::Query, Self::orders_realtime),
            ("GET", "/v5/order/history") => (Kind::Query, Self::orders_history),
            ("GET", "/v5/execution/list") => (Kind::Query, Self::executions),
            ("GET", "/v5/position/list") => (Kind::Query, Self::positions),
            ("GET", "/v5/account/wallet-balance") => (Kind::Query, Self::wallet_balance),
            ("GET", "/v5/account/info") => (Kind::Query, Self::account_info),
            ("GET", "/v5/account/fee-rate") => (Kind::Query, Self::fee_rate),
            ("POST", "/v5/position/set-leverage") => (Kind::Leverage, Self::set_leverage),
            ("POST", "/v5/order/cancel-all") => (Kind::CancelAll, Self::cancel_all),
            (method, path) => return self.order_route(method, path, request, budget, now),
        };
        let outcome = self.admit(request, now).and_then(|(account, body)| {
            let (granted, left) = self.exchange.spend(account, kind, 1, now);
            *budget = Some(left);
            if granted == 0 {
                return Err(ApiError::new(10006, "Too many visits!"));
            }
            let params = if request.method == "GET" { query } else { body };
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
            return Err(ApiError::new(10001, "empty value: apiTimestamp[] apiKey[] apiSignature[]"));
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

    fn instruments(&self, query: &Value) -> Outcome {
        let product = product(query)?;
        let given = |name| text(query, name).filter(|text| !text.is_empty());
        let (wanted, base, status) = (given("symbol"), given("baseCoin"), given("status"));
        let all = self.config.listings.iter().enumerate().filter_map(|(idx, listing)| {
            let (id, spec) = (InstrumentId(idx as u16), &listing.spec);
            let its = self.public.status(id);
            let fits = match (wanted, status) {
                (_, Some(status)) => its.name() == status,
                // By name it is found whatever has become of it; otherwise only what trades is listed.
                (Some(_), None) => true,
                (None, None) => its == ListingStatus::Trading,
            };
            let is_meant = spec.product == product
                && fits
                && wanted.is_none_or(|symbol| symbol == spec.symbol.as_str())
                && base.is_none_or(|coin| coin == objects::coins(spec).0);
            let funding_ns = self.public.tape(id)?.funding.interval_ns;
            is_meant.then(|| objects::instrument(id, listing, its, funding_ns, self.opened))
        });
        // Spot ignores limit and cursor.
        let size = if product == Product::Spot { usize::MAX } else { limit(query, 500, 1_000)? };
        let (list, cursor) = page(all, query, size)?;
        if wanted.is_some() && list == "[]" {
            return Err(ApiError::param("symbol"));
        }
        Ok(Obj::new().text("category", product.name()).raw("list", list).text("nextPageCursor", cursor).done().into())
    }

    fn tickers(&mut self, query: &Value, now: Nanos) -> Outcome {
        let product = product(query)?;
        let wanted = text(query, "symbol").filter(|symbol| !symbol.is_empty());
        let venue = &self.exchange.venue;
        let public = &mut self.public;
        let all = (0..venue.instruments_len()).filter_map(|idx| {
            let id = InstrumentId(idx as u16);
            let spec = venue.spec(id).filter(|spec| spec.product == product)?;
            let is_over = public.status(id) == ListingStatus::Closed;
            if is_over || wanted.is_some_and(|symbol| symbol != spec.symbol.as_str()) {
                return None;
            }
            let fields = public.ticker_fields(venue, id, now)?;
            let mut ticker = Obj::new().text("symbol", spec.symbol);
            for (key, value) in &fields {
                ticker = ticker.text(key, value);
            }
            if product == Product::Spot {
                // Unlike the stream, spot's REST ticker has the best prices.
                use crate::types::Side::{Ask, Bid};
                for (side, px, qty) in [(Bid, "bid1Price", "bid1Size"), (Ask, "ask1Price", "ask1Size")] {
                    let level = venue.market(id)?.best(side).unwrap_or_default();
                    ticker = ticker.text(px, json::px(spec, level.px)).text(qty, json::qty(spec, level.qty));
                }
            }
            if let Some(delivery) = public.tape(id).and_then(|tape| tape.delivery_ms()) {
                ticker = ticker.text("deliveryTime", delivery).text("deliveryFeeRate", "0");
            }
            Some(ticker.done())
        });
        let list = json::array(all);
        if wanted.is_some() && list == "[]" {
            return Err(ApiError::param("symbol"));
        }
        Ok(Obj::new().text("category", product.name()).raw("list", list).done().into())
    }

    fn orderbook(&mut self, query: &Value, now: Nanos) -> Outcome {
        let (id, spec) = self.exchange.instrument(query)?;
        let depth = limit(query, if spec.product == Product::Spot { 1 } else { 25 }, 1_000)?;
        let mut frames = Vec::new();
        let book = self.public.sync_book(&self.exchange.venue, id, 1_000, now, &mut frames);
        let book = book.ok_or_else(|| ApiError::param("symbol"))?;
        let result = Obj::new()
            .text("s", spec.symbol)
            .raw("b", json::levels(&spec, book.bids.iter().copied().take(depth)))
            .raw("a", json::levels(&spec, book.asks.iter().copied().take(depth)))
            .raw("ts", now.as_millis())
            .raw("u", book.u)
            .raw("seq", book.seq)
            .raw("cts", now.as_millis())
            .done();
        self.fan_out(&mut frames, now);
        Ok(result.into())
    }

    fn kline(&self, query: &Value, now: Nanos) -> Outcome {
        let (id, spec) = self.exchange.instrument(query)?;
        let interval = text(query, "interval").and_then(Interval::parse).ok_or_else(|| ApiError::param("interval"))?;
        let from = millis(query, "start")?.map_or(Nanos::ZERO, Nanos::from_millis);
        let to = millis(query, "end")?.map_or(now, Nanos::from_millis).min(now);
        let size = limit(query, 200, 1_000)?;
        let tape = self.public.tape(id).ok_or_else(|| ApiError::param("symbol"))?;
        let list = tape.candles(interval, from, to, size);
        let result = Obj::new()
            .text("symbol", spec.symbol)
            .text("category", spec.product.name())
            .raw("list", json::array(list.iter().map(|candle| tape.listed(candle))));
        Ok(result.done().into())
    }

    fn recent_trades(&self, query: &Value) -> Outcome {
        let (id, spec) = self.exchange.instrument(query)?;
        let (default, most) = if spec.product == Product::Spot { (60, 60) } else { (500, 1_000) };
        let size = limit(query, default, most)?;
        let tape = self.public.tape(id).ok_or_else(|| ApiError::param("symbol"))?;
        let list = json::array(tape.recent(size));
        Ok(Obj::new().text("category", spec.product.name()).raw("list", list).done().into())
    }

    /// Every payment had the rate of today: rates do not change here.
    fn funding_history(&self, query: &Value, now: Nanos) -> Outcome {
        let (id, spec) = self.exchange.instrument(query)?;
        let size = limit(query, 200, 200)?;
        let (start, end) = (millis(query, "startTime")?, millis(query, "endTime")?);
        if spec.product != Product::Linear || (start.is_some() && end.is_none()) {
            return Err(ApiError::param(if start.is_some() { "endTime" } else { "category" }));
        }
        let tape = self.public.tape(id).ok_or_else(|| ApiError::param("symbol"))?;
        let interval_ms = (tape.funding.interval_ns / 1_000_000).max(1);
        let last = end.unwrap_or(u64::MAX).min(now.as_millis()) / interval_ms * interval_ms;
        let launched = objects::launched_ms(&self.config.listings[id.idx()], self.opened).max(start.unwrap_or(0));
        let all = std::iter::successors(Some(last), |at| at.checked_sub(interval_ms));
        let list = all.take_while(|at| *at >= launched && tape.delivery_ms().is_none()).take(size).map(|at| {
            let payment = Obj::new().text("symbol", spec.symbol).text("fundingRate", tape.funding.rate);
            payment.text("fundingRateTimestamp", at).done()
        });
        Ok(Obj::new().text("category", spec.product.name()).raw("list", json::array(list)).done().into())
    }

    fn orders_realtime(&mut self, account: AccountId, query: &Value, _: Nanos) -> Outcome {
        let open_only = match text(query, "openOnly") {
            None | Some("" | "0") => true,
            Some("1" | "2") => false,
            Some(_) => return Err(ApiError::param("openOnly")),
        };
        // By id a closed order is found too, as long as it is remembered.
        let by_id = ["orderId", "orderLinkId"].iter().any(|name| text(query, name).is_some_and(|id| !id.is_empty()));
        // A restart of the venue forgets closed orders here, not in the history.
        let restarted = self.exchange.restarted;
        let is_known = |order: &OrderRecord| order.is_open() || order.updated > restarted;
        self.orders(account, query, |order| is_known(order) && (by_id || order.is_open() == open_only))
    }

    fn orders_history(&mut self, account: AccountId, query: &Value, _: Nanos) -> Outcome {
        self.orders(account, query, |order| !order.is_open())
    }

    fn orders(&self, account: AccountId, query: &Value, keep: impl Fn(&OrderRecord) -> bool) -> Outcome {
        let scope = Scope::parse(self, query)?;
        let venue = &self.exchange.venue;
        let all = venue.orders(account).filter(|order| {
            keep(order)
                && scope.has(self, order.instrument)
                && scope.order_id.as_ref().is_none_or(|id| *id == json::order_id(order.no))
                && scope.link.is_none_or(|link| link == order.link)
        });
        let objects = all.filter_map(|order| venue.spec(order.instrument).map(|spec| objects::order(spec, order)));
        let (list, cursor) = page(objects, query, limit(query, 20, 50)?)?;
        Ok(Obj::new()
            .raw("list", list)
            .text("nextPageCursor", cursor)
            .text("category", scope.product.name())
            .done()
            .into())
    }

    fn executions(&mut self, account: AccountId, query: &Value, _: Nanos) -> Outcome {
        let scope = Scope::parse(self, query)?;
        let (start, end) = (millis(query, "startTime")?, millis(query, "endTime")?);
        let kind = match text(query, "execType").filter(|text| !text.is_empty()) {
            None => None,
            Some("Trade") => Some(ExecutionKind::Trade),
            Some("Funding") => Some(ExecutionKind::Funding),
            Some(_) => return Err(ApiError::param("execType")),
        };
        let venue = &self.exchange.venue;
        let all = venue.executions().filter(|execution| {
            let at = execution.at.as_millis();
            execution.account == account
                && scope.has(self, execution.instrument)
                && start.is_none_or(|start| start <= at)
                && end.is_none_or(|end| at <= end)
                && kind.is_none_or(|kind| kind == execution.kind)
                && scope
                    .order_id
                    .as_ref()
                    .is_none_or(|id| execution.order.is_some_and(|order| *id == json::order_id(order.no)))
                && scope.link.is_none_or(|link| execution.order.is_some_and(|order| link == order.link))
        });
        let objects = all
            .filter_map(|execution| venue.spec(execution.instrument).map(|spec| objects::execution(spec, execution)));
        let (list, cursor) = page(objects, query, limit(query, 50, 100)?)?;
        Ok(Obj::new()
            .text("nextPageCursor", cursor)
            .text("category", scope.product.name())
            .raw("list", list)
            .done()
            .into())
    }

    fn positions(&mut self, account: AccountId, query: &Value, now: Nanos) -> Outcome {
        let scope = Scope::parse(self, query)?;
        let venue = &self.exchange.venue;
        let all = (0..venue.instruments_len()).filter_map(|idx| {
            let id = InstrumentId(idx as u16);
            let is_flat = venue.account(account)?.holdings().get(idx)?.qty.is_zero();
            // By symbol flat positions are told too.
            if !scope.has(self, id) || (is_flat && scope.instrument.is_none()) {
                return None;
            }
            objects::position(venue, account, id, true, now)
        });
        let (list, cursor) = page(all, query, limit(query, 20, 200)?)?;
        Ok(Obj::new()
            .raw("list", list)
            .text("nextPageCursor", cursor)
            .text("category", scope.product.name())
            .done()
            .into())
    }

    fn wallet_balance(&mut self, account: AccountId, query: &Value, _: Nanos) -> Outcome {
        if text(query, "accountType") != Some("UNIFIED") {
            return Err(ApiError::param("accountType"));
        }
        let wallet = objects::wallet(&self.exchange.venue, account);
        Ok(Obj::new().raw("list", json::array(wallet)).done().into())
    }

    fn account_info(&mut self, _: AccountId, _: &Value, now: Nanos) -> Outcome {
        let info = Obj::new()
            .raw("unifiedMarginStatus", 5)
            .text("marginMode", "REGULAR_MARGIN")
            .raw("isMasterTrader", false)
            .text("spotHedgingStatus", "OFF")
            .text("updatedTime", now.as_millis());
        Ok(info.done().into())
    }

    fn fee_rate(&mut self, _: AccountId, query: &Value, _: Nanos) -> Outcome {
        let product = product(query)?;
        let wanted = text(query, "symbol").filter(|symbol| !symbol.is_empty());
        let listings = self.config.listings.iter().map(|listing| &listing.spec);
        let rates = listings
            .filter(|spec| spec.product == product && wanted.is_none_or(|symbol| symbol == spec.symbol.as_str()))
            .map(|spec| {
                let rate = Obj::new().text("symbol", spec.symbol).text("takerFeeRate", spec.taker_fee);
                rate.text("makerFeeRate", spec.maker_fee).done()
            });
        Ok(Obj::new().raw("list", json::array(rates)).done().into())
    }

    fn set_leverage(&mut self, account: AccountId, body: &Value, _: Nanos) -> Outcome {
        let (id, spec) = self.exchange.instrument(body)?;
        let leverage = |name: &str| {
            let parsed = text(body, name).and_then(|text| crate::types::Step::from_text(text.as_bytes()).ok());
            // Exact hundredths: 10¹² units of a step are one.
            let e2 = parsed
                .map(|step| step.pico())
                .filter(|pico| pico % 10_000_000_000 == 0)
                .map(|pico| pico / 10_000_000_000);
            let e2 = e2.and_then(|e2| u32::try_from(e2).ok());
            e2.filter(|e2| (100..=spec.max_leverage_e2).contains(e2)).ok_or_else(|| ApiError::param(name))
        };
        let (buy, sell) = (leverage("buyLeverage")?, leverage("sellLeverage")?);
        if buy != sell {
            return Err(ApiError::param("buyLeverage"));
        }
        let before = self.exchange.venue.account(account).map(|owner| owner.holding(id).leverage_e2);
        if before == Some(buy) {
            return Err(ApiError::new(110_043, "leverage not modified"));
        }
        match self.exchange.venue.set_leverage(account, id, buy) {
            Ok(()) => Ok("{}".to_owned().into()),
            Err(_) => Err(ApiError::new(110_013, "cannot set leverage due to risk limit level")),
        }
    }

    fn cancel_all(&mut self, account: AccountId, body: &Value, now: Nanos) -> Outcome {
        let scope = Scope::parse(self, body)?;
        let mut list = Vec::new();
        for idx in 0..self.exchange.venue.instruments_len() {
            let id = InstrumentId(idx as u16);
            if !scope.has(self, id) {
                continue;
            }
            for no in self.exchange.venue.cancel_all(account, Some(id), now) {
                let link = self.exchange.venue.find_order(account, no).map_or(LinkId::NONE, |order| order.link);
                let item = Obj::new().text("orderId", json::order_id(no)).text("orderLinkId", link.as_str());
                list.push(item.done());
            }
        }
        Ok(Obj::new().raw("list", json::array(list)).text("success", "1").done().into())
    }
}

/// Which orders, executions or positions are meant.
struct Scope {
    product: Product,
    instrument: Option<InstrumentId>,
    base: Option<String>,
    settle: Option<String>,
    order_id: Option<String>,
    link: Option<LinkId>,
}

impl Scope {
    fn parse(simex: &Simex, query: &Value) -> Result<Self, ApiError> {
        let given = |name| text(query, name).filter(|text| !text.is_empty());
        let instrument = match given("symbol") {
            Some(_) => Some(simex.exchange.instrument(query)?.0),
            None => None,
        };
        let link = match given("orderLinkId") {
            Some(name) => Some(LinkId::new(name).ok_or_else(|| ApiError::param("orderLinkId"))?),
            None => None,
        };
        Ok(Self {
            product: product(query)?,
            instrument,
            base: given("baseCoin").map(str::to_owned),
            settle: given("settleCoin").map(str::to_owned),
            order_id: given("orderId").map(str::to_owned),
            link,
        })
    }

    fn has(&self, simex: &Simex, id: InstrumentId) -> bool {
        let Some(spec) = simex.exchange.venue.spec(id) else { return false };
        let (base, settle) = objects::coins(spec);
        public::category_of(&simex.exchange.venue, id) == Some(self.product.name())
            && self.instrument.is_none_or(|only| only == id)
            && (self.instrument.is_some() || self.base.as_ref().is_none_or(|coin| coin == base))
            && (self.instrument.is_some() || self.settle.as_ref().is_none_or(|coin| coin == settle))
    }
}

fn time(now: Nanos) -> Answer {
    let nanos = now.get();
    Obj::new().text("timeSecond", nanos / 1_000_000_000).text("timeNano", nanos).done().into()
}

fn product(query: &Value) -> Result<Product, ApiError> {
    text(query, "category").and_then(Product::from_name).ok_or_else(|| ApiError::param("category"))
}

fn limit(query: &Value, default: usize, max: usize) -> Result<usize, ApiError> {
    match text(query, "limit").filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => {
            text.parse().ok().filter(|limit| (1..=max).contains(limit)).ok_or_else(|| ApiError::param("limit"))
        }
    }
}

/// A moment in milliseconds, if it is given.
fn millis(query: &Value, name: &str) -> Result<Option<u64>, ApiError> {
    match text(query, name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| ApiError::param(name)),
    }
}

/// One page of a list, and the cursor of the next, empty at the end.
fn page(items: impl Iterator<Item = String>, query: &Value, size: usize) -> Result<(String, String), ApiError> {
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
