//! Slow risk: what the positions may lose by the joint moves of their instruments, and how good that forecast is.
//!
//! ```text
//! joint samples (price, position, equity) ─▶ History ─▶ returns, EWMA covariance ─▶ VaR, ES, correlation, heat ─▶ scale
//!                                                            └▶ forecasts ─▶ Kupiec, Christoffersen
//! ```
//!
//! Thread: analyst. Allocates: at construction, and a little at each refresh. Blocks: never; no I/O, no clock. Floating point: what leaves
//! is a share between 0 and 1, by which the core multiplies an integer limit.
//! Definitions and their sources: `docs/slow-risk.md`.

mod backtest;
mod covariance;
mod history;
mod measure;
mod refresh;
mod tail;

pub use backtest::{Backtest, TestResult, chi2_sf_1, chi2_sf_2};
pub use covariance::{Correlation, EwmaCovariance};
pub use history::{Observation, ReturnHistory, Round};
pub use measure::{CONFIDENCES, Confidence, cornish_fisher_var, normal_es, normal_var};
pub use refresh::{Figures, Method, SlowRisk, SlowRiskConfig, SlowRiskReport};
pub use tail::Tail;

/// Samples below which the scale is no greater than the cold share: as many as the 99 % quantile of a history needs.
pub const SAMPLES_MIN: usize = 100;
