use std::time::Duration;

use super::*;
use crate::runtime::OffsetEstimate;
use crate::sim::Rng;

fn terms() -> Terms {
    Terms {
        duration: Duration::from_secs(300),
        assets_min: 10,
        trades_min: 5,
        error_rate_max: 0.01,
        capital_apart_max: Money::parse(b"0.000001").unwrap(),
        memory_growth_max: 8_000_000,
        queue_fill_max: 0.5,
        queue_growth_max: 16,
        clock_drift_max_ns: 10_000_000,
        warm_up: Duration::from_secs(150),
    }
}

fn facts() -> Facts {
    Facts {
        traded_for: Duration::from_secs(300),
        ended_early: None,
        assets: 10,
        instruments: 12,
        trades: 5,
        messages: Errors { refused: 20, unknown: 40, mismatched: 40, of: 10_000 },
        orders: Errors { refused: 4, unknown: 3, mismatched: 3, of: 1_000 },
        refused_by: vec![("collar", 3), ("venue", 1)],
        apart: Apart::By(Money::parse(b"0.000001").unwrap()),
        left_open: (0, Some(0), 0),
        lost_in_queues: 0,
    }
}

/// What one second of a run may change of its sample: memory, fill of the ring, clock.
struct Second {
    rss_bytes: i64,
    fill: usize,
    offset_ns: i64,
}

/// 300 seconds with noise: memory 130 MB give or take 3 MB, a ring with up to 90 slots, clocks that differ by the comparison.
fn run(change: impl Fn(u64, &mut Second)) -> Samples {
    let mut rng = Rng::new(9);
    let mut samples = Samples::new(Duration::from_secs(1));
    for second in 0..300 {
        let rss_bytes = 130_000_000 + rng.between(-3_000_000, 3_000_000);
        let mut now = Second { rss_bytes, fill: rng.below(90) as usize, offset_ns: rng.between(-200_000, 200_000) };
        change(second, &mut now);
        samples.see_queue(Queue { name: "feed to core", capacity: 8192 }, now.fill);
        samples.see_queue(Queue { name: "core to gateway", capacity: 1024 }, now.fill / 40);
        let clock = OffsetEstimate { offset_ns: now.offset_ns, uncertainty_ns: 200_000, published: 1 + second / 10 };
        samples.take(Duration::from_secs(second), now.rss_bytes as u64, Some(clock));
    }
    samples
}

fn good_run() -> Samples {
    run(|_, _| {})
}

/// The condition that is missed, with its reason; all others are met.
#[track_caller]
fn only_missed(facts: &Facts, samples: &Samples) -> (&'static str, String) {
    let missed: Vec<Finding> = judge(&terms(), facts, samples).into_iter().filter(|it| !it.is_met()).collect();
    assert_eq!(missed.len(), 1, "{missed:#?}");
    (missed[0].condition, missed[0].reason.clone().unwrap())
}

#[test]
fn a_good_run_at_its_limits_meets_every_condition() {
    let findings = judge(&terms(), &facts(), &good_run());
    assert!(findings.len() == 11 && findings.iter().all(Finding::is_met), "{findings:#?}");
}

/// Makes one fact worse.
type Break = fn(&mut Facts);

#[test]
fn each_fact_beyond_its_limit_is_missed_alone_and_says_why() {
    let samples = good_run();
    let broken: [(&str, &str, Break); 13] = [
        ("duration", "interrupted after 12.0 s", |it| {
            it.traded_for = Duration::from_secs(12);
            it.ended_early = Some("interrupted".to_owned());
        }),
        ("duration", "ended after 299.0 s", |it| it.traded_for = Duration::from_secs(299)),
        ("assets", "of 12 instruments, 9 had market data and an order, wanted are 10", |it| it.assets = 9),
        ("trades", "4 round trips were completed, wanted are 5", |it| it.trades = 4),
        ("errors of messages", "of 10000 messages, 21 were refused", |it| it.messages.refused += 1),
        ("errors of messages", "41 unknown", |it| it.messages.unknown += 1),
        ("errors of messages", "41 mismatched", |it| it.messages.mismatched += 1),
        ("errors of orders", "of 1000 orders, 5 were refused (collar 3, venue 1), 3 unknown, 3 mismatched", |it| {
            it.orders.refused += 1
        }),
        ("capital", "engine and venue are 0.000001000001 apart", |it| {
            it.apart = Apart::By(Money::parse(b"0.000001000001").unwrap());
        }),
        ("capital", "cannot be had", |it| it.apart = Apart::Untold("the view cannot be had".to_owned())),
        ("orders left", "by the venue's 1", |it| it.left_open = (0, Some(1), 0)),
        ("orders left", "by the venue's not told", |it| it.left_open = (0, None, 0)),
        ("queues filled", "2 events or requests met a full ring", |it| it.lost_in_queues = 2),
    ];
    for (condition, reason, break_it) in broken {
        let mut facts = facts();
        break_it(&mut facts);
        let (missed, why) = only_missed(&facts, &samples);
        assert!(missed == condition && why.contains(reason), "{condition}: {missed}: {why}");
    }
}

