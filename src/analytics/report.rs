//! Turns a watched session into the report: figures that can be serialised, printed and plotted.
//!
//! Money that is accounted for is exact and told as decimal text; statistics are floating point, for people. What is not defined
//! is `null`. Every figure is defined in `docs/analytics.md`.

use serde::Serialize;

use super::reference::Reference;
use super::session::{SampledMark, Session};
use super::stats::{Performance, Regression, annual_return, ratio, returns};
use super::sum::BpsSum;
use super::trips::TripCounts;
use crate::engine::PnlSplit;
use crate::types::{InstrumentSpec, Lots, Money, Nanos, Side};

/// Sessions shorter than this are warned of: a year extrapolated from them says little.
const SHORT_NS: u64 = 30 * 86_400 * 1_000_000_000;

/// What the session itself does not know.
#[derive(Clone, Debug)]
pub struct ReportInput {
    /// What was run: `backtest`, `journal`.
    pub kind: String,
    /// The strategy's name.
    pub strategy: String,
    /// What was replayed.
    pub sources: Vec<String>,
    /// What returns are regressed on.
    pub reference: Reference,
    /// The venue's own books at the end; without them what it last told counts.
    pub venue: Option<VenueEnd>,
}

/// What the venue's own books say at the end.
#[derive(Clone, Debug)]
pub struct VenueEnd {
    /// Wallets by settlement currency.
    pub wallets: Vec<Money>,
    /// Positions by instrument.
    pub positions: Vec<Lots>,
}

/// Money as decimal text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd)]
pub struct Amount(pub Money);

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A moment, in nanoseconds and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// Nanoseconds since the epoch (monotonic captures: since some start).
    pub ns: u64,
    /// The same in UTC.
    pub utc: String,
}

impl From<Nanos> for Moment {
    fn from(at: Nanos) -> Self {
        Self { ns: at.get(), utc: at.utc_text() }
    }
}

/// When it was.
#[derive(Clone, Debug, Serialize)]
pub struct Span {
    /// The account was known and trading could begin.
    pub start: Moment,
    /// The last event.
    pub end: Moment,
    /// Seconds between.
    pub seconds: f64,
    /// Events that the core was given.
    pub events: u64,
    /// Distance of two samples.
    pub sample_s: f64,
    /// Samples.
    pub samples: usize,
}

/// The accounting identity: realised − fees − funding = change of the wallet.
#[derive(Clone, Debug, Serialize)]
pub struct Identity {
    /// Wallet at the start, as the venue told it.
    pub wallet_start: Amount,
    /// Profit of what was closed, from executions alone.
    pub realised: Amount,
    /// Fees, from executions alone.
    pub fees: Amount,
    /// Funding paid, less received, as the venue told each payment.
    pub funding: Amount,
    /// What the wallet should be.
    pub wallet_expected: Amount,
    /// What the venue says it is.
    pub wallet_venue: Option<Amount>,
    /// The venue's less ours.
    pub difference: Option<Amount>,
    /// Whether the venue's positions are ours.
    pub positions_equal: bool,
    /// Whether wallet and positions are equal to the last unit; `false` also if the venue told no wallet.
    pub holds: bool,
}

/// Profit by where it came from: `total = spread + inventory − fees − funding`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Profit {
    /// The whole, open positions at the last mid.
    pub total: Amount,
    /// Edge of the fills against the mid at their moment.
    pub spread: Amount,
    /// What the mid did to the position afterwards.
    pub inventory: Amount,
    /// Fees, less rebates.
    pub fees: Amount,
    /// Funding paid.
    pub funding: Amount,
}

impl From<&PnlSplit> for Profit {
    fn from(split: &PnlSplit) -> Self {
        Self {
            total: Amount(split.total),
            spread: Amount(split.spread),
            inventory: Amount(split.inventory),
            fees: Amount(split.fees),
            funding: Amount(split.funding),
        }
    }
}

/// Returns and their ratios.
#[derive(Clone, Debug, Serialize)]
pub struct Returns {
    /// Equity at the start.
    pub equity_start: Amount,
    /// Equity at the end.
    pub equity_end: Amount,
    /// Return over the whole session.
    pub total_return: Option<f64>,
    /// The same, compounded to a year.
    pub annual_return: Option<f64>,
    /// Ratios of the sampled returns.
    #[serde(flatten)]
    pub performance: Performance,
    /// Annual return over the deepest drawdown.
    pub calmar: Option<f64>,
}

