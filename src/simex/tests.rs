//! Conversations with the venue, in memory on virtual time and over sockets.

use super::*;
use crate::{
    net::{ClientState, Message, WsClient, WsLimits, WsUrl, tls},
    types::{InstrumentSpec, Money, Product, Step, Symbol, VenueId},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

mod faults;
mod limits;
mod stops;
mod universe;

/// A venue in memory with its own time.
struct World {
    hub: SimexHub,
    now: Nanos,
}

fn quiet() -> SimexConfig {
    let mut config = SimexConfig { feed: FeedConfig::Quiet, ..SimexConfig::default() };
    config.accounts = vec![
        AccountConfig {
            uid: 1,
            api_key: "testkey".into(),
            api_secret: "testsecret".into(),
            ..AccountConfig::default()
        },
        AccountConfig { uid: 2, api_key: "other".into(), api_secret: "othersecret".into(), ..AccountConfig::default() },
    ];
    config
}

impl World {
    fn new(config: SimexConfig) -> Self {
        let now = Nanos::from_millis(1_711_001_595_207);
        Self { hub: SimexHub::new(config, now), now }
    }

    fn pass(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now = self.now.saturating_add(1_000_000);
            self.hub.poll(self.now);
        }
    }

    fn ws(&mut self, path: &str) -> Client {
        let transport = self.hub.connect(1 << 20, self.now);
        let url = WsUrl::parse(&format!("ws://simulated{path}")).unwrap();
        let mut ws = WsClient::over(transport, &url, WsLimits::default(), 1);
        for _ in 0..10 {
            ws.poll();
            self.hub.poll(self.now);
        }
        assert_eq!(ws.state(), ClientState::Open, "{path}");
        Client { ws }
    }

    fn ask(&mut self, client: &mut Client, request: Value) -> Value {
        client.send(&request);
        self.hub.poll(self.now);
        client.all().into_iter().find(|message| message.get("op").is_some()).expect("an answer with an op")
    }

    fn private(&mut self, topics: &[&str]) -> Client {
        let mut client = self.ws("/v5/private");
        let auth = self.auth("testkey", "testsecret");
        assert_eq!(self.ask(&mut client, auth)["success"], true);
        assert_eq!(self.ask(&mut client, json!({"op": "subscribe", "args": topics}))["success"], true);
        client
    }

    fn trade(&mut self, key: &str, secret: &str) -> Client {
        let mut client = self.ws("/v5/trade");
        let auth = self.auth(key, secret);
        assert_eq!(self.ask(&mut client, auth)["retCode"], 0);
        client
    }

    fn auth(&self, key: &str, secret: &str) -> Value {
        let expires = self.now.as_millis() + 1_000;
        json!({"op": "auth", "args": [key, expires, auth::sign(secret, &format!("GET/realtime{expires}"))]})
    }

    fn order(&mut self, client: &mut Client, op: &str, body: Value) -> Value {
        let header = json!({"X-BAPI-TIMESTAMP": self.now.as_millis().to_string(), "X-BAPI-RECV-WINDOW": "5000"});
        self.ask(client, json!({"op": op, "header": header, "args": [body]}))
    }

    fn raw_http(&mut self, request: &str) -> (String, Value) {
        let mut transport = self.hub.connect(1 << 20, self.now);
        transport.try_write(request.as_bytes()).unwrap();
        self.hub.poll(self.now);
        let (mut whole, mut bytes) = (Vec::new(), vec![0; 1 << 20]);
        while let crate::net::Progress::Bytes(len) = transport.try_read(&mut bytes).unwrap() {
            whole.extend_from_slice(&bytes[..len]);
            self.hub.poll(self.now);
        }
        assert!(!whole.is_empty(), "no answer");
        let text = String::from_utf8(whole).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn signed(&mut self, method: &str, path: &str, payload: &str) -> (String, Value) {
        let at = self.now.as_millis();
        let sign = auth::sign("testsecret", &format!("{at}testkey5000{payload}"));
        let headers = format!(
            "Host: simulated\r\nX-BAPI-API-KEY: testkey\r\nX-BAPI-TIMESTAMP: {at}\r\nX-BAPI-RECV-WINDOW: 5000\r\nX-BAPI-SIGN: {sign}\r\n"
        );
        let request = if method == "GET" {
            format!("GET {path}?{payload} HTTP/1.1\r\n{headers}\r\n")
        } else {
            format!("POST {path} HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{payload}", payload.len())
        };
        self.raw_http(&request)
    }

    fn get(&mut self, path: &str, query: &str) -> Value {
        self.signed("GET", path, query).1
    }

    fn post(&mut self, path: &str, body: Value) -> Value {
        self.signed("POST", path, &body.to_string()).1
    }
}

struct Client {
    ws: WsClient,
}

impl Client {
    fn send(&mut self, message: &Value) {
        let conn = self.ws.conn().unwrap();
        conn.send_text(message.to_string().as_bytes()).unwrap();
        conn.flush().unwrap();
    }

    fn texts(&mut self) -> Vec<String> {
        let conn = self.ws.conn().unwrap();
        let mut texts = Vec::new();
        while conn.fill().unwrap() > 0 {
            while let Some(message) = conn.next_message().unwrap() {
                if let Message::Text(text) = message {
                    texts.push(String::from_utf8(text.to_vec()).unwrap());
                }
            }
        }
        texts
    }

    fn all(&mut self) -> Vec<Value> {
        self.texts().iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }
}

fn limit(side: &str, px: &str, qty: &str) -> Value {
    json!({"category": "linear", "symbol": "BTCUSDT", "side": side, "orderType": "Limit", "price": px, "qty": qty})
}

fn with(mut body: Value, key: &str, value: impl Into<Value>) -> Value {
    body[key] = value.into();
    body
}

#[test]
fn authentication_has_the_documented_answers() {
    let mut world = World::new(quiet());
    let mut private = world.ws("/v5/private");
    assert_eq!(world.ask(&mut private, json!({"op": "subscribe", "args": ["order"]}))["success"], false);
    let wrong = world.auth("testkey", "wrong");
    assert_eq!(world.ask(&mut private, wrong)["success"], false);
    let unknown = world.auth("nobody", "testsecret");
    assert_eq!(world.ask(&mut private, unknown)["success"], false);
    let right = with(world.auth("testkey", "testsecret"), "req_id", "r1");
    let answer = world.ask(&mut private, right);
    assert_eq!((&answer["success"], &answer["req_id"], &answer["op"]), (&json!(true), &json!("r1"), &json!("auth")));
    let pong = world.ask(&mut private, json!({"op": "ping", "req_id": "p"}));
    assert_eq!((&pong["op"], &pong["req_id"]), (&json!("pong"), &json!("p")));

    let mut trade = world.ws("/v5/trade");
    let order = limit("Buy", "60000", "0.001");
    assert_eq!(world.order(&mut trade, "order.create", order)["retCode"], 10005);
    for (key, secret, code) in [
        ("testkey", "wrong", 10004),
        ("nobody", "x", 10003),
        ("testkey", "testsecret", 0),
        ("testkey", "testsecret", 20001),
    ] {
        let auth = world.auth(key, secret);
        assert_eq!(world.ask(&mut trade, auth)["retCode"], code);
    }
    assert_eq!(world.ask(&mut trade, json!({"op": "ping"}))["retMsg"], "OK");
}

#[test]
fn an_order_is_placed_amended_filled_and_cancelled() {
    let mut world = World::new(quiet());
    let mut private = world.private(&["order", "execution.linear", "execution.fast", "position", "wallet"]);
    let mut mine = world.trade("testkey", "testsecret");
    let mut theirs = world.trade("other", "othersecret");

    let ack = world.order(&mut mine, "order.create", with(limit("Buy", "60000.0", "0.010"), "orderLinkId", "t1"));
    assert_eq!((&ack["retCode"], &ack["data"]["orderLinkId"]), (&json!(0), &json!("t1")));
    assert_eq!((&ack["header"]["X-Bapi-Limit"], &ack["header"]["X-Bapi-Limit-Status"]), (&json!("10"), &json!("9")));
    let id = ack["data"]["orderId"].clone();
    let pushed = private.all();
    assert_eq!(pushed[0]["topic"], "order");
    assert_eq!(pushed[0]["data"][0]["orderStatus"], "New");
    assert_eq!(pushed[0]["data"][0]["orderId"], id);
    assert_eq!(pushed[1]["topic"], "position");

    let amend =
        json!({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "t1", "price": "60010", "qty": "0.02"});
    assert_eq!(world.order(&mut mine, "order.amend", amend)["retCode"], 0);
    assert_eq!(private.all()[0]["data"][0]["price"], "60010.0");

    let market =
        json!({"category": "linear", "symbol": "BTCUSDT", "side": "Sell", "orderType": "Market", "qty": "0.005"});
    assert_eq!(world.order(&mut theirs, "order.create", market)["retCode"], 0);
    let pushed = private.all();
    let of = |topic: &str| pushed.iter().find(|message| message["topic"] == topic).unwrap()["data"][0].clone();
    let execution = of("execution.linear");
    assert_eq!(execution["execPrice"], "60010.0");
    assert_eq!(execution["isMaker"], true);
    assert_eq!(execution["execFee"], "0.06001"); // 0.005 · 60010 · 0.0002
    assert_eq!(of("execution.fast")["orderLinkId"], "", "a maker's fast fill has no link");
    assert_eq!(of("execution.fast")["execId"], execution["execId"]);
    assert_eq!(of("order")["orderStatus"], "PartiallyFilled");
    assert_eq!(
        (of("position")["size"].clone(), of("position")["entryPrice"].clone()),
        (json!("0.005"), json!("60010"))
    );
    assert_eq!(of("wallet")["coin"][0]["walletBalance"], "99999.93999");

    let cancel = json!({"category": "linear", "symbol": "BTCUSDT", "orderId": id});
    assert_eq!(world.order(&mut mine, "order.cancel", cancel.clone())["retCode"], 0);
    let last = private.all()[0]["data"][0].clone();
    assert_eq!((&last["orderStatus"], &last["cancelType"]), (&json!("Cancelled"), &json!("CancelByUser")));
    assert_eq!((&last["cumExecQty"], &last["leavesQty"]), (&json!("0.005"), &json!("0")));
    assert_eq!(world.order(&mut mine, "order.cancel", cancel)["retCode"], 110001);

    let report = world.hub.simex().report();
    assert_eq!(report.accounts[0].balance, "99999.93999");
    assert_eq!(report.accounts[0].positions[0].qty, "0.005");
    assert_eq!(report.accounts[1].orders["Filled"], 1);
    world.hub.simex().venue().assert_invariants();
}

#[test]
fn a_post_only_order_that_crosses_is_acked_and_then_cancelled() {
    let mut world = World::new(quiet());
    let mut private = world.private(&["order"]);
    let mut mine = world.trade("testkey", "testsecret");
    let mut theirs = world.trade("other", "othersecret");
    world.order(&mut theirs, "order.create", limit("Sell", "60000", "1"));
    let order = with(limit("Buy", "60000", "1"), "timeInForce", "PostOnly");
    assert_eq!(world.order(&mut mine, "order.create", order)["retCode"], 0);
    let pushed = private.all();
    assert_eq!(pushed.len(), 1);
    assert_eq!(pushed[0]["data"][0]["orderStatus"], "Cancelled");
    assert_eq!(pushed[0]["data"][0]["rejectReason"], "EC_PostOnlyWillTakeLiquidity");
}

#[test]
fn refusals_have_the_venues_codes() {
    let mut config = quiet();
    config.orders_per_second = 100;
    let mut world = World::new(config);
    let mut mine = world.trade("testkey", "testsecret");
    let good = || limit("Buy", "60000", "0.001");
    world.order(&mut mine, "order.create", with(good(), "orderLinkId", "twice"));
    let cases = [
        (with(good(), "orderLinkId", "twice"), 110_072, ""),
        (with(good(), "orderLinkId", "no spaces"), 10_001, "orderLinkId"),
        (with(good(), "qty", "0.0015"), 10_001, "qty"),
        (with(good(), "qty", 1), 10_001, "qty"),
        (with(good(), "price", "60000.05"), 10_001, "price"),
        (with(good(), "price", "-1"), 10_001, "price"),
        (with(good(), "price", "1000"), 110_094, ""),
        (with(good(), "side", "buy"), 10_001, "side"),
        (with(good(), "symbol", "NOSUCH"), 10_001, "symbol"),
        (with(good(), "category", "spot"), 10_001, "symbol"),
        (with(good(), "category", "shares"), 10_001, "category"),
        (with(good(), "timeInForce", "DAY"), 10_001, "timeInForce"),
        (with(good(), "reduceOnly", "yes"), 10_001, "reduceOnly"),
        (with(good(), "reduceOnly", true), 110_017, ""),
        (with(good(), "positionIdx", 1), 10_001, "position idx"),
        (with(good(), "triggerPrice", "1"), 10_001, "triggerDirection"),
        (with(good(), "qty", "100"), 110_007, ""),
        (with(good(), "orderType", "Market"), 110_118, ""),
    ];
    for (body, code, naming) in cases {
        let answer = world.order(&mut mine, "order.create", body.clone());
        assert_eq!(answer["retCode"], code, "{body} {answer}");
        assert!(answer["retMsg"].as_str().unwrap().contains(naming), "{body} {answer}");
    }
    let amend = json!({"category": "linear", "symbol": "BTCUSDT", "orderId": "x", "qty": "1"});
    assert_eq!(world.order(&mut mine, "order.amend", amend)["retCode"], 110_001);
    assert_eq!(world.order(&mut mine, "order.teleport", json!({}))["retCode"], 10_404);
    let late = json!({"op": "order.create", "header": {"X-BAPI-TIMESTAMP": (world.now.as_millis() - 5_001).to_string()}, "args": [good()]});
    assert_eq!(world.ask(&mut mine, late)["retCode"], 10_002);
    let early = json!({"op": "order.create", "header": {"X-BAPI-TIMESTAMP": (world.now.as_millis() + 1_000).to_string()}, "args": [good()]});
    assert_eq!(world.ask(&mut mine, early)["retCode"], 10_002);
    let header = json!({"X-BAPI-TIMESTAMP": world.now.as_millis().to_string()});
    let repeated = json!({"op": "order.create", "reqId": "same", "header": header, "args": [good()]});
    assert_eq!(world.ask(&mut mine, repeated.clone())["reqId"], "same");
    assert_eq!(world.ask(&mut mine, repeated)["retCode"], 20_006);
}

#[test]
fn the_rate_is_limited_per_user_and_kind() {
    let mut world = World::new(quiet());
    let mut mine = world.trade("testkey", "testsecret");
    for left in (0..10).rev() {
        let answer = world.order(&mut mine, "order.create", limit("Buy", "60000", "0.001"));
        assert_eq!(
            (&answer["retCode"], &answer["header"]["X-Bapi-Limit-Status"]),
            (&json!(0), &json!(left.to_string()))
        );
    }
    assert_eq!(world.order(&mut mine, "order.create", limit("Buy", "60000", "0.001"))["retCode"], 10_006);
    let (head, body) = world.signed("POST", "/v5/order/create", &limit("Buy", "60000", "0.001").to_string());
    assert_eq!(body["retCode"], 10_006, "one budget for both ways");
    assert!(head.contains("X-Bapi-Limit: 10\r\nX-Bapi-Limit-Status: 0\r\nX-Bapi-Limit-Reset-Timestamp: "), "{head}");
    assert_eq!(
        world.post("/v5/order/cancel-all", json!({"category": "linear", "symbol": "BTCUSDT"}))["result"]["list"]
            .as_array()
            .unwrap()
            .len(),
        10
    );
    world.pass(1_000);
    assert_eq!(world.order(&mut mine, "order.create", limit("Buy", "60000", "0.001"))["retCode"], 0);
}

#[test]
fn batches_answer_item_by_item() {
    let mut world = World::new(quiet());
    let mut mine = world.trade("testkey", "testsecret");
    let item = |px: &str, link: &str| json!({"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "price": px, "qty": "0.001", "orderLinkId": link});
    let answer = world.order(
        &mut mine,
        "order.create-batch",
        json!({"category": "linear", "request": [item("60000", "a"), item("x", "b")]}),
    );
    assert_eq!((&answer["retCode"], &answer["header"]["X-Bapi-Limit-Status"]), (&json!(0), &json!("8")));
    assert_eq!(answer["retExtInfo"]["list"][0]["code"], 0);
    assert_eq!(answer["retExtInfo"]["list"][1]["code"], 10_001);
    assert_eq!(
        answer["data"]["list"][1],
        json!({"category": "linear", "symbol": "BTCUSDT", "orderId": "", "orderLinkId": "b", "createAt": ""})
    );
}

#[test]
fn rest_answers_what_a_client_needs_to_start() {
    let mut world = World::new(quiet());
    let public =
        |world: &mut World, target: &str| world.raw_http(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).1;
    assert_eq!(public(&mut world, "/v5/market/time")["result"]["timeSecond"], "1711001595");
    let first = public(&mut world, "/v5/market/instruments-info?category=linear&limit=1");
    assert_eq!(first["result"]["list"][0]["symbol"], "BTCUSDT");
    assert_eq!(first["result"]["list"][0]["lotSizeFilter"]["qtyStep"], "0.001");
    let cursor = first["result"]["nextPageCursor"].as_str().unwrap();
    let second = public(&mut world, &format!("/v5/market/instruments-info?category=linear&limit=1&cursor={cursor}"));
    assert_eq!(second["result"]["list"][0]["symbol"], "ETHUSDT");
    assert_eq!(second["result"]["nextPageCursor"], "");
    assert_eq!(public(&mut world, "/v5/market/instruments-info?category=linear&symbol=NOSUCH")["retCode"], 10_001);
    assert_eq!(
        public(&mut world, "/v5/market/tickers?category=linear&symbol=BTCUSDT")["result"]["list"][0]["symbol"],
        "BTCUSDT"
    );

    let order = with(limit("Buy", "60000", "0.001"), "orderLinkId", "rest-1");
    let created = world.post("/v5/order/create", order);
    assert_eq!(created["retCode"], 0, "{created}");
    let book = public(&mut world, "/v5/market/orderbook?category=linear&symbol=BTCUSDT");
    assert_eq!(book["result"]["b"], json!([["60000.0", "0.001"]]));
    let open = world.get("/v5/order/realtime", "category=linear&symbol=BTCUSDT");
    assert_eq!(open["result"]["list"][0]["orderLinkId"], "rest-1");
    let amended = world.post(
        "/v5/order/amend",
        json!({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "rest-1", "qty": "0.002"}),
    );
    assert_eq!(amended["retCode"], 0, "{amended}");
    let cancelled =
        world.post("/v5/order/cancel", json!({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "rest-1"}));
    assert_eq!(cancelled["result"]["orderId"], created["result"]["orderId"]);
    assert_eq!(world.get("/v5/order/realtime", "category=linear&settleCoin=USDT")["result"]["list"], json!([]));
    let closed = world.get("/v5/order/realtime", "category=linear&orderLinkId=rest-1");
    assert_eq!(closed["result"]["list"][0]["orderStatus"], "Cancelled");
    assert_eq!(world.get("/v5/execution/list", "category=linear")["result"]["list"], json!([]));
    let flat = world.get("/v5/position/list", "category=linear&symbol=BTCUSDT");
    assert_eq!((&flat["result"]["list"][0]["size"], &flat["result"]["list"][0]["side"]), (&json!("0"), &json!("")));
    assert_eq!(world.get("/v5/position/list", "category=linear&settleCoin=USDT")["result"]["list"], json!([]));
    let wallet = world.get("/v5/account/wallet-balance", "accountType=UNIFIED");
    assert_eq!(wallet["result"]["list"][0]["totalAvailableBalance"], "100000");
    let leverage = |x: &str| json!({"category": "linear", "symbol": "BTCUSDT", "buyLeverage": x, "sellLeverage": x});
    assert_eq!(world.post("/v5/position/set-leverage", leverage("10"))["retCode"], 110_043);
    assert_eq!(world.post("/v5/position/set-leverage", leverage("12.5"))["retCode"], 0);
    assert_eq!(world.post("/v5/position/set-leverage", leverage("1000"))["retCode"], 10_001);
    assert!(world.raw_http("GET /v5/nothing HTTP/1.1\r\n\r\n").0.starts_with("HTTP/1.1 404 "));
}

#[test]
fn rest_checks_the_signature_over_the_bytes_sent() {
    let mut world = World::new(quiet());
    let payload = r#"{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"10000","timeInForce":"GTC"}"#;
    let sign = "c2fc79ff63db9371632ed8dd7b886f551b7c73873383ec7342ac4400fcdbe3a0";
    let request = |key: &str, at: &str, sign: &str| {
        format!(
            "POST /v5/order/create HTTP/1.1\r\nX-BAPI-API-KEY: {key}\r\nX-BAPI-TIMESTAMP: {at}\r\nX-BAPI-RECV-WINDOW: 5000\r\nX-BAPI-SIGN: {sign}\r\nContent-Length: {}\r\n\r\n{payload}",
            payload.len()
        )
    };
    let code = |world: &mut World, request: String| world.raw_http(&request).1["retCode"].clone();
    assert_eq!(code(&mut world, request("testkey", "1711001595207", sign)), 0);
    assert_eq!(code(&mut world, request("testkey", "1711001595207", &sign.replace('c', "d"))), 10_004);
    assert_eq!(code(&mut world, request("nobody", "1711001595207", sign)), 10_003);
    assert_eq!(code(&mut world, request("testkey", "1711001595208", sign)), 10_004);
    world.pass(5_001);
    assert_eq!(code(&mut world, request("testkey", "1711001595207", sign)), 10_002);
    assert_eq!(world.raw_http("POST /v5/order/create HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}").1["retCode"], 10_001);
}

/// Applies a book frame; checks that deltas are contiguous.
fn apply(book: &mut (std::collections::BTreeMap<String, String>, u64), data: &Value, kind: &Value) {
    let u = data["u"].as_u64().unwrap();
    if kind == "snapshot" {
        book.0.clear();
    } else {
        assert_eq!(u, book.1 + 1, "deltas are contiguous");
    }
    book.1 = u;
    for side in ["b", "a"] {
        for level in data[side].as_array().unwrap() {
            let (px, qty) = (level[0].as_str().unwrap(), level[1].as_str().unwrap());
            let key = format!("{side}{px}");
            if qty == "0" {
                assert!(book.0.remove(&key).is_some(), "only levels that were there are deleted");
            } else {
                book.0.insert(key, qty.to_owned());
            }
        }
    }
}

#[test]
fn public_streams_follow_the_population() {
    let mut world = World::new(SimexConfig::default());
    world.pass(100);
    let mut client = world.ws("/v5/public/linear");
    let topics = json!(["orderbook.1.BTCUSDT", "orderbook.50.BTCUSDT", "publicTrade.BTCUSDT", "tickers.BTCUSDT"]);
    client.send(&json!({"op": "subscribe", "req_id": "s", "args": topics}));
    world.pass(1_000);
    let mut late = world.ws("/v5/public/linear");
    late.send(&json!({"op": "subscribe", "args": ["orderbook.50.BTCUSDT"]}));
    world.pass(4_000);

    let (mut book, mut tops, mut trades, mut tickers) = (Default::default(), 0, 0, 0);
    let texts = client.texts();
    assert_eq!(texts[0], r#"{"success":true,"ret_msg":"","conn_id":"simex-00000001","req_id":"s","op":"subscribe"}"#);
    assert!(texts.iter().any(|text| text.starts_with(r#"{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":"#)));
    assert!(texts.iter().any(|text| text.starts_with(r#"{"topic":"orderbook.1.BTCUSDT","ts":"#)));
    for text in &texts[1..] {
        let message: Value = serde_json::from_str(text).unwrap();
        match message["topic"].as_str().unwrap() {
            "orderbook.50.BTCUSDT" => apply(&mut book, &message["data"], &message["type"]),
            "orderbook.1.BTCUSDT" => {
                tops += 1;
                assert_eq!(message["type"], "snapshot");
            }
            "publicTrade.BTCUSDT" => trades += message["data"].as_array().unwrap().len(),
            _ => tickers += 1,
        }
    }
    assert_eq!(book.0.len(), 100, "50 levels a side");
    assert!(
        tops > 50 && trades > 10 && (40..=52).contains(&tickers),
        "{tops} tops, {trades} trades, {tickers} tickers"
    );

    let mut late_book = Default::default();
    for message in late.all().iter().filter(|message| message["topic"] == "orderbook.50.BTCUSDT") {
        apply(&mut late_book, &message["data"], &message["type"]);
    }
    assert_eq!(late_book, book, "who comes later sees the same book");

    let ask = |world: &mut World, client: &mut Client, request: Value| {
        client.send(&request);
        world.hub.poll(world.now);
        client.all().into_iter().find(|message| message.get("success").is_some()).unwrap()
    };
    assert_eq!(ask(&mut world, &mut client, json!({"op": "ping"}))["ret_msg"], "pong");
    let twice = ask(&mut world, &mut client, json!({"op": "subscribe", "args": ["tickers.BTCUSDT"]}));
    assert_eq!(
        (&twice["success"], &twice["ret_msg"]),
        (&json!(false), &json!("error:already subscribed,topic:tickers.BTCUSDT"))
    );
    assert_eq!(
        ask(&mut world, &mut client, json!({"op": "subscribe", "args": ["orderbook.7.BTCUSDT"]}))["success"],
        false
    );
    assert_eq!(ask(&mut world, &mut client, json!({"op": "unsubscribe", "args": topics}))["success"], true);
    world.pass(500);
    assert!(client.all().is_empty());
}

#[test]
fn a_maker_earns_fills_from_the_population_and_every_cent_is_accounted_for() {
    let mut config = SimexConfig { orders_per_second: 1_000, ..SimexConfig::default() };
    config.accounts[0] =
        AccountConfig { api_key: "testkey".into(), api_secret: "testsecret".into(), ..AccountConfig::default() };
    config.funding_interval_ns = 10_000_000_000;
    let mut world = World::new(config);
    let mut mine = world.trade("testkey", "testsecret");
    for _ in 0..200 {
        world.pass(100);
        world.post("/v5/order/cancel-all", json!({"category": "linear", "symbol": "BTCUSDT"}));
        let market = world.hub.simex().venue().market(InstrumentId(0)).unwrap();
        let (bid, ask) =
            (market.best(crate::types::Side::Bid).unwrap().px, market.best(crate::types::Side::Ask).unwrap().px);
        let tick = Step::from_text(b"0.1").unwrap();
        for (side, px) in [("Buy", bid), ("Sell", ask)] {
            let order = with(limit(side, &tick.text(px.get()), "0.010"), "timeInForce", "PostOnly");
            assert_eq!(world.order(&mut mine, "order.create", order)["retCode"], 0);
        }
    }
    let report = world.hub.simex().report();
    let account = &report.accounts[0];
    assert!(account.fills > 5, "{report:?}");
    let money = |text: &str| Money::parse(text.as_bytes()).unwrap();
    let sum = money(&account.start).saturating_add(money(&account.realised));
    let sum = sum.saturating_sub(money(&account.fees)).saturating_sub(money(&account.funding));
    assert_eq!(sum, money(&account.balance), "balance = start + realised − fees − funding");
    world.hub.simex().venue().assert_invariants();
}

#[test]
fn a_seed_gives_the_same_bytes() {
    let run = || {
        let mut world = World::new(SimexConfig::default());
        let mut client = world.ws("/v5/public/linear");
        client.send(
            &json!({"op": "subscribe", "args": ["orderbook.50.BTCUSDT", "publicTrade.ETHUSDT", "tickers.ETHUSDT"]}),
        );
        world.pass(3_000);
        client.texts()
    };
    let (first, second) = (run(), run());
    assert!(first.len() > 100);
    assert_eq!(first, second);
}

#[test]
fn latency_delays_both_ways() {
    let mut world = World::new(SimexConfig { uplink_ns: 3_000_000, downlink_ns: 2_000_000, ..quiet() });
    let mut client = world.ws("/v5/public/linear");
    client.send(&json!({"op": "ping"}));
    world.pass(4); // read after the first millisecond
    assert!(client.all().is_empty());
    world.pass(2);
    assert_eq!(client.all().len(), 1);
}

fn capture() -> SimexConfig {
    let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
    let symbol = Symbol::new(b"BTCUSDT").unwrap();
    let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
    let frame = |ms: u64, raw: &str| CaptureLine { recv: Nanos::from_millis(5_000 + ms), raw: raw.to_owned() };
    let book = |kind: &str, b: &str, a: &str, u: u64| {
        format!(
            r#"{{"topic":"orderbook.200.BTCUSDT","type":"{kind}","ts":1,"data":{{"s":"BTCUSDT","b":{b},"a":{a},"u":{u},"seq":{u}}},"cts":1}}"#
        )
    };
    let lines = vec![
        frame(0, r#"{"success":true,"ret_msg":"","op":"subscribe"}"#),
        frame(0, &book("snapshot", r#"[["100.0","0.010"]]"#, r#"[["100.2","0.010"]]"#, 50)),
        frame(100, &book("delta", r#"[["99.9","0.500"]]"#, "[]", 51)),
        frame(
            200,
            r#"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":2,"data":[{"T":1,"s":"BTCUSDT","S":"Sell","v":"0.012","p":"100.0","i":"x","seq":52}]}"#,
        ),
        frame(300, &book("delta", r#"[["100.0","0"]]"#, "[]", 52)),
    ];
    SimexConfig {
        listings: vec![ListingConfig {
            spec,
            start_px: Default::default(),
            unit: Default::default(),
            ticks_per_second: 0,
            profile: Default::default(),
        }],
        feed: FeedConfig::Capture { lines, speed_percent: 100, repeat: false },
        ..quiet()
    }
}

#[test]
fn a_capture_is_sent_verbatim_and_fills_by_place_in_the_queue() {
    let mut world = World::new(capture());
    let mut client = world.ws("/v5/public/linear");
    let mut mine = world.trade("testkey", "testsecret");
    client.send(&json!({"op": "subscribe", "args": ["orderbook.200.BTCUSDT", "publicTrade.BTCUSDT"]}));
    world.pass(50);
    let order = world.order(&mut mine, "order.create", limit("Buy", "100.0", "0.005"));
    assert_eq!(order["retCode"], 0, "{order}");
    world.pass(100);
    let mut late = world.ws("/v5/public/linear");
    late.send(&json!({"op": "subscribe", "args": ["orderbook.200.BTCUSDT"]}));
    world.pass(200);
    let FeedConfig::Capture { lines, .. } = capture().feed else { unreachable!() };
    let expected: Vec<_> = lines[1..].iter().map(|line| line.raw.clone()).collect();
    assert_eq!(client.texts()[1..], expected);
    let texts = late.texts();
    let snapshot: Value = serde_json::from_str(&texts[1]).unwrap();
    assert_eq!((&snapshot["type"], &snapshot["data"]["u"]), (&json!("snapshot"), &json!(51)));
    assert_eq!(snapshot["data"]["b"], json!([["100.0", "0.010"], ["99.9", "0.500"]]));
    assert_eq!(texts[2], expected[3], "the next recorded delta fits");
    let report = world.hub.simex().report();
    assert_eq!(report.accounts[0].positions[0].qty, "0.002", "0.012 traded, 0.010 were ahead");
    assert!(world.hub.simex().is_feed_finished());
    assert_eq!(world.hub.simex().undecoded_frames(), 0);
}

fn over_sockets(with_tls: bool) {
    let (mut server_tls, mut client_tls) = (None, None);
    if with_tls {
        let certs = tls::generate(&["127.0.0.1"]).unwrap();
        server_tls = Some(tls::server_config(&certs.cert_pem, &certs.key_pem).unwrap());
        client_tls = Some(tls::client_config(tls::Roots::CaPem(&certs.ca_pem)).unwrap());
    }
    let handle = Simex::start(SimexConfig::default(), "127.0.0.1:0".parse().unwrap(), server_tls).unwrap();
    let scheme = if with_tls { "wss" } else { "ws" };
    let url = WsUrl::parse(&format!("{scheme}://{}/v5/public/linear", handle.addr())).unwrap();
    let mut client = WsClient::connect(&url, client_tls, WsLimits::default(), 3).unwrap();
    let started = Instant::now();
    let patience = || assert!(started.elapsed() < Duration::from_secs(20), "the venue does not answer");
    while client.poll() != ClientState::Open {
        patience();
        std::thread::yield_now();
    }
    let conn = client.conn().unwrap();
    conn.send_text(br#"{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}"#).unwrap();
    let mut frames = 0;
    while frames < 10 {
        patience();
        conn.flush().unwrap();
        conn.fill().unwrap();
        while let Some(message) = conn.next_message().unwrap() {
            frames += usize::from(matches!(message, Message::Text(text) if text.starts_with(b"{\"topic\"")));
        }
    }
    if !with_tls {
        let mut tcp = TcpStream::connect(handle.addr()).unwrap();
        tcp.write_all(b"GET /v5/market/time HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("\"timeNano\""), "{answer}");
    }
    let report = handle.join();
    assert!(report.messages_out >= 10);
    assert_eq!(report.connections_cut, 0);
}

#[test]
fn the_venue_serves_sockets() {
    over_sockets(false);
}

#[test]
fn the_venue_serves_sockets_with_tls() {
    over_sockets(true);
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let mut world = World::new(SimexConfig { send_bytes: 30_000, ..SimexConfig::default() });
    let transport = world.hub.connect(1_000, world.now);
    let url = WsUrl::parse("ws://simulated/v5/public/linear").unwrap();
    let mut ws = WsClient::over(transport, &url, WsLimits::default(), 1);
    while ws.poll() != ClientState::Open {
        world.hub.poll(world.now);
    }
    let mut client = Client { ws };
    client.send(&json!({"op": "subscribe", "args": ["orderbook.200.BTCUSDT"]}));
    world.pass(10_000);
    assert_eq!(world.hub.simex().report().connections_cut, 1);
    assert_eq!(world.hub.conns_len(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn malformed_requests_never_panic(
        kind in 0usize..4,
        damage in proptest::collection::vec((0usize..400, any::<u8>()), 0..6),
        junk in "\\PC{0,60}",
        order in 0usize..6,
    ) {
        let mut world = World::new(quiet());
        let bodies = [
            limit("Buy", "60000", "0.001"),
            with(limit("Buy", "60000", "0.001"), "qty", junk.clone()),
            with(limit("Sell", "60000", "0.001"), "price", junk.clone()),
            with(limit("Buy", "60000", "0.001"), "orderLinkId", junk.clone()),
            json!({"category": "linear", "request": [limit("Buy", "1", junk.as_str()), null, 5, {"symbol": []}]}),
            json!({"category": "linear", "symbol": "BTCUSDT", "orderId": junk, "price": junk, "qty": "99999999999999999999"}),
        ];
        let path = ["/v5/public/linear", "/v5/private", "/v5/trade", "/v5/trade"][kind];
        let mut client = if kind == 3 { world.trade("testkey", "testsecret") } else { world.ws(path) };
        for op in ["order.create", "order.amend", "order.cancel", "order.create-batch", "subscribe", "auth"] {
            let header = json!({"X-BAPI-TIMESTAMP": world.now.as_millis().to_string()});
            let request = json!({"op": op, "header": header, "args": [bodies[order].clone()]}).to_string();
            let mut bytes = request.into_bytes();
            for (at, byte) in &damage {
                let at = at % bytes.len();
                bytes[at] = *byte;
            }
            let conn = client.ws.conn().unwrap();
            conn.send_text(&bytes).unwrap();
            conn.flush().unwrap();
            world.hub.poll(world.now);
        }
        world.signed("POST", "/v5/order/create", &bodies[order].to_string());
        world.signed("GET", "/v5/order/realtime", &format!("category=linear&orderId=%{}", junk.replace([' ', '\r', '\n'], "").escape_default()));
        let mut raw = world.hub.connect(1 << 16, world.now);
        raw.try_write(junk.as_bytes()).unwrap();
        world.hub.poll(world.now);
        world.hub.simex().venue().assert_invariants();
    }
}
