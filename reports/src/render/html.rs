//! `report.html`: one file that opens offline, without scripts, in light and dark, narrow, wide and on paper.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::render::charts;
use crate::render::markup::{facts, scrolling, section, table};
use crate::render::tables::{self, Fact, LatencyRow};
use crate::schema::{Phase, PhaseName, RunResult, Shard, VerdictName};
use crate::units;

/// The page's looks; its custom properties are the only place where a colour is named.
const STYLE: &str = include_str!("report.css");

/// The report: the verdict first, then the totals, the latencies, the pictures, what went wrong, what it cost, and
/// how it was measured.
pub fn html(result: &RunResult) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (tables::verdict_title(result)) ": Gatecrash run" }
                style { (PreEscaped(STYLE)) }
            }
            body { (masthead(result)) main { (sections(result)) } }
        }
    };
    // What a target answers may hold control characters, which HTML forbids.
    page.0.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

fn masthead(result: &RunResult) -> Markup {
    html! {
        header class="masthead" {
            span class="brand" { "Gatecrash" }
            span {
                @if result.scenario.embedded { "embedded server at " }
                code { (result.scenario.target.as_deref().unwrap_or("no target")) }
            }
            time datetime=(result.started_at) { (tables::started(result)) }
        }
    }
}

fn sections(result: &RunResult) -> Markup {
    html! {
        (verdict(result)) (thresholds(result)) (latencies(result)) (kinds(result)) (targets(result))
        (section("Over time", "Seconds after the first planned arrival.", charts::over_time(result)))
        (section(
            "Distribution",
            "Handshakes and echoes that succeeded: slow is up, rare is right.",
            charts::by_percentile(result),
        ))
        (section(
            "Composition",
            "The parts in the order in which a handshake meets them.",
            charts::phases_stacked(result),
        ))
        (failures_and_refusals(result)) (costs(result))
        (section("Method", "What the figures mean.", method(result)))
        (section("Scenario", "What was asked.", facts(&tables::scenario_facts(&result.scenario))))
        (section("Environment", "Where it was measured.", facts(&tables::environment_facts(result))))
    }
}

fn verdict(result: &RunResult) -> Markup {
    let (tone, mark) = match result.verdict.name {
        _ if result.verdict.passed() => ("pass", "M7 12.5l3.5 3.5L17 8.5"),
        VerdictName::Invalid | VerdictName::Interrupted | VerdictName::NoVerdict => ("doubt", "M12 6.5v7M12 17v.5"),
        _ => ("fail", "M8 8l8 8M16 8l-8 8"),
    };
    html! {
        section class={ "verdict " (tone) } {
            h1 {
                svg class="mark" aria-hidden="true" viewBox="0 0 24 24" {
                    circle cx="12" cy="12" r="12" {}
                    path d=(mark) {}
                }
                (tables::verdict_title(result))
            }
            p class="sentence" { (result.verdict.sentence) }
            @if !result.validity.reasons.is_empty() {
                ul class="reasons" { @for reason in &result.validity.reasons { li { (reason) } } }
            }
            p class="code" {
                "exit code " (result.verdict.code)
                (if result.validity.valid { ", measurement valid" } else { ", measurement not valid" })
            }
            dl class="headline" {
                @for Fact { label, value, note } in tables::headline(result) {
                    div { dt { (label) } dd { (value) small { (note) } } }
                }
            }
            (charts::outcomes(result))
        }
    }
}

fn thresholds(result: &RunResult) -> Markup {
    let rows = result.thresholds.iter().map(|threshold| {
        let (class, word) = if threshold.pass { ("good", "pass") } else { ("bad", "fail") };
        vec![
            html! { code { (threshold.text) } },
            html! { (tables::observed(threshold)) },
            html! { b class=(class) { (word) } },
        ]
    });
    section(
        "Thresholds",
        "Failures and timeouts rank as infinitely slow.",
        table("Thresholds and what was observed", &["Asked", "Observed", "Result"], rows),
    )
}

fn latencies(result: &RunResult) -> Markup {
    let rows = tables::latency_rows(result);
    if rows.is_empty() {
        return Markup::default();
    }
    let table = html! {
        table class="latency" {
            caption { "Latency by phase" }
            thead {
                tr {
                    @for head in ["Phase", "p50", "p90", "p99", "p99.9", "Max", "Count"] {
                        th scope="col" { (head) }
                    }
                    th scope="col" class="wide" { "Spread, log scale" }
                }
            }
            @for group in rows.chunk_by(|a, b| phase_group(a.phase) == phase_group(b.phase)) {
                tbody { @for row in group { (latency_row(row, &rows)) } }
            }
        }
    };
    section(
        "Latency",
        "Established arrivals alone. The line spans shortest to longest, the bar p50 to p99.",
        scrolling("Latency by phase", &table),
    )
}

fn latency_row(row: &LatencyRow, rows: &[LatencyRow]) -> Markup {
    let figures = row.distribution;
    // The first view of a composite is the one by which it is judged.
    let first = rows.iter().find(|first| first.phase == row.phase);
    let judged = row.composite() && first.is_some_and(|first| first.view == row.view);
    html! {
        tr class=[judged.then_some("composite")] {
            th scope="row" { (row.name()) }
            @for us in figures.shown_us() { td { (units::duration_us(us)) } }
            td { (units::count(figures.count)) }
            td class="wide" { (charts::spread(row, rows)) }
        }
    }
}

/// Rows of one group stand together: before the handshake, its parts, the handshake, the echo.
fn phase_group(phase: &PhaseName) -> u8 {
    match phase {
        PhaseName::Part(Phase::Login | Phase::Token) | PhaseName::Step(_) => 0,
        PhaseName::Part(_) => 1,
        PhaseName::Handshake => 2,
        PhaseName::Echo => 3,
    }
}

