//! The ring beside public ones, across two cores: one-way latency of a 64-byte record, throughput one at a time and in bursts
//! of 32. Contenders take turns; the transfer of a cache line is probed in every round, because it changes on virtual machines.
//!
//! Needs two cores for itself: on a machine that does other work its figures mean nothing.
#![allow(missing_docs)] // A program, not a library.

use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crossbeam_queue::ArrayQueue;
use tercel::ring::{Consumer, Producer, spsc};
use tercel::runtime::Clock;
use tercel::types::Record;

const CAPACITY: usize = 1024;
const TRIPS: usize = 60_000;
const WARM_UP: usize = 5_000;
const ITEMS: usize = 2_000_000;
const BURST: usize = 32;

/// A line of the core distance: rounds below it are near, others far.
const NEAR_NS: u64 = 90;

fn pin(cpu: usize) {
    if !core_affinity::set_for_current(core_affinity::CoreId { id: cpu }) {
        eprintln!("could not pin to cpu {cpu}");
    }
}

fn record(n: u64) -> Record {
    Record { words: [n; 7] }
}

/// What the same seven words are to rings that take whole lines: eight.
#[derive(Clone, Copy, Default)]
struct Line([u64; 8]);

trait Tx: Send + 'static {
    fn push(&mut self, n: u64) -> bool;
    /// Publishes `BURST` numbers from `n` on; returns how many went.
    fn burst(&mut self, n: u64) -> usize {
        usize::from(self.push(n))
    }
}

trait Rx: Send + 'static {
    fn pop(&mut self) -> Option<u64>;
    /// Takes what is there, at most `BURST`; adds to `sum` and returns how many.
    fn drain(&mut self, sum: &mut u64) -> usize {
        match self.pop() {
            Some(n) => {
                *sum = sum.wrapping_add(n);
                1
            }
            None => 0,
        }
    }
}

impl Tx for Producer<Record> {
    #[inline]
    fn push(&mut self, n: u64) -> bool {
        Producer::push(self, record(n)).is_ok()
    }

    #[inline]
    fn burst(&mut self, n: u64) -> usize {
        if self.publish_with(BURST, |idx| record(n + idx as u64)) { BURST } else { 0 }
    }
}

impl Rx for Consumer<Record> {
    #[inline]
    fn pop(&mut self) -> Option<u64> {
        Consumer::pop(self).map(|r| r.words[6])
    }

    #[inline]
    fn drain(&mut self, sum: &mut u64) -> usize {
        self.pop_batch(BURST, |r| *sum = sum.wrapping_add(r.words[6]))
    }
}

impl Tx for rtrb::Producer<Line> {
    #[inline]
    fn push(&mut self, n: u64) -> bool {
        rtrb::Producer::push(self, Line([n; 8])).is_ok()
    }

    #[inline]
    fn burst(&mut self, n: u64) -> usize {
        match self.write_chunk_uninit(BURST) {
            Ok(chunk) => chunk.fill_from_iter((n..n + BURST as u64).map(|n| Line([n; 8]))),
            Err(_) => 0,
        }
    }
}

impl Rx for rtrb::Consumer<Line> {
    #[inline]
    fn pop(&mut self) -> Option<u64> {
        rtrb::Consumer::pop(self).ok().map(|line| line.0[7])
    }

    #[inline]
    fn drain(&mut self, sum: &mut u64) -> usize {
        let count = self.slots().min(BURST);
        if count == 0 {
            return 0;
        }
        let chunk = self.read_chunk(count).unwrap();
        for line in chunk {
            *sum = sum.wrapping_add(line.0[7]);
        }
        count
    }
}

struct Queue(Arc<ArrayQueue<Line>>);

impl Tx for Queue {
    #[inline]
    fn push(&mut self, n: u64) -> bool {
        self.0.push(Line([n; 8])).is_ok()
    }
}

impl Rx for Queue {
    #[inline]
    fn pop(&mut self) -> Option<u64> {
        self.0.pop().map(|line| line.0[7])
    }
}

struct DisruptorTx(disruptor::SingleProducer<Line, disruptor::SingleConsumerBarrier>);
struct DisruptorRx(disruptor::EventPoller<Line, disruptor::SingleProducerBarrier>);

