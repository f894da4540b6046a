//! One refresh: a round of samples becomes figures and the share of the gross exposure that they allow.

use super::{
    Backtest, CONFIDENCES, Confidence, Correlation, EwmaCovariance, ReturnHistory, Round, SAMPLES_MIN, Tail,
    cornish_fisher_var, normal_es, normal_var,
};
use crate::analytics::{Drawdown, DrawdownTracker};
use crate::types::{InstrumentTable, Money, Nanos, Symbol};

/// How slow risk is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowRiskConfig {
    /// Time between two samples, which is the step of every forecast.
    pub sample_every_ns: u64,
    /// Steps of history.
    pub window: usize,
    /// Decay of the covariance by a step, between 0 and 1.
    pub lambda: f64,
    /// Time for which figures are told and limited, by the square root of time from a step.
    pub horizon_ns: u64,
    /// Greatest 99 % value at risk of that time.
    pub var99_max: Money,
    /// Greatest 99 % expected shortfall of that time.
    pub es99_max: Money,
    /// The gross exposure of which the scale is a share.
    pub gross_max: Money,
    /// Greatest scale while the history is too short to measure.
    pub cold_share: f64,
}

/// How a value at risk is forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// Today's positions over yesterday's joint returns.
    Historical = 0,
    /// Normal distribution of the covariance with falling weights.
    Ewma = 1,
    /// The history's moments, corrected for skew and kurtosis.
    CornishFisher = 2,
}

impl Method {
    /// All of them, in the order in which figures stand.
    pub const ALL: [Self; 3] = [Self::Historical, Self::Ewma, Self::CornishFisher];

    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Historical => "historical",
            Self::Ewma => "ewma",
            Self::CornishFisher => "cornish_fisher",
        }
    }
}

/// Figures of one refresh, in the settlement currency over the horizon. Indexed by [`Method`] and by [`Confidence`]. `None` is not
/// known: too little history, or not defined.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Steps of history.
    pub samples: usize,
    /// Value at risk.
    pub var: [[Option<f64>; 2]; 3],
    /// Expected shortfall: historical, and of the normal distribution.
    pub es: [[Option<f64>; 2]; 2],
    /// Sum of the values of all positions, whatever their sign.
    pub gross: f64,
    /// What each position risks alone (99 %, normal), added up, over the equity: nothing is taken off for what does not move together. `None`
    /// without equity.
    pub heat: Option<f64>,
    /// Share of the gross exposure that is allowed, from 0 to 1.
    pub scale: f64,
    /// Whether the history is too short for the positions, so that the cold share holds.
    pub is_cold: bool,
}

impl Figures {
    /// The greatest value at risk of all methods that know one.
    pub fn worst_var(&self, confidence: Confidence) -> Option<f64> {
        worst(self.var.iter().map(|both| both[confidence as usize]))
    }

    /// The greatest expected shortfall.
    pub fn worst_es(&self, confidence: Confidence) -> Option<f64> {
        worst(self.es.iter().map(|both| both[confidence as usize]))
    }
}

fn worst(figures: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    figures.flatten().reduce(f64::max)
}

/// Everything that was measured in a run.
#[derive(Clone, Debug)]
pub struct SlowRiskReport {
    /// How it was measured.
    pub config: SlowRiskConfig,
    /// The instruments.
    pub symbols: Vec<Symbol>,
    /// Rounds taken.
    pub rounds: u64,
    /// Rounds in which a position had no price, so that nothing was published.
    pub blind: u64,
    /// The newest figures.
    pub last: Option<Figures>,
    /// Those of the greatest 99 % value at risk; `None` if nothing was ever at risk.
    pub worst: Option<Figures>,
    /// Deepest fall of the equity.
    pub drawdown: Option<Drawdown>,
    /// Correlation of the returns.
    pub correlation: Correlation,
    /// Outcomes of the forecasts for the next step, by [`Method`] and [`Confidence`].
    pub backtests: [[Backtest; 2]; 3],
}

