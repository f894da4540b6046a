//! The journal of a session, given to an equal engine, reproduces its commands byte by byte; survives being killed; and
//! explains the session's orders.

mod common;

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use common::{Scratch, good, say, summary, tercel};
use serde_json::Value;
use tercel::engine::{Engine, EngineConfig};
use tercel::journal::synthetic::{SyntheticConfig, generate, sidecar};
use tercel::journal::{JournalHeader, JournalReader, JournalSteps, JournalWriter};
use tercel::runtime::{Rerun, rerun};
use tercel::strategy::{ImbalanceTaker, ImbalanceTakerConfig, MarketMaker, MarketMakerConfig, Strategy};
use tercel::types::{
    Ack, Balance, Command, CommandKind, CommandSink, Control, Event, InstrumentTable, Lots, Meta, Money, Nanos, Op,
    OrderStatus, OrderUpdate, Rate, Record, TimeInForce, VenueId,
};
use tercel::venue::{Arrival, FeedConfig, MarketFeed};

/// Takes commands as the rings do, and now and then has no room.
#[derive(Default)]
struct Ring {
    /// Every so many commands one is declined; 0: none.
    decline_every: usize,
    taken: Vec<Command>,
    all: Vec<(Command, bool)>,
}

impl CommandSink for Ring {
    fn push(&mut self, command: Command) -> bool {
        let is_taken = !(self.all.len() + 1).is_multiple_of(self.decline_every);
        self.all.push((command, is_taken));
        if is_taken {
            Vec::push(&mut self.taken, command);
        }
        is_taken
    }
}

/// Runs an engine over a generated feed, every request answered at once, and journals what it consumed.
fn session<S: Strategy>(
    table: &InstrumentTable,
    strategy: S,
    config: &SyntheticConfig,
    decline_every: usize,
    journal: &mut JournalWriter,
    mut journaled: impl FnMut(usize, Command) -> Command,
) -> Ring {
    let mut engine = Engine::new(table, EngineConfig::default(), strategy);
    let mut feed = MarketFeed::new(config.venue, table, FeedConfig::default()).unwrap();
    let mut commands = Ring { decline_every, ..Ring::default() };
    let mut answered = 0;
    let mut give = |event: &Event<'_>, engine: &mut Engine<S>, commands: &mut Ring| {
        let records: Vec<Record> = (0..event.record_count()).map(|idx| event.record(idx)).collect();
        journal.append(records.into_iter()).unwrap();
        let before = commands.all.len();
        engine.on_event(event, commands);
        for (idx, (command, is_taken)) in commands.all.iter().enumerate().skip(before) {
            let record = journaled(idx, *command).journal_record(*is_taken);
            journal.append(std::iter::once(record)).unwrap();
        }
    };
    let wallet = Money::new(10_000 * Money::ONE.get());
    let meta = Meta::default();
    give(&Event::Balance(Balance { meta, wallet, available: wallet }), &mut engine, &mut commands);
    give(&Event::Control(meta, Control::Arm), &mut engine, &mut commands);
    for (recv, message) in generate(config).lines {
        let recv = Nanos::new(recv);
        let mut sink = |event: &Event<'_>| give(event, &mut engine, &mut commands);
        feed.on_frame(&message, Arrival { recv, framed_ns: 0 }, || 0, &mut sink).unwrap();
        while answered < commands.taken.len() {
            let command = commands.taken[answered];
            answered += 1;
            let meta = Meta { recv, instrument: command.instrument, ..Meta::default() };
            let Command { client_id, side, px, qty, .. } = command;
            if command.kind == CommandKind::New {
                let ack = Ack { meta, op: Op::Create, client_id, request: command.request, limit_left: u32::MAX };
                give(&Event::Ack(ack), &mut engine, &mut commands);
            }
            let has_ended = command.kind == CommandKind::Cancel || command.tif == TimeInForce::ImmediateOrCancel;
            let status = if has_ended { OrderStatus::Cancelled } else { OrderStatus::New };
            let filled = Lots::ZERO;
            let (reason, asked_at) = (0, Nanos::ZERO);
            let update =
                OrderUpdate { meta, client_id, venue_order_id: 1, side, status, px, qty, filled, reason, asked_at };
            give(&Event::Order(update), &mut engine, &mut commands);
        }
        give(&Event::Timer(Meta { recv, ..Meta::default() }), &mut engine, &mut commands);
    }
    commands
}

