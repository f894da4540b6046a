//! Messages written as they all are: a beginning that was seen before, keys in the usual order, no white space.
//!
//! ```text
//! {"topic":"orderbook.…","type":"delta","ts":N,"data":{"s":"…","b":[…],"a":[…],"u":N,"seq":N},"cts":N}
//! {"topic":"publicTrade.…","type":"snapshot","ts":N,"data":[{"T":N,"s":"…","S":"Buy","v":"…","p":"…","L":"…","i":"…",…},…]}
//! {"topic":"tickers.…","type":"delta","data":{"symbol":"…","bid1Price":"…",…},"cs":N,"ts":N}
//! ```
//!
//! Whatever is otherwise, or wrong, is `None`: `market` then reads the message key by key. What is read here is read to the
//! same result there, which the differential tests check. Spot has another order and is left to `market`.

use super::market::{BookMessage, Message, Parts, TRADES_MAX, TickerMessage, TradeMessage, side};
use crate::types::{InstrumentId, Lots, Nanos, Ticks};
use crate::venue::heads::Heads;
use crate::venue::number::{Lens, Numbers};
use crate::venue::scan::Scanner;
use crate::venue::simd::Job;
use crate::venue::source::{Source, parse_money, parse_rate, parse_uint};
use crate::venue::symbols::{Grids, Symbols};

/// One message that may be of the usual form.
pub(super) struct Usual<'d, 'f> {
    pub(super) frame: &'f [u8],
    pub(super) heads: &'d mut Heads<Head>,
    pub(super) symbols: &'d Symbols,
    pub(super) parts: &'d mut Parts,
}

/// What the beginning of a message tells.
#[derive(Clone, Copy)]
pub(super) struct Head {
    instrument: InstrumentId,
    is_snapshot: bool,
    kind: Kind,
    /// Digits of the whole numbers in the message before.
    lens: Lens,
}

#[derive(Clone, Copy)]
enum Kind {
    Book { depth: u16 },
    Trades,
    Ticker,
}

impl Head {
    /// What the beginning of such a message must have told.
    pub(super) fn of(message: &Message) -> Option<Self> {
        let (instrument, is_snapshot, kind) = match *message {
            Message::Book(book) => (book.instrument, book.is_snapshot, Kind::Book { depth: book.depth }),
            // Trades are always told as a snapshot.
            Message::Trades { instrument, .. } => (instrument, true, Kind::Trades),
            Message::Ticker(ticker) => (ticker.instrument, ticker.is_snapshot, Kind::Ticker),
            _ => return None,
        };
        Some(Self { instrument, is_snapshot, kind, lens: Lens::default() })
    }

    /// Remembers how the message began that this was told by.
    #[cold]
    pub(super) fn learn(self, frame: &[u8], heads: &mut Heads<Self>, symbols: &Symbols) {
        const START: &[u8] = b"{\"topic\":\"";
        let Some(topic) = frame.strip_prefix(START).and_then(|rest| rest.split(|&byte| byte == b'"').next()) else {
            return;
        };
        let Some(symbol) = symbols.name(self.instrument) else { return };
        let word: &[u8] = if self.is_snapshot { b"\",\"type\":\"snapshot\"" } else { b"\",\"type\":\"delta\"" };
        let (first, second): (&[u8], &[u8]) = match self.kind {
            Kind::Book { .. } => (b",\"ts\":", b"\",\"b\":"),
            Kind::Trades => (b",\"ts\":", b"\",\"S\":\""),
            Kind::Ticker => (b",\"data\":{\"symbol\":\"", b"\""),
        };
        heads.learn(frame, &[START, topic, word, first], &[symbol, second], self);
    }
}

impl Job for Usual<'_, '_> {
    type Out = Option<Message>;

    #[inline(always)]
    fn run<L: Numbers>(self, lanes: L) -> Self::Out {
        let Self { frame, heads, symbols, parts } = self;
        let (head, second, start) = heads.find(frame)?;
        let grids = symbols.grids(head.instrument)?;
        parts.levels.clear();
        parts.trades.clear();
        let scanner = Scanner::at_pos(lanes, frame, start);
        match head.kind {
            Kind::Book { depth } => book(scanner, head, depth, second, grids, parts).map(Message::Book),
            Kind::Trades => trades(scanner, head, second, grids, parts),
            Kind::Ticker => ticker(scanner, head, second, grids, parts).map(Message::Ticker),
        }
    }
}

