//! The journal: every event that the engine consumed, in the order in which it did, and after each the commands that it
//! caused.
//!
//! ```text
//! "TERCELJ2" | mark | mark | header length (u32) | header, JSON | CRC-32 of both (u32) | entry | entry | …
//! mark       bytes (u64) | entries, and whether it is the last (1 + 63 bits) | CRC-32 of both (u32)
//! entry      record count (u16) | records (56 bytes each) | CRC-32 of both (u32)
//! ```
//!
//! All little-endian. Given to an equal engine, which the header describes, the events reproduce its commands byte by byte.
//!
//! The newer of the two marks is the durable mark: what lies below it was synced to the disk before the mark was written, in
//! turn over the older one. Below it nothing may be missing or damaged, or the journal is refused. Above it the file may end
//! anywhere and hold anything, as after a kill or a power cut; it is read up to the last whole entry.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use super::header::JournalHeader;
use crate::types::{Command, EVENT_RECORDS_MAX, Event, EventDecodeError, Level, Record};

const MAGIC: &[u8; 8] = b"TERCELJ2";
const RECORD_BYTES: usize = 56;

/// Bytes of one mark.
const MARK_BYTES: usize = 20;

/// Where the header begins.
const HEADER_AT: usize = MAGIC.len() + 2 * MARK_BYTES;

/// Longest header: 4,096 instruments take about one megabyte.
const HEADER_BYTES_MAX: u32 = 16 << 20;

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// How much of a journal is on the disk for certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurableMark {
    /// Bytes of the file, from its beginning.
    pub bytes: u64,
    /// Entries in them.
    pub entries: u64,
    /// Whether the journal was closed in order there: nothing follows, and nothing is missing.
    pub is_closed: bool,
}

/// The bit of a mark's entries that says that the journal was closed.
const CLOSED_BIT: u64 = 1 << 63;

