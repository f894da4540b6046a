//! Passes over a capture in memory on one thread, without simulation or output: what a profiler is pointed at.
//!
//! Three passes, each a function of its own that is not inlined, so that `perf report` tells them apart and the difference
//! between two of them is what a stage costs:
//!
//! ```text
//! pass_decode     bytes → events
//! pass_books      bytes → events → book, certificate, signals (no strategy)
//! pass_engine     bytes → events → book, certificate, signals → strategy, risk, orders
//! ```
//!
//! Orders meet a null venue: each is cancelled before the next message, so that the strategy goes on wanting others.

use std::hint::black_box;

use crate::engine::{Engine, EngineConfig, EngineReport};
use crate::journal::{Capture, Frame};
use crate::strategy::{BuiltIn, Strategy};
use crate::types::{
    Balance, Command, CommandKind, Control, Event, InstrumentTable, Lots, Meta, Money, Nanos, OrderStatus, OrderUpdate,
    VenueId,
};
use crate::venue::{Arrival, EventSink, FeedConfig, MarketFeed};

/// The decoders of a pass, one for each venue, as [`Frame::feed`] counts them.
pub struct PassFeeds {
    feeds: Vec<(VenueId, MarketFeed)>,
    table: InstrumentTable,
    refused: u64,
}

impl PassFeeds {
    /// Makes the decoders; `None` if there is none for a venue.
    pub fn new(venues: &[VenueId], table: &InstrumentTable, config: FeedConfig) -> Option<Self> {
        let feed = |venue: &VenueId| MarketFeed::new(*venue, table, config).map(|feed| (*venue, feed));
        let feeds = venues.iter().map(feed).collect::<Option<Vec<_>>>()?;
        Some(Self { feeds, table: table.clone(), refused: 0 })
    }

    #[inline]
    fn decode(&mut self, frame: &Frame<'_>, sink: &mut impl EventSink) {
        let Some((venue, feed)) = self.feeds.get_mut(frame.feed) else { return };
        let arrival = Arrival { recv: frame.at, framed_ns: 0 };
        let owner = frame.symbol.and_then(|symbol| self.table.find(*venue, symbol.as_bytes()));
        let result = match owner {
            Some(owner) => feed.on_snapshot(owner, frame.message, arrival, sink),
            None => feed.on_frame(frame.message, arrival, || 0, sink),
        };
        self.refused += u64::from(result.is_err());
        while feed.take_resync().is_some() {}
    }
}

/// Decodes every message; returns how many events came of it.
#[inline(never)]
pub fn pass_decode(capture: &Capture, feeds: &mut PassFeeds) -> u64 {
    let mut events = 0;
    let mut sink = |event: &Event<'_>| {
        black_box(event);
        events += 1;
    };
    for frame in (0..capture.len()).filter_map(|idx| capture.get(idx)) {
        feeds.decode(&frame, &mut sink);
    }
    events
}

/// Decodes every message and keeps books, certificates and signals; returns what the engine has in the end.
#[inline(never)]
pub fn pass_books(capture: &Capture, feeds: &mut PassFeeds, engine: &mut Engine<BuiltIn>) -> EngineReport {
    let mut none: Vec<Command> = Vec::new();
    for frame in (0..capture.len()).filter_map(|idx| capture.get(idx)) {
        feeds.decode(&frame, &mut |event: &Event<'_>| engine.on_event(event, &mut none));
    }
    engine.report()
}

/// All of it; returns what the engine has in the end, and how many commands it gave.
#[inline(never)]
pub fn pass_engine<S: Strategy>(
    capture: &Capture,
    feeds: &mut PassFeeds,
    engine: &mut Engine<S>,
) -> (EngineReport, u64) {
    let mut commands: Vec<Command> = Vec::with_capacity(64);
    let wallet = Money::new(100_000 * Money::ONE.get());
    engine.on_event(&Event::Balance(Balance { meta: Meta::default(), wallet, available: wallet }), &mut commands);
    engine.on_event(&Event::Control(Meta::default(), Control::Arm), &mut commands);
    let mut given = 0;
    for frame in (0..capture.len()).filter_map(|idx| capture.get(idx)) {
        feeds.decode(&frame, &mut |event: &Event<'_>| engine.on_event(event, &mut commands));
        while let Some(command) = commands.pop() {
            given += 1;
            if command.kind == CommandKind::New {
                engine.on_event(&Event::Order(cancelled(&command, frame.at)), &mut commands);
            }
        }
    }
    (engine.report(), given)
}

/// The venue's word that an order is gone: what a null venue says to each.
pub(crate) fn cancelled(command: &Command, at: Nanos) -> OrderUpdate {
    OrderUpdate {
        meta: Meta { recv: at, instrument: command.instrument, ..Meta::default() },
        client_id: command.client_id,
        venue_order_id: 1,
        side: command.side,
        status: OrderStatus::Cancelled,
        px: command.px,
        qty: command.qty,
        filled: Lots::ZERO,
        reason: 0,
        asked_at: Nanos::ZERO,
    }
}

/// An engine for [`pass_books`].
pub fn watching(table: &InstrumentTable, config: EngineConfig) -> Engine<BuiltIn> {
    Engine::new(table, config, BuiltIn::Watch)
}
