//! Real captures through the venue codecs: counts, sequences, tops of book and final books as their README lists them.
//!
//! The captures are not part of the repository. `TERCEL_CAPTURES` names their folder, `../shared/captures` otherwise; a
//! missing file is a line `SKIPPED` on the error output.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use tercel::journal::synthetic::{SyntheticConfig, generate, sidecar};
use tercel::journal::{Capture, CaptureMeta, Frame, infer_file, load};
use tercel::types::{BookKind, BookState, Event, InstrumentId, InstrumentTable, Level, Nanos, Top, TopCheck, VenueId};
use tercel::venue::{Arrival, FeedConfig, FrameKind, Ignored, MarketFeed};

fn folder() -> PathBuf {
    match std::env::var_os("TERCEL_CAPTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures")).to_path_buf(),
    }
}

/// The capture's path, or nothing with a loud word.
fn find(name: &str) -> Option<PathBuf> {
    let path = folder().join(format!("{name}.jsonl.gz"));
    if path.exists() {
        return Some(path);
    }
    // Straight to the error output: the test harness swallows `eprintln!`.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: no such capture in {}", folder().display());
    None
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
    table: InstrumentTable,
}

/// Plays a capture with the snapshots beside it, under the sidecar that is inferred from it.
fn run(config: FeedConfig, name: &str) -> Option<Run> {
    let path = find(name)?;
    let inferred = infer_file(&path).unwrap();
    // The folder says what the file is: `binance-usdm/…`, `bybit/…`.
    assert_eq!(Some(inferred.meta.venue.as_str()), name.split('/').next(), "{:?}", inferred.guesses);
    let capture = load(&[path], inferred.meta.clock).unwrap();
    assert_eq!(inferred.messages, capture.len() as u64);
    let run = play(name, &inferred.meta, config, (0..capture.len()).filter_map(|idx| capture.get(idx)));
    eprintln!("ran {name}: {} messages", capture.len());
    Some(run)
}

/// Whether messages of that kind have a form that is read without looking at keys.
fn has_usual_form(name: &str, kind: FrameKind) -> bool {
    match kind {
        FrameKind::Trades => !name.starts_with("bybit/spot"),
        FrameKind::Ticker => name.starts_with("bybit/linear"),
        FrameKind::Book => !name.contains("spot") && !name.ends_with("-archive"),
        FrameKind::Top => name.starts_with("binance-") && !name.contains("spot"),
        _ => false,
    }
}

/// Plays messages and checks what holds for every good capture.
fn play<'a>(name: &str, sidecar: &CaptureMeta, config: FeedConfig, messages: impl Iterator<Item = Frame<'a>>) -> Run {
    let (venue, table) = (sidecar.venue().unwrap(), sidecar.table().unwrap());
    let mut run = Run {
        feed: MarketFeed::new(venue, &table, config).unwrap(),
        books: table.iter().map(|(_, spec)| (spec.symbol.to_string(), Checked::default())).collect(),
        trades: 0,
        tickers: 0,
        states: Vec::new(),
        table: table.clone(),
    };
    let mut pair = tercel::venue::fuzz::Pair::new(venue, &table);
    let (mut count, mut unusual) = (0, 0);
    for (idx, message) in messages.enumerate() {
        let side = message.symbol.map(|symbol| table.find(venue, symbol.as_bytes()).unwrap());
        let owner = side.or((table.len() == 1).then_some(InstrumentId(0)));
        let verdict = pair.compare(message.message, owner);
        assert!(verdict.is_quick && verdict.is_general, "{name}: message {idx}: {verdict:?}");
        let arrival = Arrival { recv: message.at, framed_ns: 0 };
        let Run { feed, books, trades, tickers, states, .. } = &mut run;
        let mut sink = |event: &Event<'_>| {
            match event {
                Event::Trade(_) => *trades += 1,
                Event::Ticker(_) => *tickers += 1,
                Event::BookStatus(status) => states.push(status.state),
                _ => {}
            }
            let spec = table.get(event.meta().instrument).unwrap();
            assert_eq!(event.meta().recv, message.at);
            books.get_mut(spec.symbol.as_str()).unwrap().take(event);
        };
        let result = match side {
            Some(id) => feed.on_snapshot(id, message.message, arrival, &mut sink),
            None => feed.on_frame(message.message, arrival, || 0, &mut sink),
        };
        match result {
            Ok(FrameKind::Unknown | FrameKind::UnknownSymbol) => {
                panic!("{name}: message {idx} is not explained: {}", String::from_utf8_lossy(message.message))
            }
            Ok(kind) => {
                count += 1;
                unusual += usize::from(has_usual_form(name, kind) && !verdict.is_usual);
            }
            Err(error) => panic!("{name}: message {idx}: {error}: {}", String::from_utf8_lossy(message.message)),
        }
    }
    for checked in run.books.values_mut() {
        checked.settle(u64::MAX);
    }
    let counters = run.feed.counters();
    assert_eq!(counters.accounted(), counters.messages, "{name}");
    assert_eq!(counters.gaps, 0, "{name}");
    assert_eq!(counters.messages, count, "{name}");
    assert_eq!(counters.general_path, 0, "{name}: the scanner takes every captured message");
    // Those that a stream begins with, snapshots of books, and a trade that never met the book.
    assert!(unusual <= 5 * table.len(), "{name}: {unusual} of {count} messages were not read the usual way");
    run
}

