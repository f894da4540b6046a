use super::*;
use crate::types::{Level, Step, Symbol, VenueId};

fn spec() -> InstrumentSpec {
    let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
    let symbol = Symbol::new(b"BTCUSDT").unwrap();
    let mut spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
    spec.min_notional = Money::new(5 * Money::ONE.get());
    spec
}

struct Case {
    spec: InstrumentSpec,
    touch: Touch,
    exposure: Exposure,
    limits: RiskLimits,
    equity: i128,
    trading: bool,
    live: bool,
    side: Side,
    px: i64,
    qty: i64,
    reduce_only: bool,
    now: u64,
    own_opposite: Option<i64>,
}

fn case() -> Case {
    let level = |px| Some(Level { px: Ticks::new(px), qty: Lots::new(100) });
    Case {
        spec: spec(),
        touch: Touch { bid: level(600_000), ask: level(600_001) },
        exposure: Exposure::default(),
        limits: RiskLimits::default(),
        equity: 10_000,
        trading: true,
        live: true,
        side: Side::Bid,
        px: 600_000,
        qty: 10,
        reduce_only: false,
        now: 1_000_000_000,
        own_opposite: None,
    }
}

impl Case {
    fn check(&self) -> Option<Refusal> {
        let mut risk = Risk::new(self.limits);
        risk.on_equity(Money::new(10_000 * Money::ONE.get()));
        risk.on_equity(Money::new(self.equity * Money::ONE.get()));
        risk.set_trading(self.trading);
        let mut exposure = self.exposure;
        risk.recount(&mut exposure, &self.spec, Ticks::new(600_000));
        let request = Request {
            spec: &self.spec,
            side: self.side,
            px: Ticks::new(self.px),
            qty: Lots::new(self.qty),
            reduce_only: self.reduce_only,
            replaces: Lots::ZERO,
            now: Nanos::new(self.now),
            is_book_live: self.live,
            touch: &self.touch,
            confirmed_at: Nanos::new(1_000_000_000),
            exposure: &exposure,
            own_opposite_px: self.own_opposite.map(Ticks::new),
        };
        let first = risk.checks(&request).into_iter().find(|check| check.answer == Answer::Refused);
        assert_eq!(first.map(|check| check.check), risk.verdict(&request), "the long form should say the same");
        let verdict = risk.check(&request).err();
        let counted: u64 = risk.refused().map(|(_, count)| count).sum();
        assert_eq!(counted, u64::from(verdict.is_some()));
        verdict
    }
}

fn whole(units: i128) -> Money {
    Money::new(units * Money::ONE.get())
}

#[test]
fn an_ordinary_order_passes() {
    assert_eq!(case().check(), None);
}

