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
    market::Market,
    open::{OpenOrders, Part},
    order::{CancelReason, Fill, Incoming, LinkId, OrderNo, OwnerId, Report, SelfTrade},
    record::{
        AccountId, AmendRequest, Execution, ExecutionKind, OrderKind, OrderRecord, PlaceRequest, Refusal, VenueEvent,
        VenueLimits,
    },
    records::{NumberHasher, OrderRecords},
};
use crate::types::{
    BookState, Command, CommandKind, Event, InstrumentId, InstrumentSpec, Lots, Money, Nanos, OrderStatus, Product,
    Rate, SettleId, Side, Ticks, TimeInForce, TriggerBy,
};
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use stops::Stops;

mod stops;

struct Listing {
    spec: InstrumentSpec,
    market: Market,
    /// From the feed; without one the middle of the market counts.
    mark: Option<Ticks>,
    /// The feed's, exactly: what stop orders wait for.
    mark_px: Option<Money>,
    last_px: Option<Ticks>,
}

/// The exchange.
pub struct Venue {
    listings: Vec<Listing>,
    accounts: Vec<Account>,
    orders: OrderRecords,
    by_link: HashMap<(AccountId, LinkId), OrderNo, BuildHasherDefault<NumberHasher>>,
    /// Open orders by account and instrument; see [`Self::open_idx`].
    open: Vec<OpenOrders>,
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
    /// Stop orders that wait.
    stops: Stops,
}

impl Venue {
    /// Opens an exchange with these instruments, in the order of their ids, and no accounts.
    pub fn new(listings: Vec<(InstrumentSpec, Market)>, limits: VenueLimits) -> Self {
        let listing = |(spec, market)| Listing { spec, market, mark: None, mark_px: None, last_px: None };
        Self {
            listings: listings.into_iter().map(listing).collect(),
            accounts: Vec::new(),
            orders: OrderRecords::default(),
            by_link: HashMap::default(),
            open: Vec::new(),
            closed: VecDeque::with_capacity(limits.closed_orders_max + 1),
            executions: VecDeque::with_capacity(limits.executions_max),
            executions_count: 0,
            last_no: 0,
            limits,
            events: Vec::new(),
            crowd: Vec::new(),
            reports: Vec::new(),
            touched: Vec::new(),
            stops: Stops::default(),
        }
    }

    /// Opens an account with `start` of each settlement currency.
    pub fn open_account(&mut self, start: Money, leverage_e2: u32) -> AccountId {
        self.open_account_with(|_| start, leverage_e2)
    }

    /// Opens an account with `start` of a settlement currency; they are counted in the order in which instruments first have them.
    pub fn open_account_with(&mut self, start: impl Fn(SettleId) -> Money, leverage_e2: u32) -> AccountId {
        let specs = self.listings.iter().map(|listing| &listing.spec);
        self.accounts.push(Account::of(specs, start, leverage_e2));
        // Spot is paid in full.
        for (idx, listing) in self.listings.iter().enumerate() {
            if listing.spec.product == Product::Spot
                && let Some(account) = self.accounts.last_mut()
            {
                account.set_leverage(InstrumentId(idx as u16), 100);
            }
        }
        self.open.resize_with(self.accounts.len() * self.listings.len(), OpenOrders::default);
        AccountId((self.accounts.len() - 1) as u32)
    }

    /// Takes an order. The number returned says that it was taken, not what became of it: that is in the events.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing was changed.
    pub fn place(&mut self, account: AccountId, request: &PlaceRequest, now: Nanos) -> Result<OrderNo, Refusal> {
        self.place_as(account, request, None, now)
    }

