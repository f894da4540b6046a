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

#[test]
fn every_tick_is_answered_over_sockets_and_the_report_holds_every_field() {
    let json = std::env::temp_dir().join(format!("tercel-bench-{}.json", std::process::id()));
    let args = ["--rate", "200", "--for", "300ms", "--rounds", "2", "--oversubscribe", "--idle", "spin-yield"];
    let value = bench(&args, &json);
    assert_figures(&value);
    assert_eq!(value["rounds"], 2);
    for counts in [&value["floor_counts"], &value["engine_counts"]] {
        assert_eq!(counts["ticks"], 2 * 60);
        assert_eq!(counts["asked"], 2 * 60);
        assert_eq!(counts["answered"], 2 * 60);
        for nothing in ["unanswered", "unmatched", "wrong_px"] {
            assert_eq!(counts[nothing], 0, "{nothing}");
        }
    }
    assert_eq!(value["latency_ns"]["wire_to_wire"]["count"], 2 * 60);
    let stamped = value["latency_ns"]["tick_to_order"]["count"].as_u64().unwrap();
    assert!(stamped >= 2 * 60, "the engine stamps every order: {stamped}");
}

#[test]
fn the_way_without_sockets_has_the_same_fields() {
    let json = std::env::temp_dir().join(format!("tercel-bench-memory-{}.json", std::process::id()));
    let value = bench(&["--in-memory", "--rate", "1000", "--for", "1s", "--rounds", "1"], &json);
    assert_figures(&value);
    assert_eq!(value["latency_ns"]["tick_to_order"]["count"], 10_000);
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
