//! `tercel guard` with real processes: a run that is killed, stopped, asked to end or cut off, and what the venue holds after.

mod common;

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::Scratch;
use rustix::process::Signal;
use serde_json::Value;
use tercel::bench::kill_chain::{
    ObservedVenue, Process, Proxy, Watching, command, engine_toml, start_engine, start_guard, write_key,
};
use tercel::guard::{GatewayPulse, Heartbeat, Mode, PulseTerms};
use tercel::net::{WsLimits, WsUrl};
use tercel::ring::{Flag, spsc};
use tercel::runtime::{Clock, Dial, Duty, GatewayConfig, GatewayDuty, LinkConfig, clock_offset};
use tercel::simex::{AccountConfig, FeedConfig, SimexConfig};
use tercel::types::{
    ClientOrderId, Command, CommandKind, CommandStamps, Event, InstrumentId, InstrumentTable, Level, Lots, Nanos, Op,
    Product, Record, RejectKind, Side, Ticks, TimeInForce,
};
use tercel::venue::bybit::orders::{NewOrder, Number, OrderRequest, Trigger, TriggerBy};
use tercel::venue::bybit::rest::{OpenCount, RestClient, RestConfig};
use tercel::venue::bybit::{Secret, Signer};

/// Far above what anything here takes, so that a slow machine is no failure.
const LONG: Duration = Duration::from_secs(60);

/// A machine that compiles beside the tests holds processes up for tenths of a second.
const STALE_MS: u64 = 1_000;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tercel"))
}

struct Rig {
    dir: Scratch,
    venue: ObservedVenue,
}

impl Rig {
    fn new(name: &str) -> Self {
        Self::with(name, SimexConfig::default())
    }

    fn with(name: &str, config: SimexConfig) -> Self {
        Self { dir: Scratch::new(&format!("guard-{name}")), venue: ObservedVenue::start(config).unwrap() }
    }

    fn page(&self) -> PathBuf {
        self.dir.file("heartbeat")
    }

    /// Writes a configuration; `addr` is where the engine finds the venue.
    fn config(&self, name: &str, addr: SocketAddr, watching: &Watching) -> PathBuf {
        let file = self.dir.file(name);
        std::fs::write(&file, engine_toml(addr, watching, STALE_MS, "lease = \"2s\"\n")).unwrap();
        file
    }

    fn engine_config(&self) -> PathBuf {
        self.config("engine.toml", self.venue.addr(), &Watching::File(self.page()))
    }

    fn engine(&self) -> Process {
        start_engine(program(), &self.engine_config()).unwrap()
    }

    fn guard_args(&self) -> [String; 4] {
        let config = self.config("guard.toml", self.venue.addr(), &Watching::None);
        ["--config".into(), config.display().to_string(), "--heartbeat".into(), self.page().display().to_string()]
    }

    fn guard(&self) -> (Process, Events) {
        let args = self.guard_args();
        let (process, _, events) = start_guard(program(), &args.each_ref().map(String::as_str)).unwrap();
        (process, Events(events))
    }

    /// A guard that was told to flatten, with `stop` as its `[stop]`.
    fn flattening_guard(&self, stop: &str) -> (Process, Events) {
        let args = self.guard_args();
        let config = Path::new(&args[1]);
        let text = std::fs::read_to_string(config).unwrap() + "flatten = true\n[stop]\n" + stop;
        std::fs::write(config, text).unwrap();
        let (process, _, events) = start_guard(program(), &args.each_ref().map(String::as_str)).unwrap();
        (process, Events(events))
    }

    fn rest(&self, account: &AccountConfig) -> RestClient {
        let config = RestConfig {
            api_key: account.api_key.clone(),
            secret: Some(Secret::new(account.api_secret.clone())),
            ..RestConfig::new(&format!("http://{}", self.venue.addr()))
        };
        RestClient::new(config).unwrap()
    }

    /// What the first account has open.
    fn open(&self) -> OpenCount {
        let rest = self.rest(&AccountConfig::default());
        rest.open_orders_count(Product::Linear, "USDT", rest.time().unwrap().as_millis()).unwrap()
    }

