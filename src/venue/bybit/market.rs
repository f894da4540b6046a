//! One public message → its content in ticks and lots. No memory between messages: that is `feed`'s.

use super::usual::{Head, Usual};
use crate::types::{InstrumentId, InstrumentTable, Level, Lots, Money, Nanos, Rate, Side, Ticks, VenueId};
use crate::venue::fuzz::{Verdict, sum_of, sum_with};
use crate::venue::general::General;
use crate::venue::heads::Heads;
use crate::venue::scan::Scanner;
use crate::venue::simd::Simd;
use crate::venue::source::{Grid, LevelBuf, Seen, Source, Span, parse_money, parse_rate, parse_uint};
use crate::venue::symbols::{Grids, Symbols};
use crate::venue::{FRAME_BYTES_MAX, Ignored, WireError};

/// Most trades in one message: twice what the venue states.
pub(crate) const TRADES_MAX: usize = 2048;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Message {
    Book(BookMessage),
    /// The trades are in the decoder's buffer.
    Trades {
        instrument: InstrumentId,
        off_book: u64,
    },
    Ticker(TickerMessage),
    Ignored(Ignored),
    UnknownSymbol,
    Unknown,
}

/// An order book message of any depth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BookMessage {
    pub(crate) instrument: InstrumentId,
    pub(crate) depth: u16,
    pub(crate) is_snapshot: bool,
    pub(crate) venue_ts: Nanos,
    /// Update id, counted for each topic.
    pub(crate) update_id: u64,
    /// Cross sequence, comparable between topics.
    pub(crate) cross_seq: u64,
    pub(crate) bids: Span,
    pub(crate) asks: Span,
}

/// A public trade.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TradeMessage {
    pub(crate) venue_ts: Nanos,
    pub(crate) seq: u64,
    pub(crate) taker: Side,
    pub(crate) px: Ticks,
    pub(crate) qty: Lots,
}

/// The fields of a ticker that came; a price of zero was sent as empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TickerMessage {
    pub(crate) instrument: InstrumentId,
    pub(crate) is_snapshot: bool,
    pub(crate) venue_ts: Nanos,
    pub(crate) cross_seq: u64,
    pub(crate) last_px: Option<i64>,
    pub(crate) mark_px: Option<Money>,
    pub(crate) index_px: Option<Money>,
    pub(crate) funding_rate: Option<Rate>,
    pub(crate) next_funding: Option<Nanos>,
    pub(crate) bid_px: Option<i64>,
    pub(crate) bid_qty: Option<i64>,
    pub(crate) ask_px: Option<i64>,
    pub(crate) ask_qty: Option<i64>,
}

impl TickerMessage {
    /// A ticker of which no field came.
    pub(super) fn nothing(instrument: InstrumentId, is_snapshot: bool) -> Self {
        Self {
            instrument,
            is_snapshot,
            venue_ts: Nanos::ZERO,
            cross_seq: 0,
            last_px: None,
            mark_px: None,
            index_px: None,
            funding_rate: None,
            next_funding: None,
            bid_px: None,
            bid_qty: None,
            ask_px: None,
            ask_qty: None,
        }
    }
}

/// Both sources, the buffers, and the instruments.
#[doc(hidden)]
pub struct Decoder {
    simd: Simd,
    heads: Heads<Head>,
    symbols: Symbols,
    general: General,
    pub(crate) parts: Parts,
}

/// Where a message's lists go.
pub(crate) struct Parts {
    pub(crate) levels: LevelBuf,
    pub(crate) trades: Vec<TradeMessage>,
}

impl Decoder {
    pub(crate) fn new(table: &InstrumentTable) -> Self {
        Self {
            simd: Simd::detect(),
            heads: Heads::new(),
            symbols: Symbols::new(table, VenueId::BYBIT),
            general: General::new(),
            parts: Parts { levels: LevelBuf::new(), trades: Vec::with_capacity(TRADES_MAX) },
        }
    }

    pub(crate) fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    #[inline(never)]
    pub(crate) fn quick(&mut self, frame: &[u8]) -> Result<Message, WireError> {
        if frame.len() > FRAME_BYTES_MAX {
            let found = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            return Err(WireError::TooLong { found, allowed: FRAME_BYTES_MAX as u32 });
        }
        if let Some(message) = self.usual(frame) {
            return Ok(message);
        }
        let found = self.in_any_order(frame);
        let Self { heads, symbols, .. } = self;
        // A known beginning that does not lead to a usual message is not learnt again each time.
        if let Ok(found) = &found
            && let Some(head) = Head::of(found)
            && heads.find(frame).is_none()
        {
            head.learn(frame, heads, symbols);
        }
        found
    }

