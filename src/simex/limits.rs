//! Rate limits per account: so many requests of a kind in a second.

use crate::types::Nanos;

/// Kinds of requests that are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Create,
    Amend,
    Cancel,
    CancelAll,
    Query,
    Leverage,
}

/// What a client is told about its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub limit: u32,
    pub left: u32,
    pub reset_ms: u64,
}

/// The counters of one account.
#[derive(Clone, Debug)]
pub(super) struct RateLimiter {
    windows: [Window; 6],
}

#[derive(Clone, Copy, Debug)]
struct Window {
    limit: u32,
    start: Nanos,
    used: u32,
}

impl RateLimiter {
    pub fn new(orders_per_second: u32, queries_per_second: u32) -> Self {
        let window = |limit| Window { limit, start: Nanos::ZERO, used: 0 };
        let [orders, queries] = [window(orders_per_second), window(queries_per_second)];
        Self { windows: [orders, orders, orders, orders, queries, orders] }
    }

    /// Spends up to `units` and returns how many were granted, with what is left.
    pub fn spend(&mut self, kind: Kind, units: u32, now: Nanos) -> (u32, Budget) {
        let window = &mut self.windows[kind as usize];
        if now.saturating_since(window.start) >= SECOND_NS || now < window.start {
            (window.start, window.used) = (now, 0);
        }
        let granted = units.min(window.limit - window.used);
        window.used += granted;
        // The reset is told only to who has to wait for it.
        let reset = if granted < units { window.start.saturating_add(SECOND_NS) } else { now };
        (granted, Budget { limit: window.limit, left: window.limit - window.used, reset_ms: reset.as_millis() })
    }
}

const SECOND_NS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_budget_per_kind() {
        let mut limiter = RateLimiter::new(2, 50);
        let at = Nanos::from_millis(5_000);
        assert_eq!(limiter.spend(Kind::Create, 1, at).1.left, 1);
        assert_eq!(limiter.spend(Kind::Create, 3, at), (1, Budget { limit: 2, left: 0, reset_ms: 6_000 }));
        assert_eq!(limiter.spend(Kind::Cancel, 1, at).0, 1);
        assert_eq!(limiter.spend(Kind::Create, 1, Nanos::from_millis(5_999)).0, 0);
        assert_eq!(limiter.spend(Kind::Create, 1, Nanos::from_millis(6_000)).0, 1);
    }
}
