//! The venue of a replay: stands between feed and core, fills orders against the captured market, and keeps virtual time.
//!
//! ```text
//! feed ──ring──▶ SIM VENUE ──ring──▶ core
//!                    ▲                 │
//!                    └──────ring───────┘ commands
//! ```
//!
//! Everything reaches the core through one ring in the order of virtual time, so that the core decides the same on every
//! topology. The rule that makes it so: an item of time `t` is let through only when the core has consumed every event
//! from which a command could still arrive by `t`, that is every event not later than `t` less the way to the venue.
//! The core frees its ring's slots after it has passed its commands on, so the ring itself tells how far it is.
//!
//! Ties: what is under way between us and the venue comes before the market's next message. Market data may have a way of its own
//! to the core; the venue then sees its market move before the core does.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::Write;

use super::core::TIMER_NS;
use super::duty::{Duty, DutyReport};
use crate::ring::{Consumer, Flag, Producer};
use crate::sim::{Account, AccountId, FundingClock, Latency, Refusal, Venue, VenueEvent, Way};
use crate::types::{
    Ack, Balance, Command, CommandKind, Control, Event, InstrumentId, Level, Link, LinkKind, Lots, Meta, Money, Nanos,
    Op, Position, Record, RecordSink, Reject, RejectKind, SettleId,
};

/// Items handled in one poll.
const STEPS_PER_POLL: usize = 256;

/// Virtual time after the end of the feed within which open orders must be gone.
const STOP_WITHIN_NS: u64 = 60_000_000_000;

/// How long messages travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimLatency {
    /// Market data, from the venue to the engine. The receive times of a capture then count as the venue's own: what was received
    /// at *t* happened at *t* there, and is known to the engine later.
    pub feed: Latency,
    /// Orders, from the decision to the venue; at least a nanosecond.
    pub entry: Latency,
    /// Answers and order news, from the venue to the engine.
    pub ack: Latency,
    /// Starts the draws of models that draw.
    pub seed: u64,
}

impl Default for SimLatency {
    /// A colocated guess: one millisecond each way for orders, and market data at its receive times.
    fn default() -> Self {
        let way = Latency::Constant(1_000_000);
        Self { feed: Latency::Constant(0), entry: way.clone(), ack: way, seed: 7 }
    }
}

