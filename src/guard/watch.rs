//! Decides, from what is seen of an engine, whether it must be taken for dead. Pure: time is an argument.
//!
//! ```text
//!             new incarnation                     no beat · gone · left · superseded
//!  WAITING ───────────────────▶ WATCHING ──────────────────────────────────────────▶ ACTING
//!     ▲  ▲                         │ finished                                          │ settle()
//!     │  └─────────────────────────┘                                                   │
//!     └────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Incarnations are dealt with in their order: a new one is attached to only after the one before it finished or was settled.

use super::Mode;
use crate::types::Nanos;

/// What is seen of an engine at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Which life of it.
    pub incarnation: u64,
    /// What it says of itself.
    pub mode: Mode,
    /// Whether the incarnation before it may have left orders behind.
    pub inherits: bool,
    /// Beats of its core.
    pub core: u64,
    /// Beats of its gateway.
    pub gateway: u64,
    /// Datagrams that came, where it is seen through a network.
    pub link: Option<u64>,
    /// Its process has ended, for sure.
    pub is_gone: bool,
}

/// Why the guard acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The process ended without a word.
    Died,
    /// The core does not move.
    CoreHangs,
    /// The gateway does not move.
    GatewayHangs,
    /// Nothing comes from its host.
    Silent,
    /// It ended and said that orders may be open.
    Left,
    /// Another incarnation took its place before it had finished.
    Superseded,
}

impl Reason {
    /// Its name in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Died => "died",
            Self::CoreHangs => "core-hangs",
            Self::GatewayHangs => "gateway-hangs",
            Self::Silent => "silent",
            Self::Left => "left",
            Self::Superseded => "superseded",
        }
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Watch this incarnation from now on.
    Attach(u64),
    /// Fence this incarnation and cancel everything.
    Act(u64, Reason),
    /// This incarnation ended in order.
    StandDown(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Watching(u64),
    Acting(u64),
}

/// A count that should move, and how long it has not, in observed time.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    count: u64,
    age_ns: u64,
}

impl Progress {
    fn look(&mut self, count: u64, passed_ns: u64) {
        if count == self.count {
            self.age_ns = self.age_ns.saturating_add(passed_ns);
        } else {
            *self = Self { count, age_ns: 0 };
        }
    }
}

/// The watch over one engine's incarnations.
///
/// Ages are counted in *observed* time: of the time between two polls at most a quarter of the staleness counts. A guard that
/// was itself held up, or a whole machine that slept, does not take its own absence for the engine's; and a guard that is
/// always held up still comes to a decision after a few polls.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    stale_after_ns: u64,
    phase: Phase,
    /// Incarnations up to this one need nothing any more.
    settled: u64,
    mode: Mode,
    core: Progress,
    gateway: Progress,
    link: Progress,
    polled_at: Option<Nanos>,
}

impl Watch {
    /// Waits for an incarnation beyond `settled`; a beat that rests longer than `stale_after_ns` is an alarm.
    pub fn new(stale_after_ns: u64, settled: u64) -> Self {
        Self {
            stale_after_ns,
            phase: Phase::Waiting,
            settled,
            mode: Mode::Starting,
            core: Progress::default(),
            gateway: Progress::default(),
            link: Progress::default(),
            polled_at: None,
        }
    }

    /// The incarnation that is watched.
    pub fn watching(&self) -> Option<u64> {
        if let Phase::Watching(incarnation) = self.phase { Some(incarnation) } else { None }
    }

    /// The incarnation that is being acted on.
    pub fn acting(&self) -> Option<u64> {
        if let Phase::Acting(incarnation) = self.phase { Some(incarnation) } else { None }
    }

    /// Incarnations up to this one are dealt with.
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// The acting is over: the venue holds nothing of the incarnation any more.
    pub fn settle(&mut self) {
        if let Phase::Acting(incarnation) = self.phase {
            self.end(incarnation);
        }
    }

