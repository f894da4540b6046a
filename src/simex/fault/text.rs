//! Scripts as text, both ways.

use super::{Act, Channel, CutAt, Fault, FaultScript, MessageFault, Request, RequestFault, Topic};
use std::{fmt, str::FromStr};

/// Why a script cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: found `{word}`, expected {expected}")]
pub struct FaultError {
    /// The line, from 1.
    pub line: usize,
    /// The word that does not fit; empty at the end of the line.
    pub word: String,
    /// What fits there.
    pub expected: &'static str,
}

const CHANNELS: [(&str, Channel); 4] =
    [("public", Channel::Public), ("private", Channel::Private), ("trade", Channel::Trade), ("rest", Channel::Rest)];

const TOPICS: [(&str, Topic); 11] = [
    ("order", Topic::Order),
    ("execution", Topic::Execution),
    ("position", Topic::Position),
    ("wallet", Topic::Wallet),
    ("orderbook", Topic::Orderbook),
    ("publicTrade", Topic::Trades),
    ("tickers", Topic::Tickers),
    ("amend", Topic::Amend),
    ("cancel", Topic::Cancel),
    ("login", Topic::Login),
    ("pong", Topic::Pong),
];

const REQUESTS: [(&str, Request); 4] =
    [("order", Request::Order), ("amend", Request::Amend), ("cancel", Request::Cancel), ("rest", Request::Rest)];

const A_CHANNEL: &str = "public, private, trade or rest";
const A_STREAM: &str = "public, private or trade";
const A_TIME: &str = "a time like 12.5s or 800ms";
const A_REQUEST: &str = "order, amend, cancel or rest";
const A_VERB: &str = "drop, duplicate, delay, reorder, corrupt, silence, stall, half-open, cut, kick, lose, hold, refuse, \
                      doubt, http, ban, restart, snapshot, reprice, race, clock or freeze";

fn named<T: Copy>(list: &[(&'static str, T)], word: &str) -> Option<T> {
    list.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

fn name<T: PartialEq>(list: &[(&'static str, T)], value: &T) -> &'static str {
    list.iter().find(|(_, found)| found == value).map_or("", |(name, _)| name)
}

impl Channel {
    /// Its word in scripts.
    pub fn name(self) -> &'static str {
        name(&CHANNELS, &self)
    }

    /// Whether messages of this topic come on it.
    fn carries(self, topic: Topic) -> bool {
        use Topic::{Amend, Cancel, Execution, Login, Order, Orderbook, Pong, Position, Tickers, Trades, Wallet};
        match self {
            Self::Public => matches!(topic, Orderbook | Trades | Tickers | Login | Pong),
            Self::Private => matches!(topic, Order | Execution | Position | Wallet | Login | Pong),
            Self::Trade => matches!(topic, Order | Amend | Cancel | Login | Pong),
            Self::Rest => false,
        }
    }
}

/// Reads a time: a decimal number with `s`, `ms`, `us`, `ns` or `m`, exact to the nanosecond.
fn parse_time(word: &str) -> Option<u64> {
    let at = word.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = word.split_at(at);
    let unit_ns: u64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') || fraction.len() > 9 {
        return None;
    }
    let mut ns = whole.parse::<u64>().ok()?.checked_mul(unit_ns)?;
    if !fraction.is_empty() {
        let scale = 10u64.pow(fraction.len() as u32);
        let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit_ns);
        if part % u128::from(scale) != 0 {
            return None;
        }
        ns = ns.checked_add((part / u128::from(scale)) as u64)?;
    }
    Some(ns)
}

/// Writes a time so that [`parse_time`] reads the same.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        if ns > 0 && ns < 1_000_000_000 && ns.is_multiple_of(1_000_000) {
            return write!(f, "{}ms", ns / 1_000_000);
        }
        let (whole, part) = (ns / 1_000_000_000, ns % 1_000_000_000);
        match part {
            0 => write!(f, "{whole}s"),
            _ => write!(f, "{whole}.{}s", format!("{part:09}").trim_end_matches('0')),
        }
    }
}

