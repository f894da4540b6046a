//! What the engine keeps of each settlement currency: a [`Risk`] with limits of its own, and the wallet.
//!
//! Amounts of different currencies are never added up. What stops trading altogether (permits, breakers) is the worst of all.

use super::EngineConfig;
use crate::risk::{BreakerConfig, BreakerLevel, Refusal, Risk, RiskLimits};
use crate::types::{Currency, InstrumentTable, Money, Nanos, SettleId};

/// Limits in a settlement currency beside the main one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurrencyLimits {
    /// The currency, in which all money is.
    pub currency: Currency,
    /// Risk limits.
    pub risk: RiskLimits,
    /// As [`BreakerConfig::position_loss_max`].
    pub position_loss_max: Money,
    /// As [`BreakerConfig::heat_max`].
    pub heat_max: Money,
}

/// The wallet of a settlement currency, as the venue told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Wallet {
    /// At the start.
    pub start: Option<Money>,
    /// Last.
    pub venue: Option<Money>,
}

/// One settlement currency.
pub(super) struct Purse {
    pub currency: Currency,
    pub risk: Risk,
    pub wallet: Wallet,
    /// The breakers with the limits of this currency.
    pub breakers: BreakerConfig,
}

/// All settlement currencies of a session; usually it is one.
pub(super) struct Risks {
    first: Purse,
    others: Box<[Purse]>,
}

impl Risks {
    /// Makes them for the currencies of `table`. In one for which `config` has no limits nothing is traded.
    pub fn new(table: &InstrumentTable, config: &EngineConfig) -> Self {
        let purse = |currency: Currency| {
            let other = config.currencies.iter().find(|it| it.currency == currency);
            let (limits, breakers) = match other {
                _ if currency == config.currency => (config.risk, config.breakers),
                Some(it) => {
                    let (position_loss_max, heat_max) = (it.position_loss_max, it.heat_max);
                    (it.risk, BreakerConfig { position_loss_max, heat_max, ..config.breakers })
                }
                None => (RiskLimits { is_given: false, ..config.risk }, config.breakers),
            };
            Purse { currency, risk: Risk::new(limits), wallet: Wallet::default(), breakers }
        };
        let mut purses = table.currencies().iter().map(|currency| purse(*currency));
        let first = purses.next().unwrap_or_else(|| purse(config.currency));
        Self { first, others: purses.collect() }
    }

    /// The first, whose figures are those of the session where there is no other.
    #[inline(always)]
    pub const fn first(&self) -> &Purse {
        &self.first
    }

    /// The first.
    #[inline(always)]
    pub const fn first_mut(&mut self) -> &mut Purse {
        &mut self.first
    }

    /// Whether there is more than one.
    #[inline(always)]
    pub const fn are_several(&self) -> bool {
        !self.others.is_empty()
    }

    /// The risk of a currency.
    #[inline(always)]
    pub fn of(&self, settle: SettleId) -> &Risk {
        if settle.idx() == 0 { &self.first.risk } else { &self.purse(settle).risk }
    }

    /// The risk of a currency.
    #[inline(always)]
    pub fn of_mut(&mut self, settle: SettleId) -> &mut Risk {
        if settle.idx() == 0 { &mut self.first.risk } else { &mut self.purse_mut(settle).risk }
    }

    /// What is kept of a currency; ids are those of the table that it was made for.
    #[cold]
    pub fn purse(&self, settle: SettleId) -> &Purse {
        settle.idx().checked_sub(1).and_then(|idx| self.others.get(idx)).unwrap_or(&self.first)
    }

    /// What is kept of a currency.
    #[cold]
    pub fn purse_mut(&mut self, settle: SettleId) -> &mut Purse {
        settle.idx().checked_sub(1).and_then(|idx| self.others.get_mut(idx)).unwrap_or(&mut self.first)
    }

    /// All of them, in the order of their ids.
    pub fn all(&self) -> impl Iterator<Item = (SettleId, &Purse)> {
        std::iter::once(&self.first).chain(&self.others).enumerate().map(|(idx, it)| (SettleId(idx as u16), it))
    }

    /// All of them.
    fn all_mut(&mut self) -> impl Iterator<Item = &mut Risk> {
        std::iter::once(&mut self.first).chain(&mut self.others).map(|it| &mut it.risk)
    }

    /// See [`Risk::set_trading`].
    pub fn set_trading(&mut self, is_trading: bool) {
        self.all_mut().for_each(|risk| risk.set_trading(is_trading));
    }

    /// See [`Risk::is_trading`].
    #[inline]
    pub fn is_trading(&self) -> bool {
        self.first.risk.is_trading()
    }

    /// See [`Risk::on_permit`].
    pub fn on_permit(&mut self, is_given: bool, now: Nanos) {
        self.all_mut().for_each(|risk| risk.on_permit(is_given, now));
    }

    /// See [`Risk::is_permitted`].
    #[inline]
    pub fn is_permitted(&self, now: Nanos) -> bool {
        self.first.risk.is_permitted(now)
    }

    /// See [`Risk::on_slow_scale`].
    pub fn on_slow_scale(&mut self, scale: f64, now: Nanos) {
        self.all_mut().for_each(|risk| risk.on_slow_scale(scale, now));
    }

    /// See [`Risk::is_over_slow`]; of any.
    pub fn is_over_slow(&self, now: Nanos) -> bool {
        self.all().any(|(_, it)| it.risk.is_over_slow(now))
    }

    /// See [`Risk::is_over_committed`]; of any.
    pub fn is_over_committed(&self) -> bool {
        self.all().any(|(_, it)| it.risk.is_over_committed())
    }

    /// See [`Risk::day_level`]; the worst.
    pub fn day_level(&self) -> BreakerLevel {
        self.all().map(|(_, it)| it.risk.day_level(&it.breakers)).max().unwrap_or(BreakerLevel::Normal)
    }

    /// How often each reason was given, all currencies together.
    pub fn refused(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        let others =
            |refusal| self.others.iter().flat_map(|it| it.risk.refused()).filter(move |(it, _)| *it == refusal);
        self.first
            .risk
            .refused()
            .map(move |(refusal, count)| (refusal, others(refusal).fold(count, |sum, (_, count)| sum + count)))
    }

    /// See [`Risk::refuse`]; of what concerns no instrument.
    #[cold]
    pub fn refuse(&mut self, refusal: Refusal) -> Refusal {
        self.first.risk.refuse(refusal)
    }
}
