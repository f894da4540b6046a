//! One refresh of slow risk: a round of samples taken, all figures measured, for 100 instruments that are all held, with the default
//! history full. It has to be done once a second.

#![allow(missing_docs)] // The macros of criterion make functions.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tercel::config::SlowRiskTable;
use tercel::sim::Rng;
use tercel::slow_risk::{Observation, Round, SlowRisk};
use tercel::types::{InstrumentSpec, InstrumentTable, Lots, Money, Nanos, Product, Step, Symbol, VenueId};

const INSTRUMENTS: usize = 100;

/// Rounds of made-up prices, played over and over.
const ROUNDS: usize = 64;

fn table() -> InstrumentTable {
    let step = Step::from_text(b"0.01").expect("a step");
    let spec = |idx: usize| {
        let symbol = Symbol::new(format!("COIN{idx}USDT").as_bytes()).expect("a symbol");
        InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step, step).expect("a specification")
    };
    InstrumentTable::new((0..INSTRUMENTS).map(spec).collect()).expect("a table")
}

fn rounds() -> Vec<Vec<Observation>> {
    let mut rng = Rng::new(5);
    let mut mids = vec![1_000_000i64; INSTRUMENTS];
    let round = |_| {
        let observe = |(idx, mid): (usize, &mut i64)| {
            *mid += rng.between(-500, 500);
            Observation { mid_e2: *mid, position: Lots::new(idx as i64 % 21 - 10) }
        };
        mids.iter_mut().enumerate().map(observe).collect()
    };
    (0..ROUNDS).map(round).collect()
}

fn refresh(c: &mut Criterion) {
    let (table, rounds) = (table(), rounds());
    let config = SlowRiskTable { enabled: true, ..SlowRiskTable::default() };
    let config = config.analyst(Money::new(1_000_000 * Money::ONE.get())).expect("it is switched on");
    let mut analyst = SlowRisk::new(&table, config);
    let mut at = Nanos::ZERO;
    let mut next = rounds.iter().cycle();
    let mut step = |analyst: &mut SlowRisk| {
        at = at.saturating_add(config.sample_every_ns);
        let instruments = next.next().expect("it goes round");
        analyst.on_round(&Round { at, equity: Some(Money::ONE), instruments })
    };
    (0..=config.window).for_each(|_| assert!(step(&mut analyst).is_some()));
    let last = analyst.report().last.expect("figures");
    assert!(last.samples == config.window && last.worst_var(tercel::slow_risk::Confidence::P99) > Some(0.0));

    let mut group = c.benchmark_group("slow_risk");
    group.bench_function("baseline", |b| b.iter(|| black_box(&rounds).len()));
    group.bench_function("refresh/100_instruments", |b| b.iter(|| black_box(step(&mut analyst))));
    group.finish();
}

criterion_group!(benches, refresh);
criterion_main!(benches);
