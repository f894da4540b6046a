//! The pure state machine: events in, commands out.
//!
//! No I/O, no clock, no randomness, no allocation after construction: the same events give the same commands on any
//! machine at any speed. Live trading, replay, bench and tests differ only in what feeds [`Engine::on_event`] and in what
//! takes the commands. Latency stamps go through a [`Probe`], which does nothing in a replay, and enter no decision.
//!
//! ```text
//! event ─▶ book · certificate ─▶ signals ─▶ strategy ─▶ wishes ─▶ quoter ─▶ risk ─▶ order table ─▶ command
//!      └─▶ order table ─▶ portfolio (position, cost, fees) ─▶ exposure
//! ```

mod account;
#[cfg(test)]
mod account_tests;
#[cfg(test)]
mod currency_tests;
#[cfg(test)]
mod entry_tests;
mod hedge;
#[cfg(test)]
mod hedge_tests;
mod instrument;
mod ledger;
mod permit;
mod portfolio;
mod protect;
mod quoter;
mod report;
mod risks;
#[cfg(test)]
mod stop_tests;
mod stops;
#[cfg(test)]
mod tests;

pub use account::{AccountCounts, Foreign, ReconcileConfig};
pub use hedge::{HedgeReport, HeldReport};
pub(crate) use ledger::Ledger;
pub use portfolio::{Holding, PnlSplit};
pub use report::{BookReport, CoreStatus, CurrencyReport, EngineReport, PositionReport};
pub use risks::CurrencyLimits;
pub use stops::{StopConfig, StopCounts, StopReport};

use account::Account;
use instrument::Instrument;
use protect::Protection;
use risks::Risks;
use stops::Waiting;

use crate::book::Touch;
use crate::entry::{Entry, EntryConfig, Means};
use crate::order::{Estimates, ExecIds, News, Order, OrderState, OrderTable};
use crate::risk::{
    BreakerConfig, BreakerLevel, HedgeConfig, Hedger, RateBudget, RateLimits, Refusal, Request, Risk, RiskLimits, Spend,
};
use crate::signal::SignalConfig;
use crate::strategy::{StopWish, Strategy, View, Wishes};
use crate::types::{
    Ack, Balance, BoardSlot, Book, BookState, BookStatus, ClientOrderId, CommandSink, CommandStamps, Control, Currency,
    Event, Fill, InstrumentId, InstrumentTable, Meta, Money, Nanos, Op, Reject, RejectKind, SettleId, Side, Signal,
    Ticker, Ticks, TimeInForce, Top, Trade,
};

/// Every capacity of the engine, fixed at start-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Prices in the dense window of one side of a book. 16,384 ticks hold nearly every change of the captured feeds and
    /// take 130 kB.
    pub window_ticks: usize,
    /// Levels of one side outside the window. The deepest captured book holds 5,400 levels a side.
    pub far_levels_max: usize,
    /// Orders that are not settled, all instruments together.
    pub orders_max: usize,
    /// Executions remembered against repetition.
    pub exec_ids_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { window_ticks: 16_384, far_levels_max: 16_384, orders_max: 1024, exec_ids_max: 65_536 }
    }
}

/// Everything that the engine is told once.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// Capacities.
    pub limits: Limits,
    /// The main settlement currency: what `risk`, `breakers` and `entry` are in.
    pub currency: Currency,
    /// Risk limits.
    pub risk: RiskLimits,
    /// Limits in other settlement currencies. Nothing is traded in one that is neither here nor the main one.
    pub currencies: Vec<CurrencyLimits>,
    /// Breakers.
    pub breakers: BreakerConfig,
    /// What is asked of entries.
    pub entry: EntryConfig,
    /// How exposures are held with other instruments, if they are.
    pub hedge: Option<HedgeConfig>,
    /// The stop order that protects each position at the venue, if one is to.
    pub stops: Option<StopConfig>,
    /// The venue's rate limits.
    pub rates: RateLimits,
    /// Time constants of the signals.
    pub signals: SignalConfig,
    /// How the account is kept true.
    pub reconcile: ReconcileConfig,
    /// A request unanswered for so long makes its order `Unknown`, in nanoseconds.
    pub answer_within_ns: u64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            currency: Currency::USDT,
            risk: RiskLimits::default(),
            currencies: Vec::new(),
            breakers: BreakerConfig::default(),
            entry: EntryConfig::default(),
            hedge: None,
            stops: None,
            rates: RateLimits::default(),
            signals: SignalConfig::default(),
            reconcile: ReconcileConfig::default(),
            answer_within_ns: 2_000_000_000,
        }
    }
}

