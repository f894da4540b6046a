//! The closing report for people.

use std::fmt::Write;

use super::entry_report::write_entry;
use super::summary::{VenueView, state_name};
use crate::engine::{EngineReport, StopReport};
use crate::risk::Layer;
use crate::runtime::{LatencySummary, Percentiles};
use crate::types::{Money, Side, TriggerBy};

/// A nanosecond figure with a unit.
pub fn nanos_text(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{:.1} µs", ns as f64 / 1e3),
        _ => format!("{:.1} ms", ns as f64 / 1e6),
    }
}

pub(super) fn money_text(money: Money) -> String {
    format!("{:.6}", money.to_f64_lossy())
}

/// What the engine and the venue say at the end.
pub fn closing_report(engine: &EngineReport, venue: Option<&VenueView>, latency: &LatencySummary) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_report(&mut out, engine, venue, latency);
    out
}

fn write_report(
    out: &mut String,
    engine: &EngineReport,
    venue: Option<&VenueView>,
    latency: &LatencySummary,
) -> std::fmt::Result {
    writeln!(out, "books")?;
    for book in &engine.books {
        let level = |l: Option<crate::types::Level>| match l {
            Some(l) => format!("{} x {}", book.spec.tick.text(l.px.get()), book.spec.lot.text(l.qty.get())),
            None => "-".to_owned(),
        };
        let c = book.certificate;
        writeln!(
            out,
            "  {:<14} {:<8} bid {:<24} ask {:<24} levels {}/{}  updates {}  top of book equal {}/{}",
            book.spec.symbol,
            state_name(book.state),
            level(book.touch.bid),
            level(book.touch.ask),
            book.levels[0],
            book.levels[1],
            book.updates,
            c.equal,
            c.checked,
        )?;
        if book.is_withdrawn {
            writeln!(out, "  {:<14} withdrawn from trading; its position, if any, stays", "")?;
        }
    }
    let o = &engine.orders;
    writeln!(out, "orders")?;
    writeln!(
        out,
        "  sent {}  acknowledged {}  filled {}  cancelled {}  rejected {}  unknown {}  open {}  (amended or conflated {} wishes)",
        o.sent,
        o.acknowledged,
        o.filled,
        o.cancelled,
        o.rejected,
        o.unknown,
        engine.open_orders.len(),
        engine.counts.conflated,
    )?;
    for order in &engine.open_orders {
        writeln!(out, "  left open: {:?} {:?} {:?}", order.id, order.side, order.state)?;
    }
    if !engine.refused.is_empty() {
        let reasons: Vec<String> = engine.refused.iter().map(|(r, n)| format!("{} {n}", r.name())).collect();
        writeln!(out, "  refused: {}", reasons.join("  "))?;
    }
    let [committed, capital] = engine.capital;
    let levels: Vec<String> = Layer::ALL
        .iter()
        .zip(engine.risk.levels)
        .map(|(layer, level)| format!("{} {}", layer.name(), level.name()))
        .collect();
    writeln!(
        out,
        "capital {} committed at worst, {} may be; breakers: {}",
        money_text(committed),
        money_text(capital),
        levels.join("  ")
    )?;
    write_entry(out, engine)?;
    if let Some(hedge) = &engine.hedge {
        let c = hedge.counts;
        writeln!(
            out,
            "hedges: {} samples, {} orders, {} taken off; not correlated enough {}, too dear {}",
            c.samples, c.orders, c.unwound, c.uncorrelated, c.too_dear
        )?;
        for held in &hedge.held {
            writeln!(
                out,
                "  {} worth {} held with {}: beta {:.4}, correlation {:.3}",
                held.symbols[0],
                money_text(held.value),
                held.symbols[1],
                held.slope.beta_e6 as f64 / 1e6,
                (held.slope.r2_e6 as f64 / 1e6).sqrt()
            )?;
        }
    }
    if let Some(stops) = &engine.stops {
        write_stops(out, engine, stops)?;
    }
    writeln!(out, "fills {}", engine.counts.fills)?;
    // What is settled in coins is shown whole: six decimals of a bitcoin are cents.
    let has_coins = engine.currencies.len() > 1 || engine.positions.iter().any(|p| p.spec.is_inverse());
    let amount = |money: Money| if has_coins { money.to_string() } else { money_text(money) };
    let mut all_equal = true;
    for (idx, p) in engine.positions.iter().enumerate() {
        let at_venue = venue.and_then(|v| v.positions.get(idx).copied()).or(p.venue_position);
        if p.fills[0] == 0 && at_venue.is_none_or(|qty| qty.is_zero()) {
            continue;
        }
        all_equal &= at_venue.is_none_or(|qty| qty == p.position);
        writeln!(
            out,
            "  {:<14} position {} (venue {})  fills {} (maker {})  turnover {}  pnl {} {}",
            p.spec.symbol,
            p.spec.lot.text(p.position.get()),
            at_venue.map_or("not told".to_owned(), |qty| p.spec.lot.text(qty.get())),
            p.fills[0],
            p.fills[1],
            amount(p.turnover),
            amount(p.pnl.total),
            p.spec.settle,
        )?;
    }
    let liquidations = venue.map_or(0, |venue| venue.liquidations);
    if liquidations > 0 {
        writeln!(out, "LIQUIDATED {liquidations} times: the equity no longer covered the maintenance margin")?;
    }
    for (idx, it) in engine.currencies.iter().enumerate() {
        let (currency, pnl) = (it.currency, &it.pnl);
        let told = venue.map_or(it.wallet_venue, |venue| venue.wallets.get(idx).copied());
        if let (Some(wallet), Some(told)) = (it.wallet, told) {
            all_equal &= wallet == told;
            let verdict = if all_equal { "equal" } else { "NOT EQUAL" };
            writeln!(out, "balance {wallet} {currency} (venue {told}): {verdict}")?;
        }
        writeln!(
            out,
            "pnl {} {currency} = spread {} + inventory {} - fees {} - funding {}",
            amount(pnl.total),
            amount(pnl.spread),
            amount(pnl.inventory),
            amount(pnl.fees),
            amount(pnl.funding)
        )?;
    }
    if latency.tick_to_order.count > 0 {
        writeln!(out, "tick to order     {:>10} {:>12} {:>12} {:>12} {:>12}", "count", "p50", "p99", "p99.9", "max")?;
        let rows: [(&str, &Percentiles); 8] = [
            ("frame", &latency.frame),
            ("decode", &latency.decode),
            ("queue to core", &latency.queue_core),
            ("decide", &latency.decide),
            ("queue to gateway", &latency.queue_gateway),
            ("encode", &latency.encode),
            ("send", &latency.send),
            ("total", &latency.tick_to_order),
        ];
        for (name, p) in rows {
            let [p50, p99, p999, max] = [p.p50, p.p99, p.p999, p.max].map(nanos_text);
            writeln!(out, "  {name:<16}{:>10} {p50:>12} {p99:>12} {p999:>12} {max:>12}", p.count)?;
        }
    }
    Ok(())
}

/// Writes what became of stop orders, and those that stay at the venue.
fn write_stops(out: &mut String, engine: &EngineReport, stops: &StopReport) -> std::fmt::Result {
    let c = &stops.counts;
    writeln!(
        out,
        "stop orders: {} placed, {} amended, {} cancelled, {} triggered; refused {}, given up for a minute {}, closed by the engine {}",
        c.placed, c.amended, c.cancelled, c.triggered, c.refused, c.given_up, c.passed
    )?;
    for order in &stops.left {
        let Some(spec) = engine.positions.get(order.instrument.idx()).map(|position| &position.spec) else { continue };
        writeln!(
            out,
            "  {} stays at the venue: {} {} once the {} price is {}",
            spec.symbol,
            if order.side == Side::Ask { "sells" } else { "buys" },
            spec.lot.text(order.qty.get()),
            order.stop.map_or("", TriggerBy::name),
            spec.tick.text(order.px.get())
        )?;
    }
    for position in stops.missing.iter().filter_map(|id| engine.positions.get(id.idx())) {
        let (spec, held) = (&position.spec, position.position.get());
        writeln!(out, "  {} HAS NO STOP ORDER for what it holds: {}", spec.symbol, spec.lot.text(held))?;
    }
    Ok(())
}
