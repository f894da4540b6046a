//! The ghost trader's judgement: from the round trips of a paper session beside the live one to the permission to trade.
//!
//! ```text
//! fills, funding of the ghost ─▶ TripWatch ─▶ TripWindow ─▶ Measures ─▶ Permit ─▶ GhostStatus, slot `ghost_permit` of the board
//! ```
//!
//! Pure: no I/O, no clock. Thread: the ghost's, never the core. Allocates: at construction, and for a measure. Floating point
//! is for the statistics alone; nothing of it enters the engine but a yes or a no.
//! `docs/ghost.md` says what the record promises and what it cannot.

mod permit;
mod status;
mod student;
mod watch;
mod window;

pub use permit::{Health, Permit, PermitTerms, Reason};
pub use status::{GHOST_WORDS, GhostStatus};
pub use student::{t_cdf, t_quantile};
pub use watch::TripWatch;
pub use window::{Measures, TripWindow, WINDOW_MAX};
