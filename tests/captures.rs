//! Real captures through the venue codecs: counts, sequences, tops of book and final books as their README lists them.
//!
//! The captures are not part of the repository. `TERCEL_CAPTURES` names their folder, `../shared/captures` otherwise; a
//! missing file is a line `SKIPPED` on the error output.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use tercel::types::{
    BookKind, BookState, Event, InstrumentId, InstrumentSpec, InstrumentTable, Level, Nanos, Product, Step, Symbol,
    Top, TopCheck, VenueId,
};
use tercel::venue::{Arrival, FeedConfig, FrameKind, Ignored, MarketFeed, WireError};

fn folder() -> PathBuf {
    match std::env::var_os("TERCEL_CAPTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures")).to_path_buf(),
    }
}

/// The lines of a capture, or nothing with a loud word.
fn lines(name: &str) -> Option<Vec<(u64, Vec<u8>)>> {
    let path = folder().join(format!("{name}.jsonl.gz"));
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("SKIPPED: {name}: no such capture in {}", folder().display());
        return None;
    };
    let mut out = Vec::new();
    for line in BufReader::new(flate2::read::MultiGzDecoder::new(file)).split(b'\n') {
        let line = line.unwrap();
        let tab = line.iter().position(|&byte| byte == b'\t').unwrap();
        let recv = std::str::from_utf8(&line[..tab]).unwrap().parse().unwrap();
        out.push((recv, line[tab + 1..].to_vec()));
    }
    Some(out)
}

/// The reference: a book that nobody could get wrong.
#[derive(Default)]
struct MapBook {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

type Best = (Option<(i64, i64)>, Option<(i64, i64)>);

impl MapBook {
    fn apply(&mut self, kind: BookKind, bids: &[Level], asks: &[Level]) {
        if kind == BookKind::Snapshot {
            *self = Self::default();
        }
        for (side, levels) in [(&mut self.bids, bids), (&mut self.asks, asks)] {
            for level in levels {
                if level.qty.is_zero() {
                    side.remove(&level.px.get());
                } else {
                    side.insert(level.px.get(), level.qty.get());
                }
            }
        }
    }

    fn best(&self) -> Best {
        let pair = |(px, qty): (&i64, &i64)| (*px, *qty);
        (self.bids.last_key_value().map(pair), self.asks.first_key_value().map(pair))
    }
}

fn top_best(top: &Top) -> Best {
    let pair = |level: Level| (level.px.get(), level.qty.get());
    (top.bid.map(pair), top.ask.map(pair))
}

fn prices(best: Best) -> (Option<i64>, Option<i64>) {
    (best.0.map(|(px, _)| px), best.1.map(|(px, _)| px))
}

/// One instrument's book and the checks of its top.
#[derive(Default)]
struct Checked {
    book: MapBook,
    is_live: bool,
    snapshots: u64,
    deltas: u64,
    first_seq: u64,
    last_seq: u64,
    cross_seq: u64,
    last_top: Option<(u64, Best)>,
    /// Binance: every top by its id; the tops run ahead of the depth stream as often as behind it.
    tops: BTreeMap<u64, Best>,
    /// Binance: events whose last earlier top may still come.
    open: Vec<(u64, Best)>,
    equal: u64,
    unequal: u64,
}

impl Checked {
    fn check(&mut self, is_equal: bool) {
        if is_equal { self.equal += 1 } else { self.unequal += 1 }
    }

    /// Compares the held events below `limit` with the last top before them.
    fn settle(&mut self, limit: u64) {
        let (ready, open): (Vec<_>, Vec<_>) = std::mem::take(&mut self.open).into_iter().partition(|&(u, _)| u < limit);
        self.open = open;
        for (u, best) in ready {
            if let Some((_, &top)) = self.tops.range(..=u).next_back() {
                self.check(best == top);
            }
        }
    }

    fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Book(book) => {
                self.book.apply(book.kind, book.bids, book.asks);
                self.cross_seq = book.cross_seq;
                self.last_seq = book.meta.seq;
                match book.kind {
                    BookKind::Snapshot => self.snapshots += 1,
                    BookKind::Delta => {
                        if self.deltas == 0 {
                            self.first_seq = book.meta.seq;
                        }
                        self.deltas += 1;
                        self.open.push((book.meta.seq, self.book.best()));
                    }
                }
                if let Some((seq, top)) = self.last_top
                    && seq == book.cross_seq
                    && book.meta.seq != book.cross_seq
                {
                    self.check(self.book.best() == top);
                    self.last_top = None;
                }
            }
            Event::Top(top) => match top.check {
                TopCheck::AtOrBefore => {
                    self.tops.insert(top.meta.seq, top_best(top));
                    self.settle(top.meta.seq);
                }
                TopCheck::SameSeq if top.meta.seq == self.cross_seq => self.check(self.book.best() == top_best(top)),
                TopCheck::SameSeq => self.last_top = Some((top.meta.seq, top_best(top))),
                TopCheck::PriceAtArrival if self.is_live => {
                    self.check(prices(self.book.best()) == prices(top_best(top)));
                }
                TopCheck::PriceAtArrival | TopCheck::None => {}
            },
            Event::BookStatus(status) => self.is_live = status.state == BookState::Live,
            _ => {}
        }
    }
}

