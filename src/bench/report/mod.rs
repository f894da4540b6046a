//! The report: Markdown for people, JSON for programs, one `.hgrm` for each side and stage of each case.

mod figures;
mod markdown;

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::machine::Machine;
use super::{Case, Limits, Measured, hgrm};
use figures::CaseFigures;
pub use figures::{Levels, Spread};

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
    /// Time that each side of a round measured, in seconds.
    pub measured_s: f64,
    /// Time played before it, in seconds.
    pub warm_up_s: f64,
    /// Load averages (1, 5, 15 minutes) at start and end.
    pub load_average: [String; 2],
    /// What was not measured, and why.
    pub notes: Vec<String>,
}

/// Everything that was measured.
#[derive(Clone, Debug)]
pub struct Report {
    context: ReportContext,
    cases: Vec<CaseFigures>,
    throughput: Vec<Limits>,
}

/// The JSON object: the first case's figures stand at its top, too, for programs that know one case only.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    context: &'a ReportContext,
    #[serde(flatten)]
    first: Option<&'a CaseFigures>,
    cases: &'a [CaseFigures],
    throughput: &'a [Limits],
}

impl Report {
    /// Sums up what was measured, keeping the `worst` slowest ticks of each case; `None` if a case has no round.
    ///
    /// Percentiles, differences and ratios are medians over the rounds of each round's own; counts are sums, the greatest is
    /// the greatest.
    pub fn new(
        context: ReportContext,
        measured: &[(Case, Measured)],
        throughput: Vec<Limits>,
        worst: usize,
    ) -> Option<Self> {
        let figures = |(case, measured): &(Case, Measured)| CaseFigures::new(case, measured, context.in_memory, worst);
        let cases = measured.iter().map(figures).collect::<Option<Vec<_>>>()?;
        (!cases.is_empty()).then_some(Self { cases, throughput, context })
    }

    fn json(&self) -> io::Result<String> {
        let (context, first) = (&self.context, self.cases.first());
        let json = Json { context, first, cases: &self.cases, throughput: &self.throughput };
        Ok(serde_json::to_string_pretty(&json).map_err(io::Error::other)? + "\n")
    }

    /// Writes the JSON object alone: whole, or not at all.
    ///
    /// # Errors
    /// Of the file.
    pub fn write_json(&self, file: &Path) -> io::Result<()> {
        let part = beside(file);
        fs::write(&part, self.json()?)?;
        fs::rename(&part, file)
    }

    /// Writes the whole report as the folder `dir`, in place of what has that name: `report.md`, `report.json` and the
    /// histograms, which stand in a folder for each case if there are several. Whole, or not at all.
    ///
    /// # Errors
    /// Of a file.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let part = beside(dir);
        let written = self.write_into(&part).and_then(|()| {
            if dir.exists() {
                fs::remove_dir_all(dir)?;
            }
            fs::rename(&part, dir)
        });
        if written.is_err() {
            // What went wrong first is what matters.
            let _ = fs::remove_dir_all(&part);
        }
        written
    }

    fn write_into(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("report.md"), self.markdown())?;
        fs::write(dir.join("report.json"), self.json()?)?;
        for case in &self.cases {
            let dir = if self.cases.len() == 1 { dir.to_owned() } else { dir.join(&case.id) };
            fs::create_dir_all(&dir)?;
            for (name, histogram) in &case.histograms {
                fs::write(dir.join(format!("{name}.hgrm")), hgrm::render(histogram))?;
            }
        }
        Ok(())
    }

    /// The report for people.
    pub fn markdown(&self) -> String {
        markdown::render(&self.context, &self.cases, &self.throughput)
    }
}

