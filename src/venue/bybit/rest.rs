//! The slow requests: what a client asks before it trades, and when an outcome is in doubt.
//!
//! Thread: shell. Allocates: yes. Blocks: up to the time-out of each request. Clock: times are arguments.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

use super::account::{CancelScope, OrderFilter};
use super::encode::LinkId;
use super::private::PrivateDecoder;
use super::request::{RestRequest, order_query};
use super::sign::{Secret, Signer};
use crate::types::{Balance, Event, Fill, Nanos, OrderUpdate, Position, Product, Rate};
use crate::venue::WireError;

/// Most pages that one list is read to: 1,000 instruments or 50 orders a page are far fewer.
const PAGES_MAX: u32 = 200;

/// Longest answer that is read: a page of 1,000 instruments has about 1 MB.
const BODY_BYTES_MAX: u64 = 32 << 20;

/// How to reach the venue.
#[derive(Clone, Debug)]
pub struct RestConfig {
    /// `https://api.bybit.com`, or `http://` on this machine.
    pub base_url: String,
    /// The account's key, if it is to be asked about.
    pub api_key: String,
    /// The key's secret.
    pub secret: Option<Secret>,
    /// How old a request may be when the venue gets it.
    pub recv_window_ms: u32,
    /// Certificates to trust beside the system's, as PEM.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// For one request, all in all.
    pub timeout: Duration,
    /// Instruments of one page of the venue's list, 1 to 1,000.
    pub page_len: u16,
}

impl RestConfig {
    /// Public requests alone, five seconds each.
    pub fn new(base_url: &str) -> Self {
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            api_key: String::new(),
            secret: None,
            recv_window_ms: 5_000,
            extra_ca_pem: None,
            timeout: Duration::from_secs(5),
            page_len: 1_000,
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The base URL is neither `https://` nor `http://` on this machine.
    #[error("base url: found `{found}`, https:// is allowed, and http:// on this machine")]
    BadUrl {
        /// What was found.
        found: String,
    },
    /// A certificate cannot be read.
    #[error("extra certificate: {found}")]
    BadCertificate {
        /// What is wrong with it.
        found: String,
    },
    /// The request needs a key and a secret.
    #[error("no key: {path} is a private request")]
    NoKey {
        /// Path of the request.
        path: &'static str,
    },
    /// No answer: the outcome of a request that changes something is unknown.
    #[error("{path}: {found}")]
    Transport {
        /// Path of the request.
        path: &'static str,
        /// What happened.
        found: String,
    },
    /// An HTTP status other than 200.
    #[error("{path}: http status {status}")]
    Status {
        /// Path of the request.
        path: &'static str,
        /// The status.
        status: u16,
    },
    /// The venue refused.
    #[error("{path}: {code} {message}")]
    Venue {
        /// Path of the request.
        path: &'static str,
        /// Its code.
        code: i64,
        /// Its words.
        message: String,
    },
    /// The answer is not as documented.
    #[error("{path}: the answer has no usable `{field}`")]
    BadAnswer {
        /// Path of the request.
        path: &'static str,
        /// What is missing.
        field: &'static str,
    },
    /// An item of a list is not as documented.
    #[error("{path}: {source}")]
    BadItem {
        /// Path of the request.
        path: &'static str,
        /// What is wrong.
        source: WireError,
    },
}

/// Asks the venue over HTTP, one question at a time.
pub struct RestClient {
    agent: ureq::Agent,
    config: RestConfig,
    signer: Option<Signer>,
}

/// Open orders, by what they may still do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenCount {
    /// At the market, or on their way to it.
    pub active: usize,
    /// Waiting for a price at which they may open a position.
    pub waiting: usize,
    /// Waiting for a price at which they can only shrink one.
    pub protective: usize,
}

