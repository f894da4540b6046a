//! Single-producer single-consumer ring with the sequence number inside the slot.
//!
//! ```text
//!          head (consumer's, published)            tail (producer's, private)
//!            ▼                                       ▼
//!   ┌──────┬──────┬──────┬──────┬──────┬──────┬──────┬──────┐   slot = 8 bytes sequence + 56 bytes record
//!   │ free │ p+1  │ p+2  │ p+3  │ p+4  │ p+5  │ free │ free │   = one cache line
//!   └──────┴──────┴──────┴──────┴──────┴──────┴──────┴──────┘
//! ```
//!
//! The slot of position `p` holds sequence `p + 1` once it is published, so the consumer finds out by reading the line
//! that it wants anyway, and a record costs one line transfer. The producer reads `head` only when its cached copy says
//! that the ring is full.
//!
//! Several slots are published together by storing the sequence of the first one last: a consumer that looks at slots
//! in order sees all of them or none.

use crossbeam_utils::CachePadded;

use super::sync::{Arc, AtomicU64, Ordering, UnsafeCell};
use crate::types::{Record, RecordSink};

#[repr(C, align(64))]
struct Slot<T> {
    /// First, so that it is written with aligned stores: sixteen bytes eight beyond their alignment halve the throughput.
    value: UnsafeCell<T>,
    /// Position + 1 of what the slot holds, 0 at first. Written by the producer only.
    sequence: AtomicU64,
}

#[cfg(not(loom))]
const _: () =
    assert!(size_of::<Slot<Record>>() == 64 && align_of::<Slot<Record>>() == 64, "one slot is one cache line");

struct Shared<T> {
    slots: Box<[Slot<T>]>,
    mask: usize,
    /// Positions below it are free again. Written by the consumer only, on a line of its own.
    head: CachePadded<AtomicU64>,
}

// SAFETY: a slot's value is written only by the one producer while its position is in `head + capacity > position >=
// tail`, and read only by the one consumer after the slot's sequence published it and before `head` passes it (see
// `Claim::commit`, `Consumer::peek_at`, `Consumer::advance`); the two handles are not `Clone`.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: the slots own plain values of `T`.
#[allow(unsafe_code)]
unsafe impl<T: Send> Send for Shared<T> {}

/// Makes a ring of `capacity` slots and returns its two ends.
///
/// # Panics
/// If `capacity` is not a power of two.
pub fn spsc<T: Copy + Default + Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!(capacity.is_power_of_two(), "ring capacity {capacity} should be a power of two");
    let slots =
        (0..capacity).map(|_| Slot { value: UnsafeCell::new(T::default()), sequence: AtomicU64::new(0) }).collect();
    let shared = Arc::new(Shared { slots, mask: capacity - 1, head: CachePadded::new(AtomicU64::new(0)) });
    let producer = Producer { shared: shared.clone(), tail: 0, head_cached: 0 };
    (producer, Consumer { shared, head: 0 })
}

/// The writing end.
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    /// Next position to write.
    tail: u64,
    /// A copy of the consumer's head, possibly old: the ring may have more room than it says, never less.
    head_cached: u64,
}

impl<T: Copy> Producer<T> {
    /// How many slots the ring has.
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }

    /// A look at how full the ring is, for others.
    pub fn gauge(&self) -> Gauge<T> {
        Gauge { shared: self.shared.clone() }
    }

    /// Whether the consumer has taken everything that was published.
    pub fn is_drained(&mut self) -> bool {
        self.consumed() == self.tail
    }

    /// How many slots were ever published.
    #[inline]
    pub fn published(&self) -> u64 {
        self.tail
    }

    /// How many slots the consumer has freed. What the consumer's thread did before it freed them is visible.
    #[inline]
    pub fn consumed(&mut self) -> u64 {
        self.refresh_head();
        self.head_cached
    }

    /// Reserves `count` slots, or `None` if fewer are free. The claim is filled in place and published by
    /// [`Claim::commit`]; dropped without that, nothing happens.
    #[inline]
    pub fn claim(&mut self, count: usize) -> Option<Claim<'_, T>> {
        let capacity = self.shared.slots.len();
        if count > capacity {
            return None;
        }
        let taken_after = |head: u64, tail: u64| (tail - head) as usize + count;
        if taken_after(self.head_cached, self.tail) > capacity {
            self.refresh_head();
            if taken_after(self.head_cached, self.tail) > capacity {
                return None;
            }
        }
        Some(Claim { producer: self, count })
    }

    /// Publishes one value; hands it back if the ring is full.
    ///
    /// # Errors
    /// The value, if there is no room.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), T> {
        match self.claim(1) {
            Some(mut claim) => {
                claim.write(0, value);
                claim.commit();
                Ok(())
            }
            None => Err(value),
        }
    }

    /// Publishes `count` values together, `value_at(0)` first; returns whether there was room for all of them, and publishes
    /// none if not. The quick way for bursts: each line is written once, with its sequence, where a [`Claim`] passes over
    /// the lines twice. `value_at` is called for the later ones first to last, and for the first one at the end.
    ///
    /// If `value_at` panics nothing is published, and the slots can be used again.
    #[inline]
    pub fn publish_with(&mut self, count: usize, mut value_at: impl FnMut(usize) -> T) -> bool {
        if count == 0 {
            return true;
        }
        let Some(claim) = self.claim(count) else { return false };
        let mut burst = Burst { claim, written: 1 };
        for idx in 1..count {
            let value = value_at(idx);
            burst.claim.write(idx, value);
            // Not visible yet: a consumer looks at slots in order, and the first one has no sequence yet.
            burst.claim.stamp(idx, true);
            burst.written = idx + 1;
        }
        let value = value_at(0);
        burst.claim.write(0, value);
        burst.claim.stamp(0, true);
        let Burst { claim, written } = &mut burst;
        claim.producer.tail += *written as u64;
        *written = 0;
        true
    }

    #[inline]
    fn refresh_head(&mut self) {
        // Pairs with the Release store in `Consumer::advance`: the consumer's reads of these slots are over.
        self.head_cached = self.shared.head.load(Ordering::Acquire);
    }
}

