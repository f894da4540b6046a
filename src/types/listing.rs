//! What a venue offers, and how each of it trades: the input of a scan. For the shell; nothing here is on the hot path.

use super::{InstrumentSpec, Money, Nanos, Rate, Symbol};

/// Whether an instrument can be traded now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListingStatus {
    /// It trades.
    Trading,
    /// Announced, or in its opening auction.
    PreLaunch,
    /// Its last prices are being settled.
    Delivering,
    /// It trades no more.
    Closed,
    /// A word that is not known here: it counts as not trading.
    Unknown,
}

impl ListingStatus {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trading => "trading",
            Self::PreLaunch => "pre-launch",
            Self::Delivering => "delivering",
            Self::Closed => "closed",
            Self::Unknown => "unknown",
        }
    }
}

/// What kind of contract it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ContractKind {
    /// No delivery; funding keeps it near its index.
    Perpetual,
    /// Delivered at a date.
    Future,
    /// Spot pair.
    Spot,
    /// A word that is not known here.
    Unknown,
}

impl ContractKind {
    /// The name in configuration and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Perpetual => "perpetual",
            Self::Future => "future",
            Self::Spot => "spot",
            Self::Unknown => "unknown",
        }
    }
}

/// One instrument as the venue lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Steps, bounds and fees.
    pub spec: InstrumentSpec,
    /// Whether it trades.
    pub status: ListingStatus,
    /// What kind of contract it is.
    pub contract: ContractKind,
    /// Coin that is bought and sold.
    pub base: String,
    /// Coin in which the price is told.
    pub quote: String,
    /// Coin in which profits are paid; of spot the quote coin.
    pub settle: String,
    /// Time between two funding payments in minutes; `None` if it has none.
    pub funding_interval_min: Option<u32>,
    /// When it was first traded; `None` if the venue does not say.
    pub launched: Option<Nanos>,
    /// When it is delivered or delisted; `None` if there is no such date.
    pub delivers: Option<Nanos>,
}

/// Something that the venue told and that cannot be used exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The venue's name for it, as far as it has one.
    pub symbol: String,
    /// What is wrong with it.
    pub reason: String,
}

/// How one instrument trades at a moment, as the venue tells it. Prices and values are exact; what a venue leaves out is
/// `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketSnapshot {
    /// The venue's name for it.
    pub symbol: Symbol,
    /// Best bid.
    pub bid_px: Option<Money>,
    /// Best ask.
    pub ask_px: Option<Money>,
    /// Last traded price.
    pub last_px: Option<Money>,
    /// Price of 24 hours ago.
    pub prev_px_24h: Option<Money>,
    /// Highest price of 24 hours.
    pub high_px_24h: Option<Money>,
    /// Lowest price of 24 hours.
    pub low_px_24h: Option<Money>,
    /// Base coin traded in 24 hours, cut after twelve decimals.
    pub volume_24h: Option<Money>,
    /// Value traded in 24 hours in the quote coin, cut after twelve decimals.
    pub turnover_24h: Option<Money>,
    /// Value of the open positions in the quote coin, cut after twelve decimals.
    pub open_interest_value: Option<Money>,
    /// Rate of the next funding payment.
    pub funding_rate: Option<Rate>,
    /// When it is due.
    pub next_funding: Option<Nanos>,
}

impl MarketSnapshot {
    /// A snapshot in which nothing is told but the name.
    pub const fn silent(symbol: Symbol) -> Self {
        Self {
            symbol,
            bid_px: None,
            ask_px: None,
            last_px: None,
            prev_px_24h: None,
            high_px_24h: None,
            low_px_24h: None,
            volume_24h: None,
            turnover_24h: None,
            open_interest_value: None,
            funding_rate: None,
            next_funding: None,
        }
    }
}

/// One candle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kline {
    /// When it began.
    pub start: Nanos,
    /// First price.
    pub open: Money,
    /// Highest price.
    pub high: Money,
    /// Lowest price.
    pub low: Money,
    /// Last price.
    pub close: Money,
}
