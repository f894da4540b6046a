//! `tercel capture`: records a venue's public stream as it came.
//!
//! This thread reads the socket and nothing else; another compresses and writes, fed through blocks that go round
//! ([`frame_queue`]). Should the disk not keep up, messages are lost, counted and noted, and the socket is not slowed.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;

use super::access::{Address, address};
use super::opening::listed;
use super::signals::StopSignals;
use super::simex::simex_config;
use super::{Exit, Failure, Outcome};
use crate::config::{Config, Environment, OrderEntry, Size};
use crate::journal::{
    CaptureFiles, CaptureMeta, ClockKind, FrameReceiver, FrameSender, GapCause, InstrumentMeta, Opening, Pushed,
    Recorded, Rotation, frame_queue, meta_path,
};
use crate::net::{CloseReason, Message, WsLimits};
use crate::runtime::{Clock, LinkNews, WsLink};
use crate::simex::Simex;
use crate::types::{Currency, InstrumentSpec, InstrumentTable, Product};
use crate::venue::bybit::encode::{market_topics, subscribe};
use crate::venue::bybit::rest::{RestClient, RestConfig};

/// Arguments of `tercel capture`.
#[derive(Args)]
pub struct CaptureArgs {
    /// File to write; `.gz` and `.zst` compress. It appears under its name when it is whole. With --rotate-bytes or --rotate-every
    /// the time at which each file begins is put before its ending, and each has a sidecar.
    out: PathBuf,
    /// Configuration file: which venue and which instruments; without one the embedded simulated venue is recorded.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// End after this time, like 30s; without it at Ctrl-C.
    #[arg(long = "for", value_name = "TIME")]
    run_for: Option<crate::config::Duration>,
    /// Begin another file after so many bytes of messages, before compression, like 500MB. Each file can be replayed alone, and all
    /// of them together in order.
    #[arg(long, value_name = "SIZE")]
    rotate_bytes: Option<Size>,
    /// Begin another file after this time, like 1h.
    #[arg(long, value_name = "TIME")]
    rotate_every: Option<crate::config::Duration>,
    /// Memory for messages that wait for the disk. When it is full, messages are lost, and the command ends with 1.
    #[arg(long, value_name = "SIZE", default_value = "64MB")]
    queue: Size,
}

/// Pause between two looks at the socket.
const LOOK_EVERY: Duration = Duration::from_micros(200);

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

/// What is recorded: its topics, and what the sidecar says of it.
struct Subject {
    table: InstrumentTable,
    subscriptions: Vec<String>,
    meta: CaptureMeta,
}

fn subject(config: &Config, address: &Address) -> Result<Subject, Failure> {
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
    let subscriptions = subscribe(&topics, Product::Linear)
        .ok_or_else(|| Failure::usage(format!("{} instruments are too many for one connection", specs.len())))?;
    let instruments = specs.iter().map(|spec| InstrumentMeta {
        symbol: spec.symbol.to_string(),
        tick: spec.tick.to_string(),
        lot: spec.lot.to_string(),
        // Only what its name does not tell.
        settle: (spec.settle != Currency::of(spec.product, &spec.symbol)).then(|| spec.settle.to_string()),
        ..InstrumentMeta::default()
    });
    let meta = CaptureMeta {
        venue: "bybit".to_owned(),
        product: Product::Linear.name().to_owned(),
        instruments: instruments.collect(),
        clock: ClockKind::Unix,
        recording: None,
    };
    let table = InstrumentTable::new(specs).ok_or_else(|| Failure::from("the venue lists a symbol twice"))?;
    Ok(Subject { table, subscriptions, meta })
}

