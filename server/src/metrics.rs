//! The gate's counters, one set per shard without a lock, rendered in Prometheus' text format.
//!
//! Every accepted connection ends in exactly one [`Outcome`], and so does every session that began by polling, beside
//! the connections that carried it, so that the counters add up:
//!
//! ```text
//! connections_accepted + polling_sessions = sum(handshakes) + handshakes still under way
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
    /// Fresh counters for `shards` shards.
    pub fn new(shards: usize) -> Self {
        Self { shards: (0..shards).map(|_| Arc::default()).collect(), keys: Arc::default() }
    }

    /// The same, beside those of the gate's keys.
    #[must_use]
    pub fn with_keys(mut self, keys: Arc<KeyCounters>) -> Self {
        self.keys = keys;
        self
    }

    /// The counters that shard `index` writes; shards are numbered from 0.
    pub fn shards(&self) -> &[Arc<ShardMetrics>] {
        &self.shards
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    pub fn render(&self) -> String {
        render::text(&self.shards, self.keys.counts(), process::read())
    }
}

/// The page of a parent process, which has children in place of shards: its own cost, and how often it restarted a
/// child.
pub fn of_parent(restarts: u64) -> String {
    render::parent(restarts, process::read())
}
