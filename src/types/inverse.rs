//! Money of inverse contracts, exactly up to one stated rounding.
//!
//! An inverse contract is worth a fixed amount of the quote currency (100 USD) and is settled in the base currency: `qty` of them
//! are worth `qty · contract value / price` coins, which rarely terminates in decimals. So:
//!
//! - **The rounding.** The value of a quantity at a price is truncated towards zero to the money's unit, 10⁻¹² of a coin. An
//!   execution is booked at that value, once; its fee and a funding payment are shares of it, rounded up as everywhere.
//! - **Sums are exact.** Everything else is made of those integers by sums, differences and parts that leave the rest behind
//!   ([`Money::pro_rata`]). An execution that closes one position and opens another is worth what both parts are worth together
//!   ([`InstrumentSpec::parts`]). So what was realised is what was received less what was paid plus what the open part cost, to
//!   the last unit, in however many pieces a position is closed; and engine, simulated venue and report agree.
//! - **The error.** A value is less than one unit below the exact one. So the profit of *n* executions differs by less than *n*
//!   units from the exact one, and what is closed in pieces has no other error than that of its executions.
//! - **Pieces never exceed the whole.** Truncation is superadditive: the parts in which an order fills are together worth no more
//!   than the order was counted at. Capital that was reserved for the order is enough for them ([`crate::risk`]).
//!
//! A long position loses when the coin falls, and then each of its dollars is more coins: its loss in coins has no bound as the
//! price goes to zero. A short one loses no more than what it is worth at its entry. That is a linear contract in one over the
//! price with the sides exchanged: values are signed as quantities here as there, and profit is cost less worth.

use super::{InstrumentSpec, Lots, Money, Product, Step, Symbol, Ticks, VenueId};

impl InstrumentSpec {
    /// Whether it is an inverse contract.
    #[inline(always)]
    pub const fn is_inverse(&self) -> bool {
        matches!(self.product, Product::Inverse)
    }

    /// What an inverse contract is worth where nobody says otherwise.
    pub(super) fn usual_contract_value(venue: VenueId, symbol: &Symbol) -> Money {
        let whole = match venue {
            VenueId::BINANCE_COINM if symbol.as_str().starts_with("BTCUSD") => 100,
            VenueId::BINANCE_COINM => 10,
            _ => 1,
        };
        Money::new(whole * Money::ONE.get())
    }

    /// Value of one lot at a price of one tick: lot · contract value / tick. `None` unless it is whole and above zero.
    pub(super) fn inverse_unit(tick: Step, lot: Step, contract_value: Money) -> Option<Money> {
        let (product, by) = (lot.pico().checked_mul(contract_value.get())?, tick.pico());
        (by > 0 && product > 0 && product % by == 0).then(|| Money::new(product / by))
    }

    /// The same inverse contract, worth another amount of the quote currency. `None` if it is no inverse contract, or if the
    /// value of a lot at one tick has more than twelve decimals then.
    #[must_use]
    pub fn with_contract_value(self, contract_value: Money) -> Option<Self> {
        if !self.is_inverse() {
            return None;
        }
        let tick_lot_value = Self::inverse_unit(self.tick, self.lot, contract_value)?;
        Some(Self { contract_value, tick_lot_value, ..self })
    }

    /// [`Self::notional`] of an inverse contract, truncated towards zero. Without a price above zero it has no bound, and is
    /// clamped, as is what does not fit.
    #[cold]
    #[inline(never)]
    pub(crate) const fn inverse_value(&self, px: Ticks, qty: Lots) -> Money {
        Money::new(quotient(self.tick_lot_value.get(), qty.get() as i128, px.get() as i128))
    }

    /// Value of `qty` (signed) at half of `px_e2` ticks, such as the middle of a market.
    #[inline]
    pub(crate) const fn value_at_e2(&self, px_e2: i128, qty: Lots) -> Money {
        if self.is_inverse() {
            return Money::new(quotient(self.tick_lot_value.get(), 2 * qty.get() as i128, px_e2));
        }
        let product = px_e2.saturating_mul(qty.get() as i128);
        Money::new(product.saturating_mul(self.tick_lot_value.get()) / 2)
    }

    /// Profit of what cost `cost` and is worth `worth`, both signed as the quantity.
    #[inline]
    pub const fn profit(&self, worth: Money, cost: Money) -> Money {
        if self.is_inverse() { cost.saturating_sub(worth) } else { worth.saturating_sub(cost) }
    }

    /// What an execution at `px` is worth of which `closed` closes and `opened` opens a position, both signed as it: the part
    /// that opens by itself, so that it costs no more than was counted for it, and the part that closes what is left of the
    /// value of both.
    #[inline]
    pub const fn parts(&self, px: Ticks, closed: Lots, opened: Lots) -> [Money; 2] {
        let opens = self.notional(px, opened);
        if self.is_inverse() {
            return [self.notional(px, closed.saturating_add(opened)).saturating_sub(opens), opens];
        }
        [self.notional(px, closed), opens]
    }