fn replayed<S: Strategy>(table: &InstrumentTable, strategy: S, path: &Path) -> Vec<Command> {
    let mut engine = Engine::new(table, EngineConfig::default(), strategy);
    let mut reader = JournalReader::open(path).unwrap();
    let mut commands: Vec<Command> = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        engine.on_event(&event, &mut commands);
    }
    commands
}

fn bytes(commands: &[Command]) -> Vec<u8> {
    commands.iter().flat_map(Command::neutral_bytes).collect()
}

fn reproduces<S: Strategy>(name: &str, make: impl Fn(usize) -> S) {
    let dir = Scratch::new(name);
    let config = SyntheticConfig::new(VenueId::BYBIT, 3);
    let table = sidecar(&config).table().unwrap();
    let path = dir.file("session.tj");
    let mut journal = JournalWriter::create(&path, &JournalHeader::default()).unwrap();
    let lived = session(&table, make(table.len()), &config, 0, &mut journal, |_, command| command).taken;
    journal.close().unwrap();
    let again = replayed(&table, make(table.len()), &path);
    assert!(lived.len() > 50, "{} commands", lived.len());
    assert!(bytes(&lived) == bytes(&again), "{} commands lived, {} replayed", lived.len(), again.len());
}

fn rerun_of(table: &InstrumentTable, path: &Path) -> Rerun {
    let strategy = MarketMaker::new(MarketMakerConfig::default(), table.len());
    let mut engine = Engine::new(table, EngineConfig::default(), strategy);
    let mut steps = JournalSteps::new(JournalReader::open(path).unwrap());
    rerun(&mut engine, &mut steps, |_, _| ControlFlow::Continue(())).unwrap()
}

#[test]
fn a_rerun_declines_what_was_declined_and_finds_a_changed_command() {
    let dir = Scratch::new("journal-rerun");
    let config = SyntheticConfig::new(VenueId::BYBIT, 3);
    let table = sidecar(&config).table().unwrap();
    let make = || MarketMaker::new(MarketMakerConfig::default(), table.len());

    let path = dir.file("declined.tj");
    let mut journal = JournalWriter::create(&path, &JournalHeader::default()).unwrap();
    let lived = session(&table, make(), &config, 3, &mut journal, |_, command| command);
    let mark = journal.close().unwrap();
    assert!(mark.is_closed && journal.commands() == lived.all.len() as u64 && lived.all.len() > lived.taken.len() + 20);
    let found = rerun_of(&table, &path);
    assert_eq!(found, Rerun { events: journal.events(), commands: journal.commands(), ..Rerun::default() });

    let path = dir.file("changed.tj");
    let mut journal = JournalWriter::create(&path, &JournalHeader::default()).unwrap();
    let change = |idx, command: Command| match idx {
        40 => Command { px: tercel::types::Ticks::new(command.px.get() + 1), ..command },
        _ => command,
    };
    let lived = session(&table, make(), &config, 0, &mut journal, change);
    journal.close().unwrap();
    let found = rerun_of(&table, &path);
    let difference = found.difference.expect("one command was changed");
    assert_eq!((found.commands, difference.command), (40, 41));
    // Stamps are no part of a decision, and this engine takes none.
    assert_eq!(difference.replayed, Some(lived.all[40].0));
    assert_eq!(difference.journaled.map(|command| command.px.get()), Some(lived.all[40].0.px.get() + 1));

    // What is missing at the end of a journal is a difference if it was closed in order, and else a torn tail.
    for is_closed in [true, false] {
        let path = dir.file(&format!("short-{is_closed}.tj"));
        let mut journal = JournalWriter::create(&path, &JournalHeader::default()).unwrap();
        let mut reader = JournalSteps::new(JournalReader::open(&dir.file("declined.tj")).unwrap());
        // The first event that caused a command, without the command.
        while let Some(step) = reader.next_step().unwrap() {
            let records: Vec<Record> = (0..step.event.record_count()).map(|idx| step.event.record(idx)).collect();
            journal.append(records.into_iter()).unwrap();
            if !step.commands.is_empty() {
                break;
            }
        }
        if is_closed { journal.close() } else { journal.sync() }.unwrap();
        let found = rerun_of(&table, &path);
        assert_eq!((found.difference.is_some(), found.beyond_end > 0), (is_closed, !is_closed), "{found:?}");
    }
}

