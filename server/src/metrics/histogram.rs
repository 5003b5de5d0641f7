//! A histogram of durations, which one shard writes and any thread reads.

use std::time::Duration;

use crate::metrics::Counter;

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;
const S: u64 = 1_000 * MS;

/// The upper bounds of the buckets, in nanoseconds: from a MAC over a short token, or a signature by a slow curve on a
/// busy machine, to the deadline of a session lookup. Longer durations are in the total count alone.
pub(super) const BOUNDS_NS: [u64; 18] = [
    100,
    250,
    500,
    US,
    2_500,
    5 * US,
    10 * US,
    25 * US,
    50 * US,
    100 * US,
    250 * US,
    500 * US,
    MS,
    2_500 * US,
    10 * MS,
    100 * MS,
    S,
    5 * S,
];

/// Counts of durations, each in the first bucket whose bound is not below it.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BOUNDS_NS.len() + 1],
    sum_ns: Counter,
}

impl Histogram {
    /// Counts one duration. Only the shard that owns the histogram may call this.
    pub fn observe(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NS.partition_point(|&bound_ns| bound_ns < took_ns);
        self.buckets[bucket].add(1);
        self.sum_ns.add(took_ns);
    }

    /// Adds the count of each bucket to `counts`, and the sum of durations to `sum_ns`.
    pub(super) fn add_to(&self, counts: &mut [u64; BOUNDS_NS.len() + 1], sum_ns: &mut u64) {
        for (count, bucket) in counts.iter_mut().zip(&self.buckets) {
            *count += bucket.get();
        }
        *sum_ns += self.sum_ns.get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_counted_in_its_bucket() {
        for (took_ns, bucket, why) in [
            (0, 0, "less than the clock resolves"),
            (100, 0, "the bound belongs to the bucket"),
            (101, 1, "above the first bound"),
            (5_000_000_000, BOUNDS_NS.len() - 1, "the last bound"),
            (5_000_000_001, BOUNDS_NS.len(), "above all bounds"),
        ] {
            let histogram = Histogram::default();
            histogram.observe(Duration::from_nanos(took_ns));
            let (mut counts, mut sum_ns) = ([0; BOUNDS_NS.len() + 1], 0);
            histogram.add_to(&mut counts, &mut sum_ns);
            assert_eq!(counts.iter().position(|&count| count == 1), Some(bucket), "{why}");
            assert_eq!(sum_ns, took_ns, "{why}");
        }
    }
}
