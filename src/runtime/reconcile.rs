//! Asks the venue what the core wants to know: whole passes and single orders, one request at a time.
//!
//! Thread: its own, never a hot one: a lane may block. Allocates: yes. Clock: reads it. It decides nothing: it turns the
//! core's questions ([`CommandKind::Query`], [`CommandKind::Reconcile`]) into requests and the answers into events. A pass
//! also compares the clocks, and the gateway stamps its requests by that.

use std::collections::VecDeque;

use serde_json::Value;

use super::clock::Clock;
use super::clock_offset::{ClockOffset, OffsetWriter};
use super::duty::{Duty, DutyReport};
use super::outlet::Outlet;
use crate::ring::{Consumer, Producer};
use crate::types::{
    Absent, Command, CommandKind, Event, InstrumentId, InstrumentTable, Lots, Meta, Money, Nanos, Pass, PassEnd,
    Position, Product, Record,
};
use crate::venue::EventSink;
use crate::venue::bybit::encode::{LinkId, order_id_text};
use crate::venue::bybit::rest::RestError;
use crate::venue::bybit::{PrivateDecoder, RestLane, RestRequest, order_query};

/// Room for events that the core is late to take.
const BACKLOG_RECORDS: usize = 1024;

/// Questions that wait; the core asks again for what does not fit.
const QUESTIONS_MAX: usize = 64;

/// Shortest time between two requests: half of what the venue allows an account.
const SPACING_NS: u64 = 40_000_000;

/// Executions are read from so long before the last whole pass: what the venue was late to list.
const OVERLAP_MS: u64 = 30_000;

/// Longest list of pages that is followed.
const PAGES_MAX: u32 = 200;

/// What the reconciler needs to know.
#[derive(Clone, Debug)]
pub struct ReconcilerConfig {
    /// Tells our orders from those of other runs.
    pub run_id: u32,
    /// Currency whose balance is followed.
    pub settle_coin: String,
    /// Pause after the venue has banned the address (HTTP 403), in nanoseconds. The venue asks for ten minutes.
    pub ban_pause_ns: u64,
    /// Pause after a reply that says "too many requests", in nanoseconds.
    pub limit_pause_ns: u64,
}

impl ReconcilerConfig {
    /// For a run, with the venue's own pauses.
    pub fn new(run_id: u32, settle_coin: &str) -> Self {
        Self {
            run_id,
            settle_coin: settle_coin.to_owned(),
            ban_pause_ns: super::link::BAN_PAUSE_NS,
            limit_pause_ns: 1_000_000_000,
        }
    }
}

/// What the reconciler leaves behind.
#[derive(Clone, Debug, Default)]
pub struct ReconcileReport {
    /// Requests sent.
    pub requests: u64,
    /// Requests that failed, by our time-out or by the venue's word.
    pub failures: u64,
    /// Replies that said "too many requests", and bans.
    pub limited: u64,
    /// The venue's clock less ours in nanoseconds, and how far it may be off.
    pub clock_offset: Option<(i64, u64)>,
    /// The first failures, for people.
    pub first_errors: Vec<String>,
}

/// What is being asked.
#[derive(Clone, Debug)]
enum Job {
    Pass { began: Nanos, at: usize },
    Query { command: Command, began: Nanos, is_history: bool },
}

/// The parts of a pass, in their order: positions before executions, so that every execution that a position holds is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Time,
    Orders(Product),
    Positions(Product),
    Wallet,
    Executions(Product),
}

/// See the module's documentation.
pub struct ReconcileDuty<L> {
    config: ReconcilerConfig,
    lane: L,
    questions: Consumer<Record>,
    waiting: VecDeque<Command>,
    outlet: Outlet,
    decoder: PrivateDecoder,
    products: Vec<(InstrumentId, Product)>,
    parts: Vec<Part>,
    clock: Clock,
    offset: ClockOffset,
    offset_out: OffsetWriter,
    job: Option<Job>,
    /// When the request under way left.
    asked_at: Option<Nanos>,
    cursor: String,
    pages: u32,
    executions: Vec<Event<'static>>,
    listed: Vec<InstrumentId>,
    not_before: Nanos,
    /// Executions up to this venue time have been read.
    read_to_ms: u64,
    reads_to_ms: u64,
    report: ReconcileReport,
}

