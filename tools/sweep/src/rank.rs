//! What was played → a ranking that keeps apart what sets were chosen by and what they are judged by.
//!
//! Everything here is from the log alone, in the order of sets and folds, so that a sweep that was interrupted, or had other workers,
//! ranks the same to the last byte.

use std::ops::Range;

use serde::Serialize;
use tercel::analytics::stats::ratio;
use tercel::config::SignedMoneyText;
use tercel::types::Money;

use crate::luck::{CONFIDENT, Deflated, Observed, variance};
use crate::moments::Moments;
use crate::overfit::{Overfit, overfit};
use crate::space::WalkForward;
use crate::trial::{Figures, FoldResult};
use crate::walk::splits;

/// Everything that was played, by set and fold.
pub struct Played<'a> {
    /// Parameters of each set, in words.
    pub sets: Vec<String>,
    /// Names of the folds, in the order of time.
    pub folds: Vec<String>,
    /// By set and fold.
    pub results: Vec<Vec<&'a FoldResult>>,
    /// Distance of two samples.
    pub sample_ns: u64,
    /// How folds are divided.
    pub walk: Option<WalkForward>,
    /// Sets that were tried before: in this folder, and as the sweep file says.
    pub earlier_trials: u64,
}

/// Several folds of one set, put together one after the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stitched {
    /// Folds.
    pub folds: usize,
    /// Sum of what was earned.
    pub pnl: Option<SignedMoneyText>,
    /// Sum of fees.
    pub fees: Option<SignedMoneyText>,
    /// Returns of the folds, compounded.
    pub total_return: Option<f64>,
    /// Sharpe ratio of all samples' returns, of a year.
    pub sharpe: Option<f64>,
    /// Deepest drawdown of the samples, from fold to fold.
    pub max_drawdown: f64,
    /// Round trips that ended.
    pub trips: u64,
    /// Wins over trips.
    pub win_rate: Option<f64>,
    /// Executions.
    pub fills: u64,
    #[serde(skip)]
    moments: Moments,
}

/// One set.
#[derive(Clone, Debug, Serialize)]
pub struct SetRow {
    /// Its number, from 1.
    pub set: usize,
    /// Its parameters.
    pub parameters: String,
    /// Why it is not ranked.
    pub failure: Option<String>,
    /// Over all folds.
    pub all: Option<Stitched>,
    /// Probability that its true Sharpe ratio is above 0, had it been the only set.
    pub probabilistic: Option<f64>,
    /// The same against the best that luck would have brought among all sets.
    pub deflated: Option<f64>,
    /// Mean over the steps of its Sharpe ratio in the folds to choose by.
    pub in_sample: Option<f64>,
    /// Mean over the steps of its Sharpe ratio in the folds to judge by.
    pub out_of_sample: Option<f64>,
    /// Steps in which it was the best to choose.
    pub chosen: usize,
}

/// One step of the walk.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Folds to choose by: the first, and the one behind the last.
    pub train: Range<usize>,
    /// Folds to judge by, likewise.
    pub test: Range<usize>,
    /// The set that was the best to choose; `null`: none had a Sharpe ratio, and nothing was traded.
    pub set: Option<usize>,
    /// Its Sharpe ratio where it was chosen.
    pub in_sample: Option<f64>,
    /// Its Sharpe ratio where it is judged.
    pub out_of_sample: Option<f64>,
    /// Its place there, from 1.
    pub rank: Option<usize>,
    /// Among so many sets.
    pub ranked: usize,
    /// Spearman's correlation between the two orders of all sets.
    pub rank_correlation: Option<f64>,
    /// Why the folds to judge by cannot be judged by.
    pub failure: Option<String>,
}

/// The whole walk.
#[derive(Clone, Debug, Serialize)]
pub struct Walk {
    /// How folds are divided.
    pub plan: WalkForward,
    /// Steps.
    pub steps: Vec<Step>,
    /// The folds to judge by, each with the set that was chosen before it.
    pub out_of_sample: Stitched,
    /// Probability that the true ratio of that is above 0. Nothing was chosen by it, so nothing is deflated.
    pub probabilistic: Option<f64>,
    /// Mean of the steps' correlations.
    pub rank_correlation: Option<f64>,
    /// The first step that cannot be judged.
    pub failure: Option<String>,
}

/// The best set over all folds, and how far it is to be believed.
#[derive(Clone, Debug, Serialize)]
pub struct Best {
    /// Its number.
    pub set: usize,
    /// Its ratio per sample, and the shape of its returns.
    pub observed: Observed,
    /// Held against luck.
    pub deflated: Option<Deflated>,
}

