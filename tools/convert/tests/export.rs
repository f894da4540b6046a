//! What went into a Parquet file comes out of it again, read by the crate's own reader.

mod common;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use common::{MapBook, Scratch, Told, bad, convert, good, read, told};
use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use tercel::journal::synthetic::{SyntheticConfig, generate, sidecar};
use tercel::journal::{CaptureWriter, JournalHeader, JournalWriter, meta_path};
use tercel::types::{
    Ack, ClientOrderId, Command, CommandKind, CommandStamps, Event, Fill, InstrumentId, InstrumentTable, Level, Lots,
    Meta, Money, Nanos, Op, OrderStatus, OrderUpdate, Record, Reject, RejectKind, Sent, Side, Ticks, TimeInForce,
    VenueId,
};

/// A value of a column as text, decimals with all their places, times in nanoseconds.
fn text(field: &Field) -> String {
    match field {
        Field::Null => "null".to_owned(),
        Field::Str(text) => text.clone(),
        Field::Long(value) => value.to_string(),
        Field::ULong(value) => value.to_string(),
        Field::TimestampMicros(_) | Field::TimestampMillis(_) => panic!("times are nanoseconds"),
        Field::Bool(value) => value.to_string(),
        Field::Decimal(decimal) => {
            let bytes: [u8; 16] = decimal.data().try_into().unwrap();
            format!("{}e-{}", i128::from_be_bytes(bytes), decimal.scale())
        }
        other => panic!("{other:?}"),
    }
}

type Rows = Vec<HashMap<String, String>>;

/// Every row, and the rows of each group.
fn rows(file: &Path) -> (Rows, Vec<i64>) {
    let reader = SerializedFileReader::new(File::open(file).unwrap()).unwrap();
    let groups = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    let row = |row: Row| row.get_column_iter().map(|(name, field)| (name.clone(), text(field))).collect();
    (reader.get_row_iter(None).unwrap().map(|r| row(r.unwrap())).collect(), groups)
}

fn export(what: &str, input: &Path, out: &Path) {
    good(convert(["export", "--force", "--what", what]).arg(input).arg("--out").arg(out));
}

fn capture(dir: &Scratch, config: &SyntheticConfig) -> PathBuf {
    let path = dir.file("x.jsonl.gz");
    let mut writer = CaptureWriter::create(&path).unwrap();
    for (at, message) in &generate(config).lines {
        writer.append(*at, message).unwrap();
    }
    writer.finish().unwrap();
    sidecar(config).write(&meta_path(&path)).unwrap();
    path
}

fn symbol(table: &InstrumentTable, idx: usize) -> String {
    table.iter().nth(idx).unwrap().1.symbol.to_string()
}

#[test]
fn the_books_of_a_capture_come_back_level_by_level() {
    let dir = Scratch::new("books");
    // More rows than one group holds.
    let config = SyntheticConfig { instruments: 2, depth_events: 24_000, ..SyntheticConfig::new(VenueId::BYBIT, 3) };
    let path = capture(&dir, &config);
    let (table, loaded) = read(&path);
    let all = told(&table, &loaded);
    let out = dir.file("books.parquet");
    export("books", &path, &out);
    let (rows, groups) = rows(&out);
    assert!(groups.len() > 1 && groups[0] == 1 << 17, "{groups:?}");
    let mut rows = rows.into_iter();
    let (mut message, mut books) = (0, [MapBook::default(), MapBook::default()]);
    for told in &all {
        let Told::Book { at, venue_ms, instrument, is_snapshot, bids, asks } = told else { continue };
        message += 1;
        books[*instrument].apply(*is_snapshot, [bids, asks]);
        for (side, levels) in [("bid", bids), ("ask", asks)] {
            for level in levels {
                let row = rows.next().unwrap();
                let wanted = [
                    ("recv_time", at.to_string()),
                    ("venue_time", (venue_ms * 1_000_000).to_string()),
                    ("venue", "bybit".to_owned()),
                    ("symbol", symbol(&table, *instrument)),
                    ("message", message.to_string()),
                    ("kind", if *is_snapshot { "snapshot" } else { "delta" }.to_owned()),
                    ("side", side.to_owned()),
                    ("px", format!("{}e-2", level.px.get())),
                    ("qty", format!("{}e-3", level.qty.get())),
                ];
                for (name, wanted) in wanted {
                    assert_eq!(row[name], wanted, "{name} of message {message}");
                }
            }
        }
    }
    assert!(rows.next().is_none());
    assert!(books[1].0[0].len() > 50);
    let out = dir.file("trades.parquet");
    export("trades", &path, &out);
    let (rows, _) = self::rows(&out);
    let mut rows = rows.into_iter();
    for told in &all {
        let Told::Trade { at, venue_ms, instrument, taker, px, qty, seq } = told else { continue };
        let row = rows.next().unwrap();
        let side = if *taker == Side::Bid { "buy" } else { "sell" };
        let wanted = [
            ("recv_time", at.to_string()),
            ("venue_time", (venue_ms * 1_000_000).to_string()),
            ("symbol", symbol(&table, *instrument)),
            ("trade_id", seq.to_string()),
            ("taker_side", side.to_owned()),
            ("px", format!("{px}e-2")),
            ("qty", format!("{qty}e-3")),
        ];
        for (name, wanted) in wanted {
            assert_eq!(row[name], wanted, "{name}");
        }
    }
    assert!(rows.next().is_none());
    assert_eq!(generate(&config).trades as usize, all.iter().filter(|t| matches!(t, Told::Trade { .. })).count());
}

