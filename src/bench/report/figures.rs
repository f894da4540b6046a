//! Sums up what was measured: medians over the rounds, and every ratio of a pair within its round.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::bench::in_memory::WARM_UP_TICKS;
use crate::bench::{Carrier, Case, Contender, Distance, GeneratorReport, Measured, Round, Side, SlowTick};
use crate::runtime::{LatencySummary, Percentiles, StampedOrder, Worst, histogram};

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

    pub(super) fn map<U>(self, f: impl Fn(T) -> U) -> Levels<U> {
        Levels { p50: f(self.p50), p99: f(self.p99), p999: f(self.p999) }
    }

    pub(super) fn list(self) -> [T; 3] {
        [self.p50, self.p99, self.p999]
    }
}

fn levels(histogram: &Histogram<u64>) -> Levels<u64> {
    Levels::from_quantiles(|q| histogram.value_at_quantile(q))
}

/// Latencies of the engine: every stage, and wire to wire where there is a wire.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Latencies {
    #[serde(flatten)]
    pub(super) stages: LatencySummary,
    pub(super) wire_to_wire: Percentiles,
}

/// What the generator saw of one side, summed over the rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) ticks: u64,
    pub(super) asked: u64,
    pub(super) answered: u64,
    pub(super) unanswered: u64,
    pub(super) unmatched: u64,
    pub(super) wrong_px: u64,
    pub(super) late: u64,
}

impl Counts {
    fn of(reports: &[&GeneratorReport]) -> Self {
        let sum = |of: fn(&GeneratorReport) -> u64| reports.iter().map(|report| of(report)).sum();
        Self {
            ticks: sum(|r| r.ticks),
            asked: sum(|r| r.asked),
            answered: sum(|r| r.answered),
            unanswered: sum(|r| r.asked - r.answered),
            unmatched: sum(|r| r.unmatched),
            wrong_px: sum(|r| r.wrong_px),
            late: sum(|r| r.late),
        }
    }
}

/// A contender beside another one, round by round.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Beside {
    pub(super) excess_ns: Levels<Spread<i64>>,
    pub(super) ratio: Levels<Spread<f64>>,
}

impl Beside {
    fn of(rounds: &[(Levels<u64>, Levels<u64>)]) -> Option<Self> {
        let excess = |(figure, base): &(Levels<u64>, Levels<u64>)| figure.zip(*base, |f, b| f as i64 - b as i64);
        let ratio = |(figure, base): &(Levels<u64>, Levels<u64>)| figure.zip(*base, |f, b| f as f64 / b.max(1) as f64);
        Some(Self {
            excess_ns: spreads(rounds.iter().map(excess).collect())?,
            ratio: spreads(rounds.iter().map(ratio).collect())?,
        })
    }
}

/// One contender over all rounds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ContenderFigures {
    pub(super) contender: Contender,
    pub(super) latency_ns: Levels<Spread<u64>>,
    pub(super) max_ns: u64,
    pub(super) to_floor: Beside,
    /// `None` in memory, where there is no echo.
    pub(super) to_echo: Option<Beside>,
    /// From due to sent, the generator's own part: medians over the rounds.
    pub(super) lateness_ns: Levels<u64>,
    /// Segments of both ends for each tick that was played, and of them the ones without data.
    pub(super) segments_per_tick: f64,
    pub(super) pure_acks_per_tick: f64,
    pub(super) delayed_acks_per_tick: f64,
    pub(super) counts: Counts,
}

/// One round, in figures.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RoundFigures {
    /// In the order of the contenders.
    pub(super) latency_ns: Vec<Levels<u64>>,
    pub(super) tick_to_order_ns: Levels<u64>,
    pub(super) distance: Distance,
    /// Times that a core was taken from a thread of this process, in the order of the contenders.
    pub(super) preemptions: Vec<u64>,
    /// How long these threads were ready without a core, likewise.
    pub(super) waited_ns: Vec<u64>,
}

