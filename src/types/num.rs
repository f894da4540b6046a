//! Integers with a unit. What happens on overflow is in the method's name.

use std::fmt;

macro_rules! integer_newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name($inner);

        impl $name {
            /// Zero of this unit.
            pub const ZERO: Self = Self(0);
            /// The largest value.
            pub const MAX: Self = Self(<$inner>::MAX);
            /// The smallest value.
            pub const MIN: Self = Self(<$inner>::MIN);

            /// Wraps a raw integer that is already in this unit.
            #[inline]
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// Returns the raw integer.
            #[inline]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", self.0, stringify!($name))
            }
        }
    };
}

integer_newtype! {
    /// A price, counted in the instrument's tick size. Negative prices exist only as differences gone wrong.
    Ticks(i64)
}
integer_newtype! {
    /// A quantity, counted in the instrument's lot size. Signed where it is a position (long above zero).
    Lots(i64)
}
integer_newtype! {
    /// A moment: nanoseconds since the Unix epoch (monotonic captures: since some start).
    Nanos(u64)
}
integer_newtype! {
    /// A span of time in nanoseconds, possibly negative.
    NanosDelta(i64)
}
integer_newtype! {
    /// An amount of the settlement currency in units of 10⁻¹² (`Money::ONE` is one whole coin).
    ///
    /// One fixed scale makes fills, fees and funding add up exactly for every instrument whose tick times lot has at
    /// most twelve decimals; [`InstrumentSpec::new`](super::InstrumentSpec::new) refuses others. i128 holds 1.7·10²⁶
    /// whole coins, so saturation marks a bug or hostile input, never a market.
    Money(i128)
}
integer_newtype! {
    /// A fraction in units of 10⁻⁸, for fees and funding: 0.055 % is `Rate::new(55_000)`. Negative is a rebate.
    Rate(i64)
}

impl Ticks {
    /// The share `rate` of a price in whole ticks, rounded down, clamped to the range of `i64`.
    #[inline]
    pub const fn share(self, rate: Rate) -> i64 {
        match self.0.checked_mul(rate.0) {
            // The usual case: no division of two words.
            Some(product) => product.div_euclid(Rate::ONE.0),
            None => {
                let share = (self.0 as i128 * rate.0 as i128).div_euclid(Rate::ONE.0 as i128);
                if share > i64::MAX as i128 {
                    i64::MAX
                } else if share < i64::MIN as i128 {
                    i64::MIN
                } else {
                    share as i64
                }
            }
        }
    }

    /// Returns the price `by` ticks above (below if negative), clamped to the range of `i64`.
    #[inline]
    pub const fn saturating_add(self, by: i64) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// Returns how many ticks `self` lies above `other`, clamped to the range of `i64`.
    #[inline]
    pub const fn saturating_diff(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

impl Lots {
    /// Returns the sum, clamped to the range of `i64`.
    #[inline]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns the difference, clamped to the range of `i64`.
    #[inline]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns the sum, or `None` on overflow.
    #[inline]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(v) => Some(Self(v)),
            None => None,
        }
    }

    /// Returns the magnitude, clamped to the range of `i64`.
    #[inline]
    pub const fn saturating_abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// Returns the negative, clamped to the range of `i64`.
    #[inline]
    pub const fn saturating_neg(self) -> Self {
        Self(self.0.saturating_neg())
    }

