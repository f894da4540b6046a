//! Market data in and out: other projects' files become captures that the engine replays like its own, and captures and journals become
//! Parquet.
//!
//! ```text
//! import   Tardis CSV, hftbacktest npz ─▶ Message ─▶ Bybit's dialect ─▶ capture + sidecar
//!          cryptofeed's raw logs       ─▶ verbatim               ─▶ capture + sidecar
//! export   captures ─▶ the engine's feeds ─▶ books, trades ─▶ Parquet
//!          journal                        ─▶ orders, fills ─▶ Parquet
//! ```
//!
//! A program of its own, because its dependencies have no place beside an engine that trades.

mod export;
mod failure;
mod import;
mod input;
mod output;
mod stop;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Turns other projects' market data into captures, and captures and journals into Parquet.
#[derive(Parser)]
#[command(name = "tercel-convert", version, about, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  tercel-convert import --from tardis --instrument BTCUSDT:0.1:0.001 BOOK.csv.gz TRADES.csv.gz --out X.jsonl.gz
  tercel-convert import --from hftbacktest --instrument BTCUSDT:0.1:0.001 DAY1.npz DAY2.npz --out X.jsonl.gz
  tercel-convert import --from cryptofeed BYBIT.ws.1.0 BYBIT.ws.1.1 --out X.jsonl.gz
  tercel-convert export --what books CAPTURE.jsonl.gz --out books.parquet
  tercel-convert export --what fills JOURNAL-DIR --out fills.parquet

Exit codes: 0 good, 1 failed, 2 usage.";

#[derive(Subcommand)]
enum Command {
    /// Turn other projects' files into a capture in our line form, with its sidecar.
    Import(import::ImportArgs),
    /// Write books, trades, orders or fills as Parquet.
    Export(export::ExportArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit()
        }
    }
}
