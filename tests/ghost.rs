//! A run with a ghost trades only by its permission; its journal shows when that came and replays.

mod common;

use std::path::Path;

use common::{Scratch, good, say, summary, tercel};
use serde_json::Value;
use tercel::journal::{JournalReader, JournalSteps, journals};
use tercel::types::{BoardSlot, CommandKind, Event};

/// What a journal says of the permission and of new orders.
#[derive(Debug, Default)]
struct Journaled {
    /// Every word of the ghost, in order.
    permits: Vec<f64>,
    /// New orders before the first permission, and after it.
    orders: [u64; 2],
}

fn journaled(folder: &Path) -> Journaled {
    let first = journals(folder).unwrap().remove(0).segments.remove(0);
    let mut steps = JournalSteps::new(JournalReader::open(&first).unwrap());
    let mut found = Journaled::default();
    while let Some(step) = steps.next_step().unwrap() {
        if let Event::Signal(signal) = step.event
            && signal.slot == BoardSlot::GhostPermit.number()
        {
            found.permits.push(signal.value);
        }
        let is_after = found.permits.contains(&1.0);
        let new = |kind| matches!(kind, CommandKind::New | CommandKind::NewMarket);
        found.orders[usize::from(is_after)] += step.commands.iter().filter(|c| new(c.command.kind)).count() as u64;
    }
    found
}

/// A strategy that takes every signal and pays for it, beside a ghost of it; returns summary, status output and journal.
fn run(dir: &Scratch, topology: &str, ghost: &str) -> (Value, String, Journaled) {
    let [config, json, journal] = ["run.toml", "run.json", "journal"].map(|name| dir.file(name));
    let text = format!(
        "[strategy]\nname = \"imbalance-taker\"\n\
         [imbalance-taker]\nthreshold = 0.05\nedge-bar-bps = 0\npause = \"50ms\"\nhold = \"200ms\"\n\
         [ghost]\nenabled = true\nmin-trips = 8\n{ghost}"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = tercel(["run", "--for", "12s", "--topology", topology, "--config"]);
    command.arg(&config).arg("--json").arg(&json).arg("--journal").arg(&journal);
    let output = good(&mut command);
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let lived = summary(&json);
    let again = dir.file("replay.json");
    let output = good(tercel(["replay", "--journal"]).arg(&journal).arg("--json").arg(&again));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("identical"), "{text}");
    assert_eq!(summary(&again)["events"], lived["events"]);
    (lived, told, journaled(&journal))
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} should be a count"))
}

#[test]
fn a_strategy_that_loses_on_paper_is_never_let_out() {
    let dir = Scratch::new("ghost-loses");
    let (found, told, journal) = run(&dir, "feed+core+gateway", "");
    let ghost = &found["ghost"];
    say(&format!("{}; {}", ghost["verdict"], ghost["record"]));
    assert!(count(&ghost["ghost"]["round_trips"]) >= 8 && count(&ghost["ghost"]["requests"]) > 16, "{ghost}");
    assert_eq!((&ghost["permitted"], &ghost["switches"], &ghost["blind"]), (&false.into(), &0.into(), &false.into()));
    assert!(ghost["record"]["mean"].as_f64().unwrap() < 0.0, "{ghost}");
    assert_eq!((count(&found["orders"]["sent"]), count(&ghost["live"]["fills"])), (0, 0), "{found}");
    assert!(found["orders"]["refused"].as_object().unwrap().is_empty(), "{found}");
    assert!(!told.contains("trading permitted") && told.contains("trading not permitted"), "{told}");
    assert_eq!(journal.orders, [0, 0]);
    assert!(journal.permits.len() > 10 && journal.permits.iter().all(|&value| value == 0.0), "{journal:?}");
}

#[test]
fn a_record_above_the_bar_lets_it_out_and_the_switch_is_journaled_and_said() {
    for topology in ["feed+core+gateway", "feed | core | gateway"] {
        let dir = Scratch::new("ghost-permits");
        // What is asked for is less than it loses: so it is permitted once there are enough trips.
        let (found, told, journal) = run(&dir, topology, "bar = \"-1000\"\nbar-off = \"-1000\"\n");
        let ghost = &found["ghost"];
        say(&format!("{topology}: {}; {journal:?}", ghost["verdict"]));
        assert_eq!((&ghost["permitted"], &ghost["switches"]), (&true.into(), &1.into()), "{ghost}");
        let (before, after) = (journal.orders[0], journal.orders[1]);
        assert!(before == 0 && after > 0, "{journal:?}");
        assert_eq!(count(&found["orders"]["sent"]), after);
        assert_eq!(found["hot_allocations"], 0, "the ghost's tap included");
        let first = journal.permits.iter().position(|&value| value == 1.0).unwrap();
        assert!(first > 0 && journal.permits[first..].iter().all(|&value| value == 1.0), "{journal:?}");
        assert!(
            told.contains("> -1000: trading permitted") && told.contains("of 8 trips: trading not permitted"),
            "{told}"
        );
        let timeline = found["timeline"].to_string();
        assert!(timeline.contains("ghost: ") && timeline.contains("trading permitted"), "{timeline}");
        assert!(count(&ghost["live"]["fills"]) > 0 && found["reconciled"] == true, "{found}");
    }
}

#[test]
fn a_run_without_a_ghost_has_none_in_its_summary() {
    let dir = Scratch::new("ghost-none");
    let json = dir.file("run.json");
    good(tercel(["run", "--for", "3s", "--json"]).arg(&json));
    let found = summary(&json);
    assert!(found["ghost"].is_null() && count(&found["orders"]["sent"]) > 0, "{found}");
}
