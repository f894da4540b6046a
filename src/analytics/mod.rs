//! Turns a session's events and commands into what a person wants to know of it: profit, ratios, drawdown, costs, markouts.
//!
//! ```text
//! events, commands ─▶ Session ─▶ Report ─▶ text · Markdown · JSON · HTML
//! ```
//!
//! The input is what every session has, a replay as well as a live run's journal, so both get the same report from the same code.
//! Thread: whichever watches, never the core. Allocates: for each sample and kept fill, up to a cap. Blocks: never; no I/O, no clock.
//!
//! A session that is settled in several currencies has a report for each: their amounts are never added up.
//!
//! Money is kept by the engine's rules to the last unit: what the fills say must be what the venue's wallet says, and the report
//! tells whether it is. Ratios are floating point, for people. `docs/analytics.md` defines every figure.

mod curve;
mod drawdown;
mod html;
pub mod markdown;
mod markout;
mod orders;
mod reference;
pub mod report;
mod session;
mod sessions;
pub mod stats;
mod sum;
mod targets;
#[cfg(test)]
mod tests;
pub mod text;
mod trips;
mod watched;

pub use curve::Curve;
pub use drawdown::{Drawdown, DrawdownTracker};
pub use html::render as html;
pub use markout::HORIZONS_NS;
pub use reference::{Reference, Series, SeriesError};
pub use report::{Report, ReportInput, VenueEnd};
pub use session::{MARKS_MAX, Session, SessionConfig};
pub use sessions::{Reports, Sessions};
pub use targets::{Bound, Finding, Metric, Target};
pub(crate) use trips::{After, Trips};
