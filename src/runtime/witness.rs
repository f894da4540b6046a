//! A witness on a hot thread: from a given moment on the kernel lets no system call pass but the sockets' own, and
//! allocations are counted.
//!
//! The filter (seccomp) holds for the one thread that installs it and can never be taken off again, so a thread with an armed
//! witness cannot end: when all is over it spins in place until the process exits. A forbidden call is printed with its
//! number and ends the process with [`FORBIDDEN_CALL_EXIT`].
#![allow(unsafe_code, reason = "a signal handler, and what it may call")]

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    apply_filter,
};

use super::alloc;
use super::duty::Duty;
use super::topology::DutyKind;
use crate::ring::{Flag, SeqlockReader, SeqlockWriter, seqlock};
use crate::types::Nanos;

/// Exit status of a process one of whose hot threads made a system call that it must not make.
pub const FORBIDDEN_CALL_EXIT: i32 = 97;

/// What a thread that reads and writes sockets may call: one read or write of a socket each. TLS writes records gathered.
const SOCKET_CALLS: [i64; 5] =
    [libc::SYS_recvfrom, libc::SYS_sendto, libc::SYS_writev, libc::SYS_recvmsg, libc::SYS_sendmsg];

/// When a provocation comes: whoever counts has looked for the first time by then.
const PROVOKE_AFTER_NS: u64 = 500_000_000;

/// What a witness is to do on purpose, so that the proof is seen to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provocation {
    /// Ask the kernel for the process id.
    Call,
    /// Allocate and free.
    Allocation,
    /// Touch memory that was never touched.
    Fault,
}

/// When the witnesses of a process begin and end.
#[derive(Clone)]
pub struct WitnessPlan {
    /// Set after warm-up: witnesses arm.
    pub go: Flag,
    /// Set at the end: threads spin in place, whatever their duties still had to do.
    pub over: Flag,
    /// What to do wrong once armed, for tests.
    pub provocation: Option<Provocation>,
}

/// How far a witness is: the first of its words, 0 before it has armed.
const ARMED: u64 = 1;
const PARKED: u64 = 2;

/// What a thread's witness says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Testimony {
    /// The kernel's number of the thread.
    pub tid: u64,
    /// Allocations and frees since it armed; 0 also where nothing counts them.
    pub allocations: u64,
    /// Whether its thread spins in place, and its duties do nothing any more.
    pub is_parked: bool,
}

/// A thread that has a witness.
pub struct Witnessed {
    /// Its duties, `feed+core`.
    pub name: String,
    /// Whether it may call its sockets: a thread that holds only the core may not call anything.
    pub has_sockets: bool,
    reader: SeqlockReader<3>,
}

impl Witnessed {
    /// What the witness says; `None` until it has armed.
    pub fn testimony(&self) -> Option<Testimony> {
        loop {
            match self.reader.read() {
                Some((_, [0, ..])) => return None,
                Some((_, [state, tid, allocations])) => {
                    return Some(Testimony { tid, allocations, is_parked: state == PARKED });
                }
                None => std::thread::yield_now(),
            }
        }
    }
}

/// Polled before the duties of its thread.
pub(super) struct WitnessDuty {
    plan: WitnessPlan,
    has_sockets: bool,
    writer: SeqlockWriter<3>,
    armed: Option<Armed>,
    /// Touched only on purpose.
    untouched: Vec<u8>,
}

struct Armed {
    tid: u64,
    at: Nanos,
    baseline: u64,
    told: u64,
}

impl WitnessDuty {
    /// Makes the witness of a thread with these duties.
    pub(super) fn new(plan: WitnessPlan, duties: &[DutyKind]) -> (Self, Witnessed) {
        let (writer, reader) = seqlock();
        let name = duties.iter().map(|kind| kind.name()).collect::<Vec<_>>().join("+");
        let has_sockets = duties.iter().any(|kind| *kind != DutyKind::Core);
        let untouched = if plan.provocation == Some(Provocation::Fault) { vec![0; 1 << 22] } else { Vec::new() };
        (Self { plan, has_sockets, writer, armed: None, untouched }, Witnessed { name, has_sockets, reader })
    }

