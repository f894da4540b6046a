//! Capture files, line by line and merged by time.
//!
//! ```text
//! <receive time in ns>\t<message, byte for byte>\n          gzip, zstd or plain, told by the first bytes
//! ```
//!
//! A receive time of 0 means that the recorder kept none. Engine time is the receive time, or the venue's own time of
//! the message where that is 0, and never runs backwards. A snapshot beside a capture, `NAME.snapshot-SYMBOL.jsonl.gz`,
//! belongs to the symbol in its name and is merged in by time.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::types::Nanos;
use crate::venue::FRAME_BYTES_MAX;

/// Longest line in bytes: the longest message, a receive time of twenty digits, a tab and the line's end.
pub const LINE_BYTES_MAX: usize = FRAME_BYTES_MAX + 22;

/// How much is asked of the decompressor at once.
const READ_BYTES: usize = 256 * 1024;

/// What is wrong with a capture.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The compressed data end in the middle or are damaged; every whole line before was given.
    #[error("{}: after line {line}: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Last line that was whole.
        line: u64,
        /// What the decompressor said.
        source: io::Error,
    },
    /// A line that is not `<receive time>\t<message>`.
    #[error("{}:{line}: {what}", path.display())]
    BadLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What was found and what was allowed.
        what: &'static str,
    },
    /// A line longer than any message.
    #[error("{}:{line}: line of {found} bytes, {LINE_BYTES_MAX} allowed", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Its length.
        found: u64,
    },
}

/// One line of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Receive time in nanoseconds; 0 is none.
    pub recv: u64,
    /// The message.
    pub message: &'a [u8],
}

/// Reads one capture file; memory is bounded by the longest line allowed.
pub struct CaptureReader {
    path: PathBuf,
    source: Box<dyn Read + Send>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    line: u64,
    /// The current line: receive time and where its message lies.
    current: Option<(u64, usize, usize)>,
    is_at_end: bool,
    failure: Option<io::Error>,
}

impl CaptureReader {
    /// Opens a capture.
    ///
    /// # Errors
    /// [`CaptureError::Io`].
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let failed = |source| CaptureError::Io { path: path.to_path_buf(), source };
        let mut file = File::open(path).map_err(failed)?;
        let mut magic = [0; 4];
        let mut magic_len = 0;
        while magic_len < magic.len() {
            match file.read(&mut magic[magic_len..]).map_err(failed)? {
                0 => break,
                more => magic_len += more,
            }
        }
        let whole = io::Cursor::new(magic[..magic_len].to_vec()).chain(file);
        let source: Box<dyn Read + Send> = match magic {
            [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(whole))),
            [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(whole).map_err(failed)?),
            _ => Box::new(whole),
        };
        Ok(Self {
            path: path.to_path_buf(),
            source,
            buffer: vec![0; LINE_BYTES_MAX + READ_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            line: 0,
            current: None,
            is_at_end: false,
            failure: None,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of the current line, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Moves to the next line; `false` at the end. After [`CaptureError::BadLine`] or [`CaptureError::TooLong`] the next
    /// call goes on behind that line.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub fn advance(&mut self) -> Result<bool, CaptureError> {
        self.current = None;
        let mut searched = 0;
        let mut dropped = 0;
        let (text_start, text_end) = loop {
            let unread = self.buffer.get(self.start + searched..self.end).unwrap_or(&[]);
            if let Some(found) = unread.iter().position(|&byte| byte == b'\n') {
                let start = self.start;
                let end = start + searched + found;
                self.start = end + 1;
                break (start, end);
            }
            searched = self.end - self.start;
            if searched > LINE_BYTES_MAX {
                dropped += searched as u64;
                self.start = self.end;
                searched = 0;
            }
            if self.is_at_end {
                if let Some(source) = self.failure.take() {
                    self.start = self.end;
                    return Err(CaptureError::Damaged { path: self.path.clone(), line: self.line, source });
                }
                if searched == 0 && dropped == 0 {
                    return Ok(false);
                }
                let start = self.start;
                self.start = self.end;
                break (start, self.end);
            }
            self.fill();
        };
        self.line += 1;
        let text = self.buffer.get(text_start..text_end).unwrap_or(&[]);
        let length = dropped + text.len() as u64;
        if length > LINE_BYTES_MAX as u64 {
            return Err(CaptureError::TooLong { path: self.path.clone(), line: self.line, found: length });
        }
        let bad = |what| CaptureError::BadLine { path: self.path.clone(), line: self.line, what };
        let tab = text.iter().take(21).position(|&byte| byte == b'\t').ok_or_else(|| bad("no tab after a time"))?;
        let recv = std::str::from_utf8(&text[..tab]).ok().and_then(|digits| digits.parse().ok());
        let recv = recv.ok_or_else(|| bad("receive time is not a whole number of nanoseconds"))?;
        self.current = Some((recv, text_start + tab + 1, text_end));
        Ok(true)
    }

    /// The line that [`Self::advance`] moved to.
    pub fn current(&self) -> Option<Line<'_>> {
        let (recv, start, end) = self.current?;
        Some(Line { recv, message: self.buffer.get(start..end)? })
    }

    /// Moves and returns the line; `None` at the end.
    pub fn next_line(&mut self) -> Option<Result<Line<'_>, CaptureError>> {
        match self.advance() {
            Ok(true) => self.current().map(Ok),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }

    fn fill(&mut self) {
        if self.buffer.len() - self.end < READ_BYTES {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let limit = (self.end + READ_BYTES).min(self.buffer.len());
        match self.source.read(&mut self.buffer[self.end..limit]) {
            Ok(0) => self.is_at_end = true,
            Ok(more) => self.end += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                self.failure = Some(error);
                self.is_at_end = true;
            }
        }
    }
}

