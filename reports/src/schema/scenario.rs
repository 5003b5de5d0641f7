//! What was asked of a run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{Expected, Phase, TokenKind};

/// What was asked, as resolved from flags, files and defaults; secrets and tokens are never part of it.
///
/// A field is absent where it has no meaning for this run (no `rate_per_s` in the closed model, no `token_ttl_s` for
/// tokens that never expire).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Scenario {
    /// The URL that sockets were opened to, without its query; of several targets all, with commas between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Each of several targets; empty where there is one alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<AskedTarget>,
    /// Whether the target was this program's own server.
    pub embedded: bool,
    /// `socketio` or `websocket`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Engine.IO's version, 3 or 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eio: Option<u32>,
    /// `websocket`, `polling` or `upgrade`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// The namespace of Socket.IO that was joined, where it is not the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The path of the handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Sockets to open in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Open model: arrivals per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<f64>,
    /// Open model: `uniform`, `poisson` or the name of a file of instants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<String>,
    /// Closed model: handshakes in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    /// Arrivals end then, where that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
    /// Arrivals thrown away before the measured part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_s: Option<f64>,
    /// How long a socket stays, as asked: `end`, `0s`, `30s`, or a distribution such as `exponential:30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// How it was left then: `disconnect`, `frame`, `fin` or `reset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close: Option<String>,
    /// Messages per socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub echo: Option<u64>,
    /// What answers a message: `any`, `echo`, `ack`, or `none` where they go one way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
    /// Messages per second and socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_rate_per_s: Option<f64>,
    /// Bytes of a message's payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_bytes: Option<u64>,
    /// The Socket.IO event of a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_event: Option<String>,
    /// What a whole handshake may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
    /// What its TCP connection may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout_s: Option<f64>,
    /// How long a raw WebSocket must survive its 101 to count as accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_grace_s: Option<f64>,
    /// Close codes that refuse a token within that time, as asked; absent where they are the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<String>,
    /// Users who log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<u64>,
    /// Where they log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_url: Option<String>,
    /// `basic`, `form` or `json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_method: Option<String>,
    /// Where their tokens come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_url: Option<String>,
    /// The requests of a login that the scenario describes step by step, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<AskedStep>,
    /// `login`, `mint` or `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_source: Option<String>,
    /// A token for each `connection`, or for each `user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_per: Option<String>,
    /// Where the token travels, such as `query:token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_in: Option<String>,
    /// Lifetime of a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_ttl_s: Option<f64>,
    /// The algorithm of tokens minted here, as RFC 7518 names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_alg: Option<String>,
    /// When a token was made anew, such as `ahead:5s` or `on-refusal`; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
    /// How soon after its token's `exp` a socket was to be closed by the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_at_exp_s: Option<f64>,
    /// Weights of the token kinds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mix: BTreeMap<TokenKind, f64>,
    /// What is expected of a token kind, where it is not the usual.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub expect: BTreeMap<TokenKind, Expected>,
    /// Source addresses, as asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
    /// Processes that made the load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// Shards of the generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// `auto` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// The seed of schedules and choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Certificate authorities that were trusted beside the machine's own: their file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cacert: Option<String>,
    /// Whether sockets took up the TLS sessions of earlier ones: `on` or `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_resumption: Option<String>,
    /// Whether the target's certificate went unchecked.
    pub insecure: bool,
}

/// One of several targets, as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AskedTarget {
    /// As the scenario names it, or its URL where it has no name.
    pub name: String,
    /// Without its query.
    pub url: String,
    /// Its share of the arrivals is this over the sum of all weights.
    pub weight: f64,
    /// The path of its handshakes, without its query.
    pub path: String,
}

/// One request of a login, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskedStep {
    /// `login` for each user before the run, `token` for each token.
    pub phase: Phase,
    /// As the scenario names it.
    pub name: String,
    /// Of its request.
    pub method: String,
    /// As the scenario writes it, without its query and with its gaps.
    pub url: String,
}
