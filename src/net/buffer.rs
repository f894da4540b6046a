//! The two fixed byte buffers that every connection owns: one filled by the socket, one drained by it.
//!
//! Both are linear (never wrapped), because a frame must be one slice to be read or rendered in place. Free space
//! at the front is regained by moving the unread rest, and only when the space at the end is too short.

use std::ops::Range;

/// Bytes that arrived and are not consumed yet.
pub struct RecvBuffer {
    bytes: Box<[u8]>,
    /// First unconsumed byte.
    head: usize,
    /// One past the last byte received; `head <= tail <= bytes.len()`.
    tail: usize,
}

impl RecvBuffer {
    /// Allocates a buffer of `capacity` bytes; it never grows.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity].into_boxed_slice(), head: 0, tail: 0 }
    }

    /// Returns the bytes received and not yet consumed.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.head..self.tail]
    }

    /// Returns free space to read into, empty only when unconsumed bytes fill the whole buffer.
    ///
    /// `wanted` is the length of the unit that starts at the first unconsumed byte, as far as it is known: when it would not fit
    /// behind its own start, the rest is moved to the front now.
    ///
    /// # Cost
    /// A move of at most the unconsumed bytes, at most once per buffer length received (less [`READ_BYTES_MIN`]).
    pub fn space(&mut self, wanted: usize) -> &mut [u8] {
        if self.head == self.tail {
            (self.head, self.tail) = (0, 0);
        } else if self.head > 0
            && (wanted > self.bytes.len() - self.head || self.bytes.len() - self.tail < READ_BYTES_MIN)
        {
            self.bytes.copy_within(self.head..self.tail, 0);
            (self.head, self.tail) = (0, self.tail - self.head);
        }
        &mut self.bytes[self.tail..]
    }

    /// Accounts for `len` bytes written into [`Self::space`].
    ///
    /// # Panics
    /// When `len` is more than the space that was there: that is a bug of the caller, no peer can cause it.
    pub fn received(&mut self, len: usize) {
        assert!(len <= self.bytes.len() - self.tail, "no more may be received than there was space for");
        self.tail += len;
    }

    /// Appends as much of `bytes` as fits and returns how much that was.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let space = self.space(0);
        let len = bytes.len().min(space.len());
        space[..len].copy_from_slice(&bytes[..len]);
        self.received(len);
        len
    }

    /// Consumes `len` bytes and returns where they are; they stay readable until the next [`Self::space`].
    pub(super) fn consume(&mut self, len: usize) -> Range<usize> {
        let start = self.head;
        self.head = (self.head + len).min(self.tail);
        start..self.head
    }

    /// Returns bytes consumed since the last [`Self::space`].
    pub(super) fn at(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// Returns bytes consumed since the last [`Self::space`], to unmask them in place.
    pub(super) fn at_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        self.bytes.get_mut(range).unwrap_or_default()
    }

    /// Returns the fixed size.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

/// Whole frames or answers that wait for the socket to take them.
pub struct SendBuffer {
    bytes: Box<[u8]>,
    head: usize,
    tail: usize,
}

impl SendBuffer {
    /// Allocates a buffer of `capacity` bytes; it never grows.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity].into_boxed_slice(), head: 0, tail: 0 }
    }

    /// Returns the bytes to write next, empty when all is sent.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.head..self.tail]
    }

    /// Accounts for `len` bytes of [`Self::pending`] that the socket took.
    ///
    /// # Panics
    /// When `len` is more than was pending: a bug of the caller.
    pub fn sent(&mut self, len: usize) {
        assert!(len <= self.tail - self.head, "no more may be sent than was pending");
        self.head += len;
        if self.head == self.tail {
            (self.head, self.tail) = (0, 0);
        }
    }

    /// Returns how many bytes can still be queued.
    pub fn free(&self) -> usize {
        self.bytes.len() - (self.tail - self.head)
    }

    /// Returns `len` bytes to render into, or `None` when they do not fit; [`Self::commit`] queues them.
    pub fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        if len > self.free() {
            return None;
        }
        if len > self.bytes.len() - self.tail {
            self.bytes.copy_within(self.head..self.tail, 0);
            (self.head, self.tail) = (0, self.tail - self.head);
        }
        self.bytes.get_mut(self.tail..self.tail + len)
    }

    /// Queues the first `len` bytes of the last [`Self::reserve`].
    ///
    /// # Panics
    /// When `len` exceeds the space at the end: a bug of the caller.
    pub fn commit(&mut self, len: usize) {
        assert!(len <= self.bytes.len() - self.tail, "no more may be committed than was reserved");
        self.tail += len;
    }

    /// Queues all of `bytes`, or nothing and returns false.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let Some(space) = self.reserve(bytes.len()) else { return false };
        space.copy_from_slice(bytes);
        self.commit(bytes.len());
        true
    }
}

/// A read into less than this wastes its system call, so the rest is moved first; a page.
pub const READ_BYTES_MIN: usize = 4096;
