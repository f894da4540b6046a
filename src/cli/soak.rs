//! `tercel soak`: the whole system for a while, and a verdict with reasons.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::guarded::GuardArgs;
use super::journal::write_json;
use super::memory::RssBytes;
use super::run::{first_errors, tell_ran};
use super::session::{End, Ended, TradeArgs, play};
use super::{EngineArgs, Exit, Failure, Outcome};
use crate::config::{Config, Environment, Ratio, Size, parse_duration};
use crate::runtime::Live;
use crate::soak::{Facts, Finding, Queue, Samples, Terms, judge};
use crate::types::Money;

/// Instruments of the embedded venue for each one that is asked for: a few of those that it makes up do not trade.
const SPARE_PERCENT: u64 = 120;

/// Longest warm-up that is not asked for.
const WARM_UP_MAX: Duration = Duration::from_secs(600);

/// Samples of the shortest runs, so that they can be judged, too.
const SAMPLES_MIN: u32 = 100;

/// Time between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Arguments of `tercel soak`.
#[derive(Args)]
#[command(after_help = "\
Runs the whole system as `tercel run` does, on the embedded venue or on the configured one, and judges it: docs/soak.md defines
every condition. A trade is a completed round trip; an error is any refused, unknown or mismatched message or order.
Ends with 0 if every condition is met, 1 if one is missed or it was interrupted, 2 for what is not allowed.

Examples:
  tercel soak
  tercel soak --duration 24h --config my.toml --json soak.json")]
pub struct SoakArgs {
    /// Time to trade: seconds, or a number with a unit, like 5m.
    #[arg(long, value_name = "TIME", default_value = "300")]
    duration: SoakTime,
    /// Fewest instruments with market data and at least one order; the embedded venue lists so many and a few more.
    #[arg(long, value_name = "N", default_value_t = 10)]
    min_assets: u64,
    /// Fewest completed round trips, all instruments together.
    #[arg(long, value_name = "N", default_value_t = 5)]
    min_trades: u64,
    /// Greatest share of errors among messages, and among orders, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = share)]
    max_error_rate: Ratio,
    /// Most that engine and venue may be apart at the end, in the settlement currency.
    #[arg(long, value_name = "AMOUNT", default_value = "0.000001", value_parser = amount, allow_negative_numbers = true)]
    capital_tolerance: Money,
    /// Most that resident memory may grow from the end of the warm-up to the end.
    #[arg(long, value_name = "SIZE", default_value = "8MB")]
    max_memory_growth: Size,
    /// Greatest share of any ring that may ever be in use, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.5", value_parser = share)]
    max_queue_fill: Ratio,
    /// Most slots by which the use of any ring may grow from the end of the warm-up to the end.
    #[arg(long, value_name = "SLOTS", default_value_t = 16)]
    max_queue_growth: u64,
    /// Most that the venue's clock and ours may move against each other, beyond what the comparison may be off.
    #[arg(long, value_name = "TIME", default_value = "10ms")]
    max_clock_drift: crate::config::Duration,
    /// Time at the start in which memory and queues may grow; by default half of the duration, ten minutes at most.
    #[arg(long, value_name = "TIME")]
    warm_up: Option<SoakTime>,
    /// Linear instruments that the embedded venue lists, over what --min-assets asks for.
    #[arg(long, value_name = "N")]
    instruments: Option<usize>,
    #[command(flatten)]
    trade: TradeArgs,
    #[command(flatten)]
    guard: GuardArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

/// A span of time in which a plain number means seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SoakTime(Duration);

impl std::str::FromStr for SoakTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let time = if is_plain { parse_duration(&format!("{text}s")) } else { parse_duration(text) };
        let time = time.map_err(|_| format!("found `{text}`, allowed are seconds like 300, or a number like 5m"))?;
        Ok(Self(Duration::from_nanos(time.0)))
    }
}

/// A share of one.
fn share(text: &str) -> Result<Ratio, String> {
    let value: Ratio = text.parse()?;
    if (0.0..=1.0).contains(&value.0) { Ok(value) } else { Err(format!("found `{text}`, allowed is 0 to 1")) }
}

