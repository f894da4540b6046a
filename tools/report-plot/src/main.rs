//! Draws the histograms of a report directory of `tercel bench`: one SVG, a curve for each `.hgrm` file.
//!
//! Latency is the vertical axis, logarithmic; the horizontal one stretches towards 100 %, so that 99 % and 99.9 % are as far
//! apart as 90 % and 99 %.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

const USAGE: &str = "usage: report-plot DIR [OUT.svg]\n\nReads DIR/*.hgrm (microseconds) and writes DIR/percentiles.svg, or \
    OUT.svg. Without OUT.svg, does the same in each folder of DIR that holds such files: a report of several cases has one for each.";

/// Size of the picture and of the frame in it, in pixels.
const SIZE: (f64, f64) = (960.0, 560.0);
const LEFT: f64 = 70.0;
const RIGHT: f64 = 180.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// What the curves are, in the order of the path; files of other names come last.
const KNOWN: [(&str, &str); 13] = [
    ("echo", "#bbbbbb"),
    ("floor", "#888888"),
    ("rival", "#17a05d"),
    ("rival-spin", "#0b5c35"),
    ("wire_to_wire", "#000000"),
    ("tick_to_order", "#d62728"),
    ("frame", "#1f77b4"),
    ("decode", "#ff7f0e"),
    ("queue_core", "#2ca02c"),
    ("decide", "#9467bd"),
    ("queue_gateway", "#8c564b"),
    ("encode", "#e377c2"),
    ("send", "#17becf"),
];

/// One file: its name and the points (share of samples, microseconds).
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
    samples: u64,
}

/// Reads the rows `value percentile count [inverse]`; `None` for a file that holds none.
fn parse(name: &str, text: &str) -> Option<Curve> {
    let mut points = Vec::new();
    let mut samples = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let (Some(value), Some(quantile), Some(count)) = (words.next(), words.next(), words.next()) else { continue };
        let (Ok(value), Ok(quantile), Ok(count)) = (value.parse(), quantile.parse(), count.parse()) else { continue };
        points.push((quantile, value));
        samples = count;
    }
    (samples > 0).then(|| Curve { name: name.to_owned(), points, samples })
}

fn load(dir: &Path) -> std::io::Result<Vec<Curve>> {
    let mut curves = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let (Some(stem), Some("hgrm")) = (path.file_stem(), path.extension().and_then(|e| e.to_str())) else {
            continue;
        };
        curves.extend(parse(&stem.to_string_lossy(), &fs::read_to_string(&path)?));
    }
    let place = |name: &str| KNOWN.iter().position(|(known, _)| *known == name).unwrap_or(KNOWN.len());
    curves.sort_by_key(|curve| (place(&curve.name), curve.name.clone()));
    Ok(curves)
}

/// The axes: where a share and a latency are drawn.
struct Axes {
    /// Powers of ten of 1/(1-p) that are shown.
    nines: f64,
    /// Powers of ten of microseconds, lowest and highest.
    decades: (f64, f64),
}

impl Axes {
    fn new(curves: &[Curve]) -> Self {
        let values = || curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.1.max(0.001)));
        let low = values().fold(f64::MAX, f64::min).log10().floor();
        let high = values().fold(f64::MIN, f64::max).log10().ceil().max(low + 1.0);
        let samples = curves.iter().map(|curve| curve.samples).max().unwrap_or(1);
        Self { nines: (samples as f64).log10().ceil().clamp(2.0, 7.0), decades: (low, high) }
    }

    fn x(&self, quantile: f64) -> f64 {
        let nines = (1.0 / (1.0 - quantile).max(1e-9)).log10().min(self.nines);
        LEFT + (SIZE.0 - LEFT - RIGHT) * nines / self.nines
    }

    fn y(&self, us: f64) -> f64 {
        let (low, high) = self.decades;
        let share = (us.max(0.001).log10() - low) / (high - low);
        SIZE.1 - BOTTOM - (SIZE.1 - TOP - BOTTOM) * share
    }
}

fn draw(title: &str, curves: &[Curve]) -> String {
    let mut svg = String::new();
    // Writing to a String cannot fail.
    let _ = write_svg(&mut svg, title, curves);
    svg
}

