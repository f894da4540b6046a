//! Turns the events and commands of a session into everything that its report is made of.
//!
//! Memory does not grow with the session but for two things with a stated cap, samples ([`SessionConfig::points_max`]) and fills kept
//! for the plots ([`SessionConfig::fills_max`]). Statistics are made over everything.

use super::curve::Curve;
use super::drawdown::DrawdownTracker;
use super::markout::{Mark, Markouts};
use super::orders::Orders;
use super::sum::{BpsSum, slippage_bps};
use super::watched::Watched;
use crate::engine::Limits;
use crate::order::{Estimate, Estimates, ExecIds};
use crate::types::{
    Balance, Command, Currency, Event, Fill, Funding, InstrumentId, InstrumentTable, Lots, Money, Nanos, Position,
    SettleId, Side, Ticks,
};

/// How a session is watched.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Distance of two samples at the beginning; it doubles whenever the cap is reached.
    pub sample_ns: u64,
    /// Samples kept at most. With many instruments fewer are kept, see [`MARKS_MAX`].
    pub points_max: usize,
    /// Fills kept for plots and lists; the first ones.
    pub fills_max: usize,
    /// Capacities of the books, as the engine has them.
    pub limits: Limits,
    /// Whether the account is still to be asked for: positions that the venue tells are taken over, and nothing is booked, until
    /// [`Session::account_is_known`]. In a replay the account is what the feed says from the start.
    pub asks_account: bool,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            sample_ns: 1_000_000_000,
            points_max: 8_192,
            fills_max: 10_000,
            limits: Limits::default(),
            asks_account: false,
        }
    }
}

/// Samples times instruments kept at most: 16 MB.
pub const MARKS_MAX: usize = 1 << 20;

/// Executions that may wait for their fee, as in the engine.
const ESTIMATES_MAX: usize = 1024;

/// One instrument at a sampled moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampledMark {
    /// Twice the mid in ticks, if there was one.
    pub mid_e2: Option<i64>,
    /// Position.
    pub position: Lots,
}

/// The session at a sampled moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Wallet and open profit at the mid.
    pub equity: Money,
    /// By instrument.
    pub marks: Box<[SampledMark]>,
}

/// A fill that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptFill {
    /// When it was told.
    pub at: Nanos,
    /// Where.
    pub instrument: InstrumentId,
    /// Direction.
    pub side: Side,
    /// Price.
    pub px: Ticks,
    /// Quantity.
    pub qty: Lots,
    /// Whether we rested.
    pub is_maker: bool,
}

/// Time in positions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exposure {
    /// Time in which any position was open.
    pub held_ns: u64,
    /// Sum of the positions' values times time, in whole units of the settlement currency and nanoseconds.
    pub gross_ns: f64,
    /// The greatest sum of the positions' values.
    pub gross_max: Money,
}

/// See the module's documentation.
pub struct Session {
    config: SessionConfig,
    pub(super) instruments: Vec<Watched>,
    pub(super) orders: Orders,
    pub(super) markouts: Markouts,
    /// Slippage of takers and makers.
    pub(super) slippage: [BpsSum; 2],
    pub(super) drawdown: DrawdownTracker,
    pub(super) exposure: Exposure,
    pub(super) curve: Option<Curve<Sample>>,
    pub(super) fills: Vec<KeptFill>,
    pub(super) fills_count: u64,
    pub(super) wallet_start: Option<Money>,
    pub(super) wallet_told: Option<Money>,
    pub(super) equity: Money,
    pub(super) events: u64,
    pub(super) now: Nanos,
    exec_ids: ExecIds,
    estimates: Estimates,
    gross: Money,
    /// What each instrument is settled in, and in what this session is.
    settles: Vec<SettleId>,
    pub(super) settle: SettleId,
    pub(super) currency: Currency,
    /// Whether there are other currencies, whose instruments are not looked at.
    pub(super) is_part: bool,
    /// The one whose market is looked at all the same.
    reference: Option<InstrumentId>,
    /// Instruments with a position.
    held: usize,
    asks_account: bool,
}

