//! A whole simulation by Tercel and by hftbacktest: the same normalised events in memory, the same strategy (a grid of ten orders every 100 ms),
//! latencies and queue models on, one thread. An event is a level change or a trade; messages about the top alone are left out.
//! Ours also from raw JSON. That both do the same is `tests/parity.rs`; here the counts are compared before anything is timed.
#![allow(missing_docs)] // A program, not a library.

use std::hint::black_box;
use std::time::Instant;

use bench_parts::ours::Simulation;
use bench_parts::{tape, theirs};
use tercel::sim::QueuePosition;

const ROUNDS: usize = 9;

/// One run: orders filled, and seconds.
type Run<'a> = &'a dyn Fn() -> (usize, f64);

fn filled(orders: &[bench_parts::Ended]) -> usize {
    orders.iter().filter(|order| order.filled > 0).count()
}

fn main() {
    let Some(tape) = tape::read() else { return };
    let spec = *tape.table.iter().next().unwrap().1;
    let data = tape::theirs(&tape.messages, &spec);
    let power: QueuePosition = "power:2".parse().unwrap();
    let ours = |position| {
        let mut simulation = Simulation::new(&tape.table, position);
        let start = Instant::now();
        for message in &tape.messages {
            simulation.on_event(&message.event());
        }
        let elapsed = start.elapsed().as_secs_f64();
        (filled(&black_box(simulation).orders), elapsed)
    };
    let from_json = || {
        let mut simulation = Simulation::new(&tape.table, power);
        let start = Instant::now();
        tape::decode(&tape.capture, &tape.table, |event| simulation.on_event(event));
        let elapsed = start.elapsed().as_secs_f64();
        (filled(&black_box(simulation).orders), elapsed)
    };
    let roi_vector = || {
        let hbt = theirs::prepare(data.clone(), theirs::power(2.0), theirs::roi_vector);
        let start = Instant::now();
        let orders = theirs::run(hbt);
        (filled(&orders), start.elapsed().as_secs_f64())
    };
    let hash_map = || {
        let hbt = theirs::prepare(data.clone(), theirs::power(2.0), theirs::hash_map);
        let start = Instant::now();
        let orders = theirs::run(hbt);
        (filled(&orders), start.elapsed().as_secs_f64())
    };
    let baseline = || {
        let start = Instant::now();
        let sum = tape.messages.iter().fold(0, |sum, message| sum ^ black_box(message.at()));
        (black_box(sum) as usize, start.elapsed().as_secs_f64())
    };
    let contenders: [(&str, Run<'_>); 6] = [
        ("hftbacktest, ROIVector, power 2", &roi_vector),
        ("hftbacktest, HashMap, power 2", &hash_map),
        ("tercel, power:2", &|| ours(power)),
        ("tercel, conservative", &|| ours(QueuePosition::Conservative)),
        ("tercel, power:2, from raw JSON", &from_json),
        ("baseline: each message touched", &baseline),
    ];
    let fills: Vec<usize> = contenders.iter().map(|(_, run)| run().0).collect();
    println!("orders filled: theirs {} and {}, ours {}, {} and {}", fills[0], fills[1], fills[2], fills[3], fills[4]);
    assert!(fills[2] == fills[4] && fills[2].abs_diff(fills[0]) * 10 < fills[0], "both simulate the same orders");
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for ((_, run), seconds) in contenders.iter().zip(&mut seconds) {
            seconds.push(run().1);
        }
    }
    println!(
        "\n{}: {} messages, {} events; {ROUNDS} rounds in turns\n\n| contender | M events/s | min | max | of ROIVector (min – max) | of HashMap |\n|---|---:|---:|---:|---:|---:|",
        tape::NAME,
        tape.messages.len(),
        tape.events
    );
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        (values[values.len() / 2], values[0], values[values.len() - 1])
    };
    let bases = [seconds[0].clone(), seconds[1].clone()];
    for ((name, _), seconds) in contenders.iter().zip(&mut seconds) {
        let [roi, map] = &bases;
        let ratios = |base: &[f64]| base.iter().zip(&*seconds).map(|(base, own)| base / own).collect::<Vec<_>>();
        let (to_roi, roi_min, roi_max) = median(&mut ratios(roi));
        let (to_map, ..) = median(&mut ratios(map));
        let rate = |s: f64| tape.events as f64 / s / 1e6;
        let (middle, quick, slow) = median(seconds);
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} | {to_roi:.2} ({roi_min:.2} – {roi_max:.2}) | {to_map:.2} |",
            rate(middle),
            rate(slow),
            rate(quick)
        );
    }
}
