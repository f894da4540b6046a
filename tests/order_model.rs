//! The life of an order, driven exhaustively: the real transition code against every venue and network within bounds.
//!
//! One order lives through every interleaving of: our own requests (create, amendments, cancels), requests processed, refused
//! or answered ambiguously (done or not), partial fills, messages lost, repeated, delayed and reordered in both directions,
//! overdue answers, questions (by number, lists, executions) whose answers lag behind, and time. In every state:
//!
//! - what we booked never exceeds what was executed, and that never exceeds what was ordered;
//! - what we reserve covers the worst that can still happen;
//! - an order that we hold for ended has ended, and cannot come into being any more;
//! - the venue never saw a second create;
//! - once the network heals, the order reaches its end and everything executed is booked.
//!
//! Bounds are printed with the number of states. Two assumptions are built in, as in the code: the venue refuses requests older than
//! its window, and two states of one order never carry the same stamp.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use tercel::order::{LifeRules, News, Order, OrderState, Told, Transition};
use tercel::types::{InstrumentId, Lots, Nanos, Op, OrderStatus, RejectKind, Side, Ticks, TimeInForce};

/// Time goes in ticks. A request is valid for two, answers lag by one: so nothing can come of a request after three.
const WINDOW: u8 = 2;
const RULES: LifeRules = LifeRules { request_valid_ns: 3, answer_lag_ns: 1 };
/// An answer is overdue after one tick.
const ANSWER_WITHIN: u8 = 1;
/// Ticks in which a healed network must bring an order to its end.
const HEAL_TICKS: u8 = 24;
const QTY: i64 = 2;
/// Above it a test takes minutes and gigabytes.
const STATES_MAX: usize = 3_000_000;

/// How much may happen at most along one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Bounds {
    ticks: u8,
    amends: u8,
    cancels: u8,
    fills: u8,
    questions: u8,
    losses: u8,
    repeats: u8,
    /// Refusals and ambiguous replies.
    whims: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Ask {
    Create,
    Amend(i64, i64),
    Cancel,
}

