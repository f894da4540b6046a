//! A cheap market: one maker with a ladder of quotes around a fair value, and takers that come at a known rate.
//!
//! Hundreds of these cost less than one lively [`Population`](super::Population) market, and what they trade in a day is known
//! beforehand, so that figures of a day that never was fit the market that is. All of it follows from the seed and the number of
//! steps, in integers.

use super::{
    order::{Incoming, OrderNo, OwnerId, Report, SelfTrade},
    rng::Rng,
    venue::Venue,
};
use crate::types::{InstrumentId, Lots, Nanos, Side, Ticks, TimeInForce};
use std::collections::VecDeque;

/// What a thin market is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThinStyle {
    /// Time between two steps. Everything happens at steps.
    pub step_ns: u64,
    /// Distance of the best quotes from the fair value, in ticks.
    pub half_spread: i64,
    /// Distance between two quotes of a side, in ticks.
    pub spacing: i64,
    /// Quotes on each side.
    pub levels: u16,
    /// Standard deviation of the fair value over one second, in 1/256 of a tick.
    pub deviation_e8: i64,
    /// How many of 10,000 steps bring a taker. It takes twice the unit at most, the unit on average.
    pub takers_e4: u32,
}

/// One instrument with a thin market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThinMarket {
    /// Which; its market must be a matching engine.
    pub instrument: InstrumentId,
    /// Where the fair value starts.
    pub start_px: Ticks,
    /// The ordinary size of an order.
    pub unit: Lots,
    /// Its style.
    pub style: ThinStyle,
}

impl ThinMarket {
    /// Returns the lots that takers ask for in `ns` nanoseconds on average.
    pub fn expected_lots(&self, ns: u64) -> i64 {
        let steps_e4 = i128::from(ns) * i128::from(self.style.takers_e4) / i128::from(self.style.step_ns.max(1));
        i64::try_from(steps_e4 * i128::from(self.unit.get()) / 10_000).unwrap_or(i64::MAX)
    }
}

/// The traders of one thin market.
pub(super) struct Thin {
    market: ThinMarket,
    rng: Rng,
    owner: u32,
    /// Fair value in 1/256 of a tick.
    fair_e8: i64,
    floor_e8: i64,
    /// Standard deviation of one step.
    deviation_e8: i64,
    /// What is quoted, by side.
    ladders: [Ladder; 2],
    next_step: Option<Nanos>,
}

/// The maker's quotes of one side, best first; a quote that was filled is missing until the next step.
#[derive(Default)]
struct Ladder {
    first: i64,
    quotes: VecDeque<Option<OrderNo>>,
}

impl Thin {
    /// `owner` and the number after it are the maker and the takers.
    pub fn new(seed: u64, owner: u32, market: ThinMarket) -> Self {
        let start_e8 = market.start_px.get().saturating_mul(256);
        let style = market.style;
        let reach = style.half_spread.saturating_add(style.spacing.saturating_mul(i64::from(style.levels) + 2));
        // Deviations grow with the root of time.
        let step_ms = style.step_ns / 1_000_000;
        let deviation = i128::from(style.deviation_e8) * i128::from((step_ms * 1_000).isqrt()) / 1_000;
        Self {
            market,
            rng: Rng::new(seed),
            owner,
            fair_e8: start_e8,
            // Every quote has a positive price.
            floor_e8: (start_e8 / 10).max(reach.saturating_mul(256)),
            deviation_e8: i64::try_from(deviation).unwrap_or(i64::MAX / 4),
            ladders: Default::default(),
            next_step: None,
        }
    }

    pub fn instrument(&self) -> InstrumentId {
        self.market.instrument
    }

    pub fn fair(&self) -> i64 {
        self.fair_e8 / 256
    }

    /// Acts if it is time to; true if it did. A caller that comes late gets the missed steps in the next calls.
    pub fn poll(&mut self, venue: &mut Venue, now: Nanos) -> bool {
        if self.next_step.is_some_and(|due| due > now) {
            return false;
        }
        // The first steps are spread over a period, so that not all markets move at once.
        let wait = match self.next_step {
            None => self.rng.below(self.market.style.step_ns),
            Some(_) => self.market.style.step_ns,
        };
        let from = self.next_step.unwrap_or(now);
        self.next_step = Some(from.saturating_add(wait.max(1)));
        self.step(venue, now);
        true
    }

