//! The messages, as serde's derive reads and writes them.

use serde::{Deserialize, Serialize};

use crate::book::Wish;

/// An order book message. Trades and tickers have other data and do not parse, or hold no levels.
#[derive(Deserialize)]
pub struct Frame<'a> {
    pub topic: &'a str,
    #[serde(rename = "type")]
    pub kind: &'a str,
    #[serde(borrow)]
    pub data: BookData<'a>,
}

/// Its levels: price and quantity as text.
#[derive(Deserialize)]
pub struct BookData<'a> {
    pub s: &'a str,
    #[serde(borrow)]
    pub b: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    pub a: Vec<(&'a str, &'a str)>,
}

/// The answer to a request.
#[derive(Deserialize)]
pub struct Ack<'a> {
    #[serde(rename = "reqId")]
    pub req_id: &'a str,
    #[serde(rename = "retCode")]
    pub ret_code: i64,
}

/// News of orders.
#[derive(Deserialize)]
pub struct OrderStream<'a> {
    #[serde(borrow)]
    pub data: Vec<OrderNews<'a>>,
}

/// What became of one order.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderNews<'a> {
    pub order_link_id: &'a str,
    pub order_status: &'a str,
}

/// A request to place an order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderRequest<'a> {
    req_id: String,
    header: Header,
    op: &'static str,
    args: [OrderArgs<'a>; 1],
}

#[derive(Serialize)]
struct Header {
    #[serde(rename = "X-BAPI-TIMESTAMP")]
    timestamp: String,
    #[serde(rename = "X-BAPI-RECV-WINDOW")]
    recv_window: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderArgs<'a> {
    category: &'static str,
    symbol: &'a str,
    side: &'static str,
    position_idx: u8,
    order_type: &'static str,
    qty: String,
    price: String,
    time_in_force: &'static str,
    order_link_id: String,
    reduce_only: bool,
}

impl<'a> OrderRequest<'a> {
    /// An immediate-or-cancel order for a wish.
    pub fn new(wish: &Wish<'a>, id: u64, unix_ms: u64) -> Self {
        // As long as the engine's own numbers, so that both sides write as many bytes.
        let link_id = format!("rival{id:021}");
        Self {
            req_id: link_id.clone(),
            header: Header { timestamp: unix_ms.to_string(), recv_window: "5000" },
            op: "order.create",
            args: [OrderArgs {
                category: "linear",
                symbol: wish.symbol,
                side: if wish.is_buy { "Buy" } else { "Sell" },
                position_idx: 0,
                order_type: "Limit",
                qty: wish.qty.to_string(),
                price: wish.px.to_string(),
                time_in_force: "IOC",
                order_link_id: link_id,
                reduce_only: false,
            }],
        }
    }

    /// The number by which the order is known.
    pub fn link_id(&self) -> &str {
        &self.req_id
    }
}
