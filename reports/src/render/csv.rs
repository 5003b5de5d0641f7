//! `intervals.csv`: one row per second (RFC 4180, lines end with a line feed).

use crate::schema::{Interval, RunResult};

/// The intervals of a run with a header, units in the names; an empty field was not measured.
pub fn csv(result: &RunResult) -> String {
    let mut csv = COLUMNS.map(|(name, _)| name).join(",");
    csv.push('\n');
    for interval in &result.intervals {
        csv += &COLUMNS.map(|(_, cell)| cell(interval)).join(",");
        csv.push('\n');
    }
    csv
}

type Cell = fn(&Interval) -> String;

const COLUMNS: [(&str, Cell); 16] = [
    ("second", |row| row.second.to_string()),
    ("planned", |row| row.planned.to_string()),
    ("started", |row| row.started.to_string()),
    ("established", |row| row.established.to_string()),
    ("refused_expected", |row| row.refused_expected.to_string()),
    ("failed", |row| row.failed.to_string()),
    ("held", |row| row.held.to_string()),
    ("echoes", |row| row.echoes.to_string()),
    ("handshake_p50_us", |row| optional(row.handshake_p50_us)),
    ("handshake_p99_us", |row| optional(row.handshake_p99_us)),
    ("handshake_max_us", |row| optional(row.handshake_max_us)),
    ("lag_p99_us", |row| optional(row.lag_p99_us)),
    ("echo_p50_us", |row| optional(row.echo_p50_us)),
    ("echo_p99_us", |row| optional(row.echo_p99_us)),
    ("sent_bytes", |row| row.sent_bytes.to_string()),
    ("received_bytes", |row| row.received_bytes.to_string()),
];

fn optional(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
