//! The simulator against hftbacktest, order by order, on a real capture.
//!
//! Every order of the strategy lives for itself, so each can be judged alone. A *referee*, slow and naive, replays the life of each
//! order under rules that can be switched one by one between ours and theirs. With all rules as ours it must tell what our simulator did,
//! with all as theirs what hftbacktest did, for every single order: then each difference between the two *is* those rules, and an
//! order is put under the smallest set of them that makes the difference. One that the referee cannot tell fails the test.

use std::collections::{BTreeMap, HashMap};

use bench_parts::ours::Simulation;
use bench_parts::tape::{Message, Tape, read, theirs};
use bench_parts::{ENTRY_NS, Ended, QTY, STEP_NS, grid, theirs as hbt};
use tercel::book::naive::NaiveBook;
use tercel::sim::QueuePosition;
use tercel::types::{BookKind, Event, Level, Side, Ticks};

/// A modelling choice, and what each side chose.
const CHOICES: [(&str, &str); 6] = [
    ("a quote of the other side at our price", "ours: nothing until it trades; theirs: fills all of our order"),
    ("a quote of the other side beyond our price", "ours: fills what is displayed there; theirs: fills all"),
    ("a trade beyond our price", "ours: fills what was traded; theirs: fills all"),
    ("a level's loss that a trade told later explains", "ours: counted once; theirs: counted twice"),
    ("a trade at our price that reaches us", "ours: fills what is left of it; theirs: fills all of our order"),
    ("levels of one message", "ours: the book as the message leaves it; theirs: after each level"),
];

/// Which choices are theirs: a bit each.
#[derive(Clone, Copy)]
struct Rules(u8);

impl Rules {
    const OURS: Self = Self(0);
    const THEIRS: Self = Self((1 << CHOICES.len()) - 1);

    fn is_theirs(self, choice: usize) -> bool {
        self.0 >> choice & 1 == 1
    }
}

/// An order's life: when it arrives, and when its cancel does.
struct Life {
    side: Side,
    px: Ticks,
    from: u64,
    to: u64,
}

struct Resting {
    idx: usize,
    side: Side,
    px: i64,
    front: f64,
    explained: i64,
    told_at: u64,
    traded: i64,
    leaves: i64,
}

/// The referee.
struct Referee<'a> {
    rules: Rules,
    position: QueuePosition,
    lives: &'a [Life],
    book: NaiveBook,
    resting: Vec<Resting>,
    ended: Vec<Ended>,
    /// What of a displayed level our orders took since it was last told.
    taken: HashMap<(Side, i64), i64>,
}

fn best(book: &NaiveBook, side: Side) -> Option<i64> {
    book.touch().side(side).map(|level| level.px.get())
}

fn qty_at(book: &NaiveBook, side: Side, px: i64) -> i64 {
    book.qty_at(side, Ticks::new(px)).get()
}

/// How far `other`, a price of the other side, is beyond `px` of an order of `side`.
fn beyond(side: Side, px: i64, other: i64) -> i64 {
    if side == Side::Bid { px - other } else { other - px }
}

impl<'a> Referee<'a> {
    fn new(rules: Rules, position: QueuePosition, lives: &'a [Life]) -> Self {
        let ended = vec![Ended::default(); lives.len()];
        Self { rules, position, lives, book: NaiveBook::default(), resting: Vec::new(), ended, taken: HashMap::new() }
    }

    fn fill(&mut self, at: usize, qty: i64, now: u64) {
        let order = &mut self.resting[at];
        let qty = qty.min(order.leaves);
        order.leaves -= qty;
        let ended = &mut self.ended[order.idx];
        ended.filled += qty;
        if order.leaves == 0 {
            ended.filled_at = Some(now);
        }
    }

    fn enter(&mut self, idx: usize) {
        let life = &self.lives[idx];
        let px = life.px.get();
        let takes = best(&self.book, life.side.opposite()).is_some_and(|other| beyond(life.side, px, other) >= 0);
        if !takes {
            let front = qty_at(&self.book, life.side, px) as f64;
            let order =
                Resting { idx, side: life.side, px, front, explained: 0, told_at: 0, traded: 0, leaves: QTY.get() };
            self.resting.push(order);
        }
    }

    fn ahead(front: f64) -> i64 {
        (front - 0.5).ceil().max(0.0) as i64
    }

