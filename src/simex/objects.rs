//! The venue's objects as JSON: orders, executions, positions, wallets, instruments. Streams and REST share them.

use super::{
    config::{ListingConfig, ListingStatus},
    exchange::Exchange,
    json::{self, Obj},
    report::{side_name, status_name},
    stops::{Direction, Ending, Leg, Protection, Stop, StopKind, StopState, Stops},
};
use crate::{
    sim::{AccountId, CancelReason, Execution, ExecutionKind, Holding, OrderKind, OrderRecord, SelfTrade, Venue},
    types::{InstrumentId, InstrumentSpec, Money, Nanos, Product, Side, Ticks, TimeInForce},
};

pub(super) fn category(product: Product) -> &'static str {
    product.name()
}

/// Base and settlement currency. A dated future's name goes on after a dash.
pub(super) fn coins(spec: &InstrumentSpec) -> (&str, &str) {
    let symbol = spec.symbol.as_str();
    let pair = symbol.split_once('-').map_or(symbol, |(pair, _)| pair);
    let settle = ["USDT", "USDC", "USD"]
        .into_iter()
        .find_map(|coin| Some((pair.strip_suffix(coin)?, &pair[pair.len() - coin.len()..])));
    settle.unwrap_or((symbol, SETTLE_COIN))
}

fn tif_name(tif: TimeInForce) -> &'static str {
    match tif {
        TimeInForce::GoodTillCancel => "GTC",
        TimeInForce::PostOnly => "PostOnly",
        TimeInForce::ImmediateOrCancel => "IOC",
        TimeInForce::FillOrKill => "FOK",
    }
}

fn kind_name(kind: OrderKind) -> &'static str {
    match kind {
        OrderKind::Limit => "Limit",
        OrderKind::Market => "Market",
    }
}

fn self_trade_name(self_trade: SelfTrade) -> &'static str {
    match self_trade {
        SelfTrade::None => "None",
        SelfTrade::CancelMaker => "CancelMaker",
        SelfTrade::CancelTaker => "CancelTaker",
        SelfTrade::CancelBoth => "CancelBoth",
    }
}

/// `cancelType` and `rejectReason` of an order.
fn ending(order: &OrderRecord) -> (&'static str, &'static str) {
    match order.cancelled {
        None => ("UNKNOWN", "EC_NoError"),
        Some(CancelReason::ByUser) => ("CancelByUser", "EC_PerCancelRequest"),
        Some(CancelReason::WouldTake) => ("UNKNOWN", "EC_PostOnlyWillTakeLiquidity"),
        Some(CancelReason::NoFullFill) => ("UNKNOWN", "EC_CancelForNoFullFill"),
        Some(CancelReason::NoLiquidity) => ("UNKNOWN", "EC_NoImmediateQtyToFill"),
        Some(CancelReason::SelfTrade) => ("CancelBySmp", "EC_BySelfMatch"),
        Some(CancelReason::ReduceOnly) => ("CancelByReduceOnly", "EC_PerCancelRequest"),
        Some(CancelReason::Liquidation) => ("CancelAllBeforeLiq", "EC_PerCancelRequest"),
    }
}

fn average(spec: &InstrumentSpec, order: &OrderRecord) -> Option<Money> {
    let size_pico = i128::from(order.filled.get()).checked_mul(spec.lot.pico())?;
    let value = order.filled_value.get().checked_mul(Money::ONE.get())?;
    value.checked_div(size_pico).map(Money::new)
}

/// An order. `stops` tells of it what the market does not know.
pub(super) fn order(spec: &InstrumentSpec, order: &OrderRecord, stops: &Stops) -> String {
    self::order_told(spec, order, stops.get(order.no), stops.protection(order.no))
}

/// An order that waits, or waited in vain.
pub(super) fn stop(spec: &InstrumentSpec, stop: &Stop, stops: &Stops) -> String {
    self::order_told(spec, &stop.record(), Some(stop), stops.protection(stop.no))
}