impl RestClient {
    /// Makes the client; nothing is sent yet.
    ///
    /// # Errors
    /// [`RestError::BadUrl`], [`RestError::BadCertificate`].
    pub fn new(config: RestConfig) -> Result<Self, RestError> {
        if !is_allowed(&config.base_url) {
            return Err(RestError::BadUrl { found: config.base_url });
        }
        let mut agent = ureq::Agent::config_builder()
            .timeout_global(Some(config.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent("tercel");
        if let Some(pem) = &config.extra_ca_pem {
            let mut certificates: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
                .certs
                .iter()
                .map(|der| Certificate::from_der(der).to_owned())
                .collect();
            for item in ureq::tls::parse_pem(pem) {
                match item {
                    Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
                    Ok(_) => {}
                    Err(error) => return Err(RestError::BadCertificate { found: error.to_string() }),
                }
            }
            let roots = RootCerts::new_with_certs(&certificates);
            agent = agent.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let signer = config.secret.as_ref().filter(|_| !config.api_key.is_empty()).map(Signer::new);
        Ok(Self { agent: agent.build().into(), signer, config })
    }

    /// The venue's time.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn time(&self) -> Result<Nanos, RestError> {
        let path = "/v5/market/time";
        let result = self.get(path, "", None)?;
        let nanos = result["timeNano"].as_str().and_then(|text| text.parse().ok());
        nanos.map(Nanos::new).ok_or(RestError::BadAnswer { path, field: "timeNano" })
    }

    /// The account's fee rates for one instrument.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn fee_rates(&self, product: Product, symbol: &str, now_ms: u64) -> Result<FeeRates, RestError> {
        let path = "/v5/account/fee-rate";
        let query = format!("category={}&symbol={}", product.name(), escape(symbol));
        let result = self.get(path, &query, Some(now_ms))?;
        let rate = |field: &'static str| {
            let text = result["list"][0][field].as_str();
            text.and_then(|text| Rate::parse(text.as_bytes()).ok()).ok_or(RestError::BadAnswer { path, field })
        };
        Ok(FeeRates { maker: rate("makerFeeRate")?, taker: rate("takerFeeRate")? })
    }

