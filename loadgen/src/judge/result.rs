//! A run's measurements as the schema of `result.json` has them: conversion by hand, field by field.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use reports::histogram::LatencyHistogram;
use reports::schema;
use reports::units;

use crate::drive::shard::ShardReport;
use crate::ground::expression::Expression;
use crate::ground::expression::Stat;
use crate::ground::outcome::{FailureKind, Outcome, Phase, TokenKind};
use crate::ground::recorder::{Cause, Metric, Part, Recorder};
use crate::judge::collect::{Collected, ShardSum};
use crate::judge::threshold::{self, Checked, Facts};
use crate::plan::arrival::Schedule;
use crate::spec::LoadSpec;

/// What a run measured, before it is a result.
pub struct Run<'a> {
    /// What the shards recorded.
    pub collected: &'a Collected,
    /// The shards, by index, with the processor each was pinned to.
    pub shards: &'a [(ShardReport, Option<usize>)],
    /// Processes that they were in; shard `i` is of process `i mod processes`.
    pub processes: usize,
    /// The load that was asked for.
    pub load: &'a LoadSpec,
    /// T0.
    pub started_at: SystemTime,
    /// From T0 to the end of the last socket.
    pub duration: Duration,
}

impl Run<'_> {
    /// From T0 to the end of the last handshake: what rates and processor time are taken over.
    pub fn measured(&self) -> Duration {
        let ends = self.shards.iter().filter_map(|(shard, _)| shard.last_handshake_end_ns);
        Duration::from_nanos(ends.max().unwrap_or(0))
    }

    /// The result as far as the recorders know it; the caller fills in the rest.
    pub fn result(&self) -> schema::RunResult {
        let recorder = &self.collected.total;
        schema::RunResult {
            schema: schema::SCHEMA.to_owned(),
            kind: schema::Kind::Run,
            tool: schema::Tool { version: env!("CARGO_PKG_VERSION").to_owned() },
            started_at: units::rfc3339(self.started_at),
            duration_s: self.duration.as_secs_f64(),
            totals: totals(recorder),
            rates: self.rates(recorder),
            phases: phases(recorder),
            failures: failures(recorder),
            refusals: refusals(recorder),
            sockets: sockets(recorder),
            tokens: tokens(recorder),
            messages: messages(recorder),
            shards: self.shard_rows(),
            intervals: self.collected.rows.clone(),
            ..schema::RunResult::default()
        }
    }

    /// The defaults and the thresholds that were asked for, checked.
    pub fn thresholds(&self, asked: &[Expression]) -> Vec<Checked> {
        let expressions = threshold::with_defaults(asked, self.load);
        expressions.iter().flat_map(|expression| threshold::check(expression, self)).collect()
    }

    /// Each of several targets, as they were asked for; none where there is one alone.
    pub fn targets(&self, asked: Vec<schema::AskedTarget>) -> Vec<schema::Target> {
        let measured = asked.into_iter().zip(&self.collected.targets);
        measured
            .map(|(asked, recorder)| schema::Target {
                name: asked.name,
                url: asked.url,
                weight: asked.weight,
                totals: totals(recorder),
                rates: self.rates(recorder),
                phases: phases(recorder),
                failures: failures(recorder),
                refusals: refusals(recorder),
                messages: messages(recorder),
            })
            .collect()
    }

    fn rates(&self, recorder: &Recorder) -> schema::Rates {
        schema::Rates {
            planned_per_s: self.planned_per_s(recorder),
            established_per_s: self.per_s(recorder.count(Outcome::Established)),
        }
    }

    /// The rate of the schedule, or the part of it that went to one target: what was planned does not depend on how long
    /// the target took. The closed model plans no rate; there it is the rate at which handshakes ended.
    fn planned_per_s(&self, recorder: &Recorder) -> f64 {
        let load = self.load;
        let schedule = Schedule::new(&load.model, load.connections, load.duration, load.seed);
        let all = self.collected.total.ended();
        match schedule.and_then(|schedule| schedule.planned_per_s()) {
            Some(planned_per_s) if all > 0 => planned_per_s * recorder.ended() as f64 / all as f64,
            _ => self.per_s(recorder.ended()),
        }
    }

    fn per_s(&self, count: u64) -> f64 {
        let seconds = self.measured().as_secs_f64();
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    }

    fn shard_rows(&self) -> Vec<schema::Shard> {
        let reports = self.shards.iter().zip(&self.collected.shards);
        reports
            .enumerate()
            .map(|(index, ((report, cpu), sum))| schema::Shard {
                process: (self.processes > 1).then(|| (index % self.processes) as u32),
                ..row(index, report, *cpu, sum)
            })
            .collect()
    }
}

