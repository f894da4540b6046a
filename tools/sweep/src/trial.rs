//! One configuration over one capture: a backtest, and its figures fold by fold.
//!
//! The whole is what `tercel backtest` plays and reports. Where a capture is divided, it is played once; the figures of a window are
//! the report's at its end less those at its beginning, and its returns are those of the samples between.

use serde::{Deserialize, Serialize};
use tercel::analytics::stats::{Performance, ratio, returns};
use tercel::analytics::{Reference, Report, ReportInput, SessionConfig, Sessions};
use tercel::backtest::{BacktestError, Captures, judge, play};
use tercel::config::{Config, SignedMoneyText};
use tercel::ring::Flag;
use tercel::runtime::{Idle, Observer, Topology};
use tercel::types::{Command, Event, Money, Nanos};
use tercel::venue::FeedConfig;

use crate::moments::Moments;

/// What one fold came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Seconds from the first to the last sample.
    pub seconds: f64,
    /// Equity at the beginning.
    pub equity_start: SignedMoneyText,
    /// Equity at the end.
    pub equity_end: SignedMoneyText,
    /// What was earned, costs taken off.
    pub pnl: SignedMoneyText,
    /// Fees, less rebates.
    pub fees: SignedMoneyText,
    /// Funding paid, less received.
    pub funding: SignedMoneyText,
    /// Sum of the values of all fills.
    pub turnover: SignedMoneyText,
    /// Profit over the equity at the beginning.
    pub total_return: Option<f64>,
    /// Sharpe ratio of the samples' returns, of a year.
    pub sharpe: Option<f64>,
    /// Sortino ratio, likewise.
    pub sortino: Option<f64>,
    /// Volatility, likewise.
    pub volatility: Option<f64>,
    /// Deepest drawdown as a share of its peak: of every change of the equity where the fold is a capture, of the samples where it is
    /// a window.
    pub max_drawdown: Option<f64>,
    /// Round trips that ended.
    pub trips: u64,
    /// Of them those that earned.
    pub wins: u64,
    /// Wins over trips.
    pub win_rate: Option<f64>,
    /// Executions.
    pub fills: u64,
    /// Of them as a maker.
    pub maker_fills: u64,
    /// Orders sent.
    pub orders: u64,
    /// Orders with a fill over orders sent.
    pub fill_ratio: Option<f64>,
    /// Of the samples' returns.
    pub moments: Moments,
    /// Greatest equity of the samples over the first.
    pub high: f64,
    /// Least equity of the samples over the first.
    pub low: f64,
    /// Deepest drawdown of the samples.
    pub sampled_drawdown: f64,
}

/// A fold of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldResult {
    /// Why it does not count; `null`: it does.
    pub failure: Option<String>,
    /// Its figures, if it came to any.
    pub figures: Option<Figures>,
}

/// What a trial needs beside its configuration.
#[derive(Clone, Copy, Debug)]
pub struct TrialPlan<'a> {
    /// What is played.
    pub captures: &'a Captures,
    /// How many folds it has.
    pub folds: usize,
    /// Length of a window, where there are several.
    pub window_ns: Option<u64>,
    /// Distance of two samples.
    pub sample_ns: u64,
    /// How the feed treats its messages.
    pub feed: FeedConfig,
}

/// What a report has counted so far.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    equity: Money,
    pnl: Money,
    fees: Money,
    funding: Money,
    turnover: Money,
    trips: u64,
    wins: u64,
    fills: u64,
    maker_fills: u64,
    orders: u64,
    orders_filled: u64,
}

impl Counted {
    fn of(report: &Report) -> Self {
        Self {
            equity: report.returns.equity_end.0,
            pnl: report.pnl.total.0,
            fees: report.pnl.fees.0,
            funding: report.pnl.funding.0,
            turnover: report.turnover.value.0,
            trips: report.trips.closed,
            wins: report.trips.wins,
            fills: report.turnover.fills,
            maker_fills: report.turnover.maker_fills,
            orders: report.orders.sent,
            orders_filled: report.orders.filled,
        }
    }
}

/// Watches a replay, and notes what was counted when a window ends.
struct Windows {
    /// Of the one currency that a capture of a sweep settles in.
    sessions: Sessions,
    window_ns: u64,
    /// At the end of each window but the last.
    marks: Vec<Counted>,
    marks_max: usize,
}

fn report_of(sessions: &Sessions) -> Report {
    let input = ReportInput {
        kind: String::new(),
        strategy: String::new(),
        sources: Vec::new(),
        reference: Reference::Instrument(Default::default()),
        venue: None,
    };
    Report::new(&sessions.all()[0], &input)
}

