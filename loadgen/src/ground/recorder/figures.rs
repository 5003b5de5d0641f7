//! What is read out of a recorder: totals, distributions, and the figures that expressions ask for.

use reports::histogram::LatencyHistogram;

use crate::ground::outcome::{Failure, FailureKind, Outcome, Phase, TokenKind};
use crate::ground::recorder::{Cause, Metric, Part, Recorder, cell_index};

impl Recorder {
    /// How many arrivals ended in `outcome`.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// The sum of all outcomes: what was planned, once every arrival has ended.
    pub fn ended(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// The failures, by phase and kind.
    pub fn failures(&self) -> impl Iterator<Item = (Failure, u64)> {
        self.failure_causes().map(|(failure, cause)| (failure, cause.count))
    }

    /// The same with the words of the first of each.
    pub fn failure_causes(&self) -> impl Iterator<Item = (Failure, &Cause)> {
        self.failures.iter().map(|(failure, cause)| (*failure, cause))
    }

    /// How sockets ended that the target dropped.
    pub fn drop_reasons(&self) -> impl Iterator<Item = (FailureKind, u64)> {
        self.drop_causes().map(|(why, cause)| (why, cause.count))
    }

    /// The same with the words of the first of each.
    pub fn drop_causes(&self) -> impl Iterator<Item = (FailureKind, &Cause)> {
        self.drops.iter().map(|(why, cause)| (*why, cause))
    }

    /// The refusals, by token kind and reason.
    pub fn refusal_reasons(&self) -> impl Iterator<Item = (TokenKind, &str, u64)> {
        self.refusals.iter().map(|((kind, reason), count)| (*kind, reason.as_str(), *count))
    }

    /// Every histogram that holds something, by metric, outcome and token kind.
    pub fn latencies(&self) -> impl Iterator<Item = (Metric, Outcome, TokenKind, &LatencyHistogram)> {
        Metric::ALL.into_iter().flat_map(move |metric| {
            Outcome::ALL.into_iter().flat_map(move |outcome| {
                TokenKind::ALL.into_iter().filter_map(move |kind| {
                    let held = self.held(metric, outcome, kind)?;
                    Some((metric, outcome, kind, held))
                })
            })
        })
    }

    /// How many tokens of each kind were accepted that should have been refused.
    pub fn false_accepts(&self) -> impl Iterator<Item = (TokenKind, u64)> {
        let service = Metric::Handshake(Part::Service);
        TokenKind::ALL.into_iter().filter_map(move |kind| {
            let held = self.held(service, Outcome::FalseAccept, kind)?;
            Some((kind, held.count() + held.over_max()))
        })
    }

    /// The durations of `metric` over the arrivals that ended in `outcome`, whatever their token.
    pub fn latency(&self, metric: Metric, outcome: Outcome) -> LatencyHistogram {
        self.sum(metric, &[outcome], &TokenKind::ALL)
    }

    /// The durations of `metric` over the arrivals that showed a token of `kind`, however they ended.
    pub fn latency_by_kind(&self, metric: Metric, kind: TokenKind) -> LatencyHistogram {
        self.sum(metric, &Outcome::ALL, &[kind])
    }

    /// The lag of all arrivals that began, whatever their outcome.
    pub fn handshake_lag(&self) -> LatencyHistogram {
        self.sum(Metric::Handshake(Part::Lag), &Outcome::ALL, &TokenKind::ALL)
    }

    /// The quantile (0 to 1) in nanoseconds. Failures and timeouts rank as infinitely slow: the quantile is
    /// [`f64::INFINITY`] where its rank falls on one of them. `None`: nothing was measured.
    pub fn quantile_ns(&self, metric: Metric, quantile: f64) -> Option<f64> {
        let (held, slower) = self.ranked(metric);
        rankable(&held, slower).then(|| held.quantile_ns_among(quantile, slower).map_or(f64::INFINITY, |ns| ns as f64))
    }

    /// The mean; infinite as soon as one arrival failed. `None`: nothing was measured.
    pub fn mean_ns(&self, metric: Metric) -> Option<f64> {
        let (held, slower) = self.ranked(metric);
        let finite = slower == 0 && held.over_max() == 0;
        rankable(&held, slower).then(|| if finite { held.mean_ns() } else { f64::INFINITY })
    }

    /// The maximum; infinite as soon as one arrival failed.
    pub fn max_ns(&self, metric: Metric) -> Option<f64> {
        self.quantile_ns(metric, 1.0)
    }

    /// The durations that an expression ranks, and how many stand above them all.
    ///
    /// An arrival that was refused as it should be, or that was interrupted or never sent, has no rank: it says
    /// nothing about the target's speed. Lag is the generator's own and belongs to every arrival that began.
    fn ranked(&self, metric: Metric) -> (LatencyHistogram, u64) {
        let slower = match metric {
            Metric::Handshake(Part::Lag) => return (self.handshake_lag(), 0),
            Metric::Echo(Part::Lag) => 0,
            Metric::CloseAtExp => self.counters.open_after_exp,
            Metric::Echo(_) => self.counters.echoes_unanswered,
            Metric::Phase(phase @ (Phase::Login | Phase::Token)) => self.failed_in(phase),
            Metric::Phase(_) | Metric::Handshake(_) => [Outcome::FalseReject, Outcome::Timeout, Outcome::Failed]
                .into_iter()
                .map(|outcome| self.count(outcome))
                .sum(),
        };
        (self.latency(metric, Outcome::Established), slower)
    }

    fn failed_in(&self, phase: Phase) -> u64 {
        let of_phase = self.failures().filter(|(failure, _)| failure.phase == phase);
        of_phase.map(|(_, count)| count).sum()
    }

    fn sum(&self, metric: Metric, outcomes: &[Outcome], kinds: &[TokenKind]) -> LatencyHistogram {
        let mut sum = LatencyHistogram::new();
        for outcome in outcomes {
            for kind in kinds {
                if let Some(held) = self.held(metric, *outcome, *kind) {
                    sum.merge(held);
                }
            }
        }
        sum
    }

    fn held(&self, metric: Metric, outcome: Outcome, kind: TokenKind) -> Option<&LatencyHistogram> {
        self.latencies.get(cell_index(metric, outcome, kind))?.as_deref()
    }
}

fn rankable(held: &LatencyHistogram, slower: u64) -> bool {
    slower > 0 || !held.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDSHAKE: Metric = Metric::Handshake(Part::Response);
    const LAG: Metric = Metric::Handshake(Part::Lag);
    const TOKEN: Metric = Metric::Phase(Phase::Token);

    /// `established` handshakes of 1 ms without lag, and arrivals that ended otherwise.
    fn recorded(established: u64, others: &[(Outcome, u64)]) -> Recorder {
        let mut recorder = Recorder::new();
        for _ in 0..established {
            recorder.outcome(Outcome::Established);
            recorder.handshake(Outcome::Established, TokenKind::Valid, 1_000_000, Some(0));
        }
        for (outcome, count) in others {
            for _ in 0..*count {
                recorder.outcome(*outcome);
                recorder.handshake(*outcome, TokenKind::Valid, 5, Some(0));
            }
        }
        recorder
    }

    #[test]
    fn failures_rank_as_infinitely_slow() {
        for (established, others, quantile, expected_ms, why) in [
            (100, vec![], 0.99, Some(1.0), "all were established"),
            (99, vec![(Outcome::Failed, 1)], 0.99, Some(1.0), "rank 99 of 100 is finite"),
            (98, vec![(Outcome::Failed, 2)], 0.99, Some(f64::INFINITY), "rank 99 of 100 failed"),
            (98, vec![(Outcome::Timeout, 2)], 0.99, Some(f64::INFINITY), "timeouts as well"),
            (98, vec![(Outcome::FalseReject, 2)], 0.99, Some(f64::INFINITY), "refusals too"),
            (98, vec![(Outcome::RefusedExpected, 2)], 0.99, Some(1.0), "as expected: no rank"),
            (98, vec![(Outcome::Interrupted, 2)], 0.99, Some(1.0), "stopped by the user: no rank"),
            (0, vec![(Outcome::Failed, 1)], 0.5, Some(f64::INFINITY), "nothing got in"),
            (0, vec![], 0.5, None, "nothing was measured"),
            (999, vec![(Outcome::Failed, 1)], 1.0, Some(f64::INFINITY), "the maximum is it"),
        ] {
            let seen = recorded(established, &others).quantile_ns(HANDSHAKE, quantile);
            match (seen, expected_ms) {
                (Some(seen), Some(ms)) if ms.is_finite() => {
                    assert!((seen / (ms * 1e6) - 1.0).abs() < 0.002, "{why}: {seen}");
                }
                (seen, expected) => assert_eq!(seen, expected, "{why}"),
            }
        }
    }

    #[test]
    fn one_failure_makes_the_mean_infinite_but_not_the_lag() {
        let recorder = recorded(9, &[(Outcome::Failed, 1)]);
        assert_eq!(recorder.mean_ns(HANDSHAKE), Some(f64::INFINITY));
        assert_eq!(recorder.max_ns(LAG), Some(0.0));
        assert_eq!(recorder.handshake_lag().count(), 10);
    }

    #[test]
    fn token_latency_ranks_the_failures_of_its_own_phase_alone() {
        let mut recorder = recorded(0, &[(Outcome::Failed, 5)]);
        recorder.phase(Phase::Token, Outcome::Established, TokenKind::Valid, 1000);
        assert_eq!(recorder.max_ns(TOKEN), Some(1000.0));
        recorder.failure(Failure { phase: Phase::Token, kind: FailureKind::Http(500) }, String::new);
        assert_eq!(recorder.max_ns(TOKEN), Some(f64::INFINITY));
    }

    #[test]
    fn latencies_are_separated_by_outcome_and_kind() {
        let recorder = recorded(2, &[(Outcome::Failed, 3)]);
        let listed: Vec<_> = recorder
            .latencies()
            .filter(|(metric, ..)| *metric == HANDSHAKE)
            .map(|(_, outcome, kind, held)| (outcome, kind, held.count()))
            .collect();
        let valid = TokenKind::Valid;
        assert_eq!(listed, [(Outcome::Established, valid, 2), (Outcome::Failed, valid, 3)]);
        assert_eq!(recorder.latency_by_kind(HANDSHAKE, valid).count(), 5);
    }
}
