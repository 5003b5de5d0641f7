//! Key names that no key has, so that each of them triggers a fetch of the key sets once in a while.
//!
//! Anybody can send a token with a made-up `kid`. If each of them triggered a fetch, the key sources would carry the
//! load of everything that is sent to the gate.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::keys::FetchTrigger;

/// Names that are remembered. A flood of others overwrites them; the fetches that this costs are limited by the
/// schedule of each source.
const KIDS_MAX: usize = 256;

/// How long a name is known to have no key. A key that is published meanwhile is found by the next fetch.
const FORGOTTEN_AFTER_S: u64 = 30;

/// The unknown key names that one shard has received.
pub(super) struct UnknownKids {
    trigger: FetchTrigger,
    /// Begins every hash, so that a sender who does not know it cannot choose names that collide.
    hash_seed: u64,
    /// For each remainder of the hash the last name that had it.
    seen: Vec<SeenKid>,
}

/// A name by its hash, for names may be long.
#[derive(Clone, Copy, Default)]
struct SeenKid {
    hash: u64,
    until_s: u64,
}

impl UnknownKids {
    pub(super) fn new(trigger: FetchTrigger, hash_seed: u64) -> Self {
        Self { trigger, hash_seed, seen: vec![SeenKid::default(); KIDS_MAX] }
    }

    /// Records that a token at `now_s` names an unknown key, or has no key to name; triggers a fetch unless this name
    /// did so recently.
    pub(super) fn record(&mut self, kid: &str, now_s: u64) {
        if self.is_new(kid, now_s) {
            self.trigger.request();
        }
    }

    fn is_new(&mut self, kid: &str, now_s: u64) -> bool {
        let hash = self.hash(kid);
        let Some(seen) = self.seen.get_mut(hash as usize % KIDS_MAX) else {
            return false;
        };
        let known = seen.hash == hash && now_s < seen.until_s;
        // A clock that was set back must not keep a name known for long.
        let until_s = now_s.saturating_add(FORGOTTEN_AFTER_S);
        if !known || seen.until_s > until_s {
            *seen = SeenKid { hash, until_s };
        }
        !known
    }

    fn hash(&self, kid: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash_seed.hash(&mut hasher);
        kid.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown_kids(hash_seed: u64) -> UnknownKids {
        UnknownKids::new(FetchTrigger::new([]), hash_seed)
    }

    #[test]
    fn a_name_is_new_again_after_half_a_minute() {
        let mut kids = unknown_kids(7);
        for (kid, now_s, is_new, why) in [
            ("a", 100, true, "never seen"),
            ("a", 100, false, "seen"),
            ("a", 129, false, "still known"),
            ("a", 130, true, "forgotten"),
            ("", 130, true, "no name counts as one"),
            ("", 131, false, "seen"),
            ("a", 10, false, "the clock was set back"),
            ("a", 40, true, "but the name is not known for long"),
        ] {
            assert_eq!(kids.is_new(kid, now_s), is_new, "{why}: {kid} at {now_s}");
        }
    }

    #[test]
    fn memory_is_limited_and_a_seed_decides_what_collides() {
        let known = |hash_seed| {
            let mut kids = unknown_kids(hash_seed);
            let new = (0..10_000).filter(|i| kids.is_new(&format!("kid {i}"), 1));
            assert_eq!(new.count(), 10_000, "all of them were new");
            // The last first, before the search itself overwrites them.
            (0..10_000).rev().filter(|i| !kids.is_new(&format!("kid {i}"), 1)).collect::<Vec<_>>()
        };
        assert!((1..=KIDS_MAX).contains(&known(7).len()));
        assert_eq!(known(7), known(7), "equal seeds, equal verdicts");
        assert_ne!(known(7), known(8), "another seed, other collisions");
    }
}
