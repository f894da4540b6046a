//! Captured feeds, and the journal of what the engine consumed. The only files the engine writes.
//!
//! Thread: shell and recorder, never a hot one.

mod capture;
mod header;
mod infer;
mod load;
mod log;
mod meta;
mod segments;
pub mod synthetic;
mod tape;

pub use capture::{CaptureError, CaptureReader, CaptureWriter};
pub use header::{JournalHeader, JournalInstrument};
pub use infer::{Inference, infer_file};
pub use load::{Capture, CaptureFile, Frame, LoadError, Merge, load, side_snapshots};
pub use log::{DurableMark, JournalError, JournalReader, JournalSteps, JournalWriter, JournaledCommand, Step};
pub use meta::{CaptureMeta, ClockKind, InstrumentMeta, MetaError, meta_path};
pub use segments::{JournalFiles, Removed, Retention, first_segment, journals, prune, segment_path};
pub use tape::{Tape, TapeNext};
