//! Instructions per operation, counted by callgrind: a regression shows however noisy the machine is.
//!
//! `RUSTFLAGS='-C target-cpu=x86-64-v3' cargo bench --bench instructions` runs itself under valgrind, each operation twice
//! with different counts, so that set-up cancels out, and compares with `benches/instructions.toml`: beyond the tolerance,
//! up or down, it fails. `-- --bless` takes the new figures over. Callgrind knows no AVX-512; what is counted is the AVX2
//! way. Input is generated, so the figures depend on the compiler and the C library alone; with another compiler than the
//! one that the figures are of, differences are printed and do not fail. Without valgrind it says so and succeeds, unless
//! `CI` is set.

mod callgrind;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command as Process, ExitCode};

use callgrind::count;
use serde::{Deserialize, Serialize};
use tercel::bench::{Traffic, play_in_memory};
use tercel::book::{L2Book, Touch};
use tercel::journal::synthetic::{SyntheticConfig, generate, sidecar};
use tercel::risk::{BreakerLevel, Exposure, Flow, Request, Risk, RiskLimits};
use tercel::types::{
    Book, BookKind, ClientOrderId, Command, CommandKind, CommandStamps, Event, InstrumentId, Level, Lots, Meta, Money,
    Nanos, Side, Ticks, TimeInForce, VenueId,
};
use tercel::venue::bybit::{ORDER_BYTES_MAX, OrderEncoder};
use tercel::venue::{Arrival, FeedConfig, MarketFeed};

/// Difference from the reference that passes, in percent.
const TOLERANCE_PERCENT: f64 = 3.0;

/// Rounds of the two runs of an operation.
const FEW: usize = 5;
const MANY: usize = 15;

const OPERATIONS: [&str; 9] = [
    "decode_bybit",
    "decode_binance",
    "trades_bybit",
    "ticker_bybit",
    "trade_binance",
    "book_apply",
    "risk_check",
    "order_encode",
    "tick_to_order",
];

/// Runs an operation `rounds` times over its input and returns how many operations one round is.
fn run(name: &str, rounds: usize) -> usize {
    match name {
        "decode_bybit" => decode(VenueId::BYBIT, "", rounds),
        "decode_binance" => decode(VenueId::BINANCE_USDM, "", rounds),
        "trades_bybit" => decode(VenueId::BYBIT, "\"publicTrade.", rounds),
        "ticker_bybit" => decode(VenueId::BYBIT, "\"tickers.", rounds),
        "trade_binance" => decode(VenueId::BINANCE_USDM, "@trade\"", rounds),
        "book_apply" => book_apply(rounds),
        "risk_check" => risk_check(rounds),
        "order_encode" => order_encode(rounds),
        "tick_to_order" => tick_to_order(rounds),
        _ => panic!("no operation {name}"),
    }
}

fn config(venue: VenueId) -> SyntheticConfig {
    SyntheticConfig { depth_events: 400, levels: 50, ..SyntheticConfig::new(venue, 1) }
}

/// One operation is one message that holds `mark`, decoded, checked for sequence and handed on.
fn decode(venue: VenueId, mark: &str, rounds: usize) -> usize {
    let config = config(venue);
    let table = sidecar(&config).table().unwrap();
    let mut messages: Vec<Vec<u8>> = generate(&config).lines.into_iter().map(|(_, message)| message).collect();
    messages.retain(|message| String::from_utf8_lossy(message).contains(mark));
    let config = FeedConfig { assume_empty: true, ..FeedConfig::default() };
    let mut feed = MarketFeed::new(venue, &table, config).unwrap();
    for _ in 0..rounds {
        for message in &messages {
            let mut sink = |event: &Event<'_>| {
                black_box(event);
            };
            let _ = black_box(feed.on_frame(message, Arrival::default(), || 0, &mut sink));
        }
    }
    messages.len()
}

/// One operation is one depth event of one instrument, and the touch read after it.
fn book_apply(rounds: usize) -> usize {
    let config = SyntheticConfig { instruments: 1, ..config(VenueId::BYBIT) };
    let table = sidecar(&config).table().unwrap();
    let mut feed = MarketFeed::new(VenueId::BYBIT, &table, FeedConfig::default()).unwrap();
    let mut events: Vec<(BookKind, Vec<Level>, Vec<Level>)> = Vec::new();
    for (_, message) in generate(&config).lines {
        let mut sink = |event: &Event<'_>| {
            if let Event::Book(book) = event {
                events.push((book.kind, book.bids.to_vec(), book.asks.to_vec()));
            }
        };
        let _ = feed.on_frame(&message, Arrival::default(), || 0, &mut sink);
    }
    let mut book = L2Book::new(16_384, 16_384);
    for _ in 0..rounds {
        for (kind, bids, asks) in &events {
            book.apply(&Book { meta: Meta::default(), kind: *kind, cross_seq: 0, bids, asks });
            black_box(book.touch());
        }
    }
    events.len()
}

