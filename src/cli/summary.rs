//! The machine-readable summary. Its fields are documented in the README; they are added to, never renamed silently.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::entry_report::entry_json;
use super::ghost::GhostSummary;
use super::memory::RssBytes;
use super::slow_risk::SlowRiskSummary;
use crate::engine::{AccountCounts, CurrencyReport, EngineReport, HedgeReport, PnlSplit, StopReport};
use crate::risk::Layer;
use crate::runtime::{LatencySummary, LiveOutcome};
use crate::types::{BookState, Level, Lots, Money};
use crate::venue::{FeedCounters, Ignored};

/// One book at the end.
#[derive(Clone, Debug, Serialize)]
pub struct BookSummary {
    venue: String,
    instrument: String,
    state: &'static str,
    bid_px: Option<String>,
    bid_qty: Option<String>,
    ask_px: Option<String>,
    ask_qty: Option<String>,
    bid_levels: usize,
    ask_levels: usize,
    updates: u64,
    trades: u64,
    levels_dropped: u64,
    top_of_book: TopOfBook,
    withdrawn: bool,
}

/// The integrity certificate.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct TopOfBook {
    /// Comparisons made.
    pub checked: u64,
    /// Comparisons in which both were the same.
    pub equal: u64,
    given_up: u64,
}

/// Orders by what became of them.
#[derive(Clone, Debug, Serialize)]
pub struct OrdersSummary {
    sent: u64,
    acknowledged: u64,
    filled: u64,
    cancelled: u64,
    rejected: u64,
    unknown: u64,
    /// Orders that may still trade at the venue.
    pub open_at_end: usize,
    refused: BTreeMap<&'static str, u64>,
}

/// What reconciliation found and did.
#[derive(Clone, Debug, Serialize)]
pub struct AccountSummary {
    passes: u64,
    passes_whole: u64,
    queries: u64,
    fills_by_query: u64,
    ends_by_query: u64,
    silent_streams: u64,
    foreign_cancels: u64,
    holds: u64,
    drifted: bool,
}

impl From<&AccountCounts> for AccountSummary {
    fn from(counts: &AccountCounts) -> Self {
        Self {
            passes: counts.passes,
            passes_whole: counts.passes_whole,
            queries: counts.queries,
            fills_by_query: counts.fills_by_query,
            ends_by_query: counts.ends_by_query,
            silent_streams: counts.silent_streams,
            foreign_cancels: counts.foreign_cancels,
            holds: counts.holds,
            drifted: counts.drifted,
        }
    }
}

/// What the connections of a live run went through.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionsSummary {
    market_lost: u64,
    market_renewed: u64,
    silent_books: u64,
    /// By racing connection: messages that it brought first, and late.
    race: Vec<[u64; 2]>,
    order_links_lost: u64,
    rest_requests: u64,
    rest_failures: u64,
    rest_limited: u64,
    /// The venue's clock less ours, and how far that may be off.
    clock_offset_ns: Option<(i64, u64)>,
}

impl ConnectionsSummary {
    /// From what a live run left behind.
    pub fn new(outcome: &LiveOutcome) -> Self {
        let feed = &outcome.feed;
        let asked = outcome.reconcile.clone().unwrap_or_default();
        Self {
            market_lost: feed.lost_links,
            market_renewed: feed.renewals,
            silent_books: feed.silent_streams,
            race: feed.race.iter().map(|count| [count.first, count.late]).filter(|it| *it != [0, 0]).collect(),
            order_links_lost: outcome.gateway.lost_links,
            rest_requests: asked.requests,
            rest_failures: asked.failures,
            rest_limited: asked.limited,
            clock_offset_ns: asked.clock_offset,
        }
    }
}

/// One position, as engine and venue see it.
#[derive(Clone, Debug, Serialize)]
pub struct PositionSummary {
    instrument: String,
    engine: String,
    venue: Option<String>,
    fills: u64,
    maker_fills: u64,
    turnover: String,
    pnl: String,
}

/// The wallet of a settlement currency, as engine and venue see it.
#[derive(Clone, Debug, Serialize)]
pub struct BalanceSummary {
    currency: String,
    start: Option<String>,
    engine: Option<String>,
    venue: Option<String>,
}

/// One of several settlement currencies.
#[derive(Clone, Debug, Serialize)]
struct CurrencySummary {
    balances: BalanceSummary,
    committed: String,
    capital: String,
    pnl: PnlSummary,
}

