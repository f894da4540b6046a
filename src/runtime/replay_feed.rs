//! The feed of a replay: captures, decoded and sequenced as they would be live, one market feed for each venue.

use super::duty::{Duty, DutyReport};
use super::outlet::Outlet;
use crate::journal::{LoadError, Tape, TapeNext};
use crate::ring::Producer;
use crate::types::{Control, Event, InstrumentTable, Meta, Nanos, Record, VenueId};
use crate::venue::bybit::RaceCount;
use crate::venue::{Arrival, EventSink, FeedCounters, MarketFeed};

/// Messages decoded in one poll.
const FRAMES_PER_POLL: usize = 64;

/// Free slots that one message needs at most: Binance's snapshot releases the deltas that waited for it, which may be
/// more than a ring holds; then the feed waits and goes on from where it was.
const BACKLOG_RECORDS: usize = 1 << 16;

/// What a feed leaves behind.
#[derive(Debug)]
pub struct FeedReport {
    /// What became of its messages.
    pub counters: FeedCounters,
    /// Market events lost because the ring to the core was full.
    pub ring_full: u64,
    /// The first refused messages, for people: what was wrong, and the beginning of the message.
    pub first_errors: Vec<String>,
    /// What each of several connections brought first and late; empty where there was one.
    pub race: Vec<RaceCount>,
    /// Books that were subscribed anew because nothing was heard of them.
    pub silent_streams: u64,
    /// Connections that were replaced for their age.
    pub renewals: u64,
    /// Connections that were lost.
    pub lost_links: u64,
    /// What ended a replay's captures before their end.
    pub broke_off: Option<LoadError>,
}

impl FeedReport {
    /// Adds what another feed of the same run leaves behind.
    pub fn merge(&mut self, other: Self) {
        let Self { counters, ring_full, first_errors, race, silent_streams, renewals, lost_links, broke_off } = other;
        self.broke_off = self.broke_off.take().or(broke_off);
        self.counters.add(&counters);
        self.ring_full += ring_full;
        self.first_errors.extend(first_errors);
        self.first_errors.truncate(ERRORS_KEPT);
        self.silent_streams += silent_streams;
        self.renewals += renewals;
        self.lost_links += lost_links;
        for (count, more) in self.race.iter_mut().zip(race) {
            count.first += more.first;
            count.late += more.late;
        }
    }
}

/// Refused messages that are kept for the report.
const ERRORS_KEPT: usize = 5;

/// Keeps what was wrong with the first refused messages.
pub(super) fn keep_error(kept: &mut Vec<String>, message: &[u8], error: &crate::venue::WireError) {
    if kept.len() < ERRORS_KEPT {
        let shown = String::from_utf8_lossy(&message[..message.len().min(120)]).into_owned();
        kept.push(format!("{error}: {shown}"));
    }
}

/// See the module's documentation.
pub struct ReplayFeedDuty {
    tape: Tape,
    feeds: Vec<(VenueId, MarketFeed)>,
    table: InstrumentTable,
    /// Engine time of the newest message.
    at: Nanos,
    outlet: Outlet,
    first_errors: Vec<String>,
    has_ended: bool,
    is_flushed: bool,
}

impl ReplayFeedDuty {
    /// Makes the feed of captures whose messages belong to `feeds`, by [`Frame::feed`](crate::journal::Frame::feed). Its ring
    /// ends with [`Control::Stop`].
    pub fn new(tape: Tape, feeds: Vec<(VenueId, MarketFeed)>, table: InstrumentTable, ring: Producer<Record>) -> Self {
        let outlet = Outlet::new(ring, BACKLOG_RECORDS);
        let first_errors = Vec::with_capacity(ERRORS_KEPT);
        Self { tape, feeds, table, at: Nanos::ZERO, outlet, first_errors, has_ended: false, is_flushed: true }
    }
}

impl Duty for ReplayFeedDuty {
    fn name(&self) -> &'static str {
        "replay-feed"
    }

    fn is_hot(&self) -> bool {
        true
    }

    fn poll(&mut self, _now: Nanos) -> usize {
        let mut work = 0;
        loop {
            self.is_flushed = self.outlet.flush();
            if work == FRAMES_PER_POLL || !self.is_flushed || self.has_ended {
                break;
            }
            let frame = match self.tape.next_frame() {
                TapeNext::Frame(frame) => frame,
                TapeNext::Wait => break,
                TapeNext::End => {
                    self.outlet.event(&Event::Control(Meta { recv: self.at, ..Meta::default() }, Control::Stop));
                    self.has_ended = true;
                    continue;
                }
            };
            work += 1;
            self.at = frame.at;
            let Some((venue, feed)) = self.feeds.get_mut(frame.feed) else { continue };
            let arrival = Arrival { recv: frame.at, framed_ns: 0 };
            let instrument = frame.symbol.and_then(|symbol| self.table.find(*venue, symbol.as_bytes()));
            let result = match instrument {
                Some(instrument) => feed.on_snapshot(instrument, frame.message, arrival, &mut self.outlet),
                None => feed.on_frame(frame.message, arrival, || 0, &mut self.outlet),
            };
            if let Err(error) = result {
                keep_error(&mut self.first_errors, frame.message, &error);
            }
            // A capture cannot be asked again: the book waits for the next snapshot that it holds.
            while feed.take_resync().is_some() {}
        }
        work
    }

    fn is_finished(&self) -> bool {
        self.has_ended && self.is_flushed
    }

    fn finish(self: Box<Self>) -> DutyReport {
        let mut counters = FeedCounters::default();
        for (_, feed) in &self.feeds {
            counters.add(feed.counters());
        }
        DutyReport::Feed(Box::new(FeedReport {
            counters,
            broke_off: self.tape.into_error(),
            ring_full: 0,
            first_errors: self.first_errors,
            race: Vec::new(),
            silent_streams: 0,
            renewals: 0,
            lost_links: 0,
        }))
    }
}
