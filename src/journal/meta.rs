//! The sidecar of a capture: what its messages do not say by themselves.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::types::{Currency, InstrumentSpec, InstrumentTable, Money, Product, Step, Symbol, VenueId};

/// What the receive times of a capture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockKind {
    /// Unix nanoseconds.
    Unix,
    /// Nanoseconds since some start.
    Mono,
    /// Not recorded (0).
    None,
}

/// One instrument of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstrumentMeta {
    /// The venue's name.
    pub symbol: String,
    /// Tick size.
    pub tick: String,
    /// Lot size.
    pub lot: String,
    /// What it is settled in, where its name does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<String>,
    /// What an inverse contract is worth in the quote currency, where that is not the usual: 100 for BTCUSD and 10 for others on
    /// Binance, 1 on Bybit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract_value: Option<String>,
}

/// Why something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapCause {
    /// The disk did not keep up.
    QueueFull,
    /// The connection was given up after [`Self::QueueFull`], so that the venue sends its books anew.
    Renewed,
    /// The connection was lost.
    ConnectionLost,
}

/// A place where a recording is not whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Receive time of the last message before it, in Unix nanoseconds.
    pub from_ns: u64,
    /// Receive time of the first message after it; that of the last before it if the recording ended there.
    pub to_ns: u64,
    /// Messages that were received and not written. What was never received is not known.
    pub messages: u64,
    /// Why.
    pub cause: GapCause,
}

/// What a recorder says of a capture beside its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// So many messages at its beginning are not the venue's: they tell the books and tickers that the file before it had led to.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub opening_messages: u64,
    /// Where something is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde gives a reference
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The sidecar: `NAME.meta.json` beside `NAME.jsonl.gz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureMeta {
    /// `bybit`, `binance-usdm`, `binance-coinm` or `binance-spot`.
    pub venue: String,
    /// `linear`, `inverse` or `spot`.
    pub product: String,
    /// Instruments, in the order of their ids.
    pub instruments: Vec<InstrumentMeta>,
    /// What the receive times are.
    pub clock: ClockKind,
    /// What its recorder says of it, if that is anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<Recording>,
}

/// Why a sidecar cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// The system's word.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// Not the JSON that it should be.
    #[error("{}: {source}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// What and where.
        source: serde_json::Error,
    },
    /// A value that is not allowed.
    #[error("{key}: found `{found}`, {allowed}")]
    Value {
        /// Which key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What is allowed.
        allowed: &'static str,
    },
}

/// Where the sidecar of a capture is.
pub fn meta_path(capture: &Path) -> PathBuf {
    let name = capture.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    let stem = stem.strip_suffix(".jsonl").unwrap_or(stem);
    capture.with_file_name(format!("{stem}.meta.json"))
}

impl InstrumentMeta {
    /// With what the sidecar says of money.
    fn settled(&self, mut spec: InstrumentSpec) -> Result<InstrumentSpec, MetaError> {
        if let Some(text) = &self.contract_value {
            let value = Money::parse(text.as_bytes()).ok().filter(|value| *value > Money::ZERO);
            spec = value.and_then(|value| spec.with_contract_value(value)).ok_or_else(|| MetaError::Value {
                key: "contract_value",
                found: text.clone(),
                allowed: "allowed is an amount above 0, of an inverse contract, of which a lot at one tick has at most twelve decimals",
            })?;
        }
        if let Some(text) = &self.settle {
            spec.settle = Currency::new(text.as_bytes()).ok_or_else(|| MetaError::Value {
                key: "settle",
                found: text.clone(),
                allowed: "allowed are up to 15 capital letters and digits, like USDT",
            })?;
        }
        Ok(spec)
    }
}

impl CaptureMeta {
    /// Reads a sidecar.
    ///
    /// # Errors
    /// [`MetaError`] with the file.
    pub fn read(file: &Path) -> Result<Self, MetaError> {
        let bytes = std::fs::read(file).map_err(|source| MetaError::Io { file: file.to_owned(), source })?;
        serde_json::from_slice(&bytes).map_err(|source| MetaError::Json { file: file.to_owned(), source })
    }

    /// Writes the sidecar.
    ///
    /// # Errors
    /// [`MetaError`] with the file.
    pub fn write(&self, file: &Path) -> Result<(), MetaError> {
        let mut text =
            serde_json::to_string_pretty(self).map_err(|source| MetaError::Json { file: file.to_owned(), source })?;
        text.push('\n');
        std::fs::write(file, text).map_err(|source| MetaError::Io { file: file.to_owned(), source })
    }

    /// The venue.
    ///
    /// # Errors
    /// [`MetaError::Value`] for a name that is none.
    pub fn venue(&self) -> Result<VenueId, MetaError> {
        VenueId::from_name(&self.venue).ok_or_else(|| MetaError::Value {
            key: "venue",
            found: self.venue.clone(),
            allowed: "allowed are bybit, binance-usdm, binance-coinm, binance-spot",
        })
    }

    /// The instruments as a table.
    ///
    /// # Errors
    /// [`MetaError::Value`] for the first value that is not allowed.
    pub fn table(&self) -> Result<InstrumentTable, MetaError> {
        let venue = self.venue()?;
        let product = Product::from_name(&self.product).ok_or_else(|| MetaError::Value {
            key: "product",
            found: self.product.clone(),
            allowed: "allowed are linear, inverse, spot",
        })?;
        let mut specs = Vec::with_capacity(self.instruments.len());
        for meta in &self.instruments {
            let step = |key, text: &String| {
                Step::from_text(text.as_bytes()).map_err(|_| MetaError::Value {
                    key,
                    found: text.clone(),
                    allowed: "allowed is a decimal above 0 like 0.01",
                })
            };
            let symbol = Symbol::new(meta.symbol.as_bytes()).ok_or_else(|| MetaError::Value {
                key: "symbol",
                found: meta.symbol.clone(),
                allowed: "allowed are 1 to 31 printable letters",
            })?;
            let (tick, lot) = (step("tick", &meta.tick)?, step("lot", &meta.lot)?);
            let spec = InstrumentSpec::new(venue, symbol, product, tick, lot).ok_or_else(|| MetaError::Value {
                key: "tick",
                found: format!("{} with lot {}", meta.tick, meta.lot),
                allowed: "allowed are at most twelve decimals of both together (inverse: of contract value times lot over tick)",
            })?;
            specs.push(meta.settled(spec)?);
        }
        InstrumentTable::new(specs).ok_or_else(|| MetaError::Value {
            key: "instruments",
            found: format!("{} instruments", self.instruments.len()),
            allowed: "allowed are up to 4096, each symbol once",
        })
    }
}
