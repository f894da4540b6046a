use super::*;
use crate::risk::Refusal;
use crate::strategy::Take;
use crate::types::{
    BookKind, Command, CommandKind, InstrumentSpec, Level, LinkKind, Lots, Op, OrderStatus, OrderUpdate, Product, Step,
    Symbol, Ticks, TimeInForce, TopCheck, VenueId,
};

/// Quotes a fixed distance from the touch, and takes once when told to.
#[derive(Default)]
pub(super) struct Fixed {
    distance: i64,
    qty: i64,
    take: bool,
}

impl Strategy for Fixed {
    fn on_market(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        let (Some(bid), Some(ask)) = (view.touch.bid, view.touch.ask) else { return };
        if self.qty > 0 {
            wishes.quote(Side::Bid, bid.px.saturating_add(-self.distance), Lots::new(self.qty));
            wishes.quote(Side::Ask, ask.px.saturating_add(self.distance), Lots::new(self.qty));
        }
        if std::mem::take(&mut self.take) {
            wishes.take = Some(Take { side: Side::Bid, px: ask.px, qty: Lots::new(10), reduce_only: false });
        }
    }
}

struct Rig {
    engine: Engine<Fixed>,
    out: Vec<Command>,
    now: u64,
    seq: u64,
}

impl Rig {
    fn new(strategy: Fixed) -> Self {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let symbol = Symbol::new(b"BTCUSDT").unwrap();
        let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
        let table = InstrumentTable::new(vec![spec]).unwrap();
        let limits = Limits { window_ticks: 128, far_levels_max: 64, orders_max: 16, exec_ids_max: 64 };
        let config = EngineConfig { limits, ..EngineConfig::default() };
        let mut rig =
            Self { engine: Engine::new(&table, config, strategy), out: Vec::new(), now: 1_000_000_000, seq: 1 };
        rig.balance(10_000);
        rig.control(Control::Arm);
        rig
    }

    fn meta(&mut self) -> Meta {
        self.now += 1_000_000;
        self.seq += 1;
        Meta { recv: Nanos::new(self.now), seq: self.seq, ..Meta::default() }
    }

    fn event(&mut self, event: Event<'_>) {
        self.engine.on_event(&event, &mut self.out);
    }

    fn control(&mut self, control: Control) {
        let meta = self.meta();
        self.event(Event::Control(meta, control));
    }

    fn balance(&mut self, whole: i128) {
        let wallet = Money::new(whole * Money::ONE.get());
        let meta = self.meta();
        self.event(Event::Balance(Balance { meta, wallet, available: wallet }));
    }

    fn status(&mut self, state: BookState) {
        let meta = self.meta();
        self.event(Event::BookStatus(BookStatus { meta, state }));
    }

    fn book(&mut self, bid: i64, ask: i64) {
        let meta = self.meta();
        let level = |px| [Level { px: Ticks::new(px), qty: Lots::new(100) }];
        let (bids, asks) = (level(bid), level(ask));
        self.event(Event::Book(Book { meta, kind: BookKind::Snapshot, cross_seq: meta.seq, bids: &bids, asks: &asks }));
    }

    fn go_live(&mut self) {
        self.status(BookState::Live);
        self.book(600_000, 600_001);
    }

    fn ack(&mut self, op: Op, client_id: ClientOrderId) {
        let meta = self.meta();
        self.event(Event::Ack(Ack { meta, op, client_id, request: self.request(client_id), limit_left: u32::MAX }));
    }

    /// Number of the last request for an order.
    fn request(&self, client_id: ClientOrderId) -> u16 {
        self.engine.orders.get(client_id).map_or(0, |order| order.request)
    }

    fn reject(&mut self, op: Op, kind: RejectKind, client_id: ClientOrderId) {
        let meta = self.meta();
        self.event(Event::Reject(Reject { meta, op, kind, client_id, request: self.request(client_id), code: 1 }));
    }

    fn told(&mut self, command: &Command, status: OrderStatus, filled: i64) {
        let meta = self.meta();
        let Command { client_id, side, px, qty, .. } = *command;
        let filled = Lots::new(filled);
        self.event(Event::Order(OrderUpdate {
            meta,
            client_id,
            venue_order_id: 1,
            side,
            status,
            px,
            qty,
            filled,
            reason: 0,
            asked_at: Nanos::ZERO,
        }));
    }

