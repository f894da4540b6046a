//! WebSocket (RFC 6455): bytes to messages and back, for either role.
//!
//! `frame` reads and writes headers, [`WsCodec`] keeps the state of one connection without I/O, [`WsConn`] joins it to a
//! transport. Extensions (compression) are not spoken. Text is not checked for UTF-8 here: the decoder of the payload
//! reads every byte anyway and refuses what it does not know, a second pass over 48 kB frames would buy nothing.

mod codec;
mod conn;
mod frame;
#[cfg(test)]
mod tests;

pub use codec::{Message, Role, SendError, WsCodec, WsError, WsLimits};
pub use conn::WsConn;
pub use frame::{FRAME_HEADER_BYTES_MAX, Opcode};

/// Fuzz body: any bytes, in any role, split anywhere, give messages or an error, never a panic.
#[doc(hidden)]
pub fn fuzz_frames(data: &[u8]) {
    let limits = WsLimits { recv_bytes: 1024, send_bytes: 256, message_bytes_max: 512 };
    for role in [Role::Client, Role::Server] {
        let mut codec = WsCodec::new(role, limits, 1);
        // The first byte chooses how the rest is split, so that a corpus explores boundaries too.
        let piece_bytes = usize::from(data.first().copied().unwrap_or(0)) + 1;
        'pieces: for piece in data.get(1..).unwrap_or_default().chunks(piece_bytes) {
            let mut rest = piece;
            while !rest.is_empty() {
                let taken = codec.push(rest);
                rest = rest.get(taken..).unwrap_or_default();
                loop {
                    match codec.next_message() {
                        Ok(Some(Message::Text(bytes) | Message::Binary(bytes))) => assert!(bytes.len() <= 512),
                        Ok(Some(Message::Ping(bytes) | Message::Pong(bytes))) => assert!(bytes.len() <= 125),
                        Ok(Some(Message::Close { reason, .. })) => assert!(reason.len() <= 123),
                        Ok(None) => break,
                        Err(_) => break 'pieces,
                    }
                }
                if codec.is_close_received() {
                    break 'pieces;
                }
                let len = codec.pending().len().min(piece_bytes);
                codec.sent(len);
                assert!(taken > 0, "a drained codec has space for a message of the greatest length");
            }
        }
    }
}
