//! The journal: every event that the engine consumed, in the order in which it did.
//!
//! ```text
//! "TERCELJ1" | entry | entry | …        entry = record count (u16) | records (56 bytes each) | CRC-32 of both (u32)
//! ```
//!
//! All little-endian. A file that ends in the middle of an entry, as after a power cut, is read up to the last whole
//! one. Given to an equal engine, the events reproduce its commands byte by byte.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use crate::types::{EVENT_RECORDS_MAX, Event, Level, Record};

const MAGIC: &[u8; 8] = b"TERCELJ1";
const RECORD_BYTES: usize = 56;

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Writes a journal.
pub struct JournalWriter {
    file: BufWriter<File>,
    /// Reused for every entry.
    entry: Vec<u8>,
    events: u64,
}

impl JournalWriter {
    /// Creates the file; one that exists is not overwritten.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path)?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(MAGIC)?;
        Ok(Self { file, entry: Vec::with_capacity(2 + EVENT_RECORDS_MAX * RECORD_BYTES + 4), events: 0 })
    }

    /// Appends the records of one event.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn append(&mut self, records: impl ExactSizeIterator<Item = Record>) -> io::Result<()> {
        self.entry.clear();
        self.entry.extend_from_slice(&(records.len() as u16).to_le_bytes());
        for record in records {
            for word in record.words {
                self.entry.extend_from_slice(&word.to_le_bytes());
            }
        }
        let crc = checksum(&self.entry);
        self.entry.extend_from_slice(&crc.to_le_bytes());
        self.events += 1;
        self.file.write_all(&self.entry)
    }

    /// Hands everything to the system.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Hands everything to the disk.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_data()
    }

    /// Events appended.
    pub fn events(&self) -> u64 {
        self.events
    }
}

/// Why a journal cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system's word.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is no journal.
    #[error("not a journal: starts with {found:02x?}")]
    NotAJournal {
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// An entry in the middle was changed.
    #[error("entry {entry} is damaged: checksum {found:08x}, computed {computed:08x}")]
    Damaged {
        /// Which, from 0.
        entry: u64,
        /// The checksum in the file.
        found: u32,
        /// The checksum of its bytes.
        computed: u32,
    },
    /// An entry is whole but holds no event.
    #[error("entry {entry}: {source}")]
    Decode {
        /// Which, from 0.
        entry: u64,
        /// Why.
        source: crate::types::EventDecodeError,
    },
}

/// Reads a journal.
pub struct JournalReader {
    file: BufReader<File>,
    bytes: Vec<u8>,
    records: Vec<Record>,
    levels: Box<[Level]>,
    entries: u64,
}

impl JournalReader {
    /// Opens a journal.
    ///
    /// # Errors
    /// [`JournalError`]: cannot be read, or is no journal.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
        let mut magic = Vec::new();
        (&mut file).take(MAGIC.len() as u64).read_to_end(&mut magic)?;
        if magic != MAGIC {
            return Err(JournalError::NotAJournal { found: magic });
        }
        let levels = vec![Level::default(); Event::LEVELS_MAX].into_boxed_slice();
        Ok(Self { file, bytes: Vec::new(), records: Vec::new(), levels, entries: 0 })
    }

    /// Returns the next event; `None` at the end, which may be a torn entry.
    ///
    /// # Errors
    /// [`JournalError`]: a damaged entry, or the system's word.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, JournalError> {
        self.bytes.clear();
        (&mut self.file).take(2).read_to_end(&mut self.bytes)?;
        let Some(count) = self.bytes.first_chunk::<2>().map(|b| u16::from_le_bytes(*b)) else { return Ok(None) };
        let body = usize::from(count) * RECORD_BYTES;
        (&mut self.file).take(body as u64 + 4).read_to_end(&mut self.bytes)?;
        let Some((entry, crc)) = self.bytes.split_last_chunk::<4>().filter(|(entry, _)| entry.len() == 2 + body) else {
            return Ok(None);
        };
        let (found, computed) = (u32::from_le_bytes(*crc), checksum(entry));
        if found != computed {
            return Err(JournalError::Damaged { entry: self.entries, found, computed });
        }
        self.records.clear();
        let (words, _) = entry[2..].as_chunks::<8>();
        for seven in words.chunks_exact(7) {
            let mut record = Record::default();
            for (word, bytes) in record.words.iter_mut().zip(seven) {
                *word = u64::from_le_bytes(*bytes);
            }
            self.records.push(record);
        }
        let entry = self.entries;
        self.entries += 1;
        let first = self.records.first().copied().unwrap_or_default();
        let records = &self.records;
        Event::decode(&first, |idx| records.get(idx).copied().unwrap_or_default(), &mut self.levels)
            .map(Some)
            .map_err(|source| JournalError::Decode { entry, source })
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
        let mut writer = JournalWriter::create(&path).unwrap();
        let levels: Vec<Level> = (0..7).map(|i| Level { px: Ticks::new(i), qty: Lots::new(i) }).collect();
        for n in 0..5u64 {
            let meta = Meta { recv: Nanos::new(n), ..Meta::default() };
            let book = Book { meta, kind: BookKind::Delta, cross_seq: 0, bids: &levels[..3], asks: &levels[3..] };
            let event = Event::Book(book);
            let records: Vec<Record> = (0..event.record_count()).map(|i| event.record(i)).collect();
            writer.append(records.into_iter()).unwrap();
        }
        writer.sync().unwrap();
        assert!(JournalWriter::create(&path).is_err(), "a journal is never overwritten");
        assert_eq!(events(&path).unwrap(), [0, 1, 2, 3, 4]);

        let bytes = std::fs::read(&path).unwrap();
        let torn = dir.join("torn.tj");
        let entry = (bytes.len() - MAGIC.len()) / 5;
        for cut in MAGIC.len()..bytes.len() {
            std::fs::write(&torn, &bytes[..cut]).unwrap();
            assert_eq!(events(&torn).unwrap().len(), (cut - MAGIC.len()) / entry);
        }
        let mut damaged = bytes.clone();
        damaged[MAGIC.len() + entry + 20] ^= 1;
        std::fs::write(&torn, &damaged).unwrap();
        assert!(matches!(events(&torn), Err(JournalError::Damaged { entry: 1, .. })));
        std::fs::write(&torn, b"hello").unwrap();
        assert!(matches!(events(&torn), Err(JournalError::NotAJournal { .. })));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
