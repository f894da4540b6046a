//! `tercel check-venue`: tries everything that a run needs of a venue, one step after the other.

mod orders;
mod report;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use self::orders::{Ground, Trader};
use self::report::Report;
use self::wire::Wire;
use super::access::{self, Access, Address};
use super::signals::StopSignals;
use super::simex::simex_config;
use super::{Exit, Failure, Outcome};
use crate::book::{Certificate, L2Book};
use crate::config::{Config, Environment};
use crate::net::WsLimits;
use crate::runtime::{Clock, ClockOffset};
use crate::simex::Simex;
use crate::types::{Event, InstrumentSpec, InstrumentTable, Product, Ticks, VenueId};
use crate::venue::bybit::encode::{PRIVATE_TOPICS, market_topics, subscribe};
use crate::venue::bybit::rest::{RestClient, RestError};
use crate::venue::bybit::{Secret, Signer};
use crate::venue::{Arrival, FeedConfig, MarketFeed};

/// Currency in which linear contracts settle.
const SETTLE_COIN: &str = "USDT";

/// Comparisons of the clocks; the quickest answer counts.
const CLOCK_SAMPLES: usize = 8;

/// Farthest that this machine's clock may be off, and that the difference may be uncertain. The engine takes the difference into
/// account, but a clock that is off by a second is not kept by anybody.
const CLOCK_NS_MAX: u64 = 1_000_000_000;
const UNCERTAINTY_NS_MAX: u64 = 500_000_000;

/// How long a login is valid.
const LOGIN_VALID_MS: u64 = 5_000;

/// Arguments of `tercel check-venue`.
#[derive(Args)]
pub struct CheckVenueArgs {
    /// Configuration file with the [venue] and at most one of its [[instruments]]; without one the embedded venue is checked.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The instrument to try; without it the first of the configuration, or of the venue.
    #[arg(long, value_name = "SYMBOL")]
    symbol: Option<String>,
    /// How long the public stream is watched.
    #[arg(long = "watch-for", value_name = "TIME", default_value = "5s")]
    watch_for: crate::config::Duration,
    /// Buy the smallest quantity at the market and sell it again. It costs two fees and the spread.
    #[arg(long)]
    trade: bool,
    /// Check the real venue that the configuration names. It places an order of the smallest size far from the market.
    #[arg(long)]
    live: bool,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &CheckVenueArgs) -> Outcome {
    let config = match &args.config {
        Some(file) => Config::load(file).map_err(Failure::usage)?,
        None => Config::default(),
    };
    let signals = StopSignals::install()?;
    let (access, embedded) = if config.venue.environment == Environment::Embedded {
        let simex = simex_config(&config, None)?;
        let account = simex.accounts.first().cloned().unwrap_or_default();
        let handle = Simex::start(simex, SocketAddr::from(([127, 0, 0, 1], 0)), None)?;
        let (ws, rest) = (format!("ws://{}", handle.addr()), format!("http://{}", handle.addr()));
        let address = Address::single(ws, rest, config.venue.order_entry());
        (Access { address, api_key: account.api_key, secret: Secret::new(account.api_secret) }, Some(handle))
    } else {
        (access::access(&config, args.live)?, None)
    };
    let venue = access::describe(&access.address);
    if !args.json {
        println!("checking {venue}");
    }
    let mut report = Report::new(args.json);
    let outcome = check(args, &config, &access, &signals, &mut report);
    if let Some(handle) = embedded {
        handle.join();
    }
    outcome?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report.json(&venue))?);
    } else {
        println!("{}", report.summary());
    }
    Ok(if report.is_good() { Exit::Good } else { Exit::Failed })
}

