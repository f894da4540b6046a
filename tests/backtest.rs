//! `tercel backtest`, `validate`, `report` and `paper`: the accounting identity over every capture, what they write, and how they end.

mod common;

use std::path::{Path, PathBuf};

use common::{Scratch, captures, generated, good, say, summary, tercel, topologies};
use serde_json::Value;
use tercel::journal::synthetic::SyntheticConfig;
use tercel::types::VenueId;

/// Captures, and whether their book must start empty.
const CAPTURES: &[(&str, bool)] = &[
    ("binance-usdm/20240808-btcusdt", false),
    ("binance-usdm/20240808-ethusdt", false),
    ("binance-usdm/20230404-btcusdt", false),
    ("binance-usdm/20210722-4sym-100ms", false),
    ("binance-usdm/20260928-btcusdt-depth-burst", true),
    ("binance-usdm/20260930-btc-eth-markprice", false),
    ("binance-spot/20240808-btcusdt", false),
    ("binance-spot/20230405-btcusdt-nosnapshot", true),
    ("binance-spot/20240723-nexousdt-34h", false),
    ("binance-coinm/20240808-btcusd_perp", false),
    ("binance-coinm/20210722-10sym-100ms", false),
    ("bybit/linear-20260809-4sym-ob200", false),
    ("bybit/linear-20250613-4sym-ob1", false),
    ("bybit/linear-20241201-xrpusdt-ob500-archive", false),
    ("bybit/linear-20260930-btc-eth-tickers", false),
    ("bybit/spot-testnet-20260913-btcusdt-ob50-ob1", false),
];

/// The feed that the other tests trade on, and a configuration that trades on it often.
fn eager(dir: &Scratch) -> (PathBuf, PathBuf) {
    let config = SyntheticConfig { depth_events: 6_000, ..SyntheticConfig::new(VenueId::BYBIT, 77) };
    let file = dir.file("eager.toml");
    std::fs::write(&file, "[imbalance-taker]\nthreshold = 0.1\nedge-bar-bps = 0\n").unwrap();
    (generated(dir, &config, true), file)
}

/// A configuration with limits in the coins of the captured inverse contracts: of each as much as is a few hundred dollars an
/// order, and a few thousand a position.
fn coins(dir: &Scratch) -> PathBuf {
    let file = dir.file("coins.toml");
    let limits = [
        ("BTC", "0.02", "0.2"),
        ("ETH", "0.2", "2"),
        ("BCH", "1", "10"),
        ("LINK", "20", "200"),
        ("ETC", "10", "100"),
        ("EOS", "100", "1000"),
        ("XRP", "1000", "10000"),
        ("TRX", "10000", "100000"),
    ];
    let table = |(coin, order, position): (&str, &str, &str)| {
        format!(
            "[currency.{coin}]\norder-value-max = \"{order}\"\nposition-value-max = \"{position}\"\ncapital = \"{position}\"\n\
             day-loss-max = \"{order}\"\n"
        )
    };
    std::fs::write(&file, limits.map(table).concat()).unwrap();
    file
}

/// The reports of a session: itself, or one for each settlement currency.
fn reports(report: &Value) -> Vec<&Value> {
    report["currencies"].as_array().map_or_else(|| vec![report], |all| all.iter().collect())
}

fn backtest(dir: &Scratch, capture: &Path, args: &[&str]) -> Value {
    let json = dir.file("report.json");
    good(tercel(["backtest".as_ref(), capture.as_os_str()]).args(args).arg("--json").arg(&json));
    summary(&json)
}

/// A decimal in units of 10⁻¹², exactly.
fn pico(value: &Value) -> i128 {
    tercel::types::Money::parse(value.as_str().unwrap().as_bytes()).unwrap().get()
}

/// Computes the identity of each currency anew; returns how many fills there were.
fn assert_identities(name: &str, report: &Value) -> u64 {
    let of = |report: &&Value| assert_identity(&format!("{name} in {}", report["currency"]), report);
    reports(report).iter().map(of).sum()
}

