use super::*;
use crate::risk::{BreakerConfig, BreakerLevel, Layer, OpenSide, Refusal, RiskState, day_of};
use crate::strategy::{Forecast, Take};
use crate::types::{
    BoardSlot, BookKind, Carried, Command, CommandKind, InstrumentSpec, Level, LinkKind, Lots, Op, OrderStatus,
    OrderUpdate, Product, Rate, Step, Symbol, Ticks, TimeInForce, TopCheck, VenueId,
};

mod slow;

/// Quotes a fixed distance from the touch, and takes once when told to.
#[derive(Default)]
pub(super) struct Fixed {
    pub distance: i64,
    pub qty: i64,
    pub take: bool,
    pub exit_px: Option<f64>,
    pub stop: StopWish,
}

impl Strategy for Fixed {
    fn on_market(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        let (Some(bid), Some(ask)) = (view.touch.bid, view.touch.ask) else { return };
        if self.qty > 0 {
            wishes.quote(Side::Bid, bid.px.saturating_add(-self.distance), Lots::new(self.qty));
            wishes.quote(Side::Ask, ask.px.saturating_add(self.distance), Lots::new(self.qty));
        }
        wishes.stop = self.stop;
        wishes.forecast = self.exit_px.and_then(|px| Forecast::new(px, 1_000));
        if std::mem::take(&mut self.take) {
            wishes.take = Some(Take { side: Side::Bid, px: ask.px, qty: Lots::new(10), reduce_only: false });
        }
    }
}

pub(super) struct Rig {
    pub engine: Engine<Fixed>,
    pub out: Vec<Command>,
    pub now: u64,
    seq: u64,
}

impl Rig {
    pub fn new(strategy: Fixed) -> Self {
        Self::with(strategy, |_| ())
    }

    pub fn with(strategy: Fixed, change: impl Fn(&mut EngineConfig)) -> Self {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let symbol = Symbol::new(b"BTCUSDT").unwrap();
        let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
        let table = InstrumentTable::new(vec![spec]).unwrap();
        let limits = Limits { window_ticks: 128, far_levels_max: 64, orders_max: 16, exec_ids_max: 64 };
        let mut config = EngineConfig { limits, ..EngineConfig::default() };
        change(&mut config);
        let mut rig =
            Self { engine: Engine::new(&table, config, strategy), out: Vec::new(), now: 1_000_000_000, seq: 1 };
        rig.balance(10_000);
        rig.control(Control::Arm);
        rig
    }

    pub fn meta(&mut self) -> Meta {
        self.now += 1_000_000;
        self.seq += 1;
        Meta { recv: Nanos::new(self.now), seq: self.seq, ..Meta::default() }
    }

    pub fn event(&mut self, event: Event<'_>) {
        self.engine.on_event(&event, &mut self.out);
    }

    pub fn control(&mut self, control: Control) {
        let meta = self.meta();
        self.event(Event::Control(meta, control));
    }

    /// The last trade's price, without which nothing is entered.
    pub fn last_px(&mut self, px: i64) {
        let meta = self.meta();
        self.event(Event::Ticker(Ticker {
            meta,
            mark_px: Money::ZERO,
            index_px: Money::ZERO,
            last_px: Ticks::new(px),
            funding_rate: Rate::ZERO,
            next_funding: Nanos::ZERO,
        }));
    }

    pub fn balance(&mut self, whole: i128) {
        let wallet = Money::new(whole * Money::ONE.get());
        let meta = self.meta();
        self.event(Event::Balance(Balance { meta, wallet, available: wallet }));
    }

    pub fn status(&mut self, state: BookState) {
        let meta = self.meta();
        self.event(Event::BookStatus(BookStatus { meta, state }));
    }

