//! Paces the cancelling: again and again until the venue has shown nothing open for long enough. Pure.

use crate::types::Nanos;

/// Looks in a row that must show nothing open.
const CHECKS: u32 = 5;

/// Pause after a look that worked: with one cancel-all and one query for each category it stays under half of the venue's
/// ordinary limit of 10 a second.
const PAUSE_NS: u64 = 250_000_000;

/// First and longest pause after a request that failed.
const FAILED_PAUSE_NS: [u64; 2] = [100_000_000, 2_000_000_000];

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Cancel and look again after this many nanoseconds.
    Again(u64),
    /// Nothing is open, and nothing that was under way can still arrive.
    Done,
}

/// One sweep.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// No earlier is it done: until then requests of the fenced engine may still be accepted.
    not_before: Nanos,
    zero_checks: u32,
    failed_pause_ns: u64,
}

impl Sweep {
    /// Begins; a request of the engine may be accepted by the venue until `not_before`.
    pub fn new(not_before: Nanos) -> Self {
        Self { not_before, zero_checks: 0, failed_pause_ns: FAILED_PAUSE_NS[0] }
    }

    /// Takes the outcome of a cancel-all and a look at `now`: open orders, or `None` if either failed.
    pub fn after(&mut self, now: Nanos, open: Option<usize>) -> Next {
        let Some(open) = open else {
            self.zero_checks = 0;
            let pause_ns = self.failed_pause_ns;
            self.failed_pause_ns = (pause_ns * 2).min(FAILED_PAUSE_NS[1]);
            return Next::Again(pause_ns);
        };
        self.failed_pause_ns = FAILED_PAUSE_NS[0];
        self.zero_checks = if open == 0 { self.zero_checks + 1 } else { 0 };
        if self.zero_checks >= CHECKS && now >= self.not_before { Next::Done } else { Next::Again(PAUSE_NS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_done_after_checks_in_a_row_and_not_before_the_window_has_passed() {
        let mut sweep = Sweep::new(Nanos::new(100));
        for _ in 0..20 {
            assert_eq!(sweep.after(Nanos::new(99), Some(0)), Next::Again(PAUSE_NS));
        }
        assert_eq!(sweep.after(Nanos::new(100), Some(0)), Next::Done);
        let mut sweep = Sweep::new(Nanos::ZERO);
        for late in [Some(1), None] {
            for _ in 0..4 {
                assert_ne!(sweep.after(Nanos::new(1), Some(0)), Next::Done);
            }
            // A late order, or a look that failed: the count begins again.
            assert_ne!(sweep.after(Nanos::new(1), late), Next::Done);
        }
        for _ in 0..4 {
            assert_ne!(sweep.after(Nanos::new(1), Some(0)), Next::Done);
        }
        assert_eq!(sweep.after(Nanos::new(1), Some(0)), Next::Done);
    }

    #[test]
    fn failures_are_retried_soon_at_first_and_for_ever() {
        let mut sweep = Sweep::new(Nanos::ZERO);
        let pauses: Vec<Next> = (0..7).map(|_| sweep.after(Nanos::ZERO, None)).collect();
        let want = [100, 200, 400, 800, 1600, 2000, 2000].map(|ms| Next::Again(ms * 1_000_000));
        assert_eq!(pauses, want);
        sweep.after(Nanos::ZERO, Some(3));
        assert_eq!(sweep.after(Nanos::ZERO, None), want[0]);
    }
}