/// Executions that may wait for their fee or their order at a time.
const ESTIMATES_MAX: usize = 1024;

/// Takes the time inside the core for the latency report, [`NoProbe`] in replays; and may watch the decisions, to explain
/// them. Nothing that it sees or does enters a decision.
pub trait Probe {
    /// Nanoseconds since the moment `recv`, at which the event's read returned.
    fn since(&mut self, recv: Nanos) -> u32;

    /// The strategy looked at `view` and wants `wishes`.
    #[inline(always)]
    fn wished(&self, _view: &View<'_>, _wishes: &Wishes) {}

    /// Risk looked at `request`, for which the rate budget was taken already. A verdict is a refusal.
    #[inline(always)]
    fn checked(&self, _risk: &Risk, _budget: &RateBudget, _request: &Request<'_>, _verdict: Option<Refusal>) {}
}

/// Takes no time.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProbe;

impl Probe for NoProbe {
    #[inline(always)]
    fn since(&mut self, _recv: Nanos) -> u32 {
        0
    }
}

/// What happened that is neither an order nor a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EngineCounts {
    /// Events taken.
    pub events: u64,
    /// Events whose receive stamp lay before the engine's time, and were taken at the engine's time.
    pub time_clamped: u64,
    /// Book events that left the book crossed.
    pub crossed: u64,
    /// Executions booked.
    pub fills: u64,
    /// Executions that came again and were not booked.
    pub fills_repeated: u64,
    /// Funding payments booked.
    pub fundings: u64,
    /// Funding payments that came again and were not booked.
    pub fundings_repeated: u64,
    /// Executions of orders that the table does not hold; their positions were booked.
    pub fills_unmatched: u64,
    /// Order news about orders that the table does not hold.
    pub orders_unmatched: u64,
    /// Commands that left.
    pub commands: u64,
    /// Quotes that were wanted and superseded by a newer wish before the rate budget or an answer let them out.
    pub conflated: u64,
}

/// Whether and how the engine trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Not armed yet: watches.
    Watching,
    /// Trades.
    Trading,
    /// Cancels what is open and places nothing.
    Stopping,
    /// As `Stopping`, for good.
    Killed,
}

/// The trading engine: owns books, signals, strategy, risk and orders.
pub struct Engine<S, P = NoProbe> {
    config: EngineConfig,
    instruments: Box<[Instrument]>,
    orders: OrderTable,
    exec_ids: ExecIds,
    estimates: Estimates,
    account: Account,
    risk: Risks,
    entry: Entry,
    hedger: Option<Hedger>,
    protection: Protection,
    budget: RateBudget,
    strategy: S,
    probe: P,
    mode: Mode,
    now: Nanos,
    cause: Cause,
    counts: EngineCounts,
    stop_counts: StopCounts,
    stops_waiting: Waiting,
}

/// The stamps of the event at hand, for the commands that it causes.
#[derive(Clone, Copy, Debug, Default)]
struct Cause {
    recv: Nanos,
    stamps: CommandStamps,
}

impl<S: Strategy> Engine<S> {
    /// Makes an engine without stamps. See [`Engine::with_probe`].
    pub fn new(table: &InstrumentTable, config: EngineConfig, strategy: S) -> Self {
        Self::with_probe(table, config, strategy, NoProbe)
    }
}

