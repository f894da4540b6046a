//! `tercel replay` on every capture there is, and on generated ones: what it must find, and that it decides the same on
//! every topology.

mod common;

use std::path::Path;

use common::{DIALECTS, Scratch, captures, generated, good, say, summary, tercel, topologies};
use serde_json::Value;
use tercel::journal::synthetic::{SyntheticConfig, generate};

/// What the captures' README says of one.
struct Listed {
    name: &'static str,
    messages: u64,
    /// Comparisons with the venue's own top: at least so many, of which at most so many differ.
    top: (u64, u64),
    /// Symbol, best bid, its quantity, best ask, its quantity, levels.
    book: Option<(&'static str, [&'static str; 4], [u64; 2])>,
    assume_empty: bool,
}

const fn listed(name: &'static str, messages: u64, top: (u64, u64)) -> Listed {
    Listed { name, messages, top, book: None, assume_empty: false }
}

/// Message counts hold the snapshots that stand in files of their own (4 and 10).
const LISTED: &[Listed] = &[
    Listed {
        book: Some(("BTCUSDT", ["61659.7", "1.486", "61659.8", "0.981"], [5018, 4578])),
        ..listed("binance-usdm/20240808-btcusdt", 93_954, (6_547, 0))
    },
    Listed {
        book: Some(("ETHUSDT", ["2681.38", "8.486", "2681.39", "22.624"], [3181, 3013])),
        ..listed("binance-usdm/20240808-ethusdt", 74_655, (6_581, 0))
    },
    Listed {
        book: Some(("BTCUSDT", ["28140.1", "8.251", "28140.2", "7.212"], [5393, 3847])),
        ..listed("binance-usdm/20230404-btcusdt", 73_765, (16_110, 0))
    },
    listed("binance-usdm/20210722-4sym-100ms", 1_535 + 4, (744, 0)),
    Listed { assume_empty: true, ..listed("binance-usdm/20260928-btcusdt-depth-burst", 3, (0, 0)) },
    listed("binance-usdm/20260930-btc-eth-markprice", 20, (0, 0)),
    Listed {
        book: Some(("BTCUSD_PERP", ["61600.0", "27", "61600.1", "1647"], [1510, 1733])),
        ..listed("binance-coinm/20240808-btcusd_perp", 98_386, (44_772, 0))
    },
    listed("binance-coinm/20210722-10sym-100ms", 4_371 + 10, (1_788, 3)),
    Listed {
        book: Some(("BTCUSDT", ["61602.01", "1.67177", "61602.02", "2.66795"], [1971, 2962])),
        ..listed("binance-spot/20240808-btcusdt", 99_574, (6_493, 2))
    },
    Listed { assume_empty: true, ..listed("binance-spot/20230405-btcusdt-nosnapshot", 15_088, (3_929, 0)) },
    Listed {
        book: Some(("NEXOUSDT", ["1.161", "303.83", "1.163", "221.58"], [269, 869])),
        ..listed("binance-spot/20240723-nexousdt-34h", 166_840, (99_028, 0))
    },
    listed("bybit/linear-20260809-4sym-ob200", 2_546, (620, 4)),
    listed("bybit/linear-20250613-4sym-ob1", 202, (0, 0)),
    listed("bybit/linear-20241201-xrpusdt-ob500-archive", 50, (0, 0)),
    listed("bybit/linear-20260930-btc-eth-tickers", 964, (0, 0)),
    listed("bybit/spot-testnet-20260913-btcusdt-ob50-ob1", 43, (13, 0)),
];

fn replay(dir: &Scratch, capture: &Path, args: &[&str]) -> Value {
    let json = dir.file("summary.json");
    let mut command = tercel(["replay".as_ref(), capture.as_os_str()]);
    good(command.args(args).arg("--json").arg(&json));
    summary(&json)
}

fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} should be a count in {value}"))
}

/// Nothing refused, nothing unexplained, no gap, no book that is not live but those that never got data.
fn assert_clean(name: &str, found: &Value) {
    for path in ["/decode_errors", "/unknown_messages", "/unknown_symbols", "/gaps", "/resyncs", "/crossed"] {
        assert_eq!(number(found, path), 0, "{name}: {path}");
    }
}

