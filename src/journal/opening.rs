//! Follows a Bybit feed as it is recorded, so that a file that begins in its middle can begin with the state that was reached: a
//! snapshot of each live book and of each ticker, in the venue's words and numbered like the newest message, so that the next
//! recorded change fits.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};

use crate::book::naive::NaiveBook;
use crate::types::{BookState, Event, InstrumentSpec, InstrumentTable, Nanos, Side};
use crate::venue::bybit::MarketFeed;
use crate::venue::{Arrival, FeedConfig};

/// A book as far as it was recorded.
#[derive(Default)]
struct Followed {
    book: NaiveBook,
    is_live: bool,
    update_id: u64,
    cross_seq: u64,
    venue_ms: u64,
}

/// A ticker, merged from its messages.
#[derive(Default)]
struct Ticker {
    fields: Map<String, Value>,
    cross_seq: u64,
    venue_ms: u64,
}

/// See the module's documentation.
pub struct Opening {
    feed: MarketFeed,
    table: InstrumentTable,
    depth: u16,
    books: Vec<Followed>,
    tickers: BTreeMap<String, Ticker>,
}

impl Opening {
    /// Follows the books of `depth` levels of the instruments.
    pub fn new(table: &InstrumentTable, depth: u16) -> Self {
        let feed = MarketFeed::new(table, FeedConfig { book_depth: Some(depth), assume_empty: false });
        let books = table.iter().map(|_| Followed::default()).collect();
        Self { feed, table: table.clone(), depth, books, tickers: BTreeMap::new() }
    }

    /// Takes a message as it was recorded. One that is not understood makes its book stale by the gap that it leaves.
    pub fn note(&mut self, recv_ns: u64, message: &[u8]) {
        let Self { feed, books, .. } = self;
        let arrival = Arrival { recv: Nanos::new(recv_ns), framed_ns: 0 };
        let _ = feed.on_frame(message, arrival, || 0, &mut |event: &Event<'_>| follow(books, event));
        if message.starts_with(br#"{"topic":"tickers."#) {
            // As above: what is no ticker does not change one.
            let _ = self.note_ticker(message);
        }
    }

    /// What comes next does not follow on what came before.
    pub fn interrupted(&mut self, recv_ns: u64) {
        let Self { feed, books, .. } = self;
        feed.on_disconnect(Nanos::new(recv_ns), &mut |event: &Event<'_>| follow(books, event));
        self.tickers.clear();
    }

    fn note_ticker(&mut self, message: &[u8]) -> Option<()> {
        let Value::Object(mut message) = serde_json::from_slice(message).ok()? else { return None };
        let (Value::String(topic), Value::Object(data)) = (message.remove("topic")?, message.remove("data")?) else {
            return None;
        };
        let is_snapshot = message.get("type")? == "snapshot";
        if !is_snapshot && !self.tickers.contains_key(&topic) {
            return None;
        }
        let known = self.tickers.entry(topic).or_default();
        if is_snapshot {
            known.fields.clear();
        }
        known.fields.extend(data);
        let number = |key: &str| message.get(key).and_then(Value::as_u64);
        known.cross_seq = number("cs").unwrap_or(known.cross_seq);
        known.venue_ms = number("ts").unwrap_or(known.venue_ms);
        Some(())
    }

    /// The messages that tell the state.
    pub fn messages(&self) -> Vec<String> {
        let books = self.table.iter().zip(&self.books).filter(|(_, followed)| followed.is_live);
        let mut out: Vec<String> = books.map(|((_, spec), followed)| self.book_message(spec, followed)).collect();
        out.extend(self.tickers.iter().map(|(topic, ticker)| {
            let (data, cs, ts) = (Value::Object(ticker.fields.clone()), ticker.cross_seq, ticker.venue_ms);
            format!(r#"{{"topic":"{topic}","type":"snapshot","data":{data},"cs":{cs},"ts":{ts}}}"#)
        }));
        out
    }

    fn book_message(&self, spec: &InstrumentSpec, followed: &Followed) -> String {
        let Followed { book, update_id, cross_seq, venue_ms, .. } = followed;
        let (depth, symbol) = (self.depth, spec.symbol);
        let [bids, asks] = [Side::Bid, Side::Ask].map(|side| {
            let mut out = String::new();
            for level in book.iter(side).take(depth.into()) {
                let comma = if out.is_empty() { "" } else { "," };
                let (px, qty) = (spec.tick.text(level.px.get()), spec.lot.text(level.qty.get()));
                // Writing to a String cannot fail.
                let _ = write!(out, r#"{comma}["{px}","{qty}"]"#);
            }
            out
        });
        format!(
            r#"{{"topic":"orderbook.{depth}.{symbol}","type":"snapshot","ts":{venue_ms},"data":{{"s":"{symbol}","b":[{bids}],"a":[{asks}],"u":{update_id},"seq":{cross_seq}}},"cts":{venue_ms}}}"#
        )
    }
}

fn follow(books: &mut [Followed], event: &Event<'_>) {
    let Some(followed) = books.get_mut(event.meta().instrument.idx()) else { return };
    match event {
        Event::Book(book) => {
            followed.book.apply(book);
            (followed.update_id, followed.cross_seq) = (book.meta.seq, book.cross_seq);
            followed.venue_ms = book.meta.venue_ts.as_millis();
        }
        Event::BookStatus(status) => followed.is_live = status.state == BookState::Live,
        _ => {}
    }
}