    /// The account's fee rates for every instrument of a product, in one request.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn all_fee_rates(&self, product: Product, now_ms: u64) -> Result<BTreeMap<String, FeeRates>, RestError> {
        let path = "/v5/account/fee-rate";
        let result = self.get(path, &format!("category={}", product.name()), Some(now_ms))?;
        let items = result["list"].as_array().ok_or(RestError::BadAnswer { path, field: "list" })?;
        let mut out = BTreeMap::new();
        for item in items {
            let rate = |field: &'static str| {
                let text = item[field].as_str();
                text.and_then(|text| Rate::parse(text.as_bytes()).ok()).ok_or(RestError::BadAnswer { path, field })
            };
            let symbol = item["symbol"].as_str().ok_or(RestError::BadAnswer { path, field: "symbol" })?;
            out.insert(symbol.to_owned(), FeeRates { maker: rate("makerFeeRate")?, taker: rate("takerFeeRate")? });
        }
        Ok(out)
    }

    /// The settlement currency's balance; `None` if the account holds none.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn wallet_balance(
        &self,
        decoder: &mut PrivateDecoder,
        coin: &str,
        now_ms: u64,
    ) -> Result<Option<Balance>, RestError> {
        let path = "/v5/account/wallet-balance";
        let query = format!("accountType=UNIFIED&coin={}", escape(coin));
        let result = self.get(path, &query, Some(now_ms))?;
        let item = result["list"].get(0).ok_or(RestError::BadAnswer { path, field: "list" })?;
        let balance = decoder.wallet_item(item.to_string().as_bytes(), Nanos::from_millis(now_ms));
        balance.map_err(|source| RestError::BadItem { path, source })
    }

    /// Positions that are not flat, of the instruments that the decoder knows.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn positions(
        &self,
        decoder: &mut PrivateDecoder,
        product: Product,
        settle_coin: &str,
        now_ms: u64,
    ) -> Result<Vec<Position>, RestError> {
        let RestRequest { path, query, .. } = RestRequest::positions(product, settle_coin);
        let mut out = Vec::new();
        self.pages(path, &query, Some(now_ms), |item| {
            let now = Nanos::from_millis(now_ms);
            let position = decoder.position_item(item.to_string().as_bytes(), now, now);
            out.extend(position.map_err(|source| RestError::BadItem { path, source })?);
            Ok(())
        })?;
        Ok(out)
    }

    /// Open orders, of the instruments that the decoder knows.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn open_orders(
        &self,
        decoder: &mut PrivateDecoder,
        product: Product,
        settle_coin: &str,
        now_ms: u64,
    ) -> Result<Vec<OrderUpdate>, RestError> {
        let RestRequest { path, query, .. } = RestRequest::open_orders(product, settle_coin);
        let mut out = Vec::new();
        self.pages(path, &query, Some(now_ms), |item| {
            let order =
                decoder.order_item(item.to_string().as_bytes(), Nanos::from_millis(now_ms), Nanos::from_millis(now_ms));
            out.extend(order.map_err(|source| RestError::BadItem { path, source })?);
            Ok(())
        })?;
        Ok(out)
    }

    /// How many orders of the account are open, whoever placed them and whatever their instrument. An order whose state is
    /// not known to be final counts.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn open_orders_count(&self, product: Product, settle_coin: &str, now_ms: u64) -> Result<OpenCount, RestError> {
        let scope = match product {
            Product::Spot => String::new(),
            _ => format!("&settleCoin={}", escape(settle_coin)),
        };
        let query = format!("category={}{scope}&openOnly=0&limit=50", product.name());
        let mut count = OpenCount::default();
        self.pages("/v5/order/realtime", &query, Some(now_ms), |item| {
            match item["orderStatus"].as_str() {
                Some("Filled" | "Cancelled" | "PartiallyFilledCanceled" | "Rejected" | "Deactivated") => {}
                Some("Untriggered") if item["reduceOnly"] == true => count.protective += 1,
                Some("Untriggered") => count.waiting += 1,
                _ => count.active += 1,
            }
            Ok(())
        })?;
        Ok(count)
    }

    /// One order of ours, open or lately closed: what became of a request without an answer. `None`: the venue does not
    /// know it. A closed order is lost from this list when the venue's server restarts, so ask soon.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn order(
        &self,
        decoder: &mut PrivateDecoder,
        product: Product,
        link_id: LinkId,
        now_ms: u64,
    ) -> Result<Option<OrderUpdate>, RestError> {
        let RestRequest { path, query, .. } = order_query(product, "orderLinkId", &link_id.write(), false);
        let mut out = None;
        self.pages(path, &query, Some(now_ms), |item| {
            let order =
                decoder.order_item(item.to_string().as_bytes(), Nanos::from_millis(now_ms), Nanos::from_millis(now_ms));
            out = order.map_err(|source| RestError::BadItem { path, source })?.or(out);
            Ok(())
        })?;
        Ok(out)
    }

    /// Executions since `start_ms` (at most seven days ago), oldest first.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn executions(
        &self,
        decoder: &mut PrivateDecoder,
        product: Product,
        start_ms: u64,
        now_ms: u64,
    ) -> Result<Vec<Fill>, RestError> {
        let RestRequest { path, query, .. } = RestRequest::executions(product, start_ms);
        let mut out = Vec::new();
        self.pages(path, &query, Some(now_ms), |item| {
            let event = decoder.execution_item(item.to_string().as_bytes(), Nanos::from_millis(now_ms));
            if let Some(Event::Fill(fill)) = event.map_err(|source| RestError::BadItem { path, source })? {
                out.push(fill);
            }
            Ok(())
        })?;
        out.reverse();
        Ok(out)
    }

    /// Cancels all orders of the product, conditional ones too, and returns how many the venue says it cancelled.
    ///
    /// # Errors
    /// [`RestError`]; after [`RestError::Transport`] the outcome is unknown.
    pub fn cancel_all(&self, product: Product, settle_coin: &str, now_ms: u64) -> Result<usize, RestError> {
        let scope = CancelScope::everything(product, settle_coin);
        if product != Product::Spot {
            return self.cancel_scope(&scope, now_ms);
        }
        let mut count = 0;
        for filter in [OrderFilter::Order, OrderFilter::StopOrder, OrderFilter::TpslOrder] {
            count += self.cancel_scope(&CancelScope { filter: Some(filter), ..scope }, now_ms)?;
        }
        Ok(count)
    }

    /// Sends an order body that [`OrderEncoder::body`](super::OrderEncoder::body) wrote to `/v5/order/create`, `amend` or
    /// `cancel`: where order entry over WebSocket is not offered (demo accounts).
    ///
    /// # Errors
    /// [`RestError`]; after [`RestError::Transport`] the outcome is unknown.
    pub fn send_order(&self, path: &'static str, body: &str, now_ms: u64) -> Result<(), RestError> {
        self.post(path, body, now_ms).map(|_| ())
    }

    /// As [`Self::send_order`], and what the answer's header and envelope tell beside the outcome.
    pub fn order_reply(&self, path: &'static str, body: &str, now_ms: u64) -> OrderReply {
        let mut reply = OrderReply::default();
        reply.outcome = self.post_noting(path, body, now_ms, &mut reply).map(|mut value| value["result"].take());
        reply
    }

    pub(super) fn page_len(&self) -> u16 {
        self.config.page_len
    }

    /// Reads a list to its last page; returns how many there were.
    pub(super) fn pages(
        &self,
        path: &'static str,
        query: &str,
        signed_at_ms: Option<u64>,
        mut take: impl FnMut(&Value) -> Result<(), RestError>,
    ) -> Result<u32, RestError> {
        let mut cursor = String::new();
        for number in 1..=PAGES_MAX {
            let page = if cursor.is_empty() { query.to_owned() } else { format!("{query}&cursor={}", escape(&cursor)) };
            let result = self.get(path, &page, signed_at_ms)?;
            let items = result["list"].as_array().ok_or(RestError::BadAnswer { path, field: "list" })?;
            for item in items {
                take(item)?;
            }
            match result["nextPageCursor"].as_str() {
                // A cursor that repeats would be followed for ever.
                Some(next) if !next.is_empty() && next != cursor && !items.is_empty() => cursor = next.to_owned(),
                _ => return Ok(number),
            }
        }
        Err(RestError::BadAnswer { path, field: "nextPageCursor" })
    }

    /// Asks one question and waits for its answer: the `result` of the venue's envelope.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn ask(&self, request: &RestRequest, venue_ms: u64) -> Result<Value, RestError> {
        self.get(request.path, &request.query, request.is_private.then_some(venue_ms))
    }

    pub(super) fn get(&self, path: &'static str, query: &str, signed_at_ms: Option<u64>) -> Result<Value, RestError> {
        let mark = if query.is_empty() { "" } else { "?" };
        let mut request = self.agent.get(format!("{}{path}{mark}{query}", self.config.base_url));
        if let Some(now_ms) = signed_at_ms {
            for (name, value) in self.headers(path, query, now_ms)? {
                request = request.header(name, value);
            }
        }
        answer(path, request.call(), &mut None).map(|mut value| value["result"].take())
    }

    pub(super) fn post(&self, path: &'static str, body: &str, now_ms: u64) -> Result<Value, RestError> {
        self.post_whole(path, body, now_ms).map(|mut value| value["result"].take())
    }

    /// Posts and returns the whole envelope: batches tell of their items in `retExtInfo`.
    pub(super) fn post_whole(&self, path: &'static str, body: &str, now_ms: u64) -> Result<Value, RestError> {
        self.post_noting(path, body, now_ms, &mut OrderReply::default())
    }

    fn post_noting(
        &self,
        path: &'static str,
        body: &str,
        now_ms: u64,
        reply: &mut OrderReply,
    ) -> Result<Value, RestError> {
        let mut request = self.agent.post(format!("{}{path}", self.config.base_url));
        for (name, value) in self.headers(path, body, now_ms)? {
            request = request.header(name, value);
        }
        let response = request.header("Content-Type", "application/json").send(body);
        if let Ok(response) = &response {
            let number = |name| response.headers().get(name).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            (reply.limit, reply.limit_left) = (number("X-Bapi-Limit"), number("X-Bapi-Limit-Status"));
        }
        answer(path, response, &mut reply.venue_ms)
    }

    fn headers(
        &self,
        path: &'static str,
        payload: &str,
        now_ms: u64,
    ) -> Result<[(&'static str, String); 4], RestError> {
        let signer = self.signer.as_ref().ok_or(RestError::NoKey { path })?;
        Ok(signed_headers(signer, &self.config.api_key, self.config.recv_window_ms, payload, now_ms))
    }
}