/// What the venue's books, or else its last word, say of a settlement currency's wallet.
fn wallet_venue(idx: usize, it: &CurrencyReport, venue: Option<&VenueView>) -> Option<Money> {
    match venue {
        Some(venue) => venue.wallets.get(idx).copied(),
        None => it.wallet_venue,
    }
}

/// Profit by where it came from.
#[derive(Clone, Debug, Serialize)]
pub struct PnlSummary {
    total: String,
    spread: String,
    inventory: String,
    fees: String,
    funding: String,
}

impl From<&PnlSplit> for PnlSummary {
    fn from(split: &PnlSplit) -> Self {
        Self {
            total: split.total.to_string(),
            spread: split.spread.to_string(),
            inventory: split.inventory.to_string(),
            fees: split.fees.to_string(),
            funding: split.funding.to_string(),
        }
    }
}

/// What the venue's own books say at the end.
#[derive(Clone, Debug)]
pub struct VenueView {
    /// Positions by instrument.
    pub positions: Vec<Lots>,
    /// Wallets by settlement currency.
    pub wallets: Vec<Money>,
    /// Orders still open.
    pub open_orders: usize,
    /// Times that the account was liquidated; a live venue is not asked.
    pub liquidations: u64,
}

/// The whole summary of `run` and `replay`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    elapsed_s: f64,
    messages: u64,
    bytes: u64,
    messages_per_s: f64,
    decode_errors: u64,
    unknown_messages: u64,
    unknown_symbols: u64,
    ignored: BTreeMap<&'static str, u64>,
    trades: u64,
    gaps: u64,
    resyncs: u64,
    books: Vec<BookSummary>,
    top_of_book: TopOfBook,
    orders: OrdersSummary,
    /// What reconciliation found and did.
    account: AccountSummary,
    /// What the connections went through; `null` in replays.
    connections: Option<ConnectionsSummary>,
    fills: u64,
    positions: Vec<PositionSummary>,
    balances: BalanceSummary,
    /// Wallet and profit of each settlement currency, if there are several: `balances`, `pnl` and `risk` are of the first then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    currencies: Vec<CurrencySummary>,
    /// Times that the simulated account was liquidated.
    liquidations: u64,
    /// Whether engine and venue agree on positions, wallet and open orders; `true` also where nothing was traded.
    pub reconciled: bool,
    pnl: PnlSummary,
    latency_ns: LatencySummary,
    hot_allocations: Option<u64>,
    rss_bytes: RssBytes,
    risk: RiskSummary,
    /// What was expected of trades and what they earned; `null` if nothing was asked of entries.
    entry: serde_json::Value,
    /// Hedges; `null` if none were asked for.
    hedge: Option<HedgeSummary>,
    /// Stop orders; left out if none were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    stops: Option<serde_json::Value>,
    /// The ghost's record beside what the live engine did; `null` without a ghost.
    ghost: Option<GhostSummary>,
    /// What slow risk measured; `null` where nobody measured it.
    slow_risk: Option<SlowRiskSummary>,
    events: u64,
    commands: u64,
    conflated: u64,
    crossed: u64,
    time_clamped: u64,
    first_errors: Vec<String>,
    topology: String,
    /// Notable moments of a live run.
    timeline: Vec<String>,
}

/// Capital and breakers at the end.
#[derive(Clone, Debug, Serialize)]
struct RiskSummary {
    committed: String,
    capital: String,
    /// How far each layer's breaker has gone.
    breakers: BTreeMap<&'static str, &'static str>,
}

impl RiskSummary {
    fn new(engine: &EngineReport) -> Self {
        let [committed, capital] = engine.capital.map(|money| money.to_string());
        let levels = Layer::ALL.iter().zip(engine.risk.levels);
        Self { committed, capital, breakers: levels.map(|(layer, level)| (layer.name(), level.name())).collect() }
    }
}

/// Hedges at the end.
#[derive(Clone, Debug, Serialize)]
struct HedgeSummary {
    samples: u64,
    orders: u64,
    unwound: u64,
    uncorrelated: u64,
    too_dear: u64,
    /// What is held, with what, its value, beta, and the squared correlation.
    held: Vec<(String, String, String, f64, f64)>,
}

