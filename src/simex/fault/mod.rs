//! Fault scripts: what goes wrong on a simulated venue, when, and for how long.
//!
//! A script is text, one fault a line, that a person can read, write and replay; or it follows from a seed. Faults never falsify
//! what the venue itself believes: its orders, fills, positions and wallets stay true, only its messages, connections and
//! manners suffer. The same script over the same traffic does the same, whatever machine it runs on.
//!
//! ```text
//! at 12.5s drop private order 3           # the next three order messages are lost
//! at 20s for 4s delay private execution 800ms
//! at 31s cut trade mid-frame              # closed in the middle of a frame
//! at 40s for 10s silence private          # nothing comes, but pings are answered
//! ```
//!
//! `for` bounds a fault in time; a number at the end bounds how often it acts. Without `for` a fault waits five seconds for its
//! chance, and acts once if no number says otherwise.

mod generate;
mod plan;
mod text;

pub use generate::{CALM_NS, HEAL_NS};
pub(super) use plan::{Begun, FaultPlan, MessageFate, RequestFate};
pub use text::FaultError;

/// A script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultScript {
    /// The seed that it was generated from, if it was.
    pub seed: Option<u64>,
    /// The faults; their order does not matter.
    pub faults: Vec<Fault>,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it begins, in nanoseconds since the start of trading.
    pub at_ns: u64,
    /// How long it lasts; `None` where it just happens, or waits for its chance ([`LAPSE_NS`]).
    pub for_ns: Option<u64>,
    /// What it does.
    pub act: Act,
    /// How often it acts; `None` without a bound inside `for`, and once outside of one.
    pub count: Option<u32>,
}

impl Fault {
    /// When it is over, in nanoseconds since the start of trading, not counting what it holds back.
    pub fn end_ns(&self) -> u64 {
        let lasts = self.for_ns.unwrap_or(if self.act.is_instant() { 0 } else { LAPSE_NS });
        self.at_ns.saturating_add(lasts)
    }
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Something happens to messages from the venue.
    Message {
        /// What.
        how: MessageFault,
        /// On which channel.
        channel: Channel,
        /// To which of its messages; `None` is all but answers to logins and pings.
        topic: Option<Topic>,
    },
    /// Nothing but answers to logins and pings comes on a channel; what would have come is lost.
    Silence(Channel),
    /// No bytes move either way, and then all of them at once.
    Stall(Channel),
    /// Bytes are taken and never answered, and in the end the connection is reset.
    HalfOpen(Channel),
    /// A connection breaks.
    Cut(Channel, CutAt),
    /// The venue closes a connection in order.
    Kick(Channel),
    /// Something happens to requests on their way.
    Request(RequestFault, Request),
    /// Queries are answered with this HTTP status, and not done.
    Http(u16),
    /// Every request of the client's address is refused with 403, and its connections are closed.
    Ban,
    /// Order entry answers 10019 and does nothing; its connections are closed at the end.
    RestartTrade,
    /// Every connection breaks, books start over at `u = 1`, and closed orders are found in the history alone.
    RestartVenue,
    /// Books are sent anew in full: with the next number, or as after a restart of the service (`u = 1`).
    Snapshot {
        /// Whether the numbers start over.
        is_restart: bool,
    },
    /// The venue moves the price of new orders away from the market by so many ticks, as its price limits do, and does not say so.
    Reprice {
        /// How far.
        ticks: u32,
    },
    /// An order fills just before its cancellation arrives.
    Race {
        /// Whether the cancellation is confirmed none the less, and a second `Filled` says that it failed.
        is_told_twice: bool,
    },
    /// The client's clock is wrong by so much, until the fault ends (positive: ahead).
    Clock {
        /// By how much, in nanoseconds.
        ahead_ns: i64,
    },
    /// The client does nothing, as if stopped by a signal.
    Freeze,
}

impl Act {
    /// Whether it happens in the moment in which it begins.
    pub fn is_instant(&self) -> bool {
        match self {
            Self::Cut(_, at) => *at == CutAt::Now,
            Self::Kick(_) | Self::RestartVenue | Self::Snapshot { .. } => true,
            _ => false,
        }
    }

    /// Whether it needs to be told how long it lasts.
    pub fn needs_duration(&self) -> bool {
        matches!(
            self,
            Self::Silence(_)
                | Self::Stall(_)
                | Self::HalfOpen(_)
                | Self::Ban
                | Self::RestartTrade
                | Self::Clock { .. }
                | Self::Freeze
        )
    }

    /// Whether a number may bound how often it acts.
    pub fn is_counted(&self) -> bool {
        matches!(
            self,
            Self::Message { .. } | Self::Request(..) | Self::Http(_) | Self::Reprice { .. } | Self::Race { .. }
        )
    }
}

/// A kind of connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Market data.
    Public,
    /// Orders, executions, positions and wallet of the account.
    Private,
    /// Order entry.
    Trade,
    /// HTTP.
    Rest,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Private: states of orders. Trade: answers to new orders.
    Order,
    /// Executions.
    Execution,
    /// Positions.
    Position,
    /// The wallet.
    Wallet,
    /// Books of any depth.
    Orderbook,
    /// Public trades.
    Trades,
    /// Tickers.
    Tickers,
    /// Answers to amendments.
    Amend,
    /// Answers to cancellations.
    Cancel,
    /// Answers to logins and subscriptions.
    Login,
    /// Answers to pings.
    Pong,
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFault {
    /// It is lost.
    Drop,
    /// It comes again, so many nanoseconds later (0: at once).
    Duplicate(u64),
    /// It comes so many nanoseconds late; others overtake it.
    Delay(u64),
    /// The next message of its connection comes before it.
    Reorder,
    /// It is not JSON any more.
    Corrupt,
}

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutAt {
    /// At once, between two messages.
    Now,
    /// After half of the next message from the venue.
    MidFrame,
    /// After half of the next request of this kind: the venue never sees it.
    Mid(Request),
    /// After the next request of this kind is carried out, before its answer.
    After(Request),
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// A new order.
    Order,
    /// An amendment.
    Amend,
    /// A cancellation.
    Cancel,
    /// Anything over HTTP.
    Rest,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// It is lost before the venue sees it.
    Lose,
    /// It arrives so many nanoseconds late.
    Hold(u64),
    /// It is answered with this code, and not done.
    Refuse(i32),
    /// It is answered with this code, and done.
    Doubt(i32),
}

/// How long a fault without `for` waits for its chance.
pub const LAPSE_NS: u64 = 5_000_000_000;

#[cfg(test)]
mod tests;
