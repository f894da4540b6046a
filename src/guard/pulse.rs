//! What the duties of the engine hold: they beat, and ask whether they may go on.
//!
//! Thread: the duty's. Allocates: never. Blocks: never.

use std::sync::Arc;

use super::page::at;
use super::{Heartbeat, Mode, boot_ns};
use crate::types::{Control, Nanos};

/// Time of a duty between two beats: far below any staleness, far above the cost of a store.
const BEAT_NS: u64 = 1_000_000;

/// Why an engine halted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// A guard has acted: it cancelled everything, and this incarnation may not trade on.
    Fenced = 1,
    /// No guard has acknowledged for longer than the lease.
    LeaseOver = 2,
    /// A guard is required and none is there.
    GuardGone = 3,
}

impl Halt {
    pub(super) fn from_code(code: u64) -> Option<Self> {
        [Self::Fenced, Self::LeaseOver, Self::GuardGone].into_iter().find(|halt| *halt as u64 == code)
    }

    /// A sentence for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Fenced => {
                "fenced: the guard found this engine dead or hanging and cancelled its orders; it may not trade on"
            }
            Self::LeaseOver => "the guard's lease ran out: it was not heard for too long, so trading ended",
            Self::GuardGone => "the guard that is required is gone",
        }
    }
}

/// On what conditions an engine trades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PulseTerms {
    /// It needs a lease.
    pub needs_lease: bool,
    /// It needs a guard on its page, whose last beat is no older than this many nanoseconds.
    pub guard_absent_ns: Option<u64>,
}

/// The core's.
#[derive(Debug)]
pub struct CorePulse {
    beat: Arc<Heartbeat>,
    terms: PulseTerms,
    due: Nanos,
    count: u64,
    guard_beats: u64,
    guard_seen: Option<Nanos>,
    has_halted: bool,
}

impl CorePulse {
    /// Makes the core's pulse.
    pub fn new(beat: Arc<Heartbeat>, terms: PulseTerms) -> Self {
        // Goes on where the last incarnation on the page ended, so that the first beat is a change.
        let count = beat.page.read(at::CORE);
        Self { beat, terms, due: Nanos::ZERO, count, guard_beats: 0, guard_seen: None, has_halted: false }
    }

    /// Beats when it is time; says once what the engine must be told, when it may not go on.
    #[inline]
    pub fn poll(&mut self, now: Nanos) -> Option<Control> {
        if now < self.due { None } else { self.tick(now) }
    }

    fn tick(&mut self, now: Nanos) -> Option<Control> {
        self.due = now.saturating_add(BEAT_NS);
        self.count += 1;
        self.beat.page.beat(at::CORE, self.count);
        self.beat.page.beat(at::CORE + 1, now.get());
        if self.has_halted {
            return None;
        }
        let halt = self.must_halt(now)?;
        self.has_halted = true;
        self.beat.set_halt(halt);
        // A lease that is renewed later, or a guard that comes back, does not revive it.
        self.beat.fence_self();
        Some(if halt == Halt::GuardGone { Control::Stop } else { Control::Kill })
    }

    fn must_halt(&mut self, now: Nanos) -> Option<Halt> {
        if self.beat.is_fenced() {
            return Some(Halt::Fenced);
        }
        let is_guarded = self.beat.mode() == Mode::Running;
        if is_guarded && self.terms.needs_lease && !self.beat.has_lease(boot_ns()) {
            return Some(Halt::LeaseOver);
        }
        if let Some(absent_ns) = self.terms.guard_absent_ns {
            let (beats, _) = self.beat.guard_beats();
            let seen = self.guard_seen.get_or_insert(now);
            // First the beat, then the age: after a long stop of ours the guard has beaten meanwhile.
            if beats != self.guard_beats || !is_guarded {
                (self.guard_beats, *seen) = (beats, now);
            } else if now.saturating_since(*seen) > absent_ns {
                return Some(Halt::GuardGone);
            }
        }
        None
    }
}

/// The gateway's.
#[derive(Debug)]
pub struct GatewayPulse {
    beat: Arc<Heartbeat>,
    needs_lease: bool,
    due: Nanos,
    count: u64,
}

