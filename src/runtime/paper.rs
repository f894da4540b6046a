//! Assembles a paper session: live feed → simulated venue → core. The market is real (or simulated over sockets), the fills are ours.
//!
//! ```text
//! LIVE FEED ──ring──▶ (relay) ──ring──▶ SIM VENUE ──ring──▶ CORE      core ──ring──▶ sim venue: commands
//! ```
//!
//! It is a replay whose capture is being made: fills, latencies and their order are those of [`super::replay()`]. Virtual time is
//! the feed's, so what is due between two messages of the market is told with the second one. Nothing is sent to any venue but
//! subscriptions.

use super::clock::Clock;
use super::duty::{Duty, DutyReport};
use super::live::market_ring_slots;
use super::live_feed::{LiveFeedConfig, LiveFeedDuty};
use super::replay::{ReplayError, ReplayOptions, ReplayOutcome, assemble};
use super::replay_feed::FeedReport;
use crate::engine::EngineConfig;
use crate::ring::{Consumer, Flag, Producer, spsc};
use crate::strategy::Strategy;
use crate::types::{Control, Event, InstrumentTable, Meta, Nanos, Record, RecordSink};
use crate::venue::MarketFeed;

/// Events relayed from one feed in one poll.
const EVENTS_PER_POLL: usize = 256;

/// Live feeds, merged as they come, and the word that ends the session.
struct PaperFeedDuty {
    feeds: Vec<(LiveFeedDuty, Consumer<Record>)>,
    to_sim: Producer<Record>,
    clock: Clock,
    /// Set by the shell: the session is to end.
    stopping: Flag,
    has_ended: bool,
}

impl PaperFeedDuty {
    fn new(
        feeds: Vec<(MarketFeed, LiveFeedConfig)>,
        table: &InstrumentTable,
        to_sim: Producer<Record>,
        stopping: Flag,
    ) -> Self {
        let clock = Clock::new();
        let connect = |(decoder, config): (MarketFeed, LiveFeedConfig)| {
            let (from_feed, relayed) = spsc(market_ring_slots(table.len()));
            (LiveFeedDuty::new(config, decoder, table, from_feed, clock.clone()), relayed)
        };
        let feeds = feeds.into_iter().map(connect).collect();
        Self { feeds, to_sim, clock, stopping, has_ended: false }
    }
}

/// Passes on what fits; returns how many events did.
fn relay(from: &mut Consumer<Record>, to: &mut Producer<Record>) -> usize {
    for passed in 0..EVENTS_PER_POLL {
        let Some(first) = from.peek() else { return passed };
        let count = first.event_records();
        // A full ring waits: the feed's own ring then fills, and a feed that loses events says so and asks anew.
        if !to.publish(count, |idx| from.peek_at(idx).unwrap_or_default()) {
            return passed;
        }
        from.advance(count);
    }
    EVENTS_PER_POLL
}

impl Duty for PaperFeedDuty {
    fn name(&self) -> &'static str {
        "paper-feed"
    }

    fn poll(&mut self, now: Nanos) -> usize {
        if self.has_ended {
            return 0;
        }
        let mut work = 0;
        for (feed, relayed) in &mut self.feeds {
            work += feed.poll(now) + relay(relayed, &mut self.to_sim);
        }
        if self.stopping.is_set() {
            let meta = Meta { recv: self.clock.now(), ..Meta::default() };
            self.has_ended = Event::Control(meta, Control::Stop).publish(&mut self.to_sim);
        }
        work
    }

    fn is_finished(&self) -> bool {
        self.has_ended
    }

    fn finish(self: Box<Self>) -> DutyReport {
        let mut whole: Option<FeedReport> = None;
        for (feed, _) in self.feeds {
            if let DutyReport::Feed(report) = Box::new(feed).finish() {
                match &mut whole {
                    Some(whole) => whole.merge(*report),
                    None => whole = Some(*report),
                }
            }
        }
        whole.map_or(DutyReport::None, |report| DutyReport::Feed(Box::new(report)))
    }
}

/// Trades on paper until `stopping` is set: market data of `feeds`, fills simulated. Blocks. `options.venues` and `options.feed` do
/// not matter here: the feeds bring their decoders.
///
/// # Errors
/// [`ReplayError`].
pub fn paper<S: Strategy + Send + 'static>(
    feeds: Vec<(MarketFeed, LiveFeedConfig)>,
    stopping: Flag,
    options: ReplayOptions,
    config: EngineConfig,
    strategy: S,
) -> Result<ReplayOutcome, ReplayError> {
    let table = options.table.clone();
    let make_feed = |to_sim| Box::new(PaperFeedDuty::new(feeds, &table, to_sim, stopping)) as Box<dyn Duty>;
    assemble(make_feed, options, config, strategy)
}