impl Windows {
    fn end_of_next(&self) -> Option<Nanos> {
        let start = self.sessions.all()[0].started_at()?;
        let windows = self.marks.len() as u64 + 1;
        (self.marks.len() < self.marks_max).then(|| start.saturating_add(windows * self.window_ns))
    }
}

impl Observer for Windows {
    fn on_event(&mut self, event: &Event<'_>) {
        // As samples are taken: the state after everything that happened until the window's end, that moment included.
        while self.end_of_next().is_some_and(|end| event.meta().recv > end) {
            self.marks.push(Counted::of(&report_of(&self.sessions)));
        }
        self.sessions.on_event(event);
    }

    fn on_command(&mut self, command: &Command) {
        self.sessions.on_command(command);
    }
}

/// Plays a trial. `stop` ends it early, and what it returns then is worth nothing.
pub fn run(config: &Config, plan: &TrialPlan<'_>, stop: &Flag) -> Vec<FoldResult> {
    match played(config, plan, stop) {
        Ok(results) => results,
        Err(error) => vec![FoldResult { failure: Some(error.to_string()), figures: None }; plan.folds],
    }
}

fn played(config: &Config, plan: &TrialPlan<'_>, stop: &Flag) -> Result<Vec<FoldResult>, BacktestError> {
    let mut config = config.clone();
    // One thread for each trial, which sleeps when the disk is slow: decisions are the same on every topology.
    config.threads.topology = Topology::single();
    config.threads.cpus = Vec::new();
    config.threads.idle = Idle::Backoff;
    let captures = plan.captures.priced(&config);
    let watching =
        SessionConfig { sample_ns: plan.sample_ns, limits: config.engine().limits, ..SessionConfig::default() };
    let reference = Reference::Instrument(Default::default());
    let watcher = Windows {
        sessions: Sessions::new(&captures.table, &watching, &reference),
        window_ns: plan.window_ns.unwrap_or(u64::MAX),
        marks: Vec::new(),
        marks_max: plan.folds - 1,
    };
    let (outcome, mut watcher) = play(&captures, &config, plan.feed, watcher, stop.clone())?;
    watcher.sessions.finish();
    let played = judge(&outcome, &watcher.sessions, "Backtest", Vec::new(), reference, &config);
    let report = &played.reports.all[0];
    if report.span.is_none() {
        return Err(BacktestError::Failed("the session never began".to_owned()));
    }
    if report.curves.interval_ns != plan.sample_ns {
        let found = tercel::config::Duration(report.curves.interval_ns);
        return Err(BacktestError::Failed(format!("the equity was sampled every {found}, which is another distance")));
    }
    let mut failure = None;
    if !report.identity.holds || !played.engine_agrees {
        failure = Some("not reconciled: the books of venue, engine and report differ".to_owned());
    } else if played.open_orders > 0 {
        failure = Some(format!("not reconciled: {} orders were left open", played.open_orders));
    }
    fold_results(report, &watcher.marks, plan, outcome.sim.liquidated_at, failure)
}

/// Cuts a report into folds.
fn fold_results(
    report: &Report,
    marks: &[Counted],
    plan: &TrialPlan<'_>,
    liquidated_at: Option<Nanos>,
    failure: Option<String>,
) -> Result<Vec<FoldResult>, BacktestError> {
    let start = report.span.as_ref().map_or(Nanos::ZERO, |span| Nanos::new(span.start.ns));
    let mut results = Vec::with_capacity(plan.folds);
    let mut before = Counted { equity: report.returns.equity_start.0, ..Counted::default() };
    for fold in 0..plan.folds {
        let after = marks.get(fold).copied().unwrap_or_else(|| Counted::of(report));
        let points = points_of(&report.curves.equity, fold, plan);
        if fold < marks.len() && points.last() != Some(&after.equity.to_f64_lossy()) {
            return Err(BacktestError::Failed("a window does not end with a sample: a bug".to_owned()));
        }
        let whole = (plan.folds == 1).then_some(report);
        let mut failure = failure.clone();
        let (figures, what) = match figures(&before, &after, points, plan.sample_ns, whole) {
            Ok(figures) => (Some(figures), None),
            Err(text) => (None, Some(text)),
        };
        let end = start.saturating_add((fold as u64 + 1).saturating_mul(plan.window_ns.unwrap_or(u64::MAX)));
        if let Some(at) = liquidated_at
            && (at <= end || fold + 1 == plan.folds)
        {
            // Whatever comes after it is not what was to be tried; what came before is.
            failure.get_or_insert(format!(
                "liquidated at {} UTC: the equity no longer covered the maintenance margin",
                at.utc_text()
            ));
        }
        results.push(FoldResult { failure: failure.or(what), figures });
        before = after;
    }
    Ok(results)
}

