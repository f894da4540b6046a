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

    /// Whether a token is there beside `reserve_ns` worth of refill.
    #[inline]
    fn has(&mut self, reserve_ns: u64, now: Nanos) -> bool {
        self.refill(now);
        self.filled_ns >= self.token_ns.saturating_add(reserve_ns)
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

/// Requests per second that the venue allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// New orders of the account.
    pub create_per_s: u32,
    /// Amendments of the account.
    pub amend_per_s: u32,
    /// Cancellations of the account.
    pub cancel_per_s: u32,
    /// Requests of all kinds of this connection and address.
    pub address_per_s: u32,
}

impl Default for RateLimits {
    /// Bybit's default for linear contracts: ten a second of each; and of what it allows an address, 3,000, a third: other
    /// programs may share it.
    fn default() -> Self {
        Self { create_per_s: 10, amend_per_s: 10, cancel_per_s: 10, address_per_s: 1_000 }
    }
}

/// What a request is, to the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spend {
    /// A new order.
    Create,
    /// An amendment.
    Amend,
    /// A cancellation because something else is wanted. It leaves the reserve alone.
    Cancel,
    /// A cancellation because trading stops or is held. It may spend the reserve.
    UrgentCancel,
}

/// First pause after the venue has said that we ask too much; it doubles with each further word.
const PAUSE_NS: u64 = 250_000_000;

/// Times that the pause doubles at most: to eight seconds.
const PAUSE_DOUBLINGS_MAX: u32 = 5;

/// Without another word for so long the pause halves again.
const FORGIVEN_AFTER_NS: u64 = 10_000_000_000;

