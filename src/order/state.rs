//! The life of an order, every transition in one place.
//!
//! ```text
//!              ask ──▶ PendingNew ──venue──▶ Live ⇄ PendingAmend
//!                          │                  │ ▲        │
//!                          │                  ▼ │        ▼
//!                          │              PendingCancel ◀┘
//!                          ▼                  │
//!      no reply ──▶ Unknown ◀─────────────────┤            Filled, Cancelled, Rejected are final
//!                          └──query──▶ Live · Filled · Cancelled · Rejected ◀──┘
//! ```
//!
//! `Unknown` is a state and not an error: the order counts at its worst until the venue tells. A request that was
//! never answered does not become a rejection by waiting: only by an answer to a question that left when the request could not
//! arrive any more ([`Order::decided_at`](super::Order::decided_at)).

use crate::types::{Op, OrderStatus, RejectKind};

/// Where an order is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum OrderState {
    /// Sent, not answered yet.
    PendingNew = 0,
    /// Working at the venue.
    Live = 1,
    /// Working; a change of price or quantity is under way.
    PendingAmend = 2,
    /// Working; its cancellation is under way.
    PendingCancel = 3,
    /// A request got no answer or an ambiguous one: it may be working, or not exist.
    Unknown = 4,
    /// Wholly filled. Final.
    Filled = 5,
    /// Cancelled, perhaps after fills. Final.
    Cancelled = 6,
    /// Never worked. Final.
    Rejected = 7,
}

impl OrderState {
    /// Whether nothing more can happen to it.
    #[inline]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Filled | Self::Cancelled | Self::Rejected)
    }
}

/// What can happen to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// We ask for a change.
    AskAmend,
    /// We ask for its end.
    AskCancel,
    /// The venue took a request for processing.
    Ack(Op),
    /// A request was refused or lost.
    Reject(Op, RejectKind),
    /// The venue tells its state.
    Told(OrderStatus),
    /// The venue tells the price and quantity that we asked for in an amendment.
    Amended,
    /// An answer shows it working, when nothing can come of the last request any more.
    Decided,
    /// A list of all open orders does not hold it.
    Unlisted,
    /// The venue does not know it, never showed it, and it cannot arrive any more.
    NeverArrived,
    /// The venue showed it once and does not know it any more, neither open nor closed.
    Vanished,
    /// Executions have filled it wholly.
    FilledWhole,
    /// The answer is overdue, or the connection that would bring it is lost.
    NoAnswer,
}

/// What an input does to a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Go there.
    To(OrderState),
    /// Stay.
    Stay,
    /// The order is final and this is old news, or repeated.
    Late,
    /// We must not do this now (only for what we ask ourselves).
    Forbidden,
}

