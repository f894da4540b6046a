//! The sum of [`Risk::committed`] against an oracle that tries every order of fills.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::super::{BreakerLevel, Exposure, Flow, Refusal, Request, Risk, RiskLimits};
use super::*;
use crate::book::Touch;
use crate::types::{Level, Nanos, Side, Step, Symbol, VenueId};

const LEVERAGE: i128 = 5;
const ONE: i128 = Rate::ONE.get() as i128;

fn whole(units: i128) -> Money {
    Money::new(units * Money::ONE.get())
}

fn limits(capital: i128) -> RiskLimits {
    RiskLimits {
        capital: whole(capital),
        leverage_e2: LEVERAGE as u32 * 100,
        taker_fee: Rate::new(55_000),
        extra_fee: Rate::new(20_000),
        funding_cap: Rate::new(375_000),
        order_value_max: whole(1_000_000),
        position_value_max: whole(1_000_000),
        gross_value_max: whole(1_000_000),
        net_value_max: whole(1_000_000),
        open_orders_max: 100,
        duplicate_within_ns: 0,
        collar: Rate::new(10_000_000),
        trade_collar: Rate::ONE,
        spread_max: Rate::ONE,
        ..RiskLimits::default()
    }
}

fn spec(idx: usize, product: Product) -> InstrumentSpec {
    let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
    let symbol = Symbol::new(format!("X{idx}").as_bytes()).unwrap();
    let mut spec = InstrumentSpec::new(VenueId::BYBIT, symbol, product, step("0.01"), step("0.01")).unwrap();
    if product == Product::Inverse {
        // A lot is worth one coin at a hundred, as one of the others is worth one unit of money there.
        spec = spec.with_contract_value(whole(10_000)).unwrap();
    }
    spec.min_notional = Money::ZERO;
    spec
}

/// Of a price and another at which it may fill, the one at which that is worth more.
fn dearer(spec: &InstrumentSpec, px: i64, other: i64) -> i64 {
    if spec.is_inverse() { px.min(other) } else { px.max(other) }
}

/// An order of ours as the venue has it.
#[derive(Clone, Copy, Debug)]
struct Open {
    side: Side,
    px: i64,
    qty: i64,
    /// A sale that takes may be filled above its limit, as far as this; a purchase of an inverse contract below it.
    px_best: i64,
    /// Price and quantity of an amendment under way.
    asked: Option<(i64, i64)>,
}

/// What isolated margin does with executions, written down without regard to speed.
#[derive(Clone, Copy, Debug, Default)]
struct Pocket {
    qty: i64,
    /// Cost in the money's unit, positive.
    cost: i128,
    /// What was lost for good, in the money's unit: losses of closed parts, at most their margin, and fees.
    lost: i128,
}

impl Pocket {
    fn fill(&mut self, spec: &InstrumentSpec, leverage: i128, side: Side, px: i64, qty: i64) {
        let sign = side.sign();
        let value = |qty: i64| spec.notional(Ticks::new(px), Lots::new(qty)).get();
        let fee = |value: i128| (value * 55_000 + ONE - 1) / ONE;
        let closed = if self.qty.signum() == -sign { qty.min(self.qty.abs()) } else { 0 };
        if closed > 0 {
            let cost = self.cost * i128::from(closed) / i128::from(self.qty.abs());
            let got = value(closed);
            // What is worth less was lost by who is long, and of an inverse contract by who is short.
            let loss = if (self.qty > 0) != spec.is_inverse() { cost - got } else { got - cost };
            // The venue closes the position before it has lost more than its margin.
            let most = cost / leverage;
            self.lost += loss.min(most) + fee(got.min(cost + most));
            self.cost -= cost;
            self.qty += closed * sign;
        }
        let opened = qty - closed;
        self.qty += opened * sign;
        self.cost += value(opened);
        self.lost += fee(value(opened));
    }

    /// Margin, and fee, extra fee and funding of the dearest value before liquidation.
    fn committed(&self, leverage: i128) -> i128 {
        let value = self.cost;
        let margin = value / leverage;
        margin + (value + margin) * (55_000 + 20_000 + 375_000) / ONE
    }
}

