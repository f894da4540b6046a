//! The report: Markdown for people, JSON for programs, one `.hgrm` for each stage.

use std::fmt::{self, Write};
use std::fs;
use std::io;
use std::path::Path;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::machine::Machine;
use super::{GeneratorReport, Measured, Round, Side, hgrm};
use crate::runtime::{LatencySummary, Percentiles, histogram};

/// Median over the rounds with the smallest and the largest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread<T> {
    /// Median over the rounds.
    pub median: T,
    /// Smallest round.
    pub min: T,
    /// Largest round.
    pub max: T,
}

impl<T: Copy + PartialOrd> Spread<T> {
    /// Of at least one value.
    fn of(mut values: Vec<T>) -> Option<Self> {
        values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        Some(Self { median: *values.get(values.len() / 2)?, min: *values.first()?, max: *values.last()? })
    }
}

/// One figure at three levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Levels<T> {
    /// Median.
    pub p50: T,
    /// 99 %.
    pub p99: T,
    /// 99.9 %.
    pub p999: T,
}

const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

impl<T> Levels<T> {
    fn from_quantiles(figure: impl Fn(f64) -> T) -> Self {
        let [p50, p99, p999] = QUANTILES.map(figure);
        Self { p50, p99, p999 }
    }

    fn zip<U, V>(self, other: Levels<U>, join: impl Fn(T, U) -> V) -> Levels<V> {
        Levels { p50: join(self.p50, other.p50), p99: join(self.p99, other.p99), p999: join(self.p999, other.p999) }
    }

    fn map<U>(self, f: impl Fn(T) -> U) -> Levels<U> {
        Levels { p50: f(self.p50), p99: f(self.p99), p999: f(self.p999) }
    }
}

/// Latencies of the report: every stage, and wire to wire where there is a wire.
#[derive(Clone, Debug, Serialize)]
struct Latencies {
    #[serde(flatten)]
    stages: LatencySummary,
    wire_to_wire: Percentiles,
}

/// Levels with the spread over the rounds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Spreads {
    floor_ns: Levels<Spread<u64>>,
    figure_ns: Levels<Spread<u64>>,
    excess_ns: Levels<Spread<i64>>,
    ratio_to_floor: Levels<Spread<f64>>,
}

/// What the generator saw, summed over the rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    ticks: u64,
    asked: u64,
    answered: u64,
    unanswered: u64,
    unmatched: u64,
    wrong_px: u64,
    late: u64,
}

impl Counts {
    fn add(&mut self, report: &GeneratorReport) {
        self.ticks += report.ticks;
        self.asked += report.asked;
        self.answered += report.answered;
        self.unanswered += report.asked - report.answered;
        self.unmatched += report.unmatched;
        self.wrong_px += report.wrong_px;
        self.late += report.late;
    }

    fn of<'a>(sides: impl Iterator<Item = &'a Side>) -> Self {
        let mut counts = Self::default();
        for report in sides.filter_map(|side| side.generator.as_ref()) {
            counts.add(report);
        }
        counts
    }
}

/// One round, in figures.
#[derive(Clone, Copy, Debug, Serialize)]
struct RoundFigures {
    floor_ns: Levels<u64>,
    figure_ns: Levels<u64>,
    tick_to_order_ns: Levels<u64>,
    ring_one_way_ns: u64,
    /// Times that a core was taken away, floor and engine.
    preemptions: [u64; 2],
}

