//! cryptofeed's recordings of raw messages: the text files of its `AsyncFileCallback`, and the JSON lines of its newer recorder.
//!
//! ```text
//! 1618678132.368: {"topic":…}                                  a message, received at that second
//! wss://… <- 1618678132.83: {"op":"subscribe",…}               a message that was sent: left out
//! https://…/depth?symbol=BTCUSDT&limit=1000 -> 1618678132.35: {"lastUpdateId":…}
//!
//! {"t":"recv","conn":"BYBIT.ws.1","ts":1618678132.91,"data":"{…}"}
//! {"t":"http","conn":"BINANCE.http.0","ts":1618678132.35,"url":"https://…","data":"{…}"}
//! ```
//!
//! Messages stay as they are, byte for byte. A depth snapshot does not say whose it is: its address does.

use std::borrow::Cow;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{Counts, Source, Timed};
use crate::failure::{Failure, Outcome};

/// Longest line; the engine's own limit for a capture's.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// A message of the venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Place in time: as [`Self::recv`], but never backwards within a file.
    at: u64,
    /// Receive time in Unix nanoseconds.
    pub recv: u64,
    /// The message.
    pub message: Vec<u8>,
    /// The symbol of a REST snapshot.
    pub symbol: Option<String>,
}

impl Timed for Raw {
    fn at(&self) -> u64 {
        self.at
    }
}

/// A line of the newer recorder.
#[derive(Deserialize)]
struct Record<'a> {
    t: &'a str,
    #[serde(borrow)]
    ts: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
    b64: Option<&'a str>,
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
}

/// What a line says: time, message, and the address of a REST answer.
type Line = (u64, Vec<u8>, Option<String>);

/// See the module's documentation.
pub struct Cryptofeed {
    text: Box<dyn BufRead>,
    file: PathBuf,
    line: u64,
    buffer: Vec<u8>,
    at: u64,
    counts: Counts,
}

impl Cryptofeed {
    /// Begins a file.
    pub fn open(file: &Path, text: Box<dyn BufRead>) -> Self {
        Self { text, file: file.to_owned(), line: 0, buffer: Vec::new(), at: 0, counts: Counts::default() }
    }

    fn failure(&self, what: impl std::fmt::Display) -> Failure {
        Failure::file(&self.file, format!("line {}: {what}", self.line))
    }
}

impl Source for Cryptofeed {
    type Item = Raw;

    fn next_item(&mut self) -> Outcome<Option<Raw>> {
        loop {
            self.buffer.clear();
            self.line += 1;
            let read = (&mut self.text).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut self.buffer);
            let len = read.map_err(|e| self.failure(e))?;
            if len == 0 {
                return Ok(None);
            }
            if len as u64 > LINE_BYTES_MAX {
                return Err(self.failure(format!("longer than {LINE_BYTES_MAX} bytes")));
            }
            let line = self.buffer.trim_ascii();
            if line.is_empty() {
                continue;
            }
            self.counts.rows += 1;
            let said = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned()).and_then(parse);
            let Some((recv, message, url)) = said.map_err(|e| self.failure(e))? else {
                self.counts.other_kinds += 1;
                continue;
            };
            let symbol = match url {
                Some(url) => match snapshot_symbol(&url, &message) {
                    Some(symbol) => Some(symbol),
                    None => {
                        self.counts.other_kinds += 1;
                        continue;
                    }
                },
                None => None,
            };
            if message.iter().any(|byte| matches!(byte, b'\t' | b'\n' | b'\r')) {
                return Err(self.failure("a message with a tab or a line break, which a capture cannot hold"));
            }
            self.at = self.at.max(recv);
            return Ok(Some(Raw { at: self.at, recv, message, symbol }));
        }
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}

/// Understands a line of either form; `None` for one that holds no message of the venue.
fn parse(line: &str) -> Result<Option<Line>, String> {
    if line.starts_with('{') {
        return parse_record(line);
    }
    if line.starts_with("configuration: ") || line.starts_with("wss://") || line.starts_with("ws://") {
        return Ok(None);
    }
    let shown = || line.chars().take(60).collect::<String>();
    let (url, rest) = match line.split_once(" -> ") {
        Some((url, rest)) if line.starts_with("http") => (Some(url.to_owned()), rest),
        _ => (None, line),
    };
    let (time, message) = rest.split_once(": ").ok_or_else(|| {
        format!("should be `<seconds>: <message>` or an exchange with an address, starts with `{}`", shown())
    })?;
    if message.starts_with("b'") || message.starts_with("b\"") {
        return Err(format!("a binary message, `{}`: its venue is not known here", shown()));
    }
    Ok(Some((nanos(time)?, message.as_bytes().to_vec(), url)))
}

