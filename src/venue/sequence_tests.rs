//! The sequence rules, one story a test.

use super::{Arrival, FeedConfig, FrameKind, MarketFeed, fuzz};
use crate::types::{Book, BookKind, BookState, Event, InstrumentId, Nanos, VenueId};

/// What came out, in short: `S7` a snapshot that ends with 7, `D8` a delta, then states.
fn short(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Book(Book { meta, kind: BookKind::Snapshot, .. }) => format!("S{}", meta.seq),
        Event::Book(Book { meta, kind: BookKind::Delta, .. }) => format!("D{}", meta.seq),
        Event::Top(top) => format!("T{}", top.meta.seq),
        Event::BookStatus(status) => format!("{:?}", status.state),
        _ => return None,
    })
}

struct Story {
    feed: MarketFeed,
    out: Vec<String>,
}

impl Story {
    fn new(venue: VenueId, config: FeedConfig) -> Self {
        Self { feed: MarketFeed::new(venue, &fuzz::table(venue), config).unwrap(), out: Vec::new() }
    }

    fn send(&mut self, message: &str) -> FrameKind {
        let out = &mut self.out;
        let mut sink = |event: &Event<'_>| out.extend(short(event));
        let arrival = Arrival { recv: Nanos::new(1), framed_ns: 0 };
        let kind = if message.starts_with("{\"lastUpdateId\"") {
            self.feed.on_snapshot(InstrumentId(0), message.as_bytes(), arrival, &mut sink)
        } else {
            self.feed.on_frame(message.as_bytes(), arrival, || 0, &mut sink)
        };
        kind.unwrap()
    }

    fn told(&mut self) -> String {
        std::mem::take(&mut self.out).join(" ")
    }
}

fn bybit(depth: u16, kind: &str, u: u64) -> String {
    format!(
        r#"{{"topic":"orderbook.{depth}.BTCUSDT","type":"{kind}","ts":1,"data":{{"s":"BTCUSDT","b":[["50000.10","1"]],"a":[["50000.20","1"]],"u":{u},"seq":{}}},"cts":1}}"#,
        u * 10
    )
}

fn usdm(first: u64, last: u64, prev: u64) -> String {
    format!(
        r#"{{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":{first},"u":{last},"pu":{prev},"b":[["50000.10","1"]],"a":[]}}"#
    )
}

