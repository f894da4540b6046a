//! An HTTP/1.1 client over one byte stream, as a polled state machine: a request out, its answer in, then the next.
//!
//! For the slow requests of a venue where nothing may block, such as virtual time over pipes in memory. Allocates: freely.
//! Blocks: never. Deadlines, retries and new connections are left to callers: only they know whether a request may be repeated.
//!
//! Bodies come by `Content-Length`, chunked, or up to the end of the stream; all are bounded.

use super::{
    buffer::{RecvBuffer, SendBuffer},
    http::{HEAD_BYTES_MAX, HEADERS_MAX, HttpError, body_bytes, has_token},
    transport::{Progress, Transport},
};
use std::io::ErrorKind;

/// Why a request was not taken; nothing of it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpSubmitError {
    /// The answer to the one before has not come yet.
    #[error("a request is under way")]
    Busy,
    /// The connection is over: make a new client.
    #[error("the connection is closed")]
    Closed,
    /// Method, target or a header holds bytes that would end it.
    #[error("a part of the head holds control characters or spaces")]
    BadHead,
    /// The request is longer than [`REQUEST_BYTES_MAX`].
    #[error("a request of {len} bytes, limit is {max}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
}

/// Why a request got no answer. The connection is over, and whether the request was carried out is not known, unless
/// [`HttpClient::is_sent`] says that its last byte never left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpClientError {
    /// The stream failed.
    #[error("socket: {0}")]
    Io(ErrorKind),
    /// The stream ended before the answer did.
    #[error("closed before the answer was whole")]
    Ended,
    /// The answer is not acceptable HTTP.
    #[error("answer: {0}")]
    Http(#[from] HttpError),
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// Its status.
    pub status: u16,
    /// Its body, empty if it has none.
    pub body: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
}

impl HttpResponse {
    /// Returns the first header of this name, in any case, without spaces around it, if its value is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok().map(str::trim)
    }
}

/// One connection.
pub struct HttpClient {
    transport: Transport,
    recv: RecvBuffer,
    send: SendBuffer,
    host: String,
    body_bytes_max: usize,
    /// The answer that is awaited.
    pending: Option<Pending>,
    is_closed: bool,
    is_connected: bool,
}

/// An answer under way.
struct Pending {
    step: Step,
    response: HttpResponse,
    is_head_request: bool,
    keep_alive: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Head,
    /// This much of the body, or of a chunk, is still to come.
    Body {
        left: usize,
        is_chunk: bool,
    },
    ChunkSize,
    ChunkEnd,
    Trailers,
    UntilEnd,
}

impl HttpClient {
    /// Takes over a stream; `host` is what the `Host` header says, `body_bytes_max` bounds each answer's body.
    pub fn over(transport: Transport, host: &str, body_bytes_max: usize) -> Self {
        Self {
            transport,
            recv: RecvBuffer::with_capacity(2 * HEAD_BYTES_MAX),
            send: SendBuffer::with_capacity(REQUEST_BYTES_MAX),
            host: host.to_owned(),
            body_bytes_max,
            pending: None,
            is_closed: false,
            is_connected: false,
        }
    }

