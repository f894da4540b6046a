//! The venue's orders by number: found at once, listed in order.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::{order::OrderNo, record::OrderRecord};

/// Spreads running numbers and short names: one multiplication for each eight bytes. What a map of them is asked never
/// depends on its order.
#[derive(Clone, Copy, Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|&word| self.write_u64(u64::from_le_bytes(word)));
        rest.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

/// Orders, open and remembered.
#[derive(Default)]
pub(super) struct OrderRecords {
    by_no: HashMap<OrderNo, OrderRecord, BuildHasherDefault<NumberHasher>>,
    /// For lists alone: ascending. A number that is forgotten stays until they are half of all.
    numbers: VecDeque<OrderNo>,
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
        let no = record.no;
        self.by_no.insert(no, record);
        if self.numbers.back().is_none_or(|last| *last < no) {
            self.numbers.push_back(no);
        } else if let Err(at) = self.numbers.binary_search(&no) {
            // One that waited for its price has had its number for long.
            self.numbers.insert(at, no);
        }
    }

    pub fn remove(&mut self, no: OrderNo) -> Option<OrderRecord> {
        let removed = self.by_no.remove(&no);
        if self.numbers.len() > 2 * self.by_no.len() + 16 {
            self.numbers.retain(|no| self.by_no.contains_key(no));
        }
        removed
    }

    /// All of them, the newest number first.
    pub fn newest_first(&self) -> impl Iterator<Item = &OrderRecord> {
        self.numbers.iter().rev().filter_map(|no| self.by_no.get(no))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{AccountId, LinkId, OrderKind, SelfTrade};
    use crate::types::{InstrumentId, Lots, Money, Nanos, OrderStatus, Side, Ticks, TimeInForce};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn record(no: u64) -> OrderRecord {
        OrderRecord {
            no: OrderNo(no),
            account: AccountId(0),
            link: LinkId::NONE,
            instrument: InstrumentId(0),
            side: Side::Bid,
            kind: OrderKind::Limit,
            px: Ticks::new(1),
            qty: Lots::new(1),
            tif: TimeInForce::GoodTillCancel,
            reduce_only: false,
            self_trade: SelfTrade::None,
            status: OrderStatus::New,
            cancelled: None,
            filled: Lots::ZERO,
            filled_value: Money::ZERO,
            fees: Money::ZERO,
            created: Nanos::ZERO,
            updated: Nanos::ZERO,
        }
    }

    proptest! {
        #[test]
        fn the_list_is_what_was_put_in_and_not_taken_out(steps in prop::collection::vec((any::<bool>(), 1u64..40), 0..300)) {
            let (mut records, mut expected) = (OrderRecords::default(), BTreeSet::new());
            for (is_new, no) in steps {
                if is_new && expected.insert(no) {
                    records.insert(record(no));
                } else if !is_new {
                    prop_assert_eq!(records.remove(OrderNo(no)).is_some(), expected.remove(&no));
                }
                let listed: Vec<u64> = records.newest_first().map(|record| record.no.0).collect();
                prop_assert_eq!(&listed, &expected.iter().rev().copied().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn what_is_forgotten_takes_no_room_for_long() {
        let mut records = OrderRecords::default();
        for no in 1..=10_000 {
            records.insert(record(no));
            if no > 10 {
                // The first ten stay, as orders that rest for days do.
                records.remove(OrderNo(no));
            }
            assert!(records.numbers.len() <= 40, "{} numbers of ten orders", records.numbers.len());
        }
    }
}
