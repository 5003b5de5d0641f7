//! What each part of a handshake contributes.

use maud::{Markup, html};

use crate::render::charts::frame::figure;
use crate::render::svg::{Scale, percent};
use crate::render::tables::{self, LatencyRow, View};
use crate::schema::{Phase, PhaseName, RunResult};
use crate::units;

/// What each part of a handshake contributes, at the median and at the 99th percentile; empty where there are no parts.
pub fn phases_stacked(result: &RunResult) -> Markup {
    let rows = tables::latency_rows(result);
    let parts: Vec<Part> = rows.iter().filter_map(|row| Some(Part { row, class: part_class(row.phase)? })).collect();
    if parts.is_empty() {
        return Markup::default();
    }
    let whole = rows.iter().find(|row| *row.phase == PhaseName::Handshake && row.view == View::Service);
    let bars: [(&str, PickUs); 2] = [("median", |row| row.distribution.p50_us), ("p99", |row| row.distribution.p99_us)];
    let stacked_us = |pick: PickUs| parts.iter().map(|part| pick(part.row)).sum::<f64>();
    let top_us = bars.iter().flat_map(|(_, pick)| [stacked_us(*pick), whole.map_or(0.0, pick)]).fold(0.0, f64::max);
    let scale = Scale::linear(0.0, top_us);
    let names: Vec<String> = parts.iter().map(|part| part.row.name()).collect();
    let picture = html! {
        svg class="bars" role="img" aria-labelledby="phases-t phases-d" height="132" {
            title id="phases-t" { "Where a handshake spends its time" }
            desc id="phases-d" {
                "Two stacked bars, at the median and at the 99th percentile, of " (names.join(", ")) "."
            }
            @for (index, (label, pick)) in bars.into_iter().enumerate() {
                @let y = 8 + index * 70;
                text class="tick end" x="-8" y=(y + 17) dy=".35em" { (label) }
                (bar(&parts, pick, scale, y))
                @if let Some(whole) = whole { (mark(pick(whole), scale, y)) }
            }
        }
        ul class="key" {
            @for Part { row, class } in &parts {
                li {
                    i class={ "swatch " (class) } {}
                    (row.phase.to_string()) " " b { (units::duration_us(row.distribution.p50_us)) }
                    " " span { (units::duration_us(row.distribution.p99_us)) " at p99" }
                }
            }
        }
    };
    figure(
        "Where a handshake spends its time",
        "Percentiles of parts do not add up to that of the whole: who is slow in one part need not be slow in another. \
         The mark is the whole handshake.",
        &picture,
    )
}

type PickUs = fn(&LatencyRow) -> f64;

struct Part<'a> {
    row: &'a LatencyRow<'a>,
    class: &'static str,
}

/// The parts one after another.
fn bar(parts: &[Part], pick: PickUs, scale: Scale, y: usize) -> Markup {
    /// A narrower part has no room for its name.
    const NAMED_PART_MIN: f64 = 0.1;
    let mut before_us = 0.0;
    let placed = parts.iter().map(|part| {
        let left = scale.at(before_us);
        before_us += pick(part.row);
        (part, left, scale.at(before_us) - left)
    });
    html! {
        @for (Part { row, class }, left, width) in placed {
            rect class={ "part " (class) } x=(percent(left)) y=(y) width=(percent(width)) height="34" {
                title { (row.phase.to_string()) " " (units::duration_us(pick(row))) }
            }
            @if width >= NAMED_PART_MIN {
                text class="inside" x=(percent(left)) y=(y + 17) dx="8" dy=".35em" { (row.phase.to_string()) }
            }
        }
    }
}

/// Where the whole handshake ends.
fn mark(whole_us: f64, scale: Scale, y: usize) -> Markup {
    let x = percent(scale.at(whole_us));
    let side = if scale.at(whole_us) > 0.5 { "end" } else { "start" };
    html! {
        line class="whole" x1=(x) x2=(x) y1=(y - 4) y2=(y + 38) {}
        text class={ "tick " (side) } x=(x) y=(y + 50) { "whole handshake " (units::duration_us(whole_us)) }
    }
}

/// The parts of a handshake, in order; login and token come before it and are not counted in it.
fn part_class(phase: &PhaseName) -> Option<&'static str> {
    let PhaseName::Part(phase) = phase else {
        return None;
    };
    match phase {
        Phase::Login | Phase::Token => None,
        Phase::Connect => Some("part-1"),
        Phase::Tls => Some("part-2"),
        Phase::Upgrade => Some("part-3"),
        Phase::Open => Some("part-4"),
        Phase::Poll => Some("part-5"),
        Phase::Auth => Some("part-6"),
    }
}
