//! One order of ours: what is known of it, and what each piece of news makes of that.
//!
//! News comes on three ways that are not ordered against each other: replies to requests, the private stream, and answers
//! to questions (REST). Three rules make sense of them in any order, with any of them late, lost or repeated:
//!
//! 1. **Old news is known by its time.** A word of the venue is taken for the present state only if its own stamp is not
//!    older than the last one taken; an answer to a question only if the question left after that last word was heard. What
//!    can only grow (the filled quantity) and what can only happen once (an end) is taken whenever it comes.
//! 2. **A request ends by its reply, or by time.** The venue refuses requests that are older than the receive window. So from
//!    [`Order::decided_at`] on nothing can come of the last request any more, and an answer to a question that left later
//!    tells its outcome; also that an order does not exist. Before, absence proves nothing.
//! 3. **Replies to amendments carry the request's number**, so that a late one is not taken for the answer to the next.

use super::state::{Input, OrderState, Transition, transition};
use crate::types::{
    ClientOrderId, InstrumentId, InstrumentSpec, Lots, Money, Nanos, Op, OrderStatus, RejectKind, Side, Ticks,
    TimeInForce, TriggerBy,
};

/// What news is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LifeRules {
    /// Longest time from a decision until nothing can come of its request any more, in nanoseconds: the gateway sends none
    /// older than its limit, the venue takes none older than the receive window; and what the clocks may be apart.
    pub request_valid_ns: u64,
    /// Longest time that the venue's answers to questions may lag behind its streams and replies, in nanoseconds.
    pub answer_lag_ns: u64,
}

impl Default for LifeRules {
    /// Eight seconds (one until it is sent, five of receive window, two to spare) and one.
    fn default() -> Self {
        Self { request_valid_ns: 8_000_000_000, answer_lag_ns: 1_000_000_000 }
    }
}

/// Questions that must find nothing, one after the other, before an order that the venue had confirmed counts as gone.
const ABSENT_TIMES: u8 = 2;

/// One order of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// Our number.
    pub id: ClientOrderId,
    /// Which instrument.
    pub instrument: InstrumentId,
    /// Direction.
    pub side: Side,
    /// How long it lives.
    pub tif: TimeInForce,
    /// Only shrinks a position.
    pub reduce_only: bool,
    /// A stop order's: which price triggers it. Until then [`Self::px`] is the trigger.
    pub stop: Option<TriggerBy>,
    /// A stop order went to the market, where it may fill at any price.
    pub is_triggered: bool,
    /// Where it is in its life.
    pub state: OrderState,
    /// Limit price, as last confirmed.
    pub px: Ticks,
    /// Whole quantity, as last confirmed.
    pub qty: Lots,
    /// Price and whole quantity that an amendment under way, or in doubt, asks for.
    pub asked: Option<(Ticks, Lots)>,
    /// Filled, by executions.
    pub filled: Lots,
    /// Filled, as the venue told of the order; may run ahead of `filled` or behind it.
    pub filled_told: Lots,
    /// The venue's number, 0 until it is told.
    pub venue_order_id: u128,
    /// Counts the requests for it; the number of the last one.
    pub request: u16,
    /// Engine time of the last request.
    pub asked_at: Nanos,
    /// Engine time from which on nothing can come of the last request any more.
    pub decided_at: Nanos,
    /// Engine time of the venue's last word that was taken for the present: when it was heard, or when its question left.
    pub told_at: Nanos,
    /// The venue's own stamp of that word.
    pub told_ts: Nanos,
    /// The venue took it: by a reply, the stream, an answer or an execution.
    pub is_confirmed: bool,
    /// The order stream has spoken of it.
    pub is_heard: bool,
    /// Whether the rate budget has held its cancellation back: counted once, however often it is tried.
    pub is_cancel_held: bool,
    /// Was on the venue when the engine came, and is kept by configuration.
    pub is_adopted: bool,
    /// The least price at which capital counts it: a sale that takes may fill above its limit. Of an inverse contract, which is worth
    /// more at a lower price, the greatest: a purchase that takes may fill below it. Zero: none.
    pub px_floor: Ticks,
    /// When to ask the venue about it; [`Nanos::MAX`]: no need.
    pub query_due: Nanos,
    /// Questions in a row that found nothing.
    pub absent: u8,
}

/// What the venue tells of an order, by its stream or as an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Told {
    /// State.
    pub status: OrderStatus,
    /// Limit price.
    pub px: Ticks,
    /// Whole quantity.
    pub qty: Lots,
    /// Filled so far.
    pub filled: Lots,
    /// The venue's number.
    pub venue_order_id: u128,
    /// The venue's stamp.
    pub ts: Nanos,
    /// Engine time at which the question left, if it is an answer.
    pub asked_at: Option<Nanos>,
}

