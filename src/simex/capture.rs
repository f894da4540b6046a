//! Plays recorded frames: verbatim to their subscribers, decoded to the venue's own markets.
//!
//! The clock starts with the first subscription. Who comes later gets a snapshot made from the frames so far, numbered like the
//! newest of them, so that the next recorded delta fits.

use super::{
    json::Obj,
    public::{self, Topic},
};
use crate::{
    journal::{CaptureError, CaptureReader},
    sim::Venue,
    types::{Event, InstrumentId, InstrumentSpec, InstrumentTable, Level, Lots, Nanos, Product, Ticks},
    venue::{Arrival, FeedConfig, FrameKind, bybit::MarketFeed},
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, io, path::Path};

/// One line of a capture file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureLine {
    /// When it was received; zero if that was not recorded.
    pub recv: Nanos,
    /// The message as the venue sent it.
    pub raw: String,
}

/// Reads a whole capture file.
///
/// # Errors
/// As [`CaptureReader`]; a message that is not UTF-8 is one of a broken file.
pub fn load_capture(path: &Path) -> Result<Vec<CaptureLine>, CaptureError> {
    let mut reader = CaptureReader::open(path)?;
    let mut lines = Vec::new();
    while let Some((recv_ns, message)) = reader.next_line()? {
        let raw = std::str::from_utf8(message).map(str::to_owned);
        match raw {
            Ok(raw) => lines.push(CaptureLine { recv: Nanos::new(recv_ns), raw }),
            Err(error) => {
                let source = io::Error::new(io::ErrorKind::InvalidData, error);
                return Err(CaptureError::Io { file: path.to_owned(), line: reader.line(), source });
            }
        }
    }
    Ok(lines)
}

pub(super) struct Capture {
    frames: Vec<CapturedFrame>,
    topics: Vec<CapturedTopic>,
    speed_percent: u32,
    repeat: bool,
    next: usize,
    started: Option<Nanos>,
    /// Decodes and sequences for the venue's own markets, exactly as a client would.
    feed: Option<MarketFeed>,
    /// Frames that could be sent but not understood.
    pub undecoded: u64,
}

struct CapturedFrame {
    /// Since the start of the capture.
    offset_ns: u64,
    topic: u32,
    raw: String,
}

struct CapturedTopic {
    name: String,
    instrument: Option<InstrumentId>,
    /// For `orderbook` topics.
    book: Option<CapturedBook>,
    /// For `tickers` topics: all fields so far, and the newest `cs`.
    ticker: Option<(Map<String, Value>, u64)>,
}

#[derive(Default)]
struct CapturedBook {
    depth: u16,
    bids: BTreeMap<Ticks, Lots>,
    asks: BTreeMap<Ticks, Lots>,
    u: u64,
    seq: u64,
    /// A snapshot has been played.
    is_whole: bool,
}

impl Capture {
    pub fn new(lines: Vec<CaptureLine>, venue: &Venue, speed_percent: u32, repeat: bool) -> Self {
        let mut capture = Self {
            frames: Vec::with_capacity(lines.len()),
            topics: Vec::new(),
            speed_percent: speed_percent.max(1),
            repeat,
            next: 0,
            started: None,
            feed: None,
            undecoded: 0,
        };
        let mut by_name: BTreeMap<String, u32> = BTreeMap::new();
        let (mut first, mut latest) = (None, 0);
        for line in lines {
            // Acks and pongs were for another client; a frame without a topic has no subscribers.
            let Some(name) = topic_of(&line.raw) else { continue };
            let topic = *by_name.entry(name.to_owned()).or_insert_with(|| {
                capture.topics.push(CapturedTopic::new(name, venue));
                (capture.topics.len() - 1) as u32
            });
            // Without a time of receipt the venue's own tells the pace.
            let at = if line.recv > Nanos::ZERO { line.recv } else { stamp_of(&line.raw) };
            let start = *first.get_or_insert(at);
            latest = at.saturating_since(start).max(latest);
            capture.frames.push(CapturedFrame { offset_ns: latest, topic, raw: line.raw });
        }
        let specs =
            (0..venue.instruments_len()).filter_map(|idx| venue.spec(InstrumentId(idx as u16)).copied()).collect();
        if let Some(table) = InstrumentTable::new(specs) {
            let mut feed = MarketFeed::new(&table, FeedConfig::default());
            for idx in 0..table.len() {
                let instrument = InstrumentId(idx as u16);
                let own = capture.topics.iter().filter(|topic| topic.instrument == Some(instrument));
                feed.set_book_depth(instrument, own.filter_map(|topic| Some(topic.book.as_ref()?.depth)).max());
            }
            capture.feed = Some(feed);
        }
        capture
    }

    pub fn topic(&self, name: &str) -> Option<Topic> {
        let at = self.topics.iter().position(|topic| topic.name == name)?;
        Some(Topic::Captured(at as u32))
    }

    pub fn instrument(&self, topic: u32) -> Option<InstrumentId> {
        self.topics.get(topic as usize)?.instrument
    }

    pub fn start(&mut self, now: Nanos) {
        self.started.get_or_insert(now);
    }

    pub fn is_finished(&self) -> bool {
        self.started.is_some() && self.next >= self.frames.len() && !self.repeat
    }

