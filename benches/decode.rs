//! Market messages → events: ours beside a `simd-json` tape and typed `serde_json`.
//!
//! Each group times one family of messages, in the order in which they came, over and over. `baseline` only reads the
//! bytes. `ours` decodes, checks the sequence and hands the events on. `simd_json_tape` parses alone: no number is read
//! from a text, nothing is checked. `serde_json_typed` reads the texts into structs and turns them into ticks and lots.
//! Real captures are used if `TERCEL_CAPTURES` (or `../shared/captures`) has them, generated ones otherwise.

#![allow(missing_docs, reason = "criterion writes functions of its own")]

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use tercel::journal::synthetic::{SyntheticConfig, generate, sidecar};
use tercel::journal::{CaptureMeta, ClockKind, InstrumentMeta, load};
use tercel::types::{
    ClientOrderId, Command, CommandKind, CommandStamps, Event, InstrumentId, InstrumentTable, Lots, Nanos, Side, Step,
    Ticks, TimeInForce, VenueId,
};
use tercel::venue::bybit::{ORDER_BYTES_MAX, OrderEncoder};
use tercel::venue::{Arrival, FeedConfig, MarketFeed};

/// Most messages of one family that are timed; a few thousand lie in the caches about as a busy minute does.
const MESSAGES_MAX: usize = 4_000;

struct Family {
    name: &'static str,
    venue: VenueId,
    /// Capture, its only symbols with tick and lot.
    capture: &'static str,
    instruments: &'static [(&'static str, &'static str, &'static str)],
    /// What all of its messages hold.
    mark: &'static str,
    typed: fn(&[u8], Step, Step) -> i64,
}

const BTC_USDM: &[(&str, &str, &str)] = &[("BTCUSDT", "0.10", "0.001")];
const BTC_SPOT: &[(&str, &str, &str)] = &[("BTCUSDT", "0.01", "0.00000001")];
const FOUR: &[(&str, &str, &str)] = &[
    ("BTCUSDT", "0.10", "0.001"),
    ("ETHUSDT", "0.01", "0.01"),
    ("SOLUSDT", "0.010", "0.1"),
    ("DOGEUSDT", "0.00001", "1"),
];

const FAMILIES: [Family; 8] = [
    Family {
        name: "binance_usdm/depth",
        venue: VenueId::BINANCE_USDM,
        capture: "binance-usdm/20240808-btcusdt",
        instruments: BTC_USDM,
        mark: "\"depthUpdate\"",
        typed: typed::binance_depth,
    },
    Family {
        name: "binance_usdm/book_ticker",
        venue: VenueId::BINANCE_USDM,
        capture: "binance-usdm/20240808-btcusdt",
        instruments: BTC_USDM,
        mark: "@bookTicker\"",
        typed: typed::binance_top,
    },
    Family {
        name: "binance_usdm/trade",
        venue: VenueId::BINANCE_USDM,
        capture: "binance-usdm/20240808-btcusdt",
        instruments: BTC_USDM,
        mark: "@trade\"",
        typed: typed::binance_trade,
    },
    Family {
        name: "binance_spot/trade",
        venue: VenueId::BINANCE_SPOT,
        capture: "binance-spot/20240808-btcusdt",
        instruments: BTC_SPOT,
        mark: "@trade\"",
        typed: typed::binance_trade,
    },
    Family {
        name: "binance_spot/depth",
        venue: VenueId::BINANCE_SPOT,
        capture: "binance-spot/20240808-btcusdt",
        instruments: BTC_SPOT,
        mark: "\"depthUpdate\"",
        typed: typed::binance_depth,
    },
    Family {
        name: "bybit/book_200",
        venue: VenueId::BYBIT,
        capture: "bybit/linear-20260809-4sym-ob200",
        instruments: FOUR,
        mark: "\"orderbook.200.",
        typed: typed::bybit_book,
    },
    Family {
        name: "bybit/trade",
        venue: VenueId::BYBIT,
        capture: "bybit/linear-20260809-4sym-ob200",
        instruments: FOUR,
        mark: "\"publicTrade.",
        typed: typed::bybit_trades,
    },
    Family {
        name: "bybit/ticker",
        venue: VenueId::BYBIT,
        capture: "bybit/linear-20260809-4sym-ob200",
        instruments: FOUR,
        mark: "\"tickers.",
        typed: typed::bybit_ticker,
    },
];

