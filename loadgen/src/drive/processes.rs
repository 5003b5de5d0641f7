//! A run over several processes (`--processes`), for more sockets than one process may have descriptors.
//!
//! Arrival `j` of the one schedule belongs to process `j mod N`. The run parses, checks,
//! logs in and judges; its processes are this program again, which receive the load over their standard input and send
//! what they measure over their standard output, as mergeable [`ShardRecord`](crate::drive::shard::ShardRecord)s. Tokens
//! are made in the run, so that users log in once. T0 is an instant of the machine's monotonic clock, which all of them
//! share.
//!
//! Nothing here knows how a socket is opened, or what a figure means.

mod group;
mod job;
mod member;
mod protocol;

pub use group::{Group, GroupError, GroupSetting, MEMBER_COMMAND};
pub use job::{Job, JobError, Tokens, shard_index};
pub use member::run;
