//! `tercel check-venue` against simulated venues, good and bad.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Output;

use common::{Scratch, tercel};
use serde_json::Value;
use tercel::simex::{AccountConfig, Simex, SimexConfig};

fn config(dir: &Scratch, addr: SocketAddr, more: &str) -> PathBuf {
    let file = dir.file("check.toml");
    let text = format!(
        "[venue]\nenvironment = \"custom\"\nws = \"ws://{addr}\"\nrest = \"http://{addr}\"\n{more}\n[[instruments]]\nsymbol = \"BTCUSDT\"\n"
    );
    std::fs::write(&file, text).unwrap();
    file
}

fn check(file: &PathBuf, secret: &str, args: &[&str]) -> (Output, Value) {
    let mut command = tercel(["check-venue", "--json", "--watch-for", "3s", "--config"]);
    command.arg(file).args(args);
    command.env("TERCEL_API_KEY", AccountConfig::default().api_key).env("TERCEL_API_SECRET", secret);
    let output = command.output().unwrap();
    let found = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    });
    (output, found)
}

fn steps(found: &Value, verdict: &str) -> Vec<String> {
    let steps = found["steps"].as_array().unwrap().iter().filter(|step| step["verdict"] == verdict);
    steps.map(|step| step["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_good_venue_passes_every_step_and_keeps_nothing_open() {
    let secret = AccountConfig::default().api_secret;
    for more in ["", "order-entry = \"rest\""] {
        let dir = Scratch::new("check");
        let venue = Simex::start(SimexConfig::default(), "127.0.0.1:0".parse().unwrap(), None).unwrap();
        let file = config(&dir, venue.addr(), more);
        let (output, found) = check(&file, &secret, &["--trade"]);
        assert_eq!(output.status.code(), Some(0), "{found:#}");
        assert_eq!(found["good"], true);
        let passed = steps(&found, "PASS");
        for step in [
            "rest",
            "clock",
            "instruments",
            "order-book",
            "public-stream",
            "sequence",
            "top-of-book",
            "key",
            "account-mode",
            "position-mode",
            "private-stream",
            "place",
            "order-stream-new",
            "listed",
            "duplicate-id",
            "amend",
            "order-stream-amended",
            "cancel",
            "order-stream-cancelled",
            "history",
            "cancel-unknown",
            "post-only-crossing",
            "rate-limit-headers",
            "market-buy",
            "fast-executions",
            "market-sell",
            "flat-after",
            "wallet-change",
            "nothing-left-open",
            "no-position-left",
        ] {
            assert!(passed.iter().any(|name| name == step), "{step}: {found:#}");
        }
        let allowed = ["permissions", "order-entry-socket"];
        assert!(steps(&found, "SKIP").iter().all(|name| allowed.contains(&name.as_str())), "{found:#}");
        let report = venue.join();
        assert!(report.accounts[0].fills >= 2);
    }
}

#[test]
fn a_wrong_secret_is_a_failed_step_and_nothing_is_placed() {
    let dir = Scratch::new("check-secret");
    let venue = Simex::start(SimexConfig::default(), "127.0.0.1:0".parse().unwrap(), None).unwrap();
    let (output, found) = check(&config(&dir, venue.addr(), ""), "not-the-secret", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(steps(&found, "FAIL"), ["key"]);
    assert!(found.to_string().contains("10004") && !found.to_string().contains("not-the-secret"));
    assert!(!steps(&found, "PASS").iter().any(|name| name == "place"));
    venue.join();
}

#[test]
fn a_venue_that_is_down_fails_at_the_first_step() {
    let dir = Scratch::new("check-down");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let (output, found) = check(&config(&dir, addr, ""), "secret", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(steps(&found, "FAIL"), ["rest"]);
}

#[test]
fn a_clock_that_is_far_off_is_a_failed_step() {
    let dir = Scratch::new("check-clock");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    // Answers everything with a time of long ago, until the test ends.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut chunk = [0; 4096];
            let _ = stream.read(&mut chunk);
            let body = r#"{"retCode":0,"retMsg":"OK","result":{"timeSecond":"1688639403","timeNano":"1688639403423213947"},"time":1}"#;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(head.as_bytes());
        }
    });
    let (output, found) = check(&config(&dir, addr, ""), "secret", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(steps(&found, "PASS").contains(&"rest".to_owned()));
    assert!(steps(&found, "FAIL").contains(&"clock".to_owned()), "{found:#}");
}

#[test]
fn a_real_venue_needs_the_word() {
    let dir = Scratch::new("check-real");
    let file = dir.file("real.toml");
    std::fs::write(&file, "[venue]\nenvironment = \"demo\"\n").unwrap();
    let output = tercel(["check-venue", "--config"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--live"));
}

#[test]
fn a_signal_ends_it_in_order() {
    let mut child =
        tercel(["check-venue", "--json", "--watch-for", "60s"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(steps(&found, "SKIP"), ["account-and-orders"], "{found:#}");
}
