//! Captures merged by engine time: what a replay reads, whole in memory or a piece at a time.

use std::path::{Path, PathBuf};

use super::capture::{CaptureError, CaptureReader};
use super::meta::ClockKind;
use crate::types::Nanos;

/// Why a capture cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is damaged or not a capture.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The system refused the thread that reads.
    #[error("could not start the thread that reads captures: {0}")]
    Thread(std::io::Error),
    /// The thread that reads ended without a word: a bug.
    #[error("the thread that reads captures panicked")]
    Panicked,
}

/// One message of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Engine time: the receive stamp, or the venue's time where there is none; never runs backwards.
    pub at: Nanos,
    /// The message.
    pub message: &'a [u8],
    /// The symbol that the file's name gives a snapshot without one.
    pub symbol: Option<&'a str>,
    /// Which of the replay's feeds it belongs to ([`CaptureFile::feed`]).
    pub feed: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    at: u64,
    start: u64,
    len: u32,
    /// Index + 1 into `symbols`; 0 is none.
    symbol: u16,
    feed: u16,
}

/// A capture in memory, or a piece of one.
#[derive(Clone, Default)]
pub struct Capture {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    symbols: Vec<String>,
}

impl Capture {
    /// Messages.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all messages.
    pub fn message_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The message at `idx`.
    #[inline]
    pub fn get(&self, idx: usize) -> Option<Frame<'_>> {
        let entry = self.entries.get(idx)?;
        let start = entry.start as usize;
        let message = &self.bytes[start..start + entry.len as usize];
        let symbol = usize::from(entry.symbol).checked_sub(1).map(|i| self.symbols[i].as_str());
        Some(Frame { at: Nanos::new(entry.at), message, symbol, feed: usize::from(entry.feed) })
    }

    /// Engine time of the first and the last message.
    pub fn span(&self) -> Option<(Nanos, Nanos)> {
        Some((Nanos::new(self.entries.first()?.at), Nanos::new(self.entries.last()?.at)))
    }

    /// Appends a message to a capture that is made in memory.
    pub fn push(&mut self, at: Nanos, message: &[u8]) {
        self.push_entry(at.get(), message, 0, 0);
    }

    fn push_entry(&mut self, at: u64, message: &[u8], symbol: u16, feed: u16) {
        let start = self.bytes.len() as u64;
        self.bytes.extend_from_slice(message);
        self.entries.push(Entry { at, start, len: message.len() as u32, symbol, feed });
    }

    /// Forgets the messages and keeps the room for others.
    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

/// One file that a replay reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureFile {
    /// Where it is; snapshot files beside it belong to it.
    pub path: PathBuf,
    /// What its receive times are.
    pub clock: ClockKind,
    /// Which of the replay's feeds its messages go to.
    pub feed: u16,
}

/// The files that hold the snapshots of a capture of many symbols, with their symbols:
/// `NAME.snapshot-SYMBOL.jsonl.gz` beside `NAME.jsonl.gz`.
pub fn side_snapshots(capture: &Path) -> Vec<(PathBuf, String)> {
    let Some(name) = capture.file_name().and_then(|n| n.to_str()) else { return Vec::new() };
    let stem = name.split(".jsonl").next().unwrap_or(name);
    let prefix = format!("{stem}.snapshot-");
    let dir = capture.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<(PathBuf, String)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let symbol = name.strip_prefix(&prefix)?.split(".jsonl").next()?;
            Some((entry.path(), symbol.to_ascii_uppercase()))
        })
        .collect();
    found.sort();
    found
}

/// A file being read: its next line, and the engine time of that.
struct Source {
    reader: CaptureReader,
    clock: ClockKind,
    symbol: u16,
    feed: u16,
    at: u64,
    message: Vec<u8>,
}

impl Source {
    /// Moves to the next line; false at the end.
    fn advance(&mut self) -> Result<bool, LoadError> {
        let Some((recv, message)) = self.reader.next_line()? else { return Ok(false) };
        let has_no_time = self.clock == ClockKind::None || recv == 0;
        let at = if has_no_time { venue_time(message).unwrap_or(self.at) } else { recv };
        // Each file's own time never runs backwards.
        self.at = self.at.max(at);
        self.message.clear();
        self.message.extend_from_slice(message);
        Ok(true)
    }
}

