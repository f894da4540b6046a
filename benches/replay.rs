//! A whole replay in memory on one thread: decode, sequence, book, certificate, signals, strategy, risk and orders, against
//! typed `serde_json` and two `BTreeMap`s that only decode and keep the book.
//!
//! Prints messages a second and the ratio, rounds in turns, before criterion takes its own samples.
#![allow(missing_docs)] // `criterion_group!` makes a public function without any.

mod common;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use tercel::book::L2Book;
use tercel::engine::{Engine, EngineConfig};
use tercel::runtime::profile::{PassFeeds, pass_engine};
use tercel::strategy::{ImbalanceTaker, ImbalanceTakerConfig};
use tercel::types::{Event, Rate, Side, Step, VenueId};
use tercel::venue::{Arrival, FeedConfig, MarketFeed};

/// Rounds in turns.
const ROUNDS: usize = 7;

/// What both sides must agree on: best bid and ask in steps, levels a side, trades seen.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    bid: Option<(i64, i64)>,
    ask: Option<(i64, i64)>,
    levels: [usize; 2],
    trades: u64,
}

/// What the engine made of it, and how many orders it sent.
fn tercel(feed: &common::Feed) -> (Answer, u64) {
    let mut feeds = PassFeeds::new(&[VenueId::BINANCE_USDM], &feed.table, FeedConfig::default()).unwrap();
    let config = ImbalanceTakerConfig { edge_bar: Rate::ZERO, ..ImbalanceTakerConfig::default() };
    let mut engine = Engine::new(&feed.table, EngineConfig::default(), ImbalanceTaker::new(config, feed.table.len()));
    let (report, sent) = pass_engine(&feed.capture, &mut feeds, &mut engine);
    let book = &report.books[0];
    let of = |level: tercel::types::Level| (level.px.get(), level.qty.get());
    let (bid, ask) = (book.touch.bid.map(of), book.touch.ask.map(of));
    (Answer { bid, ask, levels: book.levels, trades: book.trades }, sent)
}

/// The same work as [`usual`]: decode and keep the book, and nothing else. (Sequence rules are followed on top.)
fn books(feed: &common::Feed) -> Answer {
    let mut market = MarketFeed::new(VenueId::BINANCE_USDM, &feed.table, FeedConfig::default()).unwrap();
    let limits = EngineConfig::default().limits;
    let mut book = L2Book::new(limits.window_ticks, limits.far_levels_max);
    let mut trades = 0;
    for frame in (0..feed.capture.len()).filter_map(|idx| feed.capture.get(idx)) {
        let arrival = Arrival { recv: frame.at, framed_ns: 0 };
        let mut sink = |event: &Event<'_>| match event {
            Event::Book(change) => book.apply(change),
            Event::Trade(trade) => {
                black_box(trade);
                trades += 1;
            }
            other => {
                black_box(other);
            }
        };
        market.on_frame(frame.message, arrival, || 0, &mut sink).unwrap();
    }
    let of = |level: tercel::types::Level| (level.px.get(), level.qty.get());
    let touch = book.touch();
    let levels = [book.levels(Side::Bid), book.levels(Side::Ask)];
    Answer { bid: touch.bid.map(of), ask: touch.ask.map(of), levels, trades }
}

#[derive(Deserialize)]
struct Wrapped<T> {
    data: T,
}

#[derive(Deserialize)]
struct Depth<'a> {
    u: u64,
    #[serde(borrow)]
    b: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    a: Vec<[&'a str; 2]>,
}

#[derive(Deserialize)]
#[allow(non_snake_case)] // The venue's names.
struct Snapshot<'a> {
    lastUpdateId: u64,
    #[serde(borrow)]
    bids: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    asks: Vec<[&'a str; 2]>,
}

#[derive(Deserialize)]
#[allow(non_snake_case)] // The venue's names.
struct Ticker<'a> {
    u: u64,
    b: &'a str,
    B: &'a str,
    a: &'a str,
    A: &'a str,
}

#[derive(Deserialize)]
struct Trade<'a> {
    t: u64,
    p: &'a str,
    q: &'a str,
    m: bool,
}