    /// A snapshot of a book or ticker as far as it was played; `None` for others, and before the first recorded snapshot.
    pub fn first_frame(&self, topic: u32, venue: &Venue, now: Nanos) -> Option<String> {
        let topic = self.topics.get(topic as usize)?;
        if let Some((fields, cs)) = topic.ticker.as_ref().filter(|(fields, _)| !fields.is_empty()) {
            let frame = Obj::new().text("topic", &topic.name).text("type", "snapshot");
            let data = serde_json::to_string(fields).ok()?;
            return Some(frame.raw("data", data).raw("cs", cs).raw("ts", now.as_millis()).done());
        }
        let book = topic.book.as_ref().filter(|book| book.is_whole)?;
        let level = |(&px, &qty): (&Ticks, &Lots)| Level { px, qty };
        let bids: Vec<_> = book.bids.iter().rev().map(level).take(book.depth.into()).collect();
        let asks: Vec<_> = book.asks.iter().map(level).take(book.depth.into()).collect();
        let spec = venue.spec(topic.instrument?)?;
        Some(public::book_frame(spec, book.depth, "snapshot", &bids, &asks, book.u, book.seq, now))
    }

    /// Plays the next due frame: the venue's markets follow it, and it is returned to be sent.
    pub fn next_due(&mut self, venue: &mut Venue, now: Nanos) -> Option<(Topic, &str)> {
        let started = self.started?;
        if self.next >= self.frames.len() && self.repeat && !self.frames.is_empty() {
            self.next = 0;
            self.started = Some(now);
            return None;
        }
        let frame = self.frames.get(self.next)?;
        let played_ns = u128::from(now.saturating_since(started)) * u128::from(self.speed_percent) / 100;
        if u128::from(frame.offset_ns) > played_ns {
            return None;
        }
        self.next += 1;
        if let Some(topic) = self.topics.get_mut(frame.topic as usize) {
            // What this cannot read the decoder below refuses too, and counts.
            let _ = topic.note(&frame.raw, venue);
        }
        let arrival = Arrival { recv: now, framed_ns: 0 };
        let mut sink = |event: &Event<'_>| venue.on_market_event(event, now);
        let decoded = self.feed.as_mut().map(|feed| feed.on_frame(frame.raw.as_bytes(), arrival, || 0, &mut sink));
        if !matches!(
            decoded,
            Some(Ok(FrameKind::Book | FrameKind::Top | FrameKind::Trades | FrameKind::Ticker | FrameKind::Ignored(_)))
        ) {
            self.undecoded += 1;
        }
        Some((Topic::Captured(frame.topic), &frame.raw))
    }
}

impl CapturedTopic {
    fn new(name: &str, venue: &Venue) -> Self {
        let (family, symbol) = name.rsplit_once('.').unwrap_or((name, ""));
        let depth = family.strip_prefix("orderbook.").and_then(|depth| depth.parse().ok());
        Self {
            name: name.to_owned(),
            instrument: [Product::Linear, Product::Spot].into_iter().find_map(|product| venue.find(product, symbol)),
            book: depth.map(|depth| CapturedBook { depth, ..CapturedBook::default() }),
            ticker: (family == "tickers").then(Default::default),
        }
    }

    /// Follows a book or a ticker, so that a late subscriber can be given its state.
    fn note(&mut self, raw: &str, venue: &Venue) -> Option<()> {
        if self.book.is_none() && self.ticker.is_none() {
            return None;
        }
        let message: Value = serde_json::from_str(raw).ok()?;
        let data = message.get("data")?;
        if let Some((fields, cs)) = &mut self.ticker {
            let changed = data.as_object()?.iter();
            fields.extend(changed.map(|(key, value)| (key.clone(), value.clone())));
            *cs = message.get("cs").and_then(Value::as_u64).unwrap_or(*cs);
        }
        let book = self.book.as_mut()?;
        let spec = venue.spec(self.instrument?)?;
        let (bids, asks) = (levels(spec, data.get("b")?)?, levels(spec, data.get("a")?)?);
        let (u, seq) = (data.get("u")?.as_u64()?, data.get("seq")?.as_u64()?);
        if message.get("type")?.as_str()? == "snapshot" {
            book.bids.clear();
            book.asks.clear();
            book.is_whole = true;
        }
        for (side, levels) in [(&mut book.bids, bids), (&mut book.asks, asks)] {
            for level in levels {
                if level.qty.is_zero() {
                    side.remove(&level.px)
                } else {
                    side.insert(level.px, level.qty)
                };
            }
        }
        (book.u, book.seq) = (u, seq);
        Some(())
    }
}

fn levels(spec: &InstrumentSpec, levels: &Value) -> Option<Vec<Level>> {
    let level = |level: &Value| {
        let part = |at: usize| level.get(at)?.as_str().map(str::as_bytes);
        Some(Level { px: spec.tick.parse_ticks(part(0)?).ok()?, qty: spec.lot.parse_lots(part(1)?).ok()? })
    };
    levels.as_array()?.iter().map(level).collect()
}

/// The topic of a frame, wherever in it the key stands.
fn topic_of(raw: &str) -> Option<&str> {
    let (_, rest) = raw.split_once("\"topic\":\"")?;
    rest.split_once('"').map(|(topic, _)| topic)
}

fn stamp_of(raw: &str) -> Nanos {
    let digits = raw.split_once("\"ts\":").map_or("", |(_, rest)| rest);
    let end = digits.find(|char: char| !char.is_ascii_digit()).unwrap_or(digits.len());
    Nanos::from_millis(digits.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0))
}
