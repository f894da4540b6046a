//! What became of each message.

use super::WireError;

/// What a message was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A book's snapshot or delta; the sequence rules may still have held it back.
    Book,
    /// The venue's own best bid and offer.
    Top,
    /// One or more public trades, perhaps none that counts.
    Trades,
    /// Reference prices and funding.
    Ticker,
    /// Known and of no use here.
    Ignored(Ignored),
    /// Of an instrument that the table does not hold.
    UnknownSymbol,
    /// Well-formed, but of no shape that is known.
    Unknown,
}

/// Messages that are known and of no use to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ignored {
    /// A candle.
    Kline = 0,
    /// A subscription or login was confirmed.
    Ack = 1,
    /// Answer to a ping.
    Pong = 2,
    /// The venue refused one of our requests.
    ErrorReply = 3,
    /// Statistics of the day.
    DayTicker = 4,
    /// A forced liquidation.
    Liquidation = 5,
    /// A book that is not the instrument's book: another depth, retail quotes, the full book.
    OtherBook = 6,
    /// Anything else that the venue documents.
    Other = 7,
}

impl Ignored {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Kline,
        Self::Ack,
        Self::Pong,
        Self::ErrorReply,
        Self::DayTicker,
        Self::Liquidation,
        Self::OtherBook,
        Self::Other,
    ];

    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kline => "kline",
            Self::Ack => "ack",
            Self::Pong => "pong",
            Self::ErrorReply => "error_reply",
            Self::DayTicker => "day_ticker",
            Self::Liquidation => "liquidation",
            Self::OtherBook => "other_book",
            Self::Other => "other",
        }
    }
}

/// Counts of one feed. Every message is in exactly one of the first group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FeedCounters {
    /// Refused with a [`WireError`].
    pub decode_errors: u64,
    /// Of no known shape.
    pub unknown_messages: u64,
    /// Of instruments that the table does not hold.
    pub unknown_symbols: u64,
    /// Book snapshots and deltas.
    pub books: u64,
    /// Venue's best bid and offer.
    pub tops: u64,
    /// Trade messages.
    pub trade_messages: u64,
    /// Ticker messages.
    pub tickers: u64,
    /// Ignored messages, by [`Ignored`].
    pub ignored: [u64; Ignored::ALL.len()],

    /// Messages in all: the sum of the group above.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that the scanner left to the general parser.
    pub general_path: u64,
    /// Single trades.
    pub trades: u64,
    /// Trades that never met the book: block trades, insurance fund and the like. They make no event.
    pub off_book_trades: u64,
    /// Breaks in a sequence that was live.
    pub gaps: u64,
    /// Books that became live again after a gap or a loss of the connection.
    pub resyncs: u64,
    /// Book messages that the book had already passed.
    pub old_updates: u64,
    /// Snapshots that no buffered delta continues, or that came when none was needed.
    pub useless_snapshots: u64,
    /// Times that deltas waiting for a snapshot outgrew their buffer.
    pub sync_overflows: u64,
}

impl FeedCounters {
    #[inline]
    pub(crate) fn note(&mut self, frame_bytes: usize, result: &Result<FrameKind, WireError>) {
        self.messages += 1;
        self.bytes += frame_bytes as u64;
        match result {
            Ok(FrameKind::Book) => self.books += 1,
            Ok(FrameKind::Top) => self.tops += 1,
            Ok(FrameKind::Trades) => self.trade_messages += 1,
            Ok(FrameKind::Ticker) => self.tickers += 1,
            Ok(FrameKind::Ignored(kind)) => self.ignored[*kind as usize] += 1,
            Ok(FrameKind::UnknownSymbol) => self.unknown_symbols += 1,
            Ok(FrameKind::Unknown) => self.unknown_messages += 1,
            Err(_) => self.decode_errors += 1,
        }
    }

    /// Adds the counts of another feed.
    pub fn add(&mut self, other: &Self) {
        // Taken apart, so that a new field cannot be forgotten.
        let Self {
            decode_errors,
            unknown_messages,
            unknown_symbols,
            books,
            tops,
            trade_messages,
            tickers,
            ignored,
            messages,
            bytes,
            general_path,
            trades,
            off_book_trades,
            gaps,
            resyncs,
            old_updates,
            useless_snapshots,
            sync_overflows,
        } = other;
        for (sum, more) in [
            (&mut self.decode_errors, decode_errors),
            (&mut self.unknown_messages, unknown_messages),
            (&mut self.unknown_symbols, unknown_symbols),
            (&mut self.books, books),
            (&mut self.tops, tops),
            (&mut self.trade_messages, trade_messages),
            (&mut self.tickers, tickers),
            (&mut self.messages, messages),
            (&mut self.bytes, bytes),
            (&mut self.general_path, general_path),
            (&mut self.trades, trades),
            (&mut self.off_book_trades, off_book_trades),
            (&mut self.gaps, gaps),
            (&mut self.resyncs, resyncs),
            (&mut self.old_updates, old_updates),
            (&mut self.useless_snapshots, useless_snapshots),
            (&mut self.sync_overflows, sync_overflows),
        ] {
            *sum += more;
        }
        for (sum, more) in self.ignored.iter_mut().zip(ignored) {
            *sum += more;
        }
    }

    /// Sum of the first group; equals [`Self::messages`].
    pub fn accounted(&self) -> u64 {
        self.decode_errors
            + self.unknown_messages
            + self.unknown_symbols
            + self.books
            + self.tops
            + self.trade_messages
            + self.tickers
            + self.ignored.iter().sum::<u64>()
    }
}
