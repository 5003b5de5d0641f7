//! The shards of a load: threads of this process, or of several that it starts.

use std::sync::mpsc::Sender;

use reactor::Clock;

use crate::drive::processes::{Group, GroupSetting, Job, Tokens};
use crate::drive::shard::{FromShard, ShardHandle, ShardPlan, spawn};
use crate::plan::arrival::Schedule;
use crate::run::context::RunContext;
use crate::run::error::RunError;
use crate::run::plan::LoadPlan;

/// Shards that wait for T0 or are at work.
pub enum Shards {
    /// Of this process.
    Threads(Vec<ShardHandle>),
    /// Of others.
    Processes(Group),
}

impl Shards {
    /// Starts all shards of a load and waits until they are ready. They hold the only senders of reports: when the last has
    /// ended, the receiver ends.
    pub fn start(
        context: &RunContext,
        plan: &LoadPlan<'_>,
        schedule: &Option<Schedule>,
        clock: Clock,
        report: Sender<FromShard>,
    ) -> Result<Self, RunError> {
        let load = &plan.load;
        if load.processes > 1 {
            let setting = GroupSetting {
                control: &context.control,
                requests: plan.prepared.supply.requests(),
                clock,
                tokens: Tokens::of(&plan.prepared),
                report: &report,
            };
            let jobs = Job::all(load, plan.server.urls(), &plan.targets, |shard| context.share.shard_cpu(shard));
            return Ok(Self::Processes(Group::start(jobs, setting)?));
        }
        let mut handles = Vec::new();
        for index in 0..load.workers {
            let handle = spawn(ShardPlan {
                index,
                of: load.workers,
                load: load.clone(),
                targets: plan.targets.clone(),
                arrivals: schedule.as_ref().map(|schedule| schedule.shard(index, load.workers)),
                supply: plan.prepared.supply.clone(),
                invalid: plan.prepared.invalid.clone(),
                cpu: context.share.shard_cpu(index),
                clock,
                control: context.control.clone(),
                report: report.clone(),
            });
            handles.push(handle.map_err(RunError::Start)?);
        }
        Ok(Self::Threads(handles))
    }

    /// The processes beside this one that they run in.
    pub fn pids(&self) -> Vec<u32> {
        match self {
            Self::Threads(_) => Vec::new(),
            Self::Processes(group) => group.pids(),
        }
    }

    /// Waits until all shards have ended; returns a sentence for each that panicked.
    pub fn end(self) -> Vec<String> {
        match self {
            Self::Threads(handles) => {
                let ended = handles.into_iter().enumerate();
                ended
                    .filter_map(|(index, handle)| (!handle.join()).then(|| format!("shard {index} panicked")))
                    .collect()
            }
            Self::Processes(group) => {
                group.end();
                Vec::new()
            }
        }
    }
}
