//! Values that are checked where they are read, so that the error carries the line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::runtime::{Idle, RealTime, Topology};
use crate::sim::QueuePosition;
use crate::types::{Currency, Money, Rate, Step};

/// An amount of money, written as a string or a whole number: never as a binary fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoneyText(pub Money);

/// A settlement currency, written like `USDT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CurrencyText(pub Currency);

impl FromStr for CurrencyText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("found `{text}`, allowed are up to {} capital letters and digits, like USDT", Currency::LEN_MAX);
        Currency::new(text.as_bytes()).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for CurrencyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for CurrencyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}

impl Serialize for CurrencyText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An amount of money that may lie below zero, written likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedMoneyText(pub Money);

/// Hundredths of a percent, written as a string or a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bps(pub Rate);

/// A span of time in nanoseconds, written like `250ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub u64);

/// A number of bytes, written like `500MB`; units are powers of 1,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("found `{text}`, allowed is a whole number above 0 of B, kB, MB or GB, like 500MB");
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let scale: u64 = match unit {
            "B" => 1,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(bad()),
        };
        let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale));
        bytes.filter(|bytes| *bytes > 0).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n % 1_000_000_000 == 0 => write!(f, "{}GB", n / 1_000_000_000),
            n if n % 1_000_000 == 0 => write!(f, "{}MB", n / 1_000_000),
            n if n % 1_000 == 0 => write!(f, "{}kB", n / 1_000),
            n => write!(f, "{n}B"),
        }
    }
}

/// How long a message of a simulation is under way, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LatencyText {
    /// `2ms`: always.
    Constant(Duration),
    /// `recorded:FILE`: drawn from what the file holds.
    Recorded(PathBuf),
    /// `sequence:FILE`: what the file holds, in turn.
    Sequence(PathBuf),
    /// `load:1ms+20us`: a base, and a server that takes so long for each message.
    Load {
        /// The base.
        base: Duration,
        /// For each message.
        service: Duration,
    },
}

impl FromStr for LatencyText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "found `{text}`, allowed are a time like 2ms, recorded:FILE, sequence:FILE, and load:BASE+SERVICE like load:1ms+20us"
            )
        };
        match text.split_once(':') {
            None => parse_duration(text).map(Self::Constant).map_err(|_| bad()),
            Some(("recorded", file)) if !file.is_empty() => Ok(Self::Recorded(file.into())),
            Some(("sequence", file)) if !file.is_empty() => Ok(Self::Sequence(file.into())),
            Some(("load", spans)) => {
                let (base, service) = spans.split_once('+').ok_or_else(bad)?;
                let span = |text| parse_duration(text).map_err(|_| bad());
                Ok(Self::Load { base: span(base)?, service: span(service)? })
            }
            Some(_) => Err(bad()),
        }
    }
}

impl fmt::Display for LatencyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(span) => span.fmt(f),
            Self::Recorded(file) => write!(f, "recorded:{}", file.display()),
            Self::Sequence(file) => write!(f, "sequence:{}", file.display()),
            Self::Load { base, service } => write!(f, "load:{base}+{service}"),
        }
    }
}

/// A tick or lot size, written as a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepText(pub Step);

/// A finite parameter of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio(pub f64);

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
        value.map(Self).ok_or_else(|| format!("found `{text}`, allowed are finite numbers"))
    }
}

/// A share in whole percent, rounded down.
pub(super) fn percent(share: Rate) -> u32 {
    u32::try_from(share.get() / (Rate::ONE.get() / 100)).unwrap_or(u32::MAX)
}

/// So many percent.
pub(super) fn share(percent: u32) -> Rate {
    Rate::new(i64::from(percent) * (Rate::ONE.get() / 100))
}

/// Reads a span of time such as `30s`, `250ms`, `10us`, `5m`, `2h`.
///
/// # Errors
/// A sentence that says what was found and what is allowed.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("found `{text}`, allowed is a whole number with ns, us, ms, s, m or h, like 250ms");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let scale: u64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(bad()),
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)).map(Duration).ok_or_else(bad)
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_duration(text)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n % 1_000_000_000 == 0 => write!(f, "{}s", n / 1_000_000_000),
            n if n % 1_000_000 == 0 => write!(f, "{}ms", n / 1_000_000),
            n if n % 1_000 == 0 => write!(f, "{}us", n / 1_000),
            n => write!(f, "{n}ns"),
        }
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map_err(Error::custom)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A plain decimal, as a string or a whole number.
struct DecimalVisitor;

impl Visitor<'_> for DecimalVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal in a string, like \"12.5\", or a whole number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

impl FromStr for MoneyText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let money = Money::parse(text.as_bytes()).map_err(|e| format!("found `{text}`: {e}"))?;
        if money < Money::ZERO {
            return Err(format!("found `{text}`, allowed are amounts of 0 and more"));
        }
        Ok(Self(money))
    }
}

impl<'de> Deserialize<'de> for MoneyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DecimalVisitor)?.parse().map_err(Error::custom)
    }
}

impl Serialize for MoneyText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl FromStr for SignedMoneyText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Money::parse(text.as_bytes()).map(Self).map_err(|e| format!("found `{text}`: {e}"))
    }
}

impl<'de> Deserialize<'de> for SignedMoneyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DecimalVisitor)?.parse().map_err(Error::custom)
    }
}

impl Serialize for SignedMoneyText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Bps {
    /// Hundredths of a percent in units of [`Rate`].
    const UNITS: i128 = 10_000;
}

impl FromStr for Bps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A money has eight decimals more than the four that a hundredth of a percent has in a rate.
        let parsed = Money::parse(text.as_bytes()).map_err(|e| format!("found `{text}`: {e}"))?;
        let units = parsed.get() * Self::UNITS;
        if units % Money::ONE.get() != 0 {
            return Err(format!("found `{text}`, allowed are at most four decimals"));
        }
        let rate =
            i64::try_from(units / Money::ONE.get()).map_err(|_| format!("found `{text}`, which is too large"))?;
        Ok(Self(Rate::new(rate)))
    }
}

impl fmt::Display for Bps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Money::new(i128::from(self.0.get()) * Money::ONE.get() / Self::UNITS))
    }
}

impl<'de> Deserialize<'de> for Bps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DecimalVisitor)?.parse().map_err(Error::custom)
    }
}

impl Serialize for Bps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StepText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Step::from_text(text.as_bytes()).map(Self).map_err(|e| Error::custom(format!("found `{text}`: {e}")))
    }
}

impl Serialize for StepText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if value.is_finite() {
            Ok(Self(value))
        } else {
            Err(Error::custom(format!("found {value}, allowed are finite numbers")))
        }
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

/// Values that are written as they are displayed.
macro_rules! written_as_text {
    ($($value:ty),+) => {$(
        impl<'de> Deserialize<'de> for $value {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(Error::custom)
            }
        }

        impl Serialize for $value {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}

written_as_text!(LatencyText, QueuePosition, RealTime, Size, Topology);

impl<'de> Deserialize<'de> for Idle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}

impl Serialize for Idle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
