//! What is written gets its name when it is whole; what is not leaves nothing.

use std::path::{Path, PathBuf};

use tercel::journal::{CaptureMeta, CaptureWriter, meta_path, side_snapshots};

use crate::failure::{Failure, Outcome};

/// A folder beside the file to be written, that goes away with this value.
pub struct Staging {
    folder: PathBuf,
    target: PathBuf,
}

impl Staging {
    /// Makes the folder. Two processes do not share one.
    ///
    /// # Errors
    /// `target` exists and `force` is not set, or the system's word.
    pub fn create(target: &Path, force: bool) -> Outcome<Self> {
        check_free(target, force)?;
        let folder = target.with_file_name(format!(".{}.{}", file_name(target), std::process::id()));
        std::fs::create_dir(&folder).map_err(|e| Failure::file(&folder, e))?;
        Ok(Self { folder, target: target.to_owned() })
    }

    /// Where a file of that name is until it is whole.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the target is until it is whole.
    pub fn target(&self) -> PathBuf {
        self.path(&file_name(&self.target))
    }

    /// Gives a file its name.
    ///
    /// # Errors
    /// The system's word.
    pub fn publish(&self, name: &str) -> Outcome {
        let target = self.target.with_file_name(name);
        std::fs::rename(self.path(name), &target).map_err(|e| Failure::file(&target, e))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What is left in it is not whole.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn check_free(path: &Path, force: bool) -> Outcome {
    if path.exists() && !force {
        return Err(Failure::usage(format!("{} exists; --force replaces it", path.display())));
    }
    Ok(())
}

/// The last part of a path.
pub fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A capture in the making, with its sidecar and the files of snapshots beside it.
pub struct Output {
    target: PathBuf,
    main: CaptureWriter,
    /// Each with its symbol and its name.
    sides: Vec<(String, String, CaptureWriter)>,
    staging: Staging,
}

impl Output {
    /// Begins a capture; its name says how it is compressed.
    ///
    /// # Errors
    /// The name is not one of a capture, or it, its sidecar or a snapshot of it exists and `force` is not set.
    pub fn create(target: &Path, force: bool) -> Outcome<Self> {
        let name = file_name(target);
        if ![".jsonl", ".jsonl.gz", ".jsonl.zst"].iter().any(|ending| name.ends_with(ending)) {
            let allowed = "allowed are names that end in .jsonl, .jsonl.gz or .jsonl.zst";
            return Err(Failure::usage(format!("--out: found `{}`, {allowed}", target.display())));
        }
        check_free(&meta_path(target), force)?;
        for (side, _) in side_snapshots(target) {
            check_free(&side, force)?;
        }
        let staging = Staging::create(target, force)?;
        let main = CaptureWriter::create(&staging.target()).map_err(|e| Failure::file(target, e))?;
        Ok(Self { target: target.to_owned(), main, sides: Vec::new(), staging })
    }

    /// Appends a message.
    ///
    /// # Errors
    /// The system's word, or a message that the line form cannot hold.
    pub fn append(&mut self, recv_ns: u64, message: &[u8]) -> Outcome {
        self.main.append(recv_ns, message).map_err(|e| Failure::file(&self.target, e))
    }

    /// Appends a REST snapshot of `symbol`, which does not say whose it is: to a file beside the capture.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_snapshot(&mut self, symbol: &str, recv_ns: u64, message: &[u8]) -> Outcome {
        let idx = match self.sides.iter().position(|(known, ..)| known == symbol) {
            Some(idx) => idx,
            None => {
                let main = file_name(&self.target);
                let (stem, ending) = main.split_once(".jsonl").unwrap_or((&main, ""));
                let name = format!("{stem}.snapshot-{}.jsonl{ending}", symbol.to_ascii_lowercase());
                let side = self.staging.path(&name);
                let writer = CaptureWriter::create(&side).map_err(|e| Failure::file(&side, e))?;
                self.sides.push((symbol.to_owned(), name, writer));
                self.sides.len() - 1
            }
        };
        self.sides[idx].2.append(recv_ns, message).map_err(|e| Failure::file(&self.target, e))
    }

    /// Messages and their bytes so far.
    pub fn written(&self) -> (u64, u64) {
        let sides = self.sides.iter().map(|(_, _, writer)| writer.written());
        sides.fold(self.main.written(), |all, one| (all.0 + one.0, all.1 + one.1))
    }

    /// Completes everything. `meta` is asked for the sidecar when the messages are whole, and told where they are.
    ///
    /// # Errors
    /// What `meta` says, or the system.
    pub fn finish(self, meta: impl FnOnce(&Path) -> Outcome<CaptureMeta>) -> Outcome<CaptureMeta> {
        let Self { target, main, sides, staging } = self;
        main.finish().map_err(|e| Failure::file(&target, e))?;
        let mut names = Vec::new();
        for (_, name, writer) in sides {
            writer.finish().map_err(|e| Failure::file(&target, e))?;
            names.push(name);
        }
        let meta = meta(&staging.target())?;
        let sidecar = meta_path(&staging.target());
        meta.write(&sidecar).map_err(|e| Failure::from(e.to_string()))?;
        // Snapshots of a capture that is replaced would be taken for this one's.
        for (stale, _) in side_snapshots(&target) {
            std::fs::remove_file(&stale).map_err(|e| Failure::file(&stale, e))?;
        }
        // The capture comes last: one without its sidecar would be guessed at.
        names.extend([file_name(&sidecar), file_name(&target)]);
        for name in names {
            staging.publish(&name)?;
        }
        Ok(meta)
    }
}
