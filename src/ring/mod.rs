//! What joins threads: all the atomics of the program.
//!
//! ```text
//! spsc       one writer ──▶ one reader, nothing lost, full is an answer
//! seqlock    one writer ──▶ any readers, latest value only
//! broadcast  one writer ──▶ any readers, the writer never waits; a slow reader learns how much it lost
//! page       a few words between two processes, each word for itself
//! ```
//!
//! Threads: each handle belongs to one thread at a time. Allocates: in the constructors only. Blocks: never.
//! Every interleaving of small instances is explored by the loom models in `models.rs` (`--cfg loom`),
//! except between processes, which loom cannot see.

mod broadcast;
#[cfg(all(test, loom))]
mod models;
mod page;
mod seqlock;
mod spsc;
#[cfg(all(test, not(loom)))]
mod stress;
mod sync;

pub use broadcast::{BroadcastReader, BroadcastWriter, Received, broadcast};
pub use page::SharedPage;
pub use seqlock::{SeqlockReader, SeqlockWriter, seqlock};
pub use spsc::{Claim, Consumer, Gauge, Producer, spsc};
pub use sync::{Flag, Word, spin_hint};
