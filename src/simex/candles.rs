//! Candles: of the trades since the opening, and of a past that never was.
//!
//! The past is a random walk backwards from the price at the opening, a minute a step, from a seed alone; so the day that a ticker
//! tells and the candles of any interval agree without being kept.

use crate::{
    sim::Rng,
    types::{InstrumentSpec, Lots, Money, Nanos, Ticks},
};
use std::collections::VecDeque;

/// One candle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candle {
    /// Minutes since the epoch.
    pub start: u64,
    pub open: Ticks,
    pub high: Ticks,
    pub low: Ticks,
    pub close: Ticks,
    pub volume: Lots,
    pub turnover: Money,
}

impl Candle {
    fn flat(start: u64, px: Ticks) -> Self {
        let (volume, turnover) = (Lots::ZERO, Money::ZERO);
        Self { start, open: px, high: px, low: px, close: px, volume, turnover }
    }

    /// Joins an older candle to this one, which keeps its close.
    fn join_older(&mut self, older: &Self) {
        self.start = older.start;
        self.open = older.open;
        self.high = self.high.max(older.high);
        self.low = self.low.min(older.low);
        self.volume = self.volume.saturating_add(older.volume);
        self.turnover = self.turnover.saturating_add(older.turnover);
    }
}

/// Prices and volumes before the opening.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    pub seed: u64,
    /// The price at the opening.
    pub px: Ticks,
    /// Standard deviation of a minute, in 1/256 of a tick.
    pub deviation_e8: i64,
    /// Ten-thousandths of lots that trade in a minute on average.
    pub volume_e4: i64,
    /// How many minutes of it there are.
    pub minutes: u64,
}

impl Past {
    /// Walks back from the minute before `opened`.
    fn candles(&self, spec: InstrumentSpec, opened: u64) -> impl Iterator<Item = Candle> + use<> {
        let past = *self;
        let mut rng = Rng::new(past.seed);
        let floor_e8 = past.px.get().saturating_mul(256) / 10;
        let mut close_e8 = past.px.get().saturating_mul(256);
        (1..=past.minutes.min(opened)).map(move |back| {
            let close = Ticks::new(close_e8 / 256);
            let share = rng.between(0, 20_000);
            let lots_e8 = i128::from(past.volume_e4) * i128::from(share) + i128::from(rng.below(100_000_000));
            let volume = Lots::new(i64::try_from(lots_e8 / 100_000_000).unwrap_or(i64::MAX));
            let moved = rng.bell(past.deviation_e8);
            let beyond = rng.bell(past.deviation_e8).abs() / 256;
            let before = close_e8.saturating_sub(moved).max(floor_e8);
            close_e8 = before;
            if volume.is_zero() {
                return Candle::flat(opened - back, close);
            }
            let open = Ticks::new(before / 256);
            Candle {
                start: opened - back,
                open,
                high: open.max(close).saturating_add(beyond / 2),
                low: open.min(close).saturating_add(-(beyond / 2)).max(Ticks::new(1)),
                close,
                volume,
                turnover: spec.notional(close, volume),
            }
        })
    }
}

/// An instrument's candles.
pub(super) struct Candles {
    spec: InstrumentSpec,
    past: Option<Past>,
    /// The minute of the opening.
    opened: u64,
    /// Minutes with trades since then, oldest first.
    minutes: VecDeque<Candle>,
    /// What the last day held before the minute at which it was computed.
    day: Option<(u64, Candle)>,
}

impl Candles {
    pub fn new(spec: InstrumentSpec, past: Option<Past>, now: Nanos) -> Self {
        Self { spec, past, opened: minute(now), minutes: VecDeque::new(), day: None }
    }

    /// Takes a trade.
    pub fn on_trade(&mut self, px: Ticks, qty: Lots, at: Nanos) {
        let start = minute(at);
        let turnover = self.spec.notional(px, qty);
        if let Some(last) = self.minutes.back_mut().filter(|last| last.start >= start) {
            (last.high, last.low, last.close) = (last.high.max(px), last.low.min(px), px);
            last.volume = last.volume.saturating_add(qty);
            last.turnover = last.turnover.saturating_add(turnover);
            return;
        }
        if self.minutes.len() >= MINUTES_MAX {
            self.minutes.pop_front();
        }
        self.minutes.push_back(Candle { volume: qty, turnover, ..Candle::flat(start, px) });
    }

