//! The floor: the same sockets, sizes, connection history, schedule and pinning with an engine that thinks nothing.
//!
//! After the same introductions as the engine's, nothing but system calls and a frame's length stands between a tick and
//! the order that answers it: bytes of a tick in on one connection, bytes of an order that was rendered before out on
//! another, answers read and thrown away. What an engine takes beyond this is its own.

use std::sync::mpsc::Sender;

use super::strategy::{order_code, order_px, order_side};
use super::traffic::Traffic;
use super::{BenchError, Peer};
use crate::net::{ClientState, Message, Progress, Transport, WsClient, WsConn, WsLimits};
use crate::runtime::{Duty, DutyReport};
use crate::types::{
    ClientOrderId, Command, CommandKind, CommandStamps, InstrumentId, InstrumentTable, Nanos, TimeInForce,
};
use crate::venue::bybit::encode::{PRIVATE_TOPICS, subscribe};
use crate::venue::bybit::{ORDER_BYTES_MAX, OrderEncoder};

/// Bytes of a read; many ticks.
const READ_BYTES: usize = 1 << 16;

/// Renders a frame that carries an order, as long as the engine's. It is the same for every tick, so that the generator has
/// to take these orders in the order in which it asked.
fn order_frame(table: &InstrumentTable) -> Result<Vec<u8>, BenchError> {
    let updates = 2;
    let px = order_px(updates, [crate::types::Ticks::new(600_000), crate::types::Ticks::new(600_001)]);
    let command = Command {
        kind: CommandKind::New,
        side: order_side(updates),
        tif: TimeInForce::ImmediateOrCancel,
        reduce_only: false,
        trigger: None,
        instrument: InstrumentId(0),
        client_id: ClientOrderId(1),
        request: 1,
        px,
        qty: order_code(updates),
        at: Nanos::ZERO,
        stamps: CommandStamps::default(),
    };
    let mut text = [0; ORDER_BYTES_MAX];
    let len = OrderEncoder::new(table, 1, 5000)
        .request(&command, 1_700_000_000_000, &mut text)
        .map_err(|error| BenchError::Io(std::io::Error::other(error)))?;
    // A client's frame; the mask of zeros leaves the text as it is and has the length of any other.
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend_from_slice(&(len as u16).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&text[..len]);
    Ok(frame)
}

/// Length of the frame that answers a tick, in bytes, the same for every tick.
///
/// # Errors
/// If the table is empty.
pub(super) fn order_frame_bytes(table: &InstrumentTable) -> Result<usize, BenchError> {
    Ok(order_frame(table)?.len())
}

/// Counts whole frames in a stream of bytes that a server sends.
#[derive(Default)]
struct FrameCounter {
    buffer: Vec<u8>,
    /// Bytes of the current frame that are still to come.
    skip: usize,
}

impl FrameCounter {
    /// Takes bytes as they were read; returns how many frames end in them.
    #[inline]
    fn count(&mut self, bytes: &[u8]) -> u64 {
        let mut rest = bytes;
        let mut frames = 0;
        loop {
            let step = self.skip.min(rest.len());
            self.skip -= step;
            rest = &rest[step..];
            if step > 0 && self.skip == 0 {
                frames += 1;
            }
            if rest.is_empty() {
                return frames;
            }
            // A header may be split between two reads.
            while !rest.is_empty() && frame_bytes(&self.buffer).is_none() {
                self.buffer.push(rest[0]);
                rest = &rest[1..];
            }
            let Some(len) = frame_bytes(&self.buffer) else { return frames };
            self.skip = len - self.buffer.len();
            self.buffer.clear();
            if self.skip == 0 {
                frames += 1;
            }
        }
    }
}

/// Length of the frame that starts with these bytes, its header included, once they tell it.
fn frame_bytes(header: &[u8]) -> Option<usize> {
    match (header.get(1)? & 0x7f, header) {
        (126, [_, _, high, low, ..]) => Some(4 + usize::from(u16::from_be_bytes([*high, *low]))),
        (127, [_, _, len @ ..]) => Some(10 + usize::try_from(u64::from_be_bytes(len.try_into().ok()?)).ok()?),
        (126 | 127, _) => None,
        (len, _) => Some(2 + usize::from(len)),
    }
}

/// One connection and what it says to introduce itself.
struct Session {
    client: WsClient,
    introduction: Vec<Vec<u8>>,
    /// Messages to be heard before it may go on with bare bytes.
    to_hear: usize,
}