    fn fill(&mut self, command: &Command, exec_id: u128, qty: i64) {
        let meta = self.meta();
        let Command { client_id, side, px, .. } = *command;
        self.event(Event::Fill(Fill {
            meta,
            client_id,
            exec_id,
            side,
            is_maker: true,
            px,
            qty: Lots::new(qty),
            fee: Money::new(5),
            is_fee_final: true,
            is_query: false,
            venue_order_id: 0,
        }));
    }

    fn timer(&mut self, later_ns: u64) {
        self.now += later_ns;
        let meta = self.meta();
        self.event(Event::Timer(meta));
    }

    fn taken(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.out)
    }
}

pub(super) fn quoting() -> Fixed {
    Fixed { distance: 5, qty: 10, take: false }
}

#[test]
fn quotes_both_sides_once_the_book_is_live() {
    let mut rig = Rig::new(quoting());
    rig.book(600_000, 600_001);
    assert!(rig.taken().is_empty(), "nothing before the book is proven whole");
    rig.go_live();
    let sent = rig.taken();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|c| c.kind == CommandKind::New && c.tif == TimeInForce::PostOnly));
    assert_eq!((sent[0].side, sent[0].px), (Side::Bid, Ticks::new(599_995)));
    assert_eq!((sent[1].side, sent[1].px), (Side::Ask, Ticks::new(600_006)));
}

#[test]
fn does_not_trade_before_it_is_armed() {
    let mut rig = Rig::new(quoting());
    rig.engine.mode = Mode::Watching;
    rig.engine.risk.set_trading(false);
    rig.go_live();
    assert!(rig.taken().is_empty());
}

#[test]
fn a_moving_market_conflates_to_the_newest_wish() {
    let mut rig = Rig::new(quoting());
    rig.go_live();
    let sent = rig.taken();
    for px in 1..=5 {
        rig.book(600_000 + px, 600_001 + px);
    }
    assert!(rig.taken().is_empty(), "the first requests are not answered yet");
    rig.ack(Op::Create, sent[0].client_id);
    rig.ack(Op::Create, sent[1].client_id);
    let amended = rig.taken();
    assert_eq!(amended.len(), 2);
    assert!(amended.iter().all(|c| c.kind == CommandKind::Amend));
    assert_eq!(amended[0].px, Ticks::new(600_000));
    assert!(rig.engine.counts().conflated > 0);
}

#[test]
fn never_more_requests_than_the_budget() {
    let mut rig = Rig::new(quoting());
    rig.go_live();
    let sent = rig.taken();
    for command in &sent {
        rig.ack(Op::Create, command.client_id);
    }
    let mut amends = 0;
    for step in 0..200i64 {
        rig.book(600_000 + step, 600_001 + step);
        for command in rig.taken() {
            assert_eq!(command.kind, CommandKind::Amend);
            amends += 1;
            rig.told(&command, OrderStatus::New, 0);
        }
    }
    // 200 books, one or more events each: below one second, at most ten amendments.
    assert!((3..=10).contains(&amends), "{amends}");
}

#[test]
fn a_stale_book_withdraws_the_quotes() {
    let mut rig = Rig::new(quoting());
    rig.go_live();
    for command in rig.taken() {
        rig.told(&command, OrderStatus::New, 0);
    }
    rig.status(BookState::Stale);
    let cancels = rig.taken();
    assert_eq!(cancels.len(), 2);
    assert!(cancels.iter().all(|c| c.kind == CommandKind::Cancel));
}

#[test]
fn a_crossed_book_is_not_traded_on() {
    let mut rig = Rig::new(Fixed { take: true, ..quoting() });
    rig.status(BookState::Live);
    rig.book(600_005, 600_001);
    assert!(rig.taken().is_empty());
    assert_eq!(rig.engine.counts().crossed, 1);
}

