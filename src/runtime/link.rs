//! Keeps one WebSocket connection: connects, watches, and tries again after a pause.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::net::http::HttpError;
use crate::net::{ClientState, CloseReason, MemoryDialer, WsClient, WsConn, WsLimits, WsUrl};
use crate::types::Nanos;

/// Longest time that a connection may take to open.
const CONNECT_WITHIN_NS: u64 = 10_000_000_000;

/// Time between two pings of ours; Bybit's own recommendation.
const PING_EVERY_NS: u64 = 20_000_000_000;

/// Silence after which a connection counts as dead: two pings unanswered.
const SILENT_AFTER_NS: u64 = 45_000_000_000;

/// First pause before a new attempt, and the longest: it doubles in between.
const PAUSE_NS: [u64; 2] = [250_000_000, 8_000_000_000];

/// What Bybit asks for after it has banned an address: ten minutes without a request.
pub const BAN_PAUSE_NS: u64 = 600_000_000_000;

/// Where to connect.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// The address.
    pub url: WsUrl,
    /// For `wss`.
    pub tls: Option<Arc<ClientConfig>>,
    /// Sizes of its buffers.
    pub limits: WsLimits,
    /// Pause after the venue has banned the address (the upgrade is answered with 403 or 429), in nanoseconds.
    pub ban_pause_ns: u64,
    /// What carries the bytes.
    pub dial: Dial,
}

/// How a link opens its byte stream.
#[derive(Clone, Debug, Default)]
pub enum Dial {
    /// A TCP socket to the host of the address, with TLS if the address asks for it.
    #[default]
    Socket,
    /// A pipe in memory to whoever holds the listener, for virtual time; the address gives host and path of the upgrade.
    Memory(MemoryDialer),
}

/// What a poll of a link brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkNews {
    /// Nothing.
    None,
    /// It is open now: introduce yourself.
    Opened,
    /// It was lost, after it had been open.
    Lost,
}

/// One connection over its life and its successors'.
pub struct WsLink {
    config: LinkConfig,
    client: Option<WsClient>,
    is_open: bool,
    retry_at: Nanos,
    pause_ns: u64,
    deadline: Nanos,
    ping_due: Nanos,
    heard_at: Nanos,
    attempts: u64,
    last_close: Option<CloseReason>,
}

impl WsLink {
    /// Makes a link that will connect at its first poll.
    pub fn new(config: LinkConfig) -> Self {
        Self {
            config,
            client: None,
            is_open: false,
            retry_at: Nanos::ZERO,
            pause_ns: PAUSE_NS[0],
            deadline: Nanos::ZERO,
            ping_due: Nanos::ZERO,
            heard_at: Nanos::ZERO,
            attempts: 0,
            last_close: None,
        }
    }

    /// How often it tried to connect.
    pub fn attempts(&self) -> u64 {
        self.attempts
    }

    /// Why it was last closed or could not be opened.
    pub fn last_close(&self) -> Option<CloseReason> {
        self.last_close
    }

    /// Whether it is open.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The open connection.
    #[inline]
    pub fn conn(&mut self) -> Option<&mut WsConn> {
        self.client.as_mut()?.conn()
    }

    /// Advances it. Cheap while it is open.
    #[inline]
    pub fn poll(&mut self, now: Nanos) -> LinkNews {
        if self.is_open {
            if now < self.ping_due {
                return LinkNews::None;
            }
            return self.watch(now);
        }
        self.advance(now)
    }

    /// Bytes came: it is alive.
    #[inline]
    pub fn heard(&mut self, now: Nanos) {
        self.heard_at = now;
    }

    /// The ping is due: sends it, unless the other side has been silent for too long.
    #[cold]
    fn watch(&mut self, now: Nanos) -> LinkNews {
        if now.saturating_since(self.heard_at) > SILENT_AFTER_NS {
            self.close(CloseReason::Local, now);
            return LinkNews::Lost;
        }
        self.ping_due = now.saturating_add(PING_EVERY_NS);
        if let Some(conn) = self.conn() {
            // Bybit's ping is a message of its own; a full buffer means that other bytes are on their way.
            let _ = conn.send_text(br#"{"op":"ping"}"#);
            let _ = conn.flush();
        }
        LinkNews::None
    }

    /// Closes it, to be opened again after a pause.
    pub fn close(&mut self, reason: CloseReason, now: Nanos) {
        if let Some(mut client) = self.client.take() {
            client.close(reason);
        }
        self.last_close = Some(reason);
        self.is_open = false;
        // Spread over half of the pause, so that many clients do not come back in step.
        let jitter = now.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) % (self.pause_ns / 2);
        self.retry_at = now.saturating_add(self.pause_ns / 2 + jitter);
        self.pause_ns = (self.pause_ns * 2).min(PAUSE_NS[1]);
        if matches!(reason, CloseReason::Http(HttpError::UpgradeRefused { status: 403 | 429 })) {
            self.retry_at = now.saturating_add(self.config.ban_pause_ns);
        }
    }

    #[cold]
    fn advance(&mut self, now: Nanos) -> LinkNews {
        let Some(client) = &mut self.client else {
            if now >= self.retry_at {
                self.attempts += 1;
                self.deadline = now.saturating_add(CONNECT_WITHIN_NS);
                let LinkConfig { url, tls, limits, dial, .. } = &self.config;
                let seed = now.get();
                let client = match dial {
                    Dial::Socket => WsClient::connect(url, tls.clone(), *limits, seed),
                    Dial::Memory(dialer) => {
                        dialer.dial().map(|transport| WsClient::over(transport, url, *limits, seed))
                    }
                };
                match client {
                    Ok(client) => self.client = Some(client),
                    Err(error) => self.close(CloseReason::from(error), now),
                }
            }
            return LinkNews::None;
        };
        match client.poll() {
            ClientState::Open => {
                self.is_open = true;
                self.pause_ns = PAUSE_NS[0];
                self.heard_at = now;
                self.ping_due = now.saturating_add(PING_EVERY_NS);
                LinkNews::Opened
            }
            ClientState::Closed(reason) => {
                self.close(reason, now);
                LinkNews::None
            }
            _ if now >= self.deadline => {
                self.close(CloseReason::Local, now);
                LinkNews::None
            }
            _ => LinkNews::None,
        }
    }
}
