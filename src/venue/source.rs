//! What a dialect's decoder reads from: JSON values one after the other, keys in any order.
//!
//! There are two sources, the scanner over the text ([`scan`](super::scan)) and the walk over a `simd-json` tape
//! ([`general`](super::general)). A dialect is written once over this trait; that both sources tell the same is what
//! the differential tests check.

use super::WireError;
use super::scan::WrittenByStep;
use crate::types::{DecimalError, Event, Level, Lots, Money, Rate, Step, Ticks};

/// Greatest magnitude of a price in ticks or a quantity in lots: two decimal digits below the end of `i64`, so that sums of
/// levels cannot overflow.
pub(crate) const COUNT_MAX: i64 = 100_000_000_000_000_000;

/// Place inside an object or array that is being read; each source counts in its own way.
pub(crate) struct Members(pub(crate) usize);

/// A cursor over JSON values. Copying it keeps a place to come back to.
pub(crate) trait Source<'a>: Copy {
    /// Enters an object.
    fn object(&mut self) -> Result<Members, WireError>;
    /// Moves to the next member's value and returns its key, or leaves the object.
    fn key(&mut self, members: &mut Members) -> Result<Option<&'a [u8]>, WireError>;
    /// Enters an array.
    fn array(&mut self) -> Result<Members, WireError>;
    /// Moves to the next element, or leaves the array and returns `false`.
    fn item(&mut self, members: &mut Members) -> Result<bool, WireError>;
    /// Takes a text.
    fn text(&mut self) -> Result<&'a [u8], WireError>;
    /// Takes a whole number that is not negative.
    fn uint(&mut self) -> Result<u64, WireError>;
    /// Takes a whole number.
    fn int(&mut self) -> Result<i64, WireError>;
    /// Takes `true` or `false`.
    fn flag(&mut self) -> Result<bool, WireError>;
    /// Takes a text that holds a decimal, as a count of steps.
    fn decimal(&mut self, grid: &Grid) -> Result<i64, WireError>;
    /// Whether the next value is a text.
    fn is_text(&mut self) -> bool;
    /// Passes over any value.
    fn skip(&mut self) -> Result<(), WireError>;
    /// Checks that nothing follows.
    fn end(&mut self) -> Result<(), WireError>;

    /// Takes a whole number that may be written as a text: some fields of one venue come both ways.
    fn uint_or_text(&mut self) -> Result<u64, WireError> {
        if self.is_text() { parse_uint(self.text()?) } else { self.uint() }
    }

    /// Takes `[[price, quantity], …]` into `out`.
    fn levels(&mut self, px: &Grid, qty: &Grid, out: &mut LevelBuf) -> Result<Span, WireError> {
        let start = out.rows.len;
        let mut rows = self.array()?;
        while self.item(&mut rows)? {
            let mut row = self.array()?;
            if !self.item(&mut row)? {
                return Err(WireError::WrongType);
            }
            let level_px = self.decimal(px)?;
            if !self.item(&mut row)? {
                return Err(WireError::WrongType);
            }
            let level_qty = self.decimal(qty)?;
            if self.item(&mut row)? {
                return Err(WireError::WrongType);
            }
            out.rows.push(level_px, level_qty)?;
        }
        Ok(Span { start, end: out.rows.len })
    }
}

/// A whole number from decimal digits alone.
pub(crate) fn parse_uint(text: &[u8]) -> Result<u64, WireError> {
    if text.is_empty() {
        return Err(WireError::Decimal(DecimalError::Empty));
    }
    let mut value: u64 = 0;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(WireError::Decimal(DecimalError::BadByte { found: byte }));
        }
        value = value
            .checked_mul(10)
            .and_then(|v| v.checked_add(u64::from(digit)))
            .ok_or(WireError::Decimal(DecimalError::Overflow))?;
    }
    Ok(value)
}

/// A step prepared for the scanner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    step: Step,
    /// Units of the step.
    pub(crate) units: i64,
    /// Ten to the step's decimals.
    pub(crate) pow: i64,
    /// Bits by which eight left-aligned fraction digits move so that the step's last decimal becomes the last digit.
    pub(crate) shift: u32,
    /// Digits (one a byte, the first lowest) beyond the step's decimals: they must be zero.
    pub(crate) beyond: u64,
    /// Decimals of the step.
    pub(crate) decimals: usize,
    /// Whether the eight-digit conversion can do it at all.
    pub(crate) is_narrow: bool,
}

