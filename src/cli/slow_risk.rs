//! What slow risk measured in a run, for the summary and for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::runtime::LiveOutcome;
use crate::slow_risk::{Backtest, CONFIDENCES, Confidence, Figures, Method, SlowRiskReport, TestResult};

/// Instruments up to which the correlation matrix is told.
const MATRIX_MAX: usize = 12;

/// Slow risk in the summary. Amounts are estimates in the settlement currency over the horizon; `null` is not known or not defined.
#[derive(Clone, Debug, Serialize)]
pub struct SlowRiskSummary {
    horizon_s: f64,
    sample_every_s: f64,
    rounds: u64,
    rounds_blind: u64,
    rounds_dropped: u64,
    last: Option<FiguresSummary>,
    worst: Option<FiguresSummary>,
    drawdown: Option<DrawdownSummary>,
    correlation: Option<CorrelationSummary>,
    backtests: BTreeMap<&'static str, BTreeMap<&'static str, BacktestSummary>>,
}

#[derive(Clone, Debug, Serialize)]
struct FiguresSummary {
    samples: usize,
    is_cold: bool,
    scale: f64,
    gross: f64,
    heat: Option<f64>,
    var: BTreeMap<&'static str, BTreeMap<&'static str, Option<f64>>>,
    es: BTreeMap<&'static str, BTreeMap<&'static str, Option<f64>>>,
}

#[derive(Clone, Debug, Serialize)]
struct DrawdownSummary {
    amount: String,
    share: f64,
}

#[derive(Clone, Debug, Serialize)]
struct CorrelationSummary {
    instruments: Vec<String>,
    rows: Vec<Vec<Option<f64>>>,
}

#[derive(Clone, Debug, Serialize)]
struct BacktestSummary {
    forecasts: u64,
    exceptions: u64,
    expected: f64,
    kupiec: Option<TestSummary>,
    independence: Option<TestSummary>,
    conditional_coverage: Option<TestSummary>,
}

#[derive(Clone, Debug, Serialize)]
struct TestSummary {
    statistic: f64,
    p_value: f64,
}

/// The names of the two kinds of expected shortfall.
const ES_NAMES: [&str; 2] = ["historical", "ewma"];

fn name(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::P95 => "95",
        Confidence::P99 => "99",
    }
}

fn by_confidence<T>(value: impl Fn(Confidence) -> T) -> BTreeMap<&'static str, T> {
    CONFIDENCES.into_iter().map(|confidence| (name(confidence), value(confidence))).collect()
}

impl From<&Figures> for FiguresSummary {
    fn from(figures: &Figures) -> Self {
        let var = Method::ALL.iter().zip(figures.var);
        Self {
            samples: figures.samples,
            is_cold: figures.is_cold,
            scale: figures.scale,
            gross: figures.gross,
            heat: figures.heat,
            var: var.map(|(method, both)| (method.name(), by_confidence(|c| both[c as usize]))).collect(),
            es: ES_NAMES
                .into_iter()
                .zip(figures.es)
                .map(|(it, both)| (it, by_confidence(|c| both[c as usize])))
                .collect(),
        }
    }
}

impl BacktestSummary {
    fn new(backtest: &Backtest, confidence: Confidence) -> Self {
        let test = |found: Option<TestResult>| {
            found.map(|TestResult { statistic, p_value }| TestSummary { statistic, p_value })
        };
        Self {
            forecasts: backtest.forecasts,
            exceptions: backtest.exceptions,
            expected: backtest.forecasts as f64 * confidence.tail(),
            kupiec: test(backtest.kupiec(confidence)),
            independence: test(backtest.independence()),
            conditional_coverage: test(backtest.conditional_coverage(confidence)),
        }
    }
}

