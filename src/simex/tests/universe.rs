//! Hundreds of instruments: what REST tells of them, and what they trade.

use super::*;

fn universe(count: usize, seed: u64) -> SimexConfig {
    let mut config = SimexConfig { conns_max: 64, ..SimexConfig::default() };
    config.accounts[0].api_key = "testkey".into();
    config.accounts[0].api_secret = "testsecret".into();
    config.list_universe(count, seed, 100);
    config.feed = FeedConfig::Population { seed };
    config
}

impl World {
    fn public(&mut self, target: &str) -> Value {
        self.raw_http(&format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).1
    }

    /// All pages of a listing.
    fn pages(&mut self, query: &str) -> (Vec<Value>, usize) {
        let (mut list, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = self.public(&format!("/v5/market/instruments-info?{query}&cursor={cursor}"));
            assert_eq!(page["retCode"], 0, "{page}");
            list.extend(page["result"]["list"].as_array().unwrap().clone());
            cursor = page["result"]["nextPageCursor"].as_str().unwrap().to_owned();
            pages += 1;
            if cursor.is_empty() {
                return (list, pages);
            }
        }
    }
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn five_hundred_instruments_are_listed_page_by_page() {
    let mut world = World::new(universe(500, 7));
    let (trading, pages) = world.pages("category=linear&limit=100");
    assert_eq!((trading.len(), pages), (480, 5));
    assert!(trading.iter().all(|listed| listed["status"] == "Trading"));
    let names: std::collections::BTreeSet<_> = trading.iter().map(|listed| listed["symbol"].to_string()).collect();
    assert_eq!(names.len(), 480);
    assert_eq!(world.pages("category=linear").1, 1, "500 is the default");
    assert_eq!(world.public("/v5/market/instruments-info?category=linear&limit=1001")["retCode"], 10_001);
    let (new, _) = world.pages("category=linear&status=PreLaunch");
    assert_eq!(new.len(), 10);
    assert!(new.iter().all(|listed| listed["isPreListing"] == true));
    let closed = world.pages("category=linear&status=Closed").0;
    assert_eq!(closed.len(), 5);
    let by_name =
        format!("/v5/market/instruments-info?category=linear&symbol={}", closed[0]["symbol"].as_str().unwrap());
    assert_eq!(world.public(&by_name)["result"]["list"][0]["status"], "Closed");
    let btc = world.pages("category=linear&baseCoin=BTC").0;
    assert_eq!((btc.len(), &btc[0]["symbol"]), (1, &json!("BTCUSDT")));
    let futures: Vec<_> = trading.iter().filter(|listed| listed["contractType"] == "LinearFutures").collect();
    assert_eq!(futures.len(), 10);
    assert!(futures.iter().all(|listed| listed["deliveryTime"] != "0" && listed["settleCoin"] == "USDT"));
}

#[test]
fn an_instrument_that_does_not_trade_takes_no_orders() {
    let mut world = World::new(universe(100, 7));
    for (status, code) in [("PreLaunch", 110_074), ("Delivering", 110_066), ("Closed", 110_066), ("Trading", 0)] {
        let listed = world.pages(&format!("category=linear&status={status}")).0[2.min(world_len(status))].clone();
        let (tick, lots) = (&listed["priceFilter"]["tickSize"], &listed["lotSizeFilter"]["maxOrderQty"]);
        let ticker = format!("/v5/market/tickers?category=linear&symbol={}", listed["symbol"].as_str().unwrap());
        let px = world.public(&ticker)["result"]["list"][0]["bid1Price"].as_str().map_or(tick.clone(), Value::from);
        let qty = &listed["lotSizeFilter"]["qtyStep"];
        let qty = if code == 0 {
            json!((number(qty) * (40.0 / number(qty) / number(&px)).ceil()).to_string())
        } else {
            lots.clone()
        };
        let order = json!({"category": "linear", "symbol": listed["symbol"], "side": "Buy", "orderType": "Limit", "price": px, "qty": qty});
        let answer = world.post("/v5/order/create", order);
        assert_eq!(answer["retCode"], code, "{status}: {answer}");
    }
}

fn world_len(status: &str) -> usize {
    if status == "Trading" { 2 } else { 0 }
}

#[test]
fn tickers_tell_what_the_markets_trade() {
    let mut world = World::new(universe(300, 11));
    let before = world.public("/v5/market/tickers?category=linear");
    let before = before["result"]["list"].as_array().unwrap().clone();
    assert_eq!(before.len(), 297, "all but the closed ones");
    let mut turnovers: Vec<f64> = before.iter().map(|ticker| number(&ticker["turnover24h"])).collect();
    turnovers.sort_by(f64::total_cmp);
    assert!(turnovers[150] > 1e5 && turnovers[296] > 1e8, "{} {}", turnovers[150], turnovers[296]);
    let seconds = 200;
    for _ in 0..seconds * 10 {
        world.now = world.now.saturating_add(100_000_000);
        world.hub.poll(world.now);
    }
    let (mut expected, mut traded, mut quiet) = (0.0, 0.0, 0);
    for ticker in &before {
        let id = world.hub.simex().venue().find(Product::Linear, ticker["symbol"].as_str().unwrap()).unwrap();
        let simex = world.hub.simex();
        let lot = simex.venue().spec(id).unwrap().lot;
        let volume = simex.config.listings[id.idx()].profile.thin.is_some().then(|| number(&ticker["volume24h"]));
        let Some(volume) = volume.filter(|_| simex.public.status(id) == ListingStatus::Trading) else { continue };
        // Expectation and outcome in days' worth, so that all instruments count alike.
        let live = simex.public.tape(id).unwrap().traded_since_opening().get();
        quiet += usize::from(live == 0);
        expected += f64::from(seconds) / 86_400.0;
        traded += lot.to_f64_lossy(live) / volume.max(1e-12);
        let (bid, ask) = (&ticker["bid1Price"], &ticker["ask1Price"]);
        assert!(number(bid) < number(ask), "{ticker}");
        assert!(number(&ticker["lowPrice24h"]) <= number(&ticker["lastPrice"]));
        assert!(number(&ticker["highPrice24h"]) >= number(&ticker["lastPrice"]));
    }
    assert!((0.8..1.25).contains(&(traded / expected)), "{traded} of {expected}");
    assert!((10..100).contains(&quiet), "some are all but dead: {quiet}");
    // So do the two with whole crowds.
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let candles = world.public(&format!("/v5/market/kline?category=linear&symbol={symbol}&interval=1&limit=1000"));
        let volumes: Vec<f64> =
            candles["result"]["list"].as_array().unwrap().iter().map(|candle| number(&candle[5])).collect();
        let (live, past) = (volumes[1..4].iter().sum::<f64>() / 3.0, volumes[4..].iter().sum::<f64>() / 996.0);
        assert!((0.5..2.0).contains(&(live / past)), "{symbol}: {live} a minute, {past} before");
    }
    // A ticker agrees with the candles.
    let symbol = before[20]["symbol"].as_str().unwrap();
    let ticker = world.public(&format!("/v5/market/tickers?category=linear&symbol={symbol}"));
    let candles = world.public(&format!("/v5/market/kline?category=linear&symbol={symbol}&interval=1&limit=1000"));
    let first = &candles["result"]["list"][0];
    assert_eq!(first[4], ticker["result"]["list"][0]["lastPrice"], "{first}");
}

