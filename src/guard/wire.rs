//! Heartbeats through a network: one datagram there, one back, each with a MAC by a shared key.
//!
//! ```text
//! HELLO  magic | session | incarnation | counter | core | gateway | mode, inherits, window | lease ms | MAC (64 hex)
//! ACK    magic | session | incarnation | counter | verdict                                             | MAC (64 hex)
//! ```
//!
//! Words are little-endian. The magics differ, so that neither can be sent back as the other. `session` is a number that the
//! guard draws at its start, and 0 while the engine does not know it: an old heartbeat played to a guard that was restarted
//! has the wrong one. Within a session counters only grow. An acknowledgement names the counter that it answers, and the
//! lease counts from the moment at which that heartbeat was *sent*; an old one played again extends nothing.
//!
//! Not secret: who listens learns that the engine beats. Who can stop the datagrams can make the guard act.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::Mode;
use super::watch::Sight;
use crate::venue::bybit::{Secret, Signer};

const HELLO: u64 = u64::from_le_bytes(*b"TRCLHB01");
const ACK: u64 = u64::from_le_bytes(*b"TRCLAK01");
const HELLO_WORDS: usize = 8;
const ACK_WORDS: usize = 5;
const MAC_BYTES: usize = 64;
/// Bytes of a heartbeat datagram.
pub(super) const HELLO_BYTES: usize = HELLO_WORDS * 8 + MAC_BYTES;
/// Bytes of its answer.
pub(super) const ACK_BYTES: usize = ACK_WORDS * 8 + MAC_BYTES;

/// Bytes that a shared key must have at least.
const KEY_BYTES_MIN: usize = 32;

/// Most datagrams taken in one poll: a flood does not keep the guard from its watch.
const DATAGRAMS_PER_POLL: usize = 64;

/// Why a shared key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read it.
    #[error("{}: found mode {mode:03o}, a key is for its owner alone (chmod 600)", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Too short to be a key.
    #[error("{}: found {found} bytes, a key has {KEY_BYTES_MIN} or more (openssl rand -hex 32)", path.display())]
    Short {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
}

/// The key that engine and guard share.
#[derive(Debug)]
pub struct WireKey(Signer);

impl WireKey {
    /// Takes the bytes of a key.
    pub fn new(secret: &Secret) -> Self {
        Self(Signer::new(secret))
    }

    /// Reads a key from a file of which only its owner knows; space around it does not count.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        use std::os::unix::fs::MetadataExt;
        let read = |source| KeyError::Read { path: path.to_owned(), source };
        let mode = std::fs::metadata(path).map_err(read)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Open { path: path.to_owned(), mode });
        }
        let bytes = Zeroizing::new(std::fs::read(path).map_err(read)?);
        let key = bytes.trim_ascii();
        if key.len() < KEY_BYTES_MIN {
            return Err(KeyError::Short { path: path.to_owned(), found: key.len() });
        }
        Ok(Self::new(&Secret::new(key)))
    }

    fn seal<const WORDS: usize, const BYTES: usize>(&self, words: [u64; WORDS]) -> [u8; BYTES] {
        let mut out = [0; BYTES];
        let (body, mac) = out.split_at_mut(WORDS * 8);
        for (chunk, word) in body.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        mac.copy_from_slice(&self.0.sign(&[body]));
        out
    }

    fn open<const WORDS: usize>(&self, bytes: &[u8], magic: u64) -> Option<[u64; WORDS]> {
        let (body, mac) = bytes.split_at_checked(WORDS * 8)?;
        let want = self.0.sign(&[body]);
        // The whole length in any case: the time taken must not tell how much of a guess was right.
        let differing = mac.iter().zip(want).fold(0, |sum, (found, want)| sum | (found ^ want));
        if mac.len() != MAC_BYTES || std::hint::black_box(differing) != 0 {
            return None;
        }
        let mut words = [0; WORDS];
        for (word, chunk) in words.iter_mut().zip(body.chunks_exact(8)) {
            *word = u64::from_le_bytes(chunk.try_into().ok()?);
        }
        (words.first() == Some(&magic)).then_some(words)
    }
}

/// A heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The guard's number, as far as it is known.
    pub session: u64,
    /// Which life of the engine.
    pub incarnation: u64,
    /// Of this datagram; grows.
    pub counter: u64,
    /// Beats of the core.
    pub core: u64,
    /// Beats of the gateway.
    pub gateway: u64,
    /// What the engine says of itself.
    pub mode: Mode,
    /// Whether the incarnation before may have left orders.
    pub inherits: bool,
    /// How late its requests may reach the venue.
    pub recv_window_ms: u32,
    /// How long it trades on an acknowledgement.
    pub lease_ms: u64,
}

