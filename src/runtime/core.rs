//! The core duty: takes events from its rings, gives them to the engine, passes the commands on.
//!
//! Thread: core. Allocates: at construction. Blocks: never; with a clock that is read for timers and stamps only.
//! Every event that the engine consumes is journaled in that order, timers included, and after it the commands that it
//! caused.

use super::board::BoardReader;
use super::duty::{Duty, DutyReport};
use super::ghost::MarketTap;
use super::slow_risk::SampleSender;
use super::tally::{InstrumentTally, Tallies};
use crate::engine::{CoreStatus, Engine, EngineReport, Mode, Probe};
use crate::guard::CorePulse;
use crate::ring::{Consumer, Flag, Producer, SeqlockReader, SeqlockWriter, seqlock};
use crate::risk::RiskState;
use crate::strategy::Strategy;
use crate::types::{
    BoardSlot, Command, CommandKind, CommandSink, Control, Event, Level, Meta, Money, Nanos, Record, RecordSink,
    Signal, join, split,
};

/// Events taken from one ring in one poll: enough to drain a burst, few enough that the other ring is not kept waiting.
const EVENTS_PER_POLL: usize = 64;

/// Time between two timers.
pub const TIMER_NS: u64 = 50_000_000;

/// Words of the status slot.
const STATUS_WORDS: usize = FIGURES + 12;

/// Of them: figures of one word, before the state of risk, whose values take two each.
const FIGURES: usize = 13;

/// Reads the newest [`CoreStatus`].
#[derive(Clone)]
pub struct StatusReader(SeqlockReader<STATUS_WORDS>);

impl StatusReader {
    /// The newest status, or `None` in the moment in which it is replaced.
    pub fn read(&self) -> Option<CoreStatus> {
        let (_, words) = self.0.read()?;
        let [
            events,
            commands,
            fills,
            open_orders,
            refused,
            pnl,
            books_live,
            flags,
            unknown,
            silent_streams,
            rate_warnings,
            positions,
            _round_trips,
            ref risk @ ..,
        ] = words;
        let mut carried = RiskState::default();
        for ((key, _), pair) in carried.values().into_iter().zip(risk.chunks_exact(2)) {
            carried.set(key, Money::new(join(pair[0], pair[1])));
        }
        Some(CoreStatus {
            events,
            commands,
            fills,
            open_orders,
            refused,
            pnl_micros: pnl as i64,
            is_stopping: flags & 1 != 0,
            books_live,
            is_synced: flags & 2 != 0,
            has_trade_link: flags & 4 != 0,
            has_private_link: flags & 8 != 0,
            silent_streams,
            rate_warnings,
            unknown,
            positions,
            risk: carried,
        })
    }

    /// Completed round trips of all instruments so far, or `None` in the moment in which the status is replaced.
    pub fn round_trips(&self) -> Option<u64> {
        self.0.read().map(|(_, words)| words[FIGURES - 1])
    }
}

/// Where commands go: requests to the gateway, questions to the reconciler, and all of them to the journal.
struct CommandRings {
    requests: Producer<Record>,
    journal: Option<Producer<Record>>,
    journal_lost: bool,
    /// `None`: nobody answers questions, and the engine is configured to ask none.
    questions: Option<Producer<Record>>,
    tallies: Tallies,
}

impl CommandSink for CommandRings {
    #[inline]
    fn push(&mut self, command: Command) -> bool {
        let is_taken = if matches!(command.kind, CommandKind::Query | CommandKind::Reconcile) {
            self.questions.as_mut().is_some_and(|ring| ring.push(command.pack()).is_ok())
        } else {
            self.requests.push(command.pack()).is_ok()
        };
        if is_taken {
            self.tallies.on_command(&command);
        }
        // After it has left: the journal waits, not the order.
        if let Some(journal) = &mut self.journal {
            self.journal_lost |= journal.push(command.journal_record(is_taken)).is_err();
        }
        is_taken
    }
}

