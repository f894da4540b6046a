//! A script under way: which faults are due, and what they have done so far.

use super::{Act, Channel, CutAt, Fault, FaultScript, MessageFault, Request, RequestFault, Topic};
use crate::types::Nanos;
use std::collections::BTreeMap;

/// A script, and how far it is.
pub(in crate::simex) struct FaultPlan {
    start: Nanos,
    /// By when they begin.
    faults: Vec<Running>,
    /// How many of them have begun.
    begun: usize,
    fired: BTreeMap<String, u64>,
}

struct Running {
    fault: Fault,
    /// How often it may still act.
    left: u32,
    has_ended: bool,
    has_fired: bool,
}

/// What begins or ends in a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simex) enum Begun {
    Cut(Channel),
    Kick(Channel),
    HalfOpen(Channel),
    HalfOpenEnds(Channel),
    Ban,
    TradeRestartEnds,
    VenueRestart,
    Snapshot { is_restart: bool },
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simex) enum MessageFate {
    Pass,
    Drop,
    Duplicate(u64),
    Delay(u64),
    Reorder,
    Corrupt,
    CutMidFrame,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simex) enum RequestFate {
    Pass,
    Lose,
    Hold(u64),
    Refuse(i32),
    Doubt(i32),
    Http(u16),
    CutBefore,
    CutAfter,
    Race { is_told_twice: bool },
    Reprice { ticks: u32 },
}

impl FaultPlan {
    pub fn new(script: &FaultScript, start: Nanos) -> Self {
        let running = |fault: &Fault| {
            let unbounded = if fault.for_ns.is_some() { u32::MAX } else { 1 };
            Running { fault: *fault, left: fault.count.unwrap_or(unbounded), has_ended: false, has_fired: false }
        };
        let mut faults: Vec<Running> = script.faults.iter().map(running).collect();
        faults.sort_by_key(|running| running.fault.at_ns);
        Self { start, faults, begun: 0, fired: BTreeMap::new() }
    }

    /// How often each kind of fault has acted: messages and requests one by one, everything that lasts once.
    pub fn fired(&self) -> &BTreeMap<String, u64> {
        &self.fired
    }

    /// Whether every fault is over at `now`.
    pub fn is_over(&self, now: Nanos) -> bool {
        let since = now.saturating_since(self.start);
        self.begun == self.faults.len() && self.faults.iter().all(|running| running.fault.end_ns() <= since)
    }

    /// The next thing that begins or ends at or before `now`; call it until there is none.
    pub fn step(&mut self, now: Nanos) -> Option<Begun> {
        if now < self.start {
            return None;
        }
        let since = now.saturating_since(self.start);
        for idx in 0..self.begun {
            let running = &mut self.faults[idx];
            if !running.has_ended && running.fault.end_ns() <= since {
                running.has_ended = true;
                match running.fault.act {
                    Act::HalfOpen(channel) => return Some(Begun::HalfOpenEnds(channel)),
                    Act::RestartTrade => return Some(Begun::TradeRestartEnds),
                    _ => {}
                }
            }
        }
        while let Some(running) = self.faults.get(self.begun).filter(|running| running.fault.at_ns <= since) {
            let idx = self.begun;
            self.begun += 1;
            let begun = match running.fault.act {
                Act::Cut(channel, CutAt::Now) => Some(Begun::Cut(channel)),
                Act::Kick(channel) => Some(Begun::Kick(channel)),
                Act::HalfOpen(channel) => Some(Begun::HalfOpen(channel)),
                Act::Ban => Some(Begun::Ban),
                Act::RestartVenue => Some(Begun::VenueRestart),
                Act::Snapshot { is_restart } => Some(Begun::Snapshot { is_restart }),
                Act::Stall(_) | Act::Clock { .. } | Act::Freeze | Act::RestartTrade => {
                    self.fire(idx);
                    None
                }
                _ => None,
            };
            if begun.is_some() {
                self.fire(idx);
                return begun;
            }
        }
        None
    }

    fn fire(&mut self, idx: usize) {
        let Some(running) = self.faults.get_mut(idx) else { return };
        running.left = running.left.saturating_sub(u32::from(running.left != u32::MAX));
        running.has_fired = true;
        *self.fired.entry(running.fault.act.name()).or_default() += 1;
    }

    /// Faults that act at `now`, by their place in the list.
    fn acting(&self, now: Nanos) -> impl Iterator<Item = (usize, &Act)> {
        let since = if now < self.start { None } else { Some(now.saturating_since(self.start)) };
        let begun = self.faults.iter().take(self.begun).enumerate();
        let acts = move |running: &Running| {
            running.left > 0
                && since.is_some_and(|since| running.fault.at_ns <= since && since < running.fault.end_ns())
        };
        begun.filter(move |(_, running)| acts(running)).map(|(idx, running)| (idx, &running.fault.act))
    }

