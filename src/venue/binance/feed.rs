//! Binance's sequence rules: how deltas and a REST snapshot make a book that may be trusted.
//!
//! ```text
//!              first delta                snapshot that a delta continues
//!   Empty ───────────────────▶ Syncing ──────────────────────────────────▶ Live
//!                                 ▲ snapshot too old: ask for another        │ link broken
//!                                 │                                          ▼
//!                                 └──── (deltas wait in the buffer) ────── Stale
//! ```
//!
//! Futures: drop `u < lastUpdateId`; the first event kept has `U <= lastUpdateId <= u` (or `pu == lastUpdateId`); later
//! ones `pu == previous u`. Spot: drop `u <= lastUpdateId`; the first has `U <= lastUpdateId + 1 <= u`; later ones
//! `U <= previous u + 1`. A message that was refused ([`WireError`]) leaves its book as it was; the next event of that
//! stream does not link to the one before and is a gap by itself, so nothing has to remember the error.

use super::buffer::SyncBuffer;
use super::market::{Decoder, DepthMessage, MarkMessage, Message, SnapshotMessage};
use crate::types::{
    Book, BookKind, BookState, BookStatus, Event, InstrumentId, InstrumentTable, Level, Lots, Meta, Nanos, Ticker,
    Ticks, Top, TopCheck, Trade, VenueId,
};
use crate::venue::{Arrival, EventSink, FeedConfig, FeedCounters, FrameKind, Ignored, WireError};

/// Market data of one Binance venue, one connection or many.
pub struct MarketFeed {
    decoder: Decoder,
    rules: Rules,
    states: Box<[State]>,
    buffer: SyncBuffer,
    counters: FeedCounters,
    /// Owner of a snapshot that names no symbol: the only instrument, if there is just one.
    only: Option<InstrumentId>,
    assume_empty: bool,
    resyncs_wanted: usize,
}

/// How far an instrument's synchronisation has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    /// Deltas wait for a snapshot.
    Waiting,
    /// The snapshot is out; no delta has continued it yet.
    Anchored,
    /// Each event is checked against the one before.
    Linked,
}

/// Which stream makes the book.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Unknown,
    Partial,
    Diff,
}

/// What is remembered of one instrument.
#[derive(Clone, Copy)]
struct State {
    book: BookState,
    sync: Sync,
    origin: Origin,
    needs_resync: bool,
    was_live: bool,
    /// Last update id applied, or of the snapshot.
    last_id: u64,
    /// Last update id in the buffer; 0 if it holds nothing of this instrument.
    waiting_id: u64,
}

/// The rules that differ between spot and futures.
#[derive(Clone, Copy)]
struct Rules {
    is_spot: bool,
}

impl Rules {
    /// Whether a snapshot of `id` already holds the event.
    fn is_before(self, id: u64, event: &DepthMessage) -> bool {
        if self.is_spot { event.last_id <= id } else { event.last_id < id }
    }

    /// Whether the event may be the first after a snapshot of `id`.
    fn continues_snapshot(self, id: u64, event: &DepthMessage) -> bool {
        if self.is_spot {
            event.first_id <= id.saturating_add(1) && event.last_id > id
        } else {
            (event.first_id <= id && id <= event.last_id) || event.prev_id == Some(id)
        }
    }

    /// Whether the event follows one that ended with `id`.
    #[inline]
    fn continues_event(self, id: u64, event: &DepthMessage) -> bool {
        match event.prev_id {
            Some(prev_id) => prev_id == id,
            None => event.first_id <= id.saturating_add(1) && event.last_id > id,
        }
    }
}

impl MarketFeed {
    /// Makes the feed for the instruments of `venue` in `table`; `None` if `venue` is not one of Binance's.
    pub fn new(table: &InstrumentTable, venue: VenueId, config: FeedConfig) -> Option<Self> {
        if ![VenueId::BINANCE_USDM, VenueId::BINANCE_COINM, VenueId::BINANCE_SPOT].contains(&venue) {
            return None;
        }
        let decoder = Decoder::new(table, venue);
        let state = State {
            book: BookState::Empty,
            sync: Sync::Waiting,
            origin: Origin::Unknown,
            needs_resync: false,
            was_live: false,
            last_id: 0,
            waiting_id: 0,
        };
        Some(Self {
            rules: Rules { is_spot: venue == VenueId::BINANCE_SPOT },
            states: vec![state; decoder.symbols().len()].into_boxed_slice(),
            buffer: SyncBuffer::new(),
            counters: FeedCounters::default(),
            only: decoder.symbols().only(),
            assume_empty: config.assume_empty,
            resyncs_wanted: 0,
            decoder,
        })
    }

    /// What became of the messages so far.
    pub fn counters(&self) -> &FeedCounters {
        &self.counters
    }

