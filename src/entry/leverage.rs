//! How much of the margin's worth: `leverage = least profit / (size · expected move − costs)`.

use crate::types::{Money, Rate};

/// Dynamic leverage. A strategy's wished value is then the margin that it would bind, and the position is worth so many times that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeverageConfig {
    /// Least profit that a trade should have, net.
    pub min_profit: Money,
    /// Share of a position's value that the venue wants as maintenance margin.
    pub maintenance: Rate,
    /// How many expected moves of the holding time must fit before a liquidation, in hundredths.
    pub moves_e2: u32,
}

impl Default for LeverageConfig {
    fn default() -> Self {
        Self { min_profit: Money::ONE, maintenance: Rate::new(500_000), moves_e2: 500 }
    }
}

impl LeverageConfig {
    /// The leverage in hundredths for a trade that earns `net` where it is worth its margin; `None`: no trade.
    ///
    /// - Nothing is earned (`net` is zero or less): no leverage makes that a profit.
    /// - More than `bound_e2` would be needed, or than leaves room for [`Self::moves_e2`] moves of `expected_move` before the
    ///   liquidation at `1/leverage − maintenance`: the least profit is out of reach.
    /// - Less than one would do: one.
    pub(super) fn leverage_e2(&self, net: Money, expected_move: Rate, bound_e2: u32) -> Option<u32> {
        if net <= Money::ZERO {
            return None;
        }
        let needed = self.min_profit.get().saturating_mul(100).saturating_add(net.get() - 1) / net.get();
        let needed = needed.max(100);
        let room = i128::from(self.maintenance.get())
            + i128::from(expected_move.get()).saturating_mul(i128::from(self.moves_e2)) / 100;
        let by_liquidation = 100 * i128::from(Rate::ONE.get()) / room.max(1);
        let bound = by_liquidation.min(i128::from(bound_e2));
        if needed > bound { None } else { u32::try_from(needed).ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        Money::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn it_is_what_the_least_profit_asks_for() {
        let config = LeverageConfig { min_profit: money("2"), ..LeverageConfig::default() };
        let quiet = Rate::new(100_000); // a tenth of a percent: five of them and the maintenance are 1 %, hence at most 100 times
        let leverage = |net: &str| config.leverage_e2(money(net), quiet, 10_000);
        assert_eq!(leverage("0.5"), Some(400));
        assert_eq!(leverage("0.3"), Some(667), "rounded up: the profit is reached");
        assert_eq!(leverage("5"), Some(100), "never below one");
        assert_eq!(leverage("0.02"), Some(10_000));
        assert_eq!(leverage("0.0199"), None, "out of reach");
        assert_eq!(leverage("0"), None, "nothing is earned");
        assert_eq!(leverage("-1"), None);
    }

    #[test]
    fn each_bound_bounds() {
        let config = LeverageConfig { min_profit: money("2"), ..LeverageConfig::default() };
        let leverage = |move_e8: i64, bound| config.leverage_e2(money("0.5"), Rate::new(move_e8), bound);
        assert_eq!(leverage(100_000, 399), None, "by the limit of risk or of the instrument");
        // 5 moves of 4.9 % and 0.5 %: four times is just possible; with 5 % it is not.
        assert_eq!(leverage(4_900_000, 10_000), Some(400));
        assert_eq!(leverage(4_901_000, 10_000), None);
        // Absurd moves do not overflow.
        assert_eq!(leverage(i64::MAX, 10_000), None);
    }
}
