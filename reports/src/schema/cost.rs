//! What a run cost: the server, the machine, the generator itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the server spent from T0 to the end of the last handshake.
///
/// On loopback the kernel does the receiver's network work in the sender's context, so a process's own processor
/// time understates what it costs: read it beside [`Machine::cpu_share`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Server {
    /// Where the figures come from: `embedded`, `pid` or `metrics`.
    pub source: String,
    /// Processor time in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<f64>,
    /// Processor time for each handshake that was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_handshake: Option<f64>,
    /// Part of the processors that it may run on, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_share: Option<f64>,
    /// Resident memory before the first arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes_idle: Option<u64>,
    /// Resident memory with the most sockets held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes_peak: Option<u64>,
    /// Resident memory that each held socket added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes_per_connection: Option<f64>,
    /// Kernel memory (slab and TCP pages) that each held socket added, both ends together on loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_bytes_per_connection: Option<f64>,
    /// Open sockets before the first arrival, by the metric that was named for them: `process_open_fds`, unless it was
    /// said otherwise, counts all descriptors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_sockets_idle: Option<u64>,
    /// The same with the most sockets held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_sockets_peak: Option<u64>,
    /// A reading each second, where they come from the server's own metrics.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<ServerSample>,
    /// What could not be read of the server's metrics, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Processor time by thread, where it could be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<Thread>,
    /// The frontend's share, kept apart from the gate's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontend: Option<Frontend>,
}

/// A server's metrics at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServerSample {
    /// Seconds after the first reading, which is made just before T0.
    pub at_s: f64,
    /// Processor time since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<f64>,
    /// Resident memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<u64>,
    /// Open sockets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_sockets: Option<u64>,
}

/// The processor time of one thread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Thread {
    /// As the kernel knows it (`comm`).
    pub name: String,
    /// Processor time.
    pub cpu_us: f64,
}

/// What the frontend spent on logins and tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Frontend {
    /// Processor time, from before the first login to the end of the last handshake.
    pub cpu_us: f64,
    /// Resident memory at its highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_bytes_peak: Option<u64>,
}

/// The whole machine: generator, server, kernel and every other process.
///
/// It is the most that any of three shows: the kernel's ticks, which overlook what runs between two of them; its
/// accounting of control groups, which does not, where this program may read it; and what generator and server used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Part of all processors that was busy, 0 to 1.
    pub cpu_share: f64,
}

/// What the load itself spent, and how well it kept its schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Generator {
    /// Processor time of the engine's threads for each handshake that was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_handshake: Option<f64>,
    /// Part of the processors that it may run on, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_share: Option<f64>,
    /// What of it was spent waiting in a spin for planned instants, so that arrivals begin on time: no work, and left out
    /// where the generator is judged by its processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spin_share: Option<f64>,
    /// 99 % of the starts were at most this late; absent in the closed model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_p99_us: Option<f64>,
    /// Resident memory at its highest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes_peak: Option<u64>,
}
