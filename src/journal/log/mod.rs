//! The journal: every event that the engine consumed, in the order in which it did, and after each the commands that it
//! caused.
//!
//! ```text
//! "TERCELJ2" | mark | mark | header length (u32) | header, JSON | CRC-32 of both (u32) | entry | entry | …
//! mark       bytes (u64) | entries, whether it goes on elsewhere, whether it is the last (1 + 1 + 62 bits) | CRC-32 of both (u32)
//! entry      record count (u16) | records (56 bytes each) | CRC-32 of both (u32)
//! ```
//!
//! All little-endian. Given to an equal engine, which the header describes, the events reproduce its commands byte by byte.
//!
//! The newer of the two marks is the durable mark: what lies below it was synced to the disk before the mark was written, in
//! turn over the older one. Below it nothing may be missing or damaged, or the journal is refused. Above it the file may end
//! anywhere and hold anything, as after a kill or a power cut; it is read up to the last whole entry.
//!
//! A long journal is a chain of such files, its *segments*: `run-0000002a.tj`, `run-0000002a.0001.tj`, … Each header tells its number
//! and how many entries stand before it, and a segment's marks are written only after the one before it was synced whole. So
//! a chain is read like one file: what is torn is the end of the whole.

mod read;
mod steps;
#[cfg(test)]
mod tests;
mod write;

pub use read::{JournalError, JournalReader};
pub use steps::{JournalSteps, JournaledCommand, Step};
pub use write::JournalWriter;

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
    /// Whether it goes on in the next segment.
    pub is_continued: bool,
}

/// The bit of a mark's entries that says that the journal was closed.
const CLOSED_BIT: u64 = 1 << 63;

/// The bit that says that it goes on in the next segment.
const CONTINUED_BIT: u64 = 1 << 62;

impl DurableMark {
    fn write(self) -> [u8; MARK_BYTES] {
        let mut out = [0; MARK_BYTES];
        out[..8].copy_from_slice(&self.bytes.to_le_bytes());
        let bit = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
        let entries = self.entries | bit(self.is_closed, CLOSED_BIT) | bit(self.is_continued, CONTINUED_BIT);
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
        let mark = Self {
            bytes,
            entries: entries & !(CLOSED_BIT | CONTINUED_BIT),
            is_closed: entries & CLOSED_BIT != 0,
            is_continued: entries & CONTINUED_BIT != 0,
        };
        (checksum(body) == u32::from_le_bytes(*crc)).then_some(mark)
    }
}
