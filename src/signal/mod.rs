//! Turns touches and trades into numbers that strategies decide on.
//!
//! Thread: core. Allocates: never. Blocks: never. Signals are `f64`, in ticks and lots; money is decided elsewhere.
//! Only the four basic operations and comparisons are used, which IEEE 754 defines exactly, so that a replay gives the
//! same bytes on any machine: no `exp`, no `ln` on this path.

mod ewma;

pub use ewma::{DecayedSum, Ewma};

use crate::book::Touch;
use crate::types::{Level, Nanos, Side, Trade};

/// Time constants of the signals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignalConfig {
    /// Memory of the realised variance, in nanoseconds.
    pub variance_tau_ns: u64,
    /// Memory of the order-flow imbalance, in nanoseconds.
    pub flow_tau_ns: u64,
    /// Memory of the smoothed queue imbalance and of the trade intensity, in nanoseconds.
    pub smooth_tau_ns: u64,
}

impl Default for SignalConfig {
    fn default() -> Self {
        Self { variance_tau_ns: 30_000_000_000, flow_tau_ns: 1_000_000_000, smooth_tau_ns: 500_000_000 }
    }
}

/// The signals of one instrument.
#[derive(Clone, Debug)]
pub struct Signals {
    last: Touch,
    mid: f64,
    microprice: f64,
    imbalance: f64,
    variance: DecayedSum,
    flow: DecayedSum,
    imbalance_smooth: Ewma,
    traded: DecayedSum,
}

impl Signals {
    /// Makes signals that have seen nothing.
    pub fn new(config: &SignalConfig) -> Self {
        Self {
            last: Touch::default(),
            mid: 0.0,
            microprice: 0.0,
            imbalance: 0.0,
            variance: DecayedSum::new(config.variance_tau_ns),
            flow: DecayedSum::new(config.flow_tau_ns),
            imbalance_smooth: Ewma::new(config.smooth_tau_ns),
            traded: DecayedSum::new(config.smooth_tau_ns),
        }
    }

    /// Forgets the last touch, so that a jump over a gap in the data is not taken for a move of the market.
    pub fn forget_touch(&mut self) {
        self.last = Touch::default();
    }

    /// Takes a new touch. Ignored while a side is empty or the touch is crossed.
    #[inline]
    pub fn on_touch(&mut self, touch: &Touch, at: Nanos) {
        let (Some(bid), Some(ask)) = (touch.bid, touch.ask) else { return };
        if bid.px >= ask.px {
            return;
        }
        let (bid_px, ask_px) = (bid.px.get() as f64, ask.px.get() as f64);
        let (bid_qty, ask_qty) = (bid.qty.get() as f64, ask.qty.get() as f64);
        let qty = bid_qty + ask_qty;
        let mid = (bid_px + ask_px) * 0.5;
        self.microprice = (bid_px * ask_qty + ask_px * bid_qty) / qty;
        self.imbalance = (bid_qty - ask_qty) / qty;
        self.imbalance_smooth.update(self.imbalance, at);
        if let (Some(bid_before), Some(ask_before)) = (self.last.bid, self.last.ask) {
            let step = mid - self.mid;
            if step != 0.0 {
                self.variance.add(step * step, at);
            }
            self.flow.add(flow_of(bid_before, bid, Side::Bid) - flow_of(ask_before, ask, Side::Ask), at);
        }
        self.mid = mid;
        self.last = *touch;
    }

    /// Takes a public trade.
    #[inline]
    pub fn on_trade(&mut self, trade: &Trade) {
        self.traded.add(trade.qty.get() as f64 * trade.taker.sign() as f64, trade.meta.recv);
    }

    /// Middle of the touch, in ticks; 0 before the first touch.
    #[inline]
    pub fn mid(&self) -> f64 {
        self.mid
    }

    /// Touch weighted by the opposite quantities, in ticks (Gatheral and Oomen's "micro-price" of first order).
    #[inline]
    pub fn microprice(&self) -> f64 {
        self.microprice
    }

