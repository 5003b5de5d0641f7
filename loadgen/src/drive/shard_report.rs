//! The reports of a shard: an interval each second, the end of its arrivals, and the shard's own end.

use std::io;

use serde::{Deserialize, Serialize};

use crate::ground::recorder::Recorder;

/// A report of a shard. A shard sends intervals, `ArrivalsDone` once between them, and `Done` at the end.
#[derive(Debug)]
pub enum FromShard {
    /// A second or the run is over.
    Interval(Interval),
    /// Every arrival of the shard has its outcome. When all shards have sent it, call
    /// [`Control::close`](crate::drive::control::Control::close).
    ArrivalsDone {
        /// Which shard.
        shard: usize,
    },
    /// The shard has closed its last socket and ends.
    Done {
        /// Which shard.
        shard: usize,
        /// The totals of the shard.
        report: ShardReport,
    },
    /// The event loop failed, which is no fault of the target: figures not reported yet are lost, and the run is invalid.
    Broken {
        /// Which shard.
        shard: usize,
        /// The error of the kernel.
        error: io::Error,
    },
    /// A process ended before its shards were done. Their earlier reports count, and the run is invalid.
    Lost {
        /// The process, its part of the load, and the reason, as a sentence.
        error: String,
    },
}

impl FromShard {
    /// The shard that sent it; `usize::MAX` for a lost process.
    pub fn shard(&self) -> usize {
        match self {
            Self::Interval(interval) => interval.shard,
            Self::ArrivalsDone { shard } | Self::Done { shard, .. } | Self::Broken { shard, .. } => *shard,
            Self::Lost { .. } => usize::MAX,
        }
    }

    /// Whether this is the last report of its shard.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Broken { .. })
    }
}

/// The figures of one second of a shard. A shard that is late sends one interval for all seconds that it missed.
#[derive(Debug)]
pub struct Interval {
    /// Which shard.
    pub shard: usize,
    /// The start of the interval, in whole seconds after T0.
    pub second: u64,
    /// One recorder for each target; at least one.
    pub recorders: Vec<Recorder>,
    /// The most sockets held at once in the interval.
    pub held: u64,
    /// Handshakes under way at the end of the interval.
    pub in_flight: u32,
}

/// The totals of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardReport {
    /// Arrivals that became due.
    pub planned: u64,
    /// Arrivals that were started.
    pub started: u64,
    /// When the first arrival started, after T0.
    pub first_start_ns: Option<u64>,
    /// When the last handshake ended, after T0.
    pub last_handshake_end_ns: Option<u64>,
    /// Processor time of the shard's thread, from T0 to the end of its last handshake. Pacing is included: a shard sleeps
    /// until shortly before each planned instant, then spins.
    pub cpu_ns: u64,
}
