//! Tardis' CSV files `incremental_book_L2` and `trades`, told apart by their headers.
//!
//! ```text
//! exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount
//! exchange,symbol,timestamp,local_timestamp,id,side,price,amount
//! ```
//!
//! Times are microseconds. Rows of one instrument with one `local_timestamp` are one message. A snapshot begins where `is_snapshot` turns
//! true; further rows of it that came later add to it. Changes before a file's first snapshot were buffered by the recorder
//! before it had the book, and are left out, as Tardis says they must be.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder};
use tercel::types::{InstrumentTable, Side, Step};

use super::bybit::is_plain;
use super::message::{Body, Counts, Message, Source, Trade, find, steps};
use crate::failure::{Failure, Outcome};

/// Where the columns are that both kinds of files have.
struct Columns {
    exchange: usize,
    symbol: usize,
    timestamp: usize,
    local_timestamp: usize,
    side: usize,
    price: usize,
    amount: usize,
    kind: Kind,
}

/// What a file holds, with its own column.
#[derive(Clone, Copy)]
enum Kind {
    Book { is_snapshot: usize },
    Trades { id: usize },
}

/// What is remembered of an instrument of this file.
#[derive(Clone, Default)]
struct State {
    exchange: Option<String>,
    has_snapshot: bool,
    was_snapshot: bool,
}

/// See the module's documentation.
pub struct Tardis {
    reader: Reader<Box<dyn BufRead>>,
    file: PathBuf,
    table: InstrumentTable,
    columns: Columns,
    record: ByteRecord,
    states: Vec<State>,
    /// Messages of the local time `at`, which may still grow.
    open: Vec<Message>,
    ready: VecDeque<Message>,
    at: u64,
    has_ended: bool,
    counts: Counts,
}

impl Tardis {
    /// Begins a file.
    ///
    /// # Errors
    /// Its header is not that of either kind.
    pub fn open(file: &Path, text: Box<dyn BufRead>, table: &InstrumentTable) -> Outcome<Self> {
        let mut reader = ReaderBuilder::new().has_headers(true).from_reader(text);
        let header = reader.headers().map_err(|e| Failure::file(file, e))?.clone();
        let find = |name: &str| header.iter().position(|column| column == name);
        let columns = || {
            Some(Columns {
                exchange: find("exchange")?,
                symbol: find("symbol")?,
                timestamp: find("timestamp")?,
                local_timestamp: find("local_timestamp")?,
                side: find("side")?,
                price: find("price")?,
                amount: find("amount")?,
                kind: match find("is_snapshot") {
                    Some(is_snapshot) => Kind::Book { is_snapshot },
                    None => Kind::Trades { id: find("id")? },
                },
            })
        };
        let columns = columns().ok_or_else(|| {
            let found: Vec<&str> = header.iter().collect();
            let found = found.join(",");
            Failure::file(
                file,
                format!("line 1: found the columns `{found}`, allowed are those of incremental_book_L2 and of trades"),
            )
        })?;
        Ok(Self {
            reader,
            file: file.to_owned(),
            table: table.clone(),
            columns,
            record: ByteRecord::new(),
            states: vec![State::default(); table.len()],
            open: Vec::new(),
            ready: VecDeque::new(),
            at: 0,
            has_ended: false,
            counts: Counts::default(),
        })
    }

