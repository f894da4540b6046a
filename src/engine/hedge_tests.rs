//! Hedges as the engine carries them out; see [`crate::risk::Hedger`] for how much holds what.

use super::tests::Fixed;
use super::*;
use crate::strategy::Take;
use crate::types::{
    BookKind, Command, CommandKind, InstrumentSpec, Level, Link, LinkKind, Lots, OrderStatus, OrderUpdate, Product,
    Rate, Step, Symbol, VenueId,
};

/// Two instruments that move together, the second one twice as far; the second is kept for hedging.
struct Pair {
    engine: Engine<Fixed>,
    out: Vec<Command>,
    now: u64,
    seq: u64,
    /// Of the first instrument, in ticks.
    mid: i64,
}

impl Pair {
    fn new() -> Self {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let spec = |name: &str| {
            let symbol = Symbol::new(name.as_bytes()).unwrap();
            let spec =
                InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
            InstrumentSpec { taker_fee: Rate::new(1_000), ..spec }
        };
        let table = InstrumentTable::new(vec![spec("AAA"), spec("HHH")]).unwrap();
        let config = EngineConfig {
            limits: Limits { window_ticks: 128, far_levels_max: 64, orders_max: 16, exec_ids_max: 64 },
            hedge: Some(HedgeConfig {
                with: vec![Symbol::new(b"HHH").unwrap()],
                bound: Money::new(100 * Money::ONE.get()),
                unwind: Money::new(50 * Money::ONE.get()),
                samples_min: 20,
                ..HedgeConfig::default()
            }),
            ..EngineConfig::default()
        };
        let engine = Engine::new(&table, config, Fixed::default());
        let mut pair = Self { engine, out: Vec::new(), now: 1_000_000_000, seq: 0, mid: 100_000 };
        let wallet = Money::new(10_000 * Money::ONE.get());
        let meta = pair.meta(0);
        pair.event(Event::Balance(Balance { meta, wallet, available: wallet }));
        for kind in [LinkKind::Market, LinkKind::Private, LinkKind::Trade] {
            pair.event(Event::Link(Link { meta, kind, is_up: true }));
        }
        pair.event(Event::Control(meta, Control::Arm));
        for id in 0..2 {
            let meta = pair.meta(id);
            pair.event(Event::BookStatus(BookStatus { meta, state: BookState::Live }));
        }
        // The hedge moves twice as far, in a share of its price.
        for at in 0..60i64 {
            pair.moves((at * 7919 % 41 - 20) * 10);
        }
        pair
    }

    fn meta(&mut self, id: u16) -> Meta {
        self.now += 1_000;
        self.seq += 1;
        Meta { recv: Nanos::new(self.now), seq: self.seq, instrument: InstrumentId(id), ..Meta::default() }
    }

    fn event(&mut self, event: Event<'_>) {
        self.engine.on_event(&event, &mut self.out);
    }

    /// A second passes, in which the first instrument moves to so many ticks above its start.
    fn moves(&mut self, ticks: i64) {
        self.now += 1_000_000_000;
        for (id, mid) in [(0, self.mid + ticks), (1, self.mid + 2 * ticks)] {
            let meta = self.meta(id);
            let level = |px| [Level { px: Ticks::new(px), qty: Lots::new(100) }];
            let (bids, asks) = (level(mid), level(mid + 1));
            let book = Book { meta, kind: BookKind::Snapshot, cross_seq: meta.seq, bids: &bids, asks: &asks };
            self.event(Event::Book(book));
            let meta = self.meta(id);
            let (mark_px, index_px, last_px) = (Money::ZERO, Money::ZERO, Ticks::new(mid));
            let (funding_rate, next_funding) = (Rate::ZERO, Nanos::ZERO);
            self.event(Event::Ticker(Ticker { meta, mark_px, index_px, last_px, funding_rate, next_funding }));
        }
        let meta = self.meta(0);
        self.event(Event::Timer(meta));
    }

