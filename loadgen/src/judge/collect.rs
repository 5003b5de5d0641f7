//! Recorders of all shards, second by second, merged into one run.
//!
//! Each shard gives its recorder away once a second. A second is closed when every shard has delivered it: then it
//! becomes a row of the result and lines of the histogram log. Recordings that come late still count in the total.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use reports::histogram::LatencyHistogram;
use reports::hlog::HlogWriter;
use reports::schema;

use crate::drive::shard::Interval;
use crate::ground::outcome::Outcome;
use crate::ground::recorder::{Metric, Part, Recorder};

/// Merges recorders as they come.
pub struct Collector {
    /// One for each shard.
    shards: Vec<ShardSum>,
    /// Whether latencies have a response: the open model's have, the closed model's do not.
    part: Part,
    total: Recorder,
    /// By target, where there are several.
    targets: Vec<Recorder>,
    /// Seconds that not every shard has delivered yet.
    open: BTreeMap<u64, Second>,
    rows: Vec<schema::Interval>,
    log: HlogWriter,
}

/// The figures that are shown for each shard.
#[derive(Clone, Debug, Default)]
pub struct ShardSum {
    /// Arrivals that it established.
    pub established: u64,
    /// How late its arrivals began.
    pub lag: LatencyHistogram,
}

/// A whole run's recordings.
pub struct Collected {
    /// Everything that every shard recorded, with the logins before T0.
    pub total: Recorder,
    /// One row per second from T0, without gaps.
    pub rows: Vec<schema::Interval>,
    /// One for each shard, by index.
    pub shards: Vec<ShardSum>,
    /// What was recorded by target, in the scenario's order; empty where there is one alone.
    pub targets: Vec<Recorder>,
    /// The file `run.hlog`.
    pub log: Vec<u8>,
}

#[derive(Default)]
struct Second {
    recorder: Recorder,
    held: u64,
    /// Shards that have delivered it.
    delivered: usize,
}

impl Collector {
    /// For a run over `shards` whose T0 is `started`; `part` is the latency that its rows show.
    pub fn new(shards: usize, started: SystemTime, part: Part) -> Self {
        Self {
            shards: vec![ShardSum::default(); shards],
            part,
            total: Recorder::new(),
            targets: Vec::new(),
            open: BTreeMap::new(),
            rows: Vec::new(),
            log: HlogWriter::new(started),
        }
    }

    /// Adds what was recorded before T0 (logins, tokens per user) to the first second: no log has negative times.
    pub fn prepared(&mut self, recorder: &Recorder) {
        self.open.entry(0).or_default().recorder.merge(recorder);
        self.total.merge(recorder);
    }

    /// Adds one shard's second and closes what is complete.
    pub fn deliver(&mut self, interval: &Interval) {
        if interval.recorders.len() > 1 {
            self.targets.resize_with(interval.recorders.len(), Recorder::new);
            for (target, recorder) in self.targets.iter_mut().zip(&interval.recorders) {
                target.merge(recorder);
            }
        }
        let shard = &mut self.shards[interval.shard];
        let second = self.open.entry(interval.second).or_default();
        for recorder in &interval.recorders {
            self.total.merge(recorder);
            shard.established += recorder.count(Outcome::Established);
            shard.lag.merge(&recorder.handshake_lag());
            second.recorder.merge(recorder);
        }
        second.held += interval.held;
        second.delivered += 1;
        while let Some(entry) = self.open.first_entry()
            && entry.get().delivered >= self.shards.len()
        {
            let (number, second) = entry.remove_entry();
            self.close(number, &second);
        }
    }

    /// Everything so far.
    pub fn total(&self) -> &Recorder {
        &self.total
    }

    /// The seconds that are closed.
    pub fn rows(&self) -> &[schema::Interval] {
        &self.rows
    }

    /// Closes what is still open, complete or not: a partial result is a result.
    pub fn finish(mut self) -> Collected {
        for (number, second) in std::mem::take(&mut self.open) {
            self.close(number, &second);
        }
        Collected {
            total: self.total,
            rows: self.rows,
            shards: self.shards,
            targets: self.targets,
            log: self.log.finish(),
        }
    }

    fn close(&mut self, number: u64, second: &Second) {
        while (self.rows.len() as u64) < number {
            let gap = schema::Interval {
                second: self.rows.len() as u32,
                held: self.rows.last().map_or(0, |row| row.held),
                ..schema::Interval::default()
            };
            self.rows.push(gap);
        }
        for metric in Metric::ALL {
            // Half a millisecond each, seven a second: where a shard has this processor too, its arrivals come first.
            std::thread::yield_now();
            let held = second.recorder.latency(metric, Outcome::Established);
            self.log
                .interval(Duration::from_secs(number), Duration::from_secs(1), metric.tag(), &held)
                .expect("the tags of metrics hold neither commas nor spaces");
        }
        self.rows.push(row(number, second, self.part));
    }
}

