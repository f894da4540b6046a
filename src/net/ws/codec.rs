//! One WebSocket connection without its socket: bytes in, messages out, and back.
//!
//! Allocates: in [`WsCodec::new`] only. An unfragmented message is read where it was received; a fragmented one is assembled in a second
//! fixed buffer. Pings and closes are answered here; a caller sees them only to count them.

use super::frame::{self, CONTROL_BYTES_MAX, FRAME_HEADER_BYTES_MAX, Opcode};
use crate::net::buffer::{RecvBuffer, SendBuffer};
use std::ops::Range;

/// Which end of the connection this is; it decides who masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends masked, receives unmasked.
    Client,
    /// Sends unmasked, receives masked.
    Server,
}

/// Sizes of one connection, fixed when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WsLimits {
    /// Receive buffer. At least `message_bytes_max` and a header; more lets several messages arrive with one read.
    pub recv_bytes: usize,
    /// Send buffer: everything queued and not yet taken by the socket.
    pub send_bytes: usize,
    /// The longest message accepted, whole or assembled.
    pub message_bytes_max: usize,
}

impl Default for WsLimits {
    /// 1 MiB each way: 20 times the longest frame (48 kB) seen in captures.
    fn default() -> Self {
        Self { recv_bytes: 1 << 20, send_bytes: 1 << 20, message_bytes_max: (1 << 20) - FRAME_HEADER_BYTES_MAX }
    }
}

/// One received message; it borrows the codec's buffer until the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text, not yet checked for UTF-8.
    Text(&'a [u8]),
    /// Binary.
    Binary(&'a [u8]),
    /// A ping; its pong is queued already.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The peer closed; the reply is queued already and nothing will follow.
    Close {
        /// The peer's code, if it gave one.
        code: Option<u16>,
        /// The peer's reason, often empty.
        reason: &'a str,
    },
}

/// Why a peer's bytes are not WebSocket. The connection is over: a close frame saying so is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WsError {
    /// RSV bits without an extension.
    #[error("reserved bits {bits:#05b} set without an extension")]
    ReservedBits {
        /// RSV1 to RSV3.
        bits: u8,
    },
    /// An opcode that does not exist.
    #[error("unknown opcode {opcode:#x}")]
    BadOpcode {
        /// The opcode found.
        opcode: u8,
    },
    /// A frame from a server was masked.
    #[error("masked frame from a server")]
    Masked,
    /// A frame from a client was not masked.
    #[error("unmasked frame from a client")]
    Unmasked,
    /// A control frame in parts.
    #[error("fragmented {opcode:?} frame")]
    FragmentedControl {
        /// Which control frame.
        opcode: Opcode,
    },
    /// A control frame longer than 125 bytes.
    #[error("{opcode:?} frame longer than 125 bytes")]
    LongControl {
        /// Which control frame.
        opcode: Opcode,
    },
    /// A length in a longer form than it needs, or beyond 63 bits.
    #[error("length {len} in a longer form than it needs")]
    WastefulLength {
        /// The length found.
        len: u64,
    },
    /// A continuation without a beginning.
    #[error("continuation frame outside a fragmented message")]
    UnexpectedContinuation,
    /// A new message inside a fragmented one.
    #[error("{opcode:?} frame inside a fragmented message")]
    InterruptedFragments {
        /// The opcode found where a continuation was due.
        opcode: Opcode,
    },
    /// A message longer than the limit.
    #[error("message of at least {len} bytes, limit is {max}")]
    MessageTooLong {
        /// Its length as far as it is known.
        len: u64,
        /// [`WsLimits::message_bytes_max`].
        max: usize,
    },
    /// A close code that may not be sent.
    #[error("close code {code} may not be sent")]
    BadCloseCode {
        /// The code found.
        code: u16,
    },
    /// A close payload of one byte, half a code.
    #[error("close frame with half a code")]
    HalfCloseCode,
    /// A close reason that is not UTF-8.
    #[error("close reason is not utf-8 from byte {valid_bytes}")]
    CloseReasonNotUtf8 {
        /// How many bytes of it were valid.
        valid_bytes: usize,
    },
}

impl WsError {
    /// Returns the close code that tells the peer.
    pub fn close_code(self) -> u16 {
        match self {
            Self::MessageTooLong { .. } => 1009,
            Self::CloseReasonNotUtf8 { .. } => 1007,
            _ => 1002,
        }
    }
}

/// Why a message was not queued; nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The send buffer has no room: the peer reads too slowly.
    #[error("send buffer full: {needed} bytes needed, {free} free")]
    Full {
        /// Header and payload.
        needed: usize,
        /// What was free.
        free: usize,
    },
    /// A close was sent or received.
    #[error("connection is closing")]
    Closing,
}

