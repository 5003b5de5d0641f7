//! Whether the conditions of an expression hold.

use reports::schema::{Threshold, Unit};

use crate::ground::expression::{Condition, Counted, Expression, Quantity, Stat};
use crate::ground::outcome::Outcome;
use crate::ground::recorder::{Metric, Part};

/// What a run measured, as expressions ask for it.
pub trait Facts {
    /// Whether arrivals were planned: else the `response` of a composite has no meaning.
    fn open_model(&self) -> bool;
    /// A figure of a latency, in nanoseconds; infinite where the rank falls on a failure or a timeout, `None` where
    /// nothing was measured.
    fn latency_ns(&self, metric: Metric, stat: Stat) -> Option<f64>;
    /// Arrivals that ended so.
    fn count(&self, outcome: Outcome) -> u64;
    /// Arrivals that were planned: the sum of all counts.
    fn planned(&self) -> u64;
    /// Arrivals per second that ended so, from T0 to the end of the last handshake.
    fn rate_per_s(&self, outcome: Outcome) -> f64;
}

/// Checks each condition, in the order of writing. A quantity that was not measured does not hold.
pub fn check(expression: &Expression, facts: &dyn Facts) -> Vec<Threshold> {
    expression.conditions().iter().map(|condition| check_one(condition, facts)).collect()
}

fn check_one(condition: &Condition, facts: &dyn Facts) -> Threshold {
    let observed = observe(condition.quantity, facts);
    let (scale, unit) = match condition.quantity {
        Quantity::Latency { .. } => (1e-3, Unit::Us),
        Quantity::Count(_) => (1.0, Unit::Count),
        Quantity::Share(_) => (1.0, Unit::Share),
        Quantity::Rate(_) => (1.0, Unit::PerS),
    };
    Threshold {
        text: condition.text.clone(),
        // JSON has no infinity; an absent figure reads as "infinitely slow, or nothing was measured".
        observed: observed.map(|observed| observed * scale).filter(|observed| observed.is_finite()),
        unit,
        pass: observed.is_some_and(|observed| condition.operator.holds(observed, condition.limit)),
    }
}

/// In the quantity's unit: nanoseconds, arrivals, 0 to 1, or per second.
fn observe(quantity: Quantity, facts: &dyn Facts) -> Option<f64> {
    let count = |counted: Counted| counted.outcomes().iter().map(|outcome| facts.count(*outcome)).sum::<u64>() as f64;
    match quantity {
        Quantity::Latency { metric, named, stat } => facts.latency_ns(measured(metric, named, facts)?, stat),
        Quantity::Count(counted) => Some(count(counted)),
        Quantity::Share(counted) => {
            let planned = facts.planned();
            (planned > 0).then(|| count(counted) / planned as f64)
        }
        Quantity::Rate(outcome) => Some(facts.rate_per_s(outcome)),
    }
}

/// The closed model has no response: the service takes its place, unless the response was asked for by name.
fn measured(metric: Metric, named: bool, facts: &dyn Facts) -> Option<Metric> {
    match metric {
        _ if facts.open_model() => Some(metric),
        Metric::Handshake(Part::Response) => (!named).then_some(Metric::Handshake(Part::Service)),
        Metric::Echo(Part::Response) => (!named).then_some(Metric::Echo(Part::Service)),
        _ => Some(metric),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::outcome::Phase;

    /// 1,000 planned in a second: 980 established at 1 to 10 ms, 15 failed, 5 timed out.
    struct Sample {
        open_model: bool,
    }

    impl Facts for Sample {
        fn open_model(&self) -> bool {
            self.open_model
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
    }

    fn assert_passes(text: &str, open_model: bool, expected: &[bool], why: &str) {
        let checked = check(&Expression::parse(text).unwrap(), &Sample { open_model });
        let passes: Vec<bool> = checked.iter().map(|condition| condition.pass).collect();
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
        ] {
            assert_passes(text, true, expected, why);
        }
    }

    #[test]
    fn the_closed_model_has_no_response() {
        assert_passes("handshake.p99<3ms", false, &[true], "service takes its place");
        assert_passes("handshake.response.p99<3s", false, &[false], "unless it was named");
    }
}
