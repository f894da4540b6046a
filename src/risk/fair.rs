//! Fair trading: patterns in our own flow that venues and regulators call manipulation are refused before they form.
//!
//! | rule | what it refuses | when |
//! | --- | --- | --- |
//! | order to trade | what grows a position | more than [`FairLimits::requests_per_fill`] requests for each execution of the last minute, once there were [`FairLimits::requests_from`] |
//! | quote stuffing | what grows a position | more than [`FairLimits::requests_per_s`] requests in the running second |
//! | layering | orders on a side | [`FairLimits::layers_max`] times in the last minute a greater order of that side was withdrawn within [`FairLimits::layer_within_ns`] after the other side had been filled |
//! | momentum ignition | takers in a direction | [`FairLimits::takes_max`] of them in the last ten seconds, and the market moved by [`FairLimits::ignition_move`] their way since the first |
//!
//! All instruments have their own counts. Orders that only shrink a position pass all four.

use super::Refusal;
use crate::types::{Lots, Nanos, Rate, Side, Ticks};

/// Limits of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FairLimits {
    /// Most requests for each execution, of a minute. With none executed it counts as one.
    pub requests_per_fill: u32,
    /// Requests of a minute below which their ratio means nothing.
    pub requests_from: u32,
    /// Most requests in a second.
    pub requests_per_s: u32,
    /// Withdrawals after a fill of the other side that are a layer, of a minute.
    pub layers_max: u32,
    /// Time after a fill within which a withdrawal counts, in nanoseconds.
    pub layer_within_ns: u64,
    /// Takers of one direction in ten seconds.
    pub takes_max: u32,
    /// Move of the market since the first of them, as a share of its price.
    pub ignition_move: Rate,
}

impl Default for FairLimits {
    fn default() -> Self {
        Self {
            requests_per_fill: 500,
            requests_from: 1_000,
            requests_per_s: 200,
            layers_max: 10,
            layer_within_ns: 500_000_000,
            takes_max: 20,
            ignition_move: Rate::new(200_000),
        }
    }
}

/// Counts by second of the last `N` seconds. Whoever owns it lets the time pass before it counts.
#[derive(Clone, Copy, Debug)]
struct Seconds<const N: usize> {
    counts: [u32; N],
    total: u32,
}

impl<const N: usize> Seconds<N> {
    const fn new() -> Self {
        Self { counts: [0; N], total: 0 }
    }

    /// The second `now` begins, `passed` after the one before.
    fn pass(&mut self, now: u64, passed: u64) {
        for back in 0..passed.min(N as u64) {
            let slot = &mut self.counts[((now - back) % N as u64) as usize];
            self.total -= std::mem::take(slot);
        }
    }

    #[inline]
    fn add(&mut self, second: u64) {
        if self.total < u32::MAX {
            self.counts[(second % N as u64) as usize] += 1;
            self.total += 1;
        }
    }

    #[inline]
    const fn of(&self, second: u64) -> u32 {
        self.counts[(second % N as u64) as usize]
    }
}

/// The flow of our own requests in one instrument.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The newest second that was told.
    second: u64,
    requests: Seconds<60>,
    fills: Seconds<60>,
    /// Layers by side, and the last fill of each side with its quantity.
    layers: [Seconds<60>; 2],
    filled: [Option<(Nanos, Lots)>; 2],
    takes: [Seconds<10>; 2],
    /// Where the market stood at the first take of a run, by direction.
    first_px: [Option<Ticks>; 2],
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            second: 0,
            requests: Seconds::new(),
            fills: Seconds::new(),
            layers: [Seconds::new(); 2],
            filled: [None; 2],
            takes: [Seconds::new(); 2],
            first_px: [None; 2],
        }
    }
}

impl Flow {
    /// Time has come to `now`: what is older than its window is forgotten.
    #[inline]
    pub fn pass(&mut self, now: Nanos) {
        let second = now.get() / 1_000_000_000;
        if second > self.second {
            self.begin(second);
        }
    }

