//! Bybit's sequence rules: which messages make a book that may be trusted.
//!
//! A snapshot replaces the book, whatever its number. A delta must carry the next update id of its topic; a lower one
//! is old, a higher one a gap: the book is stale and the topic must be subscribed anew, which brings a snapshot. Update
//! id 1 is a restart of the service and counts as a snapshot. A message that was refused ([`WireError`]) leaves its
//! book as it was; the next delta of that topic then is a gap by itself, so nothing has to remember the error.

use super::market::{BookMessage, Decoder, Message, TickerMessage};
use super::race::{Race, RaceCount, Series};
use crate::types::{
    Book, BookKind, BookState, BookStatus, Event, InstrumentId, InstrumentTable, Level, Lots, Meta, Money, Nanos, Rate,
    Ticker, Ticks, Top, TopCheck, Trade,
};
use crate::venue::{Arrival, EventSink, FeedConfig, FeedCounters, FrameKind, Ignored, WireError};

/// Market data of Bybit v5, one connection or many.
pub struct MarketFeed {
    decoder: Decoder,
    states: Box<[State]>,
    counters: FeedCounters,
    /// How many states have `needs_resync`.
    resyncs_wanted: usize,
    race: Race,
}

/// What is remembered of one instrument.
#[derive(Clone, Copy)]
struct State {
    book: BookState,
    /// Depth that is the book; 0 is not known yet.
    depth: u16,
    /// Whether `depth` was given and is not to be learnt.
    is_depth_given: bool,
    needs_resync: bool,
    /// Whether the book has been live before: live again is a resync.
    was_live: bool,
    update_id: u64,
    cross_seq: u64,
    tops: Series,
    trades: Series,
    tickers: Series,
    /// When the last message of it came.
    heard_at: Nanos,
    ticker: TickerState,
}

/// A ticker merged from its partial updates.
#[derive(Clone, Copy, Default)]
struct TickerState {
    last_px: i64,
    mark_px: Money,
    index_px: Money,
    funding_rate: Rate,
    next_funding: Nanos,
    bid: Level,
    ask: Level,
}

impl MarketFeed {
    /// Makes the feed for the Bybit instruments of `table`.
    pub fn new(table: &InstrumentTable, config: FeedConfig) -> Self {
        let state = State {
            book: BookState::Empty,
            depth: config.book_depth.unwrap_or(0),
            is_depth_given: config.book_depth.is_some(),
            needs_resync: false,
            was_live: false,
            update_id: 0,
            cross_seq: 0,
            tops: Series::default(),
            trades: Series::default(),
            tickers: Series::default(),
            heard_at: Nanos::ZERO,
            ticker: TickerState::default(),
        };
        let decoder = Decoder::new(table);
        let states = vec![state; decoder.symbols().len()].into_boxed_slice();
        Self { decoder, states, counters: FeedCounters::default(), resyncs_wanted: 0, race: Race::default() }
    }

    /// Says which depth is `instrument`'s book; `None` learns it: the deepest of which a snapshot is seen.
    pub fn set_book_depth(&mut self, instrument: InstrumentId, depth: Option<u16>) {
        if let Some(state) = self.states.get_mut(instrument.idx()) {
            state.is_depth_given = depth.is_some();
            state.depth = depth.unwrap_or(0);
        }
    }

    /// Says which of several connections with the same streams the next messages come from, below
    /// [`SOURCES_MAX`](super::SOURCES_MAX); `None`: there is only one.
    #[inline]
    pub fn set_source(&mut self, source: Option<u8>) {
        self.race.source = source;
    }

    /// What each connection brought.
    pub fn race_counts(&self) -> &[RaceCount] {
        &self.race.counts
    }

    /// The first instrument of which nothing was heard since `before`, and that is live. It counts as heard now.
    pub fn take_silent(&mut self, before: Nanos, now: Nanos) -> Option<InstrumentId> {
        let is_silent = |state: &State| state.book == BookState::Live && state.heard_at < before;
        let idx = self.states.iter().position(is_silent)?;
        self.states.get_mut(idx)?.heard_at = now;
        Some(InstrumentId(idx as u16))
    }

    /// What became of the messages so far.
    pub fn counters(&self) -> &FeedCounters {
        &self.counters
    }

