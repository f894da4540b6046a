//! One WebSocket of a check: says something, and waits for the message that it is about.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::net::Message;
use crate::runtime::{Clock, LinkConfig, LinkNews, WsLink};
use crate::types::Nanos;
use crate::venue::bybit::Signer;

/// Longest time for an answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Time between two looks at a socket.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// Most messages that wait to be looked at; older ones are forgotten.
const INBOX_MAX: usize = 4096;

/// One connection.
pub(super) struct Wire {
    link: WsLink,
    clock: Clock,
    inbox: VecDeque<Value>,
}

impl Wire {
    /// Opens a connection.
    pub fn open(config: LinkConfig) -> Result<Self, String> {
        let mut wire = Self { link: WsLink::new(config), clock: Clock::new(), inbox: VecDeque::new() };
        let began = Instant::now();
        loop {
            if wire.link.poll(wire.clock.now()) == LinkNews::Opened {
                return Ok(wire);
            }
            if began.elapsed() > ANSWER_WITHIN {
                let why = wire.link.last_close();
                return Err(format!("did not open within {} s: {why:?}", ANSWER_WITHIN.as_secs()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Sends a message.
    pub fn say(&mut self, text: &str) -> Result<(), String> {
        let conn = self.link.conn().ok_or("the connection is lost")?;
        conn.send_text(text.as_bytes()).map_err(|e| e.to_string())?;
        conn.flush().map(|_| ()).map_err(|e| e.to_string())
    }

    /// Gives every message that is there to `take`, with the moment at which it was read.
    pub fn read(&mut self, mut take: impl FnMut(&[u8], Nanos)) -> Result<(), String> {
        if self.link.poll(self.clock.now()) == LinkNews::Lost {
            return Err(format!("the connection was lost: {:?}", self.link.last_close()));
        }
        let now = self.clock.now();
        let conn = self.link.conn().ok_or("the connection is lost")?;
        while conn.fill().map_err(|e| e.to_string())? > 0 {
            while let Some(message) = conn.next_message().map_err(|e| e.to_string())? {
                match message {
                    Message::Text(text) => take(text, now),
                    Message::Close { code, .. } => return Err(format!("the venue closed the connection: {code:?}")),
                    _ => {}
                }
            }
        }
        conn.flush().map_err(|e| e.to_string())?;
        self.link.heard(now);
        Ok(())
    }

    /// The first message for which `is_it` holds, also of those that came before; others stay.
    pub fn wait(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let began = Instant::now();
        loop {
            if let Some(at) = self.inbox.iter().position(&is_it) {
                return self.inbox.remove(at).ok_or_else(|| what.to_owned());
            }
            if began.elapsed() > ANSWER_WITHIN {
                return Err(format!("{what}: nothing came within {} s", ANSWER_WITHIN.as_secs()));
            }
            let mut came = Vec::new();
            self.read(|text, _| came.extend(serde_json::from_slice::<Value>(text).ok()))?;
            self.inbox.extend(came);
            while self.inbox.len() > INBOX_MAX {
                self.inbox.pop_front();
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The first item of a topic's messages for which `is_it` holds. Its message stays: it may hold more.
    pub fn item(&mut self, topic: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let matching = |message: &Value| {
            let is_topic = message["topic"].as_str() == Some(topic);
            message["data"].as_array().filter(|_| is_topic)?.iter().find(|item| is_it(item)).cloned()
        };
        let found = self.wait(topic, |message| matching(message).is_some())?;
        let item = matching(&found).ok_or_else(|| topic.to_owned())?;
        self.inbox.push_front(found);
        Ok(item)
    }

    /// Logs in; returns what the venue answered if it refused.
    pub fn login(&mut self, signer: &Signer, api_key: &str, expires_ms: u64) -> Result<(), String> {
        self.say(&signer.auth_message(api_key, expires_ms))?;
        let answer = self.wait("the answer to the login", |message| message["op"].as_str() == Some("auth"))?;
        let is_good = answer["success"].as_bool().unwrap_or(true) && answer["retCode"].as_i64().unwrap_or(0) == 0;
        if is_good { Ok(()) } else { Err(format!("refused: {answer}")) }
    }
}
