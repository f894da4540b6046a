//! `tercel guard`: cancels everything when the engine that it watches dies, hangs or loses its network.
//!
//! Three threads: this one looks at the heartbeat every [`LOOK_EVERY`] and never waits for the venue; one cancels; one
//! keeps a connection to the venue warm.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::signals::StopSignals;
use super::{Exit, Failure, Outcome, access};
use crate::config::{Config, Environment, GuardTable};
use crate::guard::{Decision, GuardPost, Next, Sight, Station, Sweep, Watch, WireKey, boot_ns};
use crate::ring::Flag;
use crate::types::{Nanos, Product};
use crate::venue::bybit::rest::{RestClient, RestConfig, RestError};
use crate::venue::bybit::{CancelScope, OrderFilter, Secret};

/// Time between two looks at the heartbeat, and beats of the guard's own.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Time between two questions that keep the connection open: the client drops one that was idle for 15 s.
const WARM_EVERY: Duration = Duration::from_secs(10);

/// Every so many of these questions the key is tried, too.
const KEY_EVERY: u32 = 6;

/// For one request, all in all: a venue that does not answer is asked again.
const REQUEST_WITHIN: Duration = Duration::from_secs(2);

/// How much longer than the receive window a request of the engine may live: the venue admits times up to a second ahead of
/// its own, and the rest is for the ways.
const WINDOW_MARGIN_MS: u64 = 1_500;

/// Longest receive window that is believed.
const WINDOW_MS_MAX: u64 = 60_000;

/// By how much two clocks may disagree on the length of a lease.
const LEASE_MARGIN_NS: u64 = 100_000_000;

/// How long the venue is still looked at after it was done, and how often.
const AFTERCARE: Duration = Duration::from_secs(30);
const AFTERCARE_EVERY: Duration = Duration::from_secs(2);

/// Arguments of `tercel guard`.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct GuardArgs {
    /// Configuration file (TOML) with the [venue] of the run, and [guard].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Watch this heartbeat file: the engine is on this host.
    #[arg(long, value_name = "FILE", conflicts_with = "listen")]
    heartbeat: Option<PathBuf>,
    /// Listen here for heartbeats of an engine on another host.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<std::net::SocketAddr>,
    /// The key that engine and guard share, for --listen.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Rest of the beat after which the engine is taken for dead.
    #[arg(long, value_name = "TIME")]
    stale_after: Option<crate::config::Duration>,
    /// Take the second place at the heartbeat file.
    #[arg(long)]
    second: bool,
    /// End after acting once, with exit code 4.
    #[arg(long)]
    once: bool,
    /// Write events as JSON, one a line, to the standard output.
    #[arg(long)]
    json: bool,
    /// Guard on the real venue that the configuration names.
    #[arg(long)]
    live: bool,
}

const AFTER_HELP: &str = "\
Keys: TERCEL_GUARD_API_KEY and TERCEL_GUARD_API_SECRET, of the same account as the run's and not the run's own.

Examples:
  tercel guard --config FILE.toml --heartbeat /dev/shm/tercel-btc
  tercel guard --config FILE.toml --listen 0.0.0.0:7400 --key-file guard.key

Exit codes: 0 asked to end, 1 failed, 2 usage or configuration, 4 acted (--once).";

/// Where the engine is seen.
enum Source {
    Page(Box<GuardPost>),
    Net(Box<Station>),
}