/// Computes the identity anew from what the report says, rather than believing its verdict; returns how many fills there were.
fn assert_identity(name: &str, report: &Value) -> u64 {
    let of = |part: &str, key: &str| pico(&report[part][key]);
    let books = |key| of("identity", key);
    let change = books("realised") - books("fees") - books("funding");
    assert_eq!(books("wallet_venue") - books("wallet_start"), change, "{name}");
    assert_eq!(report["identity"]["holds"], true, "{name}");
    let profit = of("pnl", "spread") + of("pnl", "inventory") - of("pnl", "fees") - of("pnl", "funding");
    assert_eq!(of("pnl", "total"), profit, "{name}");
    assert_eq!(of("returns", "equity_end") - of("returns", "equity_start"), profit, "{name}");
    if report["trips"]["open"] == 0 {
        assert_eq!(of("trips", "net"), change, "{name}: flat, all of it is in round trips");
    }
    report["turnover"]["fills"].as_u64().unwrap()
}

#[test]
fn the_accounting_identity_holds_over_every_capture_with_both_strategies() {
    let dir = Scratch::new("identity");
    let (mut ran, mut missing, mut fills, mut coin_fills) = (0, 0, [0, 0], [0, 0]);
    let coins = coins(&dir);
    for &(name, is_empty_at_first) in CAPTURES {
        let capture = captures().join(format!("{name}.jsonl.gz"));
        if !capture.exists() {
            missing += 1;
            say(&format!("SKIPPED: {name}: no such capture in {}", captures().display()));
            continue;
        }
        ran += 1;
        let empty: &[&str] = if is_empty_at_first { &["--assume-empty"] } else { &[] };
        for (idx, strategy) in ["market-maker", "imbalance-taker"].into_iter().enumerate() {
            let args = ["--strategy", strategy, "--edge-bar", "0", "--config", coins.to_str().unwrap()];
            let report = backtest(&dir, &capture, &[&args[..], empty].concat());
            let found = assert_identities(&format!("{name} with {strategy}"), &report);
            fills[idx] += found;
            if name.starts_with("binance-coinm/2024") {
                assert_eq!(report["currency"], "BTC");
                coin_fills[idx] += found;
            }
        }
    }
    say(&format!(
        "IDENTITY: {ran} captures, {} fills of the maker, {} of the taker, of them {coin_fills:?} of BTCUSD_PERP, {missing} missing",
        fills[0], fills[1]
    ));
    assert!(missing > 0 || fills.iter().all(|count| *count > 500), "{fills:?}");
    assert!(missing > 0 || coin_fills.iter().all(|count| *count > 10), "{coin_fills:?}");
}

/// A linear and an inverse capture on one timeline: two currencies, each with books of its own.
fn assert_two_currencies(name: &str, coin: &str, report: &Value) {
    assert_identities(name, report);
    let all = reports(report);
    let names: Vec<&Value> = all.iter().map(|it| &it["currency"]).collect();
    assert_eq!(names, ["USDT", coin], "{name}");
    for it in &all {
        assert!(it["turnover"]["fills"].as_u64().unwrap() > 10, "{name}: {}", it["currency"]);
        let settled = if it["currency"] == "USDT" { "USDT" } else { "USD_PERP" };
        let symbols = it["instruments"].as_array().unwrap().iter().map(|it| it["symbol"].as_str().unwrap());
        assert!(symbols.clone().count() > 0 && symbols.clone().all(|it| it.ends_with(settled)), "{name}: {settled}");
    }
    assert_eq!(report["holds"], true, "{name}");
    for figure in ["pnl", "returns", "drawdown", "identity"] {
        assert_eq!(report.get(figure), None, "{name}: there is no {figure} of both");
    }
}

