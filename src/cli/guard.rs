//! `tercel guard`: cancels everything when the engine that it watches dies, hangs or loses its network.
//!
//! Three threads: this one looks at the heartbeat every [`LOOK_EVERY`] and never waits for the venue; one cancels; one
//! keeps a connection to the venue warm.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::guard_desk::{Account, Job, News, OWN_WINDOW_MS, cancelling, unix_ms};
use super::signals::StopSignals;
use super::{Exit, Failure, Outcome};
use crate::config::{Category, Config, GuardTable};
use crate::guard::{
    CloseTerms, Closed, Decision, GuardPost, Held, Mode, Sight, Station, Step, Watch, WireKey, boot_ns,
};
use crate::ring::Flag;
use crate::types::{Nanos, Side};

/// Time between two looks at the heartbeat, and beats of the guard's own.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Time between two questions that keep the connection open: the client drops one that was idle for 15 s.
const WARM_EVERY: Duration = Duration::from_secs(10);

/// Every so many of these questions the key is tried, too.
const KEY_EVERY: u32 = 6;

/// How much longer than the receive window a request of the engine may live: the venue admits times up to a second ahead of
/// its own, and the rest is for the ways.
const WINDOW_MARGIN_MS: u64 = 1_500;

/// Longest receive window that is believed.
const WINDOW_MS_MAX: u64 = 60_000;

/// By how much two clocks may disagree on the length of a lease.
const LEASE_MARGIN_NS: u64 = 100_000_000;

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
    /// Once everything is cancelled, close all positions of the linear contracts as well: `[guard] flatten`.
    #[arg(long)]
    flatten: bool,
    /// End after acting once, with exit code 4; with 3 if positions that were to be closed are left.
    #[arg(long)]
    #[arg(long)]
    once: bool,
    /// Write events as JSON, one a line, to the standard output.
    #[arg(long)]
    json: bool,
    /// Guard on the real venue that the configuration names.
    #[arg(long)]
    pub(super) live: bool,
}

const AFTER_HELP: &str = "\
Keys: TERCEL_GUARD_API_KEY and TERCEL_GUARD_API_SECRET, of the same account as the run's and not the run's own.

Examples:
  tercel guard --config FILE.toml --heartbeat /dev/shm/tercel-btc
  tercel guard --config FILE.toml --listen 0.0.0.0:7400 --key-file guard.key
  tercel guard --config FILE.toml --heartbeat /dev/shm/tercel-btc --flatten

Exit codes: 0 asked to end, 1 failed, 2 usage or configuration, 3 acted and positions that were to be closed are left (--once),
4 acted (--once).";

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

    /// Tells a step of acting; `after_ms` counts from the decision to act.
    fn step(&mut self, step: &Step, after_ms: u64) {
        let (name, text, mut fields) = match step {
            // Told where it can be told once.
            Step::Trouble(_) => return,
            Step::Cancelled(count) => ("cancelled", format!("{count} orders cancelled"), json!({"count": count})),
            Step::NoneOpen => {
                ("zero", format!("the venue shows no open order, {after_ms} ms after the decision"), json!({}))
            }
            Step::Closing(held) => {
                let text = format!("closing positions: {}", list(held));
                ("closing", text, json!({"positions": positions(held)}))
            }
            Step::Order(order) => {
                let side = if order.side == Side::Bid { "buy" } else { "sell" };
                let (qty, px) = (order.spec.lot.text(order.qty.get()), order.spec.tick.text(order.px.get()));
                let text = format!("{side} {qty} {} at {px} or better", order.spec.symbol);
                let symbol = order.spec.symbol.as_str();
                ("closing-order", text, json!({"symbol": symbol, "side": side, "qty": qty, "px": px}))
            }
            Step::Closed(Closed::Flat) => {
                ("flat", format!("the venue shows no position, {after_ms} ms after the decision"), json!({}))
            }
            Step::Closed(Closed::Left(held)) => {
                let text = format!("NOT CLOSED within the time: {}", list(held));
                ("left", text, json!({"positions": positions(held)}))
            }
            Step::Closed(Closed::Unknown) => {
                ("left", "NOT KNOWN to be closed: the venue does not tell the positions".to_owned(), json!({}))
            }
            Step::Closed(Closed::TakenOver) => {
                ("left", "NOT CLOSED: another engine trades, the positions are its own".to_owned(), json!({}))
            }
        };
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("after_ms".to_owned(), json!(after_ms));
        }
        self.event(name, &text, fields);
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

