//! What the venue lists and how it trades: instruments, tickers, candles. Public requests, no key.
//!
//! Thread: shell. Allocates: yes. Blocks: up to the time-out of each request. What cannot be represented exactly is kept with
//! its reason ([`Unusable`]); a field that the venue leaves out or empty is `None`, and one that it garbles makes the item
//! unusable.

use std::collections::{BTreeMap, btree_map::Entry};

use serde_json::Value;

use super::rest::{RestClient, RestError, escape};
use crate::types::{
    ContractKind, Currency, InstrumentSpec, Kline, Listing, ListingStatus, Lots, MarketSnapshot, Money, Nanos, Product,
    Rate, Step, Symbol, Unusable, VenueId,
};

/// Most candles of one request.
pub const KLINES_MAX: u32 = 1_000;

/// What the venue lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listings {
    /// By symbol, each once.
    pub found: Vec<Listing>,
    /// What cannot be traded exactly.
    pub unusable: Vec<Unusable>,
    /// Requests that it took.
    pub requests: u32,
}

impl Listings {
    /// The instruments that trade, by symbol.
    pub fn trading(&self) -> impl Iterator<Item = &Listing> {
        self.found.iter().filter(|listing| listing.status == ListingStatus::Trading)
    }
}

/// How everything of a product trades.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarketSnapshots {
    /// By symbol, each once.
    pub found: Vec<MarketSnapshot>,
    /// What could not be read.
    pub unusable: Vec<Unusable>,
}

/// Length of a candle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KlineSpan {
    /// One minute.
    Minute,
    /// Five minutes.
    FiveMinutes,
    /// One hour.
    Hour,
}

impl KlineSpan {
    /// The venue's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "1",
            Self::FiveMinutes => "5",
            Self::Hour => "60",
        }
    }

    /// Its length in minutes.
    pub const fn minutes(self) -> u32 {
        match self {
            Self::Minute => 1,
            Self::FiveMinutes => 5,
            Self::Hour => 60,
        }
    }
}

impl RestClient {
    /// Everything of `product` that trades, is announced, or is being delivered. Instruments that were closed long ago are
    /// not asked for.
    ///
    /// # Errors
    /// [`RestError`].
    ///
    /// # Cost
    /// One request for each thousand instruments and status; spot has one status.
    pub fn listings(&self, product: Product) -> Result<Listings, RestError> {
        let statuses: &[&str] = match product {
            Product::Spot => &[""],
            // The first is what the venue lists when no status is named.
            _ => &["", "&status=PreLaunch", "&status=Delivering"],
        };
        let size = self.page_len();
        let queries = statuses.iter().map(|status| format!("category={}{status}&limit={size}", product.name()));
        self.listed(product, queries)
    }