#[test]
fn stopping_cancels_everything_and_places_nothing() {
    let mut rig = Rig::new(quoting());
    rig.go_live();
    let sent = rig.taken();
    rig.told(&sent[0], OrderStatus::New, 0);
    rig.control(Control::Stop);
    let cancels = rig.taken();
    assert_eq!(cancels.len(), 1, "the unanswered order is not cancelled before its answer");
    rig.told(&sent[1], OrderStatus::New, 0);
    rig.timer(10_000_000);
    assert_eq!(rig.taken().len(), 1);
    rig.told(&sent[0], OrderStatus::Cancelled, 0);
    rig.told(&sent[1], OrderStatus::Cancelled, 0);
    rig.book(600_100, 600_101);
    assert!(rig.taken().is_empty());
    assert!(rig.engine.is_flat_of_orders());
    rig.control(Control::Arm);
    assert_eq!(rig.engine.mode(), Mode::Stopping);
}

#[test]
fn a_fill_is_booked_once_and_replaced() {
    let mut rig = Rig::new(quoting());
    rig.go_live();
    let sent = rig.taken();
    for command in &sent {
        rig.ack(Op::Create, command.client_id);
    }
    rig.fill(&sent[0], 77, 10);
    rig.fill(&sent[0], 77, 10);
    let report = rig.engine.report();
    assert_eq!(report.positions[0].position, Lots::new(10));
    assert_eq!(report.orders.filled, 1);
    assert_eq!(report.counts.fills_repeated, 1);
    let again = rig.taken();
    assert_eq!(again.len(), 1, "the filled side is quoted again: {again:?}");
    assert_eq!(again[0].side, Side::Bid);
}

#[test]
fn an_unanswered_request_becomes_unknown_and_stays_reserved() {
    let mut rig = Rig::new(quoting());
    rig.go_live();
    let sent = rig.taken();
    rig.timer(3_000_000_000);
    assert_eq!(rig.engine.report().orders.unknown, 2);
    assert_eq!(rig.engine.report().open_orders.len(), 2);
    assert_eq!(rig.engine.instruments[0].exposure.open, [Lots::new(10); 2]);
    // A late fill still finds its order.
    rig.fill(&sent[1], 5, 10);
    assert_eq!(rig.engine.report().positions[0].position, Lots::new(-10));
    assert_eq!(rig.engine.report().orders.filled, 1);
}

#[test]
fn a_lost_trade_connection_makes_pending_orders_unknown() {
    let mut rig = Rig::new(quoting());
    rig.go_live();
    let meta = rig.meta();
    rig.event(Event::Link(crate::types::Link { meta, kind: LinkKind::Trade, is_up: false }));
    assert_eq!(rig.engine.report().orders.unknown, 2);
}

#[test]
fn a_lost_private_stream_stops_trading() {
    let mut rig = Rig::new(quoting());
    rig.go_live();
    for command in rig.taken() {
        rig.ack(Op::Create, command.client_id);
    }
    let meta = rig.meta();
    rig.event(Event::Link(crate::types::Link { meta, kind: LinkKind::Private, is_up: false }));
    assert_eq!(rig.engine.mode(), Mode::Stopping);
    assert!(rig.taken().iter().all(|command| command.kind == CommandKind::Cancel));
}

#[test]
fn a_refused_amendment_is_tried_again_within_the_budget() {
    let mut rig = Rig::new(quoting());
    rig.go_live();
    for command in rig.taken() {
        rig.ack(Op::Create, command.client_id);
    }
    rig.book(600_010, 600_011);
    let amends = rig.taken();
    rig.reject(Op::Amend, RejectKind::Refused, amends[0].client_id);
    let again = rig.taken();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].px, amends[0].px);
}

#[test]
fn a_full_ring_refuses_the_order_and_says_so() {
    struct Full;
    impl CommandSink for Full {
        fn push(&mut self, _: Command) -> bool {
            false
        }
    }
    let mut rig = Rig::new(Fixed { take: true, ..Fixed::default() });
    rig.status(BookState::Live);
    let meta = rig.meta();
    let (bids, asks) = (
        [Level { px: Ticks::new(1000), qty: Lots::new(100_000) }],
        [Level { px: Ticks::new(1001), qty: Lots::new(100_000) }],
    );
    rig.engine.on_event(
        &Event::Book(Book { meta, kind: BookKind::Snapshot, cross_seq: 1, bids: &bids, asks: &asks }),
        &mut Full,
    );
    let report = rig.engine.report();
    assert_eq!(report.refused, vec![(Refusal::Gateway, 1)]);
    assert_eq!(report.orders.sent, 0);
    assert_eq!(rig.engine.instruments[0].exposure.open, [Lots::ZERO; 2]);
}

