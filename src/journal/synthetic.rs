//! Captures made from a seed, so that the same tests run where no real capture is.
//!
//! A random walk moves a book of a few hundred levels, one price at a time, and each change takes the next update id. The
//! venue's messages follow from it as they follow from a real book: depth events that gather many changes, the best
//! bid and offer at each of its changes, trades, snapshots. The messages about the best price run ahead of the depth
//! events and sometimes behind, as real ones do.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

use super::meta::{CaptureMeta, ClockKind, InstrumentMeta};
use crate::types::{Product, Side, VenueId};

/// What to make.
#[derive(Clone, Copy, Debug)]
pub struct SyntheticConfig {
    /// In whose dialect.
    pub venue: VenueId,
    /// Equal seeds give equal bytes.
    pub seed: u64,
    /// How many instruments, up to 8.
    pub instruments: usize,
    /// How many depth events in all.
    pub depth_events: usize,
    /// Levels on each side at the start, and in each snapshot at most.
    pub levels: usize,
}

impl SyntheticConfig {
    /// Two instruments of `venue`, 2,000 depth events, 200 levels a side.
    pub const fn new(venue: VenueId, seed: u64) -> Self {
        Self { venue, seed, instruments: 2, depth_events: 2_000, levels: 200 }
    }
}

/// What the books must look like in the end: best price and quantity in steps, levels a side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalBook {
    /// Symbol.
    pub symbol: String,
    /// Best bid, ticks and lots.
    pub bid: Option<(i64, i64)>,
    /// Best ask, ticks and lots.
    pub ask: Option<(i64, i64)>,
    /// Levels on the bid side.
    pub bid_levels: usize,
    /// Levels on the ask side.
    pub ask_levels: usize,
}

/// A capture in memory with the truth about it.
#[derive(Clone, Debug, Default)]
pub struct Synthetic {
    /// Receive time and message, in order.
    pub lines: Vec<(u64, Vec<u8>)>,
    /// Index into `lines` of each REST snapshot and the symbol that it belongs to.
    pub snapshots: Vec<(usize, String)>,
    /// The books that the depth events lead to.
    pub books: Vec<FinalBook>,
    /// Depth events written, snapshots in the stream included.
    pub depth_events: u64,
    /// Single trades written.
    pub trades: u64,
    /// Messages about the best price.
    pub tops: u64,
}

const SYMBOLS: [&str; 8] = ["AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG", "HHH"];
const START_NS: u64 = 1_700_000_000_000_000_000;

/// SplitMix64: small, and good enough to shake a book.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

type Best = (Option<(i64, i64)>, Option<(i64, i64)>);

/// One instrument's true book.
struct Market {
    symbol: String,
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    /// Changes since the last depth event: newest quantity by price.
    changed: [BTreeMap<i64, i64>; 2],
    first_id: u64,
    /// Last id of the last depth event; for Bybit its update id.
    sent_id: u64,
    top_id: u64,
    best: Best,
    trade_id: u64,
    late_tops: VecDeque<String>,
}

struct Maker {
    config: SyntheticConfig,
    random: Random,
    now: u64,
    next_id: u64,
    out: Synthetic,
}

/// The sidecar of what [`generate`] makes: tick 0.01, lot 0.001.
pub fn sidecar(config: &SyntheticConfig) -> CaptureMeta {
    let product = match config.venue {
        VenueId::BINANCE_SPOT => Product::Spot,
        VenueId::BINANCE_COINM => Product::Inverse,
        _ => Product::Linear,
    };
    let instruments = (0..config.instruments.min(SYMBOLS.len())).map(|idx| InstrumentMeta {
        symbol: symbol(config.venue, idx),
        tick: "0.01".into(),
        lot: "0.001".into(),
        ..InstrumentMeta::default()
    });
    CaptureMeta {
        venue: config.venue.name().into(),
        product: product.name().into(),
        clock: ClockKind::Unix,
        instruments: instruments.collect(),
        recording: None,
    }
}

fn symbol(venue: VenueId, idx: usize) -> String {
    let base = SYMBOLS[idx % SYMBOLS.len()];
    if venue == VenueId::BINANCE_COINM { format!("{base}USD_PERP") } else { format!("{base}USDT") }
}

