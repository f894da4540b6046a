//! What is asked of entries, by the program as a user runs it: with twelve units of capital on the embedded venue.

mod common;

use common::{Scratch, good, say, summary, tercel};
use serde_json::Value;

/// Runs with the configuration of the example, changed by `change`; gives the closing report and the summary.
fn run(dir: &Scratch, change: impl Fn(&str) -> String, more: &[&str]) -> (String, Value) {
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/careful.toml")).unwrap();
    let config = dir.file("careful.toml");
    std::fs::write(&config, change(&example)).unwrap();
    let mut command = tercel(["run", "--for", "12s", "--config"]);
    command.arg(&config).arg("--json").arg(dir.file("run.json")).args(more);
    let output = good(&mut command);
    (String::from_utf8_lossy(&output.stdout).into_owned(), summary(&dir.file("run.json")))
}

fn money(value: &Value) -> f64 {
    value.as_str().unwrap_or_else(|| panic!("{value} should be an amount")).parse().unwrap()
}

#[test]
fn two_units_a_trade_are_not_to_be_had_and_the_report_says_so() {
    let dir = Scratch::new("entry-bar");
    let (report, found) = run(&dir, |example| example.replace("bar = \"0.00005\"", "bar = \"2\""), &[]);
    assert_eq!((&found["orders"]["sent"], &found["fills"]), (&0.into(), &0.into()), "{report}");
    let entry = &found["entry"];
    assert!(entry["looked_at"].as_u64().unwrap() > 100, "{entry}");
    assert_eq!((&entry["admitted"], &entry["withheld"]["edge"]), (&0.into(), &entry["looked_at"]));
    let best = &entry["best_withheld"];
    assert!(money(&best["net"]) < 2.0, "{best}");
    let parts: f64 =
        ["fees", "half_spread", "slippage", "funding", "margin"].map(|part| money(&best[part])).iter().sum();
    assert!((money(&best["gain"]) - parts - money(&best["net"])).abs() < 1e-9, "{best}");
    assert!(report.contains("the bar is 2 a trade") && report.contains("the best that did not clear it"), "{report}");
    say(&format!("bar 2: {} looked at, best {}", entry["looked_at"], best["net"]));
}

#[test]
fn a_bar_that_the_market_clears_is_traded_and_what_was_expected_is_held_against_what_came() {
    let dir = Scratch::new("entry-traded");
    let journal = dir.file("journal");
    let (report, found) =
        run(&dir, |example| format!("{example}[journal]\ndir = {:?}\n", journal.display().to_string()), &[]);
    let entry = &found["entry"];
    assert!(entry["trades_ended"].as_u64().unwrap() > 0, "{report}");
    let trades = entry["trades"].as_array().unwrap();
    for trade in trades {
        // Every one was opened with a forecast that cleared the bar for the whole order; a part of it expects its part.
        assert!(money(&trade["expected"]) > 0.0, "{trade}");
        assert!(trade["ended_at"].as_u64() > trade["opened_at"].as_u64(), "{trade}");
    }
    let realised: f64 = trades.iter().map(|trade| money(&trade["realised"])).sum();
    assert!((realised - money(&entry["realised"])).abs() < 1e-9, "{entry}");
    assert_eq!(found["reconciled"], true);
    say(&format!("bar 0.00005: {} trades, expected {}, realised {realised}", trades.len(), entry["expected"]));

    let replayed = good(tercel(["replay", "--journal"]).arg(&journal));
    let text = String::from_utf8_lossy(&replayed.stdout).into_owned();
    assert!(text.contains("identical"), "{text}");
    let list = dir.file("list.json");
    good(tercel(["explain", "--list", "--journal"]).arg(&journal).arg("--json").arg(&list));
    let order = summary(&list)["orders"][0]["client_id"].to_string();
    let told = good(tercel(["explain", &order, "--journal"]).arg(&journal));
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(text.contains("expected of ") && text.contains("= gain "), "{text}");
}

#[test]
fn an_instrument_that_is_kept_for_hedging_is_not_quoted_and_must_be_there() {
    let dir = Scratch::new("entry-hedge");
    let config = dir.file("hedge.toml");
    let text =
        "[hedge]\nwith = [\"ETHUSDT\"]\nbound = \"100\"\nunwind = \"50\"\nsample-every = \"50ms\"\nmemory = \"60s\"\n";
    std::fs::write(&config, text).unwrap();
    let json = dir.file("run.json");
    good(tercel(["run", "--for", "8s", "--config"]).arg(&config).arg("--json").arg(&json));
    let found = summary(&json);
    assert!(found["hedge"]["samples"].as_u64().unwrap() > 60, "{}", found["hedge"]);
    let fills = |symbol: &str| {
        let positions = found["positions"].as_array().unwrap();
        positions.iter().find(|it| it["instrument"] == symbol).unwrap()["fills"].as_u64().unwrap()
    };
    assert!(fills("BTCUSDT") > 0, "{found}");
    let orders = found["hedge"]["orders"].as_u64().unwrap();
    assert!(orders > 0 || fills("ETHUSDT") == 0, "nothing but a hedge is traded there: {found}");
    say(&format!("hedge: {}", found["hedge"]));

    std::fs::write(&config, text.replace("ETHUSDT", "XRPUSDT")).unwrap();
    let output = tercel(["run", "--for", "2s", "--config"]).arg(&config).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("hedge.with: `XRPUSDT`"), "{told}");
}
