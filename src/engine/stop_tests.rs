//! The stop order of a position, from its placing to its end.

use super::tests::{Fixed, Rig, quoting};
use super::*;
use crate::types::{Absent, Command, CommandKind, Lots, OrderStatus, Position, Rate, TriggerBy};

const BOUGHT_AT: i64 = 599_995;
/// One percent.
const LOSS: Rate = Rate::new(1_000_000);

fn config() -> StopConfig {
    StopConfig { loss: Some(LOSS), trail: None, step: Rate::new(20_000), by: TriggerBy::Last }
}

fn below(px: i64) -> Ticks {
    Ticks::new(px).saturating_add(-Ticks::new(px).share(LOSS))
}

/// What was asked of stop orders; everything is answered as it was asked.
fn stops(rig: &mut Rig) -> Vec<Command> {
    // The budget has room for more.
    rig.timer(300_000_000);
    let mut all = rig.answered();
    all.retain(|command| command.trigger.is_some());
    all
}

/// Quotes that are answered, and the bid of them.
fn quoted(change: impl Fn(&mut EngineConfig), strategy: Fixed) -> (Rig, Vec<Command>) {
    let mut rig = Rig::with(strategy, change);
    rig.go_live();
    let sent = rig.answered();
    (rig, sent)
}

/// Ten bought, and the stop order that was asked for, not answered yet.
fn long() -> (Rig, Vec<Command>, Command) {
    let (mut rig, sent) = quoted(|it| it.stops = Some(config()), quoting());
    rig.timer(300_000_000);
    rig.fill(&sent[0], 1, 10);
    let mut stop = None;
    for command in rig.taken() {
        match command.kind {
            CommandKind::NewStop => stop = Some(command),
            CommandKind::New => rig.ack(Op::Create, command.client_id),
            _ => {}
        }
    }
    (rig, sent, stop.expect("a stop order with the execution"))
}

fn position(rig: &Rig) -> i64 {
    rig.engine.report().positions[0].position.get()
}

fn counts(rig: &Rig) -> StopCounts {
    rig.engine.report().stops.unwrap().counts
}

#[test]
fn it_follows_the_position_and_goes_with_it() {
    let (mut rig, sent) = quoted(|it| it.stops = Some(config()), quoting());
    assert!(stops(&mut rig).is_empty(), "nothing is held");
    rig.fill(&sent[0], 1, 4);
    let placed = stops(&mut rig);
    let [stop] = placed[..] else { panic!("{placed:?}") };
    assert_eq!((stop.kind, stop.side, stop.reduce_only), (CommandKind::NewStop, Side::Ask, true));
    assert_eq!((stop.px, stop.qty, stop.trigger), (below(BOUGHT_AT), Lots::new(4), Some(TriggerBy::Last)));
    assert!(stops(&mut rig).is_empty(), "it is there");
    rig.fill(&sent[0], 2, 6);
    let amended = stops(&mut rig);
    let [more] = amended[..] else { panic!("{amended:?}") };
    assert_eq!((more.kind, more.client_id, more.qty), (CommandKind::Amend, stop.client_id, Lots::new(10)));
    assert_eq!((more.px, more.trigger), (stop.px, stop.trigger));
    rig.fill(&sent[1], 3, 7);
    assert_eq!(stops(&mut rig).iter().map(|it| (it.kind, it.qty.get())).collect::<Vec<_>>(), [(CommandKind::Amend, 3)]);
    rig.fill(&sent[1], 4, 3);
    assert_eq!(position(&rig), 0);
    let gone = stops(&mut rig);
    assert_eq!(
        gone.iter().map(|it| (it.kind, it.client_id)).collect::<Vec<_>>(),
        [(CommandKind::Cancel, stop.client_id)]
    );
    let expected = StopCounts { placed: 1, amended: 2, cancelled: 1, ..StopCounts::default() };
    assert_eq!(counts(&rig), expected);
    assert!(stops(&mut rig).is_empty());
}