    fn step(&mut self, venue: &mut Venue, now: Nanos) {
        let moved = self.rng.bell(self.deviation_e8);
        self.fair_e8 = self.fair_e8.saturating_add(moved).max(self.floor_e8);
        let ThinStyle { half_spread, spacing, takers_e4, .. } = self.market.style;
        let (fair, spacing) = (self.fair(), spacing.max(1));
        let first_bid = (fair - half_spread).div_euclid(spacing) * spacing;
        let first_ask = (fair + half_spread + spacing - 1).div_euclid(spacing) * spacing;
        // What has to go goes first on both sides, or new quotes would meet old ones.
        for (side, first) in [(Side::Bid, first_bid), (Side::Ask, first_ask)] {
            self.drop_outside(venue, side, first, spacing, now);
        }
        self.pick_off(venue, fair, now);
        self.quote(venue, spacing, now);
        if self.rng.below(10_000) < u64::from(takers_e4) {
            let side = Side::from_bit(self.rng.next_u64() as u8);
            let qty = self.rng.between(1, self.market.unit.get().saturating_mul(2).max(1));
            let best = venue.market(self.market.instrument).and_then(|market| market.best(side.opposite()));
            if let Some(best) = best {
                let px = best.px.get() + side.sign() * spacing * TAKER_LEVELS;
                self.place(venue, 1, side, px, qty, TimeInForce::ImmediateOrCancel, now);
                self.read_reports(venue);
            }
        }
    }

    /// Takes what others quote beyond the fair value; the maker's own quotes are never there.
    fn pick_off(&mut self, venue: &mut Venue, fair: i64, now: Nanos) {
        for side in [Side::Bid, Side::Ask] {
            let best = venue.market(self.market.instrument).and_then(|market| market.best(side.opposite()));
            let Some(best) = best.filter(|best| (fair - best.px.get()) * side.sign() > 0) else { continue };
            self.place(venue, 1, side, fair, best.qty.get(), TimeInForce::ImmediateOrCancel, now);
            self.read_reports(venue);
        }
    }

    fn quote(&mut self, venue: &mut Venue, spacing: i64, now: Nanos) {
        let levels = usize::from(self.market.style.levels);
        // One quote changes its size, so that a book lives while its price stands still.
        let side = Side::from_bit(self.rng.next_u64() as u8);
        let changed = self.rng.below(levels as u64) as usize;
        if let Some(no) = self.ladders[side as usize].quotes.get_mut(changed).and_then(Option::take) {
            venue.crowd_cancel(self.market.instrument, no, now);
        }
        for side in [Side::Bid, Side::Ask] {
            let first = self.ladders[side as usize].first;
            self.ladders[side as usize].quotes.resize(levels, None);
            for away in 0..levels {
                if self.ladders[side as usize].quotes[away].is_some() {
                    continue;
                }
                // Deeper quotes are larger.
                let size = self.market.unit.get().saturating_mul(4 + away as i64) / 2;
                let qty = self.rng.between(size / 2, size * 3 / 2);
                let px = first - side.sign() * away as i64 * spacing;
                let no = self.place(venue, 0, side, px, qty, TimeInForce::PostOnly, now);
                self.ladders[side as usize].quotes[away] = Some(no);
            }
        }
        self.read_reports(venue);
    }

    /// Moves a ladder so that its best quote is at `first`, and cancels what has no place there.
    fn drop_outside(&mut self, venue: &mut Venue, side: Side, first: i64, spacing: i64, now: Nanos) {
        let ladder = &mut self.ladders[side as usize];
        let levels = i64::from(self.market.style.levels);
        // How many places the ladder moves towards the other side.
        let shift = if ladder.quotes.is_empty() { 0 } else { (first - ladder.first) * side.sign() / spacing };
        ladder.first = first;
        let mut gone = Vec::new();
        if shift >= 0 {
            for _ in 0..shift.min(levels) {
                ladder.quotes.push_front(None);
            }
            while ladder.quotes.len() as i64 > levels {
                gone.extend(ladder.quotes.pop_back().flatten());
            }
        } else {
            for _ in 0..shift.saturating_neg().min(levels) {
                gone.extend(ladder.quotes.pop_front().flatten());
            }
        }
        for no in gone {
            venue.crowd_cancel(self.market.instrument, no, now);
        }
    }

    #[allow(clippy::too_many_arguments)] // one private call that names every part of an order
    fn place(
        &mut self,
        venue: &mut Venue,
        who: u32,
        side: Side,
        px: i64,
        qty: i64,
        tif: TimeInForce,
        now: Nanos,
    ) -> OrderNo {
        let no = venue.next_order_no();
        let order = Incoming {
            no,
            owner: OwnerId(self.owner + who),
            side,
            px: Ticks::new(px.max(1)),
            qty: Lots::new(qty.max(1)),
            tif,
            self_trade: SelfTrade::CancelMaker,
        };
        venue.crowd_place(self.market.instrument, &order, now);
        no
    }

