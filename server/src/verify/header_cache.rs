//! Headers under which a signature was verified, so that the next token with one is spared its reading.
//!
//! An issuer writes the same header into every token. Once a key has answered for it, a token that begins with
//! the very same bytes asks for the same key by the same algorithm and breaks no rule about headers. Nothing
//! that a stranger sends gets in, for only the holder of a key can make a signature that is verified.

use std::sync::Arc;

use crate::keys::{Key, Ring};

/// Headers that are remembered: an issuer has one for each of its keys, of which there are a few.
const HEADERS_MAX: usize = 32;

/// A longer segment is read each time. A usual header takes 36 characters, one with a thumbprint about 100.
const HEADER_BYTES_MAX: usize = 256;

/// The headers known under one ring. Its memory is taken once.
pub(super) struct HeaderCache {
    known: Vec<Known>,
    /// The ring under which all of them were learnt.
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
    pub key: Arc<Key>,
    /// No other key could verify a token with this header: it names the key, or the ring has one alone of its
    /// algorithm.
    pub only: bool,
}

impl HeaderCache {
    pub(super) fn new() -> Self {
        Self {
            known: Vec::with_capacity(HEADERS_MAX),
            generation: 0,
            last: 0,
            oldest: 0,
        }
    }

    /// What is known of the header segment `header` under `ring`.
    #[inline]
    pub(super) fn find(&mut self, header: &[u8], ring: &Ring) -> Option<&Known> {
        if self.generation != ring.generation() {
            self.known.clear();
            return None;
        }
        if !self.known.get(self.last)?.is(header) {
            self.last = self.known.iter().position(|known| known.is(header))?;
        }
        self.known.get(self.last)
    }

    /// Remembers that `key` of `ring` verified a signature under `header`.
    pub(super) fn learn(&mut self, header: &[u8], ring: &Ring, key: &Arc<Key>, only: bool) {
        if self.generation != ring.generation() {
            self.known.clear();
            self.generation = ring.generation();
        }
        let mut bytes = [0; HEADER_BYTES_MAX];
        let Some(place) = bytes.get_mut(..header.len()) else {
            return;
        };
        place.copy_from_slice(header);
        let known = Known {
            bytes,
            len: header.len(),
            key: Arc::clone(key),
            only,
        };
        let same = self.known.iter_mut().find(|known| known.is(header));
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
    #[inline]
    fn is(&self, header: &[u8]) -> bool {
        self.bytes.get(..self.len) == Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Algorithm, load};

    fn ring() -> Ring {
        Ring::new(vec![load::secret(b"secret", Algorithm::HS256).unwrap()]).unwrap()
    }

    #[test]
    fn a_header_is_known_until_the_ring_changes() {
        let (old, new) = (ring(), ring());
        let mut cache = HeaderCache::new();
        cache.learn(b"abc", &old, &old.keys()[0], true);
        for (header, ring, found, why) in [
            (&b"abc"[..], &old, true, "the very same bytes"),
            (b"abcd", &old, false, "one more"),
            (b"ab", &old, false, "one less"),
            (b"", &old, false, "none"),
            (b"abc", &new, false, "learnt under another ring"),
            (b"abc", &old, false, "which forgot everything"),
        ] {
            assert_eq!(cache.find(header, ring).is_some(), found, "{why}");
        }
    }

    #[test]
    fn memory_has_a_bound() {
        let ring = ring();
        let mut cache = HeaderCache::new();
        let header = |i: usize| format!("header {i}");
        for i in 0..3 * HEADERS_MAX {
            cache.learn(header(i).as_bytes(), &ring, &ring.keys()[0], true);
            cache.learn(header(i).as_bytes(), &ring, &ring.keys()[0], true);
            let found = cache.find(header(i).as_bytes(), &ring);
            assert!(found.is_some(), "what was learnt last is known");
        }
        assert_eq!(cache.len(), HEADERS_MAX);
        assert!(cache.find(header(0).as_bytes(), &ring).is_none());

        let long = [b'a'; HEADER_BYTES_MAX + 1];
        cache.learn(&long, &ring, &ring.keys()[0], true);
        assert!(cache.find(&long, &ring).is_none(), "too long to be kept");
        cache.learn(&long[1..], &ring, &ring.keys()[0], true);
        assert!(cache.find(&long[1..], &ring).is_some(), "just short enough");
    }
}
