//! The feed of a live run: reads a venue's public stream, decodes and sequences it into the ring to the core.
//!
//! Several connections may carry the same subscriptions: the first copy of each message counts, and one of them may be lost
//! without a gap. A connection that has reached its age is renewed before it is given up (make before break). A stream that
//! says nothing while its connection lives is subscribed anew.
//!
//! Thread: feed. Allocates: when it connects. Blocks: never; the only system calls are the sockets'.

use super::clock::{Clock, stamp_between};
use super::duty::{Duty, DutyReport};
use super::link::{Dial, LinkConfig, LinkNews, WsLink};
use super::outlet::MarketOutlet;
use super::replay_feed::{FeedReport, keep_error};
use crate::net::{CloseReason, Message};
use crate::ring::Producer;
use crate::types::{Event, InstrumentId, InstrumentTable, Link, LinkKind, Meta, Nanos, Record};
use crate::venue::bybit::SOURCES_MAX;
use crate::venue::{Arrival, EventSink, MarketFeed};

/// Most connections at a time: one number is kept for the one that replaces another.
pub const MARKET_CONNECTIONS_MAX: usize = SOURCES_MAX - 1;

/// Messages taken from a socket in one poll: a burst comes with one read, and whoever shares the thread answers the first of
/// it before the second is decoded.
const MESSAGES_PER_POLL: usize = 1;

/// Time between two looks at what is silent or old.
const WATCH_EVERY_NS: u64 = 500_000_000;

/// A new connection has carried its streams for so long before the one that it replaces is given up.
const OVERLAP_NS: u64 = 2_000_000_000;

/// What a live feed connects to and asks for.
pub struct LiveFeedConfig {
    /// The connection.
    pub link: LinkConfig,
    /// How many connections race, 1 to [`MARKET_CONNECTIONS_MAX`].
    pub connections: usize,
    /// A connection of that age is replaced, in nanoseconds; 0: never.
    pub renew_every_ns: u64,
    /// A live book of which nothing was heard for so long is subscribed anew, in nanoseconds; 0: never. The venue repeats
    /// the best level every three seconds.
    pub silent_after_ns: u64,
    /// Subscription messages, to be sent when it opens.
    pub subscribe: Vec<Vec<u8>>,
    /// By instrument: messages that end and renew the subscription of its book.
    pub resubscribe: Vec<Vec<Vec<u8>>>,
}

impl LiveFeedConfig {
    /// One connection, never renewed while it lives, and ten seconds of patience.
    pub fn new(link: LinkConfig, subscribe: Vec<Vec<u8>>, resubscribe: Vec<Vec<Vec<u8>>>) -> Self {
        Self { link, connections: 1, renew_every_ns: 0, silent_after_ns: 10_000_000_000, subscribe, resubscribe }
    }

    fn races(&self) -> bool {
        self.connections > 1 || self.renew_every_ns > 0
    }
}

/// One of the connections.
struct Line {
    link: WsLink,
    source: u8,
    opened_at: Nanos,
    /// Whether it is to be given up as soon as its successor carries its streams.
    is_retiring: bool,
    /// When the newest read returned.
    recv: Nanos,
    /// Whether that read may have brought more messages than were taken. At worst, as after a reconnection, it did not.
    has_more: bool,
}

/// See the module's documentation.
pub struct LiveFeedDuty {
    config: LiveFeedConfig,
    lines: Vec<Line>,
    feed: MarketFeed,
    outlet: MarketOutlet,
    clock: Clock,
    first_errors: Vec<String>,
    /// Books to be asked for again.
    resyncs: Vec<InstrumentId>,
    watch_due: Nanos,
    is_told_up: bool,
    silent_streams: u64,
    renewals: u64,
    lost_links: u64,
}

impl LiveFeedDuty {
    /// Makes a feed that connects at its first poll.
    ///
    /// # Panics
    /// If there is no connection, or more than [`MARKET_CONNECTIONS_MAX`].
    pub fn new(
        config: LiveFeedConfig,
        feed: MarketFeed,
        table: &InstrumentTable,
        ring: Producer<Record>,
        clock: Clock,
    ) -> Self {
        assert!(
            (1..=MARKET_CONNECTIONS_MAX).contains(&config.connections),
            "{} market connections, allowed are 1 to {MARKET_CONNECTIONS_MAX}",
            config.connections
        );
        let mut lines = Vec::with_capacity(SOURCES_MAX);
        lines.extend((0..config.connections).map(|source| Line::new(&config, source as u8)));
        Self {
            lines,
            config,
            feed,
            outlet: MarketOutlet::new(ring, table.len()),
            clock,
            first_errors: Vec::with_capacity(8),
            resyncs: Vec::with_capacity(table.len()),
            watch_due: Nanos::ZERO,
            is_told_up: false,
            silent_streams: 0,
            renewals: 0,
            lost_links: 0,
        }
    }

