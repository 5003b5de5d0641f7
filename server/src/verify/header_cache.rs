//! Headers under which a signature was verified, so that the next token with one is spared its reading.
//!
//! An issuer writes the same header into every token. Once a key has answered for it, a token that begins with
//! the very same bytes asks for the same key by the same algorithm and breaks no rule about headers. Nothing
//! that a stranger sends gets in, for only the holder of a key can make a signature that is verified.

use std::sync::Arc;

use crate::keys::{Key, Ring};
use crate::verify::token::{Segments, Shape};

/// Headers that are remembered: an issuer has one for each of its keys, of which there are a few.
const HEADERS_MAX: usize = 32;

/// A longer segment is read each time. A usual header takes 36 characters, one with a thumbprint about 100.
const HEADER_BYTES_MAX: usize = 256;

/// The headers known under one ring. Its memory is taken once.
pub(super) struct HeaderCache {
    known: Vec<Known>,
    generation: u64,
    /// The place of the header that came last, which likely comes next.
    last: usize,
    /// The place that is overwritten next once all are taken.
    oldest: usize,
}

/// A header and the key that verified the last signature under it.
pub(super) struct Known {
    bytes: [u8; HEADER_BYTES_MAX],
    len: usize,
    /// How long the encoded signature was, as all of a key are.
    signature_bytes: usize,
    pub key: Arc<Key>,
    /// No other key could verify a token with this header: it names the key, or the ring has one alone of its
    /// algorithm.
    pub only: bool,
}

impl HeaderCache {
    pub(super) fn new() -> Self {
        Self { known: Vec::with_capacity(HEADERS_MAX), generation: 0, last: 0, oldest: 0 }
    }

    /// The place of the header with which `token` begins, if it is known under `ring`.
    #[inline]
    pub(super) fn find(&mut self, token: &[u8], ring: &Ring) -> Option<usize> {
        if self.generation != ring.generation() {
            self.known.clear();
            return None;
        }
        if !self.known.get(self.last)?.begins(token) {
            self.last = self.known.iter().position(|known| known.begins(token))?;
        }
        Some(self.last)
    }

    /// What is known of the header at `place`.
    #[inline]
    pub(super) fn at(&self, place: usize) -> Option<&Known> {
        self.known.get(place)
    }

    /// The ring under which all of them were learnt.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Remembers that `key` of `ring` verified the signature of a token.
    pub(super) fn learn(&mut self, segments: &Segments<'_>, ring: &Ring, key: &Arc<Key>, only: bool) {
        let header = segments.header;
        if self.generation != ring.generation() {
            self.known.clear();
            self.generation = ring.generation();
        }
        let mut bytes = [0; HEADER_BYTES_MAX];
        let Some(place) = bytes.get_mut(..header.len()) else {
            return;
        };
        place.copy_from_slice(header);
        let known =
            Known { bytes, len: header.len(), signature_bytes: segments.signature.len(), key: Arc::clone(key), only };
        let same = self.known.iter_mut().find(|known| known.header() == header);
        if let Some(same) = same {
            *same = known;
        } else if self.known.len() < HEADERS_MAX {
            self.known.push(known);
        } else if let Some(oldest) = self.known.get_mut(self.oldest) {
            *oldest = known;
            self.oldest = (self.oldest + 1) % HEADERS_MAX;
        }
    }

    /// How many headers are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

impl Known {
    /// The header, as it stands in a token.
    pub(super) fn header(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// What a token with this header looks like.
    #[inline]
    pub(super) fn shape(&self) -> Shape {
        Shape { header_bytes: self.len, signature_bytes: self.signature_bytes }
    }

    /// Does `token` begin with this header and a dot?
    #[inline]
    fn begins(&self, token: &[u8]) -> bool {
        token.get(self.len) == Some(&b'.') && token.get(..self.len) == Some(self.header())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Algorithm, load};
    use crate::verify::token;

    fn ring() -> Ring {
        Ring::new(vec![load::secret(b"secret", Algorithm::HS256).unwrap()]).unwrap()
    }

    fn learn(cache: &mut HeaderCache, header: &[u8], ring: &Ring) {
        let token = [header, b".."].concat();
        let segments = token::cut(&token, None, token.len()).unwrap();
        cache.learn(&segments, ring, &ring.keys()[0], true);
    }

    #[test]
    fn a_header_is_known_until_the_ring_changes() {
        let (old, new) = (ring(), ring());
        let mut cache = HeaderCache::new();
        learn(&mut cache, b"abc", &old);
        for (header, ring, found, why) in [
            (&b"abc.d"[..], &old, true, "the very same bytes"),
            (b"abc.", &old, true, "and nothing else"),
            (b"abc", &old, false, "no token"),
            (b"abcd.e", &old, false, "one more"),
            (b"ab.cd", &old, false, "one less"),
            (b"", &old, false, "none"),
            (b"abc.d", &new, false, "learnt under another ring"),
            (b"abc.d", &old, false, "which forgot everything"),
        ] {
            assert_eq!(cache.find(header, ring).is_some(), found, "{why}");
        }
    }

    #[test]
    fn memory_has_a_bound() {
        let ring = ring();
        let mut cache = HeaderCache::new();
        let header = |i: usize| format!("header {i}");
        let token = |i: usize| format!("header {i}.");
        for i in 0..3 * HEADERS_MAX {
            learn(&mut cache, header(i).as_bytes(), &ring);
            learn(&mut cache, header(i).as_bytes(), &ring);
            let found = cache.find(token(i).as_bytes(), &ring);
            assert!(found.is_some(), "what was learnt last is known");
        }
        assert_eq!(cache.len(), HEADERS_MAX);
        assert!(cache.find(token(0).as_bytes(), &ring).is_none());

        let long = [&[b'a'; HEADER_BYTES_MAX + 1][..], b"."].concat();
        for (token, kept, why) in [(&long[..], false, "too long to be kept"), (&long[1..], true, "just short enough")] {
            learn(&mut cache, &token[..token.len() - 1], &ring);
            assert_eq!(cache.find(token, &ring).is_some(), kept, "{why}");
        }
    }
}
