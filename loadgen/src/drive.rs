//! Making the load: the engine of a shard, its thread, and the processes that share a run.

pub mod engine;
pub mod processes;
pub mod shard;
