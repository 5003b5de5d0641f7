//! Names of keys that nobody has, so that each of them is asked for once in a while.
//!
//! Anybody can send a token with a `kid` of his own making. Were each to send the gate to its key sources, they would
//! carry the load of everything that is thrown at the gate.

use std::hash::{BuildHasher, RandomState};

use crate::keys::Wanted;

/// Names that are remembered. A flood of others overwrites them, at the price of questions that the sources' own
/// schedule limits.
const KIDS_MAX: usize = 256;

/// How long a name is known to be nobody's. A key that is published meanwhile is found by the next fetch.
const FORGOTTEN_AFTER_S: u64 = 30;

/// The names that one shard has met, and whom it asks for their keys.
pub(super) struct UnknownKids {
    wanted: Wanted,
    hasher: RandomState,
    /// For each remainder of the hash the last name that had it.
    met: Vec<Met>,
}

/// A name by its hash, for names may be long.
#[derive(Clone, Copy, Default)]
struct Met {
    hash: u64,
    until_s: u64,
}

impl UnknownKids {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self { wanted, hasher: RandomState::new(), met: vec![Met::default(); KIDS_MAX] }
    }

    /// A token at `now_s` names a key that is not there, or has no key to name; asks for it unless that was done just
    /// before.
    pub(super) fn meet(&mut self, kid: &str, now_s: u64) {
        if self.is_new(kid, now_s) {
            self.wanted.ask();
        }
    }

    fn is_new(&mut self, kid: &str, now_s: u64) -> bool {
        let hash = self.hasher.hash_one(kid);
        let Some(met) = self.met.get_mut(hash as usize % KIDS_MAX) else {
            return false;
        };
        let known = met.hash == hash && now_s < met.until_s;
        // A clock that was set back must not make a name unknown for long.
        let until_s = now_s.saturating_add(FORGOTTEN_AFTER_S);
        if !known || met.until_s > until_s {
            *met = Met { hash, until_s };
        }
        !known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_new_once_in_a_while() {
        let mut kids = UnknownKids::new(Wanted::new([]));
        for (kid, now_s, is_new, why) in [
            ("a", 100, true, "never met"),
            ("a", 100, false, "met"),
            ("a", 129, false, "still known"),
            ("a", 130, true, "forgotten"),
            ("", 130, true, "no name is one too"),
            ("", 131, false, "met"),
            ("a", 10, false, "the clock went back"),
            ("a", 40, true, "but not for long"),
        ] {
            assert_eq!(kids.is_new(kid, now_s), is_new, "{why}: {kid} at {now_s}");
        }
    }

    #[test]
    fn memory_has_a_bound() {
        let mut kids = UnknownKids::new(Wanted::new([]));
        let new = (0..10_000).filter(|i| kids.is_new(&format!("kid {i}"), 1));
        assert_eq!(new.count(), 10_000, "all of them were new");
        let known = (0..10_000).filter(|i| !kids.is_new(&format!("kid {i}"), 1));
        assert!(known.count() <= KIDS_MAX);
    }
}