    pub fn book(&mut self, bid: i64, ask: i64) {
        let meta = self.meta();
        let level = |px| [Level { px: Ticks::new(px), qty: Lots::new(100) }];
        let (bids, asks) = (level(bid), level(ask));
        self.event(Event::Book(Book { meta, kind: BookKind::Snapshot, cross_seq: meta.seq, bids: &bids, asks: &asks }));
    }

    pub fn go_live(&mut self) {
        self.last_px(600_000);
        self.status(BookState::Live);
        self.book(600_000, 600_001);
    }

    pub fn ack(&mut self, op: Op, client_id: ClientOrderId) {
        let meta = self.meta();
        self.event(Event::Ack(Ack { meta, op, client_id, request: self.request(client_id), limit_left: u32::MAX }));
    }

    /// Number of the last request for an order.
    pub fn request(&self, client_id: ClientOrderId) -> u16 {
        self.engine.orders.get(client_id).map_or(0, |order| order.request)
    }

    /// Answers every request as it was asked, and what follows from that; returns them all.
    pub fn answered(&mut self) -> Vec<Command> {
        let mut all = Vec::new();
        while !self.out.is_empty() {
            for command in std::mem::take(&mut self.out) {
                let (op, status) = match command.kind {
                    CommandKind::New => (Op::Create, OrderStatus::New),
                    CommandKind::NewStop => (Op::Create, OrderStatus::Untriggered),
                    CommandKind::Amend if command.trigger.is_some() => (Op::Amend, OrderStatus::Untriggered),
                    CommandKind::Amend => (Op::Amend, OrderStatus::New),
                    _ => (Op::Cancel, OrderStatus::Cancelled),
                };
                self.ack(op, command.client_id);
                self.told(&command, status, 0);
                all.push(command);
            }
        }
        all
    }

    pub fn reject(&mut self, op: Op, kind: RejectKind, client_id: ClientOrderId) {
        let meta = self.meta();
        self.event(Event::Reject(Reject { meta, op, kind, client_id, request: self.request(client_id), code: 1 }));
    }

