//! `tercel run`: live on a venue, or on the simulated one inside this process.

use std::collections::BTreeMap;
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
use super::status::StatusLine;
use super::summary::{ConnectionsSummary, Parts, Summary, VenueView};
use super::universe::{self, Refresh, Subscription, fit_limits, subscriptions};
use super::{EngineArgs, Exit, Failure, Outcome, run_id};
use crate::book::L2Book;
use crate::config::{Config, Environment, ForeignOrders, StrategyName};
use crate::engine::EngineConfig;
use crate::journal::JournalHeader;
use crate::net::{WsLimits, tls};
use crate::runtime::{
    Clock, ClockOffset, GatewayConfig, Live, LiveFeedConfig, LiveJournal, LiveOptions, LiveOutcome, LiveReconcile,
    ReconcilerConfig, clock_offset,
};
use crate::simex::{Simex, SimexHandle};
use crate::types::{Control, Event, InstrumentSpec, InstrumentTable, Lots, Meta, Money, Nanos, Product, VenueId};
use crate::venue::bybit::rest::{FeeRates, RestClient, RestConfig, RestError};
use crate::venue::bybit::{Listings, PrivateDecoder, Secret, Signer};
use crate::venue::{FeedConfig, MarketFeed};

/// Comparisons of the clocks at the start; the quickest answer counts.
const CLOCK_SAMPLES: usize = 4;

/// Currency in which linear contracts settle.
const SETTLE_COIN: &str = "USDT";

/// Pause after a ban by the embedded venue, which lifts it within seconds.
const EMBEDDED_BAN_PAUSE_NS: u64 = 5_000_000_000;

/// Most instruments that are asked for one by one.
const NAMED_MAX: usize = 4;

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
    /// Write a journal of everything that the engine consumes and wants into this folder, for `replay --journal`,
    /// `explain` and `latency`.
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Trade on the real venue that the configuration names. Needs a key, too: TERCEL_API_KEY and TERCEL_API_SECRET, or
    /// the file that venue.secret-file names.
    #[arg(long)]
    live: bool,
    /// Trade on a real venue although `tercel doctor` finds something red about this host.
    #[arg(long, requires = "live")]
    accept_host: bool,
    /// Trade the best N instruments of a scan, by the table `[scan]`, instead of named ones.
    #[arg(long, value_name = "N")]
    scan_top: Option<usize>,
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
        let ban_pause_ns = EMBEDDED_BAN_PAUSE_NS;
        let address =
            Address { tls: client, ca_pem, ban_pause_ns, ..Address::single(ws, rest, config.venue.order_entry()) };
        let access = Access { address, api_key: account.api_key, secret: Secret::new(account.api_secret) };
        return Ok((access, Some(handle)));
    }
    let access = access::access(config, args.live)?;
    if access.address.real_host()?.is_some() {
        super::doctor::check_host(config, args.accept_host)?;
    }
    Ok((access, None))
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
fn open_account(
    rest: &RestClient,
    config: &Config,
    base_url: &str,
    run_id: u32,
    now: &dyn Fn() -> Nanos,
    signals: &StopSignals,
) -> Result<Opening, Failure> {
    let mut clock_offset = ClockOffset::default();
    for _ in 0..CLOCK_SAMPLES {
        let asked = now();
        let venue = rest.time()?;
        clock_offset.observe(asked, venue, now());
    }
    let began_ms = clock_offset.venue_ms(now());
    let venue_now = || clock_offset.venue_ms(now());

    let mut fees = BTreeMap::new();
    if config.scan.subscribe > 0 || config.instruments.len() > NAMED_MAX {
        fees = rest.all_fee_rates(Product::Linear, venue_now())?;
    }
    let must_stop = || signals.is_set();
    let chosen = universe::choose(config, rest, base_url, Some(fees.clone()), now(), &must_stop)?;
    if signals.is_set() {
        return Err(Failure::from("asked to stop before the start"));
    }
    let symbols: Vec<&str> = chosen.iter().map(String::as_str).collect();
    if symbols.is_empty() && config.venue.environment != Environment::Embedded {
        return Err(Failure::usage(
            "no instrument: name them in the configuration, like [[instruments]] symbol = \"BTCUSDT\", or let --scan-top N choose",
        ));
    }
    let listed = listed(rest, Product::Linear, &symbols)?;
    let mut specs: Vec<InstrumentSpec> = listed.trading().map(|listing| listing.spec).collect();
    for symbol in &symbols {
        if !specs.iter().any(|spec| spec.symbol.as_str() == *symbol) {
            return Err(Failure::usage(format!("the venue does not list `{symbol}` as a linear contract that trades")));
        }
    }
    // In the order in which they were named or ranked.
    if !symbols.is_empty() {
        specs.sort_by_key(|spec| symbols.iter().position(|symbol| *symbol == spec.symbol.as_str()));
    }
    if fees.is_empty() && specs.len() > NAMED_MAX {
        // All that the venue lists: one by one they would be more questions than it answers in a second.
        fees = rest.all_fee_rates(Product::Linear, venue_now())?;
    }
    for spec in &mut specs {
        let fees = match fees.get(spec.symbol.as_str()) {
            Some(fees) => *fees,
            None => fee_rates(rest, config, spec, venue_now())?,
        };
        (spec.maker_fee, spec.taker_fee) = (fees.maker, fees.taker);
    }
    let table = InstrumentTable::new(specs).ok_or("the venue lists more instruments than a table holds")?;
    let mut decoder = PrivateDecoder::new(&table, run_id, SETTLE_COIN);
    if config.orders.foreign == ForeignOrders::Cancel {
        rest.cancel_all(Product::Linear, SETTLE_COIN, venue_now())?;
    }
    // Who only watches holds no position.
    if config.strategy.name != StrategyName::Watch {
        set_leverages(rest, &table, config.risk.leverage_e2, &venue_now, signals)?;
    }
    rest.wallet_balance(&mut decoder, SETTLE_COIN, venue_now())?
        .ok_or_else(|| Failure::usage(format!("the account holds no {SETTLE_COIN}")))?;
    Ok(Opening { table, clock_offset, began_ms })
}