struct Run {
    feed: MarketFeed,
    books: HashMap<String, Checked>,
    trades: u64,
    tickers: u64,
    states: Vec<BookState>,
    errors: Vec<(usize, WireError)>,
}

/// Plays the main file with its side snapshots merged in by time.
fn run(venue: VenueId, config: FeedConfig, name: &str, instruments: &[(&str, &str, &str)]) -> Option<Run> {
    let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
    let specs = instruments.iter().map(|(symbol, tick, lot)| {
        let symbol = Symbol::new(symbol.as_bytes()).unwrap();
        InstrumentSpec::new(venue, symbol, Product::Linear, step(tick), step(lot)).unwrap()
    });
    let table = InstrumentTable::new(specs.collect()).unwrap();
    let main = lines(name)?;
    let mut input: Vec<(u64, Option<InstrumentId>, Vec<u8>)> =
        main.into_iter().map(|(recv, message)| (recv, None, message)).collect();
    for (id, spec) in table.iter() {
        let side = format!("{name}.snapshot-{}", spec.symbol.as_str().to_lowercase());
        if folder().join(format!("{side}.jsonl.gz")).exists() {
            input.extend(lines(&side)?.into_iter().map(|(recv, message)| (recv, Some(id), message)));
        }
    }
    if input.iter().any(|(_, side, _)| side.is_some()) {
        input.sort_by_key(|(recv, side, _)| (*recv, side.is_some()));
    }
    let mut run = Run {
        feed: MarketFeed::new(venue, &table, config).unwrap(),
        books: table.iter().map(|(_, spec)| (spec.symbol.to_string(), Checked::default())).collect(),
        trades: 0,
        tickers: 0,
        states: Vec::new(),
        errors: Vec::new(),
    };
    let mut pair = tercel::venue::fuzz::Pair::new(venue, &table);
    for (idx, (recv, side, message)) in input.iter().enumerate() {
        let owner = side.or((table.len() == 1).then_some(InstrumentId(0)));
        let verdict = pair.compare(message, owner);
        assert!(verdict.is_quick && verdict.is_general, "{name}: message {idx}: {verdict:?}");
        let arrival = Arrival { recv: Nanos::new(*recv), framed_ns: 0 };
        let Run { feed, books, trades, tickers, states, .. } = &mut run;
        let mut sink = |event: &Event<'_>| {
            match event {
                Event::Trade(_) => *trades += 1,
                Event::Ticker(_) => *tickers += 1,
                Event::BookStatus(status) => states.push(status.state),
                _ => {}
            }
            let spec = table.get(event.meta().instrument).unwrap();
            assert_eq!(event.meta().recv.get(), *recv);
            books.get_mut(spec.symbol.as_str()).unwrap().take(event);
        };
        let result = match side {
            Some(id) => feed.on_snapshot(*id, message, arrival, &mut sink),
            None => feed.on_frame(message, arrival, || 0, &mut sink),
        };
        match result {
            Ok(FrameKind::Unknown | FrameKind::UnknownSymbol) => {
                panic!("{name}: message {idx} is not explained: {}", String::from_utf8_lossy(message))
            }
            Ok(_) => {}
            Err(error) => run.errors.push((idx, error)),
        }
    }
    for checked in run.books.values_mut() {
        checked.settle(u64::MAX);
    }
    let counters = run.feed.counters();
    assert_eq!(counters.accounted(), counters.messages, "{name}");
    assert_eq!(run.errors, [], "{name}");
    assert_eq!(counters.gaps, 0, "{name}");
    assert_eq!(counters.messages, input.len() as u64, "{name}");
    assert_eq!(counters.general_path, 0, "{name}: the scanner takes every captured message");
    eprintln!("ran {name}: {} messages", input.len());
    Some(run)
}

