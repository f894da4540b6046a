//! A market of our own generator, told in the files of other projects by this test, and imported again: every state of every book and
//! every trade must come back.

mod common;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{MapBook, Scratch, Seen, Told, bad, convert, good, read, seen, told};
use flate2::write::GzEncoder;
use serde_json::Value;
use tercel::journal::Capture;
use tercel::journal::synthetic::{SyntheticConfig, generate, sidecar};
use tercel::types::{InstrumentTable, Level, Lots, Nanos, Side, Ticks, VenueId};

const START_US: u64 = 1_700_000_000_000_000;

/// A generated market, each message in a microsecond of its own, and the books reset in its middle by a snapshot that holds less.
fn market(instruments: usize) -> (InstrumentTable, Vec<Told>) {
    let config = SyntheticConfig { instruments, depth_events: 600, ..SyntheticConfig::new(VenueId::BYBIT, 11) };
    let table = sidecar(&config).table().unwrap();
    let mut capture = Capture::default();
    for (idx, (_, message)) in generate(&config).lines.iter().enumerate() {
        capture.push(Nanos::new((START_US + idx as u64) * 1000), message);
    }
    let mut all = told(&table, &capture);
    let mut books = vec![MapBook::default(); instruments];
    let mut reset = None;
    for (idx, told) in all.iter().enumerate() {
        if let Told::Book { at, venue_ms, instrument, is_snapshot, bids, asks } = told {
            books[*instrument].apply(*is_snapshot, [bids, asks]);
            if idx > all.len() / 2 && reset.is_none() {
                let side = |side: usize, skip: usize| {
                    let levels = books[*instrument].0[side].iter().skip(skip);
                    levels.map(|(px, qty)| Level { px: Ticks::new(*px), qty: Lots::new(*qty) }).collect::<Vec<_>>()
                };
                // The five worst bids are gone.
                let (bids, asks) = (side(0, 5), side(1, 0));
                let at = at + 500_000_000_000;
                let (venue_ms, instrument) = (*venue_ms, *instrument);
                reset = Some(Told::Book { at, venue_ms, instrument, is_snapshot: true, bids, asks });
            }
        }
    }
    // Behind everything, so that no change is between.
    all.push(reset.unwrap());
    (table, all)
}

fn arguments(table: &InstrumentTable) -> Vec<String> {
    let one = |spec: &tercel::types::InstrumentSpec| {
        ["--instrument".to_owned(), format!("{}:{}:{}", spec.symbol, spec.tick, spec.lot)]
    };
    table.iter().flat_map(|(_, spec)| one(spec)).collect()
}

fn import(from: &str, table: &InstrumentTable, files: &[PathBuf], out: &Path) -> Command {
    let mut command = convert(["import", "--from", from]);
    command.args(arguments(table)).args(files).arg("--out").arg(out);
    command
}

/// The market as Tardis tells it: books and trades.
fn tardis(table: &InstrumentTable, all: &[Told]) -> [String; 2] {
    let mut book = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n".to_owned();
    let mut trades = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n".to_owned();
    let spec = |idx: usize| table.iter().nth(idx).unwrap().1;
    for told in all {
        match told {
            Told::Book { at, venue_ms, instrument, is_snapshot, bids, asks } => {
                let spec = spec(*instrument);
                for (side, levels) in [("bid", bids), ("ask", asks)] {
                    for level in levels {
                        let (px, qty) = (spec.tick.text(level.px.get()), spec.lot.text(level.qty.get()));
                        let (venue_us, us, symbol) = (venue_ms * 1000, at / 1000, spec.symbol);
                        writeln!(book, "bybit,{symbol},{venue_us},{us},{is_snapshot},{side},{px},{qty}").unwrap();
                    }
                }
            }
            Told::Trade { at, venue_ms, instrument, taker, px, qty, seq } => {
                let (spec, side) = (spec(*instrument), if *taker == Side::Bid { "buy" } else { "sell" });
                let (px, qty) = (spec.tick.text(*px), spec.lot.text(*qty));
                let (venue_us, us, symbol) = (venue_ms * 1000, at / 1000, spec.symbol);
                writeln!(trades, "bybit,{symbol},{venue_us},{us},{seq},{side},{px},{qty}").unwrap();
            }
        }
    }
    [book, trades]
}

fn gz(path: &Path, text: &[u8]) {
    let mut out = GzEncoder::new(std::fs::File::create(path).unwrap(), flate2::Compression::fast());
    out.write_all(text).unwrap();
    out.finish().unwrap();
}

