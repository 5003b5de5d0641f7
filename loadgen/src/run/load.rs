//! The load itself: its shards are started together, their reports received to the end, and held sockets closed in time.

use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use reactor::Clock;

use crate::drive::shard::{FromShard, Interval, ShardReport};
use crate::ground::outcome::Outcome;
use crate::ground::recorder::Part;
use crate::ground::time::ShardInstant;
use crate::judge::collect::Collector;
use crate::plan::arrival::Schedule;
use crate::plan::hold::Hold;
use crate::run::context::RunContext;
use crate::run::error::RunError;
use crate::run::live::Now;
use crate::run::observe::{Observer, Snapshot, Watch};
use crate::run::plan::{LoadPlan, Loaded};
use crate::run::second::Seconds;
use crate::run::shards::Shards;

/// From the last shard's readiness to T0: each has to wake up and to look at its first arrival.
const LEAD: Duration = Duration::from_millis(50);

/// Runs the load to its end, or to a signal's.
pub fn run(context: &RunContext, plan: &LoadPlan<'_>) -> Result<Loaded, RunError> {
    let load = &plan.load;
    let schedule = Schedule::new(&load.model, load.connections, load.duration, load.seed);
    let metrics = plan.server.metrics().map(|metrics| metrics.watch());
    let metrics = metrics.transpose()?;
    let clock = Clock::start();
    let (report, reports) = mpsc::channel();
    let shards = Shards::start(context, plan, &schedule, clock, report)?;
    let observer = Observer { generator: shards.pids(), ..plan.server.observer() };

    let start = observer.snapshot();
    let t0 = ShardInstant::now(&clock) + LEAD.as_nanos() as u64;
    let started_at = SystemTime::now() + LEAD;
    context.control.start(t0);
    let seconds = Seconds::begin(plan, schedule.as_ref(), start.generator.as_ref());
    let mut receiver = ReportReceiver::new(context, plan, observer, seconds, started_at, metrics);
    receiver.receive(&reports);
    let duration = Duration::from_nanos(ShardInstant::now(&clock) - t0);
    receiver.broken.extend(shards.end());
    Ok(receiver.finish(start, started_at, duration))
}

/// Receives what the shards report.
struct ReportReceiver<'a> {
    context: &'a RunContext,
    plan: &'a LoadPlan<'a>,
    observer: Observer,
    collector: Collector,
    seconds: Seconds,
    shards: Vec<(ShardReport, Option<usize>)>,
    broken: Vec<String>,
    /// Shards that still have arrivals to decide.
    undecided: usize,
    /// By shard: the sockets held and the handshakes under way that it reported last.
    now: Vec<(u64, u64)>,
    end: Option<Snapshot>,
    peak: Option<(Snapshot, u64)>,
    metrics: Option<Watch>,
}

impl<'a> ReportReceiver<'a> {
    fn new(
        context: &'a RunContext,
        plan: &'a LoadPlan<'a>,
        observer: Observer,
        seconds: Seconds,
        started_at: SystemTime,
        metrics: Option<Watch>,
    ) -> Self {
        let shards = plan.load.shards();
        let part = if plan.load.model.is_planned() { Part::Response } else { Part::Service };
        let mut collector = Collector::new(shards, started_at, part);
        collector.prepared(&plan.prepared.recorder);
        Self {
            context,
            plan,
            observer,
            collector,
            seconds,
            shards: (0..shards).map(|index| (ShardReport::default(), context.share.shard_cpu(index))).collect(),
            broken: Vec::new(),
            undecided: shards,
            now: vec![(0, 0); shards],
            end: None,
            peak: None,
            metrics,
        }
    }

    fn receive(&mut self, reports: &mpsc::Receiver<FromShard>) {
        for message in reports {
            match message {
                FromShard::Interval(interval) => self.interval(&interval),
                FromShard::ArrivalsDone { .. } => self.decided(),
                FromShard::Done { shard, report } => self.shards[shard].0 = report,
                FromShard::Broken { shard, error } => {
                    self.broken.push(format!("shard {shard}: {error}"));
                    // What the others measure is a part of the schedule alone.
                    self.context.control.stop();
                }
                FromShard::Lost { error } => {
                    self.broken.push(error);
                    self.context.control.stop();
                }
            }
        }
    }

    fn interval(&mut self, interval: &Interval) {
        self.now[interval.shard] = (interval.held, u64::from(interval.in_flight));
        let closed = self.collector.rows().len();
        self.collector.deliver(interval);
        if self.collector.rows().len() > closed {
            self.second_closed();
        }
    }

    fn second_closed(&mut self) {
        let (held, in_flight) = self.now.iter().fold((0, 0), |sum, now| (sum.0 + now.0, sum.1 + now.1));
        if self.peak.as_ref().is_none_or(|(_, most)| held > *most) {
            self.peak = Some((self.snapshot(), held));
        }
        if self.context.progress.wants_figures() {
            let generator = self.observer.generator();
            let now = self.seconds.now(self.context, self.plan, &self.collector, generator.as_ref(), &self.broken);
            self.context.progress.tick(Now { in_flight, held, ..now });
        }
    }

    /// A shard's arrivals all have their outcome; when every shard's have, what is held may be closed.
    fn decided(&mut self) {
        self.undecided = self.undecided.saturating_sub(1);
        if self.undecided == 0 {
            self.end = Some(self.snapshot());
            // Sockets are held until the server has reported what it spent.
            if let Some(metrics) = &mut self.metrics {
                metrics.end();
            }
            self.context.control.close();
        }
    }

    fn snapshot(&self) -> Snapshot {
        self.observer.snapshot()
    }

    fn finish(self, start: Snapshot, started_at: SystemTime, duration: Duration) -> Loaded {
        let end = self.end.unwrap_or_else(|| self.observer.snapshot());
        let collected = self.collector.finish();
        let total = &collected.total;
        // Held until the end: then the end of the last handshake is when most are, between two seconds.
        let held_at_end = total.count(Outcome::Established).saturating_sub(total.counters.dropped);
        let at_end = self.plan.load.hold == Hold::UntilEnd;
        let peak = match self.peak {
            Some((snapshot, held)) if !at_end || held > held_at_end => (snapshot, held),
            _ if at_end => (end.clone(), held_at_end),
            _ => (end.clone(), 0),
        };
        Loaded {
            collected,
            shards: self.shards,
            broken: self.broken,
            started_at,
            duration,
            start,
            end,
            peak,
            control: None,
            metrics: self.metrics.map(Watch::finish),
        }
    }
}
