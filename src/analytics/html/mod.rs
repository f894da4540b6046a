//! The report as one HTML file: no network, no other file, light and dark, legible on a telephone.

mod plot;

use std::fmt::Write;

use plot::{Axis, Line, Mark, Plot};

use super::report::{Mean, Report};
use super::text::{horizon, money, number, percent, sections, span_text, verdict};

/// Instruments that get plots of their own: those of the greatest turnover.
const PLOTTED_MAX: usize = 6;

/// Fills in the list.
const LISTED_MAX: usize = 500;

/// Renders the report as a page.
pub fn render(report: &Report) -> String {
    let mut out = String::with_capacity(1 << 18);
    // Writing to a String cannot fail; a plot's data are numbers and text.
    let _ = write(&mut out, report);
    out
}

/// Escapes text for elements and quoted attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    let title = escape(&format!("{} of {}", report.kind, report.strategy));
    writeln!(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    writeln!(out, "<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">")?;
    writeln!(out, "<title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>", include_str!("page.css"))?;
    write_head(out, report, &title)?;
    for plot in plots(report) {
        plot.thin().render(out)?;
    }
    write_sections(out, report)?;
    write_tables(out, report)?;
    writeln!(out, "<script>\n{}</script>\n</body>\n</html>", include_str!("plot.js"))
}

fn write_head(out: &mut String, report: &Report, title: &str) -> std::fmt::Result {
    writeln!(out, "<header><h1>{title}</h1>")?;
    for source in &report.sources {
        writeln!(out, "<p class=\"quiet\">{}</p>", escape(source))?;
    }
    if let Some(span) = &report.span {
        writeln!(
            out,
            "<p class=\"quiet\">{} to {} UTC, {}; {} events; {} samples, one every {} s</p>",
            span.start.utc,
            span.end.utc,
            span_text(span.seconds),
            span.events,
            span.samples,
            span.sample_s
        )?;
    }
    for note in &report.notes {
        writeln!(out, "<p class=\"note\">{}</p>", escape(note))?;
    }
    out.push_str("</header>\n<div class=\"cards\">");
    let profit = report.pnl.total.0;
    let sign = match profit.get() {
        0 => "",
        1.. => "good",
        _ => "bad",
    };
    let drawdown = report.drawdown.as_ref().and_then(|it| it.share);
    let books = if report.identity.holds { "good" } else { "bad" };
    for (name, class, value) in [
        ("Settled in", "", report.currency.clone()),
        ("Profit", sign, money(report, report.pnl.total)),
        ("Return", sign, percent(report.returns.total_return, 3)),
        ("Sharpe", "", number(report.returns.performance.sharpe, 2)),
        ("Max drawdown", "", percent(drawdown, 3)),
        ("Round trips won", "", percent(report.trips.win_rate, 1)),
        ("Fills", "", report.turnover.fills.to_string()),
        ("Accounts", books, if report.identity.holds { "equal".to_owned() } else { "NOT EQUAL".to_owned() }),
    ] {
        write!(out, "<div class=\"card\"><span>{name}</span><b class=\"{class}\">{}</b></div>", escape(&value))?;
    }
    writeln!(out, "</div>")
}

fn write_sections(out: &mut String, report: &Report) -> std::fmt::Result {
    out.push_str("<div class=\"sections\">");
    for section in sections(report) {
        write!(out, "<section><h2>{}</h2><table>", section.title)?;
        for (name, value) in section.rows {
            write!(out, "<tr><td>{name}</td><td>{}</td></tr>", escape(&value))?;
        }
        out.push_str("</table></section>");
    }
    let it = &report.identity;
    out.push_str("<section><h2>Accounts</h2><table>");
    for (name, value) in [
        ("Wallet at the start", it.wallet_start.0.to_string()),
        ("+ realised", it.realised.0.to_string()),
        ("− fees", it.fees.0.to_string()),
        ("− funding", it.funding.0.to_string()),
        ("= wallet by our books", it.wallet_expected.0.to_string()),
        ("Wallet by the venue's", it.wallet_venue.map_or("not told".to_owned(), |wallet| wallet.0.to_string())),
        ("Verdict", verdict(report)),
    ] {
        write!(out, "<tr><td>{name}</td><td>{}</td></tr>", escape(&value))?;
    }
    writeln!(out, "</table></section></div>")
}

fn write_table(out: &mut String, title: &str, head: &[&str], rows: &[Vec<String>]) -> std::fmt::Result {
    write!(out, "<section><h2>{title}</h2><div class=\"scroll\"><table class=\"wide\"><tr>")?;
    for name in head {
        write!(out, "<th scope=\"col\">{name}</th>")?;
    }
    out.push_str("</tr>");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            write!(out, "<td>{}</td>", escape(cell))?;
        }
        out.push_str("</tr>");
    }
    writeln!(out, "</table></div></section>")
}