/// What must come back. A capture holds no message without levels, and neither does Tardis.
fn wanted(all: &[Told], instruments: usize) -> Vec<Seen> {
    seen(all, instruments)
}

fn assert_same(found: &[Seen], wanted: &[Seen]) {
    for (idx, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(found == wanted, "message {idx}:\n{found:?}\nwanted\n{wanted:?}");
    }
    assert_eq!(found.len(), wanted.len());
}

fn trades(all: &[Seen]) -> usize {
    all.iter().filter(|seen| matches!(seen, Seen::Trade { .. })).count()
}

#[test]
fn tardis_files_become_the_capture_that_they_were_made_of() {
    let dir = Scratch::new("tardis");
    let (table, all) = market(3);
    let [book, trade] = tardis(&table, &all);
    let files = [dir.file("book.csv.gz"), dir.file("trades.csv")];
    gz(&files[0], book.as_bytes());
    std::fs::write(&files[1], &trade).unwrap();
    let (out, json) = (dir.file("x.jsonl.gz"), dir.file("x.json"));
    good(import("tardis", &table, &files, &out).arg("--json").arg(&json));
    assert_eq!(dir.names(), ["book.csv.gz", "trades.csv", "x.json", "x.jsonl.gz", "x.meta.json"]);
    let (found_table, capture) = read(&out);
    assert_eq!(found_table.len(), 3);
    let found = seen(&told(&found_table, &capture), 3);
    let wanted = wanted(&all, 3);
    assert_same(&found, &wanted);
    assert!(trades(&wanted) > 50, "{}", trades(&wanted));
    let summary: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let told_trades: u64 =
        summary["instruments"].as_array().unwrap().iter().map(|i| i["trades"].as_u64().unwrap()).sum();
    assert_eq!(told_trades as usize, trades(&wanted));
    assert_eq!(summary["rows"].as_u64().unwrap() as usize, book.lines().count() + trade.lines().count() - 2);
    // Two days: what the second begins with is a snapshot of its own.
    let again = bad(&mut import("tardis", &table, &files, &out), 2);
    assert!(again.contains("exists"), "{again}");
    good(import("tardis", &table, &files[..1], &out).arg("--force"));
    let found = seen(&told(&read(&out).0, &read(&out).1), 3);
    assert_eq!((found.len(), trades(&found)), (wanted.len() - trades(&wanted), 0));
}

#[test]
fn rows_of_one_moment_are_one_message_and_a_snapshot_begins_anew() {
    let dir = Scratch::new("moment");
    let (table, _) = market(1);
    let symbol = table.iter().next().unwrap().1.symbol;
    let file = dir.file("a.csv");
    let row = |us: u64, is_snapshot: bool, side: &str, px: &str, qty: &str| {
        format!("deribit,{symbol},{},{us},{is_snapshot},{side},{px},{qty}\n", us - 7)
    };
    let mut text = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n".to_owned();
    text += &row(1_000, false, "bid", "1.00", "9"); // before the snapshot: left out
    text += &row(2_000, true, "bid", "1.00", "1");
    text += &row(2_000, true, "ask", "2.00", "2");
    text += &row(2_000, false, "bid", "1.01", "3"); // the same moment, but a change
    text += &row(3_000, false, "ask", "2.00", "0");
    text += &row(3_000, false, "ask", "2.01", "1e-3");
    text += &row(4_000, true, "bid", "0.50", "1"); // a snapshot in two pieces
    text += &row(4_001, true, "ask", "0.60", "1");
    text += "deribit,OTHER,1,4001,true,bid,1,1\n";
    std::fs::write(&file, text).unwrap();
    let out = dir.file("a.jsonl");
    let output = good(&mut import("tardis", &table, &[file], &out));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("left out: 1 of other instruments, 1 before the first snapshot"), "{said}");
    let (table, capture) = read(&out);
    let book =
        |bids: &[(i64, i64)], asks: &[(i64, i64)]| MapBook([bids, asks].map(|side| side.iter().copied().collect()));
    let wanted = [
        (2_000, book(&[(100, 1_000)], &[(200, 2_000)])),
        (2_000, book(&[(100, 1_000), (101, 3_000)], &[(200, 2_000)])),
        (3_000, book(&[(100, 1_000), (101, 3_000)], &[(201, 1)])),
        (4_000, book(&[(50, 1_000)], &[])),
        (4_001, book(&[(50, 1_000)], &[(60, 1_000)])),
    ];
    let found = seen(&told(&table, &capture), 1);
    let wanted: Vec<Seen> = wanted
        .into_iter()
        .map(|(us, book)| Seen::Book { at: us * 1000, venue_ms: (us - 7) / 1000, instrument: 0, book })
        .collect();
    assert_same(&found, &wanted);
}

