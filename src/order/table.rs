//! The table of orders: fixed capacity, found by number in one step.

use super::state::{Input, OrderState, Transition, transition};
use crate::types::{ClientOrderId, InstrumentId, Lots, Nanos, Side, Ticks, TimeInForce};

/// One order of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Our number.
    pub id: ClientOrderId,
    /// Which instrument.
    pub instrument: InstrumentId,
    /// Direction.
    pub side: Side,
    /// How long it lives.
    pub tif: TimeInForce,
    /// Only shrinks a position.
    pub reduce_only: bool,
    /// Where it is in its life.
    pub state: OrderState,
    /// Limit price, as last confirmed.
    pub px: Ticks,
    /// Whole quantity, as last confirmed.
    pub qty: Lots,
    /// Price and whole quantity that an amendment under way asks for.
    pub asked: Option<(Ticks, Lots)>,
    /// Filled, by executions.
    pub filled: Lots,
    /// Filled, as the order stream told; may run ahead of `filled` or behind it.
    pub filled_told: Lots,
    /// Engine time of the last request for it.
    pub asked_at: Nanos,
}

impl Order {
    /// What may still be filled at worst: the greater of the confirmed and the asked quantity, less what was filled.
    #[inline]
    pub fn leaves_max(&self) -> Lots {
        if self.state.is_final() {
            return Lots::ZERO;
        }
        let qty = self.asked.map_or(self.qty, |(_, asked)| asked.max(self.qty));
        qty.saturating_sub(self.filled).max(Lots::ZERO)
    }

    /// Whether a final order's executions have all arrived.
    #[inline]
    fn is_settled(&self) -> bool {
        self.state.is_final() && self.filled >= self.filled_told
    }
}

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
    /// Answers and news that came after an order's end.
    pub late: u64,
}