fn write_tables(out: &mut String, report: &Report) -> std::fmt::Result {
    let mean = |mean: &Mean| format!("{} ({})", number(mean.bps, 3), mean.fills);
    let rows: Vec<Vec<String>> = report
        .markouts_bps
        .iter()
        .map(|row| {
            let m = &row.means;
            vec![horizon(row.horizon_ms), mean(&m.maker), mean(&m.taker), mean(&m.all)]
        })
        .collect();
    write_table(out, "Markouts in bps (fills)", &["After", "Maker", "Taker", "All"], &rows)?;
    let rows: Vec<Vec<String>> = report
        .instruments
        .iter()
        .map(|it| {
            vec![
                it.symbol.clone(),
                it.position.clone(),
                it.fills.to_string(),
                money(report, it.turnover),
                format!("{} / {}", it.quantity_filled, it.quantity_sent),
                money(report, it.pnl.total),
                it.trips.closed.to_string(),
                percent(it.trips.win_rate, 1),
            ]
        })
        .collect();
    let head = ["Instrument", "Position", "Fills", "Turnover", "Filled / sent", "Profit", "Trips", "Won"];
    write_table(out, "Instruments", &head, &rows)?;
    if report.fills.is_empty() {
        return Ok(());
    }
    let shown = &report.fills[..report.fills.len().min(LISTED_MAX)];
    let rows: Vec<Vec<String>> = shown
        .iter()
        .map(|fill| {
            let role = if fill.is_maker { "maker" } else { "taker" };
            let at = crate::types::Nanos::new(fill.at_ns).utc_text();
            vec![at, fill.symbol.clone(), fill.side.to_owned(), fill.px.clone(), fill.qty.clone(), role.to_owned()]
        })
        .collect();
    let (shown, all) = (shown.len(), report.turnover.fills);
    let title =
        if shown as u64 == all { format!("All {all} fills") } else { format!("The first {shown} of {all} fills") };
    write!(out, "<details><summary>{title}</summary>")?;
    write_table(out, "Fills", &["UTC", "Instrument", "Side", "Price", "Quantity", "Role"], &rows)?;
    writeln!(out, "</details>")
}

