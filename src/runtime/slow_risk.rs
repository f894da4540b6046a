//! Slow risk on the analyst's thread: samples from the core in, a share of the gross exposure out.
//!
//! ```text
//! CORE ──ring of samples──▶ SlowRiskDuty ──board: risk_scale──▶ CORE
//! ```
//!
//! A round is one sample of every instrument, published all or none. A ring that is full drops the round and counts it: the
//! analyst then has nothing to publish, and what it said last loses its weight with its age.

use super::board::{Board, BoardWriter};
use super::duty::{Duty, DutyReport};
use crate::engine::{Engine, Probe};
use crate::ring::{Consumer, Producer, spsc};
use crate::slow_risk::{Observation, Round, SlowRisk, SlowRiskConfig};
use crate::strategy::Strategy;
use crate::types::{BoardSlot, InstrumentId, InstrumentTable, Money, Nanos};

/// Rounds that wait for the analyst at most.
const ROUNDS_MAX: usize = 4;

/// One instrument in one round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    at: Nanos,
    /// Number of the instrument.
    idx: u32,
    /// Whether it is the last of its round.
    is_last: bool,
    seen: Observation,
    /// Equity in 10⁻⁶ of the settlement currency, clamped to what a word holds; [`NO_EQUITY`] before it is known.
    equity_micros: i64,
}

const NO_EQUITY: i64 = i64::MIN;

/// Where the core puts its samples.
pub struct SampleSender {
    ring: Producer<Sample>,
    every_ns: u64,
    due: Nanos,
    dropped: u64,
}

impl SampleSender {
    /// Gives a round if one is due. Does not allocate.
    #[inline]
    pub(super) fn poll<S: Strategy, P: Probe>(&mut self, engine: &Engine<S, P>, now: Nanos) {
        if now >= self.due {
            // On a grid, so that a timer that comes late does not shift all that follow.
            let on_grid = self.due.saturating_add(self.every_ns);
            self.due = if on_grid > now { on_grid } else { now.saturating_add(self.every_ns) };
            self.give(engine, now);
        }
    }

    #[cold]
    fn give<S: Strategy, P: Probe>(&mut self, engine: &Engine<S, P>, now: Nanos) {
        let micros = |equity: Money| i64::try_from(equity.get() / 1_000_000).unwrap_or(i64::MAX);
        let equity_micros = engine.equity().map_or(NO_EQUITY, micros);
        let count = engine.instrument_count();
        let is_taken = self.ring.publish_with(count, |idx| Sample {
            at: now,
            idx: idx as u32,
            is_last: idx + 1 == count,
            seen: observe(engine, InstrumentId(idx as u16)),
            equity_micros,
        });
        self.dropped += u64::from(!is_taken);
    }

    /// Rounds for which there was no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn observe<S: Strategy, P: Probe>(engine: &Engine<S, P>, id: InstrumentId) -> Observation {
    let Some(view) = engine.view(id) else { return Observation::default() };
    let mid_e2 = match (view.touch.bid, view.touch.ask) {
        (Some(bid), Some(ask)) if bid.px < ask.px => bid.px.get().saturating_add(ask.px.get()),
        _ => 0,
    };
    Observation { mid_e2, position: view.position }
}

/// The analyst's duty.
pub struct SlowRiskDuty {
    ring: Consumer<Sample>,
    writer: BoardWriter,
    analyst: SlowRisk,
    round: Vec<Observation>,
}

/// Makes the analyst and the core's end of its ring; `None` if the board's slot is taken. The ring holds four rounds.
pub fn slow_risk(
    table: &InstrumentTable,
    config: SlowRiskConfig,
    board: &mut Board,
) -> Option<(SlowRiskDuty, SampleSender)> {
    let writer = board.writer(BoardSlot::RiskScale)?;
    let (producer, ring) = spsc((table.len().max(1) * ROUNDS_MAX).next_power_of_two());
    let round = vec![Observation::default(); table.len()];
    let sender = SampleSender { ring: producer, every_ns: config.sample_every_ns, due: Nanos::ZERO, dropped: 0 };
    Some((SlowRiskDuty { ring, writer, analyst: SlowRisk::new(table, config), round }, sender))
}