    #[cold]
    fn begin(&mut self, second: u64) {
        let passed = second - self.second;
        self.second = second;
        self.requests.pass(second, passed);
        self.fills.pass(second, passed);
        for side in 0..2 {
            self.layers[side].pass(second, passed);
            self.takes[side].pass(second, passed);
            if self.takes[side].total == 0 {
                self.first_px[side] = None;
            }
        }
    }

    /// A request has left.
    #[inline]
    pub fn on_request(&mut self, now: Nanos) {
        self.pass(now);
        self.requests.add(self.second);
    }

    /// An order that takes has left, with the market's price at that moment.
    #[inline]
    pub fn on_take(&mut self, side: Side, px: Ticks, now: Nanos) {
        self.pass(now);
        self.takes[side as usize].add(self.second);
        self.first_px[side as usize].get_or_insert(px);
    }

    /// An order of ours was filled.
    #[inline]
    pub fn on_fill(&mut self, side: Side, qty: Lots, now: Nanos) {
        self.pass(now);
        self.fills.add(self.second);
        self.filled[side as usize] = Some((now, qty));
    }

    /// An order is being withdrawn with so much of it open.
    #[inline]
    pub fn on_withdrawal(&mut self, side: Side, open: Lots, now: Nanos, limits: &FairLimits) {
        let Some((at, qty)) = self.filled[side.opposite() as usize] else { return };
        if open > qty && now.saturating_since(at) <= limits.layer_within_ns {
            self.pass(now);
            self.layers[side as usize].add(self.second);
        }
    }