    /// What trades of `product`, alone: for a look again.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn trading_listings(&self, product: Product) -> Result<Listings, RestError> {
        self.listed(product, [format!("category={}&limit={}", product.name(), self.page_len())])
    }

    /// The instruments of these names, one request each.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn listings_of(&self, product: Product, symbols: &[&str]) -> Result<Listings, RestError> {
        let query = |symbol: &&str| format!("category={}&symbol={}", product.name(), escape(symbol));
        self.listed(product, symbols.iter().map(query))
    }

    fn listed(&self, product: Product, queries: impl IntoIterator<Item = String>) -> Result<Listings, RestError> {
        let path = "/v5/market/instruments-info";
        let mut found: BTreeMap<String, Result<Listing, String>> = BTreeMap::new();
        let mut requests = 0;
        for query in queries {
            requests += self.pages(path, &query, None, |item| {
                let name = item["symbol"].as_str().ok_or(RestError::BadAnswer { path, field: "symbol" })?;
                let listing = listing(product, name, item);
                match found.entry(name.to_owned()) {
                    Entry::Vacant(entry) => _ = entry.insert(listing),
                    // Told again by another query, or on two pages because the list moved in between.
                    Entry::Occupied(entry) if *entry.get() == listing => {}
                    Entry::Occupied(mut entry) => {
                        *entry.get_mut() = Err("listed twice, in two ways".to_owned());
                    }
                }
                Ok(())
            })?;
        }
        let mut out = Listings { requests, ..Listings::default() };
        for (symbol, listing) in found {
            match listing {
                Ok(listing) => out.found.push(listing),
                Err(reason) => out.unusable.push(Unusable { symbol, reason }),
            }
        }
        Ok(out)
    }

    /// How every instrument of `product` trades now.
    ///
    /// # Errors
    /// [`RestError`].
    ///
    /// # Cost
    /// One request.
    pub fn market_snapshots(&self, product: Product) -> Result<MarketSnapshots, RestError> {
        let path = "/v5/market/tickers";
        let result = self.get(path, &format!("category={}", product.name()), None)?;
        let items = result["list"].as_array().ok_or(RestError::BadAnswer { path, field: "list" })?;
        let mut found: BTreeMap<&str, Result<MarketSnapshot, String>> = BTreeMap::new();
        for item in items {
            let name = item["symbol"].as_str().ok_or(RestError::BadAnswer { path, field: "symbol" })?;
            let is_again = found.insert(name, snapshot(name, item)).is_some();
            if is_again {
                found.insert(name, Err("told twice".to_owned()));
            }
        }
        let mut out = MarketSnapshots::default();
        for (symbol, snapshot) in found {
            match snapshot {
                Ok(snapshot) => out.found.push(snapshot),
                Err(reason) => out.unusable.push(Unusable { symbol: symbol.to_owned(), reason }),
            }
        }
        Ok(out)
    }

    /// How one instrument trades now.
    ///
    /// # Errors
    /// [`RestError`]; also if its ticker cannot be read.
    pub fn market_snapshot(&self, product: Product, symbol: &str) -> Result<MarketSnapshot, RestError> {
        let path = "/v5/market/tickers";
        let result = self.get(path, &format!("category={}&symbol={}", product.name(), escape(symbol)), None)?;
        let bad = RestError::BadAnswer { path, field: "list" };
        let mut items = result["list"].as_array().into_iter().flatten();
        let item = items.find(|item| item["symbol"].as_str() == Some(symbol));
        item.and_then(|item| snapshot(symbol, item).ok()).ok_or(bad)
    }

    /// The last `count` candles of one instrument, oldest first; the newest may still be open. `count` is at most
    /// [`KLINES_MAX`].
    ///
    /// # Errors
    /// [`RestError`].
    pub fn klines(&self, product: Product, symbol: &str, span: KlineSpan, count: u32) -> Result<Vec<Kline>, RestError> {
        let path = "/v5/market/kline";
        let count = count.clamp(1, KLINES_MAX);
        let (category, symbol) = (product.name(), escape(symbol));
        let query = format!("category={category}&symbol={symbol}&interval={}&limit={count}", span.name());
        let result = self.get(path, &query, None)?;
        let items = result["list"].as_array().ok_or(RestError::BadAnswer { path, field: "list" })?;
        let candle = |item: &Value| kline(item).ok_or(RestError::BadAnswer { path, field: "list" });
        let mut out: Vec<Kline> = items.iter().map(candle).collect::<Result<_, _>>()?;
        // The venue tells the newest first.
        out.sort_by_key(|kline| kline.start);
        Ok(out)
    }
}

/// A text that is there and not empty.
fn given<'a>(item: &'a Value, field: &str) -> Option<&'a str> {
    item[field].as_str().filter(|text| !text.is_empty())
}

fn exact(item: &Value, field: &str) -> Result<Option<Money>, String> {
    let Some(text) = given(item, field) else { return Ok(None) };
    Money::parse(text.as_bytes()).map(Some).map_err(|error| format!("{field} `{text}`: {error}"))
}

/// A sum that nobody is paid: what has more than twelve decimals is cut there.
fn cut(item: &Value, field: &str) -> Result<Option<Money>, String> {
    let Some(text) = given(item, field) else { return Ok(None) };
    let end = text.find('.').map_or(text.len(), |dot| (dot + 1 + Money::DECIMALS as usize).min(text.len()));
    let (kept, rest) = text.as_bytes().split_at(end);
    if !rest.iter().all(u8::is_ascii_digit) {
        return Err(format!("{field} `{text}` is no number"));
    }
    Money::parse(kept).map(Some).map_err(|error| format!("{field} `{text}`: {error}"))
}

