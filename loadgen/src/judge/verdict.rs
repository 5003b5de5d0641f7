//! The verdict on a run: one exit code, and one sentence for a person.
//!
//! The codes are those that users of k6 know where k6 has one (99, 104, 105). When several apply, the gravest is
//! reported: a false accept is a security hole in the target and outweighs everything; a run that was stopped, that
//! never reached a socket server, or that is not valid has no threshold worth reading.

use reports::schema::{RunResult, Threshold, Unit, Verdict, VerdictName};
use reports::render::observed;
use reports::units;

use crate::ground::outcome::{Expected, TokenKind};
use crate::judge::threshold::Checked;
use crate::judge::validity::Judgement;

/// Every threshold holds.
pub const PASS: u8 = 0;
/// An internal error.
pub const INTERNAL: u8 = 1;
/// Flags that are wrong or do not fit together; clap exits so too.
pub const USAGE: u8 = 2;
/// A token was accepted that should have been refused.
pub const FALSE_ACCEPT: u8 = 96;
/// The generator did not keep its schedule or lost figures: the server was not measured.
pub const INVALID: u8 = 97;
/// A threshold does not hold.
pub const THRESHOLD: u8 = 99;
/// What was asked cannot be done: bad configuration, or a target that cannot be reached.
pub const CONFIGURATION: u8 = 104;
/// Stopped by a signal, with the partial result written.
pub const STOPPED: u8 = 105;

/// What a verdict is made from.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// The figures: totals, failures, refusals and drops.
    pub result: &'a RunResult,
    /// Which kinds of token were accepted that should have been refused, and how often.
    pub false_accepts: &'a [(TokenKind, u64)],
    /// Whether a signal ended the run.
    pub stopped: bool,
    /// Why the target cannot be measured, if it cannot: it is no server of the kind that was asked for, or it refuses
    /// every valid token for one reason.
    pub wrong_target: Option<&'a str>,
    /// Whether the figures may be trusted.
    pub judgement: &'a Judgement,
    /// The expressions, checked.
    pub checked: &'a [Checked],
}

/// The verdict on a run that has ended.
pub fn decide(ended: Ended<'_>) -> Verdict {
    let totals = &ended.result.totals;
    let failed = |is_certain: bool| {
        let failed = ended.checked.iter().filter(move |one| !one.threshold.pass && (one.is_certain_failure || !is_certain));
        failed.map(|one| &one.threshold).collect::<Vec<_>>()
    };
    let (certain, all) = (failed(true), failed(false));
    let (code, name, sentence) = if totals.false_accept > 0 {
        let sentence = false_accept_sentence(totals.false_accept, ended.false_accepts);
        (FALSE_ACCEPT, VerdictName::FalseAccept, sentence)
    } else if ended.stopped {
        let sentence = format!(
            "Stopped by a signal after {} arrivals; what was measured until then is here.",
            units::count(totals.planned)
        );
        (STOPPED, VerdictName::Interrupted, sentence)
    } else if let Some(why) = ended.wrong_target {
        (CONFIGURATION, VerdictName::Configuration, format!("{why}."))
    } else if !ended.judgement.lost.is_empty() {
        (INVALID, VerdictName::Invalid, INVALID_SENTENCE.to_owned())
    } else if !certain.is_empty() {
        // All that fail are named; what the target sent decides.
        (THRESHOLD, VerdictName::Threshold, threshold_sentence(&all, ended.result))
    } else if !ended.judgement.doubts.is_empty() {
        (INVALID, VerdictName::Invalid, INVALID_SENTENCE.to_owned())
    } else if !all.is_empty() {
        (THRESHOLD, VerdictName::Threshold, threshold_sentence(&all, ended.result))
    } else {
        (PASS, VerdictName::Pass, pass_sentence(ended.result))
    };
    Verdict { code, name, sentence }
}

/// The reasons stand beside it.
const INVALID_SENTENCE: &str = "These figures do not measure the server.";

/// What does not hold with what was observed, and the most frequent cause of it.
fn threshold_sentence(failed: &[&Threshold], result: &RunResult) -> String {
    let failed: Vec<String> = failed
        .iter()
        .map(|threshold| match threshold.unit {
            Unit::Count => format!("{} ({})", threshold.text, observed(threshold)),
            _ => format!("{} (it is {})", threshold.text, observed(threshold)),
        })
        .collect();
    let causes: Vec<String> = [failure_cause(result), refusal_cause(result), drop_cause(result)]
        .into_iter()
        .flatten()
        .collect();
    let causes = if causes.is_empty() { String::new() } else { format!(" {}.", causes.join("; ")) };
    format!("Does not hold: {}.{causes}", failed.join(", "))
}

fn failure_cause(result: &RunResult) -> Option<String> {
    let most = result.failures.first()?;
    Some(format!("{} failed in {}: {}", units::count(most.count), most.phase, most.kind))
}

fn refusal_cause(result: &RunResult) -> Option<String> {
    (result.totals.false_reject > 0).then_some(())?;
    let refused = result.refusals.iter().find(|refusal| refusal.token_kind.usually() == Expected::Accept)?;
    Some(format!("{} were refused: {}", units::count(refused.count), refused.reason))
}

fn drop_cause(result: &RunResult) -> Option<String> {
    let most = result.sockets.drops.first()?;
    Some(format!("{} were dropped by the target: {}", units::count(most.count), most.kind))
}

