//! The ghost of a run: how it is made from the configuration, what is said of it, and its part of the summary.

use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use crate::engine::{EngineConfig, EngineReport};
use crate::ghost::{GhostStatus, PermitTerms, Reason};
use crate::runtime::{
    Analysts, Board, CoreReport, GhostConfig, GhostDuty, GhostReader, GhostReport, MarketTap, SimLatency,
};
use crate::sim::Latency;
use crate::types::{BoardSlot, InstrumentTable, Money};

/// Adds a ghost to the analysts, if one is configured: what the live core needs for it, and who looks at it. Its account begins with
/// the live one's `wallet`, and its books are as large as those of the live `engine`.
pub fn begin(
    config: &Config,
    engine: &EngineConfig,
    table: &InstrumentTable,
    wallet: Money,
    board: &mut Board,
    analysts: &mut Analysts,
) -> Option<(MarketTap, GhostWatch)> {
    let ghost = &config.ghost;
    // The slot is the ghost's alone; were it not, there would be no permission and so no trading.
    let writer = board.writer(BoardSlot::GhostPermit).filter(|_| ghost.enabled)?;
    let terms = ghost.terms();
    let way = |span: crate::config::Duration| Latency::Constant(span.0);
    let strategy = config.strategy(table.len());
    let config = GhostConfig {
        terms,
        engine: EngineConfig { limits: engine.limits, ..config.engine() },
        latency: SimLatency { entry: way(ghost.entry_latency), ack: way(ghost.ack_latency), ..SimLatency::default() },
        queue: ghost.queue_model,
        balance: wallet,
        leverage_e2: config.risk.leverage_e2,
    };
    let (duty, tap, reader) = GhostDuty::new(config, table, strategy, writer);
    analysts.duties.push(Box::new(duty));
    let fresh_for = Duration::from_nanos(ghost.fresh_for.0);
    Some((tap, GhostWatch { reader, terms, fresh_for, said: None, heard: (0, Duration::ZERO), is_silent: false }))
}

/// Says when permission is given or withdrawn.
pub struct GhostWatch {
    reader: GhostReader,
    terms: PermitTerms,
    fresh_for: Duration,
    said: Option<(bool, u64)>,
    /// The newest status by its number, and when it was first seen.
    heard: (u64, Duration),
    is_silent: bool,
}

impl GhostWatch {
    /// What is to be said now, if anything is, `elapsed` since trading began: whether trading is permitted, at the start and whenever
    /// that changes; and once that a ghost has gone silent, by which its permission lapses.
    pub fn tick(&mut self, elapsed: Duration) -> Option<String> {
        let version = self.reader.version();
        if version != self.heard.0 {
            self.heard = (version, elapsed);
        }
        let is_silent = elapsed.saturating_sub(self.heard.1) > self.fresh_for;
        let was_silent = std::mem::replace(&mut self.is_silent, is_silent);
        if is_silent {
            let seconds = self.fresh_for.as_secs_f64();
            return (!was_silent).then(|| format!("ghost: not heard of for {seconds} s: trading not permitted"));
        }
        let status = self.reader.read()?;
        // A ghost that goes blind says so although nothing was permitted before.
        let key = (status.reason == Reason::Blind, status.switches);
        (self.said.replace(key) != Some(key) || was_silent).then(|| status.text(&self.terms))
    }
}

/// What one of the two did.
#[derive(Clone, Debug, Serialize)]
struct Traded {
    requests: u64,
    fills: u64,
    round_trips: u64,
    pnl: String,
}

/// The newest trips of the ghost, in whole units of the settlement currency.
#[derive(Clone, Copy, Debug, Serialize)]
struct Record {
    trips: usize,
    win_rate: f64,
    mean: f64,
    /// `null` where too few trips tell none.
    deviation: Option<f64>,
    effective_trips: f64,
    lower_bound: Option<f64>,
}

