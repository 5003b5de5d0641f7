//! `report.html`: one file that opens offline, without scripts, in light and dark, narrow, wide and on paper.

use crate::render::charts;
use crate::render::markup::{escape, facts, scrolling, section, table};
use crate::render::tables::{self, Fact, LatencyRow};
use crate::schema::{RunResult, Thread};
use crate::units;

/// The page's looks; its custom properties are the only place where a colour is named.
const STYLE: &str = include_str!("report.css");

/// The report: the verdict first, then the totals, the latencies, the pictures, what went wrong, what it cost, and
/// how it was measured.
pub fn html(result: &RunResult) -> String {
    let title = format!("{}: Gatecrash run", tables::verdict_title(result));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        escape(&title)
    );
    page += &masthead(result);
    page += "<main>\n";
    page += &verdict(result);
    page += &thresholds(result);
    page += &latencies(result);
    page += &kinds(result);
    page += &targets(result);
    page += &section("Over time", "Seconds after the first planned arrival.", charts::over_time(result));
    page += &section(
        "Distribution",
        "Handshakes and echoes that succeeded: slow is up, rare is right.",
        charts::by_percentile(result),
    );
    page += &section(
        "Composition",
        "The parts in the order in which a handshake meets them.",
        charts::phases_stacked(result),
    );
    page += &troubles(result);
    page += &costs(result);
    page += &section("Method", "What the figures mean.", method(result));
    page += &section("Scenario", "What was asked.", facts(&tables::scenario_facts(&result.scenario)));
    page += &section("Environment", "Where it was measured.", facts(&tables::environment_facts(result)));
    page += "</main>\n</body>\n</html>\n";
    page
}

fn masthead(result: &RunResult) -> String {
    let target = result.scenario.target.as_deref().unwrap_or("no target");
    let embedded = if result.scenario.embedded { "embedded server at " } else { "" };
    format!(
        "<header class=\"masthead\"><span class=\"brand\">Gatecrash</span>\
         <span>{embedded}<code>{}</code></span><time datetime=\"{}\">{}</time></header>\n",
        escape(target),
        escape(&result.started_at),
        escape(&tables::started(result))
    )
}

fn verdict(result: &RunResult) -> String {
    let (tone, mark) = match (result.verdict.passed(), result.verdict.name.as_str()) {
        (true, _) => ("pass", "M7 12.5l3.5 3.5L17 8.5"),
        (false, "invalid" | "interrupted" | "no_verdict") => ("doubt", "M12 6.5v7M12 17v.5"),
        (false, _) => ("fail", "M8 8l8 8M16 8l-8 8"),
    };
    let mut html = format!(
        "<section class=\"verdict {tone}\">\n<h1><svg class=\"mark\" aria-hidden=\"true\" viewBox=\"0 0 24 24\">\
         <circle cx=\"12\" cy=\"12\" r=\"12\"/><path d=\"{mark}\"/></svg>{}</h1>\n<p class=\"sentence\">{}</p>\n",
        escape(&tables::verdict_title(result)),
        escape(&result.verdict.sentence)
    );
    html += &reasons(result);
    html += &format!(
        "<p class=\"code\">exit code {}{}</p>\n<dl class=\"headline\">\n",
        result.verdict.code,
        if result.validity.valid { ", measurement valid" } else { ", measurement not valid" }
    );
    for Fact { label, value, note } in tables::headline(result) {
        html += &format!("<div><dt>{label}</dt><dd>{value}<small>{}</small></dd></div>\n", escape(&note));
    }
    html + "</dl>\n" + &charts::outcomes(result) + "</section>\n"
}

fn reasons(result: &RunResult) -> String {
    if result.validity.reasons.is_empty() {
        return String::new();
    }
    let items = result.validity.reasons.iter().map(|reason| format!("<li>{}</li>\n", escape(reason)));
    format!("<ul class=\"reasons\">\n{}</ul>\n", items.collect::<String>())
}

