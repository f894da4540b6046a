//! The engine's side: the duties of a live run, connected to the generator.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::strategy::OrderPerTick;
use super::{BenchError, Case, Peer};
use crate::engine::EngineConfig;
use crate::net::WsLimits;
use crate::risk::{FairLimits, RateLimits, RiskLimits};
use crate::runtime::{
    Analysts, BAN_PAUSE_NS, Dial, GatewayConfig, LatencyStages, LinkConfig, Live, LiveFeedConfig, LiveOptions,
    WARM_EVERY_NS, WitnessPlan, clock_offset,
};
use crate::types::{Balance, Control, Event, Meta, Money, Product, Rate, VenueId};
use crate::venue::bybit::encode::subscribe;
use crate::venue::bybit::{Secret, Signer};
use crate::venue::{FeedConfig, MarketFeed};

/// Longest wait for the gateway's logins.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// What the engine leaves behind.
#[derive(Debug)]
pub struct EngineSide {
    /// Its stamps.
    pub stages: LatencyStages,
    /// Allocations on hot duties after warm-up; `None` if they were not counted.
    pub hot_allocations: Option<u64>,
    /// In a sentence: what it did, should nothing have come of it.
    pub hint: String,
}

/// An engine that every order of the bench passes: the checks are made, and their limits are wide.
pub fn engine_config() -> EngineConfig {
    let plenty = Money::new(1_000_000_000_000_000 * Money::ONE.get());
    EngineConfig {
        risk: RiskLimits {
            order_value_max: plenty,
            position_value_max: plenty,
            gross_value_max: plenty,
            net_value_max: plenty,
            open_orders_max: u32::MAX,
            capital: plenty,
            leverage_e2: 10_000,
            collar: Rate::ONE,
            trade_collar: Rate::ONE,
            spread_max: Rate::ONE,
            stale_after_ns: u64::MAX,
            duplicate_within_ns: 0,
            day_loss_max: plenty,
            drawdown_max: plenty,
            fair: FairLimits {
                requests_from: u32::MAX,
                requests_per_s: u32::MAX,
                takes_max: u32::MAX,
                layers_max: u32::MAX,
                ..FairLimits::default()
            },
            ..RiskLimits::default()
        },
        rates: RateLimits {
            create_per_s: 30_000_000,
            amend_per_s: 30_000_000,
            cancel_per_s: 30_000_000,
            address_per_s: 30_000_000,
        },
        ..EngineConfig::default()
    }
}

/// What an account has that can afford every order of the bench.
pub(super) fn balance(meta: Meta) -> Balance {
    let wallet = Money::new(1_000_000_000_000_000 * Money::ONE.get());
    Balance { meta, wallet, available: wallet }
}

/// Starts the engine against the generator at `peer`.
pub(super) fn start(peer: &Peer, case: &Case) -> Result<Live, BenchError> {
    start_with(peer, case, None)
}

/// As [`start`], with a witness on each of its threads.
pub(super) fn start_watched(peer: &Peer, case: &Case, witness: WitnessPlan) -> Result<Live, BenchError> {
    start_with(peer, case, Some(witness))
}

fn start_with(peer: &Peer, case: &Case, witness: Option<WitnessPlan>) -> Result<Live, BenchError> {
    let link = |path: &str, limits| -> Result<LinkConfig, BenchError> {
        let (url, tls) = (peer.url(path)?, peer.tls.clone());
        Ok(LinkConfig { url, tls, limits, dial: Dial::Socket, ban_pause_ns: BAN_PAUSE_NS })
    };
    let traffic = &case.traffic;
    let table = traffic.table().clone();
    let feed_config = FeedConfig { book_depth: Some(traffic.book_depth()), assume_empty: false };
    let market_feed = MarketFeed::new(VenueId::BYBIT, &table, feed_config).ok_or(BenchError::NoInstrument)?;
    let messages = subscribe(traffic.topics(), Product::Linear).unwrap_or_default();
    let order_limits = WsLimits { recv_bytes: 1 << 18, send_bytes: 1 << 16, message_bytes_max: 1 << 17 };
    let strategy = OrderPerTick::new(table.len());
    let live_options = LiveOptions {
        market_feed,
        feed: LiveFeedConfig {
            silent_after_ns: 0,
            ..LiveFeedConfig::new(
                link("/v5/public/linear", WsLimits::default())?,
                messages.into_iter().map(String::into_bytes).collect(),
                Vec::new(),
            )
        },
        more_feeds: Vec::new(),
        gateway: GatewayConfig {
            trade: Some(link("/v5/trade", order_limits)?),
            private: link("/v5/private", order_limits)?,
            api_key: "bench".to_owned(),
            signer: Arc::new(Signer::new(&Secret::new("bench"))),
            run_id: 1,
            recv_window_ms: 5000,
            clock_offset: clock_offset().1,
            send_within_ns: u64::MAX,
            warm_every_ns: WARM_EVERY_NS,
            fast_executions: false,
            settle_coin: "USDT".to_owned(),
        },
        topology: case.topology.clone(),
        cpus: case.engine_cpus().to_vec(),
        idle: case.idle,
        real_time: Vec::new(),
        journal: None,
        witness,
        reconcile: None,
        guard: None,
        rest_orders: None,
        analysts: Analysts::default(),
        tap: None,
        table,
    };
    Ok(Live::start(live_options, engine_config(), strategy)?)
}

/// Arms the engine once it is logged in; returns whether it came to that.
pub(super) fn arm(live: &mut Live, gave_up: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while !live.is_gateway_ready() {
        if gave_up() || live.has_broken() || began.elapsed() > READY_WITHIN {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let meta = Meta { recv: live.clock().now(), ..Meta::default() };
    live.tell(&Event::Balance(balance(meta))) && live.tell(&Event::Control(meta, Control::Arm))
}

/// Ends the engine.
pub(super) fn finish(live: Live) -> Result<EngineSide, BenchError> {
    let outcome = live.finish()?;
    let counters = &outcome.feed.counters;
    let mut errors = outcome.feed.first_errors;
    errors.extend(outcome.gateway.first_errors);
    let refused: Vec<String> = outcome
        .core
        .engine
        .refused
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(refusal, count)| format!("{} {count}", refusal.name()))
        .collect();
    let hint = format!(
        "the feed read {} messages ({} refused, {} gaps), the gateway sent {} ({} not), risk refused: {refused:?}, {errors:?}",
        counters.messages, counters.decode_errors, counters.gaps, outcome.gateway.sent, outcome.gateway.not_sent
    );
    Ok(EngineSide { stages: outcome.gateway.latency, hot_allocations: outcome.hot_allocations, hint })
}