fn order_told(
    spec: &InstrumentSpec,
    order: &OrderRecord,
    stop: Option<&Stop>,
    protection: Option<&Protection>,
) -> String {
    let leaves = if order.is_open() { order.unfilled() } else { Default::default() };
    let (mut cancel_type, mut reject_reason) = ending(order);
    let mut status = status_name(order.status);
    match stop.map(|stop| stop.state) {
        Some(StopState::Untriggered) => status = "Untriggered",
        Some(StopState::Triggered) => status = "Triggered",
        Some(StopState::Rejected) => (status, reject_reason) = ("Rejected", "EC_Others"),
        Some(StopState::Deactivated(why)) => {
            status = "Deactivated";
            (cancel_type, reject_reason) = match why {
                Ending::ByUser => ("CancelByUser", "EC_PerCancelRequest"),
                Ending::PositionGone => ("CancelByTpSlTsClear", "EC_PerCancelRequest"),
                Ending::Pair { is_profit: true } => ("CancelByOCOSlCanceledByTpTriggered", "EC_PerCancelRequest"),
                Ending::Pair { is_profit: false } => ("CancelByOCOTpCanceledBySlTriggered", "EC_PerCancelRequest"),
            };
        }
        Some(StopState::Placed) | None => {}
    }
    let px = |px: Option<Ticks>| px.map(|px| json::px(spec, px)).unwrap_or_default();
    let leg = |leg: fn(&Protection) -> Option<Leg>| protection.and_then(leg);
    let (take, loss) = (leg(|protection| protection.take_profit), leg(|protection| protection.stop_loss));
    let by = |leg: Option<Leg>| leg.map(|leg| leg.by.name()).unwrap_or_default();
    let mode = match protection {
        Some(Protection { is_partial: true, .. }) => "Partial",
        Some(_) => "Full",
        None => match stop.map(|stop| stop.kind) {
            Some(StopKind::PartialTakeProfit | StopKind::PartialStopLoss) => "Partial",
            Some(StopKind::TakeProfit | StopKind::StopLoss) => "Full",
            _ => "",
        },
    };
    let (_, coin) = coins(spec);
    let fee_detail = if order.fees == Money::ZERO { "{}".into() } else { Obj::new().text(coin, order.fees).done() };
    Obj::new()
        .text("category", category(spec.product))
        .text("symbol", spec.symbol)
        .text("orderId", json::order_id(order.no))
        .text("orderLinkId", order.link.as_str())
        .text("blockTradeId", "")
        .text("side", side_name(order.side))
        .raw("positionIdx", 0)
        .text("orderStatus", status)
        .text("cancelType", cancel_type)
        .text("rejectReason", reject_reason)
        .text("timeInForce", tif_name(order.tif))
        .text("isLeverage", "")
        .text("price", json::px(spec, order.px))
        .text("qty", json::qty(spec, order.qty))
        .text("avgPrice", average(spec, order).map(|px| px.to_string()).unwrap_or_default())
        .text("leavesQty", json::qty(spec, leaves))
        .text("leavesValue", spec.notional(order.px, leaves))
        .text("cumExecQty", json::qty(spec, order.filled))
        .text("cumExecValue", order.filled_value)
        .text("cumExecFee", order.fees)
        .raw("cumFeeDetail", fee_detail)
        .text("closedPnl", "0")
        .text("feeCurrency", "")
        .text("orderType", kind_name(order.kind))
        .text("stopOrderType", stop.map(|stop| stop.kind.name()).unwrap_or_default())
        .text("orderIv", "")
        .text("triggerPrice", px(stop.map(|stop| stop.trigger_px)))
        .text("takeProfit", px(take.map(|leg| leg.px)))
        .text("stopLoss", px(loss.map(|leg| leg.px)))
        .text("tpslMode", mode)
        .text("tpTriggerBy", by(take))
        .text("slTriggerBy", by(loss))
        .text("tpLimitPrice", px(take.and_then(|leg| leg.limit)))
        .text("slLimitPrice", px(loss.and_then(|leg| leg.limit)))
        .text("triggerBy", stop.map(|stop| stop.by.name()).unwrap_or_default())
        .empty(&["placeType", "lastPriceOnCreated", "marketUnit"])
        .raw("triggerDirection", stop.map_or(0, |stop| if stop.direction == Direction::Rise { 1 } else { 2 }))
        .raw("reduceOnly", order.reduce_only)
        .raw("closeOnTrigger", stop.is_some_and(|stop| stop.close_on_trigger))
        .text("createType", stop.map_or("CreateByUser", |stop| stop.kind.origin()))
        .text("slippageToleranceType", "UNKNOWN")
        .text("slippageTolerance", "")
        .text("smpType", self_trade_name(order.self_trade))
        .raw("smpGroup", 0)
        .text("smpOrderId", "")
        .raw("rpiTakerAccess", false)
        .text("rpiMatchedQty", "0")
        .text("createdTime", order.created.as_millis())
        .text("updatedTime", order.updated.as_millis())
        .done()
}

