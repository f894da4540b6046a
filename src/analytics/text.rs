//! Figures as people read them, and the report on a terminal.

use std::fmt::Write;

use super::report::{Amount, Means, Report};
use super::sessions::Reports;

/// What stands where a figure is not defined.
pub const NONE: &str = "n/a";

/// A span of time with the unit that suits it.
pub fn span_text(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.1} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

/// A figure with so many decimals.
pub fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or(NONE.to_owned(), |value| match value.abs() {
        // Extrapolated figures may be of any size.
        size if size >= 1e9 => format!("{value:.3e}"),
        _ => format!("{value:.decimals$}"),
    })
}

/// A share as percent.
pub fn percent(value: Option<f64>, decimals: usize) -> String {
    match value {
        Some(value) => number(Some(value * 100.0), decimals) + " %",
        None => NONE.to_owned(),
    }
}

/// Money with four decimals, cut; with eight where coins are what is earned.
pub fn money(report: &Report, amount: Amount) -> String {
    format!("{:.*}", report.money_decimals, amount.0.to_f64_lossy())
}

/// Money that may not be there.
pub fn maybe_money(report: &Report, amount: Option<Amount>) -> String {
    amount.map_or(NONE.to_owned(), |amount| money(report, amount))
}

/// A horizon of a markout.
pub fn horizon(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{} s", ms / 1_000) }
}

/// Whether the books agree, as one word with what is wrong.
pub fn verdict(report: &Report) -> String {
    let identity = &report.identity;
    match (&identity.difference, identity.positions_equal) {
        _ if identity.holds => "equal to the last unit".to_owned(),
        (None, _) => "the venue told no wallet".to_owned(),
        (Some(difference), true) => format!("NOT EQUAL: the venue has {} more", difference.0),
        (Some(difference), false) => format!("NOT EQUAL: the venue has {} more, and other positions", difference.0),
    }
}

/// A group of figures: its heading, and name, value and what it means of each.
pub struct Section {
    /// Heading.
    pub title: &'static str,
    /// Name and value.
    pub rows: Vec<(&'static str, String)>,
}

/// The figures of the report in the order in which they are read.
pub fn sections(report: &Report) -> Vec<Section> {
    let Report { returns, pnl, trips, exposure, turnover, orders, reference, .. } = report;
    let performance = &returns.performance;
    let money = |amount| money(report, amount);
    let maybe_money = |amount| maybe_money(report, amount);
    let drawdown = match &report.drawdown {
        Some(it) => vec![
            ("Max drawdown", format!("{} ({})", money(it.amount), percent(it.share, 4))),
            ("From the peak of", format!("{} UTC", it.peak_at.utc)),
            ("Bottom", format!("{} UTC", it.bottom_at.utc)),
            ("Recovered", it.recovered_at.as_ref().map_or("not yet".to_owned(), |at| format!("{} UTC", at.utc))),
        ],
        None => vec![("Max drawdown", "none: the equity never fell".to_owned())],
    };
    let bps = |means: &Means| {
        let one = |mean: &super::report::Mean| format!("{} ({})", number(mean.bps, 3), mean.fills);
        format!("{} maker, {} taker", one(&means.maker), one(&means.taker))
    };
    vec![
        Section {
            title: "Result",
            rows: vec![
                ("Settled in", report.currency.clone()),
                ("Profit", money(pnl.total)),
                ("= spread", money(pnl.spread)),
                ("+ inventory", money(pnl.inventory)),
                ("− fees", money(pnl.fees)),
                ("− funding", money(pnl.funding)),
                ("Equity", format!("{} → {}", money(returns.equity_start), money(returns.equity_end))),
            ],
        },
        Section {
            title: "Returns",
            rows: vec![
                ("Total return", percent(returns.total_return, 4)),
                ("Annual return", percent(returns.annual_return, 2)),
                ("Volatility (annual)", percent(performance.volatility, 2)),
                ("Sharpe", number(performance.sharpe, 2)),
                ("Sortino", number(performance.sortino, 2)),
                ("Calmar", number(returns.calmar, 2)),
            ],
        },
        Section { title: "Drawdown", rows: drawdown },
        Section {
            title: "Round trips",
            rows: vec![
                ("Closed (open)", format!("{} ({})", trips.closed, trips.open)),
                ("Win rate", percent(trips.win_rate, 1)),
                ("Profit factor", number(trips.profit_factor, 3)),
                ("Average win", maybe_money(trips.average_win)),
                ("Average loss", maybe_money(trips.average_loss)),
                ("Best, worst", format!("{}, {}", maybe_money(trips.best), maybe_money(trips.worst))),
                ("Mean time", trips.held_mean_s.map_or(NONE.to_owned(), span_text)),
            ],
        },
        Section {
            title: "Exposure",
            rows: vec![
                ("Time in position", percent(exposure.time_share, 1)),
                ("Mean value", number(exposure.gross_mean, 2)),
                ("Greatest value", money(exposure.gross_max)),
                ("Turnover", money(turnover.value)),
                ("Turnover / equity", number(turnover.times_equity, 3)),
            ],
        },
        Section {
            title: "Execution",
            rows: vec![
                ("Fills", format!("{} ({} maker)", turnover.fills, turnover.maker_fills)),
                ("Orders sent", format!("{} ({} amendments)", orders.sent, orders.amended)),
                ("Orders filled", percent(orders.filled_ratio, 1)),
                ("Orders filled whole", percent(orders.filled_whole_ratio, 1)),
                ("Quantity filled", percent(orders.quantity_ratio, 1)),
                ("Slippage in bps (fills)", bps(&report.slippage_bps)),
            ],
        },
        Section {
            title: "Against the reference",
            rows: vec![
                ("Reference", reference.name.clone()),
                ("Its return", percent(reference.total_return, 4)),
                ("Alpha (annual)", percent(reference.regression.alpha, 2)),
                ("Beta", number(reference.regression.beta, 5)),
                ("R²", number(reference.regression.r_squared, 4)),
            ],
        },
    ]
}

/// The report for a terminal.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_text(&mut out, report);
    out
}

