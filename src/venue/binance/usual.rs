//! Events written as they all are: keys in the usual order, no white space, a beginning that was seen before.
//!
//! ```text
//! {"stream":"…@depth…","data":{"e":"depthUpdate","E":N,"T":N,"s":"…","U":N,"u":N,"pu":N,"b":[…],"a":[…]}}     futures
//! {"stream":"…","data":{"e":"bookTicker","u":N,"s":"…","b":"…","B":"…","a":"…","A":"…","T":N,"E":N}}          futures
//! {"stream":"…","data":{"e":"trade","E":N,"T":N,"s":"…","t":N,"p":"…","q":"…","X":"MARKET","m":false}}        futures
//! {"stream":"…","data":{"e":"trade","E":N,"s":"…","t":N,"p":"…","q":"…","T":N,"m":true,"M":true}}             spot
//! {"stream":"…","data":{"e":"aggTrade","E":N,"a":N,"s":"…","p":"…","q":"…","f":N,"l":N,"T":N,"m":false}}      both
//! ```
//!
//! Trades are read without their wrapper, too, and all with what other years and COIN-M have in them (`ps`, `b` and `a`, `nq`, `st`). Whatever
//! is otherwise, or wrong, is `None`: `market` then reads the event key by key. What is read here is read to the same
//! result there, which the differential tests check.

use super::market::{DepthMessage, Dialect, Message, TopMessage, TradeMessage, moment};
use crate::types::{InstrumentId, Level, Lots, Side, Ticks};
use crate::venue::heads::Heads;
use crate::venue::number::{Lens, Numbers};
use crate::venue::scan::Scanner;
use crate::venue::simd::Job;
use crate::venue::source::{LevelBuf, Source};
use crate::venue::symbols::Grids;

/// One message that may be of the usual form.
pub(super) struct Usual<'d, 'f> {
    pub(super) frame: &'f [u8],
    pub(super) heads: &'d mut Heads<Head>,
    /// What stands for a head where an event has no wrapper.
    pub(super) bare: &'d mut Bare,
    pub(super) dialect: &'d Dialect,
    pub(super) levels: &'d mut LevelBuf,
}

/// What the beginning of an event tells.
#[derive(Clone, Copy)]
pub(super) struct Head {
    instrument: InstrumentId,
    kind: Kind,
    /// Digits of the whole numbers in the event before.
    lens: Lens,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Of a futures' diff stream.
    Depth,
    Top,
    /// COIN-M writes the id before the event's name.
    CoinTop,
    Trade,
    AggTrade,
}

/// Digits of the whole numbers in the trade before, of those without a wrapper.
#[derive(Default)]
pub(super) struct Bare {
    trade: Lens,
    agg_trade: Lens,
}

impl Head {
    /// What the beginning of such an event must have told. Spot writes its depth and its tops otherwise. Which stream a trade
    /// came by is not in its message.
    pub(super) fn of(message: &Message, frame: &[u8], is_spot: bool) -> Option<Self> {
        let (instrument, kind) = match *message {
            Message::Depth(depth) if !depth.is_partial && !is_spot => (depth.instrument, Kind::Depth),
            Message::Top(top) if !is_spot => {
                let is_coin = frame.windows(8).take(80).any(|window| window == b"a\":{\"u\":");
                (top.instrument, if is_coin { Kind::CoinTop } else { Kind::Top })
            }
            Message::Trade(Some(trade)) => {
                let stream = frame.get(START.len()..)?.split(|&byte| byte == b'"').next()?;
                let kind = if stream.ends_with(b"@aggTrade") { Kind::AggTrade } else { Kind::Trade };
                (trade.instrument, kind)
            }
            _ => return None,
        };
        Some(Self { instrument, kind, lens: Lens::default() })
    }

