//! Pictures in one line: the outcomes of a run, the spread of a latency.

use maud::{Markup, html};

use crate::render::svg::{Scale, percent};
use crate::render::tables::{self, LatencyRow};
use crate::schema::RunResult;
use crate::units;

/// What happened to the arrivals, as one bar, with its key.
pub fn outcomes(result: &RunResult) -> Markup {
    let scale = Scale::linear(0.0, result.totals.planned as f64);
    let mut before = 0;
    let bars = result.totals.outcomes().map(|(outcome, count)| {
        let left = percent(scale.at(before as f64));
        before += count;
        (outcome, left, percent(scale.at(count as f64)))
    });
    html! {
        svg class="outcomes" aria-hidden="true" height="10" {
            @for (outcome, left, width) in bars {
                rect class=(outcome.as_str()) x=(left) width=(width) height="10" {}
            }
        }
        ul class="key" {
            @for (outcome, count) in result.totals.outcomes() {
                li class=[(count == 0).then_some("none")] {
                    i class={ "swatch " (outcome.as_str()) } {}
                    b { (units::count(count)) } " " (tables::outcome_label(outcome))
                }
            }
        }
    }
}

/// A row's spread on a scale that all rows of its table share: a line from the shortest to the longest, a bar from
/// the median to the 99th percentile, a dot at the median.
pub fn spread(row: &LatencyRow, rows: &[LatencyRow]) -> Markup {
    let figures = rows.iter().map(|row| row.distribution);
    let low_us = figures.clone().map(|one| one.min_us).fold(f64::INFINITY, f64::min);
    let high_us = figures.map(|one| one.max_us).fold(0.0, f64::max);
    let scale = Scale::logarithmic(low_us.max(0.1), high_us);
    let at = |us: f64| percent(scale.at(us));
    let own = row.distribution;
    html! {
        svg class="spread" aria-hidden="true" height="14" {
            line class="range" x1=(at(own.min_us)) x2=(at(own.max_us)) y1="7" y2="7" {}
            line class="body" x1=(at(own.p50_us)) x2=(at(own.p99_us)) y1="7" y2="7" {}
            circle cx=(at(own.p50_us)) cy="7" r="3.5" {}
        }
    }
}