    /// Everything that was asked is filled whole.
    fn filled(&mut self) -> Vec<(u16, Side, i64, bool)> {
        let all = std::mem::take(&mut self.out);
        for command in &all {
            let meta = self.meta(command.instrument.0);
            let &Command { client_id, side, px, qty, .. } = command;
            self.event(Event::Fill(Fill {
                meta,
                client_id,
                exec_id: self.seq.into(),
                side,
                is_maker: false,
                px,
                qty,
                fee: Money::ZERO,
                is_fee_final: true,
                is_query: false,
                venue_order_id: 0,
            }));
            let (venue_order_id, status, reason, asked_at) = (1, OrderStatus::Filled, 0, Nanos::ZERO);
            let filled = qty;
            self.event(Event::Order(OrderUpdate {
                meta,
                client_id,
                venue_order_id,
                side,
                status,
                px,
                qty,
                filled,
                reason,
                asked_at,
            }));
        }
        let told = |c: &Command| (c.instrument.0, c.side, c.qty.get(), c.reduce_only);
        all.iter().inspect(|c| assert_eq!(c.kind, CommandKind::New)).map(told).collect()
    }

    /// Buys (or sells) so many lots of the first instrument.
    fn trade(&mut self, qty: i64) {
        let side = if qty > 0 { Side::Bid } else { Side::Ask };
        let touch = *self.engine.view(InstrumentId(0)).unwrap().touch;
        let px = touch.side(side.opposite()).unwrap().px;
        let take = Take { side, px, qty: Lots::new(qty.abs()), reduce_only: false };
        self.engine.take(InstrumentId(0), &take, &mut self.out);
        assert_eq!(self.filled().len(), 1);
    }
}

#[test]
fn an_exposure_is_held_followed_and_let_go() {
    let mut pair = Pair::new();
    assert!(pair.out.is_empty());
    // Eight lots of 10 are 80: within the bound.
    pair.trade(8);
    pair.moves(10);
    assert!(pair.out.is_empty());
    // Forty are 400. The hedge moves twice as far, so that half is sold.
    pair.trade(32);
    pair.moves(0);
    let sent = pair.filled();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(matches!(sent[0], (1, Side::Ask, 19..=21, false)), "{sent:?}");
    for at in 0..5 {
        pair.moves(at);
        assert!(pair.out.is_empty(), "it is close enough");
    }
    let held = &pair.engine.report().hedge.unwrap().held[0];
    assert_eq!(held.symbols.map(|symbol| symbol.to_string()), ["AAA", "HHH"]);
    assert!((490_000..=510_000).contains(&held.slope.beta_e6), "{held:?}");
    // Half of it is sold: so is half of the hedge bought back, and only reduced.
    pair.trade(-20);
    pair.moves(5);
    let sent = pair.filled();
    assert!(matches!(sent[..], [(1, Side::Bid, 9..=11, true)]), "{sent:?}");
    // Fifteen less leave 50 or so: all of the hedge is taken off.
    pair.trade(-16);
    pair.moves(0);
    assert_eq!(pair.filled().len(), 1);
    assert_eq!(pair.engine.report().positions[1].position, Lots::ZERO);
    assert_eq!(pair.engine.report().hedge.unwrap().counts.unwound, 1);
}

#[test]
fn the_strategy_does_not_see_a_hedge_and_a_refused_one_is_tried_again() {
    let mut pair = Pair::new();
    pair.engine.strategy = Fixed { distance: 5, qty: 1, ..Fixed::default() };
    pair.moves(0);
    assert!(std::mem::take(&mut pair.out).iter().all(|command| command.instrument == InstrumentId(0)));
    let mut pair = Pair::new();
    pair.trade(40);
    pair.engine.risk.set_trading(false);
    pair.moves(0);
    assert!(pair.out.is_empty(), "no check is passed by");
    pair.engine.risk.set_trading(true);
    pair.moves(0);
    assert_eq!(pair.filled().len(), 1);
}