#[inline(always)]
fn book<L: Numbers>(
    mut scanner: Scanner<'_, L>,
    head: &mut Head,
    depth: u16,
    second: &[u8],
    grids: &Grids,
    parts: &mut Parts,
) -> Option<BookMessage> {
    let Head { instrument, is_snapshot, .. } = *head;
    let [ts_len, id_len, seq_len, cts_len, ..] = &mut head.lens;
    scanner.uint_before(ts_len, b",\"data\":{\"s\":\"")?;
    scanner.pass_slice(second)?;
    let bids = scanner.levels(&grids.px, &grids.qty, &mut parts.levels).ok()?;
    scanner.pass(b",\"a\":")?;
    let asks = scanner.levels(&grids.px, &grids.qty, &mut parts.levels).ok()?;
    scanner.pass(b",\"u\":")?;
    let update_id = scanner.uint_before(id_len, b",\"seq\":")?;
    let cross_seq = scanner.uint_before(seq_len, b"},\"cts\":")?;
    let venue_ts = Nanos::from_millis(scanner.uint_before(cts_len, b"}")?);
    scanner.is_at_end().then_some(())?;
    Some(BookMessage { instrument, depth, is_snapshot, venue_ts, update_id, cross_seq, bids, asks })
}

#[inline(always)]
fn trades<L: Numbers>(
    mut scanner: Scanner<'_, L>,
    head: &mut Head,
    second: &[u8],
    grids: &Grids,
    parts: &mut Parts,
) -> Option<Message> {
    let [ts_len, trade_ts_len, seq_len, ..] = &mut head.lens;
    let mut off_book = 0;
    scanner.uint_before(ts_len, b",\"data\":[{\"T\":")?;
    loop {
        let venue_ts = Nanos::from_millis(scanner.uint_before(trade_ts_len, b",\"s\":\"")?);
        scanner.pass_slice(second)?;
        let taker = side(scanner.rest_of_text()?)?;
        scanner.pass(b",\"v\":\"")?;
        let qty = scanner.qty(&grids.qty, &mut parts.levels)?;
        scanner.pass(b",\"p\":\"")?;
        let px = scanner.px(&grids.px, &mut parts.levels)?;
        scanner.pass(b",\"L\":\"")?;
        scanner.rest_of_text()?;
        scanner.pass(b",\"i\":\"")?;
        let id = parse_uint(scanner.rest_of_text()?).ok();
        scanner.pass(b",\"BT\":")?;
        let is_block = scanner.flag().ok()?;
        scanner.pass(b",\"RPI\":")?;
        scanner.flag().ok()?;
        scanner.pass(b",\"seq\":")?;
        let seq = scanner.uint_before(seq_len, b"}")?;
        if px == 0 || qty == 0 {
            return None;
        }
        if is_block {
            off_book += 1;
        } else if parts.trades.len() == TRADES_MAX {
            return None;
        } else {
            let (px, qty) = (Ticks::new(px), Lots::new(qty));
            parts.trades.push(TradeMessage { venue_ts, seq: id.unwrap_or(seq), taker, px, qty });
        }
        if scanner.pass(b",{\"T\":").is_none() {
            break;
        }
    }
    scanner.pass(b"]}")?;
    scanner.is_at_end().then_some(Message::Trades { instrument: head.instrument, off_book })
}

/// What a ticker's member is.
#[derive(Clone, Copy, PartialEq)]
enum Field {
    /// A price: its place among the five decimals.
    Px(u8),
    /// A quantity: likewise.
    Qty(u8),
    MarkPx,
    IndexPx,
    FundingRate,
    /// Nobody reads it.
    Other,
}

/// A key that is read, and what closes it: sixteen characters, of which those count that are not masked off.
#[derive(Clone, Copy)]
struct Key {
    text: u128,
    mask: u128,
    len: usize,
    field: Field,
}

impl Key {
    const fn new(key: &[u8], field: Field) -> Self {
        let (mut text, mut mask) = ([0; 16], [0; 16]);
        let mut idx = 0;
        while idx < key.len() {
            (text[idx], mask[idx]) = (key[idx], 0xff);
            idx += 1;
        }
        Self { text: u128::from_le_bytes(text), mask: u128::from_le_bytes(mask), len: key.len(), field }
    }

