//! Plays recorded frames: verbatim to their subscribers, decoded to the venue's own markets.
//!
//! The clock starts with the first subscription. Who comes later gets a snapshot made from the frames so far, numbered like the
//! newest of them, so that the next recorded delta fits.

use super::public::{self, Topic};
use crate::{
    sim::Venue,
    types::{
        Book, BookKind, Event, InstrumentId, InstrumentSpec, Level, Lots, Meta, Money, Nanos, Rate, Side, Ticker,
        Ticks, Top, TopCheck, Trade,
    },
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

/// One line of a capture file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureLine {
    /// When it was received; zero if that was not recorded.
    pub recv: Nanos,
    /// The message as the venue sent it.
    pub raw: String,
}

/// Reads a capture file, plain or compressed by gzip or zstd (told by its first bytes).
///
/// # Errors
/// Of the file; [`io::ErrorKind::InvalidData`] names the first line that is not `<ns>\t<message>`.
pub fn load_capture(path: &Path) -> io::Result<Vec<CaptureLine>> {
    let mut magic = [0; 4];
    let len = File::open(path)?.read(&mut magic)?;
    let file = File::open(path)?;
    let reader: Box<dyn Read> = match magic.get(..len) {
        Some([0x1f, 0x8b, ..]) => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some([0x28, 0xb5, 0x2f, 0xfd]) => Box::new(zstd::Decoder::new(file)?),
        _ => Box::new(file),
    };
    let parse = |(idx, line): (usize, io::Result<String>)| {
        let line = line?;
        let parts = line.split_once('\t').and_then(|(recv, raw)| Some((recv.parse().ok()?, raw)));
        let (recv, raw) = parts.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("line {} is not a time, a tab and a message", idx + 1))
        })?;
        Ok(CaptureLine { recv: Nanos::new(recv), raw: raw.to_owned() })
    };
    BufReader::new(reader).lines().enumerate().map(parse).collect()
}

pub(super) struct Capture {
    frames: Vec<CapturedFrame>,
    topics: Vec<CapturedTopic>,
    speed_percent: u32,
    repeat: bool,
    next: usize,
    started: Option<Nanos>,
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
    /// Whether the venue's market follows this topic: the deepest book of its instrument.
    leads: bool,
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
        let mut deepest: BTreeMap<InstrumentId, u16> = BTreeMap::new();
        for topic in &capture.topics {
            if let Some(instrument) = topic.instrument {
                let depth = deepest.entry(instrument).or_default();
                *depth = topic.depth().max(*depth);
            }
        }
        for topic in &mut capture.topics {
            let depth = topic.instrument.and_then(|instrument| deepest.get(&instrument));
            topic.leads = topic.book.is_some() && depth == Some(&topic.depth());
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

    /// A snapshot of a book topic as far as it was played; `None` for others, and before the first recorded snapshot.
    pub fn first_frame(&self, topic: u32, venue: &Venue, now: Nanos) -> Option<String> {
        let topic = self.topics.get(topic as usize)?;
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
        let topic = &mut self.topics[frame.topic as usize];
        if decode(topic, &frame.raw, venue, now).is_none() {
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
            instrument: venue.find(symbol),
            book: depth.map(|depth| CapturedBook { depth, ..CapturedBook::default() }),
            leads: false,
        }
    }

    fn depth(&self) -> u16 {
        self.book.as_ref().map_or(0, |book| book.depth)
    }
}

/// Feeds one frame to the venue. `None` if it is not understood, which costs our orders their fills but no client its frame.
fn decode(topic: &mut CapturedTopic, raw: &str, venue: &mut Venue, now: Nanos) -> Option<()> {
    let message: Value = serde_json::from_str(raw).ok()?;
    let data = message.get("data")?;
    let instrument = topic.instrument?;
    let spec = *venue.spec(instrument)?;
    let millis = |value: Option<&Value>| Nanos::from_millis(value.and_then(Value::as_u64).unwrap_or(0));
    let meta = Meta { instrument, recv: now, venue_ts: millis(message.get("ts")), ..Meta::default() };
    if let Some(book) = &mut topic.book {
        let bids = levels(&spec, data.get("b")?)?;
        let asks = levels(&spec, data.get("a")?)?;
        let u = data.get("u")?.as_u64()?;
        let cross_seq = data.get("seq")?.as_u64()?;
        let kind = if message.get("type")?.as_str()? == "snapshot" { BookKind::Snapshot } else { BookKind::Delta };
        if kind == BookKind::Snapshot {
            book.bids.clear();
            book.asks.clear();
            book.is_whole = true;
        }
        for (side, levels) in [(&mut book.bids, &bids), (&mut book.asks, &asks)] {
            for level in levels {
                if level.qty.is_zero() {
                    side.remove(&level.px)
                } else {
                    side.insert(level.px, level.qty)
                };
            }
        }
        (book.u, book.seq) = (u, cross_seq);
        if topic.leads {
            let event = Book { meta: Meta { seq: u, ..meta }, kind, cross_seq, bids: &bids, asks: &asks };
            venue.on_market_event(&Event::Book(event), now);
        } else if book.depth == 1 {
            let top = Top {
                meta: Meta { seq: cross_seq, ..meta },
                check: TopCheck::SameSeq,
                bid: bids.first().copied(),
                ask: asks.first().copied(),
            };
            venue.on_market_event(&Event::Top(top), now);
        }
        return Some(());
    }
    if topic.name.starts_with("publicTrade.") {
        for trade in data.as_array()? {
            let text = |name| trade.get(name)?.as_str();
            let event = Trade {
                meta: Meta { seq: trade.get("seq").and_then(Value::as_u64).unwrap_or(0), ..meta },
                taker: if text("S")? == "Buy" { Side::Bid } else { Side::Ask },
                px: spec.tick.parse_ticks(text("p")?.as_bytes()).ok()?,
                qty: spec.lot.parse_lots(text("v")?.as_bytes()).ok()?,
            };
            venue.on_market_event(&Event::Trade(event), now);
        }
    } else if topic.name.starts_with("tickers.") {
        let money = |name| data.get(name).and_then(Value::as_str).and_then(|text| Money::parse(text.as_bytes()).ok());
        let event = Ticker {
            meta,
            mark_px: money("markPrice").unwrap_or_default(),
            index_px: money("indexPrice").unwrap_or_default(),
            last_px: Ticks::ZERO,
            funding_rate: Rate::ZERO,
            next_funding: Nanos::ZERO,
        };
        venue.on_market_event(&Event::Ticker(event), now);
    }
    Some(())
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
