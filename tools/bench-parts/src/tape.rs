//! Normalised events of a capture, in both engines' forms.

use std::path::{Path, PathBuf};

use hftbacktest::backtest::data::Data;
use hftbacktest::types::{
    BUY_EVENT, DEPTH_CLEAR_EVENT, DEPTH_EVENT, DEPTH_SNAPSHOT_EVENT, EXCH_EVENT, Event as TheirEvent, LOCAL_EVENT,
    SELL_EVENT, TRADE_EVENT,
};
use tercel::journal::{Capture, ClockKind, load};
use tercel::types::{
    Book, BookKind, BookState, Event, InstrumentSpec, InstrumentTable, Level, Meta, Product, Side, Step, Symbol, Trade,
    VenueId,
};
use tercel::venue::{Arrival, FeedConfig, MarketFeed};

/// The capture.
pub const NAME: &str = "binance-usdm/20240808-btcusdt";

/// One message.
#[derive(Clone, Debug)]
pub enum Message {
    /// A change of the book.
    Book {
        /// Its receive time.
        meta: Meta,
        /// Snapshot or change.
        kind: BookKind,
        /// Bids, then asks.
        levels: Vec<Level>,
        /// How many are bids.
        bids: usize,
    },
    /// A trade.
    Trade(Trade),
}

impl Message {
    /// Its receive time in nanoseconds.
    pub fn at(&self) -> u64 {
        match self {
            Self::Book { meta, .. } => meta.recv.get(),
            Self::Trade(trade) => trade.meta.recv.get(),
        }
    }

    /// As the engine's event.
    pub fn event(&self) -> Event<'_> {
        match self {
            Self::Book { meta, kind, levels, bids } => {
                let (bids, asks) = levels.split_at(*bids);
                Event::Book(Book { meta: *meta, kind: *kind, cross_seq: 0, bids, asks })
            }
            Self::Trade(trade) => Event::Trade(*trade),
        }
    }
}

/// A capture in all its forms.
pub struct Tape {
    /// Raw messages.
    pub capture: Capture,
    /// The instrument.
    pub table: InstrumentTable,
    /// From the first snapshot on, without top-of-book messages.
    pub messages: Vec<Message>,
    /// Level changes and trades.
    pub events: u64,
}

/// The instrument of the capture.
pub fn table() -> InstrumentTable {
    let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
    let symbol = Symbol::new(b"BTCUSDT").unwrap();
    let spec = InstrumentSpec::new(VenueId::BINANCE_USDM, symbol, Product::Linear, step("0.10"), step("0.001"));
    InstrumentTable::new(vec![spec.unwrap()]).unwrap()
}

/// Reads the capture; `None`, said aloud, if it is not there.
pub fn read() -> Option<Tape> {
    let folder = std::env::var_os("TERCEL_CAPTURES").map(PathBuf::from);
    let folder =
        folder.unwrap_or_else(|| Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/captures")).into());
    let path = folder.join(format!("{NAME}.jsonl.gz"));
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    }
    let capture = load(&[path], ClockKind::Unix).unwrap();
    let table = table();
    let mut messages = Vec::new();
    let mut events = 0;
    decode(&capture, &table, |event| match event {
        Event::Book(book) => {
            events += (book.bids.len() + book.asks.len()) as u64;
            let levels = [book.bids, book.asks].concat();
            messages.push(Message::Book { meta: book.meta, kind: book.kind, levels, bids: book.bids.len() });
        }
        Event::Trade(trade) => {
            events += 1;
            messages.push(Message::Trade(*trade));
        }
        _ => {}
    });
    Some(Tape { capture, table, messages, events })
}

/// Gives books and trades of a capture to `take`, from the first live book on.
pub fn decode(capture: &Capture, table: &InstrumentTable, mut take: impl FnMut(&Event<'_>)) {
    let mut feed = MarketFeed::new(VenueId::BINANCE_USDM, table, FeedConfig::default()).unwrap();
    let mut is_live = false;
    let mut sink = |event: &Event<'_>| match event {
        Event::BookStatus(status) => is_live = status.state == BookState::Live,
        Event::Book(book) if is_live || book.kind == BookKind::Snapshot => take(event),
        Event::Trade(_) if is_live => take(event),
        _ => {}
    };
    for frame in (0..capture.len()).filter_map(|idx| capture.get(idx)) {
        let arrival = Arrival { recv: frame.at, framed_ns: 0 };
        feed.on_frame(frame.message, arrival, || 0, &mut sink).unwrap();
    }
}

/// The same events as hftbacktest takes them: seen by venue and strategy at one time.
pub fn theirs(messages: &[Message], spec: &InstrumentSpec) -> Data<TheirEvent> {
    let unit = |units: u32, decimals: u8| f64::from(units) / 10f64.powi(i32::from(decimals));
    let (tick, lot) = (unit(spec.tick.units(), spec.tick.decimals()), unit(spec.lot.units(), spec.lot.decimals()));
    let mut out = Vec::new();
    let mut push = |kind: u64, at: u64, px: i64, qty: i64| {
        out.push(TheirEvent {
            ev: kind | EXCH_EVENT | LOCAL_EVENT,
            exch_ts: at as i64,
            local_ts: at as i64,
            px: px as f64 * tick,
            qty: qty as f64 * lot,
            order_id: 0,
            ival: 0,
            fval: 0.0,
        });
    };
    let side_of = |side: Side| if side == Side::Bid { BUY_EVENT } else { SELL_EVENT };
    for message in messages {
        let at = message.at();
        match message {
            Message::Book { kind, levels, bids, .. } => {
                let is_snapshot = *kind == BookKind::Snapshot;
                if is_snapshot {
                    push(DEPTH_CLEAR_EVENT, at, 0, 0);
                }
                for (idx, level) in levels.iter().enumerate() {
                    let side = if idx < *bids { BUY_EVENT } else { SELL_EVENT };
                    let kind = if is_snapshot { DEPTH_SNAPSHOT_EVENT } else { DEPTH_EVENT };
                    push(kind | side, at, level.px.get(), level.qty.get());
                }
            }
            Message::Trade(trade) => push(TRADE_EVENT | side_of(trade.taker), at, trade.px.get(), trade.qty.get()),
        }
    }
    Data::from_data(&out)
}
