//! Single numbers of usual messages: decimals up to their quote, and whole numbers as long as the one before.
//!
//! Numbers in a list repeat their column's form; those of a trade or a ticker stand alone. The decimal here is found and
//! converted by masks and table look-ups from one load of sixteen characters, so that no branch depends on how long it is.
//! Whole numbers (moments, ids) are as long as in the message before, almost always: where one ends is remembered
//! ([`Lens`]) and only checked, so the processor need not find it to go on.
//!
//! ```text
//! text     6  1  6  5  9  .  7  0  "  ,  "  B  "  :  "  1        quote at 8, dot at 5
//! kept     6  1  6  5  9  .  7  0  0  0  0  0  0  0  0  0        by the quote
//! lane     0  0  0  6  1  6  5  9 |7  0  0  0  0  0  0  0        by the dot; then as in `rows`
//! ```
#![allow(unsafe_code, reason = "calls compiled for SSE4.1 are unsafe; see `Sse::detect`")]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(target_arch = "x86_64")]
use super::column::Sse;
#[cfg(target_arch = "x86_64")]
use super::rows::{HALF, KEEP, SHIFTS, SURPLUS, Wide, Widest, load_16};
use super::scan::{Scanner, whole_of};
use super::simd::{Lanes, Plain};
use super::source::{Grid, LevelBuf};

/// Digits of the whole numbers of one stream's last message, in their order.
pub(super) type Lens = [u8; 6];

/// One level's way to read single numbers.
pub(super) trait Numbers: Lanes {
    /// The number whose `len` digits, at most sixteen, are the last of `window`; `None` if they are not digits.
    fn whole(self, window: &[u8; 16], len: usize) -> Option<u64>;

    /// The count of steps of the decimal that starts here, if it is one of the usual kind. Its quote is passed.
    fn usual_decimal<M: Lanes>(self, scanner: &mut Scanner<'_, M>, grid: &Grid) -> Option<i64>;
}

impl Numbers for Plain {
    #[inline(always)]
    fn whole(self, window: &[u8; 16], len: usize) -> Option<u64> {
        whole_of(window, len)
    }

    #[inline(always)]
    fn usual_decimal<M: Lanes>(self, _: &mut Scanner<'_, M>, _: &Grid) -> Option<i64> {
        None
    }
}

#[cfg(target_arch = "x86_64")]
impl Numbers for Sse {
    #[inline(always)]
    fn whole(self, window: &[u8; 16], len: usize) -> Option<u64> {
        // SAFETY: an `Sse` is made by `detect` alone, and only if the processor has both features.
        unsafe { whole(window, len) }
    }

    #[inline(always)]
    fn usual_decimal<M: Lanes>(self, scanner: &mut Scanner<'_, M>, grid: &Grid) -> Option<i64> {
        if !grid.is_narrow || grid.units != 1 {
            return None;
        }
        let window = scanner.bytes.get(scanner.pos..)?.first_chunk()?;
        // SAFETY: an `Sse` is made by `detect` alone, and only if the processor has both features.
        let (count, len) = unsafe { decimal(window, grid.decimals) }?;
        scanner.pos += len + 1;
        Some(count)
    }
}

#[cfg(target_arch = "x86_64")]
impl Numbers for Wide {
    #[inline(always)]
    fn whole(self, window: &[u8; 16], len: usize) -> Option<u64> {
        self.sse().whole(window, len)
    }

    #[inline(always)]
    fn usual_decimal<M: Lanes>(self, scanner: &mut Scanner<'_, M>, grid: &Grid) -> Option<i64> {
        self.sse().usual_decimal(scanner, grid)
    }
}

#[cfg(target_arch = "x86_64")]
impl Numbers for Widest {
    #[inline(always)]
    fn whole(self, window: &[u8; 16], len: usize) -> Option<u64> {
        self.sse().whole(window, len)
    }

    #[inline(always)]
    fn usual_decimal<M: Lanes>(self, scanner: &mut Scanner<'_, M>, grid: &Grid) -> Option<i64> {
        self.sse().usual_decimal(scanner, grid)
    }
}

impl<L: Numbers> Scanner<'_, L> {
    /// Takes a whole number and the text behind it, which must begin with what is no digit. `len` is the number of digits
    /// that is expected, and becomes what was found.
    #[inline(always)]
    pub(super) fn uint_before<const N: usize>(&mut self, len: &mut u8, behind: &[u8; N]) -> Option<u64> {
        let end = self.pos + usize::from(*len);
        // A zero is left to the slow way: it may only stand alone. So is no digit at all.
        if matches!(self.bytes.get(self.pos)?, b'1'..=b'9')
            && self.bytes.get(end..).and_then(|rest| rest.first_chunk()) == Some(behind)
            && let Some(window) = self.bytes.get(end.wrapping_sub(16)..).and_then(|rest| rest.first_chunk())
            && let Some(value) = self.lanes.whole(window, usize::from(*len))
        {
            self.pos = end + N;
            return Some(value);
        }
        let (value, digits, pos) = self.uint_of_other_len()?;
        (*len, self.pos) = (digits, pos);
        self.pass(behind)?;
        Some(value)
    }