/// What the README lists for a one-symbol Binance capture.
struct Listed {
    name: &'static str,
    symbol: &'static str,
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
    let Some(run) = run(config, listed.name) else { return };
    let counters = run.feed.counters();
    let checked = &run.books[listed.symbol];
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
        let (_, spec) = run.table.iter().next().unwrap();
        let (tick, lot) = (spec.tick, spec.lot);
        let side = |px: &str, qty: &str| Some((tick.parse(px.as_bytes()).unwrap(), lot.parse(qty.as_bytes()).unwrap()));
        assert_eq!(checked.book.best(), (side(bid_px, bid_qty), side(ask_px, ask_qty)));
        assert_eq!((checked.book.bids.len(), checked.book.asks.len()), (bids, asks));
    }
}

#[test]
fn binance_usdm_btcusdt_2024() {
    check_listed(&Listed {
        name: "binance-usdm/20240808-btcusdt",
        symbol: "BTCUSDT",
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
        name: "binance-usdm/20240808-ethusdt",
        symbol: "ETHUSDT",
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
        name: "binance-usdm/20230404-btcusdt",
        symbol: "BTCUSDT",
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
        name: "binance-coinm/20240808-btcusd_perp",
        symbol: "BTCUSD_PERP",
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
        name: "binance-spot/20240808-btcusdt",
        symbol: "BTCUSDT",
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
        name: "binance-spot/20240723-nexousdt-34h",
        symbol: "NEXOUSDT",
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
        name: "binance-spot/20230405-btcusdt-nosnapshot",
        symbol: "BTCUSDT",
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
    let cases: [(&str, u64, u64, u64, u64); 2] = [
        ("binance-usdm/20210722-4sym-100ms", 4, 1_535, 744, 0),
        ("binance-coinm/20210722-10sym-100ms", 10, 4_371, 1_785, 3),
    ];
    for (name, snapshots, messages, equal, unequal) in cases {
        let Some(run) = run(FeedConfig::default(), name) else { continue };
        let counters = run.feed.counters();
        assert_eq!(counters.messages, messages + snapshots);
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
    let name = "binance-usdm/20260928-btcusdt-depth-burst";
    if let Some(run) = self::run(FeedConfig::default(), name) {
        assert_eq!(run.feed.counters().books, 3);
        assert_eq!(run.states, [BookState::Syncing]);
    }
    let empty = FeedConfig { assume_empty: true, ..FeedConfig::default() };
    if let Some(run) = self::run(empty, name) {
        assert_eq!(run.states, [BookState::Live]);
        assert_eq!((run.books["BTCUSDT"].deltas, run.books["BTCUSDT"].last_seq), (3, 11_673_992_072_160));
    }
    let name = "binance-usdm/20260930-btc-eth-markprice";
    if let Some(run) = self::run(FeedConfig::default(), name) {
        assert_eq!((run.tickers, run.feed.counters().tickers), (20, 20));
    }
}

#[test]
fn bybit_four_symbols_depth_200() {
    let name = "bybit/linear-20260809-4sym-ob200";
    let Some(run) = run(FeedConfig::default(), name) else { return };
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
    let Some(run) = run(FeedConfig::default(), "bybit/linear-20250613-4sym-ob1") else { return };
    let counters = run.feed.counters();
    assert_eq!((counters.messages, counters.books), (202, 198));
    assert_eq!(counters.ignored[Ignored::Ack as usize], 4);
    assert_eq!(run.states, [BookState::Live; 4]);
}

#[test]
fn bybit_archive_depth_500() {
    let name = "bybit/linear-20241201-xrpusdt-ob500-archive";
    let Some(run) = run(FeedConfig::default(), name) else { return };
    let checked = &run.books["XRPUSDT"];
    assert_eq!((run.feed.counters().messages, checked.snapshots, checked.deltas), (50, 1, 49));
    assert_eq!((checked.first_seq, checked.last_seq), (20_254_870, 20_254_918));
    assert_eq!((checked.book.bids.len(), checked.book.asks.len()), (500, 500));
}

#[test]
fn bybit_tickers_merge() {
    let Some(run) = run(FeedConfig::default(), "bybit/linear-20260930-btc-eth-tickers") else {
        return;
    };
    assert_eq!((run.feed.counters().messages, run.feed.counters().tickers), (964, 435 + 528));
}

#[test]
fn bybit_spot_depth_1_checks_depth_50() {
    let name = "bybit/spot-testnet-20260913-btcusdt-ob50-ob1";
    let Some(run) = run(FeedConfig::default(), name) else { return };
    let counters = run.feed.counters();
    let checked = &run.books["BTCUSDT"];
    assert_eq!((counters.messages, counters.books, counters.tops, counters.trade_messages), (43, 19, 14, 7));
    assert_eq!(counters.ignored[Ignored::ErrorReply as usize], 1);
    assert_eq!(counters.ignored[Ignored::Pong as usize], 1);
    assert_eq!((checked.equal, checked.unequal, checked.last_seq), (13, 0, 3_734_376));
}

/// The same checks where no real capture is.
#[test]
fn generated_captures_of_every_dialect() {
    for venue in [VenueId::BYBIT, VenueId::BINANCE_USDM, VenueId::BINANCE_COINM, VenueId::BINANCE_SPOT] {
        for seed in 0..4 {
            let config = SyntheticConfig::new(venue, seed);
            let made = generate(&config);
            assert_eq!(made.lines, generate(&config).lines);
            let name = format!("generated {} {seed}", venue.name());
            let mut capture = Capture::default();
            for (recv, message) in &made.lines {
                capture.push(Nanos::new(*recv), message);
            }
            let owner =
                |idx: usize| made.snapshots.iter().find(|(at, _)| *at == idx).map(|(_, symbol)| symbol.as_str());
            let messages = (0..capture.len())
                .filter_map(|idx| capture.get(idx).map(|frame| Frame { symbol: owner(idx), ..frame }));
            let run = play(&name, &sidecar(&config), FeedConfig::default(), messages);
            let counters = run.feed.counters();
            assert_eq!(counters.books, made.depth_events + made.snapshots.len() as u64, "{name}");
            assert_eq!((counters.trades, counters.tops), (made.trades, made.tops), "{name}");
            for book in &made.books {
                let checked = &run.books[&book.symbol];
                assert!(checked.is_live, "{name}");
                assert_eq!(checked.book.best(), (book.bid, book.ask), "{name}");
                assert!(checked.equal > 100 && checked.unequal == 0, "{name}: {} {}", checked.equal, checked.unequal);
                if venue == VenueId::BYBIT {
                    assert_eq!(checked.book.bids.len(), book.bid_levels);
                    assert_eq!(checked.book.asks.len(), book.ask_levels);
                }
            }
        }
    }
}
