//! The public streams of a market that this venue makes itself: books, trades and tickers.
//!
//! A book topic remembers what it last published; its deltas are the difference to that, numbered without gaps, and a new subscriber's
//! snapshot is that same state, so that the next delta fits it.

use super::{json, json::Obj, objects};
use crate::{
    sim::{Market, Venue},
    types::{InstrumentId, InstrumentSpec, Level, Lots, Money, Nanos, Product, Rate, Side, Ticks},
};
use std::collections::BTreeMap;

/// What can be subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// `orderbook.{depth}.{symbol}`
    Book { instrument: InstrumentId, depth: u16 },
    /// `publicTrade.{symbol}`
    Trades(InstrumentId),
    /// `tickers.{symbol}`
    Ticker(InstrumentId),
    /// Whatever a capture calls by this name, by its place in the capture's list.
    Captured(u32),
}

impl Topic {
    /// Reads a topic of a product.
    pub fn parse(text: &str, venue: &Venue) -> Option<Self> {
        let (family, symbol) = text.rsplit_once('.')?;
        let instrument = venue.find(symbol)?;
        match family {
            "publicTrade" => Some(Self::Trades(instrument)),
            "tickers" => Some(Self::Ticker(instrument)),
            _ => {
                let depth = family.strip_prefix("orderbook.")?.parse().ok()?;
                DEPTHS.iter().any(|(known, _)| *known == depth).then_some(Self::Book { instrument, depth })
            }
        }
    }
}

/// A trade of this venue, on its way to the public.
pub(super) struct PublicTrade {
    pub instrument: InstrumentId,
    pub px: Ticks,
    pub qty: Lots,
    pub taker: Side,
    pub seq: u64,
    pub at: Nanos,
}

/// A frame for everyone who subscribed to a topic.
pub(super) type Frame = (Topic, String);

pub(super) struct PublicFeed {
    books: BTreeMap<(InstrumentId, u16), BookTopic>,
    instruments: Vec<Stats>,
    funding_interval_ns: u64,
    funding_rate: Rate,
    trade_ids: u64,
}

#[derive(Default)]
struct BookTopic {
    bids: Vec<Level>,
    asks: Vec<Level>,
    u: u64,
    seq: u64,
    sent: Nanos,
    due: Nanos,
    /// Whether anyone has been following; otherwise the state is old and no delta refers to it.
    live: bool,
    /// To be sent in full next, and whether its numbers start over.
    resend: Option<bool>,
}

/// What tickers tell of an instrument.
struct Stats {
    open_px: Option<Ticks>,
    high_px: Ticks,
    low_px: Ticks,
    volume: Lots,
    turnover: Money,
    last_px: Option<Ticks>,
    tick_direction: &'static str,
    trades: Vec<String>,
    trades_count: u64,
    ticker: Vec<(&'static str, String)>,
    ticker_due: Nanos,
}

impl PublicFeed {
    pub fn new(instruments: usize, funding_rate: Rate, funding_interval_ns: u64) -> Self {
        let stats = || Stats {
            open_px: None,
            high_px: Ticks::ZERO,
            low_px: Ticks::ZERO,
            volume: Lots::ZERO,
            turnover: Money::ZERO,
            last_px: None,
            tick_direction: "ZeroPlusTick",
            trades: Vec::new(),
            trades_count: 0,
            ticker: Vec::new(),
            ticker_due: Nanos::ZERO,
        };
        Self {
            books: BTreeMap::new(),
            instruments: (0..instruments).map(|_| stats()).collect(),
            funding_interval_ns: funding_interval_ns.max(1),
            funding_rate,
            trade_ids: 0,
        }
    }

    pub fn trades_count(&self, instrument: InstrumentId) -> u64 {
        self.instruments.get(instrument.idx()).map_or(0, |stats| stats.trades_count)
    }

    pub fn next_funding(&self, now: Nanos) -> Nanos {
        Nanos::new((now.get() / self.funding_interval_ns).saturating_add(1).saturating_mul(self.funding_interval_ns))
    }

