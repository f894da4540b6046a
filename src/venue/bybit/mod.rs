//! Bybit v5.
//!
//! `market`, `usual` and `feed` read the public streams; `encode`, `sign` and `private` are order entry and what comes back;
//! `rest` asks the slow questions on a shell thread, `account` and `orders` change what the
//! engine itself never does. Rate budgets are spent by the core: see `risk`.

pub mod account;
pub mod codes;
pub mod encode;
mod feed;
mod fees;
mod listing;
mod market;
pub mod orders;
pub mod private;
mod race;
mod request;
pub mod rest;
pub mod sign;
mod usual;

pub use account::{CancelScope, OrderFilter};
pub use encode::{EncodeError, LinkId, ORDER_BYTES_MAX, OrderEncoder, ReqId};
pub use feed::MarketFeed;
pub use fees::FeeTier;
pub use listing::{KLINES_MAX, KlineSpan, Listings, MarketSnapshots};
pub use market::{Decoder, Pair};
pub use private::{PrivateCounters, PrivateDecoder, PrivateKind};
pub use race::{RaceCount, SOURCES_MAX};
pub use request::{BlockingLane, RestLane, RestRequest, order_query};
pub use sign::{Secret, Signer};
