//! Runs of rows of levels, `[["61659.70","0.004"],…]]`, in two steps: first where all quotes are, then all numbers.
//!
//! Where a row begins is known only when the one before has been read to its end: that chain, not the work, is what reading
//! row by row costs. So the text is gone through in blocks of 64 characters first, whose places are known beforehand, and
//! the places of quotes are noted. Four quotes are a row; every row can then be converted without waiting for the one before
//! it. Nothing is decided inside a row either: what is wrong with any number, or between numbers, is gathered in a few
//! registers, and one look at the end tells whether the run is good. If it is not, none of it is taken, and
//! [`rows`](super::rows) goes on row by row up to the unusual one.
//!
//! ```text
//! text     [ " 6 1 6 5 9 . 7 0 " , " 0 . 0 0 4 " ] , [ " …
//! quotes     1                 10  12          18       22 …        four of each row
//! behind a closing quote           ," or ],["                        so the next quote is where it must be
//! lane     the 8 or 16 characters before it, shuffled so that the step's last decimal, or the dot, is where it counts
//! ```
//!
//! [`narrow`] has lanes of eight characters, which is what most numbers are; [`wide`] has sixteen, and twice the work.
#![allow(unsafe_code, reason = "calls compiled for AVX-512 are unsafe, and so are its loads and stores")]

use std::arch::x86_64::*;

use super::rows::{HALF, SHIFTS, SURPLUS, load_16};
use super::scan::Rest;
use super::source::Rows;
use crate::types::Level;

/// Characters in a block.
const BLOCK: usize = 64;

/// Most quotes in a block of rows: four in at least ten, `["1","1"],`.
const NOTED_MAX: usize = 28;

/// Blocks of one run.
const BLOCKS: usize = 16;

/// Room for quotes, and for what is written behind the last.
const QUOTES: usize = 512;

const _: () = assert!(BLOCKS * NOTED_MAX + 32 <= QUOTES, "quotes of a run fit");

/// Characters that must lie before a run, because numbers are loaded by their ends.
const BEFORE: usize = 16;

/// Characters that must lie from a run's last quote on, because what follows numbers is loaded with them.
const BEHIND: usize = 8;

/// Runs of wide numbers until a narrow one is expected again.
const WIDE_RUNS: u8 = 100;

/// What was noted of a run.
pub(super) struct Marks {
    /// Where quotes are.
    quotes: [u16; QUOTES],
    /// For each pair of decimals, runs that are not tried as narrow ones first, because one was not.
    wide_runs: [[u8; HALF + 1]; HALF + 1],
}

impl Default for Marks {
    fn default() -> Self {
        Self { quotes: [0; QUOTES], wide_runs: [[0; HALF + 1]; HALF + 1] }
    }
}

/// Rows of a run.
#[derive(Clone, Copy)]
struct Run {
    rows: usize,
    /// Whether the list ends with the last of them.
    is_last: bool,
}

