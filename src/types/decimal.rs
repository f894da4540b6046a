//! Decimal text ↔ counted integers, exactly or as an error. The only place where text becomes a price or a quantity.

use std::fmt;

use super::{Lots, Ticks};

/// Why a decimal text is not a whole number of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// There was no digit.
    #[error("empty number")]
    Empty,
    /// A byte that has no place in a plain decimal.
    #[error("byte 0x{found:02x} in a number")]
    BadByte {
        /// The byte.
        found: u8,
    },
    /// The value lies between two steps.
    #[error("number is not a multiple of the step ({units}e-{decimals})")]
    OffStep {
        /// Units of the step.
        units: u32,
        /// Decimals of the step.
        decimals: u8,
    },
    /// The value does not fit.
    #[error("number too large")]
    Overflow,
}

/// A tick or lot size: `units · 10^-decimals`, for example 0.5 is `{units: 5, decimals: 1}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    units: u32,
    decimals: u8,
}

impl Step {
    /// Most decimals that a step may have.
    pub const DECIMALS_MAX: u8 = 12;

    /// Makes a step of `units · 10^-decimals`; `None` if `units` is zero or `decimals` exceeds [`Self::DECIMALS_MAX`].
    pub const fn new(units: u32, decimals: u8) -> Option<Self> {
        if units == 0 || decimals > Self::DECIMALS_MAX { None } else { Some(Self { units, decimals }) }
    }

    /// Reads a step such as `0.10` or `5`. Trailing zeros are dropped: `0.10` has one decimal.
    ///
    /// # Errors
    /// [`DecimalError`] if the text is not a plain positive decimal within range.
    pub fn from_text(text: &[u8]) -> Result<Self, DecimalError> {
        let mut value = parse_i128(text, u32::from(Self::DECIMALS_MAX))?;
        let mut decimals = Self::DECIMALS_MAX;
        while decimals > 0 && value % 10 == 0 && value != 0 {
            value /= 10;
            decimals -= 1;
        }
        let units = u32::try_from(value).map_err(|_| DecimalError::Overflow)?;
        Self::new(units, decimals).ok_or(DecimalError::Empty)
    }

    /// Decimals of the step.
    pub const fn decimals(self) -> u8 {
        self.decimals
    }

    /// Units of the step at its decimals.
    pub const fn units(self) -> u32 {
        self.units
    }

    /// The step as a number of 10⁻¹² units.
    pub const fn pico(self) -> i128 {
        self.units as i128 * 10i128.pow((Self::DECIMALS_MAX - self.decimals) as u32)
    }

    /// Returns how many steps `text` is, exactly.
    ///
    /// # Errors
    /// [`DecimalError`]: not a plain decimal, between two steps, or too large.
    ///
    /// # Cost
    /// One pass over the text; a division only if the step is not a power of ten.
    #[inline]
    pub fn parse(self, text: &[u8]) -> Result<i64, DecimalError> {
        let value = parse_i64(text, u32::from(self.decimals), self)?;
        if self.units == 1 {
            return Ok(value);
        }
        let units = i64::from(self.units);
        if value % units == 0 { Ok(value / units) } else { Err(self.off_step()) }
    }

    /// [`Self::parse`] for a price.
    ///
    /// # Errors
    /// As [`Self::parse`].
    #[inline]
    pub fn parse_ticks(self, text: &[u8]) -> Result<Ticks, DecimalError> {
        self.parse(text).map(Ticks::new)
    }

    /// [`Self::parse`] for a quantity.
    ///
    /// # Errors
    /// As [`Self::parse`].
    #[inline]
    pub fn parse_lots(self, text: &[u8]) -> Result<Lots, DecimalError> {
        self.parse(text).map(Lots::new)
    }

    /// The error that says that a value lies between two steps.
    #[inline]
    pub const fn off_step(self) -> DecimalError {
        DecimalError::OffStep { units: self.units, decimals: self.decimals }
    }

    /// Writes `count` steps as a plain decimal with exactly this step's decimals and returns the length, or `None` if
    /// `out` is too short (22 + decimals bytes always suffice).
    ///
    /// # Cost
    /// No allocation; one division per digit.
    pub fn write(self, count: i64, out: &mut [u8]) -> Option<usize> {
        let mut digits = [0u8; 48];
        let mut at = digits.len();
        let value = i128::from(count) * i128::from(self.units);
        let mut rest = value.unsigned_abs();
        let mut written = 0u8;
        loop {
            if written == self.decimals && self.decimals > 0 {
                at -= 1;
                digits[at] = b'.';
            }
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            written += 1;
            if rest == 0 && written > self.decimals {
                break;
            }
        }
        if value < 0 {
            at -= 1;
            digits[at] = b'-';
        }
        let text = &digits[at..];
        out.get_mut(..text.len())?.copy_from_slice(text);
        Some(text.len())
    }

    /// Returns `count` steps as text; allocates, for reports.
    pub fn text(self, count: i64) -> String {
        let mut out = [0u8; 48];
        let len = self.write(count, &mut out).unwrap_or(0);
        String::from_utf8_lossy(&out[..len]).into_owned()
    }

    /// Returns `count` steps as `f64`, for signals and for people; never for money.
    #[inline]
    pub fn to_f64_lossy(self, count: i64) -> f64 {
        count as f64 * f64::from(self.units) / POW10_F64[self.decimals as usize]
    }
}

/// The plain decimal size, as `0.1`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_trimmed(i128::from(self.units), u32::from(self.decimals), f)
    }
}

