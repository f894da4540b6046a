//! Stop orders against a naive twin, and what a venue refuses of them.

use super::*;
use crate::sim::QueueModel;
use crate::types::{Book, BookKind, ClientOrderId, Level, Meta, Step, Symbol, Ticker, Trade, VenueId};
use proptest::prelude::*;

const ID: InstrumentId = InstrumentId(0);
const NOW: Nanos = Nanos::new(1_700_000_000_000_000_000);

fn venue() -> (Venue, AccountId) {
    let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
    let symbol = Symbol::new(b"BTCUSDT").unwrap();
    let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
    let mut venue = Venue::new(vec![(spec, Market::Queue(QueueModel::new()))], VenueLimits::default());
    let account = venue.open_account(Money::ONE.saturating_mul(10_000), 1000);
    (venue, account)
}

fn show(venue: &mut Venue, mid: i64, qtys: [i64; 3]) {
    let side = |sign: i64| {
        [1, 2, 5]
            .into_iter()
            .zip(qtys)
            .map(move |(away, qty)| Level { px: Ticks::new(mid + sign * away), qty: Lots::new(qty) })
    };
    let (bids, asks): (Vec<_>, Vec<_>) = (side(-1).collect(), side(1).collect());
    let book = Book { meta: Meta::default(), kind: BookKind::Snapshot, cross_seq: 1, bids: &bids, asks: &asks };
    venue.on_market_event(&Event::Book(book), NOW);
}

fn trade(venue: &mut Venue, px: i64) {
    let trade = Trade { meta: Meta::default(), taker: Side::Bid, px: Ticks::new(px), qty: Lots::new(1) };
    venue.on_market_event(&Event::Trade(trade), NOW);
}

/// A mark price in tenths of a tick.
fn mark(venue: &mut Venue, tenths: i64) {
    let ticker = Ticker {
        meta: Meta::default(),
        mark_px: Money::new(i128::from(tenths) * Money::ONE.get() / 100),
        index_px: Money::ZERO,
        last_px: Ticks::new(1),
        funding_rate: Rate::new(0),
        next_funding: Nanos::ZERO,
    };
    venue.on_market_event(&Event::Ticker(ticker), NOW);
}

fn stop(side: Side, trigger: i64, qty: i64, by: TriggerBy) -> Command {
    Command {
        kind: CommandKind::NewStop,
        trigger: Some(by),
        reduce_only: true,
        client_id: ClientOrderId(9),
        request: 1,
        px: Ticks::new(trigger),
        qty: Lots::new(qty),
        ..Command::cancel_foreign(ID, side, 0, NOW)
    }
}

fn market_order(side: Side, qty: i64, reduce_only: bool) -> PlaceRequest {
    PlaceRequest {
        instrument: ID,
        side,
        kind: OrderKind::Market,
        px: Ticks::ZERO,
        qty: Lots::new(qty),
        tif: TimeInForce::ImmediateOrCancel,
        reduce_only,
        self_trade: SelfTrade::None,
        link: LinkId::NONE,
    }
}

/// A venue with a market at 1000 and a position.
fn with_position(is_long: bool, size: i64) -> (Venue, AccountId) {
    let (mut venue, account) = venue();
    show(&mut venue, 1000, [50, 50, 50]);
    trade(&mut venue, 1000);
    mark(&mut venue, 10_000);
    let side = if is_long { Side::Bid } else { Side::Ask };
    venue.place(account, &market_order(side, size, false), NOW).unwrap();
    venue.clear_events();
    (venue, account)
}

fn position(venue: &Venue, account: AccountId) -> i64 {
    venue.account(account).unwrap().holding(ID).qty.get()
}

