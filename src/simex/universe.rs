//! Hundreds of made-up instruments: names, steps, prices, activity, spreads, funding, all from a seed.

use super::config::{ListingConfig, ListingProfile, ListingStatus, SimexConfig, default_listings};
use crate::{
    sim::{Rng, ThinStyle},
    types::{InstrumentSpec, Lots, Money, Product, Rate, Step, Symbol, Ticks, VenueId},
};
use std::collections::BTreeSet;

impl SimexConfig {
    /// Lists `count` linear instruments: BTCUSDT and ETHUSDT with a whole crowd each, the others with thin markets, from lively
    /// to dead, drawn from `seed`. A few do not trade (`PreLaunch`, `Delivering`, `Closed`), a few are dated futures.
    ///
    /// `activity_percent` scales how often the thin markets move: 100 is ordinary, 10 a tenth of it.
    pub fn list_universe(&mut self, count: usize, seed: u64, activity_percent: u32) {
        self.listings = universe(count, seed, activity_percent);
        // All tickers, or the snapshots of all books, are one burst.
        self.send_bytes = self.send_bytes.max((count * SEND_BYTES).min(SEND_BYTES_MAX));
    }
}

fn universe(count: usize, seed: u64, activity_percent: u32) -> Vec<ListingConfig> {
    let mut listings = default_listings();
    listings.truncate(count);
    for (listing, past_seed) in listings.iter_mut().zip([seed ^ 1, seed ^ 2]) {
        listing.profile.past_seed = Some(past_seed);
        listing.profile.open_interest = Lots::new(listing.unit.get() * 1_000);
    }
    let mut rng = Rng::new(seed ^ FAMILY);
    let mut names: BTreeSet<String> = listings.iter().map(|listing| listing.spec.symbol.to_string()).collect();
    let made = count.saturating_sub(listings.len());
    // Activity has nothing to do with the place in the list.
    let mut ranks: Vec<usize> = (0..made).collect();
    for at in (1..made).rev() {
        ranks.swap(at, rng.below(at as u64 + 1) as usize);
    }
    for (idx, rank) in ranks.into_iter().enumerate() {
        let standing = Standing { rank_e4: (rank * 10_000 / made.max(1)) as u64, idx };
        let listing = loop {
            // A name that is taken, or steps that money could not express, are drawn again.
            if let Some(listing) = draw(&mut rng, &standing, activity_percent)
                && names.insert(listing.spec.symbol.to_string())
            {
                break listing;
            }
        };
        listings.push(listing);
    }
    listings
}

/// Where an instrument stands among the others.
struct Standing {
    /// From 0, the most active, to 9,999.
    rank_e4: u64,
    idx: usize,
}

