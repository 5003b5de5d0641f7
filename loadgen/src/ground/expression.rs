//! Expressions over a result, one grammar for thresholds and objectives.
//!
//! ```text
//! expression  = condition *( "," condition )                      a comma means and
//! condition   = quantity operator value
//! quantity    = latency "." stat | "p(" number ")" | count | "rate(" outcome ")"
//! count       = outcome | "errors" | "dropped" | "unanswered"
//! latency     = ( "handshake" | "echo" ) [ "." ( "response" | "service" | "lag" ) ]
//!             | "login" | "token" | "connect" | "tls" | "upgrade" | "open" | "poll" | "auth"
//! stat        = "p50" | "p90" | "p95" | "p99" | "p99.9" | "max" | "mean"
//! outcome     = "established" | "false_accept" | ...              every outcome of an arrival
//! operator    = "<" | "<=" | ">" | ">=" | "=="
//! value       = number unit        us, ms or s for a latency; % or nothing for a count; /s for a rate
//! ```
//!
//! A share is of the planned arrivals; that of `dropped` is of the established sockets, that of `unanswered` of the sent
//! messages.
//!
//! k6's `p(99)<400` reads `handshake.p99<400ms`. Where no part is named, `response` is meant; the closed model has no
//! planned instants, so there it is `service`. Expressions are checked in `judge/threshold.rs`.

mod condition;
mod parse;

use std::fmt;
use std::str::FromStr;

pub use condition::{Condition, Counted, ERRORS, Operator, Quantity, Stat};
pub use parse::ParseError;

/// Conditions that must all hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// At least one.
    conditions: Vec<Condition>,
}

impl Expression {
    /// Reads an expression; the error points at the first character that does not fit.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::expression(text).map(|conditions| Self { conditions })
    }

    /// Its conditions, in the order of writing.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
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

#[cfg(test)]
mod tests {
    use super::*;

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
