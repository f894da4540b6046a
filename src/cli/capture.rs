//! `tercel capture`: records a venue's public stream as it came.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::access::{Address, address};
use super::opening::listed;
use super::signals::StopSignals;
use super::simex::simex_config;
use super::{Exit, Failure, Outcome};
use crate::config::{Config, Environment, OrderEntry};
use crate::journal::{CaptureMeta, CaptureWriter, ClockKind, InstrumentMeta, meta_path};
use crate::net::{CloseReason, Message, WsLimits};
use crate::runtime::{Clock, LinkNews, WsLink};
use crate::simex::Simex;
use crate::types::{InstrumentSpec, Product};
use crate::venue::bybit::encode::{market_topics, subscribe};
use crate::venue::bybit::rest::{RestClient, RestConfig};

/// Arguments of `tercel capture`.
#[derive(Args)]
pub struct CaptureArgs {
    /// File to write; `.gz` and `.zst` compress. It appears under its name when it is whole.
    out: PathBuf,
    /// Configuration file: which venue and which instruments; without one the embedded simulated venue is recorded.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// End after this time, like 30s; without it at Ctrl-C.
    #[arg(long = "for", value_name = "TIME")]
    run_for: Option<crate::config::Duration>,
}

/// Runs the command.
pub fn run(args: &CaptureArgs) -> Outcome {
    let config = match &args.config {
        Some(file) => Config::load(file).map_err(Failure::usage)?,
        None => Config::default(),
    };
    let signals = StopSignals::install()?;
    let embedded = match config.venue.environment {
        Environment::Embedded => {
            Some(Simex::start(simex_config(&config, None)?, SocketAddr::from(([127, 0, 0, 1], 0)), None)?)
        }
        _ => None,
    };
    let address = match &embedded {
        Some(simex) => {
            let (ws, rest) = (format!("ws://{}", simex.addr()), format!("http://{}", simex.addr()));
            Address::single(ws, rest, OrderEntry::Websocket)
        }
        None => address(&config)?,
    };
    let outcome = record(args, &config, address, &signals);
    if let Some(simex) = embedded {
        simex.join();
    }
    outcome
}

fn record(args: &CaptureArgs, config: &Config, address: Address, signals: &StopSignals) -> Outcome {
    let symbols: Vec<&str> = config.instruments.iter().map(|i| i.symbol.as_str()).collect();
    if symbols.is_empty() && config.venue.environment != Environment::Embedded {
        return Err(Failure::usage(
            "no instrument: name them in the configuration, like [[instruments]] symbol = \"BTCUSDT\"",
        ));
    }
    let client =
        RestClient::new(RestConfig { extra_ca_pem: address.ca_pem.clone(), ..RestConfig::new(&address.rest) })?;
    let listed = listed(&client, Product::Linear, &symbols)?;
    let specs: Vec<InstrumentSpec> = listed.trading().map(|listing| listing.spec).collect();
    let mut topics = Vec::new();
    for spec in &specs {
        topics.extend(market_topics(spec.symbol.as_str(), config.venue.book_depth, Product::Linear));
    }
    let messages = subscribe(&topics, Product::Linear)
        .ok_or_else(|| Failure::usage(format!("{} instruments are too many for one connection", specs.len())))?;

    let mut writer = CaptureWriter::create(&args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    let mut link = WsLink::new(address.link(&address.ws_public, "/v5/public/linear", WsLimits::default())?);
    let clock = Clock::new();
    let started = Instant::now();
    let limit = args.run_for.map(|d| Duration::from_nanos(d.0));
    let (mut lost, mut said_s) = (0u64, 0);
    while !signals.is_set() && limit.is_none_or(|limit| started.elapsed() < limit) {
        match link.poll(clock.now()) {
            LinkNews::Opened => {
                if let Some(conn) = link.conn() {
                    for message in &messages {
                        conn.send_text(message.as_bytes())?;
                    }
                    conn.flush()?;
                }
            }
            LinkNews::Lost => lost += 1,
            LinkNews::None => {}
        }
        if let Err(reason) = take_messages(&mut link, &clock, &mut writer)? {
            lost += 1;
            link.close(reason, clock.now());
        }
        if started.elapsed().as_secs() > said_s {
            said_s = started.elapsed().as_secs();
            let (lines, bytes) = writer.written();
            eprintln!("{said_s:>5} s  messages {lines}  bytes {bytes}  connections lost {lost}");
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    link.close(CloseReason::Local, clock.now());
    let (lines, bytes) = writer.written();
    writer.finish().map_err(|e| format!("{}: {e}", args.out.display()))?;
    let instruments = specs.iter().map(|spec| InstrumentMeta {
        symbol: spec.symbol.to_string(),
        tick: spec.tick.to_string(),
        lot: spec.lot.to_string(),
    });
    let meta = CaptureMeta {
        venue: "bybit".to_owned(),
        product: Product::Linear.name().to_owned(),
        instruments: instruments.collect(),
        clock: ClockKind::Unix,
    };
    let sidecar = meta_path(&args.out);
    meta.write(&sidecar)?;
    println!(
        "{}: {lines} messages, {bytes} bytes, {lost} connections lost; sidecar {}",
        args.out.display(),
        sidecar.display()
    );
    Ok(Exit::Good)
}

/// Reads until nothing is left; the outer error is the file's, the inner one the connection's.
fn take_messages(
    link: &mut WsLink,
    clock: &Clock,
    writer: &mut CaptureWriter,
) -> Result<Result<(), CloseReason>, std::io::Error> {
    let Some(conn) = link.conn() else { return Ok(Ok(())) };
    loop {
        match conn.fill() {
            Ok(0) => return Ok(Ok(())),
            Ok(_) => {}
            Err(error) => return Ok(Err(CloseReason::from(error))),
        }
        let recv = clock.now();
        loop {
            match conn.next_message() {
                Ok(Some(Message::Text(frame))) => writer.append(recv.get(), frame)?,
                Ok(Some(Message::Close { code, .. })) => return Ok(Err(CloseReason::Peer { code })),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return Ok(Err(CloseReason::from(error))),
            }
        }
        if let Err(error) = conn.flush() {
            return Ok(Err(CloseReason::from(error)));
        }
    }
}
