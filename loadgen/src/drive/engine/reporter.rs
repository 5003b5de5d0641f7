//! Sends a shard's reports: an interval each second, the end of its arrivals, and its own end.

use std::sync::mpsc::Sender;

use rustix::time::{ClockId, clock_gettime};

use crate::drive::shard_report::{FromShard, Interval, ShardReport};
use crate::ground::recorder::Recorder;
use crate::ground::time::{RunInstant, ShardInstant, timespec_ns};

/// Intervals are whole seconds after T0.
const INTERVAL_NS: u64 = 1_000_000_000;

/// Counts what a shard reports about itself, and sends it.
pub struct Reporter {
    shard: usize,
    to: Sender<FromShard>,
    /// When the running interval ends.
    due: RunInstant,
    /// Of the whole run.
    planned: u64,
    started: u64,
    first_start: Option<ShardInstant>,
    last_end: Option<ShardInstant>,
    /// The most sockets held at once since the running interval began.
    held_max: u64,
    /// The thread's processor time at T0, and when its last handshake had ended.
    cpu_begin_ns: Option<u64>,
    cpu_end_ns: Option<u64>,
    is_decided: bool,
}

impl Reporter {
    pub fn new(shard: usize, to: Sender<FromShard>) -> Self {
        Self {
            shard,
            to,
            due: RunInstant::from_ns(INTERVAL_NS),
            planned: 0,
            started: 0,
            first_start: None,
            last_end: None,
            held_max: 0,
            cpu_begin_ns: None,
            cpu_end_ns: None,
            is_decided: false,
        }
    }

    /// T0 has come.
    pub fn begin(&mut self) {
        self.cpu_begin_ns.get_or_insert_with(thread_cpu_ns);
    }

    /// An arrival has its outcome.
    pub fn handshake(&mut self, started: ShardInstant, end: ShardInstant) {
        self.first_start = Some(self.first_start.unwrap_or(ShardInstant::NEVER).min(started));
        self.last_end = self.last_end.max(Some(end));
    }

    /// The number of held sockets has risen to this.
    pub fn held(&mut self, held: u64) {
        self.held_max = self.held_max.max(held);
    }

    /// The last handshake of this shard has ended.
    pub fn last_handshake_ended(&mut self) {
        self.cpu_end_ns.get_or_insert_with(thread_cpu_ns);
    }

    /// Every arrival has its outcome.
    pub fn decided(&mut self) {
        if !self.is_decided {
            self.is_decided = true;
            self.send(FromShard::ArrivalsDone { shard: self.shard });
        }
    }

    /// When the running interval ends.
    pub fn due(&self) -> RunInstant {
        self.due
    }

    /// Sends the interval that was due by `now`, with the recorder of each target. A shard that is late sends one for all
    /// intervals that it missed.
    pub fn interval(&mut self, now: RunInstant, recorders: Vec<Recorder>, held: u64, in_flight: u32) {
        let second = self.due.as_ns() / INTERVAL_NS - 1;
        self.due = RunInstant::from_ns((now.as_ns() / INTERVAL_NS + 1) * INTERVAL_NS);
        self.send_interval(second, recorders, held, in_flight);
    }

    /// Sends the last interval and the shard's own report. `t0` is `None` if the load was stopped before it.
    pub fn finish(&mut self, now: RunInstant, recorders: Vec<Recorder>, t0: Option<ShardInstant>) {
        self.begin();
        self.last_handshake_ended();
        self.decided();
        self.send_interval(now.as_ns() / INTERVAL_NS, recorders, 0, 0);
        let (begin_ns, end_ns) = (self.cpu_begin_ns, self.cpu_end_ns);
        let after_t0 = |instant: ShardInstant| t0.map_or(0, |t0| instant - t0);
        self.send(FromShard::Done {
            shard: self.shard,
            report: ShardReport {
                planned: self.planned,
                started: self.started,
                first_start_ns: self.first_start.map(after_t0),
                last_handshake_end_ns: self.last_end.map(after_t0),
                cpu_ns: end_ns.unwrap_or_default().saturating_sub(begin_ns.unwrap_or_default()),
            },
        });
    }

    fn send_interval(&mut self, second: u64, recorders: Vec<Recorder>, held: u64, in_flight: u32) {
        for recorder in &recorders {
            self.planned += recorder.counters.planned;
            self.started += recorder.counters.started;
        }
        let held_max = std::mem::replace(&mut self.held_max, held).max(held);
        self.send(FromShard::Interval(Interval { shard: self.shard, second, recorders, held: held_max, in_flight }));
    }

    fn send(&self, message: FromShard) {
        // The receiver is dropped only when the run is abandoned.
        let _ = self.to.send(message);
    }
}

/// Processor time of this thread, in nanoseconds.
fn thread_cpu_ns() -> u64 {
    timespec_ns(clock_gettime(ClockId::ThreadCPUTime))
}
