//! The score of an instrument, and the order that follows from it.

use std::collections::BTreeMap;

use super::{Filters, Market, Metrics, Reason, bps};
use crate::types::{Listing, Nanos, Symbol};

/// How much each part of the score counts.
///
/// ```text
/// score = turnover · log10(24 h turnover)
///       + edge · clamp(spread / 2 − maker fee, ±20 bps)
///       − volatility · volatility (bps per minute)
///       − funding · |funding| (bps per day)
/// ```
///
/// That is how attractive an instrument is to a market maker: a resting fill earns half the spread less the fee, there
/// are the more of them the more is traded, and between fills the position pays with its volatility and its funding. The
/// clamp keeps a dead instrument, whose spread nobody ever pays, from outranking all others. Volatility that is not known
/// counts as zero; ask for a bound to leave such instruments out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Of a factor ten in turnover.
    pub turnover: f64,
    /// Of a hundredth of a percent earned by a resting fill.
    pub edge: f64,
    /// Of a hundredth of a percent of volatility in a minute.
    pub volatility: f64,
    /// Of a hundredth of a percent of funding in a day.
    pub funding: f64,
}

impl Default for Weights {
    /// A tenth of the turnover weighs as much as 4 hundredths of a percent of edge, 20 of volatility, or 100 of funding.
    fn default() -> Self {
        Self { turnover: 1.0, edge: 0.25, volatility: 0.05, funding: 0.01 }
    }
}

/// Greatest edge that counts, either way, in hundredths of a percent.
const EDGE_MAX_BPS: f64 = 20.0;

/// The parts of a score, weighted; they add up to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// From turnover.
    pub turnover: f64,
    /// From spread and fee.
    pub edge: f64,
    /// From volatility; zero or less.
    pub volatility: f64,
    /// From funding; zero or less.
    pub funding: f64,
}

impl Score {
    /// The score itself.
    pub fn total(&self) -> f64 {
        self.turnover + self.edge + self.volatility + self.funding
    }
}

impl Weights {
    /// The score of one instrument.
    pub fn score(&self, listing: &Listing, metrics: &Metrics) -> Score {
        let turnover = metrics.turnover_24h.to_f64_lossy().max(1.0);
        let edge = metrics.spread_bps / 2.0 - bps(listing.spec.maker_fee);
        let volatility = metrics.volatility.map_or(0.0, |volatility| volatility.bps_per_min);
        Score {
            turnover: self.turnover * turnover.log10(),
            edge: self.edge * edge.clamp(-EDGE_MAX_BPS, EDGE_MAX_BPS),
            volatility: 0.0 - self.volatility * volatility,
            funding: 0.0 - self.funding * bps(metrics.funding_per_day).abs(),
        }
    }
}

/// An instrument that passed, with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Place, from 1.
    pub place: usize,
    /// As the venue lists it.
    pub listing: Listing,
    /// What the score is made of.
    pub metrics: Metrics,
    /// Its parts.
    pub score: Score,
}

/// An instrument that did not pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// The venue's name for it.
    pub symbol: Symbol,
    /// Why.
    pub reason: Reason,
}

/// The result: every instrument is in exactly one of the two lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan {
    /// Best first; equal scores by symbol.
    pub ranked: Vec<Ranked>,
    /// By symbol.
    pub rejected: Vec<Rejected>,
}

impl Scan {
    /// How many were rejected, by the name of their reason.
    pub fn rejected_by_reason(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for rejected in &self.rejected {
            *counts.entry(rejected.reason.name()).or_default() += 1;
        }
        counts
    }

    /// Names of the best `count`.
    pub fn best(&self, count: usize) -> Vec<String> {
        self.ranked.iter().take(count).map(|ranked| ranked.listing.spec.symbol.to_string()).collect()
    }
}

/// Filters and ranks. The order of `markets` does not matter; a symbol is expected once.
///
/// # Cost
/// `n log n` for `n` instruments.
pub fn scan(markets: &[Market<'_>], filters: &Filters, weights: &Weights, now: Nanos) -> Scan {
    let mut out = Scan::default();
    for market in markets {
        let listing = market.listing;
        match filters.check(market, now) {
            Ok(metrics) => {
                let score = weights.score(listing, &metrics);
                out.ranked.push(Ranked { place: 0, listing: listing.clone(), metrics, score });
            }
            Err(reason) => out.rejected.push(Rejected { symbol: listing.spec.symbol, reason }),
        }
    }
    let name = |ranked: &Ranked| ranked.listing.spec.symbol;
    out.ranked.sort_by(|a, b| {
        b.score.total().total_cmp(&a.score.total()).then_with(|| name(a).as_str().cmp(name(b).as_str()))
    });
    for (idx, ranked) in out.ranked.iter_mut().enumerate() {
        ranked.place = idx + 1;
    }
    out.rejected.sort_by(|a, b| a.symbol.as_str().cmp(b.symbol.as_str()));
    out
}
