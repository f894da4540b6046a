//! One message → its content in ticks and lots. No memory between messages: that is `feed`'s.

use super::usual::{Bare, Head, Usual};
use crate::types::{InstrumentId, InstrumentTable, Level, Lots, Money, Nanos, Rate, Side, Ticks, VenueId};
use crate::venue::fuzz::{Verdict, sum_of};
use crate::venue::general::General;
use crate::venue::heads::Heads;
use crate::venue::scan::Scanner;
use crate::venue::simd::Simd;
use crate::venue::source::{Grid, LevelBuf, Seen, Source, Span, parse_money, parse_rate};
use crate::venue::symbols::Symbols;
use crate::venue::{FRAME_BYTES_MAX, Ignored, WireError};

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Message {
    Depth(DepthMessage),
    Snapshot(SnapshotMessage),
    Top(TopMessage),
    /// `None`: the trade never met the book.
    Trade(Option<TradeMessage>),
    Mark(MarkMessage),
    Ignored(Ignored),
    UnknownSymbol,
    Unknown,
}

/// A depth event of a diff stream, or of a partial stream of the futures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DepthMessage {
    pub(crate) instrument: InstrumentId,
    /// The levels are the whole (shallow) book.
    pub(crate) is_partial: bool,
    pub(crate) venue_ts: Nanos,
    pub(crate) first_id: u64,
    pub(crate) last_id: u64,
    /// Last id of the event before; spot has none.
    pub(crate) prev_id: Option<u64>,
    pub(crate) bids: Span,
    pub(crate) asks: Span,
}

/// A REST snapshot, or an event of spot's partial stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SnapshotMessage {
    pub(crate) instrument: InstrumentId,
    pub(crate) is_partial: bool,
    pub(crate) venue_ts: Nanos,
    pub(crate) last_id: u64,
    pub(crate) bids: Span,
    pub(crate) asks: Span,
}

/// The venue's best bid and offer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TopMessage {
    pub(crate) instrument: InstrumentId,
    pub(crate) venue_ts: Nanos,
    pub(crate) update_id: u64,
    pub(crate) bid: Level,
    pub(crate) ask: Level,
}

/// A trade or an aggregate of trades.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TradeMessage {
    pub(crate) instrument: InstrumentId,
    pub(crate) venue_ts: Nanos,
    pub(crate) id: u64,
    pub(crate) taker: Side,
    pub(crate) px: Ticks,
    pub(crate) qty: Lots,
}

/// Mark price and funding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MarkMessage {
    pub(crate) instrument: InstrumentId,
    pub(crate) venue_ts: Nanos,
    pub(crate) mark_px: Money,
    pub(crate) index_px: Money,
    pub(crate) funding_rate: Rate,
    pub(crate) next_funding: Nanos,
}

/// Both sources, the buffer, and the instruments.
#[doc(hidden)]
pub struct Decoder {
    simd: Simd,
    heads: Heads<Head>,
    bare: Bare,
    dialect: Dialect,
    general: General,
    pub(crate) levels: LevelBuf,
}

pub(super) struct Dialect {
    pub(super) symbols: Symbols,
    /// Spot's partial stream has its own shape, and its diffs have no previous id.
    pub(super) is_spot: bool,
}

impl Decoder {
    pub(crate) fn new(table: &InstrumentTable, venue: VenueId) -> Self {
        let dialect = Dialect { symbols: Symbols::new(table, venue), is_spot: venue == VenueId::BINANCE_SPOT };
        Self {
            simd: Simd::detect(),
            heads: Heads::new(),
            bare: Bare::default(),
            dialect,
            general: General::new(),
            levels: LevelBuf::new(),
        }
    }

    pub(crate) fn symbols(&self) -> &Symbols {
        &self.dialect.symbols
    }

    /// `owner` is the instrument of a snapshot that names none.
    #[inline(never)]
    pub(crate) fn quick(&mut self, frame: &[u8], owner: Option<InstrumentId>) -> Result<Message, WireError> {
        if frame.len() > FRAME_BYTES_MAX {
            let found = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            return Err(WireError::TooLong { found, allowed: FRAME_BYTES_MAX as u32 });
        }
        if let Some(message) = self.usual(frame) {
            return Ok(message);
        }
        let found = self.in_any_order(frame, owner);
        let Self { heads, dialect, .. } = self;
        // A known beginning that does not lead to a usual event is not learnt again each time.
        if let Ok(found) = &found
            && let Some(head) = Head::of(found, frame, dialect.is_spot)
            && heads.find(frame).is_none()
        {
            head.learn(frame, heads, dialect);
        }
        found
    }