/// What each stage of one order took, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct StagesOfOrder {
    pub(super) frame: u64,
    pub(super) decode: u64,
    pub(super) queue_core: u64,
    pub(super) decide: u64,
    pub(super) queue_gateway: u64,
    pub(super) encode: u64,
    pub(super) send: u64,
    pub(super) tick_to_order: u64,
}

impl From<&StampedOrder> for StagesOfOrder {
    fn from(order: &StampedOrder) -> Self {
        let [frame, decode, queue_core, decide, queue_gateway, encode, send, tick_to_order] = order.stages();
        Self { frame, decode, queue_core, decide, queue_gateway, encode, send, tick_to_order }
    }
}

/// One of the slowest ticks that the engine answered.
#[derive(Clone, Debug, Serialize)]
pub(super) struct WorstTick {
    /// Counted from 1.
    pub(super) round: usize,
    /// Its number in the traffic.
    pub(super) tick: u64,
    pub(super) latency_ns: u64,
    /// From due to sent.
    pub(super) late_ns: u64,
    /// The engine's own part; `None`: it was not among the slowest of its round there.
    pub(super) inside_ns: Option<StagesOfOrder>,
    /// Then its own part was at most this.
    pub(super) inside_ns_max: u64,
    /// The message.
    pub(super) frame: String,
}

/// Everything about one case.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CaseFigures {
    /// Folder of its histograms.
    pub(super) id: String,
    pub(super) carrier: Carrier,
    pub(super) topology: String,
    pub(super) cpus: Vec<usize>,
    pub(super) idle: &'static str,
    pub(super) load: String,
    pub(super) traffic: String,
    pub(super) rounds: usize,
    pub(super) rounds_repeated: usize,
    pub(super) rounds_disturbed: usize,
    pub(super) latency_ns: Latencies,
    pub(super) floor_ns: Levels<u64>,
    /// Of the engine over the floor: medians of the rounds' own differences and ratios.
    pub(super) excess_ns: Levels<i64>,
    pub(super) ratio_to_floor: Levels<f64>,
    pub(super) contenders: Vec<ContenderFigures>,
    pub(super) by_round: Vec<RoundFigures>,
    pub(super) floor_counts: Counts,
    pub(super) engine_counts: Counts,
    /// Answered ticks a second, engine.
    pub(super) orders_per_s: f64,
    /// Mean length of a tick's frame and length of the newest order's message, in bytes.
    pub(super) tick_frame_bytes: u64,
    pub(super) order_bytes: usize,
    pub(super) hot_allocations: Option<u64>,
    pub(super) worst: Vec<WorstTick>,
    #[serde(skip)]
    pub(super) histograms: Vec<(&'static str, Histogram<u64>)>,
}

