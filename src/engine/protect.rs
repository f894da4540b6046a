//! Breakers, and closing what must be closed.

use super::instrument::Instrument;
use super::{Engine, Probe};
use crate::risk::{Breaker, BreakerLevel, ErrorWindow, RiskState, Spend, day_of};
use crate::strategy::Strategy;
use crate::types::{Carried, CarriedKey, CommandSink, Control, InstrumentId, Lots, Money, SettleId, Side, TimeInForce};

/// The breakers beyond single instruments, and what they are measured by.
#[derive(Debug, Default)]
pub(super) struct Protection {
    heat: Breaker,
    day: Breaker,
    system: Breaker,
    errors: ErrorWindow,
    errors_seen: u64,
    /// The day (UTC) since which instruments are measured.
    day_number: u64,
    /// More was held and open at the last timer than slow risk allows.
    is_over_slow: bool,
    /// Everything is to be closed: it was asked for, or a breaker has halted trading.
    pub is_closing: bool,
    /// Whether the ghost permitted trading when it was looked at last.
    pub is_permitted: bool,
}

impl<S: Strategy, P: Probe> Engine<S, P> {
    /// Measures every layer and acts on what has changed. For timers: it visits every instrument.
    pub(super) fn work_breakers(&mut self, out: &mut impl CommandSink) {
        let (now, config) = (self.now, self.config.breakers);
        let errors = self.orders.counts().rejected + self.orders.counts().unknown + self.account.counts.holds;
        // Fewer than before: an order that counted as rejected was filled after all.
        let new_errors = errors.saturating_sub(std::mem::replace(&mut self.protection.errors_seen, errors));
        let errors = self.protection.errors.note(new_errors, now);
        let today = self.risk.first().risk.day();
        let is_new_day = std::mem::replace(&mut self.protection.day_number, today) != today;
        let main = self.risk.first().breakers;
        let mut open_loss = Money::ZERO;
        for instrument in &mut self.instruments {
            let (holding, touch) = (&instrument.holding, instrument.fused.touch());
            let profit = holding.profit(&instrument.spec, touch);
            if is_new_day {
                instrument.profit_day_start = profit;
            }
            let loss = instrument.profit_day_start.saturating_sub(profit);
            let position_loss_max = match instrument.settle.idx() {
                0 => main.position_loss_max,
                _ => self.risk.purse(instrument.settle).breakers.position_loss_max,
            };
            let justified = config.level(loss.get(), position_loss_max.get());
            instrument.breaker.on_measure(justified, now, config.cool_down_ns);
            if instrument.settle == SettleId::default() {
                let open = profit.saturating_sub(holding.wallet_change());
                open_loss = open_loss.saturating_sub(open.min(Money::ZERO));
            }
        }
        // Each currency is measured by its own limits; the worst counts.
        let mut heat = main.level(open_loss.get(), main.heat_max.get());
        if self.risk.are_several() {
            for (settle, purse) in self.risk.all().skip(1) {
                let loss = self.open_losses_in(settle).saturating_neg();
                heat = heat.max(purse.breakers.level(loss.get(), purse.breakers.heat_max.get()));
            }
        }
        let day = self.risk.day_level();
        let system = config.level(i128::from(errors), i128::from(config.errors_max));
        let Protection { heat: by_heat, day: by_day, system: by_system, .. } = &mut self.protection;
        for (breaker, justified) in [(by_heat, heat), (by_day, day), (by_system, system)] {
            breaker.on_measure(justified, now, config.cool_down_ns);
        }
        self.obey_breakers(out);
    }

    /// Carries out what the breakers' levels ask for, where they have changed.
    fn obey_breakers(&mut self, out: &mut impl CommandSink) {
        let Protection { heat, day, system, .. } = &self.protection;
        // What is bound and what the next funding payment may cost is more than is left: it is given up while there is time.
        let by_capital = if self.risk.is_over_committed() { BreakerLevel::Flatten } else { BreakerLevel::Normal };
        let common = heat.level().max(day.level()).max(system.level()).max(by_capital);
        for idx in 0..self.instruments.len() {
            let instrument = &mut self.instruments[idx];
            let level = common.max(instrument.breaker.level());
            let before = std::mem::replace(&mut instrument.level, level);
            if level == before {
                continue;
            }
            match level {
                BreakerLevel::Normal => {}
                BreakerLevel::Shrink if before < level => instrument.shrink_wishes(&self.config.breakers),
                BreakerLevel::Shrink => {}
                // What shrinks the position will be wanted again.
                _ => instrument.withdraw_wishes(),
            }
            self.work_quotes(InstrumentId(idx as u16), out);
        }
        if common == BreakerLevel::Halt && !self.protection.is_closing {
            self.on_control(Control::Flatten, out);
        }
    }

