//! What an instrument must be to be traded, and why another one is not.

use std::collections::BTreeSet;
use std::fmt;

use super::{Market, Metrics, NoMetrics, bps};
use crate::types::{ContractKind, ListingStatus, Money, Nanos, Rate};

/// Bounds that an instrument must keep; all of them inclusive.
#[derive(Clone, Debug, PartialEq)]
pub struct Filters {
    /// Names that are considered; empty: all.
    pub include: BTreeSet<String>,
    /// Names that are never considered.
    pub exclude: BTreeSet<String>,
    /// Kinds of contract that are considered.
    pub contracts: Vec<ContractKind>,
    /// Coin in which profits are paid; empty: any.
    pub settle: String,
    /// Least time since the launch, in nanoseconds. Where the venue does not tell the launch, this passes.
    pub age_min_ns: u64,
    /// Least time to the delivery or delisting, in nanoseconds.
    pub delivery_min_ns: u64,
    /// Least value traded in 24 hours.
    pub turnover_min: Money,
    /// Least spread as a share of the mid.
    pub spread_min: Rate,
    /// Greatest spread as a share of the mid.
    pub spread_max: Rate,
    /// Least volatility of a minute in hundredths of a percent; `None`: any, known or not.
    pub volatility_min_bps: Option<f64>,
    /// Greatest volatility, likewise.
    pub volatility_max_bps: Option<f64>,
    /// Greatest funding of a day, either way.
    pub funding_max: Rate,
    /// Greatest fee of a resting fill.
    pub maker_fee_max: Rate,
    /// Value of one order: the least order that the venue takes must not be worth more.
    pub order_value: Money,
    /// Leverage that must be offered, in hundredths.
    pub leverage_min_e2: u32,
}

impl Default for Filters {
    /// Perpetuals that settle in USDT, a week old, 5 million traded a day, spread up to 20 hundredths of a percent.
    fn default() -> Self {
        let day_ns = 86_400_000_000_000;
        Self {
            include: BTreeSet::new(),
            exclude: BTreeSet::new(),
            contracts: vec![ContractKind::Perpetual],
            settle: "USDT".to_owned(),
            age_min_ns: 7 * day_ns,
            delivery_min_ns: 3 * day_ns,
            turnover_min: Money::ONE.saturating_mul(5_000_000),
            spread_min: Rate::ZERO,
            spread_max: Rate::new(200_000),
            volatility_min_bps: None,
            volatility_max_bps: None,
            funding_max: Rate::new(1_000_000),
            maker_fee_max: Rate::new(200_000),
            order_value: Money::ONE.saturating_mul(200),
            leverage_min_e2: 0,
        }
    }
}

/// Why an instrument is not ranked: the first of its shortcomings, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// It is on the list of those never considered.
    Excluded,
    /// There is a list of those considered, and it is not on it.
    NotIncluded,
    /// It does not trade.
    Status(ListingStatus),
    /// Another kind of contract.
    Contract(ContractKind),
    /// It settles in another coin.
    Settle(String),
    /// It is too young; its age in nanoseconds.
    Age(u64),
    /// It is delivered or delisted too soon; the time left in nanoseconds.
    Delivery(u64),
    /// There is no bid or no ask.
    NoMarket,
    /// The best bid is at or above the best ask.
    Crossed,
    /// A price is not a multiple of the tick.
    OffTick(Money),
    /// Too little is traded.
    Turnover(Money),
    /// The spread is too narrow; in hundredths of a percent.
    Narrow(f64),
    /// The spread is too wide; in hundredths of a percent.
    Wide(f64),
    /// A volatility is asked for and nothing tells it.
    NoVolatility,
    /// It moves too little; in hundredths of a percent a minute.
    Calm(f64),
    /// It moves too much; in hundredths of a percent a minute.
    Wild(f64),
    /// Funding is too great; of a day.
    Funding(Rate),
    /// The maker fee is too great.
    Fee(Rate),
    /// Its least order is worth more than ours.
    MinOrder(Money),
    /// It offers too little leverage; in hundredths.
    Leverage(u32),
}

impl Reason {
    /// The name by which it is counted.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Excluded => "excluded",
            Self::NotIncluded => "not-included",
            Self::Status(_) => "status",
            Self::Contract(_) => "contract",
            Self::Settle(_) => "settle-coin",
            Self::Age(_) => "age",
            Self::Delivery(_) => "delivery",
            Self::NoMarket => "no-market",
            Self::Crossed => "crossed",
            Self::OffTick(_) => "off-tick",
            Self::Turnover(_) => "turnover",
            Self::Narrow(_) => "spread-narrow",
            Self::Wide(_) => "spread-wide",
            Self::NoVolatility => "no-volatility",
            Self::Calm(_) => "volatility-low",
            Self::Wild(_) => "volatility-high",
            Self::Funding(_) => "funding",
            Self::Fee(_) => "fee",
            Self::MinOrder(_) => "min-order",
            Self::Leverage(_) => "leverage",
        }
    }
}

