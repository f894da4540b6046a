//! Writing a journal: entries through a buffer, marks by a thread that waits for the disk.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use super::{DurableMark, HEADER_AT, MAGIC, MARK_BYTES, RECORD_BYTES, checksum};
use crate::journal::JournalHeader;
use crate::journal::segments::segment_path;
use crate::types::{Command, EVENT_RECORDS_MAX, Record};

/// Syncs what was written and then says so in the file; the slots of the marks take turns.
struct Syncer {
    file: File,
    slot: u64,
}

/// What a [`Syncer`] is asked.
enum Ask {
    /// To sync, and to write this mark.
    Mark(DurableMark),
    /// The last time for this segment; then to go on with the next one, which has this mark.
    Turn { last: DurableMark, next: Segment, first: DurableMark },
}

impl Syncer {
    fn sync(&mut self, mark: DurableMark) -> io::Result<()> {
        self.file.sync_data()?;
        let at = MAGIC.len() as u64 + self.slot * MARK_BYTES as u64;
        self.file.write_all_at(&mark.write(), at)?;
        self.slot = 1 - self.slot;
        Ok(())
    }

    fn carry_out(&mut self, ask: Ask) -> io::Result<()> {
        match ask {
            Ask::Mark(mark) => self.sync(mark),
            Ask::Turn { last, next, first } => {
                // The next segment is on the disk before this one says that it goes on there, and this one before that has
                // a mark: an entry there counts on all here.
                next.file.sync_data()?;
                sync_folder(&next.path)?;
                self.sync(last)?;
                self.file.sync_data()?;
                (self.file, self.slot) = (next.file, 0);
                self.sync(first)
            }
        }
    }
}

/// A segment that was begun.
struct Segment {
    file: File,
    path: PathBuf,
}