/// The most that is committed or lost at any instant, over every order in which the open orders may fill, each in whole at
/// any of its prices or never.
fn worst(spec: &InstrumentSpec, leverage: i128, pocket: Pocket, open: &[Open]) -> i128 {
    let now = pocket.committed(leverage) + pocket.lost;
    (0..open.len())
        .flat_map(|idx| {
            let order = open[idx];
            let rest: Vec<_> = open.iter().enumerate().filter(|(i, _)| *i != idx).map(|(_, o)| *o).collect();
            let fills =
                [(order.px, order.qty), (order.px_best, order.qty), order.asked.unwrap_or((order.px, order.qty))];
            fills.map(move |(px, qty)| {
                let mut pocket = pocket;
                pocket.fill(spec, leverage, order.side, px, qty);
                worst(spec, leverage, pocket, &rest)
            })
        })
        .fold(now, i128::max)
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Place {
        idx: usize,
        is_bid: bool,
        off: i64,
        qty: i64,
        takes: bool,
    },
    Amend {
        pick: usize,
        off: i64,
        qty: i64,
    },
    /// The venue carried out the amendment, or refused it.
    Answer {
        pick: usize,
        is_done: bool,
    },
    Fill {
        pick: usize,
        share: i64,
    },
    Cancel {
        pick: usize,
    },
}

/// Orders of up to `qty_max` lots: 58 of them fit into the capital.
fn steps(qty_max: i64) -> impl Strategy<Value = Vec<Move>> {
    let step = prop_oneof![
        4 => (0usize..2, any::<bool>(), 0i64..300, 1i64..qty_max, any::<bool>())
            .prop_map(|(idx, is_bid, off, qty, takes)| Move::Place { idx, is_bid, off, qty, takes }),
        2 => (0usize..8, 0i64..300, 1i64..qty_max).prop_map(|(pick, off, qty)| Move::Amend { pick, off, qty }),
        2 => (0usize..8, any::<bool>()).prop_map(|(pick, is_done)| Move::Answer { pick, is_done }),
        3 => (0usize..8, 1i64..=4).prop_map(|(pick, share)| Move::Fill { pick, share }),
        1 => (0usize..8).prop_map(|pick| Move::Cancel { pick }),
    ];
    proptest::collection::vec(step, 1..60)
}

const USUAL: [Product; 2] = [Product::Linear, Product::Spot];
const INVERSE: [Product; 2] = [Product::Inverse, Product::Inverse];

/// Two instruments, what the risk books of them, and what is true.
struct World {
    risk: Risk,
    specs: [InstrumentSpec; 2],
    exposures: [Exposure; 2],
    pockets: [Pocket; 2],
    open: Vec<(usize, Open)>,
    passed: usize,
}

impl World {
    fn new(capital: i128, products: [Product; 2]) -> Self {
        let mut risk = Risk::new(limits(capital));
        risk.on_equity(whole(1_000_000), Nanos::new(1));
        risk.set_trading(true);
        Self {
            risk,
            specs: [spec(0, products[0]), spec(1, products[1])],
            exposures: [Exposure::default(); 2],
            pockets: [Pocket::default(); 2],
            open: Vec::new(),
            passed: 0,
        }
    }

    fn leverage(&self, idx: usize) -> i128 {
        if self.specs[idx].product == Product::Spot { 1 } else { LEVERAGE }
    }

    fn touch() -> Touch {
        let level = |px| Some(Level { px: Ticks::new(px), qty: Lots::new(100) });
        Touch { bid: level(10_000), ask: level(10_001) }
    }

    /// Quantity and value as the engine counts them.
    fn counted(&self, idx: usize, order: &Open) -> (Lots, Money) {
        let spec = &self.specs[idx];
        let value = |px: i64, qty: i64| spec.notional(Ticks::new(dearer(spec, px, order.px_best)), Lots::new(qty));
        let (px, qty) = order.asked.unwrap_or((order.px, order.qty));
        (Lots::new(order.qty.max(qty)), value(order.px, order.qty).max(value(px, qty)))
    }

    fn dearness(&self, idx: usize, order: &Open) -> Ticks {
        let spec = &self.specs[idx];
        let px = order.asked.map_or(order.px, |(px, _)| dearer(spec, px, order.px));
        spec.dearness(Ticks::new(dearer(spec, px, order.px_best)))
    }