/// Where something is written before it gets its name.
fn beside(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::in_memory::WARM_UP_TICKS;
    use crate::bench::{Carrier, Contender, Distance, GeneratorReport, Round, Side, SlowTick, TcpCounters, Traffic};
    use crate::runtime::{Clock, GatewayStamps, Idle, LatencyStages, Topology, histogram};
    use crate::types::CommandStamps;

    fn context() -> ReportContext {
        ReportContext {
            name: "tick-to-order".to_owned(),
            date: "2026-01-02".to_owned(),
            command: "tercel bench tick-to-order".to_owned(),
            commit: None,
            machine: Machine::observe(&Clock::new()),
            in_memory: true,
            measured_s: 1.0,
            warm_up_s: 0.0,
            load_average: ["0 0 0".to_owned(), "1 1 1".to_owned()],
            notes: vec!["nobody else came".to_owned()],
        }
    }

    fn case(rate: u32) -> Case {
        Case {
            traffic: Traffic::generated(rate, 296, 1),
            carrier: Carrier::Plain,
            topology: Topology::single(),
            cpus: vec![0, 1],
            idle: Idle::Spin,
        }
    }

    fn round(floor: u64, figure: u64) -> Round {
        let side = |contender, ns: u64| {
            let mut latency = histogram();
            for add in 0..100 {
                latency.record(ns + add).unwrap();
            }
            Side { contender, latency, generator: None, preemptions: 0, waited_ns: 0, tcp: TcpCounters::default() }
        };
        let mut stages = LatencyStages::new();
        let stamps = CommandStamps { framed_ns: 10, decoded_ns: 200, dequeued_ns: 220, decided_ns: 300 };
        stages.record(&stamps, &GatewayStamps { taken_ns: 320, encoded_ns: 400, written_ns: 410 });
        let sides = vec![side(Contender::Floor, floor), side(Contender::Engine, figure)];
        Round { sides, stages, hot_allocations: Some(0), distance: Distance::default() }
    }

    fn measured(rounds: Vec<Round>) -> Measured {
        Measured { rounds, repeated: 0, disturbed: 0 }
    }

    #[test]
    fn differences_and_ratios_are_medians_of_the_rounds_own_pairs() {
        let rounds = [round(10_000, 13_000), round(20_000, 21_000), round(11_000, 12_000)];
        let report = CaseFigures::new(&case(1000), &measured(rounds.to_vec()), true, 10).unwrap();
        assert!(report.floor_ns.p50.abs_diff(11_050) < 20, "{:?}", report.floor_ns);
        assert!(report.excess_ns.p50.abs_diff(1_000) < 50, "{:?}", report.excess_ns);
        assert!((report.ratio_to_floor.p50 - 12.05 / 11.05).abs() < 0.01);
        let engine = &report.contenders[1];
        assert!(engine.to_floor.excess_ns.p50.max.abs_diff(3_000) < 50);
        assert!(engine.to_echo.is_none());
        assert_eq!(report.latency_ns.stages.decode.count, 3);
        assert_eq!(report.latency_ns.stages.tick_to_order.p50, 410);
        assert!(Report::new(context(), &[(case(1000), measured(Vec::new()))], Vec::new(), 10).is_none());
    }

    #[test]
    fn the_slowest_ticks_carry_their_frame_and_the_stages_of_their_order() {
        let mut with_wire = round(10_000, 13_000);
        let mut report = GeneratorReport::new(4);
        for (latency_ns, tick, order) in [(50_000, 7, 0), (20_000, 8, 1)] {
            report.worst.insert(latency_ns, SlowTick { tick, order, late_ns: 5 });
        }
        with_wire.sides[1].generator = Some(report);
        let figures = CaseFigures::new(&case(1000), &measured(vec![with_wire]), false, 10).unwrap();
        let [first, second] = figures.worst.as_slice() else { panic!("{:?}", figures.worst) };
        assert_eq!((first.tick, first.latency_ns, first.late_ns), (7, 50_000, 5));
        assert_eq!(first.inside_ns.unwrap().decode, 190);
        assert!(second.inside_ns.is_none(), "its order was not stamped");
        let mut traffic = case(1000).traffic;
        assert_eq!(first.frame.as_bytes(), traffic.tick(7).unwrap().payload);
        let in_memory = CaseFigures::new(&case(1000), &measured(vec![round(100, 500)]), true, 10).unwrap();
        assert_eq!(in_memory.worst[0].tick, WARM_UP_TICKS);
        assert_eq!(in_memory.worst[0].inside_ns.unwrap().tick_to_order, 410);
    }

    #[test]
    fn a_report_is_written_whole_and_replaces_an_older_one() {
        let dir = std::env::temp_dir().join(format!("tercel-report-{}", std::process::id()));
        let one = || measured(vec![round(10_000, 13_000)]);
        for cases in [vec![(case(1000), one()), (case(2000), one())], vec![(case(1000), one())]] {
            Report::new(context(), &cases, Vec::new(), 10).unwrap().write(&dir).unwrap();
        }
        let json: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("report.json")).unwrap()).unwrap();
        assert_eq!(json["cases"].as_array().unwrap().len(), 1);
        for object in [&json, &json["cases"][0]] {
            for key in ["floor_ns", "excess_ns", "ratio_to_floor"] {
                for level in ["p50", "p99", "p999"] {
                    assert!(object[key][level].is_number(), "{key}.{level}");
                }
            }
        }
        for stage in ["frame", "decode", "queue_core", "decide", "queue_gateway", "encode", "send", "tick_to_order"] {
            assert_eq!(json["latency_ns"][stage]["count"], 1, "{stage}");
            let text = fs::read_to_string(dir.join(format!("{stage}.hgrm"))).unwrap();
            assert!(text.contains("Percentile"), "{stage}");
        }
        let text = fs::read_to_string(dir.join("report.md")).unwrap();
        assert!(text.contains("| floor | 10.0") && text.contains("1 1 1 at the end"), "{text}");
        assert!(text.contains("nobody else came"), "{text}");
        assert!(!dir.join("plain-feed+core+gateway-1000-s296B").exists(), "the older one is gone");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn several_cases_have_a_folder_each() {
        let dir = std::env::temp_dir().join(format!("tercel-report-cases-{}", std::process::id()));
        let cases = [1000, 2000].map(|rate| (case(rate), measured(vec![round(10_000, 13_000)])));
        Report::new(context(), &cases, Vec::new(), 10).unwrap().write(&dir).unwrap();
        for rate in [1000, 2000] {
            assert!(dir.join(format!("plain-feed+core+gateway-{rate}-s296B/decode.hgrm")).exists());
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
