//! Runs duties on pinned threads.

use std::io::{self, Write};
use std::str::FromStr;
use std::thread::JoinHandle;

use super::alloc;
use super::clock::Clock;
use super::duty::{Duty, DutyReport};
use crate::ring::Flag;

/// Says something to whoever reads; nobody may.
macro_rules! warn {
    ($($arg:tt)*) => {{
        let _ = writeln!(io::stderr(), "warning: {}", format_args!($($arg)*));
    }};
}

/// What a thread does when none of its duties had work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Idle {
    /// Polls again at once: the fastest, and it takes the core for itself.
    Spin,
    /// Polls again after offering the core to others: for machines with fewer cores than threads.
    #[default]
    SpinYield,
    /// Yields for a while, then sleeps 50 µs at a time: for a desk machine.
    Backoff,
}

impl Idle {
    /// The name in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::SpinYield => "spin-yield",
            Self::Backoff => "backoff",
        }
    }
}

impl FromStr for Idle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Spin, Self::SpinYield, Self::Backoff]
            .into_iter()
            .find(|idle| idle.name() == text)
            .ok_or_else(|| format!("`{text}` is no idle strategy; allowed are spin, spin-yield, backoff"))
    }
}

/// Empty polls before [`Idle::Backoff`] begins to sleep.
const BACKOFF_YIELDS: u32 = 2_000;

/// Polls that a thread which is told to stop may still make while its duties find work, so that what is under way
/// arrives; a feed that never pauses does not keep it alive.
const DRAIN_POLLS: u32 = 10_000;

/// A thread to start.
pub struct ThreadPlan {
    /// Its name, as the system shows it.
    pub name: String,
    /// Core to pin it to; `None` leaves it to the scheduler.
    pub cpu: Option<usize>,
    /// Real-time priority that it takes; `None` leaves it with the ordinary scheduler.
    pub real_time: Option<u8>,
    /// What it does without work.
    pub idle: Idle,
    /// Its duties, polled in this order.
    pub duties: Vec<Box<dyn Duty>>,
}

/// A running thread.
pub struct RunningThread {
    name: String,
    handle: JoinHandle<ThreadEnd>,
}

/// What a thread leaves behind.
#[derive(Debug)]
pub struct ThreadEnd {
    /// Of each of its duties.
    pub reports: Vec<DutyReport>,
    /// Allocations made inside its hot duties after their warm-up; `None` if nothing counts them.
    pub hot_allocations: Option<u64>,
}

/// Units of work after which a hot duty is warm: buffers have grown, lazily made tables are made.
const WARM_UP_WORK: u64 = 256;

/// A duty, and how warm it is.
struct Slot {
    duty: Box<dyn Duty>,
    is_hot: bool,
    work: u64,
    allocations: u64,
}

impl Slot {
    #[inline]
    fn poll(&mut self, now: crate::types::Nanos) -> usize {
        let before = alloc::count();
        let work = self.duty.poll(now);
        if self.work >= WARM_UP_WORK {
            self.allocations += alloc::count() - before;
        }
        self.work += work as u64;
        work
    }
}

impl RunningThread {
    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits for its end and returns what its duties left behind.
    ///
    /// # Errors
    /// The thread's name, if it panicked.
    pub fn join(self) -> Result<ThreadEnd, String> {
        self.handle.join().map_err(|_| self.name)
    }
}

