//! From flat to flat.
//!
//! A trip begins with the fill that opens a position and ends with the one that brings it back to nothing. A fill that turns the
//! position over ends one trip and begins the next; its fee is divided between them by quantity. The result of a trip is what
//! it did to the wallet, fees and funding included, so that all trips and the one under way add up to the change of the wallet.

use crate::types::{Lots, Money, Nanos};

/// The wallet and the position after an execution.
#[derive(Clone, Copy, Debug)]
pub struct After {
    /// Position.
    pub position: Lots,
    /// Realised profit less fees and funding since the session began.
    pub wallet: Money,
}

/// A trip that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What it did to the wallet.
    pub result: Money,
    /// When its opening fill was booked.
    pub opened_at: Nanos,
}

/// Follows one instrument.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trip {
    position: Lots,
    opened_at: Nanos,
    /// The wallet's change when the last trip ended: corrections that come while flat count for the next.
    wallet: Money,
}

impl Trip {
    /// Begins with a position that was there before: its trip began now.
    pub fn begin(&mut self, position: Lots, at: Nanos) {
        (self.position, self.opened_at) = (position, at);
    }

    /// An execution of `qty` for `fee` led to `after`; gives the trip that it ended.
    pub fn on_fill(&mut self, qty: Lots, fee: Money, after: After, at: Nanos) -> Option<Ended> {
        let before = std::mem::replace(&mut self.position, after.position);
        let (was, is) = (before.get().signum(), after.position.get().signum());
        if was == is {
            return None;
        }
        let opened_at = std::mem::replace(&mut self.opened_at, at);
        if was == 0 {
            return None;
        }
        // What was opened beyond the turn pays its part of the fee in the trip that it opens.
        let opened = after.position.saturating_abs();
        let result = after.wallet.saturating_add(fee.pro_rata(opened, qty)).saturating_sub(self.wallet);
        self.wallet = self.wallet.saturating_add(result);
        Some(Ended { result, opened_at })
    }

    /// Whether one is under way.
    pub const fn is_open(&self) -> bool {
        !self.position.is_zero()
    }

    /// When the one that is under way was opened.
    pub const fn opened_at(&self) -> Nanos {
        self.opened_at
    }

    /// What the one under way did to the wallet so far, which stands at `wallet`.
    pub const fn so_far(&self, wallet: Money) -> Money {
        wallet.saturating_sub(self.wallet)
    }
}