const POW10_F64: [f64; 13] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];

/// Reads a plain decimal as an integer at `decimals`; digits beyond them must be zero.
#[inline]
fn parse_i64(text: &[u8], decimals: u32, step: Step) -> Result<i64, DecimalError> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return Err(DecimalError::Empty);
    }
    let mut value: i64 = 0;
    let mut missing = decimals;
    let mut in_fraction = false;
    let mut any = false;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            any = true;
            if in_fraction {
                if missing == 0 {
                    if digit != 0 {
                        return Err(step.off_step());
                    }
                    continue;
                }
                missing -= 1;
            }
            value =
                value.checked_mul(10).and_then(|v| v.checked_add(i64::from(digit))).ok_or(DecimalError::Overflow)?;
        } else if byte == b'.' && !in_fraction {
            in_fraction = true;
        } else {
            return Err(DecimalError::BadByte { found: byte });
        }
    }
    if !any {
        return Err(DecimalError::Empty);
    }
    while missing > 0 {
        value = value.checked_mul(10).ok_or(DecimalError::Overflow)?;
        missing -= 1;
    }
    Ok(if negative { -value } else { value })
}

/// The same over `i128`, for money; not for the hot path.
pub(super) fn parse_i128(text: &[u8], decimals: u32) -> Result<i128, DecimalError> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let (whole, fraction) = match digits.iter().position(|&b| b == b'.') {
        Some(dot) => (&digits[..dot], &digits[dot + 1..]),
        None => (digits, &digits[digits.len()..]),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DecimalError::Empty);
    }
    let mut value: i128 = 0;
    let push = |byte: u8, value: &mut i128| -> Result<(), DecimalError> {
        if !byte.is_ascii_digit() {
            return Err(DecimalError::BadByte { found: byte });
        }
        *value =
            value.checked_mul(10).and_then(|v| v.checked_add(i128::from(byte - b'0'))).ok_or(DecimalError::Overflow)?;
        Ok(())
    };
    for &byte in whole {
        push(byte, &mut value)?;
    }
    for idx in 0..decimals as usize {
        push(fraction.get(idx).copied().unwrap_or(b'0'), &mut value)?;
    }
    for &byte in fraction.get(decimals as usize..).unwrap_or(&[]) {
        match byte {
            b'0' => {}
            b'1'..=b'9' => return Err(DecimalError::OffStep { units: 1, decimals: decimals as u8 }),
            found => return Err(DecimalError::BadByte { found }),
        }
    }
    Ok(if negative { -value } else { value })
}

/// Prints `value · 10^-decimals` without trailing zeros.
pub(super) fn fmt_trimmed(value: i128, decimals: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let scale = 10u128.pow(decimals);
    let magnitude = value.unsigned_abs();
    let sign = if value < 0 { "-" } else { "" };
    let (whole, fraction) = (magnitude / scale, magnitude % scale);
    if fraction == 0 {
        return f.pad(&format!("{sign}{whole}"));
    }
    let digits = format!("{fraction:0width$}", width = decimals as usize);
    f.pad(&format!("{sign}{whole}.{}", digits.trim_end_matches('0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step(text: &str) -> Step {
        Step::from_text(text.as_bytes()).unwrap()
    }

    #[test]
    fn step_drops_trailing_zeros() {
        assert_eq!(step("0.10"), Step::new(1, 1).unwrap());
        assert_eq!(step("0.5"), Step::new(5, 1).unwrap());
        assert_eq!(step("10"), Step::new(10, 0).unwrap());
        assert!(Step::from_text(b"0").is_err());
        assert!(Step::from_text(b"").is_err());
    }

    #[test]
    fn parse_is_exact_or_an_error() {
        assert_eq!(step("0.10").parse(b"61659.70"), Ok(616_597));
        assert_eq!(step("0.5").parse(b"77140.5"), Ok(154_281));
        assert_eq!(step("0.5").parse(b"77140"), Ok(154_280));
        assert_eq!(step("0.1").parse(b"0.15"), Err(DecimalError::OffStep { units: 1, decimals: 1 }));
        assert_eq!(step("0.5").parse(b"0.6"), Err(DecimalError::OffStep { units: 5, decimals: 1 }));
        assert_eq!(step("0.1").parse(b""), Err(DecimalError::Empty));
        assert_eq!(step("0.1").parse(b"."), Err(DecimalError::Empty));
        assert_eq!(step("0.1").parse(b"-"), Err(DecimalError::Empty));
        assert_eq!(step("0.1").parse(b"1e5"), Err(DecimalError::BadByte { found: b'e' }));
        assert_eq!(step("0.1").parse(b"1.2.3"), Err(DecimalError::BadByte { found: b'.' }));
        assert_eq!(step("0.1").parse(b"99999999999999999999"), Err(DecimalError::Overflow));
    }

    proptest! {
        #[test]
        fn write_then_parse_is_identity(count in -1_000_000_000_000i64..1_000_000_000_000, units in 1u32..1000, decimals in 0u8..=6) {
            let step = Step::new(units, decimals).unwrap();
            prop_assert_eq!(step.parse(step.text(count).as_bytes()), Ok(count));
        }

        #[test]
        fn parse_never_panics(text in proptest::collection::vec(any::<u8>(), 0..40), units in 1u32..1000, decimals in 0u8..=12) {
            let _ = Step::new(units, decimals).unwrap().parse(&text);
            let _ = parse_i128(&text, u32::from(decimals));
        }
    }
}