/// The deepest drawdown.
#[derive(Clone, Debug, Serialize)]
pub struct DrawdownReport {
    /// From the peak to the bottom.
    pub amount: Amount,
    /// As a share of the peak.
    pub share: Option<f64>,
    /// Equity at the peak.
    pub peak: Amount,
    /// The last moment at the peak.
    pub peak_at: Moment,
    /// The moment of the bottom.
    pub bottom_at: Moment,
    /// Back at the peak; `null`: never.
    pub recovered_at: Option<Moment>,
}

/// Round trips, from flat to flat.
#[derive(Clone, Debug, Serialize)]
pub struct TripsReport {
    /// Trips that ended.
    pub closed: u64,
    /// Trips under way at the end.
    pub open: usize,
    /// Trips that earned.
    pub wins: u64,
    /// Trips that lost.
    pub losses: u64,
    /// Winning trips over trips that ended.
    pub win_rate: Option<f64>,
    /// What winning trips earned over what losing ones lost.
    pub profit_factor: Option<f64>,
    /// Mean of the winning trips.
    pub average_win: Option<Amount>,
    /// Mean of the losing trips, above zero.
    pub average_loss: Option<Amount>,
    /// The best trip.
    pub best: Option<Amount>,
    /// The worst trip.
    pub worst: Option<Amount>,
    /// What all of them did to the wallet.
    pub net: Amount,
    /// Mean time from opening to closing.
    pub held_mean_s: Option<f64>,
}

impl TripsReport {
    fn new(counts: &TripCounts, open: usize) -> Self {
        let mean = |sum: Money, count: u64| (count > 0).then(|| Amount(Money::new(sum.get() / i128::from(count))));
        let some = |money| (counts.closed > 0).then_some(Amount(money));
        Self {
            closed: counts.closed,
            open,
            wins: counts.wins,
            losses: counts.losses,
            win_rate: ratio(counts.wins as f64, counts.closed as f64),
            profit_factor: ratio(counts.won.to_f64_lossy(), counts.lost.to_f64_lossy()),
            average_win: mean(counts.won, counts.wins),
            average_loss: mean(counts.lost, counts.losses),
            best: some(counts.best),
            worst: some(counts.worst),
            net: Amount(counts.net()),
            held_mean_s: ratio(counts.held_ns as f64 / 1e9, counts.closed as f64),
        }
    }
}

/// How much was held.
#[derive(Clone, Debug, Serialize)]
pub struct ExposureReport {
    /// Share of the time with any position.
    pub time_share: Option<f64>,
    /// Mean over time of the sum of the positions' values.
    pub gross_mean: Option<f64>,
    /// Its greatest value.
    pub gross_max: Amount,
}

/// How much was traded.
#[derive(Clone, Debug, Serialize)]
pub struct Turnover {
    /// Sum of the values of all fills.
    pub value: Amount,
    /// The same over the equity at the start.
    pub times_equity: Option<f64>,
    /// Executions.
    pub fills: u64,
    /// Of them as a maker.
    pub maker_fills: u64,
}

/// A mean over fills, weighted by value.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Mean {
    /// Fills in it.
    pub fills: u64,
    /// Hundredths of a percent.
    pub bps: Option<f64>,
}

/// A mean over fills for takers, makers and both.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Means {
    /// Resting fills.
    pub maker: Mean,
    /// Crossing fills.
    pub taker: Mean,
    /// All fills.
    pub all: Mean,
}

impl Means {
    fn new([taker, maker]: &[BpsSum; 2]) -> Self {
        let mean = |sum: &BpsSum| Mean { fills: sum.count, bps: sum.mean() };
        let mut all = *taker;
        all.merge(maker);
        Self { maker: mean(maker), taker: mean(taker), all: mean(&all) }
    }
}

/// What the market did after our fills.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MarkoutRow {
    /// Time after the fill.
    pub horizon_ms: u64,
    /// Mid then, less price, in the fill's direction.
    #[serde(flatten)]
    pub means: Means,
}

