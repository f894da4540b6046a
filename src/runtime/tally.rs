//! Counts beside the engine what a soak asks for by instrument: orders that left, and completed round trips.
//!
//! Thread: core. Allocates: at construction. It decides nothing, and the engine does not know of it.

use crate::engine::{Engine, Probe};
use crate::strategy::Strategy;
use crate::types::{Command, CommandKind, Event, InstrumentId};

/// What was counted of one instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstrumentTally {
    /// New orders that were handed to the gateway.
    pub orders: u64,
    /// Times that the position came back to zero, or went through it.
    pub round_trips: u64,
    /// Sign of the position after the newest execution.
    side: i64,
}

impl InstrumentTally {
    /// An execution led to a position of this sign.
    fn on_execution(&mut self, side: i64) {
        let was = std::mem::replace(&mut self.side, side);
        self.round_trips += u64::from(was != 0 && was != side);
    }
}

/// One tally for each instrument of an engine.
pub(super) struct Tallies {
    by_instrument: Box<[InstrumentTally]>,
    round_trips: u64,
}

impl Tallies {
    pub(super) fn new<S: Strategy, P: Probe>(engine: &Engine<S, P>) -> Self {
        let count = (0..=u16::MAX).take_while(|&id| engine.view(InstrumentId(id)).is_some()).count();
        Self { by_instrument: vec![InstrumentTally::default(); count].into_boxed_slice(), round_trips: 0 }
    }

    /// A command has left.
    #[inline]
    pub(super) fn on_command(&mut self, command: &Command) {
        if matches!(command.kind, CommandKind::New | CommandKind::NewMarket | CommandKind::NewStop)
            && let Some(tally) = self.by_instrument.get_mut(command.instrument.idx())
        {
            tally.orders += 1;
        }
    }

    /// The engine has taken an event.
    #[inline]
    pub(super) fn on_event<S: Strategy, P: Probe>(&mut self, event: &Event<'_>, engine: &Engine<S, P>) {
        if matches!(event, Event::Fill(_) | Event::Position(_)) {
            self.on_position(event, engine);
        }
    }

    fn on_position<S: Strategy, P: Probe>(&mut self, event: &Event<'_>, engine: &Engine<S, P>) {
        let instrument = event.meta().instrument;
        let Some(tally) = self.by_instrument.get_mut(instrument.idx()) else { return };
        let Some(view) = engine.view(instrument) else { return };
        let side = view.position.get().signum();
        if matches!(event, Event::Fill(_)) {
            let before = tally.round_trips;
            tally.on_execution(side);
            self.round_trips += tally.round_trips - before;
        } else {
            // A position that was there before the run, or that the venue says is so: nothing was traded.
            tally.side = side;
        }
    }

    /// Round trips of all instruments.
    pub(super) fn round_trips(&self) -> u64 {
        self.round_trips
    }

    pub(super) fn into_vec(self) -> Vec<InstrumentTally> {
        self.by_instrument.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_ends_at_zero_or_beyond_it() {
        let mut tally = InstrumentTally::default();
        // Opened, added to, back to zero; opened short, turned to long, turned to short again.
        for (side, want) in [(1, 0), (1, 0), (0, 1), (-1, 1), (1, 2), (-1, 3), (-1, 3)] {
            tally.on_execution(side);
            assert_eq!(tally.round_trips, want, "after {side}");
        }
    }
}
