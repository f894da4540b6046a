//! What `tercel validate` asks of a backtest: the same names on the command line and in the table `[validate]`.

use serde::{Deserialize, Serialize};

use super::Ratio;
use crate::analytics::{Bound, Metric, Target};

/// Declares the targets once: field, name, metric, bound.
macro_rules! targets {
    ($($(#[$doc:meta])* $field:ident $name:literal $metric:ident $bound:ident,)+) => {
        /// Targets; what is left out is not asked for. Shares are shares of one.
        #[derive(Clone, Copy, Debug, Default, PartialEq, clap::Args, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        #[command(next_help_heading = "Targets")]
        pub struct ValidateTable {
            $($(#[$doc])* #[arg(long, value_name = "VALUE", allow_negative_numbers = true)] pub $field: Option<Ratio>,)+
        }

        impl ValidateTable {
            /// These targets, and those of `other` that are not asked for here.
            #[must_use]
            pub fn over(&self, other: &Self) -> Self {
                Self { $($field: self.$field.or(other.$field),)+ }
            }

            /// What is asked for.
            pub fn targets(&self) -> Vec<Target> {
                let mut targets = Vec::new();
                $(if let Some(Ratio(value)) = self.$field {
                    targets.push(Target { name: $name, metric: Metric::$metric, bound: Bound::$bound(value) });
                })+
                targets
            }
        }
    };
}

targets! {
    /// Deepest drawdown as a share of its peak, at most.
    max_drawdown "max-drawdown" Drawdown AtMost,
    /// Annual volatility, at most.
    max_volatility "max-volatility" Volatility AtMost,
    /// Sharpe ratio, at least.
    min_sharpe "min-sharpe" Sharpe AtLeast,
    /// Sortino ratio, at least.
    min_sortino "min-sortino" Sortino AtLeast,
    /// Calmar ratio, at least.
    min_calmar "min-calmar" Calmar AtLeast,
    /// Return over the whole capture, at least.
    min_return "min-return" TotalReturn AtLeast,
    /// Share of the round trips that earned, at least.
    min_win_rate "min-win-rate" WinRate AtLeast,
    /// What winning round trips earned over what losing ones lost, at least.
    min_profit_factor "min-profit-factor" ProfitFactor AtLeast,
    /// Round trips that ended, at least.
    min_trades "min-trades" Trips AtLeast,
    /// Executions, at least.
    min_fills "min-fills" Fills AtLeast,
    /// Share of the time in a position, at most.
    max_exposure "max-exposure" TimeShare AtMost,
    /// Turnover over the equity at the start, at most.
    max_turnover "max-turnover" Turnover AtMost,
    /// Mean slippage against the mid at the decision in hundredths of a percent, at most.
    max_slippage_bps "max-slippage-bps" Slippage AtMost,
    /// Size of beta, whatever its sign, at most.
    max_beta "max-beta" Beta AtMost,
}