/// What a report says beside its figures.
#[derive(Clone, Debug, Serialize)]
pub struct ReportContext {
    /// `tick-to-order`, or whatever the run is called.
    pub name: String,
    /// UTC date.
    pub date: String,
    /// The command line that made it.
    pub command: String,
    /// Commit of the source, if known.
    pub commit: Option<String>,
    /// On what.
    pub machine: Machine,
    /// Whether there were sockets.
    pub in_memory: bool,
    /// Threads of the engine.
    pub topology: String,
    /// Core of the generator, then of each of the engine's threads; empty if nothing was pinned.
    pub cpus: Vec<usize>,
    /// What threads did without work.
    pub idle: &'static str,
    /// What was played.
    pub traffic: String,
    /// Time that each side of a round measured, in seconds.
    pub measured_s: f64,
    /// Time played before it, in seconds.
    pub warm_up_s: f64,
    /// Load averages (1, 5, 15 minutes) at start and end.
    pub load_average: [String; 2],
}

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    #[serde(flatten)]
    context: ReportContext,
    rounds: usize,
    rounds_repeated: usize,
    rounds_disturbed: usize,
    latency_ns: Latencies,
    floor_ns: Levels<u64>,
    excess_ns: Levels<i64>,
    ratio_to_floor: Levels<f64>,
    spread: Spreads,
    by_round: Vec<RoundFigures>,
    floor_counts: Counts,
    engine_counts: Counts,
    /// Answered ticks a second, engine.
    orders_per_s: f64,
    /// Mean length of a tick's frame and length of the newest order's message, in bytes.
    tick_frame_bytes: u64,
    order_bytes: usize,
    hot_allocations: Option<u64>,
    #[serde(skip)]
    histograms: Vec<(&'static str, Histogram<u64>)>,
}

impl Report {
    /// Sums up the rounds; `None` if there is none.
    ///
    /// Percentiles are medians over the rounds of each round's percentile; counts are sums, the greatest is the greatest.
    pub fn new(context: ReportContext, measured: &Measured) -> Option<Self> {
        let rounds = measured.rounds.as_slice();
        let levels = |histogram: &Histogram<u64>| Levels::from_quantiles(|q| histogram.value_at_quantile(q));
        let by_round: Vec<RoundFigures> = rounds
            .iter()
            .map(|round| RoundFigures {
                floor_ns: levels(&round.floor.latency),
                figure_ns: levels(&round.engine.latency),
                tick_to_order_ns: levels(tick_to_order(round)),
                ring_one_way_ns: round.ring_one_way_ns,
                preemptions: [round.floor.preemptions, round.engine.preemptions],
            })
            .collect();
        let excess = |r: &RoundFigures| r.figure_ns.zip(r.floor_ns, |figure, floor| figure as i64 - floor as i64);
        let ratio = |r: &RoundFigures| r.figure_ns.zip(r.floor_ns, |figure, floor| figure as f64 / floor.max(1) as f64);
        let spread = Spreads {
            floor_ns: spreads(&by_round, |r| r.floor_ns)?,
            figure_ns: spreads(&by_round, |r| r.figure_ns)?,
            excess_ns: spreads(&by_round, excess)?,
            ratio_to_floor: spreads(&by_round, ratio)?,
        };
        let floor_ns = spread.floor_ns.map(|s| s.median);
        let figure_ns = spread.figure_ns.map(|s| s.median);
        let stage = |idx: usize| {
            let of: Vec<&Histogram<u64>> = rounds.iter().map(|round| round.stages.named()[idx].1).collect();
            percentiles(&of)
        };
        let figures: Vec<&Histogram<u64>> = rounds.iter().map(|round| &round.engine.latency).collect();
        let latency_ns = Latencies {
            stages: LatencySummary {
                frame: stage(0),
                decode: stage(1),
                queue_core: stage(2),
                decide: stage(3),
                queue_gateway: stage(4),
                encode: stage(5),
                send: stage(6),
                tick_to_order: stage(7),
            },
            wire_to_wire: if context.in_memory { Percentiles::default() } else { percentiles(&figures) },
        };
        let generators: Vec<&GeneratorReport> =
            rounds.iter().filter_map(|round| round.engine.generator.as_ref()).collect();
        let elapsed_ns: u64 = generators.iter().map(|report| report.elapsed_ns).sum();
        let engine_counts = Counts::of(rounds.iter().map(|round| &round.engine));
        let sent: u64 = generators.iter().map(|report| report.tick_bytes).sum();
        // Bytes count the warm-up, too; so must the ticks that they are divided by.
        let share = context.measured_s / (context.measured_s + context.warm_up_s).max(f64::MIN_POSITIVE);
        let ticks_sent = engine_counts.ticks as f64 / share.max(f64::MIN_POSITIVE);
        Some(Self {
            rounds: rounds.len(),
            rounds_repeated: measured.repeated,
            rounds_disturbed: measured.disturbed,
            latency_ns,
            floor_ns,
            excess_ns: figure_ns.zip(floor_ns, |figure, floor| figure as i64 - floor as i64),
            ratio_to_floor: figure_ns.zip(floor_ns, |figure, floor| figure as f64 / floor.max(1) as f64),
            spread,
            floor_counts: Counts::of(rounds.iter().map(|round| &round.floor)),
            engine_counts,
            orders_per_s: engine_counts.answered as f64 / (elapsed_ns as f64 / 1e9).max(f64::MIN_POSITIVE),
            tick_frame_bytes: if engine_counts.ticks == 0 { 0 } else { (sent as f64 / ticks_sent) as u64 },
            order_bytes: generators.iter().map(|report| report.order_bytes).max().unwrap_or(0),
            hot_allocations: rounds
                .iter()
                .filter_map(|round| round.hot_allocations)
                .fold(None, |sum, count| Some(sum.unwrap_or(0) + count)),
            histograms: pooled(rounds, context.in_memory),
            by_round,
            context,
        })
    }

