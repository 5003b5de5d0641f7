//! Latency histograms: recording, merging, and the two forms in which others read them.

mod encoding;

use hdrhistogram::Histogram;

pub use encoding::{HistogramError, LATENCY_NS_MAX};

use crate::schema::Distribution;

use encoding::SIGNIFICANT_DIGITS;

/// Durations of one phase, in nanoseconds, to three significant digits and up to [`LATENCY_NS_MAX`].
///
/// It counts as an HdrHistogram of three digits does, but holds only the octaves that were used: 8 kB each in
/// place of 270 kB for all, and a run's latencies lie in a few. A value above the maximum is counted separately
/// ([`over_max`](Self::over_max)) instead of being pressed into the top: it ranks above all others.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyHistogram {
    /// By octave; `None` where nothing was recorded, so that equal recordings are equal.
    octaves: [Option<Box<[u64; OCTAVE]>>; OCTAVES],
    /// The sum of all counts.
    count: u64,
    over_max: u64,
}

/// Counts of one octave: from 1,024 up, each octave has as many values apart as three digits need (half of the 2,048
/// that HdrHistogram calls a bucket). The first holds the values below 1,024.
const OCTAVE: usize = 1 << OCTAVE_BITS;
const OCTAVE_BITS: u32 = 10;
/// Up to the octave of [`LATENCY_NS_MAX`].
const OCTAVES: usize = octave_of(LATENCY_NS_MAX) + 1;

const fn octave_of(latency_ns: u64) -> usize {
    (u64::BITS - (latency_ns >> OCTAVE_BITS).leading_zeros()) as usize
}

impl LatencyHistogram {
    /// An empty histogram.
    pub fn new() -> Self {
        Self { octaves: [const { None }; OCTAVES], count: 0, over_max: 0 }
    }

    /// Counts one duration. Only the first of an octave allocates.
    #[inline]
    pub fn record(&mut self, latency_ns: u64) {
        self.record_many(latency_ns, 1);
    }

    #[inline]
    fn record_many(&mut self, latency_ns: u64, count: u64) {
        if latency_ns > LATENCY_NS_MAX {
            self.over_max += count;
            return;
        }
        let octave = octave_of(latency_ns);
        // An octave's values differ in their highest bits alone: the first of them is always set.
        let place = (latency_ns >> octave.saturating_sub(1)) as usize % OCTAVE;
        let counts = self.octaves[octave].get_or_insert_with(|| Box::new([0; OCTAVE]));
        // A file of someone else may hold any counts.
        counts[place] = counts[place].saturating_add(count);
        self.count = self.count.saturating_add(count);
    }

