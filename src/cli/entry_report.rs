//! What was expected of trades and what they earned, for people and machines.

use std::fmt::{Result, Write};

use serde_json::{Value, json};

use super::report::{money_text, nanos_text};
use crate::engine::EngineReport;
use crate::entry::{EntryReport, Estimate, KellyConfig, TradeRecord, Withheld};
use crate::types::{Money, Rate, Side};

/// Trades that are shown to people: the newest.
const TRADES_SHOWN: usize = 8;

/// The parts of an expectation, named.
fn parts(estimate: &Estimate) -> [(&'static str, Money); 6] {
    let Estimate { gain, fees, half_spread, slippage, funding, margin } = *estimate;
    [
        ("gain", gain),
        ("fees", fees),
        ("half_spread", half_spread),
        ("slippage", slippage),
        ("funding", funding),
        ("margin", margin),
    ]
}

/// An expectation in a line.
pub fn estimate_text(estimate: &Estimate) -> String {
    let costs: Vec<String> = parts(estimate)[1..]
        .iter()
        .map(|(name, money)| format!("{} {}", name.replace('_', " "), money_text(*money)))
        .collect();
    format!("{} = gain {} - {}", money_text(estimate.net()), money_text(estimate.gain), costs.join(" - "))
}

/// The same for machines.
pub fn estimate_json(estimate: &Estimate) -> Value {
    let mut all: serde_json::Map<String, Value> =
        parts(estimate).iter().map(|(name, money)| ((*name).to_owned(), json!(money.to_string()))).collect();
    all.insert("net".to_owned(), json!(estimate.net().to_string()));
    Value::Object(all)
}

fn rate_text(rate: Rate) -> String {
    format!("{:.3} bp", rate.get() as f64 / 1e4)
}

fn side_name(side: Side) -> &'static str {
    if side == Side::Bid { "long" } else { "short" }
}

fn symbol(engine: &EngineReport, trade: &TradeRecord) -> String {
    engine.positions.get(trade.instrument.idx()).map_or_else(String::new, |p| p.spec.symbol.to_string())
}

/// Writes the section, if anything was asked of entries.
pub fn write_entry(out: &mut String, engine: &EngineReport) -> Result {
    let Some(entry) = &engine.entry else { return Ok(()) };
    let counts = &entry.counts;
    let withheld: Vec<String> = Withheld::ALL
        .iter()
        .map(|reason| (reason, counts.withheld[*reason as usize]))
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| format!("{} {count}", reason.name()))
        .collect();
    let reasons = if withheld.is_empty() { "nothing".to_owned() } else { withheld.join("  ") };
    writeln!(out, "entries looked at {}, let through {}, withheld for {reasons}", counts.wished, counts.admitted)?;
    if let Some(bar) = entry.config.edge.bar {
        let doubt = entry.doubt;
        writeln!(
            out,
            "  the bar is {bar} a trade, net; slippage counts {}, what trades fell short by {}",
            rate_text(doubt.slippage),
            rate_text(doubt.shortfall)
        )?;
        if let Some(best) = &entry.best_withheld {
            writeln!(out, "  the best that did not clear it: {}", estimate_text(best))?;
        }
    }
    if counts.trades == 0 {
        writeln!(out, "  no trade has ended")?;
        return Ok(());
    }
    writeln!(
        out,
        "  trades ended {}, opened today {}; of {} with a forecast: expected {}, realised {}; greatest loss {}",
        counts.trades,
        entry.today,
        counts.forecast,
        money_text(counts.expected),
        money_text(counts.realised),
        money_text(counts.worst_loss)
    )?;
    if entry.config.kelly.is_some() {
        writeln!(out, "  {}", kelly_text(entry))?;
    }
    let hidden = entry.trades.len().saturating_sub(TRADES_SHOWN);
    for trade in entry.trades.iter().skip(hidden) {
        writeln!(
            out,
            "  {:<14} {:<5} value {:>14}  held {:>9}  expected {:>12}  realised {:>12}  left: {}",
            symbol(engine, trade),
            side_name(trade.side),
            money_text(trade.value),
            nanos_text(trade.at[1].saturating_since(trade.at[0])),
            trade.expected.map_or_else(|| "nothing said".to_owned(), money_text),
            money_text(trade.realised),
            trade.exit.name()
        )?;
    }
    if hidden > 0 {
        writeln!(out, "  ({hidden} earlier ones are in the summary)")?;
    }
    Ok(())
}

fn kelly_text(entry: &EntryReport) -> String {
    let (record, config) = (&entry.record, entry.config.kelly.unwrap_or_default());
    if record.trades < config.min_trades {
        return format!("size: {} of {} trades seen, probing", record.trades, config.min_trades);
    }
    format!(
        "size: {} of {} trades won, Kelly's fraction {:.4} after shrinkage, {} of it staked",
        record.wins,
        record.trades,
        record.kelly(&config).get() as f64 / Rate::ONE.get() as f64,
        config.fraction
    )
}

/// The section for machines; `null` if nothing was asked.
pub fn entry_json(engine: &EngineReport) -> Value {
    let Some(entry) = &engine.entry else { return Value::Null };
    let counts = &entry.counts;
    let withheld: serde_json::Map<String, Value> = Withheld::ALL
        .iter()
        .map(|reason| (reason.name().to_owned(), json!(counts.withheld[*reason as usize])))
        .collect();
    let trades: Vec<Value> = entry
        .trades
        .iter()
        .map(|trade| {
            json!({
                "instrument": symbol(engine, trade),
                "side": side_name(trade.side),
                "opened_at": trade.at[0].get(),
                "ended_at": trade.at[1].get(),
                "value": trade.value.to_string(),
                "expected": trade.expected.map(|money| money.to_string()),
                "realised": trade.realised.to_string(),
                "exit": trade.exit.name(),
            })
        })
        .collect();
    json!({
        "bar": entry.config.edge.bar.map(|bar| bar.to_string()),
        "looked_at": counts.wished,
        "admitted": counts.admitted,
        "withheld": withheld,
        "best_withheld": entry.best_withheld.as_ref().map(estimate_json),
        "trades_ended": counts.trades,
        "trades_today": entry.today,
        "trades_with_forecast": counts.forecast,
        "expected": counts.expected.to_string(),
        "realised": counts.realised.to_string(),
        "worst_loss": counts.worst_loss.to_string(),
        "slippage": entry.doubt.slippage.to_string(),
        "shortfall": entry.doubt.shortfall.to_string(),
        "kelly": entry.config.kelly.map(|config: KellyConfig| entry.record.kelly(&config).to_string()),
        "trades": trades,
    })
}
