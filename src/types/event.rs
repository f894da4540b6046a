//! Everything that can happen to the engine, in venue-neutral terms.

use super::{ClientOrderId, InstrumentId, Lots, Money, Nanos, Rate, Side, Ticks};

macro_rules! byte_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $value,)+ }

        impl $name {
            /// Every variant, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The variant of that number.
            #[inline]
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value { $($value => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use byte_enum;

/// One price level: at `px` there are `qty` in all. A quantity of zero removes the level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Level {
    /// The price.
    pub px: Ticks,
    /// The whole quantity displayed there.
    pub qty: Lots,
}

/// What every event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Meta {
    /// The instrument it concerns; 0 where it concerns none.
    pub instrument: InstrumentId,
    /// Return of the read that completed the message: the engine's time. Never runs backwards within one input.
    pub recv: Nanos,
    /// The venue's own time of the event, 0 if it gave none.
    pub venue_ts: Nanos,
    /// The venue's number for it: update id of a book or a top of book, trade id, otherwise 0.
    pub seq: u64,
    /// Nanoseconds from `recv` until the frame was cut out; a latency stamp, never part of a decision.
    pub framed_ns: u32,
    /// Nanoseconds from `recv` until the frame was decoded; a latency stamp, never part of a decision.
    pub decoded_ns: u32,
}

byte_enum! {
    /// Whether a book event replaces the book or changes it.
    BookKind {
        /// The whole book: everything not in it is gone.
        Snapshot = 0,
        /// Changed levels with their new whole quantities.
        Delta = 1,
    }
}

/// A change of an order book that the venue's sequence rules have admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Book<'a> {
    /// `seq` is the venue's last update id.
    pub meta: Meta,
    /// Snapshot or delta.
    pub kind: BookKind,
    /// A number comparable with `Top::meta.seq`: Bybit's cross sequence, Binance's update id.
    pub cross_seq: u64,
    /// Bid levels in the order the venue sent them.
    pub bids: &'a [Level],
    /// Ask levels in the order the venue sent them.
    pub asks: &'a [Level],
}

byte_enum! {
    /// How a venue's own best bid and offer is compared with the depth book.
    TopCheck {
        /// Do not compare.
        None = 0,
        /// Sequence numbers of one series (Binance): the state after update `n` equals the last top with `seq <= n`.
        AtOrBefore = 1,
        /// Equal sequence numbers mean equal state (Bybit depth 1 and deeper).
        SameSeq = 2,
        /// Compare the prices with the book as it stands (Bybit tickers).
        PriceAtArrival = 3,
    }
}

/// The venue's own best bid and offer. A side without orders is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Top {
    /// `seq` is comparable with [`Book::cross_seq`].
    pub meta: Meta,
    /// How to compare it with the depth book.
    pub check: TopCheck,
    /// Best bid.
    pub bid: Option<Level>,
    /// Best ask.
    pub ask: Option<Level>,
}

/// A public trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// `seq` is the trade id where it is a number, otherwise the venue's cross sequence.
    pub meta: Meta,
    /// Side of the aggressor: `Bid` bought from a resting ask.
    pub taker: Side,
    /// Price.
    pub px: Ticks,
    /// Quantity.
    pub qty: Lots,
}

/// Reference prices and funding, merged from partial updates: zero means not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticker {
    /// Common fields.
    pub meta: Meta,
    /// Mark price of one whole unit; need not lie on a tick.
    pub mark_px: Money,
    /// Index price of one whole unit.
    pub index_px: Money,
    /// Last traded price.
    pub last_px: Ticks,
    /// Rate of the coming funding payment (positive: longs pay).
    pub funding_rate: Rate,
    /// Moment of the coming funding payment.
    pub next_funding: Nanos,
}

byte_enum! {
    /// How far a book may be trusted.
    BookState {
        /// Nothing received yet.
        Empty = 0,
        /// Deltas arrive, the snapshot that anchors them is still missing.
        Syncing = 1,
        /// Proven whole by the venue's sequence rules.
        Live = 2,
        /// Continuity was lost; being resynchronised.
        Stale = 3,
    }
}

/// A change of trust in an instrument's book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookStatus {
    /// Common fields.
    pub meta: Meta,
    /// The new state.
    pub state: BookState,
}