    /// What rests and would grow a position goes as soon as slow risk allows less than is held and open. What shrinks one will be wanted
    /// again, and what grows one is refused as long as that holds.
    pub(super) fn obey_slow_risk(&mut self, out: &mut impl CommandSink) {
        let is_over = self.risk.is_over_slow(self.now);
        if std::mem::replace(&mut self.protection.is_over_slow, is_over) || !is_over {
            return;
        }
        for idx in 0..self.instruments.len() {
            self.instruments[idx].withdraw_wishes();
            self.work_quotes(InstrumentId(idx as u16), out);
        }
        // What waits for an answer or for the rate budget could be wanted again until then: once more with the next timer.
        self.protection.is_over_slow = !self.instruments.iter().any(Instrument::has_work);
    }

    /// Whether the instrument's position is to be closed.
    pub(super) fn is_to_be_closed(&self, id: InstrumentId) -> bool {
        self.protection.is_closing || self.instruments.get(id.idx()).is_some_and(Instrument::must_close)
    }

    /// Closes what is to be closed, a step further: first its orders are cancelled, and when none is open any more an order
    /// that takes and only reduces is sent, bounded by [`BreakerConfig::slippage`](crate::risk::BreakerConfig::slippage). What
    /// it does not fill is tried again with the next timer at the touch of that time.
    pub(super) fn work_closing(&mut self, out: &mut impl CommandSink) {
        let is_one = self.protection.is_closing || self.instruments.iter().any(Instrument::must_close);
        if !is_one || !self.account.has_order_entry() {
            return;
        }
        let is_everything = self.protection.is_closing;
        self.cancel_where(|instrument| is_everything || instrument.must_close(), out);
        for idx in 0..self.instruments.len() {
            let id = InstrumentId(idx as u16);
            if self.is_to_be_closed(id) {
                self.close_step(id, out);
            }
        }
    }

    /// The trade of an instrument is to be left: at once, as far as its orders let it.
    #[cold]
    pub(super) fn leave(&mut self, id: InstrumentId, out: &mut impl CommandSink) {
        let Some(instrument) = self.instruments.get_mut(id.idx()) else { return };
        instrument.is_leaving = true;
        instrument.withdraw_wishes();
        self.work_quotes(id, out);
        self.work_closing(out);
    }

    fn close_step(&mut self, id: InstrumentId, out: &mut impl CommandSink) {
        let Some(instrument) = self.instruments.get(id.idx()) else { return };
        let held = instrument.holding.position;
        let (Some(bid), Some(ask)) = (instrument.fused.touch().bid, instrument.fused.touch().ask) else { return };
        if held.is_zero() || instrument.exposure.open_orders > 0 {
            return;
        }
        let slippage = self.config.breakers.slippage.min(self.risk.of(instrument.settle).limits().collar);
        let (side, px) = if held > Lots::ZERO {
            (Side::Ask, bid.px.saturating_add(-bid.px.share(slippage)))
        } else {
            (Side::Bid, ask.px.saturating_add(ask.px.share(slippage)))
        };
        // No more at a time than an order may have.
        let by_value = instrument.spec.lots_worth(px, self.risk.of(instrument.settle).limits().order_value_max);
        let qty = held.saturating_abs().min(instrument.spec.max_qty).min(by_value);
        if !self.budget.try_take(Spend::Create, self.now) {
            return;
        }
        if self.place(id, side, px, qty, TimeInForce::ImmediateOrCancel, true, out).is_err() {
            self.budget.give_back(Spend::Create);
        }
    }

    /// A value of an earlier run.
    pub(super) fn on_carried(&mut self, carried: &Carried, out: &mut impl CommandSink) {
        // What is carried over is of the first settlement currency: live sessions have no other.
        let risk = &mut self.risk.first_mut().risk;
        risk.on_carried(carried.key, carried.value, self.now);
        if carried.key == CarriedKey::Trades && risk.day() == day_of(self.now) {
            self.entry.resume(risk.day(), u32::try_from(carried.value.get()).unwrap_or(u32::MAX));
        }
        if carried.key == CarriedKey::Levels {
            let mut state = RiskState::default();
            state.set(carried.key, carried.value);
            let [position, heat, day, system] = state.levels;
            self.protection.heat.resume(heat);
            self.protection.day.resume(day);
            self.protection.system.resume(system);
            // Which instrument it was is not known any more: all of them.
            for instrument in &mut self.instruments {
                instrument.breaker.resume(position);
            }
            self.obey_breakers(out);
        }
    }

    /// How far the breakers have gone, in the order of [`Layer`](crate::risk::Layer); of the instruments the worst.
    pub fn breaker_levels(&self) -> [BreakerLevel; 4] {
        let position = self.instruments.iter().map(|i| i.breaker.level()).max().unwrap_or(BreakerLevel::Normal);
        let Protection { heat, day, system, .. } = &self.protection;
        [position, heat.level(), day.level(), system.level()]
    }

    /// What the next run must know.
    pub fn risk_state(&self) -> RiskState {
        let (day, trades) = self.entry.today();
        let risk = &self.risk.first().risk;
        risk.state(self.breaker_levels(), if day == risk.day() { trades } else { 0 })
    }
}
