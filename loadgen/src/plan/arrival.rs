//! When arrivals are due: pure, seeded, fixed before the run.

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::plan::model::{Arrivals, Model};
use crate::plan::stages::RateProfile;

/// The planned instants of an open-model run.
///
/// Nothing that happens during the run can move an arrival, so a slow target cannot thin out its own load
/// (coordinated omission: Tene 2013, wrk2). Arrival `j` is due this long after T0, `j = 0, 1, 2, ...`:
///
/// ```text
/// uniform   offset_ns(j) = round(j * 1e9 / rate_per_s)
/// poisson   offset_ns(j) = floor(g_0 + ... + g_j),  g_i = -ln(u_i) * 1e9 / rate_per_s,  u_i uniform in (0, 1]
/// stages    offset_ns(j) = when the area below the rate is j (uniform), or e_0 + ... + e_j,  e_i = -ln(u_i) (poisson)
/// a file    offset_ns(j) = its instant j
/// ```
///
/// The `u_i` come from ChaCha8, whose sequence its specification fixes: equal seeds give equal schedules on every
/// machine and in every release.
#[derive(Clone, Debug)]
pub struct Schedule {
    shape: Shape,
    /// Arrivals from this number on are not started.
    count_max: u64,
    /// Arrivals due at or after this offset are not started.
    end_ns: u64,
    seed: u64,
}

/// What decides the instants.
#[derive(Clone, Debug)]
enum Shape {
    /// At a rate above zero and at most [`RATE_PER_S_MAX`], as [`Model::Open`] has it.
    Steady(f64, Arrivals),
    /// At a rate that changes.
    Staged(Arc<RateProfile>, Arrivals),
    /// In rising order.
    Listed(Arc<[u64]>),
}

/// One planned arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its place in the whole schedule, from 0.
    pub number: u64,
    /// When it is due, after T0.
    pub offset_ns: u64,
}

impl Schedule {
    /// The schedule of a model; `None` in the closed model, where completions decide.
    pub fn new(model: &Model, connections: Option<u64>, duration: Option<Duration>, seed: u64) -> Option<Self> {
        let shape = match model {
            Model::Open { rate_per_s, arrivals } => Shape::Steady(*rate_per_s, *arrivals),
            Model::Staged { profile, arrivals } => Shape::Staged(profile.clone(), *arrivals),
            Model::Listed(instants) => Shape::Listed(instants.clone()),
            Model::Closed { .. } => return None,
        };
        Some(Self { shape, count_max: connections.unwrap_or(u64::MAX), end_ns: duration.map_or(u64::MAX, ns), seed })
    }

    /// How many arrivals there are, where that is known without drawing them.
    pub fn len_hint(&self) -> Option<u64> {
        let endless = self.end_ns == u64::MAX;
        let count = match &self.shape {
            Shape::Steady(..) if endless => self.count_max,
            Shape::Steady(rate_per_s, Arrivals::Uniform) => uniform_before(self.end_ns, *rate_per_s),
            Shape::Staged(profile, Arrivals::Uniform) if endless => profile.arrivals().ceil() as u64,
            Shape::Listed(instants) => instants.partition_point(|due| *due < self.end_ns) as u64,
            Shape::Steady(..) | Shape::Staged(..) => return None,
        };
        Some(count.min(self.count_max))
    }

    /// When the last arrival is due after T0, or will be on average where chance decides.
    pub fn end_hint(&self) -> Duration {
        let last_ns = match &self.shape {
            Shape::Steady(rate_per_s, _) => uniform_offset_ns(self.count_max.saturating_sub(1), *rate_per_s),
            Shape::Staged(profile, _) => {
                let counted = profile.offset_ns(self.count_max.saturating_sub(1) as f64);
                counted.unwrap_or_else(|| ns(profile.time()))
            }
            Shape::Listed(instants) => {
                let last = instants.len().min(self.count_max as usize);
                instants[..last].last().copied().unwrap_or_default()
            }
        };
        Duration::from_nanos(last_ns.min(self.end_ns))
    }

    /// The planned rate: the arrivals over the time from T0 to the instant at which the next would be due.
    ///
    /// Where no next arrival is planned (Poisson, a file), the gaps between arrivals over their sum; a single arrival has
    /// the rate that was asked for. `None`: a file with a single instant, or several at one instant.
    pub fn planned_per_s(&self) -> Option<f64> {
        let asked_per_s = match &self.shape {
            Shape::Steady(rate_per_s, Arrivals::Uniform) => return Some(*rate_per_s),
            Shape::Steady(rate_per_s, Arrivals::Poisson) => Some(*rate_per_s),
            Shape::Staged(profile, Arrivals::Uniform) => {
                let count = self.shard(0, 1).count();
                let next_ns = profile.offset_ns(count as f64).unwrap_or_else(|| ns(profile.time())).min(self.end_ns);
                return Some(count as f64 * 1e9 / next_ns as f64);
            }
            Shape::Staged(profile, Arrivals::Poisson) => Some(profile.arrivals() / profile.time().as_secs_f64()),
            Shape::Listed(_) => None,
        };
        let mut arrivals = self.shard(0, 1);
        let first = arrivals.next()?;
        match arrivals.last() {
            Some(last) if last.offset_ns > first.offset_ns => {
                Some(last.number as f64 * 1e9 / (last.offset_ns - first.offset_ns) as f64)
            }
            _ => asked_per_s,
        }
    }

