//! Rates that change over time: steps, ramps, spikes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ground::values::{Period, RATE_PER_S_MAX, ValueError};

/// A stretch of time in which the rate goes evenly from one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "(Duration, f64, f64)", into = "(Duration, f64, f64)")]
pub struct Stage {
    /// Above zero.
    time: Duration,
    /// From zero to [`RATE_PER_S_MAX`].
    from_per_s: f64,
    /// From zero to [`RATE_PER_S_MAX`].
    to_per_s: f64,
}

/// What the rate of a stage may be.
const RATES_PER_S: std::ops::RangeInclusive<f64> = 0.0..=RATE_PER_S_MAX;

impl FromStr for Stage {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || {
            ValueError::new(
                text,
                "stage",
                "write TIME:RATE for a steady rate, as in 10s:500/s, or TIME:FROM..TO for a ramp, as in 30s:100..500/s",
            )
        };
        let (time, rates) = text.split_once(':').ok_or_else(error)?;
        let time = time.parse::<Period>().map_err(|_| error())?.0;
        let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
        let per_s = |text: &str| {
            let number = text.trim().trim_end_matches("/s").trim_end();
            number.parse().ok()
        };
        let (from_per_s, to_per_s) = per_s(from).zip(per_s(to)).ok_or_else(error)?;
        Self::new(time, from_per_s, to_per_s).ok_or_else(error)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}:{}", self.time, self.from_per_s)?;
        if self.from_per_s != self.to_per_s {
            write!(out, "..{}", self.to_per_s)?;
        }
        out.write_str("/s")
    }
}

impl Stage {
    /// `None` unless the time is above zero and both rates are from zero to [`RATE_PER_S_MAX`].
    pub fn new(time: Duration, from_per_s: f64, to_per_s: f64) -> Option<Self> {
        let rates = [from_per_s, to_per_s];
        let valid = !time.is_zero() && rates.iter().all(|rate| RATES_PER_S.contains(rate));
        valid.then_some(Self { time, from_per_s, to_per_s })
    }

    fn seconds(&self) -> f64 {
        self.time.as_secs_f64()
    }

    /// The expected number of arrivals.
    fn arrivals(&self) -> f64 {
        (self.from_per_s + self.to_per_s) / 2.0 * self.seconds()
    }

    /// Seconds from the stage's start until `arrivals` of its arrivals are due; `arrivals` is below [`Self::arrivals`].
    ///
    /// ```text
    /// arrivals(t) = from * t + k * t^2 / 2,   k = (to - from) / time
    /// t(n)        = 2n / (from + sqrt(from^2 + 2kn))          the same, without the loss of a difference
    /// ```
    fn seconds_at(&self, arrivals: f64) -> f64 {
        if arrivals <= 0.0 {
            return 0.0;
        }
        let slope = (self.to_per_s - self.from_per_s) / self.seconds();
        let rate = (self.from_per_s * self.from_per_s + 2.0 * slope * arrivals).max(0.0).sqrt();
        (2.0 * arrivals / (self.from_per_s + rate)).min(self.seconds())
    }
}

/// Stages one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Stage>", into = "Vec<Stage>")]
pub struct RateProfile {
    stages: Vec<Stage>,
}

impl RateProfile {
    /// `None`: no stage has a rate above zero.
    pub fn new(stages: Vec<Stage>) -> Option<Self> {
        let arrives = stages.iter().any(|stage| stage.arrivals() > 0.0);
        arrives.then_some(Self { stages })
    }

    /// The time of all stages.
    pub fn time(&self) -> Duration {
        self.stages.iter().map(|stage| stage.time).sum()
    }

    /// The expected number of arrivals of all stages.
    pub fn arrivals(&self) -> f64 {
        self.stages.iter().map(Stage::arrivals).sum()
    }

    /// The highest of their rates.
    pub fn rate_per_s_max(&self) -> f64 {
        let rates = self.stages.iter().map(|stage| stage.from_per_s.max(stage.to_per_s));
        rates.fold(0.0, f64::max)
    }

    /// The first rate at which anything arrives.
    pub fn rate_per_s_first(&self) -> f64 {
        let rates = self.stages.iter().flat_map(|stage| [stage.from_per_s, stage.to_per_s]);
        rates.into_iter().find(|per_s| *per_s > 0.0).unwrap_or_default()
    }

