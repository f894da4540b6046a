//! The dead man's switch: a process of its own that cancels everything when the engine dies, hangs or loses its network.
//!
//! ```text
//!  ENGINE                                             GUARD (another process, its own key)
//!   core duty ────beat──┐                              page.rs/wire.rs ─▶ Watch ─▶ fence, then Sweep ──REST──▶ venue
//!   gateway duty ─beat──┼─▶ heartbeat page ──────────▶ same host: death, hanging
//!   lease thread ◀──────┘        ▲ fence, presence
//!        └──UDP heartbeat──▶ ────┼──────────────────▶ another host: loss of the network
//!        ◀──UDP ack = lease──    └── gateway asks before each create or amend: fenced? lease over?
//! ```
//!
//! [`Watch`] decides, [`Sweep`] paces the cancelling and [`act`] cancels by it and closes positions afterwards where that is asked for; all
//! three live on virtual time in their tests. What an engine
//! still may do is told to it in two ways. On the same host it is the *fence*, a word of the page that the guard raises before
//! it cancels. From another host it is the *lease*: without a young acknowledgement the engine may not trade, so that a process
//! which was stopped and wakes up is fenced by time itself.
//!
//! A request that the gateway rendered before the fence may reach the venue after the first cancel-all: it lay in a socket
//! buffer, or its process was stopped between check and write. It carries the time at which it was rendered, and the venue
//! refuses it once that is older than `recv-window-ms`. So the guard cancels and counts until the venue has shown no open order
//! several times in a row, the last time after that window has passed.
//!
//! Not covered: a host that loses power together with a guard on it; a key that the venue withdraws; a venue that cannot be
//! reached by the guard either. The guard then keeps trying and says so. Positions stay unless `[guard] flatten` is set, and coins
//! of spot always do: they are no positions.

mod act;
mod flatten;
mod lease;
mod page;
mod pulse;
mod sweep;
mod watch;
mod wire;

pub use act::{Closed, Desk, NotClosed, Step, act};
pub use flatten::{CannotClose, CloseOrder, CloseTerms, Held, Quote, closing_px, piece};
pub use lease::{LeaseClient, LeaseConfig};
pub use page::{GuardPost, Heartbeat, Mode, PageError, Presence};
pub use pulse::{CorePulse, GatewayPulse, Halt, PulseTerms};
pub use sweep::{Next, Sweep};
pub use watch::{Decision, Reason, Sight, Watch};
pub use wire::{Ack, Hello, KeyError, Station, Verdict, WireKey};

/// Time since the machine started, in nanoseconds. It goes on while a process is stopped and while the machine sleeps, and
/// nobody can set it: what leases are counted in.
///
/// # Cost
/// No system call on Linux 5.3 and later: some 30 ns.
pub fn boot_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}
