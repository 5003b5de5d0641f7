//! The three segments of a token and their encoding.

use base64_simd::{AsOut, URL_SAFE_NO_PAD};
use memchr::{memchr, memrchr};

use crate::verify::Refusal;

/// A token split at its dots (JWS Compact Serialization, RFC 7515 section 7.1), not decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Segments<'t> {
    /// The header, encoded.
    pub header: &'t [u8],
    /// The claims, encoded.
    pub claims: &'t [u8],
    /// The signature, encoded.
    pub signature: &'t [u8],
    /// The signed bytes: header and claims as sent, with the dot between them.
    pub signed: &'t [u8],
}

/// The expected lengths of the segments of a token, known from earlier tokens with the same header.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// The length of the header. The token begins with this header and a dot.
    pub header_bytes: usize,
    /// The probable length of the signature in base64url characters.
    pub signature_bytes: usize,
}

/// Splits `token` at its first and its last dot, or at the dots that its `shape` predicts. Further dots remain in
/// claims or signature, which then cannot be decoded; [`Segments::precise`] returns the right reason.
///
/// # Errors
/// [`Refusal::Missing`], [`Refusal::TooLong`] or [`Refusal::Malformed`].
#[inline]
pub(super) fn split(token: &[u8], shape: Option<Shape>, bytes_max: usize) -> Result<Segments<'_>, Refusal> {
    if token.is_empty() {
        return Err(Refusal::Missing);
    }
    if token.len() > bytes_max {
        return Err(Refusal::TooLong);
    }
    segments(token, shape).ok_or(Refusal::Malformed)
}

#[inline]
fn segments(token: &[u8], shape: Option<Shape>) -> Option<Segments<'_>> {
    let first = match shape {
        Some(shape) => shape.header_bytes,
        None => memchr(b'.', token)?,
    };
    let last = shape
        .and_then(|shape| token.len().checked_sub(shape.signature_bytes + 1))
        .filter(|dot| *dot > first && token.get(*dot) == Some(&b'.'));
    let last = match last {
        Some(dot) => dot,
        None => memrchr(b'.', token)?,
    };
    Some(Segments {
        header: token.get(..first)?,
        claims: token.get(first + 1..last)?,
        signature: token.get(last + 1..)?,
        signed: token.get(..last)?,
    })
}

impl Segments<'_> {
    /// The reason for a refusal. A token with more than three segments is malformed, although its segments are first
    /// found to be wrongly encoded.
    #[inline]
    pub(super) fn precise(&self, refusal: Refusal) -> Refusal {
        match refusal {
            Refusal::EncodingInvalid => self.encoding_or_malformed(),
            other => other,
        }
    }

    #[cold]
    fn encoding_or_malformed(&self) -> Refusal {
        let has_dot = [self.claims, self.signature].iter().any(|segment| memchr(b'.', segment).is_some());
        if has_dot { Refusal::Malformed } else { Refusal::EncodingInvalid }
    }
}

/// A buffer for one decoded segment, reused from token to token.
pub(super) struct Buffer {
    bytes: Box<[u8]>,
}

impl Buffer {
    /// A buffer for segments of up to `segment_bytes_max` characters.
    pub(super) fn new(segment_bytes_max: usize) -> Self {
        let bytes = URL_SAFE_NO_PAD.estimated_decoded_length(segment_bytes_max);
        Self { bytes: vec![0; bytes].into() }
    }

    /// Decodes `segment`: base64url without padding, in its canonical form (RFC 7515
    /// section 2; unused bits are zero, RFC 4648 section 3.5).
    ///
    /// # Errors
    /// [`Refusal::EncodingInvalid`], also for a segment that is too long for the buffer.
    #[inline]
    pub(super) fn decode(&mut self, segment: &[u8]) -> Result<&[u8], Refusal> {
        if URL_SAFE_NO_PAD.estimated_decoded_length(segment.len()) > self.bytes.len() {
            return Err(Refusal::EncodingInvalid);
        }
        URL_SAFE_NO_PAD
            .decode(segment, self.bytes.as_mut().as_out())
            .map(|decoded| &*decoded)
            .map_err(|_| Refusal::EncodingInvalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_is_three_segments() {
        for (token, verdict, why) in [
            ("a.b.c", Ok(("a", "b", "c", "a.b")), "three"),
            ("..", Ok(("", "", "", ".")), "empty segments are refused later"),
            ("", Err(Refusal::Missing), "empty"),
            ("abc", Err(Refusal::Malformed), "one segment"),
            ("a.b", Err(Refusal::Malformed), "two segments"),
            ("a.b.c.d", Err(Refusal::Malformed), "four segments"),
            ("a.b.c.d.e", Err(Refusal::Malformed), "an encrypted token"),
            ("a.bcdefgh.c", Err(Refusal::TooLong), "11 bytes"),
        ] {
            let split = split(token.as_bytes(), None, 10);
            let undecoded = Refusal::EncodingInvalid;
            let split = split.and_then(|segments| match segments.precise(undecoded) {
                refusal if refusal == undecoded => Ok(segments),
                refusal => Err(refusal),
            });
            let found = split.map(|segments| {
                let text = |bytes| str::from_utf8(bytes).unwrap();
                (text(segments.header), text(segments.claims), text(segments.signature), text(segments.signed))
            });
            assert_eq!(found, verdict, "{why}");
        }
    }

    #[test]
    fn only_canonical_base64url_is_decoded() {
        for (segment, verdict, why) in [
            ("", Some(&[][..]), "empty"),
            ("_-8", Some(&[0xff, 0xef]), "the alphabet of URLs"),
            ("AA", Some(&[0]), "one byte"),
            ("AB", None, "unused bits that are not zero"),
            ("AAB", None, "unused bits that are not zero"),
            ("AA==", None, "padding"),
            ("A", None, "not a whole byte"),
            ("/+8", None, "the other alphabet"),
            ("A A", None, "a space"),
            ("AA\n", None, "a line break"),
            ("ÄÖ", None, "not ASCII"),
        ] {
            let mut buffer = Buffer::new(8);
            assert_eq!(buffer.decode(segment.as_bytes()).ok(), verdict, "{why}");
        }
        let long = Buffer::new(8).decode(&[b'A'; 12]).unwrap_err();
        assert_eq!(long, Refusal::EncodingInvalid, "longer than the buffer");
    }

    proptest! {
        #[test]
        fn every_accepted_segment_is_the_encoding_of_its_bytes(
            segment in prop_oneof!["[A-Za-z0-9_-]{0,40}", ".{0,10}"],
        ) {
            let mut buffer = Buffer::new(64);
            if let Ok(decoded) = buffer.decode(segment.as_bytes()) {
                prop_assert_eq!(URL_SAFE_NO_PAD.encode_to_string(decoded), segment);
            }
        }

        #[test]
        fn any_bytes_are_split_or_refused(token in proptest::collection::vec(any::<u8>(), 0..50)) {
            if let Ok(segments) = split(&token, None, 40) {
                let joined = [segments.signed, b".", segments.signature].concat();
                prop_assert_eq!(joined, token);
            }
        }
    }
}
