//! `tercel scan` and a run over many instruments, against the simulated venue with hundreds of made-up instruments.

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Scratch, good, summary, tercel};
use serde_json::Value;
use tercel::simex::{FeedConfig, Simex, SimexConfig, SimexHandle};
use tercel::types::{ContractKind, ListingStatus, Product};
use tercel::venue::bybit::RestRequest;
use tercel::venue::bybit::rest::{RestClient, RestConfig};

/// A venue of 500 instruments.
fn venue() -> SimexHandle {
    let mut config = SimexConfig::default();
    config.list_universe(500, 11, 100);
    config.feed = FeedConfig::Population { seed: 11 };
    Simex::start(config, SocketAddr::from(([127, 0, 0, 1], 0)), None).unwrap()
}

fn scan(venue: &SimexHandle, args: &[&str]) -> Command {
    let mut command = tercel(["scan", "--rest", &format!("http://{}", venue.addr())]);
    command.args(args);
    command
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn names(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item["symbol"].as_str().unwrap().to_owned()).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} should be a number"))
}

fn decimal(value: &Value) -> f64 {
    value.as_str().unwrap_or_else(|| panic!("{value} should be a decimal string")).parse().unwrap()
}

#[test]
fn all_instruments_are_found_whatever_the_length_of_a_page() {
    let venue = venue();
    let listed = |page_len| {
        let config = RestConfig { page_len, ..RestConfig::new(&format!("http://{}", venue.addr())) };
        RestClient::new(config).unwrap().listings(Product::Linear).unwrap()
    };
    let (small, large) = (listed(37), listed(1000));
    assert_eq!((&small.found, &small.unusable), (&large.found, &large.unusable));
    assert_eq!(large.requests, 3);
    assert_eq!(small.requests, 13 + 2, "480 that trade by pages of 37, and one page of each other status");
    assert_eq!(large.trading().count(), 480);
    let count = |status| large.found.iter().filter(|l| l.status == status).count();
    assert_eq!((count(ListingStatus::PreLaunch), count(ListingStatus::Delivering)), (10, 5));
    assert_eq!(large.found.iter().filter(|l| l.contract == ContractKind::Future).count(), 10);
    assert!(large.found.iter().all(|l| l.launched.is_some() && !l.base.is_empty() && l.settle == "USDT"));
    venue.join();
}

#[test]
fn the_report_accounts_for_every_instrument_and_keeps_its_schema() {
    let venue = venue();
    let found = json(&good(&mut scan(&venue, &["--json", "--top", "1000", "--klines", "5"])));
    for key in [
        "venue",
        "rest",
        "product",
        "taken_ms",
        "requests",
        "listed",
        "passed",
        "fees_from",
        "klines_read",
        "ranked",
        "rejected_by_reason",
        "rejected",
        "unusable",
        "without_klines",
    ] {
        assert!(!found[key].is_null(), "{key} is missing");
    }
    let ranked = found["ranked"].as_array().unwrap();
    assert!(ranked.len() > 100);
    assert_eq!(found["listed"], 495, "all but those that are closed");
    let all: BTreeSet<String> = ["ranked", "rejected", "unusable"].iter().flat_map(|key| names(&found[*key])).collect();
    assert_eq!(all.len(), 495);
    let counted: u64 = found["rejected_by_reason"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(counted as usize, found["rejected"].as_array().unwrap().len());
    for (idx, row) in ranked.iter().enumerate() {
        assert_eq!(row["place"], idx + 1);
        let parts = ["turnover", "edge", "volatility", "funding"].map(|part| number(&row[format!("score_{part}")]));
        assert!((parts.iter().sum::<f64>() - number(&row["score"])).abs() < 1e-9);
        let (bid, ask) = (decimal(&row["bid_px"]), decimal(&row["ask_px"]));
        assert!(((ask - bid) / (ask + bid) * 2e4 - number(&row["spread_bps"])).abs() < 1e-6, "{row}");
        for money in ["turnover_24h", "min_order_value", "tick", "lot", "min_qty", "max_qty", "max_leverage"] {
            decimal(&row[money]);
        }
    }
    assert!(ranked.windows(2).all(|pair| number(&pair[0]["score"]) >= number(&pair[1]["score"])));
    assert_eq!(found["klines_read"], 5);
    let by_klines = ranked.iter().filter(|row| row["volatility_from"] == "klines").count();
    let without = found["without_klines"].as_array().unwrap().len();
    assert!(by_klines >= 1 && by_klines + without <= 5, "{by_klines} {without}");
    venue.join();
}

/// Answers every request for the path with its text, until the program ends.
fn canned(answers: Vec<(&'static str, String)>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&client).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            let _ = lines.take_while(|line| !line.is_empty()).count();
            let nothing = r#"{"retCode":0,"result":{"list":[],"nextPageCursor":""}}"#.to_owned();
            let found = answers.iter().find(|(path, _)| first.contains(path) && !first.contains("status="));
            let text = found.map_or(nothing, |(_, text)| text.clone());
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
            let _ = (&client).write_all((head + &text).as_bytes());
        }
    });
    addr
}