/// The state of one WebSocket connection.
pub struct WsCodec {
    role: Role,
    recv: RecvBuffer,
    send: SendBuffer,
    /// Length of the frame at the head of `recv`, as far as known; tells `recv` when it must make room.
    wanted_bytes: usize,
    message_bytes_max: usize,
    /// Parts of a fragmented message; `message_bytes_max` long.
    parts: Box<[u8]>,
    parts_len: usize,
    /// Whether a fragmented message is under way, and its kind.
    parts_opcode: Option<Opcode>,
    mask_state: u64,
    /// The newest ping that found the send buffer full.
    owed_pong: Option<OwedPong>,
    close_sent: bool,
    close_received: bool,
    failed: Option<WsError>,
}

impl WsCodec {
    /// Makes a codec and allocates its buffers. A receive buffer too short for the longest message is lengthened.
    ///
    /// `mask_seed` seeds the masks of a client. They come from a cheap generator, because a mask does not protect this connection: it
    /// keeps scripts inside a browser from choosing the bytes that an old proxy sees. There is no such script here, and the
    /// payload is ours.
    pub fn new(role: Role, limits: WsLimits, mask_seed: u64) -> Self {
        let recv_bytes = limits.recv_bytes.max(limits.message_bytes_max + FRAME_HEADER_BYTES_MAX);
        Self {
            role,
            recv: RecvBuffer::with_capacity(recv_bytes),
            send: SendBuffer::with_capacity(limits.send_bytes.max(SEND_BYTES_MIN)),
            wanted_bytes: 0,
            message_bytes_max: limits.message_bytes_max,
            parts: vec![0; limits.message_bytes_max].into_boxed_slice(),
            parts_len: 0,
            parts_opcode: None,
            mask_state: mask_seed,
            owed_pong: None,
            close_sent: false,
            close_received: false,
            failed: None,
        }
    }

    /// Returns space to read into. It is never empty once [`Self::next_message`] has returned `None`.
    #[inline]
    pub fn recv_space(&mut self) -> &mut [u8] {
        self.recv.space(self.wanted_bytes)
    }

    /// Accounts for `len` bytes read into [`Self::recv_space`].
    #[inline]
    pub fn received(&mut self, len: usize) {
        self.recv.received(len);
    }

