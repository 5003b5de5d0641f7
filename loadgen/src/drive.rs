//! Makes the load: the engine of a shard, its thread, and the processes that share a run.

pub mod control;
pub mod shard_plan;
pub mod shard_report;

pub mod engine;
pub mod shard;

pub mod processes;