#[test]
fn the_same_market_is_always_ranked_the_same() {
    let venue = venue();
    let rest = RestClient::new(RestConfig::new(&format!("http://{}", venue.addr()))).unwrap();
    let list = |path, query: &str| {
        let request = RestRequest { path, query: query.to_owned(), is_private: false };
        rest.ask(&request, 0).unwrap()["list"].as_array().unwrap().clone()
    };
    let mut instruments = list("/v5/market/instruments-info", "category=linear&limit=1000");
    let mut tickers = list("/v5/market/tickers", "category=linear");
    venue.join();
    let mut look = |turn: usize| {
        // The venue promises no order.
        instruments.rotate_left(turn);
        tickers.reverse();
        let body = |list: &[Value]| serde_json::json!({"retCode": 0, "result": {"list": list, "nextPageCursor": ""}});
        let addr =
            canned(vec![("instruments-info", body(&instruments).to_string()), ("tickers", body(&tickers).to_string())]);
        let mut command = tercel(["scan", "--json", "--top", "1000", "--rest", &format!("http://{addr}")]);
        let mut found = json(&good(&mut command));
        // All but when and where.
        for key in ["taken_ms", "rest"] {
            found[key] = Value::Null;
        }
        found
    };
    let first = look(0);
    assert!(first["passed"].as_u64().unwrap() > 100, "{}", first["rejected_by_reason"]);
    for turn in [0, 1, 250] {
        assert_eq!(look(turn), first);
    }
}