fn millis(item: &Value, field: &str) -> Option<Nanos> {
    given(item, field)?.parse().ok().filter(|ms| *ms > 0).map(Nanos::from_millis)
}

/// One instrument of the list, or why it cannot be traded exactly.
pub(super) fn listing(product: Product, name: &str, item: &Value) -> Result<Listing, String> {
    let symbol = Symbol::new(name.as_bytes()).ok_or("the name is no name here")?;
    let step = |item: &Value, field: &str| -> Result<Option<Step>, String> {
        let Some(text) = given(item, field) else { return Ok(None) };
        Step::from_text(text.as_bytes()).map(Some).map_err(|error| format!("{field} `{text}`: {error}"))
    };
    let lots = &item["lotSizeFilter"];
    let tick = step(&item["priceFilter"], "tickSize")?.ok_or("no tickSize")?;
    // Spot has no `qtyStep`.
    let lot = match step(lots, "qtyStep")? {
        Some(lot) => lot,
        None => step(lots, "basePrecision")?.ok_or("neither qtyStep nor basePrecision")?,
    };
    let mut spec = InstrumentSpec::new(VenueId::BYBIT, symbol, product, tick, lot)
        .ok_or_else(|| format!("tick {tick} times lot {lot} has more than {} decimals", Money::DECIMALS))?;
    // Every order is a whole number of lots, so these bounds mean the same after rounding inwards.
    let whole = |quantity: Money, is_up: bool| {
        let count = quantity.get().div_euclid(lot.pico()) + i128::from(is_up && quantity.get() % lot.pico() != 0);
        Lots::new(i64::try_from(count.max(0)).unwrap_or(i64::MAX))
    };
    if let Some(least) = exact(lots, "minOrderQty")? {
        spec.min_qty = whole(least, true).max(Lots::new(1));
    }
    let most = match product {
        Product::Spot => exact(lots, "maxLimitOrderQty")?.or(exact(lots, "maxOrderQty")?),
        _ => exact(lots, "maxOrderQty")?,
    };
    spec.max_qty = most.map(|most| whole(most, false)).filter(|most| *most > Lots::ZERO).unwrap_or(spec.max_qty);
    let least_value = exact(lots, "minNotionalValue")?.or(exact(lots, "minOrderAmt")?);
    spec.min_notional = least_value.unwrap_or(spec.min_notional);
    spec.max_leverage_e2 = match exact(&item["leverageFilter"], "maxLeverage")? {
        // Hundredths, as `100.00` is sent; a finer one is cut, never raised.
        Some(leverage) => u32::try_from(leverage.saturating_mul(100).get() / Money::ONE.get())
            .map_err(|_| format!("maxLeverage {leverage} is out of range"))?,
        None if product == Product::Spot => 100,
        None => spec.max_leverage_e2,
    };
    let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
    let (base, quote) = (text("baseCoin"), text("quoteCoin"));
    let settle = given(item, "settleCoin").map_or_else(|| quote.clone(), str::to_owned);
    spec.settle = Currency::new(settle.as_bytes()).unwrap_or(spec.settle);
    let status = match item["status"].as_str() {
        Some("Trading") if item["isPreListing"].as_bool() == Some(true) => ListingStatus::PreLaunch,
        Some("Trading") => ListingStatus::Trading,
        Some("PreLaunch") => ListingStatus::PreLaunch,
        Some("Delivering") => ListingStatus::Delivering,
        Some("Closed") => ListingStatus::Closed,
        _ => ListingStatus::Unknown,
    };
    let contract = match (product, item["contractType"].as_str()) {
        (Product::Spot, _) => ContractKind::Spot,
        (_, Some("LinearPerpetual" | "InversePerpetual")) => ContractKind::Perpetual,
        (_, Some("LinearFutures" | "InverseFutures")) => ContractKind::Future,
        _ => ContractKind::Unknown,
    };
    let funding_interval_min = item["fundingInterval"].as_u64().and_then(|minutes| u32::try_from(minutes).ok());
    Ok(Listing {
        spec,
        status,
        contract,
        base,
        quote,
        settle,
        funding_interval_min: funding_interval_min.filter(|minutes| *minutes > 0),
        launched: millis(item, "launchTime"),
        delivers: millis(item, "deliveryTime"),
    })
}

