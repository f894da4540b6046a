//! The ranking as Markdown, and in short for a terminal.

use std::fmt::Write;

use crate::rank::{Ranking, SetRow};

/// What is not defined.
const NONE: &str = "n/a";

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or(NONE.to_owned(), |value| format!("{value:.decimals$}"))
}

fn percent(value: Option<f64>) -> String {
    value.map_or(NONE.to_owned(), |value| format!("{:.2} %", value * 100.0))
}

/// Folds by their numbers, from 1.
fn span(folds: &std::ops::Range<usize>) -> String {
    match folds.len() {
        1 => format!("{}", folds.end),
        _ => format!("{}–{}", folds.start + 1, folds.end),
    }
}

/// A text within a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// The whole, with the first `top` sets.
pub fn render(ranking: &Ranking, top: usize) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(ranking, top, &mut out);
    out
}

fn write_all(ranking: &Ranking, top: usize, out: &mut String) -> std::fmt::Result {
    writeln!(out, "# Ranking of {} parameter sets over {} folds\n", ranking.sets, ranking.folds.len())?;
    for sentence in &ranking.verdict {
        writeln!(out, "- {sentence}")?;
    }
    writeln!(
        out,
        "\nRatios are of the equity's returns every {} s, Sharpe ratios for a year; what they cannot promise stands in docs/sweeps.md.",
        ranking.sample_s
    )?;
    for left_out in &ranking.left_out {
        writeln!(out, "\nLeft out, every set failed there: {left_out}")?;
    }
    if let Some(walk) = &ranking.walk_forward {
        let kind = if walk.plan.anchored { "all earlier folds" } else { "the newest folds" };
        writeln!(
            out,
            "\n## Walk forward\n\nChosen by {kind} ({} at least), judged by the next {}.\n",
            walk.plan.train, walk.plan.test
        )?;
        writeln!(
            out,
            "| step | chosen by folds | judged by | set | Sharpe in sample | out of sample | place there | rank correlation |"
        )?;
        writeln!(out, "| ---: | --- | --- | ---: | ---: | ---: | ---: | ---: |")?;
        for (idx, step) in walk.steps.iter().enumerate() {
            let place = step.rank.map_or(NONE.to_owned(), |rank| format!("{rank} of {}", step.ranked));
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                idx + 1,
                span(&step.train),
                span(&step.test),
                step.set.map_or("none".to_owned(), |set| set.to_string()),
                number(step.in_sample, 2),
                step.failure
                    .as_ref()
                    .map_or_else(|| number(step.out_of_sample, 2), |failure| format!("FAILED: {}", cell(failure))),
                place,
                number(step.rank_correlation, 2)
            )?;
        }
        let all = &walk.out_of_sample;
        writeln!(
            out,
            "\nOut of sample, one after the other: profit {}, fees {}, return {}, Sharpe {}, drawdown {}, {} trips ({} won), {} fills. Mean \
             rank correlation {}.",
            all.pnl.map_or(NONE.to_owned(), |it| it.0.to_string()),
            all.fees.map_or(NONE.to_owned(), |it| it.0.to_string()),
            percent(all.total_return),
            number(all.sharpe, 2),
            percent(Some(all.max_drawdown)),
            all.trips,
            percent(all.win_rate),
            all.fills,
            number(walk.rank_correlation, 2)
        )?;
    }
    if let Some(best) = &ranking.best {
        let observed = &best.observed;
        writeln!(out, "\n## The best set, and luck\n")?;
        writeln!(
            out,
            "Set {}: Sharpe {:.6} per sample over {} samples, skewness {:.2}, kurtosis {:.2}.",
            best.set, observed.sharpe, observed.samples, observed.skewness, observed.kurtosis
        )?;
        if let Some(found) = &best.deflated {
            writeln!(
                out,
                "The best of {} worthless sets whose ratios vary like these would be expected to show {:.6}. Deflated Sharpe ratio: {}.",
                found.trials,
                found.expected_max,
                percent(Some(found.deflated))
            )?;
        }
        if let Some(found) = &ranking.overfitting {
            writeln!(
                out,
                "Probability of overfitting: {} ({} blocks, {} ways); of a loss elsewhere: {}.",
                percent(Some(found.probability)),
                found.blocks,
                found.ways,
                percent(Some(found.probability_of_loss))
            )?;
        }
    }
    let (ranked, failed): (Vec<&SetRow>, Vec<&SetRow>) = ranking.table.iter().partition(|row| row.all.is_some());
    writeln!(
        out,
        "\n## Sets\n\nBy Sharpe over all folds, which is in sample: every one of them was seen by whoever picks from this table.\n"
    )?;
    writeln!(
        out,
        "| place | set | parameters | Sharpe | above 0 | deflated | Sharpe chosen by | judged by | chosen | profit | return | drawdown | trips | won | fills |"
    )?;
    writeln!(
        out,
        "| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )?;
    for (idx, row) in ranked.iter().take(top).enumerate() {
        let Some(all) = &row.all else { continue };
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            idx + 1,
            row.set,
            cell(&row.parameters),
            number(all.sharpe, 2),
            percent(row.probabilistic),
            percent(row.deflated),
            number(row.in_sample, 2),
            number(row.out_of_sample, 2),
            row.chosen,
            all.pnl.map_or(NONE.to_owned(), |it| it.0.to_string()),
            percent(all.total_return),
            percent(Some(all.max_drawdown)),
            all.trips,
            percent(all.win_rate),
            all.fills
        )?;
    }
    if ranked.len() > top {
        writeln!(out, "\n{} more stand in ranking.json.", ranked.len() - top)?;
    }
    if !failed.is_empty() {
        writeln!(out, "\n## Not ranked\n\n| set | parameters | why |\n| ---: | --- | --- |")?;
        for row in failed.iter().take(top) {
            let why = row.failure.as_deref().unwrap_or("no fold is good");
            writeln!(out, "| {} | {} | {} |", row.set, cell(&row.parameters), cell(why))?;
        }
        if failed.len() > top {
            writeln!(out, "\n{} more stand in ranking.json.", failed.len() - top)?;
        }
    }
    writeln!(out, "\n## Folds\n")?;
    for (idx, fold) in ranking.folds.iter().enumerate() {
        writeln!(out, "{}. {fold}", idx + 1)?;
    }
    Ok(())
}

/// A few lines for a terminal.
pub fn summary(ranking: &Ranking) -> String {
    let mut out = String::new();
    for row in ranking.table.iter().filter(|row| row.all.is_some()).take(5) {
        let all = row.all.clone().unwrap_or_default();
        let _ = writeln!(
            out,
            "set {:>4}  Sharpe {:>9}  deflated {:>9}  judged by {:>9}  profit {:>14}  {}",
            row.set,
            number(all.sharpe, 2),
            percent(row.deflated),
            number(row.out_of_sample, 2),
            all.pnl.map_or(NONE.to_owned(), |it| it.0.to_string()),
            row.parameters
        );
    }
    let failed = ranking.table.iter().filter(|row| row.all.is_none()).count();
    if failed > 0 {
        let _ = writeln!(out, "{failed} of {} sets are not ranked", ranking.sets);
    }
    for left_out in &ranking.left_out {
        let _ = writeln!(out, "left out: {left_out}");
    }
    for sentence in &ranking.verdict {
        let _ = writeln!(out, "{sentence}");
    }
    out
}