/// Everything that an order can learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum News {
    /// We ask for another price and whole quantity.
    AskAmend(Ticks, Lots),
    /// We ask for its end.
    AskCancel,
    /// Request number `.1` was taken for processing.
    Ack(Op, u16),
    /// Request number `.1` was refused or lost.
    Reject(Op, u16, RejectKind),
    /// The venue tells its state.
    Told(Told),
    /// The venue was asked at this engine time and knows no such order.
    Absent(Nanos),
    /// A list of all open orders, asked for at this engine time, does not hold it.
    Unlisted(Nanos),
    /// An execution that was not booked before.
    Filled(Lots),
    /// The answer is overdue, or the connection that would bring it is lost.
    NoAnswer,
}

impl Order {
    /// An order about to be sent at `at`.
    pub fn new(
        (instrument, side): (InstrumentId, Side),
        (px, qty): (Ticks, Lots),
        tif: TimeInForce,
        reduce_only: bool,
        at: Nanos,
        rules: &LifeRules,
    ) -> Self {
        Self {
            id: ClientOrderId(0),
            instrument,
            side,
            tif,
            reduce_only,
            stop: None,
            is_triggered: false,
            state: OrderState::PendingNew,
            px,
            qty,
            asked: None,
            filled: Lots::ZERO,
            filled_told: Lots::ZERO,
            venue_order_id: 0,
            request: 1,
            asked_at: at,
            decided_at: at.saturating_add(rules.request_valid_ns),
            told_at: Nanos::ZERO,
            told_ts: Nanos::ZERO,
            is_confirmed: false,
            is_heard: false,
            is_cancel_held: false,
            is_adopted: false,
            px_floor: Ticks::ZERO,
            query_due: Nanos::MAX,
            absent: 0,
        }
    }

    /// The price at which it may fill at its dearest, as a number that grows with the value ([`InstrumentSpec::dearness`]): its limit, or
    /// the price of an amendment under way, and [`Self::px_floor`].
    #[inline]
    pub(crate) fn dearness(&self, spec: &InstrumentSpec) -> Ticks {
        let px = self.asked.map_or(self.px, |(asked, _)| spec.dearer(asked, self.px));
        spec.dearness(spec.dearer(px, self.px_floor))
    }

    /// The greatest value that may still come of it: as [`Self::leaves_max`], confirmed and asked each at its own price.
    #[inline]
    pub fn value_max(&self, spec: &InstrumentSpec) -> Money {
        let value = |px: Ticks, qty: Lots| {
            let leaves = qty.max(self.filled_told).saturating_sub(self.filled).max(Lots::ZERO);
            spec.notional(spec.dearer(px, self.px_floor), leaves)
        };
        if self.state.is_final() {
            return value(spec.dearness(self.dearness(spec)), Lots::ZERO);
        }
        let confirmed = value(self.px, self.qty);
        self.asked.map_or(confirmed, |(px, qty)| confirmed.max(value(px, qty)))
    }

    /// What may still come of it at worst, not yet in the position. While it works: the greater of the confirmed and the
    /// asked quantity, less what was filled. After its end: executions that were told and have not arrived.
    #[inline]
    pub fn leaves_max(&self) -> Lots {
        let qty = if self.state.is_final() {
            self.filled_told
        } else {
            self.asked.map_or(self.qty, |(_, asked)| asked.max(self.qty)).max(self.filled_told)
        };
        qty.saturating_sub(self.filled).max(Lots::ZERO)
    }

    /// Whether it has ended and all of its executions have arrived.
    #[inline]
    pub fn is_settled(&self) -> bool {
        self.state.is_final() && self.filled >= self.filled_told
    }

    /// Whether the venue told of executions that have not arrived.
    #[inline]
    pub fn lacks_executions(&self) -> bool {
        self.filled < self.filled_told
    }

    /// Applies one piece of news that arrived (or was decided) at `at`, and returns what it did to the state.
    ///
    /// # Cost
    /// Constant.
    pub fn apply(&mut self, news: &News, at: Nanos, rules: &LifeRules) -> Transition {
        match *news {
            News::AskAmend(px, qty) => {
                let step = self.step(Input::AskAmend);
                if step != Transition::Forbidden {
                    self.asked = Some((px, qty));
                    self.note_request(at, rules);
                }
                step
            }
            News::AskCancel => {
                let step = self.step(Input::AskCancel);
                // Of an amendment in doubt nothing is known any better; a cancellation changes no quantity.
                if step != Transition::Forbidden {
                    self.note_request(at, rules);
                }
                step
            }
            News::Ack(op, request) => self.on_ack(op, request, at, rules),
            News::Reject(op, request, kind) => self.on_reject(op, request, kind, at, rules),
            News::Told(told) => self.on_told(&told, at, rules),
            News::Absent(asked_at) => self.on_absent(asked_at, rules),
            News::Unlisted(asked_at) => {
                if self.is_fresh(asked_at, rules) && asked_at >= self.asked_at.saturating_add(rules.answer_lag_ns) {
                    return self.step(Input::Unlisted);
                }
                Transition::Stay
            }
            News::Filled(qty) => {
                self.filled = self.filled.saturating_add(qty);
                self.is_confirmed = true;
                self.is_triggered |= self.stop.is_some();
                let is_whole = self.filled >= self.qty && self.asked.is_none_or(|(_, asked)| self.filled >= asked);
                if is_whole { self.step(Input::FilledWhole) } else { Transition::Stay }
            }
            News::NoAnswer => self.step(Input::NoAnswer),
        }
    }