impl SlowRiskSummary {
    /// From what a run left behind; `None` if nothing was measured, or the analyst's thread broke.
    pub fn new(outcome: &LiveOutcome) -> Option<Self> {
        let report = outcome.slow_risk.as_ref()?;
        let backtests = Method::ALL.iter().zip(&report.backtests);
        let backtests = backtests.map(|(method, both)| {
            (method.name(), by_confidence(|confidence| BacktestSummary::new(&both[confidence as usize], confidence)))
        });
        let matrix = &report.correlation;
        let correlation = (matrix.len <= MATRIX_MAX).then(|| CorrelationSummary {
            instruments: report.symbols.iter().map(ToString::to_string).collect(),
            rows: (0..matrix.len).map(|a| (0..matrix.len).map(|b| matrix.get(a, b)).collect()).collect(),
        });
        Some(Self {
            horizon_s: report.config.horizon_ns as f64 / 1e9,
            sample_every_s: report.config.sample_every_ns as f64 / 1e9,
            rounds: report.rounds,
            rounds_blind: report.blind,
            rounds_dropped: outcome.core.samples_dropped,
            last: report.last.as_ref().map(FiguresSummary::from),
            worst: report.worst.as_ref().map(FiguresSummary::from),
            drawdown: report
                .drawdown
                .map(|fall| DrawdownSummary { amount: fall.amount().to_string(), share: fall.share() }),
            correlation,
            backtests: backtests.collect(),
        })
    }
}

/// The same for people; empty if nothing was measured.
pub fn slow_risk_text(outcome: &LiveOutcome) -> String {
    let mut out = String::new();
    if let Some(report) = &outcome.slow_risk {
        // Writing to a String cannot fail.
        let _ = write_text(&mut out, report, outcome.core.samples_dropped);
    } else if outcome.has_lost_analysts {
        out.push_str("slow risk: the analyst's thread broke, and its figures are lost\n");
    }
    out
}

fn figure(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.4}"))
}

fn write_text(out: &mut String, report: &SlowRiskReport, dropped: u64) -> std::fmt::Result {
    let config = &report.config;
    let horizon_s = config.horizon_ns as f64 / 1e9;
    writeln!(out, "slow risk: {} rounds, {} without a price, {dropped} dropped", report.rounds, report.blind)?;
    for (which, figures) in [("last", &report.last), ("worst", &report.worst)] {
        let Some(figures) = figures else { continue };
        writeln!(
            out,
            "  {which:<6} of {horizon_s} s, {} samples{}: gross {:.2}  heat {}  scale {:.4}",
            figures.samples,
            if figures.is_cold { " (too few)" } else { "" },
            figures.gross,
            figure(figures.heat),
            figures.scale,
        )?;
        for (method, [p95, p99]) in Method::ALL.iter().zip(figures.var) {
            writeln!(out, "    VaR {:<15} 95 % {:>12}  99 % {:>12}", method.name(), figure(p95), figure(p99))?;
        }
        for (name, [p95, p99]) in ES_NAMES.into_iter().zip(figures.es) {
            writeln!(out, "    ES  {name:<15} 95 % {:>12}  99 % {:>12}", figure(p95), figure(p99))?;
        }
    }
    match report.drawdown {
        Some(fall) => writeln!(out, "  drawdown {} ({:.4} %)", fall.amount(), fall.share() * 100.0)?,
        None => writeln!(out, "  drawdown none")?,
    }
    if report.symbols.len() <= MATRIX_MAX {
        writeln!(out, "  correlation")?;
        for (a, symbol) in report.symbols.iter().enumerate() {
            let cell = |b| report.correlation.get(a, b).map_or("      -".to_owned(), |rho| format!("{rho:>7.3}"));
            let row: Vec<String> = (0..report.symbols.len()).map(cell).collect();
            writeln!(out, "    {symbol:<14} {}", row.join(" "))?;
        }
    }
    writeln!(
        out,
        "  forecasts of a step: exceptions of forecasts (expected), p-values of Kupiec, Christoffersen, both"
    )?;
    for (method, both) in Method::ALL.iter().zip(&report.backtests) {
        for (confidence, backtest) in CONFIDENCES.into_iter().zip(both) {
            let p = |found: Option<TestResult>| figure(found.map(|found| found.p_value));
            writeln!(
                out,
                "    {:<15} {} %: {} of {} ({:.1})  {}  {}  {}",
                method.name(),
                name(confidence),
                backtest.exceptions,
                backtest.forecasts,
                backtest.forecasts as f64 * confidence.tail(),
                p(backtest.kupiec(confidence)),
                p(backtest.independence()),
                p(backtest.conditional_coverage(confidence)),
            )?;
        }
    }
    Ok(())
}