byte_enum! {
    /// A request to the venue.
    Op {
        /// Place an order.
        Create = 0,
        /// Change price or quantity of an order.
        Amend = 1,
        /// Cancel an order.
        Cancel = 2,
        /// Cancel all orders of an instrument.
        CancelAll = 3,
    }
}

/// The venue took a request for processing; says nothing yet of its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Common fields.
    pub meta: Meta,
    /// What was asked.
    pub op: Op,
    /// For which order.
    pub client_id: ClientOrderId,
    /// Number of the request ([`Command::request`](super::Command::request)); 0 if the reply does not tell.
    pub request: u16,
    /// Requests of this kind that the venue says are left in its window; `u32::MAX` if it did not say.
    pub limit_left: u32,
}

byte_enum! {
    /// What a refusal means for the order.
    RejectKind {
        /// Refused: nothing was changed.
        Refused = 0,
        /// The order is already final or not known; its end is told by the order stream.
        Gone = 1,
        /// Refused for its rate; nothing was changed.
        RateLimited = 2,
        /// It may or may not have happened: only a query can tell.
        Unknown = 3,
        /// Refused by our own gateway before a byte left (connection down, send buffer full).
        NotSent = 4,
        /// Refused for its time stamp, nothing was changed: the clocks must be compared anew.
        Clock = 5,
        /// The venue is overloaded, or says that we ask too much; the request may or may not have happened: slow down, and only a
        /// query can tell.
        Busy = 6,
    }
}

impl RejectKind {
    /// Whether it says for certain that nothing was changed.
    #[inline]
    pub const fn is_nothing_done(self) -> bool {
        matches!(self, Self::Refused | Self::RateLimited | Self::NotSent | Self::Clock)
    }
}

/// Our gateway has written a request: when it took it, rendered it and called the write. Nobody decides by it, the engine
/// does not even take its time from it; the journal keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// `recv` is the moment at which the write was called.
    pub meta: Meta,
    /// For which order.
    pub client_id: ClientOrderId,
    /// Number of the request ([`Command::request`](super::Command::request)).
    pub request: u16,
    /// Nanoseconds from taking the command until the write was called.
    pub taken_ago_ns: u32,
    /// Nanoseconds from the rendered bytes until the write was called.
    pub encoded_ago_ns: u32,
}

/// The venue (or our gateway) refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Common fields.
    pub meta: Meta,
    /// What was asked.
    pub op: Op,
    /// What it means.
    pub kind: RejectKind,
    /// For which order.
    pub client_id: ClientOrderId,
    /// Number of the request ([`Command::request`](super::Command::request)); 0 if the reply does not tell.
    pub request: u16,
    /// The venue's code, 0 for our own.
    pub code: i32,
}

byte_enum! {
    /// An order's state as the venue tells it.
    OrderStatus {
        /// Resting, nothing filled.
        New = 0,
        /// Resting, partly filled.
        PartiallyFilled = 1,
        /// Wholly filled. Final.
        Filled = 2,
        /// Cancelled, perhaps after fills. Final.
        Cancelled = 3,
        /// Never accepted. Final.
        Rejected = 4,
        /// Waiting for its trigger.
        Untriggered = 5,
    }
}

/// The venue tells an order's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderUpdate {
    /// Common fields.
    pub meta: Meta,
    /// Our number, 0 if the order is not ours.
    pub client_id: ClientOrderId,
    /// The venue's number (a UUID or a hash of what it sent).
    pub venue_order_id: u128,
    /// Direction.
    pub side: Side,
    /// State.
    pub status: OrderStatus,
    /// Limit price.
    pub px: Ticks,
    /// Whole quantity.
    pub qty: Lots,
    /// Filled so far.
    pub filled: Lots,
    /// Why it ended, in the venue codec's numbering; 0 if nothing was said.
    pub reason: u16,
    /// 0: told by the order stream. Otherwise the answer to a question that left at this engine time.
    pub asked_at: Nanos,
}

/// The venue was asked for an order and knows none of that number, neither open nor closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    /// Common fields.
    pub meta: Meta,
    /// Our number.
    pub client_id: ClientOrderId,
    /// Engine time at which the question left.
    pub asked_at: Nanos,
}

byte_enum! {
    /// How a reconciliation pass ended.
    PassEnd {
        /// Everything was asked and answered: open orders, executions, positions, wallet.
        Whole = 0,
        /// Something was not answered; what was told is true, but nothing follows from what was not.
        Broken = 1,
    }
}