impl Session {
    /// Begins to watch what is settled in the first currency of `table`; see [`Self::settled_in`].
    ///
    /// # Panics
    /// If a capacity of `config` is not what its documentation asks for.
    pub fn new(table: &InstrumentTable, config: SessionConfig) -> Self {
        Self::settled_in(table, config, SettleId::default(), None)
    }

    /// Begins to watch the instruments that are settled in one currency, and the market of `reference`.
    ///
    /// # Panics
    /// If a capacity of `config` is not what its documentation asks for.
    pub fn settled_in(
        table: &InstrumentTable,
        config: SessionConfig,
        settle: SettleId,
        reference: Option<InstrumentId>,
    ) -> Self {
        // The least that a book can be, for those that are not looked at.
        let least = Limits { window_ticks: 128, far_levels_max: 1, ..config.limits };
        let limits = |id| if table.settle(id) == settle || reference == Some(id) { &config.limits } else { &least };
        Self {
            instruments: table.iter().map(|(id, spec)| Watched::new(spec, limits(id))).collect(),
            settles: table.iter().map(|(id, _)| table.settle(id)).collect(),
            settle,
            currency: table.currencies().get(settle.idx()).copied().unwrap_or(Currency::UNKNOWN),
            is_part: table.currencies().len() > 1,
            reference,
            orders: Orders::new(table.len()),
            markouts: Markouts::default(),
            slippage: [BpsSum::default(); 2],
            drawdown: DrawdownTracker::default(),
            exposure: Exposure::default(),
            curve: None,
            fills: Vec::new(),
            fills_count: 0,
            wallet_start: None,
            wallet_told: None,
            equity: Money::ZERO,
            events: 0,
            now: Nanos::ZERO,
            exec_ids: ExecIds::new(config.limits.exec_ids_max),
            estimates: Estimates::new(ESTIMATES_MAX),
            gross: Money::ZERO,
            held: 0,
            asks_account: config.asks_account,
            config,
        }
    }

    /// The core is given `event`.
    ///
    /// # Cost
    /// As the engine's own book for a book event; otherwise constant, but for a sample or a markout that is due.
    pub fn on_event(&mut self, event: &Event<'_>) {
        if matches!(event, Event::Sent(_)) {
            // Not even the engine takes its time from it.
            return;
        }
        self.events += 1;
        let now = self.now.max(event.meta().recv);
        self.pass(now);
        let id = event.meta().instrument;
        if self.is_part && !self.concerns(event) {
            return;
        }
        match event {
            Event::Book(book) => self.on_market(id, |watched| watched.on_book(book, now)),
            Event::Top(top) => self.on_market(id, |watched| watched.on_top(top, now)),
            Event::BookStatus(status) => {
                if let Some(watched) = self.instruments.get_mut(id.idx()) {
                    watched.on_status(status);
                }
            }
            Event::Reject(reject) => self.orders.on_reject(reject, now),
            Event::Order(update) => self.orders.on_update(update, now),
            Event::Fill(fill) => self.on_fill(fill),
            Event::Funding(funding) => self.on_funding(funding),
            Event::Position(position) => self.on_position(position),
            Event::Balance(balance) => self.on_balance(balance),
            Event::Trade(_)
            | Event::Ticker(_)
            | Event::Ack(_)
            | Event::Absent(_)
            | Event::Pass(_)
            | Event::Link(_)
            | Event::Timer(_)
            | Event::Control(..)
            | Event::Carried(_)
            | Event::Signal(_)
            | Event::Sent(_) => {}
        }
    }

    /// Whether an instrument is settled in this session's currency.
    pub(super) fn is_ours(&self, id: InstrumentId) -> bool {
        self.settles.get(id.idx()).is_none_or(|settle| *settle == self.settle)
    }

    /// Whether an event is of this currency: of an instrument that is settled in it, or of its wallet, which an instrument names.
    fn concerns(&self, event: &Event<'_>) -> bool {
        let id = event.meta().instrument;
        let is_market = matches!(event, Event::Book(_) | Event::Top(_) | Event::BookStatus(_));
        self.is_ours(id) || (is_market && self.reference == Some(id))
    }