impl From<&HedgeReport> for HedgeSummary {
    fn from(report: &HedgeReport) -> Self {
        let counts = report.counts;
        let held = report.held.iter().map(|held| {
            let [what, with] = held.symbols.map(|symbol| symbol.to_string());
            let (beta, r2) = (held.slope.beta_e6 as f64 / 1e6, held.slope.r2_e6 as f64 / 1e6);
            (what, with, held.value.to_string(), beta, r2)
        });
        Self {
            samples: counts.samples,
            orders: counts.orders,
            unwound: counts.unwound,
            uncorrelated: counts.uncorrelated,
            too_dear: counts.too_dear,
            held: held.collect(),
        }
    }
}

/// What a summary is made from.
pub struct Parts<'a> {
    /// Wall-clock seconds.
    pub elapsed_s: f64,
    /// The feed's counters.
    pub feed: &'a FeedCounters,
    /// First refused messages.
    pub first_errors: &'a [String],
    /// The engine's view.
    pub engine: &'a EngineReport,
    /// The venue's view; `None` if it cannot be had.
    pub venue: Option<&'a VenueView>,
    /// Stages of latency.
    pub latency: LatencySummary,
    /// Allocations on hot duties.
    pub hot_allocations: Option<u64>,
    /// Memory.
    pub rss: RssBytes,
    /// Threads.
    pub topology: String,
    /// Notable moments of a live run.
    pub timeline: Vec<String>,
    /// What its connections went through.
    pub connections: Option<ConnectionsSummary>,
    /// Its ghost, if it had one.
    pub ghost: Option<GhostSummary>,
    /// What slow risk measured.
    pub slow_risk: Option<SlowRiskSummary>,
}

pub(super) const fn state_name(state: BookState) -> &'static str {
    match state {
        BookState::Empty => "empty",
        BookState::Syncing => "syncing",
        BookState::Live => "live",
        BookState::Stale => "stale",
    }
}

