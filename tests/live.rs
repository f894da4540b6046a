//! `tercel run` against the embedded simulated venue: real sockets, real wire formats, both sides' books compared.

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::{Scratch, captures, generated, good, say, summary, tercel, topologies};
use serde_json::Value;
use tercel::journal::synthetic::SyntheticConfig;

fn count(found: &Value, path: &str) -> u64 {
    found.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} should be a count in {found}"))
}

/// What holds of every orderly end.
fn assert_orderly(found: &Value) {
    assert_eq!(found["reconciled"], true, "{found}");
    assert_eq!(count(found, "/orders/open_at_end"), 0);
    assert_eq!(found["balances"]["engine"], found["balances"]["venue"]);
    assert_eq!(count(found, "/decode_errors"), 0, "{}", found["first_errors"]);
    assert_eq!(count(found, "/gaps"), 0);
    let ended = ["filled", "cancelled", "rejected"].map(|state| count(found, &format!("/orders/{state}")));
    assert_eq!(ended.iter().sum::<u64>(), count(found, "/orders/sent"), "every order reached a final state");
}

#[test]
fn trades_and_reconciles_on_every_topology() {
    for topology in topologies() {
        let dir = Scratch::new("live");
        let json = dir.file("summary.json");
        let journal = dir.file("journal");
        let mut command = tercel(["run", "--for", "5s", "--topology", &topology]);
        let output = good(command.arg("--json").arg(&json).arg("--journal").arg(&journal));
        let found = summary(&json);
        assert_orderly(&found);
        assert!(count(&found, "/orders/sent") > 0 && count(&found, "/fills") > 0, "{topology}: {found}");
        assert_eq!(found["hot_allocations"], 0, "{topology}");
        assert!(count(&found, "/latency_ns/tick_to_order/count") > 0);
        assert!(count(&found, "/top_of_book/checked") > 10);
        assert_eq!(found["top_of_book"]["checked"], found["top_of_book"]["equal"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for word in ["orders", "fills", "balance", ": equal", "pnl", "spread", "tick to order", "journal"] {
            assert!(text.contains(word), "the report should speak of {word}:\n{text}");
        }
        // The journal holds every event that the engine consumed.
        let file = std::fs::read_dir(&journal).unwrap().flatten().next().unwrap().path();
        let inspected = good(&mut tercel(["inspect".as_ref(), file.as_os_str()]));
        let text = String::from_utf8_lossy(&inspected.stdout).into_owned();
        let (wanted, report) = (count(&found, "/events"), String::from_utf8_lossy(&output.stdout).into_owned());
        assert!(text.contains(&format!("{wanted} events")), "{wanted} wanted\n{text}\n{report}");
    }
}

/// `tercel run | head -1`: whoever reads goes, and the run still ends in order instead of by a panic with orders open.
#[test]
fn a_reader_that_goes_away_does_not_end_a_run() {
    let dir = Scratch::new("no-reader");
    let json = dir.file("summary.json");
    let mut command = tercel(["run", "--for", "4s"]);
    let mut run = command.arg("--json").arg(&json).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((run.stdout.take(), run.stderr.take()));
    assert_eq!(run.wait().unwrap().code(), Some(0));
    assert_orderly(&summary(&json));
}

#[test]
fn trades_over_tls() {
    let dir = Scratch::new("tls");
    let json = dir.file("summary.json");
    good(tercel(["run", "--for", "3s", "--tls"]).arg("--json").arg(&json));
    assert_orderly(&summary(&json));
}

#[test]
fn a_captured_feed_is_played_through_the_sockets_and_traded_against() {
    let dir = Scratch::new("feed");
    let config = SyntheticConfig { depth_events: 400, ..SyntheticConfig::new(tercel::types::VenueId::BYBIT, 21) };
    let made = generated(&dir, &config, true);
    let eager = dir.file("eager.toml");
    std::fs::write(&eager, "[imbalance-taker]\nthreshold = 0.05\nedge-bar-bps = 0\npause = \"50ms\"\n").unwrap();
    let real = captures().join("bybit/linear-20260809-4sym-ob200.jsonl.gz");
    for capture in [made, real] {
        if !capture.exists() {
            say(&format!("SKIPPED: {}", capture.display()));
            continue;
        }
        let json = dir.file("summary.json");
        let mut command = tercel(["run", "--for", "12s", "--strategy", "imbalance-taker", "--edge-bar", "0"]);
        good(command.arg("--config").arg(&eager).arg("--feed").arg(&capture).arg("--json").arg(&json));
        let found = summary(&json);
        assert_orderly(&found);
        assert!(count(&found, "/fills") > 0, "{}: {found}", capture.display());
    }
}

#[test]
fn a_gap_in_the_stream_is_noticed_and_the_book_comes_back() {
    let dir = Scratch::new("gap");
    let config = SyntheticConfig {
        instruments: 1,
        depth_events: 400,
        ..SyntheticConfig::new(tercel::types::VenueId::BYBIT, 22)
    };
    let made = tercel::journal::synthetic::generate(&config);
    let path = dir.file("gap.jsonl");
    let is_delta = |message: &[u8]| {
        let text = String::from_utf8_lossy(message).into_owned();
        text.contains("orderbook") && !text.contains("orderbook.1.") && text.contains("delta")
    };
    let deltas: Vec<usize> = (0..made.lines.len()).filter(|&idx| is_delta(&made.lines[idx].1)).collect();
    let dropped = deltas[deltas.len() / 3];
    let mut text = Vec::new();
    for (idx, (recv, message)) in made.lines.iter().enumerate() {
        if idx != dropped {
            text.extend_from_slice(format!("{recv}\t").as_bytes());
            text.extend_from_slice(message);
            text.push(b'\n');
        }
    }
    std::fs::write(&path, text).unwrap();
    tercel::journal::synthetic::sidecar(&config).write(&tercel::journal::meta_path(&path)).unwrap();
    let json = dir.file("summary.json");
    good(tercel(["run", "--for", "20s"]).arg("--feed").arg(&path).arg("--json").arg(&json));
    let found = summary(&json);
    assert_eq!(found["reconciled"], true);
    assert_eq!(count(&found, "/gaps"), 1, "{found}");
    assert_eq!(count(&found, "/resyncs"), 1, "{found}");
    assert_eq!(found["books"][0]["state"], "live");
}

#[test]
fn a_signal_cancels_open_orders_and_ends_well() {
    for signal in ["-INT", "-TERM"] {
        let dir = Scratch::new("signal");
        let json = dir.file("summary.json");
        let mut command = tercel(["run"]);
        let mut child = command
            .arg("--json")
            .arg(&json)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_secs(3));
        let sent = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{signal}");
        let found = summary(&json);
        assert_orderly(&found);
        assert!(count(&found, "/orders/sent") > 0);
    }
}

#[test]
fn real_venues_need_the_word_and_the_key() {
    let dir = Scratch::new("real");
    let file = dir.file("real.toml");
    std::fs::write(&file, "[venue]\nenvironment = \"mainnet\"\n[[instruments]]\nsymbol = \"BTCUSDT\"\n").unwrap();
    for (args, word) in [(&["run"][..], "--live"), (&["run", "--live"][..], "TERCEL_API_KEY")] {
        let output = tercel(args).arg("--config").arg(&file).env_remove("TERCEL_API_KEY").output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_bad_configuration_names_file_line_and_key() {
    let dir = Scratch::new("config");
    let file = dir.file("bad.toml");
    std::fs::write(&file, "[risk]\n\ncapital = 12.5\n").unwrap();
    let output = tercel(["check-config"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    for word in ["bad.toml", "line 3", "capital", "12.5"] {
        assert!(text.contains(word), "{text}");
    }
    std::fs::write(&file, "[risk]\ncapital = \"12.5\"\n").unwrap();
    let output = good(tercel(["check-config"]).arg(&file));
    assert!(String::from_utf8_lossy(&output.stdout).contains("capital = \"12.5\""));
}

#[test]
fn a_venue_of_its_own_can_be_recorded_and_replayed() {
    let dir = Scratch::new("capture");
    let out = dir.file("own.jsonl.zst");
    good(tercel(["capture", "--for", "3s"]).arg(&out));
    let json = dir.file("summary.json");
    good(tercel(["replay", "--strategy", "watch"]).arg(&out).arg("--json").arg(&json));
    let found = summary(&json);
    assert!(count(&found, "/messages") > 50);
    assert_eq!(count(&found, "/gaps") + count(&found, "/decode_errors") + count(&found, "/unknown_messages"), 0);
    assert!(found["books"].as_array().unwrap().iter().all(|book| book["state"] == "live"));
}