    /// Reads a message written as they all are; `None` if it is not.
    #[inline(always)]
    fn usual(&mut self, frame: &[u8]) -> Option<Message> {
        let Self { simd, heads, symbols, parts, .. } = self;
        simd.run(Usual { frame, heads, symbols, parts })
    }

    /// Reads a message key by key.
    fn in_any_order(&mut self, frame: &[u8]) -> Result<Message, WireError> {
        let Self { simd, symbols, parts, .. } = self;
        message(Scanner::with(*simd, frame), symbols, parts)
    }

    /// What one message holds of levels, for measurements.
    pub(crate) fn read_levels(&mut self, frame: &[u8]) -> Option<(&[Level], &[Level])> {
        Some(match self.quick(frame).ok()? {
            Message::Book(book) => (self.parts.levels.get(book.bids), self.parts.levels.get(book.asks)),
            _ => (&[], &[]),
        })
    }

    /// The sum of what one message holds of prices and quantities, for measurements.
    pub(crate) fn read_sum(&mut self, frame: &[u8]) -> Option<i64> {
        Some(match self.quick(frame).ok()? {
            Message::Book(book) => {
                let [bids, asks] = [book.bids, book.asks].map(|span| sum_of(self.parts.levels.get(span)));
                bids.wrapping_add(asks)
            }
            Message::Trades { .. } => self.parts.trades.iter().fold(0, |sum, trade| sum_with(sum, trade.px, trade.qty)),
            Message::Ticker(ticker) => {
                let TickerMessage { last_px, bid_px, bid_qty, ask_px, ask_qty, .. } = ticker;
                [last_px, bid_px, bid_qty, ask_px, ask_qty].into_iter().flatten().sum()
            }
            _ => 0,
        })
    }

    /// Decodes by `simd` from now on.
    pub(crate) fn set_simd(&mut self, simd: Simd) {
        self.simd = simd;
    }

    #[cold]
    pub(crate) fn general(&mut self, frame: &[u8]) -> Result<Message, WireError> {
        let Self { symbols, general, parts, .. } = self;
        if frame.len() > FRAME_BYTES_MAX {
            return Err(WireError::NotJson);
        }
        general.parse(frame, |walk| message(walk, symbols, parts))
    }
}

/// Both sources side by side, for the differential tests.
#[doc(hidden)]
pub struct Pair {
    /// One for each level of vector instructions that the processor has.
    quick: Vec<Decoder>,
    general: Decoder,
}

impl Pair {
    pub(crate) fn new(table: &InstrumentTable) -> Self {
        let quick = |simd| {
            let mut decoder = Decoder::new(table);
            decoder.set_simd(simd);
            decoder
        };
        Self { quick: Simd::all().map(quick).collect(), general: Decoder::new(table) }
    }

    pub(crate) fn compare(&mut self, frame: &[u8]) -> Verdict {
        let Self { quick, general } = self;
        let content = |decoder: &Decoder, message: &Message| {
            let spans = if let Message::Book(book) = message { [book.bids, book.asks] } else { Default::default() };
            (*message, spans.map(|span| decoder.parts.levels.get(span).to_vec()), decoder.parts.trades.clone())
        };
        let b = general.general(frame).map(|message| content(general, &message));
        let (mut accepted, mut usual) = (0, 0);
        for quick in &mut *quick {
            let name = quick.simd.name();
            if let Some(message) = quick.usual(frame) {
                usual += 1;
                let found = content(quick, &message);
                let oracle = quick.in_any_order(frame).expect("what is usual is accepted in any order");
                assert_eq!(found, content(quick, &oracle), "the usual way disagrees by {name}");
            }
            let a = quick.quick(frame);
            accepted += usize::from(a.is_ok());
            if let (Ok(a), Ok(b)) = (a, &b) {
                assert_eq!(content(quick, &a), *b, "the sources disagree by {name}");
            }
        }
        assert!(accepted == 0 || accepted == quick.len(), "what is accepted depends on the processor");
        assert!(usual == 0 || usual == quick.len(), "what is usual depends on the processor");
        Verdict { is_usual: usual > 0, is_quick: accepted > 0, is_general: b.is_ok() }
    }
}

enum Topic {
    Book { depth: u16 },
    Trades,
    Ticker,
    Ignored(Ignored),
    Unknown,
}

