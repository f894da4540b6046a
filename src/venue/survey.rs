//! What the messages of an unknown capture show: venue, product, symbols, greatest number of decimals.
//!
//! Thread: shell. Allocates: yes. It guesses; whoever uses it says so.

use std::collections::{BTreeMap, BTreeSet};

use super::WireError;
use super::general::General;
use super::scan::Scanner;
use super::source::Source;
use crate::types::{Product, VenueId};

/// What was seen of one symbol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SymbolSurvey {
    /// Greatest number of decimals of a price, trailing zeros dropped.
    pub px_decimals: usize,
    /// Greatest number of decimals of a quantity, trailing zeros dropped.
    pub qty_decimals: usize,
    /// Bybit: depths of its book topics.
    pub depths: BTreeSet<u16>,
    /// Messages that named it.
    pub messages: u64,
    /// Prices or quantities seen.
    pub numbers: u64,
}

/// What was seen so far.
#[derive(Default)]
pub struct Survey {
    /// By symbol.
    pub symbols: BTreeMap<String, SymbolSurvey>,
    /// Snapshots without a symbol.
    pub bare_snapshots: u64,
    /// Snapshots of a book, in the stream or from REST.
    pub snapshots: u64,
    /// Messages that are neither dialect's.
    pub unknown: u64,
    bybit: u64,
    binance: u64,
    /// Signs of a Bybit derivative and of Bybit spot.
    derivative_signs: u64,
    spot_signs: u64,
    /// Signs of Binance futures.
    futures_signs: u64,
    general: Option<Box<General>>,
    /// Decimals of snapshots that name no symbol.
    bare: SymbolSurvey,
}

impl Survey {
    /// Begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at one message; `owner` is the symbol of a snapshot that names none, if that is known.
    pub fn note(&mut self, message: &[u8], owner: Option<&str>) {
        if self.read(Scanner::new(message), owner).is_err() {
            let mut general = self.general.take().unwrap_or_else(|| Box::new(General::new()));
            if general.parse(message, |walk| self.read(walk, owner)).is_err() {
                self.unknown += 1;
            }
            self.general = Some(general);
        }
    }

    /// The venue, if the messages show one.
    pub fn venue(&self) -> Option<VenueId> {
        match (self.bybit, self.binance) {
            (0, 0) => None,
            (bybit, binance) if bybit >= binance => Some(VenueId::BYBIT),
            _ if self.futures_signs == 0 => Some(VenueId::BINANCE_SPOT),
            // COIN-M names end in USD before the underscore: BTCUSD_PERP.
            _ if self.symbols.keys().any(|name| name.split('_').next().is_some_and(|s| s.ends_with("USD"))) => {
                Some(VenueId::BINANCE_COINM)
            }
            _ => Some(VenueId::BINANCE_USDM),
        }
    }

    /// The product, and whether there was a sign of it (it is the most usual one otherwise).
    pub fn product(&self) -> (Product, bool) {
        match self.venue() {
            Some(VenueId::BINANCE_SPOT) => (Product::Spot, true),
            Some(VenueId::BINANCE_COINM) => (Product::Inverse, true),
            Some(VenueId::BYBIT) if self.spot_signs > self.derivative_signs => (Product::Spot, true),
            Some(VenueId::BYBIT) if self.symbols.keys().any(|name| name.ends_with("USD")) => (Product::Inverse, true),
            Some(VenueId::BYBIT) => (Product::Linear, self.derivative_signs > 0),
            _ => (Product::Linear, self.futures_signs > 0),
        }
    }

    /// Gives what snapshots without a symbol showed to the only symbol there is.
    pub fn settle(&mut self) {
        let only = self.symbols.len() == 1;
        if let Some(symbol) = self.symbols.values_mut().next().filter(|_| only) {
            symbol.px_decimals = symbol.px_decimals.max(self.bare.px_decimals);
            symbol.qty_decimals = symbol.qty_decimals.max(self.bare.qty_decimals);
        }
    }