    /// A command left, or reaches the venue: up to five seconds after its decision its arrival mid is still known.
    pub fn on_command(&mut self, command: &Command) {
        if self.is_part && !self.is_ours(command.instrument) {
            return;
        }
        let mid_e2 = self.instruments.get(command.instrument.idx()).and_then(|watched| watched.mid_e2_at(command.at));
        self.orders.on_command(command, mid_e2);
    }

    /// The engine knows its account from now on: what it holds is its own. See [`SessionConfig::asks_account`].
    pub fn account_is_known(&mut self) {
        if std::mem::replace(&mut self.asks_account, false) {
            self.wallet_start = self.wallet_told;
            self.begin();
        }
    }

    /// The session has ended: takes the samples and markouts that are due at its last moment.
    pub fn finish(&mut self) {
        self.sample(self.now.saturating_add(1));
    }

    /// When the session began: the account was known; `None` if it never was.
    pub fn started_at(&self) -> Option<Nanos> {
        self.curve.as_ref().map(Curve::start)
    }

    /// Sum of realised profit over all instruments.
    pub fn realised(&self) -> Money {
        self.instruments.iter().fold(Money::ZERO, |sum, it| sum.saturating_add(it.holding.realised))
    }

    /// Sum of funding paid over all instruments.
    pub fn funding(&self) -> Money {
        self.instruments.iter().fold(Money::ZERO, |sum, it| sum.saturating_add(it.holding.funding))
    }

    /// Sum of fees over all instruments.
    pub fn fees(&self) -> Money {
        self.instruments.iter().fold(Money::ZERO, |sum, it| sum.saturating_add(it.holding.fees))
    }

    /// Time passes until `now`: everything that looks at the state in between looks now.
    #[inline]
    fn pass(&mut self, now: Nanos) {
        self.sample(now);
        if self.curve.is_some() {
            let passed_ns = now.saturating_since(self.now);
            if self.held > 0 {
                self.exposure.held_ns += passed_ns;
                self.exposure.gross_ns += self.gross.to_f64_lossy() * passed_ns as f64;
            }
        }
        self.orders.forget_until(now);
        self.now = now;
    }

    #[inline]
    fn sample(&mut self, now: Nanos) {
        let instruments = &self.instruments;
        self.markouts.catch_up(now, |id| instruments.get(id.idx())?.trusted_mid_e2());
        if let Some(curve) = &mut self.curve {
            let mark = |it: &Watched| SampledMark { mid_e2: it.mid_e2(), position: it.holding.position };
            let equity = self.equity;
            curve.catch_up(now, || Sample { equity, marks: instruments.iter().map(mark).collect() });
        }
    }

    fn on_market(&mut self, id: InstrumentId, take: impl FnOnce(&mut Watched) -> bool) {
        let Some(watched) = self.instruments.get_mut(id.idx()) else { return };
        if watched.holding.position.is_zero() {
            // What is flat is worth the same at any price.
            take(watched);
            return;
        }
        let (profit, gross) = (watched.profit(), watched.gross());
        if take(watched) {
            self.revalue(id, profit, gross);
        }
    }

    /// An instrument's profit and value have moved away from what they were.
    fn revalue(&mut self, id: InstrumentId, profit: Money, gross: Money) {
        let watched = &self.instruments[id.idx()];
        self.equity = self.equity.saturating_add(watched.profit()).saturating_sub(profit);
        self.gross = self.gross.saturating_add(watched.gross()).saturating_sub(gross);
        self.note_equity();
    }

    fn note_equity(&mut self) {
        if self.curve.is_some() {
            self.drawdown.on_equity(self.equity, self.now);
            self.exposure.gross_max = self.exposure.gross_max.max(self.gross);
        }
    }

