//! Orders that wait for a price, in the wire form.

use super::*;

/// A quiet market with a bid and an ask of the other user, and a trade at 60,000.
struct Scene {
    world: World,
    mine: Client,
    other: Client,
    private: Client,
}

impl Scene {
    fn new() -> Self {
        Self::with(quiet())
    }

    fn with(mut config: SimexConfig) -> Self {
        config.orders_per_second = 1_000;
        let mut world = World::new(config);
        let mine = world.trade("testkey", "testsecret");
        let other = world.trade("other", "othersecret");
        let private = world.private(&["order", "execution", "position", "wallet"]);
        let mut scene = Self { world, mine, other, private };
        scene.quote("59990", "60010");
        scene.trade_at("60000");
        scene
    }

    /// The other user's depth around the market.
    fn quote(&mut self, bid: &str, ask: &str) {
        for (side, px) in [("Buy", bid), ("Sell", ask)] {
            let answer = self.world.order(&mut self.other, "order.create", limit(side, px, "5"));
            assert_eq!(answer["retCode"], 0, "{answer}");
        }
    }

    /// The other user trades with itself, so that the last price is `px`.
    fn trade_at(&mut self, px: &str) {
        for side in ["Buy", "Sell"] {
            let answer = self.world.order(&mut self.other, "order.create", limit(side, px, "0.001"));
            assert_eq!(answer["retCode"], 0, "{answer}");
        }
        self.world.pass(1);
    }

    fn create(&mut self, body: Value) -> Value {
        let answer = self.world.order(&mut self.mine, "order.create", body);
        assert_eq!(answer["retCode"], 0, "{answer}");
        answer["data"].clone()
    }

    fn code(&mut self, op: &str, body: Value) -> i64 {
        self.world.order(&mut self.mine, op, body)["retCode"].as_i64().unwrap()
    }

    /// What was told of orders since the last call: status, kind, and reason.
    fn told(&mut self) -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let orders = self.private.all().into_iter().filter(|message| message["topic"] == "order");
        orders
            .map(|message| {
                let order = &message["data"][0];
                (text(&order["orderStatus"]), text(&order["stopOrderType"]), text(&order["cancelType"]))
            })
            .collect()
    }

    fn open(&mut self) -> Vec<Value> {
        let answer = self.world.get("/v5/order/realtime", "category=linear&symbol=BTCUSDT");
        answer["result"]["list"].as_array().unwrap().clone()
    }

    fn position(&mut self) -> Value {
        self.world.get("/v5/position/list", "category=linear&symbol=BTCUSDT")["result"]["list"][0].clone()
    }

    fn buy(&mut self, qty: &str) {
        self.create(market("Buy", qty));
        assert_eq!(self.position()["side"], "Buy");
        self.told();
    }

    fn trading_stop(&mut self, body: Value) -> i64 {
        let mut all = json!({"category": "linear", "symbol": "BTCUSDT", "positionIdx": 0});
        all.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        self.world.post("/v5/position/trading-stop", all)["retCode"].as_i64().unwrap()
    }
}

fn market(side: &str, qty: &str) -> Value {
    json!({"category": "linear", "symbol": "BTCUSDT", "side": side, "orderType": "Market", "qty": qty})
}

fn told(all: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    all.iter().map(|(a, b, c)| (a.to_string(), b.to_string(), c.to_string())).collect()
}

