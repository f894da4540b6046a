//! A linear and an inverse contract in one session: wallets, limits and breakers of each currency by itself.

use super::tests::Fixed;
use super::*;
use crate::types::{
    BookKind, Command, CommandKind, InstrumentSpec, Level, Link, LinkKind, Lots, Product, Rate, Step, Symbol, VenueId,
};

const LINEAR: u16 = 0;
const INVERSE: u16 = 1;

struct Two {
    engine: Engine<Fixed>,
    out: Vec<Command>,
    now: u64,
    seq: u64,
}

fn coins(text: &str) -> Money {
    Money::parse(text.as_bytes()).unwrap()
}

/// Limits for orders of up to a thousandth of a coin, and a hundredth committed.
fn btc() -> CurrencyLimits {
    let risk = RiskLimits {
        order_value_max: coins("0.001"),
        position_value_max: coins("0.002"),
        gross_value_max: coins("0.002"),
        net_value_max: coins("0.002"),
        capital: coins("0.01"),
        day_loss_max: coins("0.0007"),
        drawdown_max: coins("0.0007"),
        ..RiskLimits::default()
    };
    let limit = coins("0.0002");
    CurrencyLimits { currency: Currency::new(b"BTC").unwrap(), risk, position_loss_max: limit, heat_max: coins("1") }
}

impl Two {
    fn new(currencies: Vec<CurrencyLimits>, strategy: Fixed) -> Self {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let spec = |name: &str, product, lot: &str| {
            let symbol = Symbol::new(name.as_bytes()).unwrap();
            InstrumentSpec::new(VenueId::BYBIT, symbol, product, step("0.1"), step(lot)).unwrap()
        };
        let specs = vec![spec("BTCUSDT", Product::Linear, "0.001"), spec("BTCUSD", Product::Inverse, "1")];
        let config = EngineConfig {
            limits: Limits { window_ticks: 128, far_levels_max: 64, orders_max: 16, exec_ids_max: 64 },
            currencies,
            rates: RateLimits { create_per_s: 1_000, amend_per_s: 1_000, cancel_per_s: 1_000, address_per_s: 10_000 },
            ..EngineConfig::default()
        };
        let engine = Engine::new(&InstrumentTable::new(specs).unwrap(), config, strategy);
        let mut two = Self { engine, out: Vec::new(), now: 1_000_000_000, seq: 0 };
        for (id, wallet) in [(LINEAR, "10000"), (INVERSE, "0.5")] {
            let (meta, wallet) = (two.meta(id), coins(wallet));
            two.event(Event::Balance(Balance { meta, wallet, available: wallet }));
            two.event(Event::BookStatus(BookStatus { meta, state: BookState::Live }));
        }
        let meta = two.meta(LINEAR);
        for kind in [LinkKind::Market, LinkKind::Private, LinkKind::Trade] {
            two.event(Event::Link(Link { meta, kind, is_up: true }));
        }
        two.event(Event::Control(meta, Control::Arm));
        two
    }

    fn meta(&mut self, id: u16) -> Meta {
        self.now += 1_000_000;
        self.seq += 1;
        Meta { recv: Nanos::new(self.now), seq: self.seq, instrument: InstrumentId(id), ..Meta::default() }
    }

    fn event(&mut self, event: Event<'_>) {
        self.engine.on_event(&event, &mut self.out);
    }

    /// The market of an instrument, and what the strategy makes of it.
    fn market(&mut self, id: u16, bid: i64) -> Vec<Command> {
        self.out.clear();
        let meta = self.meta(id);
        let (mark_px, index_px, last_px) = (Money::ZERO, Money::ZERO, Ticks::new(bid));
        let (funding_rate, next_funding) = (Rate::ZERO, Nanos::ZERO);
        self.event(Event::Ticker(Ticker { meta, mark_px, index_px, last_px, funding_rate, next_funding }));
        let meta = self.meta(id);
        let level = |px| [Level { px: Ticks::new(px), qty: Lots::new(100) }];
        let (bids, asks) = (level(bid), level(bid + 1));
        let book = Book { meta, kind: BookKind::Snapshot, cross_seq: meta.seq, bids: &bids, asks: &asks };
        self.event(Event::Book(book));
        std::mem::take(&mut self.out)
    }

    fn fill(&mut self, id: u16, side: Side, px: i64, qty: i64) {
        let meta = self.meta(id);
        self.event(Event::Fill(Fill {
            meta,
            client_id: ClientOrderId(999),
            exec_id: self.seq.into(),
            side,
            is_maker: true,
            px: Ticks::new(px),
            qty: Lots::new(qty),
            fee: Money::ZERO,
            is_fee_final: true,
            is_query: false,
            venue_order_id: 0,
        }));
    }

