//! Books and trades of captures, as the engine's own feed admits them.
//!
//! A book is told by its changes, so that nothing of it is lost: a row for each level of each message. Rows of one message have one
//! `message`, and a message without levels has a row without one. Where `kind` turns to `snapshot` the book begins anew; after
//! `stale` it is not known until then.

use std::path::PathBuf;

use tercel::journal::{Capture, CaptureFile, CaptureMeta, ClockKind, Frame, Merge, infer_file, meta_path};
use tercel::types::{
    Book, BookKind, BookState, Event, InstrumentId, InstrumentSpec, InstrumentTable, Meta, Side, Step, Trade, VenueId,
};
use tercel::venue::{Arrival, FeedConfig, MarketFeed};

use super::table::{Cell, Kind, Table};
use crate::failure::{Failure, Outcome};

/// Bytes of messages that are read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Refused messages that are shown.
const ERRORS_SHOWN: usize = 5;

/// Captures, ready to be read.
pub struct Captures {
    files: Vec<CaptureFile>,
    venues: Vec<VenueId>,
    table: InstrumentTable,
    /// Decimals of prices and of quantities: the most that an instrument has.
    scales: [u32; 2],
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Messages read.
    pub messages: u64,
    /// Messages that were refused.
    pub refused: u64,
    /// Breaks of a book's sequence.
    pub gaps: u64,
    /// The first refused ones, with why.
    pub errors: Vec<String>,
}

impl Captures {
    /// Looks at sidecars, or at the messages where there is none.
    ///
    /// # Errors
    /// Captures that cannot be read, or contradict each other.
    pub fn find(paths: &[PathBuf]) -> Outcome<Self> {
        let (mut files, mut venues, mut specs) = (Vec::new(), Vec::new(), Vec::<InstrumentSpec>::new());
        for path in paths {
            let sidecar = meta_path(path);
            let meta = if sidecar.exists() {
                CaptureMeta::read(&sidecar).map_err(|e| Failure::from(e.to_string()))?
            } else {
                let found = infer_file(path)?;
                found.guesses.iter().for_each(|guess| eprintln!("guessed: {guess}"));
                found.meta
            };
            let venue = meta.venue().map_err(|e| Failure::file(path, e))?;
            let feed = venues.iter().position(|known| *known == venue).unwrap_or_else(|| {
                venues.push(venue);
                venues.len() - 1
            });
            files.push(CaptureFile { path: path.clone(), clock: meta.clock, feed: feed as u16 });
            for (_, spec) in meta.table().map_err(|e| Failure::file(path, e))?.iter() {
                match specs.iter().find(|known| (known.venue, known.symbol) == (spec.venue, spec.symbol)) {
                    None => specs.push(*spec),
                    Some(known) if known == spec => {}
                    Some(known) => {
                        return Err(Failure::file(
                            path,
                            format!("{} has other steps than before ({})", spec.symbol, known.tick),
                        ));
                    }
                }
            }
        }
        if let Some(other) = files.iter().find(|f| (f.clock == ClockKind::Mono) != (files[0].clock == ClockKind::Mono))
        {
            return Err(Failure::file(&other.path, "has another clock than the files before it"));
        }
        let scale = |step: fn(&InstrumentSpec) -> Step| {
            specs.iter().map(|spec| u32::from(step(spec).decimals())).max().unwrap_or(0)
        };
        let scales = [scale(|spec| spec.tick), scale(|spec| spec.lot)];
        let table = InstrumentTable::new(specs)
            .filter(|table| !table.is_empty())
            .ok_or_else(|| Failure::usage(format!("allowed are 1 to {} instruments", InstrumentTable::LEN_MAX)))?;
        Ok(Self { files, venues, table, scales })
    }

    /// Gives every event to `take`, and after each piece asks `look` whether to go on.
    ///
    /// # Errors
    /// A damaged capture, or what `take` or `look` says.
    pub fn read(
        &self,
        assume_empty: bool,
        mut take: impl FnMut(&Event<'_>) -> Outcome,
        mut look: impl FnMut(u64) -> Outcome,
    ) -> Outcome<Found> {
        let config = FeedConfig { book_depth: None, assume_empty };
        let mut feeds = Vec::new();
        for venue in &self.venues {
            let feed = MarketFeed::new(*venue, &self.table, config);
            feeds.push(feed.ok_or_else(|| Failure::usage(format!("no decoder for {}", venue.name())))?);
        }
        let failed = |e: tercel::journal::LoadError| Failure::from(e.to_string());
        let mut merge = Merge::open(&self.files).map_err(failed)?;
        let (mut piece, mut found) = (Capture::default(), Found::default());
        loop {
            let goes_on = merge.fill(&mut piece, PIECE_BYTES).map_err(failed)?;
            for frame in (0..piece.len()).filter_map(|idx| piece.get(idx)) {
                self.frame(&mut feeds, &frame, &mut found, &mut take)?;
            }
            look(found.messages)?;
            if !goes_on {
                found.gaps = feeds.iter().map(|feed| feed.counters().gaps).sum();
                return Ok(found);
            }
        }
    }

    fn frame(
        &self,
        feeds: &mut [MarketFeed],
        frame: &Frame<'_>,
        found: &mut Found,
        take: &mut impl FnMut(&Event<'_>) -> Outcome,
    ) -> Outcome {
        let (Some(feed), Some(venue)) = (feeds.get_mut(frame.feed), self.venues.get(frame.feed)) else { return Ok(()) };
        found.messages += 1;
        let mut outcome = Ok(());
        let mut sink = |event: &Event<'_>| {
            if outcome.is_ok() {
                outcome = take(event);
            }
        };
        let arrival = Arrival { recv: frame.at, framed_ns: 0 };
        let result = match frame.symbol.and_then(|symbol| self.table.find(*venue, symbol.as_bytes())) {
            Some(instrument) => feed.on_snapshot(instrument, frame.message, arrival, &mut sink),
            None => feed.on_frame(frame.message, arrival, || 0, &mut sink),
        };
        if let Err(error) = result {
            found.refused += 1;
            if found.errors.len() < ERRORS_SHOWN {
                let shown = String::from_utf8_lossy(&frame.message[..frame.message.len().min(120)]);
                found.errors.push(format!("{error}: {shown}"));
            }
        }
        outcome
    }

    fn spec(&self, instrument: InstrumentId) -> Outcome<&InstrumentSpec> {
        self.table.get(instrument).ok_or_else(|| Failure::from(format!("{instrument:?} is not in the table")))
    }

    fn px(&self, spec: &InstrumentSpec, ticks: i64) -> Cell<'static> {
        decimal(spec.tick, ticks, self.scales[0])
    }