#[test]
fn nothing_is_reserved_for_it_and_a_short_one_is_bought_back() {
    let committed = |stops: Option<StopConfig>| {
        let (mut rig, sent) = quoted(move |it| it.stops = stops, quoting());
        rig.fill(&sent[1], 1, 10);
        rig.timer(300_000_000);
        let asked = rig.answered();
        let stop = asked.iter().find(|command| command.kind == CommandKind::NewStop).copied();
        let exposure = &rig.engine.instruments[0].exposure;
        ((rig.engine.report().capital, exposure.open, exposure.open_orders), stop)
    };
    let ((with, stop), (without, none)) = (committed(Some(config())), committed(None));
    assert_eq!((with, none), (without, None));
    let stop = stop.unwrap();
    // Sold at 600,006.
    let above = Ticks::new(600_006).saturating_add(Ticks::new(600_006).share(LOSS));
    assert_eq!((stop.side, stop.px), (Side::Bid, above));
}

#[test]
fn the_venue_triggers_it_and_its_execution_is_the_positions_exit() {
    let (mut rig, _, stop) = long();
    rig.ack(Op::Create, stop.client_id);
    rig.told(&stop, OrderStatus::Untriggered, 0);
    // At the market it may fill at any price.
    let at_market = Command { px: Ticks::new(560_000), ..stop };
    rig.told(&at_market, OrderStatus::New, 0);
    rig.timer(50_000_000);
    rig.told(&at_market, OrderStatus::Filled, 10);
    rig.fill(&Command { px: Ticks::new(580_000), ..stop }, 2, 10);
    assert_eq!(position(&rig), 0);
    assert!(stops(&mut rig).is_empty(), "it ended by itself");
    let report = rig.engine.report();
    let lost = i128::from((BOUGHT_AT - 580_000) * 10) * rig.engine.instruments[0].spec.tick_lot_value.get();
    assert_eq!(rig.engine.instruments[0].holding.realised, Money::new(-lost));
    assert_eq!((counts(&rig).placed, counts(&rig).triggered, report.counts.fills_unmatched), (1, 1, 0));
    assert_eq!(report.stops.unwrap().left.len(), 0);
}

#[test]
fn a_lost_answer_is_waited_for_and_no_second_one_is_placed() {
    let (mut rig, _, stop) = long();
    for _ in 0..20 {
        rig.timer(200_000_000);
    }
    assert!(rig.taken().iter().all(|command| command.trigger.is_none()));
    assert_eq!(rig.engine.orders.get(stop.client_id).unwrap().state, OrderState::Unknown);
    assert!(!rig.engine.is_flat_of_orders(), "what is in doubt is not left behind");
    rig.told(&stop, OrderStatus::Untriggered, 0);
    assert_eq!(rig.engine.orders.get(stop.client_id).unwrap().state, OrderState::Live);
    rig.control(Control::Stop);
    rig.answered();
    assert!(rig.engine.is_flat_of_orders());
    let report = rig.engine.report();
    let left = report.stops.unwrap().left;
    assert_eq!(
        (report.open_orders.len(), left.len(), left[0].id),
        (0, 1, stop.client_id),
        "it stays with its position"
    );
    assert_eq!(rig.engine.quick_status().open_orders, 0);
}

/// Refuses each stop order, at once or once it was acknowledged, and looks at when the next one comes.
fn refused_each_time(refuse: impl Fn(&mut Rig, &Command)) {
    let (mut rig, _, stop) = long();
    refuse(&mut rig, &stop);
    let mut at = vec![rig.now];
    let begun = rig.now;
    while rig.now < begun + 50_000_000_000 {
        rig.timer(50_000_000);
        for command in rig.taken() {
            match command.kind {
                CommandKind::NewStop => {
                    at.push(rig.now);
                    refuse(&mut rig, &command);
                }
                CommandKind::Amend => rig.ack(Op::Amend, command.client_id),
                _ => {}
            }
        }
    }
    assert_eq!(at.len(), 6, "{at:?}");
    let waits: Vec<u64> = at.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(waits.windows(2).all(|two| two[1] > two[0] * 3 / 2), "{waits:?}");
    assert_eq!((counts(&rig).refused, counts(&rig).given_up), (6, 1));
    assert!(rig.engine.report().refused.contains(&(Refusal::StopOrder, 6)));
    rig.timer(20_000_000_000);
    rig.book(600_000, 600_001);
    assert!(rig.taken().iter().any(|command| command.kind == CommandKind::NewStop), "after a minute once more");
}

#[test]
fn what_is_refused_is_tried_a_few_times_later_each_time_and_then_there_is_a_pause() {
    refused_each_time(|rig, stop| rig.reject(Op::Create, RejectKind::Refused, stop.client_id));
}

