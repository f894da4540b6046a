//! A real capture played through the simulated venue, on virtual time: the clients' view, and trading against it.
//!
//! `TERCEL_CAPTURES` names the folder of captures, `../shared/captures` otherwise; a missing file is a line `SKIPPED`.

use std::path::{Path, PathBuf};

use ring::hmac;
use serde_json::json;
use tercel::{
    net::{ClientState, Message, WsClient, WsLimits, WsUrl},
    simex::{AccountConfig, FeedConfig, ListingConfig, SimexConfig, SimexHub, load_capture},
    types::{Event, InstrumentId, InstrumentSpec, InstrumentTable, Nanos, Product, Side, Step, Symbol, VenueId},
    venue::{Arrival, FeedConfig as Decode, MarketFeed},
};

fn capture(name: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("TERCEL_CAPTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures")).to_path_buf(),
    };
    let path = folder.join(format!("{name}.jsonl.gz"));
    if !path.exists() {
        eprintln!("SKIPPED: {name}: no such capture in {}", folder.display());
        return None;
    }
    Some(path)
}

fn specs() -> Vec<InstrumentSpec> {
    let spec = |(symbol, tick, lot): (&str, &str, &str)| {
        let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
        let symbol = Symbol::new(symbol.as_bytes()).unwrap();
        InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step(tick), step(lot)).unwrap()
    };
    [
        ("BTCUSDT", "0.1", "0.001"),
        ("ETHUSDT", "0.01", "0.01"),
        ("SOLUSDT", "0.01", "0.1"),
        ("DOGEUSDT", "0.00001", "1"),
        ("XRPUSDT", "0.0001", "0.1"),
    ]
    .into_iter()
    .map(spec)
    .collect()
}

/// A client that decodes and sequences what it is sent.
struct Follower {
    ws: WsClient,
    feed: MarketFeed,
    frames: usize,
}

impl Follower {
    fn open(hub: &mut SimexHub, now: Nanos, topics: &[String]) -> Self {
        let mut ws = open(hub, now, "/v5/public/linear");
        send(&mut ws, &json!({"op": "subscribe", "args": topics}));
        let table = InstrumentTable::new(specs()).unwrap();
        let feed = MarketFeed::new(VenueId::BYBIT, &table, Decode::default()).unwrap();
        Self { ws, feed, frames: 0 }
    }

    fn read(&mut self, now: Nanos) {
        let conn = self.ws.conn().expect("nobody cuts a client that reads");
        while conn.fill().unwrap() > 0 {
            while let Some(message) = conn.next_message().unwrap() {
                let Message::Text(text) = message else { continue };
                let arrival = Arrival { recv: now, framed_ns: 0 };
                let _ = self.feed.on_frame(text, arrival, || 0, &mut |_: &Event<'_>| {}); // its counters tell
                self.frames += usize::from(text.windows(9).any(|window| window == b"\"topic\":\""));
            }
        }
    }

    fn assert_whole(&self) {
        let counters = self.feed.counters();
        assert_eq!((counters.gaps, counters.decode_errors, counters.unknown_messages), (0, 0, 0), "{counters:?}");
        assert!(counters.books > 0);
    }
}

fn open(hub: &mut SimexHub, now: Nanos, path: &str) -> WsClient {
    let url = WsUrl::parse(&format!("ws://simulated{path}")).unwrap();
    let mut ws = WsClient::over(hub.connect(1 << 22, now), &url, WsLimits::default(), 1);
    while ws.poll() != ClientState::Open {
        hub.poll(now);
    }
    ws
}

fn send(ws: &mut WsClient, message: &serde_json::Value) {
    let conn = ws.conn().unwrap();
    conn.send_text(message.to_string().as_bytes()).unwrap();
    assert!(conn.flush().unwrap());
}

#[test]
fn a_real_capture_reaches_early_and_late_clients_whole_and_can_be_traded_against() {
    let Some(path) = capture("bybit/linear-20260809-4sym-ob200") else { return };
    let lines = load_capture(&path).unwrap();
    let mut topics: Vec<String> = Vec::new();
    for line in &lines {
        let topic = line.raw.split("\"topic\":\"").nth(1).and_then(|rest| rest.split('"').next());
        if let Some(topic) = topic.filter(|topic| !topics.iter().any(|known| known == topic)) {
            topics.push(topic.to_owned());
        }
    }
    let count = lines.iter().filter(|line| line.raw.contains("\"topic\":\"")).count();
    let listing = |spec| ListingConfig {
        spec,
        start_px: Default::default(),
        unit: Default::default(),
        ticks_per_second: 0,
        profile: Default::default(),
    };
    let config = SimexConfig {
        listings: specs().into_iter().map(listing).collect(),
        feed: FeedConfig::Capture { lines, speed_percent: 100, repeat: false },
        accounts: vec![AccountConfig { api_key: "key".into(), api_secret: "secret".into(), ..Default::default() }],
        orders_per_second: 1_000,
        ..SimexConfig::default()
    };
    let start = 1_790_000_000_000u64;
    let mut now = Nanos::from_millis(start);
    let mut hub = SimexHub::new(config, now);
    let mut early = Follower::open(&mut hub, now, &topics);
    let mut trade = open(&mut hub, now, "/v5/trade");
    let expires = start + 1_000;
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
    let tag = hmac::sign(&key, format!("GET/realtime{expires}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    send(&mut trade, &json!({"op": "auth", "args": ["key", expires, hex]}));

    let mut late = None;
    let mut step = 0u64;
    while !hub.simex().is_feed_finished() {
        step += 1;
        now = now.saturating_add(5_000_000);
        hub.poll(now);
        early.read(now);
        if step == 4_000 {
            late = Some(Follower::open(&mut hub, now, &topics));
        }
        if let Some(late) = &mut late {
            late.read(now);
        }
        // Every half second an order at the touch, every other one crossing it.
        if step.is_multiple_of(100) {
            let id = InstrumentId(((step / 100) % 4) as u16);
            let side = Side::from_bit((step / 200) as u8);
            let market = hub.simex().venue().market(id).unwrap();
            let best = if step.is_multiple_of(200) { market.best(side) } else { market.best(side.opposite()) };
            if let (Some(best), Some(spec)) = (best, hub.simex().venue().spec(id)) {
                let order = json!({
                    "category": "linear", "symbol": spec.symbol.as_str(), "orderType": "Limit",
                    "side": if side == Side::Bid { "Buy" } else { "Sell" },
                    "price": spec.tick.text(best.px.get()), "qty": spec.lot.text(10),
                });
                let header = json!({"X-BAPI-TIMESTAMP": now.as_millis().to_string()});
                send(&mut trade, &json!({"op": "order.create", "header": header, "args": [order]}));
            }
        }
        assert!(step < 20_000, "the capture ends after 42 seconds");
    }
    hub.poll(now);
    early.read(now);
    early.assert_whole();
    let mut late = late.expect("the capture lasts longer than 20 seconds");
    late.read(now);
    late.assert_whole();
    assert_eq!(early.frames, count, "every frame, in order, once");
    assert_eq!(hub.simex().undecoded_frames(), 0);
    hub.simex().venue().assert_invariants();
    let report = hub.simex().report();
    assert_eq!(report.connections_cut, 0);
    assert!(report.accounts[0].fills > 20, "{report:?}");
    let makers = hub.simex().venue().executions().filter(|execution| execution.is_maker).count();
    eprintln!("{} fills, {makers} of them resting, {:?}", report.accounts[0].fills, report.accounts[0].orders);
}
