//! Many configurations over many captures on all cores, and a ranking that tells luck from skill as far as that can be told.
//!
//! ```text
//! sweep file, base configuration ─▶ Space: parameter sets, each checked ─┐
//! captures ─▶ Markets: folds in the order of time ───────────────────────┴▶ jobs ─▶ trial (a backtest) ─▶ Log
//! Log ─▶ Ranking: walk forward, deflated Sharpe ratio, probability of overfitting ─▶ Parquet, JSON, Markdown
//! ```
//!
//! A program of its own, because its dependencies have no place beside an engine that trades. `docs/sweeps.md` defines every figure.

mod axis;
mod draw;
mod failure;
mod fingerprint;
mod log;
mod luck;
mod markdown;
mod market;
mod moments;
mod output;
mod overfit;
mod rank;
mod space;
mod stop;
mod table;
mod trial;
mod walk;
mod work;

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;
use tercel::config::Duration;

use crate::failure::{Failure, Outcome};
use crate::log::{Header, Log};
use crate::market::{Markets, Reading};
use crate::rank::{Played, Ranking, rank};
use crate::space::Space;
use crate::stop::Stop;
use crate::trial::FoldResult;
use crate::work::{missing, play};

/// Workers at most.
const WORKERS_MAX: usize = 1024;

/// Plays every parameter set of a sweep over every capture, and says which of them is to be believed.
#[derive(Parser)]
#[command(name = "tercel-sweep", version, after_help = AFTER_HELP)]
struct Cli {
    /// Captures, as `tercel backtest` reads them. Each is a fold, played alone; they must not overlap in time.
    #[arg(required = true)]
    captures: Vec<PathBuf>,
    /// Sweep file (TOML): parameters, search, walk forward.
    #[arg(long, value_name = "FILE")]
    sweep: PathBuf,
    /// Base configuration, which the parameters change; without it the defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the results, and of what is needed to go on after an interruption.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Cut each capture into folds of this length, like 1h. It is still played as one, so that nothing begins anew in between.
    #[arg(long, value_name = "DURATION")]
    window: Option<Duration>,
    /// Distance of two samples of the equity; a multiple of it is taken where a capture is too long.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    sample: Duration,
    /// Replays at a time; without it as many as there are cores.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Venue of the captures, instead of their sidecars or what their messages show.
    #[arg(long, value_name = "NAME", requires = "instruments")]
    venue: Option<String>,
    /// Instruments as `SYMBOL:TICK:LOT`, several separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "SYMBOL:TICK:LOT", requires = "venue")]
    instruments: Vec<String>,
    /// A book without a snapshot starts empty at its first delta (Binance).
    #[arg(long)]
    assume_empty: bool,
    /// Check everything, say what would be played, and play nothing.
    #[arg(long)]
    dry_run: bool,
    /// Forget what the folder holds of an earlier sweep.
    #[arg(long)]
    fresh: bool,
    /// Sets in the tables of ranking.md.
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// Write the ranking (with --dry-run: what would be played) as JSON; `-` for the standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
A sweep file names paths of the ordinary configuration, and what each may be:

  [parameters]
  \"market-maker.margin-bps\" = { from = \"0.5\", to = \"4\", step = \"0.5\" }
  \"market-maker.horizon\" = [\"500ms\", \"1s\", \"5s\"]
  \"risk.position-value-max\" = { from = 100, to = 10000, steps = 5, scale = \"log\" }

  [search]              # without it: every combination
  method = \"random\"     # or \"grid\"
  trials = 200
  seed = 7

  [walk-forward]        # without it nothing is held back, and the report says so
  train = 3             # folds to choose by
  test = 1              # folds to judge by, which follow
  anchored = false      # true: all earlier folds