impl<S: Strategy, P: Probe> Engine<S, P> {
    /// Makes an engine that watches until it is armed ([`Control::Arm`]). Everything it will ever need is allocated here.
    ///
    /// # Panics
    /// If a capacity in `config.limits` is not what its documentation asks for.
    pub fn with_probe(table: &InstrumentTable, config: EngineConfig, strategy: S, probe: P) -> Self {
        let hedger = hedge::hedger(config.hedge.as_ref(), table);
        let is_hedge = |id| hedger.as_ref().is_some_and(|hedger| hedger.is_hedge(id));
        Self {
            instruments: table
                .iter()
                .map(|(id, spec)| Instrument::new(spec, table.settle(id), &config, is_hedge(id)))
                .collect(),
            orders: OrderTable::new(config.limits.orders_max),
            exec_ids: ExecIds::new(config.limits.exec_ids_max),
            estimates: Estimates::new(ESTIMATES_MAX),
            account: Account::new(&config.reconcile),
            risk: Risks::new(table, &config),
            entry: Entry::new(config.entry, table.len()),
            hedger,
            protection: Protection::default(),
            budget: RateBudget::new(&config.rates),
            config,
            strategy,
            probe,
            mode: Mode::Watching,
            now: Nanos::ZERO,
            cause: Cause::default(),
            counts: EngineCounts::default(),
            stop_counts: StopCounts::default(),
            stops_waiting: Waiting::default(),
        }
    }

    /// Takes one event and gives the commands that follow from it.
    ///
    /// # Cost
    /// Proportional to the levels of a book event; otherwise constant, but for a timer, which visits every order.
    #[inline]
    pub fn on_event(&mut self, event: &Event<'_>, out: &mut impl CommandSink) {
        let meta = event.meta();
        self.counts.events += 1;
        if matches!(event, Event::Sent(_)) {
            // For the journal alone: it must not even move the time, or a run with a journal would decide otherwise.
            return;
        }
        // Engine time never runs backwards, whatever a recorder's clock did.
        self.counts.time_clamped += u64::from(meta.recv < self.now);
        self.now = self.now.max(meta.recv);
        self.cause = Cause {
            recv: meta.recv,
            stamps: CommandStamps {
                framed_ns: meta.framed_ns,
                decoded_ns: meta.decoded_ns,
                dequeued_ns: self.probe.since(meta.recv),
                decided_ns: 0,
            },
        };
        match event {
            Event::Book(book) => self.on_book(book, out),
            Event::Top(top) => self.on_top(top, out),
            Event::Trade(trade) => self.on_trade(trade, out),
            Event::Ticker(ticker) => self.on_ticker(ticker),
            Event::BookStatus(status) => self.on_book_status(status, out),
            Event::Ack(ack) => self.on_ack(ack, out),
            Event::Reject(reject) => self.on_reject(reject, out),
            Event::Order(update) => self.on_order(update, out),
            Event::Fill(fill) => self.on_fill(fill, out),
            Event::Funding(funding) => self.book_funding(funding),
            Event::Position(position) => self.on_position(position),
            Event::Balance(balance) => self.on_balance(balance),
            Event::Absent(absent) => self.on_absent(absent, out),
            Event::Pass(pass) => self.on_pass(pass, out),
            Event::Link(link) => self.on_link(link, out),
            Event::Timer(_) => self.on_timer(out),
            Event::Control(meta, Control::Withdraw) => self.set_withdrawn(meta.instrument, true, out),
            Event::Control(meta, Control::Readmit) => self.set_withdrawn(meta.instrument, false, out),
            Event::Control(_, control) => self.on_control(*control, out),
            Event::Carried(carried) => self.on_carried(carried, out),
            Event::Signal(signal) => self.on_signal(signal, out),
            Event::Sent(_) => {}
        }
    }

    fn on_book(&mut self, event: &Book<'_>, out: &mut impl CommandSink) {
        let id = event.meta.instrument;
        let Some(instrument) = self.instruments.get_mut(id.idx()) else { return };
        instrument.book.apply(event);
        let touch = instrument.book.touch();
        if touch.is_crossed() {
            self.counts.crossed += 1;
        }
        instrument.certificate.on_book(touch, event.cross_seq, event.kind);
        if instrument.fused.on_book(touch, event.cross_seq, self.now) {
            instrument.signals.on_touch(instrument.fused.touch(), self.now);
        }
        self.decide(id, out, |strategy, view, wishes| strategy.on_market(view, wishes));
    }

