//! The public streams of a market that this venue makes itself: books, trades and tickers.
//!
//! A book topic remembers what it last published; its deltas are the difference to that, numbered without gaps, and a new subscriber's
//! snapshot is that same state, so that the next delta fits it.

use super::{
    candles::Interval,
    config::{ListingConfig, ListingStatus, SimexConfig},
    json,
    json::Obj,
    objects,
    tape::{Funding, PublicTrade, Tape},
};
use crate::{
    sim::{Market, Venue},
    types::{InstrumentId, InstrumentSpec, Level, Lots, Nanos, Product, Side, Ticks},
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
    /// `kline.{interval}.{symbol}`
    Candles { instrument: InstrumentId, interval: Interval },
    /// `allLiquidation.{symbol}`; nobody is ever liquidated here.
    Liquidations(InstrumentId),
    /// Whatever a capture calls by this name, by its place in the capture's list.
    Captured(u32),
}

impl Topic {
    /// Reads a topic of a product.
    pub fn parse(text: &str, product: Product, venue: &Venue) -> Option<Self> {
        let (family, symbol) = text.rsplit_once('.')?;
        let instrument = venue.find(product, symbol)?;
        match family {
            "publicTrade" => Some(Self::Trades(instrument)),
            "tickers" => Some(Self::Ticker(instrument)),
            "allLiquidation" if product != Product::Spot => Some(Self::Liquidations(instrument)),
            _ if family.starts_with("kline.") => {
                let interval = Interval::parse(family.strip_prefix("kline.")?)?;
                Some(Self::Candles { instrument, interval })
            }
            _ => {
                let depth = family.strip_prefix("orderbook.")?.parse().ok()?;
                DEPTHS.iter().any(|(known, _)| *known == depth).then_some(Self::Book { instrument, depth })
            }
        }
    }
}

/// A frame for everyone who subscribed to a topic.
pub(super) type Frame = (Topic, String);

pub(super) struct PublicFeed {
    books: BTreeMap<(InstrumentId, u16), BookTopic>,
    instruments: Vec<Public>,
    trade_ids: u64,
}

/// One instrument's public side.
struct Public {
    tape: Tape,
    status: ListingStatus,
    /// Topics that someone follows, in the order of their frames: books, trades, ticker, candles.
    active: Vec<Topic>,
    /// What followers of the ticker were last told; empty when there are none.
    ticker: Vec<(&'static str, String)>,
    ticker_due: Nanos,
    candles_due: Nanos,
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
    /// The market's version that was looked at last.
    seen: u64,
}

impl PublicFeed {
    pub fn new(config: &SimexConfig, now: Nanos) -> Self {
        let public = |(idx, listing): (usize, &ListingConfig)| {
            let profile = &listing.profile;
            let funding = Funding {
                rate: profile.funding_rate.unwrap_or(config.funding_rate),
                interval_ns: profile.funding_interval_ns.unwrap_or(config.funding_interval_ns),
            };
            Public {
                tape: Tape::new(InstrumentId(idx as u16), listing, funding, now),
                status: profile.status,
                active: Vec::new(),
                ticker: Vec::new(),
                ticker_due: Nanos::ZERO,
                candles_due: Nanos::ZERO,
            }
        };
        Self {
            books: BTreeMap::new(),
            instruments: config.listings.iter().enumerate().map(public).collect(),
            trade_ids: 0,
        }
    }

    pub fn trades_count(&self, instrument: InstrumentId) -> u64 {
        self.tape(instrument).map_or(0, Tape::trades_count)
    }

    /// What is told of an instrument besides its book.
    pub fn tape(&self, instrument: InstrumentId) -> Option<&Tape> {
        self.instruments.get(instrument.idx()).map(|public| &public.tape)
    }

    /// The next moment at which any instrument pays funding.
    pub fn next_funding(&self, now: Nanos) -> Nanos {
        let all = self.instruments.iter().map(|public| public.tape.funding.next(now));
        all.min().unwrap_or(Nanos::new(u64::MAX))
    }