#[test]
fn a_linear_and_an_inverse_capture_at_once_are_booked_in_two_currencies() {
    let dir = Scratch::new("both-captures");
    let files = ["binance-usdm/20240808-btcusdt", "binance-coinm/20240808-btcusd_perp"]
        .map(|name| captures().join(format!("{name}.jsonl.gz")));
    if let Some(missing) = files.iter().find(|file| !file.exists()) {
        return say(&format!("SKIPPED: no such capture: {}", missing.display()));
    }
    let [linear, inverse] = files;
    let config = coins(&dir);
    for strategy in ["market-maker", "imbalance-taker"] {
        let args = ["--strategy", strategy, "--edge-bar", "0", "--config", config.to_str().unwrap()];
        let report = backtest(&dir, &linear, &[&args[..], &[inverse.to_str().unwrap()]].concat());
        assert_two_currencies(strategy, "BTC", &report);
    }
}

#[test]
fn generated_captures_in_two_currencies_are_booked_alike_on_every_topology() {
    let dir = Scratch::new("both-generated");
    let (linear, eager) = eager(&dir);
    let config =
        SyntheticConfig { depth_events: 6_000, instruments: 1, ..SyntheticConfig::new(VenueId::BINANCE_COINM, 78) };
    let inverse = generated(&dir, &config, true);
    let inverse = inverse.to_str().unwrap();
    let both = dir.file("both.toml");
    let whole = std::fs::read_to_string(&eager).unwrap()
        + "[currency.AAA]\norder-value-max = \"10\"\nposition-value-max = \"100\"\ncapital = \"100\"\nday-loss-max = \"10\"\n";
    std::fs::write(&both, whole).unwrap();
    for strategy in ["market-maker", "imbalance-taker"] {
        let args = ["--strategy", strategy, "--config", both.to_str().unwrap(), inverse];
        let mut first: Option<Value> = None;
        for topology in topologies() {
            let report = backtest(&dir, &linear, &[&args[..], &["--topology", &topology]].concat());
            assert_two_currencies(strategy, "AAA", &report);
            match &first {
                None => first = Some(report),
                Some(first) => assert!(*first == report, "{strategy} on {topology}"),
            }
        }
        // The engine's own books, made by the engine and not by the report.
        let json = dir.file("replay.json");
        good(tercel(["replay".as_ref(), linear.as_os_str()]).args(args).arg("--json").arg(&json));
        let (replay, first) = (summary(&json), first.unwrap());
        for (idx, report) in reports(&first).into_iter().enumerate() {
            let ours = &replay["currencies"][idx];
            assert_eq!(ours["balances"]["currency"], report["currency"], "{strategy}");
            assert_eq!(ours["balances"]["engine"], report["identity"]["wallet_venue"], "{strategy}");
            for key in ["total", "spread", "inventory", "fees"] {
                assert_eq!(pico(&ours["pnl"][key]), pico(&report["pnl"][key]), "{strategy}: {key}");
            }
        }
        assert_eq!(replay["reconciled"], true);
    }
    // Without limits in its coin nothing begins, and the instrument and its currency are named; to look on needs none.
    for (command, args) in [("backtest", vec![]), ("replay", vec![]), ("replay", vec!["--strategy", "watch"])] {
        let output = tercel([command.as_ref(), linear.as_os_str()]).arg(inverse).args(&args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_watching = !args.is_empty();
        assert_eq!(output.status.code(), Some(if is_watching { 0 } else { 2 }), "{said}");
        assert!(is_watching || (said.contains("AAAUSD_PERP") && said.contains("[currency.AAA]")), "{said}");
    }
    // A page for each currency, and one file with all.
    let out = dir.file("out");
    backtest(&dir, &linear, &["--config", both.to_str().unwrap(), inverse, "--report", out.to_str().unwrap()]);
    let mut names: Vec<String> =
        std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["report-AAA.html", "report-AAA.md", "report-USDT.html", "report-USDT.md", "report.json"]);
}

