//! Gives a journal to an equal engine and compares its commands with the journaled ones, one by one.

use std::ops::ControlFlow;

use crate::engine::{Engine, Probe};
use crate::journal::{JournalError, JournalSteps, JournaledCommand, Step};
use crate::strategy::Strategy;
use crate::types::{Command, CommandSink};

/// Where a replay and its journal part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Number of the event, from 1.
    pub event: u64,
    /// The event, for people.
    pub event_text: String,
    /// Number of the command, from 1.
    pub command: u64,
    /// What the journal holds; `None`: no command.
    pub journaled: Option<Command>,
    /// What the engine wanted now; `None`: no command.
    pub replayed: Option<Command>,
}

/// What a replay of a journal found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rerun {
    /// Events given.
    pub events: u64,
    /// Commands that were equal.
    pub commands: u64,
    /// Commands that the last event caused and that a journal which broke off no longer holds.
    pub beyond_end: u64,
    /// The first difference; nothing was given after it.
    pub difference: Option<Difference>,
}

/// Takes the engine's commands as the rings did when they were journaled, and looks whether they are the same.
struct Comparison<'a> {
    journaled: &'a [JournaledCommand],
    at: usize,
    may_miss: bool,
    beyond_end: u64,
    parted: Option<(Option<Command>, Option<Command>)>,
}

impl CommandSink for Comparison<'_> {
    fn push(&mut self, command: Command) -> bool {
        if self.parted.is_some() {
            return true;
        }
        match self.journaled.get(self.at) {
            Some(lived) if lived.command.neutral_bytes() == command.neutral_bytes() => {
                self.at += 1;
                return lived.is_taken;
            }
            None if self.may_miss => self.beyond_end += 1,
            lived => self.parted = Some((lived.map(|lived| lived.command), Some(command))),
        }
        true
    }
}

/// Gives every event to the engine, up to the first difference. `after` sees each step once the engine has taken it, and may
/// end the replay.
///
/// # Errors
/// [`JournalError`]: the journal cannot be read on.
pub fn rerun<S: Strategy, P: Probe>(
    engine: &mut Engine<S, P>,
    steps: &mut JournalSteps,
    mut after: impl FnMut(&Step<'_>, &Engine<S, P>) -> ControlFlow<()>,
) -> Result<Rerun, JournalError> {
    let mut found = Rerun::default();
    while let Some(step) = steps.next_step()? {
        found.events += 1;
        let mut sink =
            Comparison { journaled: step.commands, at: 0, may_miss: step.may_miss, beyond_end: 0, parted: None };
        engine.on_event(&step.event, &mut sink);
        let Comparison { at, beyond_end, parted, .. } = sink;
        found.commands += at as u64;
        found.beyond_end += beyond_end;
        let parted = parted.or_else(|| step.commands.get(at).map(|lived| (Some(lived.command), None)));
        if let Some((journaled, replayed)) = parted {
            found.difference = Some(Difference {
                event: found.events,
                event_text: format!("{:?}", step.event),
                command: found.commands + 1,
                journaled,
                replayed,
            });
            return Ok(found);
        }
        if after(&step, engine).is_break() {
            break;
        }
    }
    Ok(found)
}
