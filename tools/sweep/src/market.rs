//! Captures, looked at once: what they hold, how long they are, and the folds that they are divided into.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tercel::analytics::{MARKS_MAX, SessionConfig};
use tercel::backtest::{Captures, find};
use tercel::config::{Config, Duration};
use tercel::journal::{Capture, CaptureFile, ClockKind, LoadError, Merge, meta_path, side_snapshots};
use tercel::types::Nanos;
use tercel::venue::FeedConfig;

use crate::failure::{Failure, Outcome};
use crate::fingerprint::{fingerprint, fingerprint_file};

/// Most folds of one sweep.
pub const FOLDS_MAX: usize = 10_000;

/// Bytes of messages that are looked at at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Samples for what happens after the last message: a replay goes on until its orders are gone.
const SPARE_SAMPLES: u64 = 64;

/// How captures are to be read, as the command line says.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Venue, instead of a sidecar.
    pub venue: Option<String>,
    /// Instruments, likewise.
    pub instruments: Vec<String>,
    /// A book without a snapshot starts empty at its first delta.
    pub assume_empty: bool,
}

impl Reading {
    /// How the feed treats its messages.
    pub fn feed(&self) -> FeedConfig {
        FeedConfig { book_depth: None, assume_empty: self.assume_empty }
    }
}

/// What identifies a capture, to tell whether it is still the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureKey {
    /// The last part of its path.
    pub name: String,
    /// Size of the file.
    pub bytes: u64,
    /// Fingerprint of it, its sidecar and its snapshot files.
    pub key: String,
}

/// One capture.
#[derive(Debug)]
pub struct Market {
    /// What identifies it.
    pub key: CaptureKey,
    /// What it holds, with the fees of the base configuration.
    pub captures: Captures,
    /// Messages.
    pub messages: u64,
    /// Engine time of the first.
    pub first: Nanos,
    /// Engine time of the last that could be read.
    pub last: Nanos,
    /// What is wrong with it: its trials will fail.
    pub damage: Option<String>,
    /// Its windows; one where it is a fold as a whole.
    pub folds: usize,
}

/// A fold: a window of a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fold {
    /// Which capture.
    pub capture: usize,
    /// Which of its windows.
    pub window: usize,
    /// For people.
    pub name: String,
    /// When it begins.
    pub from_ns: u64,
}

/// Everything that is played, in the order of time.
#[derive(Debug)]
pub struct Markets {
    /// Captures.
    pub all: Vec<Market>,
    /// Folds.
    pub folds: Vec<Fold>,
    /// Distance of two samples of the equity, the same in all of them.
    pub sample_ns: u64,
    /// Length of a window, if captures are divided.
    pub window_ns: Option<u64>,
}

impl Market {
    fn look(
        path: &Path,
        reading: &Reading,
        base: &Config,
        is_asked_to_end: &dyn Fn() -> bool,
        say: &mut dyn FnMut(&str),
    ) -> Outcome<Self> {
        let failed = |e: std::io::Error| Failure::file(path, e);
        let files = [path.to_owned()];
        let captures = find(&files, reading.venue.as_deref(), &reading.instruments, base, say)?;
        if let [one, other, ..] = captures.table.currencies() {
            return Err(Failure::usage(format!(
                "{}: settles in {one} and in {other}; allowed is one currency, for sets are ranked by one equity",
                path.display()
            )));
        }
        let mut parts = vec![fingerprint_file(path).map_err(failed)?];
        let sidecar = Some(meta_path(path)).filter(|sidecar| sidecar.exists());
        for file in sidecar.into_iter().chain(side_snapshots(path).into_iter().map(|(file, _)| file)) {
            parts.push(fingerprint_file(&file).map_err(|e| Failure::file(&file, e))?);
        }
        let key = CaptureKey {
            name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            bytes: std::fs::metadata(path).map_err(failed)?.len(),
            key: fingerprint(parts.join(" ").as_bytes()),
        };
        let mut market =
            Self { key, captures, messages: 0, first: Nanos::ZERO, last: Nanos::ZERO, damage: None, folds: 1 };
        if let Err(error) = market.read_through(is_asked_to_end) {
            market.damage = Some(error.to_string());
        }
        if is_asked_to_end() {
            return Err("interrupted before anything was played".to_owned().into());
        }
        Ok(market)
    }

