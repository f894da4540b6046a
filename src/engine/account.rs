//! What the engine knows of its account, and how it makes sure of it: reconciliation.
//!
//! A *pass* asks the venue for everything: open orders, positions, executions, wallet. There is one at the start, one
//! after every reconnect of order entry or private stream, and one every [`ReconcileConfig::every_ns`]. Trading waits for
//! the first two to end well ([`Engine::is_synced`]). Beside the passes single orders in doubt are asked for by number.
//!
//! The streams are not trusted for being connected. What orders tell of themselves (cumulative quantities) is held against
//! the executions that came; an execution that an answer brought first must come by the stream as well; an order that was
//! acknowledged must be spoken of. Whichever fails, the stream counts as silent, and its connection is replaced.

use super::{Engine, Mode, Probe};
use crate::entry::After;
use crate::order::{Estimate, LifeRules, News, Order, OrderState, Told};
use crate::risk::Spend;
use crate::strategy::Strategy;
use crate::types::{
    Absent, ClientOrderId, Command, CommandKind, CommandSink, Fill, Funding, InstrumentId, Link, LinkKind, Lots, Nanos,
    OrderStatus, OrderUpdate, Pass, PassEnd, Position, Side, TimeInForce,
};

/// Time between two questions about the same order.
const QUERY_AGAIN_NS: u64 = 1_000_000_000;

/// Questions about single orders that leave in one timer.
const QUERIES_PER_TIMER: usize = 4;

/// A pass that has not ended by then is asked for anew.
const PASS_WITHIN_NS: u64 = 20_000_000_000;

/// Pause after a pass that failed or proved nothing, before the next.
const PASS_AGAIN_NS: u64 = 500_000_000;

/// Passes in a row that may find a position other than ours, with no execution in between, before the engine stops.
const DRIFT_PASSES: u32 = 4;

/// What to do with orders on the venue that are not ours: of another run, or placed by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Foreign {
    /// Cancel them.
    #[default]
    Cancel,
    /// Take them over: they count as exposure, and are cancelled when the engine stops.
    Adopt,
    /// Leave them alone. What they fill moves the position all the same.
    Leave,
}

impl Foreign {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Cancel, Self::Adopt, Self::Leave];

    /// The name in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Adopt => "adopt",
            Self::Leave => "leave",
        }
    }
}

/// How the engine keeps its account true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconcileConfig {
    /// Time between two passes, in nanoseconds. 0: nobody answers questions (a replay); nothing is ever asked, and a lost
    /// private stream stops trading for good.
    pub every_ns: u64,
    /// What news of orders is measured by.
    pub rules: LifeRules,
    /// Longest time in which the private stream must repeat what the venue said elsewhere, in nanoseconds.
    pub heard_within_ns: u64,
    /// What becomes of orders that are not ours.
    pub foreign: Foreign,
}

impl Default for ReconcileConfig {
    fn default() -> Self {
        Self { every_ns: 0, rules: LifeRules::default(), heard_within_ns: 2_000_000_000, foreign: Foreign::Cancel }
    }
}

/// What reconciliation found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AccountCounts {
    /// Passes that were asked for.
    pub passes: u64,
    /// Passes that ended whole.
    pub passes_whole: u64,
    /// Questions about single orders.
    pub queries: u64,
    /// Executions that an answer brought before a stream did.
    pub fills_by_query: u64,
    /// Orders whose end an answer told first.
    pub ends_by_query: u64,
    /// Connections of the private stream that were given up because it had gone silent.
    pub silent_streams: u64,
    /// Cancellations of orders that are not ours.
    pub foreign_cancels: u64,
    /// Times that trading was held: a connection lost, or nothing known for too long.
    pub holds: u64,
    /// Whether a position stayed other than ours: the engine stopped.
    pub drifted: bool,
}

