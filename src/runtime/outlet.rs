//! Ways for events into a ring whose reader may be behind.

use crate::ring::Producer;
use crate::types::{BookState, BookStatus, Event, InstrumentId, Meta, Nanos, Record, RecordSink};
use crate::venue::{EventSink, MarketFeed};

/// Loses nothing: what does not fit waits in a backlog that grows if it must. For orders, and for replays.
pub(super) struct Outlet {
    ring: Producer<Record>,
    backlog: Vec<Record>,
}

impl Outlet {
    /// Makes an outlet whose backlog has room for `backlog_records` before it grows.
    pub(super) fn new(ring: Producer<Record>, backlog_records: usize) -> Self {
        Self { ring, backlog: Vec::with_capacity(backlog_records) }
    }

    /// Moves the backlog into the ring; returns whether it is empty.
    #[inline]
    pub(super) fn flush(&mut self) -> bool {
        if self.backlog.is_empty() {
            return true;
        }
        let mut at = 0;
        while let Some(first) = self.backlog.get(at) {
            let count = first.event_records();
            let backlog = &self.backlog;
            if !self.ring.publish(count, |idx| backlog.get(at + idx).copied().unwrap_or_default()) {
                break;
            }
            at += count;
        }
        self.backlog.drain(..at);
        self.backlog.is_empty()
    }
}

impl EventSink for Outlet {
    #[inline]
    fn event(&mut self, event: &Event<'_>) {
        if !self.backlog.is_empty() || !event.publish(&mut self.ring) {
            event.publish(&mut self.backlog);
        }
    }
}

/// For live market data: never waits. An event that does not fit is lost, its instrument's books are held back from then
/// on, and as soon as there is room the instrument is declared stale and resynchronised.
pub(super) struct MarketOutlet {
    ring: Producer<Record>,
    /// Instruments of which an event was lost.
    lost: Box<[bool]>,
    any_lost: bool,
    lost_count: u64,
}

impl MarketOutlet {
    pub(super) fn new(ring: Producer<Record>, instruments: usize) -> Self {
        Self { ring, lost: vec![false; instruments].into_boxed_slice(), any_lost: false, lost_count: 0 }
    }

    /// Events lost so far.
    pub(super) fn lost_count(&self) -> u64 {
        self.lost_count
    }

    /// Declares instruments stale of which an event was lost, if there is room to say so.
    #[inline]
    pub(super) fn recover(&mut self, feed: &mut MarketFeed, now: Nanos) {
        if self.any_lost {
            self.recover_lost(feed, now);
        }
    }

    #[cold]
    fn recover_lost(&mut self, feed: &mut MarketFeed, now: Nanos) {
        self.any_lost = false;
        for idx in 0..self.lost.len() {
            if !self.lost[idx] {
                continue;
            }
            // The feed's own word might not fit either, and is said only once: so it is said here, until it fits. What the
            // feed says while the instrument is held back (a fresh snapshot, even) makes it stale anew.
            let instrument = InstrumentId(idx as u16);
            feed.invalidate(instrument, now, &mut |_: &Event<'_>| {});
            let meta = Meta { instrument, recv: now, ..Meta::default() };
            let status = Event::BookStatus(BookStatus { meta, state: BookState::Stale });
            self.lost[idx] = !status.publish(&mut self.ring);
            self.any_lost |= self.lost[idx];
        }
    }
}

impl EventSink for MarketOutlet {
    #[inline]
    fn event(&mut self, event: &Event<'_>) {
        let idx = event.meta().instrument.idx();
        let is_held = self.any_lost && self.lost.get(idx).is_some_and(|&lost| lost);
        if is_held || !event.publish(&mut self.ring) {
            self.lost_count += 1;
            self.any_lost = true;
            if let Some(lost) = self.lost.get_mut(idx) {
                *lost = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::synthetic::{SyntheticConfig, generate, sidecar};
    use crate::ring::{Consumer, spsc};
    use crate::types::{Level, VenueId};
    use crate::venue::{Arrival, FeedConfig};

    /// Takes everything out of a ring: kinds, and the state of status events.
    fn drain(ring: &mut Consumer<Record>) -> Vec<(&'static str, Option<BookState>)> {
        let mut levels = vec![Level::default(); Event::LEVELS_MAX];
        let mut seen = Vec::new();
        while let Some(first) = ring.peek() {
            let event = Event::decode(&first, |idx| ring.peek_at(idx).unwrap(), &mut levels).unwrap();
            let state = if let Event::BookStatus(status) = event { Some(status.state) } else { None };
            seen.push((event.kind_name(), state));
            ring.advance(first.event_records());
        }
        seen
    }

    #[test]
    fn a_full_market_ring_makes_the_book_stale_and_loses_nothing_silently() {
        let config = SyntheticConfig { instruments: 1, ..SyntheticConfig::new(VenueId::BYBIT, 6) };
        let table = sidecar(&config).table().unwrap();
        let mut feed = MarketFeed::new(VenueId::BYBIT, &table, FeedConfig::default()).unwrap();
        let (producer, mut consumer) = spsc(512);
        let mut outlet = MarketOutlet::new(producer, table.len());
        let lines = generate(&config).lines;
        let mut lines = lines.iter();
        let mut step = |outlet: &mut MarketOutlet, feed: &mut MarketFeed| {
            let (recv, message) = lines.next().unwrap();
            let recv = Nanos::new(*recv);
            feed.on_frame(message, Arrival { recv, framed_ns: 0 }, || 0, outlet).unwrap();
            outlet.recover(feed, recv);
        };
        // Nobody reads: the ring fills up, and something is lost.
        while outlet.lost_count() == 0 {
            step(&mut outlet, &mut feed);
        }
        let mut seen = drain(&mut consumer);
        assert!(seen.contains(&("book-status", Some(BookState::Live))));
        // There is room again: the book is stale, a new start was asked for, and no change of it came in between.
        for _ in 0..20 {
            step(&mut outlet, &mut feed);
            seen.extend(drain(&mut consumer));
        }
        let stale = seen.iter().position(|event| *event == ("book-status", Some(BookState::Stale))).unwrap();
        assert!(seen[stale..].iter().all(|(kind, _)| *kind != "book"), "{:?}", &seen[stale..]);
        assert!(feed.take_resync().is_some());
    }

    #[test]
    fn an_outlet_with_a_backlog_keeps_the_order() {
        let (producer, mut consumer) = spsc(2);
        let mut outlet = Outlet::new(producer, 16);
        for seq in 0..6 {
            outlet.event(&Event::Timer(crate::types::Meta { seq, ..Default::default() }));
        }
        let mut seen = Vec::new();
        while seen.len() < 6 {
            while let Some(record) = consumer.pop() {
                seen.push(record.words[3]);
            }
            outlet.flush();
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    }
}
