//! Rules of the venue, and that nothing is lost under random requests.

use super::*;
use crate::sim::Matching;
use crate::types::{ClientOrderId, Step, Symbol, VenueId};
use proptest::prelude::*;

const ID: InstrumentId = InstrumentId(0);

fn venue() -> (Venue, AccountId, AccountId) {
    let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
    let symbol = Symbol::new(b"BTCUSDT").unwrap();
    let mut spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
    spec.min_notional = Money::ONE.saturating_mul(5);
    let mut venue = Venue::new(vec![(spec, Market::Matching(Matching::new()))], VenueLimits::default());
    let first = venue.open_account(Money::ONE.saturating_mul(10_000), 1000);
    let second = venue.open_account(Money::ONE.saturating_mul(10_000), 1000);
    (venue, first, second)
}

fn limit(side: Side, px: i64, qty: i64) -> PlaceRequest {
    PlaceRequest {
        instrument: ID,
        side,
        kind: OrderKind::Limit,
        px: Ticks::new(px),
        qty: Lots::new(qty),
        tif: TimeInForce::GoodTillCancel,
        reduce_only: false,
        self_trade: SelfTrade::None,
        link: LinkId::NONE,
    }
}

fn now() -> Nanos {
    Nanos::from_millis(1_700_000_000_000)
}

#[test]
fn a_trade_reaches_both_accounts() {
    let (mut venue, first, second) = venue();
    let no = venue.place(first, &limit(Side::Bid, 600_000, 10), now()).unwrap();
    venue.place(second, &PlaceRequest { kind: OrderKind::Market, ..limit(Side::Ask, 0, 4) }, now()).unwrap();
    assert_eq!(venue.find_order(first, no).unwrap().status, OrderStatus::PartiallyFilled);
    assert_eq!(venue.account(first).unwrap().holding(ID).qty, Lots::new(4));
    assert_eq!(venue.account(second).unwrap().holding(ID).qty, Lots::new(-4));
    assert_eq!(venue.executions().count(), 2);
    venue.cancel(first, no, now()).unwrap();
    assert_eq!(venue.cancel(first, no, now()), Err(Refusal::UnknownOrder));
    venue.fund(ID, Rate::new(10_000), now());
    assert_eq!(venue.executions_count(), 4);
    venue.assert_invariants();
}

#[test]
fn requests_that_break_a_rule_change_nothing() {
    let (mut venue, first, _) = venue();
    let link = LinkId::new("mine").unwrap();
    venue.place(first, &PlaceRequest { link, ..limit(Side::Bid, 600_000, 1) }, now()).unwrap();
    venue.clear_events();
    let mut refused = |request: PlaceRequest| venue.place(first, &request, now()).unwrap_err();
    assert_eq!(refused(PlaceRequest { link, ..limit(Side::Bid, 600_000, 1) }), Refusal::DuplicateLink);
    assert_eq!(refused(PlaceRequest { kind: OrderKind::Market, ..limit(Side::Bid, 0, 1) }), Refusal::NoMarket);
    assert_eq!(refused(PlaceRequest { reduce_only: true, ..limit(Side::Ask, 600_000, 1) }), Refusal::ReduceOnly);
    assert!(matches!(refused(limit(Side::Bid, 10, 1)), Refusal::SmallNotional { .. }));
    assert!(matches!(refused(limit(Side::Bid, 600_000, 0)), Refusal::BadQty { .. }));
    assert_eq!(refused(limit(Side::Bid, 0, 1)), Refusal::BadPrice);
    assert_eq!(refused(limit(Side::Bid, 600_000, 2_000)), Refusal::Margin);
    assert!(venue.events().is_empty());
}

#[test]
fn reduce_only_orders_shrink_with_the_position() {
    let (mut venue, first, second) = venue();
    venue.place(second, &limit(Side::Ask, 600_000, 10), now()).unwrap();
    venue.place(first, &limit(Side::Bid, 600_000, 10), now()).unwrap();
    let reduce = PlaceRequest { reduce_only: true, ..limit(Side::Ask, 600_100, 20) };
    let no = venue.place(first, &reduce, now()).unwrap();
    assert_eq!(venue.find_order(first, no).unwrap().qty, Lots::new(10), "cut to the position");
    assert_eq!(venue.place(first, &reduce, now()), Err(Refusal::ReduceOnly));
    venue.place(second, &limit(Side::Bid, 599_900, 3), now()).unwrap();
    venue.place(first, &limit(Side::Ask, 599_900, 3), now()).unwrap();
    let record = venue.find_order(first, no).unwrap();
    assert_eq!((record.status, record.cancelled), (OrderStatus::Cancelled, Some(CancelReason::ReduceOnly)));
    venue.assert_invariants();
}