    /// What a new subscriber gets first.
    pub fn first_frame(&mut self, venue: &Venue, topic: Topic, now: Nanos) -> Option<String> {
        match topic {
            Topic::Book { instrument, depth } => {
                let spec = venue.spec(instrument)?;
                self.start_book(venue, instrument, depth, now)?;
                let book = self.books.get(&(instrument, depth))?;
                Some(book_frame(spec, depth, "snapshot", &book.bids, &book.asks, book.u, book.seq, now))
            }
            Topic::Ticker(instrument) => {
                let fields = self.ticker_fields(venue, instrument, now)?;
                let stats = self.instruments.get_mut(instrument.idx())?;
                // Others get as a delta what changed since theirs; this one starts from the same state.
                if stats.ticker.is_empty() {
                    stats.ticker = fields;
                    stats.ticker_due = now.saturating_add(TICKER_NS);
                }
                ticker_frame(
                    venue.spec(instrument)?,
                    "snapshot",
                    &stats.ticker,
                    venue.market(instrument)?.version(),
                    now,
                )
            }
            Topic::Trades(_) | Topic::Captured(_) => None,
        }
    }

    /// Forgets a topic that nobody follows any more.
    pub fn stop(&mut self, topic: Topic) {
        match topic {
            Topic::Book { instrument, depth } => {
                if let Some(book) = self.books.get_mut(&(instrument, depth)) {
                    book.live = false;
                }
            }
            Topic::Ticker(instrument) => {
                if let Some(stats) = self.instruments.get_mut(instrument.idx()) {
                    stats.ticker.clear();
                }
            }
            Topic::Trades(_) | Topic::Captured(_) => {}
        }
    }

    /// Sends every book in full next, numbered on, or from 1 as after a restart of the service.
    pub fn resend(&mut self, is_restart: bool) {
        let is_meant = |book: &&mut BookTopic| book.live || is_restart;
        self.books.values_mut().filter(is_meant).for_each(|book| book.resend = Some(is_restart));
    }

    /// Takes a trade of the venue.
    pub fn on_trade(&mut self, spec: &InstrumentSpec, trade: &PublicTrade) {
        let PublicTrade { instrument, px, qty, taker, seq, at } = *trade;
        self.trade_ids += 1;
        let Some(stats) = self.instruments.get_mut(instrument.idx()) else { return };
        stats.tick_direction = match (stats.last_px.map(|last| px.cmp(&last)), stats.tick_direction) {
            (Some(std::cmp::Ordering::Greater), _) => "PlusTick",
            (Some(std::cmp::Ordering::Less), _) => "MinusTick",
            (_, "MinusTick" | "ZeroMinusTick") => "ZeroMinusTick",
            _ => "ZeroPlusTick",
        };
        stats.open_px.get_or_insert(px);
        stats.high_px = stats.high_px.max(px);
        stats.low_px = if stats.low_px == Ticks::ZERO { px } else { stats.low_px.min(px) };
        stats.volume = stats.volume.saturating_add(qty);
        stats.turnover = stats.turnover.saturating_add(spec.notional(px, qty));
        stats.last_px = Some(px);
        stats.trades_count += 1;
        let trade = Obj::new()
            .raw("T", at.as_millis())
            .text("s", spec.symbol)
            .text("S", super::report::side_name(taker))
            .text("v", json::qty(spec, qty))
            .text("p", json::px(spec, px));
        let trade = if spec.product == Product::Spot { trade } else { trade.text("L", stats.tick_direction) };
        let id = json::uuid(json::TRADES, self.trade_ids);
        stats.trades.push(trade.text("i", id).raw("BT", false).raw("RPI", false).raw("seq", seq).done());
    }

    /// Publishes what is due on the topics that `active` names.
    pub fn poll(
        &mut self,
        venue: &Venue,
        active: impl Iterator<Item = Topic> + Clone,
        now: Nanos,
        out: &mut Vec<Frame>,
    ) {
        for idx in 0..self.instruments.len() {
            let instrument = InstrumentId(idx as u16);
            let Some(spec) = venue.spec(instrument) else { continue };
            let topics = active.clone().filter(|topic| topic.instrument() == Some(instrument));
            let ticker_due = topics.clone().any(|topic| topic == Topic::Ticker(instrument))
                && self.instruments[idx].ticker_due <= now;
            for topic in topics {
                if let Topic::Book { depth, .. } = topic {
                    // A ticker's best prices are compared with the book as it stands on arrival, so books go first.
                    self.publish_book(venue, spec, instrument, depth, ticker_due, now, out);
                }
            }
            if ticker_due {
                self.publish_ticker(venue, spec, instrument, now, out);
            }
            let stats = &mut self.instruments[idx];
            for part in stats.trades.chunks(TRADES_PER_FRAME_MAX) {
                let frame = Obj::new()
                    .text("topic", format_args!("publicTrade.{}", spec.symbol))
                    .text("type", "snapshot")
                    .raw("ts", now.as_millis())
                    .raw("data", json::array(part));
                out.push((Topic::Trades(instrument), frame.done()));
            }
            stats.trades.clear();
        }
    }

