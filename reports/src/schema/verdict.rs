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
    /// What was seen, in `unit`. Absent: infinitely slow (so many arrivals failed that the percentile is one of
    /// them), or nothing was measured; both fail.
    #[serde(default)]
    pub observed: Option<f64>,
    /// The unit of `observed`.
    pub unit: Unit,
    /// Whether it holds.
    pub pass: bool,
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
