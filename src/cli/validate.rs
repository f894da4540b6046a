//! `tercel validate`: a backtest that has to reach what was asked of it.

use clap::Args;
use serde_json::json;

use super::backtest::{PlayedArgs, play};
use super::journal::write_json;
use super::session_report::ReportArgs;
use super::{Exit, Failure, Outcome};
use crate::analytics::{Bound, Finding};
use crate::config::ValidateTable;

/// Arguments of `tercel validate`.
#[derive(Args)]
#[command(after_help = "\
Shares are shares of one: --max-drawdown 0.15 is 15 %. Targets may stand in the configuration's table [validate] under the same
names; an option replaces its key. A figure that is not defined for the session (no round trip, no variance) misses its target.
Ends with 0 if every target is met, 1 if one is missed, 2 without a target, 3 if the books do not agree.

Examples:
  tercel validate CAPTURE.jsonl.gz --max-drawdown 0.15 --min-sharpe 1
  tercel validate CAPTURE.jsonl.gz --config my.toml --json -")]
pub struct ValidateArgs {
    #[command(flatten)]
    played: PlayedArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    targets: ValidateTable,
}

/// Runs the command.
pub fn run(args: &ValidateArgs) -> Outcome {
    let config = args.played.engine.config()?;
    let targets = args.targets.over(&config.validate).targets();
    if targets.is_empty() {
        return Err(Failure::usage(
            "nothing is asked for; name a target, such as --max-drawdown 0.15, or fill the table [validate]",
        ));
    }
    let played = play(&args.played, &args.report, &config)?;
    // What is settled in several currencies has figures in each, and must reach the targets in each in which it traded.
    let traded: Vec<_> = played.reports.traded().collect();
    let mut findings: Vec<(String, Finding)> = Vec::new();
    for target in &targets {
        findings.extend(traded.iter().map(|report| (report.currency.clone(), target.check(report))));
    }
    let is_met = findings.iter().all(|(_, it)| it.is_met());
    let json = args.played.engine.json.as_deref();
    args.report.tell_files(&played.reports)?;
    if json.is_none_or(|file| file.as_os_str() != "-") {
        for (currency, finding) in &findings {
            match traded.len() {
                1 => println!("{finding}"),
                _ => println!("{finding}, in {currency}"),
            }
        }
        let missed = findings.iter().filter(|(_, it)| !it.is_met()).count();
        println!("{} of {} targets met", findings.len() - missed, findings.len());
    }
    if let Some(file) = json {
        let rows: Vec<_> = findings
            .iter()
            .map(|(currency, it)| {
                let (bound, asked) = match it.target.bound {
                    Bound::AtLeast(least) => ("at_least", least),
                    Bound::AtMost(most) => ("at_most", most),
                };
                json!({ "name": it.target.name, "currency": currency, "bound": bound, "asked": asked, "found": it.value, "met": it.is_met() })
            })
            .collect();
        write_json(file, &json!({ "met": is_met, "targets": rows, "report": played.reports }))?;
    }
    Ok(match (played.is_good(), is_met) {
        (false, _) => Exit::NotReconciled,
        (true, false) => Exit::Failed,
        (true, true) => Exit::Good,
    })
}