fn list(held: &[Held]) -> String {
    held.iter().map(|held| format!("{} {}", held.symbol, held.size)).collect::<Vec<_>>().join(", ")
}

fn positions(held: &[Held]) -> Value {
    held.iter().map(|held| json!({"symbol": held.symbol.as_str(), "size": held.size.to_string()})).collect()
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
    if args.flatten && !config.guard.categories.contains(&Category::Linear) {
        return Err(Failure::usage("--flatten: [guard] categories has no linear, and spot has no positions"));
    }
    config.guard.flatten |= args.flatten;
    let signals = StopSignals::install()?;
    let account = Arc::new(Account::open(&config, args)?);
    let mut source = Source::open(args, &config.guard)?;
    // A guard that cannot cancel is worse than none: somebody relies on it.
    let offset_ms = account.clock_offset_ms()?;
    let open = account.count(offset_ms)?;
    let held = if config.guard.flatten { account.held(offset_ms)? } else { Vec::new() };
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
    if config.guard.flatten
        && let Some(fields) = fields.as_object_mut()
    {
        fields.insert("positions".to_owned(), json!(held.len()));
    }
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
    /// How positions are to be closed, if they are.
    fn closing(&self) -> Option<CloseTerms> {
        let Config { guard, stop, risk, .. } = self.config;
        guard.flatten.then(|| CloseTerms {
            slippage: stop.slippage_bps.0.min(risk.collar_bps.0),
            within_ns: stop.within.0,
            doubt_ns: (u64::from(OWN_WINDOW_MS) + WINDOW_MARGIN_MS) * 1_000_000,
        })
    }

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
        let (mut released, mut taken_over) = (Flag::new(), Flag::new());
        let mut decided_at = 0;
        let mut is_left = false;
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
                    (released, taken_over) = (Flag::new(), Flag::new());
                    (decided_at, is_left) = (now, false);
                    let fenced_at = source.fence(incarnation, now);
                    let window_ms = source.recv_window_ms().max(u64::from(self.config.venue.recv_window_ms));
                    let alive_ms = window_ms.min(WINDOW_MS_MAX) + WINDOW_MARGIN_MS;
                    let not_before = Nanos::new(fenced_at.saturating_add(alive_ms * 1_000_000));
                    let closing = self.closing();
                    let (released, taken_over) = (released.clone(), taken_over.clone());
                    let job = Job { incarnation, offset_ms, not_before, closing, released, taken_over };
                    self.jobs.send(job).map_err(|_| "the cancelling thread has ended: a bug")?;
                    let text =
                        format!("ACTING on {incarnation}: {}; it is fenced, cancelling everything", reason.name());
                    voice.event("acting", &text, json!({"incarnation": incarnation, "reason": reason.name()}));
                }
                None => {}
            }
            // One that only starts waits for us.
            if watch.acting().is_some()
                && sight.is_some_and(|sight| sight.incarnation > acted && sight.mode == Mode::Running)
            {
                taken_over.set();
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
                    News::Trouble(text) | News::Step(_, Step::Trouble(text)) => {
                        if text != last_trouble {
                            voice.event("trouble", &format!("the venue: {text}"), json!({"text": text}));
                            last_trouble = text;
                        }
                    }
                    News::Step(at, step) => {
                        is_left |= matches!(&step, Step::Closed(closed) if *closed != Closed::Flat);
                        voice.step(&step, at.saturating_sub(decided_at) / 1_000_000);
                    }
                    News::Late(count) => {
                        let text = format!("{count} orders turned up late; cancelling them");
                        voice.event("late", &text, json!({"count": count}));
                    }
                    News::Settled(incarnation) => {
                        source.settle(incarnation);
                        watch.settle();
                        let text = format!("done: no order of {incarnation} is open, and none can still arrive");
                        voice.event("settled", &text, json!({"incarnation": incarnation}));
                        if self.args.once {
                            return Ok(if is_left { Exit::NotReconciled } else { Exit::Acted });
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
