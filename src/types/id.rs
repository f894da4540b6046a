//! Who and what: sides, instruments, venues, orders.

use std::fmt;

/// A side of the book, and the direction of an order: a buy order rests on the bid side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Side {
    /// Buyers.
    Bid = 0,
    /// Sellers.
    Ask = 1,
}

impl Side {
    /// Returns the other side.
    #[inline]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Bid => Self::Ask,
            Self::Ask => Self::Bid,
        }
    }

    /// Returns +1 for a buy, −1 for a sell: the sign of the position it builds.
    #[inline]
    pub const fn sign(self) -> i64 {
        match self {
            Self::Bid => 1,
            Self::Ask => -1,
        }
    }

    /// Returns the side that `bit`'s lowest bit names.
    #[inline]
    pub const fn from_bit(bit: u8) -> Self {
        if bit & 1 == 0 { Self::Bid } else { Self::Ask }
    }
}

/// Index of an instrument in the [`InstrumentTable`](super::InstrumentTable), dense from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct InstrumentId(pub u16);

impl InstrumentId {
    /// The index, for slices.
    #[inline]
    pub const fn idx(self) -> usize {
        self.0 as usize
    }
}

/// A venue: an exchange together with its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct VenueId(pub u8);

impl VenueId {
    /// Bybit v5.
    pub const BYBIT: Self = Self(1);
    /// Binance USD-M futures.
    pub const BINANCE_USDM: Self = Self(2);
    /// Binance COIN-M futures.
    pub const BINANCE_COINM: Self = Self(3);
    /// Binance spot.
    pub const BINANCE_SPOT: Self = Self(4);

    /// The name used in configuration, sidecars and reports.
    pub const fn name(self) -> &'static str {
        match self.0 {
            1 => "bybit",
            2 => "binance-usdm",
            3 => "binance-coinm",
            4 => "binance-spot",
            _ => "unknown",
        }
    }

    /// The venue of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::BYBIT, Self::BINANCE_USDM, Self::BINANCE_COINM, Self::BINANCE_SPOT]
            .into_iter()
            .find(|v| v.name() == name)
    }
}

/// Our own number for an order, unique within a run, never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct ClientOrderId(pub u64);

impl fmt::Debug for ClientOrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:x}", self.0)
    }
}

/// An instrument's name on its venue, at most 31 bytes of printable ASCII.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Symbol {
    bytes: [u8; 31],
    len: u8,
}

impl Symbol {
    /// Longest symbol in bytes.
    pub const LEN_MAX: usize = 31;

    /// Takes a name; `None` if it is empty, too long or not printable ASCII.
    pub fn new(name: &[u8]) -> Option<Self> {
        if name.is_empty() || name.len() > Self::LEN_MAX || !name.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut bytes = [0; Self::LEN_MAX];
        bytes[..name.len()].copy_from_slice(name);
        Some(Self { bytes, len: name.len() as u8 })
    }

    /// The name's bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        // `new` admits ASCII only, so the fallback is never taken.
        std::str::from_utf8(self.as_bytes()).unwrap_or("")
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
