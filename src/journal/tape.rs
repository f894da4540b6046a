//! A capture as a replay reads it: from memory, or piece by piece from files by a thread of its own.
//!
//! ```text
//! files ──▶ Merge ──▶ piece ──channel──▶ Tape ──▶ replay
//!  (thread "capture")   ▲                  │
//!                       └─────channel──────┘ pieces that were read, to be filled again
//! ```
//!
//! Memory: [`PIECES`] pieces of [`PIECE_BYTES`], however long the capture is. The replay's side neither allocates nor waits:
//! a piece that is not there yet is work for a later poll. The thread waits by parking and not in its channel: who wakes a
//! thread there shares what it waited with, and frees that if the thread has ended by then.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::Thread;

use super::load::{Capture, CaptureFile, Frame, LoadError, Merge};

/// Bytes of messages in one piece; one message more may reach beyond.
const PIECE_BYTES: usize = 1 << 20;

/// Pieces on their way or being read.
const PIECES: usize = 4;

/// What reading a [`Tape`] gives.
#[derive(Debug)]
pub enum TapeNext<'a> {
    /// The next message.
    Frame(Frame<'a>),
    /// It is not read from the disk yet.
    Wait,
    /// There is none.
    End,
}

/// How a filled piece ends.
enum Filled {
    Piece(Capture),
    Last(Capture, Option<LoadError>),
}

enum Origin {
    Memory(Arc<Capture>),
    Files { piece: Capture, filled: Receiver<Filled>, empty: EmptyPieces, kept: Vec<Capture> },
}

/// The way of the pieces back to the thread, which it parks for when there are none.
struct EmptyPieces {
    /// `None` once the tape is being dropped, so that the thread ends.
    pieces: Option<SyncSender<Capture>>,
    thread: Thread,
}

impl EmptyPieces {
    /// Gives a piece back, or returns it if the thread has ended.
    fn give(&self, piece: Capture) -> Result<(), Capture> {
        let Some(pieces) = &self.pieces else { return Err(piece) };
        let sent = pieces.try_send(piece);
        self.thread.unpark();
        sent.map_err(|(TrySendError::Full(piece) | TrySendError::Disconnected(piece))| piece)
    }
}

impl Drop for EmptyPieces {
    fn drop(&mut self) {
        self.pieces = None;
        self.thread.unpark();
    }
}

/// Fills what is given until the capture ends or nobody reads it any more.
fn fill(mut merge: Merge, to_fill: &Receiver<Capture>, to_tape: &SyncSender<Filled>) {
    loop {
        let mut piece = match to_fill.try_recv() {
            Ok(piece) => piece,
            Err(TryRecvError::Empty) => {
                std::thread::park();
                continue;
            }
            Err(TryRecvError::Disconnected) => return,
        };
        let next = match merge.fill(&mut piece, PIECE_BYTES) {
            Ok(true) => Filled::Piece(piece),
            Ok(false) => Filled::Last(piece, None),
            Err(error) => Filled::Last(piece, Some(error)),
        };
        let is_last = matches!(next, Filled::Last(..));
        // There is room for every piece: this never waits.
        if to_tape.send(next).is_err() || is_last {
            return;
        }
    }
}

/// See the module's documentation.
pub struct Tape {
    origin: Origin,
    next: usize,
    is_last: bool,
    error: Option<LoadError>,
}

impl Tape {
    /// A tape of a capture in memory.
    pub fn of(capture: Arc<Capture>) -> Self {
        Self { origin: Origin::Memory(capture), next: 0, is_last: true, error: None }
    }

