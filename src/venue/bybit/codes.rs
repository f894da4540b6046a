//! The venue's codes and words: what a refusal means for an order, and why an order ended.

use crate::types::{Op, RejectKind};

/// What a non-zero `retCode` means for the order.
pub fn reject_kind(op: Op, code: i32) -> RejectKind {
    match code {
        // Time-outs, overload, restarts, and limits of which the venue does not say whether the request got through.
        10_000 | 10_016 | 10_019 | 170_001 | 170_005 | 170_007 | 170_032 | 170_146 | 170_147 | 20_006 | 500_000 => {
            RejectKind::Unknown
        }
        // The same, and asking on would end in a ban.
        429 | 10_006 | 10_403 | 10_429 | 20_003 => RejectKind::Busy,
        // Each order id is sent once: an order that is already there is an earlier answer that was lost.
        10_014 | 110_072 | 170_141 if op == Op::Create => RejectKind::Unknown,
        170_222 => RejectKind::RateLimited,
        10_002 => RejectKind::Clock,
        110_001 | 110_008 | 110_010 | 170_139 | 170_142 | 170_143 | 170_190 | 170_213 if op != Op::Create => {
            RejectKind::Gone
        }
        _ => RejectKind::Refused,
    }
}

/// Number of a reason that is on no list.
pub const REASON_OTHER: u16 = u16::MAX;

/// Why an order ended: `OrderUpdate::reason` is an index into it plus one.
const REASONS: [&str; 42] = [
    "CancelByUser",
    "EC_PerCancelRequest",
    "EC_PostOnlyWillTakeLiquidity",
    "EC_NoImmediateQtyToFill",
    "EC_NoEnoughQtyToFill",
    "EC_CancelForNoFullFill",
    "EC_BySelfMatch",
    "CancelBySmp",
    "CancelByReduceOnly",
    "CancelByDCP",
    "CancelByAdmin",
    "CancelByPrepareLiq",
    "CancelAllBeforeLiq",
    "CancelByPrepareAdl",
    "CancelAllBeforeAdl",
    "CancelBySettle",
    "CancelByTpSlTsClear",
    "CancelByRebalance",
    "EC_OrigClOrdIDDoesNotExist",
    "EC_DuplicatedClOrdID",
    "EC_TooLateToCancel",
    "EC_InvalidSymbolStatus",
    "EC_InCallAuctionStatus",
    "EC_QtyCannotBeZero",
    "EC_ReachMaxTradeNum",
    "EC_InvalidPriceScale",
    "EC_LimitOrderInvalidPrice",
    "EC_ReachRiskPriceLimit",
    "EC_ReachMarketPriceLimit",
    "EC_EcInvalidQty",
    "EC_InvalidAmount",
    "EC_UnknownOrderType",
    "EC_UnknownSide",
    "EC_UnknownTimeInForce",
    "EC_UnknownMessageType",
    "EC_CancelByMMP",
    "EC_CancelReplaceOrder",
    "EC_OrderNotExist",
    "EC_CancelByOrderValueZero",
    "EC_CancelByMatchValueZero",
    "EC_StopBySelfMatch",
    "EC_Others",
];

/// The number of what the venue said: the rejection's reason, or else the cancellation's; 0 if it said neither.
pub fn reason(reject: &[u8], cancel: &[u8]) -> u16 {
    let number = |word: &[u8]| match word {
        b"" | b"EC_NoError" | b"UNKNOWN" => 0,
        word => REASONS.iter().position(|name| name.as_bytes() == word).map_or(REASON_OTHER, |idx| idx as u16 + 1),
    };
    match number(reject) {
        0 => number(cancel),
        found => found,
    }
}

/// The venue's word of a reason, for people.
pub fn reason_text(reason: u16) -> &'static str {
    match reason {
        0 => "none",
        _ => REASONS.get(reason as usize - 1).copied().unwrap_or("other"),
    }
}
