//! The quick source: one pass over the text, no tape, eight bytes at a time.
//!
//! It is strict where it looks (numbers, keys, structure) and refuses what it does not handle, such as escapes in a
//! text that matters; whoever calls it then asks the general source. It does not check UTF-8. Texts and numbers are
//! found by word-wide arithmetic in safe code: a word is loaded from eight bytes, compared with a pattern, and the
//! lowest marked byte is the first hit. Marks above the lowest may be false (a borrow runs upwards), so only the lowest
//! is ever used.

use super::WireError;
#[cfg(target_arch = "x86_64")]
use super::column::Layout;
use super::simd::{Lanes, Plain};
use super::source::{COUNT_MAX, Grid, LevelBuf, Members, Rows, Source, Span};
use crate::types::{DecimalError, Step};

/// Deepest nesting that is passed over: every message of every dialect stays below half of it.
const DEPTH_MAX: u32 = 16;

/// A place in a message.
#[derive(Clone, Copy)]
pub(crate) struct Scanner<'a, L = Plain> {
    pub(super) bytes: &'a [u8],
    pub(super) pos: usize,
    pub(super) lanes: L,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Marks the bytes of `word` that equal `byte`; exact up to the lowest.
#[inline(always)]
const fn equal_to(word: u64, byte: u8) -> u64 {
    let x = word ^ (ONES * byte as u64);
    x.wrapping_sub(ONES) & !x & HIGHS
}

/// Marks the bytes of `word` below `limit` (at most 0x80); exact up to the lowest.
#[inline(always)]
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * limit as u64) & !word & HIGHS
}

/// Marks the bytes of `digits` (text xor `'0'`) above nine; exact up to the lowest.
#[inline(always)]
const fn above_nine(digits: u64) -> u64 {
    (digits.wrapping_add(ONES * 0x76) | digits) & HIGHS
}

/// Index of the lowest marked byte, 8 if there is none.
#[inline(always)]
const fn first(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

/// The number whose eight digits lie one a byte, the most significant lowest.
#[inline(always)]
const fn eight_digits(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let high = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let low = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    high.wrapping_add(low) >> 32
}

/// Whether two short texts are equal, without a call: in steps of sixteen bytes, the last of which overlaps.
#[inline(always)]
pub(super) fn is_equal(a: &[u8], b: &[u8]) -> bool {
    let (Some(a_last), Some(b_last)) = (a.last_chunk::<16>(), b.last_chunk::<16>()) else { return a == b };
    let differ = |a: &[u8; 16], b: &[u8; 16]| u128::from_le_bytes(*a) ^ u128::from_le_bytes(*b);
    let chunks = a.as_chunks().0.iter().zip(b.as_chunks().0);
    a.len() == b.len() && chunks.fold(differ(a_last, b_last), |all, (a, b)| all | differ(a, b)) == 0
}

/// The number whose `len` digits are the last of `window`; `None` if they are not digits, or more than sixteen.
#[inline(always)]
pub(super) fn whole_of(window: &[u8; 16], len: usize) -> Option<u64> {
    let both = u128::from_le_bytes(*window);
    let (low, high) = (both as u64 ^ ZEROS, (both >> 64) as u64 ^ ZEROS);
    match len {
        1..=8 => {
            let high = high & (u64::MAX << (64 - 8 * len));
            (above_nine(high) == 0).then(|| eight_digits(high))
        }
        9..=16 => {
            let low = low & (u64::MAX << (128 - 8 * len));
            (above_nine(low) | above_nine(high) == 0).then(|| eight_digits(low) * POW10[8] + eight_digits(high))
        }
        _ => None,
    }
}

const POW10: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self::with(Plain, bytes)
    }
}

impl<'a, L: Lanes> Scanner<'a, L> {
    /// A scanner that reads levels by `lanes`.
    #[inline(always)]
    pub(super) fn with(lanes: L, bytes: &'a [u8]) -> Self {
        Self { bytes, pos: 0, lanes }
    }

    /// A scanner at `pos`.
    #[inline(always)]
    pub(super) fn at_pos(lanes: L, bytes: &'a [u8], pos: usize) -> Self {
        Self { bytes, pos, lanes }
    }

    /// Passes exactly `text`; `None` if it is not what comes next.
    #[inline(always)]
    pub(super) fn pass<const N: usize>(&mut self, text: &[u8; N]) -> Option<()> {
        if self.bytes.get(self.pos..)?.first_chunk::<N>()? != text {
            return None;
        }
        self.pos += N;
        Some(())
    }

    /// As `pass`, for a text of any length.
    #[inline(always)]
    pub(super) fn pass_slice(&mut self, text: &[u8]) -> Option<()> {
        if !is_equal(self.bytes.get(self.pos..)?.get(..text.len())?, text) {
            return None;
        }
        self.pos += text.len();
        Some(())
    }

