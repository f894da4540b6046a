use super::*;
use crate::simex::fault::FaultScript;

const SECOND_NS: u64 = 1_000_000_000;

fn quiet(seed: u64) -> WorldOptions {
    WorldOptions { seed, script: FaultScript::default(), duration_ns: 40 * SECOND_NS }
}

#[test]
fn a_quiet_run_trades_and_agrees_with_the_venue() {
    for seed in 0..3 {
        let verdict = run(&quiet(seed), None);
        assert!(verdict.is_good(), "{verdict}");
        assert!(verdict.orders > 100 && verdict.fills > 10, "{verdict}");
    }
}

#[test]
fn a_seed_gives_one_run() {
    let mut options = quiet(5);
    options.script = FaultScript::generate(5, options.duration_ns);
    let [first, second] = [run(&options, None), run(&options, None)];
    assert_eq!(first.fingerprint, second.fingerprint);
    assert_eq!(first.fired, second.fired);
    assert_ne!(first.fingerprint, run(&quiet(6), None).fingerprint);
}