impl CaseFigures {
    /// Sums up the rounds; `None` if there is none.
    pub(super) fn new(case: &Case, measured: &Measured, in_memory: bool, worst_max: usize) -> Option<Self> {
        let rounds = measured.rounds.as_slice();
        let present: Vec<Contender> = rounds.first()?.sides.iter().map(|side| side.contender).collect();
        let contenders: Vec<ContenderFigures> =
            present.iter().map(|&contender| contender_figures(contender, rounds)).collect::<Option<_>>()?;
        let of = |contender| contenders.iter().find(|figures: &&ContenderFigures| figures.contender == contender);
        let (floor, engine) = (of(Contender::Floor)?, of(Contender::Engine)?);
        let generators = reports(Contender::Engine, rounds);
        let elapsed_ns: u64 = generators.iter().map(|report| report.elapsed_ns).sum();
        let played: u64 = generators.iter().map(|report| report.played).sum();
        let figures: Vec<&Histogram<u64>> =
            rounds.iter().filter_map(|round| round.side(Contender::Engine)).map(|side| &side.latency).collect();
        let id: String = format!("{}-{}-{}", case.carrier.name(), case.topology, case.traffic.load())
            .chars()
            .filter_map(|c| match c {
                ' ' => None,
                '|' => Some('_'),
                '/' => Some('-'),
                c => Some(c),
            })
            .collect();
        Some(Self {
            id,
            carrier: case.carrier,
            topology: case.topology.to_string(),
            cpus: case.cpus.clone(),
            idle: case.idle.name(),
            load: case.traffic.load(),
            traffic: case.traffic.description(),
            rounds: rounds.len(),
            rounds_repeated: measured.repeated,
            rounds_disturbed: measured.disturbed,
            latency_ns: Latencies {
                stages: stages(rounds),
                wire_to_wire: if in_memory { Percentiles::default() } else { percentiles(&figures) },
            },
            floor_ns: floor.latency_ns.map(|s| s.median),
            excess_ns: engine.to_floor.excess_ns.map(|s| s.median),
            ratio_to_floor: engine.to_floor.ratio.map(|s| s.median),
            by_round: rounds.iter().map(round_figures).collect(),
            floor_counts: floor.counts,
            engine_counts: engine.counts,
            orders_per_s: engine.counts.answered as f64 / (elapsed_ns as f64 / 1e9).max(f64::MIN_POSITIVE),
            tick_frame_bytes: generators.iter().map(|report| report.tick_bytes).sum::<u64>() / played.max(1),
            order_bytes: generators.iter().map(|report| report.order_bytes).max().unwrap_or(0),
            hot_allocations: rounds
                .iter()
                .filter_map(|round| round.hot_allocations)
                .fold(None, |sum, count| Some(sum.unwrap_or(0) + count)),
            worst: worst(case, rounds, worst_max),
            histograms: pooled(rounds, in_memory),
            contenders,
        })
    }
}

fn reports(contender: Contender, rounds: &[Round]) -> Vec<&GeneratorReport> {
    rounds.iter().filter_map(|round| round.side(contender)?.generator.as_ref()).collect()
}

fn contender_figures(contender: Contender, rounds: &[Round]) -> Option<ContenderFigures> {
    let sides: Vec<&Side> = rounds.iter().map(|round| round.side(contender)).collect::<Option<_>>()?;
    let beside = |base: Contender| -> Option<Beside> {
        let pair = |round: &Round| Some((levels(&round.side(contender)?.latency), levels(&round.side(base)?.latency)));
        Beside::of(&rounds.iter().map(pair).collect::<Option<Vec<_>>>()?)
    };
    let reports = reports(contender, rounds);
    let played = reports.iter().map(|report| report.played).sum::<u64>().max(1) as f64;
    let per_tick = |of: fn(&Side) -> u64| sides.iter().map(|side| of(side)).sum::<u64>() as f64 / played;
    let lateness: Vec<Levels<u64>> = reports.iter().map(|report| levels(&report.lateness)).collect();
    Some(ContenderFigures {
        contender,
        latency_ns: spreads(sides.iter().map(|side| levels(&side.latency)).collect())?,
        max_ns: sides.iter().map(|side| side.latency.max()).max().unwrap_or(0),
        to_floor: beside(Contender::Floor)?,
        to_echo: beside(Contender::Echo),
        lateness_ns: spreads(lateness).map_or(Levels::default(), |spread| spread.map(|s| s.median)),
        segments_per_tick: per_tick(|side| side.tcp.segments),
        pure_acks_per_tick: per_tick(|side| side.tcp.pure_acks),
        delayed_acks_per_tick: per_tick(|side| side.tcp.delayed_acks),
        counts: Counts::of(&reports),
    })
}

fn round_figures(round: &Round) -> RoundFigures {
    RoundFigures {
        latency_ns: round.sides.iter().map(|side| levels(&side.latency)).collect(),
        tick_to_order_ns: levels(round.stages.named()[7].1),
        distance: round.distance,
        preemptions: round.sides.iter().map(|side| side.preemptions).collect(),
        waited_ns: round.sides.iter().map(|side| side.waited_ns).collect(),
    }
}