/// The end of a reconciliation pass. Its answers came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Common fields.
    pub meta: Meta,
    /// How it ended.
    pub end: PassEnd,
    /// Engine time at which its first question left.
    pub asked_at: Nanos,
}

/// An execution of an order of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Common fields.
    pub meta: Meta,
    /// Our number, 0 if the order is not ours (liquidation and the like).
    pub client_id: ClientOrderId,
    /// The venue's number for the execution (a UUID or a hash of what it sent); the key for duplicates.
    pub exec_id: u128,
    /// Our direction.
    pub side: Side,
    /// Whether we rested.
    pub is_maker: bool,
    /// Price.
    pub px: Ticks,
    /// Quantity.
    pub qty: Lots,
    /// Fee paid (negative: rebate received).
    pub fee: Money,
    /// Whether the fee is the venue's own word; otherwise it is computed from the account's rates, and the venue's word
    /// follows under the same `exec_id`.
    pub is_fee_final: bool,
    /// Whether it is the answer to a question; otherwise the execution stream told it.
    pub is_query: bool,
    /// The venue's number of the order, as in [`OrderUpdate::venue_order_id`]; 0 if it was not told.
    pub venue_order_id: u128,
}

/// The venue tells a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Common fields.
    pub meta: Meta,
    /// Signed size.
    pub qty: Lots,
    /// Average entry price of one whole unit.
    pub entry_px: Money,
    /// Realised profit since the position was opened, as the venue counts it.
    pub realised: Money,
    /// 0: told by the stream. Otherwise the answer to a question that left at this engine time.
    pub asked_at: Nanos,
}

/// The venue tells a balance of the settlement currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Common fields.
    pub meta: Meta,
    /// Wallet balance: without unrealised profit.
    pub wallet: Money,
    /// What new orders may use.
    pub available: Money,
}

byte_enum! {
    /// A connection.
    LinkKind {
        /// Public market data.
        Market = 0,
        /// Private stream: orders, executions, positions.
        Private = 1,
        /// Order entry.
        Trade = 2,
    }
}

/// A connection became usable or was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Common fields.
    pub meta: Meta,
    /// Which.
    pub kind: LinkKind,
    /// Usable or lost.
    pub is_up: bool,
}

byte_enum! {
    /// What a person or a limit tells the engine.
    Control {
        /// Cancel everything, place nothing more.
        Stop = 0,
        /// As `Stop`, at once and for good.
        Kill = 1,
        /// Start (again) to trade: reconciliation is done.
        Arm = 2,
        /// Cancel what is open of the event's instrument and place nothing more there; its position stays.
        Withdraw = 3,
        /// Trade the event's instrument again.
        Readmit = 4,
        /// As `Stop`, and close every position at prices no farther from the touch than configured.
        Flatten = 5,
    }
}

byte_enum! {
    /// What is carried over from an earlier run.
    CarriedKey {
        /// The day of the next value, counted from 1970 by UTC.
        Day = 0,
        /// Equity at the start of that day.
        DayEquity = 1,
        /// Greatest equity so far.
        PeakEquity = 2,
        /// Closed profit less fees and funding since the capital was granted.
        Net = 3,
        /// Levels of the breakers, a byte each.
        Levels = 4,
        /// Trades opened on that day.
        Trades = 5,
    }
}

/// A value carried over from an earlier run, told before trading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Common fields.
    pub meta: Meta,
    /// Which.
    pub key: CarriedKey,
    /// Its value; numbers that are no money stand as their own unit.
    pub value: Money,
}

/// A value from the signal board.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    /// Common fields.
    pub meta: Meta,
    /// Which slot of the board: the number of a [`BoardSlot`](super::BoardSlot), or of none that is known here.
    pub slot: u16,
    /// Its value.
    pub value: f64,
}

/// A funding payment of our position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Funding {
    /// Common fields.
    pub meta: Meta,
    /// The venue's number of it, against repetition.
    pub exec_id: u128,
    /// What was paid; negative: received.
    pub paid: Money,
    /// Rate that was applied (positive: longs pay); zero if it was not told.
    pub rate: Rate,
    /// Whether it is the answer to a question.
    pub is_query: bool,
}