    /// Copies bytes in, as a read would, and returns how many fitted.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let space = self.recv_space();
        let len = bytes.len().min(space.len());
        space[..len].copy_from_slice(&bytes[..len]);
        self.received(len);
        len
    }

    /// Returns the next whole message, or `None` until more bytes arrive.
    ///
    /// # Errors
    /// The same error again and again once the peer broke the protocol.
    ///
    /// # Cost
    /// Constant for an unfragmented frame to a client; a server also unmasks, and fragments are copied once.
    #[inline]
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, WsError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.advance() {
            Ok(None) => Ok(None),
            Ok(Some(Found::Parts(opcode))) => Ok(Some(data_message(opcode, &self.parts[..self.parts_len]))),
            Ok(Some(Found::Frame(opcode, range))) => Ok(Some(data_message(opcode, self.recv.at(range)))),
            Ok(Some(Found::Close(code, range))) => {
                let reason = std::str::from_utf8(self.recv.at(range)).unwrap_or_default(); // `read_close` checked it
                Ok(Some(Message::Close { code, reason }))
            }
            Err(error) => {
                self.failed = Some(error);
                // If this finds no room the peer learns from the end of the stream instead.
                let _ = self.close(error.close_code(), "");
                Err(error)
            }
        }
    }

    /// Works through whole frames until one completes a message. Bounded: every turn consumes a frame of a finite buffer.
    fn advance(&mut self) -> Result<Option<Found>, WsError> {
        while !self.close_received {
            let data = self.recv.data();
            let Some(header) = frame::parse_header(data)? else {
                self.wanted_bytes = FRAME_HEADER_BYTES_MAX;
                return Ok(None);
            };
            match (self.role, header.mask) {
                (Role::Client, Some(_)) => return Err(WsError::Masked),
                (Role::Server, None) => return Err(WsError::Unmasked),
                _ => {}
            }
            let parts_len = if header.opcode == Opcode::Continuation { self.parts_len } else { 0 };
            let payload_bytes = match usize::try_from(header.payload_bytes) {
                Ok(len) if len <= self.message_bytes_max - parts_len => len,
                // Control frames are never longer than 125 bytes, whatever the limit for messages.
                Ok(len) if header.opcode.is_control() => len,
                _ => {
                    let len = header.payload_bytes.saturating_add(parts_len as u64);
                    return Err(WsError::MessageTooLong { len, max: self.message_bytes_max });
                }
            };
            match (header.opcode, self.parts_opcode) {
                (Opcode::Continuation, None) => return Err(WsError::UnexpectedContinuation),
                (opcode @ (Opcode::Text | Opcode::Binary), Some(_)) => {
                    return Err(WsError::InterruptedFragments { opcode });
                }
                _ => {}
            }
            let frame_bytes = header.header_bytes + payload_bytes;
            if data.len() < frame_bytes {
                self.wanted_bytes = frame_bytes;
                return Ok(None);
            }
            let mut range = self.recv.consume(frame_bytes);
            range.start += header.header_bytes;
            if let Some(key) = header.mask {
                frame::apply_mask(self.recv.at_mut(range.clone()), key);
            }
            match header.opcode {
                Opcode::Text | Opcode::Binary if header.fin => return Ok(Some(Found::Frame(header.opcode, range))),
                Opcode::Text | Opcode::Binary => {
                    self.parts_opcode = Some(header.opcode);
                    self.parts_len = 0;
                    self.push_part(range);
                }
                Opcode::Continuation => {
                    self.push_part(range);
                    if header.fin
                        && let Some(opcode) = self.parts_opcode.take()
                    {
                        return Ok(Some(Found::Parts(opcode)));
                    }
                }
                Opcode::Ping => {
                    self.answer_ping(range.clone());
                    return Ok(Some(Found::Frame(Opcode::Ping, range)));
                }
                Opcode::Pong => return Ok(Some(Found::Frame(Opcode::Pong, range))),
                Opcode::Close => return self.read_close(range).map(Some),
            }
        }
        Ok(None)
    }

    fn push_part(&mut self, range: Range<usize>) {
        let part = self.recv.at(range);
        let end = self.parts_len + part.len();
        debug_assert!(end <= self.parts.len(), "the limit is checked before a part is taken");
        if let Some(space) = self.parts.get_mut(self.parts_len..end) {
            space.copy_from_slice(part);
            self.parts_len = end;
        }
    }

    fn answer_ping(&mut self, range: Range<usize>) {
        let mut pong = OwedPong { bytes: [0; CONTROL_BYTES_MAX as usize], len: 0 };
        let ping = self.recv.at(range);
        pong.len = ping.len().min(pong.bytes.len());
        pong.bytes[..pong.len].copy_from_slice(&ping[..pong.len]);
        // Only the newest ping needs an answer (RFC 6455, section 5.5.3), so one slot is enough.
        self.owed_pong = Some(pong);
        self.pay_pong();
    }

    fn pay_pong(&mut self) {
        if let Some(pong) = self.owed_pong.take()
            && self.send_frame(Opcode::Pong, pong.bytes.get(..pong.len).unwrap_or_default()).is_err()
            && !self.close_sent
        {
            self.owed_pong = Some(pong);
        }
    }

    fn read_close(&mut self, range: Range<usize>) -> Result<Found, WsError> {
        let payload = self.recv.at(range.clone());
        let code = match payload {
            [] => None,
            [_] => return Err(WsError::HalfCloseCode),
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                    return Err(WsError::BadCloseCode { code });
                }
                std::str::from_utf8(reason)
                    .map_err(|error| WsError::CloseReasonNotUtf8 { valid_bytes: error.valid_up_to() })?;
                Some(code)
            }
        };
        self.close_received = true;
        if !self.close_sent {
            let reply = code.map(u16::to_be_bytes);
            let _ = self.send_frame(Opcode::Close, reply.as_ref().map_or(&[][..], |bytes| &bytes[..]));
            self.close_sent = true;
        }
        let start = range.start + if code.is_some() { 2 } else { 0 };
        Ok(Found::Close(code, start..range.end))
    }

    /// Queues a text message.
    ///
    /// # Errors
    /// [`SendError`]; then nothing was queued.
    #[inline]
    pub fn send_text(&mut self, text: &[u8]) -> Result<(), SendError> {
        self.send_frame(Opcode::Text, text)
    }

    /// Queues a binary message.
    ///
    /// # Errors
    /// [`SendError`]; then nothing was queued.
    #[inline]
    pub fn send_binary(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.send_frame(Opcode::Binary, bytes)
    }

    /// Queues a ping of at most 125 bytes; longer payloads are cut.
    ///
    /// # Errors
    /// [`SendError`]; then nothing was queued.
    pub fn send_ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.send_frame(Opcode::Ping, &payload[..payload.len().min(CONTROL_BYTES_MAX.into())])
    }

    /// Queues a text message that `render` writes in place: it gets `len_max` bytes and returns how many it used.
    ///
    /// # Errors
    /// [`SendError`] before `render` is called; then nothing was queued.
    ///
    /// # Cost
    /// One pass of masking for a client. When `len_max` needs a longer header than the result does, one move of the payload.
    #[inline]
    pub fn send_with(&mut self, len_max: usize, render: impl FnOnce(&mut [u8]) -> usize) -> Result<(), SendError> {
        self.send_rendered(Opcode::Text, len_max, render)
    }

    fn send_frame(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), SendError> {
        self.send_rendered(opcode, payload.len(), |space| {
            space.copy_from_slice(payload);
            payload.len()
        })
    }

    #[inline]
    fn send_rendered(
        &mut self,
        opcode: Opcode,
        len_max: usize,
        render: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<(), SendError> {
        if self.close_sent {
            return Err(SendError::Closing);
        }
        let masked = self.role == Role::Client;
        let header_max = frame::header_bytes(len_max, masked);
        let needed = header_max + len_max;
        let free = self.send.free();
        let Some(space) = self.send.reserve(needed) else { return Err(SendError::Full { needed, free }) };
        let len = render(&mut space[header_max..]);
        assert!(len <= len_max, "render returns at most what it was given");
        let header = frame::header_bytes(len, masked);
        if header != header_max {
            space.copy_within(header_max..header_max + len, header);
        }
        let mask = masked.then(|| next_mask(&mut self.mask_state));
        frame::write_header(&mut space[..header], opcode, len, mask);
        if let Some(key) = mask {
            frame::apply_mask(&mut space[header..header + len], key);
        }
        self.send.commit(header + len);
        Ok(())
    }

    /// Queues a close frame; messages already queued still go out before it, none after.
    ///
    /// # Errors
    /// [`SendError`]; then nothing was queued.
    pub fn close(&mut self, code: u16, reason: &str) -> Result<(), SendError> {
        let mut payload = [0; CONTROL_BYTES_MAX as usize];
        payload[..2].copy_from_slice(&code.to_be_bytes());
        let mut reason_len = reason.len().min(payload.len() - 2);
        while !reason.is_char_boundary(reason_len) {
            reason_len -= 1;
        }
        payload[2..2 + reason_len].copy_from_slice(&reason.as_bytes()[..reason_len]);
        self.send_frame(Opcode::Close, &payload[..2 + reason_len])?;
        self.close_sent = true;
        Ok(())
    }

    /// Returns the bytes to write next; they always start and end a frame unless [`Self::sent`] cut one.
    #[inline]
    pub fn pending(&self) -> &[u8] {
        self.send.pending()
    }

    /// Accounts for `len` bytes of [`Self::pending`] written.
    #[inline]
    pub fn sent(&mut self, len: usize) {
        self.send.sent(len);
        if self.owed_pong.is_some() {
            self.pay_pong();
        }
    }

    /// Returns how many bytes can still be queued, headers included.
    pub fn send_free(&self) -> usize {
        self.send.free()
    }

    /// Reports whether the peer has closed: no message will follow.
    pub fn is_close_received(&self) -> bool {
        self.close_received
    }

    /// Reports whether both sides have closed, or the peer broke the protocol: once `pending` is written the socket can go.
    pub fn is_finished(&self) -> bool {
        self.failed.is_some() || (self.close_received && self.close_sent)
    }

    /// Queues bytes as they are, for the answer to an upgrade that precedes all frames.
    pub(in crate::net) fn push_raw(&mut self, bytes: &[u8]) -> bool {
        self.send.push(bytes)
    }
}

enum Found {
    Frame(Opcode, Range<usize>),
    Parts(Opcode),
    Close(Option<u16>, Range<usize>),
}

struct OwedPong {
    bytes: [u8; CONTROL_BYTES_MAX as usize],
    len: usize,
}

#[inline]
fn data_message(opcode: Opcode, bytes: &[u8]) -> Message<'_> {
    match opcode {
        Opcode::Binary => Message::Binary(bytes),
        Opcode::Ping => Message::Ping(bytes),
        Opcode::Pong => Message::Pong(bytes),
        Opcode::Text | Opcode::Continuation | Opcode::Close => Message::Text(bytes),
    }
}

/// One step of splitmix64, of which the upper half is the mask.
#[inline]
fn next_mask(state: &mut u64) -> [u8; 4] {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((mixed >> 32) as u32).to_ne_bytes()
}

/// Room for a close and a pong at least, and for the answer to an upgrade.
const SEND_BYTES_MIN: usize = 256;
