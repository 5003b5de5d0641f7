//! Runs the engine's shards against a server of a test, and collects what they report.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gatecrash::drive::control::Control;
use gatecrash::drive::shard::{FromShard, ShardHandle, ShardPlan, ShardReport, spawn};
use gatecrash::ground::outcome::{Failure, Outcome};
use gatecrash::ground::recorder::{Metric, Recorder};
use gatecrash::ground::time::ShardInstant;
use gatecrash::plan::arrival::Schedule;
use gatecrash::plan::hold::Hold;
use gatecrash::plan::mix::Mix;
use gatecrash::plan::model::{Arrivals, Model};
use gatecrash::speak::target::Target;
use gatecrash::spec::{
    AnsweredBy, Close, Echo, LoadSpec, Pin, Protocol, Refresh, TargetSpec, Targets, TokenIn, Transport,
};
use gatecrash::tokens::{InvalidTokens, Supply};
use reactor::Clock;
use reports::histogram::LatencyHistogram;

/// A run that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Raw WebSockets in the open model at 1,000/s, without messages. Each test changes the fields that it is about.
pub fn load(connections: u64) -> LoadSpec {
    LoadSpec {
        protocol: Protocol::WebSocket,
        transport: Transport::WebSocket,
        namespace: "/".into(),
        model: open(1000.0),
        connections: Some(connections),
        warmup: Duration::ZERO,
        duration: None,
        hold: Hold::UntilEnd,
        close: Close::Disconnect,
        echo: Echo { count: 0, rate_per_s: None, bytes: 32, event: "echo".into(), answered_by: AnsweredBy::Any },
        timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(30),
        auth_grace: Duration::from_millis(20),
        refused_by: Default::default(),
        mix: Mix::default(),
        token_in: TokenIn::Query("token".into()),
        refresh: Refresh::Never,
        close_at_exp: None,
        targets: at("/ws"),
        source_ips: Default::default(),
        tls: Default::default(),
        processes: 1,
        workers: 2,
        pin: Pin::None,
        seed: 1,
    }
}

/// One target with this path.
pub fn at(path: &str) -> Targets {
    Targets::new(vec![TargetSpec { name: String::new(), weight: 1.0, path: path.into(), headers: Vec::new() }], 1)
}

/// The open model with uniform arrivals.
pub fn open(rate_per_s: f64) -> Model {
    Model::Open { rate_per_s, arrivals: Arrivals::Uniform }
}

/// A run in progress.
pub struct Run {
    /// Stops the run and closes its sockets.
    pub control: Arc<Control>,
    /// T0 of the schedule.
    pub t0: Instant,
    reports: Receiver<FromShard>,
    shards: Vec<ShardHandle>,
}

/// The figures of a finished run.
#[derive(Debug)]
pub struct Measured {
    /// The figures of all shards.
    pub recorder: Recorder,
    /// The report of each shard.
    pub reports: Vec<ShardReport>,
    /// The most sockets that were held at the end of an interval.
    pub held_max: u64,
}

/// A target at this address, without TLS.
pub fn target(addr: SocketAddr) -> Target {
    Target { addrs: vec![addr], host: addr.to_string(), tls: None, sources: Default::default() }
}

/// The same token for every arrival.
pub fn supply() -> Supply {
    Supply::Ready(Arc::from([Arc::from("a.b.c")]))
}

/// Starts a run; T0 is now.
pub fn start(load: LoadSpec, target: Target, supply: Supply) -> Run {
    let clock = Clock::start();
    let control = Arc::new(Control::new());
    let (report, reports) = channel();
    let schedule = Schedule::new(&load.model, load.connections, load.duration, load.seed);
    let of = load.workers;
    let (load, target) = (Arc::new(load), Arc::new(target));
    let shards = (0..of)
        .map(|index| {
            spawn(ShardPlan {
                index,
                of,
                load: load.clone(),
                targets: vec![target.clone()],
                arrivals: schedule.as_ref().map(|schedule| schedule.shard(index, of)),
                supply: supply.clone(),
                invalid: InvalidTokens::default(),
                cpu: None,
                clock,
                control: control.clone(),
                report: report.clone(),
            })
            .unwrap()
        })
        .collect();
    let t0 = Instant::now();
    control.start(ShardInstant::now(&clock));
    Run { t0, control, reports, shards }
}

/// Runs a load to its end, with ready tokens.
pub fn run(load: LoadSpec, addr: SocketAddr) -> Measured {
    start(load, target(addr), supply()).finish()
}

/// Runs a load to its end. Every arrival must end in `outcome`.
#[track_caller]
pub fn run_all(load: LoadSpec, addr: SocketAddr, outcome: Outcome, why: &str) -> Measured {
    let connections = load.connections.expect("tests limit their connections");
    let measured = run(load, addr);
    measured.assert_outcomes(&[(outcome, connections)], why);
    measured
}

impl Run {
    /// Receives reports to the end, and closes the held sockets once every arrival is decided.
    pub fn finish(self) -> Measured {
        let of = self.shards.len();
        let mut measured = Measured { recorder: Recorder::new(), reports: Vec::new(), held_max: 0 };
        let mut held = vec![0; of];
        let mut decided = 0;
        while measured.reports.len() < of {
            match self.reports.recv_timeout(PATIENCE).expect("the run goes on") {
                FromShard::Interval(interval) => {
                    for recorder in &interval.recorders {
                        measured.recorder.merge(recorder);
                    }
                    held[interval.shard] = interval.held;
                    measured.held_max = measured.held_max.max(held.iter().sum());
                }
                FromShard::ArrivalsDone { .. } => {
                    decided += 1;
                    if decided == of {
                        self.control.close();
                    }
                }
                FromShard::Done { report, .. } => measured.reports.push(report),
                FromShard::Broken { shard, error } => panic!("shard {shard} broke: {error}"),
                FromShard::Lost { error } => panic!("lost: {error}"),
            }
        }
        for shard in self.shards {
            assert!(shard.join(), "a shard panicked");
        }
        measured
    }
}

impl Measured {
    /// Asserts that the run has these outcomes and no others, and that the totals agree with them.
    #[track_caller]
    pub fn assert_outcomes(&self, expected: &[(Outcome, u64)], why: &str) {
        let counts: Vec<(Outcome, u64)> = Outcome::ALL
            .into_iter()
            .map(|outcome| (outcome, self.recorder.count(outcome)))
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(counts, expected, "{why}: {:?}", self.failures());
        let planned: u64 = self.reports.iter().map(|report| report.planned).sum();
        let started: u64 = self.reports.iter().map(|report| report.started).sum();
        assert_eq!(planned, self.recorder.ended(), "{why}: planned = the sum of the outcomes");
        let not_sent = self.recorder.count(Outcome::NotSent);
        assert_eq!(started, planned - not_sent, "{why}: started = all but not_sent");
    }

    /// Each failure with its count.
    pub fn failures(&self) -> Vec<(Failure, u64)> {
        self.recorder.failures().collect()
    }

    /// The latencies of established arrivals by `metric`.
    pub fn established(&self, metric: Metric) -> LatencyHistogram {
        self.recorder.latency(metric, Outcome::Established)
    }
}