fn thresholds(result: &RunResult) -> String {
    let rows = result.thresholds.iter().map(|threshold| {
        let (class, came_out) = if threshold.pass { ("good", "pass") } else { ("bad", "fail") };
        vec![
            format!("<code>{}</code>", escape(&threshold.text)),
            escape(&tables::observed(threshold)),
            format!("<b class=\"{class}\">{came_out}</b>"),
        ]
    });
    section(
        "Thresholds",
        "Failures and timeouts rank as infinitely slow.",
        table("Thresholds and what was observed", &["Asked", "Observed", "Result"], rows.collect()),
    )
}

fn latencies(result: &RunResult) -> String {
    let rows = tables::latency_rows(result);
    if rows.is_empty() {
        return String::new();
    }
    let heads = ["p50", "p90", "p99", "p99.9", "Max", "Count"];
    let mut html = String::from(
        "<table class=\"latency\">\n<caption>Latency by phase</caption>\n<thead><tr><th scope=\"col\">Phase</th>",
    );
    html += &heads.map(|head| format!("<th scope=\"col\">{head}</th>")).concat();
    html += "<th scope=\"col\" class=\"wide\">Spread, log scale</th></tr></thead>\n";
    let mut group = "";
    for row in &rows {
        let own = phase_group(row.phase);
        if own != group {
            html += if group.is_empty() { "<tbody>\n" } else { "</tbody>\n<tbody>\n" };
            group = own;
        }
        html += &latency_row(row, &rows);
    }
    html += "</tbody>\n</table>\n";
    section(
        "Latency",
        "Established arrivals alone. The line spans shortest to longest, the bar p50 to p99.",
        scrolling("Latency by phase", &html),
    )
}

fn latency_row(row: &LatencyRow, rows: &[LatencyRow]) -> String {
    let figures = row.distribution;
    // The first view of a composite is the one by which it is judged.
    let first = rows.iter().find(|first| first.phase == row.phase);
    let judged = row.composite() && first.is_some_and(|first| first.view == row.view);
    let class = if judged { " class=\"composite\"" } else { "" };
    let name = row.name();
    let mut html = format!("<tr{class}><th scope=\"row\">{name}</th>");
    html += &figures.shown_us().map(|us| format!("<td>{}</td>", units::duration_us(us))).concat();
    html += &format!("<td>{}</td>", units::count(figures.count));
    html + &format!("<td class=\"wide\">{}</td></tr>\n", charts::spread(row, rows))
}

/// Rows of one group stand together.
fn phase_group(phase: &str) -> &'static str {
    match phase {
        "login" | "token" => "before",
        "handshake" => "handshake",
        "echo" => "echo",
        _ => "parts",
    }
}

fn kinds(result: &RunResult) -> String {
    let Some((view, rows)) = tables::kind_rows(result) else {
        return String::new();
    };
    let rows = rows.iter().map(|row| {
        let held = row.distribution;
        let mut cells = vec![escape(row.kind)];
        cells.extend(held.shown_us().map(units::duration_us));
        cells.push(units::count(held.count));
        cells
    });
    section(
        "Token kinds",
        "What each kind took, however it ended: what attackers cost good users.",
        table(
            &format!("Handshake {view} by token kind"),
            &["Token", "p50", "p90", "p99", "p99.9", "Max", "Count"],
            rows.collect(),
        ),
    )
}

fn targets(result: &RunResult) -> String {
    let rows = result.targets.iter().map(|target| {
        let cells = tables::target_row(target);
        cells.map(|cell| escape(&cell)).to_vec()
    });
    section(
        "Targets",
        "The parts that the figures above are the sum of.",
        table("Arrivals and handshakes by target", &tables::TARGET_HEADS, rows.collect()),
    )
}

