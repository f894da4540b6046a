//! What a trade is expected to earn once everything that it costs is paid.
//!
//! ```text
//! net = move − fees of both sides − half spread of leaving − slippage − funding until then − margin of doubt
//! ```
//!
//! Everything but the forecast is an integer and rounded against us; the forecast is a price in thousandths of a tick.

use crate::book::Touch;
use crate::strategy::Forecast;
use crate::types::{InstrumentSpec, Lots, Money, Nanos, Rate, Side, Ticker, Ticks};

/// The bar that a trade has to clear, and how it is protected once it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeConfig {
    /// Least that a trade must be expected to earn, net; `None`: nothing is asked.
    pub bar: Option<Money>,
    /// Whether a trade is left by an order that takes, and pays for that; else by one that rests at the price that is forecast.
    pub exit_takes: bool,
    /// Share of a trade's value by which every forecast is taken to be worse than it says.
    pub margin: Rate,
    /// Slippage of an order that takes, as a share of its value, until some was measured.
    pub slippage: Rate,
    /// Greatest rate of a funding payment: what counts where the next one is not known.
    pub funding_cap: Rate,
    /// Trades that must have ended before their shortfall counts.
    pub tighten_from: u32,
    /// Standard errors of the mean shortfall that are added to it, in hundredths.
    pub confidence_e2: u32,
    /// Most that a trade may lose before it is left; `None`: no bound.
    pub loss_max: Option<Money>,
    /// Longest time in a trade, in nanoseconds; `None`: no end.
    pub hold_max_ns: Option<u64>,
    /// Net profit from which on a trade is left when that has gone back to nothing; `None`: never.
    pub break_even_from: Option<Money>,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            bar: None,
            exit_takes: true,
            margin: Rate::new(10_000),
            slippage: Rate::new(10_000),
            funding_cap: Rate::new(750_000),
            tighten_from: 10,
            confidence_e2: 164,
            loss_max: None,
            hold_max_ns: None,
            break_even_from: None,
        }
    }
}

/// An order that would open or grow a position, and the market that it meets.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The instrument.
    pub spec: &'a InstrumentSpec,
    /// The touch.
    pub touch: &'a Touch,
    /// Reference prices and funding, as far as they were told.
    pub ticker: Option<&'a Ticker>,
    /// Engine time.
    pub now: Nanos,
    /// Direction.
    pub side: Side,
    /// Limit price.
    pub px: Ticks,
    /// Quantity.
    pub qty: Lots,
    /// Whether it takes.
    pub takes: bool,
    /// What the strategy expects.
    pub forecast: Forecast,
}

/// What costs beyond fees were measured so far, as shares of value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubt {
    /// How much worse than the touch at the decision an order that takes is filled.
    pub slippage: Rate,
    /// By how much trades fell short of what was expected of them.
    pub shortfall: Rate,
}

/// The parts of an expectation. Costs are amounts above zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// From the order's price to the price that is forecast, at the mid; negative: against us.
    pub gain: Money,
    /// Fees of opening and of closing.
    pub fees: Money,
    /// Half the spread, which leaving costs whoever takes.
    pub half_spread: Money,
    /// Slippage of what takes.
    pub slippage: Money,
    /// The funding payment, if one may be due before the exit that is expected; what would be received is not counted.
    pub funding: Money,
    /// Doubt about the forecast: what is configured, and what was measured.
    pub margin: Money,
}

impl Estimate {
    /// What is left.
    pub const fn net(&self) -> Money {
        self.gain
            .saturating_sub(self.fees)
            .saturating_sub(self.half_spread)
            .saturating_sub(self.slippage)
            .saturating_sub(self.funding)
            .saturating_sub(self.margin)
    }
}

impl EdgeConfig {
    /// What `opening` is expected to earn.
    pub(super) fn estimate(&self, opening: &Opening<'_>, doubt: &Doubt) -> Estimate {
        let &Opening { spec, side, px, qty, .. } = opening;
        let exit_e3 = opening.forecast.exit_px_e3();
        let value = spec.notional(px, qty);
        let exit_px = exit_e3.div_euclid(1000).saturating_add(1).max(px.get());
        let exit_value = spec.notional(Ticks::new(exit_px), qty);
        let lots = spec.tick_lot_value.get().saturating_mul(i128::from(qty.get()));

        let moved_e3 = i128::from(exit_e3) - i128::from(px.get()) * 1000;
        let gain = (moved_e3 * i128::from(side.sign())).saturating_mul(lots).div_euclid(1000);
        let entry_fee = if opening.takes { spec.taker_fee } else { spec.maker_fee };
        let exit_fee = if self.exit_takes { spec.taker_fee } else { spec.maker_fee };
        let fees = value.share_rounded_up(entry_fee).saturating_add(exit_value.share_rounded_up(exit_fee));
        let spread = match (self.exit_takes.then_some(()), opening.touch.bid, opening.touch.ask) {
            (None, ..) => 0,
            (_, Some(bid), Some(ask)) => i128::from(ask.px.saturating_diff(bid.px).max(0)),
            // No way out is known: all of it.
            _ => 2 * i128::from(px.get()),
        };
        let half_spread = Money::new(spread.saturating_mul(lots).saturating_add(1) / 2);
        let taken = match (opening.takes, self.exit_takes) {
            (true, true) => value.saturating_add(exit_value),
            (true, false) => value,
            (false, true) => exit_value,
            (false, false) => Money::ZERO,
        };
        Estimate {
            gain: Money::new(gain),
            fees,
            half_spread,
            slippage: taken.share_rounded_up(doubt.slippage),
            funding: exit_value.share_rounded_up(self.funding(opening)),
            margin: value.share_rounded_up(Rate::new(self.margin.get().saturating_add(doubt.shortfall.get()))),
        }
    }