    /// Starts an engine that is long and has a stop order at the venue for that.
    fn engine_with_a_stop(&mut self) -> Process {
        self.place(&AccountConfig::default(), Side::Bid, "0.040", None);
        self.venue.wait(LONG, |seen| seen.held == 1).expect("it is long");
        let config = self.engine_config();
        let text = std::fs::read_to_string(&config).unwrap() + "[stops]\nloss-bps = \"300\"\n";
        std::fs::write(&config, text).unwrap();
        let engine = start_engine(program(), &config).unwrap();
        let until = Instant::now() + LONG;
        while self.open().protective != 1 {
            assert!(Instant::now() < until, "the stop order is placed");
            std::thread::sleep(Duration::from_millis(50));
        }
        engine
    }

    /// Places an order of an account by REST; none for the price: at the market.
    fn place(&self, account: &AccountConfig, side: Side, qty: &str, px: Option<&str>) {
        let rest = self.rest(account);
        let order = NewOrder {
            px: px.map(|px| Number::parse(px).unwrap()),
            tif: if px.is_some() { TimeInForce::GoodTillCancel } else { TimeInForce::ImmediateOrCancel },
            ..NewOrder::market(Product::Linear, "BTCUSDT", side, Number::parse(qty).unwrap(), "")
        };
        let now_ms = rest.time().unwrap().as_millis();
        rest.place(&OrderRequest::New(order), now_ms).unwrap();
    }

    fn trades(&mut self) {
        self.venue.wait(LONG, |seen| seen.open > 0).expect("the engine trades");
    }

    /// Nothing is open; returns how often something was placed so far.
    fn becomes_empty(&mut self) -> u64 {
        self.venue.wait(LONG, |seen| seen.open == 0).expect("everything is cancelled").placed
    }
}

/// The guard's events.
struct Events(std::io::BufReader<std::process::ChildStdout>);

impl Events {
    /// Reads on to the event of this name.
    fn until(&mut self, name: &str) -> Value {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the guard ended before `{name}`");
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == name {
                return event;
            }
        }
    }

    /// The names of all that is left.
    fn rest(self) -> Vec<String> {
        let lines = self.0.lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        lines.map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_killed_engine_leaves_nothing_open() {
    let mut rig = Rig::new("killed");
    let (mut guard, mut events) = rig.guard();
    let engine = rig.engine();
    rig.trades();
    engine.signal(Signal::KILL);
    assert_eq!(events.until("acting")["reason"], "died");
    rig.becomes_empty();
    events.until("settled");
    assert_eq!(guard.wait(LONG).and_then(|status| status.code()), Some(4));
    assert_eq!(rig.venue.now().unwrap().open, 0);
}

#[test]
fn a_killed_engine_leaves_no_position_where_the_guard_flattens() {
    let mut rig = Rig::new("flatten");
    let (mut guard, mut events) = rig.flattening_guard("");
    rig.place(&AccountConfig::default(), Side::Ask, "0.040", None);
    rig.venue.wait(LONG, |seen| seen.held == 1).expect("it is short");
    let engine = rig.engine();
    rig.trades();
    engine.signal(Signal::KILL);
    let killed = Instant::now();
    assert_eq!(events.until("acting")["reason"], "died");
    assert!(events.until("zero")["after_ms"].is_u64());
    let emptied = rig.venue.wait(LONG, |seen| seen.open == 0).expect("everything is cancelled");
    let order = events.until("closing-order");
    assert_eq!((&order["side"], &order["symbol"]), (&"buy".into(), &"BTCUSDT".into()));
    assert!(events.until("flat")["after_ms"].as_u64() > Some(1_000), "not before the window has passed");
    let flat = rig.venue.wait(LONG, |seen| seen.held == 0).expect("no position is left");
    let after = [emptied, flat].map(|seen| seen.at.saturating_duration_since(killed).as_millis());
    println!("from kill -9 to no open order {} ms, to no position {} ms", after[0], after[1]);
    events.until("settled");
    assert_eq!(guard.wait(LONG).and_then(|status| status.code()), Some(4));
    let end = rig.venue.now().unwrap();
    assert_eq!((end.open, end.held), (0, 0));
}

#[test]
fn a_killed_engine_keeps_its_position_where_the_guard_only_cancels() {
    let mut rig = Rig::new("keep");
    let (mut guard, mut events) = rig.guard();
    rig.place(&AccountConfig::default(), Side::Bid, "0.040", None);
    rig.venue.wait(LONG, |seen| seen.held == 1).expect("it is long");
    let engine = rig.engine();
    rig.trades();
    engine.signal(Signal::KILL);
    events.until("settled");
    assert_eq!(guard.wait(LONG).and_then(|status| status.code()), Some(4));
    let end = rig.venue.now().unwrap();
    assert_eq!((end.open, end.held), (0, 1));
}

/// A purchase that waits for a price far away.
fn waiting_to_open() -> NewOrder<'static> {
    let trigger = Trigger { px: Number::parse("70000").unwrap(), on_rise: true, by: TriggerBy::LastPrice };
    NewOrder {
        trigger: Some(trigger),
        ..NewOrder::market(Product::Linear, "BTCUSDT", Side::Bid, Number::parse("0.001").unwrap(), "")
    }
}

