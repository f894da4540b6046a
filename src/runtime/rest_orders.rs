//! Sends orders over REST, for accounts without an order-entry WebSocket (demo accounts).
//!
//! Thread: its own, not hot. Allocates: yes. Blocks: for each request, up to its time-out, so commands wait behind each other: one
//! that grew older than it may is refused. A create or an amendment is never sent twice; a cancel that got no answer once more,
//! since a second one does no harm.

use super::clock::Clock;
use super::clock_offset::OffsetReader;
use super::duty::{Duty, DutyReport};
use super::outlet::Outlet;
use crate::guard::GatewayPulse;
use crate::ring::{Consumer, Producer};
use crate::types::{
    Ack, Command, CommandKind, Event, InstrumentTable, Link, LinkKind, Meta, Nanos, Op, Record, Reject, RejectKind,
};
use crate::venue::EventSink;
use crate::venue::bybit::codes::reject_kind;
use crate::venue::bybit::rest::{OrderReply, RestClient, RestError};
use crate::venue::bybit::{ORDER_BYTES_MAX, OrderEncoder};

/// Room for answers that the core is late to take; beyond it the backlog grows, and loses nothing.
const BACKLOG_RECORDS: usize = 256;

/// Time between two questions whether a venue that did not answer is there again.
const PROBE_EVERY_NS: u64 = 1_000_000_000;

/// Who sends, and within which bounds.
pub struct RestOrdersConfig {
    /// The way to the venue, with the time-out of one request.
    pub rest: RestClient,
    /// Tells our orders from those of other runs.
    pub run_id: u32,
    /// How old a request may be when the venue gets it, in milliseconds.
    pub recv_window_ms: u32,
    /// The venue's clock less ours.
    pub clock_offset: OffsetReader,
    /// A new order or an amendment that was decided longer ago than this, in nanoseconds, is not sent any more.
    pub send_within_ns: u64,
}

/// What it leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestOrdersReport {
    /// Requests sent.
    pub sent: u64,
    /// Commands that were not sent.
    pub not_sent: u64,
    /// Requests without an answer, so that their outcome was unknown.
    pub unanswered: u64,
    /// Cancels that were sent a second time.
    pub retried: u64,
    /// Answers that told how many requests are left in the venue's window.
    pub limits_told: u64,
    /// The first failures, for people.
    pub first_errors: Vec<String>,
}

/// See the module's documentation.
pub struct RestOrdersDuty {
    config: RestOrdersConfig,
    commands: Consumer<Record>,
    outlet: Outlet,
    encoder: OrderEncoder,
    clock: Clock,
    offset_ns: i64,
    /// `None` before the first poll has said so.
    is_up: Option<bool>,
    probe_at: Nanos,
    pulse: Option<GatewayPulse>,
    report: RestOrdersReport,
}

/// What an answer means for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    kind: RejectKind,
    code: i32,
    /// Whether nothing came back: the venue may be gone.
    is_silence: bool,
}

/// What an error means for the order.
fn verdict(op: Op, error: &RestError) -> Verdict {
    let of = |kind, code| Verdict { kind, code, is_silence: false };
    match error {
        RestError::Venue { code, .. } => {
            let code = i32::try_from(*code).unwrap_or(i32::MAX);
            of(reject_kind(op, code), code)
        }
        // Refused by what stands in front of the venue, before anybody looked at the order.
        RestError::Status { status: 403, .. } => of(RejectKind::RateLimited, 403),
        RestError::Status { status: status @ (400 | 401 | 404), .. } => of(RejectKind::Refused, i32::from(*status)),
        RestError::Status { status, .. } => of(RejectKind::Unknown, i32::from(*status)),
        RestError::NoKey { .. } | RestError::BadUrl { .. } | RestError::BadCertificate { .. } => {
            of(RejectKind::NotSent, 0)
        }
        RestError::Transport { .. } => Verdict { kind: RejectKind::Unknown, code: 0, is_silence: true },
        RestError::BadAnswer { .. } | RestError::BadItem { .. } => of(RejectKind::Unknown, 0),
    }
}

impl RestOrdersDuty {
    /// Makes the duty; it says that order entry is up at its first poll, and otherwise when the venue stops answering.
    pub fn new(
        config: RestOrdersConfig,
        table: &InstrumentTable,
        commands: Consumer<Record>,
        events: Producer<Record>,
        clock: Clock,
    ) -> Self {
        Self {
            commands,
            outlet: Outlet::new(events, BACKLOG_RECORDS),
            encoder: OrderEncoder::new(table, config.run_id, config.recv_window_ms),
            clock,
            offset_ns: 0,
            is_up: None,
            probe_at: Nanos::ZERO,
            pulse: None,
            report: RestOrdersReport::default(),
            config,
        }
    }

    /// Sends nothing new once a guard has fenced the engine, or its lease is over. The gateway beats for both.
    pub fn set_pulse(&mut self, pulse: GatewayPulse) {
        self.pulse = Some(pulse);
    }

