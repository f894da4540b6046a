//! What the engine has to say at the end, or once a second. Allocates; not for the hot path.

use super::risks::Purse;
use super::{AccountCounts, Engine, EngineCounts, HedgeReport, PnlSplit, Probe, StopReport};
use crate::book::{CertificateCounts, Touch};
use crate::entry::EntryReport;
use crate::order::{Order, OrderCounts, OrderState};
use crate::risk::{Refusal, RiskState};
use crate::strategy::Strategy;
use crate::types::{BookState, Currency, InstrumentSpec, Lots, Money, SettleId, Side};

/// One book.
#[derive(Clone, Debug)]
pub struct BookReport {
    /// The instrument.
    pub spec: InstrumentSpec,
    /// How far it may be trusted.
    pub state: BookState,
    /// Its best levels.
    pub touch: Touch,
    /// Levels of the bid and the ask side.
    pub levels: [usize; 2],
    /// Book events applied.
    pub updates: u64,
    /// Trades seen.
    pub trades: u64,
    /// Levels dropped for want of room.
    pub levels_dropped: u64,
    /// What the comparison with the venue's own top found.
    pub certificate: CertificateCounts,
    /// Whether the instrument was withdrawn from trading.
    pub is_withdrawn: bool,
}

/// One position.
#[derive(Clone, Debug)]
pub struct PositionReport {
    /// The instrument.
    pub spec: InstrumentSpec,
    /// As the engine books it.
    pub position: Lots,
    /// As the venue last told; `None` if it did not.
    pub venue_position: Option<Lots>,
    /// Executions booked, and how many of them as a maker.
    pub fills: [u64; 2],
    /// Sum of traded values.
    pub turnover: Money,
    /// Profit by where it came from.
    pub pnl: PnlSplit,
}

/// One settlement currency.
#[derive(Clone, Debug)]
pub struct CurrencyReport {
    /// The currency, in which all money is.
    pub currency: Currency,
    /// Wallet at the start, as the venue told.
    pub wallet_start: Option<Money>,
    /// Wallet now, by the engine's own books.
    pub wallet: Option<Money>,
    /// Wallet as the venue last told.
    pub wallet_venue: Option<Money>,
    /// What is committed at worst, and what may be.
    pub capital: [Money; 2],
    /// Profit of its instruments by where it came from.
    pub pnl: PnlSplit,
}

/// A few figures while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreStatus {
    /// Events taken.
    pub events: u64,
    /// Commands that left.
    pub commands: u64,
    /// Executions booked.
    pub fills: u64,
    /// Orders that may still trade, or whose executions have not all arrived; without stop orders that wait and protect a position.
    pub open_orders: u64,
    /// Orders in doubt.
    pub unknown: u64,
    /// Refusals.
    pub refused: u64,
    /// Profit so far in 10⁻⁶ of the first settlement currency, clamped to what a word holds; for people.
    pub pnl_micros: i64,
    /// Whether the engine is stopping or killed.
    pub is_stopping: bool,
    /// Books that can be trusted.
    pub books_live: u64,
    /// Whether the account is known: connected, and reconciled since.
    pub is_synced: bool,
    /// Whether requests can leave.
    pub has_trade_link: bool,
    /// Whether the private stream is up.
    pub has_private_link: bool,
    /// Private streams that were replaced because they had gone silent.
    pub silent_streams: u64,
    /// Times that the venue said that we ask too much.
    pub rate_warnings: u64,
    /// Positions that are not zero.
    pub positions: u64,
    /// What the next run must know of risk.
    pub risk: RiskState,
}

/// Everything the engine knows, for people and for the summary.
#[derive(Clone, Debug)]
pub struct EngineReport {
    /// Books by instrument.
    pub books: Vec<BookReport>,
    /// Positions by instrument.
    pub positions: Vec<PositionReport>,
    /// Orders by what became of them.
    pub orders: OrderCounts,
    /// Orders that may still trade; stop orders that wait and protect a position are in `stops`.
    pub open_orders: Vec<Order>,
    /// Refusals by reason, those that occurred.
    pub refused: Vec<(Refusal, u64)>,
    /// What is committed at worst, and what may be.
    pub capital: [Money; 2],
    /// What the next run must know of risk.
    pub risk: RiskState,
    /// What became of entries; `None` if nothing was asked of them.
    pub entry: Option<EntryReport>,
    /// Hedges; `None` if none were asked for.
    pub hedge: Option<HedgeReport>,
    /// What became of stop orders; `None` if none were asked for.
    pub stops: Option<StopReport>,
    /// Other counts.
    pub counts: EngineCounts,
    /// What reconciliation found and did.
    pub account: AccountCounts,
    /// Orders whose executions have not all arrived, and executions whose fee or order is still to be told.
    pub unsettled: [usize; 2],
    /// By settlement currency; the first is that of `capital`, the wallets and `pnl` here.
    pub currencies: Vec<CurrencyReport>,
    /// Wallet at the start, as the venue told.
    pub wallet_start: Option<Money>,
    /// Wallet now, by the engine's own books.
    pub wallet: Option<Money>,
    /// Wallet as the venue last told.
    pub wallet_venue: Option<Money>,
    /// Profit of all instruments that are settled in the first currency, by where it came from.
    pub pnl: PnlSplit,
}

