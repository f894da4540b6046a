//! What is asked of entries, and how trades are sized, paced and left.

use serde::{Deserialize, Serialize};

use super::value::{Bps, Duration, MoneyText, percent, share};
use crate::entry::{EdgeConfig, EntryConfig, KellyConfig, LeverageConfig, PaceConfig};
use crate::types::Rate;

/// Names a key that is out of its range, and says why.
type Check = Result<(), (&'static str, String)>;

fn at_most(key: &'static str, found: u32, most: u32) -> Check {
    if found <= most { Ok(()) } else { Err((key, format!("found {found}, allowed are 0 to {most}"))) }
}

fn at_least(key: &'static str, found: u32, least: u32) -> Check {
    if found >= least { Ok(()) } else { Err((key, format!("found {found}, allowed are {least} and more"))) }
}

table! {
    /// The edge gate and the stops of a trade; see [`EdgeConfig`].
    EdgeTable {
        /// Least that a trade must be expected to earn, net of everything; none: nothing is asked.
        bar: Option<MoneyText>,
        /// Whether it is left by an order that takes, and pays for that.
        exit_takes: bool,
        /// Share of its value by which every forecast counts less.
        margin_bps: Bps,
        /// Slippage of an order that takes, until some was measured.
        slippage_bps: Bps,
        /// Trades that must have ended before their shortfall counts.
        tighten_from: u32,
        /// Standard errors of the mean shortfall that are added to it, in hundredths.
        confidence_e2: u32,
        /// Most that a trade may lose before it is left; none: no bound.
        loss_max: Option<MoneyText>,
        /// Longest time in a trade; none: no end.
        hold_max: Option<Duration>,
        /// Net profit from which on a trade is left when that has gone back to nothing; none: never.
        break_even_from: Option<MoneyText>,
    }
}

impl Default for EdgeTable {
    fn default() -> Self {
        let d = EdgeConfig::default();
        Self {
            bar: d.bar.map(MoneyText),
            exit_takes: d.exit_takes,
            margin_bps: Bps(d.margin),
            slippage_bps: Bps(d.slippage),
            tighten_from: d.tighten_from,
            confidence_e2: d.confidence_e2,
            loss_max: d.loss_max.map(MoneyText),
            hold_max: d.hold_max_ns.map(Duration),
            break_even_from: d.break_even_from.map(MoneyText),
        }
    }
}

table! {
    /// Size from win rate and payoff; see [`KellyConfig`].
    KellyTable {
        /// Whether it is used.
        enabled: bool,
        /// Percent of Kelly's fraction that is staked.
        fraction_percent: u32,
        /// Trades below which nothing is known yet.
        min_trades: u32,
        /// Percent of the wished size until then.
        probe_percent: u32,
        /// Trades at break-even that are added to what was measured.
        shrink_trades: u32,
    }
}

impl Default for KellyTable {
    fn default() -> Self {
        let d = KellyConfig::default();
        Self {
            enabled: false,
            fraction_percent: percent(d.fraction),
            min_trades: d.min_trades,
            probe_percent: percent(d.probe),
            shrink_trades: d.shrink_trades,
        }
    }
}

table! {
    /// Size from the least profit; see [`LeverageConfig`].
    LeverageTable {
        /// Whether it is used: a wish is then the margin of a position.
        enabled: bool,
        /// Least profit of a trade, net.
        min_profit: MoneyText,
        /// Share of a position's value that the venue wants as maintenance margin.
        maintenance_bps: Bps,
        /// Expected moves of the holding time that must fit before a liquidation, in hundredths.
        moves_e2: u32,
    }
}

impl Default for LeverageTable {
    fn default() -> Self {
        let d = LeverageConfig::default();
        Self {
            enabled: false,
            min_profit: MoneyText(d.min_profit),
            maintenance_bps: Bps(d.maintenance),
            moves_e2: d.moves_e2,
        }
    }
}

table! {
    /// Trades of a day; see [`PaceConfig`].
    PaceTable {
        /// Trades that are aimed at in a day (UTC); none: as many as come.
        trades_per_day: Option<u32>,
        /// How much faster than evenly missed trades may be caught up with, in percent.
        catch_up_percent: u32,
        /// Least time between the openings of two trades.
        pause: Duration,
    }
}

impl Default for PaceTable {
    fn default() -> Self {
        let d = PaceConfig::default();
        Self { trades_per_day: d.trades_per_day, catch_up_percent: d.catch_up_percent, pause: Duration(d.pause_ns) }
    }
}

/// What the engine is told.
pub(super) fn entry(
    edge: &EdgeTable,
    kelly: &KellyTable,
    leverage: &LeverageTable,
    pace: &PaceTable,
    funding_cap: Rate,
) -> EntryConfig {
    let money = |text: Option<MoneyText>| text.map(|text| text.0);
    EntryConfig {
        edge: EdgeConfig {
            bar: money(edge.bar),
            exit_takes: edge.exit_takes,
            margin: edge.margin_bps.0,
            slippage: edge.slippage_bps.0,
            funding_cap,
            tighten_from: edge.tighten_from,
            confidence_e2: edge.confidence_e2,
            loss_max: money(edge.loss_max),
            hold_max_ns: edge.hold_max.map(|time| time.0),
            break_even_from: money(edge.break_even_from),
        },
        kelly: kelly.enabled.then(|| KellyConfig {
            fraction: share(kelly.fraction_percent),
            min_trades: kelly.min_trades,
            probe: share(kelly.probe_percent),
            shrink_trades: kelly.shrink_trades,
        }),
        leverage: leverage.enabled.then_some(LeverageConfig {
            min_profit: leverage.min_profit.0,
            maintenance: leverage.maintenance_bps.0,
            moves_e2: leverage.moves_e2,
        }),
        pace: PaceConfig {
            trades_per_day: pace.trades_per_day,
            catch_up_percent: pace.catch_up_percent,
            pause_ns: pace.pause.0,
        },
    }
}

/// # Errors
/// The key that is out of its range, and why.
pub(super) fn check(edge: &EdgeTable, kelly: &KellyTable, leverage: &LeverageTable, pace: &PaceTable) -> Check {
    for (key, Bps(rate)) in [
        ("margin-bps", edge.margin_bps),
        ("edge.slippage-bps", edge.slippage_bps),
        ("maintenance-bps", leverage.maintenance_bps),
    ] {
        if !(Rate::ZERO..=Rate::ONE).contains(&rate) {
            return Err((key, format!("found {}, allowed are 0 to 10000", Bps(rate))));
        }
    }
    for (key, amount) in [("loss-max", edge.loss_max), ("min-profit", Some(leverage.min_profit))] {
        if let Some(MoneyText(found)) = amount
            && found <= crate::types::Money::ZERO
        {
            return Err((key, format!("found {found}, allowed is more than 0")));
        }
    }
    at_least("tighten-from", edge.tighten_from, 2)?;
    at_most("confidence-e2", edge.confidence_e2, 1_000)?;
    at_most("fraction-percent", kelly.fraction_percent, 100)?;
    at_most("probe-percent", kelly.probe_percent, 100)?;
    at_most("min-trades", kelly.min_trades, crate::entry::TRADES_MAX as u32)?;
    at_most("moves-e2", leverage.moves_e2, 100_000)?;
    at_least("catch-up-percent", pace.catch_up_percent, 100)
}
