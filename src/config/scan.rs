//! The table `[scan]`: which instruments are worth trading.

use serde::{Deserialize, Serialize};

use super::value::Ratio;
use super::{Bps, Config, Duration, Environment, MoneyText, StrategyName};
use crate::scan::{Filters, Weights};
use crate::types::{ContractKind, Money, Product};

/// What is scanned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ScanProduct {
    /// Contracts settled in the quote coin: perpetuals and dated futures.
    #[default]
    Linear,
    /// Spot pairs. For looking: `run` trades linear contracts.
    Spot,
}

impl ScanProduct {
    /// The product itself.
    pub const fn product(self) -> Product {
        match self {
            Self::Linear => Product::Linear,
            Self::Spot => Product::Spot,
        }
    }
}

table! {
    /// Which instruments are worth trading; see [`Filters`] and [`Weights`].
    ScanTable {
        /// How many of the best `run` subscribes if no instrument is named; 0: none.
        subscribe: usize,
        /// Time between two looks at the venue's list while trading.
        refresh: Duration,
        /// Most memory for the books of subscribed instruments, in MiB: their windows shrink until they fit.
        books_mib_max: usize,
        /// linear or spot.
        product: ScanProduct,
        /// Whether dated futures are considered beside perpetuals.
        futures: bool,
        /// Coin in which profits are paid (spot: the quote coin); empty: any.
        settle: String,
        /// Names that are considered; empty: all.
        include: Vec<String>,
        /// Names that are never considered.
        exclude: Vec<String>,
        /// Least value traded in 24 hours. Default: 5,000,000 on mainnet, 0 elsewhere.
        turnover_min: Option<MoneyText>,
        /// Least spread as a share of the mid.
        spread_min_bps: Bps,
        /// Greatest spread as a share of the mid.
        spread_max_bps: Bps,
        /// Least volatility of a minute.
        volatility_min_bps: Option<Ratio>,
        /// Greatest volatility of a minute.
        volatility_max_bps: Option<Ratio>,
        /// For how many of the best the realised volatility is asked for, one request each; 0: the range of 24 hours is
        /// the estimate of all.
        klines: usize,
        /// Candles of one minute for each of them.
        kline_count: u32,
        /// Greatest funding of a day, either way.
        funding_max_bps: Bps,
        /// Greatest maker fee.
        maker_fee_max_bps: Bps,
        /// Maker fee to count with; none: the account's if it is known, else the venue's ordinary one.
        maker_fee_bps: Option<Bps>,
        /// Value of one order; none: what the configured strategy quotes or trades.
        order_value: Option<MoneyText>,
        /// Leverage that must be offered, in hundredths.
        leverage_min_e2: u32,
        /// Least time since the launch. Default: 168h on mainnet, 0 elsewhere.
        age_min: Option<Duration>,
        /// Least time to a delivery or delisting.
        delivery_min: Duration,
        /// Weight of a factor ten in turnover.
        weight_turnover: Ratio,
        /// Weight of a hundredth of a percent of edge.
        weight_edge: Ratio,
        /// Weight of a hundredth of a percent of volatility in a minute.
        weight_volatility: Ratio,
        /// Weight of a hundredth of a percent of funding in a day.
        weight_funding: Ratio,
    }
}

impl Default for ScanTable {
    fn default() -> Self {
        let (filters, weights) = (Filters::default(), Weights::default());
        Self {
            subscribe: 0,
            refresh: Duration(60_000_000_000),
            books_mib_max: 64,
            product: ScanProduct::Linear,
            futures: false,
            settle: filters.settle,
            include: Vec::new(),
            exclude: Vec::new(),
            turnover_min: None,
            spread_min_bps: Bps(filters.spread_min),
            spread_max_bps: Bps(filters.spread_max),
            volatility_min_bps: None,
            volatility_max_bps: None,
            klines: 0,
            kline_count: 120,
            funding_max_bps: Bps(filters.funding_max),
            maker_fee_max_bps: Bps(filters.maker_fee_max),
            maker_fee_bps: None,
            order_value: None,
            leverage_min_e2: filters.leverage_min_e2,
            age_min: None,
            delivery_min: Duration(filters.delivery_min_ns),
            weight_turnover: Ratio(weights.turnover),
            weight_edge: Ratio(weights.edge),
            weight_volatility: Ratio(weights.volatility),
            weight_funding: Ratio(weights.funding),
        }
    }
}

/// Most instruments whose candles are asked for in one scan: a third of what the venue allows an address in five seconds.
pub const KLINE_INSTRUMENTS_MAX: usize = 200;

