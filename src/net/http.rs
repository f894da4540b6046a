//! HTTP/1.1 heads: a client's upgrade to WebSocket, and a small server for REST and upgrades.
//!
//! No I/O. Heads are parsed by `httparse` under fixed limits. Bodies of requests are counted by `Content-Length`; chunked ones are refused, since
//! nothing that talks to us sends them. Requests on one connection are answered in order.

use super::{
    buffer::{RecvBuffer, SendBuffer},
    ws::{Role, SendError, WsCodec, WsLimits},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// Why a peer's bytes are not acceptable HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Not HTTP at all, or more headers than allowed.
    #[error("malformed http head: {0}")]
    Malformed(httparse::Error),
    /// The head does not end within the limit.
    #[error("http head longer than {max} bytes")]
    HeadTooLong {
        /// [`HEAD_BYTES_MAX`].
        max: usize,
    },
    /// A body beyond the limit.
    #[error("http body of {len} bytes, limit is {max}")]
    BodyTooLong {
        /// The length announced.
        len: u64,
        /// The limit.
        max: usize,
    },
    /// Missing, repeated or unreadable `Content-Length`, or a transfer encoding.
    #[error("http body of unknown length")]
    BodyLengthUnknown,
    /// A chunked body whose sizes or line ends are not where they belong.
    #[error("bad chunk in an http body")]
    BadChunk,
    /// The answer to an upgrade was not 101.
    #[error("upgrade answered with status {status}")]
    UpgradeRefused {
        /// The status found.
        status: u16,
    },
    /// `Upgrade`, `Connection` or the version does not ask for, or grant, WebSocket.
    #[error("not an upgrade to websocket")]
    NotAnUpgrade,
    /// `Sec-WebSocket-Key` is not 16 bytes of base64.
    #[error("bad websocket key")]
    BadKey,
    /// `Sec-WebSocket-Accept` does not belong to the key sent.
    #[error("bad websocket accept")]
    BadAccept,
    /// The server chose an extension or protocol that was not offered.
    #[error("server chose an extension or protocol that was not offered")]
    Unoffered,
}

impl HttpError {
    /// Returns the status that tells a client.
    pub fn status(self) -> u16 {
        match self {
            Self::HeadTooLong { .. } | Self::Malformed(httparse::Error::TooManyHeaders) => 431,
            Self::BodyTooLong { .. } => 413,
            Self::BodyLengthUnknown => 411,
            _ => 400,
        }
    }
}

/// One request; it borrows the codec's buffer until the next call.
pub struct Request<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// Path and query as sent.
    pub target: &'a str,
    /// The body, empty without `Content-Length`.
    pub body: &'a [u8],
    /// Whether the client wants to send more on this connection.
    pub keep_alive: bool,
    headers: [httparse::Header<'a>; HEADERS_MAX],
}

impl<'a> Request<'a> {
    /// Returns the path, without the query.
    pub fn path(&self) -> &'a str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// Returns the query as sent (not percent-decoded, since signatures cover it as sent), empty without one.
    pub fn query(&self) -> &'a str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Returns the first header of this name, in any case, if its value is UTF-8.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        header(&self.headers, name)
    }

    /// Returns what is needed to grant this request's upgrade.
    ///
    /// # Errors
    /// When the request does not ask for WebSocket version 13 in every due header.
    pub fn upgrade(&self) -> Result<Upgrade, HttpError> {
        let asks = self.method == "GET"
            && has_token(&self.headers, "upgrade", "websocket")
            && has_token(&self.headers, "connection", "upgrade")
            && self.header("sec-websocket-version") == Some("13");
        if !asks {
            return Err(HttpError::NotAnUpgrade);
        }
        let key = self.header("sec-websocket-key").ok_or(HttpError::BadKey)?;
        match BASE64_STANDARD.decode(key) {
            Ok(bytes) if bytes.len() == 16 => Ok(Upgrade { accept: accept_of(key) }),
            _ => Err(HttpError::BadKey),
        }
    }
}

/// The granted right to become a WebSocket; [`HttpCodec::into_ws`] takes it.
#[derive(Clone, Debug)]
pub struct Upgrade {
    accept: String,
}

/// The server side of one HTTP connection, without its socket.
pub struct HttpCodec {
    recv: RecvBuffer,
    send: SendBuffer,
    body_bytes_max: usize,
    /// Head and body length of the request at the head of `recv`, once its head is complete.
    wanted_bytes: usize,
    close_after_send: bool,
    /// Requests returned and not answered yet.
    owed: u32,
}