/// Makes the name of a new file survive a power cut.
fn sync_folder(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// A [`Syncer`] on a thread of its own: a disk may take its time, and the writer must go on emptying its ring.
struct SyncThread {
    ask: SyncSender<Ask>,
    thread: JoinHandle<(Syncer, io::Result<()>)>,
}

impl SyncThread {
    fn start(mut syncer: Syncer) -> io::Result<Self> {
        let (ask, asked) = sync_channel(1);
        let thread = std::thread::Builder::new().name("journal-sync".to_owned()).spawn(move || {
            let outcome = asked.iter().try_for_each(|ask| syncer.carry_out(ask));
            (syncer, outcome)
        })?;
        Ok(Self { ask, thread })
    }

    fn end(self) -> io::Result<Syncer> {
        drop(self.ask);
        let (syncer, outcome) = self.thread.join().map_err(|_| io::Error::other("the thread that syncs panicked"))?;
        outcome.map(|()| syncer)
    }
}

/// Writes a journal.
pub struct JournalWriter {
    file: BufWriter<File>,
    header: JournalHeader,
    /// Path of the first segment.
    path: PathBuf,
    /// Reused for every entry.
    entry: Vec<u8>,
    events: u64,
    commands: u64,
    /// Of this segment.
    written: DurableMark,
    /// Bytes of the segments before.
    bytes_before: u64,
    syncer: Option<Syncer>,
    behind: Option<SyncThread>,
    /// A segment's last word that the thread had no time for yet.
    turn: Option<Ask>,
}

/// Creates a segment with its header handed to the system; the file stays locked while it is written.
fn create_segment(path: &Path, header: &JournalHeader) -> io::Result<(File, BufWriter<File>, DurableMark)> {
    let file = File::options().write(true).create_new(true).open(path)?;
    // So that whoever removes old journals sees that this one is in use; a file system without locks does without.
    let _ = file.try_lock();
    let header = serde_json::to_vec(header)?;
    let mut text = Vec::with_capacity(header.len() + 8);
    text.extend_from_slice(&(header.len() as u32).to_le_bytes());
    text.extend_from_slice(&header);
    let crc = checksum(&text);
    let mut buffered = BufWriter::with_capacity(1 << 20, file.try_clone()?);
    buffered.write_all(MAGIC)?;
    buffered.write_all(&[0; 2 * MARK_BYTES])?;
    buffered.write_all(&text)?;
    buffered.write_all(&crc.to_le_bytes())?;
    buffered.flush()?;
    Ok((file, buffered, DurableMark { bytes: (HEADER_AT + text.len() + 4) as u64, ..DurableMark::default() }))
}

impl JournalWriter {
    /// Creates the file with its header on the disk; one that exists is not overwritten.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn create(path: &Path, header: &JournalHeader) -> io::Result<Self> {
        let (file, buffered, written) = create_segment(path, header)?;
        let mut syncer = Syncer { file, slot: 0 };
        sync_folder(path)?;
        syncer.sync(written)?;
        Ok(Self {
            file: buffered,
            header: header.clone(),
            path: path.to_owned(),
            entry: Vec::with_capacity(2 + EVENT_RECORDS_MAX * RECORD_BYTES + 4),
            events: 0,
            commands: 0,
            written,
            bytes_before: 0,
            syncer: Some(syncer),
            behind: None,
            turn: None,
        })
    }

    /// Appends the records of one event, or the one of a command ([`Command::journal_record`]).
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn append(&mut self, records: impl ExactSizeIterator<Item = Record>) -> io::Result<()> {
        self.entry.clear();
        self.entry.extend_from_slice(&(records.len() as u16).to_le_bytes());
        let mut is_command = false;
        for record in records {
            is_command |= self.entry.len() == 2 && Command::from_journal_record(&record).is_some();
            for word in record.words {
                self.entry.extend_from_slice(&word.to_le_bytes());
            }
        }
        let crc = checksum(&self.entry);
        self.entry.extend_from_slice(&crc.to_le_bytes());
        if is_command {
            self.commands += 1;
        } else {
            self.events += 1;
        }
        self.file.write_all(&self.entry)?;
        self.written.bytes += self.entry.len() as u64;
        self.written.entries += 1;
        Ok(())
    }

    /// Hands everything to the system.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Goes on in a new segment. Nothing waits for the disk, unless it is still busy with the segment before this one.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn rotate(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.header.segment += 1;
        self.header.entries_before += self.written.entries;
        let path = segment_path(&self.path, self.header.segment);
        let (file, buffered, first) = create_segment(&path, &self.header)?;
        let last = DurableMark { is_continued: true, ..self.written };
        self.bytes_before += self.written.bytes;
        (self.file, self.written) = (buffered, first);
        if self.turn.is_some() {
            // Two segments within one sync: the disk cannot keep up, and what it has not must not grow without bound.
            self.rejoin()?;
        }
        self.turn = Some(Ask::Turn { last, next: Segment { file, path }, first });
        self.sync_behind()
    }

    /// Bytes of this segment, and of the whole journal.
    pub fn bytes(&self) -> (u64, u64) {
        (self.written.bytes, self.bytes_before + self.written.bytes)
    }

    /// Hands everything to the system, and to the disk without waiting for it: the durable mark follows. Does nothing more
    /// while the disk is still busy with the last time.
    ///
    /// # Errors
    /// Whatever the system says, also about the last time.
    pub fn sync_behind(&mut self) -> io::Result<()> {
        self.file.flush()?;
        if let Some(syncer) = self.syncer.take() {
            self.behind = Some(SyncThread::start(syncer)?);
        }
        let Some(behind) = &self.behind else { return Err(io::Error::other("syncing has failed before")) };
        // A turn comes first: marks of this segment are for after it.
        match behind.ask.try_send(self.turn.take().unwrap_or(Ask::Mark(self.written))) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(ask)) => {
                self.turn = Some(ask).filter(|ask| matches!(ask, Ask::Turn { .. }));
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => self.rejoin(),
        }
    }

    /// Waits for the thread that syncs, and does what it was to do next.
    fn rejoin(&mut self) -> io::Result<()> {
        if let Some(behind) = self.behind.take() {
            self.syncer = Some(behind.end()?);
        }
        if let Some(turn) = self.turn.take() {
            let Some(syncer) = &mut self.syncer else { return Err(io::Error::other("syncing has failed before")) };
            syncer.carry_out(turn)?;
        }
        Ok(())
    }

    /// Hands everything to the disk and moves the durable mark there; waits for both. Returns the mark, the entries of earlier
    /// segments counted in.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn sync(&mut self) -> io::Result<DurableMark> {
        self.file.flush()?;
        self.rejoin()?;
        let Some(syncer) = &mut self.syncer else { return Err(io::Error::other("syncing has failed before")) };
        syncer.sync(self.written)?;
        Ok(DurableMark { entries: self.header.entries_before + self.written.entries, ..self.written })
    }

    /// [`Self::sync`] for the last time: says in the file that nothing is missing.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn close(&mut self) -> io::Result<DurableMark> {
        self.written.is_closed = true;
        self.sync()
    }

    /// Events appended.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Commands appended.
    pub fn commands(&self) -> u64 {
        self.commands
    }
}