/// Time between two of many requests for leverage: nine a second, of the ten that the venue allows.
const LEVERAGE_PAUSE: Duration = Duration::from_millis(110);

/// Sets the leverage of every instrument, at the venue's pace if there are many; what an instrument does not offer is lowered
/// to its greatest.
fn set_leverages(
    rest: &RestClient,
    table: &InstrumentTable,
    leverage_e2: u32,
    venue_now: &dyn Fn() -> u64,
    signals: &StopSignals,
) -> Result<(), Failure> {
    let is_many = table.len() > NAMED_MAX;
    if is_many {
        eprintln!("setting the leverage of {} instruments, {} s", table.len(), table.len().div_ceil(9));
    }
    for (_, spec) in table.iter() {
        if is_many {
            std::thread::sleep(LEVERAGE_PAUSE);
            if signals.is_set() {
                return Err(Failure::from("asked to stop before the start"));
            }
        }
        let e2 = if is_many { leverage_e2.min(spec.max_leverage_e2) } else { leverage_e2 };
        let leverage = format!("{}.{:02}", e2 / 100, e2 % 100);
        let set = || rest.set_leverage(Product::Linear, spec.symbol.as_str(), &leverage, venue_now());
        match set() {
            // Somebody else spends the account's rate, too.
            Err(RestError::Venue { code: 10_006, .. }) => {
                std::thread::sleep(Duration::from_secs(1));
                set()?;
            }
            other => other?,
        }
    }
    Ok(())
}