    fn read_through(&mut self, is_asked_to_end: &dyn Fn() -> bool) -> Result<(), LoadError> {
        let (mut merge, mut piece) = (Merge::open(&self.captures.files)?, Capture::default());
        while !is_asked_to_end() {
            let more = merge.fill(&mut piece, PIECE_BYTES);
            if let Some((first, last)) = piece.span() {
                if self.messages == 0 {
                    self.first = first;
                }
                self.last = last;
                self.messages += piece.len() as u64;
            }
            match more {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn span_ns(&self) -> u64 {
        self.last.saturating_since(self.first)
    }

    fn has_own_clock(&self) -> bool {
        self.captures.files.iter().any(|CaptureFile { clock, .. }| *clock == ClockKind::Mono)
    }
}

impl Markets {
    /// Looks at captures, puts them in the order of time, and divides them.
    ///
    /// # Errors
    /// A file that cannot be read, files that overlap in time, lengths that do not go together.
    pub fn look(
        paths: &[PathBuf],
        reading: &Reading,
        base: &Config,
        window: Option<Duration>,
        sample: Duration,
        is_asked_to_end: &dyn Fn() -> bool,
        say: &mut dyn FnMut(&str),
    ) -> Outcome<Self> {
        let mut all = Vec::new();
        for path in paths {
            all.push(Market::look(path, reading, base, is_asked_to_end, say)?);
        }
        if let Some(own) = all.iter().find(|it| it.has_own_clock())
            && all.len() > 1
        {
            let name = &own.key.name;
            return Err(Failure::usage(format!(
                "{name} has a clock of its own and cannot be put in order with others"
            )));
        }
        all.sort_by_key(|it| it.first);
        for (before, after) in all.iter().zip(all.iter().skip(1)) {
            if after.first < before.last {
                return Err(Failure::usage(format!(
                    "{} and {} overlap in time: what one is chosen by would be what the other is judged by; sweep them one by one",
                    before.key.name, after.key.name
                )));
            }
        }
        for (one, other) in all.iter().zip(all.iter().skip(1)) {
            if one.captures.table.currencies() != other.captures.table.currencies() {
                return Err(Failure::usage(format!(
                    "{} and {} settle in different currencies; sweep them one by one",
                    one.key.name, other.key.name
                )));
            }
        }
        let longest = all.iter().map(Market::span_ns).max().unwrap_or(0);
        let instruments = all.iter().map(|it| it.captures.table.len()).max().unwrap_or(1).max(1);
        let points = SessionConfig::default().points_max.min(MARKS_MAX / instruments) as u64;
        let window_ns = window.map(|window| window.0);
        let sample_ns = sample_ns(sample.0, window_ns, longest, points.saturating_sub(SPARE_SAMPLES).max(2))?;
        for market in &mut all {
            market.folds = window_ns.map_or(1, |window_ns| windows(market.span_ns(), window_ns));
        }
        let folds = folds(&all, window_ns);
        if folds.len() > FOLDS_MAX {
            return Err(Failure::usage(format!(
                "--window: {} makes {} folds, allowed are {FOLDS_MAX}",
                Duration(window_ns.unwrap_or(0)),
                folds.len()
            )));
        }
        Ok(Self { all, folds, sample_ns, window_ns })
    }
}

/// Windows of a capture. What is left at its end is one if it is half as long as the others, and part of the last otherwise.
fn windows(span_ns: u64, window_ns: u64) -> usize {
    let (whole, rest) = (span_ns / window_ns, span_ns % window_ns);
    usize::try_from(whole + u64::from(rest >= window_ns.div_ceil(2))).unwrap_or(usize::MAX).max(1)
}

fn folds(all: &[Market], window_ns: Option<u64>) -> Vec<Fold> {
    let mut out = Vec::new();
    for (capture, market) in all.iter().enumerate() {
        for window in 0..market.folds {
            let from = market.first.saturating_add(window as u64 * window_ns.unwrap_or(0));
            let name = match market.folds {
                1 => market.key.name.clone(),
                _ => format!("{} {} UTC", market.key.name, from.utc_text()),
            };
            out.push(Fold { capture, window, name, from_ns: from.get() });
        }
    }
    out
}

/// The distance of samples: the least multiple of what was asked for at which the longest capture has no more than `points` of them,
/// and which divides a window, so that a window begins and ends with a sample.
fn sample_ns(asked: u64, window_ns: Option<u64>, longest: u64, points: u64) -> Outcome<u64> {
    if asked == 0 {
        return Err(Failure::usage("--sample: found 0, allowed is more"));
    }
    let least = longest.div_ceil(points).div_ceil(asked).max(1);
    let Some(window_ns) = window_ns else { return Ok(least * asked) };
    if window_ns < 2 * asked || !window_ns.is_multiple_of(asked) {
        let (found, asked) = (Duration(window_ns), Duration(asked));
        return Err(Failure::usage(format!(
            "--window: found {found}, allowed are multiples of --sample {asked}, from two on"
        )));
    }
    let parts = window_ns / asked;
    let fits = (least..=parts / 2).find(|multiple| parts.is_multiple_of(*multiple));
    fits.map(|multiple| multiple * asked).ok_or_else(|| {
        let (window, longest) = (Duration(window_ns), longest / 1_000_000_000);
        Failure::usage(format!(
            "--window: {window} cannot be divided so that a capture of {longest} s has at most {points} samples; take a rounder one, or \
             shorter captures"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_rest_is_a_window_from_half_of_one_on() {
        let cases = [(0, 1), (5, 1), (10, 1), (14, 1), (15, 2), (20, 2), (24, 2), (25, 3)];
        for (span, want) in cases {
            assert_eq!(windows(span, 10), want, "{span}");
        }
    }

    #[test]
    fn samples_fit_and_divide_windows() {
        let of = |asked, window, longest, points| sample_ns(asked, window, longest, points).map_err(|e| e.to_string());
        assert_eq!(of(S, None, 100 * S, 8_000), Ok(S));
        assert_eq!(of(S, None, 86_400 * S, 8_000), Ok(11 * S));
        assert_eq!(of(S, Some(3_600 * S), 86_400 * S, 8_000), Ok(12 * S), "11 does not divide 3,600");
        assert_eq!(of(S, Some(7 * S), 100 * S, 8_000), Ok(S));
        assert!(of(S, Some(7 * S), 100 * S, 50).unwrap_err().contains("7s"));
        assert!(of(S, Some(S), 100 * S, 50).unwrap_err().contains("from two on"));
        assert!(of(2 * S, Some(5 * S), 100 * S, 50).unwrap_err().contains("multiples of --sample 2s"));
        assert!(of(0, None, 1, 1).unwrap_err().contains("found 0"));
    }
}
