//! Whether the figures may be trusted, what was asked of them, and the verdict.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::VerdictName;

/// Whether the generator did what it promised; an invalid run is never reported as slow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Validity {
    /// No reason was found to doubt the figures.
    pub valid: bool,
    /// Each reason for doubt, as a sentence.
    pub reasons: Vec<String>,
}

/// One expression and how it came out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Threshold {
    /// The expression as asked, such as `handshake.p99<50ms`.
    pub text: String,
    /// What was seen, in `unit`; without it the expression fails.
    #[serde(default)]
    pub observed: Option<f64>,
    /// Why nothing was seen, where `observed` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<Absent>,
    /// The unit of `observed`.
    pub unit: Unit,
    /// Whether it holds.
    pub pass: bool,
}

/// Why a figure of a threshold is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Absent {
    /// So many arrivals failed that the percentile, the mean or the maximum is one of them.
    InfinitelySlow,
    /// Nothing was measured.
    NoSamples,
}

/// What an observed figure counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Arrivals, sockets or messages.
    #[default]
    Count,
    /// A duration in microseconds.
    Us,
    /// A part of a whole, 0 to 1.
    Share,
    /// A rate in arrivals per second.
    PerS,
}

/// The exit code of a run and its reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The program's exit code; 0 is the only good one.
    pub code: u8,
    /// One word for it.
    pub name: VerdictName,
    /// One sentence for a person.
    pub sentence: String,
}

impl Default for Verdict {
    fn default() -> Self {
        Self { code: 0, name: VerdictName::NoVerdict, sentence: String::new() }
    }
}

impl Verdict {
    /// Whether a script may go on.
    pub fn passed(&self) -> bool {
        self.code == 0
    }
}
