//! The simulated venue on real sockets: one listening port, one thread, never blocked by a client.
//!
//! An idle thread yields, then sleeps in the poller for at most a millisecond: on a small machine it shares its core with the
//! engine that is being measured.

use super::{Simex, SimexConfig, SimexHub, VenueReport};
use crate::{net::Listener, ring::Flag, types::Nanos};
use mio::{Events, Interest, Poll, Token};
use rustls::ServerConfig;
use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A simulated venue and its sockets, to be polled by whoever owns the thread.
pub struct SimexServer {
    hub: SimexHub,
    listener: Listener,
    poller: Poll,
    events: Events,
    next_token: usize,
}

impl SimexServer {
    /// Listens on `addr`, with TLS if a configuration is given, and opens the venue.
    ///
    /// # Errors
    /// Of the sockets.
    pub fn bind(config: SimexConfig, addr: SocketAddr, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let mut listener = Listener::bind(addr, tls)?;
        let poller = Poll::new()?;
        poller.registry().register(listener.source(), Token(0), Interest::READABLE)?;
        let hub = SimexHub::new(config, wall_clock());
        Ok(Self { hub, listener, poller, events: Events::with_capacity(64), next_token: 1 })
    }

    /// Returns the address that clients connect to.
    ///
    /// # Errors
    /// Of the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Does what can be done at `now` (unix time) without waiting, and returns how much.
    pub fn poll(&mut self, now: Nanos) -> usize {
        let mut work = 0;
        // A connection that died while waiting is an error of its own; the next poll looks again.
        while let Ok(Some(mut transport)) = self.listener.accept() {
            let token = Token(self.next_token);
            self.next_token += 1;
            // Unregistered, it would still be served at every wake-up; closing its socket deregisters it.
            let _ = transport.register(self.poller.registry(), token, Interest::READABLE | Interest::WRITABLE);
            self.hub.attach(transport, now);
            work += 1;
        }
        work + self.hub.poll(now)
    }

    /// Sleeps until a socket is ready, at most `longest`.
    pub fn wait(&mut self, longest: Duration) {
        // An interrupted wait is a short wait.
        let _ = self.poller.poll(&mut self.events, Some(longest));
    }

    /// Returns the venue.
    pub fn simex(&self) -> &Simex {
        self.hub.simex()
    }
}

/// A simulated venue on a thread of its own.
pub struct SimexHandle {
    addr: SocketAddr,
    stop: Flag,
    feed_finished: Flag,
    thread: JoinHandle<VenueReport>,
}

impl Simex {
    /// Starts a venue on its own thread, listening on `addr` (port 0 lets the system choose).
    ///
    /// # Errors
    /// Of the sockets, or when no thread can be started.
    pub fn start(config: SimexConfig, addr: SocketAddr, tls: Option<Arc<ServerConfig>>) -> io::Result<SimexHandle> {
        let mut server = SimexServer::bind(config, addr, tls)?;
        let addr = server.local_addr()?;
        let (stop, feed_finished) = (Flag::new(), Flag::new());
        let (stopping, finishing) = (stop.clone(), feed_finished.clone());
        let thread = thread::Builder::new().name("simex".into()).spawn(move || {
            let mut idle = 0;
            while !stopping.is_set() {
                idle = if server.poll(wall_clock()) > 0 { 0 } else { idle + 1 };
                if server.simex().is_feed_finished() {
                    finishing.set();
                }
                if idle > YIELDS_BEFORE_SLEEP {
                    server.wait(SLEEP);
                } else if idle > 0 {
                    thread::yield_now();
                }
            }
            server.simex().report()
        })?;
        Ok(SimexHandle { addr, stop, feed_finished, thread })
    }
}

impl SimexHandle {
    /// Returns the address that clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Reports whether a capture has been played to its end.
    pub fn is_feed_finished(&self) -> bool {
        self.feed_finished.is_set()
    }

    /// Asks the venue to end; [`Self::join`] waits for it.
    pub fn stop(&self) {
        self.stop.set();
    }

    /// Stops the venue and returns its closing report.
    ///
    /// # Panics
    /// When the venue's thread has panicked, with its message.
    pub fn join(self) -> VenueReport {
        self.stop();
        match self.thread.join() {
            Ok(report) => report,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// The venue's time is the wall clock; a clock before 1970 reads as 1970.
fn wall_clock() -> Nanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Nanos::new(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Some microseconds each: a burst's next message finds the thread awake.
const YIELDS_BEFORE_SLEEP: u32 = 50;

/// Shorter than the fastest push interval of 10 ms by far.
const SLEEP: Duration = Duration::from_millis(1);
