//! One account's money and positions, exactly.
//!
//! A position keeps what its open part cost, not a rounded average, so that a round trip realises precisely what was paid less
//! what was received. Spot is kept the same way, with leverage 1 and no short positions: `balance` then counts
//! what is held at its cost.

use crate::types::{InstrumentId, InstrumentSpec, Lots, Money, Product, Rate, Side, Ticks};

/// One-way position in one instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Signed size.
    pub qty: Lots,
    /// What the open part cost, signed as `qty`; the average entry is this over `qty`.
    pub entry_value: Money,
    /// Realised profit before fees and funding, ever.
    pub realised: Money,
    /// Fees paid, ever (negative: rebates received).
    pub fees: Money,
    /// Funding paid, ever (negative: received).
    pub funding: Money,
    /// Money received less money paid for all fills, ever.
    pub cash: Money,
    /// Leverage in hundredths.
    pub leverage_e2: u32,
    /// Value of open buy orders that could enlarge the position.
    pub open_bids: Money,
    /// Value of open sell orders that could enlarge the position.
    pub open_asks: Money,
}

impl Holding {
    /// Returns the average entry price of one whole unit, rounded towards zero; zero when flat.
    pub fn entry_px(&self, spec: &InstrumentSpec) -> Money {
        if self.qty.is_zero() {
            return Money::ZERO;
        }
        // value / (lots · lot size) = value · 10¹² / (lots · lot size in 10⁻¹²).
        let size_pico = i128::from(self.qty.get()).saturating_mul(spec.lot.pico());
        Money::new(self.entry_value.get().saturating_mul(Money::ONE.get()) / size_pico)
    }

    /// Returns the profit that closing at `mark` would realise.
    pub fn unrealised(&self, spec: &InstrumentSpec, mark: Ticks) -> Money {
        spec.notional(mark, self.qty).saturating_sub(self.entry_value)
    }

    /// Returns the margin that the position and the open orders on its worse side tie up.
    pub fn margin(&self) -> Money {
        let long = self.entry_value.saturating_add(self.open_bids);
        let short = self.open_asks.saturating_sub(self.entry_value);
        let worst = long.max(short).max(Money::ZERO);
        Money::new(worst.get().saturating_mul(100) / i128::from(self.leverage_e2.max(1)))
    }

    /// Returns the margin of the position alone.
    pub fn position_margin(&self) -> Money {
        Money::new(self.entry_value.get().saturating_abs().saturating_mul(100) / i128::from(self.leverage_e2.max(1)))
    }
}

/// What one fill did to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillEffect {
    /// Fee paid (negative: rebate).
    pub fee: Money,
    /// Share of the value that the fee is.
    pub fee_rate: Rate,
    /// Profit realised, before the fee.
    pub realised: Money,
    /// How much of the fill closed an open position.
    pub closed: Lots,
}

/// One account.
#[derive(Clone, Debug)]
pub struct Account {
    start: Money,
    balance: Money,
    holdings: Vec<Holding>,
}

impl Account {
    /// Opens an account with `start` of the settlement currency and one flat position per instrument.
    pub fn new(start: Money, leverage_e2: u32, instruments: usize) -> Self {
        let flat = Holding {
            qty: Lots::ZERO,
            entry_value: Money::ZERO,
            realised: Money::ZERO,
            fees: Money::ZERO,
            funding: Money::ZERO,
            cash: Money::ZERO,
            leverage_e2,
            open_bids: Money::ZERO,
            open_asks: Money::ZERO,
        };
        Self { start, balance: start, holdings: vec![flat; instruments] }
    }

    /// Returns what the account started with.
    pub fn start(&self) -> Money {
        self.start
    }

    /// Returns the wallet balance: without unrealised profit.
    pub fn balance(&self) -> Money {
        self.balance
    }

    /// Returns the position in an instrument.
    ///
    /// # Panics
    /// When the instrument is not one of those the account was opened with: a bug of the caller.
    pub fn holding(&self, instrument: InstrumentId) -> &Holding {
        &self.holdings[instrument.idx()]
    }

