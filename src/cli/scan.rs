//! `tercel scan`: which instruments of the venue are worth trading.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::access::address;
use super::scan_report::ScanReport;
use super::signals::StopSignals;
use super::simex::simex_config;
use super::survey::{Survey, Surveyor, rest_failure};
use super::{Exit, Failure, Outcome};
use crate::config::{Bps, Config, Environment, MoneyText, Ratio, ScanProduct, ScanTable};
use crate::runtime::Clock;
use crate::scan::entries;
use crate::simex::Simex;
use crate::venue::bybit::Secret;
use crate::venue::bybit::rest::{FeeRates, RestClient, RestConfig};

/// Arguments of `tercel scan`.
#[derive(Args)]
pub struct ScanArgs {
    /// Configuration file: which venue, and the table `[scan]`; without one the embedded simulated venue is scanned.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Scan this environment instead of the configured one. Public data: no key, no --live.
    #[arg(long, value_enum, value_name = "NAME")]
    environment: Option<Environment>,
    /// Scan the venue at this REST address, like http://127.0.0.1:7001.
    #[arg(long, value_name = "URL", conflicts_with = "environment")]
    rest: Option<String>,
    /// Show this many of the best.
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// Write the report as JSON: to FILE, or to the output instead of the table. With --watch one line for each look.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Look again after this time, like 30s, and tell who came among the best and who left, until Ctrl-C.
    #[arg(long, value_name = "TIME")]
    watch: Option<crate::config::Duration>,
    /// With --watch: end after this time.
    #[arg(long = "for", value_name = "TIME", requires = "watch")]
    run_for: Option<crate::config::Duration>,
    /// List every rejected instrument with its reason.
    #[arg(long)]
    rejected: bool,
    #[command(flatten)]
    filters: FilterArgs,
}

/// Bounds on the command line, over those of `[scan]`.
#[derive(Args)]
struct FilterArgs {
    /// What to scan.
    #[arg(long, value_enum)]
    product: Option<ScanProduct>,
    /// Coin in which profits are paid; empty: any.
    #[arg(long, value_name = "COIN")]
    settle: Option<String>,
    /// Consider dated futures, too.
    #[arg(long)]
    futures: bool,
    /// Names to consider, separated by commas.
    #[arg(long, value_name = "SYMBOLS", value_delimiter = ',')]
    include: Vec<String>,
    /// Names never to consider, separated by commas.
    #[arg(long, value_name = "SYMBOLS", value_delimiter = ',')]
    exclude: Vec<String>,
    /// Least value traded in 24 hours.
    #[arg(long, value_name = "VALUE")]
    turnover_min: Option<MoneyText>,
    /// Least spread.
    #[arg(long, value_name = "BPS")]
    spread_min: Option<Bps>,
    /// Greatest spread.
    #[arg(long, value_name = "BPS")]
    spread_max: Option<Bps>,
    /// Least volatility of a minute.
    #[arg(long, value_name = "BPS")]
    volatility_min: Option<Ratio>,
    /// Greatest volatility of a minute.
    #[arg(long, value_name = "BPS")]
    volatility_max: Option<Ratio>,
    /// Ask for the candles of the best N, one request each; without it volatility is estimated from the range of 24 hours.
    #[arg(long, value_name = "N")]
    klines: Option<usize>,
    /// Greatest funding of a day, either way.
    #[arg(long, value_name = "BPS")]
    funding_max: Option<Bps>,
    /// Greatest maker fee.
    #[arg(long, value_name = "BPS")]
    maker_fee_max: Option<Bps>,
    /// Maker fee to count with.
    #[arg(long, value_name = "BPS")]
    maker_fee: Option<Bps>,
    /// Value of one order, which the venue's least order must not exceed.
    #[arg(long, value_name = "VALUE")]
    order_value: Option<MoneyText>,
    /// Leverage that must be offered, in hundredths.
    #[arg(long, value_name = "HUNDREDTHS")]
    leverage_min: Option<u32>,
    /// Least time since the launch, like 168h.
    #[arg(long, value_name = "TIME")]
    age_min: Option<crate::config::Duration>,
}

impl FilterArgs {
    fn apply(&self, table: &mut ScanTable) {
        fn set<T: Clone>(into: &mut T, from: Option<&T>) {
            if let Some(value) = from {
                value.clone_into(into);
            }
        }
        fn set_option<T: Copy>(into: &mut Option<T>, from: Option<T>) {
            *into = from.or(*into);
        }
        set(&mut table.product, self.product.as_ref());
        set(&mut table.settle, self.settle.as_ref());
        table.futures |= self.futures;
        set(&mut table.include, Some(&self.include).filter(|names| !names.is_empty()));
        set(&mut table.exclude, Some(&self.exclude).filter(|names| !names.is_empty()));
        set_option(&mut table.turnover_min, self.turnover_min);
        set(&mut table.spread_min_bps, self.spread_min.as_ref());
        set(&mut table.spread_max_bps, self.spread_max.as_ref());
        set_option(&mut table.volatility_min_bps, self.volatility_min);
        set_option(&mut table.volatility_max_bps, self.volatility_max);
        set(&mut table.klines, self.klines.as_ref());
        set(&mut table.funding_max_bps, self.funding_max.as_ref());
        set(&mut table.maker_fee_max_bps, self.maker_fee_max.as_ref());
        set_option(&mut table.maker_fee_bps, self.maker_fee);
        set_option(&mut table.order_value, self.order_value);
        set(&mut table.leverage_min_e2, self.leverage_min.as_ref());
        set_option(&mut table.age_min, self.age_min);
    }
}