    /// Returns the minute candles, newest first, those without trades left out after the opening.
    fn newest_first(&self) -> impl Iterator<Item = Candle> + '_ {
        let past = self.past.map(|past| past.candles(self.spec, self.opened));
        self.minutes.iter().rev().copied().chain(past.into_iter().flatten())
    }

    /// Returns the last 24 hours as one candle, `None` if nothing ever traded in them.
    pub fn day(&mut self, now: Nanos) -> Option<Candle> {
        let now = minute(now);
        let first = now.saturating_sub(DAY_MINUTES - 1);
        if self.day.is_none_or(|(at, _)| at != now) {
            let mut all = self.newest_first().skip_while(|candle| candle.start >= now);
            self.day = all.next().filter(|newest| newest.start >= first).map(|newest| {
                let older = all.take_while(|candle| candle.start >= first);
                (
                    now,
                    older.fold(newest, |mut day, older| {
                        day.join_older(&older);
                        day
                    }),
                )
            });
        }
        let current = self.minutes.back().filter(|last| last.start >= now).copied();
        match (current, self.day) {
            (Some(mut current), Some((_, day))) => {
                current.join_older(&day);
                Some(current)
            }
            (current, day) => current.or(day.map(|(_, day)| day)),
        }
    }

    /// Returns candles of an interval from the one that holds minute `to` back to the one that holds minute `from`, newest first, at
    /// most `limit`. Intervals without a trade repeat the close before them; there is nothing before the first trade.
    pub fn of(&self, interval: Interval, from: u64, to: u64, limit: usize) -> Vec<Candle> {
        let mut list: Vec<Candle> = Vec::new();
        let mut slot = interval.start(to);
        let (from, end) = (interval.start(from), interval.end(slot));
        let mut minutes = self.newest_first().skip_while(|candle| candle.start >= end).peekable();
        while slot >= from && list.len() < limit {
            let Some(newest) = minutes.peek().copied() else { break };
            let mut candle = Candle::flat(slot, newest.close);
            if newest.start >= slot {
                candle = newest;
                minutes.next();
                while let Some(older) = minutes.next_if(|older| older.start >= slot) {
                    candle.join_older(&older);
                }
                candle.start = slot;
            }
            list.push(candle);
            let Some(before) = slot.checked_sub(1) else { break };
            slot = interval.start(before);
        }
        list
    }
}

/// The length of a candle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Interval {
    /// So many minutes, counted from midnight UTC.
    Minutes(u16),
    /// From Monday on.
    Week,
    /// A month of the calendar.
    Month,
}

impl Interval {
    /// Reads the venue's name of an interval.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "D" => Some(Self::Minutes(1_440)),
            "W" => Some(Self::Week),
            "M" => Some(Self::Month),
            "1" | "3" | "5" | "15" | "30" | "60" | "120" | "240" | "360" | "720" => {
                name.parse().ok().map(Self::Minutes)
            }
            _ => None,
        }
    }

    pub fn name(self) -> String {
        match self {
            Self::Minutes(1_440) => "D".to_owned(),
            Self::Minutes(minutes) => minutes.to_string(),
            Self::Week => "W".to_owned(),
            Self::Month => "M".to_owned(),
        }
    }

    /// Returns the first minute of the interval that holds `minute`.
    pub fn start(self, minute: u64) -> u64 {
        match self {
            Self::Minutes(length) => minute / u64::from(length) * u64::from(length),
            // The epoch was a Thursday, three days after a Monday.
            Self::Week => {
                ((minute + 3 * DAY_MINUTES) / (7 * DAY_MINUTES) * (7 * DAY_MINUTES)).saturating_sub(3 * DAY_MINUTES)
            }
            Self::Month => {
                let day = minute / DAY_MINUTES;
                (day - u64::from(day_of_month(day)) + 1) * DAY_MINUTES
            }
        }
    }

    /// Returns the first minute after the interval that starts at `start`.
    pub fn end(self, start: u64) -> u64 {
        match self {
            Self::Minutes(length) => start + u64::from(length),
            Self::Week => start + 7 * DAY_MINUTES,
            // The 32nd of a month lies in the next one.
            Self::Month => self.start(start + 31 * DAY_MINUTES),
        }
    }
}

/// The day of the month, from 1, of a day since the epoch: the calendar of Howard Hinnant's `civil_from_days`.
fn day_of_month(day: u64) -> u32 {
    let of_era = (day + 719_468) % 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    (of_year - (153 * month + 2) / 5 + 1) as u32
}