#[test]
fn columns_have_the_types_that_readers_expect() {
    let dir = Scratch::new("types");
    let path = capture(&dir, &SyntheticConfig { depth_events: 10, ..SyntheticConfig::new(VenueId::BYBIT, 3) });
    let out = dir.file("x.parquet");
    export("books", &path, &out);
    let reader = SerializedFileReader::new(File::open(&out).unwrap()).unwrap();
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let kind = |name: &str| {
        schema.columns().iter().find(|c| c.name() == name).and_then(|c| c.logical_type_ref().cloned()).unwrap()
    };
    assert_eq!(kind("recv_time"), LogicalType::Timestamp { is_adjusted_to_u_t_c: true, unit: TimeUnit::NANOS });
    assert_eq!(kind("px"), LogicalType::Decimal { precision: 38, scale: 2 });
    assert_eq!(kind("qty"), LogicalType::Decimal { precision: 38, scale: 3 });
    assert_eq!(kind("message"), LogicalType::Integer { bit_width: 64, is_signed: false });
    assert_eq!(kind("symbol"), LogicalType::String);
    let names = dir.names();
    let said = bad(convert(["export", "--what", "books"]).arg(&path).arg("--out").arg(&out), 2);
    assert!(said.contains("exists; --force replaces it"), "{said}");
    assert_eq!(dir.names(), names);
}

#[test]
fn instruments_of_different_steps_share_the_finest_scale() {
    let dir = Scratch::new("scales");
    let book = |symbol: &str, px: &str, qty: &str| {
        format!(
            r#"{{"topic":"orderbook.50.{symbol}","type":"snapshot","ts":1,"data":{{"s":"{symbol}","b":[["{px}","{qty}"]],"a":[],"u":2,"seq":2}},"cts":1}}"#
        )
    };
    let paths = [dir.file("a.jsonl"), dir.file("b.jsonl")];
    for (path, symbol, steps, book) in [
        (&paths[0], "A", ["0.5", "1"], book("A", "7.5", "3")),
        (&paths[1], "B", ["0.0001", "0.01"], book("B", "0.25", "0.5")),
    ] {
        let mut writer = CaptureWriter::create(path).unwrap();
        writer.append(1, book.as_bytes()).unwrap();
        writer.finish().unwrap();
        let [tick, lot] = steps;
        let meta = format!(
            r#"{{"venue":"bybit","product":"linear","instruments":[{{"symbol":"{symbol}","tick":"{tick}","lot":"{lot}"}}],"clock":"unix"}}"#
        );
        std::fs::write(meta_path(path), meta).unwrap();
    }
    let out = dir.file("x.parquet");
    good(convert(["export", "--what", "books"]).args(&paths).arg("--out").arg(&out));
    assert_eq!(columns(&rows(&out).0, &["symbol", "px", "qty"]), ["A 75000e-4 300e-2", "B 2500e-4 50e-2"]);
}

