//! What profits, losses and fees are paid in.

use super::{Product, Symbol};
use std::fmt;

/// The currency in which an instrument is settled: `USDT`, `BTC`. Up to fifteen capital letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency {
    bytes: [u8; Self::LEN_MAX],
    len: u8,
}

/// Quote currencies by which names of linear contracts and spot pairs end; a longer one stands before its own end.
const QUOTES: [&str; 15] =
    ["FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDE", "USD1", "USD", "EUR", "BRL", "TRY", "BTC", "ETH", "BNB", "SOL"];

impl Currency {
    /// Longest name in bytes.
    pub const LEN_MAX: usize = 15;
    /// Tether: what most linear contracts are settled in.
    pub const USDT: Self = Self { bytes: *b"USDT\0\0\0\0\0\0\0\0\0\0\0", len: 4 };
    /// Not told. No configuration can name it, so that nothing is traded in it.
    pub const UNKNOWN: Self = Self { bytes: *b"?\0\0\0\0\0\0\0\0\0\0\0\0\0\0", len: 1 };

    /// Takes a name; `None` if it is empty, too long, or has anything but capital letters and digits.
    pub fn new(name: &[u8]) -> Option<Self> {
        let is_good = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if name.is_empty() || name.len() > Self::LEN_MAX || !name.iter().all(is_good) {
            return None;
        }
        let mut bytes = [0; Self::LEN_MAX];
        bytes[..name.len()].copy_from_slice(name);
        Some(Self { bytes, len: name.len() as u8 })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    /// What an instrument of that name is settled in, by the ways in which Bybit and Binance name them, unless the venue says
    /// otherwise: an inverse contract in what stands before `USD`, everything else in the quote currency by which its name
    /// ends (`…PERP`, and Bybit's futures without a quote: `USDC`), or in `USDT` where it ends by none that is known.
    pub fn of(product: Product, symbol: &Symbol) -> Self {
        let symbol = symbol.as_str();
        let pair = symbol.split(['_', '-']).next().unwrap_or(symbol);
        if product == Product::Inverse {
            let base = pair.rfind("USD").map_or("", |at| &pair[..at]);
            return Self::new(base.as_bytes()).unwrap_or(Self::UNKNOWN);
        }
        if pair.ends_with("PERP") {
            return Self::new(b"USDC").unwrap_or(Self::UNKNOWN);
        }
        let quote = QUOTES.into_iter().find(|quote| pair.len() > quote.len() && pair.ends_with(quote));
        match quote.and_then(|quote| Self::new(quote.as_bytes())) {
            Some(quote) => quote,
            None if symbol.contains('-') => Self::new(b"USDC").unwrap_or(Self::UNKNOWN),
            None => Self::USDT,
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_settlement_currency() {
        for (product, symbol, want) in [
            (Product::Linear, "BTCUSDT", "USDT"),
            (Product::Linear, "BTCUSDT_210924", "USDT"),
            (Product::Linear, "BTCUSDT-26DEC25", "USDT"),
            (Product::Linear, "BTCPERP", "USDC"),
            (Product::Linear, "BTC-26DEC25", "USDC"),
            (Product::Linear, "ETHFDUSD", "FDUSD"),
            (Product::Linear, "X", "USDT"),
            (Product::Spot, "ETHBTC", "BTC"),
            (Product::Spot, "NEXOUSDT", "USDT"),
            (Product::Inverse, "BTCUSD_PERP", "BTC"),
            (Product::Inverse, "ETHUSD_210924", "ETH"),
            (Product::Inverse, "BTCUSD", "BTC"),
            (Product::Inverse, "BTCUSDZ25", "BTC"),
            (Product::Inverse, "1000SHIBUSD_PERP", "1000SHIB"),
            (Product::Inverse, "USD", "?"),
            (Product::Inverse, "X", "?"),
        ] {
            let found = Currency::of(product, &Symbol::new(symbol.as_bytes()).unwrap());
            assert_eq!(found.to_string(), want, "{symbol}");
        }
    }

    #[test]
    fn no_name_is_that_of_the_unknown_currency() {
        for name in ["", "?", "usdt", "US DT", "ABCDEFGHIJKLMNOP"] {
            assert!(Currency::new(name.as_bytes()).is_none(), "{name}");
        }
        assert_eq!(Currency::new(b"USDT"), Some(Currency::USDT));
    }
}
