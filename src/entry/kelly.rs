//! How large: a fraction of what Kelly's rule gives for the measured win rate and payoff.
//!
//! J. L. Kelly, "A new interpretation of information rate" (1956): of a bet that wins `b` times the stake with probability `p`,
//! `f = p − (1 − p)/b` of the capital is staked. A position's stake is what it loses when it loses, so that its value is
//! `f · capital / loss`, where `loss` is the mean loss as a share of the value.
//!
//! The measured win rate is drawn towards the one at which nothing is earned, `1/(1 + b)`, as if `shrink_trades` more such trades had
//! been seen: that makes the fraction `n/(n + shrink_trades)` of itself. One loss more than there was is counted, as large as the
//! greatest loss or the mean win, so that a few trades without a loss do not look like certainty.

use crate::types::{Money, Rate};

/// See the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KellyConfig {
    /// Share of Kelly's fraction that is staked.
    pub fraction: Rate,
    /// Trades below which nothing is known yet.
    pub min_trades: u32,
    /// Share of the wished size until then.
    pub probe: Rate,
    /// Trades at break-even that are added to what was measured.
    pub shrink_trades: u32,
}

impl Default for KellyConfig {
    fn default() -> Self {
        Self { fraction: Rate::new(25_000_000), min_trades: 20, probe: Rate::new(25_000_000), shrink_trades: 50 }
    }
}

/// Wins and losses of the newest trades, as shares of their value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WinLoss {
    /// Trades.
    pub trades: u32,
    /// Of them won.
    pub wins: u32,
    /// Sum of what they won, in 10⁻⁸ of their value.
    pub won_e8: i128,
    /// Sum of what the others lost.
    pub lost_e8: i128,
    /// The greatest loss.
    pub worst_e8: i128,
}

impl WinLoss {
    pub(super) fn note(&mut self, share_e8: i128) {
        self.trades += 1;
        if share_e8 > 0 {
            self.wins += 1;
            self.won_e8 = self.won_e8.saturating_add(share_e8);
        } else {
            self.lost_e8 = self.lost_e8.saturating_sub(share_e8);
            self.worst_e8 = self.worst_e8.max(share_e8.saturating_neg());
        }
    }

    /// Mean loss as a share of a trade's value, with one loss more than there was; above zero.
    fn mean_loss_e8(&self) -> i128 {
        let losses = i128::from(self.trades - self.wins) + 1;
        let mean_win = self.won_e8 / i128::from(self.wins.max(1));
        (self.lost_e8.saturating_add(self.worst_e8.max(mean_win)) / losses).max(1)
    }

    /// Kelly's fraction, drawn towards nothing by how little was seen; negative: there is no edge.
    pub fn kelly(&self, config: &KellyConfig) -> Rate {
        let one = i128::from(Rate::ONE.get());
        let (trades, wins) = (i128::from(self.trades) + 1, i128::from(self.wins));
        let p = wins * one / trades;
        let mean_win = self.won_e8 / wins.max(1);
        // f = p − (1 − p)·loss/win; without a win there is nothing to divide by, and no edge.
        if mean_win <= 0 {
            return Rate::new(-Rate::ONE.get());
        }
        let f = p - (one - p).saturating_mul(self.mean_loss_e8()) / mean_win;
        let shrunk = f.saturating_mul(trades) / (trades + i128::from(config.shrink_trades));
        Rate::new(shrunk.clamp(-one, one) as i64)
    }
}

impl KellyConfig {
    /// Most that a position may be worth, of which `wished` is; nothing where there is no edge. Never more than is wished.
    pub(super) fn value_max(&self, record: &WinLoss, capital: Money, wished: Money) -> Money {
        if record.trades < self.min_trades {
            return share(wished, self.probe.get().into());
        }
        let kelly = i128::from(record.kelly(self).get());
        if kelly <= 0 || capital <= Money::ZERO {
            return Money::ZERO;
        }
        let stake = share(share(capital, kelly), self.fraction.get().into());
        let one = i128::from(Rate::ONE.get());
        Money::new(stake.get().saturating_mul(one) / record.mean_loss_e8()).min(wished)
    }
}