/// Makes a capture. Equal configurations give equal bytes.
pub fn generate(config: &SyntheticConfig) -> Synthetic {
    let mut generator = Generator::new(config);
    for _ in 0..config.depth_events {
        generator.step();
    }
    generator.finish()
}

/// Makes a capture of any length: gives each line to `take`, which says whether it wants another. The lines are those of
/// [`generate`] with as many depth events as it takes, but for what the last of them leaves to tell.
///
/// # Errors
/// Whatever `take` says.
pub fn generate_lines<E>(
    config: &SyntheticConfig,
    mut take: impl FnMut(u64, &[u8]) -> Result<bool, E>,
) -> Result<(), E> {
    let mut generator = Generator::new(config);
    loop {
        for (at, message) in generator.maker.out.lines.drain(..) {
            if !take(at, &message)? {
                return Ok(());
            }
        }
        generator.step();
    }
}

/// A capture in the making.
struct Generator {
    maker: Maker,
    markets: Vec<Market>,
    event: usize,
}

impl Generator {
    fn new(config: &SyntheticConfig) -> Self {
        let mut maker = Maker {
            config: *config,
            random: Random(config.seed),
            now: START_NS,
            next_id: 1_000_000,
            out: Synthetic::default(),
        };
        let mut markets: Vec<Market> =
            (0..config.instruments.clamp(1, SYMBOLS.len())).map(|idx| maker.market(idx)).collect();
        if config.venue == VenueId::BYBIT {
            maker.line(r#"{"success":true,"ret_msg":"","conn_id":"synthetic","req_id":"","op":"subscribe"}"#.into());
            for market in &mut markets {
                maker.bybit_book(market, true);
                maker.bybit_ticker(market, true);
            }
        }
        Self { maker, markets, event: 0 }
    }

    /// One depth event and what comes with it.
    fn step(&mut self) {
        let Self { maker, markets, event } = self;
        let count = markets.len();
        let market = &mut markets[*event % count];
        maker.now += 1_000 + maker.random.below(20_000_000);
        for _ in 0..=maker.random.below(12) {
            maker.change(market);
        }
        maker.depth(market);
        // The REST snapshot comes a few events after the stream began, as it does in practice.
        if maker.config.venue != VenueId::BYBIT && *event / count == 4 {
            maker.rest_snapshot(market);
        }
        if maker.random.below(50) == 0 {
            maker.rare(market);
        }
        *event += 1;
    }

    fn finish(self) -> Synthetic {
        let Self { mut maker, mut markets, .. } = self;
        for market in &mut markets {
            while let Some(top) = market.late_tops.pop_front() {
                maker.line(top);
            }
            let (bid, ask) = best(market);
            maker.out.books.push(FinalBook {
                symbol: market.symbol.clone(),
                bid,
                ask,
                bid_levels: market.bids.len(),
                ask_levels: market.asks.len(),
            });
        }
        maker.out
    }
}

fn best(market: &Market) -> Best {
    let pair = |(px, qty): (&i64, &i64)| (*px, *qty);
    (market.bids.last_key_value().map(pair), market.asks.first_key_value().map(pair))
}

/// Ticks of 0.01 as text.
fn px(ticks: i64) -> String {
    format!("{}.{:02}", ticks / 100, ticks % 100)
}

/// Lots of 0.001 as text.
fn qty(lots: i64) -> String {
    format!("{}.{:03}", lots / 1000, lots % 1000)
}

fn levels<'a>(side: impl Iterator<Item = (&'a i64, &'a i64)>) -> String {
    let mut out = String::from("[");
    for (idx, (level_px, level_qty)) in side.enumerate() {
        let comma = if idx == 0 { "" } else { "," };
        let _ = write!(out, "{comma}[\"{}\",\"{}\"]", px(*level_px), qty(*level_qty));
    }
    out.push(']');
    out
}