impl Facts for Run<'_> {
    fn measured(&self, metric: Metric, is_named: bool) -> Option<Metric> {
        let is_planned = match metric {
            Metric::Handshake(_) => self.load.model.is_planned(),
            Metric::Echo(_) => self.load.model.is_planned() || self.load.echo.rate_per_s.is_some(),
            _ => true,
        };
        match metric {
            Metric::Handshake(Part::Response) if !is_planned => (!is_named).then_some(Metric::Handshake(Part::Service)),
            Metric::Echo(Part::Response) if !is_planned => (!is_named).then_some(Metric::Echo(Part::Service)),
            _ => Some(metric),
        }
    }

    fn latency_ns(&self, metric: Metric, stat: Stat) -> Option<f64> {
        let recorder = &self.collected.total;
        match stat {
            Stat::Quantile(quantile) => recorder.quantile_ns(metric, quantile),
            Stat::Max => recorder.max_ns(metric),
            Stat::Mean => recorder.mean_ns(metric),
        }
    }

    fn count(&self, outcome: Outcome) -> u64 {
        self.collected.total.count(outcome)
    }

    fn planned(&self) -> u64 {
        self.collected.total.ended()
    }

    fn rate_per_s(&self, outcome: Outcome) -> f64 {
        self.per_s(self.count(outcome))
    }

    fn dropped(&self) -> u64 {
        self.collected.total.counters.dropped
    }

    fn dropped_by_silence(&self) -> u64 {
        let silent = self.collected.total.drop_reasons().filter(|(why, _)| *why == FailureKind::Timeout);
        silent.map(|(_, count)| count).sum()
    }

    fn messages(&self) -> u64 {
        let counters = &self.collected.total.counters;
        counters.echoes_answered + counters.echoes_unanswered
    }

    fn unanswered(&self) -> u64 {
        self.collected.total.counters.echoes_unanswered
    }
}

fn totals(recorder: &Recorder) -> schema::Totals {
    let count = |outcome| recorder.count(outcome);
    schema::Totals {
        planned: recorder.ended(),
        started: recorder.ended() - count(Outcome::NotSent),
        established: count(Outcome::Established),
        refused_expected: count(Outcome::RefusedExpected),
        false_accept: count(Outcome::FalseAccept),
        false_reject: count(Outcome::FalseReject),
        timeout: count(Outcome::Timeout),
        failed: count(Outcome::Failed),
        interrupted: count(Outcome::Interrupted),
        not_sent: count(Outcome::NotSent),
    }
}

/// `None`: no message was sent.
fn messages(recorder: &Recorder) -> Option<schema::Messages> {
    let counters = &recorder.counters;
    (counters.messages_sent > 0).then_some(schema::Messages {
        sent: counters.messages_sent,
        answered: counters.echoes_answered,
        unanswered: counters.echoes_unanswered,
    })
}

fn row(index: usize, report: &ShardReport, cpu: Option<usize>, sum: &ShardSum) -> schema::Shard {
    schema::Shard {
        index: index as u32,
        process: None,
        planned: report.planned,
        started: report.started,
        established: sum.established,
        lag_p99_us: (!sum.lag.is_empty()).then(|| sum.lag.quantile_ns(0.99) as f64 / 1e3),
        cpu_us: Some(report.cpu_ns as f64 / 1e3),
        pinned_core: cpu.map(|cpu| cpu as u32),
    }
}

/// Without `at_exp`, which only a run that was asked for it has.
fn tokens(recorder: &Recorder) -> schema::Tokens {
    let counters = &recorder.counters;
    schema::Tokens {
        requests: counters.token_requests,
        failures: counters.token_failures,
        refreshed_ahead: counters.refreshed_ahead,
        refreshed_on_refusal: counters.refreshed_on_refusal,
        refused_first: counters.refused_first,
        let_in_on_retry: counters.let_in_on_retry,
        at_exp: None,
    }
}