/// The numbers 0 to 63.
static ORDINALS: [u8; BLOCK] = {
    let mut ordinals = [0; BLOCK];
    let mut idx = 0;
    while idx < BLOCK {
        ordinals[idx] = idx as u8;
        idx += 1;
    }
    ordinals
};

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
fn load_64(bytes: &[u8; BLOCK]) -> __m512i {
    // SAFETY: 64 bytes are read from an array of 64.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Notes the quotes of as many whole rows as there are in a run's blocks, up to the brackets that end the list.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
fn mark(text: &[u8], quotes: &mut [u16; QUOTES]) -> Option<Run> {
    let mut count = 0;
    let mut closed_before = 0;
    let ordinals = load_64(&ORDINALS);
    for block in 0..BLOCKS {
        let at = block * BLOCK;
        let rest = text.get(at..)?;
        let window = match rest.first_chunk() {
            Some(window) => load_64(window),
            None => {
                let inside = _bzhi_u64(u64::MAX, rest.len() as u32);
                // SAFETY: characters beyond the end are masked off: not read, and zero in the register.
                unsafe { _mm512_maskz_loadu_epi8(inside, rest.as_ptr().cast()) }
            }
        };
        let equal = |byte: u8| _mm512_cmpeq_epi8_mask(window, _mm512_set1_epi8(byte as i8));
        let closes = equal(b']');
        // The list ends at the second of two closing brackets, of which the first may lie in the block before.
        let ends = closes & (closes << 1 | closed_before);
        closed_before = closes >> 63;
        // Up to there, or all.
        let found = equal(b'"') & (ends ^ ends.wrapping_sub(1));
        let found_count = found.count_ones() as usize;
        if found_count > NOTED_MAX {
            return None;
        }
        let places = _mm512_castsi512_si256(_mm512_maskz_compress_epi8(found, ordinals));
        let places = _mm512_add_epi16(_mm512_cvtepu8_epi16(places), _mm512_set1_epi16(at as i16));
        let room: &mut [u16; 32] = quotes.get_mut(count..)?.first_chunk_mut()?;
        // SAFETY: 64 bytes are written to an array of as many.
        unsafe { _mm512_storeu_si512(room.as_mut_ptr().cast(), places) };
        count += found_count;
        if ends != 0 {
            return (count % 4 == 0 && count > 0).then_some(Run { rows: count / 4, is_last: true });
        }
    }
    // A row counts if the first quote of the next one is there too, so that what separates them is looked at.
    let run = Run { rows: count.saturating_sub(1) / 4, is_last: false };
    (run.rows > 0).then_some(run)
}

/// What must follow the numbers of two rows: `","` a price, `"],["` a quantity.
static FOLLOWING: [[u8; 8]; 4] = {
    let (px, qty) = (*b"\",\"\0\0\0\0\0", *b"\"],[\"\0\0\0");
    [px, qty, px, qty]
};

/// How much of that must follow if behind the two rows there are more, if the second is the list's last, and if the first is.
static FOLLOWING_MASKS: [[[u8; 8]; 4]; 3] = {
    const fn first(count: usize) -> [u8; 8] {
        let mut mask = [0; 8];
        let mut idx = 0;
        while idx < count {
            mask[idx] = 0xff;
            idx += 1;
        }
        mask
    }
    [
        [first(3), first(5), first(3), first(5)],
        [first(3), first(5), first(3), first(2)],
        [first(3), first(2), first(3), first(2)],
    ]
};

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
fn load_4x8(words: &[[u8; 8]; 4]) -> __m256i {
    // SAFETY: 32 bytes are read from an array of 32.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

/// Rows that were marked, and where their levels go.
struct Marked<'a> {
    /// The first character of the run. There are `BEFORE` more before it and `BEHIND` from its last quote on.
    text: *const u8,
    /// Four for each row; those of a single row twice.
    quotes: &'a [u16; QUOTES],
    slots: &'a mut [Level],
    run: Run,
}

impl Marked<'_> {
    /// Steps of two rows. The last goes back by one if the rows are odd, so that nothing must be written for it.
    #[inline(always)]
    fn steps(&self) -> usize {
        self.run.rows.div_ceil(2)
    }

    /// The first row of a step, its quotes, and where its levels go.
    #[inline(always)]
    fn step(&mut self, step: usize) -> Option<(usize, &[u16; 8], &mut [Level; 2])> {
        let row = (2 * step).min(self.run.rows.max(2) - 2);
        let quotes = self.quotes.get(4 * row..)?.first_chunk()?;
        Some((row, quotes, self.slots.get_mut(row..)?.first_chunk_mut()?))
    }

    /// The eight characters from `BEFORE_QUOTE` in front of each number's closing quote on.
    ///
    /// # Safety
    /// `text` and `quotes` are those of one [`Marked`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,popcnt,lzcnt")]
    #[inline]
    unsafe fn words<const BEFORE_QUOTE: usize>(text: *const u8, quotes: &[u16; 8]) -> __m256i {
        const { assert!(BEFORE_QUOTE <= BEFORE && BEHIND >= 8) };
        let word = |quote: u16| {
            let from = text.wrapping_add(usize::from(quote)).wrapping_sub(BEFORE_QUOTE);
            // SAFETY: quotes are places in the text; `BEFORE` characters of the same message lie before it, and `BEHIND` from
            // the last quote on.
            unsafe { _mm_loadl_epi64(from.cast()) }
        };
        let first = _mm_unpacklo_epi64(word(quotes[1]), word(quotes[3]));
        let second = _mm_unpacklo_epi64(word(quotes[5]), word(quotes[7]));
        _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(first), second)
    }

    /// Whether what stands between numbers is what must. With the characters inside of numbers, which are looked at where they
    /// are converted, these are all.
    ///
    /// # Safety
    /// As `words`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,popcnt,lzcnt")]
    #[inline]
    unsafe fn wrong_between(text: *const u8, run: Run, row: usize, quotes: &[u16; 8]) -> __m256i {
        let rows_left = run.rows - row + if run.is_last { 0 } else { 2 };
        let mask = &FOLLOWING_MASKS[3 - rows_left.clamp(1, 3)];
        // SAFETY: the caller's.
        let found = unsafe { Self::words::<0>(text, quotes) };
        _mm256_and_si256(_mm256_xor_si256(found, load_4x8(&FOLLOWING)), load_4x8(mask))
    }
}

