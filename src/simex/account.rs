//! REST: what a user asks of his own: orders, executions, positions, wallet, settings.

use super::{
    Simex,
    error::ApiError,
    exchange::text,
    json::{self, Obj},
    objects, public,
    rest::{Outcome, limit, millis, page, product},
    stops::{Stop, StopKind},
};
use crate::{
    sim::{AccountId, ExecutionKind, LinkId, OrderNo, OrderRecord},
    types::{InstrumentId, Nanos, Product},
};
use serde_json::Value;

impl Simex {
    pub(super) fn orders_realtime(&mut self, account: AccountId, query: &Value, _: Nanos) -> Outcome {
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
        self.orders(
            account,
            query,
            |order| is_known(order) && (by_id || order.is_open() == open_only),
            |stop| (stop.is_open() || stop.updated > restarted) && (by_id || stop.is_open() == open_only),
        )
    }

    pub(super) fn orders_history(&mut self, account: AccountId, query: &Value, _: Nanos) -> Outcome {
        self.orders(account, query, |order| !order.is_open(), |stop| !stop.is_open())
    }

    /// Orders at the market and such that wait for a price, in one list, newest first.
    fn orders(
        &self,
        account: AccountId,
        query: &Value,
        keep: impl Fn(&OrderRecord) -> bool,
        keep_stop: impl Fn(&Stop) -> bool,
    ) -> Outcome {
        let scope = Scope::parse(self, query)?;
        let filter = Filter::parse(query, scope.product, false)?;
        let status = text(query, "orderStatus").filter(|status| !status.is_empty());
        let (start, end) = (millis(query, "startTime")?, millis(query, "endTime")?);
        let (venue, stops) = (&self.exchange.venue, &self.exchange.stops);
        let is_meant = |order: &OrderRecord| {
            let at = order.created.as_millis();
            scope.has(self, order.instrument)
                && scope.order_id.as_ref().is_none_or(|id| *id == json::order_id(order.no))
                && scope.link.is_none_or(|link| link == order.link)
                && start.is_none_or(|start| start <= at)
                && end.is_none_or(|end| at <= end)
        };
        let orders = venue.orders(account).filter(|order| keep(order) && is_meant(order));
        // A triggered order is listed as what it was placed as.
        let orders = orders.filter(|order| filter.has(stops.get(order.no).map(|stop| stop.kind)));
        let waiting = stops.of(account).filter(|stop| keep_stop(stop) && filter.has(Some(stop.kind)));
        let waiting = waiting.filter(|stop| is_meant(&stop.record()));
        let mut all: Vec<(OrderNo, Option<&OrderRecord>, Option<&Stop>)> =
            orders.map(|order| (order.no, Some(order), None)).collect();
        let at_market = all.len();
        all.extend(waiting.map(|stop| (stop.no, None, Some(stop))));
        if all.len() > at_market {
            all.sort_by_key(|(no, ..)| std::cmp::Reverse(*no));
        }
        let objects = all.into_iter().filter_map(|(_, order, stop)| match (order, stop) {
            (Some(order), _) => venue.spec(order.instrument).map(|spec| objects::order(spec, order, stops)),
            (_, Some(stop)) => venue.spec(stop.order.instrument).map(|spec| objects::stop(spec, stop, stops)),
            _ => None,
        });
        let has_status =
            |object: &String| status.is_none_or(|status| object.contains(&Obj::field("orderStatus", status)));
        let (list, cursor) = page(objects.filter(has_status), query, limit(query, 20, 50)?)?;
        Ok(Obj::new()
            .raw("list", list)
            .text("nextPageCursor", cursor)
            .text("category", scope.product.name())
            .done()
            .into())
    }

    pub(super) fn executions(&mut self, account: AccountId, query: &Value, _: Nanos) -> Outcome {
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
        let objects = all.filter_map(|execution| {
            venue.spec(execution.instrument).map(|spec| objects::execution(spec, execution, &self.exchange.stops))
        });
        let (list, cursor) = page(objects, query, limit(query, 50, 100)?)?;
        Ok(Obj::new()
            .text("nextPageCursor", cursor)
            .text("category", scope.product.name())
            .raw("list", list)
            .done()
            .into())
    }