impl DurableMark {
    fn write(self) -> [u8; MARK_BYTES] {
        let mut out = [0; MARK_BYTES];
        out[..8].copy_from_slice(&self.bytes.to_le_bytes());
        let entries = self.entries | if self.is_closed { CLOSED_BIT } else { 0 };
        out[8..16].copy_from_slice(&entries.to_le_bytes());
        let crc = checksum(&out[..16]);
        out[16..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` for a mark that was never written, or only in part.
    fn read(bytes: &[u8; MARK_BYTES]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        let (words, _) = body.as_chunks::<8>();
        let [bytes, entries] = [words.first()?, words.get(1)?].map(|word| u64::from_le_bytes(*word));
        let mark = Self { bytes, entries: entries & !CLOSED_BIT, is_closed: entries & CLOSED_BIT != 0 };
        (checksum(body) == u32::from_le_bytes(*crc)).then_some(mark)
    }
}

/// Syncs what was written and then says so in the file; the slots of the marks take turns.
struct Syncer {
    file: File,
    slot: u64,
}

impl Syncer {
    fn sync(&mut self, mark: DurableMark) -> io::Result<()> {
        self.file.sync_data()?;
        let at = MAGIC.len() as u64 + self.slot * MARK_BYTES as u64;
        self.file.write_all_at(&mark.write(), at)?;
        self.slot = 1 - self.slot;
        Ok(())
    }
}

/// A [`Syncer`] on a thread of its own: a disk may take its time, and the writer must go on emptying its ring.
struct SyncThread {
    ask: SyncSender<DurableMark>,
    thread: JoinHandle<(Syncer, io::Result<()>)>,
}

impl SyncThread {
    fn start(mut syncer: Syncer) -> io::Result<Self> {
        let (ask, asked) = sync_channel(1);
        let thread = std::thread::Builder::new().name("journal-sync".to_owned()).spawn(move || {
            let outcome = asked.iter().try_for_each(|mark| syncer.sync(mark));
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
    /// Reused for every entry.
    entry: Vec<u8>,
    events: u64,
    commands: u64,
    written: DurableMark,
    syncer: Option<Syncer>,
    behind: Option<SyncThread>,
}

impl JournalWriter {
    /// Creates the file with its header on the disk; one that exists is not overwritten.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn create(path: &Path, header: &JournalHeader) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path)?;
        let header = serde_json::to_vec(header)?;
        let mut text = Vec::with_capacity(header.len() + 8);
        text.extend_from_slice(&(header.len() as u32).to_le_bytes());
        text.extend_from_slice(&header);
        let crc = checksum(&text);
        let mut syncer = Syncer { file: file.try_clone()?, slot: 0 };
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(MAGIC)?;
        file.write_all(&[0; 2 * MARK_BYTES])?;
        file.write_all(&text)?;
        file.write_all(&crc.to_le_bytes())?;
        file.flush()?;
        let written = DurableMark { bytes: (HEADER_AT + text.len() + 4) as u64, ..DurableMark::default() };
        syncer.sync(written)?;
        Ok(Self {
            file,
            entry: Vec::with_capacity(2 + EVENT_RECORDS_MAX * RECORD_BYTES + 4),
            events: 0,
            commands: 0,
            written,
            syncer: Some(syncer),
            behind: None,
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
        match behind.ask.try_send(self.written) {
            Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
            Err(TrySendError::Disconnected(_)) => self.rejoin(),
        }
    }

    /// Waits for the thread that syncs.
    fn rejoin(&mut self) -> io::Result<()> {
        if let Some(behind) = self.behind.take() {
            self.syncer = Some(behind.end()?);
        }
        Ok(())
    }

    /// Hands everything to the disk and moves the durable mark there; waits for both.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn sync(&mut self) -> io::Result<DurableMark> {
        self.file.flush()?;
        self.rejoin()?;
        let Some(syncer) = &mut self.syncer else { return Err(io::Error::other("syncing has failed before")) };
        syncer.sync(self.written)?;
        Ok(self.written)
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

/// Why a journal cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system's word.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is no journal of this version.
    #[error("not a journal of this version: starts with {found:02x?}, `TERCELJ2` is wanted")]
    NotAJournal {
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// The header is not what was written.
    #[error("the header is damaged: {0}")]
    Header(String),
    /// An entry below the durable mark was changed.
    #[error("entry {entry} is damaged: checksum {found:08x}, computed {computed:08x}")]
    Damaged {
        /// Which, from 0.
        entry: u64,
        /// The checksum in the file.
        found: u32,
        /// The checksum of its bytes.
        computed: u32,
    },
    /// The file ends below the durable mark.
    #[error("the file ends after {entries} entries; {} were on the disk", mark.entries)]
    Lost {
        /// Entries there are.
        entries: u64,
        /// What there should be at the least.
        mark: DurableMark,
    },
    /// An entry is whole but holds no event.
    #[error("entry {entry}: {source}")]
    Decode {
        /// Which, from 0.
        entry: u64,
        /// Why.
        source: EventDecodeError,
    },
}

/// Reads a journal.
pub struct JournalReader {
    file: BufReader<File>,
    header: JournalHeader,
    mark: DurableMark,
    bytes: Vec<u8>,
    records: Vec<Record>,
    levels: Box<[Level]>,
    entries: u64,
    /// Bytes of the file up to the last whole entry.
    at: u64,
    is_cut: bool,
}

impl JournalReader {
    /// Opens a journal.
    ///
    /// # Errors
    /// [`JournalError`]: cannot be read, is no journal, or its header is damaged.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
        let mut bytes = Vec::new();
        (&mut file).take(HEADER_AT as u64).read_to_end(&mut bytes)?;
        if !bytes.starts_with(MAGIC) {
            bytes.truncate(MAGIC.len());
            return Err(JournalError::NotAJournal { found: bytes });
        }
        let damaged = |what: &str| JournalError::Header(what.to_owned());
        let marks = bytes.get(MAGIC.len()..HEADER_AT).ok_or_else(|| damaged("cut off"))?;
        let (marks, _) = marks.as_chunks::<MARK_BYTES>();
        let mark = marks.iter().filter_map(DurableMark::read).max().unwrap_or_default();
        bytes.clear();
        (&mut file).take(4).read_to_end(&mut bytes)?;
        let len = bytes.first_chunk::<4>().map(|len| u32::from_le_bytes(*len)).ok_or_else(|| damaged("cut off"))?;
        if len > HEADER_BYTES_MAX {
            return Err(damaged("an impossible length"));
        }
        (&mut file).take(u64::from(len) + 4).read_to_end(&mut bytes)?;
        let (text, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("cut off"))?;
        if text.len() != len as usize + 4 || checksum(text) != u32::from_le_bytes(*crc) {
            return Err(damaged("its checksum is another"));
        }
        let header = serde_json::from_slice(&text[4..]).map_err(|e| damaged(&e.to_string()))?;
        let at = (HEADER_AT + bytes.len()) as u64;
        let levels = vec![Level::default(); Event::LEVELS_MAX].into_boxed_slice();
        Ok(Self { file, header, mark, bytes, records: Vec::new(), levels, entries: 0, at, is_cut: false })
    }

    /// What the journal begins with.
    pub fn header(&self) -> &JournalHeader {
        &self.header
    }

    /// The durable mark.
    pub fn durable_mark(&self) -> DurableMark {
        self.mark
    }

    /// Entries read so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Whether something beyond the last whole entry was cut off; known once the end was reached.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Reads the records of the next entry, of an event or of a command; returns whether there was one. At the end, which
    /// may be torn or damaged beyond the durable mark, there is none.
    ///
    /// # Errors
    /// [`JournalError`]: damage or loss below the durable mark, or the system's word.
    fn read_entry(&mut self) -> Result<bool, JournalError> {
        self.records.clear();
        if self.is_cut {
            return Ok(false);
        }
        self.bytes.clear();
        (&mut self.file).take(2).read_to_end(&mut self.bytes)?;
        if self.bytes.is_empty() && self.at >= self.mark.bytes {
            return Ok(false);
        }
        let count = self.bytes.first_chunk::<2>().map(|b| usize::from(u16::from_le_bytes(*b)));
        let body = count.unwrap_or(0) * RECORD_BYTES;
        (&mut self.file).take(body as u64 + 4).read_to_end(&mut self.bytes)?;
        let entry = self.bytes.split_last_chunk::<4>().filter(|(entry, _)| entry.len() == 2 + body);
        let Some((entry, crc)) = entry else {
            self.is_cut = true;
            let (entries, mark) = (self.entries, self.mark);
            return if self.at < mark.bytes { Err(JournalError::Lost { entries, mark }) } else { Ok(false) };
        };
        let (found, computed) = (u32::from_le_bytes(*crc), checksum(entry));
        if found != computed || body == 0 {
            self.is_cut = true;
            let entry = self.entries;
            return if self.at < self.mark.bytes {
                Err(JournalError::Damaged { entry, found, computed })
            } else {
                Ok(false)
            };
        }
        let (words, _) = entry[2..].as_chunks::<8>();
        for seven in words.chunks_exact(7) {
            let mut record = Record::default();
            for (word, bytes) in record.words.iter_mut().zip(seven) {
                *word = u64::from_le_bytes(*bytes);
            }
            self.records.push(record);
        }
        self.entries += 1;
        self.at += self.bytes.len() as u64;
        Ok(true)
    }

    /// Returns the next event, passing over commands; `None` at the end, which may be torn.
    ///
    /// # Errors
    /// [`JournalError`]: damage or loss below the durable mark, or the system's word.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, JournalError> {
        loop {
            if !self.read_entry()? {
                return Ok(None);
            }
            if self.records.first().and_then(Command::from_journal_record).is_none() {
                break;
            }
        }
        let entry = self.entries - 1;
        decode(&self.records, &mut self.levels).map(Some).map_err(|source| JournalError::Decode { entry, source })
    }
}

fn decode<'a>(records: &[Record], levels: &'a mut [Level]) -> Result<Event<'a>, EventDecodeError> {
    let first = records.first().copied().unwrap_or_default();
    Event::decode(&first, |idx| records.get(idx).copied().unwrap_or_default(), levels)
}

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
        let may_miss = self.is_last && !self.reader.mark.is_closed;
        Ok(Some(Step { event, commands: &self.commands, may_miss }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Book, BookKind, Lots, Meta, Nanos, Ticks};

    fn events(path: &Path) -> Result<Vec<u64>, JournalError> {
        let mut reader = JournalReader::open(path)?;
        let mut seen = Vec::new();
        while let Some(event) = reader.next_event()? {
            seen.push(event.meta().recv.get());
        }
        Ok(seen)
    }

    #[test]
    fn a_torn_tail_is_cut_and_damage_is_found() {
        let dir = std::env::temp_dir().join(format!("tercel-journal-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("whole.tj");
        let mut writer = JournalWriter::create(&path, &JournalHeader::default()).unwrap();
        let levels: Vec<Level> = (0..7).map(|i| Level { px: Ticks::new(i), qty: Lots::new(i) }).collect();
        for n in 0..5u64 {
            let meta = Meta { recv: Nanos::new(n), ..Meta::default() };
            let book = Book { meta, kind: BookKind::Delta, cross_seq: 0, bids: &levels[..3], asks: &levels[3..] };
            let event = Event::Book(book);
            let records: Vec<Record> = (0..event.record_count()).map(|i| event.record(i)).collect();
            writer.append(records.into_iter()).unwrap();
        }
        writer.sync().unwrap();
        assert!(JournalWriter::create(&path, &JournalHeader::default()).is_err(), "a journal is never overwritten");
        assert_eq!(events(&path).unwrap(), [0, 1, 2, 3, 4]);

        let bytes = std::fs::read(&path).unwrap();
        let torn = dir.join("torn.tj");
        let entry = 2 + 4 * RECORD_BYTES + 4;
        let begin = bytes.len() - 5 * entry;
        // Synced: what is missing then was lost, and what is changed is damage.
        for cut in begin..bytes.len() {
            std::fs::write(&torn, &bytes[..cut]).unwrap();
            assert!(matches!(events(&torn), Err(JournalError::Lost { .. })), "{cut}");
        }
        let mut damaged = bytes.clone();
        damaged[begin + entry + 20] ^= 1;
        std::fs::write(&torn, &damaged).unwrap();
        assert!(matches!(events(&torn), Err(JournalError::Damaged { entry: 1, .. })));
        // Not synced beyond the second entry, as the older mark would say: a torn tail is cut, whatever it holds.
        let durable = begin + 2 * entry;
        let mark = DurableMark { bytes: durable as u64, entries: 2, is_closed: false }.write();
        for slot in 0..2 {
            damaged[MAGIC.len() + slot * MARK_BYTES..][..MARK_BYTES].copy_from_slice(&mark);
        }
        std::fs::write(&torn, &damaged).unwrap();
        assert!(matches!(events(&torn), Err(JournalError::Damaged { entry: 1, .. })), "below the mark");
        damaged[begin + entry + 20] ^= 1;
        for cut in durable..bytes.len() {
            std::fs::write(&torn, &damaged[..cut]).unwrap();
            assert_eq!(events(&torn).unwrap().len(), (cut - begin) / entry);
            let zeros = [&damaged[..cut], &[0; 1000]].concat();
            std::fs::write(&torn, &zeros).unwrap();
            assert_eq!(events(&torn).unwrap().len(), (cut - begin) / entry);
        }
        // A header that was changed is not believed.
        for at in [HEADER_AT, HEADER_AT + 10, begin - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(&torn, &damaged).unwrap();
            assert!(matches!(events(&torn), Err(JournalError::Header(_))), "{at}");
        }
        std::fs::write(&torn, b"hello").unwrap();
        assert!(matches!(events(&torn), Err(JournalError::NotAJournal { .. })));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
