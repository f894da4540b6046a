//! Where in the queue of its price an order stands, as far as a feed of levels tells.
//!
//! A feed of levels shows how much is displayed at a price, not whose. When less is displayed than before and no trade says why,
//! somebody cancelled: ahead of our order or behind it. A [`QueuePosition`] says how such a decrease is shared out. The
//! probabilities are those of Rigtorp, *Estimating order queue position* (2013), in the forms that the hftbacktest library made
//! usual, so that results can be compared.
//!
//! None of the feeds that are decoded here tells how many orders stand at a price; a model by order counts waits for one that does.
//! Floating point uses the four operations and the square root alone, which every machine rounds alike.

use std::fmt;
use std::str::FromStr;

use crate::types::Lots;

/// How cancelled quantity is shared out between what stands ahead of an order and what stands behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueuePosition {
    /// All of it was behind, as far as that can be: the order advances by trades, and when less is displayed than was ahead.
    #[default]
    Conservative,
    /// Behind with probability `f(back) / (f(back) + f(front))`, where `f(x) = xⁿ`.
    Power(Exponent),
    /// Behind with probability `f(back) / f(back + front)`, where `f(x) = xⁿ`.
    PowerOfSum(Exponent),
    /// Behind with probability `1 − (front / (front + back))ⁿ`.
    PowerOfShare(Exponent),
}

/// An exponent in halves, from 0.5 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exponent(u8);

impl Exponent {
    /// Makes an exponent of so many halves; `None` beyond 1 to 20.
    pub const fn halves(halves: u8) -> Option<Self> {
        if matches!(halves, 1..=20) { Some(Self(halves)) } else { None }
    }

    fn raise(self, x: f64) -> f64 {
        let whole = (0..self.0 / 2).fold(1.0, |product, _| product * x);
        if self.0.is_multiple_of(2) { whole } else { whole * x.sqrt() }
    }
}

impl QueuePosition {
    /// What stands ahead of an order after a level went from `before` to `after` lots, of which no trade told.
    ///
    /// `front` is what stood ahead, in lots and parts of them; the result lies between nothing and `after`, and never above `front`.
    pub fn after_change(self, front: f64, before: f64, after: f64) -> f64 {
        let cancelled = before - after;
        let back = (before - front).max(0.0);
        if self == Self::Conservative || cancelled <= 0.0 || front + back <= 0.0 {
            return front.min(after).max(0.0);
        }
        let behind = self.behind(front, back);
        // What would be more than stood behind must have stood ahead.
        let excess = (behind * cancelled - back).max(0.0);
        let left = front - (1.0 - behind) * cancelled - excess;
        left.min(front).min(after).max(0.0)
    }

    /// Probability that a cancelled lot stood behind.
    fn behind(self, front: f64, back: f64) -> f64 {
        let ratio = |part: f64, whole: f64| if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 1.0 };
        match self {
            Self::Conservative => 1.0,
            Self::Power(n) => ratio(n.raise(back), n.raise(back) + n.raise(front)),
            Self::PowerOfSum(n) => ratio(n.raise(back), n.raise(back + front)),
            Self::PowerOfShare(n) => 1.0 - n.raise(ratio(front, front + back)),
        }
    }
}

/// Whole lots next to `front`, a half counted down.
pub(super) fn whole_lots(front: f64) -> Lots {
    Lots::new((front - 0.5).ceil().max(0.0) as i64)
}

