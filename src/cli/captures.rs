//! The captures on a command line.

use std::path::PathBuf;

use super::Failure;
pub use crate::backtest::Captures;
use crate::config::Config;

/// As [`crate::backtest::find`]; what a person should know goes to the error output.
pub fn find(
    files: &[PathBuf],
    venue: Option<&str>,
    instruments: &[String],
    config: &Config,
) -> Result<Captures, Failure> {
    crate::backtest::find(files, venue, instruments, config, |text| eprintln!("{text}")).map_err(Failure::of_backtest)
}
