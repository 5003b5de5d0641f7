//! Limits on clients that are not authenticated yet: beyond them the oldest is closed first.
//!
//! | kind | missing |
//! |---|---|
//! | a connection | its first request |
//! | a WebSocket | the packets of an upgrade, or Socket.IO's connect packet |
//! | a session that polls | Socket.IO's connect packet |
//!
//! An honest client goes on at once, an attacker waits. So the oldest is closed when there are too many, and a flood of
//! attackers keeps no honest client out.

use std::collections::VecDeque;

/// Entries of the list that are not half-open any more before they are removed: few, because the list of a busy
/// shard is to stay in the processor's cache, but enough that not each new connection costs a look at all of them.
const PRUNE_SLACK: usize = 64;

/// The clients of one kind of one shard that are not authenticated yet, by their name `T`.
#[derive(Debug)]
pub(crate) struct HalfOpenList<T> {
    /// How many there may be, at least 1.
    max: usize,
    /// How many there are.
    count: usize,
    /// All of them, oldest first, among others that are authenticated or closed since.
    order: VecDeque<T>,
}

impl<T: Copy> Default for HalfOpenList<T> {
    /// Room for one.
    fn default() -> Self {
        Self::new(1)
    }
}

impl<T: Copy> HalfOpenList<T> {
    /// None yet, of `max` at most.
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), count: 0, order: VecDeque::new() }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Adds one, the newest.
    pub(crate) fn add(&mut self, name: T) {
        self.count += 1;
        self.order.push_back(name);
    }

    /// One of them is authenticated, or closed.
    pub(crate) fn done(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// While there are too many: the oldest, to be ended if it is half-open still.
    pub(crate) fn pop_surplus(&mut self) -> Option<T> {
        if self.count > self.max { self.order.pop_front() } else { None }
    }

    /// Forgets those that are not half-open any more, once they are the larger part, so that each is looked at about
    /// twice at most.
    pub(crate) fn prune(&mut self, is_half_open: impl FnMut(&T) -> bool) {
        if self.order.len() > 2 * self.count + PRUNE_SLACK {
            self.order.retain(is_half_open);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_beyond_the_limit_is_closed_first() {
        let mut half_open = HalfOpenList::new(2);
        half_open.add(1);
        half_open.add(2);
        assert_eq!(half_open.pop_surplus(), None, "as many as there may be");
        half_open.add(3);
        assert_eq!(half_open.pop_surplus(), Some(1), "one too many");
        half_open.done();
        assert_eq!(half_open.pop_surplus(), None);

        half_open.done();
        half_open.add(4);
        half_open.add(5);
        half_open.add(6);
        for connection in 7..=6 + PRUNE_SLACK as u64 {
            half_open.add(connection);
            half_open.done();
        }
        half_open.prune(|&connection| connection != 3);
        assert_eq!(half_open.pop_surplus(), Some(2));
        half_open.done();
        assert_eq!(half_open.pop_surplus(), Some(3), "too few to be forgotten");
        for connection in 100..200 {
            half_open.add(connection);
            half_open.done();
        }
        half_open.prune(|&connection| connection == 5);
        assert_eq!(half_open.order, [5], "the larger part is forgotten");
    }
}
