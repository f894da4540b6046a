//! Positions, costs and profits, exactly: the engine's own books, made from executions alone.

use crate::book::Touch;
use crate::types::{Fill, InstrumentSpec, Lots, Money, Side};

/// What executions have made of one instrument.
///
/// Accounts by average cost: a closing fill takes its share of the cost along ([`Money::pro_rata`]). The simulated venue
/// keeps the same rule, so that both wallets agree to the last unit. Money is that of the instrument's settlement currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Holding {
    /// Position, signed.
    pub position: Lots,
    /// Signed cost of what is open.
    pub cost: Money,
    /// Profit of what was closed, before fees.
    pub realised: Money,
    /// Fees paid, less rebates.
    pub fees: Money,
    /// Funding paid, less received.
    pub funding: Money,
    /// Twice the sum over fills of (mid − price)·signed quantity, in ticks times lots; of an inverse contract twice the sum of what
    /// that was worth, in the money's unit.
    spread_e2: i128,
    /// Sum of traded values.
    pub turnover: Money,
    /// Executions.
    pub fills: u64,
    /// Executions as a maker.
    pub maker_fills: u64,
}

/// Profit by where it came from. `spread + inventory − fees − funding = total`, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PnlSplit {
    /// Edge of the fills against the mid at their moment.
    pub spread: Money,
    /// What the mid did to the position afterwards.
    pub inventory: Money,
    /// Fees paid, less rebates.
    pub fees: Money,
    /// Funding paid, less received.
    pub funding: Money,
    /// The whole.
    pub total: Money,
}

impl PnlSplit {
    /// Adds what `other` has, of the same settlement currency.
    pub const fn add(&mut self, other: &Self) {
        self.spread = self.spread.saturating_add(other.spread);
        self.inventory = self.inventory.saturating_add(other.inventory);
        self.fees = self.fees.saturating_add(other.fees);
        self.funding = self.funding.saturating_add(other.funding);
        self.total = self.total.saturating_add(other.total);
    }
}

impl Holding {
    /// Takes over a position that was there before: `entry_px` is its average price of one whole unit, as the venue shows
    /// it, so that its cost is as exact as that.
    pub fn adopt(&mut self, spec: &InstrumentSpec, qty: Lots, entry_px: Money) {
        self.position = qty;
        let size_pico = i128::from(qty.get()).saturating_mul(spec.lot.pico());
        self.cost = Money::new(if spec.is_inverse() {
            size_pico.saturating_mul(spec.contract_value.get()).checked_div(entry_px.get()).unwrap_or(0)
        } else {
            entry_px.get().saturating_mul(i128::from(qty.get())).saturating_mul(spec.lot.pico()) / Money::ONE.get()
        });
    }

    /// Books an execution; `touch` is the market at its moment.
    pub fn on_fill(&mut self, spec: &InstrumentSpec, fill: &Fill, touch: &Touch) {
        let sign = fill.side.sign();
        let signed = Lots::new(fill.qty.get() * sign);
        let is_opposite = self.position.get().signum() == -sign;
        let closed = if is_opposite { fill.qty.min(self.position.saturating_abs()) } else { Lots::ZERO };
        let opened = fill.qty.saturating_sub(closed);
        let [closing, opening] = spec.parts(fill.px, Lots::new(closed.get() * sign), Lots::new(opened.get() * sign));
        if !closed.is_zero() {
            let closed_cost = self.cost.pro_rata(closed, self.position.saturating_abs());
            // Selling closes a long for +value, buying closes a short for −value.
            let proceeds = closing.saturating_neg();
            self.cost = self.cost.saturating_sub(closed_cost);
            self.realised = self.realised.saturating_add(spec.profit(proceeds, closed_cost));
        }
        self.cost = self.cost.saturating_add(opening);
        self.position = self.position.saturating_add(signed);
        self.fees = self.fees.saturating_add(fill.fee);
        self.turnover = self.turnover.saturating_add(spec.notional(fill.px, fill.qty));
        self.fills += 1;
        self.maker_fills += u64::from(fill.is_maker);
        let mid_e2 = mid_e2(touch).unwrap_or(2 * i128::from(fill.px.get()));
        self.spread_e2 = self.spread_e2.saturating_add(if spec.is_inverse() {
            2 * spec.profit(spec.value_at_e2(mid_e2, signed), spec.notional(fill.px, signed)).get()
        } else {
            (mid_e2 - 2 * i128::from(fill.px.get())) * i128::from(signed.get())
        });
    }

