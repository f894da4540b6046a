//! The heartbeat page: what engine and guard tell each other on one host.
//!
//! ```text
//! line  words (64 bytes a line)                               written by
//!  0    magic, version                                        whoever comes first
//!  1    life (incarnation, mode), pid, run id, window, halt   engine
//!  2    beats of the core, its clock                          core duty
//!  3    beats of the gateway, its clock                       gateway duty
//!  4    fence, fenced by, settled                             guard (and an engine that fences itself or its ancestors)
//!  5    guard: pid, number, beats, watching                   first guard
//!  6    the same                                              second guard
//!  7    lease until                                           lease thread of the engine
//! ```
//!
//! An *incarnation* is one life of the engine on the page, greater than every one before it. The fence names the newest
//! incarnation that may not trade: an engine is fenced while `fence >= its own`. So a fence is never cleared, a new
//! incarnation needs nobody's leave to be unfenced, and an old process that wakes up behind a new one stays fenced.
//!
//! That the engine lives is a lock that it holds on the file: the kernel lets go of it at any death, in any pid namespace.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::watch::Sight;
use super::{Halt, boot_ns};
use crate::ring::SharedPage;
use crate::types::Nanos;

const MAGIC: u64 = u64::from_le_bytes(*b"TERCELHB");
const VERSION: u64 = 1;

/// Places of the words.
pub(super) mod at {
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 1;
    pub const LIFE: usize = 8;
    pub const PID: usize = 9;
    pub const RUN_ID: usize = 10;
    pub const RECV_WINDOW_MS: usize = 11;
    pub const HALT: usize = 12;
    pub const CORE: usize = 16;
    pub const GATEWAY: usize = 24;
    pub const FENCE: usize = 32;
    pub const FENCED_BY: usize = 33;
    pub const SETTLED: usize = 34;
    pub const GUARDS: [usize; 2] = [40, 48];
    pub const LEASE_UNTIL: usize = 56;
    /// Within a guard's line.
    pub const GUARD_PID: usize = 0;
    pub const GUARD_NUMBER: usize = 1;
    pub const GUARD_BEATS: usize = 2;
    pub const GUARD_WATCHING: usize = 3;
}

/// What an incarnation says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It has no order of its own yet; those of an earlier incarnation may be open.
    Starting = 1,
    /// It trades, or is stopping.
    Running = 2,
    /// It ended in order, and the venue showed no open order.
    Finished = 3,
    /// It ended, and orders may be open.
    Left = 4,
}

impl Mode {
    pub(super) fn from_bits(bits: u64) -> Option<Self> {
        [Self::Starting, Self::Running, Self::Finished, Self::Left].into_iter().find(|mode| *mode as u64 == bits & 0x0f)
    }
}

/// Incarnation, whether its predecessor left orders behind, and mode: one word, so that they belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub incarnation: u64,
    pub inherits: bool,
    pub mode: Mode,
}

impl Life {
    fn pack(self) -> u64 {
        self.incarnation << 8 | u64::from(self.inherits) << 4 | self.mode as u64
    }

    fn unpack(word: u64) -> Option<Self> {
        Some(Self { incarnation: word >> 8, inherits: word & 0x10 != 0, mode: Mode::from_bits(word)? })
    }
}

/// Why a page cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// What the system says.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// Not ours, or open to others.
    #[error("{}: found owner {owner} and mode {mode:03o}, allowed is a file of our own with mode 600", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its permissions.
        mode: u32,
    },
    /// Something else, or of another version.
    #[error("{}: is no heartbeat page of version {VERSION}", path.display())]
    NotAPage {
        /// The file.
        path: PathBuf,
    },
    /// Another engine or guard has it.
    #[error("{}: another {who} is using it", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
        /// Engine or guard.
        who: &'static str,
    },
}

