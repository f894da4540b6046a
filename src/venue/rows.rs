//! Rows of levels, `["61659.70","0.004"],`, without a branch that depends on how long a number is.
//!
//! A window of 64 characters is turned into masks, one bit a character: quotes, dots, digits. The positions of the
//! quotes say where numbers begin and end; the first dot after a number's beginning says where its fraction begins.
//! Numbers of one column differ in length from row to row, which is what a search for the next quote or a guess from the
//! row before pays for with mispredicted branches; here it is only data.
//!
//! ```text
//! window      [ " 6 1 6 5 9 . 7 0 " , " 0 . 0 0 4 " ] , [ " 6 1 6 5 9 . 6 0 " , " 0 " ] , …
//! not numeric [ "                 " , "           " ] , [ "                 " , "   " ] ,    must be exactly this
//! lane 0                             0 0 0 6 1 6 5 9|7 0 0 0 0 0 0 0                         dots gone, aligned where
//! lane 1                             0 0 0 0 0 0 0 0|0 0 4 0 0 0 0 0                         the dots were
//! shifted     by eight less the step's decimals; what falls out must be zero
//! ```
//!
//! [`Widest`] takes two rows at a time: the digits of all four numbers are compressed into one run and expanded from there
//! into four lanes of sixteen, by a mask that follows from the lengths. [`Wide`] takes one row at a time: it loads the
//! sixteen characters before each closing quote and shuffles them by the length of the fraction.
//!
//! What is taken is exactly a row in the dense form with numbers of one to eight whole digits and up to eight of a
//! fraction, on the step, the price not zero. Everything else is left to [`scan`](super::scan), row by row, which is also
//! what tells errors and the oracle in the tests.
#![allow(unsafe_code, reason = "calls compiled for AVX2 and AVX-512 are unsafe, and so are their loads and stores")]

use std::arch::x86_64::*;

use super::WireError;
use super::column::{self, Sse};
use super::runs;
use super::scan::{Rest, RowTaker, Scanner};
use super::simd::Lanes;
use super::source::{Grid, LevelBuf, Rows, Span};
use crate::types::{Level, Lots, Ticks};

/// Characters in a window.
const WINDOW: usize = 64;

/// Digits on either side of the dot in a lane.
pub(super) const HALF: usize = 8;

/// Proof that the processor has AVX2, BMI1, BMI2, POPCNT and LZCNT (and with them SSE4.1).
#[derive(Clone, Copy, Debug)]
pub struct Wide(Sse);

/// Proof that the processor has all of [`Wide`] and AVX-512 F, BW, VL and VBMI2.
#[derive(Clone, Copy, Debug)]
pub struct Widest(Wide);

impl Wide {
    /// Asks the processor.
    pub(super) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("lzcnt");
        Sse::detect().filter(|_| has_all).map(Self)
    }
}

impl Wide {
    /// What it includes.
    #[inline(always)]
    pub(super) fn sse(self) -> Sse {
        self.0
    }
}

impl Widest {
    /// What it includes.
    #[inline(always)]
    pub(super) fn sse(self) -> Sse {
        self.0.0
    }

    /// Asks the processor.
    pub(super) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi2");
        Wide::detect().filter(|_| has_all).map(Self)
    }
}

impl Lanes for Wide {
    #[inline(always)]
    fn levels<M: Lanes>(
        self,
        scanner: &mut Scanner<'_, M>,
        grids: (&Grid, &Grid),
        out: &mut LevelBuf,
    ) -> Result<Span, WireError> {
        let LevelBuf { rows, px_written, qty_written } = out;
        let columns = column::pair(self.0, px_written.of(grids.0), qty_written.of(grids.1));
        scanner.levels_by(grids, rows, columns, WideRows { steps: Steps::new(grids), _has: self })
    }
}

