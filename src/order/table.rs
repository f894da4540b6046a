//! The table of orders: fixed capacity, found by number in one step.

use super::life::{LifeRules, News, Order};
use super::state::{OrderState, Transition};
use crate::types::{ClientOrderId, Nanos};

/// The table has no free slot; the order was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the order table is full ({capacity} orders)")]
pub struct TableFull {
    /// Its capacity.
    pub capacity: usize,
}

/// Orders by what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OrderCounts {
    /// Entered the table.
    pub sent: u64,
    /// The venue confirmed them in any way.
    pub acknowledged: u64,
    /// Ended wholly filled.
    pub filled: u64,
    /// Ended cancelled.
    pub cancelled: u64,
    /// Ended rejected.
    pub rejected: u64,
    /// Times that an order's state became unknown.
    pub unknown: u64,
    /// Times that an unknown state was resolved.
    pub resolved: u64,
    /// Found on the venue and kept.
    pub adopted: u64,
    /// Answers and news that came after an order's end.
    pub late: u64,
}

/// All orders that are not settled.
pub struct OrderTable {
    slots: Box<[Option<Order>]>,
    free: Vec<u32>,
    /// The last orders that were settled, and when; the oldest comes next.
    settled: Box<[(ClientOrderId, Nanos)]>,
    settled_next: usize,
    generation: u64,
    counts: OrderCounts,
}

impl OrderTable {
    /// Makes a table for `capacity` orders (a power of two).
    ///
    /// # Panics
    /// If `capacity` is not a power of two, or above 2^20.
    pub fn new(capacity: usize) -> Self {
        assert!(
            capacity.is_power_of_two() && capacity <= 1 << 20,
            "order capacity {capacity} should be a power of two"
        );
        Self {
            slots: vec![None; capacity].into_boxed_slice(),
            free: (0..capacity as u32).rev().collect(),
            settled: vec![(ClientOrderId(0), Nanos::ZERO); capacity].into_boxed_slice(),
            settled_next: 0,
            generation: 0,
            counts: OrderCounts::default(),
        }
    }

    /// Enters a new order, about to be sent, or one that was found on the venue. The number it gets holds its slot in the
    /// low bits, and never comes again.
    ///
    /// # Errors
    /// [`TableFull`] if every slot is taken.
    pub fn insert(&mut self, mut order: Order) -> Result<ClientOrderId, TableFull> {
        let slot = self.free.pop().ok_or(TableFull { capacity: self.slots.len() })?;
        self.generation += 1;
        order.id = ClientOrderId(self.generation * self.slots.len() as u64 + u64::from(slot));
        self.slots[slot as usize] = Some(order);
        if order.is_adopted {
            self.counts.adopted += 1;
        } else {
            self.counts.sent += 1;
        }
        Ok(order.id)
    }

    /// Takes back an order that never left (no room in the ring).
    pub fn withdraw(&mut self, id: ClientOrderId) {
        if self.get(id).is_some() {
            self.free_slot(id);
            self.counts.sent -= 1;
        }
    }

    #[inline]
    fn slot_of(&self, id: ClientOrderId) -> usize {
        id.0 as usize & (self.slots.len() - 1)
    }

    /// The order of that number, unless it is settled or never was.
    #[inline]
    pub fn get(&self, id: ClientOrderId) -> Option<&Order> {
        self.slots[self.slot_of(id)].as_ref().filter(|order| order.id == id)
    }

    #[inline]
    fn get_mut(&mut self, id: ClientOrderId) -> Option<&mut Order> {
        let slot = self.slot_of(id);
        self.slots[slot].as_mut().filter(|order| order.id == id)
    }

    /// Applies one piece of news, which arrived at `at`, to an order. Returns the order before and after, or `None` if there
    /// is no such order.
    pub fn apply(&mut self, id: ClientOrderId, news: &News, at: Nanos, rules: &LifeRules) -> Option<Change> {
        let order = self.get_mut(id)?;
        let before = *order;
        let step = order.apply(news, at, rules);
        let after = *order;
        self.count(&before, &after, step);
        Some(Change { before, after, step })
    }