impl<L: RestLane> ReconcileDuty<L> {
    /// Makes the reconciler. `offset` is the first estimate of the venue's clock; `executions_since_ms`, on the venue's clock,
    /// is where this session's executions begin.
    #[allow(clippy::too_many_arguments)] // Its two rings, its clock, and what it has to know: nothing goes together.
    pub fn new(
        config: ReconcilerConfig,
        table: &InstrumentTable,
        lane: L,
        questions: Consumer<Record>,
        events: Producer<Record>,
        clock: Clock,
        (offset, offset_out): (ClockOffset, OffsetWriter),
        executions_since_ms: u64,
    ) -> Self {
        let products: Vec<(InstrumentId, Product)> = table.iter().map(|(id, spec)| (id, spec.product)).collect();
        let has = |product| products.iter().any(|&(_, found)| found == product);
        let traded: Vec<Product> =
            [Product::Linear, Product::Inverse, Product::Spot].into_iter().filter(|&p| has(p)).collect();
        let mut parts = vec![Part::Time];
        parts.extend(traded.iter().map(|&product| Part::Orders(product)));
        // Spot has no positions.
        parts.extend(traded.iter().filter(|&&product| product != Product::Spot).map(|&p| Part::Positions(p)));
        parts.push(Part::Wallet);
        parts.extend(traded.iter().map(|&product| Part::Executions(product)));
        let mut duty = Self {
            decoder: PrivateDecoder::new(table, config.run_id, &config.settle_coin),
            config,
            lane,
            questions,
            waiting: VecDeque::with_capacity(QUESTIONS_MAX),
            outlet: Outlet::new(events, BACKLOG_RECORDS),
            products,
            parts,
            clock,
            offset,
            offset_out,
            job: None,
            asked_at: None,
            cursor: String::new(),
            pages: 0,
            executions: Vec::new(),
            listed: Vec::new(),
            not_before: Nanos::ZERO,
            read_to_ms: executions_since_ms,
            reads_to_ms: executions_since_ms,
            report: ReconcileReport::default(),
        };
        duty.offset_out.publish(&duty.offset);
        duty
    }

    fn venue_ms(&self, now: Nanos) -> u64 {
        self.offset.venue_ms(now)
    }

    fn take_questions(&mut self) {
        while let Some(record) = self.questions.pop() {
            if let Some(command) = Command::unpack(&record)
                && self.waiting.len() < QUESTIONS_MAX
            {
                self.waiting.push_back(command);
            }
        }
    }

    fn begin_next(&mut self, now: Nanos) {
        let Some(command) = self.waiting.pop_front() else { return };
        self.cursor.clear();
        self.pages = 0;
        self.executions.clear();
        self.job = match command.kind {
            CommandKind::Reconcile => Some(Job::Pass { began: now, at: 0 }),
            CommandKind::Query => Some(Job::Query { command, began: now, is_history: false }),
            _ => None,
        };
    }

    fn request(&self, job: &Job) -> RestRequest {
        let coin = &self.config.settle_coin;
        let request = match job {
            Job::Query { command, is_history, .. } => {
                let product = self.products.iter().find(|(id, _)| *id == command.instrument);
                let product = product.map_or(Product::Linear, |&(_, product)| product);
                let venue_id = command.venue_order_id();
                if venue_id == 0 {
                    let link = LinkId { run_id: self.config.run_id, client_id: command.client_id }.write();
                    order_query(product, "orderLinkId", &link, *is_history)
                } else {
                    let (text, len) = order_id_text(venue_id);
                    order_query(product, "orderId", &text[..len], *is_history)
                }
            }
            Job::Pass { at, .. } => match self.parts.get(*at).copied().unwrap_or(Part::Time) {
                Part::Time => RestRequest::time(),
                Part::Orders(product) => RestRequest::open_orders(product, coin),
                Part::Positions(product) => RestRequest::positions(product, coin),
                Part::Wallet => RestRequest::wallet_balance(coin),
                Part::Executions(product) => {
                    RestRequest::executions(product, self.read_to_ms.saturating_sub(OVERLAP_MS))
                }
            },
        };
        request.page(&self.cursor)
    }