fn kinds(result: &RunResult) -> Markup {
    let Some((view, rows)) = tables::kind_rows(result) else {
        return Markup::default();
    };
    let rows = rows.into_iter().map(|(kind, held)| {
        let figures = held.shown_us().map(units::duration_us).into_iter();
        [kind.to_string()].into_iter().chain(figures).chain([units::count(held.count)]).collect()
    });
    section(
        "Token kinds",
        "What each kind took, however it ended: what attackers cost good users.",
        table(
            &format!("Handshake {} by token kind", view.as_str()),
            &["Token", "p50", "p90", "p99", "p99.9", "Max", "Count"],
            rows,
        ),
    )
}

fn targets(result: &RunResult) -> Markup {
    section(
        "Targets",
        "The parts that the figures above are the sum of.",
        table(
            "Arrivals and handshakes by target",
            &tables::TARGET_HEADS,
            result.targets.iter().map(|target| tables::target_row(target).to_vec()),
        ),
    )
}

fn failures_and_refusals(result: &RunResult) -> Markup {
    let words = |words: &Option<String>| words.clone().unwrap_or_default();
    let failures = result.failures.iter().map(|failure| {
        vec![failure.phase.to_string(), failure.kind.clone(), units::count(failure.count), words(&failure.words)]
    });
    let refusals = result
        .refusals
        .iter()
        .map(|refusal| vec![refusal.token_kind.to_string(), refusal.reason.clone(), units::count(refusal.count)]);
    let drops = result.sockets.drops.iter();
    let drops = drops.map(|drop| vec![drop.kind.clone(), units::count(drop.count), words(&drop.words)]);
    let messages = tables::message_facts(result);
    section(
        "Failures and refusals",
        "By phase and kind; by token and reason; sockets and messages that were lost later.",
        html! {
            (table("Failures", &["Phase", "Kind", "Arrivals", "The first in words"], failures))
            (table("Refusals", &["Token", "Reason", "Arrivals"], refusals))
            @if result.failures.is_empty() && result.refusals.is_empty() {
                p { "No arrival failed and none was refused." }
            }
            (table("Sockets dropped by the target", &["Ended by", "Sockets", "The first in words"], drops))
            @if !messages.is_empty() { (facts(&messages)) }
        },
    )
}

fn costs(result: &RunResult) -> Markup {
    let server = tables::server_facts(result);
    let others = [("Tokens", tables::token_facts(result)), ("Sockets", tables::socket_facts(result))];
    let threads = result.server.iter().flat_map(|server| &server.threads);
    let threads = threads.map(|thread| vec![thread.name.clone(), units::duration_us(thread.cpu_us)]);
    let html = html! {
        div class="columns" {
            div {
                h3 { "Server" }
                @if server.is_empty() {
                    p { "Out of sight: give its process id or its metrics to see what it spends." }
                } @else {
                    (facts(&server))
                }
            }
            div {
                h3 { "Generator and machine" }
                (facts(&tables::generator_facts(result)))
                @for (heading, rows) in others.iter().filter(|(_, rows)| !rows.is_empty()) {
                    h3 { (heading) } (facts(rows))
                }
            }
        }
        (table("Threads of the server", &["Thread", "CPU"], threads))
        (table(
            "Shards of the generator",
            &["Shard", "Planned", "Started", "Established", "Lag p99", "CPU"],
            result.shards.iter().map(shard_row),
        ))
    };
    section("Cost", "From the first planned arrival to the end of the last handshake.", html)
}

fn shard_row(shard: &Shard) -> Vec<String> {
    let optional = |us: Option<f64>| us.map_or(String::new(), units::duration_us);
    vec![
        match shard.process {
            None => shard.index.to_string(),
            Some(process) => format!("{} (process {process})", shard.index),
        },
        units::count(shard.planned),
        units::count(shard.started),
        units::count(shard.established),
        optional(shard.lag_p99_us),
        optional(shard.cpu_us),
    ]
}

fn method(result: &RunResult) -> Markup {
    html! {
        div class="prose" {
            @if result.scenario.concurrency.is_none() {
                p {
                    b { "Open model." }
                    " Every arrival had its instant before the run began, and none waited for another to finish. A slow \
                     server cannot slow the load down and so hide its own delay."
                }
                p {
                    b { "Response" }
                    " counts from the planned instant to the authenticated socket, less what login and token took. It is \
                     what a user waits, and what thresholds judge. "
                    b { "Service" }
                    " counts from the moment the connection was really begun. "
                    b { "Lag" }
                    " is how late that moment was: the generator's own fault, kept apart from the server's."
                }
            } @else {
                p {
                    b { "Closed model." }
                    " A fixed number of handshakes was kept in flight: each began when another ended. There is no plan to \
                     be late for, so latency is the "
                    b { "service" }
                    " time, from the start of the connection to the authenticated socket, and the rate is whatever the \
                     server allowed."
                }
            }
            p {
                "Each arrival ends in exactly one outcome, and latencies of different outcomes are never mixed: the \
                 figures above are those of established sockets. In a threshold, failures and timeouts rank as \
                 infinitely slow, so that a server that refuses quickly is not fast."
            }
            p {
                "A run is valid when the generator kept its schedule and had processor time, descriptors and ports to \
                 spare. A run that is not valid is never called slow."
            }
            p {
                "On one machine the kernel does part of the receiver's network work in the sender's time: read the CPU \
                 of either process beside that of the whole machine."
            }
        }
    }
}
