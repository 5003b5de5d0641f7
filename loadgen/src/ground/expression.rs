//! Expressions over a result, one grammar for thresholds and objectives.
//!
//! ```text
//! expression  = condition *( "," condition )                      a comma means and
//! condition   = quantity operator value
//! quantity    = latency "." stat | "p(" number ")" | outcome | "errors" | "rate(" outcome ")"
//! latency     = ( "handshake" | "echo" ) [ "." ( "response" | "service" | "lag" ) ]
//!             | "login" | "token" | "connect" | "tls" | "upgrade" | "open" | "poll" | "auth"
//! stat        = "p50" | "p90" | "p95" | "p99" | "p99.9" | "max" | "mean"
//! outcome     = "established" | "false_accept" | ...              every outcome of an arrival
//! operator    = "<" | "<=" | ">" | ">=" | "=="
//! value       = number unit        us, ms or s for a latency; % or nothing for a count; /s for a rate
//! ```
//!
//! k6's `p(99)<400` reads `handshake.p99<400ms`. Where no part is named, `response` is meant; the closed model has no
//! plan to respond to, there it is `service`. Failures and timeouts rank as infinitely slow, which is the business of
//! whoever answers [`Facts::latency_ns`].

mod parse;

use std::fmt;
use std::str::FromStr;

use crate::ground::outcome::Outcome;
use crate::ground::recorder::{Metric, Part};

pub use parse::ParseError;

/// Conditions that must all hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// At least one.
    conditions: Vec<Condition>,
}

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

/// One condition, asked of the facts.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The condition as it was written.
    pub text: String,
    /// What was seen; infinite for a latency that ranks on a failure, `None` where nothing was measured.
    pub observed: Option<f64>,
    /// What `observed` counts.
    pub unit: Unit,
    /// Whether it holds. What was not measured holds nothing.
    pub pass: bool,
}

/// What a number of an expression counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A duration.
    Nanoseconds,
    /// Arrivals.
    Count,
    /// A part of all that were planned, 0 to 1.
    Share,
    /// Arrivals per second.
    PerSecond,
}

/// A figure of a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stat {
    /// So great a part, above 0 and below 1, was no slower.
    Quantile(f64),
    /// The slowest.
    Max,
    /// The arithmetic mean.
    Mean,
}

impl Expression {
    /// Reads an expression; the error points at the character where it went wrong.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::expression(text).map(|conditions| Self { conditions })
    }

    /// Asks each condition of the facts, in the order of writing.
    pub fn evaluate(&self, facts: &dyn Facts) -> Vec<Checked> {
        self.conditions.iter().map(|condition| condition.check(facts)).collect()
    }

    /// The tightest upper limit that it sets to the response of the handshake, in nanoseconds: the objective by which
    /// the generator's own lag is judged.
    pub fn handshake_limit_ns(&self) -> Option<f64> {
        self.conditions.iter().filter_map(Condition::handshake_limit_ns).min_by(f64::total_cmp)
    }
}

impl FromStr for Expression {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, condition) in self.conditions.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(out, "{comma}{}", condition.text)?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    /// As written, without spaces around it.
    text: String,
    quantity: Quantity,
    operator: Operator,
    /// In the quantity's unit: nanoseconds, arrivals, 0 to 1, or per second.
    limit: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Quantity {
    Latency {
        metric: Metric,
        /// The part was written out: then the closed model has no `response`.
        named: bool,
        stat: Stat,
    },
    Count(Counted),
    Share(Counted),
    Rate(Outcome),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    One(Outcome),
    /// Every arrival that ended otherwise than it should have; one that the user interrupted is none.
    Errors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
}

/// The outcomes that `errors` sums up.
const ERRORS: [Outcome; 5] =
    [Outcome::FalseAccept, Outcome::FalseReject, Outcome::Timeout, Outcome::Failed, Outcome::NotSent];

impl Condition {
    fn check(&self, facts: &dyn Facts) -> Checked {
        let (observed, unit) = self.quantity.observe(facts);
        Checked {
            text: self.text.clone(),
            observed,
            unit,
            pass: observed.is_some_and(|observed| self.operator.holds(observed, self.limit)),
        }
    }

