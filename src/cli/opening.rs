//! What a venue says before the engine starts, and after it has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Failure;
use super::access::Address;
use super::signals::StopSignals;
use super::summary::VenueView;
use super::universe::{self, Subscription, subscriptions};
use crate::config::{Config, Environment, ForeignOrders, StrategyName};
use crate::net::WsLimits;
use crate::runtime::{ClockOffset, LiveFeedConfig};
use crate::types::{
    ClientOrderId, InstrumentSpec, InstrumentTable, Lots, Money, Nanos, OrderStatus, OrderUpdate, Product, VenueId,
};
use crate::venue::bybit::rest::{FeeRates, RestClient, RestError};
use crate::venue::bybit::{Listings, PrivateDecoder};
use crate::venue::{FeedConfig, MarketFeed};

/// Comparisons of the clocks at the start; the quickest answer counts.
const CLOCK_SAMPLES: usize = 4;

/// Currency in which linear contracts settle.
pub const SETTLE_COIN: &str = "USDT";

/// Most instruments that are asked for one by one.
const NAMED_MAX: usize = 4;

/// What the venue says before the engine starts.
pub struct Opening {
    /// What is traded.
    pub table: InstrumentTable,
    /// The clocks compared.
    pub clock_offset: ClockOffset,
    /// Venue time at which this session's executions begin, in milliseconds.
    pub began_ms: u64,
    /// The account's wallet.
    pub wallet: Money,
}

/// Asks the venue for everything that must be known before the engine can be made, and leaves nothing of an earlier run
/// open unless it is to be kept. Balance, positions and what is open the engine asks for itself.
pub fn open_account(
    rest: &RestClient,
    config: &Config,
    base_url: &str,
    run_id: u32,
    now: &dyn Fn() -> Nanos,
    signals: &StopSignals,
) -> Result<Opening, Failure> {
    let mut clock_offset = ClockOffset::default();
    for _ in 0..CLOCK_SAMPLES {
        let asked = now();
        let venue = rest.time()?;
        clock_offset.observe(asked, venue, now());
    }
    let began_ms = clock_offset.venue_ms(now());
    let venue_now = || clock_offset.venue_ms(now());

    let mut fees = BTreeMap::new();
    if config.scan.subscribe > 0 || config.instruments.len() > NAMED_MAX {
        fees = rest.all_fee_rates(Product::Linear, venue_now())?;
    }
    let must_stop = || signals.is_set();
    let chosen = universe::choose(config, rest, base_url, Some(fees.clone()), now(), &must_stop)?;
    if signals.is_set() {
        return Err(Failure::from("asked to stop before the start"));
    }
    let symbols: Vec<&str> = chosen.iter().map(String::as_str).collect();
    if symbols.is_empty() && config.venue.environment != Environment::Embedded {
        return Err(Failure::usage(
            "no instrument: name them in the configuration, like [[instruments]] symbol = \"BTCUSDT\", or let --scan-top N choose",
        ));
    }
    let listed = listed(rest, Product::Linear, &symbols)?;
    let mut specs: Vec<InstrumentSpec> = listed.trading().map(|listing| listing.spec).collect();
    for symbol in &symbols {
        if !specs.iter().any(|spec| spec.symbol.as_str() == *symbol) {
            return Err(Failure::usage(format!("the venue does not list `{symbol}` as a linear contract that trades")));
        }
    }
    // In the order in which they were named or ranked.
    if !symbols.is_empty() {
        specs.sort_by_key(|spec| symbols.iter().position(|symbol| *symbol == spec.symbol.as_str()));
    }
    if fees.is_empty() && specs.len() > NAMED_MAX {
        // All that the venue lists: one by one they would be more questions than it answers in a second.
        fees = rest.all_fee_rates(Product::Linear, venue_now())?;
    }
    for spec in &mut specs {
        let fees = match fees.get(spec.symbol.as_str()) {
            Some(fees) => *fees,
            None => fee_rates(rest, config, spec, venue_now())?,
        };
        (spec.maker_fee, spec.taker_fee) = (fees.maker, fees.taker);
    }
    let table = InstrumentTable::new(specs).ok_or("the venue lists more instruments than a table holds")?;
    let mut decoder = PrivateDecoder::new(&table, run_id, SETTLE_COIN);
    if config.orders.foreign == ForeignOrders::Cancel {
        rest.cancel_all(Product::Linear, SETTLE_COIN, venue_now())?;
    }
    // Who only watches holds no position.
    if config.strategy.name != StrategyName::Watch {
        set_leverages(rest, &table, config.risk.leverage_e2, &venue_now, signals)?;
    }
    let balance = rest
        .wallet_balance(&mut decoder, SETTLE_COIN, venue_now())?
        .ok_or_else(|| Failure::usage(format!("the account holds no {SETTLE_COIN}")))?;
    Ok(Opening { table, clock_offset, began_ms, wallet: balance.wallet })
}

/// Time between two of many requests for leverage: nine a second, of the ten that the venue allows.
const LEVERAGE_PAUSE: Duration = Duration::from_millis(110);