impl Tx for DisruptorTx {
    #[inline]
    fn push(&mut self, n: u64) -> bool {
        use disruptor::Producer;
        self.0.try_publish(|line| line.0 = [n; 8]).is_ok()
    }

    #[inline]
    fn burst(&mut self, n: u64) -> usize {
        use disruptor::Producer;
        let sent = self.0.try_batch_publish(BURST, |lines| {
            for (idx, line) in lines.enumerate() {
                line.0 = [n + idx as u64; 8];
            }
        });
        if sent.is_ok() { BURST } else { 0 }
    }
}

impl Rx for DisruptorRx {
    #[inline]
    fn pop(&mut self) -> Option<u64> {
        let mut out = None;
        if let Ok(mut guard) = self.0.take(1) {
            out = (&mut guard).next().map(|line| line.0[7]);
        }
        out
    }

    #[inline]
    fn drain(&mut self, sum: &mut u64) -> usize {
        let Ok(mut guard) = self.0.take(BURST as u64) else { return 0 };
        let mut count = 0;
        for line in &mut guard {
            *sum = sum.wrapping_add(line.0[7]);
            count += 1;
        }
        count
    }
}

fn ours() -> (Producer<Record>, Consumer<Record>) {
    spsc(CAPACITY)
}

fn rtrb() -> (rtrb::Producer<Line>, rtrb::Consumer<Line>) {
    rtrb::RingBuffer::new(CAPACITY)
}

fn queue() -> (Queue, Queue) {
    let queue = Arc::new(ArrayQueue::new(CAPACITY));
    (Queue(queue.clone()), Queue(queue))
}

fn disrupt() -> (DisruptorTx, DisruptorRx) {
    let builder = disruptor::build_single_producer(CAPACITY, Line::default, disruptor::BusySpin);
    let (poller, builder) = builder.new_event_poller();
    (DisruptorTx(builder.build()), DisruptorRx(poller))
}

/// p50, p99 and p99.9 of half a round trip, in nanoseconds.
fn latency<T: Tx, R: Rx>(make: fn() -> (T, R), clock: &Clock) -> [u64; 3] {
    let (mut there, mut from_here) = make();
    let (mut back, mut from_there) = make();
    let echo = thread::spawn(move || {
        pin(1);
        for _ in 0..WARM_UP + TRIPS {
            let n = loop {
                match from_here.pop() {
                    Some(n) => break n,
                    None => spin_loop(),
                }
            };
            while !back.push(n) {}
        }
    });
    let mut trips = Vec::with_capacity(TRIPS);
    for n in 0..(WARM_UP + TRIPS) as u64 {
        let start = clock.now();
        while !there.push(n) {}
        let got = loop {
            match from_there.pop() {
                Some(got) => break got,
                None => spin_loop(),
            }
        };
        let took = clock.now().saturating_since(start);
        assert_eq!(got, n);
        if n as usize >= WARM_UP {
            trips.push(took);
        }
    }
    echo.join().unwrap();
    trips.sort_unstable();
    [TRIPS / 2, TRIPS * 99 / 100, TRIPS * 999 / 1000].map(|at| trips[at] / 2)
}

/// Millions of items a second, one at a time or in bursts.
fn throughput<T: Tx, R: Rx>(make: fn() -> (T, R), bursts: bool, clock: &Clock) -> f64 {
    let (mut tx, mut rx) = make();
    let items = ITEMS.next_multiple_of(BURST);
    let reader = thread::spawn(move || {
        pin(1);
        let (mut sum, mut count) = (0u64, 0);
        while count < items {
            let taken = if bursts {
                rx.drain(&mut sum)
            } else {
                rx.pop().map_or(0, |n| {
                    sum = sum.wrapping_add(n);
                    1
                })
            };
            count += taken;
            if taken == 0 {
                spin_loop();
            }
        }
        black_box(sum)
    });
    let start = clock.now();
    let mut sent = 0;
    while sent < items {
        let went = if bursts { tx.burst(sent as u64) } else { usize::from(tx.push(sent as u64)) };
        sent += went;
        if went == 0 {
            spin_loop();
        }
    }
    let sum = reader.join().unwrap();
    let took = clock.now().saturating_since(start).max(1);
    assert_eq!(sum, (items as u64 - 1) * items as u64 / 2, "everything arrived");
    items as f64 * 1000.0 / took as f64
}

