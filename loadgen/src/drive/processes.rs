//! A run over several processes (`--processes`), for more sockets than one may have descriptors.
//!
//! Each process is a shard `i / N` of the one schedule: arrival `j` belongs to process `j mod N`. The run parses, checks,
//! logs in and judges; its processes are this program again, told over their standard input what to do, and telling over
//! their standard output what they measure, as mergeable [`ShardRecord`](crate::drive::shard::ShardRecord)s. Tokens are made in
//! the run, so that users log in once. T0 is an instant of the machine's monotonic clock, which all of them share.
//!
//! Nothing here knows how a socket is opened, or what a figure means.

mod group;
mod job;
mod member;
mod words;

pub use group::{Group, GroupError, MEMBER_COMMAND, Setting};
pub use job::{Common, Job, JobError, shard_index};
pub use member::run;

/// More processes than this hold more sockets than a machine does; and so few that a single late one stands in the 99th
/// percentile of all.
pub const PROCESSES_MAX: usize = 64;
