//! The settings of a shard, the same for the whole load.

use std::sync::Arc;
use std::time::Duration;

use crate::ground::outcome::{Outcome, TokenKind};
use crate::spec::LoadSpec;

/// The load's settings, durations in nanoseconds.
#[derive(Debug)]
pub struct Settings {
    /// The index of the shard among all.
    pub shard: usize,
    /// The load.
    pub spec: Arc<LoadSpec>,
    /// The most that a handshake, an answer to a message or a POST may take.
    pub handshake_ns: u64,
    /// The most that a TCP connection may take.
    pub connect_ns: u64,
    /// How long a raw WebSocket must stay open after its 101 to count as established.
    pub grace_ns: u64,
    /// Between two planned messages of a socket.
    pub message_gap_ns: Option<f64>,
    /// Whether arrivals have planned instants.
    pub is_planned: bool,
}

impl Settings {
    /// The settings of one shard.
    pub fn new(shard: usize, spec: Arc<LoadSpec>) -> Self {
        Self {
            shard,
            handshake_ns: duration_ns(spec.timeout),
            connect_ns: duration_ns(spec.connect_timeout),
            grace_ns: duration_ns(spec.auth_grace),
            message_gap_ns: spec.echo.rate_per_s.map(|rate_per_s| 1e9 / rate_per_s),
            is_planned: spec.model.is_planned(),
            spec,
        }
    }

    /// The index of an arrival's target.
    pub fn target_of(&self, number: u64) -> u8 {
        // A load has at most `TARGETS_MAX` targets, fewer than 256.
        self.spec.targets.index_for(number) as u8
    }

    /// The outcome of an arrival whose token was accepted.
    pub fn when_accepted(&self, kind: TokenKind) -> Outcome {
        self.spec.mix.expected(kind).when_accepted()
    }
}

/// A duration in nanoseconds, at most 584 years.
pub fn duration_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
