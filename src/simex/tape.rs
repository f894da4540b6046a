//! What the public is told of one instrument besides its book: trades, candles, the ticker.

use super::{
    candles::{Candle, Candles, Interval, Past, minute},
    config::{ListingConfig, ListingStatus},
    json,
    json::Obj,
    report::side_name,
};
use crate::{
    sim::{ThinMarket, Venue},
    types::{InstrumentId, InstrumentSpec, Level, Lots, Money, Nanos, Product, Rate, Side, Ticks},
};
use std::collections::VecDeque;

/// A trade of this venue, on its way to the public.
#[derive(Clone, Copy)]
pub(super) struct PublicTrade {
    pub instrument: InstrumentId,
    pub px: Ticks,
    pub qty: Lots,
    pub taker: Side,
    pub seq: u64,
    pub at: Nanos,
}

/// Funding of one instrument.
#[derive(Clone, Copy)]
pub(super) struct Funding {
    pub rate: Rate,
    pub interval_ns: u64,
}

impl Funding {
    /// Returns the first moment of payment after `now`.
    pub fn next(&self, now: Nanos) -> Nanos {
        let interval = self.interval_ns.max(1);
        Nanos::new((now.get() / interval).saturating_add(1).saturating_mul(interval))
    }
}

pub(super) struct Tape {
    instrument: InstrumentId,
    spec: InstrumentSpec,
    pub funding: Funding,
    /// A dated future's settlement.
    delivery_ms: Option<u64>,
    open_interest: Lots,
    candles: Candles,
    recent: VecDeque<Printed>,
    /// How many of the recent trades wait to be published.
    unpublished: usize,
    tick_direction: &'static str,
    trades_count: u64,
}

/// A trade as it was told.
struct Printed {
    trade: PublicTrade,
    id: u64,
    tick_direction: &'static str,
}

impl Tape {
    pub fn new(instrument: InstrumentId, listing: &ListingConfig, funding: Funding, now: Nanos) -> Self {
        let past = past_of(listing);
        Self {
            instrument,
            spec: listing.spec,
            funding,
            delivery_ms: listing.profile.delivery_ms,
            open_interest: listing.profile.open_interest,
            candles: Candles::new(listing.spec, past, now),
            recent: VecDeque::new(),
            unpublished: 0,
            tick_direction: "ZeroPlusTick",
            trades_count: 0,
        }
    }

    pub fn trades_count(&self) -> u64 {
        self.trades_count
    }

    /// Lots traded by this venue's own market, as far as they are remembered.
    #[cfg(test)]
    pub fn traded_since_opening(&self) -> Lots {
        self.recent.iter().fold(Lots::ZERO, |sum, printed| sum.saturating_add(printed.trade.qty))
    }

    pub fn on_trade(&mut self, trade: &PublicTrade, id: u64) {
        let last = self.recent.back().map(|printed| printed.trade.px);
        self.tick_direction = match (last.map(|last| trade.px.cmp(&last)), self.tick_direction) {
            (Some(std::cmp::Ordering::Greater), _) => "PlusTick",
            (Some(std::cmp::Ordering::Less), _) => "MinusTick",
            (_, "MinusTick" | "ZeroMinusTick") => "ZeroMinusTick",
            _ => "ZeroPlusTick",
        };
        self.candles.on_trade(trade.px, trade.qty, trade.at);
        self.trades_count += 1;
        // What waits to be published is never dropped; what was, is.
        if self.recent.len() >= RECENT_MAX && self.unpublished < self.recent.len() {
            self.recent.pop_front();
        }
        self.recent.push_back(Printed { trade: *trade, id, tick_direction: self.tick_direction });
        self.unpublished += 1;
    }

    /// Returns trades that were not published yet, as the stream tells them, oldest first, and counts them as published.
    pub fn take_unpublished(&mut self) -> Vec<String> {
        let from = self.recent.len().saturating_sub(self.unpublished);
        self.unpublished = 0;
        self.recent.iter().skip(from).map(|printed| self.streamed(printed)).collect()
    }

    /// Counts the trades so far as published: nobody follows.
    pub fn skip_unpublished(&mut self) {
        self.unpublished = 0;
    }