    /// Reads one row; false at the end.
    fn row(&mut self) -> Outcome<bool> {
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => return Err(self.damaged(&error)),
        }
        self.counts.rows += 1;
        let line = self.record.position().map_or(0, csv::Position::line);
        let message = match self.parse() {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(true),
            Err(what) => return Err(Failure::file(&self.file, format!("line {line}: {what}"))),
        };
        self.take(message);
        Ok(true)
    }

    fn damaged(&self, error: &csv::Error) -> Failure {
        let line = error.position().map_or_else(|| self.reader.position().line(), csv::Position::line);
        let what = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("{len} fields, {expected_len} in the header")
            }
            _ => error.to_string(),
        };
        Failure::file(&self.file, format!("line {line}: {what}"))
    }

    /// Understands a row; `None` for one that is left out.
    fn parse(&mut self) -> Result<Option<Message>, String> {
        let Self { record, columns, .. } = self;
        let field = |idx: usize| std::str::from_utf8(record.get(idx).unwrap_or_default()).map_err(|_| "not UTF-8");
        let symbol = field(columns.symbol)?;
        let at = nanos("local_timestamp", field(columns.local_timestamp)?)?;
        if at < self.at {
            let (earlier, later) = (at / 1000, self.at / 1000);
            return Err(format!("local_timestamp `{earlier}` is earlier than {later} of the row before"));
        }
        let Some(instrument) = find(&self.table, symbol) else {
            self.counts.other_instruments += 1;
            return Ok(None);
        };
        let Some((_, spec)) = self.table.iter().nth(instrument) else { return Ok(None) };
        let state = &mut self.states[instrument];
        let exchange = field(columns.exchange)?;
        match &state.exchange {
            None => state.exchange = Some(exchange.to_owned()),
            Some(known) if known == exchange => {}
            Some(known) => {
                return Err(format!("exchange `{exchange}`, {symbol} was of {known} before: two books under one name"));
            }
        }
        let venue_ns = nanos("timestamp", field(columns.timestamp)?)?;
        let px = count("price", spec.tick, field(columns.price)?)?;
        let qty = count("amount", spec.lot, field(columns.amount)?)?;
        if px == 0 {
            return Err(format!("price `{}`: must be above 0", field(columns.price)?));
        }
        let side = field(columns.side)?;
        let body = match columns.kind {
            Kind::Book { is_snapshot } => {
                let is_snapshot = match field(is_snapshot)? {
                    "true" => true,
                    "false" => false,
                    other => return Err(format!("is_snapshot `{other}`, allowed are true and false")),
                };
                let idx = match side {
                    "bid" => 0,
                    "ask" => 1,
                    other => return Err(format!("side `{other}`, allowed are bid and ask")),
                };
                if !is_snapshot && !state.has_snapshot {
                    self.counts.before_snapshot += 1;
                    return Ok(None);
                }
                let begins = is_snapshot && !state.was_snapshot;
                // The rows of the snapshot's own moment are whole with it; later ones add to it.
                let is_same_moment = self.open.iter().any(|open| open.instrument == instrument && is_whole(open));
                let is_whole = begins || (is_snapshot && at == self.at && is_same_moment);
                (state.has_snapshot, state.was_snapshot) = (true, is_snapshot);
                let mut levels = [Vec::new(), Vec::new()];
                levels[idx].push((px, qty));
                Body::Book { is_snapshot: is_whole, levels }
            }
            Kind::Trades { id } => {
                let taker = match side {
                    "buy" => Side::Bid,
                    "sell" => Side::Ask,
                    "unknown" => {
                        self.counts.without_side += 1;
                        return Ok(None);
                    }
                    other => return Err(format!("side `{other}`, allowed are buy, sell and unknown")),
                };
                if qty == 0 {
                    return Err(format!("amount `{}`: must be above 0 in a trade", field(columns.amount)?));
                }
                let id = field(id)?;
                if !is_plain(id) {
                    return Err(format!("id `{id}`: allowed are printable letters without quotes"));
                }
                Body::Trades(vec![Trade { taker, px, qty, id: id.to_owned() }])
            }
        };
        Ok(Some(Message { at, venue_ns, instrument, body }))
    }

    /// Adds a row to the message that it is part of.
    fn take(&mut self, row: Message) {
        if row.at != self.at {
            self.ready.extend(self.open.drain(..));
            self.at = row.at;
        }
        let newest = self.open.iter_mut().rev().find(|open| open.instrument == row.instrument);
        match (newest.map(|open| (&mut open.venue_ns, &mut open.body)), row.body) {
            (
                Some((venue_ns, Body::Book { is_snapshot, levels })),
                Body::Book { is_snapshot: is_whole, levels: more },
            ) if *is_snapshot == is_whole => {
                *venue_ns = row.venue_ns;
                for (side, more) in levels.iter_mut().zip(more) {
                    side.extend(more);
                }
            }
            (Some((venue_ns, Body::Trades(trades))), Body::Trades(more)) => {
                *venue_ns = row.venue_ns;
                trades.extend(more);
            }
            (_, body) => self.open.push(Message { body, ..row }),
        }
    }
}

fn is_whole(message: &Message) -> bool {
    matches!(message.body, Body::Book { is_snapshot: true, .. })
}

/// Microseconds as nanoseconds.
fn nanos(column: &str, text: &str) -> Result<u64, String> {
    let micros: Option<u64> = text.parse().ok();
    micros
        .filter(|micros| *micros > 0)
        .and_then(|micros| micros.checked_mul(1000))
        .ok_or_else(|| format!("{column} `{text}`, allowed are microseconds since 1970"))
}

fn count(column: &str, step: Step, text: &str) -> Result<i64, String> {
    steps(step, text).map_err(|what| format!("{column} `{text}`: {what}"))
}

impl Source for Tardis {
    type Item = Message;

    fn next_item(&mut self) -> Outcome<Option<Message>> {
        while self.ready.is_empty() && !self.has_ended {
            if !self.row()? {
                self.has_ended = true;
                self.ready.extend(self.open.drain(..));
            }
        }
        Ok(self.ready.pop_front())
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}