/// One operation is one order that passes all checks.
fn risk_check(rounds: usize) -> usize {
    const ORDERS: i64 = 1_000;
    let table = sidecar(&config(VenueId::BYBIT)).table().unwrap();
    let spec = table.get(InstrumentId(0)).unwrap();
    let mut risk = Risk::new(RiskLimits {
        order_value_max: Money::new(1_000_000 * Money::ONE.get()),
        position_value_max: Money::new(1_000_000 * Money::ONE.get()),
        gross_value_max: Money::new(1_000_000 * Money::ONE.get()),
        net_value_max: Money::new(1_000_000 * Money::ONE.get()),
        capital: Money::new(1_000_000 * Money::ONE.get()),
        ..RiskLimits::default()
    });
    risk.on_equity(Money::new(1_000_000 * Money::ONE.get()), Nanos::new(1_000_000_000));
    risk.set_trading(true);
    let level = |px| Some(Level { px: Ticks::new(px), qty: Lots::new(100) });
    let touch = Touch { bid: level(600_000), ask: level(600_001) };
    let exposure = Exposure::default();
    let flow = Flow::default();
    let mut passed = 0;
    for _ in 0..rounds {
        for idx in 0..ORDERS {
            let request = Request {
                spec,
                side: Side::Bid,
                px: Ticks::new(600_000 - idx % 10),
                qty: Lots::new(10 + idx % 3),
                reduce_only: false,
                is_closing: false,
                level: BreakerLevel::Normal,
                replaces: (Lots::ZERO, Money::ZERO),
                px_floor: Ticks::ZERO,
                now: Nanos::new(1_000_000_000),
                is_book_live: true,
                touch: &touch,
                confirmed_at: Nanos::new(1_000_000_000),
                last_px: Some(Ticks::new(600_000)),
                exposure: &exposure,
                takes: false,
                flow: &flow,
                own_opposite_px: None,
            };
            passed += usize::from(risk.check(black_box(&request)).is_ok());
        }
    }
    assert_eq!(passed, rounds * ORDERS as usize, "every order passes: {:?}", risk.refused().collect::<Vec<_>>());
    ORDERS as usize
}

/// One operation is one new order as text.
fn order_encode(rounds: usize) -> usize {
    const ORDERS: u64 = 1_000;
    let table = sidecar(&config(VenueId::BYBIT)).table().unwrap();
    let mut encoder = OrderEncoder::new(&table, 42, 5_000);
    let mut out = [0; ORDER_BYTES_MAX];
    for _ in 0..rounds {
        for idx in 0..ORDERS {
            let command = Command {
                kind: CommandKind::New,
                side: Side::Bid,
                tif: TimeInForce::PostOnly,
                reduce_only: false,
                trigger: None,
                instrument: InstrumentId(0),
                client_id: ClientOrderId(idx + 1),
                request: idx as u16 + 1,
                px: Ticks::new(6_165_970 + idx as i64),
                qty: Lots::new(12 + idx as i64 % 5),
                at: Nanos::new(1),
                stamps: CommandStamps::default(),
            };
            black_box(encoder.request(black_box(&command), 1_711_001_595_207 + idx, &mut out).unwrap());
        }
    }
    ORDERS as usize
}

/// One operation is a tick of 296 bytes, the order that it causes, and that order's end, from frame bytes to order bytes.
fn tick_to_order(rounds: usize) -> usize {
    const TICKS: usize = 500;
    let traffic = Traffic::generated(1_000, 296, 1);
    let orders = play_in_memory(&traffic, (rounds * TICKS) as u64).unwrap();
    assert_eq!(orders, (rounds * TICKS) as u64, "one order a tick");
    TICKS
}

/// The committed figures.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct References {
    /// Compiler that they are of.
    rustc: String,
    /// By what the bench was built for: instructions per operation.
    builds: BTreeMap<String, BTreeMap<String, f64>>,
}

fn rustc_version() -> String {
    let output = Process::new("rustc").arg("--version").output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--run") {
        run(&arguments[at + 1], arguments[at + 2].parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let has_valgrind = Process::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
    if !has_valgrind {
        eprintln!("SKIPPED: no valgrind here, no instruction was counted");
        return if std::env::var_os("CI").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let build = if cfg!(target_feature = "avx2") { "x86-64-v3" } else { "x86-64" };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let mut references: References = toml::from_str(&text).expect("instructions.toml");
    let rustc = rustc_version();
    let is_comparable = references.rustc == rustc;
    let mut is_good = true;
    println!("instructions per operation, {build}, {rustc}\n");
    if !is_comparable {
        println!("the references are of {}: differences do not fail\n", references.rustc);
    }
    for name in OPERATIONS {
        let operations = run(name, 1) * (MANY - FEW);
        let (few, many) = match (count(name, FEW), count(name, MANY)) {
            (Ok(few), Ok(many)) => (few, many),
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        };
        let found = many.saturating_sub(few) as f64 / operations as f64;
        let known = references.builds.entry(build.into()).or_default();
        match known.get(name) {
            Some(&reference) => {
                let percent = (found / reference - 1.0) * 100.0;
                let is_within = percent.abs() <= TOLERANCE_PERCENT;
                is_good &= is_within || !is_comparable;
                let verdict = if is_within { "" } else { "  BEYOND THE TOLERANCE" };
                println!("{name:16} {found:10.1}  reference {reference:10.1}  {percent:+6.2} %{verdict}");
            }
            None => println!("{name:16} {found:10.1}  no reference"),
        }
        known.insert(name.into(), (found * 10.0).round() / 10.0);
    }
    if arguments.iter().any(|argument| argument == "--bless") {
        references.rustc = rustc;
        let text = toml::to_string(&references).expect("figures are text");
        let head = "# Instructions per operation, by what the benches were built for. Written by\n\
                    # RUSTFLAGS='-C target-cpu=x86-64-v3' cargo bench --bench instructions -- --bless\n\n";
        std::fs::write(&path, format!("{head}{text}")).expect("instructions.toml is written");
        return ExitCode::SUCCESS;
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