#[test]
fn what_is_acknowledged_and_rejected_later_waits_as_what_is_refused() {
    refused_each_time(|rig, stop| {
        rig.ack(Op::Create, stop.client_id);
        rig.told(stop, OrderStatus::Rejected, 0);
    });
}

#[test]
fn a_stop_that_never_arrived_counts_as_refused() {
    let (mut rig, _, stop) = long();
    rig.timer(12_000_000_000);
    rig.taken();
    let asked_at = Nanos::new(rig.now);
    let meta = rig.meta();
    rig.event(Event::Absent(Absent { meta, client_id: stop.client_id, asked_at }));
    let is_new = |command: &Command| command.kind == CommandKind::NewStop;
    assert!(!rig.taken().iter().any(is_new));
    assert_eq!(counts(&rig).refused, 1);
    rig.timer(300_000_000);
    assert!(rig.taken().iter().any(is_new));
}

#[test]
fn a_trigger_that_was_passed_with_no_order_there_closes_the_position() {
    let (mut rig, _, stop) = long();
    rig.reject(Op::Create, RejectKind::Refused, stop.client_id);
    rig.last_px(below(BOUGHT_AT).get());
    rig.book(593_990, 593_991);
    rig.timer(50_000_000);
    rig.answered();
    rig.timer(400_000_000);
    let closing = rig.taken();
    let [closing] = closing[..] else { panic!("{closing:?}") };
    assert_eq!((closing.kind, closing.tif), (CommandKind::New, TimeInForce::ImmediateOrCancel));
    assert_eq!((closing.side, closing.qty, closing.reduce_only), (Side::Ask, Lots::new(10), true));
    rig.told(&closing, OrderStatus::Filled, 10);
    rig.fill(&closing, 9, 10);
    assert_eq!((position(&rig), counts(&rig).passed), (0, 1));
    rig.timer(400_000_000);
    rig.book(593_995, 593_996);
    assert!(!rig.taken().is_empty(), "flat: quoted again");
}

#[test]
fn what_is_closed_keeps_its_stop_until_nothing_is_held() {
    let (mut rig, _, stop) = long();
    rig.ack(Op::Create, stop.client_id);
    rig.told(&stop, OrderStatus::Untriggered, 0);
    rig.control(Control::Flatten);
    let cancelled = rig.answered();
    assert!(cancelled.iter().all(|command| command.client_id != stop.client_id), "{cancelled:?}");
    rig.timer(400_000_000);
    let closing = rig.taken();
    let [closing] = closing[..] else { panic!("{closing:?}") };
    assert_eq!((closing.qty, closing.reduce_only), (Lots::new(10), true));
    rig.told(&closing, OrderStatus::Filled, 10);
    rig.fill(&closing, 9, 10);
    assert!(!rig.engine.is_flat_of_orders());
    let gone = stops(&mut rig);
    assert_eq!(
        gone.iter().map(|it| (it.kind, it.client_id)).collect::<Vec<_>>(),
        [(CommandKind::Cancel, stop.client_id)]
    );
    assert!(rig.engine.is_flat_of_orders());
}

#[test]
fn it_trails_the_best_price_and_never_goes_back() {
    let trailing = StopConfig { trail: Some(LOSS), ..config() };
    let (mut rig, sent) = quoted(|it| it.stops = Some(trailing), quoting());
    rig.fill(&sent[0], 1, 10);
    let placed = stops(&mut rig);
    let mut trigger = placed[0].px;
    // The last trade was above the price paid, so that the trail is nearer.
    assert_eq!(trigger, below(600_000));
    for px in [600_010, 606_000, 605_990, 604_000, 606_050, 609_000, 601_000, 600_000] {
        rig.last_px(px);
        let amended = stops(&mut rig);
        assert!(amended.len() <= 1);
        for command in amended {
            assert_eq!((command.kind, command.client_id), (CommandKind::Amend, placed[0].client_id));
            assert!(command.px > trigger, "{px}: from {trigger:?} to {:?}", command.px);
            trigger = command.px;
        }
    }
    assert_eq!(trigger, below(609_000));
    assert_eq!(counts(&rig).amended, 2, "what is less than a step is not worth a request");
}