/// The words of one line.
struct Words<'a> {
    words: std::iter::Peekable<std::str::SplitWhitespace<'a>>,
    line: usize,
}

impl<'a> Words<'a> {
    fn wrong(&self, word: &str, expected: &'static str) -> FaultError {
        FaultError { line: self.line, word: word.to_owned(), expected }
    }

    /// The next word, if `read` understands it.
    fn take<T>(&mut self, expected: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, FaultError> {
        let word = self.words.next().unwrap_or_default();
        read(word).ok_or_else(|| self.wrong(word, expected))
    }

    /// Likewise, but a word that is not understood is left where it is.
    fn try_take<T>(&mut self, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let found = read(self.words.peek()?)?;
        self.words.next();
        Some(found)
    }

    fn keyword(&mut self, keyword: &'static str) -> Result<(), FaultError> {
        self.take(keyword, |word| (word == keyword).then_some(()))
    }

    fn channel(&mut self) -> Result<Channel, FaultError> {
        self.take(A_CHANNEL, |word| named(&CHANNELS, word))
    }

    /// A channel whose connections stay: those of REST come and go.
    fn stream(&mut self) -> Result<Channel, FaultError> {
        self.take(A_STREAM, |word| named(&CHANNELS, word).filter(|channel| *channel != Channel::Rest))
    }

    fn request(&mut self) -> Result<Request, FaultError> {
        self.take(A_REQUEST, |word| named(&REQUESTS, word))
    }

    fn fault(&mut self) -> Result<Fault, FaultError> {
        self.keyword("at")?;
        let at_ns = self.take(A_TIME, parse_time)?;
        let for_ns = match self.try_take(|word| (word == "for").then_some(())) {
            Some(()) => Some(self.take(A_TIME, parse_time)?),
            None => None,
        };
        let verb = self.words.peek().copied().unwrap_or_default().to_owned();
        let act = self.act()?;
        if act.needs_duration() && for_ns.is_none() {
            return Err(self.wrong(&verb, "`for TIME` before it, since it lasts"));
        }
        if act.is_instant() && for_ns.is_some() {
            return Err(self.wrong(&verb, "no `for` before it, since it happens in a moment"));
        }
        let count = self.try_take(|word| word.parse::<u32>().ok().filter(|count| *count > 0 && act.is_counted()));
        match self.words.next() {
            None => Ok(Fault { at_ns, for_ns, act, count }),
            Some(word) if act.is_counted() => Err(self.wrong(word, "a number above zero, or the end of the line")),
            Some(word) => Err(self.wrong(word, "the end of the line")),
        }
    }

    fn act(&mut self) -> Result<Act, FaultError> {
        let verb = self.words.next().unwrap_or_default();
        Ok(match verb {
            "drop" => self.message(|_| Ok(MessageFault::Drop))?,
            "reorder" => self.message(|_| Ok(MessageFault::Reorder))?,
            "corrupt" => self.message(|_| Ok(MessageFault::Corrupt))?,
            "duplicate" => {
                self.message(|words| Ok(MessageFault::Duplicate(words.try_take(parse_time).unwrap_or(0))))?
            }
            "delay" => self.message(|words| words.take(A_TIME, parse_time).map(MessageFault::Delay))?,
            "silence" => Act::Silence(self.stream()?),
            "stall" => Act::Stall(self.channel()?),
            "half-open" => Act::HalfOpen(self.channel()?),
            "cut" => {
                let channel = self.channel()?;
                Act::Cut(channel, self.cut_at(channel)?)
            }
            "kick" => Act::Kick(self.stream()?),
            "lose" => Act::Request(RequestFault::Lose, self.request()?),
            "hold" => {
                let request = self.request()?;
                Act::Request(RequestFault::Hold(self.take(A_TIME, parse_time)?), request)
            }
            "refuse" | "doubt" => {
                let request = self.request()?;
                let code = self.take("a code like 10006", |word| word.parse::<i32>().ok().filter(|code| *code > 0))?;
                let how = if verb == "refuse" { RequestFault::Refuse(code) } else { RequestFault::Doubt(code) };
                Act::Request(how, request)
            }
            "http" => Act::Http(self.take("an HTTP status from 400 to 599", |word| {
                word.parse().ok().filter(|status| (400..600).contains(status))
            })?),
            "ban" => Act::Ban,
            "restart" => self.take("trade, venue or book", |word| match word {
                "trade" => Some(Act::RestartTrade),
                "venue" => Some(Act::RestartVenue),
                "book" => Some(Act::Snapshot { is_restart: true }),
                _ => None,
            })?,
            "snapshot" => {
                self.keyword("book")?;
                Act::Snapshot { is_restart: false }
            }
            "reprice" => {
                let read = |word: &str| word.strip_suffix("ticks")?.parse().ok().filter(|ticks| *ticks > 0);
                Act::Reprice { ticks: self.take("a distance like 3ticks", read)? }
            }
            "race" => self.take("fill-first or filled-twice", |word| match word {
                "fill-first" => Some(Act::Race { is_told_twice: false }),
                "filled-twice" => Some(Act::Race { is_told_twice: true }),
                _ => None,
            })?,
            "clock" => {
                let read = |word: &str| {
                    let ahead = word.strip_prefix('+').map(|rest| (rest, 1));
                    let (rest, sign) = ahead.or_else(|| word.strip_prefix('-').map(|rest| (rest, -1)))?;
                    i64::try_from(parse_time(rest)?).ok().filter(|ns| *ns > 0).map(|ns| ns * sign)
                };
                Act::Clock { ahead_ns: self.take("a step like +1500ms or -2s", read)? }
            }
            "freeze" => Act::Freeze,
            word => return Err(self.wrong(word, A_VERB)),
        })
    }

    fn message(&mut self, how: impl FnOnce(&mut Self) -> Result<MessageFault, FaultError>) -> Result<Act, FaultError> {
        let channel = self.channel()?;
        let topic = self.try_take(|word| named(&TOPICS, word).filter(|topic| channel.carries(*topic)));
        Ok(Act::Message { how: how(self)?, channel, topic })
    }

    fn cut_at(&mut self, channel: Channel) -> Result<CutAt, FaultError> {
        const HERE: &str = "mid-frame, mid- or after- with a request of this channel, or the end of the line";
        let Some(word) = self.words.next() else { return Ok(CutAt::Now) };
        let found = match word.split_once('-') {
            Some(("mid", "frame")) => Some(CutAt::MidFrame),
            Some(("mid", request)) => named(&REQUESTS, request).map(CutAt::Mid),
            Some(("after", request)) => named(&REQUESTS, request).map(CutAt::After),
            _ => None,
        };
        let fits = |at: &CutAt| match at {
            CutAt::Mid(request) | CutAt::After(request) => request.channel() == channel,
            _ => true,
        };
        found.filter(fits).ok_or_else(|| self.wrong(word, HERE))
    }
}

impl Request {
    /// Where it comes.
    pub fn channel(self) -> Channel {
        if self == Self::Rest { Channel::Rest } else { Channel::Trade }
    }
}

impl FromStr for FaultScript {
    type Err = FaultError;

