//! Rankings of results that were made up.

use proptest::prelude::*;

use super::*;

const SAMPLE_NS: u64 = 1_000_000_000;

/// A fold of equities 100, then these.
fn fold(equities: &[f64]) -> FoldResult {
    let points: Vec<f64> = std::iter::once(100.0).chain(equities.iter().copied()).collect();
    let returns = tercel::analytics::stats::returns(&points).unwrap();
    let money = |value: f64| SignedMoneyText(Money::new((value * 1e6) as i128 * 1_000_000));
    let last = points[points.len() - 1];
    let (mut peak, mut sampled_drawdown) = (0f64, 0f64);
    for point in &points {
        peak = peak.max(*point);
        sampled_drawdown = sampled_drawdown.max(1.0 - point / peak);
    }
    let figures = Figures {
        seconds: 1.0,
        equity_start: money(100.0),
        equity_end: money(last),
        pnl: money(last - 100.0),
        fees: money(1.0),
        funding: money(0.0),
        turnover: money(0.0),
        total_return: Some(last / 100.0 - 1.0),
        sharpe: None,
        sortino: None,
        volatility: None,
        max_drawdown: None,
        trips: 2,
        wins: 1,
        win_rate: Some(0.5),
        fills: 4,
        maker_fills: 4,
        orders: 4,
        fill_ratio: Some(1.0),
        moments: Moments::of(&returns),
        high: points.iter().fold(f64::MIN, |a, b| a.max(*b)) / 100.0,
        low: points.iter().fold(f64::MAX, |a, b| a.min(*b)) / 100.0,
        sampled_drawdown,
    };
    FoldResult { failure: None, figures: Some(figures) }
}

fn failed(why: &str) -> FoldResult {
    FoldResult { failure: Some(why.to_owned()), figures: None }
}

fn ranked(results: &[Vec<FoldResult>], walk: Option<WalkForward>) -> Ranking {
    rank(&Played {
        sets: (0..results.len()).map(|set| format!("p = {set}")).collect(),
        folds: (0..results[0].len()).map(|fold| format!("fold {fold}")).collect(),
        results: results.iter().map(|set| set.iter().collect()).collect(),
        sample_ns: SAMPLE_NS,
        walk,
        earlier_trials: 0,
    })
}

const WALK: WalkForward = WalkForward { train: 1, test: 1, anchored: false };

/// A fold that ends there, by way of a wobble.
fn to(end: f64) -> FoldResult {
    fold(&[100.5, (100.0 + end) / 2.0, end])
}

#[test]
fn each_step_chooses_by_what_came_before_and_is_judged_by_what_came_after() {
    // Set 1 is best in fold 0, set 2 in folds 1 and 2.
    let results = [vec![to(106.0), to(98.0), to(101.0)], vec![to(101.0), to(104.0), to(103.0)]];
    let found = ranked(&results, Some(WALK));
    let walk = found.walk_forward.unwrap();
    let chosen: Vec<_> = walk.steps.iter().map(|step| (step.set, step.rank, step.ranked)).collect();
    assert_eq!(chosen, [(Some(1), Some(2), 2), (Some(2), Some(1), 2)]);
    // Set 1 in fold 1 and set 2 in fold 2: −2 and 3; 0.98 · 1.03.
    assert_eq!(walk.out_of_sample.pnl.unwrap().0.to_string(), "1");
    assert!((walk.out_of_sample.total_return.unwrap() - (0.98 * 1.03 - 1.0)).abs() < 1e-12);
    assert_eq!(walk.out_of_sample.folds, 2);
    // Over all folds set 2 made 8 and set 1 made 5; both stand in the table with what they were chosen and judged by.
    assert_eq!((found.table[0].set, found.table[0].chosen, found.table[1].chosen), (2, 1, 1));
    assert!(found.table[1].in_sample > found.table[1].out_of_sample);
}

#[test]
fn stitched_folds_have_the_drawdown_of_the_whole() {
    // 100 → 110 → 105 | 100 → 90 → 120, one after the other: peak 110, then 105 · 0.9 = 94.5.
    let [a, b] = [fold(&[110.0, 105.0]), fold(&[90.0, 120.0])];
    let stitched = Stitched::of([&a, &b].map(|it| it.figures.as_ref().unwrap()), SAMPLE_NS);
    assert!((stitched.max_drawdown - (1.0 - 94.5 / 110.0)).abs() < 1e-12);
    assert_eq!(stitched.total_return, Some(1.05 * 1.2 - 1.0));
    assert_eq!((stitched.trips, stitched.win_rate, stitched.fills), (4, Some(0.5), 8));
    assert_eq!(stitched.pnl.unwrap().0.to_string(), "25");
}