/// What came back for an order request.
#[derive(Debug)]
pub struct OrderReply {
    /// The `result`, or why there is none.
    pub outcome: Result<Value, RestError>,
    /// Requests of this kind that the venue allows in its window, if it said.
    pub limit: Option<u32>,
    /// Those that are left, if it said.
    pub limit_left: Option<u32>,
    /// The venue's time of a good answer, in milliseconds.
    pub venue_ms: Option<u64>,
}

impl Default for OrderReply {
    fn default() -> Self {
        Self { outcome: Ok(Value::Null), limit: None, limit_left: None, venue_ms: None }
    }
}

/// What an account pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeRates {
    /// For resting fills.
    pub maker: Rate,
    /// For crossing fills.
    pub taker: Rate,
}

/// The headers of a private request; `payload` is the query without `?`, or the body.
pub fn signed_headers(
    signer: &Signer,
    api_key: &str,
    recv_window_ms: u32,
    payload: &str,
    now_ms: u64,
) -> [(&'static str, String); 4] {
    let (time, window) = (now_ms.to_string(), recv_window_ms.to_string());
    let signature = signer.sign(&[time.as_bytes(), api_key.as_bytes(), window.as_bytes(), payload.as_bytes()]);
    [
        ("X-BAPI-API-KEY", api_key.to_owned()),
        ("X-BAPI-TIMESTAMP", time),
        ("X-BAPI-RECV-WINDOW", window),
        ("X-BAPI-SIGN", String::from_utf8_lossy(&signature).into_owned()),
    ]
}

/// The whole envelope of an answer whose `retCode` is zero; notes when the venue gave it.
fn answer(
    path: &'static str,
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    venue_ms: &mut Option<u64>,
) -> Result<Value, RestError> {
    let transport = |error: ureq::Error| RestError::Transport { path, found: error.to_string() };
    let mut response = response.map_err(transport)?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(RestError::Status { path, status });
    }
    let body = response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_string().map_err(transport)?;
    let value = whole_envelope(path, &body)?;
    *venue_ms = value["time"].as_u64();
    Ok(value)
}