    /// Reads an event written as they all are; `None` if it is not.
    #[inline(always)]
    fn usual(&mut self, frame: &[u8]) -> Option<Message> {
        let Self { simd, heads, bare, dialect, levels, .. } = self;
        simd.run(Usual { frame, heads, bare, dialect, levels })
    }

    /// Reads a message key by key.
    fn in_any_order(&mut self, frame: &[u8], owner: Option<InstrumentId>) -> Result<Message, WireError> {
        let Self { simd, dialect, levels, .. } = self;
        levels.clear();
        dialect.message(Scanner::with(*simd, frame), owner, levels)
    }

    /// What one message holds of levels, for measurements.
    pub(crate) fn read_levels(&mut self, frame: &[u8]) -> Option<(&[Level], &[Level])> {
        let (bids, asks) = match self.quick(frame, None).ok()? {
            Message::Depth(depth) => (depth.bids, depth.asks),
            Message::Snapshot(snapshot) => (snapshot.bids, snapshot.asks),
            Message::Top(top) => {
                self.levels.clear();
                (self.levels.hold(top.bid), self.levels.hold(top.ask))
            }
            _ => return Some((&[], &[])),
        };
        Some((self.levels.get(bids), self.levels.get(asks)))
    }

    /// The sum of what one message holds of prices and quantities, for measurements.
    pub(crate) fn read_sum(&mut self, frame: &[u8]) -> Option<i64> {
        Some(match self.quick(frame, None).ok()? {
            Message::Depth(DepthMessage { bids, asks, .. }) | Message::Snapshot(SnapshotMessage { bids, asks, .. }) => {
                sum_of(self.levels.get(bids)).wrapping_add(sum_of(self.levels.get(asks)))
            }
            Message::Top(top) => sum_of(&[top.bid, top.ask]),
            Message::Trade(Some(trade)) => trade.px.get() + trade.qty.get(),
            _ => 0,
        })
    }

    /// Decodes by `simd` from now on.
    pub(crate) fn set_simd(&mut self, simd: Simd) {
        self.simd = simd;
    }