impl CommandRings {
    #[inline]
    fn journal_event(&mut self, event: &Event<'_>) {
        if let Some(journal) = &mut self.journal {
            self.journal_lost |= !journal.publish(event.record_count(), |idx| event.record(idx));
        }
    }
}

/// The core.
pub struct CoreDuty<S, P> {
    engine: Engine<S, P>,
    inputs: Vec<Consumer<Record>>,
    commands: CommandRings,
    /// Whether timers come from the clock (live) or as events (replay).
    makes_timers: bool,
    timer_due: Nanos,
    levels: Box<[Level]>,
    status: SeqlockWriter<STATUS_WORDS>,
    status_due: Nanos,
    decode_errors: u64,
    has_ended: Flag,
    pulse: Option<CorePulse>,
    board: BoardReader,
    tap: Option<MarketTap>,
    samples: Option<SampleSender>,
}

/// What the core leaves behind.
#[derive(Debug)]
pub struct CoreReport {
    /// Everything the engine knows.
    pub engine: EngineReport,
    /// Orders and round trips by instrument.
    pub tallies: Vec<InstrumentTally>,
    /// Records in its rings that were no events: a bug, if above zero.
    pub decode_errors: u64,
    /// Whether the journal fell behind, which halts trading.
    pub journal_lost: bool,
    /// Rounds of samples for which the analyst's ring had no room.
    pub samples_dropped: u64,
}

impl<S: Strategy, P: Probe> CoreDuty<S, P> {
    /// Makes the core over its input rings, in the order in which they are served. `journal` takes every event;
    /// `has_ended` is set by whoever feeds the rings, when nothing will come any more.
    pub fn new(
        engine: Engine<S, P>,
        inputs: Vec<Consumer<Record>>,
        commands: Producer<Record>,
        journal: Option<Producer<Record>>,
        makes_timers: bool,
        has_ended: Flag,
    ) -> (Self, StatusReader) {
        let (status, reader) = seqlock();
        let tallies = Tallies::new(&engine);
        let duty = Self {
            engine,
            inputs,
            commands: CommandRings { requests: commands, journal, journal_lost: false, questions: None, tallies },
            makes_timers,
            timer_due: Nanos::ZERO,
            levels: vec![Level::default(); Event::LEVELS_MAX].into_boxed_slice(),
            status,
            status_due: Nanos::ZERO,
            decode_errors: 0,
            has_ended,
            pulse: None,
            board: BoardReader::default(),
            tap: None,
            samples: None,
        };
        (duty, StatusReader(reader))
    }

    /// Gives questions to a reconciler through `ring`; its answers come through one of the input rings.
    pub fn ask_through(mut self, ring: Producer<Record>) -> Self {
        self.commands.questions = Some(ring);
        self
    }

    /// Hands what changes on the signal board to the engine.
    pub fn watch(mut self, board: BoardReader) -> Self {
        self.board = board;
        self
    }

    /// Gives a ghost what is consumed of the market.
    pub fn set_tap(&mut self, tap: MarketTap) {
        self.tap = Some(tap);
    }

    /// A few figures of the engine, for whoever polls the core from its own thread.
    pub(super) fn quick_status(&self) -> CoreStatus {
        self.engine.quick_status()
    }

    /// What open positions lose at the mid, likewise.
    pub(super) fn open_losses(&self) -> Money {
        self.engine.open_losses()
    }

    /// Gives samples for slow risk with its timers.
    pub fn sample_for(&mut self, samples: SampleSender) {
        self.samples = Some(samples);
    }

    /// Beats for a guard, and obeys its fence.
    pub fn set_pulse(&mut self, pulse: CorePulse) {
        self.pulse = Some(pulse);
    }

