//! The load generator: a mock venue on a thread of its own that plays ticks on a schedule and clocks the orders that come.
//!
//! ```text
//! generator ──tick──▶ /v5/public/linear ──▶ engine or floor
//!     ▲                                          │
//!     └──order── /v5/trade ◀────────────────────┘      ack on /v5/trade, end of the order on /v5/private
//! ```
//!
//! The same over TLS, if it is given a certificate.
//!
//! Open loop: a tick is sent when it is due, whatever became of those before, and latency counts from the moment at which
//! it was *due*, so that a stall is counted against every tick that it delayed (no coordinated omission). A latency ends
//! when the read returns that brings the order's last byte.

use std::collections::VecDeque;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use hdrhistogram::Histogram;
use rustls::ServerConfig;

use super::BenchError;
use super::strategy::{CODE_BASE, CODES};
use super::traffic::{Expected, Traffic};
use crate::net::{HttpCodec, HttpConn, Listener, Message, SendError, WsConn, WsLimits};
use crate::ring::{Flag, spin_hint};
use crate::runtime::{Clock, Idle, Worst, histogram};
use crate::types::{InstrumentId, Lots, Nanos, Ticks};

/// Longest time until all three connections stand and are introduced.
const READY_WITHIN_NS: u64 = 10_000_000_000;

/// Time between the last introduction and the first tick: the engine is armed in it.
pub(super) const SETTLE_NS: u64 = 300_000_000;

/// Longest wait for orders that are still missing after the last tick.
const DRAIN_WITHIN_NS: u64 = 2_000_000_000;

/// Time between two looks at the connections on which hardly anything comes: pings.
const ASIDE_NS: u64 = 1_000_000;

/// A tick that goes out later than this after it was due counts as late by the generator's own fault or its machine's.
pub const LATE_NS: u64 = 10_000;

/// How the orders of a side belong to ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orders {
    /// Each names its tick in its quantity, and its price is compared with the book's.
    NameTheirTick,
    /// They are all the same: each belongs to the oldest tick that waits for one.
    InTurn,
}

/// How a side is measured.
#[derive(Clone, Debug)]
pub struct GeneratorConfig {
    /// Core to pin to.
    pub cpu: Option<usize>,
    /// What its thread does when nothing is due.
    pub idle: Idle,
    /// Ticks due in this time at the beginning are played and not measured, in nanoseconds.
    pub warm_up_ns: u64,
    /// Time that is measured, in nanoseconds.
    pub measure_ns: u64,
    /// How orders belong to ticks.
    pub orders: Orders,
    /// Its certificate, where the connections are encrypted.
    pub tls: Option<Arc<ServerConfig>>,
    /// How many of the slowest ticks are kept whole.
    pub worst: usize,
}

/// A tick whose order took long.
#[derive(Clone, Copy, Debug)]
pub struct SlowTick {
    /// Its number.
    pub tick: u64,
    /// How many orders had come before its own, warm-up included.
    pub order: u64,
    /// From the moment at which it was due to the call of the write that sent it.
    pub late_ns: u64,
}

/// What one side of a round showed.
#[derive(Clone, Debug)]
pub struct GeneratorReport {
    /// From the moment at which a tick was due to the arrival of its order.
    pub wire_to_wire: Histogram<u64>,
    /// The same for the ticks due in the first and in the second half of the measurement: a queue that grows shows in it.
    pub halves: [Histogram<u64>; 2],
    /// The slowest ticks, by the same latency.
    pub worst: Worst<SlowTick>,
    /// From the moment at which a tick was due to the call of the write that sent it: the generator's own part.
    pub lateness: Histogram<u64>,
    /// Measured ticks, whether they ask for an order or not.
    pub ticks: u64,
    /// Measured ticks that ask for an order.
    pub asked: u64,
    /// Measured ticks whose order came.
    pub answered: u64,
    /// Orders in all, warm-up included.
    pub orders: u64,
    /// Orders that belong to no outstanding tick.
    pub unmatched: u64,
    /// Orders of another price than the tick leads to.
    pub wrong_px: u64,
    /// Measured ticks sent more than [`LATE_NS`] after they were due.
    pub late: u64,
    /// Ticks sent in all, warm-up included.
    pub played: u64,
    /// Their bytes, frames included.
    pub tick_bytes: u64,
    /// Length of the newest order's message in bytes, without its frame.
    pub order_bytes: usize,
    /// From the first measured tick to the last order.
    pub elapsed_ns: u64,
}