/// Lengths of the numbers of two rows, each and one, as four words.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
fn lengths(quotes: &[u16; 8]) -> __m128i {
    // SAFETY: sixteen bytes are read from an array of as many.
    let quotes = unsafe { _mm_loadu_si128(quotes.as_ptr().cast()) };
    _mm_sub_epi32(_mm_srli_epi32::<16>(quotes), _mm_and_si128(quotes, _mm_set1_epi32(0xffff)))
}

/// Takes a run that begins at `pos`, two rows at a time; `None` if it is not a usual one, and then nothing is taken.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
pub(super) fn take(bytes: &[u8], pos: usize, decimals: (u8, u8), out: &mut Rows) -> Option<(usize, Rest)> {
    let text = bytes.get(pos..)?;
    if pos < BEFORE {
        return None;
    }
    let Rows { levels, len, marks } = out;
    let Marks { quotes, wide_runs } = &mut **marks;
    let run = mark(text, quotes)?;
    let last = usize::from(quotes[4 * run.rows - 1]);
    let ending: &[u8; BEHIND] = text.get(last..)?.first_chunk()?;
    if !text.starts_with(b"[\"") || (run.is_last && !ending.starts_with(b"\"]]")) {
        return None;
    }
    if run.rows == 1 {
        quotes.copy_within(..4, 4);
    }
    let slots = levels.get_mut(*len..*len + run.rows.max(2))?;
    let quotes = &*quotes;
    // From the whole message: numbers are loaded by their ends, so the first one's lane may begin before the run.
    let mut marked = Marked { text: bytes.as_ptr().wrapping_add(pos), quotes, slots, run };
    // An instrument's numbers grow too long for the narrow way once in a long while.
    let wide_runs = wide_runs.get_mut(usize::from(decimals.0))?.get_mut(usize::from(decimals.1))?;
    let is_good = (*wide_runs == 0 && narrow(&mut marked, decimals)) || {
        *wide_runs = wide_runs.checked_sub(1).unwrap_or(WIDE_RUNS);
        wide(&mut marked, decimals)
    };
    if !is_good {
        return None;
    }
    *len += run.rows;
    // Behind the quote: two brackets, or a bracket and a comma.
    Some((pos + last + 3, if run.is_last { Rest::Nothing } else { Rest::Unusual }))
}

/// Bytes of one column's lane of eight, for the number of decimals of its step.
#[derive(Clone, Copy)]
struct Lane {
    /// Where the byte comes from if a dot were just behind the number's end.
    source: [u8; 8],
    /// The decimals and one.
    decimals: [u8; 8],
    /// Most whole digits, less one.
    whole_max: [u8; 8],
}

static LANES: [Lane; HALF] = {
    let mut lanes = [Lane { source: [0; 8], decimals: [0; 8], whole_max: [0; 8] }; HALF];
    let mut decimals = 0;
    while decimals < HALF {
        let mut idx = 0;
        while idx < 8 {
            // The step's last decimal is the last byte; the dot is left out.
            let behind_dot = if idx > 7 - decimals { 1 } else { 0 };
            lanes[decimals].source[idx] = (idx + decimals + behind_dot) as u8;
            lanes[decimals].decimals[idx] = decimals as u8 + 1;
            lanes[decimals].whole_max[idx] = (7 - decimals) as u8;
            idx += 1;
        }
        decimals += 1;
    }
    lanes
};

