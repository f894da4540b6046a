//! The gateway of a live run: renders commands, sends them, and reads what becomes of them.
//!
//! Thread: gateway. Allocates: when it connects and logs in. Blocks: never; the only system calls are the sockets'.
//! It neither delays nor refuses for rates: the core has spent the budget. A command that cannot be sent is answered at
//! once with [`RejectKind::NotSent`], so that no order waits for an answer that nobody will give.

use std::sync::Arc;

use super::clock::Clock;
use super::clock_offset::OffsetReader;
use super::duty::{Duty, DutyReport};
use super::latency::{GatewayStamps, LatencyStages};
use super::link::{Dial, LinkConfig, LinkNews, WsLink};
use super::outlet::Outlet;
use super::replay_feed::keep_error;
use super::warm::Rehearsal;
use crate::guard::GatewayPulse;
use crate::net::{CloseReason, Message, WsConn};
use crate::ring::{Consumer, Flag, Producer};
use crate::types::{
    Command, CommandKind, Event, InstrumentTable, Link, LinkKind, Meta, Nanos, Op, Record, Reject, RejectKind, Sent,
};
use crate::venue::bybit::encode::{PRIVATE_TOPICS, subscribe};
use crate::venue::bybit::{ORDER_BYTES_MAX, OrderEncoder, PrivateDecoder, PrivateKind, Signer};
use crate::venue::{Arrival, EventSink};

/// Commands sent in one poll: a burst, without keeping answers waiting.
const COMMANDS_PER_POLL: usize = 16;

/// Time between two rehearsals of an order, in nanoseconds: short enough that caches keep it, and so long that a tick
/// seldom finds one under way.
pub const WARM_EVERY_NS: u64 = 100_000;

/// Polls in a row that send orders and leave the sockets for later.
const UNREAD_POLLS_MAX: u32 = 8;

/// How long a login is valid: longer than any clock should be off.
const LOGIN_VALID_MS: u64 = 5_000;

/// Longest time from an open connection to one that is logged in and subscribed.
const READY_WITHIN_NS: u64 = 5_000_000_000;

/// Room for events that the core is late to take; beyond it the backlog grows, and loses nothing.
const BACKLOG_RECORDS: usize = 4096;

/// What a gateway connects to and how it introduces itself.
pub struct GatewayConfig {
    /// Order entry; none: commands are handed on to whoever sends them over REST ([`GatewayDuty::hand_on`]).
    pub trade: Option<LinkConfig>,
    /// Private stream.
    pub private: LinkConfig,
    /// Public part of the key.
    pub api_key: String,
    /// Signs with its secret part.
    pub signer: Arc<Signer>,
    /// Tells our orders from those of other runs.
    pub run_id: u32,
    /// How old a request may be when the venue gets it, in milliseconds.
    pub recv_window_ms: u32,
    /// The venue's clock less ours.
    pub clock_offset: OffsetReader,
    /// A new order or an amendment that was decided longer ago than this, in nanoseconds, is not sent any more.
    pub send_within_ns: u64,
    /// Whether to subscribe to the fast executions beside the full ones.
    pub fast_executions: bool,
    /// Time between two rehearsals of an order while none goes out, in nanoseconds; 0 for none.
    pub warm_every_ns: u64,
    /// Currency whose balance is followed.
    pub settle_coin: String,
}

/// What the gateway leaves behind.
#[derive(Debug)]
pub struct GatewayReport {
    /// Latency of the orders that a market message caused.
    pub latency: LatencyStages,
    /// Requests sent.
    pub sent: u64,
    /// Commands that could not be sent.
    pub not_sent: u64,
    /// Private and order-entry messages read.
    pub messages: u64,
    /// Of them, refused ones.
    pub decode_errors: u64,
    /// Replies to requests that nobody sent.
    pub unmatched_replies: u64,
    /// Times that a connection was lost after it had been open.
    pub lost_links: u64,
    /// The first refused messages, for people.
    pub first_errors: Vec<String>,
}

/// One of the two connections, and how far its introduction is.
struct Session {
    /// `None` where orders go over REST.
    link: Option<WsLink>,
    is_ready: bool,
    /// When an open connection that is not ready yet is given up: an answer to the login may be lost.
    ready_by: Nanos,
}

