//! A shard of a run: its part of the arrivals, on a thread of its own.
//!
//! Shard `index` of `of` has the arrivals `j` with `j mod of == index`. A shard runs on a thread of this process or of
//! another one, whose reports are sent as [`ShardRecord`]s.

mod record;

use std::io;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use reactor::{Options, Shard, TimeSource};

use crate::drive::engine::Engine;

pub use crate::drive::shard_plan::ShardPlan;
pub use crate::drive::shard_report::{FromShard, Interval, ShardReport};
pub use record::{IntervalRecord, LatencyRecord, RECORD_VERSION, RecordError, RecorderRecord, ShardRecord};

/// A running shard.
#[derive(Debug)]
pub struct ShardHandle {
    thread: JoinHandle<()>,
}

/// Starts a shard on a thread of its own and waits until it is ready for [`Control::start`](crate::drive::control::Control::start).
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
    /// Waits until the shard has ended. `false`: its thread panicked, which is an internal error.
    pub fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

/// Runs a shard on this thread until it ends. `ready` receives one message: the shard waits for T0, or why it cannot.
pub fn run(plan: ShardPlan, ready: &Sender<io::Result<()>>) {
    let (index, report, control) = (plan.index, plan.report.clone(), plan.control.clone());
    let supply = plan.supply.clone();
    let (answers, answered) = mpsc::channel();
    let (clock, options) = (plan.clock, options(&plan));
    let shard = match Shard::new(Engine::new(plan, answered), clock, options) {
        Ok(shard) => shard,
        Err(error) => {
            // The spawning thread waits for this message.
            let _ = ready.send(Err(error));
            return;
        }
    };
    let waker = shard.waker();
    control.register(move |_| waker.wake());
    if let Some(requests) = supply.requests() {
        let waker = shard.waker();
        requests.connect_shard(index, move |answer| {
            // A shard that has ended needs no answer.
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
