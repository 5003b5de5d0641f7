//! What a shard reports, as it travels to another process or machine, or lies in a file: the result of a part of a run.
//!
//! A record is JSON. Histograms are whole, in HdrHistogram's V2 compressed encoding, and counters are sums, so that
//! records merge exactly, in any order: counts and buckets add up, and no percentile is ever merged.

use std::collections::BTreeMap;
use std::io;

use reports::histogram::{HistogramError, LatencyHistogram};
use serde::{Deserialize, Serialize};

use crate::drive::shard_report::{FromShard, Interval, ShardReport};
use crate::ground::outcome::{Failure, FailureKind, Outcome, Phase, TokenKind};
use crate::ground::recorder::{Cause, Metric, Recorder};

/// Of the records that this program writes and reads; another release may know others.
pub const RECORD_VERSION: u32 = 1;

/// One report of a shard: [`FromShard`], serialised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardRecord {
    /// What was recorded in a second.
    Interval(IntervalRecord),
    /// Every arrival of the shard has its outcome.
    ArrivalsDone {
        /// Which shard.
        shard: usize,
    },
    /// The shard has ended.
    Done(ReportRecord),
    /// Its loop failed.
    Broken {
        /// Which shard.
        shard: usize,
        /// What the kernel said.
        error: String,
    },
    /// Several shards are gone with their process or machine.
    Lost {
        /// Which, and why.
        error: String,
    },
}

/// A second of a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalRecord {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// Which shard.
    pub shard: usize,
    /// Whole seconds after T0.
    pub second: u64,
    /// The most sockets that were held at once.
    pub held: u64,
    /// Handshakes under way at its end.
    pub in_flight: u32,
    /// What was recorded, by target in the scenario's order; at least one.
    pub targets: Vec<RecorderRecord>,
}

/// A [`Recorder`]. What is zero or empty is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecorderRecord {
    /// Arrivals by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Plain sums by name.
    pub counters: BTreeMap<String, u64>,
    /// What broke.
    pub failures: Vec<FailureRecord>,
    /// Why sockets were dropped.
    pub drops: Vec<DropRecord>,
    /// What was refused.
    pub refusals: Vec<RefusalRecord>,
    /// What was timed.
    pub latencies: Vec<LatencyRecord>,
}

/// Failures of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// Where.
    pub phase: String,
    /// How.
    pub kind: String,
    /// How often.
    pub count: u64,
    /// The words of the first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}

/// Sockets that the target dropped for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DropRecord {
    /// How they ended.
    pub kind: String,
    /// How often.
    pub count: u64,
    /// The words of the first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}

/// Refusals for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusalRecord {
    /// Of which tokens.
    pub token_kind: String,
    /// As the target gave it.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// Durations of one metric, outcome and token kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyRecord {
    /// By its tag in `run.hlog`.
    pub metric: String,
    /// How the arrivals ended.
    pub outcome: String,
    /// What they showed.
    pub token_kind: String,
    /// Durations above [`reports::histogram::LATENCY_NS_MAX`], which the histogram has no place for.
    #[serde(default)]
    pub over_max: u64,
    /// V2 compressed, in base64.
    pub hdr: String,
}

/// A shard as a whole: [`ShardReport`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportRecord {
    /// Which shard.
    pub shard: usize,
    /// Arrivals that became due.
    pub planned: u64,
    /// Arrivals that were begun.
    pub started: u64,
    /// After T0.
    pub first_start_ns: Option<u64>,
    /// After T0.
    pub last_handshake_end_ns: Option<u64>,
    /// Of its thread.
    pub cpu_ns: u64,
}