impl Maker {
    fn market(&mut self, idx: usize) -> Market {
        let middle = 1_000_000 * (idx as i64 + 1);
        let mut side = |step: i64| {
            (1..=self.config.levels as i64)
                .map(|n| (middle + step * n, 1 + self.random.below(50_000) as i64))
                .collect::<BTreeMap<_, _>>()
        };
        let (bids, asks) = (side(-1), side(1));
        let mut market = Market {
            symbol: symbol(self.config.venue, idx),
            bids,
            asks,
            changed: [BTreeMap::new(), BTreeMap::new()],
            first_id: 0,
            sent_id: if self.config.venue == VenueId::BYBIT { 500 } else { self.next_id },
            top_id: 0,
            best: (None, None),
            trade_id: 7_000,
            late_tops: VecDeque::new(),
        };
        market.best = best(&market);
        market
    }

    fn ms(&self) -> u64 {
        self.now / 1_000_000
    }

    fn line(&mut self, message: String) {
        self.now += 100 + self.random.below(3_000);
        self.out.lines.push((self.now, message.into_bytes()));
    }

    /// One price level changes and takes the next id; near the touch it often is the touch, and then a trade.
    fn change(&mut self, market: &mut Market) {
        // Futures share their ids over all symbols: they skip.
        let skip = match self.config.venue {
            VenueId::BINANCE_USDM | VenueId::BINANCE_COINM => self.random.below(50),
            _ => 0,
        };
        self.next_id += 1 + skip;
        let id = match self.config.venue {
            // Spot's ids are contiguous for each symbol.
            VenueId::BINANCE_SPOT => market.top_id.max(market.sent_id).max(market.first_id) + 1,
            _ => self.next_id,
        };
        let side = if self.random.below(2) == 0 { Side::Bid } else { Side::Ask };
        let (Some(bid), Some(ask)) = (market.bids.last_key_value(), market.asks.first_key_value()) else { return };
        let (bid, ask) = (*bid.0, *ask.0);
        let depth = if self.random.below(3) == 0 { 0 } else { self.random.below(self.config.levels as u64) as i64 };
        let is_improving = ask - bid > 1 && self.random.below(4) == 0;
        let level_px = match (side, is_improving) {
            (Side::Bid, true) => bid + 1,
            (Side::Ask, true) => ask - 1,
            (Side::Bid, false) => bid - depth,
            (Side::Ask, false) => ask + depth,
        };
        let is_bid = side == Side::Bid;
        let (book, changed) = match side {
            Side::Bid => (&mut market.bids, &mut market.changed[0]),
            Side::Ask => (&mut market.asks, &mut market.changed[1]),
        };
        let is_removed = book.len() > 20 && !is_improving && self.random.below(3) == 0;
        // Bybit holds a window of 200 levels; ours never grows beyond the size of the snapshots.
        if !is_removed && !book.contains_key(&level_px) && book.len() >= self.config.levels {
            let worst = if is_bid { book.first_key_value() } else { book.last_key_value() };
            if let Some(worst) = worst.map(|(px, _)| *px) {
                book.remove(&worst);
                changed.insert(worst, 0);
            }
        }
        let new_qty = if is_removed { 0 } else { 1 + self.random.below(50_000) as i64 };
        if new_qty == 0 {
            book.remove(&level_px);
        } else {
            book.insert(level_px, new_qty);
        }
        changed.insert(level_px, new_qty);
        if market.first_id == 0 {
            market.first_id = id;
        }
        market.top_id = id;
        let now_best = best(market);
        if now_best != market.best {
            let is_traded = new_qty == 0 && depth == 0;
            market.best = now_best;
            if is_traded {
                self.trade(market, side.opposite(), level_px);
            }
            self.top(market, id);
        }
    }

