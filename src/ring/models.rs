//! Loom models: every interleaving and every allowed reordering of small instances. Run with `RUSTFLAGS="--cfg loom"`.

use loom::thread;

use super::{Received, broadcast, seqlock, spsc};
use crate::types::Record;

#[test]
fn spsc_delivers_everything_in_order_through_a_full_ring() {
    loom::model(|| {
        let (mut producer, mut consumer) = spsc::<u64>(2);
        let writer = thread::spawn(move || {
            for n in 1..=3 {
                while producer.push(n).is_err() {
                    thread::yield_now();
                }
            }
        });
        for want in 1..=3 {
            loop {
                if let Some(got) = consumer.pop() {
                    assert_eq!(got, want);
                    break;
                }
                thread::yield_now();
            }
        }
        assert_eq!(consumer.pop(), None);
        writer.join().unwrap();
    });
}

#[test]
fn spsc_publishes_a_claim_all_or_none() {
    loom::model(|| {
        let (mut producer, consumer) = spsc::<u64>(4);
        let writer = thread::spawn(move || {
            let mut claim = producer.claim(3).unwrap();
            for idx in 0..3 {
                claim.write(idx, idx as u64 + 10);
            }
            claim.commit();
        });
        if consumer.peek().is_some() {
            for idx in 0..3 {
                assert_eq!(consumer.peek_at(idx), Some(idx as u64 + 10));
            }
        }
        writer.join().unwrap();
    });
}

#[test]
fn spsc_publishes_a_burst_all_or_none_also_in_used_slots() {
    loom::model(|| {
        let (mut producer, mut consumer) = spsc::<u64>(2);
        let writer = thread::spawn(move || {
            for burst in 1..=2u64 {
                while !producer.publish_with(2, |idx| 10 * burst + idx as u64) {
                    thread::yield_now();
                }
            }
        });
        for burst in 1..=2u64 {
            while consumer.peek().is_none() {
                thread::yield_now();
            }
            assert_eq!((consumer.peek_at(0), consumer.peek_at(1)), (Some(10 * burst), Some(10 * burst + 1)));
            consumer.advance(2);
        }
        writer.join().unwrap();
    });
}

#[test]
fn spsc_reuses_a_slot_only_after_it_was_read() {
    loom::model(|| {
        let (mut producer, mut consumer) = spsc::<u64>(1);
        let writer = thread::spawn(move || {
            let mut pushed = 0;
            for n in 1..=2 {
                if producer.push(n).is_ok() {
                    pushed += 1;
                }
            }
            pushed
        });
        let mut got = 0;
        for _ in 0..2 {
            got += usize::from(consumer.pop().is_some());
        }
        let pushed = writer.join().unwrap();
        while consumer.pop().is_some() {
            got += 1;
        }
        assert_eq!(got, pushed);
    });
}

#[test]
fn seqlock_never_shows_a_torn_value() {
    loom::model(|| {
        let (mut writer, reader) = seqlock::<2>();
        let handle = thread::spawn(move || {
            writer.write([1, 1]);
            writer.write([2, 2]);
        });
        for _ in 0..2 {
            if let Some((version, [a, b])) = reader.read() {
                assert_eq!(a, b);
                assert_eq!(version, a * 2);
            }
        }
        handle.join().unwrap();
    });
}

#[test]
fn broadcast_counts_what_a_slow_reader_lost() {
    loom::model(|| {
        let mut writer = broadcast(2);
        let mut reader = writer.reader();
        let handle = thread::spawn(move || {
            for n in 0..3 {
                writer.push(Record { words: [n; 7] });
            }
        });
        let mut next = 0;
        let mut take = |reader: &mut super::BroadcastReader| match reader.pop() {
            Received::Record(record) => {
                assert_eq!(record.words, [next; 7]);
                next += 1;
                true
            }
            Received::Lost(count) => {
                next += count;
                true
            }
            Received::Empty => false,
        };
        take(&mut reader);
        handle.join().unwrap();
        while take(&mut reader) {}
        assert_eq!(next, 3);
    });
}
