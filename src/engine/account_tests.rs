//! What the engine does to know its account: each test is one way in which venue and engine may come apart.

use super::tests::{Fixed, quoting};
use super::*;
use crate::types::{
    Absent, Command, CommandKind, Funding, InstrumentSpec, Link, LinkKind, Lots, OrderStatus, OrderUpdate, Pass,
    PassEnd, Position, Product, Rate, Step, Symbol, Ticks, VenueId,
};

const SECOND: u64 = 1_000_000_000;

struct Rig {
    engine: Engine<Fixed>,
    out: Vec<Command>,
    now: u64,
    exec_id: u128,
}

impl Rig {
    fn new(foreign: Foreign) -> Self {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let symbol = Symbol::new(b"BTCUSDT").unwrap();
        let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
        let table = InstrumentTable::new(vec![spec]).unwrap();
        let limits = Limits { window_ticks: 128, far_levels_max: 64, orders_max: 16, exec_ids_max: 64 };
        let reconcile = ReconcileConfig { every_ns: 10 * SECOND, foreign, ..ReconcileConfig::default() };
        let config = EngineConfig { limits, reconcile, ..EngineConfig::default() };
        Self { engine: Engine::new(&table, config, quoting()), out: Vec::new(), now: 100 * SECOND, exec_id: 0 }
    }

    /// Connected, reconciled with a flat account, armed, and quoting both sides.
    fn trading(foreign: Foreign) -> (Self, Vec<Command>) {
        let mut rig = Self::new(foreign);
        rig.link(LinkKind::Trade, true);
        rig.link(LinkKind::Private, true);
        assert_eq!(rig.take(CommandKind::Reconcile).len(), 1, "one pass, once both are up");
        rig.pass(0);
        let meta = rig.meta();
        rig.event(&Event::Control(meta, Control::Arm));
        rig.book();
        let orders = rig.take(CommandKind::New);
        assert_eq!(orders.len(), 2);
        for command in &orders {
            rig.told(command, OrderStatus::New, 0);
        }
        rig.out.clear();
        (rig, orders)
    }

    fn meta(&mut self) -> Meta {
        self.now += 1_000_000;
        Meta { recv: Nanos::new(self.now), venue_ts: Nanos::new(self.now), seq: self.now, ..Meta::default() }
    }

    fn event(&mut self, event: &Event<'_>) {
        self.engine.on_event(event, &mut self.out);
    }

    fn take(&mut self, kind: CommandKind) -> Vec<Command> {
        let (taken, rest) = std::mem::take(&mut self.out).into_iter().partition(|command| command.kind == kind);
        self.out = rest;
        taken
    }

    fn link(&mut self, kind: LinkKind, is_up: bool) {
        let meta = self.meta();
        self.event(&Event::Link(Link { meta, kind, is_up }));
    }

    fn book(&mut self) {
        let meta = self.meta();
        self.event(&Event::Ticker(Ticker {
            meta,
            mark_px: Money::ZERO,
            index_px: Money::ZERO,
            last_px: Ticks::new(600_000),
            funding_rate: Rate::ZERO,
            next_funding: Nanos::ZERO,
        }));
        self.event(&Event::BookStatus(BookStatus { meta, state: BookState::Live }));
        let level = |px| [crate::types::Level { px: Ticks::new(px), qty: Lots::new(100) }];
        let (bids, asks) = (level(600_000), level(600_001));
        let kind = crate::types::BookKind::Snapshot;
        self.event(&Event::Book(Book { meta, kind, cross_seq: meta.seq, bids: &bids, asks: &asks }));
    }

    /// A whole pass that finds this position and a wallet of 10,000.
    fn pass(&mut self, position: i64) {
        let meta = self.meta();
        let asked_at = meta.recv;
        let (qty, entry_px) = (Lots::new(position), Money::new(60_000 * Money::ONE.get()));
        self.event(&Event::Position(Position { meta, qty, entry_px, realised: Money::ZERO, asked_at }));
        let wallet = Money::new(10_000 * Money::ONE.get());
        self.event(&Event::Balance(Balance { meta, wallet, available: wallet }));
        let meta = self.meta();
        self.event(&Event::Pass(Pass { meta, end: PassEnd::Whole, asked_at }));
    }

