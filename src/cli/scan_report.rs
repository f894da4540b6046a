//! What a scan found, as a table and as JSON.

use std::fmt::Write;

use serde::Serialize;

use super::survey::Survey;
use crate::scan::{Entries, Ranked, bps};
use crate::types::{MarketSnapshot, Money, Nanos, Unusable};

/// One instrument among the best. Money and prices are decimal strings.
#[derive(Debug, Serialize)]
struct Row {
    place: usize,
    symbol: String,
    score: f64,
    score_turnover: f64,
    score_edge: f64,
    score_volatility: f64,
    score_funding: f64,
    contract: &'static str,
    base: String,
    quote: String,
    settle: String,
    bid_px: String,
    ask_px: String,
    spread_bps: f64,
    turnover_24h: String,
    volume_24h: Option<String>,
    price_change_24h_percent: Option<f64>,
    open_interest_value: Option<String>,
    volatility_bps_per_min: Option<f64>,
    volatility_from: Option<&'static str>,
    funding_rate: Option<String>,
    funding_interval_min: Option<u32>,
    funding_bps_per_day: f64,
    next_funding_ms: Option<u64>,
    maker_fee_bps: f64,
    taker_fee_bps: f64,
    tick: String,
    lot: String,
    min_qty: String,
    max_qty: String,
    min_order_value: String,
    max_leverage: String,
    launched_ms: Option<u64>,
    delivers_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct RejectedRow {
    symbol: String,
    reason: &'static str,
    found: String,
}

#[derive(Debug, Serialize)]
struct UnusableRow {
    symbol: String,
    reason: String,
}

impl From<&Unusable> for UnusableRow {
    fn from(item: &Unusable) -> Self {
        Self { symbol: item.symbol.clone(), reason: item.reason.clone() }
    }
}

/// The whole report of one look.
#[derive(Debug, Serialize)]
pub struct ScanReport {
    venue: &'static str,
    rest: String,
    product: &'static str,
    taken_ms: u64,
    requests: u32,
    listed: usize,
    passed: usize,
    fees_from: &'static str,
    klines_read: usize,
    ranked: Vec<Row>,
    rejected_by_reason: std::collections::BTreeMap<&'static str, usize>,
    rejected: Vec<RejectedRow>,
    unusable: Vec<UnusableRow>,
    without_klines: Vec<UnusableRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entered: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<Vec<String>>,
}

fn millis(at: Option<Nanos>) -> Option<u64> {
    at.map(Nanos::as_millis)
}

fn row(ranked: &Ranked, snapshot: Option<&MarketSnapshot>) -> Row {
    let (listing, metrics, score) = (&ranked.listing, &ranked.metrics, &ranked.score);
    let spec = &listing.spec;
    let text = |money: Option<Money>| money.map(|money| money.to_string());
    let change = snapshot.and_then(|s| {
        let (last, before) = (s.last_px?.to_f64_lossy(), s.prev_px_24h?.to_f64_lossy());
        Some((last / before - 1.0) * 100.0)
    });
    Row {
        place: ranked.place,
        symbol: spec.symbol.to_string(),
        score: score.total(),
        score_turnover: score.turnover,
        score_edge: score.edge,
        score_volatility: score.volatility,
        score_funding: score.funding,
        contract: listing.contract.name(),
        base: listing.base.clone(),
        quote: listing.quote.clone(),
        settle: listing.settle.clone(),
        bid_px: spec.tick.text(metrics.bid_px.get()),
        ask_px: spec.tick.text(metrics.ask_px.get()),
        spread_bps: metrics.spread_bps,
        turnover_24h: metrics.turnover_24h.to_string(),
        volume_24h: text(snapshot.and_then(|s| s.volume_24h)),
        price_change_24h_percent: change,
        open_interest_value: text(snapshot.and_then(|s| s.open_interest_value)),
        volatility_bps_per_min: metrics.volatility.map(|v| v.bps_per_min),
        volatility_from: metrics.volatility.map(|v| v.from.name()),
        funding_rate: snapshot.and_then(|s| s.funding_rate).map(|rate| rate.to_string()),
        funding_interval_min: listing.funding_interval_min,
        funding_bps_per_day: bps(metrics.funding_per_day),
        next_funding_ms: millis(snapshot.and_then(|s| s.next_funding)),
        maker_fee_bps: bps(spec.maker_fee),
        taker_fee_bps: bps(spec.taker_fee),
        tick: spec.tick.to_string(),
        lot: spec.lot.to_string(),
        min_qty: spec.lot.text(spec.min_qty.get()),
        max_qty: spec.lot.text(spec.max_qty.get()),
        min_order_value: metrics.min_order_value.to_string(),
        max_leverage: format!("{}.{:02}", spec.max_leverage_e2 / 100, spec.max_leverage_e2 % 100),
        launched_ms: millis(listing.launched),
        delivers_ms: millis(listing.delivers),
    }
}

impl ScanReport {
    /// Makes the report of the best `top`; `entries` is what changed among them since the look before.
    pub fn new(
        survey: &Survey,
        rest: &str,
        product: &'static str,
        top: usize,
        at: Nanos,
        entries: Option<&Entries>,
    ) -> Self {
        let ranked = survey.scan.ranked.iter().take(top);
        let rejected = survey.scan.rejected.iter().map(|rejected| RejectedRow {
            symbol: rejected.symbol.to_string(),
            reason: rejected.reason.name(),
            found: rejected.reason.to_string(),
        });
        Self {
            venue: "bybit",
            rest: rest.to_owned(),
            product,
            taken_ms: at.as_millis(),
            requests: survey.requests,
            listed: survey.listed,
            passed: survey.scan.ranked.len(),
            fees_from: survey.fees.name(),
            klines_read: survey.with_klines,
            ranked: ranked.map(|r| row(r, survey.snapshots.get(r.listing.spec.symbol.as_str()))).collect(),
            rejected_by_reason: survey.scan.rejected_by_reason(),
            rejected: rejected.collect(),
            unusable: survey.unusable.iter().map(UnusableRow::from).collect(),
            without_klines: survey.without_klines.iter().map(UnusableRow::from).collect(),
            entered: entries.map(|entries| entries.entered.clone()),
            left: entries.map(|entries| entries.left.clone()),
        }
    }