impl Grid {
    pub(crate) fn new(step: Step) -> Self {
        let decimals = u32::from(step.decimals());
        let narrow = decimals.min(8);
        Self {
            step,
            units: i64::from(step.units()),
            pow: 10i64.pow(narrow),
            shift: if narrow == 0 { 0 } else { 64 - 8 * narrow },
            beyond: if narrow == 8 { 0 } else { u64::MAX << (8 * narrow) },
            decimals: decimals as usize,
            is_narrow: decimals <= 8,
        }
    }

    /// Any decimal text: the reference for the scanner's quick conversion.
    pub(crate) fn parse(&self, text: &[u8]) -> Result<i64, WireError> {
        let count = self.step.parse(text)?;
        if (0..=COUNT_MAX).contains(&count) { Ok(count) } else { Err(WireError::OutOfRange) }
    }
}

/// Levels `start..end` of a [`LevelBuf`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Room for the levels of one message, allocated once.
pub(crate) struct LevelBuf {
    pub(super) rows: Rows,
    /// How prices were written lately; the scanner's own.
    pub(super) px_written: WrittenByStep,
    /// How quantities were written lately.
    pub(super) qty_written: WrittenByStep,
}

/// The levels themselves.
pub(crate) struct Rows {
    pub(super) levels: Box<[Level]>,
    pub(super) len: usize,
    /// What runs of rows are taken by; means nothing between.
    #[cfg(target_arch = "x86_64")]
    pub(super) marks: Box<super::runs::Marks>,
}

impl LevelBuf {
    pub(crate) fn new() -> Self {
        let levels = vec![Level::default(); Event::LEVELS_MAX].into_boxed_slice();
        Self {
            rows: Rows {
                levels,
                len: 0,
                #[cfg(target_arch = "x86_64")]
                marks: Box::default(),
            },
            px_written: WrittenByStep::new(),
            qty_written: WrittenByStep::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.rows.len = 0;
    }

    /// Adds one level as a list of its own; nothing if there is no room or no price.
    pub(crate) fn hold(&mut self, level: Level) -> Span {
        let start = self.rows.len;
        let _ = self.rows.push(level.px.get(), level.qty.get());
        Span { start, end: self.rows.len }
    }

    #[inline]
    pub(crate) fn get(&self, span: Span) -> &[Level] {
        self.rows.levels.get(span.start..span.end).unwrap_or(&[])
    }
}

impl Rows {
    /// Adds a level; both counts come from a [`Grid`], so they are not negative.
    #[inline]
    pub(crate) fn push(&mut self, px: i64, qty: i64) -> Result<(), WireError> {
        let Some(slot) = self.levels.get_mut(self.len) else {
            return Err(WireError::TooManyLevels { allowed: Event::LEVELS_MAX as u32 });
        };
        if px == 0 {
            return Err(WireError::OutOfRange);
        }
        *slot = Level { px: Ticks::new(px), qty: Lots::new(qty) };
        self.len += 1;
        Ok(())
    }
}

/// Notices keys that come twice: each known key has a bit.
#[derive(Default)]
pub(crate) struct Seen(u32);

impl Seen {
    /// Notes key number `bit`.
    #[inline]
    pub(crate) fn once(&mut self, bit: u32, field: &'static str) -> Result<(), WireError> {
        let mask = 1u32 << bit;
        if self.0 & mask != 0 {
            return Err(WireError::Duplicate { field });
        }
        self.0 |= mask;
        Ok(())
    }

    /// Checks that key number `bit` was there.
    #[inline]
    pub(crate) fn need(&self, bit: u32, field: &'static str) -> Result<(), WireError> {
        if self.0 & (1 << bit) == 0 { Err(WireError::Missing { field }) } else { Ok(()) }
    }

    #[inline]
    pub(crate) fn has(&self, bit: u32) -> bool {
        self.0 & (1 << bit) != 0
    }
}

/// A decimal amount; digits beyond the fixed scale of [`Money`] are cut off, which for reference prices means nothing.
pub(crate) fn parse_money(text: &[u8]) -> Result<Money, WireError> {
    Ok(Money::parse(cut_fraction(text, Money::DECIMALS as usize))?)
}

/// A decimal fraction; digits beyond the eighth are cut off.
pub(crate) fn parse_rate(text: &[u8]) -> Result<Rate, WireError> {
    Ok(Rate::parse(cut_fraction(text, 8))?)
}

/// Cuts surplus digits, if digits they are.
fn cut_fraction(text: &[u8], decimals: usize) -> &[u8] {
    let Some(dot) = text.iter().position(|&byte| byte == b'.') else { return text };
    match text.get(dot + 1 + decimals..) {
        Some(surplus) if surplus.iter().all(u8::is_ascii_digit) => &text[..dot + 1 + decimals],
        _ => text,
    }
}