impl Session {
    fn new(peer: &Peer, path: &str, introduction: Vec<Vec<u8>>, to_hear: usize, seed: u64) -> Result<Self, BenchError> {
        let client = WsClient::connect(&peer.url(path)?, peer.tls.clone(), WsLimits::default(), seed)?;
        Ok(Self { client, introduction, to_hear })
    }

    /// Advances the introduction; returns whether it is done.
    fn advance(&mut self) -> Result<bool, BenchError> {
        match self.client.poll() {
            ClientState::Open => {}
            ClientState::Closed(reason) => return Err(std::io::Error::other(reason).into()),
            _ => return Ok(false),
        }
        let Some(conn) = self.client.conn() else { return Ok(false) };
        for message in self.introduction.drain(..) {
            conn.send_text(&message).map_err(std::io::Error::other)?;
        }
        conn.flush()?;
        conn.fill()?;
        while let Some(message) = conn.next_message().map_err(std::io::Error::other)? {
            if let Message::Text(_) = message {
                self.to_hear = self.to_hear.saturating_sub(1);
            }
        }
        Ok(self.to_hear == 0)
    }

    fn transport(&mut self) -> Option<&mut Transport> {
        self.client.conn().map(WsConn::transport)
    }
}

/// Which ticks ask for an order: a null engine does not read them, so it is told beforehand.
struct Asks(Option<Box<[bool]>>);

impl Asks {
    fn of(traffic: &Traffic) -> Self {
        // Generated ones all do, without end.
        if traffic.is_generated() {
            return Self(None);
        }
        let mut traffic = traffic.clone();
        let mut asks = Vec::new();
        while let Some(tick) = traffic.tick(asks.len() as u64) {
            asks.push(tick.expected.is_some());
        }
        Self(Some(asks.into_boxed_slice()))
    }

    #[inline]
    fn at(&self, tick: usize) -> bool {
        self.0.as_ref().is_none_or(|asks| asks.get(tick).copied().unwrap_or(false))
    }
}

/// The null engine as a duty, so that its thread is the engine's: same pinning, same idling.
pub struct FloorDuty {
    public: Session,
    trade: Session,
    private: Session,
    is_bare: bool,
    order: Vec<u8>,
    /// Which tick asks for an order.
    asks: Asks,
    frames: FrameCounter,
    buffer: Box<[u8]>,
    /// Ticks that came, and orders that answered them.
    ticks: usize,
    orders: u64,
    is_trades_turn: bool,
    failed: Option<BenchError>,
    out: Sender<Result<u64, BenchError>>,
}

