//! Received messages on their way to a file, so that compressing and the disk never slow the socket.
//!
//! ```text
//! socket ──▶ FrameSender ──filled blocks──▶ FrameReceiver ──▶ file
//!                 ▲                              │
//!                 └─────────empty blocks─────────┘
//! ```
//!
//! The blocks are made once and go round. The sender never waits: when no block is free the message is lost, counted, and told to the
//! receiver as a [`Gap`] when there is room again.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::meta::{Gap, GapCause};

/// Bytes of messages in one block, at least and at most; one message more may reach beyond.
const BLOCK_BYTES: [usize; 2] = [1 << 12, 1 << 18];

/// What comes out of the queue.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A message.
    Frame {
        /// Receive time in Unix nanoseconds.
        recv_ns: u64,
        /// The message.
        message: &'a [u8],
    },
    /// Something is missing before what comes next.
    Gap(Gap),
}

enum Entry {
    Frame { recv_ns: u64, len: usize },
    Gap(Gap),
}

#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is on its way.
    Taken,
    /// It is on its way, the first after some that were lost.
    TakenAfterLoss,
    /// There was no room.
    Lost,
    /// Nobody takes anything any more.
    Closed,
}

/// The socket's end.
pub struct FrameSender {
    block: Option<Block>,
    block_bytes: usize,
    empty: Receiver<Block>,
    filled: SyncSender<Block>,
    is_closed: bool,
    /// Receive time of the newest message that was taken.
    newest_ns: u64,
    gap: Option<Gap>,
    taken: (u64, u64),
    lost: u64,
}

/// The file's end.
pub struct FrameReceiver {
    filled: Receiver<Block>,
    empty: SyncSender<Block>,
}

/// Makes a queue of about `bytes` bytes, at least two blocks.
pub fn frame_queue(bytes: u64) -> (FrameSender, FrameReceiver) {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let block_bytes = (bytes / 2).clamp(BLOCK_BYTES[0], BLOCK_BYTES[1]);
    let blocks = bytes.div_ceil(block_bytes).max(2);
    let (filled_in, filled) = sync_channel(blocks);
    let (empty_in, empty) = sync_channel(blocks);
    for _ in 0..blocks {
        // There is room for all of them.
        let _ = empty_in.try_send(Block::default());
    }
    let sender = FrameSender {
        block: None,
        block_bytes,
        empty,
        filled: filled_in,
        is_closed: false,
        newest_ns: 0,
        gap: None,
        taken: (0, 0),
        lost: 0,
    };
    (sender, FrameReceiver { filled, empty: empty_in })
}

impl FrameSender {
    /// Gives a message to the file, or loses it. Never waits.
    pub fn push(&mut self, recv_ns: u64, message: &[u8]) -> Pushed {
        if self.block.as_ref().is_some_and(|block| block.bytes.len() >= self.block_bytes) {
            self.flush();
        }
        if self.block.is_none() {
            self.block = self.empty.try_recv().ok();
        }
        if self.is_closed {
            return Pushed::Closed;
        }
        let Some(block) = &mut self.block else {
            self.lost += 1;
            self.open_gap(GapCause::QueueFull).messages += 1;
            return Pushed::Lost;
        };
        let gap = self.gap.take().map(|gap| Gap { to_ns: recv_ns, ..gap });
        let after_loss = gap.as_ref().is_some_and(|gap| gap.cause == GapCause::QueueFull);
        block.entries.extend(gap.map(Entry::Gap));
        block.entries.push(Entry::Frame { recv_ns, len: message.len() });
        block.bytes.extend_from_slice(message);
        self.newest_ns = recv_ns;
        self.taken = (self.taken.0 + 1, self.taken.1 + message.len() as u64);
        if after_loss { Pushed::TakenAfterLoss } else { Pushed::Taken }
    }

    /// The connection was lost, or given up: what comes next does not follow on what came before.
    pub fn interrupted(&mut self, cause: GapCause) {
        // Before the first message there is nothing that could be interrupted.
        if self.newest_ns != 0 {
            self.open_gap(cause);
        }
    }

    fn open_gap(&mut self, cause: GapCause) -> &mut Gap {
        let from_ns = self.newest_ns;
        self.gap.get_or_insert(Gap { from_ns, to_ns: from_ns, messages: 0, cause })
    }

    /// Hands over what was gathered, so that it does not wait for more.
    pub fn flush(&mut self) {
        let Some(block) = self.block.take_if(|block| !block.entries.is_empty()) else { return };
        // There is room for every block there is.
        self.is_closed |= self.filled.try_send(block).is_err();
    }