#[test]
fn every_reason_is_given_for_its_cause_alone() {
    let checks: Vec<(Refusal, Case)> = vec![
        (Refusal::KillSwitch, Case { trading: false, ..case() }),
        (Refusal::DayLoss, Case { equity: 9_800, ..case() }),
        (
            Refusal::Drawdown,
            Case {
                equity: 9_800,
                limits: RiskLimits { day_loss_max: whole(5_000), ..RiskLimits::default() },
                ..case()
            },
        ),
        (Refusal::BookNotLive, Case { live: false, ..case() }),
        (Refusal::BookNotLive, Case { touch: Touch { bid: None, ..case().touch }, ..case() }),
        (Refusal::StaleBook, Case { now: 7_000_000_000, ..case() }),
        (Refusal::Product, Case { spec: InstrumentSpec { product: Product::Inverse, ..spec() }, ..case() }),
        (Refusal::Quantity, Case { qty: 0, ..case() }),
        (Refusal::Quantity, Case { spec: InstrumentSpec { max_qty: Lots::new(9), ..spec() }, ..case() }),
        (Refusal::Notional, Case { qty: 17, ..case() }),
        (Refusal::Notional, Case { spec: InstrumentSpec { min_notional: whole(601), ..spec() }, ..case() }),
        (Refusal::Collar, Case { px: 587_000, ..case() }),
        (Refusal::Collar, Case { px: 613_000, ..case() }),
        (Refusal::ReduceOnly, Case { reduce_only: true, ..case() }),
        (Refusal::OpenOrders, Case { exposure: Exposure { open_orders: 8, ..Exposure::default() }, ..case() }),
        (Refusal::Position, Case { exposure: Exposure { position: Lots::new(80), ..Exposure::default() }, ..case() }),
        (
            Refusal::GrossExposure,
            Case { limits: RiskLimits { gross_value_max: whole(500), ..RiskLimits::default() }, ..case() },
        ),
        (Refusal::Capital, Case { limits: RiskLimits { capital: whole(100), ..RiskLimits::default() }, ..case() }),
        (
            Refusal::Leverage,
            Case {
                equity: 100,
                limits: RiskLimits {
                    day_loss_max: whole(99_999),
                    drawdown_max: whole(99_999),
                    ..RiskLimits::default()
                },
                ..case()
            },
        ),
        (Refusal::SelfTrade, Case { own_opposite: Some(600_000), ..case() }),
        (
            Refusal::Duplicate,
            Case {
                exposure: Exposure {
                    last_new: Some((Side::Bid, Ticks::new(600_000), Lots::new(10), Nanos::new(999_999_000))),
                    ..Exposure::default()
                },
                ..case()
            },
        ),
    ];
    for (want, case) in &checks {
        assert_eq!(case.check(), Some(*want));
    }
}

#[test]
fn an_order_that_shrinks_the_position_passes_the_limits_that_stopped_it_growing() {
    let mut case = case();
    case.exposure.position = Lots::new(-200);
    case.equity = 9_000;
    case.limits.capital = whole(1);
    case.reduce_only = true;
    assert_eq!(case.check(), None);
    case.exposure.open[0] = Lots::new(195);
    assert_ne!(case.check(), None, "what is open already takes it to flat");
}

#[test]
fn the_long_form_measures_everything_in_the_order_of_the_checks() {
    let case = case();
    let mut risk = Risk::new(case.limits);
    risk.on_equity(whole(10_000));
    let request = Request {
        spec: &case.spec,
        side: Side::Ask,
        px: Ticks::new(599_000),
        qty: Lots::new(10),
        reduce_only: false,
        replaces: Lots::ZERO,
        now: Nanos::new(1_000_000_500),
        is_book_live: true,
        touch: &case.touch,
        confirmed_at: Nanos::new(1_000_000_000),
        exposure: &case.exposure,
        own_opposite_px: Some(Ticks::new(599_000)),
    };
    let checks = risk.checks(&request);
    assert!(checks.windows(2).all(|two| two[0].check < two[1].check || two[1].check == Refusal::Position));
    let of = |refusal| checks.iter().find(|check| check.check == refusal).unwrap();
    // Not armed: refused at the first check, and the others are told all the same.
    assert_eq!(of(Refusal::KillSwitch).answer, Answer::Refused);
    assert_eq!(of(Refusal::StaleBook).measured, Some(Measure::Nanos(500)));
    assert_eq!(of(Refusal::Collar).measured, Some(Measure::Px(Ticks::new(1_000))));
    assert_eq!(of(Refusal::Collar).bound, Bound::AtMost(Measure::Px(Ticks::new(12_000))));
    assert_eq!(of(Refusal::Position).measured, Some(Measure::Money(Money::new(600_001 * 10 * 100_000_000))));
    assert_eq!((of(Refusal::SelfTrade).answer, of(Refusal::Duplicate).answer), (Answer::Refused, Answer::Passed));
    assert_eq!(of(Refusal::ReduceOnly).answer, Answer::Waived);
}