/// Sets the leverage of every instrument, at the venue's pace if there are many; what an instrument does not offer is lowered
/// to its greatest.
fn set_leverages(
    rest: &RestClient,
    table: &InstrumentTable,
    leverage_e2: u32,
    venue_now: &dyn Fn() -> u64,
    signals: &StopSignals,
) -> Result<(), Failure> {
    let is_many = table.len() > NAMED_MAX;
    if is_many {
        eprintln!("setting the leverage of {} instruments, {} s", table.len(), table.len().div_ceil(9));
    }
    for (_, spec) in table.iter() {
        if is_many {
            std::thread::sleep(LEVERAGE_PAUSE);
            if signals.is_set() {
                return Err(Failure::from("asked to stop before the start"));
            }
        }
        let e2 = if is_many { leverage_e2.min(spec.max_leverage_e2) } else { leverage_e2 };
        let leverage = format!("{}.{:02}", e2 / 100, e2 % 100);
        let set = || rest.set_leverage(Product::Linear, spec.symbol.as_str(), &leverage, venue_now());
        match set() {
            // Somebody else spends the account's rate, too.
            Err(RestError::Venue { code: 10_006, .. }) => {
                std::thread::sleep(Duration::from_secs(1));
                set()?;
            }
            other => other?,
        }
    }
    Ok(())
}

/// The instruments of these names, or everything that trades if none is named. Many names are picked out of the whole list,
/// which takes fewer requests.
pub fn listed(rest: &RestClient, product: Product, symbols: &[&str]) -> Result<Listings, RestError> {
    if !symbols.is_empty() && symbols.len() <= NAMED_MAX {
        return rest.listings_of(product, symbols);
    }
    let mut listed = rest.trading_listings(product)?;
    if !symbols.is_empty() {
        listed.found.retain(|listing| symbols.contains(&listing.spec.symbol.as_str()));
    }
    Ok(listed)
}

/// The account's fee rates; on a demo account that does not tell them, the configured ones, and that is said.
fn fee_rates(rest: &RestClient, config: &Config, spec: &InstrumentSpec, now_ms: u64) -> Result<FeeRates, RestError> {
    let venue = &config.venue;
    match rest.fee_rates(Product::Linear, spec.symbol.as_str(), now_ms) {
        Err(RestError::Venue { code: 10_001, .. }) if venue.environment == Environment::Demo => {
            eprintln!(
                "warning: the demo account does not tell its fee rates for {}: taking maker-fee-bps = {} and taker-fee-bps = {} of [venue]",
                spec.symbol, venue.maker_fee_bps, venue.taker_fee_bps
            );
            Ok(FeeRates { maker: venue.maker_fee_bps.0, taker: venue.taker_fee_bps.0 })
        }
        found => found,
    }
}

/// The connections that carry the market data of all instruments, each with its decoder.
pub fn market_feeds(
    table: &InstrumentTable,
    address: &Address,
    config: &Config,
) -> Result<Vec<(MarketFeed, LiveFeedConfig)>, Failure> {
    let depth = config.venue.book_depth;
    let too_long = || Failure::usage("nothing to subscribe, or a name that is too long");
    let mut feeds = Vec::new();
    for part in subscriptions(table, depth).ok_or_else(too_long)? {
        let feed_config = FeedConfig { book_depth: Some(depth), assume_empty: false };
        let decoder = MarketFeed::new(VenueId::BYBIT, table, feed_config).ok_or("no decoder for this venue")?;
        let Subscription { subscribe, resubscribe } = part;
        let link = address.link(&address.ws_public, "/v5/public/linear", WsLimits::default())?;
        let config = LiveFeedConfig {
            link,
            connections: usize::from(config.venue.market_connections),
            renew_every_ns: config.venue.renew_connections_every.0,
            silent_after_ns: config.venue.stream_silent_after.0,
            subscribe,
            resubscribe,
        };
        feeds.push((decoder, config));
    }
    Ok(feeds)
}

/// What the venue says at the end.
pub fn closing_view(
    rest: &RestClient,
    table: &InstrumentTable,
    run_id: u32,
    venue_ms: u64,
) -> Result<VenueView, RestError> {
    let mut decoder = PrivateDecoder::new(table, run_id, SETTLE_COIN);
    let mut positions = vec![Lots::ZERO; table.len()];
    for position in rest.positions(&mut decoder, Product::Linear, SETTLE_COIN, venue_ms)? {
        if let Some(qty) = positions.get_mut(position.meta.instrument.idx()) {
            *qty = position.qty;
        }
    }
    let wallet = rest.wallet_balance(&mut decoder, SETTLE_COIN, venue_ms)?.map_or(Money::ZERO, |b| b.wallet);
    // A stop order of ours that waits and protects a position is to stay there for as long as that does.
    let is_left = |order: &OrderUpdate| {
        let is_held = positions.get(order.meta.instrument.idx()).is_some_and(|qty| !qty.is_zero());
        order.status == OrderStatus::Untriggered && order.client_id != ClientOrderId(0) && is_held
    };
    let orders = rest.open_orders(&mut decoder, Product::Linear, SETTLE_COIN, venue_ms)?;
    let open_orders = orders.iter().filter(|order| !is_left(order)).count();
    Ok(VenueView { positions, wallets: vec![wallet], open_orders, liquidations: 0 })
}
