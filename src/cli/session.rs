//! A live session from the opening of the venue to its end: what `run` and `soak` share.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::access::{self, Access, Address};
use super::guarded::Guarded;
use super::memory::RssBytes;
use super::opening::{SETTLE_COIN, closing_view, market_feeds, open_account};
use super::protect::{StateKeeper, StopFile, StopKind};
use super::signals::StopSignals;
use super::simex::{simex_config, venue_faults};
use super::status::StatusLine;
use super::summary::VenueView;
use super::universe::{Refresh, fit_limits};
use super::{Failure, run_id};
use crate::book::L2Book;
use crate::config::{Config, Environment};
use crate::guard::Halt;
use crate::journal::JournalHeader;
use crate::net::{WsLimits, tls};
use crate::runtime::{
    Analysts, Board, Clock, GatewayConfig, Live, LiveJournal, LiveOptions, LiveOutcome, LiveReconcile,
    ReconcilerConfig, clock_offset, slow_risk,
};
use crate::simex::{Simex, SimexHandle};
use crate::types::{Control, Event, Meta};
use crate::venue::bybit::rest::{RestClient, RestConfig};
use crate::venue::bybit::{Secret, Signer};

/// Pause after a ban by the embedded venue, which lifts it within seconds.
const EMBEDDED_BAN_PAUSE_NS: u64 = 5_000_000_000;

/// Longest time to wait for logins and the first book.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Longest time for one order request over REST: cancels wait behind it.
const REST_ORDER_WITHIN: Duration = Duration::from_secs(3);

/// Time in which the last fills and balances arrive after the last order is gone.
const SETTLE_FOR: Duration = Duration::from_millis(300);

/// Which venue a session trades on, beside what the configuration says.
#[derive(Clone, Copy, Default)]
pub struct Place<'a> {
    /// A captured feed for the embedded venue.
    pub feed: Option<&'a Path>,
    /// A script of faults for the embedded venue.
    pub faults: Option<&'a Path>,
    /// Whether to talk to the embedded venue over TLS.
    pub is_tls: bool,
    /// Whether a real venue may be traded on.
    pub is_live: bool,
    /// Whether it may be although this host is not fit for it.
    pub accepts_host: bool,
}

/// Options of the commands that trade.
#[derive(clap::Args)]
pub struct TradeArgs {
    /// Seed of the embedded venue's traders.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Let this script of faults happen on the embedded venue; times count from its start.
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
    /// Write a journal of everything that the engine consumes and wants into this folder, for `replay --journal`,
    /// `explain` and `latency`.
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// Trade on the real venue that the configuration names. Needs a key, too: TERCEL_API_KEY and TERCEL_API_SECRET, or
    /// the file that venue.secret-file names.
    #[arg(long)]
    pub live: bool,
    /// Trade on a real venue although `tercel doctor` finds something red about this host.
    #[arg(long, requires = "live")]
    pub accept_host: bool,
}

impl TradeArgs {
    /// Where to trade, by these options.
    pub fn place(&self) -> Place<'_> {
        Place { faults: self.faults.as_deref(), is_live: self.live, accepts_host: self.accept_host, ..Place::default() }
    }
}

/// Opens the venue and trades on it until it ends; returns the way to the venue as well.
///
/// # Errors
/// As [`trade`].
pub fn play(
    config: &Config,
    place: &Place<'_>,
    journal: Option<&Path>,
    run_for: Option<Duration>,
    look: &mut Look<'_>,
) -> Result<(Access, Ended), Failure> {
    let signals = StopSignals::install()?;
    let (access, embedded) = open_venue(config, place)?;
    let plan =
        SessionPlan { config, access: &access, embedded: embedded.as_ref(), signals: &signals, journal, run_for };
    let ended = trade(&plan, look);
    if let Some(simex) = embedded {
        simex.join();
    }
    Ok((access, ended?))
}

/// A session to be traded.
#[derive(Clone, Copy)]
struct SessionPlan<'a> {
    /// Everything that is configured.
    pub config: &'a Config,
    /// The way to the venue.
    pub access: &'a Access,
    /// The embedded venue, if that is it.
    pub embedded: Option<&'a SimexHandle>,
    /// Ctrl-C.
    pub signals: &'a StopSignals,
    /// Folder of the journal, over the configured one.
    pub journal: Option<&'a Path>,
    /// Longest time to trade.
    pub run_for: Option<Duration>,
}

/// Looks at a session about a hundred times a second, with the time since it began to trade; what it returns is said.
pub type Look<'a> = dyn FnMut(&Live, Duration) -> Option<String> + 'a;

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It never began.
    NotReady,
    /// A signal.
    Asked,
    /// The stop file, and what it asks for.
    AskedByFile(StopKind),
    /// A thread ended by itself.
    ThreadEnded,
    /// The guard's machinery.
    Halted(Halt),
    /// The journal.
    JournalLost,
    /// The engine.
    EngineStopped,
    /// A breaker at its last level.
    BreakerHalted,
    /// The captured feed.
    FeedOver,
    /// The time that was asked for.
    TimeUp,
}

