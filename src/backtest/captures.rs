//! What captures hold: whose messages, which instruments, on which clock.

use std::path::{Path, PathBuf};

use super::BacktestError;
use crate::config::Config;
use crate::journal::{
    CaptureFile, CaptureMeta, ClockKind, Gap, GapCause, Inference, InstrumentMeta, infer_file, meta_path,
};
use crate::ring::Flag;
use crate::runtime::ReplayOptions;
use crate::types::{InstrumentSpec, InstrumentTable, Nanos, VenueId};
use crate::venue::FeedConfig;

/// Captures, ready to be replayed on one timeline.
#[derive(Clone, Debug)]
pub struct Captures {
    /// The files, each with its place in `venues`.
    pub files: Vec<CaptureFile>,
    /// The venues, each once, in the order of the files.
    pub venues: Vec<VenueId>,
    /// All instruments.
    pub table: InstrumentTable,
}

impl Captures {
    /// How they are replayed under a configuration, nobody watching.
    ///
    /// # Errors
    /// A file of latencies that cannot be read or holds none.
    pub fn options(&self, config: &Config, feed: FeedConfig) -> Result<ReplayOptions, BacktestError> {
        Ok(ReplayOptions {
            venues: self.venues.clone(),
            table: self.table.clone(),
            feed,
            topology: config.threads.topology.clone(),
            cpus: config.threads.cpus.clone(),
            idle: config.threads.idle,
            latency: super::sim_latency(config)?,
            queue: config.simex.queue_model,
            balances: self.table.currencies().iter().map(|currency| config.balance(*currency)).collect(),
            leverage_e2: config.risk.leverage_e2,
            maintenance: config.simex.maintenance(),
            command_log: None,
            observer: None,
            stop: Flag::new(),
        })
    }

    /// The same captures with the fees of the simulated account of another configuration.
    ///
    /// # Panics
    /// Never: as many instruments fit as did.
    pub fn priced(&self, config: &Config) -> Self {
        let specs = self.table.iter().map(|(_, spec)| priced(spec, config)).collect();
        let table = InstrumentTable::new(specs).expect("as many instruments as before");
        Self { table, ..self.clone() }
    }
}

fn priced(spec: &InstrumentSpec, config: &Config) -> InstrumentSpec {
    let fees = config.simex.fees(spec.product);
    InstrumentSpec { maker_fee: fees.maker, taker_fee: fees.taker, ..*spec }
}

/// The sidecar of a capture, or what its messages show.
///
/// # Errors
/// A sidecar that cannot be read, or messages that do not show it.
pub fn sidecar_or_inference(file: &Path) -> Result<Inference, BacktestError> {
    let sidecar = meta_path(file);
    if sidecar.exists() {
        let meta = CaptureMeta::read(&sidecar).map_err(BacktestError::failed)?;
        return Ok(Inference { meta, guesses: Vec::new(), messages: 0 });
    }
    infer_file(file).map_err(BacktestError::usage)
}