#[test]
fn a_journal_reproduces_the_market_makers_session() {
    reproduces("journal-maker", |count| MarketMaker::new(MarketMakerConfig::default(), count));
}

#[test]
fn a_journal_reproduces_the_takers_session() {
    let config = ImbalanceTakerConfig { threshold: 0.1, edge_bar: Rate::ZERO, ..ImbalanceTakerConfig::default() };
    reproduces("journal-taker", |count| ImbalanceTaker::new(config, count));
}

/// Numbers for a seed (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }
}

/// The victim of `nothing_durable_is_lost_when_it_is_killed`: writes until it is killed, and says what is on the disk.
#[test]
#[ignore = "run by another test, which kills it"]
fn write_until_killed() {
    let Some(path) = std::env::var_os("TERCEL_JOURNAL_VICTIM") else { return };
    let seed = std::env::var("TERCEL_JOURNAL_SEED").unwrap().parse().unwrap();
    let mut numbers = Numbers(seed);
    let mut journal = JournalWriter::create(Path::new(&path), &JournalHeader::default()).unwrap();
    for n in 0.. {
        let meta = Meta { recv: Nanos::new(n), ..Meta::default() };
        let levels = vec![tercel::types::Level::default(); numbers.below(40) as usize];
        let (kind, cross_seq) = (tercel::types::BookKind::Delta, 0);
        let event = Event::Book(tercel::types::Book { meta, kind, cross_seq, bids: &levels, asks: &[] });
        let records: Vec<Record> = (0..event.record_count()).map(|idx| event.record(idx)).collect();
        journal.append(records.into_iter()).unwrap();
        match numbers.below(2_000) {
            0..20 => journal.flush().unwrap(),
            20..30 => journal.sync_behind().unwrap(),
            30..32 => say(&format!("durable {}", journal.sync().unwrap().entries)),
            32..36 => journal.rotate().unwrap(),
            _ => {}
        }
    }
}

/// Events of a journal, which count from 0 without a gap.
fn whole_events(path: &Path) -> (u64, tercel::journal::DurableMark, PathBuf) {
    let mut reader = JournalReader::open(path).unwrap();
    let mut count = 0;
    while let Some(event) = reader.next_event().unwrap() {
        assert_eq!(event.meta().recv.get(), count);
        count += 1;
    }
    (count, reader.durable_mark(), reader.file())
}

