//! Which expressions a run is asked, and whether their conditions hold.

use reports::schema::{Absent, Threshold, Unit};

use crate::ground::expression::{Condition, Counted, ERRORS, Expression, Quantity, Stat};
use crate::ground::outcome::Outcome;
use crate::ground::recorder::Metric;
use crate::spec::LoadSpec;

/// What a run measured, as expressions ask for it.
pub trait Facts {
    /// The metric in whose place `metric` is measured: the same where it has planned instants; `None` where it has none
    /// and the response was asked for by name.
    fn measured(&self, metric: Metric, is_named: bool) -> Option<Metric>;
    /// A figure of a latency, in nanoseconds; infinite where the rank falls on a failure or a timeout, `None` where
    /// nothing was measured.
    fn latency_ns(&self, metric: Metric, stat: Stat) -> Option<f64>;
    /// Arrivals that ended so.
    fn count(&self, outcome: Outcome) -> u64;
    /// Arrivals that were planned: the sum of all counts.
    fn planned(&self) -> u64;
    /// Arrivals per second that ended so, from T0 to the end of the last handshake.
    fn rate_per_s(&self, outcome: Outcome) -> f64;
    /// Established sockets that the target ended before their time.
    fn dropped(&self) -> u64;
    /// The part of them that ended because no heartbeat or answer came in time.
    fn dropped_by_silence(&self) -> u64;
    /// Messages that were sent and whose answer was due.
    fn messages(&self) -> u64;
    /// Those of them that were not answered.
    fn unanswered(&self) -> u64;
}

/// A condition that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// As the result shows it.
    pub threshold: Threshold,
    /// It fails because of what the target sent (refusals, closes, resets), whatever the generator's lag: it fails even
    /// where each timeout is taken for a success.
    pub is_certain_failure: bool,
}

/// What a run is asked: the defaults that `asked` does not replace, and `asked`.
///
/// The defaults are `established>0` (where every token should be refused, `refused_expected>0`), `errors==0`,
/// `dropped==0`, and `unanswered==0` where answers are waited for. An expression on the same quantity replaces its
/// default; one on an outcome that `errors` contains takes that outcome out of `errors==0`.
pub fn with_defaults(asked: &[Expression], load: &LoadSpec) -> Vec<Expression> {
    let counted: Vec<Counted> = asked.iter().flat_map(Expression::conditions).filter_map(Condition::counted).collect();
    let any_ended = if load.mix.accepts_any() { Outcome::Established } else { Outcome::RefusedExpected };
    let mut defaults = Vec::new();
    if !counted.contains(&Counted::One(any_ended)) {
        defaults.push(format!("{any_ended}>0"));
    }
    if !counted.contains(&Counted::Errors) {
        let others: Vec<_> = ERRORS.into_iter().filter(|outcome| !counted.contains(&Counted::One(*outcome))).collect();
        match others.len() {
            len if len == ERRORS.len() => defaults.push("errors==0".to_owned()),
            _ => defaults.extend(others.iter().map(|outcome| format!("{outcome}==0"))),
        }
    }
    if !counted.contains(&Counted::Dropped) {
        defaults.push("dropped==0".to_owned());
    }
    if load.echo.awaits_answers() && !counted.contains(&Counted::Unanswered) {
        defaults.push("unanswered==0".to_owned());
    }
    let defaults = defaults.iter().map(|text| Expression::parse(text).expect("a condition of the grammar"));
    defaults.chain(asked.iter().cloned()).collect()
}

/// Checks each condition, in the order of writing. A quantity that was not measured does not hold.
pub fn check(expression: &Expression, facts: &dyn Facts) -> Vec<Checked> {
    expression.conditions().iter().map(|condition| check_one(condition, facts)).collect()
}

fn check_one(condition: &Condition, facts: &dyn Facts) -> Checked {
    let observed = observe(condition.quantity, facts, Timeouts::Counted);
    let holds = |observed: Option<f64>| observed.is_some_and(|it| condition.operator.holds(it, condition.limit));
    let pass = holds(observed);
    let is_count = matches!(condition.quantity, Quantity::Count(_) | Quantity::Share(_));
    let (scale, unit) = match condition.quantity {
        Quantity::Latency { .. } => (1e-3, Unit::Us),
        Quantity::Count(_) => (1.0, Unit::Count),
        Quantity::Share(_) => (1.0, Unit::Share),
        Quantity::Rate(_) => (1.0, Unit::PerS),
    };
    let absent = match observed {
        None => Some(Absent::NoSamples),
        Some(observed) => (!observed.is_finite()).then_some(Absent::InfinitelySlow),
    };
    Checked {
        threshold: Threshold {
            text: condition.text.clone(),
            observed: observed.filter(|_| absent.is_none()).map(|observed| observed * scale),
            absent,
            unit,
            pass,
        },
        is_certain_failure: is_count
            && !pass
            && observed.is_some()
            && !holds(observe(condition.quantity, facts, Timeouts::TakenForSuccesses)),
    }
}

/// What becomes of arrivals and messages that timed out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Timeouts {
    Counted,
    /// They might have succeeded on a machine that keeps up.
    TakenForSuccesses,
}

/// In the quantity's unit: nanoseconds, a number, 0 to 1, or per second.
fn observe(quantity: Quantity, facts: &dyn Facts, timeouts: Timeouts) -> Option<f64> {
    match quantity {
        Quantity::Latency { metric, named, stat } => facts.latency_ns(facts.measured(metric, named)?, stat),
        Quantity::Count(counted) => Some(count(counted, facts, timeouts) as f64),
        Quantity::Share(counted) => {
            let whole = match counted {
                Counted::One(_) | Counted::Errors => facts.planned(),
                Counted::Dropped => facts.count(Outcome::Established),
                Counted::Unanswered => facts.messages(),
            };
            (whole > 0).then(|| count(counted, facts, timeouts) as f64 / whole as f64)
        }
        Quantity::Rate(outcome) => Some(facts.rate_per_s(outcome)),
    }
}

fn count(counted: Counted, facts: &dyn Facts, timeouts: Timeouts) -> u64 {
    let is_counted = timeouts == Timeouts::Counted;
    let of_outcome = |outcome: Outcome| match outcome {
        // The generator's own doing, or its lag's.
        Outcome::Timeout | Outcome::NotSent if !is_counted => 0,
        Outcome::Established if !is_counted => facts.count(outcome) + facts.count(Outcome::Timeout),
        _ => facts.count(outcome),
    };
    match counted {
        Counted::One(outcome) => of_outcome(outcome),
        Counted::Errors => ERRORS.into_iter().map(of_outcome).sum(),
        Counted::Dropped if is_counted => facts.dropped(),
        Counted::Dropped => facts.dropped().saturating_sub(facts.dropped_by_silence()),
        Counted::Unanswered if is_counted => facts.unanswered(),
        Counted::Unanswered => 0,
    }
}

#[cfg(test)]
mod tests;