    /// Queues a request; [`Self::poll`] sends it and brings its answer. `Host` and `Content-Length` are added.
    ///
    /// # Errors
    /// [`HttpSubmitError`]; then nothing was queued.
    pub fn submit(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), HttpSubmitError> {
        use std::fmt::Write;
        if self.is_closed {
            return Err(HttpSubmitError::Closed);
        }
        if self.pending.is_some() {
            return Err(HttpSubmitError::Busy);
        }
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let is_value = |text: &str| text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let are_good = |(name, value): &(&str, &str)| is_word(name) && !name.contains(':') && is_value(value);
        if !is_word(method) || !is_word(target) || !is_word(&self.host) || !headers.iter().all(are_good) {
            return Err(HttpSubmitError::BadHead);
        }
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: tercel\r\n", self.host);
        // Writing to a String cannot fail.
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !body.is_empty() || !matches!(method, "GET" | "HEAD") {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        head.push_str("\r\n");
        let len = head.len() + body.len();
        if len > REQUEST_BYTES_MAX || !(self.send.push(head.as_bytes()) && self.send.push(body)) {
            return Err(HttpSubmitError::TooLong { len, max: REQUEST_BYTES_MAX });
        }
        let response = HttpResponse { status: 0, body: Vec::new(), headers: Vec::new() };
        let is_head_request = method == "HEAD";
        self.pending = Some(Pending { step: Step::Head, response, is_head_request, keep_alive: true });
        Ok(())
    }

    /// Reports whether a request can be submitted now.
    pub fn is_idle(&self) -> bool {
        !self.is_closed && self.pending.is_none()
    }

    /// Reports whether the connection is over.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Reports whether every byte of the last request has left.
    pub fn is_sent(&self) -> bool {
        self.send.pending().is_empty()
    }

    /// Sends what can be sent, reads what has come, and returns the answer once it is whole. Without a request under way it
    /// only notices the end of the stream.
    pub fn poll(&mut self) -> Option<Result<HttpResponse, HttpClientError>> {
        if self.is_closed {
            return None;
        }
        match self.advance() {
            Ok(None) => None,
            Ok(Some(response)) => Some(Ok(response)),
            Err(error) => {
                self.close();
                self.pending.take().map(|_| Err(error))
            }
        }
    }

    /// Ends the connection; a request under way gets no answer.
    pub fn close(&mut self) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.transport.shutdown();
        }
    }

    fn advance(&mut self) -> Result<Option<HttpResponse>, HttpClientError> {
        if !self.is_connected {
            self.is_connected = self.transport.try_connected().map_err(|error| HttpClientError::Io(error.kind()))?;
            if !self.is_connected {
                return Ok(None);
            }
        }
        self.flush()?;
        // Bounded by what one answer may hold; what follows it is not read.
        loop {
            if let Some(response) = self.take_answer()? {
                return Ok(Some(response));
            }
            let space = self.recv.space(HEAD_BYTES_MAX);
            match self.transport.try_read(space).map_err(|error| HttpClientError::Io(error.kind()))? {
                Progress::Bytes(0) | Progress::WouldBlock => return Ok(None),
                Progress::Bytes(len) => self.recv.received(len),
                Progress::Closed => return self.on_end(),
            }
            if self.pending.is_none() {
                // Nobody asked for these bytes, and no later answer could be told from them.
                return Err(HttpClientError::Ended);
            }
        }
    }

    fn flush(&mut self) -> Result<(), HttpClientError> {
        let io = |error: std::io::Error| HttpClientError::Io(error.kind());
        while !self.send.pending().is_empty() {
            match self.transport.try_write(self.send.pending()).map_err(io)? {
                Progress::Bytes(len) => self.send.sent(len),
                Progress::WouldBlock => break,
                // A server that refuses early may have answered before it closed: that answer is still to be read.
                Progress::Closed => break,
            }
        }
        self.transport.try_flush().map_err(io)?;
        Ok(())
    }

    /// The stream has ended: right only for a body that lasts until then.
    fn on_end(&mut self) -> Result<Option<HttpResponse>, HttpClientError> {
        match self.pending.take() {
            Some(Pending { step: Step::UntilEnd, response, .. }) => {
                self.close();
                Ok(Some(response))
            }
            pending => {
                self.pending = pending;
                Err(HttpClientError::Ended)
            }
        }
    }

    /// Goes as far through the bytes received as they reach.
    fn take_answer(&mut self) -> Result<Option<HttpResponse>, HttpClientError> {
        let Some(pending) = &mut self.pending else { return Ok(None) };
        loop {
            let is_whole = match pending.step {
                Step::Head => match read_head(&mut self.recv, pending, self.body_bytes_max)? {
                    None => return Ok(None),
                    Some(is_whole) => is_whole,
                },
                Step::Body { left, is_chunk } => {
                    let data = self.recv.data();
                    let len = left.min(data.len());
                    pending.response.body.extend_from_slice(&data[..len]);
                    self.recv.consume(len);
                    if len < left {
                        pending.step = Step::Body { left: left - len, is_chunk };
                        return Ok(None);
                    }
                    pending.step = Step::ChunkEnd;
                    !is_chunk
                }
                Step::UntilEnd => {
                    let data = self.recv.data();
                    let len = data.len();
                    let whole = pending.response.body.len() + len;
                    if whole > self.body_bytes_max {
                        return Err(HttpError::BodyTooLong { len: whole as u64, max: self.body_bytes_max }.into());
                    }
                    pending.response.body.extend_from_slice(data);
                    self.recv.consume(len);
                    return Ok(None);
                }
                Step::ChunkSize => match httparse::parse_chunk_size(self.recv.data()) {
                    Ok(httparse::Status::Complete((head_bytes, size))) => {
                        let whole = size.saturating_add(pending.response.body.len() as u64);
                        if whole > self.body_bytes_max as u64 {
                            return Err(HttpError::BodyTooLong { len: whole, max: self.body_bytes_max }.into());
                        }
                        self.recv.consume(head_bytes);
                        pending.step = match size as usize {
                            0 => Step::Trailers,
                            left => Step::Body { left, is_chunk: true },
                        };
                        false
                    }
                    Ok(httparse::Status::Partial) if self.recv.data().len() < LINE_BYTES_MAX => return Ok(None),
                    _ => return Err(HttpError::BadChunk.into()),
                },
                Step::ChunkEnd => match self.recv.data() {
                    [b'\r', b'\n', ..] => {
                        self.recv.consume(2);
                        pending.step = Step::ChunkSize;
                        false
                    }
                    [] | [b'\r'] => return Ok(None),
                    _ => return Err(HttpError::BadChunk.into()),
                },
                Step::Trailers => {
                    // Nothing here is used; an empty line ends them.
                    let data = self.recv.data();
                    match data.iter().position(|&byte| byte == b'\n') {
                        None if data.len() < LINE_BYTES_MAX => return Ok(None),
                        None => return Err(HttpError::BadChunk.into()),
                        Some(at) => {
                            let is_last = matches!(&data[..at], [] | [b'\r']);
                            self.recv.consume(at + 1);
                            is_last
                        }
                    }
                }
            };
            if is_whole {
                break;
            }
        }
        let Some(Pending { response, keep_alive, .. }) = self.pending.take() else { return Ok(None) };
        // An answer before the request had left whole: the rest would be read as the next request.
        if !keep_alive || !self.send.pending().is_empty() {
            self.close();
        }
        Ok(Some(response))
    }
}