/// The usual way: a type for each message, borrowed texts, two ordered maps. Which type it is, is read off the stream's
/// name, which is quicker than a tagged enum.
fn usual(feed: &common::Feed) -> Answer {
    let spec = feed.table.iter().next().unwrap().1;
    let (tick, lot) = (spec.tick, spec.lot);
    let mut books: [BTreeMap<i64, i64>; 2] = Default::default();
    let (mut last, mut is_live, mut trades) = (0, false, 0);
    let mut early: Vec<usize> = Vec::new();
    let count = |step: Step, text: &str| step.parse(text.as_bytes()).unwrap();
    let apply = |books: &mut [BTreeMap<i64, i64>; 2], sides: [&[[&str; 2]]; 2]| {
        for (book, levels) in books.iter_mut().zip(sides) {
            for [px, qty] in levels {
                let (px, qty) = (count(tick, px), count(lot, qty));
                if qty == 0 {
                    book.remove(&px);
                } else {
                    book.insert(px, qty);
                }
            }
        }
    };
    for idx in 0..feed.capture.len() {
        let text = feed.capture.get(idx).unwrap().message;
        let kind = text.get(..48).and_then(|head| head.split(|&b| b == b'@').nth(1)).unwrap_or_default();
        if kind.starts_with(b"depth") {
            let depth: Wrapped<Depth<'_>> = serde_json::from_slice(text).unwrap();
            if !is_live {
                early.push(idx);
            } else if depth.data.u > last {
                last = depth.data.u;
                apply(&mut books, [&depth.data.b, &depth.data.a]);
            }
        } else if kind.starts_with(b"bookTicker") {
            let top: Wrapped<Ticker<'_>> = serde_json::from_slice(text).unwrap();
            let Ticker { u, b, B, a, A } = top.data;
            black_box((u, count(tick, b), count(lot, B), count(tick, a), count(lot, A)));
        } else if kind.starts_with(b"trade") {
            let trade: Wrapped<Trade<'_>> = serde_json::from_slice(text).unwrap();
            let Trade { t, p, q, m } = trade.data;
            black_box((t, count(tick, p), count(lot, q), m));
            trades += 1;
        } else if text.starts_with(b"{\"lastUpdateId\"") {
            let snapshot: Snapshot<'_> = serde_json::from_slice(text).unwrap();
            books = Default::default();
            apply(&mut books, [&snapshot.bids, &snapshot.asks]);
            (last, is_live) = (snapshot.lastUpdateId, true);
            for idx in early.drain(..) {
                let depth: Wrapped<Depth<'_>> = serde_json::from_slice(feed.capture.get(idx).unwrap().message).unwrap();
                if depth.data.u > last {
                    last = depth.data.u;
                    apply(&mut books, [&depth.data.b, &depth.data.a]);
                }
            }
        }
    }
    let pair = |level: Option<(&i64, &i64)>| level.map(|(px, qty)| (*px, *qty));
    Answer {
        bid: pair(books[0].last_key_value()),
        ask: pair(books[1].first_key_value()),
        levels: [books[0].len(), books[1].len()],
        trades,
    }
}

/// The harness alone: every message is touched.
fn baseline(feed: &common::Feed) -> u64 {
    (0..feed.capture.len())
        .filter_map(|idx| feed.capture.get(idx))
        .fold(0, |sum, frame| sum ^ frame.at.get() ^ u64::from(frame.message[frame.message.len() / 2]))
}

fn compare(feed: &common::Feed) {
    let (answer, sent) = tercel(feed);
    assert_eq!(answer, usual(feed), "the answers are equal before anything is timed");
    assert_eq!(answer, books(feed), "the answers are equal before anything is timed");
    let mut seconds: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(tercel(feed));
        seconds[0].push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        black_box(usual(feed));
        seconds[1].push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        black_box(books(feed));
        seconds[2].push(start.elapsed().as_secs_f64());
    }
    let messages = feed.capture.len() as f64;
    let [ours, theirs, books_only] = seconds.map(|mut s| {
        s.sort_by(f64::total_cmp);
        [messages / s[s.len() - 1], messages / s[s.len() / 2], messages / s[0]]
    });
    println!("{}: {messages} messages, {sent} orders, {ROUNDS} rounds in turns; median (slowest – fastest)", feed.name);
    println!("  tercel, all of it:         {:>10.0} messages/s ({:.0} – {:.0})", ours[1], ours[0], ours[2]);
    println!("  serde_json and BTreeMap:   {:>10.0} messages/s ({:.0} – {:.0})", theirs[1], theirs[0], theirs[2]);
    let [slowest, median, fastest] = books_only;
    println!("  tercel, decode and book:   {median:>10.0} messages/s ({slowest:.0} – {fastest:.0})");
    println!("  ratio, all of it to theirs {:>10.2}", ours[1] / theirs[1]);
    println!("  ratio, the same work:      {:>10.2}", median / theirs[1]);
}

fn replay(c: &mut Criterion) {
    let feed = common::feed();
    compare(&feed);
    let mut group = c.benchmark_group(format!("replay/{}", feed.name));
    group.throughput(Throughput::Elements(feed.capture.len() as u64)).sample_size(10);
    group.bench_function("baseline", |b| b.iter(|| baseline(&feed)));
    group.bench_function("engine", |b| b.iter(|| tercel(&feed)));
    group.bench_function("serde_json_btreemap", |b| b.iter(|| usual(&feed)));
    group.finish();
}

criterion_group!(benches, replay);
criterion_main!(benches);