#[test]
fn a_conditional_order_waits_for_its_price_and_then_is_placed() {
    let mut scene = Scene::new();
    let body = with(limit("Buy", "59995", "0.01"), "orderLinkId", "wait-1");
    let body = with(with(body, "triggerPrice", "60005"), "triggerDirection", 1);
    let placed = scene.create(body.clone());
    assert_eq!(scene.told(), told(&[("Untriggered", "Stop", "UNKNOWN")]));
    assert_eq!(scene.code("order.create", body), 110_072, "its link is taken");
    let open = scene.open();
    assert_eq!((open.len(), &open[0]["orderId"]), (1, &placed["orderId"]));
    for (key, value) in [
        ("orderStatus", json!("Untriggered")),
        ("triggerPrice", json!("60005.0")),
        ("triggerDirection", json!(1)),
        ("triggerBy", json!("LastPrice")),
        ("createType", json!("CreateByStopOrder")),
        ("leavesQty", json!("0.010")),
        ("orderLinkId", json!("wait-1")),
    ] {
        assert_eq!(open[0][key], value, "{key}");
    }
    let wallet = scene.world.get("/v5/account/wallet-balance", "accountType=UNIFIED");
    assert_eq!(wallet["result"]["list"][0]["totalInitialMargin"], "0", "it ties up nothing");
    scene.trade_at("60004.9");
    assert_eq!(scene.open()[0]["orderStatus"], "Untriggered");
    scene.trade_at("60005");
    assert_eq!(scene.told(), told(&[("Triggered", "Stop", "UNKNOWN"), ("New", "Stop", "UNKNOWN")]));
    let open = scene.open();
    assert_eq!((&open[0]["orderId"], &open[0]["orderStatus"]), (&placed["orderId"], &json!("New")));
    let cancel = json!({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "wait-1"});
    assert_eq!(scene.code("order.cancel", cancel), 0, "it is an order like any other now");
    assert_eq!(scene.told(), told(&[("Cancelled", "Stop", "CancelByUser")]));
}

#[test]
fn a_triggered_market_order_trades_at_once() {
    let mut scene = Scene::new();
    let body = with(with(market("Sell", "0.02"), "triggerPrice", "59995"), "triggerDirection", 2);
    scene.create(body);
    scene.trade_at("59995");
    let messages = scene.private.all();
    let execution = messages.iter().find(|message| message["topic"] == "execution").expect("a fill");
    assert_eq!(execution["data"][0]["execPrice"], "59990.0");
    assert_eq!(execution["data"][0]["createType"], "CreateByStopOrder");
    assert_eq!(scene.position()["side"], "Sell");
}

#[test]
fn a_mark_price_triggers_without_a_trade() {
    let mut scene = Scene::new();
    let body = with(with(market("Buy", "0.02"), "triggerPrice", "60020"), "triggerDirection", 1);
    scene.create(with(body, "triggerBy", "MarkPrice"));
    scene.trade_at("60005");
    assert_eq!(scene.told(), told(&[("Untriggered", "Stop", "UNKNOWN")]), "the middle has not moved");
    let all = json!({"category": "linear", "symbol": "BTCUSDT"});
    let at = scene.world.now.as_millis().to_string();
    let sign = auth::sign("othersecret", &format!("{at}other5000{all}"));
    let request = format!(
        "POST /v5/order/cancel-all HTTP/1.1\r\nX-BAPI-API-KEY: other\r\nX-BAPI-TIMESTAMP: {at}\r\nX-BAPI-RECV-WINDOW: 5000\r\nX-BAPI-SIGN: {sign}\r\nContent-Length: {}\r\n\r\n{all}",
        all.to_string().len()
    );
    assert_eq!(scene.world.raw_http(&request).1["retCode"], 0);
    scene.quote("60030", "60050");
    scene.world.pass(2);
    assert_eq!(
        scene.told(),
        told(&[("Triggered", "Stop", "UNKNOWN"), ("New", "Stop", "UNKNOWN"), ("Filled", "Stop", "UNKNOWN")])
    );
}

#[test]
fn conditional_orders_are_checked_amended_and_cancelled() {
    let mut scene = Scene::new();
    let waiting = |trigger: &str, direction: i64| {
        with(with(limit("Buy", "59000", "0.01"), "triggerPrice", trigger), "triggerDirection", direction)
    };
    assert_eq!(scene.code("order.create", waiting("59999", 1)), 110_092, "a rise to below the market");
    assert_eq!(scene.code("order.create", waiting("60001", 2)), 110_093, "a fall to above it");
    assert_eq!(scene.code("order.create", with(waiting("60001", 1), "triggerBy", "Nobody")), 10_001);
    assert_eq!(scene.code("order.create", with(waiting("60001", 1), "qty", "0")), 10_001);
    let placed = scene.create(waiting("60100", 1));
    let named = |body: Value| with(body, "orderId", placed["orderId"].clone());
    let this = json!({"category": "linear", "symbol": "BTCUSDT"});
    assert_eq!(scene.code("order.amend", named(with(this.clone(), "triggerPrice", "60200"))), 0);
    assert_eq!(scene.code("order.amend", named(with(this.clone(), "triggerPrice", "60200"))), 10_001, "no change");
    assert_eq!(scene.code("order.amend", named(with(this.clone(), "qty", "0.03"))), 0);
    let open = scene.open();
    assert_eq!((&open[0]["triggerPrice"], &open[0]["qty"]), (&json!("60200.0"), &json!("0.030")));
    assert_eq!(scene.code("order.cancel", named(this.clone())), 0);
    assert_eq!(scene.code("order.cancel", named(this)), 110_001);
    assert_eq!(scene.told().last().unwrap(), &told(&[("Deactivated", "Stop", "CancelByUser")])[0]);
    assert!(scene.open().is_empty());
    let past = scene.world.get("/v5/order/history", "category=linear&symbol=BTCUSDT&orderStatus=Deactivated");
    assert_eq!(past["result"]["list"][0]["orderId"], placed["orderId"]);
    for n in 0..10 {
        scene.create(waiting(&format!("6{n}200"), 1));
    }
    assert_eq!(scene.code("order.create", waiting("69999", 1)), 110_009, "ten at most");
}