#[test]
fn an_account_without_margin_is_liquidated_and_the_books_agree_on_it() {
    let dir = Scratch::new("liquidated");
    let (capture, eager) = eager(&dir);
    let config = dir.file("thin.toml");
    // Ninety times as much as is there, as long as half of it is left, and no limit of ours in the way.
    let much = "\"1000000\"";
    let text = format!(
        "{}trade-value = \"1800\"\n[simex]\nbalance = \"20\"\n[risk]\nleverage-e2 = 40000\norder-value-max = {much}\n\
         position-value-max = {much}\ncapital = {much}\nday-loss-max = {much}\ndrawdown-max = {much}\n[breakers]\n\
         position-loss-max = {much}\nheat-max = {much}\nerrors-max = 1000000\n",
        std::fs::read_to_string(&eager).unwrap()
    );
    let mut outcomes = Vec::new();
    for maintenance in ["50", "0"] {
        std::fs::write(&config, text.replace("[risk]", &format!("maintenance-bps = {maintenance}\n[risk]"))).unwrap();
        let json = dir.file("report.json");
        let mut command = tercel(["backtest".as_ref(), capture.as_os_str()]);
        command.args(["--strategy", "imbalance-taker", "--config"]).arg(&config).arg("--json").arg(&json);
        let told = String::from_utf8_lossy(&good(&mut command).stderr).into_owned();
        assert!(assert_identity("liquidated", &summary(&json)) > 2, "{told}");
        outcomes.push(told.contains("the account was liquidated"));
    }
    assert_eq!(outcomes, [true, false], "with maintenance margin, and without");
}

#[test]
fn a_report_is_the_same_on_every_topology_and_agrees_with_the_replay() {
    let dir = Scratch::new("same-report");
    let (capture, config) = eager(&dir);
    let config = config.to_str().unwrap();
    for strategy in ["market-maker", "imbalance-taker"] {
        let args = ["--strategy", strategy, "--config", config];
        let mut first: Option<Value> = None;
        for topology in topologies() {
            let report = backtest(&dir, &capture, &[&args[..], &["--topology", &topology]].concat());
            assert!(assert_identity(strategy, &report) > 20);
            match &first {
                None => first = Some(report),
                Some(first) => assert!(*first == report, "{strategy} on {topology}"),
            }
        }
        // The engine's own books, made by the engine and not by the report.
        let json = dir.file("replay.json");
        good(tercel(["replay".as_ref(), capture.as_os_str()]).args(args).arg("--json").arg(&json));
        let (replay, report) = (summary(&json), first.unwrap());
        for key in ["total", "spread", "inventory", "fees"] {
            assert_eq!(pico(&replay["pnl"][key]), pico(&report["pnl"][key]), "{strategy}: {key}");
        }
        assert_eq!(replay["orders"]["sent"], report["orders"]["sent"], "{strategy}");
        assert_eq!(replay["fills"], report["turnover"]["fills"], "{strategy}");
    }
}

#[test]
fn a_report_is_three_whole_files_and_the_reference_may_be_ones_own() {
    let dir = Scratch::new("report-files");
    let (capture, _) = eager(&dir);
    let out = dir.file("out");
    let series = dir.file("index.csv");
    std::fs::write(&series, "time,value\n1,100\n").unwrap();
    let report = backtest(
        &dir,
        &capture,
        &["--report", out.to_str().unwrap(), "--reference-file", series.to_str().unwrap(), "--sample", "100ms"],
    );
    assert_eq!(report["reference"]["name"], "index.csv");
    assert_eq!(report["reference"]["beta"], Value::Null, "a series that does not move explains nothing");
    assert_eq!(report["span"]["sample_s"], 0.1);
    assert_eq!(summary(&out.join("report.json")), report);
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(
        page.trim_end().ends_with("</html>") && page.contains("id=\"equity\"") && page.contains("class=\"mark buy\"")
    );
    assert!(std::fs::read_to_string(out.join("report.md")).unwrap().contains("## Accounts"));
    let mut names: Vec<String> =
        std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["report.html", "report.json", "report.md"], "nothing half-written is left");
    for (args, wants) in [
        (["--reference", "NOSUCH"], "NOSUCH"),
        (["--reference-file", "/nowhere/x.csv"], "/nowhere/x.csv"),
        (["--sample", "0s"], "--sample"),
    ] {
        let output = tercel(["backtest".as_ref(), capture.as_os_str()]).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(wants), "{said}");
    }
}

