//! A WebSocket on a transport: one read, whole messages, writes until the socket is full.

use super::codec::{Message, SendError, WsCodec, WsError};
use crate::net::transport::{Progress, Transport};
use std::io::{self, ErrorKind};

/// An open WebSocket connection.
///
/// A caller takes its time stamps between the calls: after [`Self::fill`] returns bytes and before [`Self::flush`].
pub struct WsConn {
    transport: Transport,
    codec: WsCodec,
}

impl WsConn {
    /// Joins an upgraded transport and its codec.
    pub fn new(transport: Transport, codec: WsCodec) -> Self {
        Self { transport, codec }
    }

    /// Reads once and returns how many bytes came; 0 means that there is nothing now.
    ///
    /// # Errors
    /// Of the socket; [`ErrorKind::UnexpectedEof`] when the peer ended the stream.
    #[inline]
    pub fn fill(&mut self) -> io::Result<usize> {
        let space = self.codec.recv_space();
        debug_assert!(!space.is_empty(), "messages are taken before more is read");
        match self.transport.try_read(space)? {
            Progress::Bytes(len) => {
                self.codec.received(len);
                Ok(len)
            }
            Progress::WouldBlock => Ok(0),
            Progress::Closed => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Returns the next whole message that [`Self::fill`] brought, see [`WsCodec::next_message`].
    ///
    /// # Errors
    /// When the peer broke the protocol.
    #[inline]
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, WsError> {
        self.codec.next_message()
    }

    /// Queues a text message, see [`WsCodec::send_text`].
    ///
    /// # Errors
    /// [`SendError`]; then nothing was queued.
    #[inline]
    pub fn send_text(&mut self, text: &[u8]) -> Result<(), SendError> {
        self.codec.send_text(text)
    }

    /// Queues a text message rendered in place, see [`WsCodec::send_with`].
    ///
    /// # Errors
    /// [`SendError`]; then nothing was queued.
    #[inline]
    pub fn send_with(&mut self, len_max: usize, render: impl FnOnce(&mut [u8]) -> usize) -> Result<(), SendError> {
        self.codec.send_with(len_max, render)
    }

    /// Writes queued bytes until none are left (true) or the socket takes no more (false); the rest is kept.
    ///
    /// # Errors
    /// Of the socket.
    #[inline]
    pub fn flush(&mut self) -> io::Result<bool> {
        while !self.codec.pending().is_empty() {
            match self.transport.try_write(self.codec.pending())? {
                Progress::Bytes(len) => self.codec.sent(len),
                Progress::WouldBlock => return Ok(false),
                Progress::Closed => return Err(ErrorKind::WriteZero.into()),
            }
        }
        self.transport.try_flush()
    }

    /// Returns the codec, for what has no shortcut here.
    pub fn codec(&mut self) -> &mut WsCodec {
        &mut self.codec
    }

    /// Returns the transport, to register it with a poller or to shut it down.
    pub fn transport(&mut self) -> &mut Transport {
        &mut self.transport
    }
}