#[test]
fn nothing_durable_is_lost_when_it_is_killed() {
    let kills = std::env::var("TERCEL_JOURNAL_KILLS").map_or(20, |text| text.parse().unwrap());
    let dir = Scratch::new("journal-kill");
    let (mut total, mut marked, mut files) = (0, 0, 0);
    for seed in 0..kills {
        let mut numbers = Numbers(seed);
        let path = dir.file(&format!("{seed}.tj"));
        let mut victim = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "write_until_killed", "--ignored", "--nocapture"])
            .env("TERCEL_JOURNAL_VICTIM", &path)
            .env("TERCEL_JOURNAL_SEED", seed.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(victim.stderr.take().unwrap());
        // Let it get somewhere, and then a little farther.
        let (mut line, mut durable) = (String::new(), 0);
        let hear = |line: &str| line.strip_prefix("durable ").map(|n| n.trim().parse::<u64>().unwrap());
        while durable == 0 && said.read_line(&mut line).unwrap() > 0 {
            durable = hear(&line).unwrap_or(0);
            line.clear();
        }
        std::thread::sleep(Duration::from_micros(numbers.below(60_000)));
        victim.kill().unwrap();
        victim.wait().unwrap();
        for line in said.lines() {
            durable = durable.max(hear(&line.unwrap()).unwrap_or(0));
        }
        let (events, mark, last) = whole_events(&path);
        assert!(durable > 0 && mark.entries >= durable && events >= mark.entries, "{durable} {mark:?} {events}");
        assert!(!mark.is_closed);
        // As after a power cut: what was not synced may be gone from any byte on, or be anything.
        let bytes = std::fs::read(&last).unwrap();
        for _ in 0..20 {
            let cut = mark.bytes + numbers.below(bytes.len() as u64 - mark.bytes + 1);
            let mut torn = bytes[..cut as usize].to_vec();
            torn.extend((0..numbers.below(300)).map(|_| numbers.below(256) as u8));
            std::fs::write(&last, &torn).unwrap();
            let (events, again, _) = whole_events(&path);
            assert!(again.entries == mark.entries && events >= mark.entries, "{events} {mark:?}");
        }
        let journal = tercel::journal::journals(&dir.0).unwrap().remove(0);
        files += journal.segments.len();
        (total, marked) = (total + events, marked + mark.entries);
        for file in journal.segments {
            std::fs::remove_file(file).unwrap();
        }
    }
    say(&format!("{kills} writers killed: {total} events in {files} files, {marked} of them below the mark"));
}

fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// Changes the header's text, to one of the same length.
fn doctor(file: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(file).unwrap();
    let at = 8 + 2 * 20;
    let len = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let header = String::from_utf8(bytes[at + 4..at + 4 + len].to_vec()).unwrap();
    assert_eq!(header.matches(from).count(), 1, "{from} in {header}");
    bytes[at + 4..at + 4 + len].copy_from_slice(header.replace(from, to).as_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[at..at + 4 + len]);
    bytes[at + 4 + len..at + 8 + len].copy_from_slice(&crc.sum().to_le_bytes());
    std::fs::write(file, bytes).unwrap();
}

const FAULTS: &str = "at 2s drop trade order 2\nat 3s drop public orderbook 3\nat 4s cut private mid-frame\n\
                      at 5s lose order 2\nat 6s duplicate private execution 300ms 4\n";

#[test]
fn a_run_replays_to_identical_commands_and_another_parameter_does_not() {
    let dir = Scratch::new("journal-run");
    let script = dir.file("some.faults");
    std::fs::write(&script, FAULTS).unwrap();
    for (idx, (topology, has_faults)) in
        [("feed+core+gateway", false), ("feed | core | gateway", true), ("feed+core | gateway", true)]
            .iter()
            .enumerate()
    {
        let journal = dir.file(&format!("journal-{idx}"));
        let json = dir.file("run.json");
        let mut command = tercel(["run", "--for", "8s", "--topology", topology]);
        command.arg("--journal").arg(&journal).arg("--json").arg(&json);
        if *has_faults {
            command.arg("--faults").arg(&script);
        }
        good(&mut command);
        let lived = summary(&json);
        let replayed = dir.file("replay.json");
        let output = good(tercel(["replay", "--journal"]).arg(&journal).arg("--json").arg(&replayed));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = summary(&replayed);
        let (events, commands) = (found["events"].as_u64().unwrap(), found["commands"].as_u64().unwrap());
        assert!(text.contains(&format!("identical, {events} events, {commands} commands")), "{text}");
        assert_eq!(found["events"], lived["events"], "{topology}");
        assert!(commands > 20 && found["closed"] == true, "{found}");
        say(&format!("{topology}, faults {has_faults}: identical, {events} events, {commands} commands"));
    }

    let journal = dir.file("journal-0");
    let output = tercel(["replay", "--strategy", "watch", "--journal"]).arg(&journal).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "an override is refused");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--strategy"));

    doctor(&only_file(&journal), "margin-bps = \\\"0\\\"", "margin-bps = \\\"9\\\"");
    let json = dir.file("differs.json");
    let output = tercel(["replay", "--journal"]).arg(&journal).arg("--json").arg(&json).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("DIFFERENT") && text.contains("* px"), "{text}");
    let found = summary(&json);
    assert_eq!(found["identical"], false);
    let px = |side: &str| found["difference"][side]["px (ticks)"].clone();
    assert_ne!(px("journaled"), px("replayed"), "{found}");
}