/// Splits `orderbook.50.BTCUSDT` into what it is and the symbol.
#[inline]
fn topic(text: &[u8]) -> (Topic, &[u8]) {
    if let Some(rest) = text.strip_prefix(b"orderbook.") {
        let Some(dot) = rest.iter().position(|&byte| byte == b'.') else { return (Topic::Unknown, rest) };
        let (depth, symbol) = (&rest[..dot], &rest[dot + 1..]);
        return match parse_uint(depth).ok().and_then(|depth| u16::try_from(depth).ok()) {
            Some(depth) if depth > 0 => (Topic::Book { depth }, symbol),
            _ if depth == b"rpi" || depth == b"full" => (Topic::Ignored(Ignored::OtherBook), symbol),
            _ => (Topic::Unknown, symbol),
        };
    }
    if let Some(symbol) = text.strip_prefix(b"publicTrade.") {
        return (Topic::Trades, symbol);
    }
    if let Some(symbol) = text.strip_prefix(b"tickers.") {
        return (Topic::Ticker, symbol);
    }
    let prefix = text.split(|&byte| byte == b'.').next().unwrap_or(text);
    let kind = match prefix {
        b"kline" => Topic::Ignored(Ignored::Kline),
        b"allLiquidation" | b"liquidation" => Topic::Ignored(Ignored::Liquidation),
        b"priceLimit" | b"adlAlert" | b"insurance" | b"system" => Topic::Ignored(Ignored::Other),
        _ => Topic::Unknown,
    };
    (kind, &[])
}

/// What `data` held, before the fields around it are known.
enum Data {
    Book { update_id: u64, cross_seq: u64, bids: Span, asks: Span },
    Trades { off_book: u64 },
    Ticker(TickerMessage),
}

const TOPIC: u32 = 0;
const TYPE: u32 = 1;
const TS: u32 = 2;
const DATA: u32 = 3;
const CTS: u32 = 4;
const CS: u32 = 5;
const OP: u32 = 6;
const SUCCESS: u32 = 7;
const RET_MSG: u32 = 8;

/// Reads one whole message.
#[inline]
fn message<'a, S: Source<'a>>(mut source: S, symbols: &Symbols, parts: &mut Parts) -> Result<Message, WireError> {
    parts.levels.clear();
    parts.trades.clear();
    let mut seen = Seen::default();
    let mut place = None;
    let (mut kind, mut op, mut ret_msg): (&[u8], &[u8], &[u8]) = (b"", b"", b"");
    let (mut ts, mut cts, mut cs) = (0, 0, 0);
    let mut is_success = true;
    let mut data = None;
    let mut later = None;
    let mut members = source.object()?;
    while let Some(key) = source.key(&mut members)? {
        match key {
            b"topic" => {
                seen.once(TOPIC, "topic")?;
                let (topic, symbol) = topic(source.text()?);
                place = Some((topic, symbol, symbols.find(symbol)));
            }
            b"type" => {
                seen.once(TYPE, "type")?;
                kind = source.text()?;
            }
            b"ts" => {
                seen.once(TS, "ts")?;
                ts = source.uint_or_text()?;
            }
            b"cts" => {
                seen.once(CTS, "cts")?;
                cts = source.uint_or_text()?;
            }
            b"cs" => {
                seen.once(CS, "cs")?;
                cs = source.uint_or_text()?;
            }
            b"data" => {
                seen.once(DATA, "data")?;
                match &place {
                    Some((topic, symbol, Some((_, grids)))) => {
                        data = self::data(&mut source, topic, symbol, grids, parts)?;
                    }
                    Some(_) => source.skip()?,
                    None => {
                        later = Some(source);
                        source.skip()?;
                    }
                }
            }
            b"op" => {
                seen.once(OP, "op")?;
                op = source.text()?;
            }
            b"success" => {
                seen.once(SUCCESS, "success")?;
                is_success = source.flag()?;
            }
            b"ret_msg" => {
                seen.once(RET_MSG, "ret_msg")?;
                ret_msg = source.text()?;
            }
            _ => source.skip()?,
        }
    }
    source.end()?;

    let Some((topic, symbol, found)) = place else {
        return Ok(match (is_success, op, ret_msg) {
            (false, ..) => Message::Ignored(Ignored::ErrorReply),
            (_, b"pong", _) | (_, _, b"pong") | (_, b"ping", _) => Message::Ignored(Ignored::Pong),
            (_, b"subscribe" | b"unsubscribe" | b"auth", _) => Message::Ignored(Ignored::Ack),
            _ if kind == b"COMMAND_RESP" => Message::Ignored(Ignored::Ack),
            _ => Message::Unknown,
        });
    };
    match topic {
        Topic::Ignored(kind) => return Ok(Message::Ignored(kind)),
        Topic::Unknown => return Ok(Message::Unknown),
        _ => {}
    }
    seen.need(DATA, "data")?;
    let Some((instrument, grids)) = found else { return Ok(Message::UnknownSymbol) };
    if let Some(mut later) = later {
        data = self::data(&mut later, &topic, symbol, grids, parts)?;
    }
    let is_snapshot = match kind {
        b"snapshot" => true,
        b"delta" => false,
        _ if seen.has(TYPE) => return Err(WireError::UnknownWord { field: "type" }),
        _ => return Err(WireError::Missing { field: "type" }),
    };
    let (ts, cts) = (Nanos::from_millis(ts), Nanos::from_millis(cts));
    Ok(match (topic, data) {
        (Topic::Book { depth }, Some(Data::Book { update_id, cross_seq, bids, asks })) => {
            let venue_ts = if seen.has(CTS) { cts } else { ts };
            Message::Book(BookMessage { instrument, depth, is_snapshot, venue_ts, update_id, cross_seq, bids, asks })
        }
        (_, Some(Data::Trades { off_book })) => Message::Trades { instrument, off_book },
        (_, Some(Data::Ticker(ticker))) => {
            Message::Ticker(TickerMessage { instrument, is_snapshot, venue_ts: ts, cross_seq: cs, ..ticker })
        }
        _ => Message::Unknown,
    })
}

