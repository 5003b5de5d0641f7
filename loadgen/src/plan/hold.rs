//! How long an established socket stays: a fixed time, a drawn one, or until the run's end.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::ground::values::{Period, ValueError};

/// How long an established socket stays.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// From its establishment; zero closes at once.
    For(Duration),
    /// For a time that is drawn for each socket.
    Drawn(Lifetime),
    /// Until every arrival has ended.
    UntilEnd,
}

/// A distribution of the times for which sockets stay.
///
/// With `u` uniform in (0, 1] and `z` from the standard normal distribution (Box and Muller 1958):
///
/// ```text
/// uniform      min + u (max - min)
/// exponential  -mean ln u                 clients that leave at any moment with equal probability
/// log-normal   median exp(sigma z)        most leave soon, a few stay for very long
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifetime {
    /// Every time between the two is equally likely; `min <= max`.
    Uniform {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// The remaining time does not depend on the time that has passed.
    Exponential {
        /// Above zero.
        mean: Duration,
    },
    /// Its logarithm has a normal distribution.
    LogNormal {
        /// Half of the sockets stay for less; above zero.
        median: Duration,
        /// The standard deviation of the logarithm, above 0 and at most 5.
        sigma: f64,
    },
}

/// With 5 one socket in a hundred stays for 100,000 times the median: a number beyond it is mistyped.
pub const SIGMA_MAX: f64 = 5.0;

/// No draw is longer than the longest time that can be asked for.
const LIFETIME_MAX: Duration = Duration::from_secs(86_400);

impl Lifetime {
    /// The lifetime of arrival `number`'s socket; it depends on the seed and the number alone.
    pub fn for_arrival(&self, seed: u64, number: u64) -> Duration {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(number);
        // From (0, 1], whose logarithm is finite.
        let mut unit = || 1.0 - random.random::<f64>();
        let seconds = match *self {
            Self::Uniform { min, max } => {
                let (min_s, max_s) = (min.as_secs_f64(), max.as_secs_f64());
                min_s + unit() * (max_s - min_s)
            }
            Self::Exponential { mean } => -mean.as_secs_f64() * unit().ln(),
            Self::LogNormal { median, sigma } => {
                let radius = (-2.0 * unit().ln()).sqrt();
                median.as_secs_f64() * (sigma * radius * (TAU * unit()).cos()).exp()
            }
        };
        Duration::from_secs_f64(seconds.clamp(0.0, LIFETIME_MAX.as_secs_f64()))
    }

    /// The expectation of a draw, at most a day.
    pub fn mean(&self) -> Duration {
        match *self {
            Self::Uniform { min, max } => (min + max) / 2,
            Self::Exponential { mean } => mean,
            Self::LogNormal { median, sigma } => {
                let mean_s = median.as_secs_f64() * (sigma * sigma / 2.0).exp();
                Duration::from_secs_f64(mean_s.min(LIFETIME_MAX.as_secs_f64()))
            }
        }
    }
}

impl FromStr for Hold {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "end" {
            return Ok(Self::UntilEnd);
        }
        let held = match text.split_once(':') {
            None => text.parse().ok().map(|Period(time)| Self::For(time)),
            Some((name, values)) => lifetime(name, values).map(Self::Drawn),
        };
        held.ok_or_else(|| {
            ValueError::new(
                text,
                "time to hold",
                "write a duration such as 0s or 30s, `end`, or a distribution: uniform:MIN..MAX, exponential:MEAN or \
                 log-normal:MEDIAN,SIGMA, as in log-normal:30s,1.2",
            )
        })
    }
}

