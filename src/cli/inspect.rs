//! `tercel inspect`: what a capture or a journal holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, Failure, Outcome};
use crate::journal::{CaptureMeta, Inference, JournalInstrument, JournalReader, meta_path};

/// Arguments of `tercel inspect`.
#[derive(Args)]
pub struct InspectArgs {
    /// A capture, or a journal (`.tj`).
    file: PathBuf,
    /// Only print what would be written.
    #[arg(long)]
    dry_run: bool,
    /// Replace a sidecar that exists.
    #[arg(long)]
    force: bool,
}

/// The sidecar of a capture, or what its messages show.
pub fn sidecar_or_inference(file: &Path) -> Result<Inference, Failure> {
    crate::backtest::sidecar_or_inference(file).map_err(Failure::of_backtest)
}

/// Runs the command.
pub fn run(args: &InspectArgs) -> Outcome {
    if args.file.extension().is_some_and(|e| e == "tj") {
        return inspect_journal(&args.file);
    }
    let sidecar = meta_path(&args.file);
    if sidecar.exists() && !args.force {
        let meta = CaptureMeta::read(&sidecar)?;
        println!("{} has a sidecar, {}:", args.file.display(), sidecar.display());
        println!("{}", serde_json::to_string_pretty(&meta)?);
        return Ok(Exit::Good);
    }
    if args.force && sidecar.exists() && !args.dry_run {
        std::fs::remove_file(&sidecar)?;
    }
    let found = sidecar_or_inference(&args.file)?;
    println!("{}: {} messages", args.file.display(), found.messages);
    for guess in &found.guesses {
        println!("  guessed: {guess}");
    }
    println!("{}", serde_json::to_string_pretty(&found.meta)?);
    if args.dry_run {
        println!("not written (--dry-run): {}", sidecar.display());
    } else {
        found.meta.write(&sidecar)?;
        println!("written: {}; correct it where the guesses are wrong", sidecar.display());
    }
    Ok(Exit::Good)
}

fn inspect_journal(file: &Path) -> Outcome {
    let mut reader = JournalReader::open(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let mut kinds: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut first, mut last) = (None, 0);
    while let Some(event) = reader.next_event().map_err(|e| format!("{}: {e}", file.display()))? {
        *kinds.entry(event.kind_name()).or_default() += 1;
        first = first.or(Some(event.meta().recv.get()));
        last = event.meta().recv.get();
    }
    let count: u64 = kinds.values().sum();
    let span_s = last.saturating_sub(first.unwrap_or(0)) as f64 / 1e9;
    let (header, mark) = (reader.header(), reader.durable_mark());
    println!("{}: {count} events over {span_s:.3} s", file.display());
    let symbols: Vec<String> = header.instruments.iter().map(JournalInstrument::to_string).collect();
    println!(
        "  run {:08x} of version {} on {}, host {}: {}",
        header.run_id,
        header.program,
        header.topology,
        header.host_hash(),
        symbols.join(", ")
    );
    let end = if mark.is_closed { "closed in order" } else { "BROKE OFF" };
    println!("  {end}, {} of {} entries on the disk for certain", mark.entries, reader.entries());
    for (kind, count) in kinds {
        println!("  {kind:<12} {count}");
    }
    Ok(Exit::Good)
}
