//! The number of a run, in every order id: it never comes again, also not over restarts.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Failure;

/// Where the last run's number is remembered unless the configuration says otherwise:
/// `$XDG_STATE_HOME/tercel/run-id`, or `~/.local/state/tercel/run-id`.
pub fn default_file() -> Result<PathBuf, Failure> {
    let under = |name: &str, rest: &str| std::env::var_os(name).map(|dir| PathBuf::from(dir).join(rest));
    let dir = under("XDG_STATE_HOME", "tercel").or_else(|| under("HOME", ".local/state/tercel"));
    dir.map(|dir| dir.join("run-id"))
        .ok_or_else(|| Failure::usage("no HOME to remember the run's number in: set orders.run-id-file"))
}

/// Takes the next number: above the last one in `file`, and not below `unix_s`, so that a lost file repeats nothing either.
/// The file is locked meanwhile and on the disk before this returns.
///
/// # Errors
/// A file that cannot be locked, read or written, or that holds something else. No number is used then.
pub fn next(file: &Path, unix_s: u32) -> Result<u32, Failure> {
    let fail = |what: &str, e: &dyn std::fmt::Display| {
        Failure::from(format!("{}: {what}: {e}; without it order ids might repeat", file.display()))
    };
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).map_err(|e| fail("cannot make its folder", &e))?;
    }
    let mut options = OpenOptions::new();
    let mut stored: File = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(file)
        .map_err(|e| fail("cannot be opened", &e))?;
    stored.lock().map_err(|e| fail("cannot be locked", &e))?;
    let mut text = String::new();
    stored.read_to_string(&mut text).map_err(|e| fail("cannot be read", &e))?;
    let last = match text.trim() {
        "" => 0,
        text => text.parse::<u32>().map_err(|_| fail("holds no number", &format!("found `{text}`")))?,
    };
    let next = last.checked_add(1).ok_or_else(|| fail("is used up", &last))?.max(unix_s);
    // As long as the number before or longer, so that nothing of that is left behind it.
    stored
        .seek(SeekFrom::Start(0))
        .and_then(|_| writeln!(stored, "{next}"))
        .and_then(|()| stored.sync_all())
        .map_err(|e| fail("cannot be written", &e))?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_over_restarts_and_lost_files() {
        let dir = std::env::temp_dir().join(format!("tercel-run-id-{}", std::process::id()));
        let file = dir.join("deep/run-id");
        assert_eq!(next(&file, 100).unwrap(), 100);
        assert_eq!(next(&file, 100).unwrap(), 101, "twice in a second");
        assert_eq!(next(&file, 90).unwrap(), 102, "a clock that went back");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(next(&file, 200).unwrap(), 200);
        std::fs::write(&file, "many").unwrap();
        assert!(next(&file, 300).unwrap_err().text.contains("holds no number"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "many", "nothing is overwritten");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn numbers_taken_at_once_differ() {
        let dir = std::env::temp_dir().join(format!("tercel-run-ids-{}", std::process::id()));
        let file = dir.join("run-id");
        let take = || (0..20).map(|_| next(&file, 7).unwrap()).collect::<Vec<u32>>();
        let mut all: Vec<u32> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 80);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