impl Duty for SlowRiskDuty {
    fn name(&self) -> &'static str {
        "slow-risk"
    }

    fn poll(&mut self, _now: Nanos) -> usize {
        let mut work = 0;
        // One round in a poll: others on this thread have work as well.
        while let Some(sample) = self.ring.pop() {
            work += 1;
            if let Some(seen) = self.round.get_mut(sample.idx as usize) {
                *seen = sample.seen;
            }
            if sample.is_last {
                let equity = Money::new(i128::from(sample.equity_micros) * 1_000_000);
                let equity = (sample.equity_micros != NO_EQUITY).then_some(equity);
                let round = Round { at: sample.at, equity, instruments: &self.round };
                if let Some(scale) = self.analyst.on_round(&round) {
                    self.writer.write(scale);
                }
                break;
            }
        }
        work
    }

    fn finish(self: Box<Self>) -> DutyReport {
        DutyReport::SlowRisk(Box::new(self.analyst.report()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineConfig, Limits};
    use crate::strategy::BuiltIn;
    use crate::types::{
        Balance, Book, BookKind, BookState, BookStatus, Event, InstrumentSpec, Level, Lots, Meta, Product, Step,
        Symbol, Ticks, VenueId,
    };

    fn table() -> InstrumentTable {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let spec = |name: &str| {
            let symbol = Symbol::new(name.as_bytes()).unwrap();
            InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap()
        };
        InstrumentTable::new(vec![spec("BTCUSDT"), spec("ETHUSDT")]).unwrap()
    }

    fn config() -> SlowRiskConfig {
        SlowRiskConfig {
            sample_every_ns: 1_000,
            window: 100,
            lambda: 0.97,
            horizon_ns: 1_000,
            var99_max: Money::ONE,
            es99_max: Money::ONE,
            gross_max: Money::ONE,
            cold_share: 0.25,
        }
    }

    fn engine() -> Engine<BuiltIn> {
        let limits = Limits { window_ticks: 128, far_levels_max: 64, orders_max: 16, exec_ids_max: 64 };
        Engine::new(&table(), EngineConfig { limits, ..EngineConfig::default() }, BuiltIn::Watch)
    }

    #[test]
    fn a_round_becomes_a_value_on_the_board() {
        let mut board = Board::new();
        let (mut duty, mut sender) = slow_risk(&table(), config(), &mut board).unwrap();
        assert!(slow_risk(&table(), config(), &mut board).is_none(), "a slot has one writer");
        let mut reader = board.into_reader();
        let engine = engine();
        sender.poll(&engine, Nanos::new(5_000));
        sender.poll(&engine, Nanos::new(5_900));
        assert_eq!(duty.poll(Nanos::ZERO), 2, "two instruments, one round: the next is not due");
        assert_eq!(reader.change(0), Some((BoardSlot::RiskScale, 0.25)));
        assert_eq!((duty.poll(Nanos::ZERO), reader.change(0)), (0, None));
        sender.poll(&engine, Nanos::new(6_000));
        assert_eq!(duty.poll(Nanos::ZERO), 2);
        assert_eq!(reader.change(0), Some((BoardSlot::RiskScale, 0.25)), "each round is a beat");
        let DutyReport::SlowRisk(report) = Box::new(duty).finish() else { panic!("it should report") };
        assert_eq!(report.rounds, 2);
    }

    #[test]
    fn a_ring_that_is_full_drops_whole_rounds_and_counts_them() {
        let mut board = Board::new();
        let (mut duty, mut sender) = slow_risk(&table(), config(), &mut board).unwrap();
        let engine = engine();
        (1..=7).for_each(|round| sender.poll(&engine, Nanos::new(round * 10_000)));
        assert_eq!(sender.dropped(), 3);
        assert_eq!((0..7).map(|_| duty.poll(Nanos::ZERO)).sum::<usize>(), 8);
        assert_eq!(duty.analyst.report().rounds, 4);
    }

    #[test]
    fn what_is_observed_is_the_middle_of_a_book_that_can_be_trusted() {
        let mut engine = engine();
        let mut out = Vec::new();
        let meta = Meta { recv: Nanos::new(7), seq: 1, ..Meta::default() };
        assert_eq!(engine.equity(), None);
        let wallet = Money::new(9_000_000);
        engine.on_event(&Event::Balance(Balance { meta, wallet, available: wallet }), &mut out);
        assert_eq!(engine.equity(), Some(wallet));
        engine.on_event(&Event::BookStatus(BookStatus { meta, state: BookState::Live }), &mut out);
        let level = |px| [Level { px: Ticks::new(px), qty: Lots::new(1) }];
        let (bids, asks) = (level(600_000), level(600_001));
        let book = Book { meta, kind: BookKind::Snapshot, cross_seq: 1, bids: &bids, asks: &asks };
        engine.on_event(&Event::Book(book), &mut out);
        let seen = observe(&engine, InstrumentId(0));
        assert_eq!(seen, Observation { mid_e2: 1_200_001, position: Lots::ZERO });
        assert_eq!(observe(&engine, InstrumentId(1)), Observation::default());
        engine.on_event(&Event::BookStatus(BookStatus { meta, state: BookState::Stale }), &mut out);
        assert_eq!(observe(&engine, InstrumentId(0)).mid_e2, 0);
    }
}