impl ScanTable {
    /// Checks ranges.
    ///
    /// # Errors
    /// The key, and what was found and what is allowed.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let within = |key, found: u64, least: u64, most: u64| {
            let is_good = (least..=most).contains(&found);
            if is_good { Ok(()) } else { Err((key, format!("found {found}, allowed is {least} to {most}"))) }
        };
        within("subscribe", self.subscribe as u64, 0, crate::types::InstrumentTable::LEN_MAX as u64)?;
        within("klines", self.klines as u64, 0, KLINE_INSTRUMENTS_MAX as u64)?;
        within("kline-count", u64::from(self.kline_count), 11, u64::from(crate::venue::bybit::KLINES_MAX))?;
        within("books-mib-max", self.books_mib_max as u64, 1, 1 << 20)?;
        if self.refresh.0 < 1_000_000_000 {
            return Err(("refresh", format!("found {}, allowed are 1s and more", self.refresh)));
        }
        if self.subscribe > 0 && self.product != ScanProduct::Linear {
            return Err(("subscribe", "only linear contracts are traded: `product` must be linear".to_owned()));
        }
        // A run follows the wallet of one coin; profits in another would not be seen.
        if self.subscribe > 0 && self.settle != "USDT" {
            return Err(("settle", format!("found `{}`, a run that subscribes a scan allows USDT", self.settle)));
        }
        Ok(())
    }
}

impl Config {
    /// The bounds of `[scan]`, with what follows from venue and strategy.
    pub fn scan_filters(&self) -> Filters {
        let t = &self.scan;
        let d = Filters::default();
        let is_mainnet = self.venue.environment == Environment::Mainnet;
        let mut contracts = match t.product {
            ScanProduct::Linear => vec![ContractKind::Perpetual],
            ScanProduct::Spot => vec![ContractKind::Spot],
        };
        if t.futures {
            contracts.push(ContractKind::Future);
        }
        let strategy_value = match self.strategy.name {
            StrategyName::ImbalanceTaker => self.imbalance_taker.trade_value,
            _ => self.market_maker.quote_value,
        };
        Filters {
            include: t.include.iter().cloned().collect(),
            exclude: t.exclude.iter().cloned().collect(),
            contracts,
            settle: t.settle.clone(),
            age_min_ns: t.age_min.map_or(if is_mainnet { d.age_min_ns } else { 0 }, |age| age.0),
            delivery_min_ns: t.delivery_min.0,
            turnover_min: t.turnover_min.map_or(if is_mainnet { d.turnover_min } else { Money::ZERO }, |value| value.0),
            spread_min: t.spread_min_bps.0,
            spread_max: t.spread_max_bps.0,
            volatility_min_bps: t.volatility_min_bps.map(|ratio| ratio.0),
            volatility_max_bps: t.volatility_max_bps.map(|ratio| ratio.0),
            funding_max: t.funding_max_bps.0,
            maker_fee_max: t.maker_fee_max_bps.0,
            order_value: t.order_value.unwrap_or(strategy_value).0,
            leverage_min_e2: t.leverage_min_e2,
        }
    }

    /// The weights of `[scan]`.
    pub fn scan_weights(&self) -> Weights {
        let t = &self.scan;
        Weights {
            turnover: t.weight_turnover.0,
            edge: t.weight_edge.0,
            volatility: t.weight_volatility.0,
            funding: t.weight_funding.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_table_becomes_filters_and_the_environment_decides_what_is_not_given() {
        let parse = |text: &str| Config::parse(text, Path::new("my.toml")).unwrap();
        let found = parse("[scan]\nsubscribe = 120\n").scan_filters();
        assert_eq!((found.turnover_min, found.age_min_ns), (Money::ZERO, 0));
        let real = parse("[venue]\nenvironment = \"mainnet\"\n").scan_filters();
        assert_eq!(real, Filters::default());
        let given = parse(
            "[venue]\nenvironment = \"mainnet\"\n[scan]\nturnover-min = \"7.5\"\nage-min = \"2h\"\nfutures = true\nvolatility-max-bps = 3.5\norder-value = 12\nsettle = \"\"\n",
        );
        let filters = given.scan_filters();
        assert_eq!((filters.turnover_min.to_string(), filters.age_min_ns), ("7.5".to_owned(), 7_200_000_000_000));
        assert_eq!(filters.contracts, [ContractKind::Perpetual, ContractKind::Future]);
        assert_eq!((filters.volatility_max_bps, filters.order_value.to_string()), (Some(3.5), "12".to_owned()));
        let taker = parse("[strategy]\nname = \"imbalance-taker\"\n[imbalance-taker]\ntrade-value = 33\n");
        assert_eq!(taker.scan_filters().order_value.to_string(), "33");
        assert_eq!(given.to_string(), parse(&given.to_string()).to_string());
    }

    #[test]
    fn ranges_are_checked_with_file_line_and_key() {
        for (text, want) in [
            ("[scan]\nkline-count = 5\n", "line 2, key `kline-count`: found 5, allowed is 11 to 1000"),
            ("[scan]\nklines = 201\n", "line 2, key `klines`: found 201, allowed is 0 to 200"),
            ("[scan]\nrefresh = \"10ms\"\n", "line 2, key `refresh`: found 10ms"),
            ("[scan]\nproduct = \"spot\"\nsubscribe = 3\n", "line 3, key `subscribe`"),
            ("[scan]\nsubscribe = 3\nsettle = \"USDC\"\n", "line 3, key `settle`: found `USDC`"),
            ("[scan]\nsubscribe = 3\nsettle = \"\"\n", "line 3, key `settle`"),
            ("[scan]\nturnover-min = 1.5\n", "line 2"),
        ] {
            let found = Config::parse(text, Path::new("my.toml")).unwrap_err().to_string();
            assert!(found.contains(want), "{found:?} should say {want:?}");
        }
    }
}