/// The analyst itself: takes rounds, gives scales.
pub struct SlowRisk {
    config: SlowRiskConfig,
    symbols: Vec<Symbol>,
    /// Value of one lot at half a tick.
    unit_values: Vec<f64>,
    history: ReturnHistory,
    covariance: EwmaCovariance,
    /// Value of each position, signed.
    values: Vec<f64>,
    /// Newest price of each instrument.
    prices: Vec<f64>,
    gains: Vec<f64>,
    tail: Tail,
    /// Forecasts for the next step, for the positions of `values`.
    forecasts: [[Option<f64>; 2]; 3],
    backtests: [[Backtest; 2]; 3],
    drawdown: DrawdownTracker,
    at: Nanos,
    rounds: u64,
    blind: u64,
    last: Option<Figures>,
    worst: Option<Figures>,
}

impl SlowRisk {
    /// Makes an analyst without history.
    pub fn new(table: &InstrumentTable, config: SlowRiskConfig) -> Self {
        let len = table.len();
        Self {
            symbols: table.iter().map(|(_, spec)| spec.symbol).collect(),
            unit_values: table.iter().map(|(_, spec)| spec.tick_lot_value.to_f64_lossy() / 2.0).collect(),
            history: ReturnHistory::new(len, config.window),
            covariance: EwmaCovariance::new(len, config.lambda),
            values: vec![0.0; len],
            prices: vec![0.0; len],
            gains: Vec::with_capacity(config.window),
            tail: Tail::with_capacity(config.window),
            forecasts: Default::default(),
            backtests: Default::default(),
            drawdown: DrawdownTracker::default(),
            at: Nanos::ZERO,
            rounds: 0,
            blind: 0,
            last: None,
            worst: None,
            config,
        }
    }

    /// Takes a round; returns the scale to be published, or nothing where a position has no price: then what was published last
    /// grows old, as if nobody were here.
    ///
    /// # Cost
    /// Two operations for each pair of instruments, and one for each instrument at each step of the history.
    pub fn on_round(&mut self, round: &Round<'_>) -> Option<f64> {
        self.rounds += 1;
        let step_ns = round.at.saturating_since(std::mem::replace(&mut self.at, round.at));
        if let Some(equity) = round.equity {
            self.drawdown.on_equity(equity, round.at);
        }
        let is_blind = round.instruments.iter().any(|seen| !seen.position.is_zero() && seen.mid_e2 <= 0);
        if let Some(returns) = self.history.push(round.instruments) {
            let gain: f64 = returns.iter().zip(&self.values).map(|(r, v)| r * v).sum();
            self.covariance.push(returns);
            // A step that is not the one of the forecast does not judge it: a round was lost, or a price is missing.
            let is_step = step_ns <= self.config.sample_every_ns + self.config.sample_every_ns / 2;
            self.judge(-gain, is_step && !is_blind);
        }
        self.forecasts = Default::default();
        for (idx, seen) in round.instruments.iter().enumerate() {
            if seen.mid_e2 > 0 {
                self.prices[idx] = seen.mid_e2 as f64;
            }
            self.values[idx] = self.prices[idx] * seen.position.get() as f64 * self.unit_values[idx];
        }
        if is_blind {
            self.blind += 1;
            return None;
        }
        let figures = self.measure(round);
        let var = |figures: &Figures| figures.worst_var(Confidence::P99).unwrap_or(0.0);
        if var(&figures) > self.worst.as_ref().map_or(0.0, var) {
            self.worst = Some(figures);
        }
        self.last = Some(figures);
        Some(figures.scale)
    }

    /// What was measured so far.
    pub fn report(&self) -> SlowRiskReport {
        SlowRiskReport {
            config: self.config,
            symbols: self.symbols.clone(),
            rounds: self.rounds,
            blind: self.blind,
            last: self.last,
            worst: self.worst,
            drawdown: self.drawdown.worst().copied(),
            correlation: self.covariance.correlation(),
            backtests: self.backtests,
        }
    }

    /// Compares the loss of the step with what was forecast for it.
    fn judge(&mut self, loss: f64, counts: bool) {
        for (forecasts, backtests) in self.forecasts.iter().zip(&mut self.backtests) {
            for (forecast, backtest) in forecasts.iter().zip(backtests) {
                match forecast {
                    Some(forecast) if counts => backtest.note(loss > *forecast),
                    _ => backtest.gap(),
                }
            }
        }
    }

