//! Capture files: one message a line, as received.
//!
//! ```text
//! <receive time, unix nanoseconds>\t<raw message>\n
//! ```
//!
//! Plain, gzip or zstd, told apart by their first bytes. A receive time of 0 means that the recorder took none.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Longest line in bytes; the longest captured one has 48 kB, a snapshot of 5,000 levels a side 400 kB.
const LINE_BYTES_MAX: usize = 8 << 20;

/// Why a capture cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The system's word, or a damaged compressed stream.
    #[error("{}, line {line}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Line at which it happened, from 1.
        line: u64,
        /// What happened.
        source: io::Error,
    },
    /// A line without a tab or without a time.
    #[error("{}, line {line}: should be `<nanoseconds>\\t<message>`, starts with `{found}`", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Its beginning.
        found: String,
    },
    /// A line too long to be a message.
    #[error("{}, line {line}: longer than {allowed} bytes", file.display())]
    TooLong {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Longest allowed.
        allowed: usize,
    },
}

/// Reads a capture line by line, in bounded memory.
pub struct CaptureReader {
    input: Box<dyn BufRead + Send>,
    file: PathBuf,
    line: u64,
    buffer: Vec<u8>,
}

impl CaptureReader {
    /// Opens a capture.
    ///
    /// # Errors
    /// [`CaptureError::Io`] if it cannot be opened.
    pub fn open(file: &Path) -> Result<Self, CaptureError> {
        let error = |source| CaptureError::Io { file: file.to_owned(), line: 0, source };
        let mut raw = BufReader::with_capacity(1 << 18, File::open(file).map_err(error)?);
        let magic = raw.fill_buf().map_err(error)?;
        let input: Box<dyn BufRead + Send> = match magic {
            [0x1f, 0x8b, ..] => Box::new(BufReader::with_capacity(1 << 18, flate2::bufread::MultiGzDecoder::new(raw))),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let decoder = zstd::stream::read::Decoder::with_buffer(raw).map_err(error)?;
                Box::new(BufReader::with_capacity(1 << 18, decoder))
            }
            _ => Box::new(raw),
        };
        Ok(Self { input, file: file.to_owned(), line: 0, buffer: Vec::new() })
    }

    /// Returns receive time and message of the next line, or `None` at the end. What was whole before a damaged part is
    /// returned first.
    ///
    /// # Errors
    /// [`CaptureError`], with file and line.
    pub fn next_line(&mut self) -> Result<Option<(u64, &[u8])>, CaptureError> {
        loop {
            self.buffer.clear();
            self.line += 1;
            let limit = LINE_BYTES_MAX as u64 + 1;
            let read = (&mut self.input).take(limit).read_until(b'\n', &mut self.buffer);
            let count = read.map_err(|source| CaptureError::Io { file: self.file.clone(), line: self.line, source })?;
            if count == 0 {
                return Ok(None);
            }
            if count > LINE_BYTES_MAX {
                return Err(CaptureError::TooLong {
                    file: self.file.clone(),
                    line: self.line,
                    allowed: LINE_BYTES_MAX,
                });
            }
            if self.buffer.iter().any(|byte| !byte.is_ascii_whitespace()) {
                break;
            }
        }
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let split = line.iter().position(|&byte| byte == b'\t').and_then(|tab| {
            let time = std::str::from_utf8(&line[..tab]).ok()?.parse().ok()?;
            Some((time, tab + 1))
        });
        match split {
            Some((time, start)) => Ok(Some((time, &line[start..]))),
            None => {
                let found = String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
                Err(CaptureError::Line { file: self.file.clone(), line: self.line, found })
            }
        }
    }

    /// Lines read so far.
    pub fn line(&self) -> u64 {
        self.line
    }
}

enum Sink {
    Plain(BufWriter<File>),
    Gzip(flate2::write::GzEncoder<BufWriter<File>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<File>>),
}

/// Writes a capture. It appears under its name when it is finished, and not before: until then it is `NAME.part`.
pub struct CaptureWriter {
    sink: Sink,
    part: PathBuf,
    path: PathBuf,
    lines: u64,
    bytes: u64,
}

