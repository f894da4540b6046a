//! What closes a position within a bound: direction, price and quantity of one order, in integers. Pure.

use crate::types::{InstrumentSpec, Lots, Money, Rate, Side, Step, Symbol, Ticks};

/// A position that the venue shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Of which contract.
    pub symbol: Symbol,
    /// Signed size in the base coin.
    pub size: Money,
    /// Whether it is the only one of its contract; otherwise it is one side of a hedged pair.
    pub is_one_way: bool,
}

impl Held {
    /// The side that shrinks it.
    pub fn closing_side(&self) -> Side {
        if self.size > Money::ZERO { Side::Ask } else { Side::Bid }
    }
}

/// How positions are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseTerms {
    /// Farthest distance of an order from the best opposite price, as a share of that.
    pub slippage: Rate,
    /// Time from the first look at positions to the last order, in nanoseconds.
    pub within_ns: u64,
    /// How long an order that was sent without an answer may still arrive, in nanoseconds.
    pub doubt_ns: u64,
}

/// What an order needs to know of a contract: its steps and the best price that it can trade with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Steps and bounds.
    pub spec: InstrumentSpec,
    /// Best bid if the position is long, best ask if it is short; `None`: nobody is there.
    pub best_px: Option<Money>,
}

/// One reduce-only immediate-or-cancel limit order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseOrder {
    /// Of this contract.
    pub spec: InstrumentSpec,
    /// Direction.
    pub side: Side,
    /// Limit.
    pub px: Ticks,
    /// Quantity, no more than the contract's greatest of one order.
    pub qty: Lots,
}

/// Why no order can close a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotClose {
    /// Positions of both directions can be held.
    #[error("it is one side of a hedged pair, allowed are positions in one-way mode")]
    Hedged,
    /// Nobody is there.
    #[error("nobody is there to trade with")]
    NoPrice,
    /// Between two ticks.
    #[error("the best price {found} is not a positive number of ticks")]
    OffTick {
        /// What was found.
        found: Money,
    },
    /// Less than one lot.
    #[error("{found} is less than a lot")]
    NoLot {
        /// What was found.
        found: Money,
    },
}

impl CloseOrder {
    /// The order that closes `held`, or as much of it as one order may.
    ///
    /// # Errors
    /// [`CannotClose`].
    pub fn of(held: &Held, quote: &Quote, slippage: Rate) -> Result<Self, CannotClose> {
        if !held.is_one_way {
            return Err(CannotClose::Hedged);
        }
        let best = quote.best_px.ok_or(CannotClose::NoPrice)?;
        let ticks = whole(best, quote.spec.tick).filter(|ticks| *ticks > 0);
        let ticks = ticks.ok_or(CannotClose::OffTick { found: best })?;
        let side = held.closing_side();
        let px = closing_px(side, Ticks::new(ticks), slippage);
        let size = held.size.max(held.size.saturating_neg());
        // What is left between two lots stays, and is told.
        let lots = Lots::new(i64::try_from(size.get() / quote.spec.lot.pico()).unwrap_or(i64::MAX));
        let qty = piece(lots, &quote.spec);
        if qty <= Lots::ZERO {
            return Err(CannotClose::NoLot { found: held.size });
        }
        Ok(Self { spec: quote.spec, side, px, qty })
    }

    /// Its name at the venue. The engine's begin with `t` and the run; this one is of another form, so that no engine takes it
    /// for its own. `begun_ns` is when the guard's thread began, `number` counts its orders.
    pub fn link_id(begun_ns: u64, number: u32) -> String {
        format!("g{begun_ns:016x}-{number:08x}")
    }
}

/// The limit of an order of `side`: no farther from `best`, the opposite side's best price, than the share `slippage` of it,
/// and at least one tick. The distance is rounded down to whole ticks, so that the bound holds.
pub fn closing_px(side: Side, best: Ticks, slippage: Rate) -> Ticks {
    let distance = best.share(slippage.max(Rate::ZERO));
    match side {
        Side::Ask => best.saturating_add(-distance).max(Ticks::new(1)),
        Side::Bid => best.saturating_add(distance),
    }
}

/// How much of `lots` one order closes: no more than the greatest order, and so that what is left is no smaller than the
/// smallest one, if both can be.
pub fn piece(lots: Lots, spec: &InstrumentSpec) -> Lots {
    let most = lots.min(spec.max_qty);
    let rest = lots.saturating_sub(most);
    let leaving_the_least = lots.saturating_sub(spec.min_qty);
    if rest > Lots::ZERO && rest < spec.min_qty && leaving_the_least >= spec.min_qty { leaving_the_least } else { most }
}

