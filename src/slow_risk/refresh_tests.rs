use proptest::prelude::*;

use super::super::Observation;
use super::*;
use crate::sim::Rng;
use crate::types::{InstrumentSpec, Lots, Product, Step, VenueId};

const SECOND: u64 = 1_000_000_000;

fn table(len: usize) -> InstrumentTable {
    let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
    let spec = |idx: usize| {
        let symbol = Symbol::new(format!("COIN{idx}USDT").as_bytes()).unwrap();
        InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap()
    };
    InstrumentTable::new((0..len).map(spec).collect()).unwrap()
}

fn whole(units: i128) -> Money {
    Money::new(units * Money::ONE.get())
}

fn config() -> SlowRiskConfig {
    SlowRiskConfig {
        sample_every_ns: SECOND,
        window: 300,
        lambda: 0.97,
        horizon_ns: 4 * SECOND,
        var99_max: whole(10),
        es99_max: whole(12),
        gross_max: whole(100_000),
        cold_share: 0.25,
    }
}

/// A standard normal number: the sum of twelve uniform ones has the variance one, and its tails are close enough to test with.
fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
}

struct Market {
    rng: Rng,
    /// Twice the mid in ticks.
    mids: Vec<f64>,
    sigma: f64,
    at: u64,
}

impl Market {
    fn new(len: usize, sigma: f64) -> Self {
        Self { rng: Rng::new(11), mids: vec![1.2e9; len], sigma, at: SECOND }
    }

    /// A step in which a common factor is half of every variance.
    fn step(&mut self, analyst: &mut SlowRisk, positions: &[i64]) -> Option<f64> {
        let common = normal(&mut self.rng);
        self.at += SECOND;
        for mid in &mut self.mids {
            *mid *= 1.0 + self.sigma * (common + normal(&mut self.rng)) * std::f64::consts::FRAC_1_SQRT_2;
        }
        let seen = |(mid, position): (&f64, &i64)| Observation { mid_e2: *mid as i64, position: Lots::new(*position) };
        let instruments: Vec<Observation> = self.mids.iter().zip(positions).map(seen).collect();
        analyst.on_round(&Round { at: Nanos::new(self.at), equity: Some(whole(1_000)), instruments: &instruments })
    }
}

#[test]
fn nothing_held_is_nothing_at_risk_and_the_cold_share_holds_until_there_is_history() {
    let mut analyst = SlowRisk::new(&table(2), config());
    let mut market = Market::new(2, 1e-5);
    for round in 0..150 {
        let scale = market.step(&mut analyst, &[0, 0]).unwrap();
        let want = if round < SAMPLES_MIN { 0.25 } else { 1.0 };
        assert_eq!(scale, want, "round {round}");
    }
    let report = analyst.report();
    let last = report.last.unwrap();
    assert_eq!((last.gross, last.heat), (0.0, Some(0.0)));
    assert_eq!((last.worst_var(Confidence::P99), last.worst_es(Confidence::P99)), (Some(0.0), Some(0.0)));
    assert_eq!(report.worst, None);
    assert_eq!(report.backtests, <[[Backtest; 2]; 3]>::default(), "nothing held is nothing forecast");
}

#[test]
fn the_scale_is_the_gross_exposure_at_which_the_limit_is_met() {
    let mut analyst = SlowRisk::new(&table(2), config());
    let mut market = Market::new(2, 2e-3);
    let mut scale = 0.0;
    for _ in 0..200 {
        scale = market.step(&mut analyst, &[3, -1]).unwrap();
    }
    let last = analyst.report().last.unwrap();
    let by_var = last.gross * 10.0 / last.worst_var(Confidence::P99).unwrap() / 100_000.0;
    let by_es = last.gross * 12.0 / last.worst_es(Confidence::P99).unwrap() / 100_000.0;
    assert!((scale - by_var.min(by_es).min(1.0)).abs() < 1e-12 && scale > 0.0 && scale < 1.0, "{last:?}");
    // Twice the position is twice the risk, and the same limit.
    let before = last;
    let again = market.step(&mut analyst, &[6, -2]).unwrap();
    let last = analyst.report().last.unwrap();
    assert!(last.worst_var(Confidence::P99).unwrap() > 1.5 * before.worst_var(Confidence::P99).unwrap());
    assert!((again / scale - 1.0).abs() < 0.3, "{scale} {again}");
}

#[test]
fn a_held_position_without_a_price_silences_the_analyst() {
    let mut analyst = SlowRisk::new(&table(1), config());
    let mut market = Market::new(1, 1e-3);
    for _ in 0..120 {
        assert!(market.step(&mut analyst, &[5]).is_some());
    }
    let blind = [Observation { mid_e2: 0, position: Lots::new(5) }];
    let at = Nanos::new(market.at + SECOND);
    assert_eq!(analyst.on_round(&Round { at, equity: None, instruments: &blind }), None);
    assert_eq!(analyst.report().blind, 1);
    let flat = [Observation { mid_e2: 0, position: Lots::ZERO }];
    let at = at.saturating_add(SECOND);
    assert!(
        analyst.on_round(&Round { at, equity: None, instruments: &flat }).is_some(),
        "without a position it does no harm"
    );
}

