//! Latency by percentile.

use maud::Markup;

use crate::histogram::LatencyHistogram;
use crate::render::charts::frame::{figure, latency_axis};
use crate::render::svg::{Axis, Plot, Scale, Series, Shape};
use crate::render::tables::{self, LatencyRow, View};
use crate::schema::{PhaseName, RunResult};
use crate::units;

/// Latency against the percentile, on an axis on which every further nine takes the same room; empty where nothing
/// was recorded.
pub fn by_percentile(result: &RunResult) -> Markup {
    let mut curves = Vec::new();
    let rows = tables::latency_rows(result);
    for row in rows.iter().filter(|row| curve_class(row).is_some()) {
        // A histogram that cannot be read back leaves its curve out; its figures stand in the table.
        if let Ok(histogram) = LatencyHistogram::from_distribution(row.distribution) {
            curves.push((row, histogram.quantiles()));
        }
    }
    let longest = curves.iter().map(|(row, _)| row.distribution.count).max();
    let Some(count) = longest.filter(|count| *count > 0) else {
        return Markup::default();
    };
    // The last of n values is the (1 - 1/n) quantile: further right nothing was measured.
    let inverse_max = (count as f64).max(10.0);
    let series = curves
        .iter()
        .map(|(row, curve)| {
            let own_max = (row.distribution.count as f64).max(1.0);
            // The shortest of all would only add a cliff at the left edge.
            let above_min = curve.iter().filter(|(quantile, _)| *quantile > 0.0);
            let points = above_min.map(|&(quantile, latency_ns)| {
                let inverse = (1.0 / (1.0 - quantile).max(1e-12)).min(own_max);
                Some((inverse, latency_ns as f64 / 1e3))
            });
            Series {
                class: curve_class(row).unwrap_or_default(),
                label: match row.phase {
                    PhaseName::Echo => "echo".to_owned(),
                    _ => row.view.as_str().to_owned(),
                },
                shape: Shape::Line,
                points: points.collect(),
            }
        })
        .collect::<Vec<_>>();
    let nines = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999];
    let ticks = nines
        .into_iter()
        .map(|quantile| (1.0 / (1.0 - quantile), percentile(quantile)))
        .filter(|(inverse, _)| *inverse <= inverse_max * 1.001)
        .collect();
    let plot = Plot {
        id: "by-percentile",
        title: "Latency by percentile".to_owned(),
        description: described(&rows),
        x: Axis { scale: Scale::logarithmic(1.0, inverse_max), ticks },
        y: latency_axis(&series),
        height_px: 300,
        series,
        hints: Vec::new(),
    };
    figure(
        "Latency by percentile",
        "Read it from right to left: one handshake in a thousand is slower than the curve at 99.9 %.",
        &plot.draw(),
    )
}

fn percentile(quantile: f64) -> String {
    let text = format!("{:.4}", quantile * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn described(rows: &[LatencyRow]) -> String {
    let described = rows.iter().filter(|row| curve_class(row).is_some()).map(|row| {
        format!(
            "{} {}: median {}, 99th percentile {}, longest {}",
            row.phase,
            row.view.as_str(),
            units::duration_us(row.distribution.p50_us),
            units::duration_us(row.distribution.p99_us),
            units::duration_us(row.distribution.max_us)
        )
    });
    described.collect::<Vec<_>>().join("; ") + "."
}

/// The composites' curves; of the echo its service alone, for its lag is that of the handshake's clock.
fn curve_class(row: &LatencyRow) -> Option<&'static str> {
    match (row.phase, row.view) {
        (PhaseName::Handshake, View::Response) => Some("response"),
        (PhaseName::Handshake, View::Service) => Some("service"),
        (PhaseName::Handshake, View::Lag) => Some("lag"),
        (PhaseName::Echo, View::Service) => Some("echo"),
        _ => None,
    }
}