/// The instruments of these names, or everything that trades if none is named. Many names are picked out of the whole list,
/// which takes fewer requests.
pub fn listed(rest: &RestClient, product: Product, symbols: &[&str]) -> Result<Listings, RestError> {
    if !symbols.is_empty() && symbols.len() <= NAMED_MAX {
        return rest.listings_of(product, symbols);
    }
    let mut listed = rest.trading_listings(product)?;
    if !symbols.is_empty() {
        listed.found.retain(|listing| symbols.contains(&listing.spec.symbol.as_str()));
    }
    Ok(listed)
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

/// The connections that carry the market data of all instruments, each with its decoder.
pub fn market_feeds(
    table: &InstrumentTable,
    address: &Address,
    config: &Config,
) -> Result<Vec<(MarketFeed, LiveFeedConfig)>, Failure> {
    let depth = config.venue.book_depth;
    let too_long = || Failure::usage("nothing to subscribe, or a name that is too long");
    let mut feeds = Vec::new();
    for part in subscriptions(table, depth).ok_or_else(too_long)? {
        let feed_config = FeedConfig { book_depth: Some(depth), assume_empty: false };
        let decoder = MarketFeed::new(VenueId::BYBIT, table, feed_config).ok_or("no decoder for this venue")?;
        let Subscription { subscribe, resubscribe } = part;
        let link = address.link(&address.ws_public, "/v5/public/linear", WsLimits::default())?;
        let config = LiveFeedConfig {
            link,
            connections: usize::from(config.venue.market_connections),
            renew_every_ns: config.venue.renew_connections_every.0,
            silent_after_ns: config.venue.stream_silent_after.0,
            subscribe,
            resubscribe,
        };
        feeds.push((decoder, config));
    }
    Ok(feeds)
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
    let opening = open_account(&rest, config, &access.address.rest, run_id, &now, signals)?;
    let table = opening.table;
    let depth = config.venue.book_depth;
    let mut engine = EngineConfig { reconcile: config.reconcile(), ..config.engine() };
    if config.scan.subscribe > 0 && config.instruments.is_empty() {
        let given = engine.limits;
        engine.limits = fit_limits(given, table.len(), depth, config.scan.books_mib_max << 20)?;
        let book_bytes = L2Book::memory_bytes(engine.limits.window_ticks, engine.limits.far_levels_max);
        eprintln!(
            "books of {} instruments: {:.2} MiB, a window of {} ticks each",
            table.len(),
            (table.len() * book_bytes) as f64 / f64::from(1 << 20),
            engine.limits.window_ticks
        );
    }
    let ban_pause_ns = access.address.ban_pause_ns;
    let mut feeds = market_feeds(&table, &access.address, config)?;
    if feeds.len() > 1 {
        eprintln!("{} instruments over {} market data connections", table.len(), feeds.len());
    }
    let (market_feed, feed) = feeds.remove(0);
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
            // What holds, not what the file says: the engine of a replay is made from it.
            let mut effective = config.clone();
            effective.limits.window_ticks = engine.limits.window_ticks;
            effective.limits.far_levels_max = engine.limits.far_levels_max;
            let mut text = String::new();
            std::fmt::Write::write_fmt(&mut text, format_args!("{effective}"))
                .map_err(|_| "the configuration holds a number that a journal cannot hold")?;
            let header =
                JournalHeader { host: crate::doctor::fingerprint(), ..JournalHeader::new(run_id, &table, text) };
            let path = dir.join(format!("run-{run_id:08x}.tj"));
            Some(LiveJournal { path, header, bounds: config.journal.bounds() })
        }
        None => None,
    };
    let (offset_writer, offset_reader) = clock_offset();
    let real_time = super::doctor::real_time(config)?;
    let options = LiveOptions {
        market_feed,
        feed,
        more_feeds: feeds,
        gateway: GatewayConfig {
            trade: trade_link,
            private: address.link(&address.ws_private, "/v5/private", order_limits)?,
            api_key: access.api_key.clone(),
            signer: Arc::new(Signer::new(&access.secret)),
            run_id,
            recv_window_ms: config.venue.recv_window_ms,
            clock_offset: offset_reader,
            send_within_ns: config.orders.send_within.0,
            warm_every_ns: config.threads.warm_every.0,
            fast_executions: config.orders.fast_executions && config.venue.has_fast_executions(),
            settle_coin: SETTLE_COIN.to_owned(),
        },
        reconcile: Some(LiveReconcile {
            config: ReconcilerConfig { ban_pause_ns, ..ReconcilerConfig::new(run_id, SETTLE_COIN) },
            rest: RestClient::new(rest_config.clone())?,
            offset: (opening.clock_offset, offset_writer),
            executions_since_ms: opening.began_ms,
        }),
        topology: config.threads.topology.clone(),
        cpus: config.threads.cpus.clone(),
        idle: config.threads.idle,
        real_time,
        journal,
        witness: None,
        guard: guarded.as_ref().map(Guarded::pulse),
        table: table.clone(),
        rest_orders,
    };
    super::memory::lock(config.threads.lock_memory)?;
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

    let every = Duration::from_nanos(config.scan.refresh.0);
    let mut refresh = Refresh::start(RestClient::new(rest_config)?, &table, every)?;
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
        } else if live.is_journal_lost() {
            broke = true;
            break "the journal cannot be written, and what cannot be recorded must not be traded";
        } else if live.status().read().is_some_and(|status| status.is_stopping) {
            broke = true;
            break "the engine stopped itself: the journal was lost, or the venue's position is not ours";
        } else if embedded.is_some_and(SimexHandle::is_feed_finished) {
            break "the feed has ended";
        } else if limit.is_some_and(|limit| trading.elapsed() >= limit) {
            break "time is up";
        }
        refresh.act(&mut live);
        if let Some(status) = live.status().read() {
            status_line.tick(&status, trading.elapsed());
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let timeline = status_line.end();
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
        timeline,
        connections: Some(ConnectionsSummary::new(&outcome)),
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