    fn streamed(&self, printed: &Printed) -> String {
        let Printed { trade, id, tick_direction } = printed;
        let object = Obj::new()
            .raw("T", trade.at.as_millis())
            .text("s", self.spec.symbol)
            .text("S", side_name(trade.taker))
            .text("v", json::qty(&self.spec, trade.qty))
            .text("p", json::px(&self.spec, trade.px));
        let object = if self.spec.product == Product::Spot { object } else { object.text("L", tick_direction) };
        let id = json::uuid(json::TRADES, *id);
        object.text("i", id).raw("BT", false).raw("RPI", false).raw("seq", trade.seq).done()
    }

    /// Returns the newest trades as REST tells them, newest first.
    pub fn recent(&self, count: usize) -> impl Iterator<Item = String> + '_ {
        self.recent.iter().rev().take(count).map(|Printed { trade, id, .. }| {
            Obj::new()
                .text("execId", json::uuid(json::TRADES, *id))
                .text("symbol", self.spec.symbol)
                .text("price", json::px(&self.spec, trade.px))
                .text("size", json::qty(&self.spec, trade.qty))
                .text("side", side_name(trade.taker))
                .text("time", trade.at.as_millis())
                .raw("isBlockTrade", false)
                .raw("isRPITrade", false)
                .text("seq", trade.seq)
                .done()
        })
    }

    /// Returns candles from the one that holds `from` to the one that holds `to`, newest first, never later than `now`.
    pub fn candles(&self, interval: Interval, from: Nanos, to: Nanos, limit: usize) -> Vec<Candle> {
        self.candles.of(interval, minute(from), minute(to), limit)
    }

    /// A candle as REST tells it.
    pub fn listed(&self, candle: &Candle) -> String {
        let px = |px| json::quoted(&json::px(&self.spec, px));
        let start = json::quoted(&(candle.start * 60_000).to_string());
        let [open, high, low, close] = [candle.open, candle.high, candle.low, candle.close].map(px);
        let volume = json::quoted(&json::qty(&self.spec, candle.volume));
        let turnover = json::quoted(&candle.turnover.to_string());
        json::array([start, open, high, low, close, volume, turnover])
    }

    /// A candle as the stream tells it.
    pub fn pushed(&self, interval: Interval, candle: &Candle, confirm: bool, now: Nanos) -> String {
        let px = |px| json::px(&self.spec, px);
        let last = self.recent.back().map_or(now, |printed| printed.trade.at);
        Obj::new()
            .raw("start", candle.start * 60_000)
            .raw("end", interval.end(candle.start) * 60_000 - 1)
            .text("interval", interval.name())
            .text("open", px(candle.open))
            .text("close", px(candle.close))
            .text("high", px(candle.high))
            .text("low", px(candle.low))
            .text("volume", json::qty(&self.spec, candle.volume))
            .text("turnover", candle.turnover)
            .raw("confirm", confirm)
            .raw("timestamp", last.as_millis())
            .done()
    }

    /// A ticker's fields but its symbol, in the venue's order; REST adds little that is not here.
    pub fn ticker_fields(
        &mut self,
        venue: &Venue,
        status: ListingStatus,
        now: Nanos,
    ) -> Option<Vec<(&'static str, String)>> {
        let (instrument, spec) = (self.instrument, &self.spec);
        let market = venue.market(instrument)?;
        let day = self.candles.day(now);
        let mark = venue.mark(instrument).unwrap_or_default();
        let printed = self.recent.back().map(|printed| printed.trade.px).or(day.map(|day| day.close));
        let last = venue.last_px(instrument).or(printed).unwrap_or(mark);
        let day = day.unwrap_or(Candle {
            start: 0,
            open: last,
            high: last,
            low: last,
            close: last,
            volume: Lots::ZERO,
            turnover: Money::ZERO,
        });
        let (high, low) = (day.high.max(last), day.low.min(last));
        let px = |px: Ticks| json::px(spec, px);
        let change_e6 = match day.open {
            Ticks::ZERO => 0,
            open => last.saturating_diff(open).saturating_mul(1_000_000) / open.get(),
        };
        let change = Money::new(i128::from(change_e6) * 1_000_000).to_string();
        if spec.product == Product::Spot {
            return Some(vec![
                ("lastPrice", px(last)),
                ("highPrice24h", px(high)),
                ("lowPrice24h", px(low)),
                ("prevPrice24h", px(day.open)),
                ("volume24h", json::qty(spec, day.volume)),
                ("turnover24h", day.turnover.to_string()),
                ("price24hPcnt", change),
                ("usdIndexPrice", px(mark)),
            ]);
        }
        let hour = now.saturating_sub(3_600_000_000_000);
        let hour_ago = self.candles.of(Interval::Minutes(1), minute(hour), minute(hour), 1);
        let prev_1h = hour_ago.first().map_or(day.open, |candle| candle.close);
        let level_px = |level: Option<Level>| level.map(|level| px(level.px)).unwrap_or_default();
        let level_qty = |level: Option<Level>| level.map(|level| json::qty(spec, level.qty)).unwrap_or_default();
        let (bid, ask) = (market.best(Side::Bid), market.best(Side::Ask));
        // Dated futures pay no funding.
        let funding = |text: String| if self.delivery_ms.is_some() { String::new() } else { text };
        let phase = if status == ListingStatus::PreLaunch { "NotStarted" } else { "" };
        Some(vec![
            ("tickDirection", self.tick_direction.to_owned()),
            ("price24hPcnt", change),
            ("lastPrice", px(last)),
            ("prevPrice24h", px(day.open)),
            ("highPrice24h", px(high)),
            ("lowPrice24h", px(low)),
            ("prevPrice1h", px(prev_1h)),
            ("markPrice", px(mark)),
            ("indexPrice", px(mark)),
            ("openInterest", json::qty(spec, self.open_interest)),
            ("openInterestValue", spec.notional(mark, self.open_interest).to_string()),
            ("turnover24h", day.turnover.to_string()),
            ("volume24h", json::qty(spec, day.volume)),
            ("fundingIntervalHour", funding((self.funding.interval_ns / 3_600_000_000_000).to_string())),
            ("fundingCap", funding("0.00375".to_owned())),
            ("nextFundingTime", funding(self.funding.next(now).as_millis().to_string())),
            ("fundingRate", funding(self.funding.rate.to_string())),
            ("bid1Price", level_px(bid)),
            ("bid1Size", level_qty(bid)),
            ("ask1Price", level_px(ask)),
            ("ask1Size", level_qty(ask)),
            ("preOpenPrice", String::new()),
            ("preQty", String::new()),
            ("curPreListingPhase", phase.to_owned()),
        ])
    }

    pub fn delivery_ms(&self) -> Option<u64> {
        self.delivery_ms
    }
}