/// How full a ring is, for whoever holds neither of its ends: for people and for judgements, never for decisions.
///
/// Neither end writes anything for it: the freed positions are published anyway, and which slots are published can be seen
/// in them.
#[derive(Clone)]
pub struct Gauge<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Gauge<T> {
    /// How many slots the ring has.
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }

    /// Slots that are published and not freed, 0 to the capacity. Both ends may move while it looks, so it is what was so at
    /// some moment, give or take the slots that were published or freed meanwhile.
    ///
    /// # Cost
    /// A load for each halving of the capacity.
    pub fn fill(&self) -> usize {
        // Pairs with the Release store in `Consumer::advance`.
        let head = self.shared.head.load(Ordering::Acquire);
        // Published positions follow each other without a hole, so the first one that is not can be searched by halves.
        let (mut low, mut high) = (0, self.shared.slots.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let position = head + middle as u64;
            let slot = &self.shared.slots[position as usize & self.shared.mask];
            // Relaxed: no value is read by it. A later position in the slot means that this one was published, too.
            if slot.sequence.load(Ordering::Relaxed) > position {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Reserved slots, invisible to the consumer until [`Claim::commit`].
pub struct Claim<'a, T> {
    producer: &'a mut Producer<T>,
    count: usize,
}

impl<T: Copy> Claim<'_, T> {
    /// Writes slot `idx` of the claim.
    ///
    /// # Panics
    /// If `idx` is not below the claimed count.
    #[inline]
    pub fn write(&mut self, idx: usize, value: T) {
        assert!(idx < self.count, "slot {idx} of a claim of {}", self.count);
        let shared = &self.producer.shared;
        let slot = &shared.slots[(self.producer.tail as usize + idx) & shared.mask];
        slot.value.with_mut(|cell| {
            // SAFETY: `claim` proved that the consumer's head is past this slot's previous use, and the consumer does
            // not touch it again before `commit` publishes its sequence.
            #[allow(unsafe_code)]
            unsafe {
                *cell = value;
            }
        });
    }

    /// Publishes all slots of the claim together. Every one of them should have been written; one that was not holds
    /// an old value.
    #[inline]
    pub fn commit(self) {
        for idx in (0..self.count).rev() {
            // The first slot comes last: its Release store publishes the values of all.
            self.stamp(idx, true);
        }
        self.producer.tail += self.count as u64;
    }

    /// Says of slot `idx` that its position is published, or that it is not.
    #[inline]
    fn stamp(&self, idx: usize, is_published: bool) {
        let shared = &self.producer.shared;
        let position = self.producer.tail + idx as u64;
        let sequence = if is_published { position + 1 } else { 0 };
        // Pairs with the Acquire load in `Consumer::peek_at`.
        shared.slots[position as usize & shared.mask].sequence.store(sequence, Ordering::Release);
    }
}

/// A claim whose slots are stamped as they are written, but for the first.
struct Burst<'a, T: Copy> {
    claim: Claim<'a, T>,
    /// Slots that may be stamped; 0 once all of them are published.
    written: usize,
}

impl<T: Copy> Drop for Burst<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Only after a panic of whoever makes the values: what comes next in these slots must not find them published.
        for idx in 1..self.written {
            self.claim.stamp(idx, false);
        }
    }
}

/// The reading end.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    /// Next position to read.
    head: u64,
}