impl End {
    /// The reason for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::NotReady => "the venue did not become ready",
            Self::Asked => "asked to stop",
            Self::AskedByFile(_) => "asked to stop by the stop file",
            Self::ThreadEnded => "a thread ended",
            Self::Halted(halt) => halt.text(),
            Self::JournalLost => "the journal cannot be written, and what cannot be recorded must not be traded",
            Self::EngineStopped => {
                "the engine stopped itself: the journal was lost, or the venue's position is not ours"
            }
            Self::BreakerHalted => "a breaker has halted trading: see `breakers`, and `tercel rearm`",
            Self::FeedOver => "the feed has ended",
            Self::TimeUp => "time is up",
        }
    }

    /// Says so as a failure where it should not have ended.
    ///
    /// # Errors
    /// It broke off, or never began.
    pub fn check(self) -> Result<(), Failure> {
        match self {
            Self::NotReady => {
                Err(Failure::from("the venue did not become ready: no login, no book, or no reconciliation"))
            }
            Self::Halted(_) | Self::JournalLost | Self::EngineStopped | Self::BreakerHalted => {
                Err(Failure::from(self.text()))
            }
            Self::Asked | Self::AskedByFile(_) | Self::ThreadEnded | Self::FeedOver | Self::TimeUp => Ok(()),
        }
    }
}

/// A session that has ended.
pub struct Ended {
    /// What its threads leave behind.
    pub outcome: LiveOutcome,
    /// What the venue says; `None` if it cannot be had.
    pub view: Option<VenueView>,
    /// Memory.
    pub rss: RssBytes,
    /// Notable moments.
    pub timeline: Vec<String>,
    /// Why it ended.
    pub end: End,
    /// Time from the first moment of trading to its end.
    pub traded_for: Duration,
}

/// Opens the way to the venue; starts the embedded one if that is where to trade.
fn open_venue(config: &Config, place: &Place<'_>) -> Result<(Access, Option<SimexHandle>), Failure> {
    if config.venue.environment == Environment::Embedded {
        let mut simex = simex_config(config, place.feed)?;
        simex.faults = venue_faults(place.faults)?;
        let account = simex.accounts.first().cloned().unwrap_or_default();
        let (server, client, ca_pem) = if place.is_tls {
            let certs = tls::generate(&["localhost", "127.0.0.1"])?;
            let server = tls::server_config(&certs.cert_pem, &certs.key_pem)?;
            let client = tls::client_config(tls::Roots::CaPem(&certs.ca_pem))?;
            (Some(server), Some(client), Some(certs.ca_pem.into_bytes()))
        } else {
            (None, None, None)
        };
        let handle = Simex::start(simex, SocketAddr::from(([127, 0, 0, 1], 0)), server)?;
        let (ws, http) = if place.is_tls { ("wss", "https") } else { ("ws", "http") };
        let (ws, rest) = (format!("{ws}://{}", handle.addr()), format!("{http}://{}", handle.addr()));
        let ban_pause_ns = EMBEDDED_BAN_PAUSE_NS;
        let address =
            Address { tls: client, ca_pem, ban_pause_ns, ..Address::single(ws, rest, config.venue.order_entry()) };
        let access = Access { address, api_key: account.api_key, secret: Secret::new(account.api_secret) };
        return Ok((access, Some(handle)));
    }
    let access = access::access(config, place.is_live)?;
    if access.address.real_host()?.is_some() {
        super::doctor::check_host(config, place.accepts_host)?;
    }
    Ok((access, None))
}

