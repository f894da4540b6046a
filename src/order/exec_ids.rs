//! Which executions have been booked already.
//!
//! Venues repeat executions over reconnects and on parallel streams. The last `capacity` ids are remembered; an older
//! one that came again would be booked twice, so the capacity is far above what a venue repeats.

use crate::types::Money;

/// A fixed-size set of the newest ids.
pub struct ExecIds {
    /// Open addressing, at most half full; 0 is empty (an id of 0 is stored as 1).
    slots: Box<[u128]>,
    /// Ids in the order of their arrival, to forget the oldest.
    order: Box<[u128]>,
    next: usize,
    len: usize,
}

impl ExecIds {
    /// Makes a set that remembers `capacity` ids.
    ///
    /// # Panics
    /// If `capacity` is zero.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "capacity of the execution ids should be above 0");
        Self {
            slots: vec![0; (capacity * 2).next_power_of_two()].into_boxed_slice(),
            order: vec![0; capacity].into_boxed_slice(),
            next: 0,
            len: 0,
        }
    }

    /// Takes an id; returns whether it is new.
    ///
    /// # Cost
    /// One or two probes, and as many to forget the oldest.
    pub fn insert(&mut self, id: u128) -> bool {
        let id = id.max(1);
        if self.find(id).is_ok() {
            return false;
        }
        if self.len == self.order.len() {
            self.remove(self.order[self.next]);
        } else {
            self.len += 1;
        }
        if let Err(at) = self.find(id) {
            self.slots[at] = id;
        }
        self.order[self.next] = id;
        self.next = (self.next + 1) % self.order.len();
        true
    }

    fn home(&self, id: u128) -> usize {
        let folded = (id as u64) ^ ((id >> 64) as u64);
        (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & (self.slots.len() - 1)
    }

    /// Where the id is, or the empty slot where it would go.
    fn find(&self, id: u128) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut at = self.home(id);
        loop {
            match self.slots[at] {
                0 => return Err(at),
                found if found == id => return Ok(at),
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// Removes an id and closes the gap, so that probing still finds what lies behind it.
    fn remove(&mut self, id: u128) {
        let Ok(mut gap) = self.find(id) else { return };
        let mask = self.slots.len() - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let found = self.slots[at];
            if found == 0 {
                break;
            }
            let distance_home = at.wrapping_sub(self.home(found)) & mask;
            let distance_gap = at.wrapping_sub(gap) & mask;
            if distance_home >= distance_gap {
                self.slots[gap] = found;
                gap = at;
            }
        }
        self.slots[gap] = 0;
    }
}

/// An execution that was booked before all of it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// The execution.
    pub exec_id: u128,
    /// The fee that was booked, to be replaced by the venue's word.
    pub fee: Money,
    /// Whether the fee is still to be told.
    pub is_fee_open: bool,
    /// Whether the order is still to be told: it was booked into the position alone.
    pub is_order_open: bool,
}

/// Executions of which the rest will be told under the same id: the newest `capacity` of them.
pub struct Estimates {
    open: Vec<Estimate>,
    capacity: usize,
    /// Estimates that were forgotten for want of room; their fees stay estimated.
    pub forgotten: u64,
}

impl Estimates {
    /// Makes a list of at most `capacity`.
    pub fn new(capacity: usize) -> Self {
        Self { open: Vec::with_capacity(capacity), capacity, forgotten: 0 }
    }

    /// Notes one; forgets the oldest if there is no room.
    pub fn insert(&mut self, estimate: Estimate) {
        if self.open.len() == self.capacity {
            self.open.remove(0);
            self.forgotten += 1;
        }
        self.open.push(estimate);
    }

    /// Takes the one of that id out.
    pub fn take(&mut self, exec_id: u128) -> Option<Estimate> {
        let at = self.open.iter().position(|estimate| estimate.exec_id == exec_id)?;
        Some(self.open.remove(at))
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn remembers_exactly_the_newest(ids in proptest::collection::vec(1u128..40, 0..300)) {
            let mut set = ExecIds::new(8);
            let mut naive: VecDeque<u128> = VecDeque::new();
            for id in ids {
                let is_new = !naive.contains(&id);
                prop_assert_eq!(set.insert(id), is_new);
                if is_new {
                    naive.push_back(id);
                    if naive.len() > 8 {
                        naive.pop_front();
                    }
                }
            }
        }
    }
}
