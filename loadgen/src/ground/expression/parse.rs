//! The parser of expressions: one pass from left to right that names, wherever it stops, what it expected there.

use std::fmt;

use crate::ground::expression::condition::{Condition, Counted, Operator, Quantity, Stat};
use crate::ground::nearest::nearest;
use crate::ground::outcome::{Outcome, Phase};
use crate::ground::recorder::{Metric, Part};

/// An expression that could not be read; `Display` shows it with a caret under the first character that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    text: String,
    /// In bytes; on a character's border, at most the text's length.
    at: usize,
    expected: String,
    /// The known name that an unknown one is probably meant to be.
    meant: Option<&'static str>,
}

impl fmt::Display for ParseError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.text.get(..self.at).unwrap_or(&self.text).chars().count();
        // A line break in the text would separate the caret from its character.
        let shown: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if let Some(meant) = self.meant {
            writeln!(out, "did you mean `{meant}`?")?;
        }
        writeln!(out, "expected {}", self.expected)?;
        writeln!(out, "  {shown}")?;
        write!(out, "  {:before$}^", "")
    }
}

const LATENCIES: [(&str, Metric); 10] = [
    ("handshake", Metric::Handshake(Part::Response)),
    ("echo", Metric::Echo(Part::Response)),
    ("login", Metric::Phase(Phase::Login)),
    ("token", Metric::Phase(Phase::Token)),
    ("connect", Metric::Phase(Phase::Connect)),
    ("tls", Metric::Phase(Phase::Tls)),
    ("upgrade", Metric::Phase(Phase::Upgrade)),
    ("open", Metric::Phase(Phase::Open)),
    ("poll", Metric::Phase(Phase::Poll)),
    ("auth", Metric::Phase(Phase::Auth)),
];

/// Beside the outcomes.
const COUNTS: [(&str, Counted); 3] =
    [("errors", Counted::Errors), ("dropped", Counted::Dropped), ("unanswered", Counted::Unanswered)];

const PARTS: [(&str, Part); 3] = [("response", Part::Response), ("service", Part::Service), ("lag", Part::Lag)];

const STATS: [(&str, Stat); 7] = [
    ("p99.9", Stat::Quantile(0.999)),
    ("p99", Stat::Quantile(0.99)),
    ("p95", Stat::Quantile(0.95)),
    ("p90", Stat::Quantile(0.90)),
    ("p50", Stat::Quantile(0.50)),
    ("max", Stat::Max),
    ("mean", Stat::Mean),
];

/// Longer ones first: `<` begins `<=`.
const OPERATORS: [(&str, Operator); 5] = [
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("==", Operator::Equal),
    ("<", Operator::Below),
    (">", Operator::Above),
];