    /// Whether the quantity is exactly zero.
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Nanos {
    /// Makes a moment from milliseconds since the epoch, clamped at the top.
    #[inline]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// Returns whole milliseconds since the epoch.
    #[inline]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Returns the moment `ns` later, clamped at the top.
    #[inline]
    pub const fn saturating_add(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Returns the moment `ns` earlier, clamped at the epoch.
    #[inline]
    pub const fn saturating_sub(self, ns: u64) -> Self {
        Self(self.0.saturating_sub(ns))
    }

    /// Returns nanoseconds from `earlier` to `self`, zero if `earlier` is later.
    #[inline]
    pub const fn saturating_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the signed distance from `other` to `self`, clamped to the range of `i64`.
    #[inline]
    pub const fn saturating_delta(self, other: Self) -> NanosDelta {
        if self.0 >= other.0 {
            let d = self.0 - other.0;
            NanosDelta(if d > i64::MAX as u64 { i64::MAX } else { d as i64 })
        } else {
            let d = other.0 - self.0;
            NanosDelta(if d > i64::MAX as u64 { i64::MIN } else { -(d as i64) })
        }
    }
}

/// The product, clamped to the range of `i128`. Where both fit into a word, as amounts of single orders do, it is one
/// multiplication.
#[inline]
pub(crate) const fn clamped_product(a: i128, b: i128) -> i128 {
    let (short_a, short_b) = (a as i64 as i128, b as i64 as i128);
    if short_a == a && short_b == b { short_a * short_b } else { a.saturating_mul(b) }
}

impl Money {
    /// Decimals of the fixed scale.
    pub const DECIMALS: u32 = 12;
    /// One whole unit of the settlement currency.
    pub const ONE: Self = Self(1_000_000_000_000);

    /// Returns the sum, clamped to the range of `i128`.
    #[inline]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns the difference, clamped to the range of `i128`.
    #[inline]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns the negative, clamped to the range of `i128`.
    #[inline]
    pub const fn saturating_neg(self) -> Self {
        Self(self.0.saturating_neg())
    }

    /// Returns the amount times a whole number, clamped to the range of `i128`.
    #[inline]
    pub const fn saturating_mul(self, by: i64) -> Self {
        Self(clamped_product(self.0, by as i128))
    }

    /// Returns the share `rate` of the amount, rounded up (towards plus infinity): a fee is never understated and a
    /// rebate never overstated.
    #[inline]
    pub const fn share_rounded_up(self, rate: Rate) -> Self {
        let product = self.0.saturating_mul(rate.0 as i128);
        let quotient = product.div_euclid(Rate::ONE.0 as i128);
        let exact = product.rem_euclid(Rate::ONE.0 as i128) == 0;
        Self(if exact { quotient } else { quotient + 1 })
    }

    /// Returns the part of the amount that belongs to `part` of `whole`, truncated towards zero: the cost of the share
    /// of a position that is closed. Zero if `whole` is zero.
    ///
    /// Engine and simulated venue both account by this rule, so that their balances agree to the last unit.
    pub const fn pro_rata(self, part: super::Lots, whole: super::Lots) -> Self {
        if whole.get() == 0 {
            return Self::ZERO;
        }
        Self(self.0.saturating_mul(part.get() as i128) / whole.get() as i128)
    }

    /// Reads a plain decimal such as `-12.5`, exactly.
    ///
    /// # Errors
    /// [`DecimalError`](super::DecimalError) if the text is not a plain decimal or has more than twelve decimals that
    /// are not zero.
    pub fn parse(text: &[u8]) -> Result<Self, super::DecimalError> {
        super::decimal::parse_i128(text, Self::DECIMALS).map(Self)
    }

    /// Returns the amount as `f64`, for people to look at; never for decisions.
    pub fn to_f64_lossy(self) -> f64 {
        self.0 as f64 / Self::ONE.0 as f64
    }
}

impl Rate {
    /// The whole: a rate of 100 %.
    pub const ONE: Self = Self(100_000_000);

    /// Reads a plain decimal fraction such as `0.00055`, exactly.
    ///
    /// # Errors
    /// [`DecimalError`](super::DecimalError) if the text is not a plain decimal, has more than eight decimals that are
    /// not zero, or does not fit.
    pub fn parse(text: &[u8]) -> Result<Self, super::DecimalError> {
        let value = super::decimal::parse_i128(text, 8)?;
        i64::try_from(value).map(Self).map_err(|_| super::DecimalError::Overflow)
    }
}

/// The plain decimal, without trailing zeros.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::decimal::fmt_trimmed(self.0, Self::DECIMALS, f)
    }
}

/// The plain decimal fraction, without trailing zeros.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::decimal::fmt_trimmed(i128::from(self.0), 8, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_is_rounded_against_us() {
        assert_eq!(Money::new(100_000_000).share_rounded_up(Rate::new(1)), Money::new(1));
        assert_eq!(Money::new(1).share_rounded_up(Rate::new(1)), Money::new(1));
        assert_eq!(Money::new(1).share_rounded_up(Rate::new(-1)), Money::new(0));
    }

    #[test]
    fn a_share_of_a_price_is_whole_ticks_whatever_its_size() {
        let percent = Rate::new(1_000_000);
        assert_eq!([199, 200, -1, 0].map(|px| Ticks::new(px).share(percent)), [1, 2, -1, 0]);
        assert_eq!(Ticks::new(i64::MAX).share(percent), i64::MAX / 100);
        assert_eq!(Ticks::new(i64::MAX).share(Rate::new(2 * Rate::ONE.get())), i64::MAX);
        assert_eq!(Ticks::new(i64::MIN).share(Rate::new(2 * Rate::ONE.get())), i64::MIN);
    }

    #[test]
    fn a_product_is_clamped_and_a_short_one_exact() {
        let long = i128::from(i64::MAX) + 1;
        for (a, b) in [
            (0, 5),
            (-7, 3),
            (i64::MAX.into(), i64::MIN.into()),
            (long, -2),
            (long, long),
            (i128::MAX, 2),
            (i128::MIN, 2),
        ] {
            assert_eq!(clamped_product(a, b), a.saturating_mul(b), "{a} {b}");
        }
    }

    #[test]
    fn money_parses_and_prints_exactly() {
        for text in ["0", "12", "-0.5", "26.3725275", "0.000000000001"] {
            assert_eq!(Money::parse(text.as_bytes()).unwrap().to_string(), text);
        }
        assert!(Money::parse(b"0.0000000000001").is_err());
        assert_eq!(Money::parse(b"0.00000000000100").unwrap(), Money::new(1));
    }

    #[test]
    fn deltas_are_signed_and_clamped() {
        assert_eq!(Nanos::new(5).saturating_delta(Nanos::new(7)), NanosDelta::new(-2));
        assert_eq!(Nanos::MAX.saturating_delta(Nanos::ZERO), NanosDelta::MAX);
        assert_eq!(Nanos::ZERO.saturating_delta(Nanos::MAX), NanosDelta::MIN);
    }
}
