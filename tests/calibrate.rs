//! `tercel calibrate`: a session on the simulated venue, whose matching engine knows every order, against the simulator of replays,
//! which sees the feed alone.

mod common;

use common::{Scratch, good, say, summary, tercel};

#[test]
fn the_simulator_foretells_a_sessions_fills_and_is_refused_when_it_does_not() {
    let dir = Scratch::new("calibrate");
    let journal = dir.file("journal");
    good(tercel(["run", "--for", "40s", "--journal"]).arg(&journal));
    let json = dir.file("found.json");
    let output =
        tercel(["calibrate", "--orders", "--journal"]).arg(&journal).arg("--json").arg(&json).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = summary(&json);
    let of = |path: &str| found.pointer(path).and_then(|it| it.as_f64()).unwrap_or_else(|| panic!("{path} in {found}"));
    say(&format!(
        "calibrate: {} orders judged, {:.3} right, {:.3} lots predicted for each lived, first fills {} us off, good: {}",
        of("/judged/orders"),
        of("/judged/agreement"),
        of("/judged/fill_ratio"),
        of("/judged/first_fill_off_ns") / 1e3,
        found["good"]
    ));
    assert!(of("/judged/orders") >= 30.0 && of("/judged/both_filled") >= 10.0, "{text}");
    assert!(of("/judged/agreement") >= 0.8, "{text}");
    assert!((0.7..1.3).contains(&of("/judged/fill_ratio")), "{text}");
    // Good or not, the exit code and the reasons say the same.
    let is_good = found["good"] == true;
    assert_eq!(output.status.code(), Some(if is_good { 0 } else { 1 }));
    assert_eq!(found["reasons"].as_array().unwrap().is_empty(), is_good);
    assert_eq!(text.contains("NOT GOOD"), !is_good);
    let sums: u64 = ["both_filled", "neither_filled", "only_predicted", "only_lived"]
        .iter()
        .map(|key| found["judged"][key].as_u64().unwrap())
        .sum();
    assert_eq!(found["judged"]["orders"].as_u64(), Some(sums));

    // With a latency that is wrong by three seconds it is not to be believed, and says why.
    let output =
        tercel(["calibrate", "--later", "3s", "--journal"]).arg(&journal).arg("--json").arg(&json).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("NOT GOOD") && text.contains("first fills are"), "{text}");

    // Its recorded latencies drive a replay.
    let config = dir.file("recorded.toml");
    let ways = ["feed", "entry", "ack"].map(|way| format!("{way}-latency = \"recorded:{}\"\n", journal.display()));
    std::fs::write(&config, format!("[simex]\n{}", ways.concat())).unwrap();
    let capture = dir.file("made.jsonl");
    good(tercel(["generate", "--size", "2MB"]).arg(&capture));
    good(tercel(["replay", "--config"]).arg(&config).arg(&capture).arg("--json").arg(&json));
    assert_eq!(summary(&json)["reconciled"], true);
}
