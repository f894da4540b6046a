//! The way of questions through memory: real requests, real HTTP, virtual time.

use std::sync::Arc;

use serde_json::Value;

use crate::net::{HttpClient, MemoryDialer};
use crate::types::Nanos;
use crate::venue::bybit::rest::{RestError, envelope};
use crate::venue::bybit::{RestLane, RestRequest, Signer};

/// Longest time that a question waits for its answer, as a blocking client has it.
const ANSWER_WITHIN_NS: u64 = 5_000_000_000;

/// Longest answer.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A lane of questions over pipes in memory.
pub(super) struct MemoryLane {
    pub dialer: MemoryDialer,
    pub signer: Arc<Signer>,
    pub api_key: String,
    pub recv_window_ms: u32,
    http: Option<HttpClient>,
    /// Path of the question under way, and when it is given up.
    waiting: Option<(&'static str, Nanos)>,
    failed: Option<RestError>,
}

impl MemoryLane {
    pub fn new(dialer: MemoryDialer, signer: Arc<Signer>, api_key: &str, recv_window_ms: u32) -> Self {
        let api_key = api_key.to_owned();
        Self { dialer, signer, api_key, recv_window_ms, http: None, waiting: None, failed: None }
    }

    fn client(&mut self) -> Result<&mut HttpClient, String> {
        if self.http.as_ref().is_none_or(HttpClient::is_closed) {
            let transport = self.dialer.dial().map_err(|error| error.to_string())?;
            self.http = Some(HttpClient::over(transport, "simulated", BODY_BYTES_MAX));
        }
        self.http.as_mut().ok_or_else(|| "no connection".to_owned())
    }

    fn give_up(&mut self) {
        if let Some(mut http) = self.http.take() {
            http.close();
        }
    }
}

impl RestLane for MemoryLane {
    fn submit(&mut self, request: &RestRequest, venue_ms: u64, now: Nanos) {
        let headers = request.headers(&self.signer, &self.api_key, self.recv_window_ms, venue_ms);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let target = request.target();
        let sent = self
            .client()
            .and_then(|http| http.submit("GET", &target, &headers, b"").map_err(|error| error.to_string()));
        self.waiting = Some((request.path, now.saturating_add(ANSWER_WITHIN_NS)));
        self.failed = sent.err().map(|found| RestError::Transport { path: request.path, found });
    }

    fn poll(&mut self, now: Nanos) -> Option<Result<Value, RestError>> {
        let (path, deadline) = self.waiting?;
        let transport = |found: String| Err(RestError::Transport { path, found });
        let answer = if let Some(error) = self.failed.take() {
            Err(error)
        } else {
            match self.http.as_mut().and_then(HttpClient::poll) {
                Some(Ok(answer)) if answer.status == 200 => envelope(path, &String::from_utf8_lossy(&answer.body)),
                Some(Ok(answer)) => Err(RestError::Status { path, status: answer.status }),
                Some(Err(error)) => transport(error.to_string()),
                None if self.http.is_none() => transport("no connection".to_owned()),
                None if now >= deadline => transport("no answer in time".to_owned()),
                None => return None,
            }
        };
        if matches!(answer, Err(RestError::Transport { .. })) {
            self.give_up();
        }
        self.waiting = None;
        Some(answer)
    }
}
