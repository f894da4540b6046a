//! A journal read step by step.

use super::read::{JournalError, JournalReader, decode};
use crate::types::{Command, Event, Level, Record};

/// A command as it was journaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournaledCommand {
    /// The command.
    pub command: Command,
    /// Whether there was room for it on its way.
    pub is_taken: bool,
}

/// Reads a journal step by step: an event with the commands that it caused.
pub struct JournalSteps {
    reader: JournalReader,
    levels: Box<[Level]>,
    event: Vec<Record>,
    event_entry: u64,
    commands: Vec<JournaledCommand>,
    /// Whether the reader holds the next event's records already.
    is_ahead: bool,
    is_last: bool,
}

/// One step.
pub struct Step<'a> {
    /// The event.
    pub event: Event<'a>,
    /// The commands that it caused, in order.
    pub commands: &'a [JournaledCommand],
    /// Whether further commands may be missing: the journal broke off here.
    pub may_miss: bool,
}

impl JournalSteps {
    /// Reads what `reader` has not read yet.
    pub fn new(reader: JournalReader) -> Self {
        let levels = vec![Level::default(); Event::LEVELS_MAX].into_boxed_slice();
        let (event, commands) = (Vec::new(), Vec::new());
        Self { reader, levels, event, event_entry: 0, commands, is_ahead: false, is_last: false }
    }

    /// The reader beneath.
    pub fn reader(&self) -> &JournalReader {
        &self.reader
    }

    /// Returns the next step; `None` at the end.
    ///
    /// # Errors
    /// [`JournalError`]: damage or loss below the durable mark, or the system's word.
    pub fn next_step(&mut self) -> Result<Option<Step<'_>>, JournalError> {
        if self.is_last || !(self.is_ahead || self.reader.read_entry()?) {
            return Ok(None);
        }
        std::mem::swap(&mut self.event, &mut self.reader.records);
        self.event_entry = self.reader.entries - 1;
        self.commands.clear();
        self.is_ahead = false;
        self.is_last = true;
        while self.reader.read_entry()? {
            let Some((command, is_taken)) = self.reader.records.first().and_then(Command::from_journal_record) else {
                (self.is_ahead, self.is_last) = (true, false);
                break;
            };
            self.commands.push(JournaledCommand { command, is_taken });
        }
        let entry = self.event_entry;
        let event = decode(&self.event, &mut self.levels).map_err(|source| JournalError::Decode { entry, source })?;
        let may_miss = self.is_last && !self.reader.durable_mark().is_closed;
        Ok(Some(Step { event, commands: &self.commands, may_miss }))
    }
}