/// An amount of money that is not below zero.
fn amount(text: &str) -> Result<Money, String> {
    let money = Money::parse(text.as_bytes()).map_err(|error| format!("found `{text}`: {error}"))?;
    if money < Money::ZERO { Err(format!("found `{text}`, allowed are 0 and more")) } else { Ok(money) }
}

impl SoakArgs {
    fn config(&self) -> Result<Config, Failure> {
        let mut config = self.engine.config()?;
        self.guard.apply(&mut config)?;
        let is_embedded = config.venue.environment == Environment::Embedded;
        for (option, is_given) in [
            ("--instruments", self.instruments.is_some()),
            ("--seed", self.trade.seed.is_some()),
            ("--faults", self.trade.faults.is_some()),
        ] {
            if is_given && !is_embedded {
                let text = format!("{option} is for the embedded venue; the configuration names another");
                return Err(Failure::usage(text));
            }
        }
        config.simex.seed = self.trade.seed.unwrap_or(config.simex.seed);
        let enough = usize::try_from(self.min_assets.saturating_mul(SPARE_PERCENT) / 100).unwrap_or(usize::MAX);
        config.simex.instruments = self.instruments.unwrap_or(config.simex.instruments.max(enough));
        Ok(config)
    }

    fn terms(&self) -> Result<Terms, Failure> {
        let duration = self.duration.0;
        if duration.is_zero() {
            return Err(Failure::usage("--duration: found 0, allowed is more"));
        }
        let warm_up = self.warm_up.map_or((duration / 2).min(WARM_UP_MAX), |time| time.0);
        if warm_up >= duration {
            let text = format!("--warm-up: found {} s, allowed is less than --duration", warm_up.as_secs_f64());
            return Err(Failure::usage(text));
        }
        Ok(Terms {
            duration,
            assets_min: self.min_assets,
            trades_min: self.min_trades,
            error_rate_max: self.max_error_rate.0,
            capital_apart_max: self.capital_tolerance,
            memory_growth_max: self.max_memory_growth.0,
            queue_fill_max: self.max_queue_fill.0,
            queue_growth_max: self.max_queue_growth,
            clock_drift_max_ns: self.max_clock_drift.0,
            warm_up,
        })
    }
}

/// Runs the command.
pub fn run(args: &SoakArgs) -> Outcome {
    let config = args.config()?;
    let terms = args.terms()?;
    // In huge pages what is resident goes up and down by 2 MiB with what the allocator happens to touch; in small ones it is what is in use.
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        eprintln!("warning: memory is judged with huge pages, in steps of 2 MiB: {error}");
    }
    let mut sampler = Sampler::new(&terms);
    let journal = args.trade.journal.as_deref();
    let mut look = |live: &Live, elapsed| sampler.look(live, elapsed);
    let (access, ended) = play(&config, &args.trade.place(), journal, Some(terms.duration), &mut look)?;
    let json = args.engine.json.as_deref();
    if json.is_none_or(|file| file.as_os_str() != "-") {
        tell_ran(&config, &access, &ended.outcome, &first_errors(&ended.outcome));
    }
    conclude(&terms, &ended, &sampler.samples, json)
}

/// Takes samples while it runs.
struct Sampler {
    samples: Samples,
    duration: Duration,
    progress_due: Duration,
}

impl Sampler {
    fn new(terms: &Terms) -> Self {
        let every = (terms.duration / SAMPLES_MIN).clamp(Duration::from_millis(10), Duration::from_secs(1));
        Self { samples: Samples::new(every), duration: terms.duration, progress_due: PROGRESS_EVERY }
    }

    fn look(&mut self, live: &Live, elapsed: Duration) -> Option<String> {
        for ring in live.rings() {
            self.samples.see_queue(Queue { name: ring.name, capacity: ring.capacity }, ring.fill);
        }
        if self.samples.is_due(elapsed) {
            self.samples.take(elapsed, RssBytes::now(), live.clock_offset());
        }
        if elapsed < self.progress_due {
            return None;
        }
        self.progress_due = elapsed + PROGRESS_EVERY;
        let last = self.samples.taken().last()?;
        Some(format!(
            "soak: {:.0} of {:.0} s, {} trades, {:.1} MB resident, clock offset {:.3} ms",
            elapsed.as_secs_f64(),
            self.duration.as_secs_f64(),
            live.status().round_trips().unwrap_or_default(),
            last.rss_bytes as f64 / 1e6,
            last.clock.map_or(0.0, |clock| clock.offset_ns as f64 / 1e6),
        ))
    }
}

