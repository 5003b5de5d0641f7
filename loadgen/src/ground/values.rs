//! Small values of flags and files, such as durations and rates, each with an error that names what is allowed.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// A value that could not be understood: what was given, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no {what}: {allowed}")]
pub struct ValueError {
    given: String,
    what: &'static str,
    allowed: &'static str,
}

impl ValueError {
    /// The error of a value that is no `what`; `allowed` is an instruction.
    pub fn new(given: &str, what: &'static str, allowed: &'static str) -> Self {
        Self { given: given.to_owned(), what, allowed }
    }
}

/// Input of a run that cannot be used, as a sentence: which input, what is wrong with it, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InputError(pub String);

/// A duration as people write it: `500ms`, `10s`, `1m30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

/// A day is longer than any run; a number beyond it is mistyped.
const PERIOD_S_MAX: f64 = 86_400.0;

impl FromStr for Period {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || {
            ValueError::new(
                text,
                "duration",
                "write numbers with a unit (us, ms, s, m, h), up to 24h, such as 500ms, 10s, 1m30s or 1h",
            )
        };
        let mut rest = text.trim();
        let mut total_s = 0.0;
        if rest.is_empty() {
            return Err(error());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
            let (number, after) = rest.split_at(digits);
            let unit = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(unit);
            let unit_s = match unit {
                "us" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(error()),
            };
            total_s += number.parse::<f64>().map_err(|_| error())? * unit_s;
            rest = after;
        }
        if total_s > PERIOD_S_MAX {
            return Err(error());
        }
        Ok(Self(Duration::from_nanos((total_s * 1e9).round() as u64)))
    }
}

/// Events per second: finite, above zero and at most [`RATE_PER_S_MAX`].
///
/// ```text
/// rate = number [ "/" [ number ] ( "s" | "m" | "h" ) ]         500, 500/s, 6/m, 360/h, 1/6s
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerSecond(f64);

impl PerSecond {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for PerSecond {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        per_second(text).filter(|per_s| *per_s > 0.0 && *per_s <= RATE_PER_S_MAX).map(Self).ok_or_else(|| {
            let allowed =
                "write a number, above 0 and at most 1e9 per second, by itself or as 500/s, 6/m, 360/h or 1/6s";
            ValueError::new(text, "rate", allowed)
        })
    }
}

fn per_second(text: &str) -> Option<f64> {
    let (events, per) = text.split_once('/').unwrap_or((text, "s"));
    let per = per.trim();
    let unit = per.len() - per.chars().next_back()?.len_utf8();
    let unit_s = match &per[unit..] {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let units = if unit == 0 { 1.0 } else { per[..unit].parse().ok()? };
    Some(events.trim().parse::<f64>().ok()? / (units * unit_s))
}

/// Two arrivals in one nanosecond have no order, so no schedule may be denser than the clock.
pub const RATE_PER_S_MAX: f64 = 1e9;

/// A token as it is sent: visible ASCII, never empty.
pub type Token = Arc<str>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let ms = |ms| Some(Period(Duration::from_millis(ms)));
        for (text, expected, why) in [
            ("500ms", ms(500), "milliseconds"),
            ("10s", ms(10_000), "seconds"),
            ("2m", ms(120_000), "minutes"),
            ("1h", ms(3_600_000), "hours"),
            ("1m30s", ms(90_000), "as k6 writes them"),
            ("1.5s", ms(1_500), "fractions"),
            ("0s", ms(0), "nothing is a time too"),
            ("10", None, "no unit"),
            ("", None, "empty"),
            ("s", None, "no number"),
            ("1.2.3s", None, "no number"),
            ("-1s", None, "below zero"),
            ("10 s", None, "one word"),
            ("25h", None, "longer than a day"),
            ("10x", None, "no such unit"),
        ] {
            assert_eq!(text.parse::<Period>().ok(), expected, "{text:?}: {why}");
        }
    }

    #[test]
    fn rates_are_above_zero() {
        for (text, expected) in [
            ("500", Some(500.0)),
            ("500/s", Some(500.0)),
            ("0.5/s", Some(0.5)),
            ("0", None),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("2e9", None),
            ("6/m", Some(0.1)),
            ("360/h", Some(0.1)),
            ("1/6s", Some(1.0 / 6.0)),
            ("3 / 2m", Some(0.025)),
            ("5/", None),
            ("5/d", None),
            ("5/0s", None),
            ("/s", None),
        ] {
            assert_eq!(text.parse().ok().map(PerSecond::get), expected, "{text}");
        }
    }
}
