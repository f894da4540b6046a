//! What is played: market messages, when each is due, and which order proves that it was understood.
//!
//! The order that answers a message carries in its quantity the number of book updates that the engine had applied when it
//! decided, so that an order tells by itself which message caused it, and cannot be sent without that message.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::strategy::{order_code, order_px};
use crate::book::naive::NaiveBook;
use crate::journal::Capture;
use crate::sim::Rng;
use crate::types::{
    Book, BookKind, Event, InstrumentId, InstrumentSpec, InstrumentTable, Level, Lots, Meta, Product, Side, Step,
    Symbol, Ticks, VenueId,
};
use crate::venue::{Arrival, FeedConfig, MarketFeed};

/// Different messages that are cycled through, so that branch predictors do not learn the one.
const BODIES: usize = 512;

/// Levels of a side in the snapshot.
const SNAPSHOT_LEVELS: i64 = 50;

/// Header of a frame between 126 bytes and 64 KiB from a server.
const FRAME_HEADER_BYTES: i64 = 4;

/// Shortest and longest mean length of a generated tick's frame, in bytes: a few levels, and nearly all that a book of
/// `SNAPSHOT_LEVELS` has.
pub const FRAME_BYTES: (usize, usize) = (220, 1_600);

/// Highest bid and lowest ask that ever appear. Each side stays on its side of the border, so that no order of the
/// messages, and no cycle of them, crosses the book.
const BID_MAX_TICKS: i64 = 600_000;
const ASK_MIN_TICKS: i64 = 600_001;

/// Update ids and cross sequences have the same number of digits throughout and are written over in place.
const FIRST_UPDATE: u64 = 1_000_000_000;
const FIRST_SEQ: u64 = 10_000_000_000;

/// The order that a tick should cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The instrument.
    pub instrument: InstrumentId,
    /// Its quantity, which names the tick.
    pub code: Lots,
    /// Its price, where it is known beforehand.
    pub px: Option<Ticks>,
}

/// One message to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Tick<'a> {
    /// Its text.
    pub payload: &'a [u8],
    /// When it is due, in nanoseconds after the first.
    pub due_ns: u64,
    /// The order that should answer it; `None` for messages that ask for none.
    pub expected: Option<Expected>,
}

/// A generated message: its text, and where its two numbers stand.
struct Body {
    text: Vec<u8>,
    update_at: usize,
    seq_at: usize,
    /// Touches after this message, in the first cycle and in all later ones.
    touches: [[Ticks; 2]; 2],
}

struct Generated {
    snapshot: Vec<u8>,
    bodies: Vec<Body>,
    /// The mean length that was asked for.
    frame_bytes: usize,
}

/// Messages of a capture with what each should cause.
struct Captured {
    capture: Arc<Capture>,
    expected: Vec<Option<Expected>>,
    pace: u64,
}

enum Source {
    Generated(Generated),
    Captured(Captured),
}

/// A sequence of messages with their schedule. Clones share the messages and each play from the start.
#[derive(Clone)]
pub struct Traffic {
    table: InstrumentTable,
    topics: Vec<String>,
    book_depth: u16,
    source: Arc<Source>,
    /// Time between two generated messages.
    period_ns: u64,
    buffer: Vec<u8>,
}

/// Why a capture cannot be played.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    /// It is of a venue whose orders the bench does not speak.
    #[error("the bench speaks Bybit; this capture holds messages of {0}")]
    Venue(&'static str),
    /// No message of it would cause an order.
    #[error("the capture holds no book delta that would cause an order")]
    NoOrders,
}