#[test]
fn a_strategy_asks_for_its_own_and_the_nearer_one_counts() {
    let at = |trigger: i64| StopWish::At { trigger: Ticks::new(trigger), by: TriggerBy::Mark };
    let placed = |stop: StopWish, config: Option<StopConfig>| {
        let (mut rig, sent) = quoted(move |it| it.stops = config, Fixed { stop, ..quoting() });
        rig.fill(&sent[0], 1, 10);
        let all = stops(&mut rig);
        (all.first().map(|it| (it.px.get(), it.trigger)), rig)
    };
    assert_eq!(placed(at(598_000), None).0, Some((598_000, Some(TriggerBy::Mark))));
    assert_eq!(placed(at(598_000), Some(config())).0, Some((598_000, Some(TriggerBy::Mark))));
    assert_eq!(placed(at(590_000), Some(config())).0, Some((below(BOUGHT_AT).get(), Some(TriggerBy::Last))));
    assert_eq!(placed(StopWish::Nothing, Some(config())).0, Some((below(BOUGHT_AT).get(), Some(TriggerBy::Last))));
    assert_eq!(placed(StopWish::Nothing, None).0, None);
    assert_eq!(placed(StopWish::Same, None).1.engine.report().stops.map(|it| it.counts), None);
    // Another wish replaces it; without one it goes.
    let (_, mut rig) = placed(at(598_000), None);
    rig.engine.strategy.stop = StopWish::Nothing;
    rig.book(600_001, 600_002);
    assert_eq!(stops(&mut rig).iter().map(|it| it.kind).collect::<Vec<_>>(), [CommandKind::Cancel]);
}

#[test]
fn a_stop_that_the_venue_ends_is_placed_anew_after_a_while() {
    let (mut rig, _, stop) = long();
    rig.ack(Op::Create, stop.client_id);
    rig.told(&stop, OrderStatus::Untriggered, 0);
    rig.told(&stop, OrderStatus::Cancelled, 0);
    assert!(rig.taken().iter().all(|command| command.trigger.is_none()));
    let again = stops(&mut rig);
    assert_eq!(again.iter().map(|it| (it.kind, it.qty.get())).collect::<Vec<_>>(), [(CommandKind::NewStop, 10)]);
    assert_eq!((counts(&rig).refused, counts(&rig).placed), (1, 2));
}

#[test]
fn a_position_that_was_there_is_protected_and_a_kill_leaves_it_so() {
    let mut rig = Rig::with(Fixed::default(), |it| it.stops = Some(config()));
    rig.engine.mode = Mode::Watching;
    let meta = rig.meta();
    let entry_px = Money::new(60_000 * Money::ONE.get());
    let there = Position { meta, qty: Lots::new(-7), entry_px, realised: Money::ZERO, asked_at: Nanos::ZERO };
    rig.event(Event::Position(there));
    rig.go_live();
    assert!(stops(&mut rig).is_empty(), "not armed yet");
    rig.control(Control::Arm);
    let placed = stops(&mut rig);
    let above = Ticks::new(600_000).saturating_add(Ticks::new(600_000).share(LOSS));
    assert_eq!(
        placed.iter().map(|it| (it.kind, it.side, it.px, it.qty.get())).collect::<Vec<_>>(),
        [(CommandKind::NewStop, Side::Bid, above, 7)]
    );
    rig.control(Control::Kill);
    rig.timer(300_000_000);
    assert!(rig.taken().is_empty());
    assert_eq!(rig.engine.report().stops.unwrap().left.len(), 1);
}

#[test]
fn quotes_are_not_kept_from_where_it_waits() {
    let (mut rig, _, stop) = long();
    rig.ack(Op::Create, stop.client_id);
    rig.told(&stop, OrderStatus::Untriggered, 0);
    // Far below: the bid is to rest above and below where the sale waits.
    for bid in [594_002, 593_990] {
        rig.last_px(594_050);
        rig.book(bid, bid + 1);
        rig.timer(300_000_000);
        rig.answered();
        let quote = rig.engine.instruments[0].quotes[0].order.and_then(|order| rig.engine.orders.get(order)).unwrap();
        assert_eq!(quote.px, Ticks::new(bid - 5));
    }
    assert!(rig.engine.report().refused.iter().all(|(refusal, _)| *refusal != Refusal::SelfTrade));
}

