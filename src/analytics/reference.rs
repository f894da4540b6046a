//! Turns lines of `time,value` into a series that a strategy is compared with.

use crate::types::{InstrumentId, Nanos};

/// What a session's returns are regressed on.
#[derive(Clone, Debug, PartialEq)]
pub enum Reference {
    /// The mid of one of its instruments.
    Instrument(InstrumentId),
    /// A series of one's own.
    Series(Series),
}

/// Values by time, the oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What it is called in the report.
    pub name: String,
    points: Vec<(Nanos, f64)>,
}

/// Why a series was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SeriesError {
    /// A line is not `time,value`.
    #[error("line {line}: found `{found}`, allowed is TIME,VALUE: nanoseconds since the epoch and a number above zero")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What stands there.
        found: String,
    },
    /// Time runs backwards.
    #[error("line {line}: its time lies before that of the line above")]
    Backwards {
        /// Number of the line, from 1.
        line: usize,
    },
    /// There is no value.
    #[error("holds no value")]
    Empty,
}

impl Series {
    /// Reads lines of `time,value`: nanoseconds since the Unix epoch as in captures, and a number above zero. The first line may be
    /// a heading; empty lines do not count.
    ///
    /// # Errors
    /// [`SeriesError`] with the line.
    pub fn parse(name: &str, text: &str) -> Result<Self, SeriesError> {
        let mut points: Vec<(Nanos, f64)> = Vec::new();
        for (idx, line) in text.lines().enumerate() {
            let (line, number) = (line.trim(), idx + 1);
            if line.is_empty() {
                continue;
            }
            let point = line.split_once(',').and_then(|(time, value)| {
                let value: f64 = value.trim().parse().ok()?;
                let at = time.trim().parse().ok().map(Nanos::new)?;
                (value.is_finite() && value > 0.0).then_some((at, value))
            });
            match point {
                Some((at, _)) if points.last().is_some_and(|(last, _)| at < *last) => {
                    return Err(SeriesError::Backwards { line: number });
                }
                Some(point) => points.push(point),
                None if number == 1 && line.chars().any(char::is_alphabetic) => {}
                None => {
                    return Err(SeriesError::Line { line: number, found: line.chars().take(80).collect() });
                }
            }
        }
        if points.is_empty() { Err(SeriesError::Empty) } else { Ok(Self { name: name.to_owned(), points }) }
    }

    /// The last value at or before `at`; `None` before the first.
    pub fn at(&self, at: Nanos) -> Option<f64> {
        let later = self.points.partition_point(|(time, _)| *time <= at);
        later.checked_sub(1).map(|idx| self.points[idx].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_until_then_counts() {
        let series = Series::parse("index", "time,value\n100, 5\n\n200,6.5\n200,7\n").unwrap();
        let at = |at| series.at(Nanos::new(at));
        assert_eq!([at(99), at(100), at(199), at(200), at(900)], [None, Some(5.0), Some(5.0), Some(7.0), Some(7.0)]);
    }

    #[test]
    fn what_is_no_series_is_refused_with_its_line() {
        for (text, line) in [("100,5\n90,6\n", 2), ("1,1\ntime,value\n", 2), ("1;1\n", 1), ("5,NaN\n", 1), ("5,0\n", 1)]
        {
            let error = Series::parse("x", text).unwrap_err().to_string();
            // A first line with letters is a heading, whatever it says.
            if text.starts_with("5,NaN") {
                assert_eq!(error, "holds no value");
            } else {
                assert!(error.contains(&format!("line {line}")), "{text:?}: {error}");
            }
        }
        assert_eq!(Series::parse("x", "\n"), Err(SeriesError::Empty));
    }
}