    /// A text without escapes up to its closing quote, which is passed; the opening one already was.
    #[inline(always)]
    pub(super) fn rest_of_text(&mut self) -> Option<&'a [u8]> {
        self.text_to_quote().ok()
    }

    /// A whole number with the number of its digits, and the position behind it.
    #[inline(never)]
    pub(super) fn uint_of_other_len(mut self) -> Option<(u64, u8, usize)> {
        let start = self.pos;
        // White space before it would be counted with it.
        self.at(start).filter(u8::is_ascii_digit)?;
        let value = self.uint().ok()?;
        Some((value, (self.pos - start) as u8, self.pos))
    }

    /// Whether all was read.
    #[inline(always)]
    pub(super) fn is_at_end(&self) -> bool {
        self.pos == self.bytes.len()
    }

    #[inline(always)]
    fn word_at(&self, pos: usize) -> Option<u64> {
        self.bytes.get(pos..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
    }

    /// As `word_at`, with zeros for what lies beyond the end; `None` only if the whole message is shorter than a word.
    #[inline(always)]
    fn word_with_zeros(&self, pos: usize) -> Option<u64> {
        if let Some(word) = self.word_at(pos) {
            return Some(word);
        }
        let start = self.bytes.len().checked_sub(8)?;
        let missing = pos.checked_sub(start).filter(|&missing| missing < 8)?;
        Some(self.word_at(start)? >> (8 * missing))
    }

    /// The 24 bytes from here, with zeros for what lies beyond the end.
    #[cold]
    fn window_with_zeros(self) -> [u8; 24] {
        let mut window = [0; 24];
        let rest = self.bytes.get(self.pos..).unwrap_or(&[]);
        let len = rest.len().min(24);
        window[..len].copy_from_slice(&rest[..len]);
        window
    }

    #[inline(always)]
    fn at(&self, pos: usize) -> Option<u8> {
        self.bytes.get(pos).copied()
    }

    /// What is wrong here. By value, as every path out of the hot loops: a cursor that is never borrowed by a call stays in
    /// registers, and each number would otherwise wait for the store of the position before it.
    #[cold]
    fn wrong(self) -> WireError {
        match self.at(self.pos) {
            Some(found) => WireError::Syntax { at: self.pos as u32, found },
            None => WireError::Truncated,
        }
    }

    /// The next byte that is not white space; stays before it.
    #[inline(always)]
    fn token(&mut self) -> Option<u8> {
        let byte = self.at(self.pos)?;
        if byte > b' ' {
            return Some(byte);
        }
        self.pos = self.after_space();
        self.at(self.pos)
    }

    #[cold]
    fn after_space(mut self) -> usize {
        while matches!(self.at(self.pos), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.pos += 1;
        }
        self.pos
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Result<(), WireError> {
        if self.token() == Some(byte) {
            self.pos += 1;
            Ok(())
        } else {
            Err(self.wrong())
        }
    }

    /// The text up to the closing quote, which is passed; the opening one already was.
    #[inline(always)]
    fn text_to_quote(&mut self) -> Result<&'a [u8], WireError> {
        let start = self.pos;
        while let Some(word) = self.word_at(self.pos) {
            let marks = equal_to(word, b'"') | equal_to(word, b'\\') | below(word, b' ');
            if marks != 0 {
                self.pos += first(marks);
                break;
            }
            self.pos += 8;
        }
        loop {
            match self.at(self.pos) {
                Some(b'"') => break,
                Some(b'\\' | 0..b' ') | None => return Err(self.wrong()),
                Some(_) => self.pos += 1,
            }
        }
        let text = self.bytes.get(start..self.pos).unwrap_or(&[]);
        self.pos += 1;
        Ok(text)
    }

    /// Passes over a text with or without escapes.
    fn skip_text(&mut self) -> Result<(), WireError> {
        self.expect(b'"')?;
        loop {
            while let Some(word) = self.word_at(self.pos) {
                let marks = equal_to(word, b'"') | equal_to(word, b'\\') | below(word, b' ');
                if marks != 0 {
                    self.pos += first(marks);
                    break;
                }
                self.pos += 8;
            }
            match self.at(self.pos) {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    let escape = self.at(self.pos + 1).ok_or(WireError::Truncated)?;
                    if !matches!(escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u') {
                        return Err(self.wrong());
                    }
                    self.pos += 2;
                }
                Some(0..b' ') | None => return Err(self.wrong()),
                Some(_) => self.pos += 1,
            }
        }
    }

    /// Passes over a number of strict JSON form.
    fn skip_number(&mut self) -> Result<(), WireError> {
        if self.at(self.pos) == Some(b'-') {
            self.pos += 1;
        }
        let leading_zero = self.at(self.pos) == Some(b'0');
        let whole = self.skip_digits();
        if whole == 0 || (leading_zero && whole > 1) {
            return Err(self.wrong());
        }
        if self.at(self.pos) == Some(b'.') {
            self.pos += 1;
            if self.skip_digits() == 0 {
                return Err(self.wrong());
            }
        }
        if matches!(self.at(self.pos), Some(b'e' | b'E')) {
            self.pos += 1;
            if matches!(self.at(self.pos), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            if self.skip_digits() == 0 {
                return Err(self.wrong());
            }
        }
        Ok(())
    }

    fn skip_digits(&mut self) -> usize {
        let start = self.pos;
        while matches!(self.at(self.pos), Some(b'0'..=b'9')) {
            self.pos += 1;
        }
        self.pos - start
    }

    fn skip_word(&mut self, word: &[u8]) -> Result<(), WireError> {
        match self.bytes.get(self.pos..self.pos + word.len()) {
            Some(found) if found == word => {
                self.pos += word.len();
                Ok(())
            }
            _ => Err(self.wrong()),
        }
    }

    fn skip_at(&mut self, depth: u32) -> Result<(), WireError> {
        if depth == DEPTH_MAX {
            return Err(WireError::TooDeep { allowed: DEPTH_MAX });
        }
        match self.token() {
            Some(b'"') => self.skip_text(),
            Some(b'{') => {
                let mut members = self.object()?;
                while self.skip_key(&mut members)? {
                    self.skip_at(depth + 1)?;
                }
                Ok(())
            }
            Some(b'[') => {
                let mut members = self.array()?;
                while self.item(&mut members)? {
                    self.skip_at(depth + 1)?;
                }
                Ok(())
            }
            Some(b't') => self.skip_word(b"true"),
            Some(b'f') => self.skip_word(b"false"),
            Some(b'n') => self.skip_word(b"null"),
            Some(b'-' | b'0'..=b'9') => self.skip_number(),
            _ => Err(self.wrong()),
        }
    }

    /// As `key`, for an object that is passed over: the key may hold escapes.
    fn skip_key(&mut self, members: &mut Members) -> Result<bool, WireError> {
        if !self.next_member(members, b'}')? {
            return Ok(false);
        }
        self.token();
        self.skip_text()?;
        self.expect(b':')?;
        Ok(true)
    }

    /// Passes the comma before the next member, or the closing bracket.
    #[inline(always)]
    fn next_member(&mut self, members: &mut Members, close: u8) -> Result<bool, WireError> {
        let token = self.token();
        if token == Some(close) {
            self.pos += 1;
            return Ok(false);
        }
        if members.0 != 0 {
            if token != Some(b',') {
                return Err(self.wrong());
            }
            self.pos += 1;
        }
        members.0 = 1;
        Ok(true)
    }

    /// The count of steps of the decimal that starts here and ends at a quote, which is passed.
    ///
    /// The usual decimal has one to eight digits before the dot and up to eight after it and lies whole in a window
    /// of 16 bytes. It is converted eight digits at a time; everything else goes through [`Grid::parse`].
    ///
    /// `shape` is where dot and quote were in the number before. Numbers of one column are mostly equally long, and a
    /// guess that holds costs two compared bytes; more important, the processor then need not wait for the search to
    /// know where the next number begins.
    #[inline(always)]
    pub(super) fn decimal_to_quote(&mut self, grid: &Grid, shape: &mut Shape) -> Result<i64, WireError> {
        match self.usual_decimal(grid, shape) {
            Some(count) => Ok(count),
            None => {
                let (count, pos) = self.unusual_decimal(grid)?;
                self.pos = pos;
                Ok(count)
            }
        }
    }

    #[inline(always)]
    fn usual_decimal(&mut self, grid: &Grid, shape: &mut Shape) -> Option<i64> {
        let short;
        let window: &[u8; 24] = match self.bytes.get(self.pos..)?.first_chunk() {
            Some(window) => window,
            None => {
                short = self.window_with_zeros();
                &short
            }
        };
        let holds = |shape: &Shape| window[shape.quote & 15] == b'"' && window[shape.dot & 15] == shape.dot_byte;
        if !holds(shape) {
            *shape = Shape::find(window.first_chunk()?, grid)?;
        }
        // The bytes before the dot and between dot and quote are checked to be digits, so a shape that holds is the shape.
        let head = (u64::from_le_bytes(*window.first_chunk()?) ^ ZEROS) & shape.whole_mask;
        let tail = window.get((shape.dot & 15) + 1..(shape.dot & 15) + 9)?.first_chunk()?;
        let tail = (u64::from_le_bytes(*tail) ^ ZEROS) & shape.fraction_mask;
        if (above_nine(head) | above_nine(tail) | (tail & grid.beyond)) != 0 {
            return None;
        }
        let fraction = tail << grid.shift;
        let value = if shape.is_short {
            eight_digits(head << shape.whole_shift | fraction) as i64
        } else {
            // Both factors stay below 10⁸, so the sum stays below 10¹⁶: within `COUNT_MAX`.
            eight_digits(head << shape.whole_shift) as i64 * grid.pow + eight_digits(fraction) as i64
        };
        let count = if grid.units == 1 {
            value
        } else if value % grid.units == 0 {
            value / grid.units
        } else {
            return None;
        };
        self.pos += shape.quote + 1;
        Some(count)
    }

    #[cold]
    fn unusual_decimal(mut self, grid: &Grid) -> Result<(i64, usize), WireError> {
        let count = grid.parse(self.text_to_quote()?)?;
        Ok((count, self.pos))
    }

    /// Takes `literal`, which mostly lies here exactly so, or else the two tokens it consists of.
    ///
    /// A branch and no conditional move: the next position must not wait for the bytes here.
    #[inline(always)]
    fn take(&mut self, literal: &[u8; 2]) -> Result<(), WireError> {
        if self.bytes.get(self.pos..).and_then(|rest| rest.first_chunk::<2>()) == Some(literal) {
            self.pos += 2;
            return Ok(());
        }
        self.pos = self.after_tokens(*literal)?;
        Ok(())
    }

    #[cold]
    fn after_tokens(mut self, tokens: [u8; 2]) -> Result<usize, WireError> {
        self.expect(tokens[0])?;
        self.expect(tokens[1])?;
        Ok(self.pos)
    }
}

