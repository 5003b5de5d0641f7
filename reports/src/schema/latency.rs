//! Latencies of a phase, apart by outcome and by token kind.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{Outcome, TokenKind};

/// One phase: its top-level figures are those of established arrivals alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseLatencies {
    /// `count`, `response`, `service`, `lag` of the arrivals that were established.
    #[serde(flatten)]
    pub established: Latencies,
    /// The same by outcome.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_outcome: BTreeMap<Outcome, Latencies>,
    /// The same by token kind, over every outcome.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_token_kind: BTreeMap<TokenKind, Latencies>,
}

/// How long something took, from up to three points of view.
///
/// A phase within the handshake has its duration alone (`service`). The composites `handshake` and `echo` have
/// `lag = start - planned` and `response = end - planned` as well, in the open model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latencies {
    /// How many times it happened.
    pub count: u64,
    /// From the planned instant to the end, less what login and token took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Distribution>,
    /// From the actual start to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Distribution>,
    /// From the planned instant to the actual start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<Distribution>,
}

/// A distribution of durations, in microseconds; recorded in nanoseconds to three significant digits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// Durations that it holds.
    pub count: u64,
    /// The shortest.
    pub min_us: f64,
    /// The arithmetic mean.
    pub mean_us: f64,
    /// The median.
    pub p50_us: f64,
    /// 90 % were at most this.
    pub p90_us: f64,
    /// 95 % were at most this.
    pub p95_us: f64,
    /// 99 % were at most this.
    pub p99_us: f64,
    /// 99.9 % were at most this.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// Durations longer than the histogram can hold (an hour); they are in no other field.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub over_max: u64,
    /// All of it: an HdrHistogram of nanoseconds, V2 compressed, in base64.
    pub hdr: String,
}

impl Distribution {
    /// What every table shows of it, from the median to the longest.
    pub fn shown_us(&self) -> [f64; 5] {
        [self.p50_us, self.p90_us, self.p99_us, self.p999_us, self.max_us]
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