/// Orders by what became of them.
#[derive(Clone, Debug, Serialize)]
pub struct OrdersReport {
    /// New orders sent.
    pub sent: u64,
    /// Amendments sent.
    pub amended: u64,
    /// Cancels sent.
    pub cancelled: u64,
    /// New orders refused by the venue.
    pub rejected: u64,
    /// Orders with a fill.
    pub filled: u64,
    /// Orders filled whole.
    pub filled_whole: u64,
    /// Orders with a fill over orders sent.
    pub filled_ratio: Option<f64>,
    /// Orders filled whole over orders sent.
    pub filled_whole_ratio: Option<f64>,
    /// Quantity filled over quantity sent, instruments weighted by their last mid.
    pub quantity_ratio: Option<f64>,
}

/// The regression on a reference.
#[derive(Clone, Debug, Serialize)]
pub struct ReferenceReport {
    /// What it is.
    pub name: String,
    /// Its own return from the first to the last sample that has one.
    pub total_return: Option<f64>,
    /// The line.
    #[serde(flatten)]
    pub regression: Regression,
}

/// One instrument.
#[derive(Clone, Debug, Serialize)]
pub struct InstrumentReport {
    /// Its venue.
    pub venue: &'static str,
    /// Its name.
    pub symbol: String,
    /// Position at the end.
    pub position: String,
    /// Executions.
    pub fills: u64,
    /// Of them as a maker.
    pub maker_fills: u64,
    /// Sum of their values.
    pub turnover: Amount,
    /// Quantity of new orders, as amended.
    pub quantity_sent: String,
    /// Quantity filled.
    pub quantity_filled: String,
    /// Profit by where it came from.
    pub pnl: Profit,
    /// Round trips.
    pub trips: TripsReport,
}

/// Samples of one instrument, for plots.
#[derive(Clone, Debug, Serialize)]
pub struct InstrumentCurve {
    /// Its venue.
    pub venue: &'static str,
    /// Its name.
    pub symbol: String,
    /// Mid of each sample.
    pub mid: Vec<Option<f64>>,
    /// Position of each sample.
    pub position: Vec<f64>,
}

/// Samples, for plots.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Curves {
    /// Moment of the first.
    pub start_ns: u64,
    /// Distance of two.
    pub interval_ns: u64,
    /// Equity.
    pub equity: Vec<f64>,
    /// The reference; `null` where it has none.
    pub reference: Vec<Option<f64>>,
    /// By instrument, those that were traded.
    pub instruments: Vec<InstrumentCurve>,
}

/// A fill, for plots and lists.
#[derive(Clone, Debug, Serialize)]
pub struct FillReport {
    /// When it was told.
    pub at_ns: u64,
    /// The venue.
    pub venue: &'static str,
    /// The instrument.
    pub symbol: String,
    /// `buy` or `sell`.
    pub side: &'static str,
    /// Price.
    pub px: String,
    /// Quantity.
    pub qty: String,
    /// Whether we rested.
    pub is_maker: bool,
}

/// The whole report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was run.
    pub kind: String,
    /// The strategy's name.
    pub strategy: String,
    /// What was replayed.
    pub sources: Vec<String>,
    /// When; `null` if the account was never known.
    pub span: Option<Span>,
    /// The settlement currency: what every amount is in, and all figures are made of. Instruments of other currencies are in none.
    pub currency: String,
    /// The accounting identity.
    pub identity: Identity,
    /// Profit by where it came from.
    pub pnl: Profit,
    /// Returns and their ratios.
    pub returns: Returns,
    /// The deepest drawdown; `null` if the equity never fell.
    pub drawdown: Option<DrawdownReport>,
    /// Round trips.
    pub trips: TripsReport,
    /// How much was held.
    pub exposure: ExposureReport,
    /// How much was traded.
    pub turnover: Turnover,
    /// Price against the mid at the decision; above zero is a cost.
    pub slippage_bps: Means,
    /// What the market did after our fills.
    pub markouts_bps: Vec<MarkoutRow>,
    /// Orders by what became of them.
    pub orders: OrdersReport,
    /// The regression on a reference.
    pub reference: ReferenceReport,
    /// By instrument.
    pub instruments: Vec<InstrumentReport>,
    /// What a reader should know before trusting a figure.
    pub notes: Vec<String>,
    /// Samples.
    pub curves: Curves,
    /// The first fills.
    pub fills: Vec<FillReport>,
    /// Decimals with which amounts are shown: coins are worth more than dollars.
    #[serde(skip)]
    pub(super) money_decimals: usize,
}