    fn venue_ms(&mut self, now: Nanos) -> u64 {
        if let Some(offset_ns) = self.config.clock_offset.read() {
            self.offset_ns = offset_ns;
        }
        now.get().saturating_add_signed(self.offset_ns) / 1_000_000
    }

    fn set_up(&mut self, is_up: bool, now: Nanos) {
        if self.is_up != Some(is_up) {
            self.is_up = Some(is_up);
            let meta = Meta { recv: now, ..Meta::default() };
            self.outlet.event(&Event::Link(Link { meta, kind: LinkKind::Trade, is_up }));
        }
    }

    fn keep(&mut self, text: String) {
        if self.report.first_errors.len() < 8 {
            self.report.first_errors.push(text);
        }
    }

    fn send(&mut self, command: &Command) {
        let (op, path) = match command.kind {
            CommandKind::New | CommandKind::NewMarket | CommandKind::NewStop => (Op::Create, "/v5/order/create"),
            CommandKind::Amend => (Op::Amend, "/v5/order/amend"),
            CommandKind::Cancel | CommandKind::CancelForeign => (Op::Cancel, "/v5/order/cancel"),
            CommandKind::CancelAll => return self.refuse(command, Op::CancelAll),
            CommandKind::Query | CommandKind::Reconcile | CommandKind::Reconnect => return,
        };
        let is_new = op != Op::Cancel;
        let taken = self.clock.now();
        let is_late = taken.saturating_since(command.at) > self.config.send_within_ns;
        let venue_ms = self.venue_ms(taken);
        // After the request's time was taken: what passes here is older than any fence that comes after.
        let may_send = self.pulse.as_ref().is_none_or(GatewayPulse::may_send);
        if is_new && (is_late || !may_send || self.is_up != Some(true)) {
            return self.refuse(command, op);
        }
        let mut buffer = [0; ORDER_BYTES_MAX];
        let body = self.encoder.body(command, &mut buffer).ok();
        let Some(body) = body.and_then(|len| std::str::from_utf8(buffer.get(..len)?).ok()) else {
            return self.refuse(command, op);
        };
        self.report.sent += 1;
        let mut reply = self.config.rest.order_reply(path, body, venue_ms);
        if !is_new && reply.outcome.as_ref().is_err_and(|error| verdict(op, error).kind == RejectKind::Unknown) {
            self.report.retried += 1;
            let again = self.clock.now();
            let venue_ms = self.venue_ms(again);
            reply = self.config.rest.order_reply(path, body, venue_ms);
        }
        self.tell(command, op, &reply);
    }

    /// Tells the engine what came back.
    fn tell(&mut self, command: &Command, op: Op, reply: &OrderReply) {
        let now = self.clock.now();
        let venue_ts = Nanos::from_millis(reply.venue_ms.unwrap_or(0));
        let meta = Meta { recv: now, venue_ts, instrument: command.instrument, ..Meta::default() };
        let (client_id, request) = (command.client_id, command.request);
        self.report.limits_told += u64::from(reply.limit_left.is_some());
        let error = match &reply.outcome {
            Ok(_) => {
                let limit_left = reply.limit_left.unwrap_or(u32::MAX);
                self.outlet.event(&Event::Ack(Ack { meta, op, client_id, request, limit_left }));
                return;
            }
            Err(error) => error,
        };
        let Verdict { kind, code, is_silence } = verdict(op, error);
        self.outlet.event(&Event::Reject(Reject { meta, op, kind, client_id, request, code }));
        if is_silence {
            self.report.unanswered += 1;
            self.keep(error.to_string());
            self.set_up(false, now);
            self.probe_at = now.saturating_add(PROBE_EVERY_NS);
        }
    }

    /// Answers a command that does not leave.
    fn refuse(&mut self, command: &Command, op: Op) {
        self.report.not_sent += 1;
        let meta = Meta { recv: self.clock.now(), instrument: command.instrument, ..Meta::default() };
        let (kind, client_id, request) = (RejectKind::NotSent, command.client_id, command.request);
        self.outlet.event(&Event::Reject(Reject { meta, op, kind, client_id, request, code: 0 }));
    }
}

impl Duty for RestOrdersDuty {
    fn name(&self) -> &'static str {
        "rest-orders"
    }

    /// Returns 0 always: a thread that is told to stop polls on while there is work, and here each poll may wait for a venue
    /// that does not answer.
    fn poll(&mut self, now: Nanos) -> usize {
        if self.is_up.is_none() {
            self.set_up(true, now);
        }
        self.outlet.flush();
        if let Some(record) = self.commands.pop() {
            if let Some(command) = Command::unpack(&record) {
                self.send(&command);
            }
        } else if self.is_up == Some(false) && now >= self.probe_at {
            let is_there = self.config.rest.time().is_ok();
            let now = self.clock.now();
            self.probe_at = now.saturating_add(PROBE_EVERY_NS);
            if is_there {
                self.set_up(true, now);
            }
        }
        0
    }

    fn finish(self: Box<Self>) -> DutyReport {
        DutyReport::RestOrders(Box::new(self.report))
    }
}

#[cfg(test)]
#[path = "rest_orders_tests.rs"]
mod tests;
