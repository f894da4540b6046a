//! The part of a check that places orders.

use serde_json::Value;

use super::report::Report;
use super::wire::Wire;
use crate::types::{InstrumentSpec, Lots, Money, Product, Side, Ticks};
use crate::venue::bybit::orders::{AmendOrder, CancelOrder, NewOrder, Number, OrderKey, OrderRequest};
use crate::venue::bybit::rest::{RestClient, RestError};

/// How far below the best bid the resting order is, as a divisor: a tenth.
const FAR: i64 = 10;

/// What the venue said to an order request.
pub(super) struct Answer {
    pub code: i64,
    message: String,
    limit: Option<(String, String)>,
}

impl Answer {
    fn text(&self) -> String {
        if self.code == 0 { "taken".to_owned() } else { format!("{} {}", self.code, self.message) }
    }
}

/// An account that is being checked.
pub(super) struct Trader<'a> {
    pub rest: &'a RestClient,
    /// None where orders go over REST.
    pub trade: Option<Wire>,
    pub private: Wire,
    pub spec: InstrumentSpec,
    pub settle_coin: &'a str,
    pub recv_window_ms: u32,
    pub has_fast: bool,
    /// The venue's time now, in milliseconds.
    pub venue_ms: &'a dyn Fn() -> u64,
    /// Whether a person wants it to end.
    pub is_asked_to_stop: &'a dyn Fn() -> bool,
    /// Prefix of our order ids, unlike any other check's.
    pub prefix: String,
    requests: u32,
    links: Vec<String>,
    limits: Option<(String, String)>,
    /// Whether there may be a position of ours.
    has_bought: bool,
}

/// Everything that a trader is made of.
pub(super) struct Ground<'a> {
    pub rest: &'a RestClient,
    pub trade: Option<Wire>,
    pub private: Wire,
    pub spec: InstrumentSpec,
    pub settle_coin: &'a str,
    pub recv_window_ms: u32,
    pub has_fast: bool,
    pub venue_ms: &'a dyn Fn() -> u64,
    pub is_asked_to_stop: &'a dyn Fn() -> bool,
}

impl<'a> Trader<'a> {
    pub fn new(ground: Ground<'a>) -> Self {
        let prefix = format!("check-{}", (ground.venue_ms)());
        let Ground { rest, trade, private, spec, settle_coin, recv_window_ms, has_fast, venue_ms, is_asked_to_stop } =
            ground;
        Self {
            rest,
            trade,
            private,
            spec,
            settle_coin,
            recv_window_ms,
            has_fast,
            venue_ms,
            is_asked_to_stop,
            prefix,
            requests: 0,
            links: Vec::new(),
            limits: None,
            has_bought: false,
        }
    }

    fn link(&mut self) -> String {
        let link = format!("{}-{}", self.prefix, self.links.len());
        self.links.push(link.clone());
        link
    }

    fn px(&self, px: Ticks) -> Result<Number, String> {
        Number::steps(px.get(), self.spec.tick).ok_or_else(|| format!("no price: {} ticks", px.get()))
    }

    fn qty(&self, qty: Lots) -> Result<Number, String> {
        Number::steps(qty.get(), self.spec.lot).ok_or_else(|| format!("no quantity: {} lots", qty.get()))
    }

    /// The smallest quantity that the venue takes at `px`.
    fn smallest(&self, px: Ticks) -> Lots {
        let one = self.spec.notional(px, Lots::new(1)).get().max(1);
        // A little more than the floor, since the price may be moved.
        let floor = self.spec.min_notional.saturating_mul(11).get() / 10;
        let needed = i64::try_from(floor / one).unwrap_or(i64::MAX).saturating_add(1);
        Lots::new(needed.max(self.spec.min_qty.get()).min(self.spec.max_qty.get()))
    }

