//! What each part of a handshake contributes.

use crate::render::charts::figure;
use crate::render::markup::escape;
use crate::render::svg::{Scale, percent};
use crate::render::tables::{self, LatencyRow};
use crate::schema::RunResult;
use crate::units;

/// What each part of a handshake contributes, at the median and at the 99th percentile; empty where there are no parts.
pub fn phases_stacked(result: &RunResult) -> String {
    let rows = tables::latency_rows(result);
    let parts: Vec<&LatencyRow> = rows.iter().filter(|row| part_class(row.phase).is_some()).collect();
    if parts.is_empty() {
        return String::new();
    }
    let whole = rows.iter().find(|row| row.phase == "handshake" && row.view == "service");
    let bars: [(&str, PickUs); 2] = [("median", |row| row.distribution.p50_us), ("p99", |row| row.distribution.p99_us)];
    let stacked_us = |pick: PickUs| parts.iter().map(|row| pick(row)).sum::<f64>();
    let top_us = bars.iter().flat_map(|(_, pick)| [stacked_us(*pick), whole.map_or(0.0, pick)]).fold(0.0, f64::max);
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
        svg += &format!("<text class=\"tick end\" x=\"-8\" y=\"{}\" dy=\".35em\">{label}</text>\n", y + 17);
        svg += &bar(&parts, *pick, scale, y);
        if let Some(whole) = whole {
            let x = percent(scale.at(pick(whole)));
            let side = if scale.at(pick(whole)) > 0.5 { "end" } else { "start" };
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
        "Percentiles of parts do not add up to that of the whole: who is slow in one part need not be slow in another. \
         The mark is the whole handshake.",
        &svg,
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