/// One cache line there and back, halved: the floor.
fn line_ns(clock: &Clock) -> u64 {
    let word = Arc::new(crossbeam_padded::Padded(AtomicU64::new(0)));
    let other = word.clone();
    let echo = thread::spawn(move || {
        pin(1);
        for n in 0..TRIPS as u64 {
            while other.0.load(Ordering::Acquire) != 2 * n + 1 {
                spin_loop();
            }
            other.0.store(2 * n + 2, Ordering::Release);
        }
    });
    let mut trips = Vec::with_capacity(TRIPS);
    for n in 0..TRIPS as u64 {
        let start = clock.now();
        word.0.store(2 * n + 1, Ordering::Release);
        while word.0.load(Ordering::Acquire) != 2 * n + 2 {
            spin_loop();
        }
        trips.push(clock.now().saturating_since(start));
    }
    echo.join().unwrap();
    trips.sort_unstable();
    trips[TRIPS / 2] / 2
}

mod crossbeam_padded {
    /// A line of its own.
    #[repr(align(128))]
    pub struct Padded<T>(pub T);
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

const NAMES: [&str; 4] = ["rtrb", "ours", "disruptor (poller)", "crossbeam ArrayQueue"];

fn latency_table(name: &str, rounds: &[[[u64; 3]; 4]]) {
    if rounds.is_empty() {
        return;
    }
    println!("\none way, half a round trip; {name}, {} rounds\n", rounds.len());
    println!("| ring | p50 ns | p99 ns | p99.9 ns | p50 of rtrb | p99 of rtrb |\n|---|---:|---:|---:|---:|---:|");
    for (idx, ring) in NAMES.iter().enumerate() {
        let of = |q: usize| median(&mut rounds.iter().map(|r| r[idx][q] as f64).collect::<Vec<_>>());
        let ratio =
            |q: usize| median(&mut rounds.iter().map(|r| r[idx][q] as f64 / r[0][q].max(1) as f64).collect::<Vec<_>>());
        println!("| {ring} | {} | {} | {} | {:.2} | {:.2} |", of(0), of(1), of(2), ratio(0), ratio(1));
    }
}

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    if thread::available_parallelism().map_or(1, usize::from) < 2 {
        eprintln!("SKIPPED: two cores are needed");
        return;
    }
    pin(0);
    let clock = Clock::new();
    let rounds = std::env::var("TERCEL_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(11usize);
    let (mut near, mut far) = (Vec::new(), Vec::new());
    let (mut single, mut burst): (Vec<[f64; 4]>, Vec<[f64; 4]>) = (Vec::new(), Vec::new());
    let mut lines = Vec::new();
    for _ in 0..rounds {
        let line = line_ns(&clock);
        lines.push(line);
        let round = [latency(rtrb, &clock), latency(ours, &clock), latency(disrupt, &clock), latency(queue, &clock)];
        if line < NEAR_NS {
            near.push(round)
        } else {
            far.push(round)
        }
        single.push([
            throughput(rtrb, false, &clock),
            throughput(ours, false, &clock),
            throughput(disrupt, false, &clock),
            throughput(queue, false, &clock),
        ]);
        burst.push([
            throughput(rtrb, true, &clock),
            throughput(ours, true, &clock),
            throughput(disrupt, true, &clock),
            f64::NAN,
        ]);
    }
    println!("one cache line, one way, by round: {lines:?} ns");
    latency_table(&format!("cores near (line below {NEAR_NS} ns)"), &near);
    latency_table(&format!("cores far (line {NEAR_NS} ns or more)"), &far);
    for (name, rounds) in [("one at a time", &single), ("bursts of 32, drained in batches", &burst)] {
        println!("\nthroughput, {name}\n\n| ring | M items/s | of rtrb |\n|---|---:|---:|");
        for (idx, ring) in NAMES.iter().enumerate() {
            let value = median(&mut rounds.iter().map(|r| r[idx]).collect::<Vec<_>>());
            let ratio = median(&mut rounds.iter().map(|r| r[idx] / r[0]).collect::<Vec<_>>());
            if value.is_finite() {
                println!("| {ring} | {value:.1} | {ratio:.2} |");
            }
        }
    }
}