    fn on_level(&mut self, side: Side, level: Level, venue_ts: u64, now: u64) {
        let (px, after) = (level.px.get(), level.qty.get());
        let before = qty_at(&self.book, side, px);
        self.taken.remove(&(side, px));
        for order in self.resting.iter_mut().filter(|order| order.side == side && order.px == px) {
            let ahead = Self::ahead(order.front);
            let known = (before - order.traded).max(after.min(before));
            order.front = self.position.after_change(order.front, known as f64, after as f64);
            order.explained = if self.rules.is_theirs(3) { 0 } else { ahead - Self::ahead(order.front) };
            (order.traded, order.told_at) = (0, venue_ts);
        }
        self.book.set_level(side, level);
        if self.rules.is_theirs(5) {
            self.cross(now);
        }
    }

    /// Fills of quotes that cross our orders.
    fn cross(&mut self, now: u64) {
        for at in 0..self.resting.len() {
            let Resting { side, px, leaves, .. } = self.resting[at];
            let Some(other) = best(&self.book, side.opposite()) else { continue };
            let by = beyond(side, px, other);
            if (by == 0 && self.rules.is_theirs(0)) || (by > 0 && self.rules.is_theirs(1)) {
                self.fill(at, leaves, now);
            } else if by > 0 {
                let levels: Vec<Level> = self.book.iter(side.opposite()).collect();
                for level in levels {
                    let left = self.resting[at].leaves;
                    if left == 0 || beyond(side, px, level.px.get()) <= 0 {
                        break;
                    }
                    let taken = self.taken.entry((side.opposite(), level.px.get())).or_default();
                    let qty = (level.qty.get() - *taken).max(0).min(left);
                    *taken += qty;
                    if qty > 0 {
                        self.fill(at, qty, now);
                    }
                }
            }
        }
        self.drop_filled();
    }

    fn drop_filled(&mut self) {
        self.resting.retain(|order| order.leaves > 0);
    }

    fn on_trade(&mut self, side: Side, px: i64, qty: i64, venue_ts: u64, now: u64) {
        let mut volume = qty;
        // Best price first, as the trade meets them.
        let mut order: Vec<usize> = (0..self.resting.len()).filter(|&at| self.resting[at].side == side).collect();
        order.sort_by_key(|&at| -beyond(side, self.resting[at].px, 0));
        for at in order {
            let by = beyond(side, self.resting[at].px, px);
            if by < 0 {
                continue;
            }
            let all_of_it = self.resting[at].leaves;
            let shares = !self.rules.is_theirs(2);
            if by > 0 && !shares {
                self.fill(at, all_of_it, now);
                continue;
            }
            let mut reach = if shares { volume } else { qty };
            if by == 0 {
                let resting = &mut self.resting[at];
                if venue_ts > resting.told_at {
                    resting.explained = 0;
                }
                let known = reach.min(resting.explained);
                resting.explained -= known;
                reach -= known;
                resting.traded += reach;
                let consumed = reach.min(Self::ahead(resting.front));
                resting.front -= reach as f64;
                if !self.rules.is_theirs(4) {
                    resting.front = resting.front.max(0.0);
                }
                reach -= consumed;
                if reach > 0 && self.rules.is_theirs(4) {
                    self.fill(at, all_of_it, now);
                    continue;
                }
            }
            let done = reach.min(all_of_it).max(0);
            if done > 0 {
                self.fill(at, done, now);
                volume -= done;
            }
        }
        self.drop_filled();
    }

    fn run(mut self, messages: &[Message]) -> Vec<Ended> {
        // Requests in the order in which they arrive: of one step, cancels come before new orders.
        let mut requests: Vec<(u64, bool, usize)> = Vec::new();
        for (idx, life) in self.lives.iter().enumerate() {
            requests.push((life.from, true, idx));
            requests.push((life.to, false, idx));
        }
        requests.sort_by_key(|&(at, is_new, idx)| (at, is_new, idx));
        let mut next = 0;
        for message in messages {
            let now = message.at();
            while let Some(&(_, is_new, idx)) = requests.get(next).filter(|request| request.0 < now) {
                if is_new {
                    self.enter(idx);
                } else {
                    self.resting.retain(|order| order.idx != idx);
                }
                next += 1;
            }
            match message {
                Message::Book { meta, kind, levels, bids } => {
                    if *kind == BookKind::Snapshot {
                        self.book.clear();
                    }
                    for (at, level) in levels.iter().enumerate() {
                        let side = if at < *bids { Side::Bid } else { Side::Ask };
                        self.on_level(side, *level, meta.venue_ts.get(), now);
                    }
                    self.cross(now);
                }
                Message::Trade(trade) => {
                    let venue_ts = trade.meta.venue_ts.get();
                    self.on_trade(trade.taker.opposite(), trade.px.get(), trade.qty.get(), venue_ts, now);
                }
            }
        }
        self.ended
    }
}