    /// The arrivals of shard `index` of `of`: those whose number leaves `index` when divided by `of`, in order.
    ///
    /// Every shard draws the same sequence and keeps its own, so the union of the shards is the schedule for any
    /// number of them. `index` is below `of`.
    pub fn shard(&self, index: usize, of: usize) -> ShardSchedule {
        debug_assert!(index < of, "shard {index} of {of}");
        ShardSchedule {
            clock: match self.shape {
                Shape::Steady(_, Arrivals::Poisson) | Shape::Staged(_, Arrivals::Poisson) => {
                    Some(Box::new(PoissonClock::new(self.seed)))
                }
                _ => None,
            },
            schedule: self.clone(),
            next: index as u64,
            of: of as u64,
        }
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn uniform_offset_ns(number: u64, rate_per_s: f64) -> u64 {
    (number as f64 * 1e9 / rate_per_s).round() as u64
}

/// How many uniform arrivals are due before an offset.
fn uniform_before(end_ns: u64, rate_per_s: f64) -> u64 {
    let mut count = (end_ns as f64 * rate_per_s / 1e9).ceil() as u64;
    // The quotient and each offset are rounded, so the offsets themselves decide about the last arrivals.
    while count > 0 && uniform_offset_ns(count - 1, rate_per_s) >= end_ns {
        count -= 1;
    }
    while uniform_offset_ns(count, rate_per_s) < end_ns {
        count += 1;
    }
    count
}

/// One shard's part of a [`Schedule`], in order of time.
#[derive(Clone, Debug)]
pub struct ShardSchedule {
    /// The random gaps of a Poisson schedule.
    clock: Option<Box<PoissonClock>>,
    schedule: Schedule,
    /// The number of the arrival that comes next.
    next: u64,
    of: u64,
}

impl Iterator for ShardSchedule {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let number = self.next;
        if number >= self.schedule.count_max {
            return None;
        }
        let due_ns = self.due_ns(number);
        let Some(offset_ns) = due_ns.filter(|due_ns| *due_ns < self.schedule.end_ns) else {
            self.next = u64::MAX;
            return None;
        };
        self.next = number.saturating_add(self.of);
        Some(Arrival { number, offset_ns })
    }
}

impl ShardSchedule {
    /// When an arrival is due; `None`: the schedule has ended.
    fn due_ns(&mut self, number: u64) -> Option<u64> {
        match (&self.schedule.shape, &mut self.clock) {
            (Shape::Steady(rate_per_s, _), None) => Some(uniform_offset_ns(number, *rate_per_s)),
            (Shape::Steady(rate_per_s, _), Some(clock)) => Some(clock.offset_ns(number, 1e9 / rate_per_s)),
            (Shape::Staged(profile, _), None) => profile.offset_ns(number as f64),
            (Shape::Staged(profile, _), Some(clock)) => {
                // At one arrival a second the clock counts arrivals.
                profile.offset_ns(clock.offset_ns(number, 1e9) as f64 / 1e9)
            }
            (Shape::Listed(instants), _) => instants.get(usize::try_from(number).ok()?).copied(),
        }
    }
}

/// The sum of the gaps so far. Whole nanoseconds and the fraction are separate fields: one `f64` would lose small gaps
/// as the sum grows.
#[derive(Clone, Debug)]
struct PoissonClock {
    random: ChaCha8Rng,
    /// Number of gaps in the sum.
    drawn: u64,
    whole_ns: u64,
    /// At least 0 and below 1.
    rest_ns: f64,
}

impl PoissonClock {
    fn new(seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), drawn: 0, whole_ns: 0, rest_ns: 0.0 }
    }

    /// When arrival `number` is due; numbers must rise from call to call.
    fn offset_ns(&mut self, number: u64, gap_ns: f64) -> u64 {
        while self.drawn <= number {
            let sum = self.rest_ns + self.exponential() * gap_ns;
            self.whole_ns = self.whole_ns.saturating_add(sum as u64);
            self.rest_ns = sum.fract();
            self.drawn += 1;
        }
        self.whole_ns
    }

    /// An exponential number with mean 1, by inversion: 53 random bits make a uniform number in (0, 1], whose logarithm is finite.
    fn exponential(&mut self) -> f64 {
        let uniform = ((self.random.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -uniform.ln()
    }
}

#[cfg(test)]
mod tests;
