//! The shards of a load: threads of this process, or of several that it starts.

use std::sync::mpsc::Sender;

use reactor::Clock;

use crate::drive::processes::{Common, Group, Job, Setting};
use crate::drive::shard::{FromShard, ShardHandle, ShardPlan, spawn};
use crate::plan::arrival::Schedule;
use crate::run::load::LoadPlan;
use crate::run::{Rig, RunError};

/// Shards that wait for T0 or are at work.
pub enum Shards {
    /// Of this process.
    Threads(Vec<ShardHandle>),
    /// Of others.
    Processes(Group),
}

impl Shards {
    /// Starts all shards of a load and waits until they are ready. They hold the only senders of reports: when the last has
    /// ended, so has the listening.
    pub fn start(
        rig: &Rig,
        plan: &LoadPlan<'_>,
        schedule: &Option<Schedule>,
        clock: Clock,
        report: Sender<FromShard>,
    ) -> Result<Self, RunError> {
        let scenario = &plan.scenario;
        if scenario.processes > 1 {
            let common =
                Common { scenario, urls: plan.server.urls(), targets: &plan.targets, prepared: &plan.prepared };
            let setting =
                Setting { control: &rig.control, requests: plan.prepared.supply.requests(), clock, report: &report };
            let jobs = Job::all(common, |shard| rig.share.shard_cpu(shard));
            return Ok(Self::Processes(Group::start(jobs, setting)?));
        }
        let mut handles = Vec::new();
        for index in 0..scenario.workers {
            let handle = spawn(ShardPlan {
                index,
                of: scenario.workers,
                scenario: scenario.clone(),
                targets: plan.targets.clone(),
                arrivals: schedule.as_ref().map(|schedule| schedule.shard(index, scenario.workers)),
                supply: plan.prepared.supply.clone(),
                bad: plan.prepared.bad.clone(),
                cpu: rig.share.shard_cpu(index),
                clock,
                control: rig.control.clone(),
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

    /// Waits for the ends of all that have told their last word; what ended badly without telling, as sentences.
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
