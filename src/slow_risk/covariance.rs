//! Covariance of returns with exponentially falling weights (RiskMetrics 1996), and the correlation that follows from it.

/// Covariance of the returns of several instruments about zero: the mean of a step is far below what can be told from noise.
///
/// ```text
/// Σ = Σ_k λ^k · r_k·r_kᵀ / Σ_k λ^k          k = 0: the newest
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EwmaCovariance {
    len: usize,
    lambda: f64,
    /// Weighted sums of products, row by row; both triangles are kept, so that a row is one run of memory.
    sums: Vec<f64>,
    weight: f64,
}

/// Correlation coefficients, row by row; `None` where an instrument did not move.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Correlation {
    /// How many instruments.
    pub len: usize,
    /// Rows one after the other.
    pub cells: Vec<Option<f64>>,
}

impl Correlation {
    /// The coefficient of two instruments; `None` where it is not defined or there is none of that number.
    pub fn get(&self, a: usize, b: usize) -> Option<f64> {
        if a >= self.len || b >= self.len {
            return None;
        }
        self.cells.get(a * self.len + b).copied().flatten()
    }
}

impl EwmaCovariance {
    /// Makes it for `len` instruments; `lambda` is between 0 and 1, both excluded.
    pub fn new(len: usize, lambda: f64) -> Self {
        Self { len, lambda, sums: vec![0.0; len * len], weight: 0.0 }
    }

    /// Takes one step's returns, one of each instrument.
    ///
    /// # Cost
    /// Two operations for each pair of instruments.
    pub fn push(&mut self, returns: &[f64]) {
        debug_assert_eq!(returns.len(), self.len);
        self.weight = self.weight * self.lambda + 1.0;
        for (row, a) in self.sums.chunks_exact_mut(self.len.max(1)).zip(returns) {
            for (sum, b) in row.iter_mut().zip(returns) {
                *sum = *sum * self.lambda + a * b;
            }
        }
    }

    /// The covariance of two instruments; zero before the first step.
    pub fn get(&self, a: usize, b: usize) -> f64 {
        if self.weight > 0.0 { self.sums[a * self.len + b] / self.weight } else { 0.0 }
    }

    /// Standard deviation of one instrument.
    pub fn sigma(&self, idx: usize) -> f64 {
        self.get(idx, idx).max(0.0).sqrt()
    }

    /// Standard deviation of what `values` of the instruments gain in a step: √(vᵀΣv).
    pub fn portfolio_sigma(&self, values: &[f64]) -> f64 {
        if self.weight <= 0.0 {
            return 0.0;
        }
        let rows = self.sums.chunks_exact(self.len.max(1));
        let by_row = |row: &[f64]| row.iter().zip(values).map(|(sum, value)| sum * value).sum::<f64>();
        let variance: f64 = rows.zip(values).filter(|(_, v)| **v != 0.0).map(|(row, v)| v * by_row(row)).sum();
        (variance / self.weight).max(0.0).sqrt()
    }

    /// The correlation matrix.
    pub fn correlation(&self) -> Correlation {
        let pairs = (0..self.len).flat_map(|a| (0..self.len).map(move |b| (a, b)));
        let cells = pairs
            .map(|(a, b)| {
                let scale = self.sigma(a) * self.sigma(b);
                (scale > 0.0).then(|| (self.get(a, b) / scale).clamp(-1.0, 1.0))
            })
            .collect();
        Correlation { len: self.len, cells }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weights_fall_by_the_decay() {
        let mut found = EwmaCovariance::new(2, 0.5);
        assert_eq!((found.get(0, 1), found.portfolio_sigma(&[1.0, 1.0])), (0.0, 0.0));
        found.push(&[2.0, 1.0]);
        assert_eq!((found.get(0, 0), found.get(0, 1), found.get(1, 1)), (4.0, 2.0, 1.0), "one step is itself");
        found.push(&[0.0, 3.0]);
        // Weights 1 and 1/2: (0 + 4/2) / 1.5, (0 + 2/2) / 1.5, (9 + 1/2) / 1.5.
        assert!((found.get(0, 0) - 4.0 / 3.0).abs() < 1e-15);
        assert!((found.get(1, 0) - 2.0 / 3.0).abs() < 1e-15);
        assert!((found.get(1, 1) - 19.0 / 3.0).abs() < 1e-15);
        // v = (3, −1): 9·4/3 − 6·2/3 + 19/3.
        assert!((found.portfolio_sigma(&[3.0, -1.0]).powi(2) - (12.0 - 4.0 + 19.0 / 3.0)).abs() < 1e-12);
    }

    #[test]
    fn what_moves_together_is_correlated_and_what_rests_has_no_correlation() {
        let mut found = EwmaCovariance::new(4, 0.97);
        for step in 0..200 {
            let r = f64::from(step % 7) - 3.0;
            found.push(&[r, 2.0 * r, -r, 0.0]);
        }
        let rho = found.correlation();
        let near = |found: Option<f64>, want: f64| (found.unwrap() - want).abs() < 1e-12;
        assert!(near(rho.get(0, 0), 1.0) && near(rho.get(0, 1), 1.0) && near(rho.get(1, 2), -1.0));
        assert_eq!((rho.get(0, 3), rho.get(3, 3), rho.get(0, 4)), (None, None, None));
    }

    proptest! {
        /// The portfolio's variance is what the portfolio's own returns have, in whatever order the instruments stand.
        #[test]
        fn the_quadratic_form_is_the_variance_of_the_sum(
            steps in proptest::collection::vec(proptest::array::uniform3(-1.0..1.0f64), 1..60),
            values in proptest::array::uniform3(-1e4..1e4f64),
        ) {
            let (mut joint, mut single) = (EwmaCovariance::new(3, 0.9), EwmaCovariance::new(1, 0.9));
            let mut turned = EwmaCovariance::new(3, 0.9);
            for step in &steps {
                joint.push(step);
                turned.push(&[step[2], step[0], step[1]]);
                single.push(&[step.iter().zip(values).map(|(r, v)| r * v).sum()]);
            }
            let (a, b) = (joint.portfolio_sigma(&values), single.portfolio_sigma(&[1.0]));
            let c = turned.portfolio_sigma(&[values[2], values[0], values[1]]);
            let size: f64 = values.iter().map(|v| v.abs()).sum();
            prop_assert!((a - b).abs() <= 1e-6 * size && (a - c).abs() <= 1e-6 * size, "{} {} {}", a, b, c);
        }
    }
}