/// Converts numbers of at most eight characters, and of at most eight digits down to the step. Whether all were such, and good.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
fn narrow(marked: &mut Marked<'_>, (px, qty): (u8, u8)) -> bool {
    let (Some(px), Some(qty)) = (LANES.get(usize::from(px)), LANES.get(usize::from(qty))) else { return false };
    let of_both = |px: [u8; 8], qty: [u8; 8]| load_4x8(&[px, qty, px, qty]);
    let (from_dot, decimals) = (of_both(px.source, qty.source), of_both(px.decimals, qty.decimals));
    let whole_max = of_both(px.whole_max, qty.whole_max);
    let from_end = _mm256_set1_epi64x(i64::from_le_bytes([8, 7, 6, 5, 4, 3, 2, 1]));
    let upper = _mm256_set_epi64x(0x0808_0808_0808_0808, 0, 0x0808_0808_0808_0808, 0);
    // The lowest byte of each length, and of each half, to all of the lane.
    let spread_lens = _mm256_set_epi64x(0x0c0c_0c0c_0c0c_0c0c, 0x0808_0808_0808_0808, 0x0404_0404_0404_0404, 0);
    let is_qty = _mm256_set_epi64x(-1, 0, -1, 0);
    let zero = _mm256_setzero_si256();

    let (mut wrong, mut greatest, mut excess) = (zero, zero, zero);
    let mut longest = _mm_setzero_si128();
    let (mut bare_dots, mut least_px) = (_mm256_set1_epi8(-1), _mm256_set1_epi64x(-1));
    let (text_start, run) = (marked.text, marked.run);
    for step in 0..marked.steps() {
        let Some((row, quotes, two)) = marked.step(step) else { return false };
        // SAFETY: all are of `marked`.
        let between = unsafe { Marked::wrong_between(text_start, run, row, quotes) };
        wrong = _mm256_or_si256(wrong, between);
        // SAFETY: both are of `marked`.
        let text = unsafe { Marked::words::<8>(text_start, quotes) };
        let lens = lengths(quotes);
        longest = _mm_max_epu32(longest, lens);
        let lens = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(lens), spread_lens);
        let inside = _mm256_cmplt_epu8_mask(from_end, lens);
        let dots = _mm256_mask_cmpeq_epi8_mask(inside, text, _mm256_set1_epi8(b'.' as i8));
        let values = _mm256_maskz_sub_epi8(inside, text, _mm256_set1_epi8(b'0' as i8));
        // Length of the fraction and its dot, 0 without one, in every byte of the lane.
        let fraction = _mm256_sad_epu8(_mm256_maskz_mov_epi8(dots, from_end), zero);
        let fraction = _mm256_shuffle_epi8(fraction, upper);
        let source = _mm256_sub_epi8(from_dot, fraction);
        let is_there = _mm256_cmplt_epu8_mask(source, _mm256_set1_epi8(8));
        let digits = _mm256_maskz_shuffle_epi8(is_there, values, _mm256_add_epi8(source, upper));
        let surplus = _mm256_cmple_epi8_mask(from_end, _mm256_sub_epi8(fraction, decimals));

        // All characters but the place of the dot are digits or surplus, so a second dot is found by being none.
        greatest = _mm256_max_epu8(greatest, digits);
        wrong = _mm256_or_si256(wrong, _mm256_maskz_mov_epi8(surplus, values));
        bare_dots = _mm256_min_epu8(bare_dots, _mm256_xor_si256(fraction, _mm256_set1_epi8(1)));
        // Whole digits less one, so that none at all is many.
        let whole = _mm256_sub_epi8(_mm256_sub_epi8(lens, fraction), _mm256_set1_epi8(2));
        excess = _mm256_or_si256(excess, _mm256_subs_epu8(whole, whole_max));

        let twos = _mm256_maddubs_epi16(digits, _mm256_set1_epi16(0x010a));
        let fours = _mm256_madd_epi16(twos, _mm256_set1_epi32(0x0001_0064));
        let high = _mm256_mul_epu32(fours, _mm256_set1_epi64x(10_000));
        let counts = _mm256_add_epi64(high, _mm256_srli_epi64::<32>(fours));
        least_px = _mm256_min_epu64(least_px, _mm256_or_si256(counts, is_qty));
        // SAFETY: a `Level` is two `i64`, price first (asserted in `rows`), and any bits are one.
        unsafe { _mm256_storeu_si256(std::ptr::from_mut(two).cast(), counts) };
    }
    let wrong = _mm256_or_si256(_mm256_or_si256(wrong, excess), _mm256_subs_epu8(greatest, _mm256_set1_epi8(9)));
    let is_long = _mm_cmpgt_epu32_mask(longest, _mm_set1_epi32(9));
    let is_zero = _mm256_testn_epi8_mask(bare_dots, bare_dots) != 0 || _mm256_testn_epi64_mask(least_px, least_px) != 0;
    _mm256_testz_si256(wrong, wrong) == 1 && is_long == 0 && !is_zero
}