/// The samples of a fold, those at its beginning and end included.
fn points_of<'a>(equity: &'a [f64], fold: usize, plan: &TrialPlan<'_>) -> &'a [f64] {
    let Some(window_ns) = plan.window_ns.filter(|_| plan.folds > 1) else { return equity };
    let per_window = usize::try_from(window_ns / plan.sample_ns).unwrap_or(usize::MAX);
    let from = fold.saturating_mul(per_window).min(equity.len());
    let is_last = fold + 1 == plan.folds;
    let to = if is_last { equity.len() } else { from.saturating_add(per_window).saturating_add(1).min(equity.len()) };
    &equity[from..to]
}

fn figures(
    before: &Counted,
    after: &Counted,
    points: &[f64],
    sample_ns: u64,
    whole: Option<&Report>,
) -> Result<Figures, String> {
    let money = |money: Money| SignedMoneyText(money);
    let less = |of: fn(&Counted) -> Money| money(of(after).saturating_sub(of(before)));
    let count = |of: fn(&Counted) -> u64| of(after).saturating_sub(of(before));
    let is_above_zero = points.first().is_none_or(|first| *first > 0.0);
    let returns = returns(points).filter(|_| is_above_zero).ok_or("ruined: the equity is not above zero")?;
    let performance = Performance::of(&returns, sample_ns);
    let moments = Moments::of(&returns);
    let (first, pnl) = (before.equity.to_f64_lossy(), less(|it| it.pnl));
    let (mut peak, mut sampled_drawdown) = (0f64, 0f64);
    for point in points {
        peak = peak.max(*point);
        sampled_drawdown = sampled_drawdown.max(1.0 - point / peak);
    }
    let over_first = |value: f64| points.first().map_or(1.0, |first| value / first);
    let (trips, wins, orders) = (count(|it| it.trips), count(|it| it.wins), count(|it| it.orders));
    let max_drawdown = match whole {
        Some(report) => report.drawdown.as_ref().and_then(|it| it.share),
        None => Some(sampled_drawdown).filter(|share| *share > 0.0),
    };
    Ok(Figures {
        seconds: points.len().saturating_sub(1) as f64 * (sample_ns as f64 / 1e9),
        equity_start: money(before.equity),
        equity_end: money(after.equity),
        pnl,
        fees: less(|it| it.fees),
        funding: less(|it| it.funding),
        turnover: less(|it| it.turnover),
        total_return: ratio(after.equity.to_f64_lossy() - first, first),
        sharpe: performance.sharpe,
        sortino: performance.sortino,
        volatility: performance.volatility,
        max_drawdown,
        trips,
        wins,
        win_rate: ratio(wins as f64, trips as f64),
        fills: count(|it| it.fills),
        maker_fills: count(|it| it.maker_fills),
        orders,
        fill_ratio: ratio(count(|it| it.orders_filled) as f64, orders as f64),
        moments,
        high: over_first(points.iter().fold(f64::MIN, |most, it| most.max(*it))),
        low: over_first(points.iter().fold(f64::MAX, |least, it| least.min(*it))),
        sampled_drawdown,
    })
}

#[cfg(test)]
mod tests {
    use tercel::types::{
        Balance, ClientOrderId, Fill, InstrumentSpec, InstrumentTable, Level, Lots, Meta, Product, Side, Step, Symbol,
        Ticks, Top, TopCheck, VenueId,
    };

    use super::*;

    #[test]
    fn windows_share_the_sample_between_them_and_the_last_takes_the_rest() {
        let captures =
            Captures { files: Vec::new(), venues: Vec::new(), table: InstrumentTable::new(Vec::new()).unwrap() };
        let mut plan = TrialPlan {
            captures: &captures,
            folds: 3,
            window_ns: Some(20),
            sample_ns: 10,
            feed: FeedConfig::default(),
        };
        let equity: Vec<f64> = (0..8).map(f64::from).collect();
        assert_eq!(points_of(&equity, 0, &plan), [0.0, 1.0, 2.0]);
        assert_eq!(points_of(&equity, 1, &plan), [2.0, 3.0, 4.0]);
        assert_eq!(points_of(&equity, 2, &plan), [4.0, 5.0, 6.0, 7.0]);
        assert_eq!(points_of(&equity[..3], 2, &plan), [0.0; 0], "a session that ended earlier");
        plan.folds = 1;
        assert_eq!(points_of(&equity, 0, &plan), equity);
    }