/// The same messages through `serde_json`, into what a careful client would write. Each returns a sum over the numbers that
/// it read, to compare with ours.
mod typed {
    use super::*;

    type Rows<'a> = Vec<(&'a str, &'a str)>;

    #[derive(Deserialize)]
    struct Wrapped<T> {
        data: T,
    }

    #[derive(Deserialize)]
    #[allow(non_snake_case, dead_code)]
    struct Depth<'a> {
        E: u64,
        #[serde(default)]
        T: u64,
        s: &'a str,
        U: u64,
        u: u64,
        #[serde(default)]
        pu: u64,
        #[serde(borrow)]
        b: Rows<'a>,
        a: Rows<'a>,
    }

    #[derive(Deserialize)]
    #[allow(non_snake_case, dead_code)]
    struct Top<'a> {
        u: u64,
        s: &'a str,
        b: &'a str,
        B: &'a str,
        a: &'a str,
        A: &'a str,
        #[serde(default)]
        T: u64,
    }

    #[derive(Deserialize)]
    #[allow(non_snake_case, dead_code)]
    struct Trade<'a> {
        T: u64,
        s: &'a str,
        t: u64,
        p: &'a str,
        q: &'a str,
        m: bool,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)] // Parsed for its cost; nobody reads it.
    struct Bybit<'a, T> {
        topic: &'a str,
        #[serde(rename = "type")]
        kind: &'a str,
        ts: u64,
        data: T,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)] // Parsed for its cost; nobody reads it.
    struct Book<'a> {
        s: &'a str,
        #[serde(borrow)]
        b: Rows<'a>,
        a: Rows<'a>,
        u: u64,
        seq: u64,
    }

    #[derive(Deserialize)]
    #[allow(non_snake_case, dead_code)]
    struct Print<'a> {
        T: u64,
        s: &'a str,
        S: &'a str,
        v: &'a str,
        p: &'a str,
        i: &'a str,
        seq: u64,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[allow(dead_code)] // Parsed for its cost; nobody reads it.
    struct Ticker<'a> {
        symbol: &'a str,
        bid1_price: Option<&'a str>,
        bid1_size: Option<&'a str>,
        ask1_price: Option<&'a str>,
        ask1_size: Option<&'a str>,
        last_price: Option<&'a str>,
    }

    fn rows(rows: &Rows<'_>, px: Step, qty: Step) -> i64 {
        rows.iter().map(|(p, q)| px.parse(p.as_bytes()).unwrap() + qty.parse(q.as_bytes()).unwrap()).sum()
    }

    pub fn binance_depth(message: &[u8], px: Step, qty: Step) -> i64 {
        let Wrapped { data } = serde_json::from_slice::<Wrapped<Depth<'_>>>(message).unwrap();
        rows(&data.b, px, qty) + rows(&data.a, px, qty) + data.u as i64
    }

    pub fn binance_top(message: &[u8], px: Step, qty: Step) -> i64 {
        let Wrapped { data } = serde_json::from_slice::<Wrapped<Top<'_>>>(message).unwrap();
        rows(&vec![(data.b, data.B), (data.a, data.A)], px, qty) + data.u as i64
    }

    pub fn binance_trade(message: &[u8], px: Step, qty: Step) -> i64 {
        let Wrapped { data } = serde_json::from_slice::<Wrapped<Trade<'_>>>(message).unwrap();
        rows(&vec![(data.p, data.q)], px, qty) + data.t as i64
    }

    pub fn bybit_book(message: &[u8], px: Step, qty: Step) -> i64 {
        let book = serde_json::from_slice::<Bybit<'_, Book<'_>>>(message).unwrap().data;
        rows(&book.b, px, qty) + rows(&book.a, px, qty) + book.u as i64
    }

    pub fn bybit_trades(message: &[u8], px: Step, qty: Step) -> i64 {
        let trades = serde_json::from_slice::<Bybit<'_, Vec<Print<'_>>>>(message).unwrap().data;
        trades.iter().map(|t| rows(&vec![(t.p, t.v)], px, qty) + t.seq as i64).sum()
    }

    pub fn bybit_ticker(message: &[u8], px: Step, qty: Step) -> i64 {
        let ticker = serde_json::from_slice::<Bybit<'_, Ticker<'_>>>(message).unwrap().data;
        let read = |text: Option<&str>, step: Step| text.map_or(0, |text| step.parse(text.as_bytes()).unwrap());
        read(ticker.bid1_price, px) + read(ticker.ask1_size, qty)
    }
}

