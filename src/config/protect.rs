//! Breakers, and how a run is stopped.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::value::{Bps, Duration, MoneyText, percent, share};
use crate::risk::{BreakerConfig, FairLimits};

table! {
    /// Breakers; see [`BreakerConfig`].
    BreakersTable {
        /// Loss of one instrument since the start of the run or the day that is its limit.
        position_loss_max: MoneyText,
        /// Sum of the open losses of all positions that is its limit.
        heat_max: MoneyText,
        /// Rejected orders, orders in doubt and holds of the last minute that are its limit.
        errors_max: u32,
        /// Percent of a limit at which orders become smaller.
        shrink_at_percent: u32,
        /// Percent of a limit at which only orders that shrink a position pass.
        reduce_at_percent: u32,
        /// Percent of a limit at which positions are closed.
        flatten_at_percent: u32,
        /// Percent of a limit at which trading ends until a person re-arms it.
        halt_at_percent: u32,
        /// Percent of an order's size that is left once orders become smaller.
        shrink_to_percent: u32,
        /// Time below a level before it comes down.
        cool_down: Duration,
        /// What the next run must know: the day, high-water marks, losses, levels. None: nothing is remembered.
        state_file: Option<PathBuf>,
    }
}

impl Default for BreakersTable {
    fn default() -> Self {
        let d = BreakerConfig::default();
        let [shrink, reduce, flatten, halt] = d.at.map(percent);
        Self {
            position_loss_max: MoneyText(d.position_loss_max),
            heat_max: MoneyText(d.heat_max),
            errors_max: d.errors_max,
            shrink_at_percent: shrink,
            reduce_at_percent: reduce,
            flatten_at_percent: flatten,
            halt_at_percent: halt,
            shrink_to_percent: percent(d.shrink_to),
            cool_down: Duration(d.cool_down_ns),
            state_file: None,
        }
    }
}

impl BreakersTable {
    fn at_percent(&self) -> [(&'static str, u32); 4] {
        [
            ("shrink-at-percent", self.shrink_at_percent),
            ("reduce-at-percent", self.reduce_at_percent),
            ("flatten-at-percent", self.flatten_at_percent),
            ("halt-at-percent", self.halt_at_percent),
        ]
    }

    /// What the engine is told.
    pub fn breakers(&self, stop: &StopTable) -> BreakerConfig {
        BreakerConfig {
            position_loss_max: self.position_loss_max.0,
            heat_max: self.heat_max.0,
            errors_max: self.errors_max,
            at: self.at_percent().map(|(_, percent)| share(percent)),
            shrink_to: share(self.shrink_to_percent),
            cool_down_ns: self.cool_down.0,
            slippage: stop.slippage_bps.0,
        }
    }

    /// # Errors
    /// The key that is out of its range, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        for two in self.at_percent().windows(2) {
            let [(before, least), (key, found)] = [two[0], two[1]];
            if found < least {
                return Err((key, format!("found {found}, allowed is no less than {before}, which is {least}")));
            }
        }
        if self.shrink_at_percent == 0 {
            return Err(("shrink-at-percent", "found 0, allowed are 1 and more".to_owned()));
        }
        if self.shrink_to_percent > 100 {
            return Err(("shrink-to-percent", format!("found {}, allowed are 0 to 100", self.shrink_to_percent)));
        }
        Ok(())
    }
}

table! {
    /// How a run is stopped.
    StopTable {
        /// A run stops when this file appears, and removes it once it has ended; `tercel kill` writes it. None: it does not look.
        file: Option<PathBuf>,
        /// A signal, and the end of the time, also close all positions.
        flatten: bool,
        /// Farthest distance from the touch at which positions are closed; no more than the collar.
        slippage_bps: Bps,
        /// Time for the orders to go, and for positions that are to be closed.
        within: Duration,
    }
}

impl Default for StopTable {
    fn default() -> Self {
        Self {
            file: None,
            flatten: false,
            slippage_bps: Bps(BreakerConfig::default().slippage),
            within: Duration(20_000_000_000),
        }
    }
}

table! {
    /// Fair trading; see [`FairLimits`].
    FairTable {
        /// Most requests for each execution, of a minute.
        requests_per_fill: u32,
        /// Requests of a minute below which their ratio means nothing.
        requests_from: u32,
        /// Most requests of an instrument in a second.
        requests_per_s: u32,
        /// Withdrawals after a fill of the other side that are a layer, of a minute.
        layers_max: u32,
        /// Time after a fill within which a withdrawal counts.
        layer_within: Duration,
        /// Takers of one direction in ten seconds.
        takes_max: u32,
        /// Move of the market since the first of them.
        ignition_move_bps: Bps,
    }
}

impl Default for FairTable {
    fn default() -> Self {
        let d = FairLimits::default();
        Self {
            requests_per_fill: d.requests_per_fill,
            requests_from: d.requests_from,
            requests_per_s: d.requests_per_s,
            layers_max: d.layers_max,
            layer_within: Duration(d.layer_within_ns),
            takes_max: d.takes_max,
            ignition_move_bps: Bps(d.ignition_move),
        }
    }
}

impl FairTable {
    /// What the engine is told.
    pub fn limits(&self) -> FairLimits {
        FairLimits {
            requests_per_fill: self.requests_per_fill,
            requests_from: self.requests_from,
            requests_per_s: self.requests_per_s,
            layers_max: self.layers_max,
            layer_within_ns: self.layer_within.0,
            takes_max: self.takes_max,
            ignition_move: self.ignition_move_bps.0,
        }
    }
}
