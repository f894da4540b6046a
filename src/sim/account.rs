//! One account's money and positions, exactly.
//!
//! A position keeps what its open part cost, not a rounded average, so that a round trip realises precisely what was paid less
//! what was received. Spot is kept the same way, with leverage 1 and no short positions: `balance` then counts
//! what is held at its cost. Of an inverse contract each execution is booked at its value in coins, rounded once
//! ([`InstrumentSpec::parts`]); everything else is made of these, so that nothing is lost there either.
//!
//! There is a wallet for each settlement currency, and each carries its own positions alone.

use crate::types::{InstrumentId, InstrumentSpec, Lots, Money, Product, Rate, SettleId, Side, Ticks, settles_of};

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
    /// Money received less money paid for all fills, ever; of an inverse contract what was bought less what was sold, in coins.
    pub cash: Money,
    /// Whether it is an inverse contract, whose profit is its cost less its worth.
    pub is_inverse: bool,
    /// Leverage in hundredths.
    pub leverage_e2: u32,
    /// Value of open buy orders that could enlarge the position.
    pub open_bids: Money,
    /// Value of open sell orders that could enlarge the position.
    pub open_asks: Money,
}

impl Holding {
    /// Returns the average entry price of one whole unit, rounded towards zero; zero when flat. Of an inverse contract that is the
    /// harmonic mean.
    pub fn entry_px(&self, spec: &InstrumentSpec) -> Money {
        if self.qty.is_zero() {
            return Money::ZERO;
        }
        // value / (lots · lot size) = value · 10¹² / (lots · lot size in 10⁻¹²).
        let size_pico = i128::from(self.qty.get()).saturating_mul(spec.lot.pico());
        if spec.is_inverse() {
            let dollars = size_pico.saturating_mul(spec.contract_value.get());
            return Money::new(dollars.checked_div(self.entry_value.get()).unwrap_or(0));
        }
        Money::new(self.entry_value.get().saturating_mul(Money::ONE.get()) / size_pico)
    }

