//! The result of a run: what `result.json` holds, and all that a renderer may show.
//!
//! Every path is a contract with scripts that gate on it. Fields may be added; none changes its name, unit or
//! meaning under the same [`SCHEMA`]. The unit ends the name; shares are 0 to 1; an absent optional field was not
//! measured, which is never the same as zero. The types are plain data: the recorder fills them, the renderers
//! format them, and neither arithmetic nor text lives here.

mod cost;
mod latency;
mod names;
mod parts;
mod scenario;
mod sockets;
mod tokens;
mod totals;
mod verdict;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cost::{Frontend, Generator, Machine, Server, ServerSample, Thread};
pub use latency::{Distribution, Latencies, PhaseLatencies};
pub use names::{Expected, Outcome, Phase, PhaseName, TokenKind, VerdictName};
pub use parts::{Step, Target};
pub use scenario::{AskedStep, AskedTarget, Scenario};
pub use sockets::{Drop, Sockets};
pub use tokens::{AtExp, Tokens};
pub use totals::{Control, Failure, Messages, Rates, Refusal, Totals};
pub use verdict::{Absent, Threshold, Unit, Validity, Verdict};

/// The name and major version of this format, the value of [`RunResult::schema`].
pub const SCHEMA: &str = "gatecrash.result/1";

/// Everything that one run measured, and its verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Which command made this result.
    pub kind: Kind,
    /// The program that made it.
    pub tool: Tool,
    /// The machine that the load came from.
    pub environment: Environment,
    /// What was asked, without its secrets.
    pub scenario: Scenario,
    /// When the first arrival was planned (T0), in RFC 3339, UTC.
    pub started_at: String,
    /// From T0 to the end of the last socket, in seconds.
    pub duration_s: f64,
    /// Every planned arrival, in exactly one outcome.
    pub totals: Totals,
    /// The rate of the schedule, and what was reached of it from T0 to the end of the last handshake.
    pub rates: Rates,
    /// Latencies by phase; a phase that never happened is absent.
    pub phases: BTreeMap<PhaseName, PhaseLatencies>,
    /// What went wrong, by phase and kind, most frequent first.
    pub failures: Vec<Failure>,
    /// What the target refused, by token kind and reason, most frequent first.
    pub refusals: Vec<Refusal>,
    /// Handshakes without any token, made after a run with false accepts; they are in no other figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// What became of the sockets.
    #[serde(default)]
    pub sockets: Sockets,
    /// The life of the tokens.
    #[serde(default)]
    pub tokens: Tokens,
    /// Messages over established sockets; absent where none was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Messages>,
    /// What became of each step of a login that the scenario describes; empty where it describes none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Each target's part, in the order of the scenario; empty where there is one target alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// What the server spent; absent where it could not be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// The whole machine, generator and server and kernel together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// What the load itself spent, and how well it kept its schedule.
    pub generator: Generator,
    /// Whether these figures may be trusted.
    pub validity: Validity,
    /// Each expression that was asked, in the order of asking.
    pub thresholds: Vec<Threshold>,
    /// The exit code and its reason.
    pub verdict: Verdict,
    /// The generator's shards, by index.
    pub shards: Vec<Shard>,
    /// One row per second from T0, without gaps.
    pub intervals: Vec<Interval>,
}

/// Which command made a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One run of one scenario.
    #[default]
    Run,
    /// A search for the highest load that meets an objective.
    Capacity,
    /// Sockets held, dropped all at once, and measured on their way back.
    Storm,
    /// Two results held against each other.
    Compare,
}

/// The program that made a result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// The release, as `gatecrash --version` prints it.
    pub version: String,
}

/// The machine that the load came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// As `/proc/cpuinfo` names it.
    pub cpu_model: String,
    /// Processors that this program may run on.
    pub cores: u32,
    /// Kernel name and release.
    pub kernel: String,
    /// Physical memory.
    pub memory_bytes: u64,
    /// File descriptors that one process may open (the soft limit, after it was raised).
    pub fd_limit: u64,
}

/// One shard of the generator: a thread with its share of the schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shard {
    /// From 0.
    pub index: u32,
    /// The process that it was in, from 0; absent where there was one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<u32>,
    /// Arrivals of the schedule that fell to it.
    pub planned: u64,
    /// Arrivals that it began.
    pub started: u64,
    /// Arrivals that it established.
    pub established: u64,
    /// 99 % of its starts were at most this late; absent in the closed model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_p99_us: Option<f64>,
    /// Processor time of its thread, T0 to the end of the last handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<f64>,
    /// The processor that it was pinned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_core: Option<u32>,
}

/// What happened in one second: `second` to `second + 1` after T0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Whole seconds after T0 at which it begins.
    pub second: u32,
    /// Arrivals that were due in it.
    pub planned: u64,
    /// Arrivals that began in it.
    pub started: u64,
    /// Arrivals that were established in it.
    pub established: u64,
    /// Arrivals that were refused in it as expected.
    pub refused_expected: u64,
    /// Arrivals that ended in it any other way.
    pub failed: u64,
    /// The most sockets open at once in it, added up over the shards.
    pub held: u64,
    /// Echoes answered in it.
    pub echoes: u64,
    /// Median handshake among those established in it: response in the open model, service in the closed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake_p50_us: Option<f64>,
    /// The same at the 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake_p99_us: Option<f64>,
    /// The slowest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake_max_us: Option<f64>,
    /// 99 % of the starts in it were at most this late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_p99_us: Option<f64>,
    /// Median echo answered in it: response in the open model, service in the closed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo_p50_us: Option<f64>,
    /// The same at the 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo_p99_us: Option<f64>,
    /// Bytes written to the target's sockets.
    pub sent_bytes: u64,
    /// Bytes read from them.
    pub received_bytes: u64,
}
