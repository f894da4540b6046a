//! `tercel-convert import`.

mod bybit;
mod cryptofeed;
mod hftbacktest;
mod message;
mod npy;
mod tardis;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;
use tercel::journal::{CaptureMeta, ClockKind, InstrumentMeta, infer_file};
use tercel::types::VenueId;

use crate::failure::{Failure, Outcome};
use crate::input::{self, Progress};
use crate::output::Output;
use crate::stop::Stop;
use bybit::{Dialect, is_plain};
use cryptofeed::{Cryptofeed, Raw};
use hftbacktest::HftBacktest;
use message::{Counts, Message, Source, merge};
use tardis::Tardis;

/// Arguments of `tercel-convert import`.
#[derive(Args)]
pub struct ImportArgs {
    /// Whose files they are.
    #[arg(long, value_enum)]
    from: Origin,
    /// An instrument of them with its tick and lot; may be given several times. Rows of others are left out. cryptofeed: not
    /// needed, the messages are looked at.
    #[arg(long, value_name = "SYMBOL:TICK:LOT")]
    instrument: Vec<String>,
    /// cryptofeed: whose messages they are (bybit, binance-usdm, binance-coinm, binance-spot), instead of what they show. Files of
    /// Tardis and hftbacktest are put into Bybit's words, whoever they are from.
    #[arg(long, value_name = "NAME")]
    venue: Option<String>,
    /// linear, inverse or spot, for the sidecar; only linear contracts can be traded in a replay.
    #[arg(long, value_name = "NAME")]
    product: Option<String>,
    /// The files, plain, gzip or zstd. They are merged by receive time; hftbacktest: in the order given, each going on from the one before.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Capture to write; `.jsonl`, `.jsonl.gz` or `.jsonl.zst`. Its sidecar is written beside it.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace what exists under that name.
    #[arg(long)]
    force: bool,
    /// Write what was done as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Whose files can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Origin {
    /// CSV files `incremental_book_L2` and `trades`.
    Tardis,
    /// Event arrays, `npz` or `npy`.
    Hftbacktest,
    /// Raw messages with their times.
    Cryptofeed,
}

/// Messages between two looks at Ctrl-C.
const LOOK_EVERY: u64 = 1024;

/// Runs the command.
///
/// # Errors
/// What is wrong with the command line or a file. Nothing is left then.
pub fn run(args: &ImportArgs) -> Outcome {
    let stop = Stop::install()?;
    let progress = Progress::over(&args.files)?;
    let mut output = Output::create(&args.out, args.force)?;
    let given = sidecar(args)?;
    let (counts, written) = match (args.from, &given) {
        (Origin::Cryptofeed, _) => (raw(args, &progress, &stop, &mut output)?, Vec::new()),
        (_, None) => {
            let needed = "these files do not say what a tick and a lot are";
            return Err(Failure::usage(format!("--instrument SYMBOL:TICK:LOT is missing: {needed}")));
        }
        (_, Some(meta)) => normalised(args, meta, &progress, &stop, &mut output)?,
    };
    progress.clear();
    let (messages, bytes) = output.written();
    if messages == 0 {
        return Err(Failure::from(format!("nothing to write: {} rows read, {}", counts.rows, left_out(&counts))));
    }
    let meta = output.finish(|whole| match given {
        Some(meta) => Ok(meta),
        None => inferred(whole),
    })?;
    say(args, &counts, &written, &meta, messages, bytes)
}

/// Files whose rows are put into Bybit's words.
fn normalised(
    args: &ImportArgs,
    meta: &CaptureMeta,
    progress: &Progress,
    stop: &Stop,
    output: &mut Output,
) -> Outcome<(Counts, Vec<bybit::Written>)> {
    let table = meta.table().map_err(Failure::usage)?;
    let mut sources: Vec<Box<dyn Source<Item = Message>>> = Vec::new();
    if args.from == Origin::Hftbacktest {
        let Some((1, (_, spec))) = table.iter().next().map(|first| (table.len(), first)) else {
            let found = table.len();
            return Err(Failure::usage(format!("--instrument: an array is of one instrument, found are {found}")));
        };
        sources.push(Box::new(HftBacktest::new(&args.files, progress, spec)));
    } else {
        for file in &args.files {
            sources.push(Box::new(Tardis::open(file, input::text(file, progress)?, &table)?));
        }
    }
    let mut dialect = Dialect::new(&table);
    let mut count = 0u64;
    let counts = merge(sources, |message| {
        count += 1;
        if count.is_multiple_of(LOOK_EVERY) {
            stop.check()?;
        }
        dialect.render(message, |at, text| output.append(at, text))
    })?;
    let written = dialect.written().to_vec();
    if let Some((idx, _)) = written.iter().enumerate().find(|(_, one)| **one == bybit::Written::default()) {
        let symbol = &meta.instruments[idx].symbol;
        return Err(Failure::from(format!("nothing of {symbol}: {} rows read, {}", counts.rows, left_out(&counts))));
    }
    Ok((counts, written))
}