impl Source {
    fn open(args: &GuardArgs, guard: &GuardTable) -> Result<Self, Failure> {
        let by_flag = args.heartbeat.is_some() || args.listen.is_some();
        let heartbeat = args.heartbeat.as_ref().or(guard.heartbeat.as_ref().filter(|_| !by_flag));
        let listen = args.listen.or(guard.listen.filter(|_| !by_flag));
        match (heartbeat, listen) {
            (Some(path), None) => {
                let number = boot_ns();
                let post = GuardPost::take(path, args.second, number)
                    .map_err(|e| format!("{e}{}", if args.second { "" } else { "; a second one takes --second" }))?;
                Ok(Self::Page(Box::new(post)))
            }
            (None, Some(addr)) => {
                let file = args.key_file.as_ref().or(guard.key_file.as_ref());
                let file = file.ok_or_else(|| Failure::usage("--listen needs --key-file FILE"))?;
                let key = WireKey::load(file).map_err(Failure::usage)?;
                let station = Station::listen(addr, key).map_err(|e| format!("cannot listen on {addr}: {e}"))?;
                Ok(Self::Net(Box::new(station)))
            }
            (None, None) => Err(Failure::usage("what to watch? --heartbeat FILE or --listen ADDR:PORT")),
            (Some(_), Some(_)) => {
                Err(Failure::usage("[guard] names `heartbeat` and `listen`; one guard watches one of them"))
            }
        }
    }

    fn look(&mut self, now: Nanos) -> Option<Sight> {
        match self {
            Self::Page(post) => post.look(now),
            Self::Net(station) => station.look(),
        }
    }

    /// Ends the engine's right to trade as far as it can be ended from here; returns since when it surely has none.
    fn fence(&self, incarnation: u64, now: u64) -> u64 {
        match self {
            Self::Page(post) => {
                post.fence(incarnation);
                post.set_watching(0);
                now
            }
            // From this decision on no lease is granted to it; the last one still runs.
            Self::Net(station) => now.max(station.leased_until().saturating_add(LEASE_MARGIN_NS)),
        }
    }

    fn recv_window_ms(&self) -> u64 {
        match self {
            Self::Page(post) => post.recv_window_ms(),
            Self::Net(station) => station.recv_window_ms(),
        }
    }

    fn set_watching(&self, incarnation: u64) {
        if let Self::Page(post) = self {
            post.set_watching(incarnation);
        }
    }

    fn settle(&self, incarnation: u64) {
        if let Self::Page(post) = self {
            post.settle(incarnation);
            post.set_watching(0);
        }
    }
}

/// The venue, as far as the guard needs it.
struct Account {
    rest: RestClient,
    /// Category and, for contracts, settlement currency.
    scopes: Vec<(Product, String)>,
}

impl Account {
    fn open(config: &Config, args: &GuardArgs) -> Result<Self, Failure> {
        if config.venue.environment == Environment::Embedded {
            return Err(Failure::usage("the embedded venue ends with its run; there is nothing to guard"));
        }
        let address = access::address(config)?;
        if !args.live && address.real_host()?.is_some() {
            return Err(Failure::usage(format!("{} is a real venue: cancelling there needs --live", address.rest)));
        }
        let from_env = |name: &str| {
            std::env::var(name).map_err(|_| {
                Failure::usage(format!("{name} is not set; the guard has a key of its own, from the environment alone"))
            })
        };
        let api_key = from_env("TERCEL_GUARD_API_KEY")?;
        let secret = Secret::new(from_env("TERCEL_GUARD_API_SECRET")?);
        let rest = RestClient::new(RestConfig {
            api_key,
            secret: Some(secret),
            extra_ca_pem: address.ca_pem,
            timeout: REQUEST_WITHIN,
            ..RestConfig::new(&address.rest)
        })?;
        let mut scopes = Vec::new();
        for category in &config.guard.categories {
            match category.product() {
                Product::Spot => scopes.push((Product::Spot, String::new())),
                product => scopes.extend(config.guard.settle_coins.iter().map(|coin| (product, coin.clone()))),
            }
        }
        Ok(Self { rest, scopes })
    }

    /// The venue's clock less ours, in milliseconds.
    fn clock_offset_ms(&self) -> Result<i64, RestError> {
        let before = unix_ms();
        let venue_ms = self.rest.time()?.as_millis();
        Ok(venue_ms as i64 - ((before + unix_ms()) / 2) as i64)
    }

    /// Open orders of everything that is guarded.
    fn count(&self, offset_ms: i64) -> Result<usize, RestError> {
        let mut open = 0;
        for (product, coin) in &self.scopes {
            open += self.rest.open_orders_count(*product, coin, unix_ms().saturating_add_signed(offset_ms))?;
        }
        Ok(open)
    }

