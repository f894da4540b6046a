//! Every example message of the venue's fact sheet decodes to what it says.
//!
//! `TERCEL_VENUE_FACTS` names the sheet, `../shared/venues/bybit.md` otherwise; without it the test says `SKIPPED`. Each
//! example has a line in the table below: what it is recognised by, and what it must become. An example without a line fails
//! the test, and so does a line without an example.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use common::say;
use serde_json::Value;
use tercel::types::{Event, InstrumentSpec, InstrumentTable, Nanos, Product, Side, Step, Symbol, TimeInForce, VenueId};
use tercel::venue::bybit::encode::{subscribe, unsubscribe};
use tercel::venue::bybit::orders::{
    AmendOrder, Batch, CancelOrder, NewOrder, Number, OrderKey, OrderRequest, batch_items,
};
use tercel::venue::bybit::rest::{RestClient, RestConfig};
use tercel::venue::bybit::{CancelScope, PrivateDecoder, Secret, Signer};
use tercel::venue::{Arrival, FeedConfig, MarketFeed};

fn sheet() -> Option<String> {
    let path = match std::env::var_os("TERCEL_VENUE_FACTS") {
        Some(path) => PathBuf::from(path),
        None => Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/venues/bybit.md")).to_path_buf(),
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            say(&format!("SKIPPED: {}: {error}", path.display()));
            None
        }
    }
}

/// The lines of every block marked as JSON.
fn examples(sheet: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut is_inside = false;
    for line in sheet.lines() {
        match line.trim() {
            "```json" => is_inside = true,
            "```" => is_inside = false,
            "" => {}
            line if is_inside => out.push(line.to_owned()),
            _ => {}
        }
    }
    out
}

/// The instruments of the examples, each with steps that its numbers fit.
fn table(product: Product) -> InstrumentTable {
    let spec = |symbol: &str, tick: &str, lot: &str| {
        let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
        let symbol = Symbol::new(symbol.as_bytes()).unwrap();
        InstrumentSpec::new(VenueId::BYBIT, symbol, product, step(tick), step(lot)).unwrap()
    };
    InstrumentTable::new(match product {
        Product::Linear => vec![
            spec("BTCUSDT", "0.01", "0.001"),
            spec("ICPUSDT", "0.001", "1"),
            spec("ETHUSDT", "0.01", "0.01"),
            spec("ETHPERP", "0.01", "0.1"),
            spec("ETH-30DEC22-1400-C", "0.5", "1"),
        ],
        Product::Inverse => vec![spec("BTCUSD", "0.5", "1")],
        _ => vec![spec("BTCUSDT", "0.01", "0.000001")],
    })
    .unwrap()
}

/// Events in words: the kind, and every field that the examples speak of.
fn words(table: &InstrumentTable, event: &Event<'_>) -> String {
    let spec = table.get(event.meta().instrument);
    let px = |px: tercel::types::Ticks| spec.map_or_else(String::new, |spec| spec.tick.text(px.get()));
    let qty = |qty: tercel::types::Lots| {
        let text = spec.map_or_else(String::new, |spec| spec.lot.text(qty.get().abs()));
        if qty.get() < 0 { format!("-{text}") } else { text }
    };
    let symbol = spec.map_or("", |spec| spec.symbol.as_str());
    match event {
        Event::Book(book) => {
            let side = |levels: &[tercel::types::Level]| {
                let first = levels.first().map_or_else(String::new, |it| format!("{} x {}", px(it.px), qty(it.qty)));
                format!("{} ({first})", levels.len())
            };
            format!(
                "{:?} {symbol} u {} seq {} bids {} asks {}",
                book.kind,
                book.meta.seq,
                book.cross_seq,
                side(book.bids),
                side(book.asks)
            )
        }
        Event::Trade(it) => format!("trade {symbol} {:?} {} x {}", it.taker, px(it.px), qty(it.qty)),
        Event::Top(it) => {
            let level =
                |level: Option<tercel::types::Level>| level.map(|it| format!("{} x {}", px(it.px), qty(it.qty)));
            format!("top {symbol} {:?} {:?}", level(it.bid), level(it.ask))
        }
        Event::Ticker(it) => format!(
            "ticker {symbol} mark {} index {} last {} funding {} at {}",
            it.mark_px,
            it.index_px,
            px(it.last_px),
            it.funding_rate,
            it.next_funding.as_millis()
        ),
        Event::Order(it) => format!(
            "order {symbol} {:?} {:?} {} x {} filled {} at {}",
            it.side,
            it.status,
            px(it.px),
            qty(it.qty),
            qty(it.filled),
            it.meta.venue_ts.as_millis()
        ),
        Event::Fill(it) => format!(
            "fill {symbol} {:?} {} x {} maker {} fee {} final {} id {:032x} at {}",
            it.side,
            px(it.px),
            qty(it.qty),
            it.is_maker,
            it.fee,
            it.is_fee_final,
            it.exec_id,
            it.meta.venue_ts.as_millis()
        ),
        Event::Position(it) => {
            format!("position {symbol} {} entry {} realised {}", qty(it.qty), it.entry_px, it.realised)
        }
        Event::Balance(it) => format!("balance {} available {}", it.wallet, it.available),
        Event::BookStatus(it) => format!("{:?}", it.state),
        other => other.kind_name().to_owned(),
    }
}