impl Lanes for Widest {
    #[inline(always)]
    fn levels<M: Lanes>(
        self,
        scanner: &mut Scanner<'_, M>,
        grids: (&Grid, &Grid),
        out: &mut LevelBuf,
    ) -> Result<Span, WireError> {
        let LevelBuf { rows, px_written, qty_written } = out;
        let columns = column::pair(self.0.0, px_written.of(grids.0), qty_written.of(grids.1));
        scanner.levels_by(grids, rows, columns, WidestRows { steps: Steps::new(grids), _has: self })
    }
}

/// Decimals of both columns' steps, if lanes can hold their counts.
#[derive(Clone, Copy)]
struct Steps(Option<(u8, u8)>);

impl Steps {
    #[inline(always)]
    fn new((px, qty): (&Grid, &Grid)) -> Self {
        let is_usual = px.is_narrow && qty.is_narrow && px.units == 1 && qty.units == 1;
        Self(is_usual.then_some((px.decimals as u8, qty.decimals as u8)))
    }
}

/// For each number of decimals, where each byte of a lane comes from so that the step's last decimal becomes the last byte.
pub(super) static SHIFTS: [[u8; 16]; HALF + 1] = {
    let mut shifts = [[0x80; 16]; HALF + 1];
    let mut decimals = 0;
    while decimals <= HALF {
        let by = HALF - decimals;
        let mut idx = by;
        while idx < 16 {
            shifts[decimals][idx] = (idx - by) as u8;
            idx += 1;
        }
        decimals += 1;
    }
    shifts
};

/// For each number of decimals, the bytes of a lane that must be zero.
pub(super) static SURPLUS: [[u8; 16]; HALF + 1] = {
    let mut surplus = [[0; 16]; HALF + 1];
    let mut decimals = 0;
    while decimals <= HALF {
        let mut idx = HALF + decimals;
        while idx < 16 {
            surplus[decimals][idx] = 0xff;
            idx += 1;
        }
        decimals += 1;
    }
    surplus
};

/// Which bytes of a lane a number's digits fill, by its characters before the dot and in all (`before + 16 * all`).
/// What a lane cannot hold has all sixteen bits, which is more digits than there can be in fewer than sixteen characters.
static FILLED: [u16; 256] = {
    let mut filled = [u16::MAX; 256];
    let mut all = 1;
    while all < 16 {
        let mut before = 1;
        while before <= all && before <= HALF {
            let fraction = if before == all { 0 } else { all - before - 1 };
            if fraction <= HALF {
                filled[before + 16 * all] = ((1 << (before + fraction)) - 1) << (HALF - before);
            }
            before += 1;
        }
        all += 1;
    }
    filled
};

struct WidestRows {
    steps: Steps,
    _has: Widest,
}

impl RowTaker for WidestRows {
    #[inline(always)]
    fn take(&mut self, bytes: &[u8], pos: usize, out: &mut Rows) -> (usize, Rest) {
        let Some(decimals) = self.steps.0 else { return (pos, Rest::Unusual) };
        let mut pos = pos;
        // SAFETY: a `Widest` is made by `detect` alone, and only if the processor has all these features.
        while let Some((end, rest)) = unsafe { runs::take(bytes, pos, decimals, out) } {
            if rest == Rest::Nothing {
                return (end, rest);
            }
            pos = end;
        }
        // SAFETY: as above.
        unsafe { take_by_two(bytes, pos, decimals, out) }
    }
}

/// The characters of two rows that are not part of a number, and the beginning of a third.
static STRUCTURE: [u8; WINDOW] = {
    let mut structure = [0; WINDOW];
    let text = *b"[\"\",\"\"],[\"\",\"\"],";
    let mut idx = 0;
    while idx < text.len() {
        structure[idx] = text[idx];
        idx += 1;
    }
    structure
};