    fn count(&mut self, before: &Order, after: &Order, step: Transition) {
        let counts = &mut self.counts;
        counts.late += u64::from(step == Transition::Late);
        counts.acknowledged += u64::from(after.is_confirmed && !before.is_confirmed);
        if before.state == after.state {
            return;
        }
        match after.state {
            OrderState::Unknown => counts.unknown += 1,
            OrderState::Filled => counts.filled += 1,
            OrderState::Cancelled => counts.cancelled += 1,
            OrderState::Rejected => counts.rejected += 1,
            _ => {}
        }
        // A cancelled order that turns out to be filled leaves its first count.
        match before.state {
            OrderState::Cancelled => counts.cancelled -= 1,
            OrderState::Rejected => counts.rejected -= 1,
            _ => {}
        }
        counts.resolved += u64::from(before.state == OrderState::Unknown);
    }

    /// Notes when to ask the venue about an order.
    pub fn note_query(&mut self, id: ClientOrderId, due: Nanos) {
        if let Some(order) = self.get_mut(id) {
            order.query_due = due;
        }
    }

    /// Notes that the order stream is not expected to speak of it any more.
    pub fn note_heard(&mut self, id: ClientOrderId) {
        if let Some(order) = self.get_mut(id) {
            order.is_heard = true;
        }
    }

    /// Notes that the rate budget holds the cancellation of an order back; returns whether that is new.
    pub fn note_held_cancel(&mut self, id: ClientOrderId) -> bool {
        self.get_mut(id).is_some_and(|order| !std::mem::replace(&mut order.is_cancel_held, true))
    }

    /// The order in a slot, of [`Self::capacity`].
    #[inline]
    pub fn at_slot(&self, slot: usize) -> Option<&Order> {
        self.slots.get(slot)?.as_ref()
    }

    /// The order of the venue's number, if the venue has told it. Looks at every order in the table: for news that name
    /// an order by nothing else.
    pub fn find_venue_id(&self, venue_order_id: u128) -> Option<ClientOrderId> {
        let found = self.iter().find(|order| order.venue_order_id == venue_order_id && venue_order_id != 0);
        found.map(|order| order.id)
    }

    /// Frees the slot of an order that is final and whose executions have all arrived; returns whether it was.
    pub fn settle(&mut self, id: ClientOrderId, now: Nanos) -> bool {
        let is_settled = self.get(id).is_some_and(Order::is_settled);
        if is_settled {
            self.free_slot(id);
            self.settled[self.settled_next] = (id, now);
            self.settled_next = (self.settled_next + 1) & (self.settled.len() - 1);
        }
        is_settled
    }

    /// Whether a list of open orders, asked for at `asked_at`, may be older than the end of an order that the table does not hold (any
    /// more): then that it lists the order says nothing. Of an order that was settled longer ago than the table remembers it is known that it
    /// ended before those that it does.
    ///
    /// # Cost
    /// Looks at as many settled orders as the table has slots.
    pub fn may_precede_end(&self, id: ClientOrderId, asked_at: Nanos, rules: &LifeRules) -> bool {
        let known = self.settled.iter().find(|(settled, _)| *settled == id);
        let (_, ended_by) = known.unwrap_or(&self.settled[self.settled_next]);
        *ended_by != Nanos::ZERO && asked_at < ended_by.saturating_add(rules.answer_lag_ns)
    }

    fn free_slot(&mut self, id: ClientOrderId) {
        let slot = self.slot_of(id);
        self.slots[slot] = None;
        // Never grows: `new` gave it room for every slot.
        self.free.push(slot as u32);
    }

    /// Orders in the table, those that are not settled.
    ///
    /// # Cost
    /// Up to the last taken slot: low slots are taken first, so a few orders cost a few steps.
    pub fn iter(&self) -> impl Iterator<Item = &Order> {
        let len = self.slots.len() - self.free.len();
        self.slots.iter().flatten().take(len)
    }

    /// Orders that may still trade, or whose executions have not all arrived.
    pub fn unsettled_count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Orders that may still trade.
    pub fn open_count(&self) -> usize {
        self.iter().filter(|order| !order.state.is_final()).count()
    }

    /// How many orders the table holds at most.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Orders by what became of them.
    pub fn counts(&self) -> OrderCounts {
        self.counts
    }
}