    /// Writes the JSON object alone.
    ///
    /// # Errors
    /// Of the file.
    pub fn write_json(&self, file: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        text.push('\n');
        fs::write(file, text)
    }

    /// Writes the whole report into `dir`, which is made: `report.md`, `report.json` and the histograms.
    ///
    /// # Errors
    /// Of a file.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("report.md"), self.markdown())?;
        self.write_json(&dir.join("report.json"))?;
        for (name, histogram) in &self.histograms {
            fs::write(dir.join(format!("{name}.hgrm")), hgrm::render(histogram))?;
        }
        Ok(())
    }

    /// The report for people.
    pub fn markdown(&self) -> String {
        let mut out = String::with_capacity(8192);
        // Writing to a String cannot fail.
        let _ = self.write_markdown(&mut out);
        out
    }

    fn write_markdown(&self, out: &mut String) -> fmt::Result {
        let c = &self.context;
        writeln!(out, "# {}, {}\n", c.name, c.date)?;
        self.write_question(out)?;
        self.write_figures(out)?;
        self.write_stages(out)?;
        self.write_rounds(out)?;
        self.write_conduct(out)?;
        self.write_machine(out)
    }

    fn write_question(&self, out: &mut String) -> fmt::Result {
        let c = &self.context;
        if c.in_memory {
            writeln!(
                out,
                "How long does a tick take from the return of the read that completed its frame to the call of the write that\n\
                 carries its order, without sockets? One thread, frame bytes to order bytes; the floor is what the stamps alone cost.\n"
            )
        } else {
            writeln!(
                out,
                "How long after a tick is due on the wire does its order arrive, and how much of that is the engine's?\n\
                 The floor answers the same ticks over the same kind of sockets with an engine that thinks nothing.\n"
            )
        }?;
        writeln!(out, "```\n{}\n```\n", c.command)
    }

    fn write_figures(&self, out: &mut String) -> fmt::Result {
        let s = &self.spread;
        let name = if self.context.in_memory { "read to write" } else { "wire to wire" };
        writeln!(out, "| µs, median of {} rounds (smallest – largest) | p50 | p99 | p99.9 |", self.rounds)?;
        writeln!(out, "|---|---:|---:|---:|")?;
        let row = |out: &mut String, name: &str, [a, b, c]: [String; 3]| writeln!(out, "| {name} | {a} | {b} | {c} |");
        let us = |s: Spread<u64>| format!("{} ({} – {})", micros(s.median), micros(s.min), micros(s.max));
        let signed = |excess: i64, s: Spread<i64>| {
            let us = |ns: i64| format!("{}{}", if ns < 0 { "−" } else { "" }, micros(ns.unsigned_abs()));
            format!("{} ({} – {})", us(excess), us(s.min), us(s.max))
        };
        let times = |ratio: f64, s: Spread<f64>| format!("{ratio:.2} ({:.2} – {:.2})", s.min, s.max);
        row(out, "floor", s.floor_ns.map(us).list())?;
        row(out, &format!("**{name}**"), s.figure_ns.map(us).list())?;
        row(out, "excess over the floor", self.excess_ns.zip(s.excess_ns, signed).list())?;
        row(out, "ratio to the floor", self.ratio_to_floor.zip(s.ratio_to_floor, times).list())?;
        writeln!(
            out,
            "\nExcess and ratio are those of the medians; in brackets, of each round's own pair. Greatest latency of all rounds:\n\
             {} µs.\n",
            micros(if self.context.in_memory {
                self.latency_ns.stages.tick_to_order.max
            } else {
                self.latency_ns.wire_to_wire.max
            })
        )
    }

    fn write_stages(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "## Inside the engine\n")?;
        writeln!(
            out,
            "Stamps of the engine itself, order by order, from the return of the read to the call of the write. A stage holds\n\
             about one stamp ({:.0} ns) of its own. Over sockets they include the warm-up.\n",
            self.context.machine.stamp_ns
        )?;
        writeln!(out, "| ns | p50 | p99 | p99.9 | max | orders |\n|---|---:|---:|---:|---:|---:|")?;
        let s = &self.latency_ns.stages;
        let rows = [
            ("frame: read returned → frame cut out", &s.frame),
            ("decode: → decoded and sequenced", &s.decode),
            ("queue to core: → taken by the core", &s.queue_core),
            ("decide: → book, signals, strategy, risk", &s.decide),
            ("queue to gateway: → taken by the gateway", &s.queue_gateway),
            ("encode: → order bytes rendered", &s.encode),
            ("send: → write called", &s.send),
            ("**tick to order**", &s.tick_to_order),
        ];
        for (name, p) in rows {
            writeln!(out, "| {name} | {} | {} | {} | {} | {} |", p.p50, p.p99, p.p999, p.max, p.count)?;
        }
        match self.hot_allocations {
            Some(count) => writeln!(out, "\nAllocations on hot duties after warm-up: {count}.\n"),
            None => writeln!(out, "\nAllocations were not counted.\n"),
        }
    }

    fn write_rounds(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "## Rounds, in turns\n")?;
        writeln!(
            out,
            "| round | floor p50 / p99 / p99.9 µs | figure p50 / p99 / p99.9 µs | inside p50 / p99 / p99.9 ns | ring, one way ns | preempted |"
        )?;
        writeln!(out, "|---:|---:|---:|---:|---:|---:|")?;
        for (idx, round) in self.by_round.iter().enumerate() {
            let us = |levels: Levels<u64>| levels.map(micros).list().join(" / ");
            let ns = round.tick_to_order_ns.map(|ns| ns.to_string()).list().join(" / ");
            let (floor, figure) = (us(round.floor_ns), us(round.figure_ns));
            let [a, b] = round.preemptions;
            writeln!(out, "| {} | {floor} | {figure} | {ns} | {} | {a} / {b} |", idx + 1, round.ring_one_way_ns)?;
        }
        writeln!(out)
    }

    fn write_conduct(&self, out: &mut String) -> fmt::Result {
        let c = &self.context;
        writeln!(out, "## How it was measured\n")?;
        writeln!(out, "- Traffic: {}.", c.traffic)?;
        if c.in_memory {
            return writeln!(
                out,
                "- Closed loop: the next tick arrives when the last order is written. There is no waiting to be counted.\n"
            );
        }
        let pinned = match c.cpus.split_first() {
            Some((generator, engine)) => format!("generator on cpu {generator}, engine (and floor) on {engine:?}"),
            None => "not pinned".to_owned(),
        };
        writeln!(out, "- Engine: `{}`, threads {}; {pinned}.", c.topology, c.idle)?;
        writeln!(
            out,
            "- Waiting: open loop. Ticks are sent when they are due, {} s a side after {} s of warm-up, and latency counts from the\n\
             moment at which a tick was due, not from when it left, to the return of the read that brought its order.",
            c.measured_s, c.warm_up_s
        )?;
        writeln!(
            out,
            "- Sockets: loopback TCP, TCP_NODELAY, three connections (market data, order entry, private) that are read in turn; the\n\
             floor has the same three with the same history, and reads the same answers. A tick's frame has {} bytes on average, an\n\
             order's text {}. TLS is off.",
            self.tick_frame_bytes, self.order_bytes
        )?;
        let say = |out: &mut String, name: &str, c: &Counts| {
            writeln!(
                out,
                "- {name}: {} ticks, {} ask for an order, {} answered, {} not; {} orders matched no tick; {} ticks left the generator\n  \
                 more than {} µs late.",
                c.ticks,
                c.asked,
                c.answered,
                c.unanswered,
                c.unmatched,
                c.late,
                super::LATE_NS / 1000
            )
        };
        writeln!(
            out,
            "- Other work: a round in which the system took a core from one of the threads more than {} times a second, on either\n  \
             side, is repeated, whatever its latencies: {} were, and {} count although it was so.",
            super::PREEMPTIONS_PER_S_MAX,
            self.rounds_repeated,
            self.rounds_disturbed
        )?;
        say(out, "Floor", &self.floor_counts)?;
        say(out, "Engine", &self.engine_counts)?;
        let wrong = self.engine_counts.wrong_px;
        writeln!(
            out,
            "- Every order names its tick; {wrong} had another price than the book leads to after that tick."
        )?;
        writeln!(out, "- Throughput offered and answered: {:.0} orders a second.\n", self.orders_per_s)
    }

    fn write_machine(&self, out: &mut String) -> fmt::Result {
        let c = &self.context;
        let m = &c.machine;
        writeln!(out, "## Machine and build\n")?;
        let virtual_word = if m.is_virtual { ", a virtual machine" } else { "" };
        writeln!(out, "- {} · {} cores · SMT {}{virtual_word} · Linux {}", m.cpu, m.cores, m.smt, m.kernel)?;
        writeln!(
            out,
            "- Governor: {} · TSC: {} · a stamp costs {:.1} ns",
            m.governor,
            m.tsc_flags.join(" "),
            m.stamp_ns
        )?;
        writeln!(out, "- Build: {} {} for {}", m.version, m.profile, m.target)?;
        if let Some(commit) = &c.commit {
            writeln!(out, "- Commit: {commit}")?;
        }
        let [start, end] = &c.load_average;
        writeln!(
            out,
            "- Load average (1, 5, 15 minutes): {start} at the start, {end} at the end. Spinning threads count into it; what is\n  \
             beyond them is other work that took turns on the same cores."
        )
    }
}

