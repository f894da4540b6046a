//! hftbacktest's event arrays, `npz` or `npy`: what its local processor sees of them.
//!
//! The files are one chain: each goes on where the one before it ended, with the book that was left. Events of one local time and one
//! venue time are one message, trades apart from level changes. A book begins empty, as it does there. Clearing a side up to a
//! price is told as the removal of each level; clearing both sides wholly makes the message a snapshot.
//!
//! Numbers are floating point in this format. Each must be a whole number of ticks or lots, but for what floating point itself
//! loses.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use tercel::types::{InstrumentSpec, Side, Step};

use super::message::{Body, COUNT_MAX, Counts, Message, Source, Trade};
use super::npy::{self, Row};
use crate::failure::{Failure, Outcome};
use crate::input::Progress;

/// The receiver saw it.
const LOCAL_EVENT: u64 = 1 << 30;
/// Bid side, or a buyer took.
const BUY_EVENT: u64 = 1 << 29;
/// Ask side, or a seller took.
const SELL_EVENT: u64 = 1 << 28;

const DEPTH: u64 = 1;
const TRADE: u64 = 2;
const DEPTH_CLEAR: u64 = 3;
const DEPTH_SNAPSHOT: u64 = 4;
/// Orders added, cancelled, modified and filled: a book order by order.
const ORDERS: std::ops::RangeInclusive<u64> = 10..=13;

/// How far from a whole number of steps a number may be.
const OFF_STEP_MAX: f64 = 1e-6;

type Levels = BTreeMap<i64, i64>;

/// A message in the making.
struct Open {
    local_ts: i64,
    exch_ts: i64,
    /// Level changes by price: bids, asks.
    changes: [Levels; 2],
    /// Which sides were cleared wholly.
    is_cleared: [bool; 2],
    trades: Vec<Trade>,
}

/// Rows of one file.
struct Rows {
    input: Box<dyn Read>,
    file: PathBuf,
    /// The next row, from 1.
    next: u64,
    count: u64,
}

/// See the module's documentation.
pub struct HftBacktest {
    files: VecDeque<PathBuf>,
    progress: Progress,
    spec: InstrumentSpec,
    rows: Option<Rows>,
    book: [Levels; 2],
    has_book: bool,
    open: Option<Open>,
    newest: i64,
    counts: Counts,
}

impl HftBacktest {
    /// A chain of files of one instrument.
    pub fn new(files: &[PathBuf], progress: &Progress, spec: &InstrumentSpec) -> Self {
        Self {
            files: files.iter().cloned().collect(),
            progress: progress.clone(),
            spec: *spec,
            rows: None,
            book: Default::default(),
            has_book: false,
            open: None,
            newest: 0,
            counts: Counts::default(),
        }
    }

    /// The next row with its file and place; `None` at the end of the chain.
    fn row(&mut self) -> Outcome<Option<(Row, PathBuf, u64)>> {
        loop {
            if let Some(rows) = &mut self.rows {
                if rows.next <= rows.count {
                    let place = rows.next;
                    rows.next += 1;
                    let row = npy::row(&mut rows.input)
                        .map_err(|e| Failure::file(&rows.file, format!("row {place} of {}: {e}", rows.count)))?;
                    return Ok(Some((row, rows.file.clone(), place)));
                }
                self.rows = None;
            }
            let Some(file) = self.files.pop_front() else { return Ok(None) };
            let mut input = open(&file, &self.progress)?;
            let count = npy::rows(&mut input).map_err(|e| Failure::file(&file, e))?;
            self.rows = Some(Rows { input, file, next: 1, count });
        }
    }