impl Summary {
    /// Makes the summary.
    pub fn new(parts: &Parts<'_>) -> Self {
        let Parts { feed, engine, venue, .. } = parts;
        let books: Vec<BookSummary> = engine
            .books
            .iter()
            .map(|book| {
                let px = |level: Option<Level>| level.map(|l| book.spec.tick.text(l.px.get()));
                let qty = |level: Option<Level>| level.map(|l| book.spec.lot.text(l.qty.get()));
                let (bid, ask) = (book.touch.bid, book.touch.ask);
                BookSummary {
                    venue: book.spec.venue.name().to_owned(),
                    instrument: book.spec.symbol.to_string(),
                    state: state_name(book.state),
                    bid_px: px(bid),
                    bid_qty: qty(bid),
                    ask_px: px(ask),
                    ask_qty: qty(ask),
                    bid_levels: book.levels[0],
                    ask_levels: book.levels[1],
                    updates: book.updates,
                    trades: book.trades,
                    levels_dropped: book.levels_dropped,
                    top_of_book: TopOfBook {
                        checked: book.certificate.checked,
                        equal: book.certificate.equal,
                        given_up: book.certificate.given_up,
                    },
                    withdrawn: book.is_withdrawn,
                }
            })
            .collect();
        let top_of_book = books.iter().fold(TopOfBook::default(), |sum, book| TopOfBook {
            checked: sum.checked + book.top_of_book.checked,
            equal: sum.equal + book.top_of_book.equal,
            given_up: sum.given_up + book.top_of_book.given_up,
        });
        let positions = engine
            .positions
            .iter()
            .enumerate()
            .map(|(idx, p)| PositionSummary {
                instrument: p.spec.symbol.to_string(),
                engine: p.spec.lot.text(p.position.get()),
                venue: venue
                    .and_then(|v| v.positions.get(idx).copied())
                    .or(p.venue_position)
                    .map(|qty| p.spec.lot.text(qty.get())),
                fills: p.fills[0],
                maker_fills: p.fills[1],
                turnover: p.turnover.to_string(),
                pnl: p.pnl.total.to_string(),
            })
            .collect();
        let balances = |(idx, it): (usize, &CurrencyReport)| BalanceSummary {
            currency: it.currency.to_string(),
            start: it.wallet_start.map(|m| m.to_string()),
            engine: it.wallet.map(|m| m.to_string()),
            venue: wallet_venue(idx, it, *venue).map(|m| m.to_string()),
        };
        let currencies = engine.currencies.iter().enumerate().map(|(idx, it)| CurrencySummary {
            balances: balances((idx, it)),
            committed: it.capital[0].to_string(),
            capital: it.capital[1].to_string(),
            pnl: PnlSummary::from(&it.pnl),
        });
        let currencies = if engine.currencies.len() > 1 { currencies.collect() } else { Vec::new() };
        let ignored = Ignored::ALL.iter().map(|&kind| (kind.name(), feed.ignored[kind as usize]));
        Self {
            elapsed_s: parts.elapsed_s,
            messages: feed.messages,
            bytes: feed.bytes,
            messages_per_s: if parts.elapsed_s > 0.0 { feed.messages as f64 / parts.elapsed_s } else { 0.0 },
            decode_errors: feed.decode_errors,
            unknown_messages: feed.unknown_messages,
            unknown_symbols: feed.unknown_symbols,
            ignored: ignored.filter(|&(_, count)| count > 0).collect(),
            trades: feed.trades,
            gaps: feed.gaps,
            resyncs: feed.resyncs,
            books,
            top_of_book,
            orders: OrdersSummary {
                sent: engine.orders.sent,
                acknowledged: engine.orders.acknowledged,
                filled: engine.orders.filled,
                cancelled: engine.orders.cancelled,
                rejected: engine.orders.rejected,
                unknown: engine.orders.unknown,
                open_at_end: engine.open_orders.len().max(venue.map_or(0, |v| v.open_orders)),
                refused: engine.refused.iter().map(|&(reason, count)| (reason.name(), count)).collect(),
            },
            account: AccountSummary::from(&engine.account),
            connections: parts.connections.clone(),
            fills: engine.counts.fills,
            positions,
            balances: balances((0, &engine.currencies[0])),
            currencies,
            liquidations: venue.map_or(0, |venue| venue.liquidations),
            reconciled: is_reconciled(engine, *venue),
            pnl: PnlSummary::from(&engine.pnl),
            latency_ns: parts.latency.clone(),
            hot_allocations: parts.hot_allocations,
            risk: RiskSummary::new(engine),
            entry: entry_json(engine),
            hedge: engine.hedge.as_ref().map(HedgeSummary::from),
            stops: engine.stops.as_ref().map(stops_json),
            ghost: parts.ghost.clone(),
            slow_risk: parts.slow_risk.clone(),
            rss_bytes: parts.rss,
            events: engine.counts.events,
            commands: engine.counts.commands,
            conflated: engine.counts.conflated,
            crossed: engine.counts.crossed,
            time_clamped: engine.counts.time_clamped,
            first_errors: parts.first_errors.to_vec(),
            topology: parts.topology.clone(),
            timeline: parts.timeline.clone(),
        }
    }

    /// Whether nothing was left open and both sides agree.
    pub fn is_good(&self) -> bool {
        self.reconciled && self.orders.open_at_end == 0
    }

    /// Writes the summary to a file.
    ///
    /// # Errors
    /// A sentence with the file.
    pub fn write(&self, file: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|e| e.to_string())?;
        std::fs::write(file, text + "\n").map_err(|e| format!("{}: {e}", file.display()))
    }
}

/// Whether positions, wallet and open orders are the same on both sides.
fn stops_json(stops: &StopReport) -> serde_json::Value {
    let c = &stops.counts;
    serde_json::json!({
        "placed": c.placed,
        "amended": c.amended,
        "cancelled": c.cancelled,
        "triggered": c.triggered,
        "refused": c.refused,
        "given_up": c.given_up,
        "passed": c.passed,
        "left": stops.left.len(),
        "missing": stops.missing.len(),
    })
}

fn is_reconciled(engine: &EngineReport, venue: Option<&VenueView>) -> bool {
    match venue {
        Some(venue) => {
            let positions = engine.positions.iter().zip(&venue.positions).all(|(e, &v)| e.position == v);
            let is_equal = |(idx, it): (usize, &CurrencyReport)| {
                it.wallet.is_none_or(|wallet| venue.wallets.get(idx) == Some(&wallet))
            };
            let wallets = engine.currencies.iter().enumerate().all(is_equal);
            positions && wallets && engine.open_orders.len() == venue.open_orders
        }
        None => {
            let positions = engine.positions.iter().all(|p| p.venue_position.is_none_or(|v| v == p.position));
            positions && engine.currencies.iter().all(|it| it.wallet == it.wallet_venue)
        }
    }
}
