//! Stop orders end to end: a fall in a replay, a gap, and a live run against the embedded venue.

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::{Scratch, good, say, summary, tercel};
use tercel::engine::{EngineConfig, StopConfig};
use tercel::journal::synthetic::{SyntheticConfig, sidecar};
use tercel::journal::{Capture, Tape};
use tercel::runtime::{ReplayOptions, ReplayOutcome, Topology, replay};
use tercel::strategy::{Strategy, Take, View, Wishes};
use tercel::types::{Lots, Money, Nanos, Rate, Side, TriggerBy, VenueId};

const SINGLE: &str = "feed+core+gateway";

/// Buys one unit once and holds it.
struct BuyOnce {
    has_bought: bool,
}

impl Strategy for BuyOnce {
    fn on_market(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        let Some(ask) = view.touch.ask else { return };
        if !std::mem::replace(&mut self.has_bought, true) {
            wishes.take = Some(Take { side: Side::Bid, px: ask.px, qty: Lots::new(1_000), reduce_only: false });
        }
    }
}

/// Cents at the given moments, each a book around them, a mark and a trade, ten a second.
fn capture(cents: &[i64]) -> Capture {
    let mut capture = Capture::default();
    for (idx, px) in cents.iter().enumerate() {
        let ms = 1_700_000_000_000 + idx as u64 * 100;
        let text = |cents: i64| format!("{}.{:02}", cents / 100, cents % 100);
        let level = |away: i64| format!(r#"["{}","5"]"#, text(px + away));
        let side = |sign: i64| [1, 2, 3].map(|away| level(sign * away)).join(",");
        let (bids, asks, id) = (side(-1), side(1), idx + 1);
        let book = format!(
            r#"{{"topic":"orderbook.200.AAAUSDT","type":"snapshot","ts":{ms},"data":{{"s":"AAAUSDT","b":[{bids}],"a":[{asks}],"u":{id},"seq":{id}}},"cts":{ms}}}"#
        );
        let at = text(*px);
        let mark = format!(
            r#"{{"topic":"tickers.AAAUSDT","type":"snapshot","data":{{"symbol":"AAAUSDT","lastPrice":"{at}","markPrice":"{at}","indexPrice":"{at}","fundingRate":"0","nextFundingTime":"1700006400000"}},"cs":{id},"ts":{ms}}}"#
        );
        let trade = format!(
            r#"{{"topic":"publicTrade.AAAUSDT","type":"snapshot","ts":{ms},"data":[{{"T":{ms},"s":"AAAUSDT","S":"Sell","v":"0.001","p":"{at}","L":"PlusTick","i":"00000000-0000-5000-8000-{id:012x}","BT":false,"RPI":false,"seq":{id}}}]}}"#
        );
        for (later, message) in [book, mark, trade].iter().enumerate() {
            capture.push(Nanos::new(ms * 1_000_000 + later as u64), message.as_bytes());
        }
    }
    capture
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn play(cents: &[i64], stops: Option<StopConfig>, topology: &str) -> (ReplayOutcome, Vec<u8>) {
    let table =
        sidecar(&SyntheticConfig { instruments: 1, ..SyntheticConfig::new(VenueId::BYBIT, 1) }).table().unwrap();
    let log = Log::default();
    let options = ReplayOptions {
        command_log: Some(Box::new(log.clone())),
        topology: topology.parse::<Topology>().unwrap(),
        ..ReplayOptions::new(VenueId::BYBIT, table)
    };
    let config = EngineConfig { stops, ..EngineConfig::default() };
    let strategy = BuyOnce { has_bought: false };
    let outcome = replay(Tape::of(Arc::new(capture(cents))), options, config, strategy).unwrap();
    // Whatever happened, both sides' books are equal and nothing is left open.
    let engine = &outcome.core.engine;
    assert_eq!(engine.positions[0].position, outcome.sim.positions[0]);
    assert_eq!(engine.wallet, outcome.sim.wallets.first().copied());
    assert_eq!((engine.open_orders.len(), outcome.sim.open_orders), (0, 0));
    let bytes = log.0.lock().unwrap().clone();
    (outcome, bytes)
}

fn stop(by: TriggerBy) -> Option<StopConfig> {
    Some(StopConfig { loss: Some(Rate::new(500_000)), trail: None, step: Rate::new(20_000), by })
}

fn profit(outcome: &ReplayOutcome) -> f64 {
    outcome.core.engine.pnl.total.to_f64_lossy()
}

/// Rest, then five percent down in steps of ten basis points, then rest.
fn fall() -> Vec<i64> {
    let falling = (1..=50).map(|step| 10_000 - 10 * step);
    std::iter::repeat_n(10_000, 20).chain(falling).chain(std::iter::repeat_n(9_500, 10)).collect()
}

#[test]
fn a_fall_costs_what_the_stop_allows_and_without_it_everything() {
    let (naked, _) = play(&fall(), None, SINGLE);
    assert_eq!(naked.sim.positions[0], Lots::new(1_000));
    assert!(profit(&naked) < -4.9, "{}", profit(&naked));
    for by in [TriggerBy::Last, TriggerBy::Mark] {
        let (outcome, commands) = play(&fall(), stop(by), SINGLE);
        let stops = outcome.core.engine.stops.clone().unwrap();
        assert_eq!((stops.counts.placed, stops.counts.triggered, stops.left.len()), (1, 1, 0), "{stops:?}");
        assert_eq!((outcome.sim.positions[0], outcome.core.engine.counts.fills), (Lots::ZERO, 2));
        // Half a percent, one step, the spread, and two fees of a taker.
        assert!((-0.8..-0.5).contains(&profit(&outcome)), "{}", profit(&outcome));
        say(&format!("a fall of five percent: {} with a stop, {} without", profit(&outcome), profit(&naked)));
        for topology in common::topologies() {
            assert_eq!(play(&fall(), stop(by), &topology).1, commands, "{topology}");
        }
    }
}

#[test]
fn a_gap_is_lost_whole() {
    let jump: Vec<i64> = std::iter::repeat_n(10_000, 20).chain(std::iter::repeat_n(9_500, 20)).collect();
    let (outcome, _) = play(&jump, stop(TriggerBy::Last), SINGLE);
    assert_eq!(outcome.sim.positions[0], Lots::ZERO);
    assert!((-5.3..-5.0).contains(&profit(&outcome)), "the fill is no better than the book: {}", profit(&outcome));
}

#[test]
fn a_position_that_is_left_at_the_end_keeps_its_stop() {
    let (outcome, _) = play(&[10_000; 30], stop(TriggerBy::Last), SINGLE);
    let stops = outcome.core.engine.stops.unwrap();
    assert_eq!((stops.left.len(), stops.counts.cancelled, outcome.sim.positions[0]), (1, 0, Lots::new(1_000)));
    assert_eq!(stops.left[0].qty, Lots::new(1_000));
    assert!(outcome.core.engine.wallet > Some(Money::ZERO));
}

/// The market maker on the embedded venue, its positions protected closely by real requests over real sockets.
#[test]
fn a_live_run_holds_stops_at_the_venue_and_its_journal_replays_identical() {
    let dir = Scratch::new("stops");
    let (config, json, journal) = (dir.file("stops.toml"), dir.file("run.json"), dir.file("journal"));
    std::fs::write(
        &config,
        "[stops]\nloss-bps = \"0.2\"\ntrail-bps = \"0.2\"\nstep-bps = \"0.02\"\n[stop]\nflatten = true\n",
    )
    .unwrap();
    let mut command = tercel(["run", "--for", "12s", "--config"]);
    let output = good(command.arg(&config).arg("--json").arg(&json).arg("--journal").arg(&journal));
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = summary(&json);
    let stops = &found["stops"];
    let count = |key: &str| stops[key].as_u64().unwrap();
    say(&format!("stops: {stops}"));
    assert!(count("placed") > 0 && count("amended") + count("cancelled") > 0, "{report}");
    // Which of the two is the market's choice: the venue was first, or the price was past the trigger before the order could be placed.
    assert!(count("triggered") + count("passed") > 0, "{report}");
    assert_eq!((count("left"), found["reconciled"].as_bool()), (0, Some(true)), "{report}");
    assert_eq!(found["orders"]["open_at_end"], 0);
    assert_eq!(found["balances"]["engine"], found["balances"]["venue"]);
    assert_eq!(found["hot_allocations"], 0);
    assert!(report.contains("stop orders: "), "{report}");

    let replayed = good(tercel(["replay", "--journal"]).arg(&journal));
    let text = String::from_utf8_lossy(&replayed.stdout).into_owned();
    assert!(text.contains("identical"), "{text}");
}

/// Without closing at its end a run leaves what it holds, and what protects that.
#[test]
fn a_run_that_ends_with_positions_leaves_their_stops_and_ends_well() {
    let dir = Scratch::new("stops-left");
    let (config, json) = (dir.file("stops.toml"), dir.file("run.json"));
    std::fs::write(&config, "[stops]\nloss-bps = \"50\"\nby = \"mark\"\n").unwrap();
    let output = good(tercel(["run", "--for", "6s", "--config"]).arg(&config).arg("--json").arg(&json));
    let (report, found) = (String::from_utf8_lossy(&output.stdout).into_owned(), summary(&json));
    assert_eq!((&found["reconciled"], &found["orders"]["open_at_end"]), (&true.into(), &0.into()), "{report}");
    let lines = report.lines().filter(|line| line.contains("stays at the venue: ")).count() as u64;
    assert_eq!(found["stops"]["left"], lines, "{report}");
    let positions = found["positions"].as_array().unwrap();
    let held = positions.iter().filter(|it| it["engine"].as_str().is_some_and(|qty| qty.parse() != Ok(0.0))).count();
    say(&format!("stops: {}, positions held {held}", found["stops"]));
    assert_eq!(lines, held as u64, "each position has its stop: {report}");
    assert!(found["stops"]["placed"].as_u64().unwrap() > 0, "{report}");
}
