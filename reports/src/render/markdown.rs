//! `summary.md`: what a CI server shows beside a step (GitHub Flavored Markdown, tables of section 4.10).

use crate::render::tables::{self, Fact};
use crate::schema::{Distribution, Outcome, RunResult};
use crate::units;

/// The verdict, the totals, the latencies and what went wrong, short enough for a step's summary.
pub fn markdown(result: &RunResult) -> String {
    let mut page = format!(
        "## Gatecrash: {}\n\n{}\n\n",
        tables::verdict_title(result).to_lowercase(),
        plain(&result.verdict.sentence)
    );
    for reason in &result.validity.reasons {
        page += &format!("- {}\n", plain(reason));
    }
    if !result.validity.reasons.is_empty() {
        page.push('\n');
    }
    page += &headline(result);
    page += &thresholds(result);
    page += &latencies(result);
    page += &kinds(result);
    page += &targets(result);
    page += &facts("Messages", "Count", &tables::message_facts(result));
    page += &failures_and_refusals(result);
    page += &facts("Tokens", "Count", &tables::token_facts(result));
    page += &facts("Sockets", "Count", &tables::socket_facts(result));
    page += &facts("Server", "Cost", &tables::server_facts(result));
    page += &facts("Generator", "Cost", &tables::generator_facts(result));
    page
}

fn headline(result: &RunResult) -> String {
    let shown: Vec<String> = result
        .totals
        .outcomes()
        .into_iter()
        .filter(|(outcome, count)| *count > 0 || matches!(outcome, Outcome::Established | Outcome::Failed))
        .map(|(outcome, count)| format!("{} {}", units::count(count), tables::outcome_label(outcome)))
        .collect();
    format!(
        "**{}** of {} planned, at {} (planned {}), in {}.\n\n",
        shown.join(", "),
        units::count(result.totals.planned),
        units::rate(result.rates.established_per_s),
        units::rate(result.rates.planned_per_s),
        units::duration_s(result.duration_s)
    )
}

fn thresholds(result: &RunResult) -> String {
    let rows = result.thresholds.iter().map(|threshold| {
        let came_out = if threshold.pass { "pass" } else { "**fail**" };
        vec![code(&threshold.text), tables::observed(threshold), came_out.to_owned()]
    });
    table(&["Threshold", "Observed", "Result"], rows.collect())
}

fn latencies(result: &RunResult) -> String {
    let rows = tables::latency_rows(result).into_iter();
    latency_table("Phase", rows.map(|row| figures(plain(&row.name()), row.distribution)).collect())
}

fn kinds(result: &RunResult) -> String {
    let Some((view, rows)) = tables::kind_rows(result) else {
        return String::new();
    };
    let rows = rows.into_iter().map(|(kind, held)| figures(kind.to_string(), held));
    latency_table(&format!("Token, handshake {}", view.as_str()), rows.collect())
}

fn latency_table(head: &str, rows: Vec<Vec<String>>) -> String {
    let heads = [head, "Count", "p50", "p90", "p99", "p99.9", "Max"];
    table(&heads, rows)
}

fn figures(name: String, held: &Distribution) -> Vec<String> {
    let mut cells = vec![name, units::count(held.count)];
    cells.extend(held.shown_us().map(units::duration_us));
    cells
}

fn targets(result: &RunResult) -> String {
    let rows = result.targets.iter().map(|target| {
        let mut cells = tables::target_row(target).to_vec();
        cells[0] = plain(&cells[0]);
        cells
    });
    table(&tables::TARGET_HEADS, rows.collect())
}

fn failures_and_refusals(result: &RunResult) -> String {
    let words = |words: &Option<String>| words.as_deref().map(plain).unwrap_or_default();
    let failures = result.failures.iter().map(|failure| {
        vec![failure.phase.to_string(), plain(&failure.kind), units::count(failure.count), words(&failure.words)]
    });
    let refusals = result
        .refusals
        .iter()
        .map(|refusal| vec![refusal.token_kind.to_string(), plain(&refusal.reason), units::count(refusal.count)]);
    let drops = result.sockets.drops.iter();
    let drops = drops.map(|drop| vec![plain(&drop.kind), units::count(drop.count), words(&drop.words)]);
    table(&["Failed in", "Kind", "Count", "The first in words"], failures.collect())
        + &table(&["Refused token", "Reason", "Count"], refusals.collect())
        + &table(&["Socket dropped by", "Count", "The first in words"], drops.collect())
}

fn facts(heading: &str, unit: &str, facts: &[Fact]) -> String {
    let rows = facts.iter().map(|fact| vec![fact.label.to_owned(), fact.value.clone()]);
    table(&[heading, unit], rows.collect())
}

/// A table with its first column to the left and the others to the right; nothing where it has no rows.
fn table(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("| {} |\n|---|{}\n", heads.join(" | "), "---:|".repeat(heads.len() - 1));
    for row in rows {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text.push('\n');
    text
}

/// `text` with every character that Markdown or HTML gives a meaning taken literally, on one line.
fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// `text` as code in a table's cell, where the bar alone needs an escape.
fn code(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control() && *c != '`').collect();
    format!("`{}`", text.replace('|', "\\|"))
}