    fn on_top(&mut self, top: &Top, out: &mut impl CommandSink) {
        let id = top.meta.instrument;
        let Some(instrument) = self.instruments.get_mut(id.idx()) else { return };
        // A book that is not proven whole is nothing to compare with, but later states may have to equal this top.
        let is_live = instrument.state == BookState::Live;
        let book_touch = if is_live { instrument.book.touch() } else { Touch::default() };
        instrument.certificate.on_top(top, &book_touch);
        if !instrument.fused.on_top(top) {
            return;
        }
        instrument.signals.on_touch(instrument.fused.touch(), self.now);
        self.decide(id, out, |strategy, view, wishes| strategy.on_market(view, wishes));
    }

    fn on_trade(&mut self, trade: &Trade, out: &mut impl CommandSink) {
        let id = trade.meta.instrument;
        let Some(instrument) = self.instruments.get_mut(id.idx()) else { return };
        instrument.signals.on_trade(trade);
        instrument.trades += 1;
        instrument.last_px = Some(trade.px);
        self.decide(id, out, |strategy, view, wishes| strategy.on_trade(view, trade, wishes));
    }

    fn on_ticker(&mut self, ticker: &Ticker) {
        if let Some(instrument) = self.instruments.get_mut(ticker.meta.instrument.idx()) {
            instrument.ticker = Some(*ticker);
            if ticker.last_px > Ticks::ZERO {
                instrument.last_px = Some(ticker.last_px);
            }
        }
    }

    fn on_book_status(&mut self, status: &BookStatus, out: &mut impl CommandSink) {
        let id = status.meta.instrument;
        let Some(instrument) = self.instruments.get_mut(id.idx()) else { return };
        instrument.state = status.state;
        if status.state != BookState::Live {
            instrument.fused.clear();
            instrument.signals.forget_touch();
            instrument.certificate.reset();
            instrument.withdraw_wishes();
            self.work_quotes(id, out);
        }
    }

    fn on_ack(&mut self, ack: &Ack, out: &mut impl CommandSink) {
        if ack.limit_left != u32::MAX {
            let spend = match ack.op {
                Op::Create => Spend::Create,
                Op::Amend => Spend::Amend,
                Op::Cancel | Op::CancelAll => Spend::Cancel,
            };
            self.budget.at_most(spend, ack.limit_left, self.now);
        }
        self.change_order(ack.client_id, &News::Ack(ack.op, ack.request), out);
    }

    fn on_reject(&mut self, reject: &Reject, out: &mut impl CommandSink) {
        if reject.kind == RejectKind::Clock {
            self.reconcile_soon();
        }
        if matches!(reject.kind, RejectKind::RateLimited | RejectKind::Busy) {
            self.budget.slow_down(self.now);
        }
        self.change_order(reject.client_id, &News::Reject(reject.op, reject.request, reject.kind), out);
    }

    fn on_fill(&mut self, fill: &Fill, out: &mut impl CommandSink) {
        if !self.book_fill(fill) {
            return;
        }
        let id = fill.meta.instrument;
        self.mark_equity();
        // What protects comes before what trades: both spend one budget.
        self.work_stop(id, out);
        self.decide(id, out, |strategy, view, wishes| strategy.on_fill(view, fill, wishes));
        self.work_quotes(id, out);
    }

    /// A slow brain's newest value; slots that are not known mean nothing.
    fn on_signal(&mut self, signal: &Signal, out: &mut impl CommandSink) {
        match BoardSlot::from_number(signal.slot) {
            Some(BoardSlot::RiskScale) => self.risk.on_slow_scale(signal.value, self.now),
            Some(BoardSlot::GhostPermit) => self.on_permit(signal.value, out),
            None => {}
        }
    }

    fn on_balance(&mut self, balance: &Balance) {
        let adopts = self.account.adopts();
        let settle = self.instruments.get(balance.meta.instrument.idx()).map_or(SettleId::default(), |it| it.settle);
        let wallet = &mut self.risk.purse_mut(settle).wallet;
        if wallet.start.is_none() || adopts {
            wallet.start = Some(balance.wallet);
        }
        wallet.venue = Some(balance.wallet);
        self.mark_equity();
    }