/// Reads the head; `None` until it is complete, then whether the answer ends with it.
fn read_head(
    recv: &mut RecvBuffer,
    pending: &mut Pending,
    body_bytes_max: usize,
) -> Result<Option<bool>, HttpClientError> {
    let data = recv.data();
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let head_bytes = match head.parse(data).map_err(HttpError::Malformed)? {
        httparse::Status::Complete(head_bytes) if head_bytes <= HEAD_BYTES_MAX => head_bytes,
        httparse::Status::Partial if data.len() < HEAD_BYTES_MAX => return Ok(None),
        _ => return Err(HttpError::HeadTooLong { max: HEAD_BYTES_MAX }.into()),
    };
    let status = head.code.unwrap_or(0);
    let headers = head.headers;
    if (100..200).contains(&status) && status != 101 {
        // An interim answer: the real one follows.
        recv.consume(head_bytes);
        return Ok(Some(false));
    }
    let is_chunked = has_token(headers, "transfer-encoding", "chunked");
    let has_length = headers.iter().any(|header| header.name.eq_ignore_ascii_case("content-length"));
    let is_encoded = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("transfer-encoding")).count();
    pending.keep_alive = if head.version == Some(0) {
        has_token(headers, "connection", "keep-alive")
    } else {
        !has_token(headers, "connection", "close")
    };
    let has_no_body = pending.is_head_request || matches!(status, 101 | 204 | 304);
    pending.step = if has_no_body {
        Step::Body { left: 0, is_chunk: false }
    } else if is_encoded > 0 {
        let is_plain = |header: &&httparse::Header<'_>| {
            header.name.eq_ignore_ascii_case("transfer-encoding") && header.value.eq_ignore_ascii_case(b"chunked")
        };
        // Anything but plain chunks, or a length beside them, is how answers are smuggled.
        if !is_chunked || has_length || is_encoded != 1 || headers.iter().filter(is_plain).count() != 1 {
            return Err(HttpError::BodyLengthUnknown.into());
        }
        Step::ChunkSize
    } else if has_length {
        Step::Body { left: body_bytes(headers, body_bytes_max)?, is_chunk: false }
    } else {
        pending.keep_alive = false;
        Step::UntilEnd
    };
    pending.response.status = status;
    pending.response.headers = headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect();
    recv.consume(head_bytes);
    Ok(Some(matches!(pending.step, Step::Body { left: 0, .. })))
}