impl Session {
    #[inline]
    fn conn(&mut self) -> Option<&mut WsConn> {
        self.link.as_mut()?.conn()
    }

    #[inline]
    fn ready_conn(&mut self) -> Option<&mut WsConn> {
        if self.is_ready { self.conn() } else { None }
    }

    fn is_open(&self) -> bool {
        self.link.as_ref().is_some_and(WsLink::is_open)
    }
}

/// See the module's documentation.
pub struct GatewayDuty {
    config: GatewayConfig,
    trade: Session,
    private: Session,
    commands: Consumer<Record>,
    outlet: Outlet,
    encoder: OrderEncoder,
    decoder: PrivateDecoder,
    clock: Clock,
    latency: LatencyStages,
    sent: u64,
    not_sent: u64,
    unmatched_replies: u64,
    lost_links: u64,
    offset_ns: i64,
    first_errors: Vec<String>,
    /// Set while both connections are ready.
    ready: Flag,
    pulse: Option<GatewayPulse>,
    rehearsal: Option<Rehearsal>,
    /// Where commands go without a trade link.
    handed_on: Option<Producer<Record>>,
    /// Which connection the next poll reads, where they take turns.
    next_read: LinkKind,
    /// Polls in a row that sent orders and read nothing.
    unread_polls: u32,
    tells_sent: bool,
}

impl GatewayDuty {
    /// Makes a gateway that connects at its first poll; `ready` is set when it can trade for the first time.
    pub fn new(
        config: GatewayConfig,
        table: &InstrumentTable,
        commands: Consumer<Record>,
        events: Producer<Record>,
        clock: Clock,
        ready: Flag,
    ) -> Self {
        let session = |link: Option<&LinkConfig>| Session {
            link: link.map(|link| WsLink::new(link.clone())),
            // Who sends over REST tells for itself whether it can.
            is_ready: link.is_none(),
            ready_by: Nanos::MAX,
        };
        Self {
            trade: session(config.trade.as_ref()),
            private: session(Some(&config.private)),
            commands,
            outlet: Outlet::new(events, BACKLOG_RECORDS),
            encoder: OrderEncoder::new(table, config.run_id, config.recv_window_ms),
            decoder: PrivateDecoder::new(table, config.run_id, &config.settle_coin),
            clock,
            latency: LatencyStages::new(),
            sent: 0,
            not_sent: 0,
            unmatched_replies: 0,
            lost_links: 0,
            offset_ns: 0,
            first_errors: Vec::with_capacity(8),
            ready,
            pulse: None,
            rehearsal: config.trade.as_ref().and_then(|link| Rehearsal::new(config.warm_every_ns, link.tls.is_some())),
            handed_on: None,
            next_read: LinkKind::Trade,
            unread_polls: 0,
            tells_sent: false,
            config,
        }
    }

    /// Hands order commands on, to be sent over REST, instead of sending them.
    pub fn hand_on(&mut self, commands: Producer<Record>) {
        self.handed_on = Some(commands);
    }

    /// Tells of each request when it was taken, rendered and written ([`Event::Sent`]), after the write: for a journal.
    pub fn tell_sent(&mut self) {
        self.tells_sent = true;
    }

    /// Beats for a guard, and sends nothing new once it is fenced or its lease is over.
    pub fn set_pulse(&mut self, pulse: GatewayPulse) {
        self.pulse = Some(pulse);
    }

    /// The venue's time in milliseconds, as well as it is known.
    #[inline]
    fn venue_ms(&mut self, now: Nanos) -> u64 {
        if let Some(offset_ns) = self.config.clock_offset.read() {
            self.offset_ns = offset_ns;
        }
        now.get().saturating_add_signed(self.offset_ns) / 1_000_000
    }

    fn session(&mut self, kind: LinkKind) -> &mut Session {
        if kind == LinkKind::Trade { &mut self.trade } else { &mut self.private }
    }

