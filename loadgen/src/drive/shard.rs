//! A shard of a run: its part of the arrivals on a thread of its own, and its reports.
//!
//! Of `of` shards, shard `index` has the arrivals whose number leaves `index` when divided by `of`, wherever it runs: on
//! a thread of this process, or in another one, whose reports travel as [`ShardRecord`]s.

mod record;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use reactor::{Clock, Options, Shard, TimeSource};

use crate::drive::engine::{Control, Engine};
use crate::ground::recorder::Recorder;
use crate::plan::arrival::ShardSchedule;
use crate::speak::target::Target;
use crate::spec::LoadSpec;
use crate::tokens::{InvalidTokens, Supply};

pub use record::{
    FailureRecord, IntervalRecord, LatencyRecord, RECORD_VERSION, RecordError, RecorderRecord, RefusalRecord,
    ReportRecord, ShardRecord,
};

/// What one shard is to do. All shards of a run share the scenario, the targets, the clock, the control and the report's
/// receiver.
#[derive(Debug)]
pub struct ShardPlan {
    /// Which shard this is, below `of`.
    pub index: usize,
    /// How many there are.
    pub of: usize,
    /// The load of the whole run.
    pub load: Arc<LoadSpec>,
    /// Where the sockets go, in the scenario's order; at least one.
    pub targets: Vec<Arc<Target>>,
    /// The open model's arrivals of this shard; `None` in the closed model.
    pub arrivals: Option<ShardSchedule>,
    /// Where its valid tokens come from.
    pub supply: Supply,
    /// What is shown in place of a valid token.
    pub invalid: InvalidTokens,
    /// The processor to run on; `None`: the kernel decides.
    pub cpu: Option<usize>,
    /// The run's clock.
    pub clock: Clock,
    /// Says when to start, to stop and to close.
    pub control: Arc<Control>,
    /// Receives what the shard reports.
    pub report: Sender<FromShard>,
}

/// What a shard reports, in this order: intervals, with `ArrivalsDone` once among them, then `Done` as the last.
#[derive(Debug)]
pub enum FromShard {
    /// A second is over, or the run is.
    Interval(Interval),
    /// Every arrival of the shard has its outcome. When all shards have reported that, [`Control::close`] is due.
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
        /// What the kernel said.
        error: io::Error,
    },
    /// A process is gone with all of its shards that were not done; what they reported before counts, and the run is invalid.
    Lost {
        /// Which process, its part of the load, and why, as a sentence.
        error: String,
    },
}

impl FromShard {
    /// Which shard reports it; a lost process has no single one.
    pub fn shard(&self) -> usize {
        match self {
            Self::Interval(interval) => interval.shard,
            Self::ArrivalsDone { shard } | Self::Done { shard, .. } | Self::Broken { shard, .. } => *shard,
            Self::Lost { .. } => usize::MAX,
        }
    }

    /// Whether it is the last report of its shard.
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
    /// The most sockets let in and open at once in it.
    pub held: u64,
    /// Handshakes under way at its end.
    pub in_flight: u32,
}

/// A shard as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardReport {
    /// Arrivals that became due.
    pub planned: u64,
    /// Arrivals that were begun.
    pub started: u64,
    /// When the first began, after T0.
    pub first_start_ns: Option<u64>,
    /// When the last was let in or ended otherwise, after T0.
    pub last_handshake_end_ns: Option<u64>,
    /// Processor time of the shard's thread, from T0 to the end of its last handshake. Pacing is in it: a shard sleeps
    /// until shortly before each planned instant and spins from there.
    pub cpu_ns: u64,
}

/// A running shard.
#[derive(Debug)]
pub struct ShardHandle {
    thread: JoinHandle<()>,
}

/// Starts a shard on a thread of its own and waits until it is ready for [`Control::start`].
///
/// Fails when the thread or its epoll set cannot be made: descriptors, memory or processes have run out.
pub fn spawn(plan: ShardPlan) -> io::Result<ShardHandle> {
    let (ready, is_ready) = mpsc::channel();
    let thread = std::thread::Builder::new().name(format!("shard-{}", plan.index)).spawn(move || run(plan, &ready))?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(ShardHandle { thread }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("a shard ended before it was ready")),
    }
}

impl ShardHandle {
    /// Waits for the shard's end. `false`: it panicked, which is an internal error.
    pub fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

/// Runs a shard on this thread to its end. `ready` receives when it can be started, or why it never will.
pub fn run(plan: ShardPlan, ready: &Sender<io::Result<()>>) {
    let (index, report, control) = (plan.index, plan.report.clone(), plan.control.clone());
    let supply = plan.supply.clone();
    let (answers, answered) = mpsc::channel();
    let (clock, options) = (plan.clock, options(&plan));
    let shard = match Shard::new(Engine::new(plan, answered), clock, options) {
        Ok(shard) => shard,
        Err(error) => {
            // The one who spawned waits for this word, and has not gone.
            let _ = ready.send(Err(error));
            return;
        }
    };
    let waker = shard.waker();
    control.register(move |_| waker.wake());
    if let Some(requests) = supply.requests() {
        let waker = shard.waker();
        requests.connect_shard(index, move |answer| {
            // A shard that has gone does not need it.
            if answers.send(answer).is_ok() {
                waker.wake();
            }
        });
    }
    let _ = ready.send(Ok(()));
    if let Err(error) = shard.run() {
        let _ = report.send(FromShard::Broken { shard: index, error });
    }
}

fn options(plan: &ShardPlan) -> Options {
    Options {
        cpu: plan.cpu,
        // Latencies are measured with the time of each event, not of its batch.
        time: TimeSource::PerEvent,
        ..Options::default()
    }
}