    fn told(&mut self, command: &Command, status: OrderStatus, filled: i64) {
        let update = self.update(command, status, filled);
        self.event(&Event::Order(update));
    }

    fn update(&mut self, command: &Command, status: OrderStatus, filled: i64) -> OrderUpdate {
        let Command { client_id, side, px, qty, .. } = *command;
        OrderUpdate {
            meta: self.meta(),
            client_id,
            venue_order_id: u128::from(client_id.0) + 1_000,
            side,
            status,
            px,
            qty,
            filled: Lots::new(filled),
            reason: 0,
            asked_at: Nanos::ZERO,
        }
    }

    fn fill(&mut self, command: &Command, qty: i64) -> Fill {
        self.exec_id += 1;
        Fill {
            meta: self.meta(),
            client_id: command.client_id,
            exec_id: self.exec_id,
            side: command.side,
            is_maker: true,
            px: command.px,
            qty: Lots::new(qty),
            fee: Money::new(5),
            is_fee_final: true,
            is_query: false,
            venue_order_id: u128::from(command.client_id.0) + 1_000,
        }
    }

    fn timer(&mut self, later_ns: u64) {
        self.now += later_ns;
        let meta = self.meta();
        self.event(&Event::Timer(meta));
    }

    fn position(&self) -> Lots {
        self.engine.report().positions[0].position
    }

    fn account(&self) -> AccountCounts {
        self.engine.report().account
    }
}

/// An order that is listed as open, of nobody we know.
fn foreign_order(rig: &mut Rig, asked_at: Nanos) -> OrderUpdate {
    OrderUpdate {
        meta: rig.meta(),
        client_id: ClientOrderId(0),
        venue_order_id: 77,
        side: Side::Ask,
        status: OrderStatus::New,
        px: Ticks::new(700_000),
        qty: Lots::new(4),
        filled: Lots::new(1),
        reason: 0,
        asked_at,
    }
}

#[test]
fn nothing_is_placed_before_the_first_pass_has_ended_well() {
    let mut rig = Rig::new(Foreign::Cancel);
    let meta = rig.meta();
    rig.event(&Event::Control(meta, Control::Arm));
    rig.link(LinkKind::Trade, true);
    rig.link(LinkKind::Private, true);
    rig.book();
    let meta = rig.meta();
    rig.event(&Event::Pass(Pass { meta, end: PassEnd::Broken, asked_at: meta.recv }));
    rig.book();
    assert!(rig.take(CommandKind::New).is_empty());
    rig.timer(SECOND);
    rig.pass(7);
    assert_eq!((rig.engine.is_synced(), rig.position()), (true, Lots::new(7)), "what was there is taken over");
    rig.book();
    assert_eq!(rig.take(CommandKind::New).len(), 2);
}

#[test]
fn executions_before_the_first_sync_belong_to_the_position_that_is_taken_over() {
    let mut rig = Rig::new(Foreign::Cancel);
    rig.link(LinkKind::Trade, true);
    rig.link(LinkKind::Private, true);
    let nobody = Command::cancel_foreign(InstrumentId(0), Side::Bid, 0, Nanos::ZERO);
    let fill = rig.fill(&nobody, 3);
    rig.event(&Event::Fill(fill));
    rig.pass(3);
    assert!(!rig.engine.is_synced(), "something was filled while the pass went on");
    rig.timer(SECOND);
    rig.pass(3);
    assert_eq!((rig.engine.is_synced(), rig.position()), (true, Lots::new(3)));
    rig.event(&Event::Fill(fill));
    assert_eq!(rig.position(), Lots::new(3), "it is known");
}