/// Settling in the middle of a sweep once cancelled a reduce-only order that a later report of it still filled.
#[test]
fn a_sweep_over_ordinary_and_reduce_only_orders_is_booked_before_it_is_settled() {
    let (mut venue, first, second) = venue();
    venue.place(second, &limit(Side::Ask, 600_000, 10), now()).unwrap();
    venue.place(first, &limit(Side::Bid, 600_000, 10), now()).unwrap();
    venue.place(first, &limit(Side::Ask, 600_100, 3), now()).unwrap();
    let reduce = PlaceRequest { reduce_only: true, ..limit(Side::Ask, 600_100, 10) };
    let no = venue.place(first, &reduce, now()).unwrap();
    venue.place(second, &limit(Side::Bid, 600_100, 8), now()).unwrap();
    let record = venue.find_order(first, no).unwrap();
    assert_eq!((record.status, record.filled), (OrderStatus::Cancelled, Lots::new(5)));
    assert_eq!(record.cancelled, Some(CancelReason::ReduceOnly));
    assert_eq!(venue.account(first).unwrap().holding(ID).qty, Lots::new(2));
    venue.assert_invariants();
}

#[test]
fn a_post_only_order_that_would_take_is_only_ever_cancelled() {
    let (mut venue, first, second) = venue();
    venue.place(second, &limit(Side::Ask, 600_000, 10), now()).unwrap();
    venue.clear_events();
    let request = PlaceRequest { tif: TimeInForce::PostOnly, ..limit(Side::Bid, 600_000, 1) };
    venue.place(first, &request, now()).unwrap();
    assert!(matches!(venue.events(), [VenueEvent::Order(record)] if record.cancelled == Some(CancelReason::WouldTake)));
}

#[test]
fn engine_commands_find_their_orders_by_client_id() {
    let (mut venue, first, _) = venue();
    let mut command = Command {
        kind: CommandKind::New,
        side: Side::Bid,
        tif: TimeInForce::PostOnly,
        reduce_only: false,
        trigger: None,
        instrument: ID,
        client_id: ClientOrderId(0x1f),
        request: 1,
        px: Ticks::new(600_000),
        qty: Lots::new(2),
        at: now(),
        stamps: Default::default(),
    };
    venue.command(first, &command, now()).unwrap();
    command.kind = CommandKind::Amend;
    command.px = Ticks::new(599_000);
    venue.command(first, &command, now()).unwrap();
    command.kind = CommandKind::Cancel;
    venue.command(first, &command, now()).unwrap();
    assert_eq!(venue.command(first, &command, now()), Err(Refusal::UnknownOrder));
    let VenueEvent::Order(last) = venue.events().last().unwrap() else { panic!("an order ended") };
    assert_eq!((last.update(now()).client_id, last.status), (ClientOrderId(0x1f), OrderStatus::Cancelled));
}

proptest! {
    #[test]
    fn money_and_orders_stay_accounted_for(
        steps in proptest::collection::vec((0u8..8, any::<bool>(), any::<bool>(), 595_000i64..605_000, 1i64..400, 1u64..20, 0u8..4), 1..80)
    ) {
        let (mut venue, first, second) = venue();
        let mut last = OrderNo(1);
        for (what, who, buy, px, qty, back, tif) in steps {
            let account = if who { first } else { second };
            let side = if buy { Side::Bid } else { Side::Ask };
            let tif = TimeInForce::from_u8(tif).unwrap();
            let no = OrderNo(last.0.saturating_sub(back));
            match what {
                0..=4 => {
                    let request = PlaceRequest { tif, reduce_only: what == 4, ..limit(side, px / 100 * 100, qty) };
                    if let Ok(no) = venue.place(account, &request, now()) { last = no; }
                }
                5 => drop(venue.amend(account, no, AmendRequest { px: Some(Ticks::new(px)), qty: Some(Lots::new(qty)) }, now())),
                6 => drop(venue.cancel(account, no, now())),
                _ => venue.fund(ID, Rate::new(px - 600_000), now()),
            }
            venue.assert_invariants();
        }
        let sum = venue.account(first).unwrap().holding(ID).qty.get() + venue.account(second).unwrap().holding(ID).qty.get();
        prop_assert_eq!(sum, 0, "one account's purchase is the other's sale");
        venue.cancel_all(first, None, now());
        venue.cancel_all(second, None, now());
        venue.assert_invariants();
        prop_assert_eq!(venue.account(first).unwrap().holding(ID).open_bids, Money::ZERO);
    }
}