    fn handshake_limit_ns(&self) -> Option<f64> {
        match (self.quantity, self.operator) {
            (
                Quantity::Latency { metric: Metric::Handshake(Part::Response), .. },
                Operator::Below | Operator::AtMost,
            ) => Some(self.limit),
            _ => None,
        }
    }
}

impl Quantity {
    fn observe(self, facts: &dyn Facts) -> (Option<f64>, Unit) {
        match self {
            Self::Latency { metric, named, stat } => {
                let metric = match metric {
                    Metric::Handshake(Part::Response) if !facts.open_model() => {
                        (!named).then_some(Metric::Handshake(Part::Service))
                    }
                    Metric::Echo(Part::Response) if !facts.open_model() => {
                        (!named).then_some(Metric::Echo(Part::Service))
                    }
                    _ => Some(metric),
                };
                let observed = metric.and_then(|metric| facts.latency_ns(metric, stat));
                (observed, Unit::Nanoseconds)
            }
            Self::Count(counted) => (Some(counted.count(facts) as f64), Unit::Count),
            Self::Share(counted) => {
                let planned = facts.planned();
                let share = (planned > 0).then(|| counted.count(facts) as f64 / planned as f64);
                (share, Unit::Share)
            }
            Self::Rate(outcome) => (Some(facts.rate_per_s(outcome)), Unit::PerSecond),
        }
    }
}

impl Counted {
    fn count(self, facts: &dyn Facts) -> u64 {
        match self {
            Self::One(outcome) => facts.count(outcome),
            Self::Errors => ERRORS.iter().map(|outcome| facts.count(*outcome)).sum(),
        }
    }
}

impl Operator {
    fn holds(self, observed: f64, limit: f64) -> bool {
        match self {
            Self::Below => observed < limit,
            Self::AtMost => observed <= limit,
            Self::Above => observed > limit,
            Self::AtLeast => observed >= limit,
            Self::Equal => observed == limit,
        }
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

    fn check(text: &str, open_model: bool, expected: &[bool], why: &str) {
        let checked = Expression::parse(text).unwrap().evaluate(&Sample { open_model });
        let passes: Vec<bool> = checked.iter().map(|condition| condition.pass).collect();
        assert_eq!(passes, expected, "{text}: {why}: {checked:?}");
    }

    #[test]
    fn conditions_are_asked_of_the_facts() {
        for (text, expected, why) in [
            ("handshake.p50<5.1ms", &[true][..], "response is meant"),
            ("handshake.p50<5ms", &[false], "below is below"),
            ("handshake.p50<=5ms", &[true], "at most"),
            ("handshake.p99<10s", &[false], "two in a hundred failed, which is infinitely slow"),
            ("p(95)<10", &[true], "k6's way, in milliseconds"),
            ("handshake.service.p99<3ms", &[true], "another part"),
            ("login.p50<1s", &[false], "what was not measured holds nothing"),
            ("login.p50>0s", &[false], "whichever way it is asked"),
            ("errors<2.1%", &[true], "20 in 1,000"),
            ("errors<2%", &[false], "not fewer than 20"),
            ("errors==20", &[true], "a count"),
            ("timeout<=0.5%", &[true], "a share of one outcome"),
            ("false_accept==0,established>979", &[true, true], "a comma means and"),
            ("established>0,failed==0", &[true, false], "each for itself"),
            ("rate(established)>1000/s", &[false], "980"),
            ("rate(established) >= 980", &[true], "spaces, and a rate without its unit"),
        ] {
            check(text, true, expected, why);
        }
    }

    #[test]
    fn the_closed_model_has_no_response() {
        check("handshake.p99<3ms", false, &[true], "service takes its place");
        check("handshake.response.p99<3s", false, &[false], "unless it was named");
    }

    #[test]
    fn the_objective_is_the_tightest_limit_of_the_handshake() {
        for (text, limit_ns) in [
            ("handshake.p99<50ms,errors<1%", Some(50e6)),
            ("handshake.p99<50ms,handshake.p50<=5ms", Some(5e6)),
            ("p(99)<400", Some(400e6)),
            ("handshake.p99>50ms", None),
            ("handshake.service.p99<50ms", None),
            ("errors<1%", None),
        ] {
            assert_eq!(Expression::parse(text).unwrap().handshake_limit_ns(), limit_ns, "{text}");
        }
    }
}
