//! The figures of a run at the end of one of its seconds.

use std::time::Duration;

use reports::histogram::LatencyHistogram;
use reports::schema::Interval;

use crate::ground::outcome::{Failure, FailureKind, Outcome, TokenKind};
use crate::ground::recorder::{Counters, Metric, Part, Recorder};

/// Seconds whose 99th percentile is shown: wider terminals are rare.
const P99_SECONDS_MAX: usize = 240;

/// A run at the end of one of its seconds. Whatever is not of the last second alone is of the run so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Now {
    /// This load is thrown away.
    pub warming_up: bool,
    /// Whole seconds since T0.
    pub elapsed_s: u64,
    /// How long it still takes, where that is known.
    pub left: Option<Left>,
    /// Arrivals in all, where that is known.
    pub planned: Option<u64>,
    /// Arrivals by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    /// Handshakes under way.
    pub in_flight: u64,
    /// The most sockets held at once in the last second.
    pub held: u64,
    /// The last second.
    pub last: LastSecond,
    /// Whether arrivals have planned instants.
    pub open_model: bool,
    /// What has happened so far, in the order of [`Metric::ALL`]; established arrivals alone.
    pub phases: Vec<PhaseNow>,
    /// Failures, most frequent first.
    pub failures: Vec<(Failure, u64)>,
    /// Refusals, most frequent first.
    pub refusals: Vec<(TokenKind, String, u64)>,
    /// How sockets ended that the target dropped, most frequent first.
    pub drops: Vec<(FailureKind, u64)>,
    /// The handshake's 99th percentile by second, the last one last, at most `P99_SECONDS_MAX`; `None`: none was
    /// established.
    pub p99_us: Vec<Option<f64>>,
    /// What is only ever added up.
    pub counters: Counters,
    /// The load itself.
    pub generator: GeneratorNow,
}

/// How long a run still takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// By its plan.
    Planned(Duration),
    /// If it goes on as it did.
    About(Duration),
}

impl Left {
    /// The time itself.
    pub fn duration(self) -> Duration {
        match self {
            Self::Planned(left) | Self::About(left) => left,
        }
    }
}

/// What happened in the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastSecond {
    /// Arrivals that became due.
    pub due: u64,
    /// Arrivals that began.
    pub started: u64,
    /// Arrivals that were established.
    pub established: u64,
}

/// Latencies of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseNow {
    /// Which.
    pub metric: Metric,
    /// How often it happened.
    pub count: u64,
    /// The sum of all, in seconds, to three digits of each.
    pub sum_s: f64,
    /// The median, the 90th and the 99th percentile, and the longest, in microseconds.
    pub us: [f64; 4],
    /// How many took at most so long.
    pub buckets: Buckets,
}

/// Cumulative counts by [`Buckets::BOUNDS_NS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets(pub [u64; Buckets::BOUNDS_NS.len()]);

impl Buckets {
    /// From what loopback takes up to a handshake's usual timeout, three to a decade.
    pub const BOUNDS_NS: [u64; 18] = [
        20_000,
        50_000,
        100_000,
        200_000,
        500_000,
        1_000_000,
        2_000_000,
        5_000_000,
        10_000_000,
        20_000_000,
        50_000_000,
        100_000_000,
        200_000_000,
        500_000_000,
        1_000_000_000,
        2_000_000_000,
        5_000_000_000,
        10_000_000_000,
    ];
}

/// The load's own health.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GeneratorNow {
    /// 99 % of the starts so far were at most this late; `None` in the closed model.
    pub lag_p99_us: Option<f64>,
    /// 99 % of the starts of the last second.
    pub lag_p99_last_us: Option<f64>,
    /// Processor time of this process since T0.
    pub cpu_s: f64,
    /// Part of its processors since T0, 0 to 1.
    pub cpu_share: Option<f64>,
    /// Resident memory.
    pub rss_bytes: Option<u64>,
    /// Why the run would be invalid if it ended now.
    pub doubts: Vec<String>,
}

impl Now {
    /// The figures of a recorder and of the seconds so far; the caller fills in the rest.
    pub fn of(total: &Recorder, rows: &[Interval], open_model: bool) -> Self {
        let row = rows.last();
        Self {
            open_model,
            elapsed_s: row.map_or(0, |row| u64::from(row.second) + 1),
            outcomes: Outcome::ALL.map(|outcome| total.count(outcome)),
            last: row.map_or_else(LastSecond::default, |row| LastSecond {
                due: row.planned,
                started: row.started,
                established: row.established,
            }),
            phases: Metric::ALL
                .into_iter()
                .filter_map(|metric| phase(metric, &total.latency(metric, Outcome::Established)))
                .collect(),
            failures: most_first(total.failures().collect(), |one| one.1),
            refusals: most_first(
                total.refusal_reasons().map(|(kind, reason, count)| (kind, reason.to_owned(), count)).collect(),
                |one| one.2,
            ),
            drops: most_first(total.drop_reasons().collect(), |one| one.1),
            p99_us: rows[rows.len().saturating_sub(P99_SECONDS_MAX)..].iter().map(|row| row.handshake_p99_us).collect(),
            counters: total.counters,
            generator: GeneratorNow {
                lag_p99_us: quantiles_us(&total.handshake_lag(), [0.99]).map(|[p99]| p99),
                lag_p99_last_us: row.and_then(|row| row.lag_p99_us),
                ..GeneratorNow::default()
            },
            ..Self::default()
        }
    }