fn spreads<T: Copy + PartialOrd>(rounds: Vec<Levels<T>>) -> Option<Levels<Spread<T>>> {
    let of = |pick: fn(&Levels<T>) -> T| Spread::of(rounds.iter().map(pick).collect());
    Some(Levels { p50: of(|l| l.p50)?, p99: of(|l| l.p99)?, p999: of(|l| l.p999)? })
}

/// Medians over the histograms of the rounds; counts are sums, the greatest is the greatest.
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

fn stages(rounds: &[Round]) -> LatencySummary {
    let stage = |idx: usize| {
        let of: Vec<&Histogram<u64>> = rounds.iter().map(|round| round.stages.named()[idx].1).collect();
        percentiles(&of)
    };
    LatencySummary {
        frame: stage(0),
        decode: stage(1),
        queue_core: stage(2),
        decide: stage(3),
        queue_gateway: stage(4),
        encode: stage(5),
        send: stage(6),
        tick_to_order: stage(7),
    }
}

/// The slowest ticks of all rounds, each with what the engine stamped of its order.
fn worst(case: &Case, rounds: &[Round], most: usize) -> Vec<WorstTick> {
    let mut all = Worst::new(most);
    for (idx, round) in rounds.iter().enumerate() {
        let generator = round.side(Contender::Engine).and_then(|side| side.generator.as_ref());
        match generator {
            Some(report) => report.worst.kept().iter().for_each(|&(ns, slow)| all.insert(ns, (idx, slow))),
            // In memory the engine's stamps are all there is, and every tick is answered.
            None => round.stages.worst().kept().iter().for_each(|&(ns, order)| {
                let slow = SlowTick { tick: WARM_UP_TICKS + order.number, order: order.number, late_ns: 0 };
                all.insert(ns, (idx, slow));
            }),
        }
    }
    let mut traffic = case.traffic.clone();
    let whole = |(latency_ns, (idx, slow)): (u64, (usize, SlowTick))| {
        let kept = rounds[idx].stages.worst().kept();
        let order = kept.iter().find(|(_, order)| order.number == slow.order);
        WorstTick {
            round: idx + 1,
            tick: slow.tick,
            latency_ns,
            late_ns: slow.late_ns,
            inside_ns: order.map(|(_, order)| order.into()),
            inside_ns_max: kept.iter().map(|(ns, _)| *ns).min().unwrap_or(0),
            frame: traffic.tick(slow.tick).map_or(String::new(), |t| String::from_utf8_lossy(t.payload).into_owned()),
        }
    };
    all.into_sorted().into_iter().map(whole).collect()
}

/// All rounds' samples in one histogram for each curve.
fn pooled(rounds: &[Round], in_memory: bool) -> Vec<(&'static str, Histogram<u64>)> {
    let pool = |of: &dyn Fn(&Round) -> Option<Histogram<u64>>| {
        let mut sum = histogram();
        for one in rounds.iter().filter_map(of) {
            // All histograms have the same bounds, so that one takes the other.
            let _ = sum.add(one);
        }
        sum
    };
    let Some(first) = rounds.first() else { return Vec::new() };
    let mut out = Vec::new();
    for side in &first.sides {
        let contender = side.contender;
        let name = match contender {
            // In memory its stages say the same.
            Contender::Engine if in_memory => continue,
            Contender::Engine => "wire_to_wire",
            other => other.name(),
        };
        out.push((name, pool(&|round| Some(round.side(contender)?.latency.clone()))));
    }
    for (idx, (name, _)) in first.stages.named().into_iter().enumerate() {
        out.push((name, pool(&|round| Some(round.stages.named()[idx].1.clone()))));
    }
    out
}
