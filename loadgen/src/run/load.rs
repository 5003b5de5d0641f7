//! The load itself: shards are started together, listened to until the last has ended, and told when to close.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, SystemTime};

use reactor::Clock;

use crate::drive::shard::{FromShard, Interval, ShardReport};
use crate::ground::outcome::Outcome;
use crate::ground::recorder::{Part, Recorder};
use crate::ground::time::ShardInstant;
use crate::judge::collect::{Collected, Collector};
use crate::plan::arrival::Schedule;
use crate::run::live::Now;
use crate::run::observe::{Observer, ProcessSample, Readings, Snapshot, Watch};
use crate::run::second::Seconds;
use crate::run::server::Server;
use crate::run::shards::Shards;
use crate::run::{Rig, RunError};
use crate::speak::target::Target;
use crate::spec::Scenario;
use crate::tokens::Prepared;

/// From the last shard's readiness to T0: each has to wake up and to look at its first arrival.
const LEAD: Duration = Duration::from_millis(50);

/// Everything that the load needs to be known before it.
pub struct LoadPlan<'a> {
    /// What was asked, settled.
    pub scenario: Arc<Scenario>,
    /// Where the sockets go, in the scenario's order.
    pub targets: Vec<Arc<Target>>,
    /// The tokens, and what getting them took.
    pub prepared: Prepared,
    /// Whose processes are read.
    pub server: &'a Server,
    /// Its figures are thrown away.
    pub warming_up: bool,
}

impl LoadPlan<'_> {
    /// The same plan for a warm-up by another scenario; what was recorded before T0 stays with this one.
    pub fn with(&self, scenario: Scenario) -> Self {
        Self {
            scenario: Arc::new(scenario),
            targets: self.targets.clone(),
            prepared: Prepared {
                supply: self.prepared.supply.clone(),
                bad: self.prepared.bad.clone(),
                recorder: Recorder::new(),
                steps: self.prepared.steps.clone(),
            },
            server: self.server,
            warming_up: true,
        }
    }
}

/// What the load came to.
pub struct Loaded {
    /// What was recorded.
    pub collected: Collected,
    /// Each shard's own report, by index, and the processor it was pinned to.
    pub shards: Vec<(ShardReport, Option<usize>)>,
    /// Shards whose loop broke, each with what the kernel said.
    pub broken: Vec<String>,
    /// T0.
    pub started_at: SystemTime,
    /// From T0 to the end of the last socket.
    pub duration: Duration,
    /// The processes at T0.
    pub start: Snapshot,
    /// When every handshake had ended.
    pub end: Snapshot,
    /// When the most sockets were held, and how many that were.
    pub peak: (Snapshot, u64),
    /// What the server's own metrics said, where they were asked for.
    pub metrics: Option<Readings>,
}

/// Runs the load to its end, or to a signal's.
pub fn run(rig: &Rig, plan: &LoadPlan<'_>) -> Result<Loaded, RunError> {
    let scenario = &plan.scenario;
    let schedule = Schedule::new(&scenario.load, scenario.connections, scenario.duration, scenario.seed);
    let metrics = plan.server.metrics().map(|metrics| metrics.watch());
    let metrics = metrics.transpose()?;
    let clock = Clock::start();
    let (report, reports) = mpsc::channel();
    let shards = Shards::start(rig, plan, &schedule, clock, report)?;
    let observer = Observer { generator: shards.pids(), ..plan.server.observer() };

    let start = observer.snapshot();
    let t0 = ShardInstant::now(&clock) + LEAD.as_nanos() as u64;
    let started_at = SystemTime::now() + LEAD;
    rig.control.start(t0);
    let mut listener =
        Listener::new(rig, plan, observer, schedule.as_ref(), started_at, start.generator.as_ref(), metrics);
    listener.listen(&reports);
    let duration = Duration::from_nanos(ShardInstant::now(&clock) - t0);
    listener.broken.extend(shards.end());
    Ok(listener.finish(start, started_at, duration))
}

/// Hears what the shards tell.
struct Listener<'a> {
    rig: &'a Rig,
    plan: &'a LoadPlan<'a>,
    observer: Observer,
    collector: Collector,
    seconds: Seconds,
    shards: Vec<(ShardReport, Option<usize>)>,
    broken: Vec<String>,
    /// Shards that still have arrivals to decide.
    undecided: usize,
    /// By shard: its last word on sockets held and handshakes under way.
    now: Vec<(u64, u64)>,
    end: Option<Snapshot>,
    peak: Option<(Snapshot, u64)>,
    metrics: Option<Watch>,
}

impl<'a> Listener<'a> {
    fn new(
        rig: &'a Rig,
        plan: &'a LoadPlan<'a>,
        observer: Observer,
        schedule: Option<&Schedule>,
        started_at: SystemTime,
        generator: Option<&ProcessSample>,
        metrics: Option<Watch>,
    ) -> Self {
        let scenario = &plan.scenario;
        let part = if scenario.load.is_planned() { Part::Response } else { Part::Service };
        let mut collector = Collector::new(scenario.shards(), started_at, part);
        collector.prepared(&plan.prepared.recorder);
        Self {
            rig,
            plan,
            observer,
            collector,
            seconds: Seconds::begin(plan, schedule, generator),
            shards: (0..scenario.shards()).map(|index| (ShardReport::default(), rig.share.shard_cpu(index))).collect(),
            broken: Vec::new(),
            undecided: scenario.shards(),
            now: vec![(0, 0); scenario.shards()],
            end: None,
            peak: None,
            metrics,
        }
    }

    fn listen(&mut self, reports: &Receiver<FromShard>) {
        for message in reports {
            match message {
                FromShard::Interval(interval) => self.interval(&interval),
                FromShard::ArrivalsDone { .. } => self.decided(),
                FromShard::Done { shard, report } => self.shards[shard].0 = report,
                FromShard::Broken { shard, error } => {
                    self.broken.push(format!("shard {shard}: {error}"));
                    // What the others measure is a part of the schedule alone.
                    self.rig.control.stop();
                }
                FromShard::Lost { error } => {
                    self.broken.push(error);
                    self.rig.control.stop();
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
        if self.rig.progress.wants_figures() {
            let generator = self.observer.generator();
            let now = self.seconds.now(self.rig, self.plan, &self.collector, generator.as_ref(), &self.broken);
            self.rig.progress.tick(Now { in_flight, held, ..now });
        }
    }

    /// A shard's arrivals all have their outcome; when every shard's have, what is held may be closed.
    fn decided(&mut self) {
        self.undecided = self.undecided.saturating_sub(1);
        if self.undecided == 0 {
            self.end = Some(self.snapshot());
            // What is held is held until the server has told what it spent.
            if let Some(metrics) = &mut self.metrics {
                metrics.end();
            }
            self.rig.control.close();
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
        let at_end = self.plan.scenario.hold == crate::spec::Hold::UntilEnd;
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
            metrics: self.metrics.map(Watch::finish),
        }
    }
}
