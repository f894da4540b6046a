//! How likely the best set is a bad one elsewhere: the probability of backtest overfitting.
//!
//! Bailey, Borwein, López de Prado and Zhu, "The Probability of Backtest Overfitting" (Journal of Computational Finance, 2015):
//! combinatorially symmetric cross-validation. The time is cut into blocks of about the same length; for every way to take half of
//! them, the best set of that half is looked up in the order of the other half.

use serde::Serialize;

use crate::moments::Moments;

/// Blocks at most: 924 ways to take half of them.
const BLOCKS_MAX: usize = 12;

/// Blocks at least; with fewer there are too few ways.
const BLOCKS_MIN: usize = 4;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Overfit {
    /// Blocks.
    pub blocks: usize,
    /// Ways to take half of them.
    pub ways: u64,
    /// Share of the ways in which the best set of one half is no better than the middle of the other half.
    pub probability: f64,
    /// Share of the ways in which it has lost there.
    pub probability_of_loss: f64,
}

/// Looks at `sets`, each with the moments of all folds in the order of time; `None` with fewer than two sets or four folds.
///
/// # Cost
/// Sets times ways times blocks: about 10⁸ small steps at most.
pub fn overfit(sets: &[Vec<Moments>]) -> Option<Overfit> {
    let folds = sets.first()?.len();
    let blocks = (folds - folds % 2).min(BLOCKS_MAX);
    if sets.len() < 2 || blocks < BLOCKS_MIN {
        return None;
    }
    // As equal as folds allow.
    let bounds: Vec<usize> = (0..=blocks).map(|block| block * folds / blocks).collect();
    let merge = |moments: &[Moments]| moments.iter().fold(Moments::default(), |sum, it| sum.with(it));
    let by_block: Vec<Vec<Moments>> =
        sets.iter().map(|set| bounds.windows(2).map(|pair| merge(&set[pair[0]..pair[1]])).collect()).collect();
    // Who did not trade earned nothing.
    let score = |set: &[Moments], taken: u32, wanted: bool| {
        let chosen = set.iter().enumerate().filter(|(block, _)| (taken >> block & 1 == 1) == wanted);
        chosen.fold(Moments::default(), |sum, (_, it)| sum.with(it)).sharpe().unwrap_or(0.0)
    };
    let (mut ways, mut overfitted, mut lost) = (0u64, 0u64, 0u64);
    for taken in 0u32..1 << blocks {
        if taken.count_ones() as usize != blocks / 2 {
            continue;
        }
        ways += 1;
        let mut best = 0;
        let mut best_score = f64::NEG_INFINITY;
        for (idx, set) in by_block.iter().enumerate() {
            let found = score(set, taken, true);
            if found > best_score {
                (best, best_score) = (idx, found);
            }
        }
        let elsewhere: Vec<f64> = by_block.iter().map(|set| score(set, taken, false)).collect();
        let own = elsewhere[best];
        // Ranks from 1 for the worst; equal ones share theirs. The logit of rank / (n + 1) is at most 0 where twice the rank is at
        // most n + 1.
        let worse = elsewhere.iter().filter(|other| **other < own).count();
        let equal = elsewhere.iter().filter(|other| **other == own).count();
        let twice_rank = 2 * worse + equal + 1;
        overfitted += u64::from(twice_rank <= sets.len() + 1);
        lost += u64::from(own < 0.0);
    }
    let share = |count: u64| count as f64 / ways as f64;
    Some(Overfit { blocks, ways, probability: share(overfitted), probability_of_loss: share(lost) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mean: f64) -> Moments {
        Moments::of(&[mean - 1.0, mean + 1.0, mean])
    }

    #[test]
    fn a_set_that_is_always_better_is_not_overfitted() {
        let sets: Vec<Vec<Moments>> = [0.1, 0.5, 0.2].iter().map(|mean| vec![of(*mean); 6]).collect();
        let found = overfit(&sets).unwrap();
        assert_eq!((found.blocks, found.ways, found.probability, found.probability_of_loss), (6, 20, 0.0, 0.0));
    }

    #[test]
    fn what_wins_by_one_block_is_overfitted() {
        // Each set is good in one block of four and bad in the others. Whatever two blocks are taken, the two sets that are good in
        // them tie as the best and are the worst elsewhere.
        let set = |good: usize| (0..4).map(|block| of(if block == good { 0.9 } else { -0.3 })).collect::<Vec<_>>();
        let sets: Vec<Vec<Moments>> = (0..4).map(set).collect();
        let found = overfit(&sets).unwrap();
        assert_eq!((found.ways, found.probability, found.probability_of_loss), (6, 1.0, 1.0));
    }

    #[test]
    fn too_little_is_not_judged() {
        let set = vec![of(0.1); 3];
        assert_eq!(overfit(&[set.clone(), set.clone()]), None);
        assert_eq!(overfit(&[vec![of(0.1); 8]]), None);
        assert_eq!(overfit(&[]), None);
        // Of seven folds six blocks are made, the longer one with two.
        assert_eq!(overfit(&[vec![of(0.1); 7], vec![of(0.2); 7]]).unwrap().blocks, 6);
    }
}