fn write_svg(svg: &mut String, title: &str, curves: &[Curve]) -> std::fmt::Result {
    let axes = Axes::new(curves);
    let (width, height) = SIZE;
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">"#
    )?;
    writeln!(svg, r#"<rect width="{width}" height="{height}" fill="white"/>"#)?;
    writeln!(svg, r#"<text x="{LEFT}" y="24" font-size="15">{}</text>"#, escape(title))?;
    let (bottom, right) = (height - BOTTOM, width - RIGHT);
    for nines in 0..=axes.nines as i32 {
        let quantile = 1.0 - 10f64.powi(-nines);
        let (x, label) = (axes.x(quantile), percent(nines));
        writeln!(svg, r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}" stroke="#dddddd"/>"##)?;
        writeln!(svg, r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{label}</text>"#, bottom + 18.0)?;
    }
    for decade in axes.decades.0 as i32..=axes.decades.1 as i32 {
        let y = axes.y(10f64.powi(decade));
        let label = if decade < 0 {
            format!("{:.*}", decade.unsigned_abs() as usize, 10f64.powi(decade))
        } else {
            format!("{:.0}", 10f64.powi(decade))
        };
        writeln!(svg, r##"<line x1="{LEFT}" y1="{y:.1}" x2="{right}" y2="{y:.1}" stroke="#dddddd"/>"##)?;
        writeln!(svg, r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{label}</text>"#, LEFT - 6.0, y + 4.0)?;
    }
    writeln!(svg, r#"<text x="{LEFT}" y="{:.1}">share of orders that took at most so long</text>"#, height - 10.0)?;
    let middle = (TOP + bottom) / 2.0;
    writeln!(
        svg,
        r#"<text x="16" y="{middle:.1}" transform="rotate(-90 16 {middle:.1})" text-anchor="middle">µs (logarithmic)</text>"#
    )?;
    for (idx, curve) in curves.iter().enumerate() {
        let color = KNOWN.iter().find(|(name, _)| *name == curve.name).map_or("#bcbd22", |(_, color)| color);
        let is_total =
            matches!(curve.name.as_str(), "echo" | "floor" | "rival" | "rival-spin" | "wire_to_wire" | "tick_to_order");
        let stroke = if is_total { 2.5 } else { 1.2 };
        let points: Vec<String> =
            curve.points.iter().map(|(q, us)| format!("{:.1},{:.1}", axes.x(*q), axes.y(*us))).collect();
        writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{color}" stroke-width="{stroke}"/>"#,
            points.join(" ")
        )?;
        let y = TOP + 16.0 + 20.0 * idx as f64;
        let x = right + 14.0;
        writeln!(
            svg,
            r#"<line x1="{x}" y1="{y}" x2="{}" y2="{y}" stroke="{color}" stroke-width="{stroke}"/>"#,
            x + 22.0
        )?;
        writeln!(svg, r#"<text x="{}" y="{}">{}</text>"#, x + 28.0, y + 4.0, escape(&curve.name.replace('_', " ")))?;
    }
    writeln!(svg, "</svg>")
}

/// `0 %`, `90 %`, `99 %`, `99.9 %`, …
fn percent(nines: i32) -> String {
    match nines {
        0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        more => format!("99.{} %", "9".repeat(more as usize - 2)),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn run(dir: &Path, out: PathBuf) -> Result<(), String> {
    let curves = load(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    if curves.is_empty() {
        return Err(format!("{}: holds no .hgrm file with samples", dir.display()));
    }
    let title = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    fs::write(&out, draw(&title, &curves)).map_err(|error| format!("{}: {error}", out.display()))?;
    println!("{}: {} curves", out.display(), curves.len());
    Ok(())
}

/// Draws a report: its own curves if it has some, and those of its folders.
fn run_all(dir: &Path) -> Result<(), String> {
    let named = |error| format!("{}: {error}", dir.display());
    let mut dirs = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).map_err(named)? {
        let path = entry.map_err(named)?.path();
        if path.is_dir() {
            dirs.push(path);
        }
    }
    dirs[1..].sort();
    let has_curves = |dir: &&PathBuf| load(dir).is_ok_and(|curves| !curves.is_empty());
    let found: Vec<&PathBuf> = dirs.iter().filter(has_curves).collect();
    if found.is_empty() {
        return Err(format!("{}: neither it nor a folder in it holds a .hgrm file with samples", dir.display()));
    }
    found.into_iter().try_for_each(|dir| run(dir, dir.join("percentiles.svg")))
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let outcome = match words.as_slice() {
        [dir] if !dir.starts_with('-') => run_all(Path::new(dir)),
        [dir, out] if !dir.starts_with('-') => run(Path::new(dir), PathBuf::from(out)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n\
        \x20      1.000 0.000000000000          1           1.00\n\
        \x20     10.000 0.900000000000         90          10.00\n\
        \x20    100.000 1.000000000000        100\n\
        #[Max     =      100.000, Total count    =          100]\n";

    #[test]
    fn rows_are_read_and_the_rest_is_passed_over() {
        let curve = parse("floor", FILE).unwrap();
        assert_eq!(curve.points, [(0.0, 1.0), (0.9, 10.0), (1.0, 100.0)]);
        assert_eq!(curve.samples, 100);
        assert!(parse("empty", "Value Percentile\n").is_none());
    }

    #[test]
    fn every_folder_with_curves_gets_a_picture() {
        let dir = env::temp_dir().join(format!("tercel-report-plot-{}", std::process::id()));
        for name in ["a", "b", "nothing"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        assert!(run_all(&dir).is_err());
        for name in ["a", "b"] {
            fs::write(dir.join(name).join("floor.hgrm"), FILE).unwrap();
        }
        run_all(&dir).unwrap();
        for (name, is_drawn) in [("a", true), ("b", true), ("nothing", false)] {
            assert_eq!(dir.join(name).join("percentiles.svg").exists(), is_drawn, "{name}");
        }
        assert!(!dir.join("percentiles.svg").exists());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn equal_factors_are_equal_distances() {
        let curves = [parse("floor", FILE).unwrap()];
        let axes = Axes::new(&curves);
        assert!((axes.y(1.0) - axes.y(10.0) - (axes.y(10.0) - axes.y(100.0))).abs() < 1e-9);
        assert!((axes.x(0.99) - axes.x(0.9) - (axes.x(0.9) - axes.x(0.0))).abs() < 1e-6);
        let svg = draw("a < b", &curves);
        assert!(svg.contains("<polyline") && svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
    }
}