impl GeneratorReport {
    pub(super) fn new(worst: usize) -> Self {
        Self {
            wire_to_wire: histogram(),
            halves: [histogram(), histogram()],
            worst: Worst::new(worst),
            lateness: histogram(),
            ticks: 0,
            asked: 0,
            answered: 0,
            orders: 0,
            unmatched: 0,
            wrong_px: 0,
            late: 0,
            played: 0,
            tick_bytes: 0,
            order_bytes: 0,
            elapsed_ns: 0,
        }
    }
}

/// A running generator.
pub struct Generator {
    addr: SocketAddr,
    handle: JoinHandle<Result<GeneratorReport, BenchError>>,
    /// Set when everything was played.
    played: Flag,
    /// Set when the connections are not needed any more.
    release: Flag,
}

impl Generator {
    /// Listens on a free port of the loopback interface and waits for connections on a thread of its own.
    ///
    /// # Errors
    /// If the system refuses the socket or the thread.
    pub fn start(traffic: Traffic, config: GeneratorConfig, clock: Clock, stop: Flag) -> io::Result<Self> {
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), config.tls.clone())?;
        let addr = listener.local_addr()?;
        let (played, release) = (Flag::new(), Flag::new());
        let ends = (played.clone(), release.clone());
        let handle = std::thread::Builder::new().name("generator".to_owned()).spawn(move || {
            super::pin(config.cpu);
            let mut play = Play::new(listener, traffic, config, clock, stop);
            let outcome = play.introduce().and_then(|()| play.play());
            ends.0.set();
            // An engine whose connections end would connect again, and that is not what is measured.
            while !ends.1.is_set() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            outcome.map(|()| play.report)
        })?;
        Ok(Self { addr, handle, played, release })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether everything was played, or it broke off.
    pub fn is_finished(&self) -> bool {
        self.played.is_set() || self.handle.is_finished()
    }

    /// Closes the connections and takes the report.
    ///
    /// # Errors
    /// [`BenchError`]: nobody came, a connection was lost, it was stopped, or it panicked.
    pub fn join(self) -> Result<GeneratorReport, BenchError> {
        self.release.set();
        self.handle.join().unwrap_or(Err(BenchError::Panicked("generator")))
    }
}

/// Which tick an order belongs to: by instrument and code, the newest outstanding tick.
pub(super) struct Outstanding {
    /// Number + 1 of the tick, 0 if none waits; `CODES` for each instrument.
    ticks: Box<[u64]>,
}

impl Outstanding {
    pub(super) fn new(instruments: usize) -> Self {
        Self { ticks: vec![0; instruments * CODES as usize].into_boxed_slice() }
    }

    fn slot(&mut self, instrument: InstrumentId, code: Lots) -> Option<&mut u64> {
        let code = usize::try_from(code.get() - CODE_BASE).ok().filter(|&code| code < CODES as usize)?;
        self.ticks.get_mut(instrument.idx() * CODES as usize + code)
    }

    /// A tick was sent that asks for this order.
    pub(super) fn ask(&mut self, expected: &Expected, number: u64) {
        if let Some(slot) = self.slot(expected.instrument, expected.code) {
            *slot = number + 1;
        }
    }

    /// An order came: takes the number of its tick.
    pub(super) fn take(&mut self, instrument: InstrumentId, code: Lots) -> Option<u64> {
        std::mem::take(self.slot(instrument, code)?).checked_sub(1)
    }
}

/// What the generator reads out of an order request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order<'a> {
    req_id: &'a str,
    link_id: &'a str,
    symbol: &'a str,
    side: &'a str,
    px: &'a str,
    qty: &'a str,
}

/// The text member of that name, anywhere in the message: keys of order requests are unique.
fn member<'a>(text: &'a str, quoted_key: &str) -> Option<&'a str> {
    let at = text.find(quoted_key)? + quoted_key.len();
    text[at..].strip_prefix(":\"")?.split('"').next()
}

impl<'a> Order<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        Some(Self {
            req_id: member(text, "\"reqId\"")?,
            link_id: member(text, "\"orderLinkId\"")?,
            symbol: member(text, "\"symbol\"")?,
            side: member(text, "\"side\"")?,
            px: member(text, "\"price\"")?,
            qty: member(text, "\"qty\"")?,
        })
    }
}

/// The connections of one engine.
#[derive(Default)]
struct Links {
    public: Option<WsConn>,
    private: Option<WsConn>,
    trade: Option<WsConn>,
}

