//! From what was measured to the result: costs, validity, thresholds and the verdict.

use reports::schema::{Generator, RunResult, Scenario, VerdictName};

use crate::ground::outcome::{Expected, Outcome, TokenKind};
use crate::ground::recorder::Recorder;
use crate::judge::result::{Run, at_exp};
use crate::judge::threshold::Checked;
use crate::judge::validity::{self, Measured, Used};
use crate::judge::verdict::{Ended, WrongTarget, decide};
use crate::run::context::RunContext;
use crate::run::observe::{Snapshot, frontend_cost, machine_cost, metrics_cost, server_cost};
use crate::run::plan::{LoadPlan, Loaded};
use crate::speak::target::diagnose;

/// The result of a run, and the file `run.hlog`. `before_logins` was taken before the first login.
pub fn result(
    context: &RunContext,
    plan: &LoadPlan<'_>,
    loaded: &Loaded,
    asked: Scenario,
    before_logins: &Snapshot,
) -> (RunResult, Vec<u8>) {
    let run = Run {
        collected: &loaded.collected,
        shards: &loaded.shards,
        processes: plan.load.processes,
        load: &plan.load,
        started_at: loaded.started_at,
        duration: loaded.duration,
    };
    let mut result = run.result();
    result.environment = context.environment.clone();
    result.scenario = asked;
    result.scenario.target.get_or_insert_with(|| plan.server.urls()[0].to_string());
    result.steps = plan.prepared.steps.as_ref().map_or_else(Vec::new, |tally| tally.rows());
    result.targets = run.targets(plan.spec.targets_to_result());
    result.machine = machine_cost(&loaded.start, &loaded.end);
    result.server = server(context, plan, loaded, before_logins);
    let used = used(context, loaded);
    result.generator = generator(loaded, used);
    let total = &loaded.collected.total;
    let judgement = validity::judge(&Measured {
        server_died: plan.server.died().cloned(),
        broken_shards: loaded.broken.clone(),
        ..Measured::of(total, &plan.spec.report.thresholds, plan.load.model.is_planned(), used)
    });
    result.validity = judgement.to_result();
    let mut checked = run.thresholds(&plan.spec.report.thresholds);
    if let Some(grace) = plan.load.close_at_exp {
        let (at_exp, threshold) = at_exp(total, grace);
        result.tokens.at_exp = Some(at_exp);
        checked.push(Checked { is_certain_failure: false, threshold });
    }
    result.thresholds = checked.iter().map(|one| one.threshold.clone()).collect();
    result.control = loaded.control;
    let wrong_target = no_server(plan, loaded).or_else(|| all_refused(&result));
    let false_accepts: Vec<_> = total.false_accepts().collect();
    result.verdict = decide(Ended {
        result: &result,
        false_accepts: &false_accepts,
        stopped: context.interrupt.has_come(),
        false_accepts_closed: total.counters.false_accepts_closed,
        wrong_target: wrong_target.as_ref(),
        judgement: &judgement,
        checked: &checked,
    });
    (result, loaded.collected.log.clone())
}

fn server(
    context: &RunContext,
    plan: &LoadPlan<'_>,
    loaded: &Loaded,
    before_logins: &Snapshot,
) -> Option<reports::schema::Server> {
    let (peak, held) = &loaded.peak;
    let handshakes = decided(&loaded.collected.total);
    if let Some(readings) = &loaded.metrics {
        return Some(metrics_cost(readings, peak.at, *held, handshakes));
    }
    let cost = server_cost(
        plan.server.source(),
        [&loaded.start, peak, &loaded.end],
        handshakes,
        *held,
        context.share.server.len(),
    );
    cost.map(|cost| reports::schema::Server { frontend: frontend_cost(before_logins, &loaded.end), ..cost })
}

/// Handshakes that the target accepted or refused.
fn decided(recorder: &Recorder) -> u64 {
    [Outcome::Established, Outcome::RefusedExpected, Outcome::FalseAccept, Outcome::FalseReject]
        .into_iter()
        .map(|outcome| recorder.count(outcome))
        .sum()
}

fn generator(loaded: &Loaded, used: Option<Used>) -> Generator {
    let started: u64 = loaded.shards.iter().map(|(shard, _)| shard.started).sum();
    let cpu_ns: u64 = loaded.shards.iter().map(|(shard, _)| shard.cpu_ns).sum();
    let lag = loaded.collected.total.handshake_lag();
    let rss = |snapshot: &Snapshot| snapshot.generator.as_ref().map(|process| process.rss_bytes);
    Generator {
        cpu_us_per_handshake: (started > 0).then(|| cpu_ns as f64 / 1e3 / started as f64),
        cpu_share: used.map(|used| used.cpu_share),
        spin_share: used.map(|used| used.spin_share),
        lag_p99_us: (!lag.is_empty()).then(|| lag.quantile_ns(0.99) as f64 / 1e3),
        rss_bytes_peak: rss(&loaded.peak.0).max(rss(&loaded.end)),
    }
}

fn used(context: &RunContext, loaded: &Loaded) -> Option<Used> {
    let (start, end) = (loaded.start.generator.as_ref()?, loaded.end.generator.as_ref()?);
    let seconds = loaded.end.at.saturating_duration_since(loaded.start.at).as_secs_f64();
    let cpu_ns = end.cpu_ns().saturating_sub(start.cpu_ns());
    let spun_ns = loaded.collected.total.counters.spun_ns;
    Used::of(cpu_ns, spun_ns, seconds, context.share.generator.len())
}

/// The one reason for which every token that should be accepted was refused, as a sentence: the tokens or their place
/// are not what the target takes, so nothing of it was measured.
fn all_refused(result: &RunResult) -> Option<WrongTarget> {
    let totals = &result.totals;
    let wanted = totals.planned - totals.refused_expected;
    if totals.false_reject == 0 || totals.false_reject < wanted {
        return None;
    }
    let unexpected =
        |kind: &TokenKind| result.scenario.expect.get(kind).copied().unwrap_or(kind.usually()) == Expected::Accept;
    let mut reasons = result.refusals.iter().filter(|refusal| unexpected(&refusal.token_kind));
    let (first, others) = (reasons.next()?, reasons.next());
    others.is_none().then(|| WrongTarget {
        name: VerdictName::TokensRefused,
        why: format!(
            "Every valid token was refused: {}; check the secret or key, --token-in and the claims that the target asks for",
            first.reason
        ),
    })
}

/// Why a target is no server of the kind that was asked for, where no arrival found one there.
fn no_server(plan: &LoadPlan<'_>, loaded: &Loaded) -> Option<WrongTarget> {
    let by_target = match loaded.collected.targets.as_slice() {
        [] => std::slice::from_ref(&loaded.collected.total),
        several => several,
    };
    let mut silent = plan.server.urls().iter().zip(by_target).filter(|(_, recorder)| decided(recorder) == 0);
    let why =
        silent.find_map(|(url, recorder)| diagnose(plan.load.protocol, url.as_str(), recorder.failure_causes()))?;
    Some(WrongTarget { name: VerdictName::Configuration, why })
}
