//! Looks at a host and says what of it costs an engine latency, how much, and how to change it.
//!
//! Thread: any, before trading. Allocates: yes. Blocks: it reads files, and measures for about a second if asked to. Fails:
//! never; what cannot be read is [`Rating::Unknown`], with the reason. Needs no root, and changes nothing.
//!
//! A finding is red only if an engine would stall for milliseconds or not run as told; it keeps `tercel run --live` from
//! arming. What costs microseconds is yellow.

mod apply;
mod card;
mod cores;
mod cpu_list;
mod fingerprint;
mod host;
mod kernel_clock;
mod measure;
mod memory;
mod network;
mod power;
mod real_time;
mod time;

#[cfg(test)]
mod tests;

use serde::Serialize;

pub use apply::Remedy;
pub use card::{Card, Coalescing};
pub use cpu_list::CpuList;
pub use fingerprint::{Fingerprint, fingerprint};
pub use host::Host;
pub use kernel_clock::KernelClock;
pub use measure::{Gaps, Measured};
pub use real_time::{AUTO_PRIORITY, priorities};

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rating {
    /// As it should be.
    Green,
    /// Means nothing on this host.
    NotApplicable,
    /// Cannot be read here.
    Unknown,
    /// Costs latency.
    Yellow,
    /// An engine would stall for milliseconds, or not run as told.
    Red,
}

impl Rating {
    /// The word for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::NotApplicable => "n/a",
            Self::Unknown => "unknown",
            Self::Yellow => "yellow",
            Self::Red => "RED",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its short, stable name.
    pub name: &'static str,
    /// How good it is.
    pub rating: Rating,
    /// What was found; where nothing could be, why.
    pub found: String,
    /// What it costs an engine, or would; empty where nothing is to be said.
    pub cost: String,
    /// Where that figure is from.
    pub source: &'static str,
    /// How to change it; empty where nothing is to be changed.
    pub change: String,
}

impl Finding {
    fn new(name: &'static str, rating: Rating, found: impl Into<String>) -> Self {
        Self { name, rating, found: found.into(), cost: String::new(), source: "", change: String::new() }
    }

    fn unknown(name: &'static str, why: impl Into<String>) -> Self {
        Self::new(name, Rating::Unknown, why)
    }

    fn costs(mut self, cost: impl Into<String>, source: &'static str) -> Self {
        self.cost = cost.into();
        self.source = source;
        self
    }

    /// What to do about it; nothing if it is good already.
    fn change(mut self, change: impl Into<String>) -> Self {
        if matches!(self.rating, Rating::Yellow | Rating::Red | Rating::Unknown) {
            self.change = change.into();
        }
        self
    }
}

/// Where figures come from that this program did not measure on this host.
const MAGNITUDE: &str = "order of magnitude, not measured here";
const KERNEL_DOC: &str = "kernel documentation";
const MEASURED: &str = "measured here";

/// How an engine is to run on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intent {
    /// Cores that its threads are pinned to; empty: none is.
    pub cpus: Vec<usize>,
    /// Its hot threads.
    pub threads: usize,
    /// Whether a thread without work keeps its core.
    pub spins: bool,
    /// Whether it must not run without locked memory.
    pub must_lock: bool,
    /// Interface to the venue; none: that of the default route.
    pub iface: Option<String>,
}

impl Intent {
    fn chosen(&self) -> CpuList {
        self.cpus.iter().copied().collect()
    }
}

/// All findings about a host.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// What matters of the host, in short.
    pub fingerprint: Fingerprint,
    /// Measured in passing; none if that was not wanted.
    pub measured: Option<Measured>,
    /// The findings, by subject.
    pub findings: Vec<Finding>,
}

impl Examination {
    /// Examines a host; `measured` are figures of the same host, if they were taken.
    pub fn of(host: &Host, intent: &Intent, measured: Option<Measured>) -> Self {
        let mut findings = cores::findings(host, intent);
        findings.extend(power::findings(host, intent));
        findings.extend(time::findings(host, measured.as_ref()));
        findings.extend(memory::findings(host, intent));
        findings.extend(network::findings(host, intent));
        if let Some(measured) = &measured {
            findings.extend(measured.findings());
        }
        Self { fingerprint: Fingerprint::of(host), measured, findings }
    }

    /// The red findings.
    pub fn red(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.rating == Rating::Red)
    }

    /// How many findings have this rating.
    pub fn count(&self, rating: Rating) -> usize {
        self.findings.iter().filter(|finding| finding.rating == rating).count()
    }
}
