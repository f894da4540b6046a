//! The simulated venue with a witness: every change of an account's open orders and positions, with its moment.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::ring::Flag;
use crate::sim::AccountId;
use crate::simex::{SimexConfig, SimexServer};
use crate::types::{InstrumentId, Nanos};

/// What the venue held from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The moment, to within one round of the venue's loop.
    pub at: Instant,
    /// Open orders of the first account, over all instruments.
    pub open: usize,
    /// How often a round of the loop brought new orders of the account: it stands still if nothing is placed.
    pub placed: u64,
    /// Instruments in which the first account holds a position.
    pub held: usize,
}

/// A simulated venue on a thread of its own, over loopback.
pub struct ObservedVenue {
    addr: SocketAddr,
    stop: Flag,
    thread: Option<JoinHandle<()>>,
    changes: Receiver<Seen>,
    log: Vec<Seen>,
}

impl ObservedVenue {
    /// Opens the venue.
    ///
    /// # Errors
    /// Of the sockets, or when no thread can be started.
    pub fn start(config: SimexConfig) -> io::Result<Self> {
        let mut server = SimexServer::bind(config, SocketAddr::from(([127, 0, 0, 1], 0)), None)?;
        let addr = server.local_addr()?;
        let stop = Flag::new();
        let stopping = stop.clone();
        let (tell, changes) = mpsc::channel();
        let thread = std::thread::Builder::new().name("venue".into()).spawn(move || {
            let (mut last, mut newest, mut placed) = (None, None, 0u64);
            while !stopping.is_set() {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let work = server.poll(Nanos::new(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)));
                let venue = server.simex().venue();
                let account = AccountId(0);
                let open: usize = (0..venue.instruments_len())
                    .map(|idx| venue.open_orders(account, InstrumentId(idx as u16)).count())
                    .sum();
                let found = venue.orders(account).next().map(|order| order.no);
                placed += u64::from(found != newest);
                newest = found;
                let holdings = venue.account(account).map(|owner| owner.holdings()).unwrap_or_default();
                let held = holdings.iter().filter(|holding| !holding.qty.is_zero()).count();
                if last != Some((open, placed, held)) {
                    last = Some((open, placed, held));
                    if tell.send(Seen { at: Instant::now(), open, placed, held }).is_err() {
                        return;
                    }
                }
                if work == 0 {
                    server.wait(Duration::from_millis(1));
                }
            }
        })?;
        Ok(Self { addr, stop, thread: Some(thread), changes, log: Vec::new() })
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Every change so far, oldest first.
    pub fn log(&mut self) -> &[Seen] {
        self.log.extend(self.changes.try_iter());
        &self.log
    }

    /// The newest state.
    pub fn now(&mut self) -> Option<Seen> {
        self.log().last().copied()
    }

    /// Waits until the newest state is as asked; `None` after `within`.
    pub fn wait(&mut self, within: Duration, is_it: impl Fn(&Seen) -> bool) -> Option<Seen> {
        let until = Instant::now() + within;
        loop {
            if let Some(seen) = self.now().filter(&is_it) {
                return Some(seen);
            }
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Since when nothing has been open; `None` if something is.
    pub fn zero_since(&mut self) -> Option<Instant> {
        let log = self.log();
        if log.last()?.open > 0 {
            return None;
        }
        let first = log.iter().rposition(|seen| seen.open > 0).map_or(0, |idx| idx + 1);
        log.get(first).map(|seen| seen.at)
    }
}

impl Drop for ObservedVenue {
    fn drop(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            // Its panic has printed itself.
            let _ = thread.join();
        }
    }
}