#[test]
fn damaged_rows_are_refused_by_name_and_nothing_is_left() {
    let dir = Scratch::new("damaged");
    let (table, all) = market(1);
    let symbol = table.iter().next().unwrap().1.symbol;
    let texts = tardis(&table, &all);
    let file = dir.file("x.csv");
    // Column, what stands there instead, what must be said of it.
    let cases = [
        (0, 6, "61659.755", "price `61659.755`: no multiple of 0.01"),
        (0, 6, "0", "price `0`: must be above 0"),
        (0, 6, "", "price ``: empty number"),
        (0, 7, "-1", "amount `-1`: not within"),
        (0, 7, "1,5", "9 fields, 8 in the header"),
        (0, 5, "buy", "side `buy`, allowed are bid and ask"),
        (0, 4, "TRUE", "is_snapshot `TRUE`"),
        (0, 3, "12", "local_timestamp `12` is earlier than"),
        (0, 3, "soon", "local_timestamp `soon`"),
        (0, 2, "1e99", "timestamp `1e99`"),
        (0, 0, "binance", "exchange `binance`"),
        (1, 5, "bid", "side `bid`, allowed are buy, sell and unknown"),
        (1, 7, "0.000", "amount `0.000`: must be above 0"),
        (1, 4, "a\"\"b", "id `a\"b`"),
    ];
    for (which, column, value, word) in cases {
        let mut lines: Vec<String> = texts[which].lines().map(str::to_owned).collect();
        let line = lines.len() / 2;
        let mut fields: Vec<String> = lines[line].split(',').map(str::to_owned).collect();
        fields[column] = if value.contains('"') { format!("\"{value}\"") } else { value.to_owned() };
        lines[line] = fields.join(",");
        std::fs::write(&file, lines.join("\n")).unwrap();
        let said = bad(&mut import("tardis", &table, std::slice::from_ref(&file), &dir.file("o.jsonl.gz")), 1);
        assert!(said.contains(word), "{word}: {said}");
        assert!(said.contains(&format!("x.csv: line {}", line + 1)), "line {}: {said}", line + 1);
        assert_eq!(dir.names(), ["x.csv"], "{word}");
    }
    std::fs::write(&file, "time,price\n1,2\n").unwrap();
    let said = bad(&mut import("tardis", &table, std::slice::from_ref(&file), &dir.file("o.jsonl")), 1);
    assert!(said.contains("found the columns `time,price`"), "{said}");
    gz(&file, texts[0].as_bytes());
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let said = bad(&mut import("tardis", &table, std::slice::from_ref(&file), &dir.file("o.jsonl")), 1);
    assert!(said.contains("x.csv: line "), "{said}");
    std::fs::write(&file, texts[0].replace(symbol.as_str(), "OTHER")).unwrap();
    let said = bad(&mut import("tardis", &table, std::slice::from_ref(&file), &dir.file("o.jsonl")), 1);
    assert!(said.contains("nothing of") && said.contains("of other instruments"), "{said}");
    assert_eq!(dir.names(), ["x.csv"]);
}

const BUY: u64 = 1 << 29;
const SELL: u64 = 1 << 28;
const BOTH_ENDS: u64 = 3 << 30;

/// An event of hftbacktest: flags, venue time, local time, price, quantity.
type Event = (u64, i64, i64, f64, f64);

/// The market as hftbacktest tells it. A snapshot is a clearing of both sides and the levels.
fn events(table: &InstrumentTable, all: &[Told]) -> Vec<Event> {
    let spec = table.iter().next().unwrap().1;
    let (px, qty) = (|n: i64| spec.tick.to_f64_lossy(n), |n: i64| spec.lot.to_f64_lossy(n));
    let mut out = Vec::new();
    for told in all {
        match told {
            Told::Book { at, venue_ms, is_snapshot, bids, asks, .. } => {
                let (venue, local) = ((venue_ms * 1_000_000) as i64, *at as i64);
                if *is_snapshot {
                    out.push((3 | BOTH_ENDS, venue, local, 0.0, 0.0));
                }
                for (side, levels) in [(BUY, bids), (SELL, asks)] {
                    for level in levels {
                        let kind = if *is_snapshot { 4 } else { 1 };
                        out.push((kind | side | BOTH_ENDS, venue, local, px(level.px.get()), qty(level.qty.get())));
                    }
                }
            }
            Told::Trade { at, venue_ms, taker, px: ticks, qty: lots, .. } => {
                let side = if *taker == Side::Bid { BUY } else { SELL };
                out.push((2 | side | BOTH_ENDS, (venue_ms * 1_000_000) as i64, *at as i64, px(*ticks), qty(*lots)));
            }
        }
    }
    out
}