  [ranking]
  earlier-trials = 0    # sets tried on these captures before: luck has had so many more chances

Results in --out: trials.parquet (a row for each set and fold), ranking.md, ranking.json; jobs.jsonl is what an interrupted sweep goes on
from, with the same command. A sweep whose captures or base configuration have changed is refused; --fresh begins anew.
docs/sweeps.md defines every figure and says what a sweep cannot promise.

Examples:
  tercel-sweep --sweep examples/sweep.toml --config my.toml --out OUT DAY1.jsonl.zst DAY2.jsonl.zst DAY3.jsonl.zst
  tercel-sweep --sweep examples/sweep.toml --out OUT WEEK.jsonl.zst --window 1h --dry-run

Exit codes: 0 good, 1 failed or interrupted, 2 usage or configuration.";

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say_error(&format!("error: {failure}"));
            failure.exit()
        }
    }
}

/// Prints; whoever reads may have gone.
fn say(text: &str) {
    let _ = write!(std::io::stdout(), "{text}");
}

fn say_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn run(args: &Cli) -> Outcome {
    let stop = Stop::install()?;
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let workers = args.jobs.unwrap_or_else(cores);
    if !(1..=WORKERS_MAX).contains(&workers) {
        return Err(Failure::usage(format!("--jobs: found {workers}, allowed are 1 to {WORKERS_MAX}")));
    }
    let space = Space::read(&args.sweep, args.config.as_deref())?;
    let reading =
        Reading { venue: args.venue.clone(), instruments: args.instruments.clone(), assume_empty: args.assume_empty };
    let is_asked = || stop.is_asked();
    let mut say_note = |text: &str| say_error(text);
    let markets =
        Markets::look(&args.captures, &reading, &space.base, args.window, args.sample, &is_asked, &mut say_note)?;
    check(&space, &markets)?;
    let plan = plan(&space, &markets, args.sample);
    if args.dry_run {
        say(&plan);
        return write_json(args, || Ok(plan_json(&space, &markets)));
    }
    say_error(plan.trim_end());
    let header = Header::new(
        &space.base_key,
        markets.all.iter().map(|market| market.key.clone()).collect(),
        markets.sample_ns,
        markets.window_ns,
        format!("{reading:?}"),
    );
    let mut log = Log::open(&args.out, &header, args.fresh)?;
    output::clear(&args.out)?;
    let pairs = missing(&space, &markets, &log);
    let (all, done) = (space.sets.len() * markets.all.len(), space.sets.len() * markets.all.len() - pairs.len());
    if done > 0 {
        say_error(&format!("{done} of {all} jobs are done already"));
    }
    if !play(&pairs, &space, &markets, reading.feed(), workers, &mut log, &stop)? {
        let left = missing(&space, &markets, &log).len();
        return Err(Failure::from(format!(
            "interrupted: {} of {all} jobs are done and kept; the same command goes on from there",
            all - left
        )));
    }
    conclude(args, &space, &markets, &log)
}

/// Ranks what the log holds, and writes it.
fn conclude(args: &Cli, space: &Space, markets: &Markets, log: &Log) -> Outcome {
    let results = results(space, markets, log)?;
    let known: HashSet<&str> = space.sets.iter().map(|set| set.key.as_str()).collect();
    let ranking = rank(&Played {
        sets: space.sets.iter().map(|set| space.describe(&set.values)).collect(),
        folds: markets.folds.iter().map(|fold| fold.name.clone()).collect(),
        results: results.clone(),
        sample_ns: markets.sample_ns,
        walk: space.file.walk_forward,
        earlier_trials: space.file.ranking.earlier_trials.saturating_add(log.others(&known)),
    });
    output::write(&args.out, space, markets, &results, &ranking, args.top)?;
    if args.json.as_ref().is_none_or(|file| file.as_os_str() != "-") {
        say(&markdown::summary(&ranking));
    }
    say_error(&format!("ranking: {}", args.out.join("ranking.md").display()));
    write_json(args, || output::ranking_json(&ranking))?;
    give_up_without_any(&ranking)
}