fn parse_record(line: &str) -> Result<Option<Line>, String> {
    let record: Record<'_> = serde_json::from_str(line).map_err(|e| format!("no record of cryptofeed: {e}"))?;
    if !matches!(record.t, "recv" | "http") {
        return Ok(None);
    }
    let time = nanos(record.ts.ok_or("a record without `ts`")?.get())?;
    let message = match (record.data, record.b64) {
        (Some(data), _) => data.into_owned().into_bytes(),
        (None, Some(coded)) => base64::engine::general_purpose::STANDARD
            .decode(coded)
            .ok()
            .filter(|bytes| std::str::from_utf8(bytes).is_ok())
            .ok_or("a binary message: its venue is not known here")?,
        (None, None) => return Ok(None),
    };
    let url = if record.t == "http" { Some(record.url.unwrap_or_default().into_owned()) } else { None };
    Ok(Some((time, message, url)))
}

/// Seconds as nanoseconds; digits beyond are cut off.
fn nanos(text: &str) -> Result<u64, String> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let is_number = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let whole: Option<u64> = seconds.parse().ok().filter(|_| is_number);
    whole
        .and_then(|s| s.checked_mul(1_000_000_000)?.checked_add(digits.parse().ok()?))
        .ok_or_else(|| format!("time `{text}`, allowed are seconds since 1970"))
}

/// The symbol that a depth snapshot's address names; `None` for other answers.
fn snapshot_symbol(url: &str, message: &[u8]) -> Option<String> {
    let is_depth = message.windows(14).any(|window| window == b"\"lastUpdateId\"");
    let (_, query) = url.split_once('?')?;
    let symbol = query.split('&').find_map(|pair| pair.strip_prefix("symbol="))?;
    (is_depth && !symbol.is_empty()).then(|| symbol.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Raw>, String> {
        let mut source = Cryptofeed::open(Path::new("F"), Box::new(std::io::Cursor::new(text.to_owned())));
        let mut all = Vec::new();
        while let Some(raw) = source.next_item().map_err(|e| e.to_string())? {
            all.push(raw);
        }
        Ok(all)
    }

    #[test]
    fn both_forms_say_the_same() {
        let old = "configuration: {}\nwss://a <-> 1.0\nwss://a <- 1.5: {\"op\":\"subscribe\"}\n\
            http://a/depth?symbol=btcusdt&limit=9 -> 1618678132.35: {\"lastUpdateId\":5}\nhttp://a/time -> 1.0: {}\n\n\
            1618678132.3680005: {\"topic\": \"x: y\"}\n";
        let new = "{\"t\":\"header\",\"format\":2,\"exchange\":\"X\",\"config\":{}}\n\
            {\"t\":\"connect\",\"conn\":\"X.ws.1\",\"addr\":\"wss://a\",\"ts\":1.0}\n\
            {\"t\":\"send\",\"conn\":\"X.ws.1\",\"ts\":1.5,\"addr\":\"wss://a\",\"data\":\"{}\"}\n\
            {\"t\":\"http\",\"conn\":\"X.http.0\",\"ts\":1618678132.35,\"url\":\"http://a/depth?symbol=btcusdt&limit=9\",\
            \"data\":\"{\\\"lastUpdateId\\\":5}\"}\n\
            {\"t\":\"recv\",\"conn\":\"X.ws.1\",\"ts\":1618678132.3680005,\"data\":\"{\\\"topic\\\": \\\"x: y\\\"}\"}\n";
        let all = read(old).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].symbol.as_deref(), Some("BTCUSDT"));
        assert_eq!(all[0].recv, 1_618_678_132_350_000_000);
        assert_eq!((all[1].recv, &all[1].message[..]), (1_618_678_132_368_000_500, &b"{\"topic\": \"x: y\"}"[..]));
        assert_eq!(read(new).unwrap(), all);
    }

    #[test]
    fn time_may_step_back_but_the_order_stays() {
        let all = read("2.0: a\n1.0: b\n").unwrap();
        assert_eq!((all[1].at, all[1].recv), (2_000_000_000, 1_000_000_000));
    }

    #[test]
    fn damage_is_named_with_its_line() {
        for (bad, word) in [
            ("1.0: {}\nnonsense\n", "F: line 2: should be `<seconds>: <message>`"),
            ("1.x: {}\n", "F: line 1: time `1.x`"),
            ("1.0: b'\\x1f'\n", "binary"),
            ("1.0: a\tb\n", "tab"),
            ("{\"t\":\"recv\"\n", "no record"),
            ("{\"t\":\"recv\",\"ts\":true,\"data\":\"\"}\n", "time `true`"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