    fn on_timer(&mut self, out: &mut impl CommandSink) {
        self.doubt_unanswered(self.config.answer_within_ns);
        self.mark_equity();
        // What protects comes before what trades, on all instruments: both spend one budget.
        for idx in 0..self.instruments.len() {
            self.work_stop(InstrumentId(idx as u16), out);
        }
        self.work_breakers(out);
        self.obey_permit(out);
        self.obey_slow_risk(out);
        for idx in 0..self.instruments.len() {
            let id = InstrumentId(idx as u16);
            self.decide(id, out, |strategy, view, wishes| strategy.on_timer(view, wishes));
            self.work_quotes(id, out);
        }
        if matches!(self.mode, Mode::Stopping | Mode::Killed) {
            self.cancel_everything(out);
        } else if self.instruments.iter().any(|instrument| instrument.is_withdrawn) {
            self.cancel_withdrawn(out);
        }
        self.work_closing(out);
        self.work_hedges(out);
        self.work_account(out);
    }

    fn on_control(&mut self, control: Control, out: &mut impl CommandSink) {
        self.mode = match (self.mode, control) {
            (Mode::Killed, _) | (_, Control::Kill) => Mode::Killed,
            (_, Control::Stop | Control::Flatten) => Mode::Stopping,
            (Mode::Watching | Mode::Trading, Control::Arm) => Mode::Trading,
            (Mode::Stopping, Control::Arm) => Mode::Stopping,
            // These concern one instrument.
            (mode, Control::Withdraw | Control::Readmit) => mode,
        };
        self.permit();
        if control == Control::Flatten {
            self.protection.is_closing = true;
        }
        if self.mode != Mode::Trading {
            for instrument in &mut self.instruments {
                instrument.withdraw_wishes();
            }
            self.cancel_everything(out);
            self.work_closing(out);
        }
    }

    /// Takes an instrument out of trading, or back into it.
    fn set_withdrawn(&mut self, id: InstrumentId, is_withdrawn: bool, out: &mut impl CommandSink) {
        let Some(instrument) = self.instruments.get_mut(id.idx()) else { return };
        instrument.is_withdrawn = is_withdrawn;
        if is_withdrawn {
            instrument.withdraw_wishes();
            self.work_quotes(id, out);
            self.cancel_withdrawn(out);
        }
    }