    /// Cancels everything that is guarded; a request that fails does not keep the others. Spot needs a request for each kind
    /// of order: at the first `round` all of them, afterwards one a round in turn, to stay within the limit of its rate.
    fn cancel(&self, round: usize, offset_ms: i64) -> Result<usize, RestError> {
        let (mut cancelled, mut failed) = (0, None);
        for (product, coin) in &self.scopes {
            let spot = [OrderFilter::Order, OrderFilter::StopOrder, OrderFilter::TpslOrder];
            let filters: Vec<Option<OrderFilter>> = match (product, round) {
                (Product::Spot, 0) => spot.into_iter().map(Some).collect(),
                (Product::Spot, round) => vec![Some(spot[round % spot.len()])],
                _ => vec![None],
            };
            for filter in filters {
                let scope = CancelScope { filter, ..CancelScope::everything(*product, coin) };
                match self.rest.cancel_scope(&scope, unix_ms().saturating_add_signed(offset_ms)) {
                    Ok(count) => cancelled += count,
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        failed.map_or(Ok(cancelled), Err)
    }
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What the cancelling thread is to do.
struct Job {
    incarnation: u64,
    offset_ms: i64,
    /// No earlier is it done.
    not_before: Nanos,
    /// Set when another incarnation is watched: the orders are its own from then on.
    released: Flag,
}

/// What the threads tell.
enum News {
    Offset(i64),
    Trouble(String),
    Cancelled(usize),
    Zero,
    Settled(u64),
    Late(usize),
}

/// The cancelling thread: sweeps, and then looks after what may still come.
fn cancelling(account: &Account, jobs: &Receiver<Job>, news: &Sender<News>) {
    // A guard that has gone does not listen any more: nothing is lost with its news.
    let tell = |what: News| drop(news.send(what));
    let mut aftercare: Option<(Instant, Job)> = None;
    loop {
        let job = match jobs.recv_timeout(AFTERCARE_EVERY) {
            Ok(job) => job,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let Some((until, job)) = &aftercare else { continue };
                if job.released.is_set() || Instant::now() >= *until {
                    aftercare = None;
                    continue;
                }
                match account.count(job.offset_ms) {
                    Ok(0) => {}
                    Ok(open) if !job.released.is_set() => {
                        tell(News::Late(open));
                        if let Err(error) = account.cancel(0, job.offset_ms) {
                            tell(News::Trouble(error.to_string()));
                        }
                    }
                    Ok(_) => {}
                    Err(error) => tell(News::Trouble(error.to_string())),
                }
                continue;
            }
        };
        let mut job = job;
        let mut sweep = Sweep::new(job.not_before);
        let mut was_zero = false;
        for round in 0.. {
            let cancelled = account.cancel(round, job.offset_ms);
            if let Ok(count @ 1..) = cancelled {
                tell(News::Cancelled(count));
            }
            let open = cancelled.and_then(|_| account.count(job.offset_ms));
            if let Ok(0) = open
                && !std::mem::replace(&mut was_zero, true)
            {
                tell(News::Zero);
            }
            if let Err(error) = &open {
                tell(News::Trouble(error.to_string()));
                // Our time may be what the venue refuses.
                if let Ok(offset_ms) = account.clock_offset_ms() {
                    job.offset_ms = offset_ms;
                }
            }
            match sweep.after(Nanos::new(boot_ns()), open.ok()) {
                Next::Again(pause_ns) => std::thread::sleep(Duration::from_nanos(pause_ns)),
                Next::Done => break,
            }
        }
        tell(News::Settled(job.incarnation));
        aftercare = Some((Instant::now() + AFTERCARE, job));
    }
}

/// The warming thread: a cheap question now and then, and the key tried now and again.
fn warming(account: &Account, stop: &Flag, news: &Sender<News>) {
    let mut offset_ms = 0;
    let mut questions = 0u32;
    let mut due = Instant::now() + WARM_EVERY;
    while !stop.is_set() {
        std::thread::sleep(Duration::from_millis(50));
        if Instant::now() < due {
            continue;
        }
        due += WARM_EVERY;
        questions = questions.wrapping_add(1);
        let answer = account.clock_offset_ms().and_then(|offset| {
            offset_ms = offset;
            if questions.is_multiple_of(KEY_EVERY) { account.count(offset).map(|_| offset) } else { Ok(offset) }
        });
        let what = match answer {
            Ok(offset_ms) => News::Offset(offset_ms),
            Err(error) => News::Trouble(error.to_string()),
        };
        if news.send(what).is_err() {
            return;
        }
    }
}

/// Says what happens: sentences for people, or JSON for machines.
struct Voice {
    is_json: bool,
    is_terminal: bool,
    started: Instant,
    line_at: Option<u64>,
}

impl Voice {
    fn event(&mut self, name: &str, text: &str, fields: Value) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
            self.line_at = None;
        }
        eprintln!("guard: {text}");
        if !self.is_json {
            return;
        }
        let mut event = json!({"event": name, "at_ms": unix_ms()});
        if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
            event.extend(fields);
        }
        let mut out = std::io::stdout();
        // Nobody reads: that must not end a guard.
        let _ = writeln!(out, "{event}").and_then(|()| out.flush());
    }

