//! Frame headers and the mask.
//!
//! ```text
//!  bit  0   1 2 3  4..7    8     9..15        16..                 then
//!      FIN  RSV   opcode  MASK  length 7 bit  length 16/64 bit BE  mask 4 bytes (if MASK), payload
//! ```

use super::codec::WsError;

/// The kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// The next part of a fragmented message.
    Continuation = 0x0,
    /// A text message or its first part.
    Text = 0x1,
    /// A binary message or its first part.
    Binary = 0x2,
    /// The end of the conversation.
    Close = 0x8,
    /// A question that a pong must answer.
    Ping = 0x9,
    /// The answer to a ping, or an unasked heartbeat.
    Pong = 0xA,
}

impl Opcode {
    /// Reports whether this frame controls the connection, and so may stand between the parts of a message.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    fn parse(bits: u8) -> Result<Self, WsError> {
        Ok(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            opcode => return Err(WsError::BadOpcode { opcode }),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub fin: bool,
    pub opcode: Opcode,
    pub mask: Option<[u8; 4]>,
    pub header_bytes: usize,
    pub payload_bytes: u64,
}

/// Reads a header, or returns `None` while it is incomplete. What two bytes show to be wrong is refused at two bytes.
#[inline]
pub(super) fn parse_header(bytes: &[u8]) -> Result<Option<FrameHeader>, WsError> {
    let Some((&[first, second], rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(WsError::ReservedBits { bits: first >> 4 & 0x7 });
    }
    let fin = first & 0x80 != 0;
    let opcode = Opcode::parse(first & 0x0F)?;
    let short = second & 0x7F;
    if opcode.is_control() {
        if !fin {
            return Err(WsError::FragmentedControl { opcode });
        }
        if short > CONTROL_BYTES_MAX {
            return Err(WsError::LongControl { opcode });
        }
    }
    let (payload_bytes, length_bytes) = match short {
        126 => {
            let Some(long) = rest.first_chunk::<2>() else { return Ok(None) };
            let len = u64::from(u16::from_be_bytes(*long));
            if len < 126 {
                return Err(WsError::WastefulLength { len });
            }
            (len, 2)
        }
        127 => {
            let Some(long) = rest.first_chunk::<8>() else { return Ok(None) };
            let len = u64::from_be_bytes(*long);
            if len <= u64::from(u16::MAX) {
                return Err(WsError::WastefulLength { len });
            }
            (len, 8)
        }
        short => (u64::from(short), 0),
    };
    let mut header_bytes = 2 + length_bytes;
    let mut mask = None;
    if second & 0x80 != 0 {
        let Some(&key) = rest.get(length_bytes..).and_then(|rest| rest.first_chunk::<4>()) else { return Ok(None) };
        mask = Some(key);
        header_bytes += 4;
    }
    Ok(Some(FrameHeader { fin, opcode, mask, header_bytes, payload_bytes }))
}

/// Returns the length of the header that [`write_header`] writes.
#[inline]
pub(super) fn header_bytes(payload_bytes: usize, masked: bool) -> usize {
    let length_bytes = match payload_bytes {
        0..=125 => 0,
        126..=65_535 => 2,
        _ => 8,
    };
    2 + length_bytes + if masked { 4 } else { 0 }
}

/// Writes the header of a final frame into exactly [`header_bytes`] bytes.
#[inline]
pub(super) fn write_header(out: &mut [u8], opcode: Opcode, payload_bytes: usize, mask: Option<[u8; 4]>) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out[0] = 0x80 | opcode as u8;
    let end = match payload_bytes {
        0..=125 => {
            out[1] = masked | payload_bytes as u8;
            2
        }
        126..=65_535 => {
            out[1] = masked | 126;
            out[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
            4
        }
        _ => {
            out[1] = masked | 127;
            out[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
            10
        }
    };
    if let Some(key) = mask {
        out[end..end + 4].copy_from_slice(&key);
    }
}

/// Applies or removes a mask, eight bytes at a time.
#[inline]
pub(super) fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// The longest header: 2 bytes, 8 of length, 4 of mask.
pub const FRAME_HEADER_BYTES_MAX: usize = 14;

/// RFC 6455, section 5.5.
pub(super) const CONTROL_BYTES_MAX: u8 = 125;
