//! The exchange: instruments with their markets, accounts with their orders, and the record of what happened.
//!
//! Speaks no wire format. Requests are checked here (margin, reduce-only, limits of the instrument), matched by a [`Market`], and
//! every consequence is recorded and told as a [`VenueEvent`], in order. Closed orders and executions are kept up to a bound.
//!
//! Reduce-only orders of an account never add up to more than its position: whatever shrinks the position cancels the newest of
//! them. The one exception is one incoming order that sweeps an ordinary and a reduce-only order of the same account: reports
//! are booked when the sweep is over, so the position may turn before the rest is cancelled.

use super::{
    account::Account,
    matching::Matching,
    order::{CancelReason, Fill, Incoming, LinkId, OrderNo, OwnerId, Report, SelfTrade},
    queue::QueueModel,
};
use crate::types::{
    BookState, ClientOrderId, Command, CommandKind, Event, InstrumentId, InstrumentSpec, Level, Lots, Meta, Money,
    Nanos, OrderStatus, OrderUpdate, Product, Rate, Side, Ticks, TimeInForce,
};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// An account of a venue, dense from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AccountId(pub u32);

/// What fills an instrument's orders.
// A venue holds a handful of these; boxing one variant would only add a jump.
#[allow(clippy::large_enum_variant)]
pub enum Market {
    /// Orders of everyone, the crowd included.
    Matching(Matching),
    /// A captured feed.
    Queue(QueueModel),
}

impl Market {
    /// Returns the displayed levels of a side, best first.
    pub fn levels(&self, side: Side) -> Box<dyn Iterator<Item = Level> + '_> {
        match self {
            Self::Matching(market) => Box::new(market.levels(side)),
            Self::Queue(market) => Box::new(market.levels(side)),
        }
    }

    /// Returns the best displayed level of a side.
    pub fn best(&self, side: Side) -> Option<Level> {
        match self {
            Self::Matching(market) => market.best(side),
            Self::Queue(market) => market.best(side),
        }
    }

    /// Returns a number that grows with every change of the displayed market.
    pub fn version(&self) -> u64 {
        match self {
            Self::Matching(market) => market.version(),
            Self::Queue(market) => market.version(),
        }
    }

    fn place(&mut self, order: &Incoming, out: &mut Vec<Report>) {
        match self {
            Self::Matching(market) => market.place(order, out),
            Self::Queue(market) => market.place(order, out),
        }
    }

    fn amend(&mut self, no: OrderNo, px: Ticks, leaves: Lots, out: &mut Vec<Report>) {
        match self {
            Self::Matching(market) => market.amend(no, px, leaves, out),
            Self::Queue(market) => market.amend(no, px, leaves, out),
        }
    }

    fn cancel(&mut self, no: OrderNo, reason: CancelReason, out: &mut Vec<Report>) -> bool {
        match self {
            Self::Matching(market) => market.cancel(no, reason, out),
            Self::Queue(market) => market.cancel(no, reason, out),
        }
    }
}

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
    /// Limit price; for a market order its slippage bound.
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
}

/// One execution of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Running number.
    pub no: u64,
    /// Trade or funding.
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
    /// Returns the engine's view of this execution, where no wire format is in between; `None` for funding.
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
            leaves: order.unfilled(),
            fee: self.fee,
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
    /// Closed orders remembered, all accounts together.
    pub closed_orders_max: usize,
    /// Executions remembered, all accounts together.
    pub executions_max: usize,
    /// How far a market order may slip, in hundredths of a percent.
    pub slippage_e4: i64,
}

impl Default for VenueLimits {
    fn default() -> Self {
        Self { open_orders_max: 500, closed_orders_max: 100_000, executions_max: 100_000, slippage_e4: 500 }
    }
}

struct Listing {
    spec: InstrumentSpec,
    market: Market,
    /// From the feed; without one the middle of the market counts.
    mark: Option<Ticks>,
    last_px: Option<Ticks>,
}

/// The exchange.
pub struct Venue {
    listings: Vec<Listing>,
    accounts: Vec<Account>,
    orders: BTreeMap<OrderNo, OrderRecord>,
    by_link: HashMap<(AccountId, LinkId), OrderNo>,
    /// Open orders by account and instrument, oldest first; see [`Self::open_idx`].
    open: Vec<Vec<OrderNo>>,
    closed: VecDeque<OrderNo>,
    executions: VecDeque<Execution>,
    executions_count: u64,
    last_no: u64,
    limits: VenueLimits,
    events: Vec<VenueEvent>,
    crowd: Vec<(InstrumentId, Report)>,
    /// Reused by every request.
    reports: Vec<Report>,
    /// Likewise: accounts that the reports at hand concern.
    touched: Vec<AccountId>,
}