#[test]
fn a_stop_order_stays_with_the_position_that_it_protects() {
    let mut rig = Rig::new("stop");
    // What waited to open a position when the guard came, and is gone by then, is no reason to cancel a stop.
    let rest = rig.rest(&AccountConfig::default());
    let now_ms = || rest.time().unwrap().as_millis();
    rest.place(&OrderRequest::New(waiting_to_open()), now_ms()).unwrap();
    assert_eq!(rig.open(), OpenCount { waiting: 1, ..OpenCount::default() });
    let (mut guard, mut events) = rig.guard();
    assert_eq!(rest.cancel_all(Product::Linear, "USDT", now_ms()).unwrap(), 1);
    rig.engine_with_a_stop().signal(Signal::KILL);
    events.until("settled");
    assert_eq!(guard.wait(LONG).and_then(|status| status.code()), Some(4));
    assert_eq!(rig.open(), OpenCount { protective: 1, ..OpenCount::default() });
    assert_eq!(rig.venue.now().unwrap().held, 1);
}

#[test]
fn with_an_order_that_waits_to_open_a_position_all_that_wait_are_cancelled() {
    let mut rig = Rig::new("opening-stop");
    let (mut guard, mut events) = rig.guard();
    rig.engine_with_a_stop().signal(Signal::KILL);
    let rest = rig.rest(&AccountConfig::default());
    rest.place(&OrderRequest::New(waiting_to_open()), rest.time().unwrap().as_millis()).unwrap();
    events.until("settled");
    assert_eq!(guard.wait(LONG).and_then(|status| status.code()), Some(4));
    assert_eq!(rig.open(), OpenCount::default());
}

/// A quiet venue on which the first account is long 0.010, in a book of 0.004 at 60000 and, if there is one, 0.100 at
/// `below`; an engine without orders has died there.
fn died_in_a_thin_book(name: &str, stop: &str, below: Option<&str>) -> (Rig, Process, Events) {
    let other = AccountConfig { uid: 2, api_key: "other-key".into(), ..AccountConfig::default() };
    let mut simex = SimexConfig { feed: FeedConfig::Quiet, ..SimexConfig::default() };
    simex.accounts.push(other.clone());
    simex.listings[0].spec.max_qty = Lots::new(100);
    let mut rig = Rig::with(name, simex);
    rig.place(&other, Side::Ask, "0.010", Some("60000"));
    rig.place(&AccountConfig::default(), Side::Bid, "0.010", Some("60000"));
    rig.place(&other, Side::Bid, "0.004", Some("60000"));
    if below.is_some() {
        rig.place(&other, Side::Bid, "0.100", below);
    }
    rig.venue.wait(LONG, |seen| seen.held == 1).expect("it is long");
    let (guard, mut events) = rig.flattening_guard(stop);
    let engine = Heartbeat::register(Some(&rig.page()), 1, 1_000, 1).unwrap();
    events.until("watching");
    engine.set_mode(Mode::Running);
    drop(engine);
    assert_eq!(events.until("acting")["reason"], "died");
    (rig, guard, events)
}

