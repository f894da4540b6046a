//! What a venue may do wrong.

use crate::types::DecimalError;

/// Why a message was refused. The message had no effect; what it would have changed is now unproven, and the sequence
/// rules notice that at the next message of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The text ends inside a value.
    #[error("message ends too early")]
    Truncated,
    /// A byte that has no place there.
    #[error("byte 0x{found:02x} at {at} has no place there")]
    Syntax {
        /// Offset in the message.
        at: u32,
        /// The byte.
        found: u8,
    },
    /// The general parser refused it as well.
    #[error("not JSON")]
    NotJson,
    /// Objects or arrays lie deeper than any message of this venue.
    #[error("nested deeper than {allowed}")]
    TooDeep {
        /// Levels allowed.
        allowed: u32,
    },
    /// A value is there but of another type: a text where a number is due, or the reverse.
    #[error("a value has the wrong type")]
    WrongType,
    /// A field without which the message means nothing.
    #[error("field `{field}` is missing")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// One field twice: it is not clear which counts.
    #[error("field `{field}` comes twice")]
    Duplicate {
        /// Its name.
        field: &'static str,
    },
    /// A word that is none of those allowed there.
    #[error("field `{field}` holds an unknown word")]
    UnknownWord {
        /// Its name.
        field: &'static str,
    },
    /// A decimal text that is not a whole number of the instrument's steps.
    #[error("bad decimal: {0}")]
    Decimal(#[from] DecimalError),
    /// A number of the right form beyond what any market shows, or negative where that means nothing.
    #[error("number out of range")]
    OutOfRange,
    /// More price levels than one event may hold.
    #[error("more than {allowed} levels")]
    TooManyLevels {
        /// Levels allowed.
        allowed: u32,
    },
    /// More trades than one message may hold.
    #[error("more than {allowed} trades")]
    TooManyTrades {
        /// Trades allowed.
        allowed: u32,
    },
    /// More orders, executions or positions than one message may hold.
    #[error("more than {allowed} items")]
    TooManyItems {
        /// Items allowed.
        allowed: u32,
    },
    /// A message longer than any that the venue sends.
    #[error("message of {found} bytes, {allowed} allowed")]
    TooLong {
        /// Its length, clamped to `u32`.
        found: u32,
        /// Length allowed.
        allowed: u32,
    },
    /// The topic names one instrument, the data another.
    #[error("topic and data name different symbols")]
    SymbolMismatch,
}