    pub(super) fn positions(&mut self, account: AccountId, query: &Value, now: Nanos) -> Outcome {
        let scope = Scope::parse(self, query)?;
        let venue = &self.exchange.venue;
        let all = (0..venue.instruments_len()).filter_map(|idx| {
            let id = InstrumentId(idx as u16);
            let is_flat = venue.account(account)?.holdings().get(idx)?.qty.is_zero();
            // By symbol flat positions are told too.
            if !scope.has(self, id) || (is_flat && scope.instrument.is_none()) {
                return None;
            }
            objects::position(&self.exchange, account, id, true, now)
        });
        let (list, cursor) = page(all, query, limit(query, 20, 200)?)?;
        Ok(Obj::new()
            .raw("list", list)
            .text("nextPageCursor", cursor)
            .text("category", scope.product.name())
            .done()
            .into())
    }

    pub(super) fn wallet_balance(&mut self, account: AccountId, query: &Value, _: Nanos) -> Outcome {
        if text(query, "accountType") != Some("UNIFIED") {
            return Err(ApiError::param("accountType"));
        }
        let wallet = objects::wallet(&self.exchange.venue, account);
        Ok(Obj::new().raw("list", json::array(wallet)).done().into())
    }

    pub(super) fn account_info(&mut self, _: AccountId, _: &Value, now: Nanos) -> Outcome {
        let info = Obj::new()
            .raw("unifiedMarginStatus", 5)
            .text("marginMode", "REGULAR_MARGIN")
            .raw("isMasterTrader", false)
            .text("spotHedgingStatus", "OFF")
            .text("updatedTime", now.as_millis());
        Ok(info.done().into())
    }

