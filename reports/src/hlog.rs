//! The histogram log: every phase in every interval, for HdrHistogram's own tools.
//!
//! Format 1.3 of HdrHistogram's `HistogramLogWriter`: a line per histogram, `Tag=<phase>,<start>,<length>,<max>,
//! <base64>`, seconds with milliseconds, values in nanoseconds, histograms in the V2 compressed encoding.

use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::histogram::LatencyHistogram;

/// A histogram log in memory, grown interval by interval.
pub struct HlogWriter {
    /// Whole lines.
    log: Vec<u8>,
    serializer: V2DeflateSerializer,
}

/// A tag that the log's grammar has no room for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag in a histogram log has no comma, space or line break: {tag:?}")]
pub struct TagRefused {
    tag: String,
}

impl HlogWriter {
    /// An empty log of a run whose T0 was `start`; the intervals count from there.
    pub fn new(start: SystemTime) -> Self {
        let mut log = Vec::new();
        IntervalLogWriterBuilder::new()
            .add_comment("[Histogram log format version 1.3]")
            .add_comment("[Values are durations in nanoseconds]")
            .with_start_time(start)
            .with_base_time(start)
            .begin_log_with(&mut log, &mut V2DeflateSerializer::new())
            .expect("writing to memory cannot fail");
        log.extend_from_slice(LEGEND);
        Self { log, serializer: V2DeflateSerializer::new() }
    }

    /// Adds what `tag` (`connect`, `handshake.response`, ...) recorded from `start_offset` after T0, `length` long.
    ///
    /// An interval in which nothing was recorded is left out: its absence says the same in fewer bytes.
    pub fn interval(
        &mut self,
        start_offset: Duration,
        length: Duration,
        tag: &str,
        histogram: &LatencyHistogram,
    ) -> Result<(), TagRefused> {
        let known = Tag::new(tag).filter(|tag| !tag.is_empty());
        let Some(known) = known else {
            return Err(TagRefused { tag: tag.to_owned() });
        };
        if histogram.count() == 0 {
            return Ok(());
        }
        IntervalLogWriterBuilder::new()
            .begin_log_with(&mut self.log, &mut self.serializer)
            .expect("writing to memory cannot fail")
            .write_histogram(&histogram.counts(), start_offset, length, Some(known))
            .expect("writing to memory, with counts far below 2^63, cannot fail");
        Ok(())
    }

    /// The whole file, `run.hlog`.
    pub fn finish(self) -> Vec<u8> {
        self.log
    }
}

/// The column heads that HdrHistogram's log processor writes, and that spreadsheets look for.
const LEGEND: &[u8] = b"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    #[test]
    fn a_log_reads_back_line_by_line() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        let mut histogram = LatencyHistogram::new();
        for latency_ns in [1_000, 2_000_000, 3_000_000_000] {
            histogram.record(latency_ns);
        }
        let mut writer = HlogWriter::new(start);
        let second = Duration::from_secs(1);
        writer.interval(Duration::ZERO, second, "connect", &histogram).unwrap();
        writer.interval(second, second, "connect", &LatencyHistogram::new()).unwrap();
        writer.interval(second, second / 2, "handshake.response", &histogram).unwrap();
        let log = writer.finish();

        assert!(log.starts_with(b"#[Histogram log format version 1.3]\n"));
        let mut seen = Vec::new();
        for entry in IntervalLogIterator::new(&log) {
            if let LogEntry::Interval(interval) = entry.unwrap() {
                let restored = LatencyHistogram::from_base64(interval.encoded_histogram()).unwrap();
                assert_eq!(restored, histogram);
                let tag = interval.tag().unwrap().as_str().to_owned();
                seen.push((tag, interval.start_timestamp(), interval.duration()));
            }
        }
        assert_eq!(
            seen,
            [("connect".to_owned(), Duration::ZERO, second), ("handshake.response".to_owned(), second, second / 2),],
            "the empty interval is left out"
        );
    }

    #[test]
    fn tags_keep_to_the_grammar() {
        let mut writer = HlogWriter::new(SystemTime::UNIX_EPOCH);
        for tag in ["", "a b", "a,b", "a\nb"] {
            let refused = writer.interval(Duration::ZERO, Duration::ZERO, tag, &LatencyHistogram::new());
            assert!(refused.is_err(), "{tag:?}");
        }
    }
}