impl Traffic {
    /// Makes `rate` messages a second: book deltas of BTCUSDT, 512 different ones in turn, whose frames have `frame_bytes`
    /// bytes on average, as nearly as whole levels allow between [`FRAME_BYTES`].
    pub fn generated(rate: u32, frame_bytes: usize, seed: u64) -> Self {
        let step = |text: &[u8]| Step::from_text(text).unwrap_or_else(|_| unreachable!("a constant that is a step"));
        let (tick, lot) = (step(b"0.10"), step(b"0.001"));
        let spec = Symbol::new(b"BTCUSDT")
            .and_then(|symbol| InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, tick, lot));
        let table = spec.and_then(|spec| InstrumentTable::new(vec![spec])).unwrap_or_default();
        Self {
            table,
            topics: vec!["orderbook.50.BTCUSDT".to_owned()],
            book_depth: 50,
            source: Arc::new(Source::Generated(generate(frame_bytes, seed, tick, lot))),
            period_ns: period_ns(rate),
            buffer: Vec::with_capacity(FRAME_BYTES.1),
        }
    }

    /// The same messages at another rate. A capture has its own pace and keeps it.
    pub fn with_rate(&self, rate: u32) -> Self {
        Self { period_ns: period_ns(rate), ..self.clone() }
    }

    /// Plays a Bybit capture, `pace` times as fast as it was recorded.
    ///
    /// # Errors
    /// [`TrafficError`].
    pub fn captured(
        capture: Arc<Capture>,
        venue: VenueId,
        table: InstrumentTable,
        pace: u32,
    ) -> Result<Self, TrafficError> {
        if venue != VenueId::BYBIT {
            return Err(TrafficError::Venue(venue.name()));
        }
        let mut feed =
            MarketFeed::new(venue, &table, FeedConfig::default()).ok_or(TrafficError::Venue(venue.name()))?;
        let mut updates = vec![0u64; table.len()];
        let mut topics = BTreeMap::new();
        let mut expected = Vec::with_capacity(capture.len());
        let mut depth = 0;
        for frame in (0..capture.len()).filter_map(|idx| capture.get(idx)) {
            if let Some(topic) = topic_of(frame.message) {
                depth = depth.max(depth_of(topic));
                topics.entry(topic.to_owned()).or_insert(());
            }
            let mut answer = None;
            let mut note = |event: &Event<'_>| {
                if let Event::Book(book) = event
                    && let Some(count) = updates.get_mut(book.meta.instrument.idx())
                {
                    *count += 1;
                    // The engine looks at a book only after its first event has been proven live.
                    let is_first = *count == 1;
                    let code = order_code(*count);
                    answer = (!is_first).then_some(Expected { instrument: book.meta.instrument, code, px: None });
                }
            };
            let arrival = Arrival { recv: frame.at, framed_ns: 0 };
            // What the venue sends and nobody understands is played, too; it causes nothing.
            let _ = feed.on_frame(frame.message, arrival, || 0, &mut note);
            expected.push(answer);
        }
        if expected.iter().all(Option::is_none) {
            return Err(TrafficError::NoOrders);
        }
        let source = Source::Captured(Captured { capture, expected, pace: u64::from(pace.max(1)) });
        Ok(Self {
            table,
            topics: topics.into_keys().collect(),
            book_depth: depth,
            source: Arc::new(source),
            period_ns: 0,
            buffer: Vec::new(),
        })
    }

    /// The instruments.
    pub fn table(&self) -> &InstrumentTable {
        &self.table
    }

    /// The topics that the engine subscribes to.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Depth of the topic that is the book.
    pub fn book_depth(&self) -> u16 {
        self.book_depth
    }

    /// What is sent at the subscription, before the first tick; empty where the ticks themselves begin with it.
    pub fn snapshot(&self) -> &[u8] {
        match &*self.source {
            Source::Generated(generated) => &generated.snapshot,
            Source::Captured(_) => &[],
        }
    }

    /// Tick `number`, counted from 0; `None` after the last.
    #[inline]
    pub fn tick(&mut self, number: u64) -> Option<Tick<'_>> {
        match &*self.source {
            Source::Generated(generated) => {
                let idx = (number % BODIES as u64) as usize;
                let body = &generated.bodies[idx];
                self.buffer.clear();
                self.buffer.extend_from_slice(&body.text);
                write_digits(FIRST_UPDATE + 1 + number, &mut self.buffer[body.update_at..body.update_at + 10]);
                write_digits(FIRST_SEQ + 1 + number, &mut self.buffer[body.seq_at..body.seq_at + 11]);
                // The snapshot was the first update.
                let updates = number + 2;
                let touch = body.touches[usize::from(number >= BODIES as u64)];
                let expected = Expected {
                    instrument: InstrumentId(0),
                    code: order_code(updates),
                    px: Some(order_px(updates, touch)),
                };
                let due_ns = number.saturating_mul(self.period_ns);
                Some(Tick { payload: &self.buffer, due_ns, expected: Some(expected) })
            }
            Source::Captured(captured) => {
                let idx = usize::try_from(number).ok()?;
                let frame = captured.capture.get(idx)?;
                let first = captured.capture.span()?.0;
                let due_ns = frame.at.saturating_since(first) / captured.pace;
                let expected = captured.expected.get(idx).copied().flatten();
                Some(Tick { payload: frame.message, due_ns, expected })
            }
        }
    }

    /// How many of the first ticks are due before `time_ns`, and how many of these ask for an order.
    pub fn count_before(&mut self, time_ns: u64) -> (u64, u64) {
        let (mut ticks, mut orders) = (0, 0);
        while let Some(tick) = self.tick(ticks) {
            if tick.due_ns >= time_ns {
                break;
            }
            orders += u64::from(tick.expected.is_some());
            ticks += 1;
        }
        (ticks, orders)
    }

    /// In a word or two: what tells this load from others, like `1000/s 296B` or `capture x10`.
    pub fn load(&self) -> String {
        match &*self.source {
            Source::Generated(generated) => {
                let rate = 1_000_000_000 / self.period_ns.max(1);
                format!("{rate}/s {}B", generated.frame_bytes)
            }
            Source::Captured(captured) => format!("capture x{}", captured.pace),
        }
    }

    /// Whether the messages are generated, and so can be played at any rate.
    pub fn is_generated(&self) -> bool {
        matches!(*self.source, Source::Generated(_))
    }

    /// Mean length of a generated tick's frame that was asked for; `None` for captures.
    pub fn frame_bytes(&self) -> Option<usize> {
        match &*self.source {
            Source::Generated(generated) => Some(generated.frame_bytes),
            Source::Captured(_) => None,
        }
    }

    /// In a sentence: what is played.
    pub fn description(&self) -> String {
        match &*self.source {
            Source::Generated(generated) => {
                let bytes: usize = generated.bodies.iter().map(|body| body.text.len()).sum();
                format!(
                    "{} order book deltas of {} bytes on average ({} different ones in turn), one every {} µs",
                    self.topics.join(" "),
                    bytes / BODIES,
                    BODIES,
                    self.period_ns as f64 / 1000.0
                )
            }
            Source::Captured(captured) => format!(
                "a capture of {} messages ({} of them ask for an order), {} times as fast as it was recorded",
                captured.capture.len(),
                captured.expected.iter().flatten().count(),
                captured.pace
            ),
        }
    }
}