/// A message of a capture with its place in engine time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Engine time: never runs backwards.
    pub at: Nanos,
    /// Index of the main file it came from (or lies beside), in the order given.
    pub source_idx: usize,
    /// Upper-case symbol of a snapshot that lies beside the capture.
    pub owner: Option<&'a str>,
    /// The message.
    pub bytes: &'a [u8],
}

/// Gives messages in the order of engine time.
pub trait MessageSource {
    /// The next message; `None` at the end.
    fn next_message(&mut self) -> Option<Result<Message<'_>, CaptureError>>;
}

/// Several captures and the snapshots beside them, merged by time while they are read.
pub struct MergedReader {
    inputs: Vec<Input>,
    /// Input whose line was given last and is used up.
    used: Option<usize>,
    last_at: u64,
    /// Errors of inputs, told when their turn comes.
    pending: Vec<CaptureError>,
}

struct Input {
    reader: CaptureReader,
    source_idx: usize,
    owner: Option<String>,
    /// Engine time of the current line; `None` at the end.
    at: Option<u64>,
    last_at: u64,
}

impl Input {
    fn advance(&mut self) -> Result<(), CaptureError> {
        self.at = None;
        if self.reader.advance()?
            && let Some(line) = self.reader.current()
        {
            let stamp = if line.recv == 0 { venue_time(line.message).unwrap_or(0) } else { line.recv };
            self.last_at = self.last_at.max(stamp);
            self.at = Some(self.last_at);
        }
        Ok(())
    }
}

impl MergedReader {
    /// Opens the captures and what lies beside them.
    ///
    /// # Errors
    /// [`CaptureError`] of the first file that cannot be opened or whose first line is bad.
    pub fn open(paths: &[PathBuf]) -> Result<Self, CaptureError> {
        let mut inputs = Vec::new();
        for (source_idx, path) in paths.iter().enumerate() {
            inputs.push((path.clone(), source_idx, None));
            inputs.extend(side_snapshots(path)?.into_iter().map(|(path, owner)| (path, source_idx, Some(owner))));
        }
        // At one moment main files come before snapshots: an event may then be the first that the snapshot includes.
        inputs.sort_by_key(|(_, source_idx, owner)| (owner.is_some(), *source_idx));
        let inputs: Result<Vec<Input>, CaptureError> = inputs
            .into_iter()
            .map(|(path, source_idx, owner)| {
                let reader = CaptureReader::open(&path)?;
                let mut input = Input { reader, source_idx, owner, at: None, last_at: 0 };
                input.advance()?;
                Ok(input)
            })
            .collect();
        Ok(Self { inputs: inputs?, used: None, last_at: 0, pending: Vec::new() })
    }
}

impl MessageSource for MergedReader {
    fn next_message(&mut self) -> Option<Result<Message<'_>, CaptureError>> {
        if let Some(used) = self.used.take()
            && let Err(error) = self.inputs[used].advance()
        {
            // The input moved behind the bad line, or to its end: its next line is looked for at the next call.
            self.used = Some(used);
            self.pending.push(error);
        }
        if let Some(error) = self.pending.pop() {
            return Some(Err(error));
        }
        let keyed = self.inputs.iter().enumerate().filter_map(|(idx, input)| Some((input.at?, idx)));
        let (at, idx) = keyed.min()?;
        self.used = Some(idx);
        self.last_at = self.last_at.max(at);
        let input = &self.inputs[idx];
        let line = input.reader.current()?;
        Some(Ok(Message {
            at: Nanos::new(self.last_at),
            source_idx: input.source_idx,
            owner: input.owner.as_deref(),
            bytes: line.message,
        }))
    }
}

