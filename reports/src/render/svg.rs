//! A small drawing module: scales, ticks, and plots whose colours come from the page's style sheet by class.
//!
//! A plot keeps the size of its letters at any width: its box is the plotting area itself, across which positions are
//! in percent, while labels stand outside it in the margins that the style sheet leaves. Paths, which know no
//! percent, live in a nested box that stretches, with strokes that do not.

use maud::{Markup, html};

/// Where values fall between the two ends of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Below `high`; above 0 on a logarithmic scale.
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    /// Even steps from `low` to `high`; an empty range is widened.
    pub fn linear(low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, logarithmic: false }
    }

    /// Even steps from 0 to the first round number at or above `high`.
    pub fn from_zero(high: f64) -> Self {
        let exact = Self::linear(0.0, high);
        let step = round_step(exact.high / 5.0);
        Self::linear(0.0, (exact.high / step - 1e-9).ceil() * step)
    }

    /// Even factors from `low` to `high`, both taken as at least a millionth.
    pub fn logarithmic(low: f64, high: f64) -> Self {
        let low = low.max(1e-6);
        let high = if high > low { high } else { low * 10.0 };
        Self { low, high, logarithmic: true }
    }

    /// The part of the axis below `value`, 0 to 1: values beyond the ends are drawn at them.
    pub fn at(&self, value: f64) -> f64 {
        let part = if self.logarithmic {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        part.clamp(0.0, 1.0)
    }

    /// About five round values between the ends: multiples of 1, 2 or 5 times a power of ten; factors of ten, or of
    /// 1, 2 and 5, on a logarithmic scale.
    pub fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            return self.log_ticks();
        }
        let step = round_step((self.high - self.low) / 5.0);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }

    fn log_ticks(&self) -> Vec<f64> {
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let factors: &[f64] = match last - first {
            0..=2 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        (first..=last)
            .flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)))
            .filter(|tick| (self.low * (1.0 - 1e-9)..=self.high * (1.0 + 1e-9)).contains(tick))
            .collect()
    }
}