    fn on_fill(&mut self, fill: &Fill) {
        let id = fill.meta.instrument;
        let Some(watched) = self.instruments.get_mut(id.idx()) else { return };
        if !self.exec_ids.insert(fill.exec_id) {
            return self.on_repeated_fill(fill);
        }
        if self.asks_account {
            // The position that is taken over holds it.
            return;
        }
        let (profit, gross) = (watched.profit(), watched.gross());
        watched.on_fill(fill, self.now);
        let value = watched.spec.notional(fill.px, fill.qty).to_f64_lossy();
        let (side, px, qty, is_maker) = (fill.side, fill.px, fill.qty, fill.is_maker);
        self.markouts.on_fill(Mark { instrument: id, side, px, value, is_maker }, self.now);
        let is_order_open = !self.match_order(fill, value);
        if !fill.is_fee_final || is_order_open {
            let is_fee_open = !fill.is_fee_final;
            self.estimates.insert(Estimate { exec_id: fill.exec_id, fee: fill.fee, is_fee_open, is_order_open });
        }
        self.fills_count += 1;
        if self.fills.len() < self.config.fills_max {
            self.fills.push(KeptFill { at: self.now, instrument: id, side, px, qty, is_maker });
        }
        self.count_held();
        self.revalue(id, profit, gross);
    }

    /// Counts an execution for its order; returns whether that is known.
    fn match_order(&mut self, fill: &Fill, value: f64) -> bool {
        let Some(arrival) = self.orders.on_fill(fill) else { return false };
        if let Some(bps) = arrival.and_then(|mid_e2| slippage_bps(fill.side, fill.px, mid_e2)) {
            self.slippage[usize::from(fill.is_maker)].add(bps, value);
        }
        true
    }

    /// The same execution again, from the other stream: with the venue's word on its fee, or with its order.
    fn on_repeated_fill(&mut self, fill: &Fill) {
        let Some(mut estimate) = self.estimates.take(fill.exec_id) else { return };
        let id = fill.meta.instrument;
        let Some(watched) = self.instruments.get_mut(id.idx()) else { return };
        let value = watched.spec.notional(fill.px, fill.qty).to_f64_lossy();
        if estimate.is_fee_open && fill.is_fee_final {
            estimate.is_fee_open = false;
            let (profit, gross) = (watched.profit(), watched.gross());
            watched.correct_fee(fill.fee.saturating_sub(estimate.fee));
            self.revalue(id, profit, gross);
        }
        estimate.is_order_open = estimate.is_order_open && !self.match_order(fill, value);
        if estimate.is_fee_open || (estimate.is_order_open && !fill.is_query) {
            self.estimates.insert(estimate);
        }
    }

    fn on_funding(&mut self, funding: &Funding) {
        let id = funding.meta.instrument;
        let Some(watched) = self.instruments.get_mut(id.idx()) else { return };
        // A wallet that is still to be taken over holds it.
        if self.exec_ids.insert(funding.exec_id) && !self.asks_account {
            let (profit, gross) = (watched.profit(), watched.gross());
            watched.on_funding(funding.paid);
            self.revalue(id, profit, gross);
        }
    }

    fn count_held(&mut self) {
        self.held = self.instruments.iter().filter(|it| !it.holding.position.is_zero()).count();
    }

    fn on_position(&mut self, position: &Position) {
        let Some(watched) = self.instruments.get_mut(position.meta.instrument.idx()) else { return };
        watched.told_position = Some(position.qty);
        if self.asks_account && position.asked_at != Nanos::ZERO {
            watched.adopt(position.qty, position.entry_px, self.now);
        }
    }

    fn on_balance(&mut self, balance: &Balance) {
        self.wallet_told = Some(balance.wallet);
        if self.wallet_start.is_none() && !self.asks_account {
            self.wallet_start = Some(balance.wallet);
            self.begin();
        }
    }

    /// Wallet and positions are known: the curves begin here.
    fn begin(&mut self) {
        let Some(wallet) = self.wallet_start else { return };
        let sum =
            |of: fn(&Watched) -> Money| self.instruments.iter().fold(Money::ZERO, |sum, it| sum.saturating_add(of(it)));
        self.equity = wallet.saturating_add(sum(Watched::profit));
        self.gross = sum(Watched::gross);
        self.count_held();
        let points_max = self.config.points_max.min(MARKS_MAX / self.instruments.len().max(1)).max(2);
        self.curve = Some(Curve::new(self.now, self.config.sample_ns.max(1), points_max));
        self.note_equity();
    }
}