fn npy(events: &[Event]) -> Vec<u8> {
    let mut header = format!(
        "{{'descr': [('ev', '<u8'), ('exch_ts', '<i8'), ('local_ts', '<i8'), ('px', '<f8'), ('qty', '<f8'), ('order_id', '<u8'), ('ival', '<i8'), ('fval', '<f8')], 'fortran_order': False, 'shape': ({},), }}",
        events.len()
    );
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    for (ev, exch_ts, local_ts, px, qty) in events {
        out.extend(ev.to_le_bytes());
        out.extend(exch_ts.to_le_bytes());
        out.extend(local_ts.to_le_bytes());
        out.extend(px.to_le_bytes());
        out.extend(qty.to_le_bytes());
        out.extend([0; 24]);
    }
    out
}

fn npz(path: &Path, array: &[u8], method: zip::CompressionMethod) {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    archive.start_file("data.npy", zip::write::SimpleFileOptions::default().compression_method(method)).unwrap();
    archive.write_all(array).unwrap();
    archive.finish().unwrap();
}

#[test]
fn event_arrays_become_the_capture_that_they_were_made_of() {
    let dir = Scratch::new("npz");
    let (table, all) = market(1);
    let wanted = wanted(&all, 1);
    let events = events(&table, &all);
    let (first, second) = events.split_at(events.len() / 2);
    let files = [dir.file("a.npz"), dir.file("b.npz"), dir.file("c.npy")];
    npz(&files[0], &npy(first), zip::CompressionMethod::Deflated);
    npz(&files[1], &npy(second), zip::CompressionMethod::Stored);
    std::fs::write(&files[2], npy(&events)).unwrap();
    // A chain of two, and all in one: the cut may split a message in two, whose end is the same.
    for (files, is_cut) in [(&files[2..], false), (&files[..2], true)] {
        let out = dir.file("x.jsonl.zst");
        good(import("hftbacktest", &table, files, &out).arg("--force"));
        let (found_table, capture) = read(&out);
        let found = seen(&told(&found_table, &capture), 1);
        if is_cut {
            assert_eq!(found.last(), wanted.last());
            assert_eq!(trades(&found), trades(&wanted));
        }
        assert_same(&found, &wanted);
    }
}