/// The ranking.
#[derive(Clone, Debug, Serialize)]
pub struct Ranking {
    /// Sets that were tried in this sweep.
    pub sets: usize,
    /// Sets that luck had a chance with, earlier ones included.
    pub trials: u64,
    /// Names of the folds that count, in the order of time.
    pub folds: Vec<String>,
    /// Folds in which every set failed, with a reason: left out.
    pub left_out: Vec<String>,
    /// Seconds between two samples.
    pub sample_s: f64,
    /// The best over all folds.
    pub best: Option<Best>,
    /// The walk.
    pub walk_forward: Option<Walk>,
    /// The probability of overfitting.
    pub overfitting: Option<Overfit>,
    /// Whether the result is distinguishable from luck.
    pub is_distinguishable: bool,
    /// What a reader should know, in words.
    pub verdict: Vec<String>,
    /// Sets that are ranked, by their Sharpe ratio over all folds; then those that are not.
    pub table: Vec<SetRow>,
}

impl Stitched {
    /// Puts folds one after the other.
    fn of<'a>(folds: impl IntoIterator<Item = &'a Figures>, sample_ns: u64) -> Self {
        let mut out = Self::default();
        let (mut pnl, mut fees, mut wins) = (Money::ZERO, Money::ZERO, 0);
        let (mut value, mut peak) = (1f64, 1f64);
        let mut is_whole = true;
        for fold in folds {
            out.folds += 1;
            pnl = pnl.saturating_add(fold.pnl.0);
            fees = fees.saturating_add(fold.fees.0);
            out.trips += fold.trips;
            wins += fold.wins;
            out.fills += fold.fills;
            out.moments = out.moments.with(&fold.moments);
            // The fold's lowest sample lies behind every peak before it; its own peaks are its own drawdown's.
            out.max_drawdown = out.max_drawdown.max(1.0 - value * fold.low / peak).max(fold.sampled_drawdown);
            peak = peak.max(value * fold.high);
            match fold.total_return {
                Some(made) => value *= 1.0 + made,
                None => is_whole = false,
            }
        }
        if out.folds > 0 {
            out.pnl = Some(SignedMoneyText(pnl));
            out.fees = Some(SignedMoneyText(fees));
            out.total_return = Some(value - 1.0).filter(|made| is_whole && made.is_finite());
        }
        out.win_rate = ratio(wins as f64, out.trips as f64);
        out.sharpe = out.moments.sharpe_annual(sample_ns);
        out
    }
}

/// The results of the folds that count.
struct Table<'a> {
    results: Vec<Vec<&'a FoldResult>>,
    sample_ns: u64,
}

impl<'a> Table<'a> {
    fn good(&self, set: usize, fold: usize) -> Option<&'a Figures> {
        let result = self.results[set][fold];
        result.figures.as_ref().filter(|_| result.failure.is_none())
    }

    /// Folds of a set, if all of them are good.
    fn all_good(&self, set: usize, folds: Range<usize>) -> Option<Vec<&'a Figures>> {
        folds.map(|fold| self.good(set, fold)).collect()
    }

    fn sharpe(&self, set: usize, folds: Range<usize>) -> Option<f64> {
        let merged = self.all_good(set, folds)?.iter().fold(Moments::default(), |sum, it| sum.with(&it.moments));
        merged.sharpe_annual(self.sample_ns)
    }

    fn failure(&self, set: usize, folds: Range<usize>) -> Option<String> {
        folds.filter_map(|fold| self.results[set][fold].failure.clone()).next()
    }

    /// One step: the choice knows the folds to choose by, and nothing else.
    fn step(&self, train: Range<usize>, test: Range<usize>) -> Step {
        let sets = 0..self.results.len();
        let before: Vec<Option<f64>> = sets.clone().map(|set| self.sharpe(set, train.clone())).collect();
        let after: Vec<Option<f64>> = sets.map(|set| self.sharpe(set, test.clone())).collect();
        let chosen = best_of(&before);
        let ranked = after.iter().flatten().count();
        let judged = chosen.and_then(|set| after[set]);
        let pairs: Vec<(f64, f64)> = before.iter().zip(&after).filter_map(|(a, b)| a.zip(*b)).collect();
        Step {
            set: chosen.map(|set| set + 1),
            in_sample: chosen.and_then(|set| before[set]),
            out_of_sample: judged,
            rank: judged.map(|own| 1 + after.iter().flatten().filter(|other| **other > own).count()),
            ranked,
            rank_correlation: rank_correlation(&pairs),
            failure: chosen.and_then(|set| self.failure(set, test.clone())),
            train,
            test,
        }
    }

    fn walk(&self, plan: WalkForward, folds: usize) -> Walk {
        let steps: Vec<Step> =
            splits(folds, plan).into_iter().map(|split| self.step(split.train, split.test)).collect();
        let chosen = steps.iter().filter_map(|step| Some((step.set? - 1, step.test.clone())));
        let parts: Vec<&Figures> =
            chosen.flat_map(|(set, test)| test.filter_map(move |fold| self.good(set, fold))).collect();
        let out_of_sample = Stitched::of(parts, self.sample_ns);
        let correlations: Vec<f64> = steps.iter().filter_map(|step| step.rank_correlation).collect();
        let observed = Observed::of(&out_of_sample.moments);
        Walk {
            plan,
            probabilistic: observed.and_then(|it| it.probabilistic(0.0)),
            rank_correlation: mean(&correlations),
            failure: steps.iter().find_map(|step| step.failure.clone()),
            out_of_sample,
            steps,
        }
    }
}