#[inline]
fn data<'a, S: Source<'a>>(
    source: &mut S,
    topic: &Topic,
    symbol: &[u8],
    grids: &Grids,
    parts: &mut Parts,
) -> Result<Option<Data>, WireError> {
    Ok(match topic {
        Topic::Book { .. } => Some(book(source, symbol, grids, &mut parts.levels)?),
        Topic::Trades => Some(trades(source, symbol, grids, &mut parts.trades)?),
        Topic::Ticker => Some(Data::Ticker(ticker(source, symbol, grids)?)),
        Topic::Ignored(_) | Topic::Unknown => {
            source.skip()?;
            None
        }
    })
}

fn same_symbol(symbol: &[u8], found: &[u8]) -> Result<(), WireError> {
    if symbol == found { Ok(()) } else { Err(WireError::SymbolMismatch) }
}

#[inline]
fn book<'a, S: Source<'a>>(
    source: &mut S,
    symbol: &[u8],
    grids: &Grids,
    levels: &mut LevelBuf,
) -> Result<Data, WireError> {
    let mut seen = Seen::default();
    let (mut bids, mut asks) = (Span::default(), Span::default());
    let (mut update_id, mut cross_seq) = (0, 0);
    let mut members = source.object()?;
    while let Some(key) = source.key(&mut members)? {
        match key {
            b"s" => {
                seen.once(0, "s")?;
                same_symbol(symbol, source.text()?)?;
            }
            b"b" => {
                seen.once(1, "b")?;
                bids = source.levels(&grids.px, &grids.qty, levels)?;
            }
            b"a" => {
                seen.once(2, "a")?;
                asks = source.levels(&grids.px, &grids.qty, levels)?;
            }
            b"u" => {
                seen.once(3, "u")?;
                update_id = source.uint()?;
            }
            b"seq" => {
                seen.once(4, "seq")?;
                cross_seq = source.uint()?;
            }
            _ => source.skip()?,
        }
    }
    for (bit, field) in [(1, "b"), (2, "a"), (3, "u"), (4, "seq")] {
        seen.need(bit, field)?;
    }
    Ok(Data::Book { update_id, cross_seq, bids, asks })
}

