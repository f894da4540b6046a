//! The bench itself, for a second at a low rate: what it counts must add up. No latency is judged.

use std::path::PathBuf;
use std::process::Command;

fn bench(args: &[&str], json: &PathBuf) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_tercel"))
        .args(["bench", "tick-to-order", "--json"])
        .arg(json)
        .args(args)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    std::fs::remove_file(json).unwrap();
    value
}

fn assert_figures(json: &serde_json::Value) {
    for key in ["floor_ns", "excess_ns", "ratio_to_floor"] {
        for level in ["p50", "p99", "p999"] {
            assert!(json[key][level].is_number(), "{key}.{level}");
        }
    }
    let stages = ["frame", "decode", "queue_core", "decide", "queue_gateway", "encode", "send", "tick_to_order"];
    for stage in stages {
        for key in ["count", "p50", "p99", "p999", "max"] {
            assert!(json["latency_ns"][stage][key].is_u64(), "{stage}.{key}");
        }
        assert_eq!(json["latency_ns"][stage]["count"], json["latency_ns"]["tick_to_order"]["count"], "{stage}");
    }
    for key in ["machine", "command", "topology", "traffic", "load_average"] {
        assert!(!json[key].is_null(), "{key}");
    }
}

/// Small enough for a second, on any machine.
const SMALL: [&str; 7] = ["--for", "300ms", "--rounds", "2", "--oversubscribe", "--idle", "spin-yield"];

fn temp_json(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("tercel-bench-{name}-{}.json", std::process::id()))
}

fn contenders(case: &serde_json::Value) -> Vec<&str> {
    case["contenders"].as_array().unwrap().iter().map(|side| side["contender"].as_str().unwrap()).collect()
}

/// The slowest tick is among the worst: histograms round to three digits.
fn assert_same_ns(worst: &serde_json::Value, max: &serde_json::Value) {
    let [worst, max] = [worst, max].map(|ns| ns.as_u64().unwrap());
    assert!(worst <= max && max - worst <= max / 500, "{worst} {max}");
}

/// Every side answered every tick that asked, once, and at the right price.
fn assert_all_answered(case: &serde_json::Value, asked: u64) {
    for side in case["contenders"].as_array().unwrap() {
        let counts = &side["counts"];
        for all in ["asked", "answered"] {
            assert_eq!(counts[all], asked, "{all} in {} of {}", side["contender"], case["id"]);
        }
        for nothing in ["unanswered", "unmatched", "wrong_px"] {
            assert_eq!(counts[nothing], 0, "{nothing} in {} of {}", side["contender"], case["id"]);
        }
        assert!(side["to_floor"]["ratio"]["p50"]["median"].as_f64().unwrap() > 0.0);
        assert!(side["to_echo"]["excess_ns"]["p99"]["median"].is_i64());
    }
}

#[test]
fn every_tick_is_answered_over_sockets_and_the_report_holds_every_field() {
    let json = temp_json("plain");
    let value = bench(&[&["--rate", "200", "--no-rival"], &SMALL[..]].concat(), &json);
    assert_figures(&value);
    assert_eq!(value["rounds"], 2);
    assert_eq!(contenders(&value), ["echo", "floor", "engine"]);
    assert_all_answered(&value, 2 * 60);
    for counts in [&value["floor_counts"], &value["engine_counts"]] {
        assert_eq!(counts["ticks"], 2 * 60);
        assert_eq!(counts["answered"], 2 * 60);
    }
    assert_eq!(value["latency_ns"]["wire_to_wire"]["count"], 2 * 60);
    let stamped = value["latency_ns"]["tick_to_order"]["count"].as_u64().unwrap();
    assert!(stamped >= 2 * 60, "the engine stamps every order: {stamped}");
    let worst = value["worst"].as_array().unwrap();
    assert_eq!(worst.len(), 10);
    assert_same_ns(&worst[0]["latency_ns"], &value["contenders"][2]["max_ns"]);
    for tick in worst {
        // Each round plays 60 ticks of warm-up and 60 that are measured, and the engine keeps 64 orders whole.
        assert!((60..120).contains(&tick["tick"].as_u64().unwrap()), "{tick}");
        assert!(tick["frame"].as_str().unwrap().contains("\"topic\":\"orderbook.50.BTCUSDT\""), "{tick}");
        let stages = &tick["inside_ns"];
        if !stages.is_null() {
            let parts = ["frame", "decode", "queue_core", "decide", "queue_gateway", "encode", "send"];
            let sum: u64 = parts.iter().map(|part| stages[part].as_u64().unwrap()).sum();
            assert_eq!(sum, stages["tick_to_order"], "{tick}");
            assert!(sum < tick["latency_ns"].as_u64().unwrap(), "{tick}");
        }
    }
    assert!(worst.iter().any(|tick| !tick["inside_ns"].is_null()), "half of all orders are kept whole");
}