/// Starts a thread that polls its duties until `stop` is set or all of them have finished.
///
/// # Errors
/// If the system refuses another thread.
pub fn start(plan: ThreadPlan, clock: Clock, stop: Flag) -> io::Result<RunningThread> {
    let ThreadPlan { name, cpu, real_time, idle, duties } = plan;
    let handle = std::thread::Builder::new().name(name.clone()).spawn(move || {
        if let Some(id) = cpu
            && !core_affinity::set_for_current(core_affinity::CoreId { id })
        {
            warn!("could not pin a thread to cpu {id}; it runs where the system puts it");
        }
        if let Some(priority) = real_time
            && let Err(error) = super::take_real_time(priority)
        {
            warn!("a thread could not take real-time priority {priority}: {error}");
        }
        let slot = |duty: Box<dyn Duty>| Slot { is_hot: duty.is_hot(), duty, work: 0, allocations: 0 };
        let mut slots: Vec<Slot> = duties.into_iter().map(slot).collect();
        let mut idle_polls = 0u32;
        let mut polls_to_drain = DRAIN_POLLS;
        loop {
            let mut work = 0;
            // Before the polls: who sets it has published everything, and a poll after it was seen finds all of that. Looked at
            // after them, what came in between would be left behind.
            let is_stopping = stop.is_set();
            // One reading serves all duties of the round: they stamp what must be exact themselves.
            let now = clock.now();
            for slot in &mut slots {
                work += slot.poll(now);
            }
            if is_stopping {
                polls_to_drain -= 1;
                // Two in a row: a duty may look at one source in one poll and at the other in the next.
                if (work == 0 && idle_polls > 0) || polls_to_drain == 0 {
                    break;
                }
            }
            if work > 0 {
                idle_polls = 0;
                continue;
            }
            if slots.iter().all(|slot| slot.duty.is_finished()) {
                break;
            }
            idle_polls = idle_polls.saturating_add(1);
            match idle {
                Idle::Spin => crate::ring::spin_hint(),
                Idle::SpinYield => std::thread::yield_now(),
                Idle::Backoff if idle_polls < BACKOFF_YIELDS => std::thread::yield_now(),
                Idle::Backoff => std::thread::sleep(std::time::Duration::from_micros(50)),
            }
        }
        let allocations = slots.iter().filter(|slot| slot.is_hot).map(|slot| slot.allocations).sum();
        ThreadEnd {
            hot_allocations: alloc::is_installed().then_some(allocations),
            reports: slots.into_iter().map(|slot| slot.duty.finish()).collect(),
        }
    })?;
    Ok(RunningThread { name, handle })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Nanos;

    struct Countdown(usize);

    impl Duty for Countdown {
        fn name(&self) -> &'static str {
            "countdown"
        }

        fn poll(&mut self, _now: Nanos) -> usize {
            let work = self.0.min(1);
            self.0 -= work;
            work
        }

        fn is_finished(&self) -> bool {
            self.0 == 0
        }
    }

    #[test]
    fn a_thread_ends_when_its_duties_have() {
        for idle in [Idle::Spin, Idle::SpinYield, Idle::Backoff] {
            let duties: Vec<Box<dyn Duty>> = vec![Box::new(Countdown(10)), Box::new(Countdown(3))];
            let plan = ThreadPlan { name: "test".into(), cpu: None, real_time: None, idle, duties };
            let thread = start(plan, Clock::new(), Flag::new()).unwrap();
            assert_eq!(thread.join().unwrap().reports.len(), 2);
        }
    }

    #[test]
    fn what_came_just_before_the_stop_is_still_taken() {
        /// Idle once; then work comes, and the stop with it, after it has looked.
        struct Late {
            polls: u32,
            stop: Flag,
            taken: Flag,
        }
        impl Duty for Late {
            fn name(&self) -> &'static str {
                "late"
            }
            fn poll(&mut self, _now: Nanos) -> usize {
                self.polls += 1;
                match self.polls {
                    2 => self.stop.set(),
                    3 => self.taken.set(),
                    _ => {}
                }
                usize::from(self.polls == 3)
            }
        }
        let (stop, taken) = (Flag::new(), Flag::new());
        let late = Late { polls: 0, stop: stop.clone(), taken: taken.clone() };
        let plan = ThreadPlan {
            name: "test".into(),
            cpu: None,
            real_time: None,
            idle: Idle::Backoff,
            duties: vec![Box::new(late)],
        };
        start(plan, Clock::new(), stop).unwrap().join().unwrap();
        assert!(taken.is_set());
    }

    #[test]
    fn a_flag_stops_a_thread() {
        struct Forever;
        impl Duty for Forever {
            fn name(&self) -> &'static str {
                "forever"
            }
            fn poll(&mut self, _now: Nanos) -> usize {
                0
            }
        }
        let stop = Flag::new();
        let plan = ThreadPlan {
            name: "test".into(),
            cpu: None,
            real_time: None,
            idle: Idle::Backoff,
            duties: vec![Box::new(Forever)],
        };
        let thread = start(plan, Clock::new(), stop.clone()).unwrap();
        stop.set();
        thread.join().unwrap();
    }
}
