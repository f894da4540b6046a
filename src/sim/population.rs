//! A seeded crowd of simulated traders: the other side of every trade where there is no captured feed.
//!
//! A fair value walks at random, with jumps, and nobody trades at it directly: makers quote around what they believe it is, the informed take
//! quotes that it has left behind, others trade on noise or on the last move. All of it follows from the seed and the
//! number of steps, in integers, so that a market is the same on any machine.

use super::{
    order::{Incoming, OrderNo, OwnerId, Report, SelfTrade},
    rng::Rng,
    thin::{Thin, ThinMarket},
    venue::Venue,
};
use crate::types::{InstrumentId, Lots, Nanos, Side, Ticks, TimeInForce};
use std::{cmp::Reverse, collections::BinaryHeap};

/// One instrument that the crowd trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrowdMarket {
    /// Which; its market must be a matching engine.
    pub instrument: InstrumentId,
    /// Where the fair value starts.
    pub start_px: Ticks,
    /// The ordinary size of an order; all others are drawn around it.
    pub unit: Lots,
    /// Standard deviation of the fair value over one second, in ticks.
    pub ticks_per_second: i64,
}

/// The crowd.
pub struct Population {
    crowds: Vec<Crowd>,
    thin: Vec<Thin>,
    next_step: Option<Nanos>,
}

impl Population {
    /// Gathers a crowd for each market. Their owners are numbered from [`OwnerId::CROWD`].
    pub fn new(seed: u64, markets: &[CrowdMarket]) -> Self {
        Self::with_thin(seed, markets, &[])
    }

    /// Gathers a crowd for each market, and a maker with some takers for each thin one.
    pub fn with_thin(seed: u64, markets: &[CrowdMarket], thin: &[ThinMarket]) -> Self {
        let mut seeds = Rng::new(seed);
        let crowd = |(idx, market): (usize, &CrowdMarket)| Crowd::new(seeds.next_u64(), idx as u32, *market);
        let crowds = markets.iter().enumerate().map(crowd).collect();
        let owner = |idx: usize| OwnerId::CROWD + (markets.len() + idx) as u32 * OWNERS_PER_MARKET;
        let thin =
            thin.iter().enumerate().map(|(idx, market)| Thin::new(seeds.next_u64(), owner(idx), *market)).collect();
        Self { crowds, thin, next_step: None }
    }

    /// Lets the crowd act up to `now`, at most a second of it in one call, and returns how many steps that was.
    ///
    /// The first call opens the market. A caller that comes late gets the missed steps in the next calls, at their own times.
    pub fn poll(&mut self, venue: &mut Venue, now: Nanos) -> usize {
        let mut next = *self.next_step.get_or_insert(now);
        let mut steps = 0;
        // What accounts did to the crowd since the last call concerns every crowd; in a step each reads only what it caused.
        if !venue.crowd_reports().is_empty() {
            self.crowds.iter_mut().for_each(|crowd| crowd.absorb(venue.crowd_reports()));
            self.thin.iter_mut().for_each(|thin| thin.absorb(venue.crowd_reports()));
        }
        venue.clear_crowd_reports();
        while next <= now && steps < STEPS_PER_POLL_MAX {
            for crowd in &mut self.crowds {
                crowd.step(venue, next);
            }
            for thin in &mut self.thin {
                thin.poll(venue, next);
            }
            next = next.saturating_add(STEP_NS);
            steps += 1;
        }
        self.next_step = Some(next);
        steps
    }

    /// Returns the fair value of an instrument, which no trader of the venue can see.
    pub fn fair_px(&self, instrument: InstrumentId) -> Option<Ticks> {
        let crowd = self.crowds.iter().find(|crowd| crowd.market.instrument == instrument).map(Crowd::fair);
        let thin = || self.thin.iter().find(|thin| thin.instrument() == instrument).map(Thin::fair);
        crowd.or_else(thin).map(Ticks::new)
    }
}

struct Crowd {
    market: CrowdMarket,
    rng: Rng,
    /// Fair value in 1/256 of a tick.
    fair_e8: i64,
    first_owner: u32,
    makers: Vec<Maker>,
    /// Orders of those who do not tend them, by the step at which they give up.
    expiries: BinaryHeap<Reverse<(u64, OrderNo)>>,
    steps: u64,
    /// Middle of the market at the last look of the momentum traders.
    last_mid: i64,
}

