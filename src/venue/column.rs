//! Decimals of one column of numbers, sixteen characters at a time with SSE4.1.
//!
//! The numbers of a column are mostly written alike: as many digits before the dot, as many behind it. A [`Layout`]
//! remembers how the last one was. If the next one fits it, all its digits are checked, gathered and converted at once;
//! where it ends is known beforehand, so the processor need not search to go on. If it does not fit, the portable
//! conversion of [`scan`](super::scan) takes it, and is the oracle in the tests.
//!
//! ```text
//! text      6  1  6  5  9  .  7  0  "  ,  "  …      digits 0-4 and 6; literals: . at 5, 0 at 7 (beyond the tick), " at 8
//! gathered  0  0  0  0  0  0  0  0  0  0  6  1  6  5  9  7
//! ```
#![allow(unsafe_code, reason = "calls compiled for SSE4.1 are unsafe; see `Sse::detect`")]

use std::arch::x86_64::{
    __m128i, _mm_and_si128, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_cvtsi128_si64, _mm_madd_epi16, _mm_maddubs_epi16,
    _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_packus_epi32, _mm_set_epi64x, _mm_set1_epi8, _mm_setr_epi8,
    _mm_setr_epi16, _mm_shuffle_epi8, _mm_sub_epi8,
};

use super::WireError;
use super::scan::{Column, Scanner, Written};
use super::simd::Lanes;
use super::source::Grid;

/// Proof that the processor has SSSE3 and SSE4.1.
#[derive(Clone, Copy, Debug)]
pub struct Sse(());

impl Sse {
    /// Asks the processor.
    pub(super) fn detect() -> Option<Self> {
        let has_both = is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1");
        has_both.then_some(Self(()))
    }
}

/// How a number is written: which of sixteen characters are digits that count, and which are which literal.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    literals: u128,
    is_digit: u128,
    gather: u128,
    /// Characters up to and with the closing quote; 0 fits nothing.
    len: usize,
}

impl Layout {
    /// Fits no number.
    pub(super) const NONE: Self = Self { literals: 0, is_digit: 0, gather: 0, len: 0 };

    /// The layout of the number that the window begins with; `None` if it is not of the usual kind: more than fifteen
    /// characters, no digit before the dot or none behind it, digits that count beyond the step's decimals.
    #[inline(never)]
    pub(super) fn of(window: &[u8; 16], grid: &Grid) -> Option<Self> {
        let quote = window.iter().position(|&byte| byte == b'"')?;
        let text = &window[..quote];
        let dot = text.iter().position(|&byte| byte == b'.');
        let whole_len = dot.unwrap_or(quote);
        let fraction_len = quote - dot.map_or(quote, |dot| dot + 1);
        if whole_len == 0 || (dot.is_some() && fraction_len == 0) || !grid.is_narrow || whole_len + grid.decimals > 16 {
            return None;
        }
        let (mut literals, mut is_digit, mut gather) = ([0u8; 16], [0u8; 16], [0x80u8; 16]);
        literals[quote] = b'"';
        if let Some(dot) = dot {
            literals[dot] = b'.';
        }
        let counted = fraction_len.min(grid.decimals);
        for idx in 0..quote {
            // Where the character goes: the last decimal of the step is the last of sixteen.
            let place = match dot {
                Some(dot) if idx == dot => continue,
                Some(dot) if idx > dot + counted => {
                    literals[idx] = b'0';
                    continue;
                }
                Some(dot) if idx > dot => 16 - grid.decimals + (idx - dot - 1),
                _ => 16 - grid.decimals - whole_len + idx,
            };
            is_digit[idx] = 0xff;
            gather[place] = idx as u8;
        }
        Some(Self {
            literals: u128::from_le_bytes(literals),
            is_digit: u128::from_le_bytes(is_digit),
            gather: u128::from_le_bytes(gather),
            len: quote + 1,
        })
    }

    /// Characters up to and with the closing quote.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The units of the number at the start of the window, if it is written like this: at most 10¹⁶ - 1.
    #[inline(always)]
    pub(super) fn convert(&self, _has: Sse, window: &[u8; 16]) -> Option<u64> {
        // SAFETY: an `Sse` is made by `detect` alone, and only if the processor has both features.
        unsafe { convert(self, window) }
    }
}

/// Both columns of a list of levels.
#[inline(always)]
pub(super) fn pair<'w>(has: Sse, px: &'w mut Written, qty: &'w mut Written) -> (SseColumn<'w>, SseColumn<'w>) {
    (SseColumn { has, written: px }, SseColumn { has, written: qty })
}

/// Sixteen characters at a time.
pub(super) struct SseColumn<'w> {
    has: Sse,
    written: &'w mut Written,
}