/// A message with its instrument's tick and lot.
type Stepped = (Vec<u8>, Step, Step);

/// Table and messages of a family, and whether they are real.
fn messages(family: &Family) -> (InstrumentTable, Vec<Stepped>, bool) {
    let folder = std::env::var_os("TERCEL_CAPTURES").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures")).into());
    let path = folder.join(format!("{}.jsonl.gz", family.capture));
    let is_real = path.exists();
    let (meta, all): (CaptureMeta, Vec<Vec<u8>>) = if is_real {
        let capture = load(&[path], ClockKind::Unix).unwrap();
        let instrument = |(symbol, tick, lot): &(&str, &str, &str)| InstrumentMeta {
            symbol: (*symbol).into(),
            tick: (*tick).into(),
            lot: (*lot).into(),
            ..InstrumentMeta::default()
        };
        let meta = CaptureMeta {
            venue: family.venue.name().into(),
            product: "linear".into(),
            instruments: family.instruments.iter().map(instrument).collect(),
            clock: ClockKind::Unix,
            recording: None,
        };
        (meta, (0..capture.len()).map(|idx| capture.get(idx).unwrap().message.to_vec()).collect())
    } else {
        let config = SyntheticConfig { depth_events: 8_000, ..SyntheticConfig::new(family.venue, 1) };
        (sidecar(&config), generate(&config).lines.into_iter().map(|(_, message)| message).collect())
    };
    let table = meta.table().unwrap();
    let holds = |message: &[u8], mark: &str| message.windows(mark.len()).any(|window| window == mark.as_bytes());
    let mut out = Vec::new();
    for message in all {
        if out.len() == MESSAGES_MAX || !holds(&message, family.mark) {
            continue;
        }
        let spec = table.iter().find(|(_, spec)| holds(&message, &format!("\"{}\"", spec.symbol))).unwrap().1;
        out.push((message, spec.tick, spec.lot));
    }
    (table, out, is_real)
}

/// The numbers of an event, as the typed readers sum them.
fn sum(event: &Event<'_>) -> i64 {
    let levels = |levels: &[tercel::types::Level]| levels.iter().map(|l| l.px.get() + l.qty.get()).sum::<i64>();
    match event {
        Event::Book(book) => levels(book.bids) + levels(book.asks) + book.meta.seq as i64,
        Event::Top(top) if top.check == tercel::types::TopCheck::AtOrBefore => {
            levels(&[top.bid.unwrap(), top.ask.unwrap()]) + top.meta.seq as i64
        }
        Event::Trade(trade) => trade.px.get() + trade.qty.get() + trade.meta.seq as i64,
        _ => 0,
    }
}

