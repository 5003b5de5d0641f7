//! Several targets of one run, and which of them an arrival goes to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::plan::shares::{ROOT_TWO, Shares};
use crate::spec::header::HeaderText;
use crate::spec::text::{many_from_text, required_from_text};

/// A table of `[[targets]]`, as a scenario file has it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TargetTable {
    /// Where its sockets go: http, https, ws or wss.
    #[serde(deserialize_with = "required_from_text")]
    #[schemars(with = "String")]
    pub url: Url,
    /// What results call it [default: its URL].
    pub name: Option<String>,
    /// Its share of the arrivals is this over the sum of all weights [default: 1].
    pub weight: Option<f64>,
    /// Path of its handshakes [default: that of its ws:// URL, or the run's].
    pub path: Option<String>,
    /// Sent with its handshakes as well, as `Name: value`; they win over the run's.
    #[serde(default, deserialize_with = "many_from_text")]
    pub header: Vec<HeaderText>,
}

/// The targets of a run, at least one and at most [`TARGETS_MAX`], and which of them an arrival goes to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Targets {
    list: Vec<TargetSpec>,
    shares: Shares,
}

/// Path and headers of the handshakes with a target, without its address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetSpec {
    /// The name in results.
    pub name: String,
    /// Finite and above zero.
    pub weight: f64,
    /// The path of its handshakes, beginning with `/`; it may hold a query, to which the engine adds its own.
    pub path: String,
    /// Sent with its handshakes, the run's own included; none of them is one that the handshake itself writes.
    pub headers: Vec<(String, String)>,
}

/// Each target has histograms of its own, some megabytes in each shard and second.
pub const TARGETS_MAX: usize = 64;

impl Targets {
    /// The targets of a run of this seed.
    pub fn new(list: Vec<TargetSpec>, seed: u64) -> Self {
        // Another step than the token kinds' own: each target sees the whole mix.
        let shares = Shares::new(list.iter().map(|target| target.weight), seed, ROOT_TWO);
        Self { list, shares }
    }

    /// The targets, in the order of the scenario.
    pub fn list(&self) -> &[TargetSpec] {
        &self.list
    }

    /// The index of the target of arrival `number`.
    pub fn index_for(&self, number: u64) -> usize {
        self.shares.of(number)
    }

    /// The path of the handshake at the target of this place, and the headers sent with it.
    pub fn request_to(&self, place: usize) -> (&str, &[(String, String)]) {
        self.list.get(place).map_or(("/", &[]), |target| (&target.path, &target.headers))
    }

    /// Each target's part of the arrivals, 0 to 1.
    pub fn parts(&self) -> impl Iterator<Item = f64> {
        let sum: f64 = self.list.iter().map(|target| target.weight).sum();
        self.list.iter().map(move |target| target.weight / sum)
    }
}
