//! One instrument's market, whichever kind fills its orders.

use super::{
    matching::Matching,
    order::{CancelReason, Incoming, OrderNo, Report},
    queue::QueueModel,
};
use crate::types::{Level, Lots, Side, Ticks};

/// What fills an instrument's orders.
// A venue holds a handful of these; boxing one variant would only add a jump.
#[allow(clippy::large_enum_variant)]
pub enum Market {
    /// Orders of everyone, the crowd included.
    Matching(Matching),
    /// A captured feed.
    Queue(QueueModel),
}

impl Market {
    /// Returns the displayed levels of a side, best first.
    pub fn levels(&self, side: Side) -> Box<dyn Iterator<Item = Level> + '_> {
        match self {
            Self::Matching(market) => Box::new(market.levels(side)),
            Self::Queue(market) => Box::new(market.levels(side)),
        }
    }

    /// Returns the best displayed level of a side.
    pub fn best(&self, side: Side) -> Option<Level> {
        match self {
            Self::Matching(market) => market.best(side),
            Self::Queue(market) => market.best(side),
        }
    }

    /// Returns a number that grows with every change of the displayed market.
    pub fn version(&self) -> u64 {
        match self {
            Self::Matching(market) => market.version(),
            Self::Queue(market) => market.version(),
        }
    }

    pub(super) fn place(&mut self, order: &Incoming, out: &mut Vec<Report>) {
        match self {
            Self::Matching(market) => market.place(order, out),
            Self::Queue(market) => market.place(order, out),
        }
    }

    pub(super) fn amend(&mut self, no: OrderNo, px: Ticks, leaves: Lots, out: &mut Vec<Report>) {
        match self {
            Self::Matching(market) => market.amend(no, px, leaves, out),
            Self::Queue(market) => market.amend(no, px, leaves, out),
        }
    }

    pub(super) fn cancel(&mut self, no: OrderNo, reason: CancelReason, out: &mut Vec<Report>) -> bool {
        match self {
            Self::Matching(market) => market.cancel(no, reason, out),
            Self::Queue(market) => market.cancel(no, reason, out),
        }
    }
}
