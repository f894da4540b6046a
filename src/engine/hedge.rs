//! Holds exposures beyond a bound with instruments that are kept for it, and lets go again.

use super::{Engine, Mode, Probe};
use crate::risk::{HedgeConfig, HedgeCounts, Hedger, Slope, Spend};
use crate::strategy::Strategy;
use crate::types::{CommandSink, InstrumentId, InstrumentTable, Lots, Money, Rate, Side, Symbol, Ticks, TimeInForce};

/// An exposure that is held, at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldReport {
    /// What is held, and with what.
    pub symbols: [Symbol; 2],
    /// Its value.
    pub value: Money,
    /// How they move together.
    pub slope: Slope,
}

/// What the engine says of its hedges at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HedgeReport {
    /// What was done.
    pub counts: HedgeCounts,
    /// What is held.
    pub held: Vec<HeldReport>,
}

/// A hedger for the instruments of `table`, if it was asked for; names that the table does not have are left out.
pub(super) fn hedger(config: Option<&HedgeConfig>, table: &InstrumentTable) -> Option<Hedger> {
    let config = config?;
    let is_meant = |symbol: &Symbol| config.with.contains(symbol);
    let hedges = table.iter().filter(|(_, spec)| is_meant(&spec.symbol)).map(|(id, _)| id).collect();
    Some(Hedger::new(config.clone(), hedges, table.len()))
}

impl<S: Strategy, P: Probe> Engine<S, P> {
    /// Samples the market, and brings each hedge closer to what it should be. For timers.
    pub(super) fn work_hedges(&mut self, out: &mut impl CommandSink) {
        let Some(mut hedger) = self.hedger.take() else { return };
        if hedger.is_due(self.now) {
            let mids = self.instruments.iter().map(|it| it.is_quotable_market().then(|| it.signals.mid()));
            hedger.on_sample(self.now, mids);
        }
        if self.mode == Mode::Trading && self.account.is_synced {
            self.hedge(&mut hedger, out);
        }
        self.hedger = Some(hedger);
    }

    fn hedge(&mut self, hedger: &mut Hedger, out: &mut impl CommandSink) {
        let mut targets = [Money::ZERO; crate::risk::HEDGES_MAX];
        for (idx, instrument) in self.instruments.iter().enumerate() {
            let id = InstrumentId(idx as u16);
            if hedger.is_hedge(id) {
                continue;
            }
            let Some(px) = instrument.mark_px() else { continue };
            let value = instrument.spec.notional(px, instrument.holding.position);
            let cost = |hedge: InstrumentId| self.round_trip_cost(hedge);
            if let Some((at, slope)) = hedger.hold(id, value, cost)
                && let Some(target) = targets.get_mut(at)
            {
                let part = value.get().saturating_mul(slope.beta_e6.into()) / 1_000_000;
                *target = target.saturating_sub(Money::new(part));
            }
        }
        for (at, target) in targets.iter().enumerate().take(hedger.hedges().len()) {
            let id = hedger.hedges()[at];
            if self.hedge_step(hedger, id, *target, out) {
                hedger.note_order();
            }
        }
    }

    /// What it costs to enter and to leave an instrument by taking, as a share of its value.
    fn round_trip_cost(&self, id: InstrumentId) -> Rate {
        let Some(instrument) = self.instruments.get(id.idx()) else { return Rate::ONE };
        let (Some(bid), Some(ask)) = (instrument.fused.touch().bid, instrument.fused.touch().ask) else {
            return Rate::ONE;
        };
        let spread = i128::from(ask.px.saturating_diff(bid.px).max(0)) * i128::from(Rate::ONE.get());
        let spread = i64::try_from(spread / i128::from(bid.px.get().max(1))).unwrap_or(i64::MAX);
        Rate::new(instrument.spec.taker_fee.get().saturating_mul(2).saturating_add(spread))
    }

    /// Sends one order that brings a hedge to its target; returns whether one has left.
    fn hedge_step(&mut self, hedger: &Hedger, id: InstrumentId, target: Money, out: &mut impl CommandSink) -> bool {
        let Some(instrument) = self.instruments.get(id.idx()) else { return false };
        let (Some(bid), Some(ask)) = (instrument.fused.touch().bid, instrument.fused.touch().ask) else { return false };
        if !instrument.is_quotable_market() || instrument.must_close() || instrument.exposure.open_orders > 0 {
            return false;
        }
        let held = instrument.holding.position;
        let change = hedger.change(instrument.spec.notional(bid.px, held), target);
        let side = if change > Money::ZERO { Side::Bid } else { Side::Ask };
        let slippage = self.config.breakers.slippage.min(self.risk.of(instrument.settle).limits().collar);
        let px: Ticks = match side {
            Side::Bid => ask.px.saturating_add(ask.px.share(slippage)),
            Side::Ask => bid.px.saturating_add(-bid.px.share(slippage)),
        };
        let lot = instrument.spec.notional(bid.px, Lots::new(1)).get().max(1);
        let wanted = if target == Money::ZERO {
            held.saturating_abs().get()
        } else {
            i64::try_from(change.get().saturating_abs() / lot).unwrap_or(i64::MAX)
        };
        // No more at a time than an order may have, at the price at which it may fill.
        let dearest = instrument.spec.notional(px.max(ask.px), Lots::new(1)).get().max(1);
        let by_value =
            i64::try_from(self.risk.of(instrument.settle).limits().order_value_max.get() / dearest).unwrap_or(i64::MAX);
        let mut qty = Lots::new(wanted.min(by_value)).min(instrument.spec.max_qty);
        let shrinks = held.get().signum() == -side.sign();
        if shrinks {
            // A turn is two orders: what only shrinks may always pass.
            qty = qty.min(held.saturating_abs());
        }
        if change == Money::ZERO || qty < instrument.spec.min_qty || qty.is_zero() {
            return false;
        }
        let has_token = if shrinks {
            self.budget.try_take(Spend::Create, self.now)
        } else {
            self.try_take_after_stops(Spend::Create)
        };
        if !has_token {
            return false;
        }
        let has_left = self.place(id, side, px, qty, TimeInForce::ImmediateOrCancel, shrinks, out).is_ok();
        if !has_left {
            self.budget.give_back(Spend::Create);
        }
        has_left
    }

    /// What is held with what.
    pub(super) fn hedge_report(&self) -> Option<HedgeReport> {
        let hedger = self.hedger.as_ref()?;
        let held = |(idx, instrument): (usize, &super::Instrument)| {
            let (hedge, slope) = hedger.hedged_with(InstrumentId(idx as u16))?;
            let with = self.instruments.get(hedge.idx())?.spec.symbol;
            let px = instrument.mark_px()?;
            let value = instrument.spec.notional(px, instrument.holding.position);
            Some(HeldReport { symbols: [instrument.spec.symbol, with], value, slope })
        };
        let held = self.instruments.iter().enumerate().filter_map(held).collect();
        Some(HedgeReport { counts: *hedger.counts(), held })
    }
}
