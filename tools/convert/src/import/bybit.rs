//! Puts messages into Bybit's words, so that a replay decodes and sequences them like any capture of that venue.
//!
//! Books are the topic `orderbook.1000`, whatever their depth is: 1000 is the deepest that the venue has. Update ids and cross sequences
//! are counted here.

use std::io::Write;

use tercel::types::{InstrumentTable, Side, Step};

use super::message::{Body, Message, Trade};
use crate::failure::Outcome;

/// Levels in one message at most; the decoder's limit is 12,000.
const LEVELS_MAX: usize = 10_000;

/// Trades in one message at most: the venue's limit.
const TRADES_MAX: usize = 1024;

/// One instrument's words and numbers.
struct Stream {
    symbol: String,
    tick: Step,
    lot: Step,
    update_id: u64,
}

/// What was written of one instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Whole books.
    pub snapshots: u64,
    /// Changes of books.
    pub deltas: u64,
    /// Single trades.
    pub trades: u64,
}

/// See the module's documentation.
pub struct Dialect {
    streams: Vec<Stream>,
    written: Vec<Written>,
    cross_seq: u64,
    out: Vec<u8>,
}

impl Dialect {
    /// Makes it for the instruments of a capture.
    pub fn new(table: &InstrumentTable) -> Self {
        let stream = |spec: &tercel::types::InstrumentSpec| Stream {
            symbol: spec.symbol.to_string(),
            tick: spec.tick,
            lot: spec.lot,
            update_id: 0,
        };
        Self {
            streams: table.iter().map(|(_, spec)| stream(spec)).collect(),
            written: vec![Written::default(); table.len()],
            cross_seq: 0,
            out: Vec::new(),
        }
    }

    /// What was written so far, by instrument.
    pub fn written(&self) -> &[Written] {
        &self.written
    }

    /// Gives `take` the messages of the venue that say the same. There is more than one for what is too long for one.
    ///
    /// # Errors
    /// What `take` says.
    pub fn render(&mut self, message: Message, mut take: impl FnMut(u64, &[u8]) -> Outcome) -> Outcome {
        let Message { at, venue_ns, instrument, body } = message;
        let venue_ms = venue_ns / 1_000_000;
        match body {
            Body::Book { is_snapshot, levels: [mut bids, mut asks] } => {
                in_order(&mut bids, Side::Bid);
                in_order(&mut asks, Side::Ask);
                if is_snapshot {
                    bids.retain(|(_, qty)| *qty > 0);
                    asks.retain(|(_, qty)| *qty > 0);
                }
                let mut is_snapshot = is_snapshot;
                let (mut bids, mut asks) = (&bids[..], &asks[..]);
                loop {
                    let (first_bids, later_bids) = bids.split_at(bids.len().min(LEVELS_MAX / 2));
                    let (first_asks, later_asks) = asks.split_at(asks.len().min(LEVELS_MAX / 2));
                    self.book(instrument, venue_ms, is_snapshot, [first_bids, first_asks]);
                    take(at, &self.out)?;
                    (bids, asks, is_snapshot) = (later_bids, later_asks, false);
                    if bids.is_empty() && asks.is_empty() {
                        return Ok(());
                    }
                }
            }
            Body::Trades(trades) => {
                for some in trades.chunks(TRADES_MAX) {
                    self.trades(instrument, venue_ms, some);
                    take(at, &self.out)?;
                }
                Ok(())
            }
        }
    }