pub(super) fn expression(text: &str) -> Result<Vec<Condition>, ParseError> {
    let mut reader = Reader { text, at: 0 };
    let mut conditions = Vec::new();
    loop {
        conditions.push(reader.condition()?);
        reader.spaces();
        if reader.rest().is_empty() {
            return Ok(conditions);
        }
        if !reader.take(",") {
            return Err(reader.expected("`,` and another condition, or the end"));
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn condition(&mut self) -> Result<Condition, ParseError> {
        self.spaces();
        let begin = self.at;
        let (subject, in_ms) = self.subject()?;
        self.spaces();
        let operator = self.one_of(&OPERATORS, "an operator")?;
        self.spaces();
        let (quantity, limit) = self.value(subject, in_ms)?;
        Ok(Condition { text: self.text[begin..self.at].to_owned(), quantity, operator, limit })
    }

    /// The quantity, and whether its value is in milliseconds without a unit, as in k6.
    fn subject(&mut self) -> Result<(Quantity, bool), ParseError> {
        let begin = self.at;
        let word = self.word();
        match word {
            "p" if self.take("(") => {
                let stat = self.percentile()?;
                self.require(")")?;
                let metric = Metric::Handshake(Part::Response);
                return Ok((latency(metric, false, stat), true));
            }
            "rate" if self.take("(") => {
                let begin = self.at;
                let Some(outcome) = Outcome::named(self.word()) else {
                    let word = &self.text[begin..self.at];
                    self.at = begin;
                    return Err(self.unknown(word, &Outcome::ALL.map(Outcome::as_str), &outcomes()));
                };
                self.require(")")?;
                return Ok((Quantity::Rate(outcome), false));
            }
            _ => {}
        }
        if let Some(counted) = named(&COUNTS, word) {
            return Ok((Quantity::Count(counted), false));
        }
        if let Some(outcome) = Outcome::named(word) {
            return Ok((Quantity::Count(Counted::One(outcome)), false));
        }
        let Some(metric) = named(&LATENCIES, word) else {
            self.at = begin;
            let known: Vec<&str> = quantities().collect();
            let what = format!("{}, rate(established) or p(99)", known.join(", "));
            return Err(self.unknown(word, &known, &what));
        };
        self.require(".")?;
        self.stat_of(metric).map(|quantity| (quantity, false))
    }

    /// After `handshake.`: a part and its stat, or the stat alone.
    fn stat_of(&mut self, metric: Metric) -> Result<Quantity, ParseError> {
        let begin = self.at;
        let part = named(&PARTS, self.word());
        let metric_of_part = match (metric, part) {
            (Metric::Handshake(_), Some(part)) => Some(Metric::Handshake(part)),
            (Metric::Echo(_), Some(part)) => Some(Metric::Echo(part)),
            _ => None,
        };
        if let Some(metric) = metric_of_part {
            self.require(".")?;
            let stat = self.one_of(&STATS, "a stat")?;
            return Ok(latency(metric, true, stat));
        }
        self.at = begin;
        let what = match metric {
            Metric::Phase(_) => "a stat",
            _ => "response, service, lag or a stat",
        };
        self.one_of(&STATS, what).map(|stat| latency(metric, false, stat))
    }

    /// Inside `p(...)`.
    fn percentile(&mut self) -> Result<Stat, ParseError> {
        let begin = self.at;
        let number = self.number()?;
        STATS
            .iter()
            .find(|(_, stat)| matches!(stat, Stat::Quantile(q) if (q * 100.0 - number).abs() < 1e-9))
            .map(|(_, stat)| *stat)
            .ok_or_else(|| {
                self.at = begin;
                self.expected("50, 90, 95, 99 or 99.9")
            })
    }

    /// A number with the unit of its quantity, converted to the unit of [`Condition::limit`].
    fn value(&mut self, subject: Quantity, in_ms: bool) -> Result<(Quantity, f64), ParseError> {
        let number = self.number()?;
        let unit = self.at;
        Ok(match subject {
            Quantity::Latency { .. } => {
                let unit_ns = match self.word() {
                    "us" => 1e3,
                    "ms" => 1e6,
                    "s" => 1e9,
                    "" if in_ms => 1e6,
                    _ => {
                        self.at = unit;
                        return Err(self.expected("us, ms or s"));
                    }
                };
                (subject, number * unit_ns)
            }
            Quantity::Count(counted) if self.take("%") => (Quantity::Share(counted), number / 100.0),
            Quantity::Rate(_) => {
                self.take("/s");
                (subject, number)
            }
            Quantity::Count(_) | Quantity::Share(_) => (subject, number),
        })
    }

    fn number(&mut self) -> Result<f64, ParseError> {
        let digits = self.rest().find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.rest().len());
        match self.rest()[..digits].parse::<f64>() {
            Ok(number) if number.is_finite() => {
                self.at += digits;
                Ok(number)
            }
            _ => Err(self.expected("a number")),
        }
    }

    /// The longest run of letters and underscores, which may be empty.
    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic() && c != '_').unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn one_of<T: Copy>(&mut self, table: &[(&str, T)], what: &str) -> Result<T, ParseError> {
        for (name, value) in table {
            let ends = |rest: &str| {
                !name.ends_with(|c: char| c.is_ascii_alphanumeric())
                    || !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.')
            };
            if self.rest().strip_prefix(name).is_some_and(ends) {
                self.at += name.len();
                return Ok(*value);
            }
        }
        Err(self.expected(&format!("{what}: {}", names(table))))
    }

    fn require(&mut self, text: &str) -> Result<(), ParseError> {
        if self.take(text) {
            return Ok(());
        }
        Err(self.expected(&format!("`{text}`")))
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn expected(&self, what: &str) -> ParseError {
        ParseError { text: self.text.to_owned(), at: self.at, expected: what.to_owned(), meant: None }
    }

    /// The same at a `word` that is none of the `known` names.
    fn unknown(&self, word: &str, known: &[&'static str], what: &str) -> ParseError {
        ParseError { meant: nearest(word, known).filter(|_| !word.is_empty()), ..self.expected(what) }
    }
}

fn latency(metric: Metric, named: bool, stat: Stat) -> Quantity {
    Quantity::Latency { metric, named, stat }
}

fn quantities() -> impl Iterator<Item = &'static str> {
    let latencies = LATENCIES.iter().map(|(name, _)| *name);
    latencies.chain(COUNTS.iter().map(|(name, _)| *name)).chain(Outcome::ALL.map(Outcome::as_str))
}

fn outcomes() -> String {
    Outcome::ALL.map(Outcome::as_str).join(", ")
}

fn named<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    table.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

fn names<T>(table: &[(&str, T)]) -> String {
    let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