    /// Takes a row; returns the message that ended with it.
    fn take(&mut self, row: Row) -> Result<Option<Message>, String> {
        self.counts.rows += 1;
        if row.ev & LOCAL_EVENT == 0 {
            self.counts.not_received += 1;
            return Ok(None);
        }
        let kind = row.ev & 0xff;
        if ORDERS.contains(&kind) {
            return Err(format!("event {:#x} tells of a single order; order by order is not read", row.ev));
        }
        if !(DEPTH..=DEPTH_SNAPSHOT).contains(&kind) {
            self.counts.other_kinds += 1;
            return Ok(None);
        }
        if row.local_ts <= 0 || row.local_ts < self.newest {
            return Err(format!("local_ts {} is earlier than {} before", row.local_ts, self.newest));
        }
        self.newest = row.local_ts;
        if row.exch_ts < 0 {
            return Err(format!("exch_ts {} lies before 1970", row.exch_ts));
        }
        let side = match (row.ev & BUY_EVENT != 0, row.ev & SELL_EVENT != 0) {
            (true, true) => return Err(format!("event {:#x} is of both sides", row.ev)),
            (true, false) => Some(0),
            (false, true) => Some(1),
            (false, false) => None,
        };
        if kind == TRADE && side.is_none() {
            self.counts.without_side += 1;
            return Ok(None);
        }
        let is_part = |open: &Open| {
            (open.local_ts, open.exch_ts) == (row.local_ts, row.exch_ts) && (kind == TRADE) != open.trades.is_empty()
        };
        let whole = self.open.take_if(|open| !is_part(open)).map(|open| self.close(open));
        let open = self.open.get_or_insert_with(|| Open {
            local_ts: row.local_ts,
            exch_ts: row.exch_ts,
            changes: Default::default(),
            is_cleared: [false; 2],
            trades: Vec::new(),
        });
        match (kind, side) {
            (DEPTH_CLEAR, side) => {
                for idx in side.map_or(0..2, |side| side..side + 1) {
                    clear(&mut self.book[idx], idx, side.map(|_| row.px), self.spec.tick, open)?;
                }
            }
            (_, None) => return Err(format!("event {:#x} is of neither side", row.ev)),
            (TRADE, Some(side)) => {
                let (px, qty) = (price(self.spec.tick, row.px)?, steps("qty", self.spec.lot, row.qty)?);
                if qty == 0 {
                    return Err(format!("qty {} of a trade: must be above 0", row.qty));
                }
                let taker = if side == 0 { Side::Bid } else { Side::Ask };
                open.trades.push(Trade { taker, px, qty, id: String::new() });
            }
            (_, Some(side)) => {
                let (px, qty) = (price(self.spec.tick, row.px)?, steps("qty", self.spec.lot, row.qty)?);
                match qty {
                    0 => self.book[side].remove(&px),
                    qty => self.book[side].insert(px, qty),
                };
                open.changes[side].insert(px, qty);
            }
        }
        Ok(whole)
    }

    fn close(&mut self, open: Open) -> Message {
        let Open { local_ts, exch_ts, changes, is_cleared, trades } = open;
        let is_snapshot = !self.has_book || is_cleared == [true, true];
        let body = if trades.is_empty() {
            self.has_book = true;
            let levels = if is_snapshot { &self.book } else { &changes };
            let levels = levels.each_ref().map(|side| side.iter().map(|(px, qty)| (*px, *qty)).collect());
            Body::Book { is_snapshot, levels }
        } else {
            Body::Trades(trades)
        };
        // Neither is negative: `take` saw to that.
        Message { at: local_ts.unsigned_abs(), venue_ns: exch_ts.unsigned_abs(), instrument: 0, body }
    }
}

/// Clears a side of the book from its best price to `up_to`, or wholly if that is no number.
fn clear(book: &mut Levels, idx: usize, up_to: Option<f64>, tick: Step, open: &mut Open) -> Result<(), String> {
    let up_to = match up_to {
        Some(px) if px.is_finite() => Some(steps("px", tick, px)?),
        _ => None,
    };
    let is_gone = |px: i64| up_to.is_none_or(|up_to| if idx == 0 { px >= up_to } else { px <= up_to });
    book.retain(|px, _| {
        if is_gone(*px) {
            open.changes[idx].insert(*px, 0);
        }
        !is_gone(*px)
    });
    open.is_cleared[idx] |= book.is_empty();
    Ok(())
}

