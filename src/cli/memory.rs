//! Resident memory of this process.

use serde::Serialize;

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

    /// Takes the figures of the end.
    pub fn end(mut self) -> Self {
        self.end = field("VmRSS:");
        self.max = field("VmHWM:");
        self
    }
}

/// A field of the system's status of this process, in bytes; 0 where there is none.
fn field(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