fn draw(rng: &mut Rng, standing: &Standing, activity_percent: u32) -> Option<ListingConfig> {
    let kind = Kind::of(standing.idx);
    // Prices from some ten-millionths to some ten thousands, on ticks of 1, 2 or 5 in the last place.
    let places = rng.below(9) as u8;
    let units = [1, 1, 1, 2, 5][rng.below(5) as usize];
    let start_px = rng.between(3_000, 60_000);
    let tick = Step::new(units, places)?;
    let price = u128::try_from(tick.pico() * i128::from(start_px)).ok()?; // in 10⁻¹²
    // A lot costs between some cents and some dollars.
    let mut lot_pico: u128 = 1_000_000_000_000_000;
    while price.saturating_mul(lot_pico) / PICO > 2 * PICO && lot_pico > 100_000_000 {
        lot_pico /= 10;
    }
    let lot = match lot_pico.checked_ilog10()? {
        ten @ 12.. => Step::new(10u32.pow(ten - 12), 0)?,
        ten => Step::new(1, (12 - ten) as u8)?,
    };
    let symbol = Symbol::new(name(rng, places, kind).as_bytes())?;
    let mut spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, tick, lot)?;
    let lot_value = spec.notional(Ticks::new(start_px), Lots::new(1)).get().max(1);
    let dollars = |amount: i64| {
        let lots = i128::from(amount) * Money::ONE.get() / lot_value;
        Lots::new(i64::try_from(lots).unwrap_or(i64::MAX / 4).max(1))
    };
    spec.min_notional = Money::ONE.saturating_mul([5, 5, 5, 5, 1, 10, 20][rng.below(7) as usize]);
    spec.max_leverage_e2 = [10_000, 7_500, 5_000, 2_500, 1_250][(standing.rank_e4 / 2_000).min(4) as usize];
    spec.max_qty = dollars(rng.between(200_000, 5_000_000));
    spec.min_qty = Lots::new([1, 1, 1, 2, 5][rng.below(5) as usize]);
    let tier = TIERS.iter().find(|tier| standing.rank_e4 < tier.below_e4)?;
    let between = |rng: &mut Rng, (low, high): (i64, i64)| rng.between(low, high);
    let spread_e2 = between(rng, tier.spread_bps_e2);
    let half_spread = (start_px * spread_e2 / 2_000_000).max(1);
    // A day's deviation of 1 % to 9 % of the price; a day's root is 294 seconds' roots.
    let day_e4 = rng.between(100, 900);
    let step_ns = between(rng, tier.step_ms) as u64 * 1_000_000 * 100 / u64::from(activity_percent.max(1));
    let style = ThinStyle {
        step_ns: step_ns.max(STEP_NS_MIN),
        half_spread,
        spacing: rng.between(1, 1 + half_spread),
        levels: between(rng, tier.levels) as u16,
        deviation_e8: (start_px * 256 * day_e4 / 10_000 / 294).max(8),
        takers_e4: between(rng, tier.takers_e4) as u32,
    };
    let unit = dollars(between(rng, tier.unit_usd)).max(spec.min_qty);
    let hours = [8, 8, 8, 4, 4, 1][rng.below(6) as usize];
    // Most rates are small, some are what a crowded trade pays.
    let reach = if rng.one_in(12) { 300_000 } else { 15_000 };
    let is_future = matches!(kind, Kind::Future(_));
    let age_days = if rng.one_in(25) { rng.below(7) } else { rng.below(2_000) + 7 };
    let profile = ListingProfile {
        status: kind.status(),
        thin: Some(style),
        funding_rate: Some(if is_future { Rate::ZERO } else { Rate::new(rng.between(-reach, reach)) }),
        funding_interval_ns: Some(hours * 3_600_000_000_000),
        age_ns: Some((age_days * 86_400 + rng.below(86_400)) * 1_000_000_000),
        delivery_ms: match kind {
            Kind::Future(at) => Some(DELIVERIES[at].1),
            _ => None,
        },
        open_interest: Lots::new(unit.get().saturating_mul(rng.between(50, 2_000))),
        past_seed: Some(rng.next_u64()),
    };
    Some(ListingConfig { spec, start_px: Ticks::new(start_px), unit, ticks_per_second: 1, profile })
}

/// What kind of instrument stands at a place of the list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Perpetual(ListingStatus),
    Future(usize),
}

impl Kind {
    fn of(idx: usize) -> Self {
        match idx % 100 {
            17 | 61 => Self::Perpetual(ListingStatus::PreLaunch),
            38 => Self::Perpetual(ListingStatus::Delivering),
            83 => Self::Perpetual(ListingStatus::Closed),
            49 | 77 => Self::Future(idx / 50 % DELIVERIES.len()),
            _ => Self::Perpetual(ListingStatus::Trading),
        }
    }

    fn status(self) -> ListingStatus {
        match self {
            Self::Perpetual(status) => status,
            Self::Future(_) => ListingStatus::Trading,
        }
    }
}

fn name(rng: &mut Rng, places: u8, kind: Kind) -> String {
    let mut name = String::new();
    if places == 8 {
        name.push_str("1000");
    }
    let letter = |rng: &mut Rng, of: &[u8]| char::from(of[rng.below(of.len() as u64) as usize]);
    for _ in 0..2 {
        name.push(letter(rng, b"BCDFGKLMNPRSTVXZ"));
        name.push(letter(rng, b"AEIOU"));
    }
    if rng.one_in(2) {
        name.push(letter(rng, b"LMNRSX"));
    }
    name.push_str("USDT");
    if let Kind::Future(at) = kind {
        name.push('-');
        name.push_str(DELIVERIES[at].0);
    }
    name
}