    fn top(&mut self, market: &mut Market, id: u64) {
        let (Some(bid), Some(ask)) = market.best else { return };
        let (ms, symbol) = (self.ms(), &market.symbol);
        let sides = format!(r#""b":"{}","B":"{}","a":"{}","A":"{}""#, px(bid.0), qty(bid.1), px(ask.0), qty(ask.1));
        let lower = symbol.to_lowercase();
        let message = match self.config.venue {
            VenueId::BYBIT => return,
            VenueId::BINANCE_SPOT => {
                format!(r#"{{"stream":"{lower}@bookTicker","data":{{"u":{id},"s":"{symbol}",{sides}}}}}"#)
            }
            VenueId::BINANCE_COINM => format!(
                r#"{{"stream":"{lower}@bookTicker","data":{{"u":{id},"e":"bookTicker","s":"{symbol}","ps":"{symbol}",{sides},"T":{ms},"E":{ms}}}}}"#
            ),
            _ => format!(
                r#"{{"stream":"{lower}@bookTicker","data":{{"e":"bookTicker","u":{id},"s":"{symbol}",{sides},"T":{ms},"E":{ms}}}}}"#
            ),
        };
        self.out.tops += 1;
        // One in twenty comes after the depth event that includes it; the stream itself stays in order.
        if !market.late_tops.is_empty() || self.random.below(20) == 0 {
            market.late_tops.push_back(message);
        } else {
            self.line(message);
        }
    }

    fn trade(&mut self, market: &mut Market, taker: Side, at_px: i64) {
        market.trade_id += 1;
        self.out.trades += 1;
        let (ms, symbol, id) = (self.ms(), &market.symbol, market.trade_id);
        let (at_px, size) = (px(at_px), qty(1 + self.random.below(5_000) as i64));
        let lower = symbol.to_lowercase();
        let is_buyer_maker = taker == Side::Ask;
        let message = match self.config.venue {
            VenueId::BYBIT => {
                let word = if is_buyer_maker { "Sell" } else { "Buy" };
                let seq = self.next_id;
                format!(
                    r#"{{"topic":"publicTrade.{symbol}","type":"snapshot","ts":{ms},"data":[{{"T":{ms},"s":"{symbol}","S":"{word}","v":"{size}","p":"{at_px}","L":"PlusTick","i":"00000000-0000-5000-8000-{id:012x}","BT":false,"RPI":false,"seq":{seq}}}]}}"#
                )
            }
            VenueId::BINANCE_SPOT => format!(
                r#"{{"stream":"{lower}@trade","data":{{"e":"trade","E":{ms},"s":"{symbol}","t":{id},"p":"{at_px}","q":"{size}","T":{ms},"m":{is_buyer_maker},"M":true}}}}"#
            ),
            _ => format!(
                r#"{{"stream":"{lower}@trade","data":{{"e":"trade","E":{ms},"T":{ms},"s":"{symbol}","t":{id},"p":"{at_px}","q":"{size}","X":"MARKET","m":{is_buyer_maker}}}}}"#
            ),
        };
        self.line(message);
    }

    /// Writes what changed since the last depth event.
    fn depth(&mut self, market: &mut Market) {
        if market.first_id == 0 {
            return;
        }
        if self.config.venue == VenueId::BYBIT {
            self.bybit_book(market, false);
            self.bybit_top(market);
            if self.random.below(4) == 0 {
                self.bybit_ticker(market, false);
            }
            return;
        }
        let (ms, symbol) = (self.ms(), market.symbol.clone());
        let (first_id, last_id, prev_id) = (market.first_id, market.top_id, market.sent_id);
        let (bids, asks) = (levels(market.changed[0].iter()), levels(market.changed[1].iter()));
        let lower = symbol.to_lowercase();
        let message = match self.config.venue {
            VenueId::BINANCE_SPOT => format!(
                r#"{{"stream":"{lower}@depth@100ms","data":{{"e":"depthUpdate","E":{ms},"s":"{symbol}","U":{first_id},"u":{last_id},"b":{bids},"a":{asks}}}}}"#
            ),
            _ => format!(
                r#"{{"stream":"{lower}@depth@0ms","data":{{"e":"depthUpdate","E":{ms},"T":{ms},"s":"{symbol}","U":{first_id},"u":{last_id},"pu":{prev_id},"b":{bids},"a":{asks}}}}}"#
            ),
        };
        self.line(message);
        self.after_depth(market, last_id);
        while let Some(top) = market.late_tops.pop_front() {
            self.line(top);
        }
    }

    fn after_depth(&mut self, market: &mut Market, last_id: u64) {
        self.out.depth_events += 1;
        market.sent_id = last_id;
        market.first_id = 0;
        market.changed = [BTreeMap::new(), BTreeMap::new()];
    }

    fn rest_snapshot(&mut self, market: &Market) {
        let (ms, id) = (self.ms(), market.sent_id);
        let (bids, asks) = (levels(market.bids.iter().rev()), levels(market.asks.iter()));
        let message = match self.config.venue {
            VenueId::BINANCE_SPOT => format!(r#"{{"lastUpdateId":{id},"bids":{bids},"asks":{asks}}}"#),
            VenueId::BINANCE_COINM => format!(
                r#"{{"lastUpdateId":{id},"E":{ms},"T":{ms},"symbol":"{s}","pair":"{s}","bids":{bids},"asks":{asks}}}"#,
                s = market.symbol
            ),
            _ => format!(r#"{{"lastUpdateId":{id},"E":{ms},"T":{ms},"bids":{bids},"asks":{asks}}}"#),
        };
        self.out.snapshots.push((self.out.lines.len(), market.symbol.clone()));
        self.line(message);
    }

    fn bybit_book(&mut self, market: &mut Market, is_snapshot: bool) {
        let (ms, symbol, seq) = (self.ms(), &market.symbol, self.next_id);
        let id = market.sent_id + 1;
        let (kind, bids, asks) = if is_snapshot {
            ("snapshot", levels(market.bids.iter().rev()), levels(market.asks.iter()))
        } else {
            ("delta", levels(market.changed[0].iter().rev()), levels(market.changed[1].iter()))
        };
        let message = format!(
            r#"{{"topic":"orderbook.200.{symbol}","type":"{kind}","ts":{ms},"data":{{"s":"{symbol}","b":{bids},"a":{asks},"u":{id},"seq":{seq}}},"cts":{ms}}}"#
        );
        self.line(message);
        self.after_depth(market, id);
    }

    fn bybit_top(&mut self, market: &Market) {
        let (Some(bid), Some(ask)) = market.best else { return };
        let (ms, symbol, seq) = (self.ms(), &market.symbol, self.next_id);
        let (id, bids, asks) = (
            market.sent_id,
            format!(r#"["{}","{}"]"#, px(bid.0), qty(bid.1)),
            format!(r#"["{}","{}"]"#, px(ask.0), qty(ask.1)),
        );
        self.out.tops += 1;
        self.line(format!(
            r#"{{"topic":"orderbook.1.{symbol}","ts":{ms},"type":"snapshot","data":{{"s":"{symbol}","b":[{bids}],"a":[{asks}],"u":{id},"seq":{seq}}},"cts":{ms}}}"#
        ));
    }

    fn bybit_ticker(&mut self, market: &Market, is_snapshot: bool) {
        let (Some(bid), Some(ask)) = market.best else { return };
        let (ms, symbol, seq) = (self.ms(), &market.symbol, self.next_id);
        let sides = format!(
            r#""bid1Price":"{}","bid1Size":"{}","ask1Price":"{}","ask1Size":"{}""#,
            px(bid.0),
            qty(bid.1),
            px(ask.0),
            qty(ask.1)
        );
        let (kind, more) = if is_snapshot {
            let last = px(bid.0);
            (
                "snapshot",
                format!(
                    r#""lastPrice":"{last}","markPrice":"{last}","indexPrice":"{last}","openInterest":"1","fundingRate":"0.0001","nextFundingTime":"1700006400000","#
                ),
            )
        } else {
            ("delta", String::new())
        };
        self.line(format!(
            r#"{{"topic":"tickers.{symbol}","type":"{kind}","data":{{"symbol":"{symbol}",{more}{sides}}},"cs":{seq},"ts":{ms}}}"#
        ));
    }

    /// A message that is of no use to the engine.
    fn rare(&mut self, market: &Market) {
        let (ms, symbol) = (self.ms(), &market.symbol);
        self.line(match self.config.venue {
            VenueId::BYBIT => format!(
                r#"{{"topic":"kline.1.{symbol}","data":[{{"start":{ms},"open":"1","confirm":false}}],"ts":{ms},"type":"snapshot"}}"#
            ),
            _ => format!(
                r#"{{"stream":"{}@kline_1m","data":{{"e":"kline","E":{ms},"s":"{symbol}","k":{{"t":{ms}, "o":"1.0"}}}}}}"#,
                symbol.to_lowercase()
            ),
        });
    }
}