    fn tell_link(&mut self, is_up: bool, now: Nanos) {
        if std::mem::replace(&mut self.is_told_up, is_up) != is_up {
            let meta = Meta { recv: now, ..Meta::default() };
            self.outlet.event(&Event::Link(Link { meta, kind: LinkKind::Market, is_up }));
        }
    }

    fn lose(&mut self, idx: usize, reason: CloseReason, now: Nanos) {
        self.lines[idx].link.close(reason, now);
        self.on_lost(now);
    }

    #[cold]
    fn on_lost(&mut self, now: Nanos) {
        self.lost_links += 1;
        if self.lines.iter().any(|line| line.link.is_open()) {
            // Another one carries the same streams, whole.
            return;
        }
        self.feed.on_disconnect(now, &mut self.outlet);
        self.tell_link(false, now);
        // The new connection subscribes everything anyway.
        while self.feed.take_resync().is_some() {}
        self.resyncs.clear();
    }

    #[cold]
    fn on_opened(&mut self, idx: usize, now: Nanos) {
        let Self { lines, config, .. } = self;
        let line = &mut lines[idx];
        line.opened_at = now;
        let Some(conn) = line.link.conn() else { return };
        for message in &config.subscribe {
            if conn.send_text(message).is_err() {
                return self.lose(idx, CloseReason::Local, now);
            }
        }
        if let Err(error) = conn.flush() {
            return self.lose(idx, CloseReason::from(error), now);
        }
        self.tell_link(true, now);
    }