    /// Returns the instruments that pay funding at `due`, with their rates.
    pub fn funding_at(&self, due: Nanos) -> impl Iterator<Item = (InstrumentId, crate::types::Rate)> + '_ {
        let before = due.saturating_sub(1);
        let all = self.instruments.iter().enumerate();
        all.filter(move |(_, public)| public.tape.funding.next(before) == due && public.tape.delivery_ms().is_none())
            .map(|(idx, public)| (InstrumentId(idx as u16), public.tape.funding.rate))
    }

    /// Returns whether an instrument can be traded.
    pub fn status(&self, instrument: InstrumentId) -> ListingStatus {
        self.instruments.get(instrument.idx()).map(|public| public.status).unwrap_or_default()
    }

    /// What a new subscriber gets first; from now on someone follows.
    pub fn first_frame(&mut self, venue: &Venue, topic: Topic, now: Nanos) -> Option<String> {
        let public = self.instruments.get_mut(topic.instrument()?.idx())?;
        if let Err(at) = public.active.binary_search(&topic) {
            public.active.insert(at, topic);
        }
        match topic {
            // There are no books before the launch, nor after the end.
            Topic::Book { .. } if public.status != ListingStatus::Trading => None,
            Topic::Book { instrument, depth } => {
                let spec = venue.spec(instrument)?;
                self.start_book(venue, instrument, depth, now)?;
                let book = self.books.get(&(instrument, depth))?;
                Some(book_frame(spec, depth, "snapshot", &book.bids, &book.asks, book.u, book.seq, now))
            }
            Topic::Ticker(instrument) => {
                // Others get as a delta what changed since theirs; this one starts from the same state.
                if public.ticker.is_empty() {
                    public.ticker = public.tape.ticker_fields(venue, public.status, now)?;
                    public.ticker_due = now.saturating_add(TICKER_NS);
                }
                let version = venue.market(instrument)?.version();
                ticker_frame(venue.spec(instrument)?, "snapshot", &public.ticker, version, now)
            }
            Topic::Trades(_) | Topic::Candles { .. } | Topic::Liquidations(_) | Topic::Captured(_) => None,
        }
    }

    /// Forgets a topic that nobody follows any more.
    pub fn stop(&mut self, topic: Topic) {
        if let Some(public) = topic.instrument().and_then(|instrument| self.instruments.get_mut(instrument.idx())) {
            public.active.retain(|active| *active != topic);
        }
        match topic {
            Topic::Book { instrument, depth } => {
                if let Some(book) = self.books.get_mut(&(instrument, depth)) {
                    book.live = false;
                }
            }
            Topic::Ticker(instrument) => {
                if let Some(public) = self.instruments.get_mut(instrument.idx()) {
                    public.ticker.clear();
                }
            }
            Topic::Trades(_) | Topic::Candles { .. } | Topic::Liquidations(_) | Topic::Captured(_) => {}
        }
    }

    /// Sends every book in full next, numbered on, or from 1 as after a restart of the service.
    pub fn resend(&mut self, is_restart: bool) {
        let is_meant = |book: &&mut BookTopic| book.live || is_restart;
        self.books.values_mut().filter(is_meant).for_each(|book| book.resend = Some(is_restart));
    }

    /// Takes a trade of the venue.
    pub fn on_trade(&mut self, trade: &PublicTrade) {
        self.trade_ids += 1;
        if let Some(public) = self.instruments.get_mut(trade.instrument.idx()) {
            public.tape.on_trade(trade, self.trade_ids);
        }
    }