/// The reports of all settlement currencies for a terminal.
pub fn render_all(reports: &Reports) -> String {
    let mut out = String::new();
    for report in &reports.all {
        if reports.all.len() > 1 {
            let _ = writeln!(out, "{}—— settled in {} ——", if out.is_empty() { "" } else { "\n" }, report.currency);
        }
        let _ = write_text(&mut out, report);
    }
    out
}

fn write_text(out: &mut String, report: &Report) -> std::fmt::Result {
    if let Some(span) = &report.span {
        let (start, end) = (&span.start.utc, &span.end.utc);
        writeln!(out, "{} of {}, {start} to {end} UTC ({})", report.kind, report.strategy, span_text(span.seconds))?;
    }
    for section in sections(report) {
        writeln!(out, "{}", section.title)?;
        for (name, value) in section.rows {
            writeln!(out, "  {name:<24}{value}")?;
        }
    }
    writeln!(out, "Markouts in bps (above zero: the market went our way)")?;
    let head: String = report.markouts_bps.iter().map(|row| format!("{:>10}", horizon(row.horizon_ms))).collect();
    writeln!(out, "  {:<10}{head}", "after")?;
    for (name, of) in [("maker", 0), ("taker", 1)] {
        let cells: String = report
            .markouts_bps
            .iter()
            .map(|row| format!("{:>10}", number(if of == 0 { row.means.maker.bps } else { row.means.taker.bps }, 3)))
            .collect();
        writeln!(out, "  {name:<10}{cells}")?;
    }
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    let it = &report.identity;
    writeln!(
        out,
        "accounts in {}: {} + realised {} − fees {} − funding {} = {} (venue {}): {}",
        report.currency,
        it.wallet_start.0,
        it.realised.0,
        it.fees.0,
        it.funding.0,
        it.wallet_expected.0,
        it.wallet_venue.map_or("not told".to_owned(), |wallet| wallet.0.to_string()),
        verdict(report)
    )
}
