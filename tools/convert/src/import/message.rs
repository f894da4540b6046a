//! What a file of another project says, in ticks and lots, before it is put into a venue's words.

use tercel::types::{InstrumentTable, Side, Step};

use crate::failure::Outcome;

/// Greatest count of ticks or lots that the engine's decoders take.
pub const COUNT_MAX: i64 = 100_000_000_000_000_000;

/// One message: what was received together.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Receive time in Unix nanoseconds.
    pub at: u64,
    /// The venue's time in Unix nanoseconds; a capture keeps its milliseconds.
    pub venue_ns: u64,
    /// Index into the instruments of the command line.
    pub instrument: usize,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// New quantities of price levels, bids and asks; zero removes the level.
    Book {
        /// Whether they are the whole book.
        is_snapshot: bool,
        /// Price in ticks and quantity in lots: bids, asks. A price that comes twice is as it comes last.
        levels: [Vec<(i64, i64)>; 2],
    },
    /// Trades.
    Trades(Vec<Trade>),
}

/// A trade.
#[derive(Clone, Debug, PartialEq)]
pub struct Trade {
    /// Side of the aggressor.
    pub taker: Side,
    /// Ticks.
    pub px: i64,
    /// Lots.
    pub qty: i64,
    /// The source's number for it; empty if it has none.
    pub id: String,
}

/// What was read and what of it was left out, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows, or lines.
    pub rows: u64,
    /// Level changes of other instruments than those asked for, and their trades.
    pub other_instruments: u64,
    /// Level changes that came before the first snapshot, on which they could be put.
    pub before_snapshot: u64,
    /// Trades that do not say who took.
    pub without_side: u64,
    /// Events that no receiver saw (hftbacktest).
    pub not_received: u64,
    /// Anything else that a capture does not hold.
    pub other_kinds: u64,
}

impl Counts {
    /// Adds another file's.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.other_instruments += other.other_instruments;
        self.before_snapshot += other.before_snapshot;
        self.without_side += other.without_side;
        self.not_received += other.not_received;
        self.other_kinds += other.other_kinds;
    }

    /// What was left out, each with its name and count; nothing that is zero.
    pub fn left_out(&self) -> Vec<(&'static str, u64)> {
        let all = [
            ("of other instruments", self.other_instruments),
            ("before the first snapshot", self.before_snapshot),
            ("trades without a side", self.without_side),
            ("not received locally", self.not_received),
            ("of other kinds", self.other_kinds),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

/// What has a place in time.
pub trait Timed {
    /// Unix nanoseconds by which sources are merged; within a source they never run backwards.
    fn at(&self) -> u64;
}

impl Timed for Message {
    fn at(&self) -> u64 {
        self.at
    }
}

/// A file, or a chain of files, read item by item.
pub trait Source {
    /// What it gives.
    type Item: Timed;

    /// Returns the next item; `None` at the end.
    ///
    /// # Errors
    /// What is wrong, with file and place.
    fn next_item(&mut self) -> Outcome<Option<Self::Item>>;

    /// What was read and left out so far.
    fn counts(&self) -> Counts;
}

/// Gives the items of all sources to `take` in the order of their times, equal times in the order of the sources, and
/// returns what was read. Holds one item of each source.
///
/// # Errors
/// A source's, or what `take` says.
pub fn merge<T: Timed>(
    mut sources: Vec<Box<dyn Source<Item = T>>>,
    mut take: impl FnMut(T) -> Outcome,
) -> Outcome<Counts> {
    let mut ahead = Vec::with_capacity(sources.len());
    for source in &mut sources {
        ahead.push(source.next_item()?);
    }
    loop {
        let times = ahead.iter().enumerate().filter_map(|(idx, item)| Some((item.as_ref()?.at(), idx)));
        let Some((_, idx)) = times.min() else { break };
        let next = sources[idx].next_item()?;
        if let Some(item) = std::mem::replace(&mut ahead[idx], next) {
            take(item)?;
        }
    }
    let mut counts = Counts::default();
    for source in &sources {
        counts.add(source.counts());
    }
    Ok(counts)
}

/// Reads a count of steps, exactly. `1.5e-7`, as JavaScript writes small numbers, is read too.
///
/// # Errors
/// What is wrong with it, without its value.
pub fn steps(step: Step, text: &str) -> Result<i64, String> {
    let plain = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => plain(digits, exponent).ok_or("no decimal number")?,
        None => text.to_owned(),
    };
    let count = step.parse(plain.as_bytes()).map_err(|error| match error {
        tercel::types::DecimalError::OffStep { .. } => format!("no multiple of {step}"),
        other => other.to_string(),
    })?;
    in_range(count)
}

/// Refuses counts that the engine's decoders would refuse.
///
/// # Errors
/// Says what is allowed.
pub fn in_range(count: i64) -> Result<i64, String> {
    if (0..=COUNT_MAX).contains(&count) { Ok(count) } else { Err(format!("not within 0 and {COUNT_MAX} steps")) }
}

/// `1.5` and `-7` as `0.00000015`.
fn plain(digits: &str, exponent: &str) -> Option<String> {
    let exponent: i32 = exponent.parse().ok().filter(|e: &i32| e.abs() <= 40)?;
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let all = format!("{}{whole}{fraction}{}", "0".repeat(41), "0".repeat(41));
    let point = (41 + whole.len() as i32 + exponent) as usize;
    Some(format!("{sign}{}.{}", &all[..point], &all[point..]))
}

/// The instrument of that name.
pub fn find(table: &InstrumentTable, symbol: &str) -> Option<usize> {
    table.iter().position(|(_, spec)| spec.symbol.as_str() == symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_exact_or_refused() {
        let step = Step::from_text(b"0.00000005").unwrap();
        assert_eq!(steps(step, "1.5e-7"), Ok(3));
        assert_eq!(steps(step, "0.00000015"), Ok(3));
        assert_eq!(steps(step, "2E+0"), Ok(40_000_000));
        assert_eq!(steps(step, "12e-1"), Ok(24_000_000));
        assert_eq!(steps(step, "0.00000016").unwrap_err(), "no multiple of 0.00000005");
        for bad in ["", "1e", "e5", "1e99", "NaN", "1,5", "-1", "1.5e-7x", "99999999999999999"] {
            assert!(steps(step, bad).is_err(), "{bad}");
        }
    }

    struct Counting(Vec<u64>);

    impl Timed for (u64, usize) {
        fn at(&self) -> u64 {
            self.0
        }
    }

    impl Source for (usize, Counting) {
        type Item = (u64, usize);

        fn next_item(&mut self) -> Outcome<Option<Self::Item>> {
            Ok(if self.1.0.is_empty() { None } else { Some((self.1.0.remove(0), self.0)) })
        }

        fn counts(&self) -> Counts {
            Counts { rows: 1, ..Counts::default() }
        }
    }

    #[test]
    fn sources_merge_by_time_and_then_by_their_order() {
        let sources: Vec<Box<dyn Source<Item = (u64, usize)>>> =
            vec![Box::new((0, Counting(vec![1, 5, 5]))), Box::new((1, Counting(vec![1, 2, 5, 9])))];
        let mut seen = Vec::new();
        let counts = merge(sources, |item| {
            seen.push(item);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(1, 0), (1, 1), (2, 1), (5, 0), (5, 0), (5, 1), (9, 1)]);
        assert_eq!(counts.rows, 2);
    }
}
