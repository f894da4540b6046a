//! What is asked over REST, apart from how it travels: the same questions go over a blocking client on a thread of its own,
//! and over bytes in memory on virtual time.

use serde_json::Value;

use super::rest::{RestClient, RestError, escape};
use super::sign::Signer;
use crate::types::{Nanos, Product};

/// One question, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestRequest {
    /// Path, with its leading slash.
    pub path: &'static str,
    /// Query without `?`.
    pub query: String,
    /// Whether it needs a signature.
    pub is_private: bool,
}

impl RestRequest {
    /// The venue's time.
    pub fn time() -> Self {
        Self { path: "/v5/market/time", query: String::new(), is_private: false }
    }

    /// Open orders of a product.
    pub fn open_orders(product: Product, settle_coin: &str) -> Self {
        let query = format!("category={}{}&openOnly=0&limit=50", product.name(), scope(product, settle_coin));
        Self::private("/v5/order/realtime", query)
    }

    /// Positions of a product that are not flat.
    pub fn positions(product: Product, settle_coin: &str) -> Self {
        let query = format!("category={}{}&limit=200", product.name(), scope(product, settle_coin));
        Self::private("/v5/position/list", query)
    }

    /// The wallet.
    pub fn wallet_balance(settle_coin: &str) -> Self {
        Self::private("/v5/account/wallet-balance", format!("accountType=UNIFIED&coin={}", escape(settle_coin)))
    }

    /// Executions of a product since `start_ms` (at most seven days ago), newest first.
    pub fn executions(product: Product, start_ms: u64) -> Self {
        Self::private("/v5/execution/list", format!("category={}&startTime={start_ms}&limit=100", product.name()))
    }

    fn private(path: &'static str, query: String) -> Self {
        Self { path, query, is_private: true }
    }

    /// The same at a later page; an empty cursor is the first.
    pub fn page(mut self, cursor: &str) -> Self {
        if !cursor.is_empty() {
            self.query.push_str("&cursor=");
            self.query.push_str(&escape(cursor));
        }
        self
    }

    /// Path and query, as the request line has them.
    pub fn target(&self) -> String {
        if self.query.is_empty() { self.path.to_owned() } else { format!("{}?{}", self.path, self.query) }
    }

    /// Its headers at the venue's time `venue_ms`.
    pub fn headers(
        &self,
        signer: &Signer,
        api_key: &str,
        recv_window_ms: u32,
        venue_ms: u64,
    ) -> Vec<(&'static str, String)> {
        if !self.is_private {
            return Vec::new();
        }
        super::rest::signed_headers(signer, api_key, recv_window_ms, &self.query, venue_ms).into()
    }
}

fn scope(product: Product, settle_coin: &str) -> String {
    match product {
        Product::Spot => String::new(),
        _ => format!("&settleCoin={}", escape(settle_coin)),
    }
}

/// One order by `key` (`orderLinkId` or `orderId`): among the open and lately closed ones, or in the history.
pub fn order_query(product: Product, key: &str, id: &[u8], is_history: bool) -> RestRequest {
    let path = if is_history { "/v5/order/history" } else { "/v5/order/realtime" };
    let id = escape(&String::from_utf8_lossy(id));
    RestRequest::private(path, format!("category={}&{key}={id}", product.name()))
}

/// Carries one question at a time to the venue.
pub trait RestLane: Send {
    /// Sends a question, stamped with the venue's time `venue_ms`. May block until it is answered.
    fn submit(&mut self, request: &RestRequest, venue_ms: u64, now: Nanos);

    /// The answer, once it is there: the `result` of the venue's envelope. Each question gets one, if only a time-out.
    fn poll(&mut self, now: Nanos) -> Option<Result<Value, RestError>>;
}

/// A lane over a blocking client, for a thread of its own.
pub struct BlockingLane {
    client: RestClient,
    answer: Option<Result<Value, RestError>>,
}

impl BlockingLane {
    /// Makes the lane.
    pub fn new(client: RestClient) -> Self {
        Self { client, answer: None }
    }
}

impl RestLane for BlockingLane {
    fn submit(&mut self, request: &RestRequest, venue_ms: u64, _now: Nanos) {
        self.answer = Some(self.client.ask(request, venue_ms));
    }

    fn poll(&mut self, _now: Nanos) -> Option<Result<Value, RestError>> {
        self.answer.take()
    }
}
