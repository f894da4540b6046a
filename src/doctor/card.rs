//! What a network card collects before it tells: the kernel says it only to a request on a socket (`SIOCETHTOOL`), for which no crate
//! here has a safe wrapper.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// Settings of a network card, as `ethtool -c` and `ethtool -k` show them; `None`: the driver does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// How long a received packet may wait for its interrupt.
    pub coalescing: Option<Coalescing>,
    /// Large receive offload: the card joins packets.
    pub lro: Option<bool>,
    /// Generic receive offload: the kernel joins the packets that one poll of the card yields.
    pub gro: Option<bool>,
    /// TCP segmentation offload: the card cuts what is sent.
    pub tso: Option<bool>,
}

/// How a card collects received packets before it interrupts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coalescing {
    /// Microseconds from a packet to its interrupt.
    pub rx_us: u32,
    /// Packets after which it interrupts at once; 0: no such bound.
    pub rx_frames: u32,
    /// Whether the driver changes both by the load.
    pub is_adaptive: bool,
}

// Commands and bits of the kernel's `ethtool.h`.
const GET_COALESCING: u32 = 0x0e;
const GET_TSO: u32 = 0x1e;
const GET_FLAGS: u32 = 0x25;
const GET_GRO: u32 = 0x2b;
const FLAG_LRO: u32 = 1 << 15;

/// Words of the longest answer, `struct ethtool_coalesce`, and some more.
const WORDS: usize = 32;

impl Card {
    /// Asks the kernel.
    ///
    /// # Errors
    /// Why nothing is told: no such interface, or a socket is not to be had.
    pub fn read(iface: &str) -> Result<Self, String> {
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(|e| format!("a socket to ask on: {e}"))?;
        // This one is known for every interface: only where it fails, there is no card to ask.
        let flags = ask(&socket, iface, GET_FLAGS).map_err(|e| format!("{iface}: {e}"))?;
        let is_on = |command| ask(&socket, iface, command).ok().map(|answer| answer[1] != 0);
        let coalescing = ask(&socket, iface, GET_COALESCING).ok();
        Ok(Self {
            coalescing: coalescing.map(|answer| Coalescing {
                rx_us: answer[1],
                rx_frames: answer[2],
                is_adaptive: answer[10] != 0,
            }),
            lro: Some(flags[1] & FLAG_LRO != 0),
            gro: is_on(GET_GRO),
            tso: is_on(GET_TSO),
        })
    }
}

/// One question about an interface: the words of its answer, of which the first is the command.
#[allow(unsafe_code)]
fn ask(socket: &UdpSocket, iface: &str, command: u32) -> std::io::Result<[u32; WORDS]> {
    let mut answer = [0u32; WORDS];
    answer[0] = command;
    // SAFETY: `ifreq` is a struct of integers and of a union of such and a pointer, for all of which zeros are values.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero, which ends the name.
    let room = request.ifr_name.len() - 1;
    if iface.len() > room {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(iface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = answer.as_mut_ptr().cast();
    // SAFETY: both structs live and are writable until the call returns, which keeps neither; each of the commands above asks, changes
    // nothing, and is answered within `struct ethtool_coalesce` of 23 words, which the array has room for.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    if code < 0 { Err(std::io::Error::last_os_error()) } else { Ok(answer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_answers_and_what_is_not_there_does_not() {
        let card = Card::read("lo").unwrap();
        assert_eq!((card.coalescing, card.lro), (None, Some(false)), "it has no interrupts to hold back");
        assert!(card.tso.is_some() && card.gro.is_some());
        let why = Card::read("no-such-card").unwrap_err();
        assert!(why.contains("no-such-card"), "{why}");
        assert!(Card::read("a-name-of-sixteen-and-more").is_err());
    }
}
