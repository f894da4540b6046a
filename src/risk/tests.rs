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
