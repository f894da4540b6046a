//! Latencies of a simulation, from the configuration and the files that it names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::BacktestError;
use crate::config::{Config, LatencyText};
use crate::journal::{JournalReader, JournalSteps, journals};
use crate::runtime::SimLatency;
use crate::sim::Latency;
use crate::types::Event;

/// The latencies that the configuration describes.
///
/// # Errors
/// A file that cannot be read or holds none: which, and what was found.
pub fn sim_latency(config: &Config) -> Result<SimLatency, BacktestError> {
    let way = |text: &LatencyText| {
        Ok::<_, BacktestError>(match text {
            LatencyText::Constant(span) => Latency::Constant(span.0),
            LatencyText::Recorded(path) => Latency::Drawn(recorded(path)?),
            LatencyText::Sequence(path) => Latency::Sequence(recorded(path)?),
            LatencyText::Load { base, service } => Latency::Load { base_ns: base.0, service_ns: service.0 },
        })
    };
    let simex = &config.simex;
    Ok(SimLatency {
        feed: way(&simex.feed_latency)?,
        entry: way(&simex.entry_latency)?,
        ack: way(&simex.ack_latency)?,
        seed: simex.seed,
    })
}

/// Which journal is taken of a folder of several, for each latency that is read from one: lines for people.
///
/// # Errors
/// A folder that cannot be read or holds no journal.
pub(super) fn choices(config: &Config) -> Result<Vec<String>, BacktestError> {
    let simex = &config.simex;
    let ways = [("feed", &simex.feed_latency), ("entry", &simex.entry_latency), ("ack", &simex.ack_latency)];
    let mut lines = Vec::new();
    for (way, text) in ways {
        let (LatencyText::Recorded(path) | LatencyText::Sequence(path)) = text else { continue };
        if path.is_dir() {
            let (newest, count) = newest_of(path)?;
            if count > 1 {
                lines.push(format!("{way}-latency is taken from {}, the newest of {count} journals", newest.display()));
            }
        }
    }
    Ok(lines)
}

/// The newest journal of a folder, and of how many.
fn newest_of(folder: &Path) -> Result<(PathBuf, usize), BacktestError> {
    let found = journals(folder).map_err(|e| BacktestError::failed(format!("{}: {e}", folder.display())))?;
    let count = found.len();
    // Runs count upwards, and their names with them: the newest is the last.
    let newest = found.into_iter().next_back().and_then(|journal| journal.segments.into_iter().next());
    let newest =
        newest.ok_or_else(|| BacktestError::usage(format!("{}: holds no journal (*.tj)", folder.display())))?;
    Ok((newest, count))
}

/// Nanoseconds from a text file, one number a line, or from a journal: half of each order's way from the write of its request to the
/// venue's answer, since one clock cannot tell the two ways apart.
fn recorded(path: &Path) -> Result<Arc<[u64]>, BacktestError> {
    let is_journal = path.is_dir() || path.extension().is_some_and(|e| e == "tj");
    let found = if is_journal { from_journal(path)? } else { from_text(path)? };
    if found.is_empty() {
        return Err(BacktestError::usage(format!("{}: holds no latency", path.display())));
    }
    Ok(found.into())
}

fn from_text(path: &Path) -> Result<Vec<u64>, BacktestError> {
    let text = std::fs::read_to_string(path).map_err(|e| BacktestError::usage(format!("{}: {e}", path.display())))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(idx, line)| {
            line.trim().parse().map_err(|_| {
                BacktestError::usage(format!(
                    "{}, line {}: found `{line}`, allowed are whole nanoseconds",
                    path.display(),
                    idx + 1
                ))
            })
        })
        .collect()
}

fn from_journal(path: &Path) -> Result<Vec<u64>, BacktestError> {
    let failed =
        |path: &Path, error: &dyn std::fmt::Display| BacktestError::failed(format!("{}: {error}", path.display()));
    let file = if path.is_dir() { newest_of(path)?.0 } else { path.to_owned() };
    let mut steps = JournalSteps::new(JournalReader::open(&file).map_err(|e| failed(&file, &e))?);
    let (mut sent, mut found) = (HashMap::new(), Vec::new());
    while let Some(step) = steps.next_step().map_err(|e| failed(&file, &e))? {
        match step.event {
            Event::Sent(it) => {
                sent.insert((it.client_id, it.request), it.meta.recv);
            }
            Event::Ack(ack) => {
                // The answer may be journaled before the gateway's stamp; such a pair is passed over.
                if let Some(at) = sent.remove(&(ack.client_id, ack.request)) {
                    found.push(ack.meta.recv.saturating_since(at) / 2);
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_or_refused_by_name() {
        let dir = std::env::temp_dir().join(format!("tercel-latency-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("ns.txt");
        std::fs::write(&file, "100\n\n 250 \n").unwrap();
        let mut config = Config::default();
        config.simex.feed_latency = LatencyText::Sequence(file.clone());
        config.simex.ack_latency = "load:1ms+20us".parse().unwrap();
        let found = sim_latency(&config).unwrap();
        assert_eq!(found.feed, Latency::Sequence([100, 250].into()));
        assert_eq!(found.ack, Latency::Load { base_ns: 1_000_000, service_ns: 20_000 });
        for (text, why) in [("", "holds no latency"), ("100\n-1\n", "line 2: found `-1`")] {
            std::fs::write(&file, text).unwrap();
            assert!(sim_latency(&config).unwrap_err().to_string().contains(why), "{why}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(sim_latency(&config).unwrap_err().to_string().contains("ns.txt"));
    }

    #[test]
    fn of_several_journals_the_newest_is_taken_and_named() {
        let dir = std::env::temp_dir().join(format!("tercel-latency-choice-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut config = Config::default();
        config.simex.entry_latency = LatencyText::Recorded(dir.clone());
        assert!(choices(&config).unwrap_err().to_string().contains("holds no journal"));
        std::fs::write(dir.join("run-000001-000000.tj"), "").unwrap();
        assert_eq!(choices(&config).unwrap(), [""; 0], "there is no choice");
        std::fs::write(dir.join("run-000002-000000.tj"), "").unwrap();
        let [line] = &choices(&config).unwrap()[..] else { panic!("one line for one way") };
        assert!(line.starts_with("entry-latency") && line.contains("000002") && line.contains("newest of 2"), "{line}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
