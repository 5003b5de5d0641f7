//! How the arrivals of a run ended, and how fast.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{Outcome, Phase, TokenKind};

/// Every planned arrival, in exactly one outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Arrivals that the schedule held: the sum of the eight outcomes.
    pub planned: u64,
    /// Arrivals whose connection was begun: all but `not_sent`.
    pub started: u64,
    /// Accepted, as was expected.
    pub established: u64,
    /// Refused, as was expected of their token.
    pub refused_expected: u64,
    /// Accepted although the token should have been refused.
    pub false_accept: u64,
    /// Refused although the token should have been accepted.
    pub false_reject: u64,
    /// Not decided within the handshake's timeout.
    pub timeout: u64,
    /// Broken before they were decided: see [`RunResult::failures`](crate::schema::RunResult::failures).
    pub failed: u64,
    /// Not decided yet when the run was stopped.
    pub interrupted: u64,
    /// Planned but never begun.
    pub not_sent: u64,
}

impl Totals {
    /// How many arrivals ended in `outcome`.
    pub fn count(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Established => self.established,
            Outcome::RefusedExpected => self.refused_expected,
            Outcome::FalseAccept => self.false_accept,
            Outcome::FalseReject => self.false_reject,
            Outcome::Timeout => self.timeout,
            Outcome::Failed => self.failed,
            Outcome::Interrupted => self.interrupted,
            Outcome::NotSent => self.not_sent,
        }
    }

    /// Every outcome with its count, in the order in which they are shown.
    pub fn outcomes(&self) -> [(Outcome, u64); Outcome::ALL.len()] {
        Outcome::ALL.map(|outcome| (outcome, self.count(outcome)))
    }
}

/// Arrivals per second from T0 to the end of the last handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rates {
    /// What the schedule asked for; in the closed model, what was begun.
    pub planned_per_s: f64,
    /// What the target accepted.
    pub established_per_s: f64,
}

/// Handshakes without any token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Control {
    /// How many were made.
    pub handshakes: u64,
    /// How many the target accepted.
    pub accepted: u64,
}

/// How often one kind of failure met one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The phase that broke.
    pub phase: Phase,
    /// `dns`, `refused`, `reset`, `timeout`, `tls`,
    /// `certificate-<fault>`, `http-<status>`, `protocol`, `closed-<code>`, `redirect`, `body`.
    pub kind: String,
    /// Arrivals.
    pub count: u64,
    /// What the first of them met, in the words of the target, the kernel or the rule that was broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}

/// How often the target refused one kind of token for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// The kind of token that was shown.
    pub token_kind: TokenKind,
    /// The reason that the target gave.
    pub reason: String,
    /// Arrivals.
    pub count: u64,
}

/// Messages over established sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Messages {
    /// Messages that were sent.
    pub sent: u64,
    /// Those that were answered; their latency is that of the phase `echo`.
    pub answered: u64,
    /// Those without an answer in time, or whose socket was lost before; zero where messages go one way.
    pub unanswered: u64,
}
