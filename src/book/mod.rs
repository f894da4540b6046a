//! Turns book events into order books, and keeps asking whether they are right.
//!
//! Thread: core. Allocates: at construction. Blocks: never. Fails: never; a book that cannot be trusted says so.
//! Sequence gaps are not noticed here; `venue` does that. What is noticed here: a crossed book, and a top that differs
//! from the venue's own.

mod certificate;
mod fused;
mod l2;
mod ladder;
pub mod naive;
#[cfg(test)]
mod tests;

pub use certificate::{Certificate, CertificateCounts};
pub use fused::FusedTop;
pub use l2::{Impact, L2Book, Touch};