#[test]
fn filters_on_the_command_line_and_in_the_table_mean_the_same() {
    let dir = Scratch::new("scan-filters");
    let venue = venue();
    let file = dir.file("scan.toml");
    let base = format!("[venue]\nenvironment = \"custom\"\nws = \"ws://{0}\"\nrest = \"http://{0}\"\n", venue.addr());
    let by_table = |table: &str| {
        std::fs::write(&file, format!("{base}[scan]\n{table}\n")).unwrap();
        json(&good(tercel(["scan", "--json", "--top", "1000", "--config"]).arg(&file)))
    };
    let by_flags = |flags: &[&str]| {
        let mut args = vec!["--json", "--top", "1000"];
        args.extend(flags);
        json(&good(&mut scan(&venue, &args)))
    };
    type Holds = fn(&Value) -> bool;
    let cases: [(&str, &[&str], &str, Holds); 6] = [
        ("turnover-min = \"10000000\"", &["--turnover-min", "10000000"], "turnover", |row| {
            decimal(&row["turnover_24h"]) >= 1e7
        }),
        ("spread-max-bps = \"5\"", &["--spread-max", "5"], "spread-wide", |row| number(&row["spread_bps"]) <= 5.0),
        ("funding-max-bps = 3", &["--funding-max", "3"], "funding", |row| {
            number(&row["funding_bps_per_day"]).abs() <= 3.0
        }),
        ("age-min = \"8760h\"", &["--age-min", "8760h"], "age", |row| row["launched_ms"].is_u64()),
        ("order-value = 4", &["--order-value", "4"], "min-order", |row| decimal(&row["min_order_value"]) <= 4.0),
        ("leverage-min-e2 = 7500", &["--leverage-min", "7500"], "leverage", |row| {
            decimal(&row["max_leverage"]) >= 75.0
        }),
    ];
    for (table, flags, reason, holds) in cases {
        let found = by_table(table);
        let rows = found["ranked"].as_array().unwrap();
        assert!(!rows.is_empty() && rows.iter().all(holds), "{table}");
        let rejected = found["rejected"].as_array().unwrap().iter().filter(|item| item["reason"] == reason).count();
        assert!(rejected > 0, "{table}: {}", found["rejected_by_reason"]);
        // The market moves between the two looks, so what is compared is what cannot move by much.
        let passed = |found: &Value| found["passed"].as_i64().unwrap();
        let again = by_flags(flags);
        assert!(again["ranked"].as_array().unwrap().iter().all(holds), "{flags:?}");
        assert!((passed(&again) - passed(&found)).abs() <= 60, "{table}: {} {}", passed(&again), passed(&found));
    }
    let two = by_flags(&["--include", "BTCUSDT,ETHUSDT", "--exclude", "ETHUSDT"]);
    assert_eq!(names(&two["ranked"]), ["BTCUSDT"]);
    assert_eq!(two["rejected_by_reason"]["not-included"], 493);
    let futures = by_flags(&["--futures", "--spread-max", "10000", "--funding-max", "10000"]);
    assert!(futures["ranked"].as_array().unwrap().iter().any(|row| row["contract"] == "future"));
    venue.join();
}

#[test]
fn the_table_is_for_people_and_a_watch_tells_who_came_and_who_left() {
    let venue = venue();
    let output = good(&mut scan(&venue, &["--top", "3"]));
    let text = String::from_utf8(output.stdout).unwrap();
    for word in ["495 listed", "bps/min", "BTCUSDT", "rejected: "] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("USDT")).collect();
    assert_eq!(rows.len(), 3, "{text}");
    assert!(rows.windows(2).all(|pair| pair[0].chars().count() == pair[1].chars().count()), "aligned:\n{text}");
    let output = good(&mut scan(&venue, &["--top", "30", "--watch", "1s", "--for", "3s", "--json"]));
    let text = String::from_utf8(output.stdout).unwrap();
    let looks: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(looks.len() >= 2, "{}", looks.len());
    assert!(looks[0]["entered"].is_null());
    for pair in looks.windows(2) {
        let sets = [0, 1].map(|idx| names(&pair[idx]["ranked"]).into_iter().collect::<BTreeSet<_>>());
        let told =
            |key: &str| pair[1][key].as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned()).collect();
        assert_eq!(sets[1].difference(&sets[0]).cloned().collect::<BTreeSet<_>>(), told("entered"));
        assert_eq!(sets[0].difference(&sets[1]).cloned().collect::<BTreeSet<_>>(), told("left"));
    }
    venue.join();
}

