//! The simulation by Tercel's venue.

use std::collections::VecDeque;

use tercel::book::L2Book;
use tercel::engine::Limits;
use tercel::sim::{
    LinkId, Market, OrderKind, OrderNo, PlaceRequest, QueueModel, QueuePosition, SelfTrade, Venue, VenueEvent,
    VenueLimits,
};
use tercel::types::{
    Event, InstrumentId, InstrumentSpec, InstrumentTable, Lots, Money, Nanos, Side, Ticks, TimeInForce,
};

use crate::{ENTRY_NS, Ended, QTY, STEP_NS, grid};

enum Request {
    Place { order: usize, side: Side, px: Ticks },
    Cancel { order: usize },
}

/// A venue with one queue model, and the strategy.
pub struct Simulation {
    venue: Venue,
    account: tercel::sim::AccountId,
    /// What the strategy sees. Feed latency is zero, but it is a book of its own, as in a live run.
    book: L2Book,
    under_way: VecDeque<(u64, Request)>,
    /// The venue's number of each order; `None` for one that it did not keep.
    numbers: Vec<Option<OrderNo>>,
    /// What became of each order.
    pub orders: Vec<Ended>,
    last_grid: std::ops::Range<usize>,
    next_step: Option<u64>,
}

impl Simulation {
    /// Makes the venue.
    pub fn new(table: &InstrumentTable, position: QueuePosition) -> Self {
        let listing = |spec: &InstrumentSpec| (*spec, Market::Queue(QueueModel::with_position(position)));
        let mut venue = Venue::new(table.iter().map(|(_, spec)| listing(spec)).collect(), VenueLimits::simulation());
        let account = venue.open_account(Money::new(Money::ONE.get() * 1_000_000_000), 10_000);
        let limits = Limits::default();
        Self {
            venue,
            account,
            book: L2Book::new(limits.window_ticks, limits.far_levels_max),
            under_way: VecDeque::with_capacity(64),
            numbers: Vec::new(),
            orders: Vec::new(),
            last_grid: 0..0,
            next_step: None,
        }
    }

    /// Takes a message of the market, with all that happens before it.
    #[inline]
    pub fn on_event(&mut self, event: &Event<'_>) {
        let at = event.meta().recv.get();
        if self.next_step.is_none() {
            self.next_step = Some(at + STEP_NS);
        }
        while let Some(step) = self.next_step.filter(|step| *step < at) {
            self.arrive_before(step);
            self.step(step);
            self.next_step = Some(step + STEP_NS);
        }
        self.arrive_before(at);
        if let Event::Book(book) = event {
            self.book.apply(book);
        }
        self.venue.on_market_event(event, Nanos::new(at));
        self.collect();
    }

    fn arrive_before(&mut self, at: u64) {
        while let Some((due, request)) = self.under_way.pop_front_if(|(due, _)| *due < at) {
            let now = Nanos::new(due);
            match request {
                Request::Place { order, side, px } => {
                    let place = PlaceRequest {
                        instrument: InstrumentId(0),
                        side,
                        kind: OrderKind::Limit,
                        px,
                        qty: QTY,
                        tif: TimeInForce::PostOnly,
                        reduce_only: false,
                        self_trade: SelfTrade::None,
                        link: LinkId::NONE,
                    };
                    self.numbers[order] = self.venue.place(self.account, &place, now).ok();
                }
                Request::Cancel { order } => {
                    if let Some(no) = self.numbers[order] {
                        // Filled or refused before: there is nothing to cancel.
                        let _ = self.venue.cancel(self.account, no, now);
                    }
                }
            }
            self.collect();
        }
    }

    fn step(&mut self, now: u64) {
        let touch = self.book.touch();
        let (Some(bid), Some(ask)) = (touch.bid, touch.ask) else { return };
        let due = now + ENTRY_NS;
        for order in self.last_grid.clone() {
            self.under_way.push_back((due, Request::Cancel { order }));
        }
        let first = self.orders.len();
        for (side, px) in grid(bid.px, ask.px) {
            self.under_way.push_back((due, Request::Place { order: self.orders.len(), side, px }));
            self.orders.push(Ended::default());
            self.numbers.push(None);
        }
        self.last_grid = first..self.orders.len();
    }

    fn collect(&mut self) {
        if self.venue.events().is_empty() {
            return;
        }
        for event in self.venue.events() {
            if let VenueEvent::Execution(execution) = event
                && let Some(order) = execution.order
            {
                // The venue numbers orders in the order of their arrival, which is that of the strategy.
                let idx = (order.no.0 - 1) as usize;
                let ended = &mut self.orders[idx];
                ended.filled += execution.qty.get();
                if order.filled == Lots::new(QTY.get()) {
                    ended.filled_at = Some(execution.at.get());
                }
            }
        }
        self.venue.clear_events();
    }
}
