//! What the commands that report on a session share, and `tercel report`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;

use super::journal::{engine, find, open, table, write_json};
use super::{Exit, Failure, Outcome};
use crate::analytics::{Reference, ReportInput, Reports, Series, SessionConfig, Sessions, html, markdown, text};
use crate::config::{Config, Duration};
use crate::engine::NoProbe;
use crate::journal::JournalSteps;
use crate::runtime::rerun;
use crate::types::InstrumentTable;

/// What a report is made of and where it goes.
#[derive(Args)]
pub struct ReportArgs {
    /// Write report.html, report.md and report.json into this folder; with several settlement currencies report-BTC.html and so on.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Instrument whose mid returns are compared with, for alpha and beta; otherwise the first.
    #[arg(long, value_name = "SYMBOL", conflicts_with = "reference_file")]
    reference: Option<String>,
    /// Series to compare with instead: lines of TIME,VALUE, time in nanoseconds since the epoch.
    #[arg(long, value_name = "CSV")]
    reference_file: Option<PathBuf>,
    /// Distance of two samples of the equity; it doubles when there are 8,192 of them.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    sample: Duration,
}

impl ReportArgs {
    /// What returns are compared with.
    pub fn reference(&self, table: &InstrumentTable) -> Result<Reference, Failure> {
        if let Some(file) = &self.reference_file {
            let text = std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("{}: {e}", file.display())))?;
            let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
            let series = Series::parse(&name, &text).map_err(|e| Failure::usage(format!("{}: {e}", file.display())))?;
            return Ok(Reference::Series(series));
        }
        let Some(symbol) = &self.reference else { return Ok(Reference::Instrument(Default::default())) };
        let found = table.iter().find(|(_, spec)| spec.symbol.as_bytes() == symbol.as_bytes());
        found.map(|(id, _)| Reference::Instrument(id)).ok_or_else(|| {
            let known: Vec<String> = table.iter().take(20).map(|(_, spec)| spec.symbol.to_string()).collect();
            Failure::usage(format!("--reference: found `{symbol}`, there are {}", known.join(", ")))
        })
    }

    /// How a session is watched under a configuration.
    pub fn session(&self, config: &Config, asks_account: bool) -> Result<SessionConfig, Failure> {
        if self.sample.0 == 0 {
            return Err(Failure::usage("--sample: found 0, allowed is more"));
        }
        Ok(SessionConfig {
            sample_ns: self.sample.0,
            limits: config.engine().limits,
            asks_account,
            ..SessionConfig::default()
        })
    }

    /// Prints the reports and writes what was asked for.
    pub fn tell(&self, report: &Reports, json: Option<&Path>) -> Result<(), Failure> {
        if json.is_none_or(|file| file.as_os_str() != "-") {
            print!("{}", text::render_all(report));
        }
        self.tell_files(report)?;
        match json {
            Some(file) => write_json(file, &serde_json::to_value(report)?),
            None => Ok(()),
        }
    }

    /// Writes the folder that was asked for.
    pub fn tell_files(&self, reports: &Reports) -> Result<(), Failure> {
        let Some(dir) = &self.report else { return Ok(()) };
        let mut files = vec![("report.json".to_owned(), serde_json::to_string(reports)? + "\n")];
        for report in &reports.all {
            // One page for each currency; where there is one, it needs no name.
            let name = match reports.all.len() {
                1 => "report".to_owned(),
                _ => format!("report-{}", report.currency),
            };
            files.push((format!("{name}.html"), html(report)));
            files.push((format!("{name}.md"), markdown::render(report)));
        }
        write_whole(dir, &files)?;
        for (name, _) in files.iter().filter(|(name, _)| name.ends_with(".html")) {
            eprintln!("report: {}", dir.join(name).display());
        }
        Ok(())
    }
}

/// Writes files into a folder; each gets its name when all are whole.
fn write_whole(dir: &Path, files: &[(String, String)]) -> Result<(), Failure> {
    let failed = |path: &Path, e: std::io::Error| Failure::from(format!("{}: {e}", path.display()));
    std::fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    let part = |name: &str| dir.join(format!("{name}.part"));
    for (name, text) in files {
        std::fs::write(part(name), text).map_err(|e| failed(&part(name), e))?;
    }
    for (name, _) in files {
        std::fs::rename(part(name), dir.join(name)).map_err(|e| failed(&dir.join(name), e))?;
    }
    Ok(())
}

/// Arguments of `tercel report`.
#[derive(Args)]
#[command(after_help = "\
The same report as `tercel backtest` makes, from what a run consumed and wanted: docs/analytics.md defines every figure.
Ends with 3 if wallet or positions are not what the executions say.

Examples:
  tercel run --for 60s --journal DIR
  tercel report --journal DIR --report OUT")]
pub struct JournalReportArgs {
    /// Journal: a folder's newest, or one file.
    #[arg(long, value_name = "DIR")]
    journal: PathBuf,
    /// Write the report as JSON; `-` for the standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    report: ReportArgs,
}

/// Runs `tercel report`.
pub fn run(args: &JournalReportArgs) -> Outcome {
    let file = find(&args.journal)?;
    let reader = open(&file)?;
    let header = reader.header().clone();
    let table = table(&header)?;
    let config = Config::parse(&header.config, Path::new("the journal's configuration"))?;
    let reference = args.report.reference(&table)?;
    // When the account was known is for an equal engine to say.
    let mut engine = engine(&header, &table, NoProbe)?;
    let mut session = Sessions::new(&table, &args.report.session(&config, true)?, &reference);
    let mut steps = JournalSteps::new(reader);
    let found = rerun(&mut engine, &mut steps, |step, engine| {
        session.on_event(&step.event);
        for lived in step.commands.iter().filter(|lived| lived.is_taken) {
            session.on_command(&lived.command);
        }
        if engine.is_synced() {
            session.account_is_known();
        }
        ControlFlow::Continue(())
    })
    .map_err(|e| format!("{}: {e}", file.display()))?;
    if let Some(difference) = &found.difference {
        eprintln!(
            "error: this engine decides otherwise than the journal from event {} on; `tercel replay --journal` tells more",
            difference.event
        );
        return Ok(Exit::NotReconciled);
    }
    session.finish();
    let input = ReportInput {
        kind: "Session".to_owned(),
        strategy: crate::backtest::strategy_name(&config),
        sources: vec![file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()],
        reference,
        venue: None,
    };
    let reports = session.reports(&input);
    args.report.tell(&reports, args.json.as_deref())?;
    Ok(if reports.hold() { Exit::Good } else { Exit::NotReconciled })
}
