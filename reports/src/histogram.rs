//! Latency histograms: recording, merging, and the two forms in which others read them.

use std::io::Read;

use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use crate::schema::Distribution;

/// The longest duration that is recorded by its value: an hour, which no timeout of a run exceeds.
pub const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// Two values that differ by less than a thousandth are one, which is finer than any run repeats.
const SIGNIFICANT_DIGITS: u8 = 3;

/// The most that a histogram may unpack to: at [`SIGNIFICANT_DIGITS`] a full one has 33,792 counts of at most 8 bytes.
const UNPACKED_BYTES_MAX: usize = 40 + 33_792 * 8;

/// The most base64 that is looked at: what does not compress grows by a third, and a little for its head.
const BASE64_BYTES_MAX: usize = UNPACKED_BYTES_MAX / 3 * 4 + 1024;

/// Durations of one phase, in nanoseconds, to three significant digits and up to [`LATENCY_NS_MAX`].
///
/// It holds its 270 kB from the start, so callers make one when they first need it (`Option<Box<_>>`); recording
/// never allocates. A value above the maximum is counted apart ([`over_max`](Self::over_max)) instead of being
/// pressed into the top: it ranks above all others.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyHistogram {
    /// Lowest value 1 ns, highest [`LATENCY_NS_MAX`], never resized: any two can be added.
    counts: Histogram<u64>,
    over_max: u64,
}

/// What is wrong with a histogram that was to be read.
#[derive(Debug, thiserror::Error)]
pub enum HistogramError {
    /// It is no base64 (RFC 4648 section 4, padded).
    #[error("the histogram is not base64 (RFC 4648 section 4)")]
    NotBase64,
    /// It is longer, packed or unpacked, than a histogram of this program can be.
    #[error("the histogram is longer than {UNPACKED_BYTES_MAX} bytes")]
    TooLong,
    /// It is not in HdrHistogram's V2 compressed encoding.
    #[error("the histogram is not in HdrHistogram's V2 compressed encoding")]
    NotV2Deflate,
    /// It counts from another lowest value, or with other digits.
    #[error("the histogram does not count from 1 ns with {SIGNIFICANT_DIGITS} significant digits")]
    OtherUnits,
    /// It holds a value above [`LATENCY_NS_MAX`].
    #[error("the histogram holds a duration above {LATENCY_NS_MAX} ns")]
    OutOfRange,
}

