//! Turns commands and what became of them into fill ratios, and remembers the mid at each decision for the slippage.

use std::collections::{HashMap, VecDeque};

use crate::types::{
    ClientOrderId, Command, CommandKind, Fill, InstrumentId, Lots, Nanos, Op, OrderStatus, OrderUpdate, Reject,
};

/// An order that has ended is remembered for so long: its executions may be told after its end.
const REMEMBER_NS: u64 = 60_000_000_000;

/// An order as far as statistics need it.
#[derive(Clone, Copy, Debug)]
struct Sent {
    qty: Lots,
    filled: Lots,
    /// The venue's number, 0 until it is told.
    venue_order_id: u128,
    /// Twice the mid in ticks when its price was last decided.
    arrival_mid_e2: Option<i64>,
    is_ended: bool,
}

/// Orders by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OrderCounts {
    /// New orders that were sent.
    pub sent: u64,
    /// Amendments that were sent.
    pub amended: u64,
    /// Cancels that were sent.
    pub cancelled: u64,
    /// New orders that were refused.
    pub rejected: u64,
    /// Orders with at least one fill.
    pub filled: u64,
    /// Orders that were filled to the last lot.
    pub filled_whole: u64,
}

/// Quantities of one instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantities {
    /// Sent in new orders, as amended since.
    pub sent: Lots,
    /// Filled, of orders that were seen to be sent.
    pub filled: Lots,
}

/// Follows the orders of a session.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    sent: HashMap<ClientOrderId, Sent>,
    /// Our numbers by the venue's: fast executions carry only those.
    by_venue_id: HashMap<u128, ClientOrderId>,
    /// Ended orders and when they may be forgotten.
    ended: VecDeque<(Nanos, ClientOrderId)>,
    counts: OrderCounts,
    quantities: Vec<Quantities>,
}

impl Orders {
    /// Makes it for so many instruments.
    pub fn new(instruments: usize) -> Self {
        Self { quantities: vec![Quantities::default(); instruments], ..Self::default() }
    }

    /// A command left; `mid_e2` is twice the mid in ticks at its decision.
    pub fn on_command(&mut self, command: &Command, mid_e2: Option<i64>) {
        let Some(quantities) = self.quantities.get_mut(command.instrument.idx()) else { return };
        match command.kind {
            CommandKind::New | CommandKind::NewMarket | CommandKind::NewStop => {
                self.counts.sent += 1;
                quantities.sent = quantities.sent.saturating_add(command.qty);
                let order = Sent {
                    qty: command.qty,
                    filled: Lots::ZERO,
                    venue_order_id: 0,
                    // A stop order is decided long before it trades: no mid of then is one to be measured by.
                    arrival_mid_e2: mid_e2.filter(|_| command.trigger.is_none()),
                    is_ended: false,
                };
                self.sent.insert(command.client_id, order);
            }
            CommandKind::Amend => {
                self.counts.amended += 1;
                if let Some(order) = self.sent.get_mut(&command.client_id) {
                    quantities.sent = quantities.sent.saturating_add(command.qty).saturating_sub(order.qty);
                    order.qty = command.qty;
                    order.arrival_mid_e2 = mid_e2.filter(|_| command.trigger.is_none());
                }
            }
            CommandKind::Cancel => self.counts.cancelled += 1,
            CommandKind::CancelAll
            | CommandKind::Query
            | CommandKind::Reconcile
            | CommandKind::CancelForeign
            | CommandKind::Reconnect => {}
        }
    }

    /// A request was refused.
    pub fn on_reject(&mut self, reject: &Reject, now: Nanos) {
        if reject.op == Op::Create && reject.kind.is_nothing_done() {
            self.counts.rejected += 1;
            self.end(reject.client_id, now);
        }
    }

    /// An order's state was told.
    pub fn on_update(&mut self, update: &OrderUpdate, now: Nanos) {
        if update.venue_order_id != 0
            && let Some(order) = self.sent.get_mut(&update.client_id)
        {
            order.venue_order_id = update.venue_order_id;
            self.by_venue_id.insert(update.venue_order_id, update.client_id);
        }
        if matches!(update.status, OrderStatus::Filled | OrderStatus::Cancelled | OrderStatus::Rejected) {
            self.end(update.client_id, now);
        }
    }

    /// An execution that was not counted yet. Returns `None` if it belongs to no order that is known here (yet); otherwise twice
    /// the mid at the decision that set the order's price, if that is known.
    pub fn on_fill(&mut self, fill: &Fill) -> Option<Option<i64>> {
        let id = match self.sent.contains_key(&fill.client_id) {
            true => fill.client_id,
            false => *self.by_venue_id.get(&fill.venue_order_id)?,
        };
        let order = self.sent.get_mut(&id)?;
        self.counts.filled += u64::from(order.filled.is_zero());
        let was_whole = order.filled >= order.qty;
        order.filled = order.filled.saturating_add(fill.qty);
        self.counts.filled_whole += u64::from(!was_whole && order.filled >= order.qty);
        if let Some(quantities) = self.quantities.get_mut(fill.meta.instrument.idx()) {
            quantities.filled = quantities.filled.saturating_add(fill.qty);
        }
        Some(order.arrival_mid_e2)
    }