    fn change(&mut self, at: usize, after: Option<Open>) {
        let (idx, before) = self.open[at];
        let old = self.counted(idx, &before);
        let (new, px) =
            after.map_or(((Lots::ZERO, Money::ZERO), Ticks::ZERO), |o| (self.counted(idx, &o), self.dearness(idx, &o)));
        self.exposures[idx].open[before.side as usize].replace(old, new, px);
        match after {
            Some(order) => self.open[at].1 = order,
            None => drop(self.open.remove(at)),
        }
        self.recount(idx);
    }

    fn recount(&mut self, idx: usize) {
        self.risk.recount(&mut self.exposures[idx], &self.specs[idx], Ticks::new(10_001));
    }

    fn ask(&mut self, idx: usize, order: &Open, replaces: (Lots, Money)) -> bool {
        let touch = Self::touch();
        let own = self.open.iter().filter(|(i, o)| *i == idx && o.side != order.side);
        let prices = own.map(|(_, o)| (o.px, o.asked.map_or(o.px, |(px, _)| px)));
        let own_opposite = match order.side {
            Side::Bid => prices.map(|(a, b)| a.min(b)).min(),
            Side::Ask => prices.map(|(a, b)| a.max(b)).max(),
        };
        let request = Request {
            spec: &self.specs[idx],
            side: order.side,
            px: Ticks::new(order.px),
            qty: Lots::new(order.qty),
            reduce_only: false,
            is_closing: false,
            level: BreakerLevel::Normal,
            replaces,
            px_floor: if order.px_best != order.px { Ticks::new(order.px_best) } else { Ticks::ZERO },
            now: Nanos::new(1),
            is_book_live: true,
            touch: &touch,
            confirmed_at: Nanos::new(1),
            last_px: Some(Ticks::new(10_000)),
            exposure: &self.exposures[idx],
            takes: false,
            flow: &Flow::default(),
            own_opposite_px: own_opposite.map(Ticks::new),
        };
        self.risk.check(&request).is_ok()
    }

    fn take(&mut self, step: Move) {
        match step {
            Move::Place { idx, is_bid, off, qty, takes } => {
                let side = if is_bid { Side::Bid } else { Side::Ask };
                let px = if is_bid != takes { 10_000 - off } else { 10_001 + off };
                let highest = self.risk.highest_bid(&Self::touch()).get();
                let lowest = self.risk.lowest_ask(&Self::touch()).get();
                let px_best = match self.specs[idx].is_inverse() {
                    true if takes && is_bid => lowest.min(px),
                    false if takes && !is_bid => highest.max(px),
                    _ => px,
                };
                let order = Open { side, px, qty, px_best, asked: None };
                if self.open.len() < 5 && self.ask(idx, &order, (Lots::ZERO, Money::ZERO)) {
                    self.passed += 1;
                    let (counted, px) = (self.counted(idx, &order), self.dearness(idx, &order));
                    let open = &mut self.exposures[idx].open[side as usize];
                    *open = open.with(counted.0, counted.1, px);
                    self.open.push((idx, order));
                    self.recount(idx);
                }
            }
            Move::Amend { pick, off, qty } => {
                let Some(&(idx, order)) = self.open.get(pick) else { return };
                if order.asked.is_some() || order.px_best != order.px {
                    return;
                }
                let px = if order.side == Side::Bid { 10_000 - off } else { 10_001 + off };
                let replaces = self.counted(idx, &order);
                if self.ask(idx, &Open { px, qty, px_best: px, ..order }, replaces) {
                    // No dearer than either.
                    let px_best = if self.specs[idx].is_inverse() { order.px.max(px) } else { order.px.min(px) };
                    self.change(pick, Some(Open { px_best, asked: Some((px, qty)), ..order }));
                }
            }
            Move::Answer { pick, is_done } => {
                let Some(&(_, order)) = self.open.get(pick) else { return };
                if let Some((px, qty)) = order.asked {
                    let (px, qty) = if is_done { (px, qty) } else { (order.px, order.qty) };
                    self.change(pick, Some(Open { px, qty, px_best: px, asked: None, ..order }));
                }
            }
            Move::Fill { pick, share } => {
                let Some(&(idx, order)) = self.open.get(pick) else { return };
                if order.asked.is_some() {
                    return;
                }
                let qty = (order.qty * share / 4).max(1);
                let px = if share % 2 == 0 { order.px_best } else { order.px };
                let (spec, leverage) = (self.specs[idx], self.leverage(idx));
                self.pockets[idx].fill(&spec, leverage, order.side, px, qty);
                let exposure = &mut self.exposures[idx];
                exposure.position = Lots::new(self.pockets[idx].qty);
                let cost = self.pockets[idx].cost;
                exposure.cost = Money::new(cost * i128::from(exposure.position.get().signum()));
                let rest = order.qty - qty;
                self.change(pick, (rest > 0).then_some(Open { qty: rest, ..order }));
                let lost: i128 = self.pockets.iter().map(|pocket| pocket.lost).sum();
                self.risk.on_net(Money::new(-lost));
            }
            Move::Cancel { pick } => {
                if pick < self.open.len() {
                    self.change(pick, None);
                }
            }
        }
    }

