//! Rate limits: so many requests of a kind in any second per account, and so many of all kinds from one address.

use crate::types::Nanos;
use std::collections::{BTreeMap, VecDeque};

/// Kinds of requests that are counted apart: one for each endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Create,
    Amend,
    Cancel,
    CreateBatch,
    AmendBatch,
    CancelBatch,
    CancelAll,
    Realtime,
    History,
    Executions,
    Positions,
    ClosedPnl,
    Wallet,
    AccountInfo,
    FeeRate,
    Leverage,
    PositionMode,
    TradingStop,
}

/// What a client is told about its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub limit: u32,
    pub left: u32,
    pub reset_ms: u64,
}

/// The counters of one account. Orders of spot and of contracts are counted apart.
#[derive(Clone, Debug)]
pub(super) struct RateLimiter {
    orders_per_second: u32,
    queries_per_second: u32,
    spent: BTreeMap<(Kind, bool), VecDeque<Nanos>>,
}

impl RateLimiter {
    pub fn new(orders_per_second: u32, queries_per_second: u32) -> Self {
        Self { orders_per_second, queries_per_second, spent: BTreeMap::new() }
    }

    /// Spends up to `units` and returns how many were granted, with what is left.
    pub fn spend(&mut self, kind: Kind, is_spot: bool, units: u32, now: Nanos) -> (u32, Budget) {
        let limit = self.limit(kind, is_spot);
        let spent = self.spent.entry((kind, is_spot)).or_default();
        forget(spent, SECOND_NS, now);
        let granted = units.min(limit.saturating_sub(spent.len() as u32));
        spent.extend((0..granted).map(|_| now));
        // The reset is told only to who has to wait for it.
        let reset = match spent.front() {
            Some(oldest) if granted < units => oldest.saturating_add(SECOND_NS),
            _ => now,
        };
        // Rounded up: at the millisecond that is told, it has come.
        let reset_ms = reset.get().div_ceil(1_000_000);
        let reset_ms = if granted < units { reset_ms } else { now.as_millis() };
        (granted, Budget { limit, left: limit.saturating_sub(spent.len() as u32), reset_ms })
    }

    /// The venue's ordinary numbers have these proportions.
    fn limit(&self, kind: Kind, is_spot: bool) -> u32 {
        match kind {
            Kind::Create | Kind::Cancel | Kind::CreateBatch | Kind::CancelBatch | Kind::CancelAll if is_spot => {
                self.orders_per_second.saturating_mul(2)
            }
            Kind::Create
            | Kind::Amend
            | Kind::Cancel
            | Kind::CreateBatch
            | Kind::AmendBatch
            | Kind::CancelBatch
            | Kind::CancelAll
            | Kind::Leverage
            | Kind::PositionMode
            | Kind::TradingStop => self.orders_per_second,
            Kind::FeeRate => (self.queries_per_second / 10).max(1),
            Kind::Realtime
            | Kind::History
            | Kind::Executions
            | Kind::Positions
            | Kind::ClosedPnl
            | Kind::Wallet
            | Kind::AccountInfo => self.queries_per_second,
        }
    }
}

/// What the venue lets one address do. Every client counts as the same one.
#[derive(Clone, Debug)]
pub(super) struct AddressLimit {
    http_per_5s: u32,
    ban_ns: u64,
    trade_per_second: u32,
    http: VecDeque<Nanos>,
    trade: VecDeque<Nanos>,
    banned_until: Nanos,
}

impl AddressLimit {
    pub fn new(http_per_5s: u32, ban_ns: u64, trade_per_second: u32) -> Self {
        let (http, trade, banned_until) = (VecDeque::new(), VecDeque::new(), Nanos::ZERO);
        Self { http_per_5s, ban_ns, trade_per_second, http, trade, banned_until }
    }

    pub fn is_banned(&self, now: Nanos) -> bool {
        now < self.banned_until
    }

    /// Counts an HTTP request; false if it is one too many, and then nothing is answered for a while.
    pub fn admit_http(&mut self, now: Nanos) -> bool {
        if self.is_banned(now) {
            return false;
        }
        forget(&mut self.http, 5 * SECOND_NS, now);
        if self.http.len() >= self.http_per_5s as usize {
            self.banned_until = now.saturating_add(self.ban_ns);
            self.http.clear();
            return false;
        }
        self.http.push_back(now);
        true
    }

    /// Counts an order request over a WebSocket.
    pub fn admit_trade(&mut self, now: Nanos) -> bool {
        forget(&mut self.trade, SECOND_NS, now);
        let fits = self.trade.len() < self.trade_per_second as usize;
        if fits {
            self.trade.push_back(now);
        }
        fits
    }
}

/// Drops what is `window_ns` old or older, and what lies in the future: the clock was set back.
fn forget(spent: &mut VecDeque<Nanos>, window_ns: u64, now: Nanos) {
    while spent.front().is_some_and(|at| now.saturating_since(*at) >= window_ns) {
        spent.pop_front();
    }
    while spent.back().is_some_and(|at| *at > now) {
        spent.pop_back();
    }
}

const SECOND_NS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_second_has_its_budget_per_endpoint_and_product() {
        let mut limiter = RateLimiter::new(2, 50);
        let ms = Nanos::from_millis;
        assert_eq!(limiter.spend(Kind::Create, false, 1, ms(5_000)).1.left, 1);
        assert_eq!(
            limiter.spend(Kind::Create, false, 3, ms(5_600)),
            (1, Budget { limit: 2, left: 0, reset_ms: 6_000 })
        );
        for other in [Kind::Cancel, Kind::CreateBatch, Kind::CancelAll] {
            assert_eq!(limiter.spend(other, false, 1, ms(5_600)).0, 1);
        }
        assert_eq!(
            limiter.spend(Kind::Create, true, 5, ms(5_600)).0,
            4,
            "spot is counted apart, and has twice as much"
        );
        assert_eq!(limiter.spend(Kind::Amend, true, 5, ms(5_600)).0, 2);
        assert_eq!(limiter.spend(Kind::Create, false, 1, ms(5_999)).0, 0);
        assert_eq!(limiter.spend(Kind::Create, false, 2, ms(6_000)).0, 1, "the window rolls: one has come back");
        assert_eq!(limiter.spend(Kind::Create, false, 1, ms(6_599)).0, 0);
        assert_eq!(limiter.spend(Kind::Create, false, 1, ms(6_600)).0, 1);
        assert_eq!(limiter.spend(Kind::FeeRate, false, 9, ms(6_600)).0, 5);
    }

    #[test]
    fn an_address_that_asks_too_much_is_shut_out_for_a_while() {
        let mut address = AddressLimit::new(3, 10_000_000_000, 2);
        let ms = Nanos::from_millis;
        assert!((0..3).all(|_| address.admit_http(ms(0))));
        assert!(!address.admit_http(ms(4_999)));
        assert!(address.is_banned(ms(14_998)) && !address.admit_http(ms(14_998)), "asking again changes nothing");
        assert!(address.admit_http(ms(14_999)));
        let admitted = [0, 0, 0, 999, 1_000].map(|at| address.admit_trade(ms(at)));
        assert_eq!(admitted, [true, true, false, false, true]);
    }
}