/// Judges, says so, and writes it.
fn conclude(terms: &Terms, ended: &Ended, samples: &Samples, json: Option<&Path>) -> Outcome {
    let ended_early = match ended.end {
        End::TimeUp => None,
        End::Asked => Some("interrupted".to_owned()),
        other => Some(other.text().to_owned()),
    };
    let view = ended
        .view
        .as_ref()
        .map(|view| (view.positions.as_slice(), view.wallets.first().copied().unwrap_or_default(), view.open_orders));
    let facts = Facts::new(&ended.outcome, view, ended.traded_for, ended_early);
    let findings = judge(terms, &facts, samples);
    let is_met = findings.iter().all(Finding::is_met);
    if json.is_none_or(|file| file.as_os_str() != "-") {
        print!("{}", table(&findings));
        if let Some(by) = facts.refused_text() {
            println!("orders refused by: {by}");
        }
        let missed = findings.iter().filter(|it| !it.is_met()).count();
        let verdict = if is_met { "soak PASSED" } else { "soak FAILED" };
        println!("{verdict}: {} of {} conditions met", findings.len() - missed, findings.len());
    }
    if let Some(file) = json {
        let rows: Vec<_> = findings
            .iter()
            .map(|it| {
                json!({
                    "condition": it.condition, "wanted": it.wanted, "found": it.found, "met": it.is_met(),
                    "reason": it.reason,
                })
            })
            .collect();
        let samples: Vec<_> = samples
            .taken()
            .iter()
            .map(|it| {
                json!({
                    "at_s": it.at_ns as f64 / 1e9,
                    "rss_bytes": it.rss_bytes,
                    "fills": it.fills[..samples.queues().len()],
                    "clock_offset_ns": it.clock.map(|clock| clock.offset_ns),
                })
            })
            .collect();
        write_json(file, &json!({ "met": is_met, "conditions": rows, "samples": samples }))?;
    }
    Ok(if is_met { Exit::Good } else { Exit::Failed })
}

/// The findings as a table, and the reasons below the rows that are missed.
fn table(findings: &[Finding]) -> String {
    let width = |of: fn(&Finding) -> &str, title: &str| {
        findings.iter().map(|it| of(it).chars().count()).chain([title.len()]).max().unwrap_or(0)
    };
    let condition = width(|it| it.condition, "condition");
    let wanted = width(|it| &it.wanted, "wanted");
    let found = width(|it| &it.found, "found");
    let mut out = format!("{:<condition$}  {:<wanted$}  {:<found$}\n", "condition", "wanted", "found");
    for it in findings {
        let verdict = match &it.reason {
            None => "passed".to_owned(),
            Some(reason) => format!("FAILED: {reason}"),
        };
        out += &format!("{:<condition$}  {:<wanted$}  {:<found$}  {verdict}\n", it.condition, it.wanted, it.found);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_number_is_seconds() {
        let seconds = |text: &str| text.parse::<SoakTime>().map(|time| time.0.as_secs_f64());
        assert_eq!((seconds("300"), seconds("5m"), seconds("1500ms")), (Ok(300.0), Ok(300.0), Ok(1.5)));
        for bad in ["", "-3", "5 m", "1.5", "five"] {
            assert!(seconds(bad).unwrap_err().contains("allowed are seconds"), "{bad}");
        }
    }

    #[test]
    fn shares_and_amounts_have_bounds() {
        assert!(share("0.01").is_ok() && share("1.01").is_err() && share("-0.1").is_err() && share("nan").is_err());
        assert!(amount("0.000001").is_ok() && amount("-1").is_err() && amount("0.0000000000001").is_err());
    }
}