    /// [`Self::place`] for an order that has had its number before it comes to the market: a conditional one that was triggered.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing was changed.
    pub fn place_as(
        &mut self,
        account: AccountId,
        request: &PlaceRequest,
        no: Option<OrderNo>,
        now: Nanos,
    ) -> Result<OrderNo, Refusal> {
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
        let open = self.open[self.open_idx(account, instrument)].nos();
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
                let promised = self.promised_to_sell(open);
                if qty > owner.holding(instrument).qty.saturating_sub(promised) {
                    return Err(Refusal::Margin);
                }
            }
            if !owner.can_open(instrument, spec, request.side, value, self.equity_for(account, instrument)) {
                return Err(Refusal::Margin);
            }
        }
        let tif = if request.kind == OrderKind::Market { TimeInForce::ImmediateOrCancel } else { request.tif };
        let no = no.filter(|no| !self.orders.contains(*no)).unwrap_or_else(|| self.next_order_no());
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
        self.orders.insert(record);
        if !request.link.is_none() {
            self.by_link.insert((account, request.link), no);
        }
        let at = self.open_idx(account, instrument);
        self.open[at].push(&record, &self.listings[instrument.idx()].spec);
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
                let promised = self.promised_to_sell(self.open[self.open_idx(account, record.instrument)].nos());
                let others = promised.saturating_sub(record.unfilled());
                if leaves > owner.holding(record.instrument).qty.saturating_sub(others) {
                    return Err(Refusal::Margin);
                }
            }
            let equity = self.equity_for(account, record.instrument);
            if more > Money::ZERO && !owner.can_open(record.instrument, &spec, record.side, more, equity) {
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
            let nos = self.open[self.open_idx(account, id)].nos().to_vec();
            self.with_market(id, now, |market, out| {
                for &no in &nos {
                    market.cancel(no, CancelReason::ByUser, out);
                }
            });
            cancelled.extend(nos);
            cancelled.extend(self.cancel_stops(account, id, now));
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
            CommandKind::NewStop => {
                let by = command.trigger.unwrap_or(TriggerBy::Last);
                self.place_stop(account, &place(OrderKind::Market), by, now).map(drop)
            }
            CommandKind::Amend if command.trigger.is_some() => self.amend_stop(account, command, now),
            CommandKind::Cancel if self.is_waiting(account, link) => self.cancel_stop(account, link, now),
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
            // Here every order has a link of ours, and questions are not asked.
            CommandKind::CancelForeign | CommandKind::Query | CommandKind::Reconcile | CommandKind::Reconnect => {
                Err(Refusal::UnknownOrder)
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
                    listing.mark_px = Some(ticker.mark_px);
                    if !self.stops.is_empty() {
                        self.work_stops(instrument, TriggerBy::Mark, now);
                    }
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

    /// Liquidates an account whose equity no longer covers the maintenance margin ([`VenueLimits::maintenance`]); returns whether it did.
    ///
    /// Margin is common to all contracts that are settled in one currency. All open orders are cancelled; then position after position,
    /// the greatest first, is taken over until the equity covers what is left. A position is taken over at the price at which its maintenance margin is gone, the mark less (for a short:
    /// plus) the maintenance rate, and pays a taker's fee: what is left of the margin is lost with it, as where the venue takes over at the
    /// bankruptcy price. There is no insurance fund: a market that jumps beyond it leaves a wallet below zero.
    pub fn work_margin(&mut self, account: AccountId, now: Nanos) -> bool {
        let Some(rate) = self.limits.maintenance else { return false };
        let wallets = self.account(account).map_or(0, Account::wallets_len);
        // Each wallet carries its own; none answers for another.
        let mut was_one = false;
        for idx in 0..wallets {
            was_one |= self.work_margin_in(account, SettleId(idx as u16), rate, now);
        }
        was_one
    }

    fn work_margin_in(&mut self, account: AccountId, settle: SettleId, rate: Rate, now: Nanos) -> bool {
        if self.is_covered(account, settle, rate) {
            return false;
        }
        for idx in 0..self.listings.len() {
            let id = InstrumentId(idx as u16);
            let is_carried = self.accounts[account.0 as usize].settle(id) == settle;
            if self.listings[idx].spec.product == Product::Spot || !is_carried {
                continue;
            }
            let nos = self.open[self.open_idx(account, id)].nos().to_vec();
            self.with_market(id, now, |market, out| {
                for &no in &nos {
                    market.cancel(no, CancelReason::Liquidation, out);
                }
            });
        }
        while !self.is_covered(account, settle, rate) {
            let held = self.carried_by(account, settle);
            let Some((id, _)) = held.map(|id| (id, self.held_value(account, id))).max_by_key(|(_, value)| *value)
            else {
                break;
            };
            self.take_over(account, id, rate, now);
        }
        true
    }

    /// Value of a position of a contract at the mark, above zero for long and short.
    fn held_value(&self, account: AccountId, id: InstrumentId) -> Money {
        let listing = &self.listings[id.idx()];
        let qty = self.accounts[account.0 as usize].holding(id).qty;
        match self.mark(id) {
            Some(mark) if listing.spec.product != Product::Spot => listing.spec.notional(mark, qty.saturating_abs()),
            _ => Money::ZERO,
        }
    }

    /// The instruments that a wallet carries.
    fn carried_by(&self, account: AccountId, settle: SettleId) -> impl Iterator<Item = InstrumentId> {
        let owner = &self.accounts[account.0 as usize];
        (0..self.listings.len()).map(|idx| InstrumentId(idx as u16)).filter(move |id| owner.settle(*id) == settle)
    }

    /// Whether the equity of a settlement currency covers the maintenance margin of all its positions; without any it does.
    fn is_covered(&self, account: AccountId, settle: SettleId, rate: Rate) -> bool {
        let held = self.carried_by(account, settle).map(|id| self.held_value(account, id));
        let needed = held.fold(Money::ZERO, Money::saturating_add);
        needed == Money::ZERO || self.equity_in(account, settle) > needed.share_rounded_up(rate)
    }

    fn take_over(&mut self, account: AccountId, instrument: InstrumentId, rate: Rate, now: Nanos) {
        let Some(mark) = self.mark(instrument) else { return };
        let spec = self.listings[instrument.idx()].spec;
        let held = self.accounts[account.0 as usize].holding(instrument).qty;
        let (side, qty) = (if held > Lots::ZERO { Side::Ask } else { Side::Bid }, held.saturating_abs());
        let away = mark.share(rate).saturating_add(1);
        let px = Ticks::new(mark.saturating_add(away * side.sign()).get().max(1));
        let effect = self.accounts[account.0 as usize].fill(instrument, &spec, side, px, qty, false);
        let value = spec.notional(px, qty);
        let no = self.next_order_no();
        let order = OrderRecord {
            no,
            account,
            link: LinkId::NONE,
            instrument,
            side,
            kind: OrderKind::Market,
            px,
            qty,
            tif: TimeInForce::ImmediateOrCancel,
            reduce_only: true,
            self_trade: SelfTrade::CancelTaker,
            status: OrderStatus::Filled,
            cancelled: None,
            filled: qty,
            filled_value: value,
            fees: effect.fee,
            created: now,
            updated: now,
        };
        self.push_execution(Execution {
            no: 0,
            kind: ExecutionKind::Takeover,
            account,
            instrument,
            order: Some(order),
            side,
            px,
            qty,
            value,
            fee: effect.fee,
            fee_rate: effect.fee_rate,
            realised: effect.realised,
            closed: effect.closed,
            is_maker: false,
            mark,
            at: now,
        });
        self.settle(account, instrument, now);
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
        if account.0 as usize >= self.accounts.len() || instrument.idx() >= self.listings.len() {
            return Err(Refusal::Unknown);
        }
        let equity = self.equity_for(account, instrument);
        let owner = &mut self.accounts[account.0 as usize];
        let before = owner.holding(instrument).leverage_e2;
        owner.set_leverage(instrument, leverage_e2);
        if leverage_e2 < before && owner.margin(owner.settle(instrument)) > equity {
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

    /// Returns the balance plus unrealised profit at mark prices, of the first settlement currency.
    pub fn equity(&self, account: AccountId) -> Money {
        self.equity_in(account, SettleId::default())
    }

    /// Returns the equity that carries the positions of an instrument.
    fn equity_for(&self, account: AccountId, instrument: InstrumentId) -> Money {
        let settle = self.account(account).map_or(SettleId::default(), |account| account.settle(instrument));
        self.equity_in(account, settle)
    }

    /// Returns the balance plus unrealised profit at mark prices, of a settlement currency.
    pub fn equity_in(&self, account: AccountId, settle: SettleId) -> Money {
        self.account(account).map_or(Money::ZERO, |account| {
            account.equity(settle, |id| {
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

    /// Returns the instrument of that product and name; one name may be both a contract and a spot pair.
    pub fn find(&self, product: Product, symbol: &str) -> Option<InstrumentId> {
        let is_meant = |listing: &Listing| listing.spec.product == product && listing.spec.symbol.as_str() == symbol;
        let at = self.listings.iter().position(is_meant)?;
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
        self.orders.get(no).filter(|record| record.account == account)
    }

    /// Returns an order of an account by the client's name, open or still remembered.
    pub fn find_link(&self, account: AccountId, link: LinkId) -> Option<&OrderRecord> {
        self.orders.get(*self.by_link.get(&(account, link))?)
    }

    /// Returns the remembered orders of an account, newest first.
    pub fn orders(&self, account: AccountId) -> impl Iterator<Item = &OrderRecord> {
        self.orders.newest_first().filter(move |record| record.account == account)
    }

    /// Returns the open orders of an account in an instrument, oldest first.
    pub fn open_orders(&self, account: AccountId, instrument: InstrumentId) -> impl Iterator<Item = &OrderRecord> {
        let open = (account.0 as usize) < self.accounts.len() && instrument.idx() < self.listings.len();
        let nos = if open { self.open[self.open_idx(account, instrument)].nos() } else { &[] };
        nos.iter().filter_map(|no| self.orders.get(*no))
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
        for record in self.orders.newest_first() {
            let open = &self.open[self.open_idx(record.account, record.instrument)];
            assert_eq!(
                record.is_open(),
                open.nos().contains(&record.no),
                "an order is open in both tables or in neither"
            );
            assert!(record.filled <= record.qty, "an order is never filled beyond its quantity");
        }
        for (idx, open) in self.open.iter().enumerate() {
            let records = open.nos().iter().filter_map(|no| self.orders.get(*no));
            open.assert_sums(records, &self.listings[idx % self.listings.len()].spec);
        }
        self.assert_stops();
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

    fn promised_to_sell(&self, open: &[OrderNo]) -> Lots {
        let mine = open.iter().filter_map(|no| self.orders.get(*no));
        mine.filter(|record| record.side == Side::Ask && !record.reduce_only)
            .fold(Lots::ZERO, |sum, record| sum.saturating_add(record.unfilled()))
    }

    /// Returns how much of the position reduce-only orders of `side` may still promise to close.
    fn reducible(&self, account: AccountId, instrument: InstrumentId, side: Side) -> Lots {
        let position = self.accounts[account.0 as usize].holding(instrument).qty.get();
        let open = position.saturating_mul(-side.sign()).max(0);
        let promised = self.open[self.open_idx(account, instrument)].promised(side);
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
        if !self.stops.is_empty() {
            self.work_stops(instrument, TriggerBy::Last, now);
        }
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
        let spec = &self.listings[instrument.idx()].spec;
        let Some(account) = self.orders.get(fill.no).map(|record| record.account) else { return };
        let effect =
            self.accounts[account.0 as usize].fill(instrument, spec, fill.side, fill.px, fill.qty, fill.is_maker);
        let value = spec.notional(fill.px, fill.qty);
        let order = self.modify(fill.no, now, |record| {
            record.filled = record.filled.saturating_add(fill.qty);
            record.filled_value = record.filled_value.saturating_add(value);
            record.fees = record.fees.saturating_add(effect.fee);
            record.status = if fill.leaves.is_zero() { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
        });
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
        self.events.extend(order.map(VenueEvent::Order));
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

    /// Changes a record and tells so.
    fn change(&mut self, no: OrderNo, now: Nanos, change: impl FnOnce(&mut OrderRecord)) {
        let order = self.modify(no, now, change);
        self.events.extend(order.map(VenueEvent::Order));
    }

    /// Changes a record, and files it away if that ended it; returns it as it is then.
    fn modify(&mut self, no: OrderNo, now: Nanos, change: impl FnOnce(&mut OrderRecord)) -> Option<OrderRecord> {
        let record = self.orders.get_mut(no)?;
        let spec = &self.listings[record.instrument.idx()].spec;
        let before = Part::of(record, spec);
        change(record);
        record.updated = now;
        let record = *record;
        let after = Part::of(&record, spec);
        let at = self.open_idx(record.account, record.instrument);
        let open = &mut self.open[at];
        open.replace(&before, &after);
        if record.is_open() {
            return Some(record);
        }
        open.remove(no);
        self.closed.push_back(no);
        if self.closed.len() > self.limits.closed_orders_max
            && let Some(oldest) = self.closed.pop_front()
            && let Some(forgotten) = self.orders.remove(oldest)
            && !forgotten.link.is_none()
        {
            self.by_link.remove(&(forgotten.account, forgotten.link));
        }
        Some(record)
    }

    /// Brings margin and reduce-only orders of an account in line with its position.
    fn settle(&mut self, account: AccountId, instrument: InstrumentId, now: Nanos) {
        let at = self.open_idx(account, instrument);
        let position = self.accounts[account.0 as usize].holding(instrument).qty.get();
        for side in [Side::Bid, Side::Ask] {
            let room = Lots::new(position.saturating_mul(-side.sign()).max(0));
            while self.open[at].promised(side) > room {
                let newest = self.open[at].nos().iter().rev().filter_map(|no| self.orders.get(*no));
                let mut newest = newest.filter(|record| record.side == side && record.reduce_only);
                let Some(no) = newest.next().map(|record| record.no) else { break };
                let mut reports = Vec::new();
                self.listings[instrument.idx()].market.cancel(no, CancelReason::ReduceOnly, &mut reports);
                self.change(no, now, |record| {
                    record.status = OrderStatus::Cancelled;
                    record.cancelled = Some(CancelReason::ReduceOnly);
                });
            }
        }
        let [bids, asks] = self.open[at].values();
        let owner = &mut self.accounts[account.0 as usize];
        owner.set_open_orders(instrument, bids, asks);
        owner.assert_invariants();
    }
}

#[cfg(test)]
mod stop_tests;
#[cfg(test)]
mod tests;