#[test]
fn what_cannot_be_closed_within_the_bound_is_said() {
    let (mut rig, mut guard, mut events) = died_in_a_thin_book("thin", "slippage-bps = 50\nwithin = \"1s\"\n", None);
    let order = events.until("closing-order");
    assert_eq!((&order["px"], &order["qty"]), (&"59700.0".into(), &"0.010".into()));
    let left = events.until("left");
    assert_eq!(left["positions"], serde_json::json!([{"symbol": "BTCUSDT", "size": "0.006"}]));
    events.until("settled");
    assert_eq!(guard.wait(LONG).and_then(|status| status.code()), Some(3));
    assert_eq!(rig.venue.now().unwrap().held, 1);
}

#[test]
fn a_wider_bound_closes_in_a_thin_book() {
    let (mut rig, mut guard, mut events) = died_in_a_thin_book("wide", "slippage-bps = 100\n", Some("59400"));
    let order = events.until("closing-order");
    assert_eq!((&order["px"], &order["qty"]), (&"59400.0".into(), &"0.010".into()));
    events.until("flat");
    assert_eq!(guard.wait(LONG).and_then(|status| status.code()), Some(4));
    assert_eq!(rig.venue.now().unwrap().held, 0);
}

#[test]
fn a_stopped_engine_leaves_nothing_open_and_does_not_trade_when_it_wakes() {
    let mut rig = Rig::new("stopped");
    let (mut guard, mut events) = rig.guard();
    let config = rig.engine_config();
    let mut command = command(program());
    let mut child = command.args(["run", "--config"]).arg(&config).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = child.stderr.take().unwrap();
    let mut engine = Process::from(child);
    rig.trades();
    engine.signal(Signal::STOP);
    let reason = events.until("acting")["reason"].as_str().unwrap().to_owned();
    assert!(reason.ends_with("-hangs"), "{reason}");
    rig.becomes_empty();
    events.until("settled");
    let placed = rig.venue.now().unwrap().placed;
    engine.signal(Signal::CONT);
    let status = engine.wait(LONG).expect("a fenced run ends");
    assert_eq!(status.code(), Some(1));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut said, &mut text).unwrap();
    assert!(text.contains("fenced"), "{text}");
    let after = rig.venue.now().unwrap();
    assert_eq!((after.open, after.placed), (0, placed), "it placed again after it was fenced");
    assert_eq!(guard.wait(LONG).and_then(|status| status.code()), Some(4));
}

#[test]
fn an_engine_that_ends_in_order_is_left_alone_and_its_successor_is_watched() {
    let mut rig = Rig::new("orderly");
    let (mut guard, mut events) = rig.guard();
    for _ in 0..2 {
        let mut engine = rig.engine();
        events.until("watching");
        rig.trades();
        // Runs are told apart by the second in which they began; two in one would use the same order names.
        std::thread::sleep(Duration::from_millis(1_100));
        engine.signal(Signal::TERM);
        assert_eq!(engine.wait(LONG).and_then(|status| status.code()), Some(0));
        events.until("stood-down");
        rig.becomes_empty();
    }
    guard.signal(Signal::TERM);
    assert_eq!(guard.wait(LONG).and_then(|status| status.code()), Some(0));
    let rest = events.rest();
    assert_eq!(rest, ["ended"], "it acted on nothing");
}