/// A decimal in whole steps; `None` if it lies between two.
fn whole(value: Money, step: Step) -> Option<i64> {
    if value.get() % step.pico() != 0 {
        return None;
    }
    i64::try_from(value.get() / step.pico()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{Product, VenueId};
    use crate::venue::bybit::encode::LinkId;

    fn spec(min_qty: i64, max_qty: i64) -> InstrumentSpec {
        let (tick, lot) = (Step::from_text(b"0.1").unwrap(), Step::from_text(b"0.001").unwrap());
        let symbol = Symbol::new(b"BTCUSDT").unwrap();
        let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, tick, lot).unwrap();
        InstrumentSpec { min_qty: Lots::new(min_qty), max_qty: Lots::new(max_qty), ..spec }
    }

    fn held(size: &str) -> Held {
        let size = Money::parse(size.as_bytes()).unwrap();
        Held { symbol: Symbol::new(b"BTCUSDT").unwrap(), size, is_one_way: true }
    }

    fn quote(best: &str) -> Quote {
        Quote { spec: spec(1, 1_000), best_px: Some(Money::parse(best.as_bytes()).unwrap()) }
    }

    proptest! {
        #[test]
        fn the_bound_holds_on_both_sides_and_uses_all_of_it(best in 1..1i64 << 40, slippage in 0..=100_000_000i64) {
            let rate = Rate::new(slippage);
            let one = i128::from(Rate::ONE.get());
            let far = |px: Ticks| i128::from((px.get() - best).abs()) * one;
            let allowed = i128::from(best) * i128::from(slippage);
            let sell = closing_px(Side::Ask, Ticks::new(best), rate);
            let buy = closing_px(Side::Bid, Ticks::new(best), rate);
            prop_assert!(sell.get() >= 1 && sell.get() <= best && buy.get() >= best);
            prop_assert!(far(sell) <= allowed && far(buy) <= allowed, "{sell:?} {buy:?}");
            // A tick farther would be beyond it.
            prop_assert!(far(buy) + one > allowed);
            prop_assert!(sell.get() == 1 || far(sell) + one > allowed);
        }

        #[test]
        fn pieces_close_all_and_are_orders_that_the_venue_takes(lots in 1..5_000i64, min in 1..50i64, more in 0..500i64) {
            let spec = spec(min, min * 2 + more);
            let mut left = lots;
            let mut count = 0;
            while left >= min {
                let qty = piece(Lots::new(left), &spec).get();
                prop_assert!(qty >= min && qty <= spec.max_qty.get() && qty <= left, "{qty} of {left}");
                left -= qty;
                count += 1;
            }
            prop_assert_eq!(left, if lots < min { lots } else { 0 });
            prop_assert!(count <= lots / spec.max_qty.get() + 2);
        }
    }

    #[test]
    fn the_price_is_rounded_towards_the_touch() {
        // 0.05 % of 6000.3 is 3.00015: thirty ticks.
        let rate = Rate::new(50_000);
        let order = |size| CloseOrder::of(&held(size), &quote("6000.3"), rate).unwrap();
        let (sell, buy) = (order("0.25"), order("-0.25"));
        assert_eq!((sell.side, sell.px, sell.qty), (Side::Ask, Ticks::new(59_973), Lots::new(250)));
        assert_eq!((buy.side, buy.px, buy.qty), (Side::Bid, Ticks::new(60_033), Lots::new(250)));
        // 3.14 ticks below a hundredth: three.
        assert_eq!(closing_px(Side::Ask, Ticks::new(314), Rate::new(1_000_000)), Ticks::new(311));
        assert_eq!(closing_px(Side::Bid, Ticks::new(314), Rate::new(1_000_000)), Ticks::new(317));
        assert_eq!(closing_px(Side::Ask, Ticks::new(5), Rate::ONE), Ticks::new(1), "no price of nothing");
        assert_eq!(closing_px(Side::Ask, Ticks::new(5), Rate::new(-1)), Ticks::new(5), "a negative share is none");
    }

    #[test]
    fn a_position_is_closed_in_pieces_and_what_has_no_price_is_not() {
        let order = |held: &Held, quote: &Quote| CloseOrder::of(held, quote, Rate::ZERO);
        assert_eq!(order(&held("2.5"), &quote("1")).unwrap().qty, Lots::new(1_000), "the greatest order");
        assert_eq!(order(&held("-0.0015"), &quote("1")).unwrap().qty, Lots::new(1), "a whole number of lots");
        let tiny = held("0.0005");
        assert_eq!(order(&tiny, &quote("1")), Err(CannotClose::NoLot { found: tiny.size }));
        let off = quote("1.05");
        assert_eq!(order(&held("1"), &off), Err(CannotClose::OffTick { found: off.best_px.unwrap() }));
        assert!(order(&held("1"), &quote("0")).is_err());
        let nobody = Quote { best_px: None, ..quote("1") };
        assert_eq!(order(&held("1"), &nobody), Err(CannotClose::NoPrice));
        let hedged = Held { is_one_way: false, ..held("1") };
        assert_eq!(order(&hedged, &quote("1")), Err(CannotClose::Hedged));
        // 10 lots by 9 at most and 5 at least: five and five; 7 by 5 and 5 cannot be had.
        assert_eq!(piece(Lots::new(10), &spec(5, 9)), Lots::new(5));
        assert_eq!(piece(Lots::new(7), &spec(5, 5)), Lots::new(5));
    }

    #[test]
    fn its_orders_are_no_engines() {
        let name = CloseOrder::link_id(u64::MAX, u32::MAX);
        assert!(name.len() <= crate::sim::LinkId::LEN_MAX && crate::sim::LinkId::new(&name).is_some(), "{name}");
        assert_eq!(LinkId::parse(name.as_bytes()), None);
        assert_ne!(CloseOrder::link_id(1, 2), CloseOrder::link_id(1, 3));
        assert_ne!(CloseOrder::link_id(1, 2), CloseOrder::link_id(2, 2));
    }
}