    fn end(&mut self, incarnation: u64) {
        self.settled = self.settled.max(incarnation);
        self.phase = Phase::Waiting;
    }

    /// Looks once, and says what to do if something is to be done. While acting nothing is.
    pub fn poll(&mut self, now: Nanos, sight: Option<&Sight>) -> Option<Decision> {
        let passed_ns = self.polled_at.map_or(0, |before| now.saturating_since(before));
        let passed_ns = passed_ns.min(self.stale_after_ns / 4 + 1);
        self.polled_at = Some(now);
        let sight = sight?;
        match self.phase {
            Phase::Acting(_) => None,
            Phase::Waiting => self.wait(sight),
            Phase::Watching(incarnation) => self.watch(incarnation, sight, passed_ns),
        }
    }

    fn wait(&mut self, sight: &Sight) -> Option<Decision> {
        let incarnation = sight.incarnation;
        if incarnation <= self.settled {
            return None;
        }
        match sight.mode {
            Mode::Finished => {
                self.end(incarnation);
                None
            }
            Mode::Left => self.act(incarnation, Reason::Left),
            Mode::Starting | Mode::Running => {
                self.phase = Phase::Watching(incarnation);
                self.mode = sight.mode;
                self.restart_ages(sight);
                Some(Decision::Attach(incarnation))
            }
        }
    }

    fn watch(&mut self, incarnation: u64, sight: &Sight, passed_ns: u64) -> Option<Decision> {
        if sight.incarnation != incarnation {
            if sight.incarnation > incarnation && !sight.inherits {
                // It finished between two looks; the new one is attached to at the next.
                self.end(incarnation);
                return Some(Decision::StandDown(incarnation));
            }
            return self.act(incarnation, Reason::Superseded);
        }
        self.link.look(sight.link.unwrap_or_default(), passed_ns);
        let is_silent = sight.link.is_some() && self.link.age_ns > self.stale_after_ns;
        match sight.mode {
            Mode::Finished => {
                self.end(incarnation);
                return Some(Decision::StandDown(incarnation));
            }
            Mode::Left => return self.act(incarnation, Reason::Left),
            _ if sight.is_gone => return self.act(incarnation, Reason::Died),
            _ if is_silent => return self.act(incarnation, Reason::Silent),
            // Its duties do not run yet.
            Mode::Starting => return None,
            Mode::Running => {}
        }
        if self.mode != sight.mode {
            self.mode = sight.mode;
            self.restart_ages(sight);
            return None;
        }
        self.core.look(sight.core, passed_ns);
        self.gateway.look(sight.gateway, passed_ns);
        let reason = if self.core.age_ns > self.stale_after_ns {
            Reason::CoreHangs
        } else if self.gateway.age_ns > self.stale_after_ns {
            Reason::GatewayHangs
        } else {
            return None;
        };
        // A duty that was a moment late for the last datagram of all does not hang: nothing has come since.
        let is_silent = sight.link.is_some() && self.link.age_ns > self.stale_after_ns / 2;
        self.act(incarnation, if is_silent { Reason::Silent } else { reason })
    }

    fn act(&mut self, incarnation: u64, reason: Reason) -> Option<Decision> {
        self.phase = Phase::Acting(incarnation);
        Some(Decision::Act(incarnation, reason))
    }

