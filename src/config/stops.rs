//! The stop orders that protect positions at the venue.

use serde::{Deserialize, Serialize};

use super::value::Bps;
use crate::engine::StopConfig;
use crate::types::{Rate, TriggerBy};

/// Which price triggers a stop order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopBy {
    /// That of the last trade.
    Last,
    /// The mark price.
    Mark,
}

table! {
    /// Stop orders at the venue; see [`StopConfig`]. Without `loss-bps` and `trail-bps` there are none.
    StopsTable {
        /// Distance of the trigger from the average entry price.
        loss_bps: Option<Bps>,
        /// Distance at which the trigger follows the best price since the position was opened, never backwards.
        trail_bps: Option<Bps>,
        /// Least change of the trigger that is worth an amendment.
        step_bps: Bps,
        /// Which price triggers: last, mark.
        by: StopBy,
    }
}

impl Default for StopsTable {
    fn default() -> Self {
        Self { loss_bps: None, trail_bps: None, step_bps: Bps(StopConfig::STEP), by: StopBy::Last }
    }
}

impl StopsTable {
    /// What the engine is told; `None`: there are no stop orders but those that a strategy asks for.
    pub(super) fn stops(&self) -> Option<StopConfig> {
        let [loss, trail] = [&self.loss_bps, &self.trail_bps].map(|bps| bps.as_ref().map(|bps| bps.0));
        let by = match self.by {
            StopBy::Last => TriggerBy::Last,
            StopBy::Mark => TriggerBy::Mark,
        };
        (loss.is_some() || trail.is_some()).then_some(StopConfig { loss, trail, step: self.step_bps.0, by })
    }

    /// # Errors
    /// The key that is out of its range, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        for (key, bps) in [("loss-bps", &self.loss_bps), ("trail-bps", &self.trail_bps)] {
            if let Some(Bps(rate)) = bps
                && !(rate > &Rate::ZERO && rate < &Rate::ONE)
            {
                let found = rate.get() as f64 / 1e4;
                return Err((key, format!("found {found}, allowed is more than 0 and less than 10000")));
            }
        }
        let step = self.step_bps.0;
        let nearest = [&self.loss_bps, &self.trail_bps].into_iter().flatten().map(|bps| bps.0).min();
        match nearest {
            Some(nearest) if step <= Rate::ZERO || step >= nearest => {
                let [found, most] = [step, nearest].map(|rate| rate.get() as f64 / 1e4);
                Err(("step-bps", format!("found {found}, allowed is more than 0 and less than the distance of {most}")))
            }
            None if step.get() != StopConfig::STEP.get() => {
                Err(("step-bps", "without loss-bps or trail-bps there is nothing to move".to_owned()))
            }
            None if self.by != StopBy::Last => {
                Err(("by", "without loss-bps or trail-bps there is nothing to trigger".to_owned()))
            }
            _ => Ok(()),
        }
    }
}