    /// Its place in [`KEYS`], by its first eight characters.
    #[inline(always)]
    const fn place(text: u128) -> usize {
        ((text as u64).wrapping_mul(KEYS_BY) >> 60) as usize
    }
}

/// Spreads the keys below over sixteen places; found by trying.
const KEYS_BY: u64 = 0xc2ce_6f44_7ed4_d57b;

static KEYS: [Key; 16] = {
    let all = [
        Key::new(b"bid1Price\":\"", Field::Px(0)),
        Key::new(b"bid1Size\":\"", Field::Qty(1)),
        Key::new(b"ask1Price\":\"", Field::Px(2)),
        Key::new(b"ask1Size\":\"", Field::Qty(3)),
        Key::new(b"lastPrice\":\"", Field::Px(4)),
        Key::new(b"markPrice\":\"", Field::MarkPx),
        Key::new(b"indexPrice\":\"", Field::IndexPx),
        Key::new(b"fundingRate\":\"", Field::FundingRate),
    ];
    // No text is this one: it is not masked, and holds what no text may.
    let none = Key { text: 0, mask: u128::MAX, len: 0, field: Field::Other };
    let mut keys = [none; 16];
    let mut idx = 0;
    while idx < all.len() {
        let place = Key::place(all[idx].text);
        assert!(keys[place].len == 0, "each key has a place of its own");
        keys[place] = all[idx];
        idx += 1;
    }
    keys
};

#[inline(always)]
fn ticker<L: Numbers>(
    mut scanner: Scanner<'_, L>,
    head: &mut Head,
    second: &[u8],
    grids: &Grids,
    parts: &mut Parts,
) -> Option<TickerMessage> {
    scanner.pass_slice(second)?;
    let mut out = TickerMessage::nothing(head.instrument, head.is_snapshot);
    let mut decimals = [None; 5];
    while scanner.pass(b",\"").is_some() {
        // What closes the message is longer than sixteen characters, so those behind every key are there.
        let text = u128::from_le_bytes(*scanner.bytes.get(scanner.pos..)?.first_chunk()?);
        let key = &KEYS[Key::place(text)];
        if (text ^ key.text) & key.mask != 0 {
            other(&mut scanner, &mut out)?;
            continue;
        }
        scanner.pos += key.len;
        let is_new = match key.field {
            Field::Px(idx) | Field::Qty(idx) => {
                let grid = if matches!(key.field, Field::Px(_)) { &grids.px } else { &grids.qty };
                decimals.get_mut(usize::from(idx))?.replace(scanner.px(grid, &mut parts.levels)?).is_none()
            }
            Field::MarkPx => out.mark_px.replace(parse_money(scanner.rest_of_text()?).ok()?).is_none(),
            Field::IndexPx => out.index_px.replace(parse_money(scanner.rest_of_text()?).ok()?).is_none(),
            Field::FundingRate => out.funding_rate.replace(parse_rate(scanner.rest_of_text()?).ok()?).is_none(),
            Field::Other => false,
        };
        is_new.then_some(())?;
    }
    [out.bid_px, out.bid_qty, out.ask_px, out.ask_qty, out.last_px] = decimals;
    let [seq_len, ts_len, ..] = &mut head.lens;
    scanner.pass(b"},\"cs\":")?;
    out.cross_seq = scanner.uint_before(seq_len, b",\"ts\":")?;
    out.venue_ts = Nanos::from_millis(scanner.uint_before(ts_len, b"}")?);
    scanner.is_at_end().then_some(out)
}

/// Passes a member that is not among [`KEYS`]. The time of the next payment stands in snapshots alone.
#[inline(always)]
fn other<L: Numbers>(scanner: &mut Scanner<'_, L>, out: &mut TickerMessage) -> Option<()> {
    let key = scanner.rest_of_text()?;
    scanner.pass(b":\"")?;
    let value = scanner.rest_of_text()?;
    match key {
        b"nextFundingTime" if out.next_funding.is_none() => {
            out.next_funding = Some(Nanos::from_millis(parse_uint(value).ok()?));
        }
        b"symbol" | b"usdIndexPrice" | b"nextFundingTime" => return None,
        _ => {}
    }
    Some(())
}
