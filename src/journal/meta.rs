//! What a capture does not say itself: venue, product, steps, clock. Written beside it as `NAME.meta.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::capture::{CaptureError, CaptureReader, side_snapshots, stem};
use crate::types::{InstrumentSpec, InstrumentTable, Product, Step, Symbol, VenueId};
use crate::venue::survey::Survey;

/// What the receive times of a capture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockKind {
    /// Nanoseconds since the Unix epoch.
    Unix,
    /// Nanoseconds since some start.
    Mono,
    /// None were recorded; the venue's own times serve.
    None,
}

/// One instrument of a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SidecarInstrument {
    /// The venue's name for it.
    pub symbol: String,
    /// Size of one tick, a decimal text.
    pub tick: String,
    /// Size of one lot, a decimal text.
    pub lot: String,
    /// Bybit: which depth is the book.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub book_depth: Option<u16>,
}

/// The sidecar of a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    /// `bybit`, `binance-usdm`, `binance-coinm` or `binance-spot`.
    pub venue: String,
    /// `linear`, `inverse` or `spot`.
    pub product: String,
    /// What the receive times are.
    pub clock: ClockKind,
    /// Instruments, in the order of their ids.
    pub instruments: Vec<SidecarInstrument>,
}

/// What is wrong with a sidecar, or why none could be inferred.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not the JSON that it should be.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What was found and what was allowed.
        source: serde_json::Error,
    },
    /// A field holds what it cannot hold.
    #[error("{field}: found `{found}`, {allowed}")]
    BadField {
        /// Which field.
        field: String,
        /// What it holds.
        found: String,
        /// What it may hold.
        allowed: &'static str,
    },
    /// The capture itself cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// No message of a known venue.
    #[error("{}: none of its messages is Bybit's or Binance's", path.display())]
    UnknownVenue {
        /// The capture.
        path: PathBuf,
    },
}

impl Sidecar {
    /// Where the sidecar of a capture lies.
    pub fn path_for(capture: &Path) -> PathBuf {
        capture.with_file_name(format!("{}.meta.json", stem(capture)))
    }

    /// Reads the sidecar of a capture; `None` if it has none.
    ///
    /// # Errors
    /// [`MetaError`].
    pub fn read_for(capture: &Path) -> Result<Option<Self>, MetaError> {
        let path = Self::path_for(capture);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(MetaError::Io { path, source }),
        };
        let sidecar: Self = serde_json::from_slice(&text).map_err(|source| MetaError::Json { path, source })?;
        sidecar.table()?;
        Ok(Some(sidecar))
    }

    /// Writes the sidecar of a capture, whole or not at all, and returns where.
    ///
    /// # Errors
    /// [`MetaError::Io`].
    pub fn write_for(&self, capture: &Path) -> Result<PathBuf, MetaError> {
        let path = Self::path_for(capture);
        let part = path.with_extension("json.part");
        let write = || {
            let mut text = serde_json::to_vec_pretty(self)?;
            text.push(b'\n');
            std::fs::write(&part, text)?;
            std::fs::rename(&part, &path)
        };
        write().map_err(|source| MetaError::Io { path: path.clone(), source })?;
        Ok(path)
    }

    /// The venue.
    ///
    /// # Errors
    /// [`MetaError::BadField`].
    pub fn venue_id(&self) -> Result<VenueId, MetaError> {
        VenueId::from_name(&self.venue).ok_or_else(|| MetaError::BadField {
            field: "venue".into(),
            found: self.venue.clone(),
            allowed: "one of bybit, binance-usdm, binance-coinm, binance-spot is allowed",
        })
    }

    /// The instruments with the venue's ordinary constants; ids follow the order here.
    ///
    /// # Errors
    /// [`MetaError::BadField`].
    pub fn table(&self) -> Result<InstrumentTable, MetaError> {
        let venue = self.venue_id()?;
        let bad = |field: String, found: &str, allowed| MetaError::BadField { field, found: found.into(), allowed };
        let product = Product::from_name(&self.product)
            .ok_or_else(|| bad("product".into(), &self.product, "one of linear, inverse, spot is allowed"))?;
        let specs: Result<Vec<_>, _> = self
            .instruments
            .iter()
            .enumerate()
            .map(|(idx, instrument)| {
                let field = |name| format!("instruments[{idx}].{name}");
                let step = |name, text: &str| {
                    let allowed = "a decimal above zero with at most 12 decimals is allowed";
                    Step::from_text(text.as_bytes()).map_err(|_| bad(field(name), text, allowed))
                };
                let symbol = Symbol::new(instrument.symbol.as_bytes()).ok_or_else(|| {
                    bad(field("symbol"), &instrument.symbol, "1 to 31 printable ASCII characters are allowed")
                })?;
                let (tick, lot) = (step("tick", &instrument.tick)?, step("lot", &instrument.lot)?);
                InstrumentSpec::new(venue, symbol, product, tick, lot)
                    .ok_or_else(|| bad(field("lot"), &instrument.lot, "tick and lot may have 12 decimals together"))
            })
            .collect();
        InstrumentTable::new(specs?).ok_or_else(|| {
            bad("instruments".into(), &self.instruments.len().to_string(), "up to 4096 different symbols are allowed")
        })
    }
}

/// A sidecar made from what the messages show.
#[derive(Clone, Debug)]
pub struct Inferred {
    /// The guess.
    pub sidecar: Sidecar,
    /// What was guessed, in sentences for a person.
    pub guesses: Vec<String>,
    /// Messages read, those in the snapshots beside the capture included.
    pub messages: u64,
    /// Whether any snapshot of a book was seen; without one a Binance book never becomes live.
    pub has_snapshot: bool,
}