#[test]
fn clearing_up_to_a_price_removes_what_it_removes_there() {
    let dir = Scratch::new("clear");
    let (table, _) = market(1);
    let local_only = 1 << 30;
    let rows: Vec<Event> = vec![
        (1 | BUY | BOTH_ENDS, 1, 10, 1.00, 1.0),
        (1 | BUY | BOTH_ENDS, 1, 10, 1.01, 1.0),
        (1 | BUY | BOTH_ENDS, 1, 10, 1.02, 1.0),
        (1 | SELL | BOTH_ENDS, 1, 10, 1.05, 1.0),
        (1 | SELL | (1 << 31), 2, 20, 1.06, 1.0), // only the venue's side saw it
        (3 | BUY | BOTH_ENDS, 3, 30, 1.01, 0.0),
        (4 | BUY | BOTH_ENDS, 3, 30, 1.03, 2.0),
        (2 | SELL | local_only, 3, 30, 1.03, 0.5),
        (2 | local_only, 3, 30, 1.03, 0.5),     // nobody knows who took
        (5 | BUY | BOTH_ENDS, 4, 40, 9.0, 9.0), // the best price, which says nothing of the book
        (3 | SELL | BOTH_ENDS, 5, 50, f64::NAN, 0.0),
    ];
    let file = dir.file("a.npy");
    std::fs::write(&file, npy(&rows)).unwrap();
    let out = dir.file("a.jsonl");
    let output = good(&mut import("hftbacktest", &table, std::slice::from_ref(&file), &out));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("1 trades without a side, 1 not received locally, 1 of other kinds"), "{said}");
    let (table, capture) = read(&out);
    let found = seen(&told(&table, &capture), 1);
    let book = |at: u64, bids: &[(i64, i64)], asks: &[(i64, i64)]| Seen::Book {
        at,
        venue_ms: 0,
        instrument: 0,
        book: MapBook([bids, asks].map(|side| side.iter().copied().collect())),
    };
    let wanted = [
        book(10, &[(100, 1_000), (101, 1_000), (102, 1_000)], &[(105, 1_000)]),
        book(30, &[(100, 1_000), (103, 2_000)], &[(105, 1_000)]),
        Seen::Trade { at: 30, venue_ms: 0, instrument: 0, taker: Side::Ask, px: 103, qty: 500 },
        book(50, &[(100, 1_000), (103, 2_000)], &[]),
    ];
    assert_same(&found, &wanted);

    for (change, word) in [
        ((1 | BUY | BOTH_ENDS, 6, 60, 1.015, 1.0), "row 12: px 1.015: no multiple of 0.01"),
        ((1 | BUY | BOTH_ENDS, 6, 60, 1.01, 0.0001), "row 12: qty 0.0001"),
        ((1 | BUY | BOTH_ENDS, 6, 60, f64::NAN, 1.0), "row 12: px NaN"),
        ((1 | BUY | BOTH_ENDS, 6, 60, 0.0, 1.0), "row 12: px 0: must be above 0"),
        ((1 | BOTH_ENDS, 6, 60, 1.0, 1.0), "neither side"),
        ((10 | BUY | BOTH_ENDS, 6, 60, 1.0, 1.0), "single order"),
        ((1 | BUY | BOTH_ENDS, 6, 49, 1.0, 1.0), "local_ts 49 is earlier than 50"),
    ] {
        let mut rows = rows.clone();
        rows.push(change);
        std::fs::write(&file, npy(&rows)).unwrap();
        let said = bad(&mut import("hftbacktest", &table, std::slice::from_ref(&file), &dir.file("o.jsonl")), 1);
        assert!(said.contains(word) && said.contains("a.npy: row 12"), "{word}: {said}");
        assert_eq!(dir.names(), ["a.jsonl", "a.meta.json", "a.npy"]);
    }
    let whole = npy(&rows);
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let said = bad(&mut import("hftbacktest", &table, std::slice::from_ref(&file), &dir.file("o.jsonl")), 1);
    assert!(said.contains("row 11 of 11: the file ends here"), "{said}");
}

#[test]
fn raw_logs_of_cryptofeed_keep_every_byte() {
    let dir = Scratch::new("cryptofeed");
    // Several instruments in one's dialect that has snapshots in the stream, and one whose snapshots come by REST.
    for (venue, instruments) in [(VenueId::BYBIT, 3), (VenueId::BINANCE_USDM, 2)] {
        let config = SyntheticConfig { instruments, depth_events: 300, ..SyntheticConfig::new(venue, 5) };
        let made = generate(&config);
        // Receive times of microseconds, two files that take turns.
        let mut files = [String::from("configuration: {'a': ['b']}\n"), String::new()];
        let (mut capture, table) = (Capture::default(), sidecar(&config).table().unwrap());
        let mut plain = Vec::new();
        for (idx, (_, message)) in made.lines.iter().enumerate() {
            let us = START_US + idx as u64;
            let (s, message) = (format!("{}.{:06}", us / 1_000_000, us % 1_000_000), String::from_utf8_lossy(message));
            let snapshot = made.snapshots.iter().find(|(at, _)| *at == idx);
            let file = &mut files[idx / 10 % 2];
            match snapshot {
                Some((_, symbol)) => {
                    writeln!(file, "https://api/depth?symbol={symbol}&limit=1000 -> {s}: {message}").unwrap();
                }
                None => writeln!(file, "{s}: {message}").unwrap(),
            }
            plain.push((us * 1000, message.into_owned(), snapshot.map(|(_, symbol)| symbol.clone())));
            capture.push(Nanos::new(us * 1000), plain[idx].1.as_bytes());
        }
        let paths = [dir.file("X.ws.1.0"), dir.file("X.ws.2.0")];
        std::fs::write(&paths[0], &files[0]).unwrap();
        std::fs::write(&paths[1], &files[1]).unwrap();
        let out = dir.file("x.jsonl.gz");
        good(convert(["import", "--from", "cryptofeed", "--force"]).args(&paths).arg("--out").arg(&out));
        let (found_table, found) = read(&out);
        assert_eq!(found_table.len(), instruments);
        let found: Vec<_> = (0..found.len())
            .filter_map(|idx| found.get(idx))
            .map(|f| (f.at.get(), String::from_utf8_lossy(f.message).into_owned(), f.symbol.map(str::to_owned)))
            .collect();
        assert!(found == plain, "{}", venue.name());
        if venue == VenueId::BYBIT {
            let (again_table, again) = read(&out);
            assert_same(&seen(&told(&again_table, &again), instruments), &seen(&told(&table, &capture), instruments));
        } else {
            let sides: Vec<String> = dir.names().into_iter().filter(|name| name.contains("snapshot-")).collect();
            assert_eq!(sides, ["x.snapshot-aaausdt.jsonl.gz", "x.snapshot-bbbusdt.jsonl.gz"]);
        }
    }
    // Replaced by a capture without snapshots beside it, none of the old ones stay.
    std::fs::write(dir.file("y"), "1700000000.5: {\"e\":\"trade\",\"s\":\"XUSDT\",\"p\":\"1.5\",\"q\":\"2\"}\n")
        .unwrap();
    good(
        convert(["import", "--from", "cryptofeed", "--force"])
            .arg(dir.file("y"))
            .arg("--out")
            .arg(dir.file("x.jsonl.gz")),
    );
    assert_eq!(dir.names(), ["X.ws.1.0", "X.ws.2.0", "x.jsonl.gz", "x.meta.json", "y"]);
    std::fs::write(dir.file("y"), "1700000000.5: {\"hello\":\"world\"}\n").unwrap();
    let said =
        bad(convert(["import", "--from", "cryptofeed"]).arg(dir.file("y")).arg("--out").arg(dir.file("z.jsonl")), 1);
    assert!(said.contains("none of 1 messages is of a venue that is known"), "{said}");
    assert_eq!(dir.names(), ["X.ws.1.0", "X.ws.2.0", "x.jsonl.gz", "x.meta.json", "y"]);
}

