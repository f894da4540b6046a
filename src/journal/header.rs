//! What a journal begins with: everything that an equal engine is made from.

use serde::{Deserialize, Serialize};

use crate::types::{Currency, InstrumentSpec, InstrumentTable, Lots, Money, Product, Rate, Step, Symbol, VenueId};

/// The header of a journal, JSON in its file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JournalHeader {
    /// Version of the program that wrote it.
    pub program: String,
    /// Number of the run, a part of every order id on the wire.
    pub run_id: u32,
    /// When the run began, in Unix nanoseconds by its own clock.
    pub started: u64,
    /// Which of the journal's files this is, from 0.
    #[serde(default)]
    pub segment: u32,
    /// Entries in the files before.
    #[serde(default)]
    pub entries_before: u64,
    /// What the time stamps are.
    pub clock: String,
    /// Which duties ran together.
    pub topology: String,
    /// Instruments, in the order of their ids.
    pub instruments: Vec<JournalInstrument>,
    /// The effective configuration as TOML: strategy and its parameters, limits, everything. Holds no secret.
    pub config: String,
    /// What is known of the machine, `{"hash": …, "facts": …}` of [`crate::doctor::Fingerprint`]; null if it was not looked at.
    #[serde(default)]
    pub host: serde_json::Value,
}

/// One instrument of a journal: every constant of it, in the exact integers of the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalInstrument {
    /// The venue's number.
    venue: u8,
    symbol: String,
    product: String,
    /// Units and decimals.
    tick: (u32, u8),
    lot: (u32, u8),
    /// Rates in 10⁻⁸.
    maker_fee: i64,
    taker_fee: i64,
    min_qty: i64,
    max_qty: i64,
    /// In 10⁻¹² of the settlement currency; as text, since JSON numbers are shorter.
    min_notional: String,
    max_leverage_e2: u32,
    /// What it is settled in, where its name does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settle: Option<String>,
    /// What an inverse contract is worth in 10⁻¹² of the quote currency, where that is not the usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contract_value: Option<String>,
}

impl From<&InstrumentSpec> for JournalInstrument {
    fn from(spec: &InstrumentSpec) -> Self {
        let usual = InstrumentSpec::new(spec.venue, spec.symbol, spec.product, spec.tick, spec.lot);
        let differs =
            |is_usual: fn(&InstrumentSpec, &InstrumentSpec) -> bool| !usual.is_some_and(|it| is_usual(&it, spec));
        Self {
            settle: differs(|a, b| a.settle == b.settle).then(|| spec.settle.to_string()),
            contract_value: differs(|a, b| a.contract_value == b.contract_value)
                .then(|| spec.contract_value.get().to_string()),
            venue: spec.venue.0,
            symbol: spec.symbol.as_str().to_owned(),
            product: spec.product.name().to_owned(),
            tick: (spec.tick.units(), spec.tick.decimals()),
            lot: (spec.lot.units(), spec.lot.decimals()),
            maker_fee: spec.maker_fee.get(),
            taker_fee: spec.taker_fee.get(),
            min_qty: spec.min_qty.get(),
            max_qty: spec.max_qty.get(),
            min_notional: spec.min_notional.get().to_string(),
            max_leverage_e2: spec.max_leverage_e2,
        }
    }
}

impl std::fmt::Display for JournalInstrument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.symbol)
    }
}

impl JournalInstrument {
    fn spec(&self) -> Option<InstrumentSpec> {
        let symbol = Symbol::new(self.symbol.as_bytes())?;
        let product = Product::from_name(&self.product)?;
        let step = |(units, decimals): (u32, u8)| Step::new(units, decimals);
        let spec = InstrumentSpec::new(VenueId(self.venue), symbol, product, step(self.tick)?, step(self.lot)?)?;
        let spec = match &self.contract_value {
            Some(value) => spec.with_contract_value(Money::new(value.parse().ok()?))?,
            None => spec,
        };
        let settle = match self.settle.as_deref() {
            Some(name) if name == Currency::UNKNOWN.as_str() => Currency::UNKNOWN,
            Some(name) => Currency::new(name.as_bytes())?,
            None => spec.settle,
        };
        Some(InstrumentSpec {
            maker_fee: Rate::new(self.maker_fee),
            taker_fee: Rate::new(self.taker_fee),
            min_qty: Lots::new(self.min_qty),
            max_qty: Lots::new(self.max_qty),
            min_notional: Money::new(self.min_notional.parse().ok()?),
            max_leverage_e2: self.max_leverage_e2,
            settle,
            ..spec
        })
    }
}

impl JournalHeader {
    /// The header of a run of this program; moment and topology are still to be told.
    pub fn new(run_id: u32, table: &InstrumentTable, config: String) -> Self {
        Self {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            run_id,
            clock: "unix-ns".to_owned(),
            instruments: table.iter().map(|(_, spec)| spec.into()).collect(),
            config,
            ..Self::default()
        }
    }

    /// The machine's hash, `unknown` if it was not looked at.
    pub fn host_hash(&self) -> &str {
        self.host.get("hash").and_then(serde_json::Value::as_str).unwrap_or("unknown")
    }

    /// The instruments as a table; `None` if they are none that this program could have written.
    pub fn table(&self) -> Option<InstrumentTable> {
        InstrumentTable::new(self.instruments.iter().map(JournalInstrument::spec).collect::<Option<Vec<_>>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::synthetic::{SyntheticConfig, sidecar};

    #[test]
    fn every_constant_of_an_instrument_survives() {
        let table = sidecar(&SyntheticConfig::new(VenueId::BYBIT, 3)).table().unwrap();
        let mut specs: Vec<InstrumentSpec> = table.iter().map(|(_, spec)| *spec).collect();
        specs[0].maker_fee = Rate::new(-5_000);
        specs[0].min_notional = Money::new(i128::MAX);
        (specs[0].min_qty, specs[0].max_qty, specs[0].max_leverage_e2) = (Lots::new(3), Lots::new(99), 12_500);
        let coin = sidecar(&SyntheticConfig::new(VenueId::BINANCE_COINM, 3)).table().unwrap();
        let coin = *coin.get(crate::types::InstrumentId(0)).unwrap();
        specs.push(coin);
        let whole = Money::new(7 * Money::ONE.get());
        let other = coin.with_contract_value(whole).unwrap();
        let symbol = Symbol::new(b"OTHERUSD_PERP").unwrap();
        specs.push(InstrumentSpec { symbol, settle: Currency::USDT, ..other });
        let header = JournalHeader::new(7, &InstrumentTable::new(specs.clone()).unwrap(), "[risk]\n".to_owned());
        let text = serde_json::to_string(&header).unwrap();
        let again: JournalHeader = serde_json::from_str(&text).unwrap();
        assert_eq!(again, header);
        let found = again.table().unwrap();
        assert_eq!(found.iter().map(|(_, spec)| *spec).collect::<Vec<_>>(), specs);
    }
}
