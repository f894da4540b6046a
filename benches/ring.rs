//! The ring against rtrb, on one thread: what the operations cost when nobody waits. What crossing a core costs is part of
//! `tercel bench`.
#![allow(missing_docs)] // `criterion_group!` makes a public function without any.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::ring::spsc;
use tercel::types::Record;

const CAPACITY: usize = 1024;

/// Records of one round: a burst that fits.
const BURST: usize = 64;

/// Records of one event: a header and eight levels records.
const EVENT: usize = 9;

fn record(idx: usize) -> Record {
    Record { words: [idx as u64; 7] }
}

fn push_pop(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring/push_pop");
    group.throughput(Throughput::Elements(BURST as u64));
    group.bench_function("baseline", |b| {
        b.iter(|| (0..BURST).fold(0, |sum, idx| sum ^ black_box(record(idx)).words[6]));
    });
    let (mut producer, mut consumer) = spsc::<Record>(CAPACITY);
    group.bench_function("cap_1024", |b| {
        b.iter(|| {
            for idx in 0..BURST {
                producer.push(black_box(record(idx))).unwrap();
            }
            (0..BURST).fold(0, |sum, _| sum ^ consumer.pop().unwrap().words[6])
        });
    });
    let (mut producer, mut consumer) = rtrb::RingBuffer::<Record>::new(CAPACITY);
    group.bench_function("rtrb_cap_1024", |b| {
        b.iter(|| {
            for idx in 0..BURST {
                producer.push(black_box(record(idx))).unwrap();
            }
            (0..BURST).fold(0, |sum, _| sum ^ consumer.pop().unwrap().words[6])
        });
    });
    group.finish();
}

fn event(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring/event_of_9_records");
    group.throughput(Throughput::Elements(EVENT as u64));
    group.bench_function("baseline", |b| {
        b.iter(|| (0..EVENT).fold(0, |sum, idx| sum ^ black_box(record(idx)).words[6]));
    });
    let (mut producer, mut consumer) = spsc::<Record>(CAPACITY);
    group.bench_function("cap_1024", |b| {
        b.iter(|| {
            let mut claim = producer.claim(EVENT).unwrap();
            for idx in 0..EVENT {
                claim.write(idx, black_box(record(idx)));
            }
            claim.commit();
            let sum = (0..EVENT).fold(0, |sum, idx| sum ^ consumer.peek_at(idx).unwrap().words[6]);
            consumer.advance(EVENT);
            sum
        });
    });
    let (mut producer, mut consumer) = rtrb::RingBuffer::<Record>::new(CAPACITY);
    group.bench_function("rtrb_cap_1024", |b| {
        b.iter(|| {
            let chunk = producer.write_chunk_uninit(EVENT).unwrap();
            chunk.fill_from_iter((0..EVENT).map(|idx| black_box(record(idx))));
            let chunk = consumer.read_chunk(EVENT).unwrap();
            chunk.into_iter().fold(0, |sum, record| sum ^ record.words[6])
        });
    });
    group.finish();
}

criterion_group!(benches, push_pop, event);
criterion_main!(benches);