    fn any(&self, now: Nanos, is_it: impl Fn(&Act) -> bool) -> bool {
        self.acting(now).any(|(_, act)| is_it(act))
    }

    pub fn is_stalled(&self, channel: Channel, now: Nanos) -> bool {
        self.any(now, |act| *act == Act::Stall(channel))
    }

    pub fn is_half_open(&self, channel: Channel, now: Nanos) -> bool {
        self.any(now, |act| *act == Act::HalfOpen(channel))
    }

    pub fn is_banned(&self, now: Nanos) -> bool {
        self.any(now, |act| *act == Act::Ban)
    }

    pub fn is_frozen(&self, now: Nanos) -> bool {
        self.any(now, |act| *act == Act::Freeze)
    }

    /// How far the client's clock is ahead, in nanoseconds.
    pub fn clock_ahead_ns(&self, now: Nanos) -> i64 {
        let ahead = |(_, act): (usize, &Act)| if let Act::Clock { ahead_ns } = act { Some(*ahead_ns) } else { None };
        self.acting(now).filter_map(ahead).sum()
    }

    /// Decides about a message from the venue.
    pub fn message(&mut self, channel: Channel, topic: Option<Topic>, now: Nanos) -> MessageFate {
        // Control answers are hit only by those who name them.
        let is_control = matches!(topic, Some(Topic::Login | Topic::Pong));
        let fate = |act: &Act| match *act {
            Act::Message { how, channel: on, topic: of } if on == channel => {
                let fits = match of {
                    Some(of) => topic == Some(of),
                    None => !is_control,
                };
                fits.then_some(match how {
                    MessageFault::Drop => MessageFate::Drop,
                    MessageFault::Duplicate(ns) => MessageFate::Duplicate(ns),
                    MessageFault::Delay(ns) => MessageFate::Delay(ns),
                    MessageFault::Reorder => MessageFate::Reorder,
                    MessageFault::Corrupt => MessageFate::Corrupt,
                })
            }
            Act::Silence(on) if on == channel && !is_control => Some(MessageFate::Drop),
            Act::Cut(on, CutAt::MidFrame) if on == channel => Some(MessageFate::CutMidFrame),
            _ => None,
        };
        let found = self.acting(now).find_map(|(idx, act)| fate(act).map(|fate| (idx, fate)));
        let Some((idx, fate)) = found else { return MessageFate::Pass };
        let lasts = matches!(self.faults[idx].fault.act, Act::Silence(_));
        if !lasts || !self.faults[idx].has_fired {
            self.fire(idx);
        }
        fate
    }

    /// Decides about a request that has come in.
    pub fn request(&mut self, request: Request, now: Nanos) -> RequestFate {
        let fate = |act: &Act| match *act {
            Act::Request(how, of) if of == request => Some(match how {
                RequestFault::Lose => RequestFate::Lose,
                RequestFault::Hold(ns) => RequestFate::Hold(ns),
                RequestFault::Refuse(code) => RequestFate::Refuse(code),
                RequestFault::Doubt(code) => RequestFate::Doubt(code),
            }),
            Act::Cut(_, CutAt::Mid(of)) if of == request => Some(RequestFate::CutBefore),
            Act::Cut(_, CutAt::After(of)) if of == request => Some(RequestFate::CutAfter),
            Act::Http(status) if request == Request::Rest => Some(RequestFate::Http(status)),
            Act::Reprice { ticks } if request == Request::Order => Some(RequestFate::Reprice { ticks }),
            Act::Race { is_told_twice } if request == Request::Cancel => Some(RequestFate::Race { is_told_twice }),
            Act::Race { is_told_twice: false } if request == Request::Amend => {
                Some(RequestFate::Race { is_told_twice: false })
            }
            _ => None,
        };
        // What lasts is told by its state, and counted when it began.
        if self.any(now, |act| *act == Act::Ban) {
            return if request == Request::Rest { RequestFate::Http(403) } else { RequestFate::CutBefore };
        }
        if request != Request::Rest && self.any(now, |act| *act == Act::RestartTrade) {
            return RequestFate::Refuse(10_019);
        }
        let found = self.acting(now).find_map(|(idx, act)| fate(act).map(|fate| (idx, fate)));
        let Some((idx, fate)) = found else { return RequestFate::Pass };
        self.fire(idx);
        fate
    }
}