    /// Reads a script. `#` begins a comment; a first comment `# seed N` is kept.
    fn from_str(text: &str) -> Result<Self, FaultError> {
        let mut script = Self::default();
        for (idx, raw) in text.lines().enumerate() {
            let line = idx + 1;
            let (content, comment) = raw.split_once('#').unwrap_or((raw, ""));
            if let Some(seed) = comment.trim().strip_prefix("seed ")
                && script.faults.is_empty()
            {
                script.seed = seed.trim().parse().ok().or(script.seed);
            }
            if content.trim().is_empty() {
                continue;
            }
            let mut words = Words { words: content.split_whitespace().peekable(), line };
            script.faults.push(words.fault()?);
        }
        Ok(script)
    }
}

impl fmt::Display for FaultScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(seed) = self.seed {
            writeln!(f, "# seed {seed}")?;
        }
        self.faults.iter().try_for_each(|fault| writeln!(f, "{fault}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}", Time(self.at_ns))?;
        if let Some(ns) = self.for_ns {
            write!(f, " for {}", Time(ns))?;
        }
        write!(f, " {}", self.act)?;
        match self.count {
            Some(count) => write!(f, " {count}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        match *self {
            Self::Message { how: MessageFault::Delay(ns), .. } | Self::Request(RequestFault::Hold(ns), _) => {
                write!(f, " {}", Time(ns))
            }
            Self::Message { how: MessageFault::Duplicate(ns), .. } if ns > 0 => write!(f, " {}", Time(ns)),
            Self::Reprice { ticks } => write!(f, " {ticks}ticks"),
            Self::Clock { ahead_ns } => {
                let sign = if ahead_ns < 0 { '-' } else { '+' };
                write!(f, " {sign}{}", Time(ahead_ns.unsigned_abs()))
            }
            _ => Ok(()),
        }
    }
}

impl Act {
    /// What it is called in counts: its line without times and distances.
    pub fn name(&self) -> String {
        match *self {
            Self::Message { how, channel, topic } => {
                let verb = match how {
                    MessageFault::Drop => "drop",
                    MessageFault::Duplicate(_) => "duplicate",
                    MessageFault::Delay(_) => "delay",
                    MessageFault::Reorder => "reorder",
                    MessageFault::Corrupt => "corrupt",
                };
                match topic {
                    Some(topic) => format!("{verb} {} {}", channel.name(), name(&TOPICS, &topic)),
                    None => format!("{verb} {}", channel.name()),
                }
            }
            Self::Silence(channel) => format!("silence {}", channel.name()),
            Self::Stall(channel) => format!("stall {}", channel.name()),
            Self::HalfOpen(channel) => format!("half-open {}", channel.name()),
            Self::Cut(channel, at) => match at {
                CutAt::Now => format!("cut {}", channel.name()),
                CutAt::MidFrame => format!("cut {} mid-frame", channel.name()),
                CutAt::Mid(request) => format!("cut {} mid-{}", channel.name(), name(&REQUESTS, &request)),
                CutAt::After(request) => format!("cut {} after-{}", channel.name(), name(&REQUESTS, &request)),
            },
            Self::Kick(channel) => format!("kick {}", channel.name()),
            Self::Request(how, request) => {
                let request = name(&REQUESTS, &request);
                match how {
                    RequestFault::Lose => format!("lose {request}"),
                    RequestFault::Hold(_) => format!("hold {request}"),
                    RequestFault::Refuse(code) => format!("refuse {request} {code}"),
                    RequestFault::Doubt(code) => format!("doubt {request} {code}"),
                }
            }
            Self::Http(status) => format!("http {status}"),
            Self::Ban => "ban".to_owned(),
            Self::RestartTrade => "restart trade".to_owned(),
            Self::RestartVenue => "restart venue".to_owned(),
            Self::Snapshot { is_restart: true } => "restart book".to_owned(),
            Self::Snapshot { is_restart: false } => "snapshot book".to_owned(),
            Self::Reprice { .. } => "reprice".to_owned(),
            Self::Race { is_told_twice: false } => "race fill-first".to_owned(),
            Self::Race { is_told_twice: true } => "race filled-twice".to_owned(),
            Self::Clock { .. } => "clock".to_owned(),
            Self::Freeze => "freeze".to_owned(),
        }
    }
}