/// Converts numbers of at most sixteen characters, with at most eight digits on either side of the dot. Whether all were such,
/// and good.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
fn wide(marked: &mut Marked<'_>, (px, qty): (u8, u8)) -> bool {
    let of_both = |table: &[[u8; 16]; HALF + 1]| {
        let lane = |decimals: u8| load_16(&table[usize::from(decimals).min(HALF)]);
        _mm512_broadcast_i64x4(_mm256_set_m128i(lane(qty), lane(px)))
    };
    let (shift, surplus) = (of_both(&SHIFTS), of_both(&SURPLUS));
    let each_lane = |bytes: [i8; 16]| {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        _mm512_broadcast_i32x4(_mm_setr_epi8(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p))
    };
    // Places in a lane counted from its end, and where its bytes come from if the dot were behind its last.
    let from_end = each_lane([16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    let from_dot = each_lane([8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24]);
    // The lowest byte of each lane's own word, to all of the lane.
    let spread = _mm512_set_epi64(
        0x0c0c_0c0c_0c0c_0c0c,
        0x0c0c_0c0c_0c0c_0c0c,
        0x0808_0808_0808_0808,
        0x0808_0808_0808_0808,
        0x0404_0404_0404_0404,
        0x0404_0404_0404_0404,
        0,
        0,
    );
    let is_qty = _mm256_set_epi64x(-1, 0, -1, 0);
    let zero = _mm512_setzero_si512();

    let (mut greatest, mut longest, mut fractions, mut off_step) = (zero, zero, zero, zero);
    let mut bare_dots = _mm512_set1_epi8(-1);
    let mut least_px = _mm256_set1_epi64x(-1);
    let mut too_long = 0;
    let mut wrong = _mm256_setzero_si256();
    let (text_start, run) = (marked.text, marked.run);
    for step in 0..marked.steps() {
        let Some((row, quotes, two)) = marked.step(step) else { return false };
        // SAFETY: all are of `marked`.
        let between = unsafe { Marked::wrong_between(text_start, run, row, quotes) };
        wrong = _mm256_or_si256(wrong, between);
        let lane = |quote: u16| {
            let from = text_start.wrapping_add(usize::from(quote)).wrapping_sub(BEFORE);
            // SAFETY: quotes are places in the text, and `BEFORE` characters of the same message lie before it.
            unsafe { _mm_loadu_si128(from.cast()) }
        };
        let first = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(lane(quotes[1])), lane(quotes[3]));
        let second = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(lane(quotes[5])), lane(quotes[7]));
        let text = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second);
        let lens = lengths(quotes);
        too_long |= _mm_cmpgt_epu32_mask(lens, _mm_set1_epi32(16));
        let lens = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(lens), spread);
        let inside = _mm512_cmplt_epu8_mask(from_end, lens);
        let dots = _mm512_mask_cmpeq_epi8_mask(inside, text, _mm512_set1_epi8(b'.' as i8));
        let values = _mm512_maskz_sub_epi8(inside, text, _mm512_set1_epi8(b'0' as i8));
        // Length of the fraction and its dot, 0 without one, in every byte of the lane.
        let halves = _mm512_sad_epu8(_mm512_maskz_mov_epi8(dots, from_end), zero);
        let whole = _mm512_add_epi64(halves, _mm512_shuffle_epi32::<0b0100_1110>(halves));
        let fraction = _mm512_shuffle_epi8(whole, zero);
        let source = _mm512_sub_epi8(from_dot, fraction);
        let is_there = _mm512_cmplt_epi8_mask(source, _mm512_set1_epi8(16));
        let digits = _mm512_maskz_shuffle_epi8(is_there, values, source);

        // All characters but the place of the dot are among the digits, so a second dot is found by being none.
        greatest = _mm512_max_epu8(greatest, digits);
        // Whole digits less one, so that none at all is many.
        longest = _mm512_max_epu8(longest, _mm512_sub_epi8(_mm512_sub_epi8(lens, fraction), _mm512_set1_epi8(2)));
        fractions = _mm512_max_epu8(fractions, fraction);
        bare_dots = _mm512_min_epu8(bare_dots, _mm512_xor_si512(fraction, _mm512_set1_epi8(1)));
        off_step = _mm512_or_si512(off_step, _mm512_and_si512(digits, surplus));

        let digits = _mm512_shuffle_epi8(digits, shift);
        let twos = _mm512_maddubs_epi16(digits, _mm512_set1_epi16(0x010a));
        let fours = _mm512_madd_epi16(twos, _mm512_set1_epi32(0x0001_0064));
        let packed = _mm512_packus_epi32(fours, fours);
        let eights = _mm512_madd_epi16(packed, _mm512_set1_epi32(0x0001_2710));
        let high = _mm512_mul_epu32(eights, _mm512_set1_epi64(100_000_000));
        let counts = _mm512_add_epi64(high, _mm512_srli_epi64::<32>(eights));
        let counts = _mm512_castsi512_si256(_mm512_maskz_compress_epi64(0b0101_0101, counts));
        least_px = _mm256_min_epu64(least_px, _mm256_or_si256(counts, is_qty));
        // SAFETY: a `Level` is two `i64`, price first (asserted in `rows`), and any bits are one.
        unsafe { _mm256_storeu_si256(std::ptr::from_mut(two).cast(), counts) };
    }
    let exceeds = |found, limit: usize| _mm512_cmpgt_epu8_mask(found, _mm512_set1_epi8(limit as i8)) != 0;
    let is_bad = exceeds(greatest, 9)
        || exceeds(longest, HALF - 1)
        || exceeds(fractions, HALF + 1)
        || too_long != 0
        || _mm256_testz_si256(wrong, wrong) == 0
        || _mm512_testn_epi8_mask(bare_dots, bare_dots) != 0
        || _mm512_test_epi8_mask(off_step, off_step) != 0
        || _mm256_testn_epi64_mask(least_px, least_px) != 0;
    !is_bad
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::Simd;
    use crate::venue::source::LevelBuf;

    /// What a run makes of a list of rows: where it ends, and whether it was tried as a wide one.
    fn run_of(rows: &[&str], decimals: (u8, u8)) -> Option<(usize, Rest, usize, bool)> {
        assert!(Simd::all().any(|simd| simd.name() == "avx512"));
        let text = format!("{{\"and some before\":[{}],\"and\":\"some behind\"}}", rows.join(","));
        let mut out = LevelBuf::new();
        // SAFETY: the processor has all that `Widest` stands for, see above.
        let found = unsafe { take(text.as_bytes(), text.find("[[").unwrap() + 1, decimals, &mut out.rows) };
        let is_wide = out.rows.marks.wide_runs.as_flattened().iter().any(|&runs| runs > 0);
        found.map(|(end, rest)| (text.len() - end, rest, out.rows.len, is_wide))
    }

    #[test]
    fn usual_rows_are_taken_whole_and_the_narrow_way_where_they_can() {
        if !Simd::all().any(|simd| simd.name() == "avx512") {
            return;
        }
        let behind = ",\"and\":\"some behind\"}".len();
        for count in 1..36 {
            let rows = |row| vec![row; count];
            let whole = |is_wide| Some((behind, Rest::Nothing, count, is_wide));
            assert_eq!(run_of(&rows(r#"["65114.20","0.004"]"#), (1, 3)), whole(false));
            assert_eq!(run_of(&rows(r#"["118114.20","0"]"#), (1, 3)), whole(true), "nine characters");
            assert_eq!(run_of(&rows(r#"["65114.2","0.02000000"]"#), (1, 8)), whole(true), "eight decimals");
            assert_eq!(run_of(&rows(r#"["65114.25","0.004"]"#), (1, 3)), None, "off the step");
        }
        let (_, rest, taken, _) = run_of(&[r#"["65114.20","0.004"]"#; 200], (1, 3)).unwrap();
        assert!(rest == Rest::Unusual && taken > 40, "a long list is taken in more than one run");
    }
}