/// The past that a listing's own market continues.
fn past_of(listing: &ListingConfig) -> Option<Past> {
    let seed = listing.profile.past_seed?;
    if matches!(listing.profile.status, ListingStatus::PreLaunch) {
        return None;
    }
    let (deviation_e8, volume_e4) = match listing.profile.thin {
        Some(style) => {
            let unit = listing.unit;
            let market = ThinMarket { instrument: InstrumentId(0), start_px: listing.start_px, unit, style };
            // A thousand minutes' lots, so that little is lost to rounding.
            (style.deviation_e8, market.expected_lots(1_000 * MINUTE_NS).saturating_mul(10))
        }
        None => (listing.ticks_per_second * 256, listing.unit.get().saturating_mul(CROWD_UNITS_PER_MINUTE * 10_000)),
    };
    Some(Past {
        seed,
        px: listing.start_px,
        // The root of 60 seconds is 7.746.
        deviation_e8: deviation_e8.saturating_mul(7_746) / 1_000,
        volume_e4,
        minutes: (listing.profile.age_ns.unwrap_or(u64::MAX) / MINUTE_NS).min(PAST_MINUTES_MAX),
    })
}

const MINUTE_NS: u64 = 60_000_000_000;

/// Some 200 days: walking them takes some milliseconds.
const PAST_MINUTES_MAX: u64 = 288_000;

/// What a whole crowd trades, in its ordinary sizes, as measured; `tickers_tell_what_the_markets_trade` holds it to that.
const CROWD_UNITS_PER_MINUTE: i64 = 1_000;

/// The most that REST tells.
const RECENT_MAX: usize = 1_000;
