//! Measures the kill chain: how long after an engine ends, dies, hangs or is cut off does the venue hold an order of its.
//!
//! ```text
//!  engine process ──▶ proxy (may be cut) ──▶ venue with a witness (this process) ◀── guard process
//! ```
//!
//! The venue itself is the witness: its open orders are counted in the same process that does the damage, so one clock
//! stamps both. The strategy quotes one percent off the market, so that orders end by being cancelled and not by fills.

mod proxy;
mod report;
mod venue;

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

pub use proxy::Proxy;
pub use report::KillChainReport;
pub use venue::{ObservedVenue, Seen};

use crate::ring::Flag;
use crate::simex::{AccountConfig, SimexConfig};

/// Time in which an engine must have an order at the venue: start, logins, first book, first quote.
const TRADES_WITHIN: Duration = Duration::from_secs(30);

/// Time in which everything must be gone where it is going to be.
const GONE_WITHIN: Duration = Duration::from_secs(15);

/// The longest period of what is measured: a heartbeat through the network. The engine's shell looks every 10 ms for a
/// signal and the guard every 5 ms.
const PHASES: Duration = Duration::from_millis(50);

/// Multiples of it, less their whole part, spread evenly however many there are.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// What is done to an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// SIGTERM: asked to end, it cancels by itself.
    Asked,
    /// SIGKILL.
    Killed,
    /// SIGSTOP: every thread hangs.
    Stopped,
    /// Its network swallows everything.
    CutOff,
}

impl Damage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Asked, Self::Killed, Self::Stopped, Self::CutOff];

    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Asked => "SIGTERM",
            Self::Killed => "kill -9",
            Self::Stopped => "SIGSTOP",
            Self::CutOff => "network cut",
        }
    }
}

/// One round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KillRound {
    /// What was done.
    pub damage: Damage,
    /// Whether a guard watched: by the heartbeat file, or through the network for [`Damage::CutOff`].
    pub guarded: bool,
    /// Open orders at the moment of the damage.
    pub open_before: usize,
    /// Milliseconds until the venue held none, and none came after; `None`: some stayed.
    pub zero_after_ms: Option<f64>,
    /// Open orders at the end of the observation.
    pub open_after: usize,
    /// Milliseconds that the venue was observed after the damage.
    pub observed_ms: f64,
}

/// What to measure.
#[derive(Clone)]
pub struct KillChainOptions {
    /// The program to run engine and guard with.
    pub program: PathBuf,
    /// Folder for configurations and heartbeats; must exist.
    pub dir: PathBuf,
    /// Rounds of each kind.
    pub rounds: usize,
    /// How long the venue is watched where nobody cancels.
    pub observe: Duration,
    /// Staleness at which the guard acts, in milliseconds.
    pub stale_after_ms: u64,
    /// Ends the bench early.
    pub stop: Flag,
}

/// A process that does not outlive its handle.
pub struct Process(Child);

impl Process {
    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        // A process that has ended takes no signal, and needs none.
        let _ = kill_process(Pid::from_child(&self.0), signal);
    }

    /// Waits for its end; `None` after `within`.
    pub fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + within;
        loop {
            match self.0.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
                _ => return None,
            }
        }
    }

    /// Takes its standard output.
    pub fn stdout(&mut self) -> Option<BufReader<ChildStdout>> {
        self.0.stdout.take().map(BufReader::new)
    }
}

