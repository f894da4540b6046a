//! One byte stream, whatever carries it: TCP, TLS over TCP, or a pipe in memory.
//!
//! Blocks: never; "would block" is a value, [`Progress::WouldBlock`]. Allocates: TLS does, per record sealed or opened.

use super::memory::PipeEnd;
use mio::{Interest, Registry, Token, event::Source, net::TcpStream};
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection, pki_types::ServerName};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr},
    sync::Arc,
};

/// What one attempt to read or write achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This many bytes moved; 0 only when none were asked for.
    Bytes(usize),
    /// Nothing now; try again later.
    WouldBlock,
    /// The stream has ended; nothing will move again.
    Closed,
}

/// A non-blocking byte stream.
pub enum Transport {
    /// TCP without encryption.
    Plain(TcpStream),
    /// TLS, of either role, over TCP.
    Tls(Box<TlsStream>),
    /// One end of a pipe in memory, for virtual time.
    Memory(PipeEnd),
}

impl Transport {
    /// Starts a TCP connection; [`Self::try_connected`] says when it stands.
    pub fn connect(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self::Plain(TcpStream::connect(addr)?))
    }

    /// Takes over a connected socket and sets `TCP_NODELAY`: an order never waits for the ack of the previous one.
    pub fn from_tcp(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        Ok(Self::Plain(tcp))
    }

    /// Reports whether the TCP connection stands, and sets `TCP_NODELAY` once it does.
    pub fn try_connected(&mut self) -> io::Result<bool> {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &mut tls.tcp,
            Self::Memory(_) => return Ok(true),
        };
        if let Some(error) = tcp.take_error()? {
            return Err(error);
        }
        match tcp.peer_addr() {
            Ok(_) => tcp.set_nodelay(true).map(|()| true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Starts TLS as a client on a plain TCP stream.
    ///
    /// # Errors
    /// When `self` is not plain TCP, or the configuration refuses the name.
    pub fn into_tls_client(self, config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        self.into_tls(tls.into())
    }

    /// Starts TLS as a server on a plain TCP stream.
    ///
    /// # Errors
    /// When `self` is not plain TCP, or the configuration is unusable.
    pub fn into_tls_server(self, config: Arc<ServerConfig>) -> io::Result<Self> {
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        self.into_tls(tls.into())
    }

    fn into_tls(self, tls: Connection) -> io::Result<Self> {
        match self {
            Self::Plain(tcp) => Ok(Self::Tls(Box::new(TlsStream { tcp, tls, ended: false }))),
            _ => Err(io::Error::new(ErrorKind::InvalidInput, "tls runs over plain tcp only")),
        }
    }

    /// Reports whether a TLS handshake is still under way; reads and flushes advance it.
    pub fn is_handshaking(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.tls.is_handshaking())
    }

    /// Reads once: one system call on plain TCP, at most one read (and the writes that TLS itself asks for) with TLS.
    pub fn try_read(&mut self, buf: &mut [u8]) -> io::Result<Progress> {
        match self {
            Self::Plain(tcp) => progress(tcp.read(buf), buf.is_empty()),
            Self::Tls(tls) => tls.try_read(buf),
            Self::Memory(end) => Ok(end.try_read(buf)),
        }
    }

    /// Writes once. With TLS, bytes taken may still sit in its buffer: [`Self::try_flush`] moves them on.
    pub fn try_write(&mut self, buf: &[u8]) -> io::Result<Progress> {
        match self {
            Self::Plain(tcp) => progress(tcp.write(buf), buf.is_empty()),
            Self::Tls(tls) => tls.try_write(buf),
            Self::Memory(end) => Ok(end.try_write(buf)),
        }
    }

    /// Hands sealed TLS records to the socket; returns true when none is left. Always true without TLS.
    pub fn try_flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Tls(tls) => tls.write_records(),
            _ => Ok(true),
        }
    }

    /// Ends the stream in both directions, with a TLS close notification where one is due. Errors are of no use here.
    pub fn shutdown(&mut self) {
        match self {
            Self::Plain(tcp) => drop(tcp.shutdown(Shutdown::Both)),
            Self::Tls(tls) => {
                tls.tls.send_close_notify();
                drop(tls.write_records());
                drop(tls.tcp.shutdown(Shutdown::Both));
            }
            Self::Memory(end) => end.close(),
        }
    }

    /// Registers the socket with a poller of the caller, for threads that may sleep; a pipe in memory has nothing to register.
    ///
    /// Readiness is edge-triggered: read until [`Progress::WouldBlock`] before sleeping.
    pub fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.register(registry, token, interest),
            Self::Tls(tls) => tls.tcp.register(registry, token, interest),
            Self::Memory(_) => Ok(()),
        }
    }

    /// Undoes [`Self::register`].
    pub fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.deregister(registry),
            Self::Tls(tls) => tls.tcp.deregister(registry),
            Self::Memory(_) => Ok(()),
        }
    }
}