    /// When `arrivals` arrivals are due, in nanoseconds after T0; `None`: the profile ends before.
    pub fn offset_ns(&self, arrivals: f64) -> Option<u64> {
        let mut rest = arrivals;
        let mut begin_ns = 0;
        for stage in &self.stages {
            let expected = stage.arrivals();
            if rest < expected {
                let within_ns = (stage.seconds_at(rest) * 1e9).round() as u64;
                return Some(begin_ns + within_ns);
            }
            rest -= expected;
            begin_ns += u64::try_from(stage.time.as_nanos()).unwrap_or(u64::MAX / 2);
        }
        None
    }
}

impl TryFrom<(Duration, f64, f64)> for Stage {
    type Error = &'static str;

    fn try_from((time, from_per_s, to_per_s): (Duration, f64, f64)) -> Result<Self, Self::Error> {
        Self::new(time, from_per_s, to_per_s).ok_or("a stage has a time above zero and rates from 0 to 1e9 per second")
    }
}

impl From<Stage> for (Duration, f64, f64) {
    fn from(stage: Stage) -> Self {
        (stage.time, stage.from_per_s, stage.to_per_s)
    }
}

impl TryFrom<Vec<Stage>> for RateProfile {
    type Error = &'static str;

    fn try_from(stages: Vec<Stage>) -> Result<Self, Self::Error> {
        Self::new(stages).ok_or("nothing arrives in these stages")
    }
}

impl From<RateProfile> for Vec<Stage> {
    fn from(profile: RateProfile) -> Self {
        profile.stages
    }
}

impl fmt::Display for RateProfile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, stage) in self.stages.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(out, "{comma}{stage}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> RateProfile {
        RateProfile::new(text.split(',').map(|stage| stage.parse().unwrap()).collect()).unwrap()
    }

    #[test]
    fn stages_are_read_as_people_write_them() {
        for (text, shown, why) in [
            ("10s:500/s", Some("10s:500/s"), "a step"),
            ("500ms:2.5", Some("500ms:2.5/s"), "the unit is optional"),
            ("30s:100..500/s", Some("30s:100..500/s"), "a ramp"),
            ("30s:0..500", Some("30s:0..500/s"), "from nothing"),
            ("5s:0", Some("5s:0/s"), "a pause"),
            ("500/s", None, "for how long?"),
            ("0s:500", None, "no time"),
            ("10s:-1", None, "below zero"),
            ("10s:NaN", None, "no number"),
            ("10s:1..2..3", None, "one ramp"),
            ("10:5", None, "ten what?"),
        ] {
            let read = text.parse::<Stage>().ok().map(|stage| stage.to_string());
            assert_eq!(read.as_deref(), shown, "{text}: {why}");
        }
        assert_eq!(RateProfile::new(vec!["5s:0".parse().unwrap()]), None, "nothing arrives");
    }

    #[test]
    fn arrivals_follow_the_area_below_the_rate() {
        const MS: u64 = 1_000_000;
        for (stages, arrivals, due_ms, why) in [
            ("10s:100/s", 0.0, Some(0), "the first at T0"),
            ("10s:100/s", 50.0, Some(500), "every 10 ms"),
            ("10s:100/s", 1000.0, None, "the one due at the end is outside"),
            ("1s:100/s,1s:200/s", 100.0, Some(1000), "the step begins"),
            ("1s:100/s,1s:200/s", 200.0, Some(1500), "twice as dense"),
            ("2s:0..100/s", 25.0, Some(1000), "a quarter of a triangle at half its time"),
            ("2s:100..0/s", 75.0, Some(1000), "and three quarters of it, falling"),
            ("1s:10/s,1s:0/s,1s:10/s", 10.0, Some(2000), "nothing in a pause"),
            ("1s:10/s,100ms:1000/s,1s:10/s", 60.0, Some(1050), "a spike"),
        ] {
            let due = profile(stages).offset_ns(arrivals);
            assert_eq!(due, due_ms.map(|ms| ms * MS), "{stages}: {why}");
        }
        let spike = profile("1s:10/s,100ms:1000/s");
        assert_eq!(spike.arrivals(), 110.0);
        assert_eq!((spike.rate_per_s_first(), spike.rate_per_s_max()), (10.0, 1000.0));
        assert_eq!(spike.time(), Duration::from_millis(1100));
    }
}