#[test]
fn a_stop_order_lives_as_the_venue_tells_it() {
    let (mut venue, account) = with_position(true, 10);
    let command = stop(Side::Ask, 990, 10, TriggerBy::Last);
    venue.command(account, &command, NOW).unwrap();
    assert_eq!(venue.command(account, &command, NOW), Err(Refusal::DuplicateLink));
    let amend = Command { kind: CommandKind::Amend, px: Ticks::new(995), qty: Lots::new(7), ..command };
    venue.command(account, &amend, NOW).unwrap();
    assert_eq!(venue.command(account, &amend, NOW), Err(Refusal::NothingToAmend));
    let passed = Command { px: Ticks::new(1000), ..amend };
    assert_eq!(venue.command(account, &passed, NOW), Err(Refusal::TriggerPassed { trigger: Ticks::new(1000) }));
    show(&mut venue, 990, [5, 5, 5]);
    trade(&mut venue, 996);
    assert_eq!(position(&venue, account), 10);
    trade(&mut venue, 995);
    assert_eq!(position(&venue, account), 3);
    let orders: Vec<_> = venue
        .events()
        .iter()
        .filter_map(|event| match event {
            VenueEvent::Order(record) => Some((record.status, record.no, record.filled.get())),
            _ => None,
        })
        .collect();
    let no = orders[0].1;
    let expected = [
        (OrderStatus::Untriggered, 0),
        (OrderStatus::Untriggered, 0),
        (OrderStatus::New, 0),
        (OrderStatus::PartiallyFilled, 5),
        (OrderStatus::Filled, 7),
    ];
    assert_eq!(orders, expected.map(|(status, filled)| (status, no, filled)));
    let cancel = Command { kind: CommandKind::Cancel, ..command };
    assert_eq!(venue.command(account, &cancel, NOW), Err(Refusal::UnknownOrder));
    venue.assert_invariants();
}

#[test]
fn no_more_wait_than_may_and_all_can_be_withdrawn() {
    let (mut venue, account) = with_position(false, 10);
    let command = |idx: i64| Command {
        client_id: ClientOrderId(20 + idx as u64),
        ..stop(Side::Bid, 1010 + idx, 10, TriggerBy::Mark)
    };
    for idx in 0..10 {
        venue.command(account, &command(idx), NOW).unwrap();
    }
    assert_eq!(venue.command(account, &command(10), NOW), Err(Refusal::TooManyOrders { max: 10 }));
    venue.assert_invariants();
    venue.command(account, &Command { kind: CommandKind::Cancel, ..command(3) }, NOW).unwrap();
    venue.command(account, &Command { kind: CommandKind::CancelAll, ..command(0) }, NOW).unwrap();
    assert_eq!(venue.waiting_stops(account, ID).count(), 0);
    mark(&mut venue, 20_000);
    assert_eq!(position(&venue, account), -10);
    venue.assert_invariants();
}

#[test]
fn a_quote_of_its_owner_and_an_empty_book_do_not_make_it_forgotten() {
    let (mut venue, account) = with_position(true, 10);
    venue.command(account, &stop(Side::Ask, 990, 10, TriggerBy::Last), NOW).unwrap();
    let status = crate::types::BookStatus { meta: Meta::default(), state: BookState::Stale };
    venue.on_market_event(&Event::BookStatus(status), NOW);
    trade(&mut venue, 980);
    let Some(VenueEvent::Order(last)) = venue.events().last() else { panic!("{:?}", venue.events()) };
    assert_eq!((last.status, last.cancelled), (OrderStatus::Cancelled, Some(CancelReason::NoLiquidity)));
    assert_eq!((position(&venue, account), venue.waiting_stops(account, ID).count()), (10, 0));
}