    /// Returns the profit that closing at `mark` would realise.
    pub fn unrealised(&self, spec: &InstrumentSpec, mark: Ticks) -> Money {
        spec.profit(spec.notional(mark, self.qty), self.entry_value)
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

/// What is held of one settlement currency.
#[derive(Clone, Copy, Debug)]
struct Wallet {
    start: Money,
    balance: Money,
}

/// One account.
#[derive(Clone, Debug)]
pub struct Account {
    /// By [`SettleId`].
    wallets: Vec<Wallet>,
    /// What each instrument is settled in.
    settles: Vec<SettleId>,
    holdings: Vec<Holding>,
}

impl Account {
    /// Opens an account with `start` of one settlement currency and one flat position per instrument, none of them inverse.
    pub fn new(start: Money, leverage_e2: u32, instruments: usize) -> Self {
        let wallets = vec![Wallet { start, balance: start }];
        Self {
            wallets,
            settles: vec![SettleId::default(); instruments],
            holdings: vec![Self::flat(leverage_e2); instruments],
        }
    }

    /// Opens an account for these instruments with `start` of their settlement currencies, in the order in which instruments first
    /// have them; with nothing of one that is left out.
    pub fn of<'a>(
        specs: impl Iterator<Item = &'a InstrumentSpec> + Clone,
        start: impl Fn(SettleId) -> Money,
        leverage_e2: u32,
    ) -> Self {
        let (settles, currencies) = settles_of(specs.clone());
        let wallet = |idx| {
            let start = start(SettleId(idx as u16));
            Wallet { start, balance: start }
        };
        let holding = |spec: &InstrumentSpec| Holding { is_inverse: spec.is_inverse(), ..Self::flat(leverage_e2) };
        let wallets = (0..currencies.len().max(1)).map(wallet).collect();
        Self { wallets, settles, holdings: specs.map(holding).collect() }
    }

    const fn flat(leverage_e2: u32) -> Holding {
        Holding {
            qty: Lots::ZERO,
            entry_value: Money::ZERO,
            realised: Money::ZERO,
            fees: Money::ZERO,
            funding: Money::ZERO,
            cash: Money::ZERO,
            is_inverse: false,
            leverage_e2,
            open_bids: Money::ZERO,
            open_asks: Money::ZERO,
        }
    }

    /// Returns what the account started with, of the first settlement currency.
    pub fn start(&self) -> Money {
        self.wallets[0].start
    }

    /// Returns the wallet balance of the first settlement currency: without unrealised profit.
    pub fn balance(&self) -> Money {
        self.wallets[0].balance
    }

    /// Returns the wallet balance of a settlement currency; nothing of one that the account does not have.
    pub fn balance_in(&self, settle: SettleId) -> Money {
        self.wallets.get(settle.idx()).map_or(Money::ZERO, |wallet| wallet.balance)
    }

    /// Returns how many settlement currencies there are.
    pub fn wallets_len(&self) -> usize {
        self.wallets.len()
    }

    /// Returns what an instrument is settled in.
    pub fn settle(&self, instrument: InstrumentId) -> SettleId {
        self.settles.get(instrument.idx()).copied().unwrap_or_default()
    }

    /// The positions that are settled in a currency, with their instruments.
    fn holdings_in(&self, settle: SettleId) -> impl Iterator<Item = (InstrumentId, &Holding)> {
        let all = self.settles.iter().zip(&self.holdings).enumerate();
        all.filter(move |(_, (at, _))| **at == settle).map(|(idx, (_, holding))| (InstrumentId(idx as u16), holding))
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
        let settle = self.settles[instrument.idx()];
        let holding = &mut self.holdings[instrument.idx()];
        let signed = Lots::new(qty.get().saturating_mul(side.sign()));
        let opens = holding.qty.get().signum() * signed.get().signum() >= 0;
        let closed = if opens { Lots::ZERO } else { qty.min(holding.qty.saturating_abs()) };
        let closed_signed = Lots::new(closed.get().saturating_mul(side.sign()));
        let opened_signed = Lots::new(qty.saturating_sub(closed).get().saturating_mul(side.sign()));
        let [closing, opening] = spec.parts(px, closed_signed, opened_signed);
        let value = closing.saturating_add(opening);
        let mut realised = Money::ZERO;
        if closed > Lots::ZERO {
            // The share of the cost that is closed; the rest keeps what rounding leaves, so nothing is lost over time.
            let cost = holding.entry_value.pro_rata(closed, holding.qty.saturating_abs());
            // Selling (negative value) realises proceeds less cost; buying back likewise, with both signs turned.
            realised = spec.profit(closing.saturating_neg(), cost);
            holding.entry_value = holding.entry_value.saturating_sub(cost);
        }
        holding.entry_value = holding.entry_value.saturating_add(opening);
        holding.qty = holding.qty.saturating_add(signed);
        holding.cash =
            if spec.is_inverse() { holding.cash.saturating_add(value) } else { holding.cash.saturating_sub(value) };
        holding.realised = holding.realised.saturating_add(realised);
        let fee_rate = if is_maker { spec.maker_fee } else { spec.taker_fee };
        let fee = spec.notional(px, qty).share_rounded_up(fee_rate);
        holding.fees = holding.fees.saturating_add(fee);
        let wallet = &mut self.wallets[settle.idx()];
        wallet.balance = wallet.balance.saturating_add(realised).saturating_sub(fee);
        FillEffect { fee, fee_rate, realised, closed }
    }

    /// Books a funding payment at `rate` of the position's value and returns what was paid (negative: received).
    pub fn fund(&mut self, instrument: InstrumentId, spec: &InstrumentSpec, mark: Ticks, rate: Rate) -> Money {
        let holding = &mut self.holdings[instrument.idx()];
        let paid = spec.notional(mark, holding.qty).share_rounded_up(rate);
        holding.funding = holding.funding.saturating_add(paid);
        let wallet = &mut self.wallets[self.settles[instrument.idx()].idx()];
        wallet.balance = wallet.balance.saturating_sub(paid);
        paid
    }

    /// Returns the balance plus all unrealised profit of a settlement currency. `mark` gives each instrument's spec and mark price.
    pub fn equity<'a>(&self, settle: SettleId, mark: impl Fn(InstrumentId) -> (&'a InstrumentSpec, Ticks)) -> Money {
        self.holdings_in(settle).filter(|(_, holding)| !holding.qty.is_zero()).fold(
            self.balance_in(settle),
            |sum, (id, holding)| {
                let (spec, px) = mark(id);
                sum.saturating_add(holding.unrealised(spec, px))
            },
        )
    }

    /// Returns the margin that all positions and open orders of a settlement currency tie up.
    pub fn margin(&self, settle: SettleId) -> Money {
        self.holdings_in(settle).fold(Money::ZERO, |sum, (_, holding)| sum.saturating_add(holding.margin()))
    }

    /// Reports whether `equity`, that of the instrument's settlement currency, would carry one more order worth `value` on `side`. What reduces the margin is always carried.
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
        more <= Money::ZERO || self.margin(self.settle(instrument)).saturating_add(more) <= equity
    }

    /// Checks that every unit of money is accounted for.
    ///
    /// # Panics
    /// When one is not.
    pub fn assert_invariants(&self) {
        for (idx, wallet) in self.wallets.iter().enumerate() {
            let held = self.holdings_in(SettleId(idx as u16)).fold(wallet.start, |sum, (_, holding)| {
                sum.saturating_add(holding.realised).saturating_sub(holding.fees).saturating_sub(holding.funding)
            });
            assert_eq!(wallet.balance, held, "balance = start + realised − fees − funding");
        }
        for holding in &self.holdings {
            let open = if holding.is_inverse { holding.entry_value.saturating_neg() } else { holding.entry_value };
            assert_eq!(
                holding.cash.saturating_add(open),
                holding.realised,
                "realised = received − paid + what the open part cost"
            );
            assert_eq!(
                holding.qty.is_zero(),
                holding.entry_value == Money::ZERO,
                "a flat position has cost nothing, and only a flat one"
            );
        }
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

    fn inverse_spec() -> InstrumentSpec {
        let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
        let symbol = Symbol::new(b"BTCUSD_PERP").unwrap();
        InstrumentSpec::new(VenueId::BINANCE_COINM, symbol, Product::Inverse, step("0.1"), step("1")).unwrap()
    }

    fn inverse_account(start: &str) -> Account {
        Account::of([inverse_spec()].iter(), |_| money(start), 1000)
    }

    #[test]
    fn an_inverse_contract_earns_coins_and_its_entry_is_the_harmonic_mean() {
        let spec = InstrumentSpec { maker_fee: Rate::new(10_000), taker_fee: Rate::new(50_000), ..inverse_spec() };
        let mut account = inverse_account("1");
        // A thousand dollars at 40,000 and at 60,000: 0.025 and 0.01666… coins.
        account.fill(ID, &spec, Side::Bid, Ticks::new(400_000), Lots::new(10), true);
        assert_eq!(account.holding(ID).fees, money("0.0000025"));
        account.fill(ID, &spec, Side::Bid, Ticks::new(600_000), Lots::new(10), true);
        assert_eq!(account.holding(ID).entry_value, money("0.041666666666"));
        assert_eq!(account.holding(ID).entry_px(&spec), money("48000.000000768"));
        assert_eq!(account.holding(ID).unrealised(&spec, Ticks::new(500_000)), money("0.001666666666"));
        let funding = account.fund(ID, &spec, Ticks::new(500_000), Rate::new(10_000));
        assert_eq!(funding, money("0.000004"), "of 0.04 coins");
        // It turns: twenty are closed at 0.04, and ten sold at 0.02.
        let effect = account.fill(ID, &spec, Side::Ask, Ticks::new(500_000), Lots::new(30), false);
        assert_eq!((effect.realised, effect.closed), (money("0.001666666666"), Lots::new(20)));
        assert_eq!((effect.fee, account.holding(ID).entry_value), (money("0.00003"), money("-0.02")));
        // Who is short earns when the coin falls: a thousand dollars are 0.025 coins again.
        let effect = account.fill(ID, &spec, Side::Bid, Ticks::new(400_000), Lots::new(10), true);
        assert_eq!(effect.realised, money("0.005"), "sold for 0.02 coins, bought back for 0.025");
        account.assert_invariants();
    }

    #[test]
    fn each_currency_has_a_wallet_of_its_own() {
        let specs = [spec(), inverse_spec()];
        let (usdt, btc) = (SettleId(0), SettleId(1));
        let mut account = Account::of(specs.iter(), |settle| money(["100", "1"][settle.idx()]), 1000);
        assert_eq!((account.wallets_len(), account.settle(InstrumentId(1))), (2, btc));
        account.fill(InstrumentId(1), &specs[1], Side::Bid, Ticks::new(500_000), Lots::new(10), true);
        assert_eq!((account.balance_in(usdt), account.margin(usdt)), (money("100"), Money::ZERO));
        assert_eq!((account.balance_in(btc), account.margin(btc)), (money("0.999996"), money("0.002")));
        // A coin more carries what no dollar does.
        let value = specs[1].notional(Ticks::new(500_000), Lots::new(4_000));
        assert!(account.can_open(InstrumentId(1), &specs[1], Side::Bid, value, account.balance_in(btc)));
        assert!(!account.can_open(
            InstrumentId(1),
            &specs[1],
            Side::Bid,
            value.saturating_mul(2),
            account.balance_in(btc)
        ));
        assert!(!account.can_open(ID, &specs[0], Side::Bid, money("1001"), account.balance_in(usdt)));
        let mark = |id: InstrumentId| (&specs[id.idx()], Ticks::new(400_000));
        assert_eq!(account.equity(btc, mark), money("0.994996"));
        assert_eq!(account.equity(usdt, mark), money("100"));
        account.assert_invariants();
    }

    proptest! {
        /// Nothing is lost in however many pieces, and the profit of *n* executions is less than *n* units from the exact one.
        #[test]
        fn every_unit_of_coins_is_accounted_for(
            fills in proptest::collection::vec((any::<bool>(), 1i64..2_000_000, 1i64..5_000, any::<bool>()), 1..60)
        ) {
            let spec = inverse_spec();
            let mut account = inverse_account("1000");
            // What is exact: dollars bought less sold over their price, as a sum of whole parts and of remainders over their prices.
            let (mut units, mut rest, mut held) = (0i128, 0.0f64, 0i64);
            for (buy, px, qty, is_maker) in &fills {
                let side = if *buy { Side::Bid } else { Side::Ask };
                account.fill(ID, &spec, side, Ticks::new(*px), Lots::new(*qty), *is_maker);
                account.fund(ID, &spec, Ticks::new(*px), Rate::new(-12_345));
                account.assert_invariants();
                let (num, den) = (spec.tick_lot_value.get() * i128::from(qty * side.sign()), i128::from(*px));
                units += num.div_euclid(den);
                rest += num.rem_euclid(den) as f64 / den as f64;
                held += qty * side.sign();
            }
            // Closed at one price: a position that is flat has no cost left, whatever pieces it was made of.
            if held != 0 {
                let side = if held > 0 { Side::Ask } else { Side::Bid };
                account.fill(ID, &spec, side, Ticks::new(600_000), Lots::new(held.abs()), true);
                let (num, den) = (spec.tick_lot_value.get() * i128::from(-held), 600_000);
                units += num.div_euclid(den);
                rest += num.rem_euclid(den) as f64 / den as f64;
            }
            account.assert_invariants();
            prop_assert_eq!(account.holding(ID).entry_value, Money::ZERO);
            let off = (account.holding(ID).realised.get() - units) as f64 - rest;
            prop_assert!(off.abs() < fills.len() as f64 + 1.0 + 1e-6, "{off}");
        }

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