fn false_accept_sentence(count: u64, kinds: &[(TokenKind, u64)]) -> String {
    let kinds: Vec<String> =
        kinds.iter().map(|(kind, count)| format!("{} {}", units::count(*count), kind.as_str())).collect();
    let (count, kinds) = (units::count(count), kinds.join(", "));
    format!("Tokens were let in that should have been refused: {count} in all ({kinds}).")
}

fn pass_sentence(result: &RunResult) -> String {
    let totals = &result.totals;
    let expected = totals.established + totals.refused_expected;
    let unexpected = totals.planned - expected.min(totals.planned);
    let established = units::count(totals.established);
    let mut sentence = match unexpected {
        0 if totals.refused_expected > 0 => format!(
            "All {} handshakes ended as they should: {established} established, {} refused",
            units::count(totals.planned),
            units::count(totals.refused_expected)
        ),
        0 => format!("All {established} handshakes were established"),
        _ => format!(
            "{established} of {} handshakes were established; {} ended otherwise",
            units::count(totals.planned),
            units::count(unexpected)
        ),
    };
    let unanswered = result.messages.map_or(0, |messages| messages.unanswered);
    for (count, what) in [(result.sockets.dropped, "sockets were dropped"), (unanswered, "messages were not answered")] {
        if count > 0 {
            sentence += &format!("; {} {what}", units::count(count));
        }
    }
    sentence + "; every threshold holds."
}

#[cfg(test)]
mod tests {
    use reports::schema::{Drop, Failure, Phase, Totals};

    use super::*;

    fn checked(text: &str, pass: bool, is_certain_failure: bool) -> Checked {
        let observed = Some(1.0);
        Checked { threshold: Threshold { text: text.into(), pass, observed, ..Threshold::default() }, is_certain_failure }
    }

    fn result(totals: Totals) -> RunResult {
        RunResult { totals, ..RunResult::default() }
    }

    const GOOD: Totals = Totals {
        planned: 10,
        started: 10,
        established: 10,
        refused_expected: 0,
        false_accept: 0,
        false_reject: 0,
        timeout: 0,
        failed: 0,
        interrupted: 0,
        not_sent: 0,
    };

    #[test]
    fn the_gravest_code_wins() {
        let hole = Totals { established: 9, false_accept: 1, ..GOOD };
        let valid = Judgement::default();
        let lost = Judgement { lost: vec!["no descriptors".into()], ..Judgement::default() };
        let late = Judgement { doubts: vec!["late".into()], ..Judgement::default() };
        let holds = [checked("established>0", true, false)];
        let slow = [checked("handshake.p99<1ms", false, false)];
        let refused = [checked("errors==0", false, true)];
        let wrong = Some("it is a teapot");
        for (totals, stopped, wrong_target, judgement, checked, code, why) in [
            (GOOD, false, None, &valid, &holds, PASS, "all is well"),
            (GOOD, false, None, &valid, &slow, THRESHOLD, "one fails"),
            (GOOD, false, None, &late, &slow, INVALID, "a latency of a late generator"),
            (GOOD, false, None, &late, &refused, THRESHOLD, "refusals do not depend on lag"),
            (GOOD, false, None, &lost, &refused, INVALID, "a part of the load was lost"),
            (GOOD, false, wrong, &lost, &refused, CONFIGURATION, "a wrong target"),
            (GOOD, true, wrong, &lost, &refused, STOPPED, "not ended"),
            (hole, true, wrong, &lost, &refused, FALSE_ACCEPT, "a hole"),
        ] {
            let verdict = decide(Ended {
                result: &result(totals),
                false_accepts: &[(TokenKind::Forged, 1)],
                stopped,
                wrong_target,
                judgement,
                checked,
            });
            assert_eq!(verdict.code, code, "{why}: {}", verdict.sentence);
            assert_eq!(verdict.passed(), code == PASS, "{why}");
        }
    }

    #[test]
    fn a_failed_threshold_names_what_was_seen_and_its_cause() {
        let mut outage = result(Totals { established: 939, failed: 61, planned: 1000, ..GOOD });
        outage.failures = vec![Failure { phase: Phase::Connect, kind: "refused".into(), count: 61 }];
        outage.sockets.drops = vec![Drop { kind: "reset".into(), count: 59 }];
        let failed = [checked("errors==0", false, true).threshold, checked("dropped==0", false, true).threshold];
        let sentence = threshold_sentence(&[&failed[0], &failed[1]], &outage);
        assert_eq!(
            sentence,
            "Does not hold: errors==0 (1), dropped==0 (1). 61 failed in connect: refused; 59 were dropped by the target: \
             reset."
        );
    }

    #[test]
    fn a_hole_is_named_by_its_tokens() {
        let kinds = [(TokenKind::Expired, 1200), (TokenKind::AlgNone, 1)];
        assert_eq!(
            false_accept_sentence(1201, &kinds),
            "Tokens were let in that should have been refused: 1,201 in all (1,200 expired, 1 alg-none)."
        );
    }

    #[test]
    fn a_pass_hides_neither_refusals_nor_failures_nor_drops() {
        let refused = pass_sentence(&result(Totals { established: 9, refused_expected: 1, ..GOOD }));
        assert!(refused.contains("9 established, 1 refused"), "{refused}");
        let mut failed = result(Totals { established: 9, failed: 1, ..GOOD });
        failed.sockets.dropped = 3;
        let failed = pass_sentence(&failed);
        assert!(failed.starts_with("9 of 10") && failed.contains("3 sockets were dropped"), "{failed}");
    }
}
