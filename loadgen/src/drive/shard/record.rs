//! A shard's reports as JSON, in which they travel to another process.
//!
//! Records merge exactly, in any order: counters are sums, and histograms are complete, in HdrHistogram's V2 compressed
//! encoding. No percentile is ever merged.

use std::collections::BTreeMap;
use std::io;

use reports::histogram::{HistogramError, LatencyHistogram};
use serde::{Deserialize, Serialize};

use crate::drive::shard_report::{FromShard, Interval, ShardReport};
use crate::ground::outcome::{Failure, FailureKind, Outcome, TokenKind};
use crate::ground::recorder::{Cause, Metric, Recorder};

/// The version of the records that this program writes and reads.
pub const RECORD_VERSION: u32 = 1;

/// One report of a shard: [`FromShard`], serialised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardRecord {
    /// The figures of one second.
    Interval(IntervalRecord),
    /// Every arrival of the shard has its outcome.
    ArrivalsDone {
        /// Which shard.
        shard: usize,
    },
    /// The shard has ended.
    Done {
        /// Which shard.
        shard: usize,
        /// Its report.
        #[serde(flatten)]
        report: ShardReport,
    },
    /// The shard's loop failed.
    Broken {
        /// Which shard.
        shard: usize,
        /// The kernel's error.
        error: String,
    },
    /// A process ended before its shards were done.
    Lost {
        /// The process, its part of the load, and the reason, as a sentence.
        error: String,
    },
}

/// An [`Interval`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalRecord {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// Which shard.
    pub shard: usize,
    /// Whole seconds after T0.
    pub second: u64,
    /// The most sockets held at once.
    pub held: u64,
    /// Handshakes under way at the end of the second.
    pub in_flight: u32,
    /// One recorder for each target, in the scenario's order; at least one.
    pub targets: Vec<RecorderRecord>,
}

/// A [`Recorder`]. Outcomes and counters that are zero are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecorderRecord {
    /// Arrivals by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// The recorder's counters by name.
    pub counters: BTreeMap<String, u64>,
    /// The number of failures of each phase and kind.
    pub failures: Vec<(Failure, Cause)>,
    /// The number of dropped sockets for each reason.
    pub drops: Vec<(FailureKind, Cause)>,
    /// The number of refusals for each token kind and reason, which is the target's text.
    pub refusals: Vec<(TokenKind, String, u64)>,
    /// Histograms that are not empty.
    pub latencies: Vec<LatencyRecord>,
}

/// The histogram of one metric, outcome and token kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyRecord {
    /// The metric, by its tag in `run.hlog`.
    pub metric: Metric,
    /// How the arrivals ended.
    pub outcome: Outcome,
    /// The kind of token that the arrivals sent.
    pub token_kind: TokenKind,
    /// Durations above [`reports::histogram::LATENCY_NS_MAX`], which the histogram cannot hold.
    #[serde(default)]
    pub over_max: u64,
    /// The histogram in HdrHistogram's V2 compressed encoding, in base64.
    pub hdr: String,
}

/// A record that this program does not understand.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The record has another version.
    #[error("a record of version {0}; this program reads version {RECORD_VERSION}")]
    Version(u32),
    /// There is no counter of this name.
    #[error("{0:?} is not the name of any counter")]
    Counter(String),
    /// A histogram cannot be read.
    #[error("a histogram of {0}: {1}")]
    Histogram(&'static str, #[source] HistogramError),
    /// A second has no recorder.
    #[error("a second without a recorder")]
    Empty,
}

impl From<&FromShard> for ShardRecord {
    fn from(report: &FromShard) -> Self {
        match report {
            FromShard::Interval(interval) => Self::Interval(interval.into()),
            FromShard::ArrivalsDone { shard } => Self::ArrivalsDone { shard: *shard },
            FromShard::Done { shard, report } => Self::Done { shard: *shard, report: *report },
            FromShard::Broken { shard, error } => Self::Broken { shard: *shard, error: error.to_string() },
            FromShard::Lost { error } => Self::Lost { error: error.clone() },
        }
    }
}