/// The share of an amount, rounded down.
fn share(amount: Money, rate_e8: i128) -> Money {
    Money::new(amount.get().saturating_mul(rate_e8) / i128::from(Rate::ONE.get()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(wins: u32, losses: u32, win: i128, loss: i128) -> WinLoss {
        let mut record = WinLoss::default();
        (0..wins).for_each(|_| record.note(win));
        (0..losses).for_each(|_| record.note(-loss));
        record
    }

    fn whole(units: i128) -> Money {
        Money::new(units * Money::ONE.get())
    }

    const EXACT: KellyConfig = KellyConfig { fraction: Rate::ONE, min_trades: 1, probe: Rate::ZERO, shrink_trades: 0 };

    #[test]
    fn it_is_the_textbook_fraction_where_much_is_known() {
        // 60 % wins of as much as is lost: f = 0.2. The loss that is added is one in 100,001.
        let f = record(60_000, 40_000, 100_000, 100_000).kelly(&EXACT).get();
        assert!((19_990_000..=20_000_000).contains(&f), "{f}");
        // 50 % of twice as much: f = 0.5 − 0.5/2 = 0.25.
        let f = record(50_000, 50_000, 200_000, 100_000).kelly(&EXACT).get();
        assert!((24_990_000..=25_000_000).contains(&f), "{f}");
    }

    #[test]
    fn the_value_is_what_loses_the_stake() {
        // f = 0.2 of 1,000 is 200; a tenth of a percent is lost at a time: 200,000 is the value.
        let record = record(60_000, 40_000, 100_000, 100_000);
        let value = EXACT.value_max(&record, whole(1_000), whole(1_000_000));
        assert!(value > whole(199_900) && value <= whole(200_000), "{value}");
        let quarter = KellyConfig { fraction: Rate::new(25_000_000), ..EXACT };
        let value = quarter.value_max(&record, whole(1_000), whole(1_000_000));
        assert!(value > whole(49_900) && value <= whole(50_000), "{value}");
        assert_eq!(EXACT.value_max(&record, whole(1_000), whole(500)), whole(500), "never more than is wished");
        assert_eq!(EXACT.value_max(&record, Money::ZERO, whole(500)), Money::ZERO);
    }

    #[test]
    fn little_knowledge_is_a_probe_and_no_edge_is_no_trade() {
        let config = KellyConfig::default();
        assert_eq!(config.value_max(&record(19, 0, 5, 5), whole(1_000), whole(100)), whole(25));
        assert_eq!(config.value_max(&record(10, 30, 5, 5), whole(1_000), whole(100)), Money::ZERO);
        assert_eq!(config.value_max(&record(0, 30, 5, 5), whole(1_000), whole(100)), Money::ZERO);
        // Only wins: one loss is added, and the fraction stays below one.
        let kelly = record(20, 0, 100, 0).kelly(&config);
        assert!(kelly > Rate::ZERO && kelly < Rate::new(30_000_000), "{kelly}");
    }

    proptest! {
        #[test]
        fn more_doubt_is_never_more_size(
            wins in 0u32..500, losses in 0u32..500, win in 1i128..1_000_000, loss in 1i128..1_000_000, shrink in 0u32..500,
        ) {
            let record = record(wins, losses, win, loss);
            let sure = record.kelly(&EXACT);
            let unsure = record.kelly(&KellyConfig { shrink_trades: shrink, ..EXACT });
            prop_assert!(sure < Rate::ONE);
            prop_assert_eq!(sure > Rate::ZERO, unsure > Rate::ZERO || sure.get().unsigned_abs() < 1_000);
            prop_assert!(unsure.get().abs() <= sure.get().abs());
            // More losses are never a greater fraction.
            let mut worse = record;
            worse.note(-loss);
            prop_assert!(worse.kelly(&EXACT) <= sure);
        }
    }
}
