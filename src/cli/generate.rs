//! `tercel generate`.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;

use super::signals::StopSignals;
use super::{Exit, Failure, Outcome};
use crate::config::Size;
use crate::journal::synthetic::{SyntheticConfig, generate_lines, sidecar};
use crate::journal::{CaptureWriter, meta_path};
use crate::types::VenueId;

/// Arguments of `tercel generate`.
#[derive(Args)]
pub struct GenerateArgs {
    /// File to write; `.gz` and `.zst` compress. It gets its name when it is whole, and is not overwritten.
    file: PathBuf,
    /// In whose dialect: bybit, binance-usdm, binance-coinm, binance-spot.
    #[arg(long, value_name = "NAME", default_value = "bybit")]
    venue: String,
    /// Bytes of messages, like 500MB or 5GB.
    #[arg(long, value_name = "SIZE", default_value = "50MB")]
    size: Size,
    /// Equal seeds give equal files.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Instruments, up to 8. Binance: one, since a snapshot does not say whose it is.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    instruments: u8,
}

/// Lines between two looks at the progress and at Ctrl-C.
const LOOK_EVERY: u64 = 20_000;

/// Runs the command.
pub fn run(args: &GenerateArgs) -> Outcome {
    let venue = VenueId::from_name(&args.venue).ok_or_else(|| {
        Failure::usage(format!(
            "--venue: found `{}`, allowed are bybit, binance-usdm, binance-coinm, binance-spot",
            args.venue
        ))
    })?;
    if venue != VenueId::BYBIT && args.instruments > 1 {
        return Err(Failure::usage("--instruments: a Binance snapshot does not say whose it is, so allowed is 1"));
    }
    let config =
        SyntheticConfig { instruments: usize::from(args.instruments), ..SyntheticConfig::new(venue, args.seed) };
    let size = args.size.0;
    let stop = StopSignals::install()?;
    let mut writer =
        CaptureWriter::create(&args.file).map_err(|e| Failure::from(format!("{}: {e}", args.file.display())))?;
    let shows = io::stderr().is_terminal();
    let outcome = generate_lines(&config, |at, message| -> io::Result<bool> {
        writer.append(at, message)?;
        let (lines, bytes) = writer.written();
        if lines % LOOK_EVERY == 0 {
            if shows {
                eprint!("\r{:>3} %  {} MB", bytes * 100 / size, bytes / 1_000_000);
                io::stderr().flush()?;
            }
            if stop.is_set() {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(bytes < size)
    });
    if shows {
        eprint!("\r\x1b[K");
    }
    if let Err(error) = outcome {
        writer.discard()?;
        let interrupted = error.kind() == io::ErrorKind::Interrupted;
        return Err(if interrupted { "interrupted; nothing is left".into() } else { Failure::from(error) });
    }
    let (lines, bytes) = writer.written();
    writer.finish()?;
    let meta = meta_path(&args.file);
    sidecar(&config).write(&meta)?;
    println!("written: {} ({lines} messages, {bytes} bytes) and {}", args.file.display(), meta.display());
    Ok(Exit::Good)
}
