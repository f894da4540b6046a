//! The engine's end of the lease: sends heartbeats to a guard on another host and holds the lease that its answers give.
//!
//! Thread: its own, of the shell. It tells how far core and gateway have come, it does not beat for them: while they hang, what
//! it sends does not move. If it hangs itself, no lease comes, and the gateway closes by time.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::page::at;
use super::wire::{ACK_BYTES, Ack, Hello, Verdict, WireKey};
use super::{Halt, Heartbeat, Mode, boot_ns};
use crate::ring::Flag;

/// Heartbeats whose time of sending is remembered; at a twentieth of the lease each they cover several leases.
const REMEMBERED: usize = 128;

/// How long a thread that ends tries to tell the guard.
const FAREWELLS: u32 = 25;

/// What a lease is about.
#[derive(Debug)]
pub struct LeaseConfig {
    /// Where the guard listens: `HOST:PORT`.
    pub guard: String,
    /// The key that both share.
    pub key: WireKey,
    /// How long an acknowledgement lets the engine trade, in nanoseconds.
    pub lease_ns: u64,
}

/// A running lease.
#[derive(Debug)]
pub struct LeaseClient {
    stop: Flag,
    thread: Option<JoinHandle<()>>,
}

impl LeaseClient {
    /// Begins to ask for leases.
    ///
    /// # Errors
    /// Of the socket, or when no thread can be started.
    pub fn start(beat: Arc<Heartbeat>, config: LeaseConfig) -> io::Result<Self> {
        let mut addrs = std::net::ToSocketAddrs::to_socket_addrs(&config.guard)?;
        let to = addrs.next().ok_or_else(|| io::Error::other(format!("`{}` is no address", config.guard)))?;
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect(to)?;
        let interval = Duration::from_nanos((config.lease_ns / 20).clamp(1_000_000, 50_000_000));
        socket.set_read_timeout(Some(interval))?;
        let stop = Flag::new();
        let stopping = stop.clone();
        let thread = std::thread::Builder::new().name("lease".into()).spawn(move || {
            let mut asking =
                Asking { beat, lease_ns: config.lease_ns, session: 0, counter: 0, acked: 0, sent_at: [0; REMEMBERED] };
            let mut farewells = 0;
            loop {
                let is_last = stopping.is_set();
                let hello = asking.next(boot_ns());
                // Lost datagrams, refused ones and unreachable hosts are all the same: no answer.
                let _ = socket.send(&hello.seal(&config.key));
                let due = boot_ns() + interval.as_nanos() as u64;
                let mut bytes = [0; ACK_BYTES + 1];
                while boot_ns() < due {
                    let Ok(len) = socket.recv(&mut bytes) else {
                        // An unreachable host answers at once; it is not asked more often for that.
                        std::thread::sleep(Duration::from_nanos(due.saturating_sub(boot_ns())));
                        break;
                    };
                    if let Some(ack) = bytes.get(..len).and_then(|bytes| Ack::open(&config.key, bytes)) {
                        asking.hear(&ack, boot_ns());
                    }
                }
                farewells += u32::from(is_last);
                if is_last && (asking.acked == hello.counter || farewells >= FAREWELLS) {
                    return;
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Tells the guard the engine's last mode and ends; takes at most a second or so.
    pub fn end(mut self) {
        self.stop_and_join();
    }

    fn stop_and_join(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            // It has nothing that could panic but a bug, and then the lease ends by itself.
            let _ = thread.join();
        }
    }
}

impl Drop for LeaseClient {
    fn drop(&mut self) {
        self.stop_and_join();
    }
}

/// What was sent and heard; the clock is an argument.
struct Asking {
    beat: Arc<Heartbeat>,
    lease_ns: u64,
    session: u64,
    counter: u64,
    /// The newest counter that was answered.
    acked: u64,
    sent_at: [u64; REMEMBERED],
}

impl Asking {
    fn next(&mut self, boot: u64) -> Hello {
        self.counter += 1;
        self.sent_at[self.counter as usize % REMEMBERED] = boot;
        let life = self.beat.life();
        Hello {
            session: self.session,
            incarnation: life.incarnation,
            counter: self.counter,
            core: self.beat.page.read(at::CORE),
            gateway: self.beat.page.read(at::GATEWAY),
            mode: life.mode,
            inherits: life.inherits,
            recv_window_ms: self.beat.recv_window_ms(),
            lease_ms: self.lease_ns / 1_000_000,
        }
    }

    fn hear(&mut self, ack: &Ack, boot: u64) {
        let is_ours = ack.incarnation == self.beat.incarnation();
        let is_news = ack.counter > self.acked && ack.counter <= self.counter;
        if !is_ours || !is_news || self.counter - ack.counter >= REMEMBERED as u64 {
            return;
        }
        self.acked = ack.counter;
        self.session = ack.session;
        match ack.verdict {
            Verdict::Heard => {}
            // Who woke up after its lease must not get a new one before it has noticed.
            Verdict::Granted if self.beat.mode() == Mode::Running && !self.beat.has_lease(boot) => {
                self.beat.set_halt(Halt::LeaseOver);
                self.beat.fence_self();
            }
            Verdict::Granted => {
                let sent_at = self.sent_at[ack.counter as usize % REMEMBERED];
                self.beat.extend_lease(sent_at.saturating_add(self.lease_ns));
            }
            Verdict::Fenced => self.beat.fence_self(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: u64 = 1_000_000_000;

    fn asking() -> Asking {
        let beat = Arc::new(Heartbeat::register(None, 1, 5000, 77).unwrap());
        Asking { beat, lease_ns: LEASE, session: 0, counter: 0, acked: 0, sent_at: [0; REMEMBERED] }
    }

    fn ack(counter: u64, verdict: Verdict) -> Ack {
        Ack { session: 9, incarnation: 77, counter, verdict }
    }

    #[test]
    fn a_lease_counts_from_when_its_heartbeat_was_sent() {
        let mut asking = asking();
        assert_eq!(asking.next(1_000).session, 0);
        asking.next(2_000);
        asking.hear(&ack(1, Verdict::Granted), 2_000);
        assert_eq!(asking.next(3_000).session, 9);
        assert!(asking.beat.has_lease(999 + LEASE) && !asking.beat.has_lease(1_000 + LEASE));
        asking.hear(&ack(3, Verdict::Granted), 3_000);
        assert!(asking.beat.has_lease(2_999 + LEASE));
        // Late, played again, of another life, of the future: nothing changes.
        for ack in [
            ack(2, Verdict::Fenced),
            ack(3, Verdict::Fenced),
            ack(4, Verdict::Fenced),
            Ack { incarnation: 76, ..ack(3, Verdict::Fenced) },
        ] {
            asking.hear(&ack, 3_000);
            assert!(!asking.beat.is_fenced() && asking.beat.has_lease(2_999 + LEASE), "{ack:?}");
        }
    }

    #[test]
    fn a_fenced_engine_learns_it_and_an_answer_that_is_too_old_gives_nothing() {
        let mut asking = asking();
        for boot in 1..=REMEMBERED as u64 + 1 {
            asking.next(boot);
        }
        asking.hear(&ack(1, Verdict::Granted), 200);
        assert!(!asking.beat.has_lease(0), "its time of sending is forgotten");
        asking.hear(&ack(2, Verdict::Fenced), 200);
        assert!(asking.beat.is_fenced());
    }

    #[test]
    fn a_lease_that_ran_out_while_it_traded_is_not_renewed() {
        let mut asking = asking();
        asking.next(1);
        asking.hear(&ack(1, Verdict::Granted), 2);
        asking.beat.set_mode(Mode::Running);
        asking.next(LEASE);
        asking.hear(&ack(2, Verdict::Granted), LEASE);
        assert!(!asking.beat.is_fenced(), "in time");
        asking.next(5 * LEASE);
        asking.hear(&ack(3, Verdict::Granted), 5 * LEASE);
        assert!(asking.beat.is_fenced() && !asking.beat.has_lease(5 * LEASE));
        assert_eq!(asking.beat.halt(), Some(Halt::LeaseOver));
    }
}
