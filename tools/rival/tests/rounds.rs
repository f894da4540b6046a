//! The rival does the whole job: every tick answered, once, at the right price. No latency is judged.

use tercel::bench::{BenchOptions, BenchTls, Carrier, Case, Contender, Rival, Traffic, run, search};
use tercel::ring::Flag;
use tercel::runtime::{Idle, Topology};

fn case(carrier: Carrier) -> Case {
    let (topology, idle) = (Topology::single(), Idle::SpinYield);
    Case { traffic: Traffic::generated(200, 296, 1), carrier, topology, cpus: Vec::new(), idle }
}

fn options(path: &str) -> BenchOptions {
    BenchOptions {
        warm_up_ns: 100_000_000,
        measure_ns: 300_000_000,
        rounds: 1,
        worst: 3,
        rival: Some(Rival { path: path.into() }),
        stop: Flag::new(),
    }
}

#[test]
fn it_answers_every_tick_at_the_right_price_over_every_carrier_and_spinning_too() {
    let tls = BenchTls::generate().unwrap();
    for carrier in [Carrier::Plain, Carrier::Tls] {
        let measured = run(&case(carrier), &options(env!("CARGO_BIN_EXE_tercel-rival")), &tls, |_| {}).unwrap();
        let round = &measured.rounds[0];
        let sides: Vec<Contender> = round.sides.iter().map(|side| side.contender).collect();
        use Contender::{Echo, Engine, Floor, Rival, RivalSpin};
        assert_eq!(sides, [Echo, Floor, Engine, Rival, RivalSpin]);
        for side in &round.sides {
            let report = side.generator.as_ref().unwrap();
            assert_eq!((report.asked, report.answered), (60, 60), "{carrier:?} {:?}", side.contender);
            assert_eq!((report.unmatched, report.wrong_px), (0, 0), "{carrier:?} {:?}", side.contender);
            assert_eq!(report.orders, 80, "warm-up included");
        }
    }
}

#[test]
fn a_program_that_does_not_play_along_is_named() {
    let tls = BenchTls::generate().unwrap();
    let error = run(&case(Carrier::Plain), &options("/bin/false"), &tls, |_| {}).unwrap_err().to_string();
    assert!(error.contains("rival ended early"), "{error}");
    let error = run(&case(Carrier::Plain), &options("/nothing/here"), &tls, |_| {}).unwrap_err().to_string();
    assert!(error.contains("/nothing/here"), "{error}");
}

#[test]
fn every_side_keeps_some_rate() {
    let (tls, options) = (BenchTls::generate().unwrap(), options(env!("CARGO_BIN_EXE_tercel-rival")));
    let limits = search(&case(Carrier::Plain), &options, &tls, 50..=100, |_| {}).unwrap();
    assert_eq!(limits.sides.len(), 5);
    for side in &limits.sides {
        // On a machine that is busy a side may keep less than the highest rate; then it says which one it did not keep.
        assert!(side.kept_per_s == 100 || side.grew_per_s.is_some_and(|grew| grew > side.kept_per_s), "{side:?}");
    }
}