pub(super) fn exec_id(execution: &Execution) -> String {
    json::uuid(json::EXECUTIONS, execution.no)
}

pub(super) fn execution(spec: &InstrumentSpec, execution: &Execution, stops: &Stops) -> String {
    let order = execution.order.as_ref();
    let stop = order.and_then(|order| stops.get(order.no));
    let origin = match order {
        Some(_) => stop.map_or("CreateByUser", |stop| stop.kind.origin()),
        None => "",
    };
    let (kind, order_type) = match (execution.kind, order) {
        (ExecutionKind::Trade, Some(order)) => ("Trade", kind_name(order.kind)),
        (ExecutionKind::Takeover, Some(order)) => ("BustTrade", kind_name(order.kind)),
        _ => ("Funding", "UNKNOWN"),
    };
    let leaves = order.map(|order| order.unfilled()).unwrap_or_default();
    Obj::new()
        .text("category", category(spec.product))
        .text("symbol", spec.symbol)
        .text("closedSize", json::qty(spec, execution.closed))
        .text("execFee", execution.fee)
        .text("execId", exec_id(execution))
        .text("execPrice", json::px(spec, execution.px))
        .text("execQty", json::qty(spec, execution.qty))
        .text("execType", kind)
        .text("execValue", execution.value)
        .text("execPnl", execution.realised)
        .text("feeRate", execution.fee_rate)
        .empty(&["tradeIv", "markIv", "blockTradeId", "indexPrice", "underlyingPrice", "marketUnit"])
        .text("markPrice", json::px(spec, execution.mark))
        .text("leavesQty", json::qty(spec, leaves))
        .text("orderId", order.map(|order| json::order_id(order.no)).unwrap_or_default())
        .text("orderLinkId", order.map(|order| order.link.as_str()).unwrap_or_default())
        .text("orderPrice", order.map(|order| json::px(spec, order.px)).unwrap_or_default())
        .text("orderQty", order.map(|order| json::qty(spec, order.qty)).unwrap_or_default())
        .text("orderType", order_type)
        .text("stopOrderType", stop.map_or("UNKNOWN", |stop| stop.kind.name()))
        .text("side", side_name(execution.side))
        .text("execTime", execution.at.as_millis())
        .text("isLeverage", "0")
        .raw("isMaker", execution.is_maker)
        .raw("seq", execution.no)
        .text("createType", origin)
        .raw("extraFees", "[]")
        .text("feeCurrency", coins(spec).1)
        .done()
}

/// The early notice of a fill; a maker's has no `orderLinkId`.
pub(super) fn execution_fast(spec: &InstrumentSpec, execution: &Execution) -> Option<String> {
    let order = execution.order.as_ref()?;
    let link = if execution.is_maker { "" } else { order.link.as_str() };
    let object = Obj::new()
        .text("category", category(spec.product))
        .text("symbol", spec.symbol)
        .text("execId", exec_id(execution))
        .text("execPrice", json::px(spec, execution.px))
        .text("execQty", json::qty(spec, execution.qty))
        .text("orderId", json::order_id(order.no))
        .raw("isMaker", execution.is_maker)
        .text("orderLinkId", link)
        .text("side", side_name(execution.side))
        .text("execTime", execution.at.as_millis())
        .raw("seq", execution.no);
    Some(object.done())
}