/// The state of reconciliation.
#[derive(Debug)]
pub(super) struct Account {
    is_up: [bool; 2],
    up_since: Nanos,
    pub is_synced: bool,
    /// Once synced, positions are our own and no longer adopted.
    was_synced: bool,
    pass_asked: Option<Nanos>,
    pass_due: Nanos,
    whole_at: Nanos,
    drift_passes: u32,
    /// An execution that came as an answer and must come by the stream.
    unheard: Option<(u128, Nanos)>,
    /// Since when an order lacks executions.
    lacking_since: Option<Nanos>,
    /// New executions since the pass under way was asked for.
    fills_since_asked: u64,
    pub counts: AccountCounts,
}

impl Account {
    pub fn new(config: &ReconcileConfig) -> Self {
        // Without anybody to ask, the account is what the feed says.
        let is_synced = config.every_ns == 0;
        Self {
            is_up: [is_synced; 2],
            up_since: Nanos::ZERO,
            is_synced,
            was_synced: is_synced,
            pass_asked: None,
            pass_due: Nanos::ZERO,
            whole_at: Nanos::ZERO,
            drift_passes: 0,
            unheard: None,
            lacking_since: None,
            fills_since_asked: 0,
            counts: AccountCounts::default(),
        }
    }

    fn is_linked(&self) -> bool {
        self.is_up[0] && self.is_up[1]
    }

    /// Whether the private stream is up.
    pub fn has_private_stream(&self) -> bool {
        self.is_up[1]
    }

    /// Whether requests can leave.
    pub fn has_order_entry(&self) -> bool {
        self.is_up[0]
    }

    /// Whether positions are still taken over from the venue, and executions belong to what is taken over.
    pub fn adopts(&self) -> bool {
        !self.was_synced
    }
}

impl<S: Strategy, P: Probe> Engine<S, P> {
    /// Whether the engine knows its account: connections are up, and a whole pass has ended since.
    pub fn is_synced(&self) -> bool {
        self.account.is_synced
    }

    fn asks(&self) -> bool {
        self.config.reconcile.every_ns > 0
    }

    pub(super) fn on_link(&mut self, link: &Link, out: &mut impl CommandSink) {
        let idx = match link.kind {
            // The feed says itself which books are stale.
            LinkKind::Market => return,
            LinkKind::Trade => 0,
            LinkKind::Private => 1,
        };
        if link.kind == LinkKind::Trade && !link.is_up {
            // Answers under way will not come.
            self.doubt_unanswered(0);
        }
        if !self.asks() {
            if link.kind == LinkKind::Private && !link.is_up && self.mode == Mode::Trading {
                // Fills may be missed from now on, and nothing here reads them again.
                self.on_control(crate::types::Control::Stop, out);
            }
            return;
        }
        self.account.is_up[idx] = link.is_up;
        if link.is_up {
            self.account.up_since = self.now;
            self.account.pass_due = self.now;
            self.account.unheard = None;
            self.ask_pass(out);
        } else {
            self.hold(out);
        }
    }

    /// Places nothing more, and withdraws what can be withdrawn, until a pass has ended well.
    fn hold(&mut self, out: &mut impl CommandSink) {
        if std::mem::replace(&mut self.account.is_synced, false) {
            self.account.counts.holds += 1;
        }
        self.account.unheard = None;
        self.permit();
        for idx in 0..self.instruments.len() {
            self.instruments[idx].withdraw_wishes();
            self.work_quotes(InstrumentId(idx as u16), out);
        }
    }

    /// Tells risk whether orders may be placed.
    pub(super) fn permit(&mut self) {
        self.risk.set_trading(self.mode == Mode::Trading && self.account.is_synced);
    }

    fn ask_pass(&mut self, out: &mut impl CommandSink) {
        let is_under_way =
            self.account.pass_asked.is_some_and(|asked| self.now.saturating_since(asked) < PASS_WITHIN_NS);
        if is_under_way || !self.account.is_linked() {
            return;
        }
        if self.ask(CommandKind::Reconcile, InstrumentId(0), ClientOrderId(0), 0, out) {
            self.account.pass_asked = Some(self.now);
            self.account.fills_since_asked = 0;
            self.account.counts.passes += 1;
        }
    }