    /// Brings a book up to date, for REST: its answer and the stream of 1000 levels share their numbers.
    pub fn sync_book(
        &mut self,
        venue: &Venue,
        instrument: InstrumentId,
        depth: u16,
        now: Nanos,
        out: &mut Vec<Frame>,
    ) -> Option<BookView<'_>> {
        let spec = venue.spec(instrument)?;
        let was_live = self.books.get(&(instrument, depth)).is_some_and(|book| book.live);
        self.start_book(venue, instrument, depth, now)?;
        if was_live {
            self.publish_book(venue, spec, instrument, depth, true, now, out);
        }
        let book = self.books.get_mut(&(instrument, depth))?;
        book.live = was_live;
        Some(BookView { bids: &book.bids, asks: &book.asks, u: book.u, seq: book.seq })
    }

    fn start_book(&mut self, venue: &Venue, instrument: InstrumentId, depth: u16, now: Nanos) -> Option<()> {
        let market = venue.market(instrument)?;
        let book = self.books.entry((instrument, depth)).or_default();
        if !book.live {
            book.bids = market.levels(Side::Bid).take(depth.into()).collect();
            book.asks = market.levels(Side::Ask).take(depth.into()).collect();
            // 1 says that the service restarted, and only that.
            book.u = match book.u {
                _ if book.resend == Some(true) => 1,
                0 => FIRST_U,
                u => u + 1,
            };
            book.seq = seq_of(market);
            book.sent = now;
            book.due = now.saturating_add(interval_ns(depth));
            book.live = true;
            book.resend = None;
        }
        Some(())
    }

    #[allow(clippy::too_many_arguments)] // one private call on the way from `poll` to a frame
    fn publish_book(
        &mut self,
        venue: &Venue,
        spec: &InstrumentSpec,
        instrument: InstrumentId,
        depth: u16,
        force: bool,
        now: Nanos,
        out: &mut Vec<Frame>,
    ) {
        let Some(market) = venue.market(instrument) else { return };
        let Some(book) = self.books.get_mut(&(instrument, depth)).filter(|book| book.live) else { return };
        if book.due > now && !force && book.resend.is_none() {
            return;
        }
        book.due = now.saturating_add(interval_ns(depth));
        let topic = Topic::Book { instrument, depth };
        let seq = seq_of(market);
        let bids: Vec<Level> = market.levels(Side::Bid).take(depth.into()).collect();
        let asks: Vec<Level> = market.levels(Side::Ask).take(depth.into()).collect();
        if let Some(is_restart) = book.resend.take() {
            (book.bids, book.asks, book.seq, book.sent) = (bids, asks, seq, now);
            book.u = if is_restart { 1 } else { book.u + 1 };
            let frame = book_frame(spec, depth, "snapshot", &book.bids, &book.asks, book.u, book.seq, now);
            out.push((topic, frame));
            return;
        }
        if depth == 1 {
            let changed = (&bids, &asks) != (&book.bids, &book.asks);
            if changed || now.saturating_since(book.sent) >= RESEND_NS {
                if changed {
                    (book.bids, book.asks, book.seq) = (bids, asks, seq);
                    book.u += 1;
                }
                book.sent = now;
                let frame = book_frame(spec, depth, "snapshot", &book.bids, &book.asks, book.u, book.seq, now);
                out.push((topic, frame));
            }
            return;
        }
        let (bid_changes, ask_changes) =
            (difference(Side::Bid, &book.bids, &bids), difference(Side::Ask, &book.asks, &asks));
        if !bid_changes.is_empty() || !ask_changes.is_empty() {
            (book.bids, book.asks, book.seq, book.sent) = (bids, asks, seq, now);
            book.u += 1;
            out.push((topic, book_frame(spec, depth, "delta", &bid_changes, &ask_changes, book.u, seq, now)));
        }
    }

