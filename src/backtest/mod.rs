//! Captures and a configuration → a session with simulated fills, and what it came to.
//!
//! What `tercel backtest` does, without a terminal, so that other programs get the same decisions and the same figures from the same
//! code. It reads files and starts threads; it prints nothing.

mod captures;
mod latency;

use std::any::Any;
use std::fmt;

pub use captures::{Captures, find, sidecar_or_inference};
pub use latency::sim_latency;

use crate::analytics::{Reference, ReportInput, Reports, Sessions, VenueEnd};
use crate::config::Config;
use crate::journal::Tape;
use crate::ring::Flag;
use crate::runtime::{Observer, ReplayOptions, ReplayOutcome, replay};
use crate::venue::FeedConfig;

/// Why a backtest could not be made, or broke off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BacktestError {
    /// What was asked for is not what is allowed: the text says what was found and what is.
    #[error("{0}")]
    Usage(String),
    /// Something is wrong with a file, or with the system.
    #[error("{0}")]
    Failed(String),
}

impl BacktestError {
    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        Self::Usage(text.to_string())
    }

    pub(crate) fn failed(text: impl fmt::Display) -> Self {
        Self::Failed(text.to_string())
    }
}

/// A backtest that has ended.
pub struct Played {
    /// The reports, by settlement currency.
    pub reports: Reports,
    /// Whether the engine's books are those of the executions.
    pub engine_agrees: bool,
    /// Orders that were left open.
    pub open_orders: usize,
    /// Times that the account was liquidated.
    pub liquidations: u64,
}

impl Played {
    /// Whether all books agree and nothing was left open.
    pub fn is_good(&self) -> bool {
        self.reports.hold() && self.engine_agrees && self.open_orders == 0
    }
}

/// The configured strategy's name.
pub fn strategy_name(config: &Config) -> String {
    clap::ValueEnum::to_possible_value(&config.strategy.name).map_or(String::new(), |name| name.get_name().to_owned())
}

/// Plays captures under a configuration until their end, or until `stop` is set; returns what it left behind, and who watched.
///
/// # Errors
/// A configuration that does not fit the captures, a capture that is damaged, a system that refuses a thread.
pub fn play<W: Observer>(
    captures: &Captures,
    config: &Config,
    feed: FeedConfig,
    watcher: W,
    stop: Flag,
) -> Result<(ReplayOutcome, Box<W>), BacktestError> {
    config.check_against(&captures.table).map_err(BacktestError::Usage)?;
    let tape = Tape::open(&captures.files).map_err(BacktestError::failed)?;
    let options = ReplayOptions { observer: Some(Box::new(watcher)), stop, ..captures.options(config, feed)? };
    let mut outcome =
        replay(tape, options, config.engine(), config.strategy(captures.table.len())).map_err(BacktestError::failed)?;
    let watcher = watcher_of(&mut outcome)?;
    Ok((outcome, watcher))
}

/// Takes out of an outcome who watched.
///
/// # Errors
/// Somebody else watched, or nobody: a bug.
pub fn watcher_of<W: Observer>(outcome: &mut ReplayOutcome) -> Result<Box<W>, BacktestError> {
    let observer: Option<Box<dyn Any>> = outcome.sim.observer.take().map(|it| it as Box<dyn Any>);
    let watcher = observer.and_then(|it| it.downcast::<W>().ok());
    watcher.ok_or_else(|| BacktestError::failed("the session lost its observer: a bug"))
}

/// Makes the report of a session that has ended ([`Sessions::finish`]), and compares three sets of books: the venue's, the engine's,
/// and the report's own.
pub fn judge(
    outcome: &ReplayOutcome,
    session: &Sessions,
    kind: &str,
    sources: Vec<String>,
    reference: Reference,
    config: &Config,
) -> Played {
    let input = ReportInput {
        kind: kind.to_owned(),
        strategy: strategy_name(config),
        sources,
        reference,
        venue: Some(VenueEnd { wallets: outcome.sim.wallets.clone(), positions: outcome.sim.positions.clone() }),
    };
    let reports = session.reports(&input);
    let engine = &outcome.core.engine;
    let mut wallets = engine.currencies.iter().zip(&reports.all);
    let engine_agrees = engine.currencies.len() == reports.all.len()
        && wallets.all(|(it, report)| it.wallet.is_none_or(|wallet| wallet == report.identity.wallet_expected.0))
        && engine.positions.iter().zip(&outcome.sim.positions).all(|(ours, venue)| ours.position == *venue);
    let (open_orders, liquidations) = (outcome.sim.open_orders, outcome.sim.liquidations);
    Played { reports, engine_agrees, open_orders, liquidations }
}
