//! The gate's counters, one set per shard without a lock, rendered in Prometheus' text format.
//!
//! Every accepted connection has exactly one [`Outcome`], and so has every session that began by polling, in addition
//! to the connections that carried it. Therefore the counters add up:
//!
//! ```text
//! connections_accepted + polling_sessions = sum(handshakes) + handshakes in progress
//! handshakes{outcome="established"} = sum(sessions_ended) + sessions_open
//! ```

mod counter;
mod histogram;
mod outcome;
mod process;
mod render;
mod shard;

use std::sync::Arc;

use crate::keys::KeyCounters;
pub use counter::Counter;
pub use histogram::Histogram;
pub use outcome::{End, Limit, Outcome, Phase, Unanswered};
pub use shard::{ShardMetrics, TIMED_EVERY};

/// The counters of all shards of a gate.
#[derive(Clone, Debug)]
pub struct Metrics {
    shards: Arc<[Arc<ShardMetrics>]>,
    keys: Arc<KeyCounters>,
}

impl Metrics {
    /// Counters of 0 for `shards` shards.
    pub fn new(shards: usize) -> Self {
        Self { shards: (0..shards).map(|_| Arc::default()).collect(), keys: Arc::default() }
    }

    /// The same with the counters of the gate's keys.
    #[must_use]
    pub fn with_keys(mut self, keys: Arc<KeyCounters>) -> Self {
        self.keys = keys;
        self
    }

    /// The counters of each shard, by its index from 0.
    pub fn shards(&self) -> &[Arc<ShardMetrics>] {
        &self.shards
    }

    /// All counters in Prometheus' text format, version 0.0.4.
    pub fn render(&self) -> String {
        render::text(&self.shards, self.keys.counts(), process::read())
    }
}

/// The page of a parent process, which has children in place of shards: its resource use, and how often it restarted a
/// child.
pub fn of_parent(restarts: u64) -> String {
    render::parent(restarts, process::read())
}