#[test]
fn every_capture_is_understood_and_rebuilt() {
    let dir = Scratch::new("captures");
    let (mut ran, mut missing) = (0, 0);
    for want in LISTED {
        let capture = captures().join(format!("{}.jsonl.gz", want.name));
        if !capture.exists() {
            missing += 1;
            say(&format!("SKIPPED: {}: no such capture in {}", want.name, captures().display()));
            continue;
        }
        ran += 1;
        let flags: &[&str] = if want.assume_empty { &["--assume-empty"] } else { &[] };
        let found = replay(&dir, &capture, &[&["--strategy", "watch"], flags].concat());
        assert_clean(want.name, &found);
        assert_eq!(number(&found, "/messages"), want.messages, "{}", want.name);
        let (checked, equal) = (number(&found, "/top_of_book/checked"), number(&found, "/top_of_book/equal"));
        let (least, bad) = want.top;
        assert!(checked >= least, "{}: {checked} checks, {least} listed", want.name);
        assert!(checked - equal <= bad, "{}: {equal} of {checked} equal, {bad} may differ", want.name);
        if let Some((symbol, tops, levels)) = want.book {
            let books = found["books"].as_array().unwrap();
            let book = books.iter().find(|book| book["instrument"] == symbol).unwrap();
            assert_eq!(book["state"], "live", "{}", want.name);
            let decimal = |key: &str| book[key].as_str().unwrap().parse::<f64>().unwrap();
            for (key, want_text) in ["bid_px", "bid_qty", "ask_px", "ask_qty"].into_iter().zip(tops) {
                assert_eq!(decimal(key), want_text.parse::<f64>().unwrap(), "{}: {key}", want.name);
            }
            assert_eq!([number(book, "/bid_levels"), number(book, "/ask_levels")], levels, "{}", want.name);
        }
        if want.name.contains("nosnapshot") {
            let without = replay(&dir, &capture, &["--strategy", "watch"]);
            assert_ne!(
                without["books"][0]["state"], "live",
                "without a snapshot only --assume-empty makes a book live"
            );
        }
    }
    say(&format!("CAPTURES: {ran} replayed, {missing} missing"));
}

#[test]
fn generated_captures_are_understood_and_rebuilt() {
    let dir = Scratch::new("generated");
    for venue in DIALECTS {
        for (instruments, with_sidecar) in [(1, false), (3, true)] {
            let config = SyntheticConfig { instruments, ..SyntheticConfig::new(venue, 40 + instruments as u64) };
            let capture = generated(&dir, &config, with_sidecar);
            let found = replay(&dir, &capture, &["--strategy", "watch"]);
            let name = format!("{} with {instruments}", venue.name());
            assert_clean(&name, &found);
            let (checked, equal) = (number(&found, "/top_of_book/checked"), number(&found, "/top_of_book/equal"));
            assert!(checked > 100, "{name}: {checked} checks");
            assert_eq!(checked, equal, "{name}");
            let made = generate(&config);
            assert_eq!(number(&found, "/trades"), made.trades, "{name}");
            for book in found["books"].as_array().unwrap() {
                assert_eq!(book["state"], "live", "{name}");
                let want = made.books.iter().find(|want| book["instrument"] == want.symbol.as_str()).unwrap();
                assert_eq!(number(book, "/bid_levels"), want.bid_levels as u64, "{name}");
                assert_eq!(number(book, "/ask_levels"), want.ask_levels as u64, "{name}");
            }
        }
    }
}

/// Replays twice on every topology and compares the commands; returns how many there were.
fn assert_same_commands(dir: &Scratch, capture: &Path, args: &[&str]) -> usize {
    let mut first: Option<Vec<u8>> = None;
    for round in 0..2 {
        for topology in topologies() {
            let file = dir.file("commands.bin");
            let file_text = file.to_str().unwrap();
            let found = replay(dir, capture, &[args, &["--topology", &topology, "--commands", file_text]].concat());
            assert_eq!(found["reconciled"], true, "{topology}");
            let commands = std::fs::read(&file).unwrap();
            assert_eq!(commands.len() % 40, 0);
            assert_eq!(commands.len() / 40, number(&found, "/commands") as usize);
            match &first {
                None => first = Some(commands),
                Some(first) => assert!(*first == commands, "round {round} on {topology} decided differently"),
            }
        }
    }
    first.map_or(0, |commands| commands.len() / 40)
}

#[test]
fn every_topology_decides_the_same_on_a_generated_capture() {
    let dir = Scratch::new("same-generated");
    let config = SyntheticConfig { depth_events: 6_000, ..SyntheticConfig::new(tercel::types::VenueId::BYBIT, 77) };
    let capture = generated(&dir, &config, true);
    // The generated queues lean less than real ones do.
    let eager = dir.file("eager.toml");
    std::fs::write(&eager, "[imbalance-taker]\nthreshold = 0.1\nedge-bar-bps = 0\n").unwrap();
    for strategy in ["market-maker", "imbalance-taker"] {
        let args = ["--strategy", strategy, "--config", eager.to_str().unwrap()];
        let count = assert_same_commands(&dir, &capture, &args);
        assert!(count >= 50, "{strategy}: {count} commands");
    }
}

