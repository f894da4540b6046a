//! What exposures are held with.

use serde::{Deserialize, Serialize};

use super::value::{Duration, MoneyText, percent, share};
use crate::risk::{HEDGES_MAX, HedgeConfig};
use crate::types::{InstrumentTable, Symbol};

table! {
    /// How exposures are held with other instruments; see [`HedgeConfig`].
    HedgeTable {
        /// Instruments that are kept for hedging, which no strategy trades; none: nothing is hedged.
        with: Vec<String>,
        /// Value of a position beyond which it is hedged.
        bound: MoneyText,
        /// Value below which its hedge is taken off.
        unwind: MoneyText,
        /// Time between two samples of the regression.
        sample_every: Duration,
        /// Memory of the regression.
        memory: Duration,
        /// Samples below which no beta is known.
        samples_min: u32,
        /// Least correlation, in percent, whatever its sign.
        correlation_min_percent: u32,
        /// Percent of its target by which a hedge may be off before it is changed.
        tolerance_percent: u32,
        /// Time for which an exposure is expected to stay: a hedge must take away more risk in it than it costs.
        horizon: Duration,
    }
}

impl Default for HedgeTable {
    fn default() -> Self {
        let d = HedgeConfig::default();
        Self {
            with: Vec::new(),
            bound: MoneyText(d.bound),
            unwind: MoneyText(d.unwind),
            sample_every: Duration(d.sample_ns),
            memory: Duration(d.memory_ns),
            samples_min: d.samples_min,
            correlation_min_percent: percent(d.correlation_min),
            tolerance_percent: percent(d.tolerance),
            horizon: Duration(d.horizon_ns),
        }
    }
}

impl HedgeTable {
    /// What the engine is told; `None`: nothing is hedged.
    pub(super) fn hedge(&self) -> Option<HedgeConfig> {
        let with: Vec<Symbol> = self.with.iter().filter_map(|name| Symbol::new(name.as_bytes())).collect();
        (!with.is_empty()).then(|| HedgeConfig {
            with,
            bound: self.bound.0,
            unwind: self.unwind.0,
            sample_ns: self.sample_every.0,
            memory_ns: self.memory.0,
            samples_min: self.samples_min,
            correlation_min: share(self.correlation_min_percent),
            tolerance: share(self.tolerance_percent),
            horizon_ns: self.horizon.0,
        })
    }

    /// # Errors
    /// The key that is out of its range, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.with.len() > HEDGES_MAX {
            return Err(("with", format!("found {} instruments, allowed are {HEDGES_MAX} at most", self.with.len())));
        }
        if let Some(bad) = self.with.iter().find(|name| Symbol::new(name.as_bytes()).is_none()) {
            return Err(("with", format!("found `{bad}`, allowed are 1 to 31 letters and digits")));
        }
        if self.unwind.0 >= self.bound.0 {
            return Err((
                "unwind",
                format!("found {}, allowed is less than the bound, {}", self.unwind.0, self.bound.0),
            ));
        }
        if self.sample_every.0 < 50_000_000 || self.memory.0 < self.sample_every.0 {
            let found = format!("found {} and a memory of {}", self.sample_every, self.memory);
            return Err(("sample-every", format!("{found}, allowed are 50ms and more, and a memory of no less")));
        }
        for (key, found) in
            [("correlation-min-percent", self.correlation_min_percent), ("tolerance-percent", self.tolerance_percent)]
        {
            if found > 100 {
                return Err((key, format!("found {found}, allowed are 0 to 100")));
            }
        }
        Ok(())
    }

    /// The first instrument that is kept for hedging and not traded in `table`: nothing could be hedged with it.
    pub fn missing(&self, table: &InstrumentTable) -> Option<&str> {
        let is_there = |name: &str| table.iter().any(|(_, spec)| spec.symbol.as_str() == name);
        self.with.iter().map(String::as_str).find(|name| !is_there(name))
    }
}