    fn read<'a, S: Source<'a>>(&mut self, start: S, owner: Option<&str>) -> Result<(), WireError> {
        let mut source = start;
        let mut members = source.object()?;
        let mut topic: Option<&[u8]> = None;
        let mut data = None;
        let (mut is_event, mut is_rest, mut is_control, mut is_spot_order) = (false, false, false, false);
        let (mut has_ts, mut stream) = (false, None);
        while let Some(key) = source.key(&mut members)? {
            match key {
                b"topic" => topic = Some(source.text()?),
                b"stream" => stream = Some(source.text()?),
                b"data" => {
                    data = Some(source);
                    source.skip()?;
                }
                b"ts" => {
                    has_ts = true;
                    source.skip()?;
                }
                b"type" => {
                    is_spot_order |= has_ts;
                    if source.text()? == b"snapshot" && topic.is_some_and(|t| t.starts_with(b"orderbook.")) {
                        self.snapshots += 1;
                    }
                }
                b"e" => {
                    is_event = true;
                    source.skip()?;
                }
                b"lastUpdateId" => {
                    is_rest = true;
                    source.skip()?;
                }
                b"u" | b"B" => {
                    is_event = true;
                    source.skip()?;
                }
                b"ret_msg" => {
                    self.spot_signs += u64::from(source.text()? == b"subscribe");
                    is_control = true;
                }
                b"op" | b"result" | b"error" | b"code" => {
                    is_control = true;
                    source.skip()?;
                }
                _ => source.skip()?,
            }
        }
        source.end()?;
        match (topic, stream, data) {
            (Some(topic), _, Some(mut data)) => {
                self.bybit += 1;
                self.bybit_data(topic, is_spot_order, &mut data)
            }
            (_, Some(_), Some(mut data)) => {
                self.binance += 1;
                self.binance_event(&mut data, owner)
            }
            _ if is_rest || is_event => {
                self.binance += 1;
                let mut source = start;
                self.binance_event(&mut source, owner)
            }
            _ => {
                self.unknown += u64::from(!is_control);
                Ok(())
            }
        }
    }

