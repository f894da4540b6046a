//! Runs of rows of levels, `[["61659.70","0.004"],…]]`, in two steps: first where all quotes are, then all numbers.
//!
//! Where a row begins is known only when the one before has been read to its end: that chain, not the work, is what reading
//! row by row costs. So the text is gone through in blocks of 64 characters first, whose places are known beforehand, and
//! the places of quotes are noted, with the characters that stand between numbers. Four quotes are a row; every row can
//! then be converted without waiting for the one before it. Nothing is decided inside a row either: what is wrong with any
//! number is gathered in a few registers, and one look at the end tells whether the run is good. If it is not, none of it
//! is taken, and [`rows`](super::rows) goes on row by row up to the unusual one.
//!
//! ```text
//! text     [ " 6 1 6 5 9 . 7 0 " , " 0 . 0 0 4 " ] , [ " …
//! quotes     1                 10  12          18       22 …        a row's: second to third is 2 on, fourth to next 4 on
//! others   [                     ,               ] , [ …             must be `[,],` over and over
//! lane     the 16 characters before a closing quote, shuffled so that the fraction begins at the middle
//! ```
#![allow(unsafe_code, reason = "calls compiled for AVX-512 are unsafe, and so are its loads and stores")]

use std::arch::x86_64::*;

use super::rows::{HALF, SHIFTS, SURPLUS, load_16};
use super::scan::Rest;
use super::source::Rows;

/// Characters in a block.
const BLOCK: usize = 64;

/// Most quotes, and most other characters, in a block of rows: four of each in at least ten, `["1","1"],`.
const NOTED_MAX: usize = 28;

/// Blocks of one run.
const BLOCKS: usize = 16;

/// Room for quotes, and for what is written behind the last.
const QUOTES: usize = 512;

/// Room for other characters, and for what is written behind the last.
const OTHERS: usize = 512;

const _: () = assert!(BLOCKS * NOTED_MAX + 32 <= QUOTES, "quotes of a run fit");
const _: () = assert!(BLOCKS * NOTED_MAX + BLOCK <= OTHERS, "other characters of a run fit");

/// Characters that must lie before a run, because numbers are loaded by their ends.
const BEFORE: usize = 16;

/// What was noted of a run.
pub(super) struct Marks {
    /// Where quotes are.
    quotes: [u16; QUOTES],
    /// Characters that are neither quotes nor part of a number.
    others: [u8; OTHERS],
}