#[test]
fn what_is_filled_while_the_engine_stops_is_protected_too() {
    let (mut rig, sent) = quoted(|it| it.stops = Some(config()), quoting());
    rig.control(Control::Stop);
    rig.fill(&sent[0], 1, 4);
    let placed: Vec<Command> = rig.taken().into_iter().filter(|command| command.kind == CommandKind::NewStop).collect();
    assert_eq!(placed.iter().map(|it| (it.side, it.qty.get())).collect::<Vec<_>>(), [(Side::Ask, 4)]);
}

/// From a refusal until the next request for a stop order.
fn wait_after(rig: &mut Rig) -> u64 {
    let begun = rig.now;
    for _ in 0..400 {
        rig.timer(20_000_000);
        for command in rig.taken() {
            if command.kind == CommandKind::NewStop {
                rig.out.push(command);
                return rig.now - begun;
            }
            rig.out.push(command);
            rig.answered();
        }
    }
    panic!("no further one");
}

#[test]
fn only_refusals_in_a_row_are_counted() {
    let (mut rig, _, stop) = long();
    let refuse = |rig: &mut Rig, id| rig.reject(Op::Create, RejectKind::Refused, id);
    refuse(&mut rig, stop.client_id);
    let first = wait_after(&mut rig);
    let again = rig.taken()[0];
    refuse(&mut rig, again.client_id);
    let second = wait_after(&mut rig);
    assert!(second > first * 3 / 2, "{first} {second}");
    // It succeeds, waits for two seconds and is ended by the venue: that is the first again.
    let third = rig.answered()[0];
    rig.timer(2_000_000_000);
    rig.answered();
    rig.told(&third, OrderStatus::Cancelled, 0);
    rig.answered();
    assert_eq!(wait_after(&mut rig) / 50_000_000, first / 50_000_000);
}

#[test]
fn the_rest_of_what_was_triggered_is_no_refusal() {
    let (mut rig, _, stop) = long();
    rig.ack(Op::Create, stop.client_id);
    rig.told(&stop, OrderStatus::Untriggered, 0);
    rig.told(&stop, OrderStatus::New, 0);
    rig.fill(&stop, 2, 4);
    rig.told(&stop, OrderStatus::Cancelled, 4);
    assert_eq!((position(&rig), counts(&rig).refused), (6, 0));
}

#[test]
fn a_turn_of_the_position_does_not_end_the_wait() {
    let (mut rig, sent, stop) = long();
    rig.timer(300_000_000);
    rig.taken();
    rig.reject(Op::Create, RejectKind::Refused, stop.client_id);
    // From ten to minus ten by what is executed of the ask, more than it was for.
    rig.fill(&sent[1], 2, 20);
    assert_eq!(position(&rig), -10);
    assert!(!rig.taken().iter().any(|it| it.kind == CommandKind::NewStop), "not yet");
    assert!(wait_after(&mut rig) >= 200_000_000);
}

/// A book every ten milliseconds that quotes follow, and a timer every fifty: the first request of `kind` that leaves.
fn first_of(rig: &mut Rig, kinds: [CommandKind; 2]) -> Command {
    for step in 0..100 {
        rig.now += 9_000_000;
        rig.book(600_000 + step % 7, 600_001 + step % 7);
        if step % 5 == 4 {
            rig.timer(0);
        }
        let sent = rig.taken();
        if let Some(first) = sent.iter().find(|command| kinds.contains(&command.kind)) {
            return *first;
        }
        rig.out = sent;
        rig.answered();
    }
    panic!("nothing");
}

#[test]
fn quotes_leave_the_rate_budget_to_a_stop_that_waits() {
    let (mut rig, sent) = quoted(|it| it.stops = Some(config()), quoting());
    rig.fill(&sent[0], 1, 4);
    let stop = stops(&mut rig)[0];
    for step in 0..8 {
        rig.book(600_010 + step, 600_011 + step);
        rig.answered();
    }
    assert!(!rig.engine.budget.try_take(Spend::Amend, rig.engine.now), "none is left");
    rig.fill(&sent[0], 2, 2);
    rig.answered();
    let first = first_of(&mut rig, [CommandKind::Amend; 2]);
    assert_eq!((first.client_id, first.qty), (stop.client_id, Lots::new(6)));
    // It has got what it waited for: quotes follow the market again.
    rig.out.push(first);
    rig.answered();
    assert!(first_of(&mut rig, [CommandKind::Amend; 2]).trigger.is_none());
}