    /// Time passes: forgets orders that ended long ago.
    #[inline]
    pub fn forget_until(&mut self, now: Nanos) {
        while let Some((due, id)) = self.ended.front()
            && *due < now
        {
            if let Some(order) = self.sent.remove(id) {
                self.by_venue_id.remove(&order.venue_order_id);
            }
            self.ended.pop_front();
        }
    }

    fn end(&mut self, id: ClientOrderId, now: Nanos) {
        if let Some(order) = self.sent.get_mut(&id)
            && !std::mem::replace(&mut order.is_ended, true)
        {
            self.ended.push_back((now.saturating_add(REMEMBER_NS), id));
        }
    }

    /// What became of them.
    pub fn counts(&self) -> &OrderCounts {
        &self.counts
    }

    /// Quantities of an instrument.
    pub fn quantities(&self, instrument: InstrumentId) -> Quantities {
        self.quantities.get(instrument.idx()).copied().unwrap_or_default()
    }

    #[cfg(test)]
    fn remembered(&self) -> usize {
        self.sent.len() + self.by_venue_id.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CommandStamps, Meta, Money, RejectKind, Side, Ticks, TimeInForce};

    fn command(kind: CommandKind, id: u64, qty: i64) -> Command {
        Command {
            kind,
            side: Side::Bid,
            tif: TimeInForce::GoodTillCancel,
            reduce_only: false,
            trigger: None,
            instrument: InstrumentId(0),
            client_id: ClientOrderId(id),
            request: 1,
            px: Ticks::new(100),
            qty: Lots::new(qty),
            at: Nanos::ZERO,
            stamps: CommandStamps::default(),
        }
    }

    fn fill(id: u64, qty: i64) -> Fill {
        Fill {
            meta: Meta::default(),
            client_id: ClientOrderId(id),
            exec_id: 0,
            side: Side::Bid,
            is_maker: true,
            px: Ticks::new(100),
            qty: Lots::new(qty),
            fee: Money::ZERO,
            is_fee_final: true,
            is_query: false,
            venue_order_id: 0,
        }
    }

    #[test]
    fn orders_and_quantities_are_counted_as_amended_and_filled() {
        let mut orders = Orders::new(1);
        orders.on_command(&command(CommandKind::New, 1, 10), Some(200));
        orders.on_command(&command(CommandKind::New, 2, 10), Some(200));
        orders.on_command(&command(CommandKind::New, 3, 10), None);
        assert_eq!(orders.on_fill(&fill(1, 4)), Some(Some(200)));
        orders.on_command(&command(CommandKind::Amend, 1, 6), Some(202));
        assert_eq!(orders.on_fill(&fill(1, 2)), Some(Some(202)), "the price that was filled was decided then");
        assert_eq!(orders.on_fill(&fill(3, 1)), Some(None), "the mid was not known");
        assert_eq!(orders.on_fill(&fill(9, 1)), None, "not ours");
        orders.on_command(&command(CommandKind::Cancel, 2, 0), None);
        let refused = Reject {
            meta: Meta::default(),
            op: Op::Create,
            kind: RejectKind::Refused,
            client_id: ClientOrderId(2),
            request: 1,
            code: 0,
        };
        orders.on_reject(&refused, Nanos::ZERO);
        orders.on_reject(&Reject { op: Op::Cancel, ..refused }, Nanos::ZERO);
        let wanted = OrderCounts { sent: 3, amended: 1, cancelled: 1, rejected: 1, filled: 2, filled_whole: 1 };
        assert_eq!(*orders.counts(), wanted);
        assert_eq!(orders.quantities(InstrumentId(0)), Quantities { sent: Lots::new(26), filled: Lots::new(7) });
    }

    #[test]
    fn an_order_is_remembered_past_its_end_and_not_for_ever() {
        let mut orders = Orders::new(1);
        orders.on_command(&command(CommandKind::New, 1, 5), Some(200));
        let update = OrderUpdate {
            meta: Meta::default(),
            client_id: ClientOrderId(1),
            venue_order_id: 77,
            side: Side::Bid,
            status: OrderStatus::Cancelled,
            px: Ticks::new(100),
            qty: Lots::new(5),
            filled: Lots::ZERO,
            reason: 0,
            asked_at: Nanos::ZERO,
        };
        orders.on_update(&update, Nanos::new(7));
        orders.on_update(&update, Nanos::new(8));
        orders.forget_until(Nanos::new(REMEMBER_NS + 7));
        let by_venue_id = Fill { venue_order_id: 77, ..fill(0, 1) };
        assert_eq!(orders.on_fill(&by_venue_id), Some(Some(200)), "fast executions know the venue's number alone");
        orders.forget_until(Nanos::new(REMEMBER_NS + 8));
        assert_eq!(orders.remembered(), 0);
    }
}