#[derive(Clone, Debug)]
enum Step1 {
    Show(i64, [i64; 3]),
    Trade(i64),
    Mark(i64),
    Amend(i64, i64),
    Close(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step1>> {
    let px = 990i64..1011;
    let step = prop_oneof![
        3 => (px.clone(), [0i64..20, 0..20, 1..20]).prop_map(|(mid, qtys)| Step1::Show(mid, qtys)),
        5 => px.clone().prop_map(Step1::Trade),
        5 => (9_900i64..10_110).prop_map(Step1::Mark),
        1 => (px, 1i64..30).prop_map(|(trigger, qty)| Step1::Amend(trigger, qty)),
        1 => (1i64..30).prop_map(Step1::Close),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// It goes to the market with the first event that touches its trigger, never before, takes no more and no better than the book
    /// shows, and never more than the position.
    #[test]
    fn a_stop_fires_at_the_first_touch(
        is_long: bool, by_mark: bool, size in 1i64..30, qty in 1i64..30, trigger in 990i64..1011, steps in steps(),
    ) {
        let (mut venue, account) = with_position(is_long, size);
        let (side, by) = (if is_long { Side::Ask } else { Side::Bid }, if by_mark { TriggerBy::Mark } else { TriggerBy::Last });
        let (mut last, mut marked, mut trigger, mut qty) = (1000, 10_000, trigger, qty);
        let touches = |trigger: i64, last: i64, marked: i64| match (is_long, by_mark) {
            (true, false) => last <= trigger,
            (true, true) => marked <= trigger * 10,
            (false, false) => last >= trigger,
            (false, true) => marked >= trigger * 10,
        };
        let command = stop(side, trigger, qty, by);
        let is_taken = venue.command(account, &command, NOW).is_ok();
        prop_assert_eq!(is_taken, !touches(trigger, last, marked));
        let (mut waits, mut is_whole) = (is_taken, false);
        for step in steps {
            let (held, executions) = (position(&venue, account), venue.executions_count());
            let shown: Vec<Level> = venue.market(ID).unwrap().levels(side.opposite()).collect();
            venue.clear_events();
            let mut closes = 0;
            is_whole = match step {
                Step1::Show(..) => true,
                Step1::Trade(_) | Step1::Close(_) => false,
                _ => is_whole,
            };
            match step {
                Step1::Show(mid, qtys) => show(&mut venue, mid, qtys),
                Step1::Trade(px) => { last = px; trade(&mut venue, px) }
                Step1::Mark(tenths) => { marked = tenths; mark(&mut venue, tenths) }
                Step1::Amend(to, of) => {
                    let amend = Command { kind: CommandKind::Amend, px: Ticks::new(to), qty: Lots::new(of), ..command };
                    let can = waits && !touches(to, last, marked) && (to, of) != (trigger, qty);
                    prop_assert_eq!(venue.command(account, &amend, NOW).is_ok(), can);
                    if can { (trigger, qty) = (to, of) }
                }
                Step1::Close(of) => {
                    let _ = venue.place(account, &market_order(side, of, true), NOW);
                    closes = (venue.executions_count() - executions) as i64;
                }
            }
            let fires = waits && touches(trigger, last, marked);
            waits &= !fires;
            prop_assert_eq!(venue.waiting_stops(account, ID).count(), usize::from(waits));
            let after = position(&venue, account);
            prop_assert!(after * held >= 0 && after.abs() <= held.abs(), "from {held} to {after}");
            let fills: Vec<_> = venue.events().iter().filter_map(|event| match event {
                VenueEvent::Execution(fill) => Some((fill.px, fill.qty)),
                _ => None,
            }).collect();
            if !fires {
                prop_assert_eq!(fills.len() as i64, closes, "nothing but what was asked for");
                continue;
            }
            for (px, qty) in &fills {
                prop_assert!(shown.iter().any(|level| level.px == *px && level.qty >= *qty), "{px:?} {qty:?} of {shown:?}");
            }
            let total: i64 = fills.iter().map(|(_, qty)| qty.get()).sum();
            let depth: i64 = shown.iter().map(|level| level.qty.get()).sum();
            prop_assert!(total <= qty.min(held.abs()));
            // Every level shown is within the slippage bound. What was taken since the book was shown is not there.
            prop_assert!(!is_whole || total == qty.min(held.abs()).min(depth), "{total} of {qty}, {held}, {depth}");
            let Some(VenueEvent::Order(end)) = venue.events().iter().rev().find(|event| matches!(event, VenueEvent::Order(_)))
            else { panic!("{:?}", venue.events()) };
            let is_end = matches!(end.status, OrderStatus::Filled | OrderStatus::Cancelled);
            prop_assert!(is_end && end.link == LinkId::from_client_id(command.client_id), "{end:?}");
        }
        venue.assert_invariants();
    }
}