#[test]
fn an_instrument_whose_history_is_short_is_cold_however_long_that_of_the_others_is() {
    let mut analyst = SlowRisk::new(&table(2), config());
    for round in 0..200u64 {
        let mid = |idx: u64| 1_000_000 + ((round + idx) % 5) as i64;
        let new = if round < 150 { 0 } else { mid(1) };
        let position = Lots::new(i64::from(round >= 150));
        let instruments =
            [Observation { mid_e2: mid(0), position: Lots::new(1) }, Observation { mid_e2: new, position }];
        let at = Nanos::new(round * SECOND);
        let scale = analyst.on_round(&Round { at, equity: None, instruments: &instruments }).unwrap();
        let is_cold = analyst.report().last.unwrap().is_cold;
        assert_eq!(is_cold, !(100..150).contains(&round), "{round}");
        assert!(!is_cold || scale <= 0.25);
    }
}

#[test]
fn forecasts_of_a_calm_market_are_not_rejected_and_those_of_one_that_has_become_wilder_are() {
    let mut analyst = SlowRisk::new(&table(3), config());
    let mut market = Market::new(3, 1e-3);
    for _ in 0..2_100 {
        market.step(&mut analyst, &[10, -4, 7]);
    }
    let calm = analyst.report();
    for (method, both) in Method::ALL.iter().zip(&calm.backtests) {
        for (confidence, backtest) in CONFIDENCES.into_iter().zip(both) {
            let found = backtest.kupiec(confidence);
            assert!(backtest.forecasts > 500 || *method == Method::CornishFisher, "{}: {backtest:?}", method.name());
            if *method == Method::Historical {
                assert_eq!(backtest.forecasts, 1_999, "of 2100 rounds 101 make the history");
                assert!(found.unwrap().p_value > 0.01, "{confidence:?}: {backtest:?} {found:?}");
            }
        }
    }
    // A history of calm, and then steps four times as large: the first of them are exceptions.
    market.sigma *= 4.0;
    for _ in 0..60 {
        market.step(&mut analyst, &[10, -4, 7]);
    }
    let before = calm.backtests[0][1];
    let now = analyst.report().backtests[0][1];
    let mut wild = Backtest::default();
    wild.forecasts = now.forecasts - before.forecasts;
    wild.exceptions = now.exceptions - before.exceptions;
    assert!(wild.kupiec(Confidence::P99).unwrap().p_value < 0.001, "{wild:?}");
}

#[test]
fn a_round_that_was_lost_judges_no_forecast() {
    let mut analyst = SlowRisk::new(&table(1), config());
    let mut market = Market::new(1, 1e-3);
    for _ in 0..150 {
        market.step(&mut analyst, &[5]);
    }
    let before = analyst.report().backtests[0][0].forecasts;
    market.at += SECOND;
    market.step(&mut analyst, &[5]);
    assert_eq!(analyst.report().backtests[0][0].forecasts, before);
    market.step(&mut analyst, &[5]);
    assert_eq!(analyst.report().backtests[0][0].forecasts, before + 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// In whatever order the instruments stand; the greater confidence risks more; a shortfall is no less than its quantile; and the
    /// measures together are no less than each.
    #[test]
    fn figures_do_not_depend_on_the_order(positions in proptest::array::uniform3(-50i64..50), seed in 0u64..1000) {
        let mut rng = Rng::new(seed);
        let (mut one, mut other) = (SlowRisk::new(&table(3), config()), SlowRisk::new(&table(3), config()));
        let mut mids = [1.2e6, 3.4e5, 7.7e6];
        for step in 0..130u64 {
            for mid in &mut mids {
                *mid *= 1.0 + 1e-3 * normal(&mut rng);
            }
            let seen: Vec<Observation> = mids
                .iter()
                .zip(positions)
                .map(|(mid, position)| Observation { mid_e2: *mid as i64, position: Lots::new(position) })
                .collect();
            let turned = [seen[2], seen[0], seen[1]];
            let at = Nanos::new(step * SECOND);
            let a = one.on_round(&Round { at, equity: Some(whole(500)), instruments: &seen }).unwrap();
            let b = other.on_round(&Round { at, equity: Some(whole(500)), instruments: &turned }).unwrap();
            prop_assert!((a - b).abs() < 1e-9 && (0.0..=1.0).contains(&a));
        }
        let (a, b) = (one.report().last.unwrap(), other.report().last.unwrap());
        prop_assert!((a.heat.unwrap() - b.heat.unwrap()).abs() < 1e-9);
        for method in Method::ALL {
            let [p95, p99] = a.var[method as usize];
            if let (Some(p95), Some(p99)) = (p95, p99) {
                prop_assert!(p99 >= p95);
                prop_assert!(a.worst_var(Confidence::P99).unwrap() >= p99);
            }
        }
        for (var, es) in a.var.iter().zip(a.es).flat_map(|(var, es)| var.iter().copied().zip(es)) {
            if let (Some(var), Some(es)) = (var, es) {
                prop_assert!(es >= var * (1.0 - 1e-9));
            }
        }
    }
}