    /// Decodes one message, applies the sequence rules and gives what follows to `sink`. `decoded_ns` is asked once for the
    /// nanoseconds since `arrival.recv`.
    ///
    /// # Errors
    /// [`WireError`] if the message was refused; it then had no effect.
    ///
    /// # Cost
    /// One pass over the message.
    #[inline]
    pub fn on_frame(
        &mut self,
        frame: &[u8],
        arrival: Arrival,
        decoded_ns: impl FnOnce() -> u32,
        sink: &mut impl EventSink,
    ) -> Result<FrameKind, WireError> {
        let mut decoded = self.decoder.quick(frame);
        if let Err(error) = decoded {
            self.counters.general_path += 1;
            // The scanner's error says where; the general source's verdict counts.
            decoded = self.decoder.general(frame).map_err(|_| error);
        }
        let result = decoded.map(|message| {
            let meta =
                Meta { recv: arrival.recv, framed_ns: arrival.framed_ns, decoded_ns: decoded_ns(), ..Meta::default() };
            self.on_message(&message, meta, sink)
        });
        self.counters.note(frame.len(), &result);
        result
    }

    #[inline]
    fn on_message(&mut self, message: &Message, meta: Meta, sink: &mut impl EventSink) -> FrameKind {
        match message {
            Message::Book(book) => self.on_book(book, meta, sink),
            Message::Trades { instrument, off_book } => {
                self.counters.off_book_trades += off_book;
                let Some(state) = self.states.get_mut(instrument.idx()) else { return FrameKind::UnknownSymbol };
                for trade in &self.decoder.parts.trades {
                    if !self.race.note(state.trades.admits(trade.seq, &self.race)) {
                        continue;
                    }
                    self.counters.trades += 1;
                    let meta = Meta { instrument: *instrument, venue_ts: trade.venue_ts, seq: trade.seq, ..meta };
                    sink.event(&Event::Trade(Trade { meta, taker: trade.taker, px: trade.px, qty: trade.qty }));
                }
                FrameKind::Trades
            }
            Message::Ticker(ticker) => self.on_ticker(ticker, meta, sink),
            Message::Ignored(kind) => FrameKind::Ignored(*kind),
            Message::UnknownSymbol => FrameKind::UnknownSymbol,
            Message::Unknown => FrameKind::Unknown,
        }
    }

    #[inline]
    fn on_book(&mut self, message: &BookMessage, meta: Meta, sink: &mut impl EventSink) -> FrameKind {
        let Some(state) = self.states.get_mut(message.instrument.idx()) else { return FrameKind::UnknownSymbol };
        state.heard_at = meta.recv;
        // A restarted service numbers from 1, whatever type it states.
        let is_snapshot = message.is_snapshot || message.update_id == 1;
        let meta = Meta { instrument: message.instrument, venue_ts: message.venue_ts, seq: message.update_id, ..meta };
        let (bids, asks) = (self.decoder.parts.levels.get(message.bids), self.decoder.parts.levels.get(message.asks));
        if message.depth != state.depth {
            let is_deeper = !state.is_depth_given && message.depth > state.depth;
            if is_deeper && (is_snapshot || state.depth == 0) {
                state.depth = message.depth;
            } else if message.depth == 1 {
                if !self.race.note(state.tops.admits(message.cross_seq, &self.race)) {
                    return FrameKind::Top;
                }
                let meta = Meta { seq: message.cross_seq, ..meta };
                let (bid, ask) = (bids.first().copied(), asks.first().copied());
                sink.event(&Event::Top(Top { meta, check: TopCheck::SameSeq, bid, ask }));
                return FrameKind::Top;
            } else {
                return FrameKind::Ignored(Ignored::OtherBook);
            }
        }
        // Another connection's first snapshot may show what has long been followed by newer updates.
        let is_raced_snapshot = is_snapshot && self.race.source.is_some() && state.book == BookState::Live;
        if is_raced_snapshot && message.update_id != 1 && message.cross_seq <= state.cross_seq {
            self.race.note(false);
            self.counters.old_updates += 1;
            return FrameKind::Book;
        }
        let next = state.update_id.wrapping_add(1);
        if !is_snapshot && (state.book != BookState::Live || message.update_id != next) {
            self.on_unlinked(message, meta, sink);
            return FrameKind::Book;
        }
        self.race.note(true);
        (state.update_id, state.cross_seq) = (message.update_id, message.cross_seq);
        let kind = if is_snapshot { BookKind::Snapshot } else { BookKind::Delta };
        sink.event(&Event::Book(Book { meta, kind, cross_seq: message.cross_seq, bids, asks }));
        if state.book != BookState::Live {
            state.book = BookState::Live;
            self.counters.resyncs += u64::from(state.was_live);
            state.was_live = true;
            if state.needs_resync {
                state.needs_resync = false;
                self.resyncs_wanted -= 1;
            }
            sink.event(&Event::BookStatus(BookStatus { meta, state: BookState::Live }));
        }
        FrameKind::Book
    }

