//! The immutable set of keys that a gate trusts at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Algorithm, Key, KeyError};

/// The ring in use: every shard reads it without a lock, and whoever reloads the keys swaps it whole.
///
/// `Arc::new(ArcSwap::from_pointee(ring))` makes one.
pub type Store = Arc<ArcSwap<Ring>>;

/// A token without a `kid` is tried against no more keys than this: each try is a whole signature check,
/// and the sender of the token decides whether it says its `kid`.
pub const KEYS_TRIED_MAX: usize = 8;

/// Prepared keys, found by name or by algorithm. A ring never changes; new keys make a new ring.
#[derive(Debug, Default)]
pub struct Ring {
    keys: Vec<Key>,
    /// For each name the place in `keys` of the one key that has it.
    by_kid: HashMap<String, usize>,
}

impl Ring {
    /// A ring of `keys`, which may be none: then every token is refused.
    ///
    /// # Errors
    /// [`KeyError::KidDuplicate`] when two keys share a name.
    pub fn new(keys: Vec<Key>) -> Result<Self, KeyError> {
        let mut by_kid = HashMap::with_capacity(keys.len());
        for (place, key) in keys.iter().enumerate() {
            let Some(kid) = key.kid() else { continue };
            if by_kid.insert(kid.to_owned(), place).is_some() {
                return Err(KeyError::KidDuplicate {
                    kid: kid.to_owned(),
                });
            }
        }
        Ok(Self { keys, by_kid })
    }

    /// How many keys are on the ring.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Is there no key at all?
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, in the order in which they were given.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key of that name.
    pub fn named(&self, kid: &str) -> Option<&Key> {
        self.by_kid.get(kid).and_then(|place| self.keys.get(*place))
    }

    /// The keys pinned to `algorithm`, in order.
    pub fn pinned_to(&self, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        self.keys
            .iter()
            .filter(move |key| key.algorithm() == algorithm)
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
        let ring = Ring::new(vec![
            key(Some("a"), Algorithm::HS256),
            key(None, Algorithm::HS512),
            key(None, Algorithm::HS256),
        ])
        .unwrap();
        assert_eq!(ring.len(), 3);
        assert_eq!(ring.named("a").map(Key::algorithm), Some(Algorithm::HS256));
        assert!(ring.named("b").is_none(), "no key has that name");
        assert!(ring.named("").is_none(), "no name is not the empty name");
        assert_eq!(ring.pinned_to(Algorithm::HS256).count(), 2);
        assert_eq!(ring.pinned_to(Algorithm::RS256).count(), 0);
    }

    #[test]
    fn a_name_belongs_to_one_key() {
        let twins = vec![
            key(Some("a"), Algorithm::HS256),
            key(Some("a"), Algorithm::HS512),
        ];
        assert!(matches!(
            Ring::new(twins),
            Err(KeyError::KidDuplicate { kid }) if kid == "a"
        ));
        let nameless = vec![key(None, Algorithm::HS256), key(None, Algorithm::HS256)];
        assert!(Ring::new(nameless).is_ok(), "two keys may have no name");
        assert!(Ring::default().is_empty());
    }
}