    pub(super) fn fee_rate(&mut self, _: AccountId, query: &Value, _: Nanos) -> Outcome {
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

    pub(super) fn set_leverage(&mut self, account: AccountId, body: &Value, _: Nanos) -> Outcome {
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

    pub(super) fn switch_mode(&mut self, account: AccountId, body: &Value, _: Nanos) -> Outcome {
        if product(body)? != Product::Linear {
            return Err(ApiError::param("category"));
        }
        let ids: Vec<InstrumentId> = match text(body, "symbol").filter(|symbol| !symbol.is_empty()) {
            Some(_) => vec![self.exchange.instrument(body)?.0],
            None if text(body, "coin").is_some_and(|coin| coin == objects::SETTLE_COIN) => {
                (0..self.exchange.venue.instruments_len()).map(|idx| InstrumentId(idx as u16)).collect()
            }
            None => return Err(ApiError::param("symbol")),
        };
        match body.get("mode").and_then(Value::as_u64) {
            Some(0) => Err(ApiError::new(110_025, "Position mode is not modified")),
            Some(3) => {
                let venue = &self.exchange.venue;
                let has_position =
                    |id: &InstrumentId| venue.account(account).is_some_and(|owner| !owner.holding(*id).qty.is_zero());
                let has_orders = |id: &InstrumentId| {
                    venue.open_orders(account, *id).next().is_some()
                        || self.exchange.stops.waiting(account, *id).next().is_some()
                };
                if ids.iter().any(has_position) {
                    return Err(ApiError::new(
                        110_024,
                        "You have an existing position, so the position mode cannot be switched.",
                    ));
                }
                if ids.iter().any(has_orders) {
                    return Err(ApiError::new(
                        110_028,
                        "You have existing open orders, so the position mode cannot be switched.",
                    ));
                }
                Err(ApiError::new(10001, "params error: mode invalid, this venue has one-way positions only"))
            }
            _ => Err(ApiError::param("mode")),
        }
    }

    pub(super) fn trading_stop(&mut self, account: AccountId, body: &Value, now: Nanos) -> Outcome {
        self.exchange.trading_stop(account, body, now)?;
        Ok("{}".to_owned().into())
    }

    /// Closed parts of positions, newest first: one for each execution that closed something.
    pub(super) fn closed_pnl(&mut self, account: AccountId, query: &Value, _: Nanos) -> Outcome {
        let scope = Scope::parse(self, query)?;
        let (start, end) = (millis(query, "startTime")?, millis(query, "endTime")?);
        let (venue, stops) = (&self.exchange.venue, &self.exchange.stops);
        let all = venue.executions().filter(|execution| {
            let at = execution.at.as_millis();
            execution.account == account
                && !execution.closed.is_zero()
                && scope.has(self, execution.instrument)
                && start.is_none_or(|start| start <= at)
                && end.is_none_or(|end| at <= end)
        });
        let objects =
            all.filter_map(|execution| objects::closed_pnl(venue.spec(execution.instrument)?, execution, stops));
        let (list, cursor) = page(objects, query, limit(query, 50, 100)?)?;
        let result = Obj::new().text("nextPageCursor", cursor).text("category", scope.product.name());
        Ok(result.raw("list", list).done().into())
    }

    pub(super) fn cancel_all(&mut self, account: AccountId, body: &Value, now: Nanos) -> Outcome {
        let scope = Scope::parse(self, body)?;
        let filter = Filter::parse(body, scope.product, true)?;
        if scope.product == Product::Linear && !scope.is_narrow() {
            return Err(ApiError::param("symbol"));
        }
        let mut list = Vec::new();
        for idx in 0..self.exchange.venue.instruments_len() {
            let id = InstrumentId(idx as u16);
            if !scope.has(self, id) {
                continue;
            }
            let mut cancelled = Vec::new();
            if filter.has(None) {
                for no in self.exchange.venue.cancel_all(account, Some(id), now) {
                    let link = self.exchange.venue.find_order(account, no).map_or(LinkId::NONE, |order| order.link);
                    cancelled.push((no, link));
                }
            }
            cancelled.extend(self.exchange.end_stops(account, id, |stop| filter.has(Some(stop.kind)), now));
            for (no, link) in cancelled {
                let item = Obj::new().text("orderId", json::order_id(no)).text("orderLinkId", link.as_str());
                list.push(item.done());
            }
        }
        Ok(Obj::new().raw("list", json::array(list)).text("success", "1").done().into())
    }
}

/// `orderFilter`: which kinds of orders are meant.
enum Filter {
    All,
    /// At the market from the first.
    Active,
    /// Waiting for a price; on spot only those placed with one.
    Stops,
    /// Spot's take-profit and stop-loss.
    Tpsl,
    /// Only what `stopOrderType=Stop` names.
    Conditional,
}

impl Filter {
    /// Without a filter all are meant, but for the cancellation of all on spot.
    fn parse(query: &Value, product: Product, is_cancellation: bool) -> Result<Self, ApiError> {
        let is_spot = product == Product::Spot;
        let kind = text(query, "stopOrderType").filter(|kind| !kind.is_empty());
        match (text(query, "orderFilter").filter(|filter| !filter.is_empty()), kind) {
            (Some("StopOrder"), Some("Stop")) => Ok(Self::Conditional),
            (Some("Order"), _) => Ok(Self::Active),
            (Some("StopOrder"), None) => Ok(Self::Stops),
            (Some("tpslOrder"), _) if is_spot => Ok(Self::Tpsl),
            (None, _) if is_spot && is_cancellation => Ok(Self::Active),
            (None, Some("Stop")) => Ok(Self::Conditional),
            (None, None) => Ok(Self::All),
            (Some(_), _) => Err(ApiError::param("orderFilter")),
            (None, Some(_)) => Err(ApiError::param("stopOrderType")),
        }
    }

    fn has(&self, stop: Option<StopKind>) -> bool {
        match self {
            Self::All => true,
            Self::Active => stop.is_none(),
            Self::Stops => stop.is_some_and(|kind| kind != StopKind::Tpsl),
            Self::Tpsl => stop == Some(StopKind::Tpsl),
            Self::Conditional => stop == Some(StopKind::Conditional),
        }
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

    /// Whether it names a symbol or a coin.
    fn is_narrow(&self) -> bool {
        self.instrument.is_some() || self.base.is_some() || self.settle.is_some()
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
