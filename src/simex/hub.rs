//! Joins a simulated venue to byte streams, whatever carries them.

use super::{ConnId, Simex, SimexConfig};
use crate::{
    net::{MemoryDialer, MemoryListener, Progress, Transport, memory},
    types::Nanos,
};

/// A simulated venue and its connections. Over pipes in memory it lives on virtual time; [`SimexServer`](super::SimexServer) adds
/// sockets and the wall clock.
pub struct SimexHub {
    simex: Simex,
    conns: Vec<Attached>,
    listeners: Vec<MemoryListener>,
    scratch: Box<[u8]>,
}

struct Attached {
    id: ConnId,
    transport: Transport,
    ended: bool,
}

impl SimexHub {
    /// Opens the venue.
    pub fn new(config: SimexConfig, now: Nanos) -> Self {
        Self {
            simex: Simex::new(config, now),
            conns: Vec::new(),
            listeners: Vec::new(),
            scratch: vec![0; 64 * 1024].into_boxed_slice(),
        }
    }

    /// Takes over a stream that a client just opened; false if there are too many, and then the stream is closed.
    pub fn attach(&mut self, mut transport: Transport, now: Nanos) -> bool {
        let Some(id) = self.simex.on_connect(now) else {
            transport.shutdown();
            return false;
        };
        self.conns.push(Attached { id, transport, ended: false });
        true
    }

    /// Connects through memory and returns the client's end of a pipe that holds `capacity` bytes each way.
    pub fn connect(&mut self, capacity: usize, now: Nanos) -> Transport {
        let (near, far) = memory::pipe(capacity);
        self.attach(Transport::Memory(far), now);
        Transport::Memory(near)
    }

    /// Returns a way to connect through memory at any time, over pipes that hold `capacity` bytes each way; streams are
    /// taken at the next poll.
    pub fn dialer(&mut self, capacity: usize) -> MemoryDialer {
        let (dialer, listener) = memory::listen(capacity);
        self.listeners.push(listener);
        dialer
    }

    fn accept(&mut self, now: Nanos) -> usize {
        let mut accepted = Vec::new();
        for listener in &mut self.listeners {
            accepted.extend(std::iter::from_fn(|| listener.accept()));
        }
        let count = accepted.len();
        for transport in accepted {
            self.attach(transport, now);
        }
        count
    }

    /// Does what can be done at `now` without waiting, and returns how much.
    pub fn poll(&mut self, now: Nanos) -> usize {
        let mut work = self.accept(now);
        for conn in &mut self.conns {
            if self.simex.is_stalled(conn.id, now) {
                continue;
            }
            // Bounded, so that one busy client cannot starve the others.
            for _ in 0..READS_PER_POLL_MAX {
                match conn.transport.try_read(&mut self.scratch) {
                    Ok(Progress::Bytes(len)) => {
                        work += 1;
                        self.simex.recv(conn.id, self.scratch.get(..len).unwrap_or_default(), now);
                    }
                    Ok(Progress::WouldBlock) => break,
                    Ok(Progress::Closed) | Err(_) => {
                        conn.ended = true;
                        break;
                    }
                }
            }
        }
        work += self.simex.poll(now);
        let simex = &mut self.simex;
        self.conns.retain_mut(|conn| {
            if simex.is_stalled(conn.id, now) {
                return true;
            }
            work += flush(simex, conn);
            if conn.ended {
                conn.transport.shutdown();
                simex.on_disconnect(conn.id);
            }
            !conn.ended
        });
        work
    }

    /// Returns the venue.
    pub fn simex(&self) -> &Simex {
        &self.simex
    }

    /// Plays a script of faults from `start` on.
    pub fn set_faults(&mut self, script: &super::fault::FaultScript, start: Nanos) {
        self.simex.set_faults(script, start);
    }

    /// Returns how many connections there are.
    pub fn conns_len(&self) -> usize {
        self.conns.len()
    }
}

fn flush(simex: &mut Simex, conn: &mut Attached) -> usize {
    let mut written = 0;
    while !conn.ended && !simex.pending(conn.id).is_empty() {
        match conn.transport.try_write(simex.pending(conn.id)) {
            Ok(Progress::Bytes(len)) => {
                simex.sent(conn.id, len);
                written += 1;
            }
            Ok(Progress::WouldBlock) => break,
            Ok(Progress::Closed) | Err(_) => conn.ended = true,
        }
    }
    match conn.transport.try_flush() {
        Ok(flushed) => conn.ended |= flushed && simex.is_finished(conn.id),
        Err(_) => conn.ended = true,
    }
    written
}

/// 1 MiB from one client before the next has its turn.
const READS_PER_POLL_MAX: usize = 16;
