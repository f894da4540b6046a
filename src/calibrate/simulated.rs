//! The same market and the same requests, through the simulator.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::lived::Lived;
use crate::journal::JournaledCommand;
use crate::sim::{AccountId, Market, QueueModel, QueuePosition, Venue, VenueEvent, VenueLimits};
use crate::types::{
    Book, ClientOrderId, Command, Event, InstrumentId, InstrumentTable, Level, Lots, Money, Nanos, OrderStatus, Side,
    Ticks,
};

/// What the simulator makes of one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Predicted {
    /// What is filled of it.
    pub filled: Lots,
    /// When the first fill would be received.
    pub first_fill: Option<Nanos>,
}

struct Candidate {
    position: QueuePosition,
    venue: Venue,
    account: AccountId,
    predicted: HashMap<ClientOrderId, Predicted>,
}

/// Plays a journal's market and requests through one simulated venue for each queue model.
pub struct Simulated {
    candidates: Vec<Candidate>,
    /// Requests on their way: when each meets the market, and its place among equals.
    under_way: BinaryHeap<Reverse<(Nanos, u64)>>,
    requests: HashMap<u64, Command>,
    next_request: u64,
    otherwise_ns: u64,
    shift_ns: i64,
    /// Our own orders as the venue showed them: side, price, what is left.
    own: HashMap<ClientOrderId, (InstrumentId, Side, Ticks, Lots)>,
    levels: [Vec<Level>; 2],
}

impl Simulated {
    /// Makes venues for the instruments of `table`. `shift_ns` moves the moment at which requests meet the market, to see what that
    /// is worth.
    pub fn new(table: &InstrumentTable, positions: &[QueuePosition], lived: &Lived, shift_ns: i64) -> Self {
        let candidate = |&position: &QueuePosition| {
            let market = || Market::Queue(QueueModel::with_position(position));
            let mut venue =
                Venue::new(table.iter().map(|(_, spec)| (*spec, market())).collect(), VenueLimits::simulation());
            // What could be afforded was the lived venue's to say.
            let account = venue.open_account(Money::new(Money::ONE.get().saturating_mul(1_000_000_000)), 10_000);
            Candidate { position, venue, account, predicted: HashMap::new() }
        };
        Self {
            candidates: positions.iter().map(candidate).collect(),
            under_way: BinaryHeap::new(),
            requests: HashMap::new(),
            next_request: 0,
            otherwise_ns: lived.median_round_trip_ns(),
            shift_ns,
            own: HashMap::new(),
            levels: Default::default(),
        }
    }

    /// Takes one step of the journal that `lived` was read off.
    pub fn on_step(&mut self, event: &Event<'_>, commands: &[JournaledCommand], lived: &Lived) {
        let now = event.meta().recv;
        self.arrive_until(now);
        match event {
            Event::Book(book) => self.on_book(book, now),
            Event::Top(_) | Event::Trade(_) | Event::BookStatus(_) => {
                for candidate in &mut self.candidates {
                    candidate.venue.on_market_event(event, now);
                    candidate.collect();
                }
            }
            Event::Order(update) => {
                let is_open = matches!(update.status, OrderStatus::New | OrderStatus::PartiallyFilled);
                let leaves = update.qty.saturating_sub(update.filled);
                if is_open && leaves > Lots::ZERO {
                    self.own.insert(update.client_id, (update.meta.instrument, update.side, update.px, leaves));
                } else {
                    self.own.remove(&update.client_id);
                }
            }
            _ => {}
        }
        for command in commands.iter().filter(|lived| lived.is_taken).map(|lived| lived.command) {
            let request = (command.client_id, command.request);
            let Some(at) = lived.meets_market(request, command.at, self.otherwise_ns) else { continue };
            let at = match self.shift_ns {
                later @ 0.. => at.saturating_add(later.unsigned_abs()),
                sooner => at.saturating_sub(sooner.unsigned_abs()).max(command.at),
            };
            self.under_way.push(Reverse((at, self.next_request)));
            self.requests.insert(self.next_request, command);
            self.next_request += 1;
        }
    }

    fn arrive_until(&mut self, now: Nanos) {
        while let Some(&Reverse((at, number))) = self.under_way.peek() {
            if at > now {
                break;
            }
            self.under_way.pop();
            let Some(command) = self.requests.remove(&number) else { continue };
            for candidate in &mut self.candidates {
                // A refusal is what the simulator says of a request, too: the order is then not filled.
                let _ = candidate.venue.command(candidate.account, &command, at);
                candidate.collect();
            }
        }
    }

    fn on_book(&mut self, book: &Book<'_>, now: Nanos) {
        for (side, (out, levels)) in
            [Side::Bid, Side::Ask].into_iter().zip(self.levels.iter_mut().zip([book.bids, book.asks]))
        {
            out.clear();
            out.extend(levels.iter().map(|&level| {
                let ours = |own: &&(InstrumentId, Side, Ticks, Lots)| {
                    (own.0, own.1, own.2) == (book.meta.instrument, side, level.px)
                };
                let own = self.own.values().filter(ours).fold(Lots::ZERO, |sum, own| sum.saturating_add(own.3));
                Level { qty: level.qty.saturating_sub(own).max(Lots::ZERO), ..level }
            }));
        }
        let event = Event::Book(Book { bids: &self.levels[0], asks: &self.levels[1], ..*book });
        for candidate in &mut self.candidates {
            candidate.venue.on_market_event(&event, now);
            candidate.collect();
        }
    }

    /// What each model makes of the orders.
    pub fn into_predictions(self) -> Vec<(QueuePosition, HashMap<ClientOrderId, Predicted>)> {
        self.candidates.into_iter().map(|candidate| (candidate.position, candidate.predicted)).collect()
    }
}

impl Candidate {
    fn collect(&mut self) {
        for event in self.venue.events() {
            if let VenueEvent::Execution(execution) = event
                && let Some(id) = execution.order.and_then(|order| order.link.client_id())
            {
                let predicted = self.predicted.entry(id).or_default();
                predicted.filled = predicted.filled.saturating_add(execution.qty);
                predicted.first_fill = predicted.first_fill.or(Some(execution.at));
            }
        }
        self.venue.clear_events();
    }
}