/// What an execution closed of a position. Average cost means that the entry follows from the exit and the profit.
pub(super) fn closed_pnl(spec: &InstrumentSpec, execution: &Execution, stops: &Stops) -> Option<String> {
    let order = execution.order.as_ref()?;
    let exit = spec.notional(execution.px, execution.closed);
    let entry = match execution.side {
        Side::Ask => exit.saturating_sub(execution.realised),
        Side::Bid => exit.saturating_add(execution.realised),
    };
    let size_pico = i128::from(execution.closed.get()).saturating_mul(spec.lot.pico()).max(1);
    let entry_px = Money::new(entry.get().saturating_mul(Money::ONE.get()) / size_pico);
    let object = Obj::new()
        .text("symbol", spec.symbol)
        .text("orderId", json::order_id(order.no))
        .text("side", side_name(execution.side))
        .text("qty", json::qty(spec, order.qty))
        .text("orderPrice", json::px(spec, order.px))
        .text("orderType", kind_name(order.kind))
        .text("execType", "Trade")
        .text("closedSize", json::qty(spec, execution.closed))
        .text("cumEntryValue", entry)
        .text("avgEntryPrice", entry_px)
        .text("cumExitValue", exit)
        .text("avgExitPrice", json::px(spec, execution.px))
        .text("closedPnl", execution.realised.saturating_sub(execution.fee))
        .text("closeFee", execution.fee)
        .text("fillCount", 1)
        .text("createType", stops.get(order.no).map_or("CreateByUser", |stop| stop.kind.origin()))
        .text("createdTime", execution.at.as_millis())
        .text("updatedTime", execution.at.as_millis());
    Some(object.done())
}

/// A position; REST and the stream name the entry price differently.
pub(super) fn position(
    exchange: &Exchange,
    account: AccountId,
    instrument: InstrumentId,
    rest: bool,
    now: Nanos,
) -> Option<String> {
    let venue = &exchange.venue;
    let stop = |kind| exchange.stops.position_stop(account, instrument, kind);
    let spec = venue.spec(instrument)?;
    let holding: &Holding = venue.account(account)?.holdings().get(instrument.idx())?;
    let mark = venue.mark(instrument).unwrap_or_default();
    let side = match holding.qty.get().signum() {
        1 => side_name(Side::Bid),
        -1 => side_name(Side::Ask),
        _ => "",
    };
    let margin = holding.position_margin();
    let trigger = |kind| stop(kind).map_or("0".to_owned(), |stop| json::px(spec, stop.trigger_px));
    let distance = stop(StopKind::TrailingStop).and_then(|stop| stop.trail).map(|trail| trail.distance);
    let object = Obj::new()
        .raw("positionIdx", 0)
        .raw("tradeMode", 0)
        .raw("riskId", 1)
        .text("riskLimitValue", "2000000")
        .text("symbol", spec.symbol)
        .text("side", side)
        .text("size", json::qty(spec, holding.qty.saturating_abs()))
        .text(if rest { "avgPrice" } else { "entryPrice" }, holding.entry_px(spec))
        .text("leverage", leverage(holding.leverage_e2))
        .text("breakEvenPrice", "")
        .text("positionValue", holding.entry_value.max(holding.entry_value.saturating_neg()))
        .text("positionBalance", "0")
        .text("markPrice", json::px(spec, mark))
        .text("positionIM", margin)
        .text("positionIMByMp", margin)
        .text("positionMM", "0")
        .text("positionMMByMp", "0")
        .text("takeProfit", trigger(StopKind::TakeProfit))
        .text("stopLoss", trigger(StopKind::StopLoss))
        .text("trailingStop", distance.map_or("0".to_owned(), |px| json::px(spec, px)))
        .text("unrealisedPnl", holding.unrealised(spec, mark))
        .text("curRealisedPnl", holding.realised)
        .text("cumRealisedPnl", holding.realised.saturating_sub(holding.fees).saturating_sub(holding.funding))
        .text("sessionAvgPrice", "")
        .text("createdTime", now.as_millis())
        .text("updatedTime", now.as_millis())
        .text("tpslMode", "Full")
        .text("liqPrice", "")
        .text("bustPrice", "")
        .text("category", category(spec.product))
        .text("positionStatus", "Normal")
        .raw("adlRankIndicator", 0)
        .raw("autoAddMargin", 0)
        .text("leverageSysUpdatedTime", "")
        .text(if rest { "mmrSysUpdateTime" } else { "mmrSysUpdatedTime" }, "")
        .raw("seq", venue.executions_count())
        .raw("isReduceOnly", false);
    Some(object.done())
}

/// Leverage in hundredths as the venue writes it.
fn leverage(leverage_e2: u32) -> String {
    match leverage_e2 % 100 {
        0 => (leverage_e2 / 100).to_string(),
        rest => format!("{}.{rest:02}", leverage_e2 / 100),
    }
}