/// Runs the command.
pub fn run(args: &ScanArgs) -> Outcome {
    let mut config = match &args.config {
        Some(file) => Config::load(file).map_err(Failure::usage)?,
        None => Config::default(),
    };
    if let Some(environment) = args.environment {
        config.venue.environment = environment;
    }
    if let Some(rest) = &args.rest {
        config.venue.environment = Environment::Custom;
        config.venue.rest = Some(rest.clone());
        // Nothing is streamed.
        config.venue.ws = Some(String::new());
    }
    if config.venue.environment == Environment::Custom && config.venue.rest.is_none() {
        return Err(Failure::usage("a custom venue needs --rest URL, or `rest` in the configuration"));
    }
    args.filters.apply(&mut config.scan);
    config.scan.check().map_err(|(key, text)| Failure::usage(format!("{key}: {text}")))?;
    let signals = StopSignals::install()?;
    if config.venue.environment != Environment::Embedded {
        let address = address(&config)?;
        let rest_config = RestConfig { extra_ca_pem: address.ca_pem, ..RestConfig::new(&address.rest) };
        return look(args, &config, rest_config, None, &signals);
    }
    let simex = simex_config(&config, None)?;
    let account = simex.accounts.first().cloned().unwrap_or_default();
    let handle = Simex::start(simex, SocketAddr::from(([127, 0, 0, 1], 0)), None)?;
    let rest_config = RestConfig {
        api_key: account.api_key,
        secret: Some(Secret::new(account.api_secret)),
        ..RestConfig::new(&format!("http://{}", handle.addr()))
    };
    let rest = RestClient::new(rest_config.clone())?;
    let fees = rest.all_fee_rates(config.scan.product.product(), rest.time()?.as_millis())?;
    let outcome = look(args, &config, rest_config, Some(fees), &signals);
    handle.join();
    outcome
}

/// Looks once, or again and again.
fn look(
    args: &ScanArgs,
    config: &Config,
    rest_config: RestConfig,
    fees: Option<BTreeMap<String, FeeRates>>,
    signals: &StopSignals,
) -> Outcome {
    let base_url = rest_config.base_url.clone();
    let rest = RestClient::new(rest_config).map_err(Failure::usage)?;
    let product = config.scan.product.product().name();
    let clock = Clock::new();
    let started = Instant::now();
    let is_over =
        |started: Instant| args.run_for.is_some_and(|limit| started.elapsed() >= Duration::from_nanos(limit.0));
    let must_stop = || signals.is_set();
    let mut before: Option<Vec<String>> = None;
    let mut out = Output::new(args)?;
    loop {
        let mut progress = |done: usize, all: usize| show_progress(done, all);
        let mut surveyor =
            Surveyor { rest: &rest, config, fees: fees.clone(), progress: &mut progress, must_stop: &must_stop };
        let at = clock.now();
        match surveyor.survey(at) {
            Ok(_) if signals.is_set() => return Ok(Exit::Good),
            Ok(survey) => {
                let best = survey.scan.best(args.top);
                let changed = before.as_ref().map(|before| entries(before, &best));
                let report = ScanReport::new(&survey, &base_url, product, args.top, at, changed.as_ref());
                out.write(&report, &survey, args)?;
                before = Some(best);
            }
            // Once it has worked, a venue that is away for a moment ends nothing.
            Err(error) if before.is_some() => {
                eprintln!("warning: {}; looking again", rest_failure(&base_url, &error).text);
            }
            Err(error) => return Err(rest_failure(&base_url, &error)),
        }
        let Some(every) = args.watch else { return Ok(Exit::Good) };
        let due = Instant::now() + Duration::from_nanos(every.0);
        while Instant::now() < due {
            if signals.is_set() || is_over(started) {
                return Ok(Exit::Good);
            }
            std::thread::sleep(Duration::from_millis(20).min(due.saturating_duration_since(Instant::now())));
        }
    }
}

/// Where reports go.
struct Output {
    file: Option<std::fs::File>,
}

impl Output {
    fn new(args: &ScanArgs) -> Result<Self, Failure> {
        let file = match args.json.as_deref().filter(|path| path.as_os_str() != "-") {
            Some(path) => Some(std::fs::File::create(path).map_err(|e| format!("{}: {e}", path.display()))?),
            None => None,
        };
        Ok(Self { file })
    }

    fn write(&mut self, report: &ScanReport, survey: &Survey, args: &ScanArgs) -> Result<(), Failure> {
        let json = || {
            if args.watch.is_some() { serde_json::to_string(report) } else { serde_json::to_string_pretty(report) }
        };
        let mut stdout = std::io::stdout().lock();
        match (&mut self.file, &args.json) {
            (Some(file), _) => writeln!(file, "{}", json()?)?,
            (None, Some(_)) => return Ok(writeln!(stdout, "{}", json()?)?),
            (None, None) => {}
        }
        write!(stdout, "{}", report.text())?;
        if args.rejected {
            for rejected in &survey.scan.rejected {
                writeln!(stdout, "rejected: {} ({}): {}", rejected.symbol, rejected.reason.name(), rejected.reason)?;
            }
        }
        Ok(stdout.flush()?)
    }
}

/// Tells people how far the reading of candles is; others are told at its end.
fn show_progress(done: usize, all: usize) {
    let is_terminal = std::io::stderr().is_terminal();
    if is_terminal {
        eprint!("\r\x1b[Kcandles {done}/{all}");
        if done == all {
            eprintln!();
        }
    } else if done == all || done.is_multiple_of(50) {
        eprintln!("candles {done}/{all}");
    }
}