    fn bybit_data<'a, S: Source<'a>>(
        &mut self,
        topic: &[u8],
        is_spot_order: bool,
        data: &mut S,
    ) -> Result<(), WireError> {
        let topic = String::from_utf8_lossy(topic).into_owned();
        let mut parts = topic.split('.');
        let (family, middle, last) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next());
        let mut seen = SymbolSurvey { messages: 1, ..SymbolSurvey::default() };
        let symbol = match (family, last) {
            ("orderbook", Some(symbol)) => {
                let Ok(depth) = middle.parse::<u16>() else { return Ok(()) };
                seen.depths.insert(depth);
                // Depth 1 of the futures has spot's order of keys.
                self.spot_signs += u64::from(is_spot_order && depth > 1);
                self.derivative_signs += u64::from(!is_spot_order && depth > 1);
                symbol
            }
            ("publicTrade" | "tickers", None) => middle,
            _ => return Ok(()),
        };
        if family == "publicTrade" {
            let mut rows = data.array()?;
            while data.item(&mut rows)? {
                self.bybit_object(data, &mut seen)?;
            }
        } else {
            self.bybit_object(data, &mut seen)?;
        }
        self.merge(symbol, &seen);
        Ok(())
    }

    fn bybit_object<'a, S: Source<'a>>(&mut self, data: &mut S, seen: &mut SymbolSurvey) -> Result<(), WireError> {
        let mut members = data.object()?;
        while let Some(key) = data.key(&mut members)? {
            match key {
                b"b" | b"a" => seen.levels(data)?,
                b"p" | b"lastPrice" | b"bid1Price" | b"ask1Price" => seen.px(data.text()?),
                b"v" | b"bid1Size" | b"ask1Size" => seen.qty(data.text()?),
                b"i" => {
                    let is_number = data.text()?.iter().all(u8::is_ascii_digit);
                    *(if is_number { &mut self.spot_signs } else { &mut self.derivative_signs }) += 1;
                }
                b"fundingRate" | b"openInterest" => {
                    self.derivative_signs += 1;
                    data.skip()?;
                }
                b"usdIndexPrice" => {
                    self.spot_signs += 1;
                    data.skip()?;
                }
                _ => data.skip()?,
            }
        }
        Ok(())
    }

    fn binance_event<'a, S: Source<'a>>(&mut self, data: &mut S, owner: Option<&str>) -> Result<(), WireError> {
        if data.is_text() {
            return data.skip();
        }
        let mut seen = SymbolSurvey { messages: 1, ..SymbolSurvey::default() };
        let mut symbol = None;
        let (mut has_name, mut is_top, mut is_rest, mut is_mark) = (false, false, false, false);
        let start = *data;
        let mut members = data.object()?;
        while let Some(key) = data.key(&mut members)? {
            match key {
                b"e" => {
                    has_name = true;
                    match data.text()? {
                        b"markPriceUpdate" => is_mark = true,
                        b"depthUpdate" | b"bookTicker" | b"trade" | b"aggTrade" => {}
                        // Candles and statistics round as they please.
                        _ => return Ok(()),
                    }
                }
                b"s" | b"symbol" => symbol = Some(data.text()?),
                b"pu" | b"ps" | b"st" => {
                    self.futures_signs += 1;
                    data.skip()?;
                }
                b"B" => {
                    is_top = true;
                    data.skip()?;
                }
                b"lastUpdateId" => {
                    is_rest = true;
                    data.skip()?;
                }
                _ => data.skip()?,
            }
        }
        self.futures_signs += u64::from(is_mark || (is_top && has_name));
        self.snapshots += u64::from(is_rest);
        *data = start;
        let mut members = data.object()?;
        while let Some(key) = data.key(&mut members)? {
            match key {
                b"bids" | b"asks" => seen.levels(data)?,
                b"b" | b"a" if is_top => seen.px(data.text()?),
                b"B" | b"A" if is_top => seen.qty(data.text()?),
                b"b" | b"a" => match data.array() {
                    Ok(_) => return self.binance_levels(start, symbol, seen),
                    // Spot's trades carry order ids there.
                    Err(_) => data.skip()?,
                },
                b"p" if !is_mark => seen.px(data.text()?),
                b"q" if !is_mark => seen.qty(data.text()?),
                _ => data.skip()?,
            }
        }
        match symbol.and_then(|symbol| std::str::from_utf8(symbol).ok()).or(owner) {
            Some(symbol) => self.merge(symbol, &seen),
            None => {
                self.bare_snapshots += 1;
                self.bare.merge(&seen);
            }
        }
        Ok(())
    }

    /// The depth event that begins at `start`.
    fn binance_levels<'a, S: Source<'a>>(
        &mut self,
        mut start: S,
        symbol: Option<&[u8]>,
        mut seen: SymbolSurvey,
    ) -> Result<(), WireError> {
        let mut members = start.object()?;
        while let Some(key) = start.key(&mut members)? {
            match key {
                b"b" | b"a" => seen.levels(&mut start)?,
                _ => start.skip()?,
            }
        }
        if let Some(symbol) = symbol.and_then(|symbol| std::str::from_utf8(symbol).ok()) {
            self.merge(symbol, &seen);
        }
        Ok(())
    }

    fn merge(&mut self, symbol: &str, seen: &SymbolSurvey) {
        if let Some(known) = self.symbols.get_mut(symbol) {
            known.merge(seen);
        } else {
            self.symbols.insert(symbol.to_owned(), seen.clone());
        }
    }
}

impl SymbolSurvey {
    fn px(&mut self, text: &[u8]) {
        self.px_decimals = self.px_decimals.max(significant_decimals(text));
        self.numbers += 1;
    }

    fn qty(&mut self, text: &[u8]) {
        self.qty_decimals = self.qty_decimals.max(significant_decimals(text));
        self.numbers += 1;
    }

    fn levels<'a, S: Source<'a>>(&mut self, source: &mut S) -> Result<(), WireError> {
        let mut rows = source.array()?;
        while source.item(&mut rows)? {
            let mut row = source.array()?;
            let mut idx = 0;
            while source.item(&mut row)? {
                match idx {
                    0 => self.px(source.text()?),
                    1 => self.qty(source.text()?),
                    _ => source.skip()?,
                }
                idx += 1;
            }
        }
        Ok(())
    }

    fn merge(&mut self, other: &Self) {
        self.px_decimals = self.px_decimals.max(other.px_decimals);
        self.qty_decimals = self.qty_decimals.max(other.qty_decimals);
        self.depths.extend(&other.depths);
        self.messages += other.messages;
        self.numbers += other.numbers;
    }
}

/// Decimals of `61659.70`: one.
fn significant_decimals(text: &[u8]) -> usize {
    match text.iter().position(|&byte| byte == b'.') {
        Some(dot) => text[dot + 1..].iter().rposition(|&byte| byte != b'0').map_or(0, |last| last + 1),
        None => 0,
    }
}