impl<T: Copy> Consumer<T> {
    /// How many slots the ring has.
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }

    /// Returns the next value without taking it, or `None` if nothing is published. The producer may publish more at
    /// any moment, but takes nothing back.
    #[inline]
    pub fn peek(&self) -> Option<T> {
        self.peek_at(0)
    }

    /// Returns the value `idx` places after the next one, or `None` if that is not published yet. The slots of one
    /// claim become visible together, looked at in order.
    #[inline]
    pub fn peek_at(&self, idx: usize) -> Option<T> {
        let position = self.head + idx as u64;
        let slot = &self.shared.slots[position as usize & self.shared.mask];
        // Pairs with the Release store in `Claim::commit`.
        if slot.sequence.load(Ordering::Acquire) != position + 1 {
            return None;
        }
        Some(slot.value.with(|cell| {
            // SAFETY: the sequence says that this position is published, and the producer does not reuse the slot
            // before `advance` has moved `head` past it.
            #[allow(unsafe_code)]
            unsafe {
                *cell
            }
        }))
    }

    /// Frees the next `count` slots, which the caller has read.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.capacity(), "advance by {count} of {}", self.capacity());
        self.head += count as u64;
        // Pairs with the Acquire load in `Producer::refresh_head`.
        self.shared.head.store(self.head, Ordering::Release);
    }

    /// Takes the next value.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let value = self.peek()?;
        self.advance(1);
        Some(value)
    }

    /// Takes up to `max` values, gives them to `f` in order, frees their slots with one store, and returns how many.
    #[inline]
    pub fn pop_batch(&mut self, max: usize, mut f: impl FnMut(T)) -> usize {
        let mut count = 0;
        while count < max.min(self.capacity()) {
            let Some(value) = self.peek_at(count) else { break };
            f(value);
            count += 1;
        }
        if count > 0 {
            self.advance(count);
        }
        count
    }
}

impl RecordSink for Producer<Record> {
    #[inline]
    fn publish(&mut self, count: usize, record_at: impl FnMut(usize) -> Record) -> bool {
        self.publish_with(count, record_at)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pop_returns_items_in_push_order() {
        let (mut producer, mut consumer) = spsc(4);
        for round in 0..10u64 {
            for i in 0..4 {
                assert_eq!(producer.push(round * 4 + i), Ok(()));
            }
            assert_eq!(producer.push(99), Err(99));
            for i in 0..4 {
                assert_eq!(consumer.pop(), Some(round * 4 + i));
            }
            assert_eq!(consumer.pop(), None);
        }
        assert!(producer.is_drained());
    }

    #[test]
    fn a_dropped_claim_publishes_nothing() {
        let (mut producer, mut consumer) = spsc(4);
        if let Some(mut claim) = producer.claim(3) {
            claim.write(0, 1u64);
        }
        assert_eq!(consumer.pop(), None);
        assert_eq!(producer.push(7), Ok(()));
        assert_eq!(consumer.pop(), Some(7));
        assert!(producer.claim(5).is_none());
    }

    #[test]
    fn a_burst_that_panics_publishes_nothing_later_either() {
        let (mut producer, mut consumer) = spsc(8);
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            producer.publish_with(5, |idx| if idx == 4 { panic!("no value") } else { idx as u64 })
        }));
        assert!(broken.is_err());
        assert_eq!(consumer.pop(), None);
        assert_eq!(producer.push(7), Ok(()));
        assert_eq!((consumer.pop(), consumer.pop()), (Some(7), None));
    }

    proptest! {
        #[test]
        fn behaves_like_a_bounded_queue(steps in proptest::collection::vec((0u8..4, 0usize..6), 0..200)) {
            let (mut producer, mut consumer) = spsc(8);
            let mut naive = VecDeque::new();
            let mut next = 0u64;
            for (what, count) in steps {
                match what {
                    0 => {
                        let room = naive.len() + count <= 8;
                        let claim = producer.claim(count);
                        prop_assert_eq!(claim.is_some(), room);
                        if let Some(mut claim) = claim {
                            for idx in 0..count {
                                claim.write(idx, next);
                                naive.push_back(next);
                                next += 1;
                            }
                            claim.commit();
                        }
                    }
                    1 => {
                        let room = naive.len() + count <= 8;
                        prop_assert_eq!(producer.publish_with(count, |idx| next + idx as u64), room);
                        if room {
                            naive.extend(next..next + count as u64);
                            next += count as u64;
                        }
                    }
                    2 => {
                        let mut got = Vec::new();
                        let taken = consumer.pop_batch(count, |v| got.push(v));
                        prop_assert_eq!(taken, got.len());
                        let want: Vec<u64> = naive.drain(..count.min(naive.len())).collect();
                        prop_assert_eq!(got, want);
                    }
                    _ => prop_assert_eq!(consumer.peek_at(count), naive.get(count).copied()),
                }
                prop_assert_eq!(producer.gauge().fill(), naive.len());
            }
        }
    }
}
