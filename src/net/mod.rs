//! Turns bytes on sockets into whole messages, and messages into bytes on sockets.
//!
//! Thread: whichever duty holds the connection. Allocates: while connecting and, with TLS, per record; the plain path never
//! after set-up. Blocks: never, except name resolution in [`client::WsClient::connect`]. Fails: per connection.
//! Reconnection, timeouts, heartbeats and the meaning of a message are left to callers.
//!
//! ```text
//!   socket ──read──▶ transport ──▶ RecvBuffer ──▶ ws::WsCodec / http::HttpCodec ──▶ Message / Request
//!   socket ◀─write── transport ◀── SendBuffer ◀── ws::WsCodec / http::HttpCodec ◀── send_* / respond
//! ```
//!
//! Everything right of `transport` does no I/O, so that sockets, [`memory`] pipes on virtual time and tests drive the same
//! code. There is no poller in here: connections are busy-polled, and a caller that wants to sleep registers the transport
//! with its own [`mio::Poll`].

pub mod buffer;
pub mod client;
pub mod http;
pub mod http_client;
pub mod memory;
pub mod server;
pub mod tls;
pub mod transport;
pub mod ws;

pub use client::{ClientState, CloseReason, WsClient, WsUrl};
pub use http::{HttpCodec, Request};
pub use http_client::{HttpClient, HttpClientError, HttpResponse, HttpSubmitError};
pub use memory::{MemoryDialer, MemoryListener};
pub use server::{HttpConn, Listener};
pub use transport::{Progress, Transport};
pub use ws::{Message, Role, SendError, WsCodec, WsConn, WsError, WsLimits};