/// A sweep of which nothing came is no success.
fn give_up_without_any(ranking: &Ranking) -> Outcome {
    if ranking.folds.is_empty() {
        return Err("every job failed: the reasons stand in ranking.md".to_owned().into());
    }
    Ok(())
}

/// What is the same for every set fits each of them, and there are enough folds and not too many jobs.
fn check(space: &Space, markets: &Markets) -> Outcome {
    if let Some(walk) = space.file.walk_forward
        && markets.folds.len() <= walk.train
    {
        return Err(Failure::usage(format!(
            "[walk-forward]: {} folds to choose by leave none of {} to judge by; give more captures, or --window",
            walk.train,
            markets.folds.len()
        )));
    }
    for market in &markets.all {
        for set in &space.sets {
            let fits = set.config.check_against(&market.captures.table);
            fits.map_err(|e| Failure::usage(format!("{}: {e} ({})", market.key.name, space.describe(&set.values))))?;
        }
    }
    let rows = space.sets.len().saturating_mul(markets.folds.len());
    if rows > ROWS_MAX {
        let (sets, folds) = (space.sets.len(), markets.folds.len());
        return Err(Failure::usage(format!(
            "{sets} sets over {folds} folds are {rows} results, allowed are {ROWS_MAX}"
        )));
    }
    Ok(())
}

/// Results of one sweep at most: about half a gigabyte of memory when they are ranked.
const ROWS_MAX: usize = 500_000;

/// Results by set and fold.
fn results<'a>(space: &Space, markets: &Markets, log: &'a Log) -> Outcome<Vec<Vec<&'a FoldResult>>> {
    let mut out = Vec::with_capacity(space.sets.len());
    for set in &space.sets {
        let mut row = Vec::with_capacity(markets.folds.len());
        for market in &markets.all {
            let found = log.done().get(&(set.key.clone(), market.key.key.clone()));
            let found = found.filter(|results| results.len() == market.folds);
            row.extend(
                found.ok_or("the log holds another number of folds than there are; --fresh begins anew".to_owned())?,
            );
        }
        out.push(row);
    }
    Ok(out)
}

/// What would be played, in words.
fn plan(space: &Space, markets: &Markets, asked: Duration) -> String {
    let (sets, captures, folds) = (space.sets.len(), markets.all.len(), markets.folds.len());
    let messages: u64 = markets.all.iter().map(|market| market.messages).sum();
    let mut out = format!(
        "{sets} parameter sets, {captures} captures, {folds} folds: {} jobs, {} messages to play\n",
        sets * captures,
        messages.saturating_mul(sets as u64)
    );
    if markets.sample_ns != asked.0 {
        out += &format!("note: the equity is sampled every {}, since a capture is long\n", Duration(markets.sample_ns));
    }
    for market in &markets.all {
        if let Some(damage) = &market.damage {
            out += &format!("warning: {}: {damage}; its jobs will fail\n", market.key.name);
        }
    }
    out
}

fn plan_json(space: &Space, markets: &Markets) -> String {
    let sets: Vec<String> = space.sets.iter().map(|set| space.describe(&set.values)).collect();
    let value = json!({
        "sets": sets, "folds": markets.folds, "jobs": space.sets.len() * markets.all.len(),
        "captures": markets.all.iter().map(|market| json!({
            "name": market.key.name, "messages": market.messages, "first_ns": market.first.get(), "last_ns": market.last.get(),
            "folds": market.folds, "damage": market.damage,
        })).collect::<Vec<_>>(),
        "sample_s": markets.sample_ns as f64 / 1e9,
    });
    format!("{value:#}\n")
}

fn write_json(args: &Cli, text: impl FnOnce() -> Outcome<String>) -> Outcome {
    match &args.json {
        None => Ok(()),
        Some(file) if file.as_os_str() == "-" => {
            say(&text()?);
            Ok(())
        }
        Some(file) => std::fs::write(file, text()?).map_err(|e| Failure::file(file, e)),
    }
}
