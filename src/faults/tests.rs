use super::*;
use crate::engine::{StopConfig, StopCounts};
use crate::risk::BreakerLevel;
use crate::simex::fault::{Act, Channel, FaultScript};
use crate::types::{Money, Rate, TriggerBy};

const SECOND_NS: u64 = 1_000_000_000;

fn quiet(seed: u64) -> WorldOptions {
    WorldOptions { seed, script: FaultScript::default(), duration_ns: 40 * SECOND_NS, capital: None, stops: None }
}

#[test]
fn a_quiet_run_trades_and_agrees_with_the_venue() {
    for seed in 0..3 {
        let verdict = run(&quiet(seed));
        assert!(verdict.is_good(), "{verdict}");
        assert!(verdict.orders > 100 && verdict.fills > 10, "{verdict}");
    }
}

#[test]
fn a_seed_gives_one_run() {
    let mut options = quiet(5);
    options.script = FaultScript::generate(5, options.duration_ns);
    let [first, second] = [run(&options), run(&options)];
    assert_eq!(first.fingerprint, second.fingerprint);
    assert_eq!(first.fired, second.fired);
    assert_ne!(first.fingerprint, run(&quiet(6)).fingerprint);
}

#[test]
fn faults_of_market_data_alone_leave_nothing_open() {
    let is_market = |act: &Act| match act {
        Act::Message { channel, .. } | Act::Silence(channel) | Act::Stall(channel) | Act::Cut(channel, _) => {
            *channel == Channel::Public
        }
        Act::Kick(channel) | Act::HalfOpen(channel) => *channel == Channel::Public,
        Act::Snapshot { .. } => true,
        _ => false,
    };
    let mut fired = 0;
    for seed in 0..12 {
        let mut options = WorldOptions { duration_ns: 60 * SECOND_NS, ..quiet(seed) };
        // A long script, thinned out, is about as dense as an ordinary one.
        options.script = FaultScript::generate(seed, 240 * SECOND_NS);
        options.script.faults.retain(|fault| is_market(&fault.act));
        for fault in &mut options.script.faults {
            fault.at_ns /= 6;
        }
        let verdict = run(&options);
        assert!(verdict.is_good(), "{verdict}");
        assert!(verdict.fills > 5, "{verdict}");
        fired += verdict.fired.values().sum::<u64>();
    }
    assert!(fired > 50, "{fired}");
}

/// The capital is what binds: most of it is used, none of it is exceeded, whatever goes wrong; and in the end all is closed.
#[test]
fn with_breakers_armed_the_venues_books_never_show_more_than_the_capital() {
    let capital = Money::new(120 * Money::ONE.get());
    let (mut most, mut moved) = (Money::ZERO, 0);
    for seed in 0..12 {
        let duration_ns = 60 * SECOND_NS;
        let script = FaultScript::generate(seed, duration_ns);
        let verdict = run(&WorldOptions { seed, script, duration_ns, capital: Some(capital), stops: None });
        assert!(verdict.is_good(), "{verdict}");
        most = most.max(verdict.stake_max);
        moved += verdict.levels.iter().filter(|level| **level > BreakerLevel::Normal).count();
    }
    assert!(most.get() > capital.get() / 2, "the capital should bind: at most {most} were at stake");
    assert!(moved > 0, "a breaker should have moved");
}

/// Stop orders so close to the market that they are placed, moved, triggered and cancelled all the time, while everything else goes wrong:
/// no order, execution or position is seen differently, and what protects a position at the end is the same on both sides.
#[test]
fn with_stop_orders_at_the_venue_both_sides_agree_whatever_goes_wrong() {
    let mut sum = StopCounts::default();
    for seed in 0..12 {
        let duration_ns = 60 * SECOND_NS;
        let script = if seed % 3 == 0 { FaultScript::default() } else { FaultScript::generate(seed, duration_ns) };
        let by = if seed % 2 == 0 { TriggerBy::Last } else { TriggerBy::Mark };
        let close = |units| Some(Rate::new(units));
        let stops = Some(StopConfig { loss: close(10_000), trail: close(15_000), step: Rate::new(1_000), by });
        let capital = (seed % 4 == 3).then(|| Money::new(500 * Money::ONE.get()));
        let verdict = run(&WorldOptions { seed, script, duration_ns, capital, stops });
        assert!(verdict.is_good(), "{verdict}");
        let it = verdict.stops;
        sum.placed += it.placed;
        sum.amended += it.amended;
        sum.cancelled += it.cancelled;
        sum.triggered += it.triggered;
        sum.passed += it.passed;
    }
    println!("{sum:?}");
    assert!(sum.placed > 50 && sum.amended > 50 && sum.cancelled > 10 && sum.triggered > 10, "{sum:?}");
}