#[test]
fn what_opens_leaves_the_rate_budget_to_a_stop_that_waits() {
    let (mut rig, sent) = quoted(|it| it.stops = Some(config()), quoting());
    while rig.engine.budget.try_take(Spend::Create, rig.engine.now) {}
    rig.fill(&sent[0], 1, 10);
    assert!(rig.answered().iter().all(|command| command.kind != CommandKind::NewStop), "nothing to place it with");
    // The bid was filled, another is wanted, and with each book there is a take.
    rig.engine.strategy.take = true;
    let first = first_of(&mut rig, [CommandKind::New, CommandKind::NewStop]);
    assert_eq!(first.kind, CommandKind::NewStop);
}

/// Ten are held, a stop for them waits, both quotes rest.
fn guarded() -> (Rig, Command) {
    let (mut rig, _, stop) = long();
    rig.ack(Op::Create, stop.client_id);
    rig.told(&stop, OrderStatus::Untriggered, 0);
    rig.timer(300_000_000);
    rig.answered();
    assert!(rig.engine.instruments[0].quotes.iter().all(|quote| quote.order.is_some()));
    rig.timer(1_000_000_000);
    rig.answered();
    (rig, stop)
}

#[test]
fn quotes_that_only_shrank_the_position_go_when_its_stop_is_triggered() {
    let (mut rig, stop) = guarded();
    let quotes = rig.engine.instruments[0].quotes.map(|quote| quote.order.unwrap());
    rig.told(&stop, OrderStatus::New, 0);
    let cancelled: Vec<_> = rig.taken().iter().map(|it| (it.kind, it.client_id)).collect();
    assert_eq!(cancelled, quotes.map(|id| (CommandKind::Cancel, id)));
    for id in quotes {
        rig.ack(Op::Cancel, id);
        let order = *rig.engine.orders.get(id).unwrap();
        let command = Command { client_id: id, side: order.side, px: order.px, qty: order.qty, ..stop };
        rig.told(&command, OrderStatus::Cancelled, 0);
    }
    rig.book(600_010, 600_011);
    rig.timer(50_000_000);
    assert!(rig.taken().is_empty(), "what will be held is not known: nothing is quoted");
    rig.told(&stop, OrderStatus::Filled, 10);
    rig.fill(&stop, 2, 10);
    rig.timer(400_000_000);
    rig.book(600_020, 600_021);
    assert_eq!(rig.taken().iter().filter(|it| it.kind == CommandKind::New).count(), 2, "flat: quoted again");
}

#[test]
fn an_execution_of_the_stop_that_comes_first_cancels_the_quotes_that_are_wanted_as_they_are() {
    let (mut rig, stop) = guarded();
    let quotes = rig.engine.instruments[0].quotes.map(|quote| quote.order.unwrap());
    rig.fill(&stop, 2, 4);
    rig.book(600_000, 600_001);
    let cancelled: Vec<_> = rig.taken().iter().map(|it| (it.kind, it.client_id)).collect();
    assert_eq!(cancelled, quotes.map(|id| (CommandKind::Cancel, id)));
}

#[test]
fn a_take_that_only_shrinks_is_reduce_only_beside_a_stop() {
    let taken = |stops: Option<StopConfig>| {
        let (mut rig, sent) = quoted(move |it| it.stops = stops, Fixed { qty: 10, distance: 5, ..Fixed::default() });
        rig.engine.strategy.qty = 0;
        // Short: the take of the rig, which buys ten, only shrinks.
        rig.fill(&sent[1], 1, 10);
        rig.status(BookState::Stale);
        rig.answered();
        rig.timer(1_000_000_000);
        rig.answered();
        rig.status(BookState::Live);
        rig.engine.strategy.take = true;
        rig.book(600_000, 600_001);
        let all = rig.taken();
        let take = all.iter().find(|it| it.kind == CommandKind::New).expect("a take");
        (take.side, take.reduce_only)
    };
    assert_eq!(taken(Some(config())), (Side::Bid, true));
    assert_eq!(taken(None), (Side::Bid, false));
}