#[test]
fn what_failed_is_told_and_never_ranked() {
    let results = [
        vec![failed("damaged"), to(109.0), failed("liquidated"), to(109.0)],
        vec![failed("damaged"), to(101.0), to(102.0), to(101.0)],
    ];
    let found = ranked(&results, Some(WALK));
    assert_eq!(found.left_out, ["fold 0: damaged"]);
    assert_eq!(found.folds, ["fold 1", "fold 2", "fold 3"]);
    assert_eq!((found.table[0].set, found.table[1].set), (2, 1), "though set 1 made more");
    assert_eq!(found.table[1].failure.as_deref(), Some("liquidated"));
    assert!(found.table[1].all.is_none() && found.table[1].deflated.is_none());
    // It was the best to choose before it failed: leaving it out of the choice would be to look ahead.
    let walk = found.walk_forward.unwrap();
    assert_eq!((walk.steps[0].set, walk.steps[0].failure.as_deref()), (Some(1), Some("liquidated")));
    assert!(walk.failure.is_some() && !found.is_distinguishable);
    assert!(found.verdict.last().unwrap().contains("failed where it was judged (liquidated)"), "{:?}", found.verdict);
}

#[test]
fn one_lucky_set_among_many_is_not_believed() {
    // The sets differ by the phase of a wave: each has a good stretch somewhere, none has an edge.
    let wave = |set: usize, fold: usize| {
        let step = |n: usize| 100.0 + (((set * 7 + fold * 13 + n * 5) % 17) as f64 - 8.0) / 10.0;
        self::fold(&(0..40).map(step).collect::<Vec<_>>())
    };
    let results: Vec<Vec<FoldResult>> = (0..30).map(|set| (0..6).map(|fold| wave(set, fold)).collect()).collect();
    let found = ranked(&results, Some(WalkForward { train: 2, test: 1, anchored: false }));
    let best = found.best.unwrap();
    assert!(best.observed.sharpe > 0.0);
    let deflated = best.deflated.unwrap();
    assert!(deflated.deflated < CONFIDENT && deflated.expected_max > 0.0, "{deflated:?}");
    assert!(!found.is_distinguishable);
    assert!(found.verdict.last().unwrap().starts_with("NOT DISTINGUISHABLE FROM LUCK"));
}

#[test]
fn earlier_trials_count_against_the_best() {
    let results = [vec![to(103.0), to(102.0)], vec![to(101.0), to(101.5)], vec![to(99.0), to(100.5)]];
    let of = |earlier_trials: u64| {
        let found = rank(&Played {
            sets: vec![String::new(); 3],
            folds: vec![String::new(); 2],
            results: results.iter().map(|set| set.iter().collect()).collect(),
            sample_ns: SAMPLE_NS,
            walk: None,
            earlier_trials,
        });
        found.best.unwrap().deflated.unwrap()
    };
    let (few, many) = (of(0), of(1_000));
    assert_eq!((few.trials, many.trials), (3, 1_003));
    assert!(many.deflated < few.deflated);
}

#[test]
fn ranks_correlate_as_spearman_says() {
    let of = |a: &[f64], b: &[f64]| rank_correlation(&a.iter().copied().zip(b.iter().copied()).collect::<Vec<_>>());
    assert_eq!(of(&[1.0, 2.0, 3.0, 9.0], &[1.0, 8.0, 27.0, 100.0]), Some(1.0));
    assert_eq!(of(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
    // Ranks 0, 1.5, 1.5, 3 against 0, 2, 1, 3: (2.25 + 0 + 0 + 2.25) / √(4.5 · 5).
    assert!((of(&[1.0, 2.0, 2.0, 3.0], &[1.0, 3.0, 2.0, 4.0]).unwrap() - 4.5 / 22.5f64.sqrt()).abs() < 1e-12);
    assert_eq!(of(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
    assert_eq!(of(&[1.0, 2.0], &[1.0, 2.0]), None);
}

proptest! {
    /// Whatever happens later, an earlier step's choice is the same.
    #[test]
    fn no_choice_knows_what_comes_later(
        ends in proptest::collection::vec(proptest::collection::vec(90.0f64..110.0, 6), 2..8),
        later in proptest::collection::vec(90.0f64..110.0, 6), from in 1usize..6, anchored: bool,
    ) {
        let walk = Some(WalkForward { train: 2, test: 1, anchored });
        let make = |ends: &[Vec<f64>]| -> Vec<Vec<FoldResult>> {
            ends.iter().map(|set| set.iter().map(|end| to(*end)).collect()).collect()
        };
        let one = ranked(&make(&ends), walk);
        let mut changed = ends.clone();
        for (idx, set) in changed.iter_mut().enumerate() {
            for fold in from..6 {
                set[fold] = later[(fold + idx) % 6];
            }
        }
        let other = ranked(&make(&changed), walk);
        let steps = |ranking: Ranking| ranking.walk_forward.unwrap().steps;
        for (a, b) in steps(one).iter().zip(steps(other).iter()).filter(|(step, _)| step.train.end <= from) {
            prop_assert_eq!((a.set, a.in_sample), (b.set, b.in_sample));
        }
    }
}