/// Sees a replay as it happens, for reports: every event in the order in which the core is given it, and every command when it
/// reaches the venue. The order is the same on every topology.
pub trait Observer: Any + Send {
    /// The core is given `event`.
    fn on_event(&mut self, event: &Event<'_>);

    /// `command` reaches the venue.
    fn on_command(&mut self, command: &Command);
}

/// Something that will happen at a moment.
enum Due {
    Arrives(Command),
    Tell(Event<'static>),
}

/// A moment, a running number to keep ties in order, and what happens then.
struct Pending {
    at: Nanos,
    number: u64,
    due: Due,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// What the simulated venue of a replay leaves behind.
pub struct SimVenueReport {
    /// Positions by instrument, as the venue books them.
    pub positions: Vec<Lots>,
    /// Wallets by settlement currency, as the venue books them.
    pub wallets: Vec<Money>,
    /// Commands taken.
    pub commands: u64,
    /// Orders still open at the end.
    pub open_orders: usize,
    /// Times that the account was liquidated.
    pub liquidations: u64,
    /// When it was for the first time.
    pub liquidated_at: Option<Nanos>,
    /// Why the commands file is not whole, if it is not.
    pub command_log_error: Option<std::io::Error>,
    /// Who watched, with what it saw.
    pub observer: Option<Box<dyn Observer>>,
}

impl std::fmt::Debug for SimVenueReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimVenueReport")
            .field("positions", &self.positions)
            .field("wallets", &self.wallets)
            .field("commands", &self.commands)
            .field("open_orders", &self.open_orders)
            .finish_non_exhaustive()
    }
}

/// See the module's documentation.
pub struct SimVenueDuty {
    market: Consumer<Record>,
    to_core: Producer<Record>,
    commands: Consumer<Record>,
    venue: Venue,
    account: AccountId,
    funding: FundingClock,
    feed_way: Way,
    entry_way: Way,
    ack_way: Way,
    /// Market events that the venue has seen and the core has not: their moments there and their records.
    delayed: VecDeque<(Nanos, usize)>,
    delayed_records: VecDeque<Record>,
    pending: BinaryHeap<Reverse<Pending>>,
    next_number: u64,
    /// Ring position behind each event given to the core and not yet consumed, and its time.
    given: VecDeque<(u64, Nanos)>,
    now: Nanos,
    timer_grid: u64,
    has_started: bool,
    feed_ended: bool,
    stop_at: Option<Nanos>,
    is_done: bool,
    levels: Box<[Level]>,
    log: Option<Box<dyn Write + Send>>,
    log_error: Option<std::io::Error>,
    observer: Option<Box<dyn Observer>>,
    /// Wallets that the venue's news at hand moved; kept for its room.
    moved_wallets: Vec<SettleId>,
    commands_count: u64,
    liquidations: u64,
    liquidated_at: Option<Nanos>,
    has_ended: Flag,
}

/// Whether a step could be made.
enum Step {
    Made,
    Wait,
}

impl SimVenueDuty {
    #[allow(clippy::too_many_arguments)] // Three rings, a venue and its account: each is what it is.
    /// Makes the venue of a replay; `log` takes every command as venue-neutral bytes, in the order of their arrival; `observer`
    /// sees what happens;
    /// `has_ended` is set when the feed has ended and everything that followed from it is done.
    pub fn new(
        market: Consumer<Record>,
        to_core: Producer<Record>,
        commands: Consumer<Record>,
        venue: Venue,
        account: AccountId,
        latency: SimLatency,
        log: Option<Box<dyn Write + Send>>,
        observer: Option<Box<dyn Observer>>,
        has_ended: Flag,
    ) -> Self {
        let SimLatency { feed, entry, ack, seed } = latency;
        Self {
            market,
            to_core,
            commands,
            funding: FundingClock::new(venue.instruments_len()),
            venue,
            account,
            feed_way: Way::new(feed, seed, 0),
            entry_way: Way::new(entry, seed.wrapping_add(1), 1),
            ack_way: Way::new(ack, seed.wrapping_add(2), 0),
            delayed: VecDeque::new(),
            delayed_records: VecDeque::new(),
            pending: BinaryHeap::with_capacity(1024),
            next_number: 0,
            given: VecDeque::with_capacity(1024),
            now: Nanos::ZERO,
            timer_grid: 0,
            has_started: false,
            feed_ended: false,
            stop_at: None,
            is_done: false,
            levels: vec![Level::default(); Event::LEVELS_MAX].into_boxed_slice(),
            log,
            log_error: None,
            observer,
            moved_wallets: Vec::new(),
            commands_count: 0,
            liquidations: 0,
            liquidated_at: None,
            has_ended,
        }
    }

    /// Who watches.
    pub(super) fn observer(&self) -> Option<&dyn Observer> {
        self.observer.as_deref()
    }

    /// Virtual time: everything until then has happened at the venue.
    pub(super) fn virtual_now(&self) -> Nanos {
        self.now
    }

    fn schedule(&mut self, at: Nanos, due: Due) {
        self.pending.push(Reverse(Pending { at, number: self.next_number, due }));
        self.next_number += 1;
    }

    /// Takes what the core has sent. Reads how far the core is first, so that no command of an event that counts as
    /// consumed is missed.
    fn take_commands(&mut self) {
        let consumed = self.to_core.consumed();
        while let Some(record) = self.commands.pop() {
            let Some(command) = Command::unpack(&record) else { continue };
            self.commands_count += 1;
            if let Some(log) = &mut self.log
                && let Err(error) = log.write_all(&command.neutral_bytes())
            {
                self.log = None;
                self.log_error = Some(error);
            }
            let at = self.entry_way.arrival(command.at);
            self.schedule(at, Due::Arrives(command));
        }
        while self.given.front().is_some_and(|&(position, _)| position <= consumed) {
            self.given.pop_front();
        }
    }