    /// Rate of the funding payment that may fall into the trade; a rate that is not known counts as the cap.
    fn funding(&self, opening: &Opening<'_>) -> Rate {
        let until = opening.now.saturating_add(opening.forecast.hold_ns());
        match opening.ticker {
            Some(ticker) if ticker.next_funding > opening.now => {
                let rate = ticker.funding_rate.get().saturating_mul(opening.side.sign());
                if ticker.next_funding <= until { Rate::new(rate.clamp(0, Rate::ONE.get())) } else { Rate::ZERO }
            }
            // Spot pays none, and needs no word of it.
            _ if opening.spec.product == crate::types::Product::Spot => Rate::ZERO,
            _ => self.funding_cap,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::types::{Level, Meta, Product, Step, Symbol, VenueId};

    pub fn spec() -> InstrumentSpec {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let symbol = Symbol::new(b"BTCUSDT").unwrap();
        InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap()
    }

    pub fn touch(bid: i64, ask: i64) -> Touch {
        let level = |px| Some(Level { px: Ticks::new(px), qty: Lots::new(50) });
        Touch { bid: level(bid), ask: level(ask) }
    }

    pub fn ticker(rate: i64, next: u64) -> Ticker {
        Ticker {
            meta: Meta::default(),
            mark_px: Money::ZERO,
            index_px: Money::ZERO,
            last_px: Ticks::ZERO,
            funding_rate: Rate::new(rate),
            next_funding: Nanos::new(next),
        }
    }

    fn money(text: &str) -> Money {
        Money::parse(text.as_bytes()).unwrap()
    }

    /// One whole coin bought at 60,000.2 with the market at 60,000.0 to 60,000.2, 60,100.0 expected: by hand.
    #[test]
    fn every_cost_is_counted_once() {
        let (spec, touch, ticker) = (spec(), touch(600_000, 600_002), ticker(10_000, 2_000));
        let opening = Opening {
            spec: &spec,
            touch: &touch,
            ticker: Some(&ticker),
            now: Nanos::new(1_000),
            side: Side::Bid,
            px: Ticks::new(600_002),
            qty: Lots::new(1_000),
            takes: true,
            forecast: Forecast::new(601_000.0, 1_000).unwrap(),
        };
        let config = EdgeConfig::default();
        let doubt = Doubt { slippage: Rate::new(20_000), shortfall: Rate::new(5_000) };
        let found = config.estimate(&opening, &doubt);
        // The price of leaving is rounded up to the next tick for what depends on its value.
        let want = Estimate {
            gain: money("99.8"),
            fees: money("33.00011").saturating_add(money("33.055055")),
            half_spread: money("0.1"),
            slippage: money("24.02006"),
            funding: money("6.01001"),
            margin: money("9.00003"),
        };
        assert_eq!(found, want);
        assert_eq!(found.net(), money("-5.385265"));
        // The same as a maker, with the payment beyond the exit, and without doubt.
        let later = ticker_at(2_001);
        let opening = Opening { takes: false, ticker: Some(&later), ..opening };
        let found = EdgeConfig { margin: Rate::ZERO, ..config }.estimate(&opening, &Doubt::default());
        assert_eq!(found.fees, money("12.00004").saturating_add(money("33.055055")));
        assert_eq!((found.funding, found.slippage, found.margin), (Money::ZERO, Money::ZERO, Money::ZERO));
        // Left by an order that rests: its fee, and neither spread nor slippage.
        let found = EdgeConfig { exit_takes: false, ..config }.estimate(&opening, &doubt);
        assert_eq!(found.fees, money("12.00004").saturating_add(money("12.02002")));
        assert_eq!((found.half_spread, found.slippage), (Money::ZERO, Money::ZERO));
    }

    fn ticker_at(next: u64) -> Ticker {
        ticker(10_000, next)
    }

    #[test]
    fn what_is_not_known_costs_the_most() {
        let (spec, whole, half) = (spec(), touch(600_000, 600_002), Touch { ask: None, ..touch(600_000, 600_002) });
        fn opening<'a>(spec: &'a InstrumentSpec, touch: &'a Touch, ticker: Option<&'a Ticker>) -> Opening<'a> {
            let forecast = Forecast::new(590_000.0, 1_000).unwrap();
            let (now, px, qty) = (Nanos::new(1_000), Ticks::new(600_000), Lots::new(1));
            Opening { spec, touch, ticker, now, side: Side::Ask, px, qty, takes: true, forecast }
        }
        let config = EdgeConfig::default();
        let estimate = |touch, told: Option<(i64, u64)>| {
            let ticker = told.map(|(rate, next)| ticker(rate, next));
            config.estimate(&opening(&spec, touch, ticker.as_ref()), &Doubt::default())
        };
        let cap = spec.notional(Ticks::new(600_000), Lots::new(1)).share_rounded_up(config.funding_cap);
        assert_eq!(estimate(&whole, None).funding, cap);
        assert_eq!(estimate(&whole, Some((10_000, 1_000))).funding, cap, "the last one is over, the next unknown");
        assert_eq!(estimate(&whole, Some((10_000, 1_500))).funding, Money::ZERO, "shorts receive it");
        assert!(estimate(&whole, Some((-10_000, 1_500))).funding > Money::ZERO, "shorts pay it");
        assert!(estimate(&half, None).net() < Money::ZERO);
    }
}