    /// Counts all that `other` counted: the same as if every duration had been recorded here.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.octaves.iter_mut().zip(&other.octaves) {
            match (mine.as_mut(), theirs) {
                (_, None) => {}
                (None, Some(theirs)) => *mine = Some(theirs.clone()),
                (Some(mine), Some(theirs)) => {
                    for (mine, theirs) in mine.iter_mut().zip(theirs.iter()) {
                        *mine = mine.saturating_add(*theirs);
                    }
                }
            }
        }
        self.count = self.count.saturating_add(other.count);
        self.over_max = self.over_max.saturating_add(other.over_max);
    }

    /// Durations up to [`LATENCY_NS_MAX`].
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Durations above [`LATENCY_NS_MAX`].
    pub fn over_max(&self) -> u64 {
        self.over_max
    }

    /// Whether nothing was recorded at all.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.over_max == 0
    }

    /// The duration that a part `quantile` (0 to 1) of the recorded ones do not exceed; 0 when there is none.
    ///
    /// As HdrHistogram ranks, by what is held alone: a run asks for dozens of quantiles each second, on a processor that its
    /// arrivals may need.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        let rank = ((quantile.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut below = 0_u64;
        let found = self.recorded().find(|(_, _, count)| {
            below = below.saturating_add(*count);
            below >= rank
        });
        found.map_or(0, |(lowest_ns, highest_ns, _)| match quantile {
            0.0 => lowest_ns,
            _ => highest_ns,
        })
    }

    /// The same among the recorded durations and `slower` others that rank above them all (failures and timeouts).
    ///
    /// ```text
    /// rank = ceil(quantile * (count + over_max + slower)), at least 1
    /// ```
    ///
    /// `None`: the rank falls on one that is infinitely slow, or there is nothing to rank.
    pub fn quantile_ns_among(&self, quantile: f64, slower: u64) -> Option<u64> {
        let ranked = self.count() + self.over_max + slower;
        let rank = ((quantile.clamp(0.0, 1.0) * ranked as f64).ceil() as u64).max(1);
        if rank > self.count() {
            return None;
        }
        // Half a rank less keeps the division's rounding from reaching the next one.
        Some(self.quantile_ns((rank as f64 - 0.5) / self.count() as f64))
    }

    /// The longest duration, 0 when there is none.
    pub fn max_ns(&self) -> u64 {
        self.recorded().last().map_or(0, |(_, highest_ns, _)| highest_ns)
    }

    /// The arithmetic mean, 0 when there is none.
    pub fn mean_ns(&self) -> f64 {
        self.counts().mean()
    }

    /// The curve of latency by percentile: `(quantile, latency_ns)`, both ascending, denser towards 1.
    ///
    /// Five points for each halving of what remains above; empty when nothing was recorded.
    pub fn quantiles(&self) -> Vec<(f64, u64)> {
        const POINTS_PER_HALVING: u32 = 5;
        if self.count == 0 {
            return Vec::new();
        }
        self.counts()
            .iter_quantiles(POINTS_PER_HALVING)
            .map(|point| (point.quantile_iterated_to(), point.value_iterated_to()))
            .collect()
    }

    /// The figures that a result shows, in microseconds, with the whole histogram beside them.
    pub fn distribution(&self) -> Distribution {
        let us = |latency_ns: u64| latency_ns as f64 / 1e3;
        let counts = self.counts();
        let quantile_us = |quantile| us(counts.value_at_quantile(quantile));
        Distribution {
            count: self.count(),
            min_us: us(counts.min()),
            mean_us: (counts.mean().round()) / 1e3,
            p50_us: quantile_us(0.5),
            p90_us: quantile_us(0.9),
            p95_us: quantile_us(0.95),
            p99_us: quantile_us(0.99),
            p999_us: quantile_us(0.999),
            max_us: us(counts.max()),
            over_max: self.over_max,
            hdr: encoding::encode(&counts),
        }
    }

    /// The histogram behind the figures of a result.
    pub fn from_distribution(distribution: &Distribution) -> Result<Self, HistogramError> {
        Self::from_parts(&distribution.hdr, distribution.over_max)
    }

    /// The histogram of what [`to_base64`](Self::to_base64) wrote and what is counted beside it: input is not trusted.
    pub fn from_parts(hdr: &str, over_max: u64) -> Result<Self, HistogramError> {
        let mut histogram = Self::from_base64(hdr)?;
        histogram.over_max = over_max;
        Ok(histogram)
    }

    /// HdrHistogram's V2 compressed encoding in padded base64; [`over_max`](Self::over_max) has no place in it.
    pub fn to_base64(&self) -> String {
        encoding::encode(&self.counts())
    }

    /// Reads what [`to_base64`](Self::to_base64) wrote, here or on another machine: input is not trusted.
    pub fn from_base64(text: &str) -> Result<Self, HistogramError> {
        let counts = encoding::decode(text)?;
        let mut histogram = Self::new();
        for recorded in counts.iter_recorded() {
            let latency_ns = counts.lowest_equivalent(recorded.value_iterated_to());
            histogram.record_many(latency_ns, recorded.count_at_value());
        }
        match histogram.over_max {
            0 => Ok(histogram),
            _ => Err(HistogramError::OutOfRange),
        }
    }

    /// `(lowest, highest, count)` of each recorded value, rising: durations from the lowest to the highest are one. It
    /// walks what is held, where a mean or a curve lays out the whole range: for what is asked once a second.
    pub fn recorded(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let octaves = self.octaves.iter().enumerate();
        octaves.flat_map(|(octave, held)| {
            let shift = octave.saturating_sub(1);
            let counts = held.iter().flat_map(|held| held.iter().enumerate());
            let used = counts.filter(|(_, count)| **count > 0);
            used.map(move |(place, count)| {
                let highest_bits = if octave == 0 { place } else { OCTAVE + place };
                let lowest_ns = (highest_bits as u64) << shift;
                (lowest_ns, lowest_ns + (1 << shift) - 1, *count)
            })
        })
    }

    /// The HdrHistogram that it is, with its whole range.
    pub(crate) fn counts(&self) -> Histogram<u64> {
        let mut counts = Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS)
            .expect("constant bounds with 1 < max and 3 digits are always valid");
        for (latency_ns, _, count) in self.recorded() {
            counts.record_n(latency_ns, count).expect("no octave is above the range");
        }
        counts
    }
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn histogram_of(latencies_ns: &[u64]) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::new();
        for &latency_ns in latencies_ns {
            histogram.record(latency_ns);
        }
        histogram
    }

    #[test]
    fn quantiles_rank_failures_last() {
        let hundred: Vec<u64> = (1..=100).collect();
        for (quantile, slower, expected_ns, why) in [
            (0.5, 0, Some(50), "the 50th of 100"),
            (0.99, 0, Some(99), "the 99th of 100"),
            (1.0, 0, Some(100), "the last"),
            (0.0, 0, Some(1), "the first"),
            (0.99, 1, Some(100), "rank ceil(0.99 * 101) = 100"),
            (0.99, 2, None, "rank 101 of 102 is a failure"),
            (0.5, 100, Some(100), "half failed: the median is the slowest success"),
            (0.5, 101, None, "more than half failed"),
        ] {
            let got = histogram_of(&hundred).quantile_ns_among(quantile, slower);
            assert_eq!(got, expected_ns, "{why}");
        }
        assert_eq!(histogram_of(&[]).quantile_ns_among(0.5, 0), None, "nothing to rank");
    }

    #[test]
    fn durations_above_the_maximum_are_counted_separately() {
        let histogram = histogram_of(&[LATENCY_NS_MAX, LATENCY_NS_MAX + 1, u64::MAX, 0]);
        assert_eq!((histogram.count(), histogram.over_max()), (2, 2));
        let restored = LatencyHistogram::from_distribution(&histogram.distribution()).unwrap();
        assert_eq!(restored, histogram);
    }

    fn latencies() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(0..LATENCY_NS_MAX * 2, 0..200)
    }

    proptest! {
        #[test]
        fn merging_is_recording_both(a in latencies(), b in latencies()) {
            let mut merged = histogram_of(&a);
            merged.merge(&histogram_of(&b));
            prop_assert_eq!(merged, histogram_of(&[a, b].concat()));
        }

        #[test]
        fn base64_restores_every_count(a in latencies()) {
            let mut histogram = histogram_of(&a);
            histogram.over_max = 0;
            let restored = LatencyHistogram::from_base64(&histogram.to_base64()).unwrap();
            prop_assert_eq!(restored, histogram);
        }

        #[test]
        fn figures_are_within_a_thousandth(a in prop::collection::vec(1_000..LATENCY_NS_MAX, 1..200)) {
            let mut sorted = a.clone();
            sorted.sort_unstable();
            let exact_us = sorted[(sorted.len() as f64 * 0.9).ceil() as usize - 1] as f64 / 1e3;
            let figures = histogram_of(&a).distribution();
            prop_assert!((figures.p90_us / exact_us - 1.0).abs() <= 1e-3);
            prop_assert!(figures.min_us <= figures.p50_us && figures.p999_us <= figures.max_us);
        }

        #[test]
        fn quantiles_are_those_of_hdrhistogram(a in latencies(), quantile in 0.0..=1.0) {
            let histogram = histogram_of(&a);
            let counts = histogram.counts();
            for quantile in [0.0, quantile, 0.5, 0.99, 1.0] {
                let expected_ns = counts.value_at_quantile(quantile);
                prop_assert_eq!(histogram.quantile_ns(quantile), expected_ns, "{}", quantile);
            }
            prop_assert_eq!(histogram.max_ns(), counts.max());
        }

        #[test]
        fn the_curve_ascends(a in latencies()) {
            let curve = histogram_of(&a).quantiles();
            prop_assert!(curve.is_sorted());
            prop_assert!(curve.iter().all(|(quantile, _)| (0.0..=1.0).contains(quantile)));
        }

    }
}
