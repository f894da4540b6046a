//! Bybit v5.

mod feed;
mod market;

pub use feed::MarketFeed;
pub use market::Pair;