    /// The rule that a new order would break, as of the moment that [`Self::pass`] was told; `px` is the market's price.
    #[inline]
    pub fn verdict(&self, side: Side, takes: bool, px: Ticks, limits: &FairLimits) -> Option<Refusal> {
        let requests = self.requests.total;
        let allowed = u64::from(limits.requests_per_fill) * u64::from(self.fills.total.max(1));
        if requests >= limits.requests_from && u64::from(requests) > allowed {
            return Some(Refusal::OrderToTrade);
        }
        if self.requests.of(self.second) >= limits.requests_per_s {
            return Some(Refusal::QuoteStuffing);
        }
        if self.layers[side as usize].total >= limits.layers_max {
            return Some(Refusal::Layering);
        }
        if takes && self.takes[side as usize].total >= limits.takes_max {
            let moved = self.first_px[side as usize].map_or(0, |first| px.saturating_diff(first) * side.sign());
            if moved > 0 && !super::is_within(moved, px, limits.ignition_move) {
                return Some(Refusal::MomentumIgnition);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FairLimits = FairLimits {
        requests_per_fill: 10,
        requests_from: 20,
        requests_per_s: 100,
        layers_max: 3,
        layer_within_ns: 500_000_000,
        takes_max: 4,
        ignition_move: Rate::new(200_000),
    };

    fn at(ms: u64) -> Nanos {
        Nanos::new(1_000_000_000_000 + ms * 1_000_000)
    }

    fn verdict(flow: &mut Flow, ms: u64) -> Option<Refusal> {
        flow.pass(at(ms));
        flow.verdict(Side::Bid, false, Ticks::new(100_000), &LIMITS)
    }

    #[test]
    fn requests_without_trades_are_refused_and_forgotten_after_a_minute() {
        let mut flow = Flow::default();
        for n in 0..19 {
            flow.on_request(at(n * 100));
        }
        assert_eq!(verdict(&mut flow, 2_000), None, "too few to mean anything");
        flow.on_request(at(2_000));
        assert_eq!(verdict(&mut flow, 2_000), Some(Refusal::OrderToTrade));
        flow.on_fill(Side::Ask, Lots::new(1), at(2_100));
        flow.on_fill(Side::Ask, Lots::new(1), at(2_100));
        assert_eq!(verdict(&mut flow, 2_100), None, "ten for each of two executions");
        flow.on_request(at(2_200));
        assert_eq!(verdict(&mut flow, 2_200), Some(Refusal::OrderToTrade));
        assert_eq!(verdict(&mut flow, 62_000), None);
    }

    #[test]
    fn a_burst_of_requests_is_refused_within_its_second() {
        let limits = FairLimits { requests_from: u32::MAX, ..LIMITS };
        let mut flow = Flow::default();
        for _ in 0..100 {
            assert_eq!(flow.verdict(Side::Bid, false, Ticks::new(1), &limits), None);
            flow.on_request(at(10));
        }
        assert_eq!(flow.verdict(Side::Bid, false, Ticks::new(1), &limits), Some(Refusal::QuoteStuffing));
        flow.pass(at(1_000));
        assert_eq!(flow.verdict(Side::Bid, false, Ticks::new(1), &limits), None);
    }

    /// A large bid pulls the price up, the small ask is filled, the bid goes: three times are a pattern.
    #[test]
    fn large_orders_that_go_when_the_other_side_is_filled_are_layers() {
        let mut flow = Flow::default();
        for n in 0..3 {
            assert_eq!(verdict(&mut flow, n * 2_000), None);
            flow.on_fill(Side::Ask, Lots::new(1), at(n * 2_000));
            flow.on_withdrawal(Side::Bid, Lots::new(50), at(n * 2_000 + 100), &LIMITS);
        }
        assert_eq!(verdict(&mut flow, 6_000), Some(Refusal::Layering));
        assert_eq!(flow.verdict(Side::Ask, false, Ticks::new(1), &LIMITS), None, "the other side is no layer");
        assert_eq!(verdict(&mut flow, 70_000), None);
    }

    /// A market maker withdraws as much as was filled, or later, or without a fill: none of that is a layer.
    #[test]
    fn ordinary_withdrawals_are_no_layers() {
        let mut flow = Flow::default();
        for n in 0..20 {
            flow.on_withdrawal(Side::Bid, Lots::new(50), at(n * 2_000), &LIMITS);
            flow.on_fill(Side::Ask, Lots::new(50), at(n * 2_000 + 10));
            flow.on_withdrawal(Side::Bid, Lots::new(50), at(n * 2_000 + 20), &LIMITS);
            flow.on_withdrawal(Side::Ask, Lots::new(90), at(n * 2_000 + 20), &LIMITS);
            flow.on_withdrawal(Side::Bid, Lots::new(90), at(n * 2_000 + 600), &LIMITS);
        }
        assert_eq!(verdict(&mut flow, 40_000), None);
    }

    #[test]
    fn takers_that_carry_the_market_along_are_refused_in_their_direction() {
        let take = |flow: &mut Flow, side, px, ms| {
            flow.pass(at(ms));
            let verdict = flow.verdict(side, true, Ticks::new(px), &LIMITS);
            if verdict.is_none() {
                flow.on_take(side, Ticks::new(px), at(ms));
            }
            verdict
        };
        let mut flow = Flow::default();
        for n in 0..4 {
            assert_eq!(take(&mut flow, Side::Bid, 100_000 + n * 80, n as u64 * 100), None);
        }
        // 240 ticks up are 24 of 20 allowed hundredths of a percent.
        assert_eq!(take(&mut flow, Side::Bid, 100_240, 500), Some(Refusal::MomentumIgnition));
        assert_eq!(take(&mut flow, Side::Ask, 100_240, 500), None, "the other direction");
        assert_eq!(flow.verdict(Side::Bid, false, Ticks::new(100_240), &LIMITS), None, "a quote takes nothing");
        assert_eq!(take(&mut flow, Side::Bid, 100_100, 600), None, "the market has come back");
        assert_eq!(take(&mut flow, Side::Bid, 101_000, 11_000), None, "ten seconds later it is another run");
        // As many takers in a market that stands still.
        let mut flow = Flow::default();
        for n in 0..40 {
            assert_eq!(take(&mut flow, Side::Bid, 100_000, n * 100), None);
        }
    }
}
