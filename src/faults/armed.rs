//! Limits held against the venue's own books.

use crate::{
    risk::{Exposure, OpenSide, Risk, RiskLimits},
    sim::{AccountId, Venue},
    types::{InstrumentId, Money, Rate, Ticks},
};

/// Breaches that are told one by one.
const TOLD_MAX: usize = 3;

/// Watches that the venue's own books never show more at stake than the capital.
pub(super) struct Watch {
    account: AccountId,
    limits: RiskLimits,
    /// What changes whenever the account's books do.
    seen: Option<(u64, Vec<(Money, Money)>)>,
    breaches: Vec<String>,
    most: Money,
}

impl Watch {
    /// Watches an account that trades under `limits`.
    pub fn new(account: AccountId, limits: RiskLimits) -> Self {
        // The next funding payment is reserved when an order is let through. Here is counted what is gone or bound.
        let limits = RiskLimits { funding_cap: Rate::ZERO, ..limits };
        Self { account, limits, seen: None, breaches: Vec::new(), most: Money::ZERO }
    }

    /// Looks at the books, if they have changed.
    pub fn look(&mut self, venue: &Venue) {
        let Some(owner) = venue.account(self.account) else { return };
        let open: Vec<_> = owner.holdings().iter().map(|held| (held.open_bids, held.open_asks)).collect();
        let seen = Some((venue.executions_count(), open));
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        let mut risk = Risk::new(self.limits);
        risk.on_net(owner.balance().saturating_sub(owner.start()));
        for idx in 0..venue.instruments_len() {
            let id = InstrumentId(idx as u16);
            let Some(spec) = venue.spec(id) else { continue };
            let held = owner.holding(id);
            let mut exposure = Exposure::default();
            (exposure.position, exposure.cost) = (held.qty, held.entry_value);
            for order in venue.open_orders(self.account, id) {
                let value = spec.notional(order.px, order.unfilled());
                let side = &mut exposure.open[order.side as usize];
                *side = OpenSide::with(*side, order.unfilled(), value, order.px);
                if value > self.limits.order_value_max {
                    self.breaches.push(format!("an order of {value}, allowed are {}", self.limits.order_value_max));
                }
            }
            risk.recount(&mut exposure, spec, venue.mark(id).unwrap_or(Ticks::ZERO));
        }
        self.most = self.most.max(risk.committed().saturating_sub(risk.capital()).saturating_add(self.limits.capital));
        if risk.committed() > risk.capital() {
            self.breaches.push(format!("{} at stake, {} are left of the capital", risk.committed(), risk.capital()));
        }
    }

    /// What was breached, the first few in words; and the most that was at stake, losses included.
    pub fn end(mut self) -> (Vec<String>, Money) {
        let more = self.breaches.len().saturating_sub(TOLD_MAX);
        self.breaches.truncate(TOLD_MAX);
        if more > 0 {
            self.breaches.push(format!("{more} more"));
        }
        (self.breaches, self.most)
    }
}
