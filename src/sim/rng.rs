//! A small random generator: the same numbers on every machine, for good.

/// splitmix64. Its statistics are ample for simulated traders, and its state is one word.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// Starts the sequence that belongs to `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`, or 0 for a bound of 0. The bias of the multiplication is below 2⁻³² for small bounds.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }

    /// Returns a number from `low` to `high`, both included.
    pub const fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    /// Returns true once in `times` calls on average.
    pub const fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Returns a number of roughly normal shape with the given standard deviation: a sum of four uniform ones.
    pub const fn bell(&mut self, deviation: i64) -> i64 {
        // A uniform number in ±a has deviation a/√3; four of them sum to 2a/√3, so a = deviation·√3/2 ≈ 0.866·deviation.
        let reach = deviation * 866 / 1000;
        self.between(-reach, reach)
            + self.between(-reach, reach)
            + self.between(-reach, reach)
            + self.between(-reach, reach)
    }
}
