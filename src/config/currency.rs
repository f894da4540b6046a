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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::types::{Product, Step, Symbol, VenueId};

    const BTC: &str = "[currency.BTC]\norder-value-max = \"0.01\"\nposition-value-max = \"0.1\"\ncapital = \"0.05\"\n\
                       day-loss-max = \"0.002\"\n";

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("my.toml")).map_err(|e| e.to_string())
    }

    fn table(specs: &[(Product, &str)]) -> InstrumentTable {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let spec = |&(product, name): &(Product, &str)| {
            let symbol = Symbol::new(name.as_bytes()).unwrap();
            InstrumentSpec::new(VenueId::BYBIT, symbol, product, step("0.1"), step("1")).unwrap()
        };
        InstrumentTable::new(specs.iter().map(spec).collect()).unwrap()
    }

    const BOTH: [(Product, &str); 2] = [(Product::Linear, "ETHUSDT"), (Product::Inverse, "BTCUSD")];

    #[test]
    fn a_currency_without_limits_is_refused_with_instrument_and_currency() {
        let (both, usdc) = (table(&BOTH), table(&[(Product::Linear, "BTCPERP")]));
        let bare = parse("").unwrap();
        assert_eq!(bare.check_against(&table(&BOTH[..1])), Ok(()));
        for (table, wants) in [(&both, ["BTCUSD", "[currency.BTC]"]), (&usdc, ["BTCPERP", "[currency.USDC]"])] {
            let said = bare.check_against(table).unwrap_err();
            assert!(wants.iter().all(|want| said.contains(want)), "{said}");
        }
        assert_eq!(parse("[risk]\ncurrency = \"USDC\"\n").unwrap().check_against(&usdc), Ok(()));
        assert_eq!(parse("[strategy]\nname = \"watch\"\n").unwrap().check_against(&both), Ok(()), "nothing is traded");
        assert_eq!(parse(BTC).unwrap().check_against(&both), Ok(()));
    }

    #[test]
    fn limits_of_a_currency_are_its_own_and_what_is_left_out_is_the_strictest() {
        let config = parse(BTC).unwrap();
        let engine = config.engine();
        let money = |text: &str| Money::parse(text.as_bytes()).unwrap();
        let [limits] = engine.currencies[..] else { panic!("{:?}", engine.currencies) };
        let risk = limits.risk;
        assert_eq!((limits.currency.as_str(), risk.capital, risk.is_given), ("BTC", money("0.05"), true));
        assert_eq!((risk.gross_value_max, risk.net_value_max), (money("0.1"), money("0.1")));
        let others = [risk.drawdown_max, limits.position_loss_max, limits.heat_max];
        assert_eq!(others, [money("0.002"); 3]);
        assert_eq!((risk.leverage_e2, risk.collar), (engine.risk.leverage_e2, engine.risk.collar));
        assert_eq!(config.balance(limits.currency), money("0.05"));
        assert_eq!(config.balance(Currency::USDT), money("10000"));
        assert_eq!(config.balance(Currency::UNKNOWN), Money::ZERO);
        assert_eq!(parse(&config.to_string()).unwrap().engine(), engine, "it prints and parses");
    }

    #[test]
    fn what_has_no_meaning_in_another_currency_is_refused() {
        for (text, wants) in [
            ("[currency.BTC]\ncapital = \"1\"\n".to_owned(), "order-value-max"),
            ("[currency.btc]\ncapital = \"1\"\n".to_owned(), "capital letters"),
            (BTC.replace("BTC", "USDT"), "currency.USDT"),
            (format!("{BTC}capitol = \"1\"\n"), "capitol"),
        ] {
            let said = parse(&text).unwrap_err();
            assert!(said.contains(wants) && said.contains("my.toml"), "{said}");
        }
        for (text, wants) in [("[hedge]\nwith = [\"ETHUSDT\"]\n", "hedge.with"), ("[edge]\nbar = \"0\"\n", "[edge]")] {
            let said = parse(&format!("{text}{BTC}")).unwrap().check_against(&table(&BOTH)).unwrap_err();
            assert!(said.contains(wants) && said.contains("BTCUSD"), "{said}");
        }
        let config = parse(BTC).unwrap();
        assert_eq!(config.check_live(&table(&BOTH[..1]), "USDT"), Ok(()));
        for (what, wants) in [(&BOTH[1..], "inverse"), (&[(Product::Linear, "BTCPERP")][..], "USDC")] {
            let said = config.check_live(&table(what), "USDT").unwrap_err();
            assert!(said.contains(wants), "{said}");
        }
    }
}