/// Models that draw, that queue and that delay the feed decide the same on every topology, and otherwise than each other.
#[test]
fn latency_and_queue_models_decide_the_same_on_every_topology() {
    let dir = Scratch::new("models");
    let made = SyntheticConfig { depth_events: 4_000, ..SyntheticConfig::new(tercel::types::VenueId::BYBIT, 31) };
    let capture = generated(&dir, &made, true);
    let recorded = dir.file("ns.txt");
    std::fs::write(&recorded, "200000\n3000000\n900000\n15000000\n").unwrap();
    let recorded = recorded.display();
    let mut decided = Vec::new();
    for (idx, lines) in [
        "".to_owned(),
        "feed-latency = \"3ms\"".to_owned(),
        format!("feed-latency = \"recorded:{recorded}\"\nentry-latency = \"recorded:{recorded}\"\nack-latency = \"recorded:{recorded}\""),
        format!("feed-latency = \"load:100us+2ms\"\nentry-latency = \"sequence:{recorded}\"\nack-latency = \"load:1ms+1ms\""),
        "queue-model = \"power:2\"".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let config = dir.file(&format!("{idx}.toml"));
        std::fs::write(&config, format!("[simex]\n{lines}\n")).unwrap();
        let config = config.to_str().unwrap();
        let count = assert_same_commands(&dir, &capture, &["--config", config]);
        assert!(count >= 50, "{lines}: {count} commands");
        decided.push(std::fs::read(dir.file("commands.bin")).unwrap());
    }
    for (idx, one) in decided.iter().enumerate() {
        assert!(decided[idx + 1..].iter().all(|other| other != one), "model {idx} changes nothing");
    }
    let bad = dir.file("bad.toml");
    std::fs::write(&bad, "[simex]\nfeed-latency = \"soon\"\n").unwrap();
    let output = tercel(["replay", "--config"]).arg(&bad).arg(&capture).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && text.contains("`soon`") && text.contains("line 2"), "{text}");
}

#[test]
fn every_topology_decides_the_same_on_a_real_capture() {
    let capture = captures().join("binance-usdm/20240808-btcusdt.jsonl.gz");
    if !capture.exists() {
        return say(&format!("SKIPPED: {}", capture.display()));
    }
    let dir = Scratch::new("same-real");
    let count = assert_same_commands(&dir, &capture, &[]);
    assert!(count >= 1_000, "{count} commands");
}

/// This capture begins before midnight and ends after it: the venue paid funding in between, as its own mark prices say.
#[test]
fn a_funding_payment_of_the_feed_is_booked_on_both_sides() {
    let capture = captures().join("binance-usdm/20230404-btcusdt.jsonl.gz");
    if !capture.exists() {
        return say(&format!("SKIPPED: {}", capture.display()));
    }
    let dir = Scratch::new("funding");
    let found = replay(&dir, &capture, &["--strategy", "market-maker"]);
    let money = |key: &str| found["pnl"][key].as_str().unwrap().parse::<f64>().unwrap();
    assert!(money("funding") != 0.0, "{}", found["pnl"]);
    assert_eq!(found["reconciled"], true, "wallets agree to the last unit, funding included: {}", found["balances"]);
}

#[test]
fn several_venues_share_one_timeline() {
    let dir = Scratch::new("venues");
    let mut files = Vec::new();
    let mut messages = 0;
    for venue in DIALECTS {
        let config = SyntheticConfig { instruments: 1, ..SyntheticConfig::new(venue, 11) };
        messages += generate(&config).lines.len() as u64;
        files.push(generated(&dir, &config, true));
    }
    let json = dir.file("summary.json");
    let mut command = tercel(["replay", "--strategy", "watch", "--json"]);
    good(command.arg(&json).args(&files));
    let found = summary(&json);
    assert_eq!(number(&found, "/messages"), messages);
    assert_clean("venues", &found);
    let books = found["books"].as_array().unwrap();
    assert_eq!(books.len(), DIALECTS.len());
    assert!(
        books.iter().all(|book| book["state"] == "live" && number(book, "/top_of_book/checked") > 100),
        "{books:?}"
    );
    assert_eq!(number(&found, "/top_of_book/checked"), number(&found, "/top_of_book/equal"));

    // The same instrument with other steps in another file is a contradiction, told by name.
    let other = dir.file("other.jsonl.gz");
    std::fs::copy(&files[0], &other).unwrap();
    let mut meta = tercel::journal::CaptureMeta::read(&tercel::journal::meta_path(&files[0])).unwrap();
    meta.instruments[0].tick = "0.5".into();
    meta.write(&tercel::journal::meta_path(&other)).unwrap();
    let output = tercel(["replay"]).arg(&files[0]).arg(&other).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("tick 0.5") && text.contains("tick 0.01"), "{text}");
}

