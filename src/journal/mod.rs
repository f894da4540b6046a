//! Files: captures of market data with their sidecars, and the journal of what the engine consumed.
//!
//! Thread: shell and recorder, never a hot one. Allocates: yes. Blocks: on files.

pub mod capture;
pub mod meta;
pub mod synthetic;
