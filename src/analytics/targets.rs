//! Turns a report and what was asked of it into what it misses.

use super::report::Report;

/// A figure that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Deepest drawdown as a share of its peak; 0 if the equity never fell.
    Drawdown,
    /// Annual volatility.
    Volatility,
    /// Sharpe ratio.
    Sharpe,
    /// Sortino ratio.
    Sortino,
    /// Calmar ratio.
    Calmar,
    /// Return over the whole session.
    TotalReturn,
    /// Winning round trips over those that ended.
    WinRate,
    /// What winning trips earned over what losing ones lost.
    ProfitFactor,
    /// Round trips that ended.
    Trips,
    /// Executions.
    Fills,
    /// Share of the time in a position.
    TimeShare,
    /// Turnover over the equity at the start.
    Turnover,
    /// Mean slippage of all fills in hundredths of a percent.
    Slippage,
    /// Size of beta, whatever its sign.
    Beta,
}

impl Metric {
    /// Returns its value; `None` if it is not defined for this session.
    pub fn value(self, report: &Report) -> Option<f64> {
        let performance = &report.returns.performance;
        match self {
            Self::Drawdown => match &report.drawdown {
                Some(drawdown) => drawdown.share,
                None => report.span.as_ref().map(|_| 0.0),
            },
            Self::Volatility => performance.volatility,
            Self::Sharpe => performance.sharpe,
            Self::Sortino => performance.sortino,
            Self::Calmar => report.returns.calmar,
            Self::TotalReturn => report.returns.total_return,
            Self::WinRate => report.trips.win_rate,
            Self::ProfitFactor => report.trips.profit_factor,
            Self::Trips => Some(report.trips.closed as f64),
            Self::Fills => Some(report.turnover.fills as f64),
            Self::TimeShare => report.exposure.time_share,
            Self::Turnover => report.turnover.times_equity,
            Self::Slippage => report.slippage_bps.all.bps,
            Self::Beta => report.reference.regression.beta.map(f64::abs),
        }
    }
}

/// The side on which a value is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// What is asked of one figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Its name, as the option that asks for it.
    pub name: &'static str,
    /// Which figure.
    pub metric: Metric,
    /// What it should be.
    pub bound: Bound,
}

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// What was asked.
    pub target: Target,
    /// What was found; `None`: the figure is not defined for this session.
    pub value: Option<f64>,
}

impl Target {
    /// Holds the target against a report.
    pub fn check(self, report: &Report) -> Finding {
        Finding { target: self, value: self.metric.value(report) }
    }
}

impl Finding {
    /// Whether the target is met. What is not defined meets nothing.
    pub fn is_met(&self) -> bool {
        match (self.value, self.target.bound) {
            (Some(value), Bound::AtLeast(least)) => value >= least,
            (Some(value), Bound::AtMost(most)) => value <= most,
            (None, _) => false,
        }
    }
}

/// One line: what was found, and what was asked.
impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (word, bound) = match self.target.bound {
            Bound::AtLeast(least) => ("at least", least),
            Bound::AtMost(most) => ("at most", most),
        };
        let found = match self.value {
            Some(value) => format!("found {value}"),
            None => "not defined for this session".to_owned(),
        };
        let verdict = if self.is_met() { "met" } else { "MISSED" };
        write!(f, "{verdict}  {}: {found}, asked {word} {bound}", self.target.name)
    }
}
