//! When a captured market paid funding, by what its own tickers said.

use crate::types::{Event, Nanos, Rate, Ticker};

/// The coming payment of one instrument.
#[derive(Clone, Copy, Debug, Default)]
struct Coming {
    /// Moment by the venue's clock; zero: not known.
    at: Nanos,
    /// The newest rate told for it.
    rate: Rate,
    /// Moment of the newest payment: a ticker that still names it is late.
    paid: Nanos,
}

/// Watches a feed for the moments of its funding payments.
///
/// A payment falls due at the moment that tickers named for it, at the last rate that they named before. Moments are the
/// venue's: messages without its time do not move this clock, and a recorder's clock is never asked.
#[derive(Clone, Debug)]
pub struct FundingClock {
    coming: Vec<Coming>,
}

impl FundingClock {
    /// Makes the clock of so many instruments.
    pub fn new(instruments: usize) -> Self {
        Self { coming: vec![Coming::default(); instruments] }
    }

    /// Takes an event of the feed, before the venue does. Returns the rate of the payment that has fallen due with it.
    #[inline]
    pub fn on_event(&mut self, event: &Event<'_>) -> Option<Rate> {
        let meta = event.meta();
        let coming = self.coming.get_mut(meta.instrument.idx())?;
        let is_due = coming.at > Nanos::ZERO && meta.venue_ts >= coming.at;
        let due = is_due.then(|| coming.pay());
        if let Event::Ticker(ticker) = event {
            return due.or(coming.tell(ticker));
        }
        due
    }
}

impl Coming {
    fn pay(&mut self) -> Rate {
        (self.paid, self.at) = (self.at, Nanos::ZERO);
        self.rate
    }

    /// A later moment than the one that was awaited says that the awaited one has passed.
    fn tell(&mut self, ticker: &Ticker) -> Option<Rate> {
        if ticker.next_funding <= self.paid || ticker.next_funding <= ticker.meta.venue_ts {
            return None;
        }
        let due = (self.at > Nanos::ZERO && ticker.next_funding > self.at).then(|| self.pay());
        (self.at, self.rate) = (ticker.next_funding, ticker.funding_rate);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{InstrumentId, Lots, Meta, Money, Side, Ticks, Trade};

    fn ticker(at: u64, next: u64, rate: i64) -> Event<'static> {
        Event::Ticker(Ticker {
            meta: Meta { venue_ts: Nanos::new(at), ..Meta::default() },
            mark_px: Money::ZERO,
            index_px: Money::ZERO,
            last_px: Ticks::ZERO,
            funding_rate: Rate::new(rate),
            next_funding: Nanos::new(next),
        })
    }

    fn trade(at: u64, instrument: u16) -> Event<'static> {
        let meta = Meta { venue_ts: Nanos::new(at), instrument: InstrumentId(instrument), ..Meta::default() };
        Event::Trade(Trade { meta, taker: Side::Bid, px: Ticks::new(1), qty: Lots::new(1) })
    }

    #[test]
    fn a_payment_falls_due_once_at_its_moment_and_at_the_last_rate_before_it() {
        let mut clock = FundingClock::new(2);
        assert_eq!(clock.on_event(&trade(50, 0)), None, "nothing is known yet");
        assert_eq!(clock.on_event(&ticker(60, 100, 7)), None);
        assert_eq!(clock.on_event(&ticker(90, 100, 9)), None);
        assert_eq!(clock.on_event(&trade(200, 1)), None, "another instrument");
        assert_eq!(clock.on_event(&trade(99, 0)), None);
        assert_eq!(clock.on_event(&trade(100, 0)), Some(Rate::new(9)));
        assert_eq!(clock.on_event(&ticker(101, 100, 9)), None, "a late ticker");
        assert_eq!(clock.on_event(&ticker(102, 200, 5)), None);
        assert_eq!(clock.on_event(&trade(150, 0)), None);
        // The first word after it names the next one.
        assert_eq!(clock.on_event(&ticker(200, 300, 4)), Some(Rate::new(5)));
        assert_eq!(clock.on_event(&trade(299, 0)), None);
        // A gap in the feed: the moment has passed, whatever the message's own time.
        assert_eq!(clock.on_event(&ticker(0, 400, 3)), Some(Rate::new(4)));
    }

    #[test]
    fn a_ticker_without_funding_is_none() {
        let mut clock = FundingClock::new(1);
        assert_eq!(clock.on_event(&ticker(10, 0, 0)), None);
        assert_eq!(clock.on_event(&trade(1_000, 0)), None);
    }
}