/// How sockets ended at their token's `exp`, and the check that all were closed. It fails where no socket lived so
/// long.
pub fn at_exp(recorder: &Recorder, grace: Duration) -> (schema::AtExp, schema::Threshold) {
    let counters = &recorder.counters;
    let (closed, open_after) = (counters.closed_at_exp, counters.open_after_exp);
    let lateness = recorder.latency(Metric::CloseAtExp, Outcome::Established);
    let any = closed + open_after > 0;
    let threshold = schema::Threshold {
        text: format!("open {grace:?} after exp==0"),
        observed: any.then_some(open_after as f64),
        absent: (!any).then_some(schema::Absent::NoSamples),
        unit: schema::Unit::Count,
        pass: any && open_after == 0,
    };
    let at_exp =
        schema::AtExp { closed, open_after, lateness: (!lateness.is_empty()).then(|| lateness.distribution()) };
    (at_exp, threshold)
}

fn sockets(recorder: &Recorder) -> schema::Sockets {
    let counters = &recorder.counters;
    let encrypted = counters.tls_handshakes > 0;
    schema::Sockets {
        dropped: counters.dropped,
        drops: drops(recorder),
        tls_handshakes: encrypted.then_some(counters.tls_handshakes),
        tls_resumed: encrypted.then_some(counters.tls_resumed),
    }
}

fn drops(recorder: &Recorder) -> Vec<schema::Drop> {
    let mut drops: Vec<_> = recorder
        .drop_causes()
        .map(|(why, cause)| schema::Drop { kind: why.to_string(), count: cause.count, words: words(cause) })
        .collect();
    drops.sort_by_key(|drop| std::cmp::Reverse(drop.count));
    drops
}

fn words(cause: &Cause) -> Option<String> {
    (!cause.words.is_empty()).then(|| cause.words.clone())
}

fn failures(recorder: &Recorder) -> Vec<schema::Failure> {
    let mut failures: Vec<_> = recorder
        .failure_causes()
        .map(|(failure, cause)| schema::Failure {
            phase: failure.phase,
            kind: failure.kind.to_string(),
            count: cause.count,
            words: words(cause),
        })
        .collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
    failures
}

fn refusals(recorder: &Recorder) -> Vec<schema::Refusal> {
    let mut refusals: Vec<_> = recorder
        .refusal_reasons()
        .map(|(kind, reason, count)| schema::Refusal { token_kind: kind, reason: reason.to_owned(), count })
        .collect();
    refusals.sort_by_key(|refusal| std::cmp::Reverse(refusal.count));
    refusals
}

/// A key of the result's `phases`, and the metrics behind its views.
struct Row {
    name: schema::PhaseName,
    service: Metric,
    response: Option<Metric>,
    lag: Option<Metric>,
}

fn rows() -> impl Iterator<Item = Row> {
    let composite = |name, of: fn(Part) -> Metric| Row {
        name,
        service: of(Part::Service),
        response: Some(of(Part::Response)),
        lag: Some(of(Part::Lag)),
    };
    let part = |phase: Phase| Row { name: phase.into(), service: Metric::Phase(phase), response: None, lag: None };
    Phase::ALL.into_iter().map(part).chain([
        composite(schema::PhaseName::Handshake, Metric::Handshake),
        composite(schema::PhaseName::Echo, Metric::Echo),
    ])
}

fn phases(recorder: &Recorder) -> BTreeMap<schema::PhaseName, schema::PhaseLatencies> {
    rows().filter_map(|row| Some((row.name.clone(), phase(recorder, &row)?))).collect()
}

/// `None`: it never happened.
fn phase(recorder: &Recorder, row: &Row) -> Option<schema::PhaseLatencies> {
    let of_outcome = |outcome| latencies(row, |metric| recorder.latency(metric, outcome));
    let of_kind = |kind| latencies(row, |metric| recorder.latency_by_kind(metric, kind));
    let by_outcome: BTreeMap<_, _> =
        Outcome::ALL.into_iter().filter_map(|outcome| Some((outcome, of_outcome(outcome)?))).collect();
    (!by_outcome.is_empty()).then(|| schema::PhaseLatencies {
        established: by_outcome.get(&Outcome::Established).cloned().unwrap_or_default(),
        by_outcome,
        by_token_kind: TokenKind::ALL.into_iter().filter_map(|kind| Some((kind, of_kind(kind)?))).collect(),
    })
}