/// The place of the greatest; of equal ones the first.
fn best_of(values: &[Option<f64>]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (idx, value) in values.iter().enumerate() {
        if let Some(value) = *value
            && best.is_none_or(|(_, most)| value > most)
        {
            best = Some((idx, value));
        }
    }
    best.map(|(idx, _)| idx)
}

fn mean(values: &[f64]) -> Option<f64> {
    ratio(values.iter().sum(), values.len() as f64)
}

/// Spearman's correlation of pairs, equal ones sharing their rank; `None` of fewer than three, or where one side does not differ.
fn rank_correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    if pairs.len() < 3 {
        return None;
    }
    let ranks = |values: Vec<f64>| -> Vec<f64> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        let mut out = vec![0.0; values.len()];
        for run in order.chunk_by(|a, b| values[*a] == values[*b]) {
            let first = order.iter().position(|idx| *idx == run[0]).unwrap_or(0);
            for idx in run {
                out[*idx] = first as f64 + (run.len() - 1) as f64 / 2.0;
            }
        }
        out
    };
    let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let (a, b) = (ranks(a), ranks(b));
    let middle = (pairs.len() - 1) as f64 / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - middle) * (y - middle)).sum::<f64>();
    ratio(product(&a, &b), (product(&a, &a) * product(&b, &b)).sqrt())
}

/// Ranks what was played.
pub fn rank(played: &Played<'_>) -> Ranking {
    let (sets, all_folds) = (played.sets.len(), played.folds.len());
    let is_good = |result: &FoldResult| result.failure.is_none() && result.figures.is_some();
    let counts: Vec<bool> = (0..all_folds).map(|fold| played.results.iter().any(|set| is_good(set[fold]))).collect();
    let left_out = (0..all_folds).filter(|fold| !counts[*fold]).map(|fold| {
        let why = played.results.first().and_then(|set| set[fold].failure.clone()).unwrap_or_default();
        format!("{}: {why}", played.folds[fold])
    });
    let keep = |fold: &usize| counts[*fold];
    let folds: Vec<usize> = (0..all_folds).filter(keep).collect();
    let results = played.results.iter().map(|set| folds.iter().map(|fold| set[*fold]).collect()).collect();
    let table = Table { results, sample_ns: played.sample_ns };
    let whole = 0..folds.len();
    let walk = played.walk.map(|plan| table.walk(plan, folds.len()));

    let stitched: Vec<Option<Stitched>> = (0..sets)
        .map(|set| {
            let folds = table.all_good(set, whole.clone()).filter(|folds| !folds.is_empty())?;
            Some(Stitched::of(folds, played.sample_ns))
        })
        .collect();
    let observed: Vec<Option<Observed>> =
        stitched.iter().map(|it| it.as_ref().and_then(|it| Observed::of(&it.moments))).collect();
    let ratios: Vec<f64> = observed.iter().flatten().map(|it| it.sharpe).collect();
    let trials = sets as u64 + played.earlier_trials;
    // One set alone was not chosen: its ratio needs no spread of others.
    let spread = variance(&ratios).or((trials == 1).then_some(0.0));
    let deflated = |observed: &Observed| observed.deflated(trials, spread?);

    let mut rows: Vec<SetRow> = (0..sets)
        .map(|set| {
            let observed = observed[set].as_ref();
            let of_steps = |of: fn(&crate::walk::Split) -> Range<usize>| {
                let steps = played.walk.map(|plan| splits(folds.len(), plan)).unwrap_or_default();
                let found: Vec<f64> = steps.iter().filter_map(|split| table.sharpe(set, of(split))).collect();
                mean(&found)
            };
            SetRow {
                set: set + 1,
                parameters: played.sets[set].clone(),
                failure: table.failure(set, whole.clone()),
                all: stitched[set].clone(),
                probabilistic: observed.and_then(|it| it.probabilistic(0.0)),
                deflated: observed.and_then(|it| Some(deflated(it)?.deflated)),
                in_sample: of_steps(|split| split.train.clone()),
                out_of_sample: of_steps(|split| split.test.clone()),
                chosen: walk.iter().flat_map(|walk| &walk.steps).filter(|step| step.set == Some(set + 1)).count(),
            }
        })
        .collect();
    let ratio_of = |row: &SetRow| row.all.as_ref().and_then(|it| it.sharpe);
    rows.sort_by(|a, b| {
        let key = |row: &SetRow| (row.all.is_none(), ratio_of(row).is_none());
        let by_ratio = || ratio_of(b).unwrap_or(0.0).total_cmp(&ratio_of(a).unwrap_or(0.0));
        key(a).cmp(&key(b)).then_with(by_ratio).then(a.set.cmp(&b.set))
    });
    let best = rows.first().filter(|row| ratio_of(row).is_some()).and_then(|row| {
        let observed = observed[row.set - 1]?;
        Some(Best { set: row.set, deflated: deflated(&observed), observed })
    });
    let overfitting = {
        let moments = (0..sets).filter_map(|set| {
            let folds = table.all_good(set, whole.clone())?;
            Some(folds.iter().map(|it| it.moments).collect())
        });
        overfit(&moments.collect::<Vec<Vec<Moments>>>())
    };
    let mut ranking = Ranking {
        sets,
        trials,
        folds: folds.iter().map(|fold| played.folds[*fold].clone()).collect(),
        left_out: left_out.collect(),
        sample_s: played.sample_ns as f64 / 1e9,
        best,
        walk_forward: walk,
        overfitting,
        is_distinguishable: false,
        verdict: Vec::new(),
        table: rows,
    };
    ranking.judge();
    ranking
}