struct Maker {
    temper: Temper,
    inventory: i64,
    orders: Vec<(Side, Ticks, OrderNo)>,
}

/// How a maker quotes.
#[derive(Clone, Copy)]
struct Temper {
    half_spread: i64,
    step: i64,
    levels: i64,
    period_steps: u64,
    /// In hundredths of the market's unit.
    size_e2: i64,
}

impl Crowd {
    fn new(seed: u64, idx: u32, market: CrowdMarket) -> Self {
        let maker = |&temper: &Temper| Maker { temper, inventory: 0, orders: Vec::new() };
        Self {
            market,
            rng: Rng::new(seed),
            fair_e8: market.start_px.get().saturating_mul(256),
            first_owner: OwnerId::CROWD + idx * OWNERS_PER_MARKET,
            makers: TEMPERS.iter().map(maker).collect(),
            expiries: BinaryHeap::new(),
            steps: 0,
            last_mid: market.start_px.get(),
        }
    }

    fn fair(&self) -> i64 {
        self.fair_e8 / 256
    }

    fn step(&mut self, venue: &mut Venue, now: Nanos) {
        self.walk();
        for idx in 0..self.makers.len() {
            // Spread over the period, so that quotes do not all move at once.
            if (self.steps + idx as u64 * 3).is_multiple_of(self.makers[idx].temper.period_steps) || self.steps == 0 {
                self.requote(idx, venue, now);
            }
        }
        while let Some(&Reverse((due, no))) = self.expiries.peek()
            && due <= self.steps
        {
            self.expiries.pop();
            venue.crowd_cancel(self.market.instrument, no, now);
        }
        self.noise(venue, now);
        self.momentum(venue, now);
        self.aggressive(venue, now);
        self.cautious(venue, now);
        self.read_reports(venue);
        self.steps += 1;
    }

    fn walk(&mut self) {
        // Variances add up over the steps of a second: one step moves a tenth of what a second does.
        self.fair_e8 += self.rng.bell(self.market.ticks_per_second * 256 / 10);
        if self.rng.one_in(STEPS_PER_JUMP) {
            let jump = self.rng.between(20, 60) * 256;
            self.fair_e8 += if self.rng.one_in(2) { jump } else { -jump };
        }
        // Far from zero, so that every quote has a positive price.
        self.fair_e8 = self.fair_e8.max(1_000 * 256);
    }

    fn requote(&mut self, idx: usize, venue: &mut Venue, now: Nanos) {
        let Temper { half_spread, step, levels, size_e2, .. } = self.makers[idx].temper;
        let skew = (self.makers[idx].inventory / (self.market.unit.get() * 4).max(1)).clamp(-6, 6);
        let centre = self.fair() + self.rng.between(-1, 1) - skew;
        let first_bid = (centre - half_spread).div_euclid(step) * step;
        let first_ask = (centre + half_spread + step - 1).div_euclid(step) * step;
        let wanted = |side: Side, px: Ticks| {
            let away = match side {
                Side::Bid => first_bid - px.get(),
                Side::Ask => px.get() - first_ask,
            };
            away >= 0 && away % step == 0 && away / step < levels
        };
        let instrument = self.market.instrument;
        self.makers[idx].orders.retain(|&(side, px, no)| {
            let keep = wanted(side, px);
            if !keep {
                venue.crowd_cancel(instrument, no, now);
            }
            keep
        });
        for away in 0..levels {
            for (side, px) in [(Side::Bid, first_bid - away * step), (Side::Ask, first_ask + away * step)] {
                let px = Ticks::new(px);
                if self.makers[idx].orders.iter().any(|&(other, at, _)| (other, at) == (side, px)) {
                    continue;
                }
                // Deeper levels are larger.
                let size = self.market.unit.get() * size_e2 * (2 + away) / 200;
                let qty = self.rng.between(size / 2, size * 3 / 2).max(1);
                let no = self.place(venue, idx as u32, side, px, qty, TimeInForce::PostOnly, now);
                self.makers[idx].orders.push((side, px, no));
            }
        }
        // Fills and refused post-only orders must be known before the next look at the list.
        self.read_reports(venue);
    }

