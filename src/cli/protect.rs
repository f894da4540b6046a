//! The persons' side of risk: what is remembered over restarts, the file that stops a run, `tercel kill` and `tercel rearm`.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::{Exit, Failure};
use crate::config;
use crate::risk::{BreakerLevel, Layer, RiskState};
use crate::runtime::Live;
use crate::types::{Carried, Event, Meta, Money};

/// Time between two writings of a state in which no breaker has moved.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// The engine's status is published ten times a second: so long it may be older than what the engine was told.
const STATUS_AGE_MAX: Duration = Duration::from_millis(500);

/// Keeps the state of risk in a file: read at the start, written while it runs.
pub struct StateKeeper {
    file: Option<PathBuf>,
    saved: RiskState,
    saved_at: Option<Instant>,
    /// When the engine was told what is carried over. What it says before that is not of this account.
    told_at: Option<Instant>,
    has_failed: bool,
}

impl StateKeeper {
    /// Reads what an earlier run left; nothing is remembered without a file.
    ///
    /// # Errors
    /// The file is not what a run wrote, or a breaker of it stands at its last level, which only a person takes back.
    pub fn open(file: Option<&Path>) -> Result<Self, Failure> {
        let mut keeper = Self {
            file: file.map(Path::to_owned),
            saved: RiskState::default(),
            saved_at: None,
            told_at: None,
            has_failed: false,
        };
        let Some(file) = file else { return Ok(keeper) };
        keeper.saved = read_state(file)?.unwrap_or_default();
        match keeper.saved.halted() {
            None => Ok(keeper),
            Some(layer) => Err(Failure::from(format!(
                "the breaker `{}` has halted trading; look for the cause, then re-arm it with `tercel rearm {}`",
                layer.name(),
                file.display()
            ))),
        }
    }

    /// Tells the engine what is carried over. To be called before it is armed.
    pub fn tell(&mut self, live: &mut Live) {
        self.told_at = Some(Instant::now());
        if self.file.is_none() || self.saved == RiskState::default() {
            return;
        }
        let recv = live.clock().now();
        for (key, value) in self.saved.values() {
            live.tell(&Event::Carried(Carried { meta: Meta { recv, ..Meta::default() }, key, value }));
        }
    }

    /// Writes what has changed: a breaker's move at once, the rest once a second.
    pub fn tick(&mut self, state: &RiskState) {
        if self.told_at.is_none_or(|at| at.elapsed() < STATUS_AGE_MAX) {
            return;
        }
        let is_due = state.levels != self.saved.levels || self.saved_at.is_none_or(|at| at.elapsed() >= SAVE_EVERY);
        if is_due && *state != self.saved {
            self.save(state);
        }
    }

    /// Writes the state, unless trading never began: then what there was still holds.
    pub fn save(&mut self, state: &RiskState) {
        let (Some(file), Some(_)) = (&self.file, self.told_at) else { return };
        if let Err(error) = write_whole(file, &text_of(state))
            && !std::mem::replace(&mut self.has_failed, true)
        {
            eprintln!("warning: the state of risk cannot be kept: {}: {error}", file.display());
        }
        self.saved = *state;
        self.saved_at = Some(Instant::now());
    }
}

fn text_of(state: &RiskState) -> String {
    let breakers: serde_json::Map<String, Value> = Layer::ALL
        .iter()
        .zip(state.levels)
        .map(|(layer, level)| (layer.name().to_owned(), json!(level.name())))
        .collect();
    let mut text = format!(
        "{:#}",
        json!({
            "day": state.day,
            "day_equity": state.day_equity.to_string(),
            "peak_equity": state.peak_equity.to_string(),
            "net": state.net.to_string(),
            "trades": state.trades,
            "breakers": breakers,
        })
    );
    text.push('\n');
    text
}

/// Reads a state; `None` if there is no file.
fn read_state(file: &Path) -> Result<Option<RiskState>, Failure> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::from(format!("{}: {error}", file.display()))),
    };
    let bad = |what: &str| Failure::from(format!("{}: {what}: this is no state of risk", file.display()));
    let value: Value = serde_json::from_str(&text).map_err(|error| bad(&error.to_string()))?;
    let money = |key: &str| {
        let text = value[key].as_str().ok_or_else(|| bad(&format!("`{key}` is missing")))?;
        Money::parse(text.as_bytes()).map_err(|error| bad(&format!("`{key}`: found `{text}`: {error}")))
    };
    let mut state = RiskState {
        day: value["day"].as_u64().ok_or_else(|| bad("`day` is missing"))?,
        day_equity: money("day_equity")?,
        peak_equity: money("peak_equity")?,
        net: money("net")?,
        // Files of earlier versions have none.
        trades: value["trades"].as_u64().map_or(0, |trades| u32::try_from(trades).unwrap_or(u32::MAX)),
        levels: [BreakerLevel::Normal; 4],
    };
    for (layer, level) in Layer::ALL.iter().zip(&mut state.levels) {
        let found = value["breakers"][layer.name()].as_str();
        *level = BreakerLevel::ALL
            .iter()
            .copied()
            .find(|level| found == Some(level.name()))
            .ok_or_else(|| bad(&format!("breaker `{}`: found {found:?}", layer.name())))?;
    }
    Ok(Some(state))
}

/// Replaces a file at once and durably, so that a crash leaves the old or the new one.
fn write_whole(file: &Path, text: &str) -> std::io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut out = std::fs::File::create(&new)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&new, file)
}

/// How a run is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StopKind {
    /// Cancel all orders.
    Cancel,
    /// Cancel all orders and close all positions.
    Flatten,
}

