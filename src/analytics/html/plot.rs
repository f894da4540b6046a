//! Turns series into plots: SVG for the lines, HTML for the words, so that both stay legible at any width.
//!
//! The SVG is stretched to the width of the page, its strokes are not; what it shows stands beside it as data for the script that
//! tells values under the pointer.

use std::fmt::Write;

use serde::Serialize;

use super::escape;

/// Points drawn of one line at most: more than a wide screen has columns.
const POINTS_MAX: usize = 1_600;

/// Marks drawn at most.
const MARKS_MAX: usize = 2_000;

/// The SVG's own width and height.
const SIDE: f64 = 1_000.0;

/// One line.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What it is called.
    pub name: String,
    /// How it is painted: a class of the style sheet.
    #[serde(skip)]
    pub class: &'static str,
    /// Its values, one for each `x` of the plot.
    pub y: Vec<Option<f64>>,
}

/// A point apart from the lines.
#[derive(Clone, Debug, Serialize)]
pub struct Mark {
    /// Where.
    pub x: f64,
    /// How high.
    pub y: f64,
    /// How it is painted: a class of the style sheet.
    #[serde(skip)]
    pub class: &'static str,
    /// What it is.
    pub text: String,
}

/// What stands along the bottom.
#[derive(Clone, Debug)]
pub enum Axis {
    /// Milliseconds since the epoch.
    Time,
    /// A name for each `x`, which are 0, 1, 2 and so on.
    Names(Vec<String>),
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Its name within the page.
    pub id: String,
    /// Heading.
    pub title: String,
    /// What it shows, for whoever cannot see it too.
    pub about: String,
    /// What stands along the bottom.
    pub axis: Axis,
    /// Where the values stand, from left to right.
    pub x: Vec<f64>,
    /// Its lines.
    pub lines: Vec<Line>,
    /// Points apart from them.
    pub marks: Vec<Mark>,
    /// What is added to a value.
    pub unit: &'static str,
    /// Whether zero is always in view, and a line there.
    pub has_zero: bool,
    /// Whether a value holds until the next, as positions do.
    pub is_step: bool,
}

/// What the script is told of a plot.
#[derive(Serialize)]
struct Data<'a> {
    id: &'a str,
    names: Option<&'a [String]>,
    unit: &'a str,
    /// Range of the SVG from left to right and from bottom to top.
    range: [f64; 4],
    x: &'a [f64],
    lines: &'a [Line],
    marks: &'a [Mark],
}

/// Even steps through a range: 1, 2 or 5 times a power of ten.
fn ticks(low: f64, high: f64, about: usize) -> Vec<f64> {
    let rough = (high - low) / about as f64;
    if !(rough.is_finite() && rough > 0.0) {
        return vec![low];
    }
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough).unwrap_or(rough);
    let first = (low / step).ceil();
    (0..=2 * about).map(|i| (first + i as f64) * step).take_while(|tick| *tick <= high).collect()
}

/// A value with as many decimals as a step of that size needs.
fn label(value: f64, step: f64) -> String {
    let decimals = (-step.abs().max(1e-12).log10().floor()).clamp(0.0, 8.0) as usize;
    // No minus before a zero that is left of rounding.
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    format!("{value:.decimals$}")
}

impl Plot {
    /// Drops values that could not be seen: of each stretch of the first line its least and its greatest stay.
    pub fn thin(mut self) -> Self {
        if let Some(lead) = self.lines.first()
            && self.x.len() > POINTS_MAX
        {
            let stretch = self.x.len().div_ceil(POINTS_MAX / 2);
            let mut kept: Vec<usize> = vec![0];
            for from in (0..self.x.len()).step_by(stretch) {
                let part = from..(from + stretch).min(self.x.len());
                let by = |a: &usize, b: &usize| {
                    let of = |idx: usize| lead.y[idx].unwrap_or(f64::NAN);
                    of(*a).total_cmp(&of(*b))
                };
                kept.extend([part.clone().min_by(by), part.max_by(by)].into_iter().flatten());
            }
            kept.push(self.x.len() - 1);
            kept.sort_unstable();
            kept.dedup();
            self.x = kept.iter().map(|&idx| self.x[idx]).collect();
            for line in &mut self.lines {
                line.y = kept.iter().map(|&idx| line.y[idx]).collect();
            }
        }
        let every = self.marks.len().div_ceil(MARKS_MAX).max(1);
        self.marks = std::mem::take(&mut self.marks).into_iter().step_by(every).collect();
        self
    }

