//! Bybit's own Python client, as published, against `tercel simex` over TLS: what a stranger to this project expects of the venue.
//!
//! The script is `tests/pybit/check.py`, its packages are pinned in `tests/pybit/requirements.txt`, and their virtual environment is
//! kept in the target folder. Without Python or the package index the test says that it was skipped; where `CI` is set it fails.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Scratch, python, say, tercel};

/// A process that ends with its name.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the venue and returns it with the address that it tells.
fn venue(scratch: &Scratch) -> (Running, String) {
    let config = scratch.file("simex.toml");
    fs::write(&config, "[simex]\nbalance = \"10000000\"\ninstruments = 150\nspot = true\n").unwrap();
    let mut command = tercel(["simex", "--addr", "127.0.0.1:0", "--latency", "2ms", "--for", "180s"]);
    // The client registers a request only after it was sent; an answer within microseconds would find nobody.
    command.arg("--config").arg(&config).arg("--tls").arg(scratch.file("tls"));
    let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut told = BufReader::new(running.0.stdout.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    let host = line.split("wss://").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    // Whatever else it says is read, so that it never waits for a reader.
    std::thread::spawn(move || told.read_to_end(&mut Vec::new()));
    (running, host.unwrap_or_else(|| panic!("an address in {line:?}")))
}

#[test]
fn bybits_own_client_finds_its_venue() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pybit");
    let python = match python("pybit", &folder.join("requirements.txt")) {
        Ok(python) => python,
        Err(why) if std::env::var_os("CI").is_some() => panic!("no Python with pybit, and CI must have it: {why}"),
        Err(why) => return say(&format!("SKIPPED: no Python with pybit: {why}")),
    };
    let scratch = Scratch::new("pybit");
    let (_venue, host) = venue(&scratch);
    let (out, err) = (scratch.file("out"), scratch.file("err"));
    let ca = scratch.file("tls").join("ca.pem");
    let mut command = Command::new(python);
    command.arg(folder.join("check.py")).arg(&host).arg(&ca).args(["simulated-key", "simulated-secret"]);
    command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
    let mut script = Running(command.spawn().unwrap());
    let started = Instant::now();
    let ended = loop {
        match script.0.try_wait().unwrap() {
            Some(status) => break Some(status),
            // A client that waits for ever must not hang the tests; it takes some ten seconds.
            None if started.elapsed() > Duration::from_secs(150) => break None,
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let [said, complained] = [out, err].map(|file| fs::read_to_string(file).unwrap());
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}\n{said}\n{complained}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("all "), "{said}");
    say(&format!("pybit: {last}"));
}
