//! The files of journals in a folder: their names, and which of them are kept.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Ending of a journal's files.
const ENDING: &str = "tj";

/// The file of a journal's segment: of `run-0000002a.tj` and 3 it is `run-0000002a.0003.tj`, of 0 the first itself.
pub fn segment_path(first: &Path, segment: u32) -> PathBuf {
    if segment == 0 { first.to_owned() } else { first.with_extension(format!("{segment:04}.{ENDING}")) }
}

/// The first segment of the journal that `file` belongs to.
pub fn first_segment(file: &Path) -> PathBuf {
    match parts(file) {
        Some((stem, _)) => file.with_file_name(format!("{stem}.{ENDING}")),
        None => file.to_owned(),
    }
}

/// A journal file's name without segment and ending, and its segment; `None` for other files.
fn parts(file: &Path) -> Option<(&str, u32)> {
    let stem = file.file_name()?.to_str()?.strip_suffix(ENDING)?.strip_suffix('.')?;
    let numbered = stem.rsplit_once('.').filter(|(_, n)| n.len() >= 4 && n.bytes().all(|b| b.is_ascii_digit()));
    match numbered {
        Some((stem, segment)) => Some((stem, segment.parse().ok()?)),
        None => Some((stem, 0)),
    }
}

/// A journal in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalFiles {
    /// All its segments, in order.
    pub segments: Vec<PathBuf>,
    /// Bytes of them.
    pub bytes: u64,
}

/// The journals in a folder, in the order of their names, which is that of their runs.
///
/// # Errors
/// Whatever the system says.
pub fn journals(folder: &Path) -> io::Result<Vec<JournalFiles>> {
    let mut found: BTreeMap<String, BTreeMap<u32, (PathBuf, u64)>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if let Some((stem, segment)) = parts(&path) {
            // One that is gone meanwhile was removed by another run.
            let Ok(metadata) = entry.metadata() else { continue };
            found.entry(stem.to_owned()).or_default().insert(segment, (path.clone(), metadata.len()));
        }
    }
    let journal = |segments: BTreeMap<u32, (PathBuf, u64)>| JournalFiles {
        bytes: segments.values().map(|(_, bytes)| bytes).sum(),
        segments: segments.into_values().map(|(path, _)| path).collect(),
    };
    Ok(found.into_values().map(journal).collect())
}

/// How many journals of earlier runs a folder keeps. What is set holds together: the oldest go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Most earlier runs.
    pub runs_max: Option<u64>,
    /// Most bytes, those of the current run included.
    pub bytes_max: Option<u64>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Journals.
    pub runs: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Removes the oldest journals of a folder until the rest is what `keep` allows. The journal of `current`, and every other
/// one that is being written, stays whole: a journal without its beginning is worth nothing.
///
/// # Errors
/// Whatever the system says; what was removed before stays removed.
pub fn prune(folder: &Path, current: &Path, keep: Retention) -> io::Result<Removed> {
    let mut removed = Removed::default();
    if keep == Retention::default() {
        return Ok(removed);
    }
    let (ours, others): (Vec<_>, Vec<_>) = journals(folder)?
        .into_iter()
        .partition(|journal| journal.segments.first().is_some_and(|file| file.file_name() == current.file_name()));
    let mut bytes: u64 = ours.iter().chain(&others).map(|journal| journal.bytes).sum();
    let mut count = others.len() as u64;
    for journal in others {
        let is_allowed = keep.runs_max.is_none_or(|max| count <= max) && keep.bytes_max.is_none_or(|max| bytes <= max);
        if is_allowed {
            break;
        }
        if journal.segments.last().is_some_and(|last| is_locked(last)) {
            continue;
        }
        // The last segment first: what is left, should this be cut short, is the beginning of a journal.
        for file in journal.segments.iter().rev() {
            match std::fs::remove_file(file) {
                // Another run that shares the folder was quicker.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        removed.runs += 1;
        removed.bytes += journal.bytes;
        (count, bytes) = (count - 1, bytes - journal.bytes);
    }
    Ok(removed)
}

/// Whether somebody writes the file: its writer holds a lock.
fn is_locked(file: &Path) -> bool {
    File::open(file).is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_segments() {
        let first = Path::new("x/run-0000002a.tj");
        assert_eq!(segment_path(first, 0), first);
        assert_eq!(segment_path(first, 12), Path::new("x/run-0000002a.0012.tj"));
        assert_eq!(first_segment(&segment_path(first, 12)), first);
        assert_eq!(parts(Path::new("run-1.tj")), Some(("run-1", 0)));
        assert_eq!(parts(Path::new("run-1.12345.tj")), Some(("run-1", 12_345)));
        assert_eq!(parts(Path::new("run-1.json")), None);
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("tercel-segments-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for file in ["run-01.tj", "run-01.0001.tj", "run-02.tj", "run-03.tj", "run-03.0001.tj", "notes.txt"] {
            std::fs::write(folder.join(file), [0; 100]).unwrap();
        }
        folder
    }

    fn left(folder: &Path) -> Vec<String> {
        let names = |journal: JournalFiles| {
            journal.segments.into_iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned())
        };
        journals(folder).unwrap().into_iter().flat_map(names).collect()
    }

    #[test]
    fn the_oldest_whole_journals_go_first_and_the_current_one_stays() {
        let folder = folder("oldest");
        let current = folder.join("run-03.tj");
        let prune = |keep| super::prune(&folder, &current, keep).unwrap();
        assert_eq!(prune(Retention::default()), Removed::default());
        assert_eq!(prune(Retention { bytes_max: Some(500), ..Retention::default() }), Removed::default());
        assert_eq!(prune(Retention { bytes_max: Some(499), ..Retention::default() }), Removed { runs: 1, bytes: 200 });
        assert_eq!(left(&folder), ["run-02.tj", "run-03.tj", "run-03.0001.tj"]);
        let none = Retention { runs_max: Some(0), bytes_max: Some(1) };
        assert_eq!(prune(none), Removed { runs: 1, bytes: 100 });
        assert_eq!(left(&folder), ["run-03.tj", "run-03.0001.tj"]);
        assert!(folder.join("notes.txt").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_journal_that_is_being_written_stays() {
        let folder = folder("locked");
        let writing = File::options().write(true).open(folder.join("run-01.0001.tj")).unwrap();
        writing.lock().unwrap();
        let keep = Retention { runs_max: Some(0), ..Retention::default() };
        assert_eq!(prune(&folder, &folder.join("run-03.tj"), keep).unwrap(), Removed { runs: 1, bytes: 100 });
        assert_eq!(left(&folder), ["run-01.tj", "run-01.0001.tj", "run-03.tj", "run-03.0001.tj"]);
        drop(writing);
        assert_eq!(prune(&folder, &folder.join("run-03.tj"), keep).unwrap().runs, 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
