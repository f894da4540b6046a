//! Latencies of a simulation, from the configuration and the files that it names.

use std::collections::HashMap;
use std::path::Path;
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
    let mut file = path.to_owned();
    if path.is_dir() {
        // Runs count upwards, and their names with them: the newest is the last.
        let newest = journals(path).map_err(|e| failed(path, &e))?.pop();
        file = newest
            .and_then(|journal| journal.segments.into_iter().next())
            .ok_or_else(|| BacktestError::usage(format!("{}: holds no journal (*.tj)", path.display())))?;
    }
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
}
