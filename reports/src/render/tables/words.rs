//! Verdicts, outcomes, thresholds and instants in words.

use crate::schema::{Absent, Outcome, RunResult, Threshold, Unit, VerdictName};
use crate::units;

/// The verdict in a word or two: `Pass`, `Threshold missed`.
pub fn verdict_title(result: &RunResult) -> &'static str {
    match result.verdict.name {
        VerdictName::Pass => "Pass",
        VerdictName::Threshold => "Threshold missed",
        VerdictName::Invalid => "Invalid run",
        VerdictName::Interrupted => "Stopped early",
        VerdictName::FalseAccept => "False accept",
        VerdictName::Configuration => "No such server",
        VerdictName::TokensRefused => "Tokens refused",
        VerdictName::TokenNotChecked => "No token checked",
        VerdictName::NoVerdict => "No verdict",
    }
}

/// An outcome's name in words.
pub fn outcome_label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Established => "established",
        Outcome::RefusedExpected => "refused as expected",
        Outcome::FalseAccept => "accepted by mistake",
        Outcome::FalseReject => "refused by mistake",
        Outcome::Timeout => "timed out",
        Outcome::Failed => "failed",
        Outcome::Interrupted => "interrupted",
        Outcome::NotSent => "not sent",
    }
}

/// What was observed for a threshold, in its unit.
pub fn observed(threshold: &Threshold) -> String {
    match (threshold.observed, threshold.unit) {
        (None, _) if threshold.absent == Some(Absent::InfinitelySlow) => "infinitely slow".to_owned(),
        (None, _) => "no samples".to_owned(),
        (Some(value), Unit::Us) => units::duration_us(value),
        (Some(value), Unit::Share) => units::share(value),
        (Some(value), Unit::PerS) => units::rate(value),
        (Some(value), Unit::Count) => units::number(value),
    }
}

/// When the run began, to the second: `2026-05-04 10:00:00 UTC`.
pub fn started(result: &RunResult) -> String {
    let whole_seconds = result.started_at.split(['.', 'Z']).next().unwrap_or_default();
    match whole_seconds.split_once('T') {
        Some((date, time)) => format!("{date} {time} UTC"),
        None => result.started_at.clone(),
    }
}
