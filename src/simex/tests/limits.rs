//! Bounds that the venue sets, and who is turned away.

use super::*;

fn subscribe(world: &mut World, client: &mut Client, topics: &[String]) -> Value {
    world.ask(client, json!({"op": "subscribe", "args": topics}))
}

#[test]
fn arguments_of_a_connection_are_bounded() {
    let mut config = SimexConfig::default();
    config.list_universe(500, 1, 100);
    config.list_spot();
    let mut world = World::new(config);
    let symbols: Vec<String> =
        world.hub.simex().config.listings.iter().map(|listing| listing.spec.symbol.to_string()).take(500).collect();
    let mut client = world.ws("/v5/public/linear");
    let topics: Vec<String> = symbols.iter().map(|symbol| format!("publicTrade.{symbol}")).collect();
    assert_eq!(subscribe(&mut world, &mut client, &topics)["success"], true, "500 topics at once");
    let more: Vec<String> = symbols.iter().map(|symbol| format!("allLiquidation.{symbol}")).collect();
    let answer = subscribe(&mut world, &mut client, &more);
    assert_eq!(answer["success"], false, "{answer}");
    let fewer = topics[..250].to_vec();
    assert_eq!(world.ask(&mut client, json!({"op": "unsubscribe", "args": fewer}))["success"], true);
    assert_eq!(subscribe(&mut world, &mut client, &more[..300])["success"], true, "what is given up is free again");
    let mut spot = world.ws("/v5/public/spot");
    let of_spot: Vec<String> = ["BTCUSDT", "ETHUSDT"]
        .iter()
        .flat_map(|symbol| {
            ["orderbook.1.", "orderbook.50.", "orderbook.200.", "orderbook.1000.", "publicTrade.", "tickers."]
                .map(|family| format!("{family}{symbol}"))
        })
        .collect();
    assert_eq!(subscribe(&mut world, &mut spot, &of_spot)["success"], false, "twelve are two too many");
    assert_eq!(subscribe(&mut world, &mut spot, &of_spot[..10])["success"], true);
    assert_eq!(subscribe(&mut world, &mut spot, &["allLiquidation.BTCUSDT".to_owned()])["success"], false);
}

#[test]
fn an_address_that_asks_too_much_is_banned_for_a_while() {
    let mut world = World::new(SimexConfig { http_per_5s: 20, http_ban_ns: 30_000_000_000, ..quiet() });
    let time = |world: &mut World| world.raw_http("GET /v5/market/time HTTP/1.1\r\nHost: x\r\n\r\n").0;
    for _ in 0..20 {
        assert!(time(&mut world).starts_with("HTTP/1.1 200 "));
    }
    assert!(time(&mut world).starts_with("HTTP/1.1 403 "));
    world.pass(29_990);
    assert!(time(&mut world).starts_with("HTTP/1.1 403 "), "REST stays shut");
    let upgrade = "GET /v5/public/linear HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    assert!(world.raw_http(upgrade).0.starts_with("HTTP/1.1 403 "), "and so do WebSockets");
    world.pass(20);
    assert!(time(&mut world).starts_with("HTTP/1.1 200 "));
}

#[test]
fn orders_from_one_address_are_bounded() {
    let mut world = World::new(SimexConfig { trade_per_second: 3, ..quiet() });
    let mut mine = world.trade("testkey", "testsecret");
    let mut other = world.trade("other", "othersecret");
    let codes = [&mut mine, &mut other].into_iter().cycle_twice(|client| {
        world.order(client, "order.create", limit("Buy", "50000", "0.001"))["retCode"].as_i64().unwrap()
    });
    assert_eq!(codes, [0, 0, 0, 10_403]);
}

/// Goes over two clients twice.
trait CycleTwice<'a> {
    fn cycle_twice(self, act: impl FnMut(&mut Client) -> i64) -> Vec<i64>;
}

impl<'a, I: Iterator<Item = &'a mut Client>> CycleTwice<'a> for I {
    fn cycle_twice(self, mut act: impl FnMut(&mut Client) -> i64) -> Vec<i64> {
        let mut clients: Vec<&mut Client> = self.collect();
        let mut all = Vec::new();
        for _ in 0..2 {
            all.extend(clients.iter_mut().map(|client| act(client)));
        }
        all
    }
}

