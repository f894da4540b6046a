//! How much of what holds what: the beta of an exposure on the instruments that it may be hedged with.
//!
//! Beta is the slope of a regression of returns on returns, `cov(y, x) / var(x)`, over exponentially weighted samples of the mid. Its square
//! times `var(x) / var(y)` is the squared correlation: the share of the exposure's variance that a hedge takes away. Ederington, "The hedging
//! performance of the new futures markets" (1979).
//!
//! Thread: core, with timers. Allocates: at construction. Floating point is for the estimate alone, and uses the four operations only; what comes out are
//! integers in 10⁻⁶.

use crate::types::{InstrumentId, Money, Nanos, Rate, Symbol};

/// Instruments that may be kept for hedging.
pub const HEDGES_MAX: usize = 8;

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HedgeConfig {
    /// Instruments that are kept for hedging; no strategy trades them. Of several the best correlated is taken.
    pub with: Vec<Symbol>,
    /// Value of an instrument's position beyond which it is hedged.
    pub bound: Money,
    /// Value below which its hedge is taken off again; less than the bound.
    pub unwind: Money,
    /// Time between two samples, in nanoseconds.
    pub sample_ns: u64,
    /// Memory of the regression, in nanoseconds.
    pub memory_ns: u64,
    /// Samples below which no beta is known.
    pub samples_min: u32,
    /// Least correlation, whatever its sign.
    pub correlation_min: Rate,
    /// Share of the target by which a hedge may be off before it is changed.
    pub tolerance: Rate,
    /// Time for which the exposure is expected to stay, in nanoseconds: a hedge must take away more risk in it than it costs.
    pub horizon_ns: u64,
}

impl Default for HedgeConfig {
    fn default() -> Self {
        Self {
            with: Vec::new(),
            bound: Money::new(1_000 * Money::ONE.get()),
            unwind: Money::new(500 * Money::ONE.get()),
            sample_ns: 1_000_000_000,
            memory_ns: 300_000_000_000,
            samples_min: 60,
            correlation_min: Rate::new(70_000_000),
            tolerance: Rate::new(20_000_000),
            horizon_ns: 60_000_000_000,
        }
    }
}

/// How an exposure is held by one hedge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slope {
    /// Beta, in 10⁻⁶: the value of the hedge for each unit of the exposure.
    pub beta_e6: i64,
    /// Squared correlation, in 10⁻⁶.
    pub r2_e6: i64,
    /// Standard deviation of what the hedge takes away in the horizon, as a share of the exposure.
    pub removed: Rate,
}

/// What was done, and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HedgeCounts {
    /// Samples taken.
    pub samples: u64,
    /// Orders that set a hedge or made it larger, smaller, or none.
    pub orders: u64,
    /// Exposures beyond the bound for which no instrument was correlated enough, each time that one was looked at.
    pub uncorrelated: u64,
    /// Exposures beyond the bound whose hedge would have cost more than it takes away, likewise.
    pub too_dear: u64,
    /// Hedges taken off because the exposure had gone.
    pub unwound: u64,
}

/// The regressions of all instruments on all hedges.
#[derive(Debug)]
pub struct Hedger {
    config: HedgeConfig,
    hedges: Box<[InstrumentId]>,
    mids: Box<[f64]>,
    returns: Box<[f64]>,
    vars: Box<[f64]>,
    /// By instrument and hedge.
    covs: Box<[f64]>,
    /// Whether the instrument is hedged now, and with which of them.
    hedged: Box<[Option<usize>]>,
    due: Nanos,
    counts: HedgeCounts,
}

impl Hedger {
    /// Makes one for so many instruments, of which `hedges` are kept.
    pub fn new(config: HedgeConfig, hedges: Vec<InstrumentId>, instruments: usize) -> Self {
        let zeros = |len: usize| vec![0.0; len].into_boxed_slice();
        Self {
            covs: zeros(instruments * hedges.len()),
            hedges: hedges.into_boxed_slice(),
            config,
            mids: zeros(instruments),
            returns: zeros(instruments),
            vars: zeros(instruments),
            hedged: vec![None; instruments].into_boxed_slice(),
            due: Nanos::ZERO,
            counts: HedgeCounts::default(),
        }
    }

    /// The instruments that are kept.
    pub fn hedges(&self) -> &[InstrumentId] {
        &self.hedges
    }

    /// What it is told.
    pub const fn config(&self) -> &HedgeConfig {
        &self.config
    }

    /// What was done.
    pub const fn counts(&self) -> &HedgeCounts {
        &self.counts
    }

    /// An order for a hedge has left.
    pub fn note_order(&mut self) {
        self.counts.orders += 1;
    }

    /// Whether a sample is due.
    pub fn is_due(&self, now: Nanos) -> bool {
        now >= self.due
    }

