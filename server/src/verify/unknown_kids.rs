//! Unknown key names. Each of them triggers at most one fetch of the key sets in a certain time.
//!
//! Anybody can send tokens with invented `kid`s. If each token triggered a fetch, the sources would get as many
//! requests as the gate.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::keys::FetchTrigger;

/// The most names that are stored. Many other names overwrite them; the schedule of each source limits the fetches that
/// this causes.
const KIDS_MAX: usize = 256;

/// How long a name does not trigger a second fetch.
const REPEAT_AFTER_S: u64 = 30;

/// The unknown key names in tokens of one shard.
pub(super) struct UnknownKids {
    trigger: FetchTrigger,
    /// The start of every hash: a sender who does not know it cannot choose names that collide.
    hash_seed: u64,
    /// The last name for each remainder of the hash.
    seen: Vec<SeenKid>,
}

/// The hash of a name. Names may be long and are not stored.
#[derive(Clone, Copy, Default)]
struct SeenKid {
    hash: u64,
    until_s: u64,
}

impl UnknownKids {
    pub(super) fn new(trigger: FetchTrigger, hash_seed: u64) -> Self {
        Self { trigger, hash_seed, seen: vec![SeenKid::default(); KIDS_MAX] }
    }

    /// Triggers a fetch, unless `kid` did so recently. `kid` is the unknown name in a token at `now_s`, or empty
    /// without a name.
    pub(super) fn record(&mut self, kid: &str, now_s: u64) {
        if self.is_new(kid, now_s) {
            self.trigger.request();
        }
    }

    fn is_new(&mut self, kid: &str, now_s: u64) -> bool {
        let hash = self.hash(kid);
        let Some(seen) = self.seen.get_mut(hash as usize % KIDS_MAX) else { return false };
        let known = seen.hash == hash && now_s < seen.until_s;
        // If the clock was set back, the time is shortened to the usual one.
        let until_s = now_s.saturating_add(REPEAT_AFTER_S);
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
    fn a_name_triggers_again_after_30_s() {
        let mut kids = unknown_kids(7);
        for (kid, now_s, is_new, why) in [
            ("a", 100, true, "never seen"),
            ("a", 100, false, "seen"),
            ("a", 129, false, "still known"),
            ("a", 130, true, "forgotten"),
            ("", 130, true, "no name counts as one"),
            ("", 131, false, "seen"),
            ("a", 10, false, "the clock was set back"),
            ("a", 40, true, "for the usual time"),
        ] {
            assert_eq!(kids.is_new(kid, now_s), is_new, "{why}: {kid} at {now_s}");
        }
    }

    #[test]
    fn the_number_of_names_is_limited_and_the_seed_decides_which_collide() {
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