#[test]
fn cancel_all_has_its_scopes() {
    let mut scene = Scene::new();
    let waiting = with(with(limit("Buy", "59000", "0.01"), "triggerPrice", "60100"), "triggerDirection", 1);
    scene.create(waiting.clone());
    scene.create(limit("Buy", "59000", "0.01"));
    let cancel = |scene: &mut Scene, more: Value| {
        let mut body = json!({"category": "linear"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = scene.world.post("/v5/order/cancel-all", body);
        if answer["retCode"] != 0 {
            answer["retCode"].clone()
        } else {
            json!(answer["result"]["list"].as_array().unwrap().len())
        }
    };
    assert_eq!(cancel(&mut scene, json!({})), 10_001, "a symbol or a coin is needed");
    assert_eq!(cancel(&mut scene, json!({"symbol": "ETHUSDT"})), 0);
    assert_eq!(cancel(&mut scene, json!({"baseCoin": "ETH"})), 0);
    assert_eq!(cancel(&mut scene, json!({"symbol": "BTCUSDT", "orderFilter": "Order"})), 1);
    assert_eq!(scene.open()[0]["orderStatus"], "Untriggered");
    assert_eq!(cancel(&mut scene, json!({"settleCoin": "USDT", "orderFilter": "StopOrder"})), 1);
    scene.create(waiting);
    scene.create(limit("Buy", "59000", "0.01"));
    let filtered = |scene: &mut Scene, filter: &str| {
        let query = format!("category=linear&symbol=BTCUSDT&orderFilter={filter}");
        scene.world.get("/v5/order/realtime", &query)["result"]["list"].as_array().unwrap().len()
    };
    assert_eq!((filtered(&mut scene, "Order"), filtered(&mut scene, "StopOrder")), (1, 1));
    assert_eq!(cancel(&mut scene, json!({"symbol": "BTCUSDT"})), 2, "all kinds");
}

#[test]
fn a_whole_position_is_protected_and_closed() {
    let mut scene = Scene::new();
    assert_eq!(scene.trading_stop(json!({"takeProfit": "61000"})), 10_001, "there is no position");
    scene.buy("0.05");
    assert_eq!(scene.trading_stop(json!({"takeProfit": "59000"})), 10_001, "a long does not win by falling");
    assert_eq!(scene.trading_stop(json!({"stopLoss": "61000"})), 10_001);
    assert_eq!(scene.trading_stop(json!({"takeProfit": "60500", "stopLoss": "59000"})), 0);
    assert_eq!(scene.told(), told(&[("Untriggered", "TakeProfit", "UNKNOWN"), ("Untriggered", "StopLoss", "UNKNOWN")]));
    let position = scene.position();
    assert_eq!((&position["takeProfit"], &position["stopLoss"]), (&json!("60500.0"), &json!("59000.0")));
    assert_eq!(scene.trading_stop(json!({"takeProfit": "60500"})), 34_040);
    assert_eq!(scene.trading_stop(json!({"takeProfit": "60400"})), 0);
    assert_eq!(scene.open().len(), 2, "it was moved, not added");
    assert_eq!(scene.trading_stop(json!({"stopLoss": "0"})), 0);
    assert_eq!(scene.trading_stop(json!({"stopLoss": "0"})), 34_040);
    assert_eq!(scene.trading_stop(json!({"stopLoss": "59500"})), 0);
    scene.told();
    // A resting reduce-only order must not stand in the way.
    scene.create(with(limit("Sell", "70000", "0.05"), "reduceOnly", true));
    scene.told();
    // The market rises through the take-profit: 60,010 is lifted by a trade at 60,400.
    assert_eq!(
        scene.world.order(&mut scene.other, "order.create", with(market("Buy", "5.5"), "smpType", "CancelMaker"))["retCode"],
        0
    );
    scene.trade_at("60400");
    let all = scene.told();
    let expected = [
        ("Triggered", "TakeProfit", "UNKNOWN"),
        ("Cancelled", "", "CancelByUser"),
        ("New", "TakeProfit", "UNKNOWN"),
        ("Filled", "TakeProfit", "UNKNOWN"),
        ("Deactivated", "StopLoss", "CancelByTpSlTsClear"),
    ];
    assert_eq!(all, told(&expected));
    assert_eq!(scene.position()["size"], "0");
    assert!(scene.open().is_empty());
    let pnl = scene.world.get("/v5/position/closed-pnl", "category=linear&symbol=BTCUSDT");
    let closed = &pnl["result"]["list"][0];
    assert_eq!(
        (&closed["closedSize"], &closed["avgEntryPrice"], &closed["createType"]),
        (&json!("0.050"), &json!("60010"), &json!("CreateByTakeProfit"))
    );
    scene.world.hub.simex().venue().assert_invariants();
}

#[test]
fn an_order_brings_the_protection_of_its_position() {
    let mut scene = Scene::new();
    let body = with(with(limit("Buy", "60010", "0.05"), "takeProfit", "61000"), "stopLoss", "59000");
    assert_eq!(scene.code("order.create", with(body.clone(), "reduceOnly", true)), 10_001, "not with reduce-only");
    assert_eq!(scene.code("order.create", with(body.clone(), "takeProfit", "60000")), 10_001, "not below its price");
    let resting = scene.create(with(body.clone(), "price", "59900"));
    let open = scene.open();
    assert_eq!((&open[0]["takeProfit"], &open[0]["tpslMode"]), (&json!("61000.0"), &json!("Full")));
    let amend = json!({"category": "linear", "symbol": "BTCUSDT", "orderId": resting["orderId"], "takeProfit": "0"});
    assert_eq!(scene.code("order.amend", amend), 0);
    assert_eq!((&scene.open()[0]["takeProfit"], &scene.open()[0]["stopLoss"]), (&json!(""), &json!("59000.0")));
    scene.told();
    scene.create(body);
    let all = scene.told();
    assert_eq!((all[0].0.as_str(), all[1].0.as_str()), ("New", "Filled"));
    assert_eq!(all[2..], told(&[("Untriggered", "TakeProfit", "UNKNOWN"), ("Untriggered", "StopLoss", "UNKNOWN")]));
    assert_eq!(scene.position()["stopLoss"], "59000.0");
    scene.create(market("Sell", "0.05"));
    let all = scene.told();
    assert_eq!(
        all.iter().filter(|(status, _, why)| status == "Deactivated" && why == "CancelByTpSlTsClear").count(),
        2
    );
}

#[test]
fn parts_of_a_position_have_their_own_pairs() {
    let mut scene = Scene::new();
    scene.buy("0.1");
    let part =
        json!({"tpslMode": "Partial", "takeProfit": "60400", "stopLoss": "59000", "tpSize": "0.04", "slSize": "0.04"});
    assert_eq!(scene.trading_stop(with(part.clone(), "slSize", "0.03")), 10_001, "a pair has one size");
    assert_eq!(scene.trading_stop(part.clone()), 0);
    let limited = with(with(part, "tpOrderType", "Limit"), "tpLimitPrice", "60300");
    assert_eq!(scene.trading_stop(limited), 0);
    let kinds = |scene: &mut Scene| {
        let mut kinds: Vec<String> =
            scene.open().iter().map(|order| order["stopOrderType"].as_str().unwrap().to_owned()).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds(&mut scene), ["PartialStopLoss", "PartialStopLoss", "PartialTakeProfit", "PartialTakeProfit"]);
    assert_eq!(
        scene.world.order(&mut scene.other, "order.create", with(market("Buy", "4.9"), "smpType", "CancelMaker"))["retCode"],
        0
    );
    scene.trade_at("60400");
    // One closed at the market, at what bids there are; the other rests at its limit.
    let position = scene.position();
    assert_eq!(position["size"], "0.060");
    let open = scene.open();
    assert_eq!(open.len(), 1, "the stop-losses went with their pairs: {open:?}");
    assert_eq!(
        (&open[0]["orderStatus"], &open[0]["price"], &open[0]["createType"]),
        (&json!("New"), &json!("60300.0"), &json!("CreateByPartialTakeProfit"))
    );
}

#[test]
fn a_trailing_stop_follows_the_best_price() {
    let mut scene = Scene::new();
    scene.buy("0.05");
    assert_eq!(scene.trading_stop(json!({"trailingStop": "50", "activePrice": "60003"})), 0);
    assert_eq!(scene.trading_stop(json!({"trailingStop": "50", "activePrice": "60003"})), 34_040);
    assert_eq!(scene.position()["trailingStop"], "50.0");
    scene.trade_at("60002");
    scene.trade_at("60009");
    assert_eq!(scene.open()[0]["triggerPrice"], "59959.0", "50 below the best since it is active");
    scene.trade_at("60005");
    assert_eq!(scene.open()[0]["triggerPrice"], "59959.0", "it only follows the best");
    scene.told();
    // The other's bid at 59,990 holds; take it away by selling into it.
    assert_eq!(
        scene.world.order(
            &mut scene.other,
            "order.create",
            with(limit("Sell", "59950", "5"), "smpType", "CancelMaker")
        )["retCode"],
        0
    );
    scene.world.pass(1);
    scene.quote("59940", "60020");
    scene.world.pass(1);
    let all = scene.told();
    assert!(all.is_empty(), "nothing has traded there yet: {all:?}");
    scene.create(with(limit("Buy", "59950", "0.001"), "timeInForce", "IOC"));
    let all = scene.told();
    assert!(all.iter().any(|(status, kind, _)| status == "Filled" && kind == "TrailingStop"), "{all:?}");
    assert_eq!(scene.position()["size"], "0");
}

#[test]
fn spot_orders_wait_under_their_filters() {
    let mut config = quiet();
    config.list_spot();
    let mut scene = Scene::with(config);
    let spot = |side: &str, px: &str, qty: &str| with(limit(side, px, qty), "category", "spot");
    for (side, px) in [("Buy", "59990"), ("Buy", "60000")] {
        assert_eq!(scene.world.order(&mut scene.other, "order.create", spot(side, px, "0.1"))["retCode"], 0);
    }
    let no_coins = scene.world.order(&mut scene.mine, "order.create", spot("Sell", "60000", "0.05"));
    assert_eq!(no_coins["retCode"], 170_131, "there is nothing to sell");
    let waiting = with(spot("Buy", "60100", "0.01"), "triggerPrice", "60050");
    assert_eq!(scene.code("order.create", waiting.clone()), 10_001, "a filter is needed");
    scene.create(with(waiting.clone(), "orderFilter", "StopOrder"));
    scene.create(with(waiting, "orderFilter", "tpslOrder"));
    let listed = |scene: &mut Scene, filter: &str| {
        let query = format!("category=spot&symbol=BTCUSDT{filter}");
        let answer = scene.world.get("/v5/order/realtime", &query);
        answer["result"]["list"]
            .as_array()
            .unwrap()
            .iter()
            .map(|order| order["stopOrderType"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(&mut scene, ""), ["tpslOrder", "Stop"]);
    assert_eq!(listed(&mut scene, "&orderFilter=tpslOrder"), ["tpslOrder"]);
    let cancelled = scene.world.post("/v5/order/cancel-all", json!({"category": "spot", "symbol": "BTCUSDT"}));
    assert_eq!(cancelled["result"]["list"], json!([]), "only ordinary orders, unless it is said");
    let cancel = json!({"category": "spot", "symbol": "BTCUSDT", "orderFilter": "tpslOrder"});
    assert_eq!(scene.world.post("/v5/order/cancel-all", cancel)["result"]["list"].as_array().unwrap().len(), 1);
    assert_eq!(listed(&mut scene, ""), ["Stop"]);
}