impl Column for SseColumn<'_> {
    #[inline(always)]
    fn read(&mut self, scanner: &mut Scanner<'_, impl Lanes>, grid: &Grid) -> Result<i64, WireError> {
        if let Some(window) = scanner.bytes.get(scanner.pos..).and_then(|rest| rest.first_chunk())
            && let Some(units) = self.written.layout.convert(self.has, window)
            && grid.units == 1
        {
            scanner.pos += self.written.layout.len();
            return Ok(units as i64);
        }
        let (count, pos) = self.read_another(*scanner, grid)?;
        scanner.pos = pos;
        Ok(count)
    }
}

impl SseColumn<'_> {
    /// A number that is written otherwise than the one before.
    #[inline(never)]
    fn read_another<L: Lanes>(&mut self, mut scanner: Scanner<'_, L>, grid: &Grid) -> Result<(i64, usize), WireError> {
        let written = &mut *self.written;
        if let Some(window) = scanner.bytes.get(scanner.pos..).and_then(|rest| rest.first_chunk()) {
            std::mem::swap(&mut written.layout, &mut written.other);
            if let Some(units) = written.layout.convert(self.has, window)
                && grid.units == 1
            {
                return Ok((units as i64, scanner.pos + written.layout.len()));
            }
            if let Some(layout) = Layout::of(window, grid) {
                written.layout = layout;
            }
        }
        let count = scanner.decimal_to_quote(grid, &mut written.shape)?;
        Ok((count, scanner.pos))
    }
}

#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn load(bits: u128) -> __m128i {
    _mm_set_epi64x((bits >> 64) as i64, bits as i64)
}

#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn convert(layout: &Layout, window: &[u8; 16]) -> Option<u64> {
    let text = load(u128::from_le_bytes(*window));
    let is_digit = load(layout.is_digit);
    let digits = _mm_sub_epi8(text, _mm_set1_epi8(b'0' as i8));
    let are_digits = _mm_cmpeq_epi8(_mm_min_epu8(digits, _mm_set1_epi8(9)), digits);
    let are_literals = _mm_cmpeq_epi8(text, load(layout.literals));
    // Each character is judged as what it has to be: a zero byte must not pass for a literal where a digit counts.
    let good = _mm_or_si128(_mm_and_si128(is_digit, are_digits), _mm_andnot_si128(is_digit, are_literals));
    let bits = _mm_movemask_epi8(good) as u32;
    let wanted = (1u32 << layout.len) - 1;
    if layout.len == 0 || bits & wanted != wanted {
        return None;
    }
    let gathered = _mm_shuffle_epi8(digits, load(layout.gather));
    let twos = _mm_maddubs_epi16(gathered, _mm_setr_epi8(10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1));
    let fours = _mm_madd_epi16(twos, _mm_setr_epi16(100, 1, 100, 1, 100, 1, 100, 1));
    let packed = _mm_packus_epi32(fours, fours);
    let eights = _mm_madd_epi16(packed, _mm_setr_epi16(10_000, 1, 10_000, 1, 10_000, 1, 10_000, 1));
    let both = _mm_cvtsi128_si64(eights) as u64;
    Some((both & 0xffff_ffff) * 100_000_000 + (both >> 32))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::Step;

    fn window(text: &str) -> [u8; 16] {
        let mut window = [b'x'; 16];
        let text = format!("{text}\"");
        let len = text.len().min(16);
        window[..len].copy_from_slice(&text.as_bytes()[..len]);
        window
    }

    proptest! {
        #[test]
        fn what_is_converted_is_what_the_plain_way_reads(
            first in "[0-9]{1,10}(\\.[0-9]{0,6})?", second in "[0-9]{1,10}(\\.[0-9]{0,6})?",
            same in any::<bool>(), damage in prop::option::of((0usize..16, any::<u8>())), decimals in 0u8..=8,
        ) {
            let Some(has) = Sse::detect() else { return Ok(()) };
            let grid = Grid::new(Step::new(1, decimals).unwrap());
            let Some(layout) = Layout::of(&window(&first), &grid) else { return Ok(()) };
            let mut next = window(if same { &first } else { &second });
            if let Some((at, byte)) = damage {
                next[at] = byte;
            }
            if let Some(units) = layout.convert(has, &next) {
                let end = next.iter().position(|&byte| byte == b'"');
                prop_assert_eq!(end, Some(layout.len() - 1));
                prop_assert_eq!(grid.parse(&next[..layout.len() - 1]), Ok(units as i64));
            } else {
                let is_on_step = grid.parse(first.as_bytes()).is_ok();
                prop_assert!(!same || damage.is_some() || !is_on_step, "a number on the step fits its own layout");
            }
        }
    }
}