    fn publish_ticker(
        &mut self,
        venue: &Venue,
        spec: &InstrumentSpec,
        instrument: InstrumentId,
        now: Nanos,
        out: &mut Vec<Frame>,
    ) {
        let Some(fields) = self.ticker_fields(venue, instrument, now) else { return };
        let Some(stats) = self.instruments.get_mut(instrument.idx()) else { return };
        stats.ticker_due = now.saturating_add(TICKER_NS);
        let before = std::mem::replace(&mut stats.ticker, fields);
        let changed: Vec<_> = stats.ticker.iter().filter(|field| !before.contains(field)).cloned().collect();
        if changed.is_empty() {
            return;
        }
        let version = venue.market(instrument).map_or(0, Market::version);
        let frame = if spec.product == Product::Spot {
            ticker_frame(spec, "snapshot", &stats.ticker, version, now) // spot has no deltas
        } else {
            ticker_frame(spec, "delta", &changed, version, now)
        };
        out.extend(frame.map(|frame| (Topic::Ticker(instrument), frame)));
    }

    /// A ticker's fields but its symbol, in the venue's order; REST adds nothing that is not here.
    pub fn ticker_fields(
        &self,
        venue: &Venue,
        instrument: InstrumentId,
        now: Nanos,
    ) -> Option<Vec<(&'static str, String)>> {
        let spec = venue.spec(instrument)?;
        let stats = self.instruments.get(instrument.idx())?;
        let market = venue.market(instrument)?;
        let mark = venue.mark(instrument).unwrap_or_default();
        let last = venue.last_px(instrument).or(stats.last_px).unwrap_or(mark);
        let open = stats.open_px.unwrap_or(last);
        let px = |px: Ticks| json::px(spec, px);
        let (bid, ask) = (market.best(Side::Bid), market.best(Side::Ask));
        let level_px = |level: Option<Level>| level.map(|level| px(level.px)).unwrap_or_default();
        let level_qty = |level: Option<Level>| level.map(|level| json::qty(spec, level.qty)).unwrap_or_default();
        let change_e6 =
            if open == Ticks::ZERO { 0 } else { last.saturating_diff(open).saturating_mul(1_000_000) / open.get() };
        let change = Money::new(i128::from(change_e6) * 1_000_000).to_string();
        let (high, low) = (stats.high_px.max(last), if stats.low_px == Ticks::ZERO { last } else { stats.low_px });
        if spec.product == Product::Spot {
            return Some(vec![
                ("lastPrice", px(last)),
                ("highPrice24h", px(high)),
                ("lowPrice24h", px(low)),
                ("prevPrice24h", px(open)),
                ("volume24h", json::qty(spec, stats.volume)),
                ("turnover24h", stats.turnover.to_string()),
                ("price24hPcnt", change),
                ("usdIndexPrice", px(mark)),
            ]);
        }
        Some(vec![
            ("tickDirection", stats.tick_direction.to_owned()),
            ("price24hPcnt", change),
            ("lastPrice", px(last)),
            ("prevPrice24h", px(open)),
            ("highPrice24h", px(high)),
            ("lowPrice24h", px(low)),
            ("prevPrice1h", px(open)),
            ("markPrice", px(mark)),
            ("indexPrice", px(mark)),
            ("openInterest", "0".to_owned()),
            ("openInterestValue", "0".to_owned()),
            ("turnover24h", stats.turnover.to_string()),
            ("volume24h", json::qty(spec, stats.volume)),
            ("fundingIntervalHour", (self.funding_interval_ns / 3_600_000_000_000).to_string()),
            ("fundingCap", "0.00375".to_owned()),
            ("nextFundingTime", self.next_funding(now).as_millis().to_string()),
            ("fundingRate", self.funding_rate.to_string()),
            ("bid1Price", level_px(bid)),
            ("bid1Size", level_qty(bid)),
            ("ask1Price", level_px(ask)),
            ("ask1Size", level_qty(ask)),
            ("preOpenPrice", String::new()),
            ("preQty", String::new()),
            ("curPreListingPhase", String::new()),
        ])
    }
}

/// A published book, for REST.
pub(super) struct BookView<'a> {
    pub bids: &'a [Level],
    pub asks: &'a [Level],
    pub u: u64,
    pub seq: u64,
}

impl Topic {
    fn instrument(self) -> Option<InstrumentId> {
        match self {
            Self::Book { instrument, .. } | Self::Trades(instrument) | Self::Ticker(instrument) => Some(instrument),
            Self::Captured(_) => None,
        }
    }
}