    /// The most that is worth no more than `value` at `px`, without regard to rounding; none where that is not above zero.
    pub fn lots_worth(&self, px: Ticks, value: Money) -> Lots {
        let value = value.get().max(0);
        let lots = if self.is_inverse() {
            // Clamped it is fewer.
            value.saturating_mul(px.get().max(0).into()) / self.tick_lot_value.get().max(1)
        } else {
            value / self.linear_value(px, Lots::new(1)).get().max(1)
        };
        Lots::new(i64::try_from(lots).unwrap_or(i64::MAX))
    }

    /// Value of `qty` in the quote currency: of an inverse contract that is fixed, of others their value.
    pub const fn quote_value(&self, px: Ticks, qty: Lots) -> Money {
        if self.is_inverse() {
            let lot = self.lot.pico().saturating_mul(self.contract_value.get()) / Money::ONE.get();
            return Money::new(lot.saturating_mul(qty.get() as i128));
        }
        self.linear_value(px, qty)
    }

    /// Of two prices the one at which a quantity is worth more: the greater one; of an inverse contract the lower one. A `bound` of
    /// zero is none.
    #[inline]
    pub fn dearer(&self, px: Ticks, bound: Ticks) -> Ticks {
        match () {
            () if !self.is_inverse() => px.max(bound),
            () if bound == Ticks::ZERO => px,
            () => px.min(bound),
        }
    }

    /// A number that grows with the value at `px`, and zero for none: the price; of an inverse contract its distance from the
    /// greatest one. Applied twice it gives the price back.
    #[inline]
    pub(crate) const fn dearness(&self, px: Ticks) -> Ticks {
        if self.is_inverse() { Ticks::new(i64::MAX.saturating_sub(px.get())) } else { px }
    }
}