proptest::proptest! {
    /// The long form and the verdict agree about any order in any state.
    #[test]
    fn the_first_check_that_refuses_is_the_verdict(
        flags in 0u8..64, px in 590_000i64..612_000, qty in -1i64..40, replaces in 0i64..20, position in -60i64..60,
        open in (0i64..60, 0i64..60), open_orders in 0u32..10, equity in 300i128..12_000, age_ms in 0u64..10_000,
        touch in (599_990i64..600_010, 599_990i64..600_010), own in 599_000i64..601_000, last_px in 599_999i64..600_002,
        limits in (100i128..3_000, 500i128..6_000, 500i128..20_000, 50i128..2_000, 1u32..800),
    ) {
        let is = |bit: u8| flags & (1 << bit) != 0;
        let spec = spec();
        let (order, position_max, gross, capital, leverage_e2) = limits;
        let limits = RiskLimits {
            order_value_max: whole(order), position_value_max: whole(position_max), gross_value_max: whole(gross),
            capital: whole(capital), leverage_e2, day_loss_max: whole(5_000), drawdown_max: whole(6_000),
            ..RiskLimits::default()
        };
        let mut risk = Risk::new(limits);
        risk.on_equity(whole(10_000));
        risk.on_equity(whole(equity));
        risk.set_trading(flags % 16 != 0);
        let level = |px| Some(Level { px: Ticks::new(px), qty: Lots::new(100) });
        let touch = Touch { bid: level(touch.0), ask: level(touch.1).filter(|_| flags != 33) };
        let now = Nanos::new(20_000_000_000);
        let side = if is(0) { Side::Bid } else { Side::Ask };
        let mut exposure = Exposure {
            position: Lots::new(position), open: [Lots::new(open.0), Lots::new(open.1)], open_orders,
            last_new: is(1).then_some((side, Ticks::new(last_px), Lots::new(10), now)), ..Exposure::default()
        };
        risk.recount(&mut exposure, &spec, Ticks::new(600_000));
        let px = if is(5) { last_px } else { px };
        let request = Request {
            spec: &spec, side, px: Ticks::new(px), qty: Lots::new(if is(5) { 10 } else { qty }), reduce_only: is(2),
            replaces: Lots::new(if is(3) { replaces } else { 0 }), now, is_book_live: flags % 7 != 6, touch: &touch,
            confirmed_at: now.saturating_sub(age_ms * 1_000_000), exposure: &exposure,
            own_opposite_px: is(4).then_some(Ticks::new(own)),
        };
        let first = risk.checks(&request).into_iter().find(|check| check.answer == Answer::Refused);
        proptest::prop_assert_eq!(first.map(|check| check.check), risk.verdict(&request));
    }
}

proptest::proptest! {
    /// Whatever was let through, filled in any combination, stays within the limit of the position.
    #[test]
    fn positions_stay_within_their_limit(steps in proptest::collection::vec((proptest::bool::ANY, 1i64..40, 0u8..4), 1..200)) {
        let limits = RiskLimits { position_value_max: whole(3_000), ..RiskLimits::default() };
        let spec = spec();
        let mut risk = Risk::new(limits);
        risk.on_equity(whole(100_000));
        risk.set_trading(true);
        let touch = case().touch;
        let mut exposure = Exposure::default();
        for (is_bid, qty, what) in steps {
            let side = if is_bid { Side::Bid } else { Side::Ask };
            let idx = side as usize;
            if what == 0 {
                // Part of what is open is filled.
                let filled = Lots::new(qty).min(exposure.open[idx]);
                exposure.open[idx] = exposure.open[idx].saturating_sub(filled);
                exposure.position = exposure.position.saturating_add(Lots::new(filled.get() * side.sign()));
            } else {
                let request = Request {
                    spec: &spec, side, px: Ticks::new(600_000), qty: Lots::new(qty), reduce_only: false,
                    replaces: Lots::ZERO, now: Nanos::new(1), is_book_live: true, touch: &touch,
                    confirmed_at: Nanos::new(1), exposure: &exposure, own_opposite_px: None,
                };
                if risk.check(&request).is_ok() {
                    exposure.open[idx] = exposure.open[idx].saturating_add(Lots::new(qty));
                }
            }
            risk.recount(&mut exposure, &spec, Ticks::new(600_000));
            proptest::prop_assert!(spec.notional(Ticks::new(600_000), exposure.worst_qty()) <= limits.position_value_max);
        }
    }
}