    /// Value of the position at the mid; its cost if there is no mid.
    fn value(&self, spec: &InstrumentSpec, touch: &Touch) -> Money {
        match mid_e2(touch) {
            Some(mid_e2) => spec.value_at_e2(mid_e2, self.position),
            None => self.cost,
        }
    }

    /// Profit after fees and funding, the position valued at the mid.
    pub fn profit(&self, spec: &InstrumentSpec, touch: &Touch) -> Money {
        let open = spec.profit(self.value(spec, touch), self.cost);
        self.wallet_change().saturating_add(open)
    }

    /// What the wallet changed by: closed profit less fees and funding.
    pub fn wallet_change(&self) -> Money {
        self.realised.saturating_sub(self.fees).saturating_sub(self.funding)
    }

    /// Profit by where it came from.
    pub fn split(&self, spec: &InstrumentSpec, touch: &Touch) -> PnlSplit {
        let total = self.profit(spec, touch);
        let unit = if spec.is_inverse() { 1 } else { spec.tick_lot_value.get() };
        let spread = Money::new(self.spread_e2.saturating_mul(unit) / 2);
        let inventory = total.saturating_add(self.fees).saturating_add(self.funding).saturating_sub(spread);
        PnlSplit { spread, inventory, fees: self.fees, funding: self.funding, total }
    }
}

fn mid_e2(touch: &Touch) -> Option<i128> {
    let px = |side| touch.side(side).map(|level| i128::from(level.px.get()));
    Some(px(Side::Bid)? + px(Side::Ask)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{ClientOrderId, Level, Meta, Product, Step, Symbol, Ticks, VenueId};

    fn spec() -> InstrumentSpec {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let symbol = Symbol::new(b"X").unwrap();
        InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap()
    }

    fn fill(side: Side, px: i64, qty: i64, fee: i128) -> Fill {
        Fill {
            meta: Meta::default(),
            client_id: ClientOrderId(1),
            exec_id: 1,
            side,
            is_maker: true,
            px: Ticks::new(px),
            qty: Lots::new(qty),
            fee: Money::new(fee),
            is_fee_final: true,
            is_query: false,
            venue_order_id: 0,
        }
    }

    fn touch(bid: i64, ask: i64) -> Touch {
        let level = |px| Some(Level { px: Ticks::new(px), qty: Lots::new(1) });
        Touch { bid: level(bid), ask: level(ask) }
    }

    #[test]
    fn a_round_trip_at_the_touch_earns_the_spread() {
        let (spec, mut holding) = (spec(), Holding::default());
        holding.on_fill(&spec, &fill(Side::Bid, 1000, 10, 5), &touch(1000, 1002));
        holding.on_fill(&spec, &fill(Side::Ask, 1002, 10, 5), &touch(1000, 1002));
        // 2 ticks of 0.1 on 10 lots of 0.001: 0.002.
        assert_eq!(holding.realised.to_string(), "0.002");
        let split = holding.split(&spec, &touch(1000, 1002));
        assert_eq!(split.spread.to_string(), "0.002");
        assert_eq!(split.inventory, Money::ZERO);
        assert_eq!(split.total, Money::new(2_000_000_000 - 10));
    }

    proptest! {
        #[test]
        fn profit_equals_cash_and_value(fills in proptest::collection::vec((any::<bool>(), 900i64..1100, 1i64..50), 0..60)) {
            let spec = spec();
            let mut holding = Holding::default();
            let (mut cash, mut position) = (Money::ZERO, 0i64);
            let market = touch(999, 1002);
            for (is_buy, px, qty) in fills {
                let side = if is_buy { Side::Bid } else { Side::Ask };
                holding.on_fill(&spec, &fill(side, px, qty, 7), &market);
                cash = cash.saturating_sub(spec.notional(Ticks::new(px), Lots::new(qty * side.sign()))).saturating_sub(Money::new(7));
                position += qty * side.sign();
            }
            prop_assert_eq!(holding.position, Lots::new(position));
            let value = Money::new(2001 * i128::from(position) * spec.tick_lot_value.get() / 2);
            prop_assert_eq!(holding.profit(&spec, &market), cash.saturating_add(value));
            if position == 0 {
                prop_assert_eq!(holding.wallet_change(), cash);
                prop_assert_eq!(holding.cost, Money::ZERO);
            }
            let split = holding.split(&spec, &market);
            prop_assert_eq!(split.spread.saturating_add(split.inventory).saturating_sub(split.fees), split.total);
        }
    }
}