    #[cold]
    fn arm(&mut self, now: Nanos) -> io::Result<()> {
        catch_forbidden_calls()?;
        let filter = filter(self.has_sockets).map_err(io::Error::other)?;
        let tid = rustix::thread::gettid().as_raw_nonzero().get() as u64;
        apply_filter(&filter).map_err(io::Error::other)?;
        drop(filter);
        // A free of the filter's own memory comes before this.
        self.armed = Some(Armed { tid, at: now, baseline: alloc::count(), told: 0 });
        self.writer.write([ARMED, tid, 0]);
        Ok(())
    }

    #[cold]
    fn provoke(&mut self) {
        match self.plan.provocation.take() {
            Some(Provocation::Call) => {
                let _ = std::hint::black_box(rustix::process::getppid());
            }
            Some(Provocation::Allocation) => drop(std::hint::black_box(Box::new(1u8))),
            Some(Provocation::Fault) => {
                for byte in self.untouched.iter_mut().step_by(4096) {
                    *byte = std::hint::black_box(1);
                }
            }
            None => {}
        }
    }
}

impl Duty for WitnessDuty {
    fn name(&self) -> &'static str {
        "witness"
    }

    #[inline]
    fn poll(&mut self, now: Nanos) -> usize {
        let Some(armed) = &mut self.armed else {
            if self.plan.go.is_set()
                && let Err(error) = self.arm(now)
            {
                eprintln!("a witness could not be armed: {error}");
                std::process::exit(FORBIDDEN_CALL_EXIT);
            }
            return 0;
        };
        let allocations = alloc::count() - armed.baseline;
        if allocations != armed.told {
            armed.told = allocations;
            let tid = armed.tid;
            self.writer.write([ARMED, tid, allocations]);
        }
        let (tid, armed_at) = (armed.tid, armed.at);
        if self.plan.provocation.is_some() && now.saturating_since(armed_at) > PROVOKE_AFTER_NS {
            self.provoke();
        }
        if self.plan.over.is_set() {
            self.writer.write([PARKED, tid, allocations]);
            loop {
                crate::ring::spin_hint();
            }
        }
        0
    }
}

/// Traps every call but those allowed, and those with which the trap says what it was.
fn filter(has_sockets: bool) -> Result<seccompiler::BpfProgram, seccompiler::BackendError> {
    let to_stderr = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, libc::STDERR_FILENO as u64)?;
    let mut rules = BTreeMap::from([
        (libc::SYS_write, vec![SeccompRule::new(vec![to_stderr])?]),
        (libc::SYS_exit_group, Vec::new()),
        (libc::SYS_rt_sigreturn, Vec::new()),
    ]);
    if has_sockets {
        rules.extend(SOCKET_CALLS.map(|call| (call, Vec::new())));
    }
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::Trap, SeccompAction::Allow, arch)?.try_into()
}

fn catch_forbidden_calls() -> io::Result<()> {
    // SAFETY: an all-zero sigaction is valid; the fields that matter are set below.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_forbidden_call;
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: `action` is whole, its handler calls nothing that a signal handler may not call, and the old action is not
    // asked for.
    let code = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Says which call it was and ends the process. Only async-signal-safe calls, only those that the filter lets pass.
extern "C" fn on_forbidden_call(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // The kernel's `siginfo` for SIGSYS: three words and padding, the address of the call, its number (siginfo.h, `_sigsys`).
    const CALL_AT: usize = 24;
    // SAFETY: the kernel gives a whole `siginfo_t` of 128 bytes.
    let at = unsafe { info.cast::<u8>().add(CALL_AT) };
    // SAFETY: at this place lies the number, for this signal.
    let mut number = unsafe { at.cast::<i32>().read_unaligned() }.unsigned_abs();
    let mut text = *b"a hot thread made system call 0000, which is not its sockets' own\n";
    for at in (30..34).rev() {
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    // SAFETY: writes from a live array to a descriptor; what comes of it does not matter any more.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    // SAFETY: ends the process without running anything else.
    unsafe { libc::_exit(FORBIDDEN_CALL_EXIT) };
}