    /// Remembers how the event began that this was told by.
    #[cold]
    pub(super) fn learn(self, frame: &[u8], heads: &mut Heads<Self>, dialect: &Dialect) {
        let Some(stream) = frame.strip_prefix(START).and_then(|rest| rest.split(|&byte| byte == b'"').next()) else {
            return;
        };
        let Some(symbol) = dialect.symbols.name(self.instrument) else { return };
        let (first, third): (&[u8], &[u8]) = match self.kind {
            Kind::Depth => (b"\",\"data\":{\"e\":\"depthUpdate\",\"E\":", b"\"U\":"),
            Kind::Top => (b"\",\"data\":{\"e\":\"bookTicker\",\"u\":", b"\"b\":\""),
            Kind::CoinTop => (b"\",\"data\":{\"u\":", b"\"b\":\""),
            Kind::Trade => (b"\",\"data\":{\"e\":\"trade\",\"E\":", b""),
            Kind::AggTrade => (b"\",\"data\":{\"e\":\"aggTrade\",\"E\":", b""),
        };
        heads.learn(frame, &[START, stream, first], &[symbol, b"\",", pair_of(frame, symbol), third], self);
    }
}

/// The member `"ps":"…",` behind the symbol, which some events have and nobody reads; nothing if it is not there.
fn pair_of<'f>(frame: &'f [u8], symbol: &[u8]) -> &'f [u8] {
    const KEY: &[u8] = b"\",\"ps\":\"";
    let at = frame
        .windows(symbol.len() + KEY.len())
        .position(|window| window.strip_prefix(symbol).is_some_and(|behind| behind == KEY));
    let Some(behind) = at.and_then(|at| frame.get(at + symbol.len() + 2..)) else { return b"" };
    let name_len = |name: &[u8]| name.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    // Its key and the opening quote, the name, the closing quote and the comma.
    let key_len = KEY.len() - 2;
    let len = key_len + behind.get(key_len..).map_or(0, name_len) + 2;
    behind.get(..len).filter(|member| member.ends_with(b"\",")).unwrap_or(b"")
}

const START: &[u8] = b"{\"stream\":\"";
const BARE_TRADE: &[u8; 17] = b"{\"e\":\"trade\",\"E\":";
const BARE_AGG_TRADE: &[u8; 20] = b"{\"e\":\"aggTrade\",\"E\":";

impl Job for Usual<'_, '_> {
    type Out = Option<Message>;

    #[inline(always)]
    fn run<L: Numbers>(self, lanes: L) -> Self::Out {
        let Self { frame, heads, bare, dialect, levels } = self;
        let Some((head, second, start)) = heads.find(frame) else {
            return bare_trade(Scanner::at_pos(lanes, frame, 0), bare, dialect, levels);
        };
        let Head { instrument, kind, lens } = head;
        let grids = dialect.symbols.grids(*instrument)?;
        levels.clear();
        let mut scanner = Scanner::at_pos(lanes, frame, start);
        let known = |scanner: &mut Scanner<'_, L>| {
            scanner.pass_slice(second)?;
            Some((*instrument, grids))
        };
        let message = match kind {
            Kind::Depth => depth(&mut scanner, *instrument, second, lens, grids, levels)?,
            Kind::Top => top(&mut scanner, b",\"s\":\"", *instrument, second, lens, grids, levels)?,
            Kind::CoinTop => {
                top(&mut scanner, b",\"e\":\"bookTicker\",\"s\":\"", *instrument, second, lens, grids, levels)?
            }
            Kind::Trade => trade(&mut scanner, b"}}", lens, dialect.is_spot, levels, known)?,
            Kind::AggTrade => agg_trade(&mut scanner, b"}}", lens, levels, known)?,
        };
        scanner.is_at_end().then_some(message)
    }
}