impl LatencyHistogram {
    /// An empty histogram.
    pub fn new() -> Self {
        let counts = Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS)
            .expect("constant bounds with 1 < max and 3 digits are always valid");
        Self {
            counts,
            over_max: 0,
        }
    }

    /// Counts one duration.
    #[inline]
    pub fn record(&mut self, latency_ns: u64) {
        if latency_ns > LATENCY_NS_MAX || self.counts.record(latency_ns).is_err() {
            self.over_max += 1;
        }
    }

    /// Counts all that `other` counted: the same as if every duration had been recorded here.
    pub fn merge(&mut self, other: &Self) {
        self.counts
            .add(&other.counts)
            .expect("all histograms of this type have the same range");
        self.over_max += other.over_max;
    }

    /// Forgets everything, and keeps the memory.
    pub fn clear(&mut self) {
        self.counts.reset();
        self.over_max = 0;
    }

    /// Durations up to [`LATENCY_NS_MAX`].
    pub fn count(&self) -> u64 {
        self.counts.len()
    }

    /// Durations above [`LATENCY_NS_MAX`].
    pub fn over_max(&self) -> u64 {
        self.over_max
    }

    /// Whether nothing was recorded at all.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.over_max == 0
    }

    /// The duration that a part `quantile` (0 to 1) of the recorded ones do not exceed; 0 when there is none.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        self.counts.value_at_quantile(quantile)
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
        self.counts.max()
    }

    /// The arithmetic mean, 0 when there is none.
    pub fn mean_ns(&self) -> f64 {
        self.counts.mean()
    }

    /// The curve of latency by percentile: `(quantile, latency_ns)`, both ascending, denser towards 1.
    ///
    /// Five points for each halving of what remains above; empty when nothing was recorded.
    pub fn quantiles(&self) -> Vec<(f64, u64)> {
        const POINTS_PER_HALVING: u32 = 5;
        if self.counts.is_empty() {
            return Vec::new();
        }
        self.counts
            .iter_quantiles(POINTS_PER_HALVING)
            .map(|point| (point.quantile_iterated_to(), point.value_iterated_to()))
            .collect()
    }

    /// The figures that a result shows, in microseconds, with the whole histogram beside them.
    pub fn distribution(&self) -> Distribution {
        let us = |latency_ns: u64| latency_ns as f64 / 1e3;
        Distribution {
            count: self.count(),
            min_us: us(self.counts.min()),
            mean_us: (self.mean_ns().round()) / 1e3,
            p50_us: us(self.quantile_ns(0.5)),
            p90_us: us(self.quantile_ns(0.9)),
            p95_us: us(self.quantile_ns(0.95)),
            p99_us: us(self.quantile_ns(0.99)),
            p999_us: us(self.quantile_ns(0.999)),
            max_us: us(self.max_ns()),
            over_max: self.over_max,
            hdr: self.to_base64(),
        }
    }

    /// The histogram behind the figures of a result.
    pub fn from_distribution(distribution: &Distribution) -> Result<Self, HistogramError> {
        let mut histogram = Self::from_base64(&distribution.hdr)?;
        histogram.over_max = distribution.over_max;
        Ok(histogram)
    }

    /// HdrHistogram's V2 compressed encoding in padded base64; [`over_max`](Self::over_max) has no place in it.
    pub fn to_base64(&self) -> String {
        let mut packed = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.counts, &mut packed)
            .expect("writing to memory, with counts far below 2^63, cannot fail");
        base64_simd::STANDARD.encode_to_string(packed)
    }

    /// Reads what [`to_base64`](Self::to_base64) wrote, here or on another machine: input is not trusted.
    pub fn from_base64(text: &str) -> Result<Self, HistogramError> {
        if text.len() > BASE64_BYTES_MAX {
            return Err(HistogramError::TooLong);
        }
        let packed = base64_simd::STANDARD
            .decode_to_vec(text)
            .map_err(|_| HistogramError::NotBase64)?;
        let unpacked = inflate(&packed)?;
        check_v2(&unpacked)?;
        let counts: Histogram<u64> = Deserializer::new()
            .deserialize(&mut unpacked.as_slice())
            .map_err(|_| HistogramError::NotV2Deflate)?;
        let mut histogram = Self::new();
        histogram
            .counts
            .add(&counts)
            .map_err(|_| HistogramError::OutOfRange)?;
        Ok(histogram)
    }

    /// For the log's writer, which takes the counts themselves.
    pub(crate) fn counts(&self) -> &Histogram<u64> {
        &self.counts
    }
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes off the compressed encoding's head (cookie, length) and unpacks the rest, within [`UNPACKED_BYTES_MAX`].
fn inflate(packed: &[u8]) -> Result<Vec<u8>, HistogramError> {
    const V2_COMPRESSED_COOKIE: u32 = 0x1c84_9314;
    if big_endian(packed, 0) != Some(V2_COMPRESSED_COOKIE) {
        return Err(HistogramError::NotV2Deflate);
    }
    let mut unpacked = Vec::new();
    ZlibDecoder::new(packed.get(8..).unwrap_or_default())
        .take(UNPACKED_BYTES_MAX as u64 + 1)
        .read_to_end(&mut unpacked)
        .map_err(|_| HistogramError::NotV2Deflate)?;
    if unpacked.len() > UNPACKED_BYTES_MAX {
        return Err(HistogramError::TooLong);
    }
    Ok(unpacked)
}

/// Checks the V2 encoding's head of 40 bytes and the shape of its counts, which the decoder takes on trust.
///
/// The head: cookie, payload length, normalizing offset, digits (4 bytes each), lowest and highest value, ratio
/// (8 bytes each).
fn check_v2(unpacked: &[u8]) -> Result<(), HistogramError> {
    const HEAD_BYTES: usize = 40;
    // Eight bytes of a variable-length number already hold 2^56, more than anyone records.
    const NUMBER_BYTES_MAX: usize = 8;

    let payload = unpacked
        .get(HEAD_BYTES..)
        .ok_or(HistogramError::NotV2Deflate)?;
    if big_endian(unpacked, 4).map(|length| length as usize) != Some(payload.len()) {
        return Err(HistogramError::NotV2Deflate);
    }
    let digits = big_endian(unpacked, 12);
    let lowest = (big_endian(unpacked, 16), big_endian(unpacked, 20));
    if digits != Some(u32::from(SIGNIFICANT_DIGITS)) || lowest != (Some(0), Some(1)) {
        return Err(HistogramError::OtherUnits);
    }
    let continues = |byte: &u8| byte & 0x80 != 0;
    let oversized = payload
        .split(|byte| !continues(byte))
        .any(|run| run.len() >= NUMBER_BYTES_MAX);
    if oversized {
        return Err(HistogramError::NotV2Deflate);
    }
    Ok(())
}

