//! Limits in settlement currencies beside the main one.

use serde::{Deserialize, Serialize};

use super::value::{CurrencyText, MoneyText};
use super::{Config, StrategyName};
use crate::engine::CurrencyLimits;
use crate::risk::{Compounding, RiskLimits};
use crate::types::{Currency, InstrumentSpec, InstrumentTable, Money};

/// Limits in one settlement currency, such as `[currency.BTC]` for contracts that are settled in bitcoin. Everything that is no
/// amount of money is as in `[risk]` and `[breakers]`. An amount that is left out is the strictest that the others allow.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CurrencyTable {
    /// Largest value of one order.
    pub order_value_max: MoneyText,
    /// Largest value of one position.
    pub position_value_max: MoneyText,
    /// Largest sum of all positions in the currency; left out: as that of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gross_value_max: Option<MoneyText>,
    /// Largest sum of all positions in the currency, shorts against longs; left out: as `gross-value-max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_value_max: Option<MoneyText>,
    /// Most that may be committed at any instant.
    pub capital: MoneyText,
    /// Capital left at which nothing more is entered; left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capital_floor: Option<MoneyText>,
    /// Greatest loss of a day.
    pub day_loss_max: MoneyText,
    /// Greatest fall from the peak; left out: as `day-loss-max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawdown_max: Option<MoneyText>,
    /// Loss of one instrument at which its breaker stands; left out: as `day-loss-max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_loss_max: Option<MoneyText>,
    /// Sum of open losses at which the breaker of heat stands; left out: as `day-loss-max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heat_max: Option<MoneyText>,
    /// Balance of the account in replays; left out: `capital`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<MoneyText>,
}

impl CurrencyTable {
    /// What the engine is told; `main` has what is no amount.
    fn limits(&self, currency: Currency, main: &RiskLimits) -> CurrencyLimits {
        let or = |given: Option<MoneyText>, other: MoneyText| given.map_or(other.0, |given| given.0);
        let gross = or(self.gross_value_max, self.position_value_max);
        CurrencyLimits {
            currency,
            risk: RiskLimits {
                order_value_max: self.order_value_max.0,
                position_value_max: self.position_value_max.0,
                gross_value_max: gross,
                net_value_max: self.net_value_max.map_or(gross, |given| given.0),
                capital: self.capital.0,
                compounding: Compounding {
                    floor: self.capital_floor.map_or(Money::ZERO, |given| given.0),
                    ..main.compounding
                },
                day_loss_max: self.day_loss_max.0,
                drawdown_max: or(self.drawdown_max, self.day_loss_max),
                ..*main
            },
            position_loss_max: or(self.position_loss_max, self.day_loss_max),
            heat_max: or(self.heat_max, self.day_loss_max),
        }
    }
}

impl Config {
    /// Limits in the settlement currencies beside the main one.
    pub(super) fn currency_limits(&self, main: &RiskLimits) -> Vec<CurrencyLimits> {
        self.currency.iter().map(|(CurrencyText(currency), table)| table.limits(*currency, main)).collect()
    }

    /// Balance of the account of a replay in a settlement currency: nothing where none is configured.
    pub fn balance(&self, currency: Currency) -> Money {
        if currency == self.risk.currency.0 {
            return self.simex.balance.0;
        }
        let table = self.currency.get(&CurrencyText(currency));
        table.map_or(Money::ZERO, |table| table.balance.unwrap_or(table.capital).0)
    }

    /// # Errors
    /// The currency whose limits stand in two places.
    pub(super) fn check_currencies(&self) -> Result<(), String> {
        let main = &self.risk.currency;
        match self.currency.contains_key(main) {
            true => Err(format!(
                "table `currency.{main}`: found the main currency, whose limits stand in [risk] and [breakers]"
            )),
            false => Ok(()),
        }
    }

    /// Whether limits are configured for everything that may be traded, and nothing is asked for that one currency alone has.
    ///
    /// # Errors
    /// A sentence with the instrument and its currency.
    pub(super) fn check_settlement(&self, table: &InstrumentTable) -> Result<(), String> {
        if self.strategy.name == StrategyName::Watch {
            return Ok(());
        }
        let main = self.risk.currency.0;
        let is_known =
            |spec: &InstrumentSpec| spec.settle == main || self.currency.contains_key(&CurrencyText(spec.settle));
        if let Some((_, spec)) = table.iter().find(|(_, spec)| !is_known(spec)) {
            let (symbol, settle) = (spec.symbol, spec.settle);
            return Err(format!(
                "{symbol} is settled in {settle}, and [risk] is in {main}: a table [currency.{settle}] with order-value-max, \
                 position-value-max, capital and day-loss-max is needed to trade it (or `--strategy watch`, which trades nothing)"
            ));
        }
        let Some((_, spec)) = table.iter().find(|(_, spec)| spec.settle != main || spec.is_inverse()) else {
            return Ok(());
        };
        let what = if spec.is_inverse() { "an inverse contract" } else { "settled in another currency than [risk]" };
        if self.hedge.hedge().is_some() {
            return Err(format!(
                "hedge.with: {} is {what}: positions are hedged in one currency, and linear",
                spec.symbol
            ));
        }
        if self.engine().entry.is_on() {
            return Err(format!(
                "[edge], [kelly], [leverage] and [pace]: {} is {what}: what a trade earns is estimated in one currency, and linear",
                spec.symbol
            ));
        }
        Ok(())
    }

    /// Whether a live session can settle its instruments: it knows one wallet, and linear contracts.
    ///
    /// # Errors
    /// A sentence with the instrument and its currency.
    pub fn check_live(&self, table: &InstrumentTable, settle: &str) -> Result<(), String> {
        if self.strategy.name == StrategyName::Watch {
            return Ok(());
        }
        for (_, spec) in table.iter() {
            let symbol = spec.symbol;
            if spec.is_inverse() {
                return Err(format!(
                    "{symbol} is an inverse contract: a live session trades linear ones; replays trade both"
                ));
            }
            if spec.settle.as_str() != settle || spec.settle != self.risk.currency.0 {
                let (found, main) = (spec.settle, self.risk.currency.0);
                return Err(format!(
                    "{symbol} is settled in {found}, and [risk] is in {main}: a live session has one wallet, in {settle}"
                ));
            }
        }
        Ok(())
    }
}