    fn on_answer(&mut self, answer: Result<Value, RestError>, now: Nanos) {
        let asked_at = self.asked_at.take().unwrap_or(now);
        self.not_before = asked_at.saturating_add(SPACING_NS);
        let Some(mut job) = self.job.take() else { return };
        let taken = answer.and_then(|result| self.take_answer(&mut job, &result, asked_at, now));
        match taken {
            Ok(Progress::More) => self.job = Some(job),
            Ok(Progress::Done) => {}
            Err(error) => self.on_failure(&job, &error, now),
        }
    }

    fn on_failure(&mut self, job: &Job, error: &RestError, now: Nanos) {
        self.report.failures += 1;
        if self.report.first_errors.len() < 8 {
            self.report.first_errors.push(error.to_string());
        }
        let pause_ns = match error {
            RestError::Status { status: 403, .. } => self.config.ban_pause_ns,
            RestError::Status { status: 429, .. } | RestError::Venue { code: 10_006 | 10_429 | 429, .. } => {
                self.config.limit_pause_ns
            }
            _ => 0,
        };
        if pause_ns > 0 {
            self.report.limited += 1;
            self.not_before = now.saturating_add(pause_ns);
        }
        // A question about one order is simply asked again by the core.
        if let Job::Pass { began, .. } = *job {
            let meta = Meta { recv: now, ..Meta::default() };
            self.outlet.event(&Event::Pass(Pass { meta, end: PassEnd::Broken, asked_at: began }));
            if matches!(error, RestError::Venue { code: 10_002, .. }) {
                // Refused for its time stamp: the next pass compares the clocks first, and believes what it finds.
                self.offset.forget();
            }
        }
    }

    fn take_answer(
        &mut self,
        job: &mut Job,
        result: &Value,
        asked_at: Nanos,
        now: Nanos,
    ) -> Result<Progress, RestError> {
        match job {
            Job::Query { command, began, is_history } => {
                let found = self.tell_orders("/v5/order/realtime", result, asked_at, now)?;
                if found > 0 {
                    return Ok(Progress::Done);
                }
                if !std::mem::replace(is_history, true) {
                    return Ok(Progress::More);
                }
                let meta = Meta { recv: now, instrument: command.instrument, ..Meta::default() };
                self.outlet.event(&Event::Absent(Absent { meta, client_id: command.client_id, asked_at: *began }));
                Ok(Progress::Done)
            }
            Job::Pass { began, at } => {
                let part = self.parts.get(*at).copied().unwrap_or(Part::Time);
                if !self.take_part(part, result, asked_at, now)? {
                    return Ok(Progress::More);
                }
                self.cursor.clear();
                self.pages = 0;
                *at += 1;
                if *at < self.parts.len() {
                    return Ok(Progress::More);
                }
                self.read_to_ms = self.reads_to_ms;
                let meta = Meta { recv: now, ..Meta::default() };
                self.outlet.event(&Event::Pass(Pass { meta, end: PassEnd::Whole, asked_at: *began }));
                Ok(Progress::Done)
            }
        }
    }

    /// Takes one answer of a pass; returns whether the part is complete.
    fn take_part(&mut self, part: Part, result: &Value, asked_at: Nanos, now: Nanos) -> Result<bool, RestError> {
        match part {
            Part::Time => {
                let path = "/v5/market/time";
                let nanos = result["timeNano"].as_str().and_then(|text| text.parse().ok());
                let venue = nanos.map(Nanos::new).ok_or(RestError::BadAnswer { path, field: "timeNano" })?;
                self.offset.observe(asked_at, venue, now);
                self.offset_out.publish(&self.offset);
                self.report.clock_offset = Some((self.offset.offset_ns(), self.offset.uncertainty_ns()));
                // Executions before this moment will have been listed by the end of the pass.
                self.reads_to_ms = venue.as_millis();
                Ok(true)
            }
            Part::Orders(_) => {
                self.tell_orders("/v5/order/realtime", result, asked_at, now)?;
                Ok(self.is_last_page(result))
            }
            Part::Positions(product) => {
                self.tell_positions(result, asked_at, now)?;
                let is_last = self.is_last_page(result);
                if is_last {
                    self.tell_flat(product, asked_at, now);
                }
                Ok(is_last)
            }
            Part::Wallet => {
                let path = "/v5/account/wallet-balance";
                let item = result["list"].get(0).ok_or(RestError::BadAnswer { path, field: "list" })?;
                let balance = self.decoder.wallet_item(item.to_string().as_bytes(), now);
                if let Some(balance) = balance.map_err(|source| RestError::BadItem { path, source })? {
                    self.outlet.event(&Event::Balance(balance));
                }
                Ok(true)
            }
            Part::Executions(_) => {
                let path = "/v5/execution/list";
                for item in items(path, result)? {
                    let event = self.decoder.execution_item(item.to_string().as_bytes(), now);
                    self.executions.extend(event.map_err(|source| RestError::BadItem { path, source })?);
                }
                let is_last = self.is_last_page(result);
                if is_last {
                    // Listed newest first; booked in their order.
                    for event in self.executions.drain(..).rev() {
                        self.outlet.event(&event);
                    }
                }
                Ok(is_last)
            }
        }
    }