/// One ticker of the list, or what is wrong with it.
fn snapshot(name: &str, item: &Value) -> Result<MarketSnapshot, String> {
    let symbol = Symbol::new(name.as_bytes()).ok_or("the name is no name here")?;
    // Nobody there is told as an empty text or as zero.
    let price = |field| exact(item, field).map(|px| px.filter(|px| *px > Money::ZERO));
    let funding_rate = match given(item, "fundingRate") {
        Some(text) => Some(Rate::parse(text.as_bytes()).map_err(|error| format!("fundingRate `{text}`: {error}"))?),
        None => None,
    };
    Ok(MarketSnapshot {
        symbol,
        bid_px: price("bid1Price")?,
        ask_px: price("ask1Price")?,
        last_px: price("lastPrice")?,
        prev_px_24h: price("prevPrice24h")?,
        high_px_24h: price("highPrice24h")?,
        low_px_24h: price("lowPrice24h")?,
        volume_24h: cut(item, "volume24h")?,
        turnover_24h: cut(item, "turnover24h")?,
        open_interest_value: cut(item, "openInterestValue")?,
        funding_rate,
        next_funding: millis(item, "nextFundingTime"),
    })
}

/// `[start, open, high, low, close, volume, turnover]`, all as texts.
fn kline(item: &Value) -> Option<Kline> {
    let price = |idx: usize| Money::parse(item.get(idx)?.as_str()?.as_bytes()).ok().filter(|px| *px > Money::ZERO);
    let start = item.get(0)?.as_str()?.parse().ok().map(Nanos::from_millis)?;
    Some(Kline { start, open: price(1)?, high: price(2)?, low: price(3)?, close: price(4)? })
}

#[cfg(test)]
mod tests {
    use super::super::rest::tests::{BTC, client, result, serve};
    use super::*;

    fn read(text: &str) -> Result<Listing, String> {
        listing(Product::Linear, "XUSDT", &serde_json::from_str(text).unwrap())
    }