const _: () = assert!(COUNT_MAX >= 10_000_000_000_000_000, "the quick conversions yield up to sixteen digits");

/// Where dot and quote of a decimal are, and what follows from that for its conversion under one [`Grid`].
#[derive(Clone, Copy)]
pub(super) struct Shape {
    quote: usize,
    /// Equal to `quote` if there is no dot.
    dot: usize,
    dot_byte: u8,
    /// Whether whole digits and the step's decimals fit one word of eight.
    is_short: bool,
    whole_shift: u32,
    whole_mask: u64,
    fraction_mask: u64,
}

impl Shape {
    /// Holds for nothing: no byte is a quote and zero.
    const NONE: Self =
        Self { quote: 0, dot: 0, dot_byte: 0, is_short: false, whole_shift: 0, whole_mask: 0, fraction_mask: 0 };

    /// The shape of the number at the start of the window, if it is of the usual kind. Out of line: inside the loop over
    /// levels it would take the registers that the conversion needs.
    #[inline(never)]
    fn find(window: &[u8; 16], grid: &Grid) -> Option<Self> {
        let (quote, dot) = find_quote_and_dot(window);
        let whole_len = if dot < quote { dot } else { quote };
        if quote == 16 || whole_len == 0 || whole_len > 8 || !grid.is_narrow {
            return None;
        }
        let fraction_len = if dot < quote { quote - dot - 1 } else { 0 };
        if (dot < quote && fraction_len == 0) || fraction_len > 8 {
            return None;
        }
        let is_short = whole_len + grid.decimals <= 8;
        let last = if is_short { whole_len + grid.decimals } else { whole_len };
        Some(Self {
            quote,
            dot: whole_len,
            dot_byte: if dot < quote { b'.' } else { b'"' },
            is_short,
            // Moves the last whole digit to where it counts: the top, or just below the decimals.
            whole_shift: 64 - 8 * last as u32,
            whole_mask: u64::MAX >> (64 - 8 * whole_len),
            fraction_mask: if fraction_len == 0 { 0 } else { u64::MAX >> (64 - 8 * fraction_len) },
        })
    }
}