    /// The most that can ever be committed from here on.
    fn oracle(&self) -> i128 {
        let of = |idx: usize| {
            let open: Vec<_> = self.open.iter().filter(|(i, _)| *i == idx).map(|(_, o)| *o).collect();
            worst(&self.specs[idx], self.leverage(idx), self.pockets[idx], &open)
        };
        of(0) + of(1)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever is asked for and however it fills, never more than the capital is at stake.
    #[test]
    fn twelve_are_twelve(steps in steps(4_000)) {
        let mut world = World::new(12, USUAL);
        for step in steps {
            world.take(step);
            let most = world.oracle();
            prop_assert!(most <= whole(12).get(), "{most} of 12 at {step:?}: {:?} {:?}", world.pockets, world.open);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The same of twelve coins, of which inverse contracts are worth more at lower prices.
    #[test]
    fn twelve_coins_are_twelve(steps in steps(100)) {
        let mut world = World::new(12, INVERSE);
        for step in steps {
            world.take(step);
            let most = world.oracle();
            prop_assert!(most <= whole(12).get(), "{most} of 12 at {step:?}: {:?} {:?}", world.pockets, world.open);
        }
    }
}

/// With the check taken out the oracle finds more than the capital: it is no test that cannot fail.
#[test]
fn without_the_check_twelve_are_more() {
    for products in [USUAL, INVERSE] {
        let config = ProptestConfig { failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let found = runner.run(&steps(4_000), |steps| {
            let mut world = World::new(12, products);
            world.risk.taken_out = Some(Refusal::Capital);
            for step in steps {
                world.take(step);
                prop_assert!(world.oracle() <= whole(12).get());
            }
            Ok(())
        });
        assert!(found.is_err(), "{products:?}");
    }
}

/// The reserve is no wider than it must be: with one order more than fits, the oracle finds the breach.
#[test]
fn what_fits_is_let_through_and_no_more() {
    let order = |qty| Open { side: Side::Bid, px: 10_000, qty, px_best: 10_000, asked: None };
    let most = (1..100_000)
        .take_while(|&qty| World::new(12, USUAL).ask(0, &order(qty), (Lots::ZERO, Money::ZERO)))
        .count() as i64;
    let spec = spec(0, Product::Linear);
    let committed = |qty| worst(&spec, LEVERAGE, Pocket::default(), &[order(qty)]);
    let (at_most, beyond) = (committed(most), committed(most + 1));
    assert!(at_most <= whole(12).get() && beyond > whole(12).get(), "{at_most} and {beyond}");
    // 12 / (1/5 + 0.055 % + (0.055 % + 0.02 % + 0.375 %)·1.2) = 58.26.
    assert_eq!(spec.notional(Ticks::new(10_000), Lots::new(most)).to_string(), "58");
}

#[test]
fn a_loss_takes_from_the_capital_and_a_profit_adds_its_share() {
    let compounding = Compounding { reinvest: Rate::new(50_000_000), floor: whole(8) };
    let capital = |net: i128| compounding.capital(whole(12), whole(net));
    assert_eq!([capital(0), capital(4), capital(-3), capital(-4)], [whole(12), whole(14), whole(9), whole(8)]);
    assert_eq!([capital(-5), capital(-100)], [Money::ZERO; 2]);
    assert_eq!(compounding.capital(whole(12), Money::new(-1)), Money::new(whole(12).get() - 1));
    assert_eq!(compounding.capital(whole(12), Money::new(3)), Money::new(whole(12).get() + 1));
    let mut risk = Risk::new(RiskLimits { compounding, ..limits(12) });
    risk.on_net(whole(-3));
    assert_eq!(risk.capital(), whole(9));
}
