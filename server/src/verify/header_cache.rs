//! A cache of the headers of tokens with valid signatures, which are not parsed again.
//!
//! An issuer writes the same header into all its tokens. A token that begins with a cached header selects the same key
//! and algorithm, and its header breaks no rule. Only the holder of a key can add a header, because it takes a valid
//! signature.

use std::sync::Arc;

use crate::keys::{Key, Ring};
use crate::verify::token::{Segments, Shape};

/// The most headers in the cache: an issuer has one for each of its few keys.
const HEADERS_MAX: usize = 32;

/// The longest header in the cache. Usual headers have 36 characters, headers with a thumbprint about 100.
const HEADER_BYTES_MAX: usize = 256;

/// The cached headers of one ring. The memory is allocated once.
pub(super) struct HeaderCache {
    known: Vec<KnownHeader>,
    /// The generation of the ring under which the headers were cached.
    pub generation: u64,
    /// The index of the header of the last token. The next token probably has the same header.
    last: usize,
    /// The index that is overwritten next when the cache is full.
    oldest: usize,
}

/// A header and the key that verified the last token with it.
pub(super) struct KnownHeader {
    bytes: [u8; HEADER_BYTES_MAX],
    len: usize,
    /// The length of the encoded signature, which depends on the key alone.
    signature_bytes: usize,
    pub key: Arc<Key>,
    /// Whether no other key can verify a token with this header: the header names the key, or the ring has only one key
    /// of the algorithm.
    pub is_only_key: bool,
}

impl HeaderCache {
    pub(super) fn new() -> Self {
        Self { known: Vec::with_capacity(HEADERS_MAX), generation: 0, last: 0, oldest: 0 }
    }

    /// The index of the header with which `token` begins, if the header was cached under `ring`.
    #[inline]
    pub(super) fn find(&mut self, token: &[u8], ring: &Ring) -> Option<usize> {
        if self.generation != ring.generation() {
            self.known.clear();
            return None;
        }
        if !self.known.get(self.last)?.is_start_of(token) {
            self.last = self.known.iter().position(|known| known.is_start_of(token))?;
        }
        Some(self.last)
    }

    /// The header at `index`.
    #[inline]
    pub(super) fn at(&self, index: usize) -> Option<&KnownHeader> {
        self.known.get(index)
    }

    /// Caches the header of a token whose signature `key` of `ring` verified.
    pub(super) fn insert(&mut self, segments: &Segments<'_>, ring: &Ring, key: &Arc<Key>, is_only_key: bool) {
        let header = segments.header;
        if self.generation != ring.generation() {
            self.known.clear();
            self.generation = ring.generation();
        }
        let mut bytes = [0; HEADER_BYTES_MAX];
        let Some(target) = bytes.get_mut(..header.len()) else { return };
        target.copy_from_slice(header);
        let known = KnownHeader {
            bytes,
            len: header.len(),
            signature_bytes: segments.signature.len(),
            key: Arc::clone(key),
            is_only_key,
        };
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
}

impl KnownHeader {
    /// The encoded header.
    pub(super) fn header(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The lengths of the segments of a token with this header.
    #[inline]
    pub(super) fn shape(&self) -> Shape {
        Shape { header_bytes: self.len, signature_bytes: self.signature_bytes }
    }

    /// Whether `token` begins with this header and a dot.
    #[inline]
    fn is_start_of(&self, token: &[u8]) -> bool {
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

    fn insert(cache: &mut HeaderCache, header: &[u8], ring: &Ring) {
        let token = [header, b".."].concat();
        let segments = token::split(&token, None, token.len()).unwrap();
        cache.insert(&segments, ring, &ring.keys()[0], true);
    }

    #[test]
    fn a_header_is_cached_until_the_ring_changes() {
        let (old, new) = (ring(), ring());
        let mut cache = HeaderCache::new();
        insert(&mut cache, b"abc", &old);
        for (header, ring, found, why) in [
            (&b"abc.d"[..], &old, true, "the same bytes"),
            (b"abc.", &old, true, "nothing after the dot"),
            (b"abc", &old, false, "no dot"),
            (b"abcd.e", &old, false, "one byte longer"),
            (b"ab.cd", &old, false, "one byte shorter"),
            (b"", &old, false, "empty"),
            (b"abc.d", &new, false, "cached under another ring"),
            (b"abc.d", &old, false, "another ring cleared the cache"),
        ] {
            assert_eq!(cache.find(header, ring).is_some(), found, "{why}");
        }
    }

    #[test]
    fn the_number_and_length_of_headers_are_limited() {
        let ring = ring();
        let mut cache = HeaderCache::new();
        let header = |i: usize| format!("header {i}");
        let token = |i: usize| format!("header {i}.");
        for i in 0..3 * HEADERS_MAX {
            insert(&mut cache, header(i).as_bytes(), &ring);
            insert(&mut cache, header(i).as_bytes(), &ring);
            let found = cache.find(token(i).as_bytes(), &ring);
            assert!(found.is_some(), "the last header is in the cache");
        }
        assert_eq!(cache.known.len(), HEADERS_MAX);
        assert!(cache.find(token(0).as_bytes(), &ring).is_none());

        let long = [&[b'a'; HEADER_BYTES_MAX + 1][..], b"."].concat();
        for (token, kept, why) in [(&long[..], false, "too long"), (&long[1..], true, "just not too long")] {
            insert(&mut cache, &token[..token.len() - 1], &ring);
            assert_eq!(cache.find(token, &ring).is_some(), kept, "{why}");
        }
    }
}