impl Report {
    /// Makes the report of a session that has ended ([`Session::finish`]).
    pub fn new(session: &Session, input: &ReportInput) -> Self {
        let identity = identity(session, input.venue.as_ref());
        let curves = curves(session, &input.reference);
        let interval_ns = curves.interval_ns;
        let performance = returns(&curves.equity).map_or(Performance::default(), |r| Performance::of(&r, interval_ns));
        let span_ns = session.started_at().map_or(0, |start| session.now.saturating_since(start));
        let (start, end) = (session.wallet_start.unwrap_or(Money::ZERO), session.equity);
        // What is open at the start (a position that was there before) is part of the equity, not of the wallet.
        let start = session.curve.as_ref().and_then(|curve| curve.points().first()).map_or(start, |first| first.equity);
        let [start_lossy, end_lossy] = [start, end].map(Money::to_f64_lossy);
        let annual_return = annual_return(start_lossy, end_lossy, span_ns);
        let drawdown = session.drawdown.worst().map(|worst| DrawdownReport {
            amount: Amount(worst.amount()),
            share: super::stats::finite(worst.share()),
            peak: Amount(worst.peak),
            peak_at: worst.peak_at.into(),
            bottom_at: worst.bottom_at.into(),
            recovered_at: worst.recovered_at.map(Moment::from),
        });
        let share = drawdown.as_ref().and_then(|it| it.share);
        let calmar = annual_return.zip(share).and_then(|(annual, share)| ratio(annual, share));
        let mut split = PnlSplit::default();
        let mut trips = TripCounts::default();
        let (mut turnover, mut makers) = (Money::ZERO, 0);
        for watched in &session.instruments {
            let part = watched.split();
            split.spread = split.spread.saturating_add(part.spread);
            split.inventory = split.inventory.saturating_add(part.inventory);
            split.fees = split.fees.saturating_add(part.fees);
            split.funding = split.funding.saturating_add(part.funding);
            split.total = split.total.saturating_add(part.total);
            trips.add(watched.trips.counts());
            turnover = turnover.saturating_add(watched.holding.turnover);
            makers += watched.holding.maker_fills;
        }
        let open = session.instruments.iter().filter(|it| it.trips.is_open()).count();
        let exposure = &session.exposure;
        let mut report = Self {
            kind: input.kind.clone(),
            strategy: input.strategy.clone(),
            sources: input.sources.clone(),
            span: session.started_at().map(|start| Span {
                start: start.into(),
                end: session.now.into(),
                seconds: span_ns as f64 / 1e9,
                events: session.events,
                sample_s: interval_ns as f64 / 1e9,
                samples: curves.equity.len(),
            }),
            currency: session.currency.to_string(),
            identity,
            pnl: Profit::from(&split),
            returns: Returns {
                equity_start: Amount(start),
                equity_end: Amount(end),
                total_return: ratio(end_lossy - start_lossy, start_lossy),
                annual_return,
                performance,
                calmar,
            },
            drawdown,
            trips: TripsReport::new(&trips, open),
            exposure: ExposureReport {
                time_share: ratio(exposure.held_ns as f64, span_ns as f64),
                gross_mean: ratio(exposure.gross_ns, span_ns as f64),
                gross_max: Amount(exposure.gross_max),
            },
            turnover: Turnover {
                value: Amount(turnover),
                times_equity: ratio(turnover.to_f64_lossy(), start_lossy),
                fills: session.fills_count,
                maker_fills: makers,
            },
            slippage_bps: Means::new(&session.slippage),
            markouts_bps: session
                .markouts
                .sums()
                .map(|(horizon_ns, sums)| MarkoutRow { horizon_ms: horizon_ns / 1_000_000, means: Means::new(sums) })
                .collect(),
            orders: orders(session),
            reference: reference(session, &input.reference, &curves),
            instruments: ours(session).map(|(idx, _)| instrument(session, idx)).collect(),
            money_decimals: if ours(session).any(|(_, it)| it.spec.is_inverse()) { 8 } else { 4 },
            notes: Vec::new(),
            fills: fills(session),
            curves,
        };
        report.notes = notes(&report, span_ns);
        if session.is_part {
            let currency = session.currency;
            report.notes.push(format!(
                "Everything here is in {currency}, and of what is settled in it: other currencies have reports of their own, and \
                 there is no figure of all of them."
            ));
        }
        report
    }
}