/// The longest request, head and body.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// The longest line of a chunked body: a size with its extension, or one trailer.
const LINE_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::memory::{PipeEnd, pipe};
    use proptest::prelude::*;

    /// A client with a request under way, and the server's end.
    fn asked(method: &str, body_bytes_max: usize) -> (HttpClient, PipeEnd) {
        let (near, far) = pipe(1 << 20);
        let mut client = HttpClient::over(Transport::Memory(near), "venue", body_bytes_max);
        client.submit(method, "/v5/x?a=b", &[("X-BAPI-SIGN", "00ff")], b"").unwrap();
        assert!(client.poll().is_none());
        (client, far)
    }

    fn answer(method: &str, bytes: &[u8]) -> Option<Result<HttpResponse, HttpClientError>> {
        let (mut client, mut far) = asked(method, 100);
        far.try_write(bytes);
        client.poll()
    }

    #[test]
    fn requests_and_answers_alternate_on_one_connection() {
        let (near, mut far) = pipe(1 << 16);
        let mut client = HttpClient::over(Transport::Memory(near), "venue:80", 1000);
        for round in 0..3 {
            client.submit("POST", "/v5/order", &[("A", "b c")], b"{}").unwrap();
            assert_eq!(client.submit("GET", "/", &[], b""), Err(HttpSubmitError::Busy));
            assert!(client.poll().is_none());
            let mut buf = [0; 1000];
            let Progress::Bytes(len) = far.try_read(&mut buf) else { panic!("no request in round {round}") };
            let text = std::str::from_utf8(&buf[..len]).unwrap();
            assert!(text.starts_with("POST /v5/order HTTP/1.1\r\nHost: venue:80\r\n"), "{text}");
            assert!(text.ends_with("A: b c\r\nContent-Length: 2\r\n\r\n{}"), "{text}");
            far.try_write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-Bapi-Limit-Status:  9 \r\nContent-Length: 3\r\n\r\nabc");
            let answer = client.poll().unwrap().unwrap();
            assert_eq!((answer.status, answer.body.as_slice()), (200, &b"abc"[..]));
            assert_eq!(answer.header("x-bapi-limit-status"), Some("9"));
            assert!(client.is_idle());
        }
        far.close();
        assert!(client.poll().is_none());
        assert_eq!(client.submit("GET", "/", &[], b""), Err(HttpSubmitError::Closed));
    }

    #[test]
    fn what_cannot_be_an_answer_is_an_error_and_ends_the_connection() {
        let http = |error| Some(Err(HttpClientError::Http(error)));
        assert!(matches!(answer("GET", b"SSH-2.0\r\n\r\n"), Some(Err(HttpClientError::Http(HttpError::Malformed(_))))));
        let long = HttpError::BodyTooLong { len: 101, max: 100 };
        assert_eq!(answer("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n"), http(long));
        let chunked = |rest: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{rest}").into_bytes();
        assert_eq!(answer("GET", &chunked("\r\n65\r\n")), http(long));
        let huge = HttpError::BodyTooLong { len: u64::MAX, max: 100 };
        assert_eq!(answer("GET", &chunked("\r\nffffffffffffffff\r\n")), http(huge));
        assert_eq!(answer("GET", &chunked("\r\n1\r\nab")), http(HttpError::BadChunk));
        assert_eq!(answer("GET", &chunked("Content-Length: 1\r\n\r\n")), http(HttpError::BodyLengthUnknown));
        assert_eq!(answer("GET", &chunked("Transfer-Encoding: gzip\r\n\r\n")), http(HttpError::BodyLengthUnknown));
        let until_end = b"HTTP/1.1 200 OK\r\n\r\n".iter().copied().chain([b'x'; 101]).collect::<Vec<u8>>();
        assert_eq!(answer("GET", &until_end), http(long));
        for line in ["A B /x", "GET /\r\nX:y"] {
            let (near, _far) = pipe(100);
            let mut client = HttpClient::over(Transport::Memory(near), "venue", 100);
            assert_eq!(client.submit(line, "/", &[], b""), Err(HttpSubmitError::BadHead));
            assert_eq!(client.submit("GET", line, &[], b""), Err(HttpSubmitError::BadHead));
            assert_eq!(client.submit("GET", "/", &[("A", "b\r\nC: d")], b""), Err(HttpSubmitError::BadHead));
        }
    }

    #[test]
    fn an_end_before_the_answer_is_not_an_answer() {
        for whole in [&b""[..], b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"] {
            let (mut client, mut far) = asked("GET", 100);
            far.try_write(whole);
            far.close();
            assert_eq!(client.poll(), Some(Err(HttpClientError::Ended)));
            assert!(client.is_closed() && client.poll().is_none());
        }
        let (mut client, mut far) = asked("GET", 100);
        far.try_write(b"HTTP/1.1 403 Forbidden\r\n\r\naccess too frequent");
        assert!(client.poll().is_none());
        far.close();
        let refused = client.poll().unwrap().unwrap();
        assert_eq!((refused.status, refused.body.as_slice()), (403, &b"access too frequent"[..]));
    }

    #[test]
    fn answers_without_a_body_end_with_their_head() {
        for (method, status, length) in [("HEAD", 200, "5"), ("GET", 204, "0"), ("GET", 304, "7"), ("GET", 200, "0")] {
            let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
            let found = answer(method, text.as_bytes()).unwrap().unwrap();
            assert_eq!((found.status, found.body.len()), (status, 0), "{method} {status}");
        }
    }

    /// An answer in one of the three shapes, and its body.
    fn rendered(body: &[u8], shape: u8, chunk: usize) -> Vec<u8> {
        let mut bytes = b"HTTP/1.1 200 OK\r\nA: b\r\n".to_vec();
        match shape {
            0 => {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(body);
            }
            1 => {
                bytes.extend_from_slice(b"transfer-encoding: Chunked\r\n\r\n");
                for part in body.chunks(chunk) {
                    bytes.extend_from_slice(format!("{:X};x=y\r\n", part.len()).as_bytes());
                    bytes.extend_from_slice(part);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\nTrailer: t\r\n\r\n");
            }
            _ => {
                bytes.extend_from_slice(b"\r\n");
                bytes.extend_from_slice(body);
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn answers_split_anywhere_are_the_same_answers(
            bodies in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), 0u8..2), 1..4),
            last in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
            chunk in 1usize..200,
            pieces in proptest::collection::vec(1usize..40, 1..30),
        ) {
            let (near, mut far) = pipe(64);
            let mut client = HttpClient::over(Transport::Memory(near), "venue", 300);
            let shapes = bodies.into_iter().chain(last.map(|body| (body, 2)));
            let mut pieces = pieces.into_iter().cycle();
            for (body, shape) in shapes {
                client.submit("GET", "/", &[], b"").unwrap();
                let bytes = rendered(&body, shape, chunk);
                let mut rest = &bytes[..];
                let mut found = None;
                while found.is_none() {
                    found = client.poll();
                    while let Progress::Bytes(_) = far.try_read(&mut [0; 64]) {}
                    let piece = pieces.next().unwrap().min(rest.len());
                    match far.try_write(&rest[..piece]) {
                        Progress::Bytes(len) => rest = &rest[len..],
                        Progress::WouldBlock => {}
                        Progress::Closed => prop_assert!(found.is_some(), "closed under way"),
                    }
                    if rest.is_empty() && shape == 2 {
                        far.close();
                    }
                }
                let found = found.unwrap().unwrap();
                prop_assert_eq!(found.status, 200);
                prop_assert_eq!(found.header("a"), Some("b"));
                prop_assert_eq!(found.body, body);
            }
        }

        #[test]
        fn no_bytes_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            shape in 0u8..3,
            at in 0usize..80,
            piece in 1usize..50,
        ) {
            let whole = rendered(b"0123456789", shape, 3);
            let mixed = [&whole[..at.min(whole.len())], &bytes[..]].concat();
            let (mut client, mut far) = asked("GET", 50);
            for part in mixed.chunks(piece) {
                far.try_write(part);
                if let Some(Ok(answer)) = client.poll() {
                    prop_assert!(answer.body.len() <= 50);
                }
            }
            far.close();
            client.poll();
            prop_assert!(client.poll().is_none());
        }
    }
}
