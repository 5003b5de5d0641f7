//! The five pictures of a report, each a figure with its caption.

use super::escape;
use super::svg::{Axis, Hint, Plot, Scale, Series, Shape, percent};
use super::tables::{self, LatencyRow};
use crate::histogram::LatencyHistogram;
use crate::schema::{Interval, RunResult};
use crate::units;

/// More bands than this would be too narrow to point at.
const HINTS_MAX: usize = 300;

/// Beyond this factor between the lowest and the highest latency a linear axis would hide the low ones.
const LINEAR_FACTOR_MAX: f64 = 25.0;

/// Rate, latency and held sockets over one time axis, one above the other; empty without intervals.
pub fn over_time(result: &RunResult) -> String {
    if result.intervals.is_empty() {
        return String::new();
    }
    figure(
        "Arrivals in each second",
        "Established arrivals against the plan; a gap between the two is load that was lost or late.",
        &rates(result).draw(),
    ) + &latency_over_time(result)
        + &figure(
            "Sockets held",
            "Open at the end of each second.",
            &held(result).draw(),
        )
}

/// Latency against the percentile, on an axis on which every further nine takes the same room; empty where nothing
/// was recorded.
pub fn by_percentile(result: &RunResult) -> String {
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
        return String::new();
    };
    // The last of n values is the (1 - 1/n) quantile: further right nothing was measured.
    let inverse_max = (count as f64).max(10.0);
    let series = curves
        .iter()
        .map(|(row, curve)| {
            let own_max = (row.distribution.count as f64).max(1.0);
            let points = curve.iter().map(|&(quantile, latency_ns)| {
                let inverse = (1.0 / (1.0 - quantile).max(1e-12)).min(own_max);
                Some((inverse, latency_ns as f64 / 1e3))
            });
            Series {
                class: curve_class(row).unwrap_or_default(),
                label: match row.phase {
                    "echo" => "echo".to_owned(),
                    _ => row.view.to_owned(),
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
        x: Axis {
            scale: Scale::logarithmic(1.0, inverse_max),
            ticks,
        },
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

/// What each part of a handshake contributes, at the median and at the 99th percentile; empty where there are no parts.
pub fn phases_stacked(result: &RunResult) -> String {
    let rows = tables::latency_rows(result);
    let parts: Vec<&LatencyRow> = rows
        .iter()
        .filter(|row| part_class(row.phase).is_some())
        .collect();
    if parts.is_empty() {
        return String::new();
    }
    let whole = rows
        .iter()
        .find(|row| row.phase == "handshake" && row.view == "service");
    let bars: [(&str, PickUs); 2] = [
        ("median", |row| row.distribution.p50_us),
        ("p99", |row| row.distribution.p99_us),
    ];
    let stacked_us = |pick: PickUs| parts.iter().map(|row| pick(row)).sum::<f64>();
    let top_us = bars
        .iter()
        .flat_map(|(_, pick)| [stacked_us(*pick), whole.map_or(0.0, pick)])
        .fold(0.0, f64::max);
    let scale = Scale::linear(0.0, top_us);

    let mut svg = String::from(
        "<svg class=\"bars\" role=\"img\" aria-labelledby=\"phases-t phases-d\" height=\"132\">\n\
         <title id=\"phases-t\">Where a handshake spends its time</title>\n",
    );
    let names: Vec<&str> = parts.iter().map(|row| row.phase).collect();
    svg += &format!(
        "<desc id=\"phases-d\">Two stacked bars, at the median and at the 99th percentile, of {}.</desc>\n",
        escape(&names.join(", "))
    );
    for (index, (label, pick)) in bars.iter().enumerate() {
        let y = 8 + index * 70;
        svg += &format!(
            "<text class=\"tick end\" x=\"-8\" y=\"{}\" dy=\".35em\">{label}</text>\n",
            y + 17
        );
        svg += &bar(&parts, *pick, scale, y);
        if let Some(whole) = whole {
            let x = percent(scale.at(pick(whole)));
            let side = if scale.at(pick(whole)) > 0.5 {
                "end"
            } else {
                "start"
            };
            svg += &format!(
                "<line class=\"whole\" x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{}\"/>\
                 <text class=\"tick {side}\" x=\"{x}\" y=\"{}\">whole handshake {}</text>\n",
                y - 4,
                y + 38,
                y + 50,
                units::duration_us(pick(whole))
            );
        }
    }
    svg += "</svg>\n";
    svg += "<ul class=\"key\">";
    for row in &parts {
        svg += &format!(
            "<li><i class=\"swatch {}\"></i>{} <b>{}</b> <span>{} at p99</span></li>",
            part_class(row.phase).unwrap_or_default(),
            row.phase,
            units::duration_us(row.distribution.p50_us),
            units::duration_us(row.distribution.p99_us)
        );
    }
    svg += "</ul>\n";
    figure(
        "Where a handshake spends its time",
        "Percentiles of parts do not add up to that of the whole: the slowest tenth of one part need not meet that of \
         another. The mark is the whole handshake.",
        &svg,
    )
}

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
    let low_us = figures
        .clone()
        .map(|one| one.min_us)
        .fold(f64::INFINITY, f64::min);
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

type PickUs = fn(&LatencyRow) -> f64;

fn bar(parts: &[&LatencyRow], pick: PickUs, scale: Scale, y: usize) -> String {
    /// A narrower part has no room for its name.
    const NAMED_PART_MIN: f64 = 0.1;
    let mut svg = String::new();
    let mut before_us = 0.0;
    for row in parts {
        let (left, right) = (scale.at(before_us), scale.at(before_us + pick(row)));
        before_us += pick(row);
        svg += &format!(
            "<rect class=\"part {}\" x=\"{}\" y=\"{y}\" width=\"{}\" height=\"34\">\
             <title>{} {}</title></rect>\n",
            part_class(row.phase).unwrap_or_default(),
            percent(left),
            percent(right - left),
            row.phase,
            units::duration_us(pick(row))
        );
        if right - left >= NAMED_PART_MIN {
            svg += &format!(
                "<text class=\"inside\" x=\"{}\" y=\"{}\" dx=\"8\" dy=\".35em\">{}</text>\n",
                percent(left),
                y + 17,
                row.phase
            );
        }
    }
    svg
}

fn rates(result: &RunResult) -> Plot {
    let steps = |pick: fn(&Interval) -> u64| {
        let corners = result.intervals.iter().flat_map(move |row| {
            let (from, count) = (f64::from(row.second), pick(row) as f64);
            [Some((from, count)), Some((from + 1.0, count))]
        });
        corners.collect::<Vec<_>>()
    };
    let most = result
        .intervals
        .iter()
        .map(|row| row.planned.max(row.established))
        .max();
    let scale = Scale::from_zero(most.unwrap_or(0) as f64);
    let mut series = vec![Series {
        class: "established",
        label: "established".to_owned(),
        shape: Shape::Area,
        points: steps(|row| row.established),
    }];
    if result.intervals.iter().any(|row| row.failed > 0) {
        series.push(Series {
            class: "failed",
            label: "failed".to_owned(),
            shape: Shape::Area,
            points: steps(|row| row.failed),
        });
    }
    if result.intervals.iter().any(|row| row.refused_expected > 0) {
        series.push(Series {
            class: "refused_expected",
            label: "refused".to_owned(),
            shape: Shape::Line,
            points: steps(|row| row.refused_expected),
        });
    }
    series.push(Series {
        class: "plan",
        label: "planned".to_owned(),
        shape: Shape::Line,
        points: steps(|row| row.planned),
    });
    Plot {
        id: "rates",
        title: "Arrivals in each second".to_owned(),
        description: format!(
            "{} established of {} planned.",
            units::count(result.totals.established),
            units::count(result.totals.planned)
        ),
        x: time_axis(result),
        y: Axis {
            scale,
            ticks: scale
                .ticks()
                .into_iter()
                .map(|tick| (tick, units::number(tick)))
                .collect(),
        },
        height_px: 170,
        series,
        hints: hints(result, |row| {
            format!(
                "{} planned, {} established, {} failed",
                units::count(row.planned),
                units::count(row.established),
                units::count(row.failed)
            )
        }),
    }
}

fn latency_over_time(result: &RunResult) -> String {
    let line = |class, label: &str, pick: fn(&Interval) -> Option<f64>| {
        let points = result.intervals.iter().map(|row| {
            let middle = f64::from(row.second) + 0.5;
            pick(row).map(|us| (middle, us))
        });
        Series {
            class,
            label: label.to_owned(),
            shape: Shape::Line,
            points: points.collect(),
        }
    };
    let series = vec![
        line("p50", "median", |row| row.handshake_p50_us),
        line("p99", "p99", |row| row.handshake_p99_us),
    ];
    if series
        .iter()
        .all(|series| series.points.iter().all(Option::is_none))
    {
        return String::new();
    }
    let plot = Plot {
        id: "latency-over-time",
        title: "Handshake latency over time".to_owned(),
        description: "Median and 99th percentile of the handshakes established in each second."
            .to_owned(),
        x: time_axis(result),
        y: latency_axis(&series),
        height_px: 170,
        series,
        hints: hints(result, |row| {
            let show = |us: Option<f64>| us.map_or("none".to_owned(), units::duration_us);
            format!(
                "median {}, p99 {}, max {}",
                show(row.handshake_p50_us),
                show(row.handshake_p99_us),
                show(row.handshake_max_us)
            )
        }),
    };
    let view = tables::main_row(result, "handshake").map_or("response", |row| row.view);
    figure(
        "Handshake latency",
        &format!("The {view} time of the handshakes established in each second."),
        &plot.draw(),
    )
}

fn held(result: &RunResult) -> Plot {
    let most = result
        .intervals
        .iter()
        .map(|row| row.held)
        .max()
        .unwrap_or(0);
    let scale = Scale::from_zero(most as f64);
    let ends = result
        .intervals
        .iter()
        .map(|row| Some((f64::from(row.second) + 1.0, row.held as f64)));
    Plot {
        id: "held",
        title: "Sockets held".to_owned(),
        description: format!("At most {} sockets were open at once.", units::count(most)),
        x: time_axis(result),
        y: Axis {
            scale,
            ticks: scale
                .ticks()
                .into_iter()
                .map(|tick| (tick, units::number(tick)))
                .collect(),
        },
        height_px: 130,
        series: vec![Series {
            class: "held",
            label: "open".to_owned(),
            shape: Shape::Area,
            points: std::iter::once(Some((0.0, 0.0))).chain(ends).collect(),
        }],
        hints: hints(result, |row| format!("{} open", units::count(row.held))),
    }
}

fn hints(result: &RunResult, text: impl Fn(&Interval) -> String) -> Vec<Hint> {
    if result.intervals.len() > HINTS_MAX {
        return Vec::new();
    }
    let hint = |row: &Interval| Hint {
        from: f64::from(row.second),
        to: f64::from(row.second) + 1.0,
        text: format!("second {}: {}", row.second, text(row)),
    };
    result.intervals.iter().map(hint).collect()
}

/// Seconds from T0 to the end of the last interval, with at most seven labels at round times.
fn time_axis(result: &RunResult) -> Axis {
    const STEPS_S: [u32; 13] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200];
    const LABELS_MAX: u32 = 6;
    let end_s = result
        .intervals
        .last()
        .map_or(1, |row| row.second.saturating_add(1));
    let fits = STEPS_S
        .into_iter()
        .find(|step_s| end_s / step_s <= LABELS_MAX);
    let step_s = fits.unwrap_or((end_s / LABELS_MAX).max(1));
    let at = |index| f64::from(index * step_s);
    let label = |second_s: f64| match second_s {
        0.0 => "0".to_owned(),
        _ => units::tick_us(second_s * 1e6),
    };
    let ticks = (0..=end_s / step_s).map(|index| (at(index), label(at(index))));
    Axis {
        scale: Scale::linear(0.0, f64::from(end_s)),
        ticks: ticks.collect(),
    }
}

/// Linear from zero where the latencies are of one size, logarithmic where they are not.
fn latency_axis(series: &[Series]) -> Axis {
    let values = || {
        series
            .iter()
            .flat_map(|one| one.points.iter().flatten().map(|point| point.1))
    };
    let low = values()
        .filter(|us| *us > 0.0)
        .fold(f64::INFINITY, f64::min);
    let high = values().fold(0.0, f64::max);
    let scale = if low.is_finite() && high / low > LINEAR_FACTOR_MAX {
        Scale::logarithmic(low, high)
    } else {
        Scale::from_zero(high)
    };
    let ticks = scale.ticks().into_iter().map(|us| (us, units::tick_us(us)));
    Axis {
        scale,
        ticks: ticks.collect(),
    }
}

fn percentile(quantile: f64) -> String {
    let text = format!("{:.4}", quantile * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn described(rows: &[LatencyRow]) -> String {
    let told = rows
        .iter()
        .filter(|row| curve_class(row).is_some())
        .map(|row| {
            format!(
                "{} {}: median {}, 99th percentile {}, longest {}",
                row.phase,
                row.view,
                units::duration_us(row.distribution.p50_us),
                units::duration_us(row.distribution.p99_us),
                units::duration_us(row.distribution.max_us)
            )
        });
    told.collect::<Vec<_>>().join("; ") + "."
}

/// The composites' curves: of the echo only that by which it is judged.
fn curve_class(row: &LatencyRow) -> Option<&'static str> {
    match (row.phase, row.view) {
        ("handshake", "response") => Some("response"),
        ("handshake", "service") => Some("service"),
        ("handshake", "lag") => Some("lag"),
        ("echo", "service") => Some("echo"),
        _ => None,
    }
}

/// The parts of a handshake, in order; login and token come before it and are not counted in it.
fn part_class(phase: &str) -> Option<&'static str> {
    match phase {
        "connect" => Some("part-1"),
        "tls" => Some("part-2"),
        "upgrade" => Some("part-3"),
        "open" => Some("part-4"),
        "poll" => Some("part-5"),
        "auth" => Some("part-6"),
        _ => None,
    }
}

fn figure(title: &str, caption: &str, picture: &str) -> String {
    format!(
        "<figure>\n<figcaption><b>{}</b> {}</figcaption>\n{picture}</figure>\n",
        escape(title),
        escape(caption)
    )
}
