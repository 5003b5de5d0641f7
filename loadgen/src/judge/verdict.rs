//! The verdict on a run: one exit code, and one sentence for a person.
//!
//! The codes are those that users of k6 know where k6 has one (99, 104, 105). When several apply, the gravest is
//! reported: a false accept is a security hole in the target and outweighs everything; a run that was stopped, that
//! never reached a socket server, or that is not valid has no threshold worth reading.

use reports::render::observed;
use reports::schema::{RunResult, Threshold, Unit, Verdict, VerdictName};
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
    /// Of the false accepts, those that the target closed itself.
    pub false_accepts_closed: u64,
    /// Why the target cannot be measured, if it cannot.
    pub wrong_target: Option<&'a WrongTarget>,
    /// Whether the figures may be trusted.
    pub judgement: &'a Judgement,
    /// The expressions, checked.
    pub checked: &'a [Checked],
}

/// Why a target cannot be measured as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct WrongTarget {
    /// Which kind of reason.
    pub name: VerdictName,
    /// The reason as a sentence without its full stop.
    pub why: String,
}

/// The verdict on a run that has ended.
pub fn decide(ended: Ended<'_>) -> Verdict {
    let totals = &ended.result.totals;
    let failed = |is_certain: bool| {
        let failed =
            ended.checked.iter().filter(move |one| !one.threshold.pass && (one.is_certain_failure || !is_certain));
        failed.map(|one| &one.threshold).collect::<Vec<_>>()
    };
    let (certain, all) = (failed(true), failed(false));
    let (code, name, sentence) = if totals.false_accept > 0 && !closes_good_and_bad_alike(&ended) {
        (FALSE_ACCEPT, VerdictName::FalseAccept, false_accept_sentence(&ended))
    } else if ended.stopped {
        let sentence = format!(
            "Stopped by a signal after {} arrivals; what was measured until then is here.",
            units::count(totals.planned)
        );
        (STOPPED, VerdictName::Interrupted, sentence)
    } else if totals.false_accept > 0 {
        (CONFIGURATION, VerdictName::TokenNotChecked, TOKEN_LATER_SENTENCE.to_owned())
    } else if let Some(WrongTarget { name, why }) = ended.wrong_target {
        (CONFIGURATION, *name, format!("{why}."))
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
    let causes: Vec<String> =
        [failure_cause(result), refusal_cause(result), drop_cause(result)].into_iter().flatten().collect();
    let causes = if causes.is_empty() { String::new() } else { format!(" {}.", causes.join("; ")) };
    format!("Does not hold: {}.{causes}", failed.join(", "))
}

fn failure_cause(result: &RunResult) -> Option<String> {
    let most = result.failures.first()?;
    Some(format!("{} failed in {}: {}", units::count(most.count), most.phase, with_words(&most.kind, &most.words)))
}

fn refusal_cause(result: &RunResult) -> Option<String> {
    (result.totals.false_reject > 0).then_some(())?;
    let refused = result.refusals.iter().find(|refusal| refusal.token_kind.usually() == Expected::Accept)?;
    Some(format!("{} were refused: {}", units::count(refused.count), refused.reason))
}

fn drop_cause(result: &RunResult) -> Option<String> {
    let most = result.sockets.drops.first()?;
    let how = with_words(&most.kind, &most.words);
    Some(format!("{} were dropped by the target: {how}", units::count(most.count)))
}

fn with_words(kind: &str, words: &Option<String>) -> String {
    words.as_ref().map_or_else(|| kind.to_owned(), |words| format!("{kind} ({words})"))
}

/// A server that checks tokens after the handshake closes the sockets of good and bad tokens alike, because it never
/// received the token where it wants it: no security alarm.
fn closes_good_and_bad_alike(ended: &Ended<'_>) -> bool {
    let result = ended.result;
    needs_no_token(result)
        && ended.false_accepts_closed == result.totals.false_accept
        && result.totals.established > 0
        && result.sockets.dropped == result.totals.established
}

/// Whether handshakes without any token were accepted.
fn needs_no_token(result: &RunResult) -> bool {
    result.control.is_some_and(|control| control.handshakes > 0 && control.accepted == control.handshakes)
}

const TOKEN_LATER_SENTENCE: &str = "No token is checked in the handshake, and the target closed the sockets of valid and invalid tokens alike: it seems to \
     want the token in a message; see --token-in message, or measure the handshake alone with --hold 0s.";

fn false_accept_sentence(ended: &Ended<'_>) -> String {
    let kinds: Vec<String> =
        ended.false_accepts.iter().map(|(kind, count)| format!("{} {}", units::count(*count), kind.as_str())).collect();
    let (count, kinds) = (units::count(ended.result.totals.false_accept), kinds.join(", "));
    let unchecked = match needs_no_token(ended.result) {
        true => "No token is checked in the handshake: a handshake without any token is accepted too. ",
        false => "",
    };
    let closed = match ended.false_accepts_closed {
        0 => String::new(),
        closed => format!(
            " The target closed {} of these sockets itself later: if that is how it refuses a token, say how long it takes \
             with --auth-grace.",
            units::count(closed)
        ),
    };
    format!("{unchecked}Tokens were let in that should have been refused: {count} in all ({kinds}).{closed}")
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
    for (count, what) in [(result.sockets.dropped, "sockets were dropped"), (unanswered, "messages were not answered")]
    {
        if count > 0 {
            sentence += &format!("; {} {what}", units::count(count));
        }
    }
    sentence + ", and every threshold holds."
}

#[cfg(test)]
mod tests {
    use reports::schema::{Control, Drop, Failure, Phase, Totals};

    use super::*;

    fn checked(text: &str, pass: bool, is_certain_failure: bool) -> Checked {
        let observed = Some(1.0);
        Checked {
            threshold: Threshold { text: text.into(), pass, observed, ..Threshold::default() },
            is_certain_failure,
        }
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
        let wrong = WrongTarget { name: VerdictName::Configuration, why: "it is a teapot".into() };
        for (totals, stopped, wrong_target, judgement, checked, code, why) in [
            (GOOD, false, None, &valid, &holds, PASS, "all is well"),
            (GOOD, false, None, &valid, &slow, THRESHOLD, "one fails"),
            (GOOD, false, None, &late, &slow, INVALID, "a latency of a late generator"),
            (GOOD, false, None, &late, &refused, THRESHOLD, "refusals do not depend on lag"),
            (GOOD, false, None, &lost, &refused, INVALID, "a part of the load was lost"),
            (GOOD, false, Some(&wrong), &lost, &refused, CONFIGURATION, "a wrong target"),
            (GOOD, true, Some(&wrong), &lost, &refused, STOPPED, "not ended"),
            (hole, true, Some(&wrong), &lost, &refused, FALSE_ACCEPT, "a hole"),
        ] {
            let result = result(totals);
            let verdict = decide(Ended { stopped, wrong_target, judgement, checked, ..ended(&result) });
            assert_eq!(verdict.code, code, "{why}: {}", verdict.sentence);
            assert_eq!(verdict.passed(), code == PASS, "{why}");
        }
    }

    /// A valid run without thresholds, with a forged token that was accepted.
    fn ended(result: &RunResult) -> Ended<'_> {
        static VALID: Judgement = Judgement { lost: Vec::new(), doubts: Vec::new() };
        Ended {
            result,
            false_accepts: &[(TokenKind::Forged, 1)],
            stopped: false,
            false_accepts_closed: 0,
            wrong_target: None,
            judgement: &VALID,
            checked: &[],
        }
    }

    #[test]
    fn a_false_accept_is_judged_by_handshakes_without_a_token() {
        let hole = Totals { established: 9, false_accept: 1, ..GOOD };
        let (unchecked, closed) = ("No token is checked in the handshake", "--auth-grace");
        for (accepted, false_accepts_closed, dropped, code, parts, why) in [
            (0, 0, 0, FALSE_ACCEPT, &["let in"][..], "the forged one alone is accepted"),
            (3, 0, 0, FALSE_ACCEPT, &[unchecked, "let in"], "all are accepted and kept"),
            (0, 1, 0, FALSE_ACCEPT, &["let in", closed], "refused by a late close"),
            (3, 1, 0, FALSE_ACCEPT, &[unchecked, closed], "the good ones are kept"),
            (3, 0, 9, FALSE_ACCEPT, &[unchecked], "the bad ones are kept"),
            (3, 1, 9, CONFIGURATION, &[unchecked, "--token-in message", "--hold"], "good and bad are closed alike"),
            (0, 1, 9, FALSE_ACCEPT, &["let in", closed], "a handshake needs some token"),
        ] {
            let mut result = result(hole);
            result.control = Some(Control { handshakes: 3, accepted });
            result.sockets.dropped = dropped;
            let verdict = decide(Ended { false_accepts_closed, ..ended(&result) });
            assert_eq!(verdict.code, code, "{why}: {}", verdict.sentence);
            assert!(parts.iter().all(|part| verdict.sentence.contains(part)), "{why}: {}", verdict.sentence);
        }
    }

    #[test]
    fn a_failed_threshold_names_what_was_seen_and_its_cause() {
        let mut outage = result(Totals { established: 939, failed: 61, planned: 1000, ..GOOD });
        outage.failures = vec![Failure {
            phase: Phase::Connect,
            kind: "refused".into(),
            count: 61,
            words: Some("127.0.0.1:1 nothing listens there".into()),
        }];
        outage.sockets.drops = vec![Drop { kind: "reset".into(), count: 59, words: None }];
        let failed = [checked("errors==0", false, true).threshold, checked("dropped==0", false, true).threshold];
        let sentence = threshold_sentence(&[&failed[0], &failed[1]], &outage);
        assert_eq!(
            sentence,
            "Does not hold: errors==0 (1), dropped==0 (1). 61 failed in connect: refused (127.0.0.1:1 nothing \
             listens there); 59 were dropped by the target: \
             reset."
        );
    }

    #[test]
    fn a_hole_is_named_by_its_tokens() {
        let kinds = [(TokenKind::Expired, 1200), (TokenKind::AlgNone, 1)];
        let result = result(Totals { false_accept: 1201, ..GOOD });
        assert_eq!(
            false_accept_sentence(&Ended { false_accepts: &kinds, ..ended(&result) }),
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
