//! Several targets of one run, and which of them an arrival goes to.

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::spec::shares::{ROOT_TWO, Shares};
use crate::spec::{HeaderText, many_from_text, required_from_text};

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

/// The targets of a run that has more than one: at least two, at most [`TARGETS_MAX`].
#[derive(Clone, Debug)]
pub struct Targets {
    list: Vec<WeightedTarget>,
    shares: Shares,
}

/// One of several targets.
#[derive(Clone, Debug)]
pub struct WeightedTarget {
    /// What results call it.
    pub name: String,
    /// Where its sockets go.
    pub url: Url,
    /// Finite and above zero.
    pub weight: f64,
    /// The path of its handshakes.
    pub path: String,
    /// Sent with its handshakes, the run's own included.
    pub headers: Vec<(String, String)>,
}

/// Each target has histograms of its own, some megabytes in each shard and second.
pub const TARGETS_MAX: usize = 64;

impl Targets {
    /// The targets of a run of this seed.
    pub fn new(list: Vec<WeightedTarget>, seed: u64) -> Self {
        // Another step than the token kinds' own: each target sees the whole mix.
        let shares = Shares::new(list.iter().map(|target| target.weight), seed, ROOT_TWO);
        Self { list, shares }
    }

    /// Targets whose arrivals are shared out already.
    pub fn of_shares(list: Vec<WeightedTarget>, shares: Shares) -> Self {
        Self { list, shares }
    }

    /// How their arrivals are shared out.
    pub fn shares(&self) -> &Shares {
        &self.shares
    }

    /// They, in the order of the scenario.
    pub fn list(&self) -> &[WeightedTarget] {
        &self.list
    }

    /// The place of the target of arrival `number`.
    pub fn of_arrival(&self, number: u64) -> usize {
        self.shares.of(number)
    }

    /// A target's part of the arrivals, 0 to 1.
    pub fn share(&self, target: &WeightedTarget) -> f64 {
        target.weight / self.list.iter().map(|one| one.weight).sum::<f64>()
    }
}