#[test]
fn memory_does_not_grow_with_the_capture() {
    let dir = Scratch::new("long");
    let most = ["20MB", "160MB"].map(|size| {
        let path = dir.file(&format!("{size}.jsonl"));
        good(tercel(["generate", "--size", size]).arg(&path));
        let found = replay(&dir, &path, &[]);
        assert!(number(&found, "/orders/filled") > 100 && found["reconciled"] == true, "{}", found["orders"]);
        number(&found, "/rss_bytes/max")
    });
    say(&format!("resident at most: {} bytes over 20 MB of messages, {} over 160 MB", most[0], most[1]));
    // What is remembered of closed orders and executions is bounded, and filled only by the longer one.
    assert!(most[1] < most[0] + (60 << 20) && most[1] < 300 << 20, "{most:?}");
}

#[test]
fn a_damaged_capture_is_an_error_with_file_and_line() {
    let dir = Scratch::new("cut-capture");
    let path = dir.file("a.jsonl");
    std::fs::write(&path, "1\t{\"topic\":\"x\"}\nnonsense\n").unwrap();
    let args = ["replay", "--venue", "bybit", "--instruments", "AAAUSDT:0.01:0.001"];
    let output = tercel(args).arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("a.jsonl, line 2") && text.contains("nonsense"), "{text}");
}

#[test]
fn nothing_is_allocated_on_the_hot_path_and_memory_stays_flat() {
    let dir = Scratch::new("alloc");
    let real = captures().join("binance-usdm/20240808-btcusdt.jsonl.gz");
    let config = SyntheticConfig { depth_events: 20_000, ..SyntheticConfig::new(tercel::types::VenueId::BYBIT, 5) };
    let made = generated(&dir, &config, true);
    for capture in [real, made] {
        if !capture.exists() {
            say(&format!("SKIPPED: {}", capture.display()));
            continue;
        }
        let found = replay(&dir, &capture, &[]);
        assert!(number(&found, "/orders/sent") > 10, "orders should be sent: {}", found["orders"]);
        // Feed and core; the simulated venue of a replay is not part of the engine.
        assert_eq!(found["hot_allocations"], 0, "{}", capture.display());
        let grown = number(&found, "/rss_bytes/end").saturating_sub(number(&found, "/rss_bytes/start"));
        // Rings and tables are reserved before, and become resident as they are first used: the slower the core, the more of a
        // ring. What grows with a capture would not stay below this, see `memory_does_not_grow_with_the_capture`.
        assert!(grown < 128 << 20, "{grown} bytes more at the end than at the start");
    }
}

#[test]
fn a_damaged_feed_is_counted_resynced_and_reconciled() {
    let dir = Scratch::new("damaged");
    // The generated inverse contract is settled in its coin.
    let limits = dir.file("limits.toml");
    let text =
        "[currency.AAA]\norder-value-max = \"1\"\nposition-value-max = \"1\"\ncapital = \"1\"\nday-loss-max = \"1\"\n";
    std::fs::write(&limits, text).unwrap();
    let limits = limits.to_str().unwrap();
    for venue in DIALECTS {
        // Bybit's generated feed holds later snapshots; Binance's books stay stale, as nobody can be asked again.
        let config = SyntheticConfig { instruments: 1, ..SyntheticConfig::new(venue, 9) };
        let made = generate(&config);
        let path = dir.file(&format!("{}.jsonl", venue.name()));
        let mut text = Vec::new();
        for (idx, (recv, message)) in made.lines.iter().enumerate() {
            let mut message = message.clone();
            match idx % 97 {
                // Cut off in the middle.
                11 => message.truncate(message.len() / 2),
                // A wrong type.
                23 => message = String::from_utf8_lossy(&message).replacen("\"b\":[[", "\"b\":[{", 1).into_bytes(),
                // An absurd number.
                37 => {
                    message =
                        String::from_utf8_lossy(&message).replacen("[[\"", "[[\"99999999999999999999", 1).into_bytes()
                }
                // Not JSON at all.
                53 => message = b"\x00\xff{{{nonsense".to_vec(),
                // A gap.
                71 => continue,
                _ => {}
            }
            text.extend_from_slice(format!("{recv}\t").as_bytes());
            text.extend_from_slice(&message);
            text.push(b'\n');
        }
        std::fs::write(&path, text).unwrap();
        tercel::journal::synthetic::sidecar(&config).write(&tercel::journal::meta_path(&path)).unwrap();
        let found = replay(&dir, &path, &["--strategy", "imbalance-taker", "--edge-bar", "0", "--config", limits]);
        assert!(number(&found, "/decode_errors") > 10, "{}: {found}", venue.name());
        assert!(number(&found, "/gaps") > 0, "{}", venue.name());
        assert!(!found["first_errors"].as_array().unwrap().is_empty());
        assert_eq!(found["reconciled"], true);
    }
}
