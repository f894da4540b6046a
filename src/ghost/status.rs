//! What is told of the ghost while it runs and at the end.

use super::permit::{Permit, PermitTerms, Reason};
use super::watch::TripWatch;
use super::window::Measures;

/// Words of the slot in which it is published.
pub const GHOST_WORDS: usize = 12;

/// The ghost's record, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GhostStatus {
    /// Why live trading is permitted or not.
    pub reason: Reason,
    /// Times that permission was given or withdrawn.
    pub switches: u64,
    /// Round trips in all.
    pub trips: u64,
    /// Executions.
    pub fills: u64,
    /// Requests that reached its venue or are on their way.
    pub requests: u64,
    /// Profit after fees and funding, what is open valued at the mid, in 10⁻⁶ of the settlement currency.
    pub pnl_micros: i64,
    /// What the newest trips say; `None` before the first.
    pub measures: Option<Measures>,
}

impl GhostStatus {
    /// Collects it.
    pub fn new(permit: &Permit, watch: &TripWatch, measures: Option<Measures>, requests: u64, pnl_micros: i64) -> Self {
        Self {
            reason: permit.reason(),
            switches: permit.switches(),
            trips: watch.window().all(),
            fills: watch.fills(),
            requests,
            pnl_micros,
            measures,
        }
    }

    /// The words of it.
    pub fn to_words(&self) -> [u64; GHOST_WORDS] {
        let Self { reason, switches, trips, fills, requests, pnl_micros, measures } = *self;
        let none = Measures { trips: 0, wins: 0, mean: 0.0, deviation: 0.0, effective: 0.0, lower: None };
        let m = measures.unwrap_or(none);
        [
            reason as u64,
            switches,
            trips,
            fills,
            requests,
            pnl_micros as u64,
            m.trips as u64,
            m.wins as u64,
            m.mean.to_bits(),
            m.deviation.to_bits(),
            m.effective.to_bits(),
            m.lower.unwrap_or(f64::NAN).to_bits(),
        ]
    }

    /// It, from its words; `None` if they are no status, as before the first one.
    pub fn from_words(words: [u64; GHOST_WORDS]) -> Option<Self> {
        let [reason, switches, trips, fills, requests, pnl, count, wins, mean, deviation, effective, lower] = words;
        let reason = *Reason::ALL.get(usize::try_from(reason).ok()?)?;
        let measures = Measures {
            trips: count as usize,
            wins: wins as usize,
            mean: f64::from_bits(mean),
            deviation: f64::from_bits(deviation),
            effective: f64::from_bits(effective),
            lower: Some(f64::from_bits(lower)).filter(|lower| !lower.is_nan()),
        };
        let measures = (count > 0).then_some(measures);
        Some(Self { reason, switches, trips, fills, requests, pnl_micros: pnl as i64, measures })
    }

    /// Whether live trading is permitted.
    pub fn is_permitted(&self) -> bool {
        self.reason.is_permission()
    }

    /// In a line: whether live trading is permitted, and why.
    pub fn text(&self, terms: &PermitTerms) -> String {
        let verdict = if self.is_permitted() { "trading permitted" } else { "trading not permitted" };
        let amount = |x: f64| {
            let text = format!("{x:.4}");
            if text == "-0.0000" { "0.0000".to_owned() } else { text }
        };
        let (bar, bar_off) = (terms.bar, terms.bar_off);
        let why = match (self.reason, &self.measures) {
            (Reason::Blind, _) => "it lost market events and is blind until the next run".to_owned(),
            (Reason::Behind, _) => "it has not caught up with the market".to_owned(),
            (Reason::FewTrips, m) => format!("{} of {} trips", m.map_or(0, |m| m.trips), terms.trips_min),
            (_, None) => "no trips".to_owned(),
            (reason, Some(m)) => {
                let head = format!("{} trips, mean {}", m.trips, amount(m.mean));
                let bound =
                    m.lower.map_or_else(|| "lower bound unknown".to_owned(), |x| format!("lower bound {}", amount(x)));
                match reason {
                    Reason::Proven => format!("{head}, {bound} > {bar}"),
                    Reason::Pause => format!("{head}, {bound} > {bar}, and withdrawn a moment ago"),
                    Reason::Kept => format!("{head} > {bar_off}, {bound}"),
                    Reason::Mean => format!("{head} <= {bar_off}"),
                    _ if m.mean <= bar_off.to_f64_lossy() => format!("{head} <= {bar_off}, {bound}"),
                    _ => format!("{head}, {bound} <= {bar}"),
                }
            }
        };
        format!("ghost: {why}: {verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(reason: Reason) -> GhostStatus {
        let measures =
            Measures { trips: 34, wins: 20, mean: 0.0123, deviation: 0.02, effective: 30.5, lower: Some(0.0041) };
        let measures = Some(measures);
        GhostStatus { reason, switches: 1, trips: 40, fills: 80, requests: 90, pnl_micros: -5, measures }
    }

    #[test]
    fn it_survives_the_way_through_a_slot() {
        for &reason in Reason::ALL {
            let whole = status(reason);
            let m = whole.measures.map(|m| Measures { lower: None, ..m });
            for status in [whole, GhostStatus { measures: None, ..whole }, GhostStatus { measures: m, ..whole }] {
                assert_eq!(GhostStatus::from_words(status.to_words()), Some(status));
            }
        }
        assert_eq!(GhostStatus::from_words([99; GHOST_WORDS]), None);
    }

    #[test]
    fn it_says_whether_and_why() {
        let terms = PermitTerms::default();
        let text = |reason| status(reason).text(&terms);
        assert_eq!(text(Reason::Proven), "ghost: 34 trips, mean 0.0123, lower bound 0.0041 > 0: trading permitted");
        assert_eq!(text(Reason::Kept), "ghost: 34 trips, mean 0.0123 > 0, lower bound 0.0041: trading permitted");
        assert_eq!(text(Reason::FewTrips), "ghost: 34 of 30 trips: trading not permitted");
        for &reason in Reason::ALL {
            assert_eq!(text(reason).ends_with(": trading permitted"), reason.is_permission());
        }
    }
}