/// Captures and the snapshot files beside them, merged in the order of engine time; equal times keep the order of the files
/// (a snapshot file comes before its capture) and, within a file, of its lines.
///
/// # Cost
/// Memory: two buffers of 256 kB and the longest line for each file. Time: one comparison a file for each message.
pub struct Merge {
    sources: Vec<Source>,
    symbols: Vec<String>,
}

impl Merge {
    /// Opens the files.
    ///
    /// # Errors
    /// [`LoadError`] with the file: it cannot be opened, or its first line is none.
    pub fn open(files: &[CaptureFile]) -> Result<Self, LoadError> {
        let mut merge = Self { sources: Vec::new(), symbols: Vec::new() };
        for file in files {
            for (path, symbol) in side_snapshots(&file.path) {
                merge.symbols.push(symbol);
                merge.add(&path, file, merge.symbols.len() as u16)?;
            }
            merge.add(&file.path, file, 0)?;
        }
        Ok(merge)
    }

    fn add(&mut self, path: &Path, file: &CaptureFile, symbol: u16) -> Result<(), LoadError> {
        let reader = CaptureReader::open(path)?;
        let mut source = Source { reader, clock: file.clock, symbol, feed: file.feed, at: 0, message: Vec::new() };
        if source.advance()? {
            self.sources.push(source);
        }
        Ok(())
    }

    /// Fills `piece` with the next messages, until it holds `bytes_max` of them or more; returns whether there are others.
    ///
    /// # Errors
    /// [`LoadError`] with file and line; `piece` then holds what came before.
    pub fn fill(&mut self, piece: &mut Capture, bytes_max: usize) -> Result<bool, LoadError> {
        piece.clear();
        if piece.symbols.len() != self.symbols.len() {
            piece.symbols.clone_from(&self.symbols);
        }
        while piece.bytes.len() < bytes_max {
            let earliest = self.sources.iter_mut().enumerate().min_by_key(|(_, source)| source.at);
            let Some((idx, source)) = earliest else { return Ok(false) };
            piece.push_entry(source.at, &source.message, source.symbol, source.feed);
            if !source.advance()? {
                self.sources.remove(idx);
            }
        }
        Ok(true)
    }
}

/// Loads captures whole, in the order of [`Merge`].
///
/// # Errors
/// [`LoadError`] with file and line.
pub fn load(files: &[PathBuf], clock: ClockKind) -> Result<Capture, LoadError> {
    let files: Vec<CaptureFile> = files.iter().map(|path| CaptureFile { path: path.clone(), clock, feed: 0 }).collect();
    let mut capture = Capture::default();
    Merge::open(&files)?.fill(&mut capture, usize::MAX)?;
    Ok(capture)
}

/// The venue's time of a message in nanoseconds: the first `"E":`, `"ts":` or `"T":` with a number of milliseconds.
fn venue_time(message: &[u8]) -> Option<u64> {
    for key in [&b"\"E\":"[..], b"\"ts\":", b"\"T\":"] {
        let Some(at) = message.windows(key.len()).position(|w| w == key) else { continue };
        let digits = &message[at + key.len()..];
        let len = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        let text = std::str::from_utf8(&digits[..len]).ok()?;
        if let Ok(ms) = text.parse::<u64>() {
            return ms.checked_mul(1_000_000);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_merge_by_time_and_time_never_goes_back() {
        let dir = std::env::temp_dir().join(format!("tercel-load-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("x.jsonl"), "10\ta\n30\tb\n20\tc\n40\td\n").unwrap();
        std::fs::write(dir.join("x.snapshot-abcusdt.jsonl"), "30\t{\"lastUpdateId\":1}\n").unwrap();
        let capture = load(&[dir.join("x.jsonl")], ClockKind::Unix).unwrap();
        let all: Vec<(u64, &[u8], Option<&str>)> =
            (0..capture.len()).filter_map(|i| capture.get(i)).map(|f| (f.at.get(), f.message, f.symbol)).collect();
        assert_eq!(all[0], (10, &b"a"[..], None));
        assert_eq!(all[1], (30, &b"{\"lastUpdateId\":1}"[..], Some("ABCUSDT")));
        assert_eq!(all[2..], [(30, &b"b"[..], None), (30, &b"c"[..], None), (40, &b"d"[..], None)]);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_missing_receive_time_is_the_venues() {
        assert_eq!(venue_time(br#"{"topic":"x","ts":1700000000123}"#), Some(1_700_000_000_123_000_000));
        assert_eq!(venue_time(br#"{"e":"x","E":5}"#), Some(5_000_000));
        assert_eq!(venue_time(br#"{"op":"pong"}"#), None);
    }
}
