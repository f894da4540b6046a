//! The latest value of something, written by one thread and read by any: the slots of the signal board.
//!
//! The words are atomics themselves, so a torn read is a retry and never undefined behaviour.

use super::sync::{Arc, AtomicU64, Ordering, fence};

struct Shared<const WORDS: usize> {
    /// Even: the words belong together. Odd: the writer is at work.
    version: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// Makes a slot of `WORDS` words, all zero, version 0.
pub fn seqlock<const WORDS: usize>() -> (SeqlockWriter<WORDS>, SeqlockReader<WORDS>) {
    let shared = Arc::new(Shared { version: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) });
    (SeqlockWriter { shared: shared.clone(), version: 0 }, SeqlockReader { shared })
}

/// The writing end; there is one.
pub struct SeqlockWriter<const WORDS: usize> {
    shared: Arc<Shared<WORDS>>,
    version: u64,
}

impl<const WORDS: usize> SeqlockWriter<WORDS> {
    /// Replaces the value. Never waits for readers.
    #[inline]
    pub fn write(&mut self, words: [u64; WORDS]) {
        self.shared.version.store(self.version + 1, Ordering::Relaxed);
        // A reader that sees one of the words below also sees the odd version: pairs with the Acquire fence in `read`.
        fence(Ordering::Release);
        for (slot, word) in self.shared.words.iter().zip(words) {
            slot.store(word, Ordering::Relaxed);
        }
        self.version += 2;
        // Publishes the words; pairs with the Acquire load in `read`.
        self.shared.version.store(self.version, Ordering::Release);
    }
}

/// A reading end; there may be many.
#[derive(Clone)]
pub struct SeqlockReader<const WORDS: usize> {
    shared: Arc<Shared<WORDS>>,
}

impl<const WORDS: usize> SeqlockReader<WORDS> {
    /// Returns the latest value and its version (0 before the first write, then 2, 4, …), or `None` if the writer was
    /// in the middle of a write: try again at the next poll.
    #[inline]
    pub fn read(&self) -> Option<(u64, [u64; WORDS])> {
        // Pairs with the Release store at the end of `write`.
        let before = self.shared.version.load(Ordering::Acquire);
        if before & 1 == 1 {
            return None;
        }
        let words = std::array::from_fn(|i| self.shared.words[i].load(Ordering::Relaxed));
        // If a word came from a later write, the version read below is later too: pairs with the fence in `write`.
        fence(Ordering::Acquire);
        (self.shared.version.load(Ordering::Relaxed) == before).then_some((before, words))
    }

    /// The version alone: whether it is worth reading.
    #[inline]
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn read_returns_the_latest_write() {
        let (mut writer, reader) = seqlock::<3>();
        assert_eq!(reader.read(), Some((0, [0; 3])));
        writer.write([1, 2, 3]);
        writer.write([4, 5, 6]);
        assert_eq!(reader.read(), Some((4, [4, 5, 6])));
        assert_eq!(reader.version(), 4);
    }
}