/// Trades until it ends.
///
/// # Errors
/// It could not begin, or a thread panicked.
fn trade(session: &SessionPlan<'_>, look: &mut Look<'_>) -> Result<Ended, Failure> {
    let SessionPlan { config, access, embedded, signals, journal, run_for } = *session;
    let mut keeper = StateKeeper::open(config.breakers.state_file.as_deref())?;
    let stop_file = StopFile::watch(config.stop.file.as_deref())?;
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
    config.check_against(&table).map_err(Failure::usage)?;
    config.check_live(&table, SETTLE_COIN).map_err(Failure::usage)?;
    let mut engine = config.live_engine();
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
    let journal = match journal.or(config.journal.dir.as_deref()) {
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
    let (mut board, mut analysts) = (Board::new(), Analysts::default());
    let ghost = super::ghost::begin(config, &engine, &table, opening.wallet, &mut board, &mut analysts);
    let (tap, mut ghost) = ghost.unzip();
    if let Some(slow) = config.slow_risk.analyst(engine.risk.gross_value_max) {
        let made = slow_risk(&table, slow, &mut board).ok_or("the slot of slow risk has a writer already")?;
        analysts.duties.push(Box::new(made.0));
        analysts.samples = Some(made.1);
    }
    analysts.board = board.into_reader();
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
        analysts,
        tap,
    };
    super::memory::lock(config.lock_memory())?;
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
        keeper.tell(&mut live);
        live.tell(&Event::Control(meta, Control::Arm));
        rss = RssBytes::begin();
    }

    let every = Duration::from_nanos(config.scan.refresh.0);
    let mut refresh = Refresh::start(RestClient::new(rest_config)?, &table, every)?;
    let mut status_line = StatusLine::new();
    let trading = Instant::now();
    let end = loop {
        if !became_ready {
            break End::NotReady;
        } else if signals.is_set() {
            break End::Asked;
        } else if live.has_broken() {
            break End::ThreadEnded;
        } else if let Some(halt) = guarded.as_ref().and_then(Guarded::halt) {
            break End::Halted(halt);
        } else if live.is_journal_lost() {
            break End::JournalLost;
        } else if let Some(kind) = stop_file.asked() {
            break End::AskedByFile(kind);
        } else if let Some(status) = live.status().read().filter(|status| status.is_stopping) {
            break if status.risk.halted().is_some() { End::BreakerHalted } else { End::EngineStopped };
        } else if embedded.is_some_and(SimexHandle::is_feed_finished) {
            break End::FeedOver;
        } else if run_for.is_some_and(|limit| trading.elapsed() >= limit) {
            break End::TimeUp;
        }
        refresh.act(&mut live);
        if let Some(status) = live.status().read() {
            status_line.tick(&status, trading.elapsed());
            keeper.tick(&status.risk);
        }
        if let Some(text) = ghost.as_mut().and_then(|ghost| ghost.tick(trading.elapsed())) {
            status_line.note(&text, trading.elapsed());
        }
        if let Some(text) = look(&live, trading.elapsed()) {
            status_line.note(&text, trading.elapsed());
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let traded_for = trading.elapsed();
    let timeline = status_line.end();
    let how = match end {
        End::AskedByFile(kind) => kind,
        End::BreakerHalted => StopKind::Flatten,
        _ if config.stop.flatten => StopKind::Flatten,
        _ => StopKind::Cancel,
    };
    let closing = if how == StopKind::Flatten { " and closing all positions" } else { "" };
    eprintln!("stopping: {}; cancelling open orders{closing}", end.text());
    stop_trading(&mut live, how, Duration::from_nanos(config.stop.within.0));

    let venue_ms = opening.clock_offset.venue_ms(now());
    let view = closing_view(&rest, &table, run_id, venue_ms);
    if let Some(guarded) = &guarded {
        // Before the threads end: a journal takes its time to close, and nothing new is sent any more.
        guarded.end(view.as_ref().is_ok_and(|view| view.open_orders == 0));
    }
    let outcome = live.finish()?;
    keeper.save(&outcome.core.engine.risk);
    stop_file.answer();
    let rss = rss.end();
    let view = match view {
        Ok(view) => Some(view),
        Err(error) => {
            eprintln!("warning: the venue's closing view cannot be had: {error}");
            None
        }
    };
    Ok(Ended { outcome, view, rss, timeline, end, traded_for })
}

/// Tells the engine to stop and waits until its orders are gone, and its positions where they are to be closed, and then for
/// the last news.
fn stop_trading(live: &mut Live, how: StopKind, within: Duration) {
    let recv = live.clock().now();
    let control = match how {
        StopKind::Cancel => Control::Stop,
        StopKind::Flatten => Control::Flatten,
    };
    live.tell(&Event::Control(Meta { recv, ..Meta::default() }, control));
    let asked = Instant::now();
    let is_done = |live: &Live| {
        let is_closed = |positions| how == StopKind::Cancel || positions == 0;
        live.status().read().is_some_and(|s| s.is_stopping && s.open_orders == 0 && is_closed(s.positions))
    };
    while !is_done(live) && !live.has_broken() && asked.elapsed() < within {
        std::thread::sleep(Duration::from_millis(5));
    }
    let after = asked.elapsed().as_secs_f64();
    match (is_done(live), how) {
        (true, StopKind::Cancel) => eprintln!("no order is open {after:.3} s after the stop"),
        (true, StopKind::Flatten) => eprintln!("no order is open and no position held {after:.3} s after the stop"),
        (false, _) => {
            eprintln!("warning: not everything is gone {after:.3} s after the stop; what is left is told below")
        }
    }
    std::thread::sleep(SETTLE_FOR);
}