#[test]
fn a_gap_is_told_as_stale_and_a_damaged_capture_leaves_nothing() {
    let dir = Scratch::new("stale");
    let line = |u: u64, kind: &str| {
        format!(
            r#"{{"topic":"orderbook.50.XUSDT","type":"{kind}","ts":1,"data":{{"s":"XUSDT","b":[["1.5","2"]],"a":[],"u":{u},"seq":{u}}},"cts":1}}"#
        )
    };
    let empty = line(5, "snapshot").replace(r#"[["1.5","2"]]"#, "[]");
    let path = dir.file("x.jsonl");
    let mut writer = CaptureWriter::create(&path).unwrap();
    for (at, message) in [(1, line(2, "snapshot")), (2, line(4, "delta")), (3, line(5, "delta")), (4, empty)] {
        writer.append(at, message.as_bytes()).unwrap();
    }
    writer.append(5, br#"{"topic":"orderbook.50.XUSDT","type":"delta","ts":1,"data":{}}"#).unwrap();
    writer.finish().unwrap();
    let out = dir.file("x.parquet");
    let output = good(convert(["export", "--what", "books"]).arg(&path).arg("--out").arg(&out));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("1 gaps") && said.contains("1 messages REFUSED"), "{said}");
    let (rows, _) = rows(&out);
    let seen: Vec<[&str; 5]> =
        rows.iter().map(|row| ["recv_time", "message", "kind", "side", "px"].map(|name| row[name].as_str())).collect();
    assert_eq!(
        seen,
        [
            ["1", "1", "snapshot", "bid", "15e-1"],
            ["2", "2", "stale", "null", "null"],
            ["4", "3", "snapshot", "null", "null"],
        ]
    );
    std::fs::write(&path, "1\t{}\nnonsense\n").unwrap();
    std::fs::copy(dir.file("x.jsonl"), dir.file("y.jsonl")).unwrap();
    sidecar(&SyntheticConfig::new(VenueId::BYBIT, 3)).write(&dir.file("y.meta.json")).unwrap();
    let names = dir.names();
    let said =
        bad(convert(["export", "--what", "books"]).arg(dir.file("y.jsonl")).arg("--out").arg(dir.file("y.parquet")), 1);
    assert!(said.contains("y.jsonl, line 2"), "{said}");
    assert_eq!(dir.names(), names);
}

const VENUE_ID: u128 = 0x1234_5678_9abc_def0_0fed_cba9_8765_4321;

fn meta(recv: u64) -> Meta {
    Meta { instrument: InstrumentId(1), recv: Nanos::new(recv), venue_ts: Nanos::new(recv - 5), ..Meta::default() }
}

fn execution(recv: u64, exec_id: u128, fee: i128, is_fee_final: bool) -> Fill {
    Fill {
        meta: meta(recv),
        client_id: ClientOrderId(7),
        exec_id,
        side: Side::Ask,
        is_maker: true,
        px: Ticks::new(12_345),
        qty: Lots::new(3),
        fee: Money::new(fee),
        is_fee_final,
        is_query: false,
        venue_order_id: VENUE_ID,
    }
}

/// A journal of events and commands that nobody lived.
fn journal(dir: &Scratch) -> PathBuf {
    let table = sidecar(&SyntheticConfig::new(VenueId::BYBIT, 3)).table().unwrap();
    let path = dir.file("run-0000002a.tj");
    let mut writer = JournalWriter::create(&path, &JournalHeader::new(42, &table, String::new())).unwrap();
    let command = |kind: CommandKind, at: u64, request: u16| Command {
        kind,
        side: Side::Ask,
        tif: TimeInForce::PostOnly,
        reduce_only: true,
        trigger: None,
        instrument: InstrumentId(1),
        client_id: ClientOrderId(7),
        request,
        px: Ticks::new(12_345),
        qty: Lots::new(10),
        at: Nanos::new(at),
        stamps: CommandStamps::default(),
    };
    let update = |recv: u64, status: OrderStatus, filled: i64, reason: u16| {
        Event::Order(OrderUpdate {
            meta: meta(recv),
            client_id: ClientOrderId(7),
            venue_order_id: VENUE_ID,
            side: Side::Ask,
            status,
            px: Ticks::new(12_345),
            qty: Lots::new(10),
            filled: Lots::new(filled),
            reason,
            asked_at: Nanos::ZERO,
        })
    };
    let (client_id, request) = (ClientOrderId(7), 1);
    let sent = Sent { meta: meta(102), client_id, request, taken_ago_ns: 1, encoded_ago_ns: 1 };
    let ack = Ack { meta: meta(103), op: Op::Create, client_id, request, limit_left: 9 };
    let kind = RejectKind::Gone;
    let reject = Reject { meta: meta(105), op: Op::Cancel, kind, client_id, request: 2, code: 110_001 };
    let levels = [Level { px: Ticks::new(1), qty: Lots::new(1) }];
    let book = tercel::types::Book {
        meta: meta(101),
        kind: tercel::types::BookKind::Snapshot,
        cross_seq: 1,
        bids: &levels,
        asks: &[],
    };
    // The second execution is told with an estimated fee and then with the venue's; the first one three times.
    let steps: Vec<(Event<'_>, Vec<(Command, bool)>)> = vec![
        (
            Event::Book(book),
            vec![(command(CommandKind::New, 101, 1), true), (command(CommandKind::Query, 101, 9), true)],
        ),
        (Event::Sent(sent), vec![]),
        (Event::Ack(ack), vec![]),
        (update(104, OrderStatus::PartiallyFilled, 3, 0), vec![(command(CommandKind::Cancel, 104, 2), false)]),
        (Event::Fill(execution(104, 1, 50, true)), vec![]),
        (Event::Reject(reject), vec![]),
        (Event::Fill(execution(106, 2, 60, false)), vec![]),
        (Event::Fill(execution(107, 1, 51, true)), vec![]),
        (Event::Fill(execution(108, 3, -70, true)), vec![]),
        (Event::Fill(execution(109, 2, 61, true)), vec![]),
        (Event::Fill(execution(110, 1, 50, false)), vec![]),
        (update(111, OrderStatus::Cancelled, 9, 1), vec![(command(CommandKind::CancelAll, 111, 0), true)]),
        // A fee that nobody corrects in time.
        (Event::Fill(execution(112, 4, 80, false)), vec![]),
        (Event::Fill(execution(112 + 60_000_000_001, 5, 90, true)), vec![]),
        (Event::Fill(execution(112 + 60_000_000_002, 4, 81, true)), vec![]),
    ];
    for (event, commands) in steps {
        let records: Vec<Record> = (0..event.record_count()).map(|i| event.record(i)).collect();
        writer.append(records.into_iter()).unwrap();
        for (command, is_taken) in commands {
            writer.append(std::iter::once(command.journal_record(is_taken))).unwrap();
        }
    }
    writer.close().unwrap();
    path
}

fn columns<'a>(rows: &'a Rows, names: &[&str]) -> Vec<String> {
    let one =
        |row: &'a HashMap<String, String>| names.iter().map(|name| row[*name].as_str()).collect::<Vec<_>>().join(" ");
    rows.iter().map(one).collect()
}

