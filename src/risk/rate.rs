//! The venue's rate limits, mirrored as token buckets on engine time.

use crate::types::Nanos;

/// A bucket of tokens that refills evenly.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    /// Nanoseconds worth of refill in the bucket; one token is `token_ns`.
    filled_ns: u64,
    full_ns: u64,
    token_ns: u64,
    at: Nanos,
}

impl TokenBucket {
    /// Makes a full bucket that holds `burst` tokens and refills `per_s` a second (both at least one).
    pub fn new(per_s: u32, burst: u32) -> Self {
        let token_ns = 1_000_000_000 / u64::from(per_s.max(1));
        let full_ns = token_ns * u64::from(burst.max(1));
        Self { filled_ns: full_ns, full_ns, token_ns, at: Nanos::ZERO }
    }

    #[inline]
    fn refill(&mut self, now: Nanos) {
        let since = now.saturating_since(self.at);
        self.filled_ns = self.filled_ns.saturating_add(since).min(self.full_ns);
        self.at = self.at.max(now);
    }

    /// Takes a token if there is one.
    #[inline]
    pub fn try_take(&mut self, now: Nanos) -> bool {
        self.refill(now);
        match self.filled_ns.checked_sub(self.token_ns) {
            Some(rest) => {
                self.filled_ns = rest;
                true
            }
            None => false,
        }
    }

    /// Gives a token back that was not used.
    #[inline]
    pub fn give_back(&mut self) {
        self.filled_ns = (self.filled_ns + self.token_ns).min(self.full_ns);
    }

    /// Corrects the bucket downwards: the venue says that it has only `left`.
    #[inline]
    pub fn at_most(&mut self, left: u32, now: Nanos) {
        self.refill(now);
        self.filled_ns = self.filled_ns.min(self.token_ns.saturating_mul(u64::from(left)));
    }
}

/// Requests per second that the venue allows, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// New orders per second.
    pub create_per_s: u32,
    /// Amendments per second.
    pub amend_per_s: u32,
    /// Cancellations per second.
    pub cancel_per_s: u32,
}

impl Default for RateLimits {
    /// Bybit's default for linear contracts: ten a second of each.
    fn default() -> Self {
        Self { create_per_s: 10, amend_per_s: 10, cancel_per_s: 10 }
    }
}

/// What may still be sent now.
#[derive(Clone, Copy, Debug)]
pub struct RateBudget {
    /// New orders.
    pub create: TokenBucket,
    /// Amendments.
    pub amend: TokenBucket,
    /// Cancellations.
    pub cancel: TokenBucket,
}

impl RateBudget {
    /// Makes full buckets. A bucket holds a third of a second's worth and refills with the rest, so that no rolling
    /// second, which is what the venue counts, sees more than its limit (a limit of one a second apart, which allows two).
    pub fn new(limits: &RateLimits) -> Self {
        let bucket = |per_s: u32| {
            let burst = (per_s / 3).max(1);
            TokenBucket::new(per_s.saturating_sub(burst), burst)
        };
        Self {
            create: bucket(limits.create_per_s),
            amend: bucket(limits.amend_per_s),
            cancel: bucket(limits.cancel_per_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_allows_its_burst_and_then_its_rate() {
        let mut bucket = TokenBucket::new(10, 3);
        let start = Nanos::new(1_000_000_000_000);
        let taken = (0..10).filter(|_| bucket.try_take(start)).count();
        assert_eq!(taken, 3);
        let later = (1..=1000u64).filter(|ms| bucket.try_take(start.saturating_add(ms * 1_000_000))).count();
        assert_eq!(later, 10);
    }

    #[test]
    fn no_rolling_second_exceeds_the_limit() {
        for per_s in [1u32, 2, 10, 20, 100] {
            let limits = RateLimits { create_per_s: per_s, amend_per_s: per_s, cancel_per_s: per_s };
            let mut budget = RateBudget::new(&limits);
            let start = 1_000_000_000_000u64;
            let sent: Vec<u64> =
                (0..4000).map(|ms| start + ms * 1_000_000).filter(|&t| budget.create.try_take(Nanos::new(t))).collect();
            for (idx, &from) in sent.iter().enumerate() {
                let within = sent[idx..].iter().take_while(|&&t| t < from + 1_000_000_000).count();
                assert!(within as u32 <= per_s.max(2), "{within} of {per_s}");
            }
            assert!(sent.len() as u32 >= 4 * per_s / 2, "the budget is used: {} of {per_s}", sent.len());
        }
    }

    #[test]
    fn the_venue_may_correct_downwards_only() {
        let mut bucket = TokenBucket::new(10, 5);
        let now = Nanos::new(1);
        bucket.at_most(1, now);
        assert!(bucket.try_take(now));
        assert!(!bucket.try_take(now));
        bucket.at_most(100, now);
        assert!(!bucket.try_take(now));
        bucket.give_back();
        assert!(bucket.try_take(now));
    }
}
