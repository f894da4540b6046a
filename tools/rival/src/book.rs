//! Books in two `BTreeMap`s, and the order that the bench expects for each of their updates.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::wire::Frame;

/// A decimal number with eight digits behind the point, exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(i64);

const SCALE_DIGITS: usize = 8;
const SCALE: i64 = 100_000_000;

impl Decimal {
    /// Reads `123.45`; `None` for anything else, and for what does not fit.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if fraction.len() > SCALE_DIGITS || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let whole: u32 = whole.parse().ok()?;
        let digits: i64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
        let fraction = digits * 10i64.pow((SCALE_DIGITS - fraction.len()) as u32);
        i64::from(whole).checked_mul(SCALE)?.checked_add(fraction).map(Self)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / SCALE, self.0 % SCALE);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let text = format!("{whole}.{fraction:08}");
        f.write_str(text.trim_end_matches('0'))
    }
}

/// The order that answers an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish<'a> {
    pub symbol: &'a str,
    pub is_buy: bool,
    pub px: Decimal,
    pub qty: Decimal,
}

/// Quantities name the update that they answer: so many lots and the number of the update, which starts anew after so many.
const CODE_BASE: u64 = 1000;
const CODES: u64 = 8192;

struct Market {
    bids: BTreeMap<Decimal, Decimal>,
    asks: BTreeMap<Decimal, Decimal>,
    updates: u64,
    lot: Decimal,
}

/// Every instrument's book.
pub struct Markets {
    prefix: String,
    by_symbol: HashMap<String, Market>,
}

impl Markets {
    /// Makes empty books of that depth for instruments given as `SYMBOL=LOT`.
    ///
    /// # Errors
    /// The text that is not of that form.
    pub fn new(depth: u16, instruments: &[String]) -> Result<Self, String> {
        let mut by_symbol = HashMap::new();
        for text in instruments {
            let parsed = text.split_once('=').and_then(|(symbol, lot)| Some((symbol, Decimal::parse(lot)?)));
            let (symbol, lot) = parsed.ok_or_else(|| format!("`{text}` is not SYMBOL=LOT"))?;
            let market = Market { bids: BTreeMap::new(), asks: BTreeMap::new(), updates: 0, lot };
            by_symbol.insert(symbol.to_owned(), market);
        }
        Ok(Self { prefix: format!("orderbook.{depth}."), by_symbol })
    }

    /// Applies a message; returns the order that answers it.
    pub fn on_frame<'a>(&mut self, frame: &Frame<'a>) -> Option<Wish<'a>> {
        if !frame.topic.starts_with(&self.prefix) {
            return None;
        }
        let symbol = frame.data.s;
        let market = self.by_symbol.get_mut(symbol)?;
        if frame.kind == "snapshot" {
            market.bids.clear();
            market.asks.clear();
        }
        for (side, levels) in [(&mut market.bids, &frame.data.b), (&mut market.asks, &frame.data.a)] {
            for (px, qty) in levels {
                let (px, qty) = (Decimal::parse(px)?, Decimal::parse(qty)?);
                if qty.0 == 0 {
                    side.remove(&px);
                } else {
                    side.insert(px, qty);
                }
            }
        }
        market.updates += 1;
        // The first one is where the book begins.
        if market.updates == 1 {
            return None;
        }
        let is_buy = market.updates.is_multiple_of(2);
        let opposite = if is_buy { market.asks.first_key_value() } else { market.bids.last_key_value() };
        let qty = Decimal((CODE_BASE + market.updates % CODES) as i64 * market.lot.0);
        opposite.map(|(&px, _)| Wish { symbol, is_buy, px, qty })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_keep_no_zeros() {
        for text in ["0", "1", "0.001", "60000.1", "0.00000001", "4294967295.99999999"] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Decimal::parse("60000.10").unwrap().to_string(), "60000.1");
        for bad in ["", "a", "-1", "1.000000001", "1.-1", "1,5", "4294967296"] {
            assert_eq!(Decimal::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_update_after_the_first_is_answered_at_the_opposite_touch() {
        let mut markets = Markets::new(50, &["BTCUSDT=0.001".to_owned()]).unwrap();
        let mut play = |text: &'static str| markets.on_frame(&serde_json::from_str::<Frame>(text).unwrap());
        let snapshot = r#"{"topic":"orderbook.50.BTCUSDT","type":"snapshot","data":{"s":"BTCUSDT","b":[["10.5","1"],["10.4","2"]],"a":[["10.7","1"]]}}"#;
        assert_eq!(play(snapshot), None);
        let second =
            play(r#"{"topic":"orderbook.50.BTCUSDT","type":"delta","data":{"s":"BTCUSDT","b":[],"a":[["10.6","3"]]}}"#)
                .unwrap();
        assert_eq!(
            (second.is_buy, second.px.to_string(), second.qty.to_string()),
            (true, "10.6".into(), "1.002".into())
        );
        let third =
            play(r#"{"topic":"orderbook.50.BTCUSDT","type":"delta","data":{"s":"BTCUSDT","b":[["10.5","0"]],"a":[]}}"#)
                .unwrap();
        assert_eq!((third.is_buy, third.px.to_string(), third.qty.to_string()), (false, "10.4".into(), "1.003".into()));
        let other = r#"{"topic":"orderbook.1.BTCUSDT","type":"delta","data":{"s":"BTCUSDT","b":[["9","1"]],"a":[]}}"#;
        assert_eq!(play(other), None);
        assert!(Markets::new(50, &["BTCUSDT".to_owned()]).is_err());
    }
}