#[test]
fn an_engine_without_its_network_is_cancelled_and_its_lease_runs_out() {
    let mut rig = Rig::new("cut");
    let key = rig.dir.file("key");
    write_key(&key).unwrap();
    let guard_config = rig.config("guard.toml", rig.venue.addr(), &Watching::None);
    let (config, key_path) = (guard_config.display().to_string(), key.display().to_string());
    let args = ["--config", &config, "--listen", "127.0.0.1:0", "--key-file", &key_path];
    let (mut guard, addr, events) = start_guard(program(), &args).unwrap();
    let mut events = Events(events);
    let proxy = Proxy::start(rig.venue.addr(), addr.unwrap()).unwrap();
    let config = rig.config("engine.toml", proxy.tcp(), &Watching::Network(proxy.udp(), key));
    let mut child = command(program());
    let mut child = child.args(["run", "--config"]).arg(&config).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = child.stderr.take().unwrap();
    let mut engine = Process::from(child);
    rig.trades();
    proxy.cut();
    assert_eq!(events.until("acting")["reason"], "silent");
    rig.becomes_empty();
    events.until("settled");
    assert_eq!(guard.wait(LONG).and_then(|status| status.code()), Some(4));
    // The guard is gone and so is the network: the engine ends by its own clock.
    assert_eq!(engine.wait(LONG).expect("a run without a lease ends").code(), Some(1));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut said, &mut text).unwrap();
    assert!(text.contains("lease ran out"), "{text}");
    assert_eq!(rig.venue.now().unwrap().open, 0);
}

#[test]
fn a_required_guard_that_dies_ends_the_run_in_order() {
    let mut rig = Rig::new("required");
    let (guard, mut events) = rig.guard();
    let mut engine = rig.engine();
    events.until("watching");
    rig.trades();
    guard.signal(Signal::KILL);
    let status = engine.wait(LONG).expect("a run without its guard ends");
    assert_eq!(status.code(), Some(1));
    assert_eq!(rig.venue.now().unwrap().open, 0, "it cancelled for itself");
}

#[test]
fn a_guard_that_is_started_anew_takes_over_a_living_engine_and_finds_a_dead_one() {
    let mut rig = Rig::new("restarted");
    let (mut guard, mut events) = rig.guard();
    let config = rig.config("engine.toml", rig.venue.addr(), &Watching::File(rig.page()));
    // This one trades on without a guard.
    let text = std::fs::read_to_string(&config).unwrap().replace("require = true", "require = false");
    std::fs::write(&config, text).unwrap();
    let engine = start_engine(program(), &config).unwrap();
    let first = events.until("watching")["incarnation"].clone();
    rig.trades();
    guard.signal(Signal::TERM);
    assert_eq!(guard.wait(LONG).and_then(|status| status.code()), Some(0));
    let (guard, mut events) = rig.guard();
    assert_eq!(events.until("watching")["incarnation"], first);
    drop(guard);
    engine.signal(Signal::KILL);
    let (mut guard, mut events) = rig.guard();
    assert_eq!(events.until("acting")["incarnation"], first, "it died while nobody watched");
    rig.becomes_empty();
    assert_eq!(guard.wait(LONG).and_then(|status| status.code()), Some(4));
    // It was dealt with: the next guard waits.
    let (mut guard, events) = rig.guard();
    guard.signal(Signal::TERM);
    assert_eq!(guard.wait(LONG).and_then(|status| status.code()), Some(0));
    assert_eq!(events.rest(), ["ended"]);
}