    fn range(&self) -> [f64; 4] {
        let bounds = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let (left, right) = bounds(&mut self.x.iter().copied().chain(self.marks.iter().map(|mark| mark.x)));
        let lines = self.lines.iter().flat_map(|line| line.y.iter().flatten().copied());
        let zero = self.has_zero.then_some(0.0);
        let (low, high) = bounds(&mut lines.chain(self.marks.iter().map(|mark| mark.y)).chain(zero));
        if !(left.is_finite() && low.is_finite()) {
            return [0.0, 1.0, 0.0, 1.0];
        }
        // A line that does not move lies in the middle; one that does keeps clear of the frame.
        let room = if high > low { (high - low) * 0.06 } else { low.abs().max(1.0) * 0.01 };
        [left, if right > left { right } else { left + 1.0 }, low - room, high + room]
    }

    /// Renders heading, plot, legend and data.
    pub fn render(&self, out: &mut String) -> std::fmt::Result {
        let range = self.range();
        let [left, right, low, high] = range;
        let at_x = |x: f64| (x - left) / (right - left) * SIDE;
        let at_y = |y: f64| (high - y) / (high - low) * SIDE;
        let (id, title, about) = (escape(&self.id), escape(&self.title), escape(&self.about));
        write!(out, "<figure><figcaption><h2>{title}</h2><p>{about}</p>")?;
        self.legend(out)?;
        write!(
            out,
            "</figcaption><div class=\"plot\" id=\"{id}\" tabindex=\"0\" role=\"group\" aria-label=\"{title}\">"
        )?;
        write!(
            out,
            "<svg viewBox=\"0 0 {SIDE} {SIDE}\" preserveAspectRatio=\"none\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
             <title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{about}</desc>"
        )?;
        let levels = ticks(low, high, 5);
        for level in &levels {
            let class = if self.has_zero && level.abs() < (high - low) * 1e-9 { "zero" } else { "grid" };
            write!(out, "<path class=\"{class}\" d=\"M0 {:.1}H{SIDE}\"/>", at_y(*level))?;
        }
        for line in &self.lines {
            write!(out, "<path class=\"line {}\" d=\"", line.class)?;
            self.path(out, line, at_x, at_y)?;
            out.push_str("\"/>");
        }
        for mark in &self.marks {
            // A line of no length, whose cap is the mark: caps are not stretched with the picture.
            write!(out, "<path class=\"mark {}\" d=\"M{:.1} {:.1}h0\"/>", mark.class, at_x(mark.x), at_y(mark.y))?;
        }
        out.push_str("</svg>");
        let step = levels.windows(2).next().map_or(1.0, |pair| pair[1] - pair[0]);
        for level in &levels {
            let (top, text) = (at_y(*level) / 10.0, label(*level, step));
            write!(out, "<span class=\"y\" style=\"top:{top:.2}%\">{text}{}</span>", escape(self.unit))?;
        }
        for (x, text) in self.names_of_x(left, right) {
            let place = at_x(x) / 10.0;
            // Names at the ends are kept within the frame.
            let shift = if place < 4.0 {
                0
            } else if place > 96.0 {
                -100
            } else {
                -50
            };
            let style = format!("left:{place:.2}%;transform:translateX({shift}%)");
            write!(out, "<span class=\"x\" style=\"{style}\">{}</span>", escape(&text))?;
        }
        let names = match &self.axis {
            Axis::Names(names) => Some(names.as_slice()),
            Axis::Time => None,
        };
        let data =
            Data { id: &self.id, names, unit: self.unit, range, x: &self.x, lines: &self.lines, marks: &self.marks };
        // Within a script only `<` could end it.
        let json = serde_json::to_string(&data).map_err(|_| std::fmt::Error)?.replace('<', "\\u003c");
        writeln!(out, "<output class=\"tip\" hidden></output><i class=\"cursor\" hidden></i></div>")?;
        writeln!(out, "<script type=\"application/json\" class=\"data\">{json}</script></figure>")
    }

    fn legend(&self, out: &mut String) -> std::fmt::Result {
        let mut seen: Vec<(&str, &str)> = self.lines.iter().map(|line| (line.class, line.name.as_str())).collect();
        for class in ["buy", "sell"] {
            if self.marks.iter().any(|mark| mark.class == class) {
                seen.push((class, if class == "buy" { "bought ●" } else { "sold ■" }));
            }
        }
        if seen.len() < 2 && self.marks.is_empty() {
            return Ok(());
        }
        out.push_str("<p class=\"legend\">");
        for (class, name) in seen {
            write!(out, "<span class=\"key {class}\">{}</span>", escape(name))?;
        }
        out.push_str("</p>");
        Ok(())
    }

