//! Folds → those to choose by and those to judge by, never the other way round in time.

use std::ops::Range;

use crate::space::WalkForward;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Folds to choose by.
    pub train: Range<usize>,
    /// Folds to judge by, which follow.
    pub test: Range<usize>,
}

/// The steps through so many folds in the order of time. Each fold after the first ones to choose by is judged by once; the last step
/// takes what is left.
pub fn splits(folds: usize, walk: WalkForward) -> Vec<Split> {
    let mut out = Vec::new();
    let mut at = walk.train;
    while at < folds {
        let from = if walk.anchored { 0 } else { at - walk.train };
        let to = at.saturating_add(walk.test).min(folds);
        out.push(Split { train: from..at, test: at..to });
        at = to;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn windows_roll_or_grow() {
        let walk = WalkForward { train: 3, test: 2, anchored: false };
        let split = |train, test| Split { train, test };
        assert_eq!(splits(8, walk), [split(0..3, 3..5), split(2..5, 5..7), split(4..7, 7..8)]);
        let walk = WalkForward { anchored: true, ..walk };
        assert_eq!(splits(8, walk), [split(0..3, 3..5), split(0..5, 5..7), split(0..7, 7..8)]);
        assert_eq!(splits(3, walk), []);
    }

    proptest! {
        #[test]
        fn nothing_is_chosen_by_what_comes_later(folds in 0usize..60, train in 1usize..20, test in 1usize..20, anchored: bool) {
            let steps = splits(folds, WalkForward { train, test, anchored });
            let judged: Vec<usize> = steps.iter().flat_map(|step| step.test.clone()).collect();
            prop_assert_eq!(judged, (train..folds.max(train)).collect::<Vec<_>>());
            for step in steps {
                prop_assert!(step.train.end <= step.test.start);
                prop_assert!(step.train.len() >= train && step.test.len() <= test && !step.test.is_empty());
                prop_assert!(anchored || step.train.len() == train);
            }
        }
    }
}