impl Ask {
    fn op(self) -> Op {
        match self {
            Self::Create => Op::Create,
            Self::Amend(..) => Op::Amend,
            Self::Cancel => Op::Cancel,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Topic {
    /// One order by its number.
    Number,
    /// The list of open orders.
    List,
    /// The list of executions.
    Executions,
}

/// What the venue shows of the order at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Shown {
    status: OrderStatus,
    px: i64,
    qty: i64,
    filled: i64,
    ts: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Message {
    Request { ask: Ask, number: u16, sent: u8 },
    Ack(Op, u16),
    Reject(Op, u16, RejectKind),
    Told(Shown),
    Execution { idx: u8, qty: i64 },
    Answer { topic: Topic, asked: u8, shown: Option<Shown>, executions: u8 },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    now: u8,
    left: Bounds,
    order: Order,
    /// Executions that we booked, one bit each.
    booked: u8,
    venue: Option<Shown>,
    /// What the venue showed at the end of the last tick, and how many executions there were.
    earlier: (Option<Shown>, u8),
    executions: Vec<i64>,
    creates: u8,
    net: Vec<Message>,
    question: Option<(Topic, u8)>,
}

fn is_open(shown: &Shown) -> bool {
    matches!(shown.status, OrderStatus::New | OrderStatus::PartiallyFilled)
}

fn nanos(tick: u8) -> Nanos {
    // Zero means "never" in the order's fields.
    Nanos::new(u64::from(tick) + 10)
}

impl World {
    fn new(left: Bounds) -> Self {
        let place = (InstrumentId(0), Side::Bid);
        let size = (Ticks::new(100), Lots::new(QTY));
        let order = Order::new(place, size, TimeInForce::GoodTillCancel, false, nanos(0), &RULES);
        let create = Message::Request { ask: Ask::Create, number: 1, sent: 0 };
        Self {
            now: 0,
            left,
            order,
            booked: 0,
            venue: None,
            earlier: (None, 0),
            executions: Vec::new(),
            creates: 0,
            net: vec![create],
            question: None,
        }
    }

    fn give(&mut self, news: News) -> Transition {
        self.order.apply(&news, nanos(self.now), &RULES)
    }

    fn post(&mut self, message: Message) {
        let at = self.net.partition_point(|it| *it <= message);
        self.net.insert(at, message);
    }

    fn show(&mut self, status: OrderStatus, change: impl FnOnce(&mut Shown)) {
        if let Some(shown) = &mut self.venue {
            change(shown);
            shown.status = status;
            shown.ts += 1;
            let told = *shown;
            self.post(Message::Told(told));
        }
    }

    /// The venue takes a request, in its usual way.
    fn process(&mut self, ask: Ask) -> Result<(), RejectKind> {
        match ask {
            Ask::Create => {
                self.creates += 1;
                let shown = Shown { status: OrderStatus::New, px: 100, qty: QTY, filled: 0, ts: 0 };
                self.venue = Some(shown);
                self.show(OrderStatus::New, |_| {});
            }
            Ask::Amend(px, qty) => {
                let Some(shown) = self.venue.filter(is_open) else { return Err(RejectKind::Gone) };
                if qty <= shown.filled {
                    return Err(RejectKind::Refused);
                }
                self.show(shown.status, |it| (it.px, it.qty) = (px, qty));
            }
            Ask::Cancel => {
                if self.venue.filter(is_open).is_none() {
                    return Err(RejectKind::Gone);
                }
                self.show(OrderStatus::Cancelled, |_| {});
            }
        }
        Ok(())
    }

    fn fill(&mut self, qty: i64) {
        let Some(shown) = self.venue.filter(is_open) else { return };
        let idx = self.executions.len() as u8;
        self.executions.push(qty);
        let filled = shown.filled + qty;
        let status = if filled == shown.qty { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
        self.show(status, |it| it.filled = filled);
        self.post(Message::Execution { idx, qty });
    }

    fn book(&mut self, idx: u8, qty: i64) {
        if self.booked & (1 << idx) == 0 {
            self.booked |= 1 << idx;
            self.give(News::Filled(Lots::new(qty)));
        }
    }

    fn told(shown: &Shown, asked_at: Option<Nanos>) -> News {
        News::Told(Told {
            status: shown.status,
            px: Ticks::new(shown.px),
            qty: Lots::new(shown.qty),
            filled: Lots::new(shown.filled),
            venue_order_id: 7,
            ts: Nanos::new(u64::from(shown.ts)),
            asked_at,
        })
    }

    /// A message reaches us.
    fn hear(&mut self, message: Message) {
        match message {
            Message::Request { .. } => {}
            Message::Ack(op, number) => _ = self.give(News::Ack(op, number)),
            Message::Reject(op, number, kind) => _ = self.give(News::Reject(op, number, kind)),
            Message::Told(shown) => _ = self.give(Self::told(&shown, None)),
            Message::Execution { idx, qty } => self.book(idx, qty),
            Message::Answer { topic, asked, shown, executions } => {
                let asked_at = nanos(asked);
                match (topic, shown) {
                    (Topic::Number, Some(shown)) => _ = self.give(Self::told(&shown, Some(asked_at))),
                    (Topic::Number, None) => _ = self.give(News::Absent(asked_at)),
                    (Topic::List, Some(shown)) if is_open(&shown) => {
                        self.give(Self::told(&shown, Some(asked_at)));
                    }
                    (Topic::List, _) => _ = self.give(News::Unlisted(asked_at)),
                    (Topic::Executions, _) => {
                        for idx in 0..executions {
                            self.book(idx, self.executions[usize::from(idx)]);
                        }
                    }
                }
            }
        }
    }

    fn request(&mut self, ask: Ask) {
        let number = self.order.request;
        self.post(Message::Request { ask, number, sent: self.now });
    }

    fn ask_amend(&mut self, px: i64, qty: i64) {
        if self.give(News::AskAmend(Ticks::new(px), Lots::new(qty))) != Transition::Forbidden {
            self.request(Ask::Amend(px, qty));
        }
    }

    fn ask_cancel(&mut self) {
        if self.give(News::AskCancel) != Transition::Forbidden {
            self.request(Ask::Cancel);
        }
    }

    fn is_pending(&self) -> bool {
        matches!(self.order.state, OrderState::PendingNew | OrderState::PendingAmend | OrderState::PendingCancel)
    }

    fn is_overdue(&self) -> bool {
        self.is_pending() && nanos(self.now) >= self.order.asked_at.saturating_add(u64::from(ANSWER_WITHIN))
    }

    fn tick(&mut self) {
        self.earlier = (self.venue, self.executions.len() as u8);
        self.now += 1;
    }

    /// Every world that may come next.
    fn next(&self, out: &mut Vec<(&'static str, World)>) {
        let mut add = |name: &'static str, change: &dyn Fn(&mut World)| {
            let mut world = self.clone();
            change(&mut world);
            out.push((name, world));
        };
        for (idx, &message) in self.net.iter().enumerate() {
            if idx > 0 && self.net[idx - 1] == message {
                continue;
            }
            let take = |world: &mut World| _ = world.net.remove(idx);
            if self.left.losses > 0 {
                add("lose", &|world| {
                    world.left.losses -= 1;
                    take(world);
                    if matches!(message, Message::Answer { .. }) {
                        world.question = None;
                    }
                });
            }
            let Message::Request { ask, number, sent } = message else {
                add("hear", &|world| {
                    take(world);
                    if matches!(message, Message::Answer { .. }) {
                        world.question = None;
                    }
                    world.hear(message);
                });
                if self.left.repeats > 0 && !matches!(message, Message::Answer { .. }) {
                    add("hear, to be repeated", &|world| {
                        world.left.repeats -= 1;
                        world.hear(message);
                    });
                }
                continue;
            };
            let op = ask.op();
            if self.now > sent + WINDOW {
                add("too old", &|world| {
                    take(world);
                    world.post(Message::Reject(op, number, RejectKind::Clock));
                });
                continue;
            }
            add("process", &|world| {
                take(world);
                match world.process(ask) {
                    Ok(()) => world.post(Message::Ack(op, number)),
                    Err(kind) => world.post(Message::Reject(op, number, kind)),
                }
            });
            if self.left.whims == 0 {
                continue;
            }
            add("refuse", &|world| {
                world.left.whims -= 1;
                take(world);
                world.post(Message::Reject(op, number, RejectKind::Refused));
            });
            add("answer ambiguously, not done", &|world| {
                world.left.whims -= 1;
                take(world);
                world.post(Message::Reject(op, number, RejectKind::Unknown));
            });
            add("answer ambiguously, done", &|world| {
                world.left.whims -= 1;
                take(world);
                let _ = world.process(ask);
                world.post(Message::Reject(op, number, RejectKind::Unknown));
            });
            match ask {
                Ask::Create => add("acknowledge and reject", &|world| {
                    world.left.whims -= 1;
                    take(world);
                    let _ = world.process(ask);
                    // The stream tells of the end alone.
                    world.net.retain(|it| !matches!(it, Message::Told(_)));
                    world.show(OrderStatus::Rejected, |_| {});
                    world.post(Message::Ack(op, number));
                }),
                Ask::Amend(px, qty) => add("reprice", &|world| {
                    world.left.whims -= 1;
                    take(world);
                    match world.process(Ask::Amend(px + 1, qty)) {
                        Ok(()) => world.post(Message::Ack(op, number)),
                        Err(kind) => world.post(Message::Reject(op, number, kind)),
                    }
                }),
                Ask::Cancel => {}
            }
        }
        if let Some(shown) = self.venue.filter(is_open)
            && self.left.fills > 0
        {
            add("fill one", &|world| {
                world.left.fills -= 1;
                world.fill(1);
            });
            let rest = shown.qty - shown.filled;
            if rest > 1 {
                add("fill the rest", &|world| {
                    world.left.fills -= 1;
                    world.fill(rest);
                });
            }
        }
        if self.order.state == OrderState::Live && self.left.amends > 0 {
            for qty in [QTY + 1, QTY - 1] {
                add("ask to amend", &|world| {
                    world.left.amends -= 1;
                    world.ask_amend(110, qty);
                });
            }
        }
        let may_cancel = matches!(self.order.state, OrderState::Live | OrderState::PendingAmend | OrderState::Unknown);
        if may_cancel && self.left.cancels > 0 {
            add("ask to cancel", &|world| {
                world.left.cancels -= 1;
                world.ask_cancel();
            });
        }
        if self.is_overdue() {
            add("no answer", &|world| _ = world.give(News::NoAnswer));
        }
        if self.question.is_none() && self.left.questions > 0 {
            let mut topics = vec![Topic::List, Topic::Executions];
            if self.order.state == OrderState::Unknown {
                topics.push(Topic::Number);
            }
            for topic in topics {
                add("ask", &|world| {
                    world.left.questions -= 1;
                    world.question = Some((topic, world.now));
                });
            }
        }
        if let Some((topic, asked)) = self.question
            && !self.net.iter().any(|it| matches!(it, Message::Answer { .. }))
        {
            add("answer", &|world| {
                let (shown, executions) = (world.venue, world.executions.len() as u8);
                world.post(Message::Answer { topic, asked, shown, executions });
            });
            if self.earlier != (self.venue, self.executions.len() as u8) {
                add("answer late", &|world| {
                    let (shown, executions) = world.earlier;
                    world.post(Message::Answer { topic, asked, shown, executions });
                });
            }
        }
        if self.now < self.left.ticks {
            add("tick", &World::tick);
        }
    }

    /// What must hold in every state.
    fn check(&self) -> Result<(), String> {
        let order = &self.order;
        let executed: i64 = self.executions.iter().sum();
        let booked: i64 =
            (0..self.executions.len()).filter(|idx| self.booked & (1 << idx) != 0).map(|i| self.executions[i]).sum();
        if order.filled != Lots::new(booked) {
            return Err(format!("booked {booked}, the order says {:?}", order.filled));
        }
        let ordered = self.venue.map_or(0, |shown| shown.qty);
        if booked > executed || executed > ordered.max(QTY + 1) {
            return Err(format!("booked {booked}, executed {executed}, ordered {ordered}"));
        }
        if self.creates > 1 {
            return Err(format!("{} creates", self.creates));
        }
        // The worst that can still happen at the venue.
        let mut worst = executed;
        let mut may_come = false;
        for message in &self.net {
            if let Message::Request { ask, sent, .. } = *message
                && self.now <= sent + WINDOW
            {
                match ask {
                    Ask::Create => {
                        worst = worst.max(QTY);
                        may_come = true;
                    }
                    Ask::Amend(_, qty) if self.venue.is_some_and(|shown| is_open(&shown)) => worst = worst.max(qty),
                    _ => {}
                }
            }
        }
        let is_working = self.venue.is_some_and(|shown| is_open(&shown));
        if let Some(shown) = self.venue.filter(is_open) {
            worst = worst.max(shown.qty);
        }
        if (is_working || may_come) && order.state.is_final() {
            return Err(format!("held for {:?} while it works or may come", order.state));
        }
        let reserved = order.filled.get() + order.leaves_max().get();
        if reserved < worst {
            return Err(format!("reserved {reserved}, worst {worst}"));
        }
        Ok(())
    }

    /// The network heals: everything arrives, questions are answered truly, and we ask for the order's end.
    fn heal(&self) -> Result<(), String> {
        let mut world = self.clone();
        world.question = None;
        for _ in 0..HEAL_TICKS {
            while let Some(message) = world.net.pop() {
                if let Message::Request { ask, number, sent } = message {
                    let op = ask.op();
                    let reply = if world.now > sent + WINDOW {
                        Message::Reject(op, number, RejectKind::Clock)
                    } else {
                        match world.process(ask) {
                            Ok(()) => Message::Ack(op, number),
                            Err(kind) => Message::Reject(op, number, kind),
                        }
                    };
                    world.post(reply);
                } else {
                    world.hear(message);
                }
            }
            let executed: i64 = world.executions.iter().sum();
            if world.order.state.is_final() && world.order.filled.get() == executed {
                return if world.order.is_settled() { Ok(()) } else { Err("ended and not settled".to_owned()) };
            }
            if world.is_overdue() {
                world.give(News::NoAnswer);
            }
            let answers = [Topic::Executions, Topic::List, Topic::Number];
            for topic in answers {
                if topic == Topic::Number && world.order.state != OrderState::Unknown {
                    continue;
                }
                let (asked, shown, executions) = (world.now, world.venue, world.executions.len() as u8);
                world.hear(Message::Answer { topic, asked, shown, executions });
            }
            if matches!(world.order.state, OrderState::Live | OrderState::PendingAmend) {
                world.ask_cancel();
            }
            world.tick();
        }
        Err(format!("no end after {HEAL_TICKS} ticks: {:?}, venue {:?}", world.order, world.venue))
    }
}

/// Visits every state within the bounds; returns how many there were.
fn explore(bounds: Bounds) -> usize {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let print = |world: &World| {
        let half = |salt: u64| u128::from(hasher.hash_one((salt, world)));
        half(1) << 64 | half(2)
    };
    let first = World::new(bounds);
    let mut seen: HashSet<u128> = HashSet::from([print(&first)]);
    let mut queue = VecDeque::from([first]);
    let mut next = Vec::new();
    while let Some(world) = queue.pop_front() {
        assert!(seen.len() < STATES_MAX, "more than {STATES_MAX} states within {bounds:?}: too wide for one test");
        if let Err(what) = world.check().and_then(|()| world.heal()) {
            panic!("{what}\nin {world:#?}\nby {:?}", trace(bounds, &world));
        }
        world.next(&mut next);
        for (_, world) in next.drain(..) {
            if seen.insert(print(&world)) {
                queue.push_back(world);
            }
        }
    }
    seen.len()
}

/// The shortest way to a state, for people; explores again, keeping the ways.
fn trace(bounds: Bounds, goal: &World) -> Vec<&'static str> {
    let mut seen: HashSet<World> = HashSet::new();
    let mut queue: VecDeque<(World, Vec<&'static str>)> = VecDeque::from([(World::new(bounds), Vec::new())]);
    let mut next = Vec::new();
    while let Some((world, way)) = queue.pop_front() {
        if world == *goal {
            return way;
        }
        world.next(&mut next);
        for (name, world) in next.drain(..) {
            if seen.insert(world.clone()) {
                let mut way = way.clone();
                way.push(name);
                queue.push_back((world, way));
            }
        }
    }
    Vec::new()
}

fn run(name: &str, bounds: Bounds) {
    let states = explore(bounds);
    println!("MODEL {name}: {states} states, all good, within {bounds:?}");
    assert!(states > 1000, "{name}: {states} states are too few to mean anything");
}

const NONE: Bounds =
    Bounds { ticks: 5, amends: 0, cancels: 0, fills: 0, questions: 0, losses: 0, repeats: 0, whims: 0 };

#[test]
fn a_create_that_may_be_lost() {
    run("create", Bounds { ticks: 5, fills: 1, questions: 2, losses: 1, repeats: 0, whims: 1, ..NONE });
}

#[test]
fn a_cancel_that_races_with_fills() {
    run("cancel", Bounds { ticks: 3, cancels: 1, fills: 2, losses: 1, repeats: 1, ..NONE });
}

#[test]
fn amendments_that_race_with_fills() {
    run("amend", Bounds { ticks: 2, amends: 1, fills: 2, losses: 1, ..NONE });
}

#[test]
fn amendments_refused_repriced_and_in_doubt() {
    run("doubt", Bounds { ticks: 4, amends: 1, questions: 1, losses: 1, whims: 1, ..NONE });
}