#[test]
fn a_lost_private_stream_withdraws_the_quotes_and_trading_waits_for_a_pass() {
    let (mut rig, orders) = Rig::trading(Foreign::Cancel);
    rig.link(LinkKind::Private, false);
    assert_eq!(rig.take(CommandKind::Cancel).len(), 2);
    assert_eq!(rig.engine.mode(), Mode::Trading, "held, not stopped");
    for command in &orders {
        rig.told(command, OrderStatus::Cancelled, 0);
    }
    rig.book();
    assert!(rig.take(CommandKind::New).is_empty());
    rig.link(LinkKind::Private, true);
    rig.book();
    assert!(rig.take(CommandKind::New).is_empty(), "connected is not reconciled");
    assert_eq!(rig.take(CommandKind::Reconcile).len(), 1);
    rig.timer(SECOND);
    rig.pass(0);
    rig.book();
    assert_eq!(rig.take(CommandKind::New).len(), 2);
    assert_eq!(rig.account().holds, 1);
}

#[test]
fn a_pass_that_began_before_the_reconnect_proves_nothing() {
    let (mut rig, _) = Rig::trading(Foreign::Cancel);
    let before = rig.meta().recv;
    rig.link(LinkKind::Private, false);
    rig.link(LinkKind::Private, true);
    let meta = rig.meta();
    rig.event(&Event::Pass(Pass { meta, end: PassEnd::Whole, asked_at: before }));
    assert!(!rig.engine.is_synced());
}

#[test]
fn an_order_in_doubt_is_asked_for_until_an_answer_resolves_it() {
    let (mut rig, orders) = Rig::trading(Foreign::Cancel);
    rig.told(&orders[0], OrderStatus::Cancelled, 0);
    rig.book();
    let [again] = rig.take(CommandKind::New)[..] else { panic!("the side is quoted again") };
    rig.timer(3 * SECOND);
    let [query] = rig.take(CommandKind::Query)[..] else { panic!("one question") };
    assert_eq!(query.client_id, again.client_id);
    let absent = |rig: &mut Rig, asked_at: Nanos| {
        let meta = rig.meta();
        rig.event(&Event::Absent(Absent { meta, client_id: again.client_id, asked_at }));
    };
    absent(&mut rig, Nanos::new(again.at.get() + SECOND));
    assert_eq!(rig.engine.report().orders.rejected, 0, "it may still be on its way");
    rig.timer(6 * SECOND);
    assert_eq!(rig.take(CommandKind::Query).len(), 1, "asked again");
    absent(&mut rig, Nanos::new(again.at.get() + 8 * SECOND + 1));
    assert_eq!(rig.engine.report().orders.rejected, 1);
}

#[test]
fn an_open_order_that_no_list_holds_is_asked_for_and_its_end_is_believed() {
    let (mut rig, orders) = Rig::trading(Foreign::Cancel);
    rig.timer(10 * SECOND);
    assert_eq!(rig.take(CommandKind::Reconcile).len(), 1);
    rig.pass(0);
    rig.timer(1_000_000);
    let asked = rig.take(CommandKind::Query);
    assert_eq!(asked.len(), 2, "neither order was listed");
    let mut update = rig.update(&orders[0], OrderStatus::Cancelled, 0);
    update.asked_at = update.meta.recv;
    rig.event(&Event::Order(update));
    assert_eq!(rig.account().ends_by_query, 1);
}

#[test]
fn orders_that_are_not_ours_are_cancelled_adopted_or_left() {
    for foreign in Foreign::ALL {
        let (mut rig, _) = Rig::trading(foreign);
        let now = rig.meta().recv;
        let told = foreign_order(&mut rig, Nanos::ZERO);
        rig.event(&Event::Order(told));
        assert!(rig.out.is_empty(), "the stream may repeat old news: only lists count");
        let listed = foreign_order(&mut rig, now);
        rig.event(&Event::Order(listed));
        rig.event(&Event::Order(listed));
        let cancels = rig.take(CommandKind::CancelForeign);
        let open = rig.engine.instruments[0].exposure.open[Side::Ask as usize].qty;
        match foreign {
            Foreign::Cancel => assert_eq!(cancels.first().map(Command::venue_order_id), Some(77)),
            Foreign::Adopt => {
                assert_eq!((cancels.len(), open), (0, Lots::new(13)), "three of four lots are open beside our ten");
                assert_eq!(rig.engine.report().orders.adopted, 1, "once");
                // Its fills find it by the venue's number; it ends with the engine.
                let nobody = Command { side: Side::Ask, ..Command::cancel_foreign(InstrumentId(0), Side::Ask, 0, now) };
                let fill = Fill { venue_order_id: 77, ..rig.fill(&nobody, 2) };
                rig.event(&Event::Fill(fill));
                assert_eq!(rig.engine.instruments[0].exposure.open[Side::Ask as usize].qty, Lots::new(11));
                let meta = rig.meta();
                rig.event(&Event::Control(meta, Control::Stop));
                let [cancel] = rig.take(CommandKind::CancelForeign)[..] else { panic!("{:?}", rig.out) };
                assert_eq!(cancel.venue_order_id(), 77);
            }
            Foreign::Leave => assert_eq!((cancels.len(), open), (0, Lots::new(10))),
        }
    }
}

