//! Latency by kind of token: what attackers cost good users.

use crate::render::tables::main_row;
use crate::schema::{Distribution, RunResult};

/// The handshakes of arrivals that showed one kind of token, as the run is judged, however they ended.
pub struct KindRow<'a> {
    /// As `--mix` names it.
    pub kind: &'a str,
    /// Its figures.
    pub distribution: &'a Distribution,
}

/// The handshake by kind of token, good ones first, and its view; `None` where one kind alone was shown.
pub fn kind_rows(result: &RunResult) -> Option<(&'static str, Vec<KindRow<'_>>)> {
    let kinds = &result.phases.get("handshake")?.by_token_kind;
    let view = main_row(result, "handshake").map_or("service", |row| row.view);
    let mut rows: Vec<KindRow<'_>> = kinds
        .iter()
        .filter_map(|(kind, latencies)| {
            let distribution = match view {
                "response" => latencies.response.as_ref(),
                _ => latencies.service.as_ref(),
            }?;
            Some(KindRow { kind, distribution })
        })
        .collect();
    rows.sort_by_key(|row| !matches!(row.kind, "valid" | "replayed"));
    (rows.len() > 1).then_some((view, rows))
}