    /// Decodes one message, applies the sequence rules and gives what follows to `sink`. A snapshot that names no symbol
    /// belongs to the feed's only instrument. `decoded_ns` is asked once for the nanoseconds since `arrival.recv`.
    ///
    /// # Errors
    /// [`WireError`] if the message was refused; it then had no effect.
    ///
    /// # Cost
    /// One pass over the message; a snapshot also walks the waiting events.
    #[inline]
    pub fn on_frame(
        &mut self,
        frame: &[u8],
        arrival: Arrival,
        decoded_ns: impl FnOnce() -> u32,
        sink: &mut impl EventSink,
    ) -> Result<FrameKind, WireError> {
        self.on_owned(frame, self.only, arrival, decoded_ns, sink)
    }

    /// Takes a REST depth snapshot of `instrument`.
    ///
    /// # Errors
    /// [`WireError`] if the message was refused.
    pub fn on_snapshot(
        &mut self,
        instrument: InstrumentId,
        body: &[u8],
        arrival: Arrival,
        sink: &mut impl EventSink,
    ) -> Result<FrameKind, WireError> {
        self.on_owned(body, Some(instrument), arrival, || 0, sink)
    }

    #[inline]
    fn on_owned(
        &mut self,
        frame: &[u8],
        owner: Option<InstrumentId>,
        arrival: Arrival,
        decoded_ns: impl FnOnce() -> u32,
        sink: &mut impl EventSink,
    ) -> Result<FrameKind, WireError> {
        let mut decoded = self.decoder.quick(frame, owner);
        if let Err(error) = decoded {
            self.counters.general_path += 1;
            // The scanner's error says where; the general source's verdict counts.
            decoded = self.decoder.general(frame, owner).map_err(|_| error);
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
            Message::Depth(depth) if depth.is_partial => {
                let DepthMessage { instrument, venue_ts, last_id, bids, asks, .. } = *depth;
                let whole = SnapshotMessage { instrument, is_partial: true, venue_ts, last_id, bids, asks };
                self.on_partial(&whole, meta, sink)
            }
            Message::Depth(depth) => self.on_depth(depth, meta, sink),
            Message::Snapshot(snapshot) if snapshot.is_partial => self.on_partial(snapshot, meta, sink),
            Message::Snapshot(snapshot) => self.on_rest_snapshot(snapshot, meta, sink),
            Message::Top(top) => {
                let meta = Meta { instrument: top.instrument, venue_ts: top.venue_ts, seq: top.update_id, ..meta };
                let side = |level: Level| (level.px != Ticks::ZERO && level.qty != Lots::ZERO).then_some(level);
                let (bid, ask) = (side(top.bid), side(top.ask));
                sink.event(&Event::Top(Top { meta, check: TopCheck::AtOrBefore, bid, ask }));
                FrameKind::Top
            }
            Message::Trade(Some(trade)) => {
                self.counters.trades += 1;
                let meta = Meta { instrument: trade.instrument, venue_ts: trade.venue_ts, seq: trade.id, ..meta };
                sink.event(&Event::Trade(Trade { meta, taker: trade.taker, px: trade.px, qty: trade.qty }));
                FrameKind::Trades
            }
            Message::Trade(None) => {
                self.counters.off_book_trades += 1;
                FrameKind::Trades
            }
            Message::Mark(mark) => {
                let MarkMessage { instrument, venue_ts, mark_px, index_px, funding_rate, next_funding } = *mark;
                let meta = Meta { instrument, venue_ts, ..meta };
                let last_px = Ticks::ZERO;
                sink.event(&Event::Ticker(Ticker { meta, mark_px, index_px, last_px, funding_rate, next_funding }));
                FrameKind::Ticker
            }
            Message::Ignored(kind) => FrameKind::Ignored(*kind),
            Message::UnknownSymbol => FrameKind::UnknownSymbol,
            Message::Unknown => FrameKind::Unknown,
        }
    }

    #[inline]
    fn on_depth(&mut self, event: &DepthMessage, meta: Meta, sink: &mut impl EventSink) -> FrameKind {
        let Some(state) = self.states.get_mut(event.instrument.idx()) else { return FrameKind::UnknownSymbol };
        let meta = Meta { instrument: event.instrument, ..meta };
        state.origin = Origin::Diff;
        if state.sync == Sync::Linked && self.rules.continues_event(state.last_id, event) {
            state.last_id = event.last_id;
            let levels = &self.decoder.levels;
            sink.event(&delta(event, meta, levels.get(event.bids), levels.get(event.asks)));
        } else {
            self.on_unlinked(event, meta, sink);
        }
        FrameKind::Book
    }

