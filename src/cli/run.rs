//! `tercel run`: live on a venue, or on the simulated one inside this process.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::access::{self, Access, Address};
use super::guarded::{GuardArgs, Guarded};
use super::memory::RssBytes;
use super::report::closing_report;
use super::signals::StopSignals;
use super::simex::{simex_config, venue_faults};
use super::summary::{Parts, Summary, VenueView};
use super::{EngineArgs, Exit, Failure, Outcome, run_id};
use crate::config::{Config, Environment, ForeignOrders};
use crate::engine::{CoreStatus, EngineConfig};
use crate::net::{WsLimits, tls};
use crate::runtime::{
    Clock, ClockOffset, GatewayConfig, Live, LiveFeedConfig, LiveOptions, LiveOutcome, LiveReconcile, ReconcilerConfig,
    clock_offset,
};
use crate::simex::{Simex, SimexHandle};
use crate::types::{Control, Event, InstrumentSpec, InstrumentTable, Lots, Meta, Money, Nanos, Product, VenueId};
use crate::venue::bybit::encode::{market_topics, subscribe, unsubscribe};
use crate::venue::bybit::rest::{FeeRates, RestClient, RestConfig, RestError};
use crate::venue::bybit::{PrivateDecoder, Secret, Signer};
use crate::venue::{FeedConfig, MarketFeed};

/// Comparisons of the clocks at the start; the quickest answer counts.
const CLOCK_SAMPLES: usize = 4;

/// Currency in which linear contracts settle.
const SETTLE_COIN: &str = "USDT";

/// Longest time to wait for logins and the first book.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Longest time to wait for open orders to be gone.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Longest time for one order request over REST: cancels wait behind it.
const REST_ORDER_WITHIN: Duration = Duration::from_secs(3);

/// Time in which the last fills and balances arrive after the last order is gone.
const SETTLE_FOR: Duration = Duration::from_millis(300);

