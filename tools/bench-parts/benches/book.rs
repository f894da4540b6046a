//! The book beside hftbacktest's and two `BTreeMap`s, over the depth messages of captures, decoded before: every level is set,
//! and best bid and ask are read after each message. Answers are compared before anything is timed.
#![allow(missing_docs)] // A program, not a library.

#[path = "../../../benches/common/rounds.rs"]
mod rounds;

use std::hint::black_box;
use std::path::{Path, PathBuf};

use hftbacktest::depth::{
    HashMapMarketDepth, INVALID_MAX, INVALID_MIN, L2MarketDepth, MarketDepth, ROIVectorMarketDepth,
};
use rounds::{Contender, compare};
use tercel::book::naive::NaiveBook;
use tercel::book::{L2Book, Touch};
use tercel::engine::Limits;
use tercel::journal::{CaptureMeta, ClockKind, InstrumentMeta, load};
use tercel::types::{BookKind, Event, InstrumentSpec, Level, Side, VenueId};
use tercel::venue::{Arrival, FeedConfig, MarketFeed};

/// The feeds: capture, venue, symbols with tick and lot.
type Feed = (&'static str, VenueId, &'static [(&'static str, &'static str, &'static str)]);

const FEEDS: [Feed; 2] = [
    (
        "bybit/linear-20260809-4sym-ob200",
        VenueId::BYBIT,
        &[
            ("BTCUSDT", "0.10", "0.001"),
            ("ETHUSDT", "0.01", "0.01"),
            ("SOLUSDT", "0.010", "0.1"),
            ("DOGEUSDT", "0.00001", "1"),
        ],
    ),
    ("binance-usdm/20240808-btcusdt", VenueId::BINANCE_USDM, &[("BTCUSDT", "0.10", "0.001")]),
];

/// One depth message of one instrument.
struct Depth {
    is_snapshot: bool,
    /// Bids, then asks.
    levels: Vec<(Side, Level)>,
    /// The same as prices and quantities, as hftbacktest takes them.
    floats: Vec<(Side, f64, f64)>,
}

/// All messages of one instrument, from its first snapshot on.
struct Stream {
    spec: InstrumentSpec,
    depths: Vec<Depth>,
    levels: usize,
}

fn float(text: &str) -> f64 {
    text.parse().unwrap()
}

fn streams(feed: &Feed) -> Option<Vec<Stream>> {
    let (name, venue, symbols) = feed;
    let folder = std::env::var_os("TERCEL_CAPTURES").map(PathBuf::from);
    let folder =
        folder.unwrap_or_else(|| Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/captures")).into());
    let path = folder.join(format!("{name}.jsonl.gz"));
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    }
    let instrument = |(symbol, tick, lot): &(&str, &str, &str)| InstrumentMeta {
        symbol: (*symbol).to_owned(),
        tick: (*tick).to_owned(),
        lot: (*lot).to_owned(),
        ..InstrumentMeta::default()
    };
    let meta = CaptureMeta {
        venue: venue.name().to_owned(),
        clock: ClockKind::Unix,
        instruments: symbols.iter().map(instrument).collect(),
        product: "linear".to_owned(),
        recording: None,
    };
    let table = meta.table().unwrap();
    let mut market = MarketFeed::new(*venue, &table, FeedConfig::default()).unwrap();
    let mut out: Vec<Stream> =
        table.iter().map(|(_, spec)| Stream { spec: *spec, depths: Vec::new(), levels: 0 }).collect();
    let capture = load(&[path], ClockKind::Unix).unwrap();
    for frame in (0..capture.len()).filter_map(|idx| capture.get(idx)) {
        let mut sink = |event: &Event<'_>| {
            let Event::Book(book) = event else { return };
            let stream = &mut out[book.meta.instrument.idx()];
            let (tick, lot) = (stream.spec.tick, stream.spec.lot);
            let sided = |side: Side, levels: &[Level]| levels.iter().map(move |l| (side, *l)).collect::<Vec<_>>();
            let levels = [sided(Side::Bid, book.bids), sided(Side::Ask, book.asks)].concat();
            let floats = levels
                .iter()
                .map(|(side, l)| (*side, float(&tick.text(l.px.get())), float(&lot.text(l.qty.get()))))
                .collect();
            stream.levels += levels.len();
            stream.depths.push(Depth { is_snapshot: book.kind == BookKind::Snapshot, levels, floats });
        };
        // What a feed does not understand does not change a book.
        let _ = market.on_frame(frame.message, Arrival { recv: frame.at, framed_ns: 0 }, || 0, &mut sink);
    }
    out.retain(|stream| stream.levels > 0);
    Some(out)
}

/// Any of the books, as the comparison needs it.
trait AnyBook {
    fn apply(&mut self, depth: &Depth);
    /// Best bid and ask in ticks.
    fn best(&self) -> (Option<i64>, Option<i64>);
}

fn ticks(touch: Touch) -> (Option<i64>, Option<i64>) {
    (touch.bid.map(|l| l.px.get()), touch.ask.map(|l| l.px.get()))
}

/// Both books of ours have the same methods.
macro_rules! ours {
    ($($book:ty),+) => {
        $(impl AnyBook for $book {
            #[inline]
            fn apply(&mut self, depth: &Depth) {
                if depth.is_snapshot {
                    self.clear();
                }
                for &(side, level) in &depth.levels {
                    self.set_level(side, level);
                }
            }

            #[inline]
            fn best(&self) -> (Option<i64>, Option<i64>) {
                ticks(self.touch())
            }
        })+
    };
}

ours!(L2Book, NaiveBook);

/// One of hftbacktest's depths.
struct Theirs<D>(D);

impl<D: L2MarketDepth + MarketDepth> AnyBook for Theirs<D> {
    #[inline]
    fn apply(&mut self, depth: &Depth) {
        if depth.is_snapshot {
            self.0.clear_depth(hftbacktest::types::Side::None, 0.0);
        }
        for &(side, px, qty) in &depth.floats {
            match side {
                Side::Bid => drop(black_box(self.0.update_bid_depth(px, qty, 0))),
                Side::Ask => drop(black_box(self.0.update_ask_depth(px, qty, 0))),
            }
        }
    }

    #[inline]
    fn best(&self) -> (Option<i64>, Option<i64>) {
        let (bid, ask) = (self.0.best_bid_tick(), self.0.best_ask_tick());
        (Some(bid).filter(|&t| t != INVALID_MIN), Some(ask).filter(|&t| t != INVALID_MAX))
    }
}

/// Best bid and ask after every message.
fn check(stream: &Stream, book: &mut dyn AnyBook) -> Vec<(Option<i64>, Option<i64>)> {
    stream
        .depths
        .iter()
        .map(|depth| {
            book.apply(depth);
            book.best()
        })
        .collect()
}

/// Applies messages in turn until about `count` levels are done.
fn work<B: AnyBook>(stream: &Stream, book: &mut B, at: &mut usize, count: usize) -> u64 {
    let (mut sum, mut done) = (0u64, 0);
    while done < count {
        let depth = &stream.depths[*at];
        // The changes go round; the snapshot comes once, because a depth over a wide range of prices takes long to clear.
        *at = if *at + 1 < stream.depths.len() { *at + 1 } else { 1 };
        book.apply(depth);
        let (bid, ask) = book.best();
        sum = sum.wrapping_add(bid.unwrap_or(0) as u64) ^ ask.unwrap_or(0) as u64;
        done += depth.levels.len().max(1);
    }
    sum
}

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    for feed in &FEEDS {
        for stream in streams(feed).unwrap_or_default() {
            let (tick, lot) = (float(&stream.spec.tick.text(1)), float(&stream.spec.lot.text(1)));
            let prices = stream.depths.iter().flat_map(|d| d.floats.iter().map(|f| f.1));
            let (low, high) = prices.fold((f64::MAX, 0f64), |(low, high), px| (low.min(px), high.max(px)));
            let limits = Limits::default();
            let ours = || L2Book::new(limits.window_ticks, limits.far_levels_max);
            let roi = || Theirs(ROIVectorMarketDepth::new(tick, lot, low, high));
            let hash = || Theirs(HashMapMarketDepth::new(tick, lot));
            let want = check(&stream, &mut NaiveBook::default());
            assert!(check(&stream, &mut ours()) == want, "ours and the naive book answer alike");
            // Theirs never shows a crossed book: it moves the other best out of the way. Where books do not cross they agree.
            let same = |theirs: Vec<(Option<i64>, Option<i64>)>| {
                theirs.iter().zip(&want).filter(|(theirs, want)| theirs == want).count() * 1000 / want.len()
            };
            println!(
                "\n{} {}: {} messages, {} levels; of a thousand answers equal: ROIVector {}, HashMap {}",
                feed.0,
                stream.spec.symbol,
                stream.depths.len(),
                stream.levels,
                same(check(&stream, &mut roi())),
                same(check(&stream, &mut hash())),
            );
            let (mut a, mut b, mut c, mut d) = (roi(), ours(), hash(), NaiveBook::default());
            let (mut at_a, mut at_b, mut at_c, mut at_d) = (0, 0, 0, 0);
            let stream = &stream;
            compare(
                &format!("book: set a level, best after each message; {} {}", feed.0, stream.spec.symbol),
                "level",
                &mut [
                    Contender::new("hftbacktest ROIVector", |n| work(stream, &mut a, &mut at_a, n)),
                    Contender::new("ours, L2Book", |n| work(stream, &mut b, &mut at_b, n)),
                    Contender::new("hftbacktest HashMap", |n| work(stream, &mut c, &mut at_c, n)),
                    Contender::new("two BTreeMaps", |n| work(stream, &mut d, &mut at_d, n)),
                ],
            );
        }
    }
}