/// A record that this program does not understand.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is of another release.
    #[error("a record of version {0}; this program reads version {RECORD_VERSION}")]
    Version(u32),
    /// A name that stands for nothing.
    #[error("{0:?} is not the name of any {1}")]
    Name(String, &'static str),
    /// A histogram cannot be read.
    #[error("a histogram of {0}: {1}")]
    Histogram(String, #[source] HistogramError),
    /// A second in which nothing was recorded for any target.
    #[error("a second without a recorder")]
    Empty,
}

impl From<&FromShard> for ShardRecord {
    fn from(report: &FromShard) -> Self {
        match report {
            FromShard::Interval(interval) => Self::Interval(interval.into()),
            FromShard::ArrivalsDone { shard } => Self::ArrivalsDone { shard: *shard },
            FromShard::Done { shard, report } => Self::Done(ReportRecord {
                shard: *shard,
                planned: report.planned,
                started: report.started,
                first_start_ns: report.first_start_ns,
                last_handshake_end_ns: report.last_handshake_end_ns,
                cpu_ns: report.cpu_ns,
            }),
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
            ShardRecord::Done(report) => Self::Done {
                shard: report.shard,
                report: ShardReport {
                    planned: report.planned,
                    started: report.started,
                    first_start_ns: report.first_start_ns,
                    last_handshake_end_ns: report.last_handshake_end_ns,
                    cpu_ns: report.cpu_ns,
                },
            },
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
        let counted = |(name, count): (&str, u64)| (count > 0).then(|| (name.to_owned(), count));
        let outcomes = Outcome::ALL.map(|outcome| (outcome.as_str(), recorder.count(outcome)));
        let mut counters = recorder.counters;
        let counters = counters.each_mut().map(|(name, count)| (name, *count));
        let failures = recorder.failure_causes().map(|(failure, cause)| FailureRecord {
            phase: failure.phase.as_str().to_owned(),
            kind: failure.kind.to_string(),
            count: cause.count,
            words: cause.words.clone(),
        });
        let drops = recorder.drop_causes().map(|(kind, cause)| DropRecord {
            kind: kind.to_string(),
            count: cause.count,
            words: cause.words.clone(),
        });
        let refusals = recorder.refusal_reasons().map(|(kind, reason, count)| RefusalRecord {
            token_kind: kind.as_str().to_owned(),
            reason: reason.to_owned(),
            count,
        });
        let latencies = recorder.latencies().map(|(metric, outcome, kind, held)| LatencyRecord {
            metric: metric.tag().to_owned(),
            outcome: outcome.as_str().to_owned(),
            token_kind: kind.as_str().to_owned(),
            over_max: held.over_max(),
            hdr: held.to_base64(),
        });
        Self {
            outcomes: outcomes.into_iter().filter_map(counted).collect(),
            counters: counters.into_iter().filter_map(counted).collect(),
            failures: failures.collect(),
            drops: drops.collect(),
            refusals: refusals.collect(),
            latencies: latencies.collect(),
        }
    }
}

impl TryFrom<RecorderRecord> for Recorder {
    type Error = RecordError;

    fn try_from(record: RecorderRecord) -> Result<Self, RecordError> {
        let mut recorder = Self::new();
        for (name, count) in record.outcomes {
            recorder.add_outcomes(named(&name, "outcome", Outcome::named)?, count);
        }
        for (name, count) in record.counters {
            let mut counters = recorder.counters.each_mut().into_iter();
            let counter = counters.find(|(known, _)| **known == *name);
            let (_, counter) = counter.ok_or(RecordError::Name(name, "counter"))?;
            *counter = count;
        }
        for failure in record.failures {
            let kind = named(&failure.kind, "failure", FailureKind::named)?;
            let phase = named(&failure.phase, "phase", Phase::named)?;
            recorder.add_failures(Failure { phase, kind }, &Cause { count: failure.count, words: failure.words });
        }
        for drop in record.drops {
            let kind = named(&drop.kind, "failure", FailureKind::named)?;
            recorder.add_drops(kind, &Cause { count: drop.count, words: drop.words });
        }
        for refusal in record.refusals {
            let kind = named(&refusal.token_kind, "token's kind", TokenKind::named)?;
            recorder.add_refusals(kind, &refusal.reason, refusal.count);
        }
        for latency in record.latencies {
            let metric = named(&latency.metric, "metric", Metric::tagged)?;
            let outcome = named(&latency.outcome, "outcome", Outcome::named)?;
            let kind = named(&latency.token_kind, "token's kind", TokenKind::named)?;
            let held = LatencyHistogram::from_parts(&latency.hdr, latency.over_max)
                .map_err(|error| RecordError::Histogram(latency.metric, error))?;
            recorder.add_latencies(metric, outcome, kind, &held);
        }
        Ok(recorder)
    }
}

fn named<T>(name: &str, what: &'static str, find: impl Fn(&str) -> Option<T>) -> Result<T, RecordError> {
    find(name).ok_or_else(|| RecordError::Name(name.to_owned(), what))
}

#[cfg(test)]
mod tests;
