//! `tercel simex`, and the simulated venue inside `tercel run`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use super::inspect::sidecar_or_inference;
use super::signals::StopSignals;
use super::{Exit, Failure, Outcome};
use crate::config::Config;
use crate::net::tls;
use crate::simex::fault::{Act, FaultScript};
use crate::simex::{FeedConfig, ListingConfig, ListingProfile, Simex, SimexConfig, load_capture};
use crate::types::{Lots, Money, Ticks, VenueId};

/// Arguments of `tercel simex`.
#[derive(Args)]
pub struct SimexArgs {
    /// Address to listen on; everything is served on this one port.
    #[arg(long, default_value = "127.0.0.1:7001")]
    addr: SocketAddr,
    /// Play a captured Bybit feed instead of simulated traders.
    #[arg(long, value_name = "CAPTURE")]
    feed: Option<PathBuf>,
    /// Seed of the simulated traders.
    #[arg(long)]
    seed: Option<u64>,
    /// How many linear instruments it lists; beyond BTCUSDT and ETHUSDT they are made up, some of them not trading.
    #[arg(long, value_name = "N")]
    instruments: Option<usize>,
    /// How often the made-up instruments move, in percent of the ordinary.
    #[arg(long, value_name = "PERCENT")]
    activity: Option<u32>,
    /// List BTCUSDT and ETHUSDT as spot pairs too.
    #[arg(long)]
    spot: bool,
    /// Way of every message to the venue, and of every answer back, like 5ms.
    #[arg(long, value_name = "TIME")]
    latency: Option<crate::config::Duration>,
    /// Serve TLS; the certificate authority to trust is written to DIR/ca.pem.
    #[arg(long, value_name = "DIR")]
    tls: Option<PathBuf>,
    /// End after this time, like 30s.
    #[arg(long = "for", value_name = "TIME")]
    run_for: Option<crate::config::Duration>,
    /// Write the venue's closing report as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Let this script of faults happen; times count from the start.
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Configuration file, for seed and balance.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The simulated venue that a configuration and a feed describe.
pub fn simex_config(config: &Config, feed: Option<&Path>) -> Result<SimexConfig, Failure> {
    let mut simex = SimexConfig::default();
    simex.http_ban_ns = config.simex.ban.0;
    for account in &mut simex.accounts {
        account.balance = config.simex.balance.0;
        account.leverage_e2 = config.risk.leverage_e2;
    }
    simex.feed = FeedConfig::Population { seed: config.simex.seed };
    let most = crate::types::InstrumentTable::LEN_MAX / 2;
    if config.simex.instruments == 0 || config.simex.instruments > most {
        return Err(Failure::usage(format!("the simulated venue lists 1 to {most} instruments")));
    }
    if config.simex.instruments != simex.listings.len() {
        simex.list_universe(config.simex.instruments, config.simex.seed, config.simex.activity);
    }
    if config.simex.spot {
        simex.list_spot();
    }
    if let Some(file) = feed {
        let found = sidecar_or_inference(file)?;
        let venue = found.meta.venue().map_err(Failure::usage)?;
        if venue != VenueId::BYBIT {
            let text = "the simulated venue speaks Bybit; play other captures with `tercel replay`";
            return Err(Failure::usage(format!("{}: holds messages of {}; {text}", file.display(), venue.name())));
        }
        let table = found.meta.table().map_err(Failure::usage)?;
        simex.listings = table
            .iter()
            .map(|(_, spec)| {
                let mut spec = *spec;
                spec.min_notional = Money::new(5 * Money::ONE.get());
                spec.max_qty = Lots::new(1_000_000_000);
                ListingConfig {
                    spec,
                    start_px: Ticks::new(1),
                    unit: Lots::new(1),
                    ticks_per_second: 1,
                    profile: ListingProfile::default(),
                }
            })
            .collect();
        simex.feed = FeedConfig::Capture { lines: load_capture(file)?, speed_percent: 100, repeat: false };
    }
    for listing in &mut simex.listings {
        let fees = config.simex.fees(listing.spec.product);
        (listing.spec.maker_fee, listing.spec.taker_fee) = (fees.maker, fees.taker);
    }
    Ok(simex)
}

/// Reads a script of faults.
pub fn fault_script(file: &Path) -> Result<FaultScript, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("{}: {e}", file.display())))?;
    text.parse().map_err(|e| Failure::usage(format!("{}: {e}", file.display())))
}