/// What the public decoder makes of messages of one connection.
fn market(product: Product, depth: u16, messages: &[&str]) -> Vec<String> {
    let table = table(product);
    let config = FeedConfig { book_depth: Some(depth), assume_empty: false };
    let mut feed = MarketFeed::new(VenueId::BYBIT, &table, config).unwrap();
    let mut out = Vec::new();
    for message in messages {
        let arrival = Arrival { recv: Nanos::from_millis(1), framed_ns: 0 };
        let mut sink = |event: &Event<'_>| out.push(words(&table, event));
        let kind = feed.on_frame(message.as_bytes(), arrival, || 0, &mut sink);
        out.push(format!("= {:?}", kind.unwrap_or_else(|error| panic!("{error}: {message}"))));
    }
    out
}

/// What the private decoder makes of one message.
fn private(message: &str, settle_coin: &str) -> Vec<String> {
    let table = table(Product::Linear);
    let mut decoder = PrivateDecoder::new(&table, 42, settle_coin);
    let mut out = Vec::new();
    let arrival = Arrival { recv: Nanos::from_millis(1), framed_ns: 0 };
    let mut sink = |event: &Event<'_>| out.push(words(&table, event));
    let kind = decoder.on_frame(message.as_bytes(), arrival, || 0, &mut sink);
    out.push(format!("= {:?}", kind.unwrap_or_else(|error| panic!("{error}: {message}"))));
    out
}

/// A client whose next answer is `body`.
fn answered(body: &str) -> RestClient {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // A cursor of the example leads to a page that is not in it: the second answer has no list items.
    let last = r#"{"retCode":0,"retMsg":"OK","result":{"list":[],"nextPageCursor":""},"retExtInfo":{},"time":1}"#;
    let bodies = [body.to_owned(), last.to_owned()];
    std::thread::spawn(move || {
        for body in bodies {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let _ = stream.read(&mut [0; 8192]);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(head.as_bytes());
        }
    });
    let secret = Some(Secret::new("secret"));
    RestClient::new(RestConfig { api_key: "key".into(), secret, ..RestConfig::new(&url) }).unwrap()
}

fn number(value: &Value) -> Number {
    Number::parse(value.as_str().unwrap()).unwrap()
}

/// Whether our own request says everything that the example's says, except what only the example's author knows.
fn assert_same_order(ours: &str, example: &Value, allowed_more: &[&str]) {
    let ours: Value = serde_json::from_str(ours).unwrap();
    for (name, value) in example.as_object().unwrap() {
        assert_eq!(&ours[name], value, "{name}");
    }
    for (name, _) in ours.as_object().unwrap() {
        assert!(example.get(name).is_some() || allowed_more.contains(&name.as_str()), "{name}");
    }
}

fn ours(order: &Value) -> NewOrder<'_> {
    let text = |name: &str| order[name].as_str().unwrap_or("");
    let side = if text("side") == "Buy" { Side::Bid } else { Side::Ask };
    let (px, qty) = (number(&order["price"]), number(&order["qty"]));
    let tif = if text("timeInForce") == "PostOnly" { TimeInForce::PostOnly } else { TimeInForce::GoodTillCancel };
    NewOrder { tif, ..NewOrder::post_only(Product::Linear, text("symbol"), side, px, qty, text("orderLinkId")) }
}