    fn qty(&self, spec: &InstrumentSpec, lots: i64) -> Cell<'static> {
        decimal(spec.lot, lots, self.scales[1])
    }

    /// Columns of books.
    pub fn book_columns(&self) -> Vec<(&'static str, Kind)> {
        vec![
            ("recv_time", Kind::Time),
            ("venue_time", Kind::Time),
            ("venue", Kind::Text),
            ("symbol", Kind::Text),
            ("message", Kind::Uint),
            ("update_id", Kind::Uint),
            ("kind", Kind::Text),
            ("side", Kind::Text),
            ("px", Kind::Decimal(self.scales[0])),
            ("qty", Kind::Decimal(self.scales[1])),
        ]
    }

    /// Columns of trades.
    pub fn trade_columns(&self) -> Vec<(&'static str, Kind)> {
        vec![
            ("recv_time", Kind::Time),
            ("venue_time", Kind::Time),
            ("venue", Kind::Text),
            ("symbol", Kind::Text),
            ("trade_id", Kind::Uint),
            ("taker_side", Kind::Text),
            ("px", Kind::Decimal(self.scales[0])),
            ("qty", Kind::Decimal(self.scales[1])),
        ]
    }

    /// Writes what an event says of a book; `message` counts the messages so far.
    ///
    /// # Errors
    /// The table's.
    pub fn write_book(&self, event: &Event<'_>, message: &mut u64, table: &mut Table) -> Outcome {
        match event {
            Event::Book(Book { meta, kind, bids, asks, .. }) => {
                *message += 1;
                let spec = self.spec(meta.instrument)?;
                let kind = if *kind == BookKind::Snapshot { "snapshot" } else { "delta" };
                let row = self.book_row(meta, spec, *message, kind);
                if bids.is_empty() && asks.is_empty() {
                    return table.row(&row);
                }
                for (side, levels) in [("bid", bids), ("ask", asks)] {
                    for level in *levels {
                        let mut row = row;
                        row[7] = Cell::Text(side);
                        row[8] = self.px(spec, level.px.get());
                        row[9] = self.qty(spec, level.qty.get());
                        table.row(&row)?;
                    }
                }
                Ok(())
            }
            Event::BookStatus(status) if status.state == BookState::Stale => {
                *message += 1;
                let spec = self.spec(status.meta.instrument)?;
                table.row(&self.book_row(&status.meta, spec, *message, "stale"))
            }
            _ => Ok(()),
        }
    }

    fn book_row<'a>(&self, meta: &Meta, spec: &'a InstrumentSpec, message: u64, kind: &'a str) -> [Cell<'a>; 10] {
        let [recv, venue_time, venue, symbol] = origin(meta, spec);
        let (message, update_id, kind) = (Cell::Uint(message), Cell::Uint(meta.seq), Cell::Text(kind));
        [recv, venue_time, venue, symbol, message, update_id, kind, Cell::Null, Cell::Null, Cell::Null]
    }

    /// Writes a trade.
    ///
    /// # Errors
    /// The table's.
    pub fn write_trade(&self, event: &Event<'_>, table: &mut Table) -> Outcome {
        let Event::Trade(Trade { meta, taker, px, qty }) = event else { return Ok(()) };
        let spec = self.spec(meta.instrument)?;
        let [recv, venue_time, venue, symbol] = origin(meta, spec);
        let (id, side) = (Cell::Uint(meta.seq), Cell::Text(side_word(*taker)));
        table.row(&[recv, venue_time, venue, symbol, id, side, self.px(spec, px.get()), self.qty(spec, qty.get())])
    }
}

/// When and where: receive time, the venue's time if it told one, venue, symbol.
pub fn origin<'a>(meta: &Meta, spec: &'a InstrumentSpec) -> [Cell<'a>; 4] {
    let venue_time = if meta.venue_ts.get() == 0 { Cell::Null } else { Cell::Time(meta.venue_ts.get()) };
    [Cell::Time(meta.recv.get()), venue_time, Cell::Text(spec.venue.name()), Cell::Text(spec.symbol.as_str())]
}

/// The word for a direction.
pub fn side_word(side: Side) -> &'static str {
    if side == Side::Bid { "buy" } else { "sell" }
}

/// So many steps at a column's scale, which is at least the step's.
pub fn decimal(step: Step, count: i64, scale: u32) -> Cell<'static> {
    let missing = scale.saturating_sub(u32::from(step.decimals()));
    Cell::Decimal(i128::from(count) * i128::from(step.units()) * 10i128.pow(missing))
}
