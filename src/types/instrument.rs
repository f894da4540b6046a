//! What is traded: steps, limits and fees of each instrument.

use super::{Currency, InstrumentId, Lots, Money, Rate, Step, Symbol, Ticks, VenueId, clamped_product};

/// How an instrument turns price and quantity into money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Product {
    /// Perpetual or future settled in the quote currency: value = price · quantity.
    Linear,
    /// Contract of a fixed value in the quote currency, settled in the base currency: value = quantity · contract value / price,
    /// which rarely terminates in decimals; `inverse` states how it is rounded.
    Inverse,
    /// Spot pair: value = price · quantity, paid at once.
    Spot,
}

impl Product {
    /// The name used in configuration, sidecars and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Inverse => "inverse",
            Self::Spot => "spot",
        }
    }

    /// The product of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Linear, Self::Inverse, Self::Spot].into_iter().find(|p| p.name() == name)
    }
}

/// One instrument's constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstrumentSpec {
    /// The venue that lists it.
    pub venue: VenueId,
    /// The venue's name for it.
    pub symbol: Symbol,
    /// Linear, inverse or spot.
    pub product: Product,
    /// Size of one tick.
    pub tick: Step,
    /// Size of one lot.
    pub lot: Step,
    /// What it is settled in: profits, fees, funding, margin.
    pub settle: Currency,
    /// Inverse: what one whole unit of quantity is worth in the quote currency. One whole unit for others.
    pub contract_value: Money,
    /// Value of one lot at a price of one tick.
    pub tick_lot_value: Money,
    /// Fee of a resting fill, as a share of its value.
    pub maker_fee: Rate,
    /// Fee of a crossing fill, as a share of its value.
    pub taker_fee: Rate,
    /// Smallest order.
    pub min_qty: Lots,
    /// Largest order.
    pub max_qty: Lots,
    /// Smallest order value.
    pub min_notional: Money,
    /// Greatest leverage, in hundredths (10× is 1000).
    pub max_leverage_e2: u32,
}

impl InstrumentSpec {
    /// Makes an instrument with Bybit's ordinary fees, a minimum of one lot and no value floor; change the public
    /// fields for others. What it is settled in is told by its name ([`Currency::of`]); what an inverse contract is worth by its
    /// venue: 100 USD of bitcoin and 10 of everything else on Binance, 1 USD on Bybit.
    ///
    /// `None` if money could not be exact: tick times lot has more than twelve decimals, or, of an inverse contract, the value
    /// of a lot at one tick does.
    pub fn new(venue: VenueId, symbol: Symbol, product: Product, tick: Step, lot: Step) -> Option<Self> {
        let settle = Currency::of(product, &symbol);
        let (contract_value, value) = if product == Product::Inverse {
            let contract_value = Self::usual_contract_value(venue, &symbol);
            (contract_value, Self::inverse_unit(tick, lot, contract_value)?)
        } else {
            let decimals = u32::from(tick.decimals()) + u32::from(lot.decimals());
            let missing = Money::DECIMALS.checked_sub(decimals)?;
            (Money::ONE, Money::new(i128::from(tick.units()) * i128::from(lot.units()) * 10i128.pow(missing)))
        };
        Some(Self {
            venue,
            symbol,
            product,
            tick,
            lot,
            settle,
            contract_value,
            tick_lot_value: value,
            maker_fee: Rate::new(20_000),
            taker_fee: Rate::new(55_000),
            min_qty: Lots::new(1),
            max_qty: Lots::new(i64::MAX),
            min_notional: Money::ZERO,
            max_leverage_e2: 10_000,
        })
    }

    /// Value of `qty` (signed) at `px` in the settlement currency, clamped to the range of [`Money`]. That of an inverse contract is
    /// rounded, see the module `inverse`.
    #[inline]
    pub const fn notional(&self, px: Ticks, qty: Lots) -> Money {
        if self.is_inverse() {
            return self.inverse_value(px, qty);
        }
        self.linear_value(px, qty)
    }

    /// [`Self::notional`] of what is no inverse contract.
    #[inline(always)]
    pub(crate) const fn linear_value(&self, px: Ticks, qty: Lots) -> Money {
        let product = px.get() as i128 * qty.get() as i128;
        Money::new(clamped_product(product, self.tick_lot_value.get()))
    }
}

/// Place of a settlement currency among those of a process, dense from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct SettleId(pub u16);

impl SettleId {
    /// The index, for slices.
    #[inline]
    pub const fn idx(self) -> usize {
        self.0 as usize
    }
}

/// What each instrument is settled in, and the currencies, each once, in the order in which instruments first have them.
pub(crate) fn settles_of<'a>(specs: impl Iterator<Item = &'a InstrumentSpec>) -> (Vec<SettleId>, Vec<Currency>) {
    let mut currencies = Vec::new();
    let settles = specs.map(|spec| {
        let at = currencies.iter().position(|known| *known == spec.settle).unwrap_or_else(|| {
            currencies.push(spec.settle);
            currencies.len() - 1
        });
        SettleId(at as u16)
    });
    (settles.collect(), currencies)
}