impl TryFrom<ShardRecord> for FromShard {
    type Error = RecordError;

    fn try_from(record: ShardRecord) -> Result<Self, RecordError> {
        Ok(match record {
            ShardRecord::Interval(interval) => Self::Interval(interval.try_into()?),
            ShardRecord::ArrivalsDone { shard } => Self::ArrivalsDone { shard },
            ShardRecord::Done { shard, report } => Self::Done { shard, report },
            ShardRecord::Broken { shard, error } => Self::Broken { shard, error: io::Error::other(error) },
            ShardRecord::Lost { error } => Self::Lost { error },
        })
    }
}

impl From<&Interval> for IntervalRecord {
    fn from(interval: &Interval) -> Self {
        Self {
            version: RECORD_VERSION,
            shard: interval.shard,
            second: interval.second,
            held: interval.held,
            in_flight: interval.in_flight,
            targets: interval.recorders.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<IntervalRecord> for Interval {
    type Error = RecordError;

    fn try_from(record: IntervalRecord) -> Result<Self, RecordError> {
        if record.version != RECORD_VERSION {
            return Err(RecordError::Version(record.version));
        }
        if record.targets.is_empty() {
            return Err(RecordError::Empty);
        }
        let recorders = record.targets.into_iter().map(TryInto::try_into);
        Ok(Self {
            shard: record.shard,
            second: record.second,
            recorders: recorders.collect::<Result<_, _>>()?,
            held: record.held,
            in_flight: record.in_flight,
        })
    }
}

impl From<&Recorder> for RecorderRecord {
    fn from(recorder: &Recorder) -> Self {
        let mut counters = recorder.counters;
        let counters = counters.each_mut().map(|(name, count)| (name.to_owned(), *count));
        let refusals = recorder.refusal_reasons().map(|(kind, reason, count)| (kind, reason.to_owned(), count));
        let latencies = recorder.latencies().map(|(metric, outcome, token_kind, held)| LatencyRecord {
            metric,
            outcome,
            token_kind,
            over_max: held.over_max(),
            hdr: held.to_base64(),
        });
        Self {
            outcomes: Outcome::ALL
                .map(|outcome| (outcome, recorder.count(outcome)))
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .collect(),
            counters: counters.into_iter().filter(|(_, count)| *count > 0).collect(),
            failures: recorder.failure_causes().map(|(failure, cause)| (failure, cause.clone())).collect(),
            drops: recorder.drop_causes().map(|(kind, cause)| (kind, cause.clone())).collect(),
            refusals: refusals.collect(),
            latencies: latencies.collect(),
        }
    }
}

impl TryFrom<RecorderRecord> for Recorder {
    type Error = RecordError;

    fn try_from(record: RecorderRecord) -> Result<Self, RecordError> {
        let mut recorder = Self::new();
        for (outcome, count) in record.outcomes {
            recorder.add_outcomes(outcome, count);
        }
        for (name, count) in record.counters {
            let mut counters = recorder.counters.each_mut().into_iter();
            let counter = counters.find(|(known, _)| **known == *name);
            let (_, counter) = counter.ok_or(RecordError::Counter(name))?;
            *counter = count;
        }
        for (failure, cause) in record.failures {
            recorder.add_failures(failure, &cause);
        }
        for (kind, cause) in record.drops {
            recorder.add_drops(kind, &cause);
        }
        for (kind, reason, count) in record.refusals {
            recorder.add_refusals(kind, &reason, count);
        }
        for LatencyRecord { metric, outcome, token_kind, over_max, hdr } in record.latencies {
            let held = LatencyHistogram::from_parts(&hdr, over_max)
                .map_err(|error| RecordError::Histogram(metric.tag(), error))?;
            recorder.add_latencies(metric, outcome, token_kind, &held);
        }
        Ok(recorder)
    }
}

#[cfg(test)]
mod tests;
