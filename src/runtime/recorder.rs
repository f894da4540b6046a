//! The recorder duty: writes the journal, off the hot threads, and keeps it and its folder within bounds.

use std::io;
use std::path::{Path, PathBuf};

use super::duty::{Duty, DutyReport};
use crate::journal::{JournalHeader, JournalWriter, Removed, Retention, prune};
use crate::ring::{Consumer, Flag};
use crate::types::{Nanos, Record};

/// Events written in one poll.
const EVENTS_PER_POLL: usize = 256;

/// Time between two hand-overs to the system.
const FLUSH_NS: u64 = 200_000_000;

/// Time between two syncs, which move the durable mark.
const SYNC_NS: u64 = 1_000_000_000;

/// How large journals may become, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalBounds {
    /// A file that has reached this is ended, and another one begun.
    pub segment_bytes: u64,
    /// A run whose journal reaches this is stopped, as by a full disk: what cannot be recorded must not be traded.
    pub run_bytes_max: Option<u64>,
    /// What is kept of earlier runs; looked after at the start and at each new file.
    pub keep: Retention,
}

impl Default for JournalBounds {
    /// Files of a gigabyte, and everything is kept.
    fn default() -> Self {
        Self { segment_bytes: 1_000_000_000, run_bytes_max: None, keep: Retention::default() }
    }
}

/// What the recorder leaves behind.
#[derive(Debug)]
pub struct RecorderReport {
    /// The journal.
    pub path: PathBuf,
    /// Events in it.
    pub events: u64,
    /// Commands in it.
    pub commands: u64,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Journals of earlier runs that were removed.
    pub removed: Removed,
    /// Why earlier journals could not be removed the last time, if so.
    pub prune_error: Option<io::Error>,
    /// Why it is not whole, if it is not.
    pub error: Option<io::Error>,
}

/// Takes the core's journal ring to a file.
pub struct RecorderDuty {
    input: Consumer<Record>,
    writer: JournalWriter,
    path: PathBuf,
    bounds: JournalBounds,
    removed: Removed,
    prune_error: Option<io::Error>,
    is_lost: Flag,
    flush_due: Nanos,
    sync_due: Nanos,
    error: Option<io::Error>,
}

impl RecorderDuty {
    /// Makes a recorder that writes to `path`, which must not exist, and removes what need not be kept beside it. `is_lost` is set
    /// when the journal cannot be written any more.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn create(
        input: Consumer<Record>,
        path: PathBuf,
        header: &JournalHeader,
        bounds: JournalBounds,
        is_lost: Flag,
    ) -> io::Result<Self> {
        let writer = JournalWriter::create(&path, header)?;
        let (flush_due, sync_due) = (Nanos::ZERO, Nanos::ZERO);
        let mut recorder = Self {
            input,
            writer,
            path,
            bounds,
            removed: Removed::default(),
            prune_error: None,
            is_lost,
            flush_due,
            sync_due,
            error: None,
        };
        recorder.prune()?;
        Ok(recorder)
    }

    fn prune(&mut self) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let more = prune(folder, &self.path, self.bounds.keep)?;
        self.removed = Removed { runs: self.removed.runs + more.runs, bytes: self.removed.bytes + more.bytes };
        Ok(())
    }

    /// Holds the journal against its bounds.
    fn bound(&mut self) -> io::Result<()> {
        let (segment, run) = self.writer.bytes();
        if let Some(max) = self.bounds.run_bytes_max.filter(|max| run >= *max) {
            return Err(io::Error::other(format!("{run} bytes, journal.run-bytes-max allows {max}")));
        }
        if segment >= self.bounds.segment_bytes {
            self.writer.rotate()?;
            // What is left of earlier runs takes room, and is no reason to stop this one.
            self.prune_error = self.prune().err();
        }
        Ok(())
    }
}

impl Duty for RecorderDuty {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn poll(&mut self, now: Nanos) -> usize {
        // After an error nothing is taken any more: should nobody look at the flag, the ring fills, and the core halts.
        if self.error.is_some() {
            return 0;
        }
        let work = self.record(now);
        if self.error.is_some() {
            self.is_lost.set();
        }
        work
    }

    fn finish(mut self: Box<Self>) -> DutyReport {
        let error = self.error.take().or_else(|| self.writer.close().err());
        DutyReport::Recorder(Box::new(RecorderReport {
            path: self.path,
            events: self.writer.events(),
            commands: self.writer.commands(),
            bytes: self.writer.bytes().1,
            removed: self.removed,
            prune_error: self.prune_error,
            error,
        }))
    }
}

impl RecorderDuty {
    fn record(&mut self, now: Nanos) -> usize {
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
        if work > 0 {
            self.error = self.bound().err();
        }
        if self.error.is_none() && now >= self.flush_due {
            self.flush_due = now.saturating_add(FLUSH_NS);
            self.error = self.writer.flush().err();
        }
        if self.error.is_none() && now >= self.sync_due {
            self.sync_due = now.saturating_add(SYNC_NS);
            self.error = self.writer.sync_behind().err();
        }
        work
    }
}
