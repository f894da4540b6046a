//! One parameter of a sweep: the values that it takes.
//!
//! Numbers are decimals from their text to their text: a step of 0.1 gives 0.3, never 0.30000000000000004. What the values must look
//! like is what the ordinary configuration has at that path: a text, a whole number or a number.

use rand_chacha::ChaCha8Rng;
use rust_decimal::Decimal;
use tercel::config::{Duration, parse_duration};
use toml::Value;

use crate::draw::below;

/// Most values of one parameter.
pub const POINTS_MAX: usize = 10_000;

/// Significant digits to which values between two ends are rounded where they are not exact.
const DIGITS: u32 = 6;

/// Decimals beyond which a value is not exact: those of money.
const DECIMALS_MAX: u32 = 12;

/// Decimals that hundredths of a percent have in the configuration.
const DECIMALS_OF_BPS: u32 = 4;

/// Parts into which a range is divided for a draw.
const DRAW_PARTS: u32 = 1 << 30;

/// What the configuration holds at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text: money, hundredths of a percent, a time.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// Something else, or nothing by default.
    Other,
}

impl Kind {
    /// The kind of a value that is there.
    pub fn of(value: Option<&Value>) -> Self {
        match value {
            Some(Value::String(_)) => Self::Text,
            Some(Value::Integer(_)) => Self::Integer,
            Some(Value::Float(_)) => Self::Float,
            _ => Self::Other,
        }
    }
}

/// How values lie between two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Plain(Kind),
    /// Nanoseconds, written like `250ms`.
    Time,
}

/// Two ends and whatever lies between.
#[derive(Clone, Debug, PartialEq)]
struct Range {
    from: Decimal,
    to: Decimal,
    scale: Scale,
    unit: Unit,
    /// Most decimals of what lies between the ends.
    decimals: u32,
}

/// The values that a parameter takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    points: Vec<Value>,
    /// Where there are no points: a range to draw from.
    range: Option<Range>,
}

impl Axis {
    /// Reads what a sweep file says of a parameter: a list of values, or a table with `from`, `to`, and `step` or `steps`, or none
    /// of them where values are drawn.
    ///
    /// # Errors
    /// A sentence: what was found, and what is allowed.
    pub fn read(path: &str, said: &Value, kind: Kind) -> Result<Self, String> {
        match said {
            Value::Array(values) => Self::of_list(values),
            Value::Table(table) => Self::of_range(path, table, kind),
            other => Err(format!("found {other}, allowed are a list of values and {{ from, to, step or steps }}")),
        }
    }

    fn of_list(values: &[Value]) -> Result<Self, String> {
        if values.is_empty() || values.len() > POINTS_MAX {
            return Err(format!("found {} values, allowed are 1 to {POINTS_MAX}", values.len()));
        }
        if let Some(twice) = values.iter().enumerate().find(|(idx, value)| values[..*idx].contains(value)) {
            return Err(format!("{} stands twice", twice.1));
        }
        Ok(Self { points: values.to_vec(), range: None })
    }