    /// Sends a request the way that orders go here.
    fn send(&mut self, request: &OrderRequest<'_>) -> Result<Answer, String> {
        self.requests += 1;
        let venue_ms = (self.venue_ms)();
        let answer = match &mut self.trade {
            Some(wire) => {
                let req_id = format!("check-{}", self.requests);
                wire.say(&request.message(&req_id, venue_ms, self.recv_window_ms))?;
                let is_it = |message: &Value| message["reqId"].as_str() == Some(&req_id);
                let reply = wire.wait("the answer of order entry", is_it)?;
                let text = |value: &Value| value.as_str().map(str::to_owned);
                let header = &reply["header"];
                Answer {
                    code: reply["retCode"].as_i64().ok_or("the answer has no retCode")?,
                    message: text(&reply["retMsg"]).unwrap_or_default(),
                    limit: text(&header["X-Bapi-Limit"]).zip(text(&header["X-Bapi-Limit-Status"])),
                }
            }
            None => {
                let reply = self.rest.order_reply(request.path(), &request.body(), venue_ms);
                let limit = reply.limit.zip(reply.limit_left).map(|(all, left)| (all.to_string(), left.to_string()));
                match reply.outcome {
                    Ok(_) => Answer { code: 0, message: String::new(), limit },
                    Err(RestError::Venue { code, message, .. }) => Answer { code, message, limit },
                    Err(error) => return Err(error.to_string()),
                }
            }
        };
        if answer.limit.is_some() {
            self.limits.clone_from(&answer.limit);
        }
        Ok(answer)
    }

    fn taken(&mut self, request: &OrderRequest<'_>) -> Result<String, String> {
        let answer = self.send(request)?;
        if answer.code == 0 { Ok(answer.text()) } else { Err(answer.text()) }
    }

    /// A step that must be refused with one of `codes`.
    fn refused(&mut self, report: &mut Report, name: &'static str, codes: &[i64], request: &OrderRequest<'_>) {
        let words: Vec<String> = codes.iter().map(i64::to_string).collect();
        let expected = format!("refused with code {}", words.join(" or "));
        match self.send(request) {
            Ok(answer) => report.check(name, codes.contains(&answer.code), &expected, answer.text()),
            Err(error) => report.check(name, false, &expected, error),
        };
    }

