//! `tercel calibrate`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::journal::{find, link_text_of, open, table, write_json};
use super::report::nanos_text;
use super::{Exit, Failure, Outcome};
use crate::calibrate::{Bar, Compared, Judgement, Lived, Simulated};
use crate::journal::JournalSteps;
use crate::sim::QueuePosition;

/// Arguments of `tercel calibrate`.
#[derive(Args)]
#[command(after_help = "\
The session's market and requests are read from its journal and played through the simulator, once for each queue model; the model
is chosen by the first half of the orders and judged by the second. It is called good only if it says rightly of nine orders in ten
whether they are filled, fills as much to within a tenth and as soon to within a tenth of a second, and latencies of one half stand for those of the other. Exit code 0: good;
1: not good, with the reasons.

Examples:
  tercel run --for 5m --journal DIR && tercel calibrate --journal DIR
  tercel calibrate --journal DIR --queue-model power:2 --orders")]
pub struct CalibrateArgs {
    /// Journal: a folder's newest, or one file.
    #[arg(long, value_name = "DIR")]
    journal: PathBuf,
    /// Try these queue models; without it conservative, power and power-of-share of 0.5 to 5.
    #[arg(long, value_name = "MODEL")]
    queue_model: Vec<QueuePosition>,
    /// Let requests meet the market so much later, like 50ms: what a wrong latency would cost.
    #[arg(long, value_name = "TIME")]
    later: Option<crate::config::Duration>,
    /// List every order with what was lived and what is predicted.
    #[arg(long)]
    orders: bool,
    /// Write it all as JSON; `-` for the standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The models that are tried, the most cautious first.
const MODELS: [&str; 11] = [
    "conservative",
    "power:0.5",
    "power:1",
    "power:2",
    "power:3",
    "power:5",
    "power-of-share:0.5",
    "power-of-share:1",
    "power-of-share:2",
    "power-of-share:3",
    "power-of-share:5",
];

/// Runs the command.
pub fn run(args: &CalibrateArgs) -> Outcome {
    let models: Vec<QueuePosition> = match args.queue_model.is_empty() {
        true => MODELS.iter().filter_map(|text| text.parse().ok()).collect(),
        false => args.queue_model.clone(),
    };
    let file = find(&args.journal)?;
    let failed = |e: crate::journal::JournalError| Failure::from(format!("{}: {e}", file.display()));
    let mut steps = JournalSteps::new(open(&file)?);
    let header = steps.reader().header().clone();
    let table = table(&header)?;
    let mut lived = Lived::default();
    while let Some(step) = steps.next_step().map_err(failed)? {
        lived.on_step(&step.event, step.commands);
    }
    let later_ns = args.later.map_or(0, |span| i64::try_from(span.0).unwrap_or(i64::MAX));
    let mut simulated = Simulated::new(&table, &models, &lived, later_ns);
    let mut steps = JournalSteps::new(open(&file)?);
    while let Some(step) = steps.next_step().map_err(failed)? {
        simulated.on_step(&step.event, step.commands, &lived);
    }
    let found = Judgement::of(&lived, &simulated.into_predictions(), &Bar::default())
        .ok_or_else(|| Failure::usage("no queue model to try"))?;

    println!("{}: {} orders that the venue took", file.display(), found.orders.len());
    println!("fitted on the first half             orders  right  lots lived  predicted  error");
    for (model, compared) in &found.fitted {
        let mark = if *model == found.chosen { "*" } else { " " };
        println!("{mark} {:<34} {}", model.to_string(), line(compared));
    }
    println!("judged on the second half\n  {:<34} {}", found.chosen.to_string(), line(&found.judged));
    if let Some((late, off)) = found.judged.first_fill_late_ns {
        let sign = if late < 0 { "earlier" } else { "later" };
        println!(
            "  first fills come {} {sign} than they did (median), {} off either way",
            nanos_text(late.unsigned_abs()),
            nanos_text(off)
        );
    }
    if let Some(fit) = &found.latency {
        println!(
            "  {} requests, from decision to answer: median {} and {}, p99 {} and {} in the halves, distributions {:.2} apart",
            fit.requests,
            nanos_text(fit.median_ns[0]),
            nanos_text(fit.median_ns[1]),
            nanos_text(fit.p99_ns[0]),
            nanos_text(fit.p99_ns[1]),
            fit.distance
        );
    }
    if args.orders {
        println!("order                            lots  lived  predicted  outcome");
        for (order, predicted) in &found.orders {
            println!(
                "  {:<28} {:>6} {:>6} {:>10}  {}",
                link_text_of(&header, order.client_id),
                order.qty.get(),
                order.filled.get(),
                predicted.filled.get(),
                order.outcome(predicted).name()
            );
        }
    }
    match found.is_good() {
        true => println!(
            "GOOD. For replays: [simex] queue-model = \"{}\", entry-latency = \"recorded:{1}\", ack-latency = \"recorded:{1}\"",
            found.chosen,
            file.display()
        ),
        false => {
            println!("NOT GOOD: results of this simulator are not to be believed for this strategy and market");
            for reason in &found.reasons {
                println!("  {reason}");
            }
        }
    }
    if let Some(json) = &args.json {
        write_json(json, &value(&found))?;
    }
    Ok(if found.is_good() { Exit::Good } else { Exit::Failed })
}

fn line(compared: &Compared) -> String {
    let percent = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.1} %", share * 100.0));
    format!(
        "{:>6} {:>6} {:>11} {:>10} {:>6}",
        compared.orders,
        percent(compared.agreement()),
        compared.lived_lots,
        compared.predicted_lots,
        percent(compared.relative_error())
    )
}

fn value(found: &Judgement) -> Value {
    let compared = |it: &Compared| {
        json!({
            "orders": it.orders, "both_filled": it.both_filled, "neither_filled": it.neither_filled,
            "only_predicted": it.only_predicted, "only_lived": it.only_lived,
            "lived_lots": it.lived_lots.to_string(), "predicted_lots": it.predicted_lots.to_string(),
            "error_lots": it.error_lots.to_string(), "agreement": it.agreement(), "fill_ratio": it.fill_ratio(),
            "relative_error": it.relative_error(), "first_fill_late_ns": it.first_fill_late_ns.map(|it| it.0),
            "first_fill_off_ns": it.first_fill_late_ns.map(|it| it.1),
        })
    };
    let fitted: Vec<Value> = found
        .fitted
        .iter()
        .map(|(model, it)| json!({ "queue_model": model.to_string(), "compared": compared(it) }))
        .collect();
    let latency = found.latency.map(|fit| {
        json!({
            "requests": fit.requests, "median_ns": fit.median_ns, "p99_ns": fit.p99_ns, "distance": fit.distance,
        })
    });
    let orders: Vec<Value> = found
        .orders
        .iter()
        .map(|(order, predicted)| {
            json!({
                "order": format!("{:?}", order.client_id), "at": order.at.get(), "qty_lots": order.qty.get(),
                "lived_lots": order.filled.get(), "predicted_lots": predicted.filled.get(),
                "lived_first_fill": order.first_fill.map(|at| at.get()),
                "predicted_first_fill": predicted.first_fill.map(|at| at.get()),
                "outcome": order.outcome(predicted).name(),
            })
        })
        .collect();
    json!({
        "good": found.is_good(), "reasons": found.reasons, "queue_model": found.chosen.to_string(), "fitted": fitted,
        "judged": compared(&found.judged), "latency": latency, "orders": orders,
    })
}