    /// A decimal up to its quote, which is passed; the price's or the quantity's form is remembered where that helps.
    #[inline(always)]
    pub(super) fn px(&mut self, grid: &Grid, levels: &mut LevelBuf) -> Option<i64> {
        match self.lanes.usual_decimal(self, grid) {
            Some(count) => Some(count),
            None => self.decimal_to_quote(grid, &mut levels.px_written.of(grid).shape).ok(),
        }
    }

    /// As `px`, for a quantity.
    #[inline(always)]
    pub(super) fn qty(&mut self, grid: &Grid, levels: &mut LevelBuf) -> Option<i64> {
        match self.lanes.usual_decimal(self, grid) {
            Some(count) => Some(count),
            None => self.decimal_to_quote(grid, &mut levels.qty_written.of(grid).shape).ok(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn whole(window: &[u8; 16], len: usize) -> Option<u64> {
    let keep = load_16(KEEP.get(len..)?.first_chunk()?);
    let digits = _mm_and_si128(_mm_sub_epi8(load_16(window), _mm_set1_epi8(b'0' as i8)), keep);
    are_digits(digits).then(|| {
        let both = _mm_cvtsi128_si64(eights(digits)) as u64;
        (both & 0xffff_ffff) * 100_000_000 + (both >> 32)
    })
}

/// Whether all bytes are at most nine.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn are_digits(values: __m128i) -> bool {
    let nine = _mm_set1_epi8(9);
    _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(values, nine), nine)) == 0xffff
}

/// Two numbers of eight digits.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn eights(digits: __m128i) -> __m128i {
    let twos = _mm_maddubs_epi16(digits, _mm_set1_epi16(0x010a));
    let fours = _mm_madd_epi16(twos, _mm_set1_epi32(0x0001_0064));
    let packed = _mm_packus_epi32(fours, fours);
    _mm_madd_epi16(packed, _mm_set1_epi32(0x0001_2710))
}

/// For each place of a quote, the bytes before it.
#[cfg(target_arch = "x86_64")]
static BEFORE_QUOTE: [u8; 32] = {
    let mut before = [0; 32];
    let mut idx = 0;
    while idx < 16 {
        before[idx] = 0xff;
        idx += 1;
    }
    before
};

/// For each number of whole digits, where each byte of a lane comes from: the last whole digit becomes the last of the lower
/// half, the first behind the dot the first of the upper.
#[cfg(target_arch = "x86_64")]
static BY_DOT: [[u8; 16]; HALF + 1] = {
    let mut by_dot = [[0x80; 16]; HALF + 1];
    let mut whole = 0;
    while whole <= HALF {
        let mut idx = 0;
        while idx < whole {
            by_dot[whole][HALF - whole + idx] = idx as u8;
            idx += 1;
        }
        let mut idx = 0;
        while idx < HALF && whole + 1 + idx < 16 {
            by_dot[whole][HALF + idx] = (whole + 1 + idx) as u8;
            idx += 1;
        }
        whole += 1;
    }
    by_dot
};

/// The steps of one unit of that many decimals, and the characters before the quote.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn decimal(window: &[u8; 16], decimals: usize) -> Option<(i64, usize)> {
    let text = load_16(window);
    let places = |byte: u8| _mm_movemask_epi8(_mm_cmpeq_epi8(text, _mm_set1_epi8(byte as i8))) as u32;
    let quotes = places(b'"');
    let quote = (quotes | 0x1_0000).trailing_zeros() as usize;
    // The quote stands for the dot if there is none before it.
    let dot = (quotes | places(b'.') | 0x1_0000).trailing_zeros() as usize;
    // One to eight whole digits; no dot, or one to eight digits behind it.
    let behind = quote - dot;
    if quote == 16 || dot.wrapping_sub(1) >= HALF || behind == 1 || behind > HALF + 1 {
        return None;
    }
    let keep = load_16(BEFORE_QUOTE.get(16 - quote..)?.first_chunk()?);
    let values = _mm_and_si128(_mm_sub_epi8(text, _mm_set1_epi8(b'0' as i8)), keep);
    let lane = _mm_shuffle_epi8(values, load_16(&BY_DOT[dot.min(HALF)]));
    // All characters but the dot are in the lane, so a second dot is found by being no digit.
    let surplus = load_16(&SURPLUS[decimals.min(HALF)]);
    if !are_digits(lane) || _mm_testz_si128(lane, surplus) == 0 {
        return None;
    }
    let both = _mm_cvtsi128_si64(eights(_mm_shuffle_epi8(lane, load_16(&SHIFTS[decimals.min(HALF)])))) as u64;
    Some((((both & 0xffff_ffff) * 100_000_000 + (both >> 32)) as i64, quote))
}