    /// Publishes what is due on the topics that are followed.
    pub fn poll(&mut self, venue: &Venue, now: Nanos, out: &mut Vec<Frame>) {
        for idx in 0..self.instruments.len() {
            let instrument = InstrumentId(idx as u16);
            let public = &mut self.instruments[idx];
            if public.active.is_empty() {
                public.tape.skip_unpublished();
                continue;
            }
            let Some(spec) = venue.spec(instrument) else { continue };
            let ticker_due = public.ticker_due <= now && public.active.contains(&Topic::Ticker(instrument));
            for at in 0..self.instruments[idx].active.len() {
                if let Topic::Book { depth, .. } = self.instruments[idx].active[at] {
                    // A ticker's best prices are compared with the book as it stands on arrival, so books go first.
                    self.publish_book(venue, spec, instrument, depth, ticker_due, now, out);
                }
            }
            let public = &mut self.instruments[idx];
            if ticker_due {
                public.publish_ticker(venue, spec, instrument, now, out);
            }
            public.publish_trades(spec, instrument, now, out);
            public.publish_candles(spec, now, out);
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
            book.seen = market.version();
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
        let is_resent = depth == 1 && now.saturating_since(book.sent) >= RESEND_NS;
        if book.seen == market.version() && book.resend.is_none() && !is_resent {
            return;
        }
        book.seen = market.version();
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
            if changed || is_resent {
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

    /// A ticker's fields, for REST.
    pub fn ticker_fields(
        &mut self,
        venue: &Venue,
        instrument: InstrumentId,
        now: Nanos,
    ) -> Option<Vec<(&'static str, String)>> {
        let public = self.instruments.get_mut(instrument.idx())?;
        public.tape.ticker_fields(venue, public.status, now)
    }
}

impl Public {
    fn publish_ticker(
        &mut self,
        venue: &Venue,
        spec: &InstrumentSpec,
        instrument: InstrumentId,
        now: Nanos,
        out: &mut Vec<Frame>,
    ) {
        let Some(fields) = self.tape.ticker_fields(venue, self.status, now) else { return };
        self.ticker_due = now.saturating_add(TICKER_NS);
        let before = std::mem::replace(&mut self.ticker, fields);
        let changed: Vec<_> = self.ticker.iter().filter(|field| !before.contains(field)).cloned().collect();
        if changed.is_empty() {
            return;
        }
        let version = venue.market(instrument).map_or(0, Market::version);
        let frame = if spec.product == Product::Spot {
            ticker_frame(spec, "snapshot", &self.ticker, version, now) // spot has no deltas
        } else {
            ticker_frame(spec, "delta", &changed, version, now)
        };
        out.extend(frame.map(|frame| (Topic::Ticker(instrument), frame)));
    }

    fn publish_trades(&mut self, spec: &InstrumentSpec, instrument: InstrumentId, now: Nanos, out: &mut Vec<Frame>) {
        if !self.active.contains(&Topic::Trades(instrument)) {
            return self.tape.skip_unpublished();
        }
        for part in self.tape.take_unpublished().chunks(TRADES_PER_FRAME_MAX) {
            let frame = Obj::new()
                .text("topic", format_args!("publicTrade.{}", spec.symbol))
                .text("type", "snapshot")
                .raw("ts", now.as_millis())
                .raw("data", json::array(part));
            out.push((Topic::Trades(instrument), frame.done()));
        }
    }

    /// Tells the current candle every second, and once more the one before it when it is over.
    fn publish_candles(&mut self, spec: &InstrumentSpec, now: Nanos, out: &mut Vec<Frame>) {
        let before = self.candles_due;
        if before > now {
            return;
        }
        self.candles_due = now.saturating_add(CANDLES_NS);
        for topic in &self.active {
            let Topic::Candles { interval, .. } = *topic else { continue };
            let told = if before == Nanos::ZERO { now } else { before.saturating_sub(CANDLES_NS) };
            let mut list = self.tape.candles(interval, told, now, 2);
            list.reverse();
            for candle in &list {
                let is_over = interval.end(candle.start) * 60_000 <= now.as_millis();
                let object = self.tape.pushed(interval, candle, is_over, now);
                let frame = Obj::new()
                    .text("topic", format_args!("kline.{}.{}", interval.name(), spec.symbol))
                    .raw("data", json::array([object]))
                    .raw("ts", now.as_millis())
                    .text("type", "snapshot");
                out.push((*topic, frame.done()));
            }
        }
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
    pub fn instrument(self) -> Option<InstrumentId> {
        match self {
            Self::Book { instrument, .. }
            | Self::Candles { instrument, .. }
            | Self::Trades(instrument)
            | Self::Ticker(instrument)
            | Self::Liquidations(instrument) => Some(instrument),
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

const CANDLES_NS: u64 = 1_000_000_000;

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
