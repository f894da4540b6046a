//! The venue's orders by number: found at once, listed in order.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::{order::OrderNo, record::OrderRecord};

/// Spreads running numbers: one multiplication. What a map of them is asked never depends on its order.
#[derive(Clone, Copy, Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

/// Orders, open and remembered.
#[derive(Default)]
pub(super) struct OrderRecords {
    by_no: HashMap<OrderNo, OrderRecord, BuildHasherDefault<NumberHasher>>,
    /// For lists alone.
    numbers: BTreeSet<OrderNo>,
}

impl OrderRecords {
    pub fn contains(&self, no: OrderNo) -> bool {
        self.by_no.contains_key(&no)
    }

    #[inline]
    pub fn get(&self, no: OrderNo) -> Option<&OrderRecord> {
        self.by_no.get(&no)
    }

    #[inline]
    pub fn get_mut(&mut self, no: OrderNo) -> Option<&mut OrderRecord> {
        self.by_no.get_mut(&no)
    }

    pub fn insert(&mut self, record: OrderRecord) {
        self.numbers.insert(record.no);
        self.by_no.insert(record.no, record);
    }

    pub fn remove(&mut self, no: OrderNo) -> Option<OrderRecord> {
        self.numbers.remove(&no);
        self.by_no.remove(&no)
    }

    /// All of them, the newest number first.
    pub fn newest_first(&self) -> impl Iterator<Item = &OrderRecord> {
        self.numbers.iter().rev().filter_map(|no| self.by_no.get(no))
    }
}