fn latencies(row: &Row, of: impl Fn(Metric) -> LatencyHistogram) -> Option<schema::Latencies> {
    let distribution = |metric: Metric| {
        let held = of(metric);
        (!held.is_empty()).then(|| held.distribution())
    };
    let service = distribution(row.service)?;
    Some(schema::Latencies {
        count: service.count + service.over_max,
        response: row.response.and_then(distribution),
        lag: row.lag.and_then(distribution),
        service: Some(service),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::shard::Interval;
    use crate::ground::outcome::{Failure, FailureKind};
    use crate::judge::collect::Collector;
    use crate::spec::RunSpec;

    /// Ten arrivals in two seconds: eight established, one failed, one never sent.
    fn collected() -> Collected {
        let mut collector = Collector::new(1, SystemTime::UNIX_EPOCH, Part::Response);
        for second in 0..2 {
            let mut recorder = Recorder::new();
            for _ in 0..4 {
                recorder.outcome(Outcome::Established);
                let kind = TokenKind::Valid;
                recorder.phase(Phase::Connect, Outcome::Established, kind, 50_000);
                recorder.handshake(Outcome::Established, kind, 400_000, Some(1_000));
            }
            recorder.outcome([Outcome::Failed, Outcome::NotSent][second as usize]);
            recorder.failure(Failure { phase: Phase::Upgrade, kind: FailureKind::Http(503) }, String::new);
            collector.deliver(&Interval { shard: 0, second, recorders: vec![recorder], held: 4, in_flight: 0 });
        }
        collector.finish()
    }

    fn run(collected: &Collected) -> (schema::RunResult, Vec<schema::Threshold>) {
        let shard = ShardReport {
            planned: 10,
            started: 9,
            last_handshake_end_ns: Some(2_000_000_000),
            ..ShardReport::default()
        };
        let run = Run {
            collected,
            shards: &[(shard, Some(0))],
            processes: 1,
            load: &RunSpec::of_flags("--target ws://127.0.0.1:1/ws --token-source mint --secret x").load,
            started_at: SystemTime::UNIX_EPOCH,
            duration: Duration::from_secs(3),
        };
        let asked =
            ["handshake.p50<1ms", "handshake.p99<1ms", "errors<=10%"].map(|text| Expression::parse(text).unwrap());
        (run.result(), run.thresholds(&asked).into_iter().map(|checked| checked.threshold).collect())
    }

    #[test]
    fn totals_add_up_and_reached_rates_run_to_the_last_handshake() {
        let (result, _) = run(&collected());
        let sum: u64 = result.totals.outcomes().iter().map(|(_, count)| count).sum();
        assert_eq!((result.totals.planned, sum, result.totals.started), (10, 10, 9));
        assert_eq!(result.rates.planned_per_s, 500.0, "the schedule's, however long it took");
        assert_eq!(result.rates.established_per_s, 4.0);
        assert_eq!(result.intervals.len(), 2);
    }

    #[test]
    fn phases_show_the_established_and_what_never_happened_is_absent() {
        let (result, _) = run(&collected());
        let names: Vec<_> = result.phases.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["connect", "handshake"]);
        let handshake = &result.phases[&schema::PhaseName::Handshake].established;
        assert_eq!(handshake.count, 8);
        assert!(handshake.response.is_some() && handshake.lag.is_some());
        let connect = &result.phases[&Phase::Connect.into()].established;
        assert!(connect.response.is_none(), "a phase has its duration alone");
    }

    #[test]
    fn thresholds_begin_with_the_defaults() {
        let (_, thresholds) = run(&collected());
        let seen: Vec<_> = thresholds.iter().map(|threshold| (threshold.text.as_str(), threshold.pass)).collect();
        assert_eq!(
            seen,
            [
                ("established>0", true),
                ("dropped==0", true),
                ("handshake.p50<1ms", true),
                ("handshake.p99<1ms", false),
                ("errors<=10%", false),
            ]
        );
        assert_eq!(thresholds[3].absent, Some(schema::Absent::InfinitelySlow), "it ranks on a failure");
    }
}
