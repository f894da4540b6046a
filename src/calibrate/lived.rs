//! What a session's orders came to, read off its journal.

use std::collections::{HashMap, HashSet};

use crate::journal::JournaledCommand;
use crate::types::{ClientOrderId, CommandKind, Event, InstrumentId, Lots, Nanos, OrderStatus, Side, Ticks};

/// One order as it was lived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivedOrder {
    /// Our number.
    pub client_id: ClientOrderId,
    /// Instrument.
    pub instrument: InstrumentId,
    /// Direction.
    pub side: Side,
    /// First limit price.
    pub px: Ticks,
    /// First quantity.
    pub qty: Lots,
    /// When it was decided.
    pub at: Nanos,
    /// What was filled of it.
    pub filled: Lots,
    /// When the first fill was received.
    pub first_fill: Option<Nanos>,
    /// Whether the venue refused it, or it never got there.
    pub is_refused: bool,
}

/// What a session's requests and orders came to.
#[derive(Clone, Debug, Default)]
pub struct Lived {
    orders: Vec<LivedOrder>,
    by_id: HashMap<ClientOrderId, usize>,
    /// When each request was answered with yes, and when with no.
    answers: HashMap<(ClientOrderId, u16), (Nanos, bool)>,
    /// Times from a request's decision to its answer, in the order of the answers.
    round_trips_ns: Vec<u64>,
    decided: HashMap<(ClientOrderId, u16), Nanos>,
    executions: HashSet<u128>,
}

impl Lived {
    /// Takes one step of the journal.
    pub fn on_step(&mut self, event: &Event<'_>, commands: &[JournaledCommand]) {
        match event {
            Event::Ack(ack) => self.on_answer((ack.client_id, ack.request), ack.meta.recv, true),
            Event::Reject(reject) => {
                self.on_answer((reject.client_id, reject.request), reject.meta.recv, false);
                if reject.op == crate::types::Op::Create
                    && let Some(order) = self.order_mut(reject.client_id)
                {
                    order.is_refused = true;
                }
            }
            Event::Order(update) if update.status == OrderStatus::Rejected => {
                if let Some(order) = self.order_mut(update.client_id) {
                    order.is_refused = true;
                }
            }
            // The fast stream, which may not name the order, the full one and answers to questions tell the same execution.
            Event::Fill(fill) => {
                if let Some(&idx) = self.by_id.get(&fill.client_id)
                    && self.executions.insert(fill.exec_id)
                {
                    let order = &mut self.orders[idx];
                    order.filled = order.filled.saturating_add(fill.qty);
                    order.first_fill = order.first_fill.or(Some(fill.meta.recv));
                }
            }
            _ => {}
        }
        for command in commands.iter().filter(|lived| lived.is_taken).map(|lived| &lived.command) {
            self.decided.insert((command.client_id, command.request), command.at);
            if matches!(command.kind, CommandKind::New | CommandKind::NewMarket) {
                self.by_id.insert(command.client_id, self.orders.len());
                self.orders.push(LivedOrder {
                    client_id: command.client_id,
                    instrument: command.instrument,
                    side: command.side,
                    px: command.px,
                    qty: command.qty,
                    at: command.at,
                    filled: Lots::ZERO,
                    first_fill: None,
                    is_refused: false,
                });
            }
        }
    }

    fn order_mut(&mut self, id: ClientOrderId) -> Option<&mut LivedOrder> {
        self.by_id.get(&id).and_then(|&idx| self.orders.get_mut(idx))
    }

    fn on_answer(&mut self, request: (ClientOrderId, u16), at: Nanos, is_yes: bool) {
        self.answers.entry(request).or_insert((at, is_yes));
        if let Some(decided) = self.decided.get(&request) {
            self.round_trips_ns.push(at.saturating_since(*decided));
        }
    }

    /// The orders, in the order of their decisions.
    pub fn orders(&self) -> &[LivedOrder] {
        &self.orders
    }

    /// Times from decision to answer, in the order of the answers.
    pub fn round_trips_ns(&self) -> &[u64] {
        &self.round_trips_ns
    }

    /// The median of [`Self::round_trips_ns`]; zero if there is none.
    pub fn median_round_trip_ns(&self) -> u64 {
        let mut sorted = self.round_trips_ns.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(0)
    }

    /// When a request that was decided at `at` meets the market, by the clock of the engine; `None` if the venue refused it.
    pub fn meets_market(&self, request: (ClientOrderId, u16), at: Nanos, otherwise_ns: u64) -> Option<Nanos> {
        match self.answers.get(&request) {
            Some((answered, true)) => Some(*answered),
            Some((_, false)) => None,
            None => Some(at.saturating_add(otherwise_ns)),
        }
    }

    #[cfg(test)]
    pub(super) fn push_for_tests(&mut self, order: LivedOrder, round_trip_ns: u64) {
        self.by_id.insert(order.client_id, self.orders.len());
        self.orders.push(order);
        self.round_trips_ns.push(round_trip_ns);
    }
}