    /// Whether no command can arrive by `t` that is not known yet.
    fn is_settled_until(&self, t: Nanos) -> bool {
        self.given.front().is_none_or(|&(_, at)| at.saturating_add(self.entry_way.min_ns()) > t)
    }

    fn give(&mut self, event: &Event<'_>) -> bool {
        if !event.publish(&mut self.to_core) {
            return false;
        }
        self.given.push_back((self.to_core.published(), event.meta().recv));
        if let Some(observer) = &mut self.observer {
            observer.on_event(event);
        }
        true
    }

    /// Makes the next step in virtual time.
    fn step(&mut self) -> Step {
        let market = self.market.peek();
        let market_at = market.map(|record| Nanos::new(record.words[1]));
        let pending_at = self.pending.peek().map(|Reverse(next)| next.at);
        let delayed_at = self.delayed.front().map(|&(at, _)| at);
        if market_at.is_none() && !self.feed_ended {
            // The feed may still bring something earlier.
            return Step::Wait;
        }
        let Some(next_at) = [pending_at, delayed_at, market_at].into_iter().flatten().min() else {
            return self.wind_down();
        };
        if !self.has_started {
            return self.start(next_at);
        }
        // Engine time never runs backwards, whatever a recorder's clock did.
        let t = next_at.max(self.now);
        if !self.is_settled_until(t) {
            return Step::Wait;
        }
        let grid = t.get() / TIMER_NS;
        if grid > self.timer_grid {
            let at = Nanos::new(grid * TIMER_NS).max(self.now);
            return self.tell(Event::Timer(Meta::default()), at, |duty| {
                duty.timer_grid = grid;
                if duty.venue.work_margin(duty.account, at) {
                    duty.liquidations += 1;
                    duty.liquidated_at.get_or_insert(at);
                    duty.tell_what_happened(at);
                }
            });
        }
        if pending_at == Some(next_at) {
            self.step_pending(t)
        } else if delayed_at == Some(next_at) {
            self.step_delayed(t)
        } else if let Some(first) = market {
            self.step_market(&first, t)
        } else {
            Step::Wait
        }
    }

    fn tell(&mut self, mut told: Event<'static>, at: Nanos, then: impl FnOnce(&mut Self)) -> Step {
        told.meta_mut().recv = at;
        if !self.give(&told) {
            return Step::Wait;
        }
        self.now = at;
        then(self);
        Step::Made
    }

    /// What a fresh session brings: connections, the balance, and the word to trade.
    fn start(&mut self, at: Nanos) -> Step {
        self.has_started = true;
        self.timer_grid = at.get() / TIMER_NS;
        self.now = at;
        let meta = Meta::default();
        for settle in 0..self.venue.account(self.account).map_or(0, Account::wallets_len) {
            if let Some(balance) = self.balance(SettleId(settle as u16)) {
                self.schedule(at, Due::Tell(Event::Balance(balance)));
            }
        }
        for kind in [LinkKind::Market, LinkKind::Private, LinkKind::Trade] {
            self.schedule(at, Due::Tell(Event::Link(Link { meta, kind, is_up: true })));
        }
        self.schedule(at, Due::Tell(Event::Control(meta, Control::Arm)));
        Step::Made
    }

    fn step_pending(&mut self, t: Nanos) -> Step {
        let Some(Reverse(next)) = self.pending.pop() else { return Step::Wait };
        match next.due {
            Due::Arrives(command) => {
                self.now = t;
                self.arrive(&command, t);
            }
            Due::Tell(mut told) => {
                told.meta_mut().recv = t;
                if !self.give(&told) {
                    self.pending.push(Reverse(Pending { due: Due::Tell(told), ..next }));
                    return Step::Wait;
                }
                self.now = t;
            }
        }
        Step::Made
    }

