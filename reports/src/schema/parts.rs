//! The parts of a run: each target of several, each step of a login.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{Distribution, Failure, Messages, Phase, PhaseLatencies, PhaseName, Rates, Refusal, Totals};

/// One of several targets; the figures of a run as a whole are those of all its targets together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// As the scenario names it, or its URL where it has no name.
    pub name: String,
    /// The URL that sockets were opened to, without its query.
    pub url: String,
    /// Its share of the arrivals is this over the sum of all weights.
    pub weight: f64,
    /// The arrivals that fell to it, each in exactly one outcome.
    pub totals: Totals,
    /// What was planned and what was reached, over the same time as for the whole run.
    pub rates: Rates,
    /// Its latencies, as [`RunResult::phases`](crate::schema::RunResult::phases); logins and tokens belong to no target.
    pub phases: BTreeMap<PhaseName, PhaseLatencies>,
    /// What went wrong with it, most frequent first.
    pub failures: Vec<Failure>,
    /// What it refused, most frequent first.
    pub refusals: Vec<Refusal>,
    /// Messages over its sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Messages>,
}

/// One request of a login that a scenario describes step by step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// `login`: for each user, before the run. `token`: for each token, those tried before the run included.
    pub phase: Phase,
    /// As the scenario names it.
    pub name: String,
    /// Requests that were answered well.
    pub count: u64,
    /// What these took, redirects included; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Distribution>,
    /// What went wrong with the others, by kind.
    pub failures: Vec<Failure>,
}
