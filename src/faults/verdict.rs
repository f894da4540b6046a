//! What a run came to: where engine and venue disagree.

use crate::{
    engine::{EngineReport, StopCounts},
    order::OrderState,
    risk::BreakerLevel,
    sim::{AccountId, ExecutionKind},
    simex::{Simex, fault::FaultScript},
    types::{InstrumentId, Lots, Money, OrderStatus, Ticks},
};
use std::{collections::BTreeMap, fmt};

/// Something that engine and venue see differently at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub what: String,
    /// As the engine has it.
    pub engine: String,
    /// As the venue has it.
    pub venue: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: engine {}, venue {}", self.what, self.engine, self.venue)
    }
}

/// The outcome of one run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The seed of the market.
    pub seed: u64,
    /// The script that was played.
    pub script: FaultScript,
    /// What differs; empty if the run is good.
    pub differences: Vec<Difference>,
    /// Limits that the venue's own books showed exceeded; empty if the run is good, or was not watched.
    pub breaches: Vec<String>,
    /// The most that was at stake by the venue's own books, losses included; zero if the run was not watched.
    pub stake_max: Money,
    /// How far the breakers had gone at the end.
    pub levels: [BreakerLevel; 4],
    /// Virtual time from the stop until no order was open, and no position held where they are closed; in nanoseconds.
    pub flat_after_ns: u64,
    /// Whether trading began at all, and came to its end in time.
    pub is_finished: bool,
    /// Orders that the engine sent.
    pub orders: u64,
    /// What became of stop orders.
    pub stops: StopCounts,
    /// Executions at the venue.
    pub fills: u64,
    /// How often each kind of fault acted.
    pub fired: BTreeMap<String, u64>,
    /// Virtual time, in nanoseconds.
    pub elapsed_ns: u64,
    /// Messages that the venue sent.
    pub messages: u64,
    /// A fingerprint of the whole outcome: equal runs have equal ones.
    pub fingerprint: String,
    /// What duties had to say about messages that they could not read, for people.
    pub first_errors: Vec<String>,
}

impl Verdict {
    /// Whether engine and venue agree on everything, and no limit was exceeded.
    pub fn is_good(&self) -> bool {
        self.is_finished && self.differences.is_empty() && self.breaches.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let judgement = if self.is_good() { "good" } else { "FAILED" };
        writeln!(f, "seed {}: {judgement}, {} orders, {} fills", self.seed, self.orders, self.fills)?;
        if !self.is_finished {
            writeln!(f, "  it did not come to its end: never ready, or orders stayed open")?;
        }
        self.differences.iter().try_for_each(|difference| writeln!(f, "  {difference}"))?;
        self.breaches.iter().try_for_each(|breach| writeln!(f, "  limit exceeded at the venue: {breach}"))?;
        if !self.is_good() {
            self.first_errors.iter().try_for_each(|error| writeln!(f, "  refused: {error}"))?;
            let fired: Vec<String> = self.fired.iter().map(|(name, count)| format!("{name} {count}")).collect();
            writeln!(f, "  fired: {}", fired.join(", "))?;
            write!(f, "{}", self.script)?;
        }
        Ok(())
    }
}

/// What an account did in one instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Traded {
    fills: u64,
    maker_fills: u64,
    turnover: Money,
}

/// Holds the engine's report against the venue.
pub(super) fn compare(engine: &EngineReport, simex: &Simex, account: AccountId) -> Vec<Difference> {
    let venue = simex.venue();
    let mut found = Vec::new();
    let mut differ = |what: &str, engine: String, venue: String| {
        if engine != venue {
            found.push(Difference { what: what.to_owned(), engine, venue });
        }
    };
    let open = |idx| venue.open_orders(account, InstrumentId(idx as u16)).count();
    let open_at_venue: usize = (0..venue.instruments_len()).map(open).sum();
    let zero = || "0".to_owned();
    differ("open orders at the venue", zero(), open_at_venue.to_string());
    let open_here = engine.open_orders.iter().filter(|order| order.state != OrderState::Unknown).count();
    differ("open orders in the engine", open_here.to_string(), zero());
    let unknown = engine.open_orders.iter().filter(|order| order.state == OrderState::Unknown).count();
    differ("unknown orders in the engine", unknown.to_string(), zero());
    let stop_text = |instrument: InstrumentId, px: Ticks, qty: Lots| format!("{instrument:?} {qty:?} at {px:?}");
    let left = engine.stops.iter().flat_map(|stops| &stops.left);
    let mut left: Vec<String> = left.map(|order| stop_text(order.instrument, order.px, order.qty)).collect();
    let waiting = simex.stops_waiting(account);
    let mut waiting: Vec<String> = waiting.iter().map(|stop| stop_text(stop.instrument, stop.px, stop.qty)).collect();
    left.sort_unstable();
    waiting.sort_unstable();
    differ("stop orders that wait", left.join(", "), waiting.join(", "));
    for (status, name, here) in [
        (OrderStatus::Filled, "filled orders", engine.orders.filled),
        (OrderStatus::Cancelled, "cancelled orders", engine.orders.cancelled),
    ] {
        let ended = if status == OrderStatus::Cancelled { simex.stops_deactivated(account) } else { 0 };
        let there = venue.orders(account).filter(|order| order.status == status).count() + ended;
        differ(name, here.to_string(), there.to_string());
    }
    let mut traded = vec![Traded::default(); venue.instruments_len()];
    let trades = venue.executions().filter(|one| one.account == account && one.kind == ExecutionKind::Trade);
    for execution in trades {
        let Some(traded) = traded.get_mut(execution.instrument.idx()) else { continue };
        traded.fills += 1;
        traded.maker_fills += u64::from(execution.is_maker);
        traded.turnover = traded.turnover.saturating_add(execution.value);
    }
    let Some(owner) = venue.account(account) else { return found };
    for (idx, position) in engine.positions.iter().enumerate() {
        let symbol = position.spec.symbol;
        let there = owner.holdings().get(idx).map_or(Lots::ZERO, |holding| holding.qty);
        differ(&format!("{symbol} position in lots"), position.position.get().to_string(), there.get().to_string());
        let there = traded.get(idx).copied().unwrap_or_default();
        let [fills, maker_fills] = position.fills;
        differ(&format!("{symbol} fills"), fills.to_string(), there.fills.to_string());
        differ(&format!("{symbol} maker fills"), maker_fills.to_string(), there.maker_fills.to_string());
        differ(&format!("{symbol} turnover"), position.turnover.to_string(), there.turnover.to_string());
    }
    let wallet = engine.wallet.map_or_else(|| "none".to_owned(), |wallet| wallet.to_string());
    differ("wallet", wallet, owner.balance().to_string());
    found
}
