//! The accepting side: a listener that yields transports, and connections that start as HTTP and may become WebSockets.

use super::{
    http::{HttpCodec, HttpError, Request, Upgrade},
    transport::{Progress, Transport},
    ws::{SendError, WsConn, WsLimits},
};
use mio::net::TcpListener;
use rustls::ServerConfig;
use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::Arc,
};

/// A non-blocking listening socket, with or without TLS.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

impl Listener {
    /// Listens on `addr`; port 0 lets the system choose, see [`Self::local_addr`].
    pub fn bind(addr: SocketAddr, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        Ok(Self { tcp: TcpListener::bind(addr)?, tls })
    }

    /// Returns the address that clients connect to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Returns the next waiting connection, or `None` when there is none.
    ///
    /// # Errors
    /// Of the socket; a connection that died while waiting is one, so callers count and go on.
    pub fn accept(&mut self) -> io::Result<Option<Transport>> {
        let tcp = match self.tcp.accept() {
            Ok((tcp, _)) => tcp,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(None),
            Err(error) => return Err(error),
        };
        let plain = Transport::from_tcp(tcp)?;
        match &self.tls {
            Some(config) => plain.into_tls_server(Arc::clone(config)).map(Some),
            None => Ok(Some(plain)),
        }
    }

    /// Returns the socket, to register it with a poller.
    pub fn source(&mut self) -> &mut TcpListener {
        &mut self.tcp
    }
}

/// The server side of an HTTP connection.
pub struct HttpConn {
    transport: Transport,
    codec: HttpCodec,
}

impl HttpConn {
    /// Joins an accepted transport and a codec.
    pub fn new(transport: Transport, codec: HttpCodec) -> Self {
        Self { transport, codec }
    }

    /// Reads once and returns how many bytes came; 0 means that there is nothing now.
    ///
    /// # Errors
    /// Of the socket; [`ErrorKind::UnexpectedEof`] when the peer ended the stream.
    pub fn fill(&mut self) -> io::Result<usize> {
        match self.transport.try_read(self.codec.recv_space())? {
            Progress::Bytes(len) => {
                self.codec.received(len);
                Ok(len)
            }
            Progress::WouldBlock => Ok(0),
            Progress::Closed => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Returns the next whole request, see [`HttpCodec::next_request`].
    ///
    /// # Errors
    /// When the bytes are not acceptable HTTP.
    pub fn next_request(&mut self) -> Result<Option<Request<'_>>, HttpError> {
        self.codec.next_request()
    }

    /// Queues an answer, see [`HttpCodec::respond`].
    ///
    /// # Errors
    /// [`SendError::Full`]; then nothing was queued.
    pub fn respond(&mut self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Result<(), SendError> {
        self.codec.respond(status, headers, body)
    }

    /// Writes queued bytes until none are left (true) or the socket takes no more (false).
    ///
    /// # Errors
    /// Of the socket.
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

    /// Grants an upgrade and goes on as a WebSocket; flush it to send the answer.
    pub fn upgrade(self, upgrade: &Upgrade, limits: WsLimits) -> WsConn {
        WsConn::new(self.transport, self.codec.into_ws(upgrade, limits))
    }
}