    /// The market moves at the venue; the core is told at once, or after the feed's way.
    fn step_market(&mut self, first: &Record, t: Nanos) -> Step {
        let count = first.event_records();
        let mut header = *first;
        // The event is told at the engine's time, should the recorder's clock have gone back.
        header.words[1] = t.get();
        let market = &self.market;
        let record_at = |idx: usize| if idx == 0 { header } else { market.peek_at(idx).unwrap_or_default() };
        let is_instant = self.feed_way.is_instant();
        if is_instant {
            if !self.to_core.publish(count, record_at) {
                return Step::Wait;
            }
            self.given.push_back((self.to_core.published(), t));
        } else {
            let at = self.feed_way.arrival(t);
            self.delayed.push_back((at, count));
            self.delayed_records.extend((0..count).map(record_at));
        }
        self.now = t;
        if let Ok(event) = Event::decode(&header, record_at, &mut self.levels) {
            if is_instant && let Some(observer) = &mut self.observer {
                observer.on_event(&event);
            }
            if matches!(event, Event::Control(..)) {
                // The feed's word that it has ended; the core is told with it to stop.
                self.feed_ended = true;
                self.stop_at = Some(t);
            } else {
                if let Some(rate) = self.funding.on_event(&event) {
                    self.venue.fund(event.meta().instrument, rate, t);
                }
                self.venue.on_market_event(&event, t);
            }
        }
        self.market.advance(count);
        self.tell_what_happened(t);
        Step::Made
    }

    /// The core is told what the venue's market did a while ago.
    fn step_delayed(&mut self, t: Nanos) -> Step {
        let Some(&(_, count)) = self.delayed.front() else { return Step::Wait };
        let records = &self.delayed_records;
        let mut header = records.front().copied().unwrap_or_default();
        header.words[1] = t.get();
        let record_at = |idx: usize| if idx == 0 { header } else { records.get(idx).copied().unwrap_or_default() };
        if !self.to_core.publish(count, record_at) {
            return Step::Wait;
        }
        self.given.push_back((self.to_core.published(), t));
        if let Some(observer) = &mut self.observer
            && let Ok(event) = Event::decode(&header, record_at, &mut self.levels)
        {
            observer.on_event(&event);
        }
        self.now = t;
        self.delayed.pop_front();
        self.delayed_records.drain(..count);
        Step::Made
    }

    /// A command reaches the venue.
    fn arrive(&mut self, command: &Command, now: Nanos) {
        if let Some(observer) = &mut self.observer {
            observer.on_command(command);
        }
        let op = match command.kind {
            CommandKind::New | CommandKind::NewMarket | CommandKind::NewStop => Op::Create,
            CommandKind::Amend => Op::Amend,
            CommandKind::Cancel => Op::Cancel,
            CommandKind::CancelAll => Op::CancelAll,
            CommandKind::CancelForeign | CommandKind::Query | CommandKind::Reconcile | CommandKind::Reconnect => {
                return;
            }
        };
        let meta = Meta { instrument: command.instrument, venue_ts: now, ..Meta::default() };
        let (client_id, request) = (command.client_id, command.request);
        let told = match self.venue.command(self.account, command, now) {
            Ok(()) => Event::Ack(Ack { meta, op, client_id, request, limit_left: u32::MAX }),
            Err(refusal) => {
                let kind = if refusal == Refusal::UnknownOrder { RejectKind::Gone } else { RejectKind::Refused };
                Event::Reject(Reject { meta, op, kind, client_id, request, code: 0 })
            }
        };
        let at = self.ack_way.arrival(now);
        self.schedule(at, Due::Tell(told));
        self.tell_what_happened(now);
    }