    /// A pass is due at once: it also compares the clocks.
    pub(super) fn reconcile_soon(&mut self) {
        self.account.pass_due = self.now;
    }

    /// Sends a question; returns whether there was room.
    fn ask(
        &mut self,
        kind: CommandKind,
        instrument: InstrumentId,
        client_id: ClientOrderId,
        venue_order_id: u128,
        out: &mut impl CommandSink,
    ) -> bool {
        let command = Command::cancel_foreign(instrument, Side::Bid, venue_order_id, self.now);
        out.push(Command { kind, client_id, ..command })
    }

    /// The timer's part: what is due is asked, what is overdue is doubted.
    pub(super) fn work_account(&mut self, out: &mut impl CommandSink) {
        if !self.asks() {
            return;
        }
        let (now, config) = (self.now, self.config.reconcile);
        if self.account.is_linked() && now >= self.account.pass_due {
            self.ask_pass(out);
        }
        self.work_queries(out);
        // Executions that orders told of and that do not come: one pass reads them again.
        let is_lacking = self.orders.iter().any(Order::lacks_executions);
        match (is_lacking, self.account.lacking_since) {
            (false, _) => self.account.lacking_since = None,
            (true, None) => self.account.lacking_since = Some(now),
            (true, Some(since)) if now.saturating_since(since) >= config.heard_within_ns => {
                self.account.lacking_since = Some(now);
                self.ask_pass(out);
            }
            _ => {}
        }
        if self.account.is_synced {
            let is_old = now.saturating_since(self.account.whole_at) > 3 * config.every_ns + PASS_WITHIN_NS;
            if is_old {
                self.hold(out);
            }
        }
        if self.account.is_up[1] && self.is_stream_silent() {
            self.account.unheard = None;
            if self.ask(CommandKind::Reconnect, InstrumentId(0), ClientOrderId(0), 0, out) {
                self.account.counts.silent_streams += 1;
            }
        }
    }

    fn work_queries(&mut self, out: &mut impl CommandSink) {
        for _ in 0..QUERIES_PER_TIMER {
            let now = self.now;
            let Some(&order) = self.orders.iter().find(|o| o.query_due <= now && !o.state.is_final()) else { return };
            // By our own number, unless the order is another's.
            let venue_order_id = if order.is_adopted { order.venue_order_id } else { 0 };
            if !self.ask(CommandKind::Query, order.instrument, order.id, venue_order_id, out) {
                return;
            }
            self.orders.note_query(order.id, now.saturating_add(QUERY_AGAIN_NS));
            self.account.counts.queries += 1;
        }
    }

    /// Whether the private stream failed to say what was heard elsewhere.
    fn is_stream_silent(&mut self) -> bool {
        let (now, within) = (self.now, self.config.reconcile.heard_within_ns);
        if self.account.unheard.is_some_and(|(_, since)| now.saturating_since(since) >= within) {
            return true;
        }
        let up_since = self.account.up_since;
        let unheard = self.orders.iter().find(|order| {
            order.is_confirmed
                && !order.is_heard
                && !order.is_adopted
                && order.asked_at > up_since
                && now.saturating_since(order.asked_at) >= within.saturating_add(self.config.answer_within_ns)
        });
        let Some(id) = unheard.map(|order| order.id) else { return false };
        // Once is enough: the next connection will not repeat what this one kept to itself.
        self.orders.note_heard(id);
        true
    }