    /// A tape of files, which are opened here and read by a thread of its own. The thread ends with the files or with
    /// the tape.
    ///
    /// # Errors
    /// [`LoadError`]: a file cannot be opened or is no capture. What is found wrong later is told by [`Self::into_error`].
    pub fn open(files: &[CaptureFile]) -> Result<Self, LoadError> {
        let merge = Merge::open(files)?;
        let (to_tape, filled) = sync_channel(PIECES);
        let (empty, to_fill) = sync_channel(PIECES);
        for _ in 1..PIECES {
            // There is room for all of them.
            let _ = empty.try_send(Capture::default());
        }
        let thread = std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || fill(merge, &to_fill, &to_tape))
            .map_err(LoadError::Thread)?;
        let empty = EmptyPieces { pieces: Some(empty), thread: thread.thread().clone() };
        let origin = Origin::Files { piece: Capture::default(), filled, empty, kept: Vec::with_capacity(PIECES) };
        Ok(Self { origin, next: 0, is_last: false, error: None })
    }

    /// Returns the next message, if it is there.
    #[inline]
    pub fn next_frame(&mut self) -> TapeNext<'_> {
        while self.next == self.piece().len() {
            if self.is_last {
                return TapeNext::End;
            }
            if !self.turn() {
                return TapeNext::Wait;
            }
        }
        self.next += 1;
        self.piece().get(self.next - 1).map_or(TapeNext::End, TapeNext::Frame)
    }

    fn piece(&self) -> &Capture {
        match &self.origin {
            Origin::Memory(capture) => capture,
            Origin::Files { piece, .. } => piece,
        }
    }

    /// Takes the next piece; false if it is not there yet.
    fn turn(&mut self) -> bool {
        let Origin::Files { piece, filled, empty, kept } = &mut self.origin else { return false };
        let (next, error) = match filled.try_recv() {
            Ok(Filled::Piece(next)) => (next, None),
            Ok(Filled::Last(next, error)) => {
                self.is_last = true;
                (next, error)
            }
            Err(TryRecvError::Empty) => return false,
            // The thread tells its last before it ends.
            Err(TryRecvError::Disconnected) => (Capture::default(), Some(LoadError::Panicked)),
        };
        self.is_last |= error.is_some();
        self.error = error;
        self.next = 0;
        if let Err(piece) = empty.give(std::mem::replace(piece, next)) {
            // The thread has ended. To free the piece is not the replay's to do.
            kept.push(piece);
        }
        true
    }

    /// What ended the tape before its end.
    pub fn into_error(self) -> Option<LoadError> {
        self.error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{CaptureError, CaptureWriter, ClockKind, load};
    use std::path::{Path, PathBuf};

    fn file(path: &Path, feed: u16) -> CaptureFile {
        CaptureFile { path: path.to_owned(), clock: ClockKind::Unix, feed }
    }

    /// Time, feed and message.
    type Line = (u64, usize, Vec<u8>);

    /// Every frame, and what ended the tape.
    fn read(mut tape: Tape) -> (Vec<Line>, Option<LoadError>) {
        let mut frames = Vec::new();
        loop {
            match tape.next_frame() {
                TapeNext::Frame(frame) => frames.push((frame.at.get(), frame.feed, frame.message.to_vec())),
                TapeNext::Wait => std::thread::yield_now(),
                TapeNext::End => return (frames, tape.into_error()),
            }
        }
    }

    /// Two files of several pieces each, the second with every third time of the first.
    fn two_files(dir: &Path) -> [PathBuf; 2] {
        std::fs::create_dir_all(dir).unwrap();
        [("a.jsonl.gz", 1), ("b.jsonl.zst", 3)].map(|(name, step)| {
            let path = dir.join(name);
            let mut writer = CaptureWriter::create(&path).unwrap();
            for n in (0..6_000u64).step_by(step) {
                // Of little compressibility, so that half a file is half of its lines.
                let noise = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                writer.append(n / 2, format!("{name} {n} {noise:0>1000}").as_bytes()).unwrap();
            }
            writer.finish().unwrap();
            path
        })
    }

    #[test]
    fn a_tape_of_files_is_their_merge_whatever_the_pieces() {
        let dir = std::env::temp_dir().join(format!("tercel-tape-{}", std::process::id()));
        let [a, b] = two_files(&dir);
        let whole = load(&[a.clone(), b.clone()], ClockKind::Unix).unwrap();
        assert!(whole.message_bytes() > (PIECES * PIECE_BYTES) as u64);
        let (frames, error) = read(Tape::open(&[file(&a, 0), file(&b, 1)]).unwrap());
        assert!(error.is_none());
        let expected: Vec<_> = (0..whole.len())
            .filter_map(|idx| whole.get(idx))
            .map(|f| (f.at.get(), usize::from(f.message.starts_with(b"b")), f.message.to_vec()))
            .collect();
        assert!(frames == expected);
        let (again, _) = read(Tape::of(Arc::new(whole)));
        assert_eq!(again.len(), frames.len());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_damaged_file_gives_what_is_whole_and_then_its_error() {
        let dir = std::env::temp_dir().join(format!("tercel-tape-cut-{}", std::process::id()));
        let [a, _] = two_files(&dir);
        let bytes = std::fs::read(&a).unwrap();
        std::fs::write(&a, &bytes[..bytes.len() / 2]).unwrap();
        let (frames, error) = read(Tape::open(&[file(&a, 0)]).unwrap());
        assert!((1_000..5_999).contains(&frames.len()), "{}", frames.len());
        assert!(
            matches!(error, Some(LoadError::Capture(CaptureError::Io { line, .. })) if line as usize == frames.len() + 1)
        );
        assert!(Tape::open(&[file(&dir.join("none"), 0)]).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