impl Venue {
    /// Opens an exchange with these instruments, in the order of their ids, and no accounts.
    pub fn new(listings: Vec<(InstrumentSpec, Market)>, limits: VenueLimits) -> Self {
        let listing = |(spec, market)| Listing { spec, market, mark: None, last_px: None };
        Self {
            listings: listings.into_iter().map(listing).collect(),
            accounts: Vec::new(),
            orders: BTreeMap::new(),
            by_link: HashMap::new(),
            open: Vec::new(),
            closed: VecDeque::new(),
            executions: VecDeque::new(),
            executions_count: 0,
            last_no: 0,
            limits,
            events: Vec::new(),
            crowd: Vec::new(),
            reports: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// Opens an account.
    pub fn open_account(&mut self, start: Money, leverage_e2: u32) -> AccountId {
        self.accounts.push(Account::new(start, leverage_e2, self.listings.len()));
        // Spot is paid in full.
        for (idx, listing) in self.listings.iter().enumerate() {
            if listing.spec.product == Product::Spot
                && let Some(account) = self.accounts.last_mut()
            {
                account.set_leverage(InstrumentId(idx as u16), 100);
            }
        }
        self.open.resize_with(self.accounts.len() * self.listings.len(), Vec::new);
        AccountId((self.accounts.len() - 1) as u32)
    }

    /// Takes an order. The number returned says that it was taken, not what became of it: that is in the events.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing was changed.
    pub fn place(&mut self, account: AccountId, request: &PlaceRequest, now: Nanos) -> Result<OrderNo, Refusal> {
        let instrument = request.instrument;
        let listing = self.listings.get(instrument.idx()).ok_or(Refusal::Unknown)?;
        let owner = self.accounts.get(account.0 as usize).ok_or(Refusal::Unknown)?;
        let spec = &listing.spec;
        let px = match request.kind {
            OrderKind::Limit => request.px,
            OrderKind::Market => self.slippage_bound(listing, request.side).ok_or(Refusal::NoMarket)?,
        };
        if px <= Ticks::ZERO {
            return Err(Refusal::BadPrice);
        }
        let mut qty = request.qty;
        if qty < spec.min_qty || qty > spec.max_qty || qty <= Lots::ZERO {
            return Err(Refusal::BadQty { qty, min: spec.min_qty, max: spec.max_qty });
        }
        if !request.link.is_none() && self.by_link.contains_key(&(account, request.link)) {
            return Err(Refusal::DuplicateLink);
        }
        let open = &self.open[self.open_idx(account, instrument)];
        if open.len() >= self.limits.open_orders_max {
            return Err(Refusal::TooManyOrders { max: self.limits.open_orders_max });
        }
        if request.reduce_only {
            qty = qty.min(self.reducible(account, instrument, request.side));
            if qty.is_zero() {
                return Err(Refusal::ReduceOnly);
            }
        } else {
            let value = spec.notional(px, qty);
            if value < spec.min_notional {
                return Err(Refusal::SmallNotional { value, min: spec.min_notional });
            }
            if spec.product == Product::Spot && request.side == Side::Ask {
                let promised = self.open_leaves(open, Side::Ask, false);
                if qty > owner.holding(instrument).qty.saturating_sub(promised) {
                    return Err(Refusal::Margin);
                }
            }
            if !owner.can_open(instrument, spec, request.side, value, self.equity(account)) {
                return Err(Refusal::Margin);
            }
        }
        let tif = if request.kind == OrderKind::Market { TimeInForce::ImmediateOrCancel } else { request.tif };
        let no = self.next_order_no();
        let record = OrderRecord {
            no,
            account,
            link: request.link,
            instrument,
            side: request.side,
            kind: request.kind,
            px,
            qty,
            tif,
            reduce_only: request.reduce_only,
            self_trade: request.self_trade,
            status: OrderStatus::New,
            cancelled: None,
            filled: Lots::ZERO,
            filled_value: Money::ZERO,
            fees: Money::ZERO,
            created: now,
            updated: now,
        };
        self.orders.insert(no, record);
        if !request.link.is_none() {
            self.by_link.insert((account, request.link), no);
        }
        let at = self.open_idx(account, instrument);
        self.open[at].push(no);
        let order = Incoming {
            no,
            owner: OwnerId(account.0),
            side: request.side,
            px,
            qty,
            tif,
            self_trade: request.self_trade,
        };
        self.with_market(instrument, now, |market, out| market.place(&order, out));
        Ok(no)
    }

    /// Changes an open order.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing was changed.
    pub fn amend(&mut self, account: AccountId, no: OrderNo, request: AmendRequest, now: Nanos) -> Result<(), Refusal> {
        let record = *self.open_order(account, no)?;
        let (px, qty) = (request.px.unwrap_or(record.px), request.qty.unwrap_or(record.qty));
        if px == record.px && qty == record.qty {
            return Err(Refusal::NothingToAmend);
        }
        let spec = self.listings[record.instrument.idx()].spec;
        if px <= Ticks::ZERO {
            return Err(Refusal::BadPrice);
        }
        if qty < spec.min_qty || qty > spec.max_qty {
            return Err(Refusal::BadQty { qty, min: spec.min_qty, max: spec.max_qty });
        }
        let leaves = qty.saturating_sub(record.filled);
        if leaves <= Lots::ZERO {
            return Err(Refusal::BelowFilled);
        }
        if record.reduce_only {
            let room = self.reducible(account, record.instrument, record.side).saturating_add(record.unfilled());
            if leaves > room {
                return Err(Refusal::ReduceOnly);
            }
        } else {
            if spec.notional(px, qty) < spec.min_notional {
                return Err(Refusal::SmallNotional { value: spec.notional(px, qty), min: spec.min_notional });
            }
            let more = spec.notional(px, leaves).saturating_sub(spec.notional(record.px, record.unfilled()));
            let owner = &self.accounts[account.0 as usize];
            if spec.product == Product::Spot && record.side == Side::Ask {
                let promised =
                    self.open_leaves(&self.open[self.open_idx(account, record.instrument)], Side::Ask, false);
                let others = promised.saturating_sub(record.unfilled());
                if leaves > owner.holding(record.instrument).qty.saturating_sub(others) {
                    return Err(Refusal::Margin);
                }
            }
            if more > Money::ZERO && !owner.can_open(record.instrument, &spec, record.side, more, self.equity(account))
            {
                return Err(Refusal::Margin);
            }
        }
        self.with_market(record.instrument, now, |market, out| market.amend(no, px, leaves, out));
        Ok(())
    }

    /// Cancels an open order.
    ///
    /// # Errors
    /// [`Refusal::UnknownOrder`] when it is final or was never there.
    pub fn cancel(&mut self, account: AccountId, no: OrderNo, now: Nanos) -> Result<(), Refusal> {
        let instrument = self.open_order(account, no)?.instrument;
        self.with_market(instrument, now, |market, out| {
            market.cancel(no, CancelReason::ByUser, out);
        });
        Ok(())
    }

    /// Cancels all open orders of an account, in one instrument or in all, and returns their numbers.
    pub fn cancel_all(&mut self, account: AccountId, instrument: Option<InstrumentId>, now: Nanos) -> Vec<OrderNo> {
        let mut cancelled = Vec::new();
        if account.0 as usize >= self.accounts.len() {
            return cancelled;
        }
        for idx in 0..self.listings.len() {
            let id = InstrumentId(idx as u16);
            if instrument.is_some_and(|only| only != id) {
                continue;
            }
            let nos = self.open[self.open_idx(account, id)].clone();
            self.with_market(id, now, |market, out| {
                for &no in &nos {
                    market.cancel(no, CancelReason::ByUser, out);
                }
            });
            cancelled.extend(nos);
        }
        cancelled
    }

    /// Carries out an engine's command, for replay, where no wire format is in between. Orders are known by
    /// [`LinkId::from_client_id`].
    ///
    /// # Errors
    /// [`Refusal`]; then nothing was changed.
    pub fn command(&mut self, account: AccountId, command: &Command, now: Nanos) -> Result<(), Refusal> {
        let link = LinkId::from_client_id(command.client_id);
        let place = |kind| PlaceRequest {
            instrument: command.instrument,
            side: command.side,
            kind,
            px: command.px,
            qty: command.qty,
            tif: command.tif,
            reduce_only: command.reduce_only,
            self_trade: SelfTrade::CancelTaker,
            link,
        };
        match command.kind {
            CommandKind::New => self.place(account, &place(OrderKind::Limit), now).map(drop),
            CommandKind::NewMarket => self.place(account, &place(OrderKind::Market), now).map(drop),
            CommandKind::Amend => {
                let no = self.find_link(account, link).ok_or(Refusal::UnknownOrder)?.no;
                self.amend(account, no, AmendRequest { px: Some(command.px), qty: Some(command.qty) }, now)
            }
            CommandKind::Cancel => {
                let no = self.find_link(account, link).ok_or(Refusal::UnknownOrder)?.no;
                self.cancel(account, no, now)
            }
            CommandKind::CancelAll => {
                self.cancel_all(account, None, now);
                Ok(())
            }
        }
    }

    /// Takes a captured feed's event; only instruments with a queue model listen, others ignore it.
    pub fn on_market_event(&mut self, event: &Event<'_>, now: Nanos) {
        let instrument = event.meta().instrument;
        let Some(listing) = self.listings.get_mut(instrument.idx()) else { return };
        match event {
            Event::Ticker(ticker) => {
                if ticker.mark_px > Money::ZERO {
                    let ticks = ticker.mark_px.get() / listing.spec.tick.pico();
                    listing.mark = i64::try_from(ticks).ok().map(Ticks::new);
                }
                return;
            }
            Event::BookStatus(status) => {
                // Nothing fills against a market that nobody knows; the next snapshot brings it back.
                if let (Market::Queue(queue), BookState::Stale) = (&mut listing.market, status.state) {
                    queue.clear_view();
                }
                return;
            }
            Event::Trade(trade) => listing.last_px = Some(trade.px),
            Event::Book(_) | Event::Top(_) => {}
            _ => return,
        }
        self.with_market(instrument, now, |market, out| {
            if let Market::Queue(queue) = market {
                match event {
                    Event::Book(book) => queue.on_book(book, out),
                    Event::Top(top) => queue.on_top(top, out),
                    Event::Trade(trade) => queue.on_trade(trade, out),
                    _ => {}
                }
            }
        });
    }

    /// Lets a member of the crowd place an order; its reports are in [`Self::crowd_reports`].
    pub fn crowd_place(&mut self, instrument: InstrumentId, order: &Incoming, now: Nanos) {
        debug_assert!(order.owner.is_crowd(), "accounts place through `place`, which checks them");
        self.with_market(instrument, now, |market, out| market.place(order, out));
    }

    /// Lets the crowd cancel an order.
    pub fn crowd_cancel(&mut self, instrument: InstrumentId, no: OrderNo, now: Nanos) {
        self.with_market(instrument, now, |market, out| {
            market.cancel(no, CancelReason::ByUser, out);
        });
    }

    /// Returns what happened to the crowd's orders since [`Self::clear_crowd_reports`].
    pub fn crowd_reports(&self) -> &[(InstrumentId, Report)] {
        &self.crowd
    }

    /// Forgets the crowd's reports.
    pub fn clear_crowd_reports(&mut self) {
        self.crowd.clear();
    }

    /// Gives the number for a new order.
    pub fn next_order_no(&mut self) -> OrderNo {
        self.last_no += 1;
        OrderNo(self.last_no)
    }

    /// Lets every position in an instrument pay funding at `rate` (positive: longs pay).
    pub fn fund(&mut self, instrument: InstrumentId, rate: Rate, now: Nanos) {
        let Some(mark) = self.mark(instrument) else { return };
        let spec = self.listings[instrument.idx()].spec;
        for idx in 0..self.accounts.len() {
            let qty = self.accounts[idx].holding(instrument).qty;
            if qty.is_zero() || spec.product == Product::Spot {
                continue;
            }
            let fee = self.accounts[idx].fund(instrument, &spec, mark, rate);
            self.accounts[idx].assert_invariants();
            self.push_execution(Execution {
                no: 0,
                kind: ExecutionKind::Funding,
                account: AccountId(idx as u32),
                instrument,
                order: None,
                side: if qty > Lots::ZERO { Side::Bid } else { Side::Ask },
                px: mark,
                qty: qty.saturating_abs(),
                value: spec.notional(mark, qty.saturating_abs()),
                fee,
                fee_rate: rate,
                realised: Money::ZERO,
                closed: Lots::ZERO,
                is_maker: false,
                mark,
                at: now,
            });
        }
    }

    /// Returns what happened since [`Self::clear_events`], in order.
    pub fn events(&self) -> &[VenueEvent] {
        &self.events
    }

    /// Forgets the events told so far.
    pub fn clear_events(&mut self) {
        self.events.clear();
    }

    /// Sets the leverage of an account in an instrument, in hundredths.
    ///
    /// # Errors
    /// [`Refusal::Unknown`], or [`Refusal::Margin`] when the positions and orders would no longer be carried.
    pub fn set_leverage(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        leverage_e2: u32,
    ) -> Result<(), Refusal> {
        let equity = self.accounts.get(account.0 as usize).map(|_| self.equity(account)).ok_or(Refusal::Unknown)?;
        if instrument.idx() >= self.listings.len() {
            return Err(Refusal::Unknown);
        }
        let owner = &mut self.accounts[account.0 as usize];
        let before = owner.holding(instrument).leverage_e2;
        owner.set_leverage(instrument, leverage_e2);
        if leverage_e2 < before && owner.margin() > equity {
            owner.set_leverage(instrument, before);
            return Err(Refusal::Margin);
        }
        Ok(())
    }

    /// Returns an account.
    pub fn account(&self, account: AccountId) -> Option<&Account> {
        self.accounts.get(account.0 as usize)
    }

    /// Returns how many accounts there are.
    pub fn accounts_len(&self) -> usize {
        self.accounts.len()
    }

    /// Returns the balance plus unrealised profit at mark prices.
    pub fn equity(&self, account: AccountId) -> Money {
        self.account(account).map_or(Money::ZERO, |account| {
            account.equity(|id| {
                let listing = &self.listings[id.idx()];
                // A position without any price left is valued at its entry by a mark of zero only if it cost nothing.
                (&listing.spec, self.mark(id).unwrap_or(Ticks::ZERO))
            })
        })
    }

    /// Returns how many instruments are listed.
    pub fn instruments_len(&self) -> usize {
        self.listings.len()
    }

    /// Returns an instrument's constants.
    pub fn spec(&self, instrument: InstrumentId) -> Option<&InstrumentSpec> {
        self.listings.get(instrument.idx()).map(|listing| &listing.spec)
    }

    /// Returns an instrument's market.
    pub fn market(&self, instrument: InstrumentId) -> Option<&Market> {
        self.listings.get(instrument.idx()).map(|listing| &listing.market)
    }

    /// Returns the instrument of that name.
    pub fn find(&self, symbol: &str) -> Option<InstrumentId> {
        let at = self.listings.iter().position(|listing| listing.spec.symbol.as_str() == symbol)?;
        Some(InstrumentId(at as u16))
    }

    /// Returns the mark price: the feed's, else the middle of the market, else the last trade.
    pub fn mark(&self, instrument: InstrumentId) -> Option<Ticks> {
        let listing = self.listings.get(instrument.idx())?;
        let middle = || {
            let (bid, ask) = (listing.market.best(Side::Bid)?.px.get(), listing.market.best(Side::Ask)?.px.get());
            Some(Ticks::new(bid + (ask - bid) / 2))
        };
        listing.mark.or_else(middle).or(listing.last_px)
    }

    /// Returns the price of the last trade.
    pub fn last_px(&self, instrument: InstrumentId) -> Option<Ticks> {
        self.listings.get(instrument.idx())?.last_px
    }

    /// Returns an order of an account by number, open or still remembered.
    pub fn find_order(&self, account: AccountId, no: OrderNo) -> Option<&OrderRecord> {
        self.orders.get(&no).filter(|record| record.account == account)
    }

    /// Returns an order of an account by the client's name, open or still remembered.
    pub fn find_link(&self, account: AccountId, link: LinkId) -> Option<&OrderRecord> {
        self.orders.get(self.by_link.get(&(account, link))?)
    }

    /// Returns the remembered orders of an account, newest first.
    pub fn orders(&self, account: AccountId) -> impl Iterator<Item = &OrderRecord> {
        self.orders.values().rev().filter(move |record| record.account == account)
    }

    /// Returns the open orders of an account in an instrument, oldest first.
    pub fn open_orders(&self, account: AccountId, instrument: InstrumentId) -> impl Iterator<Item = &OrderRecord> {
        let open = (account.0 as usize) < self.accounts.len() && instrument.idx() < self.listings.len();
        let nos = if open { &self.open[self.open_idx(account, instrument)][..] } else { &[] };
        nos.iter().filter_map(|no| self.orders.get(no))
    }

    /// Returns the remembered executions, newest first.
    pub fn executions(&self) -> impl Iterator<Item = &Execution> {
        self.executions.iter().rev()
    }

    /// Returns how many executions there have been.
    pub fn executions_count(&self) -> u64 {
        self.executions_count
    }

    /// Checks every account.
    ///
    /// # Panics
    /// When money or orders are not accounted for.
    pub fn assert_invariants(&self) {
        self.accounts.iter().for_each(Account::assert_invariants);
        for record in self.orders.values() {
            let open = &self.open[self.open_idx(record.account, record.instrument)];
            assert_eq!(record.is_open(), open.contains(&record.no), "an order is open in both tables or in neither");
            assert!(record.filled <= record.qty, "an order is never filled beyond its quantity");
        }
        for listing in &self.listings {
            if let Market::Matching(market) = &listing.market {
                market.assert_invariants();
            }
        }
    }

    fn open_idx(&self, account: AccountId, instrument: InstrumentId) -> usize {
        account.0 as usize * self.listings.len() + instrument.idx()
    }

    fn open_order(&self, account: AccountId, no: OrderNo) -> Result<&OrderRecord, Refusal> {
        self.find_order(account, no).filter(|record| record.is_open()).ok_or(Refusal::UnknownOrder)
    }

    fn open_leaves(&self, open: &[OrderNo], side: Side, reduce_only: bool) -> Lots {
        let mine = open.iter().filter_map(|no| self.orders.get(no));
        mine.filter(|record| record.side == side && record.reduce_only == reduce_only)
            .fold(Lots::ZERO, |sum, record| sum.saturating_add(record.unfilled()))
    }

    /// Returns how much of the position reduce-only orders of `side` may still promise to close.
    fn reducible(&self, account: AccountId, instrument: InstrumentId, side: Side) -> Lots {
        let position = self.accounts[account.0 as usize].holding(instrument).qty.get();
        let open = position.saturating_mul(-side.sign()).max(0);
        let promised = self.open_leaves(&self.open[self.open_idx(account, instrument)], side, true);
        Lots::new(open).saturating_sub(promised).max(Lots::ZERO)
    }

    fn slippage_bound(&self, listing: &Listing, side: Side) -> Option<Ticks> {
        let best = listing.market.best(side.opposite())?.px.get();
        let slip = (i128::from(best) * i128::from(self.limits.slippage_e4) / 10_000) as i64;
        Some(Ticks::new((best + slip.max(1) * side.sign()).max(1)))
    }

    fn with_market(&mut self, instrument: InstrumentId, now: Nanos, act: impl FnOnce(&mut Market, &mut Vec<Report>)) {
        let mut reports = std::mem::take(&mut self.reports);
        if let Some(listing) = self.listings.get_mut(instrument.idx()) {
            act(&mut listing.market, &mut reports);
            self.book_reports(instrument, &reports, now);
        }
        reports.clear();
        self.reports = reports;
    }

    fn book_reports(&mut self, instrument: InstrumentId, reports: &[Report], now: Nanos) {
        let mut touched = std::mem::take(&mut self.touched);
        for (at, report) in reports.iter().enumerate() {
            let owner = match *report {
                Report::Trade { px, qty, taker } => {
                    self.listings[instrument.idx()].last_px = Some(px);
                    self.events.push(VenueEvent::Trade { instrument, px, qty, taker, at: now });
                    continue;
                }
                Report::Accepted { owner, .. }
                | Report::Rejected { owner, .. }
                | Report::Cancelled { owner, .. }
                | Report::Amended { owner, .. } => owner,
                Report::Fill(fill) => fill.owner,
            };
            if owner.is_crowd() {
                self.crowd.push((instrument, *report));
                continue;
            }
            let account = AccountId(owner.0);
            if !touched.contains(&account) {
                touched.push(account);
            }
            match *report {
                Report::Accepted { no, .. } => {
                    // A post-only order that would take is never told as new.
                    let dies = matches!(
                        reports.get(at + 1),
                        Some(Report::Cancelled { no: next, reason: CancelReason::WouldTake, .. }) if *next == no
                    );
                    if !dies {
                        self.change(no, now, |_| {});
                    }
                }
                Report::Fill(fill) => self.book_fill(instrument, &fill, now),
                Report::Cancelled { no, reason, .. } => self.change(no, now, |record| {
                    record.status = OrderStatus::Cancelled;
                    record.cancelled = Some(reason);
                }),
                Report::Amended { no, px, leaves, .. } => self.change(no, now, |record| {
                    record.px = px;
                    record.qty = record.filled.saturating_add(leaves);
                }),
                // `place` and `amend` check all that a market could reject.
                Report::Rejected { .. } => debug_assert!(false, "the market rejects nothing that the venue let pass"),
                Report::Trade { .. } => {}
            }
        }
        // Only now: a later report may still fill what settling would cancel.
        for account in touched.drain(..) {
            self.settle(account, instrument, now);
        }
        self.touched = touched;
    }

    fn book_fill(&mut self, instrument: InstrumentId, fill: &Fill, now: Nanos) {
        let mark = self.mark(instrument).unwrap_or(fill.px);
        let spec = self.listings[instrument.idx()].spec;
        let Some(record) = self.orders.get_mut(&fill.no) else { return };
        let account = record.account;
        let effect =
            self.accounts[account.0 as usize].fill(instrument, &spec, fill.side, fill.px, fill.qty, fill.is_maker);
        let value = spec.notional(fill.px, fill.qty);
        record.filled = record.filled.saturating_add(fill.qty);
        record.filled_value = record.filled_value.saturating_add(value);
        record.fees = record.fees.saturating_add(effect.fee);
        record.status = if fill.leaves.is_zero() { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
        let order = Some(*record);
        self.push_execution(Execution {
            no: 0,
            kind: ExecutionKind::Trade,
            account,
            instrument,
            order,
            side: fill.side,
            px: fill.px,
            qty: fill.qty,
            value,
            fee: effect.fee,
            fee_rate: effect.fee_rate,
            realised: effect.realised,
            closed: effect.closed,
            is_maker: fill.is_maker,
            mark,
            at: now,
        });
        self.change(fill.no, now, |_| {});
    }

    fn push_execution(&mut self, mut execution: Execution) {
        self.executions_count += 1;
        execution.no = self.executions_count;
        if self.executions.len() >= self.limits.executions_max {
            self.executions.pop_front();
        }
        self.executions.push_back(execution);
        self.events.push(VenueEvent::Execution(execution));
    }

    /// Changes a record, tells so, and files it away if that ended it.
    fn change(&mut self, no: OrderNo, now: Nanos, change: impl FnOnce(&mut OrderRecord)) {
        let Some(record) = self.orders.get_mut(&no) else { return };
        change(record);
        record.updated = now;
        let record = *record;
        self.events.push(VenueEvent::Order(record));
        if record.is_open() {
            return;
        }
        let at = self.open_idx(record.account, record.instrument);
        let open = &mut self.open[at];
        if let Some(at) = open.iter().position(|open| *open == no) {
            open.remove(at);
        }
        self.closed.push_back(no);
        if self.closed.len() > self.limits.closed_orders_max
            && let Some(oldest) = self.closed.pop_front()
            && let Some(forgotten) = self.orders.remove(&oldest)
        {
            self.by_link.remove(&(forgotten.account, forgotten.link));
        }
    }

    /// Brings margin and reduce-only orders of an account in line with its position.
    fn settle(&mut self, account: AccountId, instrument: InstrumentId, now: Nanos) {
        let at = self.open_idx(account, instrument);
        let position = self.accounts[account.0 as usize].holding(instrument).qty.get();
        for side in [Side::Bid, Side::Ask] {
            let room = Lots::new(position.saturating_mul(-side.sign()).max(0));
            while self.open_leaves(&self.open[at], side, true) > room {
                let newest = self.open[at]
                    .iter()
                    .rev()
                    .copied()
                    .find(|no| self.orders.get(no).is_some_and(|record| record.side == side && record.reduce_only));
                let Some(no) = newest else { break };
                let mut reports = Vec::new();
                self.listings[instrument.idx()].market.cancel(no, CancelReason::ReduceOnly, &mut reports);
                self.change(no, now, |record| {
                    record.status = OrderStatus::Cancelled;
                    record.cancelled = Some(CancelReason::ReduceOnly);
                });
            }
        }
        let spec = self.listings[instrument.idx()].spec;
        let value = |side| {
            let mine = self.open[at].iter().filter_map(|no| self.orders.get(no));
            mine.filter(|record| record.side == side && !record.reduce_only)
                .fold(Money::ZERO, |sum, record| sum.saturating_add(spec.notional(record.px, record.unfilled())))
        };
        let (bids, asks) = (value(Side::Bid), value(Side::Ask));
        let owner = &mut self.accounts[account.0 as usize];
        owner.set_open_orders(instrument, bids, asks);
        owner.assert_invariants();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Step, Symbol, VenueId};
    use proptest::prelude::*;

    const ID: InstrumentId = InstrumentId(0);

    fn venue() -> (Venue, AccountId, AccountId) {
        let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
        let symbol = Symbol::new(b"BTCUSDT").unwrap();
        let mut spec =
            InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
        spec.min_notional = Money::ONE.saturating_mul(5);
        let mut venue = Venue::new(vec![(spec, Market::Matching(Matching::new()))], VenueLimits::default());
        let first = venue.open_account(Money::ONE.saturating_mul(10_000), 1000);
        let second = venue.open_account(Money::ONE.saturating_mul(10_000), 1000);
        (venue, first, second)
    }

    fn limit(side: Side, px: i64, qty: i64) -> PlaceRequest {
        PlaceRequest {
            instrument: ID,
            side,
            kind: OrderKind::Limit,
            px: Ticks::new(px),
            qty: Lots::new(qty),
            tif: TimeInForce::GoodTillCancel,
            reduce_only: false,
            self_trade: SelfTrade::None,
            link: LinkId::NONE,
        }
    }

    fn now() -> Nanos {
        Nanos::from_millis(1_700_000_000_000)
    }

    #[test]
    fn a_trade_reaches_both_accounts() {
        let (mut venue, first, second) = venue();
        let no = venue.place(first, &limit(Side::Bid, 600_000, 10), now()).unwrap();
        venue.place(second, &PlaceRequest { kind: OrderKind::Market, ..limit(Side::Ask, 0, 4) }, now()).unwrap();
        assert_eq!(venue.find_order(first, no).unwrap().status, OrderStatus::PartiallyFilled);
        assert_eq!(venue.account(first).unwrap().holding(ID).qty, Lots::new(4));
        assert_eq!(venue.account(second).unwrap().holding(ID).qty, Lots::new(-4));
        assert_eq!(venue.executions().count(), 2);
        venue.cancel(first, no, now()).unwrap();
        assert_eq!(venue.cancel(first, no, now()), Err(Refusal::UnknownOrder));
        venue.fund(ID, Rate::new(10_000), now());
        assert_eq!(venue.executions_count(), 4);
        venue.assert_invariants();
    }

    #[test]
    fn requests_that_break_a_rule_change_nothing() {
        let (mut venue, first, _) = venue();
        let link = LinkId::new("mine").unwrap();
        venue.place(first, &PlaceRequest { link, ..limit(Side::Bid, 600_000, 1) }, now()).unwrap();
        venue.clear_events();
        let mut refused = |request: PlaceRequest| venue.place(first, &request, now()).unwrap_err();
        assert_eq!(refused(PlaceRequest { link, ..limit(Side::Bid, 600_000, 1) }), Refusal::DuplicateLink);
        assert_eq!(refused(PlaceRequest { kind: OrderKind::Market, ..limit(Side::Bid, 0, 1) }), Refusal::NoMarket);
        assert_eq!(refused(PlaceRequest { reduce_only: true, ..limit(Side::Ask, 600_000, 1) }), Refusal::ReduceOnly);
        assert!(matches!(refused(limit(Side::Bid, 10, 1)), Refusal::SmallNotional { .. }));
        assert!(matches!(refused(limit(Side::Bid, 600_000, 0)), Refusal::BadQty { .. }));
        assert_eq!(refused(limit(Side::Bid, 0, 1)), Refusal::BadPrice);
        assert_eq!(refused(limit(Side::Bid, 600_000, 2_000)), Refusal::Margin);
        assert!(venue.events().is_empty());
    }

    #[test]
    fn reduce_only_orders_shrink_with_the_position() {
        let (mut venue, first, second) = venue();
        venue.place(second, &limit(Side::Ask, 600_000, 10), now()).unwrap();
        venue.place(first, &limit(Side::Bid, 600_000, 10), now()).unwrap();
        let reduce = PlaceRequest { reduce_only: true, ..limit(Side::Ask, 600_100, 20) };
        let no = venue.place(first, &reduce, now()).unwrap();
        assert_eq!(venue.find_order(first, no).unwrap().qty, Lots::new(10), "cut to the position");
        assert_eq!(venue.place(first, &reduce, now()), Err(Refusal::ReduceOnly));
        venue.place(second, &limit(Side::Bid, 599_900, 3), now()).unwrap();
        venue.place(first, &limit(Side::Ask, 599_900, 3), now()).unwrap();
        let record = venue.find_order(first, no).unwrap();
        assert_eq!((record.status, record.cancelled), (OrderStatus::Cancelled, Some(CancelReason::ReduceOnly)));
        venue.assert_invariants();
    }

    #[test]
    fn a_post_only_order_that_would_take_is_only_ever_cancelled() {
        let (mut venue, first, second) = venue();
        venue.place(second, &limit(Side::Ask, 600_000, 10), now()).unwrap();
        venue.clear_events();
        let request = PlaceRequest { tif: TimeInForce::PostOnly, ..limit(Side::Bid, 600_000, 1) };
        venue.place(first, &request, now()).unwrap();
        assert!(
            matches!(venue.events(), [VenueEvent::Order(record)] if record.cancelled == Some(CancelReason::WouldTake))
        );
    }

    #[test]
    fn engine_commands_find_their_orders_by_client_id() {
        let (mut venue, first, _) = venue();
        let mut command = Command {
            kind: CommandKind::New,
            side: Side::Bid,
            tif: TimeInForce::PostOnly,
            reduce_only: false,
            instrument: ID,
            client_id: ClientOrderId(0x1f),
            px: Ticks::new(600_000),
            qty: Lots::new(2),
            at: now(),
            stamps: Default::default(),
        };
        venue.command(first, &command, now()).unwrap();
        command.kind = CommandKind::Amend;
        command.px = Ticks::new(599_000);
        venue.command(first, &command, now()).unwrap();
        command.kind = CommandKind::Cancel;
        venue.command(first, &command, now()).unwrap();
        assert_eq!(venue.command(first, &command, now()), Err(Refusal::UnknownOrder));
        let VenueEvent::Order(last) = venue.events().last().unwrap() else { panic!("an order ended") };
        assert_eq!((last.update(now()).client_id, last.status), (ClientOrderId(0x1f), OrderStatus::Cancelled));
    }

    proptest! {
        #[test]
        fn money_and_orders_stay_accounted_for(
            steps in proptest::collection::vec((0u8..8, any::<bool>(), any::<bool>(), 595_000i64..605_000, 1i64..400, 1u64..20, 0u8..4), 1..80)
        ) {
            let (mut venue, first, second) = venue();
            let mut last = OrderNo(1);
            for (what, who, buy, px, qty, back, tif) in steps {
                let account = if who { first } else { second };
                let side = if buy { Side::Bid } else { Side::Ask };
                let tif = TimeInForce::from_u8(tif).unwrap();
                let no = OrderNo(last.0.saturating_sub(back));
                match what {
                    0..=4 => {
                        let request = PlaceRequest { tif, reduce_only: what == 4, ..limit(side, px / 100 * 100, qty) };
                        if let Ok(no) = venue.place(account, &request, now()) { last = no; }
                    }
                    5 => drop(venue.amend(account, no, AmendRequest { px: Some(Ticks::new(px)), qty: Some(Lots::new(qty)) }, now())),
                    6 => drop(venue.cancel(account, no, now())),
                    _ => venue.fund(ID, Rate::new(px - 600_000), now()),
                }
                venue.assert_invariants();
            }
            let sum = venue.account(first).unwrap().holding(ID).qty.get() + venue.account(second).unwrap().holding(ID).qty.get();
            prop_assert_eq!(sum, 0, "one account's purchase is the other's sale");
            venue.cancel_all(first, None, now());
            venue.cancel_all(second, None, now());
            venue.assert_invariants();
            prop_assert_eq!(venue.account(first).unwrap().holding(ID).open_bids, Money::ZERO);
        }
    }
}