#[test]
fn a_hundred_and_twenty_books_stream_without_a_gap() {
    let mut world = World::new(universe(500, 3));
    let symbols: Vec<String> = world
        .pages("category=linear")
        .0
        .iter()
        .take(120)
        .map(|listed| listed["symbol"].as_str().unwrap().to_owned())
        .collect();
    let mut client = world.ws("/v5/public/linear");
    for chunk in symbols.chunks(10) {
        let topics: Vec<String> = chunk
            .iter()
            .flat_map(|symbol| {
                ["orderbook.50.", "orderbook.1.", "publicTrade.", "tickers."].map(|family| format!("{family}{symbol}"))
            })
            .collect();
        client.send(&json!({"op": "subscribe", "args": topics}));
        world.hub.poll(world.now);
    }
    let mut last: std::collections::BTreeMap<String, u64> = Default::default();
    let mut messages = 0;
    for _ in 0..500 {
        world.pass(10);
        for message in client.all() {
            let Some(topic) = message["topic"].as_str() else {
                assert_eq!(message["success"], true, "{message}");
                continue;
            };
            messages += 1;
            if topic.starts_with("orderbook.50.") {
                let u = message["data"]["u"].as_u64().unwrap();
                match last.insert(topic.to_owned(), u) {
                    None => assert_eq!(message["type"], "snapshot"),
                    Some(before) => assert_eq!(u, before + 1, "{topic}"),
                }
            }
        }
    }
    assert_eq!(last.len(), 120, "every book had its snapshot");
    assert!((2_000..50_000).contains(&messages), "{messages} messages in 5 s");
}

#[test]
fn a_seed_gives_the_same_tickers() {
    let tickers = |seed| {
        let mut world = World::new(universe(200, seed));
        world.pass(500);
        world.public("/v5/market/tickers?category=linear")["result"].to_string()
    };
    assert_eq!(tickers(5), tickers(5));
    assert_ne!(tickers(5), tickers(6));
}