#[test]
fn budgets_are_told_and_counted_per_endpoint_and_product() {
    let mut config = quiet();
    config.list_spot();
    let mut world = World::new(config);
    let limit_of = |head: &str, name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
        line.unwrap_or_else(|| panic!("{name} in {head}"))
    };
    for (path, query, most) in [
        ("/v5/order/realtime", "category=linear&symbol=BTCUSDT", "50"),
        ("/v5/order/history", "category=linear", "50"),
        ("/v5/execution/list", "category=linear", "50"),
        ("/v5/account/fee-rate", "category=linear", "5"),
        ("/v5/account/info", "", "50"),
    ] {
        let (head, body) = world.signed("GET", path, query);
        assert_eq!(body["retCode"], 0, "{path}: {body}");
        assert_eq!(limit_of(&head, "X-Bapi-Limit"), most, "{path}");
        let left: u32 = limit_of(&head, "X-Bapi-Limit-Status").parse().unwrap();
        assert_eq!(left + 1, most.parse::<u32>().unwrap(), "{path} is counted for itself");
        assert_eq!(limit_of(&head, "X-Bapi-Limit-Reset-Timestamp"), world.now.as_millis().to_string());
    }
    let mut mine = world.trade("testkey", "testsecret");
    let spot = with(limit("Buy", "50000", "0.001"), "category", "spot");
    let answer = world.order(&mut mine, "order.create", spot);
    assert_eq!(
        (&answer["header"]["X-Bapi-Limit"], &answer["header"]["X-Bapi-Limit-Status"]),
        (&json!("20"), &json!("19"))
    );
    let batch = json!({"category": "linear", "request": vec![limit("Buy", "50000", "0.001"); 12]});
    let answer = world.order(&mut mine, "order.create-batch", batch);
    let codes = answer["retExtInfo"]["list"].as_array().unwrap().iter();
    let codes: Vec<i64> = codes.map(|item| item["code"].as_i64().unwrap()).collect();
    assert_eq!(
        codes,
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10_006, 10_006],
        "what is above the limit fails, the rest succeeds"
    );
    let answer = world.order(&mut mine, "order.create", limit("Buy", "50000", "0.001"));
    assert_eq!(answer["retCode"], 0, "single orders have their own budget");
}

#[test]
fn strangers_and_wrong_ways_are_turned_away_by_http() {
    let mut world = World::new(quiet());
    let status = |head: &str| head.split(' ').nth(1).unwrap().to_owned();
    let (head, body) = world.raw_http("GET /v5/account/info HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((status(&head).as_str(), &body["retCode"]), ("401", &json!(10_001)));
    let at = world.now.as_millis();
    let sign = auth::sign("testsecret", &format!("{at}nobody5000"));
    let request = format!(
        "GET /v5/account/info HTTP/1.1\r\nX-BAPI-API-KEY: nobody\r\nX-BAPI-TIMESTAMP: {at}\r\nX-BAPI-RECV-WINDOW: 5000\r\nX-BAPI-SIGN: {sign}\r\n\r\n"
    );
    let (head, body) = world.raw_http(&request);
    assert_eq!((status(&head).as_str(), &body["retCode"]), ("401", &json!(10_003)));
    let (head, body) = world.raw_http("GET /v5/nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((status(&head).as_str(), &body["retCode"]), ("404", &json!(10_017)));
    let (head, _) = world.raw_http("GET /v5/market/time HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(status(&head), "403", "a query has no body");
}

#[test]
fn numbers_in_the_head_of_an_order_request_are_taken() {
    let mut world = World::new(quiet());
    let mut mine = world.trade("testkey", "testsecret");
    let header = json!({"X-BAPI-TIMESTAMP": world.now.as_millis(), "X-BAPI-RECV-WINDOW": 5_000});
    let order = limit("Buy", "60000", "0.001");
    let answer = world.ask(&mut mine, json!({"op": "order.create", "header": header, "args": [order]}));
    assert_eq!(answer["retCode"], 0, "{answer}");
    let header = json!({"X-BAPI-TIMESTAMP": true});
    let answer =
        world.ask(&mut mine, json!({"op": "order.create", "header": header, "args": [limit("Buy", "1", "1")]}));
    assert_eq!(answer["retCode"], 10_001);
}

#[test]
fn position_mode_is_one_way() {
    let mut world = World::new(quiet());
    let mode = |world: &mut World, mode: i64| {
        world.post("/v5/position/switch-mode", json!({"category": "linear", "symbol": "BTCUSDT", "mode": mode}))["retCode"].clone()
    };
    assert_eq!(
        (mode(&mut world, 0), mode(&mut world, 3), mode(&mut world, 7)),
        (json!(110_025), json!(10_001), json!(10_001))
    );
    let mut mine = world.trade("testkey", "testsecret");
    world.order(&mut mine, "order.create", limit("Buy", "60000", "0.001"));
    assert_eq!(mode(&mut world, 3), 110_028, "open orders");
    let mut other = world.trade("other", "othersecret");
    world.order(&mut other, "order.create", limit("Sell", "60000", "0.001"));
    assert_eq!(mode(&mut world, 3), 110_024, "a position");
    let by_coin = json!({"category": "linear", "coin": "USDT", "mode": 3});
    assert_eq!(world.post("/v5/position/switch-mode", by_coin)["retCode"], 110_024);
}
