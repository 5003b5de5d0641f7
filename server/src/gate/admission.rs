//! How many connections may be open at once, over all shards of the process.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Connections above the limit that are being told so at the same time. Each holds a descriptor until its peer has
/// read the answer, a second at most; beyond this many, connections are dropped without a word.
pub const TURNED_AWAY_AT_ONCE_MAX: usize = 1024;

/// The places of a gate, taken and given back by its shards.
#[derive(Debug)]
pub struct Admission {
    connections_max: usize,
    open: AtomicUsize,
    turned_away: AtomicUsize,
}

/// What to do with a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It has a place; [`Admission::leave`] gives it back.
    Admitted,
    /// There is none; tell the peer, then give it back likewise.
    TurnedAway,
    /// Too many are being told already: drop it. Nothing is to be given back.
    Dropped,
}

impl Admission {
    /// A gate with `connections_max` places, none of them taken.
    pub fn new(connections_max: usize) -> Self {
        Self {
            connections_max,
            open: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
        }
    }

    /// Takes a place for a new connection.
    pub fn enter(&self) -> Place {
        if take(&self.open, self.connections_max) {
            Place::Admitted
        } else if take(&self.turned_away, TURNED_AWAY_AT_ONCE_MAX) {
            Place::TurnedAway
        } else {
            Place::Dropped
        }
    }

    /// Gives a place back.
    pub fn leave(&self, place: Place) {
        match place {
            Place::Admitted => self.open.fetch_sub(1, Relaxed),
            Place::TurnedAway => self.turned_away.fetch_sub(1, Relaxed),
            Place::Dropped => 0,
        };
    }
}

/// Takes one of `max`, if one is left. Two shards may both step back from the last one: never one too many.
fn take(taken: &AtomicUsize, max: usize) -> bool {
    if taken.fetch_add(1, Relaxed) < max {
        return true;
    }
    taken.fetch_sub(1, Relaxed);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_and_given_back() {
        let admission = Admission::new(2);
        assert_eq!(admission.enter(), Place::Admitted);
        assert_eq!(admission.enter(), Place::Admitted);
        for _ in 0..TURNED_AWAY_AT_ONCE_MAX {
            assert_eq!(admission.enter(), Place::TurnedAway);
        }
        assert_eq!(admission.enter(), Place::Dropped);

        admission.leave(Place::Admitted);
        assert_eq!(admission.enter(), Place::Admitted, "a place was given back");
        admission.leave(Place::TurnedAway);
        assert_eq!(admission.enter(), Place::TurnedAway);
    }
}