fn record(args: &CaptureArgs, config: &Config, address: Address, signals: &StopSignals) -> Outcome {
    let subject = subject(config, &address)?;
    let clock = Clock::new();
    let rotation =
        Rotation { bytes: args.rotate_bytes.map(|size| size.0), every_ns: args.rotate_every.map(|time| time.0) };
    let opening = Opening::new(&subject.table, config.venue.book_depth);
    let files = CaptureFiles::create(&args.out, rotation, subject.meta, opening, clock.now().get())?;
    let (mut frames, receiver) = frame_queue(args.queue.0);
    let writer = std::thread::Builder::new().name("capture".to_owned()).spawn(move || write(files, &receiver))?;
    let link = WsLink::new(address.link(&address.ws_public, "/v5/public/linear", WsLimits::default())?);
    let mut reader = Reader { link, subscriptions: subject.subscriptions, clock, lost_links: 0 };
    let outcome = listen(args, signals, &mut reader, &mut frames);
    // Whatever happened, what was recorded is completed.
    reader.link.close(CloseReason::Local, reader.clock.now());
    let lost = frames.lost();
    frames.close();
    let recorded = join(writer);
    let exit = judge(lost, args.queue);
    say(&recorded?, reader.lost_links);
    outcome.map(|()| exit)
}

/// The other thread: writes until nothing comes any more.
fn write(mut files: CaptureFiles, receiver: &FrameReceiver) -> std::io::Result<Recorded> {
    while receiver.drain(|item| files.take(item))? {}
    files.finish()
}

fn join(writer: JoinHandle<std::io::Result<Recorded>>) -> Result<Recorded, Failure> {
    let written = writer.join().map_err(|_| Failure::from("the thread that writes panicked"))?;
    written.map_err(|e| Failure::from(format!("{e}; what was written of the last file is in its .part")))
}

