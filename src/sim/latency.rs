//! How long messages are under way, in virtual time.
//!
//! Each way (the feed's, an order's, the news') has a [`Latency`] of its own. Whatever it draws, a way keeps the order of its
//! messages, as one connection does: [`Way`] lets none overtake another.

use std::sync::Arc;

use super::rng::Rng;
use crate::types::Nanos;

/// A model of one way. Times are nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Always the same.
    Constant(u64),
    /// Drawn from recorded ones, each as likely as any other, by a seeded generator: the same draws in every run.
    Drawn(Arc<[u64]>),
    /// Recorded ones in their sequence, over and over.
    Sequence(Arc<[u64]>),
    /// A base, and before it the wait for a server that takes `service_ns` for each message: a burst queues.
    Load {
        /// Without any wait.
        base_ns: u64,
        /// For each message.
        service_ns: u64,
    },
}

impl Latency {
    /// The shortest that it can give.
    pub fn min_ns(&self) -> u64 {
        match self {
            Self::Constant(ns) => *ns,
            Self::Drawn(recorded) | Self::Sequence(recorded) => recorded.iter().copied().min().unwrap_or(0),
            Self::Load { base_ns, service_ns } => base_ns.saturating_add(*service_ns),
        }
    }
}

/// One way, with the messages that are on it.
#[derive(Clone, Debug)]
pub struct Way {
    latency: Latency,
    min_ns: u64,
    rng: Rng,
    next: usize,
    /// When the server of [`Latency::Load`] is free again.
    free_at: Nanos,
    /// When the newest message arrives.
    newest: Nanos,
}

impl Way {
    /// Makes a way without messages. `seed` starts its draws; a latency is at least `least_ns`.
    pub fn new(latency: Latency, seed: u64, least_ns: u64) -> Self {
        let min_ns = latency.min_ns().max(least_ns);
        Self { latency, min_ns, rng: Rng::new(seed), next: 0, free_at: Nanos::ZERO, newest: Nanos::ZERO }
    }

    /// The shortest latency.
    #[inline]
    pub fn min_ns(&self) -> u64 {
        self.min_ns
    }

    /// Whether messages are not under way at all.
    #[inline]
    pub fn is_instant(&self) -> bool {
        self.latency == Latency::Constant(0) && self.min_ns == 0
    }

    /// When a message that leaves at `at` arrives: never before one that left earlier.
    #[inline]
    pub fn arrival(&mut self, at: Nanos) -> Nanos {
        let latency_ns = match &self.latency {
            Latency::Constant(ns) => *ns,
            Latency::Drawn(recorded) => {
                let idx = self.rng.below(recorded.len() as u64) as usize;
                recorded.get(idx).copied().unwrap_or(0)
            }
            Latency::Sequence(recorded) => {
                let ns = recorded.get(self.next).copied().unwrap_or(0);
                self.next = (self.next + 1) % recorded.len().max(1);
                ns
            }
            Latency::Load { base_ns, service_ns } => {
                self.free_at = self.free_at.max(at).saturating_add(*service_ns);
                self.free_at.saturating_since(at).saturating_add(*base_ns)
            }
        };
        self.newest = self.newest.max(at.saturating_add(latency_ns.max(self.min_ns)));
        self.newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arrivals(latency: Latency, leaves: &[u64]) -> Vec<u64> {
        let mut way = Way::new(latency, 7, 0);
        leaves.iter().map(|&at| way.arrival(Nanos::new(at)).get()).collect()
    }

    #[test]
    fn each_model_by_its_numbers() {
        assert_eq!(arrivals(Latency::Constant(5), &[0, 1, 1, 9]), [5, 6, 6, 14]);
        assert_eq!(arrivals(Latency::Sequence([10, 1, 3].into()), &[0, 2, 20, 30]), [10, 10, 23, 40]);
        // Three at once wait for each other, the fourth for nobody.
        assert_eq!(arrivals(Latency::Load { base_ns: 100, service_ns: 10 }, &[0, 0, 5, 500]), [110, 120, 130, 610]);
        assert_eq!(Latency::Load { base_ns: 100, service_ns: 10 }.min_ns(), 110);
        assert_eq!(Way::new(Latency::Constant(0), 7, 1).arrival(Nanos::new(3)), Nanos::new(4));
    }

    #[test]
    fn draws_have_the_recorded_frequencies_and_repeat() {
        let recorded: Arc<[u64]> = [1, 1, 1, 100].into();
        let leaves: Vec<u64> = (0..40_000).map(|n| n * 1_000).collect();
        let found = arrivals(Latency::Drawn(recorded.clone()), &leaves);
        let slow = found.iter().zip(&leaves).filter(|(arrives, leaves)| *arrives - *leaves == 100).count();
        assert!((9_500..10_500).contains(&slow), "a quarter of 40,000: {slow}");
        assert_eq!(found, arrivals(Latency::Drawn(recorded), &leaves));
    }

    proptest! {
        #[test]
        fn no_message_overtakes_another_or_beats_the_least(
            kind in 0usize..4,
            recorded in proptest::collection::vec(0u64..1_000, 1..9),
            steps in proptest::collection::vec(0u64..500, 1..60),
        ) {
            let recorded: Arc<[u64]> = recorded.into();
            let latency = match kind {
                0 => Latency::Constant(recorded[0]),
                1 => Latency::Drawn(recorded),
                2 => Latency::Sequence(recorded),
                _ => Latency::Load { base_ns: recorded[0], service_ns: 40 },
            };
            let mut way = Way::new(latency, 3, 1);
            let (mut at, mut last) = (0, 0);
            for step in steps {
                at += step;
                let arrives = way.arrival(Nanos::new(at)).get();
                prop_assert!(arrives >= last && arrives >= at + way.min_ns());
                last = arrives;
            }
        }
    }
}