#[inline(always)]
fn depth<L: Numbers>(
    scanner: &mut Scanner<'_, L>,
    instrument: InstrumentId,
    second: &[u8],
    [sent_len, ts_len, first_len, last_len, prev_len, _]: &mut Lens,
    grids: &Grids,
    levels: &mut LevelBuf,
) -> Option<Message> {
    scanner.uint_before(sent_len, b",\"T\":")?;
    let venue_ts = moment(scanner.uint_before(ts_len, b",\"s\":\"")?);
    scanner.pass_slice(second)?;
    let first_id = scanner.uint_before(first_len, b",\"u\":")?;
    let last_id = scanner.uint_before(last_len, b",\"pu\":")?;
    let prev_id = Some(scanner.uint_before(prev_len, b",\"b\":")?);
    let bids = scanner.levels(&grids.px, &grids.qty, levels).ok()?;
    scanner.pass(b",\"a\":")?;
    let asks = scanner.levels(&grids.px, &grids.qty, levels).ok()?;
    end_event(scanner, b"}}")?;
    if first_id > last_id {
        return None;
    }
    let is_partial = false;
    Some(Message::Depth(DepthMessage { instrument, is_partial, venue_ts, first_id, last_id, prev_id, bids, asks }))
}

#[inline(always)]
fn top<L: Numbers, const N: usize>(
    scanner: &mut Scanner<'_, L>,
    behind_id: &[u8; N],
    instrument: InstrumentId,
    second: &[u8],
    [id_len, ts_len, ..]: &mut Lens,
    grids: &Grids,
    levels: &mut LevelBuf,
) -> Option<Message> {
    let update_id = scanner.uint_before(id_len, behind_id)?;
    scanner.pass_slice(second)?;
    let bid_px = Ticks::new(scanner.px(&grids.px, levels)?);
    scanner.pass(b",\"B\":\"")?;
    let bid_qty = Lots::new(scanner.qty(&grids.qty, levels)?);
    scanner.pass(b",\"a\":\"")?;
    let ask_px = Ticks::new(scanner.px(&grids.px, levels)?);
    scanner.pass(b",\"A\":\"")?;
    let ask_qty = Lots::new(scanner.qty(&grids.qty, levels)?);
    scanner.pass(b",\"T\":")?;
    let venue_ts = moment(scanner.uint_before(ts_len, b",\"E\":")?);
    scanner.uint().ok()?;
    end_event(scanner, b"}}")?;
    let (bid, ask) = (Level { px: bid_px, qty: bid_qty }, Level { px: ask_px, qty: ask_qty });
    Some(Message::Top(TopMessage { instrument, venue_ts, update_id, bid, ask }))
}

/// The event behind its first moment's key. `symbol` passes the symbol and what closes it, `end` is what ends the message.
#[inline(always)]
fn trade<'s, L: Numbers, const N: usize>(
    scanner: &mut Scanner<'_, L>,
    end: &[u8; N],
    [sent_len, ts_len, id_len, buyer_len, seller_len, _]: &mut Lens,
    is_spot: bool,
    levels: &mut LevelBuf,
    symbol: impl FnOnce(&mut Scanner<'_, L>) -> Option<(InstrumentId, &'s Grids)>,
) -> Option<Message> {
    let mut ts = 0;
    if is_spot {
        scanner.uint_before(sent_len, b",\"s\":\"")?;
    } else {
        scanner.uint_before(sent_len, b",\"T\":")?;
        ts = scanner.uint_before(ts_len, b",\"s\":\"")?;
    }
    let (instrument, grids) = symbol(scanner)?;
    scanner.pass(b"\"t\":")?;
    let id = scanner.uint_before(id_len, b",\"p\":\"")?;
    let px = scanner.px(&grids.px, levels)?;
    scanner.pass(b",\"q\":\"")?;
    let qty = scanner.qty(&grids.qty, levels)?;
    let is_buyer_maker;
    if is_spot {
        if scanner.pass(b",\"b\":").is_some() {
            scanner.uint_before(buyer_len, b",\"a\":")?;
            scanner.uint_before(seller_len, b",")?;
        } else {
            scanner.pass(b",")?;
        }
        scanner.pass(b"\"T\":")?;
        ts = scanner.uint_before(ts_len, b",\"m\":")?;
        is_buyer_maker = scanner.flag().ok()?;
        scanner.pass(b",\"M\":")?;
        scanner.flag().ok()?;
    } else {
        scanner.pass(b",\"X\":\"MARKET\",\"m\":")?;
        is_buyer_maker = scanner.flag().ok()?;
    }
    end_event(scanner, end)?;
    message(instrument, ts, id, is_buyer_maker, px, qty)
}

