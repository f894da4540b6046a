//! What was played, on the disk: a line of JSON for each configuration and capture, synced before it counts.
//!
//! The first line says what the others are worth: program, base configuration, captures and how they are read. A sweep that goes on
//! finds its finished jobs here; a line that was being written when the process died is cut off. One process at a time.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome};
use crate::market::CaptureKey;
use crate::trial::FoldResult;

/// The form of the lines.
const FORM: u32 = 1;

/// What makes lines comparable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The form of the lines.
    form: u32,
    /// The program's version.
    program: String,
    /// What the base configuration means.
    base: String,
    /// Captures, in the order of time.
    captures: Vec<CaptureKey>,
    /// Distance of two samples.
    sample_ns: u64,
    /// Length of a window.
    window_ns: Option<u64>,
    /// What the command line says of instruments and books.
    reading: String,
}

impl Header {
    /// What a sweep is about.
    pub fn new(base: &str, captures: Vec<CaptureKey>, sample_ns: u64, window_ns: Option<u64>, reading: String) -> Self {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        Self { form: FORM, program, base: base.to_owned(), captures, sample_ns, window_ns, reading }
    }

    /// What differs, in words.
    fn differences(&self, other: &Self) -> Vec<String> {
        let mut out = Vec::new();
        let mut say = |differs: bool, text: &str| {
            if differs {
                out.push(text.to_owned());
            }
        };
        say(self.form != other.form || self.program != other.program, "the program's version");
        say(self.base != other.base, "the base configuration (or a file of latencies that it names)");
        say(self.sample_ns != other.sample_ns, "the distance of samples");
        say(self.window_ns != other.window_ns, "the length of windows");
        say(self.reading != other.reading, "how captures are read (--venue, --instruments, --assume-empty)");
        for capture in &self.captures {
            if !other.captures.contains(capture) {
                out.push(format!("capture {}", capture.name));
            }
        }
        if self.captures.len() != other.captures.len() {
            out.push(format!("the number of captures, {} and {}", self.captures.len(), other.captures.len()));
        }
        if out.is_empty() && self != other {
            out.push("the order of captures".to_owned());
        }
        out
    }
}

/// One job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The configuration's key.
    pub set: String,
    /// The capture's key.
    pub capture: String,
    /// The parameters, for people.
    pub parameters: String,
    /// Fold by fold.
    pub results: Vec<FoldResult>,
}

/// By set and capture.
pub type Done = HashMap<(String, String), Vec<FoldResult>>;

/// See the module's documentation.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
    done: Done,
}

