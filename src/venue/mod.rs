//! Turns venue messages into [`Event`]s, and orders into venue messages: codecs and rules, no sockets.
//!
//! ```text
//! frame ─▶ heads ─▶ scan ──(refused)──▶ general   two sources of JSON values, one trait: `source`; numbers in `rows`, `number`
//!            └──────┬────────────┘
//!          bybit::market  binance::market     one message, its numbers as ticks and lots
//!                   │
//!          bybit::feed    binance::feed       the venue's sequence rules ─▶ Event, BookStatus
//! ```
//!
//! Thread: feed (and gateway for the private half). Allocates: when built; the general source grows to the largest
//! message that needed it. Blocks: never. Clock: none; times are arguments. Fails: per message, with [`WireError`].
//! Whether a book is crossed is noticed elsewhere (`book`), and told here by `invalidate`.

pub mod binance;
pub mod bybit;
#[cfg(target_arch = "x86_64")]
mod column;
mod count;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod general;
mod heads;
mod number;
#[cfg(target_arch = "x86_64")]
mod rows;
#[cfg(target_arch = "x86_64")]
mod runs;
mod scan;
#[cfg(test)]
mod sequence_tests;
mod simd;
mod source;
mod symbols;

pub use count::{FeedCounters, FrameKind, Ignored};
pub use error::WireError;
pub use simd::Simd;

use crate::types::{Event, InstrumentId, InstrumentTable, Nanos, VenueId};

/// Takes events one by one. Any `FnMut(&Event)` is one.
pub trait EventSink {
    /// Takes one event; what it borrows is valid during the call only.
    fn event(&mut self, event: &Event<'_>);
}

impl<F: FnMut(&Event<'_>)> EventSink for F {
    #[inline]
    fn event(&mut self, event: &Event<'_>) {
        self(event);
    }
}

/// When a frame came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Arrival {
    /// Engine time: return of the read that completed the frame.
    pub recv: Nanos,
    /// Nanoseconds from `recv` until the frame was cut out.
    pub framed_ns: u32,
}

/// Longest market data frame in bytes: a snapshot of 12,000 levels at 40 bytes each, and as much again.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// What a market feed is to do beside following its venue's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FeedConfig {
    /// Bybit: which depth is the book; `None` learns it: the deepest seen. Per-instrument settings override it.
    pub book_depth: Option<u16>,
    /// Binance: a book starts empty and live at its first delta, for captures without a snapshot.
    pub assume_empty: bool,
}

/// The market feed of any venue, without dynamic dispatch.
pub enum MarketFeed {
    /// Bybit v5.
    Bybit(bybit::MarketFeed),
    /// Binance spot, USD-M or COIN-M.
    Binance(binance::MarketFeed),
}

impl MarketFeed {
    /// Makes the feed of `venue` for its instruments in `table`; `None` if there is no decoder for that venue.
    pub fn new(venue: VenueId, table: &InstrumentTable, config: FeedConfig) -> Option<Self> {
        Some(match venue {
            VenueId::BYBIT => Self::Bybit(bybit::MarketFeed::new(table, config)),
            VenueId::BINANCE_USDM | VenueId::BINANCE_COINM | VenueId::BINANCE_SPOT => {
                Self::Binance(binance::MarketFeed::new(table, venue, config)?)
            }
            _ => return None,
        })
    }

    /// Decodes one message, applies the sequence rules and gives what follows to `sink`. `decoded_ns` is asked once, when
    /// the message is decoded, for the nanoseconds since `arrival.recv`.
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
        match self {
            Self::Bybit(feed) => feed.on_frame(frame, arrival, decoded_ns, sink),
            Self::Binance(feed) => feed.on_frame(frame, arrival, decoded_ns, sink),
        }
    }

    /// Takes a REST depth snapshot of `instrument`. Bybit sends its snapshots in the stream and has none.
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
        match self {
            Self::Bybit(feed) => feed.on_frame(body, arrival, || 0, sink),
            Self::Binance(feed) => feed.on_snapshot(instrument, body, arrival, sink),
        }
    }

    /// The next instrument whose book needs a new start: a new subscription (Bybit) or a REST snapshot (Binance). Each is
    /// told once for each time that it becomes necessary.
    pub fn take_resync(&mut self) -> Option<InstrumentId> {
        match self {
            Self::Bybit(feed) => feed.take_resync(),
            Self::Binance(feed) => feed.take_resync(),
        }
    }

    /// The connection was lost: no book is proven any more.
    pub fn on_disconnect(&mut self, recv: Nanos, sink: &mut impl EventSink) {
        match self {
            Self::Bybit(feed) => feed.on_disconnect(recv, sink),
            Self::Binance(feed) => feed.on_disconnect(recv, sink),
        }
    }

    /// Someone found the instrument's book impossible (crossed): it becomes stale and is resynchronised.
    pub fn invalidate(&mut self, instrument: InstrumentId, recv: Nanos, sink: &mut impl EventSink) {
        match self {
            Self::Bybit(feed) => feed.invalidate(instrument, recv, sink),
            Self::Binance(feed) => feed.invalidate(instrument, recv, sink),
        }
    }

    /// Says which of several connections with the same streams the next messages come from; `None`: there is only one.
    /// Venues without a rule for it take everything from the first.
    #[inline]
    pub fn set_source(&mut self, source: Option<u8>) {
        if let Self::Bybit(feed) = self {
            feed.set_source(source);
        }
    }

    /// What each of several connections brought; empty where they cannot race.
    pub fn race_counts(&self) -> &[bybit::RaceCount] {
        match self {
            Self::Bybit(feed) => feed.race_counts(),
            Self::Binance(_) => &[],
        }
    }

    /// The first instrument with a live book of which nothing was heard since `before`. It counts as heard now. Only for
    /// venues that repeat what has not changed (Bybit: the best level every three seconds).
    pub fn take_silent(&mut self, before: Nanos, now: Nanos) -> Option<InstrumentId> {
        match self {
            Self::Bybit(feed) => feed.take_silent(before, now),
            Self::Binance(_) => None,
        }
    }

    /// What became of the messages so far.
    pub fn counters(&self) -> &FeedCounters {
        match self {
            Self::Bybit(feed) => feed.counters(),
            Self::Binance(feed) => feed.counters(),
        }
    }
}
