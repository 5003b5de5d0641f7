//! Limits on clients that are not authenticated yet. Beyond a limit the oldest client is closed first.
//!
//! | limited | until they send |
//! |---|---|
//! | connections | their first request |
//! | WebSockets | the packets of an upgrade, or Socket.IO's connect packet |
//! | polling sessions | Socket.IO's connect packet |
//!
//! An honest client sends these at once, an attacker does not. The oldest clients are therefore attackers, and a flood of
//! them keeps no honest client out.

use std::collections::VecDeque;

/// Outdated entries that the list may hold besides as many as it has half-open clients. Few, so that the list of a busy
/// shard stays in the processor's cache; enough that a new connection rarely causes a scan.
const PRUNE_SLACK: usize = 64;

/// One shard's clients of one row of the table above, by their number or key `T`.
#[derive(Debug)]
pub(crate) struct HalfOpenList<T> {
    /// At least 1.
    max: usize,
    count: usize,
    /// All half-open clients, oldest first, and outdated entries: clients that are authenticated or closed by now.
    order: VecDeque<T>,
}

impl<T: Copy> Default for HalfOpenList<T> {
    fn default() -> Self {
        Self::new(1)
    }
}

impl<T: Copy> HalfOpenList<T> {
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), count: 0, order: VecDeque::new() }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Adds the newest client.
    pub(crate) fn add(&mut self, client: T) {
        self.count += 1;
        self.order.push_back(client);
    }

    /// One of the clients is authenticated, or closed.
    pub(crate) fn done(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// While there are more than `max`: the oldest entry, which the caller closes if it is still half-open.
    pub(crate) fn pop_surplus(&mut self) -> Option<T> {
        if self.count > self.max { self.order.pop_front() } else { None }
    }

    /// Removes outdated entries once they are the larger part, so that each entry is checked about twice at most.
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
        assert_eq!(half_open.pop_surplus(), None, "at the limit");
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
        assert_eq!(half_open.pop_surplus(), Some(3), "too few outdated entries to be removed");
        for connection in 100..200 {
            half_open.add(connection);
            half_open.done();
        }
        half_open.prune(|&connection| connection == 5);
        assert_eq!(half_open.order, [5], "outdated entries were the larger part");
    }
}