impl HttpCodec {
    /// Makes a codec and allocates its buffers.
    pub fn new(body_bytes_max: usize, send_bytes: usize) -> Self {
        Self {
            recv: RecvBuffer::with_capacity(HEAD_BYTES_MAX + body_bytes_max),
            send: SendBuffer::with_capacity(send_bytes),
            body_bytes_max,
            wanted_bytes: HEAD_BYTES_MAX,
            close_after_send: false,
            owed: 0,
        }
    }

    /// Returns space to read into. It is never empty once [`Self::next_request`] has returned `None`.
    pub fn recv_space(&mut self) -> &mut [u8] {
        self.recv.space(self.wanted_bytes)
    }

    /// Accounts for `len` bytes read into [`Self::recv_space`].
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

    /// Returns the next whole request, or `None` until more bytes arrive.
    ///
    /// # Errors
    /// When the bytes are not acceptable; answer with [`HttpError::status`] and close, there is no finding the next request.
    pub fn next_request(&mut self) -> Result<Option<Request<'_>>, HttpError> {
        let data = self.recv.data();
        let (head_bytes, body_bytes) = {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut head = httparse::Request::new(&mut headers);
            match head.parse(data).map_err(HttpError::Malformed)? {
                httparse::Status::Complete(head_bytes) if head_bytes <= HEAD_BYTES_MAX => {
                    (head_bytes, body_bytes(head.headers, self.body_bytes_max)?)
                }
                httparse::Status::Partial if data.len() < HEAD_BYTES_MAX => {
                    self.wanted_bytes = HEAD_BYTES_MAX;
                    return Ok(None);
                }
                _ => return Err(HttpError::HeadTooLong { max: HEAD_BYTES_MAX }),
            }
        };
        let request_bytes = head_bytes + body_bytes;
        if data.len() < request_bytes {
            self.wanted_bytes = request_bytes;
            return Ok(None);
        }
        let range = self.recv.consume(request_bytes);
        let (head, body) = self.recv.at(range).split_at(head_bytes);
        // Parsed a second time, because the first result borrowed what had to be consumed; REST is a slow path.
        let mut request =
            Request { method: "", target: "", body, keep_alive: true, headers: [httparse::EMPTY_HEADER; HEADERS_MAX] };
        let mut parsed = httparse::Request::new(&mut request.headers);
        parsed.parse(head).map_err(HttpError::Malformed)?;
        let (method, target, version) = (parsed.method, parsed.path, parsed.version);
        request.method = method.unwrap_or_default();
        request.target = target.unwrap_or_default();
        request.keep_alive = if version == Some(0) {
            has_token(&request.headers, "connection", "keep-alive")
        } else {
            !has_token(&request.headers, "connection", "close")
        };
        if !request.keep_alive {
            self.close_after_send = true;
        }
        self.owed += 1;
        Ok(Some(request))
    }

    /// Queues an answer with `Content-Length`, the headers given and `body`.
    ///
    /// # Errors
    /// [`SendError::Full`]; then nothing was queued.
    pub fn respond(&mut self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Result<(), SendError> {
        use std::fmt::Write;
        let mut head = String::with_capacity(256);
        // Writing to a String cannot fail.
        let _ = write!(head, "HTTP/1.1 {status} {}\r\nContent-Length: {}\r\n", reason(status), body.len());
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str(if self.close_after_send {
            "Connection: close\r\n\r\n"
        } else {
            "Connection: keep-alive\r\n\r\n"
        });
        let (needed, free) = (head.len() + body.len(), self.send.free());
        let Some(space) = self.send.reserve(needed) else { return Err(SendError::Full { needed, free }) };
        let (head_space, body_space) = space.split_at_mut(head.len());
        head_space.copy_from_slice(head.as_bytes());
        body_space.copy_from_slice(body);
        self.send.commit(needed);
        self.owed = self.owed.saturating_sub(1);
        Ok(())
    }

    /// Marks the connection to be closed once everything queued is sent; call it before the last [`Self::respond`].
    pub fn close_after_send(&mut self) {
        self.close_after_send = true;
    }

    /// Reports whether every request is answered, everything is sent, and the connection should be closed.
    pub fn is_finished(&self) -> bool {
        self.close_after_send && self.owed == 0 && self.send.pending().is_empty()
    }

    /// Returns the bytes to write next.
    pub fn pending(&self) -> &[u8] {
        self.send.pending()
    }

    /// Accounts for `len` bytes of [`Self::pending`] written.
    pub fn sent(&mut self, len: usize) {
        self.send.sent(len);
    }

    /// Grants an upgrade: queues the answer and goes on as a WebSocket server. Bytes that arrived early go with it.
    pub fn into_ws(self, upgrade: &Upgrade, limits: WsLimits) -> WsCodec {
        let early = self.recv.data();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            upgrade.accept
        );
        let unsent = self.send.pending();
        let limits = WsLimits {
            recv_bytes: limits.recv_bytes.max(early.len()),
            send_bytes: limits.send_bytes.max(unsent.len() + answer.len()),
            ..limits
        };
        let mut codec = WsCodec::new(Role::Server, limits, 0);
        let queued = codec.push_raw(unsent) && codec.push_raw(answer.as_bytes());
        let taken = codec.push(early);
        debug_assert!(queued && taken == early.len(), "the buffers were made for these bytes");
        codec
    }
}