impl<T> Levels<T> {
    fn list(self) -> [T; 3] {
        [self.p50, self.p99, self.p999]
    }
}

fn tick_to_order(round: &Round) -> &Histogram<u64> {
    round.stages.named()[7].1
}

fn spreads<T: Copy + PartialOrd>(
    rounds: &[RoundFigures],
    figure: impl Fn(&RoundFigures) -> Levels<T>,
) -> Option<Levels<Spread<T>>> {
    let all: Vec<Levels<T>> = rounds.iter().map(figure).collect();
    let of = |pick: fn(&Levels<T>) -> T| Spread::of(all.iter().map(pick).collect());
    Some(Levels { p50: of(|l| l.p50)?, p99: of(|l| l.p99)?, p999: of(|l| l.p999)? })
}

/// Medians over the histograms of the rounds; counts are sums.
fn percentiles(rounds: &[&Histogram<u64>]) -> Percentiles {
    let median = |quantile: f64| {
        let values = rounds.iter().filter(|h| !h.is_empty()).map(|h| h.value_at_quantile(quantile)).collect();
        Spread::of(values).map_or(0, |spread| spread.median)
    };
    Percentiles {
        count: rounds.iter().map(|h| h.len()).sum(),
        p50: median(0.5),
        p99: median(0.99),
        p999: median(0.999),
        max: rounds.iter().map(|h| h.max()).max().unwrap_or(0),
    }
}