    /// A session from 100 ns on with windows of 20 ns, sampled every 10 ns: one lot of one unit bought at 50, one at 60; the mid is 60.
    fn watched() -> Windows {
        let step = Step::from_text(b"1").unwrap();
        let symbol = Symbol::new(b"XUSDT").unwrap();
        let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step, step).unwrap();
        let table = InstrumentTable::new(vec![spec]).unwrap();
        let config = SessionConfig { sample_ns: 10, ..SessionConfig::default() };
        let mut watched = Windows {
            sessions: Sessions::new(&table, &config, &Reference::Instrument(Default::default())),
            window_ns: 20,
            marks: Vec::new(),
            marks_max: 2,
        };
        let money = |units: i128| Money::new(units * Money::ONE.get());
        let meta = |at: u64| Meta { recv: Nanos::new(at), seq: at, ..Meta::default() };
        let wallet = money(1000);
        watched.on_event(&Event::Balance(Balance { meta: meta(100), wallet, available: wallet }));
        let level = |px: i64| Some(Level { px: Ticks::new(px), qty: Lots::new(1) });
        watched.on_event(&Event::Top(Top { meta: meta(100), check: TopCheck::None, bid: level(59), ask: level(61) }));
        for (at, px) in [(120, 50), (121, 60)] {
            watched.on_event(&Event::Fill(Fill {
                meta: meta(at),
                client_id: ClientOrderId(at),
                exec_id: u128::from(at),
                side: Side::Bid,
                is_maker: true,
                px: Ticks::new(px),
                qty: Lots::new(1),
                fee: money(1),
                is_fee_final: true,
                is_query: false,
                venue_order_id: 0,
            }));
        }
        watched.on_event(&Event::Timer(meta(165)));
        watched.sessions.finish();
        watched
    }

    #[test]
    fn a_window_ends_with_all_that_happened_at_its_last_moment() {
        let watched = watched();
        let captures =
            Captures { files: Vec::new(), venues: Vec::new(), table: InstrumentTable::new(Vec::new()).unwrap() };
        let (feed, window_ns) = (FeedConfig::default(), Some(20));
        let plan = TrialPlan { captures: &captures, folds: 3, window_ns, sample_ns: 10, feed };
        let report = report_of(&watched.sessions);
        let found = fold_results(&report, &watched.marks, &plan, None, None).unwrap();
        let of = |idx: usize| found[idx].figures.clone().unwrap();
        let told: Vec<_> = (0..3)
            .map(|idx| (of(idx).fills, of(idx).pnl.0.to_string(), of(idx).moments.n, of(idx).turnover.0.to_string()))
            .collect();
        let text = |text: &str| text.to_owned();
        // At 120 the first fill made 10 less its fee; what came a nanosecond later is the next window's.
        assert_eq!(
            told,
            [(1, text("9"), 2, text("50")), (1, text("-1"), 2, text("60")), (0, text("0"), 2, text("0")),]
        );
        assert_eq!(of(1).equity_start.0.to_string(), "1009");
        // Liquidated in the second window, at its last moment: the first counts, the others do not.
        let found = fold_results(&report, &watched.marks, &plan, Some(Nanos::new(140)), None).unwrap();
        let failed: Vec<bool> = found.iter().map(|it| it.failure.is_some()).collect();
        assert_eq!(failed, [false, true, true]);
        assert!(found[1].failure.as_ref().unwrap().starts_with("liquidated at") && found[1].figures.is_some());
        let found = fold_results(&report, &watched.marks, &plan, None, Some(text("not reconciled"))).unwrap();
        assert!(found.iter().all(|it| it.failure.as_deref() == Some("not reconciled")));
    }

    #[test]
    fn figures_can_always_be_written_and_read() {
        let counted =
            |equity: i64| Counted { equity: Money::new(i128::from(equity) * Money::ONE.get()), ..Counted::default() };
        for points in [&[][..], &[0.0], &[-1.0], &[5.0], &[5.0, 0.0], &[5.0, 0.0, 1.0], &[5.0, 4.0, 6.0]] {
            match figures(&counted(0), &counted(5), points, 1, None) {
                Ok(found) => {
                    let text = serde_json::to_string(&found).unwrap();
                    assert_eq!(serde_json::from_str::<Figures>(&text).unwrap(), found, "{points:?}");
                }
                Err(error) => assert!(error.starts_with("ruined") && points.iter().any(|it| *it <= 0.0), "{points:?}"),
            }
        }
        let found = figures(&counted(5), &counted(6), &[5.0, 4.0, 6.0], 1, None).unwrap();
        assert_eq!((found.low, found.high, found.max_drawdown), (0.8, 1.2, Some(1.0 - 0.8)));
        assert_eq!(found.total_return, Some(0.2));
    }
}