fn listen(
    args: &CaptureArgs,
    signals: &StopSignals,
    reader: &mut Reader,
    frames: &mut FrameSender,
) -> Result<(), Failure> {
    let started = Instant::now();
    let limit = args.run_for.map(|d| Duration::from_nanos(d.0));
    let mut said_s = 0;
    while !signals.is_set() && limit.is_none_or(|limit| started.elapsed() < limit) {
        if reader.poll(frames)?.is_break() {
            // The writer has said why.
            return Ok(());
        }
        frames.flush();
        if started.elapsed().as_secs() > said_s {
            said_s = started.elapsed().as_secs();
            let ((messages, bytes), lost) = (frames.taken(), frames.lost());
            let links = reader.lost_links;
            eprintln!("{said_s:>5} s  messages {messages}  bytes {bytes}  lost {lost}  connections lost {links}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// A recording that is not whole for our own fault is not good, and that is said whatever else went wrong.
fn judge(lost: u64, queue: Size) -> Exit {
    if lost == 0 {
        return Exit::Good;
    }
    eprintln!(
        "NOT WHOLE: {lost} messages were lost, because the disk did not keep up and {queue} of --queue were full; the sidecars say where"
    );
    Exit::Failed
}

fn say(recorded: &Recorded, lost_links: u64) {
    let Recorded { files, last, messages, bytes, .. } = recorded;
    let (last, sidecar) = (last.display(), meta_path(last));
    match files {
        1 => print!("{last}: "),
        _ => print!("{files} files, the last {last}: "),
    }
    println!("{messages} messages, {bytes} bytes, {lost_links} connections lost; sidecar {}", sidecar.display());
}

/// The socket's side.
struct Reader {
    link: WsLink,
    subscriptions: Vec<String>,
    clock: Clock,
    lost_links: u64,
}

impl Reader {
    /// Advances the connection and takes what came. Breaks off if nobody writes any more.
    fn poll(&mut self, frames: &mut FrameSender) -> Result<ControlFlow<()>, Failure> {
        match self.link.poll(self.clock.now()) {
            LinkNews::Opened => {
                if let Some(conn) = self.link.conn() {
                    for message in &self.subscriptions {
                        conn.send_text(message.as_bytes())?;
                    }
                    conn.flush()?;
                }
            }
            LinkNews::Lost => {
                self.lost_links += 1;
                frames.interrupted(GapCause::ConnectionLost);
            }
            LinkNews::None => {}
        }
        match self.take_messages(frames) {
            Ok(Taken::Everything) => {}
            Ok(Taken::AfterLoss) => {
                // The books have a hole: connecting anew brings their snapshots.
                self.link.close(CloseReason::Local, self.clock.now());
                frames.interrupted(GapCause::Renewed);
            }
            Ok(Taken::NobodyWrites) => return Ok(ControlFlow::Break(())),
            Err(reason) => {
                self.lost_links += 1;
                self.link.close(reason, self.clock.now());
                frames.interrupted(GapCause::ConnectionLost);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads until nothing is left.
    fn take_messages(&mut self, frames: &mut FrameSender) -> Result<Taken, CloseReason> {
        let mut taken = Taken::Everything;
        loop {
            let Some(conn) = self.link.conn() else { return Ok(taken) };
            if conn.fill()? == 0 {
                return Ok(taken);
            }
            let recv = self.clock.now();
            while let Some(message) = conn.next_message()? {
                match message {
                    Message::Text(frame) => match frames.push(recv.get(), frame) {
                        Pushed::Taken | Pushed::Lost => {}
                        Pushed::TakenAfterLoss => taken = Taken::AfterLoss,
                        Pushed::Closed => return Ok(Taken::NobodyWrites),
                    },
                    Message::Close { code, .. } => return Err(CloseReason::Peer { code }),
                    _ => {}
                }
            }
            conn.flush()?;
            self.link.heard(recv);
        }
    }
}

/// How a look at the socket ended.
enum Taken {
    /// What there was is on its way, or was counted as lost.
    Everything,
    /// The same, and it follows on messages that were lost.
    AfterLoss,
    /// The writer has ended.
    NobodyWrites,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Gap, Item};

    #[test]
    fn a_disk_that_does_not_keep_up_loses_messages_and_the_books_are_asked_for_anew() {
        let config = Config::default();
        let venue =
            Simex::start(simex_config(&config, None).unwrap(), SocketAddr::from(([127, 0, 0, 1], 0)), None).unwrap();
        let (ws, rest) = (format!("ws://{}", venue.addr()), format!("http://{}", venue.addr()));
        let address = Address::single(ws, rest, OrderEntry::Websocket);
        let subject = subject(&config, &address).unwrap();
        let link = WsLink::new(address.link(&address.ws_public, "/v5/public/linear", WsLimits::default()).unwrap());
        let subscriptions = subject.subscriptions;
        let mut reader = Reader { link, subscriptions, clock: Clock::new(), lost_links: 0 };
        let (mut frames, receiver) = frame_queue(1);
        let began = Instant::now();
        let mut poll = |frames: &mut FrameSender| {
            assert!(began.elapsed() < Duration::from_secs(60));
            assert!(reader.poll(frames).unwrap().is_continue());
            frames.flush();
            std::thread::sleep(LOOK_EVERY);
        };
        // Nobody writes until something was lost.
        while frames.lost() < 3 {
            poll(&mut frames);
        }
        let (mut gaps, mut after): (Vec<Gap>, Vec<String>) = (Vec::new(), Vec::new());
        let is_book = |message: &&String| message.contains("orderbook.50.") && message.contains("\"snapshot\"");
        while after.iter().filter(is_book).count() < 2 {
            let whole = receiver.drain(|item| {
                match item {
                    Item::Gap(gap) => gaps.push(gap),
                    Item::Frame { message, .. } if gaps.len() == 2 => {
                        after.push(String::from_utf8_lossy(message).into_owned());
                    }
                    Item::Frame { .. } => {}
                }
                Ok(())
            });
            assert!(whole.unwrap());
            let taken = frames.taken().0;
            while frames.taken().0 == taken {
                poll(&mut frames);
            }
        }
        assert_eq!(gaps.iter().map(|gap| gap.cause).collect::<Vec<_>>(), [GapCause::QueueFull, GapCause::Renewed]);
        assert!(gaps[0].messages >= 3 && gaps[0].from_ns < gaps[0].to_ns && gaps[0].to_ns <= gaps[1].from_ns);
        assert_eq!(judge(frames.lost(), Size(1)), Exit::Failed);
        assert_eq!(judge(0, Size(1)), Exit::Good);
        venue.join();
    }
}
