//! Turns the ghost's executions into results of round trips.

use super::window::TripWindow;
use crate::analytics::{After, Trips};
use crate::book::Touch;
use crate::engine::{Holding, Ledger};
use crate::types::{Event, Fill, InstrumentSpec, InstrumentTable, Money};

/// One instrument.
struct Followed {
    spec: InstrumentSpec,
    holding: Holding,
    ledger: Ledger,
    trips: Trips,
}

/// Follows executions and funding payments of one account by the engine's own rules.
pub struct TripWatch {
    instruments: Box<[Followed]>,
    window: TripWindow,
    /// Sum of all results.
    closed: Money,
    fills: u64,
}

impl TripWatch {
    /// Begins flat, with a window of so many trips.
    ///
    /// # Panics
    /// As [`TripWindow::new`].
    pub fn new(table: &InstrumentTable, window: usize) -> Self {
        let followed = |spec: &InstrumentSpec| Followed {
            spec: *spec,
            holding: Holding::default(),
            ledger: Ledger::new(),
            trips: Trips::default(),
        };
        Self {
            instruments: table.iter().map(|(_, spec)| followed(spec)).collect(),
            window: TripWindow::new(window),
            closed: Money::ZERO,
            fills: 0,
        }
    }

    /// Takes what is told to the ghost's engine. Fees must be final, and nothing may be told twice: a simulated venue does
    /// neither.
    pub fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::Fill(fill) => self.on_fill(fill),
            Event::Funding(funding) => {
                if let Some(followed) = self.instruments.get_mut(funding.meta.instrument.idx()) {
                    followed.ledger.pay_funding(&mut followed.holding, funding.paid);
                }
            }
            _ => {}
        }
    }

    fn on_fill(&mut self, fill: &Fill) {
        let Some(followed) = self.instruments.get_mut(fill.meta.instrument.idx()) else { return };
        self.fills += 1;
        let Followed { spec, holding, ledger, trips } = followed;
        ledger.book(holding, spec, fill, &Touch::default());
        let after = After { position: holding.position, wallet: holding.wallet_change() };
        if let Some(result) = trips.on_fill(fill.qty, fill.fee, after, fill.meta.recv) {
            self.closed = self.closed.saturating_add(result);
            self.window.push(result);
        }
    }

    /// The newest trips.
    pub fn window(&self) -> &TripWindow {
        &self.window
    }

    /// Sum of the results of all trips that ended.
    pub fn closed(&self) -> Money {
        self.closed
    }

    /// What trips that are still under way have realised and paid so far.
    pub fn under_way(&self) -> Money {
        let changed = |sum: Money, it: &Followed| sum.saturating_add(it.holding.wallet_change());
        self.instruments.iter().fold(Money::ZERO, changed).saturating_sub(self.closed)
    }

    /// Executions.
    pub fn fills(&self) -> u64 {
        self.fills
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{
        ClientOrderId, Funding, InstrumentId, Lots, Meta, Nanos, Product, Rate, Side, Step, Symbol, Ticks, VenueId,
    };

    #[test]
    fn a_trip_is_measured_after_fees_and_funding_whatever_other_instruments_do() {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let spec = |name: &[u8]| {
            let symbol = Symbol::new(name).unwrap();
            InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("1"), step("1")).unwrap()
        };
        let table = InstrumentTable::new(vec![spec(b"A"), spec(b"B")]).unwrap();
        let mut watch = TripWatch::new(&table, 10);
        let mut exec_id = 0;
        let mut fill = |watch: &mut TripWatch, instrument, side, px, qty| {
            exec_id += 1;
            let meta = Meta { instrument: InstrumentId(instrument), recv: Nanos::new(exec_id), ..Meta::default() };
            watch.on_event(&Event::Fill(Fill {
                meta,
                client_id: ClientOrderId(1),
                exec_id: exec_id.into(),
                side,
                is_maker: true,
                px: Ticks::new(px),
                qty: Lots::new(qty),
                fee: Money::ONE,
                is_fee_final: true,
                is_query: false,
                venue_order_id: 0,
            }));
        };
        fill(&mut watch, 0, Side::Bid, 100, 2);
        fill(&mut watch, 1, Side::Ask, 100, 1);
        assert!(watch.window().is_empty());
        assert_eq!(watch.under_way(), Money::new(-2 * Money::ONE.get()), "two fees");
        let meta = Meta { instrument: InstrumentId(0), ..Meta::default() };
        let paid = Money::new(3 * Money::ONE.get());
        watch.on_event(&Event::Funding(Funding { meta, exec_id: 99, paid, rate: Rate::ZERO, is_query: false }));
        fill(&mut watch, 0, Side::Ask, 110, 2);
        // Twenty won, two fees, three of funding.
        let whole = |n: i128| Money::new(n * Money::ONE.get());
        assert_eq!((watch.window().all(), watch.closed()), (1, whole(15)));
        fill(&mut watch, 1, Side::Bid, 101, 1);
        assert_eq!((watch.window().all(), watch.closed(), watch.fills()), (2, whole(15 - 3), 4));
        assert_eq!(watch.under_way(), Money::ZERO);
        assert_eq!(watch.window().measures(0.95, Money::ZERO).map(|m| (m.trips, m.wins, m.mean)), Some((2, 1, 6.0)));
    }
}