fn big_endian(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(latencies_ns: &[u64]) -> LatencyHistogram {
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
            (
                0.5,
                100,
                Some(100),
                "half failed: the median is the slowest success",
            ),
            (0.5, 101, None, "more than half failed"),
        ] {
            let got = of(&hundred).quantile_ns_among(quantile, slower);
            assert_eq!(got, expected_ns, "{why}");
        }
        assert_eq!(of(&[]).quantile_ns_among(0.5, 0), None, "nothing to rank");
    }

    #[test]
    fn what_is_too_long_is_counted_apart() {
        let histogram = of(&[LATENCY_NS_MAX, LATENCY_NS_MAX + 1, u64::MAX, 0]);
        assert_eq!((histogram.count(), histogram.over_max()), (2, 2));
        let restored = LatencyHistogram::from_distribution(&histogram.distribution()).unwrap();
        assert_eq!(restored, histogram);
    }

    #[test]
    fn unreadable_histograms_are_refused() {
        let good = of(&[1_000, 2_000]).to_base64();
        for (text, error, why) in [
            ("?".to_owned(), "is not base64", "not of the alphabet"),
            (String::new(), "V2 compressed", "nothing"),
            ("HISTFAAA".to_owned(), "V2 compressed", "a head and no more"),
            (
                good[..good.len() / 8 * 4].to_owned(),
                "V2 compressed",
                "cut off",
            ),
            ("A".repeat(BASE64_BYTES_MAX + 4), "longer than", "no end"),
            (bomb(), "longer than", "unpacks to more than it may"),
            (digits_2(), "3 significant digits", "someone else's units"),
        ] {
            let got = LatencyHistogram::from_base64(&text)
                .unwrap_err()
                .to_string();
            assert!(got.contains(error), "{why}: {got}");
        }
    }

    fn packed(unpacked: &[u8]) -> String {
        use std::io::Write;
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        zlib.write_all(unpacked).unwrap();
        let body = zlib.finish().unwrap();
        let mut bytes = 0x1c84_9314_u32.to_be_bytes().to_vec();
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(body);
        base64_simd::STANDARD.encode_to_string(bytes)
    }

    fn bomb() -> String {
        packed(&vec![0; 100 * UNPACKED_BYTES_MAX])
    }

    fn digits_2() -> String {
        let other = Histogram::<u64>::new_with_bounds(1, 1_000, 2).unwrap();
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&other, &mut bytes)
            .unwrap();
        base64_simd::STANDARD.encode_to_string(bytes)
    }

    fn latencies() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(0..LATENCY_NS_MAX * 2, 0..200)
    }

    proptest! {
        #[test]
        fn merging_is_recording_both(a in latencies(), b in latencies()) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }

        #[test]
        fn base64_restores_every_count(a in latencies()) {
            let mut histogram = of(&a);
            histogram.over_max = 0;
            let restored = LatencyHistogram::from_base64(&histogram.to_base64()).unwrap();
            prop_assert_eq!(restored, histogram);
        }

        #[test]
        fn figures_are_within_a_thousandth(a in prop::collection::vec(1_000..LATENCY_NS_MAX, 1..200)) {
            let mut sorted = a.clone();
            sorted.sort_unstable();
            let exact_us = sorted[(sorted.len() as f64 * 0.9).ceil() as usize - 1] as f64 / 1e3;
            let figures = of(&a).distribution();
            prop_assert!((figures.p90_us / exact_us - 1.0).abs() <= 1e-3);
            prop_assert!(figures.min_us <= figures.p50_us && figures.p999_us <= figures.max_us);
        }

        #[test]
        fn the_curve_ascends(a in latencies()) {
            let curve = of(&a).quantiles();
            prop_assert!(curve.is_sorted());
            prop_assert!(curve.iter().all(|(quantile, _)| (0.0..=1.0).contains(quantile)));
        }

        #[test]
        fn no_text_panics(text in "[A-Za-z0-9+/=]{0,200}") {
            let _ = LatencyHistogram::from_base64(&text);
        }

        #[test]
        fn no_payload_panics(
            payload in prop::collection::vec(any::<u8>(), 0..200),
            highest in any::<u64>(),
        ) {
            let mut bytes = 0x1c84_9313_u32.to_be_bytes().to_vec();
            bytes.extend((payload.len() as u32).to_be_bytes());
            bytes.extend([0, 0, 0, 0, 0, 0, 0, 3]);
            bytes.extend(1_u64.to_be_bytes());
            bytes.extend(highest.to_be_bytes());
            bytes.extend(1_f64.to_be_bytes());
            bytes.extend(payload);
            let _ = LatencyHistogram::from_base64(&packed(&bytes));
        }
    }
}