fn open_private(path: &Path) -> Result<File, PageError> {
    let io = |source| PageError::Io { path: path.to_owned(), source };
    let mut options = File::options();
    // Never through a link that somebody put there: the folder may be open to all.
    options.read(true).write(true).create(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let file = options.open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    let mode = meta.mode() & 0o777;
    if meta.uid() != rustix::process::geteuid().as_raw() || mode & 0o077 != 0 {
        return Err(PageError::Foreign { path: path.to_owned(), owner: meta.uid(), mode });
    }
    Ok(file)
}

fn open_page(path: &Path) -> Result<(File, SharedPage), PageError> {
    let io = |source| PageError::Io { path: path.to_owned(), source };
    let file = open_private(path)?;
    if file.metadata().map_err(io)?.len() == 0 {
        // Engine and guard may both get here: growing it twice to the same length is once.
        file.set_len(SharedPage::BYTES as u64).map_err(io)?;
    }
    let page = SharedPage::map(&file).map_err(io)?;
    for (word, value) in [(at::MAGIC, MAGIC), (at::VERSION, VERSION)] {
        if !page.swap_if(word, 0, value) && page.read(word) != value {
            return Err(PageError::NotAPage { path: path.to_owned() });
        }
    }
    Ok((file, page))
}

fn try_lock(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// The engine's end.
#[derive(Debug)]
pub struct Heartbeat {
    pub(super) page: SharedPage,
    /// Holds the lock that says that this process lives.
    _lock: Option<File>,
    incarnation: u64,
    inherits: bool,
    recv_window_ms: u32,
}

impl Heartbeat {
    /// Begins a new incarnation on the page at `path`, or on one of its own that only a lease follows. Whatever lived on the
    /// page before is fenced by that. `unix_ms` makes incarnations grow also where the page was lost.
    ///
    /// # Errors
    /// [`PageError`]; among them a living engine on the same page.
    pub fn register(path: Option<&Path>, run_id: u32, recv_window_ms: u32, unix_ms: u64) -> Result<Self, PageError> {
        let (lock, page) = match path {
            Some(path) => {
                let (file, page) = open_page(path)?;
                // A guard that asks whether we live holds the lock for a moment.
                let began = Instant::now();
                while !try_lock(&file) {
                    if began.elapsed() > LOCK_WITHIN {
                        return Err(PageError::InUse { path: path.to_owned(), who: "engine" });
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                (Some(file), page)
            }
            None => {
                let io = |source| PageError::Io { path: PathBuf::from("private page"), source };
                (None, SharedPage::private().map_err(io)?)
            }
        };
        let before = Life::unpack(page.read(at::LIFE));
        let incarnation = before.map_or(1, |life| life.incarnation + 1).max(unix_ms);
        // Without a file nobody knows what was before.
        let is_unfinished = |life: Life| life.mode != Mode::Finished && page.read(at::SETTLED) < life.incarnation;
        let inherits = lock.is_none() || before.is_some_and(is_unfinished);
        page.raise(at::FENCE, incarnation - 1);
        for (word, value) in [
            (at::PID, u64::from(std::process::id())),
            (at::RUN_ID, u64::from(run_id)),
            (at::RECV_WINDOW_MS, u64::from(recv_window_ms)),
            (at::HALT, 0),
            (at::LEASE_UNTIL, 0),
        ] {
            page.publish(word, value);
        }
        let beat = Self { page, _lock: lock, incarnation, inherits, recv_window_ms };
        // Last: who sees the incarnation sees all of it.
        beat.set_mode(Mode::Starting);
        Ok(beat)
    }

    /// This life's number.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Says where in its life it is.
    pub fn set_mode(&self, mode: Mode) {
        let life = Life { incarnation: self.incarnation, inherits: self.inherits, mode };
        self.page.publish(at::LIFE, life.pack());
    }

    /// What it said last.
    pub fn mode(&self) -> Mode {
        Life::unpack(self.page.read(at::LIFE)).map_or(Mode::Left, |life| life.mode)
    }

    /// Whether an incarnation before this one may have left orders behind.
    pub fn inherits(&self) -> bool {
        self.inherits
    }

    pub(super) fn life(&self) -> Life {
        Life { incarnation: self.incarnation, inherits: self.inherits, mode: self.mode() }
    }

    pub(super) fn recv_window_ms(&self) -> u32 {
        self.recv_window_ms
    }

    /// Whether it may not trade any more.
    #[inline]
    pub fn is_fenced(&self) -> bool {
        self.page.read(at::FENCE) >= self.incarnation
    }

    /// Fences itself, for good.
    pub fn fence_self(&self) {
        self.page.raise(at::FENCE, self.incarnation);
    }

    /// Whether a lease is held at `boot` ([`boot_ns`]).
    #[inline]
    pub fn has_lease(&self, boot: u64) -> bool {
        boot < self.page.read(at::LEASE_UNTIL)
    }

    /// Holds the lease until then.
    pub(super) fn extend_lease(&self, until: u64) {
        self.page.publish(at::LEASE_UNTIL, until);
    }

    /// Why trading was halted, if it was.
    pub fn halt(&self) -> Option<Halt> {
        Halt::from_code(self.page.read(at::HALT))
    }

    pub(super) fn set_halt(&self, halt: Halt) {
        self.page.swap_if(at::HALT, 0, halt as u64);
    }

    /// Beats of guards that watch this incarnation, and beats of all guards: a number that stands still is a guard that is
    /// gone.
    pub(super) fn guard_beats(&self) -> (u64, u64) {
        let (mut mine, mut all) = (0u64, 0u64);
        for line in at::GUARDS {
            let beats = self.page.read(line + at::GUARD_BEATS);
            all = all.wrapping_add(beats);
            if self.page.read_after(line + at::GUARD_WATCHING) == self.incarnation {
                mine = mine.wrapping_add(beats);
            }
        }
        (mine, all)
    }
}

/// How long a guard's look at the lock may be in an engine's way.
const LOCK_WITHIN: Duration = Duration::from_millis(200);

/// Follows whether guards are there, by their beats.
#[derive(Debug)]
pub struct Presence {
    beats: (u64, u64),
    moved_at: (u64, u64),
}

/// Age of a guard's last beat, at which it counts as gone before the run has begun: its period is 5 ms.
const GUARD_QUIET_NS: u64 = 500_000_000;

impl Presence {
    /// Nobody has been seen yet.
    pub fn new(beat: &Heartbeat) -> Self {
        Self { beats: beat.guard_beats(), moved_at: (0, 0) }
    }

    /// Looks; returns whether any guard is alive, and whether one watches this incarnation.
    pub fn look(&mut self, beat: &Heartbeat, boot: u64) -> (bool, bool) {
        let beats = beat.guard_beats();
        if beats.1 != self.beats.1 {
            self.moved_at.1 = boot;
        }
        if beats.0 != self.beats.0 {
            self.moved_at.0 = boot;
        }
        self.beats = beats;
        let is_young = |moved: u64| moved != 0 && boot.saturating_sub(moved) < GUARD_QUIET_NS;
        (is_young(self.moved_at.1), is_young(self.moved_at.0))
    }
}

/// Which of the two places on a page a guard takes.
const SIDECARS: [&str; 2] = ["guard", "guard-2"];

/// Rest of the beats after which it is asked whether the engine lives at all.
const LOCK_ASK_NS: u64 = 20_000_000;

/// The guard's end.
#[derive(Debug)]
pub struct GuardPost {
    page: SharedPage,
    file: File,
    /// Holds the lock of the place.
    _place: File,
    line: usize,
    number: u64,
    beats: u64,
    seen: [u64; 3],
    moved_at: u64,
    asked_at: u64,
    is_gone: bool,
}

impl GuardPost {
    /// Takes a place at the page at `path`, which is made if it is missing. `number` tells this guard from others.
    ///
    /// # Errors
    /// [`PageError`]; among them a guard that has the place.
    pub fn take(path: &Path, is_second: bool, number: u64) -> Result<Self, PageError> {
        let idx = usize::from(is_second);
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(SIDECARS[idx]);
        let place = open_private(Path::new(&name))?;
        if !try_lock(&place) {
            return Err(PageError::InUse { path: path.to_owned(), who: "guard" });
        }
        let (file, page) = open_page(path)?;
        let line = at::GUARDS[idx];
        page.publish(line + at::GUARD_WATCHING, 0);
        page.publish(line + at::GUARD_PID, u64::from(std::process::id()));
        page.publish(line + at::GUARD_NUMBER, number);
        let beats = page.read(line + at::GUARD_BEATS);
        let now = boot_ns();
        Ok(Self {
            page,
            file,
            _place: place,
            line,
            number,
            beats,
            seen: [0; 3],
            moved_at: now,
            asked_at: 0,
            is_gone: false,
        })
    }

    /// Beats, and looks at the engine. `None`: there never was one.
    pub fn look(&mut self, now: Nanos) -> Option<Sight> {
        self.beats += 1;
        self.page.beat(self.line + at::GUARD_BEATS, self.beats);
        let life = Life::unpack(self.page.read(at::LIFE))?;
        let (core, gateway) = (self.page.read(at::CORE), self.page.read(at::GATEWAY));
        let seen = [life.incarnation, core, gateway];
        let now = now.get();
        if seen != self.seen {
            (self.seen, self.moved_at, self.is_gone) = (seen, now, false);
        }
        let is_over = matches!(life.mode, Mode::Finished | Mode::Left);
        if !is_over
            && now.saturating_sub(self.moved_at) >= LOCK_ASK_NS
            && now.saturating_sub(self.asked_at) >= LOCK_ASK_NS / 2
        {
            self.asked_at = now;
            if try_lock(&self.file) {
                // Let go at once: the next engine wants it. Failing to is the system's word that it is not held.
                let _ = flock(&self.file, FlockOperation::Unlock);
                // What it said last it said before it let go of the lock.
                self.is_gone = Life::unpack(self.page.read(at::LIFE)) == Some(life);
            }
        }
        Some(Sight {
            incarnation: life.incarnation,
            mode: life.mode,
            inherits: life.inherits,
            core,
            gateway,
            link: None,
            is_gone: self.is_gone,
        })
    }

    /// How late a request of the engine may reach the venue, in milliseconds, as it says itself.
    pub fn recv_window_ms(&self) -> u64 {
        self.page.read(at::RECV_WINDOW_MS)
    }

    /// The newest incarnation that a guard has dealt with to the end.
    pub fn settled(&self) -> u64 {
        self.page.read(at::SETTLED)
    }

    /// Fences the incarnation and all before it. From the return of this call no gateway of theirs begins a create or amend.
    pub fn fence(&self, incarnation: u64) {
        self.page.publish(at::FENCED_BY, self.number);
        self.page.raise(at::FENCE, incarnation);
    }

    /// Tells the engine which incarnation is watched; 0 is none.
    pub fn set_watching(&self, incarnation: u64) {
        self.page.publish(self.line + at::GUARD_WATCHING, incarnation);
    }

    /// Tells later guards that the incarnation is dealt with.
    pub fn settle(&self, incarnation: u64) {
        self.page.raise(at::SETTLED, incarnation);
    }
}

impl Drop for GuardPost {
    fn drop(&mut self) {
        self.set_watching(0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Temp(PathBuf);

    impl Temp {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("tercel-heartbeat-{name}-{}", std::process::id())))
        }
    }

    impl Drop for Temp {
        fn drop(&mut self) {
            for suffix in ["", ".guard", ".guard-2"] {
                let _ = std::fs::remove_file(format!("{}{suffix}", self.0.display()));
            }
        }
    }

    #[test]
    fn a_fence_holds_for_an_incarnation_and_its_ancestors_alone() {
        let temp = Temp::new("fence");
        let first = Heartbeat::register(Some(&temp.0), 1, 5000, 100).unwrap();
        let guard = GuardPost::take(&temp.0, false, 7).unwrap();
        assert!(!first.is_fenced());
        guard.fence(first.incarnation());
        assert!(first.is_fenced());
        let old = first.incarnation();
        drop(first);
        // The clock went backwards: the incarnation does not.
        let second = Heartbeat::register(Some(&temp.0), 2, 5000, 50).unwrap();
        assert_eq!(second.incarnation(), old + 1);
        assert!(second.inherits, "the first one never finished");
        assert!(!second.is_fenced());
        guard.fence(old);
        assert!(!second.is_fenced(), "a fence that comes late does not reach beyond its incarnation");
        guard.settle(old + 1);
        drop(second);
        let third = Heartbeat::register(Some(&temp.0), 3, 5000, 50).unwrap();
        assert!(!third.inherits, "a guard dealt with the second one");
        assert!(third.page.read(at::FENCE) > old, "whoever wakes up behind it is fenced");
    }

    #[test]
    fn places_are_taken_once_and_files_of_others_are_refused() {
        let temp = Temp::new("places");
        let engine = Heartbeat::register(Some(&temp.0), 1, 5000, 1).unwrap();
        let error = Heartbeat::register(Some(&temp.0), 1, 5000, 1).unwrap_err().to_string();
        assert!(error.contains("another engine"), "{error}");
        let first = GuardPost::take(&temp.0, false, 1).unwrap();
        let error = GuardPost::take(&temp.0, false, 2).unwrap_err().to_string();
        assert!(error.contains("another guard"), "{error}");
        let _second = GuardPost::take(&temp.0, true, 2).unwrap();
        drop(first);
        let _again = GuardPost::take(&temp.0, false, 3).unwrap();
        drop(engine);
        let mut permissions = std::fs::metadata(&temp.0).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, 0o600);
        permissions.set_mode(0o644);
        std::fs::set_permissions(&temp.0, permissions).unwrap();
        assert!(matches!(Heartbeat::register(Some(&temp.0), 1, 5000, 1), Err(PageError::Foreign { mode: 0o644, .. })));
        std::fs::remove_file(&temp.0).unwrap();
        std::fs::write(&temp.0, [1u8; SharedPage::BYTES]).unwrap();
        let mut permissions = std::fs::metadata(&temp.0).unwrap().permissions();
        permissions.set_mode(0o600);
        std::fs::set_permissions(&temp.0, permissions).unwrap();
        assert!(matches!(Heartbeat::register(Some(&temp.0), 1, 5000, 1), Err(PageError::NotAPage { .. })));
    }

    #[test]
    fn an_engine_without_its_lock_is_gone_and_one_with_it_is_not() {
        let temp = Temp::new("gone");
        let engine = Heartbeat::register(Some(&temp.0), 1, 5000, 1).unwrap();
        let mut guard = GuardPost::take(&temp.0, false, 1).unwrap();
        let at_ms = |ms: u64| Nanos::new(boot_ns() + ms * 1_000_000);
        assert!(!guard.look(at_ms(0)).unwrap().is_gone);
        assert!(!guard.look(at_ms(100)).unwrap().is_gone, "it holds its lock");
        drop(engine);
        assert!(guard.look(at_ms(200)).unwrap().is_gone);
        let again = Heartbeat::register(Some(&temp.0), 1, 5000, 1).unwrap();
        let sight = guard.look(at_ms(300)).unwrap();
        assert!(!sight.is_gone && sight.inherits && sight.incarnation == again.incarnation());
    }

    #[test]
    fn presence_is_a_beat_that_moves_for_this_incarnation() {
        let temp = Temp::new("presence");
        let engine = Heartbeat::register(Some(&temp.0), 1, 5000, 1).unwrap();
        let mut presence = Presence::new(&engine);
        assert_eq!(presence.look(&engine, 1_000), (false, false));
        let mut guard = GuardPost::take(&temp.0, false, 1).unwrap();
        guard.look(Nanos::new(1));
        assert_eq!(presence.look(&engine, 2_000), (true, false));
        guard.set_watching(engine.incarnation());
        guard.look(Nanos::new(2));
        assert_eq!(presence.look(&engine, 3_000), (true, true));
        assert_eq!(presence.look(&engine, 3_000 + GUARD_QUIET_NS), (false, false));
    }
}
