//! The bare floor: bytes of a tick in, bytes of an order out, on one socket, without WebSocket, JSON or a second connection.
//!
//! ```text
//! generator's core ──tick's bytes──▶ engine's core ──order's bytes──▶ generator's core        one TCP or TLS connection
//! ```
//!
//! Same sizes, schedule, cores and idling as every other side of a case. A tick here begins with four bytes that tell its
//! length and whether an order answers it; orders answer in order, so the n-th answer belongs to the n-th that asked.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::generator::{GeneratorReport, LATE_NS, SlowTick};
use super::traffic::Traffic;
use super::{BenchError, BenchOptions, BenchTls, Carrier, Case, floor};
use crate::net::{Listener, Progress, Transport};
use crate::ring::{Flag, spin_hint};
use crate::runtime::{Clock, Idle};
use crate::types::Nanos;

/// Longest time until the connection stands.
const READY_WITHIN_NS: u64 = 10_000_000_000;

/// Longest wait for answers that are still missing after the last tick.
const DRAIN_WITHIN_NS: u64 = 2_000_000_000;

/// Bytes of a read; many ticks.
const READ_BYTES: usize = 1 << 16;

/// A tick's head: its length in bytes, and in the highest bit whether it asks for an order.
const HEAD_BYTES: usize = 4;
const ASKS: u32 = 1 << 31;

/// Longest bare tick; messages of captures that are longer are played at this length.
const TICK_BYTES_MAX: usize = READ_BYTES / 2;

/// Plays a case's schedule to a bare echo. `counts` is read when everything was played and both threads still live.
pub(super) fn run<C>(
    case: &Case,
    options: &BenchOptions,
    tls: &BenchTls,
    clock: &Clock,
    counts: impl FnOnce() -> C,
) -> Result<(GeneratorReport, C), BenchError> {
    let is_tls = case.carrier == Carrier::Tls;
    let mut listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), is_tls.then(|| tls.server.clone()))?;
    let addr = listener.local_addr()?;
    let order_bytes = floor::order_frame_bytes(case.traffic.table())?;
    let (played, release) = (Flag::new(), Flag::new());
    let echo = {
        let (clock, idle, cpu) = (clock.clone(), case.idle, case.engine_cpus().first().copied());
        let (release, client_tls) = (release.clone(), is_tls.then(|| tls.client.clone()));
        std::thread::Builder::new().name("echo".to_owned()).spawn(move || {
            super::pin(cpu);
            answer(addr, client_tls, order_bytes, idle, &clock, &release)
        })?
    };
    let generator = {
        let (case, options, clock) = (case.clone(), options.clone(), clock.clone());
        let (played, release) = (played.clone(), release.clone());
        std::thread::Builder::new().name("generator".to_owned()).spawn(move || {
            super::pin(case.generator_cpu());
            let outcome = play(&mut listener, &case, &options, order_bytes, &clock);
            played.set();
            // The threads' counts of preemptions are read while they live.
            while !release.is_set() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            outcome
        })?
    };
    while !played.is_set() && !generator.is_finished() {
        std::thread::sleep(super::LOOK_EVERY);
    }
    let counts = counts();
    release.set();
    let report = generator.join().unwrap_or(Err(BenchError::Panicked("generator")))?;
    echo.join().map_err(|_| BenchError::Panicked("echo"))??;
    Ok((report, counts))
}

fn rest(idle: Idle) {
    match idle {
        Idle::Spin => spin_hint(),
        Idle::SpinYield | Idle::Backoff => std::thread::yield_now(),
    }
}

/// Writes all of it; the other end goes on reading.
fn write_all(transport: &mut Transport, mut bytes: &[u8], stop: &Flag) -> io::Result<()> {
    while !bytes.is_empty() {
        match transport.try_write(bytes)? {
            Progress::Bytes(len) => bytes = &bytes[len..],
            Progress::WouldBlock if stop.is_set() => return Err(ErrorKind::TimedOut.into()),
            Progress::WouldBlock => spin_hint(),
            Progress::Closed => return Err(ErrorKind::WriteZero.into()),
        }
    }
    transport.try_flush().map(drop)
}