fn decode(criterion: &mut Criterion) {
    for family in &FAMILIES {
        let (table, messages, is_real) = messages(family);
        let feed = || {
            let config = FeedConfig { assume_empty: true, ..FeedConfig::default() };
            MarketFeed::new(family.venue, &table, config).unwrap()
        };
        // The answers first: every number that we give is the number that the typed reader reads.
        let mut checked = feed();
        for (idx, (message, px, qty)) in messages.iter().enumerate() {
            let mut ours = 0;
            checked
                .on_frame(message, Arrival::default(), || 0, &mut |event: &Event<'_>| {
                    // The empty book that assume-empty begins with has no levels; its id is not the message's.
                    if !matches!(event, Event::Book(book) if book.bids.is_empty() && book.asks.is_empty()) {
                        ours += sum(event);
                    }
                })
                .unwrap();
            // A ticker's event is merged from many messages, so its numbers are not this message's alone.
            let want = (family.typed)(message, *px, *qty);
            assert!(ours == want || family.name == "bybit/ticker", "{} message {idx}: {ours} {want}", family.name);
        }
        assert_eq!(checked.counters().general_path, 0);
        let bytes: usize = messages.iter().map(|(message, ..)| message.len()).sum();
        let source = if is_real { "captured" } else { "generated" };
        println!("{}: {} {source} messages, {} bytes on average", family.name, messages.len(), bytes / messages.len());

        let mut group = criterion.benchmark_group(format!("venue/{}", family.name));
        group.throughput(Throughput::Bytes(bytes as u64)).sample_size(30);
        group.bench_function("baseline", |bencher| {
            bencher.iter(|| {
                let words = |message: &Vec<u8>| message.chunks_exact(8).fold(0u64, |a, b| a ^ u64::from(b[0]));
                black_box(messages.iter().map(|(message, ..)| words(message)).fold(0, |a, b| a ^ b))
            });
        });
        group.bench_function("ours", |bencher| {
            bencher.iter_batched_ref(
                feed,
                |feed| {
                    for (message, ..) in &messages {
                        let mut sink = |event: &Event<'_>| {
                            black_box(event);
                        };
                        let _ = black_box(feed.on_frame(message, Arrival::default(), || 0, &mut sink));
                    }
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function("simd_json_tape", |bencher| {
            let mut buffers = simd_json::Buffers::new(1 << 16);
            let mut text = Vec::with_capacity(1 << 16);
            let mut tape = simd_json::Tape(Vec::with_capacity(1 << 14));
            bencher.iter(|| {
                for (message, ..) in &messages {
                    text.clear();
                    // The parser writes into its input, so every message is copied first.
                    text.extend_from_slice(message);
                    let mut used = std::mem::replace(&mut tape, simd_json::Tape(Vec::new())).reset();
                    simd_json::fill_tape(&mut text, &mut buffers, &mut used).unwrap();
                    black_box(&used);
                    tape = used.reset();
                }
            });
        });
        group.bench_function("serde_json_typed", |bencher| {
            bencher.iter(|| {
                for (message, px, qty) in &messages {
                    black_box((family.typed)(message, *px, *qty));
                }
            });
        });
        group.finish();
    }
}

fn encode(criterion: &mut Criterion) {
    let table = sidecar(&SyntheticConfig::new(VenueId::BYBIT, 1)).table().unwrap();
    let mut encoder = OrderEncoder::new(&table, 42, 5_000);
    let mut command = Command {
        kind: CommandKind::New,
        side: Side::Bid,
        tif: TimeInForce::PostOnly,
        reduce_only: false,
        trigger: None,
        instrument: InstrumentId(0),
        client_id: ClientOrderId(1),
        request: 1,
        px: Ticks::new(6_165_970),
        qty: Lots::new(12),
        at: Nanos::new(1),
        stamps: CommandStamps::default(),
    };
    let mut out = [0; ORDER_BYTES_MAX];
    let len = encoder.request(&command, 1_711_001_595_207, &mut out).unwrap();
    let _: serde_json::Value = serde_json::from_slice(&out[..len]).unwrap();
    let mut group = criterion.benchmark_group("venue/bybit/encode");
    group.throughput(Throughput::Bytes(len as u64));
    group.bench_function("baseline", |bencher| {
        let from = out;
        bencher.iter(|| out[..len].copy_from_slice(black_box(&from[..len])));
    });
    for (name, kind) in [("create", CommandKind::New), ("amend", CommandKind::Amend), ("cancel", CommandKind::Cancel)] {
        command.kind = kind;
        group.bench_function(name, |bencher| {
            bencher.iter(|| encoder.request(black_box(&command), black_box(1_711_001_595_207), &mut out).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
