//! Binance spot, USD-M and COIN-M futures: market data.

mod buffer;
mod feed;
mod market;
mod usual;

pub use feed::MarketFeed;
pub use market::{Decoder, Pair};