impl CaptureWriter {
    /// Creates a capture; `.gz` and `.zst` compress.
    ///
    /// # Errors
    /// Whatever the system says; a capture of that name is not overwritten.
    pub fn create(path: &Path) -> io::Result<Self> {
        if path.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists", path.display())));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = BufWriter::with_capacity(1 << 18, File::create(&part)?);
        let sink = match path.extension().and_then(|e| e.to_str()) {
            Some("gz") => Sink::Gzip(flate2::write::GzEncoder::new(file, flate2::Compression::default())),
            Some("zst") => Sink::Zstd(zstd::stream::write::Encoder::new(file, 3)?),
            _ => Sink::Plain(file),
        };
        Ok(Self { sink, part, path: path.to_owned(), lines: 0, bytes: 0 })
    }

    /// Appends a message. One with a tab, a line break or a carriage return in it is refused: the line form cannot hold
    /// it, and no venue sends one.
    ///
    /// # Errors
    /// Whatever the system says, or `InvalidData`.
    pub fn append(&mut self, recv_ns: u64, message: &[u8]) -> io::Result<()> {
        if message.iter().any(|byte| matches!(byte, b'\t' | b'\n' | b'\r')) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "message holds a tab or a line break"));
        }
        let out: &mut dyn Write = match &mut self.sink {
            Sink::Plain(out) => out,
            Sink::Gzip(out) => out,
            Sink::Zstd(out) => out,
        };
        write!(out, "{recv_ns}\t")?;
        out.write_all(message)?;
        out.write_all(b"\n")?;
        self.lines += 1;
        self.bytes += message.len() as u64;
        Ok(())
    }

    /// Lines and message bytes so far.
    pub fn written(&self) -> (u64, u64) {
        (self.lines, self.bytes)
    }

    /// Removes what was written.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn discard(self) -> io::Result<()> {
        std::fs::remove_file(&self.part)
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn finish(self) -> io::Result<()> {
        let file = match self.sink {
            Sink::Plain(out) => out,
            Sink::Gzip(out) => out.finish()?,
            Sink::Zstd(out) => out.finish()?,
        };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_data()?;
        std::fs::rename(&self.part, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("tercel-capture-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn lines(path: &Path) -> (Vec<(u64, Vec<u8>)>, Option<CaptureError>) {
        let mut reader = CaptureReader::open(path).unwrap();
        let mut lines = Vec::new();
        loop {
            match reader.next_line() {
                Ok(Some((time, message))) => lines.push((time, message.to_vec())),
                Ok(None) => return (lines, None),
                Err(error) => return (lines, Some(error)),
            }
        }
    }

    #[test]
    fn what_is_written_is_read_in_every_compression() {
        let dir = dir("round");
        for name in ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"] {
            let path = dir.join(name);
            let mut writer = CaptureWriter::create(&path).unwrap();
            for n in 0..1000u64 {
                writer.append(n, format!("{{\"n\":{n}}}").as_bytes()).unwrap();
            }
            assert!(writer.append(1, b"a\tb").is_err());
            assert!(!path.exists(), "it has no name before it is whole");
            writer.finish().unwrap();
            let (lines, error) = lines(&path);
            assert!(error.is_none());
            assert_eq!(lines.len(), 1000);
            assert_eq!(lines[999], (999, b"{\"n\":999}".to_vec()));
            assert!(CaptureWriter::create(&path).is_err(), "it is not overwritten");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_cut_file_gives_what_is_whole_and_then_an_error() {
        let dir = dir("cut");
        let path = dir.join("a.jsonl.gz");
        let mut writer = CaptureWriter::create(&path).unwrap();
        for n in 0..20_000u64 {
            writer.append(n, format!("{{\"n\":{}}}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let (lines, error) = lines(&path);
        assert!(lines.len() > 1000, "{}", lines.len());
        assert!(matches!(error, Some(CaptureError::Io { .. })));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn errors_name_the_line() {
        let dir = dir("line");
        let path = dir.join("a.jsonl");
        std::fs::write(&path, "1\t{}\n\nnonsense\n").unwrap();
        let (lines, error) = lines(&path);
        assert_eq!(lines.len(), 1);
        assert!(
            error
                .unwrap()
                .to_string()
                .ends_with("line 3: should be `<nanoseconds>\\t<message>`, starts with `nonsense`")
        );
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
