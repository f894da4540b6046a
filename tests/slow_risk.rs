//! A run with slow risk: the figures are in the summary, the analyst is obeyed, and the journal replays.

mod common;

use common::{Scratch, good, summary, tercel};

#[test]
fn a_run_with_slow_risk_tells_its_figures_and_replays_from_its_journal() {
    let dir = Scratch::new("slow-risk");
    let (json, journal, config) = (dir.file("summary.json"), dir.file("journal"), dir.file("slow.toml"));
    std::fs::write(
        &config,
        "[slow-risk]\nenabled = true\nsample-every = \"50ms\"\nwindow-samples = 200\nvar-horizon = \"10s\"\n\
         [breakers]\nposition-loss-max = \"1000\"\nheat-max = \"1000\"\n",
    )
    .unwrap();
    let mut command = tercel(["run", "--for", "9s"]);
    let output = good(command.arg("--config").arg(&config).arg("--json").arg(&json).arg("--journal").arg(&journal));
    let found = summary(&json);
    assert_eq!(found["reconciled"], true, "{found}");
    assert_eq!(found["hot_allocations"], 0);
    assert!(found["orders"]["sent"].as_u64().unwrap() > 0, "the analyst lets it trade: {found}");
    let slow = &found["slow_risk"];
    assert!(slow["rounds"].as_u64().unwrap() > 100, "{slow}");
    assert!(slow["rounds"].as_u64().unwrap() + slow["rounds_dropped"].as_u64().unwrap() < 400, "{slow}");
    // At the end there is history enough for every method; at the worst moment there may not have been.
    let last = &slow["last"];
    assert_eq!(last["is_cold"], false, "{slow}");
    for confidence in ["95", "99"] {
        for method in ["historical", "ewma"] {
            assert!(last["var"][method][confidence].is_number(), "{slow}");
            assert!(last["es"][method][confidence].is_number(), "{slow}");
        }
    }
    assert!(last["heat"].is_number(), "{slow}");
    let scale = last["scale"].as_f64().unwrap();
    assert!(slow["worst"]["gross"].as_f64().unwrap() > 0.0, "{slow}");
    assert!((0.0..=1.0).contains(&scale) && scale > 0.0, "{slow}");
    let matrix = &slow["correlation"];
    let len = matrix["instruments"].as_array().unwrap().len();
    assert!(len >= 2);
    for (a, row) in matrix["rows"].as_array().unwrap().iter().enumerate() {
        assert_eq!(row.as_array().unwrap().len(), len);
        assert!((row[a].as_f64().unwrap() - 1.0).abs() < 1e-9, "{matrix}");
    }
    let backtest = &slow["backtests"]["ewma"]["95"];
    assert!(backtest["forecasts"].as_u64().unwrap() > 0, "{slow}");
    assert!(backtest["kupiec"]["p_value"].as_f64().is_some_and(|p| (0.0..=1.0).contains(&p)), "{slow}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["slow risk:", "VaR historical", "ES  historical", "drawdown", "correlation", "Kupiec"] {
        assert!(text.contains(word), "the report should speak of {word}:\n{text}");
    }
    let file = std::fs::read_dir(&journal).unwrap().flatten().next().unwrap().path();
    good(tercel(["replay", "--journal"]).arg(file));
}

#[test]
fn without_it_nothing_is_measured() {
    let dir = Scratch::new("no-slow-risk");
    let json = dir.file("summary.json");
    let output = good(tercel(["run", "--for", "2s"]).arg("--json").arg(&json));
    assert!(summary(&json)["slow_risk"].is_null());
    assert!(!String::from_utf8_lossy(&output.stdout).contains("slow risk"));
}