/// All instruments of a process, by id and by name; fixed after start-up.
#[derive(Clone, Debug, Default)]
pub struct InstrumentTable {
    specs: Vec<InstrumentSpec>,
    /// What each is settled in, and what there is.
    settles: Vec<SettleId>,
    currencies: Vec<Currency>,
    /// Open addressing by [`hash`]; 0 is empty, otherwise id + 1. At most half full, so a look-up ends.
    slots: Vec<u16>,
}

impl InstrumentTable {
    /// Most instruments that a table may hold.
    pub const LEN_MAX: usize = 4096;

    /// Makes a table; ids follow the order given. `None` if there are more than [`Self::LEN_MAX`] instruments or one
    /// symbol comes twice on one venue.
    pub fn new(specs: Vec<InstrumentSpec>) -> Option<Self> {
        if specs.len() > Self::LEN_MAX {
            return None;
        }
        let (settles, currencies) = settles_of(specs.iter());
        let mut table =
            Self { slots: vec![0; (specs.len() * 2).next_power_of_two().max(8)], specs, settles, currencies };
        for idx in 0..table.specs.len() {
            let spec = table.specs[idx];
            if table.find(spec.venue, spec.symbol.as_bytes()).is_some() {
                return None;
            }
            let mask = table.slots.len() - 1;
            let mut at = hash(spec.venue, spec.symbol.as_bytes()) & mask;
            while table.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            table.slots[at] = idx as u16 + 1;
        }
        Some(table)
    }

    /// The instrument of that venue and name.
    ///
    /// # Cost
    /// One hash over the name and usually one comparison.
    #[inline]
    pub fn find(&self, venue: VenueId, symbol: &[u8]) -> Option<InstrumentId> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash(venue, symbol) & mask;
        loop {
            let idx = self.slots[at].checked_sub(1)?;
            let spec = &self.specs[idx as usize];
            if spec.symbol.as_bytes() == symbol && spec.venue == venue {
                return Some(InstrumentId(idx));
            }
            at = (at + 1) & mask;
        }
    }

    /// The instrument's constants.
    #[inline]
    pub fn get(&self, id: InstrumentId) -> Option<&InstrumentSpec> {
        self.specs.get(id.idx())
    }

    /// What the instrument is settled in, as a place in [`Self::currencies`]; the first for an instrument that is not known.
    #[inline]
    pub fn settle(&self, id: InstrumentId) -> SettleId {
        self.settles.get(id.idx()).copied().unwrap_or_default()
    }

    /// The settlement currencies, each once, in the order in which instruments first have them. By [`SettleId`].
    pub fn currencies(&self) -> &[Currency] {
        &self.currencies
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.specs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    /// All of them with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (InstrumentId, &InstrumentSpec)> {
        self.specs.iter().enumerate().map(|(idx, spec)| (InstrumentId(idx as u16), spec))
    }
}

/// FNV-1a; symbols are short and come from the venue's own list.
#[inline]
fn hash(venue: VenueId, symbol: &[u8]) -> usize {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325 ^ u64::from(venue.0);
    for &byte in symbol {
        h = (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (h ^ (h >> 32)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(symbol: &str) -> InstrumentSpec {
        let step = Step::from_text(b"0.1").unwrap();
        InstrumentSpec::new(VenueId::BYBIT, Symbol::new(symbol.as_bytes()).unwrap(), Product::Linear, step, step)
            .unwrap()
    }

    #[test]
    fn find_returns_the_instrument_of_that_name() {
        let names: Vec<String> = (0..500).map(|i| format!("COIN{i}USDT")).collect();
        let table = InstrumentTable::new(names.iter().map(|n| spec(n)).collect()).unwrap();
        for (idx, name) in names.iter().enumerate() {
            assert_eq!(table.find(VenueId::BYBIT, name.as_bytes()), Some(InstrumentId(idx as u16)));
        }
        assert_eq!(table.find(VenueId::BYBIT, b"NOSUCH"), None);
        assert_eq!(table.find(VenueId::BINANCE_USDM, b"COIN1USDT"), None);
        assert_eq!(InstrumentTable::default().find(VenueId::BYBIT, b"X"), None);
    }

    #[test]
    fn twice_the_same_symbol_is_refused() {
        assert!(InstrumentTable::new(vec![spec("A"), spec("A")]).is_none());
    }

    #[test]
    fn notional_is_exact() {
        let tick = Step::from_text(b"0.10").unwrap();
        let lot = Step::from_text(b"0.001").unwrap();
        let symbol = Symbol::new(b"BTCUSDT").unwrap();
        let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, tick, lot).unwrap();
        assert_eq!(spec.notional(Ticks::new(616_597), Lots::new(3)).to_string(), "184.9791");
    }
}