/// How far the other side has introduced itself.
#[derive(Default)]
struct Introduced {
    public: bool,
    private: bool,
    trade: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Public,
    Private,
    Trade,
}

/// An outstanding tick.
#[derive(Clone, Copy)]
struct Asked {
    due: Nanos,
    sent: Nanos,
    /// The price that it leads to, where that is known.
    px: Option<Ticks>,
}

struct Play {
    listener: Listener,
    waiting: Vec<HttpConn>,
    links: Links,
    introduced: Introduced,
    traffic: Traffic,
    config: GeneratorConfig,
    clock: Clock,
    stop: Flag,
    outstanding: Outstanding,
    /// The outstanding ticks of a side whose orders come in turn, the oldest first.
    in_turn: VecDeque<u64>,
    /// The outstanding ticks, each at its number modulo the length.
    asked: Box<[Asked]>,
    /// When the second half of the measurement begins.
    second_half: Nanos,
    /// Number of the first measured tick.
    first_measured: u64,
    /// Measured ticks that wait for their order.
    waiting_orders: u64,
    report: GeneratorReport,
    text: String,
}

impl Play {
    fn new(listener: Listener, traffic: Traffic, config: GeneratorConfig, clock: Clock, stop: Flag) -> Self {
        let instruments = traffic.table().len();
        let nothing = Asked { due: Nanos::ZERO, sent: Nanos::ZERO, px: None };
        Self {
            listener,
            waiting: Vec::new(),
            links: Links::default(),
            introduced: Introduced::default(),
            outstanding: Outstanding::new(instruments),
            in_turn: VecDeque::with_capacity(1 << 16),
            asked: vec![nothing; instruments.max(1) * CODES as usize * 4].into_boxed_slice(),
            second_half: Nanos::ZERO,
            report: GeneratorReport::new(config.worst),
            traffic,
            config,
            clock,
            stop,
            first_measured: 0,
            waiting_orders: 0,
            text: String::with_capacity(4096),
        }
    }

    fn idle(&self) {
        match self.config.idle {
            Idle::Spin => spin_hint(),
            Idle::SpinYield | Idle::Backoff => std::thread::yield_now(),
        }
    }

    /// Until all three connections stand and have said what they want.
    fn introduce(&mut self) -> Result<(), BenchError> {
        let deadline = self.clock.now().saturating_add(READY_WITHIN_NS);
        loop {
            let Introduced { public, private, trade } = self.introduced;
            if public && private && trade {
                return Ok(());
            }
            if self.stop.is_set() {
                return Err(BenchError::Stopped);
            }
            if self.clock.now() >= deadline {
                return Err(BenchError::NotReady { public, private, trade });
            }
            while let Some(transport) = self.listener.accept()? {
                self.waiting.push(HttpConn::new(transport, HttpCodec::new(1024, 4096)));
            }
            self.upgrade()?;
            for role in [Role::Public, Role::Private, Role::Trade] {
                self.read(role)?;
            }
            std::thread::yield_now();
        }
    }

    /// Grants upgrades that are asked for.
    fn upgrade(&mut self) -> Result<(), BenchError> {
        for mut conn in std::mem::take(&mut self.waiting) {
            conn.fill()?;
            let granted = match conn.next_request() {
                Ok(Some(request)) => Some((request.upgrade().map_err(io::Error::other)?, request.path().to_owned())),
                Ok(None) => None,
                Err(error) => return Err(io::Error::other(error).into()),
            };
            let Some((upgrade, path)) = granted else {
                self.waiting.push(conn);
                continue;
            };
            let mut ws = conn.upgrade(&upgrade, WsLimits { recv_bytes: 1 << 18, ..WsLimits::default() });
            ws.flush()?;
            match path.as_str() {
                "/v5/public/linear" => self.links.public = Some(ws),
                "/v5/private" => self.links.private = Some(ws),
                "/v5/trade" => self.links.trade = Some(ws),
                _ => return Err(BenchError::UnknownPath(path)),
            }
        }
        Ok(())
    }

    fn link(&mut self, role: Role) -> Option<&mut WsConn> {
        match role {
            Role::Public => self.links.public.as_mut(),
            Role::Private => self.links.private.as_mut(),
            Role::Trade => self.links.trade.as_mut(),
        }
    }