impl Hello {
    pub(super) fn seal(&self, key: &WireKey) -> [u8; HELLO_BYTES] {
        let flags = self.mode as u64 | u64::from(self.inherits) << 8 | u64::from(self.recv_window_ms) << 32;
        let Self { session, incarnation, counter, core, gateway, lease_ms, .. } = *self;
        key.seal([HELLO, session, incarnation, counter, core, gateway, flags, lease_ms])
    }

    fn open(key: &WireKey, bytes: &[u8]) -> Option<Self> {
        let [_, session, incarnation, counter, core, gateway, flags, lease_ms] = key.open(bytes, HELLO)?;
        let (mode, inherits) = (Mode::from_bits(flags)?, flags & 0x100 != 0);
        let recv_window_ms = (flags >> 32) as u32;
        Some(Self { session, incarnation, counter, core, gateway, mode, inherits, recv_window_ms, lease_ms })
    }
}

/// What a guard answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is heard, and not watched yet: the session is new to it, or something else must be settled first.
    Heard = 0,
    /// It is watched and may trade for the length of the lease.
    Granted = 1,
    /// It is fenced, for good.
    Fenced = 2,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The guard's number.
    pub session: u64,
    /// Whom it answers.
    pub incarnation: u64,
    /// Which of its datagrams.
    pub counter: u64,
    /// What it says.
    pub verdict: Verdict,
}

impl Ack {
    fn seal(&self, key: &WireKey) -> [u8; ACK_BYTES] {
        key.seal([ACK, self.session, self.incarnation, self.counter, self.verdict as u64])
    }

    pub(super) fn open(key: &WireKey, bytes: &[u8]) -> Option<Self> {
        let [_, session, incarnation, counter, verdict] = key.open(bytes, ACK)?;
        let verdict =
            [Verdict::Heard, Verdict::Granted, Verdict::Fenced].into_iter().find(|known| *known as u64 == verdict)?;
        Some(Self { session, incarnation, counter, verdict })
    }
}

/// The guard's end: a socket, and what was heard last.
#[derive(Debug)]
pub struct Station {
    socket: UdpSocket,
    key: WireKey,
    session: u64,
    heard: Option<Hello>,
    /// Heartbeats that counted.
    links: u64,
    refused: u64,
    /// To be answered: whom, and what was heard.
    unanswered: Vec<(SocketAddr, Hello)>,
    /// Until when the last lease may be held at most, by our clock.
    leased_until: u64,
}

impl Station {
    /// Listens.
    ///
    /// # Errors
    /// Of the socket, or a system without randomness.
    pub fn listen(addr: SocketAddr, key: WireKey) -> io::Result<Self> {
        let socket = UdpSocket::bind(addr)?;
        socket.set_nonblocking(true)?;
        let mut bytes = [0; 8];
        SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random numbers"))?;
        // Zero is the session of those who know none.
        let session = u64::from_le_bytes(bytes).max(1);
        let unanswered = Vec::with_capacity(DATAGRAMS_PER_POLL);
        Ok(Self { socket, key, session, heard: None, links: 0, refused: 0, unanswered, leased_until: 0 })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Of the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Takes what came, and returns what is known of the engine.
    pub fn look(&mut self) -> Option<Sight> {
        let mut bytes = [0; HELLO_BYTES + 1];
        for _ in 0..DATAGRAMS_PER_POLL {
            // Any error is nothing to read: an unreachable peer's echo, too.
            let Ok((len, from)) = self.socket.recv_from(&mut bytes) else { break };
            let hello = bytes.get(..len).filter(|_| len == HELLO_BYTES).and_then(|bytes| Hello::open(&self.key, bytes));
            match hello {
                Some(hello) => self.hear(from, hello),
                None => self.refused += 1,
            }
        }
        let hello = self.heard?;
        Some(Sight {
            incarnation: hello.incarnation,
            mode: hello.mode,
            inherits: hello.inherits,
            core: hello.core,
            gateway: hello.gateway,
            link: Some(self.links),
            is_gone: false,
        })
    }

    fn hear(&mut self, from: SocketAddr, hello: Hello) {
        if hello.session == self.session {
            let is_old =
                self.heard.is_some_and(|last| hello.incarnation == last.incarnation && hello.counter <= last.counter);
            if is_old {
                self.refused += 1;
                return;
            }
            if self.heard.is_none_or(|last| hello.incarnation >= last.incarnation) {
                self.heard = Some(hello);
                self.links += 1;
            }
        }
        self.unanswered.push((from, hello));
    }

    /// Answers everything that came: `watching` may trade, incarnations up to `fenced` may not. `boot` is our clock.
    pub fn answer(&mut self, watching: Option<u64>, fenced: u64, boot: u64) {
        for (to, hello) in self.unanswered.drain(..) {
            let verdict = if hello.incarnation <= fenced {
                Verdict::Fenced
            } else if hello.session == self.session && watching == Some(hello.incarnation) {
                // It sent this heartbeat before now, so its lease ends before this.
                let until = boot.saturating_add(hello.lease_ms.saturating_mul(1_000_000));
                self.leased_until = self.leased_until.max(until);
                Verdict::Granted
            } else {
                Verdict::Heard
            };
            let ack = Ack { session: self.session, incarnation: hello.incarnation, counter: hello.counter, verdict };
            // A datagram that cannot be sent is one that is lost: the next heartbeat asks again.
            let _ = self.socket.send_to(&ack.seal(&self.key), to);
        }
    }

    /// When the last lease ends at the latest, by the clock given to [`Self::answer`].
    pub fn leased_until(&self) -> u64 {
        self.leased_until
    }

    /// How late a request of the engine may reach the venue, in milliseconds, as it says itself.
    pub fn recv_window_ms(&self) -> u64 {
        self.heard.map_or(0, |hello| u64::from(hello.recv_window_ms))
    }

    /// Datagrams that were refused: forged, damaged, or played again.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> WireKey {
        WireKey::new(&Secret::new(text))
    }

