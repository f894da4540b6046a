//! One writer, any number of readers, and the writer never waits: telemetry.
//!
//! A reader that falls behind by more than the ring loses the oldest records and is told exactly how many. Each slot is
//! a seqlock: its sequence is odd while the record is being replaced.

use crossbeam_utils::CachePadded;

use super::sync::{Arc, AtomicU64, Ordering, fence};
use crate::types::Record;

const WORDS: usize = 7;

#[repr(C, align(64))]
struct Slot {
    /// `2 · position + 1` while position is being written, `2 · position + 2` once it is whole, 0 at first.
    sequence: AtomicU64,
    words: [AtomicU64; WORDS],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Slot>() == 64, "one slot is one cache line");

struct Shared {
    slots: Box<[Slot]>,
    mask: u64,
    /// Positions below it are published. Written by the writer only.
    tail: CachePadded<AtomicU64>,
}

/// Makes a ring of `capacity` slots and its writer; readers come from [`BroadcastWriter::reader`].
///
/// # Panics
/// If `capacity` is not a power of two of at least 2.
pub fn broadcast(capacity: usize) -> BroadcastWriter {
    assert!(capacity.is_power_of_two() && capacity >= 2, "capacity {capacity} should be a power of two, at least 2");
    let slots = (0..capacity)
        .map(|_| Slot { sequence: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) })
        .collect();
    let shared = Shared { slots, mask: capacity as u64 - 1, tail: CachePadded::new(AtomicU64::new(0)) };
    BroadcastWriter { shared: Arc::new(shared), tail: 0 }
}

/// The writing end; there is one.
pub struct BroadcastWriter {
    shared: Arc<Shared>,
    tail: u64,
}

impl BroadcastWriter {
    /// Publishes a record, over the oldest one if need be.
    #[inline]
    pub fn push(&mut self, record: Record) {
        let slot = &self.shared.slots[(self.tail & self.shared.mask) as usize];
        slot.sequence.store(2 * self.tail + 1, Ordering::Relaxed);
        // A reader that sees one of the words below also sees the odd sequence: pairs with the fence in `pop`.
        fence(Ordering::Release);
        for (cell, word) in slot.words.iter().zip(record.words) {
            cell.store(word, Ordering::Relaxed);
        }
        // Publishes the words; pairs with the Acquire load of the sequence in `pop`.
        slot.sequence.store(2 * self.tail + 2, Ordering::Release);
        self.tail += 1;
        // Pairs with the Acquire load in `reader` and in `pop`.
        self.shared.tail.store(self.tail, Ordering::Release);
    }

    /// Makes a reader that sees what is pushed from now on.
    pub fn reader(&self) -> BroadcastReader {
        BroadcastReader { shared: self.shared.clone(), head: self.tail }
    }
}

/// What a reader finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The next record.
    Record(Record),
    /// So many records were overwritten before they were read; the next call goes on behind them.
    Lost(u64),
    /// Nothing new.
    Empty,
}

/// A reading end.
pub struct BroadcastReader {
    shared: Arc<Shared>,
    head: u64,
}

impl BroadcastReader {
    /// Returns the next record, or how many were lost before it.
    #[inline]
    pub fn pop(&mut self) -> Received {
        let slot = &self.shared.slots[(self.head & self.shared.mask) as usize];
        let whole = 2 * self.head + 2;
        // Pairs with the Release store of the even sequence in `push`.
        let before = slot.sequence.load(Ordering::Acquire);
        if before < whole {
            return Received::Empty;
        }
        if before == whole {
            let words = std::array::from_fn(|i| slot.words[i].load(Ordering::Relaxed));
            // If a word came from a later record, the sequence read below is later too: pairs with the fence in `push`.
            fence(Ordering::Acquire);
            if slot.sequence.load(Ordering::Relaxed) == whole {
                self.head += 1;
                return Received::Record(Record { words });
            }
        }
        // Overwritten. Everything older than one ring behind the tail is gone; the slot at exactly that distance may be
        // in the middle of being replaced, so go on one behind it.
        let tail = self.shared.tail.load(Ordering::Acquire);
        let oldest = (tail + 1).saturating_sub(self.shared.slots.len() as u64).max(self.head + 1);
        let lost = oldest - self.head;
        self.head = oldest;
        Received::Lost(lost)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn record(n: u64) -> Record {
        Record { words: [n; WORDS] }
    }

    #[test]
    fn a_prompt_reader_sees_everything() {
        let mut writer = broadcast(4);
        let mut reader = writer.reader();
        for n in 0..10 {
            writer.push(record(n));
            assert_eq!(reader.pop(), Received::Record(record(n)));
        }
        assert_eq!(reader.pop(), Received::Empty);
    }

    #[test]
    fn a_slow_reader_learns_exactly_how_much_it_lost() {
        let mut writer = broadcast(4);
        let mut reader = writer.reader();
        for n in 0..10 {
            writer.push(record(n));
        }
        let Received::Lost(lost) = reader.pop() else { panic!("should have lost records") };
        let mut got = Vec::new();
        while let Received::Record(r) = reader.pop() {
            got.push(r.words[0]);
        }
        assert_eq!(lost as usize + got.len(), 10);
        assert_eq!(got, (lost..10).collect::<Vec<_>>());
    }
}