fn price(tick: Step, value: f64) -> Result<i64, String> {
    match steps("px", tick, value)? {
        0 => Err(format!("px {value}: must be above 0")),
        px => Ok(px),
    }
}

/// A floating point number as whole steps.
fn steps(name: &str, step: Step, value: f64) -> Result<i64, String> {
    let exact = value / step.to_f64_lossy(1);
    let whole = exact.round();
    // What the format's numbers themselves cannot tell apart is not the file's fault.
    let allowed = OFF_STEP_MAX.max(exact.abs() * 4.0 * f64::EPSILON);
    if !(0.0..=COUNT_MAX as f64).contains(&whole) || (exact - whole).abs() > allowed || allowed >= 0.5 {
        return Err(format!("{name} {value}: no multiple of {step}, which it must be within a millionth of that"));
    }
    Ok(whole as i64)
}

/// The array of a file: the file itself, or the only one in an archive.
fn open(file: &Path, progress: &Progress) -> Outcome<Box<dyn Read>> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut start = [0; 4];
    let read = File::open(file).and_then(|mut opened| opened.read(&mut start));
    read.map_err(|e| Failure::file(file, e))?;
    if &start != b"PK\x03\x04" {
        return Ok(Box::new(BufReader::with_capacity(1 << 18, progress.open(file)?)));
    }
    let bad = |what: String| Failure::file(file, format!("archive: {what}"));
    let mut archive =
        zip::ZipArchive::new(File::open(file).map_err(|e| Failure::file(file, e))?).map_err(|e| bad(e.to_string()))?;
    let arrays: Vec<String> = archive.file_names().filter(|name| name.ends_with(".npy")).map(str::to_owned).collect();
    let array = match &arrays[..] {
        [one] => one.clone(),
        several if several.iter().any(|name| name == "data.npy") => "data.npy".to_owned(),
        other => return Err(bad(format!("{name} holds the arrays {other:?}, wanted is one, or `data.npy`"))),
    };
    let entry = archive.by_name(&array).map_err(|e| bad(e.to_string()))?;
    let (start, len, method) = (entry.data_start(), entry.compressed_size(), entry.compression());
    drop(entry);
    // Read past the archive, so that nothing borrows it.
    let mut input = progress.open(file)?;
    input.seek(std::io::SeekFrom::Start(start)).map_err(|e| Failure::file(file, e))?;
    let input = BufReader::with_capacity(1 << 18, input.take(len));
    match method {
        zip::CompressionMethod::Stored => Ok(Box::new(input)),
        zip::CompressionMethod::Deflated => {
            Ok(Box::new(BufReader::with_capacity(1 << 18, flate2::bufread::DeflateDecoder::new(input))))
        }
        other => Err(bad(format!("{array} is compressed by {other}, known are store and deflate"))),
    }
}

impl Source for HftBacktest {
    type Item = Message;

    fn next_item(&mut self) -> Outcome<Option<Message>> {
        loop {
            let Some((row, file, place)) = self.row()? else {
                return Ok(self.open.take().map(|open| self.close(open)));
            };
            if let Some(message) = self.take(row).map_err(|e| Failure::file(&file, format!("row {place}: {e}")))? {
                return Ok(Some(message));
            }
        }
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floating_point_is_rounded_only_where_it_is_a_whole_step() {
        let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
        assert_eq!(steps("px", step("0.1"), 61659.7), Ok(616_597));
        assert_eq!(steps("px", step("0.1"), 0.1 + 0.2), Ok(3));
        assert_eq!(steps("qty", step("0.001"), 123_456_789.123), Ok(123_456_789_123));
        assert_eq!(steps("qty", step("0.5"), 0.0), Ok(0));
        for bad in [61659.75, 61659.700001, -0.1, f64::NAN, f64::INFINITY, 1e30] {
            assert!(steps("px", step("0.1"), bad).is_err(), "{bad}");
        }
    }
}