/// Arguments of `tercel run`.
#[derive(Args)]
pub struct RunArgs {
    /// Play this captured Bybit feed on the embedded venue, once, instead of simulated traders.
    #[arg(long, value_name = "CAPTURE")]
    feed: Option<PathBuf>,
    /// End after this time, like 30s; without it at the end of the feed, or at Ctrl-C.
    #[arg(long = "for", value_name = "TIME")]
    run_for: Option<crate::config::Duration>,
    /// Seed of the embedded venue's traders.
    #[arg(long)]
    seed: Option<u64>,
    /// Talk to the embedded venue over TLS.
    #[arg(long)]
    tls: bool,
    /// Write a journal of every event that the engine consumes into this folder.
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Trade on the real venue that the configuration names. Needs a key, too: TERCEL_API_KEY and TERCEL_API_SECRET, or
    /// the file that venue.secret-file names.
    #[arg(long)]
    live: bool,
    /// Let this script of faults happen on the embedded venue; times count from its start.
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    #[command(flatten)]
    guard: GuardArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs the command.
pub fn run(args: &RunArgs) -> Outcome {
    let mut config = args.engine.config()?;
    args.guard.apply(&mut config)?;
    if let Some(seed) = args.seed {
        config.simex.seed = seed;
    }
    if args.feed.is_some() {
        if config.venue.environment != Environment::Embedded {
            return Err(Failure::usage("--feed plays on the embedded venue; the configuration names another"));
        }
        // Whatever depth the capture holds is the book.
        config.venue.book_depth = captured_depth(&config, args)?;
    }
    if args.faults.is_some() && config.venue.environment != Environment::Embedded {
        return Err(Failure::usage("--faults plays on the embedded venue; the configuration names another"));
    }
    let signals = StopSignals::install()?;
    let (access, embedded) = open_venue(&config, args)?;
    let outcome = trade(args, &config, &access, embedded.as_ref(), &signals);
    if let Some(simex) = embedded {
        simex.join();
    }
    outcome
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

/// Opens the way to the venue; starts the embedded one if that is where to trade.
fn open_venue(config: &Config, args: &RunArgs) -> Result<(Access, Option<SimexHandle>), Failure> {
    if config.venue.environment == Environment::Embedded {
        let mut simex = simex_config(config, args.feed.as_deref())?;
        simex.faults = venue_faults(args.faults.as_deref())?;
        let account = simex.accounts.first().cloned().unwrap_or_default();
        let (server, client, ca_pem) = if args.tls {
            let certs = tls::generate(&["localhost", "127.0.0.1"])?;
            let server = tls::server_config(&certs.cert_pem, &certs.key_pem)?;
            let client = tls::client_config(tls::Roots::CaPem(&certs.ca_pem))?;
            (Some(server), Some(client), Some(certs.ca_pem.into_bytes()))
        } else {
            (None, None, None)
        };
        let handle = Simex::start(simex, SocketAddr::from(([127, 0, 0, 1], 0)), server)?;
        let (ws, http) = if args.tls { ("wss", "https") } else { ("ws", "http") };
        let (ws, rest) = (format!("{ws}://{}", handle.addr()), format!("{http}://{}", handle.addr()));
        let address = Address { tls: client, ca_pem, ..Address::single(ws, rest, config.venue.order_entry()) };
        let access = Access { address, api_key: account.api_key, secret: Secret::new(account.api_secret) };
        return Ok((access, Some(handle)));
    }
    Ok((access::access(config, args.live)?, None))
}

/// What the venue says before the engine starts.
struct Opening {
    table: InstrumentTable,
    clock_offset: ClockOffset,
    /// Venue time at which this session's executions begin, in milliseconds.
    began_ms: u64,
}

/// Asks the venue for everything that must be known before the engine can be made, and leaves nothing of an earlier run
/// open unless it is to be kept. Balance, positions and what is open the engine asks for itself.
fn open_account(rest: &RestClient, config: &Config, run_id: u32, now: &dyn Fn() -> Nanos) -> Result<Opening, Failure> {
    let mut clock_offset = ClockOffset::default();
    for _ in 0..CLOCK_SAMPLES {
        let asked = now();
        let venue = rest.time()?;
        clock_offset.observe(asked, venue, now());
    }
    let began_ms = clock_offset.venue_ms(now());
    let venue_now = || clock_offset.venue_ms(now());

    let symbols: Vec<&str> = config.instruments.iter().map(|i| i.symbol.as_str()).collect();
    if symbols.is_empty() && config.venue.environment != Environment::Embedded {
        return Err(Failure::usage(
            "no instrument: name them in the configuration, like [[instruments]] symbol = \"BTCUSDT\"",
        ));
    }
    let listed = rest.instruments(Product::Linear, &symbols)?;
    let mut specs: Vec<InstrumentSpec> = listed.specs;
    for symbol in &symbols {
        if !specs.iter().any(|spec| spec.symbol.as_str() == *symbol) {
            return Err(Failure::usage(format!("the venue does not list `{symbol}` as a linear contract that trades")));
        }
    }
    for spec in &mut specs {
        let fees = fee_rates(rest, config, spec, venue_now())?;
        (spec.maker_fee, spec.taker_fee) = (fees.maker, fees.taker);
    }
    let table = InstrumentTable::new(specs).ok_or("the venue lists more instruments than a table holds")?;
    let mut decoder = PrivateDecoder::new(&table, run_id, SETTLE_COIN);
    if config.orders.foreign == ForeignOrders::Cancel {
        rest.cancel_all(Product::Linear, SETTLE_COIN, venue_now())?;
    }
    let leverage = format!("{}.{:02}", config.risk.leverage_e2 / 100, config.risk.leverage_e2 % 100);
    for (_, spec) in table.iter() {
        rest.set_leverage(Product::Linear, spec.symbol.as_str(), &leverage, venue_now())?;
    }
    rest.wallet_balance(&mut decoder, SETTLE_COIN, venue_now())?
        .ok_or_else(|| Failure::usage(format!("the account holds no {SETTLE_COIN}")))?;
    Ok(Opening { table, clock_offset, began_ms })
}

/// The account's fee rates; on a demo account that does not tell them, the configured ones, and that is said.
fn fee_rates(rest: &RestClient, config: &Config, spec: &InstrumentSpec, now_ms: u64) -> Result<FeeRates, RestError> {
    let venue = &config.venue;
    match rest.fee_rates(Product::Linear, spec.symbol.as_str(), now_ms) {
        Err(RestError::Venue { code: 10_001, .. }) if venue.environment == Environment::Demo => {
            eprintln!(
                "warning: the demo account does not tell its fee rates for {}: taking maker-fee-bps = {} and taker-fee-bps = {} of [venue]",
                spec.symbol, venue.maker_fee_bps, venue.taker_fee_bps
            );
            Ok(FeeRates { maker: venue.maker_fee_bps.0, taker: venue.taker_fee_bps.0 })
        }
        found => found,
    }
}

/// What the venue says at the end.
fn closing_view(
    rest: &RestClient,
    table: &InstrumentTable,
    run_id: u32,
    venue_ms: u64,
) -> Result<VenueView, RestError> {
    let mut decoder = PrivateDecoder::new(table, run_id, SETTLE_COIN);
    let mut positions = vec![Lots::ZERO; table.len()];
    for position in rest.positions(&mut decoder, Product::Linear, SETTLE_COIN, venue_ms)? {
        if let Some(qty) = positions.get_mut(position.meta.instrument.idx()) {
            *qty = position.qty;
        }
    }
    let wallet = rest.wallet_balance(&mut decoder, SETTLE_COIN, venue_ms)?.map_or(Money::ZERO, |b| b.wallet);
    let open_orders = rest.open_orders(&mut decoder, Product::Linear, SETTLE_COIN, venue_ms)?.len();
    Ok(VenueView { positions, wallet, open_orders })
}

fn trade(
    args: &RunArgs,
    config: &Config,
    access: &Access,
    embedded: Option<&SimexHandle>,
    signals: &StopSignals,
) -> Outcome {
    let wall = Clock::new();
    let now = || wall.now();
    let unix_s = (now().as_millis() / 1000) as u32;
    let run_id = match (&config.orders.run_id_file, embedded) {
        (Some(file), _) => run_id::next(file, unix_s)?,
        (None, None) => run_id::next(&run_id::default_file()?, unix_s)?,
        // The embedded venue has seen no other run.
        (None, Some(_)) => unix_s,
    };
    let mut guarded = Guarded::begin(config, run_id, now().as_millis(), signals)?;
    let rest_config = access.rest_config(config.venue.recv_window_ms);
    let rest = RestClient::new(rest_config.clone())?;
    let opening = open_account(&rest, config, run_id, &now)?;
    let table = opening.table;
    let depth = config.venue.book_depth;

    let mut topics = Vec::new();
    let mut resubscribe = Vec::new();
    for (_, spec) in table.iter() {
        topics.extend(market_topics(spec.symbol.as_str(), depth, Product::Linear));
        let book = [format!("orderbook.{depth}.{}", spec.symbol)];
        let messages = [unsubscribe(&book, Product::Linear), subscribe(&book, Product::Linear)];
        resubscribe.push(messages.into_iter().flatten().flatten().map(String::into_bytes).collect());
    }
    let messages = subscribe(&topics, Product::Linear)
        .ok_or_else(|| Failure::usage(format!("{} instruments are too many for one connection", table.len())))?;
    let feed_config = FeedConfig { book_depth: Some(depth), assume_empty: false };
    let market_feed = MarketFeed::new(VenueId::BYBIT, &table, feed_config).ok_or("no decoder for this venue")?;
    let order_limits = WsLimits { recv_bytes: 1 << 18, send_bytes: 1 << 16, message_bytes_max: 1 << 17 };
    let address = &access.address;
    let trade_link = match &address.ws_trade {
        Some(base) => Some(address.link(base, "/v5/trade", order_limits)?),
        None => None,
    };
    let rest_orders = match trade_link {
        Some(_) => None,
        None => Some(RestClient::new(RestConfig { timeout: REST_ORDER_WITHIN, ..rest_config.clone() })?),
    };
    let journal = match args.journal.as_ref().or(config.journal.dir.as_ref()) {
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
            Some(dir.join(format!("run-{run_id:08x}.tj")))
        }
        None => None,
    };
    let (offset_writer, offset_reader) = clock_offset();
    let options = LiveOptions {
        market_feed,
        feed: LiveFeedConfig {
            link: address.link(&address.ws_public, "/v5/public/linear", WsLimits::default())?,
            connections: usize::from(config.venue.market_connections),
            renew_every_ns: config.venue.renew_connections_every.0,
            silent_after_ns: config.venue.stream_silent_after.0,
            subscribe: messages.into_iter().map(String::into_bytes).collect(),
            resubscribe,
        },
        gateway: GatewayConfig {
            trade: trade_link,
            private: address.link(&address.ws_private, "/v5/private", order_limits)?,
            api_key: access.api_key.clone(),
            signer: Arc::new(Signer::new(&access.secret)),
            run_id,
            recv_window_ms: config.venue.recv_window_ms,
            clock_offset: offset_reader,
            send_within_ns: config.orders.send_within.0,
            fast_executions: config.orders.fast_executions && config.venue.has_fast_executions(),
            settle_coin: SETTLE_COIN.to_owned(),
        },
        reconcile: Some(LiveReconcile {
            config: ReconcilerConfig::new(run_id, SETTLE_COIN),
            rest: RestClient::new(rest_config)?,
            offset: (opening.clock_offset, offset_writer),
            executions_since_ms: opening.began_ms,
        }),
        topology: config.threads.topology.clone(),
        cpus: config.threads.cpus.clone(),
        idle: config.threads.idle,
        journal,
        guard: guarded.as_ref().map(Guarded::pulse),
        table: table.clone(),
        rest_orders,
    };
    let engine = EngineConfig { reconcile: config.reconcile(), ..config.engine() };
    let mut live = Live::start(options, engine, config.strategy(table.len()))?;
    let mut rss = RssBytes::begin();

    // Reconcile first, trade second.
    let began = Instant::now();
    let is_ready = |live: &Live| {
        let status = live.status().read();
        live.is_gateway_ready() && status.is_some_and(|status| status.books_live > 0 && status.is_synced)
    };
    while !is_ready(&live) && !signals.is_set() && !live.has_broken() && began.elapsed() < READY_WITHIN {
        std::thread::sleep(Duration::from_millis(2));
    }
    let became_ready = is_ready(&live);
    if became_ready {
        let recv = live.clock().now();
        let meta = Meta { recv, ..Meta::default() };
        if let Some(guarded) = &mut guarded {
            guarded.running();
        }
        live.tell(&Event::Control(meta, Control::Arm));
        rss = RssBytes::begin();
    }

    let limit = args.run_for.map(|d| Duration::from_nanos(d.0));
    let mut status_line = StatusLine::new();
    let trading = Instant::now();
    let mut broke = false;
    let why = loop {
        if !became_ready {
            break "the venue did not become ready";
        } else if signals.is_set() {
            break "asked to stop";
        } else if live.has_broken() {
            break "a thread ended";
        } else if let Some(halt) = guarded.as_ref().and_then(Guarded::halt) {
            broke = true;
            break halt.text();
        } else if live.status().read().is_some_and(|status| status.is_stopping) {
            broke = true;
            break "the engine stopped itself: the journal was lost, or the venue's position is not ours";
        } else if embedded.is_some_and(SimexHandle::is_feed_finished) {
            break "the feed has ended";
        } else if limit.is_some_and(|limit| trading.elapsed() >= limit) {
            break "time is up";
        }
        status_line.tick(&live, trading.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    };
    status_line.end();
    eprintln!("stopping: {why}; cancelling open orders");
    stop_trading(&mut live);

    let venue_ms = opening.clock_offset.venue_ms(now());
    let view = closing_view(&rest, &table, run_id, venue_ms);
    if let Some(guarded) = &guarded {
        // Before the threads end: a journal takes its time to close, and nothing new is sent any more.
        guarded.end(view.as_ref().is_ok_and(|view| view.open_orders == 0));
    }
    let outcome = live.finish()?;
    let rss = rss.end();
    let view = match view {
        Ok(view) => Some(view),
        Err(error) => {
            eprintln!("warning: the venue's closing view cannot be had: {error}");
            None
        }
    };
    let latency = outcome.gateway.latency.summary();
    let mut first_errors = outcome.feed.first_errors.clone();
    first_errors.extend(outcome.gateway.first_errors.iter().cloned());
    first_errors.extend(outcome.rest_orders.iter().flat_map(|orders| orders.first_errors.iter().cloned()));
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
    });
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
    print_connections(&outcome);
    for error in &first_errors {
        println!("  refused: {error}");
    }
    print!("{}", closing_report(&outcome.core.engine, view.as_ref(), &latency));
    if let Some(recorder) = &outcome.recorder {
        match &recorder.error {
            Some(error) => println!("journal {}: NOT WHOLE: {error}", recorder.path.display()),
            None => println!("journal {}: {} events", recorder.path.display(), recorder.events),
        }
    }
    if let Some(file) = &args.engine.json {
        summary.write(file)?;
    }
    if !became_ready {
        return Err(Failure::from("the venue did not become ready: no login, no book, or no reconciliation"));
    }
    if broke {
        return Err(Failure::from(why));
    }
    Ok(if view.is_some() && summary.is_good() { Exit::Good } else { Exit::NotReconciled })
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

/// Tells the engine to stop and waits until its orders are gone, and then for the last news.
fn stop_trading(live: &mut Live) {
    let recv = live.clock().now();
    live.tell(&Event::Control(Meta { recv, ..Meta::default() }, Control::Stop));
    let asked = Instant::now();
    let is_done = |live: &Live| live.status().read().is_some_and(|s| s.is_stopping && s.open_orders == 0);
    while !is_done(live) && !live.has_broken() && asked.elapsed() < STOP_WITHIN {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(SETTLE_FOR);
}

/// One line a second: rewritten in place on a terminal, appended where the output goes to a file.
struct StatusLine {
    is_terminal: bool,
    printed_at: Option<u64>,
}

impl StatusLine {
    fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), printed_at: None }
    }

    fn tick(&mut self, live: &Live, elapsed: Duration) {
        if self.printed_at == Some(elapsed.as_secs()) {
            return;
        }
        let Some(status) = live.status().read() else { return };
        self.printed_at = Some(elapsed.as_secs());
        let CoreStatus { events, commands, fills, open_orders, unknown, refused, pnl_micros, books_live, .. } = status;
        let account = if status.is_synced { "synced" } else { "HELD " };
        let doubt = if unknown > 0 { format!(" ({unknown} in doubt)") } else { String::new() };
        let line = format!(
            "{:>5} s  {account}  books live {books_live}  events {events}  requests {commands}  open {open_orders}{doubt}  fills {fills}  refused {refused}  pnl {:.4}",
            elapsed.as_secs(),
            pnl_micros as f64 / 1e6
        );
        let mut out = std::io::stderr();
        // Nobody is helped by an error about a status line.
        let _ = if self.is_terminal { write!(out, "\r\x1b[K{line}") } else { writeln!(out, "{line}") };
        let _ = out.flush();
    }

    fn end(&self) {
        if self.is_terminal && self.printed_at.is_some() {
            eprintln!();
        }
    }
}