    fn tell_link(&mut self, kind: LinkKind, is_up: bool, now: Nanos) {
        let meta = Meta { recv: now, ..Meta::default() };
        self.outlet.event(&Event::Link(Link { meta, kind, is_up }));
    }

    fn close(&mut self, kind: LinkKind, reason: CloseReason, now: Nanos) {
        if let Some(link) = &mut self.session(kind).link {
            link.close(reason, now);
        }
        self.on_lost(kind, now);
    }

    #[cold]
    fn on_lost(&mut self, kind: LinkKind, now: Nanos) {
        self.lost_links += 1;
        if std::mem::take(&mut self.session(kind).is_ready) {
            self.tell_link(kind, false, now);
        }
    }

    /// A connection is open: logs in.
    #[cold]
    fn on_opened(&mut self, kind: LinkKind, now: Nanos) {
        self.session(kind).ready_by = now.saturating_add(READY_WITHIN_NS);
        let expires_ms = self.venue_ms(now) + LOGIN_VALID_MS;
        let login = self.config.signer.auth_message(&self.config.api_key, expires_ms);
        self.say(kind, login.as_bytes(), now);
    }

    /// Sends one message of an introduction.
    fn say(&mut self, kind: LinkKind, text: &[u8], now: Nanos) {
        let Some(conn) = self.session(kind).conn() else { return };
        if conn.send_text(text).is_err() {
            return self.close(kind, CloseReason::Local, now);
        }
        if let Err(error) = conn.flush() {
            self.close(kind, CloseReason::from(error), now);
        }
    }

    /// What the introduction's answers lead to.
    #[cold]
    fn on_introduction(&mut self, kind: LinkKind, answer: PrivateKind, now: Nanos) {
        match answer {
            PrivateKind::Login { is_accepted: true, .. } if kind == LinkKind::Private => {
                let mut topics = PRIVATE_TOPICS.map(str::to_owned).to_vec();
                if self.config.fast_executions {
                    topics.push("execution.fast".to_owned());
                }
                for message in subscribe(&topics, crate::types::Product::Linear).unwrap_or_default() {
                    self.say(kind, message.as_bytes(), now);
                }
            }
            PrivateKind::Login { is_accepted: true, .. } | PrivateKind::Subscription { is_accepted: true } => {
                if !std::mem::replace(&mut self.session(kind).is_ready, true) {
                    self.tell_link(kind, true, now);
                }
                if self.trade.is_ready && self.private.is_ready {
                    self.ready.set();
                }
            }
            PrivateKind::Login { code, .. } => {
                keep(&mut self.first_errors, format!("login refused on {kind:?}: code {code}"));
                self.close(kind, CloseReason::Local, now);
            }
            PrivateKind::Subscription { .. } => {
                keep(&mut self.first_errors, format!("subscription refused on {kind:?}"));
                self.close(kind, CloseReason::Local, now);
            }
            _ => {}
        }
    }

    /// Whether this poll reads that connection.
    ///
    /// Two sockets that are ready take turns: a read that finds nothing costs most of a poll, and whoever shares the thread
    /// (market data), or waits in the ring (an order), is looked at the more often. What the venue says waits for one poll more,
    /// at most. Pipes in memory cost nothing and are read each time.
    #[inline]
    fn takes_turn(&self, kind: LinkKind) -> bool {
        let is_steady = self.trade.link.is_some() && self.trade.is_ready && self.private.is_ready;
        !is_steady || !self.reads_sockets() || kind == self.next_read
    }

    #[inline]
    fn reads_sockets(&self) -> bool {
        matches!(self.config.private.dial, Dial::Socket)
    }