    fn measure(&mut self, round: &Round<'_>) -> Figures {
        let config = &self.config;
        let samples = self.history.filled();
        let gross: f64 = self.values.iter().map(|value| value.abs()).sum();
        let is_held = gross > 0.0;
        self.gains.clear();
        self.gains.extend(self.history.gains(&self.values));
        self.tail.fill(self.gains.iter().map(|gain| -gain));
        let is_short = samples < SAMPLES_MIN
            || (0..self.values.len()).any(|idx| self.values[idx] != 0.0 && self.history.known(idx) < SAMPLES_MIN);
        let sigma = self.covariance.portfolio_sigma(&self.values);
        let (mut var, mut es) = ([[None; 2]; 3], [[None; 2]; 2]);
        for confidence in CONFIDENCES {
            let at = confidence as usize;
            var[Method::Historical as usize][at] = self.tail.var(confidence);
            es[Method::Historical as usize][at] = self.tail.es(confidence);
            if samples > 1 {
                var[Method::Ewma as usize][at] = Some(normal_var(sigma, confidence));
                es[Method::Ewma as usize][at] = Some(normal_es(sigma, confidence));
            }
            // Moments of a few numbers say little about a tail.
            if samples >= SAMPLES_MIN && is_held {
                var[Method::CornishFisher as usize][at] = cornish_fisher_var(&self.gains, confidence);
            }
        }
        // Only a forecast of something can be wrong, and one from too little history is none.
        self.forecasts = if is_held && !is_short { var } else { Default::default() };
        let by_time = (config.horizon_ns as f64 / config.sample_every_ns as f64).sqrt();
        let stretch = |figure: &mut Option<f64>| *figure = figure.map(|it| it * by_time);
        var.iter_mut().flatten().for_each(stretch);
        es.iter_mut().flatten().for_each(stretch);
        let alone = |idx: usize| normal_var(self.covariance.sigma(idx), Confidence::P99) * by_time;
        let at_risk: f64 = self.values.iter().enumerate().map(|(idx, value)| value.abs() * alone(idx)).sum();
        let equity = round.equity.map(Money::to_f64_lossy).filter(|equity| *equity > 0.0);
        let mut figures = Figures {
            samples,
            var,
            es,
            gross,
            heat: equity.map(|equity| at_risk / equity),
            scale: 0.0,
            is_cold: is_short,
        };
        figures.scale = self.scale(&figures, by_time);
        figures
    }

    /// The share of the gross exposure up to which the worst figures stay within their limits.
    ///
    /// Value at risk and shortfall grow in proportion with the positions, so the limit is met at the gross exposure times limit over measure, if
    /// the mix stays. Where nothing is held the mix is not known, and all of it is taken to go into what moves most.
    fn scale(&self, figures: &Figures, by_time: f64) -> f64 {
        let config = &self.config;
        let (gross, var, es) = if figures.gross > 0.0 {
            (figures.gross, figures.worst_var(Confidence::P99), figures.worst_es(Confidence::P99))
        } else {
            let sigma = (0..self.values.len()).map(|idx| self.covariance.sigma(idx)).fold(0.0, f64::max) * by_time;
            (1.0, Some(normal_var(sigma, Confidence::P99)), Some(normal_es(sigma, Confidence::P99)))
        };
        let most = if figures.is_cold { config.cold_share } else { 1.0 };
        let share = |measured: Option<f64>, limit: Money| match measured {
            // Nothing was at risk in all that is known.
            Some(0.0) => 1.0,
            Some(measured) => gross * limit.to_f64_lossy() / measured / config.gross_max.to_f64_lossy(),
            // Not known: the cold share says what may be.
            None if figures.is_cold => 1.0,
            None => 0.0,
        };
        let shares = [share(var, config.var99_max), share(es, config.es99_max)];
        if shares.iter().any(|share| share.is_nan()) {
            // `min` would pass over it.
            return 0.0;
        }
        shares.into_iter().fold(most, f64::min).max(0.0)
    }
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
