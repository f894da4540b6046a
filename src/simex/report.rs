//! What a run looked like from the venue's side: the other half of every reconciliation.

use super::{Simex, json};
use crate::{
    sim::{AccountId, ExecutionKind, Venue},
    types::{InstrumentId, OrderStatus, Side},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// The venue's closing report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VenueReport {
    /// Every account.
    pub accounts: Vec<AccountReport>,
    /// Public trades, by symbol, that the venue's own engine made.
    pub trades: BTreeMap<String, u64>,
    /// Frames and requests that came in.
    pub messages_in: u64,
    /// Frames and answers that went out.
    pub messages_out: u64,
    /// Connections ever accepted.
    pub connections: u64,
    /// Connections cut for reading too slowly or breaking the protocol.
    pub connections_cut: u64,
}

/// One account, as the venue sees it. Amounts are plain decimals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountReport {
    /// The user.
    pub uid: u64,
    /// Remembered orders by their state.
    pub orders: BTreeMap<String, u64>,
    /// Remembered trades of this account.
    pub fills: u64,
    /// Opening balance.
    pub start: String,
    /// Wallet balance: start + realised − fees − funding.
    pub balance: String,
    /// Realised profit before fees and funding.
    pub realised: String,
    /// Fees paid.
    pub fees: String,
    /// Funding paid.
    pub funding: String,
    /// Balance plus unrealised profit at mark prices.
    pub equity: String,
    /// Positions that are not flat.
    pub positions: Vec<PositionReport>,
}

/// One position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PositionReport {
    /// Which instrument.
    pub symbol: String,
    /// Signed size.
    pub qty: String,
    /// Average entry price.
    pub entry_px: String,
    /// Mark price.
    pub mark_px: String,
    /// Profit that closing at the mark would realise.
    pub unrealised: String,
}

impl Simex {
    /// Returns the report as of now.
    pub fn report(&self) -> VenueReport {
        let venue = self.venue();
        let account = |(idx, uid): (usize, u64)| account_report(venue, AccountId(idx as u32), uid);
        VenueReport {
            accounts: self.uids().enumerate().map(account).collect(),
            trades: self.trade_counts(),
            messages_in: self.counts.messages_in,
            messages_out: self.counts.messages_out,
            connections: self.counts.connections,
            connections_cut: self.counts.connections_cut,
        }
    }
}

fn account_report(venue: &Venue, id: AccountId, uid: u64) -> AccountReport {
    let mut report = AccountReport {
        uid,
        orders: BTreeMap::new(),
        fills: venue
            .executions()
            .filter(|execution| execution.account == id && execution.kind == ExecutionKind::Trade)
            .count() as u64,
        start: String::new(),
        balance: String::new(),
        realised: String::new(),
        fees: String::new(),
        funding: String::new(),
        equity: venue.equity(id).to_string(),
        positions: Vec::new(),
    };
    for order in venue.orders(id) {
        *report.orders.entry(status_name(order.status).into()).or_default() += 1;
    }
    let Some(account) = venue.account(id) else { return report };
    let sum = |part: fn(&crate::sim::Holding) -> crate::types::Money| {
        account
            .holdings()
            .iter()
            .fold(crate::types::Money::ZERO, |sum, holding| sum.saturating_add(part(holding)))
            .to_string()
    };
    report.start = account.start().to_string();
    report.balance = account.balance().to_string();
    report.realised = sum(|holding| holding.realised);
    report.fees = sum(|holding| holding.fees);
    report.funding = sum(|holding| holding.funding);
    for (idx, holding) in account.holdings().iter().enumerate().filter(|(_, holding)| !holding.qty.is_zero()) {
        let instrument = InstrumentId(idx as u16);
        let (Some(spec), mark) = (venue.spec(instrument), venue.mark(instrument).unwrap_or_default()) else { continue };
        report.positions.push(PositionReport {
            symbol: spec.symbol.to_string(),
            qty: json::qty(spec, holding.qty),
            entry_px: holding.entry_px(spec).to_string(),
            mark_px: json::px(spec, mark),
            unrealised: holding.unrealised(spec, mark).to_string(),
        });
    }
    report
}

/// The venue's name of a state.
pub(super) fn status_name(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::New => "New",
        OrderStatus::PartiallyFilled => "PartiallyFilled",
        OrderStatus::Filled => "Filled",
        OrderStatus::Cancelled => "Cancelled",
        OrderStatus::Rejected => "Rejected",
        OrderStatus::Untriggered => "Untriggered",
    }
}

/// The venue's name of a direction.
pub(super) fn side_name(side: Side) -> &'static str {
    match side {
        Side::Bid => "Buy",
        Side::Ask => "Sell",
    }
}