#[test]
fn memory_that_leaks_is_missed_and_memory_that_was_taken_once_is_not() {
    // 100 kB a second: 15 MB after the warm-up.
    let leaking = run(|second, now| now.rss_bytes += second as i64 * 100_000);
    let (missed, why) = only_missed(&facts(), &leaking);
    assert!(missed == "memory" && why.contains("kB a second"), "{missed}: {why}");
    // In steps of 4 MB, as an allocator takes it from the system.
    let in_steps = run(|second, now| now.rss_bytes += second as i64 / 40 * 4_000_000);
    assert_eq!(only_missed(&facts(), &in_steps).0, "memory");
    // Taken while it warms up, and once later on.
    let taken =
        run(|second, now| now.rss_bytes += second.min(140) as i64 * 500_000 + i64::from(second > 280) * 9_000_000);
    assert!(judge(&terms(), &facts(), &taken).iter().all(Finding::is_met));
    let untold = run(|_, now| now.rss_bytes = 0);
    assert!(only_missed(&facts(), &untold).1.contains("does not tell"));
}

#[test]
fn a_queue_that_grows_or_was_nearly_full_is_missed_by_name() {
    let growing = run(|second, now| now.fill += second as usize / 3);
    let (missed, why) = only_missed(&facts(), &growing);
    assert!(missed == "queues growing" && why.starts_with("feed to core holds 0.3"), "{missed}: {why}");
    let once_full = run(|second, now| now.fill += if second == 7 { 4_100 } else { 0 });
    let (missed, why) = only_missed(&facts(), &once_full);
    assert!(missed == "queues filled" && why.starts_with("feed to core held 41"), "{missed}: {why}");
}

#[test]
fn clocks_that_move_apart_are_missed_and_coarse_comparisons_are_not() {
    let drifting = run(|second, now| now.offset_ns += second as i64 * 40_000);
    let (missed, why) = only_missed(&facts(), &drifting);
    assert!(missed == "clock offset" && why.contains("give or take 0.400 ms"), "{missed}: {why}");
    let backwards = run(|second, now| now.offset_ns -= second as i64 * 40_000);
    assert_eq!(only_missed(&facts(), &backwards).0, "clock offset");
    // Stepped for a while in the middle, and back in time for the end.
    let stepped = run(|second, now| now.offset_ns += if (100..120).contains(&second) { 20_000_000 } else { 0 });
    assert_eq!(only_missed(&facts(), &stepped).0, "clock offset");
    let small = run(|second, now| now.offset_ns += second as i64 * 33_000);
    assert!(judge(&terms(), &facts(), &small).iter().all(Finding::is_met));
}

#[test]
fn what_was_not_seen_is_missed() {
    let mut short = Samples::new(Duration::from_secs(1));
    for second in 148..154 {
        short.see_queue(Queue { name: "feed to core", capacity: 8192 }, 1);
        let clock = OffsetEstimate { offset_ns: 0, uncertainty_ns: 1, published: 1 };
        short.take(Duration::from_secs(second), 1, Some(clock));
    }
    let missed: Vec<Finding> = judge(&terms(), &facts(), &short).into_iter().filter(|it| !it.is_met()).collect();
    let names: Vec<_> = missed.iter().map(|it| it.condition).collect();
    assert_eq!(names, ["memory", "queues growing", "clock offset"]);
    assert!(missed[0].reason.as_ref().unwrap().starts_with("4 samples"), "{missed:?}");
    let none = judge(&terms(), &facts(), &Samples::new(Duration::from_secs(1)));
    assert_eq!(none.iter().filter(|it| !it.is_met()).count(), 4);
}
