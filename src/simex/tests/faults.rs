//! What each kind of fault does, seen from the client.

use super::*;
use crate::net::{CloseReason, HttpClient, HttpClientError, HttpResponse};

impl World {
    /// Plays a script from now on.
    fn script(&mut self, text: &str) {
        self.hub.set_faults(&text.parse().unwrap(), self.now);
        self.pass(1);
    }

    fn place(&mut self, trade: &mut Client, link: &str) -> Vec<Value> {
        self.request(trade, "order.create", with(limit("Buy", "60000.0", "0.010"), "orderLinkId", link))
    }

    fn cancel(&mut self, trade: &mut Client, link: &str) -> Vec<Value> {
        self.request(trade, "order.cancel", json!({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": link}))
    }

    /// As `order`, but an answer need not come.
    fn request(&mut self, trade: &mut Client, op: &str, body: Value) -> Vec<Value> {
        let header = json!({"X-BAPI-TIMESTAMP": self.now.as_millis().to_string(), "X-BAPI-RECV-WINDOW": "5000"});
        trade.send(&json!({"op": op, "header": header, "args": [body]}));
        self.pass(1);
        trade.all()
    }

    /// State of an order at the venue.
    fn state(&self, link: &str) -> Option<crate::types::OrderStatus> {
        let link = crate::sim::LinkId::new(link).unwrap();
        self.hub.simex().venue().find_link(AccountId(0), link).map(|order| order.status)
    }

    fn http(&mut self) -> HttpClient {
        let dialer = self.hub.dialer(1 << 16);
        HttpClient::over(dialer.dial().unwrap(), "simulated", 1 << 20)
    }

    /// Sends a signed query and waits up to a virtual second for its answer.
    fn query(
        &mut self,
        http: &mut HttpClient,
        path: &str,
        query: &str,
    ) -> Option<Result<HttpResponse, HttpClientError>> {
        let at = self.now.as_millis().to_string();
        let sign = auth::sign("testsecret", &format!("{at}testkey5000{query}"));
        let headers = [
            ("X-BAPI-API-KEY", "testkey"),
            ("X-BAPI-TIMESTAMP", at.as_str()),
            ("X-BAPI-RECV-WINDOW", "5000"),
            ("X-BAPI-SIGN", sign.as_str()),
        ];
        http.submit("GET", &format!("{path}?{query}"), &headers, b"").unwrap();
        for _ in 0..1_000 {
            if let Some(answer) = http.poll() {
                return Some(answer);
            }
            self.pass(1);
        }
        None
    }
}

fn codes(answers: &[Value]) -> Vec<i64> {
    answers.iter().filter_map(|answer| answer["retCode"].as_i64()).collect()
}

fn statuses(pushed: &[Value]) -> Vec<String> {
    let orders = pushed.iter().filter(|message| message["topic"] == "order");
    orders.map(|message| message["data"][0]["orderStatus"].as_str().unwrap().to_owned()).collect()
}

/// Whether a client sees its connection end.
fn is_closed(client: &mut Client) -> bool {
    let conn = client.ws.conn().unwrap();
    loop {
        match conn.fill() {
            Err(_) => return true,
            Ok(0) => return false,
            Ok(_) => loop {
                match conn.next_message() {
                    Ok(Some(Message::Close { .. })) => return true,
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return true,
                }
            },
        }
    }
}

#[test]
fn messages_are_dropped_repeated_delayed_swapped_and_corrupted() {
    use crate::types::OrderStatus::New;
    let setup = |script: &str| {
        let mut world = World::new(quiet());
        let private = world.private(&["order", "wallet"]);
        let trade = world.trade("testkey", "testsecret");
        world.script(script);
        (world, private, trade)
    };
    let (mut world, mut private, mut trade) = setup("at 0s drop private order");
    assert_eq!(codes(&world.place(&mut trade, "a")), [0]);
    assert_eq!((statuses(&private.all()), world.state("a")), (vec![], Some(New)), "lost, but true at the venue");
    assert_eq!(world.hub.simex().faults_fired()["drop private order"], 1);
    world.cancel(&mut trade, "a");
    assert_eq!(statuses(&private.all()), ["Cancelled"], "once means once");

    let (mut world, mut private, mut trade) = setup("at 0s duplicate private order 200ms");
    world.place(&mut trade, "a");
    assert_eq!(statuses(&private.all()), ["New"]);
    world.pass(250);
    assert_eq!(statuses(&private.all()), ["New"]);

    let (mut world, mut private, mut trade) = setup("at 0s delay private order 300ms");
    world.place(&mut trade, "a");
    world.pass(290);
    assert_eq!(statuses(&private.all()), [""; 0]);
    world.pass(20);
    assert_eq!(statuses(&private.all()), ["New"]);

    let (mut world, mut private, mut trade) = setup("at 0s reorder private order");
    world.place(&mut trade, "a");
    world.cancel(&mut trade, "a");
    assert_eq!(statuses(&private.all()), ["Cancelled", "New"]);

    let (mut world, mut private, mut trade) = setup("at 0s corrupt private order");
    world.place(&mut trade, "a");
    let texts = private.texts();
    assert!(texts.iter().all(|text| serde_json::from_str::<Value>(text).is_err()), "{texts:?}");
    assert!(texts[0].contains("\"topic\":\"order\""));

    let (mut world, mut private, mut trade) = setup("at 0s for 1s silence private");
    world.place(&mut trade, "a");
    private.send(&json!({"op": "ping"}));
    world.pass(1);
    let heard = private.all();
    assert_eq!((heard.len(), &heard[0]["op"]), (1, &json!("pong")), "{heard:?}");
    world.pass(1_100);
    world.cancel(&mut trade, "a");
    assert_eq!(statuses(&private.all()), ["Cancelled"]);
}

#[test]
fn requests_are_lost_held_refused_and_done_in_doubt() {
    use crate::types::OrderStatus::{Cancelled, New};
    let after = |script: &str| {
        let mut world = World::new(quiet());
        let mut trade = world.trade("testkey", "testsecret");
        world.script(script);
        let answers = world.place(&mut trade, "a");
        (world, trade, codes(&answers))
    };
    let (world, _, found) = after("at 0s lose order");
    assert_eq!((found, world.state("a")), (vec![], None));
    let (world, _, found) = after("at 0s refuse order 110007");
    assert_eq!((found, world.state("a")), (vec![110_007], None));
    let (world, _, found) = after("at 0s doubt order 10000");
    assert_eq!((found, world.state("a")), (vec![10_000], Some(New)));
    let (world, _, found) = after("at 0s drop trade order");
    assert_eq!((found, world.state("a")), (vec![], Some(New)));
    let (world, _, found) = after("at 0s for 1s restart trade");
    assert_eq!((found, world.state("a")), (vec![10_019], None));

    let (mut world, mut trade, found) = after("at 0s hold order 2s");
    assert_eq!((found, world.state("a")), (vec![], None));
    world.pass(2_010);
    assert_eq!((codes(&trade.all()), world.state("a")), (vec![0], Some(New)));
    let (mut world, mut trade, _) = after("at 0s hold order 5.5s");
    world.pass(5_600);
    assert_eq!((codes(&trade.all()), world.state("a")), (vec![10_002], None), "older than its window");

    for (script, state, is_found) in
        [("at 0s cut trade mid-order", None, false), ("at 0s cut trade after-order", Some(New), true)]
    {
        let mut world = World::new(quiet());
        let mut trade = world.trade("testkey", "testsecret");
        world.script(script);
        let header = json!({"X-BAPI-TIMESTAMP": world.now.as_millis().to_string()});
        let body = with(limit("Buy", "60000.0", "0.010"), "orderLinkId", "a");
        trade.send(&json!({"op": "order.create", "header": header, "args": [body]}));
        world.pass(2);
        assert!(is_closed(&mut trade), "{script}");
        assert_eq!((world.state("a"), world.state("a").is_some()), (state, is_found), "{script}");
    }

    let (mut world, mut trade, found) = after("at 0s refuse cancel 110001");
    assert_eq!((found, world.state("a")), (vec![0], Some(New)));
    let cancel = json!({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a"});
    assert_eq!(world.order(&mut trade, "order.cancel", cancel.clone())["retCode"], 110_001);
    assert_eq!(world.state("a"), Some(New), "said to be unknown, and alive");
    assert_eq!(world.order(&mut trade, "order.cancel", cancel)["retCode"], 0);
    assert_eq!(world.state("a"), Some(Cancelled));
}

#[test]
fn a_cancellation_loses_the_race_against_a_fill() {
    for (word, code, expected) in
        [("fill-first", 110_001, vec!["Filled"]), ("filled-twice", 0, vec!["Filled", "Filled"])]
    {
        let mut world = World::new(quiet());
        let mut private = world.private(&["order"]);
        let mut mine = world.trade("testkey", "testsecret");
        let mut theirs = world.trade("other", "othersecret");
        // Someone stands before us and is filled as well: the crowd pays the way to our price.
        world.order(&mut theirs, "order.create", limit("Buy", "60010.0", "0.020"));
        world.place(&mut mine, "a");
        private.all();
        world.script(&format!("at 0s race {word}"));
        let cancel = json!({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a"});
        assert_eq!(world.order(&mut mine, "order.cancel", cancel)["retCode"], code, "{word}");
        let pushed = private.all();
        assert_eq!(statuses(&pushed), expected, "{word}");
        if word == "filled-twice" {
            let last = &pushed.last().unwrap()["data"][0];
            assert_eq!(
                (&last["cancelType"], &last["rejectReason"]),
                (&json!("CancelByUser"), &json!("EC_OrigClOrdIDDoesNotExist"))
            );
        }
        assert_eq!(world.hub.simex().report().accounts[0].positions[0].qty, "0.010");
        world.hub.simex().venue().assert_invariants();
    }
}

#[test]
fn a_repriced_order_rests_where_the_venue_put_it() {
    let mut world = World::new(quiet());
    let mut private = world.private(&["order"]);
    let mut trade = world.trade("testkey", "testsecret");
    world.script("at 0s reprice 3ticks");
    world.place(&mut trade, "a");
    assert_eq!(private.all()[0]["data"][0]["price"], "59999.7");
    world.place(&mut trade, "b");
    let order = limit("Sell", "61000.0", "0.010");
    world.order(&mut trade, "order.create", order);
    assert_eq!(private.all().last().unwrap()["data"][0]["price"], "61000.0", "once");
}

#[test]
fn connections_break_stall_and_go_deaf() {
    let mut world = World::new(quiet());
    let mut trade = world.trade("testkey", "testsecret");
    let mut private = world.private(&["order"]);
    world.script("at 0s cut private\nat 1s kick trade");
    world.pass(2);
    assert!(is_closed(&mut private) && !is_closed(&mut trade));
    world.pass(1_000);
    assert!(is_closed(&mut trade));

    let mut trade = world.trade("testkey", "testsecret");
    world.script("at 0s cut trade mid-frame");
    trade.send(&json!({"op": "ping"}));
    world.pass(2);
    let conn = trade.ws.conn().unwrap();
    assert!(conn.fill().unwrap() > 2, "half of the answer came");
    assert_eq!(conn.next_message().unwrap(), None);
    assert!(conn.fill().is_err());

    let mut trade = world.trade("testkey", "testsecret");
    world.script("at 0s for 500ms stall trade");
    assert_eq!(world.place(&mut trade, "s"), Vec::<Value>::new());
    assert_eq!(world.state("s"), None);
    world.pass(600);
    assert_eq!(codes(&trade.all()), [0], "everything at once");
    assert!(world.state("s").is_some());

    let mut trade = world.trade("testkey", "testsecret");
    world.script("at 0s for 2s half-open trade");
    assert_eq!(world.place(&mut trade, "h"), Vec::<Value>::new());
    world.pass(1_000);
    assert!(!is_closed(&mut trade) && world.state("h").is_none());
    world.pass(1_010);
    assert!(is_closed(&mut trade));
}

#[test]
fn a_ban_closes_everything_and_refuses_what_comes() {
    let mut world = World::new(quiet());
    let mut private = world.private(&["order"]);
    world.script("at 0s for 2s ban");
    world.pass(1);
    assert!(is_closed(&mut private));
    let mut http = world.http();
    let answer = world.query(&mut http, "/v5/order/realtime", "category=linear&symbol=BTCUSDT").unwrap().unwrap();
    assert_eq!(answer.status, 403);
    let dialer = world.hub.dialer(1 << 16);
    let url = WsUrl::parse("ws://simulated/v5/private").unwrap();
    let mut refused = WsClient::over(dialer.dial().unwrap(), &url, WsLimits::default(), 1);
    for _ in 0..5 {
        refused.poll();
        world.pass(1);
    }
    assert!(matches!(refused.state(), ClientState::Closed(CloseReason::Http(_))), "{:?}", refused.state());
    world.pass(2_000);
    let answer = world.query(&mut http, "/v5/order/realtime", "category=linear&symbol=BTCUSDT").unwrap().unwrap();
    assert_eq!(answer.status, 200);
}

#[test]
fn queries_fail_in_every_way() {
    let ask = |script: &str| {
        let mut world = World::new(quiet());
        world.script(script);
        let mut http = world.http();
        world.query(&mut http, "/v5/order/realtime", "category=linear&symbol=BTCUSDT")
    };
    let body = |answer: HttpResponse| serde_json::from_slice::<Value>(&answer.body);
    assert_eq!(body(ask("").unwrap().unwrap()).unwrap()["retCode"], 0);
    assert_eq!(ask("at 0s http 503").unwrap().unwrap().status, 503);
    assert_eq!(body(ask("at 0s refuse rest 10016").unwrap().unwrap()).unwrap()["retCode"], 10_016);
    assert!(body(ask("at 0s corrupt rest").unwrap().unwrap()).is_err());
    assert_eq!(ask("at 0s lose rest"), None);
    assert_eq!(ask("at 0s drop rest"), None);
    for script in ["at 0s cut rest mid-frame", "at 0s cut rest mid-rest", "at 0s cut rest after-rest"] {
        assert_eq!(ask(script), Some(Err(HttpClientError::Ended)), "{script}");
    }
}

#[test]
fn what_is_told_of_closed_orders_depends_on_where_one_asks() {
    let mut world = World::new(quiet());
    let mut trade = world.trade("testkey", "testsecret");
    world.place(&mut trade, "closed");
    let cancel = json!({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "closed"});
    world.order(&mut trade, "order.cancel", cancel);
    world.order(&mut trade, "order.create", with(limit("Buy", "59000.0", "0.010"), "orderLinkId", "open"));
    let found = |world: &mut World, path: &str, link: &str| {
        let query = format!("category=linear&orderLinkId={link}");
        let answer = world.get(path, &query);
        assert!(answer["time"].is_u64(), "every answer tells the venue's time: {answer}");
        answer["result"]["list"].as_array().unwrap().len()
    };
    let (realtime, history) = ("/v5/order/realtime", "/v5/order/history");
    assert_eq!((found(&mut world, realtime, "closed"), found(&mut world, history, "closed")), (1, 1));
    world.script("at 0s restart venue");
    world.pass(1);
    assert_eq!((found(&mut world, realtime, "closed"), found(&mut world, history, "closed")), (0, 1));
    assert_eq!((found(&mut world, realtime, "open"), found(&mut world, history, "open")), (1, 0));
}

#[test]
fn books_are_sent_anew() {
    let mut world = World::new(SimexConfig::default());
    let mut public = world.ws("/v5/public/linear");
    public.send(&json!({"op": "subscribe", "args": ["orderbook.50.BTCUSDT"]}));
    world.pass(100);
    let frames = |public: &mut Client| -> Vec<(String, u64)> {
        let all = public.all();
        let books = all.iter().filter(|message| message["topic"] == "orderbook.50.BTCUSDT");
        books.map(|book| (book["type"].as_str().unwrap().to_owned(), book["data"]["u"].as_u64().unwrap())).collect()
    };
    let last = frames(&mut public).last().unwrap().1;
    world.script("at 10ms snapshot book\nat 500ms restart book");
    world.pass(400);
    let seen = frames(&mut public);
    assert!(seen.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1) && seen[0].1 == last + 1, "{seen:?}");
    assert_eq!(seen.iter().filter(|(kind, _)| kind == "snapshot").count(), 1);
    world.pass(400);
    let seen = frames(&mut public);
    let at = seen.iter().position(|(kind, _)| kind == "snapshot").unwrap();
    assert_eq!(seen[at].1, 1);
    assert_eq!(seen[at + 1], ("delta".to_owned(), 2));
}
