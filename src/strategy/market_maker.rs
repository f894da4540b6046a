//! An inventory-aware market maker after Avellaneda and Stoikov, "High-frequency trading in a limit order book" (2008).
//!
//! ```text
//! reservation = fair − q·γ·σ²·τ          fair: microprice, q: position as a share of its limit, σ²: ticks²/s, τ: s
//! half spread = γ·σ²·τ/2 + ln(1 + γ/κ)/γ
//! ```
//!
//! What practice adds: the half spread never falls below the maker fee and a margin; prices are rounded away from the
//! touch to the tick grid and never cross it; a side is withdrawn where the position has reached its limit; a quote is
//! only moved when it is off by more than a tolerance, since a moved order loses its place in the queue.

use super::{Forecast, Strategy, View, Wishes};
use crate::types::{InstrumentSpec, Lots, Money, Rate, Side, Ticks};

/// Parameters of the market maker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarketMakerConfig {
    /// Quantity of a quote, in the quote currency.
    pub quote_value: Money,
    /// Position at which the side that would grow it is withdrawn, in the quote currency.
    pub position_value_max: Money,
    /// Risk aversion γ per tick, above zero.
    pub risk_aversion: f64,
    /// Decay κ of the fill rate per tick of distance, above zero.
    pub fill_decay: f64,
    /// Horizon τ in seconds.
    pub horizon_s: f64,
    /// Earned per fill beyond the maker fee at least, as a share of the price.
    pub margin: Rate,
    /// Whether the maker fee widens the spread (switch it off to see what fees cost).
    pub cover_fees: bool,
    /// Ticks by which a quote may be off before it is moved.
    pub tolerance_ticks: i64,
}

impl Default for MarketMakerConfig {
    fn default() -> Self {
        Self {
            quote_value: Money::new(200 * Money::ONE.get()),
            position_value_max: Money::new(2_000 * Money::ONE.get()),
            risk_aversion: 0.05,
            fill_decay: 0.5,
            horizon_s: 1.0,
            margin: Rate::new(0),
            cover_fees: true,
            tolerance_ticks: 1,
        }
    }
}

/// The market maker. One serves all instruments; of each it keeps only what it last quoted, and its sizes.
pub struct MarketMaker {
    config: MarketMakerConfig,
    /// `ln(1 + γ/κ)/γ`, in ticks.
    base_half_spread: f64,
    kept: Box<[Kept]>,
}

/// What is kept of an instrument.
#[derive(Clone, Copy, Default)]
struct Kept {
    /// The newest quotes (bid, ask).
    quoted: [Option<Ticks>; 2],
    sizes: Sizes,
}

/// Quantities in lots, as of a price: the two divisions of 128 bits that they take are not made again while it stays.
#[derive(Clone, Copy, Default)]
struct Sizes {
    /// The bid that they were worked out for; zero at first, which is no price.
    at: Ticks,
    qty: i64,
    position_max: i64,
}

impl MarketMaker {
    /// Makes a market maker for `instruments` instruments.
    pub fn new(config: MarketMakerConfig, instruments: usize) -> Self {
        let gamma = config.risk_aversion;
        let base_half_spread = ln_1p(gamma / config.fill_decay) / gamma;
        Self { config, base_half_spread, kept: vec![Kept::default(); instruments].into_boxed_slice() }
    }

    /// Lots worth `value` at `px`, at least the instrument's minimum.
    fn lots_worth(value: Money, px: Ticks, spec: &InstrumentSpec) -> i64 {
        let one_lot = spec.quote_value(px, Lots::new(1)).get().max(1);
        i64::try_from(value.get() / one_lot).unwrap_or(i64::MAX)
    }
}

impl Strategy for MarketMaker {
    fn on_market(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        let (Some(bid), Some(ask)) = (view.touch.bid, view.touch.ask) else { return };
        let config = &self.config;
        let Some(Kept { quoted, sizes }) = self.kept.get_mut(view.instrument.idx()) else { return };
        if sizes.at != bid.px {
            *sizes = Sizes {
                at: bid.px,
                qty: Self::lots_worth(config.quote_value, bid.px, view.spec).max(view.spec.min_qty.get()),
                position_max: Self::lots_worth(config.position_value_max, bid.px, view.spec).max(1),
            };
        }
        let Sizes { qty, position_max, .. } = *sizes;
        let share = view.position.get() as f64 / position_max as f64;

        let fair = view.signals.microprice();
        wishes.forecast = Forecast::new(fair, (config.horizon_s * 1e9) as u64);
        let risk = config.risk_aversion * view.signals.variance_per_s(view.now) * config.horizon_s;
        let reservation = fair - share * risk;
        let fee = if config.cover_fees { view.spec.maker_fee.get() } else { 0 };
        let cost = fair * ((fee + config.margin.get()) as f64 / Rate::ONE.get() as f64);
        let half_spread = (risk * 0.5 + self.base_half_spread).max(cost).max(0.0);

        let bid_px = ((reservation - half_spread).floor() as i64).min(ask.px.get() - 1);
        let ask_px = ((reservation + half_spread).ceil() as i64).max(bid.px.get() + 1);
        for (side, px) in [(Side::Bid, bid_px), (Side::Ask, ask_px)] {
            let quoted = &mut quoted[side as usize];
            if px <= 0 || view.position.get() * side.sign() + qty > position_max {
                *quoted = None;
                wishes.no_quote(side);
                continue;
            }
            let is_close = quoted.is_some_and(|old| (old.get() - px).abs() <= config.tolerance_ticks);
            // A quote that the market has passed is moved whatever the tolerance says.
            let crosses = quoted.is_some_and(|old| match side {
                Side::Bid => old >= ask.px,
                Side::Ask => old <= bid.px,
            });
            let px = match *quoted {
                Some(old) if is_close && !crosses => old,
                _ => Ticks::new(px),
            };
            *quoted = Some(px);
            wishes.quote(side, px, Lots::new(qty));
        }
    }
}

