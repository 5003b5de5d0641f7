//! The verdict on a run: one exit code, and one sentence for a person.
//!
//! The codes are those that users of k6 know where k6 has one (99, 104, 105). When several apply, the gravest is
//! reported: a false accept is a security hole in the target and outweighs everything; a run that was stopped, that
//! never reached a socket server, or that is not valid has no threshold worth reading.

use reports::schema::{Threshold, Totals, Validity, Verdict, VerdictName};
use reports::units;

use crate::ground::outcome::TokenKind;

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
    /// How the arrivals ended.
    pub totals: &'a Totals,
    /// Which kinds of token were accepted that should have been refused, and how often.
    pub false_accepts: &'a [(TokenKind, u64)],
    /// Whether a signal ended the run.
    pub stopped: bool,
    /// Why the target is no server of the kind that was asked for, if it is none.
    pub no_server: Option<&'a str>,
    /// Whether the figures may be trusted.
    pub validity: &'a Validity,
    /// The expressions, checked.
    pub thresholds: &'a [Threshold],
}

/// The verdict on a run that has ended.
pub fn decide(ended: Ended<'_>) -> Verdict {
    let totals = ended.totals;
    let failed: Vec<&str> =
        ended.thresholds.iter().filter(|threshold| !threshold.pass).map(|threshold| threshold.text.as_str()).collect();
    let (code, name, sentence) = if totals.false_accept > 0 {
        let sentence = false_accept_sentence(totals.false_accept, ended.false_accepts);
        (FALSE_ACCEPT, VerdictName::FalseAccept, sentence)
    } else if ended.stopped {
        let sentence = format!(
            "Stopped by a signal after {} arrivals; what was measured until then is here.",
            units::count(totals.planned)
        );
        (STOPPED, VerdictName::Interrupted, sentence)
    } else if let Some(why) = ended.no_server {
        (CONFIGURATION, VerdictName::Configuration, format!("{why}."))
    } else if !ended.validity.valid {
        // The reasons stand beside it.
        (INVALID, VerdictName::Invalid, "These figures do not measure the server.".to_owned())
    } else if !failed.is_empty() {
        (THRESHOLD, VerdictName::Threshold, format!("Does not hold: {}.", failed.join(", ")))
    } else {
        (PASS, VerdictName::Pass, pass_sentence(totals))
    };
    Verdict { code, name, sentence }
}

fn false_accept_sentence(count: u64, kinds: &[(TokenKind, u64)]) -> String {
    let kinds: Vec<String> =
        kinds.iter().map(|(kind, count)| format!("{} {}", units::count(*count), kind.as_str())).collect();
    let (count, kinds) = (units::count(count), kinds.join(", "));
    format!("Tokens were let in that should have been refused: {count} in all ({kinds}).")
}

fn pass_sentence(totals: &Totals) -> String {
    let expected = totals.established + totals.refused_expected;
    let unexpected = totals.planned - expected.min(totals.planned);
    let established = units::count(totals.established);
    match unexpected {
        0 if totals.refused_expected > 0 => format!(
            "All {} handshakes ended as they should: {established} established, {} refused; every threshold holds.",
            units::count(totals.planned),
            units::count(totals.refused_expected)
        ),
        0 => format!("All {established} handshakes were established, and every threshold holds."),
        _ => format!(
            "{established} of {} handshakes were established; {} ended otherwise, within the thresholds.",
            units::count(totals.planned),
            units::count(unexpected)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_code_wins() {
        let good = Totals { planned: 10, started: 10, established: 10, ..Totals::default() };
        let hole = Totals { established: 9, false_accept: 1, ..good };
        let valid = Validity { valid: true, reasons: Vec::new() };
        let invalid = Validity { valid: false, reasons: vec!["late".into()] };
        let holds = [Threshold { text: "established>0".into(), pass: true, ..Threshold::default() }];
        let breaks = [Threshold { text: "errors<1%".into(), ..Threshold::default() }];
        let no_server = Some("it is a teapot");
        for (totals, stopped, no_server, validity, thresholds, code, why) in [
            (&good, false, None, &valid, &holds, PASS, "all is well"),
            (&good, false, None, &valid, &breaks, THRESHOLD, "one breaks"),
            (&good, false, None, &invalid, &breaks, INVALID, "no figure counts"),
            (&good, false, no_server, &invalid, &breaks, CONFIGURATION, "no server"),
            (&good, true, no_server, &invalid, &breaks, STOPPED, "not ended"),
            (&hole, true, no_server, &invalid, &breaks, FALSE_ACCEPT, "a hole"),
        ] {
            let verdict = decide(Ended {
                totals,
                false_accepts: &[(TokenKind::Forged, 1)],
                stopped,
                no_server,
                validity,
                thresholds,
            });
            assert_eq!(verdict.code, code, "{why}: {}", verdict.sentence);
            assert_eq!(verdict.passed(), code == PASS, "{why}");
        }
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
    fn refusals_that_should_be_are_a_pass() {
        let totals = Totals { planned: 10, started: 10, established: 9, refused_expected: 1, ..Totals::default() };
        let sentence = pass_sentence(&totals);
        assert!(sentence.contains("9 established, 1 refused"), "{sentence}");
    }

    #[test]
    fn a_pass_does_not_hide_failures() {
        let totals = Totals { planned: 10, started: 10, established: 9, failed: 1, ..Totals::default() };
        let sentence = pass_sentence(&totals);
        assert!(sentence.starts_with("9 of 10"), "{sentence}");
    }
}