/// A whole capture in memory, so that a replay pays for neither file nor decompression.
#[derive(Default)]
pub struct Capture {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    owners: Vec<String>,
}

#[derive(Clone, Copy)]
struct Entry {
    at: Nanos,
    start: usize,
    len: u32,
    source_idx: u16,
    /// Index into `owners` plus one; 0 is none.
    owner: u16,
}

impl Capture {
    /// Reads the captures and what lies beside them.
    ///
    /// # Errors
    /// [`CaptureError`]: nothing is returned unless every line is good.
    pub fn load(paths: &[PathBuf]) -> Result<Self, CaptureError> {
        let mut reader = MergedReader::open(paths)?;
        let mut out = Self::default();
        while let Some(message) = reader.next_message() {
            let message = message?;
            out.push(message);
        }
        Ok(out)
    }

    fn push(&mut self, message: Message<'_>) {
        let owner = match message.owner {
            None => 0,
            Some(name) => {
                let idx = self.owners.iter().position(|known| known == name).unwrap_or_else(|| {
                    self.owners.push(name.to_owned());
                    self.owners.len() - 1
                });
                idx as u16 + 1
            }
        };
        let (start, len) = (self.arena.len(), message.bytes.len() as u32);
        self.arena.extend_from_slice(message.bytes);
        self.entries.push(Entry { at: message.at, start, len, source_idx: message.source_idx as u16, owner });
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all messages.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Message number `idx`.
    #[inline]
    pub fn get(&self, idx: usize) -> Option<Message<'_>> {
        let entry = self.entries.get(idx)?;
        let bytes = self.arena.get(entry.start..entry.start + entry.len as usize)?;
        let owner = self.owners.get((entry.owner as usize).wrapping_sub(1)).map(String::as_str);
        Some(Message { at: entry.at, source_idx: entry.source_idx as usize, owner, bytes })
    }

    /// All messages in order.
    pub fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        (0..self.len()).filter_map(|idx| self.get(idx))
    }

    /// A cursor that starts at the first message.
    pub fn cursor(&self) -> CaptureCursor<'_> {
        CaptureCursor { capture: self, idx: 0 }
    }
}

/// Messages written by a test or a generator, with receive times in order.
impl<'a> FromIterator<(u64, &'a [u8])> for Capture {
    fn from_iter<T: IntoIterator<Item = (u64, &'a [u8])>>(lines: T) -> Self {
        let mut out = Self::default();
        let mut last = 0;
        for (recv, bytes) in lines {
            last = recv.max(last);
            out.push(Message { at: Nanos::new(last), source_idx: 0, owner: None, bytes });
        }
        out
    }
}

/// Walks a [`Capture`].
pub struct CaptureCursor<'a> {
    capture: &'a Capture,
    idx: usize,
}

impl MessageSource for CaptureCursor<'_> {
    fn next_message(&mut self) -> Option<Result<Message<'_>, CaptureError>> {
        let message = self.capture.get(self.idx)?;
        self.idx += 1;
        Some(Ok(message))
    }
}

/// The venue's own time of a message in nanoseconds: the first `"E"` or `"ts"`, in milliseconds (or microseconds).
pub fn venue_time(message: &[u8]) -> Option<u64> {
    let after = |key: &[u8]| {
        let at = message.windows(key.len()).position(|window| window == key)? + key.len();
        let digits = message.get(at..)?.iter().skip_while(|&&byte| byte == b' ' || byte == b'"');
        let mut value: u64 = 0;
        for &byte in digits.take_while(|byte| byte.is_ascii_digit()) {
            value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        }
        (value > 0).then_some(value)
    };
    let value = after(b"\"E\":").or_else(|| after(b"\"ts\":"))?;
    value.checked_mul(if value < 100_000_000_000_000 { 1_000_000 } else { 1_000 })
}

/// The capture's name without `.jsonl`, `.gz` and `.zst`.
pub fn stem(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    name.strip_suffix(".jsonl").unwrap_or(name).to_owned()
}