/// The ghost's record beside what the live engine did.
#[derive(Clone, Debug, Serialize)]
pub struct GhostSummary {
    permitted: bool,
    /// Whether live trading is permitted, and why.
    verdict: String,
    switches: u64,
    blind: bool,
    record: Option<Record>,
    ghost: Traded,
    live: Traded,
}

impl GhostSummary {
    /// From what both left behind.
    pub fn new(report: &GhostReport, live: &CoreReport) -> Self {
        let GhostReport { status, terms, core } = report;
        let traded = |core: &CoreReport| {
            let engine: &EngineReport = &core.engine;
            Traded {
                requests: engine.counts.commands,
                fills: engine.counts.fills,
                round_trips: core.tallies.iter().map(|tally| tally.round_trips).sum(),
                pnl: engine.pnl.total.to_string(),
            }
        };
        Self {
            permitted: status.is_permitted(),
            verdict: status.text(terms),
            switches: status.switches,
            blind: status.reason == Reason::Blind,
            record: record(status),
            ghost: traded(core),
            live: traded(live),
        }
    }

    /// The same for people.
    pub fn text(&self) -> String {
        let mut out = format!("{} (switched {} times)\n", self.verdict, self.switches);
        if let Some(r) = &self.record {
            let amount = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.6}"));
            out += &format!(
                "  newest {} trips: {:.1} % earned, mean {:.6}, deviation {}, as much as {:.1} independent ones, lower bound {}\n",
                r.trips,
                100.0 * r.win_rate,
                r.mean,
                amount(r.deviation),
                r.effective_trips,
                amount(r.lower_bound)
            );
        }
        for (name, traded) in [("ghost", &self.ghost), ("live", &self.live)] {
            let Traded { requests, fills, round_trips, pnl } = traded;
            out += &format!(
                "  {name:<6} requests {requests:<6} fills {fills:<6} round trips {round_trips:<6} pnl {pnl}\n"
            );
        }
        out
    }
}

fn record(status: &GhostStatus) -> Option<Record> {
    let m = status.measures?;
    Some(Record {
        trips: m.trips,
        win_rate: m.wins as f64 / m.trips as f64,
        mean: m.mean,
        deviation: Some(m.deviation).filter(|x| x.is_finite()),
        effective_trips: m.effective,
        lower_bound: m.lower,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Duty;
    use crate::types::{InstrumentSpec, Nanos, Product, Step, Symbol, VenueId};

    #[test]
    fn a_verdict_is_said_once_and_so_is_silence() {
        let step = Step::from_text(b"0.1").unwrap();
        let spec = InstrumentSpec::new(VenueId::BYBIT, Symbol::new(b"X").unwrap(), Product::Linear, step, step);
        let table = InstrumentTable::new(vec![spec.unwrap()]).unwrap();
        let (mut board, mut analysts) = (Board::new(), Analysts::default());
        let mut config = Config::default();
        let engine = config.engine();
        let wallet = Money::ONE;
        assert!(begin(&config, &engine, &table, wallet, &mut board, &mut analysts).is_none(), "it is off by default");
        assert!(analysts.duties.is_empty());
        config.ghost.enabled = true;
        let (mut board, mut analysts) = (Board::new(), Analysts::default());
        let (_tap, mut watch) = begin(&config, &engine, &table, wallet, &mut board, &mut analysts).unwrap();
        let ghost: &mut Box<dyn Duty> = analysts.duties.first_mut().unwrap();
        let mut at = |ms: u64, speaks: bool| {
            if speaks {
                ghost.poll(Nanos::from_millis(ms));
            }
            watch.tick(Duration::from_millis(ms))
        };
        assert_eq!(at(1_000, true).as_deref(), Some("ghost: 0 of 30 trips: trading not permitted"));
        assert_eq!(at(2_000, true), None);
        assert_eq!(at(6_999, false), None);
        assert_eq!(at(7_001, false).as_deref(), Some("ghost: not heard of for 5 s: trading not permitted"));
        assert_eq!(at(9_000, false), None);
        assert!(at(9_500, true).is_some(), "it is back");
        assert_eq!(at(9_600, true), None);
    }
}