impl Log {
    /// Opens the log of a folder, or begins it; with `fresh` what it holds is forgotten.
    ///
    /// # Errors
    /// Another process has it, it is of another sweep, a line in its middle is damaged, or the system's word.
    pub fn open(folder: &Path, header: &Header, fresh: bool) -> Outcome<Self> {
        let path = folder.join("jobs.jsonl");
        let failed = |e: std::io::Error| Failure::file(&path, e);
        std::fs::create_dir_all(folder).map_err(|e| Failure::file(folder, e))?;
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        file.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => Failure::from(format!("{}: another sweep is writing it", path.display())),
            TryLockError::Error(e) => failed(e),
        })?;
        if fresh {
            file.set_len(0).map_err(failed)?;
        }
        let mut log = Self { file, path: path.clone(), done: Done::new() };
        let (found, whole) = log.read()?;
        log.file.set_len(whole).map_err(failed)?;
        log.file.seek(SeekFrom::End(0)).map_err(failed)?;
        match found {
            None => {
                log.write(header)?;
                // The file's name is on the disk with its first line.
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| Failure::file(folder, e))?;
            }
            Some(found) if found == *header => {}
            Some(found) => {
                return Err(Failure::usage(format!(
                    "{} holds another sweep: changed {}; --fresh forgets it, another --out keeps both",
                    folder.display(),
                    found.differences(header).join(", ")
                )));
            }
        }
        Ok(log)
    }

    /// Reads everything; returns the header, and how many bytes are whole lines.
    fn read(&mut self) -> Outcome<(Option<Header>, u64)> {
        let failed = |e: std::io::Error| Failure::file(&self.path, e);
        let mut reader = BufReader::new(&self.file);
        let (mut header, mut whole, mut number) = (None, 0, 0u64);
        let mut line = Vec::new();
        let mut damaged: Option<(u64, String)> = None;
        loop {
            line.clear();
            let bytes = reader.read_until(b'\n', &mut line).map_err(failed)? as u64;
            if bytes == 0 || line.last() != Some(&b'\n') {
                // Nothing, or what was being written.
                break;
            }
            if let Some((number, error)) = damaged {
                return Err(Failure::file(&self.path, format!("line {number}: {error}; --fresh starts anew")));
            }
            number += 1;
            let read = match header {
                None => serde_json::from_slice(&line).map(|found| header = Some(found)),
                Some(_) => serde_json::from_slice(&line).map(|job: Job| {
                    self.done.insert((job.set, job.capture), job.results);
                }),
            };
            match read {
                Ok(()) => whole += bytes,
                // At the end it is a write that did not get whole; in the middle it is not ours to pass over.
                Err(error) => damaged = Some((number, error.to_string())),
            }
        }
        if let Some((number, error)) = damaged
            && header.is_none()
        {
            return Err(Failure::file(&self.path, format!("line {number} is no sweep: {error}; --fresh replaces it")));
        }
        Ok((header, whole))
    }

    fn write(&mut self, line: &impl Serialize) -> Outcome {
        let failed = |e: std::io::Error| Failure::file(&self.path, e);
        let mut text = serde_json::to_string(line).map_err(|e| Failure::file(&self.path, e))?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(failed)?;
        self.file.sync_data().map_err(failed)
    }

    /// Appends a job. It is on the disk when this returns.
    ///
    /// # Errors
    /// The system's word.
    pub fn append(&mut self, job: Job) -> Outcome {
        self.write(&job)?;
        self.done.insert((job.set, job.capture), job.results);
        Ok(())
    }

    /// What is done.
    pub fn done(&self) -> &Done {
        &self.done
    }

    /// Sets that were played here and are none of `known`: of an earlier grid.
    pub fn others(&self, known: &HashSet<&str>) -> u64 {
        let others: HashSet<&str> =
            self.done.keys().map(|(set, _)| set.as_str()).filter(|set| !known.contains(set)).collect();
        others.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tercel-sweep-log-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn capture(key: &str) -> CaptureKey {
        CaptureKey { name: format!("{key}.jsonl"), bytes: 1, key: key.to_owned() }
    }

    fn header() -> Header {
        Header::new("base", vec![capture("a"), capture("b")], 1, None, String::new())
    }

    fn job(set: &str) -> Job {
        let results = vec![FoldResult { failure: Some("no".to_owned()), figures: None }];
        Job { set: set.to_owned(), capture: "a".to_owned(), parameters: String::new(), results }
    }

    #[test]
    fn a_torn_tail_is_cut_and_the_rest_is_kept() {
        let folder = Folder::new("torn");
        let path = folder.0.join("jobs.jsonl");
        let mut log = Log::open(&folder.0, &header(), false).unwrap();
        log.append(job("1")).unwrap();
        log.append(job("2")).unwrap();
        drop(log);
        let whole = std::fs::read(&path).unwrap();
        for torn in [&b"{\"set\":\"3\",\"cap"[..], b"{\"set\":\"3\n", b"\0\0\0\0"] {
            std::fs::write(&path, [&whole, torn].concat()).unwrap();
            let log = Log::open(&folder.0, &header(), false).unwrap();
            assert_eq!(log.done().len(), 2);
            drop(log);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        // A header that is torn was never followed by anything.
        std::fs::write(&path, &whole[..10]).unwrap();
        assert!(Log::open(&folder.0, &header(), false).unwrap().done().is_empty());
        // Damage in the middle is not a torn tail.
        let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
        std::fs::write(&path, [lines[0], b"{}\n", lines[2]].concat()).unwrap();
        assert!(Log::open(&folder.0, &header(), false).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn another_sweep_is_refused_by_name_and_forgotten_if_asked() {
        let folder = Folder::new("other");
        let mut log = Log::open(&folder.0, &header(), false).unwrap();
        log.append(job("1")).unwrap();
        assert!(Log::open(&folder.0, &header(), false).unwrap_err().to_string().contains("another sweep is writing"));
        drop(log);
        let changed = |change: fn(&mut Header)| {
            let mut header = header();
            change(&mut header);
            Log::open(&folder.0, &header, false).unwrap_err().to_string()
        };
        assert!(changed(|it| it.base = "x".to_owned()).contains("changed the base configuration"));
        assert!(changed(|it| it.captures[1].key = "x".to_owned()).contains("changed capture b.jsonl"));
        assert!(changed(|it| it.captures.truncate(1)).contains("2 and 1"));
        assert!(changed(|it| it.captures.reverse()).contains("the order"));
        assert!(changed(|it| it.sample_ns = 9).contains("samples"));
        assert!(changed(|it| it.window_ns = Some(9)).contains("windows"));
        assert!(changed(|it| it.program = "0".to_owned()).contains("version"));
        assert_eq!(Log::open(&folder.0, &header(), false).unwrap().done().len(), 1);
        let mut other = header();
        other.base = "x".to_owned();
        assert!(Log::open(&folder.0, &other, true).unwrap().done().is_empty());
    }
}