/// All rounds' samples in one histogram for each curve.
fn pooled(rounds: &[Round], in_memory: bool) -> Vec<(&'static str, Histogram<u64>)> {
    let pool = |of: &dyn Fn(&Round) -> &Histogram<u64>| {
        let mut sum = histogram();
        for round in rounds {
            // All histograms have the same bounds, so that one takes the other.
            let _ = sum.add(of(round));
        }
        sum
    };
    let mut out = vec![("floor", pool(&|round| &round.floor.latency))];
    if !in_memory {
        out.push(("wire_to_wire", pool(&|round| &round.engine.latency)));
    }
    if let Some(first) = rounds.first() {
        for (idx, (name, _)) in first.stages.named().into_iter().enumerate() {
            out.push((name, pool(&|round| round.stages.named()[idx].1)));
        }
    }
    out
}

/// Nanoseconds as microseconds, with as many decimals as mean something.
fn micros(ns: u64) -> String {
    let us = ns as f64 / 1000.0;
    if ns < 100_000 { format!("{us:.2}") } else { format!("{us:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Clock, GatewayStamps, LatencyStages};
    use crate::types::CommandStamps;

    fn context() -> ReportContext {
        ReportContext {
            name: "tick-to-order".to_owned(),
            date: "2026-01-02".to_owned(),
            command: "tercel bench tick-to-order".to_owned(),
            commit: None,
            machine: Machine::observe(&Clock::new()),
            in_memory: true,
            topology: "feed+core+gateway".to_owned(),
            cpus: vec![0, 1],
            idle: "spin",
            traffic: "a few ticks".to_owned(),
            measured_s: 1.0,
            warm_up_s: 0.0,
            load_average: ["0 0 0".to_owned(), "1 1 1".to_owned()],
        }
    }

    fn round(floor: u64, figure: u64) -> Round {
        let side = |ns: u64| {
            let mut latency = histogram();
            for add in 0..100 {
                latency.record(ns + add).unwrap();
            }
            Side { latency, generator: None, preemptions: 0 }
        };
        let mut stages = LatencyStages::new();
        let stamps = CommandStamps { framed_ns: 10, decoded_ns: 200, dequeued_ns: 220, decided_ns: 300 };
        stages.record(&stamps, &GatewayStamps { taken_ns: 320, encoded_ns: 400, written_ns: 410 });
        Round { floor: side(floor), engine: side(figure), stages, hot_allocations: Some(0), ring_one_way_ns: 100 }
    }

    fn measured(rounds: Vec<Round>) -> Measured {
        Measured { rounds, repeated: 0, disturbed: 0 }
    }

    #[test]
    fn figures_are_medians_over_the_rounds_and_excess_and_ratio_follow_from_them() {
        let rounds = [round(10_000, 13_000), round(20_000, 21_000), round(11_000, 12_000)];
        let report = Report::new(context(), &measured(rounds.to_vec())).unwrap();
        assert!(report.floor_ns.p50.abs_diff(11_050) < 20, "{:?}", report.floor_ns);
        assert!(report.excess_ns.p50.abs_diff(2_000) < 50, "{:?}", report.excess_ns);
        assert!((report.ratio_to_floor.p50 - 13.05 / 11.05).abs() < 0.01);
        assert!(report.spread.excess_ns.p50.min.abs_diff(1_000) < 50);
        assert_eq!(report.latency_ns.stages.decode.count, 3);
        assert_eq!(report.latency_ns.stages.tick_to_order.p50, 410);
        assert!(Report::new(context(), &measured(Vec::new())).is_none());
    }

    #[test]
    fn a_report_is_written_whole() {
        let dir = std::env::temp_dir().join(format!("tercel-report-{}", std::process::id()));
        Report::new(context(), &measured(vec![round(10_000, 13_000)])).unwrap().write(&dir).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("report.json")).unwrap()).unwrap();
        for key in ["floor_ns", "excess_ns", "ratio_to_floor"] {
            for level in ["p50", "p99", "p999"] {
                assert!(json[key][level].is_number(), "{key}.{level}");
            }
        }
        for stage in ["frame", "decode", "queue_core", "decide", "queue_gateway", "encode", "send", "tick_to_order"] {
            assert_eq!(json["latency_ns"][stage]["count"], 1, "{stage}");
            let text = fs::read_to_string(dir.join(format!("{stage}.hgrm"))).unwrap();
            assert!(text.contains("Percentile"), "{stage}");
        }
        let text = fs::read_to_string(dir.join("report.md")).unwrap();
        assert!(text.contains("| floor | 10.0") && text.contains("1 1 1 at the end"), "{text}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