#[test]
fn an_order_of_this_run_that_the_table_does_not_hold_is_never_kept() {
    let (mut rig, _) = Rig::trading(Foreign::Leave);
    let now = rig.meta().recv;
    let listed = OrderUpdate { client_id: ClientOrderId(999_999), ..foreign_order(&mut rig, now) };
    rig.event(&Event::Order(listed));
    assert_eq!(rig.take(CommandKind::CancelForeign).len(), 1);
}

#[test]
fn an_order_that_ended_while_a_list_was_on_its_way_is_not_cancelled_as_foreign() {
    let (mut rig, orders) = Rig::trading(Foreign::Cancel);
    let asked_at = rig.meta().recv;
    let end = rig.update(&orders[0], OrderStatus::Cancelled, 0);
    rig.event(&Event::Order(end));
    assert!(rig.engine.orders.get(orders[0].client_id).is_none(), "settled");
    let listed = OrderUpdate { asked_at, ..rig.update(&orders[0], OrderStatus::New, 0) };
    rig.event(&Event::Order(listed));
    assert!(rig.take(CommandKind::CancelForeign).is_empty(), "{:?}", rig.out);
    assert_eq!(rig.account().foreign_cancels, 0);
    // Listed by an answer to a later question it is open, whatever the stream said.
    rig.timer(10_000_000_000);
    let later = OrderUpdate { asked_at: rig.meta().recv, ..rig.update(&orders[0], OrderStatus::New, 0) };
    rig.event(&Event::Order(later));
    assert_eq!(rig.take(CommandKind::CancelForeign).len(), 1);
}

#[test]
fn a_fast_execution_is_booked_at_once_and_its_fee_later() {
    let (mut rig, orders) = Rig::trading(Foreign::Cancel);
    // The fast stream leaves our number empty for maker fills.
    let slow = rig.fill(&orders[0], 10);
    let fast = Fill { client_id: ClientOrderId(0), fee: Money::new(9), is_fee_final: false, ..slow };
    rig.event(&Event::Fill(fast));
    assert_eq!((rig.position(), rig.engine.report().orders.filled), (Lots::new(10), 1));
    rig.event(&Event::Fill(fast));
    assert_eq!(rig.engine.report().pnl.fees, Money::new(9));
    rig.event(&Event::Fill(slow));
    rig.event(&Event::Fill(slow));
    let report = rig.engine.report();
    assert_eq!((report.pnl.fees, rig.position(), report.unsettled[1]), (Money::new(5), Lots::new(10), 0));
}