    fn path(
        &self,
        out: &mut String,
        line: &Line,
        at_x: impl Fn(f64) -> f64,
        at_y: impl Fn(f64) -> f64,
    ) -> std::fmt::Result {
        let mut is_drawing = false;
        for (x, y) in self.x.iter().zip(&line.y) {
            let Some(y) = y else {
                is_drawing = false;
                continue;
            };
            match (is_drawing, self.is_step) {
                (false, _) => write!(out, "M{:.1} {:.1}", at_x(*x), at_y(*y))?,
                (true, false) => write!(out, "L{:.1} {:.1}", at_x(*x), at_y(*y))?,
                (true, true) => write!(out, "H{:.1}V{:.1}", at_x(*x), at_y(*y))?,
            }
            is_drawing = true;
        }
        Ok(())
    }

    fn names_of_x(&self, left: f64, right: f64) -> Vec<(f64, String)> {
        match &self.axis {
            Axis::Names(names) => names.iter().enumerate().map(|(idx, name)| (idx as f64, name.clone())).collect(),
            Axis::Time => {
                // Whole steps of a clock, few enough for a telephone.
                let steps_ms = [
                    1.0, 10.0, 100.0, 1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 1.2e5, 3e5, 6e5, 1.8e6, 3.6e6, 7.2e6, 2.16e7,
                    4.32e7, 8.64e7, 1.728e8, 6.048e8, 2.592e9, 7.776e9, 3.1536e10,
                ];
                let rough = (right - left) / 6.0;
                let step = steps_ms.into_iter().find(|step| *step >= rough).unwrap_or(rough);
                let first = (left / step).ceil();
                let moments = (0..9).map(|i| (first + f64::from(i)) * step).take_while(|moment| *moment <= right);
                moments.map(|moment| (moment, time_text(moment, step))).collect()
            }
        }
    }
}

fn time_text(ms: f64, step_ms: f64) -> String {
    let text = crate::types::Nanos::from_millis(ms.max(0.0) as u64).utc_text();
    let (date, time) = text.split_once(' ').unwrap_or((&text, ""));
    match step_ms {
        s if s < 1e3 => time.to_owned(),
        s if s < 6e4 => time.get(..8).unwrap_or(time).to_owned(),
        s if s < 8.64e7 => time.get(..5).unwrap_or(time).to_owned(),
        _ => date.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks(-0.3, 1.1, 5), [0.0, 0.5, 1.0]);
        assert_eq!(ticks(99.0, 101.0, 5), [99.0, 99.5, 100.0, 100.5, 101.0]);
        assert_eq!(ticks(5.0, 5.0, 5), [5.0]);
        assert_eq!(
            [label(0.30000000000000004, 0.1), label(-1e-18, 0.5), label(12_000.0, 500.0)],
            ["0.3", "0.0", "12000"]
        );
    }

    fn plot(y: Vec<Option<f64>>) -> Plot {
        Plot {
            id: "p".to_owned(),
            title: "T".to_owned(),
            about: "A".to_owned(),
            axis: Axis::Time,
            x: (0..y.len()).map(|x| x as f64).collect(),
            lines: vec![Line { name: "</script><b>".to_owned(), class: "a", y }],
            marks: Vec::new(),
            unit: "",
            has_zero: false,
            is_step: false,
        }
    }

    #[test]
    fn a_thinned_line_keeps_its_ends_its_least_and_its_greatest() {
        let mut y: Vec<Option<f64>> = (0..50_000).map(|i| Some(f64::from(i % 100))).collect();
        (y[20_001], y[33_333], y[40_000]) = (Some(-7.0), Some(900.0), None);
        let thin = plot(y).thin();
        let kept: Vec<f64> = thin.lines[0].y.iter().flatten().copied().collect();
        assert!(thin.x.len() <= POINTS_MAX + 2, "{}", thin.x.len());
        assert_eq!([thin.x[0], thin.x[thin.x.len() - 1]], [0.0, 49_999.0]);
        assert!(kept.contains(&-7.0) && kept.contains(&900.0));
    }

    #[test]
    fn a_gap_is_not_drawn_and_names_are_no_markup() {
        let mut out = String::new();
        plot(vec![Some(1.0), None, Some(2.0), Some(3.0)]).render(&mut out).unwrap();
        let path = out.split("class=\"line a\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
        assert_eq!(out.matches("</script>").count(), 1, "a name must not end the script");
        let mut empty = String::new();
        plot(Vec::new()).render(&mut empty).unwrap();
        assert!(!empty.contains("NaN") && !empty.contains("inf"), "{empty}");
    }
}
