//! A network that can be cut: relays TCP and UDP on loopback until it is told to swallow everything.
//!
//! Cut connections stay open and silent, as they do when a cable is pulled. Threads: two for each connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use crate::ring::Flag;

/// How often a waiting thread looks up.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A network with a switch.
pub struct Proxy {
    tcp: SocketAddr,
    udp: SocketAddr,
    cut: Flag,
    stop: Flag,
}

impl Proxy {
    /// Relays TCP to `venue`, and UDP to `guard` and back.
    ///
    /// # Errors
    /// Of the sockets or threads.
    pub fn start(venue: SocketAddr, guard: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let datagrams = UdpSocket::bind("127.0.0.1:0")?;
        let onward = UdpSocket::bind("127.0.0.1:0")?;
        onward.connect(guard)?;
        for socket in [&datagrams, &onward] {
            socket.set_nonblocking(true)?;
        }
        let (tcp, udp) = (listener.local_addr()?, datagrams.local_addr()?);
        let (cut, stop) = (Flag::new(), Flag::new());
        {
            let (cut, stop) = (cut.clone(), stop.clone());
            std::thread::Builder::new().name("proxy".into()).spawn(move || {
                while !stop.is_set() {
                    match listener.accept() {
                        // A connection that is made while the cable is out gets no further than here.
                        Ok((client, _)) => {
                            if !cut.is_set()
                                && let Ok(server) = TcpStream::connect(venue)
                            {
                                relay(client, server, &cut, &stop);
                            } else {
                                let (held, stop) = (client, stop.clone());
                                std::thread::spawn(move || hold(&held, &stop));
                            }
                        }
                        Err(_) => std::thread::sleep(LOOK_EVERY),
                    }
                }
            })?;
        }
        {
            let (cut, stop) = (cut.clone(), stop.clone());
            std::thread::Builder::new().name("proxy-udp".into()).spawn(move || {
                let mut bytes = [0; 2048];
                let mut engine = None;
                while !stop.is_set() {
                    let mut is_idle = true;
                    if let Ok((len, from)) = datagrams.recv_from(&mut bytes) {
                        (engine, is_idle) = (Some(from), false);
                        if !cut.is_set() {
                            // Datagrams may be lost.
                            let _ = onward.send(&bytes[..len]);
                        }
                    }
                    if let Ok(len) = onward.recv(&mut bytes) {
                        is_idle = false;
                        if let Some(engine) = engine.filter(|_| !cut.is_set()) {
                            let _ = datagrams.send_to(&bytes[..len], engine);
                        }
                    }
                    if is_idle {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            })?;
        }
        Ok(Self { tcp, udp, cut, stop })
    }

    /// Where to connect instead of to the venue.
    pub fn tcp(&self) -> SocketAddr {
        self.tcp
    }

    /// Where to send instead of to the guard.
    pub fn udp(&self) -> SocketAddr {
        self.udp
    }

    /// Pulls the cable, for good.
    pub fn cut(&self) {
        self.cut.set();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.set();
    }
}

fn hold(_socket: &TcpStream, stop: &Flag) {
    while !stop.is_set() {
        std::thread::sleep(LOOK_EVERY);
    }
}

fn relay(client: TcpStream, server: TcpStream, cut: &Flag, stop: &Flag) {
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { return };
    for (from, to) in [(client, server), (server_too, client_too)] {
        let (cut, stop) = (cut.clone(), stop.clone());
        std::thread::spawn(move || pump(from, to, &cut, &stop));
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, cut: &Flag, stop: &Flag) {
    // An accepted socket may have taken over the listener's way of not waiting; one that cannot be set up is closed.
    let prepared = from.set_nonblocking(false).is_ok()
        && from.set_read_timeout(Some(LOOK_EVERY)).is_ok()
        && to.set_nodelay(true).is_ok();
    let mut bytes = vec![0; 1 << 16];
    while prepared && !stop.is_set() {
        if cut.is_set() {
            std::thread::sleep(LOOK_EVERY);
            continue;
        }
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(len) => {
                if !cut.is_set() && to.write_all(&bytes[..len]).is_err() {
                    break;
                }
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(_) => break,
        }
    }
    // The peer may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}
