//! The ghost trader.

use serde::{Deserialize, Serialize};

use super::value::{Duration, SignedMoneyText};
use crate::ghost::{PermitTerms, WINDOW_MAX};
use crate::sim::QueuePosition;

/// Shortest time for which a permission may be fresh: the ghost repeats it every half second, on a thread that is not hot.
const FRESH_MIN_NS: u64 = 2_000_000_000;

table! {
    /// The ghost trader of a live run; see [`PermitTerms`] and `docs/ghost.md`.
    GhostTable {
        /// Whether a live run trades only by the permission of a paper session beside it.
        enabled: bool,
        /// Trips that the record holds at most: the newest.
        window_trips: usize,
        /// Fewest trips for a permission.
        min_trips: usize,
        /// One-sided confidence of the lower bound, in percent.
        confidence_percent: u32,
        /// The lower bound of a trip's mean result must be above this.
        bar: SignedMoneyText,
        /// Permission is withdrawn when the mean is at or below this.
        bar_off: SignedMoneyText,
        /// Least time from a withdrawal to the next permission.
        pause: Duration,
        /// A permission that was not repeated for so long has lapsed.
        fresh_for: Duration,
        /// Way of the ghost's requests to its venue.
        entry_latency: Duration,
        /// Way of that venue's news to the ghost.
        ack_latency: Duration,
        /// How cancelled quantity is shared out around the ghost's orders; see [`SimexTable`](super::SimexTable).
        queue_model: QueuePosition,
    }
}

impl Default for GhostTable {
    fn default() -> Self {
        let d = PermitTerms::default();
        Self {
            enabled: false,
            window_trips: d.window,
            min_trips: d.trips_min,
            confidence_percent: 95,
            bar: SignedMoneyText(d.bar),
            bar_off: SignedMoneyText(d.bar_off),
            pause: Duration(d.pause_ns),
            fresh_for: Duration(5_000_000_000),
            entry_latency: Duration(1_000_000),
            ack_latency: Duration(1_000_000),
            queue_model: QueuePosition::default(),
        }
    }
}

impl GhostTable {
    /// When permission is given and withdrawn.
    pub fn terms(&self) -> PermitTerms {
        PermitTerms {
            window: self.window_trips,
            trips_min: self.min_trips,
            confidence: f64::from(self.confidence_percent) / 100.0,
            bar: self.bar.0,
            bar_off: self.bar_off.0,
            pause_ns: self.pause.0,
        }
    }

    /// Age at which a permission has lapsed; `None`: none is needed.
    pub fn permit_fresh_ns(&self) -> Option<u64> {
        self.enabled.then_some(self.fresh_for.0)
    }

    /// # Errors
    /// The key that is out of its range, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let within = |key, found: usize, least: usize, most: usize| {
            if (least..=most).contains(&found) {
                return Ok(());
            }
            Err((key, format!("found {found}, allowed are {least} to {most}")))
        };
        within("window-trips", self.window_trips, 2, WINDOW_MAX)?;
        within("min-trips", self.min_trips, 2, self.window_trips)?;
        within("confidence-percent", self.confidence_percent as usize, 50, 99)?;
        if self.bar_off.0 > self.bar.0 {
            let (found, most) = (self.bar_off.0, self.bar.0);
            return Err(("bar-off", format!("found {found}, allowed is no more than bar, which is {most}")));
        }
        if self.fresh_for.0 < FRESH_MIN_NS {
            return Err(("fresh-for", format!("found {}, allowed are 2s and more", self.fresh_for)));
        }
        if self.entry_latency.0 == 0 {
            return Err(("entry-latency", "found 0s, allowed are 1ns and more".to_owned()));
        }
        Ok(())
    }
}

/// The line of a key in a table of a text, as errors name it.
pub(super) fn line_in(text: &str, table: &str, key: &str) -> String {
    let name = |line: &str| line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map(str::to_owned);
    let mut is_inside = false;
    for (idx, line) in text.lines().enumerate() {
        if let Some(name) = name(line) {
            is_inside = name == table;
        } else if is_inside && line.split('=').next().is_some_and(|found| found.trim() == key) {
            return format!("line {}, key `{key}`", idx + 1);
        }
    }
    format!("key `{table}.{key}`")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    #[test]
    fn a_value_out_of_its_range_is_refused_with_its_line() {
        for (line, want) in [
            ("window-trips = 1", "line 4, key `window-trips`: found 1, allowed are 2 to 10000"),
            ("window-trips = 10001", "found 10001"),
            ("min-trips = 1", "line 4, key `min-trips`: found 1, allowed are 2 to 200"),
            ("min-trips = 201", "found 201, allowed are 2 to 200"),
            ("confidence-percent = 100", "line 4, key `confidence-percent`: found 100, allowed are 50 to 99"),
            ("bar-off = \"0.1\"", "line 4, key `bar-off`: found 0.1, allowed is no more than bar, which is 0"),
            ("bar = \"-1\"", "key `ghost.bar-off`: found 0, allowed is no more than bar, which is -1"),
            ("fresh-for = \"1999ms\"", "line 4, key `fresh-for`: found 1999ms, allowed are 2s and more"),
            ("entry-latency = \"0s\"", "line 4, key `entry-latency`: found 0s"),
            ("bar = \"much\"", "found `much`"),
            ("pauses = \"1s\"", "unknown field"),
        ] {
            let text = format!("[imbalance-taker]\npause = \"1s\"\n[ghost]\n{line}\n");
            let error = Config::parse(&text, Path::new("my.toml")).unwrap_err().to_string();
            assert!(error.contains(want), "{line}: {error}");
        }
    }

    #[test]
    fn only_a_live_engine_needs_a_permission_and_only_where_that_is_configured() {
        let config = Config::default();
        assert_eq!(config.live_engine().risk.permit_fresh_ns, None);
        let text = "[ghost]\nenabled = true\nconfidence-percent = 90\nbar = \"0.5\"\n";
        let config = Config::parse(text, Path::new("my.toml")).unwrap();
        assert_eq!(config.live_engine().risk.permit_fresh_ns, Some(5_000_000_000));
        assert_eq!(config.engine().risk.permit_fresh_ns, None, "a replay, a backtest and the ghost itself need none");
        assert_eq!((config.ghost.terms().confidence, config.ghost.terms().bar.to_string()), (0.9, "0.5".to_owned()));
        // A journal's header holds the configuration as text.
        let again = Config::parse(&config.to_string(), Path::new("again")).unwrap();
        assert_eq!(again.ghost.terms(), config.ghost.terms());
    }
}
