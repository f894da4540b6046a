//! A byte stream in memory with the manners of a socket: bounded, split anywhere, closed by either end.
//!
//! It carries the same codecs on virtual time, where both ends are polled by one thread. An end must still be `Send`, because duties
//! are; `Rc<RefCell>` is not, a lock-free byte ring would be one more structure to prove, so each direction sits behind a
//! `Mutex` that is only ever `try_lock`ed: it never blocks, and contention (impossible on one thread) reads as "would block".
//! No live connection uses it.

use super::transport::{Progress, Transport};
use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    sync::{Arc, Mutex},
};

/// One end of a stream made by [`pipe`]. Dropping it closes both directions, as a closed socket would.
pub struct PipeEnd {
    incoming: Arc<Mutex<Direction>>,
    outgoing: Arc<Mutex<Direction>>,
}

/// Makes a duplex stream that holds at most `capacity` bytes in each direction.
pub fn pipe(capacity: usize) -> (PipeEnd, PipeEnd) {
    let there = Arc::new(Mutex::new(Direction::new(capacity)));
    let back = Arc::new(Mutex::new(Direction::new(capacity)));
    (PipeEnd { incoming: Arc::clone(&back), outgoing: Arc::clone(&there) }, PipeEnd { incoming: there, outgoing: back })
}

impl PipeEnd {
    /// Reads what is there, up to the length of `buf`.
    pub fn try_read(&mut self, buf: &mut [u8]) -> Progress {
        let Ok(mut direction) = self.incoming.try_lock() else { return Progress::WouldBlock };
        if direction.bytes.is_empty() {
            return if direction.closed { Progress::Closed } else { Progress::WouldBlock };
        }
        let (front, back) = direction.bytes.as_slices();
        let front_len = front.len().min(buf.len());
        buf[..front_len].copy_from_slice(&front[..front_len]);
        let back_len = back.len().min(buf.len() - front_len);
        buf[front_len..front_len + back_len].copy_from_slice(&back[..back_len]);
        direction.bytes.drain(..front_len + back_len);
        Progress::Bytes(front_len + back_len)
    }

    /// Writes what fits.
    pub fn try_write(&mut self, buf: &[u8]) -> Progress {
        let Ok(mut direction) = self.outgoing.try_lock() else { return Progress::WouldBlock };
        if direction.closed {
            return Progress::Closed;
        }
        let len = buf.len().min(direction.capacity - direction.bytes.len());
        if len == 0 && !buf.is_empty() {
            return Progress::WouldBlock;
        }
        direction.bytes.extend(&buf[..len]);
        Progress::Bytes(len)
    }

    /// Returns how many bytes this end could read now.
    pub fn readable_bytes(&self) -> usize {
        self.incoming.try_lock().map_or(0, |direction| direction.bytes.len())
    }

    /// Closes both directions; the other end reads what is left and then the end.
    pub fn close(&mut self) {
        for direction in [&self.incoming, &self.outgoing] {
            if let Ok(mut direction) = direction.lock() {
                direction.closed = true;
            }
        }
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.close();
    }
}

/// Opens streams in memory to the [`MemoryListener`] that it was made with. Clones dial the same listener.
#[derive(Clone, Debug)]
pub struct MemoryDialer {
    backlog: Arc<Mutex<Backlog>>,
    capacity: usize,
}

/// Takes the other ends of what its dialers opened.
pub struct MemoryListener {
    backlog: Arc<Mutex<Backlog>>,
}

#[derive(Debug, Default)]
struct Backlog {
    waiting: VecDeque<PipeEnd>,
    refuses: bool,
}

/// Makes a place to connect to: each stream holds at most `capacity` bytes in each direction.
pub fn listen(capacity: usize) -> (MemoryDialer, MemoryListener) {
    let backlog = Arc::new(Mutex::new(Backlog::default()));
    (MemoryDialer { backlog: Arc::clone(&backlog), capacity }, MemoryListener { backlog })
}

impl MemoryDialer {
    /// Opens a stream. As with a socket it stands at once, and is served when the listener gets to it.
    ///
    /// # Errors
    /// [`ErrorKind::ConnectionRefused`] when the listener is gone or refuses, [`ErrorKind::WouldBlock`] when another thread
    /// is at the listener in this very moment.
    pub fn dial(&self) -> io::Result<Transport> {
        let mut backlog = self.backlog.try_lock().map_err(|_| io::Error::from(ErrorKind::WouldBlock))?;
        if backlog.refuses || backlog.waiting.len() >= BACKLOG_MAX {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = pipe(self.capacity);
        backlog.waiting.push_back(far);
        Ok(Transport::Memory(near))
    }
}

impl MemoryListener {
    /// Returns the next stream that waits to be served.
    pub fn accept(&mut self) -> Option<Transport> {
        self.backlog.try_lock().ok()?.waiting.pop_front().map(Transport::Memory)
    }

    /// Refuses new streams from now on, or takes them again; what waits is closed.
    pub fn refuse(&mut self, refuses: bool) {
        if let Ok(mut backlog) = self.backlog.lock() {
            backlog.refuses = refuses;
            backlog.waiting.clear();
        }
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        self.refuse(true);
    }
}

impl std::fmt::Debug for PipeEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PipeEnd").finish_non_exhaustive()
    }
}

/// Streams that may wait to be served, as a socket's backlog is bounded.
const BACKLOG_MAX: usize = 128;

struct Direction {
    bytes: VecDeque<u8>,
    capacity: usize,
    closed: bool,
}

impl Direction {
    fn new(capacity: usize) -> Self {
        Self { bytes: VecDeque::with_capacity(capacity), capacity, closed: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_bounded_and_ends_after_its_last_byte() {
        let (mut left, mut right) = pipe(4);
        assert_eq!(left.try_write(b"abcdef"), Progress::Bytes(4));
        assert_eq!(left.try_write(b"ef"), Progress::WouldBlock);
        let mut buf = [0; 3];
        assert_eq!(right.try_read(&mut buf), Progress::Bytes(3));
        assert_eq!(left.try_write(b"ef"), Progress::Bytes(2));
        drop(left);
        assert_eq!(right.try_read(&mut buf), Progress::Bytes(3));
        assert_eq!(&buf, b"def");
        assert_eq!(right.try_read(&mut buf), Progress::Closed);
        assert_eq!(right.try_write(b"x"), Progress::Closed);
    }

    #[test]
    fn a_dialled_stream_reaches_the_listener_and_a_refused_one_does_not() {
        let (dialer, mut listener) = listen(16);
        assert!(listener.accept().is_none());
        let mut near = dialer.clone().dial().unwrap();
        let mut far = listener.accept().unwrap();
        near.try_write(b"hello").unwrap();
        let mut buf = [0; 8];
        assert_eq!(far.try_read(&mut buf).unwrap(), Progress::Bytes(5));
        assert_eq!(&buf[..5], b"hello");
        let mut waiting = dialer.dial().unwrap();
        listener.refuse(true);
        assert_eq!(waiting.try_read(&mut buf).unwrap(), Progress::Closed);
        assert_eq!(dialer.dial().err().map(|e| e.kind()), Some(ErrorKind::ConnectionRefused));
        listener.refuse(false);
        assert!(dialer.dial().is_ok());
        drop(listener);
        assert!(dialer.dial().is_err());
    }
}