fn plots(report: &Report) -> Vec<Plot> {
    let curves = &report.curves;
    let moment = |idx: usize| (curves.start_ns as f64 + curves.interval_ns as f64 * idx as f64) / 1e6;
    let x: Vec<f64> = (0..curves.equity.len()).map(moment).collect();
    let over_time = |id: String, title: String, about: &str, lines: Vec<Line>| Plot {
        id,
        title,
        about: about.to_owned(),
        axis: Axis::Time,
        x: x.clone(),
        lines,
        marks: Vec::new(),
        unit: "",
        has_zero: false,
        is_step: false,
    };
    let line = |name: &str, y: Vec<Option<f64>>| Line { name: name.to_owned(), class: "a", y };
    let mut peak = f64::NEG_INFINITY;
    let drawdown = curves.equity.iter().map(|equity| {
        peak = peak.max(*equity);
        (peak > 0.0).then(|| (equity / peak - 1.0) * 100.0)
    });
    let drawdown: Vec<Option<f64>> = drawdown.collect();
    let equity: Vec<Option<f64>> = curves.equity.iter().copied().map(Some).collect();
    let mut plots = vec![
        over_time(
            "equity".to_owned(),
            "Equity".to_owned(),
            "Wallet and open profit at the mid, in the settlement currency.",
            vec![line("Equity", equity)],
        ),
        Plot {
            unit: " %",
            has_zero: true,
            ..over_time(
                "drawdown".to_owned(),
                "Drawdown".to_owned(),
                "Sampled equity below its peak so far.",
                vec![line("Drawdown", drawdown)],
            )
        },
    ];
    plots.push(markouts(report));
    let mut traded: Vec<&super::report::InstrumentCurve> = curves.instruments.iter().collect();
    let turnover = |curve: &super::report::InstrumentCurve| {
        let found = report.instruments.iter().find(|it| (it.venue, &it.symbol) == (curve.venue, &curve.symbol));
        found.map_or(0, |it| it.turnover.0.get())
    };
    traded.sort_by_key(|it| std::cmp::Reverse(turnover(it)));
    for (idx, it) in traded.into_iter().take(PLOTTED_MAX).enumerate() {
        let position = it.position.iter().copied().map(Some).collect();
        plots.push(Plot {
            marks: fill_marks(report, it),
            ..over_time(
                format!("price-{idx}"),
                format!("{}: price and fills", it.symbol),
                "Mid, with what was bought and sold.",
                vec![Line { class: "c", ..line("Mid", it.mid.clone()) }],
            )
        });
        plots.push(Plot {
            has_zero: true,
            is_step: true,
            ..over_time(
                format!("position-{idx}"),
                format!("{}: inventory", it.symbol),
                "Position, long above zero.",
                vec![line("Position", position)],
            )
        });
    }
    plots
}

fn fill_marks(report: &Report, curve: &super::report::InstrumentCurve) -> Vec<Mark> {
    let fills = report.fills.iter().filter(|fill| (fill.venue, &fill.symbol) == (curve.venue, &curve.symbol));
    fills
        .filter_map(|fill| {
            let role = if fill.is_maker { "maker" } else { "taker" };
            Some(Mark {
                x: fill.at_ns as f64 / 1e6,
                y: fill.px.parse().ok()?,
                class: if fill.side == "buy" { "buy" } else { "sell" },
                text: format!("{} {} at {} ({role})", fill.side, fill.qty, fill.px),
            })
        })
        .collect()
}

fn markouts(report: &Report) -> Plot {
    let rows = &report.markouts_bps;
    let line = |name: &str, class, of: fn(&super::report::Means) -> Mean| Line {
        name: name.to_owned(),
        class,
        y: rows.iter().map(|row| of(&row.means).bps).collect(),
    };
    let mut lines = vec![line("Maker", "a", |means| means.maker), line("Taker", "b", |means| means.taker)];
    lines.retain(|line| line.y.iter().any(Option::is_some));
    let mut marks = Vec::new();
    for line in &lines {
        let known = line.y.iter().enumerate().filter_map(|(idx, y)| Some((idx, (*y)?)));
        marks.extend(known.map(|(idx, y)| Mark { x: idx as f64, y, class: line.class, text: String::new() }));
    }
    Plot {
        id: "markouts".to_owned(),
        title: "Markouts".to_owned(),
        about:
            "Mid after a fill less its price, in its direction, weighted by value: above zero, the market went our way."
                .to_owned(),
        axis: Axis::Names(rows.iter().map(|row| horizon(row.horizon_ms)).collect()),
        x: (0..rows.len()).map(|idx| idx as f64).collect(),
        lines,
        marks,
        unit: " bps",
        has_zero: true,
        is_step: false,
    }
}