impl FromStr for QueuePosition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || {
            format!(
                "found `{text}`, allowed are conservative, power:N, power-of-sum:N and power-of-share:N, \
                 where N is 0.5, 1, 1.5 and so on up to 10"
            )
        };
        if text == "conservative" {
            return Ok(Self::Conservative);
        }
        let (name, exponent) = text.split_once(':').ok_or_else(bad)?;
        let (whole, half) = match exponent.split_once('.') {
            Some((whole, "5")) => (whole, 1),
            Some((whole, "0")) => (whole, 0),
            Some(_) => return Err(bad()),
            None => (exponent, 0),
        };
        let halves = whole.parse::<u8>().ok().and_then(|whole| whole.checked_mul(2)?.checked_add(half));
        let exponent = halves.and_then(Exponent::halves).ok_or_else(bad)?;
        match name {
            "power" => Ok(Self::Power(exponent)),
            "power-of-sum" => Ok(Self::PowerOfSum(exponent)),
            "power-of-share" => Ok(Self::PowerOfShare(exponent)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for QueuePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conservative => f.write_str("conservative"),
            Self::Power(n) => write!(f, "power:{n}"),
            Self::PowerOfSum(n) => write!(f, "power-of-sum:{n}"),
            Self::PowerOfShare(n) => write!(f, "power-of-share:{n}"),
        }
    }
}

impl fmt::Display for Exponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0 / 2, if self.0.is_multiple_of(2) { "" } else { ".5" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(text: &str) -> QueuePosition {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        for text in ["conservative", "power:2", "power:0.5", "power-of-sum:1.5", "power-of-share:10"] {
            assert_eq!(position(text).to_string(), text);
        }
        assert_eq!(position("power:3.0"), position("power:3"));
        for text in ["", "power", "power:", "power:0", "power:10.5", "power:1.25", "power:-1", "log:1", "power:999"] {
            assert!(text.parse::<QueuePosition>().unwrap_err().contains(text), "{text}");
        }
    }

    #[test]
    fn cancellations_are_shared_out_by_the_formulas() {
        // Thirty ahead, ten behind, eight cancelled.
        let left = |text: &str| position(text).after_change(30.0, 40.0, 32.0);
        assert_eq!(left("conservative"), 30.0);
        // 10 / 40 of them were behind, and 30 / 40 ahead.
        assert_eq!(left("power:1"), 24.0);
        assert_eq!(left("power-of-sum:1"), 24.0);
        // 100 / 1000, 100 / 1600.
        assert_eq!(left("power:2"), 30.0 - 0.9 * 8.0);
        assert_eq!(left("power-of-sum:2"), 30.0 - (1.0 - 0.0625) * 8.0);
        // 1 − (3/4)².
        assert_eq!(left("power-of-share:2"), 30.0 - 0.5625 * 8.0);
        // Two behind cannot be eight that were behind.
        assert_eq!(
            position("power-of-share:10").after_change(38.0, 40.0, 32.0).max(0.0),
            32.0f64.min(38.0 - 8.0 * 0.95f64.powi(10))
        );
        assert_eq!(position("power:1").after_change(0.0, 40.0, 10.0), 0.0);
    }

    #[test]
    fn whole_lots_are_the_nearest() {
        for (front, lots) in [(0.0, 0), (0.4, 0), (0.5, 0), (0.6, 1), (1.5, 1), (7.0, 7), (-3.0, 0)] {
            assert_eq!(whole_lots(front), Lots::new(lots), "{front}");
        }
    }

    fn any_position() -> impl Strategy<Value = QueuePosition> {
        (0..4, 1u8..=20).prop_map(|(kind, halves)| {
            let n = Exponent::halves(halves).unwrap();
            match kind {
                0 => QueuePosition::Conservative,
                1 => QueuePosition::Power(n),
                2 => QueuePosition::PowerOfSum(n),
                _ => QueuePosition::PowerOfShare(n),
            }
        })
    }

    proptest! {
        /// Whatever the model: an order never falls back, never stands behind more than is displayed, and the conservative one is
        /// the last.
        #[test]
        fn no_model_leaves_its_bounds(position in any_position(), front in 0u32..100_000, behind in 0u32..100_000, after in 0u32..250_000) {
            let (front, before, after) = (f64::from(front), f64::from(front) + f64::from(behind), f64::from(after));
            let left = position.after_change(front, before, after);
            prop_assert!((0.0..=front.min(after)).contains(&left), "{left}");
            prop_assert!(left <= QueuePosition::Conservative.after_change(front, before, after));
        }
    }
}