    /// Takes one event from ring `idx`; returns whether there was one.
    #[inline]
    fn take_event(&mut self, idx: usize) -> bool {
        let input = &mut self.inputs[idx];
        let Some(first) = input.peek() else { return false };
        let count = first.event_records();
        // The records of an event are published together, so the rest is there; a bug would show as defaults.
        let event = Event::decode(&first, |i| input.peek_at(i).unwrap_or_default(), &mut self.levels);
        match event {
            Ok(event) => {
                self.commands.journal_event(&event);
                self.engine.on_event(&event, &mut self.commands);
                self.commands.tallies.on_event(&event, &self.engine);
                // After its commands have left.
                if let Some(tap) = &mut self.tap {
                    tap.offer(&event);
                }
            }
            Err(_) => self.decode_errors += 1,
        }
        // Only now: whoever sees the slot freed also sees the commands that the event caused.
        self.inputs[idx].advance(count);
        if self.commands.journal_lost && self.engine.mode() != Mode::Killed {
            // What cannot be recorded must not be traded.
            let now = self.engine.now();
            self.give(&Event::Control(Meta { recv: now, ..Meta::default() }, Control::Kill));
        }
        true
    }

    fn give(&mut self, event: &Event<'_>) {
        self.commands.journal_event(event);
        self.engine.on_event(event, &mut self.commands);
    }

    #[cold]
    fn take_signal(&mut self, slot: BoardSlot, value: f64, now: Nanos) {
        let meta = Meta { recv: now, ..Meta::default() };
        self.give(&Event::Signal(Signal { meta, slot: slot.number(), value }));
    }

    #[cfg(test)]
    pub(super) fn engine(&self) -> &Engine<S, P> {
        &self.engine
    }

    #[cold]
    fn publish_status(&mut self) {
        let status = self.engine.quick_status();
        let flags = [status.is_stopping, status.is_synced, status.has_trade_link, status.has_private_link];
        let flags = flags.iter().enumerate().fold(0, |word, (bit, &flag)| word | u64::from(flag) << bit);
        let mut words = [0; STATUS_WORDS];
        let (figures, risk) = words.split_at_mut(FIGURES);
        figures.copy_from_slice(&[
            status.events,
            status.commands,
            status.fills,
            status.open_orders,
            status.refused,
            status.pnl_micros as u64,
            status.books_live,
            flags,
            status.unknown,
            status.silent_streams,
            status.rate_warnings,
            status.positions,
            self.commands.tallies.round_trips(),
        ]);
        for (pair, (_, value)) in risk.chunks_exact_mut(2).zip(status.risk.values()) {
            (pair[0], pair[1]) = split(value.get());
        }
        self.status.write(words);
    }
}

impl<S: Strategy + Send, P: Probe + Send> Duty for CoreDuty<S, P> {
    fn name(&self) -> &'static str {
        "core"
    }

    fn poll(&mut self, now: Nanos) -> usize {
        let mut work = 0;
        if let Some(control) = self.pulse.as_mut().and_then(|pulse| pulse.poll(now)) {
            self.give(&Event::Control(Meta { recv: now, ..Meta::default() }, control));
        }
        for idx in 0..self.board.len() {
            if let Some((slot, value)) = self.board.change(idx) {
                self.take_signal(slot, value, now);
                work += 1;
            }
        }
        for idx in 0..self.inputs.len() {
            for _ in 0..EVENTS_PER_POLL {
                if !self.take_event(idx) {
                    break;
                }
                work += 1;
            }
        }
        if self.makes_timers && now >= self.timer_due {
            self.timer_due = now.saturating_add(TIMER_NS);
            self.give(&Event::Timer(Meta { recv: now, ..Meta::default() }));
            if let Some(samples) = &mut self.samples {
                samples.poll(&self.engine, now);
            }
        }
        if now >= self.status_due {
            self.status_due = now.saturating_add(2 * TIMER_NS);
            self.publish_status();
        }
        work
    }

    fn is_hot(&self) -> bool {
        true
    }

    fn is_finished(&self) -> bool {
        self.has_ended.is_set()
    }

    fn finish(mut self: Box<Self>) -> DutyReport {
        self.engine.finish();
        DutyReport::Core(Box::new(CoreReport {
            engine: self.engine.report(),
            tallies: self.commands.tallies.into_vec(),
            decode_errors: self.decode_errors,
            journal_lost: self.commands.journal_lost,
            samples_dropped: self.samples.as_ref().map_or(0, SampleSender::dropped),
        }))
    }
}