    /// Lets the strategy look at an instrument whose book can be trusted, and carries out what it wants.
    #[inline]
    fn decide(
        &mut self,
        id: InstrumentId,
        out: &mut impl CommandSink,
        ask: impl FnOnce(&mut S, &View<'_>, &mut Wishes),
    ) {
        let Some(instrument) = self.instruments.get(id.idx()) else { return };
        if self.mode != Mode::Trading || !self.account.is_synced || !instrument.is_quotable() {
            return;
        }
        let view = instrument.view(id, self.now);
        if self.entry.is_on() && !view.position.is_zero() {
            let holding = &instrument.holding;
            if self.entry.watch(&view, holding.cost, holding.wallet_change()) {
                return self.leave(id, out);
            }
        }
        let mut wishes = Wishes::default();
        ask(&mut self.strategy, &view, &mut wishes);
        let is_shrunk = instrument.level == BreakerLevel::Shrink;
        if is_shrunk {
            wishes.shrink(|qty| self.config.breakers.shrunk(BreakerLevel::Shrink, qty));
        }
        if self.entry.is_on() {
            let opening = if self.entry.counts_openings() { openings(&self.instruments, id) } else { 0 };
            // What a breaker has made smaller is not made larger again.
            let risk = self.risk.of(instrument.settle);
            let leverage_e2 = if is_shrunk { 100 } else { risk.limits().leverage_e2 };
            let means = Means { capital: risk.capital(), leverage_e2, opening };
            self.entry.shape(&view, &means, &mut wishes);
        }
        let Some(instrument) = self.instruments.get_mut(id.idx()) else { return };
        let may_grow = self.risk.is_permitted(self.now);
        if !may_grow {
            wishes.only_shrink(instrument.exposure.position, instrument.spec.min_qty);
        }
        self.probe.wished(&instrument.view(id, self.now), &wishes);
        self.counts.conflated += instrument.note_wishes(&wishes);
        if !may_grow {
            instrument.keep_what_shrinks();
        }
        let is_stop_changed = wishes.stop != StopWish::Same && instrument.guard.note_wish(wishes.stop);
        if instrument.has_work() {
            self.work_quotes(id, out);
        }
        if is_stop_changed {
            self.work_stop(id, out);
        }
        if let Some(take) = wishes.take {
            self.take(id, &take, out);
        }
    }

    /// Applies an input to an order and everything that follows from the change.
    fn change_order(&mut self, id: ClientOrderId, news: &News, out: &mut impl CommandSink) {
        let rules = self.config.reconcile.rules;
        let Some(change) = self.orders.apply(id, news, self.now, &rules) else {
            self.counts.orders_unmatched += 1;
            return;
        };
        self.after_change(&change.before, &change.after);
        if matches!(news, News::Reject(..))
            && let Some(instrument) = self.instruments.get_mut(change.after.instrument.idx())
        {
            // What was wanted has not happened: look at it again.
            instrument.mark_quote(id);
        }
        self.orders.settle(id, self.now);
        if change.after.stop.is_some() {
            return self.on_stop_news(&change, news, out);
        }
        self.work_quotes(change.after.instrument, out);
    }

    /// Moves what an order reserves from its state before to its state after.
    fn after_change(&mut self, before: &Order, after: &Order) {
        if after.stop.is_some() {
            // It only ever shrinks a position: nothing is reserved for it.
            return self.after_stop_change(before, after);
        }
        let Some(instrument) = self.instruments.get_mut(after.instrument.idx()) else { return };
        let of = |order: &Order| (order.leaves_max(), order.value_max(&instrument.spec));
        let (old, new) = (of(before), of(after));
        instrument.exposure.open[after.side as usize].replace(old, new, after.dearness(&instrument.spec));
        if after.state.is_final() && !before.state.is_final() {
            instrument.exposure.open_orders = instrument.exposure.open_orders.saturating_sub(1);
            let takes = u32::from(after.tif == TimeInForce::ImmediateOrCancel);
            instrument.open_takes = instrument.open_takes.saturating_sub(takes);
            Risk::note_ended(&mut instrument.exposure);
            instrument.forget_quote(after.id);
        }
        self.recount(after.instrument);
    }

    fn recount(&mut self, id: InstrumentId) {
        let Some(instrument) = self.instruments.get_mut(id.idx()) else { return };
        if let Some(px) = instrument.mark_px() {
            self.risk.of_mut(instrument.settle).recount(&mut instrument.exposure, &instrument.spec, px);
        }
    }

    /// Brings to the newest price and time what an order is checked against.
    fn refresh(&mut self, id: InstrumentId) {
        let Some(instrument) = self.instruments.get_mut(id.idx()) else { return };
        instrument.flow.pass(self.now);
        if let Some(px) = instrument.mark_px() {
            self.risk.of_mut(instrument.settle).recount_at(&mut instrument.exposure, &instrument.spec, px);
        }
    }

    /// Tells risk what the account is worth: wallet as booked here, and positions at the mid.
    fn mark_equity(&mut self) {
        if self.risk.are_several() {
            return self.mark_equities();
        }
        let Some(start) = self.risk.first().wallet.start else { return };
        let (mut profit, mut net) = (Money::ZERO, Money::ZERO);
        for instrument in &self.instruments {
            let holding = &instrument.holding;
            profit = profit.saturating_add(holding.profit(&instrument.spec, instrument.fused.touch()));
            net = net.saturating_add(holding.wallet_change());
        }
        let risk = &mut self.risk.first_mut().risk;
        risk.on_net(net);
        risk.on_equity(start.saturating_add(profit), self.now);
    }

    /// The same for each of several settlement currencies.
    #[cold]
    fn mark_equities(&mut self) {
        for settle in (0..self.risk.all().count()).map(|idx| SettleId(idx as u16)) {
            let (mut profit, mut net) = (Money::ZERO, Money::ZERO);
            for instrument in self.instruments.iter().filter(|it| it.settle == settle) {
                let holding = &instrument.holding;
                profit = profit.saturating_add(holding.profit(&instrument.spec, instrument.fused.touch()));
                net = net.saturating_add(holding.wallet_change());
            }
            let purse = self.risk.purse_mut(settle);
            let Some(start) = purse.wallet.start else { continue };
            purse.risk.on_net(net);
            purse.risk.on_equity(start.saturating_add(profit), self.now);
        }
    }

    /// Orders whose request was not answered for `within_ns` become unknown.
    fn doubt_unanswered(&mut self, within_ns: u64) {
        let now = self.now;
        loop {
            let overdue = self.orders.iter().find(|order| {
                matches!(order.state, OrderState::PendingNew | OrderState::PendingAmend | OrderState::PendingCancel)
                    && now.saturating_since(order.asked_at) >= within_ns
            });
            let Some(id) = overdue.map(|order| order.id) else { return };
            let rules = self.config.reconcile.rules;
            if let Some(change) = self.orders.apply(id, &News::NoAnswer, now, &rules) {
                self.after_change(&change.before, &change.after);
            }
        }
    }

    /// Whether no order may trade any more.
    ///
    /// A stop order that waits and protects a position is none: it stays for as long as that does.
    pub fn is_flat_of_orders(&self) -> bool {
        self.orders.open_count() == self.stops_left().count()
    }

    /// Whether and how it trades.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What the account is worth in the first settlement currency, as it was marked last; `None` before the venue told a balance.
    pub fn equity(&self) -> Option<Money> {
        let first = self.risk.first();
        first.wallet.start.map(|_| first.risk.equity())
    }

    /// Engine time: the newest receive stamp taken.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// What happened so far.
    pub fn counts(&self) -> &EngineCounts {
        &self.counts
    }

    /// Whoever watches.
    pub fn probe(&self) -> &P {
        &self.probe
    }

    /// What a strategy would see of an instrument now; `None` if there is none of that number.
    pub fn view(&self, id: InstrumentId) -> Option<View<'_>> {
        Some(self.instruments.get(id.idx())?.view(id, self.now))
    }