/// Length of [`STRUCTURE`] up to the comma of the first and of the second row.
const ONE_ROW: u32 = 8;
const TWO_ROWS: u32 = 16;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
fn take_by_two(bytes: &[u8], start: usize, (px, qty): (u8, u8), out: &mut Rows) -> (usize, Rest) {
    let of_both = |table: &[[u8; 16]; HALF + 1]| {
        let lane = |decimals: u8| load_16(&table[usize::from(decimals).min(HALF)]);
        _mm512_broadcast_i64x4(_mm256_set_m128i(lane(qty), lane(px)))
    };
    let (shift, surplus) = (of_both(&SHIFTS), of_both(&SURPLUS));
    // SAFETY: a static array of 64 bytes is read.
    let structure = unsafe { _mm512_loadu_si512(STRUCTURE.as_ptr().cast()) };
    let mut pos = start;
    loop {
        let rest = bytes.get(pos..).unwrap_or(&[]);
        let text = match rest.first_chunk::<WINDOW>() {
            // SAFETY: 64 bytes are read from an array of 64.
            Some(window) => unsafe { _mm512_loadu_si512(window.as_ptr().cast()) },
            None => {
                let inside = _bzhi_u64(!0, rest.len() as u32);
                // SAFETY: characters beyond the end are masked off: not read, and zero in the register.
                unsafe { _mm512_maskz_loadu_epi8(inside, rest.as_ptr().cast()) }
            }
        };
        // Where the rows end is what the next window waits for, so it is found by the shortest way.
        let closes = _mm512_cmpeq_epi8_mask(text, _mm512_set1_epi8(b']' as i8));
        let (end_of_one, end_of_two) = (closes.trailing_zeros() + 2, _blsr_u64(closes).trailing_zeros() + 2);
        // A row's comma may be a bracket instead: then it is the last.
        let is_closed = |end: u32| _bextr_u64(closes, end.wrapping_sub(1), 1) == 1;
        let values = _mm512_sub_epi8(text, _mm512_set1_epi8(b'0' as i8));
        let digits = _mm512_cmple_epu8_mask(values, _mm512_set1_epi8(9));
        let dots = _mm512_cmpeq_epi8_mask(text, _mm512_set1_epi8(b'.' as i8));
        let quotes = _mm512_cmpeq_epi8_mask(text, _mm512_set1_epi8(b'"' as i8));
        let numeric = digits | dots;
        let others = _mm512_maskz_compress_epi8(!numeric, text);
        let agree = (_mm512_cmpeq_epi8_mask(others, structure) as u32).trailing_ones();
        let has_two = agree >= TWO_ROWS || (agree == TWO_ROWS - 1 && is_closed(end_of_two));
        let is_last = if has_two {
            agree < TWO_ROWS
        } else if agree >= ONE_ROW {
            false
        } else if agree == ONE_ROW - 1 && is_closed(end_of_one) {
            true
        } else {
            return (pos, Rest::Unusual);
        };
        let end = if has_two { end_of_two } else { end_of_one };

        // Opening and closing quotes follow each other, or the characters that are not numeric would not agree.
        let ends = quotes | dots;
        let px_start = quotes.trailing_zeros() + 1;
        let after = _blsr_u64(quotes);
        let px_0 = number(ends, px_start, after.trailing_zeros());
        let after = _blsr_u64(after);
        let qty_start = after.trailing_zeros() + 1;
        let after = _blsr_u64(after);
        let qty_0 = number(ends, qty_start, after.trailing_zeros());
        let mut fill = u64::from(px_0.filled()) | u64::from(qty_0.filled()) << 16;
        let mut longest = px_0.len | qty_0.len;
        if has_two {
            let after = _blsr_u64(after);
            let px_start = after.trailing_zeros() + 1;
            let after = _blsr_u64(after);
            let px_1 = number(ends, px_start, after.trailing_zeros());
            let after = _blsr_u64(after);
            let qty_start = after.trailing_zeros() + 1;
            let after = _blsr_u64(after);
            let qty_1 = number(ends, qty_start, after.trailing_zeros());
            fill |= u64::from(px_1.filled()) << 32 | u64::from(qty_1.filled()) << 48;
            longest |= px_1.len | qty_1.len;
        }
        // As many digits as the lanes take: no number has a second dot, is longer than a lane holds, or is empty. As many runs
        // of numeric characters as numbers: none lies outside the quotes.
        let runs = _bzhi_u64(numeric & !(numeric << 1), end).count_ones();
        let numbers = if has_two { 4 } else { 2 };
        let is_exact = _bzhi_u64(digits, end).count_ones() == fill.count_ones() && runs == numbers && longest < 16;

        let run = _mm512_maskz_compress_epi8(digits, values);
        let lanes = _mm512_maskz_expand_epi8(fill, run);
        let off_step = _mm512_test_epi8_mask(lanes, surplus);
        let lanes = _mm512_shuffle_epi8(lanes, shift);
        let twos = _mm512_maddubs_epi16(lanes, _mm512_set1_epi16(0x010a));
        let fours = _mm512_madd_epi16(twos, _mm512_set1_epi32(0x0001_0064));
        let packed = _mm512_packus_epi32(fours, fours);
        let eights = _mm512_madd_epi16(packed, _mm512_set1_epi32(0x0001_2710));
        let high = _mm512_mul_epu32(eights, _mm512_set1_epi64(100_000_000));
        let counts = _mm512_add_epi64(high, _mm512_srli_epi64(eights, 32));
        let counts = _mm512_castsi512_si256(_mm512_maskz_compress_epi64(0b0101_0101, counts));
        let zeros = _mm256_cmpeq_epi64_mask(counts, _mm256_setzero_si256());
        let prices = if has_two { 0b0101 } else { 0b0001 };
        if !is_exact || off_step != 0 || zeros & prices != 0 {
            return (pos, Rest::Unusual);
        }
        let count = if has_two { 2 } else { 1 };
        let Some(slots) = out.levels.get_mut(out.len..out.len + count) else { return (pos, Rest::Unusual) };
        if let Ok(two) = <&mut [Level; 2]>::try_from(&mut *slots) {
            // SAFETY: a `Level` is two `i64`, price first (asserted below), and any bits are one.
            unsafe { _mm256_storeu_si256(std::ptr::from_mut(two).cast(), counts) };
        } else if let Some(one) = slots.first_mut() {
            let counts = _mm256_castsi256_si128(counts);
            // SAFETY: as above, for one.
            unsafe { _mm_storeu_si128(std::ptr::from_mut(one).cast(), counts) };
        }
        out.len += count;
        pos += end as usize;
        if is_last {
            return (pos, Rest::Nothing);
        }
    }
}

