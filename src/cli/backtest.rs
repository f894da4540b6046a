//! `tercel backtest`: a capture through the engine with fills simulated, and a report on what came of it.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::session_report::ReportArgs;
use super::signals::StopSignals;
use super::{EngineArgs, Exit, Failure, Outcome, captures};
use crate::analytics::{Reference, Sessions};
use crate::backtest::Played;
use crate::config::Config;
use crate::ring::Flag;
use crate::runtime::{Observer, ReplayOutcome};
use crate::types::{Command, Event, Nanos};
use crate::venue::FeedConfig;

/// Arguments of `tercel backtest`.
#[derive(Args)]
#[command(after_help = "\
Decisions are those of `tercel replay` on the same capture and configuration, and the configuration is that of `tercel run`.
docs/analytics.md defines every figure. Ends with 3 if wallet or positions are not what the executions say.

Examples:
  tercel backtest CAPTURE.jsonl.gz --report OUT
  tercel backtest DAY1.jsonl.zst DAY2.jsonl.zst --config my.toml --reference BTCUSDT --json -")]
pub struct BacktestArgs {
    #[command(flatten)]
    played: PlayedArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// What is played.
#[derive(Args)]
pub struct PlayedArgs {
    /// Captures (line form, plain, gzip or zstd); several, of one venue or of several, are merged by time.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Venue of the capture, instead of its sidecar or what its messages show.
    #[arg(long, value_name = "NAME", requires = "instruments")]
    venue: Option<String>,
    /// Instruments as `SYMBOL:TICK:LOT`, several separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "SYMBOL:TICK:LOT", requires = "venue")]
    instruments: Vec<String>,
    /// A book without a snapshot starts empty at its first delta (Binance).
    #[arg(long)]
    assume_empty: bool,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Runs the command.
pub fn run(args: &BacktestArgs) -> Outcome {
    let config = args.played.engine.config()?;
    let played = play(&args.played, &args.report, &config)?;
    args.report.tell(&played.reports, args.played.engine.json.as_deref())?;
    Ok(if played.is_good() { Exit::Good } else { Exit::NotReconciled })
}

/// Plays captures and reports. Nothing is written.
pub fn play(args: &PlayedArgs, watched: &ReportArgs, config: &Config) -> Result<Played, Failure> {
    let captures = captures::find(&args.files, args.venue.as_deref(), &args.instruments, config)?;
    let reference = watched.reference(&captures.table)?;
    let session = Sessions::new(&captures.table, &watched.session(config, false)?, &reference);
    let signals = StopSignals::install()?;
    let feed = FeedConfig { book_depth: None, assume_empty: args.assume_empty };
    let stop = Flag::new();
    let watcher = Watcher::new(session, Some((signals.clone(), stop.clone())));
    let (outcome, watcher) =
        crate::backtest::play(&captures, config, feed, watcher, stop).map_err(Failure::of_backtest)?;
    if signals.is_set() {
        return Err(Failure::from("stopped before the end of the capture; nothing was written"));
    }
    let name = |file: &PathBuf| file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    let sources = args.files.iter().map(name).collect();
    Ok(judge(&outcome, watcher.session, "Backtest", sources, reference, config))
}

/// Makes the report of a session with simulated fills that has ended.
pub fn conclude(
    mut outcome: ReplayOutcome,
    kind: &str,
    sources: Vec<String>,
    reference: Reference,
    config: &Config,
) -> Result<Played, Failure> {
    let watcher = crate::backtest::watcher_of::<Watcher>(&mut outcome)?;
    Ok(judge(&outcome, watcher.session, kind, sources, reference, config))
}

fn judge(
    outcome: &ReplayOutcome,
    mut session: Sessions,
    kind: &str,
    sources: Vec<String>,
    reference: Reference,
    config: &Config,
) -> Played {
    session.finish();
    let c = &outcome.feed.counters;
    eprintln!(
        "played {} messages in {:.2} s; {} refused, {} unknown, {} gaps, {} resyncs",
        c.messages,
        outcome.elapsed_s,
        c.decode_errors,
        c.unknown_messages + c.unknown_symbols,
        c.gaps,
        c.resyncs
    );
    for error in &outcome.feed.first_errors {
        eprintln!("  refused: {error}");
    }
    let played = crate::backtest::judge(outcome, &session, kind, sources, reference, config);
    if !played.engine_agrees {
        eprintln!("error: the engine's books are not those of the executions");
    }
    if played.liquidations > 0 {
        let times = played.liquidations;
        eprintln!(
            "warning: the account was liquidated {times} times: its equity no longer covered the maintenance margin"
        );
    }
    if played.open_orders > 0 {
        eprintln!("error: {} orders were left open", played.open_orders);
    }
    played
}

/// Watches the replay from within: for the report, and for whoever waits for it.
pub struct Watcher {
    session: Sessions,
    progress: Progress,
    /// Who asks for the end, and what ends the replay then.
    ends_by: Option<(StopSignals, Flag)>,
}

impl Watcher {
    /// Watches for a report; ends the replay when a signal asks for it, if it is given what does.
    pub fn new(session: Sessions, ends_by: Option<(StopSignals, Flag)>) -> Self {
        Self { session, progress: Progress::new(), ends_by }
    }
}

impl Observer for Watcher {
    fn on_event(&mut self, event: &Event<'_>) {
        self.session.on_event(event);
        if self.progress.is_due() {
            self.progress.print(event.meta().recv);
            if let Some((signals, stop)) = &self.ends_by
                && signals.is_set()
            {
                stop.set();
            }
        }
    }

    fn on_command(&mut self, command: &Command) {
        self.session.on_command(command);
    }
}

/// Events between two looks at the clock: well below a tenth of a second at any speed.
const EVENTS_PER_LOOK: u64 = 4_096;

/// Time between two lines.
const LINE_EVERY: Duration = Duration::from_millis(200);

/// One line that is rewritten in place, on a terminal alone: how far the replay is. A capture that is read as it is played does
/// not tell how long it is, so the line tells market time and speed, not a share.
struct Progress {
    is_terminal: bool,
    started: Instant,
    printed: Instant,
    first: Option<Nanos>,
    events: u64,
}

impl Progress {
    fn new() -> Self {
        let now = Instant::now();
        Self { is_terminal: std::io::stderr().is_terminal(), started: now, printed: now, first: None, events: 0 }
    }

    fn is_due(&mut self) -> bool {
        self.events += 1;
        self.events.is_multiple_of(EVENTS_PER_LOOK)
    }

    fn print(&mut self, at: Nanos) {
        let first = *self.first.get_or_insert(at);
        if !self.is_terminal || self.printed.elapsed() < LINE_EVERY {
            return;
        }
        self.printed = Instant::now();
        let (played_s, took_s) = (at.saturating_since(first) as f64 / 1e9, self.started.elapsed().as_secs_f64());
        let span = crate::analytics::text::span_text(played_s);
        // Nobody is helped by an error about a status line.
        let _ = write!(
            std::io::stderr(),
            "\r\x1b[K{} UTC  {span} played, {:.0} times as fast  {} events",
            at.utc_text(),
            played_s / took_s.max(1e-3),
            self.events
        );
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