    fn book(&mut self, instrument: usize, venue_ms: u64, is_snapshot: bool, sides: [&[(i64, i64)]; 2]) {
        let (stream, written) = (&mut self.streams[instrument], &mut self.written[instrument]);
        stream.update_id += 1;
        self.cross_seq += 1;
        *if is_snapshot { &mut written.snapshots } else { &mut written.deltas } += 1;
        let (kind, symbol) = (if is_snapshot { "snapshot" } else { "delta" }, &stream.symbol);
        self.out.clear();
        say(
            &mut self.out,
            format_args!(
                r#"{{"topic":"orderbook.1000.{symbol}","type":"{kind}","ts":{venue_ms},"data":{{"s":"{symbol}","b":"#
            ),
        );
        levels(&mut self.out, stream, sides[0]);
        self.out.extend_from_slice(br#","a":"#);
        levels(&mut self.out, stream, sides[1]);
        let (u, seq) = (stream.update_id, self.cross_seq);
        say(&mut self.out, format_args!(r#","u":{u},"seq":{seq}}},"cts":{venue_ms}}}"#));
    }

    fn trades(&mut self, instrument: usize, venue_ms: u64, trades: &[Trade]) {
        let stream = &self.streams[instrument];
        self.written[instrument].trades += trades.len() as u64;
        self.cross_seq += 1;
        let (symbol, seq) = (&stream.symbol, self.cross_seq);
        self.out.clear();
        say(
            &mut self.out,
            format_args!(r#"{{"topic":"publicTrade.{symbol}","type":"snapshot","ts":{venue_ms},"data":["#),
        );
        for (idx, trade) in trades.iter().enumerate() {
            let comma = if idx == 0 { "" } else { "," };
            let side = if trade.taker == Side::Bid { "Buy" } else { "Sell" };
            say(
                &mut self.out,
                format_args!(
                    r#"{comma}{{"T":{venue_ms},"s":"{symbol}","S":"{side}","v":"{}","p":"{}","#,
                    stream.lot.text(trade.qty),
                    stream.tick.text(trade.px)
                ),
            );
            say(&mut self.out, format_args!(r#""i":"{}","BT":false,"seq":{seq}}}"#, trade.id));
        }
        self.out.extend_from_slice(b"]}");
    }
}

/// Whether a text can stand between quotes as it is.
pub fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}

/// Best price first, as the venue sends them, and each price once: as it came last.
fn in_order(levels: &mut Vec<(i64, i64)>, side: Side) {
    levels.reverse();
    // Stable: of equal prices the one that came last is first now, and stays.
    levels.sort_by_key(|(px, _)| if side == Side::Bid { -px } else { *px });
    levels.dedup_by_key(|(px, _)| *px);
}

fn say(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = out.write_fmt(text);
}

fn levels(out: &mut Vec<u8>, stream: &Stream, levels: &[(i64, i64)]) {
    let decimal = |out: &mut Vec<u8>, step: Step, count: i64| {
        let mut text = [0; 48];
        let len = step.write(count, &mut text).unwrap_or(0);
        out.extend_from_slice(&text[..len]);
    };
    out.push(b'[');
    for (idx, (px, qty)) in levels.iter().enumerate() {
        out.extend_from_slice(if idx == 0 { b"[\"" } else { b",[\"" });
        decimal(out, stream.tick, *px);
        out.extend_from_slice(b"\",\"");
        decimal(out, stream.lot, *qty);
        out.extend_from_slice(b"\"]");
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercel::journal::{CaptureMeta, ClockKind, InstrumentMeta};
    use tercel::types::{BookKind, Event, Nanos, VenueId};
    use tercel::venue::{Arrival, FeedConfig, MarketFeed};

    fn table() -> InstrumentTable {
        let instrument = InstrumentMeta {
            symbol: "AUSDT".into(),
            tick: "0.5".into(),
            lot: "0.01".into(),
            ..InstrumentMeta::default()
        };
        let (venue, product, clock) = ("bybit".to_owned(), "linear".to_owned(), ClockKind::Unix);
        CaptureMeta { venue, product, instruments: vec![instrument], clock, recording: None }.table().unwrap()
    }

    /// What the decoder makes of a message: kind, bids and asks of each book; prices of trades.
    type Seen = (Vec<(BookKind, Vec<(i64, i64)>, Vec<(i64, i64)>)>, Vec<(Side, i64, i64, u64)>);

    fn decoded(body: Vec<Body>) -> Seen {
        let (mut dialect, mut feed) =
            (Dialect::new(&table()), MarketFeed::new(VenueId::BYBIT, &table(), FeedConfig::default()).unwrap());
        let mut seen: Seen = Default::default();
        for body in body {
            let message = Message { at: 7, venue_ns: 1_700_000_000_123_456_789, instrument: 0, body };
            dialect
                .render(message, |at, text| {
                    let arrival = Arrival { recv: Nanos::new(at), framed_ns: 0 };
                    let mut sink = |event: &Event<'_>| {
                        let pairs = |levels: &[tercel::types::Level]| {
                            levels.iter().map(|l| (l.px.get(), l.qty.get())).collect::<Vec<_>>()
                        };
                        match event {
                            Event::Book(book) => {
                                assert_eq!(book.meta.venue_ts.as_millis(), 1_700_000_000_123);
                                seen.0.push((book.kind, pairs(book.bids), pairs(book.asks)));
                            }
                            Event::Trade(t) => seen.1.push((t.taker, t.px.get(), t.qty.get(), t.meta.seq)),
                            _ => {}
                        }
                    };
                    feed.on_frame(text, arrival, || 0, &mut sink).unwrap();
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(feed.counters().gaps, 0);
        seen
    }

    #[test]
    fn levels_are_in_the_venues_order_and_each_price_is_there_once() {
        let levels = [vec![(5, 1), (7, 2), (5, 3)], vec![(9, 1), (8, 0)]];
        let (books, _) = decoded(vec![
            Body::Book { is_snapshot: true, levels: levels.clone() },
            Body::Book { is_snapshot: false, levels },
        ]);
        assert_eq!(books[0], (BookKind::Snapshot, vec![(7, 2), (5, 3)], vec![(9, 1)]));
        assert_eq!(books[1], (BookKind::Delta, vec![(7, 2), (5, 3)], vec![(8, 0), (9, 1)]));
    }

    #[test]
    fn what_is_too_long_for_one_message_takes_several() {
        let levels = [(1..=12_001).map(|px| (px, 1)).collect(), (20_000..20_003).map(|px| (px, 1)).collect()];
        let (books, _) = decoded(vec![Body::Book { is_snapshot: true, levels }]);
        assert_eq!(books.iter().map(|b| b.0 == BookKind::Snapshot).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(books.iter().map(|b| b.1.len()).sum::<usize>(), 12_001);
        let trade = |n: i64| Trade { taker: Side::Ask, px: n, qty: 2 * n, id: n.to_string() };
        let (_, trades) = decoded(vec![Body::Trades((1..=3000).map(trade).collect())]);
        assert_eq!(trades.len(), 3000);
        assert_eq!(trades[2999], (Side::Ask, 3000, 6000, 3000));
    }

    #[test]
    fn an_empty_book_can_be_said() {
        let (books, _) = decoded(vec![Body::Book { is_snapshot: true, levels: Default::default() }]);
        assert_eq!(books, [(BookKind::Snapshot, vec![], vec![])]);
    }
}
