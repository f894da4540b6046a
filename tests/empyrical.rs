//! The ratios against a reference library: empyrical, which much of the field uses, and scipy's regression.
//!
//! The script is `tests/empyrical/check.py`, its packages are pinned in `tests/empyrical/requirements.txt`, and their virtual
//! environment is kept in the target folder. Without Python or the package index the test says that it was skipped; where `CI` is set
//! it fails.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Scratch, python, say};
use serde_json::json;
use tercel::analytics::DrawdownTracker;
use tercel::analytics::stats::{Performance, Regression, annual_return, ratio, returns};
use tercel::sim::Rng;
use tercel::types::{Money, Nanos};

/// Equity and reference of one series: steps of up to a percent, the reference in part the same ones.
fn series(seed: u64, len: usize) -> (Vec<Money>, Vec<f64>) {
    let mut rng = Rng::new(seed);
    let mut step = || rng.below(20_001) as i128 - 10_000;
    let (mut equity, mut reference) = (10_000 * Money::ONE.get(), 50_000.0);
    let mut made = (Vec::new(), Vec::new());
    for _ in 0..len {
        made.0.push(Money::new(equity));
        made.1.push(reference);
        let common = step();
        equity += equity / 1_000_000 * (common / 2 + step() / 3);
        reference *= 1.0 + common as f64 / 1e6;
    }
    made
}

#[test]
fn ratios_are_those_of_the_reference_library() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/empyrical");
    let python = match python("empyrical", &folder.join("requirements.txt")) {
        Ok(python) => python,
        Err(why) if std::env::var_os("CI").is_some() => panic!("no Python with empyrical, and CI must have it: {why}"),
        Err(why) => return say(&format!("SKIPPED: no Python with empyrical: {why}")),
    };
    let mut cases = Vec::new();
    for (seed, (len, interval_s)) in
        [3usize, 10, 100, 365, 3_000].into_iter().flat_map(|len| [(len, 86_400u64), (len, 3_600)]).enumerate()
    {
        let (equity, reference) = series(seed as u64 + 1, len);
        let interval_ns = interval_s * 1_000_000_000;
        let mut drawdown = DrawdownTracker::default();
        for (idx, equity) in equity.iter().enumerate() {
            drawdown.on_equity(*equity, Nanos::new(idx as u64));
        }
        let drawdown = drawdown.worst().map_or(0.0, |worst| worst.share());
        let equity: Vec<f64> = equity.iter().map(|it| it.to_f64_lossy()).collect();
        let (ours, theirs) = (returns(&equity).unwrap(), returns(&reference).unwrap());
        let performance = Performance::of(&ours, interval_ns);
        let line = Regression::of(&theirs.into_iter().zip(ours).collect::<Vec<_>>(), interval_ns);
        let annual = annual_return(equity[0], equity[len - 1], interval_ns * (len as u64 - 1));
        cases.push(json!({
            "interval_s": interval_s,
            "ours": {
                "sharpe": performance.sharpe, "sortino": performance.sortino, "volatility": performance.volatility,
                "drawdown": drawdown, "annual_return": annual, "calmar": annual.and_then(|annual| ratio(annual, drawdown)),
                "alpha": line.alpha, "beta": line.beta, "r_squared": line.r_squared,
            },
            "equity": equity, "reference": reference,
        }));
    }
    let scratch = Scratch::new("empyrical");
    let file = scratch.file("cases.json");
    std::fs::write(&file, serde_json::to_vec(&cases).unwrap()).unwrap();
    let output = Command::new(python).arg(folder.join("check.py")).arg(&file).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    say(&format!("EMPYRICAL: {}", said.trim()));
}
