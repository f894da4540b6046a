//! Entries and exits as the engine carries them out; see [`crate::entry`] for what is decided.

use super::tests::{Fixed, Rig, quoting};
use super::*;
use crate::entry::{Exit, Withheld};
use crate::types::{Carried, CarriedKey, Command, CommandKind, Lots, OrderStatus, Rate};

fn money(text: &str) -> Money {
    Money::parse(text.as_bytes()).unwrap()
}

/// Quotes, with everything free of fees and funding, and `change` asked of entries.
fn asked(strategy: Fixed, change: fn(&mut EntryConfig)) -> Rig {
    let mut rig = Rig::with(strategy, |config| {
        (config.entry.edge.margin, config.entry.edge.slippage) = (Rate::ZERO, Rate::ZERO);
        config.entry.edge.funding_cap = Rate::ZERO;
        change(&mut config.entry);
    });
    let spec = &mut rig.engine.instruments[0].spec;
    (spec.maker_fee, spec.taker_fee) = (Rate::ZERO, Rate::ZERO);
    rig
}

/// One bought at 599,995 by the quote, at the market of 600,000 to 600,001.
fn long(change: fn(&mut EntryConfig)) -> Rig {
    let mut rig = asked(quoting(), change);
    rig.go_live();
    let sent = rig.answered();
    rig.fill(&sent[0], 1, 10);
    rig.answered();
    assert_eq!(rig.engine.report().positions[0].position, Lots::new(10));
    rig
}

#[test]
fn quotes_that_do_not_clear_the_bar_are_not_sent() {
    let bar: fn(&mut EntryConfig) = |entry| entry.edge.bar = Some(money("0.0049"));
    let quotes = |exit_px| {
        let mut rig = asked(Fixed { exit_px: Some(exit_px), ..quoting() }, bar);
        rig.go_live();
        let sides: Vec<Side> = rig.taken().iter().map(|command| command.side).collect();
        (sides, rig.engine.report().entry.unwrap())
    };
    // 5.5 ticks from the quote to the middle, half a tick to leave: ten lots earn 0.005.
    assert_eq!(quotes(600_000.5).0, [Side::Bid, Side::Ask]);
    let (sides, report) = quotes(600_000.0);
    assert_eq!(sides, [Side::Ask]);
    assert_eq!(report.counts.withheld[Withheld::Edge as usize], 1);
    // Nothing is expected: nothing is entered.
    let mut rig = asked(quoting(), bar);
    rig.go_live();
    assert!(rig.taken().is_empty());
}

#[test]
fn a_lost_trade_is_closed_at_once_and_entered_again_once_it_is_flat() {
    let mut rig = long(|entry| entry.edge.loss_max = Some(money("0.05")));
    // 54 ticks of ten lots are 0.054 below the price paid; the bid is what it is left at.
    rig.book(599_945, 599_947);
    let sent = rig.answered();
    assert_eq!(sent.iter().filter(|c| c.kind == CommandKind::Cancel).count(), 2, "{sent:?}");
    // The budget has room for another order.
    rig.timer(200_000_000);
    let closing: Vec<Command> = rig.taken();
    assert_eq!(closing.len(), 1, "{closing:?}");
    assert_eq!((closing[0].side, closing[0].qty, closing[0].reduce_only), (Side::Ask, Lots::new(10), true));
    rig.book(600_100, 600_101);
    assert!(rig.taken().is_empty(), "it is left although the market came back");
    rig.told(&closing[0], OrderStatus::Filled, 10);
    rig.fill(&closing[0], 2, 10);
    rig.timer(500_000_000);
    rig.book(600_100, 600_101);
    assert_eq!(rig.taken().len(), 2, "flat: quoted again");
    let report = rig.engine.report().entry.unwrap();
    assert_eq!((report.counts.trades, report.trades[0].exit), (1, Exit::LossBound));
    assert_eq!(report.counts.worst_loss, report.trades[0].realised.saturating_neg());
}

#[test]
fn a_trade_ends_with_its_time_although_nothing_moves() {
    let mut rig = long(|entry| entry.edge.hold_max_ns = Some(60_000_000));
    rig.timer(50_000_000);
    assert!(rig.taken().is_empty());
    rig.timer(50_000_000);
    assert!(rig.answered().iter().all(|command| command.kind == CommandKind::Cancel));
    // The budget has room for another order.
    rig.timer(200_000_000);
    let closing: Vec<_> = rig.taken().iter().map(|c| (c.kind, c.side, c.qty, c.reduce_only)).collect();
    assert_eq!(closing, [(CommandKind::New, Side::Ask, Lots::new(10), true)]);
}

#[test]
fn the_trades_of_the_day_are_remembered() {
    let paced: fn(&mut EntryConfig) = |entry| entry.pace.trades_per_day = Some(2);
    let mut rig = long(paced);
    assert_eq!(rig.engine.risk_state().trades, 1);
    let carried = |trades: i128| {
        let mut rig = asked(quoting(), paced);
        for (key, value) in [(CarriedKey::Day, 0), (CarriedKey::Trades, trades)] {
            let meta = rig.meta();
            rig.event(Event::Carried(Carried { meta, key, value: Money::new(value) }));
        }
        rig.go_live();
        rig.taken().len()
    };
    assert_eq!((carried(1), carried(2)), (2, 0));
    // What is held may be left: of the ask all ten, and of the bid nothing that would open another.
    rig.book(600_010, 600_011);
    assert!(!rig.answered().is_empty());
}
