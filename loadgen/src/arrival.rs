//! When arrivals are due: pure, seeded, fixed before the run.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::scenario::Load;

/// Two arrivals in one nanosecond have no order, so no schedule may be denser than the clock.
pub const RATE_PER_S_MAX: f64 = 1e9;

/// The gaps between arrivals of the open model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// All alike.
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

/// The planned instants of an open-model run.
///
/// Nothing that happens during the run can move an arrival, so a slow target cannot thin out its own load
/// (coordinated omission: Tene 2013, wrk2). Arrival `j` is due this long after T0, `j = 0, 1, 2, ...`:
///
/// ```text
/// uniform   offset_ns(j) = round(j * 1e9 / rate_per_s)
/// poisson   offset_ns(j) = floor(g_0 + ... + g_j),  g_i = -ln(u_i) * 1e9 / rate_per_s,  u_i uniform in (0, 1]
/// ```
///
/// The `u_i` come from ChaCha8, whose sequence its specification fixes: equal seeds give equal schedules on every
/// machine and in every release.
#[derive(Clone, Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    /// Above zero and at most [`RATE_PER_S_MAX`], as [`Load::Open`] has it.
    rate_per_s: f64,
    /// Arrivals from this number on do not happen.
    count_max: u64,
    /// Nor do those that are due at this offset or later.
    end_ns: u64,
    seed: u64,
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
    /// The schedule of a load; `None` in the closed model, where completions decide.
    pub fn new(
        load: &Load,
        connections: Option<u64>,
        duration: Option<Duration>,
        seed: u64,
    ) -> Option<Self> {
        let Load::Open {
            rate_per_s,
            arrivals,
        } = *load
        else {
            return None;
        };
        Some(Self {
            arrivals,
            rate_per_s,
            count_max: connections.unwrap_or(u64::MAX),
            end_ns: duration.map_or(u64::MAX, |time| {
                u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
            }),
            seed,
        })
    }

    /// How many arrivals there are, where that is known without drawing them.
    pub fn len_hint(&self) -> Option<u64> {
        match self.arrivals {
            _ if self.end_ns == u64::MAX => Some(self.count_max),
            Arrivals::Uniform => Some(self.count_max.min(self.uniform_before(self.end_ns))),
            Arrivals::Poisson => None,
        }
    }

    /// The arrivals of shard `index` of `of`: those whose number leaves `index` when divided by `of`, in order.
    ///
    /// Every shard draws the same sequence and keeps its own, so the union of the shards is the schedule for any
    /// number of them. `index` is below `of`.
    pub fn shard(&self, index: usize, of: usize) -> ShardSchedule {
        debug_assert!(index < of, "shard {index} of {of}");
        ShardSchedule {
            due: match self.arrivals {
                Arrivals::Uniform => Due::Uniform,
                Arrivals::Poisson => Due::Poisson(Box::new(PoissonClock::new(self.seed))),
            },
            schedule: self.clone(),
            next: index as u64,
            of: of as u64,
        }
    }

    fn uniform_offset_ns(&self, number: u64) -> u64 {
        (number as f64 * 1e9 / self.rate_per_s).round() as u64
    }

    /// How many uniform arrivals are due before an offset.
    fn uniform_before(&self, end_ns: u64) -> u64 {
        let mut count = (end_ns as f64 * self.rate_per_s / 1e9).ceil() as u64;
        // The quotient is rounded, and so is each offset: settle the border by the offsets themselves.
        while count > 0 && self.uniform_offset_ns(count - 1) >= end_ns {
            count -= 1;
        }
        while self.uniform_offset_ns(count) < end_ns {
            count += 1;
        }
        count
    }
}

/// One shard's part of a [`Schedule`], in order of time.
#[derive(Clone, Debug)]
pub struct ShardSchedule {
    due: Due,
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
        let offset_ns = match &mut self.due {
            Due::Uniform => self.schedule.uniform_offset_ns(number),
            Due::Poisson(clock) => clock.offset_ns(number, 1e9 / self.schedule.rate_per_s),
        };
        if offset_ns >= self.schedule.end_ns {
            self.next = u64::MAX;
            return None;
        }
        self.next = number.saturating_add(self.of);
        Some(Arrival { number, offset_ns })
    }
}

#[derive(Clone, Debug)]
enum Due {
    Uniform,
    Poisson(Box<PoissonClock>),
}

/// The sum of the gaps so far. Whole nanoseconds and the rest are kept apart: a sum in one `f64` would lose the small
/// gaps beside it as the run grows, this one is as exact after a year as after a second.
#[derive(Clone, Debug)]
struct PoissonClock {
    random: ChaCha8Rng,
    /// Gaps that were added.
    drawn: u64,
    whole_ns: u64,
    /// At least 0 and below 1.
    rest_ns: f64,
}

