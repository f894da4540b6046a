//! What a run did, as far as a soak judges it. `docs/soak.md` defines each figure.

use std::time::Duration;

use crate::engine::EngineReport;
use crate::risk::Refusal;
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
    /// What refused orders, as often as it did: our own checks by their names, and `venue`.
    pub refused_by: Vec<(&'static str, u64)>,
    /// Engine against venue.
    pub apart: Apart,
    /// Orders that are left: open by the engine's books, open by the venue's (`None`: not told), and not settled.
    pub left_open: (u64, Option<u64>, u64),
    /// Market events and requests that a full ring lost or refused.
    pub lost_in_queues: u64,
}

impl Facts {
    /// What refused orders, by name and number; `None` if nothing did.
    pub fn refused_text(&self) -> Option<String> {
        let names: Vec<_> = self.refused_by.iter().map(|(name, count)| format!("{name} {count}")).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

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
            .filter(|(reason, _)| *reason == Refusal::Gateway)
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
            refused_by: refused_by(engine),
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

/// What of our own checks refused an order. A cancellation that the rate holds back is not refused: it waits.
fn refused_by_risk(engine: &EngineReport) -> impl Iterator<Item = (&'static str, u64)> + '_ {
    let refused = engine.refused.iter().filter(|(refusal, _)| *refusal != Refusal::CancelRate);
    refused.map(|&(refusal, count)| (refusal.name(), count))
}

fn refused_by(engine: &EngineReport) -> Vec<(&'static str, u64)> {
    let by_venue = (engine.orders.rejected > 0).then_some(("venue", engine.orders.rejected));
    refused_by_risk(engine).chain(by_venue).collect()
}

fn order_errors(engine: &EngineReport) -> Errors {
    let orders = &engine.orders;
    let by_risk: u64 = refused_by_risk(engine).map(|(_, count)| count).sum();
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
    use crate::engine::{Engine, EngineConfig};
    use crate::runtime::{CoreReport, FeedReport, GatewayReport, InstrumentTally, LatencyStages, ReconcileReport};
    use crate::strategy::BuiltIn;
    use crate::types::{InstrumentSpec, InstrumentTable, Level, Product, Step, Symbol, Ticks, VenueId};
    use crate::venue::FeedCounters;

    const PRICE: i64 = 600_000;

    /// A run of two instruments that did what it should; nothing has a price but the first one.
    fn outcome() -> LiveOutcome {
        let spec = |symbol: &str| {
            let (tick, lot) = (Step::new(1, 1).unwrap(), Step::new(1, 3).unwrap());
            let symbol = Symbol::new(symbol.as_bytes()).unwrap();
            InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, tick, lot).unwrap()
        };
        let table = InstrumentTable::new(vec![spec("BTCUSDT"), spec("ETHUSDT")]).unwrap();
        let mut engine = Engine::new(&table, EngineConfig::default(), BuiltIn::Watch).report();
        engine.wallet = Some(Money::ONE);
        engine.books[0].touch.bid = Some(Level { px: Ticks::new(PRICE), qty: Lots::new(1) });
        engine.books[0].updates = 5;
        engine.orders.sent = 100;
        let mut tallies = vec![InstrumentTally::default(); 2];
        (tallies[0].orders, tallies[0].round_trips) = (60, 3);
        (tallies[1].orders, tallies[1].round_trips) = (40, 4);
        LiveOutcome {
            feed: FeedReport {
                counters: FeedCounters { messages: 1000, ..FeedCounters::default() },
                ring_full: 0,
                first_errors: Vec::new(),
                race: Vec::new(),
                silent_streams: 0,
                renewals: 0,
                lost_links: 0,
                broke_off: None,
            },
            core: CoreReport { engine, tallies, decode_errors: 0, journal_lost: false, samples_dropped: 0 },
            gateway: GatewayReport {
                latency: LatencyStages::new(),
                sent: 100,
                not_sent: 0,
                messages: 400,
                decode_errors: 0,
                unmatched_replies: 0,
                lost_links: 0,
                first_errors: Vec::new(),
            },
            recorder: None,
            reconcile: Some(ReconcileReport { requests: 50, ..ReconcileReport::default() }),
            rest_orders: None,
            ghost: None,
            slow_risk: None,
            has_lost_analysts: false,
            elapsed_s: 1.0,
            hot_allocations: None,
        }
    }

    fn facts(outcome: &LiveOutcome) -> Facts {
        Facts::new(outcome, Some((&[Lots::ZERO, Lots::ZERO], Money::ONE, 0)), Duration::from_secs(1), None)
    }

    #[test]
    fn assets_have_data_and_orders_and_trades_are_round_trips() {
        let mut outcome = outcome();
        let found = facts(&outcome);
        assert_eq!((found.assets, found.instruments, found.trades), (1, 2, 7), "the second one has no book");
        outcome.core.engine.books[1].updates = 1;
        assert_eq!(facts(&outcome).assets, 2);
        outcome.core.tallies[0].orders = 0;
        assert_eq!(facts(&outcome).assets, 1);
    }

    #[test]
    fn every_kind_of_error_is_counted_once() {
        let good = facts(&outcome());
        assert_eq!(good.messages, Errors { of: 1450, ..Errors::default() });
        assert_eq!(good.orders, Errors { of: 100, ..Errors::default() });
        let mut bad = outcome();
        let counters = &mut bad.feed.counters;
        counters.decode_errors = 1;
        counters.ignored[Ignored::ErrorReply as usize] = 10;
        counters.unknown_messages = 100;
        counters.unknown_symbols = 1000;
        counters.gaps = 1;
        bad.gateway.decode_errors = 100;
        bad.gateway.unmatched_replies = 10;
        bad.core.decode_errors = 1000;
        bad.reconcile = Some(ReconcileReport { requests: 50, failures: 10_000, ..ReconcileReport::default() });
        let certificate = &mut bad.core.engine.books[1].certificate;
        (certificate.checked, certificate.equal) = (500, 400);
        let engine = &mut bad.core.engine;
        engine.refused = vec![(Refusal::StaleBook, 1), (Refusal::Gateway, 10), (Refusal::CancelRate, 100)];
        engine.orders.rejected = 100;
        engine.orders.unknown = 1;
        engine.orders.adopted = 10;
        engine.account.foreign_cancels = 100;
        engine.counts.fills_unmatched = 7;
        let bad = facts(&bad);
        assert_eq!(bad.messages, Errors { refused: 11_111, unknown: 1100, mismatched: 111, of: 1450 });
        assert_eq!(bad.orders, Errors { refused: 111, unknown: 111, mismatched: 7, of: 111 });
        assert_eq!(bad.refused_by, [("stale_book", 1), ("gateway", 10), ("venue", 100)]);
        assert_eq!(bad.lost_in_queues, 10, "what the ring to the gateway refused");
    }

    #[test]
    fn capital_is_apart_by_wallets_and_by_positions_at_their_price() {
        let mut outcome = outcome();
        let at = |outcome: &LiveOutcome, positions: [i64; 2], wallet: i128| {
            let positions = positions.map(Lots::new);
            Facts::new(outcome, Some((&positions, Money::new(wallet), 0)), Duration::ZERO, None).apart
        };
        let one = Money::ONE.get();
        assert_eq!(at(&outcome, [0, 0], one), Apart::By(Money::ZERO));
        assert_eq!(at(&outcome, [0, 0], one - 7), Apart::By(Money::new(7)));
        assert_eq!(at(&outcome, [0, 0], one + 7), Apart::By(Money::new(7)));
        // Two lots of 0.001 at 60,000 are 120; a wallet that makes up for them is apart none the less.
        assert_eq!(at(&outcome, [-2, 0], one), Apart::By(Money::new(120 * one)));
        assert_eq!(at(&outcome, [2, 0], one - 120 * one), Apart::By(Money::new(240 * one)));
        let Apart::Untold(why) = at(&outcome, [0, 3], one) else { panic!("ETHUSDT has no price") };
        assert_eq!(why, "positions of ETHUSDT differ by -3 lots, and it has no price");
        outcome.core.engine.wallet = None;
        assert!(matches!(at(&outcome, [0, 0], one), Apart::Untold(_)));
        assert!(matches!(Facts::new(&outcome, None, Duration::ZERO, None).apart, Apart::Untold(_)));
    }

    #[test]
    fn a_rate_is_over_all_and_errors_of_nothing_are_not_hidden() {
        let errors = Errors { refused: 1, unknown: 2, mismatched: 3, of: 600 };
        assert_eq!((errors.count(), errors.rate()), (6, 0.01));
        assert_eq!(Errors::default().rate(), 0.0);
        assert_eq!(Errors { unknown: 1, ..Errors::default() }.rate(), 1.0);
    }
}