#[allow(clippy::too_many_arguments)] // the fields of one frame
pub(super) fn book_frame(
    spec: &InstrumentSpec,
    depth: u16,
    kind: &str,
    bids: &[Level],
    asks: &[Level],
    u: u64,
    seq: u64,
    now: Nanos,
) -> String {
    let (symbol, ts) = (spec.symbol, now.as_millis());
    let frame = Obj::new().text("topic", format_args!("orderbook.{depth}.{symbol}"));
    // Spot, and the first level of everything, tell the time before the type.
    let frame = if depth == 1 || spec.product == Product::Spot {
        frame.raw("ts", ts).text("type", kind)
    } else {
        frame.text("type", kind).raw("ts", ts)
    };
    let data = Obj::new()
        .text("s", symbol)
        .raw("b", json::levels(spec, bids.iter().copied()))
        .raw("a", json::levels(spec, asks.iter().copied()))
        .raw("u", u)
        .raw("seq", seq);
    frame.raw("data", data.done()).raw("cts", ts).done()
}

fn ticker_frame(
    spec: &InstrumentSpec,
    kind: &str,
    fields: &[(&'static str, String)],
    seq: u64,
    now: Nanos,
) -> Option<String> {
    let data = fields.iter().fold(Obj::new().text("symbol", spec.symbol), |obj, (key, value)| obj.text(key, value));
    let frame = Obj::new().text("topic", format_args!("tickers.{}", spec.symbol)).text("type", kind);
    Some(frame.raw("data", data.done()).raw("cs", seq).raw("ts", now.as_millis()).done())
}

/// What turns `old` into `new`, best first; a level that is gone has quantity zero.
fn difference(side: Side, old: &[Level], new: &[Level]) -> Vec<Level> {
    let ahead = |a: Ticks, b: Ticks| if side == Side::Bid { a > b } else { a < b };
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut changes = Vec::new();
    loop {
        match (old.peek(), new.peek()) {
            (None, None) => return changes,
            (Some(gone), next) if next.is_none_or(|next| ahead(gone.px, next.px)) => {
                changes.push(Level { px: gone.px, qty: Lots::ZERO });
                old.next();
            }
            (kept, Some(next)) => {
                let same_px = kept.is_some_and(|kept| kept.px == next.px);
                if !same_px || kept.is_some_and(|kept| kept.qty != next.qty) {
                    changes.push(**next);
                }
                if same_px {
                    old.next();
                }
                new.next();
            }
            // The first arm takes every old level without a new one beside it.
            (Some(_), None) => return changes,
        }
    }
}

/// The number that tells the state of a market: equal on all depths.
fn seq_of(market: &Market) -> u64 {
    match market {
        Market::Matching(market) => market.version(),
        Market::Queue(market) => market.cross_seq(),
    }
}

fn interval_ns(depth: u16) -> u64 {
    DEPTHS.iter().find(|(known, _)| *known == depth).map_or(TICKER_NS, |(_, interval)| *interval)
}

pub(super) fn category_of(venue: &Venue, instrument: InstrumentId) -> Option<&'static str> {
    venue.spec(instrument).map(|spec| objects::category(spec.product))
}

/// Depths that can be subscribed, with their push intervals.
const DEPTHS: [(u16, u64); 4] = [(1, 10_000_000), (50, 20_000_000), (200, 100_000_000), (1_000, 200_000_000)];

/// The venue re-sends an unchanged first level after three seconds.
const RESEND_NS: u64 = 3_000_000_000;

const TICKER_NS: u64 = 100_000_000;

const TRADES_PER_FRAME_MAX: usize = 1_024;

const FIRST_U: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_difference_turns_one_book_into_the_other(
            old in proptest::collection::btree_map(1i64..30, 1i64..5, 0..12),
            new in proptest::collection::btree_map(1i64..30, 1i64..5, 0..12),
            bid in any::<bool>(),
        ) {
            let side = if bid { Side::Bid } else { Side::Ask };
            let list = |map: &BTreeMap<i64, i64>| {
                let mut levels: Vec<Level> =
                    map.iter().map(|(&px, &qty)| Level { px: Ticks::new(px), qty: Lots::new(qty) }).collect();
                if bid { levels.reverse(); }
                levels
            };
            let mut state = old.clone();
            for change in difference(side, &list(&old), &list(&new)) {
                let before = state.insert(change.px.get(), change.qty.get());
                prop_assert_ne!(before, Some(change.qty.get()), "only changes are told");
                if change.qty.is_zero() { state.remove(&change.px.get()); }
            }
            prop_assert_eq!(state, new);
        }
    }
}
