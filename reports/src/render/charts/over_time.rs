//! Rate, latency and held sockets over one time axis.

use maud::{Markup, html};

use crate::render::charts::frame::{figure, latency_axis};
use crate::render::svg::{Axis, Hint, Plot, Scale, Series, Shape};
use crate::render::tables;
use crate::schema::{Interval, RunResult};
use crate::units;

/// More bands than this would be too narrow to point at.
const HINTS_MAX: usize = 300;

/// Room above the highest count, so that a steady rate does not look like the frame.
const HEADROOM: f64 = 1.04;

/// Rate, latency and held sockets over one time axis, one above the other; empty without intervals.
pub fn over_time(result: &RunResult) -> Markup {
    if result.intervals.is_empty() {
        return Markup::default();
    }
    let rates = figure(
        "Arrivals in each second",
        "Established arrivals against the plan; a gap between the two is load that was lost or late.",
        &rates(result).draw(),
    );
    let held = figure("Sockets held", "The most that were open at once in each second.", &held(result).draw());
    html! { (rates) (latency_over_time(result)) (held) }
}

fn rates(result: &RunResult) -> Plot {
    let steps = |pick: fn(&Interval) -> u64| {
        let corners = result.intervals.iter().flat_map(move |row| {
            let (from, count) = (f64::from(row.second), pick(row) as f64);
            [Some((from, count)), Some((from + 1.0, count))]
        });
        corners.collect::<Vec<_>>()
    };
    let most = result.intervals.iter().map(|row| row.planned.max(row.established)).max();
    let scale = Scale::from_zero(most.unwrap_or(0) as f64 * HEADROOM);
    let any = |pick: fn(&Interval) -> u64| result.intervals.iter().any(|row| pick(row) > 0);
    type Row = (&'static str, &'static str, Shape, fn(&Interval) -> u64, bool);
    let rows: [Row; 4] = [
        ("established", "established", Shape::Area, |row| row.established, true),
        ("failed", "failed", Shape::Area, |row| row.failed, any(|row| row.failed)),
        ("refused_expected", "refused", Shape::Line, |row| row.refused_expected, any(|row| row.refused_expected)),
        ("plan", "planned", Shape::Line, |row| row.planned, true),
    ];
    let shown = rows.into_iter().filter(|(.., is_shown)| *is_shown);
    let series = shown
        .map(|(class, label, shape, pick, _)| Series { class, label: label.to_owned(), shape, points: steps(pick) })
        .collect();
    Plot {
        id: "rates",
        title: "Arrivals in each second".to_owned(),
        description: format!(
            "{} established of {} planned.",
            units::count(result.totals.established),
            units::count(result.totals.planned)
        ),
        x: time_axis(result),
        y: Axis { scale, ticks: scale.ticks().into_iter().map(|tick| (tick, units::number(tick))).collect() },
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

fn latency_over_time(result: &RunResult) -> Markup {
    let line = |class, label: &str, pick: fn(&Interval) -> Option<f64>| {
        let points = result.intervals.iter().map(|row| {
            let middle = f64::from(row.second) + 0.5;
            pick(row).map(|us| (middle, us))
        });
        Series { class, label: label.to_owned(), shape: Shape::Line, points: points.collect() }
    };
    let series =
        vec![line("p50", "median", |row| row.handshake_p50_us), line("p99", "p99", |row| row.handshake_p99_us)];
    if series.iter().all(|series| series.points.iter().all(Option::is_none)) {
        return Markup::default();
    }
    let plot = Plot {
        id: "latency-over-time",
        title: "Handshake latency over time".to_owned(),
        description: "Median and 99th percentile of the handshakes established in each second.".to_owned(),
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
    let view = tables::handshake_row(result).map_or("response", |row| row.view.as_str());
    figure("Handshake latency", &format!("The {view} time of the handshakes established in each second."), &plot.draw())
}

fn held(result: &RunResult) -> Plot {
    let most = result.intervals.iter().map(|row| row.held).max().unwrap_or(0);
    let scale = Scale::from_zero(most as f64 * HEADROOM);
    let ends = result.intervals.iter().map(|row| Some((f64::from(row.second) + 1.0, row.held as f64)));
    Plot {
        id: "held",
        title: "Sockets held".to_owned(),
        description: format!("At most {} sockets were open at once.", units::count(most)),
        x: time_axis(result),
        y: Axis { scale, ticks: scale.ticks().into_iter().map(|tick| (tick, units::number(tick))).collect() },
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
    let end_s = result.intervals.last().map_or(1, |row| row.second.saturating_add(1));
    let fits = STEPS_S.into_iter().find(|step_s| end_s / step_s <= LABELS_MAX);
    let step_s = fits.unwrap_or((end_s / LABELS_MAX).max(1));
    let at = |index| f64::from(index * step_s);
    let label = |second_s: f64| match second_s {
        0.0 => "0".to_owned(),
        _ => units::tick_us(second_s * 1e6),
    };
    let ticks = (0..=end_s / step_s).map(|index| (at(index), label(at(index))));
    Axis { scale: Scale::linear(0.0, f64::from(end_s)), ticks: ticks.collect() }
}
