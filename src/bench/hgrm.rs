//! Histograms in the percentile text format of HdrHistogram, which its plotters read. Values are microseconds.

use std::fmt::{self, Write};

use hdrhistogram::Histogram;

/// Steps in which the distance to 100 % is halved.
const STEPS_PER_HALF: u32 = 5;

/// Nanoseconds in the unit of the file.
const UNIT_NS: f64 = 1000.0;

/// Renders a histogram of nanoseconds.
pub fn render(histogram: &Histogram<u64>) -> String {
    let mut out = String::with_capacity(8192);
    // Writing to a String cannot fail.
    let _ = write(&mut out, histogram);
    out
}

fn write(out: &mut String, histogram: &Histogram<u64>) -> fmt::Result {
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let mut count = 0;
    for step in histogram.iter_quantiles(STEPS_PER_HALF) {
        count += step.count_since_last_iteration();
        let (value, quantile) = (step.value_iterated_to() as f64 / UNIT_NS, step.quantile_iterated_to());
        if quantile < 1.0 {
            writeln!(out, "{value:12.3} {quantile:14.12} {count:10} {:14.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out, "{value:12.3} {quantile:14.12} {count:10}")?;
        }
    }
    writeln!(
        out,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]",
        histogram.mean() / UNIT_NS,
        histogram.stdev() / UNIT_NS
    )?;
    writeln!(out, "#[Max     = {:12.3}, Total count    = {:12}]", histogram.max() as f64 / UNIT_NS, histogram.len())?;
    let buckets = histogram.buckets();
    writeln!(out, "#[Buckets = {buckets:12}, SubBuckets     = {:12}]", 2048)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::histogram;

    #[test]
    fn lines_rise_and_end_with_everything() {
        let mut h = histogram();
        for value in 1..=10_000u64 {
            h.record(value * 100).unwrap();
        }
        let text = render(&h);
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        assert!(rows.windows(2).all(|pair| pair[0][0] <= pair[1][0] && pair[0][1] <= pair[1][1]));
        let last = rows.last().unwrap();
        assert_eq!((last.len(), last[1], last[2]), (3, 1.0, 10_000.0));
        assert!((last[0] - 1000.0).abs() < 1.0, "{}", last[0]);
        let median = rows.iter().find(|row| row[1] >= 0.5).unwrap();
        assert!((median[0] - 500.0).abs() < 1.0);
        assert!(text.contains("Total count    =        10000]"));
    }

    #[test]
    fn an_empty_histogram_has_a_footer_all_the_same() {
        assert!(render(&histogram()).contains("Total count    =            0]"));
    }
}