/// One coin of a wallet.
#[derive(Default)]
struct Coin {
    equity: String,
    /// Other than the equity.
    wallet: Option<Money>,
    usd: Money,
    locked: String,
    order_margin: Money,
    position_margin: Money,
    unrealised: Money,
    realised: Money,
}

impl Coin {
    fn object(&self, name: &str) -> String {
        let wallet = self.wallet.map_or_else(|| self.equity.clone(), |wallet| wallet.to_string());
        Obj::new()
            .text("coin", name)
            .text("equity", &self.equity)
            .text("usdValue", self.usd)
            .text("walletBalance", wallet)
            .text("free", "")
            .text("locked", &self.locked)
            .text("spotHedgingQty", "0")
            .text("borrowAmount", "0")
            .text("availableToWithdraw", "")
            .text("availableToBorrow", "")
            .text("accruedInterest", "0")
            .text("totalOrderIM", self.order_margin)
            .text("totalPositionIM", self.position_margin)
            .text("totalPositionMM", "0")
            .text("unrealisedPnl", self.unrealised)
            .text("cumRealisedPnl", self.realised)
            .text("bonus", "0")
            .raw("collateralSwitch", true)
            .raw("marginCollateral", true)
            .text("spotBorrow", "0")
            .done()
    }
}

pub(super) fn wallet(venue: &Venue, account: AccountId) -> Option<String> {
    let owner = venue.account(account)?;
    let equity = venue.equity(account);
    let margin = owner.margin(crate::types::SettleId::default());
    let available = equity.saturating_sub(margin).max(Money::ZERO);
    let unrealised = equity.saturating_sub(owner.balance());
    let position_margin =
        owner.holdings().iter().fold(Money::ZERO, |sum, holding| sum.saturating_add(holding.position_margin()));
    let order_margin = margin.saturating_sub(position_margin).max(Money::ZERO);
    let realised = owner.balance().saturating_sub(owner.start());
    // Accounts are kept in one currency: what coins of spot pairs cost is still in the balance, and is taken out here.
    let mut coins = Vec::new();
    let (mut cost, mut worth) = (Money::ZERO, Money::ZERO);
    for (idx, holding) in owner.holdings().iter().enumerate() {
        let id = InstrumentId(idx as u16);
        let Some(spec) = venue.spec(id).filter(|spec| spec.product == Product::Spot && !holding.qty.is_zero()) else {
            continue;
        };
        let value = spec.notional(venue.mark(id).unwrap_or_default(), holding.qty);
        (cost, worth) = (cost.saturating_add(holding.entry_value), worth.saturating_add(value));
        let promised = venue.open_orders(account, id).filter(|order| order.side == Side::Ask);
        let locked =
            promised.fold(Default::default(), |sum: crate::types::Lots, order| sum.saturating_add(order.unfilled()));
        let held = Coin {
            equity: json::qty(spec, holding.qty),
            usd: value,
            locked: json::qty(spec, locked),
            ..Coin::default()
        };
        coins.push(held.object(self::coins(spec).0));
    }
    let cash = owner.balance().saturating_sub(cost);
    let settle = Coin {
        equity: equity.saturating_sub(worth).to_string(),
        wallet: Some(cash),
        usd: equity.saturating_sub(worth),
        locked: "0".to_owned(),
        order_margin,
        position_margin,
        unrealised: unrealised.saturating_sub(worth).saturating_add(cost),
        realised,
    };
    coins.insert(0, settle.object(SETTLE_COIN));
    let object = Obj::new()
        .text("accountType", "UNIFIED")
        .empty(&["accountLTV"])
        .text("accountIMRate", "0")
        .text("accountIMRateByMp", "0")
        .text("accountMMRate", "0")
        .text("accountMMRateByMp", "0")
        .text("totalEquity", equity)
        .text("totalWalletBalance", cash.saturating_add(worth))
        .text("totalMarginBalance", equity)
        .text("totalAvailableBalance", available)
        .text("totalPerpUPL", unrealised.saturating_sub(worth).saturating_add(cost))
        .text("totalInitialMargin", margin)
        .text("totalInitialMarginByMp", margin)
        .text("totalMaintenanceMargin", "0")
        .text("totalMaintenanceMarginByMp", "0")
        .raw("coin", json::array(coins));
    Some(object.done())
}

/// When an instrument was listed.
pub(super) fn launched_ms(listing: &ListingConfig, opened: Nanos) -> u64 {
    listing.profile.age_ns.map_or(LAUNCH_MS, |age| opened.saturating_sub(age).as_millis())
}

