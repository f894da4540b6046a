//! What the messages of a foreign capture show of its venue and instruments.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::capture::{CaptureError, CaptureReader};
use super::load::side_snapshots;
use super::meta::{CaptureMeta, ClockKind, InstrumentMeta};

/// A sidecar and what was guessed in making it.
#[derive(Clone, Debug)]
pub struct Inference {
    /// The sidecar.
    pub meta: CaptureMeta,
    /// One sentence for each guess.
    pub guesses: Vec<String>,
    /// Messages looked at.
    pub messages: u64,
}

/// Greatest number of decimals seen, trailing zeros not counted.
#[derive(Clone, Copy, Debug, Default)]
struct Decimals {
    px: u32,
    qty: u32,
    seen: bool,
}

impl Decimals {
    fn merge(&mut self, other: Self) {
        self.px = self.px.max(other.px);
        self.qty = self.qty.max(other.qty);
        self.seen |= other.seen;
    }
}

fn decimals_of(text: &str) -> u32 {
    match text.split_once('.') {
        Some((_, fraction)) => fraction.trim_end_matches('0').len() as u32,
        None => 0,
    }
}

/// A decimal in a string; anything else counts as none.
struct Text(u32, bool);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(decimals_of(text), !text.is_empty()))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
                Ok(Text(0, false))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
                Ok(Text(0, false))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
                Ok(Text(0, false))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
                Ok(Text(0, false))
            }
            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(0, false))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(0, false))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(0, false))
            }
        }
        deserializer.deserialize_any(V)
    }
}

/// Levels `[[px, qty], …]`, or a single price in a string (Binance's `b` is both, and an order id too).
struct LevelsOrPx(Decimals);

impl<'de> Deserialize<'de> for LevelsOrPx {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = LevelsOrPx;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("levels or a price")
            }
            fn visit_str<E>(self, text: &str) -> Result<LevelsOrPx, E> {
                Ok(LevelsOrPx(Decimals { px: decimals_of(text), qty: 0, seen: !text.is_empty() }))
            }
            fn visit_u64<E>(self, _: u64) -> Result<LevelsOrPx, E> {
                Ok(LevelsOrPx(Decimals::default()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<LevelsOrPx, A::Error> {
                let mut all = Decimals::default();
                while let Some(level) = seq.next_element::<Vec<Text>>()? {
                    if let [px, qty, ..] = &level[..] {
                        all.merge(Decimals { px: px.0, qty: qty.0, seen: true });
                    }
                }
                Ok(LevelsOrPx(all))
            }
        }
        deserializer.deserialize_any(V)
    }
}

/// What one message or one item of it shows.
#[derive(Default)]
struct Shown<'a> {
    symbol: Option<Cow<'a, str>>,
    event: Option<Cow<'a, str>>,
    topic: Option<Cow<'a, str>>,
    stream: Option<Cow<'a, str>>,
    decimals: Decimals,
    has_pu: bool,
    has_snapshot_id: bool,
    has_update_id: bool,
    has_funding: bool,
    ts_before_type: bool,
    items: Vec<Shown<'a>>,
}

/// A string, borrowed where it can be; anything else is `None`.
struct Name<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Name(Some(Cow::Owned(text)))),
            _ => Ok(Name(None)),
        }
    }
}

/// An object, a list of objects, or anything else.
struct Data<'a>(Vec<Shown<'a>>);

impl<'de> Deserialize<'de> for Data<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Data<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or a list of objects")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Data<'de>, A::Error> {
                Ok(Data(vec![shown_of(map)?]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Data<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some(Data(items)) = seq.next_element()? {
                    all.extend(items);
                }
                Ok(Data(all))
            }
            fn visit_str<E>(self, _: &str) -> Result<Data<'de>, E> {
                Ok(Data(Vec::new()))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Data<'de>, E> {
                Ok(Data(Vec::new()))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Data<'de>, E> {
                Ok(Data(Vec::new()))
            }
            fn visit_unit<E>(self) -> Result<Data<'de>, E> {
                Ok(Data(Vec::new()))
            }
        }
        deserializer.deserialize_any(V)
    }
}