#[inline]
fn trades<'a, S: Source<'a>>(
    source: &mut S,
    symbol: &[u8],
    grids: &Grids,
    trades: &mut Vec<TradeMessage>,
) -> Result<Data, WireError> {
    let mut off_book = 0;
    let mut rows = source.array()?;
    while source.item(&mut rows)? {
        let mut seen = Seen::default();
        let (mut ts, mut seq, mut id) = (0, 0, None);
        let mut taker = Side::Bid;
        let (mut px, mut qty) = (0, 0);
        let mut is_block = false;
        let mut members = source.object()?;
        while let Some(key) = source.key(&mut members)? {
            match key {
                b"T" => {
                    seen.once(0, "T")?;
                    ts = source.uint_or_text()?;
                }
                b"s" => {
                    seen.once(1, "s")?;
                    same_symbol(symbol, source.text()?)?;
                }
                b"S" => {
                    seen.once(2, "S")?;
                    taker = side(source.text()?).ok_or(WireError::UnknownWord { field: "S" })?;
                }
                b"v" => {
                    seen.once(3, "v")?;
                    qty = source.decimal(&grids.qty)?;
                }
                b"p" => {
                    seen.once(4, "p")?;
                    px = source.decimal(&grids.px)?;
                }
                b"i" => {
                    seen.once(5, "i")?;
                    id = parse_uint(source.text()?).ok();
                }
                b"BT" => {
                    seen.once(6, "BT")?;
                    is_block = source.flag()?;
                }
                b"seq" => {
                    seen.once(7, "seq")?;
                    seq = source.uint()?;
                }
                _ => source.skip()?,
            }
        }
        for (bit, field) in [(0, "T"), (2, "S"), (3, "v"), (4, "p")] {
            seen.need(bit, field)?;
        }
        if px == 0 || qty == 0 {
            return Err(WireError::OutOfRange);
        }
        if is_block {
            off_book += 1;
            continue;
        }
        if trades.len() == TRADES_MAX {
            return Err(WireError::TooManyTrades { allowed: TRADES_MAX as u32 });
        }
        let venue_ts = Nanos::from_millis(ts);
        trades.push(TradeMessage { venue_ts, seq: id.unwrap_or(seq), taker, px: Ticks::new(px), qty: Lots::new(qty) });
    }
    Ok(Data::Trades { off_book })
}

/// The venue's word for a direction.
pub(crate) fn side(word: &[u8]) -> Option<Side> {
    match word {
        b"Buy" => Some(Side::Bid),
        b"Sell" => Some(Side::Ask),
        _ => None,
    }
}

/// A decimal, zero if it is sent as empty.
fn decimal_or_empty<'a, S: Source<'a>>(source: &mut S, grid: &Grid) -> Result<i64, WireError> {
    let text = source.text()?;
    if text.is_empty() { Ok(0) } else { grid.parse(text) }
}

#[inline]
fn ticker<'a, S: Source<'a>>(source: &mut S, symbol: &[u8], grids: &Grids) -> Result<TickerMessage, WireError> {
    let mut seen = Seen::default();
    let mut out = TickerMessage::nothing(InstrumentId(0), false);
    let money = |text: &[u8]| if text.is_empty() { Ok(Money::ZERO) } else { parse_money(text) };
    let mut members = source.object()?;
    while let Some(key) = source.key(&mut members)? {
        match key {
            b"symbol" => {
                seen.once(0, "symbol")?;
                same_symbol(symbol, source.text()?)?;
            }
            b"lastPrice" => {
                seen.once(1, "lastPrice")?;
                out.last_px = Some(decimal_or_empty(source, &grids.px)?);
            }
            b"markPrice" => {
                seen.once(2, "markPrice")?;
                out.mark_px = Some(money(source.text()?)?);
            }
            b"indexPrice" | b"usdIndexPrice" => {
                seen.once(3, "indexPrice")?;
                out.index_px = Some(money(source.text()?)?);
            }
            b"fundingRate" => {
                seen.once(4, "fundingRate")?;
                let text = source.text()?;
                out.funding_rate = Some(if text.is_empty() { Rate::ZERO } else { parse_rate(text)? });
            }
            b"nextFundingTime" => {
                seen.once(5, "nextFundingTime")?;
                let text = source.text()?;
                let ms = if text.is_empty() { 0 } else { parse_uint(text)? };
                out.next_funding = Some(Nanos::from_millis(ms));
            }
            b"bid1Price" => {
                seen.once(6, "bid1Price")?;
                out.bid_px = Some(decimal_or_empty(source, &grids.px)?);
            }
            b"bid1Size" => {
                seen.once(7, "bid1Size")?;
                out.bid_qty = Some(decimal_or_empty(source, &grids.qty)?);
            }
            b"ask1Price" => {
                seen.once(8, "ask1Price")?;
                out.ask_px = Some(decimal_or_empty(source, &grids.px)?);
            }
            b"ask1Size" => {
                seen.once(9, "ask1Size")?;
                out.ask_qty = Some(decimal_or_empty(source, &grids.qty)?);
            }
            _ => source.skip()?,
        }
    }
    seen.need(0, "symbol")?;
    Ok(out)
}