    /// Sends the venue's news on their way.
    fn tell_what_happened(&mut self, now: Nanos) {
        if self.venue.events().is_empty() {
            return;
        }
        // One message a piece of news would let a load-dependent way count each part of one event: they travel together.
        let at = self.ack_way.arrival(now);
        let mut moved: Option<InstrumentId> = None;
        // More than one only where a liquidation, or one event, moved positions of several.
        let mut wallets = std::mem::take(&mut self.moved_wallets);
        for idx in 0..self.venue.events().len() {
            let told = match &self.venue.events()[idx] {
                VenueEvent::Order(record) => Event::Order(record.update(at)),
                VenueEvent::Execution(execution) => {
                    moved = Some(execution.instrument);
                    if let Some(owner) = self.venue.account(self.account)
                        && let settle = owner.settle(execution.instrument)
                        && !wallets.contains(&settle)
                    {
                        wallets.push(settle);
                    }
                    execution.event(at)
                }
                VenueEvent::Trade { .. } => continue,
            };
            self.schedule(at, Due::Tell(told));
        }
        self.venue.clear_events();
        if let Some(instrument) = moved
            && let Some(account) = self.venue.account(self.account)
        {
            let qty = account.holding(instrument).qty;
            let meta = Meta { instrument, ..Meta::default() };
            let position = Position { meta, qty, entry_px: Money::ZERO, realised: Money::ZERO, asked_at: Nanos::ZERO };
            self.schedule(at, Due::Tell(Event::Position(position)));
        }
        for settle in wallets.drain(..) {
            if let Some(balance) = self.balance(settle) {
                self.schedule(at, Due::Tell(Event::Balance(balance)));
            }
        }
        self.moved_wallets = wallets;
    }

    /// What the venue tells of a wallet; the first instrument that is settled in it names its currency.
    fn balance(&self, settle: SettleId) -> Option<Balance> {
        let account = self.venue.account(self.account)?;
        let ids = (0..self.venue.instruments_len()).map(|idx| InstrumentId(idx as u16));
        let instrument = ids.into_iter().find(|id| account.settle(*id) == settle).unwrap_or_default();
        let wallet = account.balance_in(settle);
        Some(Balance { meta: Meta { instrument, ..Meta::default() }, wallet, available: wallet })
    }

    /// Orders at the market, and stop orders that protect nothing any more: one that protects a position stays as long as that does.
    fn open_orders(&self) -> usize {
        let ids = (0..self.venue.instruments_len()).map(|idx| InstrumentId(idx as u16));
        ids.map(|id| {
            let is_flat = self.venue.account(self.account).is_none_or(|account| account.holding(id).qty.is_zero());
            let stops = if is_flat { self.venue.waiting_stops(self.account, id).count() } else { 0 };
            self.venue.open_orders(self.account, id).count() + stops
        })
        .sum()
    }

    /// The feed has ended and nothing is under way: waits for the core, then for its orders to be gone.
    fn wind_down(&mut self) -> Step {
        if !self.given.is_empty() {
            return Step::Wait;
        }
        let stop_at = self.stop_at.unwrap_or(self.now);
        if self.open_orders() == 0 || self.now.saturating_since(stop_at) > STOP_WITHIN_NS {
            self.is_done = true;
            self.has_ended.set();
            return Step::Wait;
        }
        self.tell(Event::Timer(Meta::default()), self.now.saturating_add(TIMER_NS), |_| {})
    }
}

impl Duty for SimVenueDuty {
    fn name(&self) -> &'static str {
        "sim-venue"
    }

    fn poll(&mut self, _now: Nanos) -> usize {
        let mut work = 0;
        while work < STEPS_PER_POLL && !self.is_done {
            self.take_commands();
            match self.step() {
                Step::Made => work += 1,
                Step::Wait => break,
            }
        }
        work
    }

    fn is_finished(&self) -> bool {
        self.is_done
    }

    fn finish(mut self: Box<Self>) -> DutyReport {
        if let Some(log) = &mut self.log
            && let Err(error) = log.flush()
        {
            self.log_error = Some(error);
        }
        let account = self.venue.account(self.account);
        let position = |idx| account.map_or(Lots::ZERO, |a| a.holding(InstrumentId(idx as u16)).qty);
        DutyReport::SimVenue(Box::new(SimVenueReport {
            positions: (0..self.venue.instruments_len()).map(position).collect(),
            wallets: account.map_or_else(Vec::new, |account| {
                (0..account.wallets_len()).map(|idx| account.balance_in(SettleId(idx as u16))).collect()
            }),
            commands: self.commands_count,
            open_orders: self.open_orders(),
            liquidations: self.liquidations,
            liquidated_at: self.liquidated_at,
            command_log_error: self.log_error,
            observer: self.observer,
        }))
    }
}