/// Reads the script for a venue on sockets, if one is named, and says which of its faults cannot happen there.
pub fn venue_faults(file: Option<&Path>) -> Result<FaultScript, Failure> {
    let Some(file) = file else { return Ok(FaultScript::default()) };
    let mut script = fault_script(file)?;
    let all = script.faults.len();
    script.faults.retain(|fault| !matches!(fault.act, Act::Clock { .. } | Act::Freeze));
    if script.faults.len() < all {
        eprintln!(
            "note: `clock` and `freeze` happen to the client; here they are left out (`tercel faults` plays them)"
        );
    }
    Ok(script)
}

/// Runs the command.
pub fn run(args: &SimexArgs) -> Outcome {
    let mut config = match &args.config {
        Some(file) => Config::load(file).map_err(Failure::usage)?,
        None => Config::default(),
    };
    if let Some(seed) = args.seed {
        config.simex.seed = seed;
    }
    if let Some(count) = args.instruments {
        config.simex.instruments = count;
    }
    if let Some(percent) = args.activity {
        config.simex.activity = percent;
    }
    config.simex.spot |= args.spot;
    let mut simex = simex_config(&config, args.feed.as_deref())?;
    simex.faults = venue_faults(args.faults.as_deref())?;
    if let Some(way) = args.latency {
        (simex.uplink_ns, simex.downlink_ns) = (way.0, way.0);
    }
    let account = simex.accounts.first().cloned().unwrap_or_default();
    let mut symbols: Vec<String> = simex.listings.iter().map(|l| l.spec.symbol.to_string()).collect();
    if symbols.len() > SYMBOLS_SHOWN {
        let more = symbols.split_off(SYMBOLS_SHOWN).len();
        symbols.push(format!("and {more} more"));
    }
    let tls_config = match &args.tls {
        Some(dir) => {
            let certs = tls::generate(&["localhost", "127.0.0.1"])?;
            std::fs::create_dir_all(dir)?;
            std::fs::write(dir.join("ca.pem"), &certs.ca_pem)?;
            Some(tls::server_config(&certs.cert_pem, &certs.key_pem)?)
        }
        None => None,
    };
    let signals = StopSignals::install()?;
    let is_tls = tls_config.is_some();
    let handle =
        Simex::start(simex, args.addr, tls_config).map_err(|e| format!("cannot listen on {}: {e}", args.addr))?;
    let (ws, http) = if is_tls { ("wss", "https") } else { ("ws", "http") };
    println!("simulated venue: {ws}://{0} (WebSockets), {http}://{0} (REST)", handle.addr());
    println!("  instruments {}  key {}  secret {}", symbols.join(" "), account.api_key, account.api_secret);
    if let Some(dir) = &args.tls {
        println!("  certificate authority {}", dir.join("ca.pem").display());
    }
    println!("  Ctrl-C ends it");
    let started = Instant::now();
    let limit = args.run_for.map(|d| Duration::from_nanos(d.0));
    while !signals.is_set() && limit.is_none_or(|limit| started.elapsed() < limit) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let report = handle.join();
    println!(
        "ended after {:.1} s: {} connections, {} messages in, {} out",
        started.elapsed().as_secs_f64(),
        report.connections,
        report.messages_in,
        report.messages_out
    );
    for account in &report.accounts {
        println!(
            "  account {}: balance {}  equity {}  fills {}",
            account.uid, account.balance, account.equity, account.fills
        );
    }
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(Exit::Good)
}

/// More names than these would hide the rest of the greeting.
const SYMBOLS_SHOWN: usize = 8;