impl<S: Strategy, P: Probe> Engine<S, P> {
    /// A few figures for the status line. Does not allocate.
    pub fn quick_status(&self) -> CoreStatus {
        let profit = self
            .instruments
            .iter()
            .filter(|i| i.settle == SettleId::default())
            .fold(Money::ZERO, |sum, i| sum.saturating_add(i.holding.profit(&i.spec, i.fused.touch())));
        CoreStatus {
            events: self.counts.events,
            commands: self.counts.commands,
            fills: self.counts.fills,
            open_orders: (self.orders.unsettled_count() - self.stops_left().count()) as u64,
            unknown: self.orders.iter().filter(|order| order.state == OrderState::Unknown).count() as u64,
            refused: self.risk.refused().map(|(_, count)| count).sum(),
            pnl_micros: i64::try_from(profit.get() / 1_000_000).unwrap_or(i64::MAX),
            is_stopping: matches!(self.mode, super::Mode::Stopping | super::Mode::Killed),
            books_live: self.instruments.iter().filter(|i| i.state == BookState::Live).count() as u64,
            is_synced: self.account.is_synced,
            has_trade_link: self.account.has_order_entry(),
            has_private_link: self.account.has_private_stream(),
            silent_streams: self.account.counts.silent_streams,
            rate_warnings: self.budget.warnings(),
            positions: self.instruments.iter().filter(|i| !i.holding.position.is_zero()).count() as u64,
            risk: self.risk_state(),
        }
    }

    /// Sum of what open positions in the first settlement currency lose at the mid, zero or below; those that win are not set against it.
    pub fn open_losses(&self) -> Money {
        self.open_losses_in(SettleId::default())
    }

    /// The same of a settlement currency.
    pub(super) fn open_losses_in(&self, settle: SettleId) -> Money {
        self.instruments.iter().filter(|i| i.settle == settle).fold(Money::ZERO, |sum, i| {
            let profit = i.holding.profit(&i.spec, i.fused.touch()).saturating_sub(i.holding.wallet_change());
            sum.saturating_add(profit.min(Money::ZERO))
        })
    }

    /// Collects the report.
    pub fn report(&self) -> EngineReport {
        let books = self
            .instruments
            .iter()
            .map(|i| BookReport {
                spec: i.spec,
                state: i.state,
                touch: i.book.touch(),
                levels: [i.book.levels(Side::Bid), i.book.levels(Side::Ask)],
                updates: i.book.updates(),
                trades: i.trades,
                levels_dropped: i.book.levels_dropped(),
                certificate: i.certificate.counts(),
                is_withdrawn: i.is_withdrawn,
            })
            .collect();
        let positions: Vec<PositionReport> = self
            .instruments
            .iter()
            .map(|i| PositionReport {
                spec: i.spec,
                position: i.holding.position,
                venue_position: i.venue_position,
                fills: [i.holding.fills, i.holding.maker_fills],
                turnover: i.holding.turnover,
                pnl: i.holding.split(&i.spec, &i.book.touch()),
            })
            .collect();
        let of = |(settle, purse): (SettleId, &Purse)| {
            let mut pnl = PnlSplit::default();
            let mut change = Money::ZERO;
            for (_, p) in self.instruments.iter().zip(&positions).filter(|(i, _)| i.settle == settle) {
                pnl.add(&p.pnl);
            }
            for i in self.instruments.iter().filter(|i| i.settle == settle) {
                change = change.saturating_add(i.holding.wallet_change());
            }
            CurrencyReport {
                currency: purse.currency,
                wallet_start: purse.wallet.start,
                wallet: purse.wallet.start.map(|start| start.saturating_add(change)),
                wallet_venue: purse.wallet.venue,
                capital: [purse.risk.committed(), purse.risk.capital()],
                pnl,
            }
        };
        let currencies: Vec<CurrencyReport> = self.risk.all().map(of).collect();
        let first = currencies[0].clone();
        EngineReport {
            books,
            positions,
            orders: self.orders.counts(),
            open_orders: self
                .orders
                .iter()
                .filter(|order| !order.state.is_final() && !self.is_left(order))
                .copied()
                .collect(),
            refused: self.risk.refused().filter(|&(_, count)| count > 0).collect(),
            capital: first.capital,
            risk: self.risk_state(),
            entry: self.entry.report(),
            hedge: self.hedge_report(),
            stops: self.stop_report(),
            counts: self.counts,
            account: self.account.counts,
            unsettled: [self.orders.unsettled_count() - self.stops_left().count(), self.estimates.len()],
            wallet_start: first.wallet_start,
            wallet: first.wallet,
            wallet_venue: first.wallet_venue,
            pnl: first.pnl,
            currencies,
        }
    }
}