/// Renders a client's request to upgrade; `key` is 16 bytes that the caller chose.
pub(super) fn upgrade_request(host: &str, target: &str, key: [u8; 16]) -> (String, String) {
    let key = BASE64_STANDARD.encode(key);
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nUser-Agent: tercel\r\n\r\n"
    );
    (request, accept_of(&key))
}

/// Checks the answer to an upgrade; returns the length of its head, or `None` until it is complete.
pub(super) fn check_upgrade(data: &[u8], accept: &str) -> Result<Option<usize>, HttpError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let head_bytes = match head.parse(data).map_err(HttpError::Malformed)? {
        httparse::Status::Complete(head_bytes) if head_bytes <= HEAD_BYTES_MAX => head_bytes,
        httparse::Status::Partial if data.len() < HEAD_BYTES_MAX => return Ok(None),
        _ => return Err(HttpError::HeadTooLong { max: HEAD_BYTES_MAX }),
    };
    let status = head.code.unwrap_or(0);
    if status != 101 {
        return Err(HttpError::UpgradeRefused { status });
    }
    if !has_token(head.headers, "upgrade", "websocket") || !has_token(head.headers, "connection", "upgrade") {
        return Err(HttpError::NotAnUpgrade);
    }
    if header(head.headers, "sec-websocket-accept").map(str::trim) != Some(accept) {
        return Err(HttpError::BadAccept);
    }
    let unoffered = ["sec-websocket-extensions", "sec-websocket-protocol"];
    if unoffered.iter().any(|name| header(head.headers, name).is_some_and(|value| !value.trim().is_empty())) {
        return Err(HttpError::Unoffered);
    }
    Ok(Some(head_bytes))
}

fn accept_of(key: &str) -> String {
    let salted = [key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, salted.as_bytes()))
}

fn header<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(found.value).ok()
}

pub(super) fn has_token(headers: &[httparse::Header<'_>], name: &str, token: &str) -> bool {
    headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).any(|header| {
        let value = std::str::from_utf8(header.value).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token))
    })
}

