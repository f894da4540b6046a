//! `tercel latency`: what a run's orders took, stage by stage, from its journal.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::journal::{find, link_text, open, time_text, write_json};
use super::report::nanos_text;
use super::{Exit, Failure, Outcome};
use crate::bench::hgrm;
use crate::journal::JournalSteps;
use crate::runtime::{GatewayStamps, LatencyStages, StampedOrder, Worst, histogram};
use crate::types::{Command, Event, Sent};

/// Names of the stages and what each spans, in the order of the path; the total is last.
pub const STAGES: [(&str, &str); 8] = [
    ("frame", "read returned → frame cut out"),
    ("decode", "→ decoded and sequenced"),
    ("queue_core", "→ taken by the core"),
    ("decide", "→ decided and risk-checked"),
    ("queue_gateway", "→ taken by the gateway"),
    ("encode", "→ request rendered"),
    ("send", "→ write called"),
    ("tick_to_order", "read returned → write called"),
];

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// Arguments of `tercel latency`.
#[derive(Args)]
#[command(after_help = "\
Every request that a market message caused counts: new orders, amendments, cancels. `ack` is the time from the write to the
venue's answer. A journal tells of every order, not of samples; orders over REST carry no stamps of the gateway.

Examples:
  tercel latency --journal DIR --worst 5
  tercel explain ORDER --journal DIR          what one of them was about")]
pub struct LatencyArgs {
    /// Journal: a folder's newest, or one file.
    #[arg(long, value_name = "DIR")]
    journal: PathBuf,
    /// Keep the slowest N requests whole.
    #[arg(long, value_name = "N", default_value_t = 5)]
    worst: usize,
    /// Write it all as JSON; `-` for the standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the distribution from read to write in HdrHistogram's text format.
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,
}

/// The gateway's stamps of a request, in nanoseconds since the read returned.
pub fn stamps_of(command: &Command, sent: &Sent) -> GatewayStamps {
    let written_ns = sent.meta.recv.saturating_since(command.at);
    GatewayStamps {
        taken_ns: written_ns.saturating_sub(u64::from(sent.taken_ago_ns)),
        encoded_ns: written_ns.saturating_sub(u64::from(sent.encoded_ago_ns)),
        written_ns,
    }
}

/// Runs the command.
pub fn run(args: &LatencyArgs) -> Outcome {
    let file = find(&args.journal)?;
    let mut steps = JournalSteps::new(open(&file)?);
    let header = steps.reader().header().clone();
    let mut stages = LatencyStages::new();
    let mut acks = histogram();
    let mut worst: Worst<(Command, StampedOrder)> = Worst::new(args.worst);
    // Requests that wait for their stamps, and written ones that wait for their answer.
    let mut waiting: HashMap<(u64, u16), Command> = HashMap::new();
    let mut unanswered: HashMap<(u64, u16), u64> = HashMap::new();
    let mut sent_count = 0;
    while let Some(step) = steps.next_step().map_err(|e| format!("{}: {e}", file.display()))? {
        for lived in step.commands.iter().filter(|lived| lived.is_taken) {
            waiting.insert((lived.command.client_id.0, lived.command.request), lived.command);
        }
        match &step.event {
            Event::Sent(sent) => {
                let key = (sent.client_id.0, sent.request);
                unanswered.insert(key, sent.meta.recv.get());
                let Some(command) = waiting.remove(&key) else { continue };
                let gateway = stamps_of(&command, sent);
                stages.record(&command.stamps, &gateway);
                if command.stamps.decoded_ns > 0 {
                    let order = StampedOrder { number: sent_count, stamps: command.stamps, gateway };
                    worst.insert(gateway.written_ns, (command, order));
                }
                sent_count += 1;
            }
            Event::Ack(ack) => {
                if let Some(written) = unanswered.remove(&(ack.client_id.0, ack.request)) {
                    acks.saturating_record(ack.meta.recv.get().saturating_sub(written));
                }
            }
            _ => {}
        }
    }
    let total = stages.named()[7].1;
    if total.is_empty() {
        return Err(Failure::from(format!("{}: holds no stamped order that a market message caused", file.display())));
    }
    println!(
        "{} of {} requests were caused by a market message ({}, host {})",
        total.len(),
        sent_count,
        header.topology,
        header.host_hash()
    );
    let mut rows: Vec<(&str, &str, &hdrhistogram::Histogram<u64>)> =
        stages.named().iter().zip(STAGES).map(|((name, h), (_, text))| (*name, text, *h)).collect();
    rows.push(("ack", "write called → the venue's answer", &acks));
    let head: String = QUANTILES.iter().map(|(name, _)| format!("{name:>11}")).collect();
    println!("  {:<14}{head}{:>11}", "", "max");
    let mut table = serde_json::Map::new();
    for (name, text, h) in &rows {
        let values: Vec<(&str, u64)> = QUANTILES.iter().map(|(q, at)| (*q, h.value_at_quantile(*at))).collect();
        let cells: String = values.iter().map(|(_, ns)| format!("{:>11}", nanos_text(*ns))).collect();
        println!("  {name:<14}{cells}{:>11}  {text}", nanos_text(h.max()));
        let mut row: serde_json::Map<String, Value> =
            values.into_iter().map(|(q, ns)| (q.replace('.', ""), Value::from(ns))).collect();
        row.insert("max".to_owned(), h.max().into());
        row.insert("count".to_owned(), h.len().into());
        table.insert((*name).to_owned(), Value::Object(row));
    }
    let worst = worst.into_sorted();
    if !worst.is_empty() {
        println!("slowest from read to write, each stage in order:");
    }
    let mut slow = Vec::new();
    for (ns, (command, order)) in &worst {
        let parts = order.stages();
        let text: Vec<String> =
            STAGES[..7].iter().zip(parts).map(|((name, _), ns)| format!("{name} {}", nanos_text(ns))).collect();
        let id = link_text(&header, command);
        println!("  {:>10}  {} {:?} {id}  {}", nanos_text(*ns), time_text(command.at), command.kind, text.join(", "));
        let stages: serde_json::Map<String, Value> =
            STAGES.iter().zip(parts).map(|((name, _), ns)| ((*name).to_owned(), ns.into())).collect();
        slow.push(json!({
            "order": id, "kind": format!("{:?}", command.kind), "request": command.request,
            "at": command.at.get(), "stages_ns": stages,
        }));
    }
    if let Some(out) = &args.hgrm {
        std::fs::write(out, hgrm::render(total)).map_err(|e| format!("{}: {e}", out.display()))?;
    }
    if let Some(out) = &args.json {
        let value = json!({
            "requests": sent_count, "topology": header.topology, "host": header.host, "run_id": header.run_id, "stages_ns": table, "worst": slow,
        });
        write_json(Path::new(out), &value)?;
    }
    Ok(Exit::Good)
}