/// The instruments that are settled in the session's currency.
fn ours(session: &Session) -> impl Iterator<Item = (usize, &super::watched::Watched)> {
    session.instruments.iter().enumerate().filter(|(idx, _)| session.is_ours(crate::types::InstrumentId(*idx as u16)))
}

fn identity(session: &Session, venue: Option<&VenueEnd>) -> Identity {
    let (realised, fees, funding) = (session.realised(), session.fees(), session.funding());
    let start = session.wallet_start.unwrap_or(Money::ZERO);
    let expected = start.saturating_add(realised).saturating_sub(fees).saturating_sub(funding);
    let wallet = match venue {
        Some(venue) => venue.wallets.get(session.settle.idx()).copied(),
        None => session.wallet_told,
    };
    let difference = wallet.map(|wallet| wallet.saturating_sub(expected));
    let told = |idx: usize| match venue {
        Some(venue) => venue.positions.get(idx).copied(),
        None => session.instruments[idx].told_position,
    };
    let positions_equal = ours(session).all(|(idx, it)| told(idx).is_none_or(|qty| qty == it.holding.position));
    Identity {
        wallet_start: Amount(start),
        realised: Amount(realised),
        fees: Amount(fees),
        funding: Amount(funding),
        wallet_expected: Amount(expected),
        wallet_venue: wallet.map(Amount),
        difference: difference.map(Amount),
        positions_equal,
        holds: positions_equal && difference == Some(Money::ZERO),
    }
}

/// What half ticks are worth, for people.
fn px_of_mid(spec: &InstrumentSpec, mid_e2: i64) -> f64 {
    mid_e2 as f64 / 2.0 * (spec.tick.pico() as f64 / 1e12)
}

fn qty_lossy(spec: &InstrumentSpec, qty: Lots) -> f64 {
    qty.get() as f64 * (spec.lot.pico() as f64 / 1e12)
}

fn curves(session: &Session, reference: &Reference) -> Curves {
    let Some(curve) = &session.curve else { return Curves::default() };
    let points = curve.points();
    let marks = |idx: usize| points.iter().map(move |point| point.marks[idx]);
    let mid = |idx: usize, mark: SampledMark| mark.mid_e2.map(|e2| px_of_mid(&session.instruments[idx].spec, e2));
    let moment = |idx: usize| curve.start().saturating_add(curve.interval_ns().saturating_mul(idx as u64));
    let reference = match reference {
        Reference::Instrument(id) if id.idx() < session.instruments.len() => {
            marks(id.idx()).map(|mark| mid(id.idx(), mark)).collect()
        }
        Reference::Instrument(_) => vec![None; points.len()],
        Reference::Series(series) => (0..points.len()).map(|idx| series.at(moment(idx))).collect(),
    };
    let traded = session.instruments.iter().enumerate().filter(|(_, it)| it.holding.fills > 0);
    Curves {
        start_ns: curve.start().get(),
        interval_ns: curve.interval_ns(),
        equity: points.iter().map(|point| point.equity.to_f64_lossy()).collect(),
        reference,
        instruments: traded
            .map(|(idx, it)| InstrumentCurve {
                venue: it.spec.venue.name(),
                symbol: it.spec.symbol.to_string(),
                mid: marks(idx).map(|mark| mid(idx, mark)).collect(),
                position: marks(idx).map(|mark| qty_lossy(&it.spec, mark.position)).collect(),
            })
            .collect(),
    }
}

fn orders(session: &Session) -> OrdersReport {
    let counts = session.orders.counts();
    let (mut sent, mut filled) = (0.0, 0.0);
    for (idx, it) in session.instruments.iter().enumerate() {
        let quantities = session.orders.quantities(crate::types::InstrumentId(idx as u16));
        let weight = match it.mid_e2() {
            // Worth the same at any price, in the quote currency.
            Some(_) if it.spec.is_inverse() => it.spec.contract_value.to_f64_lossy(),
            Some(mid_e2) => px_of_mid(&it.spec, mid_e2),
            None => 0.0,
        };
        sent += qty_lossy(&it.spec, quantities.sent) * weight;
        filled += qty_lossy(&it.spec, quantities.filled) * weight;
    }
    let share = |count: u64| ratio(count as f64, counts.sent as f64);
    OrdersReport {
        sent: counts.sent,
        amended: counts.amended,
        cancelled: counts.cancelled,
        rejected: counts.rejected,
        filled: counts.filled,
        filled_whole: counts.filled_whole,
        filled_ratio: share(counts.filled),
        filled_whole_ratio: share(counts.filled_whole),
        quantity_ratio: ratio(filled, sent),
    }
}