    /// What is asked of entries, and what became of them.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// How many instruments there are.
    pub fn instrument_count(&self) -> usize {
        self.instruments.len()
    }

    /// The strategy, for tests and reports.
    pub fn strategy(&self) -> &S {
        &self.strategy
    }

    /// Price of the order that works for the quote of a side.
    fn quote_px(&self, id: InstrumentId, side: Side) -> Option<Ticks> {
        let quote = self.instruments.get(id.idx())?.quotes[side as usize].order?;
        self.orders.get(quote).map(|order| order.px)
    }

    /// The price of a side at which a resting order of ours may be met: the best one, amendments under way at the better of both.
    fn own_px(&self, id: InstrumentId, side: Side) -> Option<Ticks> {
        let instrument = self.instruments.get(id.idx())?;
        if instrument.exposure.open[side as usize].qty.is_zero() {
            return None;
        }
        let best = |order: &Order| {
            let asked = order.asked.map_or(order.px, |(px, _)| px);
            if side == Side::Bid { order.px.max(asked) } else { order.px.min(asked) }
        };
        let quotes = instrument.quotes.iter().filter(|quote| quote.order.is_some()).count();
        if instrument.exposure.open_orders.saturating_sub(instrument.open_takes) as usize <= quotes {
            // The usual case: nothing rests but the two quotes.
            return instrument.quotes[side as usize].order.and_then(|order| self.orders.get(order)).map(best);
        }
        // What takes is filled or gone before anything that is sent after it arrives: nobody meets it.
        // Nor a stop order: it goes past ours.
        let rests = |o: &&Order| o.instrument == id && o.side == side && o.tif != TimeInForce::ImmediateOrCancel;
        let own = self.orders.iter().filter(|o| rests(o) && !o.state.is_final()).map(best);
        if side == Side::Bid { own.max() } else { own.min() }
    }

    /// The input has ended: checks that waited for more are made.
    pub fn finish(&mut self) {
        for instrument in &mut self.instruments {
            instrument.certificate.finish();
        }
    }

    /// An event without cause in the market: a timer or a control at `at`.
    pub fn meta_at(at: Nanos) -> Meta {
        Meta { recv: at, ..Meta::default() }
    }
}

/// Other instruments in which nothing is held and an order that may open a trade is under way.
fn openings(instruments: &[Instrument], id: InstrumentId) -> u32 {
    let opens = |(_, it): &(usize, &Instrument)| it.holding.position.is_zero() && it.exposure.open_orders > 0;
    instruments.iter().enumerate().filter(|(idx, _)| *idx != id.idx()).filter(opens).count() as u32
}