/// TLS of either role over TCP.
pub struct TlsStream {
    tcp: TcpStream,
    tls: Connection,
    /// The peer closed its side; what is already decrypted can still be read.
    ended: bool,
}

impl TlsStream {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<Progress> {
        if let Progress::Bytes(len) = self.read_decrypted(buf)? {
            return Ok(Progress::Bytes(len));
        }
        if self.ended {
            return Ok(Progress::Closed);
        }
        match progress(self.tls.read_tls(&mut self.tcp), false)? {
            Progress::WouldBlock => {
                self.write_records()?;
                return Ok(Progress::WouldBlock);
            }
            Progress::Closed => self.ended = true,
            Progress::Bytes(_) => {}
        }
        if let Err(error) = self.tls.process_new_packets() {
            // The alert that tells the peer why is worth one attempt; the error itself is what matters.
            drop(self.write_records());
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        self.write_records()?;
        match self.read_decrypted(buf)? {
            Progress::WouldBlock if self.ended => Ok(Progress::Closed),
            read => Ok(read),
        }
    }

    fn read_decrypted(&mut self, buf: &mut [u8]) -> io::Result<Progress> {
        match self.tls.reader().read(buf) {
            // A close notification without a following end of the TCP stream.
            Ok(0) if !buf.is_empty() => {
                self.ended = true;
                Ok(Progress::Closed)
            }
            // The TCP stream ended without a close notification. Every message over it is length-delimited, so a truncated one is
            // noticed by its codec; many venues never send the notification.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.ended = true;
                Ok(Progress::Closed)
            }
            read => progress(read, buf.is_empty()),
        }
    }

    fn try_write(&mut self, buf: &[u8]) -> io::Result<Progress> {
        let taken = self.tls.writer().write(buf)?;
        self.write_records()?;
        if taken == 0 && !buf.is_empty() {
            return Ok(Progress::WouldBlock);
        }
        Ok(Progress::Bytes(taken))
    }

    fn write_records(&mut self) -> io::Result<bool> {
        while self.tls.wants_write() {
            match progress(self.tls.write_tls(&mut self.tcp), false)? {
                Progress::Bytes(_) => {}
                Progress::WouldBlock => return Ok(false),
                Progress::Closed => return Err(ErrorKind::WriteZero.into()),
            }
        }
        Ok(true)
    }
}

/// Sorts the outcome of a system call; an interrupted one counts as "would block", the caller polls again anyway.
fn progress(outcome: io::Result<usize>, asked_nothing: bool) -> io::Result<Progress> {
    match outcome {
        Ok(0) if !asked_nothing => Ok(Progress::Closed),
        Ok(len) => Ok(Progress::Bytes(len)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(Progress::WouldBlock)
        }
        Err(error) => Err(error),
    }
}

/// Unsent plain text and records that one TLS connection may hold: some full records of 16 KiB.
const TLS_BUFFER_BYTES: usize = 256 * 1024;
