//! What a shard tells of itself: an interval each second, the end of its arrivals, and its own end.

use std::sync::mpsc::Sender;

use rustix::time::{ClockId, clock_gettime};

use crate::drive::shard::{FromShard, Interval, ShardReport};
use crate::ground::recorder::Recorder;

/// Intervals are whole seconds after T0.
const INTERVAL_NS: u64 = 1_000_000_000;

/// Sends a shard's messages, each at its time.
pub struct Reporter {
    shard: usize,
    to: Sender<FromShard>,
    /// When the running interval ends, after T0.
    due_ns: u64,
    /// Of the whole run.
    planned: u64,
    started: u64,
    first_start_ns: Option<u64>,
    last_end_ns: Option<u64>,
    /// The most sockets held at once since the running interval began.
    held_max: u64,
    /// The thread's processor time at T0, and when its last handshake had ended.
    cpu_begin_ns: Option<u64>,
    cpu_end_ns: Option<u64>,
    decided: bool,
}

impl Reporter {
    pub fn new(shard: usize, to: Sender<FromShard>) -> Self {
        Self {
            shard,
            to,
            due_ns: INTERVAL_NS,
            planned: 0,
            started: 0,
            first_start_ns: None,
            last_end_ns: None,
            held_max: 0,
            cpu_begin_ns: None,
            cpu_end_ns: None,
            decided: false,
        }
    }

    /// T0 has come.
    pub fn begin(&mut self) {
        self.cpu_begin_ns.get_or_insert_with(thread_cpu_ns);
    }

    /// An arrival was decided, which began and ended at these instants of the clock.
    pub fn handshake(&mut self, started_ns: u64, end_ns: u64) {
        self.first_start_ns = Some(self.first_start_ns.unwrap_or(u64::MAX).min(started_ns));
        self.last_end_ns = self.last_end_ns.max(Some(end_ns));
    }

    /// So many sockets are held now.
    pub fn held(&mut self, held: u64) {
        self.held_max = self.held_max.max(held);
    }

    /// No handshake of this shard is under way any more, and none will be.
    pub fn last_handshake_ended(&mut self) {
        self.cpu_end_ns.get_or_insert_with(thread_cpu_ns);
    }

    /// Every arrival has its outcome.
    pub fn decided(&mut self) {
        if !self.decided {
            self.decided = true;
            self.tell(FromShard::ArrivalsDone { shard: self.shard });
        }
    }

    /// When the running interval ends, after T0.
    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Sends the interval that was due by `offset_ns`, with what was recorded in it by target. A shard that was late
    /// sends one for all that it missed.
    pub fn interval(&mut self, offset_ns: u64, recorders: Vec<Recorder>, held: u64, in_flight: u32) {
        let second = self.due_ns / INTERVAL_NS - 1;
        self.due_ns = (offset_ns / INTERVAL_NS + 1) * INTERVAL_NS;
        self.send(second, recorders, held, in_flight);
    }

    /// Sends what is left, and the shard's own report.
    pub fn finish(&mut self, offset_ns: u64, recorders: Vec<Recorder>, t0_ns: u64) {
        self.begin();
        self.last_handshake_ended();
        self.decided();
        self.send(offset_ns / INTERVAL_NS, recorders, 0, 0);
        let (begin_ns, end_ns) = (self.cpu_begin_ns, self.cpu_end_ns);
        let after_t0 = |at_ns: u64| at_ns.saturating_sub(t0_ns);
        self.tell(FromShard::Done {
            shard: self.shard,
            report: ShardReport {
                planned: self.planned,
                started: self.started,
                first_start_ns: self.first_start_ns.map(after_t0),
                last_handshake_end_ns: self.last_end_ns.map(after_t0),
                cpu_ns: end_ns.unwrap_or_default().saturating_sub(begin_ns.unwrap_or_default()),
            },
        });
    }

    fn send(&mut self, second: u64, recorders: Vec<Recorder>, held: u64, in_flight: u32) {
        for recorder in &recorders {
            self.planned += recorder.counters.planned;
            self.started += recorder.counters.started;
        }
        let held_max = std::mem::replace(&mut self.held_max, held).max(held);
        self.tell(FromShard::Interval(Interval { shard: self.shard, second, recorders, held: held_max, in_flight }));
    }

    fn tell(&self, message: FromShard) {
        // Nobody listens any more: the run is being given up, and nothing is lost that anyone wants.
        let _ = self.to.send(message);
    }
}

/// Processor time of this thread, in nanoseconds.
fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}
