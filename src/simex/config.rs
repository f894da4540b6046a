//! What a simulated venue is made of.

use super::{capture::CaptureLine, fault::FaultScript};
use crate::{
    sim::{ThinStyle, VenueLimits},
    types::{InstrumentSpec, Lots, Money, Product, Rate, Step, Symbol, Ticks, VenueId},
};

/// A simulated venue, before it opens.
#[derive(Clone, Debug)]
pub struct SimexConfig {
    /// What is traded; ids follow the order.
    pub listings: Vec<ListingConfig>,
    /// Who or what is the counterparty.
    pub feed: FeedConfig,
    /// Who may log in.
    pub accounts: Vec<AccountConfig>,
    /// Order requests to each endpoint that an account may send in a second; Bybit's ordinary number is 10. On spot new orders and
    /// cancellations may be twice as many.
    pub orders_per_second: u32,
    /// Queries to each endpoint that an account may send in a second.
    pub queries_per_second: u32,
    /// HTTP requests from one address in 5 seconds; all clients count as one address.
    pub http_per_5s: u32,
    /// How long an address that asked too much gets nothing but status 403.
    pub http_ban_ns: u64,
    /// Order requests over WebSockets from one address in a second.
    pub trade_per_second: u32,
    /// Simulated way of a request to the matching engine.
    pub uplink_ns: u64,
    /// Simulated way of a message back.
    pub downlink_ns: u64,
    /// Rate of each funding payment.
    pub funding_rate: Rate,
    /// Time between funding payments; they fall on its multiples since the epoch.
    pub funding_interval_ns: u64,
    /// Bounds of the venue.
    pub venue: VenueLimits,
    /// Most connections at a time; further ones are refused.
    pub conns_max: usize,
    /// Bytes that may wait for one slow client before it is cut off.
    pub send_bytes: usize,
    /// What goes wrong; times count from the opening.
    pub faults: FaultScript,
}

/// One instrument of a simulated venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListingConfig {
    /// Its constants.
    pub spec: InstrumentSpec,
    /// Where a population starts to trade it.
    pub start_px: Ticks,
    /// The ordinary size of a simulated trader's order.
    pub unit: Lots,
    /// How much a population's fair value moves in a second, as a standard deviation in ticks.
    pub ticks_per_second: i64,
    /// What else sets it apart.
    pub profile: ListingProfile,
}

/// What sets an instrument apart from the ordinary one, which the default is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ListingProfile {
    /// Whether it can be traded.
    pub status: ListingStatus,
    /// A cheap market of this style instead of a whole crowd; its own deviation counts.
    pub thin: Option<ThinStyle>,
    /// Rate of its funding payments instead of the venue's.
    pub funding_rate: Option<Rate>,
    /// Time between its funding payments instead of the venue's.
    pub funding_interval_ns: Option<u64>,
    /// How long it had been listed when the venue opened; none: since 30 March 2020.
    pub age_ns: Option<u64>,
    /// A dated future: when it is settled, in milliseconds since the epoch.
    pub delivery_ms: Option<u64>,
    /// Contracts open, as told; nothing depends on it.
    pub open_interest: Lots,
    /// The seed of prices and volumes before the opening; without one there is no past.
    pub past_seed: Option<u64>,
}

/// What an instrument's life has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ListingStatus {
    /// Announced; nothing trades yet.
    PreLaunch,
    /// Trades.
    #[default]
    Trading,
    /// Being settled; nothing trades any more.
    Delivering,
    /// Over.
    Closed,
}

impl ListingStatus {
    /// Returns the venue's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreLaunch => "PreLaunch",
            Self::Trading => "Trading",
            Self::Delivering => "Delivering",
            Self::Closed => "Closed",
        }
    }
}

/// Who or what is the counterparty.
#[derive(Clone, Debug)]
pub enum FeedConfig {
    /// Simulated traders on the matching engine.
    Population {
        /// The seed that everything follows from.
        seed: u64,
    },
    /// Recorded frames, sent as they were; our orders are matched against them by place in the queue.
    Capture {
        /// The frames with their times.
        lines: Vec<CaptureLine>,
        /// Playing speed in percent; 100 is the recorded pace.
        speed_percent: u32,
        /// Whether to start over at the end.
        repeat: bool,
    },
    /// Nobody: only the accounts trade with each other.
    Quiet,
}

/// One account of a simulated venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountConfig {
    /// The venue's number for the user.
    pub uid: u64,
    /// Public part of the key.
    pub api_key: String,
    /// Secret part of the key. It guards simulated money only.
    pub api_secret: String,
    /// Opening balance in the settlement currency.
    pub balance: Money,
    /// Leverage in hundredths.
    pub leverage_e2: u32,
}

impl Default for AccountConfig {
    fn default() -> Self {
        Self {
            uid: 1_000_001,
            api_key: "simulated-key".into(),
            api_secret: "simulated-secret".into(),
            balance: Money::ONE.saturating_mul(100_000),
            leverage_e2: 1_000,
        }
    }
}

impl Default for SimexConfig {
    /// BTCUSDT and ETHUSDT, a population of traders, one account.
    fn default() -> Self {
        Self {
            listings: default_listings(),
            feed: FeedConfig::Population { seed: 42 },
            accounts: vec![AccountConfig::default()],
            orders_per_second: 10,
            queries_per_second: 50,
            http_per_5s: 600,
            http_ban_ns: 600 * 1_000_000_000,
            trade_per_second: 3_000,
            uplink_ns: 0,
            downlink_ns: 0,
            funding_rate: Rate::new(10_000),
            funding_interval_ns: 8 * 3600 * 1_000_000_000,
            venue: VenueLimits::default(),
            conns_max: 64,
            send_bytes: 1 << 20,
            faults: FaultScript::default(),
        }
    }
}

impl SimexConfig {
    /// Lists BTCUSDT and ETHUSDT as spot pairs too, after what is listed already.
    pub fn list_spot(&mut self) {
        for (mut listing, past_seed) in default_listings().into_iter().zip([0x73_706f_7400, 0x73_706f_7401]) {
            listing.spec.product = Product::Spot;
            listing.profile.past_seed = Some(past_seed);
            self.listings.push(listing);
        }
    }
}

pub(super) fn default_listings() -> Vec<ListingConfig> {
    let listing = |symbol: &[u8], tick: &[u8], lot: &[u8], start_px: &[u8], unit: i64| {
        let (tick, lot) = (Step::from_text(tick).ok()?, Step::from_text(lot).ok()?);
        let mut spec = InstrumentSpec::new(VenueId::BYBIT, Symbol::new(symbol)?, Product::Linear, tick, lot)?;
        spec.min_notional = Money::ONE.saturating_mul(5);
        spec.max_qty = Lots::new(1_190_000);
        let start_px = tick.parse_ticks(start_px).ok()?;
        Some(ListingConfig {
            spec,
            start_px,
            unit: Lots::new(unit),
            ticks_per_second: 8,
            profile: ListingProfile::default(),
        })
    };
    let listings =
        [listing(b"BTCUSDT", b"0.1", b"0.001", b"60000", 50), listing(b"ETHUSDT", b"0.01", b"0.01", b"3000", 100)];
    listings.into_iter().flatten().collect()
}