    pub(super) fn on_order(&mut self, update: &OrderUpdate, out: &mut impl CommandSink) {
        let ours = self.orders.get(update.client_id).map(|order| order.id);
        let Some(id) = ours.or_else(|| self.orders.find_venue_id(update.venue_order_id)) else {
            self.counts.orders_unmatched += 1;
            return self.on_foreign_order(update, out);
        };
        let asked_at = (update.asked_at != Nanos::ZERO).then_some(update.asked_at);
        let told = Told {
            status: update.status,
            px: update.px,
            qty: update.qty,
            filled: update.filled,
            venue_order_id: update.venue_order_id,
            ts: update.meta.venue_ts,
            asked_at,
        };
        let was_final = self.orders.get(id).is_none_or(|order| order.state.is_final());
        self.change_order(id, &News::Told(told), out);
        let is_final = self.orders.get(id).is_none_or(|order| order.state.is_final());
        self.account.counts.ends_by_query += u64::from(asked_at.is_some() && is_final && !was_final);
    }

    pub(super) fn on_absent(&mut self, absent: &Absent, out: &mut impl CommandSink) {
        self.change_order(absent.client_id, &News::Absent(absent.asked_at), out);
    }

    /// An order that the table does not hold. Streams repeat old news, so that only lists are acted upon.
    fn on_foreign_order(&mut self, update: &OrderUpdate, out: &mut impl CommandSink) {
        let is_end = matches!(update.status, OrderStatus::Filled | OrderStatus::Cancelled | OrderStatus::Rejected);
        if is_end || update.asked_at == Nanos::ZERO || update.venue_order_id == 0 {
            return;
        }
        let instrument = update.meta.instrument;
        let is_ours = update.client_id != ClientOrderId(0);
        if is_ours && self.orders.may_precede_end(update.client_id, update.asked_at, &self.config.reconcile.rules) {
            // Its end was told while the list was on its way.
            return;
        }
        // An order of this run that the table does not hold any more is a mistake, ours or the venue's: never kept.
        match self.config.reconcile.foreign {
            // Nothing is at the market: there is nothing to be taken over.
            Foreign::Adopt if !is_ours && update.status == OrderStatus::Untriggered => {}
            Foreign::Adopt if !is_ours => self.adopt_order(update),
            Foreign::Leave if !is_ours => {}
            _ => {
                if self.account.has_order_entry() && self.budget.try_take(Spend::Cancel, self.now) {
                    let command = Command::cancel_foreign(instrument, update.side, update.venue_order_id, self.now);
                    if self.send(command, out) {
                        self.account.counts.foreign_cancels += 1;
                    } else {
                        self.budget.give_back(Spend::Cancel);
                    }
                }
            }
        }
    }

    fn adopt_order(&mut self, update: &OrderUpdate) {
        let rules = self.config.reconcile.rules;
        let place = (update.meta.instrument, update.side);
        let size = (update.px, update.qty);
        let new = Order::new(place, size, TimeInForce::GoodTillCancel, false, self.now, &rules);
        let adopted = Order {
            state: OrderState::Live,
            filled: update.filled,
            filled_told: update.filled,
            venue_order_id: update.venue_order_id,
            told_at: update.asked_at,
            told_ts: update.meta.venue_ts,
            is_confirmed: true,
            is_adopted: true,
            ..new
        };
        if let Ok(id) = self.orders.insert(adopted)
            && let Some(&after) = self.orders.get(id)
            && let Some(instrument) = self.instruments.get_mut(after.instrument.idx())
        {
            let value = after.value_max(&instrument.spec);
            let open = &mut instrument.exposure.open[after.side as usize];
            *open = open.with(after.leaves_max(), value, after.dearness(&instrument.spec));
            instrument.exposure.open_orders += 1;
            self.recount(after.instrument);
        }
    }