/// An order before and after an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Before.
    pub before: Order,
    /// After.
    pub after: Order,
    /// What the table of transitions said.
    pub step: Transition,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{InstrumentId, Lots, Op, OrderStatus, RejectKind, Side, Ticks, TimeInForce};

    const RULES: LifeRules = LifeRules { request_valid_ns: 100, answer_lag_ns: 10 };

    fn order(qty: i64) -> Order {
        let place = (InstrumentId(0), Side::Bid);
        Order::new(place, (Ticks::new(100), Lots::new(qty)), TimeInForce::PostOnly, false, Nanos::new(1), &RULES)
    }

    fn told(status: OrderStatus, px: i64, qty: i64, filled: i64, ts: u64) -> News {
        News::Told(super::super::life::Told {
            status,
            px: Ticks::new(px),
            qty: Lots::new(qty),
            filled: Lots::new(filled),
            venue_order_id: 5,
            ts: Nanos::new(ts),
            asked_at: None,
        })
    }

    fn answer(status: OrderStatus, px: i64, qty: i64, asked_at: u64) -> News {
        let News::Told(told) = told(status, px, qty, 0, 1) else { unreachable!() };
        News::Told(super::super::life::Told { asked_at: Some(Nanos::new(asked_at)), ..told })
    }

    struct Bench {
        table: OrderTable,
        id: ClientOrderId,
        now: u64,
    }

    impl Bench {
        fn new(qty: i64) -> Self {
            let mut table = OrderTable::new(2);
            let id = table.insert(order(qty)).unwrap();
            Self { table, id, now: 1 }
        }

        fn give(&mut self, news: News) -> Change {
            self.now += 1;
            self.table.apply(self.id, &news, Nanos::new(self.now), &RULES).unwrap()
        }

        fn order(&self) -> Order {
            *self.table.get(self.id).unwrap()
        }
    }

    #[test]
    fn a_list_from_before_an_orders_end_does_not_bring_it_back() {
        let mut table = OrderTable::new(2);
        let mut end = |at: u64| {
            let id = table.insert(order(1)).unwrap();
            table.apply(id, &told(OrderStatus::Cancelled, 100, 1, 0, at), Nanos::new(at), &RULES);
            assert!(table.settle(id, Nanos::new(at)));
            id
        };
        let ended = [100, 200, 300].map(&mut end);
        let never_was = ClientOrderId(1 << 40);
        let precedes = |id, asked_at| table.may_precede_end(id, Nanos::new(asked_at), &RULES);
        // An answer may lag by 10.
        assert!(precedes(ended[2], 309) && !precedes(ended[2], 310));
        assert!(precedes(ended[1], 209) && !precedes(ended[1], 210));
        // The first one is forgotten: it ended before the second did.
        assert!(precedes(ended[0], 209) && !precedes(ended[0], 210) && !precedes(never_was, 210));
        let fresh = OrderTable::new(2);
        assert!(!fresh.may_precede_end(never_was, Nanos::new(1), &RULES), "nothing has ended yet");
    }

    #[test]
    fn a_full_table_refuses_and_ids_never_repeat() {
        let mut table = OrderTable::new(2);
        let first = table.insert(order(1)).unwrap();
        table.insert(order(1)).unwrap();
        assert_eq!(table.insert(order(1)), Err(TableFull { capacity: 2 }));
        table.apply(first, &told(OrderStatus::Cancelled, 100, 1, 0, 2), Nanos::new(2), &RULES);
        assert!(table.settle(first, Nanos::new(5)));
        let third = table.insert(order(1)).unwrap();
        assert_ne!(first, third);
        assert!(table.get(first).is_none());
    }

    #[test]
    fn a_cancelled_order_stays_and_reserves_until_its_executions_have_arrived() {
        let mut bench = Bench::new(5);
        bench.give(told(OrderStatus::Cancelled, 100, 5, 2, 2));
        assert!(!bench.table.settle(bench.id, Nanos::new(5)));
        assert_eq!(bench.order().leaves_max(), Lots::new(2), "two lots will still reach the position");
        bench.give(News::Filled(Lots::new(2)));
        assert!(bench.table.settle(bench.id, Nanos::new(5)));
        assert_eq!(bench.table.counts().cancelled, 1);
    }

    #[test]
    fn a_refused_amendment_restores_the_order() {
        let mut bench = Bench::new(5);
        bench.give(News::Ack(Op::Create, 1));
        bench.give(News::AskAmend(Ticks::new(101), Lots::new(9)));
        assert_eq!(bench.order().leaves_max(), Lots::new(9), "the worst case is reserved");
        bench.give(News::Reject(Op::Amend, 2, RejectKind::Refused));
        let order = bench.order();
        let expected = (OrderState::Live, Ticks::new(100), Lots::new(5), None);
        assert_eq!((order.state, order.px, order.qty, order.asked), expected);
    }

    #[test]
    fn the_refusal_of_an_earlier_amendment_is_not_that_of_the_next() {
        let mut bench = Bench::new(5);
        bench.give(News::Ack(Op::Create, 1));
        bench.give(News::AskAmend(Ticks::new(101), Lots::new(9)));
        bench.give(News::NoAnswer);
        bench.now = 500;
        bench.give(answer(OrderStatus::New, 100, 5, 400));
        assert_eq!(bench.order().state, OrderState::Live);
        bench.give(News::AskAmend(Ticks::new(102), Lots::new(8)));
        bench.give(News::Reject(Op::Amend, 2, RejectKind::Refused));
        assert_eq!((bench.order().state, bench.order().leaves_max()), (OrderState::PendingAmend, Lots::new(8)));
    }

    #[test]
    fn a_fill_that_crosses_an_amendment_is_counted_against_both_quantities() {
        let mut bench = Bench::new(5);
        bench.give(News::Ack(Op::Create, 1));
        bench.give(News::AskAmend(Ticks::new(101), Lots::new(3)));
        let change = bench.give(News::Filled(Lots::new(4)));
        assert_eq!(change.after.state, OrderState::PendingAmend, "4 of 5 filled, the amendment to 3 is under way");
        bench.give(News::Filled(Lots::new(1)));
        assert_eq!(bench.order().state, OrderState::Filled);
        assert!(bench.table.settle(bench.id, Nanos::new(5)));
        let counts = OrderCounts { sent: 1, acknowledged: 1, filled: 1, ..OrderCounts::default() };
        assert_eq!(bench.table.counts(), counts);
    }

    #[test]
    fn absence_proves_nothing_while_the_order_may_be_on_its_way() {
        let mut bench = Bench::new(5);
        bench.give(News::NoAnswer);
        bench.give(News::Absent(Nanos::new(100)));
        assert_eq!((bench.order().state, bench.order().leaves_max()), (OrderState::Unknown, Lots::new(5)));
        bench.give(News::Absent(Nanos::new(101)));
        assert_eq!(bench.order().state, OrderState::Rejected);
    }

    #[test]
    fn an_order_that_was_shown_once_is_gone_only_when_it_was_missed_twice() {
        let mut bench = Bench::new(5);
        bench.give(told(OrderStatus::New, 100, 5, 0, 2));
        bench.give(News::Unlisted(Nanos::new(11)));
        assert_eq!(bench.order().state, OrderState::Live, "the list may lag behind the stream");
        bench.give(News::Unlisted(Nanos::new(200)));
        assert_eq!(bench.order().state, OrderState::Unknown);
        bench.give(News::Absent(Nanos::new(201)));
        assert_eq!(bench.order().state, OrderState::Unknown);
        bench.give(News::Absent(Nanos::new(202)));
        assert_eq!(bench.order().state, OrderState::Cancelled);
    }

    #[test]
    fn an_answer_older_than_the_streams_word_changes_nothing_but_ends() {
        let mut bench = Bench::new(5);
        bench.now = 50;
        bench.give(told(OrderStatus::New, 103, 5, 0, 9));
        bench.give(answer(OrderStatus::New, 100, 5, 49));
        assert_eq!(bench.order().px, Ticks::new(103));
        bench.give(answer(OrderStatus::Cancelled, 100, 5, 49));
        assert_eq!(bench.order().state, OrderState::Cancelled);
    }

    #[test]
    fn a_repriced_amendment_is_decided_by_an_answer() {
        let mut bench = Bench::new(5);
        bench.give(told(OrderStatus::New, 100, 5, 0, 2));
        bench.give(News::AskAmend(Ticks::new(120), Lots::new(7)));
        bench.give(News::Ack(Op::Amend, 2));
        bench.give(told(OrderStatus::New, 110, 7, 0, 3));
        assert_eq!(bench.order().state, OrderState::PendingAmend);
        let News::Told(told) = answer(OrderStatus::New, 110, 7, 60) else { unreachable!() };
        bench.give(News::Told(super::super::life::Told { ts: Nanos::new(3), ..told }));
        let order = bench.order();
        let expected = (OrderState::Live, Ticks::new(110), Lots::new(7), None);
        assert_eq!((order.state, order.px, order.qty, order.asked), expected);
    }
}
