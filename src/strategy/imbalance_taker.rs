//! Takes the touch when the queues lean far enough, and leaves again when they lean back or time is up.
//!
//! The expected move is the distance from the mid to the microprice plus a share of the order flow, which is what queue
//! imbalance predicts over the next moments. It is compared with the bar `edge_bar`, a share of the price. The default
//! bar is what a round trip costs in taker fees and spread, so that a fresh configuration rarely trades; with the bar at
//! zero every signal is taken and fees are paid.

use super::{Forecast, Strategy, Take, View, Wishes};
use crate::types::{Lots, Money, Nanos, Rate, Side, Ticks};

/// Parameters of the imbalance taker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImbalanceTakerConfig {
    /// Quantity of one trade, in the quote currency.
    pub trade_value: Money,
    /// Smoothed queue imbalance beyond which a side is taken, between 0 and 1.
    pub threshold: f64,
    /// Expected move that is demanded beyond the imbalance, as a share of the price; zero takes every signal.
    pub edge_bar: Rate,
    /// Longest time in a position, in nanoseconds.
    pub hold_ns: u64,
    /// Least time between two entries, in nanoseconds.
    pub pause_ns: u64,
}

impl Default for ImbalanceTakerConfig {
    fn default() -> Self {
        Self {
            trade_value: Money::new(200 * Money::ONE.get()),
            threshold: 0.6,
            edge_bar: Rate::new(110_000),
            hold_ns: 2_000_000_000,
            pause_ns: 250_000_000,
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Memory {
    entered_at: Nanos,
    tried_at: Nanos,
}

/// The imbalance taker.
pub struct ImbalanceTaker {
    config: ImbalanceTakerConfig,
    memory: Box<[Memory]>,
}

impl ImbalanceTaker {
    /// Makes a taker for `instruments` instruments.
    pub fn new(config: ImbalanceTakerConfig, instruments: usize) -> Self {
        Self { config, memory: vec![Memory::default(); instruments].into_boxed_slice() }
    }

    /// Takes `qty` from the other side's touch.
    fn take(view: &View<'_>, side: Side, qty: Lots, reduce_only: bool, wishes: &mut Wishes) {
        let Some(level) = view.touch.side(side.opposite()) else { return };
        wishes.take = Some(Take { side, px: level.px, qty, reduce_only });
    }
}

impl Strategy for ImbalanceTaker {
    fn on_market(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        let config = self.config;
        let Some(memory) = self.memory.get_mut(view.instrument.idx()) else { return };
        let is_busy = view.working.iter().any(|qty| !qty.is_zero());
        if is_busy || view.now.saturating_since(memory.tried_at) < config.pause_ns {
            return;
        }
        let lean = view.signals.imbalance_smooth();
        let position = view.position.get();
        if position != 0 {
            let has_turned = lean * (position.signum() as f64) < 0.0;
            if has_turned || view.now.saturating_since(memory.entered_at) >= config.hold_ns {
                memory.tried_at = view.now;
                let side = if position > 0 { Side::Ask } else { Side::Bid };
                Self::take(view, side, view.position.saturating_abs(), true, wishes);
            }
            return;
        }
        if lean.abs() < config.threshold {
            return;
        }
        let mid = view.signals.mid();
        let expected = (view.signals.microprice() - mid).abs();
        let bar = mid * (config.edge_bar.get() as f64 / Rate::ONE.get() as f64);
        if expected < bar {
            return;
        }
        let side = if lean > 0.0 { Side::Bid } else { Side::Ask };
        let one_lot = view.spec.quote_value(Ticks::new(mid as i64), Lots::new(1)).get().max(1);
        let qty = i64::try_from(config.trade_value.get() / one_lot).unwrap_or(i64::MAX).max(view.spec.min_qty.get());
        memory.tried_at = view.now;
        memory.entered_at = view.now;
        // The mid goes to where the queues lean.
        wishes.forecast = Forecast::new(view.signals.microprice(), config.hold_ns);
        Self::take(view, side, Lots::new(qty), false, wishes);
    }

    fn on_timer(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        self.on_market(view, wishes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::{L2Book, Touch};
    use crate::signal::{SignalConfig, Signals};
    use crate::types::{InstrumentId, InstrumentSpec, Level, Product, Step, Symbol, VenueId};

    fn decide(taker: &mut ImbalanceTaker, bid_qty: i64, ask_qty: i64, position: i64, now: u64) -> Option<Take> {
        let step = Step::from_text(b"0.1").unwrap();
        let symbol = Symbol::new(b"X").unwrap();
        let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step, step).unwrap();
        let level = |px, qty| Some(Level { px: Ticks::new(px), qty: Lots::new(qty) });
        let touch = Touch { bid: level(1000, bid_qty), ask: level(1001, ask_qty) };
        let mut signals = Signals::new(&SignalConfig::default());
        signals.on_touch(&touch, Nanos::new(now));
        let view = View {
            instrument: InstrumentId(0),
            spec: &spec,
            now: Nanos::new(now),
            touch: &touch,
            book: &L2Book::new(128, 1),
            signals: &signals,
            ticker: None,
            position: Lots::new(position),
            working: [Lots::ZERO; 2],
        };
        let mut wishes = Wishes::default();
        taker.on_market(&view, &mut wishes);
        wishes.take
    }

    #[test]
    fn takes_the_side_that_the_queues_lean_to_and_leaves_after_its_time() {
        let config = ImbalanceTakerConfig { edge_bar: Rate::ZERO, ..ImbalanceTakerConfig::default() };
        let mut taker = ImbalanceTaker::new(config, 1);
        let second = 1_000_000_000;
        assert_eq!(decide(&mut taker, 5, 5, 0, second), None);
        let entry = decide(&mut taker, 95, 5, 0, second).unwrap();
        assert_eq!((entry.side, entry.px, entry.reduce_only), (Side::Bid, Ticks::new(1001), false));
        assert_eq!(decide(&mut taker, 95, 5, 20, second + 10), None, "it pauses");
        assert_eq!(decide(&mut taker, 95, 5, 20, 2 * second), None, "it holds");
        let exit = decide(&mut taker, 95, 5, 20, 4 * second).unwrap();
        assert_eq!((exit.side, exit.qty, exit.reduce_only), (Side::Ask, Lots::new(20), true));
    }

    #[test]
    fn the_default_bar_asks_for_more_than_a_tick() {
        let mut taker = ImbalanceTaker::new(ImbalanceTakerConfig::default(), 1);
        assert_eq!(decide(&mut taker, 95, 5, 0, 1_000_000_000), None);
    }
}