/// Where the first quote and the first dot of the window are, 16 if there is none.
#[inline(always)]
fn find_quote_and_dot(window: &[u8; 16]) -> (usize, usize) {
    let both = u128::from_le_bytes(*window);
    let (low, high) = (both as u64, (both >> 64) as u64);
    let find = |byte| {
        let in_low = first(equal_to(low, byte));
        if in_low < 8 { in_low } else { 8 + first(equal_to(high, byte)) }
    };
    (find(b'"'), find(b'.'))
}

impl<'a, L: Lanes> Source<'a> for Scanner<'a, L> {
    #[inline(always)]
    fn object(&mut self) -> Result<Members, WireError> {
        self.expect(b'{')?;
        Ok(Members(0))
    }

    #[inline(always)]
    fn key(&mut self, members: &mut Members) -> Result<Option<&'a [u8]>, WireError> {
        // Most keys have one letter: `,"x":` is compared as one word.
        if members.0 != 0
            && let Some(word) = self.word_at(self.pos)
            && word & 0xff_ff00_ffff == u64::from_le_bytes(*b",\"\0\":\0\0\0")
        {
            let key = self.bytes.get(self.pos + 2..self.pos + 3);
            if key != Some(b"\\") && key != Some(b"\"") {
                self.pos += 5;
                return Ok(key);
            }
        }
        if !self.next_member(members, b'}')? {
            return Ok(None);
        }
        self.expect(b'"')?;
        let key = self.text_to_quote()?;
        self.expect(b':')?;
        Ok(Some(key))
    }

    #[inline(always)]
    fn array(&mut self) -> Result<Members, WireError> {
        self.expect(b'[')?;
        Ok(Members(0))
    }

    #[inline(always)]
    fn item(&mut self, members: &mut Members) -> Result<bool, WireError> {
        let is_first = members.0 == 0;
        let more = self.next_member(members, b']')?;
        if more && !is_first && self.token() == Some(b']') {
            return Err(self.wrong());
        }
        Ok(more)
    }

    #[inline(always)]
    fn text(&mut self) -> Result<&'a [u8], WireError> {
        self.expect(b'"')?;
        self.text_to_quote()
    }

    #[inline(always)]
    fn uint(&mut self) -> Result<u64, WireError> {
        self.token();
        let start = self.pos;
        if let Some(low) = self.word_at(start)
            && let Some(high) = self.word_with_zeros(start + 8)
        {
            let (low, high) = (low ^ ZEROS, high ^ ZEROS);
            let low_len = first(above_nine(low));
            if low_len < 8 {
                // A leading zero is left to the slow way, which refuses it unless it is the whole number.
                if low_len > 0 && low as u8 != 0 {
                    self.pos += low_len;
                    return self.whole(eight_digits(low << (64 - 8 * low_len)));
                }
            } else {
                let high_len = first(above_nine(high));
                if high_len < 8 && low as u8 != 0 {
                    let tail = if high_len == 0 { 0 } else { eight_digits(high << (64 - 8 * high_len)) };
                    self.pos += 8 + high_len;
                    return self.whole(eight_digits(low) * POW10[high_len] + tail);
                }
            }
        }
        let len = self.skip_digits();
        let digits = self.bytes.get(start..start + len).unwrap_or(&[]);
        if len == 0 || (len > 1 && digits.first() == Some(&b'0')) {
            return Err(self.wrong());
        }
        let value = super::source::parse_uint(digits)?;
        self.whole(value)
    }

    fn int(&mut self) -> Result<i64, WireError> {
        let is_negative = self.token() == Some(b'-');
        if is_negative {
            self.pos += 1;
            // No white space between sign and digits.
            if !matches!(self.at(self.pos), Some(b'0'..=b'9')) {
                return Err(self.wrong());
            }
        }
        let value = i64::try_from(self.uint()?).map_err(|_| WireError::OutOfRange)?;
        Ok(if is_negative { -value } else { value })
    }

    fn flag(&mut self) -> Result<bool, WireError> {
        match self.token() {
            Some(b't') => self.skip_word(b"true").map(|()| true),
            Some(b'f') => self.skip_word(b"false").map(|()| false),
            _ => Err(self.wrong()),
        }
    }

    #[inline(always)]
    fn decimal(&mut self, grid: &Grid) -> Result<i64, WireError> {
        self.expect(b'"')?;
        let mut shape = Shape::NONE;
        self.decimal_to_quote(grid, &mut shape)
    }

    #[inline(always)]
    fn is_text(&mut self) -> bool {
        self.token() == Some(b'"')
    }

    fn skip(&mut self) -> Result<(), WireError> {
        self.skip_at(0)
    }

    fn end(&mut self) -> Result<(), WireError> {
        match self.token() {
            None => Ok(()),
            Some(_) => Err(self.wrong()),
        }
    }

    #[inline(always)]
    fn levels(&mut self, px: &Grid, qty: &Grid, out: &mut LevelBuf) -> Result<Span, WireError> {
        self.lanes.levels(self, (px, qty), out)
    }
}