impl Ranking {
    /// Says what was found, and whether it is more than luck.
    fn judge(&mut self) {
        let mut verdict = Vec::new();
        let mut doubts = Vec::new();
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        match &self.best {
            None => doubts.push("no set was good in all folds and has a Sharpe ratio".to_owned()),
            Some(best) => match &best.deflated {
                None => {
                    doubts.push("too few sets have a Sharpe ratio to say what luck alone would have brought".to_owned())
                }
                Some(found) => {
                    let (set, trials) = (best.set, found.trials);
                    verdict.push(format!(
                        "Set {set} is the best over all folds. The probability that its true Sharpe ratio is above what the best of \
                         {trials} worthless sets would have shown is {} (deflated Sharpe ratio).",
                        percent(found.deflated)
                    ));
                    if found.deflated < CONFIDENT {
                        doubts.push(format!(
                            "the best set's deflated Sharpe ratio is {}, below {}",
                            percent(found.deflated),
                            percent(CONFIDENT)
                        ));
                    }
                }
            },
        }
        match &self.walk_forward {
            None => verdict.push(
                "Nothing was held back: without [walk-forward] every figure is of the data that the sets were chosen by.".to_owned(),
            ),
            Some(walk) if walk.steps.is_empty() => {
                doubts.push("there are too few folds for one step of the walk forward".to_owned());
            }
            Some(walk) => {
                if let Some(failure) = &walk.failure {
                    doubts.push(format!("a set that was chosen failed where it was judged ({failure})"));
                }
                let made = walk.out_of_sample.pnl.map_or("nothing".to_owned(), |pnl| pnl.0.to_string());
                match walk.probabilistic {
                    None => doubts.push("what was chosen has no Sharpe ratio where it is judged".to_owned()),
                    Some(found) => {
                        verdict.push(format!(
                            "Chosen by earlier folds and judged by later ones, {} steps made {made}; the probability that the true Sharpe \
                             ratio of that is above 0 is {}.",
                            walk.steps.len(),
                            percent(found)
                        ));
                        if found < CONFIDENT {
                            doubts.push(format!("out of sample that probability is {}, below {}", percent(found), percent(CONFIDENT)));
                        }
                    }
                }
                if walk.rank_correlation.is_some_and(|found| found <= 0.0) {
                    doubts.push("the order of the sets in one fold says nothing about the next".to_owned());
                }
            }
        }
        if let Some(found) = &self.overfitting {
            verdict.push(format!(
                "In {} of {} ways to halve the folds, the best set of one half was no better than the middle of the other (probability of \
                 overfitting); in {} it lost there.",
                percent(found.probability),
                found.ways,
                percent(found.probability_of_loss)
            ));
            if found.probability >= 0.5 {
                doubts.push(format!("the probability of overfitting is {}", percent(found.probability)));
            }
        }
        self.is_distinguishable = doubts.is_empty();
        verdict.push(if doubts.is_empty() {
            "The result is distinguishable from luck by these measures; they do not know what is wrong with the simulation.".to_owned()
        } else {
            format!("NOT DISTINGUISHABLE FROM LUCK: {}.", doubts.join("; "))
        });
        self.verdict = verdict;
    }
}

#[cfg(test)]
#[path = "rank_tests.rs"]
mod tests;