    /// Messages and bytes taken so far.
    pub fn taken(&self) -> (u64, u64) {
        self.taken
    }

    /// Messages lost so far, because there was no room.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Hands over the rest; a gap that nothing follows is told too. The receiver ends after it.
    pub fn close(mut self) {
        if let Some(gap) = self.gap.take() {
            if self.block.is_none() {
                // The end may wait for the disk.
                self.block = self.empty.recv().ok();
            }
            if let Some(block) = &mut self.block {
                block.entries.push(Entry::Gap(gap));
            }
        }
        self.flush();
    }
}

impl FrameReceiver {
    /// Waits for the next block and gives what it holds to `take`; false if there will be none.
    ///
    /// # Errors
    /// What `take` says.
    pub fn drain(&self, mut take: impl FnMut(Item<'_>) -> io::Result<()>) -> io::Result<bool> {
        let Ok(mut block) = self.filled.recv() else { return Ok(false) };
        let mut start = 0;
        for entry in block.entries.drain(..) {
            match entry {
                Entry::Gap(gap) => take(Item::Gap(gap))?,
                Entry::Frame { recv_ns, len } => {
                    take(Item::Frame { recv_ns, message: &block.bytes[start..start + len] })?;
                    start += len;
                }
            }
        }
        block.bytes.clear();
        // Nobody takes it back if the socket's end is gone.
        let _ = self.empty.try_send(block);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(receiver: &FrameReceiver) -> (Vec<(u64, Vec<u8>)>, Vec<Gap>) {
        let (mut frames, mut gaps) = (Vec::new(), Vec::new());
        let mut take = |item: Item<'_>| {
            match item {
                Item::Frame { recv_ns, message } => frames.push((recv_ns, message.to_vec())),
                Item::Gap(gap) => gaps.push(gap),
            }
            Ok(())
        };
        while receiver.drain(&mut take).unwrap() {}
        (frames, gaps)
    }

    #[test]
    fn everything_comes_out_in_order_and_blocks_go_round() {
        let (mut sender, receiver) = frame_queue(20_000);
        let reader = std::thread::spawn(move || all(&receiver));
        let message = |n: u64| vec![n as u8; (n * 37 % 5_000) as usize];
        for n in 1..=5_000 {
            // Faster than the other thread may be: as the socket must not, the test waits.
            while sender.push(n, &message(n)) == Pushed::Lost {
                std::thread::yield_now();
            }
            if n % 100 == 0 {
                sender.flush();
            }
        }
        assert_eq!(sender.taken().0, 5_000);
        sender.close();
        let (frames, _) = reader.join().unwrap();
        assert_eq!(frames.len(), 5_000);
        assert!(frames.iter().zip(1..).all(|((at, frame), n)| *at == n && *frame == message(n)));
    }

    #[test]
    fn a_full_queue_loses_counts_and_says_where() {
        let (mut sender, receiver) = frame_queue(2 * BLOCK_BYTES[0] as u64);
        let message = vec![b'x'; BLOCK_BYTES[0] / 2];
        let mut at = 0;
        let mut push = |sender: &mut FrameSender| {
            at += 10;
            sender.push(at, &message)
        };
        // Nobody takes anything: two blocks of two messages each.
        for _ in 0..4 {
            assert_eq!(push(&mut sender), Pushed::Taken);
        }
        for _ in 0..3 {
            assert_eq!(push(&mut sender), Pushed::Lost);
        }
        assert!(receiver.drain(|_| Ok(())).unwrap());
        assert_eq!(push(&mut sender), Pushed::TakenAfterLoss);
        assert_eq!(push(&mut sender), Pushed::Taken);
        sender.interrupted(GapCause::ConnectionLost);
        assert_eq!((sender.taken().0, sender.lost()), (6, 3));
        sender.close();
        let (frames, gaps) = all(&receiver);
        assert_eq!(frames.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [30, 40, 80, 90]);
        let full = Gap { from_ns: 40, to_ns: 80, messages: 3, cause: GapCause::QueueFull };
        let lost = Gap { from_ns: 90, to_ns: 90, messages: 0, cause: GapCause::ConnectionLost };
        assert_eq!(gaps, [full, lost]);
    }

    #[test]
    fn a_sender_without_a_receiver_is_told() {
        let (mut sender, receiver) = frame_queue(1);
        sender.interrupted(GapCause::ConnectionLost);
        assert_eq!(sender.push(1, b"a"), Pushed::Taken);
        drop(receiver);
        sender.flush();
        assert_eq!(sender.push(2, b"b"), Pushed::Closed);
    }
}