#[test]
fn each_step_of_an_order_is_a_row() {
    let dir = Scratch::new("orders");
    journal(&dir);
    let out = dir.file("orders.parquet");
    export("orders", &dir.0, &out);
    let (rows, _) = rows(&out);
    let names = ["time", "event", "request", "request_kind", "side", "px", "qty", "filled", "status", "reason", "code"];
    assert_eq!(
        columns(&rows, &names),
        [
            "101 command 1 new sell 12345e-2 10e-3 null null null null",
            "102 sent 1 null null null null null null null null",
            "103 ack 1 new null null null null null null null",
            "104 update null null sell 12345e-2 10e-3 3e-3 partially_filled null null",
            "104 command 2 cancel sell null null null null null null",
            "105 reject 2 cancel null null null null null gone 110001",
            &format!(
                "111 update null null sell 12345e-2 10e-3 9e-3 cancelled {} null",
                tercel::venue::bybit::codes::reason_text(1)
            ),
            "111 command null cancel_all null null null null null null null",
        ]
    );
    let names =
        ["venue_time", "venue", "symbol", "order_id", "venue_order_id", "time_in_force", "reduce_only", "taken"];
    let id = "t0000002a-0000000000000007";
    let rows = columns(&rows, &names);
    assert_eq!(rows[0], format!("null bybit BBBUSDT {id} null post_only true true"));
    assert_eq!(rows[3], format!("99 bybit BBBUSDT {id} {VENUE_ID:032x} null null null"));
    assert_eq!(rows[4], format!("null bybit BBBUSDT {id} null null true false"));
    assert_eq!(rows[7], format!("null bybit null {id} null null true true"));
}

#[test]
fn each_execution_is_a_row_with_the_venues_fee() {
    let dir = Scratch::new("fills");
    let path = journal(&dir);
    let (out, json) = (dir.file("fills.parquet"), dir.file("fills.json"));
    good(convert(["export", "--what", "fills"]).arg(&path).arg("--out").arg(&out).arg("--json").arg(&json));
    let (rows, _) = rows(&out);
    let names = ["time", "exec_id", "side", "px", "qty", "maker", "fee", "fee_final"];
    let row = |at: u64, id: u32, fee: i64, is_final: bool| {
        format!("{at} {id:032x} sell 12345e-2 3e-3 true {fee}e-12 {is_final}")
    };
    assert_eq!(
        columns(&rows, &names),
        [
            row(104, 1, 50, true),
            row(106, 2, 61, true),
            row(108, 3, -70, true),
            row(112, 4, 80, false),
            row(112 + 60_000_000_001, 5, 90, true),
        ]
    );
    let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!((summary["rows"].as_u64(), summary["late_fees"].as_u64()), (Some(5), Some(1)));
    assert_eq!(summary["closed"], true);
    // Damage below what was synced is an error, and nothing is left.
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 30;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let names = dir.names();
    let said = bad(convert(["export", "--what", "fills"]).arg(&path).arg("--out").arg(dir.file("o.parquet")), 1);
    assert!(said.contains("is damaged"), "{said}");
    let said =
        bad(convert(["export", "--what", "fills"]).args([&path, &path]).arg("--out").arg(dir.file("o.parquet")), 2);
    assert!(said.contains("one journal"), "{said}");
    assert_eq!(dir.names(), names);
}
