//! The floor: the same sockets, sizes, connection history, schedule and pinning with an engine that thinks nothing.
//!
//! After the same introductions as the engine's, nothing but system calls and a frame's length stands between a tick and
//! the order that answers it: bytes of a tick in on one connection, bytes of an order that was rendered before out on
//! another, answers read and thrown away. What an engine takes beyond this is its own.

use std::sync::mpsc::Sender;

use super::strategy::{order_code, order_px, order_side};
use super::traffic::write_digits;
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

/// A frame that carries an order, rendered once; only the digits that name the tick change.
struct Rendered {
    frame: Vec<u8>,
    code_at: usize,
    code_len: usize,
}

impl Rendered {
    fn new(table: &InstrumentTable) -> Result<Self, BenchError> {
        let updates = 2;
        let spec = table.get(InstrumentId(0)).ok_or(BenchError::NoInstrument)?;
        let px = order_px(updates, [crate::types::Ticks::new(600_000), crate::types::Ticks::new(600_001)]);
        let command = Command {
            kind: CommandKind::New,
            side: order_side(updates),
            tif: TimeInForce::ImmediateOrCancel,
            reduce_only: false,
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
        let text = &text[..len];
        // A client's frame; the mask of zeros leaves the text as it is and has the length of any other.
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend_from_slice(&(len as u16).to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        let code = spec.lot.text(order_code(updates).get());
        let key = format!("\"qty\":\"{code}\"");
        let at = text.windows(key.len()).position(|window| window == key.as_bytes()).ok_or(BenchError::NoInstrument)?;
        let code_at = frame.len() + at + 7;
        frame.extend_from_slice(text);
        Ok(Self { frame, code_at, code_len: code.len() })
    }

    /// The frame that answers update number `updates`.
    #[inline]
    fn answer(&mut self, updates: u64) -> &[u8] {
        // One digit, the point, three digits: lots are thousandths.
        let mut digits = [0; 4];
        write_digits(order_code(updates).get() as u64, &mut digits);
        let code = &mut self.frame[self.code_at..self.code_at + self.code_len];
        code[0] = digits[0];
        code[2..5].copy_from_slice(&digits[1..]);
        &self.frame
    }
}

/// Length of the frame that answers a tick, in bytes, the same for every tick.
///
/// # Errors
/// If the table is empty.
pub(super) fn order_frame_bytes(table: &InstrumentTable) -> Result<usize, BenchError> {
    Ok(Rendered::new(table)?.frame.len())
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

/// The null engine as a duty, so that its thread is the engine's: same pinning, same idling.
pub struct FloorDuty {
    public: Session,
    trade: Session,
    private: Session,
    is_bare: bool,
    order: Rendered,
    frames: FrameCounter,
    buffer: Box<[u8]>,
    updates: u64,
    failed: Option<BenchError>,
    out: Sender<Result<u64, BenchError>>,
}

impl FloorDuty {
    /// Makes a null engine that connects to `peer`; `out` gets the number of its orders, or why it failed.
    ///
    /// # Errors
    /// If it cannot connect, or the table is empty.
    pub fn new(
        peer: &Peer,
        table: &InstrumentTable,
        topics: &[String],
        has_snapshot: bool,
        out: Sender<Result<u64, BenchError>>,
    ) -> Result<Self, BenchError> {
        let lines = |topics: &[String]| -> Vec<Vec<u8>> {
            let messages = subscribe(topics, crate::types::Product::Linear).unwrap_or_default();
            messages.into_iter().map(String::into_bytes).collect()
        };
        let auth = br#"{"op":"auth","args":["bench",1700000000000,"4d47919ccdbd7704876a1afe5e2f16a4e66c8e74ab1c3f71d8077bed84919266"]}"#.to_vec();
        let subscriptions = lines(topics);
        let to_hear = subscriptions.len() + usize::from(has_snapshot);
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
            order: Rendered::new(table)?,
            frames: FrameCounter::default(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            // The snapshot was the first.
            updates: 1,
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

    /// Reads each connection once, as the engine does, and answers each tick.
    #[inline]
    fn echo(&mut self) -> Result<usize, BenchError> {
        let Self { public, trade, private, order, frames, buffer, updates, .. } = self;
        let (Some(public), Some(trade), Some(private)) = (public.transport(), trade.transport(), private.transport())
        else {
            return Err(BenchError::LinkLost);
        };
        let mut work = 0;
        if let Progress::Bytes(len) = public.try_read(buffer)? {
            for _ in 0..frames.count(&buffer[..len]) {
                *updates += 1;
                write_all(trade, order.answer(*updates))?;
            }
            work += 1;
        }
        for transport in [trade, private] {
            work += usize::from(matches!(transport.try_read(buffer)?, Progress::Bytes(_)));
        }
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
        let orders = self.updates - 1;
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
    use crate::bench::traffic::Traffic;

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
    fn the_rendered_order_names_each_tick() {
        let traffic = Traffic::generated(1000, 296, 1);
        let mut order = Rendered::new(traffic.table()).unwrap();
        let len = order.frame.len();
        for updates in [2, 3, 999, 8191, 8192, 20_000] {
            let code = traffic.table().get(InstrumentId(0)).unwrap().lot.text(order_code(updates).get());
            let frame = order.answer(updates).to_vec();
            assert_eq!(frame.len(), len);
            let text = String::from_utf8_lossy(&frame[8..]).into_owned();
            assert!(text.contains(&format!("\"qty\":\"{code}\"")), "{text}");
        }
    }
}