    /// The report for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "{} {}: {} listed, {} passed, {} rejected, {} unusable; {} requests; fees: {}",
            self.rest,
            self.product,
            self.listed,
            self.passed,
            self.rejected.len(),
            self.unusable.len(),
            self.requests,
            self.fees_from
        )?;
        let width = self.ranked.iter().map(|row| row.symbol.len()).max().unwrap_or(0).max(6);
        if !self.ranked.is_empty() {
            writeln!(
                out,
                "{:>4}  {:<width$} {:>7} {:>14} {:>14} {:>8} {:>10} {:>10} {:>10} {:>7} {:>11} {:>8}",
                "#",
                "symbol",
                "score",
                "bid",
                "ask",
                "spread",
                "turnover",
                "volatility",
                "funding",
                "maker",
                "min order",
                "leverage"
            )?;
            writeln!(
                out,
                "{:>4}  {:<width$} {:>7} {:>14} {:>14} {:>8} {:>10} {:>10} {:>10} {:>7} {:>11} {:>8}",
                "", "", "", "price", "price", "bps", "24 h", "bps/min", "bps/day", "bps", "value", "times"
            )?;
        }
        for row in &self.ranked {
            let volatility = row.volatility_bps_per_min.map_or("-".to_owned(), |v| {
                let mark = if row.volatility_from == Some("klines") { "" } else { "~" };
                format!("{mark}{v:.2}")
            });
            writeln!(
                out,
                "{:>4}  {:<width$} {:>7.3} {:>14} {:>14} {:>8.2} {:>10} {volatility:>10} {:>10.2} {:>7.2} {:>11} {:>8}",
                row.place,
                row.symbol,
                row.score,
                row.bid_px,
                row.ask_px,
                row.spread_bps,
                short(&row.turnover_24h),
                row.funding_bps_per_day,
                row.maker_fee_bps,
                short(&row.min_order_value),
                row.max_leverage
            )?;
        }
        if self.ranked.iter().any(|row| row.volatility_from == Some("range-24h")) {
            writeln!(out, "~ estimated from the range of 24 hours; --klines N asks for candles of the best N")?;
        }
        if !self.rejected.is_empty() {
            let counts: Vec<String> =
                self.rejected_by_reason.iter().map(|(name, count)| format!("{name} {count}")).collect();
            writeln!(out, "rejected: {}", counts.join("  "))?;
        }
        const SHOWN: usize = 10;
        for (what, list) in [("unusable", &self.unusable), ("no candles", &self.without_klines)] {
            for item in list.iter().take(SHOWN) {
                writeln!(out, "{what}: {}: {}", item.symbol, item.reason)?;
            }
            if list.len() > SHOWN {
                writeln!(out, "{what}: {} more, all in --json", list.len() - SHOWN)?;
            }
        }
        if let (Some(entered), Some(left)) = (&self.entered, &self.left) {
            let names = |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(" ") };
            writeln!(out, "entered: {}  left: {}", names(entered), names(left))?;
        }
        Ok(())
    }
}

/// A decimal with a unit of thousands, for people.
fn short(text: &str) -> String {
    let value = Money::parse(text.as_bytes()).unwrap_or(Money::ZERO).to_f64_lossy();
    match value.abs() {
        v if v >= 1e9 => format!("{:.2} G", value / 1e9),
        v if v >= 1e6 => format!("{:.2} M", value / 1e6),
        v if v >= 1e4 => format!("{:.2} k", value / 1e3),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_get_a_unit() {
        let found = ["5", "9999.999", "10000", "4936790807.6521", "1500000"].map(short);
        assert_eq!(found, ["5.00", "10000.00", "10.00 k", "4.94 G", "1.50 M"]);
    }
}