/// As `trade`.
#[inline(always)]
fn agg_trade<'s, L: Numbers, const N: usize>(
    scanner: &mut Scanner<'_, L>,
    end: &[u8; N],
    [sent_len, id_len, first_len, last_len, ts_len, _]: &mut Lens,
    levels: &mut LevelBuf,
    symbol: impl FnOnce(&mut Scanner<'_, L>) -> Option<(InstrumentId, &'s Grids)>,
) -> Option<Message> {
    scanner.uint_before(sent_len, b",\"a\":")?;
    let id = scanner.uint_before(id_len, b",\"s\":\"")?;
    let (instrument, grids) = symbol(scanner)?;
    scanner.pass(b"\"p\":\"")?;
    let px = scanner.px(&grids.px, levels)?;
    scanner.pass(b",\"q\":\"")?;
    let qty = scanner.qty(&grids.qty, levels)?;
    if scanner.pass(b",\"nq\":\"").is_some() {
        scanner.rest_of_text()?;
    }
    scanner.pass(b",\"f\":")?;
    scanner.uint_before(first_len, b",\"l\":")?;
    scanner.uint_before(last_len, b",\"T\":")?;
    let ts = scanner.uint_before(ts_len, b",\"m\":")?;
    let is_buyer_maker = scanner.flag().ok()?;
    if scanner.pass(b",\"M\":").is_some() {
        scanner.flag().ok()?;
    }
    end_event(scanner, end)?;
    message(instrument, ts, id, is_buyer_maker, px, qty)
}

/// Passes what ends an event: since 2026 with a status before it.
#[inline(always)]
fn end_event<L: Numbers, const N: usize>(scanner: &mut Scanner<'_, L>, end: &[u8; N]) -> Option<()> {
    if scanner.pass(b",\"st\":").is_some() {
        scanner.uint().ok()?;
    }
    scanner.pass(end)
}

#[inline(always)]
fn message(instrument: InstrumentId, ts: u64, id: u64, is_buyer_maker: bool, px: i64, qty: i64) -> Option<Message> {
    if px == 0 || qty == 0 {
        return None;
    }
    let taker = if is_buyer_maker { Side::Ask } else { Side::Bid };
    let (venue_ts, px, qty) = (moment(ts), Ticks::new(px), Lots::new(qty));
    Some(Message::Trade(Some(TradeMessage { instrument, venue_ts, id, taker, px, qty })))
}

/// A trade without a wrapper: the event tells what it is, and its symbol is looked up.
#[inline(always)]
fn bare_trade<L: Numbers>(
    mut scanner: Scanner<'_, L>,
    bare: &mut Bare,
    dialect: &Dialect,
    levels: &mut LevelBuf,
) -> Option<Message> {
    let find = |scanner: &mut Scanner<'_, L>| {
        let found = dialect.symbols.find(scanner.rest_of_text()?)?;
        scanner.pass(b",")?;
        Some(found)
    };
    let message = if scanner.pass(BARE_TRADE).is_some() {
        trade(&mut scanner, b"}", &mut bare.trade, dialect.is_spot, levels, find)?
    } else {
        scanner.pass(BARE_AGG_TRADE)?;
        agg_trade(&mut scanner, b"}", &mut bare.agg_trade, levels, find)?
    };
    scanner.is_at_end().then_some(message)
}
