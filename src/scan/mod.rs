//! Which instruments of a venue are worth trading: filters with reasons, a score, and what changed since the last look.
//!
//! ```text
//! listings ─┐
//! tickers  ─┼─▶ filter ─▶ score ─▶ ranked (best first)        ranked, ranked ─▶ diff: entered, left
//! candles  ─┘      └────▶ rejected (symbol, reason)           known, listings ─▶ change: halted, new steps
//! ```
//!
//! Pure: no I/O, no clock; times are arguments. Thread: shell. Allocates: freely. Limits in money, prices and rates are
//! compared in integers; volatility and scores are floating point, since nothing is paid by them. They use logarithms and so
//! may differ in the last bit between machines: a scan chooses instruments before the engine starts and enters no replay.

mod change;
mod filter;
mod rank;
#[cfg(test)]
mod tests;

pub use change::{Change, ChangeKind, Entries, changes, entries};
pub use filter::{Filters, Reason};
pub use rank::{Ranked, Rejected, Scan, Score, Weights, scan};

use std::cmp::Ordering;

use crate::types::{Kline, Listing, MarketSnapshot, Money, Rate, Ticks};

/// All that is known of one instrument.
#[derive(Clone, Copy, Debug)]
pub struct Market<'a> {
    /// As the venue lists it.
    pub listing: &'a Listing,
    /// As it trades; `None`: the venue told nothing.
    pub snapshot: Option<&'a MarketSnapshot>,
    /// Candles, oldest first; empty: none were asked for.
    pub klines: &'a [Kline],
    /// Minutes of one candle.
    pub kline_min: u32,
}

/// Where a volatility comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolatilityFrom {
    /// From the highest and lowest price of 24 hours, after Parkinson: cheap, and blind to when it happened.
    Range,
    /// From the returns of candles: realised.
    Klines,
}

impl VolatilityFrom {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range-24h",
            Self::Klines => "klines",
        }
    }
}

/// Standard deviation of the return of one minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Volatility {
    /// In hundredths of a percent.
    pub bps_per_min: f64,
    /// Where it comes from.
    pub from: VolatilityFrom,
}

/// Fewest returns that make a realised volatility.
const RETURNS_MIN: usize = 10;

/// Minutes of a day.
const DAY_MIN: i64 = 1440;

/// Minutes between funding payments where the venue does not say.
const FUNDING_INTERVAL_MIN: u32 = 480;

impl Volatility {
    /// By Parkinson from the range of 24 hours: `ln(high / low) / (2 · √ln 2)` for the day, over `√1440` for a minute.
    pub fn from_range(snapshot: &MarketSnapshot) -> Option<Self> {
        let (high, low) = (snapshot.high_px_24h?.to_f64_lossy(), snapshot.low_px_24h?.to_f64_lossy());
        if low <= 0.0 || high < low {
            return None;
        }
        let day = (high / low).ln() / (2.0 * std::f64::consts::LN_2.sqrt());
        Some(Self { bps_per_min: day / (DAY_MIN as f64).sqrt() * 1e4, from: VolatilityFrom::Range })
    }

    /// From candles of `kline_min` minutes: the root of the mean squared logarithmic return from close to close. `None`
    /// for fewer than eleven candles. A candle that is missing lengthens one return, which overstates the volatility
    /// rather than understate it.
    pub fn from_klines(klines: &[Kline], kline_min: u32) -> Option<Self> {
        let returns: Vec<f64> = klines
            .windows(2)
            .filter_map(|pair| {
                let (before, after) = (pair[0].close.to_f64_lossy(), pair[1].close.to_f64_lossy());
                (before > 0.0 && after > 0.0).then(|| (after / before).ln())
            })
            .collect();
        if returns.len() < RETURNS_MIN || kline_min == 0 {
            return None;
        }
        let mean_square = returns.iter().map(|r| r * r).sum::<f64>() / returns.len() as f64;
        Some(Self { bps_per_min: (mean_square / f64::from(kline_min)).sqrt() * 1e4, from: VolatilityFrom::Klines })
    }
}

/// What the score is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// Best bid.
    pub bid_px: Ticks,
    /// Best ask.
    pub ask_px: Ticks,
    /// Ask less bid as a share of the mid, in hundredths of a percent.
    pub spread_bps: f64,
    /// Value traded in 24 hours.
    pub turnover_24h: Money,
    /// Volatility; `None` if nothing tells it.
    pub volatility: Option<Volatility>,
    /// Funding of a day at the rate of the next payment; zero where there is none. A long position pays it if it is
    /// positive.
    pub funding_per_day: Rate,
    /// Least value that one order can have at the ask.
    pub min_order_value: Money,
}

/// Why no metrics can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoMetrics {
    NoMarket,
    Crossed,
    OffTick(Money),
}

impl Metrics {
    fn of(market: &Market<'_>) -> Result<Self, NoMetrics> {
        let spec = &market.listing.spec;
        let snapshot = market.snapshot.ok_or(NoMetrics::NoMarket)?;
        let (Some(bid), Some(ask)) = (snapshot.bid_px, snapshot.ask_px) else { return Err(NoMetrics::NoMarket) };
        let ticks = |px: Money| {
            let tick = spec.tick.pico();
            let count = i64::try_from(px.get() / tick).ok().filter(|_| px.get() % tick == 0 && px > Money::ZERO);
            count.map(Ticks::new).ok_or(NoMetrics::OffTick(px))
        };
        let (bid_px, ask_px) = (ticks(bid)?, ticks(ask)?);
        if bid_px >= ask_px {
            return Err(NoMetrics::Crossed);
        }
        let (bid, ask) = (bid.to_f64_lossy(), ask.to_f64_lossy());
        let interval = market.listing.funding_interval_min.unwrap_or(FUNDING_INTERVAL_MIN).max(1);
        let funding = snapshot.funding_rate.unwrap_or(Rate::ZERO).get();
        let realised = Volatility::from_klines(market.klines, market.kline_min);
        Ok(Self {
            bid_px,
            ask_px,
            spread_bps: (ask - bid) / (ask + bid) * 2e4,
            turnover_24h: snapshot.turnover_24h.unwrap_or(Money::ZERO),
            volatility: realised.or_else(|| Volatility::from_range(snapshot)),
            funding_per_day: Rate::new(funding.saturating_mul(DAY_MIN) / i64::from(interval)),
            min_order_value: spec.notional(ask_px, spec.min_qty).max(spec.min_notional),
        })
    }

    /// Compares the spread with a share of the mid, exactly.
    fn cmp_spread(&self, share: Rate) -> Ordering {
        let (bid, ask) = (i128::from(self.bid_px.get()), i128::from(self.ask_px.get()));
        (2 * (ask - bid) * i128::from(Rate::ONE.get())).cmp(&((ask + bid) * i128::from(share.get())))
    }
}

/// A rate in hundredths of a percent, for people and scores.
pub fn bps(rate: Rate) -> f64 {
    rate.get() as f64 / 1e4
}
