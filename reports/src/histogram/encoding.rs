//! Histograms as text: HdrHistogram's V2 compressed encoding in base64, bounded when it is read.

use std::io::Read;

use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

/// The longest duration that is recorded by its value: an hour, which no timeout of a run exceeds.
pub const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// Two values that differ by less than a thousandth are one, which is finer than any run repeats.
pub(super) const SIGNIFICANT_DIGITS: u8 = 3;

/// The most that a histogram may unpack to: at [`SIGNIFICANT_DIGITS`] a full one has 33,792 counts of at most 8 bytes.
const UNPACKED_BYTES_MAX: usize = 40 + 33_792 * 8;

/// The most base64 that is looked at: what does not compress grows by a third, and a little for its head.
const BASE64_BYTES_MAX: usize = UNPACKED_BYTES_MAX / 3 * 4 + 1024;

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

/// The V2 compressed encoding in padded base64 (RFC 4648 section 4).
pub fn encode(counts: &Histogram<u64>) -> String {
    let mut packed = Vec::new();
    V2DeflateSerializer::new()
        .serialize(counts, &mut packed)
        .expect("writing to memory, with counts far below 2^63, cannot fail");
    base64_simd::STANDARD.encode_to_string(packed)
}

/// Reads what [`encode`] wrote, here or elsewhere; its range may be another, its digits and lowest value not.
pub fn decode(text: &str) -> Result<Histogram<u64>, HistogramError> {
    if text.len() > BASE64_BYTES_MAX {
        return Err(HistogramError::TooLong);
    }
    let packed = base64_simd::STANDARD.decode_to_vec(text).map_err(|_| HistogramError::NotBase64)?;
    let unpacked = inflate(&packed)?;
    check_v2(&unpacked)?;
    Deserializer::new().deserialize(&mut unpacked.as_slice()).map_err(|_| HistogramError::NotV2Deflate)
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

    let payload = unpacked.get(HEAD_BYTES..).ok_or(HistogramError::NotV2Deflate)?;
    if big_endian(unpacked, 4).map(|length| length as usize) != Some(payload.len()) {
        return Err(HistogramError::NotV2Deflate);
    }
    let digits = big_endian(unpacked, 12);
    let lowest = (big_endian(unpacked, 16), big_endian(unpacked, 20));
    if digits != Some(u32::from(SIGNIFICANT_DIGITS)) || lowest != (Some(0), Some(1)) {
        return Err(HistogramError::OtherUnits);
    }
    let continues = |byte: &u8| byte & 0x80 != 0;
    let oversized = payload.split(|byte| !continues(byte)).any(|run| run.len() >= NUMBER_BYTES_MAX);
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
    use crate::histogram::LatencyHistogram;

    #[test]
    fn unreadable_histograms_are_refused() {
        let mut good = LatencyHistogram::new();
        good.record(1_000);
        let good = good.to_base64();
        for (text, error, why) in [
            ("?".to_owned(), "is not base64", "not of the alphabet"),
            (String::new(), "V2 compressed", "nothing"),
            ("HISTFAAA".to_owned(), "V2 compressed", "a head and no more"),
            (good[..good.len() / 8 * 4].to_owned(), "V2 compressed", "cut off"),
            ("A".repeat(BASE64_BYTES_MAX + 4), "longer than", "no end"),
            (bomb(), "longer than", "unpacks to more than it may"),
            (digits_2(), "3 significant digits", "someone else's units"),
        ] {
            let got = LatencyHistogram::from_base64(&text).unwrap_err().to_string();
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
        V2DeflateSerializer::new().serialize(&other, &mut bytes).unwrap();
        base64_simd::STANDARD.encode_to_string(bytes)
    }

    proptest! {
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