    /// An event that does not simply continue a live book.
    #[cold]
    fn on_unlinked(&mut self, event: &DepthMessage, meta: Meta, sink: &mut impl EventSink) {
        let Some(state) = self.states.get_mut(event.instrument.idx()) else { return };
        let levels = &self.decoder.levels;
        let (bids, asks) = (levels.get(event.bids), levels.get(event.asks));
        match state.sync {
            Sync::Linked if event.last_id <= state.last_id => self.counters.old_updates += 1,
            Sync::Linked => {
                self.counters.gaps += 1;
                state.book = BookState::Stale;
                state.sync = Sync::Waiting;
                sink.event(&status(meta, BookState::Stale));
                self.wait(event);
            }
            Sync::Anchored if self.rules.is_before(state.last_id, event) => self.counters.old_updates += 1,
            Sync::Anchored if self.rules.continues_snapshot(state.last_id, event) => {
                state.last_id = event.last_id;
                sink.event(&delta(event, meta, bids, asks));
                self.go_live(event.instrument, meta, sink);
            }
            Sync::Anchored => {
                self.counters.useless_snapshots += 1;
                state.sync = Sync::Waiting;
                self.wait(event);
            }
            Sync::Waiting if state.book == BookState::Empty && self.assume_empty => {
                let seq = event.prev_id.unwrap_or(event.first_id.saturating_sub(1));
                let empty = Meta { venue_ts: event.venue_ts, seq, ..meta };
                let kind = BookKind::Snapshot;
                sink.event(&Event::Book(Book { meta: empty, kind, cross_seq: seq, bids: &[], asks: &[] }));
                state.last_id = event.last_id;
                sink.event(&delta(event, meta, bids, asks));
                self.go_live(event.instrument, meta, sink);
            }
            Sync::Waiting => {
                // Live here means: made by a partial stream, which now gives way.
                if matches!(state.book, BookState::Empty | BookState::Live) {
                    state.book = BookState::Syncing;
                    sink.event(&status(meta, BookState::Syncing));
                }
                self.wait(event);
            }
        }
    }

    /// Keeps an event until a snapshot comes, and asks for one if it is the first.
    fn wait(&mut self, event: &DepthMessage) {
        let Some(state) = self.states.get_mut(event.instrument.idx()) else { return };
        if state.waiting_id != 0 && !self.rules.continues_event(state.waiting_id, event) {
            if event.last_id <= state.waiting_id {
                self.counters.old_updates += 1;
                return;
            }
            // A hole among the waiting events: those before it are of no use.
            self.buffer.forget(event.instrument);
            state.waiting_id = 0;
        }
        let levels = &self.decoder.levels;
        let (bids, asks) = (levels.get(event.bids), levels.get(event.asks));
        if self.buffer.push(event, bids, asks).is_err() {
            self.counters.sync_overflows += 1;
            self.buffer.forget(event.instrument);
            state.waiting_id = 0;
            if self.buffer.push(event, bids, asks).is_err() {
                // Others fill the buffer: the next event tries again.
                return;
            }
        }
        let is_first = state.waiting_id == 0;
        state.waiting_id = event.last_id;
        if is_first {
            self.want_resync(event.instrument);
        }
    }

    fn want_resync(&mut self, instrument: InstrumentId) {
        if let Some(state) = self.states.get_mut(instrument.idx())
            && !state.needs_resync
        {
            state.needs_resync = true;
            self.resyncs_wanted += 1;
        }
    }

    #[cold]
    fn on_rest_snapshot(&mut self, snapshot: &SnapshotMessage, meta: Meta, sink: &mut impl EventSink) -> FrameKind {
        let instrument = snapshot.instrument;
        let Some(state) = self.states.get_mut(instrument.idx()) else { return FrameKind::UnknownSymbol };
        if state.sync == Sync::Linked {
            self.counters.useless_snapshots += 1;
            return FrameKind::Book;
        }
        let (rules, id) = (self.rules, snapshot.last_id);
        let mut waiting = self.buffer.of(instrument).skip_while(|event| rules.is_before(id, event)).peekable();
        let is_linked = waiting.peek().is_some();
        if waiting.peek().is_some_and(|event| !rules.continues_snapshot(id, event)) {
            // Older than the oldest event: the events between the two are lost.
            drop(waiting);
            self.counters.useless_snapshots += 1;
            self.want_resync(instrument);
            return FrameKind::Book;
        }
        let levels = &self.decoder.levels;
        sink.event(&whole(snapshot, meta, levels.get(snapshot.bids), levels.get(snapshot.asks)));
        state.last_id = id;
        state.sync = Sync::Anchored;
        for event in waiting {
            state.last_id = event.last_id;
            sink.event(&delta(event, meta, self.buffer.levels(event.bids), self.buffer.levels(event.asks)));
        }
        state.waiting_id = 0;
        if state.book == BookState::Empty {
            state.book = BookState::Syncing;
            sink.event(&status(Meta { instrument, ..meta }, BookState::Syncing));
        }
        self.buffer.forget(instrument);
        if is_linked {
            self.go_live(instrument, Meta { instrument, ..meta }, sink);
        }
        FrameKind::Book
    }

