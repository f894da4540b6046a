//! Instructions up to each answer of risk, in the order of the checks, counted by callgrind: the difference to the line before is what a
//! check costs, as far as the compiler keeps them apart. It prints the rows of the table in `docs/risk.md` and compares nothing; that is for
//! `benches/instructions.rs`, from which it is kept apart since a second place that checks would change how the first is compiled.
//!
//! `RUSTFLAGS='-C target-cpu=x86-64-v3' cargo bench --bench risk_answers`

mod callgrind;

use std::hint::black_box;
use std::process::ExitCode;

use callgrind::count;
use tercel::book::Touch;
use tercel::journal::synthetic::{SyntheticConfig, sidecar};
use tercel::risk::{BreakerLevel, Exposure, Flow, Refusal, Request, Risk, RiskLimits, SlowLimits};
use tercel::types::{InstrumentId, Level, Lots, Money, Nanos, Rate, Side, Ticks, VenueId};

/// Rounds of the two runs of an answer: set-up cancels out.
const FEW: usize = 5;
const MANY: usize = 15;

/// Orders of a round.
const ORDERS: usize = 1_000;

/// What the engine asks around the verdict, which is not in it.
const BESIDE: [Refusal; 5] =
    [Refusal::OrderRate, Refusal::CancelRate, Refusal::OrderTable, Refusal::Gateway, Refusal::StopOrder];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--run") {
        answer(&arguments[at + 1], arguments[at + 2].parse().unwrap());
        return ExitCode::SUCCESS;
    }
    println!("| answer | instructions until it |\n| --- | --- |");
    for refusal in Refusal::ALL.iter().filter(|refusal| !BESIDE.contains(refusal)) {
        match (count(refusal.name(), FEW), count(refusal.name(), MANY)) {
            (Ok(few), Ok(many)) => {
                let each = many.saturating_sub(few) as f64 / (ORDERS * (MANY - FEW)) as f64;
                println!("| `{}` | {each:.0} |", refusal.name());
            }
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// One operation is one order that this check refuses and all before it let through.
fn answer(name: &str, rounds: usize) {
    let refusal = *Refusal::ALL.iter().find(|refusal| refusal.name() == name).expect("a check");
    let table = sidecar(&SyntheticConfig::new(VenueId::BYBIT, 1)).table().unwrap();
    let spec = *table.get(InstrumentId(0)).unwrap();
    let (much, now) = (Money::new(1_000_000 * Money::ONE.get()), Nanos::new(1_000_000_000));
    let mut limits = RiskLimits {
        order_value_max: much,
        position_value_max: much,
        gross_value_max: much,
        net_value_max: much,
        capital: much,
        ..RiskLimits::default()
    };
    let level = |px| Some(Level { px: Ticks::new(px), qty: Lots::new(100) });
    let mut touch = Touch { bid: level(600_000), ask: level(600_001) };
    let (mut exposure, mut flow) = (Exposure::default(), Flow::default());
    let mut equity = much;
    let mut px = Ticks::new(600_000);
    let request = |request: &mut Request<'_>| match refusal {
        Refusal::Breaker => request.level = BreakerLevel::ReduceOnly,
        Refusal::BookNotLive => request.is_book_live = false,
        Refusal::StaleBook => request.now = Nanos::new(900_000_000_000),
        Refusal::Quantity => request.qty = Lots::ZERO,
        Refusal::ReduceOnly => request.reduce_only = true,
        Refusal::TradeCollar => request.last_px = None,
        Refusal::SelfTrade => request.own_opposite_px = Some(Ticks::new(600_000)),
        Refusal::MomentumIgnition => request.takes = true,
        _ => (),
    };
    match refusal {
        Refusal::DayLoss => limits.day_loss_max = Money::ZERO,
        Refusal::Drawdown => limits.drawdown_max = Money::ZERO,
        Refusal::Ghost => limits.permit_fresh_ns = Some(1),
        Refusal::CrossedBook => touch.bid = level(600_001),
        Refusal::Currency => limits.is_given = false,
        Refusal::Notional => limits.order_value_max = Money::ZERO,
        Refusal::Spread => limits.spread_max = Rate::ZERO,
        Refusal::Collar => px = Ticks::new(300_000),
        Refusal::OpenOrders => limits.open_orders_max = 0,
        Refusal::Position => limits.position_value_max = Money::ZERO,
        Refusal::GrossExposure => limits.gross_value_max = Money::ZERO,
        Refusal::SlowRisk => limits.slow = Some(SlowLimits { fresh_for_ns: 1, dead_after_ns: 2 }),
        Refusal::NetExposure => limits.net_value_max = Money::ZERO,
        Refusal::Capital => limits.capital = Money::ZERO,
        Refusal::Leverage => equity = Money::ZERO,
        Refusal::Duplicate => Risk::note_sent(&mut exposure, Side::Bid, px, Lots::new(10), now),
        Refusal::OrderToTrade => (limits.fair.requests_per_fill, limits.fair.requests_from) = (0, 1),
        Refusal::QuoteStuffing => limits.fair.requests_per_s = 0,
        Refusal::Layering => limits.fair.layers_max = 0,
        Refusal::MomentumIgnition => (limits.fair.takes_max, limits.fair.ignition_move) = (1, Rate::ZERO),
        _ => (),
    }
    flow.on_request(now);
    flow.on_take(Side::Bid, Ticks::new(599_000), now);
    let mut risk = Risk::new(limits);
    risk.on_equity(equity, now);
    risk.set_trading(refusal != Refusal::KillSwitch);
    for _ in 0..rounds * ORDERS {
        let mut order = Request {
            spec: &spec,
            side: Side::Bid,
            px,
            qty: Lots::new(10),
            reduce_only: false,
            is_closing: false,
            level: BreakerLevel::Normal,
            replaces: (Lots::ZERO, Money::ZERO),
            px_floor: Ticks::ZERO,
            now,
            is_book_live: true,
            touch: &touch,
            confirmed_at: now,
            last_px: Some(Ticks::new(600_000)),
            exposure: &exposure,
            takes: false,
            flow: &flow,
            own_opposite_px: None,
        };
        request(&mut order);
        assert_eq!(risk.verdict(black_box(&order)), Some(refusal));
    }
}
