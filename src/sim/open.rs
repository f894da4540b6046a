//! An account's open orders in one instrument, and what they come to.

use super::{order::OrderNo, record::OrderRecord};
use crate::types::{InstrumentSpec, Lots, Money, Side};

/// Numbers of open orders, oldest first, with the sums that every change of one would otherwise have to gather anew.
#[derive(Default)]
pub(super) struct OpenOrders {
    nos: Vec<OrderNo>,
    values: [Money; 2],
    promised: [Lots; 2],
}

/// What one order adds to the sums; nothing once it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    side: Side,
    value: Money,
    promised: Lots,
}

impl Part {
    #[inline]
    pub fn of(record: &OrderRecord, spec: &InstrumentSpec) -> Self {
        let mut part = Self { side: record.side, value: Money::ZERO, promised: Lots::ZERO };
        if record.is_open() && record.reduce_only {
            part.promised = record.unfilled();
        } else if record.is_open() {
            part.value = spec.notional(record.px, record.unfilled());
        }
        part
    }
}

impl OpenOrders {
    /// Takes a new order.
    pub fn push(&mut self, record: &OrderRecord, spec: &InstrumentSpec) {
        self.nos.push(record.no);
        let part = Part::of(record, spec);
        self.replace(&Part { value: Money::ZERO, promised: Lots::ZERO, ..part }, &part);
    }

    /// Counts an order as `after`, which was counted as `before`.
    #[inline]
    pub fn replace(&mut self, before: &Part, after: &Part) {
        let side = after.side as usize;
        self.values[side] = self.values[side].saturating_sub(before.value).saturating_add(after.value);
        self.promised[side] = self.promised[side].saturating_sub(before.promised).saturating_add(after.promised);
    }

    /// Strikes an order off the list; its part has been taken out before.
    pub fn remove(&mut self, no: OrderNo) {
        if let Some(at) = self.nos.iter().position(|open| *open == no) {
            self.nos.remove(at);
        }
    }

    /// Their numbers, oldest first.
    #[inline]
    pub fn nos(&self) -> &[OrderNo] {
        &self.nos
    }

    /// Value of what is unfilled of the orders that may open a position, bids and asks, for margin.
    #[inline]
    pub fn values(&self) -> [Money; 2] {
        self.values
    }

    /// How much of a position reduce-only orders of a side promise to close.
    #[inline]
    pub fn promised(&self, side: Side) -> Lots {
        self.promised[side as usize]
    }

    /// Checks the sums against the orders.
    ///
    /// # Panics
    /// When they differ.
    pub fn assert_sums<'a>(&self, records: impl Iterator<Item = &'a OrderRecord>, spec: &InstrumentSpec) {
        let mut sums = Self::default();
        records.for_each(|record| sums.push(record, spec));
        assert_eq!((self.values, self.promised), (sums.values, sums.promised), "open orders come to what they are");
    }
}