    /// Returns all positions, by instrument.
    pub fn holdings(&self) -> &[Holding] {
        &self.holdings
    }

    /// Changes the leverage of an instrument.
    pub fn set_leverage(&mut self, instrument: InstrumentId, leverage_e2: u32) {
        self.holdings[instrument.idx()].leverage_e2 = leverage_e2;
    }

    /// Tells the value of open orders in an instrument, for margin.
    pub fn set_open_orders(&mut self, instrument: InstrumentId, bids: Money, asks: Money) {
        let holding = &mut self.holdings[instrument.idx()];
        (holding.open_bids, holding.open_asks) = (bids, asks);
    }

    /// Books a fill: position, realised profit and fee.
    pub fn fill(
        &mut self,
        instrument: InstrumentId,
        spec: &InstrumentSpec,
        side: Side,
        px: Ticks,
        qty: Lots,
        is_maker: bool,
    ) -> FillEffect {
        let holding = &mut self.holdings[instrument.idx()];
        let signed = Lots::new(qty.get().saturating_mul(side.sign()));
        let value = spec.notional(px, signed);
        let opens = holding.qty.get().signum() * signed.get().signum() >= 0;
        let closed = if opens { Lots::ZERO } else { qty.min(holding.qty.saturating_abs()) };
        let mut realised = Money::ZERO;
        if closed > Lots::ZERO {
            // The share of the cost that is closed; the rest keeps what rounding leaves, so nothing is lost over time.
            let cost = holding.entry_value.pro_rata(closed, holding.qty.saturating_abs());
            let closed_signed = Lots::new(closed.get().saturating_mul(side.sign()));
            // Selling (negative value) realises proceeds less cost; buying back likewise, with both signs turned.
            realised = spec.notional(px, closed_signed).saturating_neg().saturating_sub(cost);
            holding.entry_value = holding.entry_value.saturating_sub(cost);
        }
        let opened = Lots::new(qty.saturating_sub(closed).get().saturating_mul(side.sign()));
        holding.entry_value = holding.entry_value.saturating_add(spec.notional(px, opened));
        holding.qty = holding.qty.saturating_add(signed);
        holding.cash = holding.cash.saturating_sub(value);
        holding.realised = holding.realised.saturating_add(realised);
        let fee_rate = if is_maker { spec.maker_fee } else { spec.taker_fee };
        let fee = spec.notional(px, qty).share_rounded_up(fee_rate);
        holding.fees = holding.fees.saturating_add(fee);
        self.balance = self.balance.saturating_add(realised).saturating_sub(fee);
        FillEffect { fee, fee_rate, realised, closed }
    }

    /// Books a funding payment at `rate` of the position's value and returns what was paid (negative: received).
    pub fn fund(&mut self, instrument: InstrumentId, spec: &InstrumentSpec, mark: Ticks, rate: Rate) -> Money {
        let holding = &mut self.holdings[instrument.idx()];
        let paid = spec.notional(mark, holding.qty).share_rounded_up(rate);
        holding.funding = holding.funding.saturating_add(paid);
        self.balance = self.balance.saturating_sub(paid);
        paid
    }