fn shown_of<'de, A: MapAccess<'de>>(mut map: A) -> Result<Shown<'de>, A::Error> {
    let mut shown = Shown::default();
    let (mut has_ts, mut has_type) = (false, false);
    while let Some(key) = map.next_key::<Cow<'de, str>>()? {
        match &*key {
            "s" | "symbol" => shown.symbol = map.next_value::<Name<'de>>()?.0.or(shown.symbol),
            "e" => shown.event = map.next_value::<Name<'de>>()?.0,
            "topic" => shown.topic = map.next_value::<Name<'de>>()?.0,
            "stream" => shown.stream = map.next_value::<Name<'de>>()?.0,
            "b" | "a" | "bids" | "asks" => {
                let found: LevelsOrPx = map.next_value()?;
                shown.decimals.merge(found.0);
            }
            "p" | "bid1Price" | "ask1Price" => {
                let found: Text = map.next_value()?;
                shown.decimals.merge(Decimals { px: found.0, qty: 0, seen: found.1 });
            }
            "q" | "v" | "B" | "A" | "bid1Size" | "ask1Size" => {
                let found: Text = map.next_value()?;
                shown.decimals.merge(Decimals { px: 0, qty: found.0, seen: found.1 });
            }
            "data" => shown.items = map.next_value::<Data<'de>>()?.0,
            other => {
                shown.has_pu |= other == "pu";
                shown.has_snapshot_id |= other == "lastUpdateId";
                shown.has_update_id |= other == "u";
                shown.has_funding |= other == "fundingRate" || other == "openInterest";
                has_ts |= other == "ts";
                shown.ts_before_type |= other == "type" && has_ts && !has_type;
                has_type |= other == "type";
                map.next_value::<IgnoredAny>()?;
            }
        }
    }
    Ok(shown)
}

#[derive(Default)]
struct Votes {
    bybit: u64,
    binance: u64,
    linear: u64,
    spot: u64,
}

/// Looks at a capture and the snapshots beside it.
///
/// # Errors
/// A sentence: a file that cannot be read, with its line, or messages of no known venue.
pub fn infer_file(file: &Path) -> Result<Inference, String> {
    let mut sources = vec![(file.to_owned(), None)];
    sources.extend(side_snapshots(file).into_iter().map(|(path, symbol)| (path, Some(symbol))));
    let mut readers = Vec::with_capacity(sources.len());
    for (path, symbol) in sources {
        readers.push((CaptureReader::open(&path).map_err(|e| e.to_string())?, symbol));
    }
    let mut readers = readers.into_iter();
    let mut current = readers.next();
    infer_named(|look| -> Result<bool, CaptureError> {
        while let Some((reader, symbol)) = &mut current {
            if let Some((recv, message)) = reader.next_line()? {
                look(recv, message, symbol.as_deref());
                return Ok(true);
            }
            current = readers.next();
        }
        Ok(false)
    })
    .map_err(|e| format!("{}: {e}", file.display()))
}