/// The snapshots beside a capture: path and upper-case symbol, in the order of their names.
///
/// # Errors
/// [`CaptureError::Io`] if the folder cannot be listed.
pub fn side_snapshots(path: &Path) -> Result<Vec<(PathBuf, String)>, CaptureError> {
    let prefix = format!("{}.snapshot-", stem(path));
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed = |source| CaptureError::Io { path: folder.to_path_buf(), source };
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if let Some(symbol) = stem(&path).strip_prefix(&prefix) {
            out.push((path.clone(), symbol.to_ascii_uppercase()));
        }
    }
    out.sort();
    Ok(out)
}

/// Writes a capture under a temporary name and gives it its own name when it is whole.
pub struct CaptureWriter {
    path: PathBuf,
    part: PathBuf,
    sink: Sink,
    line_count: u64,
}

enum Sink {
    Plain(BufWriter<File>),
    Gzip(flate2::write::GzEncoder<BufWriter<File>>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl CaptureWriter {
    /// Begins a capture; `.gz` and `.zst` at the end of the name choose the compression. Until [`Self::finish`] it is named
    /// `….part`, and stays so if the process ends before.
    ///
    /// # Errors
    /// [`CaptureError::Io`].
    pub fn create(path: &Path) -> Result<Self, CaptureError> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let failed = |source| CaptureError::Io { path: part.clone(), source };
        let file = BufWriter::new(File::create(&part).map_err(failed)?);
        let sink = match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Sink::Gzip(flate2::write::GzEncoder::new(file, flate2::Compression::default())),
            Some("zst") => Sink::Zstd(zstd::Encoder::new(file, 3).map_err(failed)?),
            _ => Sink::Plain(file),
        };
        Ok(Self { path: path.to_path_buf(), part, sink, line_count: 0 })
    }

    /// Adds one message.
    ///
    /// # Errors
    /// [`CaptureError`]: the message holds a tab or an end of line, is too long, or the file cannot be written.
    pub fn write(&mut self, recv: u64, message: &[u8]) -> Result<(), CaptureError> {
        self.line_count += 1;
        let line = self.line_count;
        if message.iter().any(|&byte| byte == b'\t' || byte == b'\n') {
            let what = "message holds a tab or an end of line";
            return Err(CaptureError::BadLine { path: self.path.clone(), line, what });
        }
        if message.len() > FRAME_BYTES_MAX {
            return Err(CaptureError::TooLong { path: self.path.clone(), line, found: message.len() as u64 });
        }
        let sink: &mut dyn Write = match &mut self.sink {
            Sink::Plain(sink) => sink,
            Sink::Gzip(sink) => sink,
            Sink::Zstd(sink) => sink,
        };
        let result =
            write!(sink, "{recv}\t").and_then(|()| sink.write_all(message)).and_then(|()| sink.write_all(b"\n"));
        result.map_err(|source| CaptureError::Io { path: self.part.clone(), source })
    }

    /// Lines written so far.
    pub fn line_count(&self) -> u64 {
        self.line_count
    }