    /// Waits until the order stream tells a state of an order.
    fn told(&mut self, link: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value, String> {
        self.private.item("order", |order| order["orderLinkId"].as_str() == Some(link) && is_it(order))
    }

    fn listed(&self, path: &'static str, link: &str) -> Result<Value, String> {
        let key = format!("category={}&symbol={}&orderLinkId={link}", self.spec.product.name(), self.spec.symbol);
        // What was told by the stream may be listed a moment later.
        for _ in 0..20 {
            let found = self.rest.signed_list(path, &key, (self.venue_ms)()).map_err(|e| e.to_string())?;
            if let Some(order) = found.into_iter().next() {
                return Ok(order);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Err("not listed after 2 s".to_owned())
    }

    fn cancel<'b>(&self, symbol: &'b str, link: &'b str) -> OrderRequest<'b> {
        let product = self.spec.product;
        OrderRequest::Cancel(CancelOrder { product, symbol, key: OrderKey::Link(link), filter: None })
    }

    /// The life of a resting order, and what must be refused. `bid` and `ask` are the best prices.
    pub fn resting(&mut self, report: &mut Report, bid: Ticks, ask: Ticks) -> Result<(), String> {
        let (product, symbol) = (self.spec.product, self.spec.symbol);
        let symbol = symbol.as_str();
        let far = Ticks::new((bid.get() - bid.get() / FAR).max(1));
        let qty = self.smallest(far);
        let link = self.link();
        let new = NewOrder::post_only(product, symbol, Side::Bid, self.px(far)?, self.qty(qty)?, &link);
        let what = format!("buy {} at {}, post-only", self.spec.lot.text(qty.get()), self.spec.tick.text(far.get()));
        let new = OrderRequest::New(new);
        let placed = self.taken(&new);
        if report.take("place", "the venue takes it", placed, |_| what).is_none() {
            return Ok(());
        }
        let told = self.told(&link, |order| order["orderStatus"].as_str() == Some("New"));
        report.take("order-stream-new", "the order stream tells New", told, describe);
        let listed = self.listed("/v5/order/realtime", &link);
        report.take("listed", "REST lists it as open", listed, describe);
        if (self.is_asked_to_stop)() {
            return Ok(());
        }
        self.refused(report, "duplicate-id", &[110_072, 170_141, 10_014], &new);

        let lower = Ticks::new((far.get() - 1).max(1));
        let amended =
            AmendOrder { px: Some(self.px(lower)?), ..AmendOrder::of(product, symbol, OrderKey::Link(&link)) };
        let taken = self.taken(&OrderRequest::Amend(amended));
        report.take("amend", "the venue takes it", taken, |text| text.clone());
        let want = self.spec.tick.text(lower.get());
        let tick = self.spec.tick;
        let told = self.told(&link, |order| {
            let px = order["price"].as_str().and_then(|px| tick.parse_ticks(px.as_bytes()).ok());
            px == Some(lower)
        });
        report.take("order-stream-amended", "the order stream tells the new price", told, |_| format!("price {want}"));
        if (self.is_asked_to_stop)() {
            return Ok(());
        }
        let cancel = self.cancel(symbol, &link);
        let taken = self.taken(&cancel);
        report.take("cancel", "the venue takes it", taken, |text| text.clone());
        let told = self.told(&link, |order| order["orderStatus"].as_str() == Some("Cancelled"));
        report.take("order-stream-cancelled", "the order stream tells Cancelled", told, describe);
        let listed = self.listed("/v5/order/history", &link);
        report.take("history", "the history has it as Cancelled", listed, describe);
        self.refused(report, "cancel-unknown", &[110_001, 170_213], &cancel);

        // Beyond the other side, so that it would take.
        let crossing = Ticks::new(ask.get().saturating_add(ask.get() / 1000).saturating_add(1));
        let qty = self.smallest(ask);
        let link = self.link();
        let new = NewOrder::post_only(product, symbol, Side::Bid, self.px(crossing)?, self.qty(qty)?, &link);
        let taken = self.taken(&OrderRequest::New(new));
        let ended = taken.and_then(|_| {
            let told = self.told(&link, |order| {
                matches!(order["orderStatus"].as_str(), Some("Cancelled" | "Rejected" | "Filled"))
            })?;
            match told["rejectReason"].as_str() {
                Some("EC_PostOnlyWillTakeLiquidity") => Ok(told),
                _ => Err(describe(&told)),
            }
        });
        let expected = "cancelled with EC_PostOnlyWillTakeLiquidity";
        report.take("post-only-crossing", expected, ended, describe);
        match &self.limits {
            Some((all, left)) => report.check("rate-limit-headers", true, "told", format!("limit {all}, left {left}")),
            None => report.check("rate-limit-headers", false, "answers tell X-Bapi-Limit and its status", "none told"),
        };
        Ok(())
    }

    fn position(&self) -> Result<Lots, String> {
        let items = self.rest.position_items(self.spec.product, self.spec.symbol.as_str(), (self.venue_ms)());
        let items = items.map_err(|e| e.to_string())?;
        let mut sum = Lots::ZERO;
        for item in items {
            let size = item["size"].as_str().unwrap_or("0");
            let size = self.spec.lot.parse_lots(size.as_bytes()).map_err(|e| e.to_string())?;
            sum =
                if item["side"].as_str() == Some("Sell") { sum.saturating_sub(size) } else { sum.saturating_add(size) };
        }
        Ok(sum)
    }

    fn wallet(&self) -> Result<Money, String> {
        let query = format!("accountType=UNIFIED&coin={}", self.settle_coin);
        let list = self.rest.signed_list("/v5/account/wallet-balance", &query, (self.venue_ms)());
        let list = list.map_err(|e| e.to_string())?;
        let coins = list.first().and_then(|account| account["coin"].as_array()).ok_or("no coins")?;
        let coin = coins.iter().find(|coin| coin["coin"].as_str() == Some(self.settle_coin)).ok_or("no such coin")?;
        Money::parse(coin["walletBalance"].as_str().unwrap_or("").as_bytes()).map_err(|e| e.to_string())
    }

    /// Buys the smallest quantity at the market and sells it again.
    pub fn round_trip(&mut self, report: &mut Report, ask: Ticks) -> Result<(), String> {
        let expected = "flat before";
        if !report.check("flat-before", self.position()? == Lots::ZERO, expected, "the position is looked at first") {
            return Ok(());
        }
        let before = self.wallet()?;
        self.has_bought = true;
        let qty = self.smallest(ask);
        let (mut change, mut fees) = (Money::ZERO, Money::ZERO);
        for (name, side) in [("market-buy", Side::Bid), ("market-sell", Side::Ask)] {
            let link = self.link();
            let symbol = self.spec.symbol;
            let order = NewOrder::market(Product::Linear, symbol.as_str(), side, self.qty(qty)?, &link);
            let order = NewOrder { reduce_only: side == Side::Ask, ..order };
            let fills = self.taken(&OrderRequest::New(order)).and_then(|_| self.fills(&link));
            let Some((fills, order_id)) =
                report.take(name, "filled, told by the execution stream", fills, |(fills, _)| {
                    format!("{} executions of {}", fills.len(), self.spec.lot.text(qty.get()))
                })
            else {
                break;
            };
            for fill in &fills {
                let money = |field: &str| Money::parse(fill[field].as_str().unwrap_or("0").as_bytes());
                let value = money("execValue").map_err(|e| e.to_string())?;
                let fee = money("execFee").map_err(|e| e.to_string())?;
                fees = fees.saturating_add(fee);
                change = if side == Side::Bid { change.saturating_sub(value) } else { change.saturating_add(value) };
            }
            if self.has_fast {
                let mut same = Ok(());
                for fill in &fills {
                    let id = fill["execId"].clone();
                    same = same.and(self.private.item("execution.fast", |fast| fast["execId"] == id).map(|_| ()));
                }
                let expected = "execution.fast told the same execution ids";
                report.take("fast-executions", expected, same, |()| format!("order {order_id}"));
            } else {
                report.skip("fast-executions", "demo accounts have none");
            }
        }
        let flat = self.position()?;
        report.check("flat-after", flat == Lots::ZERO, "no position", format!("{} lots", flat.get()));
        let moved = self.settled(before)?.saturating_sub(before);
        let want = change.saturating_sub(fees);
        // The venue rounds in the twelfth decimal; funding between the two orders would show here, too.
        let off = moved.saturating_sub(want).get().abs();
        let found = format!("wallet {moved}, gain {change}, fees {fees}");
        report.check("wallet-change", off <= 1_000_000, "gain less fees", found);
        Ok(())
    }

    /// The wallet once it has moved, or after a second.
    fn settled(&self, before: Money) -> Result<Money, String> {
        for _ in 0..10 {
            let found = self.wallet()?;
            if found != before {
                return Ok(found);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        self.wallet()
    }

    /// The executions of an order until it is filled; with the venue's number for it.
    fn fills(&mut self, link: &str) -> Result<(Vec<Value>, String), String> {
        let done = self
            .told(link, |order| matches!(order["orderStatus"].as_str(), Some("Filled" | "Cancelled" | "Rejected")))?;
        let id = done["orderId"].as_str().unwrap_or("").to_owned();
        let lots = |value: &Value| {
            self.spec.lot.parse_lots(value.as_str().unwrap_or("").as_bytes()).map_err(|e| e.to_string())
        };
        let whole = lots(&done["cumExecQty"])?;
        if whole == Lots::ZERO {
            return Err(describe(&done));
        }
        let (mut seen, mut fills, mut sum) = (Vec::<String>::new(), Vec::new(), Lots::ZERO);
        while sum.get() < whole.get() {
            let fill = self.private.item("execution", |fill| {
                fill["orderId"].as_str() == Some(&id) && !seen.iter().any(|id| fill["execId"].as_str() == Some(id))
            });
            let fill = fill?;
            seen.push(fill["execId"].as_str().unwrap_or("").to_owned());
            sum = sum.saturating_add(
                self.spec
                    .lot
                    .parse_lots(fill["execQty"].as_str().unwrap_or("").as_bytes())
                    .map_err(|e| e.to_string())?,
            );
            fills.push(fill);
        }
        Ok((fills, id))
    }

    /// Sells what the round trip bought, if it broke off in between.
    fn end_position(&self) -> Result<Lots, String> {
        let held = self.position()?;
        if held == Lots::ZERO {
            return Ok(held);
        }
        let symbol = self.spec.symbol;
        let side = if held.get() > 0 { Side::Ask } else { Side::Bid };
        let link = format!("{}-end", self.prefix);
        let order = NewOrder::market(self.spec.product, symbol.as_str(), side, self.qty(held.saturating_abs())?, &link);
        let order = OrderRequest::New(NewOrder { reduce_only: true, ..order });
        self.rest.place(&order, (self.venue_ms)()).map_err(|e| e.to_string())?;
        std::thread::sleep(std::time::Duration::from_secs(1));
        self.position()
    }

    /// Cancels whatever of this check is open, ends its position, and says what is left.
    pub fn clean_up(&mut self, report: &mut Report) {
        if self.has_bought {
            let left = self.end_position();
            let found = left.as_ref().map_or_else(Clone::clone, |left| format!("{} lots", left.get()));
            report.check("no-position-left", left == Ok(Lots::ZERO), "the position of this check is closed", found);
        }
        let open = |trader: &Self| -> Result<Vec<String>, String> {
            let key =
                format!("category={}&symbol={}&openOnly=0&limit=50", trader.spec.product.name(), trader.spec.symbol);
            let list = trader.rest.signed_list("/v5/order/realtime", &key, (trader.venue_ms)());
            let mine = |order: &Value| {
                let link = order["orderLinkId"].as_str()?;
                link.starts_with(&trader.prefix).then(|| link.to_owned())
            };
            Ok(list.map_err(|e| e.to_string())?.iter().filter_map(mine).collect())
        };
        let mut left = open(self);
        for _ in 0..5 {
            let Ok(links) = &left else { break };
            if links.is_empty() {
                break;
            }
            let symbol = self.spec.symbol;
            for link in links.clone() {
                let request = self.cancel(symbol.as_str(), &link);
                // Over REST, which works also when the socket is what broke.
                let _ = self.rest.place(&request, (self.venue_ms)());
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
            left = open(self);
        }
        let found = left.map(|links| links.len());
        match found {
            Ok(count) => {
                report.check("nothing-left-open", count == 0, "no order of this check is open", format!("{count} open"))
            }
            Err(error) => report.check("nothing-left-open", false, "no order of this check is open", error),
        };
    }
}

/// An order in a few words.
fn describe(order: &Value) -> String {
    let text = |field: &str| order[field].as_str().unwrap_or("-").to_owned();
    let mut out = format!("{} {} at {}", text("orderStatus"), text("qty"), text("price"));
    for field in ["cancelType", "rejectReason"] {
        if !matches!(order[field].as_str(), None | Some("" | "UNKNOWN" | "EC_NoError")) {
            out.push_str(&format!(", {}", text(field)));
        }
    }
    out
}
