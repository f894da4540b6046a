//! Contenders in turns: A B C A B C …, medians over rounds, ratios taken within each round. On a machine that is shared
//! with other work a ratio says something where nanoseconds do not.

use std::time::Instant;

/// What is timed, under a name; returns something that depends on all of its work.
pub struct Contender<'a> {
    pub name: &'a str,
    /// Does `count` operations.
    pub run: Box<dyn FnMut(usize) -> u64 + 'a>,
}

impl<'a> Contender<'a> {
    pub fn new(name: &'a str, run: impl FnMut(usize) -> u64 + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// One line of the table.
pub struct Line {
    pub name: String,
    pub median_ns: f64,
    pub min_ns: f64,
    pub max_ns: f64,
    /// Median over rounds of the ratio to the first contender's time in the same round.
    pub ratio: f64,
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Time that each contender has in a round, in nanoseconds.
const ROUND_NS: f64 = 30e6;

/// Measures and prints a table; ratios are to the first contender. `TERCEL_BENCH_ROUNDS` sets the number of rounds.
pub fn compare(title: &str, unit: &str, contenders: &mut [Contender<'_>]) -> Vec<Line> {
    let rounds = std::env::var("TERCEL_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15usize);
    let time = |contender: &mut Contender<'_>, count: usize| {
        let start = Instant::now();
        std::hint::black_box((contender.run)(count));
        start.elapsed().as_nanos() as f64 / count as f64
    };
    let counts: Vec<usize> = contenders
        .iter_mut()
        .map(|contender| {
            time(contender, 1_000);
            let each_ns = time(contender, 1_000).max(1.0);
            (ROUND_NS / each_ns).max(1_000.0) as usize
        })
        .collect();
    let mut times: Vec<Vec<f64>> = vec![Vec::with_capacity(rounds); contenders.len()];
    for _ in 0..rounds {
        for (idx, contender) in contenders.iter_mut().enumerate() {
            times[idx].push(time(contender, counts[idx]));
        }
    }
    println!("\n{title} ({rounds} rounds in turns)\n");
    println!("| contender | median ns/{unit} | min | max | of the first |\n|---|---:|---:|---:|---:|");
    let first = times[0].clone();
    contenders
        .iter()
        .zip(&mut times)
        .map(|(contender, times)| {
            let mut ratios: Vec<f64> = times.iter().zip(&first).map(|(time, first)| time / first).collect();
            let ratio = median(&mut ratios);
            let line = Line {
                name: contender.name.to_owned(),
                median_ns: median(times),
                min_ns: times[0],
                max_ns: times[times.len() - 1],
                ratio,
            };
            println!(
                "| {} | {:.1} | {:.1} | {:.1} | {:.3} |",
                line.name, line.median_ns, line.min_ns, line.max_ns, line.ratio
            );
            line
        })
        .collect()
}