/// The answering end, until it is released or the connection ends.
fn answer(
    addr: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    order_bytes: usize,
    idle: Idle,
    clock: &Clock,
    release: &Flag,
) -> Result<(), BenchError> {
    let mut transport = Transport::connect(addr)?;
    let deadline = clock.now().saturating_add(READY_WITHIN_NS);
    while !transport.try_connected()? {
        if clock.now() >= deadline {
            return Err(io::Error::from(ErrorKind::TimedOut).into());
        }
        std::thread::yield_now();
    }
    if let Some(config) = tls {
        transport = transport.into_tls_client(config, ServerName::from(addr.ip()))?;
        transport.try_flush()?;
    }
    let order = vec![b'o'; order_bytes];
    let mut buffer = vec![0; READ_BYTES].into_boxed_slice();
    let mut filled = 0;
    while !release.is_set() {
        match transport.try_read(&mut buffer[filled..])? {
            Progress::Bytes(len) => filled += len,
            Progress::WouldBlock => {
                rest(idle);
                continue;
            }
            Progress::Closed => return Ok(()),
        }
        let mut at = 0;
        while let Some(head) = buffer[at..filled].first_chunk::<HEAD_BYTES>() {
            let head = u32::from_le_bytes(*head);
            let len = (head & !ASKS) as usize;
            if filled - at < len {
                break;
            }
            at += len;
            if head & ASKS != 0 {
                write_all(&mut transport, &order, release)?;
            }
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
    }
    Ok(())
}

/// A text's length with its WebSocket header, as a server sends it.
fn frame_bytes(text: usize) -> usize {
    text + if text <= 125 {
        2
    } else if text <= 65_535 {
        4
    } else {
        10
    }
}

/// An asked tick that is under way.
struct Asked {
    number: u64,
    due: Nanos,
    sent: Nanos,
}

/// The playing end.
struct Play<'a> {
    transport: Transport,
    traffic: Traffic,
    options: &'a BenchOptions,
    clock: &'a Clock,
    order_bytes: usize,
    /// Bytes of orders that came and are not a whole one yet.
    partial: usize,
    waiting: VecDeque<Asked>,
    first_measured: u64,
    second_half: Nanos,
    report: GeneratorReport,
    tick: Vec<u8>,
    buffer: Box<[u8]>,
}

fn play(
    listener: &mut Listener,
    case: &Case,
    options: &BenchOptions,
    order_bytes: usize,
    clock: &Clock,
) -> Result<GeneratorReport, BenchError> {
    let deadline = clock.now().saturating_add(READY_WITHIN_NS);
    let mut buffer = vec![0; READ_BYTES].into_boxed_slice();
    let mut accepted = None;
    let transport = loop {
        if options.stop.is_set() {
            return Err(BenchError::Stopped);
        }
        if clock.now() >= deadline {
            return Err(BenchError::NotReady { public: false, private: false, trade: false });
        }
        let Some(transport) = &mut accepted else {
            accepted = listener.accept()?;
            std::thread::yield_now();
            continue;
        };
        // Nothing but the handshake can come: the other end only answers.
        if transport.is_handshaking() {
            transport.try_read(&mut buffer)?;
            continue;
        }
        if let Some(transport) = accepted.take() {
            break transport;
        }
    };
    let mut traffic = case.traffic.clone();
    let start = clock.now().saturating_add(super::generator::SETTLE_NS);
    let (warm_up_ns, end_ns) = (options.warm_up_ns, options.warm_up_ns + options.measure_ns);
    let mut play = Play {
        transport,
        first_measured: traffic.count_before(warm_up_ns).0,
        second_half: start.saturating_add(warm_up_ns + options.measure_ns / 2),
        traffic,
        options,
        clock,
        order_bytes,
        partial: 0,
        waiting: VecDeque::with_capacity(1 << 16),
        report: GeneratorReport::new(options.worst),
        tick: vec![b't'; TICK_BYTES_MAX],
        buffer,
    };
    let mut next = 0;
    let mut due = play.traffic.tick(next).map(|tick| tick.due_ns);
    while let Some(due_ns) = due.filter(|&due_ns| due_ns < end_ns) {
        let now = clock.now();
        let at = start.saturating_add(due_ns);
        if now >= at {
            play.send_tick(next, at, now)?;
            next += 1;
            due = play.traffic.tick(next).map(|tick| tick.due_ns);
        }
        if !play.read()? {
            rest(case.idle);
        }
    }
    let deadline = clock.now().saturating_add(DRAIN_WITHIN_NS);
    while !play.waiting.is_empty() && clock.now() < deadline {
        if options.stop.is_set() {
            return Err(BenchError::Stopped);
        }
        play.read()?;
    }
    play.report.elapsed_ns = clock.now().saturating_since(start.saturating_add(warm_up_ns));
    Ok(play.report)
}

