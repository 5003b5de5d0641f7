//! The pictures of a report, each drawn from the result alone.

mod by_percentile;
mod composition;
mod over_time;

pub use by_percentile::by_percentile;
pub use composition::phases_stacked;
pub use over_time::over_time;

use crate::render::markup::escape;
use crate::render::svg::{Axis, Scale, Series, percent};
use crate::render::tables::{self, LatencyRow};
use crate::schema::RunResult;
use crate::units;

/// Beyond this factor between the lowest and the highest latency a linear axis would hide the low ones.
const LINEAR_FACTOR_MAX: f64 = 25.0;

/// What happened to the arrivals, as one bar, with its key.
pub fn outcomes(result: &RunResult) -> String {
    let scale = Scale::linear(0.0, result.totals.planned as f64);
    let mut bar = String::from("<svg class=\"outcomes\" aria-hidden=\"true\" height=\"10\">\n");
    let mut key = String::from("<ul class=\"key\">");
    let mut before = 0;
    for (name, count) in result.totals.outcomes() {
        bar += &format!(
            "<rect class=\"{name}\" x=\"{}\" width=\"{}\" height=\"10\"/>\n",
            percent(scale.at(before as f64)),
            percent(scale.at(count as f64))
        );
        before += count;
        let empty = if count == 0 { " class=\"none\"" } else { "" };
        key += &format!(
            "<li{empty}><i class=\"swatch {name}\"></i><b>{}</b> {}</li>",
            units::count(count),
            tables::outcome_label(name)
        );
    }
    format!("{bar}</svg>\n{key}</ul>\n")
}

/// A row's spread on a scale that all rows of its table share: a line from the shortest to the longest, a bar from
/// the median to the 99th percentile, a dot at the median.
pub fn spread(row: &LatencyRow, rows: &[LatencyRow]) -> String {
    let figures = rows.iter().map(|row| row.distribution);
    let low_us = figures.clone().map(|one| one.min_us).fold(f64::INFINITY, f64::min);
    let high_us = figures.map(|one| one.max_us).fold(0.0, f64::max);
    let scale = Scale::logarithmic(low_us.max(0.1), high_us);
    let at = |us: f64| percent(scale.at(us));
    let own = row.distribution;
    format!(
        "<svg class=\"spread\" aria-hidden=\"true\" height=\"14\">\
         <line class=\"range\" x1=\"{}\" x2=\"{}\" y1=\"7\" y2=\"7\"/>\
         <line class=\"body\" x1=\"{}\" x2=\"{}\" y1=\"7\" y2=\"7\"/>\
         <circle cx=\"{}\" cy=\"7\" r=\"3.5\"/></svg>",
        at(own.min_us),
        at(own.max_us),
        at(own.p50_us),
        at(own.p99_us),
        at(own.p50_us)
    )
}

/// Linear from zero where the latencies are of one size, logarithmic where they are not.
fn latency_axis(series: &[Series]) -> Axis {
    let values = || series.iter().flat_map(|one| one.points.iter().flatten().map(|point| point.1));
    let low = values().filter(|us| *us > 0.0).fold(f64::INFINITY, f64::min);
    let high = values().fold(0.0, f64::max);
    let scale = if low.is_finite() && high / low > LINEAR_FACTOR_MAX {
        Scale::logarithmic(low, high)
    } else {
        Scale::from_zero(high)
    };
    let ticks = scale.ticks().into_iter().map(|us| (us, units::tick_us(us)));
    Axis { scale, ticks: ticks.collect() }
}

fn figure(title: &str, caption: &str, picture: &str) -> String {
    format!("<figure>\n<figcaption><b>{}</b> {}</figcaption>\n{picture}</figure>\n", escape(title), escape(caption))
}