impl Default for Marks {
    fn default() -> Self {
        Self { quotes: [0; QUOTES], others: [0; OTHERS] }
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
fn mark(text: &[u8], marks: &mut Marks) -> Option<Run> {
    let (mut quotes_count, mut others_count) = (0, 0);
    let mut closed_before = 0;
    let ordinals = load_64(&ORDINALS);
    for block in 0..BLOCKS {
        let at = block * BLOCK;
        let rest = text.get(at..)?;
        let (window, inside) = match rest.first_chunk() {
            Some(window) => (load_64(window), u64::MAX),
            None => {
                let inside = _bzhi_u64(u64::MAX, rest.len() as u32);
                // SAFETY: characters beyond the end are masked off: not read, and zero in the register.
                (unsafe { _mm512_maskz_loadu_epi8(inside, rest.as_ptr().cast()) }, inside)
            }
        };
        let equal = |byte: u8| _mm512_cmpeq_epi8_mask(window, _mm512_set1_epi8(byte as i8));
        let (closes, digits) = (
            equal(b']'),
            _mm512_cmple_epu8_mask(_mm512_sub_epi8(window, _mm512_set1_epi8(b'0' as i8)), _mm512_set1_epi8(9)),
        );
        // The list ends at the second of two closing brackets, of which the first may lie in the block before.
        let ends = closes & (closes << 1 | closed_before);
        // Up to there, or all.
        let inside = inside & (ends ^ ends.wrapping_sub(1));
        closed_before = closes >> 63;
        let quotes = equal(b'"') & inside;
        let others = !(equal(b'"') | equal(b'.') | digits) & inside;
        let (quotes_here, others_here) = (quotes.count_ones() as usize, others.count_ones() as usize);
        if quotes_here > NOTED_MAX || others_here > NOTED_MAX {
            return None;
        }
        let places = _mm512_castsi512_si256(_mm512_maskz_compress_epi8(quotes, ordinals));
        let places = _mm512_add_epi16(_mm512_cvtepu8_epi16(places), _mm512_set1_epi16(at as i16));
        let room: &mut [u16; 32] = marks.quotes.get_mut(quotes_count..)?.first_chunk_mut()?;
        // SAFETY: 64 bytes are written to an array of as many.
        unsafe { _mm512_storeu_si512(room.as_mut_ptr().cast(), places) };
        let room: &mut [u8; BLOCK] = marks.others.get_mut(others_count..)?.first_chunk_mut()?;
        let others = _mm512_maskz_compress_epi8(others, window);
        // SAFETY: 64 bytes are written to an array of as many.
        unsafe { _mm512_storeu_si512(room.as_mut_ptr().cast(), others) };
        quotes_count += quotes_here;
        others_count += others_here;
        if ends != 0 {
            let run = Run { rows: quotes_count / 4, is_last: true };
            // `[,],` for each row, with the last comma a bracket, two characters behind the last quote.
            let is_whole = quotes_count == 4 * run.rows && others_count == quotes_count && run.rows > 0;
            let end = at + ends.trailing_zeros() as usize;
            let is_ended = is_whole && usize::from(marks.quotes[quotes_count - 1]) + 2 == end;
            return (is_ended && is_in_order(marks, run)).then_some(run);
        }
    }
    // A row counts if the first quote of the next one is there too, so that what separates them is looked at.
    let run = Run { rows: (quotes_count.saturating_sub(1) / 4).min(others_count / 4), is_last: false };
    (run.rows > 0 && is_in_order(marks, run)).then_some(run)
}

/// Whether what stands between the numbers is what must, where it must. Inside of numbers nothing else can stand then: it would
/// be among the other characters.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
fn is_in_order(marks: &Marks, run: Run) -> bool {
    let count = 4 * run.rows;
    let mut wrong = 0;
    let pattern = _mm512_set1_epi32(i32::from_le_bytes(*b"[,],"));
    for (idx, others) in marks.others.as_chunks::<BLOCK>().0.iter().enumerate() {
        let at = idx * BLOCK;
        // But the last, which is a bracket if the list ends.
        let Some(rest) = (count - 1).checked_sub(at) else { break };
        let counted = _bzhi_u64(u64::MAX, rest.min(BLOCK) as u32);
        wrong |= _mm512_mask_cmpneq_epi8_mask(counted, load_64(others), pattern);
    }
    wrong |= u64::from(marks.others[count - 1] != if run.is_last { b']' } else { b',' });
    // From a row's second quote to its third, and from its fourth to the next row's first; lengths of numbers are looked at later.
    let gaps = _mm512_set1_epi64(0x0004_0000_0002_0000);
    let is_gap = 0xaaaa_aaaa;
    let gaps_count = if run.is_last { count - 1 } else { count };
    for at in (0..gaps_count).step_by(32) {
        let places = |at: usize| {
            let places: &[u16; 32] = marks.quotes.get(at..).and_then(|rest| rest.first_chunk()).unwrap_or(&[0; 32]);
            // SAFETY: 64 bytes are read from an array of as many.
            unsafe { _mm512_loadu_si512(places.as_ptr().cast()) }
        };
        let counted = _bzhi_u32(is_gap, (gaps_count - at).min(32) as u32);
        let found = _mm512_sub_epi16(places(at + 1), places(at));
        wrong |= u64::from(_mm512_mask_cmpneq_epi16_mask(counted, found, gaps));
    }
    wrong == 0 && marks.quotes[0] == 1
}

/// Takes a run that begins at `pos`, two rows at a time; `None` if it is not a usual one, and then nothing is taken.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
pub(super) fn take(bytes: &[u8], pos: usize, (px, qty): (u8, u8), out: &mut Rows) -> Option<(usize, Rest)> {
    let text = bytes.get(pos..)?;
    if pos < BEFORE {
        return None;
    }
    let Rows { levels, len, marks } = out;
    let run = mark(text, marks)?;
    let quotes = &mut marks.quotes;
    // An odd row is converted twice.
    quotes.copy_within(4 * run.rows - 4..4 * run.rows, 4 * run.rows);
    let slots = levels.get_mut(*len..*len + run.rows.next_multiple_of(2))?;

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
    // SAFETY: `pos` is at least `BEFORE`.
    let before = unsafe { text.as_ptr().sub(BEFORE) };
    for (quotes, two) in quotes.as_chunks::<8>().0.iter().zip(slots.as_chunks_mut::<2>().0) {
        let lane = |quote: u16| {
            // SAFETY: quotes are places in `text`, and at least `BEFORE` characters of `bytes` lie before it.
            let from = unsafe { before.add(usize::from(quote)) };
            // SAFETY: as above: the sixteen characters up to the quote.
            unsafe { _mm_loadu_si128(from.cast()) }
        };
        let first = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(lane(quotes[1])), lane(quotes[3]));
        let second = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(lane(quotes[5])), lane(quotes[7]));
        let text = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second);
        // SAFETY: sixteen bytes are read from an array of as many.
        let quotes = unsafe { _mm_loadu_si128(quotes.as_ptr().cast()) };
        // Length of each number and one.
        let lens = _mm_sub_epi32(_mm_srli_epi32::<16>(quotes), _mm_and_si128(quotes, _mm_set1_epi32(0xffff)));
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
        || _mm512_testn_epi8_mask(bare_dots, bare_dots) != 0
        || _mm512_test_epi8_mask(off_step, off_step) != 0
        || _mm256_testn_epi64_mask(least_px, least_px) != 0;
    if is_bad {
        return None;
    }
    *len += run.rows;
    let end = pos + usize::from(quotes[4 * run.rows - 1]);
    // Behind the quote: two brackets, or a bracket and a comma.
    Some((end + 3, if run.is_last { Rest::Nothing } else { Rest::Unusual }))
}
