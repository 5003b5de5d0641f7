//! The immutable set of keys that a gate trusts at one moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;

use crate::keys::{Algorithm, Key, KeyError};

/// The ring in use. Shards read it without a lock; a reload of keys replaces the whole ring.
pub type Store = Arc<ArcSwap<Ring>>;

/// The most keys that are tried for a token without a `kid`: the old and the new one of a rotation. Each takes a
/// signature check, and the sender of a token decides whether it has a `kid`.
pub const KEYS_TRIED_MAX: usize = 2;

/// Keys, found by name or by algorithm. A ring is immutable: changed keys are a new ring.
#[derive(Debug)]
pub struct Ring {
    /// Shared with earlier and later rings, so that a key is parsed only once.
    keys: Vec<Arc<Key>>,
    /// The index in `keys` of the key with each name.
    by_kid: HashMap<String, usize>,
    generation: u64,
}

/// The generation of the next ring. An address would not identify a ring: a new one may be allocated at an old address.
static GENERATION_NEXT: AtomicU64 = AtomicU64::new(1);

impl Ring {
    /// A ring of `keys`. With an empty ring every token is refused.
    ///
    /// # Errors
    /// [`KeyError::KidDuplicate`] when two keys share a name.
    pub fn new<K: Into<Arc<Key>>>(keys: impl IntoIterator<Item = K>) -> Result<Self, KeyError> {
        let keys: Vec<Arc<Key>> = keys.into_iter().map(Into::into).collect();
        let mut by_kid = HashMap::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            let Some(kid) = key.kid() else { continue };
            if by_kid.insert(kid.to_owned(), index).is_some() {
                return Err(KeyError::KidDuplicate(kid.to_owned()));
            }
        }
        Ok(Self { keys, by_kid, generation: GENERATION_NEXT.fetch_add(1, Relaxed) })
    }

    /// A number above 0 that no other ring of this process has. Cached verdicts are stored with it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, in the order in which they were given.
    pub fn keys(&self) -> &[Arc<Key>] {
        &self.keys
    }

    /// The key of that name.
    pub fn named(&self, kid: &str) -> Option<&Arc<Key>> {
        self.by_kid.get(kid).and_then(|index| self.keys.get(*index))
    }

    /// The keys pinned to `algorithm`, in order.
    pub fn pinned_to(&self, algorithm: Algorithm) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.iter().filter(move |key| key.algorithm() == algorithm)
    }
}

impl Default for Ring {
    /// A ring without keys.
    fn default() -> Self {
        Self { keys: Vec::new(), by_kid: HashMap::new(), generation: GENERATION_NEXT.fetch_add(1, Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: Option<&str>, algorithm: Algorithm) -> Key {
        let key = Key::secret(b"secret", algorithm).unwrap();
        match kid {
            Some(kid) => key.with_kid(kid),
            None => key,
        }
    }

    #[test]
    fn a_key_is_found_by_name_and_by_algorithm() {
        let ring =
            Ring::new(vec![key(Some("a"), Algorithm::HS256), key(None, Algorithm::HS512), key(None, Algorithm::HS256)])
                .unwrap();
        assert_eq!(ring.len(), 3);
        assert_eq!(ring.named("a").map(|key| key.algorithm()), Some(Algorithm::HS256));
        assert!(ring.named("b").is_none(), "no key has that name");
        assert!(ring.named("").is_none(), "a key without a name is not found by the empty name");
        assert_eq!(ring.pinned_to(Algorithm::HS256).count(), 2);
        assert_eq!(ring.pinned_to(Algorithm::RS256).count(), 0);
    }

    #[test]
    fn every_ring_has_a_generation_of_its_own() {
        let generations = [Ring::default(), Ring::default()].map(|ring| ring.generation());
        assert_ne!(generations[0], generations[1]);
        assert!(!generations.contains(&0), "0 means no ring");
    }

    #[test]
    fn two_keys_of_one_name_are_refused() {
        let twins = vec![key(Some("a"), Algorithm::HS256), key(Some("a"), Algorithm::HS512)];
        assert!(matches!(Ring::new(twins), Err(KeyError::KidDuplicate(kid)) if kid == "a"));
        let nameless = vec![key(None, Algorithm::HS256), key(None, Algorithm::HS256)];
        assert!(Ring::new(nameless).is_ok(), "two keys may have no name");
        assert!(Ring::default().is_empty());
    }
}