    fn tell_orders(
        &mut self,
        path: &'static str,
        result: &Value,
        asked_at: Nanos,
        now: Nanos,
    ) -> Result<usize, RestError> {
        let mut count = 0;
        for item in items(path, result)? {
            let order = self.decoder.order_item(item.to_string().as_bytes(), now, asked_at);
            if let Some(order) = order.map_err(|source| RestError::BadItem { path, source })? {
                count += 1;
                self.outlet.event(&Event::Order(order));
            }
        }
        Ok(count)
    }

    fn tell_positions(&mut self, result: &Value, asked_at: Nanos, now: Nanos) -> Result<(), RestError> {
        let path = "/v5/position/list";
        for item in items(path, result)? {
            let position = self.decoder.position_item(item.to_string().as_bytes(), now, asked_at);
            if let Some(position) = position.map_err(|source| RestError::BadItem { path, source })? {
                self.listed.push(position.meta.instrument);
                self.outlet.event(&Event::Position(position));
            }
        }
        Ok(())
    }

    /// The list names no flat positions.
    fn tell_flat(&mut self, product: Product, asked_at: Nanos, now: Nanos) {
        for &(instrument, found) in &self.products {
            if found == product && !self.listed.contains(&instrument) {
                let meta = Meta { recv: now, instrument, ..Meta::default() };
                let (qty, entry_px, realised) = (Lots::ZERO, Money::ZERO, Money::ZERO);
                self.outlet.event(&Event::Position(Position { meta, qty, entry_px, realised, asked_at }));
            }
        }
        self.listed.retain(|id| !self.products.contains(&(*id, product)));
    }

    /// Whether a list has no further page; otherwise notes where to go on.
    fn is_last_page(&mut self, result: &Value) -> bool {
        self.pages += 1;
        let next = result["nextPageCursor"].as_str().unwrap_or("");
        let is_empty = result["list"].as_array().is_none_or(Vec::is_empty);
        if next.is_empty() || next == self.cursor || is_empty || self.pages >= PAGES_MAX {
            return true;
        }
        next.clone_into(&mut self.cursor);
        false
    }
}

enum Progress {
    More,
    Done,
}

fn items<'a>(path: &'static str, result: &'a Value) -> Result<&'a Vec<Value>, RestError> {
    result["list"].as_array().ok_or(RestError::BadAnswer { path, field: "list" })
}

impl<L: RestLane> Duty for ReconcileDuty<L> {
    fn name(&self) -> &'static str {
        "reconcile"
    }

    /// Returns 0 always: a thread that is told to stop polls on while there is work, and here each poll may wait for a venue
    /// that does not answer.
    fn poll(&mut self, _now: Nanos) -> usize {
        self.take_questions();
        self.outlet.flush();
        if self.asked_at.is_some() {
            let now = self.clock.now();
            if let Some(answer) = self.lane.poll(now) {
                let now = self.clock.now();
                self.on_answer(answer, now);
            }
        }
        let now = self.clock.now();
        if self.asked_at.is_none() && now >= self.not_before {
            if self.job.is_none() {
                self.begin_next(now);
            }
            if let Some(job) = &self.job {
                let request = self.request(job);
                self.asked_at = Some(now);
                self.report.requests += 1;
                self.lane.submit(&request, self.venue_ms(now), now);
            }
        }
        0
    }

    fn finish(self: Box<Self>) -> DutyReport {
        DutyReport::Reconcile(Box::new(self.report))
    }
}