fn check(
    args: &CheckVenueArgs,
    config: &Config,
    access: &Access,
    signals: &StopSignals,
    report: &mut Report,
) -> Result<(), Failure> {
    let address = &access.address;
    let rest = RestClient::new(access.rest_config(config.venue.recv_window_ms))?;
    let clock = Clock::new();
    let asked = compare_clocks(&rest, &clock);
    let Some(offset) = report.take("rest", "the venue tells its time", asked, |_| address.rest.clone()) else {
        report.skip("everything-else", "the venue does not answer");
        return Ok(());
    };
    let (off_ns, doubt_ns) = (offset.offset_ns(), offset.uncertainty_ns());
    let found =
        format!("the venue is {:.3} ms ahead, give or take {:.3} ms", off_ns as f64 / 1e6, doubt_ns as f64 / 1e6);
    let is_good = off_ns.unsigned_abs() <= CLOCK_NS_MAX + doubt_ns && doubt_ns <= UNCERTAINTY_NS_MAX;
    report.check("clock", is_good, "off by a second at most, known to half a second", found);
    let venue_ms = || offset.venue_ms(clock.now());

    let listed = rest.trading_listings(Product::Linear).map_err(|e| e.to_string());
    let listed = report.take("instruments", "at least one that can be traded", listed, |listed| {
        let names: Vec<&str> = listed.unusable.iter().map(|it| it.symbol.as_str()).collect();
        let names = names.join(" ");
        let why = if names.is_empty() { "" } else { ": tick times lot finer than 10⁻¹², or no symbol: " };
        format!("{} linear, {} cannot be traded exactly{why}{names}", listed.trading().count(), listed.unusable.len())
    });
    let wanted = args.symbol.as_deref().or(config.instruments.first().map(|it| it.symbol.as_str()));
    let specs: Vec<InstrumentSpec> =
        listed.map(|listed| listed.trading().map(|listing| listing.spec).collect()).unwrap_or_default();
    let spec = specs.iter().find(|spec| wanted.is_none_or(|wanted| wanted == spec.symbol.as_str())).copied();
    let what = format!("{} is listed and trades", wanted.unwrap_or("any instrument"));
    let found = spec.map(|spec| format!("{}: tick {}, lot {}", spec.symbol, spec.tick, spec.lot));
    let is_there = spec.is_some();
    report.check("instrument", is_there, &what, found.unwrap_or_else(|| "not there".to_owned()));
    let Some(spec) = spec else { return Ok(()) };

    let touch = rest_touch(&rest, &spec);
    let touch = report.take("order-book", "a bid below an ask", touch, |(bid, ask)| {
        format!("{} / {}", spec.tick.text(bid.get()), spec.tick.text(ask.get()))
    });
    let depth = config.venue.book_depth;
    if let Err(error) = watch_stream(args, address, &spec, depth, signals, report) {
        report.check("public-stream", false, "it opens and tells the book", error);
    }
    if signals.is_set() {
        report.skip("account-and-orders", "asked to stop");
        return Ok(());
    }
    if !check_account(&rest, &spec, &venue_ms, report) {
        report.skip("private-and-orders", "the key does not work");
        return Ok(());
    }
    let is_asked_to_stop = || signals.is_set();
    let signer = Signer::new(&access.secret);
    let opened = open_private(config, access, &signer, venue_ms());
    let what = "login and subscriptions are taken";
    let Some(private) = report.take("private-stream", what, opened, |_| address.ws_private.clone()) else {
        return Ok(());
    };
    let trade = match &address.ws_trade {
        None => {
            report.skip("order-entry-socket", "orders go over REST");
            None
        }
        Some(base) => {
            let opened = address
                .link(base, "/v5/trade", WsLimits::default())
                .map_err(|failure| failure.text)
                .and_then(Wire::open)
                .and_then(|mut wire| {
                    wire.login(&signer, &access.api_key, venue_ms() + LOGIN_VALID_MS)?;
                    Ok(wire)
                });
            let opened = report.take("order-entry-socket", "the login is taken", opened, |_| base.clone());
            let Some(wire) = opened else { return Ok(()) };
            Some(wire)
        }
    };
    let Some((bid, ask)) = touch else {
        report.skip("orders", "without a book there is no price");
        return Ok(());
    };
    let mut trader = Trader::new(Ground {
        rest: &rest,
        trade,
        private,
        spec,
        settle_coin: SETTLE_COIN,
        recv_window_ms: config.venue.recv_window_ms,
        has_fast: config.venue.has_fast_executions(),
        venue_ms: &venue_ms,
        is_asked_to_stop: &is_asked_to_stop,
    });
    if let Err(error) = trader.resting(report, bid, ask) {
        report.check("resting-order", false, "an order rests, is changed and cancelled", error);
    }
    if !args.trade {
        report.skip("round-trip", "only with --trade");
    } else if signals.is_set() {
        report.skip("round-trip", "asked to stop");
    } else if let Err(error) = trader.round_trip(report, ask) {
        report.check("round-trip", false, "bought and sold", error);
    }
    // Whatever happened before.
    trader.clean_up(report);
    Ok(())
}