/// How the numbers of one column were written lately. It outlives the message: the next one is much like it.
#[derive(Clone, Copy)]
pub(super) struct Written {
    pub(super) shape: Shape,
    #[cfg(target_arch = "x86_64")]
    pub(super) layout: Layout,
    /// The layout before: columns mostly change between two.
    #[cfg(target_arch = "x86_64")]
    pub(super) other: Layout,
}

/// One [`Written`] for each number of decimals that a step may have: a layout made for one would yield wrong counts under
/// another.
pub(super) struct WrittenByStep(Box<[Written; DECIMALS_COUNT]>);

const DECIMALS_COUNT: usize = Step::DECIMALS_MAX as usize + 1;

impl WrittenByStep {
    /// Nothing is known.
    pub(super) fn new() -> Self {
        let nothing = Written {
            shape: Shape::NONE,
            #[cfg(target_arch = "x86_64")]
            layout: Layout::NONE,
            #[cfg(target_arch = "x86_64")]
            other: Layout::NONE,
        };
        Self(Box::new([nothing; DECIMALS_COUNT]))
    }

    #[inline(always)]
    pub(super) fn of(&mut self, grid: &Grid) -> &mut Written {
        // A step has at most `DECIMALS_MAX` decimals, so the remainder is the number itself.
        &mut self.0[grid.decimals % DECIMALS_COUNT]
    }
}

/// Reads the numbers of one column.
pub(super) trait Column {
    /// The count of steps of the decimal that starts here and ends at a quote, which is passed.
    fn read(&mut self, scanner: &mut Scanner<'_, impl Lanes>, grid: &Grid) -> Result<i64, WireError>;
}

/// Eight digits at a time, on any processor.
pub(super) struct PlainColumn<'w>(pub(super) &'w mut Written);

impl Column for PlainColumn<'_> {
    #[inline(always)]
    fn read(&mut self, scanner: &mut Scanner<'_, impl Lanes>, grid: &Grid) -> Result<i64, WireError> {
        scanner.decimal_to_quote(grid, &mut self.0.shape)
    }
}

/// What is left of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing: the closing bracket was passed.
    Nothing,
    /// A row that the taker does not take, at the position given with it.
    Unusual,
}

/// Takes rows of the usual form, several at a time.
pub(super) trait RowTaker {
    /// Takes what it can from `pos` on, where a row begins, and returns where it stopped and why.
    fn take(&mut self, bytes: &[u8], pos: usize, out: &mut Rows) -> (usize, Rest);
}

/// Takes none.
pub(super) struct Never;

impl RowTaker for Never {
    #[inline(always)]
    fn take(&mut self, _: &[u8], pos: usize, _: &mut Rows) -> (usize, Rest) {
        (pos, Rest::Unusual)
    }
}

