//! The words that both kinds of markets share.

use crate::types::{ClientOrderId, Lots, Side, Ticks, TimeInForce};
use std::fmt;

/// The venue's own running number of an order; 0 is never given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OrderNo(pub u64);

/// Who an order belongs to: an account, or a member of the crowd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OwnerId(pub u32);

impl OwnerId {
    /// The crowd's members are numbered from here up; accounts below.
    pub const CROWD: u32 = 1 << 31;

    /// Reports whether this is a member of the crowd, for whom no account is kept.
    pub const fn is_crowd(self) -> bool {
        self.0 >= Self::CROWD
    }
}

/// What happens when an order would trade with its own owner's resting order; the incoming order's choice counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SelfTrade {
    /// They trade.
    #[default]
    None,
    /// The resting order is cancelled.
    CancelMaker,
    /// The rest of the incoming order is cancelled.
    CancelTaker,
    /// Both are cancelled.
    CancelBoth,
}

/// An order on its way into a market. A market order is an IOC with its slippage bound as the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The venue's number for it.
    pub no: OrderNo,
    /// Whose it is.
    pub owner: OwnerId,
    /// Direction.
    pub side: Side,
    /// Limit price.
    pub px: Ticks,
    /// Quantity.
    pub qty: Lots,
    /// How long it lives.
    pub tif: TimeInForce,
    /// What happens on meeting its owner's own orders.
    pub self_trade: SelfTrade,
}

/// Why an order ended without being filled whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CancelReason {
    /// Its owner asked.
    ByUser,
    /// Post-only, and it would have taken.
    WouldTake,
    /// Fill-or-kill, and the quantity was not there.
    NoFullFill,
    /// Immediate-or-cancel, and this was all there was.
    NoLiquidity,
    /// It met its owner's own order.
    SelfTrade,
    /// Reduce-only, and the position it would reduce is gone.
    ReduceOnly,
    /// Its account is liquidated.
    Liquidation,
}

/// Why a market refuses an order or a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// Quantity or price is not above zero.
    #[error("quantity and price must be above zero")]
    NotPositive,
    /// The number is in use.
    #[error("order number is in use")]
    Duplicate,
    /// No such resting order.
    #[error("no such resting order")]
    UnknownOrder,
}

/// One side of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Which order.
    pub no: OrderNo,
    /// Whose.
    pub owner: OwnerId,
    /// Its direction.
    pub side: Side,
    /// Price.
    pub px: Ticks,
    /// Quantity.
    pub qty: Lots,
    /// What is left of the order.
    pub leaves: Lots,
    /// Whether it rested.
    pub is_maker: bool,
}

/// What happened in a market, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The order is in; fills, a rest or its end follow.
    Accepted {
        /// Which order.
        no: OrderNo,
        /// Whose.
        owner: OwnerId,
    },
    /// Nothing was changed.
    Rejected {
        /// Which order.
        no: OrderNo,
        /// Whose.
        owner: OwnerId,
        /// Why.
        reason: RejectReason,
    },
    /// An order was filled, whole or in part.
    Fill(Fill),
    /// The public print of a trade; follows the fills of both sides.
    Trade {
        /// Price.
        px: Ticks,
        /// Quantity.
        qty: Lots,
        /// The aggressor's direction.
        taker: Side,
    },
    /// The order is gone.
    Cancelled {
        /// Which order.
        no: OrderNo,
        /// Whose.
        owner: OwnerId,
        /// What was left of it.
        leaves: Lots,
        /// Why.
        reason: CancelReason,
    },
    /// The order was changed; fills may follow if its new price takes.
    Amended {
        /// Which order.
        no: OrderNo,
        /// Whose.
        owner: OwnerId,
        /// Its new price.
        px: Ticks,
        /// What is left of it now.
        leaves: Lots,
    },
}

/// The client's own name for an order: at most 36 bytes of `[A-Za-z0-9_-]`, or empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    bytes: [u8; Self::LEN_MAX],
    len: u8,
}

impl LinkId {
    /// Longest name.
    pub const LEN_MAX: usize = 36;
    /// No name.
    pub const NONE: Self = Self { bytes: [0; Self::LEN_MAX], len: 0 };

    /// Takes a name; `None` if it is too long or has other characters.
    pub fn new(name: &str) -> Option<Self> {
        let valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if !valid || name.len() > Self::LEN_MAX {
            return None;
        }
        let mut bytes = [0; Self::LEN_MAX];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Some(Self { bytes, len: name.len() as u8 })
    }

    /// Makes the name that stands for an engine's number where no wire format is in between.
    pub fn from_client_id(id: ClientOrderId) -> Self {
        let mut bytes = [0; Self::LEN_MAX];
        for (at, byte) in bytes.iter_mut().take(16).enumerate() {
            *byte = b"0123456789abcdef"[(id.0 >> (60 - 4 * at)) as usize & 15];
        }
        Self { bytes, len: 16 }
    }

    /// Returns the engine's number if [`Self::from_client_id`] made this name.
    pub fn client_id(&self) -> Option<ClientOrderId> {
        if self.len != 16 {
            return None;
        }
        u64::from_str_radix(self.as_str(), 16).ok().map(ClientOrderId)
    }

    /// Returns the name, empty for [`Self::NONE`].
    pub fn as_str(&self) -> &str {
        // Only ASCII gets in, so the fallbacks are never taken.
        self.bytes.get(..self.len.into()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// Reports whether there is no name.
    pub const fn is_none(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reports whether an order of `side` at `px` would trade with an opposite order at `other`.
#[inline]
pub(super) fn crosses(side: Side, px: Ticks, other: Ticks) -> bool {
    match side {
        Side::Bid => px >= other,
        Side::Ask => px <= other,
    }
}

/// Orders prices of a side from worst to best.
#[inline]
pub(super) fn rank(side: Side, px: Ticks) -> i64 {
    match side {
        Side::Bid => px.get(),
        Side::Ask => px.get().saturating_neg(),
    }
}