/// Returns how long the body is. Two lengths, or a transfer encoding beside one, are how requests are smuggled: refused.
pub(super) fn body_bytes(headers: &[httparse::Header<'_>], max: usize) -> Result<usize, HttpError> {
    if headers.iter().any(|header| header.name.eq_ignore_ascii_case("transfer-encoding")) {
        return Err(HttpError::BodyLengthUnknown);
    }
    let mut lengths = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("content-length"));
    let Some(length) = lengths.next() else { return Ok(0) };
    if lengths.next().is_some() || !length.value.iter().all(u8::is_ascii_digit) {
        return Err(HttpError::BodyLengthUnknown);
    }
    let len = std::str::from_utf8(length.value).ok().and_then(|text| text.parse::<u64>().ok());
    match len.ok_or(HttpError::BodyLengthUnknown)? {
        len if len <= max as u64 => Ok(len as usize),
        len => Err(HttpError::BodyTooLong { len, max }),
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

/// The longest head accepted; venues answer with well under 2 kB, content networks add cookies.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The most headers accepted in one head.
pub const HEADERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POST: &[u8] =
        b"POST /v5/order/create?a=b%20c HTTP/1.1\r\nHost: x\r\nX-BAPI-SIGN: 00ff\r\ncontent-length: 7\r\n\r\n{\"a\":1}";

    #[test]
    fn requests_split_anywhere_are_the_same_requests() {
        let mut two = POST.to_vec();
        two.extend_from_slice(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
        for cut in 0..two.len() {
            let mut codec = HttpCodec::new(1024, 1024);
            let mut seen = 0;
            for piece in [&two[..cut], &two[cut..]] {
                assert_eq!(codec.push(piece), piece.len());
                while let Some(request) = codec.next_request().unwrap() {
                    seen += 1;
                    if seen == 1 {
                        assert_eq!(
                            (request.method, request.path(), request.query()),
                            ("POST", "/v5/order/create", "a=b%20c")
                        );
                        assert_eq!(request.header("x-bapi-sign"), Some("00ff"));
                        assert_eq!(request.body, b"{\"a\":1}");
                        assert!(request.keep_alive);
                    } else {
                        assert_eq!((request.method, request.target, request.body), ("GET", "/", &b""[..]));
                        assert!(!request.keep_alive);
                    }
                }
            }
            assert_eq!(seen, 2);
            codec.respond(200, &[("A", "b")], b"hello").unwrap();
            codec.sent(codec.pending().len());
            assert!(!codec.is_finished(), "the second request is not answered");
            codec.respond(200, &[("A", "b")], b"hello").unwrap();
            let answer = String::from_utf8(codec.pending().to_vec()).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n"), "{answer}");
            assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
            codec.sent(answer.len());
            assert!(codec.is_finished());
        }
    }

    #[test]
    fn what_could_smuggle_or_flood_is_refused() {
        let refused = |bytes: &[u8]| {
            let mut codec = HttpCodec::new(1024, 1024);
            codec.push(bytes);
            codec.next_request().map(|request| request.is_some())
        };
        let unknown = Err(HttpError::BodyLengthUnknown);
        assert_eq!(refused(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), unknown);
        assert_eq!(refused(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), unknown);
        assert_eq!(refused(b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n"), unknown);
        assert_eq!(
            refused(b"POST / HTTP/1.1\r\nContent-Length: 1025\r\n\r\n"),
            Err(HttpError::BodyTooLong { len: 1025, max: 1024 })
        );
        let long = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &vec![b'x'; HEAD_BYTES_MAX]].concat();
        assert_eq!(refused(&long), Err(HttpError::HeadTooLong { max: HEAD_BYTES_MAX }));
        let many = [b"GET / HTTP/1.1\r\n".as_slice(), &b"A: b\r\n".repeat(HEADERS_MAX + 1), b"\r\n"].concat();
        assert_eq!(refused(&many).map_err(HttpError::status), Err(431));
    }

    #[test]
    fn an_upgrade_is_granted_only_with_the_right_accept() {
        // The key and accept of RFC 6455, section 1.3.
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let head = |accept: &str, extra: &str| {
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n{extra}\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            )
        };
        let check = |text: &str| check_upgrade(text.as_bytes(), "right");
        assert_eq!(check(&head("right", "")), Ok(Some(head("right", "").len())));
        assert_eq!(check(&head("wrong", "")), Err(HttpError::BadAccept));
        assert_eq!(
            check(&head("right", "Sec-WebSocket-Extensions: permessage-deflate\r\n")),
            Err(HttpError::Unoffered)
        );
        assert_eq!(check("HTTP/1.1 403 Forbidden\r\n\r\n"), Err(HttpError::UpgradeRefused { status: 403 }));
        assert_eq!(check("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n"), Err(HttpError::NotAnUpgrade));
        assert_eq!(check(&"HTTP/1.1 101 x\r\nA: b"[..15]), Ok(None));
        let long = format!("HTTP/1.1 101 x\r\nA: {}", "x".repeat(HEAD_BYTES_MAX));
        assert_eq!(check(&long), Err(HttpError::HeadTooLong { max: HEAD_BYTES_MAX }));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512), at in 0..POST.len()) {
            let mut codec = HttpCodec::new(64, 64);
            let mixed = [&POST[..at], &bytes[..]].concat();
            codec.push(&mixed);
            while let Ok(Some(request)) = codec.next_request() {
                let _ = request.upgrade();
            }
            let _ = check_upgrade(&bytes, "right");
        }
    }
}