    pub fn told(&mut self, command: &Command, status: OrderStatus, filled: i64) {
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

    pub fn fill(&mut self, command: &Command, exec_id: u128, qty: i64) {
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

    pub fn timer(&mut self, later_ns: u64) {
        self.now += later_ns;
        let meta = self.meta();
        self.event(Event::Timer(meta));
    }

    pub fn taken(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.out)
    }
}

pub(super) fn quoting() -> Fixed {
    Fixed { distance: 5, qty: 10, ..Fixed::default() }
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
    rig.last_px(600_000);
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
    assert_eq!(rig.engine.instruments[0].exposure.open.map(|side| side.qty), [Lots::new(10); 2]);
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
    rig.last_px(1_000);
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
    assert_eq!(rig.engine.instruments[0].exposure.open, [OpenSide::default(); 2]);
}

#[test]
fn own_quotes_never_meet() {
    let mut rig = Rig::new(Fixed { distance: 0, qty: 10, ..Fixed::default() });
    rig.go_live();
    for command in rig.taken() {
        rig.ack(Op::Create, command.client_id);
    }
    // The market jumps far above our ask: the ask must move before the bid may.
    rig.book(600_500, 600_501);
    let moved = rig.taken();
    assert_eq!(moved.iter().map(|c| c.side).collect::<Vec<_>>(), [Side::Ask]);
    // Until it has moved, the bid waits; it is not refused again and again.
    for _ in 0..3 {
        rig.book(600_500, 600_501);
    }
    assert_eq!((rig.taken(), rig.engine.report().refused), (vec![], vec![]));
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
    let mut rig = Rig::new(Fixed { distance: 5, qty: 3, ..Fixed::default() });
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
    let mut rig = Rig::new(Fixed { distance: 5, qty: 3, ..Fixed::default() });
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

/// A filled bid of 10 lots at 600 USDT in all, and a market that then stands at `bid`.
fn held_at(bid: i64, breakers: BreakerConfig) -> Rig {
    let mut rig = Rig::with(quoting(), |config| {
        config.breakers = breakers;
        config.risk.day_loss_max = Money::new(1_000 * Money::ONE.get());
        config.risk.drawdown_max = config.risk.day_loss_max;
    });
    rig.go_live();
    let placed = rig.answered();
    rig.told(&placed[0], OrderStatus::Filled, 10);
    rig.fill(&placed[0], 1, 10);
    rig.answered();
    rig.last_px(bid);
    rig.book(bid, bid + 1);
    rig.answered();
    // Later, so that the rate budget has an order left.
    rig.timer(1_000_000_000);
    rig
}

fn breakers(position_loss_max: i128) -> BreakerConfig {
    let position_loss_max = Money::new(position_loss_max * Money::ONE.get());
    BreakerConfig { position_loss_max, heat_max: Money::new(i128::MAX), ..BreakerConfig::default() }
}

#[test]
fn a_loss_shrinks_then_holds_then_closes_then_ends() {
    // Ten lots of 0.001 lose 0.001 USDT a tick of 0.1: about 4 USDT.
    for (max, level) in [(10, BreakerLevel::Normal), (6, BreakerLevel::Shrink), (3, BreakerLevel::ReduceOnly)] {
        let rig = held_at(596_000, breakers(max));
        assert_eq!(rig.engine.breaker_levels()[0], level, "{max}");
        assert!(rig.engine.mode() == Mode::Trading);
        match level {
            BreakerLevel::Normal => assert!(rig.out.is_empty(), "{:?}", rig.out),
            BreakerLevel::Shrink => {
                assert!(
                    rig.out.len() == 2 && rig.out.iter().all(|c| c.qty == Lots::new(5)),
                    "sizes should be halved: {:?}",
                    rig.out
                );
            }
            _ => {
                let grows = rig.out.iter().filter(|c| c.side == Side::Bid && c.kind != CommandKind::Cancel);
                assert_eq!(grows.count(), 0, "nothing that grows: {:?}", rig.out);
            }
        }
    }
}

#[test]
fn a_breaker_at_flatten_closes_the_position_within_its_bound_and_then_lets_go() {
    let mut rig = held_at(596_000, breakers(2));
    assert_eq!(rig.engine.breaker_levels()[0], BreakerLevel::Flatten);
    // Its orders are cancelled first; the closing order leaves once none is open.
    let sent = rig.answered();
    assert!(sent.iter().any(|c| c.kind == CommandKind::Cancel) && sent.iter().all(|c| !c.reduce_only), "{sent:?}");
    rig.timer(200_000_000);
    let closing: Vec<_> = rig.out.drain(..).collect();
    assert_eq!(closing.len(), 1, "{closing:?}");
    let order = closing[0];
    // Half a percent below the bid.
    assert_eq!((order.side, order.qty, order.px), (Side::Ask, Lots::new(10), Ticks::new(596_000 - 2_980)));
    assert_eq!((order.tif, order.reduce_only), (TimeInForce::ImmediateOrCancel, true));
    rig.timer(200_000_000);
    assert!(rig.out.is_empty(), "one order at a time: {:?}", rig.out);
    rig.ack(Op::Create, order.client_id);
    rig.told(&order, OrderStatus::Cancelled, 4);
    rig.fill(&order, 2, 4);
    rig.timer(200_000_000);
    let rest: Vec<_> = rig.out.drain(..).collect();
    assert_eq!((rest.len(), rest[0].qty), (1, Lots::new(6)), "{rest:?}");
    rig.ack(Op::Create, rest[0].client_id);
    rig.told(&rest[0], OrderStatus::Filled, 6);
    rig.fill(&rest[0], 3, 6);
    rig.out.clear();
    assert_eq!(rig.engine.mode(), Mode::Trading);
}

#[test]
fn a_breaker_at_halt_ends_trading_and_closes_what_is_held() {
    let mut config = breakers(1_000);
    config.heat_max = Money::new(Money::ONE.get() / 2);
    let mut rig = held_at(596_000, config);
    assert_eq!(
        rig.engine.breaker_levels(),
        [BreakerLevel::Normal, BreakerLevel::Halt, BreakerLevel::Normal, BreakerLevel::Normal]
    );
    assert_eq!((rig.engine.mode(), rig.engine.risk_state().halted()), (Mode::Stopping, Some(Layer::Heat)));
    rig.answered();
    rig.timer(200_000_000);
    assert!(rig.out.len() == 1 && rig.out[0].reduce_only, "{:?}", rig.out);
    rig.control(Control::Arm);
    assert_eq!(rig.engine.mode(), Mode::Stopping, "it takes a person and another run");
}

#[test]
fn a_flatten_closes_in_parts_that_an_order_may_have() {
    let mut rig = held_at(600_000, breakers(1_000));
    rig.answered();
    rig.engine.instruments[0].spec.max_qty = Lots::new(7);
    rig.control(Control::Flatten);
    rig.answered();
    rig.timer(200_000_000);
    let qty: Vec<_> = rig.out.iter().map(|c| (c.kind, c.qty, c.reduce_only)).collect();
    assert_eq!(qty, [(CommandKind::New, Lots::new(7), true)]);
}

#[test]
fn what_is_carried_over_holds_in_the_next_run() {
    let mut rig = Rig::new(quoting());
    let state = RiskState {
        day: day_of(Nanos::new(rig.now)),
        day_equity: Money::new(10_300 * Money::ONE.get()),
        peak_equity: Money::new(10_300 * Money::ONE.get()),
        net: Money::new(-4_999 * Money::ONE.get()),
        trades: 3,
        levels: [BreakerLevel::Normal; 4],
    };
    for (key, value) in state.values() {
        let meta = rig.meta();
        rig.event(Event::Carried(Carried { meta, key, value }));
    }
    assert_eq!(rig.engine.risk_state(), state);
    rig.go_live();
    // 300 lost today of 200 allowed.
    assert!(rig.out.is_empty());
    assert!(rig.engine.report().refused.iter().any(|(refusal, _)| *refusal == Refusal::DayLoss));
    assert_eq!(rig.engine.report().capital[1], Money::new(Money::ONE.get()));
    rig.timer(200_000_000);
    assert_eq!(rig.engine.breaker_levels()[2], BreakerLevel::Flatten, "150 % of the day's limit");
}

#[test]
fn errors_of_a_minute_hold_trading_and_it_comes_back() {
    let mut rig = Rig::with(quoting(), |config| config.breakers.errors_max = 2);
    rig.go_live();
    for order in rig.out.drain(..).collect::<Vec<_>>() {
        rig.reject(Op::Create, RejectKind::Refused, order.client_id);
    }
    rig.timer(200_000_000);
    assert_eq!(rig.engine.breaker_levels()[3], BreakerLevel::ReduceOnly);
    rig.now += 130 * 1_000_000_000;
    rig.timer(200_000_000);
    rig.now += 61 * 1_000_000_000;
    rig.timer(200_000_000);
    assert_eq!(rig.engine.breaker_levels()[3], BreakerLevel::Normal);
}

/// What takes is filled or gone before a later order arrives: it is nothing that this one could meet. What rests is.
#[test]
fn an_order_that_takes_is_no_order_to_be_met() {
    let mut rig = Rig::new(Fixed { take: true, ..Fixed::default() });
    rig.go_live();
    assert_eq!((rig.out.len(), rig.out[0].side, rig.out[0].px), (1, Side::Bid, Ticks::new(600_001)));
    rig.engine.strategy = Fixed { qty: 10, ..Fixed::default() };
    rig.book(599_999, 600_000);
    let quotes: Vec<_> = rig.taken().into_iter().skip(1).map(|c| (c.side, c.px)).collect();
    assert_eq!(quotes, [(Side::Bid, Ticks::new(599_999)), (Side::Ask, Ticks::new(600_000))]);
    rig.engine.strategy.take = true;
    rig.now += 1_000_000_000;
    rig.book(599_999, 600_000);
    assert!(rig.engine.report().refused.contains(&(Refusal::SelfTrade, 1)), "{:?}", rig.engine.report().refused);
}

#[test]
fn a_rejected_order_that_was_filled_after_all_is_no_error_any_more() {
    let mut rig = Rig::new(quoting());
    rig.go_live();
    let order = rig.taken()[0];
    // With executions that have not arrived: the table keeps it.
    rig.told(&order, OrderStatus::Rejected, 5);
    rig.timer(50_000_000);
    assert_eq!(rig.engine.report().orders.rejected, 1);
    rig.told(&order, OrderStatus::Filled, 10);
    rig.fill(&order, 1, 10);
    rig.timer(50_000_000);
    assert_eq!(rig.engine.report().orders.rejected, 0, "it should have counted, and count no more");
    assert_eq!(rig.engine.breaker_levels()[3], BreakerLevel::Normal);
}

impl Rig {
    /// An engine that needs the ghost's permission, which lapses after a second.
    fn by_permit(strategy: Fixed) -> Self {
        Self::with(strategy, |config| config.risk.permit_fresh_ns = Some(1_000_000_000))
    }

    fn permit(&mut self, value: f64) {
        let meta = self.meta();
        self.event(Event::Signal(Signal { meta, slot: BoardSlot::GhostPermit as u16, value }));
    }
}

#[test]
fn without_the_ghosts_permission_nothing_is_entered_and_nothing_is_refused_again_and_again() {
    let mut rig = Rig::by_permit(quoting());
    rig.go_live();
    rig.engine.strategy.take = true;
    for n in 0..100 {
        rig.book(600_000 + n, 600_001 + n);
    }
    assert!(rig.taken().is_empty());
    assert_eq!(rig.engine.report().refused, [], "what is not wanted is not refused");
    // What does not come from a wish meets the check.
    let (id, px, tif) = (InstrumentId(0), Ticks::new(600_000), TimeInForce::PostOnly);
    let Rig { engine, out, .. } = &mut rig;
    assert_eq!(engine.place(id, Side::Bid, px, Lots::new(10), tif, false, out), Err(Refusal::Ghost));
    for value in [0.0, 0.5, -1.0, 2.0, f64::NAN, f64::INFINITY] {
        rig.permit(value);
        rig.book(600_000, 600_001);
        assert!(rig.taken().is_empty(), "{value} is no permission");
    }
    rig.event(Event::Signal(Signal { meta: Meta::default(), slot: 999, value: 1.0 }));
    rig.book(600_000, 600_001);
    assert!(rig.taken().is_empty(), "nor is a slot that is not the ghost's");
}

#[test]
fn permission_lets_orders_out_until_it_is_taken_back_or_has_lapsed() {
    let mut rig = Rig::by_permit(quoting());
    rig.go_live();
    for ends_by_word in [true, false] {
        // The rate budget fills up again.
        rig.timer(1_000_000_000);
        rig.permit(1.0);
        rig.book(600_000, 600_001);
        let sent = rig.answered();
        assert_eq!(sent.iter().filter(|c| c.kind == CommandKind::New).count(), 2, "{sent:?}");
        if ends_by_word {
            rig.permit(0.0);
        } else {
            rig.timer(900_000_000);
            assert!(rig.answered().is_empty(), "it is still fresh");
            // Each word counts anew.
            rig.permit(1.0);
            rig.timer(900_000_000);
            assert!(rig.answered().is_empty(), "it is fresh again");
            rig.timer(200_000_000);
        }
        let cancels = rig.answered();
        assert!(cancels.len() == 2 && cancels.iter().all(|c| c.kind == CommandKind::Cancel), "{cancels:?}");
        rig.book(600_010, 600_011);
        assert!(rig.taken().is_empty());
    }
}

#[test]
fn what_shrinks_a_position_passes_without_permission() {
    let mut rig = Rig::by_permit(quoting());
    rig.go_live();
    rig.permit(1.0);
    rig.book(600_000, 600_001);
    let bid = rig.answered()[0];
    rig.fill(&bid, 1, 4);
    rig.answered();
    rig.permit(0.0);
    rig.answered();
    rig.book(600_020, 600_021);
    let sent = rig.answered();
    // Four are held: four of the ten are offered, and nothing is bid for.
    assert_eq!(
        sent.iter().map(|c| (c.kind, c.side, c.qty)).collect::<Vec<_>>(),
        [(CommandKind::New, Side::Ask, Lots::new(4))]
    );
    rig.fill(&sent[0], 2, 3);
    rig.book(600_020, 600_021);
    assert!(rig.taken().iter().all(|c| c.side == Side::Ask), "one is left");
    assert_eq!(rig.engine.report().refused, []);
}

#[test]
fn a_quote_that_would_grow_the_position_by_now_is_withdrawn_though_the_strategy_says_nothing_new() {
    let mut rig = Rig::by_permit(quoting());
    rig.go_live();
    rig.permit(1.0);
    rig.book(600_000, 600_001);
    let bid = rig.answered()[0];
    rig.fill(&bid, 1, 4);
    rig.permit(0.0);
    rig.answered();
    rig.book(600_000, 600_001);
    let ask = rig.answered().pop().unwrap();
    assert_eq!((ask.side, ask.qty), (Side::Ask, Lots::new(4)));
    rig.engine.strategy.qty = 0;
    // Three of the four are sold otherwise.
    rig.fill(&Command { client_id: ClientOrderId(999), ..ask }, 2, 3);
    let amended = rig.answered();
    assert_eq!(amended.iter().map(|c| (c.kind, c.qty)).collect::<Vec<_>>(), [(CommandKind::Amend, Lots::new(1))]);
    // The rate budget fills up again.
    rig.timer(1_000_000_000);
    assert!(rig.answered().is_empty());
    rig.fill(&Command { client_id: ClientOrderId(999), ..ask }, 3, 1);
    let cancels = rig.answered();
    assert!(cancels.len() == 1 && cancels[0].kind == CommandKind::Cancel, "{cancels:?}");
}

proptest::proptest! {
    /// Whatever permission and position do: an order that leaves without permission shrinks what is held at that moment.
    #[test]
    fn nothing_that_grows_leaves_without_permission(
        steps in proptest::collection::vec((0u8..7, 0i64..12, 1i64..11), 1..120)
    ) {
        let mut rig = Rig::by_permit(quoting());
        rig.go_live();
        let mut working: Vec<Command> = Vec::new();
        for (step, (what, move_by, qty)) in steps.into_iter().enumerate() {
            match what {
                0 => rig.permit(1.0),
                1 => rig.permit(0.0),
                2 => rig.timer(300_000_000),
                3 if !working.is_empty() => {
                    let order = working[move_by as usize % working.len()];
                    rig.fill(&order, 1_000 + step as u128, qty.min(order.qty.get()));
                }
                4 => rig.engine.strategy.take = true,
                _ => rig.book(600_000 + move_by, 600_001 + move_by),
            }
            let position = rig.engine.instruments[0].exposure.position.get();
            let is_permitted = rig.engine.risk.is_permitted(rig.engine.now);
            for command in rig.taken() {
                if matches!(command.kind, CommandKind::New | CommandKind::Amend) && !is_permitted {
                    proptest::prop_assert!(position.signum() == -command.side.sign(), "{:?} at {}", command, position);
                }
                if command.kind == CommandKind::New {
                    if !is_permitted {
                        proptest::prop_assert!(command.qty.get() <= position.abs(), "{:?} at {}", command, position);
                    }
                    working.push(command);
                }
            }
        }
    }
}
