//! Which duties run on which threads: `feed + core | gateway`.

use std::fmt;
use std::str::FromStr;

/// A kind of duty that a topology places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DutyKind {
    /// Reads and decodes market data.
    Feed,
    /// Decides.
    Core,
    /// Sends orders and reads what becomes of them.
    Gateway,
}

impl DutyKind {
    /// Every kind, in the order of the data.
    pub const ALL: [Self; 3] = [Self::Feed, Self::Core, Self::Gateway];

    /// The name in a topology.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::Core => "core",
            Self::Gateway => "gateway",
        }
    }
}

/// Threads, each with its duties in the order in which they are polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    threads: Vec<Vec<DutyKind>>,
}

/// Why a text is no topology.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// A name that is no duty.
    #[error("`{found}` is no duty; allowed are feed, core, gateway")]
    UnknownDuty {
        /// The name.
        found: String,
    },
    /// A duty that stands twice.
    #[error("duty `{0}` stands twice")]
    Twice(&'static str),
    /// A duty that stands nowhere.
    #[error("duty `{0}` is missing; a topology places feed, core and gateway once each, like `feed + core | gateway`")]
    Missing(&'static str),
}

impl Topology {
    /// Everything on one thread.
    pub fn single() -> Self {
        Self { threads: vec![DutyKind::ALL.to_vec()] }
    }

    /// The duties of each thread.
    pub fn threads(&self) -> &[Vec<DutyKind>] {
        &self.threads
    }
}

impl FromStr for Topology {
    type Err = TopologyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut seen = Vec::new();
        let mut threads = Vec::new();
        for part in text.split('|') {
            let mut duties = Vec::new();
            for word in part.split(['+', ',']) {
                let word = word.trim();
                let kind = DutyKind::ALL.into_iter().find(|kind| kind.name() == word);
                let kind = kind.ok_or_else(|| TopologyError::UnknownDuty { found: word.to_owned() })?;
                if seen.contains(&kind) {
                    return Err(TopologyError::Twice(kind.name()));
                }
                seen.push(kind);
                duties.push(kind);
            }
            threads.push(duties);
        }
        match DutyKind::ALL.into_iter().find(|kind| !seen.contains(kind)) {
            Some(missing) => Err(TopologyError::Missing(missing.name())),
            None => Ok(Self { threads }),
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads: Vec<String> =
            self.threads.iter().map(|duties| duties.iter().map(|d| d.name()).collect::<Vec<_>>().join("+")).collect();
        f.write_str(&threads.join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_prints() {
        for text in ["feed+core+gateway", "feed+core | gateway", "feed | core | gateway", "gateway | feed+core"] {
            assert_eq!(text.parse::<Topology>().unwrap().to_string(), text);
        }
        assert_eq!(Topology::single().to_string(), "feed+core+gateway");
    }

    #[test]
    fn refuses_with_the_offending_word() {
        let error = |text: &str| text.parse::<Topology>().unwrap_err();
        assert_eq!(error("feed | croe | gateway"), TopologyError::UnknownDuty { found: "croe".into() });
        assert_eq!(error("feed+feed | core | gateway"), TopologyError::Twice("feed"));
        assert_eq!(error("feed | core"), TopologyError::Missing("gateway"));
        assert_eq!(error(""), TopologyError::UnknownDuty { found: String::new() });
    }
}