    /// Ends the compression, brings everything to the disk and gives the file its name.
    ///
    /// # Errors
    /// [`CaptureError::Io`].
    pub fn finish(self) -> Result<(), CaptureError> {
        let Self { path, part, sink, .. } = self;
        let ended = match sink {
            Sink::Plain(file) => Ok(file),
            Sink::Gzip(encoder) => encoder.finish(),
            Sink::Zstd(encoder) => encoder.finish(),
        };
        let result = ended
            .and_then(|mut file| {
                file.flush()?;
                file.get_ref().sync_all()
            })
            .and_then(|()| std::fs::rename(&part, &path));
        result.map_err(|source| CaptureError::Io { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that goes away with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tercel-capture-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, lines: &[(u64, &str)]) -> PathBuf {
            let path = self.0.join(name);
            let mut writer = CaptureWriter::create(&path).unwrap();
            for (recv, message) in lines {
                writer.write(*recv, message.as_bytes()).unwrap();
            }
            writer.finish().unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn all(path: &Path) -> Vec<(u64, String)> {
        let mut reader = CaptureReader::open(path).unwrap();
        let mut out = Vec::new();
        while let Some(line) = reader.next_line() {
            let line = line.unwrap();
            out.push((line.recv, String::from_utf8(line.message.to_vec()).unwrap()));
        }
        out
    }

    #[test]
    fn what_was_written_is_read_in_every_compression() {
        let folder = Folder::new("round");
        let long = "x".repeat(400_000);
        let lines: Vec<(u64, &str)> = (0..50).map(|n| (n, if n % 7 == 0 { long.as_str() } else { "{}" })).collect();
        for name in ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"] {
            let found = all(&folder.write(name, &lines));
            assert_eq!(found.len(), lines.len());
            assert!(found.iter().zip(&lines).all(|(a, b)| a.0 == b.0 && a.1 == b.1));
            assert!(!folder.0.join(format!("{name}.part")).exists());
        }
    }

    #[test]
    fn a_cut_off_file_gives_its_whole_lines_and_then_an_error() {
        let folder = Folder::new("cut");
        let messages: Vec<String> = (0..20_000u64).map(|n| format!("message {}", n * n * 7919)).collect();
        let lines: Vec<(u64, &str)> = messages.iter().enumerate().map(|(n, m)| (n as u64, m.as_str())).collect();
        for name in ["a.jsonl.gz", "a.jsonl.zst"] {
            let path = folder.write(name, &lines);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();
            let mut reader = CaptureReader::open(&path).unwrap();
            let mut count = 0;
            let error = loop {
                match reader.next_line() {
                    Some(Ok(line)) => {
                        assert_eq!(line.message, messages[count].as_bytes());
                        count += 1;
                    }
                    Some(Err(error)) => break error,
                    None => panic!("{name}: the cut was not noticed"),
                }
            };
            assert!(count > 1_000, "{name}: {count}");
            assert!(matches!(error, CaptureError::Damaged { line, .. } if line == count as u64), "{error}");
            assert!(reader.next_line().is_none());
        }
    }

    #[test]
    fn bad_lines_are_named_and_passed() {
        let folder = Folder::new("bad");
        let path = folder.0.join("a.jsonl");
        let long = "y".repeat(3 * LINE_BYTES_MAX);
        std::fs::write(&path, format!("1\ta\nno tab here\nx\tb\n5\t{long}\n-1\tc\n2\td")).unwrap();
        let mut reader = CaptureReader::open(&path).unwrap();
        let mut said = Vec::new();
        while let Some(line) = reader.next_line() {
            said.push(match line {
                Ok(line) => format!("{} {}", line.recv, String::from_utf8_lossy(line.message)),
                Err(error) => error.to_string().rsplit('/').next().unwrap().to_owned(),
            });
        }
        let too_long = format!("a.jsonl:4: line of {} bytes, {LINE_BYTES_MAX} allowed", long.len() + 2);
        assert_eq!(
            said,
            [
                "1 a",
                "a.jsonl:2: no tab after a time",
                "a.jsonl:3: receive time is not a whole number of nanoseconds",
                &too_long,
                "a.jsonl:5: receive time is not a whole number of nanoseconds",
                "2 d",
            ]
        );
    }

    #[test]
    fn files_merge_by_time_and_time_never_runs_back() {
        let folder = Folder::new("merge");
        let a = folder.write("a.jsonl.gz", &[(10, "a10"), (30, "a30"), (20, "a20"), (40, "a40")]);
        let b = folder.write("b.jsonl", &[(0, r#"{"E":1}"#), (0, r#"{"no":"time"}"#), (0, r#"{"ts": 2}"#)]);
        folder.write("a.snapshot-btcusdt.jsonl.gz", &[(30, "snapshot")]);
        folder.write("ab.snapshot-btcusdt.jsonl.gz", &[(1, "another's")]);
        let capture = Capture::load(&[a, b]).unwrap();
        let said: Vec<String> = capture
            .iter()
            .map(|m| format!("{} {} {:?} {}", m.at.get(), m.source_idx, m.owner, String::from_utf8_lossy(m.bytes)))
            .collect();
        assert_eq!(
            said,
            [
                "10 0 None a10",
                "30 0 None a30",
                "30 0 None a20",
                "30 0 Some(\"BTCUSDT\") snapshot",
                "40 0 None a40",
                "1000000 1 None {\"E\":1}",
                "1000000 1 None {\"no\":\"time\"}",
                "2000000 1 None {\"ts\": 2}",
            ]
        );
        assert_eq!(capture.cursor().next_message().unwrap().unwrap().bytes, b"a10");
    }

    #[test]
    fn what_breaks_the_line_form_is_not_written() {
        let folder = Folder::new("form");
        let mut writer = CaptureWriter::create(&folder.0.join("a.jsonl")).unwrap();
        assert!(writer.write(1, b"two\nlines").is_err());
        assert!(writer.write(1, b"a\ttab").is_err());
    }
}