/// `ln(1 + x)` for `x >= 0` by the series of `2·atanh(x / (2 + x))`: basic operations only, so that it is the same on any
/// machine. Called at construction.
fn ln_1p(x: f64) -> f64 {
    let z = x / (2.0 + x);
    let (mut sum, mut power) = (0.0, z);
    for n in 0..200 {
        sum += power / f64::from(2 * n + 1);
        power *= z * z;
    }
    2.0 * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::{L2Book, Touch};
    use crate::signal::{SignalConfig, Signals};
    use crate::strategy::Wish;
    use crate::types::{InstrumentId, Level, Nanos, Product, Step, Symbol, VenueId};

    fn wishes_at(position: i64, config: MarketMakerConfig) -> Wishes {
        wishes_of(&mut MarketMaker::new(config, 1), position, 600_000)
    }

    fn wishes_of(maker: &mut MarketMaker, position: i64, bid: i64) -> Wishes {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let symbol = Symbol::new(b"BTCUSDT").unwrap();
        let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
        let level = |px, qty| Some(Level { px: Ticks::new(px), qty: Lots::new(qty) });
        let touch = Touch { bid: level(bid, 50), ask: level(bid + 1, 50) };
        let mut signals = Signals::new(&SignalConfig::default());
        for i in 0..1000u64 {
            let wobble = (i % 2) as i64 * 4;
            let touch = Touch { bid: level(600_000 + wobble, 50), ask: level(600_001 + wobble, 50) };
            signals.on_touch(&touch, Nanos::new(i * 10_000_000));
        }
        let now = Nanos::new(10_000_000_000);
        signals.on_touch(&touch, now);
        let book = L2Book::new(128, 1);
        let view = View {
            instrument: InstrumentId(0),
            spec: &spec,
            now,
            touch: &touch,
            book: &book,
            signals: &signals,
            ticker: None,
            position: Lots::new(position),
            working: [Lots::ZERO; 2],
        };
        let mut wishes = Wishes::default();
        maker.on_market(&view, &mut wishes);
        wishes
    }

    fn px(wish: Wish) -> i64 {
        match wish {
            Wish::Quote { px, .. } => px.get(),
            other => panic!("should quote, wants {other:?}"),
        }
    }

    #[test]
    fn ln_1p_is_the_logarithm() {
        for x in [0.0, 0.001, 0.1, 1.0, 10.0] {
            assert!((ln_1p(x) - (1.0 + x).ln()).abs() < 1e-9, "{x}");
        }
    }

    #[test]
    fn quotes_lean_against_the_position() {
        let config = MarketMakerConfig { cover_fees: false, ..MarketMakerConfig::default() };
        let (flat, long) = (wishes_at(0, config), wishes_at(20, config));
        assert!(px(long.quotes[0]) < px(flat.quotes[0]));
        assert!(px(long.quotes[1]) < px(flat.quotes[1]));
        assert!(px(flat.quotes[0]) < px(flat.quotes[1]));
    }

    #[test]
    fn sizes_follow_the_price() {
        let config = MarketMakerConfig { cover_fees: false, ..MarketMakerConfig::default() };
        let mut maker = MarketMaker::new(config, 1);
        let size = |maker: &mut MarketMaker, bid| match wishes_of(maker, 0, bid).quotes[1] {
            Wish::Quote { qty, .. } => qty.get(),
            other => panic!("should quote, wants {other:?}"),
        };
        // 200 at 60,000.0, at 20,000.0, and back, in thousandths.
        assert_eq!([600_000, 200_000, 200_000, 600_000].map(|bid| size(&mut maker, bid)), [3, 10, 10, 3]);
    }

    #[test]
    fn fees_widen_the_quote_to_their_cost() {
        let wishes = wishes_at(0, MarketMakerConfig::default());
        // The maker fee of 2 bp of 60,000.0 is 12.0: 120 ticks on either side.
        assert!(px(wishes.quotes[0]) <= 600_000 - 119, "{wishes:?}");
        assert!(px(wishes.quotes[1]) >= 600_001 + 119, "{wishes:?}");
    }

    #[test]
    fn a_full_position_withdraws_the_side_that_would_grow_it() {
        let wishes = wishes_at(33, MarketMakerConfig { cover_fees: false, ..MarketMakerConfig::default() });
        assert_eq!(wishes.quotes[0], Wish::Nothing);
        assert!(matches!(wishes.quotes[1], Wish::Quote { .. }));
    }
}