/// What the instruments of one class of activity have in common; ranges include both ends.
struct Tier {
    /// The class ends below this rank, in ten-thousandths of all.
    below_e4: u64,
    step_ms: (i64, i64),
    takers_e4: (i64, i64),
    unit_usd: (i64, i64),
    /// Whole spread in hundredths of a basis point.
    spread_bps_e2: (i64, i64),
    levels: (i64, i64),
}

/// Turnover of a day, from the top: some hundred millions, tens of millions, millions, hundreds of thousands, next to nothing.
const TIERS: [Tier; 5] = [
    Tier {
        below_e4: 500,
        step_ms: (60, 150),
        takers_e4: (1_500, 3_000),
        unit_usd: (1_000, 6_000),
        spread_bps_e2: (30, 150),
        levels: (45, 60),
    },
    Tier {
        below_e4: 3_000,
        step_ms: (150, 500),
        takers_e4: (800, 2_000),
        unit_usd: (300, 2_000),
        spread_bps_e2: (100, 600),
        levels: (30, 60),
    },
    Tier {
        below_e4: 7_000,
        step_ms: (500, 2_000),
        takers_e4: (500, 1_500),
        unit_usd: (100, 800),
        spread_bps_e2: (300, 2_000),
        levels: (20, 45),
    },
    Tier {
        below_e4: 9_500,
        step_ms: (2_000, 6_000),
        takers_e4: (200, 800),
        unit_usd: (50, 300),
        spread_bps_e2: (1_000, 5_000),
        levels: (10, 30),
    },
    Tier {
        below_e4: 10_000,
        step_ms: (8_000, 15_000),
        takers_e4: (5, 50),
        unit_usd: (20, 100),
        spread_bps_e2: (5_000, 20_000),
        levels: (2, 8),
    },
];

/// Dates of futures: their names, and 08:00 UTC of the day.
const DELIVERIES: [(&str, u64); 3] =
    [("27DEC30", 1_924_588_800_000), ("28MAR31", 1_932_451_200_000), ("27JUN31", 1_940_313_600_000)];

const PICO: u128 = 1_000_000_000_000;

/// A population's own step; nothing happens more often.
const STEP_NS_MIN: u64 = 10_000_000;

/// Room in the send buffer of a connection for each instrument, and the most of it.
const SEND_BYTES: usize = 32 << 10;
const SEND_BYTES_MAX: usize = 8 << 20;

/// Keeps these numbers apart from a population's of the same seed.
const FAMILY: u64 = 0x756e_6976_6572_7365;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_list() {
        assert_eq!(universe(300, 5, 100), universe(300, 5, 100));
        assert_ne!(universe(300, 5, 100), universe(300, 6, 100));
        assert_eq!(universe(1, 5, 100).len(), 1);
        assert_eq!(universe(0, 5, 100).len(), 0);
    }

    #[test]
    fn instruments_differ_in_everything() {
        let all = universe(500, 7, 100);
        assert_eq!(all.len(), 500);
        let distinct = |what: &dyn Fn(&ListingConfig) -> String| all.iter().map(what).collect::<BTreeSet<_>>().len();
        assert_eq!(distinct(&|listing| listing.spec.symbol.to_string()), 500, "names");
        assert!(distinct(&|listing| listing.spec.tick.to_string()) >= 15, "ticks");
        assert!(distinct(&|listing| listing.spec.lot.to_string()) >= 5, "lots");
        assert!(distinct(&|listing| listing.spec.min_notional.to_string()) >= 3, "minimal values");
        assert!(distinct(&|listing| format!("{:?}", listing.profile.funding_rate)) >= 300, "funding");
        let with = |status| all.iter().filter(|listing| listing.profile.status == status).count();
        assert_eq!((with(ListingStatus::PreLaunch), with(ListingStatus::Delivering)), (10, 5));
        assert_eq!((with(ListingStatus::Closed), with(ListingStatus::Trading)), (5, 480));
        assert_eq!(all.iter().filter(|listing| listing.profile.delivery_ms.is_some()).count(), 10);
        for listing in &all {
            let value = listing.spec.notional(listing.start_px, Lots::new(1));
            assert!(value > Money::ZERO && value < Money::ONE.saturating_mul(100), "{listing:?}");
        }
    }
}