/// Looks at each file's sidecar, or at its messages where there is none, or takes `venue` and `instruments`
/// (`SYMBOL:TICK:LOT`) for all of them. Fees are those of the simulated account. `say` is told what a person should know: gaps,
/// guesses, which journal latencies are from, which fees are paid for want of others.
///
/// # Errors
/// What was found and what is allowed: files that contradict each other, or hold no instrument.
pub fn find(
    files: &[PathBuf],
    venue: Option<&str>,
    instruments: &[String],
    config: &Config,
    mut say: impl FnMut(&str),
) -> Result<Captures, BacktestError> {
    super::latency::choices(config)?.iter().for_each(|line| say(line));
    config.simex.assumed_fees().iter().for_each(|line| say(line));
    let given = venue.map(|venue| meta_of(venue, instruments)).transpose()?;
    let (mut found, mut venues, mut specs) = (Vec::new(), Vec::new(), Vec::<InstrumentSpec>::new());
    for path in files {
        let meta = match &given {
            Some(meta) => meta.clone(),
            None => inferred(path, &mut say)?,
        };
        for gap in meta.recording.iter().flat_map(|recording| &recording.gaps) {
            say(&gap_text(path, gap));
        }
        let venue = meta.venue().map_err(BacktestError::usage)?;
        let feed = venues.iter().position(|known| *known == venue).unwrap_or_else(|| {
            venues.push(venue);
            venues.len() - 1
        });
        found.push(CaptureFile { path: path.clone(), clock: meta.clock, feed: feed as u16 });
        for (_, spec) in meta.table().map_err(BacktestError::usage)?.iter() {
            let spec = priced(spec, config);
            match specs.iter().find(|known| (known.venue, known.symbol) == (spec.venue, spec.symbol)) {
                None => specs.push(spec),
                Some(known) if *known == spec => {}
                Some(known) => return Err(contradiction(path, known, &spec)),
            }
        }
    }
    if let Some(other) = found.iter().find(|file| is_mono(file) != is_mono(&found[0])) {
        return Err(BacktestError::usage(format!(
            "{} and {} cannot be put on one timeline: one has unix time, the other a clock of its own",
            found[0].path.display(),
            other.path.display()
        )));
    }
    if specs.is_empty() {
        return Err(BacktestError::usage(format!(
            "{}: no instrument found; name them with --venue and --instruments",
            files.first().map_or(Path::new("").display(), |file| file.display())
        )));
    }
    let table = InstrumentTable::new(specs)
        .ok_or_else(|| BacktestError::usage(format!("more than {} instruments", InstrumentTable::LEN_MAX)))?;
    Ok(Captures { files: found, venues, table })
}

/// Trades that were lost leave no trace in what was recorded: that they were must be said.
fn gap_text(path: &Path, gap: &Gap) -> String {
    let why = match gap.cause {
        GapCause::QueueFull => "the recorder's disk did not keep up",
        GapCause::Renewed => "the recorder asked for the books anew",
        GapCause::ConnectionLost => "the recorder lost its connection",
    };
    let (from, to) = (Nanos::new(gap.from_ns).utc_text(), Nanos::new(gap.to_ns).utc_text());
    format!(
        "note: {}: nothing from {from} to {to} UTC: {why}, {} messages lost for certain",
        path.display(),
        gap.messages
    )
}

fn is_mono(file: &CaptureFile) -> bool {
    file.clock == ClockKind::Mono
}

fn contradiction(path: &Path, known: &InstrumentSpec, spec: &InstrumentSpec) -> BacktestError {
    let steps = |spec: &InstrumentSpec| format!("{} of tick {}, lot {}", spec.product.name(), spec.tick, spec.lot);
    BacktestError::usage(format!(
        "{}: {} is {} here and {} in a file before; correct the sidecars, or name it with --venue and --instruments",
        path.display(),
        spec.symbol,
        steps(spec),
        steps(known)
    ))
}

fn inferred(path: &Path, say: &mut impl FnMut(&str)) -> Result<CaptureMeta, BacktestError> {
    let found = sidecar_or_inference(path)?;
    for guess in &found.guesses {
        say(&format!("guessed: {guess}"));
    }
    Ok(found.meta)
}

/// Instruments from the command line.
fn meta_of(venue: &str, instruments: &[String]) -> Result<CaptureMeta, BacktestError> {
    let mut metas = Vec::new();
    for text in instruments {
        let words: Vec<&str> = text.split(':').collect();
        let [symbol, tick, lot] = words[..] else {
            return Err(BacktestError::usage(format!("--instruments: found `{text}`, allowed is SYMBOL:TICK:LOT")));
        };
        let [symbol, tick, lot] = [symbol, tick, lot].map(str::to_owned);
        metas.push(InstrumentMeta { symbol, tick, lot, ..InstrumentMeta::default() });
    }
    let product = match VenueId::from_name(venue) {
        Some(VenueId::BINANCE_COINM) => "inverse",
        Some(VenueId::BINANCE_SPOT) => "spot",
        _ => "linear",
    };
    let clock = ClockKind::Unix;
    Ok(CaptureMeta { venue: venue.to_owned(), product: product.to_owned(), instruments: metas, clock, recording: None })
}
