//! The signal board: the newest value of each analyst, from its own thread to the core, which never waits.
//!
//! ```text
//! ANALYST ──BoardWriter──▶ seqlock of a slot ──BoardReader──▶ CORE ──Signal──▶ engine, journal
//! ```
//!
//! A slot holds one value and has one writer. What is written twice between two polls of the core reaches it once, as the
//! newest. Writing the same value again is a change, too: it is the heartbeat of its analyst, by which the engine tells a
//! value that holds from one that nobody renews.

use super::duty::Duty;
use super::slow_risk::SampleSender;
use crate::ring::{SeqlockReader, SeqlockWriter, seqlock};
use crate::types::BoardSlot;

/// A board that is being made: writers are handed out, then it becomes the core's reader.
#[derive(Default)]
pub struct Board {
    slots: Vec<Watched>,
}

struct Watched {
    slot: BoardSlot,
    reader: SeqlockReader<1>,
    /// The version that was read last; 0, that of an empty slot, at first.
    seen: u64,
}

impl Board {
    /// Makes a board without writers: its reader has nothing to look at.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the writing end of a slot; `None` if somebody has it already.
    pub fn writer(&mut self, slot: BoardSlot) -> Option<BoardWriter> {
        if self.slots.iter().any(|watched| watched.slot == slot) {
            return None;
        }
        let (writer, reader) = seqlock();
        self.slots.push(Watched { slot, reader, seen: 0 });
        Some(BoardWriter(writer))
    }

    /// Returns the reading end, for the core.
    pub fn into_reader(self) -> BoardReader {
        BoardReader { slots: self.slots.into_boxed_slice() }
    }
}

/// The writing end of one slot.
pub struct BoardWriter(SeqlockWriter<1>);

impl BoardWriter {
    /// Publishes a value. Never waits.
    pub fn write(&mut self, value: f64) {
        self.0.write([value.to_bits()]);
    }
}

/// The reading end of all slots that have a writer.
#[derive(Default)]
pub struct BoardReader {
    slots: Box<[Watched]>,
}

impl BoardReader {
    /// How many slots are looked at.
    #[inline]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Returns the value of the slot at `idx` if it was written since it was read last; nothing as well in the moment in
    /// which it is being written: the next poll finds it.
    ///
    /// # Cost
    /// One load where nothing has changed.
    #[inline]
    pub fn change(&mut self, idx: usize) -> Option<(BoardSlot, f64)> {
        let watched = self.slots.get_mut(idx)?;
        if watched.reader.version() == watched.seen {
            return None;
        }
        let (version, [bits]) = watched.reader.read()?;
        // Between the two looks it cannot have gone back, only further.
        watched.seen = version;
        Some((watched.slot, f64::from_bits(bits)))
    }
}

/// The slow brains of a live run: duties that share a thread of their own, named `analyst`, and what they write for the core.
/// The default has none.
#[derive(Default)]
pub struct Analysts {
    /// The duties.
    pub duties: Vec<Box<dyn Duty>>,
    /// The board on which they write.
    pub board: BoardReader,
    /// Where the core puts samples for slow risk, if that is measured.
    pub samples: Option<SampleSender>,
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::engine::{Engine, EngineConfig, Limits, NoProbe};
    use crate::journal::{JournalHeader, JournalReader, JournalSteps, JournalWriter};
    use crate::ring::{Consumer, Flag, Producer, spsc};
    use crate::risk::SlowLimits;
    use crate::runtime::{CoreDuty, Rerun, rerun};
    use crate::strategy::{MarketMaker, MarketMakerConfig};
    use crate::types::{
        Balance, Book, BookKind, BookState, BookStatus, Control, Event, InstrumentSpec, InstrumentTable, Level, Lots,
        Meta, Money, Nanos, Product, Rate, Record, Signal, Step, Symbol, Ticker, Ticks, VenueId,
    };

    #[test]
    fn each_write_is_seen_once_and_a_repetition_is_a_write() {
        let mut board = Board::new();
        let mut writer = board.writer(BoardSlot::RiskScale).unwrap();
        assert!(board.writer(BoardSlot::RiskScale).is_none(), "a slot has one writer");
        let mut other = board.writer(BoardSlot::GhostPermit).unwrap();
        let mut reader = board.into_reader();
        assert_eq!((reader.len(), reader.change(0), reader.change(1), reader.change(2)), (2, None, None, None));
        for _ in 0..2 {
            writer.write(0.5);
            assert_eq!(reader.change(0), Some((BoardSlot::RiskScale, 0.5)));
            assert_eq!(reader.change(0), None);
        }
        writer.write(0.25);
        writer.write(0.75);
        other.write(-1.0);
        assert_eq!(reader.change(1), Some((BoardSlot::GhostPermit, -1.0)));
        assert_eq!(reader.change(0), Some((BoardSlot::RiskScale, 0.75)), "the newest, once");
        assert_eq!((reader.change(0), reader.change(1)), (None, None));
    }

    fn table() -> InstrumentTable {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let symbol = Symbol::new(b"BTCUSDT").unwrap();
        let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
        InstrumentTable::new(vec![spec]).unwrap()
    }

    fn engine() -> Engine<MarketMaker> {
        let limits = Limits { window_ticks: 128, far_levels_max: 64, orders_max: 16, exec_ids_max: 64 };
        let mut config = EngineConfig { limits, ..EngineConfig::default() };
        // So that signals change decisions.
        config.risk.slow = Some(SlowLimits { fresh_for_ns: 2_000_000_000, dead_after_ns: 10_000_000_000 });
        Engine::new(&table(), config, MarketMaker::new(MarketMakerConfig::default(), 1))
    }

