//! How arrivals come about: by a plan (the open model), or as places become free (the closed model).

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::hold::Hold;
use crate::plan::stages::RateProfile;

/// How arrivals come about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// By a schedule that does not depend on the run.
    Open {
        /// Above zero and at most [`crate::ground::values::RATE_PER_S_MAX`].
        rate_per_s: f64,
        /// The gaps between arrivals.
        arrivals: Arrivals,
    },
    /// By a schedule whose rate changes.
    Staged {
        /// The rate over time.
        profile: Arc<RateProfile>,
        /// The gaps between arrivals.
        arrivals: Arrivals,
    },
    /// At these instants, in nanoseconds after T0 and in rising order; at least one.
    Listed(Arc<[u64]>),
    /// Each handshake begins when another ends.
    Closed {
        /// Handshakes in flight, at least one.
        concurrency: u32,
    },
}

impl Model {
    /// Whether arrivals have planned instants (the open model).
    pub fn is_planned(&self) -> bool {
        !matches!(self, Self::Closed { .. })
    }

    /// Sockets that are open at once when every handshake takes up to `HANDSHAKE_ALLOWED`.
    pub fn sockets_at_once(&self, connections: Option<u64>, duration: Option<Duration>, hold: Hold) -> u64 {
        let all = connections.unwrap_or(u64::MAX);
        let stay = match hold {
            Hold::UntilEnd => None,
            Hold::For(time) => Some(time),
            Hold::Drawn(lifetime) => Some(lifetime.mean()),
        };
        let stay = stay.map(|time| time.saturating_add(HANDSHAKE_ALLOWED));
        let at_once = match (self, hold) {
            (Self::Open { rate_per_s, .. }, hold) => {
                let open = [stay, duration].into_iter().flatten().min();
                open.map_or(u64::MAX, |open| most_at(*rate_per_s, open, hold))
            }
            (Self::Staged { profile, .. }, hold) => {
                let all = profile.arrivals().ceil() as u64;
                stay.map_or(all, |open| all.min(most_at(profile.rate_per_s_max(), open, hold)))
            }
            (Self::Listed(instants), Hold::UntilEnd | Hold::Drawn(_)) => instants.len() as u64,
            (Self::Listed(instants), Hold::For(time)) => most_within(instants, time),
            (Self::Closed { concurrency }, Hold::For(Duration::ZERO)) => u64::from(*concurrency),
            // The target decides how fast handshakes end.
            (Self::Closed { .. }, _) => u64::MAX,
        };
        all.min(at_once)
    }
}

/// The gaps between arrivals of the open model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// All equal.
    Uniform,
    /// Exponential, as independent users make them.
    Poisson,
}

impl Arrivals {
    /// As the flag takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Poisson => "poisson",
        }
    }
}

/// Sockets that are open at once at a rate, each for a mean time (Little's law). Where hold times are drawn, the count
/// varies by the square root of its mean; four such deviations are added.
fn most_at(rate_per_s: f64, open: Duration, hold: Hold) -> u64 {
    let mean = rate_per_s * open.as_secs_f64();
    let spread = match hold {
        Hold::Drawn(_) => 4.0 * mean.sqrt(),
        _ => 0.0,
    };
    (mean + spread).ceil() as u64
}

/// The most instants within the time that a socket is open.
fn most_within(instants: &[u64], hold: Duration) -> u64 {
    let open = hold.saturating_add(HANDSHAKE_ALLOWED);
    let open_ns = u64::try_from(open.as_nanos()).unwrap_or(u64::MAX);
    let within = |(place, due_ns): (usize, &u64)| {
        let end_ns = due_ns.saturating_add(open_ns);
        instants[place..].partition_point(|later_ns| *later_ns < end_ns)
    };
    instants.iter().enumerate().map(within).max().unwrap_or(0) as u64
}

/// The time of a handshake that the estimate of open sockets allows for.
const HANDSHAKE_ALLOWED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_are_open_at_once_are_counted() {
        let open = Model::Open { rate_per_s: 500.0, arrivals: Arrivals::Uniform };
        let closed = Model::Closed { concurrency: 64 };
        let second = |s: u64| s * 1_000_000_000;
        let listed = Model::Listed([0, 5, 6, 6, 7].map(second).into());
        let stages = ["10s:10/s", "1s:1000/s"].map(|stage| stage.parse().unwrap());
        let staged =
            Model::Staged { profile: RateProfile::new(stages.to_vec()).unwrap().into(), arrivals: Arrivals::Uniform };
        let seconds = |s| Some(Duration::from_secs(s));
        let held = |s| Hold::For(Duration::from_secs(s));
        for (load, connections, duration, hold, count, why) in [
            (listed.clone(), None, None, Hold::UntilEnd, 5, "all that are listed"),
            (listed, None, None, held(1), 3, "those within two seconds"),
            (staged.clone(), None, None, Hold::UntilEnd, 1100, "10 s of 10, then 1 s of 1,000"),
            (staged, None, None, held(0), 1000, "the spike"),
            (open.clone(), Some(5000), None, Hold::UntilEnd, 5000, "all are held"),
            (open.clone(), None, seconds(10), Hold::UntilEnd, 5000, "as many as time brings"),
            (open.clone(), Some(5000), None, held(0), 500, "those under way"),
            (open.clone(), Some(5000), None, held(3), 2000, "and those held"),
            (open.clone(), Some(100), None, held(3), 100, "never more than all"),
            (open.clone(), None, seconds(2), held(60), 1000, "the run is shorter than the hold"),
            (closed.clone(), Some(5000), None, held(0), 64, "the handshakes in flight"),
            (closed.clone(), Some(5000), None, held(1), 5000, "the target sets the pace"),
        ] {
            assert_eq!(load.sockets_at_once(connections, duration, hold), count, "{why}");
        }
    }
}