/// Minutes since the epoch.
pub(super) fn minute(at: Nanos) -> u64 {
    at.get() / 60_000_000_000
}

const DAY_MINUTES: u64 = 1_440;

/// A little more than a day of minutes: what tickers tell.
const MINUTES_MAX: usize = 1_500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Product, Step, Symbol, VenueId};

    const NOW: Nanos = Nanos::from_millis(1_711_001_595_207);

    fn spec() -> InstrumentSpec {
        let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
        let symbol = Symbol::new(b"BTCUSDT").unwrap();
        InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap()
    }

    fn past() -> Past {
        Past { seed: 3, px: Ticks::new(600_000), deviation_e8: 60 * 256, volume_e4: 400_000, minutes: 3_000 }
    }

    #[test]
    fn intervals_start_where_the_calendar_says() {
        // Thursday, 29 February 2024, 13:47 UTC.
        let at = 1_709_214_420 / 60;
        let text = |minute: u64| minute * 60;
        assert_eq!(text(Interval::parse("15").unwrap().start(at)), 1_709_214_300);
        assert_eq!(text(Interval::parse("240").unwrap().start(at)), 1_709_208_000);
        assert_eq!(text(Interval::parse("D").unwrap().start(at)), 1_709_164_800);
        assert_eq!(text(Interval::Week.start(at)), 1_708_905_600, "Monday the 26th");
        assert_eq!(text(Interval::Month.start(at)), 1_706_745_600, "the 1st");
        assert_eq!(text(Interval::Month.end(Interval::Month.start(at))), 1_709_251_200, "March 1st");
        assert_eq!(Interval::parse("7"), None);
    }

    #[test]
    fn every_interval_sums_up_the_same_minutes() {
        let mut candles = Candles::new(spec(), Some(past()), NOW);
        for step in 0..500 {
            let at = NOW.saturating_add(step * 1_000_000_000);
            candles.on_trade(Ticks::new(600_000 + step as i64 % 7), Lots::new(3), at);
        }
        let to = minute(NOW) + 8;
        let minutes = candles.of(Interval::Minutes(1), to - 600, to, 1_000);
        for interval in [Interval::Minutes(5), Interval::Minutes(60), Interval::Minutes(240)] {
            for candle in candles.of(interval, to - 300, to, 1_000) {
                let end = interval.end(candle.start);
                let inside: Vec<_> = minutes.iter().filter(|one| (candle.start..end).contains(&one.start)).collect();
                assert_eq!(candle.volume, inside.iter().fold(Lots::ZERO, |sum, one| sum.saturating_add(one.volume)));
                assert_eq!(candle.high, inside.iter().map(|one| one.high).max().unwrap());
                assert_eq!(candle.close, inside[0].close);
                assert_eq!(candle.open, inside[inside.len() - 1].open);
                assert!(candle.low <= candle.open && candle.high >= candle.close);
            }
        }
        let day = candles.day(NOW.saturating_add(499 * 1_000_000_000)).unwrap();
        let all = candles.of(Interval::Minutes(1), to - 1_439, to, 2_000);
        assert_eq!(day.volume, all.iter().fold(Lots::ZERO, |sum, one| sum.saturating_add(one.volume)));
        assert_eq!((day.open, day.close), (all[all.len() - 1].open, all[0].close));
    }

    #[test]
    fn quiet_minutes_repeat_the_close_and_nothing_comes_before_the_first_trade() {
        let mut candles = Candles::new(spec(), None, NOW);
        assert!(candles.of(Interval::Minutes(1), 0, minute(NOW), 10).is_empty());
        assert_eq!(candles.day(NOW), None);
        candles.on_trade(Ticks::new(5), Lots::new(1), NOW);
        candles.on_trade(Ticks::new(9), Lots::new(2), NOW.saturating_add(180_000_000_000));
        let list = candles.of(Interval::Minutes(1), 0, minute(NOW) + 4, 10);
        let closes: Vec<_> = list.iter().map(|candle| (candle.close.get(), candle.volume.get())).collect();
        assert_eq!(closes, [(9, 0), (9, 2), (5, 0), (5, 0), (5, 1)]);
    }

    #[test]
    fn the_past_trades_what_it_is_told_to() {
        let sum: i64 = past().candles(spec(), minute(NOW)).map(|candle| candle.volume.get()).sum();
        assert!((110_000..130_000).contains(&sum), "3,000 minutes of 40 lots: {sum}");
    }
}
