//! Resident memory of this process.

use serde::Serialize;

use super::Failure;
use crate::runtime::{LockError, LockMemory, lock_memory};

/// Resident bytes at the start (after everything was set up), at the end, and at most.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RssBytes {
    /// When trading or replaying began.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// The most over the whole life of the process, loading included.
    pub max: u64,
}

impl RssBytes {
    /// Begins to watch.
    pub fn begin() -> Self {
        Self { start: field("VmRSS:"), ..Self::default() }
    }

    /// What is resident now; 0 where the system does not say.
    pub fn now() -> u64 {
        field("VmRSS:")
    }

    /// Takes the figures of the end.
    pub fn end(mut self) -> Self {
        self.end = field("VmRSS:");
        self.max = field("VmHWM:");
        self
    }
}

/// Locks the memory of this process as the configuration wants it, and says in a line what came of it.
///
/// # Errors
/// It must be locked, and cannot be.
pub fn lock(wanted: LockMemory) -> Result<(), Failure> {
    if wanted == LockMemory::No {
        return Ok(());
    }
    let before = field("VmRSS:");
    let outcome = lock_memory(wanted).map(|bytes| match wanted {
        LockMemory::Yes => {
            format!("memory: {} MiB locked and filled, {} MiB were resident before", bytes >> 20, before >> 20)
        }
        _ => format!("memory: locked from the first use of each page on, {} MiB until now", before >> 20),
    });
    eprintln!("{}", verdict(wanted, outcome)?);
    Ok(())
}

fn verdict(wanted: LockMemory, outcome: Result<String, LockError>) -> Result<String, Failure> {
    match outcome {
        Err(error) if wanted == LockMemory::Yes => {
            Err(Failure::usage(format!("threads.lock-memory = \"yes\": {error}")))
        }
        Err(error) => Ok(format!("warning: memory is not locked, pages may be taken away while it trades: {error}")),
        Ok(text) => Ok(text),
    }
}

/// A field of the system's status of this process, in bytes; 0 where there is none.
fn field(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_memory_that_must_be_locked_keeps_a_run_from_starting() {
        let refused = || Err(LockError::Limited { limit_bytes: 65_536 });
        let said = verdict(LockMemory::Auto, refused()).unwrap();
        assert!(said.starts_with("warning: ") && said.contains("65536"), "{said}");
        let failure = verdict(LockMemory::Yes, refused()).unwrap_err();
        assert!(failure.exit == super::super::Exit::Usage && failure.text.contains("lock-memory"), "{}", failure.text);
    }
}