#[test]
fn what_cannot_be_scanned_is_said_with_the_right_exit_code() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (args, code, word) in [
        (vec!["--rest", &format!("http://{closed}")], 1, "cannot be reached"),
        (vec!["--rest", "http://example.com"], 2, "https://"),
        (vec!["--klines", "201"], 2, "klines"),
        (vec!["--turnover-min=-1"], 2, "turnover-min"),
        (vec!["--environment", "custom"], 2, "--rest"),
    ] {
        let output = tercel(["scan"]).args(&args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(word), "{args:?}: {text}");
    }
    // Nothing that passes is no failure of a scan, and no start for a run.
    let output = good(tercel(["scan", "--spread-min", "500"]).arg("--json"));
    assert_eq!(json(&output)["passed"], 0);
    let dir = Scratch::new("scan-none");
    let file = dir.file("none.toml");
    std::fs::write(&file, "[scan]\nsubscribe = 2\nspread-min-bps = 500\n").unwrap();
    let output = tercel(["run", "--for", "1s", "--config"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A program that is ended with the test, however the test ends.
struct Running {
    child: Child,
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The simulated venue in a process of its own, and its address.
fn venue_process(instruments: &str) -> (Running, String) {
    let mut command = tercel(["simex", "--addr", "127.0.0.1:0", "--for", "120s", "--instruments", instruments]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // The reader is kept: a venue that cannot say its piece ends.
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let child = Running { child, _stdout: Some(stdout) };
    let address =
        line.split("ws://").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_else(|| panic!("{line}"));
    (child, address.to_owned())
}

fn run_on(address: &str, file: &Path, extra: &str) -> Command {
    let text =
        format!("[venue]\nenvironment = \"custom\"\nws = \"ws://{address}\"\nrest = \"http://{address}\"\n{extra}");
    std::fs::write(file, text).unwrap();
    let mut command = tercel(["run", "--config"]);
    command.arg(file).env("TERCEL_API_KEY", "simulated-key").env("TERCEL_API_SECRET", "simulated-secret");
    command
}

/// All books live, no gap, nothing refused.
fn assert_whole(found: &Value, books: usize) {
    let states = found["books"].as_array().unwrap();
    assert_eq!(states.len(), books);
    assert!(states.iter().all(|book| book["state"] == "live" && book["levels_dropped"] == 0), "{states:?}");
    for count in ["gaps", "resyncs", "decode_errors", "unknown_symbols", "unknown_messages"] {
        assert_eq!(found[count], 0, "{count}: {}", found["first_errors"]);
    }
    assert_eq!(found["top_of_book"]["checked"], found["top_of_book"]["equal"]);
    assert!(found["top_of_book"]["checked"].as_u64().unwrap() > 0);
    assert_eq!(found["reconciled"], true);
    assert_eq!(found["hot_allocations"], 0);
}

#[test]
fn more_than_a_hundred_instruments_are_live_at_once_without_a_gap() {
    let dir = Scratch::new("scan-live");
    let (_venue, address) = venue_process("500");
    let json = dir.file("summary.json");
    let mut command = run_on(&address, &dir.file("run.toml"), "[orders]\nrun-id-file = \"RUN\"\n");
    let text = std::fs::read_to_string(dir.file("run.toml")).unwrap();
    std::fs::write(dir.file("run.toml"), text.replace("RUN", dir.file("run-id").to_str().unwrap())).unwrap();
    command.args(["--strategy", "watch", "--scan-top", "120", "--for", "5s", "--json"]).arg(&json);
    let output = good(&mut command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("subscribing the best 120 of") && said.contains("books of 120 instruments"), "{said}");
    assert_whole(&summary(&json), 120);
}

#[test]
fn what_one_connection_may_not_carry_is_spread_over_several() {
    let dir = Scratch::new("scan-spread");
    let (_venue, address) = venue_process("500");
    let json = dir.file("summary.json");
    let extra = format!(
        "[orders]\nrun-id-file = {:?}\n[scan]\nspread-max-bps = 10000\nfunding-max-bps = 10000\nsubscribe = 400\n",
        dir.file("run-id")
    );
    let mut command = run_on(&address, &dir.file("run.toml"), &extra);
    let output = good(command.args(["--strategy", "watch", "--for", "4s", "--json"]).arg(&json));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("400 instruments over 2 market data connections"), "{said}");
    let found = summary(&json);
    assert_whole(&found, 400);
}

/// Passes HTTP requests on to the venue; once `halts` is set, the venue's list says that ETHUSDT is closed and that the tick
/// of BTCUSDT is another.
fn list_changer(venue: SocketAddr, halts: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), halts) = (client, halts.clone()) else { return };
            std::thread::spawn(move || pass_on(client, venue, &halts));
        }
    });
    addr
}

