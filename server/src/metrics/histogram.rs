//! How long something took, in buckets that one shard counts and any may read.

use std::time::Duration;

use crate::metrics::Counter;

/// The upper ends of the buckets, in nanoseconds: from a MAC over a short token to a signature by a slow curve on a busy
/// machine, and on to the longest that a question about a session may take. What took longer is in none of them but in the
/// count.
pub(super) const BOUNDS_NS: [u64; 18] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    5_000_000_000,
];

/// Durations by their buckets, each counted in the first whose end is not before it.
#[derive(Debug)]
pub struct Histogram {
    buckets: [Counter; BOUNDS_NS.len() + 1],
    sum_ns: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| Counter::default()), sum_ns: Counter::default() }
    }
}

impl Histogram {
    /// Counts one. Only the shard that owns the histogram may call it.
    pub fn observe(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NS.partition_point(|&end_ns| end_ns < took_ns);
        self.buckets[bucket].add(1);
        self.sum_ns.add(took_ns);
    }

    /// Adds its counts, bucket by bucket, to `counts`, and its sum to `sum_ns`.
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
    fn durations_find_their_buckets() {
        for (took_ns, bucket, why) in [
            (0, 0, "the clock's own grain"),
            (100, 0, "the end belongs to the bucket"),
            (101, 1, "and no more than that"),
            (5_000_000_000, BOUNDS_NS.len() - 1, "the last"),
            (5_000_000_001, BOUNDS_NS.len(), "beyond"),
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