/// An instrument as it is listed. `funding` is the time between payments, `opened` when the venue opened.
pub(super) fn instrument(
    id: InstrumentId,
    listing: &ListingConfig,
    status: ListingStatus,
    funding_ns: u64,
    opened: Nanos,
) -> String {
    let (spec, profile) = (&listing.spec, &listing.profile);
    let (base, quote) = coins(spec);
    let launched = launched_ms(listing, opened);
    let object = Obj::new().text("symbol", spec.symbol).raw("symbolId", id.0 + 1);
    let price = Obj::new();
    let price = if spec.product == Product::Spot {
        price
    } else {
        price.text("minPrice", spec.tick).text("maxPrice", json::px(spec, Ticks::new(PRICE_TICKS_MAX)))
    };
    let price = price.text("tickSize", spec.tick).done();
    if spec.product == Product::Spot {
        let lot = Obj::new()
            .text("basePrecision", spec.lot)
            .text("quotePrecision", "0.00000001")
            .text("minOrderQty", json::qty(spec, spec.min_qty))
            .text("maxOrderQty", json::qty(spec, spec.max_qty))
            .text("minOrderAmt", spec.min_notional)
            .text("maxLimitOrderQty", json::qty(spec, spec.max_qty))
            .text("maxMarketOrderQty", json::qty(spec, spec.max_qty))
            .text("postOnlyMaxLimitOrderSize", json::qty(spec, spec.max_qty));
        return object
            .text("baseCoin", base)
            .text("quoteCoin", quote)
            .text("innovation", "0")
            .text("status", status.name())
            .text("marginTrading", "none")
            .text("stTag", "0")
            .raw("lotSizeFilter", lot.done())
            .raw("priceFilter", price)
            .raw("riskParameters", r#"{"priceLimitRatioX":"0.01","priceLimitRatioY":"0.02"}"#)
            .done();
    }
    let lot = Obj::new()
        .text("maxOrderQty", json::qty(spec, spec.max_qty))
        .text("minOrderQty", json::qty(spec, spec.min_qty))
        .text("qtyStep", spec.lot)
        .text("postOnlyMaxOrderQty", json::qty(spec, spec.max_qty))
        .text("maxMktOrderQty", json::qty(spec, spec.max_qty))
        .text("minNotionalValue", spec.min_notional);
    let most = leverage(spec.max_leverage_e2);
    let leverage = Obj::new().text("minLeverage", "1").text("maxLeverage", most).text("leverageStep", "0.01");
    let contract = match (spec.product, profile.delivery_ms) {
        (Product::Linear, None) => "LinearPerpetual",
        (Product::Linear, Some(_)) => "LinearFutures",
        (_, None) => "InversePerpetual",
        (_, Some(_)) => "InverseFutures",
    };
    let is_new = status == ListingStatus::PreLaunch;
    object
        .text("contractType", contract)
        .text("status", status.name())
        .text("baseCoin", base)
        .text("quoteCoin", quote)
        .text("launchTime", launched)
        .text("deliveryTime", profile.delivery_ms.unwrap_or(0))
        .text("deliveryFeeRate", "")
        .text("priceScale", spec.tick.decimals())
        .raw("leverageFilter", leverage.done())
        .raw("priceFilter", price)
        .raw("lotSizeFilter", lot.done())
        .raw("unifiedMarginTrade", true)
        .raw("fundingInterval", if profile.delivery_ms.is_some() { 0 } else { funding_ns / 60_000_000_000 })
        .text("settleCoin", quote)
        .text("copyTrading", "both")
        .text("upperFundingRate", "0.00375")
        .text("lowerFundingRate", "-0.00375")
        .raw("isPreListing", is_new)
        .raw("preListingInfo", "null")
        .raw("riskParameters", r#"{"priceLimitRatioX":"0.01","priceLimitRatioY":"0.02"}"#)
        .text("symbolType", "")
        .done()
}

/// The one currency that simulated accounts hold.
pub(super) const SETTLE_COIN: &str = "USDT";

/// When instruments without an age of their own were launched.
const LAUNCH_MS: u64 = 1_585_526_400_000;

/// The greatest price, in ticks.
const PRICE_TICKS_MAX: i64 = 19_999_998;