    /// Arrivals that have ended, in any outcome.
    pub fn ended(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// How many arrivals ended in `outcome`.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// Arrivals that were neither established nor refused as expected.
    pub fn failed(&self) -> u64 {
        self.ended() - self.count(Outcome::Established) - self.count(Outcome::RefusedExpected)
    }

    /// The latencies of one metric, if it happened.
    pub fn phase(&self, metric: Metric) -> Option<&PhaseNow> {
        self.phases.iter().find(|phase| phase.metric == metric)
    }

    /// The view of a composite by which it is judged.
    pub fn judged(&self) -> Part {
        if self.open_model { Part::Response } else { Part::Service }
    }
}

fn most_first<T>(mut counted: Vec<T>, count: impl Fn(&T) -> u64) -> Vec<T> {
    counted.sort_by_key(|one| std::cmp::Reverse(count(one)));
    counted
}

fn phase(metric: Metric, held: &LatencyHistogram) -> Option<PhaseNow> {
    let us = quantiles_us(held, [0.5, 0.9, 0.99, 1.0])?;
    let mut buckets = Buckets::default();
    let mut sum_ns = 0.0;
    for (lowest_ns, highest_ns, count) in held.recorded() {
        sum_ns += (lowest_ns + highest_ns) as f64 / 2.0 * count as f64;
        let first = Buckets::BOUNDS_NS.partition_point(|bound| *bound < lowest_ns);
        for bucket in &mut buckets.0[first..] {
            *bucket += count;
        }
    }
    Some(PhaseNow { metric, count: held.count() + held.over_max(), sum_s: sum_ns / 1e9, us, buckets })
}

/// The durations that these parts of the recorded ones do not exceed; `None` where there is none.
fn quantiles_us<const N: usize>(held: &LatencyHistogram, quantiles: [f64; N]) -> Option<[f64; N]> {
    (held.count() > 0).then(|| quantiles.map(|quantile| held.quantile_ns(quantile) as f64 / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::outcome::Phase;

    #[test]
    fn figures_are_those_of_the_result() {
        let mut recorder = Recorder::new();
        for us in 1..=1000_u64 {
            recorder.outcome(Outcome::Established);
            recorder.handshake(Outcome::Established, TokenKind::Valid, us * 7_919, Some(us * 10));
        }
        recorder.outcome(Outcome::Failed);
        recorder.failure(Failure { phase: Phase::Connect, kind: FailureKind::Reset }, String::new);
        recorder.dropped(FailureKind::Reset, String::new);
        let now = Now::of(&recorder, &[], true);
        let response = Metric::Handshake(Part::Response);
        let figures = recorder.latency(response, Outcome::Established).distribution();
        let phase = now.phase(response).unwrap();
        assert_eq!(phase.count, 1000);
        assert_eq!(phase.us, [figures.p50_us, figures.p90_us, figures.p99_us, figures.max_us]);
        let mean_us = phase.sum_s * 1e6 / 1000.0;
        assert!((mean_us / figures.mean_us - 1.0).abs() < 1e-3, "{mean_us}");
        assert_eq!((now.ended(), now.failed()), (1001, 1));
        assert_eq!((now.failures.len(), now.drops.len()), (1, 1));
        assert!(now.generator.lag_p99_us.unwrap() >= 9.9);
    }

    #[test]
    fn buckets_count_what_took_at_most_so_long() {
        let mut held = LatencyHistogram::new();
        for ns in [10_000, 19_999, 20_000, 21_000, 400_000, 20_000_000_000] {
            held.record(ns);
        }
        let phase = phase(Metric::Handshake(Part::Service), &held).unwrap();
        assert_eq!(phase.buckets.0[..3], [3, 4, 4], "20, 50 and 100 us");
        assert_eq!(phase.buckets.0[4], 5, "500 us");
        assert_eq!(*phase.buckets.0.last().unwrap(), 5, "one took longer");
        assert_eq!(phase.count, 6);
    }

    #[test]
    fn phases_that_never_happened_are_absent() {
        let now = Now::of(&Recorder::new(), &[], false);
        assert!(now.phases.is_empty() && now.generator.lag_p99_us.is_none());
        assert_eq!(now.judged(), Part::Service);
    }
}
