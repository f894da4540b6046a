//! The report as Markdown.

use std::fmt::Write;

use super::report::{Mean, Report};
use super::text::{NONE, horizon, money, number, sections, span_text, verdict};

/// Renders the report; text that came from outside cannot become markup.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, report);
    out
}

/// Escapes what Markdown or the HTML in it would take for markup.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "# {} of {}\n", escape(&report.kind), escape(&report.strategy))?;
    for source in &report.sources {
        writeln!(out, "- {}", escape(source))?;
    }
    if let Some(span) = &report.span {
        writeln!(
            out,
            "- {} to {} UTC, {}; {} events; {} samples, one every {} s",
            span.start.utc,
            span.end.utc,
            span_text(span.seconds),
            span.events,
            span.samples,
            span.sample_s
        )?;
    }
    for note in &report.notes {
        writeln!(out, "\n> {}", escape(note))?;
    }
    for section in sections(report) {
        writeln!(out, "\n## {}\n\n| | |\n| --- | ---: |", section.title)?;
        for (name, value) in section.rows {
            writeln!(out, "| {name} | {} |", escape(&value))?;
        }
    }
    writeln!(out, "\n## Markouts\n")?;
    writeln!(out, "Mid after the fill less its price, in its direction, in bps, weighted by value (fills).\n")?;
    writeln!(out, "| after | maker | taker | all |\n| --- | ---: | ---: | ---: |")?;
    let cell = |mean: &Mean| format!("{} ({})", number(mean.bps, 3), mean.fills);
    for row in &report.markouts_bps {
        let m = &row.means;
        writeln!(out, "| {} | {} | {} | {} |", horizon(row.horizon_ms), cell(&m.maker), cell(&m.taker), cell(&m.all))?;
    }
    writeln!(out, "\n## Instruments\n")?;
    writeln!(out, "| | venue | position | fills | maker | turnover | filled / sent | profit | trips |")?;
    writeln!(out, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for it in &report.instruments {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} / {} | {} | {} |",
            escape(&it.symbol),
            it.venue,
            it.position,
            it.fills,
            it.maker_fills,
            money(report, it.turnover),
            it.quantity_filled,
            it.quantity_sent,
            money(report, it.pnl.total),
            it.trips.closed
        )?;
    }
    let it = &report.identity;
    writeln!(out, "\n## Accounts\n\n| | {} |\n| --- | ---: |", report.currency)?;
    for (name, value) in [
        ("Wallet at the start", it.wallet_start.0.to_string()),
        ("+ realised", it.realised.0.to_string()),
        ("− fees", it.fees.0.to_string()),
        ("− funding", it.funding.0.to_string()),
        ("= wallet by our books", it.wallet_expected.0.to_string()),
        ("Wallet by the venue's", it.wallet_venue.map_or(NONE.to_owned(), |wallet| wallet.0.to_string())),
        ("Verdict", verdict(report)),
    ] {
        writeln!(out, "| {name} | {value} |")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_no_markup() {
        assert_eq!(escape("a|b<i>*c*\nd"), "a\\|b&lt;i>\\*c\\* d");
    }
}