fn lifetime(name: &str, values: &str) -> Option<Lifetime> {
    let time = |text: &str| text.parse().ok().map(|Period(time)| time);
    let above_zero = |text: &str| time(text).filter(|time| !time.is_zero());
    match name {
        "uniform" => {
            let (min, max) = values.split_once("..")?;
            let (min, max) = (time(min)?, time(max)?);
            (min <= max).then_some(Lifetime::Uniform { min, max })
        }
        "exponential" => Some(Lifetime::Exponential { mean: above_zero(values)? }),
        "log-normal" => {
            let (median, sigma) = values.split_once(',')?;
            let sigma = sigma.trim().parse::<f64>().ok()?;
            Some(Lifetime::LogNormal {
                median: above_zero(median)?,
                sigma: (sigma > 0.0 && sigma <= SIGMA_MAX).then_some(sigma)?,
            })
        }
        _ => None,
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UntilEnd => out.write_str("end"),
            Self::For(time) => write!(out, "{time:?}"),
            Self::Drawn(Lifetime::Uniform { min, max }) => write!(out, "uniform:{min:?}..{max:?}"),
            Self::Drawn(Lifetime::Exponential { mean }) => write!(out, "exponential:{mean:?}"),
            Self::Drawn(Lifetime::LogNormal { median, sigma }) => {
                write!(out, "log-normal:{median:?},{sigma}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u64 = 10_000;

    fn lifetime(text: &str) -> Lifetime {
        match text.parse() {
            Ok(Hold::Drawn(lifetime)) => lifetime,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn holds_are_read_and_shown_as_people_write_them() {
        for (text, ok, why) in [
            ("end", true, "until the run's end"),
            ("30s", true, "fixed"),
            ("0ns", false, "no such unit"),
            ("uniform:5s..30s", true, "between two"),
            ("uniform:30s..5s", false, "the wrong way round"),
            ("uniform:5s", false, "one end alone"),
            ("exponential:30s", true, "a mean"),
            ("exponential:0s", false, "nothing to draw from"),
            ("log-normal:30s,1.2", true, "a median and a sigma"),
            ("log-normal:30s", false, "no sigma"),
            ("log-normal:30s,9", false, "sigma above 5"),
            ("weibull:1s", false, "unknown"),
        ] {
            let read = text.parse::<Hold>();
            assert_eq!(read.is_ok(), ok, "{text}: {why}");
            if let Ok(hold) = read {
                assert_eq!(hold.to_string(), text, "{why}");
            }
        }
    }

    /// The greatest distance between the draws' own distribution and the one that they should have (Kolmogorov and
    /// Smirnov), against its critical value at 1 %.
    #[test]
    fn draws_have_their_distribution() {
        type Cdf = fn(f64) -> f64;
        let table: [(&str, Cdf); 3] = [
            ("uniform:2s..12s", |s| ((s - 2.0) / 10.0).clamp(0.0, 1.0)),
            ("exponential:3s", |s| 1.0 - (-s / 3.0).exp()),
            ("log-normal:2s,0.5", |s| normal_cdf((s / 2.0).ln() / 0.5)),
        ];
        for (text, cdf) in table {
            let lifetime = lifetime(text);
            let mut drawn: Vec<f64> = (0..DRAWS).map(|number| lifetime.for_arrival(7, number).as_secs_f64()).collect();
            drawn.sort_by(f64::total_cmp);
            let n = DRAWS as f64;
            let distance = drawn.iter().enumerate().fold(0.0_f64, |most, (place, s)| {
                let expected = cdf(*s);
                let (below, above) = (place as f64 / n, (place + 1) as f64 / n);
                most.max((expected - below).abs()).max((above - expected).abs())
            });
            assert!(distance < 1.63 / n.sqrt(), "{text}: {distance}");
            let mean_s = drawn.iter().sum::<f64>() / n;
            let expected_s = lifetime.mean().as_secs_f64();
            assert!((mean_s / expected_s - 1.0).abs() < 0.05, "{text}: {mean_s}");
        }
    }

    #[test]
    fn the_lifetime_depends_on_seed_and_arrival_alone() {
        let lifetime = lifetime("exponential:30s");
        let of = |seed, number| lifetime.for_arrival(seed, number);
        assert_eq!(of(1, 5), of(1, 5), "a run repeats");
        assert_ne!(of(1, 5), of(1, 6), "arrivals differ");
        assert_ne!(of(1, 5), of(2, 5), "seeds differ");
        let longest = Lifetime::LogNormal { median: LIFETIME_MAX, sigma: SIGMA_MAX };
        assert!((0..100).all(|number| longest.for_arrival(1, number) <= LIFETIME_MAX));
    }

    /// By the midpoint rule from -8 on, to 1e-5.
    fn normal_cdf(z: f64) -> f64 {
        let step = 0.01;
        let density = |x: f64| (-x * x / 2.0).exp() / TAU.sqrt();
        let steps = ((z + 8.0) / step).max(0.0) as u64;
        (0..steps).map(|k| step * density(-8.0 + (k as f64 + 0.5) * step)).sum()
    }
}