/// What may still be sent now.
///
/// Two buckets pay for each request: the one of its kind, which the venue counts by account, and the one of connection and
/// address. A quarter of the latter and one token of the cancellations are kept for urgent cancellations, so that these
/// always find something. A word of the venue about our rate stops new orders and amendments for a time that doubles
/// with each further one; cancellations go on.
#[derive(Clone, Copy, Debug)]
pub struct RateBudget {
    create: TokenBucket,
    amend: TokenBucket,
    cancel: TokenBucket,
    address: TokenBucket,
    paused_until: Nanos,
    warned_at: Nanos,
    doublings: u32,
    warnings: u64,
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
            address: bucket(limits.address_per_s),
            paused_until: Nanos::ZERO,
            warned_at: Nanos::ZERO,
            doublings: 0,
            warnings: 0,
        }
    }

    fn kind(&mut self, spend: Spend) -> &mut TokenBucket {
        match spend {
            Spend::Create => &mut self.create,
            Spend::Amend => &mut self.amend,
            Spend::Cancel | Spend::UrgentCancel => &mut self.cancel,
        }
    }

    /// Takes what a request costs, if all of it is there.
    #[inline]
    pub fn try_take(&mut self, spend: Spend, now: Nanos) -> bool {
        let is_new = matches!(spend, Spend::Create | Spend::Amend);
        if is_new && now < self.paused_until {
            return false;
        }
        let address_reserve = if spend == Spend::UrgentCancel { 0 } else { self.address.full_ns / 4 };
        // A bucket of one token has nothing to set aside.
        let cancel_reserve =
            if spend == Spend::Cancel { self.cancel.full_ns.saturating_sub(self.cancel.token_ns) } else { 0 };
        let reserve = cancel_reserve.min(self.cancel.token_ns);
        if !self.address.has(address_reserve, now) || !self.kind(spend).has(reserve, now) {
            return false;
        }
        self.address.try_take(now) && self.kind(spend).try_take(now)
    }

    /// Gives back what a request would have cost that was not sent.
    #[inline]
    pub fn give_back(&mut self, spend: Spend) {
        self.address.give_back();
        self.kind(spend).give_back();
    }

    /// Corrects a kind downwards: the venue says that it has only `left`.
    #[inline]
    pub fn at_most(&mut self, spend: Spend, left: u32, now: Nanos) {
        self.kind(spend).at_most(left, now);
    }

    /// The venue says that we ask too much, or that it is overloaded.
    #[cold]
    pub fn slow_down(&mut self, now: Nanos) {
        self.warnings += 1;
        let quiet = now.saturating_since(self.warned_at) / FORGIVEN_AFTER_NS;
        self.doublings = self.doublings.saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX));
        // Several requests of one burst are one word.
        if now >= self.paused_until {
            self.paused_until = now.saturating_add(PAUSE_NS << self.doublings);
            self.doublings = (self.doublings + 1).min(PAUSE_DOUBLINGS_MAX);
        }
        self.warned_at = now;
        self.create.at_most(0, now);
        self.amend.at_most(0, now);
    }

    /// Whole requests of a kind that the buckets hold, as of the last one: the lesser of kind and address.
    pub fn left(&self, spend: Spend) -> u64 {
        let kind = match spend {
            Spend::Create => &self.create,
            Spend::Amend => &self.amend,
            Spend::Cancel | Spend::UrgentCancel => &self.cancel,
        };
        [kind, &self.address].map(|bucket| bucket.filled_ns / bucket.token_ns.max(1)).into_iter().min().unwrap_or(0)
    }

    /// How often the venue said that we ask too much.
    pub fn warnings(&self) -> u64 {
        self.warnings
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
            let limits = RateLimits { create_per_s: per_s, ..RateLimits::default() };
            let mut budget = RateBudget::new(&limits);
            let start = 1_000_000_000_000u64;
            let sent: Vec<u64> = (0..4000)
                .map(|ms| start + ms * 1_000_000)
                .filter(|&t| budget.try_take(Spend::Create, Nanos::new(t)))
                .collect();
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

    #[test]
    fn urgent_cancels_find_what_routine_ones_leave() {
        let mut budget = RateBudget::new(&RateLimits::default());
        let now = Nanos::new(1_000_000_000_000);
        let routine = (0..20).filter(|_| budget.try_take(Spend::Cancel, now)).count();
        let urgent = (0..20).filter(|_| budget.try_take(Spend::UrgentCancel, now)).count();
        assert_eq!((routine, urgent), (2, 1));
    }

    #[test]
    fn the_address_keeps_a_quarter_for_urgent_cancels() {
        let limits =
            RateLimits { create_per_s: 1_000, cancel_per_s: 1_000, address_per_s: 30, ..RateLimits::default() };
        let mut budget = RateBudget::new(&limits);
        let now = Nanos::new(1_000_000_000_000);
        let created = (0..100).filter(|_| budget.try_take(Spend::Create, now)).count();
        let urgent = (0..100).filter(|_| budget.try_take(Spend::UrgentCancel, now)).count();
        assert_eq!((created, urgent), (7, 3));
    }

    #[test]
    fn a_warning_stops_what_is_new_for_longer_each_time_and_never_a_cancel() {
        let mut budget = RateBudget::new(&RateLimits::default());
        let at = |ms: u64| Nanos::new(1_000_000_000_000 + ms * 1_000_000);
        let pause_of = |budget: &mut RateBudget, from: u64| {
            budget.slow_down(at(from));
            // Others of the same burst change nothing.
            budget.slow_down(at(from + 1));
            assert!(budget.try_take(Spend::UrgentCancel, at(from + 1)));
            (from..from + 20_000).find(|&ms| budget.try_take(Spend::Create, at(ms))).map(|ms| ms - from)
        };
        assert_eq!(pause_of(&mut budget, 0), Some(250));
        assert_eq!(pause_of(&mut budget, 2_000), Some(500));
        assert_eq!(pause_of(&mut budget, 4_000), Some(1_000));
        // Thirty quiet seconds forgive three of them.
        assert_eq!(pause_of(&mut budget, 36_000), Some(250));
        assert_eq!(budget.warnings(), 8);
    }
}