fn troubles(result: &RunResult) -> String {
    let failures = result
        .failures
        .iter()
        .map(|failure| vec![escape(&failure.phase), escape(&failure.kind), units::count(failure.count)]);
    let refusals = result
        .refusals
        .iter()
        .map(|refusal| vec![escape(&refusal.token_kind), escape(&refusal.reason), units::count(refusal.count)]);
    let failures = table("Failures", &["Phase", "Kind", "Arrivals"], failures.collect());
    let refusals = table("Refusals", &["Token", "Reason", "Arrivals"], refusals.collect());
    let drops = result.sockets.drops.iter();
    let drops = table(
        "Sockets dropped by the target",
        &["Ended by", "Sockets"],
        drops.map(|drop| vec![escape(&drop.kind), units::count(drop.count)]).collect(),
    );
    let none = if failures.is_empty() && refusals.is_empty() {
        "<p>No arrival failed and none was refused.</p>\n"
    } else {
        ""
    };
    let messages = tables::message_facts(result);
    let messages = if messages.is_empty() { String::new() } else { facts(&messages) };
    section(
        "Failures and refusals",
        "By phase and kind; by token and reason; sockets and messages that were lost later.",
        format!("{failures}{refusals}{none}{drops}{messages}"),
    )
}

fn costs(result: &RunResult) -> String {
    let server = tables::server_facts(result);
    let mut html = String::from("<div class=\"columns\">\n<div>\n<h3>Server</h3>\n");
    html += &if server.is_empty() {
        "<p>Out of sight: give its process id or its metrics to see what it spends.</p>\n".to_owned()
    } else {
        facts(&server)
    };
    html += "</div>\n<div>\n<h3>Generator and machine</h3>\n";
    html += &facts(&tables::generator_facts(result));
    for (heading, rows) in [("Tokens", tables::token_facts(result)), ("Sockets", tables::socket_facts(result))] {
        if !rows.is_empty() {
            html += &format!("<h3>{heading}</h3>\n{}", facts(&rows));
        }
    }
    html += "</div>\n</div>\n";
    if let Some(server) = &result.server {
        html += &threads(&server.threads);
    }
    let shards = result.shards.iter().map(|shard| {
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
    });
    html += &table(
        "Shards of the generator",
        &["Shard", "Planned", "Started", "Established", "Lag p99", "CPU"],
        shards.collect(),
    );
    section("Cost", "From the first planned arrival to the end of the last handshake.", html)
}

fn threads(threads: &[Thread]) -> String {
    let rows = threads.iter().map(|thread| vec![escape(&thread.name), units::duration_us(thread.cpu_us)]);
    table("Threads of the server", &["Thread", "CPU"], rows.collect())
}

fn method(result: &RunResult) -> String {
    let open_model = result.scenario.concurrency.is_none();
    let mut paragraphs = Vec::new();
    if open_model {
        paragraphs.push(
            "<b>Open model.</b> Every arrival had its instant before the run began, and none waited for another to \
             finish. A slow server cannot slow the load down and so hide its own delay.",
        );
        paragraphs.push(
            "<b>Response</b> counts from the planned instant to the authenticated socket, less what login and token \
             took. It is what a user waits, and what thresholds judge. <b>Service</b> counts from the moment the \
             connection was really begun. <b>Lag</b> is how late that moment was: the generator's own fault, kept \
             apart from the server's.",
        );
    } else {
        paragraphs.push(
            "<b>Closed model.</b> A fixed number of handshakes was kept in flight: each began when another ended. \
             There is no plan to be late for, so latency is the <b>service</b> time, from the start of the connection \
             to the authenticated socket, and the rate is whatever the server allowed.",
        );
    }
    paragraphs.push(
        "Each arrival ends in exactly one outcome, and latencies of different outcomes are never mixed: the figures \
         above are those of established sockets. In a threshold, failures and timeouts rank as infinitely slow, so \
         that a server that refuses quickly is not fast.",
    );
    paragraphs.push(
        "A run is valid when the generator kept its schedule and had processor time, descriptors and ports to spare. \
         A run that is not valid is never called slow.",
    );
    paragraphs.push(
        "On one machine the kernel does part of the receiver's network work in the sender's time: read the CPU of \
         either process beside that of the whole machine.",
    );
    let html = paragraphs.into_iter().map(|text| format!("<p>{text}</p>\n"));
    format!("<div class=\"prose\">\n{}</div>\n", html.collect::<String>())
}
