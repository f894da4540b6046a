//! Slow risk: what is measured, and how its word is obeyed.

use serde::{Deserialize, Serialize};

use super::value::{Duration, MoneyText, Ratio};
use crate::risk::SlowLimits;
use crate::runtime::TIMER_NS;
use crate::slow_risk::{SAMPLES_MIN, SlowRiskConfig};
use crate::types::Money;

table! {
    /// Slow risk; see [`SlowRiskConfig`] and [`SlowLimits`].
    SlowRiskTable {
        /// Whether it is measured and obeyed.
        enabled: bool,
        /// Time between two samples, which is also the time between two refreshes.
        sample_every: Duration,
        /// Samples of history, 100 to 10000.
        window_samples: usize,
        /// Decay of the covariance by a sample, from 0.5 up to less than 1.
        decay: Ratio,
        /// Time for which losses are limited; no less than a sample.
        var_horizon: Duration,
        /// Greatest 99 % value at risk of that time.
        var99_max: MoneyText,
        /// Greatest 99 % expected shortfall of that time.
        es99_max: MoneyText,
        /// Greatest share of the gross exposure while there is too little history, 0 to 1.
        cold_share: Ratio,
        /// Age up to which the analyst's word holds in full; no less than two samples.
        fresh_for: Duration,
        /// Age from which only orders that shrink a position pass; more than `fresh-for`.
        dead_after: Duration,
    }
}

impl Default for SlowRiskTable {
    fn default() -> Self {
        let whole = |units: i128| MoneyText(Money::new(units * Money::ONE.get()));
        Self {
            enabled: false,
            sample_every: Duration(1_000_000_000),
            window_samples: 600,
            // Of 0.94 and 0.97, which RiskMetrics uses for days and months: the first remembers 17 samples, too few for a tail.
            decay: Ratio(0.97),
            var_horizon: Duration(60_000_000_000),
            var99_max: whole(50),
            es99_max: whole(60),
            cold_share: Ratio(0.25),
            fresh_for: Duration(3_000_000_000),
            dead_after: Duration(10_000_000_000),
        }
    }
}

impl SlowRiskTable {
    /// What the analyst is told; `None` where it is switched off. `gross_max` is what its share is a share of.
    pub fn analyst(&self, gross_max: Money) -> Option<SlowRiskConfig> {
        self.enabled.then_some(SlowRiskConfig {
            sample_every_ns: self.sample_every.0,
            window: self.window_samples,
            lambda: self.decay.0,
            horizon_ns: self.var_horizon.0,
            var99_max: self.var99_max.0,
            es99_max: self.es99_max.0,
            gross_max,
            cold_share: self.cold_share.0,
        })
    }

    /// What the engine is told; `None` where it is switched off.
    pub fn limits(&self) -> Option<SlowLimits> {
        self.enabled.then_some(SlowLimits { fresh_for_ns: self.fresh_for.0, dead_after_ns: self.dead_after.0 })
    }

    /// # Errors
    /// The key that is out of its range, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let every = self.sample_every;
        if every.0 < TIMER_NS {
            return Err(("sample-every", format!("found {every}, allowed are {} and more", Duration(TIMER_NS))));
        }
        let (least, most) = (SAMPLES_MIN, 10_000);
        if !(least..=most).contains(&self.window_samples) {
            let found = self.window_samples;
            return Err(("window-samples", format!("found {found}, allowed are {least} to {most}")));
        }
        if !(0.5..1.0).contains(&self.decay.0) {
            return Err(("decay", format!("found {}, allowed are 0.5 up to less than 1", self.decay.0)));
        }
        if self.var_horizon.0 < every.0 {
            let found = self.var_horizon;
            return Err((
                "var-horizon",
                format!("found {found}, allowed is no less than sample-every, which is {every}"),
            ));
        }
        for (key, value) in [("var99-max", self.var99_max), ("es99-max", self.es99_max)] {
            if value.0 <= Money::ZERO {
                return Err((key, format!("found {}, allowed is more than 0", value.0)));
            }
        }
        if !(0.0..=1.0).contains(&self.cold_share.0) {
            return Err(("cold-share", format!("found {}, allowed is 0 to 1", self.cold_share.0)));
        }
        if self.fresh_for.0 < 2 * every.0 {
            let found = self.fresh_for;
            return Err((
                "fresh-for",
                format!("found {found}, allowed are two times sample-every, which is {every}, and more"),
            ));
        }
        if self.dead_after.0 <= self.fresh_for.0 {
            let (found, fresh) = (self.dead_after, self.fresh_for);
            return Err(("dead-after", format!("found {found}, allowed is more than fresh-for, which is {fresh}")));
        }
        Ok(())
    }
}