    /// Takes the mid of each instrument in turn; an instrument without one has not moved.
    pub fn on_sample(&mut self, now: Nanos, mids: impl Iterator<Item = Option<f64>>) {
        self.due = now.saturating_add(self.config.sample_ns);
        self.counts.samples += 1;
        let places = self.mids.iter_mut().zip(&mut self.returns);
        for ((old, moved), mid) in places.zip(mids) {
            *moved = match mid {
                Some(mid) if *old > 0.0 && mid > 0.0 => (mid - *old) / *old,
                _ => 0.0,
            };
            *old = mid.unwrap_or(*old);
        }
        // The first samples count alike, the later ones by the memory.
        let by_memory = self.config.sample_ns as f64 / self.config.memory_ns.max(1) as f64;
        let weight = by_memory.max(1.0 / self.counts.samples as f64).min(1.0);
        for (idx, moved) in self.returns.iter().enumerate() {
            self.vars[idx] += weight * (moved * moved - self.vars[idx]);
            for (at, hedge) in self.hedges.iter().enumerate() {
                let cov = &mut self.covs[idx * self.hedges.len() + at];
                *cov += weight * (moved * self.returns[hedge.idx()] - *cov);
            }
        }
    }

    /// How an instrument's exposure is held by the hedge at a place of [`Self::hedges`]; `None` if that is not known.
    pub fn slope(&self, id: InstrumentId, at: usize) -> Option<Slope> {
        let hedge = self.hedges.get(at)?;
        let (var_y, var_x) = (*self.vars.get(id.idx())?, self.vars[hedge.idx()]);
        let cov = self.covs[id.idx() * self.hedges.len() + at];
        if self.counts.samples <= u64::from(self.config.samples_min) || var_x <= 0.0 || var_y <= 0.0 {
            return None;
        }
        let (beta, r2) = (cov / var_x, cov * cov / (var_x * var_y));
        // Of the horizon: the variance grows with the number of samples in it.
        let removed = cov * beta * (self.config.horizon_ns as f64 / self.config.sample_ns.max(1) as f64);
        let is_sound = beta.abs() < 1e6 && r2.is_finite() && (0.0..1e6).contains(&removed);
        is_sound.then(|| Slope {
            beta_e6: (beta * 1e6) as i64,
            r2_e6: (r2.min(1.0) * 1e6) as i64,
            removed: Rate::new(((removed * 1e16) as i128).isqrt().min(Rate::ONE.get().into()) as i64),
        })
    }

    /// With which hedge and slope an exposure of `value` is to be held now; `cost` is what entering and leaving a hedge costs, as a share of
    /// its value.
    pub fn hold(
        &mut self,
        id: InstrumentId,
        value: Money,
        cost: impl Fn(InstrumentId) -> Rate,
    ) -> Option<(usize, Slope)> {
        let size = value.get().saturating_abs();
        let was = *self.hedged.get(id.idx())?;
        let is_wanted = size > self.config.bound.get() || (was.is_some() && size > self.config.unwind.get());
        if !is_wanted {
            self.counts.unwound += u64::from(was.is_some());
            self.hedged[id.idx()] = None;
            return None;
        }
        if let Some(at) = was {
            // It stays with what holds it: a change of mind costs both ways.
            return self.slope(id, at).map(|slope| (at, slope));
        }
        let best = (0..self.hedges.len())
            .filter_map(|at| Some((at, self.slope(id, at)?)))
            .max_by_key(|(at, slope)| (slope.r2_e6, std::cmp::Reverse(*at)));
        let least = i128::from(self.config.correlation_min.get());
        // r² against the square of the least, both in 10⁻¹⁶.
        let Some((at, slope)) = best.filter(|(_, slope)| i128::from(slope.r2_e6) * 10_000_000_000 >= least * least)
        else {
            self.counts.uncorrelated += 1;
            return None;
        };
        let paid =
            i128::from(cost(self.hedges[at]).get()).saturating_mul(slope.beta_e6.unsigned_abs().into()) / 1_000_000;
        if paid >= slope.removed.get().into() {
            self.counts.too_dear += 1;
            return None;
        }
        self.hedged[id.idx()] = Some(at);
        Some((at, slope))
    }

    /// Whether `id` is kept for hedging.
    pub fn is_hedge(&self, id: InstrumentId) -> bool {
        self.hedges.contains(&id)
    }

    /// What an instrument is held with now.
    pub fn hedged_with(&self, id: InstrumentId) -> Option<(InstrumentId, Slope)> {
        let at = (*self.hedged.get(id.idx())?)?;
        Some((self.hedges[at], self.slope(id, at)?))
    }