const _: () = assert!(size_of::<Level>() == 16 && std::mem::offset_of!(Level, px) == 0);
const _: () = assert!(size_of::<Ticks>() == 8 && size_of::<Lots>() == 8);

/// Length of a number, and of what comes before its dot.
#[derive(Clone, Copy)]
struct Number {
    before: u32,
    len: u32,
}

/// The number between `start` and the closing quote `end`; `ends` are quotes and dots.
#[target_feature(enable = "bmi1,bmi2")]
#[inline]
fn number(ends: u64, start: u32, end: u32) -> Number {
    // A quote is at most at 63, so `start` is at most 64; the shift then is by nothing, and what comes is refused.
    let before = (ends.wrapping_shr(start)).trailing_zeros();
    Number { before, len: end.wrapping_sub(start) }
}

impl Number {
    /// The bytes that it fills in its lane.
    #[inline(always)]
    fn filled(self) -> u16 {
        // Lengths beyond fifteen are refused by the caller; here they must only stay inside the table.
        FILLED[(self.before.wrapping_add(16 * self.len) & 255) as usize]
    }
}

#[target_feature(enable = "sse2")]
#[inline]
pub(super) fn load_16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: sixteen bytes are read from an array of sixteen.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

struct WideRows {
    steps: Steps,
    _has: Wide,
}