/// The orders of the strategy, which knows the market alone.
fn lives(messages: &[Message]) -> Vec<Life> {
    let mut book = NaiveBook::default();
    let mut lives: Vec<Life> = Vec::new();
    let mut step = messages[0].at() + STEP_NS;
    for message in messages {
        while step < message.at() {
            if let (Some(bid), Some(ask)) = (best(&book, Side::Bid), best(&book, Side::Ask)) {
                for (side, px) in grid(Ticks::new(bid), Ticks::new(ask)) {
                    lives.push(Life { side, px, from: step + ENTRY_NS, to: step + STEP_NS + ENTRY_NS });
                }
            }
            step += STEP_NS;
        }
        if let Event::Book(event) = message.event() {
            book.apply(&event);
        }
    }
    lives
}

fn ours(tape: &Tape, position: QueuePosition) -> Vec<Ended> {
    let mut simulation = Simulation::new(&tape.table, position);
    for message in &tape.messages {
        simulation.on_event(&message.event());
    }
    simulation.orders
}

/// Compares, and prints what was found.
fn compare(name: &str, tape: &Tape, position: QueuePosition, theirs: &[Ended]) {
    let ours = ours(tape, position);
    let lives = lives(&tape.messages);
    assert_eq!(ours.len(), lives.len(), "our simulation places the orders that the strategy wants");
    // The capture ends within a step: its last orders are never asked about.
    let count = ours.len().min(theirs.len()).saturating_sub(2 * 2 * bench_parts::ORDERS as usize);
    assert!(ours.len().abs_diff(theirs.len()) <= 2 * bench_parts::ORDERS as usize, "{} {}", ours.len(), theirs.len());
    let referee = |rules: u8| Referee::new(Rules(rules), position, &lives).run(&tape.messages);
    let ruled: Vec<Vec<Ended>> = (0..=Rules::THEIRS.0).map(referee).collect();
    let (as_ours, as_theirs) = (&ruled[usize::from(Rules::OURS.0)], &ruled[usize::from(Rules::THEIRS.0)]);
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    let mut unexplained = Vec::new();
    let (mut equal, mut filled) = (0, [0, 0]);
    let mut rules_by_size: Vec<u8> = (0..=Rules::THEIRS.0).collect();
    rules_by_size.sort_by_key(|rules| rules.count_ones());
    for idx in 0..count {
        filled[0] += u64::from(ours[idx].filled > 0);
        filled[1] += u64::from(theirs[idx].filled > 0);
        if as_ours[idx] != ours[idx] || as_theirs[idx] != theirs[idx] {
            unexplained.push((idx, ours[idx], as_ours[idx], theirs[idx], as_theirs[idx]));
        } else if ours[idx] == theirs[idx] {
            equal += 1;
        } else {
            let least = rules_by_size.iter().copied().find(|&rules| ruled[usize::from(rules)][idx] == theirs[idx]);
            let names = (0..CHOICES.len()).filter(|&choice| Rules(least.unwrap()).is_theirs(choice));
            let name = names.map(|choice| CHOICES[choice].0).collect::<Vec<_>>().join(" + ");
            *found.entry(name).or_default() += 1;
        }
    }
    eprintln!(
        "{name}: {count} orders, {} filled by ours, {} by theirs; {equal} equal in quantity and time; {} not explained",
        filled[0],
        filled[1],
        unexplained.len()
    );
    for (name, count) in &found {
        eprintln!("  {count:>6}  {name}");
    }
    for (idx, ours, as_ours, theirs, as_theirs) in unexplained.iter().take(5) {
        let life = &lives[*idx];
        eprintln!(
            "  order {idx} ({:?} {} from {} to {}): ours {ours:?}, ruled {as_ours:?}; theirs {theirs:?}, ruled {as_theirs:?}",
            life.side,
            life.px.get(),
            life.from,
            life.to
        );
    }
    assert!(unexplained.is_empty(), "{} differences that no choice explains", unexplained.len());
    assert!(filled[0] > 100, "there is something to compare");
}

#[test]
fn every_fill_is_that_of_hftbacktest_or_differs_by_a_named_choice() {
    let Some(tape) = read() else { return };
    for (name, what) in CHOICES {
        eprintln!("choice: {name}: {what}");
    }
    let spec = *tape.table.iter().next().unwrap().1;
    let data = || theirs(&tape.messages, &spec);
    let conservative = hbt::run(hbt::prepare(data(), hbt::risk_adverse(), hbt::roi_vector));
    compare("conservative", &tape, QueuePosition::Conservative, &conservative);
    let power = hbt::run(hbt::prepare(data(), hbt::power(2.0), hbt::roi_vector));
    compare("power:2", &tape, "power:2".parse().unwrap(), &power);
}
