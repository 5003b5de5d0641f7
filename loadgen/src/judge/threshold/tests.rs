use super::*;
use crate::ground::outcome::Phase;
use crate::ground::recorder::Part;
use crate::spec::RunSpec;

/// 1,000 planned in a second: 980 established at 1 to 10 ms, 15 failed, 5 timed out.
struct Sample {
    open_model: bool,
}

impl Facts for Sample {
    fn measured(&self, metric: Metric, is_named: bool) -> Option<Metric> {
        match metric {
            Metric::Handshake(Part::Response) if !self.open_model => {
                (!is_named).then_some(Metric::Handshake(Part::Service))
            }
            _ => Some(metric),
        }
    }

    fn latency_ns(&self, metric: Metric, stat: Stat) -> Option<f64> {
        match (metric, stat) {
            (Metric::Phase(Phase::Login), _) => None,
            (Metric::Handshake(Part::Service), _) => Some(2e6),
            (_, Stat::Quantile(quantile)) if quantile <= 0.98 => Some(quantile * 1e7),
            _ => Some(f64::INFINITY),
        }
    }

    fn count(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Established => 980,
            Outcome::Failed => 15,
            Outcome::Timeout => 5,
            _ => 0,
        }
    }

    fn planned(&self) -> u64 {
        1000
    }

    fn rate_per_s(&self, outcome: Outcome) -> f64 {
        self.count(outcome) as f64
    }

    fn dropped(&self) -> u64 {
        49
    }

    fn dropped_by_silence(&self) -> u64 {
        9
    }

    fn messages(&self) -> u64 {
        200
    }

    fn unanswered(&self) -> u64 {
        2
    }
}

fn assert_passes(text: &str, open_model: bool, expected: &[bool], why: &str) {
    let checked = check(&Expression::parse(text).unwrap(), &Sample { open_model });
    let passes: Vec<bool> = checked.iter().map(|one| one.threshold.pass).collect();
    assert_eq!(passes, expected, "{text}: {why}: {checked:?}");
}

#[test]
fn conditions_hold_or_not() {
    for (text, expected, why) in [
        ("handshake.p50<5.1ms", &[true][..], "response is meant"),
        ("handshake.p50<5ms", &[false], "below is below"),
        ("handshake.p50<=5ms", &[true], "at most"),
        ("handshake.p99<10s", &[false], "two in a hundred failed, which is infinitely slow"),
        ("p(95)<10", &[true], "k6's way, in milliseconds"),
        ("handshake.service.p99<3ms", &[true], "another part"),
        ("login.p50<1s", &[false], "what was not measured does not hold"),
        ("login.p50>0s", &[false], "whatever the operator"),
        ("errors<2.1%", &[true], "20 in 1,000"),
        ("errors<2%", &[false], "not fewer than 20"),
        ("errors==20", &[true], "a count"),
        ("timeout<=0.5%", &[true], "a share of one outcome"),
        ("false_accept==0,established>979", &[true, true], "a comma means and"),
        ("established>0,failed==0", &[true, false], "each for itself"),
        ("rate(established)>1000/s", &[false], "980"),
        ("rate(established) >= 980", &[true], "spaces, and a rate without its unit"),
        ("dropped<=5%", &[true], "49 of the 980 that were established"),
        ("dropped<49", &[false], "49"),
        ("unanswered<=1%", &[true], "2 of 200 messages"),
    ] {
        assert_passes(text, true, expected, why);
    }
}

#[test]
fn the_closed_model_has_no_response() {
    assert_passes("handshake.p99<3ms", false, &[true], "service takes its place");
    assert_passes("handshake.response.p99<3s", false, &[false], "unless it was named");
}

#[test]
fn a_failure_is_certain_where_the_target_sent_it() {
    for (text, is_certain, why) in [
        ("errors==0", true, "15 failures, whatever became of the 5 timeouts"),
        ("errors<16", false, "15 failures are fewer; the timeouts decide"),
        ("timeout==0", false, "timeouts may be the generator's own"),
        ("established>=983", false, "985 with the timeouts"),
        ("established>=986", true, "not even with the timeouts"),
        ("dropped==0", true, "40 sockets were closed or reset"),
        ("dropped<45", false, "40 were closed or reset, 9 were silent"),
        ("unanswered==0", false, "an answer may have been read late"),
        ("handshake.p99<1ms", false, "a latency"),
        ("established>0", false, "it holds"),
    ] {
        let checked = check(&Expression::parse(text).unwrap(), &Sample { open_model: true });
        assert_eq!(checked[0].is_certain_failure, is_certain, "{text}: {why}");
    }
}

#[test]
fn a_figure_is_absent_for_a_reason() {
    for (text, absent) in [
        ("handshake.p99<10s", Some(Absent::InfinitelySlow)),
        ("login.p50<1s", Some(Absent::NoSamples)),
        ("handshake.p50<1s", None),
    ] {
        let checked = check(&Expression::parse(text).unwrap(), &Sample { open_model: true });
        assert_eq!(checked[0].threshold.absent, absent, "{text}");
        assert_eq!(checked[0].threshold.observed.is_none(), absent.is_some(), "{text}");
    }
}

#[test]
fn an_expression_replaces_the_default_of_its_quantity() {
    for (flags, expected, why) in [
        ("", "established>0 errors==0 dropped==0", "the defaults"),
        ("--echo 1", "established>0 errors==0 dropped==0 unanswered==0", "answers are waited for"),
        ("--echo 1 --answered-by none --message-rate 1/s", "established>0 errors==0 dropped==0", "no answer is"),
        ("--mix forged=1", "refused_expected>0 errors==0 dropped==0", "every token should be refused"),
        ("--mix forged=1 --expect forged=accept", "established>0 errors==0 dropped==0", "none should"),
        ("--threshold errors<1%", "established>0 dropped==0 errors<1%", "a share of the same"),
        ("--threshold dropped<5,established>9", "errors==0 dropped<5,established>9", "two in one expression"),
        ("--threshold rate(established)>5/s", "established>0 errors==0 dropped==0 rate(established)>5/s", "a rate"),
        (
            "--threshold timeout<5",
            "established>0 false_accept==0 false_reject==0 failed==0 not_sent==0 dropped==0 timeout<5",
            "one outcome is taken out of the errors",
        ),
    ] {
        let spec = RunSpec::of_flags(&format!("--target ws://127.0.0.1:1/ws --token-source mint --secret x {flags}"));
        let asked: Vec<String> =
            with_defaults(&spec.report.thresholds, &spec.load).iter().map(ToString::to_string).collect();
        assert_eq!(asked.join(" "), expected, "{flags}: {why}");
    }
}
