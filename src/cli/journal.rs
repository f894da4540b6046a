//! What the commands over journals share, and `tercel replay --journal`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{EngineArgs, Exit, Failure, Outcome};
use crate::config::Config;
use crate::engine::{Engine, NoProbe, Probe};
use crate::journal::{JournalHeader, JournalReader, journals};
use crate::runtime::{Difference, rerun};
use crate::strategy::BuiltIn;
use crate::types::{ClientOrderId, Command, InstrumentTable, Nanos};
use crate::venue::bybit::LinkId;

/// The journal at `path`: the file itself, or a folder's newest.
pub fn find(path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    // Runs count upwards, and their names with them.
    let mut all = journals(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let count = all.len();
    let newest = all.pop().and_then(|journal| journal.segments.into_iter().next());
    let newest = newest.ok_or_else(|| Failure::usage(format!("{}: holds no journal (*.tj)", path.display())))?;
    if count > 1 {
        eprintln!("{count} journals in {}: taking the newest, {}", path.display(), newest.display());
    }
    Ok(newest)
}

/// Opens a journal.
pub fn open(file: &Path) -> Result<JournalReader, Failure> {
    let reader = JournalReader::open(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let (wrote, reads) = (&reader.header().program, env!("CARGO_PKG_VERSION"));
    if wrote != reads {
        eprintln!("warning: written by version {wrote}, this is {reads}: its engine may decide otherwise");
    }
    Ok(reader)
}

/// The instruments of a journal.
pub fn table(header: &JournalHeader) -> Result<InstrumentTable, Failure> {
    header.table().ok_or_else(|| Failure::from("the journal's header names instruments that cannot be"))
}

/// An engine that equals the one that wrote the journal.
pub fn engine<P: Probe>(
    header: &JournalHeader,
    table: &InstrumentTable,
    probe: P,
) -> Result<Engine<BuiltIn, P>, Failure> {
    let config = Config::parse(&header.config, Path::new("the journal's configuration"))?;
    Ok(Engine::with_probe(table, config.live_engine(), config.strategy(table.len()), probe))
}

/// An order's id as it stands on the wire.
pub fn link_text(header: &JournalHeader, command: &Command) -> String {
    link_text_of(header, command.client_id)
}

/// The same of its number.
pub fn link_text_of(header: &JournalHeader, client_id: ClientOrderId) -> String {
    String::from_utf8_lossy(&LinkId { run_id: header.run_id, client_id }.write()).into_owned()
}

/// A moment of the day, in UTC.
pub fn time_text(at: Nanos) -> String {
    let (s, ns) = (at.get() / 1_000_000_000 % 86_400, at.get() % 1_000_000_000);
    format!("{:02}:{:02}:{:02}.{ns:09}", s / 3600, s / 60 % 60, s % 60)
}

/// Writes JSON to a file, or to the standard output if it is `-`.
pub fn write_json(file: &Path, value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    if file.as_os_str() == "-" {
        print!("{text}");
        return Ok(());
    }
    std::fs::write(file, text).map_err(|e| Failure::from(format!("{}: {e}", file.display())))
}

/// A command's fields, each with its name: those that a decision is made of.
pub fn fields(command: &Command, table: &InstrumentTable) -> Vec<(&'static str, String)> {
    let spec = table.get(command.instrument);
    let text = |step: Option<crate::types::Step>, count: i64| match step {
        Some(step) => format!("{} ({count})", step.text(count)),
        None => count.to_string(),
    };
    vec![
        ("kind", format!("{:?}", command.kind)),
        ("instrument", spec.map_or_else(|| format!("{:?}", command.instrument), |spec| spec.symbol.to_string())),
        ("side", format!("{:?}", command.side)),
        ("px (ticks)", text(spec.map(|spec| spec.tick), command.px.get())),
        ("qty (lots)", text(spec.map(|spec| spec.lot), command.qty.get())),
        ("time in force", format!("{:?}", command.tif)),
        ("reduce only", command.reduce_only.to_string()),
        ("order", format!("{:?}", command.client_id)),
        ("request", command.request.to_string()),
        ("at", command.at.get().to_string()),
    ]
}

fn print_difference(found: &Difference, table: &InstrumentTable) {
    println!("DIFFERENT: command {}, caused by event {}", found.command, found.event);
    println!("event {}", found.event_text);
    let side = |command: &Option<Command>| command.as_ref().map(|command| fields(command, table));
    match (side(&found.journaled), side(&found.replayed)) {
        (Some(lived), Some(again)) => {
            println!("  {:<14} {:<28} {:<28}", "", "journal", "replay");
            for ((name, lived), (_, again)) in lived.iter().zip(&again) {
                println!("{} {name:<14} {lived:<28} {again:<28}", if lived == again { " " } else { "*" });
            }
        }
        (Some(one), None) | (None, Some(one)) => {
            let (has, lacks) = if found.journaled.is_some() { ("journal", "replay") } else { ("replay", "journal") };
            println!("  only the {has} has a command here; the {lacks} has none");
            for (name, text) in one {
                println!("  {name:<14} {text}");
            }
        }
        (None, None) => {}
    }
}

/// `tercel replay --journal`.
pub fn replay(path: &Path, args: &EngineArgs) -> Outcome {
    let given = [
        ("--config", args.config.is_some()),
        ("--strategy", args.strategy.is_some()),
        ("--edge-bar", args.edge_bar.is_some()),
        ("--topology", args.topology.is_some()),
    ];
    if let Some((name, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
        return Err(Failure::usage(format!(
            "{name} makes another engine than the one that wrote the journal, and its commands would have to differ; \
             to try one on a market, replay a capture"
        )));
    }
    let file = find(path)?;
    let reader = open(&file)?;
    let header = reader.header().clone();
    let table = table(&header)?;
    let mut engine = engine(&header, &table, NoProbe)?;
    let mut steps = crate::journal::JournalSteps::new(reader);
    let found = rerun(&mut engine, &mut steps, |_, _| ControlFlow::Continue(()))
        .map_err(|e| format!("{}: {e}", file.display()))?;
    let (mark, is_cut) = (steps.reader().durable_mark(), steps.reader().is_cut());
    match &found.difference {
        None => println!("identical, {} events, {} commands", found.events, found.commands),
        Some(difference) => print_difference(difference, &table),
    }
    if !mark.is_closed {
        println!(
            "the journal broke off{}; {} entries were on the disk for certain, {} are here",
            if is_cut { " in the middle of an entry" } else { "" },
            mark.entries,
            steps.reader().entries()
        );
    }
    if let Some(json) = &args.json {
        let command = |command: &Option<Command>| match command {
            Some(command) => fields(command, &table).into_iter().map(|(k, v)| (k.to_owned(), Value::from(v))).collect(),
            None => Value::Null,
        };
        let difference = found.difference.as_ref().map(|found| {
            json!({
                "event": found.event, "event_text": found.event_text, "command": found.command,
                "journaled": command(&found.journaled), "replayed": command(&found.replayed),
            })
        });
        let value = json!({
            "identical": found.difference.is_none(), "events": found.events, "commands": found.commands,
            "closed": mark.is_closed, "durable_entries": mark.entries, "entries": steps.reader().entries(),
            "commands_beyond_end": found.beyond_end, "difference": difference, "run_id": header.run_id,
            "topology": header.topology,
        });
        write_json(json, &value)?;
    }
    Ok(if found.difference.is_none() { Exit::Good } else { Exit::NotReconciled })
}