/// One request and its answer.
fn pass_on(mut client: TcpStream, venue: SocketAddr, halts: &AtomicBool) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        let lower = line.to_lowercase();
        length = lower.strip_prefix("content-length:").map_or(length, |text| text.trim().parse().unwrap_or(0));
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut upstream = TcpStream::connect(venue).ok()?;
    upstream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).ok()?;
    upstream.write_all(&body).ok()?;
    let mut answer = String::new();
    upstream.read_to_string(&mut answer).ok()?;
    let (_, found) = answer.split_once("\r\n\r\n")?;
    let mut found: Value = serde_json::from_str(found).ok()?;
    if head.contains("instruments-info") && halts.load(Ordering::SeqCst) {
        for item in found["result"]["list"].as_array_mut().into_iter().flatten() {
            if item["symbol"] == "ETHUSDT" {
                item["status"] = "Closed".into();
            } else {
                item["priceFilter"]["tickSize"] = "0.5".into();
            }
        }
    }
    let text = found.to_string();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    client.write_all(head.as_bytes()).ok()?;
    client.write_all(text.as_bytes()).ok()
}

#[test]
fn instruments_that_change_are_withdrawn_while_trading() {
    let dir = Scratch::new("scan-halt");
    let config = SimexConfig::default();
    let venue = Simex::start(config, SocketAddr::from(([127, 0, 0, 1], 0)), None).unwrap();
    let halts = Arc::new(AtomicBool::new(false));
    let list = list_changer(venue.addr(), halts.clone());
    let file = dir.file("run.toml");
    let extra = format!(
        "[[instruments]]\nsymbol = \"BTCUSDT\"\n[[instruments]]\nsymbol = \"ETHUSDT\"\n[scan]\nrefresh = \"1s\"\n[orders]\nrun-id-file = {:?}\n",
        dir.file("run-id")
    );
    let json = dir.file("summary.json");
    let mut command = run_on(&venue.addr().to_string(), &file, &extra);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&format!("http://{}", venue.addr()), &format!("http://{list}"))).unwrap();
    command.args(["--for", "12s", "--json"]).arg(&json).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut run = Running { child: command.spawn().unwrap(), _stdout: None };
    let mut said = String::new();
    let mut lines = BufReader::new(run.child.stderr.take().unwrap()).lines().map_while(Result::ok);
    // It trades first; then the list changes.
    let requests = |line: &str| line.split("requests ").nth(1)?.split(' ').next()?.parse::<u64>().ok();
    for line in lines.by_ref() {
        if requests(&line).is_some_and(|count| count > 0) {
            break;
        }
    }
    halts.store(true, Ordering::SeqCst);
    let mut after = Vec::new();
    for line in lines {
        if said.matches("withdrawn: ").count() == 2 {
            after.extend(requests(&line));
        }
        said.push_str(&line);
        said.push('\n');
    }
    let status = run.child.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("withdrawn: ETHUSDT: its status is closed"), "{said}");
    assert!(said.contains("withdrawn: BTCUSDT: its steps changed: tick 0.1 -> 0.5"), "{said}");
    assert_eq!(said.matches("withdrawn: ").count(), 2, "each is said once\n{said}");
    // What was open is cancelled within the next moments, and nothing leaves any more.
    assert!(after.len() > 4 && after[3..].windows(2).all(|pair| pair[0] == pair[1]), "{after:?}\n{said}");
    let found = summary(&json);
    assert!(found["orders"]["sent"].as_u64().unwrap() > 0);
    assert_eq!((&found["orders"]["open_at_end"], &found["reconciled"]), (&Value::from(0), &Value::from(true)));
    assert!(found["books"].as_array().unwrap().iter().all(|book| book["withdrawn"] == true));
    venue.join();
}