impl RowTaker for WideRows {
    #[inline(always)]
    fn take(&mut self, bytes: &[u8], pos: usize, out: &mut Rows) -> (usize, Rest) {
        let Some(decimals) = self.steps.0 else { return (pos, Rest::Unusual) };
        // SAFETY: a `Wide` is made by `detect` alone, and only if the processor has all these features.
        unsafe { take_by_one(bytes, pos, decimals, out) }
    }
}

/// For each length of what follows the whole digits (0: nothing, 1: a dot, 2: a dot and one digit …), where each byte of a
/// lane comes from in the sixteen characters before the closing quote.
static ALIGN: [[u8; 16]; HALF + 2] = {
    let mut align = [[0x80; 16]; HALF + 2];
    let mut after = 0;
    while after < HALF + 2 {
        let fraction = if after == 0 { 0 } else { after - 1 };
        let mut idx = 0;
        while idx < fraction {
            align[after][HALF + idx] = (16 - fraction + idx) as u8;
            idx += 1;
        }
        let mut idx = 0;
        while idx < HALF && idx + after < 16 {
            align[after][HALF - 1 - idx] = (15 - after - idx) as u8;
            idx += 1;
        }
        after += 1;
    }
    align
};

/// Sixteen bytes from `len` on keep the last `len` bytes of sixteen.
pub(super) static KEEP: [u8; 32] = {
    let mut keep = [0; 32];
    let mut idx = 16;
    while idx < 32 {
        keep[idx] = 0xff;
        idx += 1;
    }
    keep
};

/// Characters that must lie before a row, because numbers are loaded by their ends, and behind its window.
const BEFORE: usize = 16;
const BEHIND: usize = 8;

/// A window and what must lie around it.
type Around = [u8; BEFORE + WINDOW + BEHIND];