/// Looks at every message that `next` gives; each may come with the symbol of a snapshot that names none, as the files
/// beside a capture of many symbols tell it. Without it that snapshot's finer prices would be missed.
fn infer_named<E: fmt::Display>(
    mut next: impl FnMut(&mut dyn FnMut(u64, &[u8], Option<&str>)) -> Result<bool, E>,
) -> Result<Inference, String> {
    let mut votes = Votes::default();
    let mut decimals: BTreeMap<String, Decimals> = BTreeMap::new();
    let (mut messages, mut unreadable) = (0u64, 0u64);
    let mut times: (Option<u64>, bool) = (None, false);
    // A snapshot without symbol belongs to the one symbol there is.
    let mut nameless = Decimals::default();
    loop {
        let mut look = |recv: u64, message: &[u8], symbol: Option<&str>| {
            messages += 1;
            times.0 = times.0.or(Some(recv).filter(|&t| t != 0));
            times.1 |= recv == 0;
            let Ok(Data(parts)) = serde_json::from_slice::<Data<'_>>(message) else {
                unreadable += 1;
                return;
            };
            let mut bare = Decimals::default();
            for part in &parts {
                look_at(part, &mut votes, &mut decimals, &mut bare);
            }
            match symbol {
                Some(symbol) if bare.seen => decimals.entry(symbol.to_owned()).or_default().merge(bare),
                _ => nameless.merge(bare),
            }
        };
        if !next(&mut look).map_err(|e| e.to_string())? {
            break;
        }
    }
    if votes.bybit + votes.binance == 0 {
        return Err(format!(
            "none of {messages} messages is of a venue that is known (bybit, binance); name it with --venue and --instruments"
        ));
    }
    if decimals.len() == 1
        && let Some(only) = decimals.values_mut().next()
    {
        only.merge(nameless);
    }
    decimals.retain(|_, d| d.seen);
    let is_bybit = votes.bybit > votes.binance;
    let is_inverse =
        decimals.keys().all(|s| s.split('_').next().is_some_and(|pair| s.contains('_') && pair.ends_with("USD")));
    let (venue, product) = match (is_bybit, votes.spot > votes.linear) {
        (true, true) => ("bybit", "spot"),
        (true, false) => ("bybit", "linear"),
        (false, true) => ("binance-spot", "spot"),
        (false, false) if is_inverse => ("binance-coinm", "inverse"),
        (false, false) => ("binance-usdm", "linear"),
    };
    let clock = match times {
        (None, _) => ClockKind::None,
        // 2001 in nanoseconds: no feed is older, no machine runs for that long.
        (Some(first), _) if first < 1_000_000_000_000_000_000 => ClockKind::Mono,
        _ => ClockKind::Unix,
    };
    let mut guesses = vec![format!("venue {venue}, product {product}: from the shape of {messages} messages")];
    if unreadable > 0 {
        guesses.push(format!("{unreadable} messages are no JSON objects and were passed over"));
    }
    guesses.push(match clock {
        ClockKind::None => "clock none: no receive times, the venue's times are used".to_owned(),
        ClockKind::Mono => "clock mono: the first receive time lies before 2001".to_owned(),
        ClockKind::Unix => "clock unix".to_owned(),
    });
    let step = |decimals: u32| match decimals {
        0 => "1".to_owned(),
        n => format!("0.{}1", "0".repeat(n as usize - 1)),
    };
    let instruments: Vec<InstrumentMeta> = decimals
        .into_iter()
        .map(|(symbol, d)| {
            let (tick, lot) = (step(d.px), step(d.qty));
            guesses
                .push(format!("{symbol}: tick {tick}, lot {lot}: the most decimals seen; the venue's may be coarser"));
            InstrumentMeta { symbol, tick, lot, ..InstrumentMeta::default() }
        })
        .collect();
    let meta =
        CaptureMeta { venue: venue.to_owned(), product: product.to_owned(), instruments, clock, recording: None };
    Ok(Inference { meta, guesses, messages })
}