    fn of_range(path: &str, table: &toml::Table, kind: Kind) -> Result<Self, String> {
        let known = ["from", "to", "step", "steps", "scale", "decimals"];
        if let Some(other) = table.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!("found the key `{other}`, allowed are {}", known.join(", ")));
        }
        let need = |key: &str| table.get(key).ok_or_else(|| format!("the key `{key}` is missing"));
        let (from, unit) = number(need("from")?, kind).map_err(|e| format!("from: {e}"))?;
        let same = |key: &str, value: &Value| {
            let (number, other) = number(value, kind).map_err(|e| format!("{key}: {e}"))?;
            if other == unit { Ok(number) } else { Err(format!("{key}: {value} is not of the kind of `from`")) }
        };
        let to = same("to", need("to")?)?;
        if from > to {
            return Err(format!("from is {}, which is more than to, {}", need("from")?, need("to")?));
        }
        let scale = match table.get("scale").map(|value| value.as_str().ok_or(value)) {
            None | Some(Ok("linear")) => Scale::Linear,
            Some(Ok("log")) => Scale::Log,
            Some(Ok(found)) => return Err(format!("scale: found `{found}`, allowed are linear and log")),
            Some(Err(found)) => return Err(format!("scale: found {found}, allowed are \"linear\" and \"log\"")),
        };
        if scale == Scale::Log && from <= Decimal::ZERO {
            return Err(format!("from: found {}, a log scale begins above 0", need("from")?));
        }
        let usual = if path.ends_with("-bps") { DECIMALS_OF_BPS } else { DECIMALS_MAX };
        let decimals = match table.get("decimals") {
            None => usual,
            Some(said) => {
                let found = said.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= DECIMALS_MAX);
                found.ok_or_else(|| format!("decimals: found {said}, allowed are 0 to {DECIMALS_MAX}"))?
            }
        };
        let range = Range { from, to, scale, unit, decimals };
        let numbers = match (table.get("step"), table.get("steps")) {
            (None, None) => return Ok(Self { points: Vec::new(), range: Some(range) }),
            (Some(_), Some(_)) => return Err("found step and steps, allowed is one of them".to_owned()),
            (Some(_), None) if scale == Scale::Log => {
                return Err("found step on a log scale, allowed is steps".to_owned());
            }
            (Some(step), None) => range.by(same("step", step)?, step)?,
            (None, Some(steps)) => {
                let count = steps.as_integer().and_then(|n| usize::try_from(n).ok());
                let count = count.filter(|n| (2..=POINTS_MAX).contains(n));
                let bad = || format!("steps: found {steps}, allowed are 2 to {POINTS_MAX}");
                range.in_steps(count.ok_or_else(bad)?)
            }
        };
        let mut points = Vec::new();
        for number in numbers {
            let value = range.write(number)?;
            // Whole numbers of a log scale come close to each other.
            if points.last() != Some(&value) {
                points.push(value);
            }
        }
        Ok(Self { points, range: None })
    }

    /// The values, `None` if they are to be drawn.
    pub fn points(&self) -> Option<&[Value]> {
        self.range.is_none().then_some(&self.points[..])
    }

    /// One of the values, each as likely as any other; of a range one between the ends, on its scale.
    ///
    /// # Errors
    /// A sentence: the range holds what cannot be written.
    pub fn draw(&self, random: &mut ChaCha8Rng) -> Result<Value, String> {
        match &self.range {
            None => Ok(self.points[below(random, self.points.len() as u64) as usize].clone()),
            Some(range) => {
                let part = below(random, u64::from(DRAW_PARTS) + 1);
                range.write(range.between(part, u64::from(DRAW_PARTS)))
            }
        }
    }
}

impl Range {
    fn by(&self, step: Decimal, said: &Value) -> Result<Vec<Decimal>, String> {
        if step <= Decimal::ZERO {
            return Err(format!("step: found {said}, allowed is more than 0"));
        }
        let mut out = Vec::new();
        let mut next = self.from;
        while next <= self.to {
            if out.len() == POINTS_MAX {
                return Err(format!("step: {said} makes more than {POINTS_MAX} values"));
            }
            out.push(next);
            next = next.checked_add(step).ok_or_else(|| format!("step: {said} is too large"))?;
        }
        Ok(out)
    }

    fn in_steps(&self, count: usize) -> Vec<Decimal> {
        let parts = count as u64 - 1;
        (0..=parts).map(|part| self.between(part, parts)).collect()
    }

    /// What lies `part` of `parts` on the way. The ends are as they were written; what lies between is exact or has [`DIGITS`].
    fn between(&self, part: u64, parts: u64) -> Decimal {
        if part == 0 || part >= parts {
            return if part == 0 { self.from } else { self.to };
        }
        let exact = match self.scale {
            Scale::Linear => {
                let share = Decimal::from(part) / Decimal::from(parts);
                (self.to - self.from)
                    .checked_mul(Decimal::from(part))
                    .map_or((self.to - self.from) * share, |way| way / Decimal::from(parts))
                    + self.from
            }
            Scale::Log => {
                // Both are above zero, and so is what lies between.
                let [from, to] = [self.from, self.to].map(|end| end.to_string().parse::<f64>().unwrap_or(1.0).ln());
                let value = (from + (to - from) * (part as f64 / parts as f64)).exp();
                Decimal::from_scientific(&format!("{value:.8e}")).unwrap_or(self.from)
            }
        };
        let exact = exact.normalize();
        if self.scale == Scale::Linear && parts < u64::from(DRAW_PARTS) && exact.scale() <= self.decimals {
            return exact;
        }
        exact.round_sf(DIGITS).unwrap_or(exact).round_dp(self.decimals).clamp(self.from, self.to).normalize()
    }