    /// Returns the balance plus all unrealised profit. `mark` gives each instrument's spec and mark price.
    pub fn equity<'a>(&self, mark: impl Fn(InstrumentId) -> (&'a InstrumentSpec, Ticks)) -> Money {
        self.holdings.iter().enumerate().filter(|(_, holding)| !holding.qty.is_zero()).fold(
            self.balance,
            |sum, (idx, holding)| {
                let (spec, px) = mark(InstrumentId(idx as u16));
                sum.saturating_add(holding.unrealised(spec, px))
            },
        )
    }

    /// Returns the margin that all positions and open orders tie up.
    pub fn margin(&self) -> Money {
        self.holdings.iter().fold(Money::ZERO, |sum, holding| sum.saturating_add(holding.margin()))
    }

    /// Reports whether `equity` would carry one more order worth `value` on `side`. What reduces the margin is always carried.
    pub fn can_open(
        &self,
        instrument: InstrumentId,
        spec: &InstrumentSpec,
        side: Side,
        value: Money,
        equity: Money,
    ) -> bool {
        let mut after = *self.holding(instrument);
        match side {
            Side::Bid => after.open_bids = after.open_bids.saturating_add(value),
            Side::Ask => after.open_asks = after.open_asks.saturating_add(value),
        }
        if spec.product == Product::Spot && side == Side::Ask {
            return true; // sells are bounded by the quantity held, which the venue counts
        }
        let before = self.holding(instrument).margin();
        let more = after.margin().saturating_sub(before);
        more <= Money::ZERO || self.margin().saturating_add(more) <= equity
    }

    /// Checks that every unit of money is accounted for.
    ///
    /// # Panics
    /// When one is not.
    pub fn assert_invariants(&self) {
        let mut expected = self.start;
        for holding in &self.holdings {
            assert_eq!(
                holding.cash.saturating_add(holding.entry_value),
                holding.realised,
                "realised = received − paid + what the open part cost"
            );
            assert_eq!(
                holding.qty.is_zero(),
                holding.entry_value == Money::ZERO,
                "a flat position has cost nothing, and only a flat one"
            );
            let held = holding.realised.saturating_sub(holding.fees).saturating_sub(holding.funding);
            expected = expected.saturating_add(held);
        }
        assert_eq!(self.balance, expected, "balance = start + realised − fees − funding");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Step, Symbol, VenueId};
    use proptest::prelude::*;

    fn spec() -> InstrumentSpec {
        let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
        let symbol = Symbol::new(b"BTCUSDT").unwrap();
        InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap()
    }

    const ID: InstrumentId = InstrumentId(0);

    fn money(text: &str) -> Money {
        Money::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_round_trip_realises_the_difference_less_fees() {
        let spec = spec();
        let mut account = Account::new(money("1000"), 1000, 1);
        account.fill(ID, &spec, Side::Bid, Ticks::new(600_000), Lots::new(10), true);
        assert_eq!(account.holding(ID).entry_px(&spec), money("60000"));
        assert_eq!(account.holding(ID).margin(), money("60"));
        let effect = account.fill(ID, &spec, Side::Ask, Ticks::new(601_000), Lots::new(15), false);
        assert_eq!((effect.realised, effect.closed), (money("1"), Lots::new(10)));
        assert_eq!(account.holding(ID).qty, Lots::new(-5));
        assert_eq!(account.holding(ID).entry_px(&spec), money("60100"));
        assert_eq!(account.holding(ID).fees, money("0.12").saturating_add(money("0.495825")));
        assert_eq!(account.fund(ID, &spec, Ticks::new(600_000), Rate::new(10_000)), money("-0.03"));
        assert_eq!(account.balance(), money("1000.414175"));
        account.assert_invariants();
    }

    #[test]
    fn margin_counts_the_worse_side_and_lets_reductions_pass() {
        let spec = spec();
        let mut account = Account::new(money("100"), 1000, 1);
        let value = spec.notional(Ticks::new(600_000), Lots::new(10)); // 600
        assert!(account.can_open(ID, &spec, Side::Bid, value, account.balance()));
        assert!(!account.can_open(ID, &spec, Side::Bid, value.saturating_mul(2), account.balance()));
        account.fill(ID, &spec, Side::Bid, Ticks::new(600_000), Lots::new(16), true);
        assert!(account.can_open(ID, &spec, Side::Ask, value, account.balance()), "closing needs no margin");
        assert!(!account.can_open(ID, &spec, Side::Bid, value, account.balance()));
    }

    proptest! {
        #[test]
        fn every_unit_is_accounted_for(fills in proptest::collection::vec((any::<bool>(), 1i64..2_000_000, 1i64..5_000, any::<bool>()), 1..60)) {
            let spec = spec();
            let mut account = Account::new(money("1000000"), 1000, 1);
            for (buy, px, qty, is_maker) in fills {
                let side = if buy { Side::Bid } else { Side::Ask };
                account.fill(ID, &spec, side, Ticks::new(px), Lots::new(qty), is_maker);
                account.fund(ID, &spec, Ticks::new(px), Rate::new(-12_345));
                account.assert_invariants();
            }
        }
    }
}