impl GatewayPulse {
    /// Makes the gateway's pulse.
    pub fn new(beat: Arc<Heartbeat>, terms: PulseTerms) -> Self {
        let count = beat.page.read(at::GATEWAY);
        Self { beat, needs_lease: terms.needs_lease, due: Nanos::ZERO, count }
    }

    /// Beats when it is time.
    #[inline]
    pub fn poll(&mut self, now: Nanos) {
        if now >= self.due {
            self.due = now.saturating_add(BEAT_NS);
            self.count += 1;
            self.beat.page.beat(at::GATEWAY, self.count);
            self.beat.page.beat(at::GATEWAY + 1, now.get());
        }
    }

    /// Whether a create or amend may be sent now. To be asked after the request's time was taken and before it is written:
    /// then a request that passed carries a time before the fence, and the venue's receive window bounds its life.
    ///
    /// # Cost
    /// A load of a line that only changes when a guard acts; with a lease one more, and a reading of the clock.
    #[inline]
    pub fn may_send(&self) -> bool {
        !self.beat.is_fenced() && (!self.needs_lease || self.beat.has_lease(boot_ns()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn engine() -> Arc<Heartbeat> {
        let beat = Heartbeat::register(None, 1, 5000, 1_000).unwrap();
        beat.set_mode(Mode::Running);
        Arc::new(beat)
    }

    #[test]
    fn duties_beat_by_their_own_time() {
        let beat = engine();
        let (mut core, mut gateway) = (
            CorePulse::new(beat.clone(), PulseTerms::default()),
            GatewayPulse::new(beat.clone(), PulseTerms::default()),
        );
        for us in 0..10_000 {
            assert_eq!(core.poll(Nanos::new(us * 1_000)), None);
            gateway.poll(Nanos::new(us * 1_000));
        }
        assert_eq!((beat.page.read(at::CORE), beat.page.read(at::GATEWAY)), (10, 10));
    }

    #[test]
    fn a_fence_kills_once_and_closes_the_gateway_at_once() {
        let beat = engine();
        let mut core = CorePulse::new(beat.clone(), PulseTerms::default());
        let gateway = GatewayPulse::new(beat.clone(), PulseTerms::default());
        assert!(core.poll(Nanos::new(MS)).is_none() && gateway.may_send());
        beat.fence_self();
        assert!(!gateway.may_send());
        assert_eq!(core.poll(Nanos::new(2 * MS)), Some(Control::Kill));
        assert_eq!(core.poll(Nanos::new(3 * MS)), None);
        assert_eq!(beat.halt(), Some(Halt::Fenced));
    }

    #[test]
    fn a_lease_that_ran_out_does_not_come_back() {
        let beat = engine();
        let terms = PulseTerms { needs_lease: true, ..PulseTerms::default() };
        let mut core = CorePulse::new(beat.clone(), terms);
        let gateway = GatewayPulse::new(beat.clone(), terms);
        beat.extend_lease(u64::MAX);
        assert!(core.poll(Nanos::new(MS)).is_none() && gateway.may_send());
        beat.extend_lease(boot_ns());
        assert!(!gateway.may_send());
        assert_eq!(core.poll(Nanos::new(2 * MS)), Some(Control::Kill));
        assert_eq!(beat.halt(), Some(Halt::LeaseOver));
        beat.extend_lease(u64::MAX);
        assert!(!gateway.may_send(), "it fenced itself");
    }

    #[test]
    fn a_required_guard_that_goes_stops_the_engine_and_a_stop_of_our_own_does_not() {
        let beat = engine();
        let terms = PulseTerms { guard_absent_ns: Some(2_000 * MS), ..PulseTerms::default() };
        let mut core = CorePulse::new(beat.clone(), terms);
        let line = at::GUARDS[0];
        beat.page.publish(line + at::GUARD_WATCHING, beat.incarnation());
        beat.page.beat(line + at::GUARD_BEATS, 1);
        assert_eq!(core.poll(Nanos::new(MS)), None);
        // We were stopped for a minute; the guard was not.
        beat.page.beat(line + at::GUARD_BEATS, 2);
        assert_eq!(core.poll(Nanos::new(60_000 * MS)), None);
        assert_eq!(core.poll(Nanos::new(62_000 * MS)), None);
        assert_eq!(core.poll(Nanos::new(62_001 * MS)), Some(Control::Stop));
        assert_eq!(beat.halt(), Some(Halt::GuardGone));
    }
}
