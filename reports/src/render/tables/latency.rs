//! Latencies as rows: by phase, by kind of token, by target.

use std::collections::BTreeMap;

use crate::schema::{Distribution, Expected, PhaseLatencies, PhaseName, RunResult, Target, TokenKind};
use crate::units;

/// One distribution of the table of phases.
pub struct LatencyRow<'a> {
    /// What took so long.
    pub phase: &'a PhaseName,
    /// From which instant it is measured.
    pub view: View,
    /// Its figures.
    pub distribution: &'a Distribution,
}

/// From and to which instants a latency is measured: see [`Latencies`](crate::schema::Latencies).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// From the planned instant to the end.
    Response,
    /// From the actual start to the end.
    Service,
    /// From the planned instant to the actual start.
    Lag,
}

impl View {
    /// Its name in a result.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Service => "service",
            Self::Lag => "lag",
        }
    }
}

impl LatencyRow<'_> {
    /// Whether it is of a handshake or an echo as a whole, which have more than one view.
    pub fn composite(&self) -> bool {
        matches!(self.phase, PhaseName::Handshake | PhaseName::Echo)
    }

    /// `handshake response`, but `connect` alone: a part has one view.
    pub fn name(&self) -> String {
        if self.composite() { format!("{} {}", self.phase, self.view.as_str()) } else { self.phase.to_string() }
    }
}

/// The latencies of established arrivals, a row for each phase and view, in the order of an arrival.
pub fn latency_rows(result: &RunResult) -> Vec<LatencyRow<'_>> {
    rows_of(&result.phases)
}

/// The handshake as it is judged: its response, or in the closed model its service.
pub fn handshake_row(result: &RunResult) -> Option<LatencyRow<'_>> {
    first_of_handshake(&result.phases)
}

/// The handshake by kind of token, as the run is judged, however the arrivals ended; kinds that are usually accepted
/// first. `None` where one kind alone was shown.
pub fn kind_rows(result: &RunResult) -> Option<(View, Vec<(TokenKind, &Distribution)>)> {
    let kinds = &result.phases.get(&PhaseName::Handshake)?.by_token_kind;
    let view = handshake_row(result).map_or(View::Service, |row| row.view);
    let mut rows: Vec<_> = kinds
        .iter()
        .filter_map(|(kind, latencies)| {
            let distribution = if view == View::Response { &latencies.response } else { &latencies.service };
            Some((*kind, distribution.as_ref()?))
        })
        .collect();
    rows.sort_by_key(|(kind, _)| kind.usually() == Expected::Refuse);
    (rows.len() > 1).then_some((view, rows))
}

/// The heads of the columns of [`target_row`].
pub const TARGET_HEADS: [&str; 7] = ["Target", "Planned", "Established", "Timed out", "Failed", "p50", "p99"];

/// One of several targets: its name, how its arrivals ended, and its handshake as the run's is judged.
pub fn target_row(target: &Target) -> [String; 7] {
    let handshake = first_of_handshake(&target.phases);
    let figure = |of: fn(&Distribution) -> f64| {
        handshake.as_ref().map_or(String::new(), |row| units::duration_us(of(row.distribution)))
    };
    [
        target.name.clone(),
        units::count(target.totals.planned),
        units::count(target.totals.established),
        units::count(target.totals.timeout),
        units::count(target.totals.failed),
        figure(|handshake| handshake.p50_us),
        figure(|handshake| handshake.p99_us),
    ]
}

fn first_of_handshake(phases: &BTreeMap<PhaseName, PhaseLatencies>) -> Option<LatencyRow<'_>> {
    rows_of(phases).into_iter().find(|row| *row.phase == PhaseName::Handshake)
}

fn rows_of(phases: &BTreeMap<PhaseName, PhaseLatencies>) -> Vec<LatencyRow<'_>> {
    let rows = phases.iter().flat_map(|(phase, found)| {
        let views = [
            (View::Response, &found.established.response),
            (View::Service, &found.established.service),
            (View::Lag, &found.established.lag),
        ];
        views.into_iter().filter_map(move |(view, distribution)| {
            let distribution = distribution.as_ref().filter(|figures| figures.count > 0)?;
            Some(LatencyRow { phase, view, distribution })
        })
    });
    rows.collect()
}