fn reference(session: &Session, reference: &Reference, curves: &Curves) -> ReferenceReport {
    let name = match reference {
        Reference::Instrument(id) => {
            session.instruments.get(id.idx()).map_or(String::new(), |it| it.spec.symbol.to_string())
        }
        Reference::Series(series) => series.name.clone(),
    };
    let step = |pair: &[f64]| (pair[0] > 0.0).then(|| pair[1] / pair[0] - 1.0);
    let known = |pair: &[Option<f64>]| pair[0].zip(pair[1]).and_then(|(from, to)| step(&[from, to]));
    let pairs: Vec<(f64, f64)> = curves
        .reference
        .windows(2)
        .zip(curves.equity.windows(2))
        .filter_map(|(reference, equity)| known(reference).zip(step(equity)))
        .collect();
    let mut values = curves.reference.iter().flatten();
    let first = values.next().copied();
    let last = values.next_back().copied();
    ReferenceReport {
        name,
        total_return: first.zip(last).and_then(|(first, last)| ratio(last - first, first)),
        regression: Regression::of(&pairs, curves.interval_ns),
    }
}

fn instrument(session: &Session, idx: usize) -> InstrumentReport {
    let it = &session.instruments[idx];
    let quantities = session.orders.quantities(crate::types::InstrumentId(idx as u16));
    let qty = |qty: Lots| it.spec.lot.text(qty.get());
    InstrumentReport {
        venue: it.spec.venue.name(),
        symbol: it.spec.symbol.to_string(),
        position: qty(it.holding.position),
        fills: it.holding.fills,
        maker_fills: it.holding.maker_fills,
        turnover: Amount(it.holding.turnover),
        quantity_sent: qty(quantities.sent),
        quantity_filled: qty(quantities.filled),
        pnl: Profit::from(&it.split()),
        trips: TripsReport::new(it.trips.counts(), usize::from(it.trips.is_open())),
    }
}

fn fills(session: &Session) -> Vec<FillReport> {
    let report = |fill: &super::session::KeptFill| {
        let spec = &session.instruments[fill.instrument.idx()].spec;
        FillReport {
            at_ns: fill.at.get(),
            venue: spec.venue.name(),
            symbol: spec.symbol.to_string(),
            side: if fill.side == Side::Bid { "buy" } else { "sell" },
            px: spec.tick.text(fill.px.get()),
            qty: spec.lot.text(fill.qty.get()),
            is_maker: fill.is_maker,
        }
    };
    session.fills.iter().map(report).collect()
}

fn notes(report: &Report, span_ns: u64) -> Vec<String> {
    let mut notes = Vec::new();
    if report.span.is_none() {
        notes
            .push("The venue told no balance, so that there is no equity and nothing that is made from it.".to_owned());
    } else if span_ns < SHORT_NS {
        notes.push(format!(
            "{} of data: figures for a year (annual return, volatility, Sharpe, Sortino, Calmar, alpha) are extrapolated from that.",
            super::text::span_text(span_ns as f64 / 1e9)
        ));
    }
    if report.turnover.fills == 0 {
        notes.push("No order was filled: there is nothing to measure but the market.".to_owned());
    }
    let omitted = report.turnover.fills.saturating_sub(report.fills.len() as u64);
    if omitted > 0 {
        notes.push(format!("The last {omitted} fills are in every figure, and not in the list and the plots."));
    }
    if report.trips.open > 0 {
        notes.push(format!(
            "{} still open at the end: in profit and equity at the last mid, in no round trip.",
            if report.trips.open == 1 {
                "A position was".to_owned()
            } else {
                format!("{} positions were", report.trips.open)
            }
        ));
    }
    if !report.identity.holds {
        notes.push("The books do not agree with the venue's: do not trust the figures.".to_owned());
    }
    notes
}
