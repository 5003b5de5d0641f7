//! One condition of an expression: a quantity, an operator and a limit.

use crate::ground::outcome::Outcome;
use crate::ground::recorder::{Metric, Part};

/// One condition of an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// As written, without spaces around it.
    pub text: String,
    /// What is measured.
    pub quantity: Quantity,
    /// How it is compared.
    pub operator: Operator,
    /// In the quantity's unit: nanoseconds, arrivals, 0 to 1, or per second.
    pub limit: f64,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantity {
    /// A figure of a latency.
    Latency {
        /// Which latency.
        metric: Metric,
        /// Whether the part was written out; without it, the closed model means `service`.
        named: bool,
        /// Which figure of it.
        stat: Stat,
    },
    /// How many.
    Count(Counted),
    /// The same as a part of a whole, 0 to 1: of the planned arrivals, the established sockets or the sent messages.
    Share(Counted),
    /// Arrivals per second that ended so, from T0 to the end of the last handshake.
    Rate(Outcome),
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Arrivals that ended in one outcome.
    One(Outcome),
    /// Arrivals that ended otherwise than they should have, except those that the user interrupted.
    Errors,
    /// Established sockets that the target ended before their time.
    Dropped,
    /// Messages whose answer did not come in time.
    Unanswered,
}

/// How an observed figure is compared with its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
}

/// A figure of a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stat {
    /// The quantile of this rank, above 0 and below 1.
    Quantile(f64),
    /// The slowest.
    Max,
    /// The arithmetic mean.
    Mean,
}

/// The outcomes that `errors` sums up.
pub const ERRORS: [Outcome; 5] =
    [Outcome::FalseAccept, Outcome::FalseReject, Outcome::Timeout, Outcome::Failed, Outcome::NotSent];

impl Condition {
    /// What it counts, if it is about a count or a share.
    pub fn counted(&self) -> Option<Counted> {
        match self.quantity {
            Quantity::Count(counted) | Quantity::Share(counted) => Some(counted),
            _ => None,
        }
    }

    /// The upper limit that it sets to the handshake's response, in nanoseconds.
    pub fn handshake_limit_ns(&self) -> Option<f64> {
        match (self.quantity, self.operator) {
            (
                Quantity::Latency { metric: Metric::Handshake(Part::Response), .. },
                Operator::Below | Operator::AtMost,
            ) => Some(self.limit),
            _ => None,
        }
    }
}

impl Operator {
    /// Whether `observed` keeps to `limit`.
    pub fn holds(self, observed: f64, limit: f64) -> bool {
        match self {
            Self::Below => observed < limit,
            Self::AtMost => observed <= limit,
            Self::Above => observed > limit,
            Self::AtLeast => observed >= limit,
            Self::Equal => observed == limit,
        }
    }
}