    fn noise(&mut self, venue: &mut Venue, now: Nanos) {
        if !self.rng.one_in(20) {
            return;
        }
        let side = Side::from_bit(self.rng.next_u64() as u8);
        let qty = self.rng.between(1, self.market.unit.get());
        let market = venue.market(self.market.instrument);
        let Some(best) = market.and_then(|market| market.best(side.opposite())) else { return };
        if self.rng.one_in(4) {
            let px = best.px.saturating_add(-side.sign() * self.rng.between(1, 4));
            let no = self.place(venue, NOISE, side, px, qty, TimeInForce::PostOnly, now);
            let patience = self.rng.below(400) + 50;
            self.expiries.push(Reverse((self.steps + patience, no)));
        } else {
            let px = best.px.saturating_add(side.sign() * 3);
            self.place(venue, NOISE, side, px, qty, TimeInForce::ImmediateOrCancel, now);
        }
    }

    fn momentum(&mut self, venue: &mut Venue, now: Nanos) {
        if !self.steps.is_multiple_of(100) {
            return;
        }
        let Some(mid) = venue.mark(self.market.instrument).map(Ticks::get) else { return };
        let moved = mid - self.last_mid;
        self.last_mid = mid;
        if moved.abs() > self.market.ticks_per_second / 2 + 2 {
            let side = if moved > 0 { Side::Bid } else { Side::Ask };
            let qty = self.rng.between(1, 3) * self.market.unit.get();
            let px = Ticks::new(mid + side.sign() * 4);
            self.place(venue, MOMENTUM, side, px, qty, TimeInForce::ImmediateOrCancel, now);
        }
    }

    fn aggressive(&mut self, venue: &mut Venue, now: Nanos) {
        for side in [Side::Bid, Side::Ask] {
            let market = venue.market(self.market.instrument);
            let Some(best) = market.and_then(|market| market.best(side.opposite())) else { continue };
            let edge = (self.fair() - best.px.get()) * side.sign();
            if edge >= 3 && self.rng.one_in(3) {
                let qty = self.rng.between(1, 4) * self.market.unit.get();
                let px = Ticks::new(self.fair() - side.sign());
                self.place(venue, AGGRESSIVE, side, px, qty, TimeInForce::ImmediateOrCancel, now);
            }
        }
    }

    fn cautious(&mut self, venue: &mut Venue, now: Nanos) {
        if !self.rng.one_in(100) {
            return;
        }
        let side = Side::from_bit(self.rng.next_u64() as u8);
        let px = Ticks::new(self.fair() - side.sign() * self.rng.between(15, 90));
        let qty = self.rng.between(2, 20) * self.market.unit.get();
        let no = self.place(venue, CAUTIOUS, side, px, qty, TimeInForce::PostOnly, now);
        let patience = self.rng.below(4_000) + 2_000;
        self.expiries.push(Reverse((self.steps + patience, no)));
    }

    #[allow(clippy::too_many_arguments)] // one private call that names every part of an order
    fn place(
        &mut self,
        venue: &mut Venue,
        who: u32,
        side: Side,
        px: Ticks,
        qty: i64,
        tif: TimeInForce,
        now: Nanos,
    ) -> OrderNo {
        let no = venue.next_order_no();
        let order = Incoming {
            no,
            owner: OwnerId(self.first_owner + who),
            side,
            px,
            qty: Lots::new(qty.max(1)),
            tif,
            self_trade: SelfTrade::CancelMaker,
        };
        venue.crowd_place(self.market.instrument, &order, now);
        no
    }

    /// Reads what this crowd's own step caused.
    fn read_reports(&mut self, venue: &mut Venue) {
        self.absorb(venue.crowd_reports());
        venue.clear_crowd_reports();
    }

    /// Learns what became of makers' orders.
    fn absorb(&mut self, reports: &[(InstrumentId, Report)]) {
        for (_, report) in reports {
            let (no, owner, filled, gone) = match *report {
                Report::Fill(fill) => (fill.no, fill.owner, fill.qty.get() * fill.side.sign(), fill.leaves.is_zero()),
                Report::Cancelled { no, owner, .. } | Report::Rejected { no, owner, .. } => (no, owner, 0, true),
                _ => continue,
            };
            // An owner of another crowd is out of this one's range, whichever side of it.
            let idx = owner.0.wrapping_sub(self.first_owner) as usize;
            let Some(maker) = self.makers.get_mut(idx) else { continue };
            maker.inventory += filled;
            if gone {
                maker.orders.retain(|&(_, _, mine)| mine != no);
            }
        }
    }
}

