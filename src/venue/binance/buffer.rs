//! Deltas that wait for the snapshot which anchors them.

use super::market::DepthMessage;
use crate::types::{InstrumentId, Level};
use crate::venue::source::Span;

/// Most levels that may wait, all instruments together: a minute of the busiest stream captured (20 events of 60 levels
/// a second) for each of 50 instruments. 2.9 MB.
pub(crate) const LEVELS_MAX: usize = 180_000;

/// Most events that may wait: the same minute.
pub(crate) const EVENTS_MAX: usize = 60_000;

/// One arena in order of arrival for all instruments, since few of them synchronise at a time.
pub(crate) struct SyncBuffer {
    events: Vec<Waiting>,
    levels: Vec<Level>,
    /// How many events are alive.
    live_count: usize,
}

/// A waiting event; its spans point into the arena.
#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) message: DepthMessage,
    is_live: bool,
}

/// There was no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl SyncBuffer {
    pub(crate) fn new() -> Self {
        Self { events: Vec::with_capacity(EVENTS_MAX), levels: Vec::with_capacity(LEVELS_MAX), live_count: 0 }
    }

    /// Copies an event and its levels in.
    pub(crate) fn push(&mut self, message: &DepthMessage, bids: &[Level], asks: &[Level]) -> Result<(), Full> {
        let wanted = bids.len() + asks.len();
        if self.events.len() == EVENTS_MAX || self.levels.len() + wanted > LEVELS_MAX {
            self.compact();
        }
        if self.events.len() == EVENTS_MAX || self.levels.len() + wanted > LEVELS_MAX {
            return Err(Full);
        }
        let mut copy = |side: &[Level]| {
            let start = self.levels.len();
            self.levels.extend_from_slice(side);
            Span { start, end: self.levels.len() }
        };
        let (bids, asks) = (copy(bids), copy(asks));
        self.events.push(Waiting { message: DepthMessage { bids, asks, ..*message }, is_live: true });
        self.live_count += 1;
        Ok(())
    }

    /// The instrument's waiting events, oldest first.
    pub(crate) fn of(&self, instrument: InstrumentId) -> impl Iterator<Item = &DepthMessage> {
        self.events.iter().filter(move |w| w.is_live && w.message.instrument == instrument).map(|w| &w.message)
    }

    pub(crate) fn levels(&self, span: Span) -> &[Level] {
        self.levels.get(span.start..span.end).unwrap_or(&[])
    }

    /// Forgets the instrument's events.
    pub(crate) fn forget(&mut self, instrument: InstrumentId) {
        if self.live_count == 0 {
            return;
        }
        for waiting in self.events.iter_mut().filter(|w| w.is_live && w.message.instrument == instrument) {
            waiting.is_live = false;
            self.live_count -= 1;
        }
        if self.live_count == 0 {
            self.events.clear();
            self.levels.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.events.clear();
        self.levels.clear();
        self.live_count = 0;
    }

    /// Moves the live events together, in order.
    fn compact(&mut self) {
        let mut end = 0;
        let levels = &mut self.levels;
        self.events.retain_mut(|waiting| {
            if !waiting.is_live {
                return false;
            }
            for span in [&mut waiting.message.bids, &mut waiting.message.asks] {
                levels.copy_within(span.start..span.end, end);
                let len = span.end - span.start;
                *span = Span { start: end, end: end + len };
                end += len;
            }
            true
        });
        self.levels.truncate(end);
    }
}