impl From<Child> for Process {
    fn from(child: Child) -> Self {
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Also one that is stopped: SIGKILL needs no leave of its.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How an engine on the observed venue is guarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watching {
    /// Not at all.
    None,
    /// By this heartbeat file.
    File(PathBuf),
    /// By a guard that is reached at this address, with this key.
    Network(SocketAddr, PathBuf),
}

/// The configuration of an engine that quotes far from the market at `venue`; `extra` is appended.
pub fn engine_toml(venue: SocketAddr, watching: &Watching, stale_after_ms: u64, extra: &str) -> String {
    let guard = match watching {
        Watching::None => String::new(),
        Watching::File(path) => format!("heartbeat = '{}'\nrequire = true\n", path.display()),
        Watching::Network(addr, key) => format!("address = \"{addr}\"\nkey-file = '{}'\n", key.display()),
    };
    format!(
        "[venue]\nenvironment = \"custom\"\nws = \"ws://{venue}\"\nrest = \"http://{venue}\"\nrecv-window-ms = 1000\n\
         [[instruments]]\nsymbol = \"BTCUSDT\"\n[market-maker]\nmargin-bps = 100\n\
         [threads]\nidle = \"backoff\"\n[guard]\nstale-after = \"{stale_after_ms}ms\"\n{guard}{extra}"
    )
}

/// A command of the program with the keys of the simulated account in its environment.
pub fn command(program: &Path) -> Command {
    let account = AccountConfig::default();
    let mut command = Command::new(program);
    // Where the last run's number is remembered: not in the home of whoever measures.
    command
        .env("XDG_STATE_HOME", std::env::temp_dir().join("tercel-kill-chain"))
        .env("TERCEL_API_KEY", &account.api_key)
        .env("TERCEL_API_SECRET", &account.api_secret)
        .env("TERCEL_GUARD_API_KEY", &account.api_key)
        .env("TERCEL_GUARD_API_SECRET", &account.api_secret)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Starts an engine with this configuration file.
///
/// # Errors
/// Of the system.
pub fn start_engine(program: &Path, config: &Path) -> io::Result<Process> {
    let mut command = command(program);
    command.args(["run", "--config"]).arg(config).stdout(Stdio::null());
    Ok(Process(command.spawn()?))
}

/// Starts a guard that ends after acting, and waits until it is ready; returns where it listens if it does, and its events.
///
/// # Errors
/// Of the system, or a guard that does not come up.
pub fn start_guard(program: &Path, args: &[&str]) -> io::Result<(Process, Option<SocketAddr>, BufReader<ChildStdout>)> {
    let mut process = Process(command(program).args(["guard", "--json", "--once"]).args(args).spawn()?);
    let mut events = process.stdout().ok_or_else(|| io::Error::other("the guard has no output"))?;
    let mut line = String::new();
    events.read_line(&mut line)?;
    let event: serde_json::Value = serde_json::from_str(&line)
        .map_err(|_| io::Error::other(format!("the guard did not come up: it said `{}`", line.trim())))?;
    let addr = event["listen"].as_str().and_then(|text| text.parse().ok());
    Ok((process, addr, events))
}

/// Measures every kind, round by round in turns; `say` is told each.
///
/// # Errors
/// Of the system, an engine that does not trade, or being asked to stop.
pub fn run_kill_chain(options: &KillChainOptions, mut say: impl FnMut(&KillRound)) -> io::Result<Vec<KillRound>> {
    let mut rounds = Vec::new();
    for number in 0..options.rounds {
        for damage in Damage::ALL {
            for guarded in [true, false] {
                if options.stop.is_set() {
                    return Err(io::Error::other("asked to stop; nothing is written"));
                }
                let round = one_round(options, number, damage, guarded)?;
                say(&round);
                rounds.push(round);
            }
        }
    }
    Ok(rounds)
}

fn one_round(options: &KillChainOptions, number: usize, damage: Damage, guarded: bool) -> io::Result<KillRound> {
    let KillChainOptions { program, dir, stale_after_ms, .. } = options;
    let mut venue = ObservedVenue::start(SimexConfig::default())?;
    // A page of its own: the guard of a round ends before it has settled, and the next one would take that up.
    let page = dir.join(format!("heartbeat-{number}-{damage:?}"));
    let (guard_toml, engine_file, key) = (dir.join("guard.toml"), dir.join("engine.toml"), dir.join("key"));
    std::fs::write(&guard_toml, engine_toml(venue.addr(), &Watching::None, *stale_after_ms, ""))?;
    write_key(&key)?;
    let path = |path: &Path| path.display().to_string();
    let is_cut = damage == Damage::CutOff;
    let guard = match (guarded, is_cut) {
        (false, _) => None,
        (true, false) => Some(start_guard(program, &["--config", &path(&guard_toml), "--heartbeat", &path(&page)])?),
        (true, true) => Some(start_guard(
            program,
            &["--config", &path(&guard_toml), "--listen", "127.0.0.1:0", "--key-file", &path(&key)],
        )?),
    };
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let listens = guard.as_ref().and_then(|(_, addr, _)| *addr);
    let proxy = if is_cut { Some(Proxy::start(venue.addr(), listens.unwrap_or(nobody))?) } else { None };
    let watching = match (&proxy, guarded) {
        (_, false) => Watching::None,
        (None, true) => Watching::File(page.clone()),
        (Some(proxy), true) => Watching::Network(proxy.udp(), key),
    };
    let reached = proxy.as_ref().map_or(venue.addr(), Proxy::tcp);
    std::fs::write(&engine_file, engine_toml(reached, &watching, *stale_after_ms, ""))?;
    let engine = start_engine(program, &engine_file)?;
    venue
        .wait(TRADES_WITHIN, |seen| seen.open >= 2)
        .ok_or_else(|| io::Error::other(format!("{damage:?}: the engine placed no orders")))?;
    // At work, not in its first moment; and in another phase of every loop each round, or all rounds would hit the same one.
    std::thread::sleep(Duration::from_millis(500) + PHASES.mul_f64(number as f64 * GOLDEN % 1.0));
    let open_before = venue.now().map_or(0, |seen| seen.open);
    let began = Instant::now();
    match damage {
        Damage::Asked => engine.signal(Signal::TERM),
        Damage::Killed => engine.signal(Signal::KILL),
        Damage::Stopped => engine.signal(Signal::STOP),
        Damage::CutOff => proxy.iter().for_each(Proxy::cut),
    }
    if guarded || damage == Damage::Asked {
        venue.wait(GONE_WITHIN, |seen| seen.open == 0);
        // What comes later counts.
        std::thread::sleep(Duration::from_secs(2));
    } else {
        std::thread::sleep(options.observe);
    }
    let zero = venue.zero_since();
    let observed_ms = began.elapsed().as_secs_f64() * 1e3;
    Ok(KillRound {
        damage,
        guarded,
        open_before,
        zero_after_ms: zero.map(|at| at.saturating_duration_since(began).as_secs_f64() * 1e3),
        open_after: venue.now().map_or(0, |seen| seen.open),
        observed_ms,
    })
}

/// Writes a key for tests and benches, readable by its owner alone.
///
/// # Errors
/// Of the file system.
pub fn write_key(path: &Path) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(b"a key between two processes of one test\n")
}
