//! A WebSocket client as a polled state machine: `Connecting → Tls → Upgrading → Open → Closed`.
//!
//! Blocks: only where [`WsClient::connect`] resolves a host name (never for an IP address). Allocates: until it is open. Deadlines
//! and reconnection are left to callers, who know the time and the venue's rules.

use super::{
    http::{self, HEAD_BYTES_MAX, HttpError},
    transport::{Progress, Transport},
    ws::{Role, WsCodec, WsConn, WsError, WsLimits},
};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    io::{self, ErrorKind},
    net::ToSocketAddrs,
    sync::Arc,
};

/// The parts of a `ws://` or `wss://` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsUrl {
    /// Whether TLS is asked for.
    pub tls: bool,
    /// Host name or IP address, without brackets.
    pub host: String,
    /// Port, by default 80 or 443.
    pub port: u16,
    /// Path and query, at least `/`.
    pub target: String,
}

/// Why an address is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is not ws://host[:port][/path] or wss://…: {why}")]
pub struct WsUrlError {
    /// The text found.
    pub url: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl WsUrl {
    /// Parses `ws://host[:port][/path][?query]`, or `wss`.
    ///
    /// # Errors
    /// When a part is missing, unknown, or could break out of the request's head.
    pub fn parse(url: &str) -> Result<Self, WsUrlError> {
        let error = |why| WsUrlError { url: url.to_owned(), why };
        let (tls, rest) = match (url.strip_prefix("ws://"), url.strip_prefix("wss://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(error("unknown scheme")),
        };
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(error("characters outside visible ascii"));
        }
        if rest.contains(['@', '#']) {
            return Err(error("user names and fragments have no meaning here"));
        }
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').or(port.is_empty().then_some(""))),
            None => authority.split_once(':').map_or((authority, Some("")), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return Err(error("no host"));
        }
        let port = match port {
            Some("") if tls => 443,
            Some("") => 80,
            port => port.and_then(|port| port.parse().ok()).ok_or_else(|| error("bad port"))?,
        };
        Ok(Self { tls, host: host.to_owned(), port, target })
    }

    /// Returns the `Host` header.
    fn host_header(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (false, 80) | (true, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// TCP is being established.
    Connecting,
    /// The TLS handshake is under way.
    Tls,
    /// The upgrade is asked for.
    Upgrading,
    /// Messages flow.
    Open,
    /// It is over, and why.
    Closed(CloseReason),
}

/// Why a client is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The socket, or TLS, failed.
    #[error("socket: {0}")]
    Io(ErrorKind),
    /// The upgrade was refused or malformed.
    #[error("upgrade: {0}")]
    Http(#[from] HttpError),
    /// The peer broke the protocol.
    #[error("peer broke the protocol: {0}")]
    Ws(#[from] WsError),
    /// The peer closed in order, with this code.
    #[error("closed by the peer with code {code:?}")]
    Peer {
        /// The peer's code, if it gave one.
        code: Option<u16>,
    },
    /// The caller closed.
    #[error("closed by us")]
    Local,
}

impl From<io::Error> for CloseReason {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// One client connection, from connecting to closed.
pub struct WsClient {
    phase: Phase,
    limits: WsLimits,
    seed: u64,
}

enum Phase {
    Setup(Box<Setup>),
    Open(Box<WsConn>),
    Closed(CloseReason),
}

/// What is needed until the connection is open.
struct Setup {
    transport: Transport,
    step: ClientState,
    /// Taken when TCP stands.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    request: String,
    request_sent: usize,
    accept: String,
    head: Vec<u8>,
    head_len: usize,
}

impl WsClient {
    /// Starts to connect. `tls` is needed for `wss`; `seed` feeds the upgrade key and the masks.
    ///
    /// # Errors
    /// When the host does not resolve, or `wss` comes without a TLS configuration.
    pub fn connect(url: &WsUrl, tls: Option<Arc<ClientConfig>>, limits: WsLimits, seed: u64) -> io::Result<Self> {
        let addr = (url.host.as_str(), url.port)
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::new(ErrorKind::NotFound, "host has no address"))?;
        let tls = match (url.tls, tls) {
            (false, _) => None,
            (true, Some(config)) => {
                let name = ServerName::try_from(url.host.clone()).map_err(io::Error::other)?;
                Some((config, name))
            }
            (true, None) => return Err(io::Error::new(ErrorKind::InvalidInput, "wss needs a tls configuration")),
        };
        Ok(Self::start(Transport::connect(addr)?, tls, url, limits, seed))
    }

    /// Starts the upgrade on a transport that exists already, such as a pipe in memory.
    pub fn over(transport: Transport, url: &WsUrl, limits: WsLimits, seed: u64) -> Self {
        Self::start(transport, None, url, limits, seed)
    }

    fn start(
        transport: Transport,
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
        url: &WsUrl,
        limits: WsLimits,
        seed: u64,
    ) -> Self {
        // The key only proves that the answer is to this request; it is no secret.
        let mut key = [0; 16];
        key[..8].copy_from_slice(&seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        key[8..].copy_from_slice(&seed.to_be_bytes());
        let (request, accept) = http::upgrade_request(&url.host_header(), &url.target, key);
        let setup = Setup {
            transport,
            step: ClientState::Connecting,
            tls,
            request,
            request_sent: 0,
            accept,
            head: vec![0; HEAD_BYTES_MAX],
            head_len: 0,
        };
        Self { phase: Phase::Setup(Box::new(setup)), limits, seed }
    }

    /// Returns how far the connection is.
    pub fn state(&self) -> ClientState {
        match &self.phase {
            Phase::Setup(setup) => setup.step,
            Phase::Open(_) => ClientState::Open,
            Phase::Closed(reason) => ClientState::Closed(*reason),
        }
    }

    /// Advances the set-up as far as it goes without blocking, and returns the state. Does nothing once open.
    pub fn poll(&mut self) -> ClientState {
        if let Phase::Setup(setup) = &mut self.phase {
            match setup.advance() {
                Ok(None) => {}
                Ok(Some(head_bytes)) => self.open(head_bytes),
                Err(reason) => self.phase = Phase::Closed(reason),
            }
        }
        self.state()
    }

    fn open(&mut self, head_bytes: usize) {
        let Phase::Setup(setup) = std::mem::replace(&mut self.phase, Phase::Closed(CloseReason::Local)) else { return };
        let early = setup.head.get(head_bytes..setup.head_len).unwrap_or_default();
        let limits = WsLimits { recv_bytes: self.limits.recv_bytes.max(early.len()), ..self.limits };
        let mut codec = WsCodec::new(Role::Client, limits, self.seed);
        let taken = codec.push(early);
        debug_assert_eq!(taken, early.len(), "the buffer was made for these bytes");
        self.phase = Phase::Open(Box::new(WsConn::new(setup.transport, codec)));
    }

    /// Returns the connection while it is open. Errors it returns should be handed to [`Self::close`].
    #[inline]
    pub fn conn(&mut self) -> Option<&mut WsConn> {
        match &mut self.phase {
            Phase::Open(conn) => Some(conn),
            _ => None,
        }
    }

    /// Ends the connection: a last flush, then the socket is closed. A reason already given stays.
    pub fn close(&mut self, reason: CloseReason) {
        match &mut self.phase {
            Phase::Closed(_) => return,
            Phase::Setup(setup) => setup.transport.shutdown(),
            Phase::Open(conn) => {
                let _ = conn.codec().close(1000, "");
                let _ = conn.flush();
                conn.transport().shutdown();
            }
        }
        self.phase = Phase::Closed(reason);
    }
}

impl Setup {
    /// Returns the length of the answer's head once the upgrade is granted.
    fn advance(&mut self) -> Result<Option<usize>, CloseReason> {
        if self.step == ClientState::Connecting {
            if !self.transport.try_connected()? {
                return Ok(None);
            }
            self.step = ClientState::Upgrading;
            if let Some((config, name)) = self.tls.take() {
                // The pipe only holds the place while the socket moves into its TLS stream.
                let (hole, _) = super::memory::pipe(0);
                let tcp = std::mem::replace(&mut self.transport, Transport::Memory(hole));
                self.transport = tcp.into_tls_client(config, name)?;
                self.step = ClientState::Tls;
            }
        }
        if self.step == ClientState::Tls {
            self.transport.try_flush()?;
            self.read()?;
            if self.transport.is_handshaking() {
                return Ok(None);
            }
            self.step = ClientState::Upgrading;
        }
        while let Some(rest) = self.request.as_bytes().get(self.request_sent..)
            && !rest.is_empty()
        {
            match self.transport.try_write(rest)? {
                Progress::Bytes(len) => self.request_sent += len,
                Progress::WouldBlock => return Ok(None),
                Progress::Closed => return Err(CloseReason::Io(ErrorKind::WriteZero)),
            }
        }
        self.transport.try_flush()?;
        self.read()?;
        Ok(http::check_upgrade(self.head.get(..self.head_len).unwrap_or_default(), &self.accept)?)
    }

    fn read(&mut self) -> Result<(), CloseReason> {
        let space = self.head.get_mut(self.head_len..).unwrap_or_default();
        match self.transport.try_read(space)? {
            Progress::Bytes(len) => self.head_len += len,
            Progress::WouldBlock => {}
            Progress::Closed => return Err(CloseReason::Io(ErrorKind::UnexpectedEof)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{
        http::HttpCodec,
        memory::pipe,
        server::{HttpConn, Listener},
        tls,
        ws::Message,
    };
    use std::time::{Duration, Instant};

    fn url(text: &str) -> WsUrl {
        WsUrl::parse(text).unwrap()
    }

    #[test]
    fn urls_parse_or_say_why() {
        let full = url("wss://example.org:8443/v5/private?a=b");
        assert_eq!(
            (full.tls, full.host.as_str(), full.port, full.target.as_str()),
            (true, "example.org", 8443, "/v5/private?a=b")
        );
        assert_eq!(url("ws://h").port, 80);
        assert_eq!(url("wss://h?x=1").target, "/?x=1");
        assert_eq!((url("ws://[::1]:9/a").host.as_str(), url("ws://[::1]:9/a").port), ("::1", 9));
        for bad in
            ["http://h", "ws://", "ws://h:99999", "ws://h:x", "ws://u@h", "ws://h/ x", "ws://h/\r\nA: b", "ws://[::1]x"]
        {
            assert!(WsUrl::parse(bad).is_err(), "{bad}");
        }
    }

    /// Accepts one connection, upgrades it and echoes until it is closed; `wrong` answers with another key's accept.
    fn echo_server(conn: HttpConn, wrong: bool) -> impl FnMut() -> bool {
        let mut held = Some(conn);
        let mut ws: Option<WsConn> = None;
        move || {
            if let Some(mut conn) = held.take() {
                let _ = conn.fill();
                let upgrade = match conn.next_request() {
                    Ok(Some(request)) => Some(request.upgrade().unwrap()),
                    _ => None,
                };
                let _ = conn.flush();
                match upgrade {
                    Some(_) if wrong => {
                        let answer = [("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "d3Jvbmc=")];
                        conn.respond(101, &answer, b"").unwrap();
                        let _ = conn.flush();
                        held = Some(conn);
                    }
                    Some(upgrade) => ws = Some(conn.upgrade(&upgrade, WsLimits::default())),
                    None => held = Some(conn),
                }
            }
            let Some(conn) = &mut ws else { return true };
            let alive = conn.fill().is_ok();
            let mut echoes: Vec<Vec<u8>> = Vec::new();
            while let Ok(Some(message)) = conn.next_message() {
                if let Message::Text(text) = message {
                    echoes.push(text.to_vec());
                }
            }
            for echo in echoes {
                conn.send_text(&echo).unwrap();
            }
            alive & conn.flush().is_ok()
        }
    }

    fn http(transport: Transport) -> HttpConn {
        HttpConn::new(transport, HttpCodec::new(1024, 4096))
    }

    fn converse(client: &mut WsClient, mut server: impl FnMut() -> bool) {
        let started = Instant::now();
        while client.poll() != ClientState::Open {
            server();
            assert!(!matches!(client.state(), ClientState::Closed(_)), "{:?}", client.state());
            assert!(started.elapsed() < Duration::from_secs(10), "stuck in {:?}", client.state());
        }
        let long = vec![b'x'; 200_000];
        for text in [b"hello".as_slice(), b"", &long] {
            client.conn().unwrap().send_text(text).unwrap();
            let mut answered = false;
            while !answered {
                let conn = client.conn().unwrap();
                conn.flush().unwrap();
                server();
                conn.fill().unwrap();
                while let Some(message) = conn.next_message().unwrap() {
                    assert_eq!(message, Message::Text(text));
                    answered = true;
                }
                assert!(started.elapsed() < Duration::from_secs(20));
            }
        }
        client.close(CloseReason::Local);
        assert_eq!(client.poll(), ClientState::Closed(CloseReason::Local));
        while server() {
            assert!(started.elapsed() < Duration::from_secs(20), "the server never saw the end");
        }
    }

    #[test]
    fn a_client_talks_over_memory() {
        let (near, far) = pipe(1000);
        let mut client = WsClient::over(Transport::Memory(near), &url("ws://simulated/v5"), WsLimits::default(), 7);
        converse(&mut client, echo_server(http(Transport::Memory(far)), false));
    }

    fn over_sockets(server_tls: Option<Arc<rustls::ServerConfig>>, client_tls: Option<Arc<ClientConfig>>) {
        let mut listener = Listener::bind("127.0.0.1:0".parse().unwrap(), server_tls).unwrap();
        let scheme = if client_tls.is_some() { "wss" } else { "ws" };
        let url = url(&format!("{scheme}://127.0.0.1:{}/x", listener.local_addr().unwrap().port()));
        let mut client = WsClient::connect(&url, client_tls, WsLimits::default(), 7).unwrap();
        let accepted = loop {
            client.poll();
            if let Some(transport) = listener.accept().unwrap() {
                break transport;
            }
        };
        converse(&mut client, echo_server(http(accepted), false));
    }

    #[test]
    fn a_client_talks_over_tcp() {
        over_sockets(None, None);
    }

    #[test]
    fn a_client_talks_over_tls_with_a_generated_authority() {
        let certs = tls::generate(&["localhost", "127.0.0.1"]).unwrap();
        let server = tls::server_config(&certs.cert_pem, &certs.key_pem).unwrap();
        over_sockets(Some(server), Some(tls::client_config(tls::Roots::CaPem(&certs.ca_pem)).unwrap()));
    }

    #[test]
    fn a_certificate_of_another_authority_is_refused() {
        let certs = tls::generate(&["127.0.0.1"]).unwrap();
        let other = tls::generate(&["127.0.0.1"]).unwrap();
        let server_tls = tls::server_config(&certs.cert_pem, &certs.key_pem).unwrap();
        let client_tls = tls::client_config(tls::Roots::CaPem(&other.ca_pem)).unwrap();
        let mut listener = Listener::bind("127.0.0.1:0".parse().unwrap(), Some(server_tls)).unwrap();
        let url = url(&format!("wss://127.0.0.1:{}/x", listener.local_addr().unwrap().port()));
        let mut client = WsClient::connect(&url, Some(client_tls), WsLimits::default(), 7).unwrap();
        let mut server = None;
        let started = Instant::now();
        while client.poll() != ClientState::Closed(CloseReason::Io(ErrorKind::InvalidData)) {
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}", client.state());
            match &mut server {
                None => server = listener.accept().unwrap(),
                Some(transport) => drop(transport.try_read(&mut [0; 64])),
            }
        }
    }

    #[test]
    fn an_upgrade_with_the_wrong_accept_is_refused() {
        let (near, far) = pipe(1000);
        let mut client = WsClient::over(Transport::Memory(near), &url("ws://simulated/v5"), WsLimits::default(), 7);
        let mut server = echo_server(http(Transport::Memory(far)), true);
        for _ in 0..10 {
            client.poll();
            server();
        }
        assert!(matches!(client.state(), ClientState::Closed(CloseReason::Http(_))), "{:?}", client.state());
    }

    #[test]
    fn a_refused_connection_is_closed_with_its_reason() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).unwrap();
        let url = url(&format!("ws://{}", listener.local_addr().unwrap()));
        drop(listener);
        let mut client = WsClient::connect(&url, None, WsLimits::default(), 7).unwrap();
        let started = Instant::now();
        while client.poll() == ClientState::Connecting && started.elapsed() < Duration::from_secs(10) {}
        assert_eq!(client.state(), ClientState::Closed(CloseReason::Io(ErrorKind::ConnectionRefused)));
    }
}