impl FloorDuty {
    /// Makes a null engine that connects to `peer` to answer `traffic`; `out` gets the number of its orders, or why it failed.
    ///
    /// # Errors
    /// If it cannot connect, or there is no instrument.
    pub fn new(peer: &Peer, traffic: &Traffic, out: Sender<Result<u64, BenchError>>) -> Result<Self, BenchError> {
        let lines = |topics: &[String]| -> Vec<Vec<u8>> {
            let messages = subscribe(topics, crate::types::Product::Linear).unwrap_or_default();
            messages.into_iter().map(String::into_bytes).collect()
        };
        let auth = br#"{"op":"auth","args":["bench",1700000000000,"4d47919ccdbd7704876a1afe5e2f16a4e66c8e74ab1c3f71d8077bed84919266"]}"#.to_vec();
        let subscriptions = lines(traffic.topics());
        let to_hear = subscriptions.len() + usize::from(!traffic.snapshot().is_empty());
        let public = Session::new(peer, "/v5/public/linear", subscriptions, to_hear, 1)?;
        let trade = Session::new(peer, "/v5/trade", vec![auth.clone()], 1, 2)?;
        let mut introduction = vec![auth];
        introduction.extend(lines(&PRIVATE_TOPICS.map(str::to_owned)));
        let private = Session::new(peer, "/v5/private", introduction, 2, 3)?;
        Ok(Self {
            public,
            trade,
            private,
            is_bare: false,
            order: order_frame(traffic.table())?,
            asks: Asks::of(traffic),
            frames: FrameCounter::default(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            ticks: 0,
            orders: 0,
            is_trades_turn: false,
            failed: None,
            out,
        })
    }

    fn introduce(&mut self) -> Result<(), BenchError> {
        let is_done = [&mut self.public, &mut self.trade, &mut self.private]
            .into_iter()
            .try_fold(true, |all, session| Ok::<_, BenchError>(session.advance()? && all))?;
        self.is_bare = is_done;
        Ok(())
    }

    /// Reads market data, and the other two connections in turns, as the engine does on one thread, and answers each tick.
    #[inline]
    fn echo(&mut self) -> Result<usize, BenchError> {
        let Self { public, trade, private, order, asks, frames, buffer, ticks, orders, is_trades_turn, .. } = self;
        let (Some(public), Some(trade), Some(private)) = (public.transport(), trade.transport(), private.transport())
        else {
            return Err(BenchError::LinkLost);
        };
        let mut work = 0;
        if let Progress::Bytes(len) = public.try_read(buffer)? {
            for _ in 0..frames.count(&buffer[..len]) {
                if asks.at(*ticks) {
                    write_all(trade, order)?;
                    *orders += 1;
                }
                *ticks += 1;
            }
            work += 1;
        }
        *is_trades_turn = !*is_trades_turn;
        let quiet = if *is_trades_turn { trade } else { private };
        work += usize::from(matches!(quiet.try_read(buffer)?, Progress::Bytes(_)));
        Ok(work)
    }
}

/// Writes all of it, waiting for room if the socket is full: a floor that lost bytes would measure nothing.
#[inline]
fn write_all(transport: &mut Transport, mut bytes: &[u8]) -> Result<(), BenchError> {
    while !bytes.is_empty() {
        match transport.try_write(bytes)? {
            Progress::Bytes(len) => bytes = &bytes[len..],
            Progress::WouldBlock => std::thread::yield_now(),
            Progress::Closed => return Err(BenchError::LinkLost),
        }
    }
    Ok(())
}

impl Duty for FloorDuty {
    fn name(&self) -> &'static str {
        "floor"
    }

    #[inline]
    fn poll(&mut self, _now: Nanos) -> usize {
        if self.failed.is_some() {
            return 0;
        }
        let outcome = if self.is_bare { self.echo() } else { self.introduce().map(|()| 0) };
        outcome.unwrap_or_else(|error| {
            self.failed = Some(error);
            0
        })
    }

    fn finish(self: Box<Self>) -> DutyReport {
        // The generator ends the connections when it has all it wants, so a loss at the end says nothing.
        let orders = self.orders;
        let outcome = match self.failed {
            Some(error) if orders == 0 => Err(error),
            _ => Ok(orders),
        };
        // Nobody listens any more only if the run was given up.
        let _ = self.out.send(outcome);
        DutyReport::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_however_they_are_split() {
        let mut stream = Vec::new();
        for len in [0usize, 5, 125, 126, 300, 70_000] {
            match len {
                0..=125 => stream.extend([0x81, len as u8]),
                126..=65_535 => {
                    stream.extend([0x81, 126]);
                    stream.extend((len as u16).to_be_bytes());
                }
                _ => {
                    stream.extend([0x81, 127]);
                    stream.extend((len as u64).to_be_bytes());
                }
            }
            stream.resize(stream.len() + len, 7);
        }
        for chunk in [1, 2, 3, 7, 1000, stream.len()] {
            let mut counter = FrameCounter::default();
            let frames: u64 = stream.chunks(chunk).map(|bytes| counter.count(bytes)).sum();
            assert_eq!(frames, 6, "in chunks of {chunk}");
        }
    }

    #[test]
    fn the_order_is_as_long_as_the_engines() {
        let traffic = Traffic::generated(1000, 296, 1);
        let frame = order_frame(traffic.table()).unwrap();
        let text = String::from_utf8_lossy(&frame[8..]).into_owned();
        let code = traffic.table().get(InstrumentId(0)).unwrap().lot.text(order_code(2).get());
        assert!(text.contains(&format!("\"qty\":\"{code}\"")), "{text}");
        assert_eq!(usize::from(u16::from_be_bytes([frame[2], frame[3]])), text.len());
        assert_eq!(order_frame_bytes(traffic.table()).unwrap(), frame.len());
    }

    #[test]
    fn ticks_that_ask_for_nothing_are_told_apart() {
        let asks = Asks(Some(Box::new([true, false])));
        assert_eq!([0, 1, 2].map(|tick| asks.at(tick)), [true, false, false]);
        assert!(Asks::of(&Traffic::generated(1000, 296, 1)).at(1_000_000));
    }
}