    /// Reads a connection once; returns whether anything came.
    fn read(&mut self, role: Role) -> Result<bool, BenchError> {
        let Some(conn) = self.link(role) else { return Ok(false) };
        if conn.fill()? == 0 {
            return Ok(false);
        }
        let arrived = self.clock.now();
        // Taken out, so that answers can be queued while a message is looked at.
        let Some(mut conn) = (match role {
            Role::Public => self.links.public.take(),
            Role::Private => self.links.private.take(),
            Role::Trade => self.links.trade.take(),
        }) else {
            return Ok(false);
        };
        let mut text = std::mem::take(&mut self.text);
        loop {
            text.clear();
            match conn.next_message().map_err(io::Error::other)? {
                Some(Message::Text(message)) => {
                    let Ok(message) = std::str::from_utf8(message) else { continue };
                    let after = self.on_message(role, message, arrived, &mut text);
                    if !text.is_empty() {
                        conn.send_text(text.as_bytes()).map_err(io::Error::other)?;
                        conn.flush()?;
                    }
                    match after {
                        After::Nothing => {}
                        After::Snapshot => {
                            let snapshot = self.traffic.snapshot();
                            if !snapshot.is_empty() {
                                conn.send_text(snapshot).map_err(io::Error::other)?;
                                conn.flush()?;
                            }
                        }
                        After::Told(told) => {
                            if let Some(private) = &mut self.links.private {
                                private.send_text(told.as_bytes()).map_err(io::Error::other)?;
                                private.flush()?;
                            }
                        }
                    }
                }
                Some(Message::Close { .. }) => return Err(BenchError::LinkLost),
                Some(_) => {
                    conn.flush()?;
                }
                None => break,
            }
        }
        self.text = text;
        match role {
            Role::Public => self.links.public = Some(conn),
            Role::Private => self.links.private = Some(conn),
            Role::Trade => self.links.trade = Some(conn),
        }
        Ok(true)
    }