    #[cold]
    pub(crate) fn general(&mut self, frame: &[u8], owner: Option<InstrumentId>) -> Result<Message, WireError> {
        let Self { dialect, general, levels, .. } = self;
        if frame.len() > FRAME_BYTES_MAX {
            return Err(WireError::NotJson);
        }
        levels.clear();
        general.parse(frame, |walk| dialect.message(walk, owner, levels))
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
    pub(crate) fn new(table: &InstrumentTable, venue: VenueId) -> Self {
        let quick = |simd| {
            let mut decoder = Decoder::new(table, venue);
            decoder.set_simd(simd);
            decoder
        };
        Self { quick: Simd::all().map(quick).collect(), general: Decoder::new(table, venue) }
    }

    pub(crate) fn compare(&mut self, frame: &[u8], owner: Option<InstrumentId>) -> Verdict {
        let Self { quick, general } = self;
        let content = |decoder: &Decoder, message: &Message| {
            let spans = match message {
                Message::Depth(depth) => [depth.bids, depth.asks],
                Message::Snapshot(snapshot) => [snapshot.bids, snapshot.asks],
                _ => [Span::default(); 2],
            };
            (*message, spans.map(|span| decoder.levels.get(span).to_vec()))
        };
        let b = general.general(frame, owner).map(|message| content(general, &message));
        let (mut accepted, mut usual) = (0, 0);
        for quick in &mut *quick {
            let name = quick.simd.name();
            if let Some(message) = quick.usual(frame) {
                usual += 1;
                let found = content(quick, &message);
                let oracle = quick.in_any_order(frame, owner).expect("what is usual is accepted in any order");
                assert_eq!(found, content(quick, &oracle), "the usual way disagrees by {name}");
            }
            let a = quick.quick(frame, owner);
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

/// What an event is, by its stream's name or by its own.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Depth,
    PartialDepth,
    Top,
    Trade,
    AggTrade,
    Mark,
    Ignored(Ignored),
    Unknown,
}

/// Splits `btcusdt@depth@100ms` into the symbol (lower case) and what the stream carries.
#[inline]
fn stream_kind(name: &[u8]) -> (&[u8], Kind) {
    let (symbol, stream) = match name.iter().position(|&byte| byte == b'@') {
        Some(at) if name.first() != Some(&b'!') => (&name[..at], &name[at + 1..]),
        _ => (&name[..0], name.strip_prefix(b"!").unwrap_or(name)),
    };
    let kind = match stream {
        b"bookTicker" => Kind::Top,
        b"trade" => Kind::Trade,
        b"aggTrade" => Kind::AggTrade,
        b"depth" | b"depth@0ms" | b"depth@100ms" | b"depth@250ms" | b"depth@500ms" | b"depth@1000ms" => Kind::Depth,
        b"markPrice" | b"markPrice@1s" | b"markPrice@3s" => Kind::Mark,
        _ => rare_stream_kind(stream),
    };
    (symbol, kind)
}

fn rare_stream_kind(stream: &[u8]) -> Kind {
    let word = stream.split(|&byte| byte == b'@' || byte == b'_').next().unwrap_or(stream);
    match word {
        b"depth5" | b"depth10" | b"depth20" => Kind::PartialDepth,
        b"rpiDepth" => Kind::Ignored(Ignored::OtherBook),
        b"kline" | b"continuousKline" | b"indexPriceKline" | b"markPriceKline" => Kind::Ignored(Ignored::Kline),
        b"ticker" | b"miniTicker" => Kind::Ignored(Ignored::DayTicker),
        b"forceOrder" => Kind::Ignored(Ignored::Liquidation),
        // The all-market form of the mark price comes as an array; it is not subscribed.
        b"markPrice" | b"compositeIndex" | b"indexPrice" | b"avgPrice" | b"contractInfo" | b"assetIndex"
        | b"tradingSession" | b"serverShutdown" => Kind::Ignored(Ignored::Other),
        _ => Kind::Unknown,
    }
}

/// What an event calls itself.
#[inline]
fn event_kind(name: &[u8]) -> Kind {
    match name {
        b"depthUpdate" => Kind::Depth,
        b"bookTicker" => Kind::Top,
        b"trade" => Kind::Trade,
        b"aggTrade" => Kind::AggTrade,
        b"markPriceUpdate" => Kind::Mark,
        b"kline" | b"continuous_kline" | b"indexPrice_kline" | b"markPrice_kline" => Kind::Ignored(Ignored::Kline),
        b"24hrTicker" | b"24hrMiniTicker" => Kind::Ignored(Ignored::DayTicker),
        b"forceOrder" => Kind::Ignored(Ignored::Liquidation),
        b"contractInfo" | b"compositeIndex" | b"assetIndexUpdate" | b"indexPriceUpdate" | b"avgPrice"
        | b"tradingSession" | b"serverShutdown" => Kind::Ignored(Ignored::Other),
        _ => Kind::Unknown,
    }
}

/// A moment in milliseconds or, if it is too large for that (`timeUnit=MICROSECOND`), in microseconds.
#[inline]
pub(super) fn moment(value: u64) -> Nanos {
    const MILLIS_MAX: u64 = 100_000_000_000_000;
    if value < MILLIS_MAX { Nanos::from_millis(value) } else { Nanos::new(value.saturating_mul(1_000)) }
}

impl Dialect {
    /// Reads one whole message.
    #[inline]
    fn message<'a, S: Source<'a>>(
        &self,
        mut source: S,
        owner: Option<InstrumentId>,
        levels: &mut LevelBuf,
    ) -> Result<Message, WireError> {
        let start = source;
        let mut members = source.object()?;
        let message = match source.key(&mut members)? {
            Some(b"stream") => {
                let name = source.text()?;
                if source.key(&mut members)? != Some(b"data") {
                    return self.wrapped_in_any_order(start, owner, levels);
                }
                let message = self.event(&mut source, stream_kind(name), owner, levels)?;
                while let Some(key) = source.key(&mut members)? {
                    match key {
                        b"stream" => return Err(WireError::Duplicate { field: "stream" }),
                        b"data" => return Err(WireError::Duplicate { field: "data" }),
                        _ => source.skip()?,
                    }
                }
                message
            }
            Some(b"e") => {
                let kind = event_kind(source.text()?);
                source = start;
                self.event(&mut source, (b"", kind), owner, levels)?
            }
            Some(b"lastUpdateId") => {
                source = start;
                self.snapshot(&mut source, owner, false, levels)?
            }
            _ => return self.bare_in_any_order(start, owner, levels),
        };
        source.end()?;
        Ok(message)
    }

    #[cold]
    fn wrapped_in_any_order<'a, S: Source<'a>>(
        &self,
        mut source: S,
        owner: Option<InstrumentId>,
        levels: &mut LevelBuf,
    ) -> Result<Message, WireError> {
        let (mut name, mut data) = (None, None);
        let mut seen = Seen::default();
        let mut members = source.object()?;
        while let Some(key) = source.key(&mut members)? {
            match key {
                b"stream" => {
                    seen.once(0, "stream")?;
                    name = Some(source.text()?);
                }
                b"data" => {
                    seen.once(1, "data")?;
                    data = Some(source);
                    source.skip()?;
                }
                _ => source.skip()?,
            }
        }
        source.end()?;
        let name = name.ok_or(WireError::Missing { field: "stream" })?;
        let mut data = data.ok_or(WireError::Missing { field: "data" })?;
        self.event(&mut data, stream_kind(name), owner, levels)
    }

    /// A message whose first key does not tell what it is.
    #[cold]
    fn bare_in_any_order<'a, S: Source<'a>>(
        &self,
        start: S,
        owner: Option<InstrumentId>,
        levels: &mut LevelBuf,
    ) -> Result<Message, WireError> {
        let mut source = start;
        let mut seen = Seen::default();
        let mut event = None;
        let mut members = source.object()?;
        while let Some(key) = source.key(&mut members)? {
            let bit = match key {
                b"e" if source.is_text() => {
                    event = Some(event_kind(source.text()?));
                    continue;
                }
                b"stream" | b"data" => 0,
                b"lastUpdateId" => 1,
                b"error" | b"code" => 2,
                b"result" => 3,
                b"u" => 4,
                b"B" => 5,
                b"A" => 6,
                b"id" => 7,
                _ => 31,
            };
            if bit != 31 {
                seen.once(bit, "a key that tells the shape").or_else(|e| if bit == 0 { Ok(()) } else { Err(e) })?;
            }
            source.skip()?;
        }
        source.end()?;
        let mut source = start;
        if let Some(kind) = event {
            return self.event(&mut source, (b"", kind), owner, levels);
        }
        if seen.has(0) {
            return self.wrapped_in_any_order(start, owner, levels);
        }
        if seen.has(1) {
            return self.snapshot(&mut source, owner, false, levels);
        }
        if seen.has(2) {
            return Ok(Message::Ignored(Ignored::ErrorReply));
        }
        if seen.has(3) && seen.has(7) {
            return Ok(Message::Ignored(Ignored::Ack));
        }
        // Spot's best bid and offer does not say what it is.
        if seen.has(4) && seen.has(5) && seen.has(6) {
            return self.event(&mut source, (b"", Kind::Top), owner, levels);
        }
        Ok(Message::Unknown)
    }

    #[inline]
    fn event<'a, S: Source<'a>>(
        &self,
        source: &mut S,
        (symbol, kind): (&[u8], Kind),
        owner: Option<InstrumentId>,
        levels: &mut LevelBuf,
    ) -> Result<Message, WireError> {
        match kind {
            Kind::Depth => self.depth(source, false, levels),
            Kind::Top => self.top(source),
            Kind::Trade => self.trade(source, b't'),
            Kind::AggTrade => self.trade(source, b'a'),
            Kind::PartialDepth if self.is_spot => {
                let owner = if symbol.is_empty() { owner } else { self.find_lower_case(symbol) };
                self.snapshot(source, owner, true, levels)
            }
            Kind::PartialDepth => self.depth(source, true, levels),
            Kind::Mark => self.mark(source),
            Kind::Ignored(kind) => source.skip().map(|()| Message::Ignored(kind)),
            Kind::Unknown => source.skip().map(|()| Message::Unknown),
        }
    }

    /// Stream names are lower case, symbols upper case.
    fn find_lower_case(&self, symbol: &[u8]) -> Option<InstrumentId> {
        let mut upper = [0; 31];
        let upper = upper.get_mut(..symbol.len())?;
        upper.copy_from_slice(symbol);
        upper.make_ascii_uppercase();
        self.symbols.find(upper).map(|(id, _)| id)
    }

    #[inline]
    fn depth<'a, S: Source<'a>>(
        &self,
        source: &mut S,
        is_partial: bool,
        levels: &mut LevelBuf,
    ) -> Result<Message, WireError> {
        let mut seen = Seen::default();
        let mut found = None;
        let mut later = [None, None];
        let (mut sent, mut matched, mut first_id, mut last_id, mut prev_id) = (0, 0, 0, 0, None);
        let (mut bids, mut asks) = (Span::default(), Span::default());
        let mut members = source.object()?;
        while let Some(key) = source.key(&mut members)? {
            match key {
                b"e" => {
                    seen.once(0, "e")?;
                    named(source.text()?, b"depthUpdate")?;
                }
                b"E" => {
                    seen.once(1, "E")?;
                    sent = source.uint()?;
                }
                b"T" => {
                    seen.once(2, "T")?;
                    matched = source.uint()?;
                }
                b"s" => {
                    seen.once(3, "s")?;
                    found = self.symbols.find(source.text()?);
                }
                b"U" => {
                    seen.once(4, "U")?;
                    first_id = source.uint()?;
                }
                b"u" => {
                    seen.once(5, "u")?;
                    last_id = source.uint()?;
                }
                b"pu" => {
                    seen.once(6, "pu")?;
                    prev_id = Some(source.uint()?);
                }
                b"b" => {
                    seen.once(7, "b")?;
                    match found {
                        Some((_, grids)) => bids = source.levels(&grids.px, &grids.qty, levels)?,
                        None => later[0] = Some(pass(source)?),
                    }
                }
                b"a" => {
                    seen.once(8, "a")?;
                    match found {
                        Some((_, grids)) => asks = source.levels(&grids.px, &grids.qty, levels)?,
                        None => later[1] = Some(pass(source)?),
                    }
                }
                _ => source.skip()?,
            }
        }
        for (bit, field) in [(1, "E"), (3, "s"), (4, "U"), (5, "u"), (7, "b"), (8, "a")] {
            seen.need(bit, field)?;
        }
        if self.is_spot {
            prev_id = None;
        } else {
            seen.need(6, "pu")?;
        }
        if first_id > last_id {
            return Err(WireError::OutOfRange);
        }
        let Some((instrument, grids)) = found else { return Ok(Message::UnknownSymbol) };
        if let [Some(mut place), _] = later {
            bids = place.levels(&grids.px, &grids.qty, levels)?;
        }
        if let [_, Some(mut place)] = later {
            asks = place.levels(&grids.px, &grids.qty, levels)?;
        }
        let venue_ts = moment(if seen.has(2) { matched } else { sent });
        Ok(Message::Depth(DepthMessage { instrument, is_partial, venue_ts, first_id, last_id, prev_id, bids, asks }))
    }

    #[inline]
    fn top<'a, S: Source<'a>>(&self, source: &mut S) -> Result<Message, WireError> {
        let mut seen = Seen::default();
        let mut found = None;
        let mut later = [None; 4];
        let mut values = [0; 4];
        let (mut sent, mut matched, mut update_id) = (0, 0, 0);
        let mut members = source.object()?;
        while let Some(key) = source.key(&mut members)? {
            let idx = match key {
                b"e" => {
                    seen.once(0, "e")?;
                    named(source.text()?, b"bookTicker")?;
                    continue;
                }
                b"u" => {
                    seen.once(1, "u")?;
                    update_id = source.uint()?;
                    continue;
                }
                b"s" => {
                    seen.once(2, "s")?;
                    found = self.symbols.find(source.text()?);
                    continue;
                }
                b"T" => {
                    seen.once(3, "T")?;
                    matched = source.uint()?;
                    continue;
                }
                b"E" => {
                    seen.once(4, "E")?;
                    sent = source.uint()?;
                    continue;
                }
                b"b" => 0,
                b"B" => 1,
                b"a" => 2,
                b"A" => 3,
                _ => {
                    source.skip()?;
                    continue;
                }
            };
            seen.once(5 + idx as u32, "b, B, a or A")?;
            match found {
                Some((_, grids)) => values[idx] = source.decimal(if idx & 1 == 0 { &grids.px } else { &grids.qty })?,
                None => later[idx] = Some(pass(source)?),
            }
        }
        for (bit, field) in [(1, "u"), (2, "s"), (5, "b"), (6, "B"), (7, "a"), (8, "A")] {
            seen.need(bit, field)?;
        }
        let Some((instrument, grids)) = found else { return Ok(Message::UnknownSymbol) };
        for (idx, place) in later.iter_mut().enumerate() {
            if let Some(place) = place {
                values[idx] = place.decimal(if idx & 1 == 0 { &grids.px } else { &grids.qty })?;
            }
        }
        let [bid_px, bid_qty, ask_px, ask_qty] = values;
        Ok(Message::Top(TopMessage {
            instrument,
            venue_ts: moment(if seen.has(3) { matched } else { sent }),
            update_id,
            bid: Level { px: Ticks::new(bid_px), qty: Lots::new(bid_qty) },
            ask: Level { px: Ticks::new(ask_px), qty: Lots::new(ask_qty) },
        }))
    }

    /// `id_key` is `t` for trades and `a` for aggregates; in the former `a` is an order id.
    #[inline]
    fn trade<'a, S: Source<'a>>(&self, source: &mut S, id_key: u8) -> Result<Message, WireError> {
        let mut seen = Seen::default();
        let mut found = None;
        let mut later = [None; 2];
        let mut values = [0; 2];
        let (mut sent, mut matched, mut id) = (0, 0, 0);
        let mut is_buyer_maker = false;
        let mut is_on_book = true;
        let name: &[u8] = if id_key == b't' { b"trade" } else { b"aggTrade" };
        let mut members = source.object()?;
        while let Some(key) = source.key(&mut members)? {
            let idx = match key {
                b"e" => {
                    seen.once(0, "e")?;
                    named(source.text()?, name)?;
                    continue;
                }
                b"E" => {
                    seen.once(1, "E")?;
                    sent = source.uint()?;
                    continue;
                }
                b"T" => {
                    seen.once(2, "T")?;
                    matched = source.uint()?;
                    continue;
                }
                b"s" => {
                    seen.once(3, "s")?;
                    found = self.symbols.find(source.text()?);
                    continue;
                }
                b"m" => {
                    seen.once(4, "m")?;
                    is_buyer_maker = source.flag()?;
                    continue;
                }
                b"X" => {
                    seen.once(5, "X")?;
                    is_on_book = matches!(source.text()?, b"MARKET" | b"RPI");
                    continue;
                }
                &[key] if key == id_key => {
                    seen.once(6, "trade id")?;
                    id = source.uint()?;
                    continue;
                }
                b"p" => 0,
                b"q" => 1,
                _ => {
                    source.skip()?;
                    continue;
                }
            };
            seen.once(7 + idx as u32, "p or q")?;
            match found {
                Some((_, grids)) => values[idx] = source.decimal(if idx == 0 { &grids.px } else { &grids.qty })?,
                None => later[idx] = Some(pass(source)?),
            }
        }
        for (bit, field) in [(1, "E"), (3, "s"), (4, "m"), (6, "trade id"), (7, "p"), (8, "q")] {
            seen.need(bit, field)?;
        }
        let Some((instrument, grids)) = found else { return Ok(Message::UnknownSymbol) };
        for (idx, place) in later.iter_mut().enumerate() {
            if let Some(place) = place {
                values[idx] = place.decimal(if idx == 0 { &grids.px } else { &grids.qty })?;
            }
        }
        if !is_on_book {
            return Ok(Message::Trade(None));
        }
        let [px, qty] = values;
        if px == 0 || qty == 0 {
            return Err(WireError::OutOfRange);
        }
        Ok(Message::Trade(Some(TradeMessage {
            instrument,
            venue_ts: moment(if seen.has(2) { matched } else { sent }),
            id,
            taker: if is_buyer_maker { Side::Ask } else { Side::Bid },
            px: Ticks::new(px),
            qty: Lots::new(qty),
        })))
    }

    fn mark<'a, S: Source<'a>>(&self, source: &mut S) -> Result<Message, WireError> {
        let mut seen = Seen::default();
        let mut found = None;
        let (mut sent, mut next_funding) = (0, 0);
        let (mut mark_px, mut index_px, mut funding_rate) = (Money::ZERO, Money::ZERO, Rate::ZERO);
        let mut members = source.object()?;
        while let Some(key) = source.key(&mut members)? {
            match key {
                b"e" => {
                    seen.once(0, "e")?;
                    named(source.text()?, b"markPriceUpdate")?;
                }
                b"E" => {
                    seen.once(1, "E")?;
                    sent = source.uint()?;
                }
                b"s" => {
                    seen.once(2, "s")?;
                    found = self.symbols.find(source.text()?);
                }
                b"p" => {
                    seen.once(3, "p")?;
                    mark_px = parse_money(source.text()?)?;
                }
                b"i" => {
                    seen.once(4, "i")?;
                    index_px = parse_money(source.text()?)?;
                }
                b"r" => {
                    seen.once(5, "r")?;
                    // Dated contracts have no funding and send an empty text.
                    let text = source.text()?;
                    funding_rate = if text.is_empty() { Rate::ZERO } else { parse_rate(text)? };
                }
                b"T" => {
                    seen.once(6, "T")?;
                    next_funding = source.uint()?;
                }
                _ => source.skip()?,
            }
        }
        for (bit, field) in [(1, "E"), (2, "s"), (3, "p")] {
            seen.need(bit, field)?;
        }
        let Some((instrument, _)) = found else { return Ok(Message::UnknownSymbol) };
        let (venue_ts, next_funding) = (moment(sent), moment(next_funding));
        Ok(Message::Mark(MarkMessage { instrument, venue_ts, mark_px, index_px, funding_rate, next_funding }))
    }

    fn snapshot<'a, S: Source<'a>>(
        &self,
        source: &mut S,
        owner: Option<InstrumentId>,
        is_partial: bool,
        levels: &mut LevelBuf,
    ) -> Result<Message, WireError> {
        let mut seen = Seen::default();
        let (mut last_id, mut sent, mut matched) = (0, 0, 0);
        let mut named = None;
        let mut later = [None, None];
        let mut members = source.object()?;
        while let Some(key) = source.key(&mut members)? {
            match key {
                b"lastUpdateId" => {
                    seen.once(0, "lastUpdateId")?;
                    last_id = source.uint()?;
                }
                b"E" => {
                    seen.once(1, "E")?;
                    sent = source.uint()?;
                }
                b"T" => {
                    seen.once(2, "T")?;
                    matched = source.uint()?;
                }
                b"symbol" => {
                    seen.once(3, "symbol")?;
                    named = self.symbols.find(source.text()?);
                }
                // Which instrument it is may come after the levels: they are read at the end.
                b"bids" => {
                    seen.once(4, "bids")?;
                    later[0] = Some(pass(source)?);
                }
                b"asks" => {
                    seen.once(5, "asks")?;
                    later[1] = Some(pass(source)?);
                }
                _ => source.skip()?,
            }
        }
        seen.need(0, "lastUpdateId")?;
        let [Some(mut bids), Some(mut asks)] = later else { return Err(WireError::Missing { field: "bids or asks" }) };
        let found = if seen.has(3) { named } else { owner.and_then(|id| Some((id, self.symbols.grids(id)?))) };
        let Some((instrument, grids)) = found else { return Ok(Message::UnknownSymbol) };
        let bids = bids.levels(&grids.px, &grids.qty, levels)?;
        let asks = asks.levels(&grids.px, &grids.qty, levels)?;
        let venue_ts = moment(if seen.has(2) { matched } else { sent });
        Ok(Message::Snapshot(SnapshotMessage { instrument, is_partial, venue_ts, last_id, bids, asks }))
    }
}

/// The event's name must be the stream's.
#[inline]
fn named(found: &[u8], allowed: &[u8]) -> Result<(), WireError> {
    if found == allowed { Ok(()) } else { Err(WireError::UnknownWord { field: "e" }) }
}

/// Passes over a value and returns the place where it began.
fn pass<'a, S: Source<'a>>(source: &mut S) -> Result<S, WireError> {
    let place = *source;
    source.skip()?;
    Ok(place)
}

/// A `Grid` is a few words; two of them are looked up for each event.
const _: () = assert!(size_of::<Grid>() <= 56);
