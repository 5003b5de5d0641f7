//! What a shard reports: an interval each second, the end of its arrivals, and its own end.

use std::io;

use crate::ground::recorder::Recorder;

/// A message of a shard. Its order: intervals, with `ArrivalsDone` once among them, then `Done`.
#[derive(Debug)]
pub enum FromShard {
    /// A second is over, or the run is.
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
        /// About the whole of it.
        report: ShardReport,
    },
    /// The loop itself failed, which is no fault of the target: what was not reported yet is lost, and the run is invalid.
    Broken {
        /// Which shard.
        shard: usize,
        /// The error of the kernel.
        error: io::Error,
    },
    /// A process is gone with all of its shards that were not done; their earlier reports count, and the run is invalid.
    Lost {
        /// Which process, its part of the load, and why, as a sentence.
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

    /// Whether it is the last message of its shard.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Broken { .. })
    }
}

/// What happened in one second of a shard. The first to begin after a longer silence holds all that happened in it.
#[derive(Debug)]
pub struct Interval {
    /// Which shard.
    pub shard: usize,
    /// Whole seconds after T0 at which it begins.
    pub second: u64,
    /// What was recorded in it, by target; at least one.
    pub recorders: Vec<Recorder>,
    /// The most sockets held at once in it.
    pub held: u64,
    /// Handshakes under way at its end.
    pub in_flight: u32,
}

/// A shard as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardReport {
    /// Arrivals that became due.
    pub planned: u64,
    /// Arrivals that were started.
    pub started: u64,
    /// When the first began, after T0.
    pub first_start_ns: Option<u64>,
    /// When the last handshake ended, after T0.
    pub last_handshake_end_ns: Option<u64>,
    /// Processor time of the shard's thread, from T0 to the end of its last handshake. Pacing is included: a shard sleeps
    /// until shortly before each planned instant, then spins.
    pub cpu_ns: u64,
}