/// The table of transitions.
#[inline]
pub(super) const fn transition(state: OrderState, input: Input) -> Transition {
    use OrderState as S;
    use RejectKind as R;
    use Transition::{Forbidden, Late, Stay, To};
    match (state, input) {
        // What we ask: only of an order that works and has nothing under way; a cancel also of one in doubt.
        (S::Live, Input::AskAmend) => To(S::PendingAmend),
        (S::Live | S::PendingAmend, Input::AskCancel) => To(S::PendingCancel),
        // The state stays Unknown: a cancel in doubt may be repeated, and its answer tells nothing of what was filled.
        (S::Unknown, Input::AskCancel) => Stay,
        (_, Input::AskAmend | Input::AskCancel) => Forbidden,

        // Old news about an order that has ended. A fill that completes a cancelled order is told by executions, which
        // the table books whatever the state.
        (S::Filled, _) => Late,
        (S::Cancelled | S::Rejected, Input::FilledWhole) => To(S::Filled),
        (S::Cancelled | S::Rejected, Input::Told(OrderStatus::Filled)) => To(S::Filled),
        (S::Cancelled | S::Rejected, _) => Late,

        // Executions outrun everything else.
        (_, Input::FilledWhole) => To(S::Filled),

        // What the venue tells of the order itself is the truth.
        (_, Input::Told(OrderStatus::Filled)) => To(S::Filled),
        (_, Input::Told(OrderStatus::Cancelled)) => To(S::Cancelled),
        (_, Input::Told(OrderStatus::Rejected)) => To(S::Rejected),
        (S::PendingNew | S::Unknown, Input::Told(_)) => To(S::Live),
        // Live news while an amendment or a cancellation is under way: that one's own answer ends it.
        (S::Live | S::PendingAmend | S::PendingCancel, Input::Told(_)) => Stay,
        (S::PendingAmend | S::Unknown, Input::Amended) => To(S::Live),
        (_, Input::Amended) => Stay,

        // Answers to questions.
        (_, Input::Decided) => To(S::Live),
        (S::Live | S::PendingAmend | S::PendingCancel, Input::Unlisted) => To(S::Unknown),
        // A new order may be on its way; one in doubt is asked for by number already.
        (S::PendingNew | S::Unknown, Input::Unlisted) => Stay,
        (_, Input::NeverArrived) => To(S::Rejected),
        (_, Input::Vanished) => To(S::Cancelled),

        // An acknowledgement says that a request is being processed. For a new order that makes it one we may cancel;
        // for the others the order stream brings the outcome.
        (S::PendingNew | S::Unknown, Input::Ack(Op::Create)) => To(S::Live),
        (_, Input::Ack(_)) => Stay,

        // Refusals. A late one is as good as a timely one.
        (
            S::PendingNew | S::Unknown,
            Input::Reject(Op::Create, R::Refused | R::RateLimited | R::NotSent | R::Clock),
        ) => To(S::Rejected),
        (
            S::PendingAmend | S::Unknown,
            Input::Reject(Op::Amend, R::Refused | R::RateLimited | R::NotSent | R::Clock),
        ) => To(S::Live),
        (S::PendingCancel, Input::Reject(Op::Cancel, R::Refused | R::RateLimited | R::NotSent | R::Clock)) => {
            To(S::Live)
        }
        // Already final at the venue: the order stream tells how; until then nothing is assumed.
        (_, Input::Reject(Op::Amend | Op::Cancel, R::Gone)) => To(S::Unknown),
        (S::PendingNew, Input::Reject(Op::Create, R::Gone | R::Unknown | R::Busy)) => To(S::Unknown),
        (S::PendingAmend, Input::Reject(Op::Amend, R::Unknown | R::Busy)) => To(S::Unknown),
        (S::PendingCancel, Input::Reject(Op::Cancel, R::Unknown | R::Busy)) => To(S::Unknown),
        // Answers to requests that are no longer under way.
        (_, Input::Reject(..)) => Stay,

        // Broken on purpose, to see that the fault scripts find it.
        #[cfg(feature = "canary")]
        (S::PendingNew, Input::NoAnswer) => To(S::Rejected),
        (S::PendingNew | S::PendingAmend | S::PendingCancel, Input::NoAnswer) => To(S::Unknown),
        (S::Live | S::Unknown, Input::NoAnswer) => Stay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [OrderState; 8] = [
        OrderState::PendingNew,
        OrderState::Live,
        OrderState::PendingAmend,
        OrderState::PendingCancel,
        OrderState::Unknown,
        OrderState::Filled,
        OrderState::Cancelled,
        OrderState::Rejected,
    ];

    fn inputs() -> Vec<Input> {
        let mut inputs = vec![
            Input::AskAmend,
            Input::AskCancel,
            Input::Amended,
            Input::Decided,
            Input::Unlisted,
            Input::NeverArrived,
            Input::Vanished,
            Input::FilledWhole,
            Input::NoAnswer,
        ];
        inputs.extend(OrderStatus::ALL.iter().map(|&status| Input::Told(status)));
        for &op in Op::ALL {
            inputs.push(Input::Ack(op));
            inputs.extend(RejectKind::ALL.iter().map(|&kind| Input::Reject(op, kind)));
        }
        inputs
    }

    #[test]
    fn nothing_revives_a_final_order() {
        for state in STATES.into_iter().filter(|s| s.is_final()) {
            for input in inputs() {
                if let Transition::To(next) = transition(state, input) {
                    assert_eq!(next, OrderState::Filled, "{state:?} + {input:?}");
                }
            }
        }
    }

    #[test]
    fn silence_never_rejects() {
        for state in STATES.into_iter().filter(|s| !s.is_final()) {
            for input in [Input::NoAnswer, Input::Reject(Op::Create, RejectKind::Unknown)] {
                if let Transition::To(next) = transition(state, input) {
                    assert_eq!(next, OrderState::Unknown, "{state:?} + {input:?}");
                }
            }
        }
    }

    #[test]
    fn what_the_venue_tells_ends_every_open_order() {
        for state in STATES.into_iter().filter(|s| !s.is_final()) {
            for (status, end) in [
                (OrderStatus::Filled, OrderState::Filled),
                (OrderStatus::Cancelled, OrderState::Cancelled),
                (OrderStatus::Rejected, OrderState::Rejected),
            ] {
                assert_eq!(transition(state, Input::Told(status)), Transition::To(end), "{state:?}");
            }
        }
    }

    #[test]
    fn only_one_request_is_under_way_besides_a_cancel() {
        for state in STATES {
            let may_amend = transition(state, Input::AskAmend) != Transition::Forbidden;
            assert_eq!(may_amend, state == OrderState::Live, "{state:?}");
        }
    }
}