    /// Reads once and handles every whole message; returns how many there were.
    #[inline]
    fn read(&mut self, idx: usize) -> Result<usize, CloseReason> {
        let Self { lines, feed, outlet, clock, first_errors, resyncs, config, .. } = self;
        let Line { link, source, recv: line_recv, has_more, .. } = &mut lines[idx];
        let Some(conn) = link.conn() else { return Ok(0) };
        let mut recv = *line_recv;
        let mut has_read = false;
        // A pipe in memory moves once in a step of virtual time, and everything that came must be taken in it.
        let count_max = if matches!(config.link.dial, Dial::Socket) { MESSAGES_PER_POLL } else { usize::MAX };
        feed.set_source(config.races().then_some(*source));
        let mut count = 0;
        let mut must_flush = false;
        loop {
            if count == count_max {
                *has_more = true;
                break;
            }
            // Without a message left of the last read, there is nothing to be found before the next one.
            let message = if *has_more || has_read { conn.next_message().map_err(CloseReason::from)? } else { None };
            let Some(message) = message else {
                *has_more = false;
                if has_read || count > 0 {
                    break;
                }
                has_read = true;
                if conn.fill().map_err(CloseReason::from)? == 0 {
                    return Ok(0);
                }
                recv = clock.now();
                *line_recv = recv;
                continue;
            };
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

    /// Asks again for books that lost their continuity, on one connection: its snapshot suffices.
    #[cold]
    fn resync(&mut self, now: Nanos) {
        let Some(idx) = self.lines.iter().position(|line| line.link.is_open()) else { return };
        while let Some(instrument) = self.resyncs.pop() {
            let Some(messages) = self.config.resubscribe.get(instrument.idx()) else { continue };
            let Some(conn) = self.lines[idx].link.conn() else { return };
            let sent = messages.iter().all(|message| conn.send_text(message).is_ok());
            if !sent || conn.flush().is_err() {
                return self.lose(idx, CloseReason::Local, now);
            }
        }
    }

    /// Looks for streams that are silent and connections that are old.
    #[cold]
    fn watch(&mut self, now: Nanos) {
        self.watch_due = now.saturating_add(WATCH_EVERY_NS);
        let silent_after_ns = self.config.silent_after_ns;
        if silent_after_ns > 0 && self.is_told_up {
            let before = Nanos::new(now.get().saturating_sub(silent_after_ns));
            while let Some(instrument) = self.feed.take_silent(before, now) {
                self.silent_streams += 1;
                self.feed.invalidate(instrument, now, &mut self.outlet);
            }
            while let Some(instrument) = self.feed.take_resync() {
                if self.resyncs.len() < self.resyncs.capacity() {
                    self.resyncs.push(instrument);
                }
            }
        }
        if self.config.renew_every_ns > 0 {
            self.renew(now);
        }
    }

    /// Opens a successor for the oldest connection if that is old enough; gives it up once the successor carries its streams.
    fn renew(&mut self, now: Nanos) {
        if let Some(old) = self.lines.iter().position(|line| line.is_retiring) {
            // The successor is the last one that was opened.
            let is_carried = self.lines.last().is_some_and(|line| {
                !line.is_retiring && line.link.is_open() && now.saturating_since(line.opened_at) >= OVERLAP_NS
            });
            if is_carried {
                let mut line = self.lines.remove(old);
                line.link.close(CloseReason::Local, now);
                self.renewals += 1;
            }
            return;
        }
        let every_ns = self.config.renew_every_ns;
        let oldest = self.lines.iter_mut().filter(|line| line.link.is_open()).min_by_key(|line| line.opened_at);
        let Some(oldest) = oldest.filter(|line| now.saturating_since(line.opened_at) >= every_ns) else { return };
        oldest.is_retiring = true;
        let taken = |source: &u8| self.lines.iter().any(|line| line.source == *source);
        if let Some(source) = (0..SOURCES_MAX as u8).find(|source| !taken(source)) {
            self.lines.push(Line::new(&self.config, source));
        }
    }
}

impl Line {
    fn new(config: &LiveFeedConfig, source: u8) -> Self {
        let link = WsLink::new(config.link.clone());
        Self { link, source, opened_at: Nanos::ZERO, is_retiring: false, recv: Nanos::ZERO, has_more: false }
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
        let mut work = 0;
        for idx in 0..self.lines.len() {
            match self.lines[idx].link.poll(now) {
                LinkNews::None => {}
                LinkNews::Opened => self.on_opened(idx, now),
                LinkNews::Lost => self.on_lost(now),
            }
            match self.read(idx) {
                Ok(count) => work += count,
                Err(reason) => {
                    self.lose(idx, reason, now);
                    work += 1;
                }
            }
        }
        self.outlet.recover(&mut self.feed, now);
        if !self.resyncs.is_empty() {
            self.resync(now);
        }
        if now >= self.watch_due {
            self.watch(now);
        }
        work
    }

    fn is_finished(&self) -> bool {
        false
    }

    fn finish(mut self: Box<Self>) -> DutyReport {
        for line in &mut self.lines {
            line.link.close(CloseReason::Local, Nanos::ZERO);
        }
        let race = if self.config.races() { self.feed.race_counts().to_vec() } else { Vec::new() };
        DutyReport::Feed(Box::new(FeedReport {
            broke_off: None,
            counters: *self.feed.counters(),
            ring_full: self.outlet.lost_count(),
            first_errors: self.first_errors,
            race,
            silent_streams: self.silent_streams,
            renewals: self.renewals,
            lost_links: self.lost_links,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Traffic;
    use crate::net::{HttpCodec, HttpConn, Listener, WsConn, WsLimits, WsUrl};
    use crate::ring::spsc;
    use crate::runtime::BAN_PAUSE_NS;
    use crate::types::VenueId;
    use crate::venue::FeedConfig;

    /// A server's end of the connection that a feed opens.
    fn accept(listener: &mut Listener, duty: &mut LiveFeedDuty, clock: &Clock) -> WsConn {
        let mut http: Option<HttpConn> = None;
        loop {
            duty.poll(clock.now());
            match &mut http {
                None => http = listener.accept().unwrap().map(|tcp| HttpConn::new(tcp, HttpCodec::new(1024, 4096))),
                Some(conn) => {
                    conn.fill().unwrap();
                    let upgrade = conn.next_request().unwrap().map(|request| request.upgrade().unwrap());
                    if let Some(upgrade) = upgrade {
                        let mut ws = http.take().unwrap().upgrade(&upgrade, WsLimits::default());
                        ws.flush().unwrap();
                        return ws;
                    }
                }
            }
        }
    }

    #[test]
    fn a_burst_is_taken_message_by_message_and_none_is_left() {
        const TICKS: u64 = 5;
        let mut listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).unwrap();
        let mut traffic = Traffic::generated(1000, 296, 1);
        let table = traffic.table().clone();
        let clock = Clock::new();
        let link = LinkConfig {
            url: WsUrl::parse(&format!("ws://{}/", listener.local_addr().unwrap())).unwrap(),
            tls: None,
            limits: WsLimits::default(),
            ban_pause_ns: BAN_PAUSE_NS,
            dial: Dial::Socket,
        };
        let feed = MarketFeed::new(VenueId::BYBIT, &table, FeedConfig::default()).unwrap();
        let (ring, _events) = spsc(1024);
        let config = LiveFeedConfig::new(link, Vec::new(), Vec::new());
        let mut duty = LiveFeedDuty::new(config, feed, &table, ring, clock.clone());
        let mut server = accept(&mut listener, &mut duty, &clock);
        while !duty.is_told_up {
            duty.poll(clock.now());
        }
        server.send_text(traffic.snapshot()).unwrap();
        for number in 0..TICKS {
            server.send_text(traffic.tick(number).unwrap().payload).unwrap();
        }
        server.flush().unwrap();
        let mut polls_with_work = 0;
        let mut idle_polls = 0;
        while idle_polls < 1000 {
            let work = duty.poll(clock.now());
            assert!(work <= MESSAGES_PER_POLL, "{work} messages in one poll");
            polls_with_work += work as u64;
            idle_polls = if work == 0 && polls_with_work > TICKS { idle_polls + 1 } else { 0 };
        }
        assert_eq!(polls_with_work, TICKS + 1);
        let counters = duty.feed.counters();
        assert_eq!((counters.messages, counters.decode_errors, counters.gaps), (TICKS + 1, 0, 0));
    }
}
