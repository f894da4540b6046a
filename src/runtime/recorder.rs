//! The recorder duty: writes the journal, off the hot threads.

use std::io;
use std::path::PathBuf;

use super::duty::{Duty, DutyReport};
use crate::journal::{JournalHeader, JournalWriter};
use crate::ring::Consumer;
use crate::types::{Nanos, Record};

/// Events written in one poll.
const EVENTS_PER_POLL: usize = 256;

/// Time between two hand-overs to the system.
const FLUSH_NS: u64 = 200_000_000;

/// Time between two syncs, which move the durable mark.
const SYNC_NS: u64 = 1_000_000_000;

/// What the recorder leaves behind.
#[derive(Debug)]
pub struct RecorderReport {
    /// The journal.
    pub path: PathBuf,
    /// Events in it.
    pub events: u64,
    /// Commands in it.
    pub commands: u64,
    /// Why it is not whole, if it is not.
    pub error: Option<io::Error>,
}

/// Takes the core's journal ring to a file.
pub struct RecorderDuty {
    input: Consumer<Record>,
    writer: JournalWriter,
    path: PathBuf,
    flush_due: Nanos,
    sync_due: Nanos,
    error: Option<io::Error>,
}

impl RecorderDuty {
    /// Makes a recorder that writes to `path`, which must not exist.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn create(input: Consumer<Record>, path: PathBuf, header: &JournalHeader) -> io::Result<Self> {
        let writer = JournalWriter::create(&path, header)?;
        Ok(Self { input, writer, path, flush_due: Nanos::ZERO, sync_due: Nanos::ZERO, error: None })
    }
}

impl Duty for RecorderDuty {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn poll(&mut self, now: Nanos) -> usize {
        // After an error nothing is taken any more: the ring fills, and the core halts.
        if self.error.is_some() {
            return 0;
        }
        let mut work = 0;
        while work < EVENTS_PER_POLL
            && let Some(first) = self.input.peek()
        {
            let count = first.event_records();
            let input = &self.input;
            let records = (0..count).map(|idx| input.peek_at(idx).unwrap_or_default());
            if let Err(error) = self.writer.append(records) {
                self.error = Some(error);
                return work;
            }
            self.input.advance(count);
            work += 1;
        }
        if now >= self.flush_due {
            self.flush_due = now.saturating_add(FLUSH_NS);
            self.error = self.writer.flush().err();
        }
        if self.error.is_none() && now >= self.sync_due {
            self.sync_due = now.saturating_add(SYNC_NS);
            self.error = self.writer.sync_behind().err();
        }
        work
    }

    fn finish(mut self: Box<Self>) -> DutyReport {
        let error = self.error.take().or_else(|| self.writer.close().err());
        DutyReport::Recorder(Box::new(RecorderReport {
            path: self.path,
            events: self.writer.events(),
            commands: self.writer.commands(),
            error,
        }))
    }
}