#[test]
fn what_is_not_allowed_on_the_command_line_is_said() {
    let dir = Scratch::new("usage");
    let file = dir.file("a.csv");
    std::fs::write(&file, "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n").unwrap();
    for (args, word) in [
        (&["--from", "tardis"][..], "--instrument SYMBOL:TICK:LOT is missing"),
        (&["--from", "tardis", "--instrument", "X"], "found `X`"),
        (&["--from", "tardis", "--instrument", "X:0:1"], "decimal above 0"),
        (&["--from", "tardis", "--instrument", "X:1:1", "--venue", "binance-spot"], "allowed is bybit"),
        (&["--from", "hftbacktest", "--instrument", "X:1:1", "--instrument", "Y:1:1"], "one instrument"),
        (&["--from", "cryptofeed", "--venue", "bybit"], "together"),
    ] {
        let said = bad(convert(["import"]).args(args).arg(&file).arg("--out").arg(dir.file("o.jsonl")), 2);
        assert!(said.contains(word), "{word}: {said}");
    }
    let said = bad(
        convert(["import", "--from", "tardis", "--instrument", "X:1:1"]).arg(&file).arg("--out").arg(dir.file("o.csv")),
        2,
    );
    assert!(said.contains("names that end in .jsonl"), "{said}");
    assert_eq!(dir.names(), ["a.csv"]);
}

/// An endless file, and Ctrl-C.
#[cfg(unix)]
#[test]
fn an_interrupted_import_leaves_nothing() {
    let dir = Scratch::new("interrupted");
    let pipe = dir.file("endless.csv");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (table, _) = market(1);
    let symbol = table.iter().next().unwrap().1.symbol;
    let mut command = import("tardis", &table, std::slice::from_ref(&pipe), &dir.file("o.jsonl.gz"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut feed = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    feed.write_all(b"exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n").unwrap();
    let pid = child.id().to_string();
    let mut us = START_US;
    loop {
        us += 1;
        let row = format!("bybit,{symbol},{us},{us},{},bid,1.00,{}.5\n", us == START_US + 1, us % 9 + 1);
        if feed.write_all(row.as_bytes()).is_err() {
            break;
        }
        if us == START_US + 50_000 {
            assert_eq!(dir.names().len(), 2, "{:?}", dir.names());
            assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        }
        assert!(us < START_US + 50_000_000, "it should have ended");
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted; nothing is left"));
    assert_eq!(dir.names(), ["endless.csv"]);
}
