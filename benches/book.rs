//! The book against two `BTreeMap`s, over the depth events of a feed, decoded before.
#![allow(missing_docs)] // `criterion_group!` makes a public function without any.

mod common;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::book::L2Book;
use tercel::book::naive::NaiveBook;
use tercel::types::{Book, BookKind, Event, Level, Meta, VenueId};
use tercel::venue::{Arrival, FeedConfig, MarketFeed};

struct Depth {
    kind: BookKind,
    bids: Vec<Level>,
    asks: Vec<Level>,
}

impl Depth {
    fn event(&self) -> Book<'_> {
        Book { meta: Meta::default(), kind: self.kind, cross_seq: 0, bids: &self.bids, asks: &self.asks }
    }
}

fn depth_events(feed: &common::Feed) -> Vec<Depth> {
    let mut market = MarketFeed::new(VenueId::BINANCE_USDM, &feed.table, FeedConfig::default()).unwrap();
    let mut out = Vec::new();
    for frame in (0..feed.capture.len()).filter_map(|idx| feed.capture.get(idx)) {
        let mut sink = |event: &Event<'_>| {
            if let Event::Book(book) = event {
                out.push(Depth { kind: book.kind, bids: book.bids.to_vec(), asks: book.asks.to_vec() });
            }
        };
        market.on_frame(frame.message, Arrival { recv: frame.at, framed_ns: 0 }, || 0, &mut sink).unwrap();
    }
    out
}

fn apply(c: &mut Criterion) {
    let feed = common::feed();
    let events = depth_events(&feed);
    let levels: usize = events.iter().map(|e| e.bids.len() + e.asks.len()).sum();

    let (mut book, mut naive) = (L2Book::new(16_384, 16_384), NaiveBook::default());
    for event in &events {
        book.apply(&event.event());
        naive.apply(&event.event());
        assert_eq!(book.touch(), naive.touch(), "the answers are equal before anything is timed");
    }

    let mut group = c.benchmark_group(format!("book/apply/{}", feed.name));
    group.throughput(Throughput::Elements(levels as u64)).sample_size(10);
    group.bench_function("baseline", |b| {
        b.iter(|| {
            let of = |levels: &[Level]| levels.iter().fold(0, |sum, l| sum ^ l.px.get() ^ l.qty.get());
            events.iter().fold(0, |sum, event| sum ^ of(&event.bids) ^ of(&event.asks))
        });
    });
    group.bench_function("l2_book", |b| {
        b.iter(|| {
            for event in &events {
                book.apply(&event.event());
                black_box(book.touch());
            }
        });
    });
    group.bench_function("two_btreemaps", |b| {
        b.iter(|| {
            for event in &events {
                naive.apply(&event.event());
                black_box(naive.touch());
            }
        });
    });
    group.finish();
}

criterion_group!(benches, apply);
criterion_main!(benches);
