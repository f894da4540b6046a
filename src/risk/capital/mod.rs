//! Exact capital: what is committed at worst, so that "12 USDT" means that no more than 12 USDT are ever at stake.
//!
//! Committed are, per instrument and in isolated margin:
//!
//! - for what is held: its cost divided by the leverage, and of the greatest value that it can have before it is liquidated
//!   (its cost and a leverage's share more) the fee of closing it as a taker, [`RiskLimits::extra_fee`], and the next funding
//!   payment at its cap;
//! - for what is open or in doubt: the same and a taker's fee of its opening, for the side that commits more. Orders that
//!   close what is held commit nothing; the part of them that goes beyond does, at the dearest price open on that side;
//! - what was lost since the start: closed losses, fees and funding, less what was won.
//!
//! An order is counted at the dearest price at which it may fill: its limit; while an amendment is under way the dearer of
//! both; and for a sale that takes, which may fill above its limit, no less than the bid raised by the collar.
//!
//! An inverse contract is counted in coins, and is worth more of them at a lower price: its dearest price is the lowest at which
//! the order may fill, and it is a purchase that takes which may fill below its limit, by no more than the collar under the ask.
//! What it rests on holds in coins as it does in money: who is long loses without a bound as the price falls to zero, and who is
//! short no more than the value at the entry; but in isolated margin the venue closes either when a leverage's share of the cost
//! is lost. A long position is then worth its cost and that share more, which is the greatest value that fees and funding
//! are reserved for; a short one is worth less. Values are truncated ([`InstrumentSpec::inverse_value`]), and parts of an order are
//! together worth no more than the whole, so that what was counted for it is enough for any number of fills.
//!
//! A funding payment turns its reserve into a loss, and the next payment needs a reserve of its own: when there is none left,
//! the engine closes what it holds ([`Risk::is_over_committed`](super::Risk::is_over_committed)).
//!
//! What this rests on: a position loses no more than its margin before the venue closes it; the account's leverage and
//! fees are no worse than configured; own bids are below own asks, which the self-trade check sees to. Then a fill, in
//! whatever order, never raises the sum: what it opens was counted as open, what it closes gives back more than it may
//! have lost.

use super::{Exposure, RiskLimits};
use crate::types::{InstrumentSpec, Lots, Money, Product, Rate, Ticks, clamped_product};

/// Shares of a value that are committed, in units of 10⁻⁸, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reserve {
    /// For what is held, of its cost.
    held: i64,
    /// For what may still be opened, of its value.
    open: i64,
}

impl Reserve {
    fn new(limits: &RiskLimits, leverage_e2: u32) -> Self {
        let one = i128::from(Rate::ONE.get());
        let margin = div_ceil(one * 100, i128::from(leverage_e2.max(1)));
        let fee = i128::from(limits.taker_fee.get());
        let costs = fee + i128::from(limits.extra_fee.get()) + i128::from(limits.funding_cap.get());
        let held = margin + div_ceil(costs * (one + margin), one);
        let word = |share: i128| i64::try_from(share).unwrap_or(i64::MAX);
        Self { held: word(held), open: word(held + fee) }
    }

    /// For a product with margin, and for spot.
    pub fn by_product(limits: &RiskLimits) -> [Self; 2] {
        [Self::new(limits, limits.leverage_e2), Self::new(limits, 100)]
    }

    /// Of an instrument: spot has no margin, and what allows less leverage than configured is counted with what it allows.
    #[inline]
    pub fn of(both: &[Self; 2], limits: &RiskLimits, spec: &InstrumentSpec) -> Self {
        if spec.product != Product::Spot && spec.max_leverage_e2 < limits.leverage_e2 {
            return Self::new(limits, spec.max_leverage_e2);
        }
        both[usize::from(spec.product == Product::Spot)]
    }
}

fn div_ceil(amount: i128, by: i128) -> i128 {
    amount.div_euclid(by) + i128::from(amount.rem_euclid(by) != 0)
}