    fn timer(&mut self) {
        let meta = self.meta(LINEAR);
        self.event(Event::Timer(meta));
    }

    fn refused(&self, refusal: Refusal) -> u64 {
        self.engine.report().refused.iter().find(|(it, _)| *it == refusal).map_or(0, |(_, count)| *count)
    }
}

fn quoting(qty: i64) -> Fixed {
    Fixed { distance: 5, qty, ..Fixed::default() }
}

#[test]
fn without_limits_in_its_currency_an_instrument_is_not_traded() {
    let mut two = Two::new(Vec::new(), quoting(10));
    assert_eq!(two.market(INVERSE, 600_000), [], "nothing leaves");
    assert_eq!(two.refused(Refusal::Currency), 2);
    assert_eq!(two.market(LINEAR, 600_000).len(), 2, "the other currency has limits");
    assert_eq!(two.refused(Refusal::Currency), 2);
}

#[test]
fn each_currency_has_its_own_limits_and_sums() {
    // Ten dollars are 0.000166… coins, and ten lots of the linear one 600 dollars.
    let mut two = Two::new(vec![btc()], quoting(10));
    assert_eq!(two.market(INVERSE, 600_000).len(), 2);
    assert_eq!(two.market(LINEAR, 600_000).len(), 2);
    let report = two.engine.report();
    let [usdt, coin] = &report.currencies[..] else { panic!("{:?}", report.currencies) };
    assert_eq!((usdt.currency.as_str(), coin.currency.as_str()), ("USDT", "BTC"));
    assert_eq!((usdt.wallet, coin.wallet), (Some(coins("10000")), Some(coins("0.5"))));
    // A fifth of the value and costs: of 600.005 dollars, and of 10 / 59,999.5 coins at the lower price.
    let committed = [usdt.capital[0], coin.capital[0]];
    assert!(committed[0] > coins("120") && committed[0] < coins("130"), "{}", committed[0]);
    assert!(committed[1] > coins("0.0000333") && committed[1] < coins("0.000037"), "{}", committed[1]);
    // A hundred dollars are more than an order may be worth in coins, and nothing for the limits in dollars.
    let mut two = Two::new(vec![btc()], quoting(100));
    assert_eq!(two.market(INVERSE, 600_000), []);
    assert_eq!(two.refused(Refusal::Notional), 2);
}

#[test]
fn what_is_worth_more_coins_at_a_lower_price_counts_there() {
    // Sixty dollars at 60,000.0 are 0.001 coins, the most of an order: a bid below is more.
    let mut two = Two::new(vec![btc()], quoting(60));
    let sent = two.market(INVERSE, 600_000);
    assert_eq!(sent.iter().map(|it| it.side).collect::<Vec<_>>(), [Side::Ask]);
    assert_eq!(two.refused(Refusal::Notional), 1);
}

#[test]
fn a_loss_in_coins_stops_its_instrument_and_is_no_loss_in_dollars() {
    let mut two = Two::new(vec![btc()], quoting(1));
    two.market(LINEAR, 600_000);
    two.market(INVERSE, 600_000);
    // 100 dollars bought at 60,000 lose 100/54,000 − 100/60,000 = 0.000185 coins as the price falls to 54,000.
    two.fill(INVERSE, Side::Bid, 600_000, 100);
    two.market(INVERSE, 540_000);
    two.timer();
    let levels = |two: &Two| two.engine.instruments.iter().map(|it| it.level).collect::<Vec<_>>();
    assert_eq!(levels(&two), [BreakerLevel::Normal, BreakerLevel::Shrink]);
    // At 50,000 it has lost 0.000333: beyond one and a half of its limit, it is closed.
    two.market(INVERSE, 500_000);
    two.out.clear();
    two.timer();
    assert_eq!(levels(&two)[usize::from(LINEAR)], BreakerLevel::Normal);
    assert_eq!(levels(&two)[usize::from(INVERSE)], BreakerLevel::Flatten);
    let closing = two.out.iter().find(|it| it.kind == CommandKind::New);
    assert_eq!(closing.map(|it| (it.instrument.0, it.side, it.reduce_only)), None, "its quotes are cancelled first");
    assert!(two.out.iter().all(|it| it.instrument.0 == INVERSE && it.kind == CommandKind::Cancel), "{:?}", two.out);
    // The day's loss is measured in coins, too, and the worst of all currencies stops everything.
    two.market(INVERSE, 300_000);
    two.timer();
    assert_eq!(two.engine.mode(), Mode::Stopping, "0.001666 are more than twice the limit of a day");
    let report = two.engine.report();
    assert_eq!(report.currencies[0].pnl.total, Money::ZERO);
    assert_eq!(report.currencies[1].pnl.total.get() / 1_000_000, -1_666);
}
