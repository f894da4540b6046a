//! Exponential memory over irregular times.
//!
//! The weight of the past after `dt` is `tau / (tau + dt)` (one implicit Euler step of the exponential), which equals
//! `exp(-dt / tau)` for small steps, stays between 0 and 1 for any, and needs no transcendental function.

use crate::types::Nanos;

#[inline]
fn keep(tau_ns: f64, from: Nanos, to: Nanos) -> f64 {
    tau_ns / (tau_ns + to.saturating_since(from) as f64)
}

/// A smoothed value.
#[derive(Clone, Copy, Debug)]
pub struct Ewma {
    tau_ns: f64,
    value: f64,
    at: Option<Nanos>,
}

impl Ewma {
    /// Makes an average with a memory of `tau_ns` nanoseconds (at least one).
    pub fn new(tau_ns: u64) -> Self {
        Self { tau_ns: tau_ns.max(1) as f64, value: 0.0, at: None }
    }

    /// Takes a value that has held since the last one was taken.
    #[inline]
    pub fn update(&mut self, value: f64, at: Nanos) {
        self.value = match self.at {
            None => value,
            Some(before) => value + (self.value - value) * keep(self.tau_ns, before, at),
        };
        self.at = Some(at);
    }

    /// The average, 0 before the first value.
    #[inline]
    pub fn value(&self) -> f64 {
        self.value
    }
}

/// A sum that forgets: divided by its memory it is a rate.
#[derive(Clone, Copy, Debug)]
pub struct DecayedSum {
    tau_ns: f64,
    sum: f64,
    at: Nanos,
}

impl DecayedSum {
    /// Makes a sum with a memory of `tau_ns` nanoseconds (at least one).
    pub fn new(tau_ns: u64) -> Self {
        Self { tau_ns: tau_ns.max(1) as f64, sum: 0.0, at: Nanos::ZERO }
    }

    /// Adds `value` at `at`.
    #[inline]
    pub fn add(&mut self, value: f64, at: Nanos) {
        self.sum = self.sum * keep(self.tau_ns, self.at, at) + value;
        self.at = at;
    }

    /// What was added per second, as of `now`.
    #[inline]
    pub fn rate_per_s(&self, now: Nanos) -> f64 {
        self.sum * keep(self.tau_ns, self.at, now) * (1e9 / self.tau_ns)
    }
}
