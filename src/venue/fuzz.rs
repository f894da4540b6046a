//! Fuzz bodies: plain functions, run by an ordinary test over the corpus as well.
//!
//! Each feeds one message to both sources of a dialect, the scanner in each way that the processor can. Neither may panic, and where both accept the message they must
//! say the same. The scanner may accept what the general parser refuses only in values that nobody reads.

use super::{Arrival, FeedConfig, Simd, binance, bybit};
use crate::types::{
    Event, InstrumentId, InstrumentSpec, InstrumentTable, Level, Lots, Product, Step, Symbol, Ticks, VenueId,
};

/// The instruments that the corpus speaks of.
pub fn table(venue: VenueId) -> InstrumentTable {
    let spec = |symbol: &str, tick: &str, lot: &str| {
        let step = |text: &str| Step::from_text(text.as_bytes()).ok();
        InstrumentSpec::new(venue, Symbol::new(symbol.as_bytes())?, Product::Linear, step(tick)?, step(lot)?)
    };
    let specs = [
        ("BTCUSDT", "0.10", "0.001"),
        ("ETHUSDT", "0.01", "0.01"),
        ("HALFUSDT", "0.5", "5"),
        ("TINYUSDT", "0.0000000001", "0.01"),
        ("BTCUSD_PERP", "0.1", "1"),
    ];
    InstrumentTable::new(specs.iter().filter_map(|(symbol, tick, lot)| spec(symbol, tick, lot)).collect())
        .unwrap_or_default()
}

/// What the two sources made of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// It has the form that its stream's messages have, and was read without looking at keys.
    pub is_usual: bool,
    /// The scanner took it.
    pub is_quick: bool,
    /// The general parser took it.
    pub is_general: bool,
}

/// Both sources of one dialect, each with buffers of its own.
pub enum Pair {
    /// Bybit's public messages.
    Bybit(Box<bybit::Pair>),
    /// Binance's market messages.
    Binance(Box<binance::Pair>),
}

impl Pair {
    /// Makes the pair for the instruments of `venue`.
    pub fn new(venue: VenueId, table: &InstrumentTable) -> Self {
        if venue == VenueId::BYBIT {
            Self::Bybit(Box::new(bybit::Pair::new(table)))
        } else {
            Self::Binance(Box::new(binance::Pair::new(table, venue)))
        }
    }

    /// Decodes `frame` both ways; `owner` is the instrument of a snapshot that names none.
    ///
    /// # Panics
    /// If both accept the message and do not say the same.
    pub fn compare(&mut self, frame: &[u8], owner: Option<InstrumentId>) -> Verdict {
        match self {
            Self::Bybit(pair) => pair.compare(frame),
            Self::Binance(pair) => pair.compare(frame, owner),
        }
    }
}

/// The scanner of one dialect alone, in one way: for measurements.
pub enum Quick {
    /// Bybit's public messages.
    Bybit(Box<bybit::Decoder>),
    /// Binance's market messages.
    Binance(Box<binance::Decoder>),
}

impl Quick {
    /// Makes the decoder for the instruments of `venue`.
    pub fn new(venue: VenueId, table: &InstrumentTable, simd: Simd) -> Self {
        if venue == VenueId::BYBIT {
            let mut decoder = bybit::Decoder::new(table);
            decoder.set_simd(simd);
            Self::Bybit(Box::new(decoder))
        } else {
            let mut decoder = binance::Decoder::new(table, venue);
            decoder.set_simd(simd);
            Self::Binance(Box::new(decoder))
        }
    }

    /// Decodes `frame` and returns the bids and the asks that it holds, if any; `None` if the scanner refuses it.
    #[inline]
    pub fn levels(&mut self, frame: &[u8]) -> Option<(&[Level], &[Level])> {
        match self {
            Self::Bybit(decoder) => decoder.read_levels(frame),
            Self::Binance(decoder) => decoder.read_levels(frame),
        }
    }

    /// Decodes `frame` and returns the sum of the prices and quantities that it holds, reference prices aside; `None` if
    /// the scanner refuses it.
    #[inline]
    pub fn sum(&mut self, frame: &[u8]) -> Option<i64> {
        match self {
            Self::Bybit(decoder) => decoder.read_sum(frame),
            Self::Binance(decoder) => decoder.read_sum(frame),
        }
    }
}

