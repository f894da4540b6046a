//! What is asked of a venue, what it answers, and what it remembers.

use super::order::{CancelReason, LinkId, OrderNo, SelfTrade};
use crate::types::{
    ClientOrderId, InstrumentId, Lots, Meta, Money, Nanos, OrderStatus, OrderUpdate, Rate, Side, Ticks, TimeInForce,
};

/// An account of a venue, dense from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AccountId(pub u32);

/// Limit or market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderKind {
    /// At a price or better.
    Limit,
    /// At once, within the venue's slippage bound.
    Market,
}

/// A new order, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceRequest {
    /// Which instrument.
    pub instrument: InstrumentId,
    /// Direction.
    pub side: Side,
    /// Limit or market.
    pub kind: OrderKind,
    /// Limit price; ignored for a market order.
    pub px: Ticks,
    /// Quantity.
    pub qty: Lots,
    /// How long it lives; a market order is always immediate-or-cancel.
    pub tif: TimeInForce,
    /// Only ever shrinks a position.
    pub reduce_only: bool,
    /// What happens on meeting own orders.
    pub self_trade: SelfTrade,
    /// The client's name for it.
    pub link: LinkId,
}

/// A change of an order; what is `None` stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AmendRequest {
    /// New limit price.
    pub px: Option<Ticks>,
    /// New whole quantity, what is filled included.
    pub qty: Option<Lots>,
}

/// Why the venue refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such account or instrument.
    #[error("no such account or instrument")]
    Unknown,
    /// The price is not above zero.
    #[error("price must be above zero")]
    BadPrice,
    /// The quantity is outside the instrument's limits.
    #[error("quantity of {qty:?} is outside {min:?} to {max:?}")]
    BadQty {
        /// The quantity found.
        qty: Lots,
        /// The least allowed.
        min: Lots,
        /// The most allowed.
        max: Lots,
    },
    /// The value is below the instrument's minimum.
    #[error("value of {value} is below the minimum of {min}")]
    SmallNotional {
        /// The value found.
        value: Money,
        /// The least allowed.
        min: Money,
    },
    /// The client's name for the order was used before.
    #[error("duplicate client order id")]
    DuplicateLink,
    /// There is no open order of that number or name.
    #[error("no such open order")]
    UnknownOrder,
    /// There is nothing to change.
    #[error("nothing to amend")]
    NothingToAmend,
    /// The new quantity is not above what is filled.
    #[error("amended quantity is not above the filled quantity")]
    BelowFilled,
    /// The account's equity does not carry the order.
    #[error("insufficient margin")]
    Margin,
    /// There is no position to reduce.
    #[error("reduce-only without a position to reduce")]
    ReduceOnly,
    /// Too many open orders.
    #[error("more than {max} open orders")]
    TooManyOrders {
        /// The bound.
        max: usize,
    },
    /// A market order, and there is no market.
    #[error("no market price available")]
    NoMarket,
    /// The price of a stop order has reached its trigger already.
    #[error("the price has reached the trigger at {trigger:?} already")]
    TriggerPassed {
        /// The trigger.
        trigger: Ticks,
    },
}

/// Everything the venue knows of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderRecord {
    /// The venue's number.
    pub no: OrderNo,
    /// Whose.
    pub account: AccountId,
    /// The client's name for it.
    pub link: LinkId,
    /// Which instrument.
    pub instrument: InstrumentId,
    /// Direction.
    pub side: Side,
    /// Limit or market.
    pub kind: OrderKind,
    /// Limit price; for a market order its slippage bound, for a stop order that waits its trigger.
    pub px: Ticks,
    /// Whole quantity.
    pub qty: Lots,
    /// How long it lives.
    pub tif: TimeInForce,
    /// Only ever shrinks a position.
    pub reduce_only: bool,
    /// What happens on meeting own orders.
    pub self_trade: SelfTrade,
    /// State.
    pub status: OrderStatus,
    /// Why it was cancelled, if it was.
    pub cancelled: Option<CancelReason>,
    /// Filled so far.
    pub filled: Lots,
    /// Value of what is filled.
    pub filled_value: Money,
    /// Fees of what is filled.
    pub fees: Money,
    /// When it came.
    pub created: Nanos,
    /// When it last changed.
    pub updated: Nanos,
}

impl OrderRecord {
    /// Reports whether the order can still be filled.
    pub fn is_open(&self) -> bool {
        matches!(self.status, OrderStatus::New | OrderStatus::PartiallyFilled | OrderStatus::Untriggered)
    }

    /// Returns what is not filled, whether it still can be or not.
    pub fn unfilled(&self) -> Lots {
        self.qty.saturating_sub(self.filled)
    }

