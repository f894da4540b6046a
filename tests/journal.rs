//! The journal of a session, given to an equal engine, reproduces its commands byte by byte.

mod common;

use common::Scratch;
use tercel::engine::{Engine, EngineConfig};
use tercel::journal::synthetic::{SyntheticConfig, generate, sidecar};
use tercel::journal::{JournalHeader, JournalReader, JournalWriter};
use tercel::strategy::{ImbalanceTaker, ImbalanceTakerConfig, MarketMaker, MarketMakerConfig, Strategy};
use tercel::types::{
    Ack, Balance, Command, CommandKind, Control, Event, InstrumentTable, Lots, Meta, Money, Nanos, Op, OrderStatus,
    OrderUpdate, Rate, Record, TimeInForce, VenueId,
};
use tercel::venue::{Arrival, FeedConfig, MarketFeed};

/// Runs an engine over a generated feed, every request answered at once, and journals what it consumed.
fn session<S: Strategy>(
    table: &InstrumentTable,
    strategy: S,
    config: &SyntheticConfig,
    journal: &mut JournalWriter,
) -> Vec<Command> {
    let mut engine = Engine::new(table, EngineConfig::default(), strategy);
    let mut feed = MarketFeed::new(config.venue, table, FeedConfig::default()).unwrap();
    let mut commands: Vec<Command> = Vec::new();
    let mut answered = 0;
    let mut give = |event: &Event<'_>, engine: &mut Engine<S>, commands: &mut Vec<Command>| {
        let records: Vec<Record> = (0..event.record_count()).map(|idx| event.record(idx)).collect();
        journal.append(records.into_iter()).unwrap();
        engine.on_event(event, commands);
    };
    let wallet = Money::new(10_000 * Money::ONE.get());
    let meta = Meta::default();
    give(&Event::Balance(Balance { meta, wallet, available: wallet }), &mut engine, &mut commands);
    give(&Event::Control(meta, Control::Arm), &mut engine, &mut commands);
    for (recv, message) in generate(config).lines {
        let recv = Nanos::new(recv);
        let mut sink = |event: &Event<'_>| give(event, &mut engine, &mut commands);
        feed.on_frame(&message, Arrival { recv, framed_ns: 0 }, || 0, &mut sink).unwrap();
        while answered < commands.len() {
            let command = commands[answered];
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

fn replayed<S: Strategy>(table: &InstrumentTable, strategy: S, path: &std::path::Path) -> Vec<Command> {
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
    let lived = session(&table, make(table.len()), &config, &mut journal);
    journal.sync().unwrap();
    let again = replayed(&table, make(table.len()), &path);
    assert!(lived.len() > 50, "{} commands", lived.len());
    assert!(bytes(&lived) == bytes(&again), "{} commands lived, {} replayed", lived.len(), again.len());
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