/// `unit · qty / px`, truncated towards zero. Clamped where it has no bound or does not fit.
const fn quotient(unit: i128, qty: i128, px: i128) -> i128 {
    let clamped = if qty < 0 { i128::MIN } else { i128::MAX };
    match unit.checked_mul(qty) {
        Some(0) => 0,
        Some(product) if px > 0 => product / px,
        _ => clamped,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec(venue: VenueId, symbol: &str, tick: &str, lot: &str) -> InstrumentSpec {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let symbol = Symbol::new(symbol.as_bytes()).unwrap();
        InstrumentSpec::new(venue, symbol, Product::Inverse, step(tick), step(lot)).unwrap()
    }

    fn btc() -> InstrumentSpec {
        spec(VenueId::BINANCE_COINM, "BTCUSD_PERP", "0.1", "1")
    }

    #[test]
    fn a_contract_is_worth_its_dollars_in_coins() {
        // A hundred dollars at 61,800.1, and at 50,000.
        assert_eq!(btc().notional(Ticks::new(618_001), Lots::new(1)).to_string(), "0.001618120359");
        assert_eq!(btc().notional(Ticks::new(500_000), Lots::new(-3)).to_string(), "-0.006");
        let eth = spec(VenueId::BINANCE_COINM, "ETHUSD_210924", "0.01", "1");
        assert_eq!(eth.notional(Ticks::new(200_000), Lots::new(7)).to_string(), "0.035");
        // Bybit counts dollars: the position of its documentation, 300 at 27,464.50.
        let bybit = spec(VenueId::BYBIT, "BTCUSD", "0.5", "1");
        assert_eq!(bybit.notional(Ticks::new(54_929), Lots::new(300)).to_string(), "0.010923191756");
        let other = bybit.with_contract_value(Money::new(100 * Money::ONE.get())).unwrap();
        assert_eq!(
            other.notional(Ticks::new(54_929), Lots::new(3)),
            bybit.notional(Ticks::new(54_929), Lots::new(300))
        );
        assert_eq!(bybit.quote_value(Ticks::new(1), Lots::new(300)).to_string(), "300");
        assert_eq!(btc().quote_value(Ticks::new(1), Lots::new(3)).to_string(), "300");
    }

    #[test]
    fn what_cannot_be_exact_is_refused_and_what_has_no_bound_is_clamped() {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let symbol = Symbol::new(b"BTCUSD").unwrap();
        // One dollar over a tick of 0.3 does not terminate.
        assert!(InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Inverse, step("0.3"), step("1")).is_none());
        for px in [0, -1, i64::MIN] {
            assert_eq!(btc().notional(Ticks::new(px), Lots::new(1)), Money::MAX);
            assert_eq!(btc().notional(Ticks::new(px), Lots::new(-1)), Money::MIN);
            assert_eq!(btc().notional(Ticks::new(px), Lots::ZERO), Money::ZERO);
        }
        let huge = btc().with_contract_value(Money::new(Money::ONE.get() * 1_000_000_000_000)).unwrap();
        assert_eq!(huge.notional(Ticks::new(1), Lots::MAX), Money::MAX);
        assert_eq!(huge.notional(Ticks::new(1), Lots::MIN), Money::MIN);
    }

    fn any_spec() -> impl Strategy<Value = InstrumentSpec> {
        prop_oneof![
            Just(btc()),
            Just(spec(VenueId::BINANCE_COINM, "XRPUSD_PERP", "0.0001", "1")),
            Just(spec(VenueId::BYBIT, "BTCUSD", "0.5", "1")),
            Just(spec(VenueId::BYBIT, "EOSUSD", "0.005", "1")),
            Just(spec(VenueId::BINANCE_COINM, "ETHUSD_PERP", "0.01", "0.001")),
        ]
    }

    /// The exact value as a fraction in units of 10⁻¹²: quantity · lot · contract value over price.
    fn exact(spec: &InstrumentSpec, px: i64, qty: i64) -> (i128, i128) {
        (i128::from(qty) * spec.lot.pico() * spec.contract_value.get(), i128::from(px) * spec.tick.pico())
    }

    proptest! {
        /// Towards zero, by less than a unit.
        #[test]
        fn a_value_is_truncated_to_the_unit(spec in any_spec(), px in 1i64..50_000_000, qty in -1_000_000i64..1_000_000) {
            let found = spec.notional(Ticks::new(px), Lots::new(qty)).get();
            let (num, den) = exact(&spec, px, qty);
            let rest = num - found * den;
            prop_assert!(rest.abs() < den && rest.signum() * num.signum() >= 0, "{found} of {num}/{den}");
            prop_assert_eq!(spec.notional(Ticks::new(px), Lots::new(-qty)).get(), -found);
            prop_assert_eq!(spec.value_at_e2(2 * i128::from(px), Lots::new(qty)).get(), found);
        }

        /// Parts are never worth more than the whole, nor anything more at a higher price; a turn is worth what both its parts are.
        #[test]
        fn pieces_never_exceed_the_whole(
            spec in any_spec(), px in 1i64..50_000_000, pieces in proptest::collection::vec(1i64..10_000, 1..20), up in 0i64..1_000,
        ) {
            let value = |px: i64, qty: i64| spec.notional(Ticks::new(px), Lots::new(qty)).get();
            let (whole, sum) = (pieces.iter().sum::<i64>(), pieces.iter().map(|&qty| value(px, qty)).sum::<i128>());
            prop_assert!(sum <= value(px, whole) && value(px, whole) - sum < pieces.len() as i128);
            prop_assert!(value(px + up, whole) <= value(px, whole));
            let (closed, opened) = (Lots::new(-pieces[0]), Lots::new(pieces[0] - whole));
            let [closes, opens] = spec.parts(Ticks::new(px), closed, opened);
            prop_assert_eq!(closes.get() + opens.get(), value(px, -whole));
            prop_assert_eq!(opens.get(), value(px, pieces[0] - whole));
        }

        /// What is bounded by a value is worth no more, and one lot more would be.
        #[test]
        fn lots_are_as_many_as_a_value_allows(spec in any_spec(), px in 1i64..50_000_000, value in 0i128..1_000_000_000_000_000) {
            let lots = spec.lots_worth(Ticks::new(px), Money::new(value));
            let worth = |lots: i64| {
                let (num, den) = exact(&spec, px, lots);
                num - value * den
            };
            prop_assert!(worth(lots.get()) <= 0 && worth(lots.get() + 1) > 0);
            prop_assert!(spec.notional(Ticks::new(px), lots) <= Money::new(value));
        }

        /// Whatever the numbers: no overflow, and what is dearer is worth more.
        #[test]
        fn nothing_overflows(spec in any_spec(), px: i64, other: i64, qty: i64) {
            let value = |px: i64| spec.notional(Ticks::new(px), Lots::new(qty));
            let _ = (spec.value_at_e2(i128::from(px), Lots::new(qty)), spec.quote_value(Ticks::new(px), Lots::new(qty)));
            let _ = spec.lots_worth(Ticks::new(px), Money::new(i128::from(qty).saturating_mul(i128::from(other))));
            let _ = spec.parts(Ticks::new(px), Lots::new(qty), Lots::new(other));
            if px > 0 && other > 0 {
                let dearer = spec.dearer(Ticks::new(px), Ticks::new(other));
                prop_assert!(value(dearer.get()).get().saturating_abs() >= value(px.max(other)).get().saturating_abs());
                prop_assert_eq!(dearer, Ticks::new(px.min(other)));
                prop_assert_eq!(spec.dearness(spec.dearness(dearer)), dearer);
            }
        }
    }
}
