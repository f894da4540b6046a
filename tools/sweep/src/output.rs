//! The results of a sweep: `trials.parquet`, `ranking.json`, `ranking.md`, each under its name when it is whole.

use std::path::{Path, PathBuf};

use toml::Value;

use crate::failure::{Failure, Outcome};
use crate::markdown;
use crate::market::Markets;
use crate::rank::Ranking;
use crate::space::Space;
use crate::table::{Cell, Kind, Table};
use crate::trial::{Figures, FoldResult};

/// The files, in the order in which they are published.
const NAMES: [&str; 3] = ["trials.parquet", "ranking.md", "ranking.json"];

fn part(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.part"))
}

/// Removes the results of an earlier sweep: until the new ones are there, there are none.
///
/// # Errors
/// The system's word.
pub fn clear(folder: &Path) -> Outcome {
    for name in NAMES {
        let path = folder.join(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Failure::file(&path, e)),
            _ => {}
        }
    }
    Ok(())
}

/// Writes everything.
///
/// # Errors
/// The system's word.
pub fn write(
    folder: &Path,
    space: &Space,
    markets: &Markets,
    results: &[Vec<&FoldResult>],
    ranking: &Ranking,
    top: usize,
) -> Outcome {
    let [trials, text, json] = NAMES.map(|name| part(folder, name));
    write_trials(&trials, space, markets, results)?;
    let write = |path: &Path, text: String| std::fs::write(path, text).map_err(|e| Failure::file(path, e));
    write(&text, markdown::render(ranking, top))?;
    write(&json, ranking_json(ranking)?)?;
    for name in NAMES {
        let path = folder.join(name);
        std::fs::rename(part(folder, name), &path).map_err(|e| Failure::file(&path, e))?;
    }
    Ok(())
}

/// The ranking as JSON.
///
/// # Errors
/// It does not print: a bug.
pub fn ranking_json(ranking: &Ranking) -> Outcome<String> {
    let text =
        serde_json::to_string_pretty(ranking).map_err(|e| Failure::from(format!("the ranking does not print: {e}")))?;
    Ok(text + "\n")
}

fn write_trials(path: &Path, space: &Space, markets: &Markets, results: &[Vec<&FoldResult>]) -> Outcome {
    let fixed = [
        ("set", Kind::Uint),
        ("fold", Kind::Uint),
        ("fold_name", Kind::Text),
        ("capture", Kind::Text),
        ("status", Kind::Text),
        ("reason", Kind::Text),
    ];
    let mut columns: Vec<(String, Kind)> = fixed.map(|(name, kind)| (name.to_owned(), kind)).to_vec();
    columns.extend(space.paths.iter().map(|path| (format!("p.{path}"), Kind::Text)));
    columns.extend(figure_cells(None).into_iter().map(|(name, kind, _)| (name.to_owned(), kind)));
    let mut table = Table::create(path, &columns)?;
    for (idx, set) in space.sets.iter().enumerate() {
        for (fold_idx, (fold, result)) in markets.folds.iter().zip(&results[idx]).enumerate() {
            let text = |text: &str| Cell::Text(Some(text.to_owned()));
            let number = |number: usize| Cell::Uint(Some(number as u64));
            let mut cells = vec![
                number(idx + 1),
                number(fold_idx + 1),
                text(&fold.name),
                text(&markets.all[fold.capture].key.name),
                text(if result.failure.is_none() { "good" } else { "failed" }),
                Cell::Text(result.failure.clone()),
            ];
            cells.extend(set.values.iter().map(|value| Cell::Text(Some(value_text(value)))));
            cells.extend(figure_cells(result.figures.as_ref()).into_iter().map(|(_, _, cell)| cell));
            table.row(cells)?;
        }
    }
    table.finish().map(|_| ())
}

/// A value as it was written, without quotes.
fn value_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The columns of figures, and their cells.
fn figure_cells(figures: Option<&Figures>) -> Vec<(&'static str, Kind, Cell)> {
    let double = |name, of: fn(&Figures) -> Option<f64>| (name, Kind::Double, Cell::Double(figures.and_then(of)));
    let uint = |name, of: fn(&Figures) -> u64| (name, Kind::Uint, Cell::Uint(figures.map(of)));
    let money = |name, of: fn(&Figures) -> tercel::config::SignedMoneyText| {
        (name, Kind::Money, Cell::Money(figures.map(|it| of(it).0.get())))
    };
    vec![
        double("seconds", |it| Some(it.seconds)),
        money("equity_start", |it| it.equity_start),
        money("equity_end", |it| it.equity_end),
        money("pnl", |it| it.pnl),
        money("fees", |it| it.fees),
        money("funding", |it| it.funding),
        money("turnover", |it| it.turnover),
        double("total_return", |it| it.total_return),
        double("sharpe", |it| it.sharpe),
        double("sortino", |it| it.sortino),
        double("volatility", |it| it.volatility),
        double("max_drawdown", |it| it.max_drawdown),
        uint("trips", |it| it.trips),
        uint("wins", |it| it.wins),
        double("win_rate", |it| it.win_rate),
        uint("fills", |it| it.fills),
        uint("maker_fills", |it| it.maker_fills),
        uint("orders", |it| it.orders),
        double("fill_ratio", |it| it.fill_ratio),
        uint("returns", |it| it.moments.n),
        double("return_mean", |it| Some(it.moments.mean)),
        double("sharpe_per_sample", |it| it.moments.sharpe()),
        double("skewness", |it| it.moments.skewness()),
        double("kurtosis", |it| it.moments.kurtosis()),
    ]
}