    fn read_reports(&mut self, venue: &mut Venue) {
        self.absorb(venue.crowd_reports());
        venue.clear_crowd_reports();
    }

    /// Learns what became of the maker's quotes.
    pub fn absorb(&mut self, reports: &[(InstrumentId, Report)]) {
        for (instrument, report) in reports {
            if *instrument != self.market.instrument {
                continue;
            }
            let gone = match *report {
                Report::Fill(fill) if fill.leaves.is_zero() => (fill.no, fill.owner),
                Report::Cancelled { no, owner, .. } | Report::Rejected { no, owner, .. } => (no, owner),
                _ => continue,
            };
            if gone.1 != OwnerId(self.owner) {
                continue;
            }
            for quote in self.ladders.iter_mut().flat_map(|ladder| &mut ladder.quotes) {
                if *quote == Some(gone.0) {
                    *quote = None;
                }
            }
        }
    }
}

/// How many quotes deep a taker goes at most.
const TAKER_LEVELS: i64 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        sim::{AccountId, Market, Matching, OrderKind, PlaceRequest, Population, VenueEvent, VenueLimits},
        types::{InstrumentSpec, Money, OrderStatus, Product, Step, Symbol, VenueId},
    };

    const ID: InstrumentId = InstrumentId(0);

    fn market() -> ThinMarket {
        let style = ThinStyle {
            step_ns: 200_000_000,
            half_spread: 3,
            spacing: 2,
            levels: 30,
            deviation_e8: 900,
            takers_e4: 2_000,
        };
        ThinMarket { instrument: ID, start_px: Ticks::new(20_000), unit: Lots::new(40), style }
    }

    fn venue() -> Venue {
        let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
        let symbol = Symbol::new(b"THINUSDT").unwrap();
        let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.01"), step("0.1")).unwrap();
        Venue::new(vec![(spec, Market::Matching(Matching::new()))], VenueLimits::default())
    }

    fn at(millis: u64) -> Nanos {
        Nanos::from_millis(1_700_000_000_000 + millis)
    }

    fn run(seed: u64, seconds: u64) -> (Venue, Vec<VenueEvent>) {
        let mut venue = venue();
        let mut crowd = Population::with_thin(seed, &[], &[market()]);
        for step in 0..seconds * 100 {
            crowd.poll(&mut venue, at(step * 10));
            let market = venue.market(ID).unwrap();
            let (bid, ask) = (market.best(Side::Bid).unwrap().px.get(), market.best(Side::Ask).unwrap().px.get());
            assert!(bid < ask && ask - bid <= 40, "both sides are there and do not cross: {bid} {ask}");
            assert!(market.levels(Side::Bid).count() >= 20, "a taker leaves most of a ladder");
        }
        venue.assert_invariants();
        let events = venue.events().to_vec();
        (venue, events)
    }

    #[test]
    fn a_seed_gives_one_market() {
        assert_eq!(run(7, 20).1, run(7, 20).1);
        assert_ne!(run(7, 20).1, run(8, 20).1);
    }

    #[test]
    fn takers_take_what_the_style_says() {
        let (_, events) = run(3, 1_000);
        let volume: i64 = events
            .iter()
            .filter_map(|event| match event {
                VenueEvent::Trade { qty, .. } => Some(qty.get()),
                _ => None,
            })
            .sum();
        let expected = market().expected_lots(1_000_000_000_000);
        assert_eq!(expected, 40_000, "5,000 steps, a taker in every fifth, 40 lots each");
        assert!((expected * 8 / 10..=expected * 12 / 10).contains(&volume), "{volume} lots of {expected}");
    }

    #[test]
    fn an_order_beyond_the_fair_value_is_taken() {
        let mut venue = venue();
        let account = venue.open_account(Money::ONE.saturating_mul(1_000_000), 1_000);
        let mut crowd = Population::with_thin(1, &[], &[market()]);
        crowd.poll(&mut venue, at(0));
        let fair = crowd.fair_px(ID).unwrap();
        // Sweeps the asks up to the price, rests there, and is sold to.
        let request = PlaceRequest {
            instrument: ID,
            side: Side::Bid,
            kind: OrderKind::Limit,
            px: fair.saturating_add(12),
            qty: Lots::new(5_000),
            tif: TimeInForce::GoodTillCancel,
            reduce_only: false,
            self_trade: SelfTrade::None,
            link: crate::sim::LinkId::NONE,
        };
        let no = venue.place(account, &request, at(1)).unwrap();
        for step in 0..100 {
            crowd.poll(&mut venue, at(10 + step * 10));
        }
        assert_eq!(venue.find_order(AccountId(0), no).unwrap().status, OrderStatus::Filled);
        venue.assert_invariants();
    }
}