/// Files of a venue's own messages.
fn raw(args: &ImportArgs, progress: &Progress, stop: &Stop, output: &mut Output) -> Outcome<Counts> {
    let mut sources: Vec<Box<dyn Source<Item = Raw>>> = Vec::new();
    for file in &args.files {
        sources.push(Box::new(Cryptofeed::open(file, input::text(file, progress)?)));
    }
    let mut count = 0u64;
    merge(sources, |raw| {
        count += 1;
        if count.is_multiple_of(LOOK_EVERY) {
            stop.check()?;
        }
        match &raw.symbol {
            Some(symbol) => output.append_snapshot(symbol, raw.recv, &raw.message),
            None => output.append(raw.recv, &raw.message),
        }
    })
}

/// The sidecar that the command line describes, if it describes one.
fn sidecar(args: &ImportArgs) -> Outcome<Option<CaptureMeta>> {
    let is_raw = args.from == Origin::Cryptofeed;
    if is_raw && args.venue.is_some() == args.instrument.is_empty() {
        return Err(Failure::usage("--venue and --instrument are given together or not at all"));
    }
    let venue = args.venue.as_deref().unwrap_or("bybit");
    if !is_raw && venue != "bybit" {
        return Err(Failure::usage(format!(
            "--venue: found `{venue}`, allowed is bybit: the files are put into its words, whoever they are from"
        )));
    }
    if args.instrument.is_empty() {
        return Ok(None);
    }
    let product = match (&args.product, VenueId::from_name(venue)) {
        (Some(product), _) => product,
        (None, Some(VenueId::BINANCE_COINM)) => "inverse",
        (None, Some(VenueId::BINANCE_SPOT)) => "spot",
        (None, _) => "linear",
    };
    let mut instruments = Vec::new();
    for text in &args.instrument {
        let words: Vec<&str> = text.split(':').collect();
        let [symbol, tick, lot] = words[..] else {
            return Err(Failure::usage(format!("--instrument: found `{text}`, allowed is SYMBOL:TICK:LOT")));
        };
        if !is_plain(symbol) {
            return Err(Failure::usage(format!("--instrument: found `{symbol}`, allowed are letters without quotes")));
        }
        let [symbol, tick, lot] = [symbol, tick, lot].map(str::to_owned);
        instruments.push(InstrumentMeta { symbol, tick, lot, ..InstrumentMeta::default() });
    }
    let (venue, product, clock) = (venue.to_owned(), product.to_owned(), ClockKind::Unix);
    let meta = CaptureMeta { venue, product, instruments, clock, recording: None };
    meta.table().map_err(Failure::usage)?;
    Ok(Some(meta))
}

/// The sidecar that the messages show.
fn inferred(capture: &Path) -> Outcome<CaptureMeta> {
    // The file's name is one that nobody will find again.
    let found = infer_file(capture).map_err(|e| match e.split_once(": ") {
        Some((_, what)) => Failure::from(what.to_owned()),
        None => Failure::from(e),
    })?;
    for guess in &found.guesses {
        eprintln!("guessed: {guess}");
    }
    Ok(found.meta)
}

fn left_out(counts: &Counts) -> String {
    let parts: Vec<String> = counts.left_out().iter().map(|(name, count)| format!("{count} {name}")).collect();
    if parts.is_empty() { "nothing left out".to_owned() } else { format!("left out: {}", parts.join(", ")) }
}

fn say(
    args: &ImportArgs,
    counts: &Counts,
    written: &[bybit::Written],
    meta: &CaptureMeta,
    messages: u64,
    bytes: u64,
) -> Outcome {
    let sidecar = tercel::journal::meta_path(&args.out);
    println!(
        "{}: {messages} messages, {bytes} bytes, from {} rows of {} files ({}); sidecar {}",
        args.out.display(),
        counts.rows,
        args.files.len(),
        left_out(counts),
        sidecar.display()
    );
    let mut instruments = Vec::new();
    for (instrument, one) in meta.instruments.iter().zip(written) {
        let symbol = &instrument.symbol;
        println!("  {symbol}: {} snapshots, {} changes, {} trades", one.snapshots, one.deltas, one.trades);
        instruments.push(json!({
            "symbol": symbol, "snapshots": one.snapshots, "deltas": one.deltas, "trades": one.trades,
        }));
    }
    let Some(file) = &args.json else { return Ok(()) };
    let left_out: serde_json::Map<String, serde_json::Value> =
        counts.left_out().into_iter().map(|(name, count)| (name.replace(' ', "_"), count.into())).collect();
    let value = json!({
        "out": args.out, "sidecar": sidecar, "messages": messages, "message_bytes": bytes, "rows": counts.rows,
        "left_out": left_out, "instruments": instruments, "venue": meta.venue,
    });
    std::fs::write(file, format!("{value:#}\n")).map_err(|e| Failure::file(file, e))
}