fn compare_clocks(rest: &RestClient, clock: &Clock) -> Result<ClockOffset, String> {
    let mut offset = ClockOffset::default();
    for _ in 0..CLOCK_SAMPLES {
        let asked = clock.now();
        let venue = rest.time().map_err(|e| e.to_string())?;
        offset.observe(asked, venue, clock.now());
    }
    Ok(offset)
}

/// Best bid and ask as REST tells them.
fn rest_touch(rest: &RestClient, spec: &InstrumentSpec) -> Result<(Ticks, Ticks), String> {
    let book = rest.order_book(spec.product, spec.symbol.as_str(), 1).map_err(|e| e.to_string())?;
    let px = |side: &str| {
        let text = book[side][0][0].as_str().ok_or_else(|| format!("no side `{side}`"))?;
        spec.tick.parse_ticks(text.as_bytes()).map_err(|e| format!("{text}: {e}"))
    };
    let (bid, ask) = (px("b")?, px("a")?);
    if bid < ask { Ok((bid, ask)) } else { Err(format!("bid {bid:?} and ask {ask:?}")) }
}

/// Subscribes to one instrument and follows its book for a while.
fn watch_stream(
    args: &CheckVenueArgs,
    address: &Address,
    spec: &InstrumentSpec,
    depth: u16,
    signals: &StopSignals,
    report: &mut Report,
) -> Result<(), String> {
    let table = InstrumentTable::new(vec![*spec]).ok_or("no table of one instrument")?;
    let config = FeedConfig { book_depth: Some(depth), assume_empty: false };
    let mut feed = MarketFeed::new(VenueId::BYBIT, &table, config).ok_or("no decoder")?;
    let link = address.link(&address.ws_public, "/v5/public/linear", WsLimits::default()).map_err(|f| f.text)?;
    let mut wire = Wire::open(link)?;
    for message in
        subscribe(&market_topics(spec.symbol.as_str(), depth, spec.product), spec.product).unwrap_or_default()
    {
        wire.say(&message)?;
    }
    let (mut book, mut certificate) = (L2Book::new(4096, 4096), Certificate::new());
    let (mut snapshots, mut deltas, mut is_live, mut first_error) = (0u64, 0u64, false, None);
    let began = Instant::now();
    let limit = Duration::from_nanos(args.watch_for.0);
    while began.elapsed() < limit && !signals.is_set() {
        wire.read(|frame, recv| {
            let mut sink = |event: &Event<'_>| match event {
                Event::Book(change) => {
                    match change.kind {
                        crate::types::BookKind::Snapshot => snapshots += 1,
                        crate::types::BookKind::Delta => deltas += 1,
                    }
                    book.apply(change);
                    certificate.on_book(book.touch(), change.cross_seq, change.kind);
                }
                Event::Top(top) => certificate.on_top(top, &book.touch()),
                Event::BookStatus(status) => is_live = status.state == crate::types::BookState::Live,
                _ => {}
            };
            let taken = feed.on_frame(frame, Arrival { recv, framed_ns: 0 }, || 0, &mut sink);
            if let Err(error) = taken {
                first_error.get_or_insert_with(|| format!("{error}: {}", String::from_utf8_lossy(frame)));
            }
        })?;
        if feed.take_resync().is_some() {
            // One gap is enough to know; the counters below say it.
            feed.on_disconnect(crate::types::Nanos::ZERO, &mut |_: &Event<'_>| {});
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    certificate.finish();
    let (counters, counts) = (*feed.counters(), certificate.counts());
    let found = format!("{snapshots} snapshots, {deltas} changes, {} trades; live: {is_live}", counters.trades);
    report.check(
        "public-stream",
        snapshots > 0 && deltas > 0 && is_live,
        "a snapshot, changes after it, a live book",
        found,
    );
    let found = format!("{} messages, {} gaps, {} refused", counters.messages, counters.gaps, counters.decode_errors);
    let found = first_error.map_or(found.clone(), |error| format!("{found}; first: {error}"));
    report.check("sequence", counters.gaps + counters.decode_errors == 0, "no gap, every message read", found);
    let found = format!("{} of {} comparisons equal", counts.equal, counts.checked);
    let is_good = counts.checked > 0 && counts.equal == counts.checked;
    report.check("top-of-book", is_good, "the book's top is the venue's own top", found);
    let (bid, ask) = (book.levels(crate::types::Side::Bid), book.levels(crate::types::Side::Ask));
    let is_whole = bid > 0 && ask > 0 && !book.touch().is_crossed();
    report.check("book", is_whole, "two sides that do not cross", format!("{bid} bids, {ask} asks"));
    Ok(())
}

/// Whether the key works; what else is asked of the account is noted, and does not keep the rest from being tried.
fn check_account(rest: &RestClient, spec: &InstrumentSpec, venue_ms: &dyn Fn() -> u64, report: &mut Report) -> bool {
    let wallet = rest.signed_list("/v5/account/wallet-balance", "accountType=UNIFIED&coin=USDT", venue_ms());
    let wallet = wallet.map_err(|e| e.to_string()).and_then(|list| {
        let coin = list.first().map(|account| account["coin"][0].clone()).ok_or("no account")?;
        coin["walletBalance"].as_str().map(str::to_owned).ok_or_else(|| format!("holds no {SETTLE_COIN}"))
    });
    let works = report.take("key", "a signed request is taken", wallet, |balance| format!("{balance} {SETTLE_COIN}"));
    if works.is_none() {
        return false;
    }
    match rest.key_info(venue_ms()) {
        Ok(key) => {
            let may_trade = !key.is_read_only && key.permissions.iter().any(|word| word == "ContractTrade.Order");
            let found = format!("read-only: {}, {}", key.is_read_only, key.permissions.join(" "));
            report.check("permissions", may_trade, "may place orders of contracts", found);
        }
        Err(RestError::Status { status: 404, .. } | RestError::Venue { code: 10_017 | 10_001 | 10_032, .. }) => {
            report.skip("permissions", "the venue does not tell them here");
        }
        Err(error) => {
            report.check("permissions", false, "the key's permissions", error.to_string());
        }
    }
    match rest.account_info(venue_ms()) {
        Ok(info) => {
            let found = format!("unifiedMarginStatus {}, {}", info.unified_status, info.margin_mode);
            report.check("account-mode", info.is_unified(), "a unified trading account", found)
        }
        Err(error) => report.check("account-mode", false, "a unified trading account", error.to_string()),
    };
    let items = rest.position_items(spec.product, spec.symbol.as_str(), venue_ms());
    let mode = items.map_err(|e| e.to_string()).and_then(|items| {
        let one_way = items.iter().all(|item| item["positionIdx"].as_u64() == Some(0));
        let size = items.first().and_then(|item| item["size"].as_str()).unwrap_or("0").to_owned();
        if one_way { Ok(size) } else { Err("hedge mode: switch it to one-way".to_owned()) }
    });
    report.take("position-mode", "one-way", mode, |size| format!("one-way, position {size}"));
    true
}

fn open_private(config: &Config, access: &Access, signer: &Signer, venue_ms: u64) -> Result<Wire, String> {
    let address = &access.address;
    let link = address.link(&address.ws_private, "/v5/private", WsLimits::default()).map_err(|f| f.text)?;
    let mut wire = Wire::open(link)?;
    wire.login(signer, &access.api_key, venue_ms + LOGIN_VALID_MS)?;
    let mut topics = PRIVATE_TOPICS.map(str::to_owned).to_vec();
    if config.venue.has_fast_executions() {
        topics.push("execution.fast".to_owned());
    }
    for message in subscribe(&topics, Product::Linear).unwrap_or_default() {
        wire.say(&message)?;
        let answer = wire.wait("the answer to the subscription", |it| it["op"].as_str() == Some("subscribe"))?;
        if answer["success"].as_bool() != Some(true) {
            return Err(format!("refused: {answer}"));
        }
    }
    Ok(wire)
}