/// A sum with a price and a quantity more, of which there may be too many for one: it goes round.
pub(super) fn sum_with(sum: i64, px: Ticks, qty: Lots) -> i64 {
    sum.wrapping_add(px.get()).wrapping_add(qty.get())
}

/// The sum of prices and quantities.
pub(super) fn sum_of(levels: &[Level]) -> i64 {
    levels.iter().fold(0, |sum, level| sum_with(sum, level.px, level.qty))
}

/// Runs the Bybit market decoder and feed over `data`, one message a line.
pub fn fuzz_bybit_market(data: &[u8]) {
    let table = table(VenueId::BYBIT);
    let mut pair = Pair::new(VenueId::BYBIT, &table);
    let mut feed = bybit::MarketFeed::new(&table, FeedConfig::default());
    for frame in data.split(|&byte| byte == b'\n') {
        pair.compare(frame, None);
        let _ = feed.on_frame(frame, Arrival::default(), || 0, &mut |_: &Event<'_>| {});
        let _ = feed.take_resync();
    }
    assert_eq!(feed.counters().accounted(), feed.counters().messages);
}

/// Runs the three Binance market decoders and feeds over `data`, one message a line.
pub fn fuzz_binance_market(data: &[u8]) {
    for venue in [VenueId::BINANCE_USDM, VenueId::BINANCE_COINM, VenueId::BINANCE_SPOT] {
        let table = table(venue);
        let mut pair = Pair::new(venue, &table);
        let Some(mut feed) = binance::MarketFeed::new(&table, venue, FeedConfig::default()) else { return };
        for frame in data.split(|&byte| byte == b'\n') {
            pair.compare(frame, Some(InstrumentId(0)));
            let mut sink = |_: &Event<'_>| {};
            let _ = feed.on_frame(frame, Arrival::default(), || 0, &mut sink);
            if let Some(instrument) = feed.take_resync() {
                let _ = feed.on_snapshot(instrument, frame, Arrival::default(), &mut sink);
            }
        }
        assert_eq!(feed.counters().accounted(), feed.counters().messages);
    }
}

/// Runs the decoder of Bybit's private and order-entry messages over `data`, one message a line.
pub fn fuzz_bybit_private(data: &[u8]) {
    bybit::private::fuzz(&table(VenueId::BYBIT), data);
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;

    fn corpus(venue: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(venue);
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        read(&files)
    }

    fn read(files: &[PathBuf]) -> Vec<Vec<u8>> {
        let messages: Vec<Vec<u8>> = files
            .iter()
            .flat_map(|path| {
                std::fs::read(path).unwrap().split(|&b| b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>()
            })
            .filter(|line| !line.is_empty())
            .collect();
        assert!(messages.len() > 5);
        messages
    }

    /// What may happen to a message on its way.
    #[derive(Clone, Debug)]
    enum Damage {
        Flip(usize, u8),
        Truncate(usize),
        Insert(usize, u8),
        Repeat(usize, usize),
        Remove(usize, usize),
    }

    fn damage() -> impl Strategy<Value = Damage> {
        let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\"\\{}[],:.0123456789-e truefalsn \t".to_vec())];
        prop_oneof![
            (any::<usize>(), byte.clone()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
            any::<usize>().prop_map(Damage::Truncate),
            (any::<usize>(), byte).prop_map(|(at, byte)| Damage::Insert(at, byte)),
            (any::<usize>(), 0usize..40).prop_map(|(at, len)| Damage::Repeat(at, len)),
            (any::<usize>(), 0usize..40).prop_map(|(at, len)| Damage::Remove(at, len)),
        ]
    }

    fn damaged(mut message: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
        for damage in damages {
            let len = message.len();
            match *damage {
                _ if len == 0 => {}
                Damage::Flip(at, byte) => message[at % len] = byte,
                Damage::Truncate(at) => message.truncate(at % len),
                Damage::Insert(at, byte) => message.insert(at % len, byte),
                Damage::Repeat(at, more) => {
                    let (start, end) = (at % len, (at % len + more).min(len));
                    let piece = message[start..end].to_vec();
                    message.splice(end..end, piece);
                }
                Damage::Remove(at, less) => {
                    message.drain(at % len..(at % len + less).min(len));
                }
            }
        }
        message
    }

    fn number() -> impl Strategy<Value = String> {
        prop_oneof!["[0-9]{0,21}", "[1-9][0-9]{0,8}\\.[0-9]{0,10}", "[0-9.]{0,18}"]
    }

    /// The message with its numbers, in their order, replaced by those of `numbers` that are there.
    fn with_numbers(message: &[u8], numbers: &[Option<String>]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut numbers = numbers.iter().cycle();
        let is_numeric = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        for piece in message.chunk_by(|&a, &b| is_numeric(a) == is_numeric(b)) {
            // Only what is a value: digits in names stay.
            let is_value = is_numeric(piece[0]) && matches!(out.last(), Some(b'"' | b':'));
            let other = if is_value { numbers.next().unwrap().as_ref() } else { None };
            out.extend_from_slice(other.map_or(piece, |other| other.as_bytes()));
        }
        out
    }

    #[test]
    fn the_corpus_is_understood() {
        for (folder, venues) in [
            ("bybit", &[VenueId::BYBIT][..]),
            ("binance", &[VenueId::BINANCE_USDM, VenueId::BINANCE_COINM, VenueId::BINANCE_SPOT][..]),
        ] {
            for message in corpus(folder) {
                fuzz_bybit_market(&message);
                fuzz_binance_market(&message);
                let is_understood = venues.iter().any(|&venue| {
                    let table = table(venue);
                    Pair::new(venue, &table).compare(&message, Some(InstrumentId(0))).is_general
                });
                assert!(is_understood, "{}", String::from_utf8_lossy(&message));
            }
        }
    }

    /// Otherwise the quick way could rot without anybody seeing it.
    #[test]
    fn what_is_usual_is_read_the_usual_way_from_the_second_on() {
        for (folder, venues) in [
            ("bybit", &[VenueId::BYBIT][..]),
            ("binance", &[VenueId::BINANCE_USDM, VenueId::BINANCE_COINM, VenueId::BINANCE_SPOT][..]),
        ] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder).join("usual.jsonl");
            for message in read(&[path]) {
                let is_usual = venues.iter().any(|&venue| {
                    let mut pair = Pair::new(venue, &table(venue));
                    pair.compare(&message, None);
                    pair.compare(&message, None).is_usual
                });
                // A list of no trades says nothing, and is never sent.
                let is_empty = message.ends_with(b"\"data\":[]}");
                assert!(is_usual != is_empty, "{}", String::from_utf8_lossy(&message));
            }
        }
    }

    /// Each is a usual message with one thing changed; the first way to read it must leave it to the others.
    #[test]
    fn what_is_nearly_usual_is_left_to_the_other_ways() {
        let trades = r#"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":17,"data":[{"T":16,"s":"BTCUSDT","S":"Buy","v":"0.004","p":"65114.20","L":"PlusTick","i":"a-1","BT":false,"RPI":false,"seq":75}]}"#;
        let ticker = r#"{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","bid1Price":"65114.20","bid1Size":"6.054","markPrice":"1.5"},"cs":75,"ts":17}"#;
        let trade = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":17,"T":16,"s":"BTCUSDT","t":52,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}"#;
        let bare = r#"{"e":"aggTrade","E":17,"a":87,"s":"BTCUSDT","p":"7.5","q":"2.5","f":12,"l":13,"T":16,"m":false}"#;
        for (venue, message, from, to) in [
            (VenueId::BYBIT, trades, "0.004", "0.000"),
            (VenueId::BYBIT, trades, "65114.20", "65114.25"),
            (VenueId::BYBIT, trades, "65114.20", "0"),
            (VenueId::BYBIT, trades, "Buy", "buy"),
            (VenueId::BYBIT, trades, "\"T\":16", "\"T\":06"),
            (VenueId::BYBIT, trades, "\"seq\":75", "\"seq\":7e5"),
            (VenueId::BYBIT, trades, "\"seq\":75", "\"seq\":75,\"seq\":75"),
            (VenueId::BYBIT, trades, "PlusTick", "Plus\\u0054ick"),
            (VenueId::BYBIT, trades, "\"s\":\"BTCUSDT\"", "\"s\":\"ETHUSDT\""),
            (VenueId::BYBIT, trades, "}]}", "}]}}"),
            (VenueId::BYBIT, ticker, "\"markPrice\":\"1.5\"", "\"bid1Price\":\"65114.20\""),
            (VenueId::BYBIT, ticker, "\"markPrice\":\"1.5\"", "\"markPrice\":\"1.5\",\"markPrice\":\"1.5\""),
            (VenueId::BYBIT, ticker, "\"markPrice\":\"1.5\"", "\"symbol\":\"BTCUSDT\""),
            (VenueId::BYBIT, ticker, "\"markPrice\":\"1.5\"", "\"markPrice\":1.5"),
            (VenueId::BYBIT, ticker, "\"markPrice\":\"1.5\"", "\"nextFundingTime\":\"1\",\"nextFundingTime\":\"1\""),
            (VenueId::BYBIT, ticker, "6.054", "6.0541"),
            (VenueId::BYBIT, ticker, "\"cs\":75", "\"cs\":075"),
            (VenueId::BINANCE_USDM, trade, "0.006", "0.000"),
            (VenueId::BINANCE_USDM, trade, "MARKET", "INSURANCE_FUND"),
            (VenueId::BINANCE_USDM, trade, "\"t\":52", "\"t\":-52"),
            (VenueId::BINANCE_USDM, trade, "false", "null"),
            (VenueId::BINANCE_USDM, trade, "}}", "}} x"),
            (VenueId::BINANCE_USDM, bare, "BTCUSDT", "NOSUCH"),
            (VenueId::BINANCE_USDM, bare, "false}", "false}}"),
            (VenueId::BINANCE_USDM, bare, "7.5", "7.55"),
        ] {
            let mut pair = Pair::new(venue, &table(venue));
            pair.compare(message.as_bytes(), None);
            assert!(pair.compare(message.as_bytes(), None).is_usual, "{message}");
            let other = message.replace(from, to);
            assert_ne!(other, message);
            assert!(!pair.compare(other.as_bytes(), None).is_usual, "{other}");
        }
    }

    #[test]
    fn private_messages_mean_the_same_to_both_sources() {
        for message in corpus("bybit-private") {
            fuzz_bybit_private(&message);
        }
    }

    #[test]
    fn every_prefix_of_the_corpus_is_refused() {
        let table = table(VenueId::BYBIT);
        let mut pair = Pair::new(VenueId::BYBIT, &table);
        for message in corpus("bybit") {
            pair.compare(&message, None);
            for len in 0..message.len() {
                let verdict = pair.compare(&message[..len], None);
                assert_eq!(
                    verdict,
                    Verdict { is_usual: false, is_quick: false, is_general: false },
                    "{len} of {message:?}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn damaged_messages_mean_the_same_to_both_sources(
            pick: prop::sample::Index, damages in prop::collection::vec(damage(), 1..4),
        ) {
            // The whole message first: what is remembered of it must not let the damaged one pass.
            let both = |message: &Vec<u8>| [&message[..], b"\n", &damaged(message.clone(), &damages)].concat();
            fuzz_bybit_market(&both(pick.get(&corpus("bybit"))));
            fuzz_binance_market(&both(pick.get(&corpus("binance"))));
            fuzz_bybit_private(&damaged(pick.get(&corpus("bybit-private")).clone(), &damages));
        }

        /// Numbers of every length in every place: what is remembered of one message's must not spoil the next.
        #[test]
        fn usual_messages_mean_the_same_whatever_numbers_they_hold(
            messages in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(prop::option::weighted(0.2, number()), 12)), 1..12),
            is_bybit in any::<bool>(),
        ) {
            let corpus = corpus(if is_bybit { "bybit" } else { "binance" });
            let of = |(pick, numbers): &(prop::sample::Index, Vec<Option<String>>)| with_numbers(pick.get(&corpus).as_slice(), numbers);
            let data = messages.iter().map(of).collect::<Vec<_>>().join(&b'\n');
            if is_bybit { fuzz_bybit_market(&data) } else { fuzz_binance_market(&data) }
        }
    }
}