    fn restart_ages(&mut self, sight: &Sight) {
        self.core = Progress { count: sight.core, age_ns: 0 };
        self.gateway = Progress { count: sight.gateway, age_ns: 0 };
        self.link = Progress { count: sight.link.unwrap_or_default(), age_ns: 0 };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;
    const STALE: u64 = 300 * MS;

    fn sight(beat: u64) -> Sight {
        Sight {
            incarnation: 5,
            mode: Mode::Running,
            inherits: false,
            core: beat,
            gateway: beat,
            link: None,
            is_gone: false,
        }
    }

    /// A watch that has seen beat 1 at 0 ms.
    fn attached() -> Watch {
        let mut watch = Watch::new(STALE, 0);
        assert_eq!(watch.poll(Nanos::ZERO, Some(&sight(1))), Some(Decision::Attach(5)));
        watch
    }

    /// Polls every 5 ms from `from_ms` with what `see` shows; returns the first decision and its time.
    fn run(watch: &mut Watch, from_ms: u64, see: impl Fn(u64) -> Sight) -> Option<(u64, Decision)> {
        (from_ms..from_ms + 2_000).step_by(5).find_map(|ms| {
            let decision = watch.poll(Nanos::new(ms * MS), Some(&see(ms)))?;
            Some((ms, decision))
        })
    }

    #[test]
    fn either_duty_that_rests_is_an_alarm() {
        assert_eq!(run(&mut attached(), 5, |ms| sight(1 + ms)), None);
        let core = run(&mut attached(), 5, |ms| Sight { core: 1, ..sight(1 + ms) });
        assert_eq!(core, Some((305, Decision::Act(5, Reason::CoreHangs))));
        let gateway = run(&mut attached(), 5, |ms| Sight { gateway: 1, ..sight(1 + ms) });
        assert_eq!(gateway, Some((305, Decision::Act(5, Reason::GatewayHangs))));
        // The network goes at 100 ms, and the core was late for the last datagram.
        let cut = |ms: u64| Sight { core: ms.min(60), gateway: ms.min(100), link: Some(ms.min(100)), ..sight(0) };
        assert_eq!(run(&mut attached(), 5, cut), Some((365, Decision::Act(5, Reason::Silent))));
        let link = |ms| Sight { link: Some(0), ..sight(1 + ms) };
        assert_eq!(run(&mut attached(), 5, link), Some((305, Decision::Act(5, Reason::Silent))));
    }

    #[test]
    fn what_an_engine_says_counts_at_once() {
        for (change, decision) in [
            (Sight { mode: Mode::Finished, ..sight(1) }, Decision::StandDown(5)),
            (Sight { mode: Mode::Left, ..sight(1) }, Decision::Act(5, Reason::Left)),
            (Sight { is_gone: true, ..sight(1) }, Decision::Act(5, Reason::Died)),
            // A process that is gone but finished first did finish.
            (Sight { is_gone: true, mode: Mode::Finished, ..sight(1) }, Decision::StandDown(5)),
            (Sight { incarnation: 6, inherits: true, ..sight(1) }, Decision::Act(5, Reason::Superseded)),
            (Sight { incarnation: 6, ..sight(1) }, Decision::StandDown(5)),
        ] {
            assert_eq!(attached().poll(Nanos::new(5 * MS), Some(&change)), Some(decision), "{change:?}");
        }
    }

    #[test]
    fn an_engine_that_starts_need_not_beat_but_must_live() {
        let mut watch = Watch::new(STALE, 0);
        let starting = |_| Sight { mode: Mode::Starting, ..sight(0) };
        assert_eq!(run(&mut watch, 0, starting), Some((0, Decision::Attach(5))));
        assert_eq!(run(&mut watch, 5, starting), None);
        // Its duties beat first in the moment in which it runs; that they rested before is no matter.
        assert_eq!(run(&mut watch, 3_000, |_| sight(0)), Some((3_305, Decision::Act(5, Reason::CoreHangs))));
        let mut watch = Watch::new(STALE, 0);
        run(&mut watch, 0, starting);
        let gone = Sight { is_gone: true, ..starting(0) };
        assert_eq!(watch.poll(Nanos::new(5), Some(&gone)), Some(Decision::Act(5, Reason::Died)));
    }

    #[test]
    fn a_successor_waits_until_its_ancestor_is_settled() {
        let mut watch = attached();
        let next = |ms: u64| Sight { incarnation: 6, inherits: true, ..sight(ms) };
        assert_eq!(watch.poll(Nanos::new(5 * MS), Some(&next(0))), Some(Decision::Act(5, Reason::Superseded)));
        assert_eq!(run(&mut watch, 10, next), None);
        assert_eq!((watch.acting(), watch.watching()), (Some(5), None));
        watch.settle();
        assert_eq!(watch.settled(), 5);
        assert_eq!(run(&mut watch, 2_010, next), Some((2_010, Decision::Attach(6))));
        // The one that was acted on may wake up and say what it likes.
        assert_eq!(Watch::new(STALE, 5).poll(Nanos::ZERO, Some(&sight(9))), None);
    }

    #[test]
    fn an_absence_of_the_guard_is_not_one_of_the_engine() {
        let mut watch = attached();
        // Machine asleep for an hour: both clocks and beats stood still, then go on.
        let hour = 3_600_000;
        assert_eq!(watch.poll(Nanos::new(hour * MS), Some(&sight(1))), None);
        assert_eq!(run(&mut watch, hour + 5, |ms| sight(1 + ms)), None);
        // A guard that gets a turn only every second still acts.
        let mut watch = attached();
        let polls = (1..10).find(|second| watch.poll(Nanos::new(second * 1000 * MS), Some(&sight(1))).is_some());
        assert_eq!(polls, Some(4));
    }

    proptest! {
        /// No engine whose beats move at least every staleness less one look is acted on; none that stops is missed.
        #[test]
        fn alarms_come_in_time_and_only_then(
            gaps in proptest::collection::vec(1u64..290, 1..60),
            looks in proptest::collection::vec(1u64..10, 400),
            stops in 0u8..3,
        ) {
            let mut watch = attached();
            let end: u64 = gaps.iter().sum();
            let beats_at = |ms: u64| {
                let mut at = 0;
                1 + gaps.iter().take_while(|gap| { at += **gap; at <= ms }).count() as u64
            };
            let mut now = 0;
            for look in looks.iter().cycle() {
                now += look;
                if now > end { break; }
                let seen = sight(beats_at(now));
                prop_assert_eq!(watch.poll(Nanos::new(now * MS), Some(&seen)), None, "at {} ms", now);
            }
            let last = beats_at(end);
            let mut alarm = None;
            let from = now.min(end);
            for look in looks.iter().cycle().take(400) {
                now += look;
                let moving = last + now;
                let seen = match stops {
                    0 => sight(last),
                    1 => Sight { core: last, ..sight(moving) },
                    _ => Sight { gateway: last, ..sight(moving) },
                };
                if watch.poll(Nanos::new(now * MS), Some(&seen)).is_some() {
                    alarm = Some(now);
                    break;
                }
            }
            let alarm = alarm.expect("an engine that stops is noticed");
            // The last beat is seen two looks late, and the age is one look late, both ways of a look.
            prop_assert!(alarm - from <= 300 + 4 * 10, "{} ms after the last beat", alarm - from);
        }

        /// Whatever is seen, in whatever order: an incarnation is acted on once at most, and never after it was settled.
        #[test]
        fn nothing_is_done_twice(
            seen in proptest::collection::vec((1u64..5, 1u64..5, any::<bool>(), any::<bool>(), 0u64..3, any::<bool>()), 1..200)
        ) {
            let mut watch = Watch::new(STALE, 0);
            let mut done = std::collections::BTreeSet::new();
            for (idx, (incarnation, mode, inherits, is_gone, beat, settles)) in seen.into_iter().enumerate() {
                let mode = Mode::from_bits(mode).unwrap();
                let sight = Sight { incarnation, mode, inherits, core: beat, gateway: beat, link: None, is_gone };
                match watch.poll(Nanos::new(idx as u64 * 100 * MS), Some(&sight)) {
                    Some(Decision::Act(incarnation, _) | Decision::StandDown(incarnation)) => {
                        prop_assert!(done.insert(incarnation), "{} was dealt with before", incarnation);
                    }
                    Some(Decision::Attach(incarnation)) => prop_assert!(!done.contains(&incarnation)),
                    None => {}
                }
                if settles {
                    watch.settle();
                }
            }
        }
    }
}