/// Open quantity per side (bid, ask), its value at the dearest prices, and the dearest price since the side was last empty, as a number
/// that grows with the value (`InstrumentSpec::dearness`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OpenSide {
    /// Quantity.
    pub qty: Lots,
    /// Its value, each order at its dearest price.
    pub value: Money,
    /// Dearest price.
    pub px_max: Ticks,
}

impl OpenSide {
    /// Replaces what an order had open by what it has now.
    #[inline]
    pub fn replace(&mut self, before: (Lots, Money), after: (Lots, Money), px: Ticks) {
        self.qty = self.qty.saturating_sub(before.0).saturating_add(after.0);
        self.value = self.value.saturating_sub(before.1).saturating_add(after.1);
        self.px_max = match () {
            () if self.qty.is_zero() => Ticks::default(),
            () if after.0.is_zero() => self.px_max,
            () => self.px_max.max(px),
        };
    }

    /// With an order more on it.
    #[inline]
    pub fn with(mut self, qty: Lots, value: Money, px: Ticks) -> Self {
        self.replace((Lots::ZERO, Money::ZERO), (qty, value), px);
        self
    }

    /// The value of what goes beyond closing `held`, at the dearest price.
    #[inline]
    fn beyond(&self, spec: &InstrumentSpec, held: Lots) -> Money {
        let beyond = self.qty.saturating_sub(held);
        if beyond.get() <= 0 {
            return Money::ZERO;
        }
        let value =
            if spec.is_inverse() { self.inverse_value(spec, beyond) } else { spec.linear_value(self.px_max, beyond) };
        self.value.min(value)
    }

    #[cold]
    #[inline(never)]
    fn inverse_value(&self, spec: &InstrumentSpec, qty: Lots) -> Money {
        spec.inverse_value(spec.dearness(self.px_max), qty)
    }
}

impl Exposure {
    /// What the instrument commits at worst with this open, in 10⁻⁸ of [`Money`]'s unit. See the module's documentation.
    #[inline]
    pub(super) fn committed_e8(
        &self,
        spec: &InstrumentSpec,
        bid: &OpenSide,
        ask: &OpenSide,
        reserve: &Reserve,
    ) -> i128 {
        let held = self.position.saturating_abs();
        let [bid, ask] = match self.position.get().signum() {
            1 => [bid.value, ask.beyond(spec, held)],
            -1 => [bid.beyond(spec, held), ask.value],
            _ => [bid.value, ask.value],
        };
        let opened = clamped_product(bid.max(ask).get(), reserve.open.into());
        if held.is_zero() {
            return opened;
        }
        clamped_product(self.cost.get().saturating_abs(), reserve.held.into()).saturating_add(opened)
    }
}

/// The amount of so many 10⁻⁸ of [`Money`]'s unit, rounded up.
pub(super) fn money_of_e8(amount: i128) -> Money {
    Money::new(div_ceil(amount, i128::from(Rate::ONE.get())))
}

/// How much of the capital may be committed, profits and losses counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compounding {
    /// Share of the profit since the start that is added to the capital; 0 to 1.
    pub reinvest: Rate,
    /// When losses leave less capital than this, only orders that shrink a position pass.
    pub floor: Money,
}

impl Compounding {
    /// The capital that may be committed after a profit or loss of `net` since the start: a loss takes from it in full, of a
    /// profit the reinvested share is added (rounded down), and below the floor there is none.
    pub fn capital(&self, granted: Money, net: Money) -> Money {
        let one = i128::from(Rate::ONE.get());
        let added = match net > Money::ZERO {
            true => Money::new(net.get().saturating_mul(i128::from(self.reinvest.get())).div_euclid(one)),
            false => net,
        };
        let capital = granted.saturating_add(added);
        if capital < self.floor { Money::ZERO } else { capital.max(Money::ZERO) }
    }
}

#[cfg(test)]
mod tests;