/// What was found, for people.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HOUR_NS: f64 = 3.6e12;
        match self {
            Self::Excluded => f.write_str("excluded by name"),
            Self::NotIncluded => f.write_str("not among the names included"),
            Self::Status(status) => write!(f, "status {}", status.name()),
            Self::Contract(kind) => write!(f, "contract {}", kind.name()),
            Self::Settle(coin) => write!(f, "settles in {coin}"),
            Self::Age(ns) => write!(f, "listed for {:.1} h", *ns as f64 / HOUR_NS),
            Self::Delivery(ns) => write!(f, "ends in {:.1} h", *ns as f64 / HOUR_NS),
            Self::NoMarket => f.write_str("no bid or no ask"),
            Self::Crossed => f.write_str("bid at or above ask"),
            Self::OffTick(px) => write!(f, "price {px} is not a multiple of the tick"),
            Self::Turnover(value) => write!(f, "24 h turnover {value}"),
            Self::Narrow(found) | Self::Wide(found) => write!(f, "spread {found:.3} bps"),
            Self::NoVolatility => f.write_str("volatility not known"),
            Self::Calm(found) | Self::Wild(found) => write!(f, "volatility {found:.3} bps/min"),
            Self::Funding(rate) => write!(f, "funding {:.3} bps/day", bps(*rate)),
            Self::Fee(rate) => write!(f, "maker fee {:.3} bps", bps(*rate)),
            Self::MinOrder(value) => write!(f, "least order {value}"),
            Self::Leverage(e2) => write!(f, "leverage {}.{:02}", e2 / 100, e2 % 100),
        }
    }
}

impl Filters {
    /// What the instrument is made of, or the first bound that it does not keep.
    ///
    /// # Errors
    /// The [`Reason`].
    pub fn check(&self, market: &Market<'_>, now: Nanos) -> Result<Metrics, Reason> {
        let listing = market.listing;
        let name = listing.spec.symbol.as_str();
        if self.exclude.contains(name) {
            return Err(Reason::Excluded);
        }
        if !self.include.is_empty() && !self.include.contains(name) {
            return Err(Reason::NotIncluded);
        }
        if listing.status != ListingStatus::Trading {
            return Err(Reason::Status(listing.status));
        }
        if !self.contracts.contains(&listing.contract) {
            return Err(Reason::Contract(listing.contract));
        }
        if !self.settle.is_empty() && self.settle != listing.settle {
            return Err(Reason::Settle(listing.settle.clone()));
        }
        let age = listing.launched.map(|launched| now.saturating_since(launched));
        if let Some(age) = age.filter(|age| *age < self.age_min_ns) {
            return Err(Reason::Age(age));
        }
        let left = listing.delivers.map(|delivers| delivers.saturating_since(now));
        if let Some(left) = left.filter(|left| *left < self.delivery_min_ns) {
            return Err(Reason::Delivery(left));
        }
        let metrics = Metrics::of(market).map_err(|error| match error {
            NoMetrics::NoMarket => Reason::NoMarket,
            NoMetrics::Crossed => Reason::Crossed,
            NoMetrics::OffTick(px) => Reason::OffTick(px),
        })?;
        self.check_metrics(&metrics, market)?;
        Ok(metrics)
    }

    fn check_metrics(&self, metrics: &Metrics, market: &Market<'_>) -> Result<(), Reason> {
        let spec = &market.listing.spec;
        if metrics.turnover_24h < self.turnover_min {
            return Err(Reason::Turnover(metrics.turnover_24h));
        }
        if metrics.cmp_spread(self.spread_min).is_lt() {
            return Err(Reason::Narrow(metrics.spread_bps));
        }
        if metrics.cmp_spread(self.spread_max).is_gt() {
            return Err(Reason::Wide(metrics.spread_bps));
        }
        let found = metrics.volatility.map(|volatility| volatility.bps_per_min);
        if (self.volatility_min_bps.is_some() || self.volatility_max_bps.is_some()) && found.is_none() {
            return Err(Reason::NoVolatility);
        }
        if let (Some(found), Some(least)) = (found, self.volatility_min_bps)
            && found < least
        {
            return Err(Reason::Calm(found));
        }
        if let (Some(found), Some(most)) = (found, self.volatility_max_bps)
            && found > most
        {
            return Err(Reason::Wild(found));
        }
        if metrics.funding_per_day.get().unsigned_abs() > self.funding_max.get().unsigned_abs() {
            return Err(Reason::Funding(metrics.funding_per_day));
        }
        if spec.maker_fee > self.maker_fee_max {
            return Err(Reason::Fee(spec.maker_fee));
        }
        if metrics.min_order_value > self.order_value {
            return Err(Reason::MinOrder(metrics.min_order_value));
        }
        if spec.max_leverage_e2 < self.leverage_min_e2 {
            return Err(Reason::Leverage(spec.max_leverage_e2));
        }
        Ok(())
    }
}
