//! `tercel-convert export`.

mod market;
mod session;
mod table;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::output::{Staging, file_name};
use crate::stop::Stop;
use market::Captures;
use session::Session;
use table::Table;

/// Arguments of `tercel-convert export`.
#[derive(Args)]
pub struct ExportArgs {
    /// What of them.
    #[arg(long, value_enum)]
    what: What,
    /// Books and trades: captures, merged by time. Orders and fills: one journal, or a folder, whose newest is taken.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Parquet file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A book without a snapshot starts empty at its first delta (Binance).
    #[arg(long)]
    assume_empty: bool,
    /// Replace what exists under that name.
    #[arg(long)]
    force: bool,
    /// Write what was done as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Every change of every level.
    Books,
    /// Public trades.
    Trades,
    /// Each step of each order's life.
    Orders,
    /// Executions, each once.
    Fills,
}

/// Runs the command.
///
/// # Errors
/// What is wrong with the command line or a file. Nothing is left then.
pub fn run(args: &ExportArgs) -> Outcome {
    let stop = Stop::install()?;
    let staging = Staging::create(&args.out, args.force)?;
    let progress = ProgressBar::new_spinner();
    let look = |count: u64| {
        progress.set_message(format!("{count} messages"));
        progress.tick();
        stop.check()
    };
    let (rows, mut value) = match args.what {
        What::Books | What::Trades => market(args, &staging.target(), look)?,
        What::Orders | What::Fills => session(args, &staging.target(), look)?,
    };
    progress.finish_and_clear();
    staging.publish(&file_name(&args.out))?;
    println!("{}: {rows} rows", args.out.display());
    for note in value["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        println!("  {note}");
    }
    let Some(file) = &args.json else { return Ok(()) };
    value["out"] = json!(args.out);
    value["rows"] = json!(rows);
    std::fs::write(file, format!("{value:#}\n")).map_err(|e| Failure::file(file, e))
}

fn market(args: &ExportArgs, out: &Path, look: impl FnMut(u64) -> Outcome) -> Outcome<(u64, Value)> {
    let captures = Captures::find(&args.inputs)?;
    let (mut table, mut message) = match args.what {
        What::Books => (Table::create(out, &captures.book_columns())?, 0),
        _ => (Table::create(out, &captures.trade_columns())?, 0),
    };
    let take = |event: &tercel::types::Event<'_>| match args.what {
        What::Books => captures.write_book(event, &mut message, &mut table),
        _ => captures.write_trade(event, &mut table),
    };
    let found = captures.read(args.assume_empty, take, look)?;
    let mut notes = vec![format!("{} messages read", found.messages)];
    if found.gaps > 0 {
        notes.push(format!("{} gaps: books are stale from there to their next snapshot", found.gaps));
    }
    if found.refused > 0 {
        notes.push(format!("{} messages REFUSED", found.refused));
        notes.extend(found.errors.iter().map(|error| format!("refused: {error}")));
    }
    let value = json!({
        "messages": found.messages, "refused": found.refused, "gaps": found.gaps, "first_errors": found.errors,
        "notes": notes,
    });
    Ok((table.finish()?, value))
}

fn session(args: &ExportArgs, out: &Path, look: impl FnMut(u64) -> Outcome) -> Outcome<(u64, Value)> {
    let [path] = &args.inputs[..] else {
        let found = args.inputs.len();
        return Err(Failure::usage(format!("orders and fills are of one journal, found are {found}")));
    };
    let mut session = Session::open(path)?;
    let what = if args.what == What::Orders { session::What::Orders } else { session::What::Fills };
    let mut table = Table::create(out, &session.columns(what))?;
    let found = session.write(what, &mut table, look)?;
    let mut notes = vec![format!("{} events of {} read", found.events, session.file().display())];
    if !found.is_closed {
        notes.push("the journal BROKE OFF: what came after is not there".to_owned());
    }
    if found.late_fees > 0 {
        notes.push(format!("{} fees were corrected too late and are estimates", found.late_fees));
    }
    let value = json!({
        "events": found.events, "closed": found.is_closed, "late_fees": found.late_fees, "journal": session.file(),
        "notes": notes,
    });
    Ok((table.finish()?, value))
}