    /// A shallow but whole book; of no use beside a diff stream.
    #[inline]
    fn on_partial(&mut self, snapshot: &SnapshotMessage, meta: Meta, sink: &mut impl EventSink) -> FrameKind {
        let Some(state) = self.states.get_mut(snapshot.instrument.idx()) else { return FrameKind::UnknownSymbol };
        if state.origin == Origin::Diff {
            return FrameKind::Ignored(Ignored::OtherBook);
        }
        state.origin = Origin::Partial;
        if snapshot.last_id < state.last_id {
            self.counters.old_updates += 1;
            return FrameKind::Book;
        }
        state.last_id = snapshot.last_id;
        let levels = &self.decoder.levels;
        sink.event(&whole(snapshot, meta, levels.get(snapshot.bids), levels.get(snapshot.asks)));
        if state.book != BookState::Live {
            self.go_live(snapshot.instrument, Meta { instrument: snapshot.instrument, ..meta }, sink);
            // Never linked: a diff stream that begins later starts over.
            if let Some(state) = self.states.get_mut(snapshot.instrument.idx()) {
                state.sync = Sync::Waiting;
            }
        }
        FrameKind::Book
    }

    fn go_live(&mut self, instrument: InstrumentId, meta: Meta, sink: &mut impl EventSink) {
        let Some(state) = self.states.get_mut(instrument.idx()) else { return };
        state.book = BookState::Live;
        state.sync = Sync::Linked;
        self.counters.resyncs += u64::from(state.was_live);
        state.was_live = true;
        if state.needs_resync {
            state.needs_resync = false;
            self.resyncs_wanted -= 1;
        }
        sink.event(&status(meta, BookState::Live));
    }

    /// The next instrument of which a REST snapshot is wanted.
    pub fn take_resync(&mut self) -> Option<InstrumentId> {
        if self.resyncs_wanted == 0 {
            return None;
        }
        let idx = self.states.iter().position(|state| state.needs_resync)?;
        self.states.get_mut(idx)?.needs_resync = false;
        self.resyncs_wanted -= 1;
        Some(InstrumentId(idx as u16))
    }

    /// The connection was lost: every book that was live is stale, and what waited is forgotten. The first event of the
    /// new connection asks for a snapshot.
    pub fn on_disconnect(&mut self, recv: Nanos, sink: &mut impl EventSink) {
        self.buffer.clear();
        self.resyncs_wanted = 0;
        for (idx, state) in self.states.iter_mut().enumerate() {
            state.needs_resync = false;
            state.waiting_id = 0;
            state.last_id = 0;
            state.sync = Sync::Waiting;
            if state.book == BookState::Live {
                state.book = BookState::Stale;
                let meta = Meta { instrument: InstrumentId(idx as u16), recv, ..Meta::default() };
                sink.event(&status(meta, BookState::Stale));
            }
        }
    }

    /// Someone found the book impossible (crossed): it is stale, and the next event asks for a snapshot.
    pub fn invalidate(&mut self, instrument: InstrumentId, recv: Nanos, sink: &mut impl EventSink) {
        let Some(state) = self.states.get_mut(instrument.idx()) else { return };
        if state.book == BookState::Live {
            state.book = BookState::Stale;
            state.sync = Sync::Waiting;
            state.waiting_id = 0;
            self.buffer.forget(instrument);
            sink.event(&status(Meta { instrument, recv, ..Meta::default() }, BookState::Stale));
        }
    }
}

#[inline]
fn delta<'a>(event: &DepthMessage, meta: Meta, bids: &'a [Level], asks: &'a [Level]) -> Event<'a> {
    let meta = Meta { instrument: event.instrument, venue_ts: event.venue_ts, seq: event.last_id, ..meta };
    Event::Book(Book { meta, kind: BookKind::Delta, cross_seq: event.last_id, bids, asks })
}

fn whole<'a>(snapshot: &SnapshotMessage, meta: Meta, bids: &'a [Level], asks: &'a [Level]) -> Event<'a> {
    let SnapshotMessage { instrument, venue_ts, last_id, .. } = *snapshot;
    let meta = Meta { instrument, venue_ts, seq: last_id, ..meta };
    Event::Book(Book { meta, kind: BookKind::Snapshot, cross_seq: last_id, bids, asks })
}

fn status(meta: Meta, state: BookState) -> Event<'static> {
    Event::BookStatus(BookStatus { meta, state })
}