    /// Queue imbalance of the touch: −1 all offers, +1 all bids.
    #[inline]
    pub fn imbalance(&self) -> f64 {
        self.imbalance
    }

    /// Queue imbalance smoothed over time.
    #[inline]
    pub fn imbalance_smooth(&self) -> f64 {
        self.imbalance_smooth.value()
    }

    /// Realised variance of the mid in ticks² per second, up to `now`.
    #[inline]
    pub fn variance_per_s(&self, now: Nanos) -> f64 {
        self.variance.rate_per_s(now)
    }

    /// Order-flow imbalance of the touch in lots per second (Cont, Kukanov and Stoikov 2014): positive is buying.
    #[inline]
    pub fn flow_per_s(&self, now: Nanos) -> f64 {
        self.flow.rate_per_s(now)
    }

    /// Signed traded lots per second: positive is buying.
    #[inline]
    pub fn traded_per_s(&self, now: Nanos) -> f64 {
        self.traded.rate_per_s(now)
    }
}

/// What one side's best level says of the flow: quantity that came less quantity that went.
#[inline]
fn flow_of(before: Level, after: Level, side: Side) -> f64 {
    let better = after.px.saturating_diff(before.px) * side.sign();
    let came = if better >= 0 { after.qty.get() as f64 } else { 0.0 };
    let went = if better <= 0 { before.qty.get() as f64 } else { 0.0 };
    came - went
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Lots, Ticks};

    fn touch(bid: (i64, i64), ask: (i64, i64)) -> Touch {
        let level = |(px, qty)| Some(Level { px: Ticks::new(px), qty: Lots::new(qty) });
        Touch { bid: level(bid), ask: level(ask) }
    }

    #[test]
    fn microprice_leans_to_the_thin_side() {
        let mut signals = Signals::new(&SignalConfig::default());
        signals.on_touch(&touch((100, 9), (102, 1)), Nanos::new(1));
        assert_eq!(signals.mid(), 101.0);
        assert_eq!(signals.microprice(), 101.8);
        assert_eq!(signals.imbalance(), 0.8);
    }

    #[test]
    fn order_flow_follows_the_definition() {
        let bid = |px, qty| Level { px: Ticks::new(px), qty: Lots::new(qty) };
        assert_eq!(flow_of(bid(100, 5), bid(100, 8), Side::Bid), 3.0);
        assert_eq!(flow_of(bid(100, 5), bid(101, 8), Side::Bid), 8.0);
        assert_eq!(flow_of(bid(100, 5), bid(99, 8), Side::Bid), -5.0);
        // An ask that falls is better for that side: quantity came.
        assert_eq!(flow_of(bid(102, 5), bid(101, 8), Side::Ask), 8.0);
    }

    #[test]
    fn variance_of_a_steady_walk_is_its_rate() {
        let mut signals = Signals::new(&SignalConfig { variance_tau_ns: 1_000_000_000, ..SignalConfig::default() });
        let mut now = Nanos::new(0);
        for step in 0..20_000i64 {
            // One tick up or down every millisecond: 1,000 ticks² per second.
            signals.on_touch(&touch((100 + step % 2, 1), (102 + step % 2, 1)), now);
            now = now.saturating_add(1_000_000);
        }
        let rate = signals.variance_per_s(now);
        assert!((900.0..1100.0).contains(&rate), "{rate}");
    }

    #[test]
    fn crossed_and_one_sided_touches_change_nothing() {
        let mut signals = Signals::new(&SignalConfig::default());
        signals.on_touch(&touch((100, 1), (101, 1)), Nanos::new(1));
        signals.on_touch(&touch((105, 1), (101, 1)), Nanos::new(2));
        signals.on_touch(&Touch { bid: None, ..touch((1, 1), (50, 1)) }, Nanos::new(3));
        assert_eq!(signals.mid(), 100.5);
    }
}