    /// One line a second, rewritten in place, on a terminal.
    fn status(&mut self, watch: &Watch) {
        let second = self.started.elapsed().as_secs();
        if !self.is_terminal || self.line_at == Some(second) {
            return;
        }
        self.line_at = Some(second);
        let what = match (watch.watching(), watch.acting()) {
            (Some(incarnation), _) => format!("watching {incarnation}"),
            (_, Some(incarnation)) => format!("ACTING on {incarnation}"),
            (None, None) => "waiting for an engine".to_owned(),
        };
        eprint!("\r\x1b[K{second:>5} s  {what}");
    }
}

/// Runs the command.
pub fn run(args: &GuardArgs) -> Outcome {
    let mut config = match &args.config {
        Some(file) => Config::load(file).map_err(Failure::usage)?,
        None => Config::default(),
    };
    if let Some(stale_after) = args.stale_after {
        if stale_after.0 < 20_000_000 {
            return Err(Failure::usage(format!("--stale-after: found {stale_after}, allowed are 20ms and more")));
        }
        config.guard.stale_after = stale_after;
    }
    let signals = StopSignals::install()?;
    let account = Arc::new(Account::open(&config, args)?);
    let mut source = Source::open(args, &config.guard)?;
    // A guard that cannot cancel is worse than none: somebody relies on it.
    let offset_ms = account.clock_offset_ms()?;
    let open = account.count(offset_ms)?;
    let (jobs, to_do) = mpsc::channel();
    let (told, news) = mpsc::channel();
    let stop = Flag::new();
    let threads = [
        {
            let (account, told) = (account.clone(), told.clone());
            std::thread::Builder::new().name("cancel".into()).spawn(move || cancelling(&account, &to_do, &told))?
        },
        {
            let stop = stop.clone();
            std::thread::Builder::new().name("warm".into()).spawn(move || warming(&account, &stop, &told))?
        },
    ];
    let mut voice = Voice {
        is_json: args.json,
        is_terminal: std::io::stderr().is_terminal(),
        started: Instant::now(),
        line_at: None,
    };
    let stale_after = config.guard.stale_after;
    let mut fields =
        json!({"open_orders": open, "stale_after_ms": stale_after.0 / 1_000_000, "clock_offset_ms": offset_ms});
    if let (Source::Net(station), Some(fields)) = (&source, fields.as_object_mut()) {
        fields.insert("listen".to_owned(), json!(station.local_addr()?.to_string()));
    }
    voice.event("waiting", &format!("the key works, {open} orders are open; waiting for an engine"), fields);
    let guarding = Guarding { args, config: &config, signals: &signals, jobs: &jobs, news: &news };
    let outcome = guarding.watch(&mut source, offset_ms, &mut voice, &threads);
    stop.set();
    drop(jobs);
    if outcome.is_ok() {
        for thread in threads {
            // A bug in one of them has been told by its own panic.
            let _ = thread.join();
        }
    }
    outcome
}