#[test]
fn a_fenced_gateway_sends_no_create_and_no_amend_and_still_cancels() {
    let simex = SimexConfig::default();
    let account = simex.accounts[0].clone();
    let table = InstrumentTable::new(simex.listings.iter().map(|listing| listing.spec).collect()).unwrap();
    let mut venue = ObservedVenue::start(simex).unwrap();
    let link = |path: &str| LinkConfig {
        url: WsUrl::parse(&format!("ws://{}{path}", venue.addr())).unwrap(),
        tls: None,
        limits: WsLimits::default(),
        dial: Dial::Socket,
        ban_pause_ns: 0,
    };
    let config = GatewayConfig {
        trade: Some(link("/v5/trade")),
        private: link("/v5/private"),
        api_key: account.api_key,
        signer: Arc::new(Signer::new(&Secret::new(account.api_secret))),
        run_id: 1,
        recv_window_ms: 5_000,
        clock_offset: clock_offset().1,
        send_within_ns: u64::MAX,
        warm_every_ns: 0,
        fast_executions: false,
        settle_coin: "USDT".to_owned(),
    };
    let (clock, ready) = (Clock::new(), Flag::new());
    let (mut commands, to_gateway) = spsc(64);
    let (from_gateway, mut events) = spsc(8192);
    let mut gateway = GatewayDuty::new(config, &table, to_gateway, from_gateway, clock.clone(), ready.clone());
    let beat = Arc::new(Heartbeat::register(None, 1, 5_000, 1).unwrap());
    gateway.set_pulse(GatewayPulse::new(beat.clone(), PulseTerms::default()));
    let mut poll_until = |venue: &mut ObservedVenue, what: &dyn Fn(&mut ObservedVenue) -> bool| {
        let began = Instant::now();
        while !what(venue) {
            gateway.poll(clock.now());
            assert!(began.elapsed() < LONG, "it should have come to it");
        }
    };
    poll_until(&mut venue, &|_| ready.is_set());
    let order = |kind, id, px| Command {
        kind,
        side: Side::Bid,
        tif: TimeInForce::PostOnly,
        reduce_only: false,
        trigger: None,
        instrument: InstrumentId(0),
        client_id: ClientOrderId(id),
        request: 1,
        px: Ticks::new(px),
        qty: Lots::new(5),
        at: Nanos::new(1),
        stamps: CommandStamps::default(),
    };
    // Ten percent below the market.
    let px = 540_000;
    commands.push(order(CommandKind::New, 1, px).pack()).unwrap();
    poll_until(&mut venue, &|venue| venue.now().is_some_and(|seen| seen.open == 1));
    let placed = venue.now().unwrap().placed;
    beat.fence_self();
    while events.pop().is_some() {}
    commands.push(order(CommandKind::New, 2, px).pack()).unwrap();
    commands.push(order(CommandKind::Amend, 1, px + 10).pack()).unwrap();
    commands.push(order(CommandKind::Cancel, 1, px).pack()).unwrap();
    poll_until(&mut venue, &|venue| venue.now().is_some_and(|seen| seen.open == 0));
    assert_eq!(venue.now().unwrap().placed, placed);
    let mut refused = Vec::new();
    let mut levels = vec![Level::default(); 16];
    while let Some(record) = events.pop() {
        if let Ok(Event::Reject(reject)) = Event::decode(&record, |_| Record::default(), &mut levels) {
            refused.push((reject.op, reject.kind, reject.client_id.0));
        }
    }
    assert_eq!(refused, [(Op::Create, RejectKind::NotSent, 2), (Op::Amend, RejectKind::NotSent, 1)]);
}

#[test]
fn what_cannot_guard_says_so() {
    let rig = Rig::new("usage");
    let args = rig.guard_args();
    let fails = |args: &[&str], key: Option<&str>, code: i32, word: &str| {
        let mut command = command(program());
        command.arg("guard").args(args).stderr(Stdio::piped());
        match key {
            Some(secret) => command.env("TERCEL_GUARD_API_SECRET", secret),
            None => command.env_remove("TERCEL_GUARD_API_KEY"),
        };
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(word), "{text}");
        assert!(!text.contains("a wrong secret"), "{text}");
    };
    let args = args.each_ref().map(String::as_str);
    fails(&args, None, 2, "TERCEL_GUARD_API_KEY");
    fails(&args, Some("a wrong secret"), 1, "10004");
    fails(&args[..2], Some("simulated-secret"), 2, "--heartbeat");
    fails(&args[2..], Some("simulated-secret"), 2, "embedded");
    let spot = rig.dir.file("spot.toml");
    let text = std::fs::read_to_string(args[1]).unwrap() + "categories = [\"spot\"]\n";
    std::fs::write(&spot, text).unwrap();
    let spot = spot.display().to_string();
    fails(&["--config", &spot, args[2], args[3], "--flatten"], Some("simulated-secret"), 2, "spot has no positions");
    let (_guard, _events) = rig.guard();
    fails(&args, Some("simulated-secret"), 1, "--second");
    let real = rig.dir.file("real.toml");
    std::fs::write(&real, "[venue]\nenvironment = \"mainnet\"\n").unwrap();
    let real = real.display().to_string();
    fails(&["--config", &real, "--heartbeat", args[3]], Some("simulated-secret"), 2, "--live");
}
