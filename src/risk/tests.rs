use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::types::{Level, Product, Step, Symbol, VenueId};

fn spec() -> InstrumentSpec {
    let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
    let symbol = Symbol::new(b"BTCUSDT").unwrap();
    let mut spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
    spec.min_notional = Money::new(5 * Money::ONE.get());
    spec
}

const NOW: Nanos = Nanos::new(1_000_000_000);

/// Late enough for what is old.
const NOW_LATE: u64 = 20_000_000_000;

const NOTHING: (Lots, Money) = (Lots::ZERO, Money::ZERO);

fn open(qty: i64, px: i64) -> OpenSide {
    let qty = Lots::new(qty);
    OpenSide::default().with(qty, spec().notional(Ticks::new(px), qty), Ticks::new(px))
}

fn open_of(spec: &InstrumentSpec, qty: i64, px: i64) -> OpenSide {
    let (qty, px) = (Lots::new(qty), Ticks::new(px));
    OpenSide::default().with(qty, spec.notional(px, qty), spec.dearness(px))
}

/// An inverse contract of which a lot is worth about as much of its coin as one of [`spec`] is of its money.
fn inverse_spec() -> InstrumentSpec {
    let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
    let symbol = Symbol::new(b"BTCUSD").unwrap();
    let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Inverse, step("0.1"), step("1")).unwrap();
    let mut spec = spec.with_contract_value(whole(3_600_000)).unwrap();
    spec.min_notional = whole(5);
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
    confirmed_at: u64,
    own_opposite: Option<i64>,
    last: Option<i64>,
    is_closing: bool,
    level: BreakerLevel,
    takes: bool,
    flow: Flow,
    /// Since when the ghost permits trading, in nanoseconds; `None`: it does not.
    permitted: Option<u64>,
    /// Share that slow risk allows, and its age in nanoseconds; `None`: it is switched off.
    slow: Option<(f64, u64)>,
}

const SLOW: SlowLimits = SlowLimits { fresh_for_ns: 2_000_000_000, dead_after_ns: 10_000_000_000 };

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
        confirmed_at: 1_000_000_000,
        own_opposite: None,
        last: Some(600_000),
        is_closing: false,
        level: BreakerLevel::Normal,
        takes: false,
        flow: Flow::default(),
        permitted: None,
        slow: None,
    }
}

impl Case {
    fn check(&self) -> Option<Refusal> {
        self.verdict(None)
    }