    /// Returns the engine's view of this order, where no wire format is in between.
    pub fn update(&self, recv: Nanos) -> OrderUpdate {
        OrderUpdate {
            meta: Meta { instrument: self.instrument, recv, venue_ts: self.updated, ..Meta::default() },
            client_id: self.link.client_id().unwrap_or(ClientOrderId(0)),
            venue_order_id: u128::from(self.no.0),
            side: self.side,
            status: self.status,
            px: self.px,
            qty: self.qty,
            filled: self.filled,
            reason: self.cancelled.map_or(0, |reason| reason as u16 + 1),
            asked_at: Nanos::ZERO,
        }
    }
}

/// What an execution was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutionKind {
    /// A trade.
    Trade,
    /// A funding payment; there is no order.
    Funding,
    /// The venue took a position over, by an order of its own that nobody sent.
    Takeover,
}

/// One execution of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Running number.
    pub no: u64,
    /// Trade, funding or takeover.
    pub kind: ExecutionKind,
    /// Whose.
    pub account: AccountId,
    /// Which instrument.
    pub instrument: InstrumentId,
    /// The order as it was after this execution; for funding an empty one.
    pub order: Option<OrderRecord>,
    /// Direction.
    pub side: Side,
    /// Price; for funding the mark price.
    pub px: Ticks,
    /// Quantity; for funding the size of the position.
    pub qty: Lots,
    /// Value.
    pub value: Money,
    /// Fee or funding paid (negative: received).
    pub fee: Money,
    /// The rate of it.
    pub fee_rate: Rate,
    /// Profit realised, before the fee.
    pub realised: Money,
    /// How much closed an open position.
    pub closed: Lots,
    /// Whether the order rested.
    pub is_maker: bool,
    /// Mark price at the time.
    pub mark: Ticks,
    /// When.
    pub at: Nanos,
}

impl Execution {
    /// Returns the engine's view of this execution, where no wire format is in between.
    pub fn event(&self, recv: Nanos) -> crate::types::Event<'static> {
        match self.fill(recv) {
            Some(fill) => crate::types::Event::Fill(fill),
            None => crate::types::Event::Funding(crate::types::Funding {
                meta: Meta { instrument: self.instrument, recv, venue_ts: self.at, ..Meta::default() },
                exec_id: u128::from(self.no),
                paid: self.fee,
                rate: self.fee_rate,
                is_query: false,
            }),
        }
    }

    /// Returns the engine's view of a trade; `None` for funding.
    pub fn fill(&self, recv: Nanos) -> Option<crate::types::Fill> {
        let order = self.order?;
        Some(crate::types::Fill {
            meta: Meta { instrument: self.instrument, recv, venue_ts: self.at, ..Meta::default() },
            client_id: order.link.client_id().unwrap_or(ClientOrderId(0)),
            exec_id: u128::from(self.no),
            side: self.side,
            is_maker: self.is_maker,
            px: self.px,
            qty: self.qty,
            fee: self.fee,
            is_fee_final: true,
            is_query: false,
            venue_order_id: u128::from(order.no.0),
        })
    }
}

/// What happened at the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VenueEvent {
    /// An order changed; this is its state then.
    Order(OrderRecord),
    /// An account's order was executed, or it paid funding.
    Execution(Execution),
    /// A public trade between orders of this venue. A captured feed's trades are not told again.
    Trade {
        /// Which instrument.
        instrument: InstrumentId,
        /// Price.
        px: Ticks,
        /// Quantity.
        qty: Lots,
        /// The aggressor's direction.
        taker: Side,
        /// When.
        at: Nanos,
    },
}

/// Bounds of a venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VenueLimits {
    /// Open orders per account and instrument; Bybit's number is 500.
    pub open_orders_max: usize,
    /// Stop orders that wait, per account and instrument; Bybit's number is 10.
    pub stops_max: usize,
    /// Closed orders remembered, all accounts together.
    pub closed_orders_max: usize,
    /// Executions remembered, all accounts together.
    pub executions_max: usize,
    /// How far a market order may slip, in hundredths of a percent.
    pub slippage_e4: i64,
    /// Share of the value of its positions below which an account's equity may not fall, or they are taken over; `None`: nobody is
    /// liquidated.
    pub maintenance: Option<Rate>,
}

impl VenueLimits {
    /// For simulations, in which nobody asks for what is over: a thousand closed orders and executions, which stay in the cache.
    pub fn simulation() -> Self {
        Self { closed_orders_max: 1_000, executions_max: 1_000, ..Self::default() }
    }
}

impl Default for VenueLimits {
    fn default() -> Self {
        Self {
            open_orders_max: 500,
            stops_max: 10,
            closed_orders_max: 20_000,
            executions_max: 20_000,
            slippage_e4: 500,
            maintenance: None,
        }
    }
}