/// The `result` of an answer whose `retCode` is zero.
///
/// # Errors
/// [`RestError::Venue`] for any other code, [`RestError::BadAnswer`] for what is no envelope.
pub fn envelope(path: &'static str, body: &str) -> Result<Value, RestError> {
    whole_envelope(path, body).map(|mut value| value["result"].take())
}

fn whole_envelope(path: &'static str, body: &str) -> Result<Value, RestError> {
    let value: Value = serde_json::from_str(body).map_err(|_| RestError::BadAnswer { path, field: "JSON" })?;
    match value["retCode"].as_i64() {
        Some(0) => Ok(value),
        Some(code) => {
            let message = value["retMsg"].as_str().unwrap_or("").to_owned();
            Err(RestError::Venue { path, code, message })
        }
        None => Err(RestError::BadAnswer { path, field: "retCode" }),
    }
}

/// Whether requests may go there: encrypted, or within this machine.
fn is_allowed(base_url: &str) -> bool {
    if let Some(rest) = base_url.strip_prefix("https://") {
        return !rest.is_empty();
    }
    let Some(rest) = base_url.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains('@') {
        return false;
    }
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Percent-escapes what has a meaning in a query; a cursor that is already escaped is sent back as it came.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'%' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::types::{ClientOrderId, InstrumentTable, Lots};

    /// Answers one request after the other with `bodies` and returns what was asked.
    pub(in super::super) fn serve(bodies: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let handle = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for body in bodies {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut chunk = [0; 4096];
                loop {
                    let count = stream.read(&mut chunk).unwrap();
                    request.extend_from_slice(&chunk[..count]);
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let Some(end) = text.find("\r\n\r\n") else { continue };
                    let length: usize = text
                        .to_lowercase()
                        .split("content-length: ")
                        .nth(1)
                        .and_then(|rest| rest.split("\r\n").next().and_then(|n| n.parse().ok()))
                        .unwrap_or(0);
                    if request.len() >= end + 4 + length {
                        asked.push(text);
                        break;
                    }
                }
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(body.as_bytes()).unwrap();
            }
            asked
        });
        (url, handle)
    }

    pub(in super::super) fn client(url: &str) -> RestClient {
        let secret = Some(Secret::new("testsecret"));
        RestClient::new(RestConfig { api_key: "testkey".into(), secret, ..RestConfig::new(url) }).unwrap()
    }

    pub(in super::super) fn result(result: &str) -> String {
        format!(r#"{{"retCode":0,"retMsg":"OK","result":{result},"retExtInfo":{{}},"time":1}}"#)
    }

    pub(in super::super) const BTC: &str = r#"{"symbol":"BTCUSDT","status":"Trading","leverageFilter":{"maxLeverage":"100.00"},"priceFilter":{"tickSize":"0.10"},"lotSizeFilter":{"maxOrderQty":"1190.000","minOrderQty":"0.001","qtyStep":"0.001","minNotionalValue":"5"}}"#;

    fn decoder() -> PrivateDecoder {
        let listing = super::super::listing::listing(Product::Linear, "BTCUSDT", &serde_json::from_str(BTC).unwrap());
        PrivateDecoder::new(&InstrumentTable::new(vec![listing.unwrap().spec]).unwrap(), 42, "USDT")
    }

    #[test]
    fn private_requests_are_signed_as_documented() {
        let (url, handle) = serve(vec![result(r#"{"list":[{"orderId":"1"}],"success":"1"}"#)]);
        assert_eq!(client(&url).cancel_all(Product::Linear, "USDT", 1_711_001_595_207).unwrap(), 1);
        let asked = handle.join().unwrap().remove(0);
        let body = asked.split("\r\n\r\n").nth(1).unwrap();
        let want = Signer::new(&Secret::new("testsecret")).sign(&[b"1711001595207testkey5000", body.as_bytes()]);
        let asked = asked.to_lowercase();
        assert!(asked.contains(&format!("x-bapi-sign: {}", std::str::from_utf8(&want).unwrap())));
        assert!(asked.contains("x-bapi-timestamp: 1711001595207") && asked.contains("x-bapi-api-key: testkey"));
        // The vector of the sheet.
        let signer = Signer::new(&Secret::new("testsecret"));
        let headers = signed_headers(&signer, "testkey", 5000, "category=linear&symbol=BTCUSDT", 1_711_001_595_207);
        assert_eq!(headers[3].1, "4294be6c4609bc80f6c541006a93e043d3983e198d3721afd5223a48d3d95024");
    }

    #[test]
    fn account_lists_become_events() {
        let order = r#"{"orderId":"fd4300ae-7847-404e-b947-b46980a4d140","orderLinkId":"t0000002a-0000000000000005","symbol":"BTCUSDT","price":"60000.0","qty":"0.10","side":"Buy","orderStatus":"New","cancelType":"UNKNOWN","rejectReason":"EC_NoError","cumExecQty":"0.00","updatedTime":"1684738540561","triggerDirection":0,"reduceOnly":false}"#;
        let position = r#"{"positionIdx":0,"symbol":"BTCUSDT","side":"Sell","size":"0.300","avgPrice":"27464.50441675","curRealisedPnl":"0.00013123","updatedTime":"1697673600012","seq":1}"#;
        let wallet = r#"{"totalAvailableBalance":"90.5","coin":[{"coin":"USDT","walletBalance":"100.25","totalPositionIM":"1"}]}"#;
        let (url, handle) = serve(vec![
            result(&format!(r#"{{"list":[{order}],"nextPageCursor":""}}"#)),
            result(&format!(r#"{{"list":[{position}],"nextPageCursor":""}}"#)),
            result(&format!(r#"{{"list":[{wallet}]}}"#)),
            r#"{"retCode":110043,"retMsg":"leverage not modified","result":{}}"#.into(),
            r#"{"retCode":10003,"retMsg":"API key is invalid.","result":{}}"#.into(),
            result(r#"{"timeSecond":"1","timeNano":"1688639403423213947"}"#),
        ]);
        let (client, mut decoder) = (client(&url), decoder());
        let orders = client.open_orders(&mut decoder, Product::Linear, "USDT", 1).unwrap();
        assert_eq!((orders[0].client_id, orders[0].qty), (ClientOrderId(5), Lots::new(100)));
        let positions = client.positions(&mut decoder, Product::Linear, "USDT", 1).unwrap();
        assert_eq!((positions[0].qty, positions[0].entry_px.to_string()), (Lots::new(-300), "27464.50441675".into()));
        let balance = client.wallet_balance(&mut decoder, "USDT", 1).unwrap().unwrap();
        assert_eq!((balance.wallet.to_string(), balance.available.to_string()), ("100.25".into(), "90.5".into()));
        client.set_leverage(Product::Linear, "BTCUSDT", "10", 1).unwrap();
        let error = client.set_leverage(Product::Linear, "BTCUSDT", "10", 1).unwrap_err();
        assert_eq!(error.to_string(), "/v5/position/set-leverage: 10003 API key is invalid.");
        assert_eq!(client.time().unwrap(), Nanos::new(1_688_639_403_423_213_947));
        handle.join().unwrap();
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for good in ["https://example.test", "http://127.0.0.1:80", "http://localhost:1", "http://[::1]:8"] {
            assert!(RestClient::new(RestConfig::new(good)).is_ok(), "{good}");
        }
        for bad in [
            "http://example.test",
            "http://127.0.0.1@example.test",
            "ftp://x",
            "https://",
            "http://127.0.0.1.example.test",
        ] {
            assert!(matches!(RestClient::new(RestConfig::new(bad)), Err(RestError::BadUrl { .. })), "{bad}");
        }
        let public = RestClient::new(RestConfig::new("http://127.0.0.1:9")).unwrap();
        assert!(matches!(public.cancel_all(Product::Linear, "USDT", 1), Err(RestError::NoKey { .. })));
        assert!(matches!(public.time(), Err(RestError::Transport { .. })));
    }
}