    /// Moves along the table.
    fn step(&mut self, input: Input) -> Transition {
        let step = transition(self.state, input);
        if let Transition::To(next) = step {
            self.state = next;
            if next.is_final() {
                self.query_due = Nanos::MAX;
            } else if next == OrderState::Unknown {
                // Ask at the next occasion.
                self.query_due = Nanos::ZERO;
                self.absent = 0;
            } else if next == OrderState::Live {
                self.query_due = Nanos::MAX;
            }
        }
        step
    }

    fn note_request(&mut self, at: Nanos, rules: &LifeRules) {
        self.request = self.request.wrapping_add(1);
        self.asked_at = at;
        self.decided_at = at.saturating_add(rules.request_valid_ns);
    }

    fn on_ack(&mut self, op: Op, request: u16, at: Nanos, rules: &LifeRules) -> Transition {
        if request == self.request {
            self.decided_at = self.decided_at.min(at.saturating_add(rules.answer_lag_ns));
        }
        match op {
            // There is only one; the order stream may have been faster.
            Op::Create if self.is_confirmed => Transition::Stay,
            Op::Create => {
                self.is_confirmed = true;
                self.step(Input::Ack(Op::Create))
            }
            op => self.step(Input::Ack(op)),
        }
    }

    fn on_reject(&mut self, op: Op, request: u16, kind: RejectKind, at: Nanos, rules: &LifeRules) -> Transition {
        let is_last = request == self.request;
        if is_last && !matches!(kind, RejectKind::Unknown | RejectKind::Busy) {
            self.decided_at = self.decided_at.min(at.saturating_add(rules.answer_lag_ns));
        }
        match op {
            // A refusal of an order that works is of something else.
            Op::Create if self.is_confirmed => Transition::Late,
            Op::Amend if !is_last || self.asked.is_none() => Transition::Late,
            Op::Amend if kind.is_nothing_done() => {
                self.asked = None;
                self.step(Input::Reject(op, kind))
            }
            op => self.step(Input::Reject(op, kind)),
        }
    }

    /// Whether an answer to a question that left at `asked_at` is newer than everything that was heard.
    fn is_fresh(&self, asked_at: Nanos, rules: &LifeRules) -> bool {
        asked_at >= self.told_at.saturating_add(rules.answer_lag_ns)
    }

    fn on_told(&mut self, told: &Told, at: Nanos, rules: &LifeRules) -> Transition {
        self.is_confirmed = true;
        self.absent = 0;
        self.is_heard |= told.asked_at.is_none();
        let is_at_market = matches!(told.status, OrderStatus::New | OrderStatus::PartiallyFilled | OrderStatus::Filled);
        self.is_triggered |= self.stop.is_some() && is_at_market;
        self.filled_told = self.filled_told.max(told.filled);
        if told.venue_order_id != 0 {
            self.venue_order_id = told.venue_order_id;
        }
        if is_end(told.status) {
            return self.step(Input::Told(told.status));
        }
        let is_old = told.ts < self.told_ts || told.asked_at.is_some_and(|asked_at| !self.is_fresh(asked_at, rules));
        if is_old || self.state.is_final() {
            return Transition::Late;
        }
        self.told_ts = told.ts;
        self.told_at = told.asked_at.unwrap_or(at).max(self.told_at);
        (self.px, self.qty) = (told.px, told.qty);
        if self.asked == Some((told.px, told.qty)) {
            self.asked = None;
            return self.step(Input::Amended);
        }
        // From here on nothing can come of the last request: what is told is its outcome, also where the venue took
        // another price than the one asked for.
        let is_decided = told.asked_at.is_some_and(|asked_at| asked_at >= self.decided_at);
        if is_decided {
            self.asked = None;
            return self.step(Input::Decided);
        }
        // An amendment in doubt stays in doubt, whatever is told of the order before it.
        if self.asked.is_some() { Transition::Stay } else { self.step(Input::Told(told.status)) }
    }

    fn on_absent(&mut self, asked_at: Nanos, rules: &LifeRules) -> Transition {
        // It may still be on its way, or the answer may lag behind what was heard.
        if asked_at < self.decided_at || !self.is_fresh(asked_at, rules) {
            return Transition::Stay;
        }
        if !self.is_confirmed {
            return self.step(Input::NeverArrived);
        }
        self.absent = self.absent.saturating_add(1);
        if self.absent < ABSENT_TIMES { Transition::Stay } else { self.step(Input::Vanished) }
    }
}

/// Whether an order in that state can do nothing more.
const fn is_end(status: OrderStatus) -> bool {
    matches!(status, OrderStatus::Filled | OrderStatus::Cancelled | OrderStatus::Rejected)
}