#[test]
fn a_funding_payment_is_booked_once_whoever_tells_it() {
    let (mut rig, orders) = Rig::trading(Foreign::Cancel);
    let fill = rig.fill(&orders[0], 10);
    rig.event(&Event::Fill(fill));
    let before = rig.engine.report();
    let meta = rig.meta();
    let paid = Funding { meta, exec_id: 77, paid: Money::new(40), rate: Rate::new(10_000), is_query: false };
    let received = Funding { exec_id: 78, paid: Money::new(-15), is_query: true, ..paid };
    for funding in [paid, paid, received, Funding { is_query: true, ..paid }, received] {
        rig.event(&Event::Funding(funding));
    }
    let report = rig.engine.report();
    assert_eq!(report.pnl.funding, Money::new(25));
    assert_eq!(report.pnl.total, before.pnl.total.saturating_sub(Money::new(25)));
    assert_eq!(report.wallet, before.wallet.map(|wallet| wallet.saturating_sub(Money::new(25))));
    assert_eq!((report.counts.fundings, report.counts.fundings_repeated), (2, 3));
    // An execution that comes late is put in its place; the payment stays.
    let late = Fill { meta: Meta { venue_ts: Nanos::new(1), ..fill.meta }, exec_id: 79, ..fill };
    rig.event(&Event::Fill(late));
    assert_eq!(rig.engine.report().pnl.funding, Money::new(25));
}

#[test]
fn a_fill_that_only_an_answer_tells_replaces_a_silent_stream() {
    let (mut rig, orders) = Rig::trading(Foreign::Cancel);
    let by_query = Fill { is_query: true, ..rig.fill(&orders[0], 4) };
    rig.event(&Event::Fill(by_query));
    assert_eq!(rig.position(), Lots::new(4));
    rig.timer(SECOND);
    assert!(rig.take(CommandKind::Reconnect).is_empty(), "the stream has a moment to tell it, too");
    rig.timer(2 * SECOND);
    assert_eq!(rig.take(CommandKind::Reconnect).len(), 1);
    rig.timer(2 * SECOND);
    assert!(rig.take(CommandKind::Reconnect).is_empty(), "once");
    assert_eq!(rig.account().silent_streams, 1);
}

#[test]
fn a_fill_that_the_stream_tells_after_the_answer_is_no_silence() {
    let (mut rig, orders) = Rig::trading(Foreign::Cancel);
    let fill = rig.fill(&orders[0], 4);
    rig.event(&Event::Fill(Fill { is_query: true, ..fill }));
    rig.event(&Event::Fill(fill));
    rig.timer(5 * SECOND);
    assert!(rig.take(CommandKind::Reconnect).is_empty());
    assert_eq!(rig.position(), Lots::new(4));
}

#[test]
fn an_acknowledged_order_of_which_the_stream_never_speaks_replaces_the_stream() {
    let (mut rig, orders) = Rig::trading(Foreign::Cancel);
    rig.told(&orders[0], OrderStatus::Cancelled, 0);
    rig.book();
    let [again] = rig.take(CommandKind::New)[..] else { panic!("the side is quoted again") };
    let meta = rig.meta();
    let (client_id, request) = (again.client_id, again.request);
    rig.event(&Event::Ack(Ack { meta, op: Op::Create, client_id, request, limit_left: u32::MAX }));
    rig.timer(5 * SECOND);
    assert_eq!(rig.take(CommandKind::Reconnect).len(), 1);
}

#[test]
fn executions_that_orders_tell_of_and_that_do_not_come_are_read_again() {
    let (mut rig, orders) = Rig::trading(Foreign::Cancel);
    rig.told(&orders[0], OrderStatus::PartiallyFilled, 3);
    rig.timer(SECOND);
    assert!(rig.take(CommandKind::Reconcile).is_empty());
    rig.timer(2 * SECOND);
    rig.timer(2 * SECOND);
    assert_eq!(rig.take(CommandKind::Reconcile).len(), 1);
}

#[test]
fn a_position_that_stays_another_stops_the_engine() {
    let (mut rig, _) = Rig::trading(Foreign::Cancel);
    for _ in 0..3 {
        rig.timer(11 * SECOND);
        rig.pass(5);
        assert_eq!(rig.engine.mode(), Mode::Trading);
    }
    rig.timer(SECOND);
    rig.pass(5);
    assert_eq!((rig.engine.mode(), rig.account().drifted), (Mode::Stopping, true));
}

#[test]
fn knowledge_grows_old() {
    let (mut rig, _) = Rig::trading(Foreign::Cancel);
    rig.timer(40 * SECOND);
    assert!(rig.engine.is_synced());
    rig.timer(20 * SECOND);
    assert!(!rig.engine.is_synced(), "no pass has ended for longer than three should have taken");
}