/// What an example is recognised by, and what must come of it.
type Line = (&'static str, fn(&str));

const TABLE: &[Line] = &[
    (r#"{"req_id":"test","op":"subscribe""#, |text| {
        let topics = ["orderbook.1.BTCUSDT", "publicTrade.BTCUSDT", "orderbook.1.ETHUSDT"].map(str::to_owned);
        let ours = subscribe(&topics, Product::Linear).unwrap();
        assert_eq!(ours.len(), 1);
        assert_same_order(&ours[0].replace("{\"op\"", "{\"req_id\":\"test\",\"op\""), &parsed(text), &[]);
    }),
    (r#"{"op":"unsubscribe""#, |text| {
        let ours = unsubscribe(&["publicTrade.ETHUSD".to_owned()], Product::Inverse).unwrap();
        let ours = ours[0].replace("{\"op\"", "{\"req_id\":\"customised_id\",\"op\"");
        assert_same_order(&ours, &parsed(text), &[]);
    }),
    (r#""op":"auth","args":["api_key""#, |text| {
        let ours: Value =
            serde_json::from_str(&Signer::new(&Secret::new("x")).auth_message("api_key", 1_662_350_400_000)).unwrap();
        let example = parsed(text);
        assert_eq!(ours["op"], example["op"]);
        assert_eq!((&ours["args"][0], &ours["args"][1]), (&example["args"][0], &example["args"][1]));
        assert_eq!(ours["args"].as_array().unwrap().len(), 3);
    }),
    (r#""type":"snapshot","ts":1672304484978"#, |text| {
        let found = market(Product::Linear, 50, &[text]);
        let want = "Snapshot BTCUSDT u 18521288 seq 7961638724 bids 2 (16493.50 x 0.006) asks 2 (16611.00 x 0.029)";
        assert!(found.contains(&want.to_owned()) && found.contains(&"Live".to_owned()), "{found:?}");
    }),
    (r#""type":"delta","ts":1687940967466"#, |text| {
        // A change needs the book before it: one that ends right before.
        let before = r#"{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1,"data":{"s":"BTCUSDT","b":[["30240.00","1"]],"a":[["30248.70","1"]],"u":177400506,"seq":66544703341},"cts":1}"#;
        let found = market(Product::Linear, 50, &[before, text]);
        let want = "Delta BTCUSDT u 177400507 seq 66544703342 bids 5 (30247.20 x 30.028) asks 7 (30248.70 x 0.000)";
        assert!(found.contains(&want.to_owned()), "{found:?}");
    }),
    (r#""topic":"publicTrade.BTCUSDT""#, |text| {
        let found = market(Product::Linear, 50, &[text]);
        assert!(found.contains(&"trade BTCUSDT Bid 16578.50 x 0.001".to_owned()), "{found:?}");
    }),
    (r#"{"topic":"tickers.BTCUSDT","type":"snapshot""#, |text| {
        let found = market(Product::Linear, 50, &[text]);
        let want = "ticker BTCUSDT mark 66666.6 index 115418.19 last 66666.60 funding -0.005 at 1760342400000";
        assert!(found.iter().any(|it| it == want), "{found:?}");
        let top = r#"top BTCUSDT Some("66666.60 x 23789.165") Some("66666.70 x 23775.469")"#;
        assert!(found.iter().any(|it| it == top), "{found:?}");
    }),
    (r#"{"topic":"tickers.BTCUSDT","ts":1673853746003"#, |text| {
        let found = market(Product::Spot, 50, &[text]);
        assert!(found.iter().any(|it| it.starts_with("ticker BTCUSDT") && it.contains("last 21109.77")), "{found:?}");
        assert!(!found.iter().any(|it| it.starts_with("top")), "spot's ticker has no best prices: {found:?}");
    }),
    (r#""topic":"kline.5.BTCUSDT""#, |text| {
        assert_eq!(market(Product::Linear, 50, &[text]), ["= Ignored(Kline)"]);
    }),
    (r#""topic":"allLiquidation.ROSEUSDT""#, |text| {
        assert_eq!(market(Product::Linear, 50, &[text]), ["= Ignored(Liquidation)"]);
    }),
    (r#""topic":"order","creationTime":1672364262474"#, |text| {
        assert_eq!(
            private(text, "USDT"),
            ["order ETH-30DEC22-1400-C Ask Filled 72.5 x 1 filled 1 at 1672364262457", "= Orders"]
        );
    }),
    (r#"{"topic":"execution","id""#, |text| {
        assert_eq!(
            private(text, "USDT"),
            [
                "fill BTCUSDT Ask 95900.10 x 0.500 maker false fee 26.3725275 final true id 0ab1bdf74219438bb30a32ec863018f7 at 1746270400353",
                "= Fills"
            ]
        );
    }),
    (r#"{"topic":"execution.fast""#, |text| {
        let found = private(text, "USDT");
        let want = "fill ICPUSDT Ask 12.015 x 3000 maker false fee ";
        assert!(found[0].starts_with(want), "{found:?}");
        assert!(found[0].ends_with("final false id 3510f3610add5c7ba2e79679810944fc at 1716800399334"), "{found:?}");
    }),
    (r#""topic":"position""#, |text| {
        // A side of a hedged position: not one that the engine trades.
        assert_eq!(private(text, "USDT"), ["= Positions"]);
        let one_way = text.replace("\"positionIdx\":2", "\"positionIdx\":0");
        assert_eq!(private(&one_way, "USDT"), ["position BTCUSDT 0.000 entry 0 realised 1.26", "= Positions"]);
    }),
    (r#""topic":"wallet""#, |text| {
        assert_eq!(private(text, "BTC"), ["balance 0.00102964 available 9556.6056555", "= Wallet"]);
        assert_eq!(private(text, "USDT"), ["= Wallet"]);
    }),
    (r#""op":"order.create","args""#, |text| {
        let example = parsed(text);
        let request = OrderRequest::New(ours(&example["args"][0]));
        assert_same_order(&request.body(), &example["args"][0], &["positionIdx"]);
        let mut message: Value = serde_json::from_str(&request.message("test-005", 1_711_001_595_207, 8000)).unwrap();
        // The id of a broker is nobody's here.
        message["header"]["Referer"] = example["header"]["Referer"].clone();
        for name in ["reqId", "header", "op"] {
            assert_eq!(message[name], example[name], "{name}");
        }
    }),
    (r#""op":"order.create","data""#, |text| {
        // Its request id is not one of ours, nor is its order.
        assert_eq!(private(text, "USDT"), ["= UnmatchedReply { code: 0 }"]);
        let with_ours = text.replace("test-005", "c000000000000001f000100000000");
        assert_eq!(private(&with_ours, "USDT"), ["ack", "= Reply"]);
    }),
    (r#""op":"order.amend""#, |text| {
        let example = parsed(text);
        let order = &example["args"][0];
        let amend = AmendOrder {
            px: Some(number(&order["price"])),
            qty: Some(number(&order["qty"])),
            ..AmendOrder::of(Product::Linear, "ETHUSDT", OrderKey::Venue(order["orderId"].as_str().unwrap()))
        };
        assert_same_order(&OrderRequest::Amend(amend).body(), order, &[]);
    }),
    (r#""op":"order.cancel""#, |text| {
        let key = OrderKey::Link("my-1");
        let cancel = CancelOrder { product: Product::Linear, symbol: "ETHUSDT", key, filter: None };
        assert_same_order(&OrderRequest::Cancel(cancel).body(), &parsed(text)["args"][0], &[]);
    }),
    (r#"{"op":"order.create-batch""#, |text| {
        let example = parsed(text);
        let orders = example["args"][0]["request"].as_array().unwrap();
        let batch = Batch::new(orders.iter().map(|order| OrderRequest::New(ours(order))).collect()).unwrap();
        let body: Value = serde_json::from_str(&batch.body()).unwrap();
        assert_eq!(body["category"], example["args"][0]["category"]);
        for (ours, example) in body["request"].as_array().unwrap().iter().zip(orders) {
            assert_same_order(&ours.to_string(), example, &["positionIdx"]);
        }
    }),
    (r#""op":"order.create-batch","data""#, |text| {
        let items = batch_items(&parsed(text)).unwrap();
        let links: Vec<&str> = items.iter().map(|item| item.link_id.as_str()).collect();
        assert_eq!(links, ["batch-000", "batch-001", "batch-002"]);
        for item in &items {
            assert_eq!((item.code, item.message.as_str()), (10_001, "position idx not match position mode"));
        }
    }),
    (r#""orderId":"fd4300ae-7847-404e-b947-b46980a4d140""#, |text| {
        let table = table(Product::Linear);
        let mut decoder = PrivateDecoder::new(&table, 42, "USDT");
        let found = answered(text).open_orders(&mut decoder, Product::Linear, "USDT", 1).unwrap();
        let found: Vec<String> = found.iter().map(|order| words(&table, &Event::Order(*order))).collect();
        assert_eq!(found, ["order ETHUSDT Bid New 1600.00 x 0.10 filled 0.00 at 1684738540561"]);
    }),
    (r#""symbol":"ETHPERP","orderType":"Market""#, |text| {
        let table = table(Product::Linear);
        let mut decoder = PrivateDecoder::new(&table, 42, "USDT");
        let found = answered(text).executions(&mut decoder, Product::Linear, 1, 1).unwrap();
        let found: Vec<String> = found.iter().map(|fill| words(&table, &Event::Fill(*fill))).collect();
        assert_eq!(
            found,
            [
                "fill ETHPERP Bid 1190.15 x 0.1 maker false fee 0.071409 final true id e0cbe81d0f1858669415cf319b5dab3b at 1672282722429"
            ]
        );
    }),
    (r#""symbol":"BTCUSD","side":"Sell","size":"300""#, |text| {
        let table = table(Product::Inverse);
        let mut decoder = PrivateDecoder::new(&table, 42, "BTC");
        let found = answered(text).positions(&mut decoder, Product::Inverse, "BTC", 1).unwrap();
        let found: Vec<String> = found.iter().map(|it| words(&table, &Event::Position(*it))).collect();
        assert_eq!(found, ["position BTCUSD -300 entry 27464.50441675 realised 0.00013123"]);
    }),
    (r#""symbolId":5,"contractType":"LinearPerpetual""#, |text| {
        let found = answered(text).listings_of(Product::Linear, &["BTCUSDT"]).unwrap();
        let spec = found.found[0].spec;
        assert!(found.unusable.is_empty() && found.found.len() == 1);
        assert_eq!((spec.symbol.as_str(), spec.product), ("BTCUSDT", Product::Linear));
        assert_eq!((spec.tick.pico(), spec.lot.pico()), (100_000_000_000, 1_000_000_000));
        assert_eq!((spec.min_qty.get(), spec.max_qty.get()), (1, 1_190_000));
        assert_eq!((spec.min_notional.to_string().as_str(), spec.max_leverage_e2), ("5", 10_000));
    }),
    (r#""orderId":"1616024329462743808""#, |text| {
        let scope = CancelScope::everything(Product::Linear, "USDT");
        assert_eq!(answered(text).cancel_scope(&scope, 1).unwrap(), 2);
    }),
    (r#""result":{"s":"BTCUSDT","a":[["#, |text| {
        let book = answered(text).order_book(Product::Linear, "BTCUSDT", 1).unwrap();
        assert_eq!((&book["b"][0][0], &book["b"][0][1]), (&"65485.47".into(), &"47.081829".into()));
        assert_eq!((&book["a"][0][0], &book["a"][0][1]), (&"65557.7".into(), &"16.606555".into()));
        assert_eq!((book["u"].as_u64(), book["seq"].as_u64()), (Some(230_704), Some(1_432_604_333)));
    }),
];

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_example_of_the_fact_sheet_decodes_to_what_it_says() {
    let Some(sheet) = sheet() else { return };
    let examples = examples(&sheet);
    let mut used = vec![0; TABLE.len()];
    for example in &examples {
        let lines: Vec<usize> = (0..TABLE.len()).filter(|&idx| example.contains(TABLE[idx].0)).collect();
        let line = lines.iter().copied().max_by_key(|&idx| (example.starts_with(TABLE[idx].0), TABLE[idx].0.len()));
        let Some(line) = line else { panic!("an example without a line in the table: {example}") };
        used[line] += 1;
        TABLE[line].1(example);
    }
    for (count, (mark, _)) in used.iter().zip(TABLE) {
        assert_eq!(*count, 1, "examples recognised by {mark}");
    }
    say(&format!("{} examples of the fact sheet, all of them checked", examples.len()));
    assert_eq!(examples.len(), 27, "the sheet has changed: give the new examples a line");
}