/// The market falls below the trigger; what is sent then, once quotes are gone.
fn after_the_fall(rig: &mut Rig) -> Vec<Command> {
    rig.last_px(below(BOUGHT_AT).get() - 10);
    rig.book(593_980, 593_981);
    rig.timer(50_000_000);
    rig.answered();
    rig.timer(400_000_000);
    let mut sent = rig.taken();
    sent.retain(|it| it.kind == CommandKind::New);
    sent
}

#[test]
fn a_passed_trigger_closes_the_position_while_its_stop_is_in_doubt() {
    let (mut rig, _, stop) = long();
    rig.timer(2_100_000_000);
    rig.answered();
    assert_eq!(rig.engine.orders.get(stop.client_id).unwrap().state, OrderState::Unknown);
    let closing = after_the_fall(&mut rig);
    let [closing] = closing[..] else { panic!("{closing:?}") };
    assert_eq!((closing.side, closing.qty, closing.reduce_only), (Side::Ask, Lots::new(10), true));
    assert_eq!(counts(&rig).passed, 1);
}

#[test]
fn a_passed_trigger_closes_the_position_while_its_stop_is_of_the_wrong_side() {
    let (mut rig, sent, stop) = long();
    rig.ack(Op::Create, stop.client_id);
    rig.told(&stop, OrderStatus::Untriggered, 0);
    rig.fill(&sent[1], 2, 20);
    assert_eq!(position(&rig), -10);
    // The cancellation of the sale is never answered, and the price rises past where a purchase should wait.
    rig.taken();
    rig.last_px(606_200);
    rig.timer(50_000_000);
    rig.taken();
    assert_eq!(counts(&rig).passed, 1);
    assert!(rig.engine.instruments[0].must_close());
}

#[test]
fn a_passed_trigger_leaves_a_stop_that_is_there_to_the_venue() {
    let (mut rig, _, stop) = long();
    rig.ack(Op::Create, stop.client_id);
    rig.told(&stop, OrderStatus::Untriggered, 0);
    rig.timer(2_100_000_000);
    rig.answered();
    rig.told(&stop, OrderStatus::New, 0);
    assert!(after_the_fall(&mut rig).is_empty());
    assert_eq!(counts(&rig).passed, 0);
}

#[test]
fn a_position_without_a_stop_of_its_size_is_reported() {
    let missing = |rig: &Rig| rig.engine.report().stops.unwrap().missing;
    let (mut rig, sent, stop) = long();
    assert_eq!(missing(&rig), [InstrumentId(0)], "it is not known to be there");
    rig.ack(Op::Create, stop.client_id);
    rig.told(&stop, OrderStatus::Untriggered, 0);
    assert!(missing(&rig).is_empty());
    rig.fill(&sent[1], 2, 4);
    rig.timer(300_000_000);
    rig.answered();
    assert!(missing(&rig).is_empty(), "six of six");
    // Four more than it is for, and the amendment is refused.
    rig.fill(&sent[0], 3, 4);
    for command in rig.taken() {
        if command.trigger.is_some() {
            rig.reject(Op::Amend, RejectKind::Refused, command.client_id);
        }
    }
    assert_eq!(missing(&rig), [InstrumentId(0)]);
    rig.timer(300_000_000);
    rig.answered();
    assert!(missing(&rig).is_empty());
    let now = Command { qty: Lots::new(10), ..stop };
    rig.told(&now, OrderStatus::Cancelled, 0);
    assert_eq!((missing(&rig), rig.engine.report().stops.unwrap().left.len()), (vec![InstrumentId(0)], 0));
    let (mut rig, sent) = quoted(|_| (), quoting());
    rig.fill(&sent[0], 1, 4);
    assert!(rig.engine.report().stops.is_none(), "none is wanted");
}

#[test]
fn a_quote_that_is_being_amended_goes_even_if_it_is_wanted_again() {
    let (mut rig, stop) = guarded();
    rig.book(600_010, 600_011);
    let amended = rig.taken();
    assert!(amended.len() == 2 && amended.iter().all(|it| it.kind == CommandKind::Amend), "{amended:?}");
    rig.fill(&stop, 2, 10);
    assert_eq!(position(&rig), 0);
    rig.book(600_010, 600_011);
    for command in &amended {
        rig.told(command, OrderStatus::New, 0);
    }
    let sent: Vec<_> = rig.taken().iter().map(|it| (it.kind, it.client_id)).collect();
    assert_eq!(sent, [0, 1].map(|at| (CommandKind::Cancel, amended[at].client_id)));
}