    #[test]
    fn listings_are_read_page_by_page_and_nothing_is_dropped() {
        let first = result(&format!(r#"{{"list":[{BTC}],"nextPageCursor":"a=b&c"}}"#));
        let fine = BTC.replace("0.10", "0.0000000001").replace("BTC", "FINE");
        let none = BTC.replace(r#""tickSize":"0.10""#, r#""tickSize":"""#).replace("BTC", "NONE");
        let second = result(&format!(r#"{{"list":[{fine},{none}],"nextPageCursor":""}}"#));
        let pre = BTC.replace("Trading", "PreLaunch").replace("BTC", "NEW");
        let third = result(&format!(r#"{{"list":[{pre},{BTC}],"nextPageCursor":""}}"#));
        let fourth = result(r#"{"list":[],"nextPageCursor":""}"#);
        let (url, handle) = serve(vec![first, second, third, fourth]);
        let found = client(&url).listings(Product::Linear).unwrap();
        let statuses: Vec<_> = found.found.iter().map(|l| (l.spec.symbol.as_str(), l.status)).collect();
        assert_eq!(statuses, [("BTCUSDT", ListingStatus::Trading), ("NEWUSDT", ListingStatus::PreLaunch)]);
        let reasons: Vec<_> = found.unusable.iter().map(|u| (u.symbol.as_str(), u.reason.as_str())).collect();
        assert_eq!(
            reasons,
            [("FINEUSDT", "tick 0.0000000001 times lot 0.001 has more than 12 decimals"), ("NONEUSDT", "no tickSize"),]
        );
        let spec = found.found[0].spec;
        assert_eq!((spec.min_qty, spec.max_qty, spec.max_leverage_e2), (Lots::new(1), Lots::new(1_190_000), 10_000));
        assert_eq!((spec.min_notional.to_string(), found.requests), ("5".to_owned(), 4));
        let asked = handle.join().unwrap();
        assert!(asked[0].starts_with("GET /v5/market/instruments-info?category=linear&limit=1000 "));
        assert!(asked[1].contains("&cursor=a%3Db%26c "));
        assert!(asked[2].contains("&status=PreLaunch&") && asked[3].contains("&status=Delivering&"));
    }

    #[test]
    fn a_symbol_that_is_told_in_two_ways_is_not_used() {
        let other = BTC.replace("0.10", "0.50");
        let (url, handle) = serve(vec![result(&format!(r#"{{"list":[{BTC},{other},{BTC}],"nextPageCursor":""}}"#))]);
        let found = client(&url).trading_listings(Product::Linear).unwrap();
        handle.join().unwrap();
        assert!(found.found.is_empty(), "{found:?}");
        assert_eq!(found.unusable.len(), 1);
    }

    #[test]
    fn a_listing_keeps_coins_dates_and_kind() {
        let whole = r#"{"symbol":"XUSDT","contractType":"LinearFutures","status":"Trading","baseCoin":"X","quoteCoin":"USDT","settleCoin":"USDT","launchTime":"1585526400000","deliveryTime":"0","fundingInterval":240,"leverageFilter":{"maxLeverage":"12.505"},"priceFilter":{"tickSize":"0.5"},"lotSizeFilter":{"qtyStep":"3","minOrderQty":"4","maxOrderQty":"10","minNotionalValue":""}}"#;
        let found = read(whole).unwrap();
        assert_eq!((found.base.as_str(), found.settle.as_str(), found.contract), ("X", "USDT", ContractKind::Future));
        assert_eq!((found.launched, found.delivers), (Some(Nanos::from_millis(1_585_526_400_000)), None));
        assert_eq!(found.funding_interval_min, Some(240));
        // Bounds that lie between two lots are rounded inwards.
        assert_eq!(
            (found.spec.min_qty, found.spec.max_qty, found.spec.max_leverage_e2),
            (Lots::new(2), Lots::new(3), 1250)
        );
        assert_eq!(found.spec.min_notional, Money::ZERO);
        assert_eq!(read(&whole.replace("\"Trading\"", "\"Paused\"")).unwrap().status, ListingStatus::Unknown);
        for (from, to, wants) in [
            ("\"minNotionalValue\":\"\"", "\"minNotionalValue\":\"five\"", "minNotionalValue"),
            ("12.505", "1e9", "maxLeverage"),
            ("12.505", "99999999999", "maxLeverage"),
            ("\"maxOrderQty\":\"10\"", "\"maxOrderQty\":\"?\"", "maxOrderQty"),
            ("\"tickSize\":\"0.5\"", "\"tickSize\":\"0\"", "tickSize"),
        ] {
            let error = read(&whole.replace(from, to)).unwrap_err();
            assert!(error.contains(wants), "{error}");
        }
        let spot = r#"{"symbol":"XUSDT","status":"Trading","baseCoin":"X","quoteCoin":"USDC","priceFilter":{"tickSize":"0.1"},"lotSizeFilter":{"basePrecision":"0.01","minOrderAmt":"5","maxLimitOrderQty":"7"}}"#;
        let found = listing(Product::Spot, "XUSDC", &serde_json::from_str(spot).unwrap()).unwrap();
        assert_eq!((found.settle.as_str(), found.contract), ("USDC", ContractKind::Spot));
        assert_eq!((found.spec.max_qty, found.spec.max_leverage_e2), (Lots::new(700), 100));
    }

    #[test]
    fn tickers_are_exact_and_what_is_missing_is_none() {
        let list = r#"{"list":[
            {"symbol":"BTCUSDT","lastPrice":"66666.60","bid1Price":"66666.60","ask1Price":"66666.70","highPrice24h":"79266.30","lowPrice24h":"65076.90","prevPrice24h":"79206.20","turnover24h":"4936790807.65211234567899","volume24h":"73191.3870","openInterestValue":"32824881841.75","fundingRate":"-0.005","nextFundingTime":"1760342400000"},
            {"symbol":"DEADUSDT","lastPrice":"0","bid1Price":"","ask1Price":"0","turnover24h":"","fundingRate":""},
            {"symbol":"ODDUSDT","lastPrice":"1e5"}]}"#;
        let (url, handle) = serve(vec![result(list)]);
        let found = client(&url).market_snapshots(Product::Linear).unwrap();
        assert!(handle.join().unwrap()[0].starts_with("GET /v5/market/tickers?category=linear "));
        let btc = found.found[0];
        assert_eq!(btc.ask_px.unwrap().to_string(), "66666.7");
        assert_eq!(btc.turnover_24h.unwrap().to_string(), "4936790807.652112345678");
        assert_eq!(
            (btc.funding_rate, btc.next_funding.map(Nanos::as_millis)),
            (Some(Rate::new(-500_000)), Some(1_760_342_400_000))
        );
        assert_eq!(found.found[1], MarketSnapshot::silent(Symbol::new(b"DEADUSDT").unwrap()));
        assert_eq!(found.unusable[0].symbol, "ODDUSDT");
        assert!(found.unusable[0].reason.contains("lastPrice `1e5`"), "{}", found.unusable[0].reason);
    }

    #[test]
    fn one_ticker_is_the_one_that_was_asked_for() {
        let list =
            r#"{"list":[{"symbol":"ETHUSDT","bid1Price":"1"},{"symbol":"BTCUSDT","bid1Price":"2","ask1Price":""}]}"#;
        let bad = r#"{"list":[{"symbol":"BTCUSDT","bid1Price":"x"}]}"#;
        let (url, handle) = serve(vec![result(list), result(bad), result(r#"{"list":[]}"#)]);
        let rest = client(&url);
        let btc = rest.market_snapshot(Product::Linear, "BTCUSDT").unwrap();
        assert_eq!((btc.bid_px, btc.ask_px), (Some(Money::ONE.saturating_mul(2)), None));
        assert!(rest.market_snapshot(Product::Linear, "BTCUSDT").is_err());
        assert!(rest.market_snapshot(Product::Linear, "BTCUSDT").is_err());
        let asked = handle.join().unwrap();
        assert!(asked[0].starts_with("GET /v5/market/tickers?category=linear&symbol=BTCUSDT "), "{}", asked[0]);
    }

    #[test]
    fn candles_come_oldest_first_or_not_at_all() {
        let list = r#"{"list":[["120000","2","3","1","2.5","9","9"],["60000","1","2","1","2","9","9"]]}"#;
        let bad = r#"{"list":[["120000","2","3","1"]]}"#;
        let (url, handle) = serve(vec![result(list), result(bad)]);
        let rest = client(&url);
        let found = rest.klines(Product::Linear, "BTCUSDT", KlineSpan::Minute, 5_000).unwrap();
        assert_eq!(
            found.iter().map(|k| (k.start.as_millis(), k.close.to_string())).collect::<Vec<_>>(),
            [(60_000, "2".to_owned()), (120_000, "2.5".to_owned())]
        );
        assert!(rest.klines(Product::Linear, "BTCUSDT", KlineSpan::Hour, 2).is_err());
        let asked = handle.join().unwrap();
        assert!(asked[0].contains("?category=linear&symbol=BTCUSDT&interval=1&limit=1000 "), "{}", asked[0]);
    }

    #[test]
    fn garbage_is_refused_and_never_panics() {
        for text in
            ["null", "[]", "{}", r#"{"lotSizeFilter":7,"priceFilter":[]}"#, r#"{"priceFilter":{"tickSize":"é"}}"#]
        {
            let value: Value = serde_json::from_str(text).unwrap();
            assert!(listing(Product::Linear, "X", &value).is_err(), "{text}");
            let _ = (snapshot("X", &value), kline(&value));
        }
        for text in ["1.é", "1.23456789012é", ".", "-", "1.1234567890123x"] {
            assert!(cut(&serde_json::json!({ "a": text }), "a").is_err(), "{text}");
        }
    }
}