/// Time between two steps of the crowd.
const STEP_NS: u64 = 10_000_000;

/// Steps caught up in one call: a second of market, some milliseconds of work.
const STEPS_PER_POLL_MAX: usize = 100;

/// A jump every 20 seconds on average.
const STEPS_PER_JUMP: u64 = 2_000;

/// The touch, the near book and the deep book, two makers each.
const TEMPERS: [Temper; 6] = [
    Temper { half_spread: 1, step: 1, levels: 5, period_steps: 10, size_e2: 60 },
    Temper { half_spread: 1, step: 1, levels: 6, period_steps: 17, size_e2: 100 },
    Temper { half_spread: 2, step: 2, levels: 10, period_steps: 25, size_e2: 100 },
    Temper { half_spread: 2, step: 3, levels: 10, period_steps: 31, size_e2: 150 },
    Temper { half_spread: 4, step: 5, levels: 20, period_steps: 60, size_e2: 200 },
    Temper { half_spread: 6, step: 7, levels: 25, period_steps: 97, size_e2: 300 },
];

const NOISE: u32 = 100;
const MOMENTUM: u32 = 101;
const AGGRESSIVE: u32 = 102;
const CAUTIOUS: u32 = 103;

/// More than the greatest number above.
const OWNERS_PER_MARKET: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        sim::{Market, Matching, VenueEvent, VenueLimits},
        types::{InstrumentSpec, Product, Step, Symbol, VenueId},
    };

    fn run(seed: u64, seconds: u64) -> (Venue, Vec<VenueEvent>, Vec<(i64, usize)>) {
        let spec = |symbol: &str, tick: &str, lot: &str| {
            let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
            let symbol = Symbol::new(symbol.as_bytes()).unwrap();
            InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step(tick), step(lot)).unwrap()
        };
        let listing = |spec| (spec, Market::Matching(Matching::new()));
        let listings = vec![listing(spec("BTCUSDT", "0.10", "0.001")), listing(spec("ETHUSDT", "0.01", "0.01"))];
        let mut venue = Venue::new(listings, VenueLimits::default());
        let market = |idx, px| CrowdMarket {
            instrument: InstrumentId(idx),
            start_px: Ticks::new(px),
            unit: Lots::new(50),
            ticks_per_second: 8,
        };
        let mut crowd = Population::new(seed, &[market(0, 600_000), market(1, 300_000)]);
        let mut spreads = Vec::new();
        for tick in 0..seconds * 100 {
            crowd.poll(&mut venue, Nanos::from_millis(1_700_000_000_000 + tick * 10));
            let market = venue.market(InstrumentId(0)).unwrap();
            if let (Some(bid), Some(ask)) = (market.best(Side::Bid), market.best(Side::Ask)) {
                let depth = market.levels(Side::Bid).count().min(market.levels(Side::Ask).count());
                spreads.push((ask.px.get() - bid.px.get(), depth));
            }
        }
        let events = venue.events().to_vec();
        (venue, events, spreads)
    }

    #[test]
    fn a_seed_gives_one_market() {
        assert_eq!(run(7, 20).1, run(7, 20).1);
        assert_ne!(run(7, 20).1, run(8, 20).1);
    }

    #[test]
    fn the_market_is_lively_and_orderly() {
        let (venue, events, spreads) = run(42, 60);
        venue.assert_invariants();
        assert_eq!(spreads.len(), 6_000, "both sides are always there");
        let tight = spreads.iter().filter(|(spread, _)| (1..=5).contains(spread)).count();
        assert!(tight * 100 >= spreads.len() * 90, "the spread is 1 to 5 ticks: {tight} of {}", spreads.len());
        let deep = spreads.iter().filter(|(_, depth)| *depth >= 20).count();
        assert!(deep * 100 >= spreads.len() * 99, "20 levels a side: {deep} of {}", spreads.len());
        let trades =
            events.iter().filter(|event| matches!(event, VenueEvent::Trade { instrument: InstrumentId(0), .. }));
        let trades = trades.count();
        assert!((120..60_000).contains(&trades), "{trades} trades in a minute");
    }
}
