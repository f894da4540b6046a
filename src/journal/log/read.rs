//! Reading a journal, over all its segments.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::{DurableMark, HEADER_AT, HEADER_BYTES_MAX, MAGIC, MARK_BYTES, RECORD_BYTES, checksum};
use crate::journal::JournalHeader;
use crate::journal::segments::{first_segment, segment_path};
use crate::types::{Command, Event, EventDecodeError, Level, Record};

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
    /// Not the first segment of its journal.
    #[error("segment {segment} of a journal: name its first, {}", first.display())]
    NotTheFirst {
        /// Which it is, from 0.
        segment: u32,
        /// Where the first should be.
        first: PathBuf,
    },
    /// A segment is missing, or belongs to another journal.
    #[error("{}: {what}", path.display())]
    Segment {
        /// Where it should be.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
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
    segment: Segment,
    /// Path of the first segment.
    path: PathBuf,
    /// Entries of the segments before that were on the disk for certain.
    durable_before: u64,
    bytes: Vec<u8>,
    pub(super) records: Vec<Record>,
    levels: Box<[Level]>,
    pub(super) entries: u64,
    is_cut: bool,
}

/// The file of a journal that is being read.
struct Segment {
    file: BufReader<File>,
    header: JournalHeader,
    mark: DurableMark,
    /// Bytes of the file up to the last whole entry.
    at: u64,
}

impl Segment {
    fn open(path: &Path) -> Result<Self, JournalError> {
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
        Ok(Self { file, header, mark, at })
    }
}

impl JournalReader {
    /// Opens a journal by its first segment.
    ///
    /// # Errors
    /// [`JournalError`]: cannot be read, is no journal or not its beginning, or its header is damaged.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let segment = Segment::open(path)?;
        if segment.header.segment > 0 {
            return Err(JournalError::NotTheFirst { segment: segment.header.segment, first: first_segment(path) });
        }
        Ok(Self {
            segment,
            path: path.to_owned(),
            durable_before: 0,
            bytes: Vec::new(),
            records: Vec::new(),
            levels: vec![Level::default(); Event::LEVELS_MAX].into_boxed_slice(),
            entries: 0,
            is_cut: false,
        })
    }

    /// What the journal begins with.
    pub fn header(&self) -> &JournalHeader {
        &self.segment.header
    }

    /// The durable mark, of all segments up to the one that is being read: at the end, of the whole journal.
    pub fn durable_mark(&self) -> DurableMark {
        DurableMark { entries: self.durable_before + self.segment.mark.entries, ..self.segment.mark }
    }

    /// The segment that is being read.
    pub fn file(&self) -> PathBuf {
        segment_path(&self.path, self.segment.header.segment)
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
    pub(super) fn read_entry(&mut self) -> Result<bool, JournalError> {
        self.records.clear();
        while !self.is_cut {
            if self.read_entry_of_segment()? {
                return Ok(true);
            }
            if !self.turn()? {
                break;
            }
        }
        Ok(false)
    }

    /// Goes on with the next segment; false if the journal ends with this one.
    fn turn(&mut self) -> Result<bool, JournalError> {
        let (number, mark) = (self.segment.header.segment + 1, self.segment.mark);
        let path = segment_path(&self.path, number);
        let fault = |what| JournalError::Segment { path: path.clone(), what };
        if mark.is_closed || !path.exists() {
            return if mark.is_continued { Err(fault("is missing, and the journal goes on there")) } else { Ok(false) };
        }
        let mut next = match Segment::open(&path) {
            Ok(next) => next,
            // Killed while it was begun: nothing can stand in it yet.
            Err(JournalError::Header(_) | JournalError::NotAJournal { .. }) if !mark.is_continued => return Ok(false),
            Err(error) => return Err(error),
        };
        let (this, that) = (&self.segment.header, &next.header);
        if (that.run_id, that.started, that.segment) != (this.run_id, this.started, number) {
            return Err(fault("belongs to another journal"));
        }
        if that.entries_before != self.entries {
            // The end of this segment was torn off. Of the next nothing counts then, and nothing can have been durable.
            self.is_cut = true;
            let (entries, mark) = (self.entries, DurableMark { entries: that.entries_before, ..next.mark });
            return if next.mark.entries > 0 { Err(JournalError::Lost { entries, mark }) } else { Ok(false) };
        }
        if mark.is_continued {
            // Its header was on the disk before that was said.
            next.mark = next.mark.max(DurableMark { bytes: next.at, ..DurableMark::default() });
        }
        self.durable_before += mark.entries;
        self.segment = next;
        Ok(true)
    }

    fn read_entry_of_segment(&mut self) -> Result<bool, JournalError> {
        let Segment { file, mark, at, .. } = &mut self.segment;
        self.bytes.clear();
        file.take(2).read_to_end(&mut self.bytes)?;
        if self.bytes.is_empty() && *at >= mark.bytes {
            return Ok(false);
        }
        let count = self.bytes.first_chunk::<2>().map(|b| usize::from(u16::from_le_bytes(*b)));
        let body = count.unwrap_or(0) * RECORD_BYTES;
        file.take(body as u64 + 4).read_to_end(&mut self.bytes)?;
        let entry = self.bytes.split_last_chunk::<4>().filter(|(entry, _)| entry.len() == 2 + body);
        let Some((entry, crc)) = entry else {
            self.is_cut = true;
            let (entries, mark) = (self.entries, *mark);
            return if *at < mark.bytes { Err(JournalError::Lost { entries, mark }) } else { Ok(false) };
        };
        let (found, computed) = (u32::from_le_bytes(*crc), checksum(entry));
        if found != computed || body == 0 {
            self.is_cut = true;
            let entry = self.entries;
            let error = JournalError::Damaged { entry, found, computed };
            return if *at < mark.bytes { Err(error) } else { Ok(false) };
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
        *at += self.bytes.len() as u64;
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

pub(super) fn decode<'a>(records: &[Record], levels: &'a mut [Level]) -> Result<Event<'a>, EventDecodeError> {
    let first = records.first().copied().unwrap_or_default();
    Event::decode(&first, |idx| records.get(idx).copied().unwrap_or_default(), levels)
}