fn spot(first: u64, last: u64) -> String {
    format!(r#"{{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":{first},"u":{last},"b":[["50000.10","1"]],"a":[]}}"#)
}

fn rest(id: u64) -> String {
    format!(r#"{{"lastUpdateId":{id},"bids":[["50000.00","1"]],"asks":[["50000.30","1"]]}}"#)
}

#[test]
fn bybit_gap_makes_stale_until_the_next_snapshot() {
    let mut story = Story::new(VenueId::BYBIT, FeedConfig::default());
    story.send(&bybit(50, "snapshot", 7));
    story.send(&bybit(50, "delta", 8));
    story.send(&bybit(50, "delta", 8));
    story.send(&bybit(50, "delta", 10));
    story.send(&bybit(50, "delta", 11));
    assert_eq!(story.told(), "S7 Live D8 Stale");
    assert_eq!(story.feed.take_resync(), Some(InstrumentId(0)));
    assert_eq!(story.feed.take_resync(), None);
    story.send(&bybit(50, "snapshot", 20));
    story.send(&bybit(50, "delta", 21));
    assert_eq!(story.told(), "S20 Live D21");
    let counters = story.feed.counters();
    assert_eq!((counters.gaps, counters.resyncs, counters.old_updates), (1, 1, 2));
}

#[test]
fn bybit_update_id_one_is_a_restart() {
    let mut story = Story::new(VenueId::BYBIT, FeedConfig::default());
    story.send(&bybit(50, "snapshot", 7));
    story.send(&bybit(50, "delta", 1));
    story.send(&bybit(50, "delta", 2));
    assert_eq!(story.told(), "S7 Live S1 D2");
}

#[test]
fn bybit_deeper_topic_takes_over_and_depth_one_becomes_the_top() {
    let mut story = Story::new(VenueId::BYBIT, FeedConfig::default());
    assert_eq!(story.send(&bybit(1, "snapshot", 7)), FrameKind::Book);
    assert_eq!(story.send(&bybit(1, "snapshot", 7)), FrameKind::Book);
    assert_eq!(story.send(&bybit(50, "snapshot", 90)), FrameKind::Book);
    assert_eq!(story.send(&bybit(1, "snapshot", 8)), FrameKind::Top);
    assert_eq!(story.told(), "S7 Live S7 S90 T80");
}

#[test]
fn bybit_given_depth_is_not_learnt() {
    let mut story = Story::new(VenueId::BYBIT, FeedConfig { book_depth: Some(50), ..FeedConfig::default() });
    story.send(&bybit(1, "snapshot", 7));
    story.send(&bybit(200, "snapshot", 7));
    story.send(&bybit(50, "delta", 9));
    assert_eq!(story.told(), "T70 Syncing");
    assert_eq!(story.feed.take_resync(), Some(InstrumentId(0)));
}

#[test]
fn a_refused_delta_shows_as_a_gap() {
    let mut story = Story::new(VenueId::BYBIT, FeedConfig::default());
    story.send(&bybit(50, "snapshot", 7));
    let broken = bybit(50, "delta", 8).replace("50000.10", "50000.1x");
    let result = story.feed.on_frame(broken.as_bytes(), Arrival::default(), || 0, &mut |_: &Event<'_>| {});
    assert!(result.is_err());
    story.send(&bybit(50, "delta", 9));
    assert_eq!(story.told(), "S7 Live Stale");
}

#[test]
fn futures_deltas_wait_for_the_snapshot_that_they_continue() {
    let mut story = Story::new(VenueId::BINANCE_USDM, FeedConfig::default());
    story.send(&usdm(10, 19, 5));
    story.send(&usdm(25, 29, 19));
    story.send(&usdm(31, 39, 29));
    assert_eq!(story.told(), "Syncing");
    assert_eq!(story.feed.take_resync(), Some(InstrumentId(0)));
    assert_eq!(story.feed.take_resync(), None);
    story.send(&rest(27));
    assert_eq!(story.told(), "S27 D29 D39 Live");
    story.send(&usdm(45, 49, 39));
    story.send(&rest(45));
    story.send(&usdm(41, 49, 39));
    assert_eq!(story.told(), "D49");
    let counters = story.feed.counters();
    assert_eq!((counters.useless_snapshots, counters.old_updates, counters.gaps), (1, 1, 0));
}

#[test]
fn futures_snapshot_may_end_exactly_with_an_event_or_between_two() {
    for id in [19, 29] {
        let mut story = Story::new(VenueId::BINANCE_USDM, FeedConfig::default());
        story.send(&usdm(10, 19, 5));
        story.send(&rest(id));
        story.send(&usdm(25, 29, 19));
        assert_eq!(story.told(), if id == 19 { "Syncing S19 D19 Live D29" } else { "Syncing S29 D29 Live" });
    }
}

#[test]
fn snapshot_older_than_the_waiting_events_is_asked_for_again() {
    let mut story = Story::new(VenueId::BINANCE_USDM, FeedConfig::default());
    story.send(&usdm(10, 19, 5));
    assert_eq!(story.feed.take_resync(), Some(InstrumentId(0)));
    story.send(&rest(3));
    assert_eq!(story.told(), "Syncing");
    assert_eq!(story.feed.take_resync(), Some(InstrumentId(0)));
    story.send(&rest(12));
    assert_eq!(story.told(), "S12 D19 Live");
}

#[test]
fn futures_gap_resyncs_with_the_event_that_showed_it() {
    let mut story = Story::new(VenueId::BINANCE_USDM, FeedConfig::default());
    story.send(&usdm(10, 19, 5));
    story.send(&rest(12));
    story.send(&usdm(35, 39, 29));
    assert_eq!(story.told(), "Syncing S12 D19 Live Stale");
    assert_eq!(story.feed.take_resync(), Some(InstrumentId(0)));
    story.send(&rest(37));
    assert_eq!(story.told(), "S37 D39 Live");
    let counters = story.feed.counters();
    assert_eq!((counters.gaps, counters.resyncs), (1, 1));
}

#[test]
fn spot_events_are_contiguous() {
    let mut story = Story::new(VenueId::BINANCE_SPOT, FeedConfig::default());
    story.send(&rest(10));
    story.send(&spot(5, 10));
    story.send(&spot(9, 12));
    story.send(&spot(13, 13));
    story.send(&spot(15, 16));
    assert_eq!(story.told(), "S10 Syncing D12 Live D13 Stale");
}

#[test]
fn assume_empty_begins_with_nothing_and_does_not_hide_a_gap() {
    let mut story = Story::new(VenueId::BINANCE_SPOT, FeedConfig { assume_empty: true, ..FeedConfig::default() });
    story.send(&spot(5, 10));
    story.send(&spot(11, 12));
    story.send(&spot(15, 16));
    story.send(&spot(17, 18));
    assert_eq!(story.told(), "S4 D10 Live D12 Stale");
}

#[test]
fn a_lost_connection_and_a_crossed_book_make_stale() {
    let mut story = Story::new(VenueId::BINANCE_USDM, FeedConfig::default());
    story.send(&usdm(10, 19, 5));
    story.send(&rest(12));
    let out = &mut story.out;
    story.feed.on_disconnect(Nanos::new(2), &mut |event: &Event<'_>| out.extend(short(event)));
    story.send(&usdm(20, 29, 19));
    assert_eq!(story.feed.take_resync(), Some(InstrumentId(0)));
    story.send(&rest(22));
    let out = &mut story.out;
    story.feed.invalidate(InstrumentId(0), Nanos::new(3), &mut |event: &Event<'_>| out.extend(short(event)));
    story.send(&usdm(30, 39, 29));
    story.send(&rest(33));
    assert_eq!(story.told(), "Syncing S12 D19 Live Stale S22 D29 Live Stale S33 D39 Live");
    assert_eq!(story.feed.counters().resyncs, 2);
    assert_eq!(BookState::ALL.len(), 4);
}

#[test]
fn waiting_events_that_outgrow_their_buffer_start_over() {
    let mut story = Story::new(VenueId::BINANCE_USDM, FeedConfig::default());
    let level = r#"["50000.10","1"],"#.repeat(9_999);
    for n in 1..=20u64 {
        let message = usdm(n * 10, n * 10 + 9, n * 10 - 1);
        story.send(&message.replace(r#"["50000.10","1"]"#, &format!(r#"{level}["50000.10","1"]"#)));
    }
    assert_eq!(story.feed.counters().sync_overflows, 1);
    story.send(&rest(205));
    assert_eq!(story.told(), "Syncing S205 D209 Live");
}

#[test]
fn partial_depth_is_a_whole_book_unless_a_diff_stream_makes_it() {
    let partial = |u: u64| format!(r#"{{"stream":"btcusdt@depth20@100ms","data":{}}}"#, usdm(u, u, u - 1));
    let mut story = Story::new(VenueId::BINANCE_USDM, FeedConfig::default());
    story.send(&partial(5));
    story.send(&partial(4));
    story.send(&partial(9));
    assert_eq!(story.told(), "S5 Live S9");
    let mut story = Story::new(VenueId::BINANCE_USDM, FeedConfig::default());
    story.send(&usdm(10, 19, 5));
    story.send(&partial(5));
    assert_eq!(story.told(), "Syncing");
}