/// What the watching loop needs.
struct Guarding<'a> {
    args: &'a GuardArgs,
    config: &'a Config,
    signals: &'a StopSignals,
    jobs: &'a Sender<Job>,
    news: &'a Receiver<News>,
}

impl Guarding<'_> {
    fn watch(
        &self,
        source: &mut Source,
        mut offset_ms: i64,
        voice: &mut Voice,
        threads: &[std::thread::JoinHandle<()>],
    ) -> Outcome {
        let settled = if let Source::Page(post) = &*source { post.settled() } else { 0 };
        let mut watch = Watch::new(self.config.guard.stale_after.0, settled);
        let mut acted = settled;
        let mut released = Flag::new();
        let mut last_trouble = String::new();
        loop {
            let now = boot_ns();
            let sight = source.look(Nanos::new(now));
            match watch.poll(Nanos::new(now), sight.as_ref()) {
                Some(Decision::Attach(incarnation)) => {
                    // First: from now on open orders are the new one's.
                    released.set();
                    source.set_watching(incarnation);
                    voice.event("watching", &format!("watching {incarnation}"), json!({"incarnation": incarnation}));
                }
                Some(Decision::StandDown(incarnation)) => {
                    source.settle(incarnation);
                    let text = format!("{incarnation} ended in order; standing down");
                    voice.event("stood-down", &text, json!({"incarnation": incarnation}));
                }
                Some(Decision::Act(incarnation, reason)) => {
                    acted = incarnation;
                    released = Flag::new();
                    let fenced_at = source.fence(incarnation, now);
                    let window_ms = source.recv_window_ms().max(u64::from(self.config.venue.recv_window_ms));
                    let alive_ms = window_ms.min(WINDOW_MS_MAX) + WINDOW_MARGIN_MS;
                    let not_before = Nanos::new(fenced_at.saturating_add(alive_ms * 1_000_000));
                    let job = Job { incarnation, offset_ms, not_before, released: released.clone() };
                    self.jobs.send(job).map_err(|_| "the cancelling thread has ended: a bug")?;
                    let text =
                        format!("ACTING on {incarnation}: {}; it is fenced, cancelling everything", reason.name());
                    voice.event("acting", &text, json!({"incarnation": incarnation, "reason": reason.name()}));
                }
                None => {}
            }
            if let Source::Net(station) = source {
                station.answer(watch.watching(), acted, boot_ns());
            }
            while let Ok(news) = self.news.try_recv() {
                match news {
                    News::Offset(found) => {
                        offset_ms = found;
                        last_trouble.clear();
                    }
                    News::Trouble(text) => {
                        if text != last_trouble {
                            voice.event("trouble", &format!("the venue: {text}"), json!({"text": text}));
                            last_trouble = text;
                        }
                    }
                    News::Cancelled(count) => {
                        voice.event("cancelled", &format!("{count} orders cancelled"), json!({"count": count}));
                    }
                    News::Zero => voice.event("zero", "the venue shows no open order", json!({})),
                    News::Late(count) => {
                        let text = format!("{count} orders turned up late; cancelling them");
                        voice.event("late", &text, json!({"count": count}));
                    }
                    News::Settled(incarnation) => {
                        source.settle(incarnation);
                        watch.settle();
                        let text = format!("done: nothing of {incarnation} is open, and nothing can still arrive");
                        voice.event("settled", &text, json!({"incarnation": incarnation}));
                        if self.args.once {
                            return Ok(Exit::Acted);
                        }
                    }
                }
            }
            if threads.iter().any(std::thread::JoinHandle::is_finished) {
                return Err(Failure::from("a thread of the guard has ended: a bug"));
            }
            // What was begun is brought to its end; a second signal ends it at once.
            if self.signals.is_set() && watch.acting().is_none() {
                voice.event("ended", "asked to end", json!({}));
                return Ok(Exit::Good);
            }
            voice.status(&watch);
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
