//! The program over captures that were made from a seed.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;
use tercel::journal::synthetic::{SyntheticConfig, generate, sidecar};
use tercel::journal::{CaptureWriter, meta_path};
use tercel::types::VenueId;

/// A folder that goes away with its name.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tercel-sweep-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.file(name), text).unwrap();
        self.file(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A day between two captures.
const DAY_NS: u64 = 86_400_000_000_000;

/// A capture of that day.
fn capture(dir: &Scratch, day: u64, depth_events: usize) -> PathBuf {
    let config = SyntheticConfig { instruments: 1, depth_events, ..SyntheticConfig::new(VenueId::BYBIT, 3 + day) };
    let path = dir.file(&format!("day{day}.jsonl.gz"));
    for old in [&path, &meta_path(&path)] {
        let _ = std::fs::remove_file(old);
    }
    let mut writer = CaptureWriter::create(&path).unwrap();
    for (at, message) in &generate(&config).lines {
        writer.append(at + day * DAY_NS, message).unwrap();
    }
    writer.finish().unwrap();
    sidecar(&config).write(&meta_path(&path)).unwrap();
    path
}

fn captures(dir: &Scratch, days: u64, depth_events: usize) -> Vec<PathBuf> {
    (0..days).map(|day| capture(dir, day, depth_events)).collect()
}

const BASE: &str = "[strategy]\nname = \"imbalance-taker\"\n[imbalance-taker]\nedge-bar-bps = 0\nthreshold = 0.1\ntrade-value = \"50\"\n\
    [simex]\ntaker-fee-bps = \"1\"\n";

const SWEEP: &str = "[parameters]\n\"imbalance-taker.threshold\" = [0.05, 0.1, 0.15]\n\
    \"imbalance-taker.trade-value\" = { from = 20, to = 60, step = 40 }\n\
    [walk-forward]\ntrain = 2\ntest = 1\n";

fn sweep(dir: &Scratch, out: &str, captures: &[PathBuf]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tercel-sweep"));
    command.arg("--sweep").arg(dir.file("sweep.toml")).arg("--config").arg(dir.file("base.toml"));
    command.arg("--out").arg(dir.file(out)).args(["--sample", "100ms"]).args(captures);
    command
}

fn ended(command: &mut Command, code: i32) -> Output {
    let output = command.output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{said}");
    output
}

fn refused(command: &mut Command, code: i32) -> String {
    String::from_utf8(ended(command, code).stderr).unwrap()
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// The rows of a Parquet file, by column.
fn rows(file: &Path) -> Vec<BTreeMap<String, Field>> {
    let reader = SerializedFileReader::new(File::open(file).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| row.unwrap().get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect())
        .collect()
}

fn decimal(field: &Field) -> i128 {
    let Field::Decimal(decimal) = field else { panic!("{field:?}") };
    i128::from_be_bytes(decimal.data().try_into().unwrap())
}

/// A decimal text in 10⁻¹².
fn pico(text: &Value) -> i128 {
    tercel::types::Money::parse(text.as_str().unwrap().as_bytes()).unwrap().get()
}

/// What must be the same whoever played it.
fn results(folder: &Path) -> [Vec<u8>; 3] {
    ["trials.parquet", "ranking.json", "ranking.md"].map(|name| std::fs::read(folder.join(name)).unwrap())
}

#[test]
fn figures_are_those_of_a_backtest_and_the_table_is_the_log() {
    let dir = Scratch::new("figures");
    dir.write("base.toml", BASE);
    // Each set has fees of its own.
    dir.write(
        "sweep.toml",
        &SWEEP.replace("[parameters]\n", "[parameters]\n\"simex.taker-fee-bps\" = [\"2\", \"3\"]\n"),
    );
    let captures = captures(&dir, 3, 1_500);
    ended(&mut sweep(&dir, "out", &captures), 0);
    let rows = rows(&dir.file("out/trials.parquet"));
    assert_eq!(rows.len(), 12 * 3);

    // The table against the log.
    let log = std::fs::read_to_string(dir.file("out/jobs.jsonl")).unwrap();
    let jobs: Vec<Value> = log.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(jobs.len(), rows.len());
    for row in &rows {
        let text = |name: &str| match &row[name] {
            Field::Str(text) => text.clone(),
            other => panic!("{name}: {other:?}"),
        };
        let parameters = format!(
            "imbalance-taker.threshold = {}, imbalance-taker.trade-value = \"{}\", simex.taker-fee-bps = \"{}\"",
            text("p.imbalance_taker.threshold"),
            text("p.imbalance_taker.trade_value"),
            text("p.simex.taker_fee_bps")
        );
        let header: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
        let key = header["captures"].as_array().unwrap().iter().find(|it| it["name"] == *text("capture")).unwrap();
        let job = jobs.iter().find(|job| job["parameters"] == *parameters && job["capture"] == key["key"]).unwrap();
        let figures = &job["results"][0]["figures"];
        for name in ["pnl", "fees", "funding", "turnover", "equity_start", "equity_end"] {
            assert_eq!(decimal(&row[name]), pico(&figures[name]), "{name}");
        }
        for name in ["total_return", "sharpe", "sortino", "volatility", "max_drawdown", "win_rate", "fill_ratio"] {
            match &row[name] {
                Field::Double(found) => assert_eq!(Some(*found), figures[name].as_f64(), "{name}"),
                other => assert!(*other == Field::Null && figures[name].is_null(), "{name}: {other:?}"),
            }
        }
        for name in ["trips", "wins", "fills", "maker_fills", "orders"] {
            assert_eq!(row[name], Field::ULong(figures[name].as_u64().unwrap()), "{name}");
        }
    }

    // One trial against the engine's own program.
    let trial = dir.write(
        "trial.toml",
        &BASE
            .replace("threshold = 0.1", "threshold = 0.05")
            .replace("\"50\"", "\"60\"")
            .replace("bps = \"1\"", "bps = \"3\""),
    );
    let mut traded = 0;
    for path in &captures {
        let own = Path::new(env!("CARGO_BIN_EXE_tercel-sweep")).with_file_name("examples").join("tercel");
        assert!(own.exists(), "{} is built with the tests of the whole package", own.display());
        let mut command = Command::new(own);
        command.arg("backtest").arg(path).arg("--config").arg(&trial).args(["--sample", "100ms", "--json", "-"]);
        let report: Value = serde_json::from_slice(&ended(&mut command, 0).stdout).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let of = |row: &&BTreeMap<String, Field>| {
            row["p.imbalance_taker.threshold"] == Field::Str("0.05".into())
                && row["p.imbalance_taker.trade_value"] == Field::Str("60".into())
                && row["p.simex.taker_fee_bps"] == Field::Str("3".into())
                && row["capture"] == Field::Str(name.clone())
        };
        let row = rows.iter().find(of).unwrap();
        for (name, told) in [
            ("pnl", &report["pnl"]["total"]),
            ("fees", &report["pnl"]["fees"]),
            ("funding", &report["pnl"]["funding"]),
            ("turnover", &report["turnover"]["value"]),
            ("equity_start", &report["returns"]["equity_start"]),
            ("equity_end", &report["returns"]["equity_end"]),
        ] {
            assert_eq!(decimal(&row[name]), pico(told), "{name}");
        }
        for (name, told) in [
            ("total_return", &report["returns"]["total_return"]),
            ("sharpe", &report["returns"]["sharpe"]),
            ("sortino", &report["returns"]["sortino"]),
            ("volatility", &report["returns"]["volatility"]),
            ("max_drawdown", &report["drawdown"]["share"]),
            ("win_rate", &report["trips"]["win_rate"]),
            ("fill_ratio", &report["orders"]["filled_ratio"]),
        ] {
            match &row[name] {
                Field::Double(found) => assert_eq!(Some(*found), told.as_f64(), "{name}"),
                other => assert!(*other == Field::Null && told.is_null(), "{name}: {other:?} {told}"),
            }
        }
        for (name, told) in [
            ("trips", &report["trips"]["closed"]),
            ("wins", &report["trips"]["wins"]),
            ("fills", &report["turnover"]["fills"]),
            ("maker_fills", &report["turnover"]["maker_fills"]),
            ("orders", &report["orders"]["sent"]),
            ("returns", &report["returns"]["returns"]),
        ] {
            assert_eq!(row[name], Field::ULong(told.as_u64().unwrap()), "{name}");
        }
        traded += report["turnover"]["fills"].as_u64().unwrap();
    }
    assert!(traded > 0, "nothing was traded, so nothing was compared");
}

#[test]
fn a_sweep_that_was_killed_goes_on_and_ranks_the_same_with_any_number_of_workers() {
    let dir = Scratch::new("killed");
    dir.write("base.toml", BASE);
    dir.write("sweep.toml", SWEEP);
    let captures = captures(&dir, 3, 3_000);
    ended(sweep(&dir, "whole", &captures).args(["--jobs", "2"]), 0);
    ended(sweep(&dir, "alone", &captures).args(["--jobs", "1"]), 0);
    let whole = results(&dir.file("whole"));
    assert!(whole == results(&dir.file("alone")), "one worker and two");

    let log = dir.file("killed/jobs.jsonl");
    let lines = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    let mut child = sweep(&dir, "killed", &captures)
        .args(["--jobs", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while lines() < 4 && began.elapsed() < Duration::from_secs(300) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = lines();
    assert!((4..19).contains(&kept), "{kept} lines of 19");
    assert!(!dir.file("killed/ranking.json").exists());
    // What was being written when it died.
    let mut text = std::fs::read(&log).unwrap();
    text.extend_from_slice(b"{\"set\":\"0123");
    std::fs::write(&log, text).unwrap();
    let said = String::from_utf8(ended(&mut sweep(&dir, "killed", &captures), 0).stderr).unwrap();
    assert!(said.contains(&format!("{} of 18 jobs are done already", kept - 1)), "{said}");
    assert!(whole == results(&dir.file("killed")), "killed and gone on with");

    // A third time nothing is played, and a wider grid plays only what is new and counts all of it.
    dir.write("sweep.toml", &SWEEP.replace("0.05, 0.1, 0.15", "0.05, 0.2"));
    let said = String::from_utf8(ended(&mut sweep(&dir, "killed", &captures), 0).stderr).unwrap();
    assert!(said.contains("6 of 12 jobs are done already"), "{said}");
    let ranking = json(&dir.file("killed/ranking.json"));
    assert_eq!(
        (&ranking["sets"], &ranking["trials"]),
        (&Value::from(4), &Value::from(8)),
        "four of before were tried, too"
    );
}

#[test]
fn ctrl_c_ends_at_once_and_says_how_to_go_on() {
    let dir = Scratch::new("interrupted");
    dir.write("base.toml", BASE);
    dir.write("sweep.toml", SWEEP);
    let captures = captures(&dir, 3, 3_000);
    let log = dir.file("out/jobs.jsonl");
    let lines = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    let child = sweep(&dir, "out", &captures).args(["--jobs", "1"]).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while lines() < 2 && began.elapsed() < Duration::from_secs(300) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let done = lines() - 1;
    assert!(said.contains(&format!("interrupted: {done} of 18 jobs are done and kept")), "{said}");
    assert!(said.contains("the same command goes on from there"), "{said}");
    assert!(!dir.file("out/ranking.json").exists());
    let said = String::from_utf8(ended(&mut sweep(&dir, "out", &captures), 0).stderr).unwrap();
    assert!(said.contains(&format!("{done} of 18 jobs are done already")), "{said}");
    ended(&mut sweep(&dir, "whole", &captures), 0);
    assert!(results(&dir.file("out")) == results(&dir.file("whole")), "what was cut short was kept");
}

#[test]
fn windows_of_one_capture_add_up_to_it() {
    let dir = Scratch::new("windows");
    dir.write("base.toml", BASE);
    dir.write(
        "sweep.toml",
        "[parameters]\n\"imbalance-taker.threshold\" = [0.1, 0.05]\n[walk-forward]\ntrain = 2\ntest = 1\n",
    );
    let captures = captures(&dir, 1, 4_000);
    ended(sweep(&dir, "parts", &captures).args(["--window", "5s"]), 0);
    let parts = rows(&dir.file("parts/trials.parquet"));
    let folds = parts.len() / 2;
    assert!(folds >= 5, "{folds} folds");
    dir.write("sweep.toml", "[parameters]\n\"imbalance-taker.threshold\" = [0.1, 0.05]\n");
    ended(&mut sweep(&dir, "whole", &captures), 0);
    let whole = rows(&dir.file("whole/trials.parquet"));
    assert_eq!(whole.len(), 2);
    for (set, row) in whole.iter().enumerate() {
        let parts = &parts[set * folds..(set + 1) * folds];
        for name in ["pnl", "fees", "funding", "turnover"] {
            assert_eq!(parts.iter().map(|part| decimal(&part[name])).sum::<i128>(), decimal(&row[name]), "{name}");
        }
        for name in ["trips", "fills", "orders", "returns"] {
            let count = |field: &Field| if let Field::ULong(count) = field { *count } else { panic!("{field:?}") };
            assert_eq!(parts.iter().map(|part| count(&part[name])).sum::<u64>(), count(&row[name]), "{name}");
        }
        for pair in parts.windows(2) {
            assert_eq!(pair[0]["equity_end"], pair[1]["equity_start"]);
        }
        assert_eq!(parts[0]["equity_start"], row["equity_start"]);
        assert_eq!(parts[folds - 1]["equity_end"], row["equity_end"]);
    }
    let ranking = json(&dir.file("parts/ranking.json"));
    assert_eq!(ranking["walk_forward"]["steps"].as_array().unwrap().len(), folds - 2);
    let ranking = json(&dir.file("whole/ranking.json"));
    assert!(ranking["walk_forward"].is_null());
    let mut verdict = ranking["verdict"].as_array().unwrap().iter();
    assert!(verdict.any(|it| it.as_str().unwrap().starts_with("Nothing was held back")), "{ranking:#}");
}

#[test]
fn what_fails_is_a_row_and_does_not_stop_the_rest() {
    let dir = Scratch::new("fails");
    dir.write("base.toml", BASE);
    dir.write("sweep.toml", &SWEEP.replace("train = 2", "train = 1"));
    let captures = captures(&dir, 3, 1_000);
    let bytes = std::fs::read(&captures[1]).unwrap();
    std::fs::write(&captures[1], &bytes[..bytes.len() / 2]).unwrap();
    let said = String::from_utf8(ended(&mut sweep(&dir, "out", &captures), 0).stderr).unwrap();
    assert!(said.contains("warning: day1.jsonl.gz") && said.contains("its jobs will fail"), "{said}");
    let rows = rows(&dir.file("out/trials.parquet"));
    let bad: Vec<_> = rows.iter().filter(|row| row["status"] == Field::Str("failed".into())).collect();
    assert_eq!(bad.len(), 6);
    for row in bad {
        let Field::Str(reason) = &row["reason"] else { panic!("{row:?}") };
        assert!(row["capture"] == Field::Str("day1.jsonl.gz".into()) && reason.contains("day1.jsonl.gz"), "{row:?}");
        assert_eq!(row["pnl"], Field::Null);
    }
    let ranking = json(&dir.file("out/ranking.json"));
    assert_eq!(ranking["folds"].as_array().unwrap().len(), 2);
    assert!(ranking["left_out"][0].as_str().unwrap().starts_with("day1.jsonl.gz: "));
    // All captures damaged: nothing to rank, and no success.
    let said = refused(&mut sweep(&dir, "none", &captures[1..2]), 2);
    assert!(said.contains("[walk-forward]"), "{said}");
    dir.write("sweep.toml", "[parameters]\n\"imbalance-taker.threshold\" = [0.1]\n");
    assert!(refused(&mut sweep(&dir, "none", &captures[1..2]), 1).contains("every job failed"));
    // An account that cannot hold its positions is liquidated, which is a failure, too.
    dir.write("sweep.toml", "[parameters]\n\"simex.balance\" = [\"10000\", \"15\"]\n");
    dir.write("base.toml", &BASE.replace("[simex]\n", "[simex]\nmaintenance-bps = \"5000\"\n"));
    ended(&mut sweep(&dir, "poor", &captures[..1]), 0);
    let ranking = json(&dir.file("poor/ranking.json"));
    let failed = &ranking["table"][1];
    assert_eq!(failed["set"], 2);
    assert!(failed["failure"].as_str().unwrap().starts_with("liquidated at"), "{failed:#}");
    assert!(failed["all"].is_null());
}

#[test]
fn everything_is_checked_before_anything_is_played() {
    let dir = Scratch::new("checks");
    dir.write("base.toml", BASE);
    dir.write("sweep.toml", SWEEP);
    let captures = captures(&dir, 3, 300);
    let output = ended(sweep(&dir, "out", &captures).args(["--dry-run", "--json", "-"]), 0);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("6 parameter sets, 3 captures, 3 folds: 18 jobs"), "{said}");
    let plan: Value = serde_json::from_str(&said[said.find('{').unwrap()..]).unwrap();
    assert_eq!((plan["sets"].as_array().unwrap().len(), &plan["jobs"]), (6, &Value::from(18)));
    assert!(!dir.file("out").exists(), "nothing was written");

    dir.write("sweep.toml", &SWEEP.replace("taker.threshold", "taker.treshold"));
    let said = refused(&mut sweep(&dir, "out", &captures), 2);
    assert!(said.contains("imbalance-taker.treshold = 0.05") && said.contains("unknown field"), "{said}");
    dir.write("sweep.toml", SWEEP);
    assert!(refused(&mut sweep(&dir, "out", &captures[..2]), 2).contains("2 folds to choose by leave none"));
    assert!(refused(sweep(&dir, "out", &captures).args(["--jobs", "0"]), 2).contains("found 0"));
    let twice = [captures[0].clone(), captures[1].clone(), captures[0].clone()];
    assert!(refused(&mut sweep(&dir, "out", &twice), 2).contains("overlap in time"));
    let coins = ["--venue", "binance-coinm", "--instruments", "BTCUSD_PERP:0.1:1,ETHUSD_PERP:0.01:1"];
    assert!(refused(sweep(&dir, "out", &captures).args(coins), 2).contains("settles in BTC and in ETH"));

    // A sweep that has changed is refused by name, and begun anew if that is asked for.
    ended(&mut sweep(&dir, "out", &captures), 0);
    dir.write("base.toml", &format!("{BASE}fee-tier = \"vip1\"\n"));
    let said = refused(&mut sweep(&dir, "out", &captures), 2);
    assert!(said.contains("changed the base configuration") && said.contains("--fresh"), "{said}");
    assert!(dir.file("out/ranking.json").exists(), "what is refused changes nothing");
    dir.write("base.toml", BASE);
    capture(&dir, 1, 301);
    let said = refused(&mut sweep(&dir, "out", &captures), 2);
    assert!(said.contains("changed capture day1.jsonl.gz"), "{said}");
    ended(sweep(&dir, "out", &captures).arg("--fresh"), 0);
}