/// What the README lists for a one-symbol Binance capture.
struct Listed {
    venue: VenueId,
    name: &'static str,
    symbol: (&'static str, &'static str, &'static str),
    messages: u64,
    depth: u64,
    tops: u64,
    trades: u64,
    last_u: u64,
    equal: u64,
    unequal: u64,
    best: Option<(&'static str, &'static str, &'static str, &'static str, usize, usize)>,
    assume_empty: bool,
}

fn check_listed(listed: &Listed) {
    let config = FeedConfig { assume_empty: listed.assume_empty, ..FeedConfig::default() };
    let Some(run) = run(listed.venue, config, listed.name, &[listed.symbol]) else { return };
    let counters = run.feed.counters();
    let checked = &run.books[listed.symbol.0];
    let has_snapshot = u64::from(!listed.assume_empty);
    assert_eq!(counters.messages, listed.messages);
    assert_eq!(counters.books, listed.depth + has_snapshot);
    assert_eq!(counters.tops, listed.tops);
    assert_eq!(counters.trade_messages, listed.trades);
    assert_eq!(counters.trades + counters.off_book_trades, listed.trades);
    assert_eq!(checked.last_seq, listed.last_u);
    assert_eq!(checked.snapshots, 1);
    assert_eq!(run.states.last(), Some(&BookState::Live));
    eprintln!("  top of book: {} equal, {} unequal", checked.equal, checked.unequal);
    assert_eq!(checked.unequal, listed.unequal);
    assert!(checked.equal >= listed.equal, "{} of {}", checked.equal, listed.equal);
    if let Some((bid_px, bid_qty, ask_px, ask_qty, bids, asks)) = listed.best {
        let (tick, lot) = (step(listed.symbol.1), step(listed.symbol.2));
        let side = |px: &str, qty: &str| Some((tick.parse(px.as_bytes()).unwrap(), lot.parse(qty.as_bytes()).unwrap()));
        assert_eq!(checked.book.best(), (side(bid_px, bid_qty), side(ask_px, ask_qty)));
        assert_eq!((checked.book.bids.len(), checked.book.asks.len()), (bids, asks));
    }
}

fn step(text: &str) -> Step {
    Step::from_text(text.as_bytes()).unwrap()
}

#[test]
fn binance_usdm_btcusdt_2024() {
    check_listed(&Listed {
        venue: VenueId::BINANCE_USDM,
        name: "binance-usdm/20240808-btcusdt",
        symbol: ("BTCUSDT", "0.10", "0.001"),
        messages: 93_954,
        depth: 6_551,
        tops: 66_089,
        trades: 21_313,
        last_u: 5_123_135_475_514,
        equal: 6_547,
        unequal: 0,
        best: Some(("61659.70", "1.486", "61659.80", "0.981", 5018, 4578)),
        assume_empty: false,
    });
}

#[test]
fn binance_usdm_ethusdt_2024() {
    check_listed(&Listed {
        venue: VenueId::BINANCE_USDM,
        name: "binance-usdm/20240808-ethusdt",
        symbol: ("ETHUSDT", "0.01", "0.001"),
        messages: 74_655,
        depth: 6_586,
        tops: 53_992,
        trades: 14_076,
        last_u: 5_123_135_545_737,
        equal: 6_581,
        unequal: 0,
        best: Some(("2681.38", "8.486", "2681.39", "22.624", 3181, 3013)),
        assume_empty: false,
    });
}

#[test]
fn binance_usdm_btcusdt_2023() {
    check_listed(&Listed {
        venue: VenueId::BINANCE_USDM,
        name: "binance-usdm/20230404-btcusdt",
        symbol: ("BTCUSDT", "0.10", "0.001"),
        messages: 73_765,
        depth: 16_110,
        tops: 44_205,
        trades: 12_935,
        last_u: 2_710_266_851_462,
        equal: 16_110,
        unequal: 0,
        best: Some(("28140.10", "8.251", "28140.20", "7.212", 5393, 3847)),
        assume_empty: false,
    });
}

#[test]
fn binance_coinm_btcusd_2024() {
    check_listed(&Listed {
        venue: VenueId::BINANCE_COINM,
        name: "binance-coinm/20240808-btcusd_perp",
        symbol: ("BTCUSD_PERP", "0.1", "1"),
        messages: 98_386,
        depth: 44_795,
        tops: 48_355,
        trades: 5_235,
        last_u: 1_007_206_781_963,
        equal: 44_772,
        unequal: 0,
        best: Some(("61600.0", "27", "61600.1", "1647", 1510, 1733)),
        assume_empty: false,
    });
}

#[test]
fn binance_spot_btcusdt_2024() {
    check_listed(&Listed {
        venue: VenueId::BINANCE_SPOT,
        name: "binance-spot/20240808-btcusdt",
        symbol: ("BTCUSDT", "0.01", "0.00000001"),
        messages: 99_574,
        depth: 6_495,
        tops: 73_174,
        trades: 19_904,
        last_u: 50_093_696_318,
        equal: 6_491,
        unequal: 2,
        best: Some(("61602.01", "1.67177", "61602.02", "2.66795", 1971, 2962)),
        assume_empty: false,
    });
}

#[test]
fn binance_spot_nexousdt_34_hours() {
    check_listed(&Listed {
        venue: VenueId::BINANCE_SPOT,
        name: "binance-spot/20240723-nexousdt-34h",
        symbol: ("NEXOUSDT", "0.001", "0.01"),
        messages: 166_840,
        depth: 99_030,
        tops: 48_992,
        trades: 18_817,
        last_u: 134_403_409,
        equal: 99_028,
        unequal: 0,
        best: Some(("1.161", "303.83", "1.163", "221.58", 269, 869)),
        assume_empty: false,
    });
}

#[test]
fn binance_spot_without_a_snapshot_from_an_empty_book() {
    check_listed(&Listed {
        venue: VenueId::BINANCE_SPOT,
        name: "binance-spot/20230405-btcusdt-nosnapshot",
        symbol: ("BTCUSDT", "0.01", "0.00000001"),
        messages: 15_088,
        depth: 3_929,
        tops: 8_015,
        trades: 3_144,
        last_u: 36_090_341_693,
        equal: 3_929,
        unequal: 0,
        best: None,
        assume_empty: true,
    });
}

#[test]
fn binance_many_symbols_with_snapshots_beside() {
    let usdm = [
        ("SUSHIUSDT", "0.0001", "1"),
        ("AKROUSDT", "0.00001", "1"),
        ("KEEPUSDT", "0.0001", "1"),
        ("CTKUSDT", "0.00001", "1"),
    ];
    let coinm = [
        ("BCHUSD_PERP", "0.01", "1"),
        ("LINKUSD_PERP", "0.001", "1"),
        ("ETCUSD_PERP", "0.001", "1"),
        ("XRPUSD_PERP", "0.0001", "1"),
        ("TRXUSD_PERP", "0.00001", "1"),
        ("EOSUSD_PERP", "0.001", "1"),
        ("BCHUSD_210924", "0.01", "1"),
        ("ETHUSD_210924", "0.01", "1"),
        ("BTCUSD_211231", "0.1", "1"),
        ("LINKUSD_211231", "0.001", "1"),
    ];
    let cases: [(VenueId, &str, &[_], u64, u64, u64); 2] = [
        (VenueId::BINANCE_USDM, "binance-usdm/20210722-4sym-100ms", &usdm, 1_535, 744, 0),
        (VenueId::BINANCE_COINM, "binance-coinm/20210722-10sym-100ms", &coinm, 4_371, 1_785, 3),
    ];
    for (venue, name, instruments, messages, equal, unequal) in cases {
        let Some(run) = run(venue, FeedConfig::default(), name, instruments) else { continue };
        let counters = run.feed.counters();
        assert_eq!(counters.messages, messages + instruments.len() as u64);
        assert!(counters.ignored[Ignored::Kline as usize] > 30);
        let sum = |part: fn(&Checked) -> u64| run.books.values().map(part).sum::<u64>();
        let found = (sum(|c| c.equal), sum(|c| c.unequal));
        eprintln!("  top of book: {} equal, {} unequal", found.0, found.1);
        assert!(found.0 >= equal, "{name}: {found:?}");
        assert_eq!(found.1, unequal, "{name}");
        assert!(run.books.values().all(|c| c.is_live), "{name}");
    }
}

#[test]
fn binance_short_files() {
    let btc = ("BTCUSDT", "0.10", "0.001");
    let name = "binance-usdm/20260928-btcusdt-depth-burst";
    if let Some(run) = run(VenueId::BINANCE_USDM, FeedConfig::default(), name, &[btc]) {
        assert_eq!(run.feed.counters().books, 3);
        assert_eq!(run.states, [BookState::Syncing]);
    }
    let empty = FeedConfig { assume_empty: true, ..FeedConfig::default() };
    if let Some(run) = self::run(VenueId::BINANCE_USDM, empty, name, &[btc]) {
        assert_eq!(run.states, [BookState::Live]);
        assert_eq!((run.books["BTCUSDT"].deltas, run.books["BTCUSDT"].last_seq), (3, 11_673_992_072_160));
    }
    let name = "binance-usdm/20260930-btc-eth-markprice";
    let both = [btc, ("ETHUSDT", "0.01", "0.001")];
    if let Some(run) = self::run(VenueId::BINANCE_USDM, FeedConfig::default(), name, &both) {
        assert_eq!((run.tickers, run.feed.counters().tickers), (20, 20));
    }
}

#[test]
fn bybit_four_symbols_depth_200() {
    let four = [
        ("BTCUSDT", "0.10", "0.001"),
        ("ETHUSDT", "0.01", "0.01"),
        ("SOLUSDT", "0.010", "0.1"),
        ("DOGEUSDT", "0.00001", "1"),
    ];
    let name = "bybit/linear-20260809-4sym-ob200";
    let Some(run) = run(VenueId::BYBIT, FeedConfig::default(), name, &four) else { return };
    let counters = run.feed.counters();
    assert_eq!(counters.messages, 2_546);
    assert_eq!(counters.books, 4 + 1_594);
    assert_eq!(counters.tickers, 4 + 754);
    assert_eq!((counters.trade_messages, counters.trades, run.trades), (102, 327, 327));
    assert_eq!(counters.ignored[Ignored::Kline as usize], 71);
    assert_eq!(counters.ignored[Ignored::Ack as usize], 17);
    let last = [("BTCUSDT", 15_077_365), ("ETHUSDT", 14_768_880), ("SOLUSDT", 13_783_705), ("DOGEUSDT", 13_178_638)];
    for (symbol, last_u) in last {
        let checked = &run.books[symbol];
        assert_eq!(checked.last_seq, last_u);
        assert_eq!((checked.book.bids.len(), checked.book.asks.len()), (200, 200));
        assert!(checked.is_live);
    }
    let sum = |part: fn(&Checked) -> u64| run.books.values().map(part).sum::<u64>();
    assert_eq!((sum(|c| c.equal), sum(|c| c.unequal)), (616, 4));
}

#[test]
fn bybit_depth_1_alone_is_the_book() {
    let four = [
        ("BANDUSDT", "0.0001", "0.1"),
        ("RADUSDT", "0.0001", "0.1"),
        ("SNTUSDT", "0.00001", "10"),
        ("AIOZUSDT", "0.0001", "1"),
    ];
    let Some(run) = run(VenueId::BYBIT, FeedConfig::default(), "bybit/linear-20250613-4sym-ob1", &four) else { return };
    let counters = run.feed.counters();
    assert_eq!((counters.messages, counters.books), (202, 198));
    assert_eq!(counters.ignored[Ignored::Ack as usize], 4);
    assert_eq!(run.states, [BookState::Live; 4]);
}

#[test]
fn bybit_archive_depth_500() {
    let xrp = [("XRPUSDT", "0.0001", "1")];
    let name = "bybit/linear-20241201-xrpusdt-ob500-archive";
    let Some(run) = run(VenueId::BYBIT, FeedConfig::default(), name, &xrp) else { return };
    let checked = &run.books["XRPUSDT"];
    assert_eq!((run.feed.counters().messages, checked.snapshots, checked.deltas), (50, 1, 49));
    assert_eq!((checked.first_seq, checked.last_seq), (20_254_870, 20_254_918));
    assert_eq!((checked.book.bids.len(), checked.book.asks.len()), (500, 500));
}

#[test]
fn bybit_tickers_merge() {
    let both = [("BTCUSDT", "0.10", "0.001"), ("ETHUSDT", "0.01", "0.01")];
    let Some(run) = run(VenueId::BYBIT, FeedConfig::default(), "bybit/linear-20260930-btc-eth-tickers", &both) else {
        return;
    };
    assert_eq!((run.feed.counters().messages, run.feed.counters().tickers), (964, 435 + 528));
}

#[test]
fn bybit_spot_depth_1_checks_depth_50() {
    let btc = [("BTCUSDT", "0.1", "0.000001")];
    let name = "bybit/spot-testnet-20260913-btcusdt-ob50-ob1";
    let Some(run) = run(VenueId::BYBIT, FeedConfig::default(), name, &btc) else { return };
    let counters = run.feed.counters();
    let checked = &run.books["BTCUSDT"];
    assert_eq!((counters.messages, counters.books, counters.tops, counters.trade_messages), (43, 19, 14, 7));
    assert_eq!(counters.ignored[Ignored::ErrorReply as usize], 1);
    assert_eq!(counters.ignored[Ignored::Pong as usize], 1);
    assert_eq!((checked.equal, checked.unequal, checked.last_seq), (13, 0, 3_734_376));
}
