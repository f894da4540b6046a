//! What the venue's levels pay, by name.
//!
//! Bybit, "Trading fee structure" (help centre), as of November 2026: percent of the executed value. Region and group of symbols can
//! differ, so that this is for simulations; a live run asks the venue (`/v5/account/fee-rate`).

use serde::{Deserialize, Serialize};

use super::rest::FeeRates;
use crate::types::{Product, Rate};

/// A level of the account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeeTier {
    /// VIP 0: whoever has no level.
    Vip0,
    /// VIP 1.
    Vip1,
    /// VIP 2.
    Vip2,
    /// VIP 3.
    Vip3,
    /// VIP 4.
    Vip4,
    /// VIP 5.
    Vip5,
    /// Supreme VIP.
    #[default]
    Supreme,
}

impl FeeTier {
    /// Every level, the dearest first.
    pub const ALL: [Self; 7] = [Self::Vip0, Self::Vip1, Self::Vip2, Self::Vip3, Self::Vip4, Self::Vip5, Self::Supreme];

    /// What it pays for a kind of instrument.
    pub const fn rates(self, product: Product) -> FeeRates {
        // Taker and maker in 10⁻⁶ of the value: spot, and perpetuals and futures.
        let [spot, contract] = match self {
            Self::Vip0 => [(1_000, 1_000), (550, 200)],
            Self::Vip1 => [(800, 675), (400, 180)],
            Self::Vip2 => [(775, 650), (375, 160)],
            Self::Vip3 => [(750, 625), (350, 140)],
            Self::Vip4 => [(600, 500), (320, 120)],
            Self::Vip5 => [(500, 400), (320, 100)],
            Self::Supreme => [(450, 300), (300, 0)],
        };
        let (taker, maker) = if matches!(product, Product::Spot) { spot } else { contract };
        FeeRates { maker: Rate::new(maker * 100), taker: Rate::new(taker * 100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_the_venues_table_and_never_dearer_than_the_one_below() {
        let text = |tier: FeeTier, product| {
            let rates = tier.rates(product);
            (rates.taker.to_string(), rates.maker.to_string())
        };
        assert_eq!(text(FeeTier::Vip0, Product::Linear), ("0.00055".into(), "0.0002".into()));
        assert_eq!(text(FeeTier::Vip1, Product::Spot), ("0.0008".into(), "0.000675".into()));
        assert_eq!(text(FeeTier::Supreme, Product::Linear), ("0.0003".into(), "0".into()));
        for product in [Product::Linear, Product::Spot] {
            for two in FeeTier::ALL.windows(2) {
                let [low, high] = [two[0], two[1]].map(|tier| tier.rates(product));
                assert!(high.taker <= low.taker && high.maker <= low.maker && high.maker <= high.taker);
            }
        }
    }
}