/// The first of 1, 2, 5 times a power of ten that is at least `wanted`, which is above 0.
fn round_step(wanted: f64) -> f64 {
    let power = 10_f64.powf(wanted.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let fits = factors.into_iter().find(|factor| factor * power >= wanted * (1.0 - 1e-9));
    fits.unwrap_or(10.0) * power
}

/// A scale with the labels that stand beside it.
pub struct Axis {
    pub scale: Scale,
    pub ticks: Vec<(f64, String)>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Along its points.
    Line,
    /// Down to the horizontal axis, with its upper edge drawn.
    Area,
}

/// One series of a plot, in units of the axes.
pub struct Series {
    /// The class that gives it its colour, such as `p99`.
    pub class: &'static str,
    /// Its name, written at its last point.
    pub label: String,
    pub shape: Shape,
    /// Points from left to right; `None` interrupts.
    pub points: Vec<Option<(f64, f64)>>,
}

/// The text that a reader sees who points at a part of the horizontal axis.
pub struct Hint {
    pub from: f64,
    pub to: f64,
    pub text: String,
}

/// A plot, ready to be drawn.
pub struct Plot {
    /// Unique on the page: it ties the picture to its title and description.
    pub id: &'static str,
    /// What it shows.
    pub title: String,
    /// What it shows, for those who cannot see it.
    pub description: String,
    pub x: Axis,
    pub y: Axis,
    pub height_px: u32,
    /// Later ones are drawn over earlier ones.
    pub series: Vec<Series>,
    pub hints: Vec<Hint>,
}

/// The nested box is this wide, whatever its width on the screen.
const PATH_WIDTH: f64 = 1000.0;

/// More points than this cannot be distinguished in the widest plot.
const POINTS_MAX: usize = 2_000;

impl Plot {
    /// The plot as an `svg` element.
    pub fn draw(&self) -> Markup {
        let (id, height) = (self.id, self.height_px);
        html! {
            svg class="plot" role="img" aria-labelledby={ (id) "-t " (id) "-d" } height=(height) {
                title id={ (id) "-t" } { (self.title) }
                desc id={ (id) "-d" } { (self.description) }
                (self.grid())
                svg width="100%" height=(height) viewBox={ "0 0 " (PATH_WIDTH) " " (height) }
                    preserveAspectRatio="none" overflow="visible" {
                    @for series in &self.series { (self.path(series)) }
                }
                (self.labels())
                @for hint in &self.hints {
                    @let left = self.x.scale.at(hint.from);
                    @let width = self.x.scale.at(hint.to) - left;
                    rect class="hint" x=(percent(left)) width=(percent(width)) height=(height) {
                        title { (hint.text) }
                    }
                }
            }
        }
    }

    fn grid(&self) -> Markup {
        let height = self.height_px;
        html! {
            @for (value, label) in &self.y.ticks {
                @let y = tenths(self.y_px(*value));
                line class="grid" x2="100%" y1=(y) y2=(y) {}
                text class="tick end" x="-8" y=(y) dy=".35em" { (label) }
            }
            @for (value, label) in &self.x.ticks {
                @let x = percent(self.x.scale.at(*value));
                line class="axis" x1=(x) x2=(x) y1=(height) y2=(height + 5) {}
                text class="tick middle" x=(x) y=(height + 19) { (label) }
            }
            line class="axis" x2="100%" y1=(height) y2=(height) {}
        }
    }

    fn path(&self, series: &Series) -> Markup {
        let height = self.height_px;
        let (mut line, mut area) = (String::new(), String::new());
        for run in thinned(&series.points).split(Option::is_none) {
            let mut run = run.iter().flatten().map(|&(x, y)| (self.x.scale.at(x) * PATH_WIDTH, self.y_px(y)));
            let Some((first_x, first_y)) = run.next() else {
                continue;
            };
            let mut edge = format!("M{first_x:.1} {first_y:.1}");
            let mut last_x = None;
            for (x, y) in run {
                edge += &format!("L{x:.1} {y:.1}");
                last_x = Some(x);
            }
            line += &edge;
            match last_x {
                Some(x) => area += &format!("{edge}L{x:.1} {height}L{first_x:.1} {height}Z"),
                // A line of no length with round ends is a dot.
                None => line += "h0",
            }
        }
        html! {
            @if series.shape == Shape::Area { path class={ "area " (series.class) } d=(area) {} }
            path class={ "line " (series.class) } d=(line) {}
        }
    }

    /// The names of the series at the right edge, moved apart where they would overlap.
    fn labels(&self) -> Markup {
        const LINE_PX: f64 = 15.0;
        let named = self.series.iter().filter(|series| !series.label.is_empty());
        let mut labels: Vec<(f64, &Series)> = named
            .filter_map(|series| {
                let (_, y) = series.points.iter().rev().flatten().next()?;
                Some((self.y_px(*y), series))
            })
            .collect();
        labels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut above = f64::NEG_INFINITY;
        for (y, _) in &mut labels {
            *y = y.max(above + LINE_PX);
            above = *y;
        }
        let mut below = f64::from(self.height_px) + LINE_PX;
        for (y, _) in labels.iter_mut().rev() {
            *y = y.min(below - LINE_PX);
            below = *y;
        }
        html! {
            @for (y, series) in labels {
                text class={ "label " (series.class) } x="100%" y=(tenths(y)) dx="8" dy=".35em" { (series.label) }
            }
        }
    }

    fn y_px(&self, value: f64) -> f64 {
        (1.0 - self.y.scale.at(value)) * f64::from(self.height_px)
    }
}

/// A part of the width, 0 to 1, as an attribute.
pub fn percent(part: f64) -> String {
    format!("{:.3}%", part * 100.0)
}

/// Pixels with one digit after the point.
fn tenths(px: f64) -> String {
    format!("{px:.1}")
}

/// At most about [`POINTS_MAX`] points that draw the same line: of each narrow column its lowest and highest, and an
/// interruption where a column has neither.
fn thinned(points: &[Option<(f64, f64)>]) -> Vec<Option<(f64, f64)>> {
    if points.len() <= POINTS_MAX {
        return points.to_vec();
    }
    let column_points = points.len().div_ceil(POINTS_MAX / 2);
    let mut kept = Vec::with_capacity(POINTS_MAX);
    for column in points.chunks(column_points) {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let low = column.iter().flatten().min_by(by_height);
        let high = column.iter().flatten().max_by(by_height);
        match (low, high) {
            (Some(low), Some(high)) if low.0 <= high.0 => kept.extend([Some(*low), Some(*high)]),
            (Some(low), Some(high)) => kept.extend([Some(*high), Some(*low)]),
            _ => kept.push(None),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        for (scale, ticks, why) in [
            (Scale::from_zero(1_100.0), vec![0.0, 500.0, 1_000.0, 1_500.0], "the top is rounded up"),
            (Scale::from_zero(10.0), vec![0.0, 2.0, 4.0, 6.0, 8.0, 10.0], "a step fits"),
            (Scale::from_zero(0.0), vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0], "nothing to show still has an axis"),
            (Scale::linear(3.0, 10.0), vec![4.0, 6.0, 8.0, 10.0], "within the ends"),
            (Scale::logarithmic(80.0, 900.0), vec![100.0, 200.0, 500.0], "two decades: 1, 2, 5"),
            (Scale::logarithmic(5.0, 2e5), vec![10.0, 1e2, 1e3, 1e4, 1e5], "more: tens"),
        ] {
            let got = scale.ticks();
            assert_eq!(got.len(), ticks.len(), "{why}: {got:?}");
            for (got, expected) in got.iter().zip(&ticks) {
                assert!((got - expected).abs() < 1e-6, "{why}: {got} is not {expected}");
            }
        }
    }

    #[test]
    fn values_beyond_the_ends_stay_on_the_plot() {
        for (scale, value, at, why) in [
            (Scale::linear(0.0, 10.0), 5.0, 0.5, "the middle"),
            (Scale::linear(0.0, 10.0), -5.0, 0.0, "below"),
            (Scale::linear(0.0, 10.0), 50.0, 1.0, "above"),
            (Scale::logarithmic(1.0, 100.0), 10.0, 0.5, "the middle of two decades"),
            (Scale::logarithmic(1.0, 100.0), 0.0, 0.0, "zero has no logarithm"),
            (Scale::linear(4.0, 4.0), 4.0, 0.0, "an empty range"),
        ] {
            assert!((scale.at(value) - at).abs() < 1e-9, "{why}");
        }
    }

    #[test]
    fn a_long_line_keeps_its_extremes() {
        let mut points: Vec<_> = (0..100_000).map(|x| Some((f64::from(x), 1.0))).collect();
        points[54_321] = Some((54_321.0, 99.0));
        points[70_000..80_000].fill(None);
        let kept = thinned(&points);
        assert!(kept.len() <= POINTS_MAX, "{}", kept.len());
        assert!(kept.contains(&Some((54_321.0, 99.0))), "the one spike is drawn");
        assert!(kept.contains(&None), "and the long gap");
        assert!(kept.iter().flatten().is_sorted_by(|a, b| a.0 <= b.0));
    }
}
