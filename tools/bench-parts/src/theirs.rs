//! The simulation by hftbacktest.

use hftbacktest::backtest::assettype::LinearAsset;
use hftbacktest::backtest::data::{Data, DataSource};
use hftbacktest::backtest::models::{
    CommonFees, ConstantLatency, PowerProbQueueFunc, ProbQueueModel, QueueModel, RiskAdverseQueueModel,
    TradingValueFeeModel,
};
use hftbacktest::backtest::{Backtest, ExchangeKind, L2AssetBuilder};
use hftbacktest::depth::{HashMapMarketDepth, L2MarketDepth, MarketDepth, ROIVectorMarketDepth};
use hftbacktest::types::{Bot, ElapseResult, Event, OrdType, OrderId, Status, TimeInForce};
use tercel::types::{Side, Ticks};

use crate::{ACK_NS, ENTRY_NS, Ended, QTY, STEP_NS, grid};

const TICK: f64 = 0.1;
const LOT: f64 = 0.001;

/// Their fastest depth, over prices that hold all but the farthest levels of the capture.
pub fn roi_vector() -> ROIVectorMarketDepth {
    ROIVectorMarketDepth::new(TICK, LOT, 30_000.0, 100_000.0)
}

/// Their default depth.
pub fn hash_map() -> HashMapMarketDepth {
    HashMapMarketDepth::new(TICK, LOT)
}

/// Like the conservative model.
pub fn risk_adverse<MD: MarketDepth>() -> RiskAdverseQueueModel<MD> {
    RiskAdverseQueueModel::new()
}

/// Like `power:N`.
pub fn power<MD: MarketDepth>(n: f64) -> ProbQueueModel<PowerProbQueueFunc, MD> {
    ProbQueueModel::new(PowerProbQueueFunc::new(n))
}

/// Makes their engine over the events, with their exchange that fills an order whole: the one with partial fills refuses to go on
/// (`InvalidOrderStatus`) once a trade has filled exactly what was left of an order.
pub fn prepare<MD, QM>(data: Data<Event>, queue: QM, depth: fn() -> MD) -> Backtest<MD>
where
    MD: MarketDepth + L2MarketDepth + 'static,
    QM: QueueModel<MD> + 'static,
{
    let asset = L2AssetBuilder::new()
        .data(vec![DataSource::Data(data)])
        .latency_model(ConstantLatency::new(ENTRY_NS as i64, ACK_NS as i64))
        .asset_type(LinearAsset::new(1.0))
        .fee_model(TradingValueFeeModel::new(CommonFees::new(0.0002, 0.0005)))
        .exchange(ExchangeKind::NoPartialFillExchange)
        .queue_model(queue)
        .depth(depth)
        .build()
        .unwrap();
    Backtest::builder().add_asset(asset).build().unwrap()
}

/// Runs the strategy to the end of the events; returns what became of each order.
pub fn run<MD: MarketDepth>(mut hbt: Backtest<MD>) -> Vec<Ended> {
    let mut orders: Vec<Ended> = Vec::new();
    let mut last_grid = 0..0usize;
    while matches!(hbt.elapse(STEP_NS as i64).unwrap(), ElapseResult::Ok) {
        // What filled while its cancel was under way is told a step later than the rest.
        note(&hbt, &mut orders, last_grid.start.saturating_sub(last_grid.len())..last_grid.end);
        let depth = hbt.depth(0);
        let (bid, ask) = (depth.best_bid_tick(), depth.best_ask_tick());
        for order in last_grid.clone() {
            if hbt.orders(0).get(&(order as OrderId)).is_some_and(|order| order.cancellable()) {
                hbt.cancel(0, order as OrderId, false).unwrap();
            }
        }
        let first = orders.len();
        for (side, px) in grid(Ticks::new(bid), Ticks::new(ask)) {
            let (id, px, qty) = (orders.len() as OrderId, px.get() as f64 * TICK, QTY.get() as f64 * LOT);
            match side {
                Side::Bid => hbt.submit_buy_order(0, id, px, qty, TimeInForce::GTX, OrdType::Limit, false),
                Side::Ask => hbt.submit_sell_order(0, id, px, qty, TimeInForce::GTX, OrdType::Limit, false),
            }
            .unwrap();
            orders.push(Ended::default());
        }
        last_grid = first..orders.len();
        if orders.len().is_multiple_of(1_000) {
            note_all(&hbt, &mut orders);
            hbt.clear_inactive_orders(Some(0));
        }
    }
    note_all(&hbt, &mut orders);
    orders
}

fn note<MD: MarketDepth>(hbt: &Backtest<MD>, orders: &mut [Ended], range: std::ops::Range<usize>) {
    for idx in range {
        if let Some(order) = hbt.orders(0).get(&(idx as OrderId)) {
            orders[idx] = ended(order);
        }
    }
}

fn note_all<MD: MarketDepth>(hbt: &Backtest<MD>, orders: &mut [Ended]) {
    for (id, order) in hbt.orders(0) {
        orders[*id as usize] = ended(order);
    }
}

fn ended(order: &hftbacktest::types::Order) -> Ended {
    let filled = ((order.qty - order.leaves_qty) / LOT).round() as i64;
    let filled_at = (order.status == Status::Filled).then_some(order.exch_timestamp as u64);
    Ended { filled, filled_at }
}