/// A contract at a mark of its own, and an account that holds one whole coin of it at 60,000.0 with a tenth of that in margin.
fn leveraged(side: Side) -> (Venue, AccountId) {
    let (mut venue, first, second) = venue();
    venue.limits.maintenance = Some(Rate::new(500_000));
    venue.place(second, &limit(side.opposite(), 600_000, 1_000), now()).unwrap();
    venue.place(first, &limit(side, 600_000, 1_000), now()).unwrap();
    venue.place(first, &limit(side, 600_000 - 50_000 * side.sign(), 10), now()).unwrap();
    venue.clear_events();
    (venue, first)
}

fn marked(venue: &mut Venue, mark: i64) {
    venue.listings[0].mark = Some(Ticks::new(mark));
}

#[test]
fn an_account_that_does_not_cover_its_maintenance_is_liquidated_at_a_price_that_takes_the_rest() {
    for side in [Side::Bid, Side::Ask] {
        let (mut venue, account) = leveraged(side);
        let start = venue.account(account).unwrap().balance();
        let against = |ticks: i64| 600_000 - ticks * side.sign();
        marked(&mut venue, against(90_000));
        assert!(!venue.work_margin(account, now()), "9,000 of 10,000 are lost: covered");
        assert!(venue.events().is_empty());
        marked(&mut venue, against(98_000));
        assert!(venue.work_margin(account, now()));
        let kinds: Vec<&str> = venue
            .events()
            .iter()
            .map(|event| match event {
                VenueEvent::Order(order) if order.cancelled == Some(CancelReason::Liquidation) => "cancelled",
                VenueEvent::Execution(it) if it.kind == ExecutionKind::Takeover => "taken over",
                _ => "something else",
            })
            .collect();
        assert_eq!(kinds, ["cancelled", "taken over"]);
        let holding = *venue.account(account).unwrap().holding(ID);
        assert_eq!(holding.qty, Lots::ZERO);
        let takeover = *venue.executions().next().unwrap();
        let mark = Ticks::new(against(98_000));
        assert_eq!(takeover.px, mark.saturating_add(-(mark.share(Rate::new(500_000)) + 1) * side.sign()));
        assert!(takeover.fill(now()).is_some(), "the engine is told of it as of any execution");
        // What is left is less than the maintenance was.
        let left = venue.account(account).unwrap().balance();
        assert!(left < Money::ONE.saturating_mul(300) && left < start, "{left}");
        assert!(!venue.work_margin(account, now()), "once");
        venue.assert_invariants();
    }
}

#[test]
fn nobody_is_liquidated_where_nothing_is_asked_and_profit_covers() {
    let (mut venue, account) = leveraged(Side::Bid);
    marked(&mut venue, 800_000);
    assert!(!venue.work_margin(account, now()));
    venue.limits.maintenance = None;
    marked(&mut venue, 400_000);
    assert!(!venue.work_margin(account, now()));
    assert_eq!(venue.account(account).unwrap().holding(ID).qty, Lots::new(1_000));
}

proptest! {
    /// Wherever the mark goes: what is held afterwards is covered, and the money is accounted for.
    #[test]
    fn what_is_held_is_covered(marks in proptest::collection::vec(400_000i64..800_000, 1..20), is_long: bool) {
        let (mut venue, account) = leveraged(if is_long { Side::Bid } else { Side::Ask });
        for mark in marks {
            marked(&mut venue, mark);
            venue.work_margin(account, now());
            prop_assert!(venue.is_covered(account, SettleId::default(), Rate::new(500_000)));
            venue.assert_invariants();
        }
    }
}
