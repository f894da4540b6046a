//! The words every other module speaks: prices, quantities, moments, identities, events and commands.
//!
//! Depends on nothing else here. Everything that crosses a ring is a [`Record`]: 56 bytes of plain words,
//! one cache line together with the slot's sequence number.

mod board;
mod calendar;
mod command;
mod currency;
mod decimal;
mod event;
mod id;
mod instrument;
mod inverse;
mod listing;
mod num;
mod record;

pub use board::BoardSlot;
pub use calendar::date;
pub use command::{Command, CommandKind, CommandSink, CommandStamps, TimeInForce, TriggerBy, is_triggered};
pub use currency::Currency;
pub use decimal::{DecimalError, Step};
pub(crate) use event::byte_enum;
pub use event::{
    Absent, Ack, Balance, Book, BookKind, BookState, BookStatus, Carried, CarriedKey, Control, Event, Fill, Funding,
    Level, Link, LinkKind, Meta, Op, OrderStatus, OrderUpdate, Pass, PassEnd, Position, Reject, RejectKind, Sent,
    Signal, Ticker, Top, TopCheck, Trade,
};
pub use id::{ClientOrderId, InstrumentId, Side, Symbol, VenueId};
pub(crate) use instrument::settles_of;
pub use instrument::{InstrumentSpec, InstrumentTable, Product, SettleId};
pub use listing::{ContractKind, Kline, Listing, ListingStatus, MarketSnapshot, Unusable};
pub(crate) use num::clamped_product;
pub use num::{Lots, Money, Nanos, NanosDelta, Rate, Ticks};
pub use record::{EVENT_RECORDS_MAX, EventDecodeError, LEVELS_PER_RECORD, Record, RecordSink};
pub(crate) use record::{join, split};