#[test]
fn every_load_is_played_over_every_carrier_in_one_run_and_reported_by_itself() {
    let (json, dir) = (temp_json("both"), std::env::temp_dir().join(format!("tercel-bench-{}", std::process::id())));
    let more = ["--transport", "both", "--rate", "100", "--tick-bytes", "296,1433", "--no-rival", "--rounds", "1"];
    let report = ["--report", dir.to_str().unwrap(), "--name", "small", "--worst", "1"];
    let small = ["--for", "300ms", "--oversubscribe", "--idle", "spin-yield"];
    let value = bench(&[&more[..], &report, &small].concat(), &json);
    let cases = value["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for (idx, case) in cases.iter().enumerate() {
        assert_eq!(case["carrier"], if idx < 2 { "plain" } else { "tls" });
        assert_all_answered(case, 30);
        let bytes = case["tick_frame_bytes"].as_u64().unwrap();
        assert!(bytes.abs_diff(if idx % 2 == 0 { 296 } else { 1433 }) < 30, "{bytes} in {}", case["id"]);
        assert_eq!(case["worst"].as_array().unwrap().len(), 1);
    }
    let entries: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(entries.len(), 1, "nothing half-written is left: {entries:?}");
    for case in cases {
        let folder = entries[0].path().join(case["id"].as_str().unwrap());
        for name in ["echo", "floor", "wire_to_wire", "decode"] {
            assert!(folder.join(format!("{name}.hgrm")).is_file(), "{} {name}", folder.display());
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// A real capture at two paces; skipped where there are no captures, unless this is CI.
#[test]
fn a_capture_is_played_at_every_pace_and_each_update_answered() {
    let captures = std::env::var_os("TERCEL_CAPTURES").map_or("../shared/captures".into(), PathBuf::from);
    let file = captures.join("bybit/linear-20260809-4sym-ob200.jsonl.gz");
    if !file.is_file() {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", file.display());
        eprintln!("skipped: {} is missing", file.display());
        return;
    }
    let json = temp_json("capture");
    let args = ["--capture", file.to_str().unwrap(), "--pace", "5,10", "--no-rival", "--rounds", "1"];
    let value = bench(&[&args[..], &["--for", "1s", "--oversubscribe", "--idle", "spin-yield"]].concat(), &json);
    let cases = value["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let asked = case["engine_counts"]["asked"].as_u64().unwrap();
        assert!(asked > 0, "{}", case["id"]);
        assert_all_answered(case, asked);
    }
    let [slow, fast] = [0, 1].map(|idx| cases[idx]["engine_counts"]["ticks"].as_u64().unwrap());
    assert!(fast > slow, "{fast} ticks at ten times the pace, {slow} at five times");
}

#[test]
fn the_way_without_sockets_has_the_same_fields() {
    let json = temp_json("memory");
    let args = ["--in-memory", "--rate", "1000", "--for", "1s", "--rounds", "1", "--tick-bytes", "296,1433"];
    let value = bench(&args, &json);
    assert_figures(&value);
    for case in value["cases"].as_array().unwrap() {
        assert_eq!(case["latency_ns"]["tick_to_order"]["count"], 10_000);
        assert_same_ns(&case["worst"][0]["latency_ns"], &case["latency_ns"]["tick_to_order"]["max"]);
    }
}

#[test]
fn what_the_machine_cannot_do_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_tercel"))
        .args(["bench", "tick-to-order", "--cpus", "4096,4097"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("cores") || errors.contains("--cpus"), "{errors}");
}