    /// Reads once and handles every whole message; returns how many there were.
    #[inline]
    fn read(&mut self, kind: LinkKind) -> Result<usize, CloseReason> {
        let Self { trade, private, outlet, decoder, clock, first_errors, unmatched_replies, .. } = self;
        let session = if kind == LinkKind::Trade { trade } else { private };
        let Some(conn) = session.conn() else { return Ok(0) };
        if conn.fill().map_err(CloseReason::from)? == 0 {
            return Ok(0);
        }
        let recv = clock.now();
        let mut count = 0;
        let mut must_flush = false;
        let mut introduction = None;
        while let Some(message) = conn.next_message().map_err(CloseReason::from)? {
            count += 1;
            match message {
                Message::Text(frame) => {
                    // No stamps: tick to order counts from market messages.
                    let arrival = Arrival { recv, framed_ns: 0 };
                    match decoder.on_frame(frame, arrival, || 0, outlet) {
                        Ok(answer @ (PrivateKind::Login { .. } | PrivateKind::Subscription { .. })) => {
                            introduction = Some(answer);
                        }
                        Ok(PrivateKind::UnmatchedReply { code }) => {
                            *unmatched_replies += 1;
                            keep(first_errors, format!("reply without a request of ours, code {code}"));
                        }
                        Ok(_) => {}
                        Err(error) => {
                            keep_error(first_errors, frame, &error);
                            if kind == LinkKind::Private {
                                // It may have held a fill. The stream is not whole any more, and the engine must know.
                                return Err(CloseReason::Local);
                            }
                            // A reply that cannot be read is a reply that did not come: its order becomes unknown.
                        }
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
        if let Some(link) = &mut session.link {
            link.heard(recv);
        }
        if let Some(answer) = introduction {
            self.on_introduction(kind, answer, recv);
        }
        Ok(count)
    }

    /// Renders and sends one command.
    #[inline]
    fn send(&mut self, command: &Command) -> Result<(), CloseReason> {
        let taken = self.clock.now();
        if command.kind == CommandKind::Reconnect {
            // As good as a peer that has gone: what was missed is read again once the next one is up.
            self.close(LinkKind::Private, CloseReason::Local, taken);
            return Ok(());
        }
        if let Some(commands) = &mut self.handed_on {
            if commands.push(command.pack()).is_err() {
                self.refuse(command, taken);
            }
            return Ok(());
        }
        let is_late = taken.saturating_since(command.at) > self.config.send_within_ns;
        let is_new = matches!(
            command.kind,
            CommandKind::New | CommandKind::NewMarket | CommandKind::NewStop | CommandKind::Amend
        );
        if is_late && is_new {
            // A process that was stopped and wakes up must not send what it wanted before.
            self.refuse(command, taken);
            return Ok(());
        }
        let time_ms = self.venue_ms(taken);
        // After the request's time was taken: what passes here is older than any fence that comes after.
        if let Some(pulse) = &self.pulse
            && !matches!(command.kind, CommandKind::Cancel | CommandKind::CancelForeign | CommandKind::CancelAll)
            && !pulse.may_send()
        {
            self.refuse(command, taken);
            return Ok(());
        }
        let Self { trade, encoder, clock, latency, .. } = self;
        let Some(conn) = trade.ready_conn() else {
            self.refuse(command, taken);
            return Ok(());
        };
        let mut is_rendered = true;
        let queued = conn.send_with(ORDER_BYTES_MAX, |out| match encoder.request(command, time_ms, out) {
            Ok(len) => len,
            Err(_) => {
                is_rendered = false;
                0
            }
        });
        if queued.is_err() || !is_rendered {
            self.refuse(command, taken);
            return Ok(());
        }
        let encoded = clock.now();
        let written = clock.now();
        conn.flush().map_err(CloseReason::from)?;
        let since = |moment: Nanos| moment.saturating_since(command.at);
        let stamps = GatewayStamps { taken_ns: since(taken), encoded_ns: since(encoded), written_ns: since(written) };
        latency.record(&command.stamps, &stamps);
        self.sent += 1;
        if self.tells_sent {
            let ago = |moment: Nanos| u32::try_from(written.saturating_since(moment)).unwrap_or(u32::MAX);
            let meta = Meta { recv: written, instrument: command.instrument, ..Meta::default() };
            let (taken_ago_ns, encoded_ago_ns) = (ago(taken), ago(encoded));
            let Command { client_id, request, .. } = *command;
            self.outlet.event(&Event::Sent(Sent { meta, client_id, request, taken_ago_ns, encoded_ago_ns }));
        }
        if let Some(rehearsal) = &mut self.rehearsal {
            rehearsal.learn(command, written);
        }
        Ok(())
    }

    /// Keeps the way of an order warm.
    #[inline]
    fn rehearse(&mut self, now: Nanos) {
        let time_ms = now.get().saturating_add_signed(self.offset_ns) / 1_000_000;
        if let Some(rehearsal) = &mut self.rehearsal {
            rehearsal.poll(&mut self.encoder, time_ms, now);
        }
    }

    /// Answers a command that did not leave.
    #[cold]
    fn refuse(&mut self, command: &Command, now: Nanos) {
        self.not_sent += 1;
        let op = match command.kind {
            CommandKind::New | CommandKind::NewMarket | CommandKind::NewStop => Op::Create,
            CommandKind::Amend => Op::Amend,
            CommandKind::Cancel | CommandKind::CancelForeign => Op::Cancel,
            CommandKind::CancelAll => Op::CancelAll,
            // The core asks again by itself.
            CommandKind::Query | CommandKind::Reconcile | CommandKind::Reconnect => return,
        };
        let meta = Meta { recv: now, instrument: command.instrument, ..Meta::default() };
        let (kind, client_id, request) = (RejectKind::NotSent, command.client_id, command.request);
        self.outlet.event(&Event::Reject(Reject { meta, op, kind, client_id, request, code: 0 }));
    }
}

fn keep(kept: &mut Vec<String>, text: String) {
    if kept.len() < 8 {
        kept.push(text);
    }
}

impl Duty for GatewayDuty {
    fn name(&self) -> &'static str {
        "gateway"
    }

    fn is_hot(&self) -> bool {
        true
    }

    fn poll(&mut self, now: Nanos) -> usize {
        let mut work = 0;
        if let Some(pulse) = &mut self.pulse {
            pulse.poll(now);
        }
        // Commands first: an order that waits is a tick that ages.
        let sent_before = self.sent;
        for _ in 0..COMMANDS_PER_POLL {
            let Some(record) = self.commands.pop() else { break };
            work += 1;
            let Some(command) = Command::unpack(&record) else { continue };
            if let Err(reason) = self.send(&command) {
                // The bytes may or may not have left: the engine makes its unanswered orders unknown at the loss.
                self.close(LinkKind::Trade, reason, now);
            }
        }
        self.outlet.flush();
        // In a burst the next order is being decided: no answer can be as urgent, for a few orders.
        self.unread_polls = if self.sent > sent_before { self.unread_polls + 1 } else { 0 };
        if (1..=UNREAD_POLLS_MAX).contains(&self.unread_polls) && self.reads_sockets() {
            return work;
        }
        self.unread_polls = 0;
        for kind in [LinkKind::Trade, LinkKind::Private] {
            let Some(link) = &mut self.session(kind).link else { continue };
            match link.poll(now) {
                LinkNews::None => {}
                LinkNews::Opened => self.on_opened(kind, now),
                LinkNews::Lost => self.on_lost(kind, now),
            }
            let session = self.session(kind);
            if !session.is_ready && session.is_open() && now > session.ready_by {
                self.close(kind, CloseReason::Local, now);
            }
            if !self.takes_turn(kind) {
                continue;
            }
            match self.read(kind) {
                Ok(count) => work += count,
                Err(reason) => {
                    self.close(kind, reason, now);
                    work += 1;
                }
            }
        }
        if work == 0 && self.trade.is_ready {
            self.rehearse(now);
        }
        self.next_read = match self.next_read {
            LinkKind::Trade => LinkKind::Private,
            _ => LinkKind::Trade,
        };
        work
    }

    fn finish(mut self: Box<Self>) -> DutyReport {
        for kind in [LinkKind::Trade, LinkKind::Private] {
            if let Some(link) = &mut self.session(kind).link {
                link.close(CloseReason::Local, Nanos::ZERO);
            }
        }
        DutyReport::Gateway(Box::new(GatewayReport {
            latency: self.latency,
            sent: self.sent,
            not_sent: self.not_sent,
            messages: self.decoder.counters().messages,
            decode_errors: self.decoder.counters().decode_errors,
            unmatched_replies: self.unmatched_replies,
            lost_links: self.lost_links,
            first_errors: self.first_errors,
        }))
    }
}