fn row(number: u64, second: &Second, part: Part) -> schema::Interval {
    let recorder = &second.recorder;
    let handshake = recorder.latency(Metric::Handshake(part), Outcome::Established);
    let echo = recorder.latency(Metric::Echo(part), Outcome::Established);
    schema::Interval {
        second: number as u32,
        planned: recorder.counters.planned,
        started: recorder.counters.started,
        established: recorder.count(Outcome::Established),
        refused_expected: recorder.count(Outcome::RefusedExpected),
        failed: recorder.ended() - recorder.count(Outcome::Established) - recorder.count(Outcome::RefusedExpected),
        held: second.held,
        echoes: recorder.counters.echoes_answered,
        handshake_p50_us: quantile_us(&handshake, 0.5),
        handshake_p99_us: quantile_us(&handshake, 0.99),
        handshake_max_us: quantile_us(&handshake, 1.0),
        lag_p99_us: quantile_us(&recorder.handshake_lag(), 0.99),
        echo_p50_us: quantile_us(&echo, 0.5),
        echo_p99_us: quantile_us(&echo, 0.99),
        sent_bytes: recorder.counters.sent_bytes,
        received_bytes: recorder.counters.received_bytes,
    }
}

fn quantile_us(held: &LatencyHistogram, quantile: f64) -> Option<f64> {
    (!held.is_empty()).then(|| held.quantile_ns(quantile) as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::outcome::TokenKind;

    fn interval(shard: usize, second: u64, established: u64, held: u64) -> Interval {
        let mut recorder = Recorder::new();
        for _ in 0..established {
            recorder.outcome(Outcome::Established);
            recorder.handshake(Outcome::Established, TokenKind::Valid, 1_000_000, Some(1_000));
        }
        Interval { shard, second, recorders: vec![recorder], held, in_flight: 0 }
    }

    /// `(shard, second, established, held)` each.
    fn collect(shards: usize, intervals: &[(usize, u64, u64, u64)]) -> Collector {
        let mut collector = Collector::new(shards, SystemTime::UNIX_EPOCH, Part::Response);
        for &(shard, second, established, held) in intervals {
            collector.deliver(&interval(shard, second, established, held));
        }
        collector
    }

    #[test]
    fn a_second_is_closed_when_every_shard_has_delivered_it() {
        let (a, b) = (0, 1);
        for (shards, intervals, rows, why) in [
            (1, vec![(a, 0, 1, 1)], 1, "one shard, one second"),
            (2, vec![(a, 0, 1, 1)], 0, "the other shard is missing"),
            (2, vec![(a, 0, 1, 1), (b, 0, 2, 2)], 1, "both are there"),
            (2, vec![(a, 0, 1, 1), (a, 1, 1, 2), (b, 1, 1, 2)], 0, "0 is not closed"),
            (2, vec![(b, 1, 1, 2), (a, 0, 1, 1), (a, 1, 1, 2), (b, 0, 1, 1)], 2, "both close at once"),
        ] {
            assert_eq!(collect(shards, &intervals).rows().len(), rows, "{why}");
        }
    }

    #[test]
    fn rows_add_up_and_have_no_gaps() {
        let collected = collect(1, &[(0, 0, 3, 3), (0, 3, 2, 5)]).finish();
        let rows: Vec<_> = collected.rows.iter().map(|row| (row.second, row.established, row.held)).collect();
        assert_eq!(rows, [(0, 3, 3), (1, 0, 3), (2, 0, 3), (3, 2, 5)]);
        assert_eq!(collected.total.count(Outcome::Established), 5);
        assert_eq!(collected.rows[1].handshake_p50_us, None, "nothing measured");
        assert!(collected.rows[3].handshake_p50_us.unwrap() > 1000.0);
    }

    #[test]
    fn each_shard_has_its_own_sums() {
        let collected = collect(2, &[(0, 0, 3, 3), (1, 0, 2, 2), (0, 1, 1, 4)]).finish();
        let established: Vec<_> = collected.shards.iter().map(|shard| shard.established).collect();
        assert_eq!(established, [4, 2]);
        assert_eq!(collected.shards[0].lag.count(), 4);
    }

    #[test]
    fn an_incomplete_second_is_kept() {
        let collected = collect(2, &[(0, 0, 3, 3)]).finish();
        assert_eq!(collected.rows.len(), 1);
        let log = String::from_utf8(collected.log).unwrap();
        for tag in ["handshake.response", "handshake.service", "handshake.lag"] {
            assert!(log.contains(&format!("Tag={tag},")), "{tag}");
        }
    }

    #[test]
    fn logins_before_the_start_count_in_the_first_second() {
        let mut collector = Collector::new(1, SystemTime::UNIX_EPOCH, Part::Response);
        collector.prepared(&interval(0, 0, 2, 0).recorders[0]);
        collector.deliver(&interval(0, 0, 1, 1));
        assert_eq!(collector.rows()[0].established, 3);
        assert_eq!(collector.total().count(Outcome::Established), 3);
    }
}