    /// The number as the configuration wants it.
    fn write(&self, number: Decimal) -> Result<Value, String> {
        let whole = |number: Decimal| i64::try_from(number.round()).map_err(|_| format!("{number} is too large"));
        match self.unit {
            Unit::Time => Ok(Value::String(Duration(whole(number)?.unsigned_abs()).to_string())),
            Unit::Plain(Kind::Integer) => Ok(Value::Integer(whole(number)?)),
            Unit::Plain(Kind::Float) => {
                let text = number.normalize().to_string();
                text.parse().map(Value::Float).map_err(|_| format!("{text} is no number"))
            }
            Unit::Plain(Kind::Text | Kind::Other) => Ok(Value::String(number.normalize().to_string())),
        }
    }
}

/// A number as it was written: 0.1 is a tenth, however it is held.
fn number(value: &Value, kind: Kind) -> Result<(Decimal, Unit), String> {
    let bad = || format!("found {value}, allowed are a decimal like \"0.05\" and a time like \"250ms\"");
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) if number.is_finite() => number.to_string(),
        _ => return Err(bad()),
    };
    if let Ok(span) = parse_duration(&text) {
        return Ok((Decimal::from(span.0), Unit::Time));
    }
    let number: Decimal = text.parse().map_err(|_| bad())?;
    if kind == Kind::Integer && !number.fract().is_zero() {
        return Err(format!("found {value}, the configuration has a whole number there"));
    }
    Ok((number, Unit::Plain(kind)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn axis(text: &str, kind: Kind) -> Result<Axis, String> {
        let table: toml::Table = format!("x = {text}").parse().unwrap();
        Axis::read("market-maker.x", &table["x"], kind)
    }

    fn texts(text: &str, kind: Kind) -> Vec<String> {
        axis(text, kind).unwrap().points().unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn steps_are_exact_and_written_as_the_configuration_wants_them() {
        assert_eq!(
            texts("{ from = 0.1, to = 0.5, step = 0.1 }", Kind::Text),
            ["\"0.1\"", "\"0.2\"", "\"0.3\"", "\"0.4\"", "\"0.5\""]
        );
        assert_eq!(texts("{ from = 0.1, to = 0.5, step = 0.2 }", Kind::Float), ["0.1", "0.3", "0.5"]);
        assert_eq!(texts("{ from = 1, to = 8, step = 3 }", Kind::Integer), ["1", "4", "7"]);
        assert_eq!(
            texts("{ from = \"1\", to = \"2\", steps = 5 }", Kind::Text),
            ["\"1\"", "\"1.25\"", "\"1.5\"", "\"1.75\"", "\"2\""]
        );
        assert_eq!(
            texts("{ from = 0, to = 1, steps = 4 }", Kind::Text),
            ["\"0\"", "\"0.333333\"", "\"0.666667\"", "\"1\""]
        );
        assert_eq!(
            texts("{ from = \"250ms\", to = \"1s\", step = \"250ms\" }", Kind::Text),
            ["\"250ms\"", "\"500ms\"", "\"750ms\"", "\"1s\""]
        );
        assert_eq!(texts("[\"a\", 2]", Kind::Other), ["\"a\"", "2"]);
    }

    #[test]
    fn what_lies_between_has_the_decimals_that_are_allowed() {
        assert_eq!(
            texts("{ from = 0, to = 1, steps = 4, decimals = 2 }", Kind::Text),
            ["\"0\"", "\"0.33\"", "\"0.67\"", "\"1\""]
        );
        let said: toml::Table = "x = { from = \"0.00001\", to = 3, scale = \"log\" }".parse().unwrap();
        let (axis, mut random) =
            (Axis::read("a.margin-bps", &said["x"], Kind::Text).unwrap(), ChaCha8Rng::seed_from_u64(1));
        for _ in 0..100 {
            let drawn = axis.draw(&mut random).unwrap();
            let decimals = drawn.as_str().unwrap().parse::<Decimal>().unwrap().scale();
            assert!(decimals <= 4 || drawn.as_str() == Some("0.00001"), "{drawn}: only an end is as it was written");
        }
    }

    #[test]
    fn a_log_scale_multiplies() {
        assert_eq!(
            texts("{ from = \"0.001\", to = \"0.1\", steps = 5, scale = \"log\" }", Kind::Text),
            ["\"0.001\"", "\"0.00316228\"", "\"0.01\"", "\"0.0316228\"", "\"0.1\""]
        );
        // Whole numbers that fall together stand once.
        assert_eq!(
            texts("{ from = 1, to = 8, steps = 10, scale = \"log\" }", Kind::Integer),
            ["1", "2", "3", "4", "5", "6", "8"]
        );
    }

    #[test]
    fn what_is_not_allowed_is_named() {
        for (text, kind, want) in [
            ("5", Kind::Text, "found 5"),
            ("[]", Kind::Text, "found 0 values"),
            ("[1, 2, 1]", Kind::Text, "1 stands twice"),
            ("{ from = 1 }", Kind::Text, "`to` is missing"),
            ("{ from = 1, to = 2, stepp = 1 }", Kind::Text, "`stepp`"),
            ("{ from = 3, to = 2, step = 1 }", Kind::Text, "from is 3"),
            ("{ from = 1, to = 2, step = 0 }", Kind::Text, "found 0"),
            ("{ from = 1, to = 2, step = 1, steps = 3 }", Kind::Text, "one of them"),
            ("{ from = 1, to = 2, steps = 1 }", Kind::Text, "steps: found 1"),
            ("{ from = 1, to = 2, step = 0.00001 }", Kind::Text, "more than 10000"),
            ("{ from = 0, to = 2, steps = 3, scale = \"log\" }", Kind::Text, "above 0"),
            ("{ from = 1, to = 2, step = 1, scale = \"log\" }", Kind::Text, "allowed is steps"),
            ("{ from = 1, to = 2, steps = 2, scale = \"cubic\" }", Kind::Text, "`cubic`"),
            ("{ from = 1.5, to = 2, step = 1 }", Kind::Integer, "whole number"),
            ("{ from = \"1s\", to = 2, step = 1 }", Kind::Text, "not of the kind"),
            ("{ from = 1, to = 2, steps = 3, decimals = 13 }", Kind::Text, "decimals: found 13"),
            ("{ from = \"x\", to = 2, step = 1 }", Kind::Text, "found \"x\""),
        ] {
            let found = axis(text, kind).unwrap_err();
            assert!(found.contains(want), "{text}: {found:?} should name {want:?}");
        }
    }

    proptest! {
        /// Points and draws lie between the ends, in order, and are plain decimals.
        #[test]
        fn values_lie_between_the_ends(from in 1i64..1_000_000, way in 0i64..1_000_000, steps in 2usize..40, is_log: bool, seed: u64) {
            let [from, to] = [from, from + way].map(|n| Decimal::new(n, 4));
            let scale = if is_log { "log" } else { "linear" };
            let said = |steps: &str| format!("{{ from = \"{from}\", to = \"{to}\"{steps}, scale = \"{scale}\" }}");
            let number = |value: &Value| value.as_str().unwrap().parse::<Decimal>().unwrap();
            let points = axis(&said(&format!(", steps = {steps}")), Kind::Text).unwrap();
            let points: Vec<Decimal> = points.points().unwrap().iter().map(number).collect();
            prop_assert!(points.is_sorted());
            prop_assert_eq!((points[0], *points.last().unwrap()), (from, to));
            let (drawn, mut random) = (axis(&said(""), Kind::Text).unwrap(), ChaCha8Rng::seed_from_u64(seed));
            for _ in 0..20 {
                let value = number(&drawn.draw(&mut random).unwrap());
                prop_assert!(from <= value && value <= to, "{} {} {}", from, value, to);
            }
        }
    }
}
