//! Words that two processes share: a small file mapped into both.
//!
//! Each word is an atomic of its own, so whatever the other process writes, or whoever it is, there is no torn read and no
//! undefined behaviour, only a wrong number. What the numbers mean is `guard`'s business. Loom cannot see the other
//! process, so these are `std`'s atomics in every build; the orderings are argued at each method.
//!
//! Thread: any. Allocates: no. Blocks: never once mapped. Shrinking the file under a process that has it mapped ends that
//! process with SIGBUS: only its owner may write the file, and nothing here ever shrinks one.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// Words of a page that two processes share, all zero at first.
#[derive(Debug)]
pub struct SharedPage {
    words: NonNull<AtomicU64>,
}

impl SharedPage {
    /// Words in a page.
    pub const WORDS: usize = 512;
    /// Bytes of the file.
    pub const BYTES: usize = Self::WORDS * 8;

    /// Maps the file, which must have [`Self::BYTES`] bytes.
    ///
    /// # Errors
    /// Another length, or what the system says.
    pub fn map(file: &File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        if len != Self::BYTES as u64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("found {len} bytes, a page has {}", Self::BYTES),
            ));
        }
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the address is the kernel's to choose, so nothing of ours is replaced.
        let start = unsafe { mmap(null_mut(), Self::BYTES, flags, MapFlags::SHARED, file, 0) }?;
        Self::of(start)
    }

    /// A page of this process alone: what holds the words when nobody beside it watches.
    ///
    /// # Errors
    /// What the system says.
    pub fn private() -> io::Result<Self> {
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the address is the kernel's to choose, so nothing of ours is replaced.
        let start = unsafe { mmap_anonymous(null_mut(), Self::BYTES, flags, MapFlags::PRIVATE) }?;
        Self::of(start)
    }

    fn of(start: *mut core::ffi::c_void) -> io::Result<Self> {
        let words = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address zero"))?;
        Ok(Self { words })
    }

    fn word(&self, idx: usize) -> &AtomicU64 {
        assert!(idx < Self::WORDS, "a word lies within its page");
        // SAFETY: `idx` was checked above, and the mapping of `WORDS` words lives until `drop`.
        let word = unsafe { self.words.add(idx) };
        // SAFETY: a mapping is aligned to its page and every pattern of bits is an `AtomicU64`; nobody makes a plain
        // reference to these bytes.
        unsafe { word.as_ref() }
    }

    /// Reads a word, and sees what its writer wrote before it with [`Self::publish`].
    #[inline]
    pub fn read(&self, idx: usize) -> u64 {
        // Pairs with the Release half of `publish`, `raise` and `swap_if`, in whichever process.
        self.word(idx).load(Ordering::Acquire)
    }

    /// Writes a word of which only the newest value matters: a beat.
    #[inline]
    pub fn beat(&self, idx: usize, value: u64) {
        // Relaxed: a beat says that its writer got here, and nothing of any other word.
        self.word(idx).store(value, Ordering::Relaxed);
    }

    /// Writes a word after everything that was written before.
    #[inline]
    pub fn publish(&self, idx: usize, value: u64) {
        // Release for whoever reads it with `read`. Sequential consistency beyond that for one pair (see `read_after`).
        self.word(idx).store(value, Ordering::SeqCst);
    }

    /// Reads a word no earlier than this thread's own last [`Self::publish`]: of two processes that each publish one word
    /// and then read the other's, at least one sees the other's.
    pub fn read_after(&self, idx: usize) -> u64 {
        // Store, then load of another word, on both sides: only the single order of SeqCst forbids that both miss.
        self.word(idx).load(Ordering::SeqCst)
    }

    /// Makes a word at least `value`; returns what it was.
    pub fn raise(&self, idx: usize, value: u64) -> u64 {
        // Release: whoever sees the word raised sees what led to it. SeqCst as for `publish`.
        self.word(idx).fetch_max(value, Ordering::SeqCst)
    }

    /// Replaces `old` by `new`; returns whether it was there.
    pub fn swap_if(&self, idx: usize, old: u64, new: u64) -> bool {
        self.word(idx).compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

// SAFETY: the words are atomics and the address is fixed until `drop`, which needs the only owner.
unsafe impl Send for SharedPage {}
// SAFETY: as above.
unsafe impl Sync for SharedPage {}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` or `private` with this length, and no reference outlives its owner.
        let unmapped = unsafe { munmap(self.words.as_ptr().cast(), Self::BYTES) };
        debug_assert!(unmapped.is_ok(), "a mapping of ours can be unmapped");
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_of_one_file_share_its_words() {
        let path = std::env::temp_dir().join(format!("tercel-page-{}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        assert!(SharedPage::map(&file).unwrap_err().to_string().contains("0 bytes"));
        file.set_len(SharedPage::BYTES as u64).unwrap();
        let (one, other) = (SharedPage::map(&file).unwrap(), SharedPage::map(&file).unwrap());
        one.publish(511, 7);
        assert_eq!(other.read(511), 7);
        assert_eq!(other.raise(511, 3), 7);
        assert_eq!(one.read(511), 7);
        assert!(other.swap_if(0, 0, 9) && !one.swap_if(0, 0, 1));
        assert_eq!(one.read_after(0), 9);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    #[should_panic(expected = "within its page")]
    fn a_word_beyond_the_page_is_a_bug() {
        SharedPage::private().unwrap().read(SharedPage::WORDS);
    }
}
