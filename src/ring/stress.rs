//! The same promises across real cores, with checksums, for long enough that the ring wraps many thousand times.

use std::thread;

use super::{Received, broadcast, seqlock, spsc};
use crate::types::Record;

const ITEMS: u64 = 300_000;

fn record(n: u64) -> Record {
    Record { words: [n, n ^ 1, n ^ 2, n ^ 3, n ^ 4, n ^ 5, n.wrapping_mul(0x9e37_79b9_7f4a_7c15)] }
}

#[test]
fn spsc_carries_bursts_between_cores() {
    let (mut producer, mut consumer) = spsc::<Record>(64);
    let writer = thread::spawn(move || {
        let mut next = 0;
        while next < ITEMS {
            let count = (next % 23 + 1).min(ITEMS - next);
            if next % 2 == 0 {
                match producer.publish_with(count as usize, |idx| record(next + idx as u64)) {
                    true => next += count,
                    false => thread::yield_now(),
                }
                continue;
            }
            match producer.claim(count as usize) {
                Some(mut claim) => {
                    for idx in 0..count {
                        claim.write(idx as usize, record(next + idx));
                    }
                    claim.commit();
                    next += count;
                }
                None => thread::yield_now(),
            }
        }
    });
    let mut want = 0;
    while want < ITEMS {
        let taken = consumer.pop_batch(17, |got| {
            assert_eq!(got, record(want));
            want += 1;
        });
        if taken == 0 {
            thread::yield_now();
        }
    }
    writer.join().unwrap();
    assert_eq!(consumer.pop(), None);
}

#[test]
fn seqlock_readers_never_see_a_mixture() {
    let (mut writer, reader) = seqlock::<7>();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let reader = reader.clone();
            thread::spawn(move || {
                let mut last = 0;
                while last < ITEMS {
                    match reader.read() {
                        Some((0, _)) | None => thread::yield_now(),
                        Some((version, words)) => {
                            assert_eq!(words, record(words[0]).words);
                            assert_eq!(version / 2, words[0] + 1);
                            assert!(words[0] + 1 >= last, "went back from {last} to {}", words[0]);
                            last = words[0] + 1;
                        }
                    }
                }
            })
        })
        .collect();
    for n in 0..ITEMS {
        writer.write(record(n).words);
    }
    for handle in readers {
        handle.join().unwrap();
    }
}

#[test]
fn broadcast_readers_account_for_every_record() {
    let mut writer = broadcast(32);
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let mut reader = writer.reader();
            thread::spawn(move || {
                let mut next = 0;
                while next < ITEMS {
                    match reader.pop() {
                        Received::Record(got) => {
                            assert_eq!(got, record(next));
                            next += 1;
                        }
                        Received::Lost(count) => next += count,
                        Received::Empty => thread::yield_now(),
                    }
                }
                assert_eq!(next, ITEMS);
            })
        })
        .collect();
    for n in 0..ITEMS {
        writer.push(record(n));
    }
    for handle in readers {
        handle.join().unwrap();
    }
}