impl Play<'_> {
    #[inline]
    fn send_tick(&mut self, number: u64, due: Nanos, now: Nanos) -> Result<(), BenchError> {
        let Some(tick) = self.traffic.tick(number) else { return Ok(()) };
        let asks = tick.expected.is_some();
        let len = frame_bytes(tick.payload.len()).min(TICK_BYTES_MAX);
        let head = len as u32 | if asks { ASKS } else { 0 };
        self.tick[..HEAD_BYTES].copy_from_slice(&head.to_le_bytes());
        self.write_tick(len)?;
        let report = &mut self.report;
        report.played += 1;
        report.tick_bytes += len as u64;
        if asks {
            self.waiting.push_back(Asked { number, due, sent: now });
        }
        if number >= self.first_measured {
            let late_ns = now.saturating_since(due);
            report.ticks += 1;
            report.asked += u64::from(asks);
            report.lateness.saturating_record(late_ns);
            report.late += u64::from(late_ns > LATE_NS);
        }
        Ok(())
    }

    /// Writes the tick, and reads while there is no room: the other end may be waiting for the same.
    #[inline]
    fn write_tick(&mut self, len: usize) -> Result<(), BenchError> {
        let mut at = 0;
        while at < len {
            match self.transport.try_write(&self.tick[at..len])? {
                Progress::Bytes(written) => at += written,
                Progress::WouldBlock if self.options.stop.is_set() => return Err(BenchError::Stopped),
                Progress::WouldBlock => drop(self.read()?),
                Progress::Closed => return Err(BenchError::LinkLost),
            }
        }
        self.transport.try_flush()?;
        Ok(())
    }

    /// Reads once; returns whether anything came.
    #[inline]
    fn read(&mut self) -> Result<bool, BenchError> {
        let len = match self.transport.try_read(&mut self.buffer)? {
            Progress::Bytes(len) => len,
            Progress::WouldBlock => return Ok(false),
            Progress::Closed => return Err(BenchError::LinkLost),
        };
        let arrived = self.clock.now();
        self.partial += len;
        while self.partial >= self.order_bytes {
            self.partial -= self.order_bytes;
            let report = &mut self.report;
            let order = report.orders;
            report.orders += 1;
            report.order_bytes = self.order_bytes;
            let Some(asked) = self.waiting.pop_front() else {
                report.unmatched += 1;
                continue;
            };
            if asked.number >= self.first_measured {
                let latency_ns = arrived.saturating_since(asked.due);
                let late_ns = asked.sent.saturating_since(asked.due);
                report.wire_to_wire.saturating_record(latency_ns);
                report.halves[usize::from(asked.due >= self.second_half)].saturating_record(latency_ns);
                report.worst.insert(latency_ns, SlowTick { tick: asked.number, order, late_ns });
                report.answered += 1;
            }
        }
        Ok(true)
    }
}