/// The characters from `from` on, with zeros for what lies beyond the end.
#[cold]
fn around_with_zeros(bytes: &[u8], from: usize) -> Around {
    let mut around = [0; BEFORE + WINDOW + BEHIND];
    let rest = bytes.get(from..).unwrap_or(&[]);
    let len = rest.len().min(around.len());
    around[..len].copy_from_slice(&rest[..len]);
    around
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
fn take_by_one(bytes: &[u8], start: usize, (px, qty): (u8, u8), out: &mut Rows) -> (usize, Rest) {
    let of_both = |table: &[[u8; 16]; HALF + 1]| {
        let lane = |decimals: u8| load_16(&table[usize::from(decimals).min(HALF)]);
        _mm256_set_m128i(lane(qty), lane(px))
    };
    let (shift, surplus) = (of_both(&SHIFTS), of_both(&SURPLUS));
    let mut pos = start;
    loop {
        let Some(from) = pos.checked_sub(BEFORE) else { return (pos, Rest::Unusual) };
        let short;
        let around: &Around = match bytes.get(from..).and_then(|rest| rest.first_chunk()) {
            Some(around) => around,
            None => {
                short = around_with_zeros(bytes, from);
                &short
            }
        };
        let half = |half: Option<&[u8; 32]>| {
            let half = half.unwrap_or(&[0; 32]);
            // SAFETY: 32 bytes are read from an array of 32.
            unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
        };
        let (low, high) = (half(around[BEFORE..].first_chunk()), half(around[BEFORE + 32..].first_chunk()));
        let equal = |byte: u8| {
            let byte = _mm256_set1_epi8(byte as i8);
            let mask = |half| u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(half, byte)) as u32);
            mask(low) | mask(high) << 32
        };
        let mut quotes = equal(b'"');
        let ends = quotes | equal(b'.');
        // Where the row begins in the window.
        let mut row = 0;
        loop {
            let opening = quotes;
            let closing = _blsr_u64(opening);
            let px_end = closing.trailing_zeros();
            let after = _blsr_u64(closing);
            let closing = _blsr_u64(after);
            if closing == 0 {
                break;
            }
            let qty_end = closing.trailing_zeros();
            let (px_number, qty_number) = (number(ends, row + 2, px_end), number(ends, px_end + 3, qty_end));
            let word = |at: u32| {
                let at = BEFORE + at as usize;
                around.get(at..at + 4).and_then(|four| four.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
            };
            let is_row = word(row) & 0xffff == u32::from_le_bytes(*b"[\"\0\0")
                && word(px_end) & 0xff_ffff == u32::from_le_bytes(*b"\",\"\0")
                && word(qty_end) & 0xffff == u32::from_le_bytes(*b"\"]\0\0");
            let next = word(qty_end) >> 16 & 0xff;
            // Sixteen characters are loaded: what is longer would lose its first ones.
            let fits = |number: Number| {
                (1..=HALF as u32).contains(&number.before)
                    && number.len.wrapping_sub(number.before) < HALF as u32 + 2
                    && number.len <= 16
            };
            if !is_row || !fits(px_number) || !fits(qty_number) {
                return (pos + row as usize, Rest::Unusual);
            }
            let lane = |number: Number, end: u32| {
                let text: &[u8; 16] =
                    around.get(end as usize..).and_then(|rest| rest.first_chunk()).unwrap_or(&[0; 16]);
                let keep: &[u8; 16] =
                    KEEP.get(number.len as usize..).and_then(|rest| rest.first_chunk()).unwrap_or(&[0; 16]);
                let align = &ALIGN[((number.len - number.before) as usize).min(HALF + 1)];
                (load_16(text), load_16(keep), load_16(align))
            };
            let (px_lane, qty_lane) = (lane(px_number, px_end), lane(qty_number, qty_end));
            let text = _mm256_set_m128i(qty_lane.0, px_lane.0);
            let keep = _mm256_set_m128i(qty_lane.1, px_lane.1);
            let align = _mm256_set_m128i(qty_lane.2, px_lane.2);
            let values = _mm256_and_si256(_mm256_sub_epi8(text, _mm256_set1_epi8(b'0' as i8)), keep);
            let lanes = _mm256_shuffle_epi8(values, align);
            let nine = _mm256_set1_epi8(9);
            let are_digits = _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(lanes, nine), nine)) == -1;
            let is_on_step = _mm256_testz_si256(lanes, surplus) == 1;
            let lanes = _mm256_shuffle_epi8(lanes, shift);
            let twos = _mm256_maddubs_epi16(lanes, _mm256_set1_epi16(0x010a));
            let fours = _mm256_madd_epi16(twos, _mm256_set1_epi32(0x0001_0064));
            let packed = _mm256_packus_epi32(fours, fours);
            let eights = _mm256_madd_epi16(packed, _mm256_set1_epi32(0x0001_2710));
            let high = _mm256_mul_epu32(eights, _mm256_set1_epi64x(100_000_000));
            let counts = _mm256_add_epi64(high, _mm256_srli_epi64(eights, 32));
            let px_count = _mm256_extract_epi64(counts, 0);
            let qty_count = _mm256_extract_epi64(counts, 2);
            let is_last = next == u32::from(b']');
            if !are_digits || !is_on_step || px_count == 0 || !(is_last || next == u32::from(b',')) {
                return (pos + row as usize, Rest::Unusual);
            }
            let Some(slot) = out.levels.get_mut(out.len) else { return (pos + row as usize, Rest::Unusual) };
            *slot = Level { px: Ticks::new(px_count), qty: Lots::new(qty_count) };
            out.len += 1;
            row = qty_end + 3;
            quotes = _blsr_u64(closing);
            if is_last {
                return (pos + row as usize, Rest::Nothing);
            }
        }
        if row == 0 {
            // Not even one row in the window.
            return (pos, Rest::Unusual);
        }
        pos += row as usize;
    }
}