fn topic_of(message: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(message).ok()?;
    let at = text.find("\"topic\":\"")? + 9;
    text[at..].split('"').next()
}

fn depth_of(topic: &str) -> u16 {
    topic.strip_prefix("orderbook.").and_then(|rest| rest.split('.').next()?.parse().ok()).unwrap_or(0)
}

/// Fills `out` with the decimal digits of `value`, leading ones cut off if it is too short.
#[inline]
pub(super) fn write_digits(mut value: u64, out: &mut [u8]) {
    for byte in out.iter_mut().rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn period_ns(rate: u32) -> u64 {
    1_000_000_000 / u64::from(rate.max(1))
}

/// Makes the snapshot and the messages, and plays them twice through the reference book to learn the touches.
fn generate(frame_bytes: usize, seed: u64, tick: Step, lot: Step) -> Generated {
    let mut rng = Rng::new(seed);
    let mut book = NaiveBook::default();
    let random_qty = |rng: &mut Rng| Lots::new(rng.between(1, 20_000));
    let side_px = |side: Side, away: i64| match side {
        Side::Bid => Ticks::new(BID_MAX_TICKS - away),
        Side::Ask => Ticks::new(ASK_MIN_TICKS + away),
    };
    let snapshot: [Vec<Level>; 2] = [Side::Bid, Side::Ask].map(|side| {
        (0..SNAPSHOT_LEVELS).map(|away| Level { px: side_px(side, away), qty: random_qty(&mut rng) }).collect()
    });
    let text_bytes = frame_bytes.clamp(FRAME_BYTES.0, FRAME_BYTES.1) as i64 - FRAME_HEADER_BYTES;
    let empty_bytes = render("delta", &Default::default(), FIRST_UPDATE, FIRST_SEQ, tick, lot).len() as i64;
    let deltas: Vec<[Vec<Level>; 2]> = (0..BODIES)
        .map(|_| {
            let mut sides: [Vec<Level>; 2] = Default::default();
            // The last level goes half its length too far on average, which the start makes up for; lengths differ
            // by chance, so that the mean comes out.
            let mut bytes = empty_bytes + rng.between(0, 18);
            while bytes < text_bytes && sides.iter().map(Vec::len).sum::<usize>() < 2 * SNAPSHOT_LEVELS as usize - 2 {
                let side = if rng.one_in(2) { Side::Bid } else { Side::Ask };
                let levels = &mut sides[side as usize];
                // Most changes are near the touch, as in captured feeds.
                let wished = rng.between(0, 6) * rng.between(0, 6);
                let is_taken = |away: &i64| levels.iter().any(|level| level.px == side_px(side, *away));
                let Some(away) = (wished..SNAPSHOT_LEVELS).find(|away| !is_taken(away)) else { continue };
                // Levels further out stay, so that no side is ever empty.
                let is_removal = away < 8 && rng.one_in(3);
                let qty = if is_removal { Lots::ZERO } else { random_qty(&mut rng) };
                bytes += level_bytes(tick, lot, side_px(side, away), qty);
                levels.push(Level { px: side_px(side, away), qty });
            }
            for (side, levels) in [Side::Bid, Side::Ask].into_iter().zip(&mut sides) {
                // From the touch outwards, as the venue sends them.
                levels.sort_unstable_by_key(|level| if side == Side::Bid { -level.px.get() } else { level.px.get() });
            }
            sides
        })
        .collect();
    let mut apply = |kind, [bids, asks]: &[Vec<Level>; 2]| {
        book.apply(&Book { meta: Meta::default(), kind, cross_seq: 0, bids, asks });
        let touch = book.touch();
        [touch.bid, touch.ask].map(|level| level.map_or(Ticks::ZERO, |level| level.px))
    };
    apply(BookKind::Snapshot, &snapshot);
    let touches: Vec<[Ticks; 2]> = deltas.iter().chain(&deltas).map(|delta| apply(BookKind::Delta, delta)).collect();
    let bodies = deltas.iter().enumerate().map(|(idx, delta)| {
        let text = render("delta", delta, FIRST_UPDATE, FIRST_SEQ, tick, lot);
        let find = |key: &[u8]| text.windows(key.len()).position(|window| window == key).map_or(0, |at| at + key.len());
        let (update_at, seq_at) = (find(b"\"u\":"), find(b"\"seq\":"));
        Body { text, update_at, seq_at, touches: [touches[idx], touches[BODIES + idx]] }
    });
    Generated {
        bodies: bodies.collect(),
        snapshot: render("snapshot", &snapshot, FIRST_UPDATE, FIRST_SEQ, tick, lot),
        frame_bytes,
    }
}

/// What a level adds to a message, its comma included.
fn level_bytes(tick: Step, lot: Step, px: Ticks, qty: Lots) -> i64 {
    let qty_len = if qty.is_zero() { 1 } else { lot.text(qty.get()).len() };
    (r#"["",""],"#.len() + tick.text(px.get()).len() + qty_len) as i64
}

fn render(kind: &str, sides: &[Vec<Level>; 2], update: u64, seq: u64, tick: Step, lot: Step) -> Vec<u8> {
    let [bids, asks] = [&sides[0], &sides[1]].map(|levels| {
        let rows: Vec<String> = levels
            .iter()
            .map(|level| {
                let qty = if level.qty.is_zero() { "0".to_owned() } else { lot.text(level.qty.get()) };
                format!(r#"["{}","{qty}"]"#, tick.text(level.px.get()))
            })
            .collect();
        rows.join(",")
    });
    format!(
        r#"{{"topic":"orderbook.50.BTCUSDT","type":"{kind}","ts":1672304484978,"data":{{"s":"BTCUSDT","b":[{bids}],"a":[{asks}],"u":{update},"seq":{seq}}},"cts":1672304484976}}"#
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::L2Book;
    use crate::types::Nanos;

    #[test]
    fn generated_ticks_decode_link_up_and_lead_to_the_prices_expected() {
        let mut traffic = Traffic::generated(1000, 296, 7);
        let mut feed = MarketFeed::new(VenueId::BYBIT, traffic.table(), FeedConfig::default()).unwrap();
        let mut book = L2Book::new(1024, 1024);
        let snapshot = traffic.snapshot().to_vec();
        let mut bytes = 0;
        for number in 0..=(3 * BODIES as u64) {
            let (payload, expected) = match number.checked_sub(1) {
                None => (snapshot.clone(), None),
                Some(number) => {
                    let tick = traffic.tick(number).unwrap();
                    assert_eq!(tick.due_ns, number * 1_000_000);
                    bytes += tick.payload.len();
                    (tick.payload.to_vec(), tick.expected)
                }
            };
            let arrival = Arrival { recv: Nanos::new(number + 1), framed_ns: 0 };
            let mut sink = |event: &Event<'_>| {
                if let Event::Book(event) = event {
                    book.apply(event);
                }
            };
            feed.on_frame(&payload, arrival, || 0, &mut sink).unwrap();
            let touch = book.touch();
            assert!(!touch.is_crossed());
            let px = [touch.bid, touch.ask].map(|level| level.unwrap().px);
            if let Some(expected) = expected {
                assert_eq!(expected.code, order_code(book.updates()), "tick {number}");
                assert_eq!(expected.px, Some(order_px(book.updates(), px)), "tick {number}");
            }
        }
        let counters = feed.counters();
        assert_eq!((counters.decode_errors, counters.gaps, counters.general_path), (0, 0, 0));
        let mean = bytes / (3 * BODIES) + FRAME_HEADER_BYTES as usize;
        assert!((286..=306).contains(&mean), "{mean} bytes a frame");
    }

    #[test]
    fn ticks_have_the_length_that_was_asked_for_on_average() {
        for asked in [230, 296, 700, 1433, 1600] {
            let Source::Generated(generated) = &*Traffic::generated(1000, asked, 7).source else { unreachable!() };
            let bytes: usize = generated.bodies.iter().map(|body| body.text.len()).sum();
            let mean = bytes / BODIES + FRAME_HEADER_BYTES as usize;
            assert!(mean.abs_diff(asked) <= 10, "{mean} instead of {asked}");
        }
    }

    #[test]
    fn a_capture_is_played_at_its_own_pace() {
        let mut generated = Traffic::generated(1000, 296, 7);
        let mut capture = Capture::default();
        capture.push(Nanos::new(1_000), generated.snapshot());
        for number in 0..5 {
            let payload = generated.tick(number).unwrap().payload.to_vec();
            capture.push(Nanos::new(11_000 + number * 10_000), &payload);
        }
        capture.push(Nanos::new(99_000), b"{\"op\":\"pong\"}");
        let table = generated.table().clone();
        let mut traffic = Traffic::captured(Arc::new(capture), VenueId::BYBIT, table, 10).unwrap();
        assert_eq!(traffic.topics(), ["orderbook.50.BTCUSDT"]);
        assert_eq!(traffic.book_depth(), 50);
        let ticks: Vec<(u64, Option<Lots>)> = (0..7)
            .map(|number| traffic.tick(number).map(|t| (t.due_ns, t.expected.map(|e| e.code))).unwrap())
            .collect();
        assert_eq!(ticks[0], (0, None), "the snapshot causes no order");
        assert_eq!(ticks[1], (1_000, Some(order_code(2))));
        assert_eq!(ticks[5], (5_000, Some(order_code(6))));
        assert_eq!(ticks[6], (9_800, None));
        assert!(traffic.tick(7).is_none());
        assert_eq!(traffic.count_before(2_500), (3, 2));
    }
}