    fn hello(session: u64, counter: u64) -> Hello {
        Hello {
            session,
            incarnation: 8,
            counter,
            core: 3,
            gateway: 4,
            mode: Mode::Running,
            inherits: true,
            recv_window_ms: 5000,
            lease_ms: 1000,
        }
    }

    struct Rig {
        station: Station,
        socket: UdpSocket,
    }

    impl Rig {
        fn new() -> Self {
            let station = Station::listen("127.0.0.1:0".parse().unwrap(), key("a key")).unwrap();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(station.local_addr().unwrap()).unwrap();
            socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
            Self { station, socket }
        }

        fn say(&mut self, bytes: &[u8], watching: Option<u64>, fenced: u64) -> Option<Ack> {
            self.socket.send(bytes).unwrap();
            self.station.look();
            self.station.answer(watching, fenced, 1_000);
            let mut answer = [0; 256];
            let len = self.socket.recv(&mut answer).ok()?;
            Some(Ack::open(&key("a key"), &answer[..len]).unwrap())
        }
    }

    #[test]
    fn datagrams_survive_and_every_changed_bit_is_noticed() {
        let sealed = hello(1, 2).seal(&key("k"));
        assert_eq!(Hello::open(&key("k"), &sealed), Some(hello(1, 2)));
        assert_eq!(Hello::open(&key("other"), &sealed), None);
        for at in 0..sealed.len() * 8 {
            let mut changed = sealed;
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(Hello::open(&key("k"), &changed), None, "bit {at}");
        }
        for len in 0..sealed.len() {
            assert_eq!(Hello::open(&key("k"), &sealed[..len]), None);
        }
        let ack = Ack { session: 1, incarnation: 2, counter: 3, verdict: Verdict::Fenced };
        assert_eq!(Ack::open(&key("k"), &ack.seal(&key("k"))), Some(ack));
        assert_eq!(Ack::open(&key("k"), &sealed), None, "a heartbeat is no answer");
    }

    #[test]
    fn a_lease_needs_the_session_and_is_granted_to_the_watched_one_alone() {
        let mut rig = Rig::new();
        let first = rig.say(&hello(0, 1).seal(&key("a key")), Some(8), 0).unwrap();
        assert_eq!(first.verdict, Verdict::Heard, "who does not know the session may be a recording");
        assert!(rig.station.look().is_none() && rig.station.leased_until() == 0);
        let session = first.session;
        let mut say =
            |counter, watching, fenced| rig.say(&hello(session, counter).seal(&key("a key")), watching, fenced);
        assert_eq!(say(2, None, 0).unwrap().verdict, Verdict::Heard);
        let granted = say(3, Some(8), 7).unwrap();
        assert_eq!((granted.verdict, granted.counter), (Verdict::Granted, 3));
        assert_eq!(say(4, None, 8).unwrap().verdict, Verdict::Fenced);
        assert_eq!(rig.station.leased_until(), 1_000 + 1_000_000_000);
    }

    #[test]
    fn what_was_sent_before_does_not_count_again() {
        let mut rig = Rig::new();
        let session = rig.say(&hello(0, 1).seal(&key("a key")), None, 0).unwrap().session;
        let sealed = hello(session, 2).seal(&key("a key"));
        rig.say(&sealed, None, 0).unwrap();
        let links = rig.station.look().unwrap().link;
        assert_eq!(rig.say(&sealed, None, 0), None, "played again");
        assert_eq!(rig.say(&hello(session, 3).seal(&key("a guess")), None, 0), None, "forged");
        assert_eq!(rig.say(b"", None, 0), None);
        assert_eq!(rig.station.look().unwrap().link, links);
        assert_eq!(rig.station.refused(), 3);
    }
}
