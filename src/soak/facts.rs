//! What a run did, as far as a soak judges it. `docs/soak.md` defines each figure.

use std::time::Duration;

use crate::engine::EngineReport;
use crate::runtime::LiveOutcome;
use crate::types::{Lots, Money};
use crate::venue::Ignored;

/// Errors of one kind of thing, and how many of these there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// Refused, by either side.
    pub refused: u64,
    /// Of no known kind, or in doubt.
    pub unknown: u64,
    /// Known, and not what they should have been.
    pub mismatched: u64,
    /// All of them, good or bad.
    pub of: u64,
}

impl Errors {
    /// All errors.
    pub fn count(&self) -> u64 {
        self.refused + self.unknown + self.mismatched
    }

    /// Errors as a share of all; none of none is 0, and some of none is 1.
    pub fn rate(&self) -> f64 {
        match (self.count(), self.of) {
            (0, _) => 0.0,
            (_, 0) => 1.0,
            (count, of) => count as f64 / of as f64,
        }
    }
}

/// How far engine and venue are apart at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apart {
    /// By so much of the settlement currency: the wallets' difference and the value of all differences of positions.
    By(Money),
    /// It cannot be told, for this reason.
    Untold(String),
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Time for which it traded.
    pub traded_for: Duration,
    /// Why it ended before its time, if it did.
    pub ended_early: Option<String>,
    /// Instruments that had market data and at least one order.
    pub assets: u64,
    /// Instruments in all.
    pub instruments: u64,
    /// Completed round trips.
    pub trades: u64,
    /// Messages.
    pub messages: Errors,
    /// Orders.
    pub orders: Errors,
    /// Engine against venue.
    pub apart: Apart,
    /// Orders that are left: open by the engine's books, open by the venue's (`None`: not told), and not settled.
    pub left_open: (u64, Option<u64>, u64),
    /// Market events and requests that a full ring lost or refused.
    pub lost_in_queues: u64,
}

impl Facts {
    /// From what a run left behind. `venue`: positions by instrument, wallet and number of open orders; `None` if it cannot be had.
    pub fn new(
        outcome: &LiveOutcome,
        venue: Option<(&[Lots], Money, usize)>,
        traded_for: Duration,
        ended_early: Option<String>,
    ) -> Self {
        let engine = &outcome.core.engine;
        let tallies = &outcome.core.tallies;
        let is_asset = |(idx, orders): (usize, u64)| orders > 0 && engine.books.get(idx).is_some_and(|b| b.updates > 0);
        let assets = tallies.iter().map(|tally| tally.orders).enumerate().filter(|&it| is_asset(it)).count();
        let refused_by_ring = engine
            .refused
            .iter()
            .filter(|(reason, _)| reason.name() == "gateway")
            .map(|&(_, count)| count)
            .sum::<u64>();
        Self {
            traded_for,
            ended_early,
            assets: assets as u64,
            instruments: engine.books.len() as u64,
            trades: tallies.iter().map(|tally| tally.round_trips).sum(),
            messages: message_errors(outcome),
            orders: order_errors(engine),
            apart: match venue {
                Some((positions, wallet, _)) => apart(engine, positions, wallet),
                None => Apart::Untold("the venue's closing view cannot be had".to_owned()),
            },
            left_open: (
                engine.open_orders.len() as u64,
                venue.map(|(_, _, open)| open as u64),
                engine.unsettled.iter().sum::<usize>() as u64,
            ),
            lost_in_queues: outcome.feed.ring_full + refused_by_ring + u64::from(outcome.core.journal_lost),
        }
    }
}

fn message_errors(outcome: &LiveOutcome) -> Errors {
    let (feed, gateway) = (&outcome.feed.counters, &outcome.gateway);
    let asked = outcome.reconcile.clone().unwrap_or_default();
    let tops = outcome.core.engine.books.iter().map(|book| book.certificate);
    let wrong_tops: u64 = tops.map(|top| top.checked.saturating_sub(top.equal)).sum();
    Errors {
        refused: feed.decode_errors
            + gateway.decode_errors
            + outcome.core.decode_errors
            + feed.ignored[Ignored::ErrorReply as usize]
            + asked.failures,
        unknown: feed.unknown_messages + feed.unknown_symbols,
        mismatched: feed.gaps + wrong_tops + gateway.unmatched_replies,
        of: feed.messages + gateway.messages + asked.requests,
    }
}

fn order_errors(engine: &EngineReport) -> Errors {
    let orders = &engine.orders;
    let by_risk: u64 = engine.refused.iter().map(|&(_, count)| count).sum();
    Errors {
        refused: by_risk + orders.rejected,
        unknown: orders.unknown + orders.adopted + engine.account.foreign_cancels,
        // News of orders that have left the table are late, not wrong: each filled order's last state comes after its executions.
        mismatched: engine.counts.fills_unmatched,
        of: orders.sent + by_risk,
    }
}

/// The wallets' difference, and each position's at the price at which it could be closed now.
fn apart(engine: &EngineReport, positions: &[Lots], wallet: Money) -> Apart {
    let Some(ours) = engine.wallet else { return Apart::Untold("the engine was never told a wallet".to_owned()) };
    let mut sum = abs(ours.saturating_sub(wallet));
    for (idx, position) in engine.positions.iter().enumerate() {
        let theirs = positions.get(idx).copied().unwrap_or(Lots::ZERO);
        let difference = position.position.saturating_sub(theirs);
        if difference.is_zero() {
            continue;
        }
        let touch = engine.books.get(idx).map(|book| book.touch);
        let Some(level) = touch.and_then(|touch| touch.ask.or(touch.bid)) else {
            let (symbol, lots) = (&position.spec.symbol, difference.get());
            return Apart::Untold(format!("positions of {symbol} differ by {lots} lots, and it has no price"));
        };
        sum = sum.saturating_add(abs(position.spec.notional(level.px, difference)));
    }
    Apart::By(sum)
}

fn abs(money: Money) -> Money {
    Money::new(money.get().saturating_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_over_all_and_errors_of_nothing_are_not_hidden() {
        let errors = Errors { refused: 1, unknown: 2, mismatched: 3, of: 600 };
        assert_eq!((errors.count(), errors.rate()), (6, 0.01));
        assert_eq!(Errors::default().rate(), 0.0);
        assert_eq!(Errors { unknown: 1, ..Errors::default() }.rate(), 1.0);
    }
}
