//! The work of one shard.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use reactor::Clock;

use crate::drive::control::Control;
use crate::drive::shard_report::FromShard;
use crate::plan::arrival::ShardSchedule;
use crate::speak::target::Target;
use crate::spec::LoadSpec;
use crate::tokens::{InvalidTokens, Supply};

/// The work of one shard. All shards of a run share the scenario, the targets, the clock, the control and the report's
/// receiver.
#[derive(Debug)]
pub struct ShardPlan {
    /// The index of the shard, below `of`.
    pub index: usize,
    /// The number of shards in the run.
    pub of: usize,
    /// The load.
    pub load: Arc<LoadSpec>,
    /// The targets, in the scenario's order; at least one.
    pub targets: Vec<Arc<Target>>,
    /// The open model's arrivals of this shard; `None` in the closed model.
    pub arrivals: Option<ShardSchedule>,
    /// The source of valid tokens.
    pub supply: Supply,
    /// The invalid tokens.
    pub invalid: InvalidTokens,
    /// The processor to run on; `None`: the kernel decides.
    pub cpu: Option<usize>,
    /// The run's clock.
    pub clock: Clock,
    /// Signals to start, to stop and to close.
    pub control: Arc<Control>,
    /// Receives the shard's reports.
    pub report: Sender<FromShard>,
}