#[test]
fn own_quotes_never_meet() {
    let mut rig = Rig::new(Fixed { distance: 0, qty: 10, take: false });
    rig.go_live();
    for command in rig.taken() {
        rig.ack(Op::Create, command.client_id);
    }
    // The market jumps far above our ask: the ask must move before the bid may.
    rig.book(600_500, 600_501);
    let moved = rig.taken();
    assert_eq!(moved[0].side, Side::Ask);
    for command in &moved {
        rig.told(command, OrderStatus::New, 0);
    }
    rig.timer(100_000_000);
    let rest = rig.taken();
    assert!(
        moved.iter().chain(&rest).any(|c| c.side == Side::Bid && c.px == Ticks::new(600_500)),
        "{moved:?} {rest:?}"
    );
}

#[test]
fn time_never_runs_backwards() {
    let mut rig = Rig::new(quoting());
    rig.go_live();
    let now = rig.engine.now();
    rig.now -= 500_000_000;
    rig.book(600_000, 600_001);
    assert_eq!(rig.engine.now(), now);
    assert_eq!(rig.engine.counts().time_clamped, 1);
}

#[test]
fn the_certificate_runs_along() {
    let mut rig = Rig::new(Fixed::default());
    rig.go_live();
    let meta = rig.meta();
    let level = |px| Some(Level { px: Ticks::new(px), qty: Lots::new(100) });
    rig.event(Event::Top(Top { meta, check: TopCheck::PriceAtArrival, bid: level(600_000), ask: level(600_001) }));
    let certificate = rig.engine.report().books[0].certificate;
    assert_eq!((certificate.checked, certificate.equal), (1, 1));
}

#[test]
fn a_withdrawn_instrument_is_cancelled_and_not_quoted_until_it_is_readmitted() {
    let mut rig = Rig::new(Fixed { distance: 5, qty: 3, take: false });
    rig.go_live();
    let quotes: Vec<Command> = rig.out.drain(..).collect();
    assert_eq!(quotes.len(), 2);
    for quote in &quotes {
        rig.ack(Op::Create, quote.client_id);
        rig.told(quote, OrderStatus::New, 0);
    }
    rig.out.clear();
    rig.control(Control::Withdraw);
    let cancels: Vec<Command> = rig.out.drain(..).collect();
    assert!(cancels.len() == 2 && cancels.iter().all(|c| c.kind == CommandKind::Cancel), "{cancels:?}");
    for quote in &quotes {
        rig.ack(Op::Cancel, quote.client_id);
        rig.told(quote, OrderStatus::Cancelled, 0);
    }
    // Neither the market nor a new book nor arming again brings it back.
    rig.book(600_010, 600_011);
    rig.status(BookState::Stale);
    rig.go_live();
    rig.control(Control::Arm);
    rig.book(600_020, 600_021);
    assert!(rig.out.is_empty() && rig.engine.is_flat_of_orders(), "{:?}", rig.out);
    assert!(rig.engine.report().books[0].is_withdrawn && rig.engine.mode() == Mode::Trading);
    // The budget for new orders has filled up again meanwhile.
    rig.now += 1_000_000_000;
    rig.control(Control::Readmit);
    rig.book(600_030, 600_031);
    assert_eq!(
        rig.out.iter().filter(|c| c.kind == CommandKind::New).count(),
        2,
        "{:?} {:?}",
        rig.out,
        rig.engine.report().refused
    );
}

#[test]
fn an_order_whose_birth_was_not_answered_yet_is_cancelled_after_the_withdrawal() {
    let mut rig = Rig::new(Fixed { distance: 5, qty: 3, take: false });
    rig.go_live();
    let quotes: Vec<Command> = rig.out.drain(..).collect();
    rig.control(Control::Withdraw);
    assert!(rig.out.is_empty(), "{:?}", rig.out);
    for quote in &quotes {
        rig.ack(Op::Create, quote.client_id);
        rig.told(quote, OrderStatus::New, 0);
    }
    assert_eq!(rig.out.iter().filter(|c| c.kind == CommandKind::Cancel).count(), 2, "{:?}", rig.out);
}