impl<L: Lanes> Scanner<'_, L> {
    /// The dense form `[["p","q"],["p","q"]]` is taken without looking for white space; where there is some, it is passed.
    #[inline(always)]
    pub(super) fn levels_by(
        &mut self,
        (px, qty): (&Grid, &Grid),
        out: &mut Rows,
        (mut px_column, mut qty_column): (impl Column, impl Column),
        mut taker: impl RowTaker,
    ) -> Result<Span, WireError> {
        let start = out.len;
        let mut cursor = *self;
        cursor.expect(b'[')?;
        if cursor.token() == Some(b']') {
            cursor.pos += 1;
            *self = cursor;
            return Ok(Span { start, end: start });
        }
        loop {
            let (pos, rest) = taker.take(cursor.bytes, cursor.pos, out);
            cursor.pos = pos;
            if rest == Rest::Nothing {
                *self = cursor;
                return Ok(Span { start, end: out.len });
            }
            cursor.take(b"[\"")?;
            let level_px = px_column.read(&mut cursor, px)?;
            cursor.take(b",\"")?;
            let level_qty = qty_column.read(&mut cursor, qty)?;
            out.push(level_px, level_qty)?;
            match cursor.bytes.get(cursor.pos..).and_then(|rest| rest.first_chunk()) {
                Some(b"],") => cursor.pos += 2,
                _ => match cursor.after_row()? {
                    (pos, true) => cursor.pos = pos,
                    (pos, false) => {
                        self.pos = pos;
                        return Ok(Span { start, end: out.len });
                    }
                },
            }
        }
    }

    /// Where the next row begins, or behind the last bracket.
    #[cold]
    fn after_row(mut self) -> Result<(usize, bool), WireError> {
        self.expect(b']')?;
        let has_more = match self.token() {
            Some(b',') => true,
            Some(b']') => false,
            _ => return Err(self.wrong()),
        };
        self.pos += 1;
        if has_more {
            self.token();
        }
        Ok((self.pos, has_more))
    }

    /// Checks that a whole number ends as one: a fraction or an exponent would change its value.
    #[inline(always)]
    fn whole(&self, value: u64) -> Result<u64, WireError> {
        match self.at(self.pos) {
            Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n') => Ok(value),
            Some(found) => Err(WireError::Decimal(DecimalError::BadByte { found })),
            None => Err(WireError::Truncated),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::venue::simd::{Job, Simd};

    fn decimal(text: &str, step: &str) -> Result<i64, WireError> {
        let grid = Grid::new(Step::from_text(step.as_bytes()).unwrap());
        Scanner::new(text.as_bytes()).decimal(&grid)
    }

    #[test]
    fn numbers_are_exact_or_refused() {
        for pad in ["", ",\"and\":\"enough bytes behind it\"}"] {
            let one = |text: &str, step| decimal(&format!("\"{text}\"{pad}"), step);
            assert_eq!(one("61659.70", "0.10"), Ok(616_597));
            assert_eq!(one("61737.63000000", "0.01"), Ok(6_173_763));
            assert_eq!(one("77140.5", "0.5"), Ok(154_281));
            assert_eq!(one("437848", "1"), Ok(437_848));
            assert_eq!(one("437848.000", "1"), Ok(437_848));
            assert_eq!(one("1234567890.12345678", "0.00000001"), Err(WireError::OutOfRange));
            for bad in ["1e5", "", ".", "-1", "1.2.3", "61659.75", " 1", "1 ", "0x10", "99999999999999999999"] {
                assert!(one(bad, "0.10").is_err(), "{bad}");
            }
        }
        assert!(decimal("12.5", "0.1").is_err());
        assert!(decimal("\"12.5", "0.1").is_err());
    }

    #[test]
    fn whole_numbers_are_exact_or_refused() {
        for (text, want) in [
            ("0,", Some(0)),
            ("7}", Some(7)),
            ("12345678,           ", Some(12_345_678)),
            ("1723161256299,\"T\":1723161256298", Some(1_723_161_256_299)),
            ("18446744073709551615]", Some(u64::MAX)),
            ("18446744073709551616]", None),
            ("1234567890123456,      ", Some(1_234_567_890_123_456)),
            ("007,                  ", None),
            ("1.5,                  ", None),
            ("1e5,                  ", None),
            ("-5,                   ", None),
            ("\"5\",                ", None),
            ("5", None),
        ] {
            assert_eq!(Scanner::new(text.as_bytes()).uint().ok(), want, "{text}");
        }
    }

    #[test]
    fn skip_takes_json_and_nothing_else() {
        for good in
            ["null", "[1,2,{\"a\":[]}]", "{}", "[ ]", "\"a\\\"b\\u00e9\"", "-1.5e+10", "{ \"a\" : 1 , \"b\" : [ ] }"]
        {
            let mut scanner = Scanner::new(good.as_bytes());
            assert_eq!(scanner.skip().and_then(|()| scanner.end()), Ok(()), "{good}");
        }
        let deep = "[".repeat(100);
        for bad in ["", "{", "[1,]", "{\"a\"}", "{\"a\":1,}", "nul", "01", "1.", "\"\n\"", "\"\\x\"", "[1 2]", &deep] {
            let mut scanner = Scanner::new(bad.as_bytes());
            assert!(scanner.skip().and_then(|()| scanner.end()).is_err(), "{bad}");
        }
    }

    struct ReadLevels<'a> {
        text: &'a [u8],
        grids: (&'a Grid, &'a Grid),
        out: &'a mut LevelBuf,
    }

    impl Job for ReadLevels<'_> {
        type Out = Result<Span, WireError>;

        fn run<L: crate::venue::number::Numbers>(self, lanes: L) -> Self::Out {
            Scanner::with(lanes, self.text).levels(self.grids.0, self.grids.1, self.out)
        }
    }

    #[test]
    fn what_is_nearly_a_row_is_refused_by_every_way() {
        let px = Grid::new(Step::from_text(b"0.10").unwrap());
        let qty = Grid::new(Step::from_text(b"0.001").unwrap());
        let good = r#"["61659.70","0.004"]"#;
        for bad in [
            r#"[.5"","2"]"#,
            r#"5["","2"]"#,
            r#"[5"1.0","2"]"#,
            r#"["1.0"5,"2"]"#,
            r#"["1.0",5"2"]"#,
            r#"["1.0","2"5]"#,
            r#"["1.0","2"]5"#,
            r#"["1.0"55,"2.1"]"#,
            r#"["1.0","2.1.2"]"#,
            r#"["1..0","2"]"#,
            r#"["",""]"#,
            r#"["1.0",""]"#,
            r#"["1.0","."]"#,
            r#"["0.0","2"]"#,
            r#"["1.05","2"]"#,
            r#"["1.0","0.0001"]"#,
            r#"["1.0","-2"]"#,
            r#"["1.0","2e1"]"#,
            r#"["1.0","/"]"#,
            r#"["1.0",2]"#,
            r#"["1.0"]"#,
            r#"["1.0","2","3"]"#,
            r#"["1.0" "2"]"#,
            r#"["1.0","99999999999999999999"]"#,
            r#"['1.0',"2"]"#,
            "[\"1.0\",\"2\0\"]",
            r#"["1.0","2"],"#,
        ] {
            for (before, after) in (0..5).flat_map(|before| (0..4).map(move |after| (before, after))) {
                let mut rows = vec![good; before];
                rows.push(bad);
                rows.extend(vec![good; after]);
                let list = format!("[{}]", rows.join(","));
                for behind in
                    ["", r#","and":"more behind it, so that every window is a whole one and none ends with the text"}"#]
                {
                    let text = format!("{{\"key\":\"and some before\":{list}{behind}");
                    for simd in Simd::all() {
                        let mut out = LevelBuf::new();
                        let job = ReadLevels { text: text.as_bytes(), grids: (&px, &qty), out: &mut out };
                        let found = simd.run(At { pos: text.find("[").unwrap(), job });
                        assert!(found.is_err(), "{}: {text}: {found:?}", simd.name());
                    }
                }
            }
        }
    }

    #[test]
    fn the_longest_numbers_are_whole_or_refused_by_every_way() {
        let grid = Grid::new(Step::from_text(b"0.00000001").unwrap());
        for number in ["1.00000001", "1234567.12345678", "12345678.12345678", "99999999.99999999", "123456789.12345678"]
        {
            for rows in [1, 2, 3, 40, 41] {
                let row = format!(r#"["{number}","{number}"]"#);
                let text = format!("{{\"key\":\"and some before\":[{}],\"and\":\"more\"}}", vec![row; rows].join(","));
                for simd in Simd::all() {
                    let mut out = LevelBuf::new();
                    let job = ReadLevels { text: text.as_bytes(), grids: (&grid, &grid), out: &mut out };
                    let found = simd.run(At { pos: text.find('[').unwrap(), job });
                    match grid.parse(number.as_bytes()) {
                        Ok(want) => {
                            let levels = out.get(found.unwrap());
                            assert_eq!(levels.len(), rows);
                            assert!(
                                levels.iter().all(|level| (level.px.get(), level.qty.get()) == (want, want)),
                                "{number}"
                            );
                        }
                        Err(_) => assert!(found.is_err(), "{}: {number}", simd.name()),
                    }
                }
            }
        }
    }

    struct At<'a> {
        pos: usize,
        job: ReadLevels<'a>,
    }

    impl Job for At<'_> {
        type Out = Result<Span, WireError>;

        fn run<L: crate::venue::number::Numbers>(self, lanes: L) -> Self::Out {
            let mut scanner = Scanner::with(lanes, self.job.text);
            scanner.pos = self.pos;
            scanner.levels(self.job.grids.0, self.job.grids.1, self.job.out)
        }
    }

    proptest! {
        #[test]
        fn quick_conversion_equals_the_plain_one(
            text in "[0-9]{0,12}(\\.[0-9]{0,10})?", units in 1u32..30, decimals in 0u8..=12, pad in 0usize..30,
        ) {
            let grid = Grid::new(Step::new(units, decimals).unwrap());
            let json = format!("\"{text}\"{}", &",\"aaaaaaaaaaaaaaaaaaaaaaaaaaaa"[..pad]);
            prop_assert_eq!(Scanner::new(json.as_bytes()).decimal(&grid), grid.parse(text.as_bytes()));
        }

        /// One buffer for all: what is remembered of one grid's columns must never be used for another's.
        #[test]
        fn levels_equal_the_plain_conversion_whatever_came_before(
            lists in prop::collection::vec(
                (
                    (prop::collection::vec(("[1-9][0-9]{0,8}(\\.[0-9]{1,9})?", "[0-9]{1,9}(\\.[0-9]{1,9})?"), 0..9), 1usize..30),
                    (1u32..4, 0u8..=12), (1u32..4, 0u8..=12), any::<bool>(),
                ),
                1..12,
            ),
        ) {
            let mut ways: Vec<_> = Simd::all().map(|simd| (simd, LevelBuf::new())).collect();
            for ((rows, times), px, qty, is_spaced) in lists {
                let (px, qty) = (Grid::new(Step::new(px.0, px.1).unwrap()), Grid::new(Step::new(qty.0, qty.1).unwrap()));
                let row = |(p, q): &(String, String)| format!(r#"["{p}","{q}"]"#);
                // Long lists are taken in runs, and numbers are loaded by their ends, so something must stand before them.
                let rows: Vec<_> = rows.iter().cycle().take(rows.len() * times).cloned().collect();
                let list = format!("[{}]  ", rows.iter().map(row).collect::<Vec<_>>().join(","));
                let list = if is_spaced { list.replace(',', " , ") } else { list };
                let before = "{\"key\":\"and some before\":";
                let text = format!("{before}{list}");
                let want: Result<Vec<(i64, i64)>, WireError> = rows
                    .iter()
                    .map(|(p, q)| match (px.parse(p.as_bytes())?, qty.parse(q.as_bytes())?) {
                        (0, _) => Err(WireError::OutOfRange),
                        level => Ok(level),
                    })
                    .collect();
                // One memory for each way to read them: they remember differently.
                for (simd, out) in &mut ways {
                    out.clear();
                    let job = ReadLevels { text: text.as_bytes(), grids: (&px, &qty), out };
                    let found = simd.run(At { pos: before.len(), job });
                    let levels = |span| out.get(span).iter().map(|l| (l.px.get(), l.qty.get())).collect::<Vec<_>>();
                    prop_assert_eq!(&found.map(levels), &want, "{}", simd.name());
                }
            }
        }

        /// Numbers as short as most are, in lists of any length, one byte damaged perhaps.
        #[test]
        fn short_numbers_are_read_as_by_the_plain_way(
            rows in prop::collection::vec(("[1-9][0-9]{0,5}(\\.[0-9]{1,3})?", "[0-9]{1,5}(\\.[0-9]{1,4})?"), 1..60),
            decimals in (0u8..=4, 0u8..=5), is_cut in prop::bool::weighted(0.8),
            damage in prop::option::of((any::<prop::sample::Index>(), prop::sample::select(b"\"[],.0123456789-/:x".to_vec()))),
        ) {
            let grid = |decimals| Grid::new(Step::new(1, decimals).unwrap());
            let (px, qty) = (grid(decimals.0), grid(decimals.1));
            // On the step, mostly: what is not makes the whole list refused.
            let cut = |text: &str, decimals: u8| match text.find('.') {
                Some(dot) if is_cut && text.len() > dot + 1 + usize::from(decimals) => {
                    text[..dot + usize::from(decimals) + usize::from(decimals > 0)].to_owned() + if decimals > 0 { "0" } else { "" }
                }
                _ => text.to_owned(),
            };
            let row = |(p, q): &(String, String)| format!(r#"["{}","{}"]"#, cut(p, decimals.0), cut(q, decimals.1));
            let mut list = format!("[{}]", rows.iter().map(row).collect::<Vec<_>>().join(",")).into_bytes();
            if let Some((at, byte)) = damage {
                let at = at.index(list.len());
                list[at] = byte;
            }
            let before = b"{\"key\":\"and some before\":";
            let text = [&before[..], &list, b",\"and\":\"some behind\"}"].concat();
            let mut found = Simd::all().map(|simd| {
                let mut out = LevelBuf::new();
                let job = ReadLevels { text: &text, grids: (&px, &qty), out: &mut out };
                let found = simd.run(At { pos: before.len(), job }).ok();
                found.map(|span| out.get(span).to_vec())
            });
            let plain = found.next().unwrap();
            for other in found {
                prop_assert_eq!(&other, &plain);
            }
        }

        #[test]
        fn the_window_shows_the_first_of_each(window: [u8; 16], place in 0usize..16, byte in prop::sample::select(vec![b'"', b'.'])) {
            let mut window = window;
            window[place] = byte;
            let find = |byte| window.iter().position(|&b| b == byte).unwrap_or(16);
            prop_assert_eq!(find_quote_and_dot(&window), (find(b'"'), find(b'.')));
        }

        #[test]
        fn any_bytes_are_skipped_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Scanner::new(&bytes).skip();
            let _ = Scanner::new(&bytes).text();
            let _ = Scanner::new(&bytes).uint();
        }
    }
}