    fn verdict(&self, taken_out: Option<Refusal>) -> Option<Refusal> {
        let mut risk = Risk::new(RiskLimits { slow: self.slow.map(|_| SLOW), ..self.limits });
        if let Some((scale, age_ns)) = self.slow {
            risk.on_slow_scale(scale, Nanos::new(self.now.saturating_sub(age_ns)));
        }
        risk.taken_out = taken_out;
        risk.on_equity(Money::new(10_000 * Money::ONE.get()), NOW);
        risk.on_equity(Money::new(self.equity * Money::ONE.get()), NOW);
        risk.set_trading(self.trading);
        risk.on_permit(self.permitted.is_some(), Nanos::new(self.permitted.unwrap_or(0)));
        let mut exposure = self.exposure;
        risk.recount(&mut exposure, &self.spec, Ticks::new(600_000));
        let request = Request {
            spec: &self.spec,
            side: self.side,
            px: Ticks::new(self.px),
            qty: Lots::new(self.qty),
            reduce_only: self.reduce_only,
            is_closing: self.is_closing,
            level: self.level,
            replaces: NOTHING,
            px_floor: Ticks::ZERO,
            now: Nanos::new(self.now),
            is_book_live: self.live,
            touch: &self.touch,
            confirmed_at: Nanos::new(self.confirmed_at),
            last_px: self.last.map(Ticks::new),
            exposure: &exposure,
            takes: self.takes,
            flow: &self.flow,
            own_opposite_px: self.own_opposite.map(Ticks::new),
        };
        let first = risk.checks(&request).into_iter().find(|check| check.answer == Answer::Refused);
        assert!(
            taken_out.is_some() || first.map(|check| check.check) == risk.verdict(&request),
            "the long form should say the same"
        );
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

/// A flow that breaks one rule alone.
fn breaking(rule: Refusal, side: Side) -> Flow {
    let limits = FairLimits::default();
    let mut flow = Flow::default();
    match rule {
        Refusal::OrderToTrade => (0..1_001).for_each(|n| flow.on_request(Nanos::new(1_000_000_000 + n * 20_000_000))),
        Refusal::QuoteStuffing => (0..200).for_each(|_| flow.on_request(NOW)),
        Refusal::Layering => {
            flow.on_fill(side.opposite(), Lots::new(1), NOW);
            (0..10).for_each(|_| flow.on_withdrawal(side, Lots::new(2), NOW, &limits));
        }
        _ => (0..20).for_each(|_| flow.on_take(side, Ticks::new(600_000 - 100_000 * side.sign()), NOW)),
    }
    flow
}

/// Limits by which the ghost's permission is needed, and lapses after 100 ns.
fn by_permit() -> RiskLimits {
    RiskLimits { permit_fresh_ns: Some(100), ..RiskLimits::default() }
}

#[test]
fn a_fresh_permission_lets_an_order_pass_and_one_that_was_taken_back_does_not() {
    for (permitted, now, want) in [
        (Some(NOW.get() - 100), NOW.get(), None),
        (Some(NOW.get()), NOW.get(), None),
        (Some(NOW.get() - 100), NOW.get() + 1, Some(Refusal::Ghost)),
        (None, NOW.get(), Some(Refusal::Ghost)),
    ] {
        assert_eq!(Case { limits: by_permit(), permitted, now, ..case() }.check(), want, "{permitted:?} at {now}");
    }
    let mut risk = Risk::new(by_permit());
    risk.on_permit(true, NOW);
    assert!(risk.is_permitted(NOW));
    risk.on_permit(false, NOW);
    assert!(!risk.is_permitted(NOW));
    assert!(Risk::new(RiskLimits::default()).is_permitted(NOW), "where none is needed");
}

/// For every reason an order that it alone stops.
fn causes() -> Vec<(Refusal, Case)> {
    vec![
        (Refusal::KillSwitch, Case { trading: false, ..case() }),
        (
            Refusal::DayLoss,
            Case {
                equity: 9_800,
                limits: RiskLimits { drawdown_max: whole(5_000), ..RiskLimits::default() },
                ..case()
            },
        ),
        (
            Refusal::Drawdown,
            Case {
                equity: 9_800,
                limits: RiskLimits { day_loss_max: whole(5_000), ..RiskLimits::default() },
                ..case()
            },
        ),
        (Refusal::Breaker, Case { level: BreakerLevel::ReduceOnly, ..case() }),
        (Refusal::Ghost, Case { limits: by_permit(), ..case() }),
        (Refusal::Ghost, Case { limits: by_permit(), permitted: Some(NOW.get() - 101), ..case() }),
        (Refusal::BookNotLive, Case { live: false, ..case() }),
        (Refusal::BookNotLive, Case { touch: Touch { bid: None, ..case().touch }, ..case() }),
        (Refusal::CrossedBook, Case { touch: Touch { ask: case().touch.bid, ..case().touch }, ..case() }),
        (
            Refusal::Spread,
            Case {
                touch: Touch { bid: Some(Level { px: Ticks::new(593_900), qty: Lots::new(1) }), ..case().touch },
                px: 593_900,
                ..case()
            },
        ),
        (Refusal::TradeCollar, Case { last: Some(571_000), ..case() }),
        (Refusal::TradeCollar, Case { last: Some(632_000), ..case() }),
        (Refusal::TradeCollar, Case { last: None, ..case() }),
        (Refusal::StaleBook, Case { now: 7_000_000_000, ..case() }),
        (Refusal::Currency, Case { limits: RiskLimits { is_given: false, ..RiskLimits::default() }, ..case() }),
        (Refusal::Quantity, Case { spec: InstrumentSpec { max_qty: Lots::new(9), ..spec() }, ..case() }),
        (Refusal::Quantity, Case { qty: 0, ..case() }),
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
        // A fiftieth of 20,000 is less than the order's 600; half of it would do, were it not as good as dead.
        (Refusal::SlowRisk, Case { slow: Some((0.02, 0)), ..case() }),
        (Refusal::SlowRisk, Case { slow: Some((f64::NAN, 0)), ..case() }),
        (Refusal::SlowRisk, Case { slow: Some((0.5, 9_900_000_000)), now: NOW_LATE, confirmed_at: NOW_LATE, ..case() }),
        (
            Refusal::NetExposure,
            Case { limits: RiskLimits { net_value_max: whole(500), ..RiskLimits::default() }, ..case() },
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
        (Refusal::OrderToTrade, Case { flow: breaking(Refusal::OrderToTrade, Side::Bid), ..case() }),
        (Refusal::QuoteStuffing, Case { flow: breaking(Refusal::QuoteStuffing, Side::Bid), ..case() }),
        (Refusal::Layering, Case { flow: breaking(Refusal::Layering, Side::Bid), ..case() }),
        (
            Refusal::MomentumIgnition,
            Case { flow: breaking(Refusal::MomentumIgnition, Side::Bid), takes: true, ..case() },
        ),
    ]
}

#[test]
fn every_reason_is_given_for_its_cause_alone() {
    for (want, case) in causes() {
        assert_eq!(case.check(), Some(want));
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
    case.last = None;
    assert_eq!(case.check(), None, "a position may be left when no trade is known");
    case.exposure.open[0] = open(195, 600_000);
    assert_ne!(case.check(), None, "what is open already takes it to flat");
}

#[test]
fn the_long_form_measures_everything_in_the_order_of_the_checks() {
    let case = case();
    let mut risk = Risk::new(case.limits);
    risk.on_equity(whole(10_000), NOW);
    let request = Request {
        spec: &case.spec,
        side: Side::Ask,
        px: Ticks::new(599_000),
        qty: Lots::new(10),
        reduce_only: false,
        is_closing: false,
        level: BreakerLevel::Normal,
        replaces: NOTHING,
        px_floor: Ticks::ZERO,
        now: Nanos::new(1_000_000_500),
        is_book_live: true,
        touch: &case.touch,
        confirmed_at: Nanos::new(1_000_000_000),
        last_px: None,
        exposure: &case.exposure,
        takes: false,
        flow: &Flow::default(),
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
    assert_eq!((of(Refusal::ReduceOnly).answer, of(Refusal::TradeCollar).answer), (Answer::Waived, Answer::Refused));
}

/// An order in a state, of every kind: most limits lie where they are met about as often as not.
#[derive(Clone, Debug)]
struct Drawn {
    flags: u8,
    qty: i64,
    px: i64,
    replaces: i64,
    position: i64,
    open: (i64, i64),
    open_orders: u32,
    equity: i128,
    age_ms: u64,
    bid: i64,
    spread: i64,
    own: i64,
    last: i64,
    /// Limits: order, position, gross, net, capital, day's loss, drawdown.
    money: [i128; 7],
    leverage_e2: u32,
    /// Share that slow risk allows, in millionths, and its age in milliseconds.
    slow: Option<(u32, u64)>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let order = (any::<u8>(), 0i64..45, 590_000i64..612_000, 0i64..20, -60i64..60, (0i64..60, 0i64..60));
    let state = (0u32..10, 300i128..12_000, 0u64..10_000, 599_990i64..600_000, -2i64..9_000);
    let rest = (599_000i64..601_000, 560_000i64..640_000, 1u32..2_000);
    let loose = || prop_oneof![1 => 100i128..3_000, 3 => Just(1_000_000i128)];
    let slow = proptest::option::of((0u32..4_000, 0u64..12_000));
    (order, state, rest, proptest::array::uniform7(loose()), slow).prop_map(|(order, state, rest, money, slow)| Drawn {
        slow,
        flags: order.0,
        qty: order.1,
        px: order.2,
        replaces: order.3,
        position: order.4,
        open: order.5,
        open_orders: state.0,
        equity: state.1,
        age_ms: state.2,
        bid: state.3,
        spread: state.4,
        own: rest.0,
        last: rest.1,
        leverage_e2: rest.2,
        money,
    })
}

/// What the long form says, and the verdict; with one check taken out of the latter.
fn both_forms(d: &Drawn, taken_out: Option<Refusal>) -> (Option<Refusal>, Option<Refusal>) {
    let is = |bit: u8| d.flags & (1 << bit) != 0;
    let is_inverse = d.replaces % 3 == 1;
    let spec = if is_inverse { inverse_spec() } else { spec() };
    let [order, position, gross, net, capital, day_loss, drawdown] = d.money.map(whole);
    let limits = RiskLimits {
        is_given: !d.flags.is_multiple_of(23),
        order_value_max: order,
        position_value_max: position,
        gross_value_max: gross,
        net_value_max: net,
        capital,
        leverage_e2: d.leverage_e2,
        day_loss_max: day_loss,
        drawdown_max: drawdown,
        permit_fresh_ns: d.flags.is_multiple_of(5).then_some(100),
        slow: d.slow.map(|_| SLOW),
        ..RiskLimits::default()
    };
    let mut risk = Risk::new(limits);
    if let Some((millionths, age_ms)) = d.slow {
        let at = Nanos::new(20_000_000_000).saturating_sub(age_ms * 1_000_000);
        risk.on_slow_scale(f64::from(millionths) / 1e6, at);
    }
    risk.taken_out = taken_out;
    risk.on_equity(whole(10_000), NOW);
    risk.on_equity(whole(11_000), NOW);
    risk.on_equity(whole(d.equity), NOW);
    risk.set_trading(!d.flags.is_multiple_of(16));
    let permitted_at = Nanos::new(20_000_000_000 - u64::from(d.open_orders) * 25);
    risk.on_permit(!d.flags.is_multiple_of(3), permitted_at);
    let level = |px| Some(Level { px: Ticks::new(px), qty: Lots::new(100) });
    let touch = Touch { bid: level(d.bid), ask: level(d.bid + d.spread).filter(|_| d.flags != 33) };
    let now = Nanos::new(20_000_000_000);
    let side = if is(0) { Side::Bid } else { Side::Ask };
    let last_new = is(1).then_some((side, Ticks::new(599_999), Lots::new(10), now));
    let mut exposure = Exposure {
        position: Lots::new(d.position),
        cost: spec.notional(Ticks::new(600_000), Lots::new(d.position)),
        open: [open_of(&spec, d.open.0, 600_000), open_of(&spec, d.open.1, 600_001)],
        open_orders: d.open_orders,
        last_new,
        ..Exposure::default()
    };
    risk.recount(&mut exposure, &spec, Ticks::new(600_000));
    let (px, qty) = if is(5) { (599_999, 10) } else { (d.px, d.qty) };
    let replaced = Lots::new(if is(3) { d.replaces } else { 0 });
    let rules = [Refusal::OrderToTrade, Refusal::QuoteStuffing, Refusal::Layering, Refusal::MomentumIgnition];
    let flow = match rules.get(usize::from(d.flags % 9)) {
        Some(rule) if d.flags >= 128 => breaking(*rule, side),
        _ => Flow::default(),
    };
    let request = Request {
        spec: &spec,
        side,
        px: Ticks::new(px),
        qty: Lots::new(qty),
        reduce_only: is(2) && is(6),
        is_closing: is(6),
        level: BreakerLevel::ALL[usize::from(d.flags % 11) / 3],
        replaces: (replaced, spec.notional(Ticks::new(600_000), replaced)),
        px_floor: Ticks::ZERO,
        now,
        is_book_live: d.flags % 7 != 6,
        touch: &touch,
        confirmed_at: now.saturating_sub(d.age_ms * 1_000_000),
        last_px: (d.last > 561_000).then_some(Ticks::new(d.last)),
        exposure: &exposure,
        takes: is(0),
        flow: &flow,
        own_opposite_px: is(4).then_some(Ticks::new(d.own)),
    };
    let first = risk.checks(&request).into_iter().find(|check| check.answer == Answer::Refused);
    (first.map(|check| check.check), risk.verdict(&request))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

    /// The long form and the verdict agree about any order in any state.
    #[test]
    fn the_first_check_that_refuses_is_the_verdict(drawn in drawn()) {
        let (first, verdict) = both_forms(&drawn, None);
        prop_assert_eq!(first, verdict);
    }
}

/// Each check is taken out in turn: then the property above fails, and the order that it alone stopped passes.
#[test]
fn every_check_that_is_taken_out_is_missed() {
    let by_verdict = Refusal::ALL.iter().filter(|check| !BESIDE.contains(check));
    let (mut table, mut not_alone) = (Vec::new(), Vec::new());
    for &check in by_verdict {
        let config = ProptestConfig {
            cases: 100_000,
            failure_persistence: None,
            max_shrink_iters: 0,
            ..ProptestConfig::default()
        };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let orders = std::cell::Cell::new(0u32);
        let found = runner.run(&drawn(), |drawn| {
            orders.set(orders.get() + 1);
            let (first, verdict) = both_forms(&drawn, Some(check));
            prop_assert_eq!(first, verdict);
            Ok(())
        });
        assert!(found.is_err(), "{} was taken out, and nothing noticed", check.name());
        let case = causes().into_iter().find(|(cause, _)| *cause == check).map(|(_, case)| case);
        let case = case.unwrap_or_else(|| panic!("{} should have a case of its own", check.name()));
        if let Some(other) = case.verdict(Some(check)) {
            not_alone.push((check.name(), other.name()));
        }
        table.push(format!(
            "{}: missed by the property after {} orders, and by its own case",
            check.name(),
            orders.get()
        ));
    }
    assert_eq!(not_alone, [], "a case should be stopped by its own check alone");
    assert_eq!(table.len() + BESIDE.len(), Refusal::ALL.len());
    println!("{}", table.join("\n"));
}

/// Refusals that are not answers of [`Risk::verdict`]: the engine's tests show these.
const BESIDE: &[Refusal] =
    &[Refusal::OrderRate, Refusal::CancelRate, Refusal::OrderTable, Refusal::Gateway, Refusal::StopOrder];

proptest! {
    /// Whatever was let through, filled in any combination, stays within the limit of the position.
    #[test]
    fn positions_stay_within_their_limit(steps in proptest::collection::vec((proptest::bool::ANY, 1i64..40, 0u8..4), 1..200)) {
        let limits = RiskLimits { position_value_max: whole(3_000), ..RiskLimits::default() };
        let spec = spec();
        let mut risk = Risk::new(limits);
        risk.on_equity(whole(100_000), NOW);
        risk.set_trading(true);
        let touch = case().touch;
        let mut exposure = Exposure::default();
        for (is_bid, qty, what) in steps {
            let side = if is_bid { Side::Bid } else { Side::Ask };
            let idx = side as usize;
            if what == 0 {
                // Part of what is open is filled.
                let filled = Lots::new(qty).min(exposure.open[idx].qty);
                let value = spec.notional(Ticks::new(600_000), filled);
                exposure.open[idx].replace((filled, value), NOTHING, Ticks::new(600_000));
                exposure.position = exposure.position.saturating_add(Lots::new(filled.get() * side.sign()));
            } else {
                let request = Request {
                    spec: &spec, side, px: Ticks::new(600_000), qty: Lots::new(qty), reduce_only: false,
                    is_closing: false,
                    level: BreakerLevel::Normal,
                    replaces: NOTHING, px_floor: Ticks::ZERO, last_px: Some(Ticks::new(600_000)), now: Nanos::new(1), is_book_live: true, touch: &touch,
                    confirmed_at: Nanos::new(1), exposure: &exposure, takes: false, flow: &Flow::default(), own_opposite_px: None,
                };
                if risk.check(&request).is_ok() {
                    let value = spec.notional(Ticks::new(600_000), Lots::new(qty));
                    exposure.open[idx] = exposure.open[idx].with(Lots::new(qty), value, Ticks::new(600_000));
                }
            }
            risk.recount(&mut exposure, &spec, Ticks::new(600_000));
            prop_assert!(spec.notional(Ticks::new(600_000), exposure.worst_qty()) <= limits.position_value_max);
        }
    }
}

proptest! {
    /// Whatever slow risk says and however old its word is: what it let through and all that is open stays within the share, and what
    /// only shrinks a position passes.
    #[test]
    fn what_is_let_through_stays_within_the_share_of_slow_risk(
        qty in 1i64..16, millionths in 0u32..40_000, age_ms in 0u64..12_000, position in -60i64..60,
    ) {
        let slow = Some((f64::from(millionths) / 1e6, age_ms * 1_000_000));
        let exposure = Exposure { position: Lots::new(position), ..Exposure::default() };
        let case = Case {
            slow, exposure, qty, now: NOW_LATE, confirmed_at: NOW_LATE,
            ..case()
        };
        let shrinks = position < 0 && qty <= -position;
        let left = (SLOW.dead_after_ns - SLOW.fresh_for_ns) as i128;
        let age = (age_ms * 1_000_000) as i128;
        let aged = (SLOW.dead_after_ns as i128 - age).clamp(0, left);
        let most = whole(20_000).get() * i128::from(millionths) / 1_000_000 * aged / left;
        let reached = spec().notional(Ticks::new(600_001), Lots::new((position + qty).abs().max(position.abs())));
        let refused = case.check();
        if shrinks {
            prop_assert_eq!(refused, None);
        } else if reached.get() > most || aged == 0 {
            prop_assert_eq!(refused, Some(Refusal::SlowRisk));
        } else if most - reached.get() > whole(1).get() {
            prop_assert_eq!(refused, None);
        }
    }
}

/// The table of `docs/risk.md` is made from the code: `TERCEL_BLESS=1 cargo test risk::tests::the_documents_table` writes it.
#[test]
fn the_documents_table_of_checks_is_the_code() {
    let mut table =
        String::from("| # | code | refused because | what shrinks a position |\n| --- | --- | --- | --- |\n");
    // An order that only shrinks a position, in the worst state: what stops it all the same?
    for (idx, check) in Refusal::ALL.iter().enumerate() {
        let passes = match check {
            check if BESIDE.contains(check) => "is refused, too",
            check => match shrinking(*check) {
                Some(found) if found == *check => "is refused, too",
                Some(other) => panic!("{} stands in the way of {}", other.name(), check.name()),
                None => "passes",
            },
        };
        let meaning = check.meaning().split_whitespace().collect::<Vec<_>>().join(" ");
        table += &format!("| {} | `{}` | {meaning} | {passes} |\n", idx + 1, check.name());
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/risk.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (begin, end) = ("<!-- checks -->\n", "<!-- end of checks -->");
    let (head, rest) = text.split_once(begin).expect("docs/risk.md should say where the table begins");
    let (found, tail) = rest.split_once(end).expect("docs/risk.md should say where the table ends");
    if std::env::var_os("TERCEL_BLESS").is_some() {
        return std::fs::write(path, [head, begin, &table, end, tail].concat()).unwrap();
    }
    assert!(found == table, "docs/risk.md should hold this table:\n{table}");
}

/// What stops an order that only shrinks a position, in the state that stops one that grows it for `check`.
fn shrinking(check: Refusal) -> Option<Refusal> {
    let (_, case) = causes().into_iter().find(|(cause, _)| *cause == check)?;
    let position = if check == Refusal::ReduceOnly { 0 } else { -200 };
    let mut exposure = case.exposure;
    exposure.position = Lots::new(position);
    exposure.cost = spec().notional(Ticks::new(600_000), exposure.position);
    Case { exposure, ..case }.check()
}
