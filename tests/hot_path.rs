//! What is said of hot threads, proven: no allocation, no system call but the sockets' own, no page fault, no voluntary context
//! switch, while ticks come and orders go. And that the proof fails when it should.
#![cfg(target_os = "linux")]

mod common;

use std::process::{Command, Output};
use std::sync::Mutex;

/// Its threads spin: two at a time would only wait for each other.
static ALONE: Mutex<()> = Mutex::new(());

fn bench(args: &[&str]) -> Output {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let args = [&["bench", "hot-path", "--json"], args].concat();
    Command::new(env!("CARGO_BIN_EXE_tercel")).args(args).output().unwrap()
}

#[track_caller]
fn holds(args: &[&str]) -> serde_json::Value {
    let out = bench(args);
    let (text, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{args:?}: {:?}\n{text}{errors}", out.status);
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    println!("{args:?}: {}", found["proof"]);
    assert!(found["proof"]["orders"].as_u64().unwrap() > 0);
    assert_eq!(found["failures"], serde_json::json!([]));
    found
}

#[track_caller]
fn fails(provocation: &str, code: i32, with: &str) {
    let out = bench(&["--for", "2s", "--rate", "200", "--provoke", provocation]);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{errors}");
    assert!(errors.contains(with), "{errors}");
}

#[test]
fn it_holds_on_one_thread() {
    holds(&["--for", "2s", "--rate", "2000"]);
}

#[test]
fn it_holds_on_two_threads() {
    holds(&["--for", "2s", "--rate", "200", "--topology", "feed+core | gateway"]);
}

#[test]
fn it_holds_on_three_threads_of_which_the_core_s_may_call_nothing() {
    let found = holds(&["--for", "2s", "--rate", "100", "--topology", "feed | core | gateway"]);
    assert_eq!(found["proof"]["threads"][1]["has_sockets"], false);
}

#[test]
fn over_tls_allocations_are_counted_and_bounded() {
    let found = holds(&["--for", "2s", "--rate", "1000", "--tls"]);
    assert!(
        found["proof"]["threads"][0]["allocations"].as_u64().unwrap() > 0,
        "sealing allocates, and that is counted"
    );
}

#[test]
fn it_holds_over_a_captured_burst() {
    let capture = common::captures().join("bybit/linear-20260809-4sym-ob200.jsonl.gz");
    if !capture.exists() {
        return common::say(&format!("SKIPPED: {}", capture.display()));
    }
    holds(&["--for", "5s", "--pace", "10", "--capture", capture.to_str().unwrap()]);
}

#[test]
fn a_system_call_ends_it() {
    fails("call", 97, "a hot thread made system call");
}

#[test]
fn an_allocation_is_found() {
    fails("allocation", 1, "2 allocations and frees");
}

#[test]
fn page_faults_are_found() {
    fails("fault", 1, "page faults");
}