    /// A delta that does not continue a live book.
    #[cold]
    fn on_unlinked(&mut self, message: &BookMessage, meta: Meta, sink: &mut impl EventSink) {
        let Some(state) = self.states.get_mut(message.instrument.idx()) else { return };
        match state.book {
            BookState::Live if message.update_id <= state.update_id => {
                self.race.note(false);
                self.counters.old_updates += 1;
            }
            BookState::Live => {
                self.counters.gaps += 1;
                self.distrust(message.instrument, BookState::Stale, meta, sink);
            }
            // The stream was joined in its middle: only a new subscription brings the snapshot.
            BookState::Empty => self.distrust(message.instrument, BookState::Syncing, meta, sink),
            BookState::Syncing | BookState::Stale => self.counters.old_updates += 1,
        }
    }

    /// Puts the book into a state that is not live and asks for a new start.
    fn distrust(&mut self, instrument: InstrumentId, to: BookState, meta: Meta, sink: &mut impl EventSink) {
        let Some(state) = self.states.get_mut(instrument.idx()) else { return };
        state.book = to;
        if !state.needs_resync {
            state.needs_resync = true;
            self.resyncs_wanted += 1;
        }
        sink.event(&Event::BookStatus(BookStatus { meta: Meta { instrument, ..meta }, state: to }));
    }

    #[inline]
    fn on_ticker(&mut self, message: &TickerMessage, meta: Meta, sink: &mut impl EventSink) -> FrameKind {
        let Some(state) = self.states.get_mut(message.instrument.idx()) else { return FrameKind::UnknownSymbol };
        if !self.race.note(state.tickers.admits(message.cross_seq, &self.race)) {
            return FrameKind::Ticker;
        }
        let known = &mut state.ticker;
        if message.is_snapshot {
            *known = TickerState::default();
        }
        let update = |known: &mut i64, sent: Option<i64>| *known = sent.unwrap_or(*known);
        update(&mut known.last_px, message.last_px);
        known.mark_px = message.mark_px.unwrap_or(known.mark_px);
        known.index_px = message.index_px.unwrap_or(known.index_px);
        known.funding_rate = message.funding_rate.unwrap_or(known.funding_rate);
        known.next_funding = message.next_funding.unwrap_or(known.next_funding);
        let level = |known: &mut Level, px: Option<i64>, qty: Option<i64>| {
            known.px = px.map_or(known.px, Ticks::new);
            known.qty = qty.map_or(known.qty, Lots::new);
        };
        level(&mut known.bid, message.bid_px, message.bid_qty);
        level(&mut known.ask, message.ask_px, message.ask_qty);
        let meta = Meta { instrument: message.instrument, venue_ts: message.venue_ts, seq: message.cross_seq, ..meta };
        sink.event(&Event::Ticker(Ticker {
            meta,
            mark_px: known.mark_px,
            index_px: known.index_px,
            last_px: Ticks::new(known.last_px),
            funding_rate: known.funding_rate,
            next_funding: known.next_funding,
        }));
        // A message without either price says nothing new about the top. The other side's price is the merged one.
        if message.bid_px.is_some() || message.ask_px.is_some() {
            let side = |level: Level| (level.px != Ticks::ZERO).then_some(level);
            let (bid, ask) = (side(known.bid), side(known.ask));
            sink.event(&Event::Top(Top { meta, check: TopCheck::PriceAtArrival, bid, ask }));
        }
        FrameKind::Ticker
    }

    /// The next instrument whose order book topic must be subscribed anew.
    pub fn take_resync(&mut self) -> Option<InstrumentId> {
        if self.resyncs_wanted == 0 {
            return None;
        }
        let idx = self.states.iter().position(|state| state.needs_resync)?;
        self.states.get_mut(idx)?.needs_resync = false;
        self.resyncs_wanted -= 1;
        Some(InstrumentId(idx as u16))
    }

    /// The connection was lost: every book that was live is stale. Subscribing again brings the snapshots, so no resync is
    /// asked for.
    pub fn on_disconnect(&mut self, recv: Nanos, sink: &mut impl EventSink) {
        for (idx, state) in self.states.iter_mut().enumerate() {
            (state.tops, state.trades, state.tickers) = Default::default();
            state.needs_resync = false;
            if state.book == BookState::Live {
                state.book = BookState::Stale;
                let meta = Meta { instrument: InstrumentId(idx as u16), recv, ..Meta::default() };
                sink.event(&Event::BookStatus(BookStatus { meta, state: BookState::Stale }));
            }
        }
        self.resyncs_wanted = 0;
    }

    /// Someone found the book impossible (crossed): it is stale until a new subscription's snapshot.
    pub fn invalidate(&mut self, instrument: InstrumentId, recv: Nanos, sink: &mut impl EventSink) {
        if self.states.get(instrument.idx()).is_some_and(|state| state.book == BookState::Live) {
            let meta = Meta { recv, ..Meta::default() };
            self.distrust(instrument, BookState::Stale, meta, sink);
        }
    }
}
