//! Captured feeds, and the journal of what the engine consumed. The only files the engine writes.
//!
//! Thread: shell and recorder, never a hot one.

mod capture;
mod frame_queue;
mod header;
mod infer;
mod load;
mod log;
mod meta;
mod opening;
mod rotation;
mod segments;
pub mod synthetic;
mod tape;

pub use capture::{CaptureError, CaptureReader, CaptureWriter};
pub use frame_queue::{FrameReceiver, FrameSender, Item, Pushed, frame_queue};
pub use header::{JournalHeader, JournalInstrument};
pub use infer::{Inference, infer_file};
pub use load::{Capture, CaptureFile, Frame, LoadError, Merge, load, side_snapshots};
pub use log::{DurableMark, JournalError, JournalReader, JournalSteps, JournalWriter, JournaledCommand, Step};
pub use meta::{CaptureMeta, ClockKind, Gap, GapCause, InstrumentMeta, MetaError, Recording, meta_path};
pub use opening::Opening;
pub use rotation::{CaptureFiles, Recorded, Rotation};
pub use segments::{JournalFiles, Removed, Retention, first_segment, journals, prune, segment_path};
pub use tape::{Tape, TapeNext};
