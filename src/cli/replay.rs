//! `tercel replay`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::memory::RssBytes;
use super::report::closing_report;
use super::summary::{Parts, Summary, VenueView};
use super::{EngineArgs, Exit, Failure, Outcome, captures};
use crate::journal::Tape;
use crate::runtime::{LatencySummary, ReplayOptions, replay};
use crate::venue::FeedConfig;

/// Arguments of `tercel replay`.
#[derive(Args)]
pub struct ReplayArgs {
    /// Captures (line form, plain, gzip or zstd); several, of one venue or of several, are merged by time, snapshot files beside them are found.
    #[arg(required_unless_present = "journal")]
    files: Vec<PathBuf>,
    /// Replay a run's journal instead (a folder's newest, or one file): the engine that its header describes gets the same
    /// events and must want the same commands. Prints the first difference, if there is one, and ends with 3 then.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["files", "venue", "instruments", "assume_empty", "commands"])]
    journal: Option<PathBuf>,
    /// Venue of the capture, instead of its sidecar or what its messages show.
    #[arg(long, value_name = "NAME", requires = "instruments")]
    venue: Option<String>,
    /// Instruments as `SYMBOL:TICK:LOT`, several separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "SYMBOL:TICK:LOT", requires = "venue")]
    instruments: Vec<String>,
    /// A book without a snapshot starts empty at its first delta (Binance).
    #[arg(long)]
    assume_empty: bool,
    /// Write every command as a venue-neutral record of 40 bytes: two replays give the same file.
    #[arg(long, value_name = "FILE")]
    commands: Option<PathBuf>,
    /// Loop the capture in memory on one thread, without simulation or output, and print what each stage takes: time, and
    /// cycles and instructions where the machine counts them. The passes are functions that `perf report` tells apart.
    #[arg(long, conflicts_with_all = ["journal", "commands"])]
    profile: bool,
    /// How often `--profile` goes through the capture.
    #[arg(long, value_name = "N", default_value_t = 7, requires = "profile")]
    loops: u32,
    #[command(flatten)]
    engine: EngineArgs,
}

fn part_of(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    PathBuf::from(part)
}

/// Runs the command.
pub fn run(args: ReplayArgs) -> Outcome {
    if let Some(path) = &args.journal {
        return super::journal::replay(path, &args.engine);
    }
    let config = args.engine.config()?;
    let captures = captures::find(&args.files, args.venue.as_deref(), &args.instruments, &config)?;
    let feed = FeedConfig { book_depth: None, assume_empty: args.assume_empty };
    if args.profile {
        return super::profile::run(&captures, feed, args.loops, &config, args.engine.json.as_deref());
    }
    let tape = Tape::open(&captures.files)?;
    let command_log: Option<Box<dyn Write + Send>> = match &args.commands {
        Some(path) => {
            // It gets its name when it is whole.
            let part = part_of(path);
            let file = File::create(&part).map_err(|e| format!("{}: {e}", part.display()))?;
            Some(Box::new(BufWriter::new(file)))
        }
        None => None,
    };
    let strategy = config.strategy(captures.table.len());
    let options = ReplayOptions { command_log, ..captures.options(&config, feed).map_err(Failure::of_backtest)? };
    config.check_against(&captures.table).map_err(Failure::usage)?;
    let rss = RssBytes::begin();
    let outcome = replay(tape, options, config.engine(), strategy)?;
    let rss = rss.end();
    if let Some(error) = &outcome.sim.command_log_error {
        let path = args.commands.unwrap_or_default();
        return Err(Failure::from(format!("{}: {error}; the file is not whole", path.display())));
    }
    if let Some(path) = &args.commands {
        std::fs::rename(part_of(path), path).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let view = VenueView {
        positions: outcome.sim.positions.clone(),
        wallets: outcome.sim.wallets.clone(),
        open_orders: outcome.sim.open_orders,
        liquidations: outcome.sim.liquidations,
    };
    let latency = LatencySummary::default();
    let summary = Summary::new(&Parts {
        elapsed_s: outcome.elapsed_s,
        feed: &outcome.feed.counters,
        first_errors: &outcome.feed.first_errors,
        engine: &outcome.core.engine,
        venue: Some(&view),
        latency: latency.clone(),
        hot_allocations: outcome.hot_allocations,
        rss,
        topology: config.threads.topology.to_string(),
        timeline: Vec::new(),
        connections: None,
        ghost: None,
        slow_risk: None,
    });
    let c = &outcome.feed.counters;
    println!(
        "replayed {} messages ({} bytes) in {:.3} s: {:.0} a second; {} refused, {} unknown, {} gaps, {} resyncs, {} commands",
        c.messages,
        c.bytes,
        outcome.elapsed_s,
        c.messages as f64 / outcome.elapsed_s,
        c.decode_errors,
        c.unknown_messages + c.unknown_symbols,
        c.gaps,
        c.resyncs,
        outcome.sim.commands,
    );
    for error in &outcome.feed.first_errors {
        println!("  refused: {error}");
    }
    print!("{}", closing_report(&outcome.core.engine, Some(&view), &latency));
    if let Some(file) = &args.engine.json {
        summary.write(file)?;
    }
    Ok(if summary.is_good() { Exit::Good } else { Exit::NotReconciled })
}