#[test]
fn a_long_journal_is_many_files_of_which_a_folder_keeps_what_it_may() {
    let dir = Scratch::new("journal-files");
    let config = dir.file("journal.toml");
    std::fs::write(&config, "[journal]\nsegment-bytes = \"50kB\"\nkeep-runs = 1\n").unwrap();
    let journal = dir.file("journal");
    for run in 1..=3 {
        let mut command = tercel(["run", "--for", "4s", "--journal"]);
        let output = good(command.arg(&journal).arg("--config").arg(&config));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.contains("removed 1 journals of earlier runs"), run == 3, "{text}");
        let kept = tercel::journal::journals(&journal).unwrap();
        assert_eq!(kept.len(), run.min(2));
        let newest = kept.last().unwrap();
        assert!(newest.segments.len() > 2, "{newest:?}");
        let output = good(tercel(["replay", "--journal"]).arg(&journal));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("identical") && !text.contains("broke off"), "{text}");
    }
    // At its bound a run halts, as by a full disk, and its journal is what it was up to there.
    std::fs::write(&config, "[journal]\nsegment-bytes = \"50kB\"\nrun-bytes-max = \"200kB\"\n").unwrap();
    let mut command = tercel(["run", "--for", "60s", "--journal"]);
    let output = command.arg(&journal).arg("--config").arg(&config).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("NOT WHOLE") && text.contains("journal.run-bytes-max allows 200000"), "{text}");
    good(tercel(["replay", "--journal"]).arg(&journal));
}

#[test]
fn a_run_that_is_killed_leaves_a_journal_that_replays() {
    let dir = Scratch::new("journal-killed-run");
    for n in 0..3 {
        let journal = dir.file(&format!("journal-{n}"));
        let mut command = tercel(["run", "--topology", "feed+core | gateway", "--journal"]);
        let mut run = command.arg(&journal).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(4_000 + n * 333));
        run.kill().unwrap();
        run.wait().unwrap();
        let json = dir.file("replay.json");
        let output = good(tercel(["replay", "--journal"]).arg(&journal).arg("--json").arg(&json));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = summary(&json);
        assert!(text.contains("identical") && text.contains("broke off") && found["closed"] == false, "{text}");
        // How much is durable by now is up to the disk; what is, is here.
        assert!(found["entries"].as_u64() >= found["durable_entries"].as_u64(), "{found}");
        assert!(found["commands"].as_u64() > Some(0), "{found}");
    }
}

#[test]
fn what_risk_refused_is_told_with_the_check_that_did() {
    let dir = Scratch::new("journal-refused");
    let (journal, json, config) = (dir.file("journal"), dir.file("told.json"), dir.file("tight.toml"));
    std::fs::write(&config, "[risk]\norder-value-max = \"20\"\n").unwrap();
    let lived = dir.file("run.json");
    let mut command = tercel(["run", "--for", "3s", "--config"]);
    good(command.arg(&config).arg("--journal").arg(&journal).arg("--json").arg(&lived));
    assert_eq!(summary(&lived)["orders"]["sent"], 0);
    good(tercel(["explain", "--refused", "--journal"]).arg(&journal).arg("--json").arg(&json));
    let found = summary(&json)["refused"].as_array().unwrap().clone();
    assert!(found.len() > 3, "{found:?}");
    for one in &found {
        assert_eq!(one["check"], "notional");
        assert!(one["limit"].as_str().unwrap().ends_with("to 20"), "{one}");
        assert!(one["measured"].as_str().unwrap().parse::<f64>().unwrap() > 20.0, "{one}");
    }
}