    pub(super) fn on_position(&mut self, position: &Position) {
        let Some(instrument) = self.instruments.get_mut(position.meta.instrument.idx()) else { return };
        instrument.venue_position = Some(position.qty);
        if position.asked_at != Nanos::ZERO {
            instrument.venue_answer = Some((position.qty, position.asked_at));
        }
        let is_taken_over = if self.config.reconcile.every_ns > 0 {
            self.account.adopts() && position.asked_at != Nanos::ZERO
        } else {
            self.mode == Mode::Watching && instrument.holding.fills == 0
        };
        if is_taken_over {
            // What the account brings into the session.
            instrument.holding.adopt(&instrument.spec, position.qty, position.entry_px);
            instrument.ledger.begin(&instrument.holding);
            instrument.note_holding();
            self.entry.begin(position.meta.instrument, position.qty, instrument.holding.cost, self.now);
            self.recount(position.meta.instrument);
        }
    }

    /// An execution: books it, unless it was booked before. Returns whether a position moved.
    pub(super) fn book_fill(&mut self, fill: &Fill) -> bool {
        let instrument_id = fill.meta.instrument;
        if !self.exec_ids.insert(fill.exec_id) {
            self.on_repeated_fill(fill);
            return false;
        }
        self.account.fills_since_asked += 1;
        if self.account.adopts() {
            // The position that is taken over at the end of the pass holds it.
            return false;
        }
        let is_first_by_query = self.asks() && fill.is_query;
        if is_first_by_query {
            self.account.counts.fills_by_query += 1;
            // Before the first pass of a connection has ended, the stream had no chance to tell it.
            if self.account.is_synced && self.account.unheard.is_none() {
                self.account.unheard = Some((fill.exec_id, self.now));
            }
        }
        let Some(instrument) = self.instruments.get_mut(instrument_id.idx()) else { return false };
        self.counts.fills += 1;
        let touch = instrument.fused.touch();
        let before = instrument.holding.position;
        instrument.ledger.book(&mut instrument.holding, &instrument.spec, fill, touch);
        instrument.note_holding();
        if self.entry.is_on() && !instrument.is_hedge {
            let after = After { position: instrument.holding.position, wallet: instrument.holding.wallet_change() };
            self.entry.on_fill(&instrument.spec, fill, before, after, self.now);
            instrument.is_leaving = self.entry.is_leaving(instrument_id) || instrument.guard.is_passed;
        }
        instrument.filled_at = self.now;
        instrument.flow.on_fill(fill.side, fill.qty, self.now);
        let order = self.order_of(fill);
        match order {
            Some(id) => self.fill_order(id, fill.qty),
            None => self.counts.fills_unmatched += 1,
        }
        if !fill.is_fee_final || order.is_none() {
            self.estimates.insert(Estimate {
                exec_id: fill.exec_id,
                fee: fill.fee,
                is_fee_open: !fill.is_fee_final,
                is_order_open: order.is_none(),
            });
        }
        self.recount(instrument_id);
        true
    }

    /// A funding payment: books it, unless it was booked before.
    pub(super) fn book_funding(&mut self, funding: &Funding) {
        if !self.exec_ids.insert(funding.exec_id) {
            self.counts.fundings_repeated += 1;
            return;
        }
        if self.account.adopts() {
            // The wallet that is taken over at the end of the pass holds it.
            return;
        }
        let Some(instrument) = self.instruments.get_mut(funding.meta.instrument.idx()) else { return };
        self.counts.fundings += 1;
        instrument.ledger.pay_funding(&mut instrument.holding, funding.paid);
        self.mark_equity();
    }

    fn order_of(&self, fill: &Fill) -> Option<ClientOrderId> {
        let ours = self.orders.get(fill.client_id).map(|order| order.id);
        ours.or_else(|| self.orders.find_venue_id(fill.venue_order_id))
    }

    fn fill_order(&mut self, id: ClientOrderId, qty: Lots) {
        let rules = self.config.reconcile.rules;
        if let Some(change) = self.orders.apply(id, &News::Filled(qty), self.now, &rules) {
            self.after_change(&change.before, &change.after);
            self.orders.settle(id, self.now);
        }
    }