/// All orders that are not settled.
pub struct OrderTable {
    slots: Box<[Option<Order>]>,
    free: Vec<u32>,
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
            generation: 0,
            counts: OrderCounts::default(),
        }
    }

    /// Enters a new order, about to be sent. The number it gets holds its slot in the low bits, and never comes again.
    ///
    /// # Errors
    /// [`TableFull`] if every slot is taken.
    pub fn insert(&mut self, mut order: Order) -> Result<ClientOrderId, TableFull> {
        let slot = self.free.pop().ok_or(TableFull { capacity: self.slots.len() })?;
        self.generation += 1;
        order.id = ClientOrderId(self.generation * self.slots.len() as u64 + u64::from(slot));
        order.state = OrderState::PendingNew;
        self.slots[slot as usize] = Some(order);
        self.counts.sent += 1;
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

    /// Applies an input to an order's state. Returns the order before and after, or `None` if there is no such order.
    pub fn apply(&mut self, id: ClientOrderId, input: Input) -> Option<Change> {
        let order = self.get_mut(id)?;
        let before = *order;
        let mut acknowledged = false;
        let step = transition(before.state, input);
        match step {
            Transition::To(next) => {
                if next == OrderState::Live {
                    match (before.state, input) {
                        (_, Input::Amended) => {
                            if let Some((px, qty)) = order.asked.take() {
                                (order.px, order.qty) = (px, qty);
                            }
                        }
                        (OrderState::PendingAmend, _) => order.asked = None,
                        _ => {}
                    }
                }
                acknowledged = before.state == OrderState::PendingNew
                    && !matches!(next, OrderState::Unknown | OrderState::Rejected);
                order.state = next;
            }
            Transition::Late => self.counts.late += 1,
            Transition::Stay | Transition::Forbidden => {}
        }
        let after = self.get(id).copied()?;
        self.counts.acknowledged += u64::from(acknowledged);
        if before.state != after.state {
            match after.state {
                OrderState::Unknown => self.counts.unknown += 1,
                OrderState::Filled => self.counts.filled += 1,
                OrderState::Cancelled => self.counts.cancelled += 1,
                OrderState::Rejected => self.counts.rejected += 1,
                _ => {}
            }
            // A cancelled order that turns out to be filled leaves its first count.
            match before.state {
                OrderState::Cancelled => self.counts.cancelled -= 1,
                OrderState::Rejected => self.counts.rejected -= 1,
                _ => {}
            }
        }
        Some(Change { before, after, step })
    }

    /// Notes the price and quantity that an amendment asks for.
    pub fn note_asked(&mut self, id: ClientOrderId, asked: Option<(Ticks, Lots)>, at: Nanos) {
        if let Some(order) = self.get_mut(id) {
            if asked.is_some() {
                order.asked = asked;
            }
            order.asked_at = at;
        }
    }

    /// Notes what the order stream told, without touching the state.
    pub fn note_told(&mut self, id: ClientOrderId, px: Ticks, qty: Lots, filled: Lots) {
        if let Some(order) = self.get_mut(id) {
            order.filled_told = order.filled_told.max(filled);
            if order.asked.is_none() || order.asked == Some((px, qty)) {
                (order.px, order.qty) = (px, qty);
            }
        }
    }

    /// Books an execution; the caller has made sure that it is not a repeated one. Returns the change, or `None` if the
    /// order is not known.
    pub fn fill(&mut self, id: ClientOrderId, qty: Lots) -> Option<Change> {
        let order = self.get_mut(id)?;
        let before = *order;
        order.filled = order.filled.saturating_add(qty);
        let is_whole = order.filled >= order.qty && order.asked.is_none_or(|(_, asked)| order.filled >= asked);
        if is_whole {
            let mut change = self.apply(id, Input::FilledWhole)?;
            change.before = before;
            return Some(change);
        }
        let after = *self.get(id)?;
        Some(Change { before, after, step: Transition::Stay })
    }

    /// Frees the slot of an order that is final and whose executions have all arrived; returns whether it was.
    pub fn settle(&mut self, id: ClientOrderId) -> bool {
        let is_settled = self.get(id).is_some_and(Order::is_settled);
        if is_settled {
            self.free_slot(id);
        }
        is_settled
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
    use crate::types::{Op, OrderStatus, RejectKind};

    pub(crate) fn order(qty: i64) -> Order {
        Order {
            id: ClientOrderId(0),
            instrument: InstrumentId(0),
            side: Side::Bid,
            tif: TimeInForce::PostOnly,
            reduce_only: false,
            state: OrderState::PendingNew,
            px: Ticks::new(100),
            qty: Lots::new(qty),
            asked: None,
            filled: Lots::ZERO,
            filled_told: Lots::ZERO,
            asked_at: Nanos::ZERO,
        }
    }

    #[test]
    fn a_full_table_refuses_and_ids_never_repeat() {
        let mut table = OrderTable::new(2);
        let first = table.insert(order(1)).unwrap();
        table.insert(order(1)).unwrap();
        assert_eq!(table.insert(order(1)), Err(TableFull { capacity: 2 }));
        table.apply(first, Input::Told(OrderStatus::Cancelled));
        assert!(table.settle(first));
        let third = table.insert(order(1)).unwrap();
        assert_ne!(first, third);
        assert!(table.get(first).is_none());
    }

    #[test]
    fn a_cancelled_order_stays_until_its_executions_have_arrived() {
        let mut table = OrderTable::new(2);
        let id = table.insert(order(5)).unwrap();
        table.note_told(id, Ticks::new(100), Lots::new(5), Lots::new(2));
        table.apply(id, Input::Told(OrderStatus::Cancelled));
        assert!(!table.settle(id));
        table.fill(id, Lots::new(2)).unwrap();
        assert!(table.settle(id));
        assert_eq!(table.counts().cancelled, 1);
    }

    #[test]
    fn a_refused_amendment_restores_the_order() {
        let mut table = OrderTable::new(2);
        let id = table.insert(order(5)).unwrap();
        table.apply(id, Input::Ack(Op::Create));
        table.apply(id, Input::AskAmend);
        table.note_asked(id, Some((Ticks::new(101), Lots::new(9))), Nanos::new(1));
        assert_eq!(table.get(id).unwrap().leaves_max(), Lots::new(9), "the worst case is reserved");
        table.apply(id, Input::Reject(Op::Amend, RejectKind::Refused));
        let order = table.get(id).unwrap();
        assert_eq!(
            (order.state, order.px, order.qty, order.asked),
            (OrderState::Live, Ticks::new(100), Lots::new(5), None)
        );
    }

    #[test]
    fn a_fill_that_crosses_an_amendment_is_counted_against_both_quantities() {
        let mut table = OrderTable::new(2);
        let id = table.insert(order(5)).unwrap();
        table.apply(id, Input::Ack(Op::Create));
        table.apply(id, Input::AskAmend);
        table.note_asked(id, Some((Ticks::new(101), Lots::new(3))), Nanos::new(1));
        let change = table.fill(id, Lots::new(4)).unwrap();
        assert_eq!(change.after.state, OrderState::PendingAmend, "4 of 5 filled, the amendment to 3 is under way");
        table.fill(id, Lots::new(1)).unwrap();
        assert_eq!(table.get(id).unwrap().state, OrderState::Filled);
        assert!(table.settle(id));
        assert_eq!(table.counts(), OrderCounts { sent: 1, acknowledged: 1, filled: 1, ..OrderCounts::default() });
    }
}