/// Everything that can happen to the engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// A change of an order book.
    Book(Book<'a>),
    /// The venue's own best bid and offer.
    Top(Top),
    /// A public trade.
    Trade(Trade),
    /// Reference prices and funding.
    Ticker(Ticker),
    /// A change of trust in a book.
    BookStatus(BookStatus),
    /// A request was taken.
    Ack(Ack),
    /// A request was refused.
    Reject(Reject),
    /// An order's state.
    Order(OrderUpdate),
    /// An execution.
    Fill(Fill),
    /// A funding payment.
    Funding(Funding),
    /// A position.
    Position(Position),
    /// A balance.
    Balance(Balance),
    /// An order that the venue does not know.
    Absent(Absent),
    /// A reconciliation pass has ended.
    Pass(Pass),
    /// A connection came or went.
    Link(Link),
    /// Time passed.
    Timer(Meta),
    /// A word from a person or a limit.
    Control(Meta, Control),
    /// A value of an earlier run.
    Carried(Carried),
    /// A slow brain's newest value.
    Signal(Signal),
    /// A request was written.
    Sent(Sent),
}

impl Event<'_> {
    /// Most levels of one book event: two sides of Binance spot's deepest snapshot (5,000) and a fifth to spare.
    pub const LEVELS_MAX: usize = 12_000;

    /// What every event carries.
    #[inline]
    pub fn meta(&self) -> &Meta {
        match self {
            Event::Book(e) => &e.meta,
            Event::Top(e) => &e.meta,
            Event::Trade(e) => &e.meta,
            Event::Ticker(e) => &e.meta,
            Event::BookStatus(e) => &e.meta,
            Event::Ack(e) => &e.meta,
            Event::Reject(e) => &e.meta,
            Event::Order(e) => &e.meta,
            Event::Fill(e) => &e.meta,
            Event::Funding(e) => &e.meta,
            Event::Position(e) => &e.meta,
            Event::Balance(e) => &e.meta,
            Event::Absent(e) => &e.meta,
            Event::Pass(e) => &e.meta,
            Event::Link(e) => &e.meta,
            Event::Timer(meta) | Event::Control(meta, _) => meta,
            Event::Carried(e) => &e.meta,
            Event::Signal(e) => &e.meta,
            Event::Sent(e) => &e.meta,
        }
    }

    /// The same, to be changed.
    #[inline]
    pub fn meta_mut(&mut self) -> &mut Meta {
        match self {
            Event::Book(e) => &mut e.meta,
            Event::Top(e) => &mut e.meta,
            Event::Trade(e) => &mut e.meta,
            Event::Ticker(e) => &mut e.meta,
            Event::BookStatus(e) => &mut e.meta,
            Event::Ack(e) => &mut e.meta,
            Event::Reject(e) => &mut e.meta,
            Event::Order(e) => &mut e.meta,
            Event::Fill(e) => &mut e.meta,
            Event::Funding(e) => &mut e.meta,
            Event::Position(e) => &mut e.meta,
            Event::Balance(e) => &mut e.meta,
            Event::Absent(e) => &mut e.meta,
            Event::Pass(e) => &mut e.meta,
            Event::Link(e) => &mut e.meta,
            Event::Timer(meta) | Event::Control(meta, _) => meta,
            Event::Carried(e) => &mut e.meta,
            Event::Signal(e) => &mut e.meta,
            Event::Sent(e) => &mut e.meta,
        }
    }

    /// The kind's name, for people.
    pub const fn kind_name(&self) -> &'static str {
        match self {
            Event::Book(_) => "book",
            Event::Top(_) => "top",
            Event::Trade(_) => "trade",
            Event::Ticker(_) => "ticker",
            Event::BookStatus(_) => "book-status",
            Event::Ack(_) => "ack",
            Event::Reject(_) => "reject",
            Event::Order(_) => "order",
            Event::Fill(_) => "fill",
            Event::Funding(_) => "funding",
            Event::Position(_) => "position",
            Event::Balance(_) => "balance",
            Event::Absent(_) => "absent",
            Event::Pass(_) => "pass",
            Event::Link(_) => "link",
            Event::Timer(_) => "timer",
            Event::Control(..) => "control",
            Event::Carried(_) => "carried",
            Event::Signal(_) => "signal",
            Event::Sent(_) => "sent",
        }
    }
}