    /// The same execution again: from the other stream with its true fee, after a reconnect, or as an answer.
    fn on_repeated_fill(&mut self, fill: &Fill) {
        self.counts.fills_repeated += 1;
        if !fill.is_query && self.account.unheard.is_some_and(|(exec_id, _)| exec_id == fill.exec_id) {
            self.account.unheard = None;
        }
        let Some(mut estimate) = self.estimates.take(fill.exec_id) else { return };
        if estimate.is_fee_open && fill.is_fee_final {
            estimate.is_fee_open = false;
            if let Some(instrument) = self.instruments.get_mut(fill.meta.instrument.idx()) {
                let difference = fill.fee.saturating_sub(estimate.fee);
                instrument.ledger.correct_fee(&mut instrument.holding, difference);
                self.mark_equity();
            }
        }
        if estimate.is_order_open
            && let Some(id) = self.order_of(fill)
        {
            estimate.is_order_open = false;
            self.fill_order(id, fill.qty);
        }
        if estimate.is_fee_open || (estimate.is_order_open && !fill.is_query) {
            self.estimates.insert(estimate);
        }
    }

    pub(super) fn on_pass(&mut self, pass: &Pass, out: &mut impl CommandSink) {
        self.account.pass_asked = None;
        let is_current = pass.asked_at >= self.account.up_since && self.account.is_linked();
        if pass.end == PassEnd::Broken || !is_current {
            self.account.pass_due = self.now.saturating_add(PASS_AGAIN_NS);
            return;
        }
        self.account.counts.passes_whole += 1;
        self.doubt_unlisted(pass.asked_at);
        let verdict = self.compare_positions(pass.asked_at);
        let is_good = match verdict {
            Verdict::Equal => true,
            // Something was filled meanwhile: the next pass will tell.
            Verdict::Unclear => false,
            Verdict::Other => {
                self.account.drift_passes += 1;
                if self.account.drift_passes >= DRIFT_PASSES && !self.account.counts.drifted {
                    self.account.counts.drifted = true;
                    self.on_control(crate::types::Control::Stop, out);
                }
                false
            }
        };
        if !is_good {
            self.account.pass_due = self.now.saturating_add(PASS_AGAIN_NS);
            return;
        }
        self.account.drift_passes = 0;
        self.account.whole_at = self.now;
        self.account.pass_due = self.now.saturating_add(self.config.reconcile.every_ns);
        if !self.account.is_synced && !self.orders.iter().any(Order::lacks_executions) {
            self.account.is_synced = true;
            self.account.was_synced = true;
            self.permit();
        }
    }

    /// Open orders that a whole list does not hold have ended, or are about to be known: asks for each.
    fn doubt_unlisted(&mut self, asked_at: Nanos) {
        let rules = self.config.reconcile.rules;
        for slot in 0..self.orders.capacity() {
            let Some(id) = self.orders.at_slot(slot).map(|order| order.id) else { continue };
            if let Some(change) = self.orders.apply(id, &News::Unlisted(asked_at), self.now, &rules) {
                self.after_change(&change.before, &change.after);
            }
        }
    }

    fn compare_positions(&self, asked_at: Nanos) -> Verdict {
        if self.account.adopts() {
            // Taken over a moment ago; true unless something was filled since the pass began.
            return if self.account.fills_since_asked == 0 { Verdict::Equal } else { Verdict::Unclear };
        }
        let mut verdict = Verdict::Equal;
        for instrument in &self.instruments {
            match instrument.venue_answer {
                Some((qty, at)) if at >= asked_at => {
                    if qty == instrument.holding.position {
                        continue;
                    }
                    if instrument.filled_at < at {
                        return Verdict::Other;
                    }
                    verdict = Verdict::Unclear;
                }
                _ => verdict = Verdict::Unclear,
            }
        }
        verdict
    }
}

/// What the venue's positions say of ours.
enum Verdict {
    Equal,
    Unclear,
    Other,
}