impl StopKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Flatten => "flatten",
        }
    }
}

/// The file that stops a run when it appears.
pub struct StopFile(Option<PathBuf>);

impl StopFile {
    /// Looks for `file` from now on.
    ///
    /// # Errors
    /// It is there already: somebody wants that nothing runs.
    pub fn watch(file: Option<&Path>) -> Result<Self, Failure> {
        match file {
            Some(file) if file.exists() => Err(Failure::from(format!(
                "{}: the file that stops a run is there; remove it to let one begin",
                file.display()
            ))),
            file => Ok(Self(file.map(Path::to_owned))),
        }
    }

    /// What is asked for, if anything. A file that does not say counts as `cancel`.
    pub fn asked(&self) -> Option<StopKind> {
        let text = std::fs::read_to_string(self.0.as_ref()?).ok()?;
        Some(if text.trim() == StopKind::Flatten.word() { StopKind::Flatten } else { StopKind::Cancel })
    }

    /// Answers whoever asked: the run has ended.
    pub fn answer(&self) {
        if let Some(file) = &self.0 {
            // It is gone, or it was never there.
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Options of `kill`.
#[derive(Debug, Args)]
pub struct KillArgs {
    /// The file that the run looks for: `[stop] file` of its configuration.
    #[arg(default_value = "tercel.stop")]
    file: PathBuf,

    /// Also close all positions, at prices no farther from the touch than `[stop] slippage-bps`.
    #[arg(long)]
    flatten: bool,

    /// How long to wait for the run to end.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    within: config::Duration,
}

/// Stops a run and waits until it has ended.
pub fn kill(args: &KillArgs) -> Result<Exit, Failure> {
    let kind = if args.flatten { StopKind::Flatten } else { StopKind::Cancel };
    write_whole(&args.file, kind.word()).map_err(|error| format!("{}: {error}", args.file.display()))?;
    let asked = Instant::now();
    let within = Duration::from_nanos(args.within.0);
    while args.file.exists() {
        if asked.elapsed() >= within {
            let _ = std::fs::remove_file(&args.file);
            return Err(Failure::from(format!(
                "{}: no run has ended within {within:?}; the file is removed again. Does a run look for it (`[stop] file`)?",
                args.file.display()
            )));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("ended {:.3} s after it was asked to ({})", asked.elapsed().as_secs_f64(), kind.word());
    Ok(Exit::Good)
}

/// Options of `rearm`.
#[derive(Debug, Args)]
pub struct RearmArgs {
    /// The state that a run left: `[breakers] state-file` of its configuration.
    file: PathBuf,

    /// Also forget the losses and marks of before: the next run begins with its full capital, a new day and a new peak.
    #[arg(long)]
    forget: bool,
}

/// Takes back the breakers that stand at their last level.
pub fn rearm(args: &RearmArgs) -> Result<Exit, Failure> {
    let file = &args.file;
    let Some(state) = read_state(file)? else {
        return Err(Failure::from(format!("{}: there is no such file", file.display())));
    };
    print!("before: {}", text_of(&state));
    let levels = state.levels.map(|level| if level == BreakerLevel::Halt { BreakerLevel::Normal } else { level });
    let after = if args.forget { RiskState::default() } else { RiskState { levels, ..state } };
    if after == state {
        println!("no breaker has halted trading; nothing was changed");
        return Ok(Exit::Good);
    }
    write_whole(file, &text_of(&after)).map_err(|error| format!("{}: {error}", file.display()))?;
    print!("after: {}", text_of(&after));
    if !args.forget && state.halted().is_some() {
        println!("note: the losses that halted it still count; --forget begins anew");
    }
    Ok(Exit::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> RiskState {
        RiskState {
            day: 20_783,
            day_equity: Money::new(10_000_000_000_000_001),
            peak_equity: Money::new(7),
            net: Money::new(-5),
            trades: 3,
            levels: [BreakerLevel::Normal, BreakerLevel::Shrink, BreakerLevel::Halt, BreakerLevel::Flatten],
        }
    }

    #[test]
    fn a_state_is_kept_exactly_and_a_halt_needs_a_person() {
        let dir = std::env::temp_dir().join(format!("tercel-risk-state-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("state.json");
        let mut keeper = StateKeeper::open(Some(&file)).unwrap();
        // A run that never traded knows nothing.
        keeper.save(&state());
        assert_eq!(read_state(&file).unwrap(), None);
        keeper.told_at = Some(Instant::now());
        keeper.tick(&state());
        assert_eq!(read_state(&file).unwrap(), None, "the status may be older");
        keeper.save(&state());
        assert_eq!(read_state(&file).unwrap(), Some(state()));
        let Err(Failure { text: error, .. }) = StateKeeper::open(Some(&file)) else {
            panic!("a halted run should not begin")
        };
        assert!(error.contains("`day`") && error.contains("tercel rearm"), "{error}");
        rearm(&RearmArgs { file: file.clone(), forget: false }).unwrap();
        let keeper = StateKeeper::open(Some(&file)).unwrap();
        let levels = [BreakerLevel::Normal, BreakerLevel::Shrink, BreakerLevel::Normal, BreakerLevel::Flatten];
        assert_eq!(keeper.saved, RiskState { levels, ..state() });
        for (text, word) in
            [("{", "EOF"), ("{\"day\": 1}", "day_equity"), (&text_of(&state()).replace("halt", "stop"), "stop")]
        {
            std::fs::write(&file, text).unwrap();
            let Err(Failure { text: error, .. }) = StateKeeper::open(Some(&file)) else { panic!("{text}") };
            assert!(error.contains(word), "{error}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
