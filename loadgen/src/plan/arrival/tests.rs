//! Schedules as they are planned: counts, ends, distributions, shards.

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
    let load = Model::Open { rate_per_s, arrivals };
    Schedule::new(&load, connections, duration_ms.map(Duration::from_millis), seed).unwrap()
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
        (3.0, 3_000_000, 1_000_000 * SECOND_NS, "rounding never adds up"),
        (0.5, 1, 2 * SECOND_NS, "fewer than one a second"),
    ] {
        assert_eq!(uniform_offset_ns(number, rate_per_s), due_ns, "{why}");
    }
}

#[test]
fn arrivals_end_by_count_or_time_whichever_is_first() {
    for (rate_per_s, connections, duration_ms, count, why) in [
        (100.0, Some(7), None, 7, "by count"),
        (100.0, None, Some(1000), 100, "by time; the one due at its end is outside"),
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
    let load = Model::Closed { concurrency: 8 };
    assert!(Schedule::new(&load, Some(1), None, 0).is_none());
}

#[test]
fn equal_seeds_give_equal_poisson_schedules() {
    let of_seed = |seed| whole(&schedule(1e3, Arrivals::Poisson, Some(1000), None, seed));
    assert_eq!(of_seed(1), of_seed(1));
    assert_ne!(of_seed(1), of_seed(2));
}

/// Kolmogorov-Smirnov: how far the gaps of a schedule are from an exponential distribution of this rate, over what they
/// exceed once in a thousand seeds (1.95 / sqrt(n)).
fn exponential_distance(schedule: &Schedule, rate_per_s: f64) -> f64 {
    let mut last_ns = 0;
    let mut gaps: Vec<f64> = whole(schedule)
        .iter()
        .map(|arrival| {
            let gap_ns = arrival.offset_ns - std::mem::replace(&mut last_ns, arrival.offset_ns);
            gap_ns as f64 / 1e9
        })
        .collect();
    gaps.sort_by(f64::total_cmp);
    let count = gaps.len() as f64;
    let distance = gaps
        .iter()
        .enumerate()
        .map(|(rank, gap_s)| {
            let expected = 1.0 - (-gap_s * rate_per_s).exp();
            let (below, upto) = (rank as f64 / count, (rank + 1) as f64 / count);
            (expected - below).abs().max((expected - upto).abs())
        })
        .fold(0.0, f64::max);
    distance / (1.95 / count.sqrt())
}

#[test]
fn poisson_gaps_are_exponential() {
    let of = |arrivals, seed| schedule(1e3, arrivals, Some(20_000), None, seed);
    for seed in 0..5 {
        let distance = exponential_distance(&of(Arrivals::Poisson, seed), 1e3);
        assert!(distance < 1.0, "seed {seed}: {distance}");
    }
    for (arrivals, rate_per_s, why) in
        [(Arrivals::Poisson, 1050.0, "a rate that is off by 5 %"), (Arrivals::Uniform, 1e3, "even gaps")]
    {
        let distance = exponential_distance(&of(arrivals, 0), rate_per_s);
        assert!(distance > 1.0, "the test would not detect {why}: {distance}");
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

#[test]
fn stages_and_lists_end_with_their_last_arrival() {
    let profile = |text: &str| {
        let stages = text.split(',').map(|stage| stage.parse().unwrap()).collect();
        Arc::new(RateProfile::new(stages).unwrap())
    };
    let staged = |text: &str, arrivals| Model::Staged { profile: profile(text), arrivals };
    let listed = Model::Listed(Arc::from([0, 5, 5, 9 * SECOND_NS]));
    for (load, connections, duration_s, count, known, why) in [
        (staged("2s:10/s", Arrivals::Uniform), None, None, 20, true, "a step"),
        (staged("1s:0..10/s,1s:10/s", Arrivals::Uniform), None, None, 15, true, "a ramp"),
        (staged("2s:10/s", Arrivals::Uniform), Some(7), None, 7, true, "by count"),
        (staged("2s:10/s", Arrivals::Uniform), None, Some(1), 10, false, "by time"),
        (listed.clone(), None, None, 4, true, "a list"),
        (listed.clone(), None, Some(9), 3, true, "cut short"),
        (listed, Some(2), None, 2, true, "by count"),
    ] {
        let duration = duration_s.map(Duration::from_secs);
        let schedule = Schedule::new(&load, connections, duration, 0).unwrap();
        assert_eq!(whole(&schedule).len(), count, "{why}");
        let hint = schedule.len_hint();
        assert_eq!(hint, known.then_some(count as u64), "{why}");
    }
    let load = staged("10s:1000/s,10s:100/s", Arrivals::Poisson);
    let schedule = Schedule::new(&load, None, None, 1).unwrap();
    let instants = whole(&schedule);
    let first = instants.partition_point(|arrival| arrival.offset_ns < 10 * SECOND_NS);
    // Five standard deviations of a Poisson count.
    assert!(first.abs_diff(10_000) < 500, "{first}");
    assert!((instants.len() - first).abs_diff(1_000) < 160, "{}", instants.len());
}

proptest! {
    #[test]
    fn the_union_of_the_shards_is_the_schedule(
        shape in 0..5_usize,
        rate_per_s in 0.1..1e6_f64,
        connections in 0..400_u64,
        of in 1..9_usize,
        seed: u64,
    ) {
        let arrivals = [Arrivals::Uniform, Arrivals::Poisson][shape % 2];
        let stage = format!("1s:0..{rate_per_s},2s:{rate_per_s}").replace("e", "");
        let load = match shape {
            0 | 1 => Model::Open { rate_per_s, arrivals },
            2 | 3 => Model::Staged {
                profile: Arc::new(RateProfile::new(
                    stage.split(',').map(|stage| stage.parse().unwrap()).collect(),
                ).unwrap()),
                arrivals,
            },
            _ => Model::Listed((0..connections / 2).map(|at| at * at).collect()),
        };
        let duration = Some(Duration::from_secs(100));
        let schedule = Schedule::new(&load, Some(connections), duration, seed).unwrap();
        let mut union: Vec<Arrival> =
            (0..of).flat_map(|index| schedule.shard(index, of)).collect();
        union.sort_by_key(|arrival| arrival.number);
        let whole = whole(&schedule);
        prop_assert!(whole.is_sorted_by_key(|arrival| arrival.offset_ns));
        prop_assert_eq!(union, whole);
    }

    #[test]
    fn len_hint_is_the_number_of_uniform_arrivals(
        rate_per_s in 0.1..1e4_f64,
        duration_ms in 0..2000_u64,
    ) {
        let schedule = schedule(rate_per_s, Arrivals::Uniform, None, Some(duration_ms), 0);
        prop_assert_eq!(schedule.len_hint(), Some(whole(&schedule).len() as u64));
    }
}

#[test]
fn the_planned_rate_is_that_of_the_schedule() {
    let staged = |text: &str, arrivals| {
        let stages = text.split(',').map(|stage| stage.parse().unwrap()).collect();
        Model::Staged { profile: Arc::new(RateProfile::new(stages).unwrap()), arrivals }
    };
    let listed = |seconds: &[u64]| Model::Listed(seconds.iter().map(|second| second * SECOND_NS).collect());
    let open = |rate_per_s, arrivals| Model::Open { rate_per_s, arrivals };
    for (model, connections, per_s, why) in [
        (open(50.0, Arrivals::Uniform), Some(5), Some(50.0), "the next would be due after 100 ms"),
        (open(50.0, Arrivals::Uniform), Some(1), Some(50.0), "a single arrival"),
        (open(50.0, Arrivals::Poisson), Some(1), Some(50.0), "a single arrival, where the next is chance"),
        (staged("2s:10/s,2s:20/s", Arrivals::Uniform), None, Some(15.0), "60 in 4 s"),
        (staged("2s:10/s,2s:20/s", Arrivals::Uniform), Some(20), Some(10.0), "the first stage alone"),
        (listed(&[1, 2, 3, 5]), None, Some(0.75), "3 gaps in 4 s"),
        (listed(&[1]), None, None, "no gap"),
        (listed(&[1, 1]), None, None, "no time between them"),
    ] {
        let schedule = Schedule::new(&model, connections, None, 1).unwrap();
        assert_eq!(schedule.planned_per_s(), per_s, "{why}");
    }
    let poisson = schedule(50.0, Arrivals::Poisson, Some(100_000), None, 1).planned_per_s().unwrap();
    assert!((poisson / 50.0 - 1.0).abs() < 0.02, "{poisson}: gaps over their sum");
}
