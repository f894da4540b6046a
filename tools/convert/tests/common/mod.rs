//! What the tests share: the program, scratch folders, and what a capture says, message by message.
#![allow(dead_code)] // Each test uses its part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tercel::journal::{Capture, CaptureFile, CaptureMeta, Merge, meta_path};
use tercel::types::{BookKind, Event, InstrumentTable, Level, Side};
use tercel::venue::{Arrival, FeedConfig, MarketFeed};

/// A folder that goes away with its name.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tercel-convert-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Names in it, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap().flatten();
        let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program with arguments.
pub fn convert<I: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tercel-convert"));
    command.args(args);
    command
}

/// Runs it to its end, which must be good.
pub fn good(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert!(output.status.success(), "{command:?} ended with {}\n{said}", output.status);
    output
}

/// Runs it to its end, which must not be good; returns what it said.
pub fn bad(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
    said
}

/// A book that nobody could get wrong: bids, asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapBook(pub [BTreeMap<i64, i64>; 2]);

impl MapBook {
    pub fn apply(&mut self, is_snapshot: bool, sides: [&[Level]; 2]) {
        if is_snapshot {
            *self = Self::default();
        }
        for (book, levels) in self.0.iter_mut().zip(sides) {
            for level in levels {
                if level.qty.is_zero() {
                    book.remove(&level.px.get());
                } else {
                    book.insert(level.px.get(), level.qty.get());
                }
            }
        }
    }
}

/// What one message of a capture leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The whole book after it.
    Book { at: u64, venue_ms: u64, instrument: usize, book: MapBook },
    /// A trade.
    Trade { at: u64, venue_ms: u64, instrument: usize, taker: Side, px: i64, qty: i64 },
}

/// A book message or a trade, as the feed admits it.
#[derive(Clone, Debug)]
pub enum Told {
    Book { at: u64, venue_ms: u64, instrument: usize, is_snapshot: bool, bids: Vec<Level>, asks: Vec<Level> },
    Trade { at: u64, venue_ms: u64, instrument: usize, taker: Side, px: i64, qty: i64, seq: u64 },
}

/// Every book message and trade that the engine's own feed makes of messages.
pub fn told(table: &InstrumentTable, capture: &Capture) -> Vec<Told> {
    let venue = table.iter().next().unwrap().1.venue;
    let mut feed = MarketFeed::new(venue, table, FeedConfig::default()).unwrap();
    let mut told = Vec::new();
    for frame in (0..capture.len()).filter_map(|idx| capture.get(idx)) {
        let arrival = Arrival { recv: frame.at, framed_ns: 0 };
        let mut sink = |event: &Event<'_>| {
            let meta = event.meta();
            let (at, venue_ms, instrument) = (meta.recv.get(), meta.venue_ts.as_millis(), meta.instrument.idx());
            match event {
                Event::Book(book) => told.push(Told::Book {
                    at,
                    venue_ms,
                    instrument,
                    is_snapshot: book.kind == BookKind::Snapshot,
                    bids: book.bids.to_vec(),
                    asks: book.asks.to_vec(),
                }),
                Event::Trade(trade) => told.push(Told::Trade {
                    at,
                    venue_ms,
                    instrument,
                    taker: trade.taker,
                    px: trade.px.get(),
                    qty: trade.qty.get(),
                    seq: meta.seq,
                }),
                _ => {}
            }
        };
        let instrument = frame.symbol.and_then(|symbol| table.find(venue, symbol.as_bytes()));
        let result = match instrument {
            Some(instrument) => feed.on_snapshot(instrument, frame.message, arrival, &mut sink),
            None => feed.on_frame(frame.message, arrival, || 0, &mut sink),
        };
        result.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(frame.message)));
    }
    let counters = feed.counters();
    assert_eq!((counters.gaps, counters.unknown_messages, counters.unknown_symbols), (0, 0, 0));
    told
}

/// What they lead to: every state of every book, and every trade.
pub fn seen(told: &[Told], instruments: usize) -> Vec<Seen> {
    let mut books = vec![MapBook::default(); instruments];
    told.iter()
        .map(|told| match told {
            Told::Book { at, venue_ms, instrument, is_snapshot, bids, asks } => {
                books[*instrument].apply(*is_snapshot, [bids, asks]);
                let book = books[*instrument].clone();
                Seen::Book { at: *at, venue_ms: *venue_ms, instrument: *instrument, book }
            }
            &Told::Trade { at, venue_ms, instrument, taker, px, qty, .. } => {
                Seen::Trade { at, venue_ms, instrument, taker, px, qty }
            }
        })
        .collect()
}

/// A capture by its file, as a replay takes it: the sidecar says what it is.
pub fn read(path: &Path) -> (InstrumentTable, Capture) {
    let meta = CaptureMeta::read(&meta_path(path)).unwrap();
    let table = meta.table().unwrap();
    let mut capture = Capture::default();
    let file = CaptureFile { path: path.to_owned(), clock: meta.clock, feed: 0 };
    Merge::open(&[file]).unwrap().fill(&mut capture, usize::MAX).unwrap();
    (table, capture)
}