    struct Rig {
        core: CoreDuty<MarketMaker, NoProbe>,
        market: Producer<Record>,
        commands: Consumer<Record>,
        journal: Consumer<Record>,
        now: u64,
    }

    impl Rig {
        fn new(board: BoardReader) -> Self {
            let (market, input) = spsc(1024);
            let (requests, commands) = spsc(64);
            let (to_journal, journal) = spsc(1024);
            let (core, _) = CoreDuty::new(engine(), vec![input], requests, Some(to_journal), false, Flag::new());
            Self { core: core.watch(board), market, commands, journal, now: 1_000_000_000 }
        }

        fn meta(&mut self) -> Meta {
            self.now += 1_000_000;
            Meta { recv: Nanos::new(self.now), seq: self.now, ..Meta::default() }
        }

        fn give(&mut self, event: &Event<'_>) {
            assert!(event.publish(&mut self.market));
            self.core.poll(event.meta().recv);
        }

        /// Arms the engine over a live book, and moves it.
        fn trade(&mut self) {
            let meta = self.meta();
            let wallet = Money::new(10_000 * Money::ONE.get());
            self.give(&Event::Balance(Balance { meta, wallet, available: wallet }));
            let meta = self.meta();
            self.give(&Event::Control(meta, Control::Arm));
            let meta = self.meta();
            self.give(&Event::Ticker(Ticker {
                meta,
                mark_px: Money::ZERO,
                index_px: Money::ZERO,
                last_px: Ticks::new(600_000),
                funding_rate: Rate::ZERO,
                next_funding: Nanos::ZERO,
            }));
            let meta = self.meta();
            self.give(&Event::BookStatus(BookStatus { meta, state: BookState::Live }));
            for px in [600_000, 600_010, 599_990] {
                let meta = self.meta();
                let level = |px| [Level { px: Ticks::new(px), qty: Lots::new(100) }];
                let (bids, asks) = (level(px), level(px + 1));
                let kind = BookKind::Snapshot;
                self.give(&Event::Book(Book { meta, kind, cross_seq: meta.seq, bids: &bids, asks: &asks }));
            }
        }

        fn journaled(&mut self) -> Vec<Record> {
            std::iter::from_fn(|| self.journal.pop()).collect()
        }
    }

    fn signals(records: &[Record]) -> Vec<Signal> {
        let mut levels = vec![Level::default(); Event::LEVELS_MAX];
        let mut found = Vec::new();
        for record in records {
            if let Ok(Event::Signal(signal)) = Event::decode(record, |_| Record::default(), &mut levels) {
                found.push(signal);
            }
        }
        found
    }

    #[test]
    fn a_write_reaches_engine_and_journal_once() {
        let mut board = Board::new();
        let mut writer = board.writer(BoardSlot::RiskScale).unwrap();
        let mut rig = Rig::new(board.into_reader());
        rig.core.poll(Nanos::new(5));
        assert!(rig.journaled().is_empty());
        writer.write(0.5);
        for at in [10, 11, 12] {
            rig.core.poll(Nanos::new(at));
        }
        let meta = Meta { recv: Nanos::new(10), ..Meta::default() };
        let slot = BoardSlot::RiskScale.number();
        assert_eq!(signals(&rig.journaled()), [Signal { meta, slot, value: 0.5 }]);
        assert_eq!(rig.core.engine().counts().events, 1);
        assert_eq!(rig.core.engine().now(), Nanos::new(10));
        writer.write(0.5);
        rig.core.poll(Nanos::new(20));
        assert_eq!(signals(&rig.journaled()).len(), 1, "the same value again is a beat");
        assert_eq!(rig.core.engine().counts().events, 2);
    }

    /// Writes a journal of the records and gives it to an equal engine.
    fn rerun_of(name: &str, records: &[Record]) -> Rerun {
        let dir = std::env::temp_dir().join(format!("tercel-board-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("session.tj");
        let mut journal = JournalWriter::create(&path, &JournalHeader::default()).unwrap();
        let mut at = 0;
        while at < records.len() {
            let count = records[at].event_records();
            journal.append(records[at..at + count].iter().copied()).unwrap();
            at += count;
        }
        journal.close().unwrap();
        let mut steps = JournalSteps::new(JournalReader::open(&path).unwrap());
        let found = rerun(&mut engine(), &mut steps, |_, _| ControlFlow::Continue(())).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        found
    }

    #[test]
    fn the_journal_of_a_run_with_signals_gives_the_same_commands() {
        let mut board = Board::new();
        let mut writer = board.writer(BoardSlot::RiskScale).unwrap();
        let mut rig = Rig::new(board.into_reader());
        writer.write(1.0);
        rig.trade();
        writer.write(0.125);
        rig.trade();
        let commands = std::iter::from_fn(|| rig.commands.pop()).count() as u64;
        assert!(commands > 0);
        let records = rig.journaled();
        assert_eq!(signals(&records).len(), 2);
        let found = rerun_of("whole", &records);
        assert_eq!(found.difference, None);
        assert_eq!(found.commands, commands);
        // Without its signals it is another run: nobody allows anything.
        let without: Vec<Record> = records.into_iter().filter(|it| signals(&[*it]).is_empty()).collect();
        assert!(rerun_of("without", &without).difference.is_some());
    }
}