#[test]
fn orders_are_listed_explained_and_timed() {
    let dir = Scratch::new("journal-explain");
    let (journal, json) = (dir.file("journal"), dir.file("told.json"));
    let lived = dir.file("run.json");
    good(tercel(["run", "--for", "6s", "--journal"]).arg(&journal).arg("--json").arg(&lived));
    let lived = summary(&lived);

    good(tercel(["explain", "--list", "--journal"]).arg(&journal).arg("--json").arg(&json));
    let list = summary(&json);
    assert_eq!(list["count"], lived["orders"]["sent"]);
    good(tercel(["explain", "--slowest", "2", "--journal"]).arg(&journal).arg("--json").arg(&json));
    let slowest = summary(&json)["orders"][0].clone();
    let latencies = |list: &Value| -> Vec<u64> {
        list["orders"].as_array().unwrap().iter().filter_map(|order| order["tick_to_order_ns"].as_u64()).collect()
    };
    assert_eq!(slowest["tick_to_order_ns"].as_u64(), latencies(&list).into_iter().max());

    let (number, link) = (slowest["client_id"].as_u64().unwrap(), slowest["link_id"].as_str().unwrap());
    let mut told = Vec::new();
    for order in [number.to_string(), format!("{number:#x}"), link.to_owned()] {
        let output = good(tercel(["explain", &order, "--journal"]).arg(&journal).arg("--json").arg(&json));
        told.push((String::from_utf8_lossy(&output.stdout).into_owned(), summary(&json)));
    }
    assert!(told.windows(2).all(|two| two[0] == two[1]), "whatever it is called");
    let (text, found) = &told[0];
    for word in ["cause: event", "book at the decision", "signals", "wish", "risk checks", "stages", "life"] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
    assert_eq!(found["order"]["link_id"], *link);
    // Every check of the order has passed or does not apply, each with its limit; most have something measured.
    let checks = found["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 29, "{found}");
    assert!(checks.iter().all(|check| ["passed", "waived"].contains(&check["answer"].as_str().unwrap())), "{found}");
    // What was wished is what was sent, and the book had both sides.
    assert_eq!((&found["wish"]["px"], &found["wish"]["qty"]), (&found["order"]["px"], &found["order"]["qty"]));
    assert!(
        found["book"]["bids"].as_array().unwrap().len() == 5 && found["book"]["asks"].as_array().unwrap().len() == 5
    );
    // The stages follow each other up to the venue's answer, and the write is the one that was listed.
    let names = ["framed", "decoded", "dequeued", "decided", "taken", "encoded", "written", "acknowledged"];
    let stamps: Vec<u64> = names.iter().map(|name| found["stages_ns"][name].as_u64().unwrap()).collect();
    assert!(stamps.is_sorted(), "{stamps:?}");
    assert_eq!(Some(stamps[6]), slowest["tick_to_order_ns"].as_u64());
    assert_eq!(found["end"], slowest["end"]);
    assert!(found["end"].is_string(), "the run ended in order, so the order did: {found}");

    let hgrm = dir.file("orders.hgrm");
    let mut command = tercel(["latency", "--worst", "3", "--journal"]);
    good(command.arg(&journal).arg("--json").arg(&json).arg("--hgrm").arg(&hgrm));
    let timed = summary(&json);
    // The gateway counted the same orders while they went out.
    for (name, key) in [("tick_to_order", "count"), ("tick_to_order", "max"), ("decide", "max"), ("encode", "max")] {
        assert_eq!(timed["stages_ns"][name][key], lived["latency_ns"][name][key], "{name} {key}");
    }
    assert_eq!(timed["worst"].as_array().unwrap().len(), 3);
    assert!(timed["stages_ns"]["ack"]["count"].as_u64() > Some(0));
    assert!(std::fs::read_to_string(&hgrm).unwrap().contains("#[Max"));

    let output = tercel(["explain", "99999999", "--journal"]).arg(&journal).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = tercel(["explain", "t00000001-0000000000000001", "--journal"]).arg(&journal).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("is of run 00000001"));
}