impl PoissonClock {
    fn new(seed: u64) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            drawn: 0,
            whole_ns: 0,
            rest_ns: 0.0,
        }
    }

    /// When `number` is due; numbers must be asked for in rising order.
    fn offset_ns(&mut self, number: u64, gap_ns: f64) -> u64 {
        while self.drawn <= number {
            let sum = self.rest_ns + self.exponential() * gap_ns;
            self.whole_ns = self.whole_ns.saturating_add(sum as u64);
            self.rest_ns = sum.fract();
            self.drawn += 1;
        }
        self.whole_ns
    }

    /// Of mean 1, by inversion: 53 random bits make a uniform number in (0, 1], whose logarithm is finite.
    fn exponential(&mut self) -> f64 {
        let uniform = ((self.random.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -uniform.ln()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn schedule(
        rate_per_s: f64,
        arrivals: Arrivals,
        connections: Option<u64>,
        duration_ms: Option<u64>,
        seed: u64,
    ) -> Schedule {
        let load = Load::Open {
            rate_per_s,
            arrivals,
        };
        Schedule::new(
            &load,
            connections,
            duration_ms.map(Duration::from_millis),
            seed,
        )
        .unwrap()
    }

    fn whole(schedule: &Schedule) -> Vec<Arrival> {
        schedule.shard(0, 1).collect()
    }

    #[test]
    fn uniform_arrivals_keep_their_distance() {
        for (rate_per_s, number, due_ns, why) in [
            (500.0, 0, 0, "the first is due at T0"),
            (500.0, 1, 2_000_000, "then every two milliseconds"),
            (3.0, 1, 333_333_333, "rounded"),
            (
                3.0,
                3_000_000,
                1_000_000 * SECOND_NS,
                "rounding never adds up",
            ),
            (0.5, 1, 2 * SECOND_NS, "fewer than one a second"),
        ] {
            let schedule = schedule(rate_per_s, Arrivals::Uniform, None, Some(1), 0);
            assert_eq!(schedule.uniform_offset_ns(number), due_ns, "{why}");
        }
    }

    #[test]
    fn arrivals_end_by_count_or_time_whichever_is_first() {
        for (rate_per_s, connections, duration_ms, count, why) in [
            (100.0, Some(7), None, 7, "by count"),
            (
                100.0,
                None,
                Some(1000),
                100,
                "by time; the one due at its end is outside",
            ),
            (100.0, Some(7), Some(1000), 7, "count first"),
            (100.0, Some(700), Some(1000), 100, "time first"),
            (3.0, None, Some(1000), 3, "0, 333 and 667 ms"),
            (3.0, None, Some(1), 1, "only the one at T0"),
            (100.0, None, Some(0), 0, "no time, no arrival"),
        ] {
            let schedule = schedule(rate_per_s, Arrivals::Uniform, connections, duration_ms, 0);
            assert_eq!(whole(&schedule).len(), count, "{why}");
            assert_eq!(schedule.len_hint(), Some(count as u64), "{why}");
        }
    }

    #[test]
    fn the_closed_model_has_no_schedule() {
        let load = Load::Closed { concurrency: 8 };
        assert!(Schedule::new(&load, Some(1), None, 0).is_none());
    }

    #[test]
    fn seeds_decide_poisson_schedules() {
        let of_seed = |seed| whole(&schedule(1e3, Arrivals::Poisson, Some(1000), None, seed));
        assert_eq!(of_seed(1), of_seed(1));
        assert_ne!(of_seed(1), of_seed(2));
    }

    /// Kolmogorov-Smirnov against the exponential distribution: with 20,000 gaps the distance exceeds
    /// 1.95 / sqrt(n) once in a thousand seeds, and these seeds are fixed.
    #[test]
    fn poisson_gaps_are_exponential() {
        const COUNT: usize = 20_000;
        for seed in 0..5 {
            let schedule = schedule(1e3, Arrivals::Poisson, Some(COUNT as u64), None, seed);
            let mut last_ns = 0;
            let mut gaps: Vec<f64> = schedule
                .shard(0, 1)
                .map(|arrival| {
                    let gap_ns = arrival.offset_ns - last_ns;
                    last_ns = arrival.offset_ns;
                    gap_ns as f64 / 1e6
                })
                .collect();
            gaps.sort_by(f64::total_cmp);
            let distance = gaps
                .iter()
                .enumerate()
                .map(|(rank, gap)| {
                    let expected = 1.0 - (-gap).exp();
                    let below = rank as f64 / COUNT as f64;
                    let upto = (rank + 1) as f64 / COUNT as f64;
                    (expected - below).abs().max((expected - upto).abs())
                })
                .fold(0.0, f64::max);
            assert!(
                distance < 1.95 / (COUNT as f64).sqrt(),
                "seed {seed}: {distance}"
            );
        }
    }

    #[test]
    fn a_long_poisson_schedule_does_not_drift() {
        // The same gaps summed as integers of 2^-20 ns, which never round by more than one unit each.
        let mut clock = PoissonClock::new(7);
        let mut exact = PoissonClock::new(7);
        let mut sum: u128 = 0;
        for number in 0..200_000 {
            let offset_ns = clock.offset_ns(number, 1e9);
            sum += (exact.exponential() * 1e9 * f64::from(1 << 20)).round() as u128;
            let expected_ns = (sum >> 20) as u64;
            assert!(offset_ns.abs_diff(expected_ns) <= 1, "arrival {number}");
        }
    }

    proptest! {
        #[test]
        fn the_union_of_the_shards_is_the_schedule(
            poisson: bool,
            rate_per_s in 0.1..1e6_f64,
            connections in 0..400_u64,
            of in 1..9_usize,
            seed: u64,
        ) {
            let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Uniform };
            let schedule = schedule(rate_per_s, arrivals, Some(connections), Some(100_000), seed);
            let mut union: Vec<Arrival> =
                (0..of).flat_map(|index| schedule.shard(index, of)).collect();
            union.sort_by_key(|arrival| arrival.number);
            let whole = whole(&schedule);
            prop_assert!(whole.is_sorted_by_key(|arrival| arrival.offset_ns));
            prop_assert_eq!(union, whole);
        }

        #[test]
        fn the_length_is_known_where_it_is_promised(
            rate_per_s in 0.1..1e4_f64,
            duration_ms in 0..2000_u64,
        ) {
            let schedule = schedule(rate_per_s, Arrivals::Uniform, None, Some(duration_ms), 0);
            prop_assert_eq!(schedule.len_hint(), Some(whole(&schedule).len() as u64));
        }
    }
}
