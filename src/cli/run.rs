//! `tercel run`: live on a venue, or on the simulated one inside this process.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::access::{self, Access};
use super::ghost::GhostSummary;
use super::guarded::GuardArgs;
use super::report::closing_report;
use super::session::{Ended, Place, TradeArgs, play};
use super::slow_risk::{SlowRiskSummary, slow_risk_text};
use super::summary::{ConnectionsSummary, Parts, Summary};
use super::{EngineArgs, Exit, Failure, Outcome};
use crate::config::{Config, Environment};
use crate::runtime::LiveOutcome;

/// Arguments of `tercel run`.
#[derive(Args)]
pub struct RunArgs {
    /// Play this captured Bybit feed on the embedded venue, once, instead of simulated traders.
    #[arg(long, value_name = "CAPTURE")]
    feed: Option<PathBuf>,
    /// End after this time, like 30s; without it at the end of the feed, or at Ctrl-C.
    #[arg(long = "for", value_name = "TIME")]
    run_for: Option<crate::config::Duration>,
    /// Talk to the embedded venue over TLS.
    #[arg(long)]
    tls: bool,
    /// Trade the best N instruments of a scan, by the table `[scan]`, instead of named ones.
    #[arg(long, value_name = "N")]
    scan_top: Option<usize>,
    #[command(flatten)]
    trade: TradeArgs,
    #[command(flatten)]
    guard: GuardArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs the command.
pub fn run(args: &RunArgs) -> Outcome {
    let mut config = args.engine.config()?;
    args.guard.apply(&mut config)?;
    if let Some(seed) = args.trade.seed {
        config.simex.seed = seed;
    }
    if let Some(top) = args.scan_top {
        if !config.instruments.is_empty() {
            return Err(Failure::usage("--scan-top chooses the instruments; the configuration names them already"));
        }
        config.scan.subscribe = top;
        config.scan.check().map_err(|(key, text)| Failure::usage(format!("scan.{key}: {text}")))?;
    }
    if args.feed.is_some() {
        if config.venue.environment != Environment::Embedded {
            return Err(Failure::usage("--feed plays on the embedded venue; the configuration names another"));
        }
        // Whatever depth the capture holds is the book.
        config.venue.book_depth = captured_depth(&config, args)?;
    }
    if args.trade.faults.is_some() && config.venue.environment != Environment::Embedded {
        return Err(Failure::usage("--faults plays on the embedded venue; the configuration names another"));
    }
    let place = Place { feed: args.feed.as_deref(), is_tls: args.tls, ..args.trade.place() };
    let run_for = args.run_for.map(|time| Duration::from_nanos(time.0));
    let (access, ended) = play(&config, &place, args.trade.journal.as_deref(), run_for, &mut |_, _| None)?;
    tell(args, &config, &access, ended)
}

/// Depth of the deepest book in the capture.
fn captured_depth(config: &Config, args: &RunArgs) -> Result<u16, Failure> {
    let Some(file) = &args.feed else { return Ok(config.venue.book_depth) };
    let mut reader = crate::journal::CaptureReader::open(file)?;
    let mut depth = None;
    while let Some((_, message)) = reader.next_line()? {
        let Some(rest) = message.strip_prefix(b"{\"topic\":\"orderbook.") else { continue };
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let found = std::str::from_utf8(&rest[..digits]).ok().and_then(|text| text.parse::<u16>().ok());
        depth = depth.max(found);
    }
    depth.ok_or_else(|| Failure::usage(format!("{}: holds no order book", file.display())))
}

/// Reports on a session that has ended.
fn tell(args: &RunArgs, config: &Config, access: &Access, ended: Ended) -> Outcome {
    let Ended { outcome, view, rss, timeline, end, .. } = ended;
    let latency = outcome.gateway.latency.summary();
    let first_errors = first_errors(&outcome);
    let ghost = outcome.ghost.as_ref().map(|ghost| GhostSummary::new(ghost, &outcome.core));
    let summary = Summary::new(&Parts {
        elapsed_s: outcome.elapsed_s,
        feed: &outcome.feed.counters,
        first_errors: &first_errors,
        engine: &outcome.core.engine,
        venue: view.as_ref(),
        latency: latency.clone(),
        hot_allocations: outcome.hot_allocations,
        rss,
        topology: config.threads.topology.to_string(),
        timeline,
        connections: Some(ConnectionsSummary::new(&outcome)),
        ghost: ghost.clone(),
        slow_risk: SlowRiskSummary::new(&outcome),
    });
    tell_ran(config, access, &outcome, &first_errors);
    print!("{}", closing_report(&outcome.core.engine, view.as_ref(), &latency));
    print!("{}", slow_risk_text(&outcome));
    if let Some(ghost) = &ghost {
        print!("{}", ghost.text());
    }
    if let Some(recorder) = &outcome.recorder {
        match &recorder.error {
            Some(error) => println!("journal {}: NOT WHOLE: {error}", recorder.path.display()),
            None => println!(
                "journal {}: {} events, {} commands, {} bytes",
                recorder.path.display(),
                recorder.events,
                recorder.commands,
                recorder.bytes
            ),
        }
        if let Some(error) = &recorder.prune_error {
            println!("  warning: earlier journals could not be removed: {error}");
        }
        if recorder.removed.runs > 0 {
            println!("  removed {} journals of earlier runs, {} bytes", recorder.removed.runs, recorder.removed.bytes);
        }
    }
    if let Some(file) = &args.engine.json {
        summary.write(file)?;
    }
    end.check()?;
    Ok(if view.is_some() && summary.is_good() { Exit::Good } else { Exit::NotReconciled })
}

/// The first messages that were refused, by whom it was.
pub fn first_errors(outcome: &LiveOutcome) -> Vec<String> {
    let mut first_errors = outcome.feed.first_errors.clone();
    first_errors.extend(outcome.gateway.first_errors.iter().cloned());
    first_errors.extend(outcome.rest_orders.iter().flat_map(|orders| orders.first_errors.iter().cloned()));
    first_errors
}

/// Says what went over the connections.
pub fn tell_ran(config: &Config, access: &Access, outcome: &LiveOutcome, first_errors: &[String]) {
    let c = &outcome.feed.counters;
    println!(
        "ran {:.1} s on {} ({}): {} market messages, {} refused, {} gaps, {} resyncs, {} requests sent, {} connections lost",
        outcome.elapsed_s,
        access::describe(&access.address),
        config.threads.topology,
        c.messages,
        c.decode_errors,
        c.gaps,
        c.resyncs,
        outcome.gateway.sent + outcome.rest_orders.as_ref().map_or(0, |orders| orders.sent),
        outcome.gateway.lost_links,
    );
    print_connections(outcome);
    for error in first_errors {
        println!("  refused: {error}");
    }
}

/// What the connections went through, as far as there is something to say.
fn print_connections(outcome: &LiveOutcome) {
    let feed = &outcome.feed;
    let spoke = feed.race.iter().enumerate().filter_map(|(idx, count)| Some((idx, count.win_rate_bps()?, count)));
    for (idx, bps, count) in spoke {
        println!(
            "  market connection {idx}: first with {} of {} messages ({}.{:02} %)",
            count.first,
            count.first + count.late,
            bps / 100,
            bps % 100
        );
    }
    if feed.renewals + feed.lost_links + feed.silent_streams > 0 {
        println!(
            "  market connections: {} lost, {} renewed; {} silent books subscribed anew",
            feed.lost_links, feed.renewals, feed.silent_streams
        );
    }
    if let Some(orders) = &outcome.rest_orders {
        println!(
            "orders over REST: {} requests, {} not sent, {} unanswered, {} cancels sent twice, {} answers told the rate limit",
            orders.sent, orders.not_sent, orders.unanswered, orders.retried, orders.limits_told
        );
    }
    let Some(asked) = &outcome.reconcile else { return };
    let account = &outcome.core.engine.account;
    println!(
        "account: {} of {} reconciliations whole, {} questions about single orders, {} requests ({} failed, {} limited); \
         {} holds, {} silent private streams, {} executions and {} ends told by answers first, {} foreign orders cancelled",
        account.passes_whole,
        account.passes,
        account.queries,
        asked.requests,
        asked.failures,
        asked.limited,
        account.holds,
        account.silent_streams,
        account.fills_by_query,
        account.ends_by_query,
        account.foreign_cancels,
    );
    if let Some((offset, uncertainty)) = asked.clock_offset {
        println!(
            "clock: the venue's is {:.3} ms ahead, give or take {:.3} ms",
            offset as f64 / 1e6,
            uncertainty as f64 / 1e6
        );
    }
}
