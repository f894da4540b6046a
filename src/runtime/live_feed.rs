//! The feed of a live run: reads a venue's public stream, decodes and sequences it into the ring to the core.
//!
//! Thread: feed. Allocates: when it connects. Blocks: never; the only system calls are the socket's.

use super::clock::{Clock, stamp_between};
use super::duty::{Duty, DutyReport};
use super::link::{LinkConfig, LinkNews, WsLink};
use super::outlet::MarketOutlet;
use super::replay_feed::{FeedReport, keep_error};
use crate::net::{CloseReason, Message};
use crate::ring::Producer;
use crate::types::{Event, InstrumentId, InstrumentTable, Link, LinkKind, Meta, Nanos, Record};
use crate::venue::{Arrival, EventSink, MarketFeed};

/// What a live feed connects to and asks for.
pub struct LiveFeedConfig {
    /// The connection.
    pub link: LinkConfig,
    /// Subscription messages, to be sent when it opens.
    pub subscribe: Vec<Vec<u8>>,
    /// By instrument: messages that end and renew the subscription of its book.
    pub resubscribe: Vec<Vec<Vec<u8>>>,
}

/// See the module's documentation.
pub struct LiveFeedDuty {
    config: LiveFeedConfig,
    link: WsLink,
    feed: MarketFeed,
    outlet: MarketOutlet,
    clock: Clock,
    first_errors: Vec<String>,
    /// Books to be asked for again.
    resyncs: Vec<InstrumentId>,
}

impl LiveFeedDuty {
    /// Makes a feed that connects at its first poll.
    pub fn new(
        config: LiveFeedConfig,
        feed: MarketFeed,
        table: &InstrumentTable,
        ring: Producer<Record>,
        clock: Clock,
    ) -> Self {
        Self {
            link: WsLink::new(config.link.clone()),
            config,
            feed,
            outlet: MarketOutlet::new(ring, table.len()),
            clock,
            first_errors: Vec::with_capacity(8),
            resyncs: Vec::with_capacity(table.len()),
        }
    }

    fn tell_link(&mut self, is_up: bool, now: Nanos) {
        let meta = Meta { recv: now, ..Meta::default() };
        self.outlet.event(&Event::Link(Link { meta, kind: LinkKind::Market, is_up }));
    }

    fn lose(&mut self, reason: CloseReason, now: Nanos) {
        self.link.close(reason, now);
        self.on_lost(now);
    }

    fn on_lost(&mut self, now: Nanos) {
        self.feed.on_disconnect(now, &mut self.outlet);
        self.tell_link(false, now);
        // The new connection subscribes everything anyway.
        while self.feed.take_resync().is_some() {}
        self.resyncs.clear();
    }

    fn on_opened(&mut self, now: Nanos) {
        let Some(conn) = self.link.conn() else { return };
        for message in &self.config.subscribe {
            if conn.send_text(message).is_err() {
                return self.lose(CloseReason::Local, now);
            }
        }
        if let Err(error) = conn.flush() {
            return self.lose(CloseReason::from(error), now);
        }
        self.tell_link(true, now);
    }

    /// Reads once and handles every whole message; returns how many there were.
    #[inline]
    fn read(&mut self) -> Result<usize, CloseReason> {
        let Self { link, feed, outlet, clock, first_errors, resyncs, .. } = self;
        let Some(conn) = link.conn() else { return Ok(0) };
        if conn.fill().map_err(CloseReason::from)? == 0 {
            return Ok(0);
        }
        let recv = clock.now();
        let mut count = 0;
        let mut must_flush = false;
        while let Some(message) = conn.next_message().map_err(CloseReason::from)? {
            count += 1;
            match message {
                Message::Text(frame) => {
                    let arrival = Arrival { recv, framed_ns: stamp_between(recv, clock.now()).max(1) };
                    let decoded_ns = || stamp_between(recv, clock.now()).max(1);
                    if let Err(error) = feed.on_frame(frame, arrival, decoded_ns, outlet) {
                        keep_error(first_errors, frame, &error);
                    }
                    outlet.recover(feed, recv);
                    if let Some(instrument) = feed.take_resync()
                        && resyncs.len() < resyncs.capacity()
                    {
                        resyncs.push(instrument);
                    }
                }
                Message::Close { code, .. } => return Err(CloseReason::Peer { code }),
                Message::Ping(_) => must_flush = true,
                Message::Binary(_) | Message::Pong(_) => {}
            }
        }
        if must_flush {
            conn.flush().map_err(CloseReason::from)?;
        }
        link.heard(recv);
        Ok(count)
    }

    /// Asks again for books that lost their continuity.
    #[cold]
    fn resync(&mut self, now: Nanos) {
        while let Some(instrument) = self.resyncs.pop() {
            let Some(messages) = self.config.resubscribe.get(instrument.idx()) else { continue };
            let Some(conn) = self.link.conn() else { return };
            let sent = messages.iter().all(|message| conn.send_text(message).is_ok());
            if !sent || conn.flush().is_err() {
                return self.lose(CloseReason::Local, now);
            }
        }
    }
}

impl Duty for LiveFeedDuty {
    fn name(&self) -> &'static str {
        "feed"
    }

    fn is_hot(&self) -> bool {
        true
    }

    fn poll(&mut self, now: Nanos) -> usize {
        match self.link.poll(now) {
            LinkNews::None => {}
            LinkNews::Opened => self.on_opened(now),
            LinkNews::Lost => self.on_lost(now),
        }
        self.outlet.recover(&mut self.feed, now);
        if !self.resyncs.is_empty() {
            self.resync(now);
        }
        match self.read() {
            Ok(count) => count,
            Err(reason) => {
                self.lose(reason, now);
                1
            }
        }
    }

    fn is_finished(&self) -> bool {
        false
    }

    fn finish(mut self: Box<Self>) -> DutyReport {
        self.link.close(CloseReason::Local, Nanos::ZERO);
        DutyReport::Feed(Box::new(FeedReport {
            counters: *self.feed.counters(),
            ring_full: self.outlet.lost_count(),
            first_errors: self.first_errors,
        }))
    }
}
