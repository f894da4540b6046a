//! What risk remembers over restarts: the day, its high-water marks, what was lost, and the breakers.

use super::breakers::{BreakerLevel, Layer};
use crate::types::{CarriedKey, Money, Nanos};

/// Nanoseconds of a day.
const DAY_NS: u64 = 86_400_000_000_000;

/// The day of a moment, counted from 1970, by UTC.
pub fn day_of(now: Nanos) -> u64 {
    now.get() / DAY_NS
}

/// See the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RiskState {
    /// The day (UTC) that [`Self::day_equity`] belongs to, counted from 1970.
    pub day: u64,
    /// Equity at its start.
    pub day_equity: Money,
    /// Greatest equity so far.
    pub peak_equity: Money,
    /// Closed profit, less fees and funding, since the capital was granted.
    pub net: Money,
    /// Trades opened on [`Self::day`].
    pub trades: u32,
    /// How far the breakers beyond single positions have gone, in the order of [`Layer::ALL`].
    pub levels: [BreakerLevel; 4],
}

impl Default for RiskState {
    fn default() -> Self {
        Self {
            day: 0,
            day_equity: Money::ZERO,
            peak_equity: Money::ZERO,
            net: Money::ZERO,
            trades: 0,
            levels: [BreakerLevel::Normal; 4],
        }
    }
}

impl RiskState {
    /// Whether a person must re-arm it, and for which layer.
    pub fn halted(&self) -> Option<Layer> {
        Layer::ALL.iter().zip(self.levels).find(|(_, level)| *level == BreakerLevel::Halt).map(|(layer, _)| *layer)
    }

    /// Its values one by one, as the engine takes them.
    pub fn values(&self) -> [(CarriedKey, Money); 6] {
        let levels = self.levels.iter().rev().fold(0i128, |packed, level| packed << 8 | i128::from(*level as u8));
        [
            (CarriedKey::Day, Money::new(i128::from(self.day))),
            (CarriedKey::DayEquity, self.day_equity),
            (CarriedKey::PeakEquity, self.peak_equity),
            (CarriedKey::Net, self.net),
            (CarriedKey::Levels, Money::new(levels)),
            (CarriedKey::Trades, Money::new(self.trades.into())),
        ]
    }

    /// Takes one value of [`Self::values`]. A level that does not exist counts as the last.
    pub fn set(&mut self, key: CarriedKey, value: Money) {
        match key {
            CarriedKey::Day => self.day = u64::try_from(value.get()).unwrap_or_default(),
            CarriedKey::DayEquity => self.day_equity = value,
            CarriedKey::PeakEquity => self.peak_equity = value,
            CarriedKey::Net => self.net = value,
            CarriedKey::Trades => self.trades = u32::try_from(value.get()).unwrap_or(u32::MAX),
            CarriedKey::Levels => {
                for (idx, level) in self.levels.iter_mut().enumerate() {
                    let byte = (value.get() >> (8 * idx)) as u8;
                    *level = BreakerLevel::from_u8(byte).unwrap_or(BreakerLevel::Halt);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_being_taken_apart() {
        let state = RiskState {
            day: 20_783,
            day_equity: Money::new(i128::MAX / 3),
            peak_equity: Money::new(7),
            net: Money::new(-5),
            trades: 12,
            levels: [BreakerLevel::Normal, BreakerLevel::Shrink, BreakerLevel::Halt, BreakerLevel::ReduceOnly],
        };
        let mut again = RiskState::default();
        for (key, value) in state.values() {
            again.set(key, value);
        }
        assert_eq!((again, again.halted()), (state, Some(Layer::Day)));
        again.set(CarriedKey::Levels, Money::new(9));
        assert_eq!(again.levels[0], BreakerLevel::Halt);
    }
}