    /// By how much a hedge that is worth `held` is to be changed to be worth `target`; nothing while it is close enough.
    pub fn change(&self, held: Money, target: Money) -> Money {
        let off = target.saturating_sub(held);
        let allowed = target.get().saturating_abs().saturating_mul(self.config.tolerance.get().into());
        let is_close = off.get().saturating_abs().saturating_mul(Rate::ONE.get().into()) <= allowed;
        if is_close { Money::ZERO } else { off }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const Y: InstrumentId = InstrumentId(0);

    fn whole(units: i128) -> Money {
        Money::new(units * Money::ONE.get())
    }

    fn config() -> HedgeConfig {
        HedgeConfig { samples_min: 50, memory_ns: u64::MAX, ..HedgeConfig::default() }
    }

    /// y moves by `slope` times x and by noise of its own; the third instrument is noise alone.
    fn followed(config: HedgeConfig, slope: f64, noise: f64, samples: u64) -> Hedger {
        let mut hedger = Hedger::new(config, vec![InstrumentId(1), InstrumentId(2)], 3);
        let mut mids = [1000.0, 50.0, 7.0];
        let mut random = 12_345u64;
        let mut draw = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        for at in 0..samples {
            let (x, own, other) = (draw() * 0.001, draw() * 0.001, draw() * 0.001);
            mids[0] *= 1.0 + slope * x + noise * own;
            mids[1] *= 1.0 + x;
            mids[2] *= 1.0 + other;
            hedger.on_sample(Nanos::new(at * 1_000_000_000), mids.iter().map(|mid| Some(*mid)));
        }
        hedger
    }

    #[test]
    fn the_slope_of_a_made_up_pair_is_found() {
        let hedger = followed(config(), 1.5, 0.0, 2_000);
        let slope = hedger.slope(Y, 0).unwrap();
        assert!((slope.beta_e6 - 1_500_000).abs() < 2_000, "{slope:?}");
        assert!(slope.r2_e6 > 999_000, "{slope:?}");
        // Uniform on ±0.05 %: its deviation is 0.1 %/√12; 1.5 times that, over sixty samples: √60.
        let want = 0.001 / 12f64.sqrt() * 1.5 * 60f64.sqrt() * 1e8;
        assert!((slope.removed.get() as f64 / want - 1.0).abs() < 0.05, "{slope:?} {want}");
        assert!(hedger.slope(Y, 1).unwrap().r2_e6 < 10_000, "noise holds nothing");
        // As much noise as movement: half of the variance.
        let half = followed(config(), 1.0, 1.0, 5_000).slope(Y, 0).unwrap();
        assert!((half.r2_e6 - 500_000).abs() < 50_000, "{half:?}");
        assert_eq!(followed(config(), 1.0, 0.0, 50).slope(Y, 0), None, "too few");
        let negative = followed(config(), -0.5, 0.0, 2_000).slope(Y, 0).unwrap();
        assert!((negative.beta_e6 + 500_000).abs() < 2_000, "{negative:?}");
    }

    #[test]
    fn an_exposure_is_held_beyond_the_bound_and_let_go_below_the_other_one() {
        let mut hedger = followed(config(), 1.5, 0.1, 500);
        let cheap = |_| Rate::ZERO;
        assert_eq!(hedger.hold(Y, whole(1_000), cheap), None);
        assert_eq!(hedger.hold(Y, whole(-1_001), cheap).unwrap().0, 0, "the better correlated one");
        assert!(hedger.hold(Y, whole(501), cheap).is_some(), "it stays until half of it is gone");
        assert_eq!(hedger.hold(Y, whole(500), cheap), None);
        assert_eq!(hedger.counts().unwound, 1);
        assert_eq!(hedger.hold(Y, whole(900), cheap), None);
    }

    #[test]
    fn what_holds_nothing_or_costs_too_much_is_not_tried() {
        let mut noise = followed(config(), 0.0, 1.0, 500);
        assert_eq!(noise.hold(Y, whole(5_000), |_| Rate::ZERO), None);
        let mut good = followed(config(), 1.0, 0.1, 500);
        // A minute removes some 0.22 % of the exposure; three tenths of a percent are too much for that.
        assert_eq!(good.hold(Y, whole(5_000), |_| Rate::new(300_000)), None);
        assert!(good.hold(Y, whole(5_000), |_| Rate::new(100_000)).is_some());
        assert_eq!((noise.counts().uncorrelated, good.counts().too_dear), (1, 1));
    }

    proptest! {
        #[test]
        fn a_hedge_is_changed_only_when_it_is_off_and_then_to_its_target(held in -5_000i128..5_000, target in -5_000i128..5_000) {
            let hedger = Hedger::new(config(), vec![], 1);
            let (held, target) = (whole(held), whole(target));
            let change = hedger.change(held, target);
            if change == Money::ZERO {
                let off = target.saturating_sub(held).get().abs();
                prop_assert!(off * 5 <= target.get().abs());
            } else {
                prop_assert_eq!(held.saturating_add(change), target);
            }
        }
    }
}