#[test]
fn validate_ends_with_the_reason_for_each_target_missed() {
    let dir = Scratch::new("validate");
    let (capture, config) = eager(&dir);
    let json = dir.file("validate.json");
    let run = |args: &[&str]| {
        let mut command = tercel(["validate".as_ref(), capture.as_os_str()]);
        let output = command.args(args).arg("--json").arg(&json).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code(), said)
    };
    let (code, said) = run(&["--max-drawdown", "0.15", "--min-trades", "1", "--min-sharpe", "-1e9"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 of 3 targets met"), "{said}");
    let (code, said) = run(&["--max-drawdown", "0.15", "--min-sharpe", "1e9"]);
    assert_eq!(code, Some(1), "{said}");
    let missed: Vec<&str> = said.lines().filter(|line| line.starts_with("MISSED")).collect();
    assert_eq!(missed.len(), 1, "{said}");
    assert!(missed[0].contains("min-sharpe: found ") && missed[0].contains("asked at least 1000000000"), "{said}");
    let written = summary(&json);
    assert_eq!((&written["met"], &written["targets"][0]["met"]), (&Value::Bool(false), &Value::Bool(true)));
    // Nothing traded: a ratio that is not defined is missed, and said to be so.
    let (code, said) = run(&["--strategy", "watch", "--min-win-rate", "0", "--min-sharpe", "-1e9"]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said.matches("not defined for this session").count(), 2, "{said}");
    let (code, said) = run(&[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--max-drawdown"), "{said}");
    // Targets of the configuration; an option replaces its key.
    let text = std::fs::read_to_string(&config).unwrap() + "[validate]\nmin-sharpe = 1e9\nmin-fills = 1\n";
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    assert_eq!(run(&["--config", config]).0, Some(1));
    assert_eq!(run(&["--config", config, "--min-sharpe", "-1e9"]).0, Some(0));
}

#[test]
fn a_live_session_is_reported_from_its_journal() {
    let dir = Scratch::new("journal-report");
    let journal = dir.file("journal");
    let json = dir.file("run.json");
    good(tercel(["run", "--for", "4s", "--journal"]).arg(&journal).arg("--json").arg(&json));
    let out = dir.file("report.json");
    good(tercel(["report", "--journal"]).arg(&journal).arg("--json").arg(&out));
    let (run, report) = (summary(&json), summary(&out));
    assert!(assert_identity("a live session", &report) > 0, "{run}");
    assert_eq!(report["turnover"]["fills"], run["fills"]);
    for key in ["spread", "fees"] {
        assert_eq!(pico(&run["pnl"][key]), pico(&report["pnl"][key]), "{key}");
    }
    let filled = report["orders"]["filled"].as_u64().unwrap();
    assert!(filled > 0, "executions that name the venue's number alone belong to their orders: {}", report["orders"]);
    assert_eq!(report["slippage_bps"]["all"]["fills"], report["turnover"]["fills"], "every decision's mid is known");
}

#[test]
fn a_paper_session_trades_the_live_market_and_ends_in_order_when_it_is_asked_to() {
    let dir = Scratch::new("paper");
    let json = dir.file("paper.json");
    let mut session = tercel(["paper", "--json"]).arg(&json).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(5));
    good(std::process::Command::new("kill").arg("-INT").arg(session.id().to_string()));
    assert_eq!(session.wait().unwrap().code(), Some(0));
    let report = summary(&json);
    assert!(assert_identity("a paper session", &report) > 0, "{}", report["orders"]);
    assert_eq!(report["kind"], "Paper session");
    // A real venue needs a name to trade, and no key.
    let config = dir.file("testnet.toml");
    std::fs::write(&config, "[venue]\nenvironment = \"testnet\"\nrest = \"http://127.0.0.1:1\"\n").unwrap();
    let output = tercel(["paper", "--config"]).arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("no instrument"), "{said}");
}