fn look_at(part: &Shown<'_>, votes: &mut Votes, decimals: &mut BTreeMap<String, Decimals>, nameless: &mut Decimals) {
    if let Some(topic) = &part.topic {
        let mut words = topic.split('.');
        let kind = words.next().unwrap_or("");
        if !matches!(kind, "orderbook" | "publicTrade" | "tickers" | "kline") {
            return;
        }
        votes.bybit += 1;
        if kind == "orderbook" && words.next() != Some("1") {
            votes.spot += u64::from(part.ts_before_type);
            votes.linear += u64::from(!part.ts_before_type);
        }
        let name = topic.rsplit('.').next().unwrap_or("");
        for item in &part.items {
            // A ticker with funding is a contract's, whatever the rest says.
            votes.linear += 1000 * u64::from(item.has_funding);
            if kind != "kline" && !name.is_empty() {
                decimals.entry(name.to_owned()).or_default().merge(item.decimals);
            }
        }
        return;
    }
    if part.stream.is_some() {
        for item in &part.items {
            look_at(item, votes, decimals, nameless);
        }
        return;
    }
    if part.has_snapshot_id {
        votes.binance += 1;
        match &part.symbol {
            Some(symbol) => decimals.entry(symbol.to_string()).or_default().merge(part.decimals),
            None => nameless.merge(part.decimals),
        }
        return;
    }
    let event = part.event.as_deref();
    let is_book_ticker = event.is_none() && part.has_update_id && part.symbol.is_some() && part.decimals.seen;
    if !is_book_ticker && event.is_none() {
        return;
    }
    votes.binance += 1;
    match event {
        Some("depthUpdate") => {
            votes.linear += u64::from(part.has_pu);
            votes.spot += u64::from(!part.has_pu);
        }
        None => votes.spot += 1,
        Some("trade" | "aggTrade" | "bookTicker") => {}
        Some("markPriceUpdate") => {
            votes.linear += 1;
            // Mark prices lie between ticks; the symbol is known by its name alone.
            if let Some(symbol) = &part.symbol {
                decimals.entry(symbol.to_string()).or_default().seen = true;
            }
            return;
        }
        Some(_) => return,
    }
    if let Some(symbol) = &part.symbol {
        decimals.entry(symbol.to_string()).or_default().merge(part.decimals);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infer_lines(lines: &[&str]) -> Inference {
        let mut lines = lines.iter();
        infer_named(|look| -> Result<bool, String> {
            let Some(line) = lines.next() else { return Ok(false) };
            look(1_700_000_000_000_000_000, line.as_bytes(), None);
            Ok(true)
        })
        .unwrap()
    }

    #[test]
    fn bybit_linear_by_its_messages() {
        let found = infer_lines(&[
            r#"{"success":true,"op":"subscribe"}"#,
            r#"{"topic":"orderbook.50.XUSDT","type":"delta","ts":1,"data":{"s":"XUSDT","b":[["10.50","3"]],"a":[["10.75","0.10"]],"u":2,"seq":3}}"#,
            r#"{"topic":"tickers.XUSDT","type":"delta","data":{"symbol":"XUSDT","fundingRate":"0.0001"},"cs":1,"ts":2}"#,
        ]);
        assert_eq!((found.meta.venue.as_str(), found.meta.product.as_str()), ("bybit", "linear"));
        assert_eq!(
            found.meta.instruments,
            [InstrumentMeta {
                symbol: "XUSDT".into(),
                tick: "0.01".into(),
                lot: "0.1".into(),
                ..InstrumentMeta::default()
            }]
        );
        assert_eq!(found.meta.clock, ClockKind::Unix);
    }

    #[test]
    fn binance_by_its_messages() {
        let spot = infer_lines(&[
            r#"{"lastUpdateId":5,"bids":[["1.5000","2.00"]],"asks":[]}"#,
            r#"{"stream":"xusdt@bookTicker","data":{"u":1,"s":"XUSDT","b":"1.161","B":"2","a":"1.2","A":"3"}}"#,
            r#"{"e":"trade","s":"XUSDT","p":"1.2","q":"0.25","b":77,"a":78}"#,
        ]);
        assert_eq!((spot.meta.venue.as_str(), spot.meta.instruments[0].tick.as_str()), ("binance-spot", "0.001"));
        assert_eq!(spot.meta.instruments[0].lot, "0.01");
        let coin = infer_lines(&[
            r#"{"e":"depthUpdate","s":"BTCUSD_PERP","U":1,"u":2,"pu":0,"b":[["1.5","2"]],"a":[]}"#,
            r#"{"e":"markPriceUpdate","s":"BTCUSD_PERP","p":"1.23456789"}"#,
        ]);
        assert_eq!((coin.meta.venue.as_str(), coin.meta.product.as_str()), ("binance-coinm", "inverse"));
        assert_eq!(coin.meta.instruments[0].tick, "0.1");
    }

    #[test]
    fn a_foreign_file_is_refused_with_what_to_do() {
        let mut once = true;
        let error = infer_named(|look| -> Result<bool, String> {
            look(0, br#"{"hello":"world"}"#, None);
            Ok(std::mem::take(&mut once))
        })
        .unwrap_err();
        assert!(error.contains("--venue"), "{error}");
    }
}