/// Reads a whole capture once, with the snapshots beside it, and infers its sidecar.
///
/// # Errors
/// [`MetaError`].
pub fn infer(path: &Path) -> Result<Inferred, MetaError> {
    let mut survey = Survey::new();
    let mut messages = 0;
    let (mut zero_count, mut small_count, mut unix_count) = (0u64, 0u64, 0u64);
    let mut reader = CaptureReader::open(path)?;
    while let Some(line) = reader.next_line() {
        let line = line?;
        messages += 1;
        match line.recv {
            0 => zero_count += 1,
            1..UNIX_MIN => small_count += 1,
            _ => unix_count += 1,
        }
        survey.note(line.message, None);
    }
    for (side, symbol) in side_snapshots(path)? {
        let mut reader = CaptureReader::open(&side)?;
        while let Some(line) = reader.next_line() {
            messages += 1;
            survey.note(line?.message, Some(&symbol));
        }
    }
    survey.settle();
    let venue = survey.venue().ok_or_else(|| MetaError::UnknownVenue { path: path.to_path_buf() })?;
    let clock = match (small_count, unix_count) {
        (0, 0) => ClockKind::None,
        (small, unix) if small > unix => ClockKind::Mono,
        _ => ClockKind::Unix,
    };
    let (product, is_product_sure) = survey.product();
    let mut guesses = vec![format!("venue {} from the shape of the messages", venue.name())];
    if is_product_sure {
        guesses.push(format!("product {} from fields and symbols", product.name()));
    } else {
        guesses.push(format!("product {}: nothing speaks for another", product.name()));
    }
    guesses.push(match clock {
        ClockKind::Unix if zero_count > 0 => format!("clock unix; {zero_count} messages have no receive time"),
        ClockKind::Unix => "clock unix: receive times lie after 2001".into(),
        ClockKind::Mono => "clock mono: receive times are too small for unix time".into(),
        ClockKind::None => "clock none: no receive times, the venue's own times serve".into(),
    });
    let decimal = |decimals: usize| match decimals {
        0 => "1".to_owned(),
        decimals => format!("0.{}1", "0".repeat(decimals - 1)),
    };
    let instruments = survey.symbols.iter().map(|(symbol, seen)| {
        let (tick, lot) = (decimal(seen.px_decimals), decimal(seen.qty_decimals));
        if seen.numbers == 0 {
            guesses.push(format!("{symbol}: no price or quantity of its own seen, so tick and lot of 1"));
        } else {
            guesses.push(format!(
                "{symbol}: tick {tick} and lot {lot} from the greatest number of decimals in {} numbers; the real ones \
                 may be coarser",
                seen.numbers
            ));
        }
        let deepest = seen.depths.last().copied();
        if seen.depths.len() > 1 {
            let depths: Vec<String> = seen.depths.iter().map(u16::to_string).collect();
            guesses.push(format!("{symbol}: book depths {}; the deepest is the book", depths.join(", ")));
        }
        SidecarInstrument { symbol: symbol.clone(), tick, lot, book_depth: deepest }
    });
    let instruments = instruments.collect();
    if survey.unknown > 0 {
        guesses.push(format!("{} messages are of neither dialect", survey.unknown));
    }
    if survey.bare_snapshots > 0 && survey.symbols.len() > 1 {
        guesses.push(format!("{} snapshots in the stream name no symbol", survey.bare_snapshots));
    }
    let has_snapshot = survey.snapshots > 0;
    if !has_snapshot {
        guesses.push("no snapshot of a book was seen".into());
    }
    let sidecar = Sidecar { venue: venue.name().into(), product: product.name().into(), clock, instruments };
    sidecar.table()?;
    Ok(Inferred { sidecar, guesses, messages, has_snapshot })
}

/// Receive times below this cannot be Unix time of a capture: 2001-09-09 in nanoseconds.
const UNIX_MIN: u64 = 1_000_000_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn sidecar() -> Sidecar {
        let instrument = |symbol: &str, tick: &str, lot: &str| SidecarInstrument {
            symbol: symbol.into(),
            tick: tick.into(),
            lot: lot.into(),
            book_depth: None,
        };
        Sidecar {
            venue: "bybit".into(),
            product: "linear".into(),
            clock: ClockKind::Unix,
            instruments: vec![instrument("BTCUSDT", "0.1", "0.001"), instrument("ETHUSDT", "0.01", "0.01")],
        }
    }

    #[test]
    fn a_sidecar_survives_the_file() {
        let capture = std::env::temp_dir().join(format!("tercel-meta-{}.jsonl.gz", std::process::id()));
        assert!(Sidecar::read_for(&capture).unwrap().is_none());
        let path = sidecar().write_for(&capture).unwrap();
        assert!(path.to_string_lossy().ends_with(".meta.json"));
        assert_eq!(Sidecar::read_for(&capture).unwrap(), Some(sidecar()));
        std::fs::write(&path, "{\"venue\":\"bybit\"}").unwrap();
        assert!(matches!(Sidecar::read_for(&capture), Err(MetaError::Json { .. })));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn bad_fields_are_named() {
        let said = |change: fn(&mut Sidecar)| {
            let mut sidecar = sidecar();
            change(&mut sidecar);
            sidecar.table().unwrap_err().to_string()
        };
        assert!(said(|s| s.venue = "nyse".into()).starts_with("venue: found `nyse`"));
        assert!(said(|s| s.instruments[1].tick = "0".into()).starts_with("instruments[1].tick: found `0`"));
        assert!(said(|s| s.instruments[0].lot = "0.000000000001".into()).contains("12 decimals together"));
        assert!(said(|s| s.instruments[1].symbol = "BTCUSDT".into()).starts_with("instruments: found `2`"));
    }
}
