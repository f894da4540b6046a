//! `tercel paper`: the live market of a venue, fills simulated here, and the report of a backtest at the end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;

use super::access::{Address, address};
use super::backtest::{Watcher, conclude};
use super::captures::Captures;
use super::opening::{listed, market_feeds};
use super::session_report::ReportArgs;
use super::signals::StopSignals;
use super::simex::simex_config;
use super::{EngineArgs, Exit, Failure, Outcome, universe};
use crate::analytics::Sessions;
use crate::config::{Config, Environment};
use crate::ring::Flag;
use crate::runtime::{Clock, ReplayOptions, paper};
use crate::simex::{Simex, SimexHandle};
use crate::types::{InstrumentSpec, InstrumentTable, Product, VenueId};
use crate::venue::FeedConfig;
use crate::venue::bybit::rest::{RestClient, RestConfig};

/// Time between two looks at the signals and the clock.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Arguments of `tercel paper`.
#[derive(Args)]
#[command(after_help = "\
Public market data of the environment that the configuration names ([venue]; the embedded venue without one), and no key: nothing is
sent but subscriptions and the question for the instruments. Orders meet the same simulated venue as in `tercel backtest`: fees,
latencies and balance of [simex]. The first Ctrl-C ends in order and reports.

Examples:
  tercel paper --for 60s --report OUT
  tercel paper --config mainnet.toml --for 8h --report OUT")]
pub struct PaperArgs {
    /// End after this time, like 30s; without it at Ctrl-C.
    #[arg(long = "for", value_name = "TIME")]
    run_for: Option<crate::config::Duration>,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs the command.
pub fn run(args: &PaperArgs) -> Outcome {
    let config = args.engine.config()?;
    let signals = StopSignals::install()?;
    let (address, embedded) = open_market(&config)?;
    let outcome = trade(args, &config, &address, &signals);
    if let Some(simex) = embedded {
        simex.join();
    }
    outcome
}

/// Where the market is; starts the embedded one if that is it.
fn open_market(config: &Config) -> Result<(Address, Option<SimexHandle>), Failure> {
    if config.venue.environment != Environment::Embedded {
        return Ok((address(config)?, None));
    }
    let handle = Simex::start(simex_config(config, None)?, SocketAddr::from(([127, 0, 0, 1], 0)), None)?;
    let (ws, rest) = (format!("ws://{}", handle.addr()), format!("http://{}", handle.addr()));
    Ok((Address::single(ws, rest, config.venue.order_entry()), Some(handle)))
}

/// The instruments as the venue lists them, with the fees of the simulated account.
fn instruments(config: &Config, address: &Address, signals: &StopSignals) -> Result<InstrumentTable, Failure> {
    let rest = RestClient::new(RestConfig { extra_ca_pem: address.ca_pem.clone(), ..RestConfig::new(&address.rest) })?;
    let must_stop = || signals.is_set();
    let chosen = universe::choose(config, &rest, &address.rest, None, Clock::new().now(), &must_stop)?;
    if signals.is_set() {
        return Err(Failure::from("asked to stop before the start"));
    }
    if chosen.is_empty() && config.venue.environment != Environment::Embedded {
        return Err(Failure::usage("no instrument: name them, like [[instruments]] symbol = \"BTCUSDT\""));
    }
    let symbols: Vec<&str> = chosen.iter().map(String::as_str).collect();
    let listed = listed(&rest, Product::Linear, &symbols)?;
    let fees = config.simex.fees(Product::Linear);
    let priced = |spec: InstrumentSpec| InstrumentSpec { maker_fee: fees.maker, taker_fee: fees.taker, ..spec };
    let mut specs: Vec<InstrumentSpec> = listed.trading().map(|listing| priced(listing.spec)).collect();
    if let Some(missing) = symbols.iter().find(|symbol| !specs.iter().any(|spec| spec.symbol.as_str() == **symbol)) {
        return Err(Failure::usage(format!("the venue does not list `{missing}` as a linear contract that trades")));
    }
    specs.sort_by_key(|spec| symbols.iter().position(|symbol| *symbol == spec.symbol.as_str()));
    Ok(InstrumentTable::new(specs).ok_or("the venue lists more instruments than a table holds")?)
}

fn trade(args: &PaperArgs, config: &Config, address: &Address, signals: &StopSignals) -> Outcome {
    let table = instruments(config, address, signals)?;
    let reference = args.report.reference(&table)?;
    let feeds = market_feeds(&table, address, config)?;
    let session = Sessions::new(&table, &args.report.session(config, false)?, &reference);
    let strategy = config.strategy(table.len());
    config.check_against(&table).map_err(Failure::usage)?;
    let captures = Captures { files: Vec::new(), venues: vec![VenueId::BYBIT], table };
    let options = captures.options(config, FeedConfig::default()).map_err(Failure::of_backtest)?;
    let options = ReplayOptions { observer: Some(Box::new(Watcher::new(session, None))), ..options };
    if config.slow_risk.enabled {
        eprintln!("note: slow risk is not measured here, and [slow-risk] not obeyed");
    }
    let (stopping, engine, began) = (Flag::new(), config.engine(), Instant::now());
    let stop = stopping.clone();
    let trading = std::thread::Builder::new()
        .name("paper".to_owned())
        .spawn(move || paper(feeds, stop, options, engine, strategy))?;
    let run_for = args.run_for.map(|time| Duration::from_nanos(time.0));
    while !signals.is_set() && !trading.is_finished() && run_for.is_none_or(|time| began.elapsed() < time) {
        std::thread::sleep(LOOK_EVERY);
    }
    stopping.set();
    let outcome = trading.join().map_err(|_| "the paper session panicked: a bug")??;
    let source = format!("market data of {} ({})", address.ws_public, environment(config));
    let played = conclude(outcome, "Paper session", vec![source], reference, config)?;
    args.report.tell(&played.reports, args.engine.json.as_deref())?;
    Ok(if played.is_good() { Exit::Good } else { Exit::NotReconciled })
}

fn environment(config: &Config) -> String {
    format!("{:?}", config.venue.environment).to_lowercase()
}