    /// Writes the answer to a message into `answer`, as Bybit words it.
    fn on_message(&mut self, role: Role, message: &str, arrived: Nanos, answer: &mut String) -> After {
        let op = member(message, "\"op\"").unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = match (op, role) {
            ("order.create", Role::Trade) => return self.on_order(message, arrived, answer),
            ("auth", Role::Trade) => {
                self.introduced.trade = true;
                write!(answer, r#"{{"retCode":0,"retMsg":"OK","op":"auth","connId":"bench"}}"#)
            }
            ("auth", _) => write!(answer, r#"{{"success":true,"ret_msg":"","op":"auth","conn_id":"bench"}}"#),
            ("subscribe", Role::Public) => {
                self.introduced.public = true;
                let _ =
                    write!(answer, r#"{{"success":true,"ret_msg":"","op":"subscribe","req_id":"","conn_id":"bench"}}"#);
                return After::Snapshot;
            }
            ("subscribe", Role::Private) => {
                self.introduced.private = true;
                write!(answer, r#"{{"success":true,"ret_msg":"","op":"subscribe","conn_id":"bench"}}"#)
            }
            ("unsubscribe", _) => {
                write!(answer, r#"{{"success":true,"ret_msg":"","op":"unsubscribe","conn_id":"bench"}}"#)
            }
            ("ping", Role::Public) => {
                write!(answer, r#"{{"success":true,"ret_msg":"pong","conn_id":"bench","req_id":"","op":"ping"}}"#)
            }
            ("ping", Role::Private) => write!(answer, r#"{{"op":"pong","args":["0"],"conn_id":"bench"}}"#),
            ("ping", Role::Trade) => {
                write!(answer, r#"{{"retCode":0,"retMsg":"OK","op":"pong","data":["0"],"connId":"bench"}}"#)
            }
            ("order.amend" | "order.cancel", Role::Trade) => {
                let req_id = member(message, "\"reqId\"").unwrap_or_default();
                let link_id = member(message, "\"orderLinkId\"").unwrap_or_default();
                write_ack(answer, req_id, op, link_id)
            }
            _ => Ok(()),
        };
        After::Nothing
    }

    /// Matches an order to its tick, acknowledges it, and tells its end: nothing was there to be taken.
    fn on_order(&mut self, message: &str, arrived: Nanos, answer: &mut String) -> After {
        self.report.orders += 1;
        self.report.order_bytes = message.len();
        let Some(order) = Order::parse(message) else {
            self.report.unmatched += 1;
            return After::Nothing;
        };
        self.match_order(&order, arrived);
        let _ = write_ack(answer, order.req_id, "order.create", order.link_id);
        let Order { link_id, symbol, side, px, qty, .. } = order;
        let ms = arrived.as_millis();
        let mut told = String::with_capacity(1024);
        let _ = write!(
            told,
            r#"{{"id":"bench","topic":"order","creationTime":{ms},"data":[{{"category":"linear","symbol":"{symbol}","orderId":"5cf98598-39a7-459e-97bf-76ca765ee020","orderLinkId":"{link_id}","side":"{side}","orderType":"Limit","price":"{px}","qty":"{qty}","timeInForce":"IOC","orderStatus":"Cancelled","cancelType":"UNKNOWN","rejectReason":"EC_NoImmediateQtyToFill","avgPrice":"","leavesQty":"0","cumExecQty":"0","cumExecValue":"0","cumExecFee":"0","positionIdx":0,"reduceOnly":false,"createdTime":"{ms}","updatedTime":"{ms}"}}]}}"#
        );
        After::Told(told)
    }

    fn match_order(&mut self, order: &Order<'_>, arrived: Nanos) {
        let table = self.traffic.table();
        if self.config.orders == Orders::InTurn {
            match self.in_turn.pop_front() {
                Some(number) => self.answered(number, None, arrived),
                None => self.report.unmatched += 1,
            }
            return;
        }
        let found = table.find(crate::types::VenueId::BYBIT, order.symbol.as_bytes()).and_then(|instrument| {
            let spec = table.get(instrument)?;
            let code = spec.lot.parse_lots(order.qty.as_bytes()).ok()?;
            let px = spec.tick.parse_ticks(order.px.as_bytes()).ok()?;
            Some((self.outstanding.take(instrument, code)?, px))
        });
        let Some((number, px)) = found else {
            self.report.unmatched += 1;
            return;
        };
        self.answered(number, Some(px), arrived);
    }

    /// A tick's order came, at this price where that means something.
    fn answered(&mut self, number: u64, px: Option<Ticks>, arrived: Nanos) {
        let asked = self.asked[(number % self.asked.len() as u64) as usize];
        self.report.wrong_px += u64::from(px.is_some() && asked.px.is_some() && asked.px != px);
        if number >= self.first_measured {
            let latency_ns = arrived.saturating_since(asked.due);
            let half = usize::from(asked.due >= self.second_half);
            // The order being matched is counted already.
            let order = self.report.orders - 1;
            let late_ns = asked.sent.saturating_since(asked.due);
            self.report.wire_to_wire.saturating_record(latency_ns);
            self.report.halves[half].saturating_record(latency_ns);
            self.report.worst.insert(latency_ns, SlowTick { tick: number, order, late_ns });
            self.report.answered += 1;
            self.waiting_orders -= 1;
        }
    }

    /// Plays everything that is due within warm-up and measurement, then waits for what is missing.
    fn play(&mut self) -> Result<(), BenchError> {
        let GeneratorConfig { warm_up_ns, measure_ns, .. } = self.config;
        self.first_measured = self.traffic.count_before(warm_up_ns).0;
        let start = self.clock.now().saturating_add(SETTLE_NS);
        self.second_half = start.saturating_add(warm_up_ns + measure_ns / 2);
        let mut next = 0;
        let mut due = self.traffic.tick(next).map(|tick| tick.due_ns);
        let mut aside_at = start;
        while let Some(due_ns) = due.filter(|&due_ns| due_ns < warm_up_ns + measure_ns) {
            let now = self.clock.now();
            let at = start.saturating_add(due_ns);
            if now >= at {
                self.send_tick(next, at, now)?;
                next += 1;
                due = self.traffic.tick(next).map(|tick| tick.due_ns);
            }
            // Also when the next one is due already: a queue of orders that nobody reads would be of our own making.
            if self.read(Role::Trade)? {
                continue;
            }
            if now >= aside_at {
                aside_at = now.saturating_add(ASIDE_NS);
                self.read(Role::Private)?;
                self.read(Role::Public)?;
                if self.stop.is_set() {
                    return Err(BenchError::Stopped);
                }
            }
            self.idle();
        }
        let deadline = self.clock.now().saturating_add(DRAIN_WITHIN_NS);
        while self.waiting_orders > 0 && self.clock.now() < deadline {
            if !self.read(Role::Trade)? {
                self.idle();
            }
            if self.stop.is_set() {
                return Err(BenchError::Stopped);
            }
        }
        self.report.elapsed_ns = self.clock.now().saturating_since(start.saturating_add(warm_up_ns));
        Ok(())
    }

    #[inline]
    fn send_tick(&mut self, number: u64, due: Nanos, now: Nanos) -> Result<(), BenchError> {
        let Some(tick) = self.traffic.tick(number) else { return Ok(()) };
        let Some(conn) = &mut self.links.public else { return Err(BenchError::LinkLost) };
        let is_sent = match conn.send_text(tick.payload) {
            Ok(()) => true,
            // The reader is so far behind that there is no room: this tick is never answered.
            Err(SendError::Full { .. }) => false,
            Err(error) => return Err(io::Error::other(error).into()),
        };
        self.report.played += 1;
        self.report.tick_bytes += conn.codec().pending().len() as u64;
        // A reader that is far behind fills the socket; the rest goes out with the next tick, and all of it counts as late.
        conn.flush()?;
        let is_measured = number >= self.first_measured;
        if let Some(expected) = tick.expected {
            match self.config.orders {
                Orders::NameTheirTick if is_sent => self.outstanding.ask(&expected, number),
                Orders::InTurn if is_sent => self.in_turn.push_back(number),
                _ => {}
            }
            let idx = (number % self.asked.len() as u64) as usize;
            self.asked[idx] = Asked { due, sent: now, px: expected.px };
            self.report.asked += u64::from(is_measured);
            self.waiting_orders += u64::from(is_measured && is_sent);
        }
        if is_measured {
            let late_ns = now.saturating_since(due);
            self.report.ticks += 1;
            self.report.lateness.saturating_record(late_ns);
            self.report.late += u64::from(late_ns > LATE_NS);
        }
        Ok(())
    }
}

/// What a message leads to beside its answer.
enum After {
    Nothing,
    /// The book's snapshot on the same connection.
    Snapshot,
    /// This text on the private stream.
    Told(String),
}

fn write_ack(out: &mut String, req_id: &str, op: &str, link_id: &str) -> std::fmt::Result {
    write!(
        out,
        r#"{{"reqId":"{req_id}","retCode":0,"retMsg":"OK","op":"{op}","data":{{"orderId":"5cf98598-39a7-459e-97bf-76ca765ee020","orderLinkId":"{link_id}"}},"retExtInfo":{{}},"header":{{"X-Bapi-Limit":"1000000","X-Bapi-Limit-Status":"999999","X-Bapi-Limit-Reset-Timestamp":"1711001595208","Traceid":"38b7977b430f9bd228f4b19724794dfd","Timenow":"1711001595209"}},"connId":"bench"}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::strategy::order_code;

    #[test]
    fn an_order_finds_the_newest_tick_of_its_code_once() {
        let mut outstanding = Outstanding::new(2);
        let expected = |instrument, updates| Expected {
            instrument: InstrumentId(instrument),
            code: order_code(updates),
            px: None,
        };
        outstanding.ask(&expected(0, 5), 100);
        outstanding.ask(&expected(1, 5), 101);
        outstanding.ask(&expected(0, 6), 102);
        assert_eq!(outstanding.take(InstrumentId(1), order_code(5)), Some(101));
        assert_eq!(outstanding.take(InstrumentId(1), order_code(5)), None, "an order answers once");
        assert_eq!(outstanding.take(InstrumentId(0), order_code(5)), Some(100));
        outstanding.ask(&expected(0, 6 + CODES), 9000);
        assert_eq!(outstanding.take(InstrumentId(0), order_code(6)), Some(9000), "codes come again; the newest waits");
        assert_eq!(outstanding.take(InstrumentId(0), Lots::new(1)), None);
        assert_eq!(outstanding.take(InstrumentId(7), order_code(6)), None);
    }

    #[test]
    fn an_order_request_is_read_whatever_the_order_of_its_keys() {
        let text = r#"{"reqId":"c1","header":{"X-BAPI-TIMESTAMP":"1"},"op":"order.create","args":[{"qty":"1.002","category":"linear","symbol":"BTCUSDT","side":"Buy","price":"60000.10","orderLinkId":"t1"}]}"#;
        let order = Order::parse(text).unwrap();
        let expected =
            Order { req_id: "c1", link_id: "t1", symbol: "BTCUSDT", side: "Buy", px: "60000.10", qty: "1.002" };
        assert_eq!(order, expected);
        assert_eq!(Order::parse("{}"), None);
    }
}
